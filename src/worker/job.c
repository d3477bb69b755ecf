/*
 * job.c - the background worker that does one queued training, as the role that queued it.
 *
 * Three transactions: claim the job and read the data; compute, outside of any, so that no snapshot keeps dead rows from being
 * removed; store the version and the job's end.  What fails is written down in a transaction of its own.  Killed or
 * terminated, a worker leaves a job that says running and that nobody holds, which is how others see that it was interrupted.
 *
 * At its end the worker starts those that wait; see pg/jobs.h.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/catalog_jobs.h"
#include "pg/guc.h"
#include "pg/jobs.h"
#include "pg/progress.h"

PGDLLEXPORT void pgml_auto_job_main(Datum arg) __attribute__((noreturn));

/*
 * What the role has set for its transactions is not for those that keep the queue: a job of a role whose transactions are read only
 * by default could be neither claimed nor ended.
 */
static void
override_role_settings(void)
{
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	/* Who queued the job was this role, and not the one it becomes when it logs in. */
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
}

/* The job has ended: to be cancelled once more must not keep that from being written down, nor the next job from starting. */
static void
ignore_cancel(void)
{
	pqsignal(SIGINT, SIG_IGN);
	QueryCancelPending = false;
}

/* Begin a transaction, in which context stays the current one. */
static void
begin(MemoryContext context)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
}

static void
commit(MemoryContext context)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	MemoryContextSwitchTo(context);
}

/* A slot of those that may run at once; 0 when all are taken. */
static int
take_slot(void)
{
	for (int slot = 1; slot <= pgml_max_jobs(); slot++)
		if (catalog_lock_slot(slot))
			return slot;
	return 0;
}

/* 42704 when the role was dropped meanwhile. */
static void
check_role(const CatalogJob *job)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(GetUserId())))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\" no longer exists", job->role)));
}

/* Read, compute, store.  Starts and ends outside of transactions. */
static void
train(const CatalogJob *job, MemoryContext context)
{
	TrainCall call = { job->model, job->data, job->arguments };
	TrainJob *training;
	CatalogVersion version;
	CatalogJobEnd end = { .state = "succeeded" };
	bool deployed;

	begin(context);
	jobs_apply_session(job->session);
	catalog_hold_name(job->model);
	training = training_create(&call);
	training_check(training, true);
	training_read(training);
	commit(context);

	training_compute(training);

	begin(context);
	check_role(job);
	version = training_store(training, &deployed);
	end.version = version.version;
	catalog_end_job(job->job_id, &end);
	commit(context);
}

/* Write down why the job did not succeed. */
static void
record_failure(int64 job_id, const ErrorData *error, MemoryContext context)
{
	CatalogJobEnd end = { .state =
							  error->sqlerrcode == ERRCODE_QUERY_CANCELED ? "cancelled" : "failed",
						  .sqlstate = unpack_sql_state(error->sqlerrcode),
						  .message = error->message,
						  .detail = error->detail,
						  .hint = error->hint };

	begin(context);
	catalog_end_job(job_id, &end);
	commit(context);
}

/* Do the job; an error ends the job, not the worker. */
static void
run(const CatalogJob *job, MemoryContext context)
{
	PG_TRY();
	{
		pgstat_report_activity(STATE_RUNNING, psprintf("training of model \"%s\"", job->model));
		train(job, context);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		ignore_cancel();
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
		MemoryContextSwitchTo(context);
		record_failure(job->job_id, error, context);
	}
	PG_END_TRY();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Claim the job; false when somebody else has. */
static bool
claim(int64 job_id, MemoryContext context, CatalogJob *job)
{
	bool claimed;

	begin(context);
	claimed = catalog_claim_job(job_id, job);
	commit(context);
	return claimed;
}

/* Entry point, see start_worker() in pg/jobs.c. */
void
pgml_auto_job_main(Datum arg)
{
	JobWorker self;
	CatalogJob job;
	MemoryContext context;
	int slot;

	(void) arg;
	memcpy(&self, MyBgworkerEntry->bgw_extra, sizeof(self));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
	BackgroundWorkerInitializeConnectionByOid(self.database, self.role,
											  BGWORKER_BYPASS_ROLELOGINCHECK);
#else
	BackgroundWorkerInitializeConnectionByOid(self.database, self.role, 0);
#endif
	override_role_settings();
	context = AllocSetContextCreate(TopMemoryContext, "pgml_auto job", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	begin(context);
	slot = take_slot();
	commit(context);
	if (slot == 0)
		proc_exit(0); /* whoever has one starts this job when done */
	if (claim(self.job_id, context, &job))
		run(&job, context);
	ignore_cancel();
	begin(context);
	catalog_unlock_slot(slot);
	commit(context);
	begin(context);
	(void) jobs_start_waiting();
	commit(context);
	proc_exit(0);
}
