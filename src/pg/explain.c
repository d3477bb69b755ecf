/*
 * explain.c - automl_explain(): what each input column adds to a prediction; automl_importance(): what it does for the model.
 *
 * A call site of automl_explain() keeps, as predict() does, the pinned model and the binding of its input, and what the model is explained by, which
 * takes about as long to make as a row to explain.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "model/explain.h"
#include "model/gain.h"
#include "pg/compat.h"
#include "pg/driver.h"
#include "pg/guc.h"
#include "pg/predict.h"
#include "pg/predict_bind.h"

/* Steps of an explanation that are computed without looking at interrupts; some 20 ms. */
#define STEPS_AT_ONCE 2e7

/* State of one call site. */
typedef struct ExplainSite
{
	PgmlModelRef *ref;
	PgmlInputs *inputs;
	Oid form;      /* type of the input: JSONBOID, JSONOID, TEXTOID or one of rows */
	uint64 serial; /* model that the rest belongs to */
	PgmlBudget budget;
	PgmlArena *arena; /* holds the rest */
	const PgmlExplainer *explainer;
	void *scratch;
	double *contribution; /* per input of the recipe */
	double *out;          /* a prediction */
	double *out_scratch;
	double base;
	int class;
	MemoryContextCallback cleanup;
} ExplainSite;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_explain);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_importance);

/* ---- call sites ---------------------------------------------------------------------------- */

/* Context callback: the arena is malloc'ed. */
static void
destroy_arena(void *arg)
{
	ExplainSite *site = arg;

	pgml_arena_destroy(site->arena);
	site->arena = NULL;
}

static ExplainSite *
create_site(FunctionCallInfo fcinfo)
{
	MemoryContext context =
		AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "pgml_auto explain", ALLOCSET_SMALL_SIZES);
	ExplainSite *site = MemoryContextAllocZero(context, sizeof(ExplainSite));

	site->ref = pgml_model_ref_create(context);
	site->inputs = pgml_inputs_create(context);
	site->form = predict_input_form(fcinfo);
	site->cleanup.func = destroy_arena;
	site->cleanup.arg = site;
	MemoryContextRegisterResetCallback(context, &site->cleanup);
	fcinfo->flinfo->fn_extra = site;
	return site;
}

/* Prepare to explain the site's image. */
static PgmlStatus
prepare(const PgmlEnv *env, void *arg)
{
	ExplainSite *site = arg;
	const PgmlImage *image = &site->ref->model->image;
	size_t outputs = (size_t) pgml_image_outputs(image);

	PGML_TRY(pgml_explainer_create(env, site->arena, image, &site->explainer));
	site->scratch = pgml_alloc(site->arena, pgml_explainer_scratch(site->explainer));
	site->contribution =
		pgml_array(site->arena, (size_t) image->recipe.n_inputs + 1, sizeof(double));
	site->out = pgml_array(site->arena, outputs, sizeof(double));
	site->out_scratch = pgml_array(site->arena, outputs, sizeof(double));
	if (!site->scratch || !site->contribution || !site->out || !site->out_scratch)
		return pgml_fail_nomem(env, "an explanation");
	return PGML_OK;
}

static PgmlStatus
explain(const PgmlEnv *env, void *arg)
{
	ExplainSite *site = arg;
	PgmlBlock block = { site->inputs->features, 1, 1 };

	return pgml_explain(env, site->explainer, &block, site->class, &site->base, site->contribution,
						1, site->scratch);
}

/* Prepare for another model. */
static void
use_model(ExplainSite *site)
{
	PgmlModel *model = site->ref->model;

	site->serial = 0;
	destroy_arena(site);
	pgml_budget_init(&site->budget, pgml_max_memory());
	site->arena = pgml_arena_create(&site->budget);
	if (site->arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	pgml_driver_compute(prepare, site, &site->budget,
						model->version.image_bytes > PGML_BYTES_AT_ONCE);
	site->serial = model->serial;
}

/* The call site with its model pinned and prepared; the model and input arguments are not NULL. */
static ExplainSite *
enter_site(FunctionCallInfo fcinfo)
{
	ExplainSite *site = fcinfo->flinfo->fn_extra;
	text *reference = PG_GETARG_TEXT_PP(0);
	PgmlModel *model;

	if (site == NULL)
		site = create_site(fcinfo);
	model = pgml_model_ref_get(site->ref, VARDATA_ANY(reference), VARSIZE_ANY_EXHDR(reference));
	pgml_inputs_use_model(site->inputs, model, site->ref->reference);
	if (site->serial != model->serial)
		use_model(site);
	return site;
}

/* ---- values -------------------------------------------------------------------------------- */

/* A value of a JSON object as text, NULL for null. */
static char *
json_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return numeric_normalize(value->val.numeric);
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return NULL;
	}
}

