/*
 * rules.c - automl_rules() and automl_tree_sql(): a decision tree for readers, and as an expression.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "model/rules.h"
#include "pg/compat.h"
#include "pg/driver.h"
#include "pg/guc.h"
#include "pg/model_cache.h"
#include "pg/predict.h"
#include "pg/predict_probs.h"

/* What is made in a thread, of a pinned model. */
typedef struct RulesJob
{
	const PgmlImage *image;
	PgmlBudget budget;
	PgmlArena *arena;
	PgmlRule *rules;
	int32 n;
	int class; /* -1: the prediction */
	PgmlBuf sql;
	MemoryContextCallback cleanup;
} RulesJob;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_rules);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_tree_sql);

static PgmlStatus
make_rules(const PgmlEnv *env, void *arg)
{
	RulesJob *job = arg;

	return pgml_image_rules(env, job->arena, job->image, false, &job->rules, &job->n);
}

static PgmlStatus
make_sql(const PgmlEnv *env, void *arg)
{
	RulesJob *job = arg;

	return pgml_image_tree_sql(env, job->arena, job->image, job->class, &job->sql);
}

/* Context callback: memory of the core is malloc'ed. */
static void
free_job(void *arg)
{
	RulesJob *job = arg;

	pgml_buf_free(&job->sql);
	pgml_arena_destroy(job->arena);
}

/* A job in the current context, for the model that the text names. */
static RulesJob *
create_job(text *model, PgmlModelRef **ref)
{
	RulesJob *job = palloc0(sizeof(RulesJob));

	*ref = pgml_model_ref_create(CurrentMemoryContext);
	pgml_model_ref_get(*ref, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model));
	job->image = &(*ref)->model->image;
	job->class = -1;
	pgml_budget_init(&job->budget, pgml_max_memory());
	pgml_buf_init(&job->sql, &job->budget);
	job->cleanup.func = free_job;
	job->cleanup.arg = job;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &job->cleanup);
	job->arena = pgml_arena_create(&job->budget);
	if (job->arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return job;
}

/* One row a rule. */
static void
return_rules(const RulesJob *job, ReturnSetInfo *result)
{
	const PgmlImage *image = job->image;
	PgmlProbabilities probabilities = { 0 };
	double all = 0;

	if (image->classes != NULL)
		probabilities = pgml_probabilities_create(image);

	for (int32 i = 0; i < job->n; i++)
		all += job->rules[i].rows;
	for (int32 i = 0; i < job->n; i++)
	{
		const PgmlRule *rule = &job->rules[i];
		Datum values[6];
		bool nulls[6] = { false, false, false, false, false, image->classes == NULL };

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(i + 1);
		values[1] = CStringGetTextDatum(rule->condition);
		values[2] = image->classes != NULL ?
						CStringGetTextDatum(image->classes[pgml_image_class(image, rule->out)]) :
						DirectFunctionCall1(
							textin, DirectFunctionCall1(float8out, Float8GetDatum(rule->out[0])));
		values[3] = Float8GetDatum(rule->rows);
		values[4] = Float8GetDatum(rule->rows / all);
		values[5] = image->classes != NULL ?
						JsonbPGetDatum(pgml_probabilities_jsonb(&probabilities, rule->out)) :
						(Datum) 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static void
refuse_null(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"model\" must not be NULL")));
}

/* automl_rules(model text) */
Datum
pgml_auto_rules(PG_FUNCTION_ARGS)
{
	MemoryContext context, caller;
	PgmlModelRef *ref;
	RulesJob *job;

	refuse_null(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto rules", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	job = create_job(PG_GETARG_TEXT_PP(0), &ref);
	pgml_driver_run(make_rules, job, &job->budget, 1, 0, 0);
	return_rules(job, (ReturnSetInfo *) fcinfo->resultinfo);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/* automl_tree_sql(model text, class text) */
Datum
pgml_auto_tree_sql(PG_FUNCTION_ARGS)
{
	MemoryContext context, caller;
	PgmlModelRef *ref;
	RulesJob *job;
	text *sql;

	refuse_null(fcinfo);
	context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto rules", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	job = create_job(PG_GETARG_TEXT_PP(0), &ref);
	if (!PG_ARGISNULL(1) && job->image->task == PGML_TASK_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" predicts numbers, which have no classes", ref->reference),
				 errhint("Leave the class out.")));
	if (!PG_ARGISNULL(1))
		job->class = predict_named_class(job->image, ref->reference, PG_GETARG_TEXT_PP(1));
	pgml_driver_run(make_sql, job, &job->budget, 1, 0, 0);
	if (job->sql.len > MaxAllocSize / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the expression is too long"),
				 errhint("Train with a smaller max_depth.")));
	MemoryContextSwitchTo(caller);
	sql = cstring_to_text_with_len((const char *) job->sql.data, (int) job->sql.len);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(sql);
}
