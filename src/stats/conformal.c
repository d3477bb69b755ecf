/*
 * conformal.c - scores of conformal prediction, their ranks, and the size of errors that they are relative to.
 */
#include "stats/conformal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/sort.h"

/*
 * What is added to sizes, as a share of their mean (Papadopoulos, Gammerman and Vovk 2008 add a constant too).  Without it
 * intervals where errors are large are wider than they need be; with much of it all intervals are alike.
 */
#define SIZE_FOR_ALL 0.25

/* ---- ranks ---- */

int64_t
pgml_conformal_rank(int64_t n, double level)
{
	/* A level is a decimal: 0.9 of 10 rows are 9, whatever the product of doubles is. */
	double rank = ceil((double) (n + 1) * level * (1 - 4 * DBL_EPSILON));

	return rank < 1 ? 1 : rank > (double) n ? n + 1 : (int64_t) rank;
}

int32_t
pgml_scores_kept(int64_t n)
{
	return n < PGML_SCORES_KEPT ? (int32_t) n : PGML_SCORES_KEPT;
}

int64_t
pgml_scores_rank(int64_t n, int32_t i)
{
	int64_t spread = n - PGML_SCORES_LARGEST;

	if (n <= PGML_SCORES_KEPT)
		return i + 1;
	if (i >= PGML_SCORES_SPREAD)
		return spread + (i - PGML_SCORES_SPREAD) + 1;
	/* (i + 1) spread / PGML_SCORES_SPREAD without overflow */
	return (i + 1) * (spread / PGML_SCORES_SPREAD) +
		   (i + 1) * (spread % PGML_SCORES_SPREAD) / PGML_SCORES_SPREAD;
}

double
pgml_conformal_score(const double *kept, int64_t n, double level)
{
	int64_t rank = pgml_conformal_rank(n, level);
	int32_t low = 0, high = pgml_scores_kept(n);

	while (low < high)
	{
		int32_t middle = low + (high - low) / 2;

		if (pgml_scores_rank(n, middle) < rank)
			low = middle + 1;
		else
			high = middle;
	}
	return low < pgml_scores_kept(n) ? kept[low] : INFINITY;
}

/* ---- the size of errors ---- */

void
pgml_error_size_constant(PgmlErrorSize *self)
{
	memset(self, 0, sizeof(*self));
	self->n = 1;
	self->size[0] = 1;
}

/* Mean prediction and mean absolute error of the rows items[from .. to). */
static void
average(const PgmlKeyed *items, int64_t from, int64_t to, const double *p, const double *y,
		double *at, double *size)
{
	double rows = (double) (to - from);

	*at = *size = 0;
	for (int64_t i = from; i < to; i++)
	{
		int64_t row = items[i].row;

		*at += p[row] / rows;
		*size += fabs(y[row] - p[row]) / rows;
	}
}

/* Cut the rows, which are in the order of their predictions, into parts of the same number; equal predictions stay together. */
static void
find_points(const PgmlKeyed *items, int64_t n, const double *p, const double *y,
			PgmlErrorSize *self)
{
	int64_t parts = n / PGML_SIZE_ROWS_PER_POINT;
	int64_t from = 0, last_from = 0;

	if (parts > PGML_SIZE_POINTS)
		parts = PGML_SIZE_POINTS;
	self->n = 0;
	for (int64_t part = 1; part <= parts; part++)
	{
		int64_t to = n * part / parts;

		while (to < n && to > from && items[to].key == items[to - 1].key)
			to++;
		if (to - from < PGML_SIZE_ROWS_PER_POINT && to < n)
			continue;
		if (to <= from)
			break;
		/* Too few rows are left, as many predictions before were equal: they belong to the part before. */
		if (to - from < PGML_SIZE_ROWS_PER_POINT && self->n > 0)
		{
			from = last_from;
			self->n--;
		}
		average(items, from, to, p, y, &self->at[self->n], &self->size[self->n]);
		/* Means of what ascends ascend, but for rounding. */
		if (self->n == 0 || self->at[self->n] > self->at[self->n - 1])
			self->n++;
		last_from = from;
		from = to;
	}
}

