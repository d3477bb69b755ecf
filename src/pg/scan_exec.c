/*
 * scan_exec.c - PgmlPredict: reads rows ahead, scores them together, and evaluates its expressions row by row.
 *
 * A row is evaluated in one of two ways: with predictions in place of the calls, or with the original expressions, which is
 * what the plan would have done by itself.  The second way is taken
 *   - until it has succeeded once: only then is it known that the calls' models exist and may be used, and that it is not the
 *     call but something else that would have failed first.  Conditions that succeed open the calls of the first one, a row
 *     that passes opens all.
 *   - for rows that cannot be read without the risk of an error;
 *   - for ever, when a call cannot be served from blocks at all, as a conversion to an unusual type.
 * Blocks begin small and double, so that LIMIT has few rows read in vain.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "pg/compat.h"
#include "pg/scan.h"
#include "pg/scan_job.h"

#define FIRST_ROWS    8
#define MAX_ROW_BYTES (8 * 1024 * 1024) /* of the columns of a block */

/* Which calls may be made ahead. */
typedef enum Phase
{
	PHASE_CLOSED,
	PHASE_CONDITIONS, /* those of the first condition */
	PHASE_OPEN,
	PHASE_NEVER
} Phase;

typedef struct PredictScan
{
	CustomScanState css; /* first: the executor knows no more */
	int n_columns;
	int last_column; /* the highest that any expression uses */
	bool run_only;
	ExprState *plain_qual;
	ProjectionInfo *plain_projection;
	int n_calls;
	int n_condition_calls;
	ScanCall *calls;
	uint64 *prepared; /* serial of the model that a call is prepared for */
	int n_jobs;
	int n_condition_jobs;
	ScanJob **jobs;
	bool fixed; /* models and classes are constants */
	int n_kept;
	int *kept; /* columns that expressions with predictions need */
	Oid user;  /* that the block was scored for */
	Phase phase;

	/* The block. */
	Phase made; /* how far its calls were made ahead */
	bool
		ended; /* the last call has found no row: the position is after the last or before the first */
	bool done;   /* the node below has no more rows */
	bool single; /* it is one row, where the node below has it */
	int size;    /* of the next one */
	int room;
	int rows;
	int next;      /* the row that follows the one given last */
	Datum *values; /* of the rows, n_kept each */
	bool *nulls;
	int *scored;          /* number among the rows scored; -1: original expressions */
	Datum **plain_values; /* of such rows, all columns */
	bool **plain_nulls;
	ItemPointerData *tids;
	TupleTableSlot *tid_source; /* NULL: rows have no place */
	MemoryContext block;

	int64 total_blocks;
	int64 total_rows;
} PredictScan;

/* ---- setting up ---------------------------------------------------------------------------- */

/* The columns that expressions refer to, for the walker. */
typedef struct UsedColumns
{
	int n;
	bool *used;
} UsedColumns;

static bool
used_columns_walker(Node *node, void *arg)
{
	const UsedColumns *columns = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varno == INDEX_VAR &&
		((Var *) node)->varattno <= columns->n)
		columns->used[((Var *) node)->varattno - 1] = true;
	return expression_tree_walker(node, used_columns_walker, arg);
}

/* Mark the columns that an expression uses. */
static void
use_columns(UsedColumns *columns, void *expression)
{
	used_columns_walker(expression, columns);
}

/* Find out which columns must be read, and which of them kept. */
static void
choose_columns(PredictScan *self, CustomScan *plan)
{
	UsedColumns columns = { self->n_columns, palloc0(self->n_columns * sizeof(bool) + 1) };

	use_columns(&columns, plan->scan.plan.targetlist);
	use_columns(&columns, plan->scan.plan.qual);
	self->kept = palloc(self->n_columns * sizeof(int) + 1);
	for (int i = 0; i < self->n_columns; i++)
		if (columns.used[i])
			self->kept[self->n_kept++] = i;
	use_columns(&columns, plan->custom_exprs);
	for (int i = 0; i < self->n_columns; i++)
		if (columns.used[i])
			self->last_column = i + 1;
}

