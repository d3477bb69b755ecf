/* Tests of learner/forest*: random_forest, extra_trees and decision_tree. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "learner/forest.h"
#include "unit.h"

#define MAX_FEATURES 40
#define MAX_OUTPUTS  600

static const PgmlLearner *const forests[] = { &pgml_learner_random_forest,
											  &pgml_learner_extra_trees,
											  &pgml_learner_decision_tree };
static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* A dataset that owns its arrays, and the environment of its fits. */
typedef struct Data
{
	const PgmlLearner *learner;
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlFeature features[MAX_FEATURES];
	float *col[MAX_FEATURES];
	bool categorical[MAX_FEATURES];
	int32_t n_levels[MAX_FEATURES];
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
data_new(const PgmlLearner *learner, int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = calloc(1, sizeof(*d));

	d->learner = learner;
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
	d->x = (PgmlMatrix){ n, nfeatures, d->features, d->col };
	d->set = (PgmlDataset){
		.x = &d->x, .y = d->y, .task = task, .n_classes = n_classes, .rows = d->rows, .n = n
	};
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
	for (int f = 0; f < MAX_FEATURES; f++)
		free(d->col[f]);
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

/* A setting, where the learner has it. */
static void
set(Data *d, const char *name, double value)
{
	PgmlStatus status = pgml_params_set(d->learner, &d->params, name, value, &d->error);

	assert_true(status == PGML_OK || (d->learner == &pgml_learner_decision_tree &&
									  isnan(pgml_param(d->learner, &d->params, name))));
}

static void
set_word(Data *d, const char *name, const char *word)
{
	assert_int_equal(pgml_params_set_text(d->learner, &d->params, name, word, &d->error), PGML_OK);
}

/* A single split, no bound on small leaves. */
static Data *
stump_new(int64_t n, int nfeatures, PgmlTask task, int n_classes)
{
	Data *d = data_new(&pgml_learner_decision_tree, n, nfeatures, task, n_classes);

	set(d, "max_depth", 1);
	set(d, "min_samples_leaf", 1);
	return d;
}

static PgmlStatus
try_fit(Data *d)
{
	pgml_buf_free(&d->fit.payload);
	return d->learner->fit(&d->env, &d->set, &d->params, &d->fit);
}

/* Fit, expect success and a payload that verifies. */
static void
fit(Data *d)
{
	assert_int_equal(try_fit(d), PGML_OK);
	assert_int_equal(
		d->learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error), PGML_OK);
}

/* Predictions of the first n rows of the matrix, one by one. */
static void
predict_rows(const Data *d, int64_t n, double *out)
{
	int outputs = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	float x[MAX_FEATURES];

	for (int64_t i = 0; i < n; i++)
	{
		for (int f = 0; f < d->x.nfeatures; f++)
			x[f] = d->col[f][i];
		d->learner->predict(d->fit.payload.data, &d->shape, x, 1, out + i * outputs);
	}
}

/* Prediction for a row of one feature, first output. */
static double
predict_x(const Data *d, float x)
{
	double out[MAX_OUTPUTS];

	d->learner->predict(d->fit.payload.data, &d->shape, &x, 1, out);
	return out[0];
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* Numbers, some missing, few values, two categories; the target depends on the first six. */
static Data *
data_mixed(const PgmlLearner *learner, int64_t n, int nfeatures, PgmlTask task)
{
	int k = task == PGML_TASK_REGRESSION ? 1 : task == PGML_TASK_BINARY ? 2 : 4;
	Data *d = data_new(learner, n, nfeatures, task, k);
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
		z = d->col[0][i] + d->col[2][i] / 2 + (isnan(d->col[3][i]) ? 1 : d->col[3][i]) +
			(isnan(d->col[4][i]) ? 0 : sin(d->col[4][i] * 2)) + (d->col[5][i] == 1) +
			pgml_rng_normal(&rng) / 4;
		d->y[i] = task == PGML_TASK_REGRESSION ? z : fmin(fmax(floor((z + 3) / 6 * k), 0), k - 1);
		d->w[i] = (double) (1 + pgml_rng_below(&rng, 3));
	}
	return d;
}

/* ---- by hand ------------------------------------------------------------------------------------- */

static void
the_best_cut_is_found(void **state)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6 };
	static const double y[] = { 0, 0, 0, 10, 10, 16 };
	Data *d = stump_new(6, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	memcpy(d->col[0], x, sizeof(x));
	memcpy(d->y, y, sizeof(y));
	/* Sums of squares of the cuts after 1 .. 5: 205.6, 164, 24, 94.75, 120: the third is the best. */
	fit(d);
	assert_near(predict_x(d, 3.4f), 0, 1e-6);
	assert_near(predict_x(d, 3.6f), 12, 1e-6);
	/* Two leaves of at least four rows are impossible; of three it is the same cut. */
	set(d, "min_samples_leaf", 4);
	fit(d);
	assert_near(predict_x(d, 1), 6, 1e-6);
	set(d, "min_samples_leaf", 1);
	set(d, "max_depth", 2);
	fit(d);
	assert_near(predict_x(d, 5), 10, 1e-6);
	assert_near(predict_x(d, 6), 16, 1e-6);
	data_free(d);
}

