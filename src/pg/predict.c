/*
 * predict.c - predict(), predict_value(), predict_proba(), predict_probs().
 *
 * Each call site of a running statement keeps a PredictSite in fn_extra: the pinned model, the
 * binding of its input and the buffers, so that a row costs no catalog access and no allocation but
 * its result.  When the statement ends the site is parked, without the model, for the next execution
 * with such a call: a statement that is executed for one row again and again, in one of many
 * sessions, else would spend more on making sites in cold memory than on predicting.  The verbs exist for records, jsonb, json and text; one C function serves all three and
 * asks the catalog once which it is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "pg/compat.h"
#include "pg/predict.h"
#include "pg/predict_input.h"
#include "pg/predict_probs.h"

/* How predictions become datums of the wanted type. */
typedef struct PredictType
{
	Oid type;
	int16 length;
	bool by_value;
	Oid io_param;
	FmgrInfo input;
} PredictType;

#define MAX_PARKED       8
#define MAX_PARKED_BYTES (64 * 1024) /* of one site */

/* State of one call site. */
typedef struct PredictSite
{
	dlist_node node; /* among those that are parked */
	MemoryContext context;
	MemoryContextCallback end; /* of the execution */
	Oid function;
	Oid form; /* type of the input: JSONBOID, JSONOID, TEXTOID or one of rows */
	Oid type; /* of the call's result */
	PgmlModelRef *ref;
	PgmlInputs *inputs;
	PredictType result;     /* of predict(), in this execution */
	uint64 serial;          /* model that the rest belongs to */
	MemoryContext of_model; /* emptied when the model changes */
	double *out;            /* the prediction */
	double *scratch;
	Datum *labels; /* classes in the wanted type, made when first predicted */
	bool *has_label;
	int proba_class;                 /* class asked for last, -1: none */
	PgmlProbabilities probabilities; /* object NULL: not made yet */
} PredictSite;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_value);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_proba);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_probs);

/* Only functions in C can be ours; asking more about others would load their languages. */
PredictVerb
predict_verb(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	FmgrInfo info;
	bool in_c;

	if (!HeapTupleIsValid(tuple))
		return PREDICT_NONE;
	in_c = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId;
	ReleaseSysCache(tuple);
	if (!in_c)
		return PREDICT_NONE;
	fmgr_info(function, &info);
	return info.fn_addr == pgml_auto_predict       ? PREDICT_ANY :
		   info.fn_addr == pgml_auto_predict_value ? PREDICT_VALUE :
		   info.fn_addr == pgml_auto_predict_proba ? PREDICT_PROBA :
		   info.fn_addr == pgml_auto_predict_probs ? PREDICT_PROBS :
													 PREDICT_NONE;
}

bool
predict_reads_slots(const FmgrInfo *function)
{
	return function->fn_addr == pgml_auto_predict || function->fn_addr == pgml_auto_predict_value ||
		   function->fn_addr == pgml_auto_predict_proba ||
		   function->fn_addr == pgml_auto_predict_probs;
}

/* ---- call sites ---------------------------------------------------------------------------- */

Oid
predict_input_form(FunctionCallInfo fcinfo)
{
	Oid form = get_fn_expr_argtype(fcinfo->flinfo, 1);
	Oid *types;
	int n;

	if (OidIsValid(form))
		return form;
	get_func_signature(fcinfo->flinfo->fn_oid, &types, &n);
	return types[1];
}

/* Look up how to make values of a type; text is the type predictions have by themselves. */
static void
init_result(PredictType *result, Oid type, MemoryContext context)
{
	Oid input;

	result->type = OidIsValid(type) ? type : TEXTOID;
	get_typlenbyval(result->type, &result->length, &result->by_value);
	if (result->type == TEXTOID)
		return;
	getTypeInputInfo(result->type, &input, &result->io_param);
	fmgr_info_cxt(input, &result->input, context);
}

/* Sites of no running statement, parked last first. */
static dlist_head parked = DLIST_STATIC_INIT(parked);
static int n_parked;

/*
 * Context callback: the execution that a site belongs to ends, well or not.  The model is let go of: whether it is still the one is for
 * the next execution to find out, and until then it may leave the cache.
 */
