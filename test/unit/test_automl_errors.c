/*
 * Tests of what a training refuses: every error has a status, a message that names the thing at fault, and a
 * hint that says what to do.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "search/training.h"
#include "unit.h"

/* What goes wrong in one training: the table and the options are changed by spoil(). */
typedef struct Trouble
{
	const char *name;
	PgmlTask task;
	int64_t rows;
	void (*spoil)(People *p, Run *r);
	PgmlStatus status;
	const char *message;
	const char *hint;
} Trouble;

static void
set_hyperparam(Run *r, const PgmlHyperparam *h)
{
	r->options.hyperparams = h;
	r->options.n_hyperparams = 1;
}

static void
set_algorithm(Run *r, const char *const *algorithm)
{
	r->options.algorithms = algorithm;
	r->options.n_algorithms = 1;
}

/* All rows get the same value of a column of numbers, or text. */
static void
fill(People *p, int col, double number, const char *text)
{
	PgmlColumn *c = &p->f.cols[col];

	for (int64_t i = 0; i < p->f.table.nrows; i++)
		if (c->kind == PGML_KIND_TEXT)
			set_text(c, i, text);
		else
			c->num[i] = number;
}

/* ---- columns ---- */

static void
target_unknown(People *p, Run *r)
{
	(void) p;
	r->options.target = "Y";
}

static void
target_among_features(People *p, Run *r)
{
	static const char *const features[] = { "age", "y" };

	(void) p;
	r->options.features = features;
	r->options.n_features = 2;
}

static void
excluded_feature(People *p, Run *r)
{
	static const char *const names[] = { "age" };

	(void) p;
	r->options.features = r->options.exclude = names;
	r->options.n_features = r->options.n_exclude = 1;
}

static void
feature_unknown(People *p, Run *r)
{
	static const char *const features[] = { "age", "size" };

	(void) p;
	r->options.features = features;
	r->options.n_features = 2;
}

static void
exclude_unknown(People *p, Run *r)
{
	static const char *const exclude[] = { "size" };

	(void) p;
	r->options.exclude = exclude;
	r->options.n_exclude = 1;
}

static void
id_unknown(People *p, Run *r)
{
	static const char *const ids[] = { "key" };

	(void) p;
	r->options.id_columns = ids;
	r->options.n_id_columns = 1;
}

static void
group_unknown(People *p, Run *r)
{
	(void) p;
	r->options.group_column = "shops";
}

static void
weight_unknown(People *p, Run *r)
{
	(void) p;
	r->options.weight_column = "w";
}

static void
time_unknown(People *p, Run *r)
{
	(void) p;
	r->options.time_column = "when";
}

static void
nothing_to_learn_from(People *p, Run *r)
{
	static const char *const features[] = { "noise" };

	fill(p, COL_NOISE, 7, NULL);
	r->options.features = features;
	r->options.n_features = 1;
}

/* ---- target ---- */

static void
one_class(People *p, Run *r)
{
	(void) r;
	fill(p, COL_Y, 0, "yes");
}

static void
one_number(People *p, Run *r)
{
	(void) r;
	fill(p, COL_Y, 3.5, NULL);
}

static void
all_missing(People *p, Run *r)
{
	(void) r;
	fill(p, COL_Y, NAN, NULL);
}

static void
infinite_target(People *p, Run *r)
{
	(void) r;
	p->f.cols[COL_Y].num[7] = INFINITY;
}

static void
words_as_numbers(People *p, Run *r)
{
	(void) p;
	r->options.task = PGML_TASK_REGRESSION;
}

static void
three_as_two(People *p, Run *r)
{
	(void) p;
	r->options.task = PGML_TASK_BINARY;
}

static void
positive_unknown(People *p, Run *r)
{
	(void) p;
	r->options.positive_class = "maybe";
}

static void
target_is_a_date(People *p, Run *r)
{
	(void) p;
	r->options.target = "joined";
}

static void
as_it_is(People *p, Run *r)
{
	(void) p;
	(void) r;
}

/* ---- settings ---- */

static void
metric_unknown(People *p, Run *r)
{
	(void) p;
	r->options.metric = "auc_roc";
}

static void
metric_of_numbers(People *p, Run *r)
{
	(void) p;
	r->options.metric = "rmse";
}

