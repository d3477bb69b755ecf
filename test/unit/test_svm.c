/*
 * Tests of learner `svm`; those of its solvers are in test_svm_solvers.c.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "learner/svm_fit.h"
#include "unit.h"

#define MAX_FEATURES 5000

static const PgmlLearner *const learner = &pgml_learner_svm;
static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

static PgmlBlas loaded;

static int
load_blas(void **state)
{
	(void) state;
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	return pgml_blas_load(&loaded, NULL, NULL) != PGML_OK;
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* A dataset that owns its arrays, and the environment of its fits. */
typedef struct Data
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlFeature *features;
	float **col;
	bool *categorical;
	int32_t *n_levels;
	double *y, *w;
	int32_t *rows;
	PgmlMatrix x;
	PgmlDataset set;
	PgmlShape shape;
	PgmlParams params;
	PgmlFit fit;
} Data;

/* n rows of zeros; the learner's defaults. */
static Data *
data_new(int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = calloc(1, sizeof(*d));

	pgml_budget_init(&d->budget, 0);
	d->env = (PgmlEnv){ .budget = &d->budget, .error = &d->error, .stop = &d->stop, .seed = 1 };
	d->y = calloc((size_t) n + 1, sizeof(double));
	d->w = calloc((size_t) n + 1, sizeof(double));
	d->rows = calloc((size_t) n + 1, sizeof(int32_t));
	d->features = calloc((size_t) nfeatures + 1, sizeof(PgmlFeature));
	d->col = calloc((size_t) nfeatures + 1, sizeof(float *));
	d->categorical = calloc((size_t) nfeatures + 1, sizeof(bool));
	d->n_levels = calloc((size_t) nfeatures + 1, sizeof(int32_t));
	for (int f = 0; f < nfeatures; f++)
	{
		d->features[f].name = "x";
		d->col[f] = calloc((size_t) n + 1, sizeof(float));
	}
	for (int64_t i = 0; i < n; i++)
	{
		d->rows[i] = (int32_t) i;
		d->w[i] = 1;
	}
	d->x = (PgmlMatrix){ n, nfeatures, d->features, d->col };
	d->set = (PgmlDataset){ .x = &d->x,
							.y = d->y,
							.task = task,
							.n_classes = n_classes,
							.rows = d->rows,
							.n = n,
							.blas = &loaded };
	d->shape = (PgmlShape){ task, n_classes, nfeatures, d->categorical, d->n_levels };
	pgml_params_default(learner, &d->params);
	pgml_buf_init(&d->fit.payload, &d->budget);
	return d;
}

/* Free everything; nothing may still be charged. */
static void
data_free(Data *d)
{
	pgml_buf_free(&d->fit.payload);
	assert_int_equal(atomic_load(&d->budget.used), 0);
	for (int f = 0; f < d->x.nfeatures; f++)
		free(d->col[f]);
	free(d->features);
	free(d->col);
	free(d->categorical);
	free(d->n_levels);
	free(d->y);
	free(d->w);
	free(d->rows);
	free(d);
}

static void
make_categorical(Data *d, int f, int32_t n_levels)
{
	d->features[f].categorical = d->categorical[f] = true;
	d->features[f].n_levels = d->n_levels[f] = n_levels;
}

static void
set(Data *d, const char *name, double value)
{
	assert_int_equal(pgml_params_set(learner, &d->params, name, value, &d->error), PGML_OK);
}

static void
set_word(Data *d, const char *name, const char *word)
{
	assert_int_equal(pgml_params_set_text(learner, &d->params, name, word, &d->error), PGML_OK);
}

static PgmlStatus
try_fit(Data *d)
{
	pgml_buf_free(&d->fit.payload);
	return learner->fit(&d->env, &d->set, &d->params, &d->fit);
}

/* Predictions of n rows of the matrix, together. */
static void
predict_rows(const Data *d, int64_t n, double *out)
{
	int nf = d->x.nfeatures;
	float *x = malloc((size_t) n * (size_t) nf * sizeof(float) + 1);

	for (int64_t i = 0; i < n; i++)
		for (int f = 0; f < nf; f++)
			x[i * nf + f] = d->col[f][i];
	learner->predict(d->fit.payload.data, &d->shape, x, n, out);
	free(x);
}

