/*
 * predict_input.c - bind rows to a model's inputs by column name, and read them.
 *
 * Binding looks up every input that the recipe uses among the columns of a row type and keeps the result as a list of
 * (column, input, reader).  It costs some microseconds, so bindings are kept with the model, keyed by the row type
 * and the version of its definition; an execution of a prepared statement finds the one of the last execution.
 * Nothing holds a binding longer than it holds the model, and one is freed only with the model or when a single
 * call site holds the model, which then binds anew.
 *
 * Reading a row touches only the bound columns.  What readers allocate (detoasted values, printed enums) goes to the
 * row context, which is emptied after every row.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "pg/compat.h"
#include "pg/error.h"
#include "pg/ingest.h"
#include "pg/predict_input.h"

#define MAX_BINDINGS 16 /* kept per model */

/* One input of the recipe and where its value comes from. */
typedef struct BoundInput
{
	int32 input;     /* of the recipe */
	int32 attribute; /* column, from 0; unused for jsonb */
	int32 element;   /* of an array column, from 1; 0: the value itself */
	const char *key; /* jsonb: key of the value or of the array */
	int key_length;
	PgmlTypeReader reader;
} BoundInput;

struct PgmlBinding
{
	dlist_node node; /* in PgmlModel.bindings */
	Oid type;        /* JSONBOID: of objects */
	int32 typmod;
	uint64 identifier; /* of this definition of the type */
	MemoryContext context;
	TupleDesc desc; /* cut after the last column that is needed; NULL for jsonb */
	int n_inputs;
	BoundInput inputs[FLEXIBLE_ARRAY_MEMBER];
};

/* ---- names --------------------------------------------------------------------------------- */

/*
 * Split "v[3]", as array elements are called, into the length of "v" and 3; false for other names.
 */
static bool
split_element(const char *name, int *base_length, int32 *element)
{
	int length = (int) strlen(name);
	int at = length - 2;
	int64 number = 0;

	if (length < 4 || name[length - 1] != ']')
		return false;
	while (at > 0 && name[at] >= '0' && name[at] <= '9')
		at--;
	if (at <= 0 || name[at] != '[' || at == length - 2)
		return false;
	for (int i = at + 1; i < length - 1; i++)
	{
		number = number * 10 + (name[i] - '0');
		if (number > PG_INT32_MAX)
			return false;
	}
	*base_length = at;
	*element = (int32) number;
	return number > 0;
}

/* Column of that name, -1 when there is none; looks from `from` on first, where it is in a table of training's shape. */
static int
find_column(TupleDesc desc, const char *name, int length, int from)
{
	if (length >= NAMEDATALEN)
		return -1;
	for (int i = 0; i < desc->natts; i++)
	{
		int at = (from + i) % desc->natts;
		Form_pg_attribute att = TupleDescAttr(desc, at);

		if (!att->attisdropped && strncmp(NameStr(att->attname), name, length) == 0 &&
			NameStr(att->attname)[length] == '\0')
			return at;
	}
	return -1;
}

/* Names collected for the error about missing columns; the elements of an array count once, as the array. */
typedef struct MissingNames
{
	StringInfoData list;
	const char *last;
	int last_length;
	int count;
} MissingNames;

static void
add_missing(MissingNames *missing, const char *name)
{
	int length;
	int32 element;

	if (!split_element(name, &length, &element))
		length = (int) strlen(name);
	if (missing->count > 0 && length == missing->last_length &&
		strncmp(name, missing->last, length) == 0)
		return;
	if (missing->count == 0)
		initStringInfo(&missing->list);
	else
		appendStringInfoString(&missing->list, ", ");
	appendStringInfo(&missing->list, "\"%.*s\"", length, name);
	missing->last = name;
	missing->last_length = length;
	missing->count++;
}

/* Whether the columns are called f1, f2, ... as those of ROW(...) are. */
static bool
is_anonymous(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		char name[16];

		snprintf(name, sizeof(name), "f%d", i + 1);
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) != 0)
			return false;
	}
	return true;
}

