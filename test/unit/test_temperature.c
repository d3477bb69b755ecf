/*
 * Tests of temperatures: what they do to probabilities, that the right one is found, how they are stored, and when a training takes one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "image_bytes.h"
#include "image_model.h"
#include "model/scorer.h"
#include "model/temperature.h"
#include "people.h"
#include "unit.h"

/* ---- applying ---- */

/* At 1/2 the odds of 4 become 16, and three probabilities their squares over the sum of these. */
static void
odds_are_raised_to_a_power(void **state)
{
	double two[] = { 0.8, 0.5, 0, 1, 1 + 4e-16 };
	double three[] = { 0.5, 0.25, 0.25, 0, 1, 0, 1e-300, 1, 1e-308 };

	(void) state;
	pgml_temper(PGML_TASK_BINARY, 2, 0.5, 5, two);
	assert_true(fabs(two[0] - 16.0 / 17) < 1e-15);
	assert_true(two[1] == 0.5 && two[2] == 0 && two[3] == 1 && two[4] == 1);
	pgml_temper(PGML_TASK_MULTICLASS, 3, 0.5, 3, three);
	assert_true(fabs(three[0] - 2.0 / 3) < 1e-15 && fabs(three[1] - 1.0 / 6) < 1e-15);
	assert_true(three[3] == 0 && three[4] == 1 && three[5] == 0);
	assert_true(three[6] == 0 && three[7] == 1 && three[8] == 0);
}

/* Several classes of which two are possible are the same as two. */
static void
two_of_three_classes_are_two(void **state)
{
	(void) state;
	for (int i = 1; i < 100; i++)
	{
		double two = i / 100.0, three[] = { 1 - two, 0, two };

		pgml_temper(PGML_TASK_BINARY, 2, 0.7, 1, &two);
		pgml_temper(PGML_TASK_MULTICLASS, 3, 0.7, 1, three);
		assert_true(fabs(two - three[2]) < 1e-14);
		assert_true((two >= 0.5) == (i >= 50));
	}
}

/* ---- fitting ---- */

/* Rows whose classes are drawn by probabilities, which are then shown at another temperature. */
typedef struct Drawn
{
	PgmlBudget budget;
	PgmlError error;
	atomic_int stop;
	PgmlEnv env;
	PgmlPredictions preds;
	double *y;
	double *p;
	double *w;
	uint8_t *part;
} Drawn;

static Drawn *
draw(PgmlTask task, int64_t n, double shown)
{
	Drawn *d = calloc(1, sizeof(*d));
	int n_classes = task == PGML_TASK_BINARY ? 2 : 4;
	int outputs = task == PGML_TASK_BINARY ? 1 : n_classes;
	PgmlRng rng;

	pgml_budget_init(&d->budget, 0);
	d->env = (PgmlEnv){ .budget = &d->budget, .error = &d->error, .stop = &d->stop };
	d->y = calloc((size_t) n, sizeof(double));
	d->w = calloc((size_t) n, sizeof(double));
	d->p = calloc((size_t) (n * outputs), sizeof(double));
	d->part = calloc((size_t) n, 1);
	pgml_rng_init(&rng, 7, (uint64_t) n);
	for (int64_t i = 0; i < n; i++)
	{
		double p[4], sum = 0, u = pgml_rng_uniform(&rng);

		for (int k = 0; k < n_classes; k++)
			sum += p[k] = exp(1.5 * pgml_rng_normal(&rng));
		for (int k = 0; k < n_classes; k++)
			p[k] /= sum;
		for (int k = 0; k < n_classes - 1 && u > p[k]; k++)
		{
			u -= p[k];
			d->y[i] = k + 1;
		}
		memcpy(d->p + i * outputs, outputs == 1 ? p + 1 : p, (size_t) outputs * sizeof(double));
		d->w[i] = 3;
		d->part[i] = (uint8_t) (i % 5);
	}
	pgml_temper(task, n_classes, 1 / shown, n, d->p);
	d->preds = (PgmlPredictions){ task, n_classes, n, d->y, d->p, NULL, NULL };
	return d;
}

static void
drawn_free(Drawn *d)
{
	assert_int_equal(atomic_load(&d->budget.used), 0);
	free(d->y);
	free(d->w);
	free(d->p);
	free(d->part);
	free(d);
}

/* Mean log loss at a temperature. */
static double
log_loss(Drawn *d, double temperature)
{
	int64_t n = d->preds.n;
	int outputs = d->preds.task == PGML_TASK_BINARY ? 1 : d->preds.n_classes;
	double *p = malloc((size_t) (n * outputs) * sizeof(double));
	PgmlPredictions preds = d->preds;
	double value;

	memcpy(p, d->p, (size_t) (n * outputs) * sizeof(double));
	pgml_temper(preds.task, preds.n_classes, temperature, n, p);
	preds.p = p;
	assert_int_equal(pgml_metric_compute(&d->env, pgml_metric_find("log_loss"), &preds, &value),
					 PGML_OK);
	free(p);
	return value;
}

