/*
 * test_importance.c - what columns do for a model: by shuffling them among the test rows, and by the gain of their splits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "model/gain.h"
#include "people.h"
#include "unit.h"

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* The target follows from age and city; noise tells nothing, the target itself is no feature. */
static void
columns_that_tell_more_are_more_important(void **state)
{
	(void) state;
	for (int k = 0; k < 3; k++)
	{
		People *p = people_new(600, tasks[k]);
		const PgmlImportance *importance;
		Run r;

		run_init(&r);
		run_train(&r, p);
		importance = r.result.importance;
		assert_non_null(importance);
		assert_true(importance[COL_AGE].low > 0);
		assert_true(importance[COL_CITY].low > 0);
		assert_true(importance[COL_AGE].value > importance[COL_CITY].value);
		assert_true(importance[COL_CITY].value > 5 * fabs(importance[COL_NOISE].value));
		assert_true(importance[COL_AGE].low <= importance[COL_AGE].value &&
					importance[COL_AGE].value <= importance[COL_AGE].high);
		assert_true(isnan(importance[COL_Y].value) && isnan(importance[COL_ID].value));
		run_done(&r);
		people_free(p);
	}
}

/* The same numbers for any number of threads, and a model that is not touched by it. */
static void
threads_change_no_importance(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run runs[2];

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		run_init(&runs[i]);
		runs[i].env.pool = i > 0 ? pgml_pool_create(3) : NULL;
		run_train(&runs[i], p);
	}
	assert_same_image(&runs[0], &runs[1]);
	for (int c = COL_AGE; c < COL_Y; c++)
		assert_memory_equal(&runs[0].result.importance[c], &runs[1].result.importance[c],
							sizeof(PgmlImportance));
	for (int i = 0; i < 2; i++)
	{
		pgml_pool_destroy(runs[i].env.pool);
		run_done(&runs[i]);
	}
	people_free(p);
}

/* Without test rows there is nothing to shuffle; without time it is left out. */
static void
importance_is_measured_on_test_rows_in_time(void **state)
{
	People *p = people_new(300, PGML_TASK_REGRESSION);
	Run none, late;

	(void) state;
	run_init(&none);
	none.options.test_size = 0;
	none.split.test_size = 0;
	run_train(&none, p);
	assert_null(none.result.importance);
	run_init(&late);
	late.options.time_budget = 1e-6;
	run_train(&late, p);
	assert_null(late.result.importance);
	run_done(&none);
	run_done(&late);
	people_free(p);
}

/* Gains of a trained model are shares, most of them of the columns that matter. */
static void
gains_are_shares(void **state)
{
	static const char *const boosting[] = { "gradient_boosting" };
	People *p = people_new(600, PGML_TASK_REGRESSION);
	double gain[COL_Y + 1], sum = 0;
	PgmlImage image;
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = boosting;
	r.options.n_algorithms = 1;
	run_train(&r, p);
	image = run_image(&r);
	assert_int_equal(pgml_image_gain(&r.env, r.arena, &image, gain), PGML_OK);
	for (int c = 0; c <= COL_Y; c++)
		sum += gain[c];
	assert_true(fabs(sum - 1) < 1e-12);
	assert_true(gain[COL_AGE] + gain[COL_CITY] > 0.8 && gain[COL_AGE] > gain[COL_CITY]);
	assert_true(gain[COL_Y] == 0);
	run_done(&r);
	people_free(p);
}

/* A model without trees has no gain. */
static void
linear_models_have_no_gain(void **state)
{
	static const char *const linear[] = { "linear" };
	static const PgmlHyperparam alpha = { "alpha", 1, NULL };
	People *p = people_new(300, PGML_TASK_REGRESSION);
	double gain[COL_Y + 1];
	PgmlImage image;
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = linear;
	r.options.n_algorithms = 1;
	r.options.hyperparams = &alpha;
	r.options.n_hyperparams = 1;
	run_train(&r, p);
	image = run_image(&r);
	assert_int_equal(pgml_image_gain(&r.env, r.arena, &image, gain), PGML_OK);
	assert_true(isnan(gain[COL_AGE]));
	run_done(&r);
	people_free(p);
}

int
test_importance(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_that_tell_more_are_more_important),
		cmocka_unit_test(threads_change_no_importance),
		cmocka_unit_test(importance_is_measured_on_test_rows_in_time),
		cmocka_unit_test(gains_are_shares),
		cmocka_unit_test(linear_models_have_no_gain),
	};

	return cmocka_run_group_tests_name("importance", tests, NULL, NULL);
}