/* Predictions are numbers; probabilities are, and add up to 1. */
static void
check_predictions(const Data *d)
{
	int64_t n = d->x.nrows;
	int k = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	double *out = malloc((size_t) n * (size_t) k * sizeof(double) + 1);

	predict_rows(d, n, out);
	for (int64_t i = 0; i < n; i++)
	{
		double sum = 0;

		for (int c = 0; c < k; c++)
		{
			assert_true(isfinite(out[i * k + c]));
			if (d->shape.task != PGML_TASK_REGRESSION)
				assert_true(out[i * k + c] >= 0 && out[i * k + c] <= 1);
			sum += out[i * k + c];
		}
		if (k > 1)
			assert_near(sum, 1, 1e-9);
	}
	free(out);
}

/* Fit, expect success, a payload that verifies and sane predictions. */
static void
fit(Data *d)
{
	if (try_fit(d) != PGML_OK)
		fail_msg("%s", d->error.message);
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error),
					 PGML_OK);
	check_predictions(d);
}

static double
predict_x(const Data *d, float x)
{
	double out[64];

	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	return out[0];
}

/* Numbers, some missing, few values, two categories; the target depends on the first six. */
static Data *
data_mixed(int64_t n, PgmlTask task)
{
	int k = task == PGML_TASK_REGRESSION ? 1 : task == PGML_TASK_BINARY ? 2 : 4;
	Data *d = data_new(n, 7, task, k);
	PgmlRng rng;

	pgml_rng_init(&rng, 99, 1);
	make_categorical(d, 4, 12);
	make_categorical(d, 5, 3);
	for (int64_t i = 0; i < n; i++)
	{
		double z;

		for (int f = 0; f < 7; f++)
			d->col[f][i] = (float) pgml_rng_normal(&rng);
		d->col[2][i] = roundf(d->col[2][i] * 2);
		d->col[6][i] = expf(2 * d->col[6][i]);
		d->col[4][i] = (float) pgml_rng_below(&rng, 12);
		d->col[5][i] = (float) pgml_rng_below(&rng, 3);
		if (pgml_rng_below(&rng, 5) == 0)
			d->col[3][i] = NAN;
		if (pgml_rng_below(&rng, 20) == 0)
			d->col[4][i] = NAN;
		z = d->col[0][i] + d->col[2][i] / 2 + (isnan(d->col[3][i]) ? 1 : d->col[3][i]) +
			(isnan(d->col[4][i]) ? 0 : sin(d->col[4][i] * 2)) + (d->col[5][i] == 1) +
			pgml_rng_normal(&rng) / 4;
		d->y[i] = task == PGML_TASK_REGRESSION ? z : fmin(fmax(floor((z + 3) / 6 * k), 0), k - 1);
		d->w[i] = (double) (1 + pgml_rng_below(&rng, 3));
	}
	return d;
}

/* The ways to fit. */
static const char *const kernels[] = { "linear", "rbf", "rbf" };
static const char *const solvers[] = { "auto", "exact", "approximate" };

static void
set_way(Data *d, int way)
{
	set_word(d, "kernel", kernels[way]);
	set_word(d, "solver", solvers[way]);
	set(d, "n_components", 60);
}

/* Share of rows whose class is predicted, or the error relative to that of the mean, of n rows. */
static double
quality(const Data *d, int64_t n)
{
	int k = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	double *out = malloc((size_t) n * (size_t) k * sizeof(double));
	double right = 0, mean = 0, total = 0, error = 0;

	predict_rows(d, n, out);
	for (int64_t i = 0; i < n; i++)
		mean += d->y[i] / (double) n;
	for (int64_t i = 0; i < n; i++)
	{
		int best = 0;

		for (int c = 1; c < k; c++)
			best = out[i * k + c] > out[i * k + best] ? c : best;
		if (k == 1)
			best = out[i] > 0.5;
		right += best == d->y[i];
		total += (d->y[i] - mean) * (d->y[i] - mean);
		error += (d->y[i] - out[i * k]) * (d->y[i] - out[i * k]);
	}
	free(out);
	return d->shape.task == PGML_TASK_REGRESSION ? error / total : right / (double) n;
}

