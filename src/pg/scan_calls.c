/*
 * scan_calls.c - the calls in an expression that can be scored in blocks.
 *
 * A call counts when it is made each time the expression is evaluated: not one in a branch of CASE, nor behind the first
 * argument of AND, OR and COALESCE.  Our functions are stable, so that what was computed for one call also serves
 * equal ones in such places.  The model, and a class or type, must be constants or parameters; the input a row of a table or
 * subquery, ROW(...), or a column that holds a row.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "pg/predict.h"
#include "pg/scan.h"

bool
scan_is_predict(Oid function)
{
	Oid *types;
	int n;

	if (function < FirstNormalObjectId || predict_verb(function) == PREDICT_NONE)
		return false;
	get_func_signature(function, &types, &n);
	return n >= 2 && types[1] == RECORDOID;
}

/* For expression_tree_walker(). */
static bool
has_predict_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && scan_is_predict(((FuncExpr *) node)->funcid))
		return true;
	return expression_tree_walker(node, has_predict_walker, arg);
}

bool
scan_has_predict(Node *expression)
{
	return has_predict_walker(expression, NULL);
}

/* Whether the expression has the same value for all rows. */
static bool
is_constant(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && (IsA(node, Const) || IsA(node, Param));
}

/* The risk of the input of a call; RISK_SHOWS when it cannot be read in blocks. */
static ScanRisk
input_risk(const PlannedStmt *stmt, Node *input)
{
	if (IsA(input, ConvertRowtypeExpr))
	{
		Node *arg = (Node *) ((ConvertRowtypeExpr *) input)->arg;

		return IsA(arg, Var) && ((Var *) arg)->varattno == 0 ? RISK_NONE : RISK_SHOWS;
	}
	if (IsA(input, Var))
		return RISK_NONE;
	if (!IsA(input, RowExpr) || scan_has_predict(input))
		return RISK_SHOWS;
	return scan_expression_risk(stmt, (Node *) ((RowExpr *) input)->args);
}

/* Add a call when it can be scored in blocks. */
static void
add_call(ScanCalls *calls, FuncExpr *call)
{
	ScanRisk risk;

	if (!scan_is_predict(call->funcid) || call->funcretset || !is_constant(linitial(call->args)) ||
		(list_length(call->args) > 2 && !is_constant(lthird(call->args))))
		return;
	risk = input_risk(calls->stmt, lsecond(call->args));
	if (risk > (calls->elements_may_fail ? RISK_ERROR : RISK_NONE))
		return;
	calls->risk = Max(calls->risk, risk);
	calls->calls = list_append_unique(calls->calls, call);
}

/* Of CASE the value that is compared and the first condition are always evaluated. */
static Node *
first_condition(const CaseExpr *expression)
{
	return (Node *) ((CaseWhen *) linitial(expression->args))->expr;
}

static bool
calls_walker(Node *node, void *arg)
{
	ScanCalls *calls = arg;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			add_call(calls, (FuncExpr *) node);
			break;
		case T_CaseExpr:
			calls_walker((Node *) ((CaseExpr *) node)->arg, arg);
			return calls_walker(first_condition((CaseExpr *) node), arg);
		case T_CoalesceExpr:
			return calls_walker(linitial(((CoalesceExpr *) node)->args), arg);
		case T_BoolExpr:
			return calls_walker(linitial(((BoolExpr *) node)->args), arg);
		case T_ArrayCoerceExpr:
			return calls_walker((Node *) ((ArrayCoerceExpr *) node)->arg, arg);
		case T_List:
		case T_TargetEntry:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_CollateExpr:
		case T_NamedArgExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_MinMaxExpr:
		case T_FieldSelect:
			break;
		default:
			return false;
	}
	return expression_tree_walker(node, calls_walker, arg);
}

void
scan_add_calls(ScanCalls *calls, Node *expression)
{
	calls_walker(expression, calls);
}

int
scan_find_call(const List *calls, Node *expression)
{
	ListCell *cell;

	if (!IsA(expression, FuncExpr))
		return -1;
	foreach(cell, calls)
		if (equal(lfirst(cell), expression))
			return foreach_current_index(cell);
	return -1;
}

bool
scan_same_job(const FuncExpr *a, const FuncExpr *b)
{
	return equal(linitial(a->args), linitial(b->args)) && equal(lsecond(a->args), lsecond(b->args));
}
