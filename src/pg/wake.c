/*
 * wake.c - messages to the launcher, in shared memory.
 *
 * There is one message a database, and the earliest instant counts, so that none is lost by another; when there are
 * more databases than messages, the launcher is told to look at all of them.
 */
#include "pg/wake.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "pg/compat.h"

/* Seconds after which a launcher that has failed is started again. */
#define RESTART_SECONDS 10

typedef struct WakeBox
{
	slock_t lock;
	Latch *launcher; /* NULL: none listens */
	bool lost;
	int n;
	WakeMessage messages[WAKE_MESSAGES];
} WakeBox;

static WakeBox *box; /* NULL without preloading */
static bool pending; /* the running transaction has changed what is to be done */
static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(WakeBox)));
}

/* Also after a crash, when the postmaster makes shared memory anew. */
static void
make_box(void)
{
	bool found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	box = ShmemInitStruct("pgml_auto launcher", sizeof(WakeBox), &found);
	if (!found)
	{
		memset(box, 0, sizeof(WakeBox));
		SpinLockInit(&box->lock);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
wake_init(void)
{
	BackgroundWorker launcher = { .bgw_flags =
									  BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
								  .bgw_start_time = BgWorkerStart_RecoveryFinished,
								  .bgw_restart_time = RESTART_SECONDS,
								  .bgw_name = "pgml_auto launcher",
								  .bgw_type = "pgml_auto launcher",
								  .bgw_library_name = "$libdir/pgml_auto",
								  .bgw_function_name = "pgml_auto_launcher_main" };

	/* pg_upgrade's servers are not for users: nothing of ours may change what is carried over. */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = make_box;
	RegisterBackgroundWorker(&launcher);
}

/* Put a message into the box; the caller holds the lock. */
static void
put_message(Oid database, TimestampTz due, bool looked)
{
	WakeMessage *m = box->messages;

	while (m < box->messages + box->n && m->database != database)
		m++;
	if (m == box->messages + WAKE_MESSAGES)
		box->lost = true;
	else if (m == box->messages + box->n)
	{
		*m = (WakeMessage){ database, due, looked };
		box->n++;
	}
	else
	{
		m->due = Min(m->due, due);
		m->looked = m->looked || looked;
	}
}

void
wake_send(Oid database, TimestampTz due, bool looked)
{
	Latch *launcher;

	if (box == NULL)
		return;
	SpinLockAcquire(&box->lock);
	launcher = box->launcher;
	if (launcher != NULL)
		put_message(database, due, looked);
	SpinLockRelease(&box->lock);
	/* The latch of a process slot: it is there for ever, whoever has it. */
	if (launcher != NULL)
		SetLatch(launcher);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_COMMIT && pending)
		wake_send(MyDatabaseId, DT_NOBEGIN, false);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		pending = false;
	if (event == XACT_EVENT_PRE_PREPARE && pending)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot prepare a transaction that has changed a schedule")));
}

void
wake_at_commit(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	pending = true;
}

/* The launcher ends: nobody listens. */
static void
stop_listening(int code, Datum arg)
{
	(void) code;
	(void) arg;
	SpinLockAcquire(&box->lock);
	box->launcher = NULL;
	SpinLockRelease(&box->lock);
}

void
wake_listen(void)
{
	on_shmem_exit(stop_listening, (Datum) 0);
	SpinLockAcquire(&box->lock);
	box->launcher = MyLatch;
	box->lost = false;
	box->n = 0;
	SpinLockRelease(&box->lock);
}

int
wake_receive(WakeMessage *messages, bool *lost)
{
	int n;

	SpinLockAcquire(&box->lock);
	n = box->n;
	*lost = box->lost;
	memcpy(messages, box->messages, n * sizeof(WakeMessage));
	box->n = 0;
	box->lost = false;
	SpinLockRelease(&box->lock);
	return n;
}

bool
wake_has_launcher(void)
{
	bool there;

	if (box == NULL)
		return false;
	SpinLockAcquire(&box->lock);
	there = box->launcher != NULL;
	SpinLockRelease(&box->lock);
	return there;
}
