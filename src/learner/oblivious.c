/*
 * oblivious.c - learner `oblivious_boosting`: boosted oblivious trees with statistics of categories (Prokhorenkova et al. 2018).
 *
 * A round draws rows, grows one tree on the gradients of the loss at the present scores, gives its leaves values from all
 * rows, and adds them to the scores.  With validation rows it keeps the number of rounds with the least validation loss and
 * gives up after early_stopping_round rounds without a better one.
 *
 * Boosting is plain: what a row's gradient knows of its own target is not removed, only from statistics of categories.
 */
#include "learner/oblivious.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/hash.h"
#include "core/par.h"
#include "learner/gbm_payload.h"
#include "learner/gbm_rounds.h"
#include "learner/oblivious_block.h"
#include "learner/oblivious_leaf.h"
#include "learner/oblivious_payload.h"
#include "learner/oblivious_tree.h"

enum
{
	PARAM_N_ESTIMATORS,
	PARAM_LEARNING_RATE,
	PARAM_DEPTH,
	PARAM_GROW_POLICY,
	PARAM_L2_LEAF_REG,
	PARAM_RANDOM_STRENGTH,
	PARAM_BOOTSTRAP_TYPE,
	PARAM_SUBSAMPLE,
	PARAM_BAGGING_TEMPERATURE,
	PARAM_LEAF_ITERATIONS,
	PARAM_MIN_DATA_IN_LEAF,
	PARAM_RSM,
	PARAM_MAX_BIN,
	PARAM_ONE_HOT_MAX_SIZE,
	PARAM_MAX_CTR_COMPLEXITY,
	PARAM_EARLY_STOPPING,
	PARAM_OBJECTIVE,
	N_PARAMS
};

