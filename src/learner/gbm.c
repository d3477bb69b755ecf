/*
 * gbm.c - learner `gradient_boosting`: gradient-boosted trees over histograms (Friedman 2001; Ke et al. 2017).
 *
 * A round fixes the gradients of the loss at the present scores, grows one tree per output on them, and adds the
 * trees' leaf values to the scores.  With validation rows it keeps the number of rounds with the least validation loss
 * and gives up after early_stopping_round rounds without a better one.
 */
#include "learner/gbm.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/rng.h"
#include "learner/gbm_apply.h"
#include "learner/gbm_block.h"
#include "learner/gbm_sample.h"
#include "learner/gbm_hist.h"
#include "learner/gbm_loss.h"
#include "learner/gbm_payload.h"
#include "learner/gbm_tree.h"

#define POOL_BYTES ((int64_t) 256 << 20)
#define MAX_EMPTY_ROUNDS                                                                           \
	10 /* rounds without a split after which sampling is given no more chances */

/* Rounds below which a fit is hardly worth its memory, and what they take in a payload: node, value and cover. */
#define FEW_ROUNDS          20
#define TREE_BYTES_PER_LEAF 28

/*
 * Rows above which a round draws fewer of them unless told otherwise, and the least share: it takes less time, and
 * trees that differ more err less together (Friedman 2002).
 */
#define MANY_ROWS      ((int64_t) 100000)
#define LEAST_FRACTION 0.3

/* Streams of random numbers. */
enum
{
	STREAM_ROWS = 0x62616767,
	STREAM_FEATURES,
	STREAM_TREES
};

enum
{
	PARAM_N_ESTIMATORS,
	PARAM_LEARNING_RATE,
	PARAM_NUM_LEAVES,
	PARAM_MAX_DEPTH,
	PARAM_MIN_DATA_IN_LEAF,
	PARAM_MIN_SUM_HESSIAN,
	PARAM_LAMBDA_L1,
	PARAM_LAMBDA_L2,
	PARAM_MIN_GAIN,
	PARAM_BAGGING_FRACTION,
	PARAM_MVS_FRACTION,
	PARAM_FEATURE_FRACTION,
	PARAM_FEATURE_FRACTION_BYNODE,
	PARAM_EXTRA_TREES,
	PARAM_MAX_BIN,
	PARAM_EARLY_STOPPING,
	PARAM_CAT_L2,
	PARAM_CAT_SMOOTH,
	PARAM_MAX_CAT_THRESHOLD,
	PARAM_MAX_CAT_TO_ONEHOT,
	PARAM_MIN_DATA_PER_GROUP,
	N_PARAMS
};