/*
 * Squares between two halves, 0 0 2 2 | 20 20 26 26: the first cut leaves 4 and 36 to be gained.  With three leaves the right half is parted,
 * though the left one is made first; with four both are.
 */
static void
best_splits_come_first(void **state)
{
	static const double y[] = { 0, 0, 2, 2, 20, 20, 26, 26 };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Data *d = stump_new(8, 1, PGML_TASK_REGRESSION, 1);

		set(d, "max_depth", -1);
		for (int i = 0; i < 8; i++)
		{
			d->col[0][i] = (float) (t == 0 ? i : -i);
			d->y[i] = y[i];
		}
		set(d, "max_leaf_nodes", 2);
		fit(d);
		assert_near(predict_x(d, d->col[0][0]), 1, 1e-6);
		assert_near(predict_x(d, d->col[0][7]), 23, 1e-6);
		set(d, "max_leaf_nodes", 3);
		fit(d);
		assert_near(predict_x(d, d->col[0][0]), 1, 1e-6);
		assert_near(predict_x(d, d->col[0][4]), 20, 1e-6);
		assert_near(predict_x(d, d->col[0][7]), 26, 1e-6);
		set(d, "max_leaf_nodes", 4);
		fit(d);
		assert_near(predict_x(d, d->col[0][0]), 0, 1e-6);
		assert_near(predict_x(d, d->col[0][3]), 2, 1e-6);
		assert_near(predict_x(d, d->col[0][4]), 20, 1e-6);
		set(d, "max_leaf_nodes", 1);
		fit(d);
		assert_near(predict_x(d, d->col[0][4]), 12, 1e-6);
		data_free(d);
	}
}

static void
leaves_are_smoothed_and_classes_weighted(void **state)
{
	Data *d = stump_new(10, 1, PGML_TASK_BINARY, 2);

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		d->col[0][i] = (float) (i < 6);
		d->y[i] = i >= 6 && i < 8; /* of four rows with x = 0 two are of class 1 */
	}
	fit(d);
	assert_near(predict_x(d, 0), 0.5, 1e-7);
	assert_near(predict_x(d, 1), 0, 1e-7);
	set(d, "leaf_smoothing", 1); /* one row more with 0.2 of class 1 */
	fit(d);
	assert_near(predict_x(d, 0), 2.2 / 5, 1e-7);
	assert_near(predict_x(d, 1), 0.2 / 7, 1e-7);
	set(d, "leaf_smoothing", 0);
	set_word(d, "class_weight", "balanced"); /* 10 / (2 * 8) and 10 / (2 * 2) */
	fit(d);
	assert_near(predict_x(d, 0), 5 / (5 + 1.25), 1e-7);
	data_free(d);
}

