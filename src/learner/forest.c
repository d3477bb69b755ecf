/*
 * forest.c - learners `random_forest` (Breiman 2001), `extra_trees` (Geurts, Ernst and Wehenkel 2006) and `decision_tree`
 * (Breiman et al. 1984): trees grown side by side, of which the mean predicts.
 *
 * A tree depends on the seed and its number alone, and trees are kept in the order of their numbers, so the model is the same for
 * any number of threads.  When time or memory ends there are fewer of them.
 */
#include "learner/forest.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/par.h"

/* Trees that are grown, for each thread, before they are put into the payload. */
#define TREES_A_THREAD 2

/* Trees below which a forest is hardly worth its memory. */
#define FEW_TREES 10

/* A tree on its way into the payload. */
typedef struct Slot
{
	PgmlBuf node;
	PgmlBuf word;
	PgmlBuf cover;
	bool complete;
	bool late; /* the deadline came first */
} Slot;

/* One fit. */
typedef struct Fit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	PgmlForestConfig config;
	PgmlArena *arena;
	const PgmlBins *bins;
	PgmlForestData *records;
	PgmlForestGrower **grower; /* per thread */
	PgmlError *error;          /* per thread */
	int n_slots;
	Slot *slot;
	int64_t first; /* tree of slot 0 */
	PgmlForestWriter writer;
	bool out_of_time;
	bool out_of_memory;
} Fit;

/* Bytes that the lines of a payload take at most. */
static int64_t
line_bytes(const PgmlDataset *data, int max_bin)
{
	return 2 * data->x->nfeatures * ((int64_t) sizeof(PgmlForestLine) + (max_bin + 1) * 4);
}

