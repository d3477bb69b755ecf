/*
 * oblivious_grower.h - what oblivious_tree.c and oblivious_search.c share: the tree that is being grown.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_GROWER_H
#define PGML_LEARNER_OBLIVIOUS_GROWER_H

#include "learner/oblivious_split.h"
#include "learner/oblivious_tree.h"

/* Combinations looked at on a level, at most. */
#define PGML_OBL_COMBINATIONS 64

#define PGML_OBL_SOURCES 2

/* Columns whose histograms are made together. */
typedef struct PgmlOblSource
{
	PgmlGbmRows rows;
	PgmlBins bins; /* n_bins of each column */
	PgmlGbmLayout layout;
	int32_t *columns;
	int32_t n_columns;
	bool is_ctr; /* columns are the parts of statistics, projection after projection */
	/* Histograms kept, [(output * slots + slot) * layout.total]; NULL: one of one leaf. */
	PgmlGbmSum *store;
} PgmlOblSource;

/* The best question so far. */
typedef struct PgmlOblBest
{
	double score;       /* what it is compared by */
	double pure;        /* without noise and factor */
	PgmlOblSplit split; /* column -1: none */
} PgmlOblBest;

/* What one search works in. */
typedef struct PgmlOblRoom
{
	PgmlOblTally tally;
	PgmlGbmSum *hist;    /* of one leaf */
	PgmlOblBest *column; /* per column of a source */
} PgmlOblRoom;

typedef struct PgmlOblLeaf
{
	int64_t begin; /* its rows are index[begin .. begin + n - 1] */
	int64_t n;
	int32_t slot;    /* of its histograms */
	int32_t sibling; /* slot that is to be taken out of them first, -1: none */
	bool build;
	double before; /* depth-wise: its score undivided */
} PgmlOblLeaf;

struct PgmlOblGrower
{
	const PgmlEnv *env;
	const PgmlOblConfig *config;
	const PgmlMatrix *x;
	const PgmlBins *bins;
	PgmlOblCtr *ctr;
	int n_outputs;
	PgmlOblSource source[PGML_OBL_SOURCES];
	int32_t n_sources;
	PgmlOblSource combination; /* columns of any, with as many bins as they can have */
	int32_t n_places; /* combinations whose histograms are kept together, those found first */
	int32_t n_placed; /* of the level before: their numbers */
	int32_t placed[PGML_OBL_COMBINATIONS];
	PgmlOblRoom room;
	PgmlOblRoom *thread_room; /* for combinations */
	PgmlGbmSum *parts;
	int32_t n_slots;
	int32_t slots_used;
	PgmlOblLeaf *leaf; /* of the level */
	PgmlOblLeaf *next;
	PgmlOblBest *best;             /* of the level: of all leaves, or of each */
	PgmlOblBest *combination_best; /* the same of each combination */
	int32_t *other;                /* rows on their way to the right */
	/* Of the tree that is grown: */
	const PgmlOblGrowth *growth;
	PgmlOblTree *tree;
	int32_t level;
	double l2;
	double before;
	double most_buckets;
};

/* Leaves of the level. */
static inline int32_t
pgml_obl_level_leaves(const PgmlOblGrower *g)
{
	return 1 << g->level;
}

/* Bests of a level: one of all leaves, or one of each. */
static inline int32_t
pgml_obl_level_bests(const PgmlOblGrower *g)
{
	return g->config->depthwise ? 1 << g->level : 1;
}

/*
 * The best question of all leaves of the level (g->best[0]), or, depth-wise, of each.  PGML_ERR_CANCELLED when stopped, or when the
 * deadline came first.
 */
extern PgmlStatus pgml_obl_search_level(PgmlOblGrower *g);

#endif
