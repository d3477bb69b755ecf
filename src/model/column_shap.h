/*
 * column_shap.h - Shapley values of a member whose predictions are no sum, from predictions for rows that are mixed.
 *
 * The value of a set of input columns is the mean of the member's prediction over the background rows (background.h) whose features
 * of these columns are replaced by those of the row that is explained: the other columns are drawn independently of them, from the training
 * rows (interventional expectation).  All features of a column are replaced together.
 *
 *   at most PGML_SHAP_EXACT columns   by definition: all sets of columns are predicted
 *   more                              the mean over orders of the columns, in each of which columns become known one after the other
 *                                     (Strumbelj and Kononenko 2014); each order is followed by its reverse (antithetic
 *                                     pairs, as in Lundberg's PermutationExplainer).  The orders are the same for every row.
 *
 * Either way base and contributions add up to the prediction, but for rounding.
 */
#ifndef PGML_MODEL_COLUMN_SHAP_H
#define PGML_MODEL_COLUMN_SHAP_H

#include "model/image.h"

#define PGML_SHAP_EXACT 8

typedef struct PgmlColumnShap PgmlColumnShap;

/*
 * Prepare to explain member number `member` of the image, in arena; refers to the image.  PGML_ERR_BADARG when the image has no background
 * rows.
 */
extern PgmlStatus pgml_column_shap_create(const PgmlEnv *env, PgmlArena *arena,
										  const PgmlImage *image, int member,
										  const PgmlColumnShap **out);

/* Mean prediction of an output for the background rows. */
extern double pgml_column_shap_base(const PgmlColumnShap *shap, int output);

/* Steps that explaining one row takes, of about a nanosecond: for planning. */
extern double pgml_column_shap_work(const PgmlColumnShap *shap);

/* Bytes of scratch memory, aligned to 64 bytes. */
extern size_t pgml_column_shap_scratch(const PgmlColumnShap *shap);

/*
 * phi[f * stride + i] += factor * (Shapley value for the output and row i of the block of the column whose first feature is f).
 * Fails only by PGML_ERR_CANCELLED.
 */
extern PgmlStatus pgml_column_shap_block(const PgmlEnv *env, const PgmlColumnShap *shap,
										 const PgmlBlock *block, int output, double factor,
										 double *phi, int64_t stride, void *scratch);

#endif
