/*
 * rows.h - fixed inputs for the golden images: one array of values per row, in the order of the columns.
 */
#ifndef PGML_GOLDEN_ROWS_H
#define PGML_GOLDEN_ROWS_H

#include <math.h>
#include <string.h>

#include "data/value.h"

#define GOLDEN_ROWS    6
#define GOLDEN_COLUMNS 11

static inline PgmlValue
golden_number(PgmlKind kind, double v)
{
	return (PgmlValue){ .kind = kind, .is_null = isnan(v), .num = v };
}

static inline PgmlValue
golden_text(const char *s)
{
	return (PgmlValue){ .kind = PGML_KIND_TEXT,
						.is_null = s == NULL,
						.str = s,
						.len = s == NULL ? 0 : (uint32_t) strlen(s) };
}

/* Row `row`: plain values, missing ones, unseen categories, odd spellings, extremes. */
static inline void
golden_row(int row, PgmlValue *v)
{
	static const double age[] = { 25, NAN, 61, 1e300, -5, 40 };
	static const char *const income[] = { "$1,500.50", NULL, "n/a", "1900", "EUR 12", "(3)" };
	static const char *const city[] = { "Oslo", NULL, " ROME", "Atlantis", "Kyiv", "lima" };
	static const double member[] = { 1, NAN, 0, 1, 0, 1 };
	static const double joined[] = { 1.4e9, NAN, 0, 1.5e9, -6e10, 1.35e9 };
	static const char *const seen[] = { "2023-05-17", NULL, "", "2031-12-31", "17 May 2023", "x" };
	static const double wake[] = { 3600, NAN, 0, 86399.5, 43200, 27000 };
	static const double span[] = { 7200, NAN, -3600, 1e12, 0, 180000 };
	static const double big[] = { 1700000500, NAN, 1.7e9, 0, 1700000999, 1700000123 };
	static const char *const flag[] = { "yes", NULL, "no", "", "yes", NULL };

	v[0] = golden_number(PGML_KIND_NUMBER, age[row]);
	v[1] = golden_text(income[row]);
	v[2] = golden_text(city[row]);
	v[3] = golden_number(PGML_KIND_BOOL, member[row]);
	v[4] = golden_number(PGML_KIND_DATE, joined[row]);
	v[5] = golden_text(seen[row]);
	v[6] = golden_number(PGML_KIND_TIME, wake[row]);
	v[7] = golden_number(PGML_KIND_INTERVAL, span[row]);
	v[8] = golden_number(PGML_KIND_NUMBER, big[row]);
	v[9] = golden_text(flag[row]);
	v[10] = golden_number(PGML_KIND_NUMBER, row);
}

#endif
