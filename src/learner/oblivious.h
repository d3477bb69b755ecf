/*
 * oblivious.h - what the files of learner `oblivious_boosting` share.
 *
 *   oblivious.c          settings, the boosting loop, the learner struct
 *   oblivious_sample.c   gradients of a round, drawing rows for the tree, rounding
 *   oblivious_tree.c     growth of one tree, level by level
 *   oblivious_split.c    scores of thresholds
 *   oblivious_leaf.c     leaves of rows, leaf values, scores of rows
 *   oblivious_search.c   the best question on a level
 *   oblivious_ctr.c      statistics of the target per category; oblivious_bucket.c, oblivious_combine.c
 *   oblivious_payload.c  the stored form: encode, verify;  oblivious_score.c: predict
 *   oblivious_trees.c    the form for explanations
 *   oblivious_prepare.c  the form for blocks of rows;  oblivious_block.c: predict them, by oblivious_kernel.c
 *
 * In an oblivious tree all nodes of a level ask the same question (Kohavi 1994; Prokhorenkova et al. 2018): the leaf's
 * number has a bit for each level.  A depth-wise tree has a question for each node and is stored as a complete binary
 * tree.  A leaf has a value for each output.
 *
 * Gradients are integers while histograms are built, as in gbm.h, whose histograms are used.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_H
#define PGML_LEARNER_OBLIVIOUS_H

#include "learner/gbm.h"
#include "learner/gbm_hist.h"
#include "learner/gbm_loss.h"

#define PGML_OBL_MAX_DEPTH    10
#define PGML_OBL_MAX_COMBINED 4  /* categorical features in a combination */
#define PGML_OBL_CTR_BINS     16 /* values that a statistic is rounded to */
#define PGML_OBL_MAX_TARGETS                                                                       \
	6 /* classes with a statistic of their own, the most frequent ones of more than two */

/* How rows are drawn for a tree. */
typedef enum PgmlOblBootstrap
{
	PGML_OBL_BOOTSTRAP_AUTO,
	PGML_OBL_BOOTSTRAP_MVS,
	PGML_OBL_BOOTSTRAP_BAYESIAN,
	PGML_OBL_BOOTSTRAP_BERNOULLI,
	PGML_OBL_BOOTSTRAP_NONE
} PgmlOblBootstrap;

/* Settings of a fit, read from PgmlParams. */
typedef struct PgmlOblConfig
{
	int n_estimators;
	double learning_rate; /* > 0 */
	int depth;
	bool depthwise;
	double l2;
	double random_strength;
	PgmlOblBootstrap bootstrap; /* never AUTO */
	double subsample;
	double temperature;
	int leaf_iterations;
	int64_t min_data; /* depth-wise only */
	double feature_fraction;
	int max_bin;
	int one_hot_max_size;
	int max_combined;
	int patience; /* 0: no early stopping */
} PgmlOblConfig;

typedef enum PgmlOblKind
{
	PGML_OBL_NUMBER, /* true when the bin is greater than `bin` */
	PGML_OBL_LEVEL,  /* true when it is `bin` */
	PGML_OBL_CTR     /* as numbers */
} PgmlOblKind;

/* A question: rows of which it is true go on to the right. */
typedef struct PgmlOblSplit
{
	PgmlOblKind kind;
	int32_t column; /* feature; CTR: projection * width + place */
	int32_t bin;
} PgmlOblSplit;

/*
 * A bin for each row: the byte of row i is at[(number ? number[i] : i) * stride].  The byte is the bin, or, coded, the number of
 * its value.
 */
typedef struct PgmlOblColumn
{
	const uint8_t *at;
	const int32_t *number;
	int64_t stride;
	bool coded;
	uint8_t value[PGML_GBM_BINS];
} PgmlOblColumn;

static inline uint8_t
pgml_obl_byte(const PgmlOblColumn *column, int64_t row)
{
	return column->at[(column->number ? column->number[row] : row) * column->stride];
}

/* The bin that a byte stands for. */
static inline uint8_t
pgml_obl_decoded(const PgmlOblColumn *column, uint8_t byte)
{
	return column->coded ? column->value[byte] : byte;
}

static inline uint8_t
pgml_obl_bin(const PgmlOblColumn *column, int64_t row)
{
	return pgml_obl_decoded(column, pgml_obl_byte(column, row));
}

/* Is the question's answer true for a bin? */
static inline bool
pgml_obl_true(const PgmlOblSplit *split, uint8_t bin)
{
	return split->kind == PGML_OBL_LEVEL ? bin == split->bin : bin > split->bin;
}

/*
 * A tree.  Oblivious: split[0 .. depth-1], bit d of a leaf's number is the answer to split d.  Depth-wise: a complete binary tree of
 * 2^depth - 1 splits, children of i at 2i + 1 (false) and 2i + 2; leaf = place in the last level.  A split that no row
 * passes has column -1.
 */
typedef struct PgmlOblTree
{
	int32_t depth;
	bool depthwise;
	PgmlOblSplit *split; /* room for 2^PGML_OBL_MAX_DEPTH */
	double *value;       /* [leaf * n_outputs + output], shrunk by the learning rate */
	float *cover;        /* of each leaf: rows by their weight */
} PgmlOblTree;

static inline int32_t
pgml_obl_tree_splits(const PgmlOblTree *tree)
{
	return tree->depthwise ? (1 << tree->depth) - 1 : tree->depth;
}

/* Random streams of the learner: the first word of a stream's number. */
enum
{
	PGML_OBL_STREAM_SAMPLE = 21,
	PGML_OBL_STREAM_NOISE,
	PGML_OBL_STREAM_ORDER,
	PGML_OBL_STREAM_CHOICE,
	PGML_OBL_STREAM_ROUND
};

/* Blocks of rows in loops over them. */
#define PGML_OBL_BLOCK 4096

static inline int64_t
pgml_obl_blocks(int64_t n)
{
	return (n + PGML_OBL_BLOCK - 1) / PGML_OBL_BLOCK;
}

/* 64 random bits from a place in a stream. */
static inline uint64_t
pgml_obl_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

#endif