/* What was done to the probabilities is found out, is the best of a grid, and pays on parts that did not take part. */
static void
the_temperature_is_found(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_BINARY, PGML_TASK_MULTICLASS };
	static const double shown[] = { 0.5, 1.6, 3 };

	(void) state;
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 3; i++)
		{
			Drawn *d = draw(tasks[t], 4000, 1 / shown[i]);
			PgmlTemperature fitted, weighted;
			double least = INFINITY, best = 0;

			assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
			assert_true(fabs(log(fitted.temperature * shown[i])) < 0.1);
			for (double theta = -1.6; theta < 1.6; theta += 0.005)
			{
				double loss = log_loss(d, exp(theta)) + 10 * theta * theta / 4000;

				if (loss < least)
				{
					least = loss;
					best = theta;
				}
			}
			assert_true(fabs(log(fitted.temperature) - best) < 0.006);
			assert_true(fabs(fitted.before - log_loss(d, 1)) < 1e-9);
			assert_true(fitted.after < fitted.before);
			assert_true(fabs(fitted.after - log_loss(d, fitted.temperature)) < 0.002);

			/* Weights that are all the same are none. */
			d->preds.w = d->w;
			assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &weighted), PGML_OK);
			assert_true(fabs(weighted.temperature - fitted.temperature) < 1e-6);
			drawn_free(d);
		}
}

/* Good probabilities gain nothing; a few rows, all of them right, do not make a model certain. */
static void
noise_is_no_temperature(void **state)
{
	PgmlTemperature fitted;
	Drawn *d;

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		d = draw(t == 0 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS, 4000, 1);
		assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
		assert_true(fabs(fitted.temperature - 1) < 0.1);
		assert_true(fitted.after > 0.999 * fitted.before);
		drawn_free(d);
	}
	d = draw(PGML_TASK_BINARY, 20, 1);
	for (int i = 0; i < 20; i++)
		d->p[i] = d->y[i] == 1 ? 0.9 : 0.1;
	assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
	assert_true(fitted.temperature > 0.8 && fitted.temperature < 1);
	drawn_free(d);
}

/* Certain errors are as wrong as the log loss says, no rows say nothing, and a stop ends it. */
static void
hard_cases(void **state)
{
	PgmlTemperature fitted;
	Drawn *d = draw(PGML_TASK_BINARY, 1000, 1);

	(void) state;
	for (int i = 0; i < 1000; i++)
		d->p[i] = i % 2 == 0 ? d->y[i] : 1 - d->y[i];
	assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
	assert_true(fitted.temperature > PGML_TEMPERATURE_MAX - 0.01);
	assert_true(fitted.temperature <= PGML_TEMPERATURE_MAX && isfinite(fitted.after));
	for (int i = 0; i < 1000; i++)
		d->p[i] = d->y[i] == 1 ? 0.6 : 0.4;
	assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
	assert_true(fitted.temperature < PGML_TEMPERATURE_MIN + 0.01);
	assert_true(fitted.temperature >= PGML_TEMPERATURE_MIN);
	d->preds.n = 0;
	assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted), PGML_OK);
	assert_true(fitted.temperature == 1);
	d->preds.n = 1000;
	atomic_store(&d->stop, 1);
	assert_int_equal(pgml_temperature_fit(&d->env, &d->preds, d->part, &fitted),
					 PGML_ERR_CANCELLED);
	drawn_free(d);
}

/* ---- storing ---- */

static void
sections_are_checked(void **state)
{
	static const double bad[] = { 0, 0.19, 5.1, -1, NAN, INFINITY };
	PgmlBudget budget;
	PgmlError error;
	PgmlBuf out;
	double read;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&out, &budget);
	pgml_temperature_encode(0.75, &out);
	assert_int_equal(out.len, PGML_TEMPERATURE_BYTES);
	assert_int_equal(pgml_temperature_open(out.data, 16, PGML_TASK_BINARY, &read, &error), PGML_OK);
	assert_true(read == 0.75);
	assert_int_equal(pgml_temperature_open(out.data, 16, PGML_TASK_REGRESSION, &read, &error),
					 PGML_ERR_CORRUPT);
	assert_int_equal(pgml_temperature_open(out.data, 15, PGML_TASK_BINARY, &read, &error),
					 PGML_ERR_CORRUPT);
	pgml_buf_set_u32(&out, 4, 1);
	assert_int_equal(pgml_temperature_open(out.data, 16, PGML_TASK_BINARY, &read, &error),
					 PGML_ERR_CORRUPT);
	pgml_buf_set_u32(&out, 0, 2);
	assert_int_equal(pgml_temperature_open(out.data, 16, PGML_TASK_BINARY, &read, &error),
					 PGML_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "format version 2"));
	for (int i = 0; i < 6; i++)
	{
		pgml_buf_free(&out);
		pgml_temperature_encode(bad[i], &out);
		assert_int_equal(pgml_temperature_open(out.data, 16, PGML_TASK_BINARY, &read, &error),
						 PGML_ERR_CORRUPT);
	}
	pgml_buf_free(&out);
}

