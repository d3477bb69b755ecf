/*
 * recipe_category.c - fitting text columns as categories.
 *
 * Spellings that differ only in ASCII case and surrounding blanks form a group; the groups that occur often enough
 * become levels, the others are pooled in "other", which also takes values never seen in training.
 */
#include <stdlib.h>

#include "prep/recipe_internal.h"

/* Rows fewer than this are too few to call a column an identifier or free text. */
#define MIN_ID_ROWS       50
#define MIN_NAMED_ID_ROWS 20

/* Spellings of a group. */
typedef struct Group
{
	int64_t count;      /* rows */
	int64_t best_count; /* rows of the most frequent spelling */
	int32_t best;       /* dictionary code of it */
} Group;

typedef struct Groups
{
	PgmlDict *folded; /* one string per group */
	Group *group;
	int32_t n;
	int64_t rows;
	int64_t spellings;
	double chars; /* sum over spellings of length and of inner blanks */
	double blanks;
} Groups;

/* Longest spelling that occurs. */
static uint32_t
longest(const PgmlDict *dict, const int64_t *count)
{
	uint32_t max = 0;

	for (int32_t code = 0; code < pgml_dict_size(dict); code++)
	{
		uint32_t len;
		pgml_dict_get(dict, code, &len);
		if (count[code] > 0 && len > max)
			max = len;
	}
	return max;
}

/* Count one spelling for its group; earlier bytes win between equally frequent spellings. */
static void
add_spelling(Groups *g, int32_t number, const PgmlDict *dict, int32_t code, int64_t count)
{
	Group *group = &g->group[number];

	if (number == g->n)
	{
		*group = (Group){ 0, 0, code };
		g->n++;
	}
	group->count += count;
	if (count > group->best_count ||
		(count == group->best_count &&
		 strcmp(pgml_dict_get(dict, code, NULL), pgml_dict_get(dict, group->best, NULL)) < 0))
	{
		group->best = code;
		group->best_count = count;
	}
	g->rows += count;
	g->spellings++;
}

/* Put every spelling that occurs and is no marker of missing into its group; entry receives the numbers. */
static PgmlStatus
make_groups(RecipeFit *fit, const PgmlDict *dict, const int64_t *count, double *entry, Groups *g)
{
	int32_t size = pgml_dict_size(dict);
	char *buf = pgml_array(fit->arena, (size_t) longest(dict, count) + 1, 1);

	g->folded = pgml_dict_create(fit->arena);
	g->group = pgml_array(fit->arena, (size_t) size + 1, sizeof(Group));
	if (buf == NULL || g->folded == NULL || g->group == NULL)
		return pgml_fail_nomem(fit->env, "category levels");
	for (int32_t code = 0; code < size; code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(dict, code, &len);

		if (fit_stopped(fit->env, code))
			return pgml_fail_cancelled(fit->env);
		entry[code] = NAN;
		if (count[code] == 0 || pgml_is_pure_missing_marker(s, len))
			continue;
		pgml_trim(&s, &len);
		for (uint32_t i = 0; i < len; i++)
		{
			buf[i] = pgml_fold(s[i]);
			g->blanks += buf[i] == ' ';
		}
		g->chars += len;
		int32_t number = pgml_dict_add(g->folded, buf, len);
		if (number < 0)
			return pgml_fail_nomem(fit->env, "category levels");
		add_spelling(g, number, dict, code, count[code]);
		entry[code] = number;
	}
	return PGML_OK;
}

/* More frequent first, then by bytes. */
static bool
comes_before(const Groups *g, int32_t a, int32_t b)
{
	if (g->group[a].count != g->group[b].count)
		return g->group[a].count > g->group[b].count;
	return strcmp(pgml_dict_get(g->folded, a, NULL), pgml_dict_get(g->folded, b, NULL)) < 0;
}

/* Let the item at the top of a heap (the last in order on top) sink to its place. */
static void
sift_down(const Groups *g, int32_t *heap, int32_t n, int32_t i)
{
	for (int32_t child = 2 * i + 1; child < n; child = 2 * i + 1)
	{
		if (child + 1 < n && comes_before(g, heap[child], heap[child + 1]))
			child++;
		if (!comes_before(g, heap[i], heap[child]))
			break;
		int32_t swap = heap[i];
		heap[i] = heap[child];
		heap[child] = swap;
		i = child;
	}
}