static void
missing_values_go_where_they_fit(void **state)
{
	(void) state;
	for (int side = 0; side < 3; side++)
		for (int t = 0; t < 3; t++)
		{
			Data *d = stump_new(60, 1, tasks[t], t == 0 ? 1 : t + 1);

			/* x is -1, 1 or missing; missing is as -1, as 1, or as nothing else. */
			for (int i = 0; i < 60; i++)
			{
				d->col[0][i] = i % 3 == 0 ? NAN : i % 3 == 1 ? -1 : 1;
				d->y[i] = i % 3 == 0 ? (side != 0) : i % 3 == 1 ? 0 : side < 2;
			}
			fit(d);
			if (t < 2)
			{
				assert_near(predict_x(d, NAN), side != 0, 1e-6);
				assert_near(predict_x(d, -1), 0, 1e-6);
				assert_near(predict_x(d, 1), side < 2, 1e-6);
			}
			else
				assert_near(predict_x(d, NAN), side == 0, 1e-6);
			data_free(d);
		}
}

static void
sets_of_levels_are_parted(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = stump_new(200, 1, tasks[t], t == 0 ? 1 : t + 1);

		make_categorical(d, 0, 20);
		for (int i = 0; i < 200; i++)
		{
			d->col[0][i] = (float) (i % 20);
			d->y[i] = i % 20 % 3 == 1; /* no threshold on the number of the level */
		}
		fit(d);
		for (int level = 0; level < 20; level++)
			assert_near(predict_x(d, (float) level), t < 2 ? level % 3 == 1 : level % 3 != 1, 1e-6);
		data_free(d);
	}
}

/*
 * Of 20 rows of one class and 12 of another the first feature sets 6 and 7 apart, the second 3 and none: the Gini index prefers the
 * first, entropy the second.
 */
static void
the_criterion_is_followed(void **state)
{
	(void) state;
	assert_near(pgml_forest_xlogx(0.5), 0.5 * log(0.5), 1e-13);
	assert_near(pgml_forest_xlogx(1e9), 1e9 * log(1e9), 1e-3);
	assert_true(pgml_forest_xlogx(0) == 0);
	for (int several = 0; several < 2; several++)
		for (int weighted = 0; weighted < 2; weighted++)
		{
			Data *d =
				stump_new(33, 2, several ? PGML_TASK_MULTICLASS : PGML_TASK_BINARY, 2 + several);
			double out[3];

			for (int i = 0; i < 32; i++)
			{
				d->y[i] = i >= 20;
				d->col[0][i] = i < 6 || (i >= 20 && i < 27);
				d->col[1][i] = i >= 17 && i < 20;
			}
			d->w[32] = 0; /* a row that does not count, with weights */
			d->y[32] = 1;
			d->set.n = 32 + weighted;
			d->set.w = weighted ? d->w : NULL;
			set_word(d, "criterion", "gini");
			fit(d);
			predict_rows(d, 1, out);
			assert_near(out[0], several ? 6.0 / 13 : 7.0 / 13, 1e-6);
			set_word(d, "criterion", "log_loss");
			fit(d);
			predict_rows(d, 1, out);
			assert_near(out[0], several ? 17.0 / 29 : 12.0 / 29, 1e-6);
			set_word(d, "criterion", "squared_error");
			assert_int_equal(try_fit(d), PGML_ERR_BADARG);
			assert_string_equal(d->error.hint, "For classes it is gini or entropy.");
			data_free(d);
		}
}

/* As gradient_boosting says it. */
static void
weights_of_classes_need_classes(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
	{
		Data *d = data_mixed(forests[l], 100, 8, PGML_TASK_REGRESSION);

		set_word(d, "class_weight", "balanced");
		assert_int_equal(try_fit(d), PGML_ERR_BADARG);
		assert_string_equal(d->error.message,
							"class_weight is for classes, the target is a number");
		data_free(d);
	}
}

/* ---- invariants ---------------------------------------------------------------------------------- */

static void
full_trees_know_their_rows(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 3; t++)
		{
			Data *d = data_mixed(forests[l], 250, 8, tasks[t]);
			double out[250 * 4];
			int outputs = pgml_task_outputs(d->shape.task, d->shape.n_classes);

			set(d, "n_estimators", 5);
			set(d, "min_samples_leaf", 1);
			set(d, "max_depth", -1);
			set(d, "bootstrap", 0);
			set(d, "leaf_smoothing", 0);
			fit(d);
			predict_rows(d, 250, out);
			for (int i = 0; i < 250; i++)
				if (t < 2)
					assert_near(out[i], d->y[i], 1e-5);
				else
					assert_near(out[i * outputs + (int) d->y[i]], 1, 1e-6);
			data_free(d);
		}
}

