/*
 * explain.h - what each input column adds to a prediction: Shapley values, which add up.
 *
 * Members of an image explain themselves on the scale on which they are sums: trees by tree_shap.h, linear models by
 * contributions() (learner.h).  Members that are no sums are explained in what they predict, value or probability, by mixing the row with
 * background rows (column_shap.h).  The features that the recipe made from a column count together, as the column.
 *
 *   regression       every member is a sum of values: so is their weighted average
 *   all logarithms   regression, and all members are sums before the exponential function (objectives poisson, gamma, tweedie):
 *                    explained is the weighted average of the logarithms; with one member exactly that of the prediction
 *   all scores       classes, and all members are sums of scores before the logistic function or softmax: explained is the
 *                    weighted average of the scores.  Binary: log-odds; with one member exactly those of the prediction.
 *   stacked          classes: the weighted sum of the members' scores, exactly that of the prediction.  Members that are sums of
 *                    probabilities are carried to the logarithms, binary to the log-odds, by the rescale rule (see below).
 *   otherwise        the probability, or the value.  Members that are sums of these are as they are; those of others are carried
 *                    from the scores: each score's contributions are stretched by the mean slope of the probability between the
 *                    expected scores and the row's (integrated gradients, Sundararajan et al. 2017; with two classes the
 *                    rescale rule of Shrikumar et al. 2017, as G-DeepSHAP does, Chen et al. 2022).  They add up to the
 *                    prediction, but are Shapley values of the scores, not of the probability.
 */
#ifndef PGML_MODEL_EXPLAIN_H
#define PGML_MODEL_EXPLAIN_H

#include "learner/tree_shap.h"
#include "model/image.h"

typedef enum PgmlScale
{
	PGML_SCALE_VALUE,
	PGML_SCALE_LOG,
	PGML_SCALE_SCORE,
	PGML_SCALE_PROBABILITY
} PgmlScale;

typedef struct PgmlExplainer PgmlExplainer;

/*
 * Prepare to explain an open image, in arena; refers to the image.  PGML_ERR_BADARG when a member cannot be explained: it
 * was stored by a former version, without what explaining it needs; PGML_ERR_CORRUPT for trees that are none.
 */
extern PgmlStatus pgml_explainer_create(const PgmlEnv *env, PgmlArena *arena,
										const PgmlImage *image, const PgmlExplainer **out);

extern PgmlScale pgml_explainer_scale(const PgmlExplainer *explainer);

/* Steps that explaining one row alone takes at most, of about a nanosecond: for planning. */
extern double pgml_explainer_work(const PgmlExplainer *explainer);

/* Bytes of scratch memory, aligned to 64 bytes. */
extern size_t pgml_explainer_scratch(const PgmlExplainer *explainer);

/*
 * Explain at most PGML_SHAP_ROWS rows of features for a class (regression: 0): contribution[i * stride + row] is what input i
 * of the recipe adds, 0 for inputs that are not used; with base[row] they add up to the row's value, its logarithm, score or
 * probability.
 * Fails only by PGML_ERR_CANCELLED, within 50 ms.
 */
extern PgmlStatus pgml_explain(const PgmlEnv *env, const PgmlExplainer *explainer,
							   const PgmlBlock *block, int class, double *base,
							   double *contribution, int64_t stride, void *scratch);

#endif