/* What a fit takes at most. */
static int64_t
memory_of(const PgmlLearner *learner, const PgmlDataset *data, const PgmlParams *params,
		  int64_t *payload)
{
	PgmlForestConfig config = pgml_forest_read_config(learner, data, params);
	int64_t nf = data->x->nfeatures, n = data->n;
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t most_nodes, tree, bytes, slack;

	bytes = pgml_forest_data_size(data) + pgml_forest_grower_size(&config, data, &most_nodes);
	if (pgml_given_bins(data, config.max_bin) == NULL)
		bytes += nf * (data->x->nrows + 256 * (int64_t) sizeof(float)) +
				 3 * (n < 200000 ? n : 200000) * (int64_t) sizeof(uint32_t);
	if (data->oob_out != NULL)
		bytes += n * (2 + 4 + (outputs + 1) * 8);
	/* Of several classes each leaf may have words for each of its rows; growing buffers have room for twice that. */
	tree = most_nodes * (int64_t) sizeof(PgmlForestNode) + pgml_forest_cover_bytes(most_nodes);
	if (outputs > 1)
		tree += most_nodes / 2 * 8 + n * 8;
	bytes += (TREES_A_THREAD + 1) * tree + 2 * nf * 520 + (1 << 16);
	/* Trees have about half of the nodes that they might have. */
	*payload = (config.n_estimators < FEW_TREES ? config.n_estimators : FEW_TREES) * tree / 2 +
			   line_bytes(data, config.max_bin) + 4096;
	/* Chunks of the arena, which grow with what is asked for, and the ends of large pages. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	slack = slack < (1 << 20) ? slack : 1 << 20;
	return bytes + (slack > bytes / 16 ? slack : bytes / 16);
}

/* Everything that is allocated before the first tree. */
static PgmlStatus
prepare(Fit *f)
{
	const PgmlEnv *env = f->env;
	size_t threads = (size_t) pgml_pool_threads(env->pool);

	PGML_TRY(pgml_dataset_bins(env, f->arena, f->data, f->config.max_bin, &f->bins));
	PGML_TRY(pgml_forest_data_create(env, f->arena, f->data, &f->config, f->bins, &f->records));
	f->n_slots = (int) threads * TREES_A_THREAD;
	f->slot = pgml_zalloc(f->arena, (size_t) f->n_slots, sizeof(Slot));
	for (int i = 0; f->slot != NULL && i < f->n_slots; i++)
	{
		pgml_buf_init(&f->slot[i].node, env->budget);
		pgml_buf_init(&f->slot[i].word, env->budget);
		pgml_buf_init(&f->slot[i].cover, env->budget);
	}
	f->grower = pgml_zalloc(f->arena, threads, sizeof(PgmlForestGrower *));
	f->error = pgml_zalloc(f->arena, threads, sizeof(PgmlError));
	if (!f->slot || !f->grower || !f->error)
		return pgml_fail_nomem(env, "trees");
	for (size_t t = 0; t < threads; t++)
	{
		f->grower[t] = pgml_forest_grower_create(env, f->arena, &f->config, f->records);
		if (f->grower[t] == NULL)
			return pgml_fail_nomem(env, "trees");
	}
	return PGML_OK;
}

/* Grow the tree of one slot.  When memory fails the slot stays incomplete. */
static PgmlStatus
grow_slot(void *arg, int64_t block, int thread)
{
	Fit *f = arg;
	Slot *slot = &f->slot[block];
	PgmlEnv env = *f->env;
	PgmlForestTree tree;
	bool complete;

	env.error = &f->error[thread];
	PGML_TRY(pgml_forest_grow(f->grower[thread], &env, f->first + block, f->first + block == 0,
							  &tree, &complete));
	slot->late = !complete;
	if (!complete)
		return PGML_OK;
	pgml_buf_reserve(&slot->node, (size_t) tree.n_nodes * sizeof(PgmlForestNode));
	pgml_buf_put(&slot->node, tree.node, (size_t) tree.n_nodes * sizeof(PgmlForestNode));
	if (tree.n_words > 0)
		pgml_buf_put(&slot->word, tree.word, (size_t) tree.n_words * sizeof(uint32_t));
	pgml_buf_put(&slot->cover, tree.cover, (size_t) tree.cover_bytes);
	slot->complete = !slot->node.failed && !slot->word.failed && !slot->cover.failed;
	return PGML_OK;
}

/* Put the trees of n slots into the payload, as far as time and memory went. */
static void
keep_trees(Fit *f, int n)
{
	int64_t most = f->data->max_payload;
	int64_t lines = line_bytes(f->data, f->config.max_bin);
	bool going = true;

	for (int i = 0; i < n; i++)
	{
		Slot *slot = &f->slot[i];

		/* The first tree is complete in any case; what ended it, it has noted itself. */
		if (going && f->first + i > 0 && pgml_clock_ends(f->env, !slot->complete && slot->late))
		{
			going = false;
			f->out_of_time = true;
		}
		if (going && slot->complete)
		{
			int64_t before = pgml_forest_written(&f->writer);

			going = pgml_forest_write_tree(
				&f->writer, (const PgmlForestNode *) slot->node.data,
				slot->node.len / sizeof(PgmlForestNode), (const uint32_t *) slot->word.data,
				slot->word.len / sizeof(uint32_t), slot->cover.data, slot->cover.len);
			if (going && most > 0 && pgml_forest_written_bytes(&f->writer) + lines > most)
			{
				pgml_forest_write_cut(&f->writer, before);
				going = false;
			}
			f->out_of_memory |= !going;
		}
		else if (going)
		{
			going = false;
			f->out_of_memory = true;
		}
		pgml_buf_free(&slot->node);
		pgml_buf_free(&slot->word);
		pgml_buf_free(&slot->cover);
		slot->complete = slot->late = false;
	}
}

/* Grow all trees, or as many as time and memory allow, but one. */
static PgmlStatus
grow_trees(Fit *f)
{
	int64_t n = f->config.n_estimators;
	PgmlStatus status;

	for (f->first = 0; f->first < n && !f->out_of_time && !f->out_of_memory; f->first += f->n_slots)
	{
		int64_t size = n - f->first < f->n_slots ? n - f->first : f->n_slots;

		status = pgml_par_for(f->env, size, grow_slot, f);
		if (status == PGML_ERR_CANCELLED)
			return pgml_fail_cancelled(f->env);
		if (status != PGML_OK && !pgml_is_memory(status))
			return pgml_fail(f->env->error, status, "a tree could not be grown");
		keep_trees(f, (int) size);
		/* Noted as the end that the next tree would have met, wherever that is where the threads are others. */
		f->out_of_time |= f->first + size < n && !f->out_of_time && !f->out_of_memory &&
						  pgml_out_of_time(f->env) && pgml_clock_ends(f->env, true);
	}
	if (pgml_stopped(f->env))
		return pgml_fail_cancelled(f->env);
	if (pgml_forest_written(&f->writer) == 0)
		return pgml_fail(f->env->error, PGML_ERR_LIMIT, "not enough memory for trees");
	return PGML_OK;
}

/* Complete the payload; with fewer trees when memory does not suffice for all. */
static PgmlStatus
write_payload(Fit *f, PgmlFit *fit)
{
	const PgmlForestData *d = f->records;
	PgmlForestLines lines = { d->n_features, d->feature, (const uint8_t *const *) d->rank, f->bins,
							  f->data->x->features };
	PgmlForestHeader header = { .max_bin = (uint32_t) f->config.max_bin,
								.center = d->center,
								.scale = d->scale };
	double zero = 0;
	const double *prior = d->task == PGML_TASK_MULTICLASS ? d->prior : &zero;

	header.n_outputs = (uint32_t) pgml_task_outputs(d->task, d->n_classes);
	for (;;)
	{
		int64_t n = pgml_forest_written(&f->writer);
		PgmlStatus status = pgml_forest_write_end(f->env, &f->writer, &lines, header, prior);

		if (!pgml_is_memory(status) || n < 2)
		{
			fit->best_iteration = (int) n;
			return status;
		}
		pgml_forest_write_cut(&f->writer, n / 2);
		f->out_of_memory = true;
	}
}

/* Out-of-bag predictions, where they are wanted and there are any. */
static PgmlStatus
predict_oob(const Fit *f, PgmlFit *fit)
{
	int64_t size = f->data->n * pgml_task_outputs(f->data->task, f->data->n_classes);

	if (f->data->oob_out == NULL || !f->config.bootstrap)
		return PGML_OK;
	for (int64_t i = 0; i < size; i++)
		f->data->oob_out[i] = NAN;
	fit->oob_predicted = true;
	return pgml_forest_predict_oob(f->env, &f->config, f->records, &f->writer, f->data->oob_out);
}

/* The fit of all three. */
static PgmlStatus
fit_forest(const PgmlLearner *learner, const PgmlEnv *env, const PgmlDataset *data,
		   const PgmlParams *params, PgmlFit *fit)
{
	Fit f = { .env = env, .data = data };
	PgmlStatus status;

	if (data->n < 1)
		return pgml_fail(env->error, PGML_ERR_DATA, "there are no rows to learn from");
	PGML_TRY(pgml_forest_check(learner, params, data->task, data->n_classes, env->error));
	f.config = pgml_forest_read_config(learner, data, params);
	f.arena = pgml_arena_create(env->budget);
	if (f.arena == NULL)
		return pgml_fail_nomem(env, learner->name);
	pgml_forest_write_begin(&f.writer, &fit->payload);
	status =
		fit->payload.failed || f.writer.start.failed ? pgml_fail_nomem(env, "trees") : prepare(&f);
	if (status == PGML_OK)
		status = grow_trees(&f);
	if (status == PGML_OK)
		status = predict_oob(&f, fit);
	if (status == PGML_OK)
		status = write_payload(&f, fit);
	fit->out_of_time = f.out_of_time;
	fit->out_of_memory = f.out_of_memory;
	for (int t = 0; f.grower != NULL && t < pgml_pool_threads(env->pool); t++)
		pgml_forest_grower_destroy(f.grower[t]);
	for (int i = 0; f.slot != NULL && i < f.n_slots; i++)
	{
		pgml_buf_free(&f.slot[i].node);
		pgml_buf_free(&f.slot[i].word);
		pgml_buf_free(&f.slot[i].cover);
	}
	pgml_forest_write_free(&f.writer);
	pgml_arena_destroy(f.arena);
	return status;
}

static int64_t
random_forest_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	return memory_of(&pgml_learner_random_forest, data, params, payload);
}

