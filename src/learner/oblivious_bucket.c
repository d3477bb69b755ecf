/*
 * oblivious_bucket.c - statistics of the target per category: buckets of rows, what is told of them, stored tables.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/par.h"
#include "learner/oblivious_ctr_internal.h"

#define AHEAD          16   /* rows whose counts are fetched early */
#define CHUNK          256  /* rows whose places in a table are fetched together */
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
	uint64_t key[CHUNK];
	int32_t n = 0;

	memset(s->value, 0xff, (direct ? keys : ctr->table_slots) * sizeof(int32_t));
	for (int64_t from = 0; from < ctr->n; from += CHUNK)
	{
		int rows = (int) (ctr->n - from < CHUNK ? ctr->n - from : CHUNK);

		if (from % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		for (int i = 0; i < rows; i++)
		{
			uint64_t at;

			key[i] = key_of(ctr->x, p, ctr->learned[from + i]);
			at = direct ? key[i] : pgml_obl_slot(key[i], ctr->table_slots);
			__builtin_prefetch(s->value + at);
			__builtin_prefetch(s->key + at);
		}
		for (int i = 0; i < rows; i++)
		{
			uint64_t at = find_place(ctr, s, direct, key[i]);

			if (s->value[at] < 0)
			{
				s->value[at] = n++;
				s->key[at] = key[i];
			}
			s->bucket[from + i] = s->value[at];
		}
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

/*
 * The bin of the share v = (hits + prior) / (rows + 1) on a scale whose middle is `middle`: v (1 - middle) divided by its sum with
 * (1 - v) middle; where both are 0, the middle.
 */
static inline uint8_t
share_bin(float rows, float hits, float prior, float middle)
{
	float a = (hits + prior) * (1 - middle);
	float sum = a + (rows + 1 - hits - prior) * middle;

	return to_bin(sum > 0 ? a / sum : 0.5f);
}

/* The statistics of a bucket. */
static inline void
to_bytes(const PgmlOblCtr *ctr, const PgmlOblCount *count, uint8_t *to)
{
	if (ctr->several)
		for (int32_t t = 0; t < ctr->n_targets; t++)
			*to++ = share_bin(count->rows, count->hits[t], ctr->share[t], ctr->share[t]);
	else
	{
		*to++ = share_bin(count->rows, count->hits[0], 0, ctr->share[0]);
		*to++ = share_bin(count->rows, count->hits[0], ctr->share[0], ctr->share[0]);
		*to++ = share_bin(count->rows, count->hits[0], 1, ctr->share[0]);
	}
	*to = count->size;
}

/* Count of bucket number b. */
static inline PgmlOblCount *
count_of(const PgmlOblCtr *ctr, const PgmlOblCtrScratch *s, int64_t b)
{
	return (PgmlOblCount *) (s->count + b * (int64_t) pgml_obl_count_size(ctr->n_targets));
}

/* The statistics of all rows of bucket number b. */
static inline uint8_t *
whole_of(const PgmlOblCtr *ctr, const PgmlOblCtrScratch *s, int64_t b)
{
	return s->whole + b * ctr->width;
}

/* Count a learned row. */
static inline void
count_row(const PgmlOblCtr *ctr, PgmlOblCount *count, int64_t row)
{
	float w = ctr->weight ? ctr->weight[row] : 1;
	float hit = ctr->hit[row];

	count->rows += w;
	if (!ctr->several)
		count->hits[0] += w * hit;
	else if (hit >= 0)
		count->hits[(int32_t) hit] += w;
}

/* Forget what was counted, but not what is known of all rows. */
static PgmlStatus
clear_counts(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int64_t buckets)
{
	for (int64_t b = 0; b < buckets; b++)
	{
		PgmlOblCount *count = count_of(ctr, s, b);

		if (b % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		count->rows = 0;
		for (int32_t t = 0; t < ctr->n_targets; t++)
			count->hits[t] = 0;
	}
	return PGML_OK;
}

/* Count all learned rows, and find what is known of the buckets from all of them. */
static PgmlStatus
count_all(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int64_t buckets)
{
	int64_t last = ctr->n - 1;
	float most = 0;

	PGML_TRY(clear_counts(env, ctr, s, buckets));
	for (int64_t b = 0; b < buckets; b++)
		count_of(ctr, s, b)->heaviest = ctr->weight ? 0 : 1;
	for (int64_t i = 0; i < ctr->n; i++)
	{
		PgmlOblCount *count = count_of(ctr, s, s->bucket[i]);

		__builtin_prefetch(count_of(ctr, s, s->bucket[i + AHEAD < last ? i + AHEAD : last]), 1);
		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		count_row(ctr, count, i);
		if (ctr->weight)
			count->heaviest = fmaxf(count->heaviest, ctr->weight[i]);
	}
	for (int64_t b = 0; b < buckets; b++)
		most = fmaxf(most, count_of(ctr, s, b)->rows);
	for (int64_t b = 0; b < buckets; b++)
	{
		PgmlOblCount *count = count_of(ctr, s, b);

		if (b % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		/* The root, as numbers of rows fall off fast. */
		count->size = to_bin(sqrtf(count->rows / (most + 1)));
		to_bytes(ctr, count, whole_of(ctr, s, b));
		count->large = count->rows >= ctr->large_bucket * count->heaviest;
	}
	return PGML_OK;
}

/* Where the statistics of a projection go: codes of the learned rows, bins of the validation rows. */
typedef struct Out
{
	uint8_t *at[PGML_OBL_MAX_ORDERS + 1]; /* per order; the last: validation rows */
	int64_t stride;                       /* of learned rows */
	int64_t valid_stride;
	PgmlOblCodes *codes;
} Out;

/* The code of the value that is nearest, of which there is one. */
static int32_t
nearest_code(const PgmlOblCodes *codes, PgmlOblPart part, uint32_t value)
{
	int best = 0, least = INT_MAX;

	for (int32_t c = 0; c < codes->n; c++)
	{
		int distance = 0;

		for (int32_t k = 0; k < part.n; k++)
			distance += abs(pgml_obl_code_bin(codes, part, k, c) -
							(int) (value >> 4 * (part.n - 1 - k) & 15));
		if (distance < least)
		{
			best = c;
			least = distance;
		}
	}
	return best;
}

/* The code of a value that has none yet.  There are always enough for pairs, and for the shares but for odd weights. */
static int32_t
new_code(PgmlOblCodes *codes, PgmlOblPart part, int16_t *code, uint32_t value)
{
	if (codes->n == PGML_GBM_BINS)
		code[value] = (int16_t) nearest_code(codes, part, value);
	else
	{
		codes->value[codes->n] = (uint16_t) value;
		code[value] = (int16_t) codes->n++;
	}
	return code[value];
}

/* Put the bins of a row into its bytes. */
static inline void
encode(const PgmlOblCtr *ctr, const PgmlOblCtrScratch *s, const uint8_t *bins, PgmlOblCodes *codes,
	   uint8_t *to)
{
	for (int32_t p = 0; p < ctr->n_parts; p++)
	{
		PgmlOblPart part = ctr->part[p];
		int16_t *code = s->code + p * PGML_OBL_VALUES;
		uint32_t value = 0;
		int32_t c;

		switch (part.n)
		{
			case 3:
				value = (uint32_t) *bins++;
				/* FALLTHROUGH */
			case 2:
				value = value << 4 | *bins++;
				/* FALLTHROUGH */
			default:
				value = value << 4 | *bins++;
		}
		c = code[value];
		to[p] = (uint8_t) (c >= 0 ? c : new_code(&codes[p], part, code, value));
	}
}

/* Statistics of the validation rows, from the counts of all learned rows. */
static PgmlStatus
fill_valid(const PgmlEnv *env, const PgmlOblCtr *ctr, const PgmlOblProjection *p,
		   const PgmlOblCtrScratch *s, const Out *out)
{
	bool direct = is_direct(ctr, pgml_obl_count_keys(ctr->x, p));

	for (int64_t i = 0; i < ctr->n_valid; i++)
	{
		uint64_t key = key_of(ctr->x, p, ctr->valid[i]);
		int32_t bucket = s->value[find_place(ctr, s, direct, key)];
		uint8_t *to = out->at[PGML_OBL_MAX_ORDERS] + i * out->valid_stride;

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		if (bucket >= 0)
			memcpy(to, whole_of(ctr, s, bucket), (size_t) ctr->width);
		else
			pgml_obl_ctr_unseen(ctr, to);
	}
	return PGML_OK;
}

/* Statistics of the learned rows in one order: each from the rows before it, or, in a large bucket, from all. */
static PgmlStatus
fill_order(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblCtrScratch *s, int32_t order,
		   int64_t buckets, const Out *out)
{
	const int32_t *at = ctr->order[order];
	int64_t last = ctr->n - 1;
	uint8_t bins[PGML_OBL_CTR_BINS];

	PGML_TRY(clear_counts(env, ctr, s, buckets));
	for (int64_t j = 0; j < ctr->n; j++)
	{
		int32_t row = at[j];
		PgmlOblCount *count = count_of(ctr, s, s->bucket[row]);

		__builtin_prefetch(count_of(ctr, s, s->bucket[at[j + AHEAD < last ? j + AHEAD : last]]), 1);
		if (j % PGML_OBL_POLL_ROWS == 0 && pgml_out_of_time(env))
			return PGML_ERR_CANCELLED;
		if (!count->large)
			to_bytes(ctr, count, bins);
		encode(ctr, s, count->large ? whole_of(ctr, s, s->bucket[row]) : bins, out->codes,
			   out->at[order] + row * out->stride);
		count_row(ctr, count, row);
	}
	return PGML_OK;
}

/* All statistics of a projection. */
static PgmlStatus
fill(const PgmlEnv *env, const PgmlOblCtr *ctr, PgmlOblKnown *known, PgmlOblCtrScratch *s,
	 const Out *out)
{
	PGML_TRY(number_buckets(env, ctr, &known->projection, s, &known->buckets));
	PGML_TRY(count_all(env, ctr, s, known->buckets));
	PGML_TRY(fill_valid(env, ctr, &known->projection, s, out));
	memset(s->code, 0xff, (size_t) ctr->n_parts * PGML_OBL_VALUES * sizeof(int16_t));
	for (int32_t part = 0; part < ctr->n_parts; part++)
	{
		out->codes[part].n = 0;
		/* One statistic's codes are its bins. */
		for (uint32_t bin = 0; ctr->part[part].n == 1 && bin < PGML_OBL_CTR_BINS; bin++)
			new_code(&out->codes[part], ctr->part[part], s->code + part * PGML_OBL_VALUES, bin);
	}
	for (int32_t order = 0; order < ctr->n_orders; order++)
		PGML_TRY(fill_order(env, ctr, s, order, known->buckets, out));
	return PGML_OK;
}

/* Where the statistics of a known projection are. */
static Out
place_of(const PgmlOblCtr *ctr, int32_t p)
{
	const PgmlOblKnown *known = &ctr->known[p];
	int32_t together = p < ctr->n_single ? ctr->n_single : 1;
	Out out = { .stride = together * ctr->n_parts,
				.valid_stride = together * ctr->width,
				.codes = known->codes };

	for (int32_t order = 0; order <= PGML_OBL_MAX_ORDERS; order++)
	{
		bool valid = order == PGML_OBL_MAX_ORDERS;
		int32_t before = valid ? ctr->n_orders : order;

		if (p >= ctr->n_single)
			out.at[order] =
				(uint8_t *) (known->codes + ctr->n_parts) + before * ctr->n * ctr->n_parts;
		else
			out.at[order] = ctr->single[order] ?
								ctr->single[order] + p * (valid ? ctr->width : ctr->n_parts) :
								NULL;
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
	PgmlOblColumn column = { .stride = out.stride, .coded = true };
	int32_t part = 0;

	if (order < 0)
		return (PgmlOblColumn){ .at = out.at[PGML_OBL_MAX_ORDERS] + place,
								.stride = out.valid_stride };
	while (place >= ctr->part[part].first + ctr->part[part].n)
		part++;
	column.at = out.at[order] + part;
	for (int32_t c = 0; c < out.codes[part].n; c++)
		column.value[c] = (uint8_t) pgml_obl_code_bin(&out.codes[part], ctr->part[part],
													  place - ctr->part[part].first, c);
	return column;
}

/* ---- the stored tables ---- */

void
pgml_obl_ctr_unseen(const PgmlOblCtr *ctr, uint8_t *bytes)
{
	static const union
	{
		PgmlOblCount count;
		uint8_t room[sizeof(PgmlOblCount) + PGML_OBL_MAX_TARGETS * sizeof(float)];
	} none = { .room = { 0 } };

	to_bytes(ctr, &none.count, bytes);
}

/* Write the buckets of the learned rows into their slots. */
static PgmlStatus
write_slots(const PgmlEnv *env, const PgmlOblCtr *ctr, const PgmlOblProjection *p,
			const PgmlOblCtrScratch *s, const PgmlOblTableHead *head, uint8_t *slots)
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

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		while (head->hashed && keys[at] != PGML_OBL_NO_KEY && keys[at] != key)
			at = (at + 1) & (head->n_slots - 1);
		if (head->hashed)
			keys[at] = key;
		memcpy(bytes + at * (uint64_t) ctr->width, whole_of(ctr, s, s->bucket[i]),
			   (size_t) ctr->width);
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
	PgmlEnv whole = *env;
	uint64_t bytes;
	int64_t buckets;

	memset(head, 0, sizeof(*head));
	head->n_features = (uint32_t) projection->n;
	for (int32_t i = 0; i < projection->n; i++)
		head->feature[i] = (uint32_t) projection->feature[i];
	/* A tree that was grown in time gets its tables. */
	whole.deadline = 0;
	PGML_TRY(number_buckets(&whole, ctr, projection, s, &buckets));
	PGML_TRY(count_all(&whole, ctr, s, buckets));
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
	return write_slots(env, ctr, projection, s, head, buf->data + head->at);
}
