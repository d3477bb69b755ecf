/*
 * oblivious_tree.h - growth of one tree, level by level.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_TREE_H
#define PGML_LEARNER_OBLIVIOUS_TREE_H

#include "learner/oblivious.h"
#include "learner/oblivious_ctr.h"
#include "learner/oblivious_sample.h"

typedef struct PgmlOblGrower PgmlOblGrower;

/* Bytes that a grower takes at least, with histograms of one leaf. */
extern int64_t pgml_obl_grower_size(const PgmlOblConfig *config, int64_t entries, int32_t nfeatures,
									int64_t n, bool combines);

/*
 * A grower for trees over these rows; ctr may be NULL.  pool_bytes bounds the histograms kept from level to level; less memory
 * costs time but changes no result.
 */
extern PgmlStatus pgml_obl_grower_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlOblConfig *config, const PgmlMatrix *x,
										 const PgmlBins *bins, const PgmlGbmRows *rows,
										 PgmlOblCtr *ctr, int n_outputs, int64_t pool_bytes,
										 PgmlOblGrower **out);

/* What a tree is grown from. */
typedef struct PgmlOblGrowth
{
	PgmlOblSample *sample; /* its index is reordered by leaf */
	double mean_weight;    /* of rows */
	double noise;          /* standard deviation of what is added to scores */
	int32_t order;         /* of the statistics of categories */
	const int32_t *table;  /* per projection, >= 0: the model has its statistics already */
	bool full;             /* others must not be asked about */
	uint64_t seed;
} PgmlOblGrowth;

/*
 * Grow a tree without values.  Its depth is less than wanted when no question divides the rows.  *complete is false when the
 * deadline passed before it was finished: the tree is then void.
 */
extern PgmlStatus pgml_obl_grow(PgmlOblGrower *grower, const PgmlOblGrowth *growth,
								PgmlOblTree *tree, bool *complete);

/* Columns of the tree's splits: of the training rows in an order, or (order -1) of other rows of the matrix. */
extern void pgml_obl_columns(const PgmlOblGrower *grower, const PgmlOblTree *tree, int32_t order,
							 const PgmlGbmRows *rows, PgmlOblColumn *column);

#endif
