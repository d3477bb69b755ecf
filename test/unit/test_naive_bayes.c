/* Tests of learner/naive_bayes*. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_naive_bayes
#include "gbm_data.h"
#include "learner/naive_bayes.h"
#include "unit.h"

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* Predictions of a row. */
static void
predict(const Data *d, const float *x, double *out)
{
	learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
}

/* Probabilities of all rows: numbers between 0 and 1 that add up to 1. */
static void
assert_probabilities(const Data *d)
{
	int k = d->shape.task == PGML_TASK_BINARY ? 1 : d->shape.n_classes;
	float x[MAX_FEATURES];
	double *out = calloc((size_t) k, sizeof(double));

	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		double sum = 0;

		get_row(d, i, x);
		predict(d, x, out);
		for (int c = 0; c < k; c++)
		{
			assert_true(out[c] >= 0 && out[c] <= 1);
			sum += out[c];
		}
		assert_true(k == 1 || fabs(sum - 1) < 1e-12);
	}
	free(out);
}

/* ---- by hand ------------------------------------------------------------------------------------- */

static void
densities_are_bells(void **state)
{
	static const float x[] = { 1, 3, 5, 9 };
	Data *d = data_new(4, 1, PGML_TASK_BINARY, 2);
	double spread = (12.25 + 2.25 + 0.25 + 20.25) / 4 * 1e-9; /* around the mean, 4.5 */
	double a, b;

	(void) state;
	memcpy(d->col[0], x, sizeof(x));
	d->y[2] = d->y[3] = 1;
	fit(d, NULL);
	/* Means 2 and 7, variances 1 and 4. */
	for (float at = -3; at < 12; at++)
	{
		a = exp(-(at - 2) * (at - 2) / (2 * (1 + spread))) / sqrt(1 + spread);
		b = exp(-(at - 7) * (at - 7) / (2 * (4 + spread))) / sqrt(4 + spread);
		assert_near(predict_x(d, at), b / (a + b), 1e-12);
	}
	assert_near(predict_x(d, NAN), 0.5, 1e-12);
	data_free(d);
}

static void
columns_of_0_and_1_are_shares(void **state)
{
	Data *d = data_new(7, 1, PGML_TASK_BINARY, 2);

	(void) state;
	/* Of class 0 one of four is 1, one is missing; of class 1 both are. */
	for (int i = 0; i < 7; i++)
	{
		d->y[i] = i >= 5;
		d->col[0][i] = i == 0 || i >= 5;
	}
	d->col[0][4] = NAN;
	fit(d, NULL);
	assert_near(predict_x(d, 1), 2.0 / 7 * 3 / 4 / (2.0 / 7 * 3 / 4 + 5.0 / 7 * 2 / 6), 1e-12);
	assert_near(predict_x(d, 0), 2.0 / 7 * 1 / 4 / (2.0 / 7 * 1 / 4 + 5.0 / 7 * 4 / 6), 1e-12);
	assert_near(predict_x(d, NAN), 2.0 / 7, 1e-12);
	set(d, "fit_prior", 0);
	fit(d, NULL);
	assert_near(predict_x(d, NAN), 0.5, 1e-12);
	data_free(d);
}

static void
levels_have_shares(void **state)
{
	static const float x[] = { 0, 0, 1, 1, 2 };
	Data *d = data_new(5, 1, PGML_TASK_BINARY, 2);

	(void) state;
	make_categorical(d, 0, 3);
	memcpy(d->col[0], x, sizeof(x));
	d->y[3] = d->y[4] = 1;
	fit(d, NULL);
	/* Of class 0: 2, 1, 0; of class 1: 0, 1, 1; each one more. */
	assert_near(predict_x(d, 0), 2.0 / 5 * 1 / 5 / (2.0 / 5 * 1 / 5 + 3.0 / 5 * 3 / 6), 1e-12);
	assert_near(predict_x(d, 2), 2.0 / 5 * 2 / 5 / (2.0 / 5 * 2 / 5 + 3.0 / 5 * 1 / 6), 1e-12);
	/* What is no level is missing. */
	assert_near(predict_x(d, 3), 0.4, 1e-12);
	assert_near(predict_x(d, -1), 0.4, 1e-12);
	assert_near(predict_x(d, NAN), 0.4, 1e-12);
	data_free(d);
}

