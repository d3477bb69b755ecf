/*
 * predict_convert.h - values of other types than in training, as PostgreSQL's casts convert them; for predict_input.c.
 *
 * A model knows the kind of each of its inputs and, for some, the type (PgmlOrigin).  A date or timestamp of one type is cast to that of
 * training, so it goes through the session's TimeZone where the types differ in that.  Text is read by the input function of
 * the type of training: dates in the order of DateStyle, intervals by IntervalStyle, money by lc_monetary.
 */
#ifndef PGML_PG_PREDICT_CONVERT_H
#define PGML_PG_PREDICT_CONVERT_H

#include "postgres.h"
#include "catalog/pg_type.h"
#include "utils/jsonb.h"

#include "pg/predict_bind.h"

/* Set bound->trained, and bound->cast and bound->step from the column's reader when there is one. */
extern void predict_bind_conversion(BoundInput *bound, const PgmlRecipe *recipe,
									const PgmlInput *input, bool has_column);

/* The number in a datum that is not NULL, of a type for which bound->direct can be set. */
static inline double
predict_plain_number(Oid type, Datum datum)
{
	switch (type)
	{
		case FLOAT8OID:
			return DatumGetFloat8(datum);
		case FLOAT4OID:
			return DatumGetFloat4(datum);
		case INT8OID:
			return (double) DatumGetInt64(datum);
		case INT4OID:
			return DatumGetInt32(datum);
		default:
			return DatumGetInt16(datum);
	}
}

/*
 * Value of the input from a datum of its column that is not NULL, or from a JSON scalar; memory is the current context's.  Errors are of
 * class 22 and name the column; 22023: a JSON object or array where the input is no json.
 */
extern PgmlValue predict_convert_datum(BoundInput *bound, Datum datum);
extern PgmlValue predict_convert_json(BoundInput *bound, const JsonbValue *json);

#endif
