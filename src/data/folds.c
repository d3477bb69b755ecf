/*
 * folds.c - validation folds inside the training rows.
 *
 * Time blocks need no luck; rows are shuffled by a hash of their place and the seed, then dealt
 * like cards; groups are dealt largest first to the fold that has least of their classes and of
 * rows.
 */
#include <string.h>

#include "core/hash.h"
#include "core/sort.h"
#include "data/split.h"

typedef struct Deal
{
	const PgmlEnv *env;
	PgmlArena *arena; /* of the scratch */
	int k;
	const int32_t *rows;
	int64_t n;
	const int32_t *label;
	const uint64_t *group;
	const double *time;
	uint64_t seed;
	uint8_t *fold;
	PgmlKeyed *items; /* n, and n more to sort with; not for rows one by one */
	PgmlKeyed *tmp;
} Deal;

/* Room to sort all rows by keys of 64 bits. */
static PgmlStatus
make_room(Deal *d)
{
	d->items = pgml_array(d->arena, (size_t) d->n + 1, sizeof(PgmlKeyed));
	d->tmp = pgml_array(d->arena, (size_t) d->n + 1, sizeof(PgmlKeyed));
	return d->items && d->tmp ? PGML_OK : pgml_fail_nomem(d->env, "the folds");
}

/*
 * Consecutive blocks of about equal size, oldest first; rows of one time go together, to the block of the one in their
 * middle.
 */
static PgmlStatus
deal_time(Deal *d)
{
	int64_t next;

	PGML_TRY(make_room(d));
	for (int64_t i = 0; i < d->n; i++)
	{
		d->items[i].key = pgml_key_of_double(d->time[d->rows[i]]);
		d->items[i].row = i;
	}
	PGML_TRY(pgml_sort_keyed(d->env, d->items, d->tmp, d->n));
	for (int64_t i = 0; i < d->n; i = next)
	{
		for (next = i + 1; next < d->n && d->items[next].key == d->items[i].key; next++)
			;
		for (int64_t j = i; j < next; j++)
			d->fold[d->items[j].row] = (uint8_t) ((i + next - 1) / 2 * d->k / d->n);
	}
	return PGML_OK;
}

/* Class of a row; without labels there is one. */
static int
class_of(const Deal *d, int64_t i)
{
	return d->label ? d->label[d->rows[i]] : 0;
}

/* Where the rows of each class begin when they lie class after class; one more begins behind the last. */
static PgmlStatus
find_classes(const Deal *d, int64_t **begin, int *n_classes)
{
	*n_classes = 1;
	for (int64_t i = 0; i < d->n; i++)
		if (class_of(d, i) >= *n_classes)
			*n_classes = class_of(d, i) + 1;
	*begin = pgml_zalloc(d->arena, (size_t) *n_classes + 1, sizeof(int64_t));
	if (!*begin)
		return pgml_fail_nomem(d->env, "the folds");
	for (int64_t i = 0; i < d->n; i++)
		(*begin)[class_of(d, i) + 1]++;
	for (int c = 0; c < *n_classes; c++)
		(*begin)[c + 1] += (*begin)[c];
	return PGML_OK;
}

/* Class after class, shuffled inside, one to each fold in turn: even in every class and in all. */
static PgmlStatus
deal_rows(Deal *d)
{
	uint64_t *items = pgml_array(d->arena, (size_t) d->n + 1, sizeof(uint64_t));
	uint64_t *tmp = pgml_array(d->arena, (size_t) d->n + 1, sizeof(uint64_t));
	int64_t *at = NULL; /* of each class, then where it ends */
	int n_classes = 0;
	int64_t begin = 0;

	if (!items || !tmp)
		return pgml_fail_nomem(d->env, "the folds");
	PGML_TRY(find_classes(d, &at, &n_classes));
	for (int64_t i = 0; i < d->n; i++)
	{
		uint64_t shuffled = pgml_hash_combine((uint64_t) d->rows[i], d->seed);

		items[at[class_of(d, i)]++] = (shuffled >> 32 << 32) | (uint64_t) i;
	}
	for (int c = 0; c < n_classes; begin = at[c++])
	{
		uint64_t *own = items + begin;
		uint64_t *own_tmp = tmp + begin;

		PGML_TRY(pgml_sort_upper(d->env, &own, &own_tmp, at[c] - begin));
		for (int64_t i = begin; i < at[c]; i++)
			d->fold[own[i - begin] & UINT32_MAX] = (uint8_t) (i % d->k);
	}
	return PGML_OK;
}

/* What the folds hold while groups are dealt. */
typedef struct Hands
{
	int n_classes;
	int64_t *rows;   /* per fold */
	int64_t *of;     /* per fold and class */
	double *inverse; /* per class: 1 / rows squared */
} Hands;

