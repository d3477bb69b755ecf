/*
 * ingest_internal.h - what the files of ingest share.
 */
#ifndef PGML_PG_INGEST_INTERNAL_H
#define PGML_PG_INGEST_INTERNAL_H

#include "postgres.h"
#include "tcop/dest.h"

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
} Ingest;

/* Input of that name, -1 when there is none. */
extern int ingest_find_input(const Ingest *ingest, const char *name);

/* ---- ingest_identity.c: what tells rows apart ---- */

/*
 * The columns that do, for the life of the model: those of its earlier versions, else id_columns, else the primary key when
 * all of it can be read, else all columns.
 */
extern void ingest_choose_identity(Ingest *ingest, const PgmlStatement *statement);

/* Hash of one input of a row whose values have been read. */
extern uint64 ingest_hash_input(Ingest *ingest, const Input *input, Datum datum);

/* Identity of a row whose values have been read. */
extern uint64 ingest_hash_row(Ingest *ingest, const Datum *datums);

/* The chosen columns, palloc'ed in the current context. */
extern PgmlIdentity ingest_describe_identity(const Ingest *ingest);

#endif
