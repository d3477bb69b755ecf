/*
 * predict_view.c - automl_predict_view(): a view of a relation or query with its predictions, for
 * tools that only read tables.
 *
 * The view names the model, so it follows deployments; it reads with the privileges of whoever
 * queries it (security_invoker), on the data as on the model.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "pg/compat.h"
#include "pg/predict_input.h"
#include "pg/source.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_view);

/* What the view is made of. */
typedef struct PredictView
{
	const char *schema; /* quoted, of our functions */
	char *model;        /* as given */
	char *data;
	PgmlTask task;
} PredictView;

/* Argument n as text; 22004 for NULL. */
static text *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be NULL", name)));
	return PG_GETARG_TEXT_PP(n);
}

/* 42701 when the data has a column called like one of ours. */
static void
check_free_name(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
							errmsg("the data already has a column \"%s\"", name),
							errhint("Give a query that leaves the column out or renames it.")));
}

/*
 * One prediction column: an expression on the row t, which is written t.* since it may have a
 * column t.
 */
static void
append_prediction(StringInfo sql, const PredictView *view, const char *function, const char *name)
{
	appendStringInfo(sql, ", %s.%s(%s, t.*) AS %s", view->schema, function,
					 quote_literal_cstr(view->model), name);
}

/* Check that the model can predict from these columns, and append the columns of the view. */
static void
append_columns(StringInfo sql, const PredictView *view, TupleDesc desc)
{
	bool number = view->task == PGML_TASK_REGRESSION;

	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(sql, "%st.%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
	check_free_name(desc, "prediction");
	append_prediction(sql, view, number ? "predict_value" : "predict", "prediction");
	if (number)
		return;
	check_free_name(desc, "probability");
	if (view->task == PGML_TASK_BINARY)
		append_prediction(sql, view, "predict_proba", "probability");
	else
		appendStringInfo(sql,
						 ", (SELECT pg_catalog.max(p.value::pg_catalog.float8) FROM "
						 "pg_catalog.jsonb_each_text(%s.predict_probs(%s, t.*)) p) AS probability",
						 view->schema, quote_literal_cstr(view->model));
}

/*
 * Pin the model to learn its task, and bind the columns, so that mistakes show now and not in the
 * first query.
 */
static void
check_model(PredictView *view, TupleDesc desc)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto predict view", ALLOCSET_SMALL_SIZES);
	PgmlModelRef *ref = pgml_model_ref_create(context);
	PgmlInputs *inputs = pgml_inputs_create(context);

	pgml_model_ref_get(ref, view->model, strlen(view->model));
	view->task = ref->model->image.task;
	pgml_inputs_use_model(inputs, ref->model, ref->reference);
	pgml_inputs_bind_columns(inputs, desc);
	MemoryContextDelete(context);
}

/* Create the view in the open SPI connection. */
static void
create_view(PredictView *view, RangeVar *name)
{
	PgmlSource source = pgml_source_resolve(view->data);
	PgmlStatement statement = pgml_source_prepare(source.query);
	StringInfoData sql;

	check_model(view, statement.desc);
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE VIEW %s WITH (security_invoker = true) AS SELECT ",
					 name->schemaname == NULL ?
						 quote_identifier(name->relname) :
						 quote_qualified_identifier(name->schemaname, name->relname));
	append_columns(&sql, view, statement.desc);
	if (OidIsValid(source.relid))
		appendStringInfo(
			&sql, " FROM %s AS t",
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(source.relid)),
									   get_rel_name(source.relid)));
	else
		appendStringInfo(&sql, " FROM (%s\n) AS t", source.query);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not create the view")));
}

/* automl_predict_view(model text, data text, view text) */
Datum
pgml_auto_predict_view(PG_FUNCTION_ARGS)
{
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	PredictView view = { .schema = quote_identifier(get_namespace_name(schema)) };
	RangeVar *name;

	view.model = text_to_cstring(text_argument(fcinfo, 0, "model"));
	view.data = text_to_cstring(text_argument(fcinfo, 1, "data"));
	name = makeRangeVarFromNameList(textToQualifiedNameList(text_argument(fcinfo, 2, "view")));
	if (OidIsValid(get_relname_relid(name->relname, RangeVarGetCreationNamespace(name))))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_TABLE),
						errmsg("relation \"%s\" already exists", name->relname),
						errhint("Drop it first, or choose another name.")));
	SPI_connect();
	create_view(&view, name);
	SPI_finish();
	PG_RETURN_OID(RangeVarGetRelid(name, NoLock, false));
}