/* Count the classes; without labels there is one, which holds all rows. */
static PgmlStatus
start_hands(const Deal *d, Hands *h)
{
	h->n_classes = 1;
	for (int64_t i = 0; d->label && i < d->n; i++)
		if (d->label[d->rows[i]] >= h->n_classes)
			h->n_classes = d->label[d->rows[i]] + 1;
	h->rows = pgml_zalloc(d->arena, (size_t) d->k, sizeof(int64_t));
	h->of = pgml_zalloc(d->arena, (size_t) d->k * (size_t) h->n_classes, sizeof(int64_t));
	h->inverse = pgml_zalloc(d->arena, (size_t) h->n_classes, sizeof(double));
	if (!h->rows || !h->of || !h->inverse)
		return pgml_fail_nomem(d->env, "the folds");
	for (int64_t i = 0; i < d->n; i++)
		h->inverse[d->label ? d->label[d->rows[i]] : 0] += 1;
	for (int c = 0; c < h->n_classes; c++)
		if (h->inverse[c] > 0)
			h->inverse[c] = 1.0 / (h->inverse[c] * h->inverse[c]);
	return PGML_OK;
}

/*
 * Give the group, size of d->items from `from`, to the fold where the sum over classes (and all
 * rows) of squared shares grows least: with one class, to the fold with the fewest rows.
 */
static void
deal_group(const Deal *d, Hands *h, int64_t from, int64_t size)
{
	int best = 0;
	double least = 0;

	for (int f = 0; f < d->k; f++)
	{
		const int64_t *of = h->of + (int64_t) f * h->n_classes;
		double cost = (double) h->rows[f] * (double) size / ((double) d->n * (double) d->n);

		for (int64_t i = from; i < from + size; i++)
		{
			int c = d->label ? d->label[d->rows[d->items[i].row]] : 0;

			cost += (double) of[c] * h->inverse[c];
		}
		if (f == 0 || cost < least)
		{
			best = f;
			least = cost;
		}
	}
	for (int64_t i = from; i < from + size; i++)
	{
		int64_t row = d->items[i].row;

		d->fold[row] = (uint8_t) best;
		h->of[(int64_t) best * h->n_classes + (d->label ? d->label[d->rows[row]] : 0)]++;
	}
	h->rows[best] += size;
}

/*
 * Put groups one after the other in d->items; *out lists them by falling size: key ~size, row =
 * start.
 */
static PgmlStatus
list_groups(Deal *d, PgmlKeyed **out, int64_t *n_groups)
{
	PgmlKeyed *groups = pgml_array(d->arena, (size_t) d->n, sizeof(PgmlKeyed));
	int64_t next;

	if (!groups)
		return pgml_fail_nomem(d->env, "the folds");
	PGML_TRY(make_room(d));
	for (int64_t i = 0; i < d->n; i++)
	{
		d->items[i].key = pgml_hash_combine(d->group[d->rows[i]], d->seed);
		d->items[i].row = i;
	}
	PGML_TRY(pgml_sort_keyed(d->env, d->items, d->tmp, d->n));
	*n_groups = 0;
	for (int64_t i = 0; i < d->n; i = next)
	{
		for (next = i + 1; next < d->n && d->items[next].key == d->items[i].key; next++)
			;
		groups[*n_groups].key = ~(uint64_t) (next - i);
		groups[(*n_groups)++].row = i;
	}
	*out = groups;
	return pgml_sort_keyed(d->env, groups, d->tmp, *n_groups);
}

static PgmlStatus
deal_groups(Deal *d)
{
	PgmlKeyed *groups = NULL;
	int64_t n_groups = 0;
	Hands hands;

	PGML_TRY(list_groups(d, &groups, &n_groups));
	PGML_TRY(start_hands(d, &hands));
	for (int64_t g = 0; g < n_groups; g++)
	{
		if ((g & 0xff) == 0 && pgml_stopped(d->env))
			return pgml_fail_cancelled(d->env);
		deal_group(d, &hands, groups[g].row, (int64_t) ~groups[g].key);
	}
	return PGML_OK;
}

PgmlStatus
pgml_folds(const PgmlEnv *env, int k, const int32_t *rows, int64_t n, const int32_t *label,
		   const uint64_t *group, const double *time, uint64_t seed, uint8_t *fold)
{
	Deal d = { env, NULL, k, rows, n, label, group, time, seed, fold, NULL, NULL };
	PgmlStatus status;

	if (k < 1 || k > 255)
		return pgml_fail(env->error, PGML_ERR_BADARG, "number of folds must be between 1 and 255");
	for (int64_t i = 0; label && i < n; i++)
		if (label[rows[i]] < 0)
			return pgml_fail(env->error, PGML_ERR_INTERNAL, "class %d in folds", label[rows[i]]);
	d.arena = pgml_arena_create(env->budget);
	if (!d.arena)
		status = pgml_fail_nomem(env, "the folds");
	else if (time)
		status = deal_time(&d);
	else
		status = group ? deal_groups(&d) : deal_rows(&d);
	pgml_arena_destroy(d.arena);
	return status;
}
