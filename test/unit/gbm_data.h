/*
 * gbm_data.h - small data sets for the tests of gradient boosting.
 */
#ifndef PGML_UNIT_GBM_DATA_H
#define PGML_UNIT_GBM_DATA_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/env.h"
#include "core/par.h"
#include "core/rng.h"
#include "learner/gbm.h"

#define MAX_FEATURES 24

/* What the data is for; a test of another learner defines it first. */
#ifndef DATA_LEARNER
#define DATA_LEARNER pgml_learner_gradient_boosting
#endif

static const PgmlLearner *const learner = &DATA_LEARNER;

/* The tests of histograms, splits and losses; returns failures. */
extern int gbm_parts(void);
extern int gbm_sampling(void);
extern int gbm_objectives(void);

/* A dataset that owns its arrays, and the environment of its fits. */
typedef struct Data
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlFeature features[MAX_FEATURES];
	float *col[MAX_FEATURES];
	bool categorical[MAX_FEATURES];
	int32_t n_levels[MAX_FEATURES];
	double *y;
	double *w; /* 1; set.w is NULL until a test wants weights */
	int32_t *rows;
	PgmlMatrix x;
	PgmlDataset set;
	PgmlShape shape;
	PgmlParams params;
	PgmlFit fit;
} Data;

/* n rows of zeros, numeric features, all rows to learn from, the learner's defaults. */
static inline Data *
data_new(int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = calloc(1, sizeof(*d));

	pgml_budget_init(&d->budget, 0);
	d->env = (PgmlEnv){ .budget = &d->budget, .error = &d->error, .stop = &d->stop, .seed = 1 };
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
	d->set = (PgmlDataset){ .x = &d->x, .y = d->y, .task = task, .rows = d->rows, .n = n };
	d->set.n_classes = n_classes;
	d->shape = (PgmlShape){ .task = task, .n_classes = n_classes, .nfeatures = nfeatures };
	d->shape.categorical = d->categorical;
	d->shape.n_levels = d->n_levels;
	pgml_params_default(learner, &d->params);
	pgml_buf_init(&d->fit.payload, &d->budget);
	return d;
}

/* Free everything; nothing may still be charged. */
static inline void
data_free(Data *d)
{
	pgml_buf_free(&d->fit.payload);
	assert_int_equal(atomic_load(&d->budget.used), 0);
	for (int f = 0; f < MAX_FEATURES; f++)
		free(d->col[f]);
	free(d->y);
	free(d->w);
	free(d->rows);
	free(d);
}

static inline void
make_categorical(Data *d, int f, int32_t n_levels)
{
	d->features[f].categorical = d->categorical[f] = true;
	d->features[f].n_levels = d->n_levels[f] = n_levels;
}

static inline void
set(Data *d, const char *name, double value)
{
	assert_int_equal(pgml_params_set(learner, &d->params, name, value, &d->error), PGML_OK);
}

static inline void
set_word(Data *d, const char *name, const char *word)
{
	assert_int_equal(pgml_params_set_text(learner, &d->params, name, word, &d->error), PGML_OK);
}

/* A single tree with two leaves, no shrinkage, no bound on small leaves. */
static inline void
set_stump(Data *d)
{
	set(d, "n_estimators", 1);
	set(d, "learning_rate", 1);
	set(d, "num_leaves", 2);
	set(d, "min_data_in_leaf", 1);
}

/* Fit again, whatever was fitted before; margins may be NULL. */
static inline PgmlStatus
try_fit(Data *d, double *margins)
{
	pgml_buf_free(&d->fit.payload);
	if (margins == NULL)
		return learner->fit(&d->env, &d->set, &d->params, &d->fit);
	return pgml_gbm_fit(&d->env, &d->set, &d->params, &d->fit, margins);
}

/* Fit, expect success and a payload that verifies. */
static inline void
fit(Data *d, double *margins)
{
	assert_int_equal(try_fit(d, margins), PGML_OK);
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error),
					 PGML_OK);
}

/* A word for what is the default anyway gives the same model, byte by byte. */
static inline void
assert_word_changes_nothing(Data *d, const char *name, const char *word)
{
	PgmlBuf before;

	fit(d, NULL);
	before = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	set_word(d, name, word);
	fit(d, NULL);
	assert_int_equal(d->fit.payload.len, before.len);
	assert_memory_equal(d->fit.payload.data, before.data, before.len);
	pgml_buf_free(&before);
}

/* Row r of the matrix as predict() takes it. */
static inline void
get_row(const Data *d, int64_t r, float *x)
{
	for (int f = 0; f < d->x.nfeatures; f++)
		x[f] = d->col[f][r];
}

/* Prediction for row r, first output (binary: of class 1). */
static inline double
predict_row(const Data *d, int64_t r)
{
	float x[MAX_FEATURES];
	double out[64];

	get_row(d, r, x);
	learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
	return out[0];
}

/* Prediction for a row of one feature. */
static inline double
predict_x(const Data *d, float x)
{
	double out[64];

	learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	return out[0];
}

/*
 * Mixed data: feature 0 .. 3 numeric (2 with few values, 3 with missing ones), 4 categorical with 12 levels, 5 with 3, the rest
 * noise; the target depends on all of the first six.
 */
static inline Data *
data_mixed(int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = data_new(n, nfeatures, task, n_classes);
	PgmlRng rng;

	pgml_rng_init(&rng, 99, 1);
	make_categorical(d, 4, 12);
	make_categorical(d, 5, 3);
	for (int64_t i = 0; i < n; i++)
	{
		double z;

		for (int f = 0; f < nfeatures; f++)
			d->col[f][i] = (float) pgml_rng_normal(&rng);
		d->col[2][i] = roundf(d->col[2][i] * 2);
		d->col[4][i] = (float) pgml_rng_below(&rng, 12);
		d->col[5][i] = (float) pgml_rng_below(&rng, 3);
		if (pgml_rng_below(&rng, 5) == 0)
			d->col[3][i] = NAN;
		if (pgml_rng_below(&rng, 20) == 0)
			d->col[4][i] = NAN;
		z = d->col[0][i] * d->col[1][i] + d->col[2][i] / 2 +
			(isnan(d->col[3][i]) ? 1 : d->col[3][i]) +
			(isnan(d->col[4][i]) ? 0 : sin(d->col[4][i] * 2)) + (d->col[5][i] == 1) +
			pgml_rng_normal(&rng) / 4;
		if (task == PGML_TASK_REGRESSION)
			d->y[i] = z;
		else
			d->y[i] = fmin(fmax(floor((z + 3) / 6 * n_classes), 0), n_classes - 1);
	}
	return d;
}

#endif
