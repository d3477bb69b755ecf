/*
 * gbm_random.h - boosted models that nothing was learned for: trees of any form over features with all kinds of numbers,
 * and rows that meet their thresholds.
 */
#ifndef PGML_UNIT_GBM_RANDOM_H
#define PGML_UNIT_GBM_RANDOM_H

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "learner/gbm_payload.h"

#define RANDOM_FEATURES 160
#define RANDOM_LEAVES   300
#define RANDOM_CUTS     400

/* What a random model is drawn from. */
typedef struct RandomSpec
{
	PgmlTask task;
	int n_classes;
	int nfeatures; /* every third one is categorical when there are levels */
	int n_cuts;    /* distinct thresholds of a feature, at most */
	int n_levels;  /* of a categorical feature, at most; 0: none is */
	int max_bin;
	int n_rounds;
	int leaves; /* of a tree, at most */
} RandomSpec;

typedef struct RandomModel
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env;
	PgmlRng rng;
	RandomSpec spec;
	float cuts[RANDOM_FEATURES][RANDOM_CUTS];
	bool categorical[RANDOM_FEATURES];
	int32_t n_levels[RANDOM_FEATURES];
	PgmlShape shape;
	PgmlBuf payload;
} RandomModel;

/* One of `below` numbers. */
static inline int
pick(RandomModel *m, int below)
{
	return (int) pgml_rng_below(&m->rng, (uint64_t) below);
}

/* A number of any kind but NaN. */
static inline float
random_number(RandomModel *m)
{
	static const float odd[] = { 0.0f,     -0.0f,   FLT_MAX, -FLT_MAX,  FLT_MIN,   -FLT_MIN,
								 1.4e-45f, -1e-42f, 1e-40f,  INFINITY,  -INFINITY, 1.0f,
								 3e38f,    1e-30f,  -1e30f,  16777216.f };

	if (pick(m, 4) == 0)
		return odd[pick(m, (int) (sizeof(odd) / sizeof(odd[0])))];
	if (pick(m, 3) == 0)
		return (float) (pick(m, 41) - 20);
	return (float) pgml_rng_normal(&m->rng);
}

/* A value for feature f: often a threshold or the next number, sometimes missing. */
static inline float
random_value(RandomModel *m, int f)
{
	float cut = m->cuts[f][pick(m, m->spec.n_cuts)];

	if (pick(m, 6) == 0)
		return NAN;
	if (m->categorical[f])
		return pick(m, 5) == 0 ? random_number(m) : (float) pick(m, m->n_levels[f] + 2);
	switch (pick(m, 4))
	{
		case 0:
			return cut;
		case 1:
			return nextafterf(cut, INFINITY);
		case 2:
			return nextafterf(cut, -INFINITY);
		default:
			return random_number(m);
	}
}

/* A node that nothing hangs from yet. */
static inline void
random_node(RandomModel *m, PgmlGbmTreeNode *node)
{
	int f = pick(m, m->spec.nfeatures);

	*node = (PgmlGbmTreeNode){ .feature = f, .categorical = m->categorical[f] };
	if (node->categorical)
		for (int w = 0; w < PGML_GBM_SET_WORDS; w++)
			node->set[w] = (uint32_t) pgml_rng_below(&m->rng, UINT32_MAX);
	else
	{
		node->missing_left = pick(m, 2) == 1;
		node->threshold = m->cuts[f][pick(m, m->spec.n_cuts)];
	}
}

/* Split leaves at random until there are enough: a new node takes a leaf's place and has it and a new one below. */
static inline void
random_tree(RandomModel *m, PgmlGbmTree *tree)
{
	int32_t *place[RANDOM_LEAVES]; /* where each leaf hangs */

	tree->n_leaves = 1 + pick(m, m->spec.leaves);
	for (int32_t k = 0; k + 1 < tree->n_leaves; k++)
	{
		PgmlGbmTreeNode *node = &tree->node[k];
		/* Now and then the leaf made last, so that some trees are deep. */
		int leaf = k == 0 || pick(m, 3) == 0 ? k : pick(m, k + 1);
		bool swap = pick(m, 2) == 1;

		random_node(m, node);
		if (k > 0)
			*place[leaf] = k;
		node->left = swap ? ~(k + 1) : ~leaf;
		node->right = swap ? ~leaf : ~(k + 1);
		place[leaf] = swap ? &node->right : &node->left;
		place[k + 1] = swap ? &node->left : &node->right;
	}
	for (int32_t k = 0; k < tree->n_leaves; k++)
	{
		tree->value[k] = pgml_rng_normal(&m->rng);
		tree->cover[k] = (float) (1 + pick(m, 1000)) / 4;
	}
}

/* The features of a random model. */
static inline void
random_features(RandomModel *m)
{
	for (int f = 0; f < m->spec.nfeatures; f++)
	{
		m->categorical[f] = m->spec.n_levels > 0 && f % 3 == 1;
		m->n_levels[f] = m->categorical[f] ? 1 + pick(m, m->spec.n_levels) : 0;
		for (int i = 0; i < m->spec.n_cuts; i++)
			m->cuts[f][i] = m->spec.n_cuts > 100 ? (float) i / 7 - 20 : random_number(m);
	}
	m->shape = (PgmlShape){ m->spec.task, m->spec.n_classes, m->spec.nfeatures, m->categorical,
							m->n_levels };
}

/* Draw a model; free it with random_model_free(). */
static inline RandomModel *
random_model(const RandomSpec *spec, uint64_t seed)
{
	RandomModel *m = calloc(1, sizeof(*m));
	int outputs = pgml_task_outputs(spec->task, spec->n_classes);
	PgmlGbmTreeNode node[RANDOM_LEAVES];
	double value[RANDOM_LEAVES];
	float cover[RANDOM_LEAVES];
	PgmlGbmTree tree = { .node = node, .value = value, .cover = cover };
	int32_t n_bins[RANDOM_FEATURES];
	PgmlBins bins = { .max_bin = spec->max_bin, .n_bins = n_bins };
	PgmlGbmForest forest;

	pgml_budget_init(&m->budget, 0);
	m->env = (PgmlEnv){ .budget = &m->budget, .error = &m->error };
	pgml_rng_init(&m->rng, seed, 1);
	m->spec = *spec;
	random_features(m);
	for (int f = 0; f < spec->nfeatures; f++)
		n_bins[f] = m->n_levels[f] + 1;
	pgml_gbm_forest_init(&forest, &m->budget);
	pgml_buf_init(&m->payload, &m->budget);
	for (int o = 0; o < outputs; o++)
		pgml_buf_put_f64(&forest.init, pgml_rng_normal(&m->rng));
	for (int t = 0; t < spec->n_rounds * outputs; t++)
	{
		random_tree(m, &tree);
		assert_int_equal(pgml_gbm_forest_add(&m->env, &forest, &tree, &bins), PGML_OK);
	}
	assert_int_equal(
		pgml_gbm_encode(&m->env, &forest, spec->n_rounds * outputs, spec->max_bin, &m->payload),
		PGML_OK);
	pgml_gbm_forest_free(&forest);
	assert_int_equal(pgml_gbm_verify(m->payload.data, m->payload.len, &m->shape, &m->error),
					 PGML_OK);
	return m;
}

static inline void
random_model_free(RandomModel *m)
{
	pgml_buf_free(&m->payload);
	assert_int_equal(atomic_load(&m->budget.used), 0);
	free(m);
}

#endif
