/*
 * gbm_rows.h - bins of the learned rows, row after row, and parting rows by a set of bins.
 */
#ifndef PGML_LEARNER_GBM_ROWS_H
#define PGML_LEARNER_GBM_ROWS_H

#include "learner/gbm.h"

/*
 * Bins of n rows, twice: row i begins at bin + i * stride and has a byte per feature, for histograms (NULL: none are
 * built of these rows); row i of feature f is also column[f][number ? number[i] : i], for parting and scoring: a
 * single column stays in the cache.
 */
typedef struct PgmlGbmRows
{
	int64_t n;
	int32_t stride;
	uint8_t *bin;
	uint8_t *const *column;
	const int32_t *number;
} PgmlGbmRows;

/* Bytes from row to row. */
extern int32_t pgml_gbm_rows_stride(int32_t nfeatures);

/* Bytes that pgml_gbm_rows_create() takes, at most. */
extern int64_t pgml_gbm_rows_size(int64_t n, int32_t nfeatures, bool by_row);

/* Copy the bins of some rows of the matrix, with or without the form for histograms; number is NULL.  bins must live as long. */
extern PgmlStatus pgml_gbm_rows_create(const PgmlEnv *env, PgmlArena *arena, const PgmlBins *bins,
									   const int32_t *rows, int64_t n, bool by_row,
									   PgmlGbmRows *out);

/* Room for the bins of n rows, row after row. */
extern PgmlStatus pgml_gbm_rows_room(const PgmlEnv *env, PgmlArena *arena, int64_t n,
									 int32_t stride, uint8_t **out);

/* What a partition of at most n rows works in. */
typedef struct PgmlGbmPartition
{
	int32_t *to_left; /* row numbers on their way, per side */
	int32_t *to_right;
	int64_t *n_left; /* per block */
	int64_t *before; /* that in the blocks before */
} PgmlGbmPartition;

extern PgmlStatus pgml_gbm_partition_create(const PgmlEnv *env, PgmlArena *arena, int64_t n,
											PgmlGbmPartition *out);

/*
 * Reorder the n rows of index so that those whose bin of feature f is in the set come first; the order on each side stays.
 * n_left must be their number.
 */
extern PgmlStatus pgml_gbm_part_rows(const PgmlEnv *env, const PgmlGbmPartition *partition,
									 const PgmlGbmRows *rows, int32_t f, const uint32_t *set,
									 int32_t *index, int64_t n, int64_t n_left);

#endif
