/*
 * ingest_stage.c - rows on their way from the executor into a table of the core.
 *
 * How many rows will come is not known, and arenas cannot grow an array in place: until the end, each column is a
 * buffer that grows by realloc (which moves pages, not bytes, for large ones) and each text column has a dictionary in an
 * arena of its own.  At the end the columns are written into the caller's arena one after another, in the order of
 * the result, each freed at once, so that memory holds one column twice at most.
 *
 * Dictionaries are made anew on the way: codes count from the first appearance in the order of the result, which does
 * not depend on where rows lie in the table, and strings of rows that were sampled away are gone.
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

/* Stages larger than this are given back to the operating system at once. */
#define TRIM_BYTES (16 * 1024 * 1024)

/* About what a string costs in a dictionary besides its bytes. */
#define STRING_OVERHEAD 40

/* Bytes of a row besides its cells: identity, class, and its place in the order (a key and a row number, twice). */
#define ROW_OVERHEAD (8 + 2 + 24)

/* Makes sample keys independent of the hashes that split rows into training and test. */
#define SAMPLE_STREAM UINT64CONST(0x73616d706c65)

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
	ereport(
		ERROR,
		(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("the data does not fit into memory"),
		 errhint("Read fewer columns or rows, or let a superuser raise pgml_auto.max_memory.")));
}

Stage *
stage_create(bool keep_order, bool stratified, int64 max_bytes, uint64 salt)
{
	Stage *stage = palloc0(sizeof(Stage));

	stage->keep_order = keep_order;
	stage->stratified = stratified;
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

static void
free_column(StageColumn *column)
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
		free_column(&stage->columns[i]);
	pgml_buf_free(&stage->hashes);
	pgml_buf_free(&stage->classes);
	pgml_arena_destroy(stage->retired);
	/* malloc keeps what was freed below its top; a backend may live long after it has read much. */
	if (atomic_load(&stage->budget.peak) > TRIM_BYTES)
		malloc_trim(0);
}

/* ---- columns ------------------------------------------------------------------------------- */

static double *
numbers(const StageColumn *column)
{
	return (double *) column->cells.data;
}

static int32 *
codes(const StageColumn *column)
{
	return (int32 *) column->cells.data;
}

static Size
cell_size(const StageColumn *column)
{
	return column->is_text ? sizeof(int32) : sizeof(double);
}

/* Room for n more elements of the given size. */
static void
extend(PgmlBuf *buf, int64 n, Size size)
{
	pgml_buf_put(buf, NULL, n * size);
	if (buf->failed)
		fail_nomem();
}

