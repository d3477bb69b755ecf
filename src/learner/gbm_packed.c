/*
 * gbm_packed.c - histograms of packed gradients.
 *
 * Rows are taken in chunks: the gradients of a chunk are gathered and unpacked once, and its bins are asked for on the
 * way (into the L2 cache: the L1 cache takes too few requests at a time), then groups of features pass over it.  The words
 * of a group stay in the L1 cache meanwhile.
 */
#include "learner/gbm_packed.h"

#include <string.h>

#define CHUNK       504 /* a run is sixteen */
#define OPEN_GROUPS 8

/* Fields of a sum: the count lowest, then h, then g; without h, g comes after the count. */
#define COUNT_BITS 13
#define H_BITS     24
#define G_SHIFT    (COUNT_BITS + H_BITS)
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define H_MASK     ((UINT64_C(1) << H_BITS) - 1)

_Static_assert(PGML_GBM_RUN <= COUNT_MASK, "the count of a run fits");
_Static_assert((int64_t) PGML_GBM_RUN *PGML_GBM_PACKED_H <= (int64_t) H_MASK, "h of a run fits");
_Static_assert((int64_t) PGML_GBM_RUN *PGML_GBM_PACKED_G < INT64_C(1) << (63 - G_SHIFT),
			   "g of a run fits");
_Static_assert((int64_t) PGML_GBM_RUN *PGML_GBM_PACKED_G_ONLY < INT64_C(1) << (63 - COUNT_BITS),
			   "g without h of a run fits");
_Static_assert(PGML_GBM_RUN % CHUNK == 0, "a run is some chunks");

/* Up to PGML_GBM_GROUP features: their byte in a row, and the sums of the run. */
typedef struct Group
{
	int32_t n;
	int32_t feature[PGML_GBM_GROUP];
	uint64_t sum[PGML_GBM_GROUP * PGML_GBM_BINS];
} Group;

/* Unpack the gradients of n rows into words of sums. */
static void
gather(const PgmlGbmHistJob *job, const int32_t *index, int n, uint64_t *word)
{
	const int32_t *packed = job->gradients->packed;
	const PgmlGbmRows *rows = job->rows;
	int g_shift = job->gradients->unit_hessian ? COUNT_BITS : G_SHIFT;

	if (job->gradients->unit_hessian)
	{
		for (int i = 0; i < n; i++)
		{
			__builtin_prefetch(rows->bin + (int64_t) index[i] * rows->stride, 0, 2);
			word[i] = ((uint64_t) (int64_t) packed[index[i]] << g_shift) + 1;
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		int32_t p = packed[index[i]];

		__builtin_prefetch(rows->bin + (int64_t) index[i] * rows->stride, 0, 2);
		word[i] = ((uint64_t) (int64_t) (p >> 16) << g_shift) +
				  ((uint64_t) (p & 0xffff) << COUNT_BITS) + 1;
	}
}

/* Add the words of n rows to the sums of k features; k is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
accumulate(int k, Group *group, const PgmlGbmRows *rows, const int32_t *index, const uint64_t *word,
		   int n)
{
	const uint8_t *bin = rows->bin;
	int64_t stride = rows->stride;
	uint64_t *sum = group->sum;
	int64_t position[PGML_GBM_GROUP];

	for (int j = 0; j < k; j++)
		position[j] = group->feature[j];
	for (int i = 0; i < n; i++)
	{
		const uint8_t *row = bin + index[i] * stride;
		uint64_t w = word[i];

#pragma GCC unroll 8
		for (int j = 0; j < k; j++)
			sum[j * PGML_GBM_BINS + row[position[j]]] += w;
	}
}

/* accumulate() for the number of features that the group has. */
static void
accumulate_group(Group *group, const PgmlGbmRows *rows, const int32_t *index, const uint64_t *word,
				 int n)
{
	switch (group->n)
	{
		case 1:
			accumulate(1, group, rows, index, word, n);
			break;
		case 2:
			accumulate(2, group, rows, index, word, n);
			break;
		case 3:
			accumulate(3, group, rows, index, word, n);
			break;
		case 4:
			accumulate(4, group, rows, index, word, n);
			break;
		case 5:
			accumulate(5, group, rows, index, word, n);
			break;
		case 6:
			accumulate(6, group, rows, index, word, n);
			break;
		case 7:
			accumulate(7, group, rows, index, word, n);
			break;
		default:
			accumulate(8, group, rows, index, word, n);
			break;
	}
}

/* The sums of n bins at 128 bits: stored, or added to what is there. */
PGML_CLONES static void
widen(const uint64_t *word, int n, bool unit_hessian, int count_bits, bool add, PgmlGbmSum *hist)
{
	for (int b = 0; b < n; b++)
	{
		uint64_t count = word[b] & COUNT_MASK;
		uint64_t h = unit_hessian ? count : word[b] >> COUNT_BITS & H_MASK;
		int64_t g = (int64_t) word[b] >> (unit_hessian ? COUNT_BITS : G_SHIFT);
		uint64_t hc = (h << count_bits) + count;

		hist[b].g = g + (add ? hist[b].g : 0);
		hist[b].hc = hc + (add ? hist[b].hc : 0);
	}
}

/* Build at most OPEN_GROUPS groups. */
static PgmlStatus
build_groups(const PgmlEnv *env, const PgmlGbmHistJob *job, Group *group, int n_groups,
			 int64_t begin, int64_t end, PgmlGbmSum *hist)
{
	const PgmlGbmLayout *layout = job->layout;
	uint64_t word[CHUNK];

	for (int64_t run = begin; run == begin || run < end; run += PGML_GBM_RUN)
	{
		int64_t run_end = run + PGML_GBM_RUN < end ? run + PGML_GBM_RUN : end;

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		for (int g = 0; g < n_groups; g++)
			for (int j = 0; j < group[g].n; j++)
				memset(group[g].sum + j * PGML_GBM_BINS, 0,
					   (size_t) layout->bins->n_bins[group[g].feature[j]] * sizeof(uint64_t));
		for (int64_t from = run; from < run_end; from += CHUNK)
		{
			int n = (int) (run_end - from < CHUNK ? run_end - from : CHUNK);

			gather(job, job->index + from, n, word);
			for (int g = 0; g < n_groups; g++)
				accumulate_group(&group[g], job->rows, job->index + from, word, n);
		}
		for (int g = 0; g < n_groups; g++)
			for (int j = 0; j < group[g].n; j++)
			{
				int32_t f = group[g].feature[j];

				widen(group[g].sum + j * PGML_GBM_BINS, layout->bins->n_bins[f],
					  job->gradients->unit_hessian, job->gradients->scale.count_bits, run > begin,
					  hist + layout->offset[f]);
			}
	}
	return PGML_OK;
}

PgmlStatus
pgml_gbm_packed_build(const PgmlEnv *env, const PgmlGbmHistJob *job, int32_t from, int32_t upto,
					  int64_t begin, int64_t end, PgmlGbmSum *hist)
{
	Group group[OPEN_GROUPS];

	while (from < upto)
	{
		int32_t left = (upto - from + PGML_GBM_GROUP - 1) / PGML_GBM_GROUP;
		int n_groups = left < OPEN_GROUPS ? left : OPEN_GROUPS;

		for (int g = 0; g < n_groups; g++, left--)
		{
			group[g].n = (upto - from) / left;
			for (int j = 0; j < group[g].n; j++)
				group[g].feature[j] = job->features[from++];
		}
		PGML_TRY(build_groups(env, job, group, n_groups, begin, end, hist));
	}
	return PGML_OK;
}
