/*
 * gbm_block_plain.c - kernels of blocks for any processor.
 */
#include "learner/gbm_block.h"

static bool
runs_here(void)
{
	return true;
}

static void
rank(const PgmlGbmCuts *cuts, const float *x, int64_t n, int64_t rows, int8_t missing, int8_t *line)
{
	int32_t first = (1 << cuts->depth) - 1 + PGML_GBM_RANK_BIAS;

	for (int64_t i = 0; i < n; i++)
	{
		int32_t at = 0;

		for (int32_t level = 0; level < cuts->depth; level++)
			at = 2 * at + 1 + (cuts->at[at] < x[i]);
		line[i] = x[i] == x[i] ? (int8_t) (at - first) : missing;
	}
	for (int64_t i = n; i < rows; i++)
		line[i] = 0;
}

static void
contain(const uint8_t *bits, const uint8_t *byte, const uint8_t *bit, int64_t rows, int8_t *line)
{
	for (int64_t i = 0; i < rows; i++)
		line[i] = (bits[byte[i]] & bit[i]) != 0 ? 0 : -1;
}

static void
find(const PgmlGbmTest *test, int32_t n, const int8_t *lines, int64_t rows, uint8_t *leaf)
{
	for (int64_t i = 0; i < rows; i++)
		leaf[i] = 0;
	for (int32_t k = 0; k < n; k++)
	{
		const int8_t *restrict line = lines + (int64_t) test[k].line * PGML_BLOCK_ROWS;
		uint8_t *restrict at = leaf;
		int8_t limit = test[k].rank;
		uint8_t from = test[k].from;
		uint8_t to = test[k].to;

		for (int64_t i = 0; i < rows; i++)
			at[i] = ((line[i] > limit) & (at[i] == from)) != 0 ? to : at[i];
	}
}

const PgmlGbmKernel pgml_gbm_kernel_plain = { "plain", runs_here, rank, contain, find };
