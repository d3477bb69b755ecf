/*
 * recipe_profile.c - look at a column on the training rows and decide how to treat it.
 *
 * Text reads as dates or numbers when at least 95 % of the rows, and half of the different spellings, do; rows with a
 * marker of missing do not count. Numbers with leading zeros ("00123") are codes, so categories. Words such as
 * "none" and "unknown" mean missing where the rest are numbers or dates; in a category they are levels like any other
 * ("Basement: none"), and only the pure markers (?, NA, null, -, empty ...) are missing.
 */
#include "prep/recipe_internal.h"

/* What the spellings of a text column look like, counted in rows and in spellings (suffix _d). */
typedef struct TextLook
{
	PgmlNumberLook numbers; /* of what is neither NULL nor a marker */
	int64_t leading_zero;
	int64_t month_first, month_first_d;
	int64_t day_first, day_first_d;
} TextLook;

/* Set the column aside. */
void
fit_drop(ColumnFit *f, const char *reason)
{
	f->step = RECIPE_DROP;
	f->reason = reason;
}

/* Training rows per dictionary code. */
static PgmlStatus
count_codes(RecipeFit *fit, ColumnFit *f, int64_t **out)
{
	const int32_t *code = f->col->code;
	int64_t *count =
		pgml_zalloc(fit->arena, (size_t) pgml_dict_size(f->col->dict) + 1, sizeof(*count));

	if (count == NULL)
		return pgml_fail_nomem(fit->env, "the recipe");
	for (int64_t i = 0; i < fit->spec->n; i++)
	{
		int32_t c = code[fit->spec->rows[i]];

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		if (c >= 0)
			count[c]++;
	}
	*out = count;
	return PGML_OK;
}

/* "007" but not "0", "0.5" or "0:30". */
static bool
has_leading_zero(const char *s, uint32_t len)
{
	pgml_trim(&s, &len);
	return len > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9';
}

/* Count which order of day and month makes a date of one spelling. */
static void
look_at_date(TextLook *look, const char *s, uint32_t len, int64_t rows)
{
	double v;

	if (pgml_parse_date(s, len, false, &v))
	{
		look->month_first += rows;
		look->month_first_d++;
	}
	if (pgml_parse_date(s, len, true, &v))
	{
		look->day_first += rows;
		look->day_first_d++;
	}
}

/* The day is first only when more rows make sense that way. */
static bool
has_day_first(const TextLook *look)
{
	return look->day_first > look->month_first;
}

/* Count what one spelling reads as. */
static void
look_at(TextLook *look, const char *s, uint32_t len, int64_t rows)
{
	double v;

	if (pgml_is_missing_marker(s, len))
		return;
	pgml_number_look_add(&look->numbers, s, len, rows);
	if (has_leading_zero(s, len) &&
		(pgml_parse_number(s, len, &v) || pgml_parse_comma_number(s, len, &v)))
		look->leading_zero += rows;
	look_at_date(look, s, len, rows);
}

/* Enough of the rows and of the spellings. */
static bool
nearly_all(const TextLook *look, int64_t rows, int64_t spellings)
{
	return rows > 0 && rows * 100 >= look->numbers.usable * 95 &&
		   spellings * 2 >= look->numbers.usable_d;
}

/* Number, date or category. */
static void
choose_reading(const TextLook *look, ColumnFit *f)
{
	f->day_first = has_day_first(look);
	f->base = RECIPE_CATEGORY;
	f->comma = pgml_number_look_comma(&look->numbers);
	f->comma_decimals = look->numbers.decimals;
	int64_t number = f->comma ? look->numbers.comma : look->numbers.point;
	int64_t number_d = f->comma ? look->numbers.comma_d : look->numbers.point_d;
	if (f->day_first ? nearly_all(look, look->day_first, look->day_first_d) :
					   nearly_all(look, look->month_first, look->month_first_d))
		f->base = RECIPE_DATE_TEXT;
	else if (nearly_all(look, number, number_d) && look->leading_zero * 200 <= number)
		f->base = RECIPE_NUMBER_TEXT;
	f->step = f->base;
}