/* Number of the job for a call; a new one where no earlier call has it. */
static int
find_job(PredictScan *self, FuncExpr *call)
{
	for (int i = 0; i < self->n_jobs; i++)
		if (scan_same_job(self->jobs[i]->call, call))
			return i;
	self->jobs[self->n_jobs] = scan_job_create(call, &self->css.ss.ps);
	return self->n_jobs++;
}

/* Whether the model and the class of a call are the same in every scan. */
static bool
is_fixed(const FuncExpr *call)
{
	return IsA(linitial(call->args), Const) &&
		   (list_length(call->args) < 3 || IsA(lthird(call->args), Const));
}

static void
create_calls(PredictScan *self, List *calls)
{
	ListCell *cell;

	self->n_calls = list_length(calls);
	self->calls = palloc0(self->n_calls * sizeof(ScanCall));
	self->prepared = palloc0(self->n_calls * sizeof(uint64));
	self->jobs = palloc(self->n_calls * sizeof(ScanJob *));
	self->fixed = true;
	foreach(cell, calls)
	{
		FuncExpr *function = lfirst(cell);
		int i = foreach_current_index(cell);
		ScanCall *call = &self->calls[i];

		call->verb = predict_verb(function->funcid);
		call->job = find_job(self, function);
		call->column = self->n_columns + i;
		call->type = function->funcresulttype;
		if (call->verb == PREDICT_PROBA && list_length(function->args) > 2)
			call->class = ExecInitExpr(lthird(function->args), &self->css.ss.ps);
		self->fixed &= is_fixed(function);
		if (i < self->n_condition_calls)
			self->n_condition_jobs = self->n_jobs;
	}
}

/* Where the rows of a scan have their place in a table, ours have the same: for WHERE CURRENT OF. */
static void
share_position(PredictScan *self, PlanState *below)
{
	switch (nodeTag(below->plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
			break;
		case T_CustomScan:
			if (((CustomScan *) below->plan)->methods == &scan_methods)
				break;
			return;
		default:
			return;
	}
	self->css.ss.ss_currentRelation = ((ScanState *) below)->ss_currentRelation;
	if (self->css.ss.ss_currentRelation != NULL)
		self->tid_source = ((ScanState *) below)->ss_ScanTupleSlot;
}

static void
begin_scan(CustomScanState *css, EState *estate, int eflags)
{
	PredictScan *self = (PredictScan *) css;
	CustomScan *plan = castNode(CustomScan, css->ss.ps.plan);
	TupleDesc desc = css->ss.ss_ScanTupleSlot->tts_tupleDescriptor;

	outerPlanState(css) = ExecInitNode(outerPlan(plan), estate, eflags);
	self->n_columns = intVal(list_nth(plan->custom_private, SCAN_N_COLUMNS));
	self->n_condition_calls = intVal(list_nth(plan->custom_private, SCAN_N_CONDITION_CALLS));
	self->run_only = intVal(list_nth(plan->custom_private, SCAN_RUN_ONLY)) != 0;
	self->plain_qual =
		ExecInitQual(list_nth(plan->custom_exprs, SCAN_PLAIN_CONDITIONS), &css->ss.ps);
	self->plain_projection = ExecBuildProjectionInfo(
		list_nth(plan->custom_exprs, SCAN_PLAIN_TARGETS), css->ss.ps.ps_ExprContext,
		css->ss.ps.ps_ResultTupleSlot, &css->ss.ps, desc);
	choose_columns(self, plan);
	create_calls(self, list_nth(plan->custom_exprs, SCAN_CALLS));
	share_position(self, outerPlanState(css));
	self->block =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto rows ahead", ALLOCSET_DEFAULT_SIZES);
	self->size = FIRST_ROWS;
	memset(css->ss.ss_ScanTupleSlot->tts_isnull, true, desc->natts * sizeof(bool));
	memset(css->ss.ss_ScanTupleSlot->tts_values, 0, desc->natts * sizeof(Datum));
}

/* ---- filling the block --------------------------------------------------------------------- */

/* Show the first columns of a row to expressions. */
static void
show_columns(PredictScan *self, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, self->last_column * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, self->last_column * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	self->css.ss.ps.ps_ExprContext->ecxt_scantuple = slot;
}

/* Calls and jobs that are made ahead in a phase. */
static int
open_calls(const PredictScan *self, Phase phase)
{
	return phase == PHASE_OPEN       ? self->n_calls :
		   phase == PHASE_CONDITIONS ? self->n_condition_calls :
									   0;
}

static int
open_jobs(const PredictScan *self, Phase phase)
{
	return phase == PHASE_OPEN       ? self->n_jobs :
		   phase == PHASE_CONDITIONS ? self->n_condition_jobs :
									   0;
}

/* Get the models ready; false when a call cannot be made ahead. */
static bool
prepare_calls(PredictScan *self)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;

	self->user = GetUserId();
	for (int i = 0; i < open_jobs(self, self->phase); i++)
		scan_job_resolve(self->jobs[i], econtext);
	for (int i = 0; i < open_calls(self, self->phase); i++)
	{
		ScanJob *job = self->jobs[self->calls[i].job];

		if (!job->no_model && self->prepared[i] == job->serial)
			continue;
		if (!scan_call_prepare(&self->calls[i], job, econtext))
			return false;
		self->prepared[i] = job->serial;
	}
	return true;
}

