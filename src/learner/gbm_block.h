/*
 * gbm_block.h - score blocks of rows: the prepared form of a boosted model, and the kernels that follow it.
 *
 * The idea of QuickScorer (Lucchese et al. 2015) and RapidScorer (Ye et al. 2018) - compare one node with many rows - without
 * their bit vectors.  A tree's leaves are numbered from left to right, and its nodes follow in the order of their
 * first leaf, parents first.  Each row remembers the first leaf of the subtree it is in; at a node whose subtree begins
 * there and whose test says so, it goes on to the first leaf of the right half.  When all nodes have been passed it
 * remembers its leaf.  No row branches, and one byte of a row is enough: two comparisons and a choice for each node and, with AVX-512,
 * 64 rows.
 *
 * Features become bytes first: a number's rank among the model's own thresholds of the feature, so that "x <= threshold" is a
 * comparison of bytes, exactly.  Missing values are ranked above or below all others; a feature of which missing values
 * go left at some nodes and right at others has two lines of ranks.  For sets of levels a line of 0 and -1 is made
 * before each tree that needs it.
 */
#ifndef PGML_LEARNER_GBM_BLOCK_H
#define PGML_LEARNER_GBM_BLOCK_H

#include "learner/gbm_payload.h"

#define PGML_GBM_BLOCK_LEAVES 256 /* of a tree, at most: they are numbered in a byte */
#define PGML_GBM_BLOCK_CUTS                                                                        \
	255 /* thresholds of a feature, at most: ranks are from 0 to 255, less 128 */
#define PGML_GBM_RANK_BIAS 128

/* Rows of a block in which kernels work; a line is a byte for each of PGML_BLOCK_ROWS rows. */
#define PGML_GBM_LANES 64

/* The sorted thresholds of a feature as a search tree: the root, then its two children, and so on (Eytzinger). */
typedef struct PgmlGbmCuts
{
	int32_t n;
	int32_t depth; /* levels: 2^depth - 1 places, empty ones infinite */
	float at[PGML_GBM_BLOCK_CUTS + 1];
} PgmlGbmCuts;

/* Rows that are at leaf `from` and whose byte of the line is greater than rank go on to leaf `to`. */
typedef struct PgmlGbmTest
{
	uint32_t line;
	int8_t rank;
	uint8_t from;
	uint8_t to;
	uint8_t reserved;
} PgmlGbmTest;

/* The bins of a categorical node that go left, a bit each. */
typedef struct PgmlGbmSet
{
	uint32_t line; /* bin / 8 of the rows; 1 << bin % 8 is in the next line */
	uint8_t bits[PGML_GBM_BINS / 8];
} PgmlGbmSet;

/*
 * The kernels of one kind of processor.  Lines and leaves are aligned to 64 bytes; rows is a multiple of PGML_GBM_LANES,
 * at most PGML_BLOCK_ROWS.  All kinds give the same.
 */
typedef struct PgmlGbmKernel
{
	const char *name;
	bool (*runs_here)(void);

	/* Ranks of n <= rows numbers: of cuts less than them, less 128; `missing` where they are missing. */
	void (*rank)(const PgmlGbmCuts *cuts, const float *x, int64_t n, int64_t rows, int8_t missing,
				 int8_t *line);

	/* 0 for rows whose bin is in the set, else -1. */
	void (*contain)(const uint8_t *bits, const uint8_t *byte, const uint8_t *bit, int64_t rows,
					int8_t *line);

	/* Leaf of each row in a tree of n nodes; lines[line * PGML_BLOCK_ROWS + row]. */
	void (*find)(const PgmlGbmTest *test, int32_t n, const int8_t *lines, int64_t rows,
				 uint8_t *leaf);
} PgmlGbmKernel;

/* All kernels, the best first; the last runs everywhere. */
extern const PgmlGbmKernel *const *pgml_gbm_kernels(int *n);

extern const PgmlGbmKernel pgml_gbm_kernel_avx512;
extern const PgmlGbmKernel pgml_gbm_kernel_avx2;
extern const PgmlGbmKernel pgml_gbm_kernel_plain;

/* The learner's prepare(), with given kernels; and the other two. */
extern PgmlStatus pgml_gbm_prepare_for(const PgmlEnv *env, PgmlArena *arena,
									   const PgmlGbmKernel *kernel, const uint8_t *payload,
									   const PgmlShape *shape, const void **prepared);
extern PgmlStatus pgml_gbm_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								   const PgmlShape *shape, const void **prepared);
extern size_t pgml_gbm_scratch(const void *prepared);
extern void pgml_gbm_predict_block(const void *prepared, const PgmlBlock *block, double *out,
								   void *scratch);

#endif
