/*
 * Tests of learner `oblivious_boosting`: whole fits, predictions, hostile payloads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_oblivious_boosting
#include "gbm_data.h"
#include "learner/oblivious_block.h"
#include "learner/oblivious_payload.h"
#include "unit.h"

static const PgmlOblHeader *
header(const Data *d)
{
	return (const PgmlOblHeader *) d->fit.payload.data;
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.12g is not %.12g", a, b);
}

/* One tree, no shrinkage, nothing random. */
static void
set_plain(Data *d, int depth)
{
	set(d, "n_estimators", 1);
	set(d, "learning_rate", 1);
	set(d, "depth", depth);
	set(d, "random_strength", 0);
	set_word(d, "bootstrap_type", "none");
}

/* The rows from `from` on are for early stopping. */
static void
set_valid(Data *d, int64_t from)
{
	d->set.valid_rows = d->rows + from;
	d->set.n_valid = d->set.n - from;
	d->set.n = from;
}

/* ---- settings ---- */

/* A word for the loss changes nothing where it fits the task, and is refused where it does not. */
static void
words_of_the_loss(void **state)
{
	static const struct
	{
		PgmlTask task;
		int n_classes;
		const char *fits, *refused, *why;
	} cases[] = {
		{ PGML_TASK_REGRESSION, 1, "squared", "logistic", "the target is a number" },
		{ PGML_TASK_REGRESSION, 1, "auto", "softmax", "the target is a number" },
		{ PGML_TASK_BINARY, 2, "logistic", "squared", "the target has classes" },
		{ PGML_TASK_BINARY, 2, "softmax", "squared", "the target has classes" },
		{ PGML_TASK_MULTICLASS, 3, "softmax", "logistic", "for two classes, the target has 3" },
	};

	(void) state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		Data *d = data_mixed(200, 6, cases[c].task, cases[c].n_classes);

		set(d, "n_estimators", 3);
		assert_word_changes_nothing(d, "objective", cases[c].fits);
		set_word(d, "objective", cases[c].refused);
		assert_int_equal(learner->fit(&d->env, &d->set, &d->params, &d->fit), PGML_ERR_BADARG);
		assert_non_null(strstr(d->error.message, cases[c].why));
		data_free(d);
	}
}

/* ---- closed forms ---- */

/*
 * y = 0 0 10 14, mean 6: g = 6 6 -4 -8.  After two rows the cosine is largest: a = 12/3 and -12/3 with penalty 1,
 * (48 + 48) / sqrt(32 + 32) = 12, against 14.14 / ... for the others; values -4 and 4.
 */
static void
stump_of_squared_error(void **state)
{
	static const double y[] = { 0, 0, 10, 14 };
	Data *d = data_new(4, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = (float) (i + 1);
		d->y[i] = y[i];
	}
	set_plain(d, 1);
	set(d, "l2_leaf_reg", 1);
	fit(d, NULL);
	assert_near(predict_x(d, 1), 2, 1e-9);
	assert_near(predict_x(d, 2.5f), 2, 1e-9);
	assert_near(predict_x(d, 2.5001f), 10, 1e-9);
	assert_near(predict_x(d, 99), 10, 1e-9);
	assert_near(predict_x(d, NAN), 2, 1e-9);
	data_free(d);
}

/* Two questions, each asked of all rows: y = 8a + 2b + 1 has an exact tree of two levels, a first. */
static void
tree_of_two_levels(void **state)
{
	Data *d = data_new(40, 3, PGML_TASK_REGRESSION, 1);
	PgmlOblView v;

	(void) state;
	for (int i = 0; i < 40; i++)
	{
		d->col[0][i] = (float) (i % 7);
		d->col[1][i] = (float) (i & 1);
		d->col[2][i] = (float) (i >> 1 & 1);
		d->y[i] = 8 * d->col[2][i] + 2 * d->col[1][i] + 1;
	}
	set_plain(d, 2);
	set(d, "l2_leaf_reg", 0);
	fit(d, NULL);
	for (int i = 0; i < 40; i++)
		assert_near(predict_row(d, i), d->y[i], 1e-9);
	v = pgml_obl_view(d->fit.payload.data);
	assert_int_equal(v.header->n_splits, 2);
	assert_int_equal(v.split[0].input, 2);
	assert_int_equal(v.split[1].input, 1);
	assert_true(v.split[0].u.threshold >= 0 && v.split[0].u.threshold < 1);
	/* Bit d of a leaf's number is the answer of level d; the mean is added last. */
	assert_near(v.init[0], 6, 1e-12);
	assert_near(v.value[0], -5, 1e-9);
	assert_near(v.value[1], 3, 1e-9);
	assert_near(v.value[2], -3, 1e-9);
	assert_near(v.value[3], 5, 1e-9);
	data_free(d);
}

