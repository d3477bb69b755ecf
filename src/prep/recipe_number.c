/*
 * recipe_number.c - fitting columns that are numbers, dates, times and intervals.
 *
 * Range and missing values come from all training rows. The number of distinct values, the loss by casting to float32, the
 * look of an identifier and the parts of dates that vary are read off the values in order; of more than RECIPE_SORTED rows
 * every k-th is sorted (training rows lie in the order of their hashes, so that these are a random sample).
 */
#include <float.h>

#include "prep/recipe_internal.h"

/* Values fewer than this are too few to call a column an identifier by its looks. */
#define MIN_ID_ROWS 50

/* The same for columns that are named like one. */
#define MIN_NAMED_ID_ROWS 20

/* Whole numbers that all lie between these are years. */
#define FIRST_YEAR 1800
#define LAST_YEAR  2100

/* Values in order, read back from the keys that they were sorted by. */
static double
sorted_value(const RecipeFit *fit, int64_t i)
{
	const uint64_t sign = UINT64_C(1) << 63;
	uint64_t key = fit->sorted[i].key;
	double v;

	key = key & sign ? key ^ sign : ~key;
	memcpy(&v, &key, sizeof(v));
	return v;
}

/* One value that is not missing. */
static void
count_value(ColumnFit *f, double v, int64_t *finite)
{
	f->n_true += v == 1;
	if (isinf(v))
	{
		f->n_infinite++;
		return;
	}
	if (*finite == 0 || v < f->low)
		f->low = v;
	if (*finite == 0 || v > f->high)
		f->high = v;
	(*finite)++;
}

/* Go through the values and sort the finite ones, or a sample of them; *n receives the number sorted. */
static PgmlStatus
sort_values(RecipeFit *fit, ColumnFit *f, int64_t *n)
{
	int64_t step = (fit->spec->n - 1) / RECIPE_SORTED + 1;
	int64_t finite = 0;

	*n = 0;
	f->n_missing = 0;
	for (int64_t i = 0; i < fit->spec->n; i++)
	{
		double v = fit_value(f, fit->spec->rows[i]);

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		if (isnan(v))
		{
			f->n_missing++;
			continue;
		}
		count_value(f, v, &finite);
		if (isfinite(v) && (step == 1 || i % step == 0))
			fit->sorted[(*n)++] = (PgmlKeyed){ pgml_key_of_double(v), 0 };
	}
	return pgml_sort_keyed(fit->env, fit->sorted, fit->tmp, *n);
}

/* True for columns whose values are seconds of dates. */
static bool
is_date(const ColumnFit *f)
{
	return f->base == RECIPE_DATE || f->base == RECIPE_DATE_TEXT;
}

/* The number that becomes a feature: days for dates. */
static double
feature_number(const ColumnFit *f, double v)
{
	return is_date(f) ? v / 86400.0 : v;
}

/* To float as pgml_recipe_apply does it. */
static float
cast(double v)
{
	return v > FLT_MAX ? FLT_MAX : v < -FLT_MAX ? -FLT_MAX : (float) v;
}

/* Count distinct values: as doubles, cast to float, and cast after subtracting the median. */
static PgmlStatus
choose_center(RecipeFit *fit, ColumnFit *f, int64_t n)
{
	double center = feature_number(f, sorted_value(fit, n / 2));
	double last = 0;
	int64_t n_float = 0;
	int64_t n_centered = 0;

	f->n_distinct = 0;
	f->whole = true;
	for (int64_t i = 0; i < n; i++)
	{
		double v = feature_number(f, sorted_value(fit, i));

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		if (i == 0 || v != last)
		{
			f->n_distinct++;
			n_float += i == 0 || cast(v) != cast(last);
			n_centered += i == 0 || cast(v - center) != cast(last - center);
			f->whole &= v == floor(v);
		}
		last = v;
	}
	/* One pair lost among very many values is not worth a shifted scale. */
	bool lossy = (f->n_distinct - n_float) * 1000 > f->n_distinct;
	f->center = lossy && n_centered > n_float ? center : 0;
	return PGML_OK;
}

/* The value of each part for a date. */
static void
part_values(double seconds, double part[RECIPE_PARTS])
{
	PgmlCivil c;

	pgml_civil(seconds, &c);
	part[RECIPE_DAYS] = seconds;
	part[RECIPE_YEAR] = (double) c.year;
	part[RECIPE_MONTH] = c.month;
	part[RECIPE_DAY] = c.day;
	part[RECIPE_WEEKDAY] = c.weekday;
	part[RECIPE_YDAY] = c.yday;
	part[RECIPE_HOUR] = c.hour + c.minute / 60.0;
}

/* Keep the parts of dates that are not the same in all training rows. */
static PgmlStatus
choose_parts(RecipeFit *fit, ColumnFit *f, int64_t n)
{
	double first[RECIPE_PARTS];
	double part[RECIPE_PARTS];

	f->parts = f->low < f->high ? 1u << RECIPE_DAYS : 0;
	for (int64_t i = 0; i < n; i++)
	{
		double v = sorted_value(fit, i);

		if (fit_stopped(fit->env, i))
			return pgml_fail_cancelled(fit->env);
		if (i > 0 && v == sorted_value(fit, i - 1))
			continue;
		part_values(v, i == 0 ? first : part);
		for (int p = 0; i > 0 && p < RECIPE_PARTS; p++)
			f->parts |= (uint32_t) (part[p] != first[p]) << p;
	}
	return PGML_OK;
}

