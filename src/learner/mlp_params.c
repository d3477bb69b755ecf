/*
 * mlp_params.c - settings of learner `mlp`.  The defaults are those of RealMLP-TD (Holzmüller, Grinsztajn and Steinwart 2024).
 */
#include "learner/mlp.h"

#include <math.h>

enum
{
	PARAM_HIDDEN_LAYERS,
	PARAM_HIDDEN_WIDTH,
	PARAM_ACTIVATION,
	PARAM_PARAMETRIC_ACTIVATION,
	PARAM_PARAMETRIZATION,
	PARAM_BATCH_NORM,
	PARAM_FRONT_SCALE,
	PARAM_NUM_SCALING,
	PARAM_NUM_EMBEDDING,
	PARAM_EMBEDDING_WIDTH,
	PARAM_EMBEDDING_FREQUENCIES,
	PARAM_EMBEDDING_SIGMA,
	PARAM_ONE_HOT_MAX_SIZE,
	PARAM_CATEGORY_WIDTH,
	PARAM_LEARNING_RATE,
	PARAM_LEARNING_RATE_SCHEDULE,
	PARAM_EMBEDDING_RATE,
	PARAM_SCALE_RATE,
	PARAM_BETA_1,
	PARAM_BETA_2,
	PARAM_EPSILON,
	PARAM_WEIGHT_DECAY,
	PARAM_ALPHA,
	PARAM_DROPOUT,
	PARAM_REGULARIZATION_SCHEDULE,
	PARAM_LABEL_SMOOTHING,
	PARAM_BATCH_SIZE,
	PARAM_MAX_ITER,
	PARAM_EARLY_STOPPING_ROUND,
	PARAM_PATH_POSITION,
	N_PARAMS
};

_Static_assert(N_PARAMS == PGML_MLP_N_PARAMS, "the header has another number");

