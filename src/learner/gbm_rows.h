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

/* Rows to part: those whose bin of the feature is in the set go left. */
typedef struct PgmlGbmPartJob
{
	const PgmlGbmRows *rows;
	int32_t feature;
	const uint32_t *set;
	int32_t *index; /* of at most as many rows as the partition was made for */
	int64_t begin;  /* the rows are index[begin .. begin + n - 1] */
	int64_t n;
	int64_t n_left; /* rows that go left */
} PgmlGbmPartJob;

/*
 * Reorder the rows so that those that go left come first; the order on each side stays.  alone: all threads help; else other
 * threads may part other rows of the index meanwhile.
 */
extern PgmlStatus pgml_gbm_part_rows(const PgmlEnv *env, const PgmlGbmPartition *partition,
									 const PgmlGbmPartJob *job, bool alone);

/* Put n parted rows from place `begin`, which were in ascending order before, in that order again; for rows of different leaves at the same time. */
extern void pgml_gbm_merge_rows(const PgmlGbmPartition *partition, int32_t *index, int64_t begin,
								int64_t n, int64_t n_left);

#endif
