/*
 * Tests of bins: edges, missing values, categories, the same bytes for any number of threads.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "data/bins.h"

extern int test_bins(void);

/* A matrix of one feature and what binning it takes. */
typedef struct Column
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlArena *arena;
	PgmlFeature feature;
	float *value;
	float *columns[1];
	int32_t *rows;
	PgmlMatrix x;
	PgmlBins *bins;
} Column;

static Column *
column_new(int64_t n, int n_levels)
{
	Column *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	pgml_budget_init(&c->budget, 0);
	c->env = (PgmlEnv){ .budget = &c->budget, .error = &c->error, .stop = &c->stop };
	c->arena = pgml_arena_create(&c->budget);
	c->feature = (PgmlFeature){ .name = "x", .categorical = n_levels > 0, .n_levels = n_levels };
	c->value = calloc((size_t) n + 1, sizeof(float));
	c->rows = calloc((size_t) n + 1, sizeof(int32_t));
	for (int64_t i = 0; i < n; i++)
		c->rows[i] = (int32_t) i;
	c->columns[0] = c->value;
	c->x = (PgmlMatrix){ .nrows = n, .nfeatures = 1, .features = &c->feature, .col = c->columns };
	return c;
}

static void
column_free(Column *c)
{
	pgml_arena_destroy(c->arena);
	assert_int_equal(atomic_load(&c->budget.used), 0);
	free(c->value);
	free(c->rows);
	free(c);
}

/* Bin with all rows fitted; what holds for every binning is checked. */
static void
bin(Column *c, int max_bin)
{
	assert_int_equal(
		pgml_bins_create(&c->env, c->arena, &c->x, c->rows, c->x.nrows, max_bin, &c->bins),
		PGML_OK);
	assert_in_range(c->bins->n_bins[0], 2, max_bin + 1);
	for (int64_t i = 0; i < c->x.nrows; i++)
	{
		float v = c->value[i];
		int b = c->bins->bin[0][i];

		assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, v), b);
		assert_true(b < c->bins->n_bins[0]);
		if (c->feature.categorical)
			continue;
		assert_int_equal(b == 0, isnan(v));
		if (b > 0 && b < c->bins->n_bins[0] - 1)
			assert_true(v <= c->bins->edges[0][b - 1]);
		if (b > 1)
			assert_true(v > c->bins->edges[0][b - 2]);
	}
}

static void
each_distinct_value_has_a_bin(void **state)
{
	static const float values[] = { 3, -1, 3, 0, -0.0f, 7, -1, NAN };
	Column *c = column_new(8, 0);

	(void) state;
	memcpy(c->value, values, sizeof(values));
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 5);
	assert_true(c->bins->edges[0][0] == -0.5f);
	assert_true(c->bins->edges[0][1] == 1.5f);
	assert_true(c->bins->edges[0][2] == 5.0f);
	/* A split of missing values from all others has the threshold after the last. */
	assert_true(isinf(c->bins->edges[0][c->bins->n_bins[0] - 2]));
	assert_true(c->bins->has_missing[0]);
	assert_int_equal(c->bins->bin[0][7], 0);
	assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, 1000), 4);
	assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, -1000), 1);
	column_free(c);
}

/* Neighbouring floats still get an edge between them, and huge ones do not overflow. */
static void
edges_are_exact_at_the_limits(void **state)
{
	Column *c = column_new(4, 0);

	(void) state;
	c->value[0] = 1;
	c->value[1] = nextafterf(1, 2);
	c->value[2] = 3.4e38f;
	c->value[3] = -3.4e38f;
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 5);
	assert_true(c->bins->edges[0][1] == 1);
	assert_true(isfinite(c->bins->edges[0][2]));
	column_free(c);
}

static void
many_values_fill_bins_evenly(void **state)
{
	Column *c = column_new(50000, 0);
	int64_t count[256] = { 0 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 7, 0);
	for (int i = 0; i < 50000; i++)
		c->value[i] = (float) exp(pgml_rng_normal(&rng));
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 256);
	for (int i = 0; i < 50000; i++)
		count[c->bins->bin[0][i]]++;
	assert_int_equal(count[0], 0);
	for (int b = 1; b < 256; b++)
		assert_in_range(count[b], 150, 250);
	assert_false(c->bins->has_missing[0]);
	column_free(c);
}

/* A value that fills more than a bin gets one of its own, and the others share the rest evenly. */
static void
a_frequent_value_stands_alone(void **state)
{
	Column *c = column_new(20000, 0);
	int64_t count[17] = { 0 };
	PgmlRng rng;
	int zero;

	(void) state;
	pgml_rng_init(&rng, 8, 0);
	for (int i = 0; i < 20000; i++)
		c->value[i] = i % 2 ? 0 : (float) pgml_rng_normal(&rng);
	bin(c, 16);
	for (int i = 0; i < 20000; i++)
		count[c->bins->bin[0][i]]++;
	zero = pgml_bin_of(c->bins, &c->feature, 0, 0);
	assert_int_equal(count[zero], 10000);
	assert_true(c->bins->n_bins[0] >= 15);
	for (int b = 1; b < c->bins->n_bins[0]; b++)
		if (b != zero)
			assert_in_range(count[b], 300, 1200);
	column_free(c);
}

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	return x < y ? -1 : x > y;
}

