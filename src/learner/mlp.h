/*
 * mlp.h - learner `mlp`: feed-forward neural networks for tables; what its files share.
 *
 *   mlp_params.c   settings
 *   mlp_input.c    features as the first layer sees them: scaled numbers and their embeddings, levels
 *   mlp_expand.c   rows as inputs, gradients of embeddings
 *   mlp_net.c      parameters and memory of a network in training
 *   mlp_layer.c    dense layers: forward, backward, first weights
 *   mlp_norm.c     batch normalisation
 *   mlp_optim.c    Adam, schedules
 *   mlp_fold.c     a network in training as a payload
 *   mlp_payload.c  the stored form
 *   mlp_predict.c  prediction, without OpenBLAS
 *   mlp.c          the learner: epochs, the best of them
 */
#ifndef PGML_LEARNER_MLP_H
#define PGML_LEARNER_MLP_H

#include "learner/learner.h"

/* Bounds of what a network may be: predict() keeps layers on the stack. */
#define PGML_MLP_MAX_WIDTH          2048
#define PGML_MLP_MAX_LAYERS         16
#define PGML_MLP_MAX_FREQUENCY      64 /* frequencies of a number's embedding */
#define PGML_MLP_MAX_EMBEDDED       16 /* numbers that a number's embedding consists of */
#define PGML_MLP_MAX_CATEGORY_WIDTH 64

/* Rows of weights are padded with zeros to so many floats: loops over them have no rest. */
#define PGML_MLP_LANES 16

static inline int32_t
pgml_mlp_pad(int32_t n)
{
	return (n + PGML_MLP_LANES - 1) / PGML_MLP_LANES * PGML_MLP_LANES;
}

/* Stored in payloads: never renumber. */
typedef enum PgmlMlpActivation
{
	PGML_MLP_RELU,
	PGML_MLP_TANH,
	PGML_MLP_LOGISTIC,
	PGML_MLP_SELU,
	PGML_MLP_MISH,
	PGML_MLP_N_ACTIVATIONS
} PgmlMlpActivation;

typedef enum PgmlMlpRates
{
	PGML_MLP_COSLOG4, /* four waves, each twice as long as the one before */
	PGML_MLP_COSINE,  /* from 1 to 0 */
	PGML_MLP_CONSTANT
} PgmlMlpRates;

/* The settings, with automatic ones decided. */
typedef struct PgmlMlpConfig
{
	int hidden_layers;
	int hidden_width;
	PgmlMlpActivation activation;
	bool parametric; /* each unit learns how much of its activation it uses */
	bool ntk; /* weights of deviation 1, divided by the root of the number of inputs when used */
	bool batch_norm;
	bool front_scale;
	bool ranks;      /* numbers count by their ranks */
	int embedded;    /* numbers that a number is embedded as, itself included; 1: none */
	int frequencies; /* a multiple of PGML_MLP_LANES */
	double sigma;    /* deviation of the first frequencies */
	int one_hot_max_size;
	int category_width;
	double learning_rate, embedding_rate, scale_rate;
	PgmlMlpRates rates;
	double beta_1, beta_2, epsilon;
	double weight_decay; /* of the weights, times the learning rate */
	double alpha;        /* L2 penalty on the weights, as scikit-learn's */
	double dropout;
	bool fade; /* dropout and weight decay fade out in the second half */
	int batch_size;
	int epochs;
	int patience; /* epochs without a better validation loss; 0: no end */
	int position; /* epoch after which a fit ends; 0: none */
	double label_smoothing;
} PgmlMlpConfig;

#define PGML_MLP_N_PARAMS 30
extern const PgmlParam pgml_mlp_params[PGML_MLP_N_PARAMS];
/* For fits to this data: its task, and the number of rows to learn from. */
extern PgmlMlpConfig pgml_mlp_config(const PgmlParams *params, const PgmlDataset *data);

/* Streams of random numbers. */
enum
{
	PGML_MLP_STREAM_INIT = 0x6d6c7001,
	PGML_MLP_STREAM_ORDER,
	PGML_MLP_STREAM_DROPOUT
};

/* The learner's verify() and predict(). */
extern PgmlStatus pgml_mlp_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
								  PgmlError *err);
extern void pgml_mlp_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							 int64_t n, double *out);

#endif
