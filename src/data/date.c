/*
 * date.c - the calendar, and reading dates, times and intervals.
 */
#include "data/date.h"

#include <math.h>
#include <string.h>

#include "data/value.h"

/* A text being read from the front. */
typedef struct Scan
{
	const char *p;
	const char *end;
} Scan;

/* True when a digit is next. */
static bool
at_digit(const Scan *sc)
{
	return sc->p < sc->end && *sc->p >= '0' && *sc->p <= '9';
}

/* True when an ASCII letter is next. */
static bool
at_letter(const Scan *sc)
{
	return sc->p < sc->end && pgml_fold(*sc->p) >= 'a' && pgml_fold(*sc->p) <= 'z';
}

/* Step over c when it is next. */
static bool
take(Scan *sc, char c)
{
	if (sc->p == sc->end || *sc->p != c)
		return false;
	sc->p++;
	return true;
}

/* Step over blanks; true when there were any. */
static bool
take_blanks(Scan *sc)
{
	const char *from = sc->p;

	while (sc->p < sc->end && pgml_is_blank(*sc->p))
		sc->p++;
	return sc->p > from;
}

/* Read up to max digits; returns their number. */
static int
take_digits(Scan *sc, int max, int *value)
{
	int n = 0;

	*value = 0;
	while (n < max && at_digit(sc))
	{
		*value = *value * 10 + (*sc->p++ - '0');
		n++;
	}
	return n;
}

/* Read the name of a month, three letters or whole ("sept" too); 0 when there is none. */
static int
take_month(Scan *sc)
{
	static const char *const names[] = { "january",   "february", "march",    "april",
										 "may",       "june",     "july",     "august",
										 "september", "october",  "november", "december" };
	char word[10];
	size_t n = 0;

	while (at_letter(sc) && n < sizeof(word) - 1)
		word[n++] = pgml_fold(*sc->p++);
	word[n] = '\0';
	if (at_letter(sc) || n < 3)
		return 0;
	for (int m = 0; m < 12; m++)
	{
		size_t full = strlen(names[m]);
		bool shortened = n == 3 || n == full || (m == 8 && n == 4);
		if (shortened && strncmp(word, names[m], n) == 0)
		{
			take(sc, '.');
			return m + 1;
		}
	}
	return 0;
}

