/*
 * forest_params.c - the settings of random_forest, extra_trees and decision_tree: scikit-learn's, with other defaults for a single tree,
 * which is to be read.
 */
#include "learner/forest.h"

#include <math.h>

/* Weight of a leaf, at least, where that of a row is 1. */
#define LEAST_WEIGHT 1e-9

/* Places of the words below. */
enum
{
	CRITERION_AUTO,
	CRITERION_GINI,
	CRITERION_ENTROPY,
	CRITERION_LOG_LOSS,
	CRITERION_SQUARED_ERROR
};

enum
{
	FEATURES_AUTO,
	FEATURES_SQRT,
	FEATURES_LOG2
};

static const char criteria[] = "auto gini entropy log_loss squared_error";
static const char feature_words[] = "auto sqrt log2";
static const char class_weights[] = "none balanced";

/* ---- rows of the tables, with the default where it differs ---- */

#define N_ESTIMATORS                                                                               \
	{                                                                                              \
		"n_estimators", "num_trees num_iterations ntree n_trees iterations", PGML_PARAM_INT, 1,    \
			100000, 100, true, "Trees, at most.", NULL                                             \
	}

#define CRITERION                                                                                                     \
	{                                                                                                                 \
		"criterion", "split_criterion", PGML_PARAM_CHOICE, 0, 4, CRITERION_AUTO, false,                               \
			"How good a split is. `auto`: `gini` for classes, `squared_error` for numbers; `log_loss` is `entropy`.", \
			criteria                                                                                                  \
	}

#define MAX_DEPTH(standard)                                                                        \
	{                                                                                              \
		"max_depth", "depth", PGML_PARAM_INT, -1, PGML_FOREST_DEPTH, standard, false,              \
			"Depth of a tree, at most; 0 or -1: no bound.", NULL                                   \
	}

#define MAX_LEAF_NODES                                                                             \
	{                                                                                              \
		"max_leaf_nodes", "max_leaves maxnodes", PGML_PARAM_INT, -1, 1e9, -1, true,                \
			"Leaves of a tree, at most, the best splits first; 0 or -1: no bound.", NULL           \
	}

#define MAX_FEATURES(standard, automatic)                                                                       \
	{                                                                                                           \
		"max_features", "feature_fraction_bynode colsample_bynode mtry", PGML_PARAM_REAL, 0.001,                \
			1, standard, false,                                                                                 \
			"Share of the features looked at for each split, more when none of them splits; `auto`: " automatic \
			".",                                                                                                \
			feature_words                                                                                       \
	}

#define MIN_SAMPLES_LEAF(standard)                                                                 \
	{                                                                                              \
		"min_samples_leaf", "min_data_in_leaf min_child_samples min_node_size nodesize",           \
			PGML_PARAM_INT, 1, 1e9, standard, true,                                                \
			"Rows of a leaf, at least; a row counts by its weight when this is more than 1.", NULL \
	}

#define MIN_SAMPLES_SPLIT                                                                                   \
	{                                                                                                       \
		"min_samples_split", NULL, PGML_PARAM_INT, 2, 1e9, 2, true,                                         \
			"Rows of a node that is split, at least; a row counts by its weight when this is more than 2.", \
			NULL                                                                                            \
	}

#define BOOTSTRAP(standard)                                                                        \
	{                                                                                              \
		"bootstrap", NULL, PGML_PARAM_BOOL, 0, 1, standard, false,                                 \
			"Draw the rows of each tree with replacement.", NULL                                   \
	}

#define MAX_SAMPLES                                                                                \
	{                                                                                              \
		"max_samples", "bagging_fraction subsample sample_fraction", PGML_PARAM_REAL, 0.001, 1, 1, \
			false, "Share of the rows drawn for each tree.", NULL                                  \
	}

#define LEAF_SMOOTHING(standard)                                                                   \
	{                                                                                              \
		"leaf_smoothing", NULL, PGML_PARAM_REAL, 0, 1e9, standard, false,                          \
			"Rows with the shares, or the mean, of all rows that are added to each leaf.", NULL    \
	}

#define CLASS_WEIGHT                                                                               \
	{                                                                                              \
		"class_weight", NULL, PGML_PARAM_CHOICE, 0, 1, 0, false,                                   \
			"`balanced`: rows are weighted so that all classes weigh the same.", class_weights     \
	}

#define MAX_BIN                                                                                    \
	{                                                                                              \
		"max_bin", "max_bins", PGML_PARAM_INT, 2, 255, 255, false,                                 \
			"Bins that a feature's values are sorted into, at most.", NULL                         \
	}

const PgmlParam pgml_random_forest_params[PGML_RANDOM_FOREST_PARAMS] = {
	N_ESTIMATORS,
	CRITERION,
	MAX_DEPTH(-1),
	MAX_LEAF_NODES,
	MAX_FEATURES(PGML_WORD(FEATURES_AUTO),
				 "the square root of their number for classes, half of them for numbers"),
	MIN_SAMPLES_LEAF(1),
	MIN_SAMPLES_SPLIT,
	BOOTSTRAP(1),
	MAX_SAMPLES,
	LEAF_SMOOTHING(0.03),
	CLASS_WEIGHT,
	MAX_BIN,
};

