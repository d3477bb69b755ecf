/*
 * recipe_sql_time.c - conditions on dates, timestamps and times of day.
 *
 * What rises with time - days, years, a time of day - is a condition on the column itself: the first day or microsecond that goes right is found by
 * the recipe's own arithmetic.  What comes again - months, days, weekdays, hours - is one on that part of it.
 */
#include <stdio.h>

#include "prep/recipe_sql_internal.h"

#define DAY_SECONDS 86400
#define MICROS      INT64_C(1000000)

/* PostgreSQL counts from 2000-01-01; its calendar begins 4714-11-24 BC and ends with these years. */
#define EPOCH_DAYS     10957
#define FIRST_DAY      (INT64_C(-2451545))
#define LAST_DATE      INT64_C(2145031948)          /* 5874897-12-31 */
#define LAST_TIMESTAMP INT64_C(9223371331199999999) /* 294276-12-31 23:59:59.999999 */

/* A column whose values have an order, and are counted: days of a date, microseconds of others. */
typedef struct Clock
{
	const SqlWriting *w;
	PgmlNumberStep step;
	RecipePart part; /* RECIPE_DAYS or RECIPE_YEAR of a date */
	bool time;       /* of day */
	bool day;        /* a date, without time of day */
	int64_t first, last;
} Clock;

/* The seconds that the recipe sees, as src/pg computes them. */
static double
seconds_at(const Clock *c, int64_t at)
{
	if (c->time)
		return (double) at / MICROS;
	if (c->day)
		return (double) at * DAY_SECONDS + (double) EPOCH_DAYS * DAY_SECONDS;
	return (double) at / MICROS + (double) EPOCH_DAYS * DAY_SECONDS;
}

/* Does the value go left? */
static bool
goes_left(const Clock *c, int64_t at)
{
	double seconds = seconds_at(c, at);
	PgmlCivil civil;

	if (c->time)
		return pgml_number_feature(&c->step, seconds) <= c->w->test->threshold;
	if (c->part == RECIPE_DAYS)
		return pgml_number_feature(&c->step, seconds / DAY_SECONDS) <= c->w->test->threshold;
	pgml_civil(seconds, &civil);
	return (float) civil.year <= c->w->test->threshold;
}

