/*
 * ingest_stage.h - where ingest holds rows until it knows how many there are, and the bounded sample of them.
 */
#ifndef PGML_PG_INGEST_STAGE_H
#define PGML_PG_INGEST_STAGE_H

#include "postgres.h"

#include "core/arena.h"
#include "core/buf.h"
#include "core/hash.h"
#include "data/table.h"

#define STAGE_MAX_CLASSES 256

/* What a cell of a column is while rows arrive, and in the table. */
typedef enum StageCell
{
	STAGE_DOUBLE, /* NaN is missing */
	STAGE_SINGLE, /* the same, for what has no more digits than a float */
	STAGE_CODE    /* into a dictionary, -1 is missing */
} StageCell;

/* A column while rows arrive: nrows cells, and for codes the dictionary in an arena of its own. */
typedef struct StageColumn
{
	StageCell cell;
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
extern Stage *stage_create(int64 max_bytes, uint64 salt);
extern void stage_free(Stage *stage);

/* Add a column, missing in all rows held so far; returns its number. */
extern int stage_add_column(Stage *stage, StageCell cell);

/* Make room for about so many rows at once; more may come, and fewer. */
extern void stage_expect(Stage *stage, double nrows);

/* Take a row, one value per column; hash is its identity, class_hash tells values of the target apart. */
extern void stage_add_row(Stage *stage, const PgmlValue *values, uint64 hash, uint64 class_hash);

/*
 * The same for many rows, whose cells the caller writes: count a row and say whether it is wanted (its class, else -1);
 * make room for n rows; and take the n rows whose cells have been written behind the others, in all
 * columns.
 */
extern int stage_admit(Stage *stage, uint64 hash, uint64 class_hash);
extern void stage_reserve(Stage *stage, int64 n);
extern void stage_take(Stage *stage, const uint64 *hashes, const uint16 *classes, int64 n);

/*
 * ingest_emit.c: write the rows of the result, in its order, into the table's columns, its row_hash and nrows, all in arena.
 * columns[i] is the stage's for column i of the table, which is described already; they are freed.  53400 when arena has no room.
 */
extern void stage_emit(Stage *stage, const int *columns, PgmlArena *arena, PgmlTable *table);

/* 53400: what was read does not fit. */
#define STAGE_NO_ROOM "the data does not fit into memory"
#define STAGE_NO_ROOM_HINT                                                                         \
	"Read fewer columns or rows, or let a superuser raise pgml_auto.max_memory."

extern void stage_fail_limit(void) __attribute__((noreturn));

/* The rows that fit; called by stage_add_row when they do not (ingest_sample.c). */
extern void stage_shrink(Stage *stage);
extern int stage_class_of(Stage *stage, uint64 class_hash);
extern bool stage_too_big(const Stage *stage);
extern void stage_keep_rows(Stage *stage, const bool *keep);
extern void *stage_array(int64 n, Size size);
extern void stage_free_column(StageColumn *column);

/* Bytes of a column's cell. */
static inline Size
stage_cell_size(const StageColumn *column)
{
	return column->cell == STAGE_DOUBLE ? sizeof(double) : sizeof(float);
}

/* Makes sample keys independent of the hashes that split rows into training and test. */
#define STAGE_SAMPLE_STREAM UINT64CONST(0x73616d706c65)

/* Where a row with this identity stands: in the sample and in the order. */
static inline uint64
stage_key_of_hash(const Stage *stage, uint64 hash)
{
	return pgml_hash_combine(pgml_hash_combine(hash, STAGE_SAMPLE_STREAM), stage->salt);
}

static inline uint64
stage_key(const Stage *stage, int64 row)
{
	return stage_key_of_hash(stage, ((const uint64 *) stage->hashes.data)[row]);
}

static inline int
stage_class(const Stage *stage, int64 row)
{
	return ((const uint16 *) stage->classes.data)[row];
}

#endif
