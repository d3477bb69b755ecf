/*
 * temperature.c - the temperature of the final model's probabilities, see stats/temperature.h.
 *
 * It is learned from the out-of-fold predictions and checked on folds that it was not learned from.  The log loss decides, whatever
 * the metric is: the order of classes stays, and with two classes that of rows, so that no metric of predicted classes or of the order suffers.
 */
#include "search/training.h"

#include <math.h>

#include "model/image.h"

/* Rows that a temperature is learned from, at least; and what it must gain, as a share of the log loss. */
#define FEWEST_ROWS 500
#define LEAST_GAIN  0.001

/* Probabilities that are looked at, about: some ten passes over them take a tenth of a second. */
#define MOST_PROBABILITIES 300000

/* A model whose coefficients or rules are read says the same as its predictions. */
static bool
is_read(const TrialModel *models, const double *weight, int n_models)
{
	const PgmlLearner *learner = NULL;

	for (int m = 0; m < n_models; m++)
	{
		if (weight[m] <= 0)
			continue;
		if (learner != NULL && learner != models[m].trial->learner)
			return false;
		learner = models[m].trial->learner;
	}
	return learner == &pgml_learner_linear || learner == &pgml_learner_decision_tree;
}

/* Find it; 0 when there is none. */
static PgmlStatus
find(const Training *t, const TrialModel *models, const double *weight, int n_models,
	 PgmlArena *arena, double *temperature)
{
	double probabilities = (double) t->n_train * t->target.n_classes;
	int64_t step = (int64_t) ceil(probabilities / MOST_PROBABILITIES);
	uint8_t *part = pgml_array(arena, t->n_train, sizeof(uint8_t));
	PgmlTemperature fitted;
	PgmlPredictions p;

	if (!part)
		return pgml_fail_nomem(t->env, "the temperature");
	PGML_TRY(training_average(t, models, weight, n_models, step, arena, part, &p));
	if (p.n < FEWEST_ROWS)
		return PGML_OK;
	PGML_TRY(pgml_temperature_fit(t->env, &p, part, &fitted));
	if (fitted.after < (1 - LEAST_GAIN) * fitted.before)
		*temperature = fitted.temperature;
	return PGML_OK;
}

PgmlStatus
training_choose_temperature(Training *t, const TrialModel *models, const double *weight,
							int n_models)
{
	double temperature = 0;
	PgmlArena *arena;
	PgmlStatus status;

	if (t->target.task == PGML_TASK_REGRESSION || is_read(models, weight, n_models))
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	status = arena ? find(t, models, weight, n_models, arena, &temperature) :
					 pgml_fail_nomem(t->env, "the temperature");
	pgml_arena_destroy(arena);
	if (status == PGML_OK && temperature > 0)
		status = pgml_image_set_temperature(t->env, temperature, &t->result->image);
	if (status == PGML_OK)
		t->temperature = temperature;
	return pgml_is_memory(status) ? PGML_OK : status;
}
