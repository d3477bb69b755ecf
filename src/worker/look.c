/*
 * look.c - the short-lived worker that looks what is due in a database, and starts it.
 *
 * It is started by the launcher, by automl_run_due(), and by a job's worker that was terminated and cannot look itself.  It connects as
 * a superuser, runs nothing but our own statements on our own tables, and ends.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "worker/worker.h"

PGDLLEXPORT void pgml_auto_look_main(Datum arg) __attribute__((noreturn));

/* Where the one who asked wants the result; NULL when nobody does. */
static LookResult *
attach_result(dsm_handle handle)
{
	dsm_segment *segment = NULL;

	if (handle != DSM_HANDLE_INVALID)
		segment = dsm_attach(handle);
	if (segment == NULL)
		return NULL;
	dsm_pin_mapping(segment);
	return dsm_segment_address(segment);
}

/* Entry point, see start_look() in pg/jobs.c. */
void
pgml_auto_look_main(Datum arg)
{
	LookWorker self;
	LookResult *result, found;
	MemoryContext context;

	(void) arg;
	memcpy(&self, MyBgworkerEntry->bgw_extra, sizeof(self));
	worker_connect(self.database, InvalidOid);
	/* Whoever locks our tables must not keep the launcher from other databases. */
	SetConfigOption("lock_timeout", "10s", PGC_SUSET, PGC_S_OVERRIDE);
	context = AllocSetContextCreate(TopMemoryContext, "pgml_auto look", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_RUNNING, "looking for what is due");
	(void) worker_begin(context);
	result = attach_result(self.result);
	worker_commit(context);
	found = worker_look(self.now == DT_NOBEGIN ? GetCurrentTimestamp() : self.now, context);
	if (result != NULL)
		*result = found;
	proc_exit(0);
}
