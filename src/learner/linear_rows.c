/*
 * linear_rows.c - rows of the design, block by block.
 *
 * A block is computed from the matrix in every pass, or read from a float32 copy when the copy is small
 * enough; both give the same numbers.  How rows are cut into blocks and chunks follows from the shape of
 * the data alone, never from the threads.
 */
#include "learner/linear_internal.h"

#include <string.h>

#include "core/clock.h"
#include "core/par.h"

#define POLL_ROWS 65536

/* Numbers in a block, and in the sums of all chunks. */
#define BLOCK_NUMBERS  262144
#define MIN_BLOCK_ROWS 16
#define MAX_BLOCK_ROWS 2048
#define CHUNK_NUMBERS  ((int64_t) 4 << 20)

/* Of a row's target and weight. */
#define TARGET_BYTES ((int64_t) (2 * sizeof(double)))

/* Numbers of one numeric feature into its dense columns: coefficient row 1 is the first. */
static void
fill_number(const PgmlLinearFeature *f, const float *col, const int32_t *row, int64_t n, int width,
			float *dense)
{
	for (int64_t i = 0; i < n; i++)
	{
		float *out = dense + i * width;
		float x = col[row[i]];
		double v = isnan(x) ? 0 : pgml_linear_clip(f, x);

		if (f->row != 0)
			out[f->row - 1] = isnan(x) ? 0 : (float) pgml_linear_value(f, v);
		if (f->log_row != 0)
			out[f->log_row - 1] = isnan(x) ? 0 : (float) pgml_linear_log_value(f, v);
		if (f->missing_row != 0)
			out[f->missing_row - 1] = isnan(x) ? 1 : 0;
	}
}

/* The design of n rows: dense columns as float32, and the coefficient rows of the categories. */
static void
fill_rows(const PgmlLinearDesign *design, const int32_t *row, int64_t n, float *dense,
		  int32_t *level)
{
	const PgmlMatrix *x = design->data->x;
	int c = design->n_categories;
	int category = 0;

	for (int32_t number = 0; number < x->nfeatures; number++)
	{
		const PgmlLinearFeature *f = &design->features[number];
		const float *col = x->col[number];

		if (f->kind == PGML_LINEAR_NUMBER)
			fill_number(f, col, row, n, design->n_dense, dense);
		else
		{
			for (int64_t i = 0; i < n; i++)
				level[i * c + category] = (int32_t) pgml_linear_level_row(f, col[row[i]]);
			category++;
		}
	}
}

typedef struct CacheFill
{
	const PgmlEnv *env;
	const PgmlLinearDesign *design;
	PgmlLinearRows *rows;
} CacheFill;

/* One block of the copy; after the deadline nothing more is copied. */
static PgmlStatus
fill_cache(void *arg, int64_t b, int thread)
{
	CacheFill *fill = arg;
	PgmlLinearRows *rows = fill->rows;
	int64_t first = b * rows->block_rows;
	int64_t n = rows->n - first < rows->block_rows ? rows->n - first : rows->block_rows;

	(void) thread;
	if (pgml_out_of_time(fill->env))
		return PGML_OK;
	fill_rows(fill->design, rows->row + first, n, rows->dense + first * fill->design->n_dense,
			  rows->level + first * fill->design->n_categories);
	return PGML_OK;
}

/* Rows of a block when each takes `width` numbers. */
static int64_t
rows_of_block(int64_t width)
{
	int64_t rows = BLOCK_NUMBERS / width;

	rows = rows > MAX_BLOCK_ROWS ? MAX_BLOCK_ROWS : rows;
	return rows < MIN_BLOCK_ROWS ? MIN_BLOCK_ROWS : rows;
}

