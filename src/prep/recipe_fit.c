/*
 * recipe_fit.c - fit a recipe: every column by itself, then duplicates, then the bytes.
 *
 * Nothing but the training rows is looked at. Work memory is what one column needs plus what is kept of text columns,
 * which grows with their distinct strings.
 */
#include <stdio.h>

#include "core/hash.h"
#include "core/par.h"
#include "prep/recipe_internal.h"

/* Rows that are hashed first to tell columns apart. */
#define HASHED_FIRST 4096

/* Columns whose reason is told when none is usable. */
#define TOLD 4

/* Categories are compared by the order in which their groups appear, so that renamed copies are found too. */
typedef struct Relabel
{
	int32_t *seen; /* per group: order of appearance + 1, 0 for not yet */
	int32_t n;
} Relabel;

/* Begin to go through the rows of a column. */
static PgmlStatus
relabel_init(RecipeFit *fit, const ColumnFit *f, Relabel *r)
{
	r->n = 0;
	r->seen = NULL;
	if (f->step != RECIPE_CATEGORY)
		return PGML_OK;
	r->seen = pgml_zalloc(fit->arena, (size_t) f->n_distinct + 1, sizeof(int32_t));
	return r->seen == NULL ? pgml_fail_nomem(fit->env, "the recipe") : PGML_OK;
}

/* Value of a row in the form in which columns are compared. */
static double
compared_value(const ColumnFit *f, Relabel *r, int64_t row)
{
	double v = fit_value(f, row);

	if (r->seen == NULL || isnan(v))
		return v;
	int32_t *seen = &r->seen[(int32_t) v];
	if (*seen == 0)
		*seen = ++r->n;
	return *seen;
}

/* Only columns that are read alike can be duplicates. */
static int
family(const ColumnFit *f)
{
	switch (f->step)
	{
		case RECIPE_DROP:
			return 0;
		case RECIPE_CATEGORY:
			return 1;
		case RECIPE_DATE:
		case RECIPE_DATE_TEXT:
			return 2;
		case RECIPE_MISSING:
			return 3;
		default:
			return 4;
	}
}

/* For flags of missing, whether the row is missing is all that counts. */
static double
row_value(const ColumnFit *f, Relabel *r, int64_t row)
{
	double v = compared_value(f, r, row);

	return f->step == RECIPE_MISSING ? isnan(v) : v;
}

/* Hash of a column's values on the first n training rows. */
static PgmlStatus
hash_column(RecipeFit *fit, ColumnFit *f, int64_t n_rows)
{
	double block[256];
	int n = 0;
	Relabel r;

	PGML_TRY(relabel_init(fit, f, &r));
	f->hash = (uint64_t) family(f);
	for (int64_t i = 0; i < n_rows; i++)
	{
		double v = row_value(f, &r, fit->spec->rows[i]);

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		block[n++] = isnan(v) ? (double) NAN : v + 0.0; /* one NaN, and no -0 */
		if (n == 256 || i + 1 == n_rows)
		{
			f->hash = pgml_hash64(block, (size_t) n * sizeof(block[0]), f->hash);
			n = 0;
		}
	}
	return PGML_OK;
}

/* Compare two columns of one hash value by value. */
static PgmlStatus
same_column(RecipeFit *fit, const ColumnFit *a, const ColumnFit *b, bool *same)
{
	Relabel ra, rb;

	*same = false;
	PGML_TRY(relabel_init(fit, a, &ra));
	PGML_TRY(relabel_init(fit, b, &rb));
	for (int64_t i = 0; i < fit->spec->n; i++)
	{
		double x = row_value(a, &ra, fit->spec->rows[i]);
		double y = row_value(b, &rb, fit->spec->rows[i]);

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		if (x != y && !(isnan(x) && isnan(y)))
			return PGML_OK;
	}
	*same = true;
	return PGML_OK;
}

