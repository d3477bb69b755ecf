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

#include "core/par.h"
#include "learner/gbm_expand.h"

/*
 * Where the score is a logarithm, no step before shrinkage multiplies predictions by more than e^5 = 148: the second-order
 * approximation says nothing about a leaf whose targets are far from its predictions.
 */
#define MAX_LOG_STEP 5.0

/* Rows of a leaf between two looks at the stop flag. */
#define POLL_ROWS ((int64_t) 1 << 20)

/* Leaves a tree can have at most: as many as wanted, each with the least number of rows. */
static int32_t
count_leaves(const PgmlGbmConfig *config, int64_t n)
{
	int64_t most = n / config->min_data + 1;

	return most < config->num_leaves ? (int32_t) most : config->num_leaves;
}

/* Entries of a histogram over all features; without bins, at most: one for each value or level, and one for missing. */
static int64_t
count_entries(const PgmlGbmConfig *config, const PgmlMatrix *x, const PgmlBins *bins)
{
	int64_t total = 0;

	for (int32_t f = 0; f < x->nfeatures; f++)
	{
		int64_t values = x->features[f].categorical ? x->features[f].n_levels : x->nrows;

		total += bins ? bins->n_bins[f] : (values < config->max_bin ? values : config->max_bin) + 1;
	}
	return total;
}

