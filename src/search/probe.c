/*
 * probe.c - how long a round of boosting takes on this machine, as busy as it is: what a plan of the time is made with.
 */
#include "search/training.h"

#include <string.h>

#define PROBE_ROWS   20000
#define FIRST_ROUNDS 2
#define MORE_ROUNDS  6

/* Wall seconds of a fit of so many rounds to the first n training rows, by one thread; 0 when it fails. */
static PgmlStatus
time_fit(Training *t, const PgmlLearner *learner, int64_t n, int rounds, double *seconds)
{
	PgmlEnv env = *t->env;
	PgmlError ignored;
	PgmlParams params;
	PgmlDataset data;
	PgmlFit fit;
	double start;
	PgmlStatus status;

	*seconds = 0;
	if (!training_portfolio(t, learner, 0, &params))
		return PGML_OK;
	PGML_TRY(pgml_params_set(learner, &params, "n_estimators", rounds, t->env->error));
	PGML_TRY(training_dataset(t, learner, &params, t->train, n, NULL, 0, &data));
	env.pool = NULL;
	env.error = &ignored;
	memset(&fit, 0, sizeof(fit));
	pgml_buf_init(&fit.payload, env.budget);
	start = pgml_now();
	status = learner->fit(&env, &data, &params, &fit);
	if (status == PGML_OK)
		*seconds = pgml_now() - start;
	pgml_buf_free(&fit.payload);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(t->env) : PGML_OK;
}

/* Seconds that one round more takes on all training rows; 0 when that is not known. */
static PgmlStatus
probe(Training *t, const PgmlLearner *learner, double *seconds_per_round)
{
	int64_t n = t->n_train < PROBE_ROWS ? t->n_train : PROBE_ROWS;
	double few, more, slope;

	if (!training_selects(t->options, learner))
		return PGML_OK;
	PGML_TRY(time_fit(t, learner, n, FIRST_ROUNDS, &few));
	PGML_TRY(time_fit(t, learner, n, FIRST_ROUNDS + MORE_ROUNDS, &more));
	if (few <= 0 || more <= 0)
		return PGML_OK;
	slope = (more - few) / MORE_ROUNDS;
	/* What else happens on the machine may make the longer fit the shorter one. */
	if (slope < 0.2 * more / (FIRST_ROUNDS + MORE_ROUNDS))
		slope = more / (FIRST_ROUNDS + MORE_ROUNDS);
	*seconds_per_round = slope * (double) t->n_train / (double) n;
	return PGML_OK;
}

PgmlStatus
training_probe_speed(Training *t)
{
	if (t->options->time_budget <= 0)
		return PGML_OK;
	PGML_TRY(probe(t, &pgml_learner_gradient_boosting, &t->seconds_per_round));
	return probe(t, &pgml_learner_oblivious_boosting, &t->seconds_per_oblivious_round);
}
