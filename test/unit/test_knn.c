/* Tests of learner/knn*. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_knn
#include "gbm_data.h"
#include "learner/knn.h"
#include "unit.h"

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

static int
classes_of(PgmlTask task)
{
	return task == PGML_TASK_REGRESSION ? 1 : task == PGML_TASK_BINARY ? 2 : 4;
}

/* Rows of one number that counts as it is. */
static Data *
line_new(int64_t n, PgmlTask task, int n_classes, const float *x, const double *y)
{
	Data *d = data_new(n, 1, task, n_classes);

	memcpy(d->col[0], x, (size_t) n * sizeof(float));
	memcpy(d->y, y, (size_t) n * sizeof(double));
	set(d, "standardize", 0);
	return d;
}

/* ---- by hand ------------------------------------------------------------------------------------- */

static void
the_mean_of_the_nearest(void **state)
{
	static const float x[] = { 0, 1, 3, 6, 10 };
	static const double y[] = { 1, 2, 4, 8, 16 };
	Data *d = line_new(5, PGML_TASK_REGRESSION, 1, x, y);

	(void) state;
	set(d, "n_neighbors", 2);
	fit(d, NULL);
	assert_near(predict_x(d, 0.2f), 1.5, 0);
	assert_near(predict_x(d, 100), 12, 0);
	/* 2 and 4 away: the first row of two that are equally far. */
	assert_near(predict_x(d, 2), 3, 0);
	assert_near(predict_x(d, 4.5f), 6, 0);
	set(d, "n_neighbors", 1);
	fit(d, NULL);
	assert_near(predict_x(d, 2), 2, 0);
	assert_near(predict_x(d, 4.5f), 4, 0);
	set(d, "n_neighbors", 3);
	set_word(d, "weights", "distance");
	fit(d, NULL);
	/* 1, 2 and 4 away from 2: rows 1, 2 are at 1, row 0 at 2. */
	assert_near(predict_x(d, 2), (2 + 4 + 0.5 * 1) / 2.5, 1e-12);
	assert_near(predict_x(d, 3), 4, 0);
	/* All rows where there are fewer than neighbours. */
	set(d, "n_neighbors", 50);
	set_word(d, "weights", "uniform");
	fit(d, NULL);
	assert_near(predict_x(d, 7), 31.0 / 5, 1e-12);
	data_free(d);
}

static void
shares_of_the_nearest(void **state)
{
	static const float x[] = { 0, 1, 2, 3, 4, 5 };
	static const double y[] = { 0, 1, 2, 1, 1, 0 };
	Data *d = line_new(6, PGML_TASK_MULTICLASS, 3, x, y);
	float at = 2.9f;
	double out[3];

	(void) state;
	set(d, "n_neighbors", 3);
	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, &at, 1, out);
	assert_near(out[0], 0, 0);
	assert_near(out[1], 2.0 / 3, 1e-12);
	assert_near(out[2], 1.0 / 3, 1e-12);
	/* Weights of rows count, and rows without one do not. */
	d->set.w = d->w;
	d->w[2] = 4;
	d->w[3] = 0;
	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, &at, 1, out);
	assert_near(out[1], 2.0 / 6, 1e-12); /* rows 2, 4 and 1 */
	assert_near(out[2], 4.0 / 6, 1e-12);
	data_free(d);
}

