/* predict_block.c - rows of one shape scored many at a time. */
#include "postgres.h"

#include <math.h>

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/scorer.h"
#include "pg/error.h"
#include "pg/predict_bind.h"
#include "pg/predict_block.h"
#include "pg/predict_convert.h"
#include "pg/predict_memo.h"

#define MIN_ROWS      64
#define FEATURE_BYTES (8 * 1024 * 1024) /* of a block, where MIN_ROWS allow it */
#define ALIGNMENT     64

/* How the values of an input are read. */
typedef enum BlockRead
{
	READ_FLOAT8, /* numbers, converted to features when the block is full */
	READ_FLOAT4,
	READ_INT8,
	READ_INT4,
	READ_INT2,
	READ_NUMBER,  /* of another type of the kind in training */
	READ_ELEMENT, /* of an array */
	READ_TEXT,    /* text that becomes one feature */
	READ_VALUE,   /* anything else whose reading raises no error; converted at once */
	READ_RISKY    /* what a type's input function or a cast reads */
} BlockRead;

typedef struct BlockInput
{
	BoundInput *bound;
	int column;
	BlockRead read;
	double *numbers;   /* of the rows so far; NULL from READ_TEXT on */
	PredictMemo *memo; /* of READ_TEXT */
	int feature;       /* the only one, of READ_TEXT */
} BlockInput;

struct PredictBlock
{
	PgmlInputs *inputs;
	const PgmlImage *image;
	int room;
	int rows;
	int outputs;
	float *features; /* feature f of row i at f * room + i */
	double *out;
	const PgmlScorer *scorer;
	void *scratch;
	int n_inputs;
	BlockInput input[FLEXIBLE_ARRAY_MEMBER];
};

/* ---- setting up ---------------------------------------------------------------------------- */

/* Whether reading a value raises no error; recipes say by their status what they cannot read. */
static bool
reads_safely(const BoundInput *bound)
{
	if (bound->cast != NULL || bound->reader.output.fn_oid >= FirstNormalObjectId)
		return false;
	return bound->reader.kind != PGML_KIND_TEXT || bound->trained.kind == PGML_KIND_TEXT ||
		   bound->trained.kind == PGML_KIND_BOOL || bound->trained.type == FLOAT8OID;
}

/* Whether the bytes of a value alone decide what becomes of it. */
static bool
is_plain_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

/* How to read an input. */
static BlockRead
choose_read(const BoundInput *bound, int n_features)
{
	if (bound->element > 0)
		return bound->trained.kind == PGML_KIND_NUMBER ? READ_ELEMENT : READ_RISKY;
	if (!reads_safely(bound))
		return READ_RISKY;
	if (is_plain_text(bound->reader.type) && n_features == 1)
		return READ_TEXT;
	if (bound->reader.kind != bound->trained.kind || bound->reader.kind == PGML_KIND_TEXT)
		return READ_VALUE;
	switch (bound->reader.type)
	{
		case FLOAT8OID:
			return READ_FLOAT8;
		case FLOAT4OID:
			return READ_FLOAT4;
		case INT8OID:
			return READ_INT8;
		case INT4OID:
			return READ_INT4;
		case INT2OID:
			return READ_INT2;
		default:
			return READ_NUMBER;
	}
}

/* Memory that begins at a multiple of ALIGNMENT. */
static void *
alloc_aligned(MemoryContext context, Size size)
{
	return (void *) TYPEALIGN(ALIGNMENT, MemoryContextAllocHuge(context, size + ALIGNMENT));
}

int
predict_block_limit(const PgmlInputs *inputs)
{
	Size row = Max(inputs->model->image.recipe.n_features, 1) * sizeof(float);

	int64 most = Max(pgml_scorer_rows(pgml_model_scorer(inputs->model)), PREDICT_BLOCK_ROWS);

	return (int) Max(Min((int64) (FEATURE_BYTES / row), most), MIN_ROWS);
}