/* Days from civil date, valid for any year (Hinnant's shift to years that begin in March). */
int64_t
pgml_days(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t yoe = year - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

/* The way back, with the time of day. */
void
pgml_civil(double seconds, PgmlCivil *out)
{
	int64_t days = (int64_t) floor(seconds / 86400.0);
	double rest = seconds - (double) days * 86400.0;

	/* The quotient was rounded: a moment before midnight may have become midnight. */
	if (rest < 0)
	{
		days--;
		rest += 86400.0;
	}
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	out->day = (int) (doy - (153 * mp + 2) / 5 + 1);
	out->month = (int) (mp < 10 ? mp + 3 : mp - 9);
	out->year = yoe + era * 400 + (out->month <= 2);
	out->yday = (int) (days - pgml_days(out->year, 1, 1) + 1);
	int64_t weekday = (days + 3) % 7; /* 1970-01-01 was a Thursday */
	out->weekday = (int) (weekday < 0 ? weekday + 7 : weekday) + 1;
	out->hour = (int) (rest / 3600.0);
	if (out->hour > 23)
		out->hour = 23;
	rest -= out->hour * 3600.0;
	out->minute = (int) (rest / 60.0);
	if (out->minute > 59)
		out->minute = 59;
	out->second = rest - out->minute * 60.0;
}

/* Days of a month. */
static int
month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Read a year of four digits, or of two where the form allows it (70-99 are 19xx, as PostgreSQL reads them). */
static bool
take_year(Scan *sc, bool two, int *year)
{
	int n = take_digits(sc, 4, year);

	if (n == 2 && two)
	{
		*year += *year < 70 ? 2000 : 1900;
		return true;
	}
	return n == 4;
}

/* "9 Mar 2024", "01-Jan-95": what follows the day. */
static bool
after_day(Scan *sc, char separator, int *y, int *m)
{
	*m = take_month(sc);
	if (*m == 0)
		return false;
	if (separator != ' ')
		return take(sc, separator) && take_year(sc, true, y);
	take(sc, ',');
	return take_blanks(sc) && take_year(sc, false, y);
}

/* "2024-03-09" and, when nothing follows, "2024-03": what follows the year. */
static bool
after_year(Scan *sc, char separator, int *m, int *d)
{
	if (take_digits(sc, 2, m) == 0)
		return false;
	if (take(sc, separator))
		return take_digits(sc, 2, d) > 0;
	*d = 1;
	return separator == '-' && sc->p == sc->end && sc->p[-2] != '-';
}

/* "03/09/2024", "09.03.2024": what follows the first number a. */
static bool
after_first(Scan *sc, char separator, bool day_first, int a, int *y, int *m, int *d)
{
	int b;

	if (take_digits(sc, 2, &b) == 0 || !take(sc, separator) || !take_year(sc, separator == '/', y))
		return false;
	day_first |= separator == '.';
	*d = day_first ? a : b;
	*m = day_first ? b : a;
	return true;
}

/* "20240309", in the years in which such numbers are more likely dates than anything else. */
static bool
compact_date(Scan *sc, int *y, int *m, int *d)
{
	Scan at = *sc;

	if (take_digits(&at, 4, y) != 4 || take_digits(&at, 2, m) != 2 || take_digits(&at, 2, d) != 2)
		return false;
	if (at_digit(&at) || *y < 1900 || *y > 2099)
		return false;
	*sc = at;
	return true;
}

/* The date at the front of the text, in any form. */
static bool
take_date(Scan *sc, bool day_first, int *y, int *m, int *d)
{
	if (at_letter(sc))
	{
		*m = take_month(sc);
		if (*m == 0 || !take_blanks(sc) || take_digits(sc, 2, d) == 0)
			return false;
		take(sc, ',');
		return take_blanks(sc) && take_year(sc, false, y);
	}
	if (compact_date(sc, y, m, d))
		return true;

	int a;
	int n = take_digits(sc, 4, &a);
	if (n == 0 || n == 3 || sc->p == sc->end)
		return false;
	char separator = *sc->p;
	if (pgml_is_blank(separator))
	{
		take_blanks(sc);
		*d = a;
		return n <= 2 && after_day(sc, ' ', y, m);
	}
	if (separator != '-' && separator != '/' && separator != '.')
		return false;
	sc->p++;
	if (n == 4)
	{
		*y = a;
		return after_year(sc, separator, m, d);
	}
	if (at_letter(sc))
	{
		*d = a;
		return after_day(sc, separator, y, m);
	}
	return after_first(sc, separator, day_first, a, y, m, d);
}

/* "am", "p.m." ... behind a time; changes the hour. False when the hour does not fit. */
static bool
take_half(Scan *sc, int *hour)
{
	Scan at = *sc;

	take_blanks(&at);
	if (!at_letter(&at))
		return true;
	char half = pgml_fold(*at.p++);
	if (half != 'a' && half != 'p')
		return true;
	take(&at, '.');
	if (at.p == at.end || pgml_fold(*at.p) != 'm')
		return true;
	at.p++;
	take(&at, '.');
	if (*hour < 1 || *hour > 12)
		return false;
	*hour = *hour % 12 + (half == 'p' ? 12 : 0);
	*sc = at;
	return true;
}

/* "10:30", "10:30:15.5", "8:00 p.m.". */
static bool
take_time(Scan *sc, double *seconds)
{
	int hour, minute;
	int second = 0;
	double fraction = 0;

	if (take_digits(sc, 2, &hour) == 0 || !take(sc, ':') || take_digits(sc, 2, &minute) != 2)
		return false;
	if (take(sc, ':'))
	{
		if (take_digits(sc, 2, &second) != 2)
			return false;
		if (take(sc, '.'))
		{
			double scale = 0.1;
			if (!at_digit(sc))
				return false;
			for (; at_digit(sc); scale *= 0.1)
				fraction += scale * (*sc->p++ - '0');
		}
	}
	if (!take_half(sc, &hour) || hour > 23 || minute > 59 || second > 60)
		return false;
	*seconds = hour * 3600.0 + minute * 60.0 + second + fraction;
	return true;
}

/* "Z", "UTC", "+02", "-05:30" or nothing; *seconds east of Greenwich. */
static bool
take_zone(Scan *sc, double *seconds)
{
	*seconds = 0;
	take_blanks(sc);
	if (take(sc, 'Z') || take(sc, 'z') || sc->p == sc->end)
		return true;
	if (sc->end - sc->p == 3 && (memcmp(sc->p, "UTC", 3) == 0 || memcmp(sc->p, "GMT", 3) == 0))
	{
		sc->p = sc->end;
		return true;
	}
	int sign = take(sc, '-') ? -1 : take(sc, '+') ? 1 : 0;
	int hours;
	int minutes = 0;
	if (sign == 0 || take_digits(sc, 2, &hours) != 2)
		return false;
	bool colon = take(sc, ':');
	if ((colon || at_digit(sc)) && take_digits(sc, 2, &minutes) != 2)
		return false;
	*seconds = sign * (hours * 3600.0 + minutes * 60.0);
	return hours <= 15 && minutes <= 59;
}

/* See value.h. */
bool
pgml_parse_date(const char *s, uint32_t len, bool day_first, double *value)
{
	int y, m, d;
	double time = 0;
	double zone = 0;

	pgml_trim(&s, &len);
	Scan sc = { s, s + len };
	if (len < 6 || len > 64 || !take_date(&sc, day_first, &y, &m, &d))
		return false;
	if (y < 1 || m < 1 || m > 12 || d < 1 || d > month_days(y, m))
		return false;
	if (sc.p < sc.end)
	{
		bool comma = take(&sc, ',');
		if (!take_blanks(&sc) && (comma || (!take(&sc, 'T') && !take(&sc, 't'))))
			return false;
		if (!take_time(&sc, &time) || !take_zone(&sc, &zone))
			return false;
	}
	*value = (double) pgml_days(y, m, d) * 86400.0 + time - zone;
	return sc.p == sc.end;
}

/* See date.h. */
bool
pgml_parse_time(const char *s, uint32_t len, double *seconds)
{
	pgml_trim(&s, &len);
	Scan sc = { s, s + len };
	return len <= 32 && take_time(&sc, seconds) && sc.p == sc.end;
}

/* Seconds in a unit of an interval, as extract(epoch) counts them; 0 when it is none. */
static double
unit_seconds(const char *s, uint32_t len)
{
	static const struct
	{
		const char *name;
		double seconds;
	} units[] = { { "year", 31557600 }, { "mon", 2592000 }, { "month", 2592000 },
				  { "week", 604800 },   { "day", 86400 },   { "hour", 3600 },
				  { "min", 60 },        { "minute", 60 },   { "sec", 1 },
				  { "second", 1 } };

	if (len > 1 && pgml_fold(s[len - 1]) == 's')
		len--;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		uint32_t k = 0;
		while (k < len && units[i].name[k] != '\0' && pgml_fold(s[k]) == units[i].name[k])
			k++;
		if (k == len && units[i].name[k] == '\0')
			return units[i].seconds;
	}
	return 0;
}

