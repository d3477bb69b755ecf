/*
 * test_cron.c - cron's syntax, and the slots of schedules where clocks are changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/cron.h"
#include "core/rng.h"
#include "unit.h"

#define HOUR INT64_C(3600)
#define DAY  (24 * HOUR)

/* Changes of a clock: from an instant on, an offset. */
typedef struct Change
{
	int64_t at;
	int32_t offset;
} Change;

typedef struct Changes
{
	int32_t offset; /* before the first */
	int n;
	Change changes[8];
} Changes;

static int32_t
offset_of(const void *arg, int64_t utc, int64_t *until)
{
	const Changes *c = arg;
	int32_t offset = c->offset;

	*until = PGML_CRON_NEVER;
	for (int i = 0; i < c->n; i++)
	{
		if (c->changes[i].at > utc)
		{
			*until = c->changes[i].at;
			break;
		}
		offset = c->changes[i].offset;
	}
	return offset;
}

/* Instants are written as local digits of UTC: 2026-03-08 07:00 is T(2026, 3, 8, 7, 0). */
static int64_t
T(int64_t year, int month, int day, int hour, int minute)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int64_t days = (year - 1970) * 365 + before[month - 1] + day - 1;

	for (int64_t y = 1972; y < year + (month > 2); y++)
		days += (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	return days * DAY + hour * HOUR + minute * INT64_C(60);
}

static const Changes utc = { 0, 0, { { 0, 0 } } };

/* New York in 2026: forward on 8 March at 2:00, back on 1 November at 2:00. */
static Changes
new_york(void)
{
	return (Changes){ -5 * 3600,
					  2,
					  { { T(2026, 3, 8, 7, 0), -4 * 3600 }, { T(2026, 11, 1, 6, 0), -5 * 3600 } } };
}

static PgmlCron
parsed(const char *text)
{
	PgmlCron cron;
	PgmlError error = { 0 };

	if (pgml_cron_parse(text, &cron, &error) != PGML_OK)
		fail_msg("%s: %s", text, error.message);
	return cron;
}

/* The slots after an instant are these, and each is also found from the second before it. */
static void
check_slots(const PgmlCron *cron, const Changes *changes, int64_t after, const int64_t *expected,
			int n)
{
	PgmlZone zone = { offset_of, changes };

	for (int i = 0; i < n; i++)
	{
		int64_t slot = pgml_cron_next(cron, &zone, after);

		if (slot != expected[i])
			fail_msg("slot %d is %+lld s from what it should be", i,
					 (long long) (slot - expected[i]));
		if (slot == PGML_CRON_NEVER)
			return;
		assert_int_equal(pgml_cron_next(cron, &zone, slot - 1), slot);
		after = slot;
	}
}

#define CHECK(text, changes, after, ...)                                                           \
	do                                                                                             \
	{                                                                                              \
		PgmlCron cron_ = parsed(text);                                                             \
		const int64_t expected_[] = { __VA_ARGS__ };                                               \
		check_slots(&cron_, changes, after, expected_, sizeof(expected_) / sizeof(int64_t));       \
	} while (0)

static void
test_fields(void **state)
{
	(void) state;
	CHECK("*/20 9-17/8 * * *", &utc, T(2026, 1, 31, 9, 10), T(2026, 1, 31, 9, 20),
		  T(2026, 1, 31, 9, 40), T(2026, 1, 31, 17, 0), T(2026, 1, 31, 17, 20),
		  T(2026, 1, 31, 17, 40), T(2026, 2, 1, 9, 0));
	CHECK("0 0 $ * *", &utc, T(2028, 1, 31, 0, 0), T(2028, 2, 29, 0, 0), T(2028, 3, 31, 0, 0),
		  T(2028, 4, 30, 0, 0));
	CHECK("0 0 15,$ feb *", &utc, T(2026, 1, 1, 0, 0), T(2026, 2, 15, 0, 0), T(2026, 2, 28, 0, 0));
	CHECK("0 0 29 2 *", &utc, T(2096, 3, 1, 0, 0), T(2104, 2, 29, 0, 0));
	CHECK("5 4 * * sun", &utc, T(2026, 11, 27, 0, 0), T(2026, 11, 29, 4, 5), T(2026, 12, 6, 4, 5));
	CHECK("5 4 * * 7", &utc, T(2026, 11, 27, 0, 0), T(2026, 11, 29, 4, 5));
	CHECK("5 4 * * Sat-Sun", &utc, T(2026, 11, 27, 0, 0), T(2026, 11, 28, 4, 5),
		  T(2026, 11, 29, 4, 5), T(2026, 12, 5, 4, 5));
	CHECK("0 0 * JAN,dec Mon-Fri/2", &utc, T(2026, 11, 27, 0, 0), T(2026, 12, 2, 0, 0),
		  T(2026, 12, 4, 0, 0), T(2026, 12, 7, 0, 0));
	CHECK(" \t0  12 1 1 *\n", &utc, T(2026, 1, 1, 12, 0), T(2027, 1, 1, 12, 0));
}

