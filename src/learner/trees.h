/*
 * trees.h - a fitted model as a sum of trees, whatever learner grew them: what explanations are made from.
 *
 * output o of a row = offset[o] + scale * sum over trees of the value for o in the leaf that the row falls into
 */
#ifndef PGML_LEARNER_TREES_H
#define PGML_LEARNER_TREES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An inner node.  A child >= 0 is a node (always after its parent), else leaf ~child; every one but the root has one parent. */
typedef struct PgmlTreeNode
{
	const uint32_t *set; /* categorical: bit b: bin b goes left; NULL: numeric */
	float threshold;     /* numeric: x <= threshold goes left */
	bool missing_left;   /* numeric: a set tells where missing goes, by bin 0 */
	int32_t feature;
	int32_t left;
	int32_t right;
} PgmlTreeNode;

/* A tree of n_nodes nodes has n_nodes + 1 leaves; without nodes it is leaf 0. */
typedef struct PgmlTree
{
	int32_t n_nodes;
	int32_t
		first_output; /* the outputs first_output .. first_output + n_values - 1 have values in the leaves */
	int32_t n_values;
	const PgmlTreeNode *node;
	const double *cover; /* of each leaf, > 0: training rows, or their weight */
	const double *value; /* leaves x n_values */
} PgmlTree;

/*
 * Numbers made of several features of a row, which nodes test as features nfeatures .. nfeatures + n - 1.  What counts as one feature
 * in an explanation is a player: of a number made of one feature that feature, of one made of several their set.  The players
 * are the features, then the sets.
 */
typedef struct PgmlTreeStatistics
{
	int32_t n;
	const int32_t *player; /* of each number */
	int32_t n_sets;
	const int32_t *
		first; /* n_sets + 1: the features of set s are member[first[s]] .. member[first[s + 1] - 1] */
	const int32_t *member;

	/* out[i * step]: number i of the row whose feature f is x[f * stride]; never NaN. */
	void (*compute)(const void *arg, const float *x, int64_t stride, float *out, int64_t step);
	const void *arg;
} PgmlTreeStatistics;

typedef struct PgmlTrees
{
	int64_t n_trees;
	const PgmlTree *tree;
	int n_outputs;
	const double *offset; /* per output */
	double scale;         /* e.g. 1 / n_trees for a forest */
	uint32_t max_bin;     /* bins of levels in sets: those of data/bins.h with so many bins */
	bool log_link;        /* outputs are logarithms of the predicted numbers */
	PgmlTreeStatistics statistics; /* n = 0: nodes test features only */
} PgmlTrees;

/* Numbers that nodes can test. */
static inline int32_t
pgml_trees_tested(const PgmlTrees *trees, int32_t nfeatures)
{
	return nfeatures + trees->statistics.n;
}

/* Players, and the one whose move a tested number is. */
static inline int32_t
pgml_trees_players(const PgmlTrees *trees, int32_t nfeatures)
{
	return nfeatures + trees->statistics.n_sets;
}

static inline int32_t
pgml_trees_player(const PgmlTrees *trees, int32_t nfeatures, int32_t tested)
{
	return tested < nfeatures ? tested : trees->statistics.player[tested - nfeatures];
}

/*
 * Give what the sets have to their features, in equal parts: value[i * stride] is of player i.
 */
extern void pgml_trees_share(const PgmlTrees *trees, int32_t nfeatures, double *value,
							 int64_t stride);

#endif
