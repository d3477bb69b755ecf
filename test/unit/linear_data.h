/*
 * linear_data.h - tables, fits and their predictions for the tests of learner `linear`.
 */
#ifndef PGML_TEST_LINEAR_DATA_H
#define PGML_TEST_LINEAR_DATA_H

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
#include "learner/linear_internal.h"

#define MAX_FEATURES 24

static const PgmlLearner *const learner = &pgml_learner_linear;

/* ---- data ---- */

/* A dataset that owns its arrays. */
typedef struct Data
{
	PgmlFeature features[MAX_FEATURES];
	float *col[MAX_FEATURES];
	bool categorical[MAX_FEATURES];
	int32_t n_levels[MAX_FEATURES];
	double *y;
	double *w;
	int32_t *rows;
	PgmlMatrix x;
	PgmlDataset set;
	PgmlShape shape;
} Data;

static PgmlBlas loaded;

static inline int
load_blas(void **state)
{
	(void) state;
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	return pgml_blas_load(&loaded, NULL, NULL) != PGML_OK;
}

/* n rows of zeros, nfeatures numbers, weights 1, all rows to learn from. */
static inline Data *
data_new(int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = calloc(1, sizeof(*d));

	d->y = calloc((size_t) n + 1, sizeof(double));
	d->w = calloc((size_t) n + 1, sizeof(double));
	d->rows = calloc((size_t) n + 1, sizeof(int32_t));
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
	d->x =
		(PgmlMatrix){ .nrows = n, .nfeatures = nfeatures, .features = d->features, .col = d->col };
	d->set =
		(PgmlDataset){ .x = &d->x, .y = d->y, .w = d->w, .task = task, .rows = d->rows, .n = n };
	d->set.n_classes = n_classes;
	d->set.blas = &loaded;
	d->shape = (PgmlShape){ .task = task, .n_classes = n_classes, .nfeatures = nfeatures };
	d->shape.categorical = d->categorical;
	d->shape.n_levels = d->n_levels;
	return d;
}

static inline void
data_free(Data *d)
{
	for (int f = 0; f < d->x.nfeatures; f++)
		free(d->col[f]);
	free(d->y);
	free(d->w);
	free(d->rows);
	free(d);
}

static inline void
make_category(Data *d, int f, int32_t n_levels)
{
	d->features[f].categorical = true;
	d->features[f].n_levels = n_levels;
	d->categorical[f] = true;
	d->n_levels[f] = n_levels;
}

/* Leave the rows from `first` on to validation. */
static inline void
hold_out(Data *d, int64_t first)
{
	d->set.valid_rows = d->rows + first;
	d->set.n_valid = d->set.n - first;
	d->set.n = first;
}

/* The 24 rows the reference numbers were computed on: two numbers and a category. */
static inline Data *
reference_data(PgmlTask task, bool weighted)
{
	static const int classes[] = {
		[PGML_TASK_REGRESSION] = 1, [PGML_TASK_BINARY] = 2, [PGML_TASK_MULTICLASS] = 3
	};
	Data *d = data_new(24, 3, task, classes[task]);

	make_category(d, 2, 3);
	for (int i = 0; i < 24; i++)
	{
		int a = i * 7 % 11;
		double b = i * 5 % 13 * 0.5 - 2;
		int c = (i * 3 + i / 5) % 3;

		d->col[0][i] = (float) a;
		d->col[1][i] = (float) b;
		d->col[2][i] = (float) c;
		if (task == PGML_TASK_REGRESSION)
			d->y[i] = 2 * a - b + (c == 1 ? 3 : 0) + i * 17 % 7 * 0.3;
		else if (task == PGML_TASK_BINARY)
			d->y[i] = a + i * 3 % 8 > 8;
		else
			d->y[i] = (a + i * i % 5) / 5 % 3;
		if (weighted)
			d->w[i] = 1 + i % 4 * 0.5;
	}
	return d;
}

/* Noisy data with everything in it: skewed numbers, missing values, categories with unseen levels. */
static inline Data *
mixed_data(int64_t n, PgmlTask task, int n_classes)
{
	Data *d = data_new(n, 5, task, n_classes);
	PgmlRng rng;

	make_category(d, 3, 4);
	make_category(d, 4, 7);
	pgml_rng_init(&rng, 42, 1);
	for (int64_t i = 0; i < n; i++)
	{
		double a = pgml_rng_normal(&rng);
		double b = exp(2 * pgml_rng_normal(&rng));
		double c = pgml_rng_normal(&rng);
		int level = (int) pgml_rng_below(&rng, 3);
		double score = a + 0.5 * log(b) - c + (level == 1) + 0.7 * pgml_rng_normal(&rng);

		d->col[0][i] = (float) a;
		d->col[1][i] = (float) b;
		d->col[2][i] = pgml_rng_below(&rng, 10) == 0 ? NAN : (float) c;
		d->col[3][i] = pgml_rng_below(&rng, 20) == 0 ? NAN : (float) level;
		d->col[4][i] = (float) pgml_rng_below(&rng, 6);
		if (task == PGML_TASK_REGRESSION)
			d->y[i] = 100 + 10 * score;
		else
			d->y[i] = fmin(n_classes - 1, fmax(0, floor(score + n_classes / 2.0)));
	}
	return d;
}