/* Two levels that differ are as far as 0 and the square root of 2; missing is a level; of a number it is the mean, and 1 away. */
static void
categories_and_missing_values_have_distances(void **state)
{
	Data *d = data_new(4, 2, PGML_TASK_REGRESSION, 1);
	PgmlKnnView v;
	float a[3], b[3];

	(void) state;
	make_categorical(d, 1, 3);
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = i == 3 ? NAN : (float) (2 * i); /* 0, 2, 4, missing: the mean is 2 */
		d->col[1][i] = i == 2 ? NAN : (float) i;
		d->y[i] = i;
	}
	set(d, "standardize", 0);
	fit(d, NULL);
	v = pgml_knn_view(d->fit.payload.data);
	assert_int_equal(v.dense, 2);
	assert_int_equal(v.width, 3);
	for (int f = 0; f < 2; f++)
	{
		pgml_knn_place(&v.features[f], f == 0 ? NAN : 1, a);
		pgml_knn_place(&v.features[f], f == 0 ? 5 : 7, b); /* 7 is no level */
	}
	assert_near(pgml_knn_distance(&v, a, b), 9 + 1 + 2, 1e-12);
	assert_near(pgml_knn_distance(&v, b, v.row + 2 * 3), 1, 1e-12);         /* 4, missing */
	assert_near(pgml_knn_distance(&v, a, v.row + 1 * 3), 1, 1e-12);         /* 2, level 1 */
	assert_near(pgml_knn_distance(&v, a, v.row + 0 * 3), 4 + 1 + 2, 1e-12); /* 0, level 0 */
	set_word(d, "metric", "manhattan");
	fit(d, NULL);
	v = pgml_knn_view(d->fit.payload.data);
	assert_near(pgml_knn_distance(&v, a, b), 3 + 1 + 2, 1e-12);
	data_free(d);
}

static void
numbers_are_standardised(void **state)
{
	Data *d = data_new(4, 3, PGML_TASK_REGRESSION, 1);
	PgmlKnnView v;

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = (float) (100 + 20 * (i % 2)); /* mean 110, deviation 10 */
		d->col[1][i] = 5;
		d->col[2][i] = i == 0 ? NAN : (float) i; /* mean 2, deviation sqrt(2 / 3) */
	}
	fit(d, NULL);
	v = pgml_knn_view(d->fit.payload.data);
	assert_int_equal(v.width, 3); /* a constant is no column, a missing value one more */
	assert_near(v.row[0], -1, 1e-7);
	assert_near(v.row[3], 1, 1e-7);
	assert_near(v.row[1], 0, 0);
	assert_near(v.row[2], 1, 0);
	assert_near(v.row[4], -sqrt(1.5), 1e-6);
	assert_near(v.row[5], 0, 0);
	d->set.w = d->w;
	d->w[0] = 3; /* 3 of 6 are rows 0 */
	fit(d, NULL);
	v = pgml_knn_view(d->fit.payload.data);
	assert_near(v.features[0].mean, 100 + 20.0 / 3, 1e-9);
	data_free(d);
}

/* The numbers are scikit-learn 1.2.1's, of numbers standardised before. */
static void
predictions_are_those_of_scikit_learn(void **state)
{
	static const float at[3][2] = { { 4, 5 }, { 20, 11 }, { 30.5f, 0.5f } };
	static const struct
	{
		int k;
		const char *weights, *metric;
		double mean[3];
		double share[9];
	} cases[] = {
		{ 3,
		  "uniform",
		  "euclidean",
		  { 2, 6, 9.3333333333333339 },
		  { 0.33333333333333331, 0.33333333333333331, 0.33333333333333331, 1, 0, 0,
			0.66666666666666663, 0.33333333333333331, 0 } },
		{ 4,
		  "distance",
		  "euclidean",
		  { 3.1089000607723309, 6.3058324484593848, 8.3307527885628776 },
		  { 0.1483925563305091, 0.34089460488061596, 0.51071283878887497, 0.87909748556192802,
			0.12090251443807193, 0, 0.54146102187072886, 0.23298174021599252,
			0.22555723791327859 } },
		{ 5,
		  "distance",
		  "manhattan",
		  { 3.1019909669268224, 5.9087478431378422, 8.1380750962010069 },
		  { 0.20542397508594609, 0.36688060359401531, 0.42769542132003868, 0.83189124624454425,
			0.16810875375545575, 0, 0.45159838587828444, 0.37104662350013734,
			0.17735499062157828 } },
	};

	(void) state;
	for (int c = 0; c < 6; c++)
	{
		Data *d =
			data_new(16, 2, c % 2 ? PGML_TASK_MULTICLASS : PGML_TASK_REGRESSION, c % 2 ? 3 : 1);
		double out[9];

		for (int i = 0; i < 16; i++)
		{
			d->col[0][i] = (float) (i * i * 7 % 31);
			d->col[1][i] = (float) (i * 13 % 17);
			d->y[i] = c % 2 ? i * 5 % 11 % 3 : i * 5 % 11;
		}
		set(d, "n_neighbors", cases[c / 2].k);
		set_word(d, "weights", cases[c / 2].weights);
		set_word(d, "metric", cases[c / 2].metric);
		fit(d, NULL);
		learner->predict(d->fit.payload.data, &d->shape, at[0], 3, out);
		/* Rows are kept as float32. */
		for (int i = 0; i < (c % 2 ? 9 : 3); i++)
			assert_near(out[i], c % 2 ? cases[c / 2].share[i] : cases[c / 2].mean[i], 1e-5);
		data_free(d);
	}
}