/* Values that a model with one tree gives to n rows. */
static int
count_values(const Data *d, int64_t n)
{
	int outputs = pgml_task_outputs(d->shape.task, d->shape.n_classes);
	double *out = calloc((size_t) (n * outputs), sizeof(double));
	int found = 0;

	predict_rows(d, n, out);
	for (int64_t i = 0; i < n; i++)
	{
		int64_t j = 0;

		while (memcmp(out + j * outputs, out + i * outputs, (size_t) outputs * sizeof(double)) != 0)
			j++;
		found += j == i;
	}
	free(out);
	return found;
}

/*
 * A tree has as many leaves as it may have; of more than it needs, it is the tree that is grown without a bound, where no chance is
 * involved.
 */
static void
leaves_are_bounded(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 6; t++)
		{
			Data *d = data_mixed(forests[l], 400, 8, tasks[t / 2]);
			double free_out[400 * 4], out[400 * 4];
			size_t bytes = 400 * (size_t) pgml_task_outputs(d->shape.task, d->shape.n_classes) *
						   sizeof(double);

			set(d, "n_estimators", 1);
			set(d, "min_samples_leaf", 1);
			set(d, "max_depth", -1);
			if (t % 2 == 1 && t > 1)
				set_word(d, "criterion", "entropy");
			d->set.w = t % 2 == 1 ? d->w : NULL;
			set(d, "max_leaf_nodes", 9);
			fit(d);
			/* Two leaves may say the same. */
			assert_in_range(count_values(d, 400), t < 2 ? 9 : 5, 9);
			if (l == 2)
			{
				set(d, "max_leaf_nodes", 400);
				fit(d);
				predict_rows(d, 400, out);
				set(d, "max_leaf_nodes", -1);
				fit(d);
				predict_rows(d, 400, free_out);
				assert_memory_equal(out, free_out, bytes);
			}
			data_free(d);
		}
}

static void
a_weight_is_as_many_rows(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_mixed(&pgml_learner_decision_tree, 300, 8, tasks[t]);
		double heavy[300 * 4], many[300 * 4];
		int outputs = pgml_task_outputs(d->shape.task, d->shape.n_classes);
		int32_t *rows = d->rows, *repeated = malloc(900 * sizeof(int32_t));
		int64_t n = 0;

		for (int i = 0; i < 300; i++)
			for (int j = 0; j < (int) d->w[i]; j++)
				repeated[n++] = i;
		set(d, "max_depth", 4);
		set(d, "min_samples_leaf", 1);
		d->set.w = d->w;
		fit(d);
		predict_rows(d, 300, heavy);
		d->set.w = NULL;
		d->set.rows = repeated;
		d->set.n = n;
		fit(d);
		predict_rows(d, 300, many);
		for (int i = 0; i < 300 * outputs; i++)
			assert_near(heavy[i], many[i], 1e-5);
		free(repeated);
		d->rows = rows;
		data_free(d);
	}
}

/* Fit as d is and keep the bytes. */
static uint8_t *
fit_bytes(Data *d, size_t *len)
{
	uint8_t *bytes;

	fit(d);
	*len = d->fit.payload.len;
	bytes = malloc(*len);
	memcpy(bytes, d->fit.payload.data, *len);
	return bytes;
}