/* The first value that goes right; last + 1: none. */
static int64_t
first_right(const Clock *c)
{
	int64_t low = c->first - 1, high = c->last + 1;

	/* Low goes left, or is before all values; high goes right, or is behind them. */
	while (high - 1 > low)
	{
		int64_t middle = (int64_t) (((__int128) low + high) >> 1);

		if (goes_left(c, middle))
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* A value as a literal, with as few digits as say it. */
static void
put_literal(const Clock *c, int64_t at)
{
	int64_t day =
		c->day ? at : (at >= 0 ? at : at - (DAY_SECONDS * MICROS - 1)) / (DAY_SECONDS * MICROS);
	int64_t micros = c->day ? 0 : at - day * DAY_SECONDS * MICROS;
	int64_t second = micros / MICROS;
	bool moment = c->w->in.flags >> RECIPE_ORIGIN_SHIFT == PGML_ORIGIN_TIMESTAMPTZ;
	PgmlCivil civil = { .year = 1 };
	char buf[80];

	sql_put(c->w->out, "'");
	if (c->time && day > 0) /* 24:00 is a time, too */
		second += DAY_SECONDS;
	if (!c->time)
	{
		long long year;

		pgml_civil((double) (day + EPOCH_DAYS) * DAY_SECONDS, &civil);
		year = civil.year > 0 ? civil.year : 1 - civil.year;
		snprintf(buf, sizeof(buf), "%04lld-%02d-%02d", year, civil.month, civil.day);
		sql_put(c->w->out, buf);
	}
	if (!c->day)
	{
		snprintf(buf, sizeof(buf), "%s%02d:%02d:%02d", c->time ? "" : " ", (int) (second / 3600),
				 (int) (second / 60 % 60), (int) (second % 60));
		sql_put(c->w->out, buf);
		if (micros % MICROS != 0)
		{
			snprintf(buf, sizeof(buf), ".%06d", (int) (micros % MICROS));
			sql_put(c->w->out, buf);
		}
		sql_put(c->w->out, moment ? "+00" : "");
	}
	sql_put(c->w->out, civil.year <= 0 ? " BC'" : "'");
	sql_put(c->w->out, c->time ? "::time" :
					   c->day  ? "::date" :
					   moment  ? "::timestamptz" :
								 "::timestamp");
}

void
sql_put_missing_date(const SqlWriting *w, bool missing)
{
	/* Infinite ones are missing, as they lie outside the calendar. */
	sql_put(w->out, "pg_catalog.isfinite(");
	sql_put_name(w);
	sql_put(w->out, missing ? ") IS NOT TRUE" : ") IS TRUE");
}

/* The condition on a column itself. */
static void
put_order(const Clock *c)
{
	const SqlWriting *w = c->w;
	int64_t bound = isnan(w->test->threshold) ? c->first : first_right(c);
	const char *type = strcmp(w->type, "time with time zone") == 0 ? "::time" : "";
	bool missing = sql_takes_missing(w);
	bool left;

	if (bound <= c->first || bound > c->last)
	{
		bool all = w->left == (bound > c->last);

		if (all == missing)
			sql_put(w->out, all ? "true" : "false");
		else if (!c->time)
			sql_put_missing_date(w, missing);
		else
		{
			sql_put_name(w);
			sql_put(w->out, missing ? " IS NULL" : " IS NOT NULL");
		}
		return;
	}
	left = sql_open_side(w);
	sql_put_name(w);
	sql_put(w->out, type);
	sql_put(w->out, left ? " < " : " >= ");
	put_literal(c, bound);
	if (!c->time)
	{
		sql_put(w->out, " AND ");
		sql_put_name(w);
		sql_put(w->out, left ? " > '-infinity'" : " < 'infinity'");
	}
	sql_close_side(w);
}

void
sql_put_time(const SqlWriting *w)
{
	Clock clock = {
		.w = w, .step = sql_number_step(w), .time = true, .last = DAY_SECONDS * MICROS
	};

	put_order(&clock);
}

/* The column's field that a part is, as EXTRACT calls it; of a moment, in UTC. */
static void
put_field(const SqlWriting *w, const char *field)
{
	sql_put(w->out, "EXTRACT(");
	sql_put(w->out, field);
	sql_put(w->out, " FROM ");
	sql_put_name(w);
	sql_put(w->out, w->in.flags >> RECIPE_ORIGIN_SHIFT == PGML_ORIGIN_TIMESTAMPTZ ?
						" AT TIME ZONE 'UTC')" :
						")");
}

/* The largest value of the part that goes left, -1: none; hours are counted in minutes. */
static int
largest_part(const SqlWriting *w, RecipePart part)
{
	int n = -1;

	if (isnan(w->test->threshold))
		return -1;
	while (n < 24 * 60 && (part == RECIPE_HOUR ? (float) ((n + 1) / 60 + (n + 1) % 60 / 60.0) :
												 (float) (n + 1)) <= w->test->threshold)
		n++;
	return n;
}

/* The condition on a part that comes again. */
static void
put_part(const SqlWriting *w, RecipePart part)
{
	static const char *const fields[RECIPE_PARTS] = { [RECIPE_MONTH] = "MONTH",
													  [RECIPE_DAY] = "DAY",
													  [RECIPE_WEEKDAY] = "ISODOW",
													  [RECIPE_YDAY] = "DOY" };
	bool left = sql_open_side(w);
	char buf[32];

	/* Infinite values have no such fields. */
	if (part == RECIPE_HOUR)
	{
		put_field(w, "HOUR");
		sql_put(w->out, " * 60 + ");
		put_field(w, "MINUTE");
	}
	else
		put_field(w, fields[part]);
	snprintf(buf, sizeof(buf), left ? " <= %d" : " > %d", largest_part(w, part));
	sql_put(w->out, buf);
	sql_close_side(w);
}

void
sql_put_date(const SqlWriting *w, int32_t f)
{
	bool day = w->in.kind == PGML_KIND_DATE;
	Clock clock = { .w = w,
					.step = sql_number_step(w),
					.day = day,
					.first = day ? FIRST_DAY : FIRST_DAY * DAY_SECONDS * MICROS,
					.last = day ? LAST_DATE : LAST_TIMESTAMP };
	int32_t left = f - (int32_t) w->in.first_feature;
	int part = 0;

	/* The part that is the feature's. */
	while (!(w->in.parts & 1u << part) || left-- > 0)
		part++;
	clock.part = (RecipePart) part;
	if (part == RECIPE_DAYS || part == RECIPE_YEAR)
		put_order(&clock);
	else
		put_part(w, clock.part);
}
