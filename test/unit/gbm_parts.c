/*
 * Tests of what gradient boosting is made of: gradients, histograms, splits of one feature.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "learner/gbm_hist.h"
#include "learner/gbm_loss.h"
#include "learner/gbm_packed.h"
#include "learner/gbm_split.h"
#include "learner/gbm_tree.h"

/* Bins, rows and gradients of a dataset. */
typedef struct Parts
{
	Data *d;
	PgmlArena *arena;
	PgmlBins *bins;
	PgmlGbmRows rows;
	PgmlGbmLayout layout;
	PgmlGbmTarget target;
	PgmlGbmGradients gradients;
	PgmlGbmConfig config;
} Parts;

static Parts *
parts_new(Data *d)
{
	Parts *p = calloc(1, sizeof(*p));
	double init[64];

	p->d = d;
	p->arena = pgml_arena_create(&d->budget);
	assert_int_equal(pgml_bins_create(&d->env, p->arena, &d->x, d->rows, d->set.n, 255, &p->bins),
					 PGML_OK);
	assert_int_equal(
		pgml_gbm_rows_create(&d->env, p->arena, p->bins, d->rows, d->set.n, true, &p->rows),
		PGML_OK);
	assert_int_equal(pgml_gbm_layout_create(&d->env, p->arena, p->bins, &p->layout), PGML_OK);
	assert_int_equal(
		pgml_gbm_target_create(&d->env, p->arena, &d->set, d->rows, d->set.n, &p->target), PGML_OK);
	pgml_gbm_initial_scores(&p->target, init);
	pgml_gbm_set_scores(&p->target, init);
	p->gradients.sum = pgml_array(p->arena, (size_t) d->set.n, sizeof(PgmlGbmSum));
	assert_int_equal(pgml_gbm_prepare_round(&d->env, &p->target), PGML_OK);
	assert_int_equal(pgml_gbm_gradients(&d->env, &p->target, 0, 7, &p->gradients), PGML_OK);
	p->config = (PgmlGbmConfig){
		.min_data = 1, .max_cat_threshold = 32, .max_cat_to_onehot = 4, .min_data_per_group = 1
	};
	return p;
}

static void
parts_free(Parts *p)
{
	pgml_arena_destroy(p->arena);
	data_free(p->d);
	free(p);
}

/* Histogram of all features over n rows of an index. */
static PgmlGbmSum *
build(Parts *p, const int32_t *index, int64_t n, const int32_t *features, int n_features)
{
	PgmlGbmSum *hist = pgml_zalloc(p->arena, p->layout.total, sizeof(PgmlGbmSum));
	PgmlGbmHistJob job = { .rows = &p->rows,
						   .layout = &p->layout,
						   .gradients = &p->gradients,
						   .index = index,
						   .n = n,
						   .features = features,
						   .n_features = n_features,
						   .hist = hist };

	job.parts = pgml_zalloc(p->arena, 3 * (size_t) p->layout.total, sizeof(PgmlGbmSum));
	assert_int_equal(pgml_gbm_hist_build(&p->d->env, &job), PGML_OK);
	return hist;
}

static const int32_t every_feature[] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
										 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23 };

static void
exponential_is_accurate(void **state)
{
	(void) state;
	for (double x = -700; x < 700; x += 0.37)
		assert_true(fabs(pgml_gbm_exp(x) / exp(x) - 1) < 1e-15);
	assert_true(pgml_gbm_exp(0) == 1);
	assert_true(pgml_gbm_exp(-1e9) < 1e-300);
	assert_true(isfinite(pgml_gbm_exp(1e9)));
	assert_true(pgml_gbm_sigmoid(0) == 0.5);
	assert_true(pgml_gbm_sigmoid(800) == 1);
}

