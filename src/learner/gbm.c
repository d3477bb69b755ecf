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

#include "core/clock.h"
#include "core/hash.h"
#include "core/rng.h"
#include "learner/gbm_apply.h"
#include "learner/gbm_block.h"
#include "learner/gbm_sample.h"
#include "learner/gbm_hist.h"
#include "learner/gbm_objective.h"
#include "learner/gbm_payload.h"
#include "learner/gbm_pool.h"
#include "learner/gbm_rounds.h"
#include "learner/gbm_tree.h"

#define MAX_EMPTY_ROUNDS                                                                           \
	10 /* rounds without a split after which sampling is given no more chances */

/* Rounds below which a fit is hardly worth its memory, and what they take in a payload: node, value and cover. */
#define FEW_ROUNDS          20
#define TREE_BYTES_PER_LEAF 28

/* Streams of random numbers. */
enum
{
	STREAM_ROWS = 0x62616767,
	STREAM_FEATURES,
	STREAM_TREES
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
	PgmlGbmPoint *points; /* room for all rows, where quantiles are looked for; else NULL */
	int32_t *index;       /* rows of the tree being grown */
	int32_t *usable;      /* features with anything to split */
	int32_t n_usable;
	bool sets;         /* one of them is split by sets of levels */
	int32_t *features; /* of the tree being grown */
	int32_t n_features;
	PgmlGbmRounds rounds;
} Boost;

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

/* What a fit takes at most, the matrix and the trees excepted. */
static int64_t
memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	PgmlGbmConfig config = pgml_gbm_read_config(data, params);
	const PgmlBins *bins = pgml_given_bins(data, config.max_bin);
	int64_t n_valid = data->n_valid;
	bool weighted = data->w != NULL || pgml_gbm_weighs_classes(&config);
	int64_t leaves = data->n / config.min_data + 1;
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t rounds = config.n_estimators < FEW_ROUNDS ? config.n_estimators : FEW_ROUNDS;
	int64_t slack;
	int64_t bytes = pgml_gbm_rows_size(data->n, data->x->nfeatures, true) +
					pgml_gbm_rows_size(n_valid, data->x->nfeatures, false) +
					pgml_gbm_target_size(data, weighted, data->n) +
					pgml_gbm_target_size(data, weighted, n_valid) +
					data->n * (int64_t) (sizeof(PgmlGbmSum) + 3 * sizeof(int32_t)) +
					pgml_gbm_applier_size(config.num_leaves, data->x->nfeatures);

	if (pgml_gbm_weighs_classes(&config))
		bytes += data->x->nrows * (int64_t) sizeof(double);
	if (pgml_gbm_renews(config.objective))
		bytes += data->n * (int64_t) sizeof(PgmlGbmPoint);
	if (sample_fraction(&config) < 1)
		bytes += pgml_gbm_sample_size(data, sample_fraction(&config), config.mvs_fraction < 1);
	leaves = leaves < config.num_leaves ? leaves : config.num_leaves;
	bytes += pgml_gbm_grower_size(&config, data, bins);
	if (bins == NULL)
		bytes += data->x->nfeatures * data->x->nrows;
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
	PGML_TRY(pgml_gbm_set_objective(env, &b->config, &b->target));
	if (b->target.objective == PGML_GBM_AUTO)
		pgml_gbm_initial_scores(&b->target, b->init);
	else
		PGML_TRY(pgml_gbm_objective_init(env, &b->target, b->points, b->init));
	pgml_gbm_set_scores(&b->target, b->init);
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
	PGML_TRY(pgml_gbm_set_objective(env, &b->config, &b->valid));
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
	b->forest.link = pgml_gbm_is_log(b->config.objective) ? PGML_GBM_LINK_LOG : PGML_GBM_LINK_TASK;
	if (fraction < 1)
	{
		PGML_TRY(pgml_gbm_sample_create(env, b->arena, b->data, fraction,
										b->config.mvs_fraction < 1, &b->sample));
		most = b->sample.capacity;
	}
	if (pgml_gbm_renews(b->config.objective))
	{
		b->points = pgml_array(b->arena, (size_t) b->data->n, sizeof(PgmlGbmPoint));
		if (!b->points)
			return pgml_fail_nomem(env, "training rows");
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
	pool_bytes = pool_bytes < PGML_GBM_POOL_BYTES ? pool_bytes : PGML_GBM_POOL_BYTES;
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
	PGML_TRY(pgml_gbm_set_delta(b->env, &b->target, b->points));
	/* Rounds can only be compared by the same loss: that of the first. */
	if (round == 0)
		b->valid.delta = b->target.delta;
	if (b->sample.fraction == 0)
		return PGML_OK;
	PGML_TRY(pgml_gbm_sample_draw(
		b->env, &b->sample,
		pgml_hash_combine(b->env->seed, (uint64_t) STREAM_ROWS << 32 | (uint64_t) round), &b->rows,
		&b->target));
	pgml_gbm_copy_objective(&b->target, &b->sample.target);
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
							 .seed = seed,
							 .points = b->points };
	bool complete;

	draw_features(b, number);
	growth.n_features = b->n_features;
	for (int64_t i = 0; i < t->n; i++)
		b->index[i] = (int32_t) i;
	PGML_TRY(pgml_gbm_gradients(env, t, k, seed, &b->gradients));
	b->gradients.noise = b->sets ? pgml_gbm_noise(t, k) : 0;
	PGML_TRY(pgml_gbm_grow(b->grower, &growth, &tree, &complete));
	b->rounds.out_of_time = pgml_clock_ends(env, !complete);
	if (b->rounds.out_of_time)
		return PGML_OK;
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

