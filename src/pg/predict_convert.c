/* predict_convert.c - values of other types than in training. */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/numeric.h"

#include "pg/compat.h"
#include "pg/ingest_json.h"
#include "pg/predict_convert.h"

#define SHOWN_BYTES 40 /* of a value, in an error message */

/* ---- binding ------------------------------------------------------------------------------- */

/* The type of an input in training, or one of its kind that reads the same. */
static Oid
trained_type(const PgmlInput *input)
{
	switch (input->kind)
	{
		case PGML_KIND_BOOL:
			return BOOLOID;
		case PGML_KIND_NUMBER:
			return input->origin == PGML_ORIGIN_MONEY ? MONEYOID : FLOAT8OID;
		case PGML_KIND_TEXT:
			return input->origin == PGML_ORIGIN_JSON ? JSONBOID : TEXTOID;
		case PGML_KIND_DATE:
			return DATEOID;
		case PGML_KIND_TIMESTAMP:
			return input->origin == PGML_ORIGIN_TIMESTAMPTZ ? TIMESTAMPTZOID : TIMESTAMPOID;
		case PGML_KIND_TIME:
			return TIMEOID;
		case PGML_KIND_INTERVAL:
			return INTERVALOID;
	}
	return TEXTOID;
}

/* PostgreSQL's cast between two types of dates; NULL: none, or none needed. */
static PGFunction
date_cast(Oid from, Oid to)
{
	static const struct
	{
		Oid from;
		Oid to;
		PGFunction cast;
	} casts[] = { { DATEOID, TIMESTAMPOID, date_timestamp },
				  { DATEOID, TIMESTAMPTZOID, date_timestamptz },
				  { TIMESTAMPOID, DATEOID, timestamp_date },
				  { TIMESTAMPOID, TIMESTAMPTZOID, timestamp_timestamptz },
				  { TIMESTAMPTZOID, DATEOID, timestamptz_date },
				  { TIMESTAMPTZOID, TIMESTAMPOID, timestamptz_timestamp } };

	for (size_t i = 0; i < lengthof(casts); i++)
		if (casts[i].from == from && casts[i].to == to)
			return casts[i].cast;
	return NULL;
}

/* Types that predict_plain_number() reads. */
static bool
is_plain_number(Oid type)
{
	return type == FLOAT8OID || type == FLOAT4OID || type == INT8OID || type == INT4OID ||
		   type == INT2OID;
}