/* Predictions row after row and in blocks are the same bits: the members' mean at the temperature. */
static void
images_predict_at_their_temperature(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		double mean[IMAGE_ROWS * 4], out[IMAGE_ROWS * 4], rows[IMAGE_ROWS * 4];
		double scratch[IMAGE_ROWS * 4];
		const PgmlScorer *scorer;
		ImageModel m;
		PgmlImage image;
		float *x, *block;
		int outputs;

		assert_int_equal(image_model_init(&m, tasks[t]), PGML_OK);
		x = pgml_array(m.f.arena, (size_t) m.x.nfeatures * IMAGE_ROWS, sizeof(float));
		block = pgml_array(m.f.arena, (size_t) m.x.nfeatures * IMAGE_ROWS, sizeof(float));
		for (int32_t f = 0; f < m.x.nfeatures; f++)
			for (int i = 0; i < IMAGE_ROWS; i++)
				x[i * m.x.nfeatures + f] = block[f * IMAGE_ROWS + i] = m.x.col[f][i];
		pgml_buf_free(&m.image);
		assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
		assert_int_equal(pgml_image_set_temperature(&m.f.env, 0.6, &m.image), PGML_OK);
		assert_int_equal(image_model_calibrate(&m), PGML_OK);
		assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
						 PGML_OK);
		assert_true(image.temperature == 0.6 && image.calibration.n > 0);
		outputs = pgml_image_outputs(&image);
		assert_true(outputs <= 4);
		pgml_image_predict(&image, x, IMAGE_ROWS, rows, scratch);
		pgml_image_mean(&image, x, IMAGE_ROWS, mean, scratch);
		assert_int_equal(pgml_scorer_create(&m.f.env, m.f.arena, &image, &scorer), PGML_OK);
		pgml_scorer_predict(scorer, &(PgmlBlock){ block, IMAGE_ROWS, IMAGE_ROWS }, out,
							pgml_alloc(m.f.arena, pgml_scorer_scratch(scorer)));
		assert_memory_equal(out, rows, (size_t) (IMAGE_ROWS * outputs) * sizeof(double));
		pgml_temper(tasks[t], image.n_classes, 0.6, IMAGE_ROWS, mean);
		assert_memory_equal(out, mean, (size_t) (IMAGE_ROWS * outputs) * sizeof(double));

		/* It comes before the calibration. */
		assert_int_equal(pgml_image_set_temperature(&m.f.env, 0.6, &m.image), PGML_OK);
		assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
						 PGML_ERR_CORRUPT);
		assert_non_null(strstr(m.f.error.message, "directory"));
		image_model_done(&m);
	}
}

/* ---- training ---- */

/* The temperature of a training of one learner; 0: none. */
static double
trained(const People *p, const char *learner)
{
	Run r;
	double temperature;

	run_init(&r);
	r.options.algorithms = &learner;
	r.options.n_algorithms = 1;
	r.options.hyperparams = NULL;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	temperature = run_image(&r).temperature;
	run_done(&r);
	return temperature;
}

/* Shares of neighbours are too cautious and get sharper; few rows, and models that are read, stay as they are. */
static void
cautious_models_get_a_temperature(void **state)
{
	People *many = people_new(3000, PGML_TASK_BINARY);
	People *few = people_new(400, PGML_TASK_BINARY);
	double temperature = trained(many, "knn");

	(void) state;
	assert_true(temperature > PGML_TEMPERATURE_MIN && temperature < 0.9);
	assert_true(trained(many, "linear") == 0);
	assert_true(trained(many, "decision_tree") == 0);
	assert_true(trained(few, "knn") == 0);
	people_free(many);
	people_free(few);
}

int
test_temperature(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odds_are_raised_to_a_power),
		cmocka_unit_test(two_of_three_classes_are_two),
		cmocka_unit_test(the_temperature_is_found),
		cmocka_unit_test(noise_is_no_temperature),
		cmocka_unit_test(hard_cases),
		cmocka_unit_test(sections_are_checked),
		cmocka_unit_test(images_predict_at_their_temperature),
		cmocka_unit_test(cautious_models_get_a_temperature),
	};

	return cmocka_run_group_tests_name("temperature", tests, NULL, NULL);
}