/* A depth-wise tree asks about b where a is 0, and about c where it is 1: no tree of one question a level does. */
static void
questions_of_their_own(void **state)
{
	Data *d = data_new(80, 3, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 80; i++)
	{
		for (int f = 0; f < 3; f++)
			d->col[f][i] = (float) (i >> f & 1);
		d->y[i] = d->col[0][i] > 0 ? 10 + d->col[1][i] : -10 - d->col[2][i];
	}
	set_plain(d, 2);
	set(d, "l2_leaf_reg", 0);
	fit(d, NULL);
	assert_true(fabs(predict_row(d, 0) - d->y[0]) > 0.2 || fabs(predict_row(d, 1) - d->y[1]) > 0.2);
	set_word(d, "grow_policy", "depthwise");
	fit(d, NULL);
	for (int i = 0; i < 80; i++)
		assert_near(predict_row(d, i), d->y[i], 1e-9);
	/* Nothing is left to ask in a leaf of equal rows. */
	set(d, "depth", 4);
	fit(d, NULL);
	for (int i = 0; i < 80; i++)
		assert_near(predict_row(d, i), d->y[i], 1e-9);
	assert_int_equal(header(d)->n_splits, 3);
	data_free(d);
}

/* 1 of 4 positive on the left, 3 of 4 on the right: p = 1/2, G = 1 and -1, H = 1; many steps end at the shares. */
static void
stump_of_logistic_loss(void **state)
{
	static const double y[] = { 1, 0, 0, 0, 1, 1, 0, 1 };
	Data *d = data_new(8, 1, PGML_TASK_BINARY, 2);

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		d->col[0][i] = i < 4 ? 10 : 20;
		d->y[i] = y[i];
	}
	set_plain(d, 1);
	set(d, "learning_rate", 0.5);
	set(d, "l2_leaf_reg", 0);
	set(d, "leaf_estimation_iterations", 1);
	fit(d, NULL);
	assert_near(predict_x(d, 10), 1 / (1 + exp(0.5)), 1e-9);
	assert_near(predict_x(d, 20), 1 / (1 + exp(-0.5)), 1e-9);
	set(d, "learning_rate", 1);
	set(d, "leaf_estimation_iterations", 10);
	fit(d, NULL);
	assert_near(predict_x(d, 10), 0.25, 1e-3);
	assert_near(predict_x(d, 20), 0.75, 1e-3);
	data_free(d);
}

/*
 * Three classes of 4 rows; x separates class 0: G = 4/3 - 4, H = 3/2 * 4 * 2/9 on its side, and so on; many steps end at the shares,
 * 1 and 0, 0 and 1/2.
 */
static void
stump_of_softmax(void **state)
{
	Data *d = data_new(12, 1, PGML_TASK_MULTICLASS, 3);
	double s[3], sum;
	float x = 0;
	double out[3];

	(void) state;
	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = i < 4 ? 0 : 1;
		d->y[i] = i / 4;
	}
	set_plain(d, 1);
	set(d, "l2_leaf_reg", 0);
	set(d, "leaf_estimation_iterations", 1);
	fit(d, NULL);
	assert_int_equal(header(d)->n_trees, 1);
	assert_int_equal(header(d)->n_values, 6);
	s[0] = (8.0 / 3) / (4.0 / 3);
	s[1] = s[2] = -(4.0 / 3) / (4.0 / 3);
	sum = exp(s[0]) + exp(s[1]) + exp(s[2]);
	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	for (int k = 0; k < 3; k++)
		assert_near(out[k], exp(s[k]) / sum, 1e-7);
	set(d, "leaf_estimation_iterations", 10);
	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	assert_near(out[0], 1, 0.02);
	x = 1;
	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	assert_near(out[0], 0, 0.02);
	assert_near(out[1], out[2], 1e-9);
	data_free(d);
}

