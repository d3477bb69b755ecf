/*
 * gbm_tree.c - growth of one tree over binned rows.
 *
 * The leaf whose best split gains most is split next (Shi 2007), or the one nearest to the root.  Rows are row numbers in one index array; a leaf owns a
 * contiguous piece, and splitting it reorders that piece, keeping the order on each side.  The histogram of the
 * smaller child is built from its rows, that of the larger one is what remains of the parent's.
 *
 * Leaf numbers: the left child keeps the number of the leaf that was split, the right one gets the next.
 */
#include "learner/gbm_tree.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/par.h"
#include "core/rng.h"
#include "learner/gbm_pool.h"

/*
 * Where the score is a logarithm, no step before shrinkage multiplies predictions by more than e^5 = 148: the second-order
 * approximation says nothing about a leaf whose targets are far from its predictions.
 */
#define MAX_LOG_STEP 5.0

#define SEARCH_WORK 2000 /* elementary steps that the search of one feature counts as */

typedef struct Leaf
{
	int64_t begin; /* its rows are index[begin .. begin + n - 1] */
	int64_t n;
	int32_t depth;
	int32_t parent; /* node whose child it is, -1: the root */
	bool is_left;
	int32_t slot; /* of its histogram, if it still has one */
	PgmlGbmSum total;
	double lambda_l2;
	PgmlGbmSplit best;
} Leaf;

/* A leaf whose best split is looked for. */
typedef struct Child
{
	Leaf *leaf;
	PgmlGbmNode node;
	PgmlGbmSum *hist;
	const PgmlGbmSum *sibling; /* not NULL: hist is still the parent's, subtract this */
	PgmlGbmSplit *candidate;   /* per feature of the tree */
	bool *sampled;             /* per feature of the tree; used when sampling by node */
} Child;

struct PgmlGbmGrower
{
	const PgmlEnv *env;
	const PgmlGbmConfig *config;
	const PgmlMatrix *x;
	const PgmlBins *bins;
	PgmlGbmLayout layout;
	PgmlGbmPool pool;
	PgmlGbmSum *parts;
	int32_t max_leaves;
	Leaf *leaf;
	int32_t *heap; /* leaves that can be split, the largest gain first */
	int32_t heap_n;
	PgmlGbmPartition partition;
	PgmlGbmTree tree;
	PgmlGbmSplit *candidate[2];
	bool *sampled[2];
};

/* Leaves a tree can have at most: as many as wanted, each with the least number of rows. */
static int32_t
count_leaves(const PgmlGbmConfig *config, int64_t n)
{
	int64_t most = n / config->min_data + 1;

	return most < config->num_leaves ? (int32_t) most : config->num_leaves;
}

/* Entries of a histogram over all features. */
static uint32_t
count_entries(const PgmlBins *bins)
{
	uint32_t total = 0;

	for (int32_t f = 0; f < bins->nfeatures; f++)
		total += (uint32_t) bins->n_bins[f];
	return total;
}

int64_t
pgml_gbm_grower_size(const PgmlGbmConfig *config, const PgmlBins *bins, int64_t n)
{
	int64_t leaves = count_leaves(config, n);
	int64_t entries = bins ? count_entries(bins) : 0;

	return entries * (int64_t) sizeof(PgmlGbmSum) * (leaves + PGML_GBM_PARTS) +
		   leaves * (int64_t) (sizeof(Leaf) + sizeof(PgmlGbmTreeNode) + 32) + n * 8 +
		   (bins ? bins->nfeatures : 0) * (int64_t) (2 * sizeof(PgmlGbmSplit) + 8);
}

