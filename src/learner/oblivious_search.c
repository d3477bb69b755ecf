/*
 * oblivious_search.c - the best question on one level of a tree.
 *
 * Histograms of all leaves are made: of the smaller of two siblings from its rows, of the larger what remains of the
 * parent's.  Where memory does not suffice to keep them, each leaf's is made from its rows, one after another: the sums are
 * the same.  Those of combinations of categories are made one combination for each thread.
 *
 * Statistics are in histograms as the codes of their parts, and are taken apart when candidates are added up.
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
	const PgmlEnv *env;
	PgmlOblSource *source;
	PgmlOblRoom *room;
	int32_t projection; /* of statistics: the source's first */
	bool fresh;         /* the store has nothing of the level before */
	int32_t from, upto; /* leaves */
	int64_t blocks;
} Search;

/* What is asked about: a feature, or one statistic of a projection. */
typedef struct Question
{
	PgmlOblKind kind;
	int32_t column;     /* as that of a split */
	int32_t projection; /* of a statistic */
	int n_bins;
	PgmlOblTally tally;
} Question;

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
	PgmlGbmHistJob job = {
		.rows = &search->source->rows,
		.layout = &search->source->layout,
		.gradients = &g->growth->sample->gradients[k],
		.index = g->growth->sample->index + leaf->begin,
		.n = leaf->n,
		.features = search->source->columns,
		.n_features = search->source->n_columns,
		.hist = hist,
		/* Combinations are searched side by side: the parts' memory is for one build at a time. */
		.parts = search->projection < 0 ? g->parts : NULL
	};

	return pgml_gbm_hist_build(search->env, &job);
}

/* Projection of a column of statistics, as the source counts them. */
static int32_t
projection_of(const Search *search, int32_t column)
{
	return search->source->is_ctr ? column / pgml_obl_ctr_parts(search->g->ctr) : 0;
}

/* The statistics that are in a column. */
static PgmlOblPart
part_of(const Search *search, int32_t column)
{
	const PgmlOblCtr *ctr = search->g->ctr;

	return pgml_obl_ctr_part(ctr, column - projection_of(search, column) * pgml_obl_ctr_parts(ctr));
}

/* The first question about a column. */
static Question
question_of(const Search *search, int32_t column)
{
	const PgmlOblGrower *g = search->g;
	const PgmlOblTally *all = &search->room->tally;
	size_t at = search->source->layout.offset[column];
	Question q = { .kind = PGML_OBL_NUMBER,
				   .column = column,
				   .n_bins = search->source->bins.n_bins[column] };

	if (search->source->is_ctr)
	{
		int32_t width = pgml_obl_ctr_width(g->ctr);
		int32_t place = projection_of(search, column) * width + part_of(search, column).first;

		q.kind = PGML_OBL_CTR;
		q.column = search->projection * width + place;
		q.projection = search->projection + projection_of(search, column);
		q.n_bins = PGML_OBL_CTR_BINS;
		at = (size_t) place * PGML_OBL_CTR_BINS;
	}
	else if (g->x->features[column].categorical)
		q.kind = PGML_OBL_LEVEL;
	q.tally = (PgmlOblTally){ all->product + at, all->length + at, all->rows + at };
	return q;
}

/* Go on to the next one, if there is one. */
static void
next_question(Question *q)
{
	q->column++;
	q->tally.product += q->n_bins;
	q->tally.length += q->n_bins;
	q->tally.rows += q->n_bins;
}

/* Questions about a column. */
static int32_t
count_questions(const Search *search, int32_t column)
{
	return search->source->is_ctr ? part_of(search, column).n : 1;
}

/* Forget the sums of a column's candidates. */
static void
clear_column(const Search *search, int32_t column)
{
	Question q = question_of(search, column);
	size_t bytes = (size_t) (q.n_bins * count_questions(search, column)) * sizeof(double);

	memset(q.tally.product, 0, bytes);
	memset(q.tally.length, 0, bytes);
	memset(q.tally.rows, 0, bytes);
}

