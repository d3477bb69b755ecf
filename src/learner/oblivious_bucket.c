/*
 * oblivious_bucket.c - statistics of the target per category: buckets of rows, what is told of them, stored tables.
 */
#include <math.h>
#include <string.h>

#include "core/par.h"
#include "learner/oblivious_ctr_internal.h"

#define DIRECT_BUCKETS 1024 /* keys that are always numbers of buckets themselves */

/* ---- buckets ---- */

/* Key of a matrix row. */
static inline uint64_t
key_of(const PgmlMatrix *x, const PgmlOblProjection *p, int32_t row)
{
	uint64_t key = 0;

	for (int32_t i = 0; i < p->n; i++)
	{
		int32_t f = p->feature[i];
		int32_t levels = x->features[f].n_levels;

		key = key * ((uint64_t) levels + 1) + pgml_obl_digit(x->col[f][row], levels);
	}
	return key;
}

/* Are the keys of the projection places of the hash table themselves? */
static bool
is_direct(const PgmlOblCtr *ctr, uint64_t keys)
{
	return keys <= ctr->table_slots && (keys <= DIRECT_BUCKETS || keys <= (uint64_t) ctr->n * 2);
}

/* Place of a key in a thread's table: its own, or the empty one where it belongs. */
static inline uint64_t
find_place(const PgmlOblCtr *ctr, const PgmlOblCtrScratch *s, bool direct, uint64_t key)
{
	uint64_t at;

	if (direct)
		return key;
	at = pgml_obl_slot(key, ctr->table_slots);
	while (s->value[at] >= 0 && s->key[at] != key)
		at = (at + 1) & (ctr->table_slots - 1);
	return at;
}

/* Number the buckets of the learned rows in the order in which they are met; returns how many. */
static PgmlStatus
number_buckets(const PgmlEnv *env, const PgmlOblCtr *ctr, const PgmlOblProjection *p,
			   PgmlOblCtrScratch *s, int64_t *buckets)
{
	uint64_t keys = pgml_obl_count_keys(ctr->x, p);
	bool direct = is_direct(ctr, keys);
	int32_t n = 0;

	memset(s->value, 0xff, (direct ? keys : ctr->table_slots) * sizeof(int32_t));
	for (int64_t i = 0; i < ctr->n; i++)
	{
		uint64_t key = key_of(ctr->x, p, ctr->learned[i]);
		uint64_t at = find_place(ctr, s, direct, key);

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (s->value[at] < 0)
		{
			s->value[at] = n++;
			s->key[at] = key;
		}
		s->bucket[i] = s->value[at];
	}
	*buckets = n;
	return PGML_OK;
}

/* ---- statistics ---- */

/* One of PGML_OBL_CTR_BINS values for a number in [0, 1]. */
static inline uint8_t
to_bin(float v)
{
	int bin = (int) (v * PGML_OBL_CTR_BINS);

	return (uint8_t) (bin < 0 ? 0 : bin >= PGML_OBL_CTR_BINS ? PGML_OBL_CTR_BINS - 1 : bin);
}

/* The bin of a share v on a scale whose middle is `middle`. */
static inline uint8_t
share_bin(float v, float middle)
{
	float a = v * (1 - middle), b = (1 - v) * middle;

	return to_bin(a + b > 0 ? a / (a + b) : 0.5f);
}

/* The statistics of a bucket with so many rows and hits; full: its rows in the whole data, of at most `most`. */
static inline void
to_bytes(const PgmlOblCtr *ctr, float rows, const float *hits, float full, float most, uint8_t *to)
{
	float inverse = 1 / (rows + 1);

	if (ctr->several)
		for (int32_t t = 0; t < ctr->n_targets; t++)
			*to++ = share_bin((hits[t] + ctr->share[t]) * inverse, ctr->share[t]);
	else
	{
		*to++ = share_bin(hits[0] * inverse, ctr->share[0]);
		*to++ = share_bin((hits[0] + ctr->share[0]) * inverse, ctr->share[0]);
		*to++ = share_bin((hits[0] + 1) * inverse, ctr->share[0]);
	}
	/* The root, as numbers of rows fall off fast. */
	*to = to_bin(sqrtf(full / (most + 1)));
}

/* Count a learned row. */
static inline void
count_row(const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int64_t row)
{
	int32_t bucket = s->bucket[row];
	float w = ctr->weight ? ctr->weight[row] : 1;
	float hit = ctr->hit[row];

	s->rows[bucket] += w;
	if (!ctr->several)
		s->hits[bucket] += w * hit;
	else if (hit >= 0)
		s->hits[(int64_t) bucket * ctr->n_targets + (int32_t) hit] += w;
}

