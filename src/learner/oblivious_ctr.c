/*
 * oblivious_ctr.c - statistics of the target per category: creating them, memory.
 */
#include <math.h>
#include <string.h>

#include "core/par.h"
#include "core/rng.h"
#include "core/sort.h"
#include "learner/oblivious_ctr_internal.h"

#define MANY_ROWS      400000 /* rows above which one order serves both purposes */
#define ROWS_FOR_PARTS 16384

/* Neighbours that stay together in an order: a thousandth of all, at most. */
#define ROWS_A_BLOCK_ROW 1000
#define MOST_BLOCK_ROWS  256

/* ---- sizes ---- */

/* Statistics of a projection. */
static int32_t
count_targets(const PgmlDataset *data)
{
	if (data->task != PGML_TASK_MULTICLASS)
		return 1;
	return data->n_classes < PGML_OBL_MAX_TARGETS ? data->n_classes : PGML_OBL_MAX_TARGETS;
}

static int32_t
count_width(const PgmlDataset *data)
{
	return data->task == PGML_TASK_MULTICLASS ? count_targets(data) + 1 : 4;
}

/*
 * Divide the statistics into parts; returns how many.  Of few rows, one each: codes would be taken apart for longer than it takes to
 * add up rows.  Else pairs of any values, or the three shares, of which each is less than a few steps from another.
 */
static int32_t
divide(const PgmlDataset *data, PgmlOblPart *part)
{
	int32_t width = count_width(data);
	int32_t each = data->task == PGML_TASK_MULTICLASS ? 2 : PGML_OBL_PART_STATISTICS;
	int32_t n = 0;

	if (data->n < ROWS_FOR_PARTS)
		each = 1;
	for (int32_t from = 0; from < width; from += each)
		part[n++] = (PgmlOblPart){ from, width - from < each ? width - from : each };
	return n;
}

static int32_t
count_single(const PgmlOblConfig *config, const PgmlMatrix *x)
{
	int32_t n = 0;

	for (int32_t f = 0; f < x->nfeatures; f++)
		n += pgml_obl_has_ctr(config, &x->features[f]);
	return n;
}

/* Are there two features to combine? One that has only levels can be part of a combination. */
static bool
can_combine(const PgmlMatrix *x, int32_t max_combined)
{
	int32_t n = 0;

	for (int32_t f = 0; f < x->nfeatures; f++)
		n += x->features[f].categorical;
	return n > 1 && max_combined > 1;
}

/* A power of two: places of a hash table for n rows. */
static uint64_t
count_places(int64_t n)
{
	uint64_t places = 2048;

	while (places < (uint64_t) n + (uint64_t) n / 2)
		places *= 2;
	return places;
}

static int64_t
scratch_size(int64_t n, int32_t n_targets, int32_t width)
{
	return n * 4 + (int64_t) count_places(n) * 12 +
		   (n + 1) * ((int64_t) pgml_obl_count_size(n_targets) + width) +
		   PGML_OBL_MAX_PARTS * PGML_OBL_VALUES * 2;
}

int64_t
pgml_obl_ctr_size(const PgmlOblConfig *config, const PgmlDataset *data)
{
	int64_t single = count_single(config, data->x);
	PgmlOblPart part[PGML_OBL_MAX_PARTS];
	int64_t parts = divide(data, part);
	int64_t bytes = data->n * parts + data->n_valid * count_width(data) +
					parts * (int64_t) sizeof(PgmlOblCodes);
	int64_t entries = 0;

	if (single == 0)
		return 0;
	for (int64_t p = 0; p < parts; p++)
		entries += pgml_obl_part_bins(part[p]);
	return (single + 1) * entries * (int64_t) sizeof(PgmlGbmSum) * (1 + PGML_GBM_PARTS) +
		   bytes *
			   (single + (can_combine(data->x, config->max_combined) ? PGML_OBL_MIN_SLOTS : 0)) +
		   scratch_size(data->n, count_targets(data), count_width(data)) + data->n * (8 + 8 + 32) +
		   (int64_t) (PGML_OBL_MAX_KNOWN * sizeof(PgmlOblKnown)) + PGML_OBL_MAP_SIZE * 4 +
		   PGML_OBL_MAX_SLOTS * 24;
}

int64_t
pgml_obl_ctr_columns(const PgmlOblConfig *config, const PgmlDataset *data)
{
	return (int64_t) count_single(config, data->x) * count_width(data);
}

