/*
 * warm_plan.h - which settings of other trainings this one tries; see warm.h for where they come from.
 */
#ifndef PGML_SEARCH_WARM_PLAN_H
#define PGML_SEARCH_WARM_PLAN_H

#include "search/training.h"

#define PGML_MAX_WARM 12

typedef struct WarmTrial
{
	const PgmlLearner *learner;
	PgmlParams found;
	int variant; /* of the portfolio that it is, -1: none; see training_variant() */
	PgmlTrialSource source;
	int64_t model;
	bool tried;
} WarmTrial;

typedef struct WarmPlan
{
	WarmTrial trial[PGML_MAX_WARM]; /* own ones first, then those of similar tables */
	int n;
} WarmPlan;

/*
 * Choose from options->warm_model, each setting once: what contradicts the user's algorithms, constraints, hyperparams or
 * search_space is left out, or brought in line with it.  t->result->meta must be there.
 */
extern void training_plan_warm(const Training *t, WarmPlan *plan);

/* Settings for now; false when they do not suit the data or the time left. */
extern bool training_warm_settings(const Training *t, const WarmTrial *trial, PgmlParams *params);

/* Has a setting of the portfolio been tried because history has it, too? */
extern bool training_warm_tried(const WarmPlan *plan, const PgmlLearner *learner, int variant);

/* The portfolio has tried it: history need not. */
extern void training_warm_note(WarmPlan *plan, const PgmlLearner *learner, int variant);

/* The version of this model that its own history is of; 0: none. */
extern int training_own_version(const Training *t);

/* Say how many trials came from where. */
extern void training_report_warm(Training *t);

#endif
