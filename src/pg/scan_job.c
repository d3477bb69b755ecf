/* scan_job.c - one model scoring one row input in blocks. */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "common/shortest_dec.h"
#include "pg/compat.h"
#include "pg/predict_bind.h"
#include "pg/scan.h"
#include "pg/scan_job.h"

#define FEW_ROWS 64 /* of a job's first block, which statements for few rows do not outgrow */

/* ---- setting up ---------------------------------------------------------------------------- */

/* The columns of ROW(...). */
static TupleDesc
row_desc(const RowExpr *row)
{
	TupleDesc desc;

	if (row->row_typeid != RECORDOID)
		return lookup_rowtype_tupdesc_copy(row->row_typeid, -1);
	desc = ExecTypeFromExprList(row->args);
	ExecTypeSetColNames(desc, row->colnames);
	return desc;
}

/* Where the elements of ROW(...) come from: columns of the tuples, as a rule all of them. */
static void
find_elements(ScanJob *job, const RowExpr *row, PlanState *parent)
{
	bool plain = job->desc->natts ==
				 list_length(row->args); /* not when the type has got more attributes since */
	ListCell *cell;

	job->columns = palloc(Max(job->desc->natts, 1) * sizeof(int));
	foreach(cell, row->args)
	{
		const Var *var = lfirst(cell);
		int i = foreach_current_index(cell);

		if (TupleDescAttr(job->desc, i)->attisdropped)
			job->columns[i] = 0;
		else if (IsA(var, Var))
			job->columns[i] = var->varattno - 1;
		else
			plain = false;
	}
	if (plain)
		return;
	job->n_elements = list_length(row->args);
	job->elements = palloc0(job->n_elements * sizeof(ExprState *));
	job->values = palloc0(job->desc->natts * sizeof(Datum));
	job->nulls = palloc(job->desc->natts * sizeof(bool));
	memset(job->nulls, true, job->desc->natts * sizeof(bool));
	for (int i = 0; i < job->desc->natts; i++)
		job->columns[i] = i;
	foreach(cell, row->args)
	{
		int i = foreach_current_index(cell);

		if (!TupleDescAttr(job->desc, i)->attisdropped)
			job->elements[i] = ExecInitExpr(lfirst(cell), parent);
	}
}

