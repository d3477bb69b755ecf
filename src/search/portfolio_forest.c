/*
 * portfolio_forest.c - settings of random_forest and extra_trees.  The folds' forests predict together, so that each needs fewer trees
 * than one alone would.
 */
#include "search/portfolio.h"

/* Places of the words in the forests' setting `criterion`. */
#define ENTROPY 2

static const PgmlSettings random_classes[] = {
	{ { "n_estimators", 100 } },
	{ { "n_estimators", 100 },
	  { "criterion", ENTROPY },
	  { "max_features", 0.5 },
	  { "min_samples_leaf", 2 } },
};

static const PgmlSettings random_regression[] = {
	{ { "n_estimators", 100 } },
	{ { "n_estimators", 100 }, { "max_features", 0.3 } },
};

static const PgmlSettings extra_classes[] = {
	{ { "n_estimators", 100 } },
	{ { "n_estimators", 100 }, { "criterion", ENTROPY }, { "max_features", 0.75 } },
	{ { "n_estimators", 100 },
	  { "criterion", ENTROPY },
	  { "min_samples_leaf", 3 },
	  { "leaf_smoothing", 0.5 } },
};

static const PgmlSettings extra_regression[] = {
	{ { "n_estimators", 100 } },
	{ { "n_estimators", 100 }, { "max_features", 0.5 } },
	{ { "n_estimators", 100 }, { "min_samples_leaf", 3 } },
};

const Portfolio pgml_portfolio_random_forest = {
	.learner = &pgml_learner_random_forest,
	.classes = random_classes,
	.n_classes = sizeof(random_classes) / sizeof(random_classes[0]),
	.regression = random_regression,
	.n_regression = sizeof(random_regression) / sizeof(random_regression[0]),
};

const Portfolio pgml_portfolio_extra_trees = {
	.learner = &pgml_learner_extra_trees,
	.classes = extra_classes,
	.n_classes = sizeof(extra_classes) / sizeof(extra_classes[0]),
	.regression = extra_regression,
	.n_regression = sizeof(extra_regression) / sizeof(extra_regression[0]),
};
