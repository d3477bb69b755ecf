/* gbm_expand.c - what splitting a leaf takes. */
#include "learner/gbm_expand.h"

#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/par.h"

#define SEARCH_WORK 2000 /* elementary steps that the search of one feature counts as */

/* Leaves smaller than this share of a thread's part of a batch are expanded by one thread. */
#define LARGE_SHARE 1.2

/* Keys of a tree for each of its leaves: twice as many expansions, of those split and of those left at the end, of two children. */
#define KEYS_PER_LEAF 4

/* A leaf whose best split is looked for. */
typedef struct Child
{
	PgmlGbmLeaf *leaf;
	PgmlGbmNode node;
	PgmlGbmSum *hist;
	const PgmlGbmSum *sibling; /* not NULL: hist is still the parent's, subtract this */
	PgmlGbmSplit *candidate;   /* per feature of the tree */
	bool *chosen; /* per feature of the tree: may it be used; where nodes choose features */
} Child;

/* Leaves that can be expanded together by so many threads. */
static int
count_work(int threads)
{
	int64_t n = 4 * (int64_t) threads;

	return threads == 1 ? 1 : n < PGML_GBM_BATCH ? (int) n : PGML_GBM_BATCH;
}

int64_t
pgml_gbm_work_size(const PgmlGbmConfig *config, int64_t nfeatures, int64_t leaves)
{
	return PGML_GBM_BATCH * 2 * nfeatures * (int64_t) (sizeof(PgmlGbmSplit) + sizeof(bool)) +
		   KEYS_PER_LEAF * leaves * pgml_gbm_group_words(config) * (int64_t) sizeof(uint64_t);
}

