/*
 * launcher.c - the process that has databases looked at when something is due in them.
 *
 * It runs where the library is preloaded, once a primary has finished recovery, and is connected to no database, so that it is in
 * nobody's way.  When it starts, it has every database looked at once: which have the extension is known there alone.  After
 * that it is told: by those who change schedules, when they commit, and by whoever has looked, when to look again (pg/wake.h).  In
 * between it sleeps; with nothing scheduled, for ever.
 *
 * A look is a worker of its own that ends at once (look.c).  One that fails is repeated later and later.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/jobs.h"
#include "pg/wake.h"

PGDLLEXPORT void pgml_auto_launcher_main(Datum arg) __attribute__((noreturn));

/* Looks at once. */
#define MAX_LOOKS 3

/* With something due, the longest sleep: the clock may be set, or the machine sleep. */
#define MAX_SLEEP_MS 60000

/* A look that has failed is repeated after so many seconds, each time twice as many, at most an hour. */
#define RETRY_SECONDS     30
#define MAX_RETRY_SECONDS 3600

typedef struct Database
{
	Oid oid;
	TimestampTz due;
	BackgroundWorkerHandle *look; /* NULL: none runs */
	bool looked;                  /* the look has got to its end, */
	bool ended;                   /* the worker to its */
	int failures;
} Database;

/* In TopMemoryContext; few, so that a list does. */
static Database *databases;
static int n_databases, max_databases;
static bool warned; /* that there is no worker */

static Database *
find_database(Oid oid)
{
	Database *d;

	for (d = databases; d < databases + n_databases; d++)
		if (d->oid == oid)
			return d;
	if (n_databases == max_databases)
	{
		max_databases = Max(16, 2 * max_databases);
		databases = databases == NULL ?
						MemoryContextAlloc(TopMemoryContext, max_databases * sizeof(Database)) :
						repalloc(databases, max_databases * sizeof(Database));
	}
	d = &databases[n_databases++];
	*d = (Database){ .oid = oid, .due = DT_NOEND };
	return d;
}

/* Have every database looked at that sessions can connect to, templates left out. */
static void
look_at_all(void)
{
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database->datallowconn && !database->datistemplate)
			find_database(database->oid)->due = DT_NOBEGIN;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
}

/* Whether a database is there, and can be connected to. */
static bool
is_open(Oid oid)
{
	HeapTuple tuple;
	bool open = false;

	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(oid));
	if (HeapTupleIsValid(tuple))
	{
		open = ((Form_pg_database) GETSTRUCT(tuple))->datallowconn;
		ReleaseSysCache(tuple);
	}
	CommitTransactionCommand();
	return open;
}

/* What others have said since the last time. */
static void
read_messages(void)
{
	WakeMessage messages[WAKE_MESSAGES];
	bool lost;
	int n = wake_receive(messages, &lost);

	for (int i = 0; i < n; i++)
	{
		Database *d = find_database(messages[i].database);

		d->due = Min(d->due, messages[i].due);
		d->looked = d->looked || messages[i].looked;
	}
	if (lost)
		look_at_all();
}

/* See which looks have ended; how many run. */
static int
reap_looks(void)
{
	int running = 0;

	for (Database *d = databases; d < databases + n_databases; d++)
	{
		pid_t pid;

		if (d->look == NULL)
			continue;
		d->ended = GetBackgroundWorkerPid(d->look, &pid) == BGWH_STOPPED;
		running += !d->ended;
	}
	return running;
}

/* A look that has ended has said so, or has failed; after reap_looks() and read_messages(), in this order. */
static void
judge_looks(void)
{
	for (Database *d = databases; d < databases + n_databases; d++)
	{
		if (d->look == NULL || !d->ended)
			continue;
		pfree(d->look);
		d->look = NULL;
		d->ended = false;
		if (d->looked)
			d->failures = 0;
		else if (!is_open(d->oid)) /* dropped under it */
			d->due = DT_NOEND;
		else
			d->due =
				GetCurrentTimestamp() +
				Min(RETRY_SECONDS << Min(d->failures++, 10), MAX_RETRY_SECONDS) * USECS_PER_SEC;
	}
}

/* Say once that looks have to wait for a worker. */
static void
warn_no_worker(void)
{
	if (!warned)
		ereport(WARNING, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						  errmsg("no background worker is free to look for due trainings"),
						  errhint("They are late until one is. Perhaps max_worker_processes is too "
								  "low.")));
	warned = true;
}

/* Look at databases whose time has come, beside so many; false when there was no worker for one. */
static bool
start_looks(TimestampTz now, int running)
{
	for (Database *d = databases; d < databases + n_databases && running < MAX_LOOKS; d++)
	{
		if (d->look != NULL || d->due > now)
			continue;
		if (!is_open(d->oid))
		{
			d->due = DT_NOEND;
			continue;
		}
		d->look = jobs_start_look(d->oid);
		if (d->look == NULL)
		{
			warn_no_worker();
			return false;
		}
		warned = false;
		d->due = DT_NOEND;
		d->looked = false;
		running++;
	}
	return true;
}

/* Forget databases of which nothing is to come. */
static void
forget_databases(void)
{
	int kept = 0;

	for (int i = 0; i < n_databases; i++)
		if (databases[i].due != DT_NOEND || databases[i].look != NULL)
			databases[kept++] = databases[i];
	n_databases = kept;
}

/* Milliseconds to sleep; -1: until somebody calls. */
static long
sleep_ms(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	bool looking = false;

	/* The end of a look wakes us, too; not for ever should that signal be lost. */
	for (const Database *d = databases; d < databases + n_databases; d++)
		if (d->look == NULL)
			next = Min(next, d->due);
		else
			looking = true;
	if (next == DT_NOEND)
		return looking ? MAX_SLEEP_MS : -1;
	/* What is due already waits for the end of a look. */
	return next <= now ? MAX_SLEEP_MS : (long) Min((next - now) / 1000 + 1, MAX_SLEEP_MS);
}

/* Sleep until the latch is set, or so long. */
static void
wait_for_news(long ms)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (ms >= 0 ? WL_TIMEOUT : 0);

	pgstat_report_activity(STATE_IDLE,
						   ms < 0 ? "nothing is due" : "waiting until something is due");
	(void) WaitLatch(MyLatch, events, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Entry point, see wake_init() in pg/wake.c. */
void
pgml_auto_launcher_main(Datum arg)
{
	(void) arg;
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("pgml_auto launcher");
	wake_listen();
	look_at_all();
	while (!ShutdownRequestPending)
	{
		long ms = -1;
		int running;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		running = reap_looks();
		read_messages();
		judge_looks();
		if (pgml_enabled())
		{
			TimestampTz now = GetCurrentTimestamp();
			bool started = start_looks(now, running);

			forget_databases();
			ms = started ? sleep_ms(now) : RETRY_SECONDS * 1000;
		}
		wait_for_news(ms);
	}
	/* Not 0, which would mean that no launcher is needed any more. */
	proc_exit(1);
}
