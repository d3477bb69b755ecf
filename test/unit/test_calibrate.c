/*
 * Tests of the calibration that a training leaves: from which rows it comes, and that its level is held.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "unit.h"

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* What the image says of a row. */
static void
predict_row(const PgmlImage *image, const People *p, int64_t row, double *out)
{
	float *x = calloc((size_t) image->recipe.n_features + 1, sizeof(float));
	double scratch[3];

	assert_non_null(x);
	for (int32_t c = 0; c < image->recipe.n_inputs; c++)
	{
		PgmlValue v = pgml_table_value(&p->f.table, c, row);

		assert_int_equal(pgml_recipe_apply_value(&image->recipe, c, &v, x, NULL), PGML_OK);
	}
	pgml_image_predict(image, x, 1, out, scratch);
	free(x);
}

/* Number of the true class of a row, or its target. */
static double
truth(const PgmlImage *image, const People *p, int64_t row)
{
	PgmlValue v = pgml_table_value(&p->f.table, COL_Y, row);

	if (image->task == PGML_TASK_REGRESSION)
		return v.num;
	for (int k = 0; k < image->n_classes; k++)
		if (strcmp(image->classes[k], v.str) == 0)
			return k;
	fail_msg("no class %s", v.str);
	return NAN;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The scores in the image are those of the test rows, as the image itself predicts them; weights do not count. */
static void
scores_are_of_the_test_rows(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
	{
		People *p = people_new(500, tasks[k]);
		double score[500], out[3];
		int64_t n = 0;
		Run r;

		run_init(&r);
		r.options.weight_column = k == 0 ? "weight" : NULL;
		run_train(&r, p);
		PgmlImage image = run_image(&r);
		const PgmlCalibration *c = &image.calibration;
		PgmlErrorSize size = { .n = c->n_points };

		memcpy(size.at, c->at, (size_t) c->n_points * sizeof(double));
		memcpy(size.size, c->size, (size_t) c->n_points * sizeof(double));
		for (int64_t i = 0; i < 500; i++)
			if (was_tested(&r, p, i))
			{
				double y = truth(&image, p, i);
				PgmlPredictions row = { image.task, image.n_classes, 1, &y, out, NULL, NULL };

				predict_row(&image, p, i, out);
				score[n++] = pgml_conformal_row(&row, &size, 0);
			}
		qsort(score, (size_t) n, sizeof(double), compare_doubles);
		assert_int_equal(c->rows, PGML_CALIBRATED_ON_TEST);
		assert_int_equal(c->n, r.result.rows_test);
		assert_int_equal(c->n, n);
		assert_memory_equal(c->scores, score, (size_t) n * sizeof(double));
		assert_true(k == 0 ? c->n_points > 1 : c->n_points == 0);
		run_done(&r);
		people_free(p);
	}
}

/* Without test rows they are those that validated: all with folds, the part held out without. */
static void
scores_without_test_rows(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
		for (int folds = 1; folds <= 3; folds += 2)
		{
			People *p = people_new(300, tasks[k]);
			Run r;

			run_init(&r);
			r.split.test_size = r.options.test_size = 0;
			r.options.folds = folds;
			run_train(&r, p);
			PgmlImage image = run_image(&r);

			assert_int_equal(image.calibration.rows, PGML_CALIBRATED_ON_VALIDATION);
			if (folds > 1)
				assert_int_equal(image.calibration.n, 300);
			else
				assert_true(image.calibration.n > 20 && image.calibration.n < 100);
			run_done(&r);
			people_free(p);
		}
}

/* Share of rows that nothing has seen whose truth is held. */
static double
share_held(const PgmlImage *image, const People *p, int64_t from, int64_t to, double level)
{
	int64_t held = 0;

	for (int64_t i = from; i < to; i++)
	{
		double y = truth(image, p, i), out[3], lower, upper;
		PgmlRankedClass set[3];

		predict_row(image, p, i, out);
		if (image->task == PGML_TASK_REGRESSION)
		{
			pgml_calibration_interval(&image->calibration, out[0], level, &lower, &upper);
			held += lower <= y && y <= upper;
			continue;
		}
		for (int32_t j = pgml_image_class_set(image, out, level, set) - 1; j >= 0; j--)
			held += set[j].class == (int32_t) y;
	}
	return (double) held / (double) (to - from);
}

/*
 * New rows: 300 scores put the coverage within 4 x 0.023 of 0.8, 2000 new rows within 4 x 0.009.  Sets of classes hold more
 * where the predicted class alone is right more often.
 */
static void
new_rows_are_held(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
		for (int tested = 0; tested < 2; tested++)
		{
			People *p = people_new(1500, tasks[k]);
			People *all = people_new(3500, tasks[k]);
			double held;
			Run r;

			run_init(&r);
			r.options.test_size = r.split.test_size = tested ? 0.2 : 0;
			run_train(&r, p);
			PgmlImage image = run_image(&r);

			held = share_held(&image, all, 1500, 3500, 0.8);
			if (held < 0.7 || held > (k == 0 ? 0.9 : 0.97))
				fail_msg("task %d: %g instead of 0.8", (int) k, held);
			assert_true(share_held(&image, all, 1500, 3500, 0.95) > fmax(0.9, held));
			assert_true(share_held(&image, all, 1500, 1700, 0.9999) == 1);
			run_done(&r);
			people_free(p);
			people_free(all);
		}
}

/* A constant model has intervals, too. */
static void
constant_models_are_calibrated(void **state)
{
	static const char *const constant[] = { "constant" };

	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
	{
		People *p = people_new(400, tasks[k]);
		People *all = people_new(1400, tasks[k]);
		Run r;

		run_init(&r);
		r.options.algorithms = constant;
		r.options.n_algorithms = 1;
		r.options.n_hyperparams = 0;
		run_train(&r, p);
		PgmlImage image = run_image(&r);

		assert_int_equal(image.calibration.n, r.result.rows_test);
		assert_true(share_held(&image, all, 400, 1400, 0.8) > 0.7);
		run_done(&r);
		people_free(p);
		people_free(all);
	}
}

/* Memory that cannot be had, at each allocation in turn, costs the calibration at most, and that is said. */
static void
no_memory_to_calibrate(void **state)
{
	static const char *const constant[] = { "constant" };
	const int64_t many = INT64_C(1) << 40;
	People *p = people_new(150, PGML_TASK_REGRESSION);
	int64_t n = 0;
	int without = 0, with = 0;

	(void) state;
	for (int64_t at = 0; at <= n; at++)
	{
		Run r;

		run_init(&r);
		r.options.algorithms = constant;
		r.options.n_algorithms = 1;
		r.options.n_hyperparams = 0;
		atomic_store(&r.budget.fail_at, at > 0 ? at : many);
		run_try(&r, p);
		if (at == 0)
			n = many - atomic_load(&r.budget.fail_at);
		if (r.status == PGML_OK)
		{
			PgmlImage image = run_image(&r);
			bool said = has_notice(&r, "no prediction intervals or sets of classes", true);
			bool unscored = has_notice(&r, "the model is not scored", true);

			assert_int_equal(image.calibration.n == 0, said || unscored);
			without += said;
			with += image.calibration.n > 0;
		}
		run_done(&r);
	}
	assert_true(without >= 3 && with >= 3);
	people_free(p);
}

int
test_calibrate(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scores_are_of_the_test_rows),
		cmocka_unit_test(scores_without_test_rows),
		cmocka_unit_test(new_rows_are_held),
		cmocka_unit_test(constant_models_are_calibrated),
		cmocka_unit_test(no_memory_to_calibrate),
	};

	return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
