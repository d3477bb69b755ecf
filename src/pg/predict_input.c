/*
 * predict_input.c - read the values of a row or JSON object into a model's features.
 *
 * Only the bound columns are touched.  What readers allocate (detoasted values, printed enums) goes
 * to the row context, which is emptied after every row.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "pg/compat.h"
#include "pg/error.h"
#include "pg/predict_bind.h"
#include "pg/predict_convert.h"

/* ---- values -------------------------------------------------------------------------------- */

/* Compute the features of one input from its value. */
static void
apply_value(const PgmlInputs *inputs, int32 input, const PgmlValue *value, float *features)
{
	PgmlError error;

	if (pgml_recipe_apply_value(&inputs->model->image.recipe, input, value, features, &error) !=
		PGML_OK)
		pgml_raise(&error);
}

static const PgmlValue null_value = { .kind = PGML_KIND_NUMBER, .is_null = true };

/* The array whose elements are being read: neighbouring inputs come from the same one. */
typedef struct OpenArray
{
	int32 attribute;
	int length;
	double *elements;
} OpenArray;

/* 22000: an array of another length would put values where others belong.  An empty one is missing. */
static void
check_length(const PgmlInputs *inputs, const BoundInput *bound, int length)
{
	if (length != 0 && length != bound->length)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array \"%.*s\" has length %d, but model \"%s\" was trained on length %d",
						bound->key_length, bound->key, length, inputs->reference, bound->length)));
}

/* Element of an array column. */
static PgmlValue
element_value(const PgmlInputs *inputs, OpenArray *open, BoundInput *bound, Datum datum)
{
	if (open->attribute != bound->attribute)
	{
		open->length = pgml_datum_elements(&bound->reader, datum, &open->elements);
		check_length(inputs, bound, open->length);
		open->attribute = bound->attribute;
	}
	if (open->length == 0)
		return null_value;
	return (PgmlValue){ .kind = PGML_KIND_NUMBER, .num = open->elements[bound->element - 1] };
}

void
pgml_inputs_read_columns(PgmlInputs *inputs, const Datum *values, const bool *nulls,
						 float *features)
{
	MemoryContext old = MemoryContextSwitchTo(inputs->row);
	PgmlBinding *binding = inputs->binding;
	OpenArray open = { .attribute = -1 };

	for (int i = 0; i < binding->n_inputs; i++)
	{
		BoundInput *bound = &binding->inputs[i];
		PgmlValue value;

		if (bound->direct)
		{
			double number = nulls[bound->attribute] ?
								NAN :
								predict_plain_number(bound->reader.type, values[bound->attribute]);

			features[bound->step.feature] = pgml_number_feature(&bound->step, number);
			continue;
		}
		if (nulls[bound->attribute])
			value = null_value;
		else if (bound->element > 0)
			value = element_value(inputs, &open, bound, values[bound->attribute]);
		else
			value = predict_convert_datum(bound, values[bound->attribute]);
		apply_value(inputs, bound->input, &value, features);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inputs->row);
}

/* Bind rows of a type, unless they are bound. */
static const PgmlBinding *
bind_rows(PgmlInputs *inputs, Oid type, int32 typmod)
{
	const PgmlBinding *binding = inputs->binding;
	uint64 identifier = assign_record_type_identifier(type, typmod);

	if (binding == NULL || binding->identifier != identifier || binding->type != type ||
		binding->typmod != typmod)
		predict_bind_type(inputs, type, typmod, identifier);
	return inputs->binding;
}

void
pgml_inputs_read_slot(PgmlInputs *inputs, TupleTableSlot *row)
{
	const PgmlBinding *binding = bind_rows(inputs, row->tts_tupleDescriptor->tdtypeid, -1);

	slot_getsomeattrs(row, binding->last_column);
	pgml_inputs_read_columns(inputs, row->tts_values, row->tts_isnull, inputs->features);
}

