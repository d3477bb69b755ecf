/*
 * Tests of the rows that rounds of boosting learn from, and of adding trees to the scores of all rows.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "learner/gbm_apply.h"
#include "learner/gbm_sample.h"

#define N 5000

/* Score of a row by going down the tree. */
static double
walk(const PgmlGbmTree *tree, const PgmlGbmRows *rows, int64_t row)
{
	int32_t at = 0;

	while (at >= 0)
	{
		const PgmlGbmTreeNode *node = &tree->node[at];
		uint8_t bin = rows->bin[row * rows->stride + node->feature];

		at = node->set[bin / 32] >> bin % 32 & 1 ? node->left : node->right;
	}
	return tree->value[~at];
}

/* Trees of few and of many leaves, over numbers, missing values and categories, on one and three threads. */
static void
trees_are_added_as_rows_walk_down(void **state)
{
	static const int32_t every_feature[] = { 0, 1, 2, 3, 4, 5, 6 };
	static const int leaves[] = { 2, 31, 256, 300 };
	Data *d = data_mixed(N, 7, PGML_TASK_REGRESSION, 1);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlBins *bins;

	(void) state;
	assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, N, 255, &bins), PGML_OK);
	for (int t = 0; t < 8; t++)
	{
		PgmlGbmConfig config = { .num_leaves = leaves[t % 4],
								 .min_data = 2,
								 .max_cat_threshold = 32,
								 .max_cat_to_onehot = 4,
								 .min_data_per_group = 1,
								 .feature_fraction_bynode = 1,
								 .learning_rate = 1 };
		int64_t n = t < 4 ? N : N / 2;
		int32_t *some = pgml_array(arena, N, sizeof(int32_t));
		double *score = pgml_zalloc(arena, N, sizeof(double));
		double init[1];
		bool complete;
		PgmlGbmRows rows;
		PgmlGbmTarget target;
		PgmlGbmGrower *grower;
		PgmlGbmApplier *applier;
		const PgmlGbmTree *tree;
		PgmlGbmGradients gradients = { .sum = pgml_array(arena, N, sizeof(PgmlGbmSum)) };
		PgmlGbmGrowth growth = { .rows = &rows,
								 .gradients = &gradients,
								 .target = &target,
								 .index = pgml_array(arena, N, sizeof(int32_t)),
								 .n = n,
								 .features = every_feature,
								 .n_features = 7 };

		d->env.pool = t >= 4 ? pgml_pool_create(3) : NULL;
		for (int32_t i = 0; i < n; i++)
		{
			some[i] = t < 4 ? i : 2 * i + 1;
			growth.index[i] = i;
		}
		assert_int_equal(pgml_gbm_rows_create(&d->env, arena, bins, some, n, true, &rows), PGML_OK);
		assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, some, n, &target),
						 PGML_OK);
		pgml_gbm_initial_scores(&target, init);
		pgml_gbm_set_scores(&target, init);
		assert_int_equal(pgml_gbm_gradients(&d->env, &target, 0, 7, &gradients), PGML_OK);
		assert_int_equal(
			pgml_gbm_grower_create(&d->env, arena, &config, &d->x, bins, n, 1 << 24, &grower),
			PGML_OK);
		assert_int_equal(pgml_gbm_grow(grower, &growth, &tree, &complete), PGML_OK);
		assert_int_equal(tree->n_leaves, config.num_leaves);
		assert_int_equal(pgml_gbm_applier_create(&d->env, arena, config.num_leaves, 7, &applier),
						 PGML_OK);
		/* Twice: what is kept of the tree before does not matter. */
		assert_int_equal(pgml_gbm_add_tree(applier, tree, &rows, score), PGML_OK);
		assert_int_equal(pgml_gbm_add_tree(applier, tree, &rows, score), PGML_OK);
		for (int64_t i = 0; i < n; i++)
			assert_true(score[i] == 2 * walk(tree, &rows, i));
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
	}
	pgml_arena_destroy(arena);
	data_free(d);
}

