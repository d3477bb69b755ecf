/*
 * gbm_split.c - gains, leaf values, and the best threshold of a numeric feature.
 */
#include "learner/gbm_split.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/hash.h"

/* A gain must exceed this share of the node's own L(G, H): less is rounding error. */
#define GAIN_NOISE 1e-12

/* Below all sums of L. */
#define NO_SPLIT (-DBL_MAX)

/* |g| less the L1 penalty, not below 0. */
static inline double
shrink(double g, double l1)
{
	double a = fabs(g) - l1;

	return a > 0 ? a : 0;
}

/* The value that minimises the penalised loss, d = h + lambda_l2. */
static inline double
best_value(double g, double d, double l1)
{
	return d > 0 ? -copysign(shrink(g, l1), g) / d : 0;
}

/* Twice the decrease of the penalised loss at a value. */
static inline double
gain_at(double g, double d, double l1, double value)
{
	return -(2 * g + d * value) * value - 2 * l1 * fabs(value);
}

double
pgml_gbm_loss_gain(const PgmlGbmNode *node, PgmlGbmSum sum, double lambda_l2)
{
	double g = pgml_gbm_g(node->scale, sum), l1 = node->config->lambda_l1;
	double a = shrink(g, l1);
	double d = pgml_gbm_h(node->scale, sum) + lambda_l2;

	if (node->range != NULL)
		return gain_at(g, d, l1, pgml_gbm_clip(node->range, best_value(g, d, l1)));
	return d > 0 ? a * a / d : 0;
}

double
pgml_gbm_leaf_value(const PgmlGbmConfig *config, double g, double h, double lambda_l2)
{
	return best_value(g, h + lambda_l2, config->lambda_l1);
}

double
pgml_gbm_min_hessian(const PgmlGbmNode *node)
{
	return fmax(node->config->min_hessian, node->scale->h_unit);
}

int
pgml_gbm_draw(const PgmlGbmNode *node, int32_t feature, int draw, int n)
{
	uint64_t h = pgml_hash_combine(node->seed, (uint64_t) feature * 2 + (uint64_t) draw);

	return (int) (((h >> 32) * (uint64_t) n) >> 32);
}

/* Sums over bins 1 .. t for each t, as floating-point numbers. */
typedef struct Prefix
{
	double g[PGML_GBM_BINS];
	double h[PGML_GBM_BINS];
	double count[PGML_GBM_BINS];
	double gain[PGML_GBM_BINS];
} Prefix;

/* What all thresholds of a node share. */
typedef struct Bounds
{
	double g, h, count; /* of the node */
	double l1, l2;
	double min_h, min_count;
} Bounds;

/*
 * L of left plus L of right for thresholds from .. upto, NO_SPLIT where a child is too small.  m_* are the sums of the
 * missing rows when they go left, else 0.  One division, no branches: it vectorises.
 */
PGML_CLONES static void
compute_gains(Prefix *p, int from, int upto, const Bounds *bounds, double m_g, double m_h,
			  double m_count)
{
	const Bounds b = *bounds;

	for (int t = from; t <= upto; t++)
	{
		double gl = p->g[t] + m_g, gr = b.g - gl;
		double hl = p->h[t] + m_h, hr = b.h - hl;
		double cl = p->count[t] + m_count, cr = b.count - cl;
		double al = shrink(gl, b.l1), ar = shrink(gr, b.l1);
		double dl = hl + b.l2, dr = hr + b.l2;
		double v = (al * al * dr + ar * ar * dl) / (dl * dr);
		bool fits = (cl >= b.min_count) & (cr >= b.min_count) & (hl >= b.min_h) & (hr >= b.min_h);

		p->gain[t] = fits ? v : NO_SPLIT;
	}
}

/* The same where values are cut to a range, and the right child's must not be below (above) the left one's in direction 1 (-1). */
PGML_CLONES static void
compute_bounded_gains(Prefix *p, int from, int upto, const Bounds *bounds,
					  const PgmlGbmRange *range, int direction, double m_g, double m_h,
					  double m_count)
{
	const Bounds b = *bounds;
	const PgmlGbmRange r = *range;

	for (int t = from; t <= upto; t++)
	{
		double gl = p->g[t] + m_g, gr = b.g - gl;
		double hl = p->h[t] + m_h, hr = b.h - hl;
		double cl = p->count[t] + m_count, cr = b.count - cl;
		double dl = hl + b.l2, dr = hr + b.l2;
		double left = pgml_gbm_clip(&r, best_value(gl, dl, b.l1));
		double right = pgml_gbm_clip(&r, best_value(gr, dr, b.l1));
		bool fits = (cl >= b.min_count) & (cr >= b.min_count) & (hl >= b.min_h) & (hr >= b.min_h) &
					(direction * (right - left) >= 0);

		p->gain[t] = fits ? gain_at(gl, dl, b.l1, left) + gain_at(gr, dr, b.l1, right) : NO_SPLIT;
	}
}

/* Either of the two, by what the node asks for. */
static void
compute_node_gains(const PgmlGbmNode *node, Prefix *p, int from, int upto, const Bounds *bounds,
				   int direction, double m_g, double m_h, double m_count)
{
	if (node->range == NULL)
		compute_gains(p, from, upto, bounds, m_g, m_h, m_count);
	else
		compute_bounded_gains(p, from, upto, bounds, node->range, direction, m_g, m_h, m_count);
}

