/*
 * gbm_rounds.h - the rounds of boosting: how many there are, which number of them has the least validation loss, and what is written.
 */
#ifndef PGML_LEARNER_GBM_ROUNDS_H
#define PGML_LEARNER_GBM_ROUNDS_H

#include "learner/gbm_loss.h"
#include "learner/learner.h"

typedef struct PgmlGbmRounds
{
	/* Set at first. */
	const PgmlEnv *env;
	PgmlGbmTarget *valid; /* n = 0: no rows to validate on */
	double *out;          /* n x outputs scores of the best round, row by row; NULL: not wanted */
	int patience; /* rounds without a better loss after which to stop; 0: never, the last is the best */
	int most;
	int most_empty; /* rounds without a split, one after the other, that do not end the training */

	/* Adds a round's trees; *split: one of them has a split. May set out_of_time: the round does not count. */
	PgmlStatus (*boost)(void *arg, int round, bool *split);
	/* Writes the first `rounds` rounds; a failed one may be asked for fewer. */
	PgmlStatus (*encode)(void *arg, int rounds, PgmlBuf *payload);
	void *arg; /* of both */

	/* What has come of it. */
	int best_round;
	double best_loss;
	bool predicted; /* out holds the scores of the best round */
	bool out_of_time;
	bool out_of_memory;
} PgmlGbmRounds;

/*
 * All rounds, until there are enough, none is better, nothing is split, or time or memory are at their end: a round that these cut
 * short does not count, and the model is that of the best round.  PGML_ERR_CANCELLED at the stop flag, without a message.
 */
extern PgmlStatus pgml_gbm_boost(PgmlGbmRounds *rounds);

/* Write the payload; with fewer rounds, down to none, when memory does not suffice for the best number. */
extern PgmlStatus pgml_gbm_write(PgmlGbmRounds *rounds, PgmlFit *fit);

#endif
