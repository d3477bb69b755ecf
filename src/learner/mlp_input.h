/*
 * mlp_input.h - what the first layer sees of rows in training.
 *
 * Encoded rows lie row after row, a float a used feature: the scaled number (NaN: missing), or the level.  For a step they are
 * expanded to inputs; embeddings come first, so that only their columns need gradients of the inputs.
 */
#ifndef PGML_LEARNER_MLP_INPUT_H
#define PGML_LEARNER_MLP_INPUT_H

#include "core/rng.h"
#include "learner/mlp_payload.h"

typedef struct PgmlMlpInput
{
	const PgmlDataset *data;
	PgmlMlpFeature *
		feature; /* per feature of the matrix, as stored; table: in the parameters from their begin on */
	int32_t n_used;
	int32_t *used; /* features that have inputs */
	int32_t n_inputs;
	int32_t n_embedded; /* of them: made by embeddings */
	int32_t frequencies, number_width, category_width;
	int64_t number_floats; /* parameters of embeddings of numbers, */
	int64_t level_floats;  /* after them those of levels */
	int64_t knot_floats;
	float *knots; /* of ranked numbers, one after another */
	int32_t *row; /* rows with a weight */
	int64_t n;
	float *encoded; /* n x n_used */
	/* Of a regression: (target / unit - mean) / deviation is what the network predicts. */
	double unit, mean, deviation;
	double low, high; /* range of the targets */
	double mean_weight;
} PgmlMlpInput;

/* Phases are learned in radians, and stored in turns: a radian. */
#define PGML_MLP_TURN 0.159154943f

/* Measure features and target, and encode the rows.  PGML_ERR_DATA when no row has a weight. */
extern PgmlStatus pgml_mlp_input(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
								 const PgmlMlpConfig *config, PgmlMlpInput *input);

/* Bytes of that, at most. */
extern int64_t pgml_mlp_input_memory(const PgmlDataset *data, const PgmlMlpConfig *config);

/* Inputs, and floats of embeddings, at most. */
extern void pgml_mlp_most_inputs(const PgmlDataset *data, const PgmlMlpConfig *config,
								 int64_t *n_inputs, int64_t *number_floats, int64_t *level_floats);

/* First values of the embeddings' parameters.  This and the next two: PGML_ERR_CANCELLED without a message. */
extern PgmlStatus pgml_mlp_init_tables(const PgmlEnv *env, const PgmlMlpInput *input, double sigma,
									   PgmlRng *rng, float *table);

/* Inputs of n encoded rows: x has ld floats a row. */
extern PgmlStatus pgml_mlp_expand(const PgmlEnv *env, const PgmlMlpInput *input, const float *table,
								  const int32_t *row, int64_t n, float *x, int64_t ld);

/* Add to the gradient of the tables what the gradients dx of the first n_embedded inputs say, ld floats a row. */
extern PgmlStatus pgml_mlp_expand_back(const PgmlEnv *env, const PgmlMlpInput *input,
									   const float *table, const int32_t *row, int64_t n,
									   const float *dx, int64_t ld, float *gradient);

#endif