const PgmlParam pgml_mlp_params[PGML_MLP_N_PARAMS] = {
	[PARAM_HIDDEN_LAYERS] = { "hidden_layers", "n_hidden_layers num_layers", PGML_PARAM_INT, 1,
							  PGML_MLP_MAX_LAYERS, 3, false, "Layers between inputs and outputs.",
							  NULL },
	[PARAM_HIDDEN_WIDTH] = { "hidden_width", "hidden_size hidden_layer_size n_units",
							 PGML_PARAM_INT, 1, PGML_MLP_MAX_WIDTH, 256, true,
							 "Units of each of these layers.", NULL },
	[PARAM_ACTIVATION] = { "activation", "act", PGML_PARAM_CHOICE, 0, 5, 0, false,
						   "Function of a unit; `auto`: `selu` for classes, `mish` for numbers.",
						   "auto relu tanh logistic selu mish" },
	[PARAM_PARAMETRIC_ACTIVATION] = { "parametric_activation", "use_parametric_act",
									  PGML_PARAM_BOOL, 0, 1, 1, false,
									  "Each unit learns how much of the function it uses, the rest being "
									  "linear.",
									  NULL },
	[PARAM_PARAMETRIZATION] = { "parametrization", "weight_param", PGML_PARAM_CHOICE, 0, 1, 0,
								false,
								"`ntk`: weights are of size 1, and divided by the square root of the number "
								"of inputs when used; the first ones are fitted to data. `standard`: small "
								"random weights (Glorot), as scikit-learn.",
								"ntk standard" },
	[PARAM_BATCH_NORM] = { "batch_norm", "use_bn", PGML_PARAM_BOOL, 0, 1, 0, false,
						   "Normalise each unit's input over the rows of a step.", NULL },
	[PARAM_FRONT_SCALE] = { "front_scale", "add_front_scale", PGML_PARAM_BOOL, 0, 1, 1, false,
							"Each input has a factor that is learned faster than the weights.",
							NULL },
	[PARAM_NUM_SCALING] = { "num_scaling", NULL, PGML_PARAM_CHOICE, 0, 1, 0, false,
							"How numbers enter: `rank`: the normal quantiles of their ranks; `robust`: centred, "
							"scaled, and outliers bent in.",
							"rank robust" },
	[PARAM_NUM_EMBEDDING] = { "num_embedding", "num_emb_type", PGML_PARAM_CHOICE, 0, 1, 0, false,
							  "`pbld`: numbers enter together with learned periodic functions of them; "
							  "`none`: alone.",
							  "pbld none" },
	[PARAM_EMBEDDING_WIDTH] = { "embedding_width", "plr_hidden_2", PGML_PARAM_INT, 2,
								PGML_MLP_MAX_EMBEDDED, 4, false,
								"Inputs made of a number, itself included.", NULL },
	[PARAM_EMBEDDING_FREQUENCIES] = { "embedding_frequencies", "plr_hidden_1", PGML_PARAM_INT, 1,
									  PGML_MLP_MAX_FREQUENCY, 16, false,
									  "Waves that these are sums of; rounded up to a multiple of 16.",
									  NULL },
	[PARAM_EMBEDDING_SIGMA] = { "embedding_sigma", "plr_sigma", PGML_PARAM_REAL, 1e-4, 1000,
								PGML_WORD(0), true,
								"Standard deviation of the frequencies at first; `auto`: 0.1 for classes; for "
								"numbers the square of the rows / 10000, between 0.1 and 1.",
								"auto" },
	[PARAM_ONE_HOT_MAX_SIZE] = { "one_hot_max_size", "max_one_hot_cat_size", PGML_PARAM_INT, 0, 255,
								 9, false,
								 "Categories with at most this many levels have an input a level; others "
								 "are embedded.",
								 NULL },
	[PARAM_CATEGORY_WIDTH] = { "category_width", "embedding_size", PGML_PARAM_INT, 1,
							   PGML_MLP_MAX_CATEGORY_WIDTH, 8, false,
							   "Numbers that a level of such a category is embedded as.", NULL },
	[PARAM_LEARNING_RATE] = { "learning_rate", "learning_rate_init lr eta", PGML_PARAM_REAL, 1e-7,
							  10, PGML_WORD(0), true,
							  "Size of a step; `auto`: 0.04 for classes; for numbers 0.2 times the rows / "
							  "10000, between 0.07 and 0.2; 0.001 with standard parametrization.",
							  "auto" },
	[PARAM_LEARNING_RATE_SCHEDULE] = { "learning_rate_schedule", "lr_sched", PGML_PARAM_CHOICE, 0,
									   2, 0, false,
									   "How it changes: `coslog4`: four waves from 0 to it and back, each "
									   "twice as long as the one before; `cosine`: falls to 0.",
									   "coslog4 cosine constant" },
	[PARAM_EMBEDDING_RATE] = { "embedding_rate", "plr_lr_factor", PGML_PARAM_REAL, 0, 100, 0.1,
							   false, "Factor of the learning rate for embeddings of numbers.",
							   NULL },
	[PARAM_SCALE_RATE] = { "scale_rate", "scale_lr_factor", PGML_PARAM_REAL, 0, 100, 6, false,
						   "Factor of the learning rate for the factors of inputs.", NULL },
	[PARAM_BETA_1] = { "beta_1", NULL, PGML_PARAM_REAL, 0, 0.9999, 0.9, false,
					   "Memory of Adam's mean of gradients.", NULL },
	[PARAM_BETA_2] = { "beta_2", "sq_mom", PGML_PARAM_REAL, 0, 0.99999, 0.95, false,
					   "Memory of Adam's mean of their squares.", NULL },
	[PARAM_EPSILON] = { "epsilon", NULL, PGML_PARAM_REAL, 1e-12, 1, 1e-8, true,
						"Added to the root of the latter.", NULL },
	[PARAM_WEIGHT_DECAY] = { "weight_decay", "wd", PGML_PARAM_REAL, 0, 10, 0.02, true,
							 "Share of all parameters but biases taken away in each step, times their learning "
							 "rate.",
							 NULL },
	[PARAM_ALPHA] = { "alpha", "reg_lambda lambda_l2 l2", PGML_PARAM_REAL, 0, 1e9, 0, true,
					  "L2 penalty on the weights, as scikit-learn's.", NULL },
	[PARAM_DROPOUT] = { "dropout", "p_drop", PGML_PARAM_REAL, 0, 0.9, 0.15, false,
						"Share of the units left out at random in each step.", NULL },
	[PARAM_REGULARIZATION_SCHEDULE] = { "regularization_schedule", "p_drop_sched wd_sched",
										PGML_PARAM_CHOICE, 0, 1, 0, false,
										"`flat_cos`: dropout and weight decay fade out in the second half.",
										"flat_cos constant" },
	[PARAM_LABEL_SMOOTHING] = { "label_smoothing", "ls_eps", PGML_PARAM_REAL, 0, 0.9, 0, false,
								"Share of a row that is given to all classes alike.", NULL },
	[PARAM_BATCH_SIZE] = { "batch_size", NULL, PGML_PARAM_INT, 1, 8192, 256, true,
						   "Rows of a step, about: an epoch is cut into equal steps.", NULL },
	[PARAM_MAX_ITER] = { "max_iter", "n_epochs epochs iterations n_iter", PGML_PARAM_INT, 1, 100000,
						 256, true,
						 "Passes over the rows; fewer when the time is short, then the schedules "
						 "run faster.",
						 NULL },
	[PARAM_EARLY_STOPPING_ROUND] = { "early_stopping_round",
									 "early_stopping_rounds early_stopping n_iter_no_change",
									 PGML_PARAM_INT, 0, 100000, 0, false,
									 "Stop after this many epochs without a better validation loss; "
									 "0: never. The best epoch is kept anyway.",
									 NULL },
	[PARAM_PATH_POSITION] = { "path_position", NULL, PGML_PARAM_INT, 0, 100000, 0, false,
							  "Stop after this epoch of max_iter; 0: after the last.", NULL },
};