/* Whether two columns may hold the same, as far as their hashes tell. */
static bool
may_be_same(const ColumnFit *a, const ColumnFit *b)
{
	return a->step != RECIPE_DROP && b->step != RECIPE_DROP && family(a) == family(b) &&
		   a->hash == b->hash;
}

/* Hash the first rows of all columns, which tells most of them apart, and all rows of those that are alike there. */
static PgmlStatus
hash_columns(RecipeFit *fit)
{
	int ncols = fit->table->ncols;
	int64_t first = fit->spec->n < HASHED_FIRST ? fit->spec->n : HASHED_FIRST;
	bool *alike = pgml_zalloc(fit->arena, (size_t) ncols + 1, sizeof(bool));

	if (alike == NULL)
		return pgml_fail_nomem(fit->env, "the recipe");
	for (int i = 0; i < ncols; i++)
		if (fit->cols[i].step != RECIPE_DROP)
			PGML_TRY(hash_column(fit, &fit->cols[i], first));
	for (int i = 0; i < ncols && first < fit->spec->n; i++)
		for (int j = 0; j < i; j++)
			if (may_be_same(&fit->cols[i], &fit->cols[j]))
				alike[i] = alike[j] = true;
	for (int i = 0; i < ncols; i++)
		if (alike[i])
			PGML_TRY(hash_column(fit, &fit->cols[i], fit->spec->n));
	return PGML_OK;
}

/* Drop columns that hold the same as an earlier one. */
static PgmlStatus
drop_duplicates(RecipeFit *fit)
{
	PGML_TRY(hash_columns(fit));
	for (int i = 0; i < fit->table->ncols; i++)
	{
		ColumnFit *f = &fit->cols[i];

		for (int j = 0; j < i; j++)
		{
			const ColumnFit *twin = &fit->cols[j];
			char reason[200];
			bool same;

			if (!may_be_same(twin, f))
				continue;
			PGML_TRY(same_column(fit, twin, f, &same));
			if (!same)
				continue;
			snprintf(reason, sizeof(reason), "same content as \"%.*s\"",
					 pgml_shown(twin->col->name, 120), twin->col->name);
			const char *copy = pgml_strdup(fit->arena, reason);
			if (copy == NULL)
				return pgml_fail_nomem(fit->env, "the recipe");
			fit_drop(f, copy);
			break;
		}
	}
	return PGML_OK;
}

/* An error that says why the columns are of no use. */
static PgmlStatus
nothing_usable(const RecipeFit *fit)
{
	char list[480] = "";
	size_t len = 0;
	int told = 0;

	for (int i = 0; i < fit->table->ncols && told < TOLD; i++, told++)
	{
		const char *name = fit->cols[i].col->name;
		const char *reason = fit->cols[i].reason;
		int n = snprintf(list + len, sizeof(list) - len, "%s\"%.*s\": %.*s", told > 0 ? "; " : "",
						 pgml_shown(name, 40), name, pgml_shown(reason, 80), reason);
		len += n > 0 ? (size_t) n : 0;
		if (len >= sizeof(list))
			break;
	}
	PgmlStatus status =
		pgml_fail(fit->env->error, PGML_ERR_DATA, "no column can be used as a feature");
	if (told > 0)
		pgml_fail_detail(fit->env->error, "%s%s.", list, told < fit->table->ncols ? "; ..." : "");
	pgml_fail_hint(fit->env->error,
				   "Add columns that describe the rows; naming a column in features keeps it from "
				   "being dropped as an identifier.");
	return status;
}

/* Room to sort so many values in. */
static PgmlStatus
make_room(RecipeFit *fit, int64_t most)
{
	fit->room = fit->spec->n < most ? fit->spec->n : most;
	fit->sorted = pgml_array(fit->arena, (size_t) fit->room + 1, sizeof(PgmlKeyed));
	fit->tmp = pgml_array(fit->arena, (size_t) fit->room + 1, sizeof(PgmlKeyed));
	return fit->sorted == NULL || fit->tmp == NULL ? pgml_fail_nomem(fit->env, "the recipe") :
													 PGML_OK;
}