/* Room for the columns of so many rows. */
static void
make_room(PredictScan *self, int rows)
{
	MemoryContext old = MemoryContextSwitchTo(self->css.ss.ps.state->es_query_cxt);
	Size n = (Size) rows * Max(self->last_column, 1);

	if (self->values != NULL)
	{
		pfree(self->values);
		pfree(self->nulls);
		pfree(self->scored);
		pfree(self->plain_values);
		pfree(self->plain_nulls);
		pfree(self->tids);
	}
	self->values = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	self->nulls = palloc_extended(n * sizeof(bool), MCXT_ALLOC_HUGE);
	self->scored = palloc(rows * sizeof(int));
	self->plain_values = palloc(rows * sizeof(Datum *));
	self->plain_nulls = palloc(rows * sizeof(bool *));
	self->tids = palloc(rows * sizeof(ItemPointerData));
	self->room = rows;
	MemoryContextSwitchTo(old);
}

/* Rows of the next block: twice as many as in the last, as many as the models and the memory allow. */
static int
next_size(PredictScan *self)
{
	int rows = self->size;

	for (int i = 0; i < open_jobs(self, self->phase); i++)
		rows = Min(rows, scan_job_room(self->jobs[i]));
	rows = Min(rows, Max((int) (MAX_ROW_BYTES / (Max(self->last_column, 1) * sizeof(Datum))), 1));
	self->size = Min(2 * self->size, PREDICT_BLOCK_ROWS);
	if (rows > self->room)
		make_room(self, rows);
	return rows;
}

/* Copy a value that is not NULL into the block's memory, unless it is one by itself. */
static inline Datum
copy_value(const PredictScan *self, int column, Datum value)
{
	Form_pg_attribute att =
		TupleDescAttr(self->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor, column);

	return att->attbyval ? value : datumCopy(value, false, att->attlen);
}

/* Keep all columns of a row for the original expressions. */
static void
keep_whole_row(PredictScan *self, int row, const TupleTableSlot *slot)
{
	Datum *values = palloc((self->last_column + 1) * sizeof(Datum));
	bool *nulls = palloc((self->last_column + 1) * sizeof(bool));

	for (int i = 0; i < self->last_column; i++)
	{
		nulls[i] = slot->tts_isnull[i];
		values[i] = nulls[i] ? (Datum) 0 : copy_value(self, i, slot->tts_values[i]);
	}
	self->plain_values[row] = values;
	self->plain_nulls[row] = nulls;
}

