/*
 * gbm_stopping.h - the number of boosting rounds with the least validation loss, and when to give up looking for more.
 */
#ifndef PGML_LEARNER_GBM_STOPPING_H
#define PGML_LEARNER_GBM_STOPPING_H

#include "learner/gbm_loss.h"

/* Set at first: env, valid, out, patience. */
typedef struct PgmlGbmStopping
{
	const PgmlEnv *env;
	PgmlGbmTarget *valid; /* n = 0: no rows to validate on */
	double *out;          /* n x outputs scores of the best round, row by row; NULL: not wanted */
	int patience; /* rounds without a better loss after which to stop; 0: never, the last is the best */
	int best_round;
	double best_loss;
	bool predicted; /* out holds the scores of the best round */
} PgmlGbmStopping;

/* These many rounds are the best so far: the scores of the validation rows are kept. */
extern void pgml_gbm_keep_round(PgmlGbmStopping *stopping, int rounds);

/* Note the validation loss after a number of rounds; *stop: patience is at its end. */
extern PgmlStatus pgml_gbm_judge(PgmlGbmStopping *stopping, int rounds, bool *stop);

#endif
