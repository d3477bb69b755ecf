#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/par.h"
#include "core/rng.h"
#include "make_table.h"
#include "prep/leak.h"

#define D 6

/* A matrix of D columns and a target, both filled by the test. */
typedef struct Data
{
	Fixture f;
	PgmlMatrix x;
	PgmlFeature feature[D];
	float *col[D];
	double *y;
	int64_t n;
} Data;

static void
data_init(Data *d, int64_t n)
{
	fixture_init(&d->f, n);
	d->n = n;
	d->y = pgml_zalloc(d->f.arena, (size_t) n + 1, sizeof(double));
	for (int k = 0; k < D; k++)
	{
		d->col[k] = pgml_zalloc(d->f.arena, (size_t) n + 1, sizeof(float));
		d->feature[k] = (PgmlFeature){ .name = "x", .source = k };
	}
	d->x = (PgmlMatrix){ n, D, d->feature, d->col };
}

static int
scan(Data *d, PgmlTask task, int n_classes, PgmlLeak *out, int max)
{
	int n;
	PgmlStatus status =
		pgml_leak_scan(&d->f.env, &d->x, d->y, task, n_classes, d->f.rows, d->n, out, max, &n);

	assert_int_equal(status, PGML_OK);
	return n;
}

/* Noise, a strong but honest column, a copy of the target, a category that is the target, one missing by target. */
static void
finds_leaks_of_two_classes(void **state)
{
	Data d;
	PgmlRng rng;
	PgmlLeak leak[8];

	(void) state;
	data_init(&d, 4000);
	pgml_rng_init(&rng, 1, 1);
	d.feature[3].categorical = true;
	d.feature[3].n_levels = 7;
	for (int i = 0; i < 4000; i++)
	{
		d.y[i] = pgml_rng_uniform(&rng) < 0.3;
		d.col[0][i] = (float) pgml_rng_normal(&rng);
		d.col[1][i] = (float) (pgml_rng_normal(&rng) + 1.5 * d.y[i]);
		d.col[2][i] = (float) (d.y[i] * 100 + pgml_rng_uniform(&rng));
		d.col[3][i] = (float) (d.y[i] * 3 + (double) pgml_rng_below(&rng, 3));
		bool gap = d.y[i] == 1 ? pgml_rng_uniform(&rng) < 0.98 : pgml_rng_uniform(&rng) < 0.02;
		d.col[4][i] = gap ? NAN : 5;
		d.col[5][i] = 7;
	}
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 3);
	assert_int_equal(leak[0].source, 3);
	assert_int_equal(leak[1].source, 2);
	assert_int_equal(leak[2].source, 4);
	assert_string_equal(leak[0].why, "alone predicts the target with AUC 1.000");
	assert_true(leak[0].strength == 1);
	assert_true(leak[2].strength > 0.95 && leak[2].strength < 1);
	assert_non_null(strstr(leak[2].why, "being missing alone predicts the target with AUC 0.9"));
	/* No more than there is room for, the strongest first. */
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 1), 1);
	assert_int_equal(leak[0].source, 3);
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 0), 0);
	/* The same on several threads. */
	PgmlLeak other[8];
	d.f.env.pool = pgml_pool_create(3);
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, other, 8), 3);
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 3);
	pgml_pool_destroy(d.f.env.pool);
	d.f.env.pool = NULL;
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 3);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(leak[i].source, other[i].source);
		assert_true(leak[i].strength == other[i].strength);
	}
	fixture_done(&d.f);
}

/* A column that is good at one of three classes only is no suspect; one that tells all is. */
static void
judges_classes_by_the_worst(void **state)
{
	Data d;
	PgmlRng rng;
	PgmlLeak leak[8];

	(void) state;
	data_init(&d, 3000);
	pgml_rng_init(&rng, 2, 1);
	for (int i = 0; i < 3000; i++)
	{
		d.y[i] = (double) pgml_rng_below(&rng, 3);
		d.col[0][i] = d.y[i] == 0;
		d.col[1][i] = (float) d.y[i];
		for (int k = 2; k < D; k++)
			d.col[k][i] = (float) pgml_rng_normal(&rng);
	}
	assert_int_equal(scan(&d, PGML_TASK_MULTICLASS, 3, leak, 8), 1);
	assert_int_equal(leak[0].source, 1);
	assert_string_equal(leak[0].why, "alone predicts every class with AUC 1.000 or more");
	fixture_done(&d.f);
}

