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

/* Missing is is_null or a NaN in num.  Infinities are values. */
typedef struct PgmlValue
{
    PgmlKind kind;
    bool is_null;
    double num;
    const char *str; /* PGML_KIND_TEXT: len bytes in UTF-8 or the server's encoding, maybe unterminated */
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

/*
 * Read an ISO date or timestamp ("2024-03-09", "2024-03-09 10:30[:00[.5]]", also with 'T'), or a date written
 * 2024/03/09, 20240309, 09.03.2024, 03/09/2024 (day_first tells 09/03 apart), or 9 Mar 2024 / Mar 9, 2024.
 * *value: seconds since 1970-01-01 UTC.  Returns false when text is not a date.
 */
extern bool pgml_parse_date(const char *s, uint32_t len, bool day_first, double *value);

/* A text that means "missing": empty, blanks, ?, -, NA, N/A, NaN, null, none, unknown, missing, #N/A ... (any case). */
extern bool pgml_is_missing_marker(const char *s, uint32_t len);

#endif