/* ---- creating ---- */

/* Ranks of the targets, from 0 to 1, equal ones the middle of theirs. */
static PgmlStatus
rank_targets(const PgmlEnv *env, const PgmlGbmTarget *target, float *hit)
{
	PgmlArena *arena = pgml_arena_create(env->budget);
	PgmlKeyed *items = arena ? pgml_array(arena, 2 * (size_t) target->n, sizeof(PgmlKeyed)) : NULL;
	PgmlStatus status = items ? PGML_OK : pgml_fail_nomem(env, "ranks of the targets");

	for (int64_t i = 0; items && i < target->n; i++)
		items[i] = (PgmlKeyed){ pgml_key_of_double(target->y[i]), i };
	if (status == PGML_OK)
		status = pgml_sort_keyed(env, items, items + target->n, target->n);
	for (int64_t from = 0, upto; status == PGML_OK && from < target->n; from = upto)
	{
		for (upto = from; upto < target->n && items[upto].key == items[from].key;)
			upto++;
		for (int64_t i = from; i < upto; i++)
			hit[items[i].row] = (float) ((double) (from + upto) / 2 / (double) target->n);
	}
	pgml_arena_destroy(arena);
	return status;
}

/* Targets: class 1, the rank, or the classes with most rows. */
static PgmlStatus
make_targets(const PgmlEnv *env, PgmlArena *arena, const PgmlGbmTarget *target, PgmlOblCtr *ctr)
{
	size_t classes = (size_t) target->n_outputs;
	double *weight = pgml_zalloc(arena, classes, sizeof(double));
	int32_t *number = pgml_array(arena, classes, sizeof(int32_t));
	double middle = 0;

	if (!weight || !number)
		return pgml_fail_nomem(env, "statistics of categories");
	if (target->task == PGML_TASK_REGRESSION)
		PGML_TRY(rank_targets(env, target, ctr->hit));
	for (int64_t i = 0; !ctr->several && i < target->n; i++)
	{
		if (target->task == PGML_TASK_BINARY)
			ctr->hit[i] = (float) target->y[i];
		middle += ctr->hit[i] * (target->w ? target->w[i] : 1) / target->weight;
	}
	ctr->share[0] = (float) middle;
	if (!ctr->several)
		return PGML_OK;
	for (int64_t i = 0; i < target->n; i++)
		weight[(int) target->y[i]] += target->w ? target->w[i] : 1;
	for (size_t k = 0; k < classes; k++)
		number[k] = -1;
	for (int32_t t = 0; t < ctr->n_targets; t++)
	{
		size_t best = 0;

		for (size_t k = 1; k < classes; k++)
			if (number[best] >= 0 || (number[k] < 0 && weight[k] > weight[best]))
				best = k;
		number[best] = t;
		ctr->share[t] = (float) (weight[best] / target->weight);
	}
	for (int64_t i = 0; i < target->n; i++)
		ctr->hit[i] = (float) number[(int) target->y[i]];
	return PGML_OK;
}

