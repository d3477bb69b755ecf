/*
 * predict_bind.c - find a model's inputs among the columns of a row type, by name.
 *
 * Binding looks up every input that the recipe uses and keeps the result as a list of (column,
 * input, reader).  It costs some microseconds, so bindings are kept with the model, keyed by the
 * row type and the version of its definition; an execution of a prepared statement finds the one of
 * the last execution.  Nothing holds a binding longer than it holds the model, and one is freed
 * only with the model, or when a single call site holds the model, which then binds anew.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "pg/element_name.h"
#include "pg/predict_bind.h"
#include "pg/predict_convert.h"

#define MAX_BINDINGS 16 /* kept per model */

/* ---- names --------------------------------------------------------------------------------- */

/*
 * Column of that name, -1 when there is none; looks from `from` on first, where it is in a table of
 * training's shape.
 */
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

void
predict_add_missing(MissingNames *missing, const char *name)
{
	int length;
	int32 element;

	if (!pgml_split_element(name, &length, &element))
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

void
predict_report_missing(const MissingNames *missing, const char *reference, TupleDesc desc)
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

/* Name the input; the name may be that of an array's element. */
static void
name_input(BoundInput *bound, const char *name)
{
	bound->key = name;
	if (!pgml_split_element(name, &bound->key_length, &bound->element))
		bound->key_length = (int) strlen(name);
}

/* Refuse rows in which the input's name is that of a column and of an element of an array. */
static void
check_one_meaning(const BoundInput *bound, Form_pg_attribute array)
{
	PgmlTypeReader reader;

	pgml_type_reader(array->atttypid, array->atttypmod, &reader);
	if (reader.array)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_COLUMN),
				 errmsg("column \"%s\" has the name of an element of array column \"%.*s\"",
						bound->key, bound->key_length, bound->key),
				 errhint("Leave out the one that the model was not trained on in a subquery.")));
}

/*
 * Find the column of a named input: one of exactly that name, else the array; false when it is
 * missing.
 */
static bool
bind_column(BoundInput *bound, TupleDesc desc, int from, const char *reference)
{
	Form_pg_attribute att;
	int at = find_column(desc, bound->key, (int) strlen(bound->key), from);
	int array = bound->element > 0 ? find_column(desc, bound->key, bound->key_length, from) : -1;

	if (at >= 0 && array >= 0)
		check_one_meaning(bound, TupleDescAttr(desc, array));
	if (at >= 0)
		bound->element = 0;
	else
		at = array;
	if (at < 0)
		return false;
	att = TupleDescAttr(desc, at);
	bound->attribute = at;
	pgml_type_reader(att->atttypid, att->atttypmod, &bound->reader);
	check_reader(bound, att, reference);
	return true;
}

/* Elements that the array of element input i had in training. */
static int32
trained_length(const PgmlRecipe *recipe, int32 i)
{
	const char *name = pgml_recipe_input(recipe, i).name;
	int base_length;
	int32 length;

	pgml_split_element(name, &base_length, &length);
	for (int32 j = i + 1; j < recipe->n_inputs; j++)
	{
		const char *other = pgml_recipe_input(recipe, j).name;
		int other_length;
		int32 element;

		if (!pgml_split_element(other, &other_length, &element) || other_length != base_length ||
			strncmp(other, name, base_length) != 0)
			break;
		length = Max(length, element);
	}
	return length;
}

/* The same for an input just bound; neighbours are elements of one array as a rule. */
static int32
bound_length(const PgmlRecipe *recipe, const PgmlBinding *binding)
{
	const BoundInput *bound = &binding->inputs[binding->n_inputs];
	const BoundInput *previous = binding->n_inputs > 0 ? bound - 1 : NULL;

	return predict_same_array(previous, bound) ? previous->length :
												 trained_length(recipe, bound->input);
}

PgmlBinding *
predict_create_binding(PgmlModel *model, const char *reference, TupleDesc desc,
					   MemoryContext parent)
{
	const PgmlRecipe *recipe = &model->image.recipe;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto binding", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PgmlBinding *binding =
		palloc0(offsetof(PgmlBinding, inputs) + recipe->n_inputs * sizeof(BoundInput));
	MissingNames missing = { .count = 0 };
	int from = 0;

	binding->context = context;
	for (int32 i = 0; i < recipe->n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(recipe, i);
		BoundInput *bound = &binding->inputs[binding->n_inputs];

		if (!input.used)
			continue;
		bound->input = i;
		name_input(bound, input.name);
		if (desc != NULL && !bind_column(bound, desc, from, reference))
			predict_add_missing(&missing, input.name);
		predict_bind_conversion(bound, recipe, &input, desc != NULL);
		if (bound->element > 0)
			bound->length = bound_length(recipe, binding);
		from = bound->attribute;
		binding->last_column = Max(binding->last_column, bound->attribute + 1);
		binding->n_inputs++;
	}
	if (missing.count > 0)
		predict_report_missing(&missing, reference, desc);
	if (desc != NULL)
		binding->desc = CreateTupleDescCopyConstr(desc);
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
 * Make room for one more kept binding: when there are too many (of dropped or altered types,
 * probably), and nobody else can be using one, all go.  False when the new one must stay with its
 * call site.
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

void
predict_forget_binding(PgmlInputs *inputs)
{
	inputs->binding = NULL;
	if (inputs->own_binding != NULL)
		MemoryContextDelete(inputs->own_binding);
	inputs->own_binding = NULL;
}

/* Room for the columns of a row. */
static void
make_columns(PgmlInputs *inputs, int n)
{
	if (n <= inputs->room)
		return;
	inputs->room = 0;
	if (inputs->values != NULL)
		pfree(inputs->values);
	inputs->values = NULL;
	if (inputs->nulls != NULL)
		pfree(inputs->nulls);
	inputs->nulls = NULL;
	inputs->values = MemoryContextAlloc(inputs->context, n * sizeof(Datum));
	inputs->nulls = MemoryContextAlloc(inputs->context, n * sizeof(bool));
	inputs->room = n;
}

void
predict_bind_type(PgmlInputs *inputs, Oid type, int32 typmod, uint64 identifier)
{
	PgmlModel *model = inputs->model;
	PgmlBinding *binding = find_binding(model, type, typmod, identifier);

	predict_forget_binding(inputs);
	if (binding == NULL)
	{
		TupleDesc desc = type == JSONBOID ? NULL : lookup_rowtype_tupdesc_copy(type, typmod);
		bool keep = make_room(model);

		binding = predict_create_binding(model, inputs->reference, desc,
										 keep ? model->context : inputs->context);
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
		make_columns(inputs, binding->desc->natts);
	inputs->binding = binding;
}