/* The histograms of the statistics of a part, from that of its codes; n is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
take_apart(int n, const PgmlOblCodes *codes, const PgmlGbmSum *hist,
		   PgmlGbmSum (*sum)[PGML_OBL_CTR_BINS])
{
	memset(sum, 0, (size_t) n * sizeof(*sum));
	for (int32_t c = 0; c < codes->n; c++)
	{
		int value = codes->value[c];

		for (int k = n - 1; k >= 0; k--, value >>= 4)
		{
			sum[k][value & 15].g += hist[c].g;
			sum[k][value & 15].hc += hist[c].hc;
		}
	}
}

/* Add a leaf's histogram to a column's candidates. */
static void
tally_column(const Search *search, int32_t column, int k, const PgmlGbmSum *hist)
{
	const PgmlOblGrower *g = search->g;
	const PgmlGbmScale *scale = &g->growth->sample->gradients[k].scale;
	Question q = question_of(search, column);
	PgmlGbmSum sum[PGML_OBL_PART_STATISTICS][PGML_OBL_CTR_BINS];
	const PgmlOblCodes *codes;
	PgmlOblPart part;

	hist += search->source->layout.offset[column];
	if (q.kind != PGML_OBL_CTR)
	{
		pgml_obl_tally(scale, hist, q.n_bins, q.kind == PGML_OBL_LEVEL, g->l2, &q.tally);
		return;
	}
	part = part_of(search, column);
	codes = pgml_obl_ctr_codes(g->ctr, q.projection,
							   column - projection_of(search, column) *
											pgml_obl_ctr_parts(search->g->ctr));
	if (part.n == 2)
		take_apart(2, codes, hist, sum);
	else if (part.n == 3)
		take_apart(3, codes, hist, sum);
	for (int32_t i = 0; i < part.n; i++, next_question(&q))
		pgml_obl_tally(scale, part.n == 1 ? hist : sum[i], q.n_bins, false, g->l2, &q.tally);
}

/* What a statistic's gain is multiplied by: one that the model does not have yet makes it larger (CatBoost's model_size_reg 0.5). */
static double
size_factor(const PgmlOblGrower *g, const Question *q)
{
	if (q->kind != PGML_OBL_CTR || g->growth->table[q->projection] >= 0)
		return 1;
	return 1 / sqrt(1 + (double) pgml_obl_ctr_buckets(g->ctr, q->projection) / g->most_buckets);
}