/* Integers stand for g, h and a count of 1, to far better than float precision. */
static void
gradients_are_those_of_the_loss(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		int classes = t == 0 ? 1 : t + 1;
		Data *d = data_mixed(5000, 6, tasks[t], classes);
		Parts *p;

		d->set.w = d->w;
		for (int i = 0; i < 5000; i++)
			d->w[i] = 1 + i % 3;
		p = parts_new(d);
		for (int i = 0; i < 5000; i++)
		{
			double s = p->target.score[i], w = d->w[i];
			double share = t == 1 ? 1 / (1 + exp(-s)) : exp(s);
			double g = t == 0 ? s - p->target.y[i] : share - (t == 1 ? d->y[i] : d->y[i] == 0);
			double h = t == 0 ? 1 : share * (1 - share) * (t == 2 ? 1.5 : 1);

			assert_true(fabs(pgml_gbm_g(&p->gradients.scale, p->gradients.sum[i]) - w * g) < 1e-11);
			assert_true(fabs(pgml_gbm_h(&p->gradients.scale, p->gradients.sum[i]) - w * h) < 1e-9);
			assert_int_equal(pgml_gbm_count(&p->gradients.scale, p->gradients.sum[i]), 1);
		}
		parts_free(p);
	}
}

/* The init scores are where the sum of gradients is zero. */
static void
initial_scores_are_optimal(void **state)
{
	Parts *p = parts_new(data_mixed(3000, 6, PGML_TASK_BINARY, 2));
	double total = 0;

	(void) state;
	for (int i = 0; i < 3000; i++)
		total += pgml_gbm_g(&p->gradients.scale, p->gradients.sum[i]);
	assert_true(fabs(total) < 1e-6);
	parts_free(p);
}

static void
histograms_equal_plain_sums(void **state)
{
	Parts *p = parts_new(data_mixed(4000, 11, PGML_TASK_BINARY, 2));
	PgmlGbmSum *hist = build(p, p->d->rows, 4000, every_feature, 11);

	(void) state;
	for (int f = 0; f < 11; f++)
	{
		PgmlGbmSum plain[256] = { { 0, 0 } };

		for (int i = 0; i < 4000; i++)
		{
			plain[p->bins->bin[f][i]].g += p->gradients.sum[i].g;
			plain[p->bins->bin[f][i]].hc += p->gradients.sum[i].hc;
		}
		assert_memory_equal(plain, hist + p->layout.offset[f],
							(size_t) p->bins->n_bins[f] * sizeof(PgmlGbmSum));
	}
	parts_free(p);
}

static void
subtraction_equals_building(void **state)
{
	Parts *p = parts_new(data_mixed(4000, 11, PGML_TASK_REGRESSION, 1));
	int32_t *part[2] = { calloc(4000, sizeof(int32_t)), calloc(4000, sizeof(int32_t)) };
	int n[2] = { 0, 0 };
	PgmlGbmSum *parent, *child, *sibling;

	(void) state;
	for (int i = 0; i < 4000; i++)
	{
		int side = p->d->col[0][i] > 0.5f;

		part[side][n[side]++] = i;
	}
	parent = build(p, p->d->rows, 4000, every_feature, 11);
	child = build(p, part[1], n[1], every_feature, 11);
	sibling = build(p, part[0], n[0], every_feature, 11);
	for (int f = 0; f < 11; f++)
		pgml_gbm_hist_subtract(&p->layout, f, parent, child, parent);
	assert_memory_equal(parent, sibling, p->layout.total * sizeof(PgmlGbmSum));
	free(part[0]);
	free(part[1]);
	parts_free(p);
}

/* Few features, two or four threads: rows are cut into parts; else features into groups; others are left alone. */
static void
threads_and_subsets_build_the_same(void **state)
{
	static const int32_t some[] = { 1, 4, 9 };
	Parts *p = parts_new(data_mixed(40000, 20, PGML_TASK_BINARY, 2));
	PgmlGbmSum *all = build(p, p->d->rows, 40000, every_feature, 20);
	PgmlGbmSum *three = build(p, p->d->rows, 40000, some, 3);

	(void) state;
	for (int threads = 2; threads <= 4; threads++)
	{
		p->d->env.pool = pgml_pool_create(threads);
		assert_memory_equal(all, build(p, p->d->rows, 40000, every_feature, 20),
							p->layout.total * sizeof(PgmlGbmSum));
		assert_memory_equal(three, build(p, p->d->rows, 40000, some, 3),
							p->layout.total * sizeof(PgmlGbmSum));
		pgml_pool_destroy(p->d->env.pool);
	}
	for (int i = 0; i < 3; i++)
		assert_memory_equal(all + p->layout.offset[some[i]], three + p->layout.offset[some[i]],
							(size_t) p->bins->n_bins[some[i]] * sizeof(PgmlGbmSum));
	assert_int_equal(three[p->layout.offset[2]].hc, 0);
	p->d->env.pool = NULL;
	parts_free(p);
}

