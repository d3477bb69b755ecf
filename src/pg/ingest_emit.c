/*
 * ingest_emit.c - from the rows that were held to the table: their order, then column after column.
 *
 * Rows are put into the order of their keys, which makes a training independent of where rows lie in the table; rows of one
 * identity come to lie next to each other, ordered by their values.
 *
 * Dictionaries are made anew on the way: codes count from the first appearance in the order of the result, and strings of
 * rows that were sampled away are gone.
 *
 * All this runs in the driver thread, where nothing of PostgreSQL may be called.  The memory in which a column was held becomes
 * that of the next one in the table, and of what ordering takes one half becomes the table's row_hash: the operating system,
 * whose fresh pages cost more than all that is done here, is asked for two numbers of eight bytes a row, and for nothing else.
 * So that this holds for any number of threads, they share the rows of one column, not the columns.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* qsort_r */
#endif
#include "postgres.h"

#include <math.h>
#include <stdlib.h>

#include "core/par.h"
#include "core/sort.h"
#include "pg/driver.h"
#include "pg/guc.h"
#include "pg/ingest_stage.h"

/* Rows of a block of work. */
#define BLOCK_ROWS 65536

/* Of an item that rows are sorted by: the upper bits are those of the row's key, the lower ones its number. */
#define KEY_BITS (~(uint64) UINT32_MAX)

typedef struct Emission
{
	const PgmlEnv *env;
	Stage *stage;
	const int *columns; /* of the stage, for each of the table */
	PgmlArena *arena;   /* of the table */
	PgmlTable *table;
	PgmlBuf items;  /* uint64 per row; then what becomes the table's row_hash */
	PgmlBuf tmp;    /* as much to sort with; then the order: numbers of the rows, int32 */
	PgmlBuf spare;  /* memory for the column that comes next */
	bool by_values; /* of rows of one key, the order depends on their values */
} Emission;

/* A column that is being gathered. */
typedef struct Gathering
{
	const Emission *e;
	const void *from;
	void *to;
	Size size; /* of a cell */
} Gathering;

static PgmlStatus
no_room(const PgmlEnv *env)
{
	PgmlStatus status = pgml_fail(env->error, PGML_ERR_LIMIT, "%s", STAGE_NO_ROOM);

	pgml_fail_hint(env->error, "%s", STAGE_NO_ROOM_HINT);
	return status;
}

/* ---- order --------------------------------------------------------------------------------- */

/* Compare the values of a column in two rows; missing comes last. */
static int
compare_cells(const StageColumn *column, int64 a, int64 b)
{
	if (column->cell == STAGE_CODE)
	{
		const int32 *code = (const int32 *) column->cells.data;

		if (code[a] == code[b])
			return 0;
		if (code[a] < 0 || code[b] < 0)
			return code[a] < 0 ? 1 : -1;
		return strcmp(pgml_dict_get(column->dict, code[a], NULL),
					  pgml_dict_get(column->dict, code[b], NULL));
	}
	else
	{
		const float *single = (const float *) column->cells.data;
		const double *num = (const double *) column->cells.data;
		double x = column->cell == STAGE_SINGLE ? single[a] : num[a];
		double y = column->cell == STAGE_SINGLE ? single[b] : num[b];

		if (isnan(x) || isnan(y))
			return (int) isnan(x) - (int) isnan(y);
		return x < y ? -1 : x > y;
	}
}

/*
 * Order rows by their keys, and rows of one identity, which may differ in other columns, by their values.  Once the result is
 * not wanted any more, the order does not matter.
 */
static int
compare_rows(const void *a, const void *b, void *arg)
{
	const Emission *e = arg;
	uint32 x = (uint32) * (const uint64 *) a;
	uint32 y = (uint32) * (const uint64 *) b;
	uint64 x_key = stage_key(e->stage, x);
	uint64 y_key = stage_key(e->stage, y);

	if (x_key != y_key)
		return x_key < y_key ? -1 : 1;
	for (int i = 0; e->by_values && i < e->stage->ncolumns && !pgml_stopped(e->env); i++)
	{
		int result = compare_cells(&e->stage->columns[i], x, y);

		if (result != 0)
			return result;
	}
	return x < y ? -1 : x > y;
}

/* Items of a block of rows. */
static PgmlStatus
key_block(void *arg, int64_t block, int thread)
{
	const Emission *e = arg;
	uint64 *items = (uint64 *) e->items.data;
	int64 upto = Min((block + 1) * BLOCK_ROWS, e->stage->nrows);

	(void) thread;
	for (int64 i = block * BLOCK_ROWS; i < upto; i++)
		items[i] = (stage_key(e->stage, i) & KEY_BITS) | (uint64) i;
	return PGML_OK;
}