/* Missing is less than everything, and can be told from it. */
static void
missing_values_are_least(void **state)
{
	Data *d = data_new(12, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = i < 4 ? 0 : i < 8 ? 1 : NAN;
		d->y[i] = i < 8 ? 0 : 1;
	}
	set_plain(d, 1);
	set(d, "l2_leaf_reg", 0);
	fit(d, NULL);
	assert_near(predict_x(d, -1000), 0, 1e-9);
	assert_near(predict_x(d, 1000), 0, 1e-9);
	assert_near(predict_x(d, NAN), 1, 1e-9);
	for (int i = 0; i < 12; i++)
		d->y[i] = i < 4 || i >= 8 ? 0 : 1;
	fit(d, NULL);
	assert_near(predict_x(d, 0), 0, 1e-9);
	assert_near(predict_x(d, 1), 1, 1e-9);
	assert_near(predict_x(d, NAN), 0, 1e-9);
	data_free(d);
}

/* Few levels: one is told from the others, missing too. */
static void
few_levels_are_asked_for(void **state)
{
	Data *d = data_new(400, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	make_categorical(d, 0, 4);
	for (int i = 0; i < 400; i++)
	{
		d->col[0][i] = (float) (i % 4);
		d->y[i] = i % 4 == 2 ? 5 : 1;
	}
	set_plain(d, 1);
	set(d, "l2_leaf_reg", 0);
	set(d, "one_hot_max_size", 4);
	fit(d, NULL);
	assert_int_equal(header(d)->n_tables, 0);
	assert_near(predict_x(d, 2), 5, 1e-9);
	assert_near(predict_x(d, 3), 1, 1e-9);
	assert_near(predict_x(d, 17), 1, 1e-9);
	for (int i = 0; i < 400; i += 4)
	{
		d->col[0][i] = NAN;
		d->y[i + 2] = 1;
		d->y[i] = 7;
	}
	fit(d, NULL);
	assert_near(predict_x(d, NAN), 7, 1e-9);
	assert_near(predict_x(d, 0), 1, 1e-9);
	data_free(d);
}

/* ---- whole fits ---- */

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* What is there to learn is learned, by both kinds of trees and all ways of drawing rows. */
static void
learns_what_is_there(void **state)
{
	static const char *const bootstraps[] = { "auto", "mvs", "bayesian", "bernoulli", "none" };

	(void) state;
	for (int t = 0; t < 3; t++)
		for (int b = 0; b < 5; b++)
		{
			Data *d = data_mixed(3000, 8, tasks[t], t + 1);
			double error = 0, base = 0, mean = 0;

			set(d, "n_estimators", 150);
			set(d, "learning_rate", 0.1);
			set_word(d, "bootstrap_type", bootstraps[b]);
			set_word(d, "grow_policy", b % 2 ? "symmetric" : "depthwise");
			set_valid(d, 2000);
			fit(d, NULL);
			for (int i = 0; i < 2000; i++)
				mean += d->y[i] / 2000;
			for (int i = 2000; i < 3000; i++)
			{
				double p = predict_row(d, i);

				if (t == 2)
					p = 1 - p;
				if (t == 2)
					mean = 2.0 / 3;
				error += fabs(p - (t == 2 ? d->y[i] > 0 : d->y[i]));
				base += fabs(mean - (t == 2 ? d->y[i] > 0 : d->y[i]));
			}
			assert_true(error < 0.7 * base);
			assert_true(d->fit.best_iteration > 20);
			data_free(d);
		}
}

/* The predictions of the validation rows that a fit hands out are those of its payload. */
static void
validation_rows_are_predicted(void **state)
{
	(void) state;
	for (int t = 0; t < 6; t++)
	{
		Data *d = data_mixed(1500, 8, tasks[t % 3], t % 3 + 1);
		int outputs = t % 3 == 2 ? 3 : 1;

		set_valid(d, 1000);
		set(d, "n_estimators", 60);
		set_word(d, "grow_policy", t < 3 ? "symmetric" : "depthwise");
		d->set.valid_out = calloc(500 * 3, sizeof(double));
		fit(d, NULL);
		assert_true(d->fit.predicted);
		for (int i = 0; i < 500; i++)
		{
			float x[MAX_FEATURES];
			double out[3];

			get_row(d, 1000 + i, x);
			learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
			assert_memory_equal(out, d->set.valid_out + i * outputs,
								(size_t) outputs * sizeof(double));
		}
		free(d->set.valid_out);
		data_free(d);
	}
}

/* The same bytes for any number of threads, with bins given or not, with rows many enough to pack and few. */
static void
threads_and_given_bins_change_nothing(void **state)
{
	(void) state;
	for (int t = 0; t < 6; t++)
	{
		Data *d = data_mixed(t < 3 ? 20000 : 3000, 9, tasks[t % 3], t % 3 + 1);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		PgmlBins *bins;
		PgmlBuf one;

		set(d, "n_estimators", 6);
		set(d, "rsm", 0.8);
		set_word(d, "grow_policy", t < 4 ? "symmetric" : "depthwise");
		fit(d, NULL);
		one = d->fit.payload;
		pgml_buf_init(&d->fit.payload, &d->budget);
		d->env.pool = pgml_pool_create(3);
		assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, d->set.n, 255, &bins),
						 PGML_OK);
		d->set.bins = bins;
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, one.len);
		assert_memory_equal(d->fit.payload.data, one.data, one.len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		d->env.seed++;
		fit(d, NULL);
		assert_true(d->fit.payload.len != one.len ||
					memcmp(d->fit.payload.data, one.data, one.len) != 0);
		pgml_buf_free(&one);
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

/* Combinations are searched side by side, each by one thread: with rows so many that one alone would be shared by all of them. */
static void
threads_and_combinations_change_nothing(void **state)
{
	Data *d = data_new(60000, 6, PGML_TASK_BINARY, 2);
	PgmlBuf one;
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 5, 1);
	for (int f = 0; f < 6; f++)
		make_categorical(d, f, 6);
	for (int64_t i = 0; i < 60000; i++)
	{
		for (int f = 0; f < 6; f++)
			d->col[f][i] = (float) pgml_rng_below(&rng, 6);
		/* Each pair says what neither of the two does. */
		d->y[i] = ((int) d->col[0][i] + (int) d->col[1][i]) % 2 +
					  ((int) d->col[2][i] + (int) d->col[3][i]) % 2 +
					  (int) pgml_rng_below(&rng, 2) >
				  1;
	}
	set(d, "n_estimators", 3);
	set(d, "depth", 3);
	set_word(d, "bootstrap_type", "none");
	fit(d, NULL);
	one = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	d->env.pool = pgml_pool_create(4);
	for (int again = 0; again < 2; again++)
	{
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, one.len);
		assert_memory_equal(d->fit.payload.data, one.data, one.len);
	}
	pgml_pool_destroy(d->env.pool);
	pgml_buf_free(&one);
	data_free(d);
}