ScanJob *
scan_job_create(FuncExpr *call, PlanState *parent)
{
	ScanJob *job = palloc0(sizeof(ScanJob));
	Node *input = lsecond(call->args);

	job->call = call;
	job->context = CurrentMemoryContext;
	job->of_model = AllocSetContextCreate(job->context, "pgml_auto labels", ALLOCSET_SMALL_SIZES);
	job->of_type = AllocSetContextCreate(job->context, "pgml_auto block", ALLOCSET_DEFAULT_SIZES);
	job->model = ExecInitExpr(linitial(call->args), parent);
	job->ref = pgml_model_ref_create(job->context);
	job->inputs = pgml_inputs_create(job->context);
	if (IsA(input, RowExpr))
	{
		job->desc = row_desc((RowExpr *) input);
		find_elements(job, (RowExpr *) input, parent);
	}
	else
		job->column = castNode(Var, input)->varattno - 1;
	return job;
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Make the block of the bound row type. */
static void
make_block(ScanJob *job, int rows)
{
	MemoryContextReset(job->of_type);
	job->block = predict_block_create(job->inputs, rows, job->columns, job->of_type);
	job->missing = MemoryContextAlloc(job->of_type, rows * sizeof(bool));
}

/* Begin with another model. */
static void
use_model(ScanJob *job, PgmlModel *model)
{
	job->serial = 0;
	job->block = NULL;
	job->type.identifier = 0;
	MemoryContextReset(job->of_model);
	pgml_inputs_use_model(job->inputs, model, job->ref->reference);
	if (job->desc != NULL)
	{
		pgml_inputs_bind_columns(job->inputs, job->desc);
		make_block(job, FEW_ROWS);
	}
	job->serial = model->serial;
}

/* Begin with another row type of the column that holds rows. */
static void
use_type(ScanJob *job)
{
	job->block = NULL;
	job->type = job->seen;
	predict_bind_type(job->inputs, job->type.type, job->type.typmod, job->type.identifier);
	make_block(job, FEW_ROWS);
}

void
scan_job_resolve(ScanJob *job, ExprContext *econtext)
{
	bool isnull;
	Datum datum = ExecEvalExprSwitchContext(job->model, econtext, &isnull);
	text *reference;
	PgmlModel *model;

	job->no_model = isnull;
	if (isnull)
		return;
	reference = DatumGetTextPP(datum);
	model = pgml_model_ref_get(job->ref, VARDATA_ANY(reference), VARSIZE_ANY_EXHDR(reference));
	job->inputs->reference = job->ref->reference;
	if (job->serial != model->serial)
		use_model(job, model);
	if (job->desc == NULL && job->seen.identifier != job->type.identifier)
		use_type(job);
}

void
scan_job_check_user(ScanJob *job)
{
	if (!job->no_model && job->ref->model != NULL)
	{
		pgml_model_ref_get(job->ref, job->ref->reference, job->ref->length);
		job->inputs->reference = job->ref->reference;
	}
}

/* ---- rows ---------------------------------------------------------------------------------- */

int
scan_job_room(const ScanJob *job)
{
	return job->no_model || job->block == NULL ? PREDICT_BLOCK_ROWS :
												 predict_block_limit(job->inputs);
}

void
scan_job_clear(ScanJob *job, int rows)
{
	job->rows = 0;
	if (job->no_model || job->block == NULL)
		return;
	if (predict_block_room(job->block) < rows)
		make_block(job, predict_block_limit(job->inputs));
	predict_block_clear(job->block);
}

/* The type of a row. */
static RowType
type_of(HeapTupleHeader row)
{
	Oid type = HeapTupleHeaderGetTypeId(row);
	int32 typmod = HeapTupleHeaderGetTypMod(row);

	return (RowType){ type, typmod, assign_record_type_identifier(type, typmod) };
}

/* A row held by a column. */
static bool
add_held_row(ScanJob *job, Datum datum)
{
	MemoryContext old = MemoryContextSwitchTo(job->inputs->row);
	HeapTupleHeader row = DatumGetHeapTupleHeader(datum);
	bool known = job->block != NULL && type_of(row).identifier == job->type.identifier;

	if (known)
	{
		HeapTupleData tuple = { .t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row };

		heap_deform_tuple(&tuple, job->inputs->binding->desc, job->inputs->values,
						  job->inputs->nulls);
	}
	MemoryContextSwitchTo(old);
	return known && predict_block_try_add(job->block, job->inputs->values, job->inputs->nulls);
}

/* Evaluate the elements of ROW(...). */
static void
evaluate_elements(ScanJob *job, ExprContext *econtext)
{
	for (int i = 0; i < job->n_elements; i++)
		if (job->elements[i] != NULL)
			job->values[i] = ExecEvalExprSwitchContext(job->elements[i], econtext, &job->nulls[i]);
}

bool
scan_job_add(ScanJob *job, ExprContext *econtext, const Datum *values, const bool *nulls)
{
	bool missing = job->desc == NULL && nulls[job->column];

	if (job->no_model)
		return true;
	if (missing && job->block != NULL)
		predict_block_skip(job->block);
	else if (job->desc == NULL)
	{
		if (missing || !add_held_row(job, values[job->column]))
			return false;
	}
	else if (job->n_elements > 0)
	{
		evaluate_elements(job, econtext);
		if (!predict_block_try_add(job->block, job->values, job->nulls))
			return false;
	}
	else if (!predict_block_try_add(job->block, values, nulls))
		return false;
	job->missing[job->rows++] = missing;
	return true;
}

void
scan_job_drop(ScanJob *job)
{
	if (job->no_model)
		return;
	job->rows--;
	predict_block_drop(job->block);
}

void
scan_job_learn(ScanJob *job, const Datum *values, const bool *nulls)
{
	HeapTupleHeader row;

	if (job->desc != NULL || nulls[job->column])
		return;
	row = DatumGetHeapTupleHeader(values[job->column]);
	job->seen = type_of(row);
	if ((Pointer) row != DatumGetPointer(values[job->column]))
		pfree(row);
}

void
scan_job_score(ScanJob *job)
{
	if (!job->no_model && job->block != NULL)
		predict_block_score(job->block);
}

/* ---- results ------------------------------------------------------------------------------- */

/* Make the classes in the wanted type; false when that could fail. */
static bool
make_labels(ScanCall *call, ScanJob *job)
{
	const PgmlImage *image = &job->inputs->model->image;
	MemoryContext old = MemoryContextSwitchTo(job->of_model);
	bool made = true;

	call->labels = palloc(image->n_classes * sizeof(Datum));
	for (int i = 0; i < image->n_classes && made; i++)
	{
		bool value = false;

		if (call->type == TEXTOID)
			call->labels[i] = CStringGetTextDatum(image->classes[i]);
		else if (parse_bool(image->classes[i], &value))
			call->labels[i] = BoolGetDatum(value);
		else
			made = false;
	}
	MemoryContextSwitchTo(old);
	return made;
}

/* Make the object that predict_probs() fills; true. */
static bool
make_probabilities(ScanCall *call, ScanJob *job)
{
	MemoryContext old = MemoryContextSwitchTo(job->of_model);

	call->probabilities = palloc(sizeof(PgmlProbabilities));
	*call->probabilities = pgml_probabilities_create(&job->inputs->model->image);
	MemoryContextSwitchTo(old);
	return true;
}

/* Find the class that predict_proba() is asked for; false when that is an error. */
static bool
find_class(ScanCall *call, ScanJob *job, ExprContext *econtext)
{
	const PgmlImage *image = &job->inputs->model->image;
	bool isnull = true;
	Datum datum = (Datum) 0;

	if (call->class != NULL)
		datum = ExecEvalExprSwitchContext(call->class, econtext, &isnull);
	if (isnull)
		call->asked = image->task == PGML_TASK_BINARY ? 1 : -1;
	else
	{
		text *name = DatumGetTextPP(datum);

		call->asked = pgml_find_class(image, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	return call->asked >= 0;
}

bool
scan_call_prepare(ScanCall *call, ScanJob *job, ExprContext *econtext)
{
	bool number;

	if (job->no_model)
		return true;
	number = job->inputs->model->image.task == PGML_TASK_REGRESSION;
	switch (call->verb)
	{
		case PREDICT_VALUE:
			return number;
		case PREDICT_PROBA:
			return !number && find_class(call, job, econtext);
		case PREDICT_PROBS:
			return !number && make_probabilities(call, job);
		case PREDICT_ANY:
			if (number)
				return call->type == TEXTOID || call->type == FLOAT8OID;
			return (call->type == TEXTOID || call->type == BOOLOID) && make_labels(call, job);
		default:
			return false;
	}
}

/* A number in the wanted type. */
static Datum
number_result(const ScanCall *call, double number)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (call->type == FLOAT8OID)
		return Float8GetDatum(number);
	double_to_shortest_decimal_buf(number, digits);
	return CStringGetTextDatum(digits);
}

Datum
scan_call_result(const ScanCall *call, const ScanJob *job, int i, bool *isnull)
{
	const PgmlImage *image;
	const double *out;

	*isnull = job->no_model || job->missing[i];
	if (*isnull)
		return (Datum) 0;
	image = &job->inputs->model->image;
	out = predict_block_out(job->block, i);
	switch (call->verb)
	{
		case PREDICT_PROBA:
			return Float8GetDatum(pgml_class_probability(image, out, call->asked));
		case PREDICT_PROBS:
			return JsonbPGetDatum(pgml_probabilities_jsonb(call->probabilities, out));
		case PREDICT_VALUE:
			return Float8GetDatum(out[0]);
		default:
			if (image->task == PGML_TASK_REGRESSION)
				return number_result(call, out[0]);
			return call->labels[pgml_image_class(image, out)];
	}
}
