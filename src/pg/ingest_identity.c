/*
 * ingest_identity.c - what tells rows apart.
 *
 * Whether a row tests follows from its identity, for ever: so the columns that make it up are chosen by the first version of a
 * model and kept, whatever keys the data gets later.
 */
#include "pg/ingest_internal.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/hash.h"
#include "pg/compat.h"

/* ---- hashing ------------------------------------------------------------------------------- */

/* Hash of a number that float8 cannot tell from its neighbours: of its digits. */
static uint64
hash_digits(Oid type, Datum datum)
{
	char *digits = type == NUMERICOID ? numeric_normalize(DatumGetNumeric(datum)) :
										psprintf(INT64_FORMAT, DatumGetInt64(datum));

	return pgml_hash64(digits, strlen(digits), PGML_KIND_NUMBER);
}

uint64
ingest_hash_value(const PgmlTypeReader *reader, Datum datum, const PgmlValue *value)
{
	if (value->is_null)
		return pgml_hash64("", 0, 0);
	if (value->kind == PGML_KIND_TEXT)
		return pgml_hash64(value->str, value->len, PGML_KIND_TEXT);
	if (ingest_number_has_digits(reader, value->num))
		return hash_digits(reader->type, datum);
	return ingest_hash_number(value->kind, value->num);
}

uint64
ingest_hash_input(Ingest *ingest, const Input *input, Datum datum)
{
	uint64 hash = 0;
	bool missing = true;

	for (int i = 0; i < input->width; i++)
	{
		const PgmlValue *value = &ingest->values[input->first + i];

		hash = pgml_hash_combine(hash, ingest_hash_value(&input->reader, datum, value));
		missing = missing && (value->is_null || isnan(value->num));
	}
	/* How many elements a missing array would have is known only once one has been read. */
	return input->reader.array && missing ? 0 : hash;
}

uint64
ingest_hash_row(Ingest *ingest, const Datum *datums)
{
	uint64 hash = 0;

	for (int i = 0; i < ingest->nidentity; i++)
	{
		int at = ingest->identity[i];

		hash = pgml_hash_combine(hash, ingest_hash_input(ingest, &ingest->inputs[at], datums[at]));
	}
	return hash;
}

/* ---- choosing ------------------------------------------------------------------------------ */

int
ingest_find_input(const Ingest *ingest, const char *name)
{
	for (int i = 0; name != NULL && i < ingest->ninputs; i++)
	{
		if (strcmp(ingest->inputs[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* The columns that the caller named to identify rows. */
static void
use_id_columns(Ingest *ingest)
{
	const PgmlIngest *request = ingest->request;

	ingest->identity = palloc(request->n_id_columns * sizeof(int));
	ingest->nidentity = request->n_id_columns;
	for (int i = 0; i < request->n_id_columns; i++)
	{
		int at = ingest_find_input(ingest, request->id_columns[i]);

		if (at < 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" given in id_columns does not exist",
								   request->id_columns[i])));
		if (!ingest->inputs[at].reader.supported)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("column \"%s\" of type %s cannot identify rows",
								   request->id_columns[i], ingest->inputs[at].type_name),
							errhint("Cast it to text in a query.")));
		ingest->identity[i] = at;
	}
}

/* The primary key identifies rows when all of it can be read. */
static bool
use_primary_key(Ingest *ingest, const PgmlStatement *statement)
{
	for (int i = 0; i < statement->n_primary_key; i++)
	{
		if (!ingest->inputs[statement->primary_key[i]].reader.supported)
			return false;
	}
	if (statement->n_primary_key == 0)
		return false;
	ingest->nidentity = statement->n_primary_key;
	ingest->identity = palloc(ingest->nidentity * sizeof(int));
	memcpy(ingest->identity, statement->primary_key, ingest->nidentity * sizeof(int));
	return true;
}

/* Every column that can be read. */
static void
use_all_columns(Ingest *ingest)
{
	ingest->identity = palloc((ingest->ninputs + 1) * sizeof(int));
	for (int i = 0; i < ingest->ninputs; i++)
		if (ingest->inputs[i].reader.supported)
			ingest->identity[ingest->nidentity++] = i;
}

/* What values are hashed as, in words: rows are known again as long as it is the same. */
static const char *
hashed_as(const PgmlTypeReader *reader)
{
	static const char *const names[] = {
		[PGML_KIND_BOOL] = "boolean",        [PGML_KIND_NUMBER] = "number",
		[PGML_KIND_TEXT] = "text",           [PGML_KIND_DATE] = "date",
		[PGML_KIND_TIMESTAMP] = "timestamp", [PGML_KIND_TIME] = "time",
		[PGML_KIND_INTERVAL] = "interval",
	};

	if (reader->array)
		return reader->element == FLOAT4OID ? "array of real" : "array";
	if (reader->type == FLOAT4OID)
		return "real";
	if (reader->type == FLOAT8OID)
		return "double precision";
	if (reader->type == MONEYOID)
		return "money";
	return reader->origin == PGML_ORIGIN_TIMESTAMPTZ ? "timestamp with time zone" :
													   names[reader->kind];
}

/* 42804 when a column that earlier versions know rows by would be hashed as something else. */
static void
check_hashed_as(const Input *input, const PgmlIdentityColumn *column)
{
	if (input->reader.supported && strcmp(hashed_as(&input->reader), column->hashed_as) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\", which tells the rows of the model apart, has type %s now",
					column->name, input->type_name),
			 errdetail("In the first version its values were read as %s.", column->hashed_as),
			 errhint("Cast it in a query, or train a model of another name.")));
}