/* One round: trees for all outputs. *split: one of them has a split. */
static PgmlStatus
boost_round(void *arg, int round, bool *split)
{
	Boost *b = arg;

	PGML_TRY(open_round(b, round));
	for (int k = 0; k < b->target.n_outputs && !b->rounds.out_of_time; k++)
		PGML_TRY(boost_output(b, round, k, split));
	if (b->data->max_payload == 0 || pgml_gbm_forest_bytes(&b->forest) <= b->data->max_payload)
		return PGML_OK;
	return pgml_fail(b->env->error, PGML_ERR_LIMIT, "not enough memory for trees");
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
	if (b->rounds.predicted)
		pgml_gbm_link(t->task, b->forest.link, t->n_outputs, b->init, b->valid.n,
					  b->data->valid_out);
}

/* Write the trees of some rounds. */
static PgmlStatus
encode(void *arg, int rounds, PgmlBuf *payload)
{
	Boost *b = arg;
	int64_t outputs = (int64_t) (b->forest.init.len / sizeof(double));

	return pgml_gbm_encode(b->env, &b->forest, rounds * outputs, b->config.max_bin, payload);
}

/* How the rounds are done.  One in which nothing could be split ends the training, unless sampling may make a difference. */
static PgmlGbmRounds
plan_rounds(Boost *b)
{
	return (PgmlGbmRounds){ .env = b->env,
							.valid = &b->valid,
							.out = b->data->valid_out,
							.patience = b->config.patience,
							.most = b->n_usable > 0 ? b->config.n_estimators : 0,
							.most_empty = is_random(&b->config) ? MAX_EMPTY_ROUNDS : 0,
							.boost = boost_round,
							.encode = encode,
							.arg = b };
}

PgmlStatus
pgml_gbm_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit,
			 double *margins)
{
	Boost b = { .env = env, .config = pgml_gbm_read_config(data, params) };
	PgmlDataset weighed;
	PgmlStatus status;

	if (data->n < 1)
		return pgml_fail(env->error, PGML_ERR_DATA, "there are no rows to learn from");
	PGML_TRY(pgml_gbm_check(&pgml_learner_gradient_boosting, params, data->task, data->n_classes,
							env->error));
	if (data->constraints && data->constraints->monotone &&
		pgml_task_outputs(data->task, data->n_classes) > 1)
		return pgml_fail(env->error, PGML_ERR_BADARG,
						 "predictions of several classes cannot be monotone");
	b.arena = pgml_arena_create(env->budget);
	if (b.arena == NULL)
		return pgml_fail_nomem(env, "gradient_boosting");
	pgml_gbm_forest_init(&b.forest, env->budget);
	b.data = &weighed;
	status = pgml_gbm_class_weights(env, b.arena, data, &b.config, &weighed);
	if (status == PGML_OK)
		status = prepare(&b);
	if (status == PGML_OK)
	{
		b.rounds = plan_rounds(&b);
		status = pgml_gbm_boost(&b.rounds);
	}
	if (status == PGML_OK)
		hand_out(&b, margins);
	/* What only growing needs makes room for the payload. */
	pgml_arena_destroy(b.arena);
	if (status == PGML_OK)
		status = pgml_gbm_write(&b.rounds, fit);
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
	.summary = "Gradient-boosted decision trees, grown on histograms; takes missing values and "
			   "categories as they are.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = false,
	.params = pgml_gbm_params,
	.n_params = PGML_GBM_N_PARAMS,
	.honours_constraints = true,
	.check = pgml_gbm_check,
	.memory = memory,
	.fit = fit,
	.quantile = pgml_gbm_quantile,
	.verify = pgml_gbm_verify,
	.predict = pgml_gbm_predict,
	.prepare = pgml_gbm_prepare,
	.prepared_size = pgml_gbm_prepared_size,
	.scratch = pgml_gbm_scratch,
	.predict_block = pgml_gbm_predict_block,
	.explains_scores = true,
	.trees = pgml_gbm_trees,
};
