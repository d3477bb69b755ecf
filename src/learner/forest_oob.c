/*
 * forest_oob.c - out-of-bag predictions (Breiman 2001): each row by the trees that did not draw it.
 *
 * The rows of a tree are drawn again from its stream of random numbers.  Sums are integers, so that the order in which threads
 * add to them does not matter.
 */
#include "learner/forest.h"

#include <math.h>
#include <string.h>

#include "core/par.h"

/* Leaf values are at most 2 in size; with fewer than 2^20 trees no sum exceeds 62 bits. */
#define UNIT 0x1p40

/* Records between two looks at the stop flag. */
#define POLL_ROWS 16384

/* What a thread adds up. */
typedef struct Sums
{
	uint16_t *drawn;
	uint32_t *trees; /* per record: that did not draw it */
	int64_t *sum;    /* per record and output */
	int64_t *base;   /* several classes: shares of the prior */
} Sums;

typedef struct Job
{
	const PgmlEnv *env;
	const PgmlForestConfig *config;
	const PgmlForestData *data;
	const PgmlForestWriter *writer;
	int outputs;
	Sums *sums; /* per thread */
} Job;

static inline int64_t
fixed(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return (int64_t) (value * UNIT);
}

/* Leaf of a record in a tree whose lines and cuts are those of the records. */
static const PgmlForestNode *
find_leaf(const PgmlForestNode *tree, const uint8_t *record)
{
	const PgmlForestNode *node = tree;

	while (node->cut != 0)
	{
		uint8_t byte = (uint8_t) (record[node->line / 2] - node->line % 2);

		node = pgml_forest_goes_next(node, byte) ? node + 1 : tree + node->link;
	}
	return node;
}

/* Add the records that tree number `block` did not draw to a thread's sums. */
static PgmlStatus
add_tree(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	const Sums *s = &job->sums[thread];
	const uint64_t *start = (const uint64_t *) job->writer->start.data + 2 * block;
	const PgmlForestNode *tree =
		(const PgmlForestNode *) (job->writer->out->data + sizeof(PgmlForestHeader)) + start[0];
	const uint32_t *word = (const uint32_t *) job->writer->word.data + start[1];
	PgmlRng rng;

	if (!pgml_forest_draw(job->env, job->config, job->data->n, block, &rng, s->drawn))
		return PGML_ERR_CANCELLED;
	for (int64_t i = 0; i < job->data->n; i++)
	{
		const PgmlForestNode *leaf;

		if (i % POLL_ROWS == 0 && pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		if (s->drawn[i] > 0)
			continue;
		leaf = find_leaf(tree, job->data->record + i * job->data->stride);
		s->trees[i]++;
		if (job->outputs == 1)
			s->sum[i] += fixed(leaf->link);
		else if (leaf->flag & PGML_FOREST_PURE)
			s->sum[i * job->outputs + leaf->link] += (int64_t) UNIT;
		else
		{
			const uint32_t *at = word + leaf->link;

			s->base[i] += fixed(at[1]);
			for (uint32_t pair = 0; pair < at[0]; pair++)
				s->sum[i * job->outputs + at[2 + 2 * pair]] += fixed(at[3 + 2 * pair]);
		}
	}
	return PGML_OK;
}

/* Turn the sums of record i into predictions. */
static void
predict_record(const Job *job, int64_t i, double *out)
{
	const PgmlForestData *d = job->data;
	const Sums *s = &job->sums[0];
	double sum = 0;

	for (int k = 0; k < job->outputs; k++)
	{
		out[k] = (double) s->sum[i * job->outputs + k] / UNIT / s->trees[i];
		if (job->outputs > 1)
			out[k] += (double) s->base[i] / UNIT / s->trees[i] * d->prior[k];
		sum += out[k];
	}
	if (d->task == PGML_TASK_REGRESSION)
		out[0] = d->scale * fmax(fmin(d->center + out[0], 1), -1);
	for (int k = 0; k < job->outputs && job->outputs > 1; k++)
		out[k] /= sum;
}

/* Add the threads' sums and hand out the predictions. */
static void
hand_out(const Job *job, int threads, double *out)
{
	const PgmlForestData *d = job->data;
	Sums *all = &job->sums[0];

	for (int t = 1; t < threads; t++)
		for (int64_t i = 0; i < d->n; i++)
		{
			all->trees[i] += job->sums[t].trees[i];
			if (all->base != NULL)
				all->base[i] += job->sums[t].base[i];
			for (int k = 0; k < job->outputs; k++)
				all->sum[i * job->outputs + k] += job->sums[t].sum[i * job->outputs + k];
		}
	for (int64_t i = 0; i < d->n; i++)
		if (all->trees[i] > 0)
			predict_record(job, i, out + (int64_t) d->position[i] * job->outputs);
}

PgmlStatus
pgml_forest_predict_oob(const PgmlEnv *env, const PgmlForestConfig *config,
						const PgmlForestData *data, const PgmlForestWriter *writer, double *out)
{
	int threads = pgml_pool_threads(env->pool);
	Job job = { .env = env, .config = config, .data = data, .writer = writer };
	PgmlArena *arena = pgml_arena_create(env->budget);
	size_t n = (size_t) data->n;
	PgmlStatus status = PGML_OK;

	job.outputs = pgml_task_outputs(data->task, data->n_classes);
	job.sums = arena ? pgml_zalloc(arena, (size_t) threads, sizeof(Sums)) : NULL;
	for (int t = 0; job.sums != NULL && t < threads && status == PGML_OK; t++)
	{
		Sums *s = &job.sums[t];

		s->drawn = pgml_array(arena, n, sizeof(uint16_t));
		s->trees = pgml_zalloc(arena, n, sizeof(uint32_t));
		s->sum = pgml_zalloc(arena, n * (size_t) job.outputs, sizeof(int64_t));
		s->base = job.outputs > 1 ? pgml_zalloc(arena, n, sizeof(int64_t)) : NULL;
		if (!s->drawn || !s->trees || !s->sum || (job.outputs > 1 && !s->base))
			status = pgml_fail_nomem(env, "out-of-bag predictions");
	}
	if (job.sums == NULL)
		status = pgml_fail_nomem(env, "out-of-bag predictions");
	if (status == PGML_OK)
		status = pgml_par_for(env, pgml_forest_written(writer), add_tree, &job);
	if (status == PGML_OK)
		hand_out(&job, threads, out);
	pgml_arena_destroy(arena);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : status;
}