/* 42703 for the missing names; desc is NULL when keys were looked for in a JSON object. */
static void
report_missing(const MissingNames *missing, const char *reference, TupleDesc desc)
{
	const char *thing = desc == NULL ? "key" : "column";
	const char *hint = "Pass a row or subquery that has every column the model was trained on; "
					   "automl_describe lists them.";

	if (desc == NULL)
		hint = "The keys of the object are the names of the columns the model was trained on; "
			   "give null where a value is not known.";
	else if (is_anonymous(desc))
		hint = "ROW(...) has no column names. Pass a row of a table or subquery by its name, as in "
			   "SELECT predict('model', t) FROM customers t.";
	if (missing->count == 1)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("%s %s that model \"%s\" needs is missing from the input", thing,
							   missing->list.data, reference),
						errhint("%s", hint)));
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("%ss %s that model \"%s\" needs are missing from the input", thing,
						   missing->list.data, reference),
					errhint("%s", hint)));
}

/* ---- binding ------------------------------------------------------------------------------- */

/* Refuse a column whose type cannot give what the input needs. */
static void
check_reader(const BoundInput *bound, Form_pg_attribute att, const char *reference)
{
	if (!bound->reader.supported || bound->reader.array != (bound->element > 0))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" has type %s, but model \"%s\" needs %s",
							   NameStr(att->attname),
							   format_type_with_typemod(att->atttypid, att->atttypmod), reference,
							   bound->element > 0 ? "an array of numbers" : "a single value"),
						errhint("Cast the column in a subquery.")));
}

/* Find the column of one input; false when it is missing. */
static bool
bind_column(BoundInput *bound, const char *name, TupleDesc desc, int from, const char *reference)
{
	Form_pg_attribute att;
	int length = (int) strlen(name);
	int32 element = 0;
	int at = find_column(desc, name, length, from);

	if (at < 0 && split_element(name, &length, &element))
		at = find_column(desc, name, length, from);
	if (at < 0)
		return false;
	att = TupleDescAttr(desc, at);
	bound->attribute = at;
	bound->element = element;
	pgml_type_reader(att->atttypid, att->atttypmod, &bound->reader);
	check_reader(bound, att, reference);
	return true;
}

/* Remember the key of one input. */
static void
bind_key(BoundInput *bound, const char *name)
{
	int base_length;

	bound->key = name;
	bound->key_length = (int) strlen(name);
	if (split_element(name, &base_length, &bound->element))
		bound->key_length = base_length;
}

/* Bind every input the recipe uses, in a new context under parent; desc NULL: keys of JSON objects. */
static PgmlBinding *
create_binding(PgmlModel *model, const char *reference, TupleDesc desc, MemoryContext parent)
{
	const PgmlRecipe *recipe = &model->image.recipe;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto binding", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PgmlBinding *binding =
		palloc0(offsetof(PgmlBinding, inputs) + recipe->n_inputs * sizeof(BoundInput));
	MissingNames missing = { .count = 0 };
	int from = 0;
	int needed = 0;

	binding->context = context;
	for (int32 i = 0; i < recipe->n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(recipe, i);
		BoundInput *bound = &binding->inputs[binding->n_inputs];

		if (!input.used)
			continue;
		bound->input = i;
		if (desc == NULL)
			bind_key(bound, input.name);
		else if (bind_column(bound, input.name, desc, from, reference))
		{
			from = bound->attribute;
			needed = Max(needed, bound->attribute + 1);
		}
		else
			add_missing(&missing, input.name);
		binding->n_inputs++;
	}
	if (missing.count > 0)
		report_missing(&missing, reference, desc);
	if (desc != NULL)
	{
		binding->desc = CreateTupleDescCopyConstr(desc);
		binding->desc->natts = needed;
	}
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, parent);
	return binding;
}

/* The kept binding of a type, or NULL. */
static PgmlBinding *
find_binding(PgmlModel *model, Oid type, int32 typmod, uint64 identifier)
{
	dlist_iter iter;

	dlist_foreach(iter, &model->bindings)
	{
		PgmlBinding *binding = dlist_container(PgmlBinding, node, iter.cur);

		if (binding->type == type && binding->typmod == typmod && binding->identifier == identifier)
			return binding;
	}
	return NULL;
}