static const PgmlParam params_table[N_PARAMS] = {
	[PARAM_N_ESTIMATORS] = { "n_estimators",
							 "iterations num_boost_round num_trees num_iterations n_iter max_iter",
							 PGML_PARAM_INT, 1, 100000, 1000, true,
							 "Rounds of boosting, at most; each adds a tree.", NULL },
	[PARAM_LEARNING_RATE] = { "learning_rate", "eta", PGML_PARAM_REAL, 1e-6, 1, PGML_WORD(0), true,
							  "Share of each tree's step that is taken; auto: by the number of rows and of rounds.",
							  "auto" },
	[PARAM_DEPTH] = { "depth", "max_depth", PGML_PARAM_INT, 1, PGML_OBL_MAX_DEPTH, 6, false,
					  "Levels of a tree, at most.", NULL },
	[PARAM_GROW_POLICY] = { "grow_policy", NULL, PGML_PARAM_CHOICE, 0, 1, 0, false,
							"symmetric: all nodes of a level ask the same question; depthwise: each its own.",
							"symmetric depthwise" },
	[PARAM_L2_LEAF_REG] = { "l2_leaf_reg", "reg_lambda lambda_l2 l2_regularization lambda",
							PGML_PARAM_REAL, 0, 1e9, 3, true, "L2 penalty on leaf values.", NULL },
	[PARAM_RANDOM_STRENGTH] = { "random_strength", NULL, PGML_PARAM_REAL, 0, 1e6, 1, false,
								"Noise added to the scores of questions; it fades as the model grows.",
								NULL },
	[PARAM_BOOTSTRAP_TYPE] = { "bootstrap_type", NULL, PGML_PARAM_CHOICE, 0, 4, 0, false,
							   "How rows are drawn to find a tree's questions; auto: bayesian for more than two "
							   "classes, else mvs.",
							   "auto mvs bayesian bernoulli none" },
	[PARAM_SUBSAMPLE] = { "subsample", "bagging_fraction sub_row", PGML_PARAM_REAL, 0.001, 1,
						  PGML_WORD(0), false,
						  "Share of the rows drawn, with mvs and bernoulli; auto: 0.8, less of more than 65,536 rows.",
						  "auto" },
	[PARAM_BAGGING_TEMPERATURE] = { "bagging_temperature", NULL, PGML_PARAM_REAL, 0, 1000, 1, false,
									"How uneven the random weights of rows are, with bayesian; 0: all 1.",
									NULL },
	[PARAM_LEAF_ITERATIONS] = { "leaf_estimation_iterations", NULL, PGML_PARAM_INT, 1, 100,
								PGML_WORD(0), true,
								"Newton steps for leaf values of classes, at most; auto: 10 for two classes, 3 for "
								"more. Those of numbers take one.",
								"auto" },
	[PARAM_MIN_DATA_IN_LEAF] = { "min_data_in_leaf", "min_child_samples min_samples_leaf",
								 PGML_PARAM_INT, 1, 1e9, 1, true,
								 "Rows drawn in a leaf, at least; depthwise only.", NULL },
	[PARAM_RSM] = { "rsm", "colsample_bylevel feature_fraction", PGML_PARAM_REAL, 0.001, 1, 1,
					false, "Share of the features and statistics drawn for each level.", NULL },
	[PARAM_MAX_BIN] = { "max_bin", "max_bins border_count", PGML_PARAM_INT, 2, 255, 255, false,
						"Bins that a feature's values are sorted into, at most.", NULL },
	[PARAM_ONE_HOT_MAX_SIZE] = { "one_hot_max_size", NULL, PGML_PARAM_INT, 1, 254, 2, false,
								 "Categories with at most this many levels are asked for one level only; others "
								 "have statistics of the target, those of up to 10 levels besides.",
								 NULL },
	[PARAM_MAX_CTR_COMPLEXITY] = { "max_ctr_complexity", NULL, PGML_PARAM_INT, 1,
								   PGML_OBL_MAX_COMBINED, 4, false,
								   "Categorical features in a combination, at most; 1: no combinations.",
								   NULL },
	[PARAM_EARLY_STOPPING] = { "early_stopping_round",
							   "early_stopping_rounds early_stopping od_wait n_iter_no_change",
							   PGML_PARAM_INT, 0, 100000, 50, false,
							   "Stop after this many rounds without a better validation loss; 0: never.",
							   NULL },
	[PARAM_OBJECTIVE] = { "objective", "loss", PGML_PARAM_CHOICE, 0, 3, 0, false,
						  "The loss; auto: squared, or for classes logistic or softmax.",
						  "auto squared logistic softmax" },
};

#define STORE_BYTES ((int64_t) 256 << 20) /* histograms kept, at most */
#define CTR_BYTES   ((int64_t) 512 << 20) /* statistics kept, at most */
#define FEW_ROUNDS  20                    /* a model of fewer is not worth having */
#define MANY_ROWS   65536                 /* of more, a smaller share is drawn */

/* One fit. */
typedef struct Fit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	PgmlOblConfig config;
	PgmlArena *arena;
	const PgmlBins *bins;
	PgmlGbmRows rows;
	/*
	 * Scores of the learned rows, for each order of the statistics: a row's statistics differ from order to order, and so
	 * does its way through the trees.  The last order's are those of the model.
	 */
	PgmlGbmTarget target[PGML_OBL_MAX_ORDERS];
	int32_t n_orders;
	PgmlGbmRows valid_rows;
	PgmlGbmTarget valid; /* n = 0: no early stopping */
	PgmlOblSample sample;
	PgmlOblLeaves leaves;
	uint16_t *valid_leaf;
	PgmlOblCtr *ctr; /* NULL: no statistics */
	PgmlOblGrower *grower;
	PgmlOblTree tree;
	PgmlOblColumn *column;
	PgmlOblForest forest;
	uint8_t unseen[PGML_OBL_CTR_BINS];
	uint32_t width;
	double *init; /* the forest's */
	PgmlGbmRounds rounds;
} Fit;

/* ---- settings ---- */

/* exp(a log(n) + b) (T / 1000)^c, at most a half: what CatBoost takes for n rows and T rounds. */
typedef struct Rate
{
	double a, b, c;
} Rate;

