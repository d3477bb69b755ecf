/*
 * ingest_block.c - rows of fixed width, many at a time.
 *
 * Where every usable column is a number, boolean, date or time that is held by value, rows are first put side by side as the
 * records that heap tuples are made of, and then read column after column: one choice of what a type means for a block
 * of rows instead of for each value.  A tuple that has the record's layout, and no NULL, is copied as it lies in its
 * page, without being taken apart.  Values and hashes are those of reading value by value.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "core/hash.h"
#include "pg/ingest_internal.h"

/* Rows of a block; their records and the cells they become stay in the first-level cache. */
#define BLOCK_ROWS 128

/* A usable column of the statement. */
typedef struct BlockColumn
{
	int input;
	int offset; /* in the record */
	int16 length;
} BlockColumn;

typedef struct RowBlock
{
	int ncolumns;
	BlockColumn *columns;
	int *of_input; /* column of each input, -1: unusable */
	int width;     /* of a record, aligned */
	int filled;    /* of that, what the last column ends at */
	char *records;
	int n;
	bool any_null;
	bool *null;     /* per column, of each row */
	TupleDesc desc; /* of the tuples seen last */
	bool as_is;     /* they have the layout of the record */
	uint64 hash[BLOCK_ROWS];
	uint64 class_hash[BLOCK_ROWS];
	uint16 class[BLOCK_ROWS];
} RowBlock;

/* Whether values are numbers held by value in a fixed number of bytes; by the type they are stored as. */
static bool
is_plain(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case MONEYOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

struct RowBlock *
ingest_block_create(const Ingest *ingest, TupleDesc desc)
{
	RowBlock *block = palloc0(sizeof(RowBlock));

	block->columns = palloc(ingest->ninputs * sizeof(BlockColumn));
	block->of_input = palloc(ingest->ninputs * sizeof(int));
	for (int i = 0; i < ingest->ninputs; i++)
	{
		const PgmlTypeReader *reader = &ingest->inputs[i].reader;
		BlockColumn *column = &block->columns[block->ncolumns];

		block->of_input[i] = -1;
		if (!reader->supported)
			continue;
		if (reader->array || !is_plain(reader->type))
			return NULL;
		column->input = i;
		column->length = TupleDescAttr(desc, i)->attlen; /* which they are aligned to, too */
		column->offset = TYPEALIGN(column->length, block->filled);
		block->filled = column->offset + column->length;
		block->of_input[i] = block->ncolumns++;
	}
	block->width = MAXALIGN(Max(block->filled, 1));
	block->records = palloc(BLOCK_ROWS * block->width);
	block->null = palloc0(BLOCK_ROWS * (block->ncolumns + 1) * sizeof(bool));
	return block;
}

/* ---- taking rows ------------------------------------------------------------------------------ */

/* Whether tuples of that description, without NULLs, have the layout of the record. */
static bool
has_layout(const RowBlock *block, TupleDesc desc)
{
	int offset = 0;

	if (desc->natts != block->ncolumns)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const BlockColumn *column = &block->columns[i];

		if (att->attisdropped || !att->attbyval || att->attlen != column->length)
			return false;
		offset = att_align_nominal(offset, att->attalign);
		if (offset != column->offset)
			return false;
		offset += att->attlen;
	}
	return true;
}

/* The record as it lies in the slot's tuple; NULL when it has to be put together. */
static const char *
find_record(RowBlock *block, TupleTableSlot *slot)
{
	HeapTuple tuple;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return NULL;
	tuple = ((BufferHeapTupleTableSlot *) slot)->base.tuple;
	if (block->desc != slot->tts_tupleDescriptor)
	{
		block->desc = slot->tts_tupleDescriptor;
		block->as_is = has_layout(block, block->desc);
	}
	if (!block->as_is || tuple == NULL || HeapTupleHasNulls(tuple) ||
		HeapTupleHeaderGetNatts(tuple->t_data) < block->ncolumns ||
		tuple->t_len < tuple->t_data->t_hoff + (uint32) block->filled)
		return NULL;
	return (const char *) tuple->t_data + tuple->t_data->t_hoff;
}

void
ingest_block_add(Ingest *ingest, TupleTableSlot *slot)
{
	RowBlock *block = ingest->block;
	char *record = block->records + block->n * block->width;
	const char *found = find_record(block, slot);

	if (found != NULL)
		memcpy(record, found, block->filled);
	else
	{
		slot_getallattrs(slot);
		for (int c = 0; c < block->ncolumns; c++)
		{
			const BlockColumn *column = &block->columns[c];
			bool isnull = slot->tts_isnull[column->input];

			store_att_byval(record + column->offset,
							isnull ? (Datum) 0 : slot->tts_values[column->input], column->length);
			block->null[c * BLOCK_ROWS + block->n] = isnull;
			block->any_null |= isnull;
		}
	}
	if (++block->n == BLOCK_ROWS)
		ingest_block_flush(ingest);
}