static const PgmlParam params_table[N_PARAMS] = {
	[PARAM_N_ESTIMATORS] = { "n_estimators",
							 "num_iterations num_iteration num_boost_round num_round num_rounds num_trees "
							 "n_iter max_iter iterations",
							 PGML_PARAM_INT, 1, 100000, 100, true,
							 "Rounds of boosting, at most; each adds a tree (multiclass: one per class).",
							 NULL },
	[PARAM_LEARNING_RATE] = { "learning_rate", "eta shrinkage_rate", PGML_PARAM_REAL, 1e-6, 1, 0.1,
							  true, "Share of each tree's step that is taken.", NULL },
	[PARAM_NUM_LEAVES] = { "num_leaves", "num_leaf max_leaves max_leaf max_leaf_nodes",
						   PGML_PARAM_INT, 2, 32768, 31, true, "Leaves of a tree, at most.", NULL },
	[PARAM_MAX_DEPTH] = { "max_depth", "depth", PGML_PARAM_INT, -1, 10000, -1, false,
						  "Depth of a tree, at most; 0 or -1: no bound.", NULL },
	[PARAM_MIN_DATA_IN_LEAF] = { "min_data_in_leaf",
								 "min_child_samples min_samples_leaf min_data min_data_per_leaf",
								 PGML_PARAM_INT, 0, 1e9, 20, true, "Rows of a leaf, at least.",
								 NULL },
	[PARAM_MIN_SUM_HESSIAN] = { "min_sum_hessian_in_leaf",
								"min_child_weight min_sum_hessian min_sum_hessian_per_leaf min_hessian",
								PGML_PARAM_REAL, 0, 1e9, 1e-3, true,
								"Sum of the loss's second derivatives in a leaf, at least.", NULL },
	[PARAM_LAMBDA_L1] = { "lambda_l1", "reg_alpha l1_regularization", PGML_PARAM_REAL, 0, 1e9, 0,
						  true, "L1 penalty on leaf values.", NULL },
	[PARAM_LAMBDA_L2] = { "lambda_l2", "reg_lambda l2_regularization lambda l2_leaf_reg",
						  PGML_PARAM_REAL, 0, 1e9, 0, true, "L2 penalty on leaf values.", NULL },
	[PARAM_MIN_GAIN] = { "min_gain_to_split", "min_split_gain min_split_loss gamma",
						 PGML_PARAM_REAL, 0, 1e9, 0, true, "Gain of a split, at least.", NULL },
	[PARAM_BAGGING_FRACTION] = { "bagging_fraction", "subsample sub_row bagging", PGML_PARAM_REAL,
								 0.001, 1, 1, false,
								 "Share of the rows drawn for each round, all as likely; not used when "
								 "mvs_fraction is below 1.",
								 NULL },
	[PARAM_MVS_FRACTION] = { "mvs_fraction", NULL, PGML_PARAM_REAL, 0.001, 1, 1, false,
							 "Share of the rows drawn for each round, more likely those with large gradients "
							 "(minimal variance sampling); when neither this nor bagging_fraction is given, "
							 "less than 1 above 100,000 rows.",
							 NULL },
	[PARAM_FEATURE_FRACTION] = { "feature_fraction", "colsample_bytree sub_feature",
								 PGML_PARAM_REAL, 0.001, 1, 1, false,
								 "Share of the features drawn for each tree.", NULL },
	[PARAM_FEATURE_FRACTION_BYNODE] = { "feature_fraction_bynode",
										"colsample_bynode sub_feature_bynode max_features",
										PGML_PARAM_REAL, 0.001, 1, 1, false,
										"Share of the tree's features drawn for each node.", NULL },
	[PARAM_EXTRA_TREES] = { "extra_trees", "extra_tree", PGML_PARAM_BOOL, 0, 1, 0, false,
							"Try one random threshold per feature and node instead of all.", NULL },
	[PARAM_MAX_BIN] = { "max_bin", "max_bins", PGML_PARAM_INT, 2, 255, 255, false,
						"Bins that a feature's values are sorted into, at most.", NULL },
	[PARAM_EARLY_STOPPING] = { "early_stopping_round",
							   "early_stopping_rounds early_stopping n_iter_no_change",
							   PGML_PARAM_INT, 0, 100000, 50, false,
							   "Stop after this many rounds without a better validation loss; 0: never.",
							   NULL },
	[PARAM_CAT_L2] = { "cat_l2", NULL, PGML_PARAM_REAL, 0, 1e9, 10, true,
					   "L2 penalty added for the children of a split by a set of levels.", NULL },
	[PARAM_CAT_SMOOTH] = { "cat_smooth", NULL, PGML_PARAM_REAL, 0, 1e9, 10, true,
						   "Draws the mean gradients of rare levels towards zero when levels are ordered.",
						   NULL },
	[PARAM_MAX_CAT_THRESHOLD] = { "max_cat_threshold", NULL, PGML_PARAM_INT, 1, 255, 32, false,
								  "Levels in the smaller set of a split, at most.", NULL },
	[PARAM_MAX_CAT_TO_ONEHOT] = { "max_cat_to_onehot", NULL, PGML_PARAM_INT, 1, 255, 4, false,
								  "Features with at most this many levels are split one level against the rest.",
								  NULL },
	[PARAM_MIN_DATA_PER_GROUP] = { "min_data_per_group", NULL, PGML_PARAM_INT, 1, 1e9, 100, true,
								   "Rows of a group of levels, at least; when not given, a hundredth of the "
								   "rows between 10 and 100.",
								   NULL },
};