static double
automatic_rate(const PgmlDataset *data, int rounds, bool watched)
{
	static const Rate rates[2][3] = {
		{ { 0.158, -4.287, -0.813 }, { 0.408, -7.299, -0.928 }, { 0.051, -2.889, -0.845 } },
		{ { 0.157, -4.062, -0.61 }, { 0.246, -5.127, -0.451 }, { 0.02, -2.364, -0.382 } },
	};
	const Rate *r = &rates[watched][data->task == PGML_TASK_REGRESSION ? 0 :
									data->task == PGML_TASK_BINARY     ? 1 :
																		 2];
	double rate = exp(r->a * log((double) data->n) + r->b) * pow(rounds / 1000.0, r->c);

	return rate < 0.5 ? rate : 0.5;
}

/*
 * The share of n rows that questions are found on: where there are many, their number grows with the root of n.  Leaf values are of all
 * rows, and sampling that follows the gradients loses little (Ibragimov and Gusev 2019 draw a tenth to a half).
 */
static double
automatic_share(int64_t n)
{
	return n <= MANY_ROWS ? 0.8 : 0.8 * sqrt((double) MANY_ROWS / (double) n);
}

/* Settings as numbers of the right type. */
static PgmlOblConfig
read_config(const PgmlDataset *data, const PgmlParams *params)
{
	const double *v = params->v;
	PgmlOblConfig c = { .n_estimators = (int) v[PARAM_N_ESTIMATORS],
						.learning_rate = v[PARAM_LEARNING_RATE],
						.depth = (int) v[PARAM_DEPTH],
						.depthwise = v[PARAM_GROW_POLICY] != 0,
						.l2 = v[PARAM_L2_LEAF_REG],
						.random_strength = v[PARAM_RANDOM_STRENGTH],
						.bootstrap = (PgmlOblBootstrap) v[PARAM_BOOTSTRAP_TYPE],
						.subsample = v[PARAM_SUBSAMPLE],
						.temperature = v[PARAM_BAGGING_TEMPERATURE],
						.leaf_iterations = (int) v[PARAM_LEAF_ITERATIONS],
						.min_data = (int64_t) v[PARAM_MIN_DATA_IN_LEAF],
						.feature_fraction = v[PARAM_RSM],
						.max_bin = (int) v[PARAM_MAX_BIN],
						.one_hot_max_size = (int) v[PARAM_ONE_HOT_MAX_SIZE],
						.max_combined = (int) v[PARAM_MAX_CTR_COMPLEXITY],
						.patience = (int) v[PARAM_EARLY_STOPPING] };
	bool watched = data->valid_rows != NULL && data->n_valid > 0 && c.patience > 0;

	if (c.learning_rate <= 0)
		c.learning_rate = automatic_rate(data, c.n_estimators, watched);
	/* Of more classes, many steps follow the noise of small leaves further than they help. */
	if (c.leaf_iterations <= 0)
		c.leaf_iterations = data->task == PGML_TASK_MULTICLASS ? 3 : 10;
	if (c.subsample <= 0)
		c.subsample = automatic_share(data->n);
	if (c.bootstrap == PGML_OBL_BOOTSTRAP_AUTO)
		c.bootstrap = data->task == PGML_TASK_MULTICLASS ? PGML_OBL_BOOTSTRAP_BAYESIAN :
														   PGML_OBL_BOOTSTRAP_MVS;
	/* Every level must have a bin of its own to be asked for. */
	if (c.one_hot_max_size > c.max_bin - 1)
		c.one_hot_max_size = c.max_bin - 1;
	return c;
}

/* Bytes of a model with as many rounds as it takes for one to be worth having. */
static int64_t
payload_bytes(const PgmlOblConfig *config, int64_t outputs)
{
	int64_t rounds = config->n_estimators < FEW_ROUNDS ? config->n_estimators : FEW_ROUNDS;

	return ((int64_t) 1 << config->depth) * (8 * outputs + 4 + (config->depthwise ? 8 : 1)) *
			   rounds +
		   1024;
}

