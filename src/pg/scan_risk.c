/*
 * scan_risk.c - may rows be read ahead of being asked for?
 *
 * Reading ahead does work earlier than without it, and work for rows that nobody may ask for in the end.  That can be
 * told by whatever changes something outside, and by errors.  PostgreSQL knows of functions that raise no error
 * that depends on their arguments: the leakproof ones, which are comparisons and casts mostly.
 *
 * What is done as a whole when a node gives its first row - sorting, hashing, aggregating - is done all the same.
 */
#include "postgres.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "pg/scan.h"

/* The risk of an expression so far, for the walker. */
typedef struct RiskWalk
{
	const PlannedStmt *stmt;
	ScanRisk risk;
	bool maybe; /* what is looked at may not have been evaluated for the rows so far */
} RiskWalk;

static ScanRisk
worse(ScanRisk a, ScanRisk b)
{
	return Max(a, b);
}

/* Whether the function raises no error that depends on its arguments. */
static bool
is_quiet(Oid function)
{
	return OidIsValid(function) && get_func_leakproof(function);
}

/* Whether a node of an expression can raise an error by itself, its arguments aside. */
static bool
may_fail(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_RelabelType:
		case T_CollateExpr:
		case T_BoolExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_RowExpr:
		case T_ConvertRowtypeExpr:
		case T_NamedArgExpr:
		case T_GroupingFunc:
		case T_TargetEntry:
		case T_List:
			return false;
		case T_FuncExpr:
			return !is_quiet(((FuncExpr *) node)->funcid);
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			return !is_quiet(get_opcode(((OpExpr *) node)->opno));
		case T_ScalarArrayOpExpr:
			return !is_quiet(get_opcode(((ScalarArrayOpExpr *) node)->opno));
		default:
			return true;
	}
}

static ScanRisk child_risk(const PlannedStmt *stmt, Plan *plan, bool again);

/* Subplans: their own risk, and an error when one gives two rows. */
static ScanRisk
subplan_risk(const PlannedStmt *stmt, const SubPlan *subplan)
{
	return worse(RISK_ERROR,
				 child_risk(stmt, list_nth(stmt->subplans, subplan->plan_id - 1), true));
}

/* Whether the value may come from a subquery that is executed when its value is first needed. */
static bool
may_be_subquery(const Node *node)
{
	return IsA(node, Param) && ((const Param *) node)->paramkind == PARAM_EXEC;
}

static bool
risk_walker(Node *node, void *arg)
{
	RiskWalk *walk = arg;
	bool maybe = walk->maybe;

	if (node == NULL)
		return false;
	if (IsA(node, SubPlan))
		walk->risk = worse(walk->risk, subplan_risk(walk->stmt, (SubPlan *) node));
	else if (IsA(node, Aggref) || IsA(node, WindowFunc))
	{
		/* Their arguments have been read when their value is. */
		Oid function =
			IsA(node, Aggref) ? ((Aggref *) node)->aggfnoid : ((WindowFunc *) node)->winfnoid;

		if (function >= FirstNormalObjectId)
			walk->risk = worse(walk->risk, RISK_ERROR);
		return false;
	}
	else if (may_fail(node) || (maybe && may_be_subquery(node)))
		walk->risk = worse(walk->risk, RISK_ERROR);
	walk->maybe |= IsA(node, BoolExpr) || IsA(node, CaseExpr) || IsA(node, CoalesceExpr);
	expression_tree_walker(node, risk_walker, walk);
	walk->maybe = maybe;
	return false;
}

ScanRisk
scan_expression_risk(const PlannedStmt *stmt, Node *expression)
{
	RiskWalk walk = { .stmt = stmt };

	if (contain_volatile_functions(expression))
		return RISK_SHOWS;
	risk_walker(expression, &walk);
	return walk.risk;
}

/* ---- plans --------------------------------------------------------------------------------- */

static ScanRisk plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions, bool again);

/* Risk of a child with all of its expressions; again is whether it is executed anew on the way. */
static ScanRisk
child_risk(const PlannedStmt *stmt, Plan *plan, bool again)
{
	if (plan == NULL)
		return RISK_NONE;
	return worse(scan_expression_risk(stmt, (Node *) plan->targetlist),
				 plan_risk(stmt, plan, plan->qual, again));
}

/* The same for several nodes; all but the first may start on the way, which is as good as being executed anew. */
static ScanRisk
children_risk(const PlannedStmt *stmt, List *plans, bool again)
{
	ScanRisk risk = RISK_NONE;
	ListCell *cell;

	foreach(cell, plans)
		risk =
			worse(risk, child_risk(stmt, lfirst(cell), again || foreach_current_index(cell) > 0));
	return risk;
}

