/*
 * forest_grow.h - a tree while it grows: what a thread works in, and how a node's split is found.
 *
 * A node is a list of items: a record's number times 32 plus how often it was drawn less one (more than 32 times: several items).
 * Parting keeps their order, so the records of each class stay together.  When few items are left their records are copied side
 * by side, where the first cache holds them.
 */
#ifndef PGML_LEARNER_FOREST_GROW_H
#define PGML_LEARNER_FOREST_GROW_H

#include "learner/forest.h"

#define PGML_FOREST_COUNT_BITS 5
#define PGML_FOREST_MAX_COUNT  32

static inline uint32_t
pgml_forest_row(uint32_t item)
{
	return item >> PGML_FOREST_COUNT_BITS;
}

static inline uint32_t
pgml_forest_count(uint32_t item)
{
	return (item & (PGML_FOREST_MAX_COUNT - 1)) + 1;
}

/* Records that items number: all of them, or the copy of some. */
typedef struct PgmlForestRecords
{
	const uint8_t *record;
	const uint32_t *class_start;
	const PgmlForestMoments *value;
} PgmlForestRecords;

/* The items of one class in a node. */
typedef struct PgmlForestSegment
{
	int32_t class;
	uint32_t from, upto; /* items */
	double n;            /* their weight, the class's not counted in */
	double weight;       /* n times the class's weight */
} PgmlForestSegment;

/* Features whose histograms are made together. */
#define PGML_FOREST_GROUP 8

/* How a node is split; which is the best. */
typedef struct PgmlForestSplit
{
	double score;    /* larger is better */
	int32_t feature; /* usable one; -1: there is no split */
	int32_t cut;     /* bytes up to it go left */
	bool missing_left;
} PgmlForestSplit;

/* Weight and class of a drawn record, in the order of a feature's bytes. */
typedef struct PgmlForestEntry
{
	double n;
	uint32_t segment;
	uint32_t byte;
} PgmlForestEntry;

/* A node of the items [from, upto) that waits until its parent's other child is done. */
typedef struct PgmlForestPending
{
	uint32_t from, upto;
	int32_t depth;
	uint32_t parent;
} PgmlForestPending;

/* In place of the number of a node's parent: it is not a second child. */
#define PGML_FOREST_NO_PARENT UINT32_MAX

#define PGML_FOREST_NONE (-1)

/* A node of a tree of a bounded number of leaves: where its items are, and its split if there is one. */
typedef struct PgmlForestPlanned
{
	PgmlForestSplit split;
	double gain;
	uint32_t from, upto;
	int32_t depth;
	int32_t child;   /* the first of two; PGML_FOREST_NONE: a leaf */
	uint32_t parent; /* node of the tree */
} PgmlForestPlanned;

typedef struct PgmlForestPlan
{
	PgmlForestPlanned *node;
	int32_t n_nodes;
	int32_t *open; /* those that can be split, best first; later those that wait */
	int32_t n_open;
} PgmlForestPlan;

/* A distribution of one class that is among the tree's words: leaves of the same weight need it but once. */
typedef struct PgmlForestKnown
{
	double n; /* 0: none */
	int32_t class;
	uint32_t link;
} PgmlForestKnown;

#define PGML_FOREST_KNOWN 256

/* Leaves of a tree that several nodes may share: as many as fit into few cache lines. */
#define PGML_FOREST_SHARED 64

