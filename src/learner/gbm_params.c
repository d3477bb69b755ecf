/*
 * gbm_params.c - the settings of gradient boosting.
 */
#include "learner/gbm.h"

#include <math.h>

/*
 * Rows above which a round draws fewer of them unless told otherwise, and the least share: it takes less time, and
 * trees that differ more err less together (Friedman 2002).
 */
#define MANY_ROWS      ((int64_t) 100000)
#define LEAST_FRACTION 0.1

/* Depth at which a full tree has as many leaves as num_leaves may ask for. */
#define MOST_DEPTH 15

enum
{
	PARAM_N_ESTIMATORS,
	PARAM_LEARNING_RATE,
	PARAM_NUM_LEAVES,
	PARAM_MAX_DEPTH,
	PARAM_MIN_DATA_IN_LEAF,
	PARAM_MIN_SUM_HESSIAN,
	PARAM_LAMBDA_L1,
	PARAM_LAMBDA_L2,
	PARAM_MIN_GAIN,
	PARAM_BAGGING_FRACTION,
	PARAM_MVS_FRACTION,
	PARAM_FEATURE_FRACTION,
	PARAM_FEATURE_FRACTION_BYNODE,
	PARAM_EXTRA_TREES,
	PARAM_MAX_BIN,
	PARAM_EARLY_STOPPING,
	PARAM_CAT_L2,
	PARAM_CAT_SMOOTH,
	PARAM_MAX_CAT_THRESHOLD,
	PARAM_MAX_CAT_TO_ONEHOT,
	PARAM_MIN_DATA_PER_GROUP,
	PARAM_OBJECTIVE,
	PARAM_ALPHA,
	PARAM_HUBER_DELTA,
	PARAM_TWEEDIE_POWER,
	PARAM_MAX_DELTA_STEP,
	PARAM_GROW_POLICY,
	PARAM_CLASS_WEIGHT,
	PARAM_SCALE_POS_WEIGHT,
	N_PARAMS
};

_Static_assert(N_PARAMS == PGML_GBM_N_PARAMS, "the number of settings is known to gbm.c");

