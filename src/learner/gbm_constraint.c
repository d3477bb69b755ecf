/*
 * gbm_constraint.c - what is left to a node of a growing tree, see gbm_constraint.h.
 */
#include "learner/gbm_constraint.h"

#include <math.h>
#include <string.h>

#include "core/rng.h"

PgmlGbmLimits
pgml_gbm_limits_of_root(const PgmlGbmConfig *config, uint64_t *groups)
{
	const PgmlGbmRange all = { -INFINITY, INFINITY };

	if (groups != NULL)
		memset(groups, 0xff, (size_t) pgml_gbm_group_words(config) * sizeof(uint64_t));
	return (PgmlGbmLimits){ .step = all, .value = all, .groups = groups };
}

int
pgml_gbm_split_direction(const PgmlGbmConfig *config, const PgmlGbmSplit *split, int n_bins)
{
	/* All bins on the left: known is parted from missing. */
	if (!pgml_gbm_is_monotone(config) || split->categorical || split->bin == n_bins - 1)
		return 0;
	return config->constraints->monotone[split->feature];
}

/* Part a range between the children; direction 0: both have it all. */
static void
part_range(const PgmlGbmRange *range, int direction, const double *value, PgmlGbmRange *left,
		   PgmlGbmRange *right)
{
	/* Halves of each: a sum could be infinite. */
	double middle = pgml_gbm_clip(range, value[0]) / 2 + pgml_gbm_clip(range, value[1]) / 2;

	middle = pgml_gbm_clip(range, middle); /* rounding */
	*left = *right = *range;
	if (direction > 0)
		left->high = right->low = middle;
	else if (direction < 0)
		left->low = right->high = middle;
}

void
pgml_gbm_limit_children(const PgmlGbmConfig *config, const PgmlGbmLimits *parent, int32_t feature,
						int direction, const PgmlGbmSides *sides, PgmlGbmLimits *left,
						PgmlGbmLimits *right)
{
	int32_t words = pgml_gbm_group_words(config);

	part_range(&parent->step, direction, sides->step, &left->step, &right->step);
	part_range(&parent->value, direction, sides->value, &left->value, &right->value);
	for (int32_t w = 0; w < words; w++)
		left->groups[w] = right->groups[w] =
			parent->groups[w] & config->constraints->groups[(int64_t) feature * words + w];
}

/* Is the feature in one of the groups? */
static bool
is_permitted(const PgmlGbmConfig *config, const uint64_t *groups, int32_t feature)
{
	int32_t words = pgml_gbm_group_words(config);

	for (int32_t w = 0; w < words; w++)
		if (groups[w] & config->constraints->groups[(int64_t) feature * words + w])
			return true;
	return words == 0;
}

void
pgml_gbm_choose_features(const PgmlGbmConfig *config, const PgmlGbmLimits *limits,
						 const int32_t *features, int32_t n, uint64_t seed, bool *chosen)
{
	int32_t permitted = 0;
	int32_t left;
	PgmlRng rng;

	for (int32_t i = 0; i < n; i++)
	{
		chosen[i] = is_permitted(config, limits->groups, features[i]);
		permitted += chosen[i];
	}
	if (config->feature_fraction_bynode >= 1)
		return;
	/* Selection sampling (Knuth 3.4.2 S). */
	left = (int32_t) lround(config->feature_fraction_bynode * permitted);
	left = left < 1 ? 1 : left;
	pgml_rng_init(&rng, seed, 0);
	for (int32_t i = 0; i < n; i++)
	{
		if (!chosen[i])
			continue;
		chosen[i] = pgml_rng_below(&rng, (uint64_t) permitted--) < (uint64_t) left;
		left -= chosen[i];
	}
}
