/*
 * oblivious_search.c - the best question on one level of a tree.
 *
 * Histograms of all leaves are made: of the smaller of two siblings from its rows, of the larger what remains of the
 * parent's.  Where memory does not suffice to keep them, each leaf's is made from its rows, one after another: the sums are
 * the same.  Those of combinations of categories are made so always, one combination for each thread.
 */
#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/par.h"
#include "learner/oblivious_grower.h"

/* ---- the search of one source ---- */

/* One source on one level. */
typedef struct Search
{
	PgmlOblGrower *g;
	PgmlOblSource *source;
	PgmlOblRoom *room;
	int32_t projection; /* of a combination, else -1 */
	int32_t from, upto; /* leaves */
	int64_t blocks;
} Search;

/* Histogram of a leaf in the source's store. */
static PgmlGbmSum *
stored(const PgmlOblGrower *g, const PgmlOblSource *s, int k, int32_t slot)
{
	return s->store + ((size_t) k * (size_t) g->n_slots + (size_t) slot) * s->layout.total;
}

/* Build a leaf's histogram of output k. */
static PgmlStatus
build(const Search *search, const PgmlOblLeaf *leaf, int k, PgmlGbmSum *hist)
{
	const PgmlOblGrower *g = search->g;
	PgmlGbmHistJob job = { .rows = &search->source->rows,
						   .layout = &search->source->layout,
						   .gradients = &g->growth->sample->gradients[k],
						   .index = g->growth->sample->index + leaf->begin,
						   .n = leaf->n,
						   .features = search->source->columns,
						   .n_features = search->source->n_columns,
						   .hist = hist,
						   .parts = g->parts };

	return pgml_gbm_hist_build(g->env, &job);
}

/* The candidates of a column. */
static PgmlOblTally
column_tally(const Search *search, int32_t column)
{
	uint32_t at = search->source->layout.offset[column];
	const PgmlOblTally *all = &search->room->tally;

	return (PgmlOblTally){ all->product + at, all->length + at, all->rows + at };
}

static PgmlOblKind
kind_of(const Search *search, int32_t column)
{
	if (search->source->is_ctr)
		return PGML_OBL_CTR;
	return search->g->x->features[column].categorical ? PGML_OBL_LEVEL : PGML_OBL_NUMBER;
}

/* Forget the sums of a column's candidates. */
static void
clear_column(const Search *search, int32_t column)
{
	PgmlOblTally tally = column_tally(search, column);
	size_t bytes = (size_t) search->source->bins.n_bins[column] * sizeof(double);

	memset(tally.product, 0, bytes);
	memset(tally.length, 0, bytes);
	memset(tally.rows, 0, bytes);
}

/* Add a leaf's histogram to a column's candidates. */
static void
tally_column(const Search *search, int32_t column, int k, const PgmlGbmSum *hist)
{
	PgmlOblTally tally = column_tally(search, column);

	pgml_obl_tally(&search->g->growth->sample->gradients[k].scale,
				   hist + search->source->layout.offset[column],
				   search->source->bins.n_bins[column], kind_of(search, column) == PGML_OBL_LEVEL,
				   search->g->l2, &tally);
}

/* Number of a column as that of a split. */
static int32_t
split_column(const Search *search, int32_t column)
{
	if (search->projection >= 0)
		return search->projection * pgml_obl_ctr_width(search->g->ctr) + column;
	return column;
}

/* What a statistic's gain is multiplied by: one that the model does not have yet makes it larger (CatBoost's model_size_reg 0.5). */
static double
size_factor(const Search *search, int32_t column)
{
	const PgmlOblGrower *g = search->g;
	int32_t p;

	if (!search->source->is_ctr)
		return 1;
	p = search->projection >= 0 ? search->projection : column / pgml_obl_ctr_width(g->ctr);
	if (g->growth->table[p] >= 0)
		return 1;
	return 1 / sqrt(1 + (double) pgml_obl_ctr_buckets(g->ctr, p) / g->most_buckets);
}

/* May the column be asked about? Of statistics, only those that the model has, when it can have no more. */
static bool
is_open(const Search *search, int32_t column)
{
	const PgmlOblGrower *g = search->g;

	if (!search->source->is_ctr || !g->growth->full)
		return true;
	return g->growth->table[split_column(search, column) / pgml_obl_ctr_width(g->ctr)] >= 0;
}