static void
all_ways_learn(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
			for (int validated = 0; validated < 2; validated++)
			{
				Data *d = data_mixed(500, tasks[t]);

				d->set.w = d->w;
				set_way(d, way);
				d->set.n = 400;
				d->set.valid_rows = validated ? d->rows + 400 : NULL;
				d->set.n_valid = validated ? 100 : 0;
				fit(d);
				if (t == 0)
					assert_true(quality(d, 500) < 0.25);
				else
					assert_true(quality(d, 500) > (t == 1 ? 0.85 : 0.7));
				data_free(d);
			}
}

/* A row alone, among few and among many: the same to the last bit. */
static void
rows_are_predicted_alike_in_any_company(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_mixed(300, tasks[t]);
			int k = pgml_task_outputs(tasks[t], d->set.n_classes);
			double many[300 * 4], few[7 * 4];
			float x[7 * 7];

			set_way(d, way);
			fit(d);
			predict_rows(d, 300, many);
			for (int n = 1; n < 8; n++)
				for (int i = 0; i + n <= 300; i += 13)
				{
					for (int r = 0; r < n; r++)
						for (int f = 0; f < 7; f++)
							x[r * 7 + f] = d->col[f][i + r];
					learner->predict(d->fit.payload.data, &d->shape, x, n, few);
					assert_memory_equal(few, many + i * k, (size_t) (n * k) * sizeof(double));
				}
			data_free(d);
		}
}

static void
threads_and_repetition_change_no_byte(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *one = data_mixed(300, tasks[t]);
			Data *three = data_mixed(300, tasks[t]);

			set_way(one, way);
			set_way(three, way);
			three->env.pool = pgml_pool_create(3);
			fit(one);
			fit(three);
			assert_int_equal(one->fit.payload.len, three->fit.payload.len);
			assert_memory_equal(one->fit.payload.data, three->fit.payload.data,
								one->fit.payload.len);
			pgml_pool_destroy(three->env.pool);
			data_free(one);
			data_free(three);
		}
}

/* With all rows as landmarks the approximation is the kernel itself. */
static void
the_approximation_approaches_the_kernel(void **state)
{
	Data *d = data_mixed(300, PGML_TASK_REGRESSION);
	double exact[300], near[300];

	(void) state;
	set_way(d, 1);
	set(d, "tol", 1e-5);
	fit(d);
	predict_rows(d, 300, exact);
	set_way(d, 2);
	set(d, "n_components", 300);
	fit(d);
	predict_rows(d, 300, near);
	for (int i = 0; i < 300; i++)
		assert_near(near[i], exact[i], 0.05);
	data_free(d);
}

/* Values of one number that come again and again: the landmarks' matrix has far fewer dimensions than landmarks, and more rounding errors. */
static void
landmarks_may_be_equal(void **state)
{
	Data *d = data_new(2000, 1, PGML_TASK_BINARY, 2);
	double p[2000];

	(void) state;
	for (int64_t i = 0; i < 2000; i++)
	{
		d->col[0][i] = (float) (i * 31 % 97);
		d->y[i] = (double) (d->col[0][i] > 48);
	}
	set_way(d, 2);
	set(d, "n_components", 1024);
	fit(d);
	predict_rows(d, 2000, p);
	for (int64_t i = 0; i < 2000; i++)
		if (fabs((double) d->col[0][i] - 48.5) > 5)
			assert_true((p[i] > 0.5) == (d->y[i] > 0));
	data_free(d);
}

/* Two numbers without outliers, so that weights do not change how they are scaled, and a category. */
static Data *
data_even(int64_t n, PgmlTask task)
{
	Data *d = data_new(n, 3, task,
					   task == PGML_TASK_REGRESSION ? 1 :
					   task == PGML_TASK_BINARY     ? 2 :
													  3);

	make_categorical(d, 2, 3);
	for (int64_t i = 0; i < n; i++)
	{
		double z;

		d->col[0][i] = (float) (i * 7 % 11);
		d->col[1][i] = (float) (i * 5 % 13);
		d->col[2][i] = (float) (i * i % 3);
		z = (double) (d->col[0][i] - d->col[1][i]) + (double) (i * 17 % 7);
		d->y[i] =
			task == PGML_TASK_REGRESSION ? z : (z > 0) + (task == PGML_TASK_MULTICLASS && z > 5);
	}
	return d;
}

