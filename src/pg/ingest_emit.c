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
 * that of the next one in the table: besides the rows that were held there is never more than a column for each thread, and
 * the operating system, whose fresh pages cost more than all that is done here, is not asked for any.
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

typedef struct Emission
{
	const PgmlEnv *env;
	Stage *stage;
	const int *columns; /* of the stage, for each of the table */
	PgmlArena *arena;   /* of the table */
	PgmlTable *table;
	PgmlArena *scratch; /* of what follows */
	PgmlKeyed *ranked;
	PgmlKeyed *tmp;
	int32 *order;
	void **cells; /* of each column of the table, until it has them */
	void **spare; /* per thread: memory for cells of 4 bytes, and of 8 */
} Emission;

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

/* Order rows of one identity by their values.  Once the result is not wanted any more, the order does not matter. */
static int
compare_twins(const void *a, const void *b, void *arg)
{
	const PgmlKeyed *x = a;
	const PgmlKeyed *y = b;
	const Emission *e = arg;

	for (int i = 0; i < e->stage->ncolumns && !pgml_stopped(e->env); i++)
	{
		int result = compare_cells(&e->stage->columns[i], x->row, y->row);

		if (result != 0)
			return result;
	}
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Keys of a block of rows. */
static PgmlStatus
key_block(void *arg, int64_t block, int thread)
{
	const Emission *e = arg;
	int64 upto = Min((block + 1) * BLOCK_ROWS, e->stage->nrows);

	(void) thread;
	for (int64 i = block * BLOCK_ROWS; i < upto; i++)
		e->ranked[i] = (PgmlKeyed){ .key = stage_key(e->stage, i), .row = i };
	return PGML_OK;
}

/* Sort the rows by key, and those of one identity, which may differ in other columns, by their values. */
static PgmlStatus
rank_rows(Emission *e)
{
	int64 n = e->stage->nrows;
	int64 next;

	PGML_TRY(pgml_par_for(e->env, (n + BLOCK_ROWS - 1) / BLOCK_ROWS, key_block, e));
	PGML_TRY(pgml_sort_keyed(e->env, e->ranked, e->tmp, n));
	for (int64 i = 0; e->stage->break_ties && i < n; i = next)
	{
		for (next = i + 1; next < n && e->ranked[next].key == e->ranked[i].key; next++)
			;
		if (i / BLOCK_ROWS != next / BLOCK_ROWS && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		if (next > i + 1)
			qsort_r(e->ranked + i, next - i, sizeof(PgmlKeyed), compare_twins, e);
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
	int64 taken[STAGE_MAX_CLASSES] = { 0 };
	int64 n = 0;

	for (int64 i = 0; i < stage->nrows; i++)
	{
		int class = stage_class(stage, e->ranked[i].row);

		if (i % BLOCK_ROWS == 0 && pgml_stopped(e->env))
			return pgml_fail_cancelled(e->env);
		if (e->ranked[i].key > stage->threshold && taken[class] >= share_of_class(stage, class))
			continue;
		taken[class]++;
		e->order[n++] = (int32) e->ranked[i].row;
	}
	e->table->nrows = n;
	e->table->together = true;
	return PGML_OK;
}

/* Find the rows that form the result, in its order; the memory that sorting took is the first to be spare. */
static PgmlStatus
order_rows(Emission *e)
{
	Size bytes = pgml_big_size(Max(e->stage->nrows, 1) * sizeof(PgmlKeyed));

	e->order = pgml_array(e->scratch, e->stage->nrows, sizeof(int32));
	e->ranked = e->spare[0] = pgml_big_alloc(sizeof(PgmlKeyed), bytes);
	e->tmp = e->spare[1] = pgml_big_alloc(sizeof(PgmlKeyed), bytes);
	if (e->order == NULL || e->ranked == NULL || e->tmp == NULL)
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

/* Gather cells of 4 or 8 bytes in the order of the result. */
static PgmlStatus
gather(const Emission *e, const void *from, Size size, void *to)
{
	int64 n = e->table->nrows;

	for (int64 start = 0; start < n; start += BLOCK_ROWS)
	{
		int64 upto = Min(start + BLOCK_ROWS, n);

		if (pgml_stopped(e->env))
			return PGML_ERR_CANCELLED;
		if (size == sizeof(uint32))
			for (int64 i = start; i < upto; i++)
				((uint32 *) to)[i] = ((const uint32 *) from)[e->order[i]];
		else
			for (int64 i = start; i < upto; i++)
				((uint64 *) to)[i] = ((const uint64 *) from)[e->order[i]];
	}
	return PGML_OK;
}

/* Memory for a column's cells: the spare one of the thread when there is one, cut to size. */
static void *
take_spare(void **spare, Size bytes)
{
	void *memory = pgml_big_realloc(*spare, pgml_big_size(bytes));

	if (memory != NULL)
		*spare = NULL;
	return memory;
}

/* Gather one column; the memory that it was held in is the next one's. */
static PgmlStatus
emit_column(void *arg, int64_t block, int thread)
{
	Emission *e = arg;
	StageColumn *from = column_of(e, block);
	Size size = stage_cell_size(from);
	void **spare = &e->spare[2 * thread + (size == sizeof(uint64))];
	Size bytes = Max(e->table->nrows, 1) * size;

	e->cells[block] = take_spare(spare, bytes);
	if (e->cells[block] == NULL)
		return PGML_ERR_NOMEM;
	PGML_TRY(gather(e, from->cells.data, size, e->cells[block]));
	*spare = pgml_buf_release(&from->cells);
	return PGML_OK;
}

/* Hand a gathered column to the table. */
static PgmlStatus
keep_column(const Emission *e, int i)
{
	const StageColumn *from = column_of(e, i);
	PgmlColumn *to = &e->table->cols[i];
	Size bytes = pgml_big_size(Max(e->table->nrows, 1) * stage_cell_size(from));
	void *cells = e->cells[i];

	if (!pgml_arena_adopt(e->arena, cells, bytes))
		return no_room(e->env);
	e->cells[i] = NULL;
	if (from->cell == STAGE_DOUBLE)
		to->num = cells;
	else if (from->cell == STAGE_SINGLE)
		to->single = cells;
	else
		to->code = cells;
	return PGML_OK;
}

/* Gather all columns, as many side by side as there are threads. */
static PgmlStatus
emit_columns(Emission *e)
{
	PgmlStatus status = pgml_par_for(e->env, e->table->ncols, emit_column, e);

	for (int i = 0; status == PGML_OK && i < e->table->ncols; i++)
		status = keep_column(e, i);
	if (status == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(e->env);
	return status == PGML_ERR_NOMEM ? pgml_fail_nomem(e->env, "the columns") : status;
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

/* Order the rows and gather them, with room for the spare memory of every thread. */
static PgmlStatus
emit_rows(Emission *e)
{
	PGML_TRY(order_rows(e));
	e->table->row_hash = pgml_array(e->arena, Max(e->table->nrows, 1), sizeof(uint64_t));
	if (e->table->row_hash == NULL)
		return no_room(e->env);
	if (gather(e, e->stage->hashes.data, sizeof(uint64), e->table->row_hash) != PGML_OK)
		return pgml_fail_cancelled(e->env);
	PGML_TRY(emit_columns(e));
	return emit_dictionaries(e);
}

static PgmlStatus
emit_all(Emission *e)
{
	int spares = 2 * Max(pgml_pool_threads(e->env->pool), 1);
	PgmlStatus status;

	e->cells = pgml_zalloc(e->scratch, e->table->ncols + 1, sizeof(void *));
	e->spare = pgml_zalloc(e->scratch, spares, sizeof(void *));
	if (e->cells == NULL || e->spare == NULL)
		return pgml_fail_nomem(e->env, "the columns");
	status = emit_rows(e);
	for (int i = 0; i < spares; i++)
		free(e->spare[i]);
	for (int i = 0; i < e->table->ncols; i++)
		free(e->cells[i]);
	return status;
}

/* Runs in the driver thread. */
static PgmlStatus
emit(const PgmlEnv *env, void *arg)
{
	Emission *e = arg;
	PgmlStatus status;

	e->env = env;
	e->scratch = pgml_arena_create(env->budget);
	status = e->scratch == NULL ? pgml_fail_nomem(env, "the rows") : emit_all(e);
	pgml_arena_destroy(e->scratch);
	return status;
}

void
stage_emit(Stage *stage, const int *columns, PgmlArena *arena, PgmlTable *table)
{
	Emission emission = { .stage = stage, .columns = columns, .arena = arena, .table = table };

	pgml_driver_run(emit, &emission, &stage->budget, pgml_max_threads(), 0, 0);
}