/* Sum over the rows that a set of bins sends left. */
static PgmlGbmSum
left_sum(const Parts *p, int f, const uint32_t *set)
{
	PgmlGbmSum sum = { 0, 0 };

	for (int64_t i = 0; i < p->d->set.n; i++)
	{
		if (!pgml_gbm_in_set(set, p->bins->bin[f][i]))
			continue;
		sum.g += p->gradients.sum[i].g;
		sum.hc += p->gradients.sum[i].hc;
	}
	return sum;
}

static PgmlGbmNode
root_of(const Parts *p)
{
	PgmlGbmNode node = { .config = &p->config, .scale = &p->gradients.scale, .seed = 5 };

	for (int64_t i = 0; i < p->d->set.n; i++)
	{
		node.total.g += p->gradients.sum[i].g;
		node.total.hc += p->gradients.sum[i].hc;
	}
	return node;
}

static double
gain_of(const PgmlGbmNode *node, PgmlGbmSum left, double l2)
{
	return pgml_gbm_loss_gain(node, left, l2) +
		   pgml_gbm_loss_gain(node, pgml_gbm_minus(node->total, left), l2) -
		   pgml_gbm_loss_gain(node, node->total, node->config->lambda_l2);
}

/* Every threshold with missing on either side, tried plainly. */
static void
numeric_search_equals_brute_force(void **state)
{
	Parts *p = parts_new(data_mixed(3000, 6, PGML_TASK_BINARY, 2));
	PgmlGbmSum *hist = build(p, p->d->rows, 3000, every_feature, 6);
	PgmlGbmNode node;

	(void) state;
	p->config.min_data = 100;
	p->config.lambda_l1 = 3;
	p->config.lambda_l2 = 2;
	node = root_of(p);
	for (int f = 0; f < 4; f++)
	{
		double best = 0;
		PgmlGbmSplit split;

		for (int t = 1; t < p->bins->n_bins[f]; t++)
		{
			for (int missing_left = 0; missing_left < 2; missing_left++)
			{
				PgmlGbmSplit s = { .bin = (uint8_t) t, .missing_left = missing_left };
				PgmlGbmSum left;

				pgml_gbm_split_close(&s);
				left = left_sum(p, f, s.set);
				if (pgml_gbm_count(&p->gradients.scale, left) >= 100 &&
					pgml_gbm_count(&p->gradients.scale, left) <= 2900)
					best = fmax(best, gain_of(&node, left, 2));
			}
		}
		pgml_gbm_split_numeric(&node, f, hist + p->layout.offset[f], p->bins->n_bins[f], &split);
		assert_true(best > 0);
		assert_true(fabs(split.gain - best) < 1e-9 * best);
		pgml_gbm_split_close(&split);
		assert_int_equal(left_sum(p, f, split.set).g, split.left.g);
		assert_int_equal(left_sum(p, f, split.set).hc, split.left.hc);
	}
	parts_free(p);
}

/* All sets of levels, tried plainly: with squared error and no smoothing the sorted scan finds the best. */
static void
categorical_search_equals_brute_force(void **state)
{
	Parts *p = parts_new(data_mixed(3000, 6, PGML_TASK_REGRESSION, 1));
	PgmlGbmSum *hist = build(p, p->d->rows, 3000, every_feature, 6);
	PgmlGbmNode node = root_of(p);
	double best = 0;
	PgmlGbmSplit split;

	(void) state;
	for (uint32_t mask = 1; mask < (1u << 13) - 1; mask++)
	{
		PgmlGbmSum left = { 0, 0 };

		for (int b = 0; b < 13; b++)
		{
			if (!(mask >> b & 1))
				continue;
			left.g += hist[p->layout.offset[4] + (uint32_t) b].g;
			left.hc += hist[p->layout.offset[4] + (uint32_t) b].hc;
		}
		best = fmax(best, gain_of(&node, left, 0));
	}
	pgml_gbm_split_categorical(&node, 4, hist + p->layout.offset[4], 13, &split);
	assert_true(best > 0);
	assert_true(fabs(split.gain - best) < 1e-9 * best);
	assert_int_equal(left_sum(p, 4, split.set).g, split.left.g);
	parts_free(p);
}