static void
finds_leaks_of_numbers(void **state)
{
	Data d;
	PgmlRng rng;
	PgmlLeak leak[8];

	(void) state;
	data_init(&d, 5000);
	pgml_rng_init(&rng, 3, 1);
	for (int i = 0; i < 5000; i++)
	{
		d.y[i] = exp(3 * pgml_rng_normal(&rng));
		d.col[0][i] = (float) (d.y[i] * 1.1 + 3);
		d.col[1][i] = (float) (log(d.y[i]) + pgml_rng_normal(&rng));
		for (int k = 2; k < D; k++)
			d.col[k][i] = (float) pgml_rng_normal(&rng);
	}
	d.y[17] = NAN;
	assert_int_equal(scan(&d, PGML_TASK_REGRESSION, 1, leak, 8), 1);
	assert_int_equal(leak[0].source, 0);
	assert_string_equal(leak[0].why, "alone explains the target with R2 1.000");
	fixture_done(&d.f);
}

/* Features of one column are reported once, as their column. */
static void
reports_columns_not_features(void **state)
{
	Data d;
	PgmlLeak leak[8];

	(void) state;
	data_init(&d, 1000);
	for (int k = 0; k < D; k++)
		d.feature[k].source = k < 4 ? 2 : 9;
	for (int i = 0; i < 1000; i++)
	{
		d.y[i] = i % 2;
		d.col[1][i] = d.col[3][i] = (float) (i % 2);
	}
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 1);
	assert_int_equal(leak[0].source, 2);
	fixture_done(&d.f);
}

static void
stays_calm_on_hard_data(void **state)
{
	Data d;
	PgmlLeak leak[8];

	(void) state;
	/* Too few rows to say anything. */
	data_init(&d, 50);
	for (int i = 0; i < 50; i++)
		d.col[0][i] = (float) (d.y[i] = i % 2);
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 0);
	fixture_done(&d.f);
	/* A class with too few rows, all missing columns, no target, a constant target. */
	data_init(&d, 1000);
	for (int i = 0; i < 1000; i++)
	{
		d.y[i] = i < 8;
		d.col[0][i] = (float) d.y[i];
		for (int k = 1; k < D; k++)
			d.col[k][i] = NAN;
	}
	assert_int_equal(scan(&d, PGML_TASK_BINARY, 2, leak, 8), 0);
	for (int i = 0; i < 1000; i++)
		d.y[i] = 5;
	assert_int_equal(scan(&d, PGML_TASK_REGRESSION, 1, leak, 8), 0);
	for (int i = 0; i < 1000; i++)
		d.y[i] = NAN;
	assert_int_equal(scan(&d, PGML_TASK_REGRESSION, 1, leak, 8), 0);
	fixture_done(&d.f);
}

static void
fails_cleanly(void **state)
{
	Data d;
	PgmlLeak leak[8];
	int n;
	_Atomic int stop = 1;

	(void) state;
	data_init(&d, 1000);
	for (int i = 0; i < 1000; i++)
		d.y[i] = i % 2;
	for (int at = 1;; at++)
	{
		d.f.budget.fail_at = at;
		PgmlStatus status =
			pgml_leak_scan(&d.f.env, &d.x, d.y, PGML_TASK_BINARY, 2, d.f.rows, d.n, leak, 8, &n);
		if (status == PGML_OK)
		{
			assert_true(at > 5);
			break;
		}
		assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
	}
	d.f.budget.fail_at = 0;
	d.f.env.stop = &stop;
	assert_int_equal(
		pgml_leak_scan(&d.f.env, &d.x, d.y, PGML_TASK_BINARY, 2, d.f.rows, d.n, leak, 8, &n),
		PGML_ERR_CANCELLED);
	fixture_done(&d.f);
}

int
test_leak(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_leaks_of_two_classes),
										cmocka_unit_test(judges_classes_by_the_worst),
										cmocka_unit_test(finds_leaks_of_numbers),
										cmocka_unit_test(reports_columns_not_features),
										cmocka_unit_test(stays_calm_on_hard_data),
										cmocka_unit_test(fails_cleanly) };

	return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