void
pgml_inputs_read_record(PgmlInputs *inputs, HeapTupleHeader record)
{
	const PgmlBinding *binding =
		bind_rows(inputs, HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	heap_deform_tuple(&tuple, binding->desc, inputs->values, inputs->nulls);
	pgml_inputs_read_columns(inputs, inputs->values, inputs->nulls, inputs->features);
}

void
pgml_inputs_bind_columns(PgmlInputs *inputs, TupleDesc desc)
{
	predict_forget_binding(inputs);
	inputs->binding =
		predict_create_binding(inputs->model, inputs->reference, desc, inputs->context);
	inputs->own_binding = inputs->binding->context;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* The array under a key whose elements are being read. */
typedef struct OpenKey
{
	const BoundInput *bound; /* NULL: none yet */
	int length;
	JsonbValue *elements;
} OpenKey;

/* 22023: what is under the key is no array of numbers. */
static void
refuse_array(const BoundInput *bound)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%.*s\" must hold an array of numbers", bound->key_length, bound->key)));
}

/* Error callback while text is read as an array: name the key. */
static void
array_failed(void *arg)
{
	const BoundInput *bound = arg;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	errmsg("key \"%.*s\" must hold an array of numbers", bound->key_length, bound->key);
}

/* The array under a key; pgvector's come as text, "[1,2,3]". */
static JsonbContainer *
array_container(BoundInput *bound, const JsonbValue *json)
{
	ErrorContextCallback callback = { .callback = array_failed,
									  .arg = bound,
									  .previous = error_context_stack };
	Jsonb *parsed;

	if (json->type == jbvBinary && JsonContainerIsArray(json->val.binary.data))
		return json->val.binary.data;
	if (json->type != jbvString || json->val.string.len == 0 || json->val.string.val[0] != '[')
		refuse_array(bound);
	error_context_stack = &callback;
	parsed = DatumGetJsonbP(DirectFunctionCall1(
		jsonb_in, CStringGetDatum(pnstrdup(json->val.string.val, json->val.string.len))));
	error_context_stack = callback.previous;
	return &parsed->root;
}

int
predict_json_elements(const PgmlInputs *inputs, BoundInput *bound, const JsonbValue *json,
					  JsonbValue **elements)
{
	JsonbContainer *array = array_container(bound, json);
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue value;
	int room = Max((int) JsonContainerSize(array), 8);
	int length = 0;

	*elements = palloc(room * sizeof(JsonbValue));
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_BEGIN_OBJECT)
			refuse_array(bound);
		if (token != WJB_ELEM)
			continue;
		if (length == room)
		{
			room *= 2;
			*elements = repalloc(*elements, room * sizeof(JsonbValue));
		}
		(*elements)[length++] = value;
	}
	check_length(inputs, bound, length);
	return length;
}

/* Element of the array under a key; null for the whole array is null for each element. */
static PgmlValue
json_element(const PgmlInputs *inputs, OpenKey *open, const JsonbValue *json, BoundInput *bound)
{
	if (json->type == jbvNull)
		return null_value;
	if (!predict_same_array(open->bound, bound))
	{
		open->length = predict_json_elements(inputs, bound, json, &open->elements);
		open->bound = bound;
	}
	if (open->length == 0)
		return null_value;
	return predict_convert_json(bound, &open->elements[bound->element - 1]);
}

/* 42703 that lists every key the object lacks. */
static void
report_missing_keys(const PgmlInputs *inputs, JsonbContainer *object)
{
	const PgmlBinding *binding = inputs->binding;
	MissingNames missing = { .count = 0 };

	for (int i = 0; i < binding->n_inputs; i++)
	{
		const BoundInput *bound = &binding->inputs[i];
		JsonbValue json;

		if (getKeyJsonValueFromContainer(object, bound->key, bound->key_length, &json) == NULL &&
			getKeyJsonValueFromContainer(object, bound->key, (int) strlen(bound->key), &json) ==
				NULL)
			predict_add_missing(&missing, bound->key);
	}
	predict_report_missing(&missing, inputs->reference, NULL);
}

/*
 * The value of one input in an object: of its own key ("v[3]" may be one), else of the array's
 * element.
 */
