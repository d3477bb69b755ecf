/*
 * recipe_number.c - fitting columns that are numbers, dates, times and intervals.
 *
 * Range and missing values come from all training rows. The number of distinct values, the loss by casting to float32, the
 * look of an identifier and the parts of dates that vary are read off the values in order; of more than RECIPE_SORTED rows
 * every k-th is sorted, of more than RECIPE_SAMPLED when the values are no integers (training rows lie in the order of their
 * hashes, so that these are a random sample).
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

/* Integers up to here are the same as floats. */
#define EXACT_IN_FLOAT 16777216.0

/* Integers are counted by a bit for each of their range when it is at most this many times the rows. */
#define BITS_PER_ROW 64

/* Rows that are read at a time; divides RECIPE_POLL. */
#define BLOCK_ROWS 512

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

/* True for columns whose values are seconds of dates. */
static bool
is_date(const ColumnFit *f)
{
	return f->base == RECIPE_DATE || f->base == RECIPE_DATE_TEXT;
}

/* Values of n training rows from number `first` on, read by one loop for each way in which they are held. */
static void
read_values(const RecipeFit *fit, const ColumnFit *f, int64_t first, int n, double *out)
{
	const int32_t *rows = fit->spec->rows + first;
	const float *single = f->col->single;
	const double *num = f->col->num;

	if (is_date(f) || f->col->kind == PGML_KIND_TEXT)
		for (int i = 0; i < n; i++)
			out[i] = fit_value(f, rows[i]);
	else if (single != NULL)
		for (int i = 0; i < n; i++)
			out[i] = single[rows[i]];
	else
		for (int i = 0; i < n; i++)
			out[i] = num[rows[i]];
}

/* What is found out by going through values. */
typedef struct Look
{
	int64_t missing, infinite, ones;
	double low, high; /* of the finite ones */
	bool whole;       /* all of these are integers */
} Look;

/* Values one by one. */
static void
look_at_numbers(Look *look, const double *value, int n)
{
	for (int i = 0; i < n; i++)
	{
		double v = value[i];

		look->missing += isnan(v);
		look->ones += v == 1;
		look->infinite += isinf(v) != 0;
		if (!(fabs(v) <= DBL_MAX))
			continue;
		look->low = v < look->low ? v : look->low;
		look->high = v > look->high ? v : look->high;
		look->whole = look->whole && pgml_is_whole(v);
	}
}

/*
 * The same for values of single precision, by their bits, as signed integers in whose order they lie: many at a time, as nothing
 * depends on the order of comparisons.  False, and nothing is noted, when one of them is infinite.
 */
static bool
look_at_singles(Look *look, const float *value, int n)
{
	const int32_t one = 0x3f800000, infinity = 0x7f800000;
	int32_t low = INT32_MAX, high = INT32_MIN;
	int32_t missing = 0, ones = 0, infinite = 0;
	float lowest, highest;

	for (int i = 0; i < n; i++)
	{
		int32_t bits;

		memcpy(&bits, &value[i], sizeof(bits));
		int32_t size = bits & INT32_MAX;
		int32_t key = bits ^ (bits >> 31 & INT32_MAX);
		int32_t is_missing = -(size > infinity);
		int32_t below = (key & ~is_missing) | (INT32_MAX & is_missing);
		int32_t above = (key & ~is_missing) | (INT32_MIN & is_missing);

		low = below < low ? below : low;
		high = above > high ? above : high;
		missing -= is_missing;
		infinite |= size == infinity;
		ones += bits == one;
	}
	if (infinite)
		return false;
	look->missing += missing;
	look->ones += ones;
	if (missing == n)
		return true;
	low ^= low >> 31 & INT32_MAX;
	high ^= high >> 31 & INT32_MAX;
	memcpy(&lowest, &low, sizeof(low));
	memcpy(&highest, &high, sizeof(high));
	look->low = lowest < look->low ? lowest : look->low;
	look->high = highest > look->high ? highest : look->high;
	for (int i = 0; look->whole && i < n; i++)
		look->whole = isnan(value[i]) || pgml_is_whole(value[i]);
	return true;
}

/* Go through the values of all rows: how many are missing or infinite, their range, and whether they are integers. */
static PgmlStatus
look_at_values(RecipeFit *fit, ColumnFit *f)
{
	Look look = { .low = INFINITY, .high = -INFINITY, .whole = true };

	for (int64_t first = 0; first < fit->spec->n; first += BLOCK_ROWS)
	{
		int n = (int) (fit->spec->n - first < BLOCK_ROWS ? fit->spec->n - first : BLOCK_ROWS);
		double block[BLOCK_ROWS];
		float singles[BLOCK_ROWS];

		if (fit_stopped(fit->env, first))
			return pgml_fail_cancelled(fit->env);
		for (int i = 0; f->col->single != NULL && i < n; i++)
			singles[i] = f->col->single[fit->spec->rows[first + i]];
		if (f->col->single != NULL && look_at_singles(&look, singles, n))
			continue;
		read_values(fit, f, first, n, block);
		look_at_numbers(&look, block, n);
	}
	f->n_missing = look.missing;
	f->n_infinite = look.infinite;
	f->n_true = look.ones;
	f->whole = look.whole;
	f->low = look.low <= look.high ? look.low + 0.0 : 0; /* a zero of either sign is one */
	f->high = look.low <= look.high ? look.high + 0.0 : 0;
	return PGML_OK;
}

