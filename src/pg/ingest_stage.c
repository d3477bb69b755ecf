/*
 * ingest_stage.c - rows on their way from the executor into a table of the core.
 *
 * How many rows will come is not known, and arenas cannot grow an array in place: until the end, each column is a
 * buffer that grows by realloc (which moves pages, not bytes, for large ones) and each text column has a dictionary in an
 * arena of its own.  At the end ingest_emit.c writes them into the caller's arena, in the order of the result.
 */
#include "postgres.h"

#include <malloc.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/hash.h"
#include "pg/ingest_stage.h"

#define FIRST_ROWS 64
#define MORE_ROWS  8192

/* Without a bound, room is made for so many rows before they come. */
#define UNBOUNDED_ROWS 1e6

/* Stages larger than this are given back to the operating system at once. */
#define TRIM_BYTES (16 * 1024 * 1024)

/* About what a string costs in a dictionary besides its bytes. */
#define STRING_OVERHEAD 40

/*
 * Bytes of a row besides its cells: its identity, its class and, twice, what it is sorted by; and what a training needs of each row
 * before the first fit, such as its target, its part in the split and its place in a list, as far as stage_too_big() does not
 * count it.
 */
#define ROW_OVERHEAD (8 + 2 + 16 + 12)

/* ---- memory -------------------------------------------------------------------------------- */

/* An array in the current memory context, freed with it; may be larger than 1 GB. */
void *
stage_array(int64 n, Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * size);
}

__attribute__((noreturn)) static void
fail_nomem(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
					errdetail("Failed while reading the data.")));
}

void
stage_fail_limit(void)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg(STAGE_NO_ROOM),
					errhint(STAGE_NO_ROOM_HINT)));
}

Stage *
stage_create(int64 max_bytes, uint64 salt)
{
	Stage *stage = palloc0(sizeof(Stage));

	stage->max_bytes = max_bytes;
	stage->salt = salt;
	stage->row_bytes = ROW_OVERHEAD;
	pgml_budget_init(&stage->budget, 0);
	pgml_buf_init(&stage->hashes, &stage->budget);
	pgml_buf_init(&stage->classes, &stage->budget);
	stage->threshold = UINT64_MAX;
	stage->reserve = -1;
	return stage;
}

void
stage_free_column(StageColumn *column)
{
	pgml_buf_free(&column->cells);
	pgml_arena_destroy(column->arena);
	column->arena = NULL;
	column->dict = NULL;
}

void
stage_free(Stage *stage)
{
	for (int i = 0; i < stage->ncolumns; i++)
		stage_free_column(&stage->columns[i]);
	pgml_buf_free(&stage->hashes);
	pgml_buf_free(&stage->classes);
	pgml_arena_destroy(stage->retired);
	/* malloc keeps what was freed below its top; a backend may live long after it has read much. */
	if (atomic_load(&stage->budget.peak) > TRIM_BYTES)
		malloc_trim(0);
}

/* ---- columns ------------------------------------------------------------------------------- */

static double *
doubles(const StageColumn *column)
{
	return (double *) column->cells.data;
}

static float *
singles(const StageColumn *column)
{
	return (float *) column->cells.data;
}

static int32 *
codes(const StageColumn *column)
{
	return (int32 *) column->cells.data;
}

/* Room for n more elements of the given size. */
static void
extend(PgmlBuf *buf, int64 n, Size size)
{
	if (n > 0 && pgml_buf_extend(buf, n * size) == NULL)
		fail_nomem();
}

static void
set_missing(StageColumn *column, int64 row)
{
	switch (column->cell)
	{
		case STAGE_DOUBLE:
			doubles(column)[row] = NAN;
			break;
		case STAGE_SINGLE:
			singles(column)[row] = NAN;
			break;
		case STAGE_CODE:
			codes(column)[row] = -1;
			break;
	}
}

/* A new, empty dictionary in a new arena. */
static void
create_dict(Stage *stage, StageColumn *column)
{
	column->arena = pgml_arena_create(&stage->budget);
	column->dict = column->arena != NULL ? pgml_dict_create(column->arena) : NULL;
	column->text_bytes = 0;
	if (column->dict == NULL)
		fail_nomem();
}

