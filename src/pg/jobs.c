/*
 * jobs.c - trainings in the background: queue, look for what is due, start, cancel, wait.
 */
#include "pg/jobs.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "pg/catalog.h"
#include "pg/catalog_jobs.h"
#include "pg/catalog_schedules.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/json_text.h"
#include "pg/schedules.h"
#include "pg/source.h"
#include "pg/wake.h"

#define WAIT_MS 100

/* After which a launcher tries again to start what had no worker. */
#define RETRY_SECONDS 60

/* Jobs started at once, at most. */
#define MAX_STARTED 64

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_cancel_job);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_wait_job);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_job_is_alive);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_run_due);

/* A job queued by the running transaction, and the subtransaction that did it. */
typedef struct Queued
{
	struct Queued *next;
	JobWorker worker;
	SubTransactionId subid;
} Queued;

static Queued *queued; /* in TopTransactionContext */

/* ---- workers ---- */

/* Register a worker; false when there is none to spare. */
static bool
start_worker(const JobWorker *job)
{
	BackgroundWorker worker = { .bgw_flags =
									BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
								.bgw_start_time = BgWorkerStart_RecoveryFinished,
								.bgw_restart_time = BGW_NEVER_RESTART };

	StaticAssertStmt(sizeof(JobWorker) <= BGW_EXTRALEN, "a worker's job fits");
	/* A worker of no role would be a superuser's. */
	if (!OidIsValid(job->role))
		elog(ERROR, "job " INT64_FORMAT " has no role", job->job_id);
	snprintf(worker.bgw_name, BGW_MAXLEN, "pgml_auto job " INT64_FORMAT, job->job_id);
	strlcpy(worker.bgw_type, "pgml_auto job", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "$libdir/pgml_auto", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pgml_auto_job_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, job, sizeof(*job));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Ask the worker of a job that runs to stop; false when there is none. */
static bool
signal_worker(int64 job_id)
{
	int pid = catalog_job_worker(job_id);

	return pid != 0 && BackendPidGetProc(pid) != NULL && kill(pid, SIGINT) == 0;
}

/* Say that a job has to wait. */
static void
warn_no_worker(void)
{
	/* Where there is a launcher it is not for long. */
	wake_send(MyDatabaseId, GetCurrentTimestamp() + RETRY_SECONDS * USECS_PER_SEC, false);
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("no background worker is free for the job, which stays queued"),
			 errhint("It is started when another job ends, or by automl_run_due(). Perhaps "
					 "max_worker_processes is too low.")));
}

int
jobs_find_due(TimestampTz now, DueJobs *due)
{
	due->database = MyDatabaseId;
	catalog_tidy_jobs(pgml_job_retention_days());
	due->n_cancelled = schedules_queue_due(now, &due->cancelled);
	/* Also what has been queued just now. */
	catalog_tidy_jobs(pgml_job_retention_days());
	catalog_settle_runs(now);
	due->job_ids = palloc(MAX_STARTED * sizeof(int64));
	due->roles = palloc(MAX_STARTED * sizeof(Oid));
	due->n = catalog_waiting_jobs(now, Min(pgml_max_jobs(), MAX_STARTED), due->job_ids, due->roles);
	for (int i = 0; i < due->n_cancelled; i++)
		(void) signal_worker(due->cancelled[i]);
	due->next = catalog_next_due(now, &due->waiting);
	return due->n;
}

int
jobs_start(const DueJobs *due)
{
	for (int i = 0; i < due->n; i++)
	{
		JobWorker worker = { due->database, due->roles[i], due->job_ids[i] };

		if (!start_worker(&worker))
		{
			warn_no_worker();
			return i;
		}
	}
	return due->n;
}

/* ---- at the end of the transaction ---- */

/* Start the workers of jobs that are committed now. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	bool started = true;

	(void) arg;
	if (event == XACT_EVENT_COMMIT && pgml_enabled())
		for (const Queued *q = queued; q != NULL && started; q = q->next)
			started = start_worker(&q->worker);
	if (event == XACT_EVENT_COMMIT && queued != NULL && !pgml_enabled())
		ereport(WARNING, (errcode(ERRCODE_WARNING),
						  errmsg("the job stays queued: pgml_auto.enabled is off")));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		queued = NULL;
	if (!started)
		warn_no_worker();
	if (event == XACT_EVENT_PRE_PREPARE && queued != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot prepare a transaction that has queued a job")));
}

/* Forget the jobs of a subtransaction that is rolled back; its parent's are those of one that is not. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					  void *arg)
{
	Queued **link = &queued;

	(void) arg;
	while (*link != NULL)
	{
		Queued *q = *link;

		if (q->subid == subid && event == SUBXACT_EVENT_ABORT_SUB)
			*link = q->next;
		else
		{
			if (q->subid == subid && event == SUBXACT_EVENT_COMMIT_SUB)
				q->subid = parent;
			link = &q->next;
		}
	}
}

/* Remember a job for the end of the transaction. */
static void
start_at_commit(int64 job_id)
{
	static bool registered = false;
	Queued *q = MemoryContextAlloc(TopTransactionContext, sizeof(Queued));

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	*q = (Queued){ queued, { MyDatabaseId, GetUserId(), job_id }, GetCurrentSubTransactionId() };
	queued = q;
}

