/*
 * oblivious_leaf.c - leaves of rows, leaf values, scores of rows.
 *
 * Sums over rows are made in chunks whose number does not depend on the threads, and added up in their order.
 */
#include "learner/oblivious_leaf.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/par.h"

#define CHUNKS 16
#define TILE   256 /* rows that are derived together */

/* Newton steps end when the next one would gain less than this share of what the others have gained. */
#define SMALL_GAIN 0.0025

/* Largest Newton step in log-odds: where almost no second derivative is left its length says nothing. */
#define LARGEST_STEP 20.0

int64_t
pgml_obl_leaves_size(const PgmlOblConfig *config, int64_t n, int n_outputs)
{
	return n * (int64_t) sizeof(uint16_t) +
		   ((int64_t) 1 << config->depth) * n_outputs * (2 * CHUNKS + 1) *
			   (int64_t) sizeof(double) +
		   (int64_t) CHUNKS * (n_outputs + 2) * TILE * (int64_t) sizeof(double);
}

PgmlStatus
pgml_obl_leaves_create(const PgmlEnv *env, PgmlArena *arena, const PgmlOblConfig *config, int64_t n,
					   int n_outputs, PgmlOblLeaves *out)
{
	size_t sums = ((size_t) 1 << config->depth) * (size_t) n_outputs;

	out->leaf = pgml_array(arena, (size_t) n, sizeof(uint16_t));
	out->g = pgml_array(arena, CHUNKS * sums, sizeof(double));
	out->h = pgml_array(arena, CHUNKS * sums, sizeof(double));
	out->step = pgml_array(arena, sums, sizeof(double));
	out->moved =
		pgml_array(arena, (size_t) CHUNKS * TILE * ((size_t) n_outputs + 2), sizeof(double));
	if (!out->leaf || !out->g || !out->h || !out->step || !out->moved)
		return pgml_fail_nomem(env, "leaves");
	return PGML_OK;
}

/* ---- leaves of rows ---- */

typedef struct FindJob
{
	const PgmlOblTree *tree;
	const PgmlOblColumn *column;
	int64_t n;
	uint16_t *leaf;
} FindJob;

/* Bins of n rows, one after another: those of the column itself where it has them so. */
static const uint8_t *
gather_bins(const PgmlOblColumn *column, int64_t from, int n, uint8_t *room)
{
	if (column->number == NULL && column->stride == 1 && !column->coded)
		return column->at + from;
	if (column->coded)
		for (int i = 0; i < n; i++)
			room[i] = column->value[pgml_obl_byte(column, from + i)];
	else if (column->number == NULL)
		for (int i = 0; i < n; i++)
			room[i] = column->at[(from + i) * column->stride];
	else
		for (int i = 0; i < n; i++)
			room[i] = column->at[column->number[from + i] * column->stride];
	return room;
}

/* Add the bit of a level to the leaves of n rows. */
PGML_CLONES static void
add_bit(const PgmlOblSplit *split, int level, const uint8_t *bins, int n, uint16_t *restrict leaf)
{
	uint8_t bin = (uint8_t) split->bin;

	if (split->kind == PGML_OBL_LEVEL)
		for (int i = 0; i < n; i++)
			leaf[i] = (uint16_t) (leaf[i] | (bins[i] == bin) << level);
	else
		for (int i = 0; i < n; i++)
			leaf[i] = (uint16_t) (leaf[i] | (bins[i] > bin) << level);
}

/* Leaves of one block of rows. */
static PgmlStatus
find_block(void *arg, int64_t block, int thread)
{
	const FindJob *job = arg;
	const PgmlOblTree *tree = job->tree;
	int64_t from = block * PGML_OBL_BLOCK;
	int n = (int) (job->n - from < PGML_OBL_BLOCK ? job->n - from : PGML_OBL_BLOCK);
	uint16_t *leaf = job->leaf + from;
	uint8_t room[PGML_OBL_BLOCK];

	(void) thread;
	memset(leaf, 0, (size_t) n * sizeof(*leaf));
	for (int d = 0; !tree->depthwise && d < tree->depth; d++)
		add_bit(&tree->split[d], d, gather_bins(&job->column[d], from, n, room), n, leaf);
	for (int i = 0; tree->depthwise && i < n; i++)
	{
		int32_t at = 0;

		for (int d = 0; d < tree->depth; d++)
		{
			const PgmlOblSplit *split = &tree->split[at];
			bool go = split->column >= 0 &&
					  pgml_obl_true(split, pgml_obl_bin(&job->column[at], from + i));

			at = 2 * at + 1 + go;
		}
		leaf[i] = (uint16_t) (at - ((1 << tree->depth) - 1));
	}
	return PGML_OK;
}

PgmlStatus
pgml_obl_find_leaves(const PgmlEnv *env, const PgmlOblTree *tree, const PgmlOblColumn *column,
					 int64_t n, uint16_t *leaf)
{
	FindJob job = { tree, column, n, leaf };

	return pgml_par_for(env, pgml_obl_blocks(n), find_block, &job);
}