/* A random threshold is one that parts the rows, and depends on the node. */
static void
random_thresholds(void **state)
{
	Parts *p = parts_new(data_mixed(3000, 6, PGML_TASK_REGRESSION, 1));
	PgmlGbmSum *hist = build(p, p->d->rows, 3000, every_feature, 6);
	bool seen[256] = { false };
	int distinct = 0;

	(void) state;
	p->config.extra_trees = true;
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		PgmlGbmNode node = root_of(p);
		PgmlGbmSplit split;

		node.seed = seed * UINT64_C(0x9e3779b97f4a7c15);
		for (int f = 0; f < 6; f++)
		{
			if (f < 4)
				pgml_gbm_split_numeric(&node, f, hist + p->layout.offset[f], p->bins->n_bins[f],
									   &split);
			else
				pgml_gbm_split_categorical(&node, f, hist + p->layout.offset[f], p->bins->n_bins[f],
										   &split);
			if (split.gain <= 0)
				continue;
			pgml_gbm_split_close(&split);
			assert_int_equal(left_sum(p, f, split.set).g, split.left.g);
			distinct += f == 0 && !seen[split.bin];
			seen[split.bin] |= f == 0;
		}
	}
	assert_true(distinct > 50);
	parts_free(p);
}

/* Histograms that could not be kept are built again: the tree is the same. */
static void
small_pools_grow_the_same_tree(void **state)
{
	Parts *p = parts_new(data_mixed(5000, 9, PGML_TASK_REGRESSION, 1));
	const PgmlGbmTree *tree[2];
	bool complete;

	(void) state;
	p->config.num_leaves = 200;
	p->config.min_data = 5;
	p->config.feature_fraction_bynode = 1;
	p->config.learning_rate = 1;
	for (int small = 0; small < 2; small++)
	{
		int64_t slot = p->layout.total * (int64_t) sizeof(PgmlGbmSum);
		int32_t *index = pgml_array(p->arena, 5000, sizeof(int32_t));
		PgmlGbmGrower *grower;
		PgmlGbmGrowth growth = { .rows = &p->rows,
								 .gradients = &p->gradients,
								 .target = &p->target,
								 .index = index,
								 .n = 5000,
								 .features = every_feature,
								 .n_features = 9 };

		memcpy(index, p->d->rows, 5000 * sizeof(int32_t));
		assert_int_equal(pgml_gbm_grower_create(&p->d->env, p->arena, &p->config, &p->d->x, p->bins,
												5000, small ? 4 * slot : 200 * slot, &grower),
						 PGML_OK);
		assert_int_equal(pgml_gbm_grow(grower, &growth, &tree[small], &complete), PGML_OK);
		assert_true(complete);
	}
	assert_int_equal(tree[0]->n_leaves, 200);
	assert_int_equal(tree[1]->n_leaves, 200);
	assert_memory_equal(tree[0]->value, tree[1]->value, 200 * sizeof(double));
	for (int i = 0; i < 199; i++)
	{
		assert_int_equal(tree[0]->node[i].feature, tree[1]->node[i].feature);
		assert_memory_equal(tree[0]->node[i].set, tree[1]->node[i].set,
							sizeof(tree[0]->node[i].set));
	}
	parts_free(p);
}

