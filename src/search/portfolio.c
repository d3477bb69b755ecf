/*
 * portfolio.c - the settings that are tried, in order.
 *
 * They follow the meta-tuned defaults and zero-shot portfolios published for LightGBM (Holzmueller, Grinsztajn and
 * Steinwart 2024, "Better by default"; Salinas and Erickson 2024, "TabRepo"), reduced to a few that differ, and one with small
 * trees for what is smooth or small.  What time is left goes to the best one once more, with half its learning rate.
 */
#include "learner/gbm.h"
#include "search/training.h"

#include <math.h>
#include <string.h>

typedef struct Setting
{
	const char *name;
	double value;
} Setting;

#define MAX_SETTINGS 12

/* Rounds that boosting needs go with 1 / learning_rate. */
#define ROUNDS_AT_RATE_1 25.0
#define FASTEST_RATE     0.2

/* min_data_in_leaf is written for large data and lowered for small, see scale_to_data(). */
static const Setting boosting_classes[][MAX_SETTINGS] = {
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 31 },
	  { "min_data_in_leaf", 20 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 0.8 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.04 },
	  { "num_leaves", 12 },
	  { "min_data_in_leaf", 10 },
	  { "bagging_fraction", 0.9 },
	  { "feature_fraction", 0.6 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 6 },
	  { "min_data_in_leaf", 10 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 1 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.04 },
	  { "num_leaves", 39 },
	  { "min_data_in_leaf", 3 },
	  { "bagging_fraction", 0.88 },
	  { "feature_fraction", 0.6 },
	  { "lambda_l1", 0.24 },
	  { "lambda_l2", 0.36 },
	  { "extra_trees", 1 } },
	{ { "learning_rate", 0.03 },
	  { "num_leaves", 128 },
	  { "min_data_in_leaf", 10 },
	  { "bagging_fraction", 0.9 },
	  { "feature_fraction", 0.7 },
	  { "lambda_l2", 2 } },
	{ { "learning_rate", 0.03 },
	  { "num_leaves", 64 },
	  { "min_data_in_leaf", 40 },
	  { "bagging_fraction", 0.75 },
	  { "feature_fraction", 0.5 },
	  { "lambda_l2", 0.8 } },
	{ { "learning_rate", 0.03 },
	  { "num_leaves", 128 },
	  { "min_data_in_leaf", 1 },
	  { "bagging_fraction", 0.9 },
	  { "feature_fraction", 0.9 },
	  { "lambda_l2", 0.1 },
	  { "extra_trees", 1 } },
};

/* Nothing in units of the target here, as lambda_l1 is: its scale must not matter. */
static const Setting boosting_regression[][MAX_SETTINGS] = {
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 63 },
	  { "min_data_in_leaf", 10 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 0.8 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 16 },
	  { "min_data_in_leaf", 5 },
	  { "bagging_fraction", 0.9 },
	  { "feature_fraction", 0.6 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 6 },
	  { "min_data_in_leaf", 5 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 1 },
	  { "lambda_l2", 1 } },
	{ { "learning_rate", 0.03 },
	  { "num_leaves", 128 },
	  { "min_data_in_leaf", 3 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 0.7 },
	  { "lambda_l2", 2 } },
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 100 },
	  { "min_data_in_leaf", 3 },
	  { "bagging_fraction", 0.9 },
	  { "feature_fraction", 0.9 },
	  { "lambda_l2", 0.36 },
	  { "extra_trees", 1 } },
	{ { "learning_rate", 0.03 },
	  { "num_leaves", 31 },
	  { "min_data_in_leaf", 20 },
	  { "bagging_fraction", 0.75 },
	  { "feature_fraction", 0.5 },
	  { "lambda_l2", 0.8 } },
};

#define N_CLASSES    ((int) (sizeof(boosting_classes) / sizeof(boosting_classes[0])))
#define N_REGRESSION ((int) (sizeof(boosting_regression) / sizeof(boosting_regression[0])))

static void
set(const PgmlLearner *learner, PgmlParams *params, const char *name, double value)
{
	for (int i = 0; i < learner->n_params; i++)
		if (strcmp(learner->params[i].name, name) == 0)
			params->v[i] = value;
}

/*
 * Fit the settings to the data and the budget: small leaves on small data, more patience there, and a faster learning
 * rate when ROUNDS_AT_RATE_1 / learning_rate rounds cannot be had in the time that is left.
 */
static void
scale_to_data(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	double min_data = pgml_param(learner, params, "min_data_in_leaf");
	double rate = pgml_param(learner, params, "learning_rate");
	double n = (double) t->n_train;

	if (min_data > n / 100)
		min_data = n / 100 < 2 ? 2 : floor(n / 100);
	set(learner, params, "min_data_in_leaf", min_data);
	set(learner, params, "mvs_fraction", pgml_gbm_mvs_fraction(t->n_train));
	set(learner, params, "n_estimators", 3000);
	set(learner, params, "early_stopping_round", n <= 20000 ? 60 : 30);
	if (t->options->time_budget > 0 && t->seconds_per_round > 0)
	{
		double threads = pgml_pool_threads(t->env->pool);
		double fits = t->folds > 0 ? t->folds : 1;
		double rounds = 0.5 * training_seconds_left(t) * threads / (fits * t->seconds_per_round);

		if (rounds < ROUNDS_AT_RATE_1 / rate)
			rate = fmin(ROUNDS_AT_RATE_1 / rounds, FASTEST_RATE);
		set(learner, params, "learning_rate", rate);
	}
}

/* Settings of the user replace the portfolio's. A fixed number of trees means that many. */
static bool
apply_fixed(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	bool any = false;
	bool fixed_rounds = false, fixed_stopping = false;

	for (int i = 0; i < t->options->n_hyperparams; i++)
	{
		if (training_set_hyperparam(learner, params, &t->options->hyperparams[i], NULL) == PGML_OK)
			any = true;
	}
	for (int i = 0; i < learner->n_params; i++)
	{
		fixed_rounds |= params->given[i] && strcmp(learner->params[i].name, "n_estimators") == 0;
		fixed_stopping |=
			params->given[i] && strcmp(learner->params[i].name, "early_stopping_round") == 0;
	}
	if (fixed_rounds && !fixed_stopping)
		set(learner, params, "early_stopping_round", 0);
	return any;
}

/* The best trial's settings with half its learning rate; false when the user has fixed that, or it was done. */
static bool
slower(const PgmlLearner *learner, const PgmlTrial *best, PgmlParams *params)
{
	if (!best || best->learner != learner)
		return false;
	*params = best->params;
	for (int i = 0; i < learner->n_params; i++)
	{
		if (strcmp(learner->params[i].name, "learning_rate") != 0)
			continue;
		if (params->given[i])
			return false;
		params->v[i] *= 0.5;
	}
	return true;
}

bool
training_portfolio(const Training *t, const PgmlLearner *learner, int i, PgmlParams *params)
{
	bool regression = t->target.task == PGML_TASK_REGRESSION;
	int n = regression ? N_REGRESSION : N_CLASSES;
	const Setting *settings;

	pgml_params_default(learner, params);
	if (learner != &pgml_learner_gradient_boosting)
	{
		apply_fixed(t, learner, params);
		return i == 0;
	}
	if (i >= n)
		return i == n && slower(learner, t->best, params);
	settings = regression ? boosting_regression[i] : boosting_classes[i];
	for (int j = 0; j < MAX_SETTINGS && settings[j].name; j++)
		set(learner, params, settings[j].name, settings[j].value);
	scale_to_data(t, learner, params);
	apply_fixed(t, learner, params);
	return true;
}
