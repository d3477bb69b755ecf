/*
 * Tests of learner `gradient_boosting`: whole fits, predictions, hostile payloads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "learner/gbm_loss.h"
#include "learner/gbm_payload.h"

extern int test_gradient_boosting(void);

static const PgmlGbmHeader *
header(const Data *d)
{
	return (const PgmlGbmHeader *) d->fit.payload.data;
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.12g is not %.12g", a, b);
}

/* ---- closed forms ---- */

/*
 * y = 0 0 10 14, mean 6, so g = 6 6 -4 -8 and h = 1.  With lambda 1 the cut after two rows gains most:
 * 144/3 + 144/3 = 96 against 27 and 48; leaves -12/3 and 12/3.
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
	set_stump(d);
	set(d, "lambda_l2", 1);
	fit(d, NULL);
	assert_near(predict_x(d, 1), 2, 1e-9);
	assert_near(predict_x(d, 2.5f), 2, 1e-9);
	assert_near(predict_x(d, 2.5001f), 10, 1e-9);
	assert_near(predict_x(d, 99), 10, 1e-9);
	/* |G| less 3: leaves -9/3 and 9/3; a bound above the gain of 2 * 81/3 = 54: no split. */
	set(d, "lambda_l1", 3);
	fit(d, NULL);
	assert_near(predict_x(d, 1), 3, 1e-9);
	assert_near(predict_x(d, 4), 9, 1e-9);
	set(d, "min_gain_to_split", 54.1);
	fit(d, NULL);
	assert_int_equal(header(d)->n_trees, 0);
	assert_near(predict_x(d, 1), 6, 1e-9);
	data_free(d);
}

/* 1 of 4 positive on the left, 3 of 4 on the right: p = 1/2, G = 1 and -1, H = 1. */
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
	set_stump(d);
	set(d, "learning_rate", 0.5);
	fit(d, NULL);
	assert_near(predict_x(d, 10), 1 / (1 + exp(0.5)), 1e-9);
	assert_near(predict_x(d, 20), 1 / (1 + exp(-0.5)), 1e-9);
	data_free(d);
}

/* Three classes of 4 rows; x separates class 0: G = 4/3 - 4, H = 3/2 * 4 * 2/9 on its side, and so on. */
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
	set_stump(d);
	fit(d, NULL);
	assert_int_equal(header(d)->n_trees, 3);
	s[0] = (8.0 / 3) / (4.0 / 3);
	s[1] = s[2] = -(4.0 / 3) / (4.0 / 3);
	sum = exp(s[0]) + exp(s[1]) + exp(s[2]);
	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	for (int k = 0; k < 3; k++)
		assert_near(out[k], exp(s[k]) / sum, 1e-7);
	data_free(d);
}

static void
initial_scores(void **state)
{
	Data *d = data_new(4, 1, PGML_TASK_BINARY, 2);
	double out[3];
	float x = 0;

	(void) state;
	d->y[0] = 1;
	fit(d, NULL);
	assert_near(predict_x(d, 0), 0.25, 1e-12);
	d->set.w = d->w;
	d->w[0] = 3;
	fit(d, NULL);
	assert_near(predict_x(d, 0), 0.5, 1e-12);
	d->set.w = NULL;
	d->set.task = d->shape.task = PGML_TASK_MULTICLASS;
	d->set.n_classes = d->shape.n_classes = 3;
	d->y[1] = 2;
	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	/* Classes 0, 1 and 2 occur 2, 1 and 1 times. */
	assert_near(out[0], 0.5, 1e-12);
	assert_near(out[1], 0.25, 1e-12);
	data_free(d);
}

/* ---- missing values and categories ---- */

static void
missing_values_choose_their_side(void **state)
{
	Data *d = data_new(12, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	set_stump(d);
	for (int like_high = 0; like_high < 2; like_high++)
	{
		for (int i = 0; i < 12; i++)
		{
			d->col[0][i] = i < 4 ? 0 : i < 8 ? 1 : NAN;
			d->y[i] = i < 4 ? 0 : i < 8 ? 1 : like_high;
		}
		fit(d, NULL);
		assert_near(predict_x(d, 0), 0, 1e-9);
		assert_near(predict_x(d, 1), 1, 1e-9);
		assert_near(predict_x(d, NAN), like_high, 1e-9);
	}
	/* Only whether it is missing matters. */
	for (int i = 0; i < 12; i++)
		d->y[i] = i < 8 ? 0 : 1;
	fit(d, NULL);
	assert_near(predict_x(d, -1000), 0, 1e-9);
	assert_near(predict_x(d, 1000), 0, 1e-9);
	assert_near(predict_x(d, NAN), 1, 1e-9);
	/* Nothing was missing in training: where most rows went. */
	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = i < 9;
		d->y[i] = i < 9;
	}
	fit(d, NULL);
	assert_near(predict_x(d, NAN), 1, 1e-9);
	data_free(d);
}