int64_t
pgml_gbm_grower_size(const PgmlGbmConfig *config, const PgmlDataset *data, const PgmlBins *bins)
{
	int32_t leaves = count_leaves(config, data->n);
	int64_t entries = count_entries(config, data->x, bins);

	return pgml_gbm_pool_size(entries, leaves) +
		   (PGML_GBM_PARTS - 1) * entries * (int64_t) sizeof(PgmlGbmSum) +
		   leaves * (int64_t) (3 * sizeof(PgmlGbmLeaf) + sizeof(PgmlGbmTreeNode) + 32) +
		   data->n * 8 + pgml_gbm_work_size(config, data->x->nfeatures, leaves) +
		   data->x->nfeatures * 8;
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
	g->leaf = pgml_array(arena, leaves, sizeof(PgmlGbmLeaf));
	g->child = pgml_array(arena, leaves, sizeof(*g->child));
	g->heap = pgml_array(arena, leaves, sizeof(int32_t));
	g->tree.node = pgml_array(arena, leaves, sizeof(PgmlGbmTreeNode));
	g->tree.value = pgml_array(arena, leaves, sizeof(double));
	g->tree.cover = pgml_array(arena, leaves, sizeof(float));
	if (!g->parts || !g->leaf || !g->child || !g->heap || !g->tree.node || !g->tree.value ||
		!g->tree.cover)
		return pgml_fail_nomem(env, "trees");
	PGML_TRY(pgml_gbm_work_create(env, arena, nf, g));
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

/* ---- growing ---- */

/* The root: all rows in one leaf, searched. */
static PgmlStatus
start(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	g->tree.n_leaves = 1;
	g->heap_n = 0;
	PGML_TRY(pgml_gbm_open_root(g, growth));
	if (g->leaf[0].best.gain > 0)
		heap_push(g, 0);
	return PGML_OK;
}

/*
 * Expand the leaf that is split next; with several threads also those that come after it, as far as they are likely to be
 * split before the tree is full.
 */
static PgmlStatus
expand_next(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	int32_t room = g->max_leaves - g->tree.n_leaves;
	int32_t ahead = room / 2 < 1 || g->n_work == 1 ? 1 : room / 2;
	int32_t popped[PGML_GBM_BATCH], ids[PGML_GBM_BATCH];
	int n_popped = 0, n = 0;

	while (g->heap_n > 0 && n_popped < ahead && n_popped < g->n_work)
	{
		int32_t id = popped[n_popped++] = heap_pop(g);

		if (!g->leaf[id].expanded && (n == 0 || 2 * n + PGML_GBM_MIN_SLOTS < g->pool.n_slots))
			ids[n++] = id;
	}
	for (int i = 0; i < n_popped; i++)
		heap_push(g, popped[i]);
	return pgml_gbm_expand(g, growth, ids, n, room == 1);
}

/* Turn the expanded leaf that is split next into a node with two leaves. */
static void
split_next(PgmlGbmGrower *g)
{
	int32_t id = heap_pop(g);
	int32_t ids[2] = { id, g->tree.n_leaves };
	int32_t number = g->tree.n_leaves - 1;
	const PgmlGbmLeaf *leaf = &g->leaf[id];
	const PgmlGbmSplit *split = &leaf->best;
	PgmlGbmTreeNode *node = &g->tree.node[number];

	node->feature = split->feature;
	node->categorical = split->categorical;
	node->missing_left = split->missing_left;
	node->threshold = split->categorical ? 0 : g->bins->edges[split->feature][split->bin - 1];
	memcpy(node->set, split->set, sizeof(node->set));
	node->left = ~ids[0];
	node->right = ~ids[1];
	if (leaf->parent >= 0)
		*(leaf->is_left ? &g->tree.node[leaf->parent].left : &g->tree.node[leaf->parent].right) =
			number;
	g->tree.n_leaves++;
	for (int c = 0; c < 2; c++)
	{
		PgmlGbmLeaf *child = &g->leaf[ids[c]];

		*child = g->child[id][c];
		child->parent = number;
		if (child->best.gain > 0)
			heap_push(g, ids[c]);
	}
}

/*
 * Is the sum of packed h too small for a value?  Random rounding adds at most a quarter of a unit's square for each row, and at
 * most h times the unit, to its variance: a standard deviation above a hundredth of the sum is too much.
 */
static bool
too_coarse(const PgmlGbmGradients *gradients, const PgmlGbmLeaf *leaf)
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
static PgmlStatus
find_cover(const PgmlEnv *env, const PgmlGbmGrowth *growth, const PgmlGbmLeaf *leaf, float *cover)
{
	const PgmlGbmTarget *t = growth->target;
	double sum = 0;

	*cover = (float) leaf->n;
	if (t->w == NULL)
		return PGML_OK;
	for (int64_t i = 0; i < leaf->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		sum += t->w[growth->index[leaf->begin + i]] / t->weight;
	}
	sum *= (double) t->n;
	*cover = (float) fmin(fmax(sum, FLT_MIN), FLT_MAX);
	return PGML_OK;
}

/* Value and cover of one leaf. */
static PgmlStatus
set_value(void *arg, int64_t block, int thread)
{
	const ValueJob *job = arg;
	const PgmlGbmGrower *g = job->g;
	const PgmlGbmGradients *gradients = job->growth->gradients;
	const PgmlGbmLeaf *leaf = &g->leaf[block];
	PgmlGbmObjective objective = job->growth->target->objective;
	double value;
	double sum_g = pgml_gbm_g(&gradients->scale, leaf->total);
	double sum_h = pgml_gbm_h(&gradients->scale, leaf->total);

	(void) thread;
	/* Rows of a leaf that was expanded ahead of its turn, which never came, are put into ascending order again. */
	if (leaf->expanded)
		pgml_gbm_merge_rows(&g->partition, job->growth->index, leaf->begin, leaf->n,
							g->child[block][0].n);
	PGML_TRY(find_cover(g->env, job->growth, leaf, &g->tree.cover[block]));
	if (too_coarse(gradients, leaf))
		PGML_TRY(pgml_gbm_exact_sums(g->env, job->growth->target, job->growth->output,
									 job->growth->index + leaf->begin, leaf->n, &sum_g, &sum_h));
	value = pgml_gbm_leaf_value(g->config, sum_g, sum_h, leaf->lambda_l2);
	if (pgml_gbm_renews(objective))
		PGML_TRY(pgml_gbm_renew_leaf(g->env, job->growth->target, job->growth->index + leaf->begin,
									 leaf->n, job->growth->points + leaf->begin, &value));
	if (pgml_gbm_is_monotone(g->config))
		value = pgml_gbm_clip(&leaf->limits.value, value);
	if (pgml_gbm_is_log(objective))
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
		if (!grower->leaf[grower->heap[0]].expanded)
			PGML_TRY(expand_next(grower, growth));
		split_next(grower);
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
	const PgmlGbmLeaf *leaf = &job->g->leaf[block];
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