/* Collapse n sorted values to the different ones and how often each comes. */
static int
distinct(float *value, int n, int *count)
{
	int nd = 0;

	for (int i = 0; i < n; i++)
	{
		if (nd == 0 || value[nd - 1] != value[i])
		{
			value[nd] = value[i];
			count[nd++] = 0;
		}
		count[nd - 1]++;
	}
	return nd;
}

/* The rule by which bins are cut, value after value: the last of each bin. */
static int
cut_slowly(const int *count, int nd, int max_bin, int *last)
{
	int rows = 0, held = 0, bins = 0, free_bins = max_bin;
	double mean, target;

	for (int i = 0; i < nd; i++)
		rows += count[i];
	mean = (double) rows / max_bin;
	for (int i = 0; i < nd; i++)
		if (count[i] >= mean)
		{
			rows -= count[i];
			free_bins--;
		}
	target = nd <= max_bin ? 0 : (double) rows / free_bins;
	for (int i = 0; i + 1 < nd && bins < max_bin - 1; i++)
	{
		bool big = count[i] >= mean;

		held += count[i];
		if (!big && held < target && !(count[i + 1] >= mean && held >= target / 2))
			continue;
		last[bins++] = i;
		if (!big && target > 0)
		{
			rows -= held;
			free_bins--;
			target = free_bins > 0 ? (double) rows / free_bins : (double) rows + 1;
		}
		held = 0;
	}
	return bins;
}

/* A value of one of some shapes: many and few different ones, big ones among them, and very different sizes. */
static float
draw(PgmlRng *rng, int shape)
{
	double z = pgml_rng_normal(rng);

	switch (shape)
	{
		case 0:
			return (float) z;
		case 1:
			return (float) floor(exp(2 * z));
		case 2:
			return pgml_rng_below(rng, 3) ? (float) floor(z) : (float) z;
		case 3:
			return pgml_rng_below(rng, 10) ? (float) (1000 + pgml_rng_uniform(rng)) :
											 (float) (z / 1000);
		case 4:
			return (float) pgml_rng_below(rng, 300);
		default:
			return pgml_rng_below(rng, 2) ? NAN :
											(float) (pgml_rng_below(rng, 4) ? exp(9 * z) : -5);
	}
}

/* Bins end where going through every value ends them; where several edges are close together, values find their bins too. */
static void
edges_are_those_of_every_value(void **state)
{
	enum
	{
		N = 3000
	};
	static const int max_bins[] = { 2, 7, 64, 254, 255 };
	static float sorted[N];
	static int count[N], last[N];
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 11, 0);
	for (int k = 0; k < 60; k++)
	{
		int max_bin = max_bins[k % 5];
		Column *c = column_new(N, 0);
		int n = 0;

		for (int i = 0; i < N; i++)
		{
			c->value[i] = draw(&rng, k % 6);
			if (!isnan(c->value[i]))
				sorted[n++] = c->value[i] + 0.0f;
		}
		qsort(sorted, (size_t) n, sizeof(float), compare_floats);
		int nd = distinct(sorted, n, count);
		int bins = cut_slowly(count, nd, max_bin, last);
		bin(c, max_bin);
		assert_int_equal(c->bins->n_bins[0], bins + 2);
		for (int b = 0; b < bins; b++)
		{
			assert_true(c->bins->edges[0][b] >= sorted[last[b]]);
			assert_true(c->bins->edges[0][b] < sorted[last[b] + 1]);
		}
		column_free(c);
	}
}

static void
constant_and_missing_columns(void **state)
{
	Column *c = column_new(10, 0);

	(void) state;
	for (int i = 0; i < 10; i++)
		c->value[i] = 5;
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 2);
	assert_int_equal(c->bins->bin[0][0], 1);
	for (int i = 0; i < 10; i++)
		c->value[i] = NAN;
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 2);
	assert_int_equal(c->bins->bin[0][9], 0);
	assert_true(c->bins->has_missing[0]);
	column_free(c);
}

static void
no_rows_and_one_row(void **state)
{
	Column *c = column_new(0, 0);

	(void) state;
	bin(c, 255);
	column_free(c);
	c = column_new(1, 0);
	bin(c, 2);
	assert_int_equal(c->bins->bin[0][0], 1);
	column_free(c);
}