static PgmlStatus
random_forest_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params,
				  PgmlFit *fit)
{
	return fit_forest(&pgml_learner_random_forest, env, data, params, fit);
}

static int64_t
extra_trees_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	return memory_of(&pgml_learner_extra_trees, data, params, payload);
}

static PgmlStatus
extra_trees_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	return fit_forest(&pgml_learner_extra_trees, env, data, params, fit);
}

static int64_t
decision_tree_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	return memory_of(&pgml_learner_decision_tree, data, params, payload);
}

static PgmlStatus
decision_tree_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params,
				  PgmlFit *fit)
{
	return fit_forest(&pgml_learner_decision_tree, env, data, params, fit);
}

const PgmlLearner pgml_learner_random_forest = {
	.name = "random_forest",
	.summary = "The mean of trees grown on rows drawn at random, with the best split of a few "
			   "features drawn at random for each node.",
	.tasks = PGML_TASK_ANY,
	.params = pgml_random_forest_params,
	.n_params = PGML_RANDOM_FOREST_PARAMS,
	.check = pgml_forest_check,
	.memory = random_forest_memory,
	.fit = random_forest_fit,
	.verify = pgml_forest_verify,
	.predict = pgml_forest_predict,
	.prepare = pgml_forest_prepare,
	.prepared_size = pgml_forest_prepared_size,
	.block_rows = pgml_forest_block_rows,
	.scratch = pgml_forest_scratch,
	.predict_block = pgml_forest_predict_block,
	.trees = pgml_forest_trees,
};