/*
 * Make room for one more kept binding: when there are too many (of dropped or altered types, probably), and nobody
 * else can be using one, all go.  False when the new one must stay with its call site.
 */
static bool
make_room(PgmlModel *model)
{
	if (model->n_bindings < MAX_BINDINGS)
		return true;
	if (model->refs > 1)
		return false;
	while (!dlist_is_empty(&model->bindings))
	{
		dlist_node *node = dlist_pop_head_node(&model->bindings);

		MemoryContextDelete(dlist_container(PgmlBinding, node, node)->context);
	}
	model->n_bindings = 0;
	return true;
}

/* Release what belongs to the call site's last binding. */
static void
forget_binding(PgmlInputs *inputs)
{
	inputs->binding = NULL;
	if (inputs->own_binding != NULL)
		MemoryContextDelete(inputs->own_binding);
	inputs->own_binding = NULL;
	if (inputs->values != NULL)
	{
		pfree(inputs->values);
		pfree(inputs->nulls);
	}
	inputs->values = NULL;
	inputs->nulls = NULL;
}

/* Set the binding of the call site for a type, kept or new, and the arrays that hold a row's columns. */
static void
bind_type(PgmlInputs *inputs, Oid type, int32 typmod, uint64 identifier)
{
	PgmlModel *model = inputs->model;
	PgmlBinding *binding = find_binding(model, type, typmod, identifier);

	forget_binding(inputs);
	if (binding == NULL)
	{
		TupleDesc desc = type == JSONBOID ? NULL : lookup_rowtype_tupdesc_copy(type, typmod);
		bool keep = make_room(model);

		binding =
			create_binding(model, inputs->reference, desc, keep ? model->context : inputs->context);
		binding->type = type;
		binding->typmod = typmod;
		binding->identifier = identifier;
		if (keep)
		{
			dlist_push_head(&model->bindings, &binding->node);
			model->n_bindings++;
		}
		else
			inputs->own_binding = binding->context;
	}
	if (binding->desc != NULL)
	{
		inputs->values =
			MemoryContextAlloc(inputs->context, binding->desc->natts * sizeof(Datum) + 1);
		inputs->nulls =
			MemoryContextAlloc(inputs->context, binding->desc->natts * sizeof(bool) + 1);
	}
	inputs->binding = binding;
}

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

/* Element of an array column; one beyond its end is missing. */
static PgmlValue
element_value(OpenArray *open, BoundInput *bound, Datum datum)
{
	if (open->attribute != bound->attribute)
	{
		open->length = pgml_datum_elements(&bound->reader, datum, &open->elements);
		open->attribute = bound->attribute;
	}
	if (bound->element > open->length)
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

		if (nulls[bound->attribute])
			value = null_value;
		else if (bound->element > 0)
			value = element_value(&open, bound, values[bound->attribute]);
		else
			value = pgml_datum_value(&bound->reader, values[bound->attribute]);
		apply_value(inputs, bound->input, &value, features);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inputs->row);
}

void
pgml_inputs_read_record(PgmlInputs *inputs, HeapTupleHeader record)
{
	PgmlBinding *binding = inputs->binding;
	Oid type = HeapTupleHeaderGetTypeId(record);
	int32 typmod = HeapTupleHeaderGetTypMod(record);
	uint64 identifier = assign_record_type_identifier(type, typmod);
	HeapTupleData tuple;

	if (binding == NULL || binding->identifier != identifier || binding->type != type ||
		binding->typmod != typmod)
	{
		bind_type(inputs, type, typmod, identifier);
		binding = inputs->binding;
	}
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
	inputs->binding = create_binding(inputs->model, inputs->reference, desc, inputs->context);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* A scalar of a JSON object as a value; objects and arrays do not fit a column. */
static PgmlValue
json_scalar(const JsonbValue *json, const char *key, int key_length)
{
	PgmlValue value = { .kind = PGML_KIND_NUMBER };

	switch (json->type)
	{
		case jbvNull:
			value.is_null = true;
			break;
		case jbvBool:
			value.kind = PGML_KIND_BOOL;
			value.num = json->val.boolean ? 1 : 0;
			break;
		case jbvNumeric:
			value.num = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
														   NumericGetDatum(json->val.numeric)));
			break;
		case jbvString:
			value.kind = PGML_KIND_TEXT;
			value.str = json->val.string.val;
			value.len = (uint32) json->val.string.len;
			break;
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("key \"%.*s\" holds an object or array where the model needs a "
								   "single value",
								   key_length, key),
							errhint("Give a number, a string, true, false or null.")));
	}
	return value;
}