/* ---- all ways lead to the same ------------------------------------------------------------------- */

/* Data with many ties: few values, duplicates, categories when wanted. */
static Data *
tied_new(int64_t n, int nfeatures, PgmlTask task, bool categories, uint64_t seed)
{
	Data *d = data_new(n, nfeatures, task, classes_of(task));
	PgmlRng rng;

	pgml_rng_init(&rng, seed, 1);
	for (int f = 0; f < nfeatures; f++)
	{
		if (categories && f % 3 == 1)
			make_categorical(d, f, 4);
		for (int64_t i = 0; i < n; i++)
		{
			d->col[f][i] = (float) pgml_rng_below(&rng, 4 + (uint64_t) f);
			if (f == 0 && seed % 2)
				d->col[f][i] = (float) pgml_rng_normal(&rng);
			if (f % 3 == 2 && pgml_rng_below(&rng, 6) == 0)
				d->col[f][i] = NAN;
		}
	}
	for (int64_t i = 0; i < n; i++)
		d->y[i] = task == PGML_TASK_REGRESSION ? pgml_rng_normal(&rng) :
												 (double) pgml_rng_below(&rng, classes_of(task));
	return d;
}

/* Blocks from the first rows with one kernel must be the rows; both forms. */
static void
check_kernel(Data *d, int kernel, const float *block, int64_t stride, const double *rows, int n)
{
	int k = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	double *out = malloc(((size_t) n * (size_t) k + 1) * sizeof(double));
	const void *prepared;
	uint8_t *moved;
	void *scratch;
	size_t size;

	assert_int_equal(pgml_knn_prepare_for(&d->env, arena, kernel, d->fit.payload.data, &prepared),
					 PGML_OK);
	size = learner->prepared_size(prepared);
	moved = pgml_alloc(arena, size); /* no pointers: elsewhere it is as good */
	memcpy(moved, prepared, size);
	scratch = pgml_alloc(arena, learner->scratch(prepared));
	memset(scratch, 0xa5, learner->scratch(prepared));
	out[n * k] = 42;
	learner->predict_block(moved, d->fit.payload.data, &d->shape, &(PgmlBlock){ block, stride, n },
						   out, scratch);
	assert_memory_equal(out, rows, (size_t) (n * k) * sizeof(double));
	assert_true(out[n * k] == 42);
	free(out);
	pgml_arena_destroy(arena);
}

/* Other rows than those learned from are predicted as well: behind them in the matrix. */
static void
check_ways(Data *d, int64_t learn)
{
	int k = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	int64_t n = d->x.nrows;
	int nf = d->x.nfeatures;
	float *rows = malloc((size_t) (n * nf) * sizeof(float));
	float *block = malloc((size_t) (n * nf) * sizeof(float));
	double *expected = malloc((size_t) (n * k) * sizeof(double));
	double *valid = malloc((size_t) (n * k) * sizeof(double));
	int n_kernels;
	const PgmlKnnKernel *const *kernels = pgml_knn_kernels(&n_kernels);
	static const int sizes[] = { 1, 2, 3, 11, 12, 13, 40, PGML_BLOCK_ROWS };

	d->set.n = learn;
	d->set.valid_rows = d->rows;
	d->set.n_valid = n;
	d->set.valid_out = valid;
	fit(d, NULL);
	assert_true(d->fit.predicted);
	for (int64_t i = 0; i < n; i++)
		for (int f = 0; f < nf; f++)
			rows[i * nf + f] = block[f * n + i] = d->col[f][i];
	learner->predict(d->fit.payload.data, &d->shape, rows, n, expected);
	assert_memory_equal(valid, expected, (size_t) (n * k) * sizeof(double));
	for (int j = 0; j < n_kernels; j++)
		for (int s = 0; s < 8 && kernels[j]->runs_here(); s++)
		{
			int64_t from = n - sizes[s] < 0 ? 0 : n - sizes[s];

			check_kernel(d, j, block + from, n, expected + from * k,
						 (int) (n - from < sizes[s] ? n - from : sizes[s]));
		}
	free(rows);
	free(block);
	free(expected);
	free(valid);
}

