/*
 * gbm_hist.c - sums of gradients per bin.
 *
 * Adding up is the hot loop of training.  Rows are taken in chunks: the chunk's gradients are gathered once, then
 * groups of features pass over them, each group's histograms staying in the L1 cache and the chunk's bins in
 * the L1 and L2 caches.  An entry is one 128-bit integer addition.
 */
#include "learner/gbm_hist.h"

#include <string.h>

#include "core/par.h"
#include "learner/gbm_packed.h"

#define CHUNK 256

/* Rows from which on each of a few threads takes some of them: each row is then fetched by one thread only. */
#define PART_ROWS 8192

/* A PgmlGbmSum as one register. */
typedef int64_t SumVector __attribute__((vector_size(16), may_alias));

/* Up to PGML_GBM_GROUP features: their byte in a row, and their histogram. */
typedef struct Group
{
	int32_t n;
	int32_t position[PGML_GBM_GROUP];
	SumVector *hist[PGML_GBM_GROUP];
} Group;

PgmlStatus
pgml_gbm_layout_create(const PgmlEnv *env, PgmlArena *arena, const PgmlBins *bins,
					   PgmlGbmLayout *out)
{
	out->bins = bins;
	out->total = 0;
	out->offset = pgml_array(arena, (size_t) bins->nfeatures, sizeof(uint32_t));
	if (out->offset == NULL)
		return pgml_fail_nomem(env, "histograms");
	for (int32_t f = 0; f < bins->nfeatures; f++)
	{
		out->offset[f] = out->total;
		out->total += (uint32_t) bins->n_bins[f];
	}
	return PGML_OK;
}

/* Add the gathered sums of n rows to the histograms of k features; k is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
accumulate(int k, const Group *group, const PgmlGbmRows *rows, const int32_t *index,
		   const SumVector *sum, int n)
{
	const uint8_t *bin = rows->bin;
	int64_t stride = rows->stride;
	int32_t position[PGML_GBM_GROUP];
	SumVector *hist[PGML_GBM_GROUP];

	for (int j = 0; j < k; j++)
	{
		position[j] = group->position[j];
		hist[j] = group->hist[j];
	}
	for (int i = 0; i < n; i++)
	{
		const uint8_t *row = bin + index[i] * stride;
		SumVector s = sum[i];

#pragma GCC unroll 8
		for (int j = 0; j < k; j++)
			hist[j][row[position[j]]] += s;
	}
}

/* accumulate() for the number of features that the group has. */
PGML_CLONES static void
accumulate_group(const Group *group, const PgmlGbmRows *rows, const int32_t *index,
				 const SumVector *sum, int n)
{
	switch (group->n)
	{
		case 1:
			accumulate(1, group, rows, index, sum, n);
			break;
		case 2:
			accumulate(2, group, rows, index, sum, n);
			break;
		case 3:
			accumulate(3, group, rows, index, sum, n);
			break;
		case 4:
			accumulate(4, group, rows, index, sum, n);
			break;
		case 5:
			accumulate(5, group, rows, index, sum, n);
			break;
		case 6:
			accumulate(6, group, rows, index, sum, n);
			break;
		case 7:
			accumulate(7, group, rows, index, sum, n);
			break;
		default:
			accumulate(8, group, rows, index, sum, n);
			break;
	}
}

/* Number of groups, made as equal as possible. */
static int32_t
count_groups(int32_t n_features)
{
	return (n_features + PGML_GBM_GROUP - 1) / PGML_GBM_GROUP;
}

/* The first feature of group number g, as a place in the job's list. */
static int32_t
first_of_group(const PgmlGbmHistJob *job, int32_t g)
{
	return (int32_t) (job->n_features * (int64_t) g / count_groups(job->n_features));
}

/* Set up group number g of the job's features over hist, and clear its histograms. */
static void
open_group(const PgmlGbmHistJob *job, int32_t g, PgmlGbmSum *hist, Group *group)
{
	int32_t from = first_of_group(job, g);
	int32_t upto = first_of_group(job, g + 1);

	group->n = upto - from;
	for (int32_t j = 0; j < group->n; j++)
	{
		int32_t f = job->features[from + j];
		PgmlGbmSum *h = hist + job->layout->offset[f];

		group->position[j] = f;
		group->hist[j] = (SumVector *) h;
		memset(h, 0, (size_t) job->layout->bins->n_bins[f] * sizeof(*h));
	}
}

/* One block of a build: some groups, or some rows. */
typedef struct BuildBlocks
{
	const PgmlEnv *env;
	const PgmlGbmHistJob *job;
	int64_t blocks;
} BuildBlocks;

/* Groups that stay open together while a chunk is passed over. */
#define OPEN_GROUPS 8