static void
park_site(void *arg)
{
	PredictSite *site = arg;

	pgml_model_ref_release(site->ref);
	pgml_inputs_park(site->inputs);
	if (MemoryContextMemAllocated(site->context, true) > MAX_PARKED_BYTES)
	{
		MemoryContextDelete(site->context);
		return;
	}
	if (OidIsValid(site->result.type) && site->result.type != TEXTOID)
		site->serial = 0; /* what a type reads may depend on settings */
	site->result.type = InvalidOid;
	dlist_push_head(&parked, &site->node);
	if (++n_parked <= MAX_PARKED)
		return;
	site = dlist_tail_element(PredictSite, node, &parked);
	dlist_delete(&site->node);
	n_parked--;
	MemoryContextDelete(site->context);
}

/* A parked site of a call like this, no longer parked; NULL: there is none. */
static PredictSite *
take_site(Oid function, Oid form, Oid type, const char *reference, Size length)
{
	dlist_iter iter;

	dlist_foreach(iter, &parked)
	{
		PredictSite *site = dlist_container(PredictSite, node, iter.cur);

		if (site->function == function && site->form == form && site->type == type &&
			site->ref->reference != NULL && site->ref->length == length &&
			memcmp(site->ref->reference, reference, length) == 0)
		{
			dlist_delete(&site->node);
			n_parked--;
			return site;
		}
	}
	return NULL;
}

static PredictSite *
create_site(Oid function, Oid form, Oid type)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto predict", ALLOCSET_SMALL_SIZES);
	PredictSite *site = MemoryContextAllocZero(context, sizeof(PredictSite));

	site->context = context;
	site->function = function;
	site->form = form;
	site->type = type;
	site->ref = pgml_model_ref_create(context);
	site->inputs = pgml_inputs_create(context);
	site->of_model = AllocSetContextCreate(context, "pgml_auto result", ALLOCSET_SMALL_SIZES);
	site->end.func = park_site;
	site->end.arg = site;
	MemoryContextSetParent(context, TopMemoryContext);
	return site;
}

/* The site of a call that is made for the first time in this execution. */
static PredictSite *
open_site(FunctionCallInfo fcinfo, const char *reference, Size length)
{
	FmgrInfo *info = fcinfo->flinfo;
	Oid form = predict_input_form(fcinfo);
	Oid type = get_fn_expr_rettype(info);
	PredictSite *site = take_site(info->fn_oid, form, type, reference, length);

	if (site == NULL)
		site = create_site(info->fn_oid, form, type);
	MemoryContextRegisterResetCallback(info->fn_mcxt, &site->end);
	info->fn_extra = site;
	return site;
}

/* Prepare the buffers for another model. */
static void
use_model(PredictSite *site, PgmlModel *model)
{
	const PgmlImage *image = &model->image;
	int outputs = pgml_image_outputs(image);
	int classes = Max(image->n_classes, 1);

	site->serial = 0;
	MemoryContextReset(site->of_model);
	site->out = MemoryContextAlloc(site->of_model, outputs * sizeof(double));
	site->scratch = MemoryContextAlloc(site->of_model, outputs * sizeof(double));
	site->labels = MemoryContextAlloc(site->of_model, classes * sizeof(Datum));
	site->has_label = MemoryContextAllocZero(site->of_model, classes * sizeof(bool));
	site->proba_class = -1;
	site->probabilities.object = NULL;
	site->serial = model->serial;
}

void
predict_read_input(PgmlInputs *inputs, Oid form, FunctionCallInfo fcinfo)
{
	switch (form)
	{
		case JSONBOID:
			pgml_inputs_read_jsonb(inputs, PG_GETARG_JSONB_P(1));
			break;
		case JSONOID:
		case TEXTOID:
			pgml_inputs_read_text(inputs, PG_GETARG_TEXT_PP(1));
			break;
		default:
			if (fcinfo->context != NULL && IsA(fcinfo->context, TupleTableSlot))
				pgml_inputs_read_slot(inputs, (TupleTableSlot *) fcinfo->context);
			else
				pgml_inputs_read_record(inputs, PG_GETARG_HEAPTUPLEHEADER(1));
			break;
	}
}