/* Forget all counts. */
static void
clear_counts(const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int64_t buckets)
{
	memset(s->rows, 0, (size_t) buckets * sizeof(float));
	memset(s->hits, 0, (size_t) buckets * (size_t) ctr->n_targets * sizeof(float));
}

/* Count all learned rows; returns the most rows that a bucket has. */
static PgmlStatus
count_all(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int64_t buckets,
		  float *most)
{
	clear_counts(ctr, s, buckets);
	for (int64_t i = 0; i < ctr->n; i++)
	{
		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		count_row(ctr, s, i);
	}
	*most = 0;
	for (int64_t b = 0; b < buckets; b++)
		*most = s->rows[b] > *most ? s->rows[b] : *most;
	memcpy(s->full, s->rows, (size_t) buckets * sizeof(float));
	return PGML_OK;
}

/* Where the statistics of a projection go. */
typedef struct Out
{
	uint8_t *at[PGML_OBL_MAX_ORDERS + 1]; /* per order; the last: validation rows */
	int64_t stride;
} Out;

/* Statistics of the validation rows, from the counts of all learned rows. */
static PgmlStatus
fill_valid(const PgmlEnv *env, const PgmlOblCtr *ctr, const PgmlOblProjection *p,
		   const PgmlOblCtrScratch *s, float most, const Out *out)
{
	static const float none[PGML_OBL_MAX_TARGETS] = { 0 };
	bool direct = is_direct(ctr, pgml_obl_count_keys(ctr->x, p));

	for (int64_t i = 0; i < ctr->n_valid; i++)
	{
		uint64_t key = key_of(ctr->x, p, ctr->valid[i]);
		int32_t bucket = s->value[find_place(ctr, s, direct, key)];
		uint8_t *to = out->at[PGML_OBL_MAX_ORDERS] + i * out->stride;

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (bucket >= 0)
			to_bytes(ctr, s->rows[bucket], s->hits + (int64_t) bucket * ctr->n_targets,
					 s->full[bucket], most, to);
		else
			to_bytes(ctr, 0, none, 0, most, to);
	}
	return PGML_OK;
}

