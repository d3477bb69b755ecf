/* gbm_sample.c - the rows that a round of boosting learns from. */
#include "learner/gbm_sample.h"

#include <math.h>
#include <string.h>

#include "core/par.h"

#define DRAW_ROWS 8192

/* Below this many rows expected, a round has room for all: it may come to that. */
#define FEW_EXPECTED 64

/* Rows that a round has room for: the number expected and more than six standard deviations. */
static int64_t
capacity_for(int64_t n, double fraction)
{
	double expected = (double) n * fraction;
	double most = expected + 4 * sqrt((double) n) + 64;

	return expected < FEW_EXPECTED || most >= (double) n ? n : (int64_t) most;
}

static int64_t
count_blocks(int64_t n)
{
	return (n + DRAW_ROWS - 1) / DRAW_ROWS;
}

int64_t
pgml_gbm_sample_size(const PgmlDataset *data, double fraction)
{
	int64_t capacity = capacity_for(data->n, fraction);

	return capacity * (pgml_gbm_rows_stride(data->x->nfeatures) + (int64_t) sizeof(int32_t)) +
		   count_blocks(data->n) * (int64_t) sizeof(int64_t) + pgml_gbm_target_size(data, capacity);
}

PgmlStatus
pgml_gbm_sample_create(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
					   double fraction, PgmlGbmSample *out)
{
	*out = (PgmlGbmSample){ .fraction = fraction, .capacity = capacity_for(data->n, fraction) };
	out->number = pgml_array(arena, (size_t) out->capacity, sizeof(int32_t));
	out->n_block = pgml_array(arena, (size_t) count_blocks(data->n), sizeof(int64_t));
	if (out->number == NULL || out->n_block == NULL)
		return pgml_fail_nomem(env, "drawn rows");
	out->rows.stride = pgml_gbm_rows_stride(data->x->nfeatures);
	out->rows.number = out->number;
	PGML_TRY(pgml_gbm_rows_room(env, arena, out->capacity, out->rows.stride, &out->rows.bin));
	return pgml_gbm_target_room(env, arena, data, out->capacity, &out->target);
}

typedef struct DrawJob
{
	PgmlGbmSample *sample;
	const PgmlGbmRows *rows;
	const PgmlGbmTarget *target;
	uint32_t seed;
	uint32_t bound; /* rows with less noise are drawn */
} DrawJob;

/* Which of n rows from row `from` are drawn, 1 or 0 each; returns their number. */
PGML_GBM_CLONES static int64_t
draw_rows(uint32_t seed, uint32_t bound, uint32_t from, int32_t n, uint8_t *in)
{
	int32_t drawn = 0;

	for (int32_t i = 0; i < n; i++)
	{
		int32_t yes = pgml_gbm_row_noise(from + (uint32_t) i, seed) < bound;

		in[i] = (uint8_t) yes;
		drawn += yes;
	}
	return drawn;
}

static PgmlStatus
count_block(void *arg, int64_t block, int thread)
{
	const DrawJob *job = arg;
	int64_t from = block * DRAW_ROWS;
	int64_t n = job->rows->n - from < DRAW_ROWS ? job->rows->n - from : DRAW_ROWS;
	uint8_t in[DRAW_ROWS];

	(void) thread;
	job->sample->n_block[block] =
		draw_rows(job->seed, job->bound, (uint32_t) from, (int32_t) n, in);
	return PGML_OK;
}

/* Copy the bins of n drawn rows to place `to`. */
static void
copy_bins(const DrawJob *job, int64_t to, int64_t n)
{
	const PgmlGbmRows *from = job->rows;
	const int32_t *number = job->sample->number + to;
	uint8_t *bin = job->sample->rows.bin + to * from->stride;

	if (from->stride == 32)
		for (int64_t i = 0; i < n; i++)
			memcpy(bin + i * 32, from->bin + (int64_t) number[i] * 32, 32);
	else
		for (int64_t i = 0; i < n; i++)
			memcpy(bin + i * from->stride, from->bin + (int64_t) number[i] * from->stride,
				   (size_t) from->stride);
}

/* Copy targets, weights and scores of n drawn rows to place `to`. */
static void
copy_targets(const DrawJob *job, int64_t to, int64_t n)
{
	const PgmlGbmTarget *from = job->target;
	PgmlGbmTarget *t = &job->sample->target;
	const int32_t *number = job->sample->number + to;

	for (int64_t i = 0; i < n; i++)
		t->y[to + i] = from->y[number[i]];
	for (int64_t i = 0; t->w && i < n; i++)
		t->w[to + i] = from->w[number[i]];
	for (int k = 0; k < t->n_outputs; k++)
	{
		const double *score = from->score + k * from->n;
		double *out = t->score + k * t->n + to;

		for (int64_t i = 0; i < n; i++)
			out[i] = score[number[i]];
	}
}

/* List the drawn rows of a block and copy what is known of them; n_block is the place of the first now. */
static PgmlStatus
copy_block(void *arg, int64_t block, int thread)
{
	const DrawJob *job = arg;
	PgmlGbmSample *sample = job->sample;
	int64_t from = block * DRAW_ROWS;
	int64_t upto = from + DRAW_ROWS < job->rows->n ? from + DRAW_ROWS : job->rows->n;
	int64_t first = sample->n_block[block];
	int64_t n = 0;
	int32_t listed[DRAW_ROWS];
	uint8_t in[DRAW_ROWS];

	(void) thread;
	(void) draw_rows(job->seed, job->bound, (uint32_t) from, (int32_t) (upto - from), in);
	for (int64_t i = from; i < upto; i++)
	{
		listed[n] = (int32_t) i;
		n += in[i - from];
	}
	n = n < sample->capacity - first ? n : sample->capacity - first;
	if (n <= 0)
		return PGML_OK;
	memcpy(sample->number + first, listed, (size_t) n * sizeof(int32_t));
	copy_bins(job, first, n);
	copy_targets(job, first, n);
	return PGML_OK;
}

PgmlStatus
pgml_gbm_sample_draw(const PgmlEnv *env, PgmlGbmSample *sample, uint64_t seed,
					 const PgmlGbmRows *rows, const PgmlGbmTarget *target)
{
	DrawJob job = { .sample = sample,
					.rows = rows,
					.target = target,
					.seed = (uint32_t) (seed ^ seed >> 32),
					.bound = (uint32_t) ldexp(sample->fraction, 32) };
	int64_t blocks = count_blocks(rows->n);
	int64_t n = 0;

	PGML_TRY(pgml_par_for(env, blocks, count_block, &job));
	for (int64_t b = 0; b < blocks; b++)
		n += sample->n_block[b];
	if (n == 0 && sample->capacity == rows->n)
	{
		job.bound = UINT32_MAX;
		PGML_TRY(pgml_par_for(env, blocks, count_block, &job));
	}
	n = 0;
	for (int64_t b = 0; b < blocks; b++)
	{
		int64_t more = sample->n_block[b];

		sample->n_block[b] = n;
		n += more;
	}
	sample->rows.n = n < sample->capacity ? n : sample->capacity;
	sample->rows.column = rows->column;
	pgml_gbm_target_follow(target, sample->rows.n, &sample->target);
	return pgml_par_for(env, blocks, copy_block, &job);
}