/* Build groups g0 .. g1-1 (at most OPEN_GROUPS) from rows from .. upto-1 of the index. */
static PgmlStatus
build_range(const PgmlEnv *env, const PgmlGbmHistJob *job, int32_t g0, int32_t g1, int64_t from,
			int64_t upto, PgmlGbmSum *hist)
{
	Group group[OPEN_GROUPS];
	SumVector gathered[CHUNK];
	const SumVector *sum = (const SumVector *) job->gradients->sum;
	const PgmlGbmRows *rows = job->rows;

	if (job->gradients->packed)
		return pgml_gbm_packed_build(env, job, first_of_group(job, g0), first_of_group(job, g1),
									 from, upto, hist);
	for (int32_t g = g0; g < g1; g++)
		open_group(job, g, hist, &group[g - g0]);
	for (; from < upto; from += CHUNK)
	{
		int n = (int) (upto - from < CHUNK ? upto - from : CHUNK);
		const int32_t *index = job->index + from;

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		for (int i = 0; i < n; i++)
		{
			/* Rows of a deep leaf are far apart: ask for the bins that the first group will read. */
			__builtin_prefetch(rows->bin + (int64_t) index[i] * rows->stride, 0, 2);
			gathered[i] = sum[index[i]];
		}
		for (int32_t g = 0; g < g1 - g0; g++)
			accumulate_group(&group[g], rows, index, gathered, n);
	}
	return PGML_OK;
}

/* Build groups g .. end-1 from rows from .. upto-1 of the index. */
static PgmlStatus
build_piece(const BuildBlocks *b, int32_t g, int32_t end, int64_t from, int64_t upto,
			PgmlGbmSum *hist)
{
	for (; g < end; g += OPEN_GROUPS)
	{
		int32_t g1 = g + OPEN_GROUPS < end ? g + OPEN_GROUPS : end;

		PGML_TRY(build_range(b->env, b->job, g, g1, from, upto, hist));
	}
	return PGML_OK;
}

/* Build all rows of some groups. */
static PgmlStatus
build_groups(void *arg, int64_t block, int thread)
{
	const BuildBlocks *b = arg;
	int32_t groups = count_groups(b->job->n_features);

	(void) thread;
	return build_piece(b, (int32_t) (groups * block / b->blocks),
					   (int32_t) (groups * (block + 1) / b->blocks), 0, b->job->n, b->job->hist);
}

/* Build all groups from one of some parts of the rows, part 0 in place and the others in the parts' memory. */
static PgmlStatus
build_part(void *arg, int64_t block, int thread)
{
	const BuildBlocks *b = arg;
	const PgmlGbmHistJob *job = b->job;
	PgmlGbmSum *hist = block == 0 ? job->hist : job->parts + (block - 1) * job->layout->total;

	(void) thread;
	return build_piece(b, 0, count_groups(job->n_features), job->n * block / b->blocks,
					   job->n * (block + 1) / b->blocks, hist);
}

/* Add the parts' histograms to the first. */
static void
add_parts(const PgmlGbmHistJob *job, int64_t parts)
{
	for (int32_t i = 0; i < job->n_features; i++)
	{
		int32_t f = job->features[i];
		PgmlGbmSum *hist = job->hist + job->layout->offset[f];

		for (int part = 0; part < parts - 1; part++)
		{
			const PgmlGbmSum *other =
				job->parts + part * (int64_t) job->layout->total + job->layout->offset[f];

			for (int32_t b = 0; b < job->layout->bins->n_bins[f]; b++)
			{
				hist[b].g += other[b].g;
				hist[b].hc += other[b].hc;
			}
		}
	}
}

PgmlStatus
pgml_gbm_hist_build(const PgmlEnv *env, const PgmlGbmHistJob *job)
{
	BuildBlocks b = { env, job, count_groups(job->n_features) };
	int64_t work = job->n * job->n_features;
	int threads = job->parts ? pgml_pool_threads(env->pool) : 1;

	if (work < PGML_GBM_PARALLEL_WORK || threads == 1)
		b.blocks = 1;
	else if (b.blocks == 1 || (job->n >= PART_ROWS && threads <= PGML_GBM_PARTS))
	{
		b.blocks = threads <= PGML_GBM_PARTS ? threads : PGML_GBM_PARTS;
		PGML_TRY(pgml_par_for(env, b.blocks, build_part, &b));
		add_parts(job, b.blocks);
		return PGML_OK;
	}
	if (b.blocks == 1)
		return build_groups(&b, 0, 0);
	return pgml_par_for(env, b.blocks, build_groups, &b);
}

PGML_CLONES void
pgml_gbm_hist_subtract(const PgmlGbmLayout *layout, int32_t f, const PgmlGbmSum *parent,
					   const PgmlGbmSum *child, PgmlGbmSum *hist)
{
	uint32_t from = layout->offset[f];
	uint32_t upto = from + (uint32_t) layout->bins->n_bins[f];

	for (uint32_t i = from; i < upto; i++)
		hist[i] = pgml_gbm_minus(parent[i], child[i]);
}
