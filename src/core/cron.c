/*
 * cron.c - see cron.h.
 *
 * The time line is cut into stretches of one offset from UTC.  Within a stretch local times and instants run side by side, so
 * the next slot is the next local minute that matches; between two stretches lie local times that are missing or come twice.
 */
#include "core/cron.h"

#include <ctype.h>
#include <string.h>

#define MINUTE      60
#define DAY_SECONDS 86400
#define YEARS_AHEAD 50

/* Before an instant as far back as a stretch may tell what local times an earlier one had: no zone has ever moved by more. */
#define LOOK_BACK (3 * DAY_SECONDS)

/* ---- the calendar ---- */

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t
days_of_date(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = floor_div(y, 400);
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		   719468;
}

/* The date of a day, by the same source. */
static void
date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t era = floor_div(days + 719468, 146097);
	int64_t day_of_era = days + 719468 - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted = (5 * day_of_year + 2) / 153;

	*day = (int) (day_of_year - (153 * shifted + 2) / 5 + 1);
	*month = (int) (shifted < 10 ? shifted + 3 : shifted - 9);
	*year = year_of_era + era * 400 + (*month <= 2);
}

static int
days_of_month(int64_t year, int month)
{
	return (int) (days_of_date(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) -
				  days_of_date(year, month, 1));
}

/* ---- reading fields ---- */

typedef struct Field
{
	const char *name;
	int low, high;
	const char *names; /* of three letters each, from low on; NULL: none */
	bool may_be_last;  /* $ */
} Field;

static const Field fields[] = {
	{ "minute", 0, 59, NULL, false },
	{ "hour", 0, 23, NULL, false },
	{ "day of month", 1, 31, NULL, true },
	{ "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", false },
	{ "day of week", 0, 7, "sunmontuewedthufrisat", false },
};

enum
{
	N_FIELDS = sizeof(fields) / sizeof(fields[0])
};

