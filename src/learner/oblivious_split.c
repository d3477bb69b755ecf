/*
 * oblivious_split.c - scores of thresholds.
 */
#include "learner/oblivious_split.h"

#include <math.h>
#include <string.h>

/* Sums of the rows that a candidate divides off. */
typedef struct Prefix
{
	int64_t g[PGML_GBM_BINS];
	uint64_t hc[PGML_GBM_BINS];
} Prefix;

/* Add the two sides of n candidates. */
PGML_CLONES static void
add_sides(const Prefix *p, int n, const PgmlGbmScale *scale, PgmlGbmSum total, double lambda,
		  const PgmlOblTally *tally)
{
	const PgmlGbmScale s = *scale;
	double all_g = pgml_gbm_g(&s, total), all_w = pgml_gbm_h(&s, total);
	double *restrict product = tally->product;
	double *restrict length = tally->length;
	double *restrict rows = tally->rows;

	for (int t = 0; t < n; t++)
	{
		PgmlGbmSum sum = { p->g[t], p->hc[t] };
		double g = pgml_gbm_g(&s, sum), w = pgml_gbm_h(&s, sum);
		double other_g = all_g - g, other_w = all_w - w;
		double d = w + lambda, other_d = other_w + lambda;
		double inverse = 1 / (d * other_d);
		double a = g * other_d * inverse, other_a = other_g * d * inverse;

		product[t] += a * g + other_a * other_g;
		length[t] += a * a * w + other_a * other_a * other_w;
		rows[t] += (double) pgml_gbm_count(&s, sum);
	}
}

void
pgml_obl_tally(const PgmlGbmScale *scale, const PgmlGbmSum *hist, int n_bins, bool one_level,
			   double lambda, const PgmlOblTally *tally)
{
	Prefix p;
	PgmlGbmSum sum = { 0, 0 };

	for (int t = 0; t < n_bins; t++)
	{
		sum.g += hist[t].g;
		sum.hc += hist[t].hc;
		p.g[t] = one_level ? hist[t].g : sum.g;
		p.hc[t] = one_level ? hist[t].hc : sum.hc;
	}
	add_sides(&p, one_level ? n_bins : n_bins - 1, scale, sum, lambda, tally);
}

double
pgml_obl_score(double product, double length)
{
	return product / sqrt(length + 1e-100);
}

/* Scores of n candidates, and noise: a sum of eight uniform numbers is all but normal. */
PGML_CLONES static void
compute_scores(const PgmlOblTally *tally, int n, const PgmlOblContest *contest, double *score)
{
	const double mean = 8 * 32767.5;
	double noise = contest->noise / 53509.86; /* 65536 times the root of 8/12 */
	double before = contest->before, factor = contest->factor;
	uint64_t seed = contest->seed;

	for (int t = 0; t < n; t++)
		score[t] = before + (tally->product[t] / sqrt(tally->length[t] + 1e-100) - before) * factor;
	for (int t = 0; noise > 0 && t < n; t++)
	{
		uint64_t x = pgml_obl_mix(seed + (uint64_t) t * UINT64_C(0x9E3779B97F4A7C15));
		uint64_t y = pgml_obl_mix(x + UINT64_C(0x9E3779B97F4A7C15));
		/* Sixteen bits at a time, two sums of up to 17 bits in a word, then of 18. */
		uint64_t pairs =
			(x & UINT64_C(0x0000ffff0000ffff)) + (x >> 16 & UINT64_C(0x0000ffff0000ffff)) +
			(y & UINT64_C(0x0000ffff0000ffff)) + (y >> 16 & UINT64_C(0x0000ffff0000ffff));
		int64_t sum = (int64_t) ((pairs & 0xffffffff) + (pairs >> 32));

		score[t] += ((double) sum - mean) * noise;
	}
}

int
pgml_obl_best(const PgmlOblTally *tally, int n, const PgmlOblContest *contest, double *score)
{
	double scores[PGML_GBM_BINS];
	double most = contest->rows - contest->minimum;
	int best = -1;

	compute_scores(tally, n, contest, scores);
	for (int t = 0; t < n; t++)
	{
		if (!(tally->rows[t] >= contest->minimum && tally->rows[t] <= most))
			continue;
		if (best < 0 || scores[t] > *score)
		{
			best = t;
			*score = scores[t];
		}
	}
	return best;
}