/* A row of weight 2 is two rows; a row without weight is none. */
static void
weights_are_copies(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 2; way++)
		{
			Data *d = data_even(240, tasks[t]);
			Data *copies = data_even(240, tasks[t]);
			Data *both[] = { d, copies };
			int k = pgml_task_outputs(tasks[t], d->set.n_classes);
			double a[240 * 4], b[240 * 4];

			copies->set.n = 0;
			d->set.n = 120;
			for (int i = 0; i < 120; i++)
			{
				d->w[i] = i % 3;
				for (int c = 0; c < i % 3; c++)
					copies->rows[copies->set.n++] = i;
			}
			d->set.w = d->w;
			for (int j = 0; j < 2; j++)
			{
				both[j]->set.valid_rows = d->rows + 120;
				both[j]->set.n_valid = 120;
				set_way(both[j], way);
				set(both[j], "gamma", 0.2);
				set(both[j], "tol", 1e-8);
				set(both[j], "max_iter", 1000000);
				fit(both[j]);
			}
			predict_rows(d, 240, a);
			predict_rows(copies, 240, b);
			for (int i = 0; i < 240 * k; i++)
				assert_near(a[i], b[i], 1e-3);
			data_free(d);
			data_free(copies);
		}
}

/* Labels by chance, one class four times as often: the boundary moves, the probabilities do not. */
static void
balanced_weights_leave_probabilities_alone(void **state)
{
	for (int way = 0; way < 2; way++)
	{
		Data *d = data_new(500, 1, PGML_TASK_BINARY, 2);
		double mean[2] = { 0, 0 };
		PgmlRng rng;

		(void) state;
		pgml_rng_init(&rng, 4, 1);
		for (int i = 0; i < 500; i++)
		{
			d->y[i] = i % 5 == 0;
			d->col[0][i] = (float) (pgml_rng_normal(&rng) + 1.5 * d->y[i]);
		}
		set_way(d, way);
		for (int balanced = 0; balanced < 2; balanced++)
		{
			set_word(d, "class_weight", balanced ? "balanced" : "none");
			fit(d);
			for (int i = 0; i < 500; i++)
				mean[balanced] += predict_x(d, d->col[0][i]) / 500;
			assert_near(mean[balanced], 0.2, 0.02);
		}
		data_free(d);
	}
}

/* Many rows of which few are of one class: some of the folds are enough, and their rows are those of both classes. */
static void
many_rows_are_calibrated_by_some(void **state)
{
	enum
	{
		N = 230000
	};
	Data *d = data_new(N, 1, PGML_TASK_BINARY, 2);
	double mean = 0, low = 0, n_low = 0;
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 4, 1);
	for (int i = 0; i < N; i++)
	{
		d->y[i] = i % 23 == 7;
		d->col[0][i] = (float) (pgml_rng_normal(&rng) + 2 * d->y[i]);
	}
	set_way(d, 0);
	set(d, "cv", 5);
	if (try_fit(d) != PGML_OK)
		fail_msg("%s", d->error.message);
	for (int i = 0; i < N; i += 10)
	{
		mean += predict_x(d, d->col[0][i]) / (N / 10);
		if (d->col[0][i] < 1)
		{
			low += predict_x(d, d->col[0][i]) - d->y[i];
			n_low++;
		}
	}
	assert_near(mean, 1.0 / 23, 0.003);
	assert_near(low / n_low, 0, 0.005);
	data_free(d);
}

static void
settings_that_contradict_are_told(void **state)
{
	Data *d = data_mixed(60, PGML_TASK_BINARY);

	(void) state;
	set_word(d, "loss", "epsilon_insensitive");
	assert_int_equal(try_fit(d), PGML_ERR_BADARG);
	assert_non_null(strstr(d->error.message, "loss"));
	set_word(d, "loss", "squared_hinge");
	set_word(d, "kernel", "rbf");
	assert_int_equal(try_fit(d), PGML_ERR_BADARG);
	assert_non_null(strstr(d->error.hint, "approximate"));
	set_word(d, "solver", "approximate");
	fit(d);
	data_free(d);
	d = data_mixed(60, PGML_TASK_REGRESSION);
	set_word(d, "loss", "hinge");
	assert_int_equal(try_fit(d), PGML_ERR_BADARG);
	set_word(d, "loss", "squared_epsilon_insensitive");
	set_word(d, "kernel", "linear");
	fit(d);
	d->set.blas = NULL;
	assert_int_equal(try_fit(d), PGML_ERR_UNAVAILABLE);
	data_free(d);
	d = data_new(200, 1, PGML_TASK_MULTICLASS, 40);
	for (int i = 0; i < 200; i++)
	{
		d->y[i] = i % 40;
		d->col[0][i] = (float) (i % 40);
	}
	set_word(d, "kernel", "rbf");
	set_word(d, "solver", "exact");
	assert_int_equal(try_fit(d), PGML_ERR_BADARG);
	set_word(d, "solver", "auto"); /* each class against the rest then */
	fit(d);
	data_free(d);
}