/* The array whose elements are being shown: neighbouring inputs come from the same one. */
typedef struct ShownArray
{
	const BoundInput *bound; /* NULL: none yet */
	int length;
	JsonbValue *of_key;
	double *of_column;
} ShownArray;

/* The value under an input's key, or of an element of the array there. */
static char *
key_text(const PgmlInputs *inputs, ShownArray *open, BoundInput *bound, Jsonb *object)
{
	JsonbContainer *root = &object->root;
	JsonbValue value;

	if (getKeyJsonValueFromContainer(root, bound->key, (int) strlen(bound->key), &value) != NULL)
		return json_text(&value);
	if (getKeyJsonValueFromContainer(root, bound->key, bound->key_length, &value) == NULL ||
		value.type == jbvNull)
		return NULL;
	if (!predict_same_array(open->bound, bound))
	{
		open->length = predict_json_elements(inputs, bound, &value, &open->of_key);
		open->bound = bound;
	}
	return bound->element <= open->length ? json_text(&open->of_key[bound->element - 1]) : NULL;
}

/* An element of an array column. */
static char *
element_text(ShownArray *open, BoundInput *bound, Datum datum)
{
	double element;

	if (!predict_same_array(open->bound, bound))
	{
		open->length = pgml_datum_elements(&bound->reader, datum, &open->of_column);
		open->bound = bound;
	}
	if (bound->element > open->length)
		return NULL;
	element = open->of_column[bound->element - 1];
	if (isnan(element))
		return NULL;
	return DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(element)));
}

/* The value of an input's column, or the element of an array, in the row read last. */
static char *
column_text(const PgmlInputs *inputs, ShownArray *open, BoundInput *bound)
{
	Datum datum = inputs->values[bound->attribute];
	Oid output;
	bool varlena;

	if (inputs->nulls[bound->attribute])
		return NULL;
	if (bound->element > 0)
		return element_text(open, bound, datum);
	getTypeOutputInfo(TupleDescAttr(inputs->binding->desc, bound->attribute)->atttypid, &output,
					  &varlena);
	return OidOutputFunctionCall(output, datum);
}

/* ---- the function -------------------------------------------------------------------------- */

/* Read the input; returns the object it came from, NULL for rows. */
static Jsonb *
read_input(ExplainSite *site, FunctionCallInfo fcinfo)
{
	Jsonb *object;

	switch (site->form)
	{
		case JSONBOID:
			object = PG_GETARG_JSONB_P(1);
			break;
		case JSONOID:
		case TEXTOID:
			object = pgml_inputs_parse_text(PG_GETARG_TEXT_PP(1));
			break;
		default:
			pgml_inputs_read_record(site->inputs, PG_GETARG_HEAPTUPLEHEADER(1));
			return NULL;
	}
	pgml_inputs_read_jsonb(site->inputs, object);
	return object;
}

/* The class to explain: the one named; else the positive one of two, the predicted one of several. */
static int
choose_class(ExplainSite *site, FunctionCallInfo fcinfo)
{
	const PgmlImage *image = &site->ref->model->image;

	if (image->task == PGML_TASK_REGRESSION)
	{
		if (!PG_ARGISNULL(2))
			ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
							errmsg("model \"%s\" predicts numbers, which have no classes",
								   site->ref->reference),
							errhint("Leave the class out.")));
		return 0;
	}
	if (!PG_ARGISNULL(2))
		return predict_named_class(image, site->ref->reference, PG_GETARG_TEXT_PP(2));
	if (image->task == PGML_TASK_BINARY)
		return 1;
	pgml_model_predict_row(site->ref->model, site->inputs->features, site->out, site->out_scratch);
	return pgml_image_class(image, site->out);
}

static const char *
scale_name(const ExplainSite *site)
{
	switch (pgml_explainer_scale(site->explainer))
	{
		case PGML_SCALE_VALUE:
			return "value";
		case PGML_SCALE_LOG:
			return "log";
		case PGML_SCALE_PROBABILITY:
			return "probability";
		case PGML_SCALE_SCORE:
			break;
	}
	return site->ref->model->image.task == PGML_TASK_BINARY ? "log-odds" : "score";
}

/* An input in the order in which they are shown. */
typedef struct Shown
{
	BoundInput *bound;
	char *value; /* NULL: none */
	double contribution;
} Shown;

/* The largest first; equal ones in the order of training. */
static int
compare_shown(const void *a, const void *b)
{
	const Shown *x = a, *y = b;
	double size = fabs(y->contribution) - fabs(x->contribution);

	if (size != 0)
		return size > 0 ? 1 : -1;
	return x->bound->input - y->bound->input;
}

