/*
 * folds.c - how settings are validated: cross-validation where it is affordable, else one part held out.
 */
#include "search/training.h"

#include <string.h>

/* Rounds a boosting fit takes until it stops early, at the fastest rate we like; for planning. */
#define TYPICAL_ROUNDS 150.0
#define PROBE_ROWS     20000
#define PROBE_ROUNDS   4
#define MAX_CV_CELLS   5000000.0 /* rows x features x outputs that 5 folds are always taken for */

/* Seconds that one boosting round takes on all training rows with one thread, on this machine as busy as it is. */
static PgmlStatus
probe_speed(Training *t)
{
	const PgmlLearner *learner = pgml_learner_find("gradient_boosting");
	PgmlEnv env = *t->env;
	PgmlError ignored;
	PgmlParams params;
	PgmlDataset data;
	PgmlFit fit;
	int64_t n = t->n_train < PROBE_ROWS ? t->n_train : PROBE_ROWS;
	double start;
	PgmlStatus status;

	if (!training_portfolio(t, learner, 0, &params))
		return PGML_OK;
	PGML_TRY(pgml_params_set(learner, &params, "n_estimators", PROBE_ROUNDS, t->env->error));
	PGML_TRY(training_dataset(t, learner, &params, t->train, n, NULL, 0, &data));
	env.pool = NULL;
	env.error = &ignored;
	memset(&fit, 0, sizeof(fit));
	pgml_buf_init(&fit.payload, env.budget);
	start = pgml_now();
	status = learner->fit(&env, &data, &params, &fit);
	if (status == PGML_OK)
		t->seconds_per_round = (pgml_now() - start) / PROBE_ROUNDS * t->n_train / n;
	pgml_buf_free(&fit.payload);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(t->env) : PGML_OK;
}

/* Folds that the budget affords, so that two or three settings can be tried on them. */
static int
affordable_folds(const Training *t)
{
	double cells = (double) t->n_train * t->x.nfeatures * t->outputs;
	double fit = t->seconds_per_round * TYPICAL_ROUNDS;
	double seconds = 0.6 * training_seconds_left(t) * pgml_pool_threads(t->env->pool);

	if (t->time)
		return 1;
	if (t->options->time_budget <= 0 || t->seconds_per_round <= 0)
		return cells <= MAX_CV_CELLS ? 5 : 1;
	if (t->n_train <= 1000 && 8 * fit * 3 <= seconds)
		return 8;
	if (5 * fit * 2 <= seconds)
		return 5;
	return 3 * fit * 1.5 <= seconds ? 3 : 1;
}

/* Share of the training rows that validates when there is one part only. */
static double
holdout_share(int64_t n)
{
	double share = 2500.0 / (n > 0 ? n : 1);

	return share > 0.2 ? 0.2 : share < 0.1 ? 0.1 : share;
}

/* Deal the training rows to the parts; *filled is the number of parts that got any, the first ones. */
static PgmlStatus
deal(Training *t, int parts, const int32_t *label, const uint64_t *group, int *filled)
{
	PGML_TRY(pgml_folds(t->env, t->arena, parts, t->train, t->n_train, label, group, t->time,
						t->env->seed, t->fold));
	*filled = 0;
	for (int64_t i = 0; i < t->n_train; i++)
		if (t->fold[i] >= *filled)
			*filled = t->fold[i] + 1;
	return PGML_OK;
}

PgmlStatus
training_choose_folds(Training *t)
{
	int k = t->options->folds;
	int parts, filled;
	int32_t *label = NULL;

	if (t->options->time_budget > 0 && k == 0 && t->n_train > 2000)
		PGML_TRY(probe_speed(t));
	if (k == 0)
		k = affordable_folds(t);
	if (k > t->n_train)
		k = (int) t->n_train;
	if (k < 1 || k > PGML_MAX_FOLDS)
		return pgml_fail(t->env->error, PGML_ERR_BADARG, "folds must be between 1 and %d",
						 PGML_MAX_FOLDS);
	parts = k > 1 ? k : (int) (1 / holdout_share(t->n_train) + 0.5);
	if (parts > t->n_train)
		parts = (int) t->n_train;

	t->fold = pgml_array(t->arena, t->n_train, 1);
	if (t->target.task != PGML_TASK_REGRESSION)
	{
		label = pgml_array(t->arena, t->table->nrows, sizeof(int32_t));
		for (int64_t i = 0; label && i < t->n_train; i++)
			label[t->train[i]] = (int32_t) t->target.y[t->train[i]];
	}
	if (!t->fold || (t->target.task != PGML_TASK_REGRESSION && !label))
		return pgml_fail_nomem(t->env, "the folds");
	PGML_TRY(deal(t, parts, label, t->group, &filled));
	if (filled < 2 && t->group && !t->time)
	{
		training_notice(t, false,
						"all training rows are of one group, so validation is by rows of it");
		PGML_TRY(deal(t, parts, label, NULL, &filled));
	}
	/* There may be fewer groups than folds. */
	t->folds = k < filled ? k : filled;
	/* One part: validation is fold 0 (the newest block in time), everything else learns. */
	for (int64_t i = 0; k == 1 && i < t->n_train; i++)
		t->fold[i] = t->fold[i] == (t->time ? parts - 1 : 0) ? 0 : 1;
	return PGML_OK;
}
