/*
 * trees.c - what the players of trees have, given to features.
 */
#include "learner/trees.h"

void
pgml_trees_share(const PgmlTrees *trees, int32_t nfeatures, double *value, int64_t stride)
{
	const PgmlTreeStatistics *s = &trees->statistics;

	for (int32_t i = 0; i < s->n_sets; i++)
	{
		double part = value[(nfeatures + i) * stride] / (s->first[i + 1] - s->first[i]);

		for (int32_t j = s->first[i]; j < s->first[i + 1]; j++)
			value[s->member[j] * stride] += part;
	}
}