static void
metric_of_quantiles(People *p, Run *r)
{
	(void) p;
	r->options.metric = "pinball";
}

static void
metric_undefined(People *p, Run *r)
{
	for (int64_t i = 0; i < p->f.table.nrows; i++)
		p->f.cols[COL_Y].num[i] = -2 - p->f.cols[COL_AGE].num[i] / 7;
	r->options.metric = "rmsle";
}

static void
algorithm_unknown(People *p, Run *r)
{
	static const char *const names[] = { "xgboost" };

	(void) p;
	set_algorithm(r, names);
}

static void
excluded_algorithm_unknown(People *p, Run *r)
{
	static const char *const names[] = { "-forest" };

	(void) p;
	set_algorithm(r, names);
}

static void
every_algorithm_excluded(People *p, Run *r)
{
	static const char *const names[] = { "-linear",      "-gradient_boosting",
										 "-constant",    "-random_forest",
										 "-extra_trees", "-oblivious_boosting",
										 "-knn",         "-mlp",
										 "-svm" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = sizeof(names) / sizeof(names[0]);
}

static void
algorithm_excludes_itself(People *p, Run *r)
{
	static const char *const names[] = { "linear", "-linear" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = 2;
}

static void
algorithms_of_classes(People *p, Run *r)
{
	static const char *const names[] = { "-linear", "naive_bayes" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = 2;
	r->options.n_hyperparams = 0;
}

static void
hyperparam_unknown(People *p, Run *r)
{
	static const PgmlHyperparam h = { "num_leafs", 31, NULL };

	(void) p;
	set_hyperparam(r, &h);
}

static void
hyperparam_out_of_range(People *p, Run *r)
{
	static const PgmlHyperparam h = { "num_leaves", 1, NULL };

	(void) p;
	set_hyperparam(r, &h);
}

static void
hyperparam_not_whole(People *p, Run *r)
{
	static const PgmlHyperparam h = { "num_leaves", 30.5, NULL };

	(void) p;
	set_hyperparam(r, &h);
}

static void
hyperparam_not_a_number(People *p, Run *r)
{
	static const PgmlHyperparam h = { "learning_rate", NAN, NULL };

	(void) p;
	set_hyperparam(r, &h);
}

/* Known to one algorithm only: what it says counts, not that the others do not know it. */
static void
hyperparam_of_linear(People *p, Run *r)
{
	static const PgmlHyperparam h = { "tol", 5, NULL };

	(void) p;
	set_hyperparam(r, &h);
}

/* Numbers, of which no learner that has the word predicts classes. */
static void
loss_of_classes(People *p, Run *r)
{
	static const PgmlHyperparam h = { "objective", 0, "logistic" };

	(void) p;
	set_hyperparam(r, &h);
}

static void
loss_of_two_classes(People *p, Run *r)
{
	static const char *const names[] = { "oblivious_boosting" };
	static const PgmlHyperparam h = { "objective", 0, "logistic" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = 1;
	set_hyperparam(r, &h);
}

static void
loss_of_numbers(People *p, Run *r)
{
	static const PgmlHyperparam h = { "objective", 0, "squared" };

	(void) p;
	set_hyperparam(r, &h);
}

static void
weights_of_classes(People *p, Run *r)
{
	static const char *const names[] = { "gradient_boosting", "extra_trees" };
	static const PgmlHyperparam h = { "class_weight", 0, "balanced" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = 2;
	set_hyperparam(r, &h);
}

static void
criterion_of_classes(People *p, Run *r)
{
	static const char *const names[] = { "random_forest", "extra_trees" };
	static const PgmlHyperparam h = { "criterion", 0, "gini" };

	(void) p;
	r->options.algorithms = names;
	r->options.n_algorithms = 2;
	set_hyperparam(r, &h);
}

static void
hyperparam_of_another(People *p, Run *r)
{
	static const char *const names[] = { "linear" };
	static const PgmlHyperparam h = { "num_leaves", 31, NULL };

	(void) p;
	set_algorithm(r, names);
	set_hyperparam(r, &h);
}

static void
hyperparam_of_the_constant(People *p, Run *r)
{
	static const char *const names[] = { "constant" };
	static const PgmlHyperparam h = { "num_leaves", 31, NULL };

	(void) p;
	set_algorithm(r, names);
	set_hyperparam(r, &h);
}

/* Two names, one setting: which value counts would be a guess. */
static void
hyperparam_twice(People *p, Run *r)
{
	static const char *const names[] = { "gradient_boosting" };
	static const PgmlHyperparam h[] = { { "n_estimators", 5, NULL }, { "iterations", 6, NULL } };

	(void) p;
	set_algorithm(r, names);
	r->options.hyperparams = h;
	r->options.n_hyperparams = 2;
}

static void
hyperparam_true(People *p, Run *r)
{
	static const PgmlHyperparam h = { "num_leaves", 0, "true" };

	(void) p;
	set_hyperparam(r, &h);
}

static void
too_many_folds(People *p, Run *r)
{
	(void) p;
	r->options.folds = 11;
}

/* ---- weights, times, groups ---- */

static void
negative_weight(People *p, Run *r)
{
	p->f.cols[COL_WEIGHT].num[50] = -0.5;
	r->options.weight_column = "weight";
}

static void
infinite_weight(People *p, Run *r)
{
	p->f.cols[COL_WEIGHT].num[50] = INFINITY;
	r->options.weight_column = "weight";
}

static void
weight_is_text(People *p, Run *r)
{
	(void) p;
	r->options.weight_column = "city";
}

static void
no_weight_at_all(People *p, Run *r)
{
	fill(p, COL_WEIGHT, 0, NULL);
	r->options.weight_column = "weight";
}

static void
time_is_no_date(People *p, Run *r)
{
	(void) p;
	r->options.time_column = "shop";
}

static void
one_moment(People *p, Run *r)
{
	fill(p, COL_JOINED, 86400, NULL);
	r->options.time_column = "joined";
}

static void
no_moment(People *p, Run *r)
{
	fill(p, COL_JOINED, NAN, NULL);
	r->options.time_column = "joined";
}

static void
one_group(People *p, Run *r)
{
	fill(p, COL_SHOP, 0, "the only one");
	r->options.group_column = "shop";
}

static void
another_way_to_split(People *p, Run *r)
{
	static uint64_t threshold = UINT64_MAX / 5;

	(void) p;
	r->split.fixed = true;
	r->split.method = PGML_SPLIT_RANDOM;
	r->split.n_classes = 1;
	r->split.threshold = &threshold;
}

static void
everything_was_tested(People *p, Run *r)
{
	static uint64_t threshold = UINT64_MAX;

	(void) p;
	r->split.fixed = true;
	r->split.method = PGML_SPLIT_RANDOM;
	r->split.n_classes = 1;
	r->split.threshold = &threshold;
}

#define BIN PGML_TASK_BINARY
#define REG PGML_TASK_REGRESSION
#define MUL PGML_TASK_MULTICLASS

static const Trouble troubles[] = {
	{ "target", BIN, 100, target_unknown, PGML_ERR_BADARG,
	  "column \"Y\", named as the target, does not exist in the data",
	  "The columns are \"id\", \"age\"" },
	{ "feature", BIN, 100, feature_unknown, PGML_ERR_BADARG,
	  "column \"size\", named as a feature, does not exist", "The columns are \"id\", \"age\"" },
	{ "exclude", BIN, 100, exclude_unknown, PGML_ERR_BADARG, "column \"size\", named as excluded",
	  "The columns are" },
	{ "id", BIN, 100, id_unknown, PGML_ERR_BADARG, "column \"key\", named as an id column",
	  "The columns are" },
	{ "group", BIN, 100, group_unknown, PGML_ERR_BADARG, "column \"shops\", named as group_column",
	  "The columns are" },
	{ "weight", BIN, 100, weight_unknown, PGML_ERR_BADARG, "column \"w\", named as weight_column",
	  "The columns are" },
	{ "time", BIN, 100, time_unknown, PGML_ERR_BADARG, "column \"when\", named as time_column",
	  "The columns are" },
	{ "target as feature", BIN, 100, target_among_features, PGML_ERR_BADARG,
	  "column \"y\" is the target, it cannot be among the features", "Leave it out of features." },
	{ "excluded feature", BIN, 100, excluded_feature, PGML_ERR_BADARG,
	  "column \"age\" is excluded, it cannot be among the features", "Leave it out of features" },
	{ "constant feature", BIN, 100, nothing_to_learn_from, PGML_ERR_DATA,
	  "no column can be used as a feature", "Add columns" },
	{ "one class", BIN, 100, one_class, PGML_ERR_DATA,
	  "target column \"y\" has only one class, \"yes\"", "at least two classes" },
	{ "one number", REG, 100, one_number, PGML_ERR_DATA,
	  "target column \"y\" has the same value in every row, 3.5", "nothing to learn" },
	{ "no target", BIN, 100, all_missing, PGML_ERR_DATA,
	  "target column \"y\" has no value in any row", "come later" },
	{ "no number", REG, 100, all_missing, PGML_ERR_DATA,
	  "target column \"y\" has no value in any row", "come later" },
	{ "infinite", REG, 100, infinite_target, PGML_ERR_DATA,
	  "target column \"y\" has 1 infinite value", "Leave these rows out" },
	{ "words", BIN, 100, words_as_numbers, PGML_ERR_DATA,
	  "target column \"y\" cannot be read as numbers", "classification" },
	{ "three classes", MUL, 100, three_as_two, PGML_ERR_DATA,
	  "target column \"y\" has 3 classes, not two", "multiclass" },
	{ "positive class", BIN, 100, positive_unknown, PGML_ERR_BADARG,
	  "positive_class \"maybe\" is not a label of \"y\"", "The labels are \"no\" and \"yes\"." },
	{ "date", BIN, 100, target_is_a_date, PGML_ERR_DATA, "target column \"joined\" is a date",
	  "A target can be" },
	{ "no rows", REG, 0, as_it_is, PGML_ERR_DATA, "there are no rows to learn from", "" },
	{ "one row", REG, 1, as_it_is, PGML_ERR_DATA, "target column \"y\" has", "" },
	{ "one labelled row", BIN, 1, as_it_is, PGML_ERR_DATA, "target column \"y\" has only one class",
	  "at least two" },
	{ "metric", BIN, 100, metric_unknown, PGML_ERR_BADARG, "unknown metric \"auc_roc\"",
	  "The metrics of this task are roc_auc" },
	{ "metric of numbers", MUL, 100, metric_of_numbers, PGML_ERR_BADARG,
	  "metric \"rmse\" is not for this task", "The metrics of this task are " },
	{ "metric of quantiles", REG, 100, metric_of_quantiles, PGML_ERR_BADARG,
	  "metric \"pinball\" is for models that predict a quantile", "\"objective\": \"quantile\"" },
	{ "undefined metric", REG, 100, metric_undefined, PGML_ERR_DATA,
	  "metric \"rmsle\" is not defined on the validation rows: a target is -1 or less",
	  "Choose another metric, for example rmse" },
	{ "algorithm", BIN, 100, algorithm_unknown, PGML_ERR_BADARG, "unknown algorithm \"xgboost\"",
	  "The algorithms are constant, linear, gradient_boosting, random_forest" },
	{ "excluded algorithm", BIN, 100, excluded_algorithm_unknown, PGML_ERR_BADARG,
	  "unknown algorithm \"-forest\"", "The algorithms are" },
	{ "no algorithm", BIN, 100, every_algorithm_excluded, PGML_ERR_BADARG,
	  "the list of algorithms leaves none", "leave out fewer" },
	{ "itself", BIN, 100, algorithm_excludes_itself, PGML_ERR_BADARG,
	  "the list of algorithms leaves none", "leave out fewer" },
	{ "other task", REG, 100, algorithms_of_classes, PGML_ERR_BADARG,
	  "algorithm \"naive_bayes\" does not predict numbers, and no other one is named",
	  "The algorithms for this target are constant, linear, gradient_boosting" },
	{ "hyperparameter", BIN, 100, hyperparam_unknown, PGML_ERR_BADARG,
	  "has no setting named \"num_leafs\"", "Did you mean \"num_leaves\"?" },
	{ "range", BIN, 100, hyperparam_out_of_range, PGML_ERR_BADARG,
	  "setting \"num_leaves\" of learner \"gradient_boosting\" must be between 2 and 32768, not 1",
	  "" },
	{ "whole", BIN, 100, hyperparam_not_whole, PGML_ERR_BADARG,
	  "setting \"num_leaves\" of learner \"gradient_boosting\" must be a whole number, not 30.5",
	  "" },
	{ "NaN", BIN, 100, hyperparam_not_a_number, PGML_ERR_BADARG,
	  "setting \"learning_rate\" of learner \"gradient_boosting\" must be between", "" },
	{ "range of linear", BIN, 100, hyperparam_of_linear, PGML_ERR_BADARG,
	  "setting \"tol\" of learner \"linear\" must be between 0 and 1, not 5", "" },
	{ "loss of classes", REG, 100, loss_of_classes, PGML_ERR_BADARG,
	  "objective \"logistic\" predicts classes, the target is a number", "" },
	{ "loss of two classes", MUL, 100, loss_of_two_classes, PGML_ERR_BADARG,
	  "objective \"logistic\" is for two classes, the target has 3", "it is softmax" },
	{ "loss of numbers", BIN, 100, loss_of_numbers, PGML_ERR_BADARG,
	  "objective \"squared\" predicts numbers, the target has classes", "" },
	{ "weights of classes", REG, 100, weights_of_classes, PGML_ERR_BADARG,
	  "class_weight is for classes, the target is a number", "" },
	{ "criterion", REG, 100, criterion_of_classes, PGML_ERR_BADARG,
	  "the criterion of learner \"random_forest\" does not fit the task", "squared_error" },
	{ "other learner", BIN, 100, hyperparam_of_another, PGML_ERR_BADARG,
	  "learner \"linear\" has no setting named \"num_leaves\"", "Its settings are: alpha" },
	{ "constant", BIN, 100, hyperparam_of_the_constant, PGML_ERR_BADARG,
	  "no selected algorithm has the hyperparameter \"num_leaves\"", "other algorithms" },
	{ "twice", BIN, 100, hyperparam_twice, PGML_ERR_BADARG,
	  "hyperparams have setting \"iterations\" twice, also as \"n_estimators\"", "Give it once" },
	{ "true", BIN, 100, hyperparam_true, PGML_ERR_BADARG,
	  "setting \"num_leaves\" of learner \"gradient_boosting\" cannot be \"true\"",
	  "It is a number between 2 and 32768" },
	{ "folds", BIN, 100, too_many_folds, PGML_ERR_BADARG, "folds must be between 1 and 10", "" },
	{ "negative weight", BIN, 100, negative_weight, PGML_ERR_DATA,
	  "weight_column \"weight\" holds a weight that is negative or infinite",
	  "Weights are numbers of 0 or more" },
	{ "infinite weight", BIN, 100, infinite_weight, PGML_ERR_DATA,
	  "weight_column \"weight\" holds a weight that is negative or infinite",
	  "Weights are numbers of 0 or more" },
	{ "text weight", BIN, 100, weight_is_text, PGML_ERR_DATA,
	  "weight_column \"city\" is not a number", "Weights are numbers" },
	{ "no weight", BIN, 100, no_weight_at_all, PGML_ERR_DATA, "gives no training row a weight",
	  "some must be above 0" },
	{ "no date", BIN, 100, time_is_no_date, PGML_ERR_DATA, "time_column \"shop\" holds \"shop ",
	  "Name a date, timestamp or number column" },
	{ "one moment", BIN, 100, one_moment, PGML_ERR_DATA, "same time in all rows",
	  "at least two different times" },
	{ "no moment", BIN, 100, no_moment, PGML_ERR_DATA, "same time in all rows",
	  "at least two different times" },
	{ "one group", BIN, 100, one_group, PGML_ERR_DATA, "group_column has a single group",
	  "at least two are needed" },
	{ "other split", BIN, 100, another_way_to_split, PGML_ERR_BADARG,
	  "the way test rows are chosen cannot change between versions of a model",
	  "Keep time_column, group_column" },
	{ "all tested", REG, 100, everything_was_tested, PGML_ERR_DATA, "no rows are left to train on",
	  "Add newer rows" },
};

static void
is_refused(const Trouble *trouble)
{
	People *p = people_new(trouble->rows, trouble->task);
	Run r;

	run_init(&r);
	trouble->spoil(p, &r);
	run_try(&r, p);
	if (r.status != trouble->status || r.error.status != trouble->status)
		fail_msg("%s: status %d, error %d (%s), not %d", trouble->name, r.status, r.error.status,
				 r.error.message, trouble->status);
	if (strstr(r.error.message, trouble->message) == NULL)
		fail_msg("%s: message \"%s\"", trouble->name, r.error.message);
	if (strstr(r.error.hint, trouble->hint) == NULL)
		fail_msg("%s: hint \"%s\"", trouble->name, r.error.hint);
	run_done(&r);
	people_free(p);
}

static void
every_trouble_is_named(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		is_refused(&troubles[i]);
}

/* The smallest tables that can be learned from. */
static void
few_rows_are_enough(void **state)
{
	(void) state;
	for (int64_t n = 2; n <= 12; n++)
		for (int task = 0; task < 2; task++)
		{
			People *p = people_new(n, task ? PGML_TASK_BINARY : PGML_TASK_REGRESSION);
			Run r;

			if (task)
				for (int64_t i = 0; i < n; i++)
					set_text(&p->f.cols[COL_Y], i, i % 2 ? "yes" : "no");
			run_init(&r);
			r.options.folds = 0;
			run_try(&r, p);
			if (r.status == PGML_OK)
				assert_true(run_image(&r).n_members >= 1);
			else
			{
				assert_int_equal(r.status, PGML_ERR_DATA);
				assert_true(n < 4);
			}
			run_done(&r);
			people_free(p);
		}
}

/* A hyperparameter that one selected algorithm knows is no error for the others. */
static void
known_to_one_is_enough(void **state)
{
	static const PgmlHyperparam settings[] = { { "tol", 0.01, NULL }, { "n_estimators", 5, NULL } };
	People *p = people_new(100, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.hyperparams = settings;
	r.options.n_hyperparams = 2;
	run_train(&r, p);
	for (int t = 1; t < r.result.n_trials; t++)
	{
		const PgmlTrial *trial = &r.result.trials[t];

		if (trial->learner == &pgml_learner_linear)
			assert_true(pgml_param(trial->learner, &trial->params, "tol") == 0.01);
		else
			assert_true(pgml_param(trial->learner, &trial->params, "n_estimators") == 5);
	}
	run_done(&r);
	people_free(p);
}

/* Two names of one setting of a learner are no error where another learner has two settings by them. */
static void
one_setting_here_may_be_two_there(void **state)
{
	static const PgmlHyperparam settings[] = { { "alpha", 0.7, NULL }, { "lambda_l2", 2, NULL } };
	static const char *const names[] = { "linear", "gradient_boosting" };
	PgmlTrainOptions options = { .target = "y",
								 .hyperparams = settings,
								 .n_hyperparams = 2,
								 .algorithms = names,
								 .n_algorithms = 2 };
	PgmlError error = { 0 };

	(void) state;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_OK);
	options.n_algorithms = 1;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_ERR_BADARG);
	assert_string_equal(error.message,
						"hyperparams have setting \"lambda_l2\" twice, also as \"alpha\"");
}

/* "max_iter" is another name of a setting of boosting, and the linear learner's own. */
static void
own_names_count(void **state)
{
	static const PgmlHyperparam settings[] = { { "n_estimators", 5, NULL },
											   { "max_iter", 7, NULL } };
	const PgmlTrainOptions options = { .hyperparams = settings, .n_hyperparams = 2 };
	const PgmlLearner *boosting = &pgml_learner_gradient_boosting;
	PgmlParams params;
	PgmlError error = { 0 };

	(void) state;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_OK);
	pgml_params_default(boosting, &params);
	training_set_hyperparams(boosting, &params, &options);
	assert_true(pgml_param(boosting, &params, "n_estimators") == 5);
	pgml_params_default(&pgml_learner_linear, &params);
	training_set_hyperparams(&pgml_learner_linear, &params, &options);
	assert_true(pgml_param(&pgml_learner_linear, &params, "max_iter") == 7);
}

/* A learner that is named and not for the task is told of, and the others train. */
static void
one_for_the_task_is_enough(void **state)
{
	static const char *const names[] = { "naive_bayes", "linear" };
	People *p = people_new(100, PGML_TASK_REGRESSION);
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = names;
	r.options.n_algorithms = 2;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_true(
		has_notice(&r, "algorithm \"naive_bayes\" is left out: it does not predict numbers", true));
	for (int i = 1; i < r.result.n_trials; i++)
		assert_ptr_equal(r.result.trials[i].learner, &pgml_learner_linear);
	assert_true(r.result.n_trials >= 2);
	run_done(&r);
	people_free(p);
}

/* A metric that means something on the validation rows but not on the test rows: a model, no score, a warning. */
static void
score_may_be_undefined(void **state)
{
	People *p = people_new(1500, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 1500; i++)
		if (p->f.cols[COL_JOINED].num[i] > 86400.0 * 13550)
			set_text(&p->f.cols[COL_Y], i, "yes");
	run_init(&r);
	r.options.time_column = "joined";
	run_train(&r, p);
	assert_true(isnan(r.result.score.value) && isnan(r.result.score.low));
	assert_true(has_notice(
		&r, "metric \"roc_auc\" is not defined on the test rows: all of them are of one class",
		true));
	run_done(&r);
	people_free(p);
}

/* Predictions that will not be there in time are given up; without a time they are all made. */
static void
late_predictions_are_given_up(void **state)
{
	enum
	{
		ROWS = 3 * PREDICT_BLOCK
	};
	static float column[ROWS], block[PREDICT_BLOCK];
	static double out[ROWS];
	static int32_t rows[ROWS];
	float *col[1] = { column };
	_Atomic int stop = 0;
	PgmlError error = { 0 };
	PgmlBudget budget;
	PgmlEnv env = { .budget = &budget, .error = &error, .stop = &stop };
	Training t = { .env = &env, .x = { .nrows = ROWS, .nfeatures = 1, .col = col }, .outputs = 1 };
	const double y[] = { 3 };
	const int32_t one[] = { 0 };
	PgmlDataset data = {
		.x = &t.x, .y = y, .task = PGML_TASK_REGRESSION, .n_classes = 1, .rows = one, .n = 1
	};
	PgmlParams params;
	PgmlFit fit = { 0 };

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&fit.payload, &budget);
	pgml_params_default(&pgml_learner_constant, &params);
	t.shape = (PgmlShape){ .task = PGML_TASK_REGRESSION, .n_classes = 1, .nfeatures = 1 };
	assert_int_equal(pgml_learner_constant.fit(&env, &data, &params, &fit), PGML_OK);
	assert_int_equal(
		training_predict(&t, &pgml_learner_constant, &fit.payload, rows, ROWS, 0, block, out),
		PGML_OK);
	assert_true(out[ROWS - 1] == 3);
	assert_int_equal(training_predict(&t, &pgml_learner_constant, &fit.payload, rows, ROWS,
									  pgml_now() - 1, block, out),
					 PGML_ERR_LIMIT);
	assert_int_equal(training_predict(&t, &pgml_learner_constant, &fit.payload, rows, ROWS,
									  pgml_now() + 1000, block, out),
					 PGML_OK);
	stop = 1;
	assert_int_equal(
		training_predict(&t, &pgml_learner_constant, &fit.payload, rows, ROWS, 0, block, out),
		PGML_ERR_CANCELLED);
	pgml_buf_free(&fit.payload);
}

/* What the check of the options alone refuses, a training refuses too, with the same words. */
static void
options_are_checked_without_data(void **state)
{
	static const PgmlHyperparam wrong = { "num_leafs", 5, NULL };
	static const char *const names[] = { "xgboost" };
	PgmlTrainOptions options = { .target = "y" };
	PgmlError error = { 0 };

	(void) state;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_OK);
	options.hyperparams = &wrong;
	options.n_hyperparams = 1;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_ERR_BADARG);
	assert_non_null(strstr(error.hint, "num_leaves"));
	options.algorithms = names;
	options.n_algorithms = 1;
	assert_int_equal(pgml_automl_check(&options, &error), PGML_ERR_BADARG);
	assert_non_null(strstr(error.message, "xgboost"));
}

int
test_automl_errors(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_trouble_is_named),
		cmocka_unit_test(few_rows_are_enough),
		cmocka_unit_test(known_to_one_is_enough),
		cmocka_unit_test(one_setting_here_may_be_two_there),
		cmocka_unit_test(own_names_count),
		cmocka_unit_test(one_for_the_task_is_enough),
		cmocka_unit_test(options_are_checked_without_data),
		cmocka_unit_test(late_predictions_are_given_up),
		cmocka_unit_test(score_may_be_undefined),
	};

	return cmocka_run_group_tests_name("automl_errors", tests, NULL, NULL);
}