/* ---- hard inputs ---- */

static void
hard_inputs_are_learned_from(void **state)
{
	static const float hard[] = { 3e38f, -3e38f, 1e-45f, -1e-45f, 0, 1e30f, NAN, 1e-30f };

	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_new(64, 5, tasks[t], t == 0 ? 1 : t + 1);

			/* A constant, huge and tiny numbers, two equal columns, equal rows with different labels. */
			for (int i = 0; i < 64; i++)
			{
				d->y[i] = t == 0 ? i % 7 * 1e300 : i % (t + 1);
				d->col[0][i] = 5;
				d->col[1][i] = hard[i % 8];
				d->col[2][i] = d->col[3][i] = (float) (i % 5);
				d->col[4][i] = NAN;
			}
			set_way(d, way);
			fit(d);
			set(d, "C", 1e9);
			set(d, "max_iter", 200);
			fit(d);
			set(d, "C", 1e-9);
			fit(d);
			/* No features at all that say anything. */
			for (int i = 0; i < 64; i++)
				d->col[1][i] = d->col[2][i] = d->col[3][i] = 1;
			fit(d);
			data_free(d);
		}
}

static void
few_rows_are_enough(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
			for (int n = 1; n < 6; n++)
			{
				/* One row per class, or fewer. */
				Data *d = data_new(n, 2, tasks[t], t == 0 ? 1 : t == 1 ? 2 : 5);

				for (int i = 0; i < n; i++)
				{
					d->y[i] = t == 1 ? i % 2 : i;
					d->col[0][i] = (float) i;
					d->col[1][i] = i == 2 ? NAN : 1;
				}
				set_way(d, way);
				fit(d);
				d->set.w = d->w;
				d->w[0] = 0;
				if (n == 1)
					assert_int_equal(try_fit(d), PGML_ERR_DATA);
				else
					fit(d);
				data_free(d);
			}
}

static void
separable_classes_are_separated(void **state)
{
	(void) state;
	for (int way = 0; way < 3; way++)
	{
		Data *d = data_new(100, 1, PGML_TASK_BINARY, 2);

		for (int i = 0; i < 100; i++)
		{
			d->y[i] = i >= 50;
			d->col[0][i] = (float) i;
		}
		set_way(d, way);
		set(d, "C", 1000);
		set(d, "n_components", 30);
		fit(d);
		for (int i = 0; i < 100; i++)
			assert_true((predict_x(d, (float) i) > 0.5) == (i >= 50) || i == 49 || i == 50);
		assert_true(predict_x(d, 90) > 0.9 && predict_x(d, 10) < 0.1);
		data_free(d);
	}
}

/* 5,000 columns, 40 rows: kernel auto is linear. */
static void
columns_may_be_many(void **state)
{
	(void) state;
	for (int rbf = 0; rbf < 2; rbf++)
	{
		Data *d = data_new(40, MAX_FEATURES, PGML_TASK_BINARY, 2);
		PgmlRng rng;

		pgml_rng_init(&rng, 8, 1);
		for (int i = 0; i < 40; i++)
		{
			d->y[i] = i % 2;
			for (int f = 0; f < MAX_FEATURES; f++)
				d->col[f][i] = (float) (pgml_rng_normal(&rng) + (f % 10 == 0) * (i % 2));
		}
		if (rbf)
			set_word(d, "kernel", "rbf");
		fit(d);
		assert_true(quality(d, 40) == 1);
		assert_int_equal(((const PgmlSvmHeader *) d->fit.payload.data)->kernel,
						 rbf ? PGML_SVM_RBF : PGML_SVM_LINEAR);
		data_free(d);
	}
}

/* ---- disturbances ---- */