/* Keep what expressions with predictions need of a row. */
static void
keep_columns(PredictScan *self, int row, const TupleTableSlot *slot)
{
	Datum *values = self->values + (Size) row * self->n_kept;
	bool *nulls = self->nulls + (Size) row * self->n_kept;

	self->plain_values[row] = NULL;
	for (int i = 0; i < self->n_kept; i++)
	{
		int column = self->kept[i];

		nulls[i] = slot->tts_isnull[column];
		values[i] = nulls[i] ? (Datum) 0 : copy_value(self, column, slot->tts_values[column]);
	}
}

/* Read a row into all jobs; false when one of them cannot take it. */
static bool
add_to_jobs(PredictScan *self, const TupleTableSlot *slot)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;
	int n = open_jobs(self, self->made);
	bool shown = false;

	for (int i = 0; i < n; i++)
	{
		if (self->jobs[i]->n_elements > 0 && !shown)
		{
			ResetExprContext(econtext);
			show_columns(self, slot->tts_values, slot->tts_isnull);
			shown = true;
		}
		if (scan_job_add(self->jobs[i], econtext, slot->tts_values, slot->tts_isnull))
			continue;
		while (i-- > 0)
			scan_job_drop(self->jobs[i]);
		return false;
	}
	return true;
}

/* The next row from below, its columns read; NULL: there is none. */
static TupleTableSlot *
next_row(PredictScan *self)
{
	TupleTableSlot *slot = ExecProcNode(outerPlanState(self));

	if (TupIsNull(slot))
	{
		self->done = true;
		return NULL;
	}
	slot_getsomeattrs(slot, self->last_column);
	return slot;
}

/* Take one row as it comes. */
static void
fill_single(PredictScan *self)
{
	TupleTableSlot *slot = next_row(self);

	self->single = true;
	if (self->room == 0)
		make_room(self, 1);
	if (slot == NULL)
		return;
	self->plain_values[0] = slot->tts_values;
	self->plain_nulls[0] = slot->tts_isnull;
	self->scored[0] = -1;
	if (self->tid_source != NULL)
		self->tids[0] = self->tid_source->tts_tid;
	self->rows = 1;
}

/* Read rows ahead and score them. */
static void
fill_block(PredictScan *self)
{
	int size = next_size(self);
	MemoryContext old;
	int n_scored = 0;

	self->single = false;
	self->made = self->phase;
	for (int i = 0; i < open_jobs(self, self->made); i++)
		scan_job_clear(self->jobs[i]);
	while (self->rows < size)
	{
		TupleTableSlot *slot = next_row(self);
		int row = self->rows;
		bool added;

		if (slot == NULL)
			break;
		added = add_to_jobs(self, slot);
		self->scored[row] = added ? n_scored++ : -1;
		old = MemoryContextSwitchTo(self->block);
		if (added && self->made == PHASE_OPEN)
			keep_columns(self, row, slot);
		else
			keep_whole_row(self, row, slot);
		MemoryContextSwitchTo(old);
		if (self->tid_source != NULL)
			self->tids[row] = self->tid_source->tts_tid;
		self->rows++;
	}
	if (n_scored == 0)
		return;
	for (int i = 0; i < open_jobs(self, self->made); i++)
		scan_job_score(self->jobs[i]);
	self->total_blocks++;
	self->total_rows += n_scored;
}

/* Get more rows; false when there are none. */
static bool
fill(PredictScan *self)
{
	bool ahead = (self->phase == PHASE_CONDITIONS || self->phase == PHASE_OPEN) &&
				 (!self->run_only || scan_reads_all(self->css.ss.ps.state));

	self->rows = self->next = 0;
	MemoryContextReset(self->block);
	if (self->done)
		return false;
	ResetExprContext(self->css.ss.ps.ps_ExprContext);
	if (ahead && !prepare_calls(self))
	{
		self->phase = PHASE_NEVER;
		ahead = false;
	}
	if (ahead)
		fill_block(self);
	else
		fill_single(self);
	return self->rows > 0;
}

/* ---- giving rows --------------------------------------------------------------------------- */