/* A random order of n things (Fisher and Yates). */
static PgmlStatus
shuffle(const PgmlEnv *env, PgmlRng *rng, int64_t n, int32_t *order)
{
	for (int64_t i = 0; i < n; i++)
	{
		int64_t j = (int64_t) pgml_rng_below(rng, (uint64_t) i + 1);

		if (i % PGML_OBL_POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		order[i] = order[j];
		order[j] = (int32_t) i;
	}
	return PGML_OK;
}

/*
 * Random orders of the learned rows.  Of many rows, short blocks of neighbours are shuffled (as CatBoost does), so that memory is not
 * read row by row from all over.
 */
static PgmlStatus
make_orders(const PgmlEnv *env, PgmlArena *arena, PgmlOblCtr *ctr)
{
	int64_t size = ctr->n / ROWS_A_BLOCK_ROW + 1;
	int64_t blocks;

	size = size < MOST_BLOCK_ROWS ? size : MOST_BLOCK_ROWS;
	blocks = (ctr->n + size - 1) / size;
	for (int32_t o = 0; o < ctr->n_orders; o++)
	{
		int32_t *order = pgml_array(arena, (size_t) ctr->n, sizeof(int32_t));
		int32_t *block = pgml_array(arena, (size_t) blocks, sizeof(int32_t));
		int64_t n = 0;
		PgmlRng rng;

		if (order == NULL || block == NULL)
			return pgml_fail_nomem(env, "statistics of categories");
		pgml_rng_init(&rng, env->seed, (uint64_t) PGML_OBL_STREAM_ORDER << 32 | (uint64_t) o);
		PGML_TRY(shuffle(env, &rng, blocks, block));
		for (int64_t b = 0; b < blocks; b++)
			for (int64_t i = block[b] * size; i < (block[b] + 1) * size && i < ctr->n; i++)
				order[n++] = (int32_t) i;
		ctr->order[o] = order;
	}
	return PGML_OK;
}

/* Memory of the threads. */
static PgmlStatus
make_scratch(const PgmlEnv *env, PgmlArena *arena, PgmlOblCtr *ctr)
{
	int threads = pgml_pool_threads(env->pool);
	size_t n = (size_t) ctr->n;

	ctr->table_slots = count_places(ctr->n);
	ctr->scratch = pgml_array(arena, (size_t) threads, sizeof(PgmlOblCtrScratch));
	if (ctr->scratch == NULL)
		return pgml_fail_nomem(env, "statistics of categories");
	for (int t = 0; t < threads; t++)
	{
		PgmlOblCtrScratch *s = &ctr->scratch[t];

		s->bucket = pgml_array(arena, n, sizeof(int32_t));
		s->key = pgml_array(arena, ctr->table_slots, sizeof(uint64_t));
		s->value = pgml_array(arena, ctr->table_slots, sizeof(int32_t));
		s->count = pgml_array(arena, n + 1, pgml_obl_count_size(ctr->n_targets));
		s->whole = pgml_array(arena, n + 1, (size_t) ctr->width);
		s->code = pgml_array(arena, (size_t) ctr->n_parts * PGML_OBL_VALUES, sizeof(int16_t));
		if (!s->bucket || !s->key || !s->value || !s->count || !s->whole || !s->code)
			return pgml_fail_nomem(env, "statistics of categories");
	}
	return PGML_OK;
}

/* Rows of single features, as many orders as there is memory for, and room for combinations. */
static PgmlStatus
make_room(const PgmlEnv *env, PgmlArena *arena, int64_t extra, PgmlOblCtr *ctr)
{
	int64_t row = (int64_t) ctr->n_single * ctr->n_parts;
	bool combines = can_combine(ctr->x, ctr->max_combined);
	int64_t least =
		row + (combines ? PGML_OBL_MIN_SLOTS * ctr->n_parts : 0); /* bytes a row, in each order */

	ctr->n_orders = ctr->n <= MANY_ROWS && ctr->n * least <= extra / 2 ? PGML_OBL_MAX_ORDERS : 1;
	extra -= (ctr->n_orders - 1) * ctr->n * least;
	for (int32_t o = 0; o <= PGML_OBL_MAX_ORDERS; o++)
	{
		bool valid = o == PGML_OBL_MAX_ORDERS;
		int64_t rows = o < ctr->n_orders ? ctr->n : valid ? ctr->n_valid : 0;
		int64_t bytes = valid ? ctr->n_single * ctr->width : row;

		ctr->single[o] = rows > 0 ? pgml_array(arena, (size_t) rows, (size_t) bytes) : NULL;
		if (rows > 0 && ctr->single[o] == NULL)
			return pgml_fail_nomem(env, "statistics of categories");
	}
	ctr->slot_bytes = (size_t) (ctr->n_parts * (int64_t) sizeof(PgmlOblCodes) +
								ctr->n * ctr->n_orders * ctr->n_parts + ctr->n_valid * ctr->width);
	extra = extra > 0 ? extra / (int64_t) ctr->slot_bytes : 0;
	if (combines)
		ctr->n_slots = extra < PGML_OBL_MAX_SLOTS - PGML_OBL_MIN_SLOTS ?
						   (int32_t) extra + PGML_OBL_MIN_SLOTS :
						   PGML_OBL_MAX_SLOTS;
	ctr->known = pgml_array(arena, (size_t) ctr->n_single + (combines ? PGML_OBL_MAX_KNOWN : 0),
							sizeof(PgmlOblKnown));
	ctr->slot = pgml_zalloc(arena, (size_t) ctr->n_slots + 1, sizeof(uint8_t *));
	ctr->owner = pgml_array(arena, (size_t) ctr->n_slots + 1, sizeof(int32_t));
	ctr->used = pgml_zalloc(arena, (size_t) ctr->n_slots + 1, sizeof(int64_t));
	ctr->map = combines ? pgml_array(arena, PGML_OBL_MAP_SIZE, sizeof(int32_t)) : NULL;
	if (!ctr->known || !ctr->slot || !ctr->owner || !ctr->used || (combines && !ctr->map))
		return pgml_fail_nomem(env, "statistics of categories");
	if (combines)
		memset(ctr->map, 0xff, PGML_OBL_MAP_SIZE * sizeof(int32_t));
	for (int32_t i = 0; i < ctr->n_slots; i++)
		ctr->owner[i] = -1;
	for (int32_t i = 0; i < ctr->n_slots && i < PGML_OBL_MIN_SLOTS; i++)
	{
		ctr->slot[i] = pgml_alloc(arena, ctr->slot_bytes);
		if (ctr->slot[i] == NULL)
			return pgml_fail_nomem(env, "statistics of combinations");
	}
	return PGML_OK;
}

/* Weights around a mean of 1. */
static PgmlStatus
make_weights(const PgmlEnv *env, PgmlArena *arena, const PgmlGbmTarget *target, PgmlOblCtr *ctr)
{
	if (target->w == NULL)
		return PGML_OK;
	ctr->weight = pgml_array(arena, (size_t) ctr->n, sizeof(float));
	if (ctr->weight == NULL)
		return pgml_fail_nomem(env, "statistics of categories");
	for (int64_t i = 0; i < ctr->n; i++)
		ctr->weight[i] = (float) (target->w[i] / target->weight * (double) ctr->n);
	return PGML_OK;
}

PgmlStatus
pgml_obl_ctr_create(const PgmlEnv *env, PgmlArena *arena, const PgmlOblConfig *config,
					const PgmlDataset *data, const PgmlGbmTarget *target, int64_t extra,
					PgmlOblCtr **out)
{
	int32_t single = count_single(config, data->x);
	PgmlOblCodes *codes;
	PgmlOblCtr *ctr;

	*out = NULL;
	if (single == 0)
		return PGML_OK;
	ctr = pgml_zalloc(arena, 1, sizeof(*ctr));
	if (ctr == NULL)
		return pgml_fail_nomem(env, "statistics of categories");
	ctr->arena = arena;
	ctr->x = data->x;
	ctr->learned = data->rows;
	ctr->valid = data->valid_rows;
	ctr->n = data->n;
	ctr->n_valid = data->valid_rows ? data->n_valid : 0;
	ctr->width = count_width(data);
	ctr->n_targets = count_targets(data);
	ctr->several = data->task == PGML_TASK_MULTICLASS;
	ctr->large_bucket = data->task == PGML_TASK_REGRESSION ?
							INFINITY :
							fmaxf(PGML_OBL_LARGE_BUCKET, sqrtf((float) data->n) / 2);
	ctr->n_parts = divide(data, ctr->part);
	ctr->n_single = single;
	ctr->max_combined = config->max_combined;
	ctr->hit = pgml_array(arena, (size_t) data->n, sizeof(float));
	if (ctr->hit == NULL)
		return pgml_fail_nomem(env, "statistics of categories");
	PGML_TRY(make_targets(env, arena, target, ctr));
	PGML_TRY(make_weights(env, arena, target, ctr));
	PGML_TRY(make_room(env, arena, extra, ctr));
	PGML_TRY(make_orders(env, arena, ctr));
	PGML_TRY(make_scratch(env, arena, ctr));
	codes = pgml_array(arena, (size_t) single * (size_t) ctr->n_parts, sizeof(PgmlOblCodes));
	if (codes == NULL)
		return pgml_fail_nomem(env, "statistics of categories");
	for (int32_t f = 0; f < data->x->nfeatures; f++)
	{
		if (!pgml_obl_has_ctr(config, &data->x->features[f]))
			continue;
		ctr->known[ctr->n_known++] =
			(PgmlOblKnown){ .projection = { 1, { f } }, .slot = -1, .codes = codes };
		codes += ctr->n_parts;
	}
	PGML_TRY(pgml_obl_ctr_fill(env, ctr, NULL, single));
	*out = ctr;
	return PGML_OK;
}