/* Put n items that agree in the upper bits of their keys in order; those of one key are, unless it depends on their values. */
static PgmlStatus
order_alike(const Emission *e, uint64 *items, int64 n)
{
	uint64 first = stage_key(e->stage, (uint32) items[0]);
	bool same = true;

	for (int64 i = 1; i < n && same; i++)
	{
		if (i % BLOCK_ROWS == 0 && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		same = stage_key(e->stage, (uint32) items[i]) == first;
	}
	if (!same || e->by_values)
		qsort_r(items, n, sizeof(uint64), compare_rows, unconstify(Emission *, e));
	return PGML_OK;
}

/* Sort the rows by key. */
static PgmlStatus
rank_rows(Emission *e)
{
	int64 n = e->stage->nrows;
	int64 blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
	uint64 *items = (uint64 *) e->items.data;
	uint64 *tmp = (uint64 *) e->tmp.data;
	int64 next;

	PGML_TRY(pgml_par_for(e->env, blocks, key_block, e));
	PGML_TRY(pgml_sort_upper(e->env, &items, &tmp, n));
	if (items != (uint64 *) e->items.data)
	{
		PgmlBuf swap = e->items;

		e->items = e->tmp;
		e->tmp = swap;
	}
	for (int64 i = 0; i < n; i = next)
	{
		for (next = i + 1; next < n && (items[next] ^ items[i]) <= UINT32_MAX; next++)
			;
		if (i / BLOCK_ROWS != next / BLOCK_ROWS && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		if (next > i + 1)
			PGML_TRY(order_alike(e, items + i, next - i));
	}
	return PGML_OK;
}

/* Rows of a class that its share of the sample comes to, as far as its reserve has them. */
static int64
share_of_class(const Stage *stage, int class)
{
	double fraction = (double) stage->threshold / (double) UINT64_MAX;

	return Min(stage->reserve, (int64) ceil(fraction * (double) stage->class[class].seen));
}

/* Take from the sorted rows those of the sample. */
static PgmlStatus
take_sample(Emission *e)
{
	const Stage *stage = e->stage;
	const uint64 *items = (const uint64 *) e->items.data;
	int32 *order = (int32 *) e->tmp.data;
	int64 taken[STAGE_MAX_CLASSES] = { 0 };
	bool all = stage->threshold == UINT64_MAX;
	int64 n = 0;

	for (int64 i = 0; i < stage->nrows; i++)
	{
		int32 row = (int32) items[i];

		if (i % BLOCK_ROWS == 0 && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		if (!all)
		{
			int class = stage_class(stage, row);

			if (stage_key(stage, row) > stage->threshold &&
				taken[class] >= share_of_class(stage, class))
				continue;
			taken[class]++;
		}
		order[n++] = row;
	}
	e->table->nrows = n;
	e->table->together = true;
	return PGML_OK;
}

/* Find the rows that form the result, in its order. */
static PgmlStatus
order_rows(Emission *e)
{
	Size bytes = Max(e->stage->nrows, 1) * sizeof(uint64);

	pgml_buf_reserve(&e->items, bytes);
	pgml_buf_reserve(&e->tmp, bytes);
	if (e->items.failed || e->tmp.failed)
		return pgml_fail_nomem(e->env, "the order of the rows");
	PGML_TRY(rank_rows(e));
	return take_sample(e);
}

/* ---- columns ------------------------------------------------------------------------------- */

/* The stage's column for one of the table. */
static StageColumn *
column_of(const Emission *e, int64 i)
{
	return &e->stage->columns[e->columns[i]];
}

/* Gather a block of cells of 4 or 8 bytes in the order of the result. */
static PgmlStatus
gather_block(void *arg, int64_t block, int thread)
{
	const Gathering *g = arg;
	const int32 *order = (const int32 *) g->e->tmp.data;
	int64 start = block * BLOCK_ROWS;
	int64 upto = Min(start + BLOCK_ROWS, g->e->table->nrows);

	(void) thread;
	if (g->size == sizeof(uint32))
		for (int64 i = start; i < upto; i++)
			((uint32 *) g->to)[i] = ((const uint32 *) g->from)[order[i]];
	else
		for (int64 i = start; i < upto; i++)
			((uint64 *) g->to)[i] = ((const uint64 *) g->from)[order[i]];
	return PGML_OK;
}

static PgmlStatus
gather(const Emission *e, const void *from, Size size, void *to)
{
	Gathering gathering = { .e = e, .from = from, .to = to, .size = size };
	int64 blocks = (e->table->nrows + BLOCK_ROWS - 1) / BLOCK_ROWS;

	if (pgml_par_for(e->env, blocks, gather_block, &gathering) != PGML_OK)
		return pgml_fail_cancelled(e->env);
	return PGML_OK;
}

/* Hand memory, of which the table needs so many bytes, to its arena. */
static PgmlStatus
hand_over(const Emission *e, PgmlBuf *buf, Size bytes, void **memory)
{
	buf->len = Min(pgml_big_size(bytes), buf->cap);
	pgml_buf_trim(buf);
	if (!pgml_arena_adopt(e->arena, buf->data, buf->cap))
		return no_room(e->env);
	*memory = pgml_buf_release(buf);
	return PGML_OK;
}

/* The identities of the rows, in the memory of the items; that in which they were held is the first to be spare. */
static PgmlStatus
emit_hashes(Emission *e)
{
	void *hashes = NULL;

	PGML_TRY(gather(e, e->stage->hashes.data, sizeof(uint64), e->items.data));
	PGML_TRY(hand_over(e, &e->items, Max(e->table->nrows, 1) * sizeof(uint64), &hashes));
	e->table->row_hash = hashes;
	e->spare = e->stage->hashes;
	pgml_buf_init(&e->stage->hashes, &e->stage->budget);
	return PGML_OK;
}

/* Gather one column; the memory that it was held in is the next one's. */
static PgmlStatus
emit_column(Emission *e, int i)
{
	StageColumn *from = column_of(e, i);
	PgmlColumn *to = &e->table->cols[i];
	Size size = stage_cell_size(from);
	Size bytes = Max(e->table->nrows, 1) * size;
	void *cells = NULL;

	if (e->spare.cap < bytes)
	{
		pgml_buf_free(&e->spare);
		pgml_buf_reserve(&e->spare, bytes);
		if (e->spare.failed)
			return pgml_fail_nomem(e->env, "the columns");
	}
	PGML_TRY(gather(e, from->cells.data, size, e->spare.data));
	PGML_TRY(hand_over(e, &e->spare, bytes, &cells));
	e->spare = from->cells;
	pgml_buf_init(&from->cells, &e->stage->budget);
	if (from->cell == STAGE_DOUBLE)
		to->num = cells;
	else if (from->cell == STAGE_SINGLE)
		to->single = cells;
	else
		to->code = cells;
	return PGML_OK;
}

/* All columns, those of large cells first: what they were held in has room for the others. */
static PgmlStatus
emit_columns(Emission *e)
{
	for (Size size = sizeof(uint64); size >= sizeof(uint32); size /= 2)
		for (int i = 0; i < e->table->ncols; i++)
			if (stage_cell_size(column_of(e, i)) == size)
				PGML_TRY(emit_column(e, i));
	return PGML_OK;
}

/* Number the strings of a column anew, in the order in which they appear. */
static PgmlStatus
renumber(const Emission *e, const PgmlDict *from, PgmlColumn *column, int32 *renumbered)
{
	memset(renumbered, 0xff, pgml_dict_size(from) * sizeof(int32));
	for (int64 i = 0; i < e->table->nrows; i++)
	{
		int32 code = column->code[i];

		if (i % BLOCK_ROWS == 0 && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		if (code >= 0 && renumbered[code] < 0)
		{
			uint32 len;
			const char *s = pgml_dict_get(from, code, &len);

			renumbered[code] = pgml_dict_add(column->dict, s, len);
			if (renumbered[code] < 0)
				return no_room(e->env);
		}
		column->code[i] = code < 0 ? -1 : renumbered[code];
	}
	return PGML_OK;
}

/* The dictionaries, one after another: their strings go into one arena. */
static PgmlStatus
emit_dictionaries(const Emission *e)
{
	for (int i = 0; i < e->table->ncols; i++)
	{
		StageColumn *from = column_of(e, i);
		PgmlColumn *to = &e->table->cols[i];
		PgmlArena *arena;
		int32 *renumbered;
		PgmlStatus status;

		if (from->cell != STAGE_CODE)
			continue;
		to->dict = pgml_dict_create(e->arena);
		if (to->dict == NULL)
			return no_room(e->env);
		arena = pgml_arena_create(e->env->budget);
		renumbered =
			arena ? pgml_array(arena, pgml_dict_size(from->dict) + 1, sizeof(int32)) : NULL;
		status = renumbered ? renumber(e, from->dict, to, renumbered) :
							  pgml_fail_nomem(e->env, "the strings of a column");
		pgml_arena_destroy(arena);
		PGML_TRY(status);
		stage_free_column(from);
	}
	return PGML_OK;
}

/* Order the rows and gather them. */
static PgmlStatus
emit_rows(Emission *e)
{
	PGML_TRY(order_rows(e));
	PGML_TRY(emit_hashes(e));
	PGML_TRY(emit_columns(e));
	return emit_dictionaries(e);
}

/* Runs in the driver thread. */
static PgmlStatus
emit(const PgmlEnv *env, void *arg)
{
	Emission *e = arg;
	PgmlStatus status;

	e->env = env;
	pgml_buf_init(&e->items, env->budget);
	pgml_buf_init(&e->tmp, env->budget);
	pgml_buf_init(&e->spare, env->budget);
	status = emit_rows(e);
	pgml_buf_free(&e->items);
	pgml_buf_free(&e->tmp);
	pgml_buf_free(&e->spare);
	return status;
}

void
stage_emit(Stage *stage, const int *columns, PgmlArena *arena, PgmlTable *table)
{
	Emission emission = { .stage = stage,
						  .columns = columns,
						  .arena = arena,
						  .table = table,
						  .by_values = stage->break_ties };

	pgml_driver_run(emit, &emission, &stage->budget, pgml_max_threads(), 0, 0);
}
