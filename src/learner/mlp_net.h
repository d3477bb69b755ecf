/*
 * mlp_net.h - a network in training: parameters, their gradients, and what a step keeps of its rows.
 *
 * All parameters lie in one array, in segments that are padded to PGML_MLP_LANES floats: the tables of embeddings, the factors of
 * inputs, and of each layer weights [in][ld], biases, shares of the activation and gains of the normalisation [ld].
 */
#ifndef PGML_LEARNER_MLP_NET_H
#define PGML_LEARNER_MLP_NET_H

#include "core/rng.h"
#include "learner/mlp_input.h"

/* Parameters that are learned alike. */
typedef struct PgmlMlpSegment
{
	int64_t at, n;
	double rate;    /* factor of the learning rate */
	double decay;   /* factor of the weight decay */
	bool penalised; /* weights: L2 penalty */
} PgmlMlpSegment;

typedef struct PgmlMlpLayer
{
	int32_t in, out, ld;
	float scale;                       /* of the products */
	int64_t weight, bias, share, gain; /* places of parameters; -1: there are none */
	float *scaled; /* first layer with factors of inputs: the weights times them */
	float *value;  /* rows x ld: sums, then activations */
	float *slope;  /* rows x ld: derivatives of the activations by the sums */
	float *rest;   /* rows x ld: derivatives by the shares; one row when these are not learned */
	float *hat;    /* rows x ld: normalised sums */
	float *root;   /* normalisation: 1 / deviation in this step [ld] */
	float *mean, *variance; /* and what prediction uses [ld] */
} PgmlMlpLayer;

typedef struct PgmlMlpNet
{
	const PgmlEnv *env;
	const PgmlBlas *blas;
	const PgmlMlpConfig *config;
	const PgmlMlpInput *input;
	int32_t n_outputs;
	int32_t n_layers; /* with the output layer */
	PgmlMlpLayer layer[PGML_MLP_MAX_LAYERS + 1];
	int32_t n_segments;
	PgmlMlpSegment segment[4 * PGML_MLP_MAX_LAYERS + 8];
	int64_t n_parameters;
	int64_t factor; /* place of the factors of inputs; -1: there are none */
	float *parameter, *gradient, *mean,
		*square;       /* and Adam's means of gradients and their squares */
	int64_t most_rows; /* of a step */
	int32_t input_ld;
	float *x;                        /* rows x input_ld: inputs */
	float *delta[2];                 /* rows x widest: gradients of values */
	float *keep;                     /* a row of dropout's factors */
	double dropout;                  /* in this step */
	double momentum;                 /* of the normalisation's means */
	uint32_t random[PGML_MLP_LANES]; /* states of dropout's generators */
	int64_t steps;
} PgmlMlpNet;

/* Rows of a step, at most, when n rows are cut into equal steps. */
extern int64_t pgml_mlp_steps(int64_t n, int batch_size);
extern int64_t pgml_mlp_most_rows(int64_t n, int batch_size);

/* Lay out and allocate; input must outlive it. */
extern PgmlStatus pgml_mlp_net_create(const PgmlEnv *env, PgmlArena *arena,
									  const PgmlMlpConfig *config, const PgmlMlpInput *input,
									  PgmlMlpNet *net);

/* Set n numbers to 0; stops anywhere when the stop flag is set. */
extern void pgml_mlp_clear(const PgmlEnv *env, float *x, int64_t n);

/* Floats of its parameters, and bytes that it takes, at most. */
extern int64_t pgml_mlp_net_memory(const PgmlDataset *data, const PgmlMlpConfig *config,
								   int64_t *n_floats);

/* First parameters, from some encoded rows. */
extern PgmlStatus pgml_mlp_net_init(PgmlMlpNet *net, uint64_t seed, const int32_t *row, int64_t n);

/*
 * Gradient of the mean loss of n encoded rows; PGML_ERR_NUMERIC without a message when it is not finite, else PGML_ERR_CANCELLED.
 */
extern PgmlStatus pgml_mlp_net_gradient(PgmlMlpNet *net, const int32_t *row, int64_t n);

/* A step of Adam against the gradient; decay: of the configured one.  Ends anywhere when the stop flag is set. */
extern void pgml_mlp_net_step(PgmlMlpNet *net, double rate, double decay);

/* The network as a payload, appended to out; without a message PGML_ERR_NUMERIC when a weight is not finite, and PGML_ERR_CANCELLED. */
extern PgmlStatus pgml_mlp_fold(const PgmlMlpNet *net, PgmlBuf *out);

/* ---- mlp_norm.c ---- */

/* Normalise the sums of n rows, and keep the means for prediction; PGML_ERR_CANCELLED without a message. */
extern PgmlStatus pgml_mlp_norm(PgmlMlpNet *net, PgmlMlpLayer *layer, int64_t n);

/* Gradients by the normalised sums become gradients by the sums. */
extern PgmlStatus pgml_mlp_norm_back(PgmlMlpNet *net, PgmlMlpLayer *layer, int64_t n, float *delta);

/* ---- mlp_optim.c ---- */

/* Factors of the learning rate and of dropout and weight decay at a place of the schedule, from 0 to 1. */
extern double pgml_mlp_rate_at(PgmlMlpRates rates, double at);
extern double pgml_mlp_fade_at(bool fade, double at);

/* Added to variances. */
#define PGML_MLP_NORM_EPSILON 1e-5f

#endif