/*
 * What automatic settings of regressions are, as a share of what they are from MANY_ROWS rows on: fewer rows are mostly noise, and
 * fast steps and fine waves learn it.
 */
#define MANY_ROWS 10000.0

static double
by_rows(int64_t n, double least)
{
	return fmin(fmax((double) n / MANY_ROWS, least), 1);
}

PgmlMlpConfig
pgml_mlp_config(const PgmlParams *params, const PgmlDataset *data)
{
	const double *v = params->v;
	bool regression = data->task == PGML_TASK_REGRESSION;
	PgmlMlpConfig c = { .hidden_layers = (int) v[PARAM_HIDDEN_LAYERS],
						.hidden_width = (int) v[PARAM_HIDDEN_WIDTH],
						.activation = (PgmlMlpActivation) ((int) v[PARAM_ACTIVATION] - 1),
						.parametric = v[PARAM_PARAMETRIC_ACTIVATION] != 0,
						.ntk = v[PARAM_PARAMETRIZATION] == 0,
						.batch_norm = v[PARAM_BATCH_NORM] != 0,
						.front_scale = v[PARAM_FRONT_SCALE] != 0,
						.ranks = v[PARAM_NUM_SCALING] == 0,
						.embedded = (int) v[PARAM_EMBEDDING_WIDTH],
						.frequencies = pgml_mlp_pad((int) v[PARAM_EMBEDDING_FREQUENCIES]),
						.sigma = v[PARAM_EMBEDDING_SIGMA],
						.one_hot_max_size = (int) v[PARAM_ONE_HOT_MAX_SIZE],
						.category_width = (int) v[PARAM_CATEGORY_WIDTH],
						.learning_rate = v[PARAM_LEARNING_RATE],
						.embedding_rate = v[PARAM_EMBEDDING_RATE],
						.scale_rate = v[PARAM_SCALE_RATE],
						.rates = (PgmlMlpRates) v[PARAM_LEARNING_RATE_SCHEDULE],
						.beta_1 = v[PARAM_BETA_1],
						.beta_2 = v[PARAM_BETA_2],
						.epsilon = v[PARAM_EPSILON],
						.weight_decay = v[PARAM_WEIGHT_DECAY],
						.alpha = v[PARAM_ALPHA],
						.dropout = v[PARAM_DROPOUT],
						.fade = v[PARAM_REGULARIZATION_SCHEDULE] == 0,
						.batch_size = (int) v[PARAM_BATCH_SIZE],
						.epochs = (int) v[PARAM_MAX_ITER],
						.patience = (int) v[PARAM_EARLY_STOPPING_ROUND],
						.position = (int) v[PARAM_PATH_POSITION],
						.label_smoothing = v[PARAM_LABEL_SMOOTHING] };

	if (v[PARAM_ACTIVATION] == 0)
		c.activation = regression ? PGML_MLP_MISH : PGML_MLP_SELU;
	if (v[PARAM_NUM_EMBEDDING] != 0)
		c.embedded = 1;
	if (c.sigma < 0)
		c.sigma = regression ? fmax(pow(by_rows(data->n, 0), 2), 0.1) : 0.1;
	if (c.learning_rate < 0)
		c.learning_rate = !c.ntk ? 0.001 : regression ? 0.2 * by_rows(data->n, 0.35) : 0.04;
	return c;
}