/* One fit. */
typedef struct Boost
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	PgmlGbmConfig config;
	PgmlArena *arena;
	const PgmlBins *bins;
	PgmlGbmRows rows;
	PgmlGbmTarget target;
	PgmlGbmRows valid_rows;
	PgmlGbmTarget valid; /* n = 0: no early stopping */
	PgmlGbmGrower *grower;
	PgmlGbmForest forest;
	PgmlGbmGradients gradients;
	double *init; /* the forest's */
	PgmlGbmApplier *applier;
	PgmlGbmSample sample; /* fraction 0: all rows are learned from */
	int32_t *index;       /* rows of the tree being grown */
	int32_t *usable;      /* features with anything to split */
	int32_t n_usable;
	bool sets;         /* one of them is split by sets of levels */
	int32_t *features; /* of the tree being grown */
	int32_t n_features;
	double best_loss;
	int best_round;
	bool out_of_time;
	bool out_of_memory;
	bool predicted; /* data->valid_out holds the scores of the best round */
} Boost;

double
pgml_gbm_mvs_fraction(int64_t n)
{
	return n > MANY_ROWS ? fmax(LEAST_FRACTION, sqrt((double) MANY_ROWS / (double) n)) : 1;
}

/* Settings as numbers of the right type. */
static PgmlGbmConfig
read_config(const PgmlDataset *data, const PgmlParams *params)
{
	const double *v = params->v;
	PgmlGbmConfig c = { .n_estimators = (int) v[PARAM_N_ESTIMATORS],
						.learning_rate = v[PARAM_LEARNING_RATE],
						.num_leaves = (int) v[PARAM_NUM_LEAVES],
						.max_depth = v[PARAM_MAX_DEPTH] > 0 ? (int) v[PARAM_MAX_DEPTH] : 0,
						.min_data = (int64_t) fmax(v[PARAM_MIN_DATA_IN_LEAF], 1),
						.min_hessian = v[PARAM_MIN_SUM_HESSIAN],
						.lambda_l1 = v[PARAM_LAMBDA_L1],
						.lambda_l2 = v[PARAM_LAMBDA_L2],
						.min_gain = v[PARAM_MIN_GAIN],
						.bagging_fraction = v[PARAM_BAGGING_FRACTION],
						.mvs_fraction = v[PARAM_MVS_FRACTION],
						.feature_fraction = v[PARAM_FEATURE_FRACTION],
						.feature_fraction_bynode = v[PARAM_FEATURE_FRACTION_BYNODE],
						.extra_trees = v[PARAM_EXTRA_TREES] != 0,
						.max_bin = (int) v[PARAM_MAX_BIN],
						.patience = (int) v[PARAM_EARLY_STOPPING],
						.cat_l2 = v[PARAM_CAT_L2],
						.cat_smooth = v[PARAM_CAT_SMOOTH],
						.max_cat_threshold = (int) v[PARAM_MAX_CAT_THRESHOLD],
						.max_cat_to_onehot = (int) v[PARAM_MAX_CAT_TO_ONEHOT],
						.min_data_per_group = (int64_t) v[PARAM_MIN_DATA_PER_GROUP] };

	if (!params->given[PARAM_MVS_FRACTION])
	{
		if (params->given[PARAM_BAGGING_FRACTION])
			c.mvs_fraction = 1;
		else if (c.mvs_fraction == 1)
			c.mvs_fraction = pgml_gbm_mvs_fraction(data->n);
	}
	if (!params->given[PARAM_MIN_DATA_PER_GROUP])
	{
		/* A hundred rows a group is for large tables; small ones would never be split by level. */
		int64_t scaled = data->n / 100 < 10 ? 10 : data->n / 100;

		c.min_data_per_group = scaled < c.min_data_per_group ? scaled : c.min_data_per_group;
	}
	return c;
}

