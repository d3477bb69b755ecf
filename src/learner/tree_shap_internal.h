/*
 * tree_shap_internal.h - what the files of tree_shap.h share: trees as lists of edges.
 *
 * A tree is walked along its edges.  After an edge of feature i the product has the factor f = t o + (1 - t) z of i, with o and z
 * of all edges of i so far: where an edge above has the same feature, its factor is divided out.  On the way back the sum G
 * of the leaves below the edge, times their products, gives i (o - z) / f * G, less the same of that edge above, whose sum has
 * these leaves, too.  Where o = 0, (o - z) / f is -1 / (1 - t), whatever z is.
 */
#ifndef PGML_LEARNER_TREE_SHAP_INTERNAL_H
#define PGML_LEARNER_TREE_SHAP_INTERNAL_H

#include "learner/gbm_payload.h"
#include "learner/tree_shap.h"

/* Steps between two looks at the stop flag: some milliseconds. */
#define PGML_SHAP_POLL 4000000

/* One edge, in the order of a walk that goes left first. */
typedef struct PgmlShapEdge
{
	double
		z; /* product of the shares of cover on the path's edges of the feature, this one included */
	int32_t node;   /* that it leaves */
	int32_t leaf;   /* that it ends in; -1: a node */
	int32_t depth;  /* of its lower end, from 1 */
	int32_t before; /* depth of the next edge above of the same player; 0: none */
	int32_t player; /* whose number is tested: see trees.h */
	bool left;
} PgmlShapEdge;

/* Numbers that one row is worked on with at once. */
typedef double PgmlShapFour __attribute__((vector_size(32)));

/*
 * Gauss and Legendre's rule for the integral from 0 to 1: as many nodes as its order, filled up to whole fours with nodes of
 * weight 0.
 */
typedef struct PgmlShapRule
{
	const double *t;
	const double *weight;
} PgmlShapRule;

/* Fours that a rule has. */
static inline int32_t
pgml_shap_fours(int32_t order)
{
	return (order + 3) / 4;
}

typedef struct PgmlShapTree
{
	const PgmlTree *tree;
	const PgmlShapEdge *edge; /* 2 n_nodes */
	int32_t order;            /* of the rule: as many nodes */
	int32_t depth;
} PgmlShapTree;

struct PgmlTreeShap
{
	const PgmlTrees *trees;
	const PgmlShape *shape;
	int32_t n_tested; /* features and statistics */
	int32_t n_players;
	const PgmlShapTree *tree;
	const double *base;       /* per output */
	const PgmlShapRule *rule; /* by order */
	int32_t max_order;
	int32_t max_depth;
};

/* Does a row with this value of the node's feature go left? */
static inline bool
pgml_shap_goes_left(const PgmlTreeShap *shap, const PgmlTreeNode *node, float x)
{
	uint32_t bin;

	if (node->set == NULL)
		return (x <= node->threshold) | ((x != x) & node->missing_left);
	bin = pgml_gbm_level_bin(x, shap->shape->n_levels[node->feature], shap->trees->max_bin);
	return node->set[bin / 32] >> (bin % 32) & 1;
}

/* Does the tree have values of the output? */
static inline bool
pgml_shap_has_output(const PgmlTree *tree, int output)
{
	return output >= tree->first_output && output < tree->first_output + tree->n_values;
}

/* Value of a leaf for an output that the tree has. */
static inline double
pgml_shap_leaf_value(const PgmlTree *tree, int32_t leaf, int output)
{
	return tree->value[(int64_t) leaf * tree->n_values + output - tree->first_output];
}

/* A row alone, in tree_shap_row.c: the arguments of pgml_tree_shap_block(), and the scratch memory. */
extern size_t pgml_shap_row_scratch(const PgmlTreeShap *shap);
extern PgmlStatus pgml_shap_row(const PgmlEnv *env, const PgmlTreeShap *shap,
								const PgmlBlock *block, int output, double factor, double *phi,
								int64_t stride, void *scratch);

/* Several rows, in tree_shap_block.c: the same. */
extern size_t pgml_shap_rows_scratch(const PgmlTreeShap *shap);
extern PgmlStatus pgml_shap_rows(const PgmlEnv *env, const PgmlTreeShap *shap,
								 const PgmlBlock *block, int output, double factor, double *phi,
								 int64_t stride, void *scratch);

#endif