/* Was the column drawn for this level? */
static bool
is_drawn(const PgmlOblGrower *g, uint64_t number)
{
	uint64_t bits;

	if (g->config->feature_fraction >= 1)
		return true;
	bits = pgml_obl_mix(pgml_hash_combine(g->growth->seed ^ number, (uint64_t) g->level + 100));
	return (double) (bits >> 11) < g->config->feature_fraction * 9007199254740992.0;
}

/* Candidates that the tree has already divide nothing. */
static void
strike_used(const Search *search, int32_t column, PgmlOblKind kind, const PgmlOblTally *tally)
{
	const PgmlOblGrower *g = search->g;

	for (int32_t d = 0; !g->config->depthwise && d < g->level; d++)
	{
		const PgmlOblSplit *split = &g->tree->split[d];

		if (split->kind == kind && split->column == split_column(search, column))
			tally->rows[split->bin] = 0;
	}
}

/* The best candidate of a column; leaf: the one that is divided, NULL: all. */
static void
judge_column(const Search *search, int32_t place, const PgmlOblLeaf *leaf)
{
	const PgmlOblGrower *g = search->g;
	int32_t column = search->source->columns[place];
	PgmlOblKind kind = kind_of(search, column);
	PgmlOblTally tally = column_tally(search, column);
	uint64_t number = (uint64_t) split_column(search, column) * 4 + kind;
	int32_t leaf_number = leaf ? (int32_t) (leaf - g->leaf) : 0;
	int n = search->source->bins.n_bins[column] - (kind == PGML_OBL_LEVEL ? 0 : 1);
	PgmlOblContest contest = {
		.before = leaf ? leaf->before : g->before,
		.factor = size_factor(search, column),
		.noise = g->growth->noise,
		.seed = pgml_hash_combine(
			pgml_hash_combine(g->growth->seed, (uint64_t) (pgml_obl_level_leaves(g) + leaf_number)),
			number),
		/* Every output counts them. */
		.rows = (double) (leaf ? leaf->n : g->growth->sample->n_drawn) * g->n_outputs,
		.minimum = (leaf ? (double) g->config->min_data : 1) * g->n_outputs
	};
	PgmlOblBest *best = &search->room->column[place];

	best->split = (PgmlOblSplit){ kind, -1, 0 };
	if (!is_open(search, column) || !is_drawn(g, number))
		return;
	strike_used(search, column, kind, &tally);
	best->split.bin = pgml_obl_best(&tally, n, &contest, &best->score);
	if (best->split.bin < 0)
		return;
	best->split.column = split_column(search, column);
	best->pure = pgml_obl_score(tally.product[best->split.bin], tally.length[best->split.bin]);
}

/* The better one is kept; the earlier one when they are equal. */
static void
keep_better(PgmlOblBest *best, const PgmlOblBest *other)
{
	if (other->split.column >= 0 && (best->split.column < 0 || other->score > best->score))
		*best = *other;
}

/* Search the leaves from .. upto-1 of stored histograms in some columns. */
static PgmlStatus
search_stored(void *arg, int64_t block, int thread)
{
	const Search *s = arg;
	const PgmlOblGrower *g = s->g;
	int32_t begin = (int32_t) (s->source->n_columns * block / s->blocks);
	int32_t end = (int32_t) (s->source->n_columns * (block + 1) / s->blocks);

	(void) thread;
	for (int32_t i = begin; i < end; i++)
	{
		int32_t column = s->source->columns[i];

		if (pgml_stopped(g->env))
			return PGML_ERR_CANCELLED;
		clear_column(s, column);
		for (int k = 0; k < g->n_outputs; k++)
			for (int32_t l = s->from; l < s->upto; l++)
			{
				const PgmlOblLeaf *leaf = &g->leaf[l];
				PgmlGbmSum *hist;

				if (leaf->n == 0)
					continue;
				hist = stored(g, s->source, k, leaf->slot);
				if (leaf->sibling >= 0)
					pgml_gbm_hist_subtract(&s->source->layout, column, hist,
										   stored(g, s->source, k, leaf->sibling), hist);
				tally_column(s, column, k, hist);
			}
		judge_column(s, i, g->config->depthwise ? &g->leaf[s->from] : NULL);
	}
	return PGML_OK;
}