/* Kernels look at more rows than there are: what lies there after another tree does not lead them out of a set. */
static void
rows_that_are_none_do_no_harm(void **state)
{
	Data *d = data_new(256, 1, PGML_TASK_REGRESSION, 1);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlGbmTreeNode number = { .left = ~0, .right = ~1, .set = { 0x3fe } };
	PgmlGbmTreeNode *category =
		malloc(sizeof(*category)); /* so that reading behind it is noticed */
	double value[2] = { 1, 2 };
	double score[256] = { 0 };
	uint8_t bin[256];
	uint8_t *column[1] = { bin };
	PgmlGbmTree first = { .n_leaves = 2, .node = &number, .value = value };
	PgmlGbmTree second = { .n_leaves = 2, .node = category, .value = value };
	PgmlGbmRows rows = { .n = 256, .column = column };
	int n;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n);

	(void) state;
	*category = number;
	category->categorical = true;
	for (int i = 0; i < 256; i++)
		bin[i] = (uint8_t) i;
	for (int k = 0; k < n; k++)
	{
		PgmlGbmApplier *applier;

		if (!kernels[k]->runs_here())
			continue;
		memset(score, 0, sizeof(score));
		assert_int_equal(pgml_gbm_applier_create_for(&d->env, arena, kernels[k], 2, 1, &applier),
						 PGML_OK);
		rows.n = 256;
		assert_int_equal(pgml_gbm_add_tree(applier, &first, &rows, score), PGML_OK);
		rows.n = 65;
		assert_int_equal(pgml_gbm_add_tree(applier, &second, &rows, score), PGML_OK);
		for (int i = 0; i < 256; i++)
			assert_true(score[i] == (i < 65 ? 2 : 1) * (i >= 1 && i < 10 ? 1 : 2));
	}
	free(category);
	pgml_arena_destroy(arena);
	data_free(d);
}

/* A round has about its share of the rows, and of each what the table says. */
static void
samples_are_copies_of_their_rows(void **state)
{
	Data *d = data_mixed(40000, 7, PGML_TASK_MULTICLASS, 3);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlBins *bins;
	PgmlGbmRows rows;
	PgmlGbmTarget target;
	PgmlGbmSample sample[2];
	int64_t shared = 0;

	(void) state;
	d->set.w = d->w;
	assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, 40000, 255, &bins), PGML_OK);
	assert_int_equal(pgml_gbm_rows_create(&d->env, arena, bins, d->rows, 40000, true, &rows),
					 PGML_OK);
	assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, d->rows, 40000, &target),
					 PGML_OK);
	for (int64_t i = 0; i < 3 * 40000; i++)
		target.score[i] = (double) i;
	for (int round = 0; round < 2; round++)
	{
		PgmlGbmSample *s = &sample[round];

		d->env.pool = round == 0 ? NULL : pgml_pool_create(3);
		assert_int_equal(pgml_gbm_sample_create(&d->env, arena, &d->set, 0.25, false, s), PGML_OK);
		assert_int_equal(pgml_gbm_sample_draw(&d->env, s, (uint64_t) round, &rows, &target),
						 PGML_OK);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		/* Six standard deviations of the number drawn are 520. */
		assert_true(llabs(s->rows.n - 10000) < 520);
		assert_int_equal(s->target.n, s->rows.n);
		for (int64_t i = 0; i < s->rows.n; i++)
		{
			int64_t row = s->number[i];

			assert_true(i == 0 || row > s->number[i - 1]);
			assert_memory_equal(s->rows.bin + i * rows.stride, rows.bin + row * rows.stride, 7);
			assert_int_equal(s->rows.column[3][s->rows.number[i]], bins->bin[3][row]);
			assert_true(s->target.y[i] == d->y[row] && s->target.w[i] == d->w[row]);
			for (int k = 0; k < 3; k++)
				assert_true(s->target.score[k * s->rows.n + i] == (double) (k * 40000 + row));
		}
	}
	/* Two rounds have a quarter of a quarter in common. */
	for (int64_t i = 0, j = 0; i < sample[0].rows.n; i++)
	{
		while (j < sample[1].rows.n && sample[1].number[j] < sample[0].number[i])
			j++;
		shared += j < sample[1].rows.n && sample[1].number[j] == sample[0].number[i];
	}
	assert_true(llabs(shared - 2500) < 300);
	pgml_arena_destroy(arena);
	data_free(d);
}

