#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "data/date.h"
#include "data/value.h"

static bool
number(const char *s, double *v)
{
	return pgml_parse_number(s, (uint32_t) strlen(s), v);
}

/* Everything people write for numbers, by its value. */
static void
reads_numbers(void **state)
{
	static const struct
	{
		const char *text;
		double value;
	} good[] = { { "0", 0 },
				 { "42", 42 },
				 { " 42\t", 42 },
				 { "-7", -7 },
				 { "+7", 7 },
				 { ".28", 0.28 },
				 { "5.", 5 },
				 { "1,234.5", 1234.5 },
				 { "1,234,567", 1234567 },
				 { "-1,234", -1234 },
				 { "$12", 12 },
				 { "-$5", -5 },
				 { "$-5", -5 },
				 { "($1,234.50)", -1234.5 },
				 { "(12)", -12 },
				 { "€ 3.5", 3.5 },
				 { "3.5€", 3.5 },
				 { "£10", 10 },
				 { "¥100", 100 },
				 { "USD 12", 12 },
				 { "12 EUR", 12 },
				 { "45%", 45 },
				 { "45 %", 45 },
				 { "-0.5%", -0.5 },
				 { "1e3", 1000 },
				 { "1.5E-3", 0.0015 },
				 { "00123", 123 },
				 { "1e-400", 0 },
				 { "1.7976931348623157e308", 1.7976931348623157e308 },
				 { "123456789012345678901234567890", 123456789012345678901234567890.0 },
				 { "0.1234567890123456789", 0.1234567890123456789 } };

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		double v = NAN;
		if (!number(good[i].text, &v) || v != good[i].value)
			fail_msg("%s reads as %.17g", good[i].text, v);
	}
}

static void
refuses_what_is_no_number(void **state)
{
	static const char *const bad[] = { "",       " ",        "abc",    "1,5",   "0,123",    "12,34",
									   "1,2345", "1234,567", "1,,234", "1.2.3", "--5",      "-+5",
									   "(-5)",   "$",        "%",      "$5%",   "5 5",      "1e",
									   "e5",     "1e+",      "0x1F",   "inf",   "Infinity", "nan",
									   "1e999",  ".",        "-",      "5-",    "1_000",    "12abc",
									   "()",     "( )",      "$$5",    "5$€",   "1,234e2x", "١٢" };
	char *longest = malloc(2000);

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		double v;
		if (number(bad[i], &v))
			fail_msg("\"%s\" reads as %.17g", bad[i], v);
	}
	memset(longest, '1', 2000);
	double v;
	assert_false(pgml_parse_number(longest, 2000, &v));
	free(longest);
}

/* Printing and reading give the same double back, and the reading agrees with strtod. */
static void
numbers_round_trip(void **state)
{
	PgmlRng rng;
	char buf[64];

	(void) state;
	pgml_rng_init(&rng, 7, 1);
	for (int i = 0; i < 20000; i++)
	{
		PgmlValue v = { .kind = PGML_KIND_NUMBER };
		double back;
		uint64_t bits = pgml_rng_next(&rng);

		if (i % 2 == 0)
			memcpy(&v.num, &bits, sizeof(bits));
		else
			v.num = (double) (int64_t) (bits >> 40) / 1000.0;
		if (!isfinite(v.num))
			continue;
		uint32_t len = pgml_value_print(&v, buf, sizeof(buf));
		assert_int_equal(len, strlen(buf));
		assert_true(pgml_parse_number(buf, len, &back));
		assert_true(back == v.num);
		assert_true(strtod(buf, NULL) == v.num);
	}
}

static void
prints_like_postgres(void **state)
{
	static const struct
	{
		PgmlKind kind;
		double num;
		const char *text;
	} cases[] = { { PGML_KIND_NUMBER, 1, "1" },
				  { PGML_KIND_NUMBER, -0.0, "0" },
				  { PGML_KIND_NUMBER, 0.1, "0.1" },
				  { PGML_KIND_NUMBER, 100000, "100000" },
				  { PGML_KIND_NUMBER, 1e16, "10000000000000000" },
				  { PGML_KIND_NUMBER, 1e-5, "1e-05" },
				  { PGML_KIND_NUMBER, 1e300, "1e+300" },
				  { PGML_KIND_NUMBER, INFINITY, "Infinity" },
				  { PGML_KIND_BOOL, 1, "true" },
				  { PGML_KIND_BOOL, 0, "false" },
				  { PGML_KIND_DATE, 0, "1970-01-01" },
				  { PGML_KIND_DATE, 1709942400, "2024-03-09" },
				  { PGML_KIND_TIMESTAMP, 1709980200, "2024-03-09 10:30:00" },
				  { PGML_KIND_TIMESTAMP, 1709980200.25, "2024-03-09 10:30:00.25" },
				  { PGML_KIND_TIMESTAMP, -0.5, "1969-12-31 23:59:59.5" },
				  { PGML_KIND_TIME, 37800, "10:30:00" } };

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char buf[64];
		PgmlValue v = { .kind = cases[i].kind, .num = cases[i].num };
		pgml_value_print(&v, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].text);
	}
	char small[4];
	PgmlValue v = { .kind = PGML_KIND_NUMBER, .num = 123456 };
	assert_int_equal(pgml_value_print(&v, small, sizeof(small)), 3);
	assert_string_equal(small, "123");
	v = (PgmlValue){ .kind = PGML_KIND_TEXT, .str = "ab\xc3\xa9", .len = 4 };
	assert_int_equal(pgml_value_print(&v, small, sizeof(small)), 2);
	assert_string_equal(small, "ab");
}

