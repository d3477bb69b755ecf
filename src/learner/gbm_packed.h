/*
 * gbm_packed.h - gradients of a row in 32 bits, and histograms of them.
 *
 * A row holds g in the high and h in the low half (Shi et al. 2022), or g alone when h is 1 in every row.  Sums over
 * up to PGML_GBM_RUN rows of g, h and the count share one 64-bit word: adding a row to a bin is one integer addition,
 * and the histograms of eight features lie in 16 kB.  After each run the sums are added to those of 128 bits.
 *
 * Rounding is random and its mean is exact, so that errors do not add up over rows.  It is a function of
 * row and seed alone.
 */
#ifndef PGML_LEARNER_GBM_PACKED_H
#define PGML_LEARNER_GBM_PACKED_H

#include "learner/gbm_hist.h"

/* Largest |g| and h of a row, in units: with h, and without. */
#define PGML_GBM_PACKED_G      8192
#define PGML_GBM_PACKED_H      2048
#define PGML_GBM_PACKED_G_ONLY (1 << 29)

/* Rows from which on gradients are packed, and above which sums of h and counts might not fit into 64 bits. */
#define PGML_GBM_PACKED_MIN_ROWS 16384
#define PGML_GBM_PACKED_MAX_ROWS ((int64_t) 1 << 25)

/* Rows whose sums fit into a word: 13 bits for the count, 24 for h, 27 for g. */
#define PGML_GBM_RUN 8064

/* Build the job's features number from .. upto-1 over rows begin .. end-1 of its index into hist. */
extern PgmlStatus pgml_gbm_packed_build(const PgmlEnv *env, const PgmlGbmHistJob *job, int32_t from,
										int32_t upto, int64_t begin, int64_t end, PgmlGbmSum *hist);

#endif
