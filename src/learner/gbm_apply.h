/*
 * gbm_apply.h - add a tree that was just grown to the scores of binned rows.
 */
#ifndef PGML_LEARNER_GBM_APPLY_H
#define PGML_LEARNER_GBM_APPLY_H

#include "learner/gbm_tree.h"

typedef struct PgmlGbmApplier PgmlGbmApplier;

/* Bytes that an applier takes, run by one thread. */
extern int64_t pgml_gbm_applier_size(int32_t max_leaves, int32_t nfeatures);

/* An applier of trees of at most max_leaves leaves, with memory for every thread of the pool. */
extern PgmlStatus pgml_gbm_applier_create(const PgmlEnv *env, PgmlArena *arena, int32_t max_leaves,
										  int32_t nfeatures, PgmlGbmApplier **out);

/* Add the leaf values of the tree to the scores of all rows, whose columns are their own (number is NULL). */
extern PgmlStatus pgml_gbm_add_tree(PgmlGbmApplier *applier, const PgmlGbmTree *tree,
									const PgmlGbmRows *rows, double *score);

#endif
