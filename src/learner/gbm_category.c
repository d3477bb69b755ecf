/*
 * gbm_category.c - the best set of levels of a categorical feature.
 *
 * With few levels each is tried against the rest.  With more, levels are ordered by their mean gradient
 * G / (H + cat_smooth); for a convex loss the best set is a run at one end of that order (Fisher 1958), so only
 * prefixes from either end are scanned.  Chance alone puts many levels into an order that seems to part the rows well:
 * a prefix only counts when it gains more than it would on average if the levels did not matter.  The smaller set is stored: levels that it does not hold, also those never
 * seen, go right.  Missing is a level like the others.
 */
#include "learner/gbm_split.h"

#include <math.h>
#include <string.h>

/* A level that takes part: its bin and its place in the order. */
typedef struct Level
{
	double key;
	int bin;
} Level;

/* Does level a come before level b? Equal keys: by bin, so that the order is total. */
static inline bool
before(const Level *a, const Level *b)
{
	return a->key < b->key || (a->key == b->key && a->bin < b->bin);
}

/* Shell sort with Ciura's gaps: at most 256 levels, no recursion, no allocation. */
static void
sort_levels(Level *level, int n)
{
	static const int gaps[] = { 132, 57, 23, 10, 4, 1 };

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
	{
		for (int i = gaps[g]; i < n; i++)
		{
			Level moving = level[i];
			int j = i;

			for (; j >= gaps[g] && before(&moving, &level[j - gaps[g]]); j -= gaps[g])
				level[j] = level[j - gaps[g]];
			level[j] = moving;
		}
	}
}

/* Levels with at least min_count rows in the node, in order of their bins. */
static int
collect(const PgmlGbmNode *node, const PgmlGbmSum *hist, int n_bins, int64_t min_count,
		Level *level)
{
	int n = 0;

	for (int b = 0; b < n_bins; b++)
	{
		double h = pgml_gbm_h(node->scale, hist[b]) + node->config->cat_smooth;

		if (pgml_gbm_count(node->scale, hist[b]) < min_count)
			continue;
		level[n].bin = b;
		level[n++].key = h > 0 ? pgml_gbm_g(node->scale, hist[b]) / h : 0;
	}
	return n;
}

/* True when a child with these sums is large enough. */
static bool
fits(const PgmlGbmNode *node, PgmlGbmSum sum, int64_t min_count)
{
	return pgml_gbm_count(node->scale, sum) >= min_count &&
		   pgml_gbm_h(node->scale, sum) >= pgml_gbm_min_hessian(node);
}

/* Gain of parting `left` from the rest. */
static double
gain_of(const PgmlGbmNode *node, PgmlGbmSum left, double lambda_l2)
{
	return pgml_gbm_loss_gain(node, left, lambda_l2) +
		   pgml_gbm_loss_gain(node, pgml_gbm_minus(node->total, left), lambda_l2) -
		   pgml_gbm_loss_gain(node, node->total, node->config->lambda_l2);
}

/* Put a bin into a set. */
static inline void
add_to_set(uint32_t *set, int bin)
{
	set[bin / 32] |= UINT32_C(1) << (bin % 32);
}

/* Each level against the rest. */
static void
one_against_rest(const PgmlGbmNode *node, int32_t feature, const PgmlGbmSum *hist,
				 const Level *level, int n, PgmlGbmSplit *split)
{
	int only = node->config->extra_trees && n > 0 ? pgml_gbm_draw(node, feature, 0, n) : -1;
	double l2 = node->config->lambda_l2;

	for (int i = 0; i < n; i++)
	{
		PgmlGbmSum left = hist[level[i].bin];
		double gain;

		if ((only >= 0 && i != only) || !fits(node, left, node->config->min_data) ||
			!fits(node, pgml_gbm_minus(node->total, left), node->config->min_data))
			continue;
		gain = gain_of(node, left, l2);
		if (gain > split->gain)
		{
			memset(split->set, 0, sizeof(split->set));
			add_to_set(split->set, level[i].bin);
			split->gain = gain;
			split->left = left;
			split->lambda_l2 = l2;
		}
	}
}