/* Risk of what only nodes of one type have. */
static ScanRisk
own_risk(const PlannedStmt *stmt, Plan *plan, bool again)
{
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexOnlyScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_ForeignScan:
		case T_Material:
		case T_Memoize:
		case T_Sort:
		case T_IncrementalSort:
		case T_Group:
		case T_Unique:
		case T_Gather:
		case T_GatherMerge:
		case T_Hash:
		case T_SetOp:
		case T_RecursiveUnion:
			return RISK_NONE;
		case T_FunctionScan: /* called as a whole for the first row */
			return again ? scan_expression_risk(stmt, (Node *) ((FunctionScan *) plan)->functions) :
						   RISK_NONE;
		case T_TableFuncScan:
			return again ?
					   scan_expression_risk(stmt, (Node *) ((TableFuncScan *) plan)->tablefunc) :
					   RISK_NONE;
		case T_IndexScan:
			return worse(scan_expression_risk(stmt, (Node *) ((IndexScan *) plan)->indexqualorig),
						 scan_expression_risk(stmt, (Node *) ((IndexScan *) plan)->indexorderby));
		case T_BitmapHeapScan:
			return scan_expression_risk(stmt, (Node *) ((BitmapHeapScan *) plan)->bitmapqualorig);
		case T_TidScan:
			return scan_expression_risk(stmt, (Node *) ((TidScan *) plan)->tidquals);
		case T_TidRangeScan:
			return scan_expression_risk(stmt, (Node *) ((TidRangeScan *) plan)->tidrangequals);
		case T_SubqueryScan:
			return child_risk(stmt, ((SubqueryScan *) plan)->subplan, again);
		case T_CteScan:
			return child_risk(stmt, list_nth(stmt->subplans, ((CteScan *) plan)->ctePlanId - 1),
							  again);
		case T_ValuesScan:
			return scan_expression_risk(stmt, (Node *) ((ValuesScan *) plan)->values_lists);
		case T_Result:
			return scan_expression_risk(stmt, ((Result *) plan)->resconstantqual);
		case T_Append:
			return children_risk(stmt, ((Append *) plan)->appendplans, again);
		case T_MergeAppend:
			return children_risk(stmt, ((MergeAppend *) plan)->mergeplans, again);
		case T_NestLoop:
			return scan_expression_risk(stmt, (Node *) ((NestLoop *) plan)->join.joinqual);
		case T_MergeJoin:
			return worse(scan_expression_risk(stmt, (Node *) ((MergeJoin *) plan)->join.joinqual),
						 scan_expression_risk(stmt, (Node *) ((MergeJoin *) plan)->mergeclauses));
		case T_HashJoin:
			return worse(scan_expression_risk(stmt, (Node *) ((HashJoin *) plan)->join.joinqual),
						 scan_expression_risk(stmt, (Node *) ((HashJoin *) plan)->hashclauses));
		case T_Agg: /* of sorted rows, or anew: transitions happen on the way */
			return again || ((Agg *) plan)->aggstrategy == AGG_SORTED ? RISK_ERROR : RISK_NONE;
		case T_WindowAgg:
		case T_Limit:
		case T_ProjectSet:
			return RISK_ERROR;
		case T_CustomScan: /* ours: calls that are not made ahead raise errors */
			return ((CustomScan *) plan)->methods == &scan_methods ? RISK_ERROR : RISK_SHOWS;
		default:
			return RISK_SHOWS;
	}
}

/* Whether the node has read all of its children when it gives its first row; if executed anew, it reads them anew. */
static bool
reads_all_first(Plan *plan, bool again)
{
	if (IsA(plan, BitmapHeapScan))
		return true;
	if (IsA(plan, Agg))
		return !again && ((Agg *) plan)->aggstrategy != AGG_SORTED;
	return !again && (IsA(plan, Sort) || IsA(plan, Hash));
}

static ScanRisk
plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions, bool again)
{
	ScanRisk risk =
		worse(own_risk(stmt, plan, again), scan_expression_risk(stmt, (Node *) conditions));

	if (reads_all_first(plan, again) || risk == RISK_SHOWS)
		return risk;
	risk = worse(risk, child_risk(stmt, outerPlan(plan), again));
	again |= IsA(plan, NestLoop) || IsA(plan, RecursiveUnion);
	return worse(risk, child_risk(stmt, innerPlan(plan), again));
}

ScanRisk
scan_plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions)
{
	return plan_risk(stmt, plan, conditions, false);
}
