/*
 * ingest_types.c - values of PostgreSQL's types as the core sees them; ingest and predict share it, so that a model is
 * served exactly what it was trained on.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/cash.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "pg/compat.h"
#include "pg/ingest.h"
#include "pg/ingest_json.h"

/* Seconds from 1970 to 2000, where PostgreSQL counts from. */
#define EPOCH_SHIFT_SECONDS                                                                        \
	((double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY)

/* ---- choosing the reader ------------------------------------------------------------------- */

/* Kind of a type that is read from its binary form; 0 for all others. */
static PgmlKind
binary_kind(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return PGML_KIND_BOOL;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case MONEYOID:
			return PGML_KIND_NUMBER;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
		case JSONOID:
		case JSONBOID:
			return PGML_KIND_TEXT;
		case DATEOID:
			return PGML_KIND_DATE;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return PGML_KIND_TIMESTAMP;
		case TIMEOID:
		case TIMETZOID:
			return PGML_KIND_TIME;
		case INTERVALOID:
			return PGML_KIND_INTERVAL;
		default:
			return 0;
	}
}

/* What the kind of a type does not tell. */
static PgmlOrigin
origin_of(Oid type)
{
	switch (type)
	{
		case TIMESTAMPTZOID:
			return PGML_ORIGIN_TIMESTAMPTZ;
		case MONEYOID:
			return PGML_ORIGIN_MONEY;
		case JSONOID:
		case JSONBOID:
			return PGML_ORIGIN_JSON;
		default:
			return PGML_ORIGIN_PLAIN;
	}
}

/* Whether values are read as their text form: enums, uuid, citext and its like, network addresses, bits. */
static bool
read_as_text(Oid type)
{
	char category;
	bool preferred;

	if (type == UUIDOID)
		return true;
	if (get_typtype(type) != TYPTYPE_BASE && get_typtype(type) != TYPTYPE_ENUM)
		return false;
	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM ||
		   category == TYPCATEGORY_NETWORK || category == TYPCATEGORY_BITSTRING;
}

/* Whether the type is pgvector's: one of its names, owned by its extension. */
static bool
is_pgvector(Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	bool named;
	char *extension;

	if (!HeapTupleIsValid(tuple))
		return false;
	named = strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "vector") == 0 ||
			strcmp(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), "halfvec") == 0;
	ReleaseSysCache(tuple);
	if (!named)
		return false;
	extension = get_extension_name(getExtensionOfObject(TypeRelationId, type));
	return extension != NULL && strcmp(extension, "vector") == 0;
}

/* Set up for arrays of numbers, pgvector's type among them (read through its cast to real[]). */
static void
array_reader(PgmlTypeReader *reader)
{
	Oid cast;

	reader->element = get_element_type(reader->type);
	if (OidIsValid(reader->element))
		reader->element = getBaseType(reader->element);
	else if (is_pgvector(reader->type) &&
			 find_coercion_pathway(FLOAT4ARRAYOID, reader->type, COERCION_EXPLICIT, &cast) ==
				 COERCION_PATH_FUNC)
	{
		reader->element = FLOAT4OID;
		fmgr_info(cast, &reader->output);
	}
	if (binary_kind(reader->element) != PGML_KIND_NUMBER)
		return;
	get_typlenbyvalalign(reader->element, &reader->element_length, &reader->element_by_value,
						 &reader->element_align);
	reader->kind = PGML_KIND_NUMBER;
	reader->origin = origin_of(reader->element);
	reader->array = true;
	reader->supported = true;
}

/* Whether a numeric's type modifier allows no fraction. */
static bool
numeric_is_integer(int32 typmod)
{
	return typmod >= (int32) VARHDRSZ && ((typmod - VARHDRSZ) & 0x7ff) == 0;
}

void
pgml_type_reader(Oid type, int32 typmod, PgmlTypeReader *reader)
{
	memset(reader, 0, sizeof(*reader));
	reader->type = getBaseTypeAndTypmod(type, &typmod);
	reader->kind = binary_kind(reader->type);
	reader->origin = origin_of(reader->type);
	reader->is_integer = reader->type == INT2OID || reader->type == INT4OID ||
						 reader->type == INT8OID || reader->type == OIDOID ||
						 (reader->type == NUMERICOID && numeric_is_integer(typmod));
	reader->supported = reader->kind != 0;
	if (reader->supported)
		return;
	reader->kind = PGML_KIND_TEXT;
	if (read_as_text(reader->type))
	{
		Oid output;
		bool varlena;

		getTypeOutputInfo(reader->type, &output, &varlena);
		fmgr_info(output, &reader->output);
		reader->supported = true;
	}
	else
		array_reader(reader);
}

/* ---- reading ------------------------------------------------------------------------------- */

static PgmlValue
missing_value(PgmlKind kind)
{
	return (PgmlValue){ .kind = kind, .is_null = true };
}

/* Text of len bytes. */
static PgmlValue
text_value(const char *s, size_t len)
{
	return (PgmlValue){ .kind = PGML_KIND_TEXT, .str = s, .len = (uint32_t) len };
}

/*
 * A number of any numeric type; numeric beyond the range of float8 becomes infinite.  An amount of money is in hundredths,
 * whatever lc_monetary says: the setting may be another one when the model is used.
 */