/* Keep the best of thresholds from .. upto when it beats split->gain (which holds L sums here). */
static void
keep_best(const Prefix *p, int from, int upto, bool missing_left, PgmlGbmSplit *split)
{
	for (int t = from; t <= upto; t++)
	{
		if (p->gain[t] > split->gain)
		{
			split->gain = p->gain[t];
			split->bin = (uint8_t) t;
			split->missing_left = missing_left;
		}
	}
}

/*
 * Thresholds to try: all, or (extra_trees) one between the lowest and the highest bin with rows.  Returns false
 * when there is nothing to part but missing from known.
 */
static bool
threshold_range(const PgmlGbmNode *node, int32_t feature, const Prefix *p, int last, int *from,
				int *upto)
{
	int low = 1, high = last;

	while (low <= last && p->count[low] == 0)
		low++;
	while (high > low && p->count[high - 1] == p->count[high])
		high--;
	if (low >= high)
		return false;
	*from = low;
	*upto = high - 1;
	if (node->config->extra_trees)
		*from = *upto = low + pgml_gbm_draw(node, feature, 0, high - low);
	return true;
}

/* Sums over the bins from 1 to each bin; converted to floating point in a second pass, which vectorises. */
PGML_CLONES static void
compute_prefix(const PgmlGbmNode *node, const PgmlGbmSum *hist, int last, Prefix *p)
{
	const PgmlGbmScale scale = *node->scale;
	int64_t g[PGML_GBM_BINS];
	uint64_t hc[PGML_GBM_BINS];
	PgmlGbmSum sum = { 0, 0 };

	for (int t = 1; t <= last; t++)
	{
		sum.g += hist[t].g;
		sum.hc += hist[t].hc;
		g[t] = sum.g;
		hc[t] = sum.hc;
	}
	for (int t = 1; t <= last; t++)
	{
		PgmlGbmSum prefix = { g[t], hc[t] };

		p->g[t] = pgml_gbm_g(&scale, prefix);
		p->h[t] = pgml_gbm_h(&scale, prefix);
		p->count[t] = (double) pgml_gbm_count(&scale, prefix);
	}
}

/* From the best L sum to the finished split: exact left sums, the gain over the undivided node. */
static void
finish_numeric(const PgmlGbmNode *node, const PgmlGbmSum *hist, PgmlGbmSplit *split)
{
	double undivided = pgml_gbm_loss_gain(node, node->total, node->config->lambda_l2);
	double gain = split->gain - undivided;

	if (split->gain == NO_SPLIT || gain <= node->config->min_gain ||
		gain <= GAIN_NOISE * fabs(undivided))
	{
		split->gain = 0;
		return;
	}
	split->gain = gain;
	split->left = (PgmlGbmSum){ 0, 0 };
	for (int t = 1; t <= split->bin; t++)
	{
		split->left.g += hist[t].g;
		split->left.hc += hist[t].hc;
	}
	if (pgml_gbm_count(node->scale, hist[0]) == 0)
	{
		/* Nothing is missing here: rows that will be go where most rows go. */
		int64_t n_left = pgml_gbm_count(node->scale, split->left);

		split->missing_left = 2 * n_left >= pgml_gbm_count(node->scale, node->total);
	}
	else if (split->missing_left)
	{
		split->left.g += hist[0].g;
		split->left.hc += hist[0].hc;
	}
}

void
pgml_gbm_split_numeric(const PgmlGbmNode *node, int32_t feature, const PgmlGbmSum *hist, int n_bins,
					   PgmlGbmSplit *split)
{
	Prefix p;
	int last = n_bins - 1;
	int from, upto;
	int direction = node->range ? node->monotone[feature] : 0;
	double missing = (double) pgml_gbm_count(node->scale, hist[0]);
	Bounds bounds = { .g = pgml_gbm_g(node->scale, node->total),
					  .h = pgml_gbm_h(node->scale, node->total),
					  .count = (double) pgml_gbm_count(node->scale, node->total),
					  .l1 = node->config->lambda_l1,
					  .l2 = node->config->lambda_l2,
					  .min_h = pgml_gbm_min_hessian(node),
					  .min_count = (double) node->config->min_data };

	split->gain = NO_SPLIT;
	split->feature = feature;
	split->categorical = false;
	split->missing_left = false;
	split->lambda_l2 = node->config->lambda_l2;
	compute_prefix(node, hist, last, &p);
	if (threshold_range(node, feature, &p, last, &from, &upto))
	{
		compute_node_gains(node, &p, from, upto, &bounds, direction, 0, 0, 0);
		keep_best(&p, from, upto, false, split);
		if (missing > 0)
		{
			compute_node_gains(node, &p, from, upto, &bounds, direction,
							   pgml_gbm_g(node->scale, hist[0]), pgml_gbm_h(node->scale, hist[0]),
							   missing);
			keep_best(&p, from, upto, true, split);
		}
	}
	if (missing > 0)
	{
		/* Known from missing: there is no order between them. */
		compute_node_gains(node, &p, last, last, &bounds, 0, 0, 0, 0);
		keep_best(&p, last, last, false, split);
	}
	finish_numeric(node, hist, split);
}

void
pgml_gbm_split_close(PgmlGbmSplit *split)
{
	if (split->categorical)
		return;
	memset(split->set, 0, sizeof(split->set));
	for (uint32_t b = split->missing_left ? 0 : 1; b <= split->bin; b++)
		split->set[b / 32] |= UINT32_C(1) << (b % 32);
}