/* A row that weighs 3 is as good as three rows; one that weighs nothing, as none. */
static void
weights_equal_repeated_rows(void **state)
{
	Data *weighted = data_mixed(600, 6, PGML_TASK_BINARY, 2);
	Data *repeated = data_mixed(600, 6, PGML_TASK_BINARY, 2);
	int64_t n = 0;

	(void) state;
	free(repeated->rows);
	repeated->rows = calloc(3 * 600, sizeof(int32_t));
	/* Few values, so that the bins are the same. */
	for (int i = 0; i < 600; i++)
		for (int f = 0; f < 4; f++)
			weighted->col[f][i] = repeated->col[f][i] =
				fminf(fmaxf(roundf(weighted->col[f][i]), -1), 1);
	for (int i = 0; i < 600; i++)
	{
		weighted->w[i] = i % 4;
		for (int k = 0; k < i % 4; k++)
			repeated->rows[n++] = i;
	}
	weighted->set.w = weighted->w;
	repeated->set.rows = repeated->rows;
	repeated->set.n = n;
	for (int w = 0; w < 2; w++)
	{
		Data *d = w ? weighted : repeated;

		set_plain(d, 4);
		set(d, "n_estimators", 5);
		set(d, "learning_rate", 0.3);
		/* By mean weight: that of 600 rows, and of n. */
		set(d, "l2_leaf_reg", w ? 3.0 * 600 / (double) n : 3);
		set(d, "one_hot_max_size", 50);
		fit(d, NULL);
	}
	for (int i = 0; i < 600; i++)
		assert_near(predict_row(weighted, i), predict_row(repeated, i), 1e-6);
	data_free(weighted);
	data_free(repeated);
}

static void
early_stopping_keeps_the_best_round(void **state)
{
	Data *d = data_mixed(600, 8, PGML_TASK_BINARY, 2);
	PgmlBuf stopped;

	(void) state;
	set_valid(d, 400);
	set(d, "learning_rate", 0.3);
	set(d, "early_stopping_round", 10);
	fit(d, NULL);
	assert_in_range(d->fit.best_iteration, 1, 900);
	assert_int_equal(header(d)->n_trees, d->fit.best_iteration);
	stopped = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	set(d, "n_estimators", d->fit.best_iteration);
	set(d, "early_stopping_round", 0);
	fit(d, NULL);
	assert_int_equal(d->fit.payload.len, stopped.len);
	assert_memory_equal(d->fit.payload.data, stopped.data, stopped.len);
	pgml_buf_free(&stopped);
	data_free(d);
}