const PgmlParam pgml_gbm_params[PGML_GBM_N_PARAMS] = {
	[PARAM_N_ESTIMATORS] = { "n_estimators",
							 "num_iterations num_iteration num_boost_round num_round num_rounds num_trees "
							 "n_iter max_iter iterations",
							 PGML_PARAM_INT, 1, 100000, 100, true,
							 "Rounds of boosting, at most; each adds a tree (multiclass: one per class).",
							 NULL },
	[PARAM_LEARNING_RATE] = { "learning_rate", "eta shrinkage_rate", PGML_PARAM_REAL, 1e-6, 1, 0.1,
							  true, "Share of each tree's step that is taken.", NULL },
	[PARAM_NUM_LEAVES] = { "num_leaves", "num_leaf max_leaves max_leaf max_leaf_nodes",
						   PGML_PARAM_INT, 2, 32768, 31, true, "Leaves of a tree, at most.", NULL },
	[PARAM_MAX_DEPTH] = { "max_depth", "depth", PGML_PARAM_INT, -1, 10000, -1, false,
						  "Depth of a tree, at most; 0 or -1: no bound.", NULL },
	[PARAM_MIN_DATA_IN_LEAF] = { "min_data_in_leaf",
								 "min_child_samples min_samples_leaf min_data min_data_per_leaf",
								 PGML_PARAM_INT, 0, 1e9, 20, true, "Rows of a leaf, at least.",
								 NULL },
	[PARAM_MIN_SUM_HESSIAN] = { "min_sum_hessian_in_leaf",
								"min_child_weight min_sum_hessian min_sum_hessian_per_leaf min_hessian",
								PGML_PARAM_REAL, 0, 1e9, 1e-3, true,
								"Sum of the loss's second derivatives in a leaf, at least.", NULL },
	[PARAM_LAMBDA_L1] = { "lambda_l1", "reg_alpha l1_regularization", PGML_PARAM_REAL, 0, 1e9, 0,
						  true, "L1 penalty on leaf values.", NULL },
	[PARAM_LAMBDA_L2] = { "lambda_l2", "reg_lambda l2_regularization lambda l2_leaf_reg",
						  PGML_PARAM_REAL, 0, 1e9, 0, true, "L2 penalty on leaf values.", NULL },
	[PARAM_MIN_GAIN] = { "min_gain_to_split", "min_split_gain min_split_loss gamma",
						 PGML_PARAM_REAL, 0, 1e9, 0, true, "Gain of a split, at least.", NULL },
	[PARAM_BAGGING_FRACTION] = { "bagging_fraction", "subsample sub_row bagging", PGML_PARAM_REAL,
								 0.001, 1, 1, false,
								 "Share of the rows drawn for each round, all as likely; not used when "
								 "mvs_fraction is below 1.",
								 NULL },
	[PARAM_MVS_FRACTION] = { "mvs_fraction", NULL, PGML_PARAM_REAL, 0.001, 1, 1, false,
							 "Share of the rows drawn for each round, more likely those with large gradients "
							 "(minimal variance sampling); when neither this nor bagging_fraction is given, "
							 "less than 1 above 100,000 rows.",
							 NULL },
	[PARAM_FEATURE_FRACTION] = { "feature_fraction", "colsample_bytree sub_feature",
								 PGML_PARAM_REAL, 0.001, 1, 1, false,
								 "Share of the features drawn for each tree.", NULL },
	[PARAM_FEATURE_FRACTION_BYNODE] = { "feature_fraction_bynode",
										"colsample_bynode sub_feature_bynode max_features",
										PGML_PARAM_REAL, 0.001, 1, 1, false,
										"Share of the tree's features drawn for each node.", NULL },
	[PARAM_EXTRA_TREES] = { "extra_trees", "extra_tree", PGML_PARAM_BOOL, 0, 1, 0, false,
							"Try one random threshold per feature and node instead of all.", NULL },
	[PARAM_MAX_BIN] = { "max_bin", "max_bins", PGML_PARAM_INT, 2, 255, 255, false,
						"Bins that a feature's values are sorted into, at most.", NULL },
	[PARAM_EARLY_STOPPING] = { "early_stopping_round",
							   "early_stopping_rounds early_stopping n_iter_no_change",
							   PGML_PARAM_INT, 0, 100000, 50, false,
							   "Stop after this many rounds without a better validation loss; 0: never.",
							   NULL },
	[PARAM_CAT_L2] = { "cat_l2", NULL, PGML_PARAM_REAL, 0, 1e9, 10, true,
					   "L2 penalty added for the children of a split by a set of levels.", NULL },
	[PARAM_CAT_SMOOTH] = { "cat_smooth", NULL, PGML_PARAM_REAL, 0, 1e9, 10, true,
						   "Draws the mean gradients of rare levels towards zero when levels are ordered.",
						   NULL },
	[PARAM_MAX_CAT_THRESHOLD] = { "max_cat_threshold", NULL, PGML_PARAM_INT, 1, 255, 32, false,
								  "Levels in the smaller set of a split, at most.", NULL },
	[PARAM_MAX_CAT_TO_ONEHOT] = { "max_cat_to_onehot", NULL, PGML_PARAM_INT, 1, 255, 4, false,
								  "Features with at most this many levels are split one level against the rest.",
								  NULL },
	[PARAM_MIN_DATA_PER_GROUP] = { "min_data_per_group", NULL, PGML_PARAM_INT, 1, 1e9, 100, true,
								   "Rows of a group of levels, at least; when not given, a hundredth of the "
								   "rows between 10 and 100.",
								   NULL },
	[PARAM_OBJECTIVE] = { "objective", "loss", PGML_PARAM_CHOICE, 0, 9, 0, false,
						  "The loss; auto: squared, or for classes logistic or softmax.",
						  "auto squared absolute quantile huber poisson gamma tweedie logistic softmax" },
	[PARAM_ALPHA] = { "alpha", "quantile_alpha", PGML_PARAM_REAL, 0.001, 0.999, 0.9, false,
					  "The quantile that objective quantile predicts; of objective huber, the share of "
					  "residuals that count with their squares.",
					  NULL },
	[PARAM_HUBER_DELTA] = { "huber_delta", "delta huber_slope", PGML_PARAM_REAL, 0, 1e100, 0, false,
							"Residual above which objective huber is linear, in units of the target; 0: "
							"from alpha, in every round.",
							NULL },
	[PARAM_TWEEDIE_POWER] = { "tweedie_variance_power", NULL, PGML_PARAM_REAL, 1.001, 1.999, 1.5,
							  false,
							  "Power of the mean that objective tweedie takes the variance for.",
							  NULL },
	[PARAM_MAX_DELTA_STEP] = { "poisson_max_delta_step", NULL, PGML_PARAM_REAL, 0, 10, 0.7, false,
							   "Added to the score in the second derivative of objective poisson: "
							   "larger values make smaller steps.",
							   NULL },
	[PARAM_GROW_POLICY] = { "grow_policy", NULL, PGML_PARAM_CHOICE, 0, 2, 0, false,
							"Which leaf is split next: the one that gains most (lossguide, or leafwise), "
							"or one nearest to the root (depthwise; num_leaves is then 2^max_depth unless "
							"given).",
							"lossguide depthwise leafwise" },
	[PARAM_CLASS_WEIGHT] = { "class_weight", NULL, PGML_PARAM_CHOICE, 0, 1, 0, false,
							 "balanced: rows of a class together weigh as much as those of any other.",
							 "none balanced" },
	[PARAM_SCALE_POS_WEIGHT] = { "scale_pos_weight", NULL, PGML_PARAM_REAL, 1e-6, 1e6, 1, true,
								 "Weight of the positive one of two classes.", NULL },
};