/* Show the columns of row i of the block to expressions. */
static TupleTableSlot *
show_row(PredictScan *self, int i)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;

	if (self->plain_values[i] != NULL)
		show_columns(self, self->plain_values[i], self->plain_nulls[i]);
	else
	{
		const Datum *values = self->values + (Size) i * self->n_kept;
		const bool *nulls = self->nulls + (Size) i * self->n_kept;

		ExecClearTuple(slot);
		for (int k = 0; k < self->n_kept; k++)
		{
			slot->tts_values[self->kept[k]] = values[k];
			slot->tts_isnull[self->kept[k]] = nulls[k];
		}
		ExecStoreVirtualTuple(slot);
		self->css.ss.ps.ps_ExprContext->ecxt_scantuple = slot;
	}
	if (self->tid_source != NULL)
		slot->tts_tid = self->tids[i];
	return slot;
}

/* Show the predictions of calls from .. to - 1 for row i. */
static void
show_predictions(PredictScan *self, int i, int from, int to)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;
	MemoryContext old =
		MemoryContextSwitchTo(self->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);

	for (int k = from; k < to; k++)
	{
		const ScanCall *call = &self->calls[k];

		slot->tts_values[call->column] = scan_call_result(
			call, self->jobs[call->job], self->scored[i], &slot->tts_isnull[call->column]);
	}
	MemoryContextSwitchTo(old);
}

/* The original expressions have succeeded: their calls may be made ahead from the next block on. */
static void
open_phase(PredictScan *self, Phase phase, int i)
{
	if (self->phase < phase)
		self->phase = phase;
	for (int k = 0; k < open_jobs(self, phase); k++)
		scan_job_learn(self->jobs[k], self->plain_values[i], self->plain_nulls[i]);
}

/* Whether row i passes the conditions. */
static bool
passes(PredictScan *self, int i)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;
	bool pass;

	if (self->scored[i] >= 0)
	{
		show_predictions(self, i, 0, self->n_condition_calls);
		pass = ExecQual(self->css.ss.ps.qual, econtext);
	}
	else
	{
		pass = ExecQual(self->plain_qual, econtext);
		if (self->n_condition_calls > 0)
			open_phase(self, PHASE_CONDITIONS, i);
	}
	if (!pass)
		InstrCountFiltered1(self, 1);
	return pass;
}

/* The result for row i, which has passed the conditions. */
static TupleTableSlot *
project(PredictScan *self, int i)
{
	TupleTableSlot *result;

	if (self->scored[i] >= 0 && self->made == PHASE_OPEN)
	{
		show_predictions(self, i, self->n_condition_calls, self->n_calls);
		return self->css.ss.ps.ps_ProjInfo != NULL ? ExecProject(self->css.ss.ps.ps_ProjInfo) :
													 self->css.ss.ss_ScanTupleSlot;
	}
	result = ExecProject(self->plain_projection);
	open_phase(self, PHASE_OPEN, i);
	return result;
}

/* Another user may not have the privilege that the rows ahead were scored with. */
static void
check_user(PredictScan *self)
{
	if (self->next >= self->rows || self->single || self->user == GetUserId())
		return;
	self->user = GetUserId();
	for (int i = 0; i < open_jobs(self, self->made); i++)
		scan_job_resolve(self->jobs[i], self->css.ss.ps.ps_ExprContext);
}

/* Evaluate row i of the block; NULL when it does not pass the conditions. */
static TupleTableSlot *
evaluate(PredictScan *self, int i)
{
	CHECK_FOR_INTERRUPTS();
	ResetExprContext(self->css.ss.ps.ps_ExprContext);
	show_row(self, i);
	return passes(self, i) ? project(self, i) : NULL;
}

/* The next row, NULL after the last one. */
static TupleTableSlot *
go_forward(PredictScan *self)
{
	TupleTableSlot *result = NULL;

	while (result == NULL && (self->next < self->rows || fill(self)))
		result = evaluate(self, self->next++);
	return result;
}

/*
 * The row before the block; it becomes the block.  The node below, which can go back as well, stands at the last row of the
 * block or, when there are no more, behind it.
 */