/* What a fit takes at most, the matrix and the trees excepted; histograms that are kept are given up for want of memory. */
static int64_t
memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	PgmlOblConfig config = read_config(data, params);
	const PgmlBins *bins = pgml_given_bins(data, config.max_bin);
	int64_t nf = data->x->nfeatures;
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t leaves = (int64_t) 1 << config.depth;
	int64_t ctr_bytes = pgml_obl_ctr_size(&config, data);
	int64_t orders = ctr_bytes > 0 ? PGML_OBL_MAX_ORDERS : 1;
	int64_t columns = pgml_obl_ctr_columns(&config, data);
	int64_t entries = 0;
	int64_t bytes, slack;

	for (int64_t f = 0; f < nf; f++)
		entries += bins ? bins->n_bins[f] : config.max_bin + 1;
	/* Features and statistics are searched one after the other, in the same memory. */
	entries = entries < columns * PGML_OBL_CTR_BINS ? columns * PGML_OBL_CTR_BINS : entries;
	bytes = pgml_gbm_rows_size(data->n, data->x->nfeatures, true) +
			pgml_gbm_rows_size(data->n_valid, data->x->nfeatures, false) +
			pgml_gbm_target_size(data, data->w != NULL, data->n) * orders +
			pgml_gbm_target_size(data, data->w != NULL, data->n_valid) +
			pgml_obl_sample_size(&config, data->n, (int) outputs, data->w != NULL) +
			pgml_obl_leaves_size(&config, data->n, (int) outputs) + data->n_valid * 2 +
			pgml_obl_grower_size(&config, entries, data->x->nfeatures + (int32_t) columns, data->n,
								 ctr_bytes > 0) +
			ctr_bytes +
			leaves * (int64_t) (sizeof(PgmlOblColumn) + sizeof(PgmlOblSplit) + 4 + 8 * outputs);
	if (bins == NULL)
		bytes += nf * data->x->nrows;
	*payload = payload_bytes(&config, outputs);
	/* Chunks of the arena, which grow with what is asked for, and the ends of large pages. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	slack = slack < (1 << 20) ? slack : 1 << 20;
	return bytes + (slack > bytes / 16 ? slack : bytes / 16);
}

/* ---- preparing ---- */

/* Rows, targets and scores of both parts of the data. */
static PgmlStatus
prepare_rows(Fit *b)
{
	const PgmlDataset *data = b->data;
	const PgmlEnv *env = b->env;

	PGML_TRY(pgml_gbm_target_create(env, b->arena, data, data->rows, data->n, &b->target[0]));
	if (!(b->target[0].weight > 0))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	pgml_gbm_initial_scores(&b->target[0], b->init);
	pgml_gbm_set_scores(&b->target[0], b->init);
	PGML_TRY(pgml_dataset_bins(env, b->arena, data, b->config.max_bin, &b->bins));
	PGML_TRY(pgml_gbm_rows_create(env, b->arena, b->bins, data->rows, data->n, true, &b->rows));
	if (data->valid_rows == NULL || data->n_valid == 0 ||
		(b->config.patience == 0 && data->valid_out == NULL))
		return PGML_OK;
	PGML_TRY(
		pgml_gbm_target_create(env, b->arena, data, data->valid_rows, data->n_valid, &b->valid));
	if (!(b->valid.weight > 0))
	{
		b->valid.n = 0;
		return PGML_OK;
	}
	pgml_gbm_set_scores(&b->valid, b->init);
	b->valid_leaf = pgml_array(b->arena, (size_t) data->n_valid, sizeof(uint16_t));
	if (b->valid_leaf == NULL)
		return pgml_fail_nomem(env, "validation rows");
	return pgml_gbm_rows_create(env, b->arena, b->bins, data->valid_rows, data->n_valid, false,
								&b->valid_rows);
}

