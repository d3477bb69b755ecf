/*
 * gbm_payload.h - the stored form of a boosted model.
 *
 *   PgmlGbmHeader
 *   f64 init[n_outputs]         score before the first tree
 *   u32 first[n_trees + 1]      number of each tree's first node; padded to a multiple of 8
 *   PgmlGbmNode16 node[n_nodes] tree after tree, children after their parents
 *   f64 value[n_nodes + n_trees] leaf values; a tree of m nodes has m + 1 leaves
 *   u32 set[n_words]            sets of the categorical nodes; padded to a multiple of 8
 *   f32 cover[n_nodes + n_trees] rows that each leaf was grown from, by their weights; padded to a multiple of 8; not in format 1
 *
 * Tree t adds to output t % n_outputs; regression adds up the trees first and the initial score last.  The score becomes
 * a probability by the logistic function or softmax; in regression it is the prediction, or its logarithm.
 */
#ifndef PGML_LEARNER_GBM_PAYLOAD_H
#define PGML_LEARNER_GBM_PAYLOAD_H

#include "learner/gbm.h"
#include "learner/gbm_tree.h"

#define PGML_GBM_FORMAT           2
#define PGML_GBM_FORMAT_NO_COVERS 1 /* still read; explanations need the covers */

/* What predictions are made from scores by: what the task says, or (regression) the exponential function. */
#define PGML_GBM_LINK_TASK 0
#define PGML_GBM_LINK_LOG  1

typedef struct PgmlGbmHeader
{
	uint32_t format;
	uint32_t n_outputs;
	uint32_t n_trees;
	uint32_t n_nodes;
	uint32_t n_words;
	uint16_t max_bin; /* levels from max_bin - 1 on are one */
	uint16_t link;    /* PGML_GBM_LINK_*; 0 in images older than the others */
} PgmlGbmHeader;

#define PGML_GBM_CATEGORICAL  0x80000000u
#define PGML_GBM_MISSING_LEFT 0x40000000u /* numeric only: a set tells where missing goes */
#define PGML_GBM_FEATURE      0x3fffffffu

/* Sixteen bytes a node: four to a cache line. */
typedef struct PgmlGbmNode16
{
	uint32_t feature; /* and flags */
	union
	{
		float threshold; /* numeric: x <= threshold goes left */
		uint32_t word;   /* categorical: first word of the set; bit b: bin b goes left */
	} u;
	int32_t left; /* >= 0: node of the tree; < 0: leaf ~left of the tree */
	int32_t right;
} PgmlGbmNode16;

/* Pointers into a payload. */
typedef struct PgmlGbmView
{
	const PgmlGbmHeader *header;
	const double *init;
	const uint32_t *first;
	const PgmlGbmNode16 *node;
	const double *value;
	const uint32_t *word;
	const float *cover; /* NULL in format 1 */
	uint64_t len;       /* that the header asks for */
} PgmlGbmView;

/* Nodes of tree t, and its leaf values and, where stored, their covers: one more than nodes. */
static inline uint32_t
pgml_gbm_tree_nodes(const PgmlGbmView *v, uint32_t t)
{
	return v->first[t + 1] - v->first[t];
}

static inline const double *
pgml_gbm_leaf_values(const PgmlGbmView *v, uint32_t t)
{
	return v->value + v->first[t] + t;
}

/* Bin of a categorical value: those of data/bins.h, so 0 for what is missing or no level. */
static inline uint32_t
pgml_gbm_level_bin(float x, int32_t n_levels, uint32_t max_bin)
{
	if (!(x >= 0 && x < (float) n_levels))
		return 0;
	return ((uint32_t) x < max_bin - 1 ? (uint32_t) x : max_bin - 1) + 1;
}

/* Words of a set over these bins: at most PGML_GBM_SET_WORDS. */
static inline uint32_t
pgml_gbm_set_words(int32_t n_levels, uint32_t max_bin)
{
	uint32_t levels = (uint32_t) n_levels < max_bin ? (uint32_t) n_levels : max_bin;

	return levels / 32 + 1;
}

/* Trees on their way to a payload. */
typedef struct PgmlGbmForest
{
	PgmlBuf init; /* f64: score before the first tree, per output */
	uint16_t link;
	PgmlBuf node;
	PgmlBuf value;
	PgmlBuf word;
	PgmlBuf cover; /* f32 per leaf */
	PgmlBuf end;   /* u32 pairs per tree: nodes and words up to its end */
} PgmlGbmForest;

extern void pgml_gbm_forest_init(PgmlGbmForest *forest, PgmlBudget *budget);
extern void pgml_gbm_forest_free(PgmlGbmForest *forest);
extern int64_t pgml_gbm_forest_size(const PgmlGbmForest *forest); /* trees */

/* Bytes of the payload that the trees would make. */
extern int64_t pgml_gbm_forest_bytes(const PgmlGbmForest *forest);

/* Append a tree; PGML_ERR_LIMIT when there are too many nodes to number. */
extern PgmlStatus pgml_gbm_forest_add(const PgmlEnv *env, PgmlGbmForest *forest,
									  const PgmlGbmTree *tree, const PgmlBins *bins);

/*
 * Turn the forest, cut to its first n_trees trees, into a payload in its own memory, which then is out's; out must be
 * empty.  When memory does not suffice the forest is as before, and fewer trees may be tried.
 */
extern PgmlStatus pgml_gbm_encode(const PgmlEnv *env, PgmlGbmForest *forest, int64_t n_trees,
								  int max_bin, PgmlBuf *out);

/* Follow a payload's header.  Of a payload that was not verified only len may be used. */
extern PgmlGbmView pgml_gbm_view(const uint8_t *payload);

/* Turn the scores of n rows, row by row, into predictions. */
extern void pgml_gbm_link(PgmlTask task, int link, int n_outputs, const double *init, int64_t n,
						  double *out);

/* The learner's verify() and predict(). */
extern PgmlStatus pgml_gbm_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
								  PgmlError *err);
extern void pgml_gbm_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							 int64_t n, double *out);

/* The learner's trees(), in gbm_trees.c. */
extern PgmlStatus pgml_gbm_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
								 const PgmlShape *shape, PgmlTrees *out);

#endif