static double
number_of(Oid type, Datum datum)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(datum);
		case INT4OID:
			return DatumGetInt32(datum);
		case INT8OID:
			return (double) DatumGetInt64(datum);
		case OIDOID:
			return DatumGetObjectId(datum);
		case FLOAT4OID:
			return DatumGetFloat4(datum);
		case FLOAT8OID:
			return DatumGetFloat8(datum);
		case MONEYOID:
			return (double) DatumGetCash(datum) / 100.0;
		default:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, datum));
	}
}

static double
date_seconds(DateADT date)
{
	if (DATE_IS_NOBEGIN(date))
		return -INFINITY;
	if (DATE_IS_NOEND(date))
		return INFINITY;
	return (double) date * SECS_PER_DAY + EPOCH_SHIFT_SECONDS;
}

static double
timestamp_seconds(Timestamp timestamp)
{
	if (TIMESTAMP_IS_NOBEGIN(timestamp))
		return -INFINITY;
	if (TIMESTAMP_IS_NOEND(timestamp))
		return INFINITY;
	return (double) timestamp / USECS_PER_SEC + EPOCH_SHIFT_SECONDS;
}

/* As extract(epoch FROM interval) counts: years of 365.25 days, other months of 30. */
static double
interval_seconds(const Interval *interval)
{
	if (INTERVAL_IS_NOBEGIN(interval))
		return -INFINITY;
	if (INTERVAL_IS_NOEND(interval))
		return INFINITY;
	return (double) interval->time / USECS_PER_SEC +
		   DAYS_PER_YEAR * SECS_PER_DAY * (interval->month / MONTHS_PER_YEAR) +
		   (double) DAYS_PER_MONTH * SECS_PER_DAY * (interval->month % MONTHS_PER_YEAR) +
		   (double) SECS_PER_DAY * interval->day;
}

/* Text of a varlena string; char(n) without the blanks that pad it. */
static PgmlValue
string_value(Oid type, Datum datum)
{
	struct varlena *string = PG_DETOAST_DATUM_PACKED(datum);
	const char *s = VARDATA_ANY(string);
	int len = VARSIZE_ANY_EXHDR(string);

	if (type == JSONOID)
		return pgml_json_text(s, len);
	if (type == BPCHAROID)
	{
		while (len > 0 && s[len - 1] == ' ')
			len--;
	}
	return text_value(s, len);
}

/* Text of a "char" as PostgreSQL 16 shows it; before, bytes beyond ASCII came out as invalid text. */
static PgmlValue
char_value(char c)
{
	char *s = psprintf(IS_HIGHBIT_SET(c) ? "\\%03o" : "%c", (unsigned char) c);

	return text_value(s, strlen(s));
}

/* Text of every type of kind TEXT. */
static PgmlValue
any_text_value(PgmlTypeReader *reader, Datum datum)
{
	char *s;

	switch (reader->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return string_value(reader->type, datum);
		case JSONBOID:
			return pgml_jsonb_text(DatumGetJsonbP(datum));
		case NAMEOID:
			s = NameStr(*DatumGetName(datum));
			return text_value(s, strlen(s));
		case CHAROID:
			return char_value(DatumGetChar(datum));
		default:
			s = OutputFunctionCall(&reader->output, datum);
			return text_value(s, strlen(s));
	}
}

PgmlValue
pgml_datum_value(PgmlTypeReader *reader, Datum datum)
{
	PgmlValue value = { .kind = reader->kind };

	if (!reader->supported || reader->array)
		return missing_value(reader->kind);
	switch (reader->kind)
	{
		case PGML_KIND_BOOL:
			value.num = DatumGetBool(datum);
			break;
		case PGML_KIND_NUMBER:
			value.num = number_of(reader->type, datum);
			break;
		case PGML_KIND_TEXT:
			return any_text_value(reader, datum);
		case PGML_KIND_DATE:
			value.num = date_seconds(DatumGetDateADT(datum));
			break;
		case PGML_KIND_TIMESTAMP:
			value.num = timestamp_seconds(DatumGetTimestamp(datum));
			break;
		case PGML_KIND_TIME:
			value.num = (reader->type == TIMEOID ? (double) DatumGetTimeADT(datum) :
												   (double) DatumGetTimeTzADTP(datum)->time) /
						USECS_PER_SEC;
			break;
		case PGML_KIND_INTERVAL:
			value.num = interval_seconds(DatumGetIntervalP(datum));
			break;
	}
	value.is_null = isnan(value.num);
	return value;
}

/* The datum as a PostgreSQL array: pgvector's cast takes the value, a type modifier and whether it is explicit. */
static ArrayType *
as_array(PgmlTypeReader *reader, Datum datum)
{
	if (!OidIsValid(reader->output.fn_oid))
		return DatumGetArrayTypeP(datum);
	if (reader->output.fn_nargs == 1)
		return DatumGetArrayTypeP(FunctionCall1(&reader->output, datum));
	return DatumGetArrayTypeP(
		FunctionCall3(&reader->output, datum, Int32GetDatum(-1), BoolGetDatum(true)));
}

int
pgml_datum_elements(PgmlTypeReader *reader, Datum datum, double **elements)
{
	ArrayType *array = as_array(reader, datum);
	Datum *datums;
	bool *nulls;
	int n;

	deconstruct_array(array, reader->element, reader->element_length, reader->element_by_value,
					  reader->element_align, &datums, &nulls, &n);
	*elements = palloc_extended(Max(n, 1) * sizeof(double), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		(*elements)[i] = nulls[i] ? NAN : number_of(reader->element, datums[i]);
	return n;
}
