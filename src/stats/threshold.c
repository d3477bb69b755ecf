/*
 * threshold.c - the threshold of a probability at which a metric of two classes is best.
 *
 * Rows are sorted by falling probability; from each to the next one more row is predicted as class 1, so that the counts from which the metric
 * follows change by one row: all thresholds that differ are seen in one walk.
 */
#include <math.h>

#include "core/sort.h"
#include "stats/method.h"

/* What the walk has counted: weights of each class, of those predicted as it, of those that are right. */
typedef struct Walk
{
	double truth[2], guess[2], right[2];
	double all;
} Walk;

static double
value_of(const PgmlMetric *metric, const Walk *walk)
{
	PgmlCounts counts = { .n_classes = 2,
						  .right = walk->right,
						  .truth = walk->truth,
						  .guess = walk->guess,
						  .all = walk->all };

	return metric->method->of_counts(&counts, PGML_TASK_BINARY);
}

/* Row: from class 0 to class 1. */
static void
move(Walk *walk, bool positive, double weight)
{
	walk->guess[0] -= weight;
	walk->guess[1] += weight;
	walk->right[positive] += positive ? weight : -weight;
}

static PgmlStatus
walk_along(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
		   const PgmlKeyed *items, double *threshold, double *value)
{
	Walk walk = { { 0, 0 }, { 0, 0 }, { 0, 0 }, 0 };

	for (int64_t i = 0; i < p->n; i++)
	{
		walk.truth[p->y[i] == 1] += pgml_weight(p->w, i);
		walk.all += pgml_weight(p->w, i);
	}
	walk.guess[0] = walk.all;
	walk.right[0] = walk.truth[0];
	for (int64_t i = 0; i < p->n; i++)
	{
		int64_t row = items[i].row;
		double here = p->p[row], next = i + 1 < p->n ? p->p[items[i + 1].row] : 0;
		double between = 0.5 * (here + next), v;

		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		move(&walk, p->y[row] == 1, pgml_weight(p->w, row));
		if (next == here)
			continue;
		v = value_of(metric, &walk);
		if (isnan(*value) || v > *value ||
			(v == *value && fabs(between - 0.5) < fabs(*threshold - 0.5)))
		{
			*value = v;
			*threshold = between;
		}
	}
	return PGML_OK;
}

PgmlStatus
pgml_metric_best_threshold(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
						   double *threshold, double *value)
{
	PgmlArena *arena;
	PgmlKeyed *items, *tmp;
	PgmlStatus status;
	bool defined;

	*threshold = 0.5;
	*value = NAN;
	PGML_TRY(pgml_metric_check(env, metric, p, &defined));
	if (!defined)
		return PGML_OK;
	arena = pgml_arena_create(env->budget);
	items = arena ? pgml_array(arena, (size_t) p->n, sizeof(PgmlKeyed)) : NULL;
	tmp = arena ? pgml_array(arena, (size_t) p->n, sizeof(PgmlKeyed)) : NULL;
	for (int64_t i = 0; items && tmp && i < p->n; i++)
		items[i] = (PgmlKeyed){ ~pgml_key_of_double(p->p[i]), i };
	status =
		items && tmp ? pgml_sort_keyed(env, items, tmp, p->n) : pgml_fail_nomem(env, "a metric");
	if (status == PGML_OK)
		status = walk_along(env, metric, p, items, threshold, value);
	pgml_arena_destroy(arena);
	return status;
}
