/*
 * gbm_apply.h - add a tree that was just grown to the scores of binned rows.
 */
#ifndef PGML_LEARNER_GBM_APPLY_H
#define PGML_LEARNER_GBM_APPLY_H

#include "learner/gbm_block.h"
#include "learner/gbm_tree.h"

typedef struct PgmlGbmApplier PgmlGbmApplier;

/* Bytes that an applier takes. */
extern int64_t pgml_gbm_applier_size(int32_t max_leaves, int32_t nfeatures);

/* An applier of trees of at most max_leaves leaves, with the best kernels that run here or given ones of pgml_gbm_kernels(). */
extern PgmlStatus pgml_gbm_applier_create(const PgmlEnv *env, PgmlArena *arena, int32_t max_leaves,
										  int32_t nfeatures, PgmlGbmApplier **out);
extern PgmlStatus pgml_gbm_applier_create_for(const PgmlEnv *env, PgmlArena *arena,
											  const PgmlGbmKernel *kernel, int32_t max_leaves,
											  int32_t nfeatures, PgmlGbmApplier **out);

/* Add the leaf values of the tree to the scores of all rows, whose columns are their own (number is NULL). */
extern PgmlStatus pgml_gbm_add_tree(PgmlGbmApplier *applier, const PgmlGbmTree *tree,
									const PgmlGbmRows *rows, double *score);

#endif
