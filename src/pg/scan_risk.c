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

/* ---- subqueries ---------------------------------------------------------------------------- */

/* Subplans: their own risk, and an error when one gives two rows. */
static ScanRisk
subplan_risk(const PlannedStmt *stmt, const SubPlan *subplan)
{
	return worse(RISK_ERROR,
				 child_risk(stmt, list_nth(stmt->subplans, subplan->plan_id - 1), true));
}

static const SubPlan *find_subquery(const Plan *plan, int param);

/* The same in several nodes. */
static const SubPlan *
find_subquery_in(const List *plans, int param)
{
	const SubPlan *found = NULL;
	ListCell *cell;

	foreach(cell, plans)
		if (found == NULL)
			found = find_subquery(lfirst(cell), param);
	return found;
}

/* The subquery of the node, or of one below it, that sets a parameter when its value is first needed; NULL: there is none. */
static const SubPlan *
find_subquery(const Plan *plan, int param)
{
	const SubPlan *found = NULL;
	ListCell *cell;

	if (plan == NULL)
		return NULL;
	foreach(cell, plan->initPlan)
		if (list_member_int(((const SubPlan *) lfirst(cell))->setParam, param))
			return lfirst(cell);
	if (IsA(plan, Append))
		found = find_subquery_in(((const Append *) plan)->appendplans, param);
	else if (IsA(plan, MergeAppend))
		found = find_subquery_in(((const MergeAppend *) plan)->mergeplans, param);
	else if (IsA(plan, SubqueryScan))
		found = find_subquery(((const SubqueryScan *) plan)->subplan, param);
	if (found == NULL)
		found = find_subquery(outerPlan(plan), param);
	return found != NULL ? found : find_subquery(innerPlan(plan), param);
}

/* What may happen when a value is needed for the first time. */
static ScanRisk
param_risk(const PlannedStmt *stmt, const Param *param)
{
	const SubPlan *subquery;

	if (param->paramkind != PARAM_EXEC)
		return RISK_NONE;
	subquery = find_subquery(stmt->planTree, param->paramid);
	if (subquery == NULL)
		subquery = find_subquery_in(stmt->subplans, param->paramid);
	return subquery == NULL ? RISK_NONE : subplan_risk(stmt, subquery);
}

/* ---- expressions --------------------------------------------------------------------------- */

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
	else if (may_fail(node))
		walk->risk = worse(walk->risk, RISK_ERROR);
	else if (maybe && IsA(node, Param))
		walk->risk = worse(walk->risk, param_risk(walk->stmt, (Param *) node));
	walk->maybe |= IsA(node, BoolExpr) || IsA(node, CaseExpr) || IsA(node, CoalesceExpr);
	expression_tree_walker(node, risk_walker, walk);
	walk->maybe = maybe;
	return false;
}

/* Maybe is whether it may not have been evaluated for the rows so far. */
static ScanRisk
expression_risk(const PlannedStmt *stmt, void *expression, bool maybe)
{
	RiskWalk walk = { .stmt = stmt, .maybe = maybe };

	if (contain_volatile_functions(expression))
		return RISK_SHOWS;
	risk_walker(expression, &walk);
	return walk.risk;
}

ScanRisk
scan_expression_risk(const PlannedStmt *stmt, Node *expression)
{
	return expression_risk(stmt, expression, false);
}

/* ---- plans --------------------------------------------------------------------------------- */

static ScanRisk plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions, bool again);

