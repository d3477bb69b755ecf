/*
 * svm_cache.c - the columns of a kernel matrix that were used last.
 *
 * A pool of equal slots and a list of them by use.  When the solver has set rows aside (shrinking), columns need be known for the
 * others alone: the pool is then cut into more and shorter slots.
 */
#include "learner/svm.h"

#define NONE (-1)

/* Floats of a slot for n values. */
static int64_t
slot_width(int64_t n)
{
	return pgml_svm_tiles(n) * PGML_SVM_TILE;
}

/* Floats of the pool: no more than all columns need, no less than two do. */
static int64_t
pool_floats(int64_t n, int64_t bytes)
{
	int64_t columns = bytes / (int64_t) sizeof(float) / slot_width(n);

	columns = columns > n ? n : columns;
	return (columns < 2 ? 2 : columns) * slot_width(n);
}

int64_t
pgml_svm_cache_memory(int64_t n, int64_t bytes)
{
	return pool_floats(n, bytes) * (int64_t) sizeof(float) +
		   n * (int64_t) (4 * sizeof(int32_t) + sizeof(int64_t)) + 64;
}

/* Cut the pool into empty slots of that width. */
static void
cut_pool(PgmlSvmCache *cache, int64_t width)
{
	int64_t slots = cache->pool_floats / width;

	cache->width = width;
	cache->n_slots = (int32_t) (slots < cache->n ? slots : cache->n);
	if (cache->n_slots < 2)
		cache->n_slots = 2;
}

/* All slots in the list, free, in their order. */
static void
empty_slots(PgmlSvmCache *cache, int32_t from)
{
	for (int32_t s = from; s < cache->n_slots; s++)
	{
		cache->owner[s] = NONE;
		cache->len[s] = 0;
		cache->newer[s] = cache->oldest;
		cache->older[s] = NONE;
		if (cache->oldest != NONE)
			cache->older[cache->oldest] = s;
		else
			cache->newest = s;
		cache->oldest = s;
	}
}

void
pgml_svm_cache_reset(PgmlSvmCache *cache)
{
	cut_pool(cache, slot_width(cache->n));
	cache->newest = cache->oldest = NONE;
	empty_slots(cache, 0);
	for (int64_t i = 0; i < cache->n; i++)
		cache->slot[i] = NONE;
}

PgmlStatus
pgml_svm_cache(const PgmlEnv *env, PgmlArena *arena, int64_t n, int64_t bytes, PgmlSvmCache *cache)
{
	size_t most = (size_t) n + 2; /* slots: no more than columns, but two */

	*cache = (PgmlSvmCache){ .n = n, .pool_floats = pool_floats(n, bytes) };
	cache->pool = pgml_array(arena, (size_t) cache->pool_floats, sizeof(float));
	cache->slot = pgml_array(arena, most, sizeof(int32_t));
	cache->owner = pgml_array(arena, most, sizeof(int32_t));
	cache->len = pgml_array(arena, most, sizeof(int64_t));
	cache->newer = pgml_array(arena, most, sizeof(int32_t));
	cache->older = pgml_array(arena, most, sizeof(int32_t));
	if (cache->pool == NULL || cache->slot == NULL || cache->owner == NULL || cache->len == NULL ||
		cache->newer == NULL || cache->older == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	pgml_svm_cache_reset(cache);
	return PGML_OK;
}

/* Put a slot at the head of the list. */
static void
use_slot(PgmlSvmCache *cache, int32_t s)
{
	int32_t newer = cache->newer[s];
	int32_t older = cache->older[s];

	if (newer == NONE)
		return;
	cache->older[newer] = older;
	if (older != NONE)
		cache->newer[older] = newer;
	else
		cache->oldest = newer;
	cache->newer[s] = NONE;
	cache->older[s] = cache->newest;
	cache->newer[cache->newest] = s;
	cache->newest = s;
}

float *
pgml_svm_cache_get(PgmlSvmCache *cache, int64_t i, int64_t wanted, int64_t *len)
{
	int32_t s = cache->slot[i];

	if (s == NONE)
	{
		s = cache->oldest;
		if (cache->owner[s] != NONE)
			cache->slot[cache->owner[s]] = NONE;
		cache->owner[s] = (int32_t) i;
		cache->slot[i] = s;
		cache->len[s] = 0;
	}
	use_slot(cache, s);
	*len = cache->len[s];
	if (cache->len[s] < wanted)
		cache->len[s] = wanted;
	return cache->pool + s * cache->width;
}

/* The owners of columns change places with their rows. */
static void
swap_owners(PgmlSvmCache *cache, int32_t i, int32_t j)
{
	int32_t s = cache->slot[i];
	int32_t t = cache->slot[j];

	cache->slot[i] = t;
	cache->slot[j] = s;
	if (s != NONE)
		cache->owner[s] = j;
	if (t != NONE)
		cache->owner[t] = i;
}

void
pgml_svm_cache_swap(const PgmlEnv *env, PgmlSvmCache *cache, const int32_t (*pair)[2],
					int64_t n_pairs)
{
	for (int64_t k = 0; k < n_pairs; k++)
		swap_owners(cache, pair[k][0], pair[k][1]);
	for (int32_t s = 0; s < cache->n_slots && !pgml_stopped(env); s++)
	{
		float *column = cache->pool + s * cache->width;

		for (int64_t k = 0; k < n_pairs; k++)
		{
			int32_t i = pair[k][0];
			int32_t j = pair[k][1];

			if (j < cache->len[s])
			{
				float v = column[i];

				column[i] = column[j];
				column[j] = v;
			}
			else if (i < cache->len[s])
				cache->len[s] = i;
		}
	}
}

void
pgml_svm_cache_narrow(PgmlSvmCache *cache, int64_t n)
{
	int64_t old = cache->width;
	int32_t used = cache->n_slots;

	if (slot_width(n) > old / 2)
		return;
	cut_pool(cache, slot_width(n));
	for (int32_t s = 0; s < used; s++)
	{
		if (cache->len[s] > cache->width)
			cache->len[s] = cache->width;
		memmove(cache->pool + s * cache->width, cache->pool + s * old,
				(size_t) cache->len[s] * sizeof(float));
	}
	empty_slots(cache, used);
}