static void
threads_and_given_bins_change_nothing(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
		for (int way = 0; way < 6; way++)
		{
			Data *d = data_mixed(forests[l], 6000, way % 2 == 0 ? 8 : 36, tasks[way / 2]);
			int outputs = pgml_task_outputs(d->shape.task, d->shape.n_classes);
			double *oob = malloc(6000 * (size_t) outputs * sizeof(double));
			double *again = malloc(6000 * (size_t) outputs * sizeof(double));
			PgmlArena *arena = pgml_arena_create(&d->budget);
			PgmlBins *bins;
			uint8_t *bytes;
			size_t len;

			set(d, "n_estimators", 7);
			set(d, "max_samples", way % 2 == 0 ? 1 : 0.7);
			set(d, "max_leaf_nodes", way / 2 == 1 ? 50 : -1);
			d->set.w = way % 2 == 0 ? NULL : d->w;
			d->set.oob_out = oob;
			bytes = fit_bytes(d, &len);
			assert_int_equal(d->fit.oob_predicted, l == 0);
			d->env.pool = pgml_pool_create(3);
			d->set.oob_out = again;
			assert_int_equal(pgml_bins_create(&d->env, arena, &d->x, d->rows, d->set.n, 255, &bins),
							 PGML_OK);
			d->set.bins = bins;
			fit(d);
			assert_int_equal(d->fit.payload.len, len);
			assert_memory_equal(d->fit.payload.data, bytes, len);
			if (l == 0)
				assert_memory_equal(oob, again, 6000 * (size_t) outputs * sizeof(double));
			d->env.seed = 2;
			fit(d);
			assert_true(l == 2 || d->fit.payload.len != len ||
						memcmp(d->fit.payload.data, bytes, len) != 0);
			pgml_pool_destroy(d->env.pool);
			pgml_arena_destroy(arena);
			free(bytes);
			free(oob);
			free(again);
			data_free(d);
		}
}

/* Columns, as predict_block() takes them, give what rows give, to the last bit; so does any number of rows at once. */
static void
blocks_say_the_same(void **state)
{
	static const int sizes[] = { 1, 15, 16, 17, 100, PGML_BLOCK_ROWS, 257, 690, 1100 };

	(void) state;
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 3; t++)
		{
			Data *d = data_mixed(forests[l], 1200, 9, tasks[t]);
			PgmlArena *arena = pgml_arena_create(&d->budget);
			size_t outputs = (size_t) pgml_task_outputs(d->shape.task, d->shape.n_classes);
			double *one = malloc(1200 * outputs * sizeof(double));
			double *block = malloc(1200 * outputs * sizeof(double));
			float *x = malloc(1200 * 9 * sizeof(float)),
				  *columns = malloc(1200 * 9 * sizeof(float));
			const void *prepared;
			void *scratch;

			set(d, "n_estimators", 21);
			set(d, "leaf_smoothing", t == 1 ? 0 : 0.5);
			fit(d);
			d->col[0][3] = INFINITY;
			d->col[0][4] = -INFINITY;
			d->col[0][5] = NAN;
			d->col[4][6] = 1e9f;
			d->col[4][7] = -1;
			for (int i = 0; i < 1200; i++)
				for (int f = 0; f < 9; f++)
					x[i * 9 + f] = columns[f * 1200 + i] = d->col[f][i];
			predict_rows(d, 1200, one);
			d->learner->predict(d->fit.payload.data, &d->shape, x, 1200, block);
			assert_memory_equal(one, block, 1200 * outputs * sizeof(double));
			assert_int_equal(
				d->learner->prepare(&d->env, arena, d->fit.payload.data, &d->shape, &prepared),
				PGML_OK);
			assert_non_null(prepared);
			assert_true(d->learner->block_rows(prepared) > 1100);
			scratch = pgml_alloc(arena, d->learner->scratch(prepared));
			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			{
				PgmlBlock b = { columns + s, 1200, sizes[s] };

				d->learner->predict_block(prepared, d->fit.payload.data, &d->shape, &b, block,
										  scratch);
				assert_memory_equal(one + s * outputs, block,
									(size_t) sizes[s] * outputs * sizeof(double));
			}
			free(one);
			free(block);
			free(x);
			free(columns);
			pgml_arena_destroy(arena);
			data_free(d);
		}
}

