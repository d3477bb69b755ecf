/*
 * gbm_block_plain.c - kernels of blocks for any processor.
 */
#include "learner/gbm_block.h"

#include <stddef.h>

static bool
runs_here(void)
{
	return true;
}

#define ABREAST 8 /* searches in step: the processor works on one while it waits for the others */

static void
rank(const PgmlGbmCuts *cuts, const float *x, int64_t n, int64_t rows, int8_t missing, int8_t *line)
{
	int32_t first = (1 << cuts->depth) - 1 + PGML_GBM_RANK_BIAS;

	for (int64_t i = 0; i < rows; i += ABREAST)
	{
		float some[ABREAST];
		int32_t at[ABREAST] = { 0 };

		for (int j = 0; j < ABREAST; j++)
			some[j] = i + j < n ? x[i + j] : 0;
		for (int32_t level = 0; level < cuts->depth; level++)
			for (int j = 0; j < ABREAST; j++)
				at[j] = 2 * at[j] + 1 + (cuts->at[at[j]] < some[j]);
		for (int j = 0; j < ABREAST; j++)
			line[i + j] = some[j] == some[j] ? (int8_t) (at[j] - first) : missing;
	}
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

const PgmlGbmKernel pgml_gbm_kernel_plain = { "plain", runs_here, rank, contain, find, NULL, NULL };
