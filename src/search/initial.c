/*
 * initial.c - what a training tries before it searches: history, as warm_plan.h chooses from it, and the portfolio.
 */
#include "search/tuning.h"
#include "search/warm_plan.h"

/* The model's own history leaves at least this share of the time to the portfolio: the data may have changed. */
#define LEFT_BY_OWN 0.5

/* Settings that history has, of its own or of similar tables. */
static PgmlStatus
run_warm(Training *t, const TuningHost *host, WarmPlan *plan, PgmlTrialSource source)
{
	double least = source == PGML_SOURCE_OWN ? LEFT_BY_OWN * training_search_seconds(t, 0) : 0;

	for (int i = 0; i < plan->n && host->may_go_on(host->arg); i++)
	{
		WarmTrial *trial = &plan->trial[i];
		PgmlParams params;

		if (trial->source != source || trial->tried ||
			!host->has_time(host->arg, trial->learner, 1) ||
			(t->options->time_budget > 0 && training_search_seconds(t, 0) < least) ||
			!training_is_promising(t, trial->learner) || !training_warm_settings(t, trial, &params))
			continue;
		t->source = source;
		t->source_model = trial->model;
		PGML_TRY(host->try_setting(host->arg, trial->learner, &params, 1));
		trial->tried = true;
	}
	t->source = PGML_SOURCE_PORTFOLIO;
	t->source_model = 0;
	return PGML_OK;
}

/* The portfolio in its order; similar tables have their turn when each of the first learners that differ has had one setting. */
static PgmlStatus
run_portfolio(Training *t, const TuningHost *host, WarmPlan *plan)
{
	const PgmlLearner *learner;
	int variant;
	bool second = false;

	for (int i = 0; host->may_go_on(host->arg) && training_schedule(t, i, &learner, &variant); i++)
	{
		PgmlParams params;

		if (variant > 0 && !second)
		{
			second = true;
			PGML_TRY(run_warm(t, host, plan, PGML_SOURCE_SIMILAR));
		}
		if (!host->may_go_on(host->arg) || !host->has_time(host->arg, learner, 1) ||
			!training_is_promising(t, learner) || training_warm_tried(plan, learner, variant) ||
			!training_portfolio(t, learner, variant, &params))
			continue;
		PGML_TRY(host->try_setting(host->arg, learner, &params, 1));
		training_warm_note(plan, learner, variant);
	}
	return second ? PGML_OK : run_warm(t, host, plan, PGML_SOURCE_SIMILAR);
}

PgmlStatus
training_run_initial(Training *t, const TuningHost *host)
{
	WarmPlan plan;

	training_plan_warm(t, &plan);
	PGML_TRY(run_warm(t, host, &plan, PGML_SOURCE_OWN));
	return training_search_alone(t->options) ? PGML_OK : run_portfolio(t, host, &plan);
}
