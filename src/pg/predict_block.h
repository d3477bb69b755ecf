/*
 * predict_block.h - rows of one shape scored many at a time; for predict_table.c and scan_job.c.
 *
 * A block belongs to the inputs of a call site, which must be bound and stay so while the block is used.  Rows are
 * read as they come, column by column for what is a number in the model too, and scored together; each gets the
 * numbers that pgml_image_predict() gives for it alone.
 */
#ifndef PGML_PG_PREDICT_BLOCK_H
#define PGML_PG_PREDICT_BLOCK_H

#include "postgres.h"

#include "pg/predict_input.h"

#define PREDICT_BLOCK_ROWS                                                                         \
	1024 /* unless a model makes better use of more: MAX_BLOCK_ROWS at most */
#define MAX_BLOCK_ROWS 4096

typedef struct PredictBlock PredictBlock;

/* Rows that a block may have at most: as suits the model, or fewer of very many features. */
extern int predict_block_limit(const PgmlInputs *inputs);

/*
 * An empty block of so many rows in context.  columns: for each column of the bound row type its place in the values that will be
 * given; NULL: the same.
 */
extern PredictBlock *predict_block_create(PgmlInputs *inputs, int rows, const int *columns,
										  MemoryContext context);

/* Rows that the block can take. */
extern int predict_block_room(const PredictBlock *block);

/*
 * Read a row into the block.  False, and the row is not in it, when reading it the usual way could raise an error:
 * the caller must then do that.
 */
extern bool predict_block_try_add(PredictBlock *block, const Datum *values, const bool *nulls);

/* Read a row into the block; errors are those of pgml_inputs_read_columns(). */
extern void predict_block_add(PredictBlock *block, const Datum *values, const bool *nulls);

/* Take in a row whose prediction will not be looked at; forget the row that came last; forget all. */
extern void predict_block_skip(PredictBlock *block);
extern void predict_block_drop(PredictBlock *block);
extern void predict_block_clear(PredictBlock *block);

/* Score the rows in the block; interruptible. */
extern void predict_block_score(PredictBlock *block);

/* The numbers of row i, from 0, as pgml_image_predict() gives them. */
extern const double *predict_block_out(const PredictBlock *block, int i);

#endif