/* Threads expand leaves before it is their turn, some for nothing: tree and order of the rows are those of one thread. */
static void
leaves_are_expanded_ahead(void **state)
{
	enum
	{
		N = 20000,
		FEATURES = 9
	};
	static const int leaves[] = { 2, 3, 8, 31, 200 };

	(void) state;
	for (int t = 0; t < 10; t++)
	{
		Parts *p = parts_new(data_mixed(N, FEATURES, PGML_TASK_REGRESSION, 1));
		int64_t slot = p->layout.total * (int64_t) sizeof(PgmlGbmSum);
		PgmlGbmTree one = { 0 };
		int32_t *first = NULL;

		p->config.num_leaves = leaves[t % 5];
		p->config.min_data = 5;
		p->config.feature_fraction_bynode = 0.7;
		p->config.depthwise = t == 8;
		p->config.learning_rate = 1;
		for (int threads = 1; threads <= 6; threads++)
		{
			int32_t *index = pgml_array(p->arena, N, sizeof(int32_t));
			PgmlGbmGrower *grower;
			PgmlGbmGrowth growth = { .rows = &p->rows,
									 .gradients = &p->gradients,
									 .target = &p->target,
									 .index = index,
									 .n = N,
									 .features = every_feature,
									 .n_features = FEATURES,
									 .seed = 3 };
			const PgmlGbmTree *tree;
			bool complete;

			memcpy(index, p->d->rows, N * sizeof(int32_t));
			p->d->env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
			assert_int_equal(pgml_gbm_grower_create(&p->d->env, p->arena, &p->config, &p->d->x,
													p->bins, N, (t < 5 ? 300 : 9) * slot, &grower),
							 PGML_OK);
			assert_int_equal(pgml_gbm_grow(grower, &growth, &tree, &complete), PGML_OK);
			assert_true(complete);
			pgml_pool_destroy(p->d->env.pool);
			p->d->env.pool = NULL;
			if (threads == 1)
			{
				one = *tree;
				first = index;
			}
			assert_int_equal(tree->n_leaves, leaves[t % 5]);
			assert_memory_equal(index, first, N * sizeof(int32_t));
			assert_memory_equal(tree->value, one.value, (size_t) one.n_leaves * sizeof(double));
			for (int i = 0; i < one.n_leaves - 1; i++)
			{
				assert_int_equal(tree->node[i].feature, one.node[i].feature);
				assert_int_equal(tree->node[i].left, one.node[i].left);
				assert_int_equal(tree->node[i].right, one.node[i].right);
				assert_memory_equal(tree->node[i].set, one.node[i].set, sizeof(one.node[i].set));
			}
		}
		parts_free(p);
	}
}

/* What a packed row stands for, as a sum of its own. */
static PgmlGbmSum
unpack(const Parts *p, int64_t row)
{
	int32_t v = p->gradients.packed[row];
	int64_t g = p->gradients.unit_hessian ? v : v >> 16;
	uint64_t h = p->gradients.unit_hessian ? 1 : (uint64_t) (v & 0xffff);

	return (PgmlGbmSum){ g, (h << p->gradients.scale.count_bits) + 1 };
}

/* Gradients once more, after the scores or weights were changed. */
static void
compute_gradients(Parts *p, uint64_t seed)
{
	assert_int_equal(pgml_gbm_prepare_round(&p->d->env, &p->target), PGML_OK);
	assert_int_equal(pgml_gbm_gradients(&p->d->env, &p->target, 0, seed, &p->gradients), PGML_OK);
}

/* Rounding moves a value by less than a unit, and its errors do not add up. */
static void
packed_gradients_are_unbiased(void **state)
{
	enum
	{
		N = 20000
	};

	(void) state;
	for (int variant = 0; variant < 6; variant++)
	{
		int t = variant / 2;
		PgmlTask task = t == 0 ? PGML_TASK_REGRESSION :
						t == 1 ? PGML_TASK_BINARY :
								 PGML_TASK_MULTICLASS;
		Data *d = data_mixed(N, 6, task, t + 1);
		double off_g = 0, off_h = 0;
		Parts *p;

		if (variant % 2)
			d->set.w = d->w;
		for (int i = 0; i < N; i++)
			d->w[i] = 1 + i % 3;
		p = parts_new(d);
		assert_non_null(p->gradients.packed);
		assert_int_equal(p->gradients.unit_hessian, variant == 0);
		for (int32_t i = 0; i < N; i++)
		{
			PgmlGbmSum sum = unpack(p, i);
			double g, h;

			assert_int_equal(pgml_gbm_exact_sums(&d->env, &p->target, 0, &i, 1, &g, &h), PGML_OK);
			g = (pgml_gbm_g(&p->gradients.scale, sum) - g) / p->gradients.scale.g_unit;
			h = (pgml_gbm_h(&p->gradients.scale, sum) - h) / p->gradients.scale.h_unit;
			assert_true(fabs(g) < 1 && fabs(h) < 1);
			off_g += g;
			off_h += h;
		}
		assert_true(fabs(off_g) < 5 * sqrt(N) / 2);
		assert_true(fabs(off_h) < 5 * sqrt(N) / 2);
		parts_free(p);
	}
}