/* ---- queueing ---- */

/* Settings that decide what the data is, and what a training may use. */
static const char *const session_settings[] = {
	"search_path",
	"TimeZone",
	"DateStyle",
	"IntervalStyle",
	"standard_conforming_strings",
	"row_security",
	"pgml_auto.max_threads",
};

Jsonb *
jobs_describe_session(void)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (size_t i = 0; i < lengthof(session_settings); i++)
	{
		json_key(&out, session_settings[i]);
		/* What this role may have: a schedule's worker is of the owner, who may have more. */
		if (strcmp(session_settings[i], "pgml_auto.max_threads") == 0)
			json_string(&out, psprintf("%d", pgml_max_threads()));
		else
			json_string(&out, GetConfigOptionByName(session_settings[i], NULL, false));
	}
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

void
jobs_apply_session(const Jsonb *session, bool scheduled)
{
	for (size_t i = 0; i < lengthof(session_settings); i++)
	{
		const char *value = json_get_text(session, session_settings[i]);

		if (value != NULL)
			SetConfigOption(session_settings[i], value, PGC_USERSET, PGC_S_SESSION);
	}
	/* The stored source has a path of its own; whoever has scheduled the training is not to set that of its owner. */
	if (scheduled)
		SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
}

#if PG_VERSION_NUM < 170000
/* Whether sessions of a role can begin. */
static bool
can_login(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return login;
}
#endif

static bool
may_connect(Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, MyDatabaseId, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(MyDatabaseId, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

void
jobs_refuse_restricted(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot queue a job within a security-restricted operation")));
}

/* 0A000 and 42501 for a role that no worker can be of. */
static void
check_worker_role(Oid role)
{
	char *name = GetUserNameFromId(role, false);

#if PG_VERSION_NUM < 170000
	if (!can_login(role))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("role \"%s\" cannot log in, so no worker can train as it", name),
			 errhint(
				 "PostgreSQL 17 and later can. ALTER ROLE %s LOGIN, or train in the foreground.",
				 quote_identifier(name))));
#endif
	if (!may_connect(role))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("role \"%s\" may not connect to database \"%s\"", name,
							   get_database_name(MyDatabaseId)),
						errdetail("A worker connects as the role it trains for."),
						errhint("GRANT CONNECT ON DATABASE %s TO %s, or train in the foreground.",
								quote_identifier(get_database_name(MyDatabaseId)),
								quote_identifier(name))));
}

void
jobs_check_worker_role(const char *name)
{
	check_worker_role(get_role_oid(name, false));
}

/* 0A000 for what another session cannot read, or must not do; 42501 for what this role must not. */
static void
check_background(const TrainJob *training)
{
	PgmlSource source;

	jobs_refuse_restricted();
	check_worker_role(GetUserId());
	source = pgml_source_resolve(training->source);
	if (OidIsValid(source.relid) && isTempNamespace(get_rel_namespace(source.relid)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot train on a temporary table in the background"),
						errdetail("Other sessions cannot read it."),
						errhint("Train in the foreground, or on a table that is not temporary.")));
}

int64
jobs_queue(const TrainJob *training, bool resume)
{
	CatalogJob job = { .model = training->call.model,
					   .data = training->call.data,
					   .arguments = training->call.given,
					   .session = jobs_describe_session(),
					   .resume = resume };
	int64 job_id;

	check_background(training);
	job_id = catalog_insert_job(&job, pgml_max_queued_jobs(), pgml_max_queued_jobs_per_role());
	start_at_commit(job_id);
	return job_id;
}

/* ---- SQL functions ---- */

/* 22004 when there is no job number. */
static int64
required_job(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("job must not be NULL"),
						errhint("See SELECT job, model, state FROM pgml_auto.jobs.")));
	return PG_GETARG_INT64(0);
}

/* automl_cancel(job bigint): whether there was something to cancel. */
Datum
pgml_auto_cancel_job(PG_FUNCTION_ARGS)
{
	int64 job_id = required_job(fcinfo);
	int pid;
	char *state = catalog_job_state(job_id, &pid);

	PreventCommandIfReadOnly("automl_cancel()");
	PreventCommandDuringRecovery("automl_cancel()");
	if (strcmp(state, "queued") == 0 && catalog_cancel_queued(job_id))
		PG_RETURN_BOOL(true);
	/* It may have been started just now. */
	PG_RETURN_BOOL(signal_worker(job_id));
}