const PgmlLearner pgml_learner_extra_trees = {
	.name = "extra_trees",
	.summary = "The mean of trees grown on all rows, with one threshold drawn at random for each "
			   "feature that is looked at.",
	.tasks = PGML_TASK_ANY,
	.params = pgml_extra_trees_params,
	.n_params = PGML_EXTRA_TREES_PARAMS,
	.check = pgml_forest_check,
	.memory = extra_trees_memory,
	.fit = extra_trees_fit,
	.verify = pgml_forest_verify,
	.predict = pgml_forest_predict,
	.prepare = pgml_forest_prepare,
	.prepared_size = pgml_forest_prepared_size,
	.block_rows = pgml_forest_block_rows,
	.scratch = pgml_forest_scratch,
	.predict_block = pgml_forest_predict_block,
	.trees = pgml_forest_trees,
};

const PgmlLearner pgml_learner_decision_tree = {
	.name = "decision_tree",
	.summary = "One tree that can be read.",
	.tasks = PGML_TASK_ANY,
	.params = pgml_decision_tree_params,
	.n_params = PGML_DECISION_TREE_PARAMS,
	.only_when_named = true,
	.check = pgml_forest_check,
	.memory = decision_tree_memory,
	.fit = decision_tree_fit,
	.verify = pgml_forest_verify,
	.predict = pgml_forest_predict,
	.prepare = pgml_forest_prepare,
	.prepared_size = pgml_forest_prepared_size,
	.block_rows = pgml_forest_block_rows,
	.scratch = pgml_forest_scratch,
	.predict_block = pgml_forest_predict_block,
	.trees = pgml_forest_trees,
};
