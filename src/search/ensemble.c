/*
 * ensemble.c - weights of the trials that predict together.
 *
 * Greedy selection with replacement from the out-of-fold predictions (Caruana, Niculescu-Mizil, Crew and Ksikes
 * 2004): starting from the best trial, the trial that improves the metric of the average most is added again and
 * again; the best prefix wins.  Ties prefer trials that are in already, so that the model stays small.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#define ROUNDS 25

/* What the rounds share. */
typedef struct Selection
{
	Training *t;
	const TrialModel *models;
	int n_models;
	PgmlPredictions preds;
	double *sum; /* of the chosen trials' predictions */
	double *p;   /* candidate average */
	int64_t size;
	int count[PGML_MAX_CANDIDATES];
	int total;
} Selection;

/* The metric when model number m is added to the chosen ones. */
static PgmlStatus
score_with(Selection *s, int m, double *value)
{
	double scale = 1.0 / (s->total + 1);

	for (int64_t i = 0; i < s->size; i++)
		s->p[i] = (s->sum[i] + s->models[m].oof[i]) * scale;
	return pgml_metric_compute(s->t->env, s->t->result->metric, &s->preds, value);
}

static void
add(Selection *s, int m)
{
	for (int64_t i = 0; i < s->size; i++)
		s->sum[i] += s->models[m].oof[i];
	s->count[m]++;
	s->total++;
}

/* The model whose addition gives the best metric; among equals one that is chosen already, then the earlier. */
static PgmlStatus
best_addition(Selection *s, int *best, double *best_value)
{
	const PgmlMetric *metric = s->t->result->metric;

	*best = -1;
	for (int m = 0; m < s->n_models; m++)
	{
		double value;
		bool better;

		if (pgml_stopped(s->t->env))
			return pgml_fail_cancelled(s->t->env);
		PGML_TRY(score_with(s, m, &value));
		better = *best < 0 || pgml_metric_better(metric, value, *best_value) ||
				 (value == *best_value && s->count[m] > 0 && s->count[*best] == 0);
		if (better)
		{
			*best = m;
			*best_value = value;
		}
	}
	return PGML_OK;
}

static PgmlStatus
init(Selection *s, PgmlArena *arena)
{
	Training *t = s->t;
	double *y = pgml_array(arena, t->n_train, sizeof(double));
	double *w = t->weight ? pgml_array(arena, t->n_train, sizeof(double)) : NULL;

	s->size = t->n_train * t->outputs;
	s->sum = pgml_zalloc(arena, s->size, sizeof(double));
	s->p = pgml_array(arena, s->size, sizeof(double));
	if (!y || !s->sum || !s->p || (t->weight && !w))
		return pgml_fail_nomem(t->env, "the ensemble");
	for (int64_t i = 0; i < t->n_train; i++)
	{
		y[i] = t->target.y[t->train[i]];
		if (w)
			w[i] = t->weight[t->train[i]];
	}
	s->preds = (PgmlPredictions){ t->target.task, t->target.n_classes, t->n_train, y, s->p, w };
	return PGML_OK;
}

PgmlStatus
training_ensemble(Training *t, const TrialModel *models, int n_models, double *weight)
{
	Selection s = { .t = t, .models = models, .n_models = n_models };
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	double best_value = NAN;
	PgmlStatus status = arena ? init(&s, arena) : pgml_fail_nomem(t->env, "the ensemble");

	for (int m = 0; m < n_models; m++)
		weight[m] = m == 0;
	for (int round = 0; status == PGML_OK && round < ROUNDS; round++)
	{
		int m = 0;
		double value = models[0].trial->validation_score;

		if (round > 0)
			status = best_addition(&s, &m, &value);
		if (status != PGML_OK)
			break;
		add(&s, m);
		if (round == 0 || pgml_metric_better(t->result->metric, value, best_value))
		{
			best_value = value;
			for (int k = 0; k < n_models; k++)
				weight[k] = (double) s.count[k] / s.total;
		}
		if (pgml_out_of_time(t->env))
			break;
	}
	pgml_arena_destroy(arena);
	return status == PGML_ERR_CANCELLED ? status : PGML_OK;
}