/* ---- as scikit-learn ----------------------------------------------------------------------------- */

/* 12 rows of 3 small counts and 3 classes. */
static Data *
counts_new(bool weighted)
{
	Data *d = data_new(12, 3, PGML_TASK_MULTICLASS, 3);

	for (int i = 0; i < 12; i++)
	{
		d->col[0][i] = (float) (i * 7 % 5);
		d->col[1][i] = (float) (i * 3 % 4);
		d->col[2][i] = (float) (i * i % 7);
		d->y[i] = (i * i + i) / 4 % 3;
		d->w[i] = 1 + i % 3;
	}
	if (weighted)
		d->set.w = d->w;
	return d;
}

/* Fit, and compare the probabilities of two rows. */
static void
check_scikit(Data *d, const double *expected)
{
	static const float rows[] = { 2, 1, 3, 0, 3, 6 };
	double out[6];

	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, rows, 2, out);
	for (int i = 0; i < 6; i++)
		assert_near(out[i], expected[i], 1e-12);
	data_free(d);
}

/* The numbers are scikit-learn 1.2.1's. */
static void
probabilities_are_those_of_scikit_learn(void **state)
{
	static const double gaussian[] = { 0.87175360027147342,  0.11027494384386759,
									   0.017971455884658937, 3.6323346959377182e-08,
									   0.99999996367665278,  3.0119552963793963e-20 };
	static const double weighted[] = { 0.8582655250038187,   0.12056696818277396,
									   0.021167506813407126, 8.3311719596822494e-11,
									   0.99999999991668809,  3.3275918463876352e-20 };
	static const double multinomial[] = { 0.52864218248584782,  0.38698393488840449,
										  0.084373882625747104, 0.54800053811765737,
										  0.45102410571918677,  0.00097535616315517007 };
	static const double half[] = {
		0.42474326609997165, 0.44781582451369867, 0.1274409093863294,
		0.30606849036497891, 0.69346192717347532, 0.00046958246154645466
	};
	static const double bernoulli[] = { 0.46500422870909058, 0.43248161152259135,
										0.10251415976831807, 0.29177141570672788,
										0.63318449589133596, 0.07504408840193616 };
	static const double category[] = {
		0.6461129399848059, 0.17282856419346673, 0.18105849582172703,
		0.4142717973697031, 0.49866049683390168, 0.087067705796395542
	};
	static const double quarter[] = { 0.8627336879048324,  0.023505005474593128,
									  0.11376130662057403, 0.21190390007525312,
									  0.77862290203011641, 0.0094731978946302198 };
	Data *d = counts_new(false);

	(void) state;
	set_word(d, "distribution", "gaussian");
	check_scikit(d, gaussian);
	d = counts_new(true);
	set_word(d, "distribution", "gaussian");
	check_scikit(d, weighted);
	d = counts_new(false);
	set_word(d, "distribution", "multinomial");
	check_scikit(d, multinomial);
	d = counts_new(true);
	set_word(d, "distribution", "multinomial");
	set(d, "alpha", 0.5);
	set(d, "fit_prior", 0);
	check_scikit(d, half);
	d = counts_new(false);
	set_word(d, "distribution", "bernoulli");
	set(d, "binarize", 2.5);
	set(d, "alpha", 2);
	check_scikit(d, bernoulli);
	for (int w = 0; w < 2; w++)
	{
		d = counts_new(w);
		make_categorical(d, 0, 5);
		make_categorical(d, 1, 4);
		make_categorical(d, 2, 7);
		if (w)
			set(d, "alpha", 0.25);
		check_scikit(d, w ? quarter : category);
	}
}

/* ---- what is missing, or weighs more ------------------------------------------------------------- */

/* Mixed columns of all kinds, with a column of 0 and 1. */
static Data *
all_kinds(int64_t n, PgmlTask task, int n_classes)
{
	Data *d = data_mixed(n, 8, task, n_classes);

	for (int64_t i = 0; i < n; i++)
		d->col[7][i] = i % 5 == 0 ? NAN : (float) (d->col[0][i] > 0.5f);
	return d;
}

