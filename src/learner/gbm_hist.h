/*
 * gbm_hist.h - sums of gradients per bin.
 */
#ifndef PGML_LEARNER_GBM_HIST_H
#define PGML_LEARNER_GBM_HIST_H

#include "learner/gbm_rows.h"

/* Where each feature's bins lie in a histogram: entry offset[f] + bin. */
typedef struct PgmlGbmLayout
{
	const PgmlBins *bins;
	uint32_t *offset;
	uint32_t total; /* entries of a histogram */
} PgmlGbmLayout;

extern PgmlStatus pgml_gbm_layout_create(const PgmlEnv *env, PgmlArena *arena, const PgmlBins *bins,
										 PgmlGbmLayout *out);

/* What to build: sums of gradients over the n rows listed in `index`, for the listed features (ascending). */
typedef struct PgmlGbmHistJob
{
	const PgmlGbmRows *rows;
	const PgmlGbmLayout *layout;
	const PgmlGbmGradients *gradients;
	const int32_t *index;
	int64_t n;
	const int32_t *features;
	int32_t n_features;
	PgmlGbmSum *hist;  /* entries of other features are left alone */
	PgmlGbmSum *parts; /* room for PGML_GBM_PARTS - 1 histograms; NULL: by one thread */
} PgmlGbmHistJob;

/* Features that a pass over the rows adds up; pieces that many rows, or those of a single pass, are cut into. */
#define PGML_GBM_GROUP 8
#define PGML_GBM_PARTS 4

extern PgmlStatus pgml_gbm_hist_build(const PgmlEnv *env, const PgmlGbmHistJob *job);

/* hist[f] = parent[f] - child[f] of one feature; hist may be parent. */
extern void pgml_gbm_hist_subtract(const PgmlGbmLayout *layout, int32_t f, const PgmlGbmSum *parent,
								   const PgmlGbmSum *child, PgmlGbmSum *hist);

/* Loops below this many elementary steps are not worth waking other threads for. */
#define PGML_GBM_PARALLEL_WORK 50000

#endif
