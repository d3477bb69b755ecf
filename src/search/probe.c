/*
 * probe.c - how long a round of boosting takes on this machine, as busy as it is: what a plan of the time is made with.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#define PROBE_ROWS  20000
#define PROBE_CELLS 2e6 /* rows x features x outputs */
#define LEAST_ROWS  500

/* Rounds of two fits, whose difference counts.  Oblivious trees make statistics of categories in the first rounds, which later ones find ready. */
#define FEW_ROUNDS     2
#define MORE_ROUNDS    8
#define FEW_OBLIVIOUS  8
#define MORE_OBLIVIOUS 24

/* A probe of more than this share of the time budget is long; no fit of one takes more than the other share. */
#define LONG_SHARE 0.01
#define MOST_SHARE 0.02

/* How much longer a round of oblivious trees takes than one of others, as a rule. */
#define USUAL_RATIO 2

/*
 * Wall seconds of a fit of so many rounds to the first n training rows, by one thread; 0 when it fails.  *rounds becomes those there was time
 * for: one that did not end counts as one when there is no other.
 */
static PgmlStatus
time_fit(Training *t, const PgmlLearner *learner, int64_t n, int *rounds, double *seconds)
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
	PGML_TRY(pgml_params_set(learner, &params, "n_estimators", *rounds, t->env->error));
	PGML_TRY(training_dataset(t, learner, &params, t->train, n, NULL, 0, &data));
	env.pool = NULL;
	env.error = &ignored;
	memset(&fit, 0, sizeof(fit));
	pgml_buf_init(&fit.payload, env.budget);
	start = pgml_now();
	env.deadline = start + MOST_SHARE * t->options->time_budget;
	status = learner->fit(&env, &data, &params, &fit);
	if (status == PGML_OK)
		*seconds = pgml_now() - start;
	if (fit.out_of_time)
		*rounds = fit.best_iteration > 1 ? fit.best_iteration : 1;
	pgml_buf_free(&fit.payload);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(t->env) : PGML_OK;
}

/* Rows that are looked at: fewer where there are many columns or classes. */
static int64_t
probed_rows(const Training *t)
{
	int64_t most = (int64_t) (PROBE_CELLS / ((t->x.nfeatures + 1.0) * t->outputs));

	most = most < LEAST_ROWS ? LEAST_ROWS : most > PROBE_ROWS ? PROBE_ROWS : most;
	return t->n_train < most ? t->n_train : most;
}

/*
 * Seconds that one round more takes on all training rows; 0 when that is not known.  Where the short fit takes long already, its
 * rounds have to do, though what comes before the first one counts then, too.
 */
static PgmlStatus
probe(Training *t, const PgmlLearner *learner, int few_rounds, int more_rounds,
	  double *seconds_per_round)
{
	int64_t n = probed_rows(t);
	double few, more, slope;

	PGML_TRY(time_fit(t, learner, n, &few_rounds, &few));
	slope = few / few_rounds;
	if (few > 0 && few < LONG_SHARE * t->options->time_budget)
	{
		PGML_TRY(time_fit(t, learner, n, &more_rounds, &more));
		/* What else happens on the machine may make the longer fit the shorter one, or end it. */
		slope = 0.2 * more / more_rounds;
		if (more_rounds > few_rounds)
			slope = fmax(slope, (more - few) / (more_rounds - few_rounds));
	}
	*seconds_per_round = slope * (double) t->n_train / (double) n;
	return PGML_OK;
}

PgmlStatus
training_probe_speed(Training *t)
{
	double started = pgml_now();

	if (t->options->time_budget <= 0)
		return PGML_OK;
	if (training_selects(t->options, &pgml_learner_gradient_boosting))
		PGML_TRY(probe(t, &pgml_learner_gradient_boosting, FEW_ROUNDS, MORE_ROUNDS,
					   &t->seconds_per_round));
	if (!training_selects(t->options, &pgml_learner_oblivious_boosting))
		return PGML_OK;
	if (pgml_now() - started > 2 * LONG_SHARE * t->options->time_budget)
	{
		t->seconds_per_oblivious_round = USUAL_RATIO * t->seconds_per_round;
		return PGML_OK;
	}
	return probe(t, &pgml_learner_oblivious_boosting, FEW_OBLIVIOUS, MORE_OBLIVIOUS,
				 &t->seconds_per_oblivious_round);
}