/* Element of the array under a key; null for the whole array and elements beyond its end are missing. */
static PgmlValue
json_element(const JsonbValue *json, const BoundInput *bound)
{
	JsonbValue *element;

	if (json->type == jbvNull)
		return null_value;
	if (json->type != jbvBinary || !JsonContainerIsArray(json->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("key \"%.*s\" must hold an array of numbers", bound->key_length,
							   bound->key)));
	element = getIthJsonbValueFromContainer(json->val.binary.data, bound->element - 1);
	return element == NULL ? null_value : json_scalar(element, bound->key, bound->key_length);
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
			add_missing(&missing, bound->key);
	}
	report_missing(&missing, inputs->reference, NULL);
}

/* The value of one input in an object: of its own key ("v[3]" may be one), else of the array's element. */
static PgmlValue
json_value(const PgmlInputs *inputs, JsonbContainer *object, const BoundInput *bound)
{
	int full_length = (int) strlen(bound->key);
	JsonbValue json;

	if (getKeyJsonValueFromContainer(object, bound->key, full_length, &json) != NULL)
		return json_scalar(&json, bound->key, full_length);
	if (bound->element == 0 ||
		getKeyJsonValueFromContainer(object, bound->key, bound->key_length, &json) == NULL)
		report_missing_keys(inputs, object);
	return json_element(&json, bound);
}

void
pgml_inputs_read_jsonb(PgmlInputs *inputs, Jsonb *object)
{
	MemoryContext old = MemoryContextSwitchTo(inputs->row);

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the input of a prediction must be a JSON object, not %s",
							   JB_ROOT_IS_SCALAR(object) ? "a single value" : "an array"),
						errhint("Give an object whose keys are the column names, as in "
								"'{\"age\": 42}', or a row of a table.")));
	if (inputs->binding == NULL)
		bind_type(inputs, JSONBOID, -1, 0);
	for (int i = 0; i < inputs->binding->n_inputs; i++)
	{
		BoundInput *bound = &inputs->binding->inputs[i];
		PgmlValue value = json_value(inputs, &object->root, bound);

		apply_value(inputs, bound->input, &value, inputs->features);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inputs->row);
}

/* Error callback while text is parsed: a bad argument of ours, not a bad literal, and what to do about it. */
static void
text_is_not_json(void *arg)
{
	(void) arg;
	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	errhint(
		"As text, the input of a prediction must be a JSON object with the column names as keys. To predict for "
		"the rows of a table t, pass t; where a column is also called t, pass t.*.");
}

void
pgml_inputs_read_text(PgmlInputs *inputs, text *object)
{
	MemoryContext old = MemoryContextSwitchTo(inputs->row);
	ErrorContextCallback callback = { .callback = text_is_not_json,
									  .previous = error_context_stack };
	Datum json;

	error_context_stack = &callback;
	json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(object)));
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	pgml_inputs_read_jsonb(inputs, DatumGetJsonbP(json));
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
pgml_inputs_use_model(PgmlInputs *inputs, PgmlModel *model, const char *reference)
{
	int32 n = model->image.recipe.n_features;

	inputs->reference = reference;
	if (inputs->serial == model->serial)
		return;
	forget_binding(inputs);
	if (inputs->features != NULL)
		pfree(inputs->features);
	inputs->model = model;
	inputs->serial = model->serial;
	inputs->features = MemoryContextAllocHuge(inputs->context, Max(n, 1) * sizeof(float));
	for (int32 i = 0; i < n; i++)
		inputs->features[i] = NAN;
}