/* A missing value says nothing: as if the model had no such column. */
static void
missing_values_are_left_out(void **state)
{
	Data *d = all_kinds(400, PGML_TASK_MULTICLASS, 3);
	float x[MAX_FEATURES];
	double with[3], without[3];

	(void) state;
	fit(d, NULL);
	get_row(d, 7, x);
	x[3] = NAN;
	x[4] = NAN;
	x[7] = NAN;
	predict(d, x, with);
	for (int i = 0; i < 400; i++)
		d->col[3][i] = d->col[4][i] = d->col[7][i] = NAN; /* and all missing in training */
	fit(d, NULL);
	predict(d, x, without);
	for (int c = 0; c < 3; c++)
		assert_near(with[c], without[c], 1e-12);
	for (int f = 0; f < 8; f++)
		x[f] = NAN;
	predict(d, x, with);
	for (int c = 0; c < 3; c++)
	{
		double share = 0;

		for (int i = 0; i < 400; i++)
			share += d->y[i] == c;
		assert_near(with[c], share / 400, 1e-12);
	}
	data_free(d);
}

static void
a_row_of_weight_3_is_three_rows(void **state)
{
	static const char *const words[] = { "auto", "multinomial", "bernoulli" };

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		Data *d = all_kinds(300, PGML_TASK_MULTICLASS, 3);
		double weighted[3 * 300], repeated[3 * 300];
		float x[MAX_FEATURES];
		int32_t *rows = calloc(900, sizeof(int32_t));
		int64_t n = 0;

		for (int r = 0; r < 300; r++)
		{
			d->w[r] = r % 4;
			for (int t = 0; t < r % 4; t++)
				rows[n++] = r;
			for (int f = 0; i == 1 && f < 8; f++)
				if (f != 4 && f != 5)
					d->col[f][r] = fabsf(d->col[f][r]);
		}
		set_word(d, "distribution", words[i]);
		set(d, "var_smoothing", 0); /* of variances of rows, each counted once */
		for (int pass = 0; pass < 2; pass++)
		{
			d->set.w = pass == 0 ? d->w : NULL;
			d->set.rows = pass == 0 ? d->rows : rows;
			d->set.n = pass == 0 ? 300 : n;
			fit(d, NULL);
			for (int r = 0; r < 300; r++)
			{
				get_row(d, r, x);
				predict(d, x, (pass == 0 ? weighted : repeated) + 3 * r);
			}
		}
		for (int r = 0; r < 900; r++)
			assert_near(weighted[r], repeated[r], 1e-9);
		free(rows);
		data_free(d);
	}
}

/* ---- ways ---------------------------------------------------------------------------------------- */