/* Share of the rows that a round learns from. */
static double
sample_fraction(const PgmlGbmConfig *config)
{
	return config->mvs_fraction < 1 ? config->mvs_fraction : config->bagging_fraction;
}

/* True when another round may see other rows, features or thresholds. */
static bool
is_random(const PgmlGbmConfig *config)
{
	return sample_fraction(config) < 1 || config->feature_fraction < 1 ||
		   config->feature_fraction_bynode < 1 || config->extra_trees;
}

/* Bins that a fit can use as they are. */
static const PgmlBins *
given_bins(const PgmlDataset *data, const PgmlGbmConfig *config)
{
	return data->bins && data->bins->max_bin == config->max_bin ? data->bins : NULL;
}

/* What a fit takes at most, the matrix and the trees excepted. */
static int64_t
memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	PgmlGbmConfig config = read_config(data, params);
	int64_t nf = data->x->nfeatures;
	const PgmlBins *bins = given_bins(data, &config);
	int64_t n_valid = data->n_valid;
	int64_t leaves = data->n / config.min_data + 1;
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t rounds = config.n_estimators < FEW_ROUNDS ? config.n_estimators : FEW_ROUNDS;
	int64_t slack;
	int64_t bytes = pgml_gbm_rows_size(data->n, data->x->nfeatures, true) +
					pgml_gbm_rows_size(n_valid, data->x->nfeatures, false) +
					pgml_gbm_target_size(data, data->w != NULL, data->n) +
					pgml_gbm_target_size(data, data->w != NULL, n_valid) +
					data->n * (int64_t) (sizeof(PgmlGbmSum) + 3 * sizeof(int32_t)) +
					pgml_gbm_applier_size(config.num_leaves, data->x->nfeatures);

	if (sample_fraction(&config) < 1)
		bytes += pgml_gbm_sample_size(data, sample_fraction(&config), config.mvs_fraction < 1);
	leaves = leaves < config.num_leaves ? leaves : config.num_leaves;
	bytes += pgml_gbm_grower_size(&config, bins, data->n);
	if (bins == NULL)
		bytes += nf * (data->x->nrows + (config.max_bin + 1) * (leaves + PGML_GBM_PARTS) *
											(int64_t) sizeof(PgmlGbmSum));
	*payload = leaves * TREE_BYTES_PER_LEAF * outputs * rounds + 1024;
	/* Chunks of the arena, which grow with what is asked for, and the ends of large pages. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	slack = slack < (1 << 20) ? slack : 1 << 20;
	return bytes + (slack > bytes / 16 ? slack : bytes / 16);
}

/* List the features that are not the same in all rows. */
static void
list_usable(Boost *b)
{
	for (int32_t f = 0; f < b->bins->nfeatures; f++)
	{
		if (b->bins->n_bins[f] <= 2 && !b->bins->has_missing[f])
			continue;
		b->usable[b->n_usable++] = f;
		b->sets |= b->data->x->features[f].categorical &&
				   b->bins->n_bins[f] - 1 > b->config.max_cat_to_onehot;
	}
}

/* Rows, targets and scores of both parts of the data. */
static PgmlStatus
prepare_rows(Boost *b)
{
	const PgmlDataset *data = b->data;
	const PgmlEnv *env = b->env;

	PGML_TRY(pgml_gbm_target_create(env, b->arena, data, data->rows, data->n, &b->target));
	if (!(b->target.weight > 0))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	pgml_gbm_initial_scores(&b->target, b->init);
	pgml_gbm_set_scores(&b->target, b->init);
	b->bins = given_bins(data, &b->config);
	if (b->bins == NULL)
	{
		PgmlBins *own;

		PGML_TRY(
			pgml_bins_create(env, b->arena, data->x, data->rows, data->n, b->config.max_bin, &own));
		b->bins = own;
	}
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
	return pgml_gbm_rows_create(env, b->arena, b->bins, data->valid_rows, data->n_valid, false,
								&b->valid_rows);
}