static void
kernels_trees_and_rows_agree(void **state)
{
	static const char *const algorithms[] = { "brute", "kd_tree", "auto" };
	static const char *const metrics[] = { "euclidean", "manhattan" };
	static const char *const votes[] = { "uniform", "distance" };
	static const int neighbours[] = { 1, 5, 40, 400 };
	static const int columns[] = { 1, 2, 3, 7, 20 };

	(void) state;
	for (int i = 0; i < 60; i++)
	{
		Data *d = tied_new(450, columns[i % 5], tasks[i % 3], i % 4 == 1, (uint64_t) i);

		set_word(d, "algorithm", algorithms[i / 2 % 3]);
		set_word(d, "metric", metrics[i % 2]);
		set_word(d, "weights", votes[i / 3 % 2]);
		set(d, "n_neighbors", neighbours[i / 5 % 4]);
		set(d, "standardize", i % 7 != 0);
		check_ways(d, i % 11 == 0 ? 33 : 330);
		data_free(d);
	}
}

/* The same neighbours whichever algorithm is named: payloads differ in that word alone. */
static void
algorithms_agree(void **state)
{
	(void) state;
	for (uint64_t seed = 0; seed < 6; seed++)
	{
		double out[2][300];
		float x[MAX_FEATURES];

		for (int a = 0; a < 2; a++)
		{
			Data *d = tied_new(1800, 3, PGML_TASK_REGRESSION, false, seed);
			PgmlArena *arena = pgml_arena_create(&d->budget);
			const void *prepared;
			void *scratch;

			set_word(d, "algorithm", a ? "kd_tree" : "brute");
			d->set.n = 1500;
			fit(d, NULL);
			assert_int_equal(
				learner->prepare(&d->env, arena, d->fit.payload.data, &d->shape, &prepared),
				PGML_OK);
			assert_true((((const PgmlKnnPrepared *) prepared)->node != 0) == (a == 1));
			scratch = pgml_alloc(arena, learner->scratch(prepared));
			for (int i = 0; i < 300; i++)
			{
				get_row(d, 1500 + i, x);
				learner->predict_block(prepared, d->fit.payload.data, &d->shape,
									   &(PgmlBlock){ x, 1, 1 }, &out[a][i], scratch);
			}
			pgml_arena_destroy(arena);
			data_free(d);
		}
		assert_memory_equal(out[0], out[1], sizeof(out[0]));
	}
}

static void
threads_do_not_matter(void **state)
{
	Data *d[2];
	double valid[2][300];

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		d[t] = data_mixed(2000, 8, PGML_TASK_REGRESSION, 1);
		d[t]->env.pool = t ? pgml_pool_create(3) : NULL;
		d[t]->set.n = 1700;
		d[t]->set.valid_rows = d[t]->rows + 1700;
		d[t]->set.n_valid = 300;
		d[t]->set.valid_out = valid[t];
		fit(d[t], NULL);
		assert_true(d[t]->fit.predicted);
	}
	assert_int_equal(d[0]->fit.payload.len, d[1]->fit.payload.len);
	assert_memory_equal(d[0]->fit.payload.data, d[1]->fit.payload.data, d[0]->fit.payload.len);
	assert_memory_equal(valid[0], valid[1], sizeof(valid[0]));
	pgml_pool_destroy(d[1]->env.pool);
	data_free(d[0]);
	data_free(d[1]);
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void
rows_are_drawn_where_all_are_too_many(void **state)
{
	Data *d = data_mixed(4000, 6, PGML_TASK_REGRESSION, 1);
	int64_t payload;
	PgmlKnnView v;
	uint64_t first;

	(void) state;
	(void) learner->memory(&d->set, &d->params, &payload);
	d->set.max_payload = payload;
	fit(d, NULL);
	assert_true(d->fit.out_of_memory);
	assert_true((int64_t) d->fit.payload.len <= payload);
	v = pgml_knn_view(d->fit.payload.data);
	assert_true(v.header->rows >= 1000 && v.header->rows < 2000);
	/* In their order, from all over, and others with another seed. */
	memcpy(&first, v.y, sizeof(first));
	d->env.seed = 2;
	fit(d, NULL);
	v = pgml_knn_view(d->fit.payload.data);
	assert_true(memcmp(&first, v.y, sizeof(first)) != 0);
	d->set.max_payload = 100;
	d->fit.out_of_memory = false;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_LIMIT);
	data_free(d);
}