static void
blocks_are_the_rows(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		int k = t == 0 ? 1 : 5;
		Data *d = all_kinds(600, tasks[t], t == 0 ? 2 : 5);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		double rows[5 * 600], out[5 * PGML_BLOCK_ROWS];
		float x[MAX_FEATURES];
		float *block = malloc(sizeof(float) * 8 * 600);
		const void *prepared;
		void *scratch;

		fit(d, NULL);
		for (int i = 0; i < 600; i++)
		{
			get_row(d, i, x);
			predict(d, x, rows + i * k);
			for (int f = 0; f < 8; f++)
				block[f * 600 + i] = x[f];
		}
		assert_int_equal(
			learner->prepare(&d->env, arena, d->fit.payload.data, &d->shape, &prepared), PGML_OK);
		assert_true(learner->prepared_size(prepared) % 64 == 0);
		scratch = pgml_alloc(arena, learner->scratch(prepared));
		for (int n = 0; n <= PGML_BLOCK_ROWS; n++)
		{
			learner->predict_block(prepared, d->fit.payload.data, &d->shape,
								   &(PgmlBlock){ block + n, 600, n }, out, scratch);
			assert_memory_equal(out, rows + n * k, (size_t) (n * k) * sizeof(double));
		}
		free(block);
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

static void
threads_do_not_matter(void **state)
{
	Data *one = all_kinds(3000, PGML_TASK_MULTICLASS, 4);
	Data *three = all_kinds(3000, PGML_TASK_MULTICLASS, 4);

	(void) state;
	three->env.pool = pgml_pool_create(3);
	fit(one, NULL);
	fit(three, NULL);
	assert_int_equal(one->fit.payload.len, three->fit.payload.len);
	assert_memory_equal(one->fit.payload.data, three->fit.payload.data, one->fit.payload.len);
	pgml_pool_destroy(three->env.pool);
	data_free(one);
	data_free(three);
}

/* The parts add up to the score; over the training rows they have mean 0. */
static void
scores_are_sums_of_parts(void **state)
{
	static const char *const words[] = { "auto", "gaussian", "multinomial", "bernoulli" };

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		bool binary = i < 4;
		Data *d = all_kinds(256, binary ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS, binary ? 2 : 3);
		float *block = malloc(sizeof(float) * 8 * 256);
		double *phi = malloc(sizeof(double) * 8 * 256);
		double score[3][256], out[3], base;
		float x[MAX_FEATURES];

		for (int f = 0; f < 8; f++)
			for (int r = 0; r < 256; r++)
			{
				if (i % 4 == 2 && f != 4 && f != 5)
					d->col[f][r] = fabsf(d->col[f][r]);
				block[f * 256 + r] = d->col[f][r];
			}
		set_word(d, "distribution", words[i % 4]);
		fit(d, NULL);
		for (int c = 0; c < (binary ? 1 : 3); c++)
		{
			memset(phi, 0, sizeof(double) * 8 * 256);
			assert_int_equal(learner->contributions(&d->env, d->fit.payload.data, &d->shape,
													&(PgmlBlock){ block, 256, 256 }, c, 1, &base,
													phi, 256),
							 PGML_OK);
			for (int f = 0; f < 8; f++)
			{
				double mean = 0;

				for (int r = 0; r < 256; r++)
					mean += phi[f * 256 + r] / 256;
				assert_near(mean, 0, 1e-9);
			}
			for (int r = 0; r < 256; r++)
			{
				score[c][r] = base;
				for (int f = 0; f < 8; f++)
					score[c][r] += phi[f * 256 + r];
			}
		}
		for (int r = 0; r < 256; r++)
		{
			get_row(d, r, x);
			predict(d, x, out);
			if (binary)
				assert_near(out[0], 1 / (1 + exp(-score[0][r])), 1e-9);
			else
				assert_near(
					out[1],
					1 / (exp(score[0][r] - score[1][r]) + 1 + exp(score[2][r] - score[1][r])),
					1e-9);
		}
		free(block);
		free(phi);
		data_free(d);
	}
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void
a_stop_is_obeyed(void **state)
{
	Data *d = all_kinds(500, PGML_TASK_MULTICLASS, 3);

	(void) state;
	atomic_store(&d->stop, 1);
	assert_int_equal(try_fit(d, NULL), PGML_ERR_CANCELLED);
	atomic_store(&d->stop, 0);
	/* After the deadline columns say nothing, but there is a model. */
	d->env.deadline = pgml_now() - 1;
	fit(d, NULL);
	assert_true(d->fit.out_of_time);
	assert_probabilities(d);
	data_free(d);
}

static void
memory_is_told_before(void **state)
{
	Data *d = all_kinds(5000, PGML_TASK_MULTICLASS, 4);
	int64_t bytes, payload;

	(void) state;
	d->set.w = d->w;
	fit(d, NULL);
	bytes = learner->memory(&d->set, &d->params, &payload);
	assert_int_equal(payload, d->fit.payload.len);
	assert_true(bytes + payload >= atomic_load(&d->budget.peak));
	assert_true(bytes < 8 * atomic_load(&d->budget.peak));
	data_free(d);
}

static void
any_allocation_may_fail(void **state)
{
	Data *d = all_kinds(300, PGML_TASK_MULTICLASS, 3);
	int n = 0;

	(void) state;
	for (;; n++)
	{
		atomic_store(&d->budget.fail_at, n + 1);
		PgmlStatus status = try_fit(d, NULL);

		if (atomic_load(&d->budget.fail_at) > 0)
			break;
		assert_true(pgml_is_memory(status));
	}
	assert_true(n >= 3);
	atomic_store(&d->budget.fail_at, 0);
	data_free(d);
}

static void
what_cannot_be_learned_is_said(void **state)
{
	Data *d = counts_new(true);

	(void) state;
	set_word(d, "distribution", "multinomial");
	d->col[1][5] = -1;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	assert_non_null(strstr(d->error.message, "below 0"));
	d->col[1][5] = 0;
	memset(d->w, 0, 12 * sizeof(double));
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	/* Sums of counts that no double holds. */
	for (int i = 0; i < 12; i++)
	{
		d->w[i] = 1e290;
		d->col[0][i] = 3e38f;
	}
	assert_int_equal(try_fit(d, NULL), PGML_ERR_NUMERIC);
	data_free(d);
}

/* ---- hard inputs --------------------------------------------------------------------------------- */

static void
values_may_be_extreme(void **state)
{
	static const float values[] = { 3e38f, -3e38f, 1e-45f, 0, 1, NAN, 1e30f, -1e-45f };
	static const char *const words[] = { "auto", "gaussian", "multinomial", "bernoulli" };

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		Data *d = data_new(64, 6, i < 4 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS, i < 4 ? 2 : 5);
		bool counts = i % 4 == 2;

		set_word(d, "distribution", words[i % 4]);
		set(d, "var_smoothing", i % 2 ? 0 : 1e-9);
		for (int r = 0; r < 64; r++)
		{
			d->y[r] = r % 5 % d->set.n_classes;
			d->col[0][r] = counts ? fabsf(values[r % 8]) : values[r % 8];
			d->col[1][r] = r == 5 ? 1e-45f : 0; /* one value that differs, by almost nothing */
			d->col[2][r] = 7;
			d->col[3][r] = NAN;
			d->col[4][r] = r < 32 ? NAN : (float) r;
			d->col[5][r] = (float) d->y[r]; /* no spread within a class */
		}
		fit(d, NULL);
		assert_probabilities(d);
		for (int r = 0; r < 64; r++)
			for (int f = 0; f < 6; f++)
				d->col[f][r] = values[(r + 3 * f) % 8];
		assert_probabilities(d);
		data_free(d);
	}
}

