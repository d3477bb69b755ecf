/*
 * gbm_rows.c - bins of the learned rows, row after row, and parting rows by a set of bins.
 */
#include "learner/gbm_rows.h"

#include <string.h>

#include "core/par.h"
#include "learner/gbm_split.h"

#define TRANSPOSE_ROWS 2048
#define PARTITION_ROWS 4096

/*
 * Bytes from row to row: rows that share few cache lines are worth some padding, so the number of features is
 * rounded up to a power of two when that costs at most a quarter, else to 4.
 */
int32_t
pgml_gbm_rows_stride(int32_t nfeatures)
{
	int32_t power = 1;

	while (power < nfeatures && power < 64)
		power *= 2;
	if (power >= nfeatures && power - nfeatures <= nfeatures / 4)
		return power;
	return (nfeatures + 3) / 4 * 4;
}

int64_t
pgml_gbm_rows_size(int64_t n, int32_t nfeatures, bool by_row)
{
	return n * nfeatures + (by_row ? n * pgml_gbm_rows_stride(nfeatures) : 0);
}

PgmlStatus
pgml_gbm_rows_room(const PgmlEnv *env, PgmlArena *arena, int64_t n, int32_t stride, uint8_t **out)
{
	*out = pgml_array(arena, (size_t) n, (size_t) stride);
	return *out != NULL ? PGML_OK : pgml_fail_nomem(env, "bins of the training rows");
}

typedef struct CopyJob
{
	const PgmlBins *bins;
	const int32_t *rows;
	const PgmlGbmRows *out;
	uint8_t **column; /* NULL: the matrix's are used */
} CopyJob;

/* Copy one block of rows, feature by feature. */
static PgmlStatus
copy_rows(void *arg, int64_t block, int thread)
{
	const CopyJob *job = arg;
	const PgmlGbmRows *out = job->out;
	int64_t from = block * TRANSPOSE_ROWS;
	int64_t upto = from + TRANSPOSE_ROWS < out->n ? from + TRANSPOSE_ROWS : out->n;

	(void) thread;
	for (int32_t f = 0; f < job->bins->nfeatures; f++)
	{
		const uint8_t *bin = job->bins->bin[f];
		uint8_t *column = job->column ? job->column[f] : NULL;

		for (int64_t i = from; column && i < upto; i++)
			column[i] = bin[job->rows[i]];
		for (int64_t i = from; out->bin && i < upto; i++)
			out->bin[i * out->stride + f] = out->column[f][i];
	}
	return PGML_OK;
}