static void
out_of_bag_rows_are_honest(void **state)
{
	Data *d = data_new(&pgml_learner_random_forest, 2000, 3, PGML_TASK_BINARY, 2);
	double *oob = malloc(2000 * sizeof(double));
	double *in = malloc(2000 * sizeof(double));
	double wrong_in = 0, wrong_out = 0;
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 5, 5);
	for (int i = 0; i < 2000; i++)
	{
		for (int f = 0; f < 3; f++)
			d->col[f][i] = (float) pgml_rng_normal(&rng);
		d->y[i] = (double) (pgml_rng_below(&rng, 2)); /* nothing to learn */
	}
	d->set.oob_out = oob;
	set(d, "n_estimators", 60);
	fit(d);
	assert_true(d->fit.oob_predicted);
	predict_rows(d, 2000, in);
	for (int i = 0; i < 2000; i++)
	{
		assert_true(oob[i] >= 0 && oob[i] <= 1);
		wrong_in += (in[i] > 0.5) != (d->y[i] > 0.5);
		wrong_out += (oob[i] > 0.5) != (d->y[i] > 0.5);
	}
	assert_true(wrong_in < 40);
	assert_true(wrong_out > 800 && wrong_out < 1200);
	/* One tree leaves rows without a prediction: those that it drew. */
	set(d, "n_estimators", 1);
	fit(d);
	wrong_out = 0;
	for (int i = 0; i < 2000; i++)
		wrong_out += isnan(oob[i]);
	assert_true(wrong_out > 1150 && wrong_out < 1380); /* 1 - 1/e of them */
	free(oob);
	free(in);
	data_free(d);
}

/* ---- bounds -------------------------------------------------------------------------------------- */

static void
the_stop_flag_ends_a_fit(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
	{
		Data *d = data_mixed(forests[l], 3000, 8, PGML_TASK_BINARY);

		atomic_store(&d->stop, 1);
		assert_int_equal(try_fit(d), PGML_ERR_CANCELLED);
		data_free(d);
	}
}

static void
a_deadline_leaves_a_model(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 3; t++)
		{
			Data *d = data_mixed(forests[l], 3000, 8, tasks[t]);
			double out[4];

			d->env.deadline = 1e-9;
			fit(d);
			assert_true(l == 2 || d->fit.out_of_time);
			assert_in_range(d->fit.best_iteration, 1, 8);
			predict_rows(d, 1, out);
			assert_true(isfinite(out[0]));
			data_free(d);
		}
}

static void
a_bounded_payload_has_fewer_trees(void **state)
{
	Data *d = data_mixed(&pgml_learner_random_forest, 2000, 8, PGML_TASK_MULTICLASS);
	int64_t all;

	(void) state;
	set(d, "n_estimators", 20);
	fit(d);
	all = (int64_t) d->fit.payload.len;
	assert_false(d->fit.out_of_memory);
	d->set.max_payload = all / 2;
	fit(d);
	assert_true(d->fit.out_of_memory);
	assert_in_range(d->fit.best_iteration, 2, 11);
	assert_true((int64_t) d->fit.payload.len <= all / 2);
	d->set.max_payload = 100;
	assert_int_equal(try_fit(d), PGML_ERR_LIMIT);
	data_free(d);
}

static void
memory_is_estimated(void **state)
{
	(void) state;
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 3; t++)
		{
			Data *d = data_mixed(forests[l], 5000, 12, tasks[t]);
			int64_t bytes, payload;

			set(d, "n_estimators", 10);
			fit(d);
			bytes = d->learner->memory(&d->set, &d->params, &payload);
			assert_true(bytes + 2 * payload >= atomic_load(&d->budget.peak));
			assert_true(bytes < 8 * atomic_load(&d->budget.peak));
			data_free(d);
		}
}