/* A feature that in one class only rows of next to no weight have. */
static void
weights_may_be_far_apart(void **state)
{
	Data *d = data_new(40, 2, PGML_TASK_BINARY, 2);

	(void) state;
	d->set.w = d->w;
	for (int r = 0; r < 40; r++)
	{
		bool heavy = r % 4 < 2;

		d->y[r] = r % 2;
		d->w[r] = heavy ? 1e300 : 1e-300;
		d->col[0][r] = heavy && r % 2 ? NAN : (float) r;
		d->col[1][r] = (float) (r % 7);
	}
	fit(d, NULL);
	assert_probabilities(d);
	data_free(d);
}

static void
classes_may_have_one_row_or_none(void **state)
{
	Data *d = data_new(3, 2, PGML_TASK_MULTICLASS, 12);
	double out[12];
	float x[] = { 2, 0 };

	(void) state;
	make_categorical(d, 1, 2);
	for (int i = 0; i < 3; i++)
	{
		d->y[i] = 4 * i;
		d->col[0][i] = (float) i;
		d->col[1][i] = (float) (i % 2);
	}
	fit(d, NULL);
	assert_probabilities(d);
	predict(d, x, out);
	assert_true(out[8] > 0.99);
	for (int c = 0; c < 12; c++)
		assert_true(c % 4 == 0 || out[c] == 0); /* nobody saw it */
	/* One row in all. */
	d->set.n = 1;
	fit(d, NULL);
	predict(d, x, out);
	assert_true(out[0] == 1);
	data_free(d);
}

/* A class without a value in a column is there as all rows are. */
static void
a_class_may_miss_a_column(void **state)
{
	Data *d = data_new(8, 1, PGML_TASK_MULTICLASS, 3);
	double out[3];
	float x = 2.5f;

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		d->y[i] = i / 3;
		d->col[0][i] = i < 6 ? (float) i : NAN;
	}
	fit(d, NULL);
	predict(d, &x, out);
	/* Means 1 and 4, variances 2/3; of all 2.5 and 35/12. */
	double inner = exp(-1.5 * 1.5 / (2 * 2.0 / 3)) / sqrt(2.0 / 3) * 3;
	double outer = 2 / sqrt(35.0 / 12);

	assert_near(out[2], outer / (2 * inner + outer), 1e-6);
	assert_near(out[0], out[1], 1e-12);
	data_free(d);
}

