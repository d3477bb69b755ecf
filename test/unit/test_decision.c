/*
 * Tests of decisions: weights and costs instead of the largest probability, thresholds of a metric, and how they are stored.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/decision.h"
#include "people.h"
#include "unit.h"

/* ---- choosing ---- */

static void
largest_probability(void **state)
{
	const double p[3] = { 0.3, 0.4, 0.3 }, tied[3] = { 0.4, 0.2, 0.4 };
	const double half = 0.5, less = 0.4999;

	(void) state;
	assert_int_equal(pgml_decide(NULL, PGML_TASK_MULTICLASS, 3, p), 1);
	assert_int_equal(pgml_decide(NULL, PGML_TASK_MULTICLASS, 3, tied), 0);
	assert_int_equal(pgml_decide(NULL, PGML_TASK_BINARY, 2, &half), 1);
	assert_int_equal(pgml_decide(NULL, PGML_TASK_BINARY, 2, &less), 0);
}

/* Weights 0.2 and 0.8 are a threshold of 0.2. */
static void
weights_are_thresholds(void **state)
{
	const double number[2] = { 0.2, 0.8 }, three[3] = { 1, 1, 3 };
	const PgmlDecision two = { 2, false, number }, more = { 3, false, three };
	const double p[3] = { 0.5, 0.3, 0.2 };
	const double above = 0.21, below = 0.19;

	(void) state;
	assert_int_equal(pgml_decide(&two, PGML_TASK_BINARY, 2, &above), 1);
	assert_int_equal(pgml_decide(&two, PGML_TASK_BINARY, 2, &below), 0);
	assert_int_equal(pgml_decide(&more, PGML_TASK_MULTICLASS, 3, p), 2);
}

/* To miss class 1 costs five, a false alarm one: class 1 is predicted from one sixth on. */
static void
costs_are_expected(void **state)
{
	const double number[4] = { 0, 1, 5, 0 };
	const PgmlDecision two = { 2, true, number };
	const double above = 0.17, below = 0.16;

	(void) state;
	assert_int_equal(pgml_decide(&two, PGML_TASK_BINARY, 2, &above), 1);
	assert_int_equal(pgml_decide(&two, PGML_TASK_BINARY, 2, &below), 0);
}

/* ---- thresholds ---- */

/*
 * By falling probability the rows are 1 1 0 1 0 0 0 0.  F1 with so many of them predicted as 1: 1/2, 4/5, 2/3, 6/7, 3/4, ...; the best cut
 * is after the fourth, between 0.3 and 0.2.
 */
static void
best_threshold_of_f1(void **state)
{
	const double p[8] = { 0.2, 0.9, 0.05, 0.4, 0.3, 0.6, 0.1, 0.01 };
	const double y[8] = { 0, 1, 0, 0, 1, 1, 0, 0 };
	const PgmlMetric *f1 = pgml_metric_find("f1");
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlPredictions preds = { PGML_TASK_BINARY, 2, 8, y, p, NULL, NULL };
	PgmlDecision decision = { .n_classes = 2 };
	double threshold, value, again, number[2];

	(void) state;
	pgml_budget_init(&budget, 0);
	assert_int_equal(pgml_metric_best_threshold(&env, f1, &preds, &threshold, &value), PGML_OK);
	assert_true(fabs(threshold - 0.25) < 1e-12);
	assert_true(fabs(value - 6.0 / 7) < 1e-12);
	number[0] = threshold;
	number[1] = 1 - threshold;
	decision.number = number;
	preds.decision = &decision;
	assert_int_equal(pgml_metric_compute(&env, f1, &preds, &again), PGML_OK);
	assert_true(again == value);
	assert_int_equal(atomic_load(&budget.used), 0);
}

/* ---- storing ---- */

static void
sections_are_checked(void **state)
{
	const double number[4] = { 0, 1, 5, 0 }, bad[2] = { 0, 0 };
	const PgmlDecision costs = { 2, true, number }, nothing = { 2, false, bad };
	PgmlDecision read;
	PgmlBudget budget;
	PgmlError error;
	PgmlBuf out;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&out, &budget);
	pgml_decision_encode(&costs, &out);
	assert_int_equal(out.len, pgml_decision_bytes(&costs));
	assert_int_equal(pgml_decision_open(out.data, out.len, 2, &read, &error), PGML_OK);
	assert_true(read.costs);
	assert_memory_equal(read.number, number, sizeof(number));
	assert_int_equal(pgml_decision_open(out.data, out.len, 3, &read, &error), PGML_ERR_CORRUPT);
	assert_int_equal(pgml_decision_open(out.data, out.len - 8, 2, &read, &error), PGML_ERR_CORRUPT);
	pgml_buf_set_u32(&out, 0, 9);
	assert_int_equal(pgml_decision_open(out.data, out.len, 2, &read, &error), PGML_ERR_CORRUPT);
	pgml_buf_free(&out);
	pgml_decision_encode(&nothing, &out);
	assert_int_equal(pgml_decision_open(out.data, out.len, 2, &read, &error), PGML_ERR_CORRUPT);
	pgml_buf_free(&out);
}

/* As many classes as an image may have have more costs than an int counts: 65,536 squared would be none at all. */
static void
costs_of_many_classes_are_refused(void **state)
{
	static const int n_classes[] = { 46341, 65536, 100000 };
	PgmlDecision read;
	PgmlBudget budget;
	PgmlError error;

	(void) state;
	pgml_budget_init(&budget, 0);
	for (int i = 0; i < 3; i++)
	{
		PgmlBuf out;

		pgml_buf_init(&out, &budget);
		pgml_buf_put_u32(&out, PGML_DECISION_VERSION);
		pgml_buf_put_u32(&out, 2);
		pgml_buf_put_u32(&out, (uint32_t) n_classes[i]);
		pgml_buf_put_u32(&out, 0);
		assert_int_equal(pgml_decision_open(out.data, out.len, n_classes[i], &read, &error),
						 PGML_ERR_CORRUPT);
		pgml_buf_free(&out);
	}
}

/* ---- training ---- */

/* F1 asks for another threshold where class 1 is rare; it is in the image, and better than one half on the test rows. */
static void
rare_classes_get_a_threshold(void **state)
{
	People *p = people_new(1500, PGML_TASK_BINARY);
	const PgmlMetric *metric = pgml_metric_find("balanced_accuracy");
	PgmlImage image;
	Run r;

	(void) state;
	run_init(&r);
	r.options.metric = metric->name;
	run_train(&r, p);
	image = run_image(&r);
	assert_int_equal(image.decision.n_classes, 2);
	assert_false(image.decision.costs);
	assert_true(fabs(image.decision.number[0] + image.decision.number[1] - 1) < 1e-12);
	run_done(&r);

	run_init(&r);
	run_train(&r, p);
	assert_int_equal(run_image(&r).decision.n_classes, 0);
	run_done(&r);
	people_free(p);
}

int
test_decision(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(largest_probability),
		cmocka_unit_test(weights_are_thresholds),
		cmocka_unit_test(costs_are_expected),
		cmocka_unit_test(best_threshold_of_f1),
		cmocka_unit_test(sections_are_checked),
		cmocka_unit_test(costs_of_many_classes_are_refused),
		cmocka_unit_test(rare_classes_get_a_threshold),
	};

	return cmocka_run_group_tests_name("decision", tests, NULL, NULL);
}
