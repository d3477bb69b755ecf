/*
 * oblivious_combine.c - statistics of the target per category: combinations, and which of them are at hand.
 */
#include <string.h>

#include "core/hash.h"
#include "learner/oblivious_ctr_internal.h"

/* ---- what the tree asks for ---- */

int32_t
pgml_obl_ctr_width(const PgmlOblCtr *ctr)
{
	return ctr->width;
}

int32_t
pgml_obl_ctr_parts(const PgmlOblCtr *ctr)
{
	return ctr->n_parts;
}

PgmlOblPart
pgml_obl_ctr_part(const PgmlOblCtr *ctr, int32_t part)
{
	return ctr->part[part];
}

const PgmlOblCodes *
pgml_obl_ctr_codes(const PgmlOblCtr *ctr, int32_t p, int32_t part)
{
	return &ctr->known[p].codes[part];
}

int32_t
pgml_obl_ctr_orders(const PgmlOblCtr *ctr)
{
	return ctr->n_orders;
}

int32_t
pgml_obl_ctr_single(const PgmlOblCtr *ctr)
{
	return ctr->n_single;
}

const int32_t *
pgml_obl_ctr_order(const PgmlOblCtr *ctr, int32_t order)
{
	return ctr->order[order];
}

int32_t
pgml_obl_ctr_most(const PgmlOblCtr *ctr)
{
	return ctr->n_single + (ctr->n_slots > 0 ? PGML_OBL_MAX_KNOWN : 0);
}

int32_t
pgml_obl_ctr_room(const PgmlOblCtr *ctr)
{
	return ctr->n_slots;
}

const PgmlOblProjection *
pgml_obl_ctr_projection(const PgmlOblCtr *ctr, int32_t p)
{
	return &ctr->known[p].projection;
}

int64_t
pgml_obl_ctr_buckets(const PgmlOblCtr *ctr, int32_t p)
{
	return ctr->known[p].buckets;
}

/* The projection with one more feature; false when it has it already, or cannot have more. */
static bool
extend(const PgmlOblCtr *ctr, const PgmlOblProjection *p, int32_t f, PgmlOblProjection *out)
{
	int32_t i = p->n;

	if (p->n >= ctr->max_combined || p->n >= PGML_OBL_MAX_COMBINED)
		return false;
	*out = *p;
	for (; i > 0 && out->feature[i - 1] > f; i--)
		out->feature[i] = out->feature[i - 1];
	if (i > 0 && out->feature[i - 1] == f)
		return false;
	out->feature[i] = f;
	out->n++;
	return pgml_obl_count_keys(ctr->x, out) > 0;
}

/* Number of a combination, which is noted when it is new; -1 when there is no room. */
static int32_t
number_of(PgmlOblCtr *ctr, const PgmlOblProjection *p)
{
	uint64_t at = pgml_hash64(p, sizeof(*p), 0) % PGML_OBL_MAP_SIZE;

	for (; ctr->map[at] >= 0; at = (at + 1) % PGML_OBL_MAP_SIZE)
		if (memcmp(&ctr->known[ctr->map[at]].projection, p, sizeof(*p)) == 0)
			return ctr->map[at];
	if (ctr->n_known - ctr->n_single >= PGML_OBL_MAX_KNOWN)
		return -1;
	ctr->known[ctr->n_known] = (PgmlOblKnown){ .projection = *p, .slot = -1 };
	ctr->map[at] = ctr->n_known;
	return ctr->n_known++;
}

PgmlStatus
pgml_obl_ctr_combine(const PgmlEnv *env, PgmlOblCtr *ctr, const PgmlOblProjection *p,
					 int32_t *found, int32_t *n, int32_t most)
{
	for (int32_t f = 0; f < ctr->n_single && *n < most; f++)
	{
		PgmlOblProjection larger;
		int32_t number, i = 0;

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (!extend(ctr, p, ctr->known[f].projection.feature[0], &larger))
			continue;
		number = number_of(ctr, &larger);
		while (i < *n && found[i] != number)
			i++;
		if (number >= 0 && i == *n)
			found[(*n)++] = number;
	}
	return PGML_OK;
}

/*
 * A slot for a projection: a free one, or the one not asked for the longest, but none that is asked for now; false when there is none,
 * or memory is out.
 */
static bool
take_slot(PgmlOblCtr *ctr, int32_t p)
{
	int32_t best = 0;

	for (int32_t i = 1; i < ctr->n_slots && ctr->owner[best] >= 0; i++)
		if (ctr->owner[i] < 0 || ctr->used[i] < ctr->used[best])
			best = i;
	if (ctr->owner[best] >= 0 && ctr->used[best] == ctr->clock)
		return false;
	if (ctr->slot[best] == NULL)
		ctr->slot[best] = pgml_alloc(ctr->arena, ctr->slot_bytes);
	if (ctr->slot[best] == NULL)
	{
		/* Slots are taken in order: those before it are there. */
		ctr->n_slots = best;
		return false;
	}
	if (ctr->owner[best] >= 0)
		ctr->known[ctr->owner[best]].slot = -1;
	ctr->owner[best] = p;
	ctr->known[p].slot = best;
	ctr->known[p].codes = (PgmlOblCodes *) ctr->slot[best];
	return true;
}

/* Note that a projection's statistics are asked for. */
static void
touch(PgmlOblCtr *ctr, int32_t p)
{
	if (p >= ctr->n_single && ctr->known[p].slot >= 0)
		ctr->used[ctr->known[p].slot] = ctr->clock;
}

/* Free a projection's slot, as nothing is in it. */
static void
give_back_slot(PgmlOblCtr *ctr, int32_t p)
{
	ctr->owner[ctr->known[p].slot] = -1;
	ctr->known[p].slot = -1;
}

PgmlStatus
pgml_obl_ctr_provide(const PgmlEnv *env, PgmlOblCtr *ctr, const int32_t *keep, int32_t n_keep,
					 const int32_t *wanted, int32_t *n_wanted)
{
	int32_t missing[PGML_OBL_MAX_SLOTS];
	int32_t n = 0;
	PgmlStatus status;

	ctr->clock++;
	for (int32_t i = 0; i < n_keep; i++)
		touch(ctr, keep[i]);
	for (int32_t i = 0; i < *n_wanted; i++)
		touch(ctr, wanted[i]);
	for (int32_t i = 0; i < *n_wanted; i++)
	{
		if (ctr->known[wanted[i]].slot >= 0)
			continue;
		/* Without memory for another slot, one of those that there are may do. */
		if (!take_slot(ctr, wanted[i]) && !take_slot(ctr, wanted[i]))
		{
			*n_wanted = i;
			break;
		}
		touch(ctr, wanted[i]);
		missing[n++] = wanted[i];
	}
	status = pgml_obl_ctr_fill(env, ctr, missing, n);
	for (int32_t i = 0; status != PGML_OK && i < n; i++)
		give_back_slot(ctr, missing[i]);
	return status;
}