/* Rows with large gradients are there for certain; the others stand for those that are not, and sums stay right. */
static void
large_gradients_are_drawn_more_often(void **state)
{
	enum
	{
		ROWS = 40000
	};

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		PgmlTask task = t == 0 ? PGML_TASK_REGRESSION :
						t == 1 ? PGML_TASK_BINARY :
								 PGML_TASK_MULTICLASS;
		Data *d = data_mixed(ROWS, 7, task, t + 1);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		double *g = pgml_array(arena, ROWS, sizeof(double));
		double *h = pgml_array(arena, ROWS, sizeof(double));
		double init[3], sum = 0, square = 0, sampled = 0;
		PgmlBins *bins;
		PgmlGbmRows rows;
		PgmlGbmTarget target;
		PgmlGbmSample s, parallel;

		d->set.w = d->w;
		for (int64_t i = 0; i < ROWS; i++)
			d->w[i] = i % 7 == 0 ? 0 : 1 + i % 3;
		assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, ROWS, 255, &bins),
						 PGML_OK);
		assert_int_equal(pgml_gbm_rows_create(&d->env, arena, bins, d->rows, ROWS, true, &rows),
						 PGML_OK);
		assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, d->rows, ROWS, &target),
						 PGML_OK);
		pgml_gbm_initial_scores(&target, init);
		pgml_gbm_set_scores(&target, init);
		for (int64_t i = 0; i < ROWS; i++)
			target.score[i] += d->col[0][i];
		assert_int_equal(pgml_gbm_prepare_round(&d->env, &target), PGML_OK);
		pgml_gbm_raw_gradients(&target, 0, 0, ROWS, g, h);
		assert_int_equal(pgml_gbm_sample_create(&d->env, arena, &d->set, 0.3, true, &s), PGML_OK);
		assert_int_equal(pgml_gbm_sample_draw(&d->env, &s, 5, &rows, &target), PGML_OK);
		assert_true(fabs((double) s.rows.n / ROWS - 0.3) < 0.015);
		for (int64_t i = 0; i < ROWS; i++)
		{
			sum += d->w[i] * g[i];
			square += d->w[i] * d->w[i] * g[i] * g[i];
		}
		for (int64_t i = 0, row = 0; i < s.rows.n; i++, row++)
		{
			double stands_for = fmax(1, s.threshold / s.size[s.number[i]]);

			for (; row < s.number[i]; row++)
				assert_true(s.size[row] < s.threshold);
			assert_true(s.target.w[i] == d->w[row] * stands_for);
			assert_true(fabs(g[row]) * s.target.w[i] <=
						fmax(fabs(g[row]) * d->w[row],
							 task == PGML_TASK_REGRESSION ? 1e9 : s.target.max_weight));
			assert_true(h[row] * s.target.w[i] <=
						s.target.max_weight * (task == PGML_TASK_REGRESSION ? 1 : 0.25));
			sampled += s.target.w[i] * g[row];
		}
		/* The variance of the sum is less than if each row were drawn with probability 0.3. */
		assert_true(fabs(sampled - sum) < 4 * sqrt(square * (1 / 0.3 - 1)));
		d->env.pool = pgml_pool_create(3);
		assert_int_equal(pgml_gbm_sample_create(&d->env, arena, &d->set, 0.3, true, &parallel),
						 PGML_OK);
		assert_int_equal(pgml_gbm_sample_draw(&d->env, &parallel, 5, &rows, &target), PGML_OK);
		assert_int_equal(parallel.rows.n, s.rows.n);
		assert_memory_equal(parallel.number, s.number, (size_t) s.rows.n * sizeof(int32_t));
		assert_memory_equal(parallel.target.w, s.target.w, (size_t) s.rows.n * sizeof(double));
		pgml_pool_destroy(d->env.pool);
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