static void
a_stop_is_obeyed(void **state)
{
	Data *d = data_mixed(500, 8, PGML_TASK_MULTICLASS, 3);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	const void *prepared;

	(void) state;
	fit(d, NULL);
	atomic_store(&d->stop, 1);
	assert_int_equal(learner->prepare(&d->env, arena, d->fit.payload.data, &d->shape, &prepared),
					 PGML_ERR_CANCELLED);
	assert_int_equal(try_fit(d, NULL), PGML_ERR_CANCELLED);
	/* The deadline: there is a model, but the validation rows are left to others. */
	atomic_store(&d->stop, 0);
	double out[3 * 500];

	d->set.valid_rows = d->rows;
	d->set.n_valid = 500;
	d->set.valid_out = out;
	d->env.deadline = pgml_now() - 1;
	d->fit.predicted = false;
	fit(d, NULL);
	assert_false(d->fit.predicted);
	pgml_arena_destroy(arena);
	data_free(d);
}

static void
memory_is_told_before(void **state)
{
	(void) state;
	for (int i = 0; i < 4; i++)
	{
		Data *d = data_mixed(6000, i / 2 ? 6 : 12, PGML_TASK_REGRESSION, 1);
		double out[1000];
		int64_t bytes, payload;

		if (i % 2)
		{
			d->set.n = 5000;
			d->set.valid_rows = d->rows + 5000;
			d->set.n_valid = 1000;
			d->set.valid_out = out;
		}
		set_word(d, "algorithm", "kd_tree");
		fit(d, NULL);
		bytes = learner->memory(&d->set, &d->params, &payload);
		assert_true(bytes + (int64_t) d->fit.payload.len >= atomic_load(&d->budget.peak));
		assert_true(bytes < 8 * atomic_load(&d->budget.peak));
		assert_true(payload <= (int64_t) d->fit.payload.len * 2);
		data_free(d);
	}
}

static void
any_allocation_may_fail(void **state)
{
	Data *d = data_mixed(400, 8, PGML_TASK_MULTICLASS, 3);
	double out[3 * 50];
	int n = 0;

	(void) state;
	d->set.valid_rows = d->rows;
	d->set.n_valid = 50;
	d->set.valid_out = out;
	set_word(d, "algorithm", "kd_tree");
	for (;; n++)
	{
		atomic_store(&d->budget.fail_at, n + 1);
		PgmlStatus status = try_fit(d, NULL);

		if (atomic_load(&d->budget.fail_at) > 0)
			break;
		assert_true(status == PGML_OK || pgml_is_memory(status));
	}
	assert_true(n >= 6);
	atomic_store(&d->budget.fail_at, 0);
	data_free(d);
}

static void
what_cannot_be_is_said(void **state)
{
	Data *d = data_mixed(50, 6, PGML_TASK_REGRESSION, 1);

	(void) state;
	set_word(d, "metric", "euclidean");
	set(d, "p", 1);
	assert_int_equal(try_fit(d, NULL), PGML_ERR_BADARG);
	set(d, "p", 2);
	fit(d, NULL);
	d->set.w = d->w;
	memset(d->w, 0, 50 * sizeof(double));
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	make_categorical(d, 0, PGML_KNN_LEVELS);
	d->set.w = NULL;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_LIMIT);
	data_free(d);
}

/* ---- hard inputs --------------------------------------------------------------------------------- */

