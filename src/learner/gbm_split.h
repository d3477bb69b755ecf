/*
 * gbm_split.h - the best way to part a node's rows by one feature.
 *
 * The gain of a split is L(G_l, H_l) + L(G_r, H_r) - L(G, H) with L(G, H) = max(|G| - lambda_l1, 0)^2 / (H + lambda_l2),
 * twice the decrease of the second-order approximation of the loss (Friedman 2001; Chen and Guestrin 2016).  Under monotone
 * constraints values are cut to the node's range before, and children whose values have the wrong order are no candidates.
 */
#ifndef PGML_LEARNER_GBM_SPLIT_H
#define PGML_LEARNER_GBM_SPLIT_H

#include "learner/gbm.h"

/* Values, before shrinkage, that a leaf may have. */
typedef struct PgmlGbmRange
{
	double low;
	double high;
} PgmlGbmRange;

/* The nearest value in the range. */
static inline double
pgml_gbm_clip(const PgmlGbmRange *range, double value)
{
	value = value < range->low ? range->low : value;
	return value > range->high ? range->high : value;
}

/* A node whose rows may be parted. */
typedef struct PgmlGbmNode
{
	const PgmlGbmConfig *config;
	const PgmlGbmScale *scale;
	PgmlGbmSum total;
	double noise;  /* of the gradients; 0: not known, all gains of sets of levels count */
	uint64_t seed; /* of the node's random thresholds */

	/* With monotone constraints: what values of the node's leaves are cut to, and the direction of each feature; else NULL. */
	const PgmlGbmRange *range;
	const int8_t *monotone;
} PgmlGbmNode;

typedef struct PgmlGbmSplit
{
	double gain; /* <= 0: none found */
	int32_t feature;
	bool categorical;
	bool missing_left;
	uint8_t bin;      /* numeric: bins 1 .. bin go left */
	PgmlGbmSum left;  /* sums of the rows that go left */
	double lambda_l2; /* that of the children's values */
	uint32_t
		set[PGML_GBM_SET_WORDS]; /* bit b: bin b goes left; numeric: see pgml_gbm_split_close() */
} PgmlGbmSplit;

/*
 * L(G, H) of the sums; where the node has a range it is twice the decrease of the penalised loss at the value cut to the range,
 * which may be below 0: -2 G v - (H + lambda_l2) v^2 - 2 lambda_l1 |v|.
 */
extern double pgml_gbm_loss_gain(const PgmlGbmNode *node, PgmlGbmSum sum, double lambda_l2);

/* Value that minimises the loss of a leaf with sums g and h, before shrinkage. */
extern double pgml_gbm_leaf_value(const PgmlGbmConfig *config, double g, double h,
								  double lambda_l2);

/* Smallest sum of h that a child may have: what was asked for, and more than nothing. */
extern double pgml_gbm_min_hessian(const PgmlGbmNode *node);

/* Uniform random number in [0, n) for draw number `draw` of a feature at the node. */
extern int pgml_gbm_draw(const PgmlGbmNode *node, int32_t feature, int draw, int n);

/* Best split of a numeric or categorical feature from its histogram of n_bins entries; gain <= 0 when none. */
extern void pgml_gbm_split_numeric(const PgmlGbmNode *node, int32_t feature, const PgmlGbmSum *hist,
								   int n_bins, PgmlGbmSplit *split);
extern void pgml_gbm_split_categorical(const PgmlGbmNode *node, int32_t feature,
									   const PgmlGbmSum *hist, int n_bins, PgmlGbmSplit *split);

/*
 * What parting the m of n equally frequent levels with the lowest mean gradients from the others gains on average when the
 * levels do not matter, at noise 1: m times the squared mean of the lowest m of n standard normal values, over 1 - m / n.
 */
extern double pgml_gbm_chance_gain(int m, int n);

/* Fill the set of a numeric split that was chosen. */
extern void pgml_gbm_split_close(PgmlGbmSplit *split);

/* Is the bin in the set? */
static inline bool
pgml_gbm_in_set(const uint32_t *set, uint32_t bin)
{
	return set[bin / 32] >> (bin % 32) & 1;
}

#endif
