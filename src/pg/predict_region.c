/*
 * predict_region.c - predict_interval(), predict_set(): what holds the truth with a given probability.
 *
 * A call site keeps what one of predict() keeps, see predict.c.  These functions are strict, and always called row by row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/predict.h"
#include "pg/predict_input.h"

/* State of one call site. */
typedef struct RegionSite
{
	PgmlModelRef *ref;
	PgmlInputs *inputs;
	Oid form;               /* type of the input */
	TupleDesc desc;         /* of predict_interval()'s result */
	uint64 serial;          /* model that the rest belongs to */
	MemoryContext of_model; /* emptied when the model changes */
	double *out;
	double *scratch;
	Datum *labels; /* of predict_set(): each class as text, 0: not made yet */
	PgmlRankedClass *set;
	Datum *elements;
} RegionSite;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_interval);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_predict_set);

static RegionSite *
create_site(FunctionCallInfo fcinfo)
{
	MemoryContext context =
		AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "pgml_auto interval", ALLOCSET_SMALL_SIZES);
	RegionSite *site = MemoryContextAllocZero(context, sizeof(RegionSite));

	site->ref = pgml_model_ref_create(context);
	site->inputs = pgml_inputs_create(context);
	site->form = predict_input_form(fcinfo);
	site->of_model =
		AllocSetContextCreate(context, "pgml_auto interval result", ALLOCSET_SMALL_SIZES);
	fcinfo->flinfo->fn_extra = site;
	return site;
}

/* Prepare the buffers for another model. */
static void
use_model(RegionSite *site, PgmlModel *model)
{
	const PgmlImage *image = &model->image;
	int outputs = pgml_image_outputs(image);

	site->serial = 0;
	MemoryContextReset(site->of_model);
	site->out = MemoryContextAlloc(site->of_model, outputs * sizeof(double));
	site->scratch = MemoryContextAlloc(site->of_model, outputs * sizeof(double));
	site->labels = MemoryContextAllocZero(site->of_model, image->n_classes * sizeof(Datum));
	site->set = MemoryContextAlloc(site->of_model, image->n_classes * sizeof(PgmlRankedClass));
	site->elements = MemoryContextAlloc(site->of_model, image->n_classes * sizeof(Datum));
	site->serial = model->serial;
}

/* The third argument; 22023 when it is no probability that can be held. */
static double
get_level(FunctionCallInfo fcinfo)
{
	double level = PG_GETARG_FLOAT8(2);

	if (!(level > 0 && level < 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("level must be greater than 0 and less than 1, not %g", level),
						errhint("0.9 asks for what holds the true value nine times out of ten.")));
	return level;
}

/* 55000 for images of before there were calibrations, and those for which memory did not suffice. */
static void
require_calibration(const RegionSite *site)
{
	if (site->inputs->model->image.calibration.n == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" was not calibrated when it was trained",
							   site->ref->reference),
						errhint("Train a new version of it with automl_train().")));
}

/* The call site with its model pinned. */
static RegionSite *
enter_site(FunctionCallInfo fcinfo)
{
	RegionSite *site = fcinfo->flinfo->fn_extra;
	text *reference = PG_GETARG_TEXT_PP(0);
	PgmlModel *model;

	if (site == NULL)
		site = create_site(fcinfo);
	model = pgml_model_ref_get(site->ref, VARDATA_ANY(reference), VARSIZE_ANY_EXHDR(reference));
	pgml_inputs_use_model(site->inputs, model, site->ref->reference);
	if (site->serial != model->serial)
		use_model(site, model);
	return site;
}

/* Predict the row; site->out holds the numbers. */
static void
compute(RegionSite *site, FunctionCallInfo fcinfo)
{
	predict_read_input(site->inputs, site->form, fcinfo);
	pgml_model_predict_row(site->inputs->model, site->inputs->features, site->out, site->scratch);
}

/* The row type of predict_interval(), which does not depend on the call. */
static TupleDesc
result_type(RegionSite *site, FunctionCallInfo fcinfo)
{
	MemoryContext old;

	if (site->desc != NULL)
		return site->desc;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(site));
	if (get_call_result_type(fcinfo, NULL, &site->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "predict_interval() does not return a row");
	site->desc = BlessTupleDesc(site->desc);
	MemoryContextSwitchTo(old);
	return site->desc;
}

/* predict_interval(model text, input record | jsonb | json | text, level double precision) */
Datum
pgml_auto_predict_interval(PG_FUNCTION_ARGS)
{
	double level = get_level(fcinfo);
	RegionSite *site = enter_site(fcinfo);
	const PgmlImage *image = &site->inputs->model->image;
	bool nulls[3] = { false, false, false };
	Datum values[3];
	double lower, upper;

	if (image->task != PGML_TASK_REGRESSION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" predicts classes, not numbers", site->ref->reference),
						errhint("Use predict_set() for a set of classes.")));
	require_calibration(site);
	compute(site, fcinfo);
	pgml_calibration_interval(&image->calibration, site->out[0], level, &lower, &upper);
	values[0] = Float8GetDatum(site->out[0]);
	values[1] = Float8GetDatum(lower);
	values[2] = Float8GetDatum(upper);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_type(site, fcinfo), values, nulls)));
}

/* The label of a class as text. */
static Datum
label_datum(RegionSite *site, int32 class)
{
	if (site->labels[class] == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(site->of_model);

		site->labels[class] = CStringGetTextDatum(site->inputs->model->image.classes[class]);
		MemoryContextSwitchTo(old);
	}
	return site->labels[class];
}

/* predict_set(model text, input record | jsonb | json | text, level double precision) */
Datum
pgml_auto_predict_set(PG_FUNCTION_ARGS)
{
	double level = get_level(fcinfo);
	RegionSite *site = enter_site(fcinfo);
	const PgmlImage *image = &site->inputs->model->image;
	int32 n;

	if (image->task == PGML_TASK_REGRESSION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" predicts numbers, not classes", site->ref->reference),
						errhint("Use predict_interval() for an interval.")));
	require_calibration(site);
	compute(site, fcinfo);
	n = pgml_image_class_set(image, site->out, level, site->set);
	for (int32 i = 0; i < n; i++)
		site->elements[i] = label_datum(site, site->set[i].class);
	PG_RETURN_ARRAYTYPE_P(construct_array(site->elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}