/* Room for one tree. */
static PgmlStatus
prepare_tree(Fit *b, size_t outputs)
{
	size_t leaves = (size_t) 1 << b->config.depth;

	b->tree.split = pgml_array(b->arena, leaves, sizeof(PgmlOblSplit));
	b->tree.value = pgml_array(b->arena, leaves * outputs, sizeof(double));
	b->tree.cover = pgml_array(b->arena, leaves, sizeof(float));
	b->column = pgml_array(b->arena, leaves, sizeof(PgmlOblColumn));
	if (!b->tree.split || !b->tree.value || !b->tree.cover || !b->column)
		return pgml_fail_nomem(b->env, "trees");
	return PGML_OK;
}

/* Bytes that are not needed for the statistics, which take so many, for the grower, and for a few trees. */
static int64_t
spare_bytes(const Fit *b, int64_t statistics)
{
	int64_t entries = 0;
	int64_t left = pgml_budget_left(b->env->budget);

	for (int32_t f = 0; f < b->bins->nfeatures; f++)
		entries += b->bins->n_bins[f];
	left -= statistics +
			pgml_obl_grower_size(&b->config, entries, b->bins->nfeatures, b->data->n,
								 pgml_obl_ctr_size(&b->config, b->data) > 0) +
			payload_bytes(&b->config, b->target[0].n_outputs);
	return left > 0 ? left : 0;
}

/* Statistics of categories, if any feature has them. */
static PgmlStatus
prepare_ctr(Fit *b)
{
	int64_t extra = spare_bytes(b, pgml_obl_ctr_size(&b->config, b->data)) / 4;
	size_t projections;

	b->width = 1;
	b->n_orders = 1;
	PGML_TRY(pgml_obl_ctr_create(b->env, b->arena, &b->config, b->data, &b->target[0],
								 extra < CTR_BYTES ? extra : CTR_BYTES, &b->ctr));
	if (b->ctr == NULL)
		return PGML_OK;
	b->width = (uint32_t) pgml_obl_ctr_width(b->ctr);
	b->n_orders = pgml_obl_ctr_orders(b->ctr);
	for (int32_t o = 1; o < b->n_orders; o++)
	{
		PGML_TRY(pgml_gbm_target_create(b->env, b->arena, b->data, b->data->rows, b->data->n,
										&b->target[o]));
		pgml_gbm_set_scores(&b->target[o], b->init);
	}
	pgml_obl_ctr_unseen(b->ctr, b->unseen);
	projections = (size_t) pgml_obl_ctr_most(b->ctr);
	b->forest.given = pgml_array(b->arena, projections, sizeof(int32_t));
	if (b->forest.given == NULL)
		return pgml_fail_nomem(b->env, "statistics of categories");
	memset(b->forest.given, 0xff, projections * sizeof(int32_t));
	return PGML_OK;
}

/* Everything that is allocated before the first round. */
static PgmlStatus
prepare(Fit *b)
{
	const PgmlEnv *env = b->env;
	size_t outputs = (size_t) pgml_task_outputs(b->data->task, b->data->n_classes);
	int64_t store;

	pgml_buf_put(&b->forest.init, NULL, outputs * sizeof(double));
	if (b->forest.init.failed)
		return pgml_fail_nomem(env, "the model");
	b->init = (double *) b->forest.init.data;
	PGML_TRY(prepare_rows(b));
	PGML_TRY(prepare_tree(b, outputs));
	PGML_TRY(pgml_obl_sample_create(env, b->arena, &b->config, &b->target[0], &b->sample));
	PGML_TRY(
		pgml_obl_leaves_create(env, b->arena, &b->config, b->data->n, (int) outputs, &b->leaves));
	PGML_TRY(prepare_ctr(b));
	store = spare_bytes(b, 0) / 2;
	store = store < STORE_BYTES ? store : STORE_BYTES;
	return pgml_obl_grower_create(env, b->arena, &b->config, b->data->x, b->bins, &b->rows, b->ctr,
								  (int) outputs, store, &b->grower);
}

/* ---- boosting ---- */