static void
deadline_gives_what_there_is(void **state)
{
	Data *d = data_mixed(3000, 8, PGML_TASK_MULTICLASS, 3);

	(void) state;
	d->env.deadline = pgml_now() - 1;
	fit(d, NULL);
	assert_true(d->fit.out_of_time);
	assert_int_equal(header(d)->n_trees, 0);
	assert_in_range(predict_row(d, 0), 0, 1);
	set(d, "n_estimators", 100000);
	d->env.deadline = pgml_now() + 0.2;
	fit(d, NULL);
	assert_true(d->fit.out_of_time);
	assert_int_equal(header(d)->n_trees, d->fit.best_iteration);
	data_free(d);
}

static void
stop_flag_cancels(void **state)
{
	Data *d = data_mixed(1000, 8, PGML_TASK_BINARY, 2);

	(void) state;
	d->stop = 1;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_CANCELLED);
	assert_int_equal(d->error.status, PGML_ERR_CANCELLED);
	data_free(d);
}

/* What memory() says is what a fit takes; the estimate itself is enough, and half of what is asked for is not. */
static void
memory_is_estimated(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_mixed(20000, 9, tasks[t], t + 1);
		int64_t payload;
		int64_t bytes;

		set(d, "n_estimators", 5);
		bytes = learner->memory(&d->set, &d->params, &payload);
		pgml_budget_init(&d->budget, bytes + payload);
		fit(d, NULL);
		assert_false(d->fit.out_of_memory);
		assert_int_equal(d->fit.best_iteration, 5);
		data_free(d);
	}
}

/* So does what each of the combinations needs for each leaf of a deep depth-wise tree. */
static void
memory_of_deep_trees_is_estimated(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_BINARY, 2);
	int64_t payload;
	int64_t bytes;

	(void) state;
	set(d, "n_estimators", 1);
	set(d, "depth", 10);
	set(d, "max_bin", 16);
	set_word(d, "grow_policy", "depthwise");
	bytes = learner->memory(&d->set, &d->params, &payload);
	pgml_budget_init(&d->budget, bytes + payload);
	fit(d, NULL);
	assert_false(d->fit.out_of_memory);
	assert_int_equal(d->fit.best_iteration, 1);
	data_free(d);
}

/* Histograms that are not kept make no other trees. */
static void
little_memory_grows_the_same_trees(void **state)
{
	for (int t = 0; t < 6; t++)
	{
		Data *d = data_mixed(4000, 16, tasks[t % 3], t % 3 + 1);
		PgmlBuf much;
		int64_t payload;

		(void) state;
		/* No statistics: what there is of them depends on the memory. */
		set(d, "one_hot_max_size", 100);
		set(d, "n_estimators", 4);
		set(d, "depth", 7);
		set_word(d, "grow_policy", t < 3 ? "symmetric" : "depthwise");
		fit(d, NULL);
		much = d->fit.payload;
		pgml_buf_init(&d->fit.payload, &d->budget);
		d->budget.limit =
			learner->memory(&d->set, &d->params, &payload) + payload + (int64_t) much.len;
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, much.len);
		assert_memory_equal(d->fit.payload.data, much.data, much.len);
		pgml_buf_free(&much);
		data_free(d);
	}
}

/* Every allocation in turn fails cleanly. */
static void
memory_runs_out(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_MULTICLASS, 3);
	PgmlStatus status;
	int64_t k = 1;

	(void) state;
	set_valid(d, 200);
	set(d, "n_estimators", 4);
	for (bool failed = true; failed; k++)
	{
		assert_true(k < 1000);
		atomic_store(&d->budget.fail_at, k);
		d->fit.out_of_memory = false;
		status = try_fit(d, NULL);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
		failed = atomic_load(&d->budget.fail_at) == 0;
		if (status == PGML_OK)
			assert_int_equal(
				learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error),
				PGML_OK);
		else
			assert_int_equal(d->error.status, PGML_ERR_NOMEM);
	}
	assert_true(k > 30);
	atomic_store(&d->budget.fail_at, 0);
	d->budget.limit = 20000;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_LIMIT);
	data_free(d);
}

/* A payload grows no larger than it may. */
static void
payloads_are_bounded(void **state)
{
	Data *d = data_mixed(2000, 8, PGML_TASK_BINARY, 2);

	(void) state;
	d->set.max_payload = 60000;
	set(d, "n_estimators", 500);
	fit(d, NULL);
	assert_true(d->fit.out_of_memory);
	assert_true(d->fit.payload.len <= 60000);
	assert_true(d->fit.best_iteration > 10);
	data_free(d);
}