/* Read every spelling as a number or a date. */
static PgmlStatus
read_entries(RecipeFit *fit, ColumnFit *f, const int64_t *count)
{
	int32_t size = pgml_dict_size(f->col->dict);
	double *entry = pgml_array(fit->arena, (size_t) size + 1, sizeof(double));

	if (entry == NULL)
		return pgml_fail_nomem(fit->env, "the recipe");
	for (int32_t code = 0; code < size; code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(f->col->dict, code, &len);
		bool unread;

		if (fit_stopped(fit->env, code))
			return pgml_fail_cancelled(fit->env);
		entry[code] = f->base == RECIPE_DATE_TEXT ?
						  recipe_text_date(s, len, f->day_first, &unread) :
						  recipe_text_number(s, len, f->comma, &unread);
		if (unread)
			f->n_unread += count[code];
	}
	f->entry = entry;
	return PGML_OK;
}

/* A category with one level is constant, or says no more than whether it is missing. */
static PgmlStatus
fit_category_column(RecipeFit *fit, ColumnFit *f, const int64_t *count)
{
	bool keep = fit->spec->keep != NULL && fit->spec->keep[f - fit->cols];

	PGML_TRY(fit_category(fit, f, count, keep));
	if (f->step == RECIPE_DROP || f->n_distinct > 1)
		return PGML_OK;
	return fit_numbers(fit, f);
}

/* Find out how a text column reads and fit it so. */
static PgmlStatus
fit_text(RecipeFit *fit, ColumnFit *f)
{
	TextLook look = { 0 };
	int64_t *count = NULL;

	PGML_TRY(count_codes(fit, f, &count));
	for (int32_t code = 0; code < pgml_dict_size(f->col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(f->col->dict, code, &len);

		if (fit_stopped(fit->env, code))
			return pgml_fail_cancelled(fit->env);
		if (count[code] > 0)
			look_at(&look, s, len, count[code]);
	}
	choose_reading(&look, f);
	if (f->base == RECIPE_CATEGORY)
		return fit_category_column(fit, f, count);
	PGML_TRY(read_entries(fit, f, count));
	return fit_numbers(fit, f);
}

/* See recipe_internal.h. */
PgmlStatus
fit_column(RecipeFit *fit, int i)
{
	ColumnFit *f = &fit->cols[i];

	f->col = &fit->table->cols[i];
	f->n = fit->spec->n;
	if (fit->spec->exclude != NULL && fit->spec->exclude[i])
	{
		const char *reason =
			fit->spec->exclude_reason != NULL ? fit->spec->exclude_reason[i] : NULL;
		fit_drop(f, reason != NULL ? reason : "excluded");
		return PGML_OK;
	}
	switch (f->col->kind)
	{
		case PGML_KIND_TEXT:
			return fit_text(fit, f);
		case PGML_KIND_BOOL:
			f->base = RECIPE_BOOLEAN;
			break;
		case PGML_KIND_DATE:
		case PGML_KIND_TIMESTAMP:
			f->base = RECIPE_DATE;
			break;
		case PGML_KIND_TIME:
			f->base = RECIPE_TIME;
			break;
		case PGML_KIND_INTERVAL:
			f->base = RECIPE_INTERVAL;
			break;
		default:
			f->base = RECIPE_NUMBER;
			break;
	}
	f->step = f->base;
	return fit_numbers(fit, f);
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_day_first(const PgmlEnv *env, const PgmlColumn *col, int64_t nrows, bool *day_first)
{
	TextLook look = { 0 };

	for (int64_t i = 0; i < nrows; i++)
	{
		uint32_t len;
		const char *s;

		if (fit_stopped(env, i))
			return pgml_fail_cancelled(env);
		if (col->code[i] < 0)
			continue;
		s = pgml_dict_get(col->dict, col->code[i], &len);
		look_at_date(&look, s, len, 1);
	}
	*day_first = has_day_first(&look);
	return PGML_OK;
}