PgmlStatus
pgml_gbm_grower_create(const PgmlEnv *env, PgmlArena *arena, const PgmlGbmConfig *config,
					   const PgmlMatrix *x, const PgmlBins *bins, int64_t n, int64_t pool_bytes,
					   PgmlGbmGrower **out)
{
	PgmlGbmGrower *g = pgml_zalloc(arena, 1, sizeof(*g));
	size_t leaves = (size_t) count_leaves(config, n);
	size_t nf = (size_t) bins->nfeatures;

	if (g == NULL)
		return pgml_fail_nomem(env, "trees");
	g->env = env;
	g->config = config;
	g->x = x;
	g->bins = bins;
	g->max_leaves = (int32_t) leaves;
	PGML_TRY(pgml_gbm_layout_create(env, arena, bins, &g->layout));
	PGML_TRY(pgml_gbm_partition_create(env, arena, n, &g->partition));
	PGML_TRY(
		pgml_gbm_pool_create(env, arena, g->layout.total, g->max_leaves, pool_bytes, &g->pool));
	g->parts =
		pgml_array(arena, (PGML_GBM_PARTS - 1) * (size_t) g->layout.total, sizeof(PgmlGbmSum));
	g->leaf = pgml_array(arena, leaves, sizeof(Leaf));
	g->heap = pgml_array(arena, leaves, sizeof(int32_t));
	g->tree.node = pgml_array(arena, leaves, sizeof(PgmlGbmTreeNode));
	g->tree.value = pgml_array(arena, leaves, sizeof(double));
	g->tree.cover = pgml_array(arena, leaves, sizeof(float));
	if (!g->parts || !g->leaf || !g->heap || !g->tree.node || !g->tree.value || !g->tree.cover)
		return pgml_fail_nomem(env, "trees");
	for (int c = 0; c < 2; c++)
	{
		g->candidate[c] = pgml_array(arena, nf, sizeof(PgmlGbmSplit));
		g->sampled[c] = pgml_array(arena, nf, sizeof(bool));
		if (!g->candidate[c] || !g->sampled[c])
			return pgml_fail_nomem(env, "trees");
	}
	*out = g;
	return PGML_OK;
}

/* ---- the heap of leaves ---- */

/* Should leaf a be split before leaf b? */
static bool
precedes(const PgmlGbmGrower *g, int32_t a, int32_t b)
{
	double ga = g->leaf[a].best.gain, gb = g->leaf[b].best.gain;

	if (g->config->depthwise && g->leaf[a].depth != g->leaf[b].depth)
		return g->leaf[a].depth < g->leaf[b].depth;
	return ga > gb || (ga == gb && a < b);
}

/* Add a leaf. */
static void
heap_push(PgmlGbmGrower *g, int32_t leaf)
{
	int32_t i = g->heap_n++;

	for (; i > 0 && precedes(g, leaf, g->heap[(i - 1) / 2]); i = (i - 1) / 2)
		g->heap[i] = g->heap[(i - 1) / 2];
	g->heap[i] = leaf;
}

/* Take out the leaf to split next; there must be one. */
static int32_t
heap_pop(PgmlGbmGrower *g)
{
	int32_t top = g->heap[0];
	int32_t last = g->heap[--g->heap_n];
	int32_t i = 0;

	for (int32_t child; (child = 2 * i + 1) < g->heap_n; i = child)
	{
		if (child + 1 < g->heap_n && precedes(g, g->heap[child + 1], g->heap[child]))
			child++;
		if (!precedes(g, g->heap[child], last))
			break;
		g->heap[i] = g->heap[child];
	}
	g->heap[i] = last;
	return top;
}

/* ---- looking for splits ---- */

typedef struct SearchJob
{
	const PgmlGbmGrower *g;
	const PgmlGbmGrowth *growth;
	Child *child;
	int n_children;
	int64_t blocks;
} SearchJob;

