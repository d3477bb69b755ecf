/*
 * ingest_internal.h - what the files of ingest share.
 */
#ifndef PGML_PG_INGEST_INTERNAL_H
#define PGML_PG_INGEST_INTERNAL_H

#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "tcop/dest.h"

#include "core/hash.h"
#include "pg/ingest.h"
#include "pg/ingest_stage.h"
#include "pg/source.h"

/* A column of the statement. */
typedef struct Input
{
	const char *name;
	const char *type_name;
	PgmlTypeReader reader;
	bool is_key;
	int first;        /* first of its columns in the stage */
	int width;        /* how many: elements of an array, 1 for others, 0 for what cannot be used */
	int64 structures; /* JSON objects and arrays that were read as missing */
} Input;

typedef struct Ingest
{
	DestReceiver receiver; /* must be first */
	const PgmlIngest *request;
	Stage *stage;
	MemoryContext context;     /* everything here */
	MemoryContext row_context; /* reset for every row */
	Input *inputs;
	int ninputs;
	int *identity; /* inputs that tell rows apart */
	int nidentity;
	int target;        /* input that stratifies; -1: none */
	PgmlValue *values; /* of the current row, per column of the stage */
	int max_values;
	bool rls_active;
	struct RowBlock *block; /* NULL: rows are read value by value */
	int64 reported;         /* rows that progress has told of */
} Ingest;

/* Input of that name, -1 when there is none. */
extern int ingest_find_input(const Ingest *ingest, const char *name);

/* ---- ingest_identity.c: what tells rows apart ---- */

/*
 * The columns that do, for the life of the model: those of its earlier versions, else id_columns, else the primary key when
 * all of it can be read, else all columns.
 */
extern void ingest_choose_identity(Ingest *ingest, const PgmlStatement *statement);

/* Hash of one value; the same in another server, for an integer column made bigint, for -0 and 0. */
extern uint64 ingest_hash_value(const PgmlTypeReader *reader, Datum datum, const PgmlValue *value);

/* Integers up to here are the same in float8; larger ones are identified by their digits. */
#define EXACT_INTEGER 9007199254740992.0

/* Whether a number is one of those. */
static inline bool
ingest_number_has_digits(const PgmlTypeReader *reader, double num)
{
	switch (reader->type)
	{
		case INT8OID:
		case NUMERICOID:
			return fabs(num) >= EXACT_INTEGER;
		case MONEYOID:
			return fabs(num) >= EXACT_INTEGER / 100;
		default:
			return false;
	}
}

/* Hash of any other number, as ingest_hash_value() gives it; NaN is missing. */
static inline uint64
ingest_hash_number(PgmlKind kind, double num)
{
	if (isnan(num))
		return pgml_hash64("", 0, 0);
	return pgml_hash_double(num == 0 ? 0 : num, kind);
}

/* Hash of one input of a row whose values have been read. */
extern uint64 ingest_hash_input(Ingest *ingest, const Input *input, Datum datum);

/* Identity of a row whose values have been read. */
extern uint64 ingest_hash_row(Ingest *ingest, const Datum *datums);

/* The chosen columns, palloc'ed in the current context. */
extern PgmlIdentity ingest_describe_identity(const Ingest *ingest);

/* ---- ingest_block.c: rows of numbers, many at a time ---- */

/* For statements all of whose usable columns are numbers, booleans, dates or times held by value; NULL for others. */
extern struct RowBlock *ingest_block_create(const Ingest *ingest, TupleDesc desc);

/* Take a row; and hand the rows taken to the stage, which has to be done once after the last one. */
extern void ingest_block_add(Ingest *ingest, TupleTableSlot *slot);
extern void ingest_block_flush(Ingest *ingest);

#endif
