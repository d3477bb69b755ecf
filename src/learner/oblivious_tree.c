/*
 * oblivious_tree.c - growth of one tree, level by level.
 *
 * Row numbers lie in one index array; a leaf of the growing tree owns a piece of it, which is parted when the leaf is divided.
 *
 * Features, and the statistics of single categorical features, are two sources of columns with histograms of their own; each
 * combination of categories is another, which is there for one level.
 */
#include "learner/oblivious_tree.h"

#include <math.h>
#include <string.h>

#include "core/par.h"
#include "learner/oblivious_grower.h"

/* The least that the penalty on leaves is of a row's weight: means of rows that weigh nothing decide nothing. */
#define LEAST_L2 0.05

/* Rows of a leaf between two looks at the stop flag. */
#define POLL_ROWS ((int64_t) 1 << 18)

/* ---- creating ---- */

int64_t
pgml_obl_grower_size(const PgmlOblConfig *config, int64_t entries, int32_t nfeatures, int64_t n,
					 bool combines)
{
	int64_t leaves = (int64_t) 1 << config->depth;
	int64_t bests = config->depthwise ? leaves : 1; /* of a level */

	return entries * (int64_t) (sizeof(PgmlGbmSum) * (1 + PGML_GBM_PARTS) + 3 * sizeof(double)) +
		   nfeatures * (int64_t) (sizeof(PgmlOblBest) + 12) +
		   leaves * (int64_t) (2 * sizeof(PgmlOblLeaf) + sizeof(PgmlOblBest)) +
		   (combines ? PGML_OBL_COMBINATIONS * bests * (int64_t) sizeof(PgmlOblBest) : 0) + n * 4;
}

/* A source of columns; n_bins belongs to it. */
static PgmlStatus
make_source(const PgmlEnv *env, PgmlArena *arena, PgmlOblSource *s)
{
	PGML_TRY(pgml_gbm_layout_create(env, arena, &s->bins, &s->layout));
	return PGML_OK;
}

/* Are the feature's own values asked for: numbers, and levels where they are few, which statistics can take for one another? */
static bool
is_asked_itself(const PgmlOblGrower *g, int32_t f)
{
	int32_t levels = g->x->features[f].n_levels;

	return !pgml_obl_has_ctr(g->config, &g->x->features[f]) ||
		   (levels <= PGML_OBL_FEW_LEVELS && levels < g->config->max_bin);
}

/* The features that have anything to ask for. */
static PgmlStatus
make_feature_source(PgmlOblGrower *g, PgmlArena *arena, const PgmlGbmRows *rows)
{
	PgmlOblSource *s = &g->source[g->n_sources++];

	*s = (PgmlOblSource){ .rows = *rows, .bins = *g->bins };
	s->columns = pgml_array(arena, (size_t) g->bins->nfeatures, sizeof(int32_t));
	if (s->columns == NULL)
		return pgml_fail_nomem(g->env, "trees");
	for (int32_t f = 0; f < g->bins->nfeatures; f++)
		if ((g->bins->n_bins[f] > 2 || g->bins->has_missing[f]) && is_asked_itself(g, f))
			s->columns[s->n_columns++] = f;
	return make_source(g->env, arena, s);
}

/* The statistics of all single features, or, with the bins that they have at most, of any projection; their rows are set when they are known. */
static PgmlStatus
make_ctr_source(PgmlOblGrower *g, PgmlArena *arena, bool any, int64_t n, PgmlOblSource *s)
{
	int32_t parts = pgml_obl_ctr_parts(g->ctr);
	int32_t columns = (any ? 1 : pgml_obl_ctr_single(g->ctr)) * parts;

	*s = (PgmlOblSource){ .n_columns = columns, .is_ctr = true };
	s->rows.n = n;
	s->rows.stride = columns;
	s->bins.nfeatures = columns;
	s->bins.n_bins = pgml_array(arena, (size_t) columns, sizeof(int32_t));
	s->columns = pgml_array(arena, (size_t) columns, sizeof(int32_t));
	if (!s->bins.n_bins || !s->columns)
		return pgml_fail_nomem(g->env, "trees");
	for (int32_t c = 0; c < columns; c++)
	{
		s->bins.n_bins[c] = any ? pgml_obl_part_bins(pgml_obl_ctr_part(g->ctr, c)) :
								  pgml_obl_ctr_codes(g->ctr, c / parts, c % parts)->n;
		s->columns[c] = c;
	}
	return make_source(g->env, arena, s);
}