/* ---- hard data ---- */

static void
targets_without_variation(void **state)
{
	Data *d = data_mixed(500, 6, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 500; i++)
		d->y[i] = 0.1;
	fit(d, NULL);
	assert_near(predict_row(d, 3), 0.1, 1e-12);
	d->set.task = d->shape.task = PGML_TASK_BINARY;
	d->set.n_classes = d->shape.n_classes = 2;
	for (int i = 0; i < 500; i++)
		d->y[i] = 1;
	fit(d, NULL);
	assert_true(predict_row(d, 3) > 0.99 && predict_row(d, 3) < 1);
	data_free(d);
}

static void
features_without_variation(void **state)
{
	Data *d = data_new(100, 3, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		d->y[i] = i;
		d->col[1][i] = NAN;
		d->col[2][i] = 7;
	}
	fit(d, NULL);
	assert_int_equal(header(d)->n_trees, 0);
	assert_near(predict_row(d, 3), 49.5, 1e-9);
	data_free(d);
}

static void
one_row(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_new(1, 2, tasks[t], t + 1);

		make_categorical(d, 1, 5);
		d->y[0] = t == 0 ? 42 : 1;
		fit(d, NULL);
		assert_true(isfinite(predict_row(d, 0)));
		if (t == 0)
			assert_near(predict_row(d, 0), 42, 1e-12);
		d->set.n = 0;
		assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
		assert_string_equal(d->error.message, "there are no rows to learn from");
		data_free(d);
	}
}

/* A class for each row, and more classes than rows. */
static void
as_many_classes_as_rows(void **state)
{
	(void) state;
	for (int classes = 30; classes <= 60; classes += 30)
	{
		Data *d = data_mixed(30, 6, PGML_TASK_MULTICLASS, classes);
		double out[64], sum = 0;
		float x[6];

		for (int i = 0; i < 30; i++)
			d->y[i] = i;
		set(d, "n_estimators", 20);
		fit(d, NULL);
		get_row(d, 3, x);
		learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
		for (int k = 0; k < classes; k++)
		{
			assert_true(out[k] >= 0 && out[k] <= 1);
			sum += out[k];
		}
		assert_near(sum, 1, 1e-9);
		data_free(d);
	}
}

static void
extreme_values(void **state)
{
	Data *d = data_mixed(400, 6, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 400; i++)
	{
		d->col[1][i] = d->col[0][i] * 3e38f > 3e38f ? 3e38f : d->col[0][i] * 1e-44f;
		d->y[i] *= 1e100;
	}
	fit(d, NULL);
	assert_true(fabs(predict_row(d, 0) - d->y[0]) < 1e101);
	for (int i = 0; i < 400; i++)
		d->y[i] *= 1e150;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_NUMERIC);
	for (int i = 0; i < 400; i++)
		d->y[i] = d->y[i] / 1e250 * 5e-324;
	assert_true(try_fit(d, NULL) == PGML_OK || d->error.status == PGML_ERR_NUMERIC);
	d->y[9] = NAN;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	for (int i = 0; i < 400; i++)
	{
		d->y[i] = i;
		d->w[i] = 0;
	}
	d->set.w = d->w;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	d->w[3] = -1;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	for (int i = 0; i < 400; i++)
		d->w[i] = i % 2 ? 1e-9 : 1e9;
	fit(d, NULL);
	assert_true(isfinite(predict_row(d, 0)));
	d->set.task = PGML_TASK_BINARY;
	d->set.n_classes = 2;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	data_free(d);
}

/* No penalty, pure leaves, a rate of 1: log-odds stay finite. */
static void
separable_classes_without_penalty(void **state)
{
	(void) state;
	for (int t = 1; t < 3; t++)
	{
		Data *d = data_mixed(500, 6, tasks[t], t + 1);

		set(d, "l2_leaf_reg", 0);
		set(d, "learning_rate", 1);
		set(d, "n_estimators", 200);
		for (int i = 0; i < 500; i++)
			d->y[i] = d->col[0][i] > 0 ? t : 0;
		fit(d, NULL);
		for (int i = 0; i < 500; i++)
			assert_true(predict_row(d, i) >= 0 && predict_row(d, i) <= 1);
		data_free(d);
	}
}

/* ---- blocks ---- */

