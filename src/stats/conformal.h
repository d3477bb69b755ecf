/*
 * conformal.h - how far off a prediction may be: split conformal prediction.
 *
 * A score says how badly a row agrees with its prediction.  With n scores of rows that the predictor has not learned from,
 * and that could as well have come in any other order with the new row (exchangeability), the score of the new row is at most
 * the ceil((n + 1) level)-th smallest of them with probability at least `level` and, where scores do not tie, at most level +
 * 1 / (n + 1): Vovk, Gammerman and Shafer 2005; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018.  All values of the
 * target with scores up to that are the interval, or the set of classes.
 *
 * Regression: |y - p| / size(p), where size() is what is known beforehand of the errors of predictions near p
 * (normalised scores: Papadopoulos, Gammerman and Vovk 2008).  Classes: 1 - probability of the true class, which gives the
 * smallest sets (Sadinle, Lei and Wasserman 2019).
 */
#ifndef PGML_STATS_CONFORMAL_H
#define PGML_STATS_CONFORMAL_H

#include "core/env.h"
#include "stats/metric.h"

/* Scores that are kept of any number of rows: all of them, or so many spread over all ranks and as many of the largest. */
#define PGML_SCORES_SPREAD  1000
#define PGML_SCORES_LARGEST 1000
#define PGML_SCORES_KEPT    (PGML_SCORES_SPREAD + PGML_SCORES_LARGEST)

/* Rank, from 1, of the score that holds the level among n; n + 1 when n rows are too few: then nothing is excluded. */
extern int64_t pgml_conformal_rank(int64_t n, double level);

/* How many of n scores are kept; rank of the kept one with number i. */
extern int32_t pgml_scores_kept(int64_t n);
extern int64_t pgml_scores_rank(int64_t n, int32_t i);

/*
 * The score that holds the level, from the kept ones of n in ascending order; INFINITY when n is too small.  Where not all
 * scores are kept it is the next larger kept one, so that the level is held all the same: it is exceeded by at most 1/1000, and by
 * nothing where 1000 or fewer scores are larger.
 */
extern double pgml_conformal_score(const double *kept, int64_t n, double level);

/* Points of size() at most, and rows that each stands for at least. */
#define PGML_SIZE_POINTS         16
#define PGML_SIZE_ROWS_PER_POINT 50

/* Expected absolute error of a prediction: straight lines between points, constant beyond the first and the last. */
typedef struct PgmlErrorSize
{
	int32_t n;                     /* 1 .. PGML_SIZE_POINTS */
	double at[PGML_SIZE_POINTS];   /* predictions, ascending */
	double size[PGML_SIZE_POINTS]; /* > 0 */
} PgmlErrorSize;

/* The same for all predictions: 1. */
extern void pgml_error_size_constant(PgmlErrorSize *self);

/*
 * Learn the size of errors from predictions p of values y by something that has not learned from them: n >= 0 rows, those
 * where p is NaN left out.  Too few rows for two points, or predictions that do not differ, give the constant.  PGML_ERR_LIMIT
 * and PGML_ERR_NOMEM for want of memory, PGML_ERR_CANCELLED.  Polls env->stop in sorting only: some 100,000 rows are enough.
 */
extern PgmlStatus pgml_error_size_fit(const PgmlEnv *env, const double *p, const double *y,
									  int64_t n, PgmlErrorSize *self);

/* Size of the error of prediction p, which is finite: n points at `at`, see PgmlErrorSize. */
extern double pgml_error_size(const double *at, const double *size, int32_t n, double p);

/*
 * Score of row i, >= 0 also where a probability is rounded to more than 1; size is not used for classes.  One that overflows is
 * DBL_MAX, as is one of a prediction that is NaN; of a probability that is, 1.  Weights do not count: the level is held for rows as they come.
 */
extern double pgml_conformal_row(const PgmlPredictions *p, const PgmlErrorSize *size, int64_t i);

/* Keep pgml_scores_kept(n) of n scores, in ascending order.  Errors as above. */
extern PgmlStatus pgml_scores_keep(const PgmlEnv *env, const double *score, int64_t n,
								   double *kept);

#endif