static bool
date(const char *s, bool day_first, double *v)
{
	return pgml_parse_date(s, (uint32_t) strlen(s), day_first, v);
}

static void
reads_dates(void **state)
{
	const double march9 = 1709942400;
	static const char *const march9_texts[] = { "2024-03-09",
												"2024/03/09",
												"2024.3.9",
												"20240309",
												"09.03.2024",
												"9.3.2024",
												"03/09/2024",
												"3/9/24",
												"9 Mar 2024",
												"9 March, 2024",
												"Mar 9, 2024",
												"march 9 2024",
												"09-Mar-2024",
												"9-mar-24",
												" 2024-03-09 ",
												"2024-03-09 00:00",
												"2024-03-09T00:00:00Z",
												"2024-03-09 02:00:00+02",
												"2024-03-08 18:30:00-05:30",
												"3/9/2024 12:00 AM",
												"2024-03-09 00:00:00 UTC" };
	double v;

	(void) state;
	for (size_t i = 0; i < sizeof(march9_texts) / sizeof(march9_texts[0]); i++)
	{
		v = NAN;
		if (!date(march9_texts[i], false, &v) || v != march9)
			fail_msg("%s reads as %.17g", march9_texts[i], v);
	}
	assert_true(date("09/03/2024", true, &v) && v == march9);
	assert_true(date("09-03-2024", true, &v) && v == march9);
	assert_true(date("2024-03-09 10:30:15.5", false, &v) && v == march9 + 37815.5);
	assert_true(date("6/30/2014 8:00 PM", false, &v) && v == 1404158400);
	assert_true(date("2024-03", false, &v) && v == 1709251200);
	assert_true(date("01-Jan-1995", false, &v) && v == 788918400);
	assert_true(date("1969-12-31", false, &v) && v == -86400);
	assert_true(date("2000-02-29", false, &v) && v == 951782400);
	assert_true(date("12 sept 1999", false, &v));
	assert_true(date("1/2/70", false, &v) && v == 86400);
}

static void
refuses_what_is_no_date(void **state)
{
	static const char *const bad[] = { "",
									   "2024",
									   "2024-13-01",
									   "2024-02-30",
									   "1900-02-29",
									   "0000-00-00",
									   "13/13/2024",
									   "10-12-13",
									   "1.2.14",
									   "12345678",
									   "18000101",
									   "20241301",
									   "2024-03-09x",
									   "2024-03-09 25:00",
									   "2024-03-09 10:61",
									   "9 Foo 2024",
									   "Mar 2024",
									   "2024-3-",
									   "2024-03-09,",
									   "3/9",
									   "abc",
									   "10:30",
									   "1,234.5",
									   "2024-03-09 13:00 PM",
									   "2024-03-09 10:30 CET",
									   "192.168.10.1",
									   "555-123-4567" };

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		double v;
		if (date(bad[i], false, &v) || date(bad[i], true, &v))
			fail_msg("\"%s\" reads as %.17g", bad[i], v);
	}
}

/* The calendar and its inverse over four centuries and far away. */
static void
calendar_inverts(void **state)
{
	int weekday = 4;

	(void) state;
	for (int64_t day = 0; day < 150000; day++, weekday = weekday % 7 + 1)
	{
		PgmlCivil c;
		pgml_civil((double) day * 86400.0 + 86399.0, &c);
		assert_int_equal(pgml_days(c.year, c.month, c.day), day);
		assert_int_equal(c.weekday, weekday);
		assert_int_equal(c.hour, 23);
		assert_int_equal(c.yday, day - pgml_days(c.year, 1, 1) + 1);
		pgml_civil(-(double) day * 86400.0, &c);
		assert_int_equal(pgml_days(c.year, c.month, c.day), -day);
	}
	PgmlCivil c;
	pgml_civil(PGML_MAX_SECONDS, &c);
	assert_in_range(c.month, 1, 12);
	pgml_civil(-PGML_MAX_SECONDS, &c);
	assert_in_range(c.day, 1, 31);
	pgml_civil(-1e-9, &c);
	assert_int_equal(c.year, 1969);
	assert_int_equal(c.hour, 23);
}