/* automl_wait(job bigint, timeout interval): the state in which the job ended, or is at the timeout. */
Datum
pgml_auto_wait_job(PG_FUNCTION_ARGS)
{
	int64 job_id = required_job(fcinfo);
	TimestampTz until = DT_NOEND;
	char *state;
	int pid;

	for (const Queued *q = queued; q != NULL; q = q->next)
		if (q->worker.job_id == job_id)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("job " INT64_FORMAT
								   " starts when the transaction that queued it is committed",
								   job_id),
							errhint("Call automl_wait() in a transaction of its own.")));
	if (!PG_ARGISNULL(1))
		until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
														TimestampTzGetDatum(GetCurrentTimestamp()),
														PG_GETARG_DATUM(1)));
	for (;;)
	{
		bool running;

		state = catalog_job_state(job_id, &pid);
		running = strcmp(state, "running") == 0;
		if (running && !catalog_job_is_alive(job_id))
		{
			/* It may have ended between the two looks. */
			state = catalog_job_state(job_id, &pid);
			if (strcmp(state, "running") == 0)
				PG_RETURN_TEXT_P(cstring_to_text("interrupted"));
			continue;
		}
		if ((!running && strcmp(state, "queued") != 0) || GetCurrentTimestamp() >= until)
			PG_RETURN_TEXT_P(cstring_to_text(state));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* pgml_auto.job_is_alive(job bigint): whether a worker holds the job; for the view of jobs. */
Datum
pgml_auto_job_is_alive(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(catalog_job_is_alive(PG_GETARG_INT64(0)));
}

/* ---- looking for what is due ---- */

/* Register a worker that looks; NULL when there is none to spare. */
static BackgroundWorkerHandle *
start_look(const LookWorker *look)
{
	BackgroundWorker worker = { .bgw_flags =
									BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
								.bgw_start_time = BgWorkerStart_RecoveryFinished,
								.bgw_restart_time = BGW_NEVER_RESTART,
								.bgw_name = "pgml_auto look for due jobs",
								.bgw_type = "pgml_auto look",
								.bgw_library_name = "$libdir/pgml_auto",
								.bgw_function_name = "pgml_auto_look_main",
								.bgw_notify_pid = MyProcPid };
	BackgroundWorkerHandle *handle = NULL;

	StaticAssertStmt(sizeof(LookWorker) <= BGW_EXTRALEN, "what a look is told fits");
	memcpy(worker.bgw_extra, look, sizeof(*look));
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

BackgroundWorkerHandle *
jobs_start_look(Oid database)
{
	LookWorker look = { .database = database, .result = DSM_HANDLE_INVALID, .now = DT_NOBEGIN };

	return start_look(&look);
}

/* Wait for the end of a look; 57P01 with the postmaster's. */
static void
wait_for_look(BackgroundWorkerHandle *handle)
{
	if (WaitForBackgroundWorkerShutdown(handle) != BGWH_STOPPED)
		ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
						errmsg("the server ended while jobs were looked for")));
}

/*
 * automl_run_due(now): queue what is due and start workers for jobs that wait; how many.  A worker does it in transactions of its own:
 * were it done here, a transaction kept open would keep rows of the queue from all others.
 */
Datum
pgml_auto_run_due(PG_FUNCTION_ARGS)
{
	LookWorker look = { .database = MyDatabaseId, .now = DT_NOBEGIN };
	BackgroundWorkerHandle *handle;
	dsm_segment *segment;
	LookResult *result;
	int started;

	PreventCommandIfReadOnly("automl_run_due()");
	PreventCommandDuringRecovery("automl_run_due()");
	(void) catalog_extension();
	if (!PG_ARGISNULL(0))
	{
		look.now = PG_GETARG_TIMESTAMPTZ(0);
		if (!superuser() || TIMESTAMP_NOT_FINITE(look.now))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only superusers may say what time it is, and it must be finite"),
					 errhint("Leave now out.")));
	}
	if (!pgml_enabled())
	{
		ereport(NOTICE, (errmsg("nothing is started: pgml_auto.enabled is off")));
		PG_RETURN_INT32(0);
	}
	segment = dsm_create(sizeof(LookResult), 0);
	result = dsm_segment_address(segment);
	memset(result, 0, sizeof(*result));
	look.result = dsm_segment_handle(segment);
	handle = start_look(&look);
	if (handle == NULL)
	{
		dsm_detach(segment);
		warn_no_worker();
		PG_RETURN_INT32(0);
	}
	wait_for_look(handle);
	started = result->done ? result->started : -1;
	if (result->no_worker)
		warn_no_worker();
	dsm_detach(segment);
	if (started < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("the worker that looks for due jobs has failed"),
						errhint("See the server's log.")));
	PG_RETURN_INT32(started);
}
