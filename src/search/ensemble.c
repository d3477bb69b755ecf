/*
 * ensemble.c - weights of the trials that predict together.
 *
 * Greedy selection with replacement from the out-of-fold predictions (Caruana, Niculescu-Mizil, Crew and Ksikes
 * 2004): starting from the best trial, the trial that improves the metric of the average most is added again and
 * again; the best prefix wins.  Ties prefer trials that are in already, so that the model stays small; and
 * trials that add next to nothing are taken out again, because every member makes predictions slower for ever.  No trial comes in with which
 * predictions would take longer than they may.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#define ROUNDS 25

/* What a trial must add: this share of the metric's distance to the baseline's, or of the metric itself. */
#define WORTH      0.0001
#define WORTH_FAST 0.001

/* Models that predict together in mode fast, at most. */
#define MOST_FAST 3

/* Rows that the metric is looked at on, at most: more hardly change which trials are chosen. */
#define MOST_ROWS 50000

/* What the rounds share. */
typedef struct Selection
{
	Training *t;
	const TrialModel *models;
	int n_models;
	int64_t n;    /* rows that were validated, or every so many of them */
	int64_t *row; /* their places among the training rows */
	PgmlPredictions preds;
	double *sum; /* of the chosen trials' predictions */
	double *p;   /* per thread: candidate average */
	int64_t size;
	int count[PGML_MAX_CANDIDATES];
	double ns[PGML_MAX_CANDIDATES]; /* that predictions of a trial take per row */
	double most_ns;
	int total;
	double value[PGML_MAX_CANDIDATES]; /* of the metric when a trial is added; NaN: it must not */
} Selection;

/* Predictions of a trial for row i of the selection. */
static const double *
predictions(const Selection *s, int m, int64_t i)
{
	return s->models[m].oof + s->row[i] * s->t->outputs;
}

int
training_most_models(const PgmlTrainOptions *o)
{
	int most = o->fast ? MOST_FAST : PGML_MAX_CANDIDATES;

	return o->ensemble > 0 && o->ensemble < most ? o->ensemble : most;
}

/* May a model come in, by the time that predictions take and the number of models? */
static bool
may_come_in(const Selection *s, int candidate)
{
	double ns = s->ns[candidate];
	int n = 1;

	if (s->count[candidate] > 0)
		return true;
	for (int m = 0; m < s->n_models; m++)
		if (s->count[m] > 0)
		{
			ns += s->ns[m];
			n++;
		}
	return ns <= s->most_ns && n <= training_most_models(s->t->options);
}

/* The metric when model number m is added to the chosen ones, as a block of a parallel loop. */
static PgmlStatus
score_with(void *arg, int64_t block, int thread)
{
	Selection *s = arg;
	int m = (int) block;
	int outputs = s->t->outputs;
	double scale = 1.0 / (s->total + 1);
	double *p = s->p + (int64_t) thread * s->size;
	PgmlPredictions preds = s->preds;
	PgmlEnv env = *s->t->env;
	PgmlError ignored;

	s->value[m] = NAN;
	if (!may_come_in(s, m))
		return PGML_OK;
	for (int64_t i = 0; i < s->n; i++)
	{
		const double *q = predictions(s, m, i);

		for (int k = 0; k < outputs; k++)
			p[i * outputs + k] = (s->sum[i * outputs + k] + q[k]) * scale;
	}
	preds.p = p;
	env.error = &ignored;
	env.pool = NULL;
	return training_metric(s->t, &env, &preds, &s->value[m]);
}

static void
add(Selection *s, int m)
{
	int outputs = s->t->outputs;

	for (int64_t i = 0; i < s->n; i++)
		for (int k = 0; k < outputs; k++)
			s->sum[i * outputs + k] += predictions(s, m, i)[k];
	s->count[m]++;
	s->total++;
}

/*
 * The model whose addition gives the best metric; among equals one that is chosen already, then the earlier.  None (-1) when all would
 * take too long.
 */
static PgmlStatus
best_addition(Selection *s, int *best, double *best_value)
{
	const PgmlMetric *metric = s->t->result->metric;
	PgmlStatus status = pgml_par_for(s->t->env, s->n_models, score_with, s);

	if (pgml_stopped(s->t->env))
		return pgml_fail_cancelled(s->t->env);
	PGML_TRY(status);
	*best = -1;
	for (int m = 0; m < s->n_models; m++)
	{
		if (isnan(s->value[m]))
			continue;
		if (*best < 0 || pgml_metric_better(metric, s->value[m], *best_value) ||
			(s->value[m] == *best_value && s->count[m] > 0 && s->count[*best] == 0))
		{
			*best = m;
			*best_value = s->value[m];
		}
	}
	return PGML_OK;
}

/* The quickest model: what is left when none is quick enough. */
static int
quickest(const Selection *s)
{
	int best = 0;

	for (int m = 1; m < s->n_models; m++)
		if (s->ns[m] < s->ns[best])
			best = m;
	return best;
}

