/* gbm_stopping.c - early stopping of boosting. */
#include "learner/gbm_stopping.h"

void
pgml_gbm_keep_round(PgmlGbmStopping *stopping, int rounds)
{
	const PgmlGbmTarget *v = stopping->valid;

	stopping->best_round = rounds;
	if (v->n == 0 || stopping->out == NULL)
		return;
	for (int k = 0; k < v->n_outputs; k++)
		for (int64_t i = 0; i < v->n; i++)
			stopping->out[i * v->n_outputs + k] = v->score[k * v->n + i];
	stopping->predicted = true;
}

PgmlStatus
pgml_gbm_judge(PgmlGbmStopping *stopping, int rounds, bool *stop)
{
	double loss;

	*stop = false;
	if (stopping->valid->n == 0 || stopping->patience == 0)
	{
		pgml_gbm_keep_round(stopping, rounds);
		return PGML_OK;
	}
	PGML_TRY(pgml_gbm_loss(stopping->env, stopping->valid, &loss));
	if (rounds == 1 || loss < stopping->best_loss)
	{
		stopping->best_loss = loss;
		pgml_gbm_keep_round(stopping, rounds);
	}
	*stop = rounds - stopping->best_round >= stopping->patience;
	return PGML_OK;
}