/* One of the columns that told rows apart before: it must be there, and hash as it did. */
static int
find_identity_column(const Ingest *ingest, const PgmlIdentityColumn *column)
{
	int at = ingest_find_input(ingest, column->name);

	if (at < 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\", which tells the rows of the model apart, does not exist in "
					"the data",
					column->name),
			 errdetail("By it the model knows its test rows, which no version may learn from."),
			 errhint("Include the column, with exclude if it is not to be a feature; or train a "
					 "model of another name.")));
	check_hashed_as(&ingest->inputs[at], column);
	return at;
}

/* What told rows apart in earlier versions. */
static void
use_stored_identity(Ingest *ingest)
{
	const PgmlIdentity *stored = ingest->request->identity;

	ingest->nidentity = stored->n;
	ingest->identity = palloc((stored->n + 1) * sizeof(int));
	for (int i = 0; i < stored->n; i++)
		ingest->identity[i] = find_identity_column(ingest, &stored->columns[i]);
}

void
ingest_choose_identity(Ingest *ingest, const PgmlStatement *statement)
{
	const PgmlIdentity *stored = ingest->request->identity;
	int split = ingest_find_input(ingest, ingest->request->split_column);

	if (stored != NULL && stored->split.name != NULL && split >= 0)
		check_hashed_as(&ingest->inputs[split], &stored->split);
	if (stored != NULL && stored->split.name == NULL)
		use_stored_identity(ingest);
	else if (ingest->request->n_id_columns > 0)
		use_id_columns(ingest);
	else if (!use_primary_key(ingest, statement))
		use_all_columns(ingest);
	ingest->stage->break_ties = ingest->nidentity < ingest->ninputs;
}

PgmlIdentity
ingest_describe_identity(const Ingest *ingest)
{
	PgmlIdentity identity = { .n = ingest->nidentity };
	int split = ingest_find_input(ingest, ingest->request->split_column);

	if (split >= 0 && ingest->inputs[split].reader.supported)
		identity.split =
			(PgmlIdentityColumn){ .name = pstrdup(ingest->inputs[split].name),
								  .hashed_as = hashed_as(&ingest->inputs[split].reader) };
	identity.columns = palloc((ingest->nidentity + 1) * sizeof(PgmlIdentityColumn));
	for (int i = 0; i < ingest->nidentity; i++)
	{
		const Input *input = &ingest->inputs[ingest->identity[i]];

		identity.columns[i] = (PgmlIdentityColumn){ .name = pstrdup(input->name),
													.hashed_as = hashed_as(&input->reader) };
	}
	return identity;
}
