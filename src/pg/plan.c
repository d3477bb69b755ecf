/*
 * plan.c - automl_plan(): what a training with the same arguments would do, in rows; nothing is stored, so that it works in read-only
 * transactions and on standbys.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "pg/compat.h"
#include "pg/training.h"

PG_FUNCTION_INFO_V1(pgml_auto_plan);
PGDLLEXPORT Datum pgml_auto_plan(PG_FUNCTION_ARGS);

/* A step as a row: milliseconds are enough. */
static void
put_step(ReturnSetInfo *rsinfo, const PgmlPlanStep *step)
{
	Datum values[5];
	bool nulls[5] = { false };

	values[0] = CStringGetTextDatum(step->step);
	nulls[1] = step->what == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(step->what);
	values[2] = CStringGetTextDatum(step->detail);
	nulls[3] = isnan(step->seconds);
	values[3] = Float8GetDatum(rint(step->seconds * 1000) / 1000);
	nulls[4] = step->bytes < 0;
	values[4] = Int64GetDatum(step->bytes);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* See sql/parts/30_train.sql. */
Datum
pgml_auto_plan(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto plan", ALLOCSET_DEFAULT_SIZES);
	TrainCall call;
	TrainJob *job;

	/* Reading needs a subtransaction. */
	if (IsInParallelMode())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
						errmsg("automl_plan() cannot run during a parallel operation"),
						errhint("Call it as SELECT * FROM automl_plan(...).")));
	InitMaterializedSRF(fcinfo, 0);
	MemoryContext caller = MemoryContextSwitchTo(context);
	train_call_read(fcinfo, false, 0, &call);
	job = training_create(&call);
	training_check(job, false);
	training_plan(job);
	for (int i = 0; i < job->plan.n_steps; i++)
		put_step(rsinfo, &job->plan.steps[i]);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}