static const struct
{
	const char *name;
	const char *fields;
} nicknames[] = {
	{ "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
	{ "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
	{ "@hourly", "0 * * * *" },
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next word of *text, which is moved behind it; its length, 0 at the end. */
static int
next_word(const char **text, const char **word)
{
	while (is_space(**text))
		(*text)++;
	*word = *text;
	while (**text != '\0' && !is_space(**text))
		(*text)++;
	return (int) (*text - *word);
}

static bool
same_letters(const char *a, const char *b, int n)
{
	for (int i = 0; i < n; i++)
		if (tolower((unsigned char) a[i]) != b[i])
			return false;
	return true;
}

/* A number or name at *p; -1 when there is none in the field's range. */
static int
read_value(const Field *field, const char **p, const char *end)
{
	int value = 0;

	for (int i = 0; field->names != NULL && end - *p >= 3 && field->names[3 * i] != '\0'; i++)
		if (same_letters(*p, field->names + (size_t) 3 * i, 3))
		{
			*p += 3;
			return field->low + i;
		}
	if (*p == end || !isdigit((unsigned char) **p))
		return -1;
	for (; *p < end && isdigit((unsigned char) **p) && value <= 99; (*p)++)
		value = value * 10 + (**p - '0');
	return value >= field->low && value <= field->high ? value : -1;
}

/* One element of a list: *, $, a, a-b, each but the first two with names, * and a-b with /step. */
static bool
read_element(const Field *field, const char *p, const char *end, uint64_t *set, bool *last)
{
	int from = field->low, to = field->high, step = 1;
	bool range = true;

	if (end - p == 1 && *p == '$' && field->may_be_last)
	{
		*last = true;
		return true;
	}
	if (p < end && *p == '*')
		p++;
	else
	{
		from = to = read_value(field, &p, end);
		range = p < end && *p == '-';
		if (range)
		{
			p++;
			to = read_value(field, &p, end);
		}
		if (to == 0 && field->high == 7)
			to = from == 0 ? 0 : 7; /* sat-sun */
		if (from < 0 || to < from)
			return false;
	}
	if (p < end && *p == '/' && range)
	{
		p++;
		for (step = 0; p < end && isdigit((unsigned char) *p) && step <= 99; p++)
			step = step * 10 + (*p - '0');
		if (step == 0)
			return false;
	}
	if (p != end)
		return false;
	for (int v = from; v <= to; v += step)
		*set |= UINT64_C(1) << v;
	return true;
}

/* A field, a list of elements. */
static PgmlStatus
read_field(const Field *field, const char *word, int len, uint64_t *set, bool *last,
		   PgmlError *error)
{
	const char *end = word + len;

	for (const char *p = word;; p++)
	{
		const char *comma = memchr(p, ',', (size_t) (end - p));
		const char *element_end = comma != NULL ? comma : end;

		if (!read_element(field, p, element_end, set, last))
		{
			(void) pgml_fail(error, PGML_ERR_BADARG, "invalid %s \"%.*s\" in a schedule",
							 field->name, len > 100 ? 100 : len, word);
			pgml_fail_hint(
				error,
				"Write *, numbers from %d to %d%s, ranges as 1-5, steps as */2 or 1-9/2, "
				"or several of these with commas%s.",
				field->low, field->high, field->names != NULL ? " or names" : "",
				field->may_be_last ? "; $ is the last day of the month" : "");
			return PGML_ERR_BADARG;
		}
		if (comma == NULL)
			return PGML_OK;
		p = comma;
	}
}

/* A bad argument for days that never come: one in the months that are given, in a leap year, is enough. */
static PgmlStatus
check_days(const PgmlCron *cron, PgmlError *error)
{
	uint64_t days = cron->days;

	if (cron->last_day || (!cron->both && cron->weekdays != 0))
		return PGML_OK;
	for (int month = 1; month <= 12; month++)
		for (int day = 1; (cron->months >> month & 1) && day <= days_of_month(2000, month); day++)
			if (days >> day & 1)
				return PGML_OK;
	(void) pgml_fail(error, PGML_ERR_BADARG, "no month of the schedule has such a day");
	pgml_fail_hint(error, "$ is the last day of every month.");
	return PGML_ERR_BADARG;
}

/* How schedules look. */
static PgmlStatus
fail_form(PgmlError *error, const char *what)
{
	(void) pgml_fail(error, PGML_ERR_BADARG, "%s", what);
	pgml_fail_hint(
		error, "Write minute, hour, day of month, month and day of week, as in '30 3 * * mon-fri'; "
			   "@hourly, @daily, @weekly, @monthly or @yearly; or an interval such as '6 hours'.");
	return PGML_ERR_BADARG;
}

bool
pgml_cron_is_fields(const char *text)
{
	const char *word;
	int len = next_word(&text, &word);

	if (len > 0 && (*word == '*' || *word == '@'))
		return *word == '*' || len > 1;
	/* What follows the number of an interval is a unit, or the last of two words. */
	return len > 0 && next_word(&text, &word) > 0 && !isalpha((unsigned char) *word) &&
		   next_word(&text, &word) > 0;
}

PgmlStatus
pgml_cron_parse(const char *text, PgmlCron *cron, PgmlError *error)
{
	uint64_t sets[N_FIELDS] = { 0 };
	const char *word;
	bool ignored, star[N_FIELDS];
	int len = next_word(&text, &word);

	memset(cron, 0, sizeof(*cron));
	if (len > 0 && *word == '@')
	{
		const char *rest = NULL, *extra;

		for (size_t i = 0; i < sizeof(nicknames) / sizeof(nicknames[0]); i++)
			if (strlen(nicknames[i].name) == (size_t) len &&
				same_letters(word, nicknames[i].name, len))
				rest = nicknames[i].fields;
		if (rest == NULL || next_word(&text, &extra) > 0)
			return fail_form(error, "unrecognized schedule");
		text = rest;
		len = next_word(&text, &word);
	}
	for (int i = 0; i < N_FIELDS; i++)
	{
		if (len == 0)
			return fail_form(error, "a schedule has five fields");
		star[i] = *word == '*';
		PGML_TRY(read_field(&fields[i], word, len, &sets[i],
							fields[i].may_be_last ? &cron->last_day : &ignored, error));
		len = next_word(&text, &word);
	}
	if (len > 0)
		return fail_form(error, "a schedule has five fields, and nothing behind them");
	cron->minutes = sets[0];
	cron->hours = (uint32_t) sets[1];
	cron->days = (uint32_t) sets[2];
	cron->months = (uint32_t) sets[3];
	cron->weekdays = (uint32_t) ((sets[4] | sets[4] >> 7) & 0x7f);
	cron->both = star[2] || star[4];
	return check_days(cron, error);
}

PgmlStatus
pgml_cron_interval(int32_t months, int32_t days, int64_t seconds, int64_t start, PgmlCron *cron,
				   PgmlError *error)
{
	bool whole = months == 0 || (days == 0 && seconds == 0);

	memset(cron, 0, sizeof(*cron));
	if (months < 0 || days < 0 || seconds < 0 || !whole ||
		(months == 0 && days == 0 && seconds == 0) || months > 1200 || days > 36500 ||
		seconds > INT64_C(36500) * DAY_SECONDS)
	{
		(void) pgml_fail(error, PGML_ERR_BADARG,
						 "a schedule's interval must be of one second to 100 years");
		pgml_fail_hint(
			error,
			"Write months alone, or days, hours, minutes and whole seconds, none of them negative.");
		return PGML_ERR_BADARG;
	}
	cron->step_months = months;
	cron->step_days = days;
	cron->step_seconds = seconds;
	cron->start = start;
	return PGML_OK;
}

/* ---- local times that match ---- */

static bool
day_matches(const PgmlCron *cron, int64_t day)
{
	int64_t year;
	int month, of_month;
	int weekday = (int) (((day + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	bool by_month, by_week = cron->weekdays >> weekday & 1;

	date_of_days(day, &year, &month, &of_month);
	by_month =
		(cron->days >> of_month & 1) || (cron->last_day && of_month == days_of_month(year, month));
	return (cron->months >> month & 1) && (cron->both ? by_month && by_week : by_month || by_week);
}

/* The first minute of the day, from a minute on, that matches; -1 when there is none. */
static int
minute_from(const PgmlCron *cron, int from)
{
	for (int hour = from / 60; hour < 24; hour++)
	{
		if (!(cron->hours >> hour & 1))
			continue;
		for (int minute = hour == from / 60 ? from % 60 : 0; minute < 60; minute++)
			if (cron->minutes >> minute & 1)
				return hour * 60 + minute;
	}
	return -1;
}

/* The first local time (in seconds, as if UTC) from one on that matches; PGML_CRON_NEVER when none does before a limit. */
static int64_t
local_from(const PgmlCron *cron, int64_t from, int64_t limit)
{
	int64_t minutes = floor_div(from + MINUTE - 1, MINUTE);
	int64_t day = floor_div(minutes, 1440);
	int minute = (int) (minutes - day * 1440);

	for (; day * DAY_SECONDS < limit; day++, minute = 0)
	{
		int found = day_matches(cron, day) ? minute_from(cron, minute) : -1;

		if (found >= 0)
			return day * DAY_SECONDS + (int64_t) found * MINUTE;
	}
	return PGML_CRON_NEVER;
}

/* ---- stretches of one offset ---- */

typedef struct Stretch
{
	int64_t from, until; /* instants */
	int32_t offset;
	int32_t before;     /* the offset of the stretch before */
	int64_t seen_until; /* local times below were there in earlier stretches */
} Stretch;

static Stretch
first_stretch(const PgmlZone *zone, int64_t at)
{
	Stretch s = { .from = at };

	s.offset = s.before = zone->offset(zone->arg, at, &s.until);
	s.seen_until = at + s.offset;
	return s;
}

static Stretch
next_stretch(const PgmlZone *zone, const Stretch *s)
{
	Stretch next = { .from = s->until, .before = s->offset };
	int64_t end = s->until + s->offset;

	next.offset = zone->offset(zone->arg, s->until, &next.until);
	next.seen_until = s->seen_until > end ? s->seen_until : end;
	return next;
}

static bool
is_hourly(const PgmlCron *cron)
{
	return cron->hours == 0xffffff;
}

/* The first slot of a stretch after an instant; PGML_CRON_NEVER when it has none. */
static int64_t
slot_in_stretch(const PgmlCron *cron, const Stretch *s, int64_t after, int64_t limit)
{
	int64_t from = (after + 1 > s->from ? after + 1 : s->from) + s->offset;
	int64_t end = s->until < limit ? s->until : limit;
	int64_t found = PGML_CRON_NEVER;
	int64_t local;

	/* Local times that were left out where the clock was put forward. */
	if (s->offset > s->before)
	{
		int64_t missing = s->from + s->before;

		if (after + 1 + s->before > missing)
			missing = after + 1 + s->before;
		local = local_from(cron, missing, s->from + s->offset);
		if (local < s->from + s->offset)
			found = local - s->before;
	}
	if (!is_hourly(cron) && from < s->seen_until)
		from = s->seen_until;
	local = local_from(cron, from, end + s->offset);
	if (local != PGML_CRON_NEVER && local - s->offset < found)
		found = local - s->offset;
	return found < end ? found : PGML_CRON_NEVER;
}

static int64_t
next_of_fields(const PgmlCron *cron, const PgmlZone *zone, int64_t after)
{
	int64_t limit = after + (int64_t) YEARS_AHEAD * 366 * DAY_SECONDS;
	Stretch s = first_stretch(zone, after - LOOK_BACK);

	for (;;)
	{
		int64_t found = PGML_CRON_NEVER;

		if (s.until > after)
			found = slot_in_stretch(cron, &s, after, limit);
		if (found != PGML_CRON_NEVER || s.until >= limit)
			return found;
		s = next_stretch(zone, &s);
	}
}

/* ---- intervals ---- */

/* The instant of a local time: its first occurrence, or what it would be where it is missing. */
static int64_t
instant_of(const PgmlZone *zone, int64_t local)
{
	Stretch s = first_stretch(zone, local - LOOK_BACK);

	for (;;)
	{
		if (local < s.from + s.offset)
			return local - s.before;
		if (s.until == PGML_CRON_NEVER || local < s.until + s.offset)
			return local - s.offset;
		s = next_stretch(zone, &s);
	}
}

/* The k-th slot of an interval. */
static int64_t
nth_slot(const PgmlCron *cron, const PgmlZone *zone, int64_t k)
{
	int64_t until, local, day, year;
	int month, of_month, last;

	if (cron->step_months == 0 && cron->step_days == 0)
		return cron->start + k * cron->step_seconds;
	if (k == 0)
		return cron->start;
	local = cron->start + zone->offset(zone->arg, cron->start, &until);
	if (cron->step_months == 0)
		return instant_of(
			zone, local + k * ((int64_t) cron->step_days * DAY_SECONDS + cron->step_seconds));
	day = floor_div(local, DAY_SECONDS);
	date_of_days(day, &year, &month, &of_month);
	year += floor_div(month - 1 + k * cron->step_months, 12);
	month = (int) (month - 1 + k * cron->step_months -
				   floor_div(month - 1 + k * cron->step_months, 12) * 12) +
			1;
	last = days_of_month(year, month);
	return instant_of(zone,
					  local + (days_of_date(year, month, of_month < last ? of_month : last) - day) *
								  DAY_SECONDS);
}

static int64_t
next_of_interval(const PgmlCron *cron, const PgmlZone *zone, int64_t after)
{
	/* No step is longer, so that the k-th slot is not after the instant. */
	int64_t longest = (int64_t) cron->step_months * 31 * DAY_SECONDS +
					  (int64_t) cron->step_days * DAY_SECONDS + cron->step_seconds;
	int64_t k = after < cron->start ? 0 : (after - cron->start) / longest;

	/* A day of the wall clock may be shorter or longer, and is mapped to another instant where the clock changes. */
	if (cron->step_months != 0 || cron->step_days != 0)
		k -= LOOK_BACK / DAY_SECONDS;
	for (k = k < 0 ? 0 : k;; k++)
	{
		int64_t slot = nth_slot(cron, zone, k);

		if (slot > after)
			return slot;
	}
}

int64_t
pgml_cron_next(const PgmlCron *cron, const PgmlZone *zone, int64_t after)
{
	if (cron->step_months != 0 || cron->step_days != 0 || cron->step_seconds != 0)
		return next_of_interval(cron, zone, after);
	return next_of_fields(cron, zone, after);
}