/* Candidates of a source. */
static size_t
count_candidates(const PgmlOblGrower *g, const PgmlOblSource *s)
{
	if (!s->is_ctr)
		return s->layout.total;
	return (size_t) (s->n_columns / pgml_obl_ctr_parts(g->ctr) * pgml_obl_ctr_width(g->ctr) *
					 PGML_OBL_CTR_BINS);
}

/* PgmlOblRoom for the search of a source of so many candidates, entries of a histogram and columns. */
static PgmlStatus
make_search_room(const PgmlEnv *env, PgmlArena *arena, size_t candidates, size_t entries,
				 size_t columns, PgmlOblRoom *room)
{
	room->tally.product = pgml_array(arena, candidates + 1, sizeof(double));
	room->tally.length = pgml_array(arena, candidates + 1, sizeof(double));
	room->tally.rows = pgml_array(arena, candidates + 1, sizeof(double));
	room->hist = pgml_array(arena, entries + 1, sizeof(PgmlGbmSum));
	room->column = pgml_array(arena, columns + 1, sizeof(PgmlOblBest));
	if (!room->tally.product || !room->tally.length || !room->tally.rows || !room->hist ||
		!room->column)
		return pgml_fail_nomem(env, "trees");
	return PGML_OK;
}

/* Combinations that a level can have, of which histograms are kept. */
static int32_t
count_combinations(const PgmlOblGrower *g)
{
	int32_t categories = 0;

	if (g->ctr == NULL || pgml_obl_ctr_room(g->ctr) == 0)
		return 0;
	for (int32_t f = 0; f < g->x->nfeatures; f++)
		categories += g->x->features[f].categorical;
	return categories > 6 ? PGML_OBL_COMBINATIONS : (1 << categories) - categories - 1;
}

/* Memory for the histograms of combinations, from what is left. */
static PgmlStatus
make_combination_store(PgmlOblGrower *g, PgmlArena *arena, int64_t pool_bytes)
{
	int64_t each = (int64_t) g->combination.layout.total * g->n_slots * g->n_outputs;
	int64_t places = count_combinations(g);

	if (each * (int64_t) sizeof(PgmlGbmSum) * places > pool_bytes)
		places = pool_bytes / (each * (int64_t) sizeof(PgmlGbmSum));
	g->n_places = (int32_t) places;
	if (places == 0)
		return PGML_OK;
	g->combination.store = pgml_array(arena, (size_t) (each * places), sizeof(PgmlGbmSum));
	return g->combination.store ? PGML_OK : pgml_fail_nomem(g->env, "histograms");
}

/* Memory for histograms from level to level, if there is enough. */
static PgmlStatus
make_store(PgmlOblGrower *g, PgmlArena *arena, int64_t pool_bytes)
{
	int64_t entries = 0;

	g->n_slots = 1 << (g->config->depth - 1);
	for (int32_t s = 0; s < g->n_sources; s++)
		entries += g->source[s].layout.total;
	entries *= (int64_t) g->n_slots * g->n_outputs;
	if (entries * (int64_t) sizeof(PgmlGbmSum) > pool_bytes)
		return PGML_OK;
	for (int32_t s = 0; s < g->n_sources; s++)
	{
		size_t size = (size_t) g->n_slots * (size_t) g->n_outputs * g->source[s].layout.total;

		g->source[s].store = pgml_array(arena, size + 1, sizeof(PgmlGbmSum));
		if (g->source[s].store == NULL)
			return pgml_fail_nomem(g->env, "histograms");
	}
	return make_combination_store(g, arena, pool_bytes - entries * (int64_t) sizeof(PgmlGbmSum));
}

