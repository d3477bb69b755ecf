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

int
test_boosting(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_of_the_target_do_not_matter),
	};

	return cmocka_run_group_tests_name("boosting", tests, NULL, NULL);
}
