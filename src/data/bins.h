/*
 * bins.h - the matrix cut into at most 255 bins a feature, uint8, for histogram learners.
 *
 * Bin 0 is "missing" in every feature.  Numeric features: bins 1 .. n_bins-1 in increasing order, cut at
 * edges (a value x falls into bin 1 + number of edges e with e < x, so bin b holds x <= edge[b-1]): every
 * distinct value has its own bin when there are few enough, otherwise about equal counts on a sample of
 * at most 200,000 rows.  Categorical features: level l has bin l+1 while l < max_bin-1; levels beyond
 * share the last bin (the recipe orders levels by falling count).
 */
#ifndef PGML_DATA_BINS_H
#define PGML_DATA_BINS_H

#include "core/env.h"
#include "data/matrix.h"

typedef struct PgmlBins
{
	int64_t nrows;
	int32_t nfeatures;
	int32_t max_bin;
	int32_t *n_bins; /* per feature, missing included, <= max_bin + 1 <= 256 */
	float *
		*edges; /* per numeric feature n_bins-2 upper edges, then infinity; NULL for categorical */
	uint8_t **bin;     /* per feature nrows bins */
	bool *has_missing; /* a missing value was seen in the fitted rows */
} PgmlBins;

/* Fit edges on the given rows (n of them) and bin all rows of the matrix. 2 <= max_bin <= 255. */
extern PgmlStatus pgml_bins_create(const PgmlEnv *env, PgmlArena *arena, const PgmlMatrix *x,
								   const int32_t *rows, int64_t n, int max_bin, PgmlBins **out);

/* Bin of one value of feature f. */
extern uint8_t pgml_bin_of(const PgmlBins *bins, const PgmlFeature *feature, int f, float value);

#endif