/* Sources of statistics, and room for the search of combinations by each thread. */
static PgmlStatus
make_ctr_sources(PgmlOblGrower *g, PgmlArena *arena, int64_t n)
{
	int threads = pgml_pool_threads(g->env->pool);

	PGML_TRY(make_ctr_source(g, arena, false, n, &g->source[g->n_sources++]));
	PGML_TRY(make_ctr_source(g, arena, true, n, &g->combination));
	g->thread_room = pgml_array(arena, (size_t) threads, sizeof(PgmlOblRoom));
	if (g->thread_room == NULL)
		return pgml_fail_nomem(g->env, "trees");
	for (int t = 0; t < threads; t++)
		PGML_TRY(make_search_room(g->env, arena, count_candidates(g, &g->combination),
								  g->combination.layout.total, (size_t) g->combination.n_columns,
								  &g->thread_room[t]));
	return PGML_OK;
}

PgmlStatus
pgml_obl_grower_create(const PgmlEnv *env, PgmlArena *arena, const PgmlOblConfig *config,
					   const PgmlMatrix *x, const PgmlBins *bins, const PgmlGbmRows *rows,
					   PgmlOblCtr *ctr, int n_outputs, int64_t pool_bytes, PgmlOblGrower **out)
{
	PgmlOblGrower *g = pgml_zalloc(arena, 1, sizeof(*g));
	size_t leaves = (size_t) 1 << config->depth;
	size_t candidates = 0, entries = 0, columns = 0;

	if (g == NULL)
		return pgml_fail_nomem(env, "trees");
	g->env = env;
	g->config = config;
	g->x = x;
	g->bins = bins;
	g->ctr = ctr;
	g->n_outputs = n_outputs;
	PGML_TRY(make_feature_source(g, arena, rows));
	if (ctr)
		PGML_TRY(make_ctr_sources(g, arena, rows->n));
	for (int32_t s = 0; s < g->n_sources; s++)
	{
		size_t found = count_candidates(g, &g->source[s]);

		candidates = found > candidates ? found : candidates;
		entries = g->source[s].layout.total > entries ? g->source[s].layout.total : entries;
		columns =
			(size_t) g->source[s].n_columns > columns ? (size_t) g->source[s].n_columns : columns;
	}
	PGML_TRY(make_search_room(env, arena, candidates, entries, columns, &g->room));
	PGML_TRY(make_store(g, arena, pool_bytes));
	g->parts = pgml_array(arena, (PGML_GBM_PARTS - 1) * entries + 1, sizeof(PgmlGbmSum));
	g->leaf = pgml_array(arena, leaves, sizeof(PgmlOblLeaf));
	g->next = pgml_array(arena, leaves, sizeof(PgmlOblLeaf));
	g->best = pgml_array(arena, leaves, sizeof(PgmlOblBest));
	g->combination_best =
		pgml_array(arena, ctr ? PGML_OBL_COMBINATIONS * (config->depthwise ? leaves : 1) : 1,
				   sizeof(PgmlOblBest));
	g->other = pgml_array(arena, (size_t) rows->n, sizeof(int32_t));
	if (!g->parts || !g->leaf || !g->next || !g->best || !g->combination_best || !g->other)
		return pgml_fail_nomem(env, "trees");
	*out = g;
	return PGML_OK;
}

/* ---- growing ---- */

/* Column of a split. */
static PgmlOblColumn
column_of(const PgmlOblGrower *g, const PgmlOblSplit *split, int32_t order, const PgmlGbmRows *rows)
{
	int32_t width;

	if (split->column < 0)
		return (PgmlOblColumn){ .at = NULL };
	if (split->kind != PGML_OBL_CTR)
		return (PgmlOblColumn){ .at = rows->column[split->column],
								.number = rows->number,
								.stride = 1 };
	width = pgml_obl_ctr_width(g->ctr);
	return pgml_obl_ctr_column(g->ctr, split->column / width, split->column % width, order);
}

