/*
 * worker.c - see worker.h.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pg/catalog.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/wake.h"

/* After which jobs that wait are looked at again: perhaps the worker of one could not begin. */
#define WAITING_SECONDS 60

/*
 * What the role, or the database, has set for transactions is not for those that keep the queue: a job of a role whose transactions
 * are read only by default could be neither claimed nor ended.
 */
static void
override_settings(void)
{
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	/* Who queued the job was this role, and not the one it becomes when it logs in. */
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
}

void
worker_connect(Oid database, Oid role)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
	BackgroundWorkerInitializeConnectionByOid(database, role, BGWORKER_BYPASS_ROLELOGINCHECK);
#else
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
#endif
	override_settings();
}

bool
worker_begin(MemoryContext context)
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
	return catalog_hold_extension();
}

void
worker_commit(MemoryContext context)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	MemoryContextSwitchTo(context);
}

/* In a transaction; false when the extension is gone. */
static bool
find_due(TimestampTz now, MemoryContext context, DueJobs *due)
{
	bool there = worker_begin(context);

	if (there)
		(void) jobs_find_due(now, due);
	worker_commit(context);
	return there;
}

LookResult
worker_look(TimestampTz now, MemoryContext context)
{
	LookResult result = { .done = true };
	TimestampTz later;
	DueJobs due;

	if (!pgml_enabled() || !find_due(now, context, &due))
	{
		wake_send(MyDatabaseId, DT_NOEND, true);
		return result;
	}
	result.started = jobs_start(&due);
	result.no_worker = result.started < due.n;
	/* What is due still is held by somebody's transaction: not again at once. */
	later = GetCurrentTimestamp() + WAITING_SECONDS * USECS_PER_SEC;
	if (due.waiting || due.next <= now)
		due.next = due.next <= now ? later : Min(due.next, later);
	wake_send(MyDatabaseId, due.next, true);
	return result;
}
