/*
 * ingest_stage.h - where ingest holds rows until it knows how many there are, and the bounded sample of them.
 */
#ifndef PGML_PG_INGEST_STAGE_H
#define PGML_PG_INGEST_STAGE_H

#include "postgres.h"

#include "core/arena.h"
#include "core/buf.h"
#include "data/table.h"

#define STAGE_MAX_CLASSES 256

/* A column while rows arrive: nrows doubles, or codes into a dictionary of its own arena. */
typedef struct StageColumn
{
	bool is_text;
	PgmlBuf cells;
	PgmlArena *arena;
	PgmlDict *dict;
	int64 text_bytes; /* about what the dictionary takes */
} StageColumn;

/* A value of the target, for keeping the shares of classes in the sample. */
typedef struct StageClass
{
	uint64 hash;
	int64 seen;       /* rows of the source */
	int64 held;       /* scratch: rows held */
	int64 below;      /* scratch: rows held below the common threshold */
	uint64 threshold; /* rows with larger keys are turned away */
} StageClass;

typedef struct Stage
{
	/* what is asked for */
	bool keep_order; /* no order, no sample */
	bool stratified;
	bool
		break_ties; /* the identity is not all values: rows of one identity are ordered by their values */
	int64 max_bytes; /* 0: unbounded */
	uint64 salt;

	PgmlBudget budget; /* unlimited: the bound is max_bytes, kept by sampling */
	StageColumn *columns;
	int ncolumns;
	int max_columns;
	int64 row_bytes; /* of one row in all columns, its hash, class and place in the order */
	int64 nrows;
	int64 capacity; /* rows that the buffers have room for */
	int64 nrows_total;
	PgmlBuf hashes;  /* uint64 identity of each row */
	PgmlBuf classes; /* uint16 class of each row */
	int64 text_bytes;
	int64 max_text_bytes; /* of the largest dictionary */
	PgmlArena *retired;   /* of a dictionary that is being made anew */

	/* the sample, see ingest_stage.c */
	uint64 threshold;
	int64 reserve;
	int nclasses;
	StageClass class[STAGE_MAX_CLASSES];
} Stage;

/* A stage without columns, in the current memory context; stage_free() gives back what is malloc'ed. */
extern Stage *stage_create(bool keep_order, bool stratified, int64 max_bytes, uint64 salt);
extern void stage_free(Stage *stage);

/* Add a column, missing in all rows held so far; returns its number. */
extern int stage_add_column(Stage *stage, bool is_text);

/* Take a row, one value per column; hash is its identity, class_hash tells values of the target apart. */
extern void stage_add_row(Stage *stage, const PgmlValue *values, uint64 hash, uint64 class_hash);

/* Rows that form the result, in its order; palloc'ed. */
extern int64 *stage_order(Stage *stage, int64 *nrows);

/* Write a column's rows into arena in that order, set num or code and dict, and free the stage's copy. */
extern void stage_emit(Stage *stage, int column, const int64 *order, int64 nrows, PgmlArena *arena,
					   PgmlColumn *out);

/* Identity of a held row. */
extern uint64 stage_hash(const Stage *stage, int64 row);

/* 53400: what was read does not fit. */
extern void stage_fail_limit(void) __attribute__((noreturn));

/* The rows that fit; called by stage_add_row when they do not (ingest_sample.c). */
extern void stage_shrink(Stage *stage);
extern uint64 stage_key(const Stage *stage, int64 row);
extern uint64 stage_key_of_hash(const Stage *stage, uint64 hash);
extern int stage_class_of(Stage *stage, uint64 class_hash);
extern bool stage_too_big(const Stage *stage);
extern void stage_keep_rows(Stage *stage, const bool *keep);
extern void *stage_array(int64 n, Size size);

#endif
