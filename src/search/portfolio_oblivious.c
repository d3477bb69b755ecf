/*
 * portfolio_oblivious.c - settings of oblivious_boosting: its defaults, which its learning rate makes fit most tables, then flatter and
 * deeper trees (TabRepo's r137 and r13).
 */
#include "search/portfolio.h"

#include <math.h>

#define MOST_ROUNDS   1000.0
#define FEWEST_ROUNDS 60.0
#define ENOUGH_ROUNDS 150.0
#define LEAST_ROUNDS  3.0

/* The word of learning_rate that leaves it to the learner. */
#define AUTOMATIC PGML_WORD(0)

/* Time of a round of trees of eight levels, of six levels 1. */
#define DEEP_COST 2.5

/* A level looks at so many features of many, but not at less than this share of them. */
#define MANY_FEATURES  400.0
#define LEAST_FRACTION 0.1

static const PgmlSettings variants[] = {
	{ { "depth", 6 } },
	{ { "depth", 4 }, { "l2_leaf_reg", 4.5 }, { "random_strength", 1 } },
	{ { "depth", 8 }, { "l2_leaf_reg", 3.3 }, { "random_strength", 2 }, { "rsm", 0.7 } },
};

/* Seconds of a round on all training rows with one thread: those of deeper trees take longer; 0 when not known. */
static double
seconds_per_round(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	double factor = pgml_param(learner, params, "depth") > 6 ? DEEP_COST : 1;

	return factor * t->seconds_per_oblivious_round;
}

/* Rounds that there is time for. */
static double
affordable_rounds(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	return training_affordable_rounds(t, learner, seconds_per_round(t, learner, params));
}

/* All rounds, though many trials stop earlier. */
static double
seconds(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	double round = seconds_per_round(t, learner, params);

	return round > 0 ?
			   pgml_param(learner, params, "n_estimators") * training_round_seconds(t, round) :
			   NAN;
}

/* Other depths only where there is time for enough rounds; none where there is time for hardly one, unless the user has named algorithms. */
static bool
suits(const Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	double rounds = affordable_rounds(t, learner, params);

	if (pgml_param(learner, params, "depth") == 6)
		return rounds >= LEAST_ROUNDS || t->options->n_algorithms > 0;
	return rounds > ENOUGH_ROUNDS;
}

/*
 * The learning rate follows from the number of rounds: as many as there is time for.  One that was found with more of them is too small
 * for these.
 */
static void
scale(const Training *t, const PgmlLearner *learner, PgmlParams *params)
{
	double rounds = affordable_rounds(t, learner, params);
	double features = fmax(LEAST_FRACTION, MANY_FEATURES / (t->x.nfeatures + 1.0));

	if (rounds < pgml_param(learner, params, "n_estimators"))
		training_set(learner, params, "learning_rate", AUTOMATIC);
	if (pgml_param(learner, params, "rsm") > features)
		training_set(learner, params, "rsm", features);
	training_set(learner, params, "n_estimators",
				 floor(fmax(fmin(rounds, MOST_ROUNDS), FEWEST_ROUNDS)));
	training_set(learner, params, "early_stopping_round", t->n_train <= 20000 ? 60 : 30);
}

const Portfolio pgml_portfolio_oblivious = {
	.learner = &pgml_learner_oblivious_boosting,
	.classes = variants,
	.n_classes = sizeof(variants) / sizeof(variants[0]),
	.regression = variants,
	.n_regression = sizeof(variants) / sizeof(variants[0]),
	.suits = suits,
	.scale = scale,
	.planned = { "learning_rate", "n_estimators", "early_stopping_round" },
	.fitted = { "rsm" },
	.seconds = seconds,
};
