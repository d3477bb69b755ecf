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
 *
 * A row alone is passed through 64 trees at a time in the same way, with a processor that can look up 64 bytes at once
 * (AVX-512 VBMI): a step is one test of each tree, in the order of its tests.
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

/* The thresholds of a feature, with infinity in places without one. */
typedef struct PgmlGbmCuts
{
	float last[16]; /* of each 16 sorted ones */
	float sorted[PGML_GBM_BLOCK_CUTS +
				 1]; /* for a row alone, which reads two lines of the cache then */
	float at[PGML_GBM_BLOCK_CUTS +
			 1]; /* as a search tree: the root, its two children, and so on (Eytzinger) */
	int32_t n;
	int32_t depth; /* levels of the tree: 2^depth - 1 places */
	int32_t reserved[14];
} PgmlGbmCuts;

/* A feature that numeric nodes compare; makes a line of ranks. */
typedef struct PgmlGbmNumberLine
{
	int32_t feature;
	uint32_t cuts;  /* number of its thresholds among those of all features */
	int8_t missing; /* rank of missing values */
} PgmlGbmNumberLine;

/* Rows that are at leaf `from` and whose byte of the line is greater than rank go on to leaf `to`. */
typedef struct PgmlGbmTest
{
	uint32_t line;
	int8_t rank;
	uint8_t from;
	uint8_t to;
	uint8_t reserved;
} PgmlGbmTest;

/* Trees that one row passes through together, and lines that it may have then. */
#define PGML_GBM_STEP_TREES 64
#define PGML_GBM_STEP_LINES 128

/* A test of each of 64 trees, as in PgmlGbmTest. */
typedef struct PgmlGbmStep
{
	uint8_t line
		[PGML_GBM_STEP_TREES]; /* PGML_GBM_STEP_SET: whether the set contains the row's bin is known */
	int8_t rank[PGML_GBM_STEP_TREES];
	uint8_t from[PGML_GBM_STEP_TREES];
	uint8_t to[PGML_GBM_STEP_TREES];
} PgmlGbmStep;

#define PGML_GBM_STEP_SET 0x80

/* The bins of a categorical node that go left, a bit each. */
typedef struct PgmlGbmSet
{
	uint32_t line;  /* bin / 8 of the rows; 1 << bin % 8 is in the next line */
	uint32_t place; /* step and tree of its test: step * PGML_GBM_STEP_TREES + tree */
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

	/* Ranks of one row x[feature * stride] in n lines, or NULL: what rank() gives. */
	void (*rank_row)(const PgmlGbmCuts *cuts, const PgmlGbmNumberLine *number, uint32_t n,
					 const float *x, int64_t stride, int8_t *bytes);

	/*
	 * Leaves of one row in 64 trees by n steps, or NULL, with rank_row().  bytes: PGML_GBM_STEP_LINES bytes, of each line the row's, of which
	 * n_lines matter; contained: what contain() says, in the places of sets, and anything in others.
	 */
	void (*find_row)(const PgmlGbmStep *step, int32_t n, const int8_t *bytes, int32_t n_lines,
					 const int8_t *contained, uint8_t *leaf);
} PgmlGbmKernel;

/* Put a threshold into its place among the n sorted ones in `at`; false when there are too many. */
extern bool pgml_gbm_insert_cut(PgmlGbmCuts *cuts, float threshold);

/* From the sorted thresholds in `at` to all forms of them. */
extern void pgml_gbm_plant_cuts(PgmlGbmCuts *cuts);

/* Number of thresholds less than x; 0 when x is missing. */
static inline int32_t
pgml_gbm_rank(const PgmlGbmCuts *cuts, float x)
{
	int32_t at = 0;

	for (int32_t level = 0; level < cuts->depth; level++)
		at = 2 * at + 1 + (cuts->at[at] < x);
	return at - ((1 << cuts->depth) - 1);
}

/* Where a tree begins; it ends where the next one begins. */
typedef struct PgmlGbmTreeStart
{
	uint32_t test;
	uint32_t set;
} PgmlGbmTreeStart;

/*
 * The head of a prepared model, which is bytes without pointers: processes may share it, wherever each has it mapped.  The arrays
 * of PgmlGbmPrepared follow, at these distances from the head; all are multiples of 64.
 */
typedef struct PgmlGbmForm
{
	uint64_t size;   /* of all */
	uint32_t kernel; /* number in pgml_gbm_kernels() */
	uint32_t n_numbers;
	uint32_t n_categories;
	uint32_t most_sets;
	uint64_t cuts;
	uint64_t number;
	uint64_t category;
	uint64_t tree;
	uint64_t test;
	uint64_t set;
	uint64_t value;
	uint64_t step; /* 0: none */
	uint64_t n_steps;
} PgmlGbmForm;

/*
 * Pointers into a prepared model and what it was made of.  Lines: of numbers, then two for each categorical feature, then one for
 * each set of the tree at hand.
 */
typedef struct PgmlGbmPrepared
{
	const PgmlGbmKernel *kernel;
	const PgmlShape *shape;
	PgmlGbmView view;
	uint32_t n_numbers;
	uint32_t n_categories;
	uint32_t most_sets; /* of a tree */
	const PgmlGbmCuts *cuts;
	const PgmlGbmNumberLine *number;
	const int32_t *category;      /* features */
	const PgmlGbmTreeStart *tree; /* n_trees + 1, ordered by output */
	const PgmlGbmTest *test;
	const PgmlGbmSet *set;
	/* Leaf values, from left to right; those of tree t begin at tree[t].test + t. */
	const double *value;
	/* For one row, or NULL: for each 64 trees in their order as many as the largest of them has tests. */
	const PgmlGbmStep *step;
	const uint32_t *n_steps; /* for each 64 trees */
} PgmlGbmPrepared;

/* All kernels, the best first; the last runs everywhere. */
extern const PgmlGbmKernel *const *pgml_gbm_kernels(int *n);

/* The best that runs here. */
extern const PgmlGbmKernel *pgml_gbm_best_kernel(void);

extern const PgmlGbmKernel pgml_gbm_kernel_avx512vbmi;
extern const PgmlGbmKernel pgml_gbm_kernel_avx512;
extern const PgmlGbmKernel pgml_gbm_kernel_avx2;
extern const PgmlGbmKernel pgml_gbm_kernel_plain;

/* The learner's prepare(), with given kernels of pgml_gbm_kernels(); and the other three. */
extern PgmlStatus pgml_gbm_prepare_for(const PgmlEnv *env, PgmlArena *arena,
									   const PgmlGbmKernel *kernel, const uint8_t *payload,
									   const PgmlShape *shape, const void **prepared);
extern PgmlStatus pgml_gbm_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								   const PgmlShape *shape, const void **prepared);
extern size_t pgml_gbm_prepared_size(const void *prepared);
extern size_t pgml_gbm_scratch(const void *prepared);
extern void pgml_gbm_predict_block(const void *prepared, const uint8_t *payload,
								   const PgmlShape *shape, const PgmlBlock *block, double *out,
								   void *scratch);

#endif
