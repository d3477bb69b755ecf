/*
 * predict_table.c - predict_table(): a relation or query in, its predictions out, in blocks.
 *
 * The data statement runs as the caller with the snapshot of the calling one, read-only, and its
 * rows go to a receiver that turns them into features as they come.  Every BLOCK_ROWS rows are
 * predicted in one go and put into the result, a tuplestore that spills to disk; so memory does not
 * depend on the number of rows.
 */
#include "postgres.h"

#include "access/xact.h"
#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "pg/compat.h"
#include "pg/predict.h"
#include "pg/predict_block.h"
#include "pg/predict_input.h"
#include "pg/predict_probs.h"
#include "pg/source.h"

/* Columns of the result. */
enum
{
	OUT_ID,
	OUT_PREDICTION,
	OUT_VALUE,
	OUT_PROBABILITY,
	OUT_PROBABILITIES,
	N_OUT
};

/* Takes rows, gives predictions. */
typedef struct TableReceiver
{
	DestReceiver receiver; /* first: the executor knows no more */
	const PgmlImage *image;
	PgmlInputs *inputs;
	Tuplestorestate *result;
	TupleDesc result_desc;
	int id_column; /* of the data, from 0; -1: number the rows */
	FmgrInfo id_output;
	int64 rows_before; /* of blocks already predicted */
	PredictBlock *block;
	int rows;               /* in the block */
	MemoryContext of_block; /* emptied after every block */
	text **ids;             /* of the block; NULL: no id */
	Datum *labels;          /* the classes; NULL: numbers are predicted */
	PgmlProbabilities probabilities;
} TableReceiver;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_table);

/* ---- results ------------------------------------------------------------------------------- */

/* Fill the result row of a prediction of a number. */
static void
number_row(const double *out, Datum *values, bool *nulls)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(out[0], digits);
	values[OUT_PREDICTION] = CStringGetTextDatum(digits);
	values[OUT_VALUE] = Float8GetDatum(out[0]);
	nulls[OUT_PROBABILITY] = true;
	nulls[OUT_PROBABILITIES] = true;
}

/*
 * Fill the result row of a prediction of a class: with two of them, probability means the positive
 * one.
 */
static void
class_row(TableReceiver *self, const double *out, Datum *values, bool *nulls)
{
	const PgmlImage *image = self->image;
	int class = pgml_image_class(image, out);
	int asked = image->task == PGML_TASK_BINARY ? 1 : class;

	values[OUT_PREDICTION] = self->labels[class];
	nulls[OUT_VALUE] = true;
	values[OUT_PROBABILITY] = Float8GetDatum(pgml_class_probability(image, out, asked));
	values[OUT_PROBABILITIES] = JsonbPGetDatum(pgml_probabilities_jsonb(&self->probabilities, out));
}

/* Predict the rows of the block and append them to the result. */
static void
flush_block(TableReceiver *self)
{
	MemoryContext old = MemoryContextSwitchTo(self->of_block);

	predict_block_score(self->block);
	for (int i = 0; i < self->rows; i++)
	{
		Datum values[N_OUT] = { 0 };
		bool nulls[N_OUT] = { false };

		if (self->ids[i] != NULL)
			values[OUT_ID] = PointerGetDatum(self->ids[i]);
		else
			nulls[OUT_ID] = true;
		if (self->image->task == PGML_TASK_REGRESSION)
			number_row(predict_block_out(self->block, i), values, nulls);
		else
			class_row(self, predict_block_out(self->block, i), values, nulls);
		tuplestore_putvalues(self->result, self->result_desc, values, nulls);
	}
	self->rows_before += self->rows;
	self->rows = 0;
	predict_block_clear(self->block);
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->of_block);
}

/* ---- the receiver -------------------------------------------------------------------------- */

/* A whole number as text. */
static text *
integer_text(int64 number)
{
	char digits[MAXINT8LEN + 1];

	return cstring_to_text_with_len(digits, pg_lltoa(number, digits));
}

/* The id of the current row as text, in the block's memory; NULL for NULL. */
static text *
row_id(TableReceiver *self, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(self->of_block);
	text *id = NULL;

	if (self->id_column < 0)
		id = integer_text(self->rows_before + self->rows + 1);
	else if (!slot->tts_isnull[self->id_column])
	{
		Datum value = slot->tts_values[self->id_column];

		if (self->id_output.fn_oid == F_INT4OUT)
			id = integer_text(DatumGetInt32(value));
		else if (self->id_output.fn_oid == F_INT8OUT)
			id = integer_text(DatumGetInt64(value));
		else
			id = cstring_to_text(OutputFunctionCall(&self->id_output, value));
	}
	MemoryContextSwitchTo(old);
	return id;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	TableReceiver *self = (TableReceiver *) receiver;

	slot_getallattrs(slot);
	self->ids[self->rows] = row_id(self, slot);
	predict_block_add(self->block, slot->tts_values, slot->tts_isnull);
	self->rows++;
	if (self->rows == predict_block_room(self->block))
		flush_block(self);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
	(void) self;
	(void) operation;
	(void) typeinfo;
}