PredictBlock *
predict_block_create(PgmlInputs *inputs, int rows, const int *columns, MemoryContext context)
{
	PgmlBinding *binding = inputs->binding;
	const PgmlImage *image = &inputs->model->image;
	Size n_features = Max(image->recipe.n_features, 1);
	PredictBlock *block = MemoryContextAllocZero(
		context, offsetof(PredictBlock, input) + binding->n_inputs * sizeof(BlockInput));

	block->inputs = inputs;
	block->image = image;
	block->room = rows;
	block->outputs = pgml_image_outputs(image);
	block->n_inputs = binding->n_inputs;
	for (int i = 0; i < binding->n_inputs; i++)
	{
		BlockInput *input = &block->input[i];
		PgmlInput of_model;

		input->bound = &binding->inputs[i];
		of_model = pgml_recipe_input(&image->recipe, input->bound->input);
		input->column =
			columns == NULL ? input->bound->attribute : columns[input->bound->attribute];
		input->read = choose_read(input->bound, of_model.n_features);
		input->feature = of_model.first_feature;
		if (input->read < READ_TEXT)
			input->numbers = MemoryContextAlloc(context, block->room * sizeof(double));
		if (input->read == READ_TEXT)
			input->memo = predict_memo_create(context);
	}
	block->features = alloc_aligned(context, n_features * block->room * sizeof(float));
	for (Size i = 0; i < n_features * block->room; i++)
		block->features[i] = NAN;
	block->out = alloc_aligned(context, (Size) block->room * block->outputs * sizeof(double));
	block->scorer = pgml_model_scorer(inputs->model);
	block->scratch = alloc_aligned(context, pgml_scorer_scratch(block->scorer));
	return block;
}

int
predict_block_room(const PredictBlock *block)
{
	return block->room;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The array whose elements are being read: neighbouring inputs come from the same one. */
typedef struct OpenArray
{
	int column;
	int length;
	double *elements;
} OpenArray;

/* Element of an array; false when it has not as many as in training. */
static bool
read_element(OpenArray *open, const BlockInput *input, Datum datum, double *number)
{
	BoundInput *bound = input->bound;

	if (open->column != input->column)
	{
		open->length = pgml_datum_elements(&bound->reader, datum, &open->elements);
		open->column = input->column;
	}
	if (open->length != 0 && open->length != bound->length)
		return false;
	*number = open->length == 0 ? NAN : open->elements[bound->element - 1];
	return true;
}

/* A number of any type. */
static double
read_number(const BlockInput *input, Datum datum)
{
	PgmlValue value = pgml_datum_value(&input->bound->reader, datum);

	return value.is_null ? NAN : value.num;
}

/* Compute the features of any value; false, or the error where those are wanted, when the recipe cannot. */
static bool
store_value(PredictBlock *block, const BlockInput *input, const PgmlValue *value, bool raise)
{
	PgmlError error;

	if (pgml_recipe_apply_at(&block->image->recipe, input->bound->input, value,
							 block->features + block->rows, block->room, &error) == PGML_OK)
		return true;
	if (raise)
		pgml_raise(&error);
	return false;
}

/* A text into the block, by its feature when it was there lately. */
static bool
add_text(PredictBlock *block, const BlockInput *input, Datum datum, bool raise)
{
	struct varlena *raw = (struct varlena *) DatumGetPointer(datum);
	bool plain = !VARATT_IS_EXTERNAL(raw) && !VARATT_IS_COMPRESSED(raw);
	float *to = block->features + (int64) input->feature * block->room + block->rows;
	const float *known =
		plain ? predict_memo_find(input->memo, VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw)) : NULL;
	PgmlValue value;

	if (known != NULL)
	{
		*to = *known;
		return true;
	}
	value = predict_convert_datum(input->bound, datum);
	if (!store_value(block, input, &value, raise))
		return false;
	if (plain)
		predict_memo_keep(input->memo, VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw), *to);
	return true;
}

