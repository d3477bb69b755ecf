/*
 * trees.h - a fitted model as a sum of trees, whatever learner grew them: what explanations are made from.
 *
 * output o of a row = offset[o] + scale * sum over trees of the value for o in the leaf that the row falls into
 */
#ifndef PGML_LEARNER_TREES_H
#define PGML_LEARNER_TREES_H

#include <stdbool.h>
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

typedef struct PgmlTrees
{
	int64_t n_trees;
	const PgmlTree *tree;
	int n_outputs;
	const double *offset; /* per output */
	double scale;         /* e.g. 1 / n_trees for a forest */
	uint32_t max_bin;     /* bins of levels in sets: those of data/bins.h with so many bins */
} PgmlTrees;

#endif
