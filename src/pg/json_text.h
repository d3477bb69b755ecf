/*
 * json_text.h - JSON is written as text and read by jsonb_in: the few objects that are stored need no more.
 */
#ifndef PGML_PG_JSON_TEXT_H
#define PGML_PG_JSON_TEXT_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Append a comma unless at the start of an object or array; json_key also appends "key": */
extern void json_comma(StringInfo out);
extern void json_key(StringInfo out, const char *key);

/*
 * The text as far as it is valid in the database's encoding, copied when that is not all of it: what is stored must come
 * through dump and restore, and messages are cut by bytes.
 */
extern char *text_clip(const char *s);

/* Append a value: NULL and numbers that are not finite become null. */
extern void json_string(StringInfo out, const char *s);
extern void json_number(StringInfo out, double value);

/* Parse what was written. */
extern Jsonb *json_finish(StringInfo out);

/* Member of an object: NULL when it is missing or null. */
extern JsonbValue *json_get(const Jsonb *object, const char *key);

/* Its text, number or list of texts; the given default or NULL when missing. The caller knows the type. */
extern char *json_get_text(const Jsonb *object, const char *key);
extern bool json_get_bool(const Jsonb *object, const char *key); /* false when it is not there */
extern double json_get_number(const Jsonb *object, const char *key, double missing);
extern const char **json_get_list(const Jsonb *object, const char *key, int *n);

/* Texts of an array, other elements left out; NULL when it is none. */
extern const char **json_value_list(const JsonbValue *value, int *n);

/* Copies of values. */
extern char *json_value_text(const JsonbValue *value);
extern double json_value_number(const JsonbValue *value); /* infinite when it is too large */

#endif