static void
values_may_be_extreme(void **state)
{
	static const float values[] = { 3e38f, -3e38f, 1e-45f, 0, 1, NAN, 1e30f, -1e-45f };

	(void) state;
	for (int i = 0; i < 24; i++)
	{
		Data *d = data_new(300, 6, tasks[i % 3], classes_of(tasks[i % 3]));

		set(d, "standardize", i / 12);
		set(d, "n_neighbors", i % 5 + 1);
		set(d, "p", 1 + i / 6 % 2);
		set_word(d, "weights", i / 3 % 2 ? "distance" : "uniform");
		set_word(d, "algorithm", i % 2 ? "kd_tree" : "brute");
		d->set.w = d->w;
		for (int r = 0; r < 300; r++)
		{
			d->y[r] = i % 3 ? r % classes_of(tasks[i % 3]) : r % 2 ? 1.7e308 : -1.7e308;
			d->w[r] = r % 7 == 0 ? 1e-300 : 1e300;
			d->col[0][r] = values[r % 8];
			d->col[1][r] = r == 5 ? 1e-45f : 0;
			d->col[2][r] = r % 3 ? 7 : NAN;
			d->col[3][r] = NAN;
			d->col[4][r] = r < 200 ? NAN : (float) r;
			d->col[5][r] = r < 200 ? values[r % 8] : values[(r + 3) % 8];
			for (int f = 0; f < 6; f++)
				if (r % 50 == 17)
					d->col[f][r] = NAN; /* a row without any value */
		}
		check_ways(d, 200);
		for (int r = 0; r < 300; r++)
			assert_true(isfinite(predict_row(d, r)));
		data_free(d);
	}
}

/* The kernel of this processor. */
static int
kernel_here(void)
{
	int n;
	const PgmlKnnKernel *const *kernels = pgml_knn_kernels(&n);
	int i = 0;

	while (!kernels[i]->runs_here())
		i++;
	return i;
}

/* One row at distance 0 counts alone, however small its weight is beside those that do not count. */
static void
weights_may_be_far_apart(void **state)
{
	static const float x[] = { 0, 1, 2 };
	static const double y[] = { 1, 2, 4 };
	Data *d = line_new(3, PGML_TASK_REGRESSION, 1, x, y);

	(void) state;
	set(d, "n_neighbors", 3);
	set_word(d, "weights", "distance");
	d->set.w = d->w;
	d->w[0] = 1e-300;
	d->w[1] = d->w[2] = 1e300;
	fit(d, NULL);
	assert_near(predict_x(d, 0), 1, 0);
	assert_near(predict_x(d, 1), 2, 0);
	data_free(d);
}

/* How many rows a caller may predict before it looks at its stop flag: about 20 ms of work, a row at least. */
static void
rows_between_two_looks_follow_the_size(void **state)
{
	PgmlKnnHeader h = { .dense = 9, .categories = 1 };
	PgmlKnnPrepared p = { .kernel = (uint32_t) kernel_here() };
	const uint8_t *payload = (const uint8_t *) &h;
	int n;

	(void) state;
	pgml_knn_kernels(&n);
	h.rows = 100;
	assert_int_equal(learner->rows_at_once(payload, NULL), PGML_BLOCK_ROWS);
	assert_int_equal(learner->rows_at_once(payload, &p), PGML_BLOCK_ROWS);
	h.rows = 100000;
	assert_int_equal(learner->rows_at_once(payload, NULL), 18);
	h.rows = 2000000; /* 22 million numbers */
	assert_int_equal(learner->rows_at_once(payload, NULL), 1);
	if (pgml_knn_kernels(&n)[p.kernel] != &pgml_knn_kernel_plain)
		assert_int_equal(learner->rows_at_once(payload, &p), PGML_KNN_GROUP);
	p.node = 64; /* a tree: row by row */
	assert_true(learner->rows_at_once(payload, &p) < PGML_KNN_FEW);
	h.rows = 200000000;
	assert_int_equal(learner->rows_at_once(payload, &p), 1);
}