/* Rows at equal distances with next to no weight do not mislead the choice of the threshold. */
static void
samples_have_room(void **state)
{
	Data *d = data_mixed(40000, 7, PGML_TASK_REGRESSION, 1);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlBins *bins;
	PgmlGbmRows rows;
	PgmlGbmTarget target;
	PgmlGbmSample s;

	(void) state;
	d->set.w = d->w;
	for (int64_t i = 0; i < 40000; i++)
		d->w[i] = i % 10 == 0 ? 1e-3 : 1;
	assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, 40000, 255, &bins), PGML_OK);
	assert_int_equal(pgml_gbm_rows_create(&d->env, arena, bins, d->rows, 40000, true, &rows),
					 PGML_OK);
	assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, d->rows, 40000, &target),
					 PGML_OK);
	memset(target.score, 0, 40000 * sizeof(double));
	assert_int_equal(pgml_gbm_sample_create(&d->env, arena, &d->set, 0.25, true, &s), PGML_OK);
	assert_int_equal(pgml_gbm_sample_draw(&d->env, &s, 5, &rows, &target), PGML_OK);
	assert_in_range(s.rows.n, 7000, s.capacity - 1);
	pgml_arena_destroy(arena);
	data_free(d);
}

/* Chance may pick none of a few rows: then all are taken. */
static void
no_round_is_empty(void **state)
{
	Data *d = data_mixed(40, 7, PGML_TASK_REGRESSION, 1);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlBins *bins;
	PgmlGbmRows rows;
	PgmlGbmTarget target;
	PgmlGbmSample sample;

	(void) state;
	assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, 40, 255, &bins), PGML_OK);
	assert_int_equal(pgml_gbm_rows_create(&d->env, arena, bins, d->rows, 40, true, &rows), PGML_OK);
	assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, d->rows, 40, &target),
					 PGML_OK);
	memset(target.score, 0, 40 * sizeof(double));
	for (int by_gradient = 0; by_gradient < 2; by_gradient++)
	{
		int all = 0;

		assert_int_equal(
			pgml_gbm_sample_create(&d->env, arena, &d->set, 0.01, by_gradient == 1, &sample),
			PGML_OK);
		for (uint64_t round = 0; round < 100; round++)
		{
			assert_int_equal(pgml_gbm_sample_draw(&d->env, &sample, round, &rows, &target),
							 PGML_OK);
			assert_true(sample.rows.n >= 1 && sample.rows.n <= 40);
			all += sample.rows.n == 40;
		}
		/* 0.99^40 = 0.67 */
		assert_in_range(all, 50, 85);
	}
	pgml_arena_destroy(arena);
	data_free(d);
}

