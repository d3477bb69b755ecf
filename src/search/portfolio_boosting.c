/*
 * portfolio_boosting.c - settings of gradient_boosting: a few that differ in the size of trees and in how much is left to chance, and
 * one with small trees for what is smooth or small.  The best one is tried once more in the end, with half its learning rate.
 */
#include "learner/gbm.h"
#include "search/portfolio.h"

#include <math.h>

/* Rounds that boosting needs go with 1 / learning_rate. */
#define ROUNDS_AT_RATE_1 25.0
#define FASTEST_RATE     0.2

/* A tree sees so many features of many, but not less than this share of them: more trees are worth more. */
#define MANY_FEATURES  400.0
#define LEAST_FRACTION 0.1

/* The largest target is more than so many times the mean: worth a logarithm. */
#define SKEWED 3

/* min_data_in_leaf is written for large data and lowered for small, see scale_to_data(). */
static const PgmlSettings boosting_classes[] = {
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

/* Place of the word in the setting `objective`: effects that multiply, for targets that are never negative. */
#define POISSON 5

/* Nothing in units of the target here, as lambda_l1 is: its scale must not matter. */
static const PgmlSettings boosting_regression[] = {
	{ { "learning_rate", 0.05 },
	  { "num_leaves", 63 },
	  { "min_data_in_leaf", 10 },
	  { "bagging_fraction", 0.8 },
	  { "feature_fraction", 0.8 },
	  { "lambda_l2", 1 } },
	{ { "objective", POISSON },
	  { "learning_rate", 0.05 },
	  { "num_leaves", 31 },
	  { "min_data_in_leaf", 5 },
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

/* A logarithm is taken of targets that are never negative and vary by a factor. */
static bool
suits(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	double least = INFINITY, most = 0, sum = 0;

	if (pgml_param(learner, params, "objective") != POISSON)
		return true;
	for (int64_t i = 0; i < t->n_train; i++)
	{
		double y = t->target.y[t->train[i]];

		least = fmin(least, y);
		most = fmax(most, y);
		sum += y;
	}
	return least >= 0 && most > SKEWED * sum / (double) t->n_train;
}

/*
 * Small leaves on small data, more patience there, and a faster learning rate when ROUNDS_AT_RATE_1 / learning_rate rounds
 * cannot be had in the time that is left.
 */
static void
scale(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	double min_data = pgml_param(learner, params, "min_data_in_leaf");
	double rate = pgml_param(learner, params, "learning_rate");
	double n = (double) t->n_train;
	double rounds = training_affordable_rounds(t, learner, t->seconds_per_round);
	double features = fmax(LEAST_FRACTION, MANY_FEATURES / (t->x.nfeatures + 1.0));

	if (pgml_param(learner, params, "feature_fraction") > features)
		training_set(learner, params, "feature_fraction", features);
	if (min_data > n / 100)
		min_data = n / 100 < 2 ? 2 : floor(n / 100);
	training_set(learner, params, "min_data_in_leaf", min_data);
	training_set(learner, params, "mvs_fraction", pgml_gbm_mvs_fraction(t->n_train));
	training_set(learner, params, "n_estimators", 3000);
	training_set(learner, params, "early_stopping_round", n <= 20000 ? 60 : 30);
	if (rounds < ROUNDS_AT_RATE_1 / rate)
		rate = fmin(ROUNDS_AT_RATE_1 / rounds, FASTEST_RATE);
	training_set(learner, params, "learning_rate", rate);
}

/* The best trial's settings with half its learning rate; false when the user has fixed that, or another learner is best. */
static bool
slower(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	int rate = pgml_param_index(learner, "learning_rate");

	if (!t->best || t->best->learner != learner || t->best->params.given[rate])
		return false;
	*params = t->best->params;
	params->v[rate] *= 0.5;
	return true;
}

/* As many rounds as the learning rate asks for, unless fewer were given. */
static double
seconds(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	double rounds = fmin(pgml_param(learner, params, "n_estimators"),
						 ROUNDS_AT_RATE_1 / pgml_param(learner, params, "learning_rate"));

	return t->seconds_per_round > 0 ? rounds * training_round_seconds(t, t->seconds_per_round) :
									  NAN;
}

const Portfolio pgml_portfolio_boosting = {
	.learner = &pgml_learner_gradient_boosting,
	.classes = boosting_classes,
	.n_classes = sizeof(boosting_classes) / sizeof(boosting_classes[0]),
	.regression = boosting_regression,
	.n_regression = sizeof(boosting_regression) / sizeof(boosting_regression[0]),
	.suits = suits,
	.scale = scale,
	.planned = { "learning_rate", "n_estimators", "early_stopping_round", "mvs_fraction" },
	.fitted = { "min_data_in_leaf", "feature_fraction" },
	.last = slower,
	.seconds = seconds,
};
