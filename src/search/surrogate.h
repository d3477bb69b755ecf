/*
 * surrogate.h - what a search expects of settings that it did not try: a Gaussian process for each learner (Snoek, Larochelle and Adams
 * 2012; Rasmussen and Williams 2006, chapters 2 and 5).
 *
 * Covariance is Matern's of order 5/2 of the distance of two points.  Coordinates differ by their difference, words by one, and a
 * coordinate that does not count in one of the points by a half; each dimension has its own length scale.  Length scales and
 * noise are the most probable ones under the priors of Hvarfner, Hellsten and Nardi (2024).  The share of a trial is one more dimension, on the
 * logarithmic scale, so that trials with few rows or epochs tell about whole ones (Klein et al. 2017).
 */
#ifndef PGML_SEARCH_SURROGATE_H
#define PGML_SEARCH_SURROGATE_H

#include "search/strategy.h"

typedef struct PgmlSurrogate PgmlSurrogate;

/*
 * Learn from what the search was told.  Losses are centred and divided by their standard deviation, those far above
 * the median cut before, and failed trials are as bad as that.  Takes memory from arena and one thread; fails when memory does, or when
 * stopped.
 */
extern PgmlStatus pgml_surrogate_create(const PgmlSearch *search, PgmlArena *arena,
										PgmlSurrogate **surrogate);

/* Mean and variance, without noise, of the scaled loss of a whole trial at a point of a space. */
extern void pgml_surrogate_predict(const PgmlSurrogate *surrogate, int space, const double *u,
								   double *mean, double *variance);

/* The lowest such mean at a point that was tried, in whole or in part. */
extern double pgml_surrogate_best(const PgmlSurrogate *surrogate);

#endif
