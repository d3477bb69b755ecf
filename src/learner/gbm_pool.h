/*
 * gbm_pool.h - a bounded number of histograms for the leaves of a growing tree.
 *
 * A leaf keeps its histogram until it is split, because its larger child's is what remains after subtracting the
 * smaller one's.  When all slots are taken, the leaf that is least likely to be split next loses its own, and its
 * children will be built from their rows.
 */
#ifndef PGML_LEARNER_GBM_POOL_H
#define PGML_LEARNER_GBM_POOL_H

#include "learner/gbm.h"

#define PGML_GBM_MIN_SLOTS 3 /* a leaf and its children */
#define PGML_GBM_POOL_BYTES                                                                        \
	((int64_t) 256 << 20) /* of a fit, at most, unless the least number of slots is more */

typedef struct PgmlGbmPool
{
	int32_t n_slots;
	uint32_t entries; /* per histogram */
	PgmlGbmSum *sums;
	int32_t *owner; /* leaf of each slot, -1: free */
	double *priority;
} PgmlGbmPool;

/* Bytes of a pool that may have PGML_GBM_POOL_BYTES. */
extern int64_t pgml_gbm_pool_size(int64_t entries, int32_t wanted);

/* As many slots as fit in bytes, at least the minimum, at most `wanted`. */
extern PgmlStatus pgml_gbm_pool_create(const PgmlEnv *env, PgmlArena *arena, uint32_t entries,
									   int32_t wanted, int64_t bytes, PgmlGbmPool *pool);

/* Free all slots. */
extern void pgml_gbm_pool_reset(PgmlGbmPool *pool);

/* A slot for a leaf, pinned until its priority is set; at most PGML_GBM_MIN_SLOTS may be pinned. */
extern int32_t pgml_gbm_pool_take(PgmlGbmPool *pool, int32_t leaf);

/* Pass a slot on, pinned. */
extern void pgml_gbm_pool_give(PgmlGbmPool *pool, int32_t slot, int32_t leaf);

/* Unpin; the slot with the lowest priority is lost first. */
extern void pgml_gbm_pool_keep(PgmlGbmPool *pool, int32_t slot, double priority);

extern void pgml_gbm_pool_release(PgmlGbmPool *pool, int32_t slot);

/* Slot still held by the leaf, or -1. */
extern int32_t pgml_gbm_pool_find(const PgmlGbmPool *pool, int32_t slot, int32_t leaf);

/* The histogram in a slot. */
static inline PgmlGbmSum *
pgml_gbm_pool_hist(const PgmlGbmPool *pool, int32_t slot)
{
	return pool->sums + (int64_t) slot * pool->entries;
}

#endif