/* Search some of the tree's features for all children. */
static PgmlStatus
search_block(void *arg, int64_t block, int thread)
{
	const SearchJob *job = arg;
	const PgmlGbmGrower *g = job->g;
	int32_t from = (int32_t) (job->growth->n_features * block / job->blocks);
	int32_t upto = (int32_t) (job->growth->n_features * (block + 1) / job->blocks);

	(void) thread;
	for (int32_t i = from; i < upto; i++)
	{
		int32_t f = job->growth->features[i];

		if (pgml_stopped(g->env))
			return PGML_ERR_CANCELLED;
		for (int c = 0; c < job->n_children; c++)
		{
			Child *child = &job->child[c];
			PgmlGbmSplit *split = &child->candidate[i];

			if (child->sibling)
				pgml_gbm_hist_subtract(&g->layout, f, child->hist, child->sibling, child->hist);
			split->gain = 0;
			if (g->config->feature_fraction_bynode < 1 && !child->sampled[i])
				continue;
			if (g->x->features[f].categorical)
				pgml_gbm_split_categorical(&child->node, f, child->hist + g->layout.offset[f],
										   g->bins->n_bins[f], split);
			else
				pgml_gbm_split_numeric(&child->node, f, child->hist + g->layout.offset[f],
									   g->bins->n_bins[f], split);
		}
	}
	return PGML_OK;
}

/* Choose the features that a node may use (selection sampling, Knuth 3.4.2 S). */
static void
sample_features(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, uint64_t seed, bool *sampled)
{
	int32_t left = (int32_t) lround(g->config->feature_fraction_bynode * growth->n_features);
	PgmlRng rng;

	pgml_rng_init(&rng, seed, 0);
	left = left < 1 ? 1 : left;
	for (int32_t i = 0; i < growth->n_features; i++)
	{
		sampled[i] = pgml_rng_below(&rng, (uint64_t) (growth->n_features - i)) < (uint64_t) left;
		left -= sampled[i];
	}
}

/* Make leaf number id the c-th child to be searched. */
static void
open_child(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, int c, int32_t id, uint64_t number,
		   Child *child)
{
	Leaf *leaf = &g->leaf[id];
	uint64_t seed = pgml_hash_combine(growth->seed, number);

	child->leaf = leaf;
	child->node = (PgmlGbmNode){ .config = g->config,
								 .scale = &growth->gradients->scale,
								 .total = leaf->total,
								 .noise = growth->gradients->noise,
								 .seed = seed };
	child->hist = pgml_gbm_pool_hist(&g->pool, leaf->slot);
	child->sibling = NULL;
	child->candidate = g->candidate[c];
	child->sampled = g->sampled[c];
	if (g->config->feature_fraction_bynode < 1)
		sample_features(g, growth, seed, child->sampled);
}

/* Find the best split of each child; ties go to the feature that comes first. */
static PgmlStatus
search(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, Child *child, int n_children)
{
	SearchJob job = { g, growth, child, n_children, 1 };
	int64_t work = (int64_t) growth->n_features * n_children * SEARCH_WORK;

	if (work >= PGML_GBM_PARALLEL_WORK && pgml_pool_threads(g->env->pool) > 1)
	{
		job.blocks = work / (PGML_GBM_PARALLEL_WORK / 4);
		if (job.blocks > growth->n_features)
			job.blocks = growth->n_features;
		PGML_TRY(pgml_par_for(g->env, job.blocks, search_block, &job));
	}
	else
		PGML_TRY(search_block(&job, 0, 0));
	for (int c = 0; c < n_children; c++)
	{
		PgmlGbmSplit *best = &child[c].leaf->best;
		int32_t chosen = 0;

		for (int32_t i = 1; i < growth->n_features; i++)
			if (child[c].candidate[i].gain > child[c].candidate[chosen].gain)
				chosen = i;
		*best = child[c].candidate[chosen];
		if (best->gain > 0)
			pgml_gbm_split_close(best);
	}
	return PGML_OK;
}