/* One value that is not NULL into the block. */
static inline bool
add_value(PredictBlock *block, const BlockInput *input, OpenArray *open, Datum datum, bool raise)
{
	PgmlValue value;
	double *number = input->numbers + block->rows;

	switch (input->read)
	{
		case READ_FLOAT8:
			*number = DatumGetFloat8(datum);
			return true;
		case READ_FLOAT4:
			*number = DatumGetFloat4(datum);
			return true;
		case READ_INT8:
			*number = (double) DatumGetInt64(datum);
			return true;
		case READ_INT4:
			*number = DatumGetInt32(datum);
			return true;
		case READ_INT2:
			*number = DatumGetInt16(datum);
			return true;
		case READ_NUMBER:
			*number = read_number(input, datum);
			return true;
		case READ_ELEMENT:
			return read_element(open, input, datum, number);
		case READ_TEXT:
			return add_text(block, input, datum, raise);
		case READ_RISKY:
			if (!raise || input->bound->element > 0)
				return false;
			/* fall through */
		case READ_VALUE:
			value = predict_convert_datum(input->bound, datum);
			return store_value(block, input, &value, raise);
	}
	return false;
}

/* Read a row; false when that is not possible, or not without the risk of an error where none may be raised. */
static bool
add_row(PredictBlock *block, const Datum *values, const bool *nulls, bool raise)
{
	static const PgmlValue null_value = { .kind = PGML_KIND_NUMBER, .is_null = true };
	MemoryContext old = MemoryContextSwitchTo(block->inputs->row);
	OpenArray open = { .column = -1 };
	bool added = true;

	for (int i = 0; i < block->n_inputs && added; i++)
	{
		const BlockInput *input = &block->input[i];

		if (!nulls[input->column])
			added = add_value(block, input, &open, values[input->column], raise);
		else if (input->numbers != NULL)
			input->numbers[block->rows] = NAN;
		else
			added = store_value(block, input, &null_value, raise);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(block->inputs->row);
	block->rows += added;
	return added;
}

bool
predict_block_try_add(PredictBlock *block, const Datum *values, const bool *nulls)
{
	return add_row(block, values, nulls, false);
}

/* Elements that have no place are left to the usual way, which says what is wrong. */
void
predict_block_add(PredictBlock *block, const Datum *values, const bool *nulls)
{
	if (!add_row(block, values, nulls, true))
	{
		pgml_inputs_read_columns(block->inputs, values, nulls, block->inputs->features);
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not read a row's values")));
	}
}

void
predict_block_skip(PredictBlock *block)
{
	block->rows++;
}

void
predict_block_drop(PredictBlock *block)
{
	block->rows--;
}

void
predict_block_clear(PredictBlock *block)
{
	block->rows = 0;
}

/* ---- scoring ------------------------------------------------------------------------------- */

/* Numbers of all rows to features. */
static void
convert_numbers(PredictBlock *block)
{
	for (int i = 0; i < block->n_inputs; i++)
	{
		const BlockInput *input = &block->input[i];
		PgmlError error;

		if (input->numbers != NULL &&
			pgml_recipe_apply_numbers(&block->image->recipe, input->bound->input,
									  input->bound->trained.kind, input->numbers, block->rows,
									  block->features, block->room, &error) != PGML_OK)
			pgml_raise(&error);
	}
}

void
predict_block_score(PredictBlock *block)
{
	int most = (int) pgml_scorer_rows_at_once(block->scorer);

	convert_numbers(block);
	for (int from = 0; from < block->rows; from += most)
	{
		PgmlBlock step = { block->features + from, block->room, Min(most, block->rows - from) };

		CHECK_FOR_INTERRUPTS();
		pgml_scorer_predict(block->scorer, &step, block->out + (Size) from * block->outputs,
							block->scratch);
	}
}

const double *
predict_block_out(const PredictBlock *block, int i)
{
	return block->out + (Size) i * block->outputs;
}