struct PgmlForestGrower
{
	const PgmlForestConfig *config;
	const PgmlForestData *data;
	int64_t most_nodes;
	int32_t features_wanted;
	uint32_t *item;
	uint32_t *other; /* room for parting */
	uint16_t *drawn; /* per record; NULL without bootstrap */
	PgmlForestRecords whole;
	/* the copy of few records */
	uint8_t *few_record;
	uint32_t *few_class_start;
	PgmlForestMoments *few_value;
	/* the node at hand */
	PgmlForestRecords at;
	PgmlForestSegment *segment;
	int32_t n_segments;
	PgmlForestMoments total;
	/* finding a split */
	int32_t *permutation; /* of the features */
	void *cell;           /* histograms */
	double *class_cell;   /* several classes: of one feature */
	double *class_left;   /* weights on the left and on the right, per segment */
	double *class_right;
	PgmlForestEntry *entry;
	int64_t most_entries;
	/* the tree */
	PgmlForestNode *node;
	int64_t n_nodes;
	PgmlBuf word;
	PgmlBuf cover; /* of the leaves, in the order in which they are made: see forest_payload.h */
	PgmlForestPlan plan; /* with max_leaves */
	PgmlForestPending *pending;
	int32_t n_pending;
	PgmlForestNode shared[PGML_FOREST_SHARED];
	uint32_t n_shared;
	PgmlForestKnown known[PGML_FOREST_KNOWN];
	PgmlRng rng;
	/* watching */
	const PgmlEnv *env;
	int64_t work; /* bytes looked at since the clock was read */
	bool finish;  /* the deadline ends the tree with what there is: noted, see core/clock.h */
	bool late;    /* the deadline has passed */
};

/* Note work and now and then look at flag and clock; false when the result is no longer wanted. */
extern bool pgml_forest_go_on(PgmlForestGrower *g, int64_t work);

/* Is each record drawn once, with weight 1, and one random cut tried for each feature? */
static inline bool
pgml_forest_is_simple(const PgmlForestGrower *g)
{
	return g->config->random_cuts && g->data->value == NULL && g->drawn == NULL;
}

/* The classes or numbers of a node's items become those of the node at hand.  *pure: one class, or the same value everywhere. */
extern void pgml_forest_look_at(PgmlForestGrower *g, const uint32_t *item, uint32_t n, bool *pure);

/* Look at a node's items and find its split; split->feature is -1 when it is to be a leaf.  False when stopped. */
extern bool pgml_forest_split_node(PgmlForestGrower *g, const uint32_t *item, uint32_t n,
								   int32_t depth, PgmlForestSplit *split);

/* Part a node's items; how many go left. */
extern uint32_t pgml_forest_part(PgmlForestGrower *g, uint32_t *item, uint32_t n,
								 const PgmlForestSplit *split);

/*
 * Put down a node with a split, whose right child comes next if others_next, and return its number; or the leaf of the node at hand, the
 * second child of node `parent` or PGML_FOREST_NO_PARENT.
 */
extern uint32_t pgml_forest_put_split(PgmlForestGrower *g, const PgmlForestSplit *split,
									  bool others_next);
extern void pgml_forest_make_leaf(PgmlForestGrower *g, uint32_t parent);

/* Grow a tree of config->max_leaves leaves at most from n items, best split first; false when stopped. */
extern bool pgml_forest_grow_best(PgmlForestGrower *g, uint32_t n);

/* Next feature of a random order: the i-th of a node. */
static inline int32_t
pgml_forest_draw_feature(PgmlForestGrower *g, int32_t i)
{
	int32_t n = g->data->n_features;
	int32_t j = i + (int32_t) pgml_rng_below(&g->rng, (uint64_t) (n - i));
	int32_t f = g->permutation[j];

	g->permutation[j] = g->permutation[i];
	g->permutation[i] = f;
	return f;
}

/*
 * The best split of a node of n items over features_wanted features drawn at random, over more while none of them can be split;
 * split->feature is -1 when none of all can.  False when stopped.  The first tries all cuts, or with random_cuts one a
 * feature; the second is for one random cut, classes and weights of 1, each record drawn once.
 */
extern bool pgml_forest_find_split(PgmlForestGrower *g, const uint32_t *item, uint32_t n,
								   PgmlForestSplit *split);
extern bool pgml_forest_find_random(PgmlForestGrower *g, const uint32_t *item, uint32_t n,
									PgmlForestSplit *split);

/* How good two children are of which one has weight n and moment p, of two classes or numbers. */
static inline double
pgml_forest_gini(double n, double p, double right_n, double right_p)
{
	return p * p / n + right_p * right_p / right_n;
}

static inline double
pgml_forest_entropy(double n, double p, double right_n, double right_p)
{
	return pgml_forest_xlogx(p) + pgml_forest_xlogx(n - p) - pgml_forest_xlogx(n) +
		   pgml_forest_xlogx(right_p) + pgml_forest_xlogx(right_n - right_p) -
		   pgml_forest_xlogx(right_n);
}

#endif
