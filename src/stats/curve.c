/*
 * curve.c - metrics of the order that scores put rows in: roc_auc and average_precision.
 *
 * Rows are sorted once by falling score; evaluating is one walk along them that adds up a whole
 * run of equal scores before it counts, so that ties neither help nor hurt.
 */
#include <math.h>

#include "core/sort.h"
#include "stats/method.h"

/*
 * Score of a row, and whether it is positive: binary class 1, else class `part` against the rest.
 */
static double
score_of(const PgmlPredictions *p, int part, int64_t row)
{
	return p->task == PGML_TASK_BINARY ? p->p[row] : p->p[row * p->n_classes + part];
}

static bool
is_positive(const PgmlPredictions *p, int part, int64_t row)
{
	return p->y[row] == (p->task == PGML_TASK_BINARY ? 1 : part);
}

/* Sort rows by falling score into out->order, and mark positives and the ends of ties. */
static PgmlStatus
sort_rows(const PgmlEnv *env, PgmlArena *scratch, const PgmlPredictions *p, int part,
		  PgmlPrepared *out)
{
	PgmlKeyed *items = pgml_array(scratch, (size_t) p->n, sizeof(PgmlKeyed));
	PgmlKeyed *tmp = pgml_array(scratch, (size_t) p->n, sizeof(PgmlKeyed));

	if (!items || !tmp)
		return pgml_fail_nomem(env, "a metric");
	for (int64_t i = 0; i < p->n; i++)
	{
		items[i].key = ~pgml_key_of_double(score_of(p, part, i));
		items[i].row = i;
	}
	PGML_TRY(pgml_sort_keyed(env, items, tmp, p->n));
	for (int64_t i = 0; i < p->n; i++)
	{
		bool last = i + 1 == p->n || items[i + 1].key != items[i].key;

		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		out->order[i] = (int32_t) items[i].row;
		out->mark[i] = (is_positive(p, part, items[i].row) ? PGML_MARK_POSITIVE : 0) |
					   (last ? PGML_MARK_LAST : 0);
	}
	return PGML_OK;
}

static PgmlStatus
prepare(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part, PgmlPrepared *out)
{
	PgmlArena *scratch;
	PgmlStatus status;

	out->order = pgml_array(arena, (size_t) p->n, sizeof(int32_t));
	out->mark = pgml_array(arena, (size_t) p->n, sizeof(uint8_t));
	scratch = pgml_arena_create(env->budget);
	if (!out->order || !out->mark || !scratch)
		status = pgml_fail_nomem(env, "a metric");
	else
		status = sort_rows(env, scratch, p, part, out);
	pgml_arena_destroy(scratch);
	return status;
}

/* Weight of the row at a place; without an order weights are given by place. */
static inline double
weight_at(const PgmlPrepared *part, const double *w, int64_t place)
{
	return pgml_weight(w, part->order ? part->order[place] : place);
}

/*
 * The share of pairs of a positive and a negative row that are in the right order, ties counting
 * half.
 */
static PgmlStatus
evaluate_roc_auc(const PgmlEnv *env, const PgmlPrepared *part, const double *w, double *scratch,
				 double *value)
{
	double pos = 0; /* weights above the run of ties */
	double neg = 0;
	double tied = 0; /* weights in the run */
	double tied_pos = 0;
	double area = 0;

	(void) scratch;
	for (int64_t i = 0; i < part->n; i++)
	{
		double weight = weight_at(part, w, i);

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		tied += weight;
		tied_pos += part->mark[i] & PGML_MARK_POSITIVE ? weight : 0.0;
		if (!(part->mark[i] & PGML_MARK_LAST))
			continue;
		area += (tied - tied_pos) * (pos + 0.5 * tied_pos);
		pos += tied_pos;
		neg += tied - tied_pos;
		tied = tied_pos = 0;
	}
	*value = pos > 0 && neg > 0 ? area / pos / neg : NAN;
	return PGML_OK;
}

/* The sum over distinct scores of the gain in recall times the precision there. */
static PgmlStatus
evaluate_average_precision(const PgmlEnv *env, const PgmlPrepared *part, const double *w,
						   double *scratch, double *value)
{
	double pos = 0; /* weights down to and with this row */
	double all = 0;
	double tied_pos = 0;
	double area = 0;

	(void) scratch;
	for (int64_t i = 0; i < part->n; i++)
	{
		double weight = weight_at(part, w, i);

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		all += weight;
		tied_pos += part->mark[i] & PGML_MARK_POSITIVE ? weight : 0.0;
		if (!(part->mark[i] & PGML_MARK_LAST))
			continue;
		pos += tied_pos;
		area += all > 0 ? tied_pos * (pos / all) : 0.0;
		tied_pos = 0;
	}
	*value = pos > 0 ? area / pos : NAN;
	return PGML_OK;
}

const PgmlMethod pgml_method_roc_auc = { .one_vs_rest = true,
										 .prepare = prepare,
										 .evaluate = evaluate_roc_auc };
const PgmlMethod pgml_method_average_precision = { .one_vs_rest = true,
												   .prepare = prepare,
												   .evaluate = evaluate_average_precision };