/* ---- values ---- */

typedef struct ValueJob
{
	const PgmlEnv *env;
	const PgmlGbmTarget *target;
	const PgmlOblTree *tree;
	PgmlOblLeaves *leaves;
	const double *g; /* logistic loss: the gradients at the scores, NULL: not known */
	bool moved;      /* the scores are those with the leaves' present steps */
	int64_t chunk_rows;
	int32_t n_leaves;
} ValueJob;

/* The n rows from row `from` on by themselves, with the scores that they have after the leaves' steps; room: (n_outputs + 2) * TILE. */
static PgmlGbmTarget
move_rows(const ValueJob *job, int64_t from, int n, double *room)
{
	const PgmlGbmTarget *t = job->target;
	const uint16_t *leaf = job->leaves->leaf + from;
	PgmlGbmTarget moved = *t;

	moved.n = n;
	moved.y = t->y + from;
	moved.score = room;
	moved.highest = room + t->n_outputs * TILE;
	moved.inverse = moved.highest + TILE;
	for (int k = 0; k < t->n_outputs; k++)
	{
		const double *score = t->score + k * t->n + from;
		const double *step = job->leaves->step + k;

		for (int i = 0; i < n; i++)
			moved.score[k * n + i] = score[i] + step[leaf[i] * t->n_outputs];
	}
	pgml_gbm_prepare_rows(&moved, 0, n);
	return moved;
}

/* Derivatives of n rows of output k at weight 1, at the scores. */
PGML_CLONES static void
derive(const ValueJob *job, int k, int64_t from, int n, double *g, double *h)
{
	if (job->g == NULL)
	{
		pgml_gbm_raw_gradients(job->target, k, from, n, g, h);
		return;
	}
	memcpy(g, job->g + from, (size_t) n * sizeof(*g));
	for (int i = 0; i < n; i++)
		h[i] = fabs(g[i]) * (1 - fabs(g[i]));
}