/* Put a searched leaf on the heap, or free its histogram when nothing can be gained. */
static void
file_leaf(PgmlGbmGrower *g, int32_t id)
{
	Leaf *leaf = &g->leaf[id];

	if (leaf->best.gain > 0)
	{
		pgml_gbm_pool_keep(&g->pool, leaf->slot, leaf->best.gain);
		heap_push(g, id);
	}
	else
		pgml_gbm_pool_release(&g->pool, leaf->slot);
}

/* ---- growing ---- */

/* Build the histogram of a leaf in its slot. */
static PgmlStatus
build(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const Leaf *leaf)
{
	PgmlGbmHistJob job = { .rows = growth->rows,
						   .layout = &g->layout,
						   .gradients = growth->gradients,
						   .index = growth->index + leaf->begin,
						   .n = leaf->n,
						   .features = growth->features,
						   .n_features = growth->n_features,
						   .hist = pgml_gbm_pool_hist(&g->pool, leaf->slot),
						   .parts = g->parts };

	return pgml_gbm_hist_build(g->env, &job);
}

/* Is the leaf large and shallow enough to be split? */
static bool
splittable(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const Leaf *leaf)
{
	const PgmlGbmConfig *config = g->config;

	return leaf->n >= 2 * config->min_data &&
		   (config->max_depth == 0 || leaf->depth < config->max_depth) &&
		   pgml_gbm_h(&growth->gradients->scale, leaf->total) >= 2 * config->min_hessian;
}

/* The root: all rows in one leaf, searched. */
static PgmlStatus
start(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	Leaf *root = &g->leaf[0];
	const PgmlGbmSum *hist;
	int32_t f = growth->features[0];
	Child child;

	g->tree.n_leaves = 1;
	g->heap_n = 0;
	pgml_gbm_pool_reset(&g->pool);
	memset(root, 0, sizeof(*root));
	root->n = growth->n;
	root->parent = -1;
	root->lambda_l2 = g->config->lambda_l2;
	root->slot = pgml_gbm_pool_take(&g->pool, 0);
	PGML_TRY(build(g, growth, root));
	/* Every row is in some bin of every feature. */
	hist = pgml_gbm_pool_hist(&g->pool, root->slot) + g->layout.offset[f];
	for (int32_t b = 0; b < g->bins->n_bins[f]; b++)
	{
		root->total.g += hist[b].g;
		root->total.hc += hist[b].hc;
	}
	if (g->max_leaves < 2 || !splittable(g, growth, root))
		return PGML_OK;
	open_child(g, growth, 0, 0, 0, &child);
	PGML_TRY(search(g, growth, &child, 1));
	file_leaf(g, 0);
	return PGML_OK;
}

/* Turn a leaf into a node with leaves id (left) and tree.n_leaves (right). */
static void
replace_leaf(PgmlGbmGrower *g, int32_t id, const PgmlGbmScale *scale)
{
	Leaf *left = &g->leaf[id], *right = &g->leaf[g->tree.n_leaves];
	const PgmlGbmSplit split = left->best;
	int32_t number = g->tree.n_leaves - 1;
	PgmlGbmTreeNode *node = &g->tree.node[number];

	node->feature = split.feature;
	node->categorical = split.categorical;
	node->missing_left = split.missing_left;
	node->threshold = split.categorical ? 0 : g->bins->edges[split.feature][split.bin - 1];
	memcpy(node->set, split.set, sizeof(node->set));
	node->left = ~id;
	node->right = ~g->tree.n_leaves;
	if (left->parent >= 0)
		*(left->is_left ? &g->tree.node[left->parent].left : &g->tree.node[left->parent].right) =
			number;
	*right = *left;
	left->n = pgml_gbm_count(scale, split.left);
	right->n -= left->n;
	right->begin += left->n;
	right->total = pgml_gbm_minus(left->total, split.left);
	left->total = split.left;
	left->depth = right->depth = left->depth + 1;
	left->parent = right->parent = number;
	left->is_left = true;
	right->is_left = false;
	left->lambda_l2 = right->lambda_l2 = split.lambda_l2;
	left->best.gain = right->best.gain = 0;
	g->tree.n_leaves++;
}

