/*
 * cron.h - when something is to happen: cron's five fields or an interval, in a time zone.
 *
 * A slot is an instant at which a schedule is due, in seconds since 1970 UTC.  The wall clock decides: at a change of the clock
 * - a time of the day that does not exist (clock put forward) becomes the instant that it would be without the change: 02:30
 *   becomes 03:30, as PostgreSQL reads it;
 * - a time that occurs twice (clock put back) is its first occurrence, but for schedules of every hour, which go on as hours do.
 * Schedules whose times fall on one instant have one slot there.
 *
 * Syntax and the meaning of the fields are cron's (crontab(5) of Vixie's cron, POSIX crontab): a day must match day of month and day
 * of week when one of the two fields begins with *, and one of the two otherwise.
 */
#ifndef PGML_CORE_CRON_H
#define PGML_CORE_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* No slot; no further change of the clock. */
#define PGML_CRON_NEVER INT64_MAX

/*
 * A time zone: the seconds east of UTC in force at an instant, and the first later instant at which that changes (*until,
 * PGML_CRON_NEVER: none).
 */
typedef struct PgmlZone
{
	int32_t (*offset)(const void *arg, int64_t utc, int64_t *until);
	const void *arg;
} PgmlZone;

/* Five fields as sets of bits, bit i for the value i; or a step, when every of its parts is not 0. */
typedef struct PgmlCron
{
	uint64_t minutes;
	uint32_t hours;
	uint32_t days; /* of the month, 1 to 31 */
	uint32_t months;
	uint32_t weekdays; /* 0 is Sunday */
	bool last_day;     /* the last day of the month, too */
	bool both;         /* days and weekdays must match */
	/* An interval: months, or days and seconds of the wall clock, or elapsed seconds alone. */
	int32_t step_months;
	int32_t step_days;
	int64_t step_seconds;
	int64_t start; /* of an interval, and a slot of it */
} PgmlCron;

/*
 * Read five fields or one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly; names of months and days
 * have three letters, $ is the last day of the month.  PGML_ERR_BADARG, naming the field, for anything else and for days that
 * never come (30 February).
 */
extern PgmlStatus pgml_cron_parse(const char *text, PgmlCron *cron, PgmlError *error);

/* Whether a text means to be fields or a nickname, and not an interval such as '1 day 2 hours'. */
extern bool pgml_cron_is_fields(const char *text);

/*
 * Slots start, start + step, ... as cron.  PGML_ERR_BADARG unless the step is months alone, or days and seconds that are not
 * negative, and not nothing.
 */
extern PgmlStatus pgml_cron_interval(int32_t months, int32_t days, int64_t seconds, int64_t start,
									 PgmlCron *cron, PgmlError *error);

/* The first slot after an instant; PGML_CRON_NEVER when there is none for 50 years. */
extern int64_t pgml_cron_next(const PgmlCron *cron, const PgmlZone *zone, int64_t after);

#endif