/* Standard deviation of the noise on scores: it fades when the model has taken as many steps as log(n) asks for. */
static double
noise_of(const Fit *b, int round)
{
	double left = exp(log((double) b->data->n) - round * b->config.learning_rate);

	return b->config.random_strength * b->sample.deviation * left / (1 + left);
}

/* Leaf values from all rows, and the scores of both parts; order: the one that the round's gradients are of. */
static PgmlStatus
add_tree(Fit *b, int32_t order)
{
	const PgmlEnv *env = b->env;

	for (int32_t o = 0; o < b->n_orders; o++)
	{
		PgmlGbmTarget *target = &b->target[o];

		pgml_obl_columns(b->grower, &b->tree, o, &b->rows, b->column);
		PGML_TRY(pgml_obl_find_leaves(env, &b->tree, b->column, target->n, b->leaves.leaf));
		PGML_TRY(pgml_obl_set_values(env, &b->config, target, o == order ? b->sample.g : NULL,
									 &b->leaves, &b->tree));
		PGML_TRY(pgml_obl_add_values(env, &b->tree, b->leaves.leaf, target));
	}
	/* Found last: the leaves in the order that is the model's. */
	PGML_TRY(pgml_obl_set_covers(env, &b->target[0], &b->leaves, &b->tree));
	if (b->valid.n > 0)
	{
		pgml_obl_columns(b->grower, &b->tree, -1, &b->valid_rows, b->column);
		PGML_TRY(pgml_obl_find_leaves(env, &b->tree, b->column, b->valid.n, b->valid_leaf));
		PGML_TRY(pgml_obl_add_values(env, &b->tree, b->valid_leaf, &b->valid));
	}
	return pgml_obl_forest_add(env, &b->forest, &b->tree, b->target[0].n_outputs, b->bins, b->ctr);
}

/* The order that the round's questions are found in: not the last, when there are others. */
static int32_t
choose_order(const Fit *b, uint64_t seed)
{
	uint64_t bits = pgml_hash_combine(seed, PGML_OBL_STREAM_CHOICE);

	return b->n_orders > 1 ? (int32_t) (bits % (uint64_t) (b->n_orders - 1)) : 0;
}

/* One round; *split: its tree has one.  Out of time: it does not count. */
static PgmlStatus
boost_round(void *arg, int round, bool *split)
{
	Fit *b = arg;
	const PgmlEnv *env = b->env;
	uint64_t seed =
		pgml_hash_combine(env->seed, (uint64_t) PGML_OBL_STREAM_ROUND << 32 | (uint64_t) round);
	const PgmlGbmTarget *first = &b->target[0];
	PgmlOblGrowth growth = { .sample = &b->sample,
							 .mean_weight = first->weight / (double) first->n,
							 .order = choose_order(b, seed),
							 .table = b->forest.given,
							 .full = pgml_obl_forest_is_full(&b->forest, b->width,
															 b->data->max_payload),
							 .seed = pgml_hash_combine(seed, PGML_OBL_STREAM_NOISE) };
	bool complete;

	for (int32_t o = 0; o < b->n_orders; o++)
		PGML_TRY(pgml_gbm_prepare_round(env, &b->target[o]));
	PGML_TRY(pgml_obl_sample_round(env, &b->config, &b->target[growth.order],
								   pgml_hash_combine(seed, PGML_OBL_STREAM_SAMPLE), &b->sample));
	*split = false;
	if (b->sample.flat)
		return PGML_OK;
	growth.noise = noise_of(b, round);
	PGML_TRY(pgml_obl_grow(b->grower, &growth, &b->tree, &complete));
	b->rounds.out_of_time = pgml_clock_ends(env, !complete);
	*split = !b->rounds.out_of_time && b->tree.depth > 0;
	if (!*split)
		return PGML_OK;
	PGML_TRY(add_tree(b, growth.order));
	if (b->data->max_payload == 0 || pgml_obl_forest_bytes(&b->forest) <= b->data->max_payload)
		return PGML_OK;
	return pgml_fail(env->error, PGML_ERR_LIMIT, "not enough memory for trees");
}

