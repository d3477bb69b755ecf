/*
 * gbm_pool.c - a bounded number of histograms for the leaves of a growing tree.
 */
#include "learner/gbm_pool.h"

#include <math.h>

/* Number of slots to have. */
static int32_t
count_slots(int64_t entries, int32_t wanted, int64_t bytes)
{
	int64_t fit = bytes / (entries * (int64_t) sizeof(PgmlGbmSum) + 1);

	if (fit > wanted)
		fit = wanted;
	return fit < PGML_GBM_MIN_SLOTS ? PGML_GBM_MIN_SLOTS : (int32_t) fit;
}

int64_t
pgml_gbm_pool_size(int64_t entries, int32_t wanted)
{
	return count_slots(entries, wanted, PGML_GBM_POOL_BYTES) *
		   (entries * (int64_t) sizeof(PgmlGbmSum) + 16);
}

PgmlStatus
pgml_gbm_pool_create(const PgmlEnv *env, PgmlArena *arena, uint32_t entries, int32_t wanted,
					 int64_t bytes, PgmlGbmPool *pool)
{
	size_t slots = (size_t) count_slots(entries, wanted, bytes);

	pool->n_slots = (int32_t) slots;
	pool->entries = entries;
	pool->sums = pgml_array(arena, slots * entries, sizeof(PgmlGbmSum));
	pool->owner = pgml_array(arena, slots, sizeof(int32_t));
	pool->priority = pgml_array(arena, slots, sizeof(double));
	if (!pool->sums || !pool->owner || !pool->priority)
		return pgml_fail_nomem(env, "histograms");
	return PGML_OK;
}

void
pgml_gbm_pool_reset(PgmlGbmPool *pool)
{
	for (int32_t s = 0; s < pool->n_slots; s++)
		pool->owner[s] = -1;
}

int32_t
pgml_gbm_pool_take(PgmlGbmPool *pool, int32_t leaf)
{
	int32_t lowest = 0;

	for (int32_t s = 0; s < pool->n_slots; s++)
	{
		if (pool->owner[s] < 0)
		{
			lowest = s;
			break;
		}
		if (pool->priority[s] < pool->priority[lowest])
			lowest = s;
	}
	pgml_gbm_pool_give(pool, lowest, leaf);
	return lowest;
}

void
pgml_gbm_pool_give(PgmlGbmPool *pool, int32_t slot, int32_t leaf)
{
	pool->owner[slot] = leaf;
	pool->priority[slot] = INFINITY;
}

void
pgml_gbm_pool_keep(PgmlGbmPool *pool, int32_t slot, double priority)
{
	pool->priority[slot] = priority;
}

void
pgml_gbm_pool_release(PgmlGbmPool *pool, int32_t slot)
{
	pool->owner[slot] = -1;
}

int32_t
pgml_gbm_pool_find(const PgmlGbmPool *pool, int32_t slot, int32_t leaf)
{
	return slot >= 0 && pool->owner[slot] == leaf ? slot : -1;
}
