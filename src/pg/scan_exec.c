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

#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/compat.h"
#include "pg/scan.h"
#include "pg/scan_state.h"

static const CustomExecMethods exec_methods;

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
	self->filter_ahead = intVal(list_nth(plan->custom_private, SCAN_FILTER_AHEAD)) != 0;
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
	self->size = SCAN_FIRST_ROWS;
	memset(css->ss.ss_ScanTupleSlot->tts_isnull, true, desc->natts * sizeof(bool));
	memset(css->ss.ss_ScanTupleSlot->tts_values, 0, desc->natts * sizeof(Datum));
}

/*
 * No more rows are read ahead than a LIMIT above will take, and a sort below is told of it, as the executor tells it through
 * nodes of its own.
 */
static void
set_bound(PredictScan *self)
{
	const LimitState *limit = self->limit;
	bool bounded = limit != NULL && !limit->noCount && limit->limitOption == LIMIT_OPTION_COUNT;
	int64 bound = bounded ? limit->count + limit->offset : -1;

	self->bound_set = true;
	self->left = bounded ? bound : PG_INT64_MAX;
	if (limit != NULL)
		ExecSetTupleBound(bound, outerPlanState(self));
}

static bool
link_limit(PlanState *node, void *arg)
{
	PredictScan *below = (PredictScan *) outerPlanState(node);

	if (IsA(node, LimitState) && IsA(below, CustomScanState) &&
		below->css.methods == &exec_methods && below->css.ss.ps.qual == NULL)
		below->limit = (LimitState *) node;
	return planstate_tree_walker(node, link_limit, arg);
}

void
scan_link_limits(PlanState *node)
{
	link_limit(node, NULL);
}

/* ---- getting rows -------------------------------------------------------------------------- */

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

/* Get more rows; false when there are none. */
static bool
fill(PredictScan *self)
{
	bool ahead = (self->phase == PHASE_CONDITIONS || self->phase == PHASE_OPEN) && self->left > 0 &&
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
		scan_fill_block(self);
	else
		scan_fill_single(self);
	return self->rows > 0;
}

/* ---- giving rows --------------------------------------------------------------------------- */

/* The original expressions have succeeded: their calls may be made ahead from the next block on. */
static void
open_phase(PredictScan *self, Phase phase, int i)
{
	if (self->phase < phase)
		self->phase = phase;
	for (int k = 0; k < open_jobs(self, phase); k++)
		scan_job_learn(self->jobs[k], self->whole_values[i], self->whole_nulls[i]);
}

/* Whether row i passes the conditions. */
static bool
passes(PredictScan *self, int i)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;
	bool pass;

	if (self->passed[i] >= 0)
	{
		scan_show_predictions(self, i, 0, self->n_condition_calls);
		pass = self->passed[i];
	}
	else if (self->scored[i] >= 0)
	{
		scan_show_predictions(self, i, 0, self->n_condition_calls);
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

	if (self->target_scored[i] >= 0)
	{
		scan_show_predictions(self, i, self->n_condition_calls, self->n_calls);
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
	for (int i = 0; i < self->n_jobs; i++)
		scan_job_check_user(self->jobs[i]);
}

/* Evaluate row i of the block; NULL when it does not pass the conditions. */
static TupleTableSlot *
evaluate(PredictScan *self, int i)
{
	CHECK_FOR_INTERRUPTS();
	ResetExprContext(self->css.ss.ps.ps_ExprContext);
	scan_show_row(self, i);
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
	self->size = SCAN_FIRST_ROWS;
	if (self->limit != NULL)
		self->left = 0; /* a position is not worth counting */
	MemoryContextReset(self->block);
	scan_fill_single(self);
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
	if (!self->bound_set)
		set_bound(self);
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
	self->size = SCAN_FIRST_ROWS;
	ExecClearTuple(css->ss.ss_ScanTupleSlot);
	set_bound(self);
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
	if (!es->analyze)
		return;
	/* Only a loaded model tells how many rows suit it. */
	if (self->most > 0)
		ExplainPropertyInteger("Block Rows", NULL, self->most, es);
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