static PgmlValue
json_value(const PgmlInputs *inputs, OpenKey *open, JsonbContainer *object, BoundInput *bound)
{
	int full_length = (int) strlen(bound->key);
	JsonbValue own;
	JsonbValue array;
	bool has_own = getKeyJsonValueFromContainer(object, bound->key, full_length, &own) != NULL;
	bool has_array =
		bound->element > 0 &&
		getKeyJsonValueFromContainer(object, bound->key, bound->key_length, &array) != NULL;

	if (has_own && has_array && array.type == jbvBinary &&
		JsonContainerIsArray(array.val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_COLUMN),
						errmsg("key \"%s\" has the name of an element of array \"%.*s\"",
							   bound->key, bound->key_length, bound->key),
						errhint("Leave out the one that the model was not trained on.")));
	if (has_own)
		return predict_convert_json(bound, &own);
	if (!has_array)
		report_missing_keys(inputs, object);
	return json_element(inputs, open, &array, bound);
}

void
pgml_inputs_read_jsonb(PgmlInputs *inputs, Jsonb *object)
{
	MemoryContext old = MemoryContextSwitchTo(inputs->row);
	OpenKey open = { .bound = NULL };

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the input of a prediction must be a JSON object, not %s",
							   JB_ROOT_IS_SCALAR(object) ? "a single value" : "an array"),
						errhint("Give an object whose keys are the column names, as in "
								"'{\"age\": 42}', or a row of a table.")));
	if (inputs->binding == NULL)
		predict_bind_type(inputs, JSONBOID, -1, 0);
	for (int i = 0; i < inputs->binding->n_inputs; i++)
	{
		BoundInput *bound = &inputs->binding->inputs[i];
		PgmlValue value = json_value(inputs, &open, &object->root, bound);

		apply_value(inputs, bound->input, &value, inputs->features);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inputs->row);
}

/*
 * Error callback while text is parsed: a bad argument of ours, not a bad literal, and what to do
 * about it.
 */
static void
text_is_not_json(void *arg)
{
	(void) arg;
	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	errhint(
		"As text, the input of a prediction must be a JSON object with the column names as keys. "
		"To predict for the rows of a table t, pass t; where a column is also called t, pass "
		"t.*.");
}

Jsonb *
pgml_inputs_parse_text(text *object)
{
	ErrorContextCallback callback = { .callback = text_is_not_json,
									  .previous = error_context_stack };
	Datum json;

	error_context_stack = &callback;
	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(object)));
	error_context_stack = callback.previous;
	return DatumGetJsonbP(json);
}

void
pgml_inputs_read_text(PgmlInputs *inputs, text *object)
{
	MemoryContext old = MemoryContextSwitchTo(inputs->row);
	Jsonb *json = pgml_inputs_parse_text(object);

	MemoryContextSwitchTo(old);
	pgml_inputs_read_jsonb(inputs, json);
}

/* ---- call sites ---------------------------------------------------------------------------- */

PgmlInputs *
pgml_inputs_create(MemoryContext context)
{
	PgmlInputs *inputs = MemoryContextAllocZero(context, sizeof(PgmlInputs));

	inputs->context = context;
	inputs->row = AllocSetContextCreate(context, "pgml_auto row", ALLOCSET_SMALL_SIZES);
	return inputs;
}

void
pgml_inputs_park(PgmlInputs *inputs)
{
	predict_forget_binding(inputs);
	MemoryContextReset(inputs->row);
}

void
pgml_inputs_use_model(PgmlInputs *inputs, PgmlModel *model, const char *reference)
{
	int32 n = model->image.recipe.n_features;

	inputs->reference = reference;
	if (inputs->serial == model->serial)
		return;
	predict_forget_binding(inputs);
	if (inputs->features != NULL)
		pfree(inputs->features);
	inputs->features = NULL;
	inputs->serial = 0;
	inputs->model = model;
	inputs->features = MemoryContextAllocHuge(inputs->context, Max(n, 1) * sizeof(float));
	for (int32 i = 0; i < n; i++)
		inputs->features[i] = NAN;
	inputs->serial = model->serial;
}
