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
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "pg/catalog.h"
#include "pg/catalog_jobs.h"
#include "pg/driver.h"
#include "pg/guc.h"
#include "pg/jobs.h"
#include "pg/progress.h"
#include "pg/wake.h"
#include "worker/worker.h"

PGDLLEXPORT void pgml_auto_job_main(Datum arg) __attribute__((noreturn));

static volatile sig_atomic_t out_of_time = false;
static bool has_slot = false;

/* 55000 when the extension is gone. */
static void
begin(MemoryContext context)
{
	if (!worker_begin(context))
		(void) catalog_extension();
}

/* The job has ended: to be cancelled once more must not keep that from being written down, nor the next job from starting. */
static void
ignore_cancel(void)
{
	pqsignal(SIGINT, SIG_IGN);
	QueryCancelPending = false;
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

/* The run has taken as long as it may: stop like a cancel does. */
static void
stop_in_time(void)
{
	out_of_time = true;
	kill(MyProcPid, SIGINT);
}

/* While the training computes: 57014 when background work is turned off. */
static void
look_at_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (!pgml_enabled())
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("pgml_auto.enabled was turned off"),
						errhint("Train again when it is on.")));
}

static bool
role_is_gone(void)
{
	return !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(GetUserId()));
}

/* 42704 when the role was dropped meanwhile. */
static void
check_role(const CatalogJob *job)
{
	if (role_is_gone())
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
	jobs_apply_session(job->session, job->scheduled);
	catalog_hold_name(job->model);
	training = training_create(&call);
	training->scheduled = job->scheduled;
	training->for_other = job->restricted;
	training_check(training, true);
	training_read(training);
	worker_commit(context);

	pgml_driver_on_wait(look_at_settings);
	training_compute(training);

	begin(context);
	check_role(job);
	version = training_store(training, &deployed);
	end.version = version.version;
	end.deployed = deployed;
	end.reason = training->gate_reason;
	catalog_end_job(job->job_id, &end);
	worker_commit(context);
}

/* Write down why the job did not succeed. */
static void
record_failure(const CatalogJob *job, const ErrorData *error, MemoryContext context)
{
	CatalogJobEnd end = { .state =
							  error->sqlerrcode == ERRCODE_QUERY_CANCELED ? "cancelled" : "failed",
						  .sqlstate = unpack_sql_state(error->sqlerrcode),
						  .message = error->message,
						  .detail = error->detail,
						  .hint = error->hint };

	if (out_of_time && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		end.state = "failed";
		end.message = "the run took longer than its time_limit";
		end.hint = "Raise time_limit, or train within a shorter time_budget.";
	}
	begin(context);
	if (role_is_gone())
	{
		/* What fails then for that reason speaks of the role by its number, or of a privilege. */
		end.state = "failed";
		end.sqlstate = unpack_sql_state(ERRCODE_UNDEFINED_OBJECT);
		end.message = psprintf("role \"%s\" no longer exists", job->role);
		end.detail = end.hint = NULL;
	}
	catalog_end_job(job->job_id, &end);
	worker_commit(context);
}

/* Do the job; an error ends the job, not the worker. */
static void
run(const CatalogJob *job, MemoryContext context)
{
	PG_TRY();
	{
		pgstat_report_activity(STATE_RUNNING, psprintf("training of model \"%s\"", job->model));
		if (job->time_limit_ms > 0)
			enable_timeout_after(RegisterTimeout(USER_TIMEOUT, stop_in_time),
								 (int) Min(job->time_limit_ms, PG_INT32_MAX));
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
		record_failure(job, error, context);
	}
	PG_END_TRY();
	disable_all_timeouts(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Claim the job; false when somebody else has. */
static bool
claim(int64 job_id, MemoryContext context, CatalogJob *job)
{
	bool claimed;

	begin(context);
	claimed = catalog_claim_job(job_id, job);
	worker_commit(context);
	return claimed;
}

/*
 * Terminated, the worker cannot look for what comes next: another one does.  Not after a worker that could not even begin, or there
 * would be no end to that.
 */
static void
leave_look(int code, Datum database)
{
	if (code == 0 || !has_slot || !pgml_enabled())
		return;
	if (wake_has_launcher())
		wake_send(DatumGetObjectId(database), DT_NOBEGIN, false);
	else
		(void) jobs_start_look(DatumGetObjectId(database));
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
	/* Called after what connecting will register, so that this worker's locks are given back by then. */
	before_shmem_exit(leave_look, ObjectIdGetDatum(self.database));
	worker_connect(self.database, self.role);
	context = AllocSetContextCreate(TopMemoryContext, "pgml_auto job", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	begin(context);
	slot = pgml_enabled() ? take_slot() : 0;
	worker_commit(context);
	if (slot == 0)
		proc_exit(0); /* whoever has one starts this job when done */
	has_slot = true;
	if (claim(self.job_id, context, &job))
		run(&job, context);
	ignore_cancel();
	begin(context);
	catalog_unlock_slot(slot);
	worker_commit(context);
	(void) worker_look(GetCurrentTimestamp(), context);
	proc_exit(0);
}