/* Everything that is allocated before the first round. */
static PgmlStatus
prepare(Boost *b)
{
	const PgmlEnv *env = b->env;
	double fraction = sample_fraction(&b->config);
	size_t nf = (size_t) b->data->x->nfeatures;
	size_t outputs = (size_t) pgml_task_outputs(b->data->task, b->data->n_classes);
	int64_t most = b->data->n; /* rows of a tree */
	int64_t pool_bytes;

	pgml_buf_put(&b->forest.init, NULL, outputs * sizeof(double));
	b->init = (double *) b->forest.init.data;
	if (fraction < 1)
	{
		PGML_TRY(pgml_gbm_sample_create(env, b->arena, b->data, fraction,
										b->config.mvs_fraction < 1, &b->sample));
		most = b->sample.capacity;
	}
	b->gradients.sum = pgml_array(b->arena, (size_t) most, sizeof(PgmlGbmSum));
	b->index = pgml_array(b->arena, (size_t) most, sizeof(int32_t));
	b->usable = pgml_array(b->arena, nf, sizeof(int32_t));
	b->features = pgml_array(b->arena, nf, sizeof(int32_t));
	if (!b->init || !b->gradients.sum || !b->index || !b->usable || !b->features)
		return pgml_fail_nomem(env, "training rows");
	PGML_TRY(prepare_rows(b));
	list_usable(b);
	pool_bytes = pgml_budget_left(env->budget) / 2;
	pool_bytes = pool_bytes < POOL_BYTES ? pool_bytes : POOL_BYTES;
	PGML_TRY(pgml_gbm_applier_create(env, b->arena, b->config.num_leaves, b->bins->nfeatures,
									 &b->applier));
	return pgml_gbm_grower_create(env, b->arena, &b->config, b->data->x, b->bins, most, pool_bytes,
								  &b->grower);
}

/* Choose what the trees of a round are grown from. */
static PgmlStatus
open_round(Boost *b, int round)
{
	PGML_TRY(pgml_gbm_prepare_round(b->env, &b->target));
	if (b->sample.fraction == 0)
		return PGML_OK;
	PGML_TRY(pgml_gbm_sample_draw(
		b->env, &b->sample,
		pgml_hash_combine(b->env->seed, (uint64_t) STREAM_ROWS << 32 | (uint64_t) round), &b->rows,
		&b->target));
	return pgml_gbm_prepare_round(b->env, &b->sample.target);
}

/* Draw the features of a tree (selection sampling, Knuth 3.4.2 S). */
static void
draw_features(Boost *b, int64_t tree)
{
	int32_t left = (int32_t) lround(b->config.feature_fraction * b->n_usable);
	PgmlRng rng;

	pgml_rng_init(&rng, b->env->seed, (uint64_t) STREAM_FEATURES << 32 | (uint64_t) tree);
	left = left < 1 ? 1 : left;
	b->n_features = 0;
	for (int32_t i = 0; i < b->n_usable; i++)
	{
		if (pgml_rng_below(&rng, (uint64_t) (b->n_usable - i)) >= (uint64_t) left)
			continue;
		b->features[b->n_features++] = b->usable[i];
		left--;
	}
}