/* Several runs, a bin that holds all rows, gradients at their bounds: nothing overflows, on any number of threads. */
static void
packed_histograms_equal_plain_sums(void **state)
{
	enum
	{
		N = 40000,
		FEATURES = 19
	};

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Parts *p;
		Data *d = data_mixed(N, FEATURES, t == 0 ? PGML_TASK_REGRESSION : PGML_TASK_BINARY, t + 1);

		for (int i = 0; i < N; i++)
			d->col[7][i] = 1;
		p = parts_new(d);
		for (int i = 0; t == 1 && i < N; i++)
			p->target.score[i] = i < N / 3 ? -1000 : i < N / 2 ? 1000 : 0;
		for (int i = 0; i < N; i++)
			p->target.y[i] = t == 0 ? -3 : 1;
		compute_gradients(p, 5);
		assert_non_null(p->gradients.packed);
		for (int threads = 1; threads <= 3; threads++)
		{
			PgmlGbmSum *hist;

			p->d->env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
			hist = build(p, d->rows, N, every_feature, FEATURES);
			for (int f = 0; f < FEATURES; f++)
			{
				PgmlGbmSum plain[256] = { { 0, 0 } };

				for (int i = 0; i < N; i++)
				{
					PgmlGbmSum sum = unpack(p, i);

					plain[p->bins->bin[f][i]].g += sum.g;
					plain[p->bins->bin[f][i]].hc += sum.hc;
				}
				assert_memory_equal(plain, hist + p->layout.offset[f],
									(size_t) p->bins->n_bins[f] * sizeof(PgmlGbmSum));
			}
			pgml_pool_destroy(p->d->env.pool);
			p->d->env.pool = NULL;
		}
		parts_free(p);
	}
}

/* A leaf whose packed sum of h is but a few units has the value of the exact sums. */
static void
coarse_leaves_have_exact_values(void **state)
{
	enum
	{
		N = 20000
	};
	Parts *p = parts_new(data_mixed(N, 6, PGML_TASK_BINARY, 2));
	int32_t *index = pgml_array(p->arena, N, sizeof(int32_t));
	double *value = pgml_zalloc(p->arena, N, sizeof(double));
	PgmlGbmGrowth growth = { .rows = &p->rows,
							 .gradients = &p->gradients,
							 .target = &p->target,
							 .index = index,
							 .n = N,
							 .features = every_feature,
							 .n_features = 6 };
	PgmlGbmGrower *grower;
	const PgmlGbmTree *tree;
	bool complete;
	int coarse = 0;

	(void) state;
	memcpy(index, p->d->rows, N * sizeof(int32_t));
	for (int i = 0; i < N; i++)
		p->target.score[i] = p->d->col[0][i] > 0 ? (i % 100 == 0 ? -9 : 9) : 0;
	compute_gradients(p, 5);
	assert_non_null(p->gradients.packed);
	p->config.num_leaves = 100;
	p->config.min_data = 20;
	p->config.min_hessian = 1e-3;
	p->config.feature_fraction_bynode = 1;
	p->config.learning_rate = 1;
	assert_int_equal(pgml_gbm_grower_create(&p->d->env, p->arena, &p->config, &p->d->x, p->bins, N,
											1 << 24, &grower),
					 PGML_OK);
	assert_int_equal(pgml_gbm_grow(grower, &growth, &tree, &complete), PGML_OK);
	assert_int_equal(pgml_gbm_add_leaves(grower, &growth, value), PGML_OK);
	/* Rows of a leaf are neighbours in the index. */
	for (int from = 0, upto; from < N; from = upto)
	{
		double g, h;

		for (upto = from; upto < N && value[index[upto]] == value[index[from]];)
			upto++;
		assert_int_equal(
			pgml_gbm_exact_sums(&p->d->env, &p->target, 0, index + from, upto - from, &g, &h),
			PGML_OK);
		assert_true(fabs(value[index[from]] * h / -g - 1) < (h < 0.5 ? 1e-12 : 0.05));
		coarse += h < 0.5;
	}
	assert_true(coarse > 5);
	parts_free(p);
}