const PgmlParam pgml_extra_trees_params[PGML_EXTRA_TREES_PARAMS] = {
	N_ESTIMATORS,
	CRITERION,
	MAX_DEPTH(-1),
	MAX_LEAF_NODES,
	MAX_FEATURES(PGML_WORD(FEATURES_AUTO),
				 "the square root of their number for classes, all for numbers"),
	MIN_SAMPLES_LEAF(1),
	MIN_SAMPLES_SPLIT,
	BOOTSTRAP(0),
	MAX_SAMPLES,
	LEAF_SMOOTHING(0.03),
	CLASS_WEIGHT,
	MAX_BIN,
};

const PgmlParam pgml_decision_tree_params[PGML_DECISION_TREE_PARAMS] = {
	CRITERION,
	MAX_DEPTH(5),
	MAX_LEAF_NODES,
	MAX_FEATURES(1, "all"),
	MIN_SAMPLES_LEAF(20),
	MIN_SAMPLES_SPLIT,
	LEAF_SMOOTHING(0),
	CLASS_WEIGHT,
	MAX_BIN,
};

/* A setting's value, or what holds when the learner does not have it. */
static double
value_of(const PgmlLearner *learner, const PgmlParams *params, const char *name, double otherwise)
{
	double value = pgml_param(learner, params, name);

	return isnan(value) ? otherwise : value;
}

/* The criterion: that of the task where nothing was said. */
static PgmlForestCriterion
criterion_of(int word, PgmlTask task)
{
	if (task == PGML_TASK_REGRESSION)
		return PGML_FOREST_SQUARED_ERROR;
	return word == CRITERION_ENTROPY || word == CRITERION_LOG_LOSS ? PGML_FOREST_ENTROPY :
																	 PGML_FOREST_GINI;
}

/* Share of the features, 0: the square root, -1: the logarithm. */
static double
features_of(const PgmlLearner *learner, double value, PgmlTask task)
{
	if (value == PGML_WORD(FEATURES_SQRT))
		return 0;
	if (value == PGML_WORD(FEATURES_LOG2))
		return -1;
	if (value != PGML_WORD(FEATURES_AUTO))
		return value;
	if (learner == &pgml_learner_decision_tree)
		return 1;
	if (task != PGML_TASK_REGRESSION)
		return 0;
	return learner == &pgml_learner_random_forest ? 0.5 : 1;
}

PgmlForestConfig
pgml_forest_read_config(const PgmlLearner *learner, const PgmlDataset *data,
						const PgmlParams *params)
{
	double depth = value_of(learner, params, "max_depth", 0);
	double leaves = value_of(learner, params, "max_leaf_nodes", 0);
	double min_leaf = value_of(learner, params, "min_samples_leaf", 1);
	double min_split = value_of(learner, params, "min_samples_split", 2);
	int criterion = (int) value_of(learner, params, "criterion", 0);

	return (PgmlForestConfig){
		.n_estimators = (int) value_of(learner, params, "n_estimators", 1),
		.criterion = criterion_of(criterion, data->task),
		.max_depth = depth > 0 ? (int) depth : 0,
		.max_leaves = leaves > 0 ? (int) leaves : 0,
		.max_features =
			features_of(learner, value_of(learner, params, "max_features", 1), data->task),
		/* One row is one row, however light: only what weighs nothing beside the others is no leaf. */
		.min_leaf = min_leaf > 1 ? min_leaf : LEAST_WEIGHT,
		.min_split = min_split > 2 ? min_split : 0,
		.bootstrap = value_of(learner, params, "bootstrap", 0) != 0,
		.max_samples = value_of(learner, params, "max_samples", 1),
		.smoothing = value_of(learner, params, "leaf_smoothing", 0),
		.balanced = value_of(learner, params, "class_weight", 0) != 0,
		.random_cuts = learner == &pgml_learner_extra_trees,
		.max_bin = (int) value_of(learner, params, "max_bin", 255),
	};
}

PgmlStatus
pgml_forest_check(const PgmlLearner *learner, const PgmlParams *params, PgmlTask task,
				  int n_classes, PgmlError *error)
{
	int criterion = (int) value_of(learner, params, "criterion", 0);
	bool for_numbers = criterion == CRITERION_SQUARED_ERROR;
	bool numbers = task == PGML_TASK_REGRESSION;

	(void) n_classes;
	if (numbers && value_of(learner, params, "class_weight", 0) != 0)
		return pgml_fail(error, PGML_ERR_BADARG,
						 "class_weight is for classes, the target is a number");
	if (criterion == CRITERION_AUTO || for_numbers == numbers)
		return PGML_OK;
	pgml_fail(error, PGML_ERR_BADARG, "the criterion of learner \"%s\" does not fit the task",
			  learner->name);
	pgml_fail_hint(error, numbers ? "For numbers it is squared_error." :
									"For classes it is gini or entropy.");
	return PGML_ERR_BADARG;
}