/* Nothing to do at the end or on destruction: memory belongs to the function's context. */
static void
receiver_nothing(DestReceiver *self)
{
	(void) self;
}

/*
 * Column of the data that identifies its rows: the named one, else the primary key when it is one
 * column.
 */
static int
find_id_column(const PgmlStatement *statement, const char *id)
{
	if (id == NULL)
		return statement->n_primary_key == 1 ? statement->primary_key[0] : -1;
	for (int i = 0; i < statement->desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(statement->desc, i)->attname), id) == 0)
			return i;
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\", which was to identify the rows, is not in the data", id),
					errhint("Column names are matched exactly, without folding to lower case.")));
}

/* Make what is the same for all predictions of classes. */
static void
describe_classes(TableReceiver *self)
{
	self->labels = palloc(self->image->n_classes * sizeof(Datum));
	for (int i = 0; i < self->image->n_classes; i++)
		self->labels[i] = CStringGetTextDatum(self->image->classes[i]);
	self->probabilities = pgml_probabilities_create(self->image);
}

/* Set up the receiver for the statement's rows; everything it needs is in context. */
static TableReceiver *
create_receiver(PgmlModelRef *ref, const PgmlStatement *statement, const char *id,
				ReturnSetInfo *result, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	TableReceiver *self = palloc0(sizeof(TableReceiver));

	self->receiver.receiveSlot = receive_row;
	self->receiver.rStartup = receiver_startup;
	self->receiver.rShutdown = receiver_nothing;
	self->receiver.rDestroy = receiver_nothing;
	self->receiver.mydest = DestNone;
	self->image = &ref->model->image;
	self->result = result->setResult;
	self->result_desc = result->setDesc;
	self->inputs = pgml_inputs_create(context);
	pgml_inputs_use_model(self->inputs, ref->model, ref->reference);
	pgml_inputs_bind_columns(self->inputs, statement->desc);
	self->id_column = find_id_column(statement, id);
	if (self->id_column >= 0)
	{
		Oid output;
		bool varlena;

		getTypeOutputInfo(TupleDescAttr(statement->desc, self->id_column)->atttypid, &output,
						  &varlena);
		fmgr_info(output, &self->id_output);
	}
	self->block =
		predict_block_create(self->inputs, predict_block_limit(self->inputs), NULL, context);
	self->of_block = AllocSetContextCreate(context, "pgml_auto block", ALLOCSET_DEFAULT_SIZES);
	self->ids = palloc(predict_block_room(self->block) * sizeof(text *));
	if (self->image->task != PGML_TASK_REGRESSION)
		describe_classes(self);
	MemoryContextSwitchTo(old);
	return self;
}

/* ---- the function -------------------------------------------------------------------------- */

/*
 * Run the statement into the receiver; functions in it that would write are refused (25006).  An error leaves the
 * transaction or subtransaction, whose end puts the flag back.
 */
static void
run_read_only(const PgmlStatement *statement, DestReceiver *receiver)
{
	SPIExecuteOptions options = { .read_only = true, .dest = receiver };
	bool was_read_only = XactReadOnly;
	int status;

	XactReadOnly = true;
	status = SPI_execute_plan_extended(statement->plan, &options);
	XactReadOnly = was_read_only;
	if (status < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not read the data: %s", SPI_result_code_string(status))));
}

/* 22004 for an argument that must not be NULL. */
static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be NULL", name)));
}

/* predict_table(model text, data text, id text) */
Datum
pgml_auto_predict_table(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	PgmlModelRef *ref;
	PgmlStatement statement;
	TableReceiver *receiver;
	text *model;
	char *id = NULL;

	require_argument(fcinfo, 0, "model");
	require_argument(fcinfo, 1, "data");
	if (!PG_ARGISNULL(2))
		id = text_to_cstring(PG_GETARG_TEXT_PP(2));
	InitMaterializedSRF(fcinfo, 0);
	context = AllocSetContextCreate(CurrentMemoryContext, "pgml_auto predict_table",
									ALLOCSET_DEFAULT_SIZES);
	model = PG_GETARG_TEXT_PP(0);
	ref = pgml_model_ref_create(context);
	pgml_model_ref_get(ref, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model));

	SPI_connect();
	statement =
		pgml_source_prepare(pgml_source_resolve(text_to_cstring(PG_GETARG_TEXT_PP(1))).query);
	receiver = create_receiver(ref, &statement, id, (ReturnSetInfo *) fcinfo->resultinfo, context);
	run_read_only(&statement, &receiver->receiver);
	flush_block(receiver);
	SPI_finish();
	MemoryContextDelete(context);
	return (Datum) 0;
}