/* May the leaf be divided? */
static bool
is_searched(const PgmlOblGrower *g, const PgmlOblLeaf *leaf)
{
	return leaf->n > 0 && (!g->config->depthwise || leaf->n >= 2 * g->config->min_data);
}

/* A loop over columns in blocks: many when there is much to do. */
static PgmlStatus
over_columns(Search *s, int64_t leaves, PgmlBlockFn fn)
{
	int64_t work = (int64_t) s->source->layout.total * leaves * s->g->n_outputs * 4;

	s->blocks = work < PGML_GBM_PARALLEL_WORK ? 1 : work / (PGML_GBM_PARALLEL_WORK / 4);
	s->blocks = s->blocks > s->source->n_columns ? s->source->n_columns : s->blocks;
	if (s->blocks <= 1 || pgml_pool_threads(s->g->env->pool) == 1)
	{
		s->blocks = 1;
		return fn(s, 0, 0);
	}
	return pgml_par_for(s->g->env, s->blocks, fn, s);
}

/* Take the best of all columns. */
static void
take_best(const Search *s, PgmlOblBest *best)
{
	for (int32_t i = 0; i < s->source->n_columns; i++)
		keep_better(best, &s->room->column[i]);
}

/* Search a source whose histograms are kept. */
static PgmlStatus
search_kept(Search *s, PgmlOblBest *best)
{
	PgmlOblGrower *g = s->g;

	for (int k = 0; k < g->n_outputs; k++)
		for (int32_t l = 0; l < pgml_obl_level_leaves(g); l++)
			if (g->leaf[l].n > 0 && g->leaf[l].build)
				PGML_TRY(build(s, &g->leaf[l], k, stored(g, s->source, k, g->leaf[l].slot)));
	if (!g->config->depthwise)
	{
		s->from = 0;
		s->upto = pgml_obl_level_leaves(g);
		PGML_TRY(over_columns(s, s->upto, search_stored));
		take_best(s, best);
		return PGML_OK;
	}
	for (int32_t l = 0; l < pgml_obl_level_leaves(g); l++)
	{
		if (!is_searched(g, &g->leaf[l]))
			continue;
		s->from = l;
		s->upto = l + 1;
		PGML_TRY(over_columns(s, 1, search_stored));
		take_best(s, &best[l]);
	}
	return PGML_OK;
}

/* Search a source leaf by leaf, each histogram made for the purpose. */
static PgmlStatus
search_built(Search *s, PgmlOblBest *best)
{
	PgmlOblGrower *g = s->g;
	const int32_t *columns = s->source->columns;

	for (int32_t l = 0; l < pgml_obl_level_leaves(g); l++)
	{
		PgmlOblLeaf *leaf = &g->leaf[l];
		bool searched = is_searched(g, leaf);

		for (int32_t i = 0;
			 (l == 0 || (g->config->depthwise && searched)) && i < s->source->n_columns; i++)
			clear_column(s, columns[i]);
		for (int k = 0; searched && k < g->n_outputs; k++)
		{
			PGML_TRY(build(s, leaf, k, s->room->hist));
			for (int32_t i = 0; i < s->source->n_columns; i++)
				tally_column(s, columns[i], k, s->room->hist);
		}
		if (g->config->depthwise && searched)
		{
			for (int32_t i = 0; i < s->source->n_columns; i++)
				judge_column(s, i, leaf);
			take_best(s, &best[l]);
		}
	}
	if (g->config->depthwise)
		return PGML_OK;
	for (int32_t i = 0; i < s->source->n_columns; i++)
		judge_column(s, i, NULL);
	take_best(s, best);
	return PGML_OK;
}

/* ---- combinations ---- */

/* Combinations to search on a level. */
typedef struct Combinations
{
	PgmlOblGrower *g;
	int32_t number[PGML_OBL_COMBINATIONS];
} Combinations;

/* Search one combination. */
static PgmlStatus
search_combination(void *arg, int64_t block, int thread)
{
	const Combinations *c = arg;
	PgmlOblGrower *g = c->g;
	PgmlOblSource source = g->combination;
	Search s = {
		.g = g, .source = &source, .room = &g->thread_room[thread], .projection = c->number[block]
	};
	int64_t stride;

	/* It is only read. */
	source.rows.bin =
		(uint8_t *) pgml_obl_ctr_rows(g->ctr, s.projection, g->growth->order, &stride);
	return search_built(&s, g->combination_best + block * pgml_obl_level_bests(g));
}