void
predict_bind_conversion(BoundInput *bound, const PgmlRecipe *recipe, const PgmlInput *input,
						bool has_column)
{
	pgml_type_reader(trained_type(input), -1, &bound->trained);
	bound->cast = has_column ? date_cast(bound->reader.type, bound->trained.type) : NULL;
	bound->direct = has_column && bound->element == 0 && bound->trained.kind == PGML_KIND_NUMBER &&
					is_plain_number(bound->reader.type) &&
					pgml_recipe_number_step(recipe, bound->input, PGML_KIND_NUMBER, &bound->step);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* What is being converted, for the error callback. */
typedef struct Conversion
{
	const BoundInput *bound;
	const char *text; /* NULL: a datum */
} Conversion;

/* Error callback while PostgreSQL converts: name the column, and say what can be given. */
static void
conversion_failed(void *arg)
{
	const Conversion *conversion = arg;
	const BoundInput *bound = conversion->bound;
	PgmlKind kind = bound->trained.kind;
	bool date = kind == PGML_KIND_DATE || kind == PGML_KIND_TIMESTAMP;
	const char *text = conversion->text;
	int length;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	if (text == NULL)
	{
		errcontext("column \"%s\" of the input", bound->key);
		return;
	}
	length = pg_mbcliplen(text, (int) strlen(text), SHOWN_BYTES);
	errmsg("column \"%s\" needs %s, not \"%.*s%s\"", bound->key,
		   date                       ? "a date" :
		   kind == PGML_KIND_TIME     ? "a time" :
		   kind == PGML_KIND_INTERVAL ? "an interval" :
										"a number",
		   length, text, text[length] != '\0' ? "..." : "");
	if (date)
		errhint("Write dates as YYYY-MM-DD; other forms are read in the order of DateStyle, "
				"which is \"%s\".",
				GetConfigOption("DateStyle", false, false));
}

/* ---- values -------------------------------------------------------------------------------- */

/* Value of a datum through the cast to the type of training. */
static PgmlValue
cast_value(BoundInput *bound, Datum datum)
{
	Conversion conversion = { .bound = bound };
	ErrorContextCallback callback = { .callback = conversion_failed,
									  .arg = &conversion,
									  .previous = error_context_stack };

	error_context_stack = &callback;
	datum = DirectFunctionCall1(bound->cast, datum);
	error_context_stack = callback.previous;
	return pgml_datum_value(&bound->trained, datum);
}

/* Datum of the type of training from text. */
static Datum
text_datum(Oid type, char *text)
{
	Datum string = CStringGetDatum(text);
	Datum none = ObjectIdGetDatum(InvalidOid);
	Datum typmod = Int32GetDatum(-1);

	switch (type)
	{
		case DATEOID:
			return DirectFunctionCall1(date_in, string);
		case TIMESTAMPOID:
			return DirectFunctionCall3(timestamp_in, string, none, typmod);
		case TIMESTAMPTZOID:
			return DirectFunctionCall3(timestamptz_in, string, none, typmod);
		case TIMEOID:
			return DirectFunctionCall3(time_in, string, none, typmod);
		case INTERVALOID:
			return DirectFunctionCall3(interval_in, string, none, typmod);
		default:
			return DirectFunctionCall1(cash_in, string);
	}
}

/* Text as the type of training reads it, where that is not the recipe's task. */
static PgmlValue
parse_value(BoundInput *bound, PgmlValue value)
{
	char *text;
	Conversion conversion = { .bound = bound };
	ErrorContextCallback callback = { .callback = conversion_failed,
									  .arg = &conversion,
									  .previous = error_context_stack };
	Datum datum;

	if (value.kind != PGML_KIND_TEXT || value.is_null || bound->trained.kind == PGML_KIND_TEXT ||
		bound->trained.kind == PGML_KIND_BOOL || bound->trained.type == FLOAT8OID)
		return value;
	if (pgml_is_missing_marker(value.str, value.len))
		return (PgmlValue){ .kind = bound->trained.kind, .is_null = true };
	text = pnstrdup(value.str, value.len);
	conversion.text = text;
	error_context_stack = &callback;
	datum = text_datum(bound->trained.type, text);
	error_context_stack = callback.previous;
	return pgml_datum_value(&bound->trained, datum);
}

/* A number for an input that was text: what PostgreSQL shows for it, 1.50 for the numeric 1.50. */
static PgmlValue
number_as_text(Oid type, Datum datum, PgmlValue number)
{
	char *text;

	if (type == NUMERICOID && isfinite(number.num))
		return pgml_numeric_text(DatumGetNumeric(datum));
	if (type == INT8OID)
		text = psprintf(INT64_FORMAT, DatumGetInt64(datum));
	else if (type == FLOAT4OID && isfinite(number.num))
	{
		text = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
		float_to_shortest_decimal_buf(DatumGetFloat4(datum), text);
	}
	else
		return number;
	return (PgmlValue){ .kind = PGML_KIND_TEXT, .str = text, .len = (uint32_t) strlen(text) };
}

PgmlValue
predict_convert_datum(BoundInput *bound, Datum datum)
{
	PgmlValue value;

	if (bound->cast != NULL)
		return cast_value(bound, datum);
	value = pgml_datum_value(&bound->reader, datum);
	if (value.kind == PGML_KIND_NUMBER && bound->trained.kind == PGML_KIND_TEXT && !value.is_null)
		return number_as_text(bound->reader.type, datum, value);
	return parse_value(bound, value);
}

PgmlValue
predict_convert_json(BoundInput *bound, const JsonbValue *json)
{
	PgmlValue value = { .kind = PGML_KIND_NUMBER };
	Datum number;

	switch (json->type)
	{
		case jbvNull:
			value.is_null = true;
			return value;
		case jbvBool:
			value.kind = PGML_KIND_BOOL;
			value.num = json->val.boolean ? 1 : 0;
			return value;
		case jbvNumeric:
			if (bound->trained.kind == PGML_KIND_TEXT)
				return pgml_numeric_text(json->val.numeric);
			number = NumericGetDatum(json->val.numeric);
			value.num = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, number));
			return value;
		case jbvString:
			value.kind = PGML_KIND_TEXT;
			value.str = json->val.string.val;
			value.len = (uint32_t) json->val.string.len;
			return parse_value(bound, value);
		default:
			if (bound->trained.type != JSONBOID)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("key \"%s\" holds an object or array where the model needs a "
								"single value",
								bound->key),
						 errhint("Give a number, a string, true, false or null.")));
			value.is_null = true;
			return value;
	}
}
