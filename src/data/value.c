/*
 * value.c - input values: their kinds, numbers as people type them, markers of missing, printing.
 */
#include "data/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/date.h"

/* Longest text that can be a number: jsonb prints tiny numbers with hundreds of zeros. */
#define MAX_NUMBER_LEN 500

/* Name of a kind for people. */
const char *
pgml_kind_name(PgmlKind kind)
{
	switch (kind)
	{
		case PGML_KIND_BOOL:
			return "boolean";
		case PGML_KIND_NUMBER:
			return "number";
		case PGML_KIND_TEXT:
			return "text";
		case PGML_KIND_DATE:
			return "date";
		case PGML_KIND_TIMESTAMP:
			return "timestamp";
		case PGML_KIND_TIME:
			return "time";
		case PGML_KIND_INTERVAL:
			return "interval";
	}
	return "unknown";
}

/* Drop blanks at both ends. */
void
pgml_trim(const char **s, uint32_t *len)
{
	while (*len > 0 && pgml_is_blank((*s)[*len - 1]))
		(*len)--;
	while (*len > 0 && pgml_is_blank(**s))
	{
		(*s)++;
		(*len)--;
	}
}

/* Shorten a text without cutting a UTF-8 character. */
uint32_t
pgml_clip(const char *s, uint32_t len, uint32_t max)
{
	if (len <= max)
		return len;
	uint32_t cut = max;
	while (cut > 0 && max - cut < 4 && ((unsigned char) s[cut] & 0xC0) == 0x80)
		cut--;
	return cut;
}

int
pgml_shown(const char *s, uint32_t max)
{
	return (int) pgml_clip(s, (uint32_t) strlen(s), max);
}