/* May it be asked? Of statistics, only those that the model has, when it can have no more. */
static bool
is_open(const PgmlOblGrower *g, const Question *q)
{
	return q->kind != PGML_OBL_CTR || !g->growth->full || g->growth->table[q->projection] >= 0;
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
strike_used(const PgmlOblGrower *g, const Question *q)
{
	for (int32_t d = 0; !g->config->depthwise && d < g->level; d++)
	{
		const PgmlOblSplit *split = &g->tree->split[d];

		if (split->kind == q->kind && split->column == q->column)
			q->tally.rows[split->bin] = 0;
	}
}

/* The best candidate of a question; leaf: the one that is divided, NULL: all. */
static PgmlOblBest
judge(const PgmlOblGrower *g, const Question *q, const PgmlOblLeaf *leaf)
{
	uint64_t number = (uint64_t) q->column * 4 + q->kind;
	int32_t leaf_number = leaf ? (int32_t) (leaf - g->leaf) : 0;
	PgmlOblContest contest = {
		.before = leaf ? leaf->before : g->before,
		.factor = size_factor(g, q),
		.noise = g->growth->noise,
		.seed = pgml_hash_combine(
			pgml_hash_combine(g->growth->seed, (uint64_t) (pgml_obl_level_leaves(g) + leaf_number)),
			number),
		/* Every output counts them. */
		.rows = (double) (leaf ? leaf->n : g->growth->sample->n_drawn) * g->n_outputs,
		.minimum = (leaf ? (double) g->config->min_data : 1) * g->n_outputs
	};
	PgmlOblBest best = { .split = { q->kind, -1, 0 } };

	if (!is_open(g, q) || !is_drawn(g, number))
		return best;
	strike_used(g, q);
	best.split.bin = pgml_obl_best(&q->tally, q->n_bins - (q->kind == PGML_OBL_LEVEL ? 0 : 1),
								   &contest, &best.score);
	if (best.split.bin < 0)
		return best;
	best.split.column = q->column;
	best.pure = pgml_obl_score(q->tally.product[best.split.bin], q->tally.length[best.split.bin]);
	return best;
}

/* The better one is kept; the earlier one when they are equal. */
static void
keep_better(PgmlOblBest *best, const PgmlOblBest *other)
{
	if (other->split.column >= 0 && (best->split.column < 0 || other->score > best->score))
		*best = *other;
}

/* The best candidate of the column that is number `place` of the source's. */
static void
judge_column(const Search *search, int32_t place, const PgmlOblLeaf *leaf)
{
	int32_t column = search->source->columns[place];
	PgmlOblBest *best = &search->room->column[place];

	Question q = question_of(search, column);

	best->split.column = -1;
	for (int32_t i = 0; i < count_questions(search, column); i++, next_question(&q))
	{
		PgmlOblBest other = judge(search->g, &q, leaf);

		keep_better(best, &other);
	}
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

		if (pgml_out_of_time(s->env))
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
				if (leaf->sibling >= 0 && !s->fresh)
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
	if (s->blocks <= 1 || pgml_pool_threads(s->env->pool) == 1)
	{
		s->blocks = 1;
		return fn(s, 0, 0);
	}
	return pgml_par_for(s->env, s->blocks, fn, s);
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
	{
		if (pgml_out_of_time(s->env))
			return PGML_ERR_CANCELLED;
		for (int32_t l = 0; l < pgml_obl_level_leaves(g); l++)
			if (g->leaf[l].n > 0 && (g->leaf[l].build || s->fresh))
				PGML_TRY(build(s, &g->leaf[l], k, stored(g, s->source, k, g->leaf[l].slot)));
	}
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
			if (pgml_out_of_time(s->env))
				return PGML_ERR_CANCELLED;
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
	PgmlEnv alone = *g->env;
	PgmlOblSource source = g->combination;
	int32_t n_bins[PGML_OBL_MAX_PARTS];
	uint32_t offset[PGML_OBL_MAX_PARTS];
	PgmlOblBest *best = g->combination_best + block * pgml_obl_level_bests(g);
	Search s = { .g = g,
				 .env = &alone,
				 .source = &source,
				 .room = &g->thread_room[thread],
				 .projection = c->number[block] };
	int64_t stride;

	/* The parts of a histogram that threads share are not for several combinations. */
	alone.pool = NULL;
	source.bins.n_bins = n_bins;
	source.layout = (PgmlGbmLayout){ .bins = &source.bins, .offset = offset };
	for (int32_t p = 0; p < source.n_columns; p++)
	{
		n_bins[p] = pgml_obl_ctr_codes(g->ctr, s.projection, p)->n;
		offset[p] = source.layout.total;
		source.layout.total += (uint32_t) n_bins[p];
	}
	/* It is only read. */
	source.rows.bin =
		(uint8_t *) pgml_obl_ctr_rows(g->ctr, s.projection, g->growth->order, &stride);
	if (block >= g->n_places)
		source.store = NULL;
	if (source.store == NULL)
		return search_built(&s, best);
	source.store +=
		(size_t) block * (size_t) g->n_slots * (size_t) g->n_outputs * g->combination.layout.total;
	s.fresh = block >= g->n_placed || g->placed[block] != s.projection;
	return search_kept(&s, best);
}

/* What the tree asks about already. */
typedef struct Used
{
	PgmlOblProjection projection[PGML_OBL_COMBINATIONS]; /* each once; of a level, its feature */
	int32_t n;
	int32_t keep[PGML_OBL_COMBINATIONS]; /* combinations among them */
	int32_t n_keep;
} Used;

/* Note a projection, unless it was. */
static void
note_used(const PgmlOblGrower *g, const PgmlOblSplit *split, Used *used)
{
	int32_t p = split->kind == PGML_OBL_CTR ? split->column / pgml_obl_ctr_width(g->ctr) : -1;
	PgmlOblProjection projection = { 1, { split->column } };

	if (p >= 0)
		projection = *pgml_obl_ctr_projection(g->ctr, p);
	for (int32_t i = 0; i < used->n; i++)
		if (memcmp(&used->projection[i], &projection, sizeof(projection)) == 0)
			return;
	used->projection[used->n++] = projection;
	if (p >= pgml_obl_ctr_single(g->ctr))
		used->keep[used->n_keep++] = p;
}

/* List them; when there are too many, as many as there is room for. */
static void
list_used(const PgmlOblGrower *g, Used *used)
{
	int32_t splits = g->config->depthwise ? pgml_obl_level_leaves(g) - 1 : g->level;

	for (int32_t i = 0; i < splits && used->n < PGML_OBL_COMBINATIONS; i++)
	{
		const PgmlOblSplit *split = &g->tree->split[i];

		if (split->kind != PGML_OBL_NUMBER && split->column >= 0)
			note_used(g, split, used);
	}
}

/* Search the combinations of the tree's projections with one more feature each. */
static PgmlStatus
search_combinations(PgmlOblGrower *g)
{
	Combinations c = { .g = g };
	Used used = { .n = 0 };
	int32_t n = 0;
	int32_t most;

	list_used(g, &used);
	/* Those of a tree that has too many to list could lose their memory. */
	if (used.n == PGML_OBL_COMBINATIONS)
		return PGML_OK;
	most = pgml_obl_ctr_room(g->ctr) - used.n_keep;
	most = most < PGML_OBL_COMBINATIONS ? most : PGML_OBL_COMBINATIONS;
	for (int32_t i = 0; i < used.n; i++)
		PGML_TRY(pgml_obl_ctr_combine(g->env, g->ctr, &used.projection[i], c.number, &n, most));
	PGML_TRY(pgml_obl_ctr_provide(g->env, g->ctr, used.keep, used.n_keep, c.number, &n));
	for (int32_t i = 0; i < n; i++)
		g->most_buckets = fmax(g->most_buckets, (double) pgml_obl_ctr_buckets(g->ctr, c.number[i]));
	for (int32_t i = 0; i < n * pgml_obl_level_bests(g); i++)
		g->combination_best[i].split.column = -1;
	PGML_TRY(pgml_par_for(g->env, n, search_combination, &c));
	memcpy(g->placed, c.number, (size_t) n * sizeof(*c.number));
	g->n_placed = n;
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
		Search s = { .g = g, .env = g->env, .source = &g->source[i], .room = &g->room };
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