/* The call site with its model pinned; the model and input arguments are not NULL. */
static PredictSite *
enter_site(FunctionCallInfo fcinfo)
{
	PredictSite *site = fcinfo->flinfo->fn_extra;
	text *reference = PG_GETARG_TEXT_PP(0);
	PgmlModel *model;

	if (site == NULL)
		site = open_site(fcinfo, VARDATA_ANY(reference), VARSIZE_ANY_EXHDR(reference));
	model = pgml_model_ref_get(site->ref, VARDATA_ANY(reference), VARSIZE_ANY_EXHDR(reference));
	pgml_inputs_use_model(site->inputs, model, site->ref->reference);
	if (site->serial != model->serial)
		use_model(site, model);
	return site;
}

/* Predict the row; site->out holds the numbers. */
static void
compute(PredictSite *site, FunctionCallInfo fcinfo)
{
	predict_read_input(site->inputs, site->form, fcinfo);
	pgml_model_predict_row(site->inputs->model, site->inputs->features, site->out, site->scratch);
}

/* ---- predict() ----------------------------------------------------------------------------- */

/* What is being converted, for the error callback. */
typedef struct Conversion
{
	const PredictSite *site;
	const char *prediction;
} Conversion;

/* Error callback while a type reads a prediction: say where the value came from. */
static void
conversion_failed(void *arg)
{
	const Conversion *conversion = arg;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
		return;
	errdetail("Model \"%s\" predicts \"%s\", which is not a valid %s.",
			  conversion->site->ref->reference, conversion->prediction,
			  format_type_be(conversion->site->result.type));
	errhint("Without a type, predict() gives the prediction as text; for numbers use "
			"predict_value().");
}

/* A prediction written as text, as a datum of the wanted type. */
static Datum
text_to_result(PredictSite *site, char *prediction)
{
	PredictType *result = &site->result;
	Conversion conversion = { .site = site, .prediction = prediction };
	ErrorContextCallback callback = { .callback = conversion_failed,
									  .arg = &conversion,
									  .previous = error_context_stack };
	Datum datum;

	if (result->type == TEXTOID)
		return CStringGetTextDatum(prediction);
	error_context_stack = &callback;
	datum = InputFunctionCall(&result->input, prediction, result->io_param, -1);
	error_context_stack = callback.previous;
	return datum;
}

/* The predicted class in the wanted type. */
static Datum
class_result(PredictSite *site)
{
	const PgmlImage *image = &site->inputs->model->image;
	int class = pgml_image_class(image, site->out);

	if (!site->has_label[class])
	{
		MemoryContext old = MemoryContextSwitchTo(site->of_model);

		site->labels[class] = text_to_result(site, pstrdup(image->classes[class]));
		site->has_label[class] = true;
		MemoryContextSwitchTo(old);
	}
	return datumCopy(site->labels[class], site->result.by_value, site->result.length);
}

/*
 * The predicted number in the wanted type; as text its shortest form that reads back as the same
 * number.
 */
static Datum
number_result(PredictSite *site)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (site->result.type == FLOAT8OID)
		return Float8GetDatum(site->out[0]);
	double_to_shortest_decimal_buf(site->out[0], digits);
	return text_to_result(site, digits);
}

/* predict(model text, input record | jsonb | json | text [, type anyelement]) */
Datum
pgml_auto_predict(PG_FUNCTION_ARGS)
{
	PredictSite *site;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	site = enter_site(fcinfo);
	if (!OidIsValid(site->result.type))
		init_result(&site->result, get_fn_expr_rettype(fcinfo->flinfo), fcinfo->flinfo->fn_mcxt);
	compute(site, fcinfo);
	if (site->inputs->model->image.task == PGML_TASK_REGRESSION)
		return number_result(site);
	return class_result(site);
}

/* ---- predict_value() ----------------------------------------------------------------------- */

/* predict_value(model text, input record | jsonb | json | text) */
Datum
pgml_auto_predict_value(PG_FUNCTION_ARGS)
{
	PredictSite *site;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	site = enter_site(fcinfo);
	if (site->inputs->model->image.task != PGML_TASK_REGRESSION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" predicts classes, not numbers", site->ref->reference),
						errhint("Use predict() for the class and predict_proba() for its "
								"probability.")));
	compute(site, fcinfo);
	PG_RETURN_FLOAT8(site->out[0]);
}