/* The base, then the inputs. */
static void
return_rows(ExplainSite *site, Jsonb *object, ReturnSetInfo *result)
{
	const PgmlImage *image = &site->ref->model->image;
	PgmlBinding *binding = site->inputs->binding;
	Shown *shown = palloc((binding->n_inputs + 1) * sizeof(Shown));
	double total = site->base;
	Datum values[6] = { 0 };
	bool nulls[6] = { true, true, false, false, image->classes == NULL, false };
	ShownArray open = { .bound = NULL };

	for (int i = 0; i < binding->n_inputs; i++)
	{
		BoundInput *bound = &binding->inputs[i];

		shown[i] = (Shown){ .bound = bound, .contribution = site->contribution[bound->input] };
		shown[i].value = object != NULL ? key_text(site->inputs, &open, bound, object) :
										  column_text(site->inputs, &open, bound);
		total += shown[i].contribution;
	}
	qsort(shown, binding->n_inputs, sizeof(Shown), compare_shown);
	values[2] = Float8GetDatum(site->base);
	values[3] = Float8GetDatum(total);
	if (image->classes != NULL)
		values[4] = CStringGetTextDatum(image->classes[site->class]);
	values[5] = CStringGetTextDatum(scale_name(site));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	for (int i = 0; i < binding->n_inputs; i++)
	{
		BoundInput *bound = shown[i].bound;

		values[0] = CStringGetTextDatum(pgml_recipe_input(&image->recipe, bound->input).name);
		values[1] = shown[i].value != NULL ? CStringGetTextDatum(shown[i].value) : (Datum) 0;
		values[2] = Float8GetDatum(shown[i].contribution);
		nulls[0] = false;
		nulls[1] = shown[i].value == NULL;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* automl_explain(model text, input record | jsonb | json | text, class text) */
Datum
pgml_auto_explain(PG_FUNCTION_ARGS)
{
	MemoryContext context, caller;
	ExplainSite *site;
	Jsonb *object;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	site = enter_site(fcinfo);
	context = AllocSetContextCreate(CurrentMemoryContext, "pgml_auto explanation",
									ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	object = read_input(site, fcinfo);
	site->class = choose_class(site, fcinfo);
	CHECK_FOR_INTERRUPTS();
	pgml_driver_compute(explain, site, &site->budget,
						pgml_explainer_work(site->explainer) > STEPS_AT_ONCE);
	return_rows(site, object, (ReturnSetInfo *) fcinfo->resultinfo);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/* ---- importance ---------------------------------------------------------------------------- */

typedef struct GainJob
{
	PgmlArena *arena;
	const PgmlImage *image;
	double *gain; /* per input of the recipe */
} GainJob;

static PgmlStatus
find_gain(const PgmlEnv *env, void *arg)
{
	GainJob *job = arg;

	return pgml_image_gain(env, job->arena, job->image, job->gain);
}

/* Context callback. */
static void
destroy_job_arena(void *arg)
{
	pgml_arena_destroy(((GainJob *) arg)->arena);
}

/* Shares of gain; NaN where the model has none. In the current context. */
static double *
image_gain(const PgmlModel *model)
{
	GainJob *job = palloc0(sizeof(GainJob));
	MemoryContextCallback *cleanup = palloc0(sizeof(MemoryContextCallback));
	PgmlBudget *budget = palloc(sizeof(PgmlBudget));

	job->image = &model->image;
	job->gain = palloc((model->image.recipe.n_inputs + 1) * sizeof(double));
	pgml_budget_init(budget, pgml_max_memory());
	cleanup->func = destroy_job_arena;
	cleanup->arg = job;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, cleanup);
	job->arena = pgml_arena_create(budget);
	if (job->arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	pgml_driver_compute(find_gain, job, budget, model->version.image_bytes > PGML_BYTES_AT_ONCE);
	return job->gain;
}

/* automl_importance(model text) */
Datum
pgml_auto_importance(PG_FUNCTION_ARGS)
{
	MemoryContext context, caller;
	PgmlModelRef *ref;
	text *model;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"model\" must not be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	model = PG_GETARG_TEXT_PP(0);
	context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto importance", ALLOCSET_DEFAULT_SIZES);
	ref = pgml_model_ref_create(context);
	pgml_model_ref_get(ref, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model));
	caller = MemoryContextSwitchTo(context);
	catalog_importance(&ref->model->version, image_gain(ref->model),
					   ref->model->image.recipe.n_inputs, (ReturnSetInfo *) fcinfo->resultinfo);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}