/* Days of the month or of the week; both, when one begins with a star. */
static void
test_days(void **state)
{
	(void) state;
	CHECK("0 0 13 * fri", &utc, T(2026, 11, 12, 0, 0), T(2026, 11, 13, 0, 0), T(2026, 11, 20, 0, 0),
		  T(2026, 11, 27, 0, 0), T(2026, 12, 4, 0, 0), T(2026, 12, 11, 0, 0),
		  T(2026, 12, 13, 0, 0));
	CHECK("0 0 */2 * fri", &utc, T(2026, 11, 12, 0, 0), T(2026, 11, 13, 0, 0),
		  T(2026, 11, 27, 0, 0), T(2026, 12, 11, 0, 0));
	CHECK("0 0 1-7 * */7", &utc, T(2026, 11, 12, 0, 0), T(2026, 12, 6, 0, 0), T(2027, 1, 3, 0, 0));
	CHECK("0 0 30 2 mon", &utc, T(2026, 1, 1, 0, 0), T(2026, 2, 2, 0, 0), T(2026, 2, 9, 0, 0));
}

static void
test_nicknames(void **state)
{
	int64_t now = T(2026, 11, 27, 4, 40); /* a Friday */

	(void) state;
	CHECK("@hourly", &utc, now, T(2026, 11, 27, 5, 0));
	CHECK("@daily", &utc, now, T(2026, 11, 28, 0, 0));
	CHECK("@MIDNIGHT", &utc, now, T(2026, 11, 28, 0, 0));
	CHECK("@weekly", &utc, now, T(2026, 11, 29, 0, 0));
	CHECK("@monthly", &utc, now, T(2026, 12, 1, 0, 0));
	CHECK("@yearly", &utc, now, T(2027, 1, 1, 0, 0));
	CHECK("@annually", &utc, now, T(2027, 1, 1, 0, 0));
}

static void
test_errors(void **state)
{
	static const char *const bad[] = { "",
									   "* * * *",
									   "* * * * * *",
									   "60 * * * *",
									   "* 24 * * *",
									   "* * 0 * *",
									   "* * 32 * *",
									   "* * * 13 *",
									   "* * * * 8",
									   "5/2 * * * *",
									   "*/0 * * * *",
									   "1- * * * *",
									   "4-1 * * * *",
									   "a * * * *",
									   "1,,2 * * * *",
									   ", * * * *",
									   "$ * * * *",
									   "* * $-1 * *",
									   "0 0 30 2 *",
									   "0 0 31 4,6,9 *",
									   "@never",
									   "@daily 1",
									   "* * * mond *",
									   "1.5 * * * *",
									   "-1 * * * *",
									   "99999999999 * * * *",
									   "*5 * * * *",
									   "* * * 1-feb-3 *" };
	static const char *const intervals[] = { "6 hours",  "1 day 2 hours 30 minutes",
											 "P1D",      "1 02:00",
											 "@ 1 hour", "" };
	PgmlCron cron;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		PgmlError error = { 0 };

		if (pgml_cron_parse(bad[i], &cron, &error) != PGML_ERR_BADARG)
			fail_msg("\"%s\" is taken for a schedule", bad[i]);
		assert_true(error.message[0] != '\0' && error.hint[0] != '\0');
	}
	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++)
		assert_false(pgml_cron_is_fields(intervals[i]));
	assert_true(pgml_cron_is_fields("0 3 * *") && pgml_cron_is_fields("@x") &&
				pgml_cron_is_fields("* 5") && pgml_cron_is_fields("1-5 2 3 4 5"));
	assert_int_equal(pgml_cron_interval(1, 1, 0, 0, &cron, NULL), PGML_ERR_BADARG);
	assert_int_equal(pgml_cron_interval(0, 0, 0, 0, &cron, NULL), PGML_ERR_BADARG);
	assert_int_equal(pgml_cron_interval(0, -1, 0, 0, &cron, NULL), PGML_ERR_BADARG);
	assert_int_equal(pgml_cron_interval(1201, 0, 0, 0, &cron, NULL), PGML_ERR_BADARG);
}