static void
a_stop_is_honoured(void **state)
{
	(void) state;
	for (int way = 0; way < 3; way++)
	{
		Data *d = data_mixed(300, PGML_TASK_BINARY);

		set_way(d, way);
		atomic_store(&d->stop, 1);
		assert_int_equal(try_fit(d), PGML_ERR_CANCELLED);
		assert_int_equal(d->error.status, PGML_ERR_CANCELLED);
		data_free(d);
	}
}

static void
a_deadline_leaves_a_model(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_mixed(300, tasks[t]);

			set_way(d, way);
			d->env.deadline = pgml_now();
			fit(d);
			assert_true(d->fit.out_of_time);
			data_free(d);
		}
}

static void
memory_is_estimated(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
			for (int n = 5; n < 3000; n *= 8)
			{
				Data *d = data_mixed(n, tasks[t]);
				int64_t payload;
				int64_t bytes;

				set_way(d, way);
				set(d, "cache_size", 1);
				set(d, "max_iter", 300);
				bytes = learner->memory(&d->set, &d->params, &payload);
				d->budget.limit = bytes + payload;
				fit(d);
				assert_true((int64_t) d->fit.payload.len <= payload);
				data_free(d);
			}
}

static void
failed_allocations_leave_nothing(void **state)
{
	(void) state;
	for (int t = 1; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_mixed(60, tasks[t]);
			int failures = 0;

			set_way(d, way);
			for (int64_t at = 1;; at++)
			{
				PgmlStatus status;

				atomic_store(&d->budget.fail_at, at);
				status = try_fit(d);
				if (status == PGML_OK)
					break;
				assert_int_equal(status, PGML_ERR_NOMEM);
				assert_int_equal(d->error.status, PGML_ERR_NOMEM);
				failures++;
			}
			assert_true(failures > 10);
			data_free(d);
		}
}

/* Bytes that are not what was written are refused, or do no harm. */
static void
damaged_payloads_do_no_harm(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_mixed(60, tasks[t]);
			uint8_t *bytes;
			double out[60 * 4];
			PgmlRng rng;

			set_way(d, way);
			fit(d);
			pgml_rng_init(&rng, 12, 1);
			for (size_t cut = 0; cut < d->fit.payload.len; cut += 1 + cut / 3)
				assert_int_equal(learner->verify(d->fit.payload.data, cut, &d->shape, NULL),
								 PGML_ERR_CORRUPT);
			bytes = malloc(d->fit.payload.len);
			for (int round = 0; round < 3000; round++)
			{
				uint64_t room = round % 2 == 0 ? sizeof(PgmlSvmHeader) + 700 : d->fit.payload.len;

				memcpy(bytes, d->fit.payload.data, d->fit.payload.len);
				bytes[pgml_rng_below(&rng, room < d->fit.payload.len ? room : d->fit.payload.len)] =
					(uint8_t) pgml_rng_below(&rng, 256);
				if (learner->verify(bytes, d->fit.payload.len, &d->shape, NULL) != PGML_OK)
					continue;

				float x[7] = { 1, NAN, 3e38f, 0, 99, -1, 0.5f };

				learner->predict(bytes, &d->shape, x, 1, out);
			}
			free(bytes);
			data_free(d);
		}
}

int
test_svm(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ways_learn),
		cmocka_unit_test(rows_are_predicted_alike_in_any_company),
		cmocka_unit_test(threads_and_repetition_change_no_byte),
		cmocka_unit_test(the_approximation_approaches_the_kernel),
		cmocka_unit_test(landmarks_may_be_equal),
		cmocka_unit_test(weights_are_copies),
		cmocka_unit_test(balanced_weights_leave_probabilities_alone),
		cmocka_unit_test(many_rows_are_calibrated_by_some),
		cmocka_unit_test(settings_that_contradict_are_told),
		cmocka_unit_test(hard_inputs_are_learned_from),
		cmocka_unit_test(few_rows_are_enough),
		cmocka_unit_test(separable_classes_are_separated),
		cmocka_unit_test(columns_may_be_many),
		cmocka_unit_test(a_stop_is_honoured),
		cmocka_unit_test(a_deadline_leaves_a_model),
		cmocka_unit_test(memory_is_estimated),
		cmocka_unit_test(failed_allocations_leave_nothing),
		cmocka_unit_test(damaged_payloads_do_no_harm),
	};

	return cmocka_run_group_tests_name("svm", tests, load_blas, NULL);
}
