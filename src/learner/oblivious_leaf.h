/*
 * oblivious_leaf.h - leaves of rows, leaf values, scores of rows.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_LEAF_H
#define PGML_LEARNER_OBLIVIOUS_LEAF_H

#include "learner/oblivious.h"

/* Room for the sums of leaves: made once. */
typedef struct PgmlOblLeaves
{
	uint16_t *leaf; /* of each row */
	double *g;      /* [(chunk * leaves + leaf) * outputs + output] */
	double *h;
	double *step;  /* [leaf * outputs + output] */
	double *moved; /* scores of a few rows on their way, for each chunk */
} PgmlOblLeaves;

extern int64_t pgml_obl_leaves_size(const PgmlOblConfig *config, int64_t n, int n_outputs);
extern PgmlStatus pgml_obl_leaves_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlOblConfig *config, int64_t n, int n_outputs,
										 PgmlOblLeaves *out);

/* Leaf of each of n rows; column: of each split of the tree. */
extern PgmlStatus pgml_obl_find_leaves(const PgmlEnv *env, const PgmlOblTree *tree,
									   const PgmlOblColumn *column, int64_t n, uint16_t *leaf);

/*
 * Values of a tree's leaves from the rows in them, all of them, times the learning rate: Newton steps from the
 * present scores with penalty l2 (of rows of mean weight), one, or with classes up to leaf_iterations until they gain
 * next to nothing.  g: the gradients of the round if they are of this target, else NULL.  Softmax: the round must have been prepared.
 */
extern PgmlStatus pgml_obl_set_values(const PgmlEnv *env, const PgmlOblConfig *config,
									  const PgmlGbmTarget *target, const double *g,
									  PgmlOblLeaves *leaves, PgmlOblTree *tree);

/* Weights of the rows in each leaf become the tree's covers; leaves' sums are used as room. */
extern PgmlStatus pgml_obl_set_covers(const PgmlEnv *env, const PgmlGbmTarget *target,
									  const PgmlOblLeaves *leaves, PgmlOblTree *tree);

/* Add the values of the rows' leaves to the scores. */
extern PgmlStatus pgml_obl_add_values(const PgmlEnv *env, const PgmlOblTree *tree,
									  const uint16_t *leaf, PgmlGbmTarget *target);

#endif
