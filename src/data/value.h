/*
 * value.h - one input value as PostgreSQL hands it over, and the kinds of columns.
 */
#ifndef PGML_DATA_VALUE_H
#define PGML_DATA_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* Kind of a column; stored in images: append only, never renumber. */
typedef enum PgmlKind
{
	PGML_KIND_BOOL = 1,      /* num: 0 or 1 */
	PGML_KIND_NUMBER = 2,    /* num: the number; integers and numerics included */
	PGML_KIND_TEXT = 3,      /* str: text, char, enum, domain over text, uuid, jsonb scalar */
	PGML_KIND_DATE = 4,      /* num: seconds since 1970-01-01 of its midnight, UTC */
	PGML_KIND_TIMESTAMP = 5, /* num: seconds since 1970-01-01 00:00 UTC (timestamptz: in UTC) */
	PGML_KIND_TIME = 6,      /* num: seconds since midnight */
	PGML_KIND_INTERVAL = 7   /* num: seconds as extract(epoch) counts them */
} PgmlKind;

/*
 * The type that values of a kind came from, where the kind alone does not say how others are to be read in their place;
 * stored in images: append only, never renumber.
 */
typedef enum PgmlOrigin
{
	PGML_ORIGIN_PLAIN = 0,
	PGML_ORIGIN_TIMESTAMPTZ = 1, /* TIMESTAMP: a moment, not what a clock somewhere shows */
	PGML_ORIGIN_MONEY = 2,       /* NUMBER */
	PGML_ORIGIN_JSON = 3         /* TEXT: a json or jsonb scalar */
} PgmlOrigin;

/* Missing is is_null or a NaN in num.  Infinities are values. */
typedef struct PgmlValue
{
	PgmlKind kind;
	bool is_null;
	double num;
	const char
		*str; /* PGML_KIND_TEXT: len bytes in UTF-8 or the server's encoding, maybe unterminated */
	uint32_t len;
} PgmlValue;

/* "boolean", "number", "text", "date", "timestamp", "time", "interval". */
extern const char *pgml_kind_name(PgmlKind kind);

/*
 * Read a number as people type it: blanks around, sign, thousands separators ("1,234.5"), a currency sign
 * or code before or after ($ € £ ¥, USD EUR GBP), percent ("45%" is 45), parentheses for negatives,
 * exponents.  "1,5" and other doubtful commas are not numbers.  Returns false when text is not a number.
 */
extern bool pgml_parse_number(const char *s, uint32_t len, double *value);

/* The same where commas and points change places: "1.234,5" is 1234.5. */
extern bool pgml_parse_comma_number(const char *s, uint32_t len, double *value);

/*
 * Read an ISO date or timestamp ("2024-03-09", "2024-03-09 10:30[:00[.5]]", also with 'T'), or a date written
 * 2024/03/09, 20240309, 09.03.2024, 03/09/2024 (day_first tells 09/03 apart), or 9 Mar 2024 / Mar 9, 2024.
 * *value: seconds since 1970-01-01 UTC.  Returns false when text is not a date.
 */
extern bool pgml_parse_date(const char *s, uint32_t len, bool day_first, double *value);

/* A text that means "missing": empty, blanks, ?, -, NA, N/A, NaN, null, none, unknown, missing, #N/A ... (any case). */
extern bool pgml_is_missing_marker(const char *s, uint32_t len);

/* The markers that are no words (?, -, NA, null, ...): "none" and "unknown" may be the name of a category. */
extern bool pgml_is_pure_missing_marker(const char *s, uint32_t len);

/* The i-th of them from 0, in small letters and without blanks; NULL after the last one. */
extern const char *pgml_pure_missing_marker(int i);

/*
 * The text that PostgreSQL shows for a value that is not missing: integers plain, other numbers with the fewest
 * digits that read back the same, booleans true/false, ISO dates; TEXT is copied. Writes at most size bytes
 * with the final zero, returns the length written.
 */
extern uint32_t pgml_value_print(const PgmlValue *value, char *buf, uint32_t size);

/* Whether a finite number is an integer, as v == floor(v) tells, without a call: numbers from 2^52 on have no fraction. */
static inline bool
pgml_is_whole(double v)
{
	return v >= 4503599627370496.0 || v <= -4503599627370496.0 || v == (double) (int64_t) v;
}

/* ASCII blanks that are ignored around numbers, dates, categories and labels. */
static inline bool
pgml_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ASCII lower case; other bytes stay as they are. */
static inline char
pgml_fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

/* Move *s and *len past the blanks around a text. */
extern void pgml_trim(const char **s, uint32_t *len);

/* At most max bytes of a text, cut between UTF-8 characters: for messages. */
extern uint32_t pgml_clip(const char *s, uint32_t len, uint32_t max);

/* The same of a string, as "%.*s" wants it. */
extern int pgml_shown(const char *s, uint32_t max);

/* Length without a UTF-8 character at the end that was cut already. */
extern uint32_t pgml_clip_end(const char *s, uint32_t len);

#endif