/* Grow the tree of output k and add it to scores and forest. *split: it has a split. */
static PgmlStatus
boost_output(Boost *b, int round, int k, bool *split)
{
	const PgmlEnv *env = b->env;
	bool drawn = b->sample.fraction > 0;
	PgmlGbmTarget *t = drawn ? &b->sample.target : &b->target;
	int64_t number = (int64_t) round * t->n_outputs + k;
	uint64_t seed = pgml_hash_combine(env->seed, (uint64_t) STREAM_TREES << 32 | (uint64_t) number);
	double *score = b->target.score + k * b->target.n;
	const PgmlGbmTree *tree;
	PgmlGbmGrowth growth = { .rows = drawn ? &b->sample.rows : &b->rows,
							 .gradients = &b->gradients,
							 .target = t,
							 .output = k,
							 .index = b->index,
							 .n = t->n,
							 .features = b->features,
							 .seed = seed };
	bool complete;

	draw_features(b, number);
	growth.n_features = b->n_features;
	for (int64_t i = 0; i < t->n; i++)
		b->index[i] = (int32_t) i;
	PGML_TRY(pgml_gbm_gradients(env, t, k, seed, &b->gradients));
	b->gradients.noise = b->sets ? pgml_gbm_noise(t, k) : 0;
	PGML_TRY(pgml_gbm_grow(b->grower, &growth, &tree, &complete));
	if (!complete)
	{
		b->out_of_time = true;
		return PGML_OK;
	}
	if (tree->n_leaves > 1)
	{
		*split = true;
		if (drawn)
			PGML_TRY(pgml_gbm_add_tree(b->applier, tree, &b->rows, score));
		else
			PGML_TRY(pgml_gbm_add_leaves(b->grower, &growth, score));
		if (b->valid.n > 0)
			PGML_TRY(pgml_gbm_add_tree(b->applier, tree, &b->valid_rows,
									   b->valid.score + k * b->valid.n));
	}
	return pgml_gbm_forest_add(env, &b->forest, tree, b->bins);
}

/* These many rounds are the best so far: the scores of the validation rows are kept. */
static void
keep_round(Boost *b, int rounds)
{
	const PgmlGbmTarget *v = &b->valid;
	double *out = b->data->valid_out;

	b->best_round = rounds;
	if (v->n == 0 || out == NULL)
		return;
	for (int k = 0; k < v->n_outputs; k++)
		for (int64_t i = 0; i < v->n; i++)
			out[i * v->n_outputs + k] = v->score[k * v->n + i];
	b->predicted = true;
}

/* Note the validation loss after a number of rounds; *stop: patience is at its end. */
static PgmlStatus
judge(Boost *b, int rounds, bool *stop)
{
	double loss;

	*stop = false;
	if (b->valid.n == 0 || b->config.patience == 0)
	{
		keep_round(b, rounds);
		return PGML_OK;
	}
	PGML_TRY(pgml_gbm_loss(b->env, &b->valid, &loss));
	if (rounds == 1 || loss < b->best_loss)
	{
		b->best_loss = loss;
		keep_round(b, rounds);
	}
	*stop = rounds - b->best_round >= b->config.patience;
	return PGML_OK;
}

/* Did memory fail? */
static bool
is_memory(PgmlStatus status)
{
	return status == PGML_ERR_LIMIT || status == PGML_ERR_NOMEM;
}

/* One round: trees for all outputs. *split: one of them has a split. */
static PgmlStatus
boost_round(Boost *b, int round, bool *split)
{
	PGML_TRY(open_round(b, round));
	for (int k = 0; k < b->target.n_outputs && !b->out_of_time; k++)
		PGML_TRY(boost_output(b, round, k, split));
	if (b->data->max_payload == 0 || pgml_gbm_forest_bytes(&b->forest) <= b->data->max_payload)
		return PGML_OK;
	return pgml_fail(b->env->error, PGML_ERR_LIMIT, "not enough memory for trees");
}

/*
 * All rounds.  A round in which no tree could be split ends the training, unless sampling may make a
 * difference.  A round that the deadline or the memory cuts short does not count.
 */
