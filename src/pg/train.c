/*
 * train.c - automl_train(): a training in the caller's transaction, where an error or ROLLBACK leaves nothing behind, or a job that
 * a background worker does after COMMIT.
 */
#include "postgres.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/compat.h"
#include "pg/jobs.h"
#include "pg/training.h"

/* Arguments after those of the training itself. */
#define ARG_BACKGROUND 23
#define ARG_RESUME     24

PG_FUNCTION_INFO_V1(pgml_auto_train);
PGDLLEXPORT Datum pgml_auto_train(PG_FUNCTION_ARGS);

/* A number as a person reads it; the views have all digits. NaN is NULL. */
static void
put_number(Datum *values, bool *nulls, int i, double v)
{
	nulls[i] = isnan(v);
	values[i] = Float8GetDatum(strtod(psprintf("%.6g", v), NULL));
}

/* The one row that automl_train returns. */
static void
return_row(ReturnSetInfo *rsinfo, const TrainJob *job, const CatalogVersion *version, bool deployed)
{
	const PgmlTrainResult *r = &job->result;
	static const char *const tasks[] = { [PGML_TASK_REGRESSION] = "regression",
										 [PGML_TASK_BINARY] = "binary",
										 [PGML_TASK_MULTICLASS] = "multiclass" };
	Datum values[15];
	bool nulls[15] = { [14] = true };

	values[0] = CStringGetTextDatum(job->call.model);
	values[1] = Int32GetDatum(version->version);
	values[2] = BoolGetDatum(deployed);
	values[3] = CStringGetTextDatum(tasks[r->task]);
	values[4] = CStringGetTextDatum(r->metric->name);
	put_number(values, nulls, 5, r->score.value);
	put_number(values, nulls, 6, r->score.low);
	put_number(values, nulls, 7, r->score.high);
	put_number(values, nulls, 8, r->baseline);
	values[9] = CStringGetTextDatum(r->algorithm);
	values[10] = Int32GetDatum(r->n_trials);
	values[11] = Int64GetDatum(r->rows_train + r->rows_test);
	values[12] = Int32GetDatum(r->n_features);
	values[13] = Float8GetDatum(rint((pgml_now() - job->started) * 100) / 100);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The row of a training that a background worker will do. */
static void
return_job(ReturnSetInfo *rsinfo, const char *model, int64 job_id)
{
	Datum values[15] = { CStringGetTextDatum(model), [14] = Int64GetDatum(job_id) };
	bool nulls[15];

	memset(nulls, true, sizeof(nulls));
	nulls[0] = nulls[14] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* 25006 and 25000 where a training cannot store anything. */
static void
require_writable(void)
{
	PreventCommandIfReadOnly("automl_train()");
	PreventCommandDuringRecovery("automl_train()");
	if (IsInParallelMode())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
						errmsg("automl_train() cannot run during a parallel operation"),
						errhint("Call it as SELECT * FROM automl_train(...).")));
}

/* See sql/parts/30_train.sql. */
Datum
pgml_auto_train(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto training", ALLOCSET_DEFAULT_SIZES);
	TrainCall call;
	TrainJob *job;
	bool background;

	require_writable();
	InitMaterializedSRF(fcinfo, 0);
	MemoryContext caller = MemoryContextSwitchTo(context);
	train_call_read(fcinfo, true, ARG_RESUME - ARG_BACKGROUND + 1, &call);
	job = training_create(&call);
	background = !PG_ARGISNULL(ARG_BACKGROUND) && PG_GETARG_BOOL(ARG_BACKGROUND);
	training_check(job, !background);
	if (background)
		return_job(rsinfo, call.model,
				   jobs_queue(job, !PG_ARGISNULL(ARG_RESUME) && PG_GETARG_BOOL(ARG_RESUME)));
	else
	{
		CatalogVersion version;
		bool deployed;

		training_read(job);
		training_compute(job);
		version = training_store(job, &deployed);
		return_row(rsinfo, job, &version, deployed);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}
