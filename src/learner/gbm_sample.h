/*
 * gbm_sample.h - the rows that a round of boosting learns from (stochastic gradient boosting: Friedman 2002).
 *
 * Rows are drawn independently: all with the same probability, or, with minimal variance sampling (Ibragimov and Gusev
 * 2019), in proportion to the size of their gradient, up to one; a row then weighs as many as it stands for.  Drawing is
 * by a hash of seed and row: the same for any number of threads.
 *
 * What a round needs of the drawn rows - bins, targets, weights, scores - is copied next to each other, so that its
 * trees are grown as fast as from a table of that size.
 */
#ifndef PGML_LEARNER_GBM_SAMPLE_H
#define PGML_LEARNER_GBM_SAMPLE_H

#include "learner/gbm_loss.h"
#include "learner/gbm_rows.h"

typedef struct PgmlGbmSample
{
	double fraction;
	int64_t capacity; /* rows that a round can have */
	float *size;      /* of each row's gradient; NULL: all rows have the same probability */
	double threshold; /* size from which on rows are always drawn */
	int32_t *number;  /* the rows of this round, ascending */
	int64_t *n_block; /* per block of rows */
	PgmlGbmRows rows;
	PgmlGbmTarget target; /* scores are those before the round */
} PgmlGbmSample;

/* Bytes that pgml_gbm_sample_create() takes. */
extern int64_t pgml_gbm_sample_size(const PgmlDataset *data, double fraction, bool by_gradient);

/* Room for rounds of about this fraction of the rows, above 0 and below 1. */
extern PgmlStatus pgml_gbm_sample_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlDataset *data, double fraction, bool by_gradient,
										 PgmlGbmSample *out);

/* Draw a round's rows, after pgml_gbm_prepare_round(); all when chance picks none. */
extern PgmlStatus pgml_gbm_sample_draw(const PgmlEnv *env, PgmlGbmSample *sample, uint64_t seed,
									   const PgmlGbmRows *rows, const PgmlGbmTarget *target);

#endif