/* Columns for some rows of the matrix. */
static PgmlStatus
create_columns(const PgmlEnv *env, PgmlArena *arena, int64_t n, int32_t nfeatures, uint8_t ***out)
{
	uint8_t *all = pgml_array(arena, (size_t) n, (size_t) nfeatures);

	*out = pgml_array(arena, (size_t) nfeatures, sizeof(uint8_t *));
	if (all == NULL || *out == NULL)
		return pgml_fail_nomem(env, "bins of the training rows");
	for (int32_t f = 0; f < nfeatures; f++)
		(*out)[f] = all + f * n;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_rows_create(const PgmlEnv *env, PgmlArena *arena, const PgmlBins *bins,
					 const int32_t *rows, int64_t n, bool by_row, PgmlGbmRows *out)
{
	CopyJob job = { bins, rows, out, NULL };
	bool all = true;

	for (int64_t i = 0; i < n && all; i++)
		all = rows[i] == i;
	*out = (PgmlGbmRows){ .n = n, .stride = pgml_gbm_rows_stride(bins->nfeatures) };
	if (!all)
		PGML_TRY(create_columns(env, arena, n, bins->nfeatures, &job.column));
	out->column = all ? bins->bin : job.column;
	if (by_row)
		PGML_TRY(pgml_gbm_rows_room(env, arena, n, out->stride, &out->bin));
	return pgml_par_for(env, (n + TRANSPOSE_ROWS - 1) / TRANSPOSE_ROWS, copy_rows, &job);
}

PgmlStatus
pgml_gbm_partition_create(const PgmlEnv *env, PgmlArena *arena, int64_t n, PgmlGbmPartition *out)
{
	out->to_left = pgml_array(arena, (size_t) n, sizeof(int32_t));
	out->to_right = pgml_array(arena, (size_t) n, sizeof(int32_t));
	out->n_left = pgml_array(arena, (size_t) (n / PARTITION_ROWS + 1), sizeof(int64_t));
	out->before = pgml_array(arena, (size_t) (n / PARTITION_ROWS + 1), sizeof(int64_t));
	if (!out->to_left || !out->to_right || !out->n_left || !out->before)
		return pgml_fail_nomem(env, "training rows");
	return PGML_OK;
}

typedef struct PartitionJob
{
	const PgmlGbmPartition *partition;
	const PgmlGbmPartJob *part;
	const uint8_t *column;
	const int32_t *number;
	int32_t *index;
	uint8_t goes_left[PGML_GBM_BINS];
} PartitionJob;

/*
 * Sort n rows to the two sides; returns how many go left.  left may be where the rows are: no row is overwritten before it is
 * looked at.
 */
static int64_t
part(const PartitionJob *job, const int32_t *index, int64_t n, int32_t *left, int32_t *right)
{
	const int32_t *number = job->number;
	const uint8_t *column = job->column;
	int64_t nl = 0;

	for (int64_t i = 0; i < n; i++)
	{
		int32_t row = index[i];
		uint8_t go = job->goes_left[column[number ? number[row] : row]];

		left[nl] = row;
		right[i - nl] = row;
		nl += go;
	}
	return nl;
}

/* Sort the rows of one block to the two sides. */
static PgmlStatus
partition_block(void *arg, int64_t block, int thread)
{
	const PartitionJob *job = arg;
	int64_t from = block * PARTITION_ROWS;
	int64_t n = job->part->n - from < PARTITION_ROWS ? job->part->n - from : PARTITION_ROWS;

	(void) thread;
	job->partition->n_left[block] = part(job, job->index + from, n, job->partition->to_left + from,
										 job->partition->to_right + from);
	return PGML_OK;
}

/* Copy the two sides of one block to their places. */
static PgmlStatus
gather_block(void *arg, int64_t block, int thread)
{
	const PartitionJob *job = arg;
	int64_t from = block * PARTITION_ROWS;
	int64_t n = job->part->n - from < PARTITION_ROWS ? job->part->n - from : PARTITION_ROWS;
	int64_t before = job->partition->before[block];
	int64_t nl = job->partition->n_left[block];

	(void) thread;
	memcpy(job->index + before, job->partition->to_left + from, (size_t) nl * sizeof(int32_t));
	memcpy(job->index + job->part->n_left + from - before, job->partition->to_right + from,
		   (size_t) (n - nl) * sizeof(int32_t));
	return PGML_OK;
}

PgmlStatus
pgml_gbm_part_rows(const PgmlEnv *env, const PgmlGbmPartition *partition,
				   const PgmlGbmPartJob *part_job, bool alone)
{
	PartitionJob job = { .partition = partition,
						 .part = part_job,
						 .column = part_job->rows->column[part_job->feature],
						 .number = part_job->rows->number,
						 .index = part_job->index + part_job->begin };
	int64_t n = part_job->n;
	int64_t blocks = (n + PARTITION_ROWS - 1) / PARTITION_ROWS;

	for (uint32_t b = 0; b < PGML_GBM_BINS; b++)
		job.goes_left[b] = pgml_gbm_in_set(part_job->set, b);
	if (!alone || blocks < 2 || pgml_pool_threads(env->pool) == 1)
	{
		/* The part of the memory that is theirs as the rows are. */
		int32_t *right = partition->to_right + part_job->begin;
		int64_t nl = part(&job, job.index, n, job.index, right);

		memcpy(job.index + nl, right, (size_t) (n - nl) * sizeof(int32_t));
		return PGML_OK;
	}
	PGML_TRY(pgml_par_for(env, blocks, partition_block, &job));
	partition->before[0] = 0;
	for (int64_t b = 1; b < blocks; b++)
		partition->before[b] = partition->before[b - 1] + partition->n_left[b - 1];
	return pgml_par_for(env, blocks, gather_block, &job);
}

void
pgml_gbm_merge_rows(const PgmlGbmPartition *partition, int32_t *index, int64_t begin, int64_t n,
					int64_t n_left)
{
	int32_t *left = partition->to_left + begin;
	int32_t *merged = index + begin;
	int64_t i = 0, l = 0, r = n_left;

	memcpy(left, merged, (size_t) n_left * sizeof(int32_t));
	while (l < n_left && r < n)
	{
		int32_t a = left[l], b = merged[r];
		bool right = b < a;

		/* Which one comes next is anybody's guess: no branch. */
		merged[i++] = right ? b : a;
		r += right;
		l += !right;
	}
	memcpy(merged + i, left + l, (size_t) (n_left - l) * sizeof(int32_t));
}
