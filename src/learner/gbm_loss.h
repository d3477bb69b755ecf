/*
 * gbm_loss.h - scores of rows, and what the loss says about them.
 *
 * Losses per row of weight w: squared error w (y - s)^2 / 2; logistic; softmax over n_classes scores; and those of
 * gbm_objective.h.  Scores lie class after class (score[k * n + i]), as trees are grown one class at a time.  Those of
 * regression leave the initial score out.
 */
#ifndef PGML_LEARNER_GBM_LOSS_H
#define PGML_LEARNER_GBM_LOSS_H

#include <math.h>
#include <string.h>

#include "learner/gbm.h"

/* A set of rows: targets, weights (NULL: 1) and scores. */
typedef struct PgmlGbmTarget
{
	PgmlTask task;
	int n_outputs;
	int64_t n;
	double *y;
	double *w;
	double weight; /* sum of weights */
	double max_weight;
	double *score;
	double *highest; /* softmax: largest score of each row, when probabilities were last prepared */
	double *inverse; /* softmax: 1 / sum of exp(score - highest) */
	double *partial; /* two numbers per block, for reductions */
	double first_g;  /* regression, where |g| has no bound: the largest before the first tree */
	float *
		copies; /* rows that each row, drawn from more of them, stands for, in w already; NULL: 1 */
	bool never_pack; /* packed gradients were too coarse once */
	/* Set by pgml_gbm_set_objective(); squared error counts as auto. */
	PgmlGbmObjective objective;
	double alpha;
	double delta; /* huber: |y - s| above which the loss is linear */
	bool fixed_delta;
	double power;
	double h_factor; /* poisson */
	double offset;   /* to be added to scores: the initial one where it was not taken from y */
} PgmlGbmTarget;

/* Bytes that pgml_gbm_target_room() takes. */
extern int64_t pgml_gbm_target_size(const PgmlDataset *data, bool weighted, int64_t n);

/* Copy targets and weights of some rows; PGML_ERR_DATA when they cannot be learned from. */
extern PgmlStatus pgml_gbm_target_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlDataset *data, const int32_t *rows, int64_t n,
										 PgmlGbmTarget *out);

/* Room for targets, weights (if weighted) and scores of at most n rows. */
extern PgmlStatus pgml_gbm_target_room(const PgmlEnv *env, PgmlArena *arena,
									   const PgmlDataset *data, bool weighted, int64_t n,
									   PgmlGbmTarget *out);

/*
 * Score of every row before the first tree: mean, log-odds, or log of the class shares; init has n_outputs.  To be called
 * before pgml_gbm_set_scores().  For other objectives see pgml_gbm_objective_init().
 */
extern void pgml_gbm_initial_scores(const PgmlGbmTarget *target, double *init);

/*
 * Set all scores to init.  Regression: the targets become distances from init, or it becomes the offset, and the
 * scores start at 0, so that a large mean takes no digits from small differences.
 */
extern void pgml_gbm_set_scores(PgmlGbmTarget *target, const double *init);

/* Softmax only: fix the denominators of the probabilities for the gradients of one round. */
extern PgmlStatus pgml_gbm_prepare_round(const PgmlEnv *env, PgmlGbmTarget *target);

/* The same for n rows from row `from` alone. */
extern void pgml_gbm_prepare_rows(PgmlGbmTarget *target, int64_t from, int n);

/*
 * Gradients and hessians of output k for all rows, as integers, into out->sum, which is given, or packed into the same
 * memory; the rest of out is set.  They are packed when there are many rows, unless rounding could err by more than a hundredth
 * of the mean |g|, or a tenth of the mean weight where that is h (standard deviation): then never again.  seed is of the rounding.  PGML_ERR_NUMERIC when they are too large for
 * double precision.
 */
extern PgmlStatus pgml_gbm_gradients(const PgmlEnv *env, PgmlGbmTarget *target, int k,
									 uint64_t seed, PgmlGbmGradients *out);

/*
 * Units of gradients, powers of two.  Fine: the smallest so that n values up to bound add up to less than 2^sum_bits units, each below
 * 2^50.  Packed: the smallest of which `most` are not below the bound.
 */
extern double pgml_gbm_fine_unit(double bound, int64_t n, int sum_bits);
extern double pgml_gbm_packed_unit(double bound, int most);

/* g and h of output k at weight 1 of n rows from row `from`, in double precision. */
extern void pgml_gbm_raw_gradients(const PgmlGbmTarget *target, int k, int64_t from, int n,
								   double *g, double *h);

/*
 * Weighted sum of g^2 over that of h of output k, over some rows: what G^2 / H of a random set of rows is on average.  A row
 * of weight 2 counts as two rows, one that stands for two as one that is twice as large.
 */
extern double pgml_gbm_noise(const PgmlGbmTarget *target, int k);

/* Sums of g and h of output k over n listed rows, in double precision. */
extern PgmlStatus pgml_gbm_exact_sums(const PgmlEnv *env, const PgmlGbmTarget *target, int k,
									  const int32_t *index, int64_t n, double *g, double *h);

/* Weighted mean loss of the scores. */
extern PgmlStatus pgml_gbm_loss(const PgmlEnv *env, PgmlGbmTarget *target, double *loss);

/* 32 random bits of a row. */
static inline uint32_t
pgml_gbm_row_noise(uint32_t row, uint32_t seed)
{
	uint32_t x = row * UINT32_C(0x9E3779B1) + seed;

	x = (x ^ x >> 16) * UINT32_C(0x85EBCA6B);
	x = (x ^ x >> 13) * UINT32_C(0xC2B2AE35);
	return x ^ x >> 16;
}

/*
 * exp(x) in plain arithmetic: unlike libm's, which has variants per CPU, it gives the same bits everywhere, and it
 * vectorises.  Error below 1 unit in the last place or so; x is clamped to [-708, 709].
 */
static inline double
pgml_gbm_exp(double x)
{
	const double round = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
	double shifted, k, r, p, power;
	uint64_t bits, base;

	x = x < -708.0 ? -708.0 : x;
	x = x > 709.0 ? 709.0 : x;
	shifted = x * 1.4426950408889634 + round;
	k = shifted - round;
	/* ln 2 in two parts, the first with trailing zeros so that k times it is exact. */
	r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
	p = 1.0 / 6227020800.0;
	p = p * r + 1.0 / 479001600.0;
	p = p * r + 1.0 / 39916800.0;
	p = p * r + 1.0 / 3628800.0;
	p = p * r + 1.0 / 362880.0;
	p = p * r + 1.0 / 40320.0;
	p = p * r + 1.0 / 5040.0;
	p = p * r + 1.0 / 720.0;
	p = p * r + 1.0 / 120.0;
	p = p * r + 1.0 / 24.0;
	p = p * r + 1.0 / 6.0;
	p = p * r + 0.5;
	p = p * r + 1.0;
	p = p * r + 1.0;
	memcpy(&bits, &shifted, sizeof(bits));
	memcpy(&base, &round, sizeof(base));
	bits = (bits - base + 1023) << 52;
	memcpy(&power, &bits, sizeof(power));
	return p * power;
}

/* Probability of class 1 at margin s. */
static inline double
pgml_gbm_sigmoid(double s)
{
	return 1.0 / (1.0 + pgml_gbm_exp(-s));
}

#endif