/* Histograms and best splits of the two leaves that came from a split; slot is their parent's, or -1. */
static PgmlStatus
search_children(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, int32_t left, int32_t right,
				int32_t slot)
{
	int32_t small = g->leaf[left].n <= g->leaf[right].n ? left : right;
	int32_t large = small == left ? right : left;
	uint64_t number = 2 * (uint64_t) g->tree.n_leaves;
	bool search_small = splittable(g, growth, &g->leaf[small]);
	bool search_large = splittable(g, growth, &g->leaf[large]);
	Child child[2];
	int n = 0;

	g->leaf[small].slot = pgml_gbm_pool_take(&g->pool, small);
	PGML_TRY(build(g, growth, &g->leaf[small]));
	if (search_small)
		open_child(g, growth, n++, small, number, &child[0]);
	if (search_large && slot >= 0)
	{
		pgml_gbm_pool_give(&g->pool, slot, large);
		g->leaf[large].slot = slot;
		open_child(g, growth, n, large, number + 1, &child[n]);
		child[n++].sibling = pgml_gbm_pool_hist(&g->pool, g->leaf[small].slot);
	}
	else if (search_large)
	{
		g->leaf[large].slot = pgml_gbm_pool_take(&g->pool, large);
		PGML_TRY(build(g, growth, &g->leaf[large]));
		open_child(g, growth, n, large, number + 1, &child[n]);
		n++;
	}
	else if (slot >= 0)
		pgml_gbm_pool_release(&g->pool, slot);
	PGML_TRY(search(g, growth, child, n));
	file_leaf(g, small);
	if (search_large)
		file_leaf(g, large);
	return PGML_OK;
}

/* Reorder the rows of a leaf by its best split. */
static PgmlStatus
part_rows(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const Leaf *leaf)
{
	return pgml_gbm_part_rows(g->env, &g->partition, growth->rows, leaf->best.feature,
							  leaf->best.set, growth->index + leaf->begin, leaf->n,
							  pgml_gbm_count(&growth->gradients->scale, leaf->best.left));
}

/* Split the best leaf. */
static PgmlStatus
split_best(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	int32_t left = heap_pop(g);
	int32_t right = g->tree.n_leaves;
	int32_t slot = pgml_gbm_pool_find(&g->pool, g->leaf[left].slot, left);

	PGML_TRY(part_rows(g, growth, &g->leaf[left]));
	replace_leaf(g, left, &growth->gradients->scale);
	if (g->tree.n_leaves == g->max_leaves)
		return PGML_OK;
	if (!splittable(g, growth, &g->leaf[left]) && !splittable(g, growth, &g->leaf[right]))
	{
		if (slot >= 0)
			pgml_gbm_pool_release(&g->pool, slot);
		return PGML_OK;
	}
	if (slot >= 0)
		pgml_gbm_pool_give(&g->pool, slot, left);
	return search_children(g, growth, left, right, slot);
}

/*
 * Is the sum of packed h too small for a value?  Random rounding adds at most a quarter of a unit's square for each row, and at
 * most h times the unit, to its variance: a standard deviation above a hundredth of the sum is too much.
 */
static bool
too_coarse(const PgmlGbmGradients *gradients, const Leaf *leaf)
{
	double h = pgml_gbm_h(&gradients->scale, leaf->total) / gradients->scale.h_unit;

	return gradients->packed && !gradients->unit_hessian &&
		   fmin((double) leaf->n / 4, h) >= 1e-4 * h * h;
}

typedef struct ValueJob
{
	PgmlGbmGrower *g;
	const PgmlGbmGrowth *growth;
} ValueJob;

