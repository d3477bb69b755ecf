/*
 * oblivious_split.h - scores of thresholds.
 *
 * The score is the cosine between the gradients and the leaves' means of them (CatBoost's score function "Cosine"): with sums G and
 * W of a leaf and its mean a = G / (W + lambda), it is the sum of a G over the root of the sum of a^2 W, over all
 * leaves and outputs.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_SPLIT_H
#define PGML_LEARNER_OBLIVIOUS_SPLIT_H

#include "learner/oblivious.h"

/* Sums for the candidates of some columns, one after another: candidate b of a column of n bins is split bin b. */
typedef struct PgmlOblTally
{
	double *product; /* sum of a G */
	double *length;  /* sum of a^2 W */
	double *rows;    /* rows that the question divides off: bins up to b, or of the level b */
} PgmlOblTally;

/*
 * Add a leaf, given its histogram of one column.  Number and CTR: candidates are bins 0 .. n_bins-2, bins up to the
 * candidate's against the others; level: 0 .. n_bins-1, one bin against the others.  lambda > 0, in units of W.
 */
extern void pgml_obl_tally(const PgmlGbmScale *scale, const PgmlGbmSum *hist, int n_bins,
						   bool one_level, double lambda, const PgmlOblTally *tally);

/* The score of sums. */
extern double pgml_obl_score(double product, double length);

/* What the candidates of a column are compared by. */
typedef struct PgmlOblContest
{
	double before;  /* the score without the question */
	double factor;  /* of what is gained */
	double noise;   /* standard deviation of what is added to it */
	uint64_t seed;  /* of the noise */
	double rows;    /* of all leaves */
	double minimum; /* rows on each side, at least; > 0 */
} PgmlOblContest;

/* Best of n candidates: its number, -1 when none divides the rows; *score with noise. */
extern int pgml_obl_best(const PgmlOblTally *tally, int n, const PgmlOblContest *contest,
						 double *score);

#endif