/* Is the number among the first n? */
static bool
contains(const int32_t *numbers, int32_t n, int32_t number)
{
	for (int32_t i = 0; i < n; i++)
		if (numbers[i] == number)
			return true;
	return false;
}

/* Projections that the tree asks about already, each once. */
static int32_t
list_used(const PgmlOblGrower *g, int32_t *used, int32_t most)
{
	int32_t splits = g->config->depthwise ? pgml_obl_level_leaves(g) - 1 : g->level;
	int32_t n = 0;

	for (int32_t i = 0; i < splits && n < most; i++)
	{
		const PgmlOblSplit *split = &g->tree->split[i];
		int32_t p = split->column / pgml_obl_ctr_width(g->ctr);

		if (split->kind == PGML_OBL_CTR && split->column >= 0 && !contains(used, n, p))
			used[n++] = p;
	}
	return n;
}

/* Search the combinations of the tree's projections with one more feature each. */
static PgmlStatus
search_combinations(PgmlOblGrower *g)
{
	Combinations c = { .g = g };
	int32_t used[PGML_OBL_COMBINATIONS], keep[PGML_OBL_COMBINATIONS];
	int32_t n_used = list_used(g, used, PGML_OBL_COMBINATIONS);
	int32_t n_keep = 0, n = 0;
	int32_t most;

	/* Those of a tree that has too many to list could lose their memory. */
	if (n_used == PGML_OBL_COMBINATIONS)
		return PGML_OK;
	for (int32_t i = 0; i < n_used; i++)
		if (used[i] >= pgml_obl_ctr_single(g->ctr))
			keep[n_keep++] = used[i];
	most = pgml_obl_ctr_room(g->ctr) - n_keep;
	most = most < PGML_OBL_COMBINATIONS ? most : PGML_OBL_COMBINATIONS;
	for (int32_t i = 0; i < n_used; i++)
		PGML_TRY(pgml_obl_ctr_combine(g->env, g->ctr, used[i], c.number, &n, most));
	PGML_TRY(pgml_obl_ctr_provide(g->env, g->ctr, keep, n_keep, c.number, &n));
	for (int32_t i = 0; i < n; i++)
		g->most_buckets = fmax(g->most_buckets, (double) pgml_obl_ctr_buckets(g->ctr, c.number[i]));
	for (int32_t i = 0; i < n * pgml_obl_level_bests(g); i++)
		g->combination_best[i].split.column = -1;
	PGML_TRY(pgml_par_for(g->env, n, search_combination, &c));
	for (int32_t i = 0; i < n; i++)
		for (int32_t l = 0; l < pgml_obl_level_bests(g); l++)
			keep_better(&g->best[l], &g->combination_best[i * pgml_obl_level_bests(g) + l]);
	return PGML_OK;
}

PgmlStatus
pgml_obl_search_level(PgmlOblGrower *g)
{
	for (int32_t l = 0; l < pgml_obl_level_bests(g); l++)
		g->best[l].split.column = -1;
	g->most_buckets = 1;
	for (int32_t p = 0; g->ctr && p < pgml_obl_ctr_single(g->ctr); p++)
		g->most_buckets = fmax(g->most_buckets, (double) pgml_obl_ctr_buckets(g->ctr, p));
	for (int32_t i = 0; i < g->n_sources; i++)
	{
		Search s = { .g = g, .source = &g->source[i], .room = &g->room, .projection = -1 };
		int64_t stride;

		if (s.source->n_columns == 0)
			continue;
		if (s.source->is_ctr)
			s.source->rows.bin =
				(uint8_t *) pgml_obl_ctr_rows(g->ctr, 0, g->growth->order, &stride);
		if (s.source->store)
			PGML_TRY(search_kept(&s, g->best));
		else
			PGML_TRY(search_built(&s, g->best));
	}
	if (g->ctr && pgml_obl_ctr_room(g->ctr) > 0)
		PGML_TRY(search_combinations(g));
	return PGML_OK;
}