/* Statistics of the learned rows in one order: each from the rows before it. */
static PgmlStatus
fill_order(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int32_t order,
		   int64_t buckets, float most, const Out *out)
{
	clear_counts(ctr, s, buckets);
	for (int64_t j = 0; j < ctr->n; j++)
	{
		int32_t row = ctr->order[order][j];
		int32_t bucket = s->bucket[row];

		if (j % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		to_bytes(ctr, s->rows[bucket], s->hits + (int64_t) bucket * ctr->n_targets, s->full[bucket],
				 most, out->at[order] + row * out->stride);
		count_row(ctr, s, row);
	}
	return PGML_OK;
}

/* All statistics of a projection. */
static PgmlStatus
fill(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblKnown *known, PgmlOblCtrScratch *s,
	 const Out *out)
{
	float most;

	PGML_TRY(number_buckets(env, ctr, &known->projection, s, &known->buckets));
	PGML_TRY(count_all(env, ctr, s, known->buckets, &most));
	PGML_TRY(fill_valid(env, ctr, &known->projection, s, most, out));
	for (int32_t order = 0; order < ctr->n_orders; order++)
		PGML_TRY(fill_order(env, ctr, s, order, known->buckets, most, out));
	return PGML_OK;
}

/* Where the statistics of a known projection are. */
static Out
place_of(const PgmlOblCtr *ctr, int32_t p)
{
	const PgmlOblKnown *known = &ctr->known[p];
	Out out = { .stride = p < ctr->n_single ? ctr->n_single * ctr->width : ctr->width };

	for (int32_t order = 0; order <= PGML_OBL_MAX_ORDERS; order++)
	{
		if (p < ctr->n_single)
			out.at[order] = ctr->single[order] ? ctr->single[order] + p * ctr->width : NULL;
		else if (order == PGML_OBL_MAX_ORDERS)
			out.at[order] = ctr->slot[known->slot] + ctr->n_orders * ctr->n * ctr->width;
		else
			out.at[order] = ctr->slot[known->slot] + order * ctr->n * ctr->width;
	}
	return out;
}

/* Projections to make statistics of. */
typedef struct FillJob
{
	const PgmlEnv *env;
	PgmlOblCtr *ctr;
	const int32_t *projection; /* NULL: 0, 1, 2 ... */
} FillJob;

static PgmlStatus
fill_one(void *arg, int64_t block, int thread)
{
	const FillJob *job = arg;
	int32_t p = job->projection ? job->projection[block] : (int32_t) block;
	Out out = place_of(job->ctr, p);

	return fill(job->env, job->ctr, &job->ctr->known[p], &job->ctr->scratch[thread], &out);
}

PgmlStatus
pgml_obl_ctr_fill(const PgmlEnv *env, PgmlOblCtr *ctr, const int32_t *projection, int32_t n)
{
	FillJob job = { env, ctr, projection };

	return n > 0 ? pgml_par_for(env, n, fill_one, &job) : PGML_OK;
}

const uint8_t *
pgml_obl_ctr_rows(const PgmlOblCtr *ctr, int32_t p, int32_t order, int64_t *stride)
{
	Out out = place_of(ctr, p);

	*stride = out.stride;
	return out.at[order];
}

PgmlOblColumn
pgml_obl_ctr_column(const PgmlOblCtr *ctr, int32_t p, int32_t place, int32_t order)
{
	Out out = place_of(ctr, p);

	return (PgmlOblColumn){ out.at[order < 0 ? PGML_OBL_MAX_ORDERS : order] + place, NULL,
							out.stride };
}

/* ---- the stored tables ---- */

void
pgml_obl_ctr_unseen(const PgmlOblCtr *ctr, uint8_t *bytes)
{
	static const float none[PGML_OBL_MAX_TARGETS] = { 0 };

	to_bytes(ctr, 0, none, 0, 1, bytes);
}

/* Write the buckets of the learned rows into their slots. */
static PgmlStatus
write_slots(const PgmlEnv *env, const PgmlOblCtr *ctr, const PgmlOblProjection *p,
			const PgmlOblCtrScratch *s, float most, const PgmlOblTableHead *head, uint8_t *slots)
{
	uint64_t *keys = (uint64_t *) slots;
	uint8_t *bytes = slots + (head->hashed ? head->n_slots * sizeof(uint64_t) : 0);

	for (uint64_t i = 0; head->hashed && i < head->n_slots; i++)
		keys[i] = PGML_OBL_NO_KEY;
	for (uint64_t i = 0; i < head->n_slots; i++)
	{
		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		pgml_obl_ctr_unseen(ctr, bytes + i * (uint64_t) ctr->width);
	}
	for (int64_t i = 0; i < ctr->n; i++)
	{
		uint64_t key = key_of(ctr->x, p, ctr->learned[i]);
		uint64_t at = head->hashed ? pgml_obl_slot(key, head->n_slots) : key;
		int32_t bucket = s->bucket[i];

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		while (head->hashed && keys[at] != PGML_OBL_NO_KEY && keys[at] != key)
			at = (at + 1) & (head->n_slots - 1);
		if (head->hashed)
			keys[at] = key;
		to_bytes(ctr, s->rows[bucket], s->hits + (int64_t) bucket * ctr->n_targets, s->full[bucket],
				 most, bytes + at * (uint64_t) ctr->width);
	}
	return PGML_OK;
}

PgmlStatus
pgml_obl_ctr_table(const PgmlEnv *env, PgmlOblCtr *ctr, int32_t p, PgmlBuf *buf,
				   PgmlOblTableHead *head)
{
	const PgmlOblProjection *projection = &ctr->known[p].projection;
	uint64_t keys = pgml_obl_count_keys(ctr->x, projection);
	PgmlOblCtrScratch *s = &ctr->scratch[0];
	uint64_t bytes;
	int64_t buckets;
	float most;

	memset(head, 0, sizeof(*head));
	head->n_features = (uint32_t) projection->n;
	for (int32_t i = 0; i < projection->n; i++)
		head->feature[i] = (uint32_t) projection->feature[i];
	PGML_TRY(number_buckets(env, ctr, projection, s, &buckets));
	PGML_TRY(count_all(env, ctr, s, buckets, &most));
	head->n_slots = keys;
	if (keys > DIRECT_BUCKETS && keys / 4 > (uint64_t) buckets)
	{
		head->hashed = 1;
		head->n_slots = 8;
		while (head->n_slots < (uint64_t) buckets + (uint64_t) buckets / 2)
			head->n_slots *= 2;
	}
	bytes = pgml_obl_table_bytes(head->n_slots, head->hashed, (uint32_t) ctr->width);
	head->at = buf->len;
	pgml_buf_put(buf, NULL, bytes);
	if (buf->failed)
		return pgml_fail_nomem(env, "statistics of categories");
	return write_slots(env, ctr, projection, s, most, head, buf->data + head->at);
}