/* ---- predict_proba(), predict_probs() ------------------------------------------------------ */

/* 42809 unless the model has classes. */
static void
require_classes(const PredictSite *site)
{
	if (site->inputs->model->image.task == PGML_TASK_REGRESSION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" predicts numbers, which have no probability",
							   site->ref->reference),
						errhint("Use predict_value().")));
}

/* The classes in words; a long list is cut. */
static char *
list_classes(const PgmlImage *image)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < image->n_classes && i < 50; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", image->classes[i]);
	if (image->n_classes > 50)
		appendStringInfo(&list, ", and %d more", image->n_classes - 50);
	return list.data;
}

/* Whether a text value is this label. */
static bool
is_label(const char *label, const char *s, Size length)
{
	return strncmp(label, s, length) == 0 && label[length] == '\0';
}

int
pgml_find_class(const PgmlImage *image, const char *s, Size length)
{
	for (int i = 0; i < image->n_classes; i++)
		if (is_label(image->classes[i], s, length))
			return i;
	return -1;
}

int
predict_named_class(const PgmlImage *image, const char *reference, text *name)
{
	const char *s = VARDATA_ANY(name);
	Size length = VARSIZE_ANY_EXHDR(name);
	int class = pgml_find_class(image, s, length);

	if (class < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" has no class \"%.*s\"", reference, (int) length, s),
						errhint("Its classes are %s.", list_classes(image))));
	return class;
}

/* Number of the class that the third argument names, remembered. */
static int
find_class(PredictSite *site, text *name)
{
	const PgmlImage *image = &site->inputs->model->image;
	const char *s = VARDATA_ANY(name);
	Size length = VARSIZE_ANY_EXHDR(name);

	if (site->proba_class >= 0 && is_label(image->classes[site->proba_class], s, length))
		return site->proba_class;
	site->proba_class = predict_named_class(image, site->ref->reference, name);
	return site->proba_class;
}

/* Class whose probability is asked for: the named one, else the positive class of two. */
static int
asked_class(PredictSite *site, FunctionCallInfo fcinfo)
{
	const PgmlImage *image = &site->inputs->model->image;

	if (!PG_ARGISNULL(2))
		return find_class(site, PG_GETARG_TEXT_PP(2));
	if (image->task != PGML_TASK_BINARY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" has %d classes, so predict_proba() must be told which",
						site->ref->reference, image->n_classes),
				 errhint("Name one of %s as the third argument, or use predict_probs() for all.",
						 list_classes(image))));
	return 1;
}

double
pgml_class_probability(const PgmlImage *image, const double *out, int class)
{
	if (image->task == PGML_TASK_BINARY)
		return class == 1 ? out[0] : 1.0 - out[0];
	return out[class];
}

/* predict_proba(model text, input record | jsonb | json | text, class text) */
Datum
pgml_auto_predict_proba(PG_FUNCTION_ARGS)
{
	PredictSite *site;
	int class;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	site = enter_site(fcinfo);
	require_classes(site);
	class = asked_class(site, fcinfo);
	compute(site, fcinfo);
	PG_RETURN_FLOAT8(pgml_class_probability(&site->inputs->model->image, site->out, class));
}

/* Make the object that predict_probs() fills. */
static void
make_probabilities(PredictSite *site)
{
	MemoryContext old = MemoryContextSwitchTo(site->of_model);

	site->probabilities = pgml_probabilities_create(&site->inputs->model->image);
	MemoryContextSwitchTo(old);
}

/* predict_probs(model text, input record | jsonb | json | text) */
Datum
pgml_auto_predict_probs(PG_FUNCTION_ARGS)
{
	PredictSite *site;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	site = enter_site(fcinfo);
	require_classes(site);
	compute(site, fcinfo);
	if (site->probabilities.object == NULL)
		make_probabilities(site);
	PG_RETURN_JSONB_P(pgml_probabilities_jsonb(&site->probabilities, site->out));
}