/* Sort the finite values, or every k-th of them so that there are at most so many; *n receives the number sorted. */
static PgmlStatus
sort_values(RecipeFit *fit, const ColumnFit *f, int64_t most, int64_t *n)
{
	int64_t step = (fit->spec->n - 1) / most + 1;

	*n = 0;
	for (int64_t i = 0; i < fit->spec->n; i += step)
	{
		double v = fit_value(f, fit->spec->rows[i]);

		if (fit_stopped(fit->env, i / step))
			return pgml_fail_cancelled(fit->env);
		if (isfinite(v))
			fit->sorted[(*n)++] = (PgmlKeyed){ pgml_key_of_double(v), 0 };
	}
	return pgml_sort_keyed(fit->env, fit->sorted, fit->tmp, *n);
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

/*
 * Count the distinct values of integers without sorting: a bit for each of their range. *n receives how many values there are.
 */
static PgmlStatus
count_integers(RecipeFit *fit, ColumnFit *f, int64_t *n)
{
	size_t words = (size_t) (f->high - f->low) / 64 + 1;
	PgmlArena *arena = pgml_arena_create(fit->env->budget);
	uint64_t *seen = arena == NULL ? NULL : pgml_zalloc(arena, words, sizeof(uint64_t));
	PgmlStatus status = seen == NULL ? pgml_fail_nomem(fit->env, "the recipe") : PGML_OK;

	f->n_distinct = 0;
	for (int64_t i = 0; status == PGML_OK && i < fit->spec->n; i++)
	{
		double v = fit_value(f, fit->spec->rows[i]);

		if (fit_stopped(fit->env, i))
			status = pgml_fail_cancelled(fit->env);
		else if (isfinite(v))
			seen[(size_t) (v - f->low) / 64] |= UINT64_C(1) << ((size_t) (v - f->low) % 64);
	}
	for (size_t k = 0; status == PGML_OK && k < words; k++)
		f->n_distinct += __builtin_popcountll(seen[k]);
	pgml_arena_destroy(arena);
	*n = f->n - f->n_missing - f->n_infinite;
	return status;
}

/*
 * Distinct values, centre and parts of dates, as far as anything depends on them: numbers that are not integers are no
 * identifiers, unless the table says so, and a sample tells whether a float holds them.
 */
static PgmlStatus
look_at_order(RecipeFit *fit, ColumnFit *f, int64_t *n)
{
	bool exact = f->whole && f->low >= -EXACT_IN_FLOAT && f->high <= EXACT_IN_FLOAT;
	bool dense = exact && f->high - f->low <= (double) BITS_PER_ROW * (double) f->n;
	bool may_identify = f->base == RECIPE_NUMBER || f->base == RECIPE_NUMBER_TEXT;
	bool sampled = !f->whole && !f->col->is_key && !is_date(f);
	int64_t most = sampled ? RECIPE_SAMPLED : RECIPE_SORTED;

	*n = 0;
	f->center = 0;
	if (f->n_missing + f->n_infinite == f->n || (sampled && f->col->single != NULL))
		return PGML_OK;
	if (exact && !may_identify && !is_date(f))
		return PGML_OK;
	if (dense && !is_date(f))
		return count_integers(fit, f, n);
	f->unsorted = fit->room < fit->spec->n && fit->room < most;
	if (f->unsorted)
		return PGML_OK;
	PGML_TRY(sort_values(fit, f, most, n));
	PGML_TRY(choose_center(fit, f, *n));
	return is_date(f) && f->low < f->high ? choose_parts(fit, f, *n) : PGML_OK;
}

/* See recipe_internal.h. Infinite values take the end of the range, so they add no distinct value. */
PgmlStatus
fit_numbers(RecipeFit *fit, ColumnFit *f)
{
	int64_t n;
	bool keep = fit->spec->keep != NULL && fit->spec->keep[f - fit->cols];

	PGML_TRY(look_at_values(fit, f));
	if (f->n_missing == f->n)
	{
		fit_drop(f, "every value is missing");
		return PGML_OK;
	}
	PGML_TRY(look_at_order(fit, f, &n));
	if (f->unsorted)
		return PGML_OK;
	if (f->low == f->high && f->n_infinite > 0)
	{
		/* At most one finite value: infinities on either side of it still tell something. */
		f->low -= 1;
		f->high += 1;
		return PGML_OK;
	}
	if (f->low == f->high)
		fit_single(f);
	else if (!keep && is_identifier(fit, f, n))
		fit_drop(f, f->col->is_key     ? "identifier: a unique key" :
					f->n_distinct == n ? "identifier: every value is different" :
										 "identifier: nearly every value is different");
	return PGML_OK;
}