/* Whichever allocation fails: an error or a smaller model, and nothing is lost. */
static void
any_allocation_may_fail(void **state)
{
	(void) state;
	for (int l = 0; l < 4; l++)
	{
		Data *d = data_mixed(forests[l % 2], 200, 8, PGML_TASK_MULTICLASS);
		double oob[200 * 4];
		int n = 0;

		set(d, "n_estimators", 3);
		set(d, "max_leaf_nodes", l < 2 ? -1 : 20);
		d->set.oob_out = l % 2 == 0 ? oob : NULL;
		for (;; n++)
		{
			PgmlStatus status;

			atomic_store(&d->budget.fail_at, n + 1);
			status = try_fit(d);
			if (atomic_load(&d->budget.fail_at) > 0)
				break;
			assert_true(status == PGML_OK || status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
		}
		assert_true(n > 20);
		atomic_store(&d->budget.fail_at, 0);
		data_free(d);
	}
}

/* ---- hard inputs --------------------------------------------------------------------------------- */

/* Fit all three with all tasks; every prediction is a number, probabilities add up to 1. */
static void
fit_all(void (*fill)(Data *d), int64_t n, int nfeatures, int n_classes)
{
	for (int l = 0; l < 3; l++)
		for (int t = 0; t < 3; t++)
			for (int weighted = 0; weighted < 2; weighted++)
			{
				int k = t == 0 ? 1 : t == 1 ? 2 : n_classes;
				Data *d = data_new(forests[l], n, nfeatures, tasks[t], k);
				double out[MAX_OUTPUTS];
				int outputs = pgml_task_outputs(d->shape.task, k);

				fill(d);
				set(d, "n_estimators", 4);
				set(d, "min_samples_leaf", 1);
				for (int64_t i = 0; i < n; i++)
				{
					d->y[i] = t == 0 ? d->y[i] : fmod(fabs(d->y[i]), k);
					d->y[i] = t == 0 ? d->y[i] : floor(d->y[i]);
				}
				d->set.w = weighted ? d->w : NULL;
				fit(d);
				for (int64_t i = 0; i < n; i++)
				{
					double sum = 0;
					float x[MAX_FEATURES];

					for (int f = 0; f < nfeatures; f++)
						x[f] = d->col[f][i];
					d->learner->predict(d->fit.payload.data, &d->shape, x, 1, out);
					for (int c = 0; c < outputs; c++)
					{
						assert_true(isfinite(out[c]));
						assert_true(t == 0 || (out[c] >= 0 && out[c] <= 1));
						sum += out[c];
					}
					if (t == 2)
						assert_near(sum, 1, 1e-9);
				}
				data_free(d);
			}
}

static void
fill_constant(Data *d)
{
	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		d->col[0][i] = 7;
		d->col[1][i] = NAN;
		d->y[i] = (double) i;
	}
}

static void
fill_collinear(Data *d)
{
	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		for (int f = 0; f < d->x.nfeatures; f++)
			d->col[f][i] = (float) i * (float) (f + 1);
		d->y[i] = (double) i;
		d->w[i] = i % 3 == 0 ? 0 : i % 7 == 0 ? 1e6 : 1e-6;
	}
}

static void
fill_extreme(Data *d)
{
	static const double targets[] = { 1e300, -1e300, 1.7e308, -1.7e308, 4e-324, 0, 1 };

	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		d->col[0][i] = i % 2 ? 3e38f : -3e38f;
		d->col[1][i] = i % 3 ? 1e-44f : -1e-44f;
		d->col[2][i] = (float) (i % 5);
		d->y[i] = d->shape.task == PGML_TASK_REGRESSION ? targets[i % 7] : (double) i;
		d->w[i] = i % 2 ? 1e200 : 1e-200;
	}
}

static void
fill_row_number(Data *d)
{
	for (int64_t i = 0; i < d->x.nrows; i++)
	{
		d->col[0][i] = (float) (i % 11);
		d->y[i] = (double) i;
	}
}

static void
hard_inputs_give_numbers(void **state)
{
	(void) state;
	fit_all(fill_constant, 20, 2, 3);
	fit_all(fill_collinear, 60, 5, 3);
	fit_all(fill_extreme, 70, 3, 5);
	fit_all(fill_row_number, 1, 1, 3);      /* one row */
	fit_all(fill_row_number, 30, 1, 30);    /* one row a class */
	fit_all(fill_row_number, 10, 1, 500);   /* more classes than rows */
	fit_all(fill_row_number, 3000, 1, 400); /* many classes, nodes of many rows */
}

static void
no_weight_is_an_error(void **state)
{
	Data *d = data_mixed(&pgml_learner_random_forest, 50, 6, PGML_TASK_BINARY);

	(void) state;
	for (int i = 0; i < 50; i++)
		d->w[i] = 0;
	d->set.w = d->w;
	assert_int_equal(try_fit(d), PGML_ERR_DATA);
	assert_string_equal(d->error.message, "there are no rows with a weight to learn from");
	d->set.n = 0;
	assert_int_equal(try_fit(d), PGML_ERR_DATA);
	data_free(d);
}