double
pgml_gbm_chance_gain(int m, int n)
{
	double q = (double) m / n;
	double x = 4 * q * (1 - q);

	/* The density at the quantile q of a normal distribution is about 0.4 x^(13/16), within 1 % above q = 0.05. */
	double half = sqrt(x), quarter = sqrt(half), sixteenth = sqrt(sqrt(quarter));
	double mean = 0.3989422804014327 * half * quarter * sixteenth / q;

	return m < n ? m * mean * mean / (1 - q) : 0;
}

/* Prefixes of the order, from its low end (direction 1) or its high end (direction -1). */
static void
scan_prefixes(const PgmlGbmNode *node, const PgmlGbmSum *hist, const Level *level, int n,
			  int direction, int longest, int only, PgmlGbmSplit *split)
{
	const PgmlGbmConfig *config = node->config;
	double l2 = config->lambda_l2 + config->cat_l2;
	int64_t group = config->min_data_per_group;
	int64_t rest_min = config->min_data > group ? config->min_data : group;
	PgmlGbmSum left = { 0, 0 };
	int64_t pending = 0;
	int best = 0;

	for (int i = 0; i < longest; i++)
	{
		PgmlGbmSum entry = hist[level[direction > 0 ? i : n - 1 - i].bin];
		double gain;

		left.g += entry.g;
		left.hc += entry.hc;
		pending += pgml_gbm_count(node->scale, entry);
		if (!fits(node, pgml_gbm_minus(node->total, left), rest_min))
			break;
		if (!fits(node, left, config->min_data) || pending < group)
			continue;
		pending = 0;
		if (only >= 0 && i != only)
			continue;
		gain = gain_of(node, left, l2);
		if (gain > split->gain &&
			(only >= 0 || gain > node->noise * pgml_gbm_chance_gain(i + 1, n)))
		{
			split->gain = gain;
			split->left = left;
			split->lambda_l2 = l2;
			best = i + 1;
		}
	}
	if (best > 0)
	{
		memset(split->set, 0, sizeof(split->set));
		for (int i = 0; i < best; i++)
			add_to_set(split->set, level[direction > 0 ? i : n - 1 - i].bin);
	}
}

void
pgml_gbm_split_categorical(const PgmlGbmNode *node, int32_t feature, const PgmlGbmSum *hist,
						   int n_bins, PgmlGbmSplit *split)
{
	const PgmlGbmConfig *config = node->config;
	Level level[PGML_GBM_BINS];
	double undivided = pgml_gbm_loss_gain(node, node->total, config->lambda_l2);

	/* Gains at or below this do not count: the bound that was asked for, and rounding error. */
	split->gain = fmax(fabs(undivided) * 1e-12, config->min_gain);
	split->feature = feature;
	split->categorical = true;
	split->bin = 0;
	memset(split->set, 0, sizeof(split->set));
	if (n_bins - 1 <= config->max_cat_to_onehot)
		one_against_rest(node, feature, hist, level, collect(node, hist, n_bins, 1, level), split);
	else
	{
		int64_t support = config->cat_smooth > 1 ? (int64_t) config->cat_smooth : 1;
		int n = collect(node, hist, n_bins, support, level);
		int longest =
			(n + 1) / 2 < config->max_cat_threshold ? (n + 1) / 2 : config->max_cat_threshold;
		int only =
			config->extra_trees && longest > 0 ? pgml_gbm_draw(node, feature, 0, longest) : -1;

		sort_levels(level, n);
		scan_prefixes(node, hist, level, n, 1, longest, only, split);
		scan_prefixes(node, hist, level, n, -1, longest, only, split);
	}
	split->missing_left = pgml_gbm_in_set(split->set, 0);
	if ((split->set[0] | split->set[1] | split->set[2] | split->set[3] | split->set[4] |
		 split->set[5] | split->set[6] | split->set[7]) == 0)
		split->gain = 0;
}