/* Levels whose values alternate: a set finds them, whatever their numbers. */
static void
levels_are_split_by_set(void **state)
{
	Data *d = data_new(800, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	make_categorical(d, 0, 8);
	for (int i = 0; i < 800; i++)
	{
		d->col[0][i] = (float) (i % 8);
		d->y[i] = i % 8 == 1 || i % 8 == 4 || i % 8 == 6 ? 5 : 1;
	}
	set_stump(d);
	set(d, "cat_l2", 0);
	set(d, "cat_smooth", 0);
	fit(d, NULL);
	for (int i = 0; i < 8; i++)
		assert_near(predict_x(d, (float) i), d->y[i], 1e-9);
	/* Unseen, missing and nonsense go with the rest: the larger set. */
	assert_near(predict_x(d, NAN), 1, 1e-9);
	assert_near(predict_x(d, 8), 1, 1e-9);
	assert_near(predict_x(d, -1), 1, 1e-9);
	assert_near(predict_x(d, 1e30f), 1, 1e-9);
	/* A level with a few rows stays out of sets when cat_smooth asks for more. */
	d->set.n = 8 * 15;
	set(d, "cat_smooth", 20);
	fit(d, NULL);
	assert_int_equal(header(d)->n_trees, 0);
	data_free(d);
}

static void
few_levels_are_split_one_against_the_rest(void **state)
{
	Data *d = data_new(400, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	make_categorical(d, 0, 4);
	for (int i = 0; i < 400; i++)
	{
		d->col[0][i] = (float) (i % 4);
		d->y[i] = i % 4 == 2 ? 5 : 1;
	}
	set_stump(d);
	fit(d, NULL);
	/* cat_l2 plays no part here. */
	assert_near(predict_x(d, 2), 5, 1e-9);
	assert_near(predict_x(d, 3), 1, 1e-9);
	/* Missing is a level too. */
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

static void
a_thousand_levels(void **state)
{
	Data *d = data_new(20000, 1, PGML_TASK_BINARY, 2);
	PgmlRng rng;
	int right = 0;

	(void) state;
	make_categorical(d, 0, 1000);
	pgml_rng_init(&rng, 4, 0);
	for (int i = 0; i < 20000; i++)
	{
		double u = pgml_rng_uniform(&rng);
		int level = (int) (1000 * u * u);

		d->col[0][i] = (float) level;
		d->y[i] = level % 3 == 0;
	}
	fit(d, NULL);
	for (int i = 0; i < 200; i++)
		right += (predict_x(d, (float) i) > 0.5) == (i % 3 == 0);
	assert_true(right > 195);
	/* Levels beyond the last bin are one. */
	assert_true(predict_x(d, 300) == predict_x(d, 999));
	data_free(d);
}

/* ---- training and prediction agree ---- */

/* Scores of training equal those of the payload through raw values, bit by bit. */
static void
check_margins(Data *d)
{
	int k = pgml_task_outputs(d->set.task, d->set.n_classes);
	double *margin = calloc((size_t) (d->set.n * k), sizeof(double));

	fit(d, margin);
	for (int64_t i = 0; i < d->set.n; i++)
	{
		double out[8], expected[8], sum = 0, highest = -INFINITY;
		float x[MAX_FEATURES];

		get_row(d, i, x);
		learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
		for (int j = 0; j < k; j++)
			highest = fmax(highest, margin[i * k + j]);
		for (int j = 0; j < k; j++)
			sum += expected[j] = pgml_gbm_exp(margin[i * k + j] - highest);
		for (int j = 0; j < k; j++)
		{
			if (d->set.task == PGML_TASK_REGRESSION)
				assert_true(out[j] == margin[i]);
			else if (d->set.task == PGML_TASK_BINARY)
				assert_true(out[j] == pgml_gbm_sigmoid(margin[i]));
			else
				assert_true(out[j] == expected[j] / sum);
		}
	}
	free(margin);
}

static void
training_scores_equal_predictions(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_mixed(1500, 9, tasks[t], t == 0 ? 1 : t == 1 ? 2 : 4);

		set(d, "n_estimators", 15);
		check_margins(d);
		set(d, "bagging_fraction", 0.6);
		set(d, "feature_fraction", 0.7);
		set(d, "feature_fraction_bynode", 0.5);
		set(d, "max_bin", 20);
		check_margins(d);
		set(d, "extra_trees", 1);
		check_margins(d);
		data_free(d);
	}
}

static void
blocks_equal_single_rows(void **state)
{
	Data *d = data_mixed(700, 8, PGML_TASK_MULTICLASS, 3);
	float *x = calloc(700 * 8, sizeof(float));
	double *out = calloc(700 * 3, sizeof(double));

	(void) state;
	set(d, "n_estimators", 10);
	fit(d, NULL);
	for (int i = 0; i < 700; i++)
		get_row(d, i, x + i * 8);
	learner->predict(d->fit.payload.data, &d->shape, x, 700, out);
	for (int i = 0; i < 700; i++)
	{
		assert_true(predict_row(d, i) == out[i * 3]);
		assert_near(out[i * 3] + out[i * 3 + 1] + out[i * 3 + 2], 1, 1e-12);
	}
	free(x);
	free(out);
	data_free(d);
}

/* Mean loss of margins. */
static double
training_loss(const Data *d, const double *margin)
{
	double loss = 0;

	for (int64_t i = 0; i < d->set.n; i++)
		loss += d->set.task == PGML_TASK_REGRESSION ?
					pow(margin[i] - d->y[i], 2) :
					log1p(exp(d->y[i] > 0 ? -margin[i] : margin[i]));
	return loss / (double) d->set.n;
}

static void
loss_falls_with_every_round(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Data *d = data_mixed(1000, 8, tasks[t], t + 1);
		double *margin = calloc(1000, sizeof(double));
		double before = INFINITY;

		for (int rounds = 1; rounds <= 12; rounds++)
		{
			set(d, "n_estimators", rounds);
			fit(d, margin);
			assert_true(training_loss(d, margin) < before);
			before = training_loss(d, margin);
		}
		free(margin);
		data_free(d);
	}
}

static void
learns_what_is_there(void **state)
{
	Data *d = data_mixed(4000, 10, PGML_TASK_REGRESSION, 1);
	double error = 0, variance = 0;

	(void) state;
	d->set.n = 3000;
	fit(d, NULL);
	for (int i = 3000; i < 4000; i++)
	{
		error += pow(predict_row(d, i) - d->y[i], 2);
		variance += pow(d->y[i], 2);
	}
	assert_true(error < 0.2 * variance);
	data_free(d);
}

/* ---- settings ---- */

/* Deepest leaf below a node of a tree. */
static int
depth_of(const PgmlGbmNode16 *tree, int32_t at)
{
	int left, right;

	if (at < 0)
		return 0;
	left = depth_of(tree, tree[at].left);
	right = depth_of(tree, tree[at].right);
	return 1 + (left > right ? left : right);
}

/* Node array of a payload with one output. */
static const PgmlGbmNode16 *
nodes(const Data *d)
{
	size_t at =
		sizeof(PgmlGbmHeader) + sizeof(double) + (header(d)->n_trees + 1) * sizeof(uint32_t);

	return (const PgmlGbmNode16 *) (d->fit.payload.data + (at + 7) / 8 * 8);
}

static void
tree_size_is_bounded(void **state)
{
	Data *d = data_mixed(3000, 8, PGML_TASK_REGRESSION, 1);

	(void) state;
	set(d, "n_estimators", 1);
	fit(d, NULL);
	assert_int_equal(header(d)->n_nodes, 30);
	assert_true(depth_of(nodes(d), 0) > 5);
	set(d, "max_depth", 3);
	fit(d, NULL);
	assert_int_equal(depth_of(nodes(d), 0), 3);
	assert_int_equal(header(d)->n_nodes, 7);
	set(d, "min_data_in_leaf", 1000);
	fit(d, NULL);
	assert_in_range(header(d)->n_nodes, 1, 2);
	set(d, "min_data_in_leaf", 1);
	set(d, "min_sum_hessian_in_leaf", 1000);
	fit(d, NULL);
	assert_in_range(header(d)->n_nodes, 1, 2);
	data_free(d);
}

static void
settings_have_their_usual_names(void **state)
{
	static const char *const names[] = {
		"num_iterations",    "num_boost_round",   "num_trees",        "eta",
		"shrinkage_rate",    "min_child_samples", "min_samples_leaf", "reg_lambda",
		"l2_regularization", "reg_alpha",         "subsample",        "colsample_bytree",
		"max_leaves",        "max_leaf_nodes",    "max_bins",         "early_stopping_rounds",
		"num_leaves",        "max_depth",         "min_child_weight", "min_split_gain",
	};
	Data *d = data_new(1, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(pgml_params_set(learner, &d->params, names[i], 2, NULL) == PGML_OK ||
					pgml_params_set(learner, &d->params, names[i], 0.5, NULL) == PGML_OK);
	assert_int_equal(pgml_params_set(learner, &d->params, "max_bin", 256, &d->error),
					 PGML_ERR_BADARG);
	for (int i = 0; i < learner->n_params; i++)
		assert_in_range(learner->params[i].def - learner->params[i].min, 0,
						learner->params[i].max - learner->params[i].min);
	data_free(d);
}

static void
sampling_follows_the_seed(void **state)
{
	Data *d = data_mixed(1000, 8, PGML_TASK_REGRESSION, 1);
	double first, second;

	(void) state;
	set(d, "n_estimators", 5);
	fit(d, NULL);
	first = predict_row(d, 0);
	d->env.seed = 2;
	fit(d, NULL);
	assert_true(predict_row(d, 0) == first);
	set(d, "bagging_fraction", 0.5);
	fit(d, NULL);
	first = predict_row(d, 0);
	fit(d, NULL);
	assert_true(predict_row(d, 0) == first);
	d->env.seed = 3;
	fit(d, NULL);
	second = predict_row(d, 0);
	assert_true(second != first);
	data_free(d);
}

/* Whole weights say the same as repeated rows; bins have a value each, so they agree too. */
static void
weights_equal_repeated_rows(void **state)
{
	Data *d = data_mixed(600, 6, PGML_TASK_BINARY, 2);
	Data *many = data_new(1200, 6, PGML_TASK_BINARY, 2);
	int64_t n = 0;

	(void) state;
	for (int i = 0; i < 600; i++)
	{
		d->w[i] = 1 + i % 3;
		for (int f = 0; f < 4; f++)
			d->col[f][i] = roundf(d->col[f][i] * 8);
		for (int copy = 0; copy < 1 + i % 3; copy++, n++)
		{
			many->y[n] = d->y[i];
			for (int f = 0; f < 6; f++)
				many->col[f][n] = d->col[f][i];
		}
	}
	assert_int_equal(n, 1200);
	d->set.w = d->w;
	set(d, "n_estimators", 20);
	set(d, "min_data_in_leaf", 1);
	set(d, "min_sum_hessian_in_leaf", 5);
	set(d, "cat_smooth", 0);
	set(d, "min_data_per_group", 1);
	make_categorical(many, 4, 12);
	make_categorical(many, 5, 3);
	many->params = d->params;
	fit(d, NULL);
	fit(many, NULL);
	for (int i = 0; i < 600; i++)
	{
		float x[6];
		double other;

		get_row(d, i, x);
		learner->predict(many->fit.payload.data, &many->shape, x, 1, &other);
		assert_near(predict_row(d, i), other, 1e-6);
	}
	data_free(d);
	data_free(many);
}

/* ---- the same bytes ---- */

/* Fit as d is, then compare with bytes kept from before. */
static void
assert_same_bytes(Data *d, const uint8_t *bytes, size_t len)
{
	fit(d, NULL);
	assert_int_equal(d->fit.payload.len, len);
	assert_memory_equal(d->fit.payload.data, bytes, len);
}

static void
threads_and_given_bins_change_nothing(void **state)
{
	(void) state;
	for (int narrow = 0; narrow < 2; narrow++)
	{
		Data *d = data_mixed(30000, narrow ? 6 : 20, PGML_TASK_MULTICLASS, 3);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		PgmlBins *bins;
		uint8_t *bytes;
		size_t len;

		set(d, "n_estimators", 3);
		set(d, "bagging_fraction", 0.8);
		set(d, "feature_fraction_bynode", 0.8);
		fit(d, NULL);
		len = d->fit.payload.len;
		bytes = malloc(len);
		memcpy(bytes, d->fit.payload.data, len);
		d->env.pool = pgml_pool_create(3);
		assert_same_bytes(d, bytes, len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, d->set.n, 255, &bins),
						 PGML_OK);
		d->set.bins = bins;
		assert_same_bytes(d, bytes, len);
		free(bytes);
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

static void
memory_is_estimated(void **state)
{
	Data *d = data_mixed(5000, 12, PGML_TASK_MULTICLASS, 4);
	int64_t bytes, payload;

	(void) state;
	d->set.valid_rows = d->rows + 4000;
	d->set.n = 4000;
	d->set.n_valid = 1000;
	set(d, "n_estimators", 20);
	fit(d, NULL);
	bytes = learner->memory(&d->set, &d->params, &payload);
	/* Growing trees take up to twice the bytes that they have. */
	assert_true(bytes + 2 * payload >= atomic_load(&d->budget.peak));
	assert_true(bytes + 2 * payload < 4 * atomic_load(&d->budget.peak));
	assert_true(payload >= (int64_t) d->fit.payload.len);
	data_free(d);
}

/* ---- stopping ---- */

static void
early_stopping_keeps_the_best_round(void **state)
{
	Data *d = data_mixed(1200, 8, PGML_TASK_BINARY, 2);
	int best;

	(void) state;
	/* Labels of little sense: more rounds soon harm. */
	for (int i = 0; i < 1200; i += 3)
		d->y[i] = i % 2;
	d->set.n = 600;
	d->set.valid_rows = d->rows + 600;
	d->set.n_valid = 600;
	set(d, "n_estimators", 300);
	set(d, "early_stopping_round", 10);
	fit(d, NULL);
	best = d->fit.best_iteration;
	assert_in_range(best, 1, 280);
	assert_int_equal(header(d)->n_trees, best);
	assert_false(d->fit.out_of_time);
	/* The same rounds without validation rows give the same model. */
	{
		double p = predict_row(d, 7);

		set(d, "n_estimators", best);
		set(d, "early_stopping_round", 0);
		fit(d, NULL);
		assert_true(predict_row(d, 7) == p);
	}
	set(d, "n_estimators", 290);
	fit(d, NULL);
	assert_int_equal(d->fit.best_iteration, 290);
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
	assert_int_equal(header(d)->n_trees, 3 * d->fit.best_iteration);
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

/* Every allocation in turn fails cleanly. */
static void
memory_runs_out(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_MULTICLASS, 3);
	PgmlStatus status;
	int64_t k = 1;

	(void) state;
	d->set.n = 200;
	d->set.valid_rows = d->rows + 200;
	d->set.n_valid = 100;
	set(d, "n_estimators", 4);
	set(d, "bagging_fraction", 0.8);
	for (bool failed = true; failed; k++)
	{
		assert_true(k < 1000);
		atomic_store(&d->budget.fail_at, k);
		d->fit.out_of_memory = false;
		status = try_fit(d, NULL);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
		failed = atomic_load(&d->budget.fail_at) == 0;
		/* Once there is a round, it is kept. */
		if (status == PGML_OK && failed && d->fit.out_of_memory)
			assert_int_equal(header(d)->n_trees, 3 * d->fit.best_iteration);
		if (status != PGML_OK)
			assert_int_equal(d->error.status, PGML_ERR_NOMEM);
	}
	assert_true(k > 30);
	data_free(d);
}

static void
memory_limit_is_kept(void **state)
{
	Data *d = data_mixed(1000, 8, PGML_TASK_REGRESSION, 1);

	(void) state;
	d->budget.limit = 20000;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_LIMIT);
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
	Data *d = data_new(1, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	d->y[0] = 42;
	set(d, "min_data_in_leaf", 0);
	fit(d, NULL);
	assert_near(predict_x(d, 0), 42, 1e-12);
	d->set.n = 0;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	assert_string_equal(d->error.message, "there are no rows to learn from");
	data_free(d);
}

/* The fit of an exact function goes on to rounding error and no further. */
static void
exact_functions(void **state)
{
	Data *d = data_new(200, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 200; i++)
	{
		d->col[0][i] = (float) i;
		d->y[i] = i < 100 ? 1e6 : 1e6 + 1;
	}
	set(d, "learning_rate", 1);
	fit(d, NULL);
	assert_near(predict_x(d, 0), 1e6, 1e-6);
	assert_near(predict_x(d, 199), 1e6 + 1, 1e-6);
	assert_true(header(d)->n_trees < 10);
	data_free(d);
}

static void
extreme_targets_and_weights(void **state)
{
	Data *d = data_mixed(400, 6, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 400; i++)
		d->y[i] *= 1e100;
	fit(d, NULL);
	assert_true(fabs(predict_row(d, 0) - d->y[0]) < 1e101);
	for (int i = 0; i < 400; i++)
		d->y[i] *= 1e150;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_NUMERIC);
	d->y[9] = NAN;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	d->y[9] = INFINITY;
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
	d->set.task = PGML_TASK_BINARY;
	d->set.n_classes = 2;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
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
	set(d, "n_estimators", 3);
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
	Data *d = data_mixed(500, 6, PGML_TASK_MULTICLASS, 3);
	PgmlRng rng;
	float x[8 * 6];
	int refused = 0;

	(void) state;
	set(d, "n_estimators", 4);
	fit(d, NULL);
	pgml_rng_init(&rng, 12, 0);
	for (int i = 0; i < 8; i++)
		get_row(d, i, x + i * 6);
	x[4] = 1e30f;
	x[10] = -5;
	for (int round = 0; round < 5000; round++)
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
		refused += status != PGML_OK;
		d->fit.payload.data[at] = old;
		free(copy);
	}
	assert_true(refused > 500);
	data_free(d);
}

static void
other_shapes_are_refused(void **state)
{
	Data *d = data_mixed(500, 6, PGML_TASK_BINARY, 2);
	PgmlShape shape;
	bool numeric[6] = { false };

	(void) state;
	fit(d, NULL);
	shape = d->shape;
	shape.nfeatures = 2;
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &shape, &d->error),
					 PGML_ERR_CORRUPT);
	shape = d->shape;
	shape.categorical = numeric;
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &shape, &d->error),
					 PGML_ERR_CORRUPT);
	shape = d->shape;
	shape.task = PGML_TASK_MULTICLASS;
	shape.n_classes = 3;
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &shape, &d->error),
					 PGML_ERR_CORRUPT);
	data_free(d);
}

