/*
 * tuning.h - the part of a training in which a strategy says what is tried.
 */
#ifndef PGML_SEARCH_TUNING_H
#define PGML_SEARCH_TUNING_H

#include "search/training.h"

/* What the main loop lends. */
typedef struct TuningHost
{
	void *arg;

	/*
	 * Try settings, recorded as the newest trial; with a share of the training rows (1: all) the model is not one of those that the
	 * training may end with.
	 */
	PgmlStatus (*try_setting)(void *arg, const PgmlLearner *learner, const PgmlParams *params,
							  double rows_share);

	/* Is there time for a trial of the learner that takes this share of a whole one? */
	bool (*has_time)(void *arg, const PgmlLearner *learner, double share);

	/* May there be another trial, by their number? */
	bool (*may_go_on)(void *arg);
} TuningHost;

/*
 * initial.c: what is tried before a search, as far as time and the number of trials go: the model's own history; then, unless the search decides from
 * the beginning, the settings of the portfolio, in order, and among them those of similar tables.
 */
extern PgmlStatus training_run_initial(Training *t, const TuningHost *host);

/* The strategy that the options name, or that of a search without a name. */
extern const char *training_strategy_name(const PgmlTrainOptions *options);

/* Is there a search for settings, with what limits there are, when so many trials count already? */
extern bool training_tunes(const PgmlTrainOptions *options, int tried);

/* Does a search that the user asked for vary settings of the learner, or does an unnamed one, which goes on with what was best? */
extern bool training_searches(const Training *t, const PgmlLearner *learner);

/* Does the strategy decide from the beginning, without a portfolio?  So it is when the user named one, or a search_space. */
extern bool training_search_alone(const PgmlTrainOptions *options);

/*
 * Ask, try, tell until time, trials or settings end; after a portfolio also when nothing better was found for long, or when neither time nor
 * trials are limited.  `tried`: trials that count for max_trials so far.  What was tried before of the
 * strategy's learners is known to it.
 */
extern PgmlStatus training_tune(Training *t, const TuningHost *host, int tried);

#endif