/* All kernels that run here say of blocks of any size what predict() says of each row, to the last bit. */
static void
assert_blocks_equal_rows(const Data *d, const uint8_t *payload)
{
	static const int sizes[] = { 1, 3, 8, 64, 100, 256 };
	int nf = d->x.nfeatures, n_kernels;
	int outputs = pgml_task_outputs(d->set.task, d->set.n_classes);
	const PgmlOblKernel *kernels = pgml_obl_kernels(&n_kernels);
	float *rows = calloc((size_t) (256 * nf), sizeof(float));
	float *columns = calloc((size_t) (256 * nf), sizeof(float));
	double *expected = calloc((size_t) (256 * outputs), sizeof(double));
	double *out = calloc((size_t) (256 * outputs), sizeof(double));

	for (int64_t i = 0; i < 256; i++)
		for (int f = 0; f < nf; f++)
		{
			float v = d->col[f][i % d->x.nrows];

			/* Not only values that were learned from. */
			v = i % 7 == 3  ? v + 1 :
				i % 11 == 5 ? NAN :
				i % 13 == 6 ? -3e38f :
				i % 17 == 8 ? INFINITY :
							  v;
			v = i % 19 == 4 ? -INFINITY : v;
			rows[i * nf + f] = columns[f * 256 + i] = v;
		}
	learner->predict(payload, &d->shape, rows, 256, expected);
	for (int k = 0; k < n_kernels; k++)
	{
		PgmlArena *arena = pgml_arena_create(d->env.budget);
		const void *prepared;
		void *scratch;

		if (!kernels[k].gbm->runs_here())
		{
			pgml_arena_destroy(arena);
			continue;
		}
		assert_int_equal(
			pgml_obl_prepare_for(&d->env, arena, &kernels[k], payload, &d->shape, &prepared),
			PGML_OK);
		if (prepared != NULL)
		{
			scratch = aligned_alloc(64, (learner->scratch(prepared) + 63) / 64 * 64);
			for (int s = 0; s < 6; s++)
			{
				PgmlBlock block = { columns, 256, sizes[s] };

				learner->predict_block(prepared, payload, &d->shape, &block, out, scratch);
				assert_memory_equal(out, expected, (size_t) (sizes[s] * outputs) * sizeof(double));
			}
			free(scratch);
		}
		pgml_arena_destroy(arena);
	}
	free(rows);
	free(columns);
	free(expected);
	free(out);
}

static void
blocks_equal_single_rows(void **state)
{
	(void) state;
	for (int t = 0; t < 12; t++)
	{
		Data *d = data_mixed(1200, 8, tasks[t % 3], t % 3 + 1);

		set(d, "n_estimators", 37);
		set(d, "depth", t < 6 ? 5 : 10);
		set(d, "one_hot_max_size", t % 2 ? 2 : 50);
		set_word(d, "grow_policy", t / 3 % 2 ? "symmetric" : "depthwise");
		fit(d, NULL);
		assert_blocks_equal_rows(d, d->fit.payload.data);
		data_free(d);
	}
}

/* A model without trees has a block form as well. */
static void
blocks_of_a_model_without_trees(void **state)
{
	Data *d = data_new(10, 2, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 10; i++)
		d->y[i] = 3;
	fit(d, NULL);
	assert_blocks_equal_rows(d, d->fit.payload.data);
	data_free(d);
}

/* ---- hostile payloads ---- */

/* Copy bytes to the end of a block of their own, so that reading past them is noticed. */
static PgmlStatus
verify_copy(const Data *d, const uint8_t *bytes, size_t len, uint8_t **copy)
{
	PgmlError error;

	*copy = malloc(len + (len == 0));
	memcpy(*copy, bytes, len);
	return learner->verify(*copy, len, &d->shape, &error);
}

static void
shortened_payloads_are_refused(void **state)
{
	Data *d = data_mixed(500, 6, PGML_TASK_BINARY, 2);

	(void) state;
	set(d, "n_estimators", 2);
	fit(d, NULL);
	for (size_t len = 0; len < d->fit.payload.len; len++)
	{
		uint8_t *copy;

		assert_int_equal(verify_copy(d, d->fit.payload.data, len, &copy), PGML_ERR_CORRUPT);
		free(copy);
	}
	data_free(d);
}