static void
many_features_are_taken(void **state)
{
	enum
	{
		N = 60,
		NF = 5000
	};
	(void) state;
	for (int l = 0; l < 3; l++)
	{
		Data *d = data_new(forests[l], N, 1, PGML_TASK_BINARY, 2);
		PgmlFeature *features = calloc(NF, sizeof(PgmlFeature));
		float **col = calloc(NF, sizeof(float *));
		bool *categorical = calloc(NF, sizeof(bool));
		int32_t *n_levels = calloc(NF, sizeof(int32_t));
		float *x = calloc(NF, sizeof(float)), *noise = calloc(N, sizeof(float));
		double out;

		for (int f = 0; f < NF; f++)
		{
			features[f].name = "x";
			col[f] = f == 4321 ? d->col[0] : noise;
		}
		for (int i = 0; i < N; i++)
		{
			noise[i] = (float) (i * 7 % 13);
			d->col[0][i] = (float) i;
			d->y[i] = i >= 30;
		}
		d->x = (PgmlMatrix){ N, NF, features, col };
		d->shape = (PgmlShape){ PGML_TASK_BINARY, 2, NF, categorical, n_levels };
		set(d, "max_features", 1);
		set(d, "n_estimators", 3);
		set(d, "bootstrap", 0);
		set(d, "leaf_smoothing", 0);
		fit(d);
		x[4321] = 2;
		d->learner->predict(d->fit.payload.data, &d->shape, x, 1, &out);
		assert_true(l == 1 || out == 0);
		free(features);
		free(col);
		free(categorical);
		free(n_levels);
		free(x);
		free(noise);
		data_free(d);
	}
}

/* Whatever bytes there are: an error, or predictions that end and stay in bounds. */
static void
damaged_payloads_do_no_harm(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_mixed(&pgml_learner_random_forest, 120, 8, tasks[t]);
		uint8_t *bytes;
		size_t len;
		int refused = 0;
		PgmlRng rng;

		set(d, "n_estimators", 2);
		set(d, "leaf_smoothing", 0.5);
		bytes = fit_bytes(d, &len);
		for (size_t cut = 0; cut < len; cut += cut < 128 ? 1 : 37)
			assert_int_equal(d->learner->verify(bytes, cut, &d->shape, &d->error),
							 PGML_ERR_CORRUPT);
		pgml_rng_init(&rng, 3, 3);
		for (size_t at = 0; at < len; at++)
		{
			double out[4];
			uint8_t was = bytes[at];

			bytes[at] ^= (uint8_t) (1 + pgml_rng_below(&rng, 255));
			if (d->learner->verify(bytes, len, &d->shape, &d->error) == PGML_OK)
			{
				memcpy(d->fit.payload.data, bytes, len);
				predict_rows(d, 1, out);
				assert_true(!isnan(out[0]));
			}
			else
				refused++;
			bytes[at] = was;
		}
		assert_true(refused > (int) len / 20);
		assert_int_equal(d->learner->verify(bytes + 1, len - 1, &d->shape, &d->error),
						 PGML_ERR_CORRUPT);
		free(bytes);
		data_free(d);
	}
}

int
test_forest(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_cut_is_found),
		cmocka_unit_test(best_splits_come_first),
		cmocka_unit_test(leaves_are_smoothed_and_classes_weighted),
		cmocka_unit_test(missing_values_go_where_they_fit),
		cmocka_unit_test(sets_of_levels_are_parted),
		cmocka_unit_test(the_criterion_is_followed),
		cmocka_unit_test(weights_of_classes_need_classes),
		cmocka_unit_test(full_trees_know_their_rows),
		cmocka_unit_test(leaves_are_bounded),
		cmocka_unit_test(a_weight_is_as_many_rows),
		cmocka_unit_test(threads_and_given_bins_change_nothing),
		cmocka_unit_test(blocks_say_the_same),
		cmocka_unit_test(out_of_bag_rows_are_honest),
		cmocka_unit_test(the_stop_flag_ends_a_fit),
		cmocka_unit_test(a_deadline_leaves_a_model),
		cmocka_unit_test(a_bounded_payload_has_fewer_trees),
		cmocka_unit_test(memory_is_estimated),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(hard_inputs_give_numbers),
		cmocka_unit_test(no_weight_is_an_error),
		cmocka_unit_test(many_features_are_taken),
		cmocka_unit_test(damaged_payloads_do_no_harm),
	};

	return cmocka_run_group_tests_name("forest", tests, NULL, NULL);
}
