/*
 * tree_shap.h - exact Shapley values of a sum of trees, with the path-dependent expectation (TreeSHAP; Lundberg et al. 2018,
 * 2020): where a tree asks for a feature that is not known, both children count, by the shares of cover they have.
 *
 * A leaf then says value * product over the features of its path, of 1 or 0 - the row fulfils all of the path's conditions on the
 * feature, or not - where the feature is known, and of z, the product of the shares at its nodes, where it is not.  The
 * Shapley value of such a product is an integral over the share t of features that are known (Owen 1972):
 *
 *   phi_i = value * (o_i - z_i) * integral from 0 to 1 of prod over j != i of (t o_j + (1 - t) z_j) dt
 *
 * The integrand is a polynomial of a degree below the number d of features on the path, so Gauss and Legendre's rule with d / 2
 * nodes gives it exactly.  The products are made on the way down the tree and the leaves' sums on the way up, as in Linear
 * TreeSHAP (Yu et al. 2022): a row takes time proportional to nodes * d / 2.  Rows are worked on side by side.
 */
#ifndef PGML_LEARNER_TREE_SHAP_H
#define PGML_LEARNER_TREE_SHAP_H

#include "core/env.h"
#include "learner/learner.h"
#include "learner/trees.h"

/* Rows that are worked on side by side, at most. */
#define PGML_SHAP_ROWS 64

typedef struct PgmlTreeShap PgmlTreeShap;

/*
 * Prepare, in arena; refers to trees and shape.  PGML_ERR_CORRUPT when nodes do not form trees or a cover is not a positive
 * number: verified payloads may be like that.
 */
extern PgmlStatus pgml_tree_shap_create(const PgmlEnv *env, PgmlArena *arena,
										const PgmlTrees *trees, const PgmlShape *shape,
										const PgmlTreeShap **out);

/* Expectation of an output when no feature is known. */
extern double pgml_tree_shap_base(const PgmlTreeShap *shap, int output);

/* Steps that explaining one row alone takes, of about a nanosecond: for planning. */
extern double pgml_tree_shap_work(const PgmlTreeShap *shap);

/* Bytes of scratch memory, aligned to 64 bytes, that a block takes. */
extern size_t pgml_tree_shap_scratch(const PgmlTreeShap *shap);

/*
 * phi[f * stride + i] += factor * (Shapley value of feature f for the output and row i of the block); at most
 * PGML_SHAP_ROWS rows.  base + the sum over f is the output of row i.  Fails only by PGML_ERR_CANCELLED.
 */
extern PgmlStatus pgml_tree_shap_block(const PgmlEnv *env, const PgmlTreeShap *shap,
									   const PgmlBlock *block, int output, double factor,
									   double *phi, int64_t stride, void *scratch);

#endif