static int
compare_numbers(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* What levels that do not matter seem to gain when they are ordered, against draws of normal numbers. */
static void
chance_gains_are_those_of_noise(void **state)
{
	static const int levels[] = { 10, 60, 250 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 5, 1);
	for (int t = 0; t < 3; t++)
	{
		enum
		{
			DRAWS = 2000
		};
		int n = levels[t];
		double z[250], gain[126] = { 0 };

		for (int d = 0; d < DRAWS; d++)
		{
			double all = 0, low = 0;

			for (int i = 0; i < n; i++)
				all += z[i] = pgml_rng_normal(&rng);
			qsort(z, (size_t) n, sizeof(double), compare_numbers);
			/* Each level has g = z and h = 1. */
			for (int m = 1; m <= n / 2; m++)
			{
				low += z[m - 1];
				gain[m] += low * low / m + (all - low) * (all - low) / (n - m) - all * all / n;
			}
		}
		for (int m = 1; m <= n / 2; m++)
		{
			double ratio = pgml_gbm_chance_gain(m, n) / (gain[m] / DRAWS);

			/* Few of few levels: the quantile stands for an order statistic. */
			assert_true(ratio > 0.9 && ratio < (m < n / 10 ? 2 : 1.35));
		}
		assert_true(fabs(pgml_gbm_chance_gain(n / 2, n) / (2 / M_PI * n) - 1) < 1e-6);
	}
	assert_true(pgml_gbm_chance_gain(3, 3) == 0);
}

/* Sixty levels without any effect are left alone more often than not; with an effect they are split. */
static void
noise_is_not_split(void **state)
{
	int splits[2] = { 0 };

	(void) state;
	for (int t = 0; t < 60; t++)
	{
		Data *d = data_new(6000, 1, PGML_TASK_BINARY, 2);
		PgmlRng rng;

		pgml_rng_init(&rng, (uint64_t) t, 1);
		make_categorical(d, 0, 60);
		for (int64_t i = 0; i < 6000; i++)
		{
			int level = (int) pgml_rng_below(&rng, 60);

			d->col[0][i] = (float) level;
			d->y[i] =
				pgml_rng_below(&rng, 100) < (uint64_t) (50 + (t % 2 == 0 ? 0 : level % 2 * 12));
		}
		set(d, "n_estimators", 1);
		set(d, "num_leaves", 2);
		fit(d, NULL);
		splits[t % 2] += predict_row(d, 0) != predict_row(d, 1) ||
						 predict_row(d, 2) != predict_row(d, 3) ||
						 predict_row(d, 4) != predict_row(d, 5);
		data_free(d);
	}
	assert_in_range(splits[0], 0, 20);
	assert_in_range(splits[1], 26, 30);
}

/* Bytes of a fit of n rows; a fraction of 0 is not given. */
static PgmlBuf
fit_rows(Data *d, int64_t n, double fraction)
{
	PgmlBuf bytes;

	pgml_params_default(&pgml_learner_gradient_boosting, &d->params);
	set(d, "n_estimators", 2);
	if (fraction > 0)
		set(d, "mvs_fraction", fraction);
	d->set.n = n;
	fit(d, NULL);
	bytes = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	return bytes;
}

/* Many rows are sampled unless the caller says otherwise. */
static void
many_rows_are_sampled(void **state)
{
	Data *d = data_mixed(160000, 7, PGML_TASK_BINARY, 2);
	static const int64_t n[] = { 100000, 160000 };
	double share = 100000.0 / 160000;
	double fraction[] = { 1, sqrt(share) * sqrt(sqrt(sqrt(share))) /* share^(5/8) */ };

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		PgmlBuf by_default = fit_rows(d, n[i], 0);
		PgmlBuf given = fit_rows(d, n[i], fraction[i]);
		PgmlBuf other = fit_rows(d, n[i], 0.5);

		assert_int_equal(by_default.len, given.len);
		assert_memory_equal(by_default.data, given.data, given.len);
		assert_true(other.len != given.len || memcmp(other.data, given.data, given.len) != 0);
		pgml_buf_free(&by_default);
		pgml_buf_free(&given);
		pgml_buf_free(&other);
	}
	data_free(d);
}

/* The estimate of a fit that draws rows is not below what it takes, with one thread or with as many as large machines have. */
static void
memory_of_rounds_is_estimated(void **state)
{
	(void) state;
	for (int threads = 1; threads <= 32; threads *= 32)
	{
		Data *d = data_mixed(20000, 7, PGML_TASK_MULTICLASS, 3);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		PgmlBins *bins;
		int64_t bytes, payload, before;

		set(d, "n_estimators", 3);
		set(d, "num_leaves", 255);
		set(d, "mvs_fraction", 0.9);
		assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, 20000, 255, &bins),
						 PGML_OK);
		d->set.bins = bins;
		d->env.pool = pgml_pool_create(threads);
		before = atomic_load(&d->budget.used);
		atomic_store(&d->budget.peak, before);
		fit(d, NULL);
		bytes = learner->memory(&d->set, &d->params, &payload);
		assert_true(bytes + 2 * payload >= atomic_load(&d->budget.peak) - before);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		d->set.bins = NULL;
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

int
gbm_sampling(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_are_added_as_rows_walk_down),
		cmocka_unit_test(rows_that_are_none_do_no_harm),
		cmocka_unit_test(samples_are_copies_of_their_rows),
		cmocka_unit_test(large_gradients_are_drawn_more_often),
		cmocka_unit_test(samples_have_room),
		cmocka_unit_test(no_round_is_empty),
		cmocka_unit_test(chance_gains_are_those_of_noise),
		cmocka_unit_test(noise_is_not_split),
		cmocka_unit_test(many_rows_are_sampled),
		cmocka_unit_test(memory_of_rounds_is_estimated),
	};

	return cmocka_run_group_tests_name("gradient_boosting: sampling", tests, NULL, NULL);
}
