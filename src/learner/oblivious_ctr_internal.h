/*
 * oblivious_ctr_internal.h - what the files of the statistics of categories share.
 *
 *   oblivious_ctr.c      creating them, memory
 *   oblivious_bucket.c   buckets of rows, their statistics, stored tables
 *   oblivious_combine.c  combinations, and which of them are at hand
 */
#ifndef PGML_LEARNER_OBLIVIOUS_CTR_INTERNAL_H
#define PGML_LEARNER_OBLIVIOUS_CTR_INTERNAL_H

#include "learner/oblivious_ctr.h"

#define PGML_OBL_POLL_ROWS 65536
#define PGML_OBL_MIN_SLOTS 8 /* combinations that there is room for, at least */
#define PGML_OBL_MAX_SLOTS 4096
#define PGML_OBL_MAX_KNOWN 16384 /* combinations that are told apart */
#define PGML_OBL_MAP_SIZE  (2 * PGML_OBL_MAX_KNOWN)

/*
 * A bucket of so many rows, each of which weighs as much as its heaviest, has the statistics of all its rows for each: a row's own target
 * moves them little, and all rows of the bucket alike.  More of many rows, where much smaller effects than that can be learned: half the
 * root of their number.  Of classes only: of numbers nothing was gained by it.
 */
#define PGML_OBL_LARGE_BUCKET 10

/* Values that a part can have. */
#define PGML_OBL_VALUES (1 << 4 * PGML_OBL_PART_STATISTICS)

/* A projection that was met. */
typedef struct PgmlOblKnown
{
	PgmlOblProjection projection;
	int64_t buckets;
	int32_t slot;        /* of its statistics, -1: none; single features need none */
	PgmlOblCodes *codes; /* of each part */
} PgmlOblKnown;

/* What is counted of a bucket. */
typedef struct PgmlOblCount
{
	float rows;
	float heaviest; /* of all its rows, by weight */
	uint8_t size;   /* the statistic of its number of rows, of all of them */
	bool large;     /* its rows have the statistics of all of them */
	float hits[];   /* per target */
} PgmlOblCount;

static inline size_t
pgml_obl_count_size(int32_t n_targets)
{
	return sizeof(PgmlOblCount) + (size_t) n_targets * sizeof(float);
}

/* What a thread works in. */
typedef struct PgmlOblCtrScratch
{
	int32_t *bucket; /* of each row */
	uint64_t *key;   /* hash table: key and bucket */
	int32_t *value;
	uint8_t *count; /* of each bucket: a PgmlOblCount and its hits */
	uint8_t *whole; /* statistics of each bucket's rows, all of them: [bucket * width] */
	int16_t *code;  /* of each value of a part, -1: none yet; [part * PGML_OBL_VALUES + value] */
} PgmlOblCtrScratch;

struct PgmlOblCtr
{
	PgmlArena *arena;
	const PgmlMatrix *x;
	const int32_t *learned; /* matrix rows */
	const int32_t *valid;
	int64_t n;
	int64_t n_valid;
	int32_t width;
	int32_t n_parts;
	PgmlOblPart part[PGML_OBL_MAX_PARTS];
	int32_t n_targets;
	int32_t n_orders;
	int32_t n_single;
	int32_t max_combined;
	float large_bucket; /* rows of one, at least */
	bool several;       /* classes */
	float *hit; /* several classes: number of the row's target, or -1; else its share of a hit */
	float *weight;
	float share[PGML_OBL_MAX_TARGETS]; /* of all rows, per target */
	int32_t *order[PGML_OBL_MAX_ORDERS];
	/* Rows of n_single * n_parts; the last: validation rows, of n_single * width. */
	uint8_t *single[PGML_OBL_MAX_ORDERS + 1];
	PgmlOblKnown *known;
	int32_t n_known;
	int32_t *map; /* combinations by hash, -1: none */
	int32_t n_slots;
	size_t slot_bytes;
	uint8_t **slot;
	int32_t *owner; /* of each slot, -1: free */
	int64_t *used;  /* when each slot was asked for last */
	int64_t clock;
	uint64_t table_slots; /* of the hash tables of threads */
	PgmlOblCtrScratch *scratch;
};

/* Keys that a projection can have; 0: too many to number. */
static inline uint64_t
pgml_obl_count_keys(const PgmlMatrix *x, const PgmlOblProjection *p)
{
	uint64_t keys = 1;

	for (int32_t i = 0; i < p->n; i++)
	{
		uint64_t digits = (uint64_t) x->features[p->feature[i]].n_levels + 1;

		if (keys > (UINT64_C(1) << 62) / digits)
			return 0;
		keys *= digits;
	}
	return keys;
}

/*
 * Make the statistics of n projections (NULL: the first n) in their places.  PGML_ERR_CANCELLED, without a message, when the stop flag or
 * the deadline ends it: what is in the places then is none.
 */
extern PgmlStatus pgml_obl_ctr_fill(const PgmlEnv *env, PgmlOblCtr *ctr, const int32_t *projection,
									int32_t n);

#endif