/* Keep the first `cap` groups in order that have at least min_count rows: a heap, then sorted. Returns their number. */
static int32_t
first_groups(const Groups *g, int64_t min_count, int32_t cap, int32_t *heap)
{
	int32_t n = 0;

	for (int32_t i = 0; i < g->n; i++)
	{
		if (g->group[i].count < min_count)
			continue;
		if (n < cap)
		{
			heap[n++] = i;
			for (int32_t k = n / 2 - 1; n == cap && k >= 0; k--)
				sift_down(g, heap, n, k);
		}
		else if (comes_before(g, i, heap[0]))
		{
			heap[0] = i;
			sift_down(g, heap, n, 0);
		}
	}
	for (int32_t k = n / 2 - 1; k >= 0; k--)
		sift_down(g, heap, n, k);
	for (int32_t last = n - 1; last > 0; last--)
	{
		int32_t swap = heap[0];
		heap[0] = heap[last];
		heap[last] = swap;
		sift_down(g, heap, last, 0);
	}
	return n;
}

/* A level needs this many rows to have a name of its own. */
static int64_t
min_level_rows(int64_t n)
{
	if (n < 1000)
		return 2;
	int64_t rows = n / 10000;
	return rows < 3 ? 3 : rows > 20 ? 20 : rows;
}

/* Choose the levels; f->other when any group was left over. */
static PgmlStatus
choose_levels(RecipeFit *fit, ColumnFit *f, const Groups *g)
{
	int32_t cap = fit->spec->max_levels > 0 ? fit->spec->max_levels : RECIPE_LEVELS;
	int64_t min_count = min_level_rows(f->n);
	int32_t eligible = 0;

	if (cap < 2)
		cap = 2;
	for (int32_t i = 0; i < g->n; i++)
		eligible += g->group[i].count >= min_count;
	f->other = eligible < g->n || eligible > cap;
	if (f->other)
		cap--;
	if (cap > eligible)
		cap = eligible;
	int32_t *heap = pgml_array(fit->arena, (size_t) cap + 1, sizeof(int32_t));
	f->levels = pgml_array(fit->arena, (size_t) cap + 1, sizeof(FitLevel));
	if (heap == NULL || f->levels == NULL)
		return pgml_fail_nomem(fit->env, "category levels");
	f->n_named = cap > 0 ? first_groups(g, min_count, cap, heap) : 0;
	f->n_pooled = g->n - f->n_named;
	for (int32_t i = 0; i < f->n_named; i++)
	{
		const Group *group = &g->group[heap[i]];
		FitLevel *level = &f->levels[i];

		level->text = pgml_dict_get(f->col->dict, group->best, &level->len);
		pgml_trim(&level->text, &level->len);
		level->count = group->count;
	}
	return PGML_OK;
}

/* Why a text column cannot be a category, NULL when it can. */
static const char *
useless_text(const ColumnFit *f, const Groups *g, bool keep)
{
	double distinct = (double) g->n / (double) g->rows;
	double chars = g->chars / (double) g->spellings;
	double blanks = g->blanks / (double) g->spellings;

	if (keep)
		return NULL;
	if (f->col->is_key && g->n == g->rows)
		return "identifier: a unique key";
	if (g->rows >= MIN_NAMED_ID_ROWS && distinct >= 0.9 && fit_id_name(f->col->name) != ID_NAME_NO)
		return "identifier: nearly every value is different";
	if (g->rows < MIN_ID_ROWS)
		return NULL;
	if (distinct > 0.95 && (blanks < 0.5 || (blanks < 2 && chars <= 50)))
		return "identifier: nearly every value is different";
	if (distinct > 0.95 || (distinct > 0.5 && chars >= 60 && blanks >= 6))
		return "free text";
	return NULL;
}

/* See recipe_internal.h; count: training rows per dictionary code. */
PgmlStatus
fit_category(RecipeFit *fit, ColumnFit *f, const int64_t *count, bool keep)
{
	Groups g = { 0 };
	double *entry =
		pgml_array(fit->arena, (size_t) pgml_dict_size(f->col->dict) + 1, sizeof(double));
	int64_t named = 0;

	if (entry == NULL)
		return pgml_fail_nomem(fit->env, "category levels");
	f->entry = entry;
	PGML_TRY(make_groups(fit, f->col->dict, count, entry, &g));
	f->n_missing = f->n - g.rows;
	f->n_distinct = g.n;
	f->n_spellings = g.spellings - g.n;
	if (g.n == 0)
	{
		fit_drop(f, "every value is missing");
		return PGML_OK;
	}
	const char *reason = g.n == 1 ? NULL : useless_text(f, &g, keep);
	if (reason != NULL)
	{
		fit_drop(f, reason);
		return PGML_OK;
	}
	PGML_TRY(choose_levels(fit, f, &g));
	for (int32_t i = 0; i < f->n_named; i++)
		named += f->levels[i].count;
	if (g.n > 1 && named * 10 < g.rows)
		fit_drop(f, "too many different values, hardly any of them repeated");
	return PGML_OK;
}