/* See value.h. */
uint32_t
pgml_clip_end(const char *s, uint32_t len)
{
	uint32_t start = len; /* of the last character */

	while (start > 0 && len - start < 3 && ((unsigned char) s[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return len;
	start--;
	unsigned char lead = (unsigned char) s[start];
	uint32_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
	return size > len - start ? start : len;
}

/* True when s equals one of the words (lower case, NULL-terminated list) in any case. */
static bool
is_one_of(const char *s, uint32_t len, const char *const *words)
{
	for (; *words != NULL; words++)
	{
		const char *word = *words;
		uint32_t i = 0;
		while (i < len && word[i] != '\0' && pgml_fold(s[i]) == word[i])
			i++;
		if (i == len && word[i] == '\0')
			return true;
	}
	return false;
}

/* Longest marker in the lists below. */
#define MAX_MARKER_LEN 14

/* Markers that nobody would choose as the name of a category; what is empty is another one. */
static const char *const pure[] = { "?",       "??",     "-",     "--",      "---",     ".",
									"..",      "na",     "n/a",   "n.a.",    "n.a",     "#n/a",
									"#na",     "<na>",   "nan",   "-nan",    "#nan",    "null",
									"(null)",  "<null>", "\\n",   "#null!",  "#value!", "#ref!",
									"#div/0!", "#name?", "#num!", "(blank)", NULL };

const char *
pgml_pure_missing_marker(int i)
{
	return i == 0 ? "" : pure[i - 1];
}

bool
pgml_is_pure_missing_marker(const char *s, uint32_t len)
{
	pgml_trim(&s, &len);
	if (len == 0)
		return true;
	/* Most values are told by their first byte: this is asked for every value of a category. */
	return len <= MAX_MARKER_LEN && s[0] != '\0' && strchr("?-.nN#<(\\", s[0]) != NULL &&
		   is_one_of(s, len, pure);
}

/* Every marker, words included. */
bool
pgml_is_missing_marker(const char *s, uint32_t len)
{
	static const char *const words[] = { "none",          "unknown",
										 "unk",           "missing",
										 "undefined",     "nil",
										 "not available", "not applicable",
										 "not known",     "not specified",
										 "unspecified",   "no data",
										 "tbd",           NULL };

	if (pgml_is_pure_missing_marker(s, len))
		return true;
	pgml_trim(&s, &len);
	return len <= MAX_MARKER_LEN && is_one_of(s, len, words);
}

/* Remove prefix from the front of the text when it is there. */
static bool
skip(const char **s, uint32_t *len, const char *prefix)
{
	uint32_t n = (uint32_t) strlen(prefix);

	if (*len < n || memcmp(*s, prefix, n) != 0)
		return false;
	*s += n;
	*len -= n;
	return true;
}

/* Remove suffix from the end of the text when it is there. */
static bool
skip_back(const char *s, uint32_t *len, const char *suffix)
{
	uint32_t n = (uint32_t) strlen(suffix);

	if (*len < n || memcmp(s + *len - n, suffix, n) != 0)
		return false;
	*len -= n;
	return true;
}

/* Remove one currency sign or code, in front or behind, and the blanks next to it. */
static void
skip_currency(const char **s, uint32_t *len)
{
	static const char *const signs[] = { "$", "€", "£", "¥", "USD", "EUR", "GBP", NULL };

	for (int i = 0; signs[i] != NULL; i++)
	{
		if (skip(s, len, signs[i]) || skip_back(*s, len, signs[i]))
		{
			pgml_trim(s, len);
			return;
		}
	}
}

/* Remove a sign in front; -1 when it was a minus. *seen tells whether there was one. */
static int
skip_sign(const char **s, uint32_t *len, bool *seen)
{
	if (*seen || *len == 0 || (**s != '-' && **s != '+'))
		return 1;
	int sign = **s == '-' ? -1 : 1;
	(*s)++;
	(*len)--;
	*seen = true;
	return sign;
}

/* ASCII digits only. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Copy digits into buf without thousands separators: groups after the first have exactly three digits and the
 * first has one to three, not starting with zero. Returns the bytes used up, 0 when the commas are doubtful.
 */
static uint32_t
copy_integer(const char *s, uint32_t len, char *buf, uint32_t *n)
{
	uint32_t i = 0;

	while (i < len && is_digit(s[i]))
		buf[(*n)++] = s[i++];
	if (i == len || s[i] != ',')
		return i;
	if (i < 1 || i > 3 || s[0] == '0')
		return 0;
	while (i < len && s[i] == ',')
	{
		if (len - i < 4 || !is_digit(s[i + 1]) || !is_digit(s[i + 2]) || !is_digit(s[i + 3]))
			return 0;
		memcpy(buf + *n, s + i + 1, 3);
		*n += 3;
		i += 4;
		if (i < len && is_digit(s[i]))
			return 0;
	}
	return i;
}

/*
 * Read plain digits with an optional fraction and exponent: buf receives them without commas, zero-terminated.
 * False when anything else is in the text.
 */
static bool
copy_number(const char *s, uint32_t len, char *buf)
{
	uint32_t n = 0;
	uint32_t i = copy_integer(s, len, buf, &n);
	uint32_t digits = n;

	if (i == 0 && len > 0 && s[0] != '.')
		return false;
	if (i < len && s[i] == '.')
	{
		buf[n++] = s[i++];
		while (i < len && is_digit(s[i]))
		{
			buf[n++] = s[i++];
			digits++;
		}
	}
	if (digits == 0)
		return false;
	if (i < len && (s[i] == 'e' || s[i] == 'E'))
	{
		buf[n++] = s[i++];
		if (i < len && (s[i] == '-' || s[i] == '+'))
			buf[n++] = s[i++];
		if (i == len || !is_digit(s[i]))
			return false;
		while (i < len && is_digit(s[i]))
			buf[n++] = s[i++];
	}
	buf[n] = '\0';
	return i == len;
}

/*
 * Decimal text to double. Up to 15 digits with at most 22 decimals are exact in double arithmetic (one correctly
 * rounded division, Clinger 1990); the rest goes to strtod, whose decimal point is the server's "C" locale's.
 */
static bool
decimal_value(const char *buf, double *value)
{
	static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
									1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
									1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	uint64_t mantissa = 0;
	int digits = 0;
	int decimals = 0;
	bool fraction = false;
	const char *p = buf;

	for (; is_digit(*p) || *p == '.'; p++)
	{
		if (*p == '.')
		{
			fraction = true;
			continue;
		}
		if (digits > 0 || *p != '0')
			digits++;
		if (digits > 15)
			break;
		mantissa = mantissa * 10 + (uint64_t) (*p - '0');
		decimals += fraction;
	}
	if (*p == '\0' && decimals <= 22)
	{
		*value = (double) mantissa / power[decimals];
		return true;
	}

	char *end;
	*value = strtod(buf, &end);
	return *end == '\0' && isfinite(*value);
}

/* See value.h. The decorations may stand in any sensible order: -$5, $-5, ($5), 5 USD, 45 %. */
bool
pgml_parse_number(const char *s, uint32_t len, double *value)
{
	char buf[MAX_NUMBER_LEN + 1];
	bool negative = false;
	bool seen = false;

	pgml_trim(&s, &len);
	if (len == 0 || len > MAX_NUMBER_LEN)
		return false;
	if (len > 2 && s[0] == '(' && s[len - 1] == ')')
	{
		negative = true;
		seen = true;
		s++;
		len -= 2;
		pgml_trim(&s, &len);
	}
	negative |= skip_sign(&s, &len, &seen) < 0;
	if (len > 0 && !is_digit(s[len - 1]) && skip_back(s, &len, "%"))
		pgml_trim(&s, &len);
	else if (len > 0 && (!is_digit(s[0]) || !is_digit(s[len - 1])))
		skip_currency(&s, &len);
	negative |= skip_sign(&s, &len, &seen) < 0;
	if (len == 0 || !copy_number(s, len, buf) || !decimal_value(buf, value))
		return false;
	if (negative)
		*value = -*value;
	return true;
}

/* See value.h. */
bool
pgml_parse_comma_number(const char *s, uint32_t len, double *value)
{
	char swapped[MAX_NUMBER_LEN];

	pgml_trim(&s, &len);
	if (len > MAX_NUMBER_LEN)
		return false;
	for (uint32_t i = 0; i < len; i++)
		swapped[i] = s[i] == ',' ? '.' : s[i] == '.' ? ',' : s[i];
	return pgml_parse_number(swapped, len, value);
}

/* Fewest digits that read back the same; whole numbers as integers are printed. */
static int
print_number(double v, char *buf, size_t size)
{
	if (isnan(v))
		return snprintf(buf, size, "NaN");
	if (isinf(v))
		return snprintf(buf, size, v > 0 ? "Infinity" : "-Infinity");
	if (v == 0)
		return snprintf(buf, size, "0");
	if (v == floor(v) && fabs(v) < 9.3e18)
		return snprintf(buf, size, "%.0f", v);

	int n = 0;
	for (int digits = 15; digits <= 17; digits++)
	{
		n = snprintf(buf, size, "%.*g", digits, v);
		if (n < 0 || (size_t) n >= size || strtod(buf, NULL) == v)
			break;
	}
	return n;
}

/* "10:30:00", with the fraction of a second when there is one. */
static int
print_time(const PgmlCivil *c, char *buf, size_t size)
{
	int whole = (int) c->second;
	long micro = lround((c->second - whole) * 1e6);

	if (micro <= 0 || micro > 999999)
		return snprintf(buf, size, "%02d:%02d:%02d", c->hour, c->minute, whole);
	int n = snprintf(buf, size, "%02d:%02d:%02d.%06ld", c->hour, c->minute, whole, micro);
	while (n > 0 && (size_t) n < size && buf[n - 1] == '0')
		buf[--n] = '\0';
	return n;
}

/* Dates and times in ISO form; infinite and out of range ones as numbers. */
static int
print_seconds(const PgmlValue *value, char *buf, size_t size)
{
	PgmlCivil c;

	if (!(fabs(value->num) <= PGML_MAX_SECONDS) || value->kind == PGML_KIND_INTERVAL)
		return print_number(value->num, buf, size);
	pgml_civil(value->num, &c);
	if (value->kind == PGML_KIND_TIME)
		return print_time(&c, buf, size);
	int n = snprintf(buf, size, "%04lld-%02d-%02d", (long long) c.year, c.month, c.day);
	if (value->kind == PGML_KIND_DATE || n < 0 || (size_t) n + 1 >= size)
		return n;
	buf[n++] = ' ';
	return n + print_time(&c, buf + n, size - (size_t) n);
}

/* See value.h. */
uint32_t
pgml_value_print(const PgmlValue *value, char *buf, uint32_t size)
{
	int n = 0;

	if (size == 0)
		return 0;
	switch (value->kind)
	{
		case PGML_KIND_TEXT:
			n = (int) pgml_clip(value->str, value->len, size - 1);
			memcpy(buf, value->str, (size_t) n);
			buf[n] = '\0';
			return (uint32_t) n;
		case PGML_KIND_BOOL:
			n = snprintf(buf, size, "%s", value->num != 0 ? "true" : "false");
			break;
		case PGML_KIND_NUMBER:
			n = print_number(value->num, buf, size);
			break;
		case PGML_KIND_DATE:
		case PGML_KIND_TIMESTAMP:
		case PGML_KIND_TIME:
		case PGML_KIND_INTERVAL:
			n = print_seconds(value, buf, size);
			break;
		default:
			buf[0] = '\0';
			break;
	}
	return n < 0 ? 0 : (uint32_t) n >= size ? size - 1 : (uint32_t) n;
}
