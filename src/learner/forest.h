/*
 * forest.h - what the files of random_forest, extra_trees and decision_tree share.
 *
 * forest_data.c turns the rows into records of bytes, forest_grow.c grows one tree on them (forest_best.c: of few leaves), asking forest_split.c or
 * forest_random.c where to split a node, forest.c grows all trees and writes the payload, whose form is in forest_payload.h.
 */
#ifndef PGML_LEARNER_FOREST_H
#define PGML_LEARNER_FOREST_H

#include "core/rng.h"
#include "learner/forest_payload.h"
#include "learner/learner.h"

typedef enum PgmlForestCriterion
{
	PGML_FOREST_GINI, /* of two classes the same as the squared error */
	PGML_FOREST_ENTROPY,
	PGML_FOREST_SQUARED_ERROR
} PgmlForestCriterion;

/* Settings as numbers of the right type. */
typedef struct PgmlForestConfig
{
	int n_estimators;
	PgmlForestCriterion criterion;
	int max_depth;       /* 0: no bound but PGML_FOREST_DEPTH */
	int max_leaves;      /* 0: no bound, and nodes are split in any order */
	double max_features; /* share, or 0: the square root, or -1: the binary logarithm */
	double min_leaf;     /* rows, by weight */
	double min_split;
	bool bootstrap;
	double max_samples; /* share of the rows */
	double smoothing;   /* rows that are as the whole data, added to each leaf */
	bool balanced;
	bool random_cuts; /* one for each feature that is looked at */
	int max_bin;
} PgmlForestConfig;

extern PgmlForestConfig pgml_forest_read_config(const PgmlLearner *learner, const PgmlDataset *data,
												const PgmlParams *params);

/* The learners' check(). */
extern PgmlStatus pgml_forest_check(const PgmlLearner *learner, const PgmlParams *params,
									PgmlTask task, int n_classes, PgmlError *error);

/* Depth of any tree, at most: it bounds what waits while a tree grows. */
#define PGML_FOREST_DEPTH 4000

/* forest_params.c: the learners' settings. */
#define PGML_RANDOM_FOREST_PARAMS 12
#define PGML_EXTRA_TREES_PARAMS   12
#define PGML_DECISION_TREE_PARAMS 9
extern const PgmlParam pgml_random_forest_params[PGML_RANDOM_FOREST_PARAMS];
extern const PgmlParam pgml_extra_trees_params[PGML_EXTRA_TREES_PARAMS];
extern const PgmlParam pgml_decision_tree_params[PGML_DECISION_TREE_PARAMS];

/* A row's weight n, and n times what is learned: the target's value, or 1 for class 1. */
typedef struct PgmlForestMoments
{
	double n;
	double p;
} PgmlForestMoments;

/* Records are padded to a multiple of this many bytes, which are compared at once. */
#define PGML_FOREST_CHUNK 16

/*
 * The rows to learn from: those with a weight, in the order of their classes.  A record has a byte for each usable feature: 0 when
 * it is missing, else its bin, of a category the rank of its level.
 */
typedef struct PgmlForestData
{
	PgmlTask task;
	int n_classes; /* 1 for regression */
	int64_t n;
	int32_t n_features; /* usable ones */
	int32_t stride;
	int32_t *feature; /* of the matrix, for each usable one */
	uint8_t **rank;   /* of a categorical feature: byte for each bin; NULL for numeric ones */
	uint8_t *record;
	int32_t *position;        /* of a record in the dataset's rows */
	bool any_missing;         /* some byte is 0 */
	uint32_t *class_start;    /* n_classes + 1: first record of each class */
	PgmlForestMoments *value; /* NULL: all weights are 1 and the classes are the target */
	double *class_weight;     /* per class, 1 unless balanced */
	double *prior;            /* shares of the classes, weighted as above */
	double center, scale;     /* regression: target = scale * (center + what is learned) */
} PgmlForestData;

/*
 * Records of the dataset, in arena, for bins of all its rows.  PGML_ERR_DATA when no row has a weight, or weights have no finite
 * sum; PGML_ERR_LIMIT when there are more rows or features than a tree can name.
 */
extern PgmlStatus pgml_forest_data_create(const PgmlEnv *env, PgmlArena *arena,
										  const PgmlDataset *dataset,
										  const PgmlForestConfig *config, const PgmlBins *bins,
										  PgmlForestData **out);

/* Bytes that it takes. */
extern int64_t pgml_forest_data_size(const PgmlDataset *dataset);

/* What one thread needs to grow trees. */
typedef struct PgmlForestGrower PgmlForestGrower;

extern PgmlForestGrower *pgml_forest_grower_create(const PgmlEnv *env, PgmlArena *arena,
												   const PgmlForestConfig *config,
												   const PgmlForestData *data);
extern void pgml_forest_grower_destroy(PgmlForestGrower *grower);
extern int64_t pgml_forest_grower_size(const PgmlForestConfig *config, const PgmlDataset *dataset,
									   int64_t *most_nodes);

/* Bytes that the covers of a tree's leaves take at most, in a buffer that has grown. */
static inline int64_t
pgml_forest_cover_bytes(int64_t nodes)
{
	return nodes / 2 * 10 + 64;
}

/* A grown tree: nodes in the order of the payload, but with cuts between bins; valid until the next one. */
typedef struct PgmlForestTree
{
	const PgmlForestNode *node;
	int64_t n_nodes;
	const uint32_t *word; /* the distributions of its leaves */
	int64_t n_words;
	const uint8_t *cover;
	int64_t cover_bytes;
} PgmlForestTree;

/*
 * How often each of n records is drawn for tree number `number`; begins its stream of random numbers.  False when stopped.
 */
extern bool pgml_forest_draw(const PgmlEnv *env, const PgmlForestConfig *config, int64_t n,
							 int64_t number, PgmlRng *rng, uint16_t *drawn);

/*
 * Predict the rows that trees did not learn from, from the trees in the writer: data->oob_out of the dataset is filled.
 */
extern PgmlStatus pgml_forest_predict_oob(const PgmlEnv *env, const PgmlForestConfig *config,
										  const PgmlForestData *data,
										  const PgmlForestWriter *writer, double *out);

/*
 * Grow tree number `number`, which depends on env->seed and that number alone.  At the deadline: the nodes that are left become
 * leaves when `finish`, else *complete is false.  The message of a failure goes to env->error.
 */
extern PgmlStatus pgml_forest_grow(PgmlForestGrower *grower, const PgmlEnv *env, int64_t number,
								   bool finish, PgmlForestTree *tree, bool *complete);

/* x log x, the same on every processor; 0 for x <= 0. */
extern double pgml_forest_xlogx(double x);

#endif