static void
set_missing(StageColumn *column, int64 row)
{
	if (column->is_text)
		codes(column)[row] = -1;
	else
		numbers(column)[row] = NAN;
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
stage_add_column(Stage *stage, bool is_text)
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
	column->is_text = is_text;
	pgml_buf_init(&column->cells, &stage->budget);
	stage->ncolumns++;
	stage->row_bytes += cell_size(column);
	if (is_text)
		create_dict(stage, column);
	extend(&column->cells, stage->capacity, cell_size(column));
	for (int64 i = 0; i < stage->nrows; i++)
		set_missing(column, i);
	return stage->ncolumns - 1;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Where a row with this identity stands: in the sample and in the order. */
uint64
stage_key_of_hash(const Stage *stage, uint64 hash)
{
	return pgml_hash_combine(pgml_hash_combine(hash, SAMPLE_STREAM), stage->salt);
}

uint64
stage_hash(const Stage *stage, int64 row)
{
	return ((const uint64 *) stage->hashes.data)[row];
}

uint64
stage_key(const Stage *stage, int64 row)
{
	return stage_key_of_hash(stage, stage_hash(stage, row));
}

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

/* Room for at least one more row. */
static void
reserve_rows(Stage *stage)
{
	int64 n;

	if (stage->nrows < stage->capacity)
		return;
	n = Min(Max(stage->nrows, FIRST_ROWS), MORE_ROWS);
	for (int i = 0; i < stage->ncolumns; i++)
		extend(&stage->columns[i].cells, n, cell_size(&stage->columns[i]));
	extend(&stage->hashes, n, sizeof(uint64));
	extend(&stage->classes, n, sizeof(uint16));
	stage->capacity += n;
}

/* Store a row behind the others. */
static void
append_row(Stage *stage, const PgmlValue *values, uint64 hash, int class)
{
	int64 row = stage->nrows;

	reserve_rows(stage);
	for (int i = 0; i < stage->ncolumns; i++)
	{
		StageColumn *column = &stage->columns[i];
		const PgmlValue *value = &values[i];

		if (value->is_null)
			set_missing(column, row);
		else if (column->is_text)
			codes(column)[row] = add_string(stage, column, value->str, value->len);
		else
			numbers(column)[row] = value->num;
	}
	((uint64 *) stage->hashes.data)[row] = hash;
	((uint16 *) stage->classes.data)[row] = class;
	stage->nrows++;
}

void
stage_add_row(Stage *stage, const PgmlValue *values, uint64 hash, uint64 class_hash)
{
	int class = 0;

	stage->nrows_total++;
	if (!stage->keep_order)
	{
		class = stage_class_of(stage, class_hash);
		stage->class[class].seen++;
		if (stage_key_of_hash(stage, hash) > stage->class[class].threshold)
			return;
	}
	append_row(stage, values, hash, class);
	if (!stage_too_big(stage))
		return;
	if (stage->keep_order)
		stage_fail_limit();
	stage_shrink(stage);
}

/* Move the cells of kept rows of a column together; a dictionary is made anew with the strings still used. */
static void
keep_cells(Stage *stage, StageColumn *column, const bool *keep)
{
	StageColumn old = *column;
	int64 n = 0;

	if (!column->is_text)
	{
		for (int64 i = 0; i < stage->nrows; i++)
		{
			if (keep[i])
				numbers(column)[n++] = numbers(column)[i];
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

/* ---- the result ---------------------------------------------------------------------------- */

static void
emit_numbers(StageColumn *column, const int64 *order, int64 nrows, PgmlArena *arena,
			 PgmlColumn *out)
{
	const double *from = numbers(column);

	out->num = pgml_array(arena, Max(nrows, 1), sizeof(double));
	if (out->num == NULL)
		stage_fail_limit();
	for (int64 i = 0; i < nrows; i++)
		out->num[i] = from[order[i]];
}

static void
emit_codes(StageColumn *column, const int64 *order, int64 nrows, PgmlArena *arena, PgmlColumn *out)
{
	const int32 *from = codes(column);
	int32 size = pgml_dict_size(column->dict);
	int32 *renumbered = stage_array(size, sizeof(int32));

	memset(renumbered, 0xff, size * sizeof(int32));
	out->dict = pgml_dict_create(arena);
	out->code = pgml_array(arena, Max(nrows, 1), sizeof(int32));
	if (out->dict == NULL || out->code == NULL)
		stage_fail_limit();
	for (int64 i = 0; i < nrows; i++)
	{
		int32 code = from[order[i]];

		if (code >= 0 && renumbered[code] < 0)
		{
			uint32 len;
			const char *s = pgml_dict_get(column->dict, code, &len);

			CHECK_FOR_INTERRUPTS();
			renumbered[code] = pgml_dict_add(out->dict, s, len);
			if (renumbered[code] < 0)
				stage_fail_limit();
		}
		out->code[i] = code < 0 ? -1 : renumbered[code];
	}
	pfree(renumbered);
}

void
stage_emit(Stage *stage, int column, const int64 *order, int64 nrows, PgmlArena *arena,
		   PgmlColumn *out)
{
	StageColumn *staged = &stage->columns[column];

	CHECK_FOR_INTERRUPTS();
	if (staged->is_text)
		emit_codes(staged, order, nrows, arena, out);
	else
		emit_numbers(staged, order, nrows, arena, out);
	free_column(staged);
}