/* 02:30 does not exist on 8 March, 01:30 comes twice on 1 November. */
static void
test_clock_changes(void **state)
{
	Changes ny = new_york();
	int64_t march = T(2026, 3, 7, 12, 0), november = T(2026, 10, 31, 12, 0);

	(void) state;
	CHECK("30 2 * * *", &ny, march, T(2026, 3, 8, 7, 30), T(2026, 3, 9, 6, 30));
	CHECK("15,45 2,3 8 3 *", &ny, march, T(2026, 3, 8, 7, 15), T(2026, 3, 8, 7, 45),
		  T(2027, 3, 8, 7, 15));
	CHECK("30 1 * * *", &ny, november, T(2026, 11, 1, 5, 30), T(2026, 11, 2, 6, 30));
	CHECK("30 1,2 * * *", &ny, november, T(2026, 11, 1, 5, 30), T(2026, 11, 1, 7, 30),
		  T(2026, 11, 2, 6, 30));
	/* Every hour, by the hour. */
	CHECK("0 * * * *", &ny, T(2026, 3, 8, 5, 30), T(2026, 3, 8, 6, 0), T(2026, 3, 8, 7, 0),
		  T(2026, 3, 8, 8, 0));
	CHECK("30 * * * *", &ny, T(2026, 11, 1, 4, 30), T(2026, 11, 1, 5, 30), T(2026, 11, 1, 6, 30),
		  T(2026, 11, 1, 7, 30));
	/* What is asked in the middle of a repeated hour. */
	CHECK("30 1 * * *", &ny, T(2026, 11, 1, 5, 45), T(2026, 11, 2, 6, 30));
}

/* Samoa has left out 30 December 2011, and once had 4 July 1892 twice. */
static void
test_days_left_out(void **state)
{
	Changes samoa = { -10 * 3600, 1, { { T(2011, 12, 30, 10, 0), 14 * 3600 } } };
	Changes twice = { 12 * 3600 + 33 * 60 + 4, 1, { { 1000 * DAY, -(11 * 3600 + 26 * 60 + 56) } } };

	(void) state;
	CHECK("0 6 * * *", &samoa, T(2011, 12, 29, 0, 0), T(2011, 12, 29, 16, 0),
		  T(2011, 12, 30, 16, 0), T(2011, 12, 31, 16, 0));
	CHECK("0 6 30 12 *", &samoa, T(2011, 12, 1, 0, 0), T(2011, 12, 30, 16, 0),
		  T(2012, 12, 29, 16, 0));
	CHECK("0 0 * * *", &twice, 1000 * DAY - 14 * HOUR, 1000 * DAY - 12 * HOUR - 33 * 60 - 4,
		  1001 * DAY + 11 * HOUR + 26 * 60 + 56);
}

static void
check_interval(int32_t months, int32_t days, int64_t seconds, int64_t start, const Changes *changes,
			   int64_t after, const int64_t *expected, int n)
{
	PgmlCron cron;

	assert_int_equal(pgml_cron_interval(months, days, seconds, start, &cron, NULL), PGML_OK);
	check_slots(&cron, changes, after, expected, n);
}

#define CHECK_INTERVAL(months, days, seconds, start, changes, after, ...)                          \
	do                                                                                             \
	{                                                                                              \
		const int64_t expected_[] = { __VA_ARGS__ };                                               \
		check_interval(months, days, seconds, start, changes, after, expected_,                    \
					   sizeof(expected_) / sizeof(int64_t));                                       \
	} while (0)

