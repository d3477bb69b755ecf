/*
 * ensemble.c - weights of the trials that predict together.
 *
 * Greedy selection with replacement from the out-of-fold predictions (Caruana, Niculescu-Mizil, Crew and Ksikes
 * 2004): starting from the best trial, the trial that improves the metric of the average most is added again and
 * again; the best prefix wins.  Ties prefer trials that are in already, so that the model stays small; and
 * trials that add next to nothing are taken out again, because every member makes predictions slower for ever.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#define ROUNDS 25

/* What a trial must add: this share of the metric's distance to the baseline's, or of the metric itself. */
#define WORTH 0.001

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

/* Weights in proportion to the counts. */
static void
weigh(const int *count, int n_models, double *weight)
{
	int total = 0;

	for (int m = 0; m < n_models; m++)
		total += count[m];
	for (int m = 0; m < n_models; m++)
		weight[m] = (double) count[m] / total;
}

/* The metric of an ensemble. */
static PgmlStatus
score_counts(Selection *s, const int *count, double *value)
{
	double weight[PGML_MAX_CANDIDATES];

	weigh(count, s->n_models, weight);
	memset(s->p, 0, s->size * sizeof(double));
	for (int m = 0; m < s->n_models; m++)
		for (int64_t i = 0; count[m] > 0 && i < s->size; i++)
			s->p[i] += weight[m] * s->models[m].oof[i];
	return pgml_metric_compute(s->t->env, s->t->result->metric, &s->preds, value);
}

/* The trial without which the metric is best, and that metric; -1 when only one is chosen. */
static PgmlStatus
most_dispensable(Selection *s, const int *count, int *which, double *value)
{
	int chosen = 0;

	*which = -1;
	*value = NAN;
	for (int m = 0; m < s->n_models; m++)
		chosen += count[m] > 0;
	for (int m = 0; chosen > 1 && m < s->n_models; m++)
	{
		int others[PGML_MAX_CANDIDATES];
		double v;

		if (count[m] == 0)
			continue;
		if (pgml_stopped(s->t->env))
			return pgml_fail_cancelled(s->t->env);
		memcpy(others, count, s->n_models * sizeof(int));
		others[m] = 0;
		PGML_TRY(score_counts(s, others, &v));
		if (*which >= 0 && !pgml_metric_better(s->t->result->metric, v, *value))
			continue;
		*which = m;
		*value = v;
	}
	return PGML_OK;
}

/* Take out trials as long as the best value hardly suffers. */
static PgmlStatus
prune(Selection *s, double best_value, double baseline, int *count)
{
	const PgmlMetric *metric = s->t->result->metric;
	double scale = fabs(best_value - baseline);
	double limit;

	if (!metric->higher_is_better)
		scale = fmin(scale, fabs(best_value));
	limit = best_value + (metric->higher_is_better ? -WORTH * scale : WORTH * scale);
	for (;;)
	{
		int m;
		double value;

		PGML_TRY(most_dispensable(s, count, &m, &value));
		if (m < 0 || isnan(value) || pgml_metric_better(metric, limit, value))
			return PGML_OK;
		count[m] = 0;
	}
}

PgmlStatus
training_ensemble(Training *t, const TrialModel *models, int n_models, double baseline,
				  double *weight)
{
	Selection s = { .t = t, .models = models, .n_models = n_models };
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	int best_count[PGML_MAX_CANDIDATES] = { 1 };
	double best_value = NAN;
	PgmlStatus status = arena ? init(&s, arena) : pgml_fail_nomem(t->env, "the ensemble");

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
			memcpy(best_count, s.count, sizeof(best_count));
		}
		if (pgml_out_of_time(t->env))
			break;
	}
	if (status == PGML_OK)
		status = prune(&s, best_value, baseline, best_count);
	pgml_arena_destroy(arena);
	weigh(best_count, n_models, weight);
	return status == PGML_ERR_CANCELLED ? status : PGML_OK;
}