void
pgml_obl_columns(const PgmlOblGrower *g, const PgmlOblTree *tree, int32_t order,
				 const PgmlGbmRows *rows, PgmlOblColumn *column)
{
	for (int32_t i = 0; i < pgml_obl_tree_splits(tree); i++)
		column[i] = column_of(g, &tree->split[i], order, rows);
}

/* Which split of the tree divides leaf number l of the level. */
static PgmlOblSplit *
split_of(const PgmlOblGrower *g, int32_t l)
{
	return &g->tree->split[g->tree->depthwise ? pgml_obl_level_leaves(g) - 1 + l : g->level];
}

/* Part the rows of leaf number `block`: those that answer false come first; leaf->sibling is set to their number. */
static PgmlStatus
part_leaf(void *arg, int64_t block, int thread)
{
	PgmlOblGrower *g = arg;
	PgmlOblLeaf *leaf = &g->leaf[block];
	const PgmlOblSplit *split = split_of(g, (int32_t) block);
	PgmlOblColumn column = column_of(g, split, g->growth->order, &g->source[0].rows);
	int32_t *index = g->growth->sample->index + leaf->begin;
	int32_t *right = g->other + leaf->begin;
	int64_t n_left = 0;
	bool goes[PGML_GBM_BINS];

	(void) thread;
	g->next[block].n = leaf->n;
	if (split->column < 0 || leaf->n == 0)
		return PGML_OK;
	for (int b = 0; b < PGML_GBM_BINS; b++)
		goes[b] = pgml_obl_true(split, pgml_obl_decoded(&column, (uint8_t) b));
	for (int64_t i = 0; i < leaf->n; i++)
	{
		int32_t row = index[i];
		bool go = goes[pgml_obl_byte(&column, row)];

		if (i % POLL_ROWS == 0 && pgml_stopped(g->env))
			return PGML_ERR_CANCELLED;
		index[n_left] = row;
		right[i - n_left] = row;
		n_left += !go;
	}
	memcpy(index + n_left, right, (size_t) (leaf->n - n_left) * sizeof(int32_t));
	g->next[block].n = n_left;
	return PGML_OK;
}

/* Give the two sides of a leaf their histograms: the parent's becomes the larger one's. */
static void
share_slots(PgmlOblGrower *g, const PgmlOblLeaf *parent, PgmlOblLeaf *left, PgmlOblLeaf *right)
{
	PgmlOblLeaf *small = left->n < right->n ? left : right;
	PgmlOblLeaf *large = small == left ? right : left;

	large->slot = parent->slot;
	large->sibling = -1;
	large->build = false;
	small->build = false;
	if (small->n == 0)
		return;
	small->slot = g->slots_used++;
	small->sibling = -1;
	small->build = true;
	large->sibling = small->slot;
}

/* The leaves of the next level, whose rows have been parted. */
static void
divide_leaves(PgmlOblGrower *g)
{
	int32_t n = pgml_obl_level_leaves(g);
	PgmlOblLeaf *leaf = g->leaf;

	/* From the last on: g->next[l].n, the number of rows that stay, is read before it is overwritten. */
	for (int32_t l = n - 1; l >= 0; l--)
	{
		int32_t to_left = g->tree->depthwise ? 2 * l : l;
		int32_t to_right = g->tree->depthwise ? 2 * l + 1 : l + n;
		PgmlOblLeaf left = { .begin = leaf[l].begin, .n = g->next[l].n, .slot = 0 };
		PgmlOblLeaf right = { .begin = left.begin + left.n, .n = leaf[l].n - left.n };

		share_slots(g, &leaf[l], &left, &right);
		g->next[to_right] = right;
		g->next[to_left] = left;
	}
	g->leaf = g->next;
	g->next = leaf;
	g->level++;
}