/* One row that weighs as much as all others leaves them no digits: then gradients are not packed. */
static void
coarse_units_are_not_used(void **state)
{
	Data *d = data_mixed(20000, 6, PGML_TASK_REGRESSION, 1);
	Parts *p;

	(void) state;
	d->set.w = d->w;
	p = parts_new(d);
	assert_non_null(p->gradients.packed);
	assert_false(p->target.never_pack);
	parts_free(p);
	d = data_mixed(20000, 6, PGML_TASK_REGRESSION, 1);
	d->set.w = d->w;
	d->y[77] = 1e6;
	p = parts_new(d);
	assert_null(p->gradients.packed);
	assert_true(p->target.never_pack);
	assert_int_equal(pgml_gbm_count(&p->gradients.scale, p->gradients.sum[3]), 1);
	parts_free(p);
}

/* The same when it fits already, so that only h tells: h of the other rows would be 0 or as much as some hundreds have. */
static void
coarse_weights_are_not_used(void **state)
{
	Data *d = data_mixed(20000, 6, PGML_TASK_REGRESSION, 1);
	double sum = 0;
	Parts *p;

	(void) state;
	for (int i = 0; i < 20000; i++)
		sum += d->y[i];
	d->set.w = d->w;
	d->w[77] = 1e6;
	d->y[77] = (sum - d->y[77]) / 19999;
	p = parts_new(d);
	assert_null(p->gradients.packed);
	assert_true(fabs(pgml_gbm_h(&p->gradients.scale, p->gradients.sum[3]) - 1) < 1e-6);
	parts_free(p);
}

/* Packed or not is no matter of threads; another seed rounds otherwise. */
static void
packed_fits_are_the_same_on_all_threads(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		PgmlTask task = t == 0 ? PGML_TASK_REGRESSION :
						t == 1 ? PGML_TASK_BINARY :
								 PGML_TASK_MULTICLASS;
		Data *d = data_mixed(20000, 10, task, t + 1);
		PgmlBuf one;

		set(d, "n_estimators", 4);
		set(d, "bagging_fraction", 0.9);
		fit(d, NULL);
		one = d->fit.payload;
		pgml_buf_init(&d->fit.payload, &d->budget);
		d->env.pool = pgml_pool_create(3);
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, one.len);
		assert_memory_equal(d->fit.payload.data, one.data, one.len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		pgml_buf_free(&one);
		data_free(d);
	}
}

int
gbm_parts(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exponential_is_accurate),
		cmocka_unit_test(gradients_are_those_of_the_loss),
		cmocka_unit_test(initial_scores_are_optimal),
		cmocka_unit_test(histograms_equal_plain_sums),
		cmocka_unit_test(subtraction_equals_building),
		cmocka_unit_test(threads_and_subsets_build_the_same),
		cmocka_unit_test(numeric_search_equals_brute_force),
		cmocka_unit_test(categorical_search_equals_brute_force),
		cmocka_unit_test(random_thresholds),
		cmocka_unit_test(small_pools_grow_the_same_tree),
		cmocka_unit_test(leaves_are_expanded_ahead),
		cmocka_unit_test(packed_gradients_are_unbiased),
		cmocka_unit_test(packed_histograms_equal_plain_sums),
		cmocka_unit_test(coarse_leaves_have_exact_values),
		cmocka_unit_test(coarse_units_are_not_used),
		cmocka_unit_test(coarse_weights_are_not_used),
		cmocka_unit_test(packed_fits_are_the_same_on_all_threads),
	};

	return cmocka_run_group_tests_name("gradient_boosting: parts", tests, NULL, NULL);
}