/* Rows of a leaf as far as they count: those drawn for their gradients stand for others. */
static float
find_cover(const PgmlGbmGrowth *growth, const Leaf *leaf)
{
	const PgmlGbmTarget *t = growth->target;
	double sum = 0;

	if (t->w == NULL)
		return (float) leaf->n;
	for (int64_t i = 0; i < leaf->n; i++)
		sum += t->w[growth->index[leaf->begin + i]] / t->weight;
	sum *= (double) t->n;
	return (float) fmin(fmax(sum, FLT_MIN), FLT_MAX);
}

/* Value and cover of one leaf. */
static PgmlStatus
set_value(void *arg, int64_t block, int thread)
{
	const ValueJob *job = arg;
	const PgmlGbmGrower *g = job->g;
	const PgmlGbmGradients *gradients = job->growth->gradients;
	const Leaf *leaf = &g->leaf[block];
	PgmlGbmObjective objective = job->growth->target->objective;
	double value;
	double sum_g = pgml_gbm_g(&gradients->scale, leaf->total);
	double sum_h = pgml_gbm_h(&gradients->scale, leaf->total);

	(void) thread;
	g->tree.cover[block] = find_cover(job->growth, leaf);
	if (too_coarse(gradients, leaf))
		PGML_TRY(pgml_gbm_exact_sums(g->env, job->growth->target, job->growth->output,
									 job->growth->index + leaf->begin, leaf->n, &sum_g, &sum_h));
	value = pgml_gbm_leaf_value(g->config, sum_g, sum_h, leaf->lambda_l2);
	if (pgml_gbm_renews(objective))
		PGML_TRY(pgml_gbm_renew_leaf(g->env, job->growth->target, job->growth->index + leaf->begin,
									 leaf->n, job->growth->points + leaf->begin, &value));
	else if (pgml_gbm_is_log(objective))
		value = fmax(fmin(value, MAX_LOG_STEP), -MAX_LOG_STEP);
	g->tree.value[block] = g->config->learning_rate * value;
	return PGML_OK;
}

/* Leaf values and covers; a tree without a split changes nothing. */
static PgmlStatus
set_values(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	ValueJob job = { g, growth };

	g->tree.value[0] = 0;
	g->tree.cover[0] = (float) growth->n;
	return g->tree.n_leaves > 1 ? pgml_par_for(g->env, g->tree.n_leaves, set_value, &job) : PGML_OK;
}

PgmlStatus
pgml_gbm_grow(PgmlGbmGrower *grower, const PgmlGbmGrowth *growth, const PgmlGbmTree **tree,
			  bool *complete)
{
	*tree = &grower->tree;
	*complete = false;
	PGML_TRY(start(grower, growth));
	while (grower->heap_n > 0 && grower->tree.n_leaves < grower->max_leaves)
	{
		if (pgml_stopped(grower->env))
			return PGML_ERR_CANCELLED;
		if (pgml_out_of_time(grower->env))
			return PGML_OK;
		PGML_TRY(split_best(grower, growth));
	}
	PGML_TRY(set_values(grower, growth));
	*complete = true;
	return PGML_OK;
}

/* ---- scores ---- */

typedef struct LeafScoreJob
{
	const PgmlGbmGrower *g;
	const PgmlGbmGrowth *growth;
	double *score;
} LeafScoreJob;

/* Add the value of one leaf to the scores of its rows. */
static PgmlStatus
score_leaf(void *arg, int64_t block, int thread)
{
	const LeafScoreJob *job = arg;
	const Leaf *leaf = &job->g->leaf[block];
	const int32_t *index = job->growth->index + leaf->begin;
	double value = job->g->tree.value[block];

	(void) thread;
	for (int64_t i = 0; i < leaf->n; i++)
		job->score[index[i]] += value;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_add_leaves(const PgmlGbmGrower *grower, const PgmlGbmGrowth *growth, double *score)
{
	LeafScoreJob job = { grower, growth, score };

	return pgml_par_for(grower->env, grower->tree.n_leaves, score_leaf, &job);
}