/* ---- fitting ---- */

/* A fit with its surroundings; payload freed by done(). */
typedef struct Run
{
	PgmlBudget budget;
	PgmlError err;
	PgmlEnv env;
	PgmlParams params;
	PgmlFit fit;
} Run;

static inline void
run_init(Run *r)
{
	memset(r, 0, sizeof(*r));
	pgml_budget_init(&r->budget, 0);
	r->env.budget = &r->budget;
	r->env.error = &r->err;
	r->env.seed = 1;
	pgml_params_default(learner, &r->params);
	pgml_buf_init(&r->fit.payload, &r->budget);
}

static inline void
set(Run *r, const char *name, double value)
{
	assert_int_equal(pgml_params_set(learner, &r->params, name, value, &r->err), PGML_OK);
}

static inline void
set_word(Run *r, const char *name, const char *word)
{
	assert_int_equal(pgml_params_set_text(learner, &r->params, name, word, &r->err), PGML_OK);
}

/* Fit and verify. */
static inline void
run_fit(Run *r, const Data *d)
{
	if (learner->fit(&r->env, &d->set, &r->params, &r->fit) != PGML_OK)
		fail_msg("%s", r->err.message);
	assert_int_equal(learner->verify(r->fit.payload.data, r->fit.payload.len, &d->shape, &r->err),
					 PGML_OK);
}

static inline void
run_done(Run *r)
{
	pgml_buf_free(&r->fit.payload);
	assert_int_equal(r->budget.used, 0);
}

/* Predictions of all rows of the matrix: the caller frees them. */
static inline double *
predict_all(const Run *r, const Data *d)
{
	int outputs = pgml_task_outputs(d->set.task, d->set.n_classes);
	size_t width = (size_t) d->x.nfeatures;
	double *out = malloc((size_t) (d->x.nrows * outputs + 1) * sizeof(double));
	float *x = malloc(((size_t) d->x.nrows * width + 1) * sizeof(float));

	for (int64_t i = 0; i < d->x.nrows; i++)
		for (size_t f = 0; f < width; f++)
			x[(size_t) i * width + f] = d->col[f][i];
	learner->predict(r->fit.payload.data, &d->shape, x, d->x.nrows, out);
	free(x);
	return out;
}

/* Fit for a given penalty to the last digit and predict all rows. */
static inline double *
fit_exactly(const Data *d, double alpha)
{
	Run r;

	run_init(&r);
	set(&r, "alpha", alpha);
	set(&r, "tol", 1e-14);
	set(&r, "max_iter", 1000);
	run_fit(&r, d);

	double *p = predict_all(&r, d);

	run_done(&r);
	return p;
}

/* Every number a fit must give is finite, and probabilities add up to 1. */
static inline void
assert_sound(const double *p, const Data *d)
{
	int outputs = pgml_task_outputs(d->set.task, d->set.n_classes);

	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		double sum = 0;

		for (int o = 0; o < outputs; o++)
		{
			double v = p[i * outputs + o];

			assert_true(isfinite(v));
			assert_true(d->set.task == PGML_TASK_REGRESSION || (v >= 0 && v <= 1));
			sum += v;
		}
		if (d->set.task == PGML_TASK_MULTICLASS)
			assert_true(fabs(sum - 1) < 1e-12);
	}
}

/* Loss of one prediction: half the squared error or log loss. */
static inline double
row_loss(const Data *d, const double *p, int64_t i)
{
	if (d->set.task == PGML_TASK_REGRESSION)
		return 0.5 * (d->y[i] - p[i]) * (d->y[i] - p[i]);
	if (d->set.task == PGML_TASK_BINARY)
		return -log(d->y[i] == 1 ? p[i] : 1 - p[i]);
	return -log(p[i * d->set.n_classes + (int) d->y[i]]);
}

/* The objective of the stored model, penalty included. */
static inline double
objective(const Run *r, const Data *d, double alpha)
{
	const PgmlLinearHeader *header = (const PgmlLinearHeader *) r->fit.payload.data;
	const double *coef =
		(const double *) ((const PgmlLinearFeature *) (header + 1) + header->nfeatures);
	double *p = predict_all(r, d);
	double value = 0;

	for (int64_t i = 0; i < d->x.nrows; i++)
		value += d->w[i] * row_loss(d, p, i);
	for (uint64_t i = header->outputs; i < (uint64_t) header->rows * header->outputs; i++)
		value += 0.5 * alpha * coef[i] * coef[i];
	free(p);
	return value;
}

static inline void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b))))
		fail_msg("%.17g is not near %.17g", a, b);
}

#endif