int
stage_add_column(Stage *stage, StageCell cell)
{
	StageColumn *column;

	if (stage->ncolumns == stage->max_columns)
	{
		int n = Max(16, stage->max_columns * 2);
		StageColumn *columns = stage_array(n, sizeof(StageColumn));

		if (stage->ncolumns > 0)
			memcpy(columns, stage->columns, stage->ncolumns * sizeof(StageColumn));
		stage->columns = columns;
		stage->max_columns = n;
	}
	column = &stage->columns[stage->ncolumns];
	memset(column, 0, sizeof(*column));
	column->cell = cell;
	pgml_buf_init(&column->cells, &stage->budget);
	stage->ncolumns++;
	stage->row_bytes += stage_cell_size(column);
	if (cell == STAGE_CODE)
		create_dict(stage, column);
	extend(&column->cells, stage->capacity, stage_cell_size(column));
	for (int64 i = 0; i < stage->nrows; i++)
		set_missing(column, i);
	return stage->ncolumns - 1;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Whether the rows held, and what making a table of them takes, exceed the bound. */
bool
stage_too_big(const Stage *stage)
{
	if (stage->nrows >= INT32_MAX)
		return true;
	return stage->max_bytes > 0 && stage->nrows * (stage->row_bytes + (int64) sizeof(double)) +
										   stage->text_bytes + stage->max_text_bytes >
									   stage->max_bytes;
}

/* Code of a string, counting what new ones take. */
static int32
add_string(Stage *stage, StageColumn *column, const char *s, uint32 len)
{
	int32 known = pgml_dict_size(column->dict);
	int32 code = pgml_dict_add(column->dict, s, len);

	if (code < 0)
		fail_nomem();
	if (code == known)
	{
		column->text_bytes += len + STRING_OVERHEAD;
		stage->text_bytes += len + STRING_OVERHEAD;
		stage->max_text_bytes = Max(stage->max_text_bytes, column->text_bytes);
	}
	return code;
}

void
stage_reserve(Stage *stage, int64 n)
{
	if (stage->capacity - stage->nrows >= n)
		return;
	n = Max(n, Min(Max(stage->nrows, FIRST_ROWS), MORE_ROWS));
	for (int i = 0; i < stage->ncolumns; i++)
		extend(&stage->columns[i].cells, n, stage_cell_size(&stage->columns[i]));
	extend(&stage->hashes, n, sizeof(uint64));
	extend(&stage->classes, n, sizeof(uint16));
	stage->capacity += n;
}

void
stage_expect(Stage *stage, double nrows)
{
	int64 n = (int64) Min(nrows, stage->max_bytes > 0 ? stage->max_bytes / stage->row_bytes :
														UNBOUNDED_ROWS);

	for (int i = 0; i < stage->ncolumns; i++)
		pgml_buf_reserve(&stage->columns[i].cells, n * stage_cell_size(&stage->columns[i]));
	pgml_buf_reserve(&stage->hashes, n * sizeof(uint64));
	pgml_buf_reserve(&stage->classes, n * sizeof(uint16));
}

int
stage_admit(Stage *stage, uint64 hash, uint64 class_hash)
{
	int class;

	stage->nrows_total++;
	class = stage_class_of(stage, class_hash);
	stage->class[class].seen++;
	if (stage->class[class].threshold < UINT64_MAX &&
		stage_key_of_hash(stage, hash) > stage->class[class].threshold)
		return -1;
	return class;
}

void
stage_take(Stage *stage, const uint64 *hashes, const uint16 *classes, int64 n)
{
	memcpy((uint64 *) stage->hashes.data + stage->nrows, hashes, n * sizeof(uint64));
	if (stage->stratified)
		memcpy((uint16 *) stage->classes.data + stage->nrows, classes, n * sizeof(uint16));
	else
		memset((uint16 *) stage->classes.data + stage->nrows, 0, n * sizeof(uint16));
	stage->nrows += n;
	if (stage_too_big(stage))
		stage_shrink(stage);
}

/* Write a value into the row behind the others. */
static void
append_value(Stage *stage, StageColumn *column, const PgmlValue *value)
{
	int64 row = stage->nrows;

	if (value->is_null)
		set_missing(column, row);
	else if (column->cell == STAGE_CODE)
		codes(column)[row] = add_string(stage, column, value->str, value->len);
	else if (column->cell == STAGE_SINGLE)
		singles(column)[row] = (float) value->num;
	else
		doubles(column)[row] = value->num;
}

void
stage_add_row(Stage *stage, const PgmlValue *values, uint64 hash, uint64 class_hash)
{
	int class = stage_admit(stage, hash, class_hash);
	uint16 held_class = class;

	if (class < 0)
		return;
	stage_reserve(stage, 1);
	for (int i = 0; i < stage->ncolumns; i++)
		append_value(stage, &stage->columns[i], &values[i]);
	stage_take(stage, &hash, &held_class, 1);
}

/* Move the cells of kept rows of a column together; a dictionary is made anew with the strings still used. */
static void
keep_cells(Stage *stage, StageColumn *column, const bool *keep)
{
	StageColumn old = *column;
	int64 n = 0;

	if (column->cell != STAGE_CODE)
	{
		Size size = stage_cell_size(column);

		for (int64 i = 0; i < stage->nrows; i++)
		{
			if (keep[i])
				memcpy(column->cells.data + n++ * size, column->cells.data + i * size, size);
		}
		return;
	}
	stage->text_bytes -= column->text_bytes;
	stage->retired = old.arena;
	create_dict(stage, column);
	for (int64 i = 0; i < stage->nrows; i++)
	{
		int32 code = codes(column)[i];
		uint32 len;

		if (!keep[i])
			continue;
		if (code >= 0)
		{
			const char *s = pgml_dict_get(old.dict, code, &len);

			code = add_string(stage, column, s, len);
		}
		codes(column)[n++] = code;
	}
	pgml_arena_destroy(stage->retired);
	stage->retired = NULL;
}

/* Drop all rows but those marked. */
void
stage_keep_rows(Stage *stage, const bool *keep)
{
	uint64 *hashes = (uint64 *) stage->hashes.data;
	uint16 *classes = (uint16 *) stage->classes.data;
	int64 n = 0;

	stage->max_text_bytes = 0;
	for (int i = 0; i < stage->ncolumns; i++)
	{
		CHECK_FOR_INTERRUPTS();
		keep_cells(stage, &stage->columns[i], keep);
	}
	for (int64 i = 0; i < stage->nrows; i++)
	{
		if (keep[i])
		{
			hashes[n] = hashes[i];
			classes[n] = classes[i];
			n++;
		}
	}
	stage->nrows = n;
}
