/*
 * ingest_json.h - columns of json and jsonb: the text of their scalars, the same for both types.
 */
#ifndef PGML_PG_INGEST_JSON_H
#define PGML_PG_INGEST_JSON_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "data/value.h"

/*
 * Text of a scalar; missing for null, objects and arrays.  It may point into what is given or be palloc'ed. Never an error: a
 * json string whose escapes mean no text of the server's encoding is missing.
 */
extern PgmlValue pgml_jsonb_text(Jsonb *jsonb);
extern PgmlValue pgml_json_text(const char *s, int len);

/* Text of a number in jsonb. */
extern PgmlValue pgml_numeric_text(Numeric number);

#endif
