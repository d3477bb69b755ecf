/*
 * recipe_sql_internal.h - what the files share that write conditions in SQL.
 *
 *   recipe_sql.c       numbers, flags, categories; which of them a feature needs
 *   recipe_sql_text.c  numbers that are stored as text
 *   recipe_sql_time.c  dates, timestamps and their parts, times of day
 */
#ifndef PGML_PREP_RECIPE_SQL_INTERNAL_H
#define PGML_PREP_RECIPE_SQL_INTERNAL_H

#include "prep/recipe_internal.h"
#include "prep/recipe_sql.h"

/* The blanks that pgml_trim() removes. */
#define SQL_BLANKS "E' \\t\\n\\x0b\\f\\r'"

/* What a condition is written with. */
typedef struct SqlWriting
{
	const PgmlRecipe *recipe;
	RecipeInput in;
	const char *name;
	const char *type;
	const PgmlFeatureTest *test;
	bool left;
	bool exact;
	PgmlBuf *out;
} SqlWriting;

/* Append a text. */
static inline void
sql_put(PgmlBuf *out, const char *s)
{
	pgml_buf_put(out, s, strlen(s));
}

/* Append the name of the column; for readers only quoted where that is needed to read it. */
extern void sql_put_name(const SqlWriting *w);

/* Do missing values satisfy the condition? */
static inline bool
sql_takes_missing(const SqlWriting *w)
{
	return w->test->missing_left == w->left;
}

/*
 * A condition that also holds for missing values is that the one of the other side does not hold.  The side that is written
 * between these two: true for what goes left.
 */
static inline bool
sql_open_side(const SqlWriting *w)
{
	sql_put(w->out, "(");
	return w->left != sql_takes_missing(w);
}

static inline void
sql_close_side(const SqlWriting *w)
{
	sql_put(w->out, sql_takes_missing(w) ? ") IS NOT TRUE" : ")");
}

/* What the recipe makes a number, of an input that has one feature. */
static inline PgmlNumberStep
sql_number_step(const SqlWriting *w)
{
	return (PgmlNumberStep){ (int32_t) w->in.first_feature, w->in.center, w->in.low, w->in.high };
}

/* Doubles in their order as integers, and back. */
static inline int64_t
sql_place_of(double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits < 0 ? INT64_MIN - bits : bits;
}

static inline double
sql_at_place(int64_t place)
{
	int64_t bits = place < 0 ? INT64_MIN - place : place;
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* The largest finite number whose feature is at most the threshold; -INFINITY: there is none. */
extern double sql_largest_left(const PgmlNumberStep *step, double threshold);

/* The condition of a number stored as text, and whether one is missing (missing: the condition is that it is). */
extern void sql_put_number_text(const SqlWriting *w);
extern void sql_put_missing_number_text(const SqlWriting *w, bool missing);

/* The condition of a part of a date or timestamp (f: the feature), of a time of day, and whether a date is missing. */
extern void sql_put_date(const SqlWriting *w, int32_t f);
extern void sql_put_time(const SqlWriting *w);
extern void sql_put_missing_date(const SqlWriting *w, bool missing);

#endif
