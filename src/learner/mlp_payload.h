/*
 * mlp_payload.h - the stored form of a network.
 *
 *   PgmlMlpHeader
 *   PgmlMlpFeature feature[nfeatures]
 *   f32 table[table_floats]          of the embeddings, and the knots of ranked numbers
 *   f32 layers: of each hidden layer weights [inputs][padded width], biases and shares of the activation [padded width]; of the
 *       output layer weights [inputs][padded outputs], biases [padded outputs].  Padded to a multiple of PGML_MLP_LANES, and
 *       to a multiple of 8 bytes at the end.
 *
 * A unit: p = bias + sum of input * weight, then p + share * (activation(p) - p).  Factors of inputs, the scale of weights and batch
 * normalisation are multiplied into weights and biases.
 */
#ifndef PGML_LEARNER_MLP_PAYLOAD_H
#define PGML_LEARNER_MLP_PAYLOAD_H

#include <math.h>

#include "learner/mlp.h"

#define PGML_MLP_FORMAT 1u

/* Knots of a ranked number; a power of 2. */
#define PGML_MLP_KNOTS 64

/* No such input. */
#define PGML_MLP_NONE UINT32_MAX

/* Stored in payloads: never renumber. */
typedef enum PgmlMlpKind
{
	PGML_MLP_UNUSED,         /* constant in training */
	PGML_MLP_NUMBER,         /* the scaled number */
	PGML_MLP_PERIODIC,       /* and an embedding of it */
	PGML_MLP_BINARY,         /* two levels: -1, 1; missing: 0 */
	PGML_MLP_ONE_HOT,        /* an input a level; missing: none is 1 */
	PGML_MLP_LEVELS,         /* an embedding of the level; missing has its own */
	PGML_MLP_RANKED,         /* a number by its rank among those learned from */
	PGML_MLP_RANKED_PERIODIC /* and an embedding of that */
} PgmlMlpKind;

static inline bool
pgml_mlp_is_ranked(uint32_t kind)
{
	return kind == PGML_MLP_RANKED || kind == PGML_MLP_RANKED_PERIODIC;
}

static inline bool
pgml_mlp_is_periodic(uint32_t kind)
{
	return kind == PGML_MLP_PERIODIC || kind == PGML_MLP_RANKED_PERIODIC;
}

static inline bool
pgml_mlp_is_number(uint32_t kind)
{
	return kind == PGML_MLP_NUMBER || kind == PGML_MLP_PERIODIC || pgml_mlp_is_ranked(kind);
}

typedef struct PgmlMlpFeature
{
	uint32_t kind;
	uint32_t input;    /* of the number, or of level 0; where there is one */
	uint32_t embedded; /* first input of the embedding */
	uint32_t missing;  /* of numbers: 1 when missing, else 0; PGML_MLP_NONE: no such input */
	uint32_t levels;   /* of categories; of ranked numbers: where their knots begin in the tables */
	uint32_t table;    /* where the embedding's numbers begin */
	double center, factor; /* of numbers that are not ranked */
} PgmlMlpFeature;

typedef struct PgmlMlpHeader
{
	uint32_t format;
	uint32_t n_outputs;
	uint32_t nfeatures;
	uint32_t n_inputs;
	uint32_t hidden_layers;
	uint32_t hidden_width;
	uint32_t activation;
	uint32_t frequencies;
	uint32_t n_embedded; /* numbers that an embedding of a number has besides it */
	uint32_t category_width;
	uint64_t table_floats;
	double center, factor; /* of a regression's output */
	double low, high;      /* it is clipped to */
} PgmlMlpHeader;

typedef struct PgmlMlpView
{
	const PgmlMlpHeader *header;
	const PgmlMlpFeature *feature;
	const float *table;
	const float *layers;
	uint64_t n_floats; /* of tables and layers */
	uint64_t len;      /* that the header asks for; UINT64_MAX: too much */
} PgmlMlpView;

/* Follow a payload's header.  Of a payload that was not verified only len may be used. */
extern PgmlMlpView pgml_mlp_view(const uint8_t *payload);

/* Floats that tables and layers have; UINT64_MAX: too many. */
extern uint64_t pgml_mlp_floats(const PgmlMlpHeader *header);

/* Floats of an embedding of numbers. */
static inline uint32_t
pgml_mlp_table_floats(uint32_t frequencies, uint32_t n_embedded)
{
	return 2 * frequencies + n_embedded * (frequencies + 1);
}

/* A number as the network sees it: scaled, and bent smoothly into (-3, 3); missing stays missing. */
static inline float
pgml_mlp_scale(const PgmlMlpFeature *f, float x)
{
	double z = ((double) x - f->center) * f->factor;

	return (float) (z / sqrt(1 + z * z / 9));
}

/* A level; anything that is none counts as missing, the one after the last. */
static inline uint32_t
pgml_mlp_level(uint32_t levels, float x)
{
	return x >= 0 && x < (float) levels ? (uint32_t) x : levels;
}

#endif