/* Whatever verify() lets pass can be predicted from: the sanitiser watches. */
static void
flipped_bytes_never_crash(void **state)
{
	(void) state;
	for (int t = 1; t < 3; t++)
	{
		Data *d = data_mixed(1500, 6, tasks[t], t + 1);
		PgmlRng rng;
		float x[8 * 6];
		int refused = 0;

		make_categorical(d, 5, 2000); /* its combinations are hashed */
		for (int i = 0; i < 1500; i++)
			d->col[5][i] = (float) (i * 7 % 1000 + (d->y[i] > 0));
		set(d, "n_estimators", 6);
		set_word(d, "grow_policy", t == 1 ? "symmetric" : "depthwise");
		fit(d, NULL);
		assert_true(header(d)->n_tables > 0);
		pgml_rng_init(&rng, 12, 0);
		for (int i = 0; i < 8; i++)
			get_row(d, i, x + i * 6);
		x[4] = 1e30f;
		x[10] = -5;
		for (int round = 0; round < 4000; round++)
		{
			uint8_t *copy;
			double out[8 * 3];
			PgmlStatus status;
			size_t at = pgml_rng_below(&rng, round % 2 ? 400 : d->fit.payload.len);
			uint8_t old = d->fit.payload.data[at];

			d->fit.payload.data[at] = (uint8_t) pgml_rng_next(&rng);
			status = verify_copy(d, d->fit.payload.data, d->fit.payload.len, &copy);
			assert_true(status == PGML_OK || status == PGML_ERR_CORRUPT);
			if (status == PGML_OK)
				learner->predict(copy, &d->shape, x, 8, out);
			if (status == PGML_OK && round % 8 == 0)
				assert_blocks_equal_rows(d, copy);
			refused += status != PGML_OK;
			d->fit.payload.data[at] = old;
			free(copy);
		}
		assert_true(refused > 300);
		data_free(d);
	}
}

static void
other_shapes_are_refused(void **state)
{
	Data *d = data_mixed(500, 6, PGML_TASK_BINARY, 2);
	PgmlShape shape;
	bool numeric[6] = { false };
	int32_t levels[6] = { 0, 0, 0, 0, 11, 2 };

	(void) state;
	set(d, "n_estimators", 30);
	fit(d, NULL);
	for (int k = 0; k < 4; k++)
	{
		shape = d->shape;
		shape.nfeatures = k == 0 ? 2 : 6;
		shape.categorical = k == 1 ? numeric : shape.categorical;
		shape.n_levels = k == 2 ? levels : shape.n_levels;
		shape.task = k == 3 ? PGML_TASK_MULTICLASS : shape.task;
		shape.n_classes = k == 3 ? 3 : 2;
		assert_int_equal(
			learner->verify(d->fit.payload.data, d->fit.payload.len, &shape, &d->error),
			PGML_ERR_CORRUPT);
	}
	data_free(d);
}

int
test_oblivious(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stump_of_squared_error),
		cmocka_unit_test(tree_of_two_levels),
		cmocka_unit_test(questions_of_their_own),
		cmocka_unit_test(words_of_the_loss),
		cmocka_unit_test(stump_of_logistic_loss),
		cmocka_unit_test(stump_of_softmax),
		cmocka_unit_test(missing_values_are_least),
		cmocka_unit_test(few_levels_are_asked_for),
		cmocka_unit_test(learns_what_is_there),
		cmocka_unit_test(validation_rows_are_predicted),
		cmocka_unit_test(threads_and_given_bins_change_nothing),
		cmocka_unit_test(threads_and_combinations_change_nothing),
		cmocka_unit_test(weights_equal_repeated_rows),
		cmocka_unit_test(early_stopping_keeps_the_best_round),
		cmocka_unit_test(deadline_gives_what_there_is),
		cmocka_unit_test(stop_flag_cancels),
		cmocka_unit_test(memory_is_estimated),
		cmocka_unit_test(memory_of_deep_trees_is_estimated),
		cmocka_unit_test(little_memory_grows_the_same_trees),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(payloads_are_bounded),
		cmocka_unit_test(targets_without_variation),
		cmocka_unit_test(features_without_variation),
		cmocka_unit_test(one_row),
		cmocka_unit_test(as_many_classes_as_rows),
		cmocka_unit_test(extreme_values),
		cmocka_unit_test(separable_classes_without_penalty),
		cmocka_unit_test(blocks_equal_single_rows),
		cmocka_unit_test(blocks_of_a_model_without_trees),
		cmocka_unit_test(shortened_payloads_are_refused),
		cmocka_unit_test(flipped_bytes_never_crash),
		cmocka_unit_test(other_shapes_are_refused),
	};

	return cmocka_run_group_tests_name("oblivious_boosting", tests, NULL, NULL);
}