/* Score of a leaf that is not divided. */
static PgmlStatus
score_leaf(void *arg, int64_t block, int thread)
{
	PgmlOblGrower *g = arg;
	PgmlOblLeaf *leaf = &g->leaf[block];
	const int32_t *index = g->growth->sample->index + leaf->begin;
	double product = 0, length = 0;

	(void) thread;
	for (int k = 0; k < g->n_outputs; k++)
	{
		const PgmlGbmGradients *gradients = &g->growth->sample->gradients[k];
		int64_t sum_g = 0, sum_h = 0;
		double a, w;

		for (int64_t i = 0; i < leaf->n; i++)
		{
			if (i % POLL_ROWS == 0 && pgml_stopped(g->env))
				return PGML_ERR_CANCELLED;
			if (gradients->packed)
			{
				int32_t p = gradients->packed[index[i]];

				sum_g += gradients->unit_hessian ? p : p >> 16;
				sum_h += gradients->unit_hessian ? 1 : p & 0xffff;
			}
			else
			{
				sum_g += gradients->sum[index[i]].g;
				sum_h += (int64_t) (gradients->sum[index[i]].hc >> gradients->scale.count_bits);
			}
		}
		w = (double) sum_h * gradients->scale.h_unit;
		a = (double) sum_g * gradients->scale.g_unit / (w + g->l2);
		product += a * (double) sum_g * gradients->scale.g_unit;
		length += a * a * w;
	}
	leaf->before = pgml_obl_score(product, length);
	return PGML_OK;
}

/* Take what was found on the level into the tree; *divided: any leaf is. */
static void
take_level(PgmlOblGrower *g, bool *divided)
{
	*divided = false;
	if (!g->tree->depthwise)
	{
		g->tree->split[g->level] = g->best[0].split;
		g->before = g->best[0].pure;
		*divided = g->best[0].split.column >= 0;
		return;
	}
	for (int32_t l = 0; l < pgml_obl_level_leaves(g); l++)
	{
		PgmlOblBest *best = &g->best[l];

		/* What is gained must be more than rounding error. */
		if (best->split.column >= 0 && !(best->pure > g->leaf[l].before * (1 + 1e-9)))
			best->split.column = -1;
		*split_of(g, l) = best->split;
		*divided |= best->split.column >= 0;
	}
}

/* Begin with all rows in one leaf. */
static void
start(PgmlOblGrower *g, const PgmlOblGrowth *growth, PgmlOblTree *tree)
{
	g->growth = growth;
	g->tree = tree;
	g->level = 0;
	g->before = 0;
	g->l2 = fmax(g->config->l2, LEAST_L2) * growth->mean_weight;
	g->slots_used = 1;
	g->n_placed = 0;
	g->leaf[0] = (PgmlOblLeaf){ .n = growth->sample->n_drawn, .sibling = -1, .build = true };
	tree->depthwise = g->config->depthwise;
	tree->depth = 0;
}

PgmlStatus
pgml_obl_grow(PgmlOblGrower *g, const PgmlOblGrowth *growth, PgmlOblTree *tree, bool *complete)
{
	bool divided = true;
	PgmlStatus status;

	*complete = false;
	start(g, growth, tree);
	while (g->level < g->config->depth)
	{
		if (pgml_stopped(g->env))
			return PGML_ERR_CANCELLED;
		if (pgml_out_of_time(g->env))
			return PGML_OK;
		if (g->config->depthwise)
			PGML_TRY(pgml_par_for(g->env, pgml_obl_level_leaves(g), score_leaf, g));
		status = pgml_obl_search_level(g);
		/* The deadline ends the search of a level as the stop flag does. */
		if (status == PGML_ERR_CANCELLED && !pgml_stopped(g->env))
			return PGML_OK;
		PGML_TRY(status);
		take_level(g, &divided);
		if (!divided)
			break;
		tree->depth = g->level + 1;
		if (tree->depth == g->config->depth)
			break;
		PGML_TRY(pgml_par_for(g->env, pgml_obl_level_leaves(g), part_leaf, g));
		divide_leaves(g);
	}
	*complete = true;
	return PGML_OK;
}
