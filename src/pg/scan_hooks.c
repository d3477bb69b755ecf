/*
 * scan_hooks.c - where the rewriting of plans begins: the functions' support function and the executor's hooks.
 *
 * Plans are rewritten when they start to be executed, not when they are made: the first statement of a session loads
 * this library only while it is being planned.  Statements without our functions must cost nothing, so the support
 * function notes the functions seen by the planner, by the hash values that plans record for what they depend on.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/supportnodes.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "pg/compat.h"
#include "pg/scan.h"

#define SEEN_BITS 4096

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_support);

static bool block_scoring = true;
static uint8 seen[SEEN_BITS / 8]; /* hash values of our functions; others may share a bit */
static const EState *reading_all; /* of the ExecutorRun() that reads everything */

static ExecutorStart_hook_type previous_start;
static ExecutorRun_hook_type previous_run;

/* ---- which statements ---------------------------------------------------------------------- */

/*
 * Planner support for the functions that read rows.  Changes nothing: it is there to be called, for a function that is
 * in the statement being planned.
 */
Datum
pgml_auto_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestSimplify))
	{
		Oid function = ((SupportRequestSimplify *) request)->fcall->funcid;
		uint32 bit = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)) % SEEN_BITS;

		seen[bit / 8] |= 1 << bit % 8;
	}
	PG_RETURN_POINTER(NULL);
}

/* Whether the plan may call our functions. */
static bool
may_predict(const PlannedStmt *stmt)
{
	ListCell *cell;

	foreach(cell, stmt->invalItems)
	{
		const PlanInvalItem *item = lfirst(cell);
		uint32 bit = item->hashValue % SEEN_BITS;

		if (item->cacheId == PROCOID && seen[bit / 8] & 1 << bit % 8)
			return true;
	}
	return false;
}

/* ---- hooks --------------------------------------------------------------------------------- */

/* Go on with the start of an execution. */
static void
start(QueryDesc *query, int eflags)
{
	if (previous_start != NULL)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/*
 * Workers execute what their leader has rewritten.  The new plan lives as long as the execution; nobody looks at it
 * after that.
 */
static void
executor_start(QueryDesc *query, int eflags)
{
	MemoryContext context;
	MemoryContext old;
	PlannedStmt *stmt;
	int last_node_id;

	if (!block_scoring || IsParallelWorker() || query->plannedstmt->planTree == NULL ||
		!may_predict(query->plannedstmt))
	{
		start(query, eflags);
		return;
	}
	if (!scan_is_worth_it(query->plannedstmt, &last_node_id))
	{
		start(query, eflags);
		scan_single(query->planstate);
		return;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "pgml_auto plan", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	stmt = scan_rewrite(query->plannedstmt, last_node_id);
	MemoryContextSwitchTo(old);
	if (stmt == NULL)
	{
		MemoryContextDelete(context);
		start(query, eflags);
		return;
	}
	query->plannedstmt = stmt;
	start(query, eflags);
	scan_link_limits(query->planstate);
	MemoryContextSetParent(context, query->estate->es_query_cxt);
}

/* Go on with an execution. */
static void
run(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	if (previous_run != NULL)
		pgml_executor_run(previous_run, query, direction, count, execute_once);
	else
		pgml_executor_run(standard_ExecutorRun, query, direction, count, execute_once);
}

/*
 * Note whether everything is read.  When an error ends an inner execution the note of the outer one is lost, which makes that
 * read less far ahead, no more.
 */
static void
#if PG_VERSION_NUM >= 180000
executor_run(QueryDesc *query, ScanDirection direction, uint64 count)
#else
executor_run(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
#endif
{
	const EState *outer = reading_all;

#if PG_VERSION_NUM >= 180000
	const bool execute_once = false;
#endif

	reading_all = count == 0 ? query->estate : NULL;
	run(query, direction, count, execute_once);
	reading_all = outer;
}

bool
scan_reads_all(const EState *estate)
{
	return reading_all == estate;
}

void
pgml_scan_init(void)
{
	DefineCustomBoolVariable(
		"pgml_auto.block_scoring", "Scores many rows at a time in plain SQL.",
		"Off, every call of predict() and its like is made by itself. The results are the same.",
		&block_scoring, true, PGC_USERSET, 0, NULL, NULL, NULL);
	RegisterCustomScanMethods(&scan_methods);
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
