/*
 * ranges.c - the ranges of every learner, see ranges.h.
 */
#include "search/ranges.h"

#define LOG         PGML_RANGE_LOG
#define CLASSES     PGML_RANGE_CLASSES
#define NUMBERS     PGML_RANGE_NUMBERS
#define CATEGORIES  PGML_RANGE_CATEGORIES
#define PER_FEATURE PGML_RANGE_PER_FEATURE
#define FEW_ROWS    PGML_RANGE_FEW_ROWS

static const PgmlRange gradient_boosting[] = {
	{ "learning_rate", NULL, 0.01, 0.3, LOG, NULL, NULL },
	{ "num_leaves", NULL, 4, 256, LOG | FEW_ROWS, NULL, NULL },
	{ "min_data_in_leaf", NULL, 1, 100, LOG | FEW_ROWS, NULL, NULL },
	{ "feature_fraction", NULL, 0.3, 1, 0, NULL, NULL },
	{ "bagging_fraction", NULL, 0.5, 1, 0, NULL, NULL },
	{ "lambda_l2", NULL, 0.01, 30, LOG, NULL, NULL },
	{ "extra_trees", "0 1", 0, 0, 0, NULL, NULL },
	{ "cat_smooth", NULL, 0.1, 100, LOG | CATEGORIES, NULL, NULL },
	{ "cat_l2", NULL, 0.1, 50, LOG | CATEGORIES, NULL, NULL },
};

static const PgmlRange oblivious_boosting[] = {
	{ "learning_rate", NULL, 0.01, 0.3, LOG, NULL, NULL },
	{ "depth", NULL, 3, 9, 0, NULL, NULL },
	{ "l2_leaf_reg", NULL, 0.1, 30, LOG, NULL, NULL },
	{ "random_strength", NULL, 0.1, 10, LOG, NULL, NULL },
	{ "rsm", NULL, 0.4, 1, 0, NULL, NULL },
	{ "grow_policy", "symmetric depthwise", 0, 0, 0, NULL, NULL },
	{ "one_hot_max_size", "2 4 10 25", 0, 0, CATEGORIES, NULL, NULL },
	{ "max_ctr_complexity", NULL, 1, 4, CATEGORIES, NULL, NULL },
};

static const PgmlRange random_forest[] = {
	{ "max_features", NULL, 0.05, 1, 0, NULL, NULL },
	{ "min_samples_leaf", NULL, 1, 50, LOG | FEW_ROWS, NULL, NULL },
	{ "max_samples", NULL, 0.4, 1, 0, NULL, NULL },
	{ "criterion", "gini entropy", 0, 0, CLASSES, NULL, NULL },
	{ "leaf_smoothing", NULL, 0.01, 3, LOG | CLASSES, NULL, NULL },
};

static const PgmlRange extra_trees[] = {
	{ "max_features", NULL, 0.05, 1, 0, NULL, NULL },
	{ "min_samples_leaf", NULL, 1, 50, LOG | FEW_ROWS, NULL, NULL },
	{ "bootstrap", "0 1", 0, 0, 0, NULL, NULL },
	{ "max_samples", NULL, 0.4, 1, 0, "bootstrap", "1" },
	{ "criterion", "gini entropy", 0, 0, CLASSES, NULL, NULL },
	{ "leaf_smoothing", NULL, 0.01, 3, LOG | CLASSES, NULL, NULL },
};

static const PgmlRange decision_tree[] = {
	{ "max_depth", NULL, 2, 20, 0, NULL, NULL },
	{ "min_samples_leaf", NULL, 1, 100, LOG | FEW_ROWS, NULL, NULL },
	{ "criterion", "gini entropy", 0, 0, CLASSES, NULL, NULL },
	{ "leaf_smoothing", NULL, 0.01, 10, LOG, NULL, NULL },
};

/* How strong the penalty is the learner finds itself. */
static const PgmlRange linear[] = {
	{ "penalty", "l2 l1 elasticnet", 0, 0, 0, NULL, NULL },
	{ "l1_ratio", NULL, 0.05, 0.95, 0, "penalty", "elasticnet" },
};

static const PgmlRange naive_bayes[] = {
	{ "distribution", "auto gaussian", 0, 0, 0, NULL, NULL },
	{ "alpha", NULL, 0.01, 10, LOG, NULL, NULL },
	{ "var_smoothing", NULL, 1e-10, 0.1, LOG, NULL, NULL },
};

static const PgmlRange knn[] = {
	{ "n_neighbors", NULL, 1, 100, LOG | FEW_ROWS, NULL, NULL },
	{ "weights", "uniform distance", 0, 0, 0, NULL, NULL },
	{ "metric", "euclidean manhattan", 0, 0, 0, NULL, NULL },
};

/* Numbers are standardised, so that the usual width of a kernel goes with the number of columns. */
static const PgmlRange svm[] = {
	{ "C", NULL, 0.03, 300, LOG, NULL, NULL },
	{ "kernel", "rbf linear", 0, 0, 0, NULL, NULL },
	{ "gamma", NULL, 0.03, 10, LOG | PER_FEATURE, "kernel", "rbf" },
	{ "epsilon", NULL, 0.001, 1, LOG | NUMBERS, NULL, NULL },
};

static const PgmlRange mlp[] = {
	{ "hidden_layers", NULL, 1, 4, 0, NULL, NULL },
	{ "hidden_width", "32 64 128 256 384 512", 0, 0, 0, NULL, NULL },
	{ "activation", "relu selu mish", 0, 0, 0, NULL, NULL },
	{ "dropout", NULL, 0, 0.4, 0, NULL, NULL },
	{ "batch_norm", "0 1", 0, 0, 0, NULL, NULL },
	{ "num_embedding", "pbld none", 0, 0, 0, NULL, NULL },
	{ "embedding_sigma", NULL, 0.03, 5, LOG, "num_embedding", "pbld" },
	{ "embedding_width", "4 8 16", 0, 0, 0, "num_embedding", "pbld" },
	{ "learning_rate", NULL, 0.005, 0.3, LOG, NULL, NULL },
	{ "weight_decay", NULL, 0.001, 0.1, LOG, NULL, NULL },
	{ "category_width", "4 8 16", 0, 0, CATEGORIES, NULL, NULL },
};

#define ROWS      200 /* the fewest that a trial is worth having with */
#define OF(array) (array), (int) (sizeof(array) / sizeof((array)[0]))

static const PgmlRanges all[] = {
	{ &pgml_learner_gradient_boosting, NULL, ROWS, false, OF(gradient_boosting) },
	{ &pgml_learner_oblivious_boosting, NULL, ROWS, false, OF(oblivious_boosting) },
	{ &pgml_learner_random_forest, "n_estimators", 8, false, OF(random_forest) },
	{ &pgml_learner_extra_trees, "n_estimators", 8, false, OF(extra_trees) },
	{ &pgml_learner_decision_tree, NULL, ROWS, false, OF(decision_tree) },
	{ &pgml_learner_linear, NULL, ROWS, false, OF(linear) },
	{ &pgml_learner_naive_bayes, NULL, ROWS, false, OF(naive_bayes) },
	{ &pgml_learner_knn, NULL, ROWS, false, OF(knn) },
	{ &pgml_learner_svm, NULL, ROWS, false, OF(svm) },
	{ &pgml_learner_mlp, "max_iter", 8, true, OF(mlp) },
};

const PgmlRanges *
pgml_ranges_of(const PgmlLearner *learner)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].learner == learner)
			return &all[i];
	return NULL;
}