static void
reads_times_and_intervals(void **state)
{
	static const struct
	{
		const char *text;
		double seconds;
	} intervals[] = { { "1 day", 86400 },
					  { "-1 days", -86400 },
					  { "04:05:06.5", 14706.5 },
					  { "-04:00:00", -14400 },
					  { "120:00:00", 432000 },
					  { "1 year 2 mons 3 days 04:05:06", 31557600 + 5184000 + 259200 + 14706 },
					  { "2 hours 30 minutes", 9000 },
					  { "1 week", 604800 },
					  { "90", 90 } };
	double v;

	(void) state;
	assert_true(pgml_parse_time("8:00 p.m.", 9, &v) && v == 72000);
	assert_true(pgml_parse_time("12:00 AM", 8, &v) && v == 0);
	assert_true(pgml_parse_time("23:59:59.5", 10, &v) && v == 86399.5);
	assert_false(pgml_parse_time("24:00", 5, &v));
	assert_false(pgml_parse_time("10", 2, &v));
	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++)
	{
		const char *s = intervals[i].text;
		v = NAN;
		if (!pgml_parse_interval(s, (uint32_t) strlen(s), &v) || v != intervals[i].seconds)
			fail_msg("%s reads as %.17g", s, v);
	}
	assert_false(pgml_parse_interval("", 0, &v));
	assert_false(pgml_parse_interval("1 dayz", 6, &v));
	assert_false(pgml_parse_interval("soon", 4, &v));
}

static void
knows_markers(void **state)
{
	static const char *const pure[] = { "",    "  ",   "?", " ? ",  "NA", "n/a",
										"NaN", "NULL", "-", "#N/A", "\\N" };
	static const char *const words[] = { "none", "Unknown", "UNK", "missing" };
	static const char *const values[] = {
		"0",       "nothing", "nap",
		"n",       "other",   "no",
		"Ongoing", "--x",     "a text that is longer than any marker"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(pure) / sizeof(pure[0]); i++)
	{
		assert_true(pgml_is_pure_missing_marker(pure[i], (uint32_t) strlen(pure[i])));
		assert_true(pgml_is_missing_marker(pure[i], (uint32_t) strlen(pure[i])));
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		assert_false(pgml_is_pure_missing_marker(words[i], (uint32_t) strlen(words[i])));
		assert_true(pgml_is_missing_marker(words[i], (uint32_t) strlen(words[i])));
	}
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_false(pgml_is_missing_marker(values[i], (uint32_t) strlen(values[i])));
}

/* Zero bytes are no end of the text. */
static void
takes_zero_bytes_for_text(void **state)
{
	double v;

	(void) state;
	assert_false(pgml_is_missing_marker("null\0\0\0\0\0\0", 10));
	assert_false(pgml_is_missing_marker("none\0\0\0\0\0\0", 10));
	assert_false(pgml_is_missing_marker("\0", 1));
	assert_false(pgml_parse_number("12\0", 3, &v));
	assert_false(pgml_parse_date("2024-03-09\0", 11, false, &v));
	assert_false(pgml_parse_interval("1 day\0", 6, &v));
}

/* Random bytes and every prefix of good texts: no crash, no reading past the end (the sanitizer watches). */
static void
survives_random_bytes(void **state)
{
	static const char alphabet[] = "0123456789.,-+/:eE%$() TZaprmJnulo\0\xe2\x82\xac";
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 3, 1);
	for (int i = 0; i < 200000; i++)
	{
		uint32_t len = (uint32_t) pgml_rng_below(&rng, 24);
		char *s = malloc(len == 0 ? 1 : len);
		double v;
		for (uint32_t k = 0; k < len; k++)
			s[k] = alphabet[pgml_rng_below(&rng, sizeof(alphabet) - 1)];
		if (pgml_parse_number(s, len, &v))
			assert_true(isfinite(v));
		if (pgml_parse_date(s, len, i % 2 == 0, &v))
			assert_true(fabs(v) <= PGML_MAX_SECONDS);
		if (pgml_parse_time(s, len, &v))
			assert_true(v >= 0 && v <= 86400 + 1);
		if (pgml_parse_interval(s, len, &v))
			assert_true(!isnan(v));
		pgml_is_missing_marker(s, len);
		assert_true(pgml_clip(s, len, 5) <= 5);
		free(s);
	}
}

static void
clips_between_characters(void **state)
{
	(void) state;
	assert_int_equal(pgml_clip("abc", 3, 5), 3);
	assert_int_equal(pgml_clip("abcdef", 6, 5), 5);
	assert_int_equal(pgml_clip("abcd\xe2\x82\xac", 7, 6), 4);
	assert_int_equal(pgml_clip("abcd\xe2\x82\xac", 7, 5), 4);
	assert_int_equal(pgml_clip("\x80\x80\x80\x80\x80\x80", 6, 5), 1);
	assert_string_equal(pgml_kind_name(PGML_KIND_TIMESTAMP), "timestamp");
	assert_string_equal(pgml_kind_name((PgmlKind) 99), "unknown");
}

int
test_value(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_numbers),         cmocka_unit_test(refuses_what_is_no_number),
		cmocka_unit_test(numbers_round_trip),    cmocka_unit_test(prints_like_postgres),
		cmocka_unit_test(reads_dates),           cmocka_unit_test(refuses_what_is_no_date),
		cmocka_unit_test(calendar_inverts),      cmocka_unit_test(reads_times_and_intervals),
		cmocka_unit_test(knows_markers),         cmocka_unit_test(takes_zero_bytes_for_text),
		cmocka_unit_test(survives_random_bytes), cmocka_unit_test(clips_between_characters)
	};

	return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