/* How the passes over n rows are cut: from the shape of the data alone, never from the threads. */
static void
cut_rows(const PgmlLinearDesign *design, PgmlLinearRows *rows)
{
	int64_t width = design->n_dense + design->n_categories + design->outputs + 1;
	int64_t coefs = design->n_rows * design->outputs;
	int64_t most = CHUNK_NUMBERS / coefs;

	rows->block_rows = rows_of_block(width);
	rows->n_blocks = (rows->n + rows->block_rows - 1) / rows->block_rows;
	if (most > PGML_LINEAR_MAX_CHUNKS)
		most = PGML_LINEAR_MAX_CHUNKS;
	if (most < 1)
		most = 1;
	rows->n_chunks = rows->n_blocks < most ? rows->n_blocks : most;
}

PgmlStatus
pgml_linear_rows(const PgmlEnv *env, PgmlArena *arena, const PgmlLinearDesign *design,
				 const int32_t *row, int64_t n, PgmlLinearRows *rows)
{
	int64_t width = design->n_dense + design->n_categories;

	memset(rows, 0, sizeof(*rows));
	rows->row = row;
	rows->n = n;
	for (int64_t i = 0; i < n; i++)
	{
		double w = pgml_linear_weight(design->data, row[i]);

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		rows->weight += w;
		rows->n_weighted += w > 0;
	}
	cut_rows(design, rows);
	if (n * width * (int64_t) sizeof(float) > design->cache_bytes)
		return PGML_OK;
	rows->dense = pgml_array(arena, (size_t) (n * design->n_dense) + 1, sizeof(float));
	rows->level = pgml_array(arena, (size_t) (n * design->n_categories) + 1, sizeof(int32_t));
	if (rows->dense == NULL || rows->level == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");

	CacheFill fill = { .env = env, .design = design, .rows = rows };

	if (pgml_par_for(env, rows->n_blocks, fill_cache, &fill) != PGML_OK)
		return pgml_fail_cancelled(env);
	if (pgml_clock_ends(env, pgml_out_of_time(env))) /* blocks may be missing */
	{
		rows->dense = NULL;
		rows->level = NULL;
	}
	return PGML_OK;
}

/* Scaled targets and weights of n rows. */
static void
fill_targets(const PgmlLinearDesign *design, double total, const int32_t *row, int64_t n, double *y,
			 double *w)
{
	const PgmlDataset *data = design->data;

	for (int64_t i = 0; i < n; i++)
	{
		w[i] = pgml_linear_weight(data, row[i]) / total;
		/* A target without a weight may be of any size: no square of it is to meet the weight 0. */
		y[i] = w[i] > 0 ? (data->y[row[i]] / design->y_unit - design->y_mean) / design->y_sd : 0;
	}
}

PgmlStatus
pgml_linear_keep_targets(const PgmlEnv *env, PgmlArena *arena, const PgmlLinearDesign *design,
						 PgmlLinearRows *rows)
{
	size_t n = (size_t) rows->n;

	if (rows->dense == NULL || rows->n * TARGET_BYTES > design->cache_bytes)
		return PGML_OK;
	rows->y = pgml_array(arena, n + 1, sizeof(double));
	rows->w = pgml_array(arena, n + 1, sizeof(double));
	if (rows->y == NULL || rows->w == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	for (int64_t i = 0; i < rows->n; i += POLL_ROWS)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		fill_targets(design, rows->weight, rows->row + i,
					 rows->n - i < POLL_ROWS ? rows->n - i : POLL_ROWS, rows->y + i, rows->w + i);
	}
	return PGML_OK;
}

/* Rows that a block of the dataset's rows can have: no more than there are. */
static int64_t
largest_block(const PgmlDataset *data, int64_t block_rows)
{
	int64_t n = data->valid_rows != NULL && data->n_valid > data->n ? data->n_valid : data->n;

	return n < block_rows ? n : block_rows;
}

PgmlLinearBlock *
pgml_linear_blocks(const PgmlEnv *env, PgmlArena *arena, const PgmlLinearDesign *design,
				   const PgmlLinearRows *rows)
{
	int threads = pgml_pool_threads(env->pool);
	size_t n = (size_t) largest_block(design->data, rows->block_rows);
	PgmlLinearBlock *blocks = pgml_zalloc(arena, (size_t) threads, sizeof(PgmlLinearBlock));

	for (int t = 0; blocks != NULL && t < threads; t++)
	{
		PgmlLinearBlock *b = &blocks[t];

		b->narrow = pgml_array(arena, n * (size_t) design->n_dense + 1, sizeof(float));
		b->dense = pgml_array(arena, n * (size_t) design->n_dense + 1, sizeof(double));
		b->codes = pgml_array(arena, n * (size_t) design->n_categories + 1, sizeof(int32_t));
		b->targets = pgml_array(arena, n, sizeof(double));
		b->weights = pgml_array(arena, n, sizeof(double));
		b->z = pgml_array(arena, n * (size_t) design->outputs, sizeof(double));
		b->weight = pgml_array(arena, n, sizeof(double));
		b->chosen = pgml_array(arena, n * (size_t) (design->n_dense + 2), sizeof(double));
		if (b->narrow == NULL || b->dense == NULL || b->codes == NULL || b->targets == NULL ||
			b->weights == NULL || b->z == NULL || b->weight == NULL || b->chosen == NULL)
			return NULL;
	}
	return blocks;
}

void
pgml_linear_widen(const PgmlLinearDesign *design, PgmlLinearBlock *block)
{
	for (int64_t i = 0; i < block->n * design->n_dense; i++)
		block->dense[i] = block->source[i];
}

void
pgml_linear_load(const PgmlLinearDesign *design, const PgmlLinearRows *rows, int64_t b,
				 PgmlLinearBlock *block)
{
	int64_t first = b * rows->block_rows;
	int64_t n = rows->n - first < rows->block_rows ? rows->n - first : rows->block_rows;

	block->n = n;
	block->source = block->narrow;
	block->level = block->codes;
	block->y = block->targets;
	block->w = block->weights;
	if (rows->dense != NULL)
	{
		block->source = rows->dense + first * design->n_dense;
		block->level = rows->level + first * design->n_categories;
	}
	else
		fill_rows(design, rows->row + first, n, block->narrow, block->codes);
	if (rows->y != NULL)
	{
		block->y = rows->y + first;
		block->w = rows->w + first;
	}
	else
		fill_targets(design, rows->weight, rows->row + first, n, block->targets, block->weights);
}

/* Numbers that a row of the design takes at most. */
static int64_t
max_width(const PgmlDataset *data)
{
	int64_t width = pgml_task_outputs(data->task, data->n_classes) + 1;

	for (int32_t f = 0; f < data->x->nfeatures; f++)
		width += data->x->features[f].categorical ? 1 : 3;
	return width;
}

int64_t
pgml_linear_rows_memory(const PgmlDataset *data)
{
	int64_t width = max_width(data);
	int64_t rows = data->n + (data->valid_rows != NULL ? data->n_valid : 0);
	int64_t copies = rows * width * (int64_t) sizeof(float);
	int64_t targets = rows * TARGET_BYTES;
	int64_t block = BLOCK_NUMBERS > MIN_BLOCK_ROWS * width ? BLOCK_NUMBERS : MIN_BLOCK_ROWS * width;
	int64_t most = largest_block(data, MAX_BLOCK_ROWS) * width;

	block = (block < most ? block : most) * (int64_t) (sizeof(float) + 2 * sizeof(double));
	if (copies > 2 * PGML_LINEAR_COPY_BYTES)
		copies = 2 * PGML_LINEAR_COPY_BYTES;
	if (targets > 2 * PGML_LINEAR_COPY_BYTES)
		targets = 2 * PGML_LINEAR_COPY_BYTES;
	return copies + targets + block;
}

int64_t
pgml_linear_max_chunks(const PgmlDataset *data)
{
	int64_t n = data->valid_rows != NULL && data->n_valid > data->n ? data->n_valid : data->n;
	int64_t blocks = n / rows_of_block(max_width(data)) + 1;

	return blocks < PGML_LINEAR_MAX_CHUNKS ? blocks : PGML_LINEAR_MAX_CHUNKS;
}