/* ---- the result ---- */

/* Write the trees of some rounds. */
static PgmlStatus
encode(void *arg, int rounds, PgmlBuf *payload)
{
	Fit *b = arg;
	PgmlOblHeader header = { .n_outputs =
								 (uint32_t) pgml_task_outputs(b->data->task, b->data->n_classes),
							 .depthwise = b->config.depthwise,
							 .max_bin = (uint32_t) b->config.max_bin,
							 .width = b->width };

	return pgml_obl_encode(b->env, &b->forest, rounds, &header, b->unseen, payload);
}

/* How the rounds are done: one that finds nothing to ask ends the training. */
static PgmlGbmRounds
plan_rounds(Fit *b)
{
	return (PgmlGbmRounds){ .env = b->env,
							.valid = &b->valid,
							.out = b->data->valid_out,
							.patience = b->config.patience,
							.most = b->config.n_estimators,
							.boost = boost_round,
							.encode = encode,
							.arg = b };
}

/* The losses are those that auto stands for: all that a word does is to be refused for another task. */
static PgmlStatus
check(const PgmlLearner *self, const PgmlParams *params, PgmlTask task, int n_classes,
	  PgmlError *err)
{
	static const PgmlGbmObjective objectives[] = { PGML_GBM_AUTO, PGML_GBM_SQUARED,
												   PGML_GBM_LOGISTIC, PGML_GBM_SOFTMAX };

	(void) self;
	return pgml_gbm_check_loss(objectives[(int) params->v[PARAM_OBJECTIVE]], task, n_classes, err);
}

static PgmlStatus
fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *out)
{
	Fit b = { .env = env, .data = data, .config = read_config(data, params) };
	PgmlStatus status;

	if (data->n < 1)
		return pgml_fail(env->error, PGML_ERR_DATA, "there are no rows to learn from");
	PGML_TRY(check(NULL, params, data->task, data->n_classes, env->error));
	out->learning_rate = params->v[PARAM_LEARNING_RATE] > 0 ? 0 : b.config.learning_rate;
	b.arena = pgml_arena_create(env->budget);
	if (b.arena == NULL)
		return pgml_fail_nomem(env, "oblivious_boosting");
	pgml_obl_forest_init(&b.forest, env->budget);
	status = prepare(&b);
	b.rounds = plan_rounds(&b);
	/* The deadline ends the statistics of categories, too: a model without trees is what there is. */
	b.rounds.out_of_time = pgml_clock_ends(env, status == PGML_ERR_CANCELLED && !pgml_stopped(env));
	if (b.rounds.out_of_time)
	{
		status = PGML_OK;
		b.width = 1; /* without trees no statistics are asked for */
		memset(b.unseen, 0, sizeof(b.unseen));
	}
	else if (status == PGML_OK)
		status = pgml_gbm_boost(&b.rounds);
	if (status == PGML_OK && b.rounds.predicted)
		pgml_gbm_link(data->task, PGML_GBM_LINK_TASK, b.valid.n_outputs, b.init, b.valid.n,
					  data->valid_out);
	/* What only growing needs makes room for the payload. */
	pgml_arena_destroy(b.arena);
	if (status == PGML_OK)
		status = pgml_gbm_write(&b.rounds, out);
	pgml_obl_forest_free(&b.forest);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : status;
}

const PgmlLearner pgml_learner_oblivious_boosting = {
	.name = "oblivious_boosting",
	.summary =
		"Boosted trees that ask one question a level, with statistics of the target for categories and their "
		"combinations; needs little tuning.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = false,
	.params = params_table,
	.n_params = N_PARAMS,
	.check = check,
	.memory = memory,
	.fit = fit,
	.verify = pgml_obl_verify,
	.predict = pgml_obl_predict,
	.prepare = pgml_obl_prepare,
	.prepared_size = pgml_obl_prepared_size,
	.scratch = pgml_obl_scratch,
	.predict_block = pgml_obl_predict_block,
	.explains_scores = true,
	.trees = pgml_obl_trees,
};