/* The rows that are looked at. */
static PgmlStatus
choose_rows(Selection *s, PgmlArena *arena)
{
	Training *t = s->t;
	int64_t validated = 0, step;

	for (int64_t i = 0; i < t->n_train; i++)
		validated += t->folds > 1 || t->fold[i] == 0;
	step = (validated + MOST_ROWS - 1) / MOST_ROWS;
	s->row = pgml_array(arena, validated + 1, sizeof(int64_t));
	if (!s->row)
		return pgml_fail_nomem(t->env, "the ensemble");
	validated = 0;
	for (int64_t i = 0; i < t->n_train; i++)
		if ((t->folds > 1 || t->fold[i] == 0) && validated++ % step == 0)
			s->row[s->n++] = i;
	return PGML_OK;
}

static PgmlStatus
init(Selection *s, PgmlArena *arena)
{
	Training *t = s->t;
	double *y, *w;

	PGML_TRY(choose_rows(s, arena));
	s->size = s->n * t->outputs;
	y = pgml_array(arena, s->n + 1, sizeof(double));
	w = t->weight ? pgml_array(arena, s->n + 1, sizeof(double)) : NULL;
	s->sum = pgml_zalloc(arena, s->size + 1, sizeof(double));
	s->p =
		pgml_array(arena, (size_t) s->size * pgml_pool_threads(t->env->pool) + 1, sizeof(double));
	if (!y || !s->sum || !s->p || (t->weight && !w))
		return pgml_fail_nomem(t->env, "the ensemble");
	for (int64_t i = 0; i < s->n; i++)
	{
		y[i] = t->target.y[t->train[s->row[i]]];
		if (w)
			w[i] = t->weight[t->train[s->row[i]]];
	}
	s->preds = (PgmlPredictions){ t->target.task, t->target.n_classes, s->n, y, s->p, w, NULL };
	s->most_ns = 1000 * training_max_predict_us(t);
	for (int m = 0; m < s->n_models; m++)
		s->ns[m] = training_member_ns(t, &s->models[m]);
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
	int outputs = s->t->outputs;

	weigh(count, s->n_models, weight);
	memset(s->p, 0, s->size * sizeof(double));
	for (int m = 0; m < s->n_models; m++)
		for (int64_t i = 0; count[m] > 0 && i < s->n; i++)
			for (int k = 0; k < outputs; k++)
				s->p[i * outputs + k] += weight[m] * predictions(s, m, i)[k];
	return training_metric(s->t, s->t->env, &s->preds, value);
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
	double worth = s->t->options->fast ? WORTH_FAST : WORTH;
	double scale = fabs(best_value - baseline);
	double limit;

	if (!metric->higher_is_better)
		scale = fmin(scale, fabs(best_value));
	limit = best_value + (metric->higher_is_better ? -worth * scale : worth * scale);
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

/* The rounds: counts of the best prefix and its metric.  The quickest model alone when none is quick enough. */
static PgmlStatus
select_greedily(Selection *s, int *count, double *best_value)
{
	const PgmlMetric *metric = s->t->result->metric;

	for (int round = 0; round < ROUNDS; round++)
	{
		double value = NAN;
		int m = -1;

		PGML_TRY(best_addition(s, &m, &value));
		if (m < 0 && round > 0)
			return PGML_OK;
		if (m < 0)
			m = quickest(s);
		add(s, m);
		if (round == 0 || pgml_metric_better(metric, value, *best_value))
		{
			*best_value = value;
			memcpy(count, s->count, sizeof(s->count));
		}
		if (isnan(value) || training_seconds_left(s->t) + training_grace(s->t) < 0)
			return PGML_OK;
	}
	return PGML_OK;
}

void
training_out_of_fold(const Training *t, const TrialModel *models, const double *weight,
					 int n_models, int64_t i, double *p)
{
	for (int k = 0; k < t->outputs; k++)
		p[k] = 0;
	for (int m = 0; m < n_models; m++)
	{
		const double *own = models[m].oof + i * t->outputs;

		if (weight[m] <= 0)
			continue;
		if (t->stacked)
			pgml_stack_add(t->target.task, t->stack[m], t->outputs, own, p);
		for (int k = 0; !t->stacked && k < t->outputs; k++)
			p[k] += weight[m] * own[k];
	}
	if (t->stacked)
		pgml_stack_finish(t->target.task, t->target.n_classes, 1, p);
}

PgmlStatus
training_ensemble(Training *t, const TrialModel *models, int n_models, double baseline,
				  double *weight)
{
	Selection s = { .t = t, .models = models, .n_models = n_models };
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	int count[PGML_MAX_CANDIDATES] = { 0 };
	double best_value = NAN;
	PgmlStatus status = arena ? init(&s, arena) : pgml_fail_nomem(t->env, "the ensemble");

	if (status == PGML_OK)
		status = select_greedily(&s, count, &best_value);
	if (status == PGML_OK)
		status = prune(&s, best_value, baseline, count);
	if (s.total == 0)
		count[0] = 1;
	pgml_arena_destroy(arena);
	weigh(count, n_models, weight);
	return status == PGML_ERR_CANCELLED ? status : PGML_OK;
}
