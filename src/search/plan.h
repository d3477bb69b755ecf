/*
 * plan.h - what a training would do, how long it would take and how much memory, without doing it.
 */
#ifndef PGML_SEARCH_PLAN_H
#define PGML_SEARCH_PLAN_H

#include "search/automl.h"

/* Steps of a plan, at most; columns that are left out beyond those listed are counted in one step. */
#define PGML_MAX_PLAN_STEPS 400

typedef struct PgmlPlanStep
{
	const char *step;   /* "data", "target", ..., see docs/reference.md */
	const char *what;   /* the column, metric, learner; NULL: nothing in particular */
	const char *detail; /* in words */
	double
		seconds; /* that it took to find out, or that the training gives it at most; NaN: not known */
	int64_t bytes; /* of memory, estimated; -1: not known */
} PgmlPlanStep;

typedef struct PgmlPlan
{
	const char *source;  /* in: what the data is called; NULL: a query */
	double read_seconds; /* in: that reading the table took */
	int n_steps;
	PgmlPlanStep *steps;
} PgmlPlan;

/*
 * Plan a training of the table with the options, as pgml_automl() would begin it: the features are computed, the speed of
 * boosting is probed, the rows are dealt, the constant predictor is fitted; no other model is.  Fails as pgml_automl() does up
 * to there.  result has the facts of the data and the notices, never an image; steps and strings live in arena.
 */
extern PgmlStatus pgml_plan(const PgmlEnv *env, const PgmlTable *table,
							const PgmlTrainOptions *options, PgmlArena *arena,
							PgmlTrainResult *result, PgmlPlan *plan);

#endif