/* Look at one column that is not text; each thread has its own room and its own error, which can only be the stop. */
static PgmlStatus
fit_block(void *arg, int64_t block, int thread)
{
	RecipeFit *fit = (RecipeFit *) arg + thread;

	return fit->table->cols[block].kind == PGML_KIND_TEXT ? PGML_OK : fit_column(fit, (int) block);
}

/* Look at the columns that are not text, side by side. */
static PgmlStatus
fit_side_by_side(RecipeFit *fit)
{
	int threads = pgml_pool_threads(fit->env->pool);
	PgmlArena *arena = pgml_arena_create(fit->env->budget);
	RecipeFit *own = arena ? pgml_array(arena, (size_t) threads, sizeof(RecipeFit)) : NULL;
	PgmlEnv *env = arena ? pgml_array(arena, (size_t) threads, sizeof(PgmlEnv)) : NULL;
	PgmlError *error = arena ? pgml_zalloc(arena, (size_t) threads, sizeof(PgmlError)) : NULL;
	PgmlStatus status = own == NULL || env == NULL || error == NULL ?
							pgml_fail_nomem(fit->env, "the recipe") :
							PGML_OK;

	for (int t = 0; status == PGML_OK && t < threads; t++)
	{
		own[t] = *fit;
		own[t].arena = arena;
		status = make_room(&own[t], RECIPE_SAMPLED);
		env[t] = *fit->env;
		env[t].error = &error[t];
		own[t].env = &env[t];
	}
	if (status == PGML_OK)
	{
		status = pgml_par_for(fit->env, fit->table->ncols, fit_block, own);
		for (int t = 0; status != PGML_OK && t < threads; t++)
			if (error[t].status == status)
				*fit->env->error = error[t];
	}
	pgml_arena_destroy(arena);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(fit->env) : status;
}

/* Look at the columns: text, whose work memory is kept, and what has many values to sort, one after another. */
static PgmlStatus
fit_columns(RecipeFit *fit)
{
	PGML_TRY(fit_side_by_side(fit));
	for (int i = 0; i < fit->table->ncols; i++)
	{
		bool text = fit->table->cols[i].kind == PGML_KIND_TEXT;

		if (!text && !fit->cols[i].unsorted)
			continue;
		if (fit->sorted == NULL)
			PGML_TRY(make_room(fit, RECIPE_SORTED));
		PGML_TRY(text ? fit_column(fit, i) : fit_numbers(fit, &fit->cols[i]));
	}
	return PGML_OK;
}

/* The fit, with its work memory at hand. */
static PgmlStatus
fit_all(RecipeFit *fit, PgmlBuf *out)
{
	bool usable = false;

	if (fit->spec->n <= 0)
		return pgml_fail(fit->env->error, PGML_ERR_DATA, "there are no rows to learn from");
	fit->cols = pgml_zalloc(fit->arena, (size_t) fit->table->ncols + 1, sizeof(ColumnFit));
	if (fit->cols == NULL)
		return pgml_fail_nomem(fit->env, "the recipe");
	PGML_TRY(fit_columns(fit));
	PGML_TRY(drop_duplicates(fit));
	for (int i = 0; i < fit->table->ncols; i++)
	{
		usable |= fit->cols[i].step != RECIPE_DROP;
		fit->cols[i].words = fit_words(fit, &fit->cols[i]);
		if (fit->cols[i].words == NULL)
			return pgml_fail_nomem(fit->env, "the recipe");
	}
	return usable ? fit_write(fit, out) : nothing_usable(fit);
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_fit(const PgmlEnv *env, const PgmlTable *table, const PgmlRecipeSpec *spec,
				PgmlBuf *out)
{
	RecipeFit fit = { .env = env, .table = table, .spec = spec };

	fit.arena = pgml_arena_create(env->budget);
	if (fit.arena == NULL)
		return pgml_fail_nomem(env, "the recipe");
	PgmlStatus status = fit_all(&fit, out);
	pgml_arena_destroy(fit.arena);
	return status;
}