static PgmlStatus
boost(Boost *b)
{
	int empty = 0;
	bool stop = b->n_usable == 0;

	keep_round(b, 0);

	for (int round = 0; round < b->config.n_estimators && !stop; round++)
	{
		bool split = false;
		PgmlStatus status;

		if (pgml_stopped(b->env))
			return PGML_ERR_CANCELLED;
		b->out_of_time = pgml_out_of_time(b->env);
		if (b->out_of_time)
			break;
		status = boost_round(b, round, &split);
		b->out_of_memory = b->best_round > 0 && is_memory(status);
		if (b->out_of_time || b->out_of_memory)
			break;
		PGML_TRY(status);
		empty = split ? 0 : empty + 1;
		if (empty > (is_random(&b->config) ? MAX_EMPTY_ROUNDS : 0))
			break;
		PGML_TRY(judge(b, round + 1, &stop));
	}
	return PGML_OK;
}

/* The scores for tests, and those of the validation rows as predictions. */
static void
hand_out(const Boost *b, double *margins)
{
	const PgmlGbmTarget *t = &b->target;
	bool regression = t->task == PGML_TASK_REGRESSION;

	for (int64_t i = 0; margins && i < t->n; i++)
		for (int k = 0; k < t->n_outputs; k++)
			margins[i * t->n_outputs + k] = t->score[k * t->n + i] + (regression ? b->init[0] : 0);
	if (b->predicted)
		pgml_gbm_link(t->task, t->n_outputs, b->init, b->valid.n, b->data->valid_out);
}

/* Write the payload; with fewer rounds, down to none, when memory does not suffice for the best number. */
static PgmlStatus
write_payload(Boost *b, int outputs, PgmlFit *fit)
{
	int rounds = b->best_round;

	for (;; rounds /= 2)
	{
		PgmlStatus status = pgml_gbm_encode(b->env, &b->forest, (int64_t) rounds * outputs,
											b->config.max_bin, &fit->payload);

		if (rounds == 0 || !is_memory(status))
		{
			fit->best_iteration = rounds;
			fit->out_of_time = b->out_of_time;
			fit->out_of_memory = b->out_of_memory || rounds < b->best_round;
			fit->predicted = b->predicted && rounds == b->best_round;
			return status;
		}
	}
}

PgmlStatus
pgml_gbm_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit,
			 double *margins)
{
	Boost b = { .env = env, .data = data, .config = read_config(data, params) };
	PgmlStatus status;

	if (data->n < 1)
		return pgml_fail(env->error, PGML_ERR_DATA, "there are no rows to learn from");
	b.arena = pgml_arena_create(env->budget);
	if (b.arena == NULL)
		return pgml_fail_nomem(env, "gradient_boosting");
	pgml_gbm_forest_init(&b.forest, env->budget);
	status = prepare(&b);
	if (status == PGML_OK)
		status = boost(&b);
	if (status == PGML_OK)
		hand_out(&b, margins);
	/* What only growing needs makes room for the payload. */
	pgml_arena_destroy(b.arena);
	if (status == PGML_OK)
		status = write_payload(&b, pgml_task_outputs(data->task, data->n_classes), fit);
	pgml_gbm_forest_free(&b.forest);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : status;
}

/* The learner's fit(), which has no use for the training scores. */
static PgmlStatus
fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *out)
{
	return pgml_gbm_fit(env, data, params, out, NULL);
}

const PgmlLearner pgml_learner_gradient_boosting = {
	.name = "gradient_boosting",
	.summary =
		"Gradient-boosted decision trees, grown leaf-wise on histograms; takes missing values and "
		"categories as they are.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = false,
	.params = params_table,
	.n_params = N_PARAMS,
	.memory = memory,
	.fit = fit,
	.verify = pgml_gbm_verify,
	.predict = pgml_gbm_predict,
	.prepare = pgml_gbm_prepare,
	.prepared_size = pgml_gbm_prepared_size,
	.scratch = pgml_gbm_scratch,
	.predict_block = pgml_gbm_predict_block,
	.explains_scores = true,
	.trees = pgml_gbm_trees,
};
