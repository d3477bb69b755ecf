/*
 * oblivious_sample.h - gradients of a round, and the rows that a tree's structure is found on.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_SAMPLE_H
#define PGML_LEARNER_OBLIVIOUS_SAMPLE_H

#include "learner/oblivious.h"

/*
 * Made once for a set of rows, filled anew for each round.  Rows are drawn to find the tree's splits only; leaf values are
 * of all rows.
 */
typedef struct PgmlOblSample
{
	int64_t n;
	int n_outputs;
	double *g;      /* g[k * n + i]: derivative of the loss of row i in score k, at weight 1 */
	double *weight; /* of each row in the tree, 0: not drawn; NULL: all 1 */
	int32_t *index; /* rows drawn, ascending */
	int64_t n_drawn;
	PgmlGbmGradients *gradients; /* per output */
	double deviation;            /* root of the weighted mean of the squared lengths of g */
	bool flat;                   /* all derivatives are 0, up to rounding error */
	double *partial;             /* PGML_OBL_PARTIALS numbers per block and output */
	double largest_first;        /* largest |g| in the first round */
	bool never_pack;
} PgmlOblSample;

/* Bytes that pgml_obl_sample_create() takes. */
extern int64_t pgml_obl_sample_size(const PgmlOblConfig *config, int64_t n, int n_outputs,
									bool weighted);

extern PgmlStatus pgml_obl_sample_create(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlOblConfig *config, const PgmlGbmTarget *target,
										 PgmlOblSample *out);

/*
 * Derivatives at the present scores, rows drawn with `seed`, and their gradients as integers: g times the weight, and
 * the weight in the place of h.  Softmax: the round must have been prepared.  PGML_ERR_NUMERIC when they are too large for
 * double precision.
 */
extern PgmlStatus pgml_obl_sample_round(const PgmlEnv *env, const PgmlOblConfig *config,
										const PgmlGbmTarget *target, uint64_t seed,
										PgmlOblSample *sample);

#endif
