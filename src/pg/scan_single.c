/*
 * scan_single.c - a prediction for a single row, read where the scan has it.
 *
 * In SELECT predict('m', t) FROM t WHERE id = 1 the executor makes a row of all columns, only to be taken apart again by the
 * function.  Nothing of the plan is changed for few rows, as that would cost more than it saves; but when all that a scan
 * projects is one such call, with constants beside the row, its evaluation is replaced by one that hands the scan's
 * slot to the function.  Whatever else there is stays with the executor: other expressions, other rows than those of the table
 * being scanned, compiled expressions, EvalPlanQual, functions whose calls are counted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/execExpr.h"
#include "executor/executor.h"

#include "pg/predict.h"
#include "pg/scan.h"

/* The steps of such an expression. */
enum
{
	STEP_ROW,
	STEP_CALL,
	STEP_ASSIGN,
	STEP_DONE,
	N_STEPS
};

/* Evaluate the projection. */
static Datum
project_prediction(ExprState *state, ExprContext *econtext, bool *isnull)
{
	const ExprEvalStep *call = &state->steps[STEP_CALL];
	int column = state->steps[STEP_ASSIGN].d.assign_tmp.resultnum;
	TupleTableSlot *row = econtext->ecxt_scantuple;
	FunctionCallInfo fcinfo = call->d.func.fcinfo_data;

	(void) isnull; /* of the projection, which nobody looks at */
	if (row->tts_tupleDescriptor->tdtypeid != state->steps[STEP_ROW].d.wholerow.var->vartype)
	{
		fcinfo->context = NULL;
		state->evalfunc = ExecInterpExprStillValid;
		return state->evalfunc(state, econtext, isnull);
	}
	fcinfo->context = (Node *) row;
	fcinfo->args[1].value = (Datum) 0;
	fcinfo->args[1].isnull = false;
	fcinfo->isnull = false;
	state->resultslot->tts_values[column] = FunctionCallInvoke(fcinfo);
	state->resultslot->tts_isnull[column] = fcinfo->isnull;
	return (Datum) 0;
}

/* Whether the expression is one call of ours, for the row of a scan, and nothing else. */
static bool
is_one_prediction(ExprState *state)
{
	ExprEvalStep *row = &state->steps[STEP_ROW];
	ExprEvalStep *call = &state->steps[STEP_CALL];
	ExprEvalOp assign;

	if (state->evalfunc != ExecInterpExprStillValid || state->steps_len != N_STEPS ||
		ExecEvalStepOp(state, row) != EEOP_WHOLEROW || ExecEvalStepOp(state, call) != EEOP_FUNCEXPR)
		return false;
	assign = ExecEvalStepOp(state, &state->steps[STEP_ASSIGN]);
	return (assign == EEOP_ASSIGN_TMP || assign == EEOP_ASSIGN_TMP_MAKE_RO) &&
		   row->d.wholerow.junkFilter == NULL && row->d.wholerow.var->vartype != RECORDOID &&
		   row->resvalue == &call->d.func.fcinfo_data->args[1].value &&
		   predict_reads_slots(call->d.func.finfo);
}

void
scan_single(PlanState *node)
{
	if (node != NULL && IsA(node, LimitState))
		node = outerPlanState(node);
	if (node == NULL || node->ps_ProjInfo == NULL ||
		!(IsA(node, IndexScanState) || IsA(node, SeqScanState) || IsA(node, BitmapHeapScanState)))
		return;
	if (is_one_prediction(&node->ps_ProjInfo->pi_state))
		node->ps_ProjInfo->pi_state.evalfunc = project_prediction;
}
