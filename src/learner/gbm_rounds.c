/* gbm_rounds.c - the rounds of boosting. */
#include "learner/gbm_rounds.h"

#include "core/clock.h"

/* So many rounds are the best so far: the scores of the validation rows are kept. */
static void
keep_round(PgmlGbmRounds *r, int rounds)
{
	const PgmlGbmTarget *v = r->valid;

	r->best_round = rounds;
	if (v->n == 0 || r->out == NULL)
		return;
	for (int k = 0; k < v->n_outputs; k++)
		for (int64_t i = 0; i < v->n; i++)
			r->out[i * v->n_outputs + k] = v->score[k * v->n + i];
	r->predicted = true;
}

/* Note the validation loss after a number of rounds; *stop: patience is at its end. */
static PgmlStatus
judge(PgmlGbmRounds *r, int rounds, bool *stop)
{
	double loss;

	*stop = false;
	if (r->valid->n == 0 || r->patience == 0)
	{
		keep_round(r, rounds);
		return PGML_OK;
	}
	PGML_TRY(pgml_gbm_loss(r->env, r->valid, &loss));
	if (rounds == 1 || loss < r->best_loss)
	{
		r->best_loss = loss;
		keep_round(r, rounds);
	}
	*stop = rounds - r->best_round >= r->patience;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_boost(PgmlGbmRounds *r)
{
	int empty = 0;
	bool stop = false;

	keep_round(r, 0);
	for (int round = 0; round < r->most && !stop; round++)
	{
		bool split = false;
		PgmlStatus status;

		if (pgml_stopped(r->env))
			return PGML_ERR_CANCELLED;
		r->out_of_time = pgml_clock_ends(r->env, pgml_out_of_time(r->env));
		if (r->out_of_time)
			break;
		status = r->boost(r->arg, round, &split);
		r->out_of_memory = r->best_round > 0 && pgml_is_memory(status);
		if (r->out_of_time || r->out_of_memory)
			break;
		PGML_TRY(status);
		empty = split ? 0 : empty + 1;
		if (empty > r->most_empty)
			break;
		PGML_TRY(judge(r, round + 1, &stop));
	}
	return PGML_OK;
}

PgmlStatus
pgml_gbm_write(PgmlGbmRounds *r, PgmlFit *fit)
{
	int rounds = r->best_round;

	for (;; rounds /= 2)
	{
		PgmlStatus status = r->encode(r->arg, rounds, &fit->payload);

		if (rounds == 0 || !pgml_is_memory(status))
		{
			fit->best_iteration = rounds;
			fit->out_of_time = r->out_of_time;
			fit->out_of_memory = r->out_of_memory || rounds < r->best_round;
			fit->predicted = r->predicted && rounds == r->best_round;
			return status;
		}
		pgml_buf_free(&fit->payload);
	}
}
