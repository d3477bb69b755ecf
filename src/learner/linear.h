/*
 * linear.h - a stored linear model as people read it: a formula of the columns' own values.
 */
#ifndef PGML_LEARNER_LINEAR_H
#define PGML_LEARNER_LINEAR_H

#include "learner/learner.h"

/* What a coefficient is multiplied with. */
typedef enum PgmlTermKind
{
	PGML_TERM_INTERCEPT, /* 1 */
	PGML_TERM_VALUE,     /* the number v, cut off: min(max(v, low), high) */
	PGML_TERM_LOG,       /* sign(u) log(1 + |u| / unit), u being the number cut off, less center */
	PGML_TERM_MISSING,   /* 1 where the feature is missing: instead of its other terms */
	PGML_TERM_LEVEL      /* 1 where the category has the level */
} PgmlTermKind;

typedef struct PgmlLinearTerm
{
	PgmlTermKind kind;
	int output;      /* class of a multiclass task, else 0 */
	int32_t feature; /* -1: the intercept */
	int32_t level;   /* of PGML_TERM_LEVEL */
	double coefficient;
	double low, high;    /* of PGML_TERM_VALUE and PGML_TERM_LOG */
	double center, unit; /* of PGML_TERM_LOG */
} PgmlLinearTerm;

typedef void (*PgmlTermFn)(void *arg, const PgmlLinearTerm *term);

/*
 * Call fn for every term of a verified payload of learner `linear`, output by output: the intercept, then the features in their
 * order.  The score of an output is the sum of coefficients times terms; center[f] is what was subtracted from feature f before the learner
 * saw it (pgml_recipe_center()).  Terms of columns that were constant in training do not exist.
 */
extern void pgml_linear_terms(const uint8_t *payload, const double *center, PgmlTermFn fn,
							  void *arg);

/* Is the score the logarithm of the prediction? */
extern bool pgml_linear_is_log(const uint8_t *payload);

#endif