PgmlStatus
pgml_gbm_work_create(const PgmlEnv *env, PgmlArena *arena, size_t nfeatures, PgmlGbmGrower *g)
{
	size_t words = (size_t) pgml_gbm_group_words(g->config);

	g->n_work = count_work(pgml_pool_threads(env->pool));
	g->chooses_features = pgml_gbm_chooses_features(g->config);
	if (words > 0)
	{
		g->groups =
			pgml_array(arena, KEYS_PER_LEAF * words * (size_t) g->max_leaves, sizeof(uint64_t));
		if (!g->groups)
			return pgml_fail_nomem(env, "trees");
	}
	for (int i = 0; i < g->n_work; i++)
		for (int c = 0; c < 2; c++)
		{
			g->work[i].candidate[c] = pgml_array(arena, nfeatures, sizeof(PgmlGbmSplit));
			g->work[i].chosen[c] = pgml_array(arena, nfeatures, sizeof(bool));
			if (!g->work[i].candidate[c] || !g->work[i].chosen[c])
				return pgml_fail_nomem(env, "trees");
		}
	return PGML_OK;
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
			if (g->chooses_features && !child->chosen[i])
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

/* Make a leaf one to be searched, with the c-th memory of the work. */
static Child
open_child(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const PgmlGbmWork *work, int c,
		   PgmlGbmLeaf *leaf)
{
	Child child = { .leaf = leaf,
					.node = { .config = g->config,
							  .scale = &growth->gradients->scale,
							  .total = leaf->total,
							  .noise = growth->gradients->noise,
							  .seed = leaf->seed },
					.hist = pgml_gbm_pool_hist(&g->pool, leaf->slot),
					.candidate = work->candidate[c],
					.chosen = work->chosen[c] };

	if (pgml_gbm_is_monotone(g->config))
	{
		child.node.range = &leaf->limits.step;
		child.node.monotone = g->config->constraints->monotone;
	}
	if (g->chooses_features)
		pgml_gbm_choose_features(g->config, &leaf->limits, growth->features, growth->n_features,
								 leaf->seed, child.chosen);
	return child;
}

/* Find the best split of each child; ties go to the feature that comes first.  alone: no other leaf is at work. */
static PgmlStatus
search(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, Child *child, int n_children,
	   bool alone)
{
	SearchJob job = { g, growth, child, n_children, 1 };
	int64_t work = (int64_t) growth->n_features * n_children * SEARCH_WORK;

	if (alone && work >= PGML_GBM_PARALLEL_WORK && pgml_pool_threads(g->env->pool) > 1)
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

/* Build the histogram of a leaf in its slot. */
static PgmlStatus
build(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const PgmlGbmLeaf *leaf, bool alone)
{
	PgmlGbmHistJob job = { .rows = growth->rows,
						   .layout = &g->layout,
						   .gradients = growth->gradients,
						   .index = growth->index + leaf->begin,
						   .n = leaf->n,
						   .features = growth->features,
						   .n_features = growth->n_features,
						   .hist = pgml_gbm_pool_hist(&g->pool, leaf->slot),
						   .parts = alone ? g->parts : NULL };

	return pgml_gbm_hist_build(g->env, &job);
}

/* Is the leaf large and shallow enough to be split? */
static bool
splittable(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const PgmlGbmLeaf *leaf)
{
	const PgmlGbmConfig *config = g->config;

	return leaf->n >= 2 * config->min_data &&
		   (config->max_depth == 0 || leaf->depth < config->max_depth) &&
		   pgml_gbm_h(&growth->gradients->scale, leaf->total) >= 2 * config->min_hessian;
}

/* Keep the histogram of a searched leaf until it is split, or free it when nothing can be gained. */
static void
file_hist(PgmlGbmGrower *g, const PgmlGbmLeaf *leaf)
{
	if (leaf->slot < 0)
		return;
	if (leaf->best.gain > 0)
		pgml_gbm_pool_keep(&g->pool, leaf->slot, leaf->best.gain);
	else
		pgml_gbm_pool_release(&g->pool, leaf->slot);
}

/* Memory for the set of groups of a leaf. */
static uint64_t *
groups_of(const PgmlGbmGrower *g, int32_t key)
{
	return g->groups ? g->groups + (int64_t) key * pgml_gbm_group_words(g->config) : NULL;
}

PgmlStatus
pgml_gbm_open_root(PgmlGbmGrower *g, const PgmlGbmGrowth *growth)
{
	PgmlGbmLeaf *root = &g->leaf[0];
	const PgmlGbmSum *hist;
	int32_t f = growth->features[0];
	Child child;

	pgml_gbm_pool_reset(&g->pool);
	g->n_keys = 0;
	*root = (PgmlGbmLeaf){ .n = growth->n,
						   .parent = -1,
						   .key = g->n_keys++,
						   .seed = growth->seed,
						   .lambda_l2 = g->config->lambda_l2 };
	root->limits = pgml_gbm_limits_of_root(g->config, groups_of(g, root->key));
	root->slot = pgml_gbm_pool_take(&g->pool, root->key);
	PGML_TRY(build(g, growth, root, true));
	/* Every row is in some bin of every feature. */
	hist = pgml_gbm_pool_hist(&g->pool, root->slot) + g->layout.offset[f];
	for (int32_t b = 0; b < g->bins->n_bins[f]; b++)
	{
		root->total.g += hist[b].g;
		root->total.hc += hist[b].hc;
	}
	if (g->max_leaves < 2 || !splittable(g, growth, root))
		return PGML_OK;
	child = open_child(g, growth, &g->work[0], 0, root);
	PGML_TRY(search(g, growth, &child, 1, true));
	file_hist(g, root);
	return PGML_OK;
}

/* ---- expanding ---- */

/* The expansion of one leaf. */
typedef struct Expansion
{
	const PgmlGbmLeaf *leaf;
	PgmlGbmLeaf *child; /* left and right */
	const PgmlGbmWork *work;
	int small;      /* the child with fewer rows */
	bool has_hist;  /* the leaf's histogram is in the slot of the larger child */
	bool search[2]; /* children whose best split is wanted */
	double cost;    /* about, in elementary steps */
} Expansion;

/* The children of a leaf, before anything is known of them but what the split says. */
static void
make_children(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const PgmlGbmLeaf *leaf,
			  PgmlGbmLeaf *child)
{
	int64_t n_left = pgml_gbm_count(&growth->gradients->scale, leaf->best.left);

	for (int c = 0; c < 2; c++)
		child[c] = (PgmlGbmLeaf){ .begin = leaf->begin + (c ? n_left : 0),
								  .n = c ? leaf->n - n_left : n_left,
								  .depth = leaf->depth + 1,
								  .is_left = c == 0,
								  .key = g->n_keys++,
								  .slot = -1,
								  .seed = pgml_hash_combine(leaf->seed, (uint64_t) c + 1),
								  .total = c ? pgml_gbm_minus(leaf->total, leaf->best.left) :
											   leaf->best.left,
								  .lambda_l2 = leaf->best.lambda_l2 };
}

/* Give the children slots for their histograms: the larger one the parent's, which is subtracted from. */
static void
share_slots(PgmlGbmGrower *g, Expansion *e)
{
	PgmlGbmLeaf *small = &e->child[e->small], *large = &e->child[!e->small];
	int32_t slot = pgml_gbm_pool_find(&g->pool, e->leaf->slot, e->leaf->key);

	e->has_hist = slot >= 0 && e->search[!e->small];
	if (slot >= 0 && !e->has_hist)
		pgml_gbm_pool_release(&g->pool, slot);
	if (e->has_hist)
	{
		pgml_gbm_pool_give(&g->pool, slot, large->key);
		large->slot = slot;
	}
	if (e->search[e->small] || e->has_hist)
		small->slot = pgml_gbm_pool_take(&g->pool, small->key);
	if (e->search[!e->small] && !e->has_hist)
		large->slot = pgml_gbm_pool_take(&g->pool, large->key);
}

/* Prepare the expansion of a leaf: all that touches what leaves share. */
static Expansion
open_expansion(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, int32_t id, int place, bool last)
{
	Expansion e = { .leaf = &g->leaf[id], .child = g->child[id], .work = &g->work[place] };

	make_children(g, growth, e.leaf, e.child);
	e.small = e.child[0].n <= e.child[1].n ? 0 : 1;
	for (int c = 0; c < 2; c++)
		e.search[c] = !last && splittable(g, growth, &e.child[c]);
	share_slots(g, &e);
	e.cost = 4 * (double) e.leaf->n +
			 (double) growth->n_features *
				 ((double) e.child[e.small].n + SEARCH_WORK * (e.search[0] + e.search[1]));
	return e;
}

/* What constraints leave the children of a leaf whose rows are parted. */
static PgmlStatus
constrain_children(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const Expansion *e)
{
	const PgmlGbmScale *scale = &growth->gradients->scale;
	const PgmlGbmSplit *split = &e->leaf->best;
	int direction = pgml_gbm_split_direction(g->config, split, g->bins->n_bins[split->feature]);
	PgmlGbmSides sides = { { 0, 0 }, { 0, 0 } };

	for (int c = 0; c < 2; c++)
	{
		PgmlGbmLeaf *child = &e->child[c];

		child->limits.groups = groups_of(g, child->key);
		if (direction == 0)
			continue;
		sides.step[c] = pgml_gbm_leaf_value(g->config, pgml_gbm_g(scale, child->total),
											pgml_gbm_h(scale, child->total), child->lambda_l2);
		sides.value[c] = sides.step[c];
		if (pgml_gbm_renews(growth->target->objective))
			PGML_TRY(pgml_gbm_renew_leaf(g->env, growth->target, growth->index + child->begin,
										 child->n, growth->points + child->begin, &sides.value[c]));
	}
	pgml_gbm_limit_children(g->config, &e->leaf->limits, split->feature, direction, &sides,
							&e->child[0].limits, &e->child[1].limits);
	return PGML_OK;
}

/* Part the rows, build the histograms, find the best splits. */
static PgmlStatus
run_expansion(const PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const Expansion *e, bool alone)
{
	const PgmlGbmLeaf *leaf = e->leaf;
	PgmlGbmLeaf *small = &e->child[e->small], *large = &e->child[!e->small];
	PgmlGbmPartJob part = { .rows = growth->rows,
							.feature = leaf->best.feature,
							.set = leaf->best.set,
							.index = growth->index,
							.begin = leaf->begin,
							.n = leaf->n,
							.n_left = e->child[0].n };
	Child child[2];
	int n = 0;

	PGML_TRY(pgml_gbm_part_rows(g->env, &g->partition, &part, alone));
	if (g->config->constraints != NULL)
		PGML_TRY(constrain_children(g, growth, e));
	if (small->slot >= 0)
		PGML_TRY(build(g, growth, small, alone));
	if (large->slot >= 0 && !e->has_hist)
		PGML_TRY(build(g, growth, large, alone));
	if (e->search[e->small])
	{
		child[n] = open_child(g, growth, e->work, n, small);
		n++;
	}
	if (e->search[!e->small])
	{
		child[n] = open_child(g, growth, e->work, n, large);
		child[n++].sibling = e->has_hist ? pgml_gbm_pool_hist(&g->pool, small->slot) : NULL;
	}
	return n > 0 ? search(g, growth, child, n, alone) : PGML_OK;
}

/* Some leaves, each to be expanded by one thread. */
typedef struct BatchJob
{
	const PgmlGbmGrower *g;
	const PgmlGbmGrowth *growth;
	const Expansion *expansion;
} BatchJob;

static PgmlStatus
run_block(void *arg, int64_t block, int thread)
{
	const BatchJob *job = arg;

	(void) thread;
	return run_expansion(job->g, job->growth, &job->expansion[block], false);
}

/* The most expensive first: threads that are through with theirs then help with the cheap ones. */
static int
compare_costs(const void *a, const void *b)
{
	double ca = ((const Expansion *) a)->cost, cb = ((const Expansion *) b)->cost;

	return (ca < cb) - (ca > cb);
}

PgmlStatus
pgml_gbm_expand(PgmlGbmGrower *g, const PgmlGbmGrowth *growth, const int32_t *ids, int n, bool last)
{
	Expansion expansion[PGML_GBM_BATCH];
	BatchJob job = { g, growth, expansion };
	int threads = pgml_pool_threads(g->env->pool);
	double cost = 0;

	for (int i = 0; i < n; i++)
	{
		expansion[i] = open_expansion(g, growth, ids[i], i, last);
		cost += expansion[i].cost;
	}
	qsort(expansion, (size_t) n, sizeof(*expansion), compare_costs);
	/* A leaf that would keep one thread busy while the others wait is worked on by all. */
	for (; n > 0 && job.expansion->cost * threads > LARGE_SHARE * cost; n--)
	{
		PGML_TRY(run_expansion(g, growth, job.expansion, true));
		cost -= job.expansion->cost;
		job.expansion++;
	}
	PGML_TRY(pgml_par_for(g->env, n, run_block, &job));
	for (const Expansion *e = expansion; e < job.expansion + n; e++)
		for (int c = 0; c < 2; c++)
			file_hist(g, &e->child[c]);
	for (const Expansion *e = expansion; e < job.expansion + n; e++)
		g->leaf[e->leaf - g->leaf].expanded = true;
	return PGML_OK;
}