/* Sums of one chunk. */
static PgmlStatus
sum_chunk(void *arg, int64_t chunk, int thread)
{
	const ValueJob *job = arg;
	const PgmlGbmTarget *t = job->target;
	int64_t from = chunk * job->chunk_rows;
	int64_t upto = from + job->chunk_rows < t->n ? from + job->chunk_rows : t->n;
	size_t sums = (size_t) job->n_leaves * (size_t) t->n_outputs;
	double *sum_g = job->leaves->g + (size_t) chunk * sums;
	double *sum_h = job->leaves->h + (size_t) chunk * sums;
	double *room = job->leaves->moved + chunk * (t->n_outputs + 2) * TILE;
	double g[TILE], h[TILE];

	(void) thread;
	memset(sum_g, 0, sums * sizeof(double));
	memset(sum_h, 0, sums * sizeof(double));
	for (; from < upto; from += TILE)
	{
		int n = (int) (upto - from < TILE ? upto - from : TILE);
		const uint16_t *leaf = job->leaves->leaf + from;
		PgmlGbmTarget moved;

		if (pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		if (job->moved)
			moved = move_rows(job, from, n, room);
		for (int k = 0; k < t->n_outputs; k++)
		{
			if (job->moved)
				pgml_gbm_raw_gradients(&moved, k, 0, n, g, h);
			else
				derive(job, k, from, n, g, h);
			for (int i = 0; i < n; i++)
			{
				size_t at = (size_t) leaf[i] * (size_t) t->n_outputs + (size_t) k;
				double w = t->w ? t->w[from + i] : 1;

				sum_g[at] += w * g[i];
				sum_h[at] += w * h[i];
			}
		}
	}
	return PGML_OK;
}

/*
 * Newton's step of each leaf and output is added to its step, and what the steps gain to *gained; returns what the next ones would gain at
 * most.  The penalty shortens a step without being part of the loss: where it is most of the denominator, many steps in a row gain as much.
 */
static double
step_leaves(const ValueJob *job, int64_t chunks, double l2, double *gained)
{
	const PgmlOblLeaves *leaves = job->leaves;
	size_t sums = (size_t) job->n_leaves * (size_t) job->target->n_outputs;
	double next = 0;

	for (size_t i = 0; i < sums; i++)
	{
		double g = 0, h = 0, d, step, left;

		for (int64_t c = 0; c < chunks; c++)
		{
			g += leaves->g[(size_t) c * sums + i];
			h += leaves->h[(size_t) c * sums + i];
		}
		h = h > 0 ? h : 0;
		d = h + l2;
		step = d > 0 ? -g / d : 0;
		step = isfinite(step) ? step : 0;
		if (job->target->task != PGML_TASK_REGRESSION)
			step = fmin(fmax(step, -LARGEST_STEP), LARGEST_STEP);
		leaves->step[i] += step;
		*gained += fabs(g * step);
		/* The second derivatives of the logistic loss and of softmax change by less than themselves in a unit. */
		left = d > 0 ? fmin(fabs(g) * l2 / d + h * step * step / 2, fabs(g)) : 0;
		next += d > 0 ? left * left / d : 0;
	}
	return next;
}

PgmlStatus
pgml_obl_set_values(const PgmlEnv *env, const PgmlOblConfig *config, const PgmlGbmTarget *target,
					const double *g, PgmlOblLeaves *leaves, PgmlOblTree *tree)
{
	int64_t per_chunk = (pgml_obl_blocks(target->n) + CHUNKS - 1) / CHUNKS;
	ValueJob job = { .env = env,
					 .target = target,
					 .tree = tree,
					 .g = target->task == PGML_TASK_BINARY ? g : NULL,
					 .leaves = leaves,
					 .chunk_rows = per_chunk * PGML_OBL_BLOCK,
					 .n_leaves = 1 << tree->depth };
	int64_t chunks = (target->n + job.chunk_rows - 1) / job.chunk_rows;
	size_t sums = (size_t) job.n_leaves * (size_t) target->n_outputs;
	double l2 = config->l2 * target->weight / (double) target->n;
	int rounds = target->task == PGML_TASK_REGRESSION ? 1 : config->leaf_iterations;
	double gained = 0;

	memset(leaves->step, 0, sums * sizeof(double));
	for (int round = 0; round < rounds; round++)
	{
		job.moved = round > 0;
		PGML_TRY(pgml_par_for(env, chunks, sum_chunk, &job));
		if (step_leaves(&job, chunks, l2, &gained) < SMALL_GAIN * gained)
			break;
	}
	for (size_t i = 0; i < sums; i++)
		tree->value[i] = config->learning_rate * leaves->step[i];
	return PGML_OK;
}

/* ---- covers ---- */

typedef struct CoverJob
{
	const PgmlEnv *env;
	const PgmlGbmTarget *target;
	const PgmlOblLeaves *leaves;
	int64_t chunk_rows;
	int32_t n_leaves;
} CoverJob;

/* Weights of one chunk. */
static PgmlStatus
cover_chunk(void *arg, int64_t chunk, int thread)
{
	const CoverJob *job = arg;
	const PgmlGbmTarget *t = job->target;
	const uint16_t *leaf = job->leaves->leaf;
	double *sum = job->leaves->g + chunk * job->n_leaves;
	int64_t upto = (chunk + 1) * job->chunk_rows;

	(void) thread;
	memset(sum, 0, (size_t) job->n_leaves * sizeof(double));
	upto = upto < t->n ? upto : t->n;
	for (int64_t from = chunk * job->chunk_rows; from < upto; from += PGML_OBL_BLOCK)
	{
		int64_t end = from + PGML_OBL_BLOCK < upto ? from + PGML_OBL_BLOCK : upto;

		if (pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		for (int64_t i = from; i < end; i++)
			sum[leaf[i]] += t->w ? t->w[i] : 1;
	}
	return PGML_OK;
}

PgmlStatus
pgml_obl_set_covers(const PgmlEnv *env, const PgmlGbmTarget *target, const PgmlOblLeaves *leaves,
					PgmlOblTree *tree)
{
	int64_t per_chunk = (pgml_obl_blocks(target->n) + CHUNKS - 1) / CHUNKS;
	CoverJob job = { .env = env,
					 .target = target,
					 .leaves = leaves,
					 .chunk_rows = per_chunk * PGML_OBL_BLOCK,
					 .n_leaves = 1 << tree->depth };
	int64_t chunks = (target->n + job.chunk_rows - 1) / job.chunk_rows;

	PGML_TRY(pgml_par_for(env, chunks, cover_chunk, &job));
	for (int32_t leaf = 0; leaf < job.n_leaves; leaf++)
	{
		double sum = 0;

		for (int64_t c = 0; c < chunks; c++)
			sum += leaves->g[c * job.n_leaves + leaf];
		tree->cover[leaf] = (float) fmin(sum, FLT_MAX);
	}
	return PGML_OK;
}

/* ---- scores ---- */

typedef struct AddJob
{
	const PgmlOblTree *tree;
	const uint16_t *leaf;
	PgmlGbmTarget *target;
} AddJob;

static PgmlStatus
add_block(void *arg, int64_t block, int thread)
{
	const AddJob *job = arg;
	PgmlGbmTarget *t = job->target;
	int64_t from = block * PGML_OBL_BLOCK;
	int64_t upto = from + PGML_OBL_BLOCK < t->n ? from + PGML_OBL_BLOCK : t->n;

	(void) thread;
	for (int k = 0; k < t->n_outputs; k++)
	{
		double *score = t->score + k * t->n;
		const double *value = job->tree->value + k;

		for (int64_t i = from; i < upto; i++)
			score[i] += value[job->leaf[i] * t->n_outputs];
	}
	return PGML_OK;
}

PgmlStatus
pgml_obl_add_values(const PgmlEnv *env, const PgmlOblTree *tree, const uint16_t *leaf,
					PgmlGbmTarget *target)
{
	AddJob job = { tree, leaf, target };

	return pgml_par_for(env, pgml_obl_blocks(target->n), add_block, &job);
}