/* "-04:05:06.5" with any number of hours. */
static bool
interval_clock(const char *s, uint32_t len, double *seconds)
{
	Scan sc = { s, s + len };
	int sign = take(&sc, '-') ? -1 : 1;
	int hours;
	double rest;

	take(&sc, '+');
	if (take_digits(&sc, 9, &hours) == 0 || sc.p == sc.end || *sc.p != ':')
		return false;
	/* Minutes and seconds are those of a time of day whose hour is the last digit read. */
	sc.p--;
	int last = *sc.p - '0';
	if (!take_time(&sc, &rest) || sc.p != sc.end)
		return false;
	*seconds = sign * ((hours - last) * 3600.0 + rest);
	return true;
}

/* See date.h. */
bool
pgml_parse_interval(const char *s, uint32_t len, double *seconds)
{
	double total = 0;
	double count = 0;
	bool open = false; /* a count waits for its unit */

	pgml_trim(&s, &len);
	if (len == 0 || len > 128)
		return false;
	while (len > 0)
	{
		uint32_t n = 0;
		double v;
		while (n < len && !pgml_is_blank(s[n]))
			n++;
		if (open)
		{
			v = unit_seconds(s, n);
			if (v == 0)
				return false;
			total += count * v;
			open = false;
		}
		else if (memchr(s, ':', n) != NULL)
		{
			if (!interval_clock(s, n, &v))
				return false;
			total += v;
		}
		else if (pgml_parse_number(s, n, &count))
			open = true;
		else
			return false;
		s += n;
		len -= n;
		pgml_trim(&s, &len);
	}
	/* A number alone counts seconds. */
	*seconds = total + (open ? count : 0);
	return true;
}
