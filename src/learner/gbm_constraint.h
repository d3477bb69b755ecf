/*
 * gbm_constraint.h - what is left to a node of a growing tree: its features, and the values of its leaves.
 *
 * Monotone constraints: where a node is split by a constrained feature, all values on one side stay at or below the midpoint
 * between the children's values, all on the other side at or above it (as XGBoost does, and LightGBM's method "basic").  Two rows
 * that differ in the feature alone part at such a node, or not at all: the sum of the trees is monotone, rounding included.
 *
 * Where leaf values come from residuals (pgml_gbm_renews()) they are in other units than the values that splits are compared
 * by.  They have ranges of their own, from the residuals of the children's rows.
 *
 * Interaction constraints: a node knows the groups that hold all features on the path to it, and may use the features of these.
 */
#ifndef PGML_LEARNER_GBM_CONSTRAINT_H
#define PGML_LEARNER_GBM_CONSTRAINT_H

#include "learner/gbm_split.h"

/* What constraints leave a leaf. */
typedef struct PgmlGbmLimits
{
	PgmlGbmRange
		step; /* of its value from sums, by which splits are compared; set where anything is monotone */
	PgmlGbmRange
		value; /* of its value before shrinkage; the same unless values come from residuals */
	uint64_t
		*groups; /* a bit for each group that holds all features above it; NULL: all interact */
} PgmlGbmLimits;

/* Is anything monotone? */
static inline bool
pgml_gbm_is_monotone(const PgmlGbmConfig *config)
{
	return config->constraints != NULL && config->constraints->monotone != NULL;
}

/* Words of a set of groups; 0 where all features may interact. */
static inline int32_t
pgml_gbm_group_words(const PgmlGbmConfig *config)
{
	return config->constraints != NULL && config->constraints->groups != NULL ?
			   config->constraints->words :
			   0;
}

/* Do nodes have to be told which features they may use? */
static inline bool
pgml_gbm_chooses_features(const PgmlGbmConfig *config)
{
	return config->feature_fraction_bynode < 1 || pgml_gbm_group_words(config) > 0;
}

/* The limits of a root: none.  groups: memory for its set, or NULL. */
extern PgmlGbmLimits pgml_gbm_limits_of_root(const PgmlGbmConfig *config, uint64_t *groups);

/*
 * 1 or -1 when a split puts known values of a monotone feature in order, else 0; a numeric feature has n_bins bins, the one of
 * missing included.
 */
extern int pgml_gbm_split_direction(const PgmlGbmConfig *config, const PgmlGbmSplit *split,
									int n_bins);

/* What the children's values would be, left and right, before they are cut to ranges. */
typedef struct PgmlGbmSides
{
	double step[2];
	double value[2];
} PgmlGbmSides;

/*
 * The limits of the children of a leaf that is split by a feature; child[c].groups is memory for theirs.  sides is looked at when the
 * direction is not 0.
 */
extern void pgml_gbm_limit_children(const PgmlGbmConfig *config, const PgmlGbmLimits *parent,
									int32_t feature, int direction, const PgmlGbmSides *sides,
									PgmlGbmLimits *left, PgmlGbmLimits *right);

/*
 * Choose the features of the list that a leaf may use, into chosen[0 .. n-1]: those its groups hold, and of them a share drawn
 * at random when the settings say so.
 */
extern void pgml_gbm_choose_features(const PgmlGbmConfig *config, const PgmlGbmLimits *limits,
									 const int32_t *features, int32_t n, uint64_t seed,
									 bool *chosen);

#endif