double
pgml_gbm_mvs_fraction(int64_t n)
{
	double share = (double) MANY_ROWS / (double) n;

	/* The power 5/8 by square roots, which are the same on every machine. */
	return share < 1 ? fmax(LEAST_FRACTION, sqrt(share) * sqrt(sqrt(sqrt(share)))) : 1;
}

double
pgml_gbm_quantile(const PgmlParams *params)
{
	PgmlGbmObjective objective = (PgmlGbmObjective) params->v[PARAM_OBJECTIVE];

	return objective == PGML_GBM_QUANTILE ? params->v[PARAM_ALPHA] :
		   objective == PGML_GBM_ABSOLUTE ? 0.5 :
											0;
}

PgmlGbmConfig
pgml_gbm_read_config(const PgmlDataset *data, const PgmlParams *params)
{
	const double *v = params->v;
	PgmlGbmConfig c = { .n_estimators = (int) v[PARAM_N_ESTIMATORS],
						.learning_rate = v[PARAM_LEARNING_RATE],
						.num_leaves = (int) v[PARAM_NUM_LEAVES],
						.max_depth = v[PARAM_MAX_DEPTH] > 0 ? (int) v[PARAM_MAX_DEPTH] : 0,
						.min_data = (int64_t) fmax(v[PARAM_MIN_DATA_IN_LEAF], 1),
						.min_hessian = v[PARAM_MIN_SUM_HESSIAN],
						.lambda_l1 = v[PARAM_LAMBDA_L1],
						.lambda_l2 = v[PARAM_LAMBDA_L2],
						.min_gain = v[PARAM_MIN_GAIN],
						.bagging_fraction = v[PARAM_BAGGING_FRACTION],
						.mvs_fraction = v[PARAM_MVS_FRACTION],
						.feature_fraction = v[PARAM_FEATURE_FRACTION],
						.feature_fraction_bynode = v[PARAM_FEATURE_FRACTION_BYNODE],
						.extra_trees = v[PARAM_EXTRA_TREES] != 0,
						.max_bin = (int) v[PARAM_MAX_BIN],
						.patience = (int) v[PARAM_EARLY_STOPPING],
						.cat_l2 = v[PARAM_CAT_L2],
						.cat_smooth = v[PARAM_CAT_SMOOTH],
						.max_cat_threshold = (int) v[PARAM_MAX_CAT_THRESHOLD],
						.max_cat_to_onehot = (int) v[PARAM_MAX_CAT_TO_ONEHOT],
						.min_data_per_group = (int64_t) v[PARAM_MIN_DATA_PER_GROUP],
						.objective = (PgmlGbmObjective) v[PARAM_OBJECTIVE],
						.alpha = v[PARAM_ALPHA],
						.huber_delta = v[PARAM_HUBER_DELTA],
						.tweedie_power = v[PARAM_TWEEDIE_POWER],
						.max_delta_step = v[PARAM_MAX_DELTA_STEP],
						.balanced = v[PARAM_CLASS_WEIGHT] != 0,
						.scale_pos_weight = v[PARAM_SCALE_POS_WEIGHT],
						.depthwise = v[PARAM_GROW_POLICY] == 1,
						.constraints = data->constraints };

	if (c.depthwise && c.max_depth > 0 && !params->given[PARAM_NUM_LEAVES])
		c.num_leaves = c.max_depth < MOST_DEPTH ? 1 << c.max_depth : 1 << MOST_DEPTH;
	if (!params->given[PARAM_MVS_FRACTION])
	{
		if (params->given[PARAM_BAGGING_FRACTION])
			c.mvs_fraction = 1;
		else if (c.mvs_fraction == 1)
			c.mvs_fraction = pgml_gbm_mvs_fraction(data->n);
	}
	if (!params->given[PARAM_MIN_DATA_PER_GROUP])
	{
		/* A hundred rows a group is for large tables; small ones would never be split by level. */
		int64_t scaled = data->n / 100 < 10 ? 10 : data->n / 100;

		c.min_data_per_group = scaled < c.min_data_per_group ? scaled : c.min_data_per_group;
	}
	return c;
}
