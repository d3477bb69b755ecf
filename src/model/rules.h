/*
 * rules.h - a model of one decision tree as rules, one a leaf.
 */
#ifndef PGML_MODEL_RULES_H
#define PGML_MODEL_RULES_H

#include "model/image.h"

typedef struct PgmlRule
{
	const char *condition; /* zero-terminated; "true" where the tree asks nothing */
	double rows;           /* that the leaf was grown from */
	const double *out;     /* the prediction, as pgml_image_predict() gives it */
} PgmlRule;

/*
 * The rules of an image, in arena, in the order of the leaves from left to right; every row satisfies exactly one.  exact: conditions are SQL, see
 * prep/recipe_sql.h.  PGML_ERR_BADARG when the image is not one decision_tree, or stored by a former version, or
 * a condition cannot be said.
 */
extern PgmlStatus pgml_image_rules(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
								   bool exact, PgmlRule **rules, int32_t *n);

/*
 * Append a CASE expression over the input columns that gives the prediction: the number; the class as text, or with class >= 0 its
 * probability.  Fails as pgml_image_rules() does.
 */
extern PgmlStatus pgml_image_tree_sql(const PgmlEnv *env, PgmlArena *arena, const PgmlImage *image,
									  int class, PgmlBuf *out);

#endif
