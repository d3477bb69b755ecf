/*
 * predict_input.h - from a record, a jsonb object or a table's columns to the features of a model,
 * by name.
 */
#ifndef PGML_PG_PREDICT_INPUT_H
#define PGML_PG_PREDICT_INPUT_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "utils/jsonb.h"

#include "pg/model_cache.h"

/* Where each input of a model is found in rows of one type; see predict_input.c. */
typedef struct PgmlBinding PgmlBinding;

/*
 * What a call site needs to turn rows into features; all of it lives in the site's memory context.
 */
typedef struct PgmlInputs
{
	MemoryContext context; /* the site's */
	MemoryContext row;     /* emptied after every row */
	PgmlModel *model;      /* pinned by the caller */
	uint64 serial;         /* of the model that the rest belongs to; 0 = none yet */
	const char *reference; /* the model as the user wrote it, for messages */
	PgmlBinding *binding;
	MemoryContext own_binding; /* of a binding that is not kept with the model; NULL: none */
	Datum *values;             /* of the row's columns */
	bool *nulls;
	int room;        /* columns of values and nulls */
	float *features; /* of the row read last */
} PgmlInputs;

extern PgmlInputs *pgml_inputs_create(MemoryContext context);

/* Forget what lives as long as a model does: it may go before this is used again. */
extern void pgml_inputs_park(PgmlInputs *inputs);

/* Read rows for this model from now on. */
extern void pgml_inputs_use_model(PgmlInputs *inputs, PgmlModel *model, const char *reference);

/*
 * Compute inputs->features.  Columns and keys are found by their exact names, others are ignored;
 * 42703 lists all that are missing, 42804 names a column whose type cannot be used, 22000 a value
 * that does not fit. The text form, which json
 * has too, is a JSON object; anything else is 22023.
 */
extern void pgml_inputs_read_record(PgmlInputs *inputs, HeapTupleHeader record);
extern void pgml_inputs_read_slot(PgmlInputs *inputs, TupleTableSlot *row);
extern void pgml_inputs_read_jsonb(PgmlInputs *inputs, Jsonb *object);
extern void pgml_inputs_read_text(PgmlInputs *inputs, text *object);

/* The object of the text form, in the current context. */
extern Jsonb *pgml_inputs_parse_text(text *object);

/*
 * Bind columns as pgml_inputs_read_record() does, for rows that are not records; then read one row
 * of them.
 */
extern void pgml_inputs_bind_columns(PgmlInputs *inputs, TupleDesc desc);
extern void pgml_inputs_read_columns(PgmlInputs *inputs, const Datum *values, const bool *nulls,
									 float *features);

#endif
