/*
 * gbm_tree.h - growth of one tree over binned rows.
 */
#ifndef PGML_LEARNER_GBM_TREE_H
#define PGML_LEARNER_GBM_TREE_H

#include "learner/gbm.h"
#include "learner/gbm_hist.h"
#include "learner/gbm_objective.h"
#include "learner/gbm_split.h"

/* An inner node. A child >= 0 is a node (always after its parent), else leaf number ~child. */
typedef struct PgmlGbmTreeNode
{
	int32_t feature;
	bool categorical;
	bool missing_left;
	float threshold; /* numeric: x <= threshold goes left */
	int32_t left;
	int32_t right;
	uint32_t set[PGML_GBM_SET_WORDS]; /* bins that go left */
} PgmlGbmTreeNode;

/* n_leaves - 1 nodes, the root first; a single leaf has none. */
typedef struct PgmlGbmTree
{
	int32_t n_leaves;
	PgmlGbmTreeNode *node;
	double *value; /* of each leaf, shrunk by the learning rate */
	float *cover;  /* of each leaf, > 0: rows, by their weights */
} PgmlGbmTree;

typedef struct PgmlGbmGrower PgmlGbmGrower;

/* Bytes that a grower takes, histograms included. */
extern int64_t pgml_gbm_grower_size(const PgmlGbmConfig *config, const PgmlDataset *data,
									const PgmlBins *bins);

/*
 * A grower for trees over at most n rows, with memory for everything.  pool_bytes bounds the histograms kept; less
 * memory costs time but changes no result.
 */
extern PgmlStatus pgml_gbm_grower_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlGbmConfig *config, const PgmlMatrix *x,
										 const PgmlBins *bins, int64_t n, int64_t pool_bytes,
										 PgmlGbmGrower **out);

/* What a tree is grown from. */
typedef struct PgmlGbmGrowth
{
	const PgmlGbmRows *rows;
	const PgmlGbmGradients *gradients;
	const PgmlGbmTarget
		*target; /* of the same rows: what they are the gradients of, and its output */
	int output;
	int32_t *index; /* rows to learn from, in ascending order; reordered by leaf */
	int64_t n;
	const int32_t *features; /* features that may be used, ascending */
	int32_t n_features;
	uint64_t seed;
	PgmlGbmPoint *points; /* room for n, where leaf values come from residuals */
} PgmlGbmGrowth;

/* Grow a tree.  *complete is false when the deadline passed before it was finished: the tree is then void. */
extern PgmlStatus pgml_gbm_grow(PgmlGbmGrower *grower, const PgmlGbmGrowth *growth,
								const PgmlGbmTree **tree, bool *complete);

/* Add the leaf values of the tree grown last to the scores of the rows it was grown from. */
extern PgmlStatus pgml_gbm_add_leaves(const PgmlGbmGrower *grower, const PgmlGbmGrowth *growth,
									  double *score);

#endif