/* Nothing but duplicates, no column at all, one row. */
static void
rows_may_be_alike(void **state)
{
	(void) state;
	for (int i = 0; i < 6; i++)
	{
		Data *d = data_new(300, 3, tasks[i % 3], classes_of(tasks[i % 3]));

		for (int r = 0; r < 300; r++)
		{
			d->y[r] = r < 4 && classes_of(tasks[i % 3]) != 1 ? 1 : 0;
			for (int f = 0; i >= 3 && f < 3; f++)
				d->col[f][r] = r < 100 ? 0 : (float) f;
		}
		set_word(d, "algorithm", "kd_tree");
		check_ways(d, 200);
		/* The earliest of equal rows are the nearest. */
		assert_near(predict_row(d, 0), i % 3 == 1 ? 0.8 : i % 3 == 2 ? 0.2 : 0, 1e-12);
		check_ways(d, 1);
		data_free(d);
	}
}

static void
many_columns_are_possible(void **state)
{
	enum
	{
		COLUMNS = PGML_KNN_COLUMNS + 1,
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
	d->x.features = features;
	d->x.col = col;
	d->shape.categorical = categorical;
	d->shape.n_levels = levels;
	d->x.nfeatures = d->shape.nfeatures = 5000;
	fit(d, NULL);
	learner->predict(d->fit.payload.data, &d->shape, values, 1, &out);
	assert_true(out >= 0 && out <= 1);
	d->x.nfeatures = d->shape.nfeatures = COLUMNS;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_LIMIT);
	free(features);
	free(categorical);
	free(levels);
	free(values);
	free(col);
	data_free(d);
}

/* Whatever byte is changed: it is refused, or rows are predicted, the same in blocks. */
static void
damage_is_found(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = tied_new(60, 5, tasks[t], true, 9);
		float rows[60 * 5], block[60 * 5];
		double expected[60 * 4];
		uint8_t *bytes;
		size_t len;
		PgmlRng rng;
		int passed = 0;

		set_word(d, "algorithm", t == 0 ? "kd_tree" : "brute");
		d->set.w = d->w;
		fit(d, NULL);
		len = d->fit.payload.len;
		bytes = malloc(len);
		memcpy(bytes, d->fit.payload.data, len);
		for (size_t cut = 0; cut < len; cut += 1 + cut / 9)
			assert_int_equal(learner->verify(bytes, cut, &d->shape, &d->error), PGML_ERR_CORRUPT);
		for (int i = 0; i < 60; i++)
			for (int f = 0; f < 5; f++)
				rows[i * 5 + f] = block[f * 60 + i] = d->col[f][i];
		pgml_rng_init(&rng, 3, 1);
		for (int i = 0; i < 2000; i++)
		{
			size_t at = pgml_rng_below(&rng, i % 2 ? len : 250);

			d->fit.payload.data[at] ^= (uint8_t) (1 + pgml_rng_below(&rng, 255));
			if (learner->verify(d->fit.payload.data, len, &d->shape, &d->error) == PGML_OK &&
				passed++ % 4 == 0)
			{
				learner->predict(d->fit.payload.data, &d->shape, rows, 60, expected);
				check_kernel(d, kernel_here(), block, 60, expected, 60);
			}
			memcpy(d->fit.payload.data, bytes, len);
		}
		assert_true(passed > 50);
		free(bytes);
		data_free(d);
	}
}

int
test_knn(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mean_of_the_nearest),
		cmocka_unit_test(shares_of_the_nearest),
		cmocka_unit_test(categories_and_missing_values_have_distances),
		cmocka_unit_test(numbers_are_standardised),
		cmocka_unit_test(predictions_are_those_of_scikit_learn),
		cmocka_unit_test(kernels_trees_and_rows_agree),
		cmocka_unit_test(algorithms_agree),
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(rows_are_drawn_where_all_are_too_many),
		cmocka_unit_test(a_stop_is_obeyed),
		cmocka_unit_test(memory_is_told_before),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(what_cannot_be_is_said),
		cmocka_unit_test(values_may_be_extreme),
		cmocka_unit_test(rows_may_be_alike),
		cmocka_unit_test(weights_may_be_far_apart),
		cmocka_unit_test(rows_between_two_looks_follow_the_size),
		cmocka_unit_test(many_columns_are_possible),
		cmocka_unit_test(damage_is_found),
	};

	return cmocka_run_group_tests_name("knn", tests, NULL, NULL);
}