/* True when the lower-case name ends with the word, alone or behind a separator. */
static bool
ends_with_word(const char *name, size_t len, const char *word)
{
	size_t n = strlen(word);

	if (len < n || memcmp(name + len - n, word, n) != 0)
		return false;
	return len == n || strchr("_- .", name[len - n - 1]) != NULL;
}

/* True when the lower-case name ends with one of the words. */
static bool
ends_with_any(const char *name, size_t len, const char *const *words)
{
	for (; *words != NULL; words++)
		if (ends_with_word(name, len, *words))
			return true;
	return false;
}

/* "id", "customer_id", "CustomerID", "uuid", "row_number" ... */
IdName
fit_id_name(const char *name)
{
	static const char *const strong[] = { "id",        "ids",    "uuid",       "guid",
										  "pk",        "oid",    "uid",        "rowid",
										  "rownumber", "rownum", "unnamed: 0", NULL };
	static const char *const weak[] = {
		"key", "nr", "no", "number", "idx", "index", "serial", NULL
	};
	char lower[64];
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(lower))
		return ID_NAME_NO;
	for (size_t i = 0; i <= len; i++)
		lower[i] = pgml_fold(name[i]);
	if (ends_with_any(lower, len, strong))
		return ID_NAME_STRONG;
	/* CustomerID, customerId */
	if (len > 2 && name[len - 2] == 'I' && lower[len - 1] == 'd' && name[len - 3] >= 'a' &&
		name[len - 3] <= 'z')
		return ID_NAME_STRONG;
	return ends_with_any(lower, len, weak) ? ID_NAME_WEAK : ID_NAME_NO;
}

/* Whole numbers of a range that is filled to half at least, as running numbers do when other rows are held out. */
static bool
is_dense(const RecipeFit *fit, const ColumnFit *f)
{
	double sampled = 1;

	if (fit->table->nrows_total > fit->spec->n)
		sampled = (double) fit->spec->n / (double) fit->table->nrows_total;
	return (double) f->n >= 0.5 * sampled * (f->high - f->low + 1);
}

/*
 * Numbers that only say which row it is: a unique key; nearly unique integers named like an identifier, which must fill
 * their range too where the name may be that of a quantity; and unique integers that fill their range.  Years are none,
 * although there is often one row of each.
 */
static bool
is_identifier(const RecipeFit *fit, const ColumnFit *f, int64_t n)
{
	if (n == 0 || (f->base != RECIPE_NUMBER && f->base != RECIPE_NUMBER_TEXT))
		return false;
	if (f->whole && f->low >= FIRST_YEAR && f->high <= LAST_YEAR)
		return false;
	if (f->col->is_key && f->n_distinct == n)
		return true;
	if (!f->whole || f->n_infinite > 0)
		return false;
	if (n >= MIN_NAMED_ID_ROWS && (double) f->n_distinct >= 0.9 * (double) n)
	{
		IdName named = fit_id_name(f->col->name);

		if (named == ID_NAME_STRONG || (named == ID_NAME_WEAK && is_dense(fit, f)))
			return true;
	}
	return n >= MIN_ID_ROWS && f->n_distinct == n && f->n_missing == 0 && is_dense(fit, f);
}

/* Columns with one value: a flag when enough rows miss it, else nothing. */
static void
fit_single(ColumnFit *f)
{
	if (f->n_missing == 0)
		fit_drop(f, "constant");
	else if (f->n_missing * 100 < f->n || (f->n - f->n_missing) * 100 < f->n)
		fit_drop(f, "constant, or nearly always missing");
	else
		f->step = RECIPE_MISSING;
}

/* See recipe_internal.h. Infinite values take the end of the range, so they add no distinct value. */
PgmlStatus
fit_numbers(RecipeFit *fit, ColumnFit *f)
{
	int64_t n;
	bool keep = fit->spec->keep != NULL && fit->spec->keep[f - fit->cols];

	PGML_TRY(sort_values(fit, f, &n));
	if (f->n_missing == f->n)
	{
		fit_drop(f, "every value is missing");
		return PGML_OK;
	}
	if (n > 0)
		PGML_TRY(choose_center(fit, f, n));
	if (f->low == f->high && f->n_infinite > 0)
	{
		/* At most one finite value: infinities on either side of it still tell something. */
		f->low -= 1;
		f->high += 1;
		return PGML_OK;
	}
	if (is_date(f))
		PGML_TRY(choose_parts(fit, f, n));
	if (f->low == f->high)
		fit_single(f);
	else if (!keep && is_identifier(fit, f, n))
		fit_drop(f, f->col->is_key     ? "identifier: a unique key" :
					f->n_distinct == n ? "identifier: every value is different" :
										 "identifier: nearly every value is different");
	return PGML_OK;
}