static void
many_columns_are_possible(void **state)
{
	enum
	{
		COLUMNS = 5000,
		ROWS = 20
	};
	Data *d = data_new(ROWS, 1, PGML_TASK_BINARY, 2);
	PgmlFeature *features = calloc(COLUMNS, sizeof(PgmlFeature));
	bool *categorical = calloc(COLUMNS, sizeof(bool));
	int32_t *levels = calloc(COLUMNS, sizeof(int32_t));
	float *values = calloc(COLUMNS * ROWS, sizeof(float));
	float **col = calloc(COLUMNS, sizeof(float *));
	double out;

	(void) state;
	for (int f = 0; f < COLUMNS; f++)
	{
		features[f].name = "x";
		col[f] = values + f * ROWS;
		for (int i = 0; i < ROWS; i++)
			col[f][i] = (float) ((i * f) % 7) + (float) (i % 2);
	}
	for (int i = 0; i < ROWS; i++)
		d->y[i] = i % 2;
	d->x.nfeatures = d->shape.nfeatures = COLUMNS;
	d->x.features = features;
	d->x.col = col;
	d->shape.categorical = categorical;
	d->shape.n_levels = levels;
	fit(d, NULL);
	predict(d, values, &out);
	assert_true(out >= 0 && out <= 1);
	free(features);
	free(categorical);
	free(levels);
	free(values);
	free(col);
	data_free(d);
}

/* Whatever byte is changed: it is refused, or rows get probabilities. */
static void
damage_is_found(void **state)
{
	Data *d = all_kinds(100, PGML_TASK_MULTICLASS, 3);
	uint8_t *bytes;
	size_t len;
	PgmlRng rng;

	(void) state;
	fit(d, NULL);
	len = d->fit.payload.len;
	bytes = malloc(len);
	memcpy(bytes, d->fit.payload.data, len);
	for (size_t cut = 0; cut < len; cut += 1 + cut / 9)
		assert_int_equal(learner->verify(bytes, cut, &d->shape, &d->error), PGML_ERR_CORRUPT);
	pgml_rng_init(&rng, 3, 1);
	for (int i = 0; i < 4000; i++)
	{
		size_t at = pgml_rng_below(&rng, i % 2 ? len : 200);

		d->fit.payload.data[at] ^= (uint8_t) (1 + pgml_rng_below(&rng, 255));
		if (learner->verify(d->fit.payload.data, len, &d->shape, &d->error) == PGML_OK &&
			i % 8 == 0)
			assert_probabilities(d);
		memcpy(d->fit.payload.data, bytes, len);
	}
	d->shape.n_classes = 4;
	assert_int_equal(learner->verify(bytes, len, &d->shape, &d->error), PGML_ERR_CORRUPT);
	free(bytes);
	data_free(d);
}

int
test_naive_bayes(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(densities_are_bells),
		cmocka_unit_test(columns_of_0_and_1_are_shares),
		cmocka_unit_test(levels_have_shares),
		cmocka_unit_test(probabilities_are_those_of_scikit_learn),
		cmocka_unit_test(missing_values_are_left_out),
		cmocka_unit_test(a_row_of_weight_3_is_three_rows),
		cmocka_unit_test(blocks_are_the_rows),
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(scores_are_sums_of_parts),
		cmocka_unit_test(a_stop_is_obeyed),
		cmocka_unit_test(memory_is_told_before),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(what_cannot_be_learned_is_said),
		cmocka_unit_test(values_may_be_extreme),
		cmocka_unit_test(weights_may_be_far_apart),
		cmocka_unit_test(classes_may_have_one_row_or_none),
		cmocka_unit_test(a_class_may_miss_a_column),
		cmocka_unit_test(many_columns_are_possible),
		cmocka_unit_test(damage_is_found),
	};

	return cmocka_run_group_tests_name("naive_bayes", tests, NULL, NULL);
}