static bool
fill_backward(PredictScan *self)
{
	for (int i = self->done ? 0 : 1; i < self->rows; i++)
		ExecProcNode(outerPlanState(self));
	self->rows = 0;
	self->size = FIRST_ROWS;
	MemoryContextReset(self->block);
	fill_single(self);
	self->done = false;
	self->next = self->rows;
	return self->rows > 0;
}

/* The row before the one given last, NULL before the first one.  Nothing is read ahead in this direction. */
static TupleTableSlot *
go_backward(PredictScan *self)
{
	TupleTableSlot *result = NULL;

	if (self->ended && !self->done)
		return NULL; /* is before the first already */
	if (!self->ended && self->next > 0)
		self->next--;
	while (self->next > 0 || fill_backward(self))
	{
		result = evaluate(self, self->next - 1);
		if (result != NULL)
			break;
		self->next--;
	}
	return result;
}

static TupleTableSlot *
exec_scan(CustomScanState *css)
{
	PredictScan *self = (PredictScan *) css;
	TupleTableSlot *result;

	check_user(self);
	result = ScanDirectionIsBackward(css->ss.ps.state->es_direction) ? go_backward(self) :
																	   go_forward(self);
	self->ended = result == NULL;
	if (result != NULL)
		return result;
	ExecClearTuple(css->ss.ss_ScanTupleSlot);
	return ExecClearTuple(css->ss.ps.ps_ResultTupleSlot);
}

static void
end_scan(CustomScanState *css)
{
	ExecEndNode(outerPlanState(css));
}

/* Parameters may have changed, and with them models. */
static void
rescan(CustomScanState *css)
{
	PredictScan *self = (PredictScan *) css;

	self->rows = self->next = 0;
	self->done = self->ended = false;
	self->size = FIRST_ROWS;
	ExecClearTuple(css->ss.ss_ScanTupleSlot);
	if (!self->fixed)
	{
		self->phase = PHASE_CLOSED;
		memset(self->prepared, 0, self->n_calls * sizeof(uint64));
	}
	if (outerPlanState(css)->chgParam == NULL)
		ExecReScan(outerPlanState(css));
}

/* ---- EXPLAIN ------------------------------------------------------------------------------- */

/* The models as the statement names them. */
static void
explain_scan(CustomScanState *css, List *ancestors, ExplainState *es)
{
	PredictScan *self = (PredictScan *) css;
	StringInfoData models;

	(void) ancestors;
	initStringInfo(&models);
	for (int i = 0; i < self->n_jobs; i++)
	{
		const Const *model = linitial(self->jobs[i]->call->args);

		if (i > 0)
			appendStringInfoString(&models, ", ");
		if (!IsA(model, Const))
			appendStringInfoString(&models, "(a parameter)");
		else if (model->constisnull)
			appendStringInfoString(&models, "NULL");
		else
			appendStringInfoString(&models, TextDatumGetCString(model->constvalue));
	}
	ExplainPropertyText("Model", models.data, es);
	ExplainPropertyInteger("Block Rows", NULL, PREDICT_BLOCK_ROWS, es);
	if (!es->analyze)
		return;
	ExplainPropertyInteger("Rows Scored in Blocks", NULL, self->total_rows, es);
	ExplainPropertyInteger("Blocks", NULL, self->total_blocks, es);
}

static const CustomExecMethods exec_methods = { .CustomName = SCAN_NODE_NAME,
												.BeginCustomScan = begin_scan,
												.ExecCustomScan = exec_scan,
												.EndCustomScan = end_scan,
												.ReScanCustomScan = rescan,
												.ExplainCustomScan = explain_scan };

static Node *
create_scan_state(CustomScan *plan)
{
	PredictScan *self = (PredictScan *) newNode(sizeof(PredictScan), T_CustomScanState);

	(void) plan;
	self->css.methods = &exec_methods;
	return (Node *) self;
}

const CustomScanMethods scan_methods = { .CustomName = SCAN_NODE_NAME,
										 .CreateCustomScanState = create_scan_state };
