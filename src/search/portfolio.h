/*
 * portfolio.h - the settings that a training tries, learner by learner; shared by the portfolio_*.c and schedule.c.
 *
 * A portfolio lists settings that differ, best first, as tables of names and values; what depends on the data or on the time that is
 * left is set by its scale().  They follow published meta-tuned defaults and zero-shot portfolios (Holzmueller,
 * Grinsztajn and Steinwart 2024, "Better by default"; Salinas and Erickson 2024, "TabRepo").
 */
#ifndef PGML_SEARCH_PORTFOLIO_H
#define PGML_SEARCH_PORTFOLIO_H

#include "search/training.h"

#define PGML_MAX_SETTINGS 12

typedef struct PgmlSetting
{
	const char *name; /* NULL: the end of the list */
	double value;
} PgmlSetting;

typedef PgmlSetting PgmlSettings[PGML_MAX_SETTINGS];

typedef struct Portfolio
{
	const PgmlLearner *learner;
	const PgmlSettings *classes; /* variants for classes, for numbers */
	int n_classes;
	const PgmlSettings *regression;
	int n_regression;
	/* Do settings make sense for the data? NULL: all do. */
	bool (*suits)(const Training *t, const PgmlLearner *learner, const PgmlParams *params);
	/* Fit the settings to the data and the time left; NULL: nothing to fit.  planned, fitted: what it sets by time and by data, NULL last. */
	void (*scale)(const Training *t, const PgmlLearner *learner, PgmlParams *params);
	const char *planned[PGML_MAX_SETTINGS];
	const char *fitted[PGML_MAX_SETTINGS];
	/* What is tried after the variants; false for nothing; NULL: nothing. */
	bool (*last)(const Training *t, const PgmlLearner *learner, PgmlParams *params);
	/* Wall seconds that a trial takes as a rule, from the speed that was probed; NULL: not known. */
	double (*seconds)(const Training *t, const PgmlLearner *learner, const PgmlParams *params);
} Portfolio;

extern const Portfolio pgml_portfolio_boosting;
extern const Portfolio pgml_portfolio_oblivious;
extern const Portfolio pgml_portfolio_random_forest;
extern const Portfolio pgml_portfolio_extra_trees;
extern const Portfolio pgml_portfolio_mlp;
extern const Portfolio pgml_portfolio_svm;
extern const Portfolio pgml_portfolio_knn;

/* schedule.c: wall seconds that a round of all folds' fits takes, when it takes one thread seconds_per_round on all training rows. */
extern double training_round_seconds(const Training *t, double seconds_per_round);

/*
 * schedule.c: rounds that a fit of the learner affords in its share of the time, when one takes seconds_per_round on all training rows; 1e9
 * when time does not count.
 */
extern double training_affordable_rounds(const Training *t, const PgmlLearner *learner,
										 double seconds_per_round);

#endif