/* ---- reading blocks --------------------------------------------------------------------------- */

static Datum
cell_datum(const RowBlock *block, int c, int row)
{
	const BlockColumn *column = &block->columns[c];

	return fetch_att(block->records + row * block->width + column->offset, true, column->length);
}

/* Numbers of a column, NaN for those that are missing. */
static void
read_numbers(Ingest *ingest, const RowBlock *block, int c, double *restrict out)
{
	PgmlTypeReader *reader = &ingest->inputs[block->columns[c].input].reader;
	const char *from = block->records + block->columns[c].offset;
	int width = block->width;

	switch (reader->type)
	{
		case FLOAT4OID:
			for (int row = 0; row < block->n; row++)
				out[row] = *(const float *) (from + row * width);
			break;
		case FLOAT8OID:
			for (int row = 0; row < block->n; row++)
				out[row] = *(const double *) (from + row * width);
			break;
		case INT8OID:
			for (int row = 0; row < block->n; row++)
				out[row] = (double) *(const int64 *) (from + row * width);
			break;
		case INT4OID:
			for (int row = 0; row < block->n; row++)
				out[row] = *(const int32 *) (from + row * width);
			break;
		default:
			for (int row = 0; row < block->n; row++)
				out[row] = pgml_datum_value(reader, cell_datum(block, c, row)).num;
			break;
	}
	for (int row = 0; block->any_null && row < block->n; row++)
	{
		if (block->null[c * BLOCK_ROWS + row])
			out[row] = NAN;
	}
}

/* Hash of one input in every row, combined into the hashes so far. */
static void
hash_input(Ingest *ingest, const RowBlock *block, int input, uint64 *hash, bool into)
{
	PgmlTypeReader *reader = &ingest->inputs[input].reader;
	int c = block->of_input[input];
	double num[BLOCK_ROWS];

	read_numbers(ingest, block, c, num);
	for (int row = 0; row < block->n; row++)
	{
		PgmlValue value = { .kind = reader->kind, .num = num[row], .is_null = isnan(num[row]) };
		uint64 own = ingest_number_has_digits(reader, num[row]) ?
						 ingest_hash_value(reader, cell_datum(block, c, row), &value) :
						 ingest_hash_number(reader->kind, num[row]);

		own = pgml_hash_combine(0, own);
		hash[row] = into ? pgml_hash_combine(hash[row], own) : own;
	}
}

/* Keep the rows that the stage wants, side by side. */
static void
admit_rows(Ingest *ingest, RowBlock *block)
{
	int n = 0;

	for (int row = 0; row < block->n; row++)
	{
		int class = stage_admit(ingest->stage, block->hash[row], block->class_hash[row]);

		if (class < 0)
			continue;
		if (n < row)
		{
			memcpy(block->records + n * block->width, block->records + row * block->width,
				   block->width);
			for (int c = 0; block->any_null && c < block->ncolumns; c++)
				block->null[c * BLOCK_ROWS + n] = block->null[c * BLOCK_ROWS + row];
			block->hash[n] = block->hash[row];
		}
		block->class[n++] = class;
	}
	block->n = n;
}

/* Cells of a column of floats. */
static void
read_singles(const RowBlock *block, int c, float *restrict out)
{
	const char *from = block->records + block->columns[c].offset;

	for (int row = 0; row < block->n; row++)
		out[row] = *(const float *) (from + row * block->width);
	for (int row = 0; block->any_null && row < block->n; row++)
	{
		if (block->null[c * BLOCK_ROWS + row])
			out[row] = NAN;
	}
}

void
ingest_block_flush(Ingest *ingest)
{
	RowBlock *block = ingest->block;
	Stage *stage = ingest->stage;
	MemoryContext old = MemoryContextSwitchTo(ingest->row_context);

	memset(block->hash, 0, sizeof(block->hash));
	memset(block->class_hash, 0, sizeof(block->class_hash));
	for (int i = 0; i < ingest->nidentity; i++)
		hash_input(ingest, block, ingest->identity[i], block->hash, true);
	if (ingest->target >= 0)
		hash_input(ingest, block, ingest->target, block->class_hash, false);
	admit_rows(ingest, block);
	stage_reserve(stage, block->n);
	for (int c = 0; c < block->ncolumns; c++)
	{
		const StageColumn *to = &stage->columns[ingest->inputs[block->columns[c].input].first];

		if (to->cell == STAGE_SINGLE)
			read_singles(block, c, (float *) to->cells.data + stage->nrows);
		else
			read_numbers(ingest, block, c, (double *) to->cells.data + stage->nrows);
	}
	stage_take(stage, block->hash, block->class, block->n);
	block->n = 0;
	if (block->any_null)
		memset(block->null, 0, BLOCK_ROWS * block->ncolumns * sizeof(bool));
	block->any_null = false;
	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->row_context);
}