/* Edges and has_missing come from the fitted rows alone, bins are those of all rows. */
static void
only_fitted_rows_count(void **state)
{
	Column *c = column_new(4, 0);

	(void) state;
	c->value[0] = 1;
	c->value[1] = 2;
	c->value[2] = 100;
	c->value[3] = NAN;
	assert_int_equal(pgml_bins_create(&c->env, c->arena, &c->x, c->rows, 2, 255, &c->bins),
					 PGML_OK);
	assert_int_equal(c->bins->n_bins[0], 3);
	assert_false(c->bins->has_missing[0]);
	assert_int_equal(c->bins->bin[0][2], 2);
	assert_int_equal(c->bins->bin[0][3], 0);
	column_free(c);
}

static void
levels_beyond_the_last_bin_share_it(void **state)
{
	Column *c = column_new(1000, 1000);

	(void) state;
	for (int i = 0; i < 1000; i++)
		c->value[i] = (float) i;
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 256);
	assert_null(c->bins->edges[0]);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(c->bins->bin[0][i], i < 254 ? i + 1 : 255);
	assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, 1000), 0);
	assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, -1), 0);
	assert_int_equal(pgml_bin_of(c->bins, &c->feature, 0, NAN), 0);
	c->feature.n_levels = 3;
	c->x.nrows = 3;
	bin(c, 255);
	assert_int_equal(c->bins->n_bins[0], 4);
	column_free(c);
}

static void
fewest_bins(void **state)
{
	Column *c = column_new(100, 0);

	(void) state;
	for (int i = 0; i < 100; i++)
		c->value[i] = (float) i;
	bin(c, 2);
	assert_int_equal(c->bins->n_bins[0], 3);
	assert_true(c->bins->edges[0][0] == 49.5f);
	column_free(c);
}

static void
threads_change_nothing(void **state)
{
	enum
	{
		N = 30000,
		F = 5
	};
	PgmlFeature features[F] = { { .name = "x" } };
	float *columns[F];
	int32_t *rows = calloc(N, sizeof(int32_t));
	PgmlMatrix x = { .nrows = N, .nfeatures = F, .features = features, .col = columns };
	PgmlBudget budget;
	PgmlArena *arena;
	PgmlBins *bins[2];
	PgmlRng rng;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	pgml_rng_init(&rng, 1, 2);
	for (int f = 0; f < F; f++)
	{
		columns[f] = calloc(N, sizeof(float));
		for (int i = 0; i < N; i++)
			columns[f][i] = (float) pgml_rng_normal(&rng);
	}
	for (int i = 0; i < N; i++)
		rows[i] = i;
	for (int t = 0; t < 2; t++)
	{
		PgmlEnv env = { .budget = &budget, .pool = t ? pgml_pool_create(3) : NULL };

		assert_int_equal(pgml_bins_create(&env, arena, &x, rows, N, 100, &bins[t]), PGML_OK);
		pgml_pool_destroy(env.pool);
	}
	for (int f = 0; f < F; f++)
	{
		assert_memory_equal(bins[0]->bin[f], bins[1]->bin[f], N);
		free(columns[f]);
	}
	free(rows);
	pgml_arena_destroy(arena);
}

static void
refusals(void **state)
{
	Column *c = column_new(100, 0);
	PgmlBins *bins;

	(void) state;
	assert_int_equal(pgml_bins_create(&c->env, c->arena, &c->x, c->rows, 100, 1, &bins),
					 PGML_ERR_BADARG);
	assert_int_equal(pgml_bins_create(&c->env, c->arena, &c->x, c->rows, 100, 256, &bins),
					 PGML_ERR_BADARG);
	assert_string_equal(c->error.message, "max_bin must be between 2 and 255");
	c->stop = 1;
	assert_int_equal(pgml_bins_create(&c->env, c->arena, &c->x, c->rows, 100, 255, &bins),
					 PGML_ERR_CANCELLED);
	column_free(c);
}

/* Every allocation in turn fails cleanly. */
static void
memory_runs_out(void **state)
{
	Column *c = column_new(100, 0);
	PgmlStatus status = PGML_ERR_NOMEM;
	int64_t k = 1;

	(void) state;
	for (; status != PGML_OK; k++)
	{
		PgmlBins *bins;

		assert_true(k < 100);
		pgml_arena_reset(c->arena);
		atomic_store(&c->budget.fail_at, k);
		status = pgml_bins_create(&c->env, c->arena, &c->x, c->rows, 100, 255, &bins);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
	}
	assert_true(k > 5);
	column_free(c);
}

int
test_bins(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_distinct_value_has_a_bin),
		cmocka_unit_test(edges_are_exact_at_the_limits),
		cmocka_unit_test(many_values_fill_bins_evenly),
		cmocka_unit_test(a_frequent_value_stands_alone),
		cmocka_unit_test(edges_are_those_of_every_value),
		cmocka_unit_test(constant_and_missing_columns),
		cmocka_unit_test(no_rows_and_one_row),
		cmocka_unit_test(only_fitted_rows_count),
		cmocka_unit_test(levels_beyond_the_last_bin_share_it),
		cmocka_unit_test(fewest_bins),
		cmocka_unit_test(threads_change_nothing),
		cmocka_unit_test(refusals),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests_name("bins", tests, NULL, NULL);
}
