/*
 * date.h - the calendar (proleptic Gregorian), and times written as text.
 */
#ifndef PGML_DATA_DATE_H
#define PGML_DATA_DATE_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds beyond this lie outside PostgreSQL's calendar and are no dates. */
#define PGML_MAX_SECONDS 1e15

typedef struct PgmlCivil
{
	int64_t year; /* astronomical: 1 BC is 0 */
	int month;    /* 1 .. 12 */
	int day;      /* 1 .. 31 */
	int weekday;  /* ISO: 1 Monday .. 7 Sunday */
	int yday;     /* 1 .. 366 */
	int hour;     /* 0 .. 23 */
	int minute;   /* 0 .. 59 */
	double second;
} PgmlCivil;

/* Calendar of seconds since 1970-01-01; |seconds| <= PGML_MAX_SECONDS. */
extern void pgml_civil(double seconds, PgmlCivil *out);

/* Days since 1970-01-01 of a date. */
extern int64_t pgml_days(int64_t year, int month, int day);

/* "10:30", "10:30:15.5", "8:00 p.m." as seconds since midnight. */
extern bool pgml_parse_time(const char *s, uint32_t len, double *seconds);

/* PostgreSQL's way to write intervals ("1 year 2 mons -3 days 04:05:06.5") in seconds as extract(epoch) counts them. */
extern bool pgml_parse_interval(const char *s, uint32_t len, double *seconds);

#endif
