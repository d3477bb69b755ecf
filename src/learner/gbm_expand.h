/*
 * gbm_expand.h - what splitting a leaf takes: its rows parted, the children's histograms, and the best split of each.
 *
 * That depends on the leaf alone, not on when it is split.  So leaves that will probably be split soon are expanded ahead
 * of their time, each by one thread: waiting for each other over every single leaf would cost threads more than the work.
 */
#ifndef PGML_LEARNER_GBM_EXPAND_H
#define PGML_LEARNER_GBM_EXPAND_H

#include "learner/gbm_constraint.h"
#include "learner/gbm_pool.h"
#include "learner/gbm_tree.h"

/* Leaves that are expanded together, at most. */
#define PGML_GBM_BATCH 16

typedef struct PgmlGbmLeaf
{
	int64_t begin; /* its rows are index[begin .. begin + n - 1], ascending unless it is expanded */
	int64_t n;
	int32_t depth;
	int32_t parent; /* node whose child it is, -1: the root */
	bool is_left;
	bool expanded;
	int32_t key;   /* that no other leaf of the tree has: the owner of its histogram */
	int32_t slot;  /* of its histogram, if it still has one */
	uint64_t seed; /* of what is drawn for it */
	PgmlGbmSum total;
	double lambda_l2;
	PgmlGbmLimits limits;
	PgmlGbmSplit best;
} PgmlGbmLeaf;

/* Memory for the expansion of one leaf. */
typedef struct PgmlGbmWork
{
	PgmlGbmSplit *candidate[2]; /* per feature of the tree, for each child */
	bool *chosen[2];            /* the same: may it be used; where nodes choose features */
} PgmlGbmWork;

struct PgmlGbmGrower
{
	const PgmlEnv *env;
	const PgmlGbmConfig *config;
	const PgmlMatrix *x;
	const PgmlBins *bins;
	PgmlGbmLayout layout;
	PgmlGbmPool pool;
	PgmlGbmSum *parts;
	PgmlGbmPartition partition;
	int32_t n_work; /* leaves that can be expanded together */
	PgmlGbmWork work[PGML_GBM_BATCH];
	int32_t n_keys;
	bool chooses_features;
	uint64_t *groups; /* a set for each key; NULL: all features may interact */
	int32_t max_leaves;
	PgmlGbmLeaf *leaf;
	PgmlGbmLeaf (*child)[2]; /* of expanded leaves: left and right */
	int32_t *heap;           /* leaves that can be split, the largest gain first */
	int32_t heap_n;
	PgmlGbmTree tree;
};

/* Bytes that the memory for expanding trees over so many features takes, at most. */
extern int64_t pgml_gbm_work_size(const PgmlGbmConfig *config, int64_t nfeatures, int64_t leaves);

/* Allocate it; config and max_leaves are set. */
extern PgmlStatus pgml_gbm_work_create(const PgmlEnv *env, PgmlArena *arena, size_t nfeatures,
									   PgmlGbmGrower *g);

/* Build the histogram of the root and find its best split; total is set. */
extern PgmlStatus pgml_gbm_open_root(PgmlGbmGrower *g, const PgmlGbmGrowth *growth);

/*
 * Expand n leaves, none of which is expanded; n is at most n_work.  With `last` nothing is looked for in the children: the
 * tree will have no room for theirs.
 */
extern PgmlStatus pgml_gbm_expand(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const int32_t *ids,
								  int n, bool last);

#endif
