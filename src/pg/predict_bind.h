/*
 * predict_bind.h - where each input of a model is found; for predict_input.c, predict_convert.c and explain.c only.
 */
#ifndef PGML_PG_PREDICT_BIND_H
#define PGML_PG_PREDICT_BIND_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "pg/ingest.h"
#include "pg/predict_input.h"

/* One input of the recipe and where its value comes from. */
typedef struct BoundInput
{
	int32 input;     /* of the recipe */
	int32 attribute; /* column, from 0; not for JSON */
	const char *key; /* name of the input; elements of an array v are called v[1], v[2], ... */
	int key_length;  /* of the column: without the [n] */
	int32 element;   /* of an array, from 1; 0: the value itself */
	int32 length;    /* elements the array must have */
	PgmlTypeReader reader;  /* of the column; not for JSON */
	PgmlTypeReader trained; /* of a type like that of training, see predict_convert.h */
	PGFunction cast;        /* from the column's type to it; NULL: none */
	bool direct;            /* a plain number: step makes the feature of it */
	PgmlNumberStep step;
} BoundInput;

/* Is the input an element of the array that another one, or NULL, is an element of?  Neighbours are, and share what was read of it. */
static inline bool
predict_same_array(const BoundInput *other, const BoundInput *bound)
{
	return other != NULL && other->element > 0 && bound->element > 0 &&
		   other->key_length == bound->key_length &&
		   strncmp(other->key, bound->key, bound->key_length) == 0;
}

struct PgmlBinding
{
	dlist_node node; /* in PgmlModel.bindings */
	Oid type;        /* JSONBOID: of objects */
	int32 typmod;
	uint64 identifier; /* of this definition of the type */
	MemoryContext context;
	TupleDesc desc;    /* NULL for JSON */
	int32 last_column; /* that is bound, from 1 */
	int n_inputs;
	BoundInput inputs[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * Names collected for the error about missing columns; the elements of an array count once, as the
 * array.
 */
typedef struct MissingNames
{
	StringInfoData list;
	const char *last;
	int last_length;
	int count;
} MissingNames;

extern void predict_add_missing(MissingNames *missing, const char *name);

/*
 * 42703 for the missing names; desc is NULL when keys were looked for in a JSON object. Does not
 * return.
 */
extern void predict_report_missing(const MissingNames *missing, const char *reference,
								   TupleDesc desc) __attribute__((noreturn));

/* Bind columns, kept nowhere, in a new context under parent; desc NULL: keys of JSON objects. */
extern PgmlBinding *predict_create_binding(PgmlModel *model, const char *reference, TupleDesc desc,
										   MemoryContext parent);

/*
 * Set the binding of the call site for a type, a kept or a new one, and the arrays that hold a
 * row's columns.
 */
extern void predict_bind_type(PgmlInputs *inputs, Oid type, int32 typmod, uint64 identifier);

/*
 * Elements of the array that is under an input's key, nested ones flattened as rows have them; returns how many.  22023 when it is no array of
 * numbers, 22000 for a wrong length.
 */
extern int predict_json_elements(const PgmlInputs *inputs, BoundInput *bound,
								 const JsonbValue *json, JsonbValue **elements);

/* Release what belongs to the call site's last binding. */
extern void predict_forget_binding(PgmlInputs *inputs);

#endif
