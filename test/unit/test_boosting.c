/*
 * Tests of what a training relies on in the gradient booster: scales do not matter, a fit that runs out of memory keeps
 * what it has, and the predictions it hands out are the payload's.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "unit.h"

/* ---- the target's units ---- */

/* Predictions for all rows when every target is scale * y + shift, given back in units of y. */
static double *
predict_scaled(double scale, double shift, int *rounds)
{
	Data *d = data_mixed(1200, 8, PGML_TASK_REGRESSION, 1);
	double *out = calloc(1200, sizeof(double));

	for (int64_t i = 0; i < d->set.n; i++)
		d->y[i] = scale * d->y[i] + shift;
	set(d, "n_estimators", 200);
	set(d, "num_leaves", 16);
	set(d, "bagging_fraction", 0.8);
	set(d, "feature_fraction", 0.7);
	set(d, "lambda_l2", 1);
	set(d, "early_stopping_round", 10);
	d->set.n = 900;
	d->set.valid_rows = d->rows + 900;
	d->set.n_valid = 300;
	fit(d, NULL);
	*rounds = d->fit.best_iteration;
	for (int64_t i = 0; i < 1200; i++)
		out[i] = (predict_row(d, i) - shift) / scale;
	data_free(d);
	return out;
}

static void
units_of_the_target_do_not_matter(void **state)
{
	static const double scales[] = { 1e-5, 1e5, 1, 1e-5, 1 };
	static const double shifts[] = { 0, 0, 1e6, 10, 1e9 };
	int rounds;
	double *expected = predict_scaled(1, 0, &rounds);

	(void) state;
	assert_true(rounds > 20);
	for (int s = 0; s < 5; s++)
	{
		/* What is left of the digits of y after scaling and shifting, with room for sums. */
		double tolerance = 1e-9 + 1e-14 * shifts[s] / scales[s];
		int others;
		double *out = predict_scaled(scales[s], shifts[s], &others);

		assert_int_equal(others, rounds);
		for (int i = 0; i < 1200; i++)
			if (!(fabs(out[i] - expected[i]) < tolerance))
				fail_msg("scale %g, shift %g, row %d: %.12g instead of %.12g", scales[s], shifts[s],
						 i, out[i], expected[i]);
		free(out);
	}
	free(expected);
}

/* ---- predictions of the validation rows ---- */

/* The first 700 of 1000 rows are learned, the others validate. */
static Data *
data_with_validation(PgmlTask task, int n_classes, double *out)
{
	Data *d = data_mixed(1000, 8, task, n_classes);

	d->set.n = 700;
	d->set.valid_rows = d->rows + 700;
	d->set.n_valid = 300;
	d->set.valid_out = out;
	set(d, "n_estimators", 60);
	set(d, "bagging_fraction", 0.8);
	return d;
}

/* What was handed out is what the payload predicts, bit by bit. */
static void
check_handed_out(Data *d)
{
	int k = pgml_task_outputs(d->set.task, d->set.n_classes);
	float x[MAX_FEATURES];
	double p[8];

	d->fit.predicted = false;
	fit(d, NULL);
	assert_true(d->fit.predicted);
	for (int64_t i = 0; i < d->set.n_valid; i++)
	{
		get_row(d, d->set.valid_rows[i], x);
		learner->predict(d->fit.payload.data, &d->shape, x, 1, p);
		for (int j = 0; j < k; j++)
			assert_true(p[j] == d->set.valid_out[i * k + j]);
	}
}

static void
predictions_handed_out_are_the_payloads(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		double out[300 * 4];
		Data *d = data_with_validation(tasks[t], t == 0 ? 1 : t == 1 ? 2 : 4, out);

		set(d, "early_stopping_round", 5); /* stops some rounds after the best */
		check_handed_out(d);
		set(d, "early_stopping_round", 0);
		check_handed_out(d);
		assert_int_equal(d->fit.best_iteration, 60);
		d->env.deadline = pgml_now() - 1; /* not even one round */
		check_handed_out(d);
		data_free(d);
	}
}

/* ---- memory ---- */

/* A bound on the payload and a limit of the budget end a fit early; what is kept is complete. */
static void
memory_ends_a_fit_like_the_deadline(void **state)
{
	double out[300 * 4];
	Data *d = data_with_validation(PGML_TASK_MULTICLASS, 4, out);
	size_t full;
	int64_t peak;

	(void) state;
	set(d, "early_stopping_round", 0);
	set(d, "n_estimators", 300);
	check_handed_out(d);
	full = d->fit.payload.len;
	peak = atomic_load(&d->budget.peak);
	d->set.max_payload = (int64_t) full / 3;
	check_handed_out(d);
	assert_true(d->fit.out_of_memory && d->fit.payload.len <= full / 3);
	assert_true(d->fit.best_iteration > 50);
	d->set.max_payload = 0;
	d->budget.limit = peak - (int64_t) full / 2;
	check_handed_out(d);
	assert_true(d->fit.out_of_memory && d->fit.best_iteration > 10);
	data_free(d);
}

int
test_boosting(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_of_the_target_do_not_matter),
		cmocka_unit_test(predictions_handed_out_are_the_payloads),
		cmocka_unit_test(memory_ends_a_fit_like_the_deadline),
	};

	return cmocka_run_group_tests_name("boosting", tests, NULL, NULL);
}