/* Add what all have in common; the constant where there is nothing to tell sizes apart by. */
static void
level_sizes(PgmlErrorSize *self)
{
	double mean = 0;

	for (int32_t i = 0; i < self->n; i++)
		mean += self->size[i] / self->n;
	for (int32_t i = 0; i < self->n; i++)
		self->size[i] += SIZE_FOR_ALL * mean;
	if (self->n < 2 || !(SIZE_FOR_ALL * mean > DBL_MIN && mean < DBL_MAX / PGML_SIZE_POINTS))
		pgml_error_size_constant(self);
}

PgmlStatus
pgml_error_size_fit(const PgmlEnv *env, const double *p, const double *y, int64_t n,
					PgmlErrorSize *self)
{
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlKeyed *items = arena ? pgml_array(arena, n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlKeyed *tmp = arena ? pgml_array(arena, n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlStatus status = items && tmp ? PGML_OK : pgml_fail_nomem(env, "the size of errors");
	int64_t known = 0;

	pgml_error_size_constant(self);
	for (int64_t i = 0; status == PGML_OK && i < n; i++)
		if (isfinite(p[i]))
			items[known++] = (PgmlKeyed){ pgml_key_of_double(p[i]), i };
	if (status == PGML_OK)
		status = pgml_sort_keyed(env, items, tmp, known);
	if (status == PGML_OK)
	{
		find_points(items, known, p, y, self);
		level_sizes(self);
	}
	pgml_arena_destroy(arena);
	return status;
}

double
pgml_error_size(const double *at, const double *size, int32_t n, double p)
{
	int32_t low = 0, high = n - 1;
	double share;

	if (p <= at[0])
		return size[0];
	if (p >= at[high])
		return size[high];
	while (high - low > 1)
	{
		int32_t middle = low + (high - low) / 2;

		if (at[middle] <= p)
			low = middle;
		else
			high = middle;
	}
	share = (p - at[low]) / (at[high] - at[low]);
	return size[low] * (1 - share) + size[high] * share;
}

/* ---- scores ---- */

/* Of the true class's probability; one that is not known agrees as badly as can be. */
static double
score_of_class(double p)
{
	return isnan(p) ? 1 : fmax(1 - p, 0);
}

double
pgml_conformal_row(const PgmlPredictions *p, const PgmlErrorSize *size, int64_t i)
{
	double error;

	switch (p->task)
	{
		case PGML_TASK_REGRESSION:
			error = fabs(p->y[i] - p->p[i]);
			return fmin(error / pgml_error_size(size->at, size->size, size->n, p->p[i]), DBL_MAX);
		case PGML_TASK_BINARY:
			return score_of_class(p->y[i] == 1 ? p->p[i] : 1 - p->p[i]);
		default:
			return score_of_class(p->p[i * p->n_classes + (int64_t) p->y[i]]);
	}
}

PgmlStatus
pgml_scores_keep(const PgmlEnv *env, const double *score, int64_t n, double *kept)
{
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlKeyed *items = arena ? pgml_array(arena, n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlKeyed *tmp = arena ? pgml_array(arena, n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlStatus status = items && tmp ? PGML_OK : pgml_fail_nomem(env, "the scores of intervals");

	for (int64_t i = 0; status == PGML_OK && i < n; i++)
		items[i] = (PgmlKeyed){ pgml_key_of_double(score[i]), i };
	if (status == PGML_OK)
		status = pgml_sort_keyed(env, items, tmp, n);
	for (int32_t i = 0; status == PGML_OK && i < pgml_scores_kept(n); i++)
		kept[i] = score[items[pgml_scores_rank(n, i) - 1].row];
	pgml_arena_destroy(arena);
	return status;
}