/* Risk of a child with all of its expressions; again is whether it is executed anew on the way. */
static ScanRisk
child_risk(const PlannedStmt *stmt, Plan *plan, bool again)
{
	if (plan == NULL)
		return RISK_NONE;
	return worse(expression_risk(stmt, plan->targetlist, again),
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

/* Whether the node is a join that gives rows for which it has not evaluated its condition, nor maybe read its inner side. */
static bool
is_outer_join(const Plan *plan)
{
	return (IsA(plan, NestLoop) || IsA(plan, MergeJoin) || IsA(plan, HashJoin)) &&
		   ((const Join *) plan)->jointype != JOIN_INNER;
}

/* Risk of what only nodes of one type have. */
static ScanRisk
own_risk(const PlannedStmt *stmt, Plan *plan, bool again)
{
	bool maybe = again || is_outer_join(plan);

	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
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
			return again ? expression_risk(stmt, ((FunctionScan *) plan)->functions, true) :
						   RISK_NONE;
		case T_TableFuncScan:
			return again ? expression_risk(stmt, ((TableFuncScan *) plan)->tablefunc, true) :
						   RISK_NONE;
		case T_SampleScan:
			return again ? expression_risk(stmt, ((SampleScan *) plan)->tablesample, true) :
						   RISK_NONE;
		case T_IndexOnlyScan:
			return worse(expression_risk(stmt, ((IndexOnlyScan *) plan)->indexqual, again),
						 expression_risk(stmt, ((IndexOnlyScan *) plan)->indexorderby, again));
		case T_IndexScan:
			return worse(expression_risk(stmt, ((IndexScan *) plan)->indexqualorig, again),
						 expression_risk(stmt, ((IndexScan *) plan)->indexorderby, again));
		case T_BitmapHeapScan:
			return expression_risk(stmt, ((BitmapHeapScan *) plan)->bitmapqualorig, again);
		case T_TidScan:
			return expression_risk(stmt, ((TidScan *) plan)->tidquals, again);
		case T_TidRangeScan:
			return expression_risk(stmt, ((TidRangeScan *) plan)->tidrangequals, again);
		case T_SubqueryScan:
			return child_risk(stmt, ((SubqueryScan *) plan)->subplan, again);
		case T_CteScan:
			return child_risk(stmt, list_nth(stmt->subplans, ((CteScan *) plan)->ctePlanId - 1),
							  again);
		case T_ValuesScan:
			return expression_risk(stmt, ((ValuesScan *) plan)->values_lists, true);
		case T_Result:
			return scan_expression_risk(stmt, ((Result *) plan)->resconstantqual);
		case T_Append:
			return children_risk(stmt, ((Append *) plan)->appendplans, again);
		case T_MergeAppend:
			return children_risk(stmt, ((MergeAppend *) plan)->mergeplans, again);
		case T_NestLoop:
			return expression_risk(stmt, ((NestLoop *) plan)->join.joinqual, maybe);
		case T_MergeJoin:
			return worse(expression_risk(stmt, ((MergeJoin *) plan)->join.joinqual, maybe),
						 expression_risk(stmt, ((MergeJoin *) plan)->mergeclauses, again));
		case T_HashJoin:
			return worse(expression_risk(stmt, ((HashJoin *) plan)->join.joinqual, maybe),
						 expression_risk(stmt, ((HashJoin *) plan)->hashclauses, again));
		case T_Agg: /* of sorted rows, or anew: transitions happen on the way */
			return again || ((Agg *) plan)->aggstrategy == AGG_SORTED ? RISK_ERROR : RISK_NONE;
		case T_WindowAgg:
		case T_Limit:
		case T_ProjectSet:
		case T_ForeignScan: /* of a file, say, which has lines that are no rows */
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
	ScanRisk risk = worse(own_risk(stmt, plan, again), expression_risk(stmt, conditions, again));

	if (reads_all_first(plan, again) || risk == RISK_SHOWS)
		return risk;
	risk = worse(risk, child_risk(stmt, outerPlan(plan), again));
	again |= IsA(plan, NestLoop) || IsA(plan, RecursiveUnion) ||
			 (IsA(plan, MergeJoin) && is_outer_join(plan));
	return worse(risk, child_risk(stmt, innerPlan(plan), again));
}

ScanRisk
scan_plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions)
{
	return plan_risk(stmt, plan, conditions, false);
}