static void
test_intervals(void **state)
{
	Changes ny = new_york();
	int64_t start = T(2026, 3, 7, 7, 30); /* 02:30 in New York */

	(void) state;
	/* Elapsed hours, days and months of the wall clock. */
	CHECK_INTERVAL(0, 0, 24 * HOUR, start, &ny, start, T(2026, 3, 8, 7, 30), T(2026, 3, 9, 7, 30));
	CHECK_INTERVAL(0, 1, 0, start, &ny, start - 1, start, T(2026, 3, 8, 7, 30),
				   T(2026, 3, 9, 6, 30));
	CHECK_INTERVAL(0, 1, 12 * HOUR, start, &ny, start, T(2026, 3, 8, 18, 30),
				   T(2026, 3, 10, 6, 30));
	CHECK_INTERVAL(1, 0, 0, T(2026, 1, 31, 5, 0), &ny, T(2026, 1, 31, 5, 0), T(2026, 2, 28, 5, 0),
				   T(2026, 3, 31, 4, 0), T(2026, 4, 30, 4, 0));
	CHECK_INTERVAL(12, 0, 0, T(2024, 2, 29, 5, 0), &utc, T(2030, 6, 1, 0, 0), T(2031, 2, 28, 5, 0),
				   T(2032, 2, 29, 5, 0));
	CHECK_INTERVAL(0, 0, 1, 0, &utc, T(2030, 1, 1, 0, 0), T(2030, 1, 1, 0, 0) + 1);
	CHECK_INTERVAL(0, 0, 7 * HOUR, start, &utc, start - 100 * DAY, start, start + 7 * HOUR);
}

/* The slots of a random schedule by trying every minute, in a zone with random changes. */
static int64_t
next_by_trial(const PgmlCron *cron, const Changes *changes, int64_t after, int64_t limit)
{
	PgmlZone zone = { offset_of, changes };
	PgmlZone local = { offset_of, &utc };
	int64_t best = PGML_CRON_NEVER, until;

	/* Local minutes, each to its instant. */
	for (int64_t l = after - 2 * DAY - (after % 60); l < limit + 2 * DAY; l += 60)
	{
		int64_t first = PGML_CRON_NEVER, second = PGML_CRON_NEVER, missing = PGML_CRON_NEVER;

		if (pgml_cron_next(cron, &local, l - 1) != l)
			continue;
		for (int i = -1; i < changes->n; i++)
		{
			int32_t offset = i < 0 ? changes->offset : changes->changes[i].offset;
			int64_t u = l - offset;

			if (zone.offset(zone.arg, u, &until) != offset)
				continue;
			if (u < first)
			{
				second = first;
				first = u;
			}
			else if (u > first)
				second = u;
		}
		for (int i = 0; i < changes->n; i++)
		{
			int32_t before = i == 0 ? changes->offset : changes->changes[i - 1].offset;

			if (l >= changes->changes[i].at + before &&
				l < changes->changes[i].at + changes->changes[i].offset)
				missing = l - before;
		}
		if (first == PGML_CRON_NEVER)
			first = missing;
		if (first > after && first < best)
			best = first;
		if (cron->hours == 0xffffff && second > after && second < best)
			best = second;
	}
	return best;
}

static void
test_by_trial(void **state)
{
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 7, 0);
	for (int round = 0; round < 60; round++)
	{
		int64_t start = T(2026, 1, 1, 0, 0);
		Changes changes = { (int32_t) pgml_rng_below(&rng, 49) * 1800 - 12 * 3600,
							2,
							{ { start + 2 * DAY + (int64_t) pgml_rng_below(&rng, 48) * 1800, 0 },
							  { start + 6 * DAY, 0 } } };
		PgmlCron cron = parsed("* * * * *");
		PgmlZone zone = { offset_of, &changes };
		int64_t after = start;

		for (int i = 0; i < 2; i++)
			changes.changes[i].offset = (i == 0 ? changes.offset : changes.changes[0].offset) +
										((int32_t) pgml_rng_below(&rng, 9) - 4) * 1800;
		cron.minutes = UINT64_C(1) << pgml_rng_below(&rng, 60) | UINT64_C(1)
																	 << pgml_rng_below(&rng, 60);
		if (round % 3 != 0)
			cron.hours = 1U << pgml_rng_below(&rng, 24) | 1U << pgml_rng_below(&rng, 4);
		for (int i = 0; i < 6; i++)
		{
			int64_t slot = pgml_cron_next(&cron, &zone, after);

			assert_int_equal(slot, next_by_trial(&cron, &changes, after, after + 2 * DAY));
			after = slot;
		}
	}
}

int
test_cron(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),        cmocka_unit_test(test_days),
		cmocka_unit_test(test_nicknames),     cmocka_unit_test(test_errors),
		cmocka_unit_test(test_clock_changes), cmocka_unit_test(test_days_left_out),
		cmocka_unit_test(test_intervals),     cmocka_unit_test(test_by_trial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