int
test_gradient_boosting(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stump_of_squared_error),
		cmocka_unit_test(stump_of_logistic_loss),
		cmocka_unit_test(stump_of_softmax),
		cmocka_unit_test(initial_scores),
		cmocka_unit_test(missing_values_choose_their_side),
		cmocka_unit_test(levels_are_split_by_set),
		cmocka_unit_test(few_levels_are_split_one_against_the_rest),
		cmocka_unit_test(a_thousand_levels),
		cmocka_unit_test(training_scores_equal_predictions),
		cmocka_unit_test(blocks_equal_single_rows),
		cmocka_unit_test(loss_falls_with_every_round),
		cmocka_unit_test(learns_what_is_there),
		cmocka_unit_test(tree_size_is_bounded),
		cmocka_unit_test(settings_have_their_usual_names),
		cmocka_unit_test(sampling_follows_the_seed),
		cmocka_unit_test(weights_equal_repeated_rows),
		cmocka_unit_test(threads_and_given_bins_change_nothing),
		cmocka_unit_test(memory_is_estimated),
		cmocka_unit_test(early_stopping_keeps_the_best_round),
		cmocka_unit_test(deadline_gives_what_there_is),
		cmocka_unit_test(stop_flag_cancels),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(memory_limit_is_kept),
		cmocka_unit_test(targets_without_variation),
		cmocka_unit_test(features_without_variation),
		cmocka_unit_test(one_row),
		cmocka_unit_test(exact_functions),
		cmocka_unit_test(extreme_targets_and_weights),
		cmocka_unit_test(shortened_payloads_are_refused),
		cmocka_unit_test(flipped_bytes_never_crash),
		cmocka_unit_test(other_shapes_are_refused),
	};

	return gbm_parts() + gbm_sampling() + gbm_objectives() +
		   cmocka_run_group_tests_name("gradient_boosting", tests, NULL, NULL);
}
