/* scan_plan.c - find the nodes of a plan whose expressions predict, and have them scored in blocks. */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "pg/scan.h"

#define MIN_ROWS        8
#define MIN_FILTER_COST 12 /* that of finding one row by an index is below 9 */

/* A statement being rewritten; its plans are our copy. */
typedef struct Rewrite
{
	PlannedStmt *stmt;
	int last_node_id;
	bool changed;
} Rewrite;

static Plan *rewrite_plan(Rewrite *rewrite, Plan *plan, ScanDemand demand, bool steady);

/* ---- looking only -------------------------------------------------------------------------- */

/* Whether rows are filtered by predictions in the node or below it. */
static bool
filters_by_prediction(const Plan *plan)
{
	if (plan == NULL)
		return false;
	if (IsA(plan, SubqueryScan) && filters_by_prediction(((const SubqueryScan *) plan)->subplan))
		return true;
	return scan_has_predict((Node *) plan->qual) || filters_by_prediction(outerPlan(plan)) ||
		   filters_by_prediction(innerPlan(plan));
}

/*
 * Whether a node reads so many rows that blocks pay.  Of conditions that predict the planner guesses that few rows pass, so
 * what counts then is what they are expected to cost.
 */
static bool
is_worth_it(const Plan *plan)
{
	return plan->plan_rows >= MIN_ROWS ||
		   (plan->total_cost >= MIN_FILTER_COST && filters_by_prediction(plan));
}

static bool look_at(Plan *plan, int *last_node_id);

/* The same for several nodes. */
static bool
look_at_all(List *plans, int *last_node_id)
{
	bool found = false;
	ListCell *cell;

	foreach(cell, plans)
		found |= look_at(lfirst(cell), last_node_id);
	return found;
}

/*
 * Whether a node that is worth it predicts; *last_node_id becomes the highest number of a node.  Allocates nothing: this is
 * done for every statement that predicts, for one row as well.
 */
static bool
look_at(Plan *plan, int *last_node_id)
{
	bool found = false;

	if (plan == NULL)
		return false;
	*last_node_id = Max(*last_node_id, plan->plan_node_id);
	if (is_worth_it(IsA(plan, Agg) ? outerPlan(plan) : plan))
		found =
			scan_has_predict((Node *) plan->targetlist) || scan_has_predict((Node *) plan->qual);
	if (IsA(plan, Append))
		found |= look_at_all(((Append *) plan)->appendplans, last_node_id);
	else if (IsA(plan, MergeAppend))
		found |= look_at_all(((MergeAppend *) plan)->mergeplans, last_node_id);
	else if (IsA(plan, SubqueryScan))
		found |= look_at(((SubqueryScan *) plan)->subplan, last_node_id);
	else if (IsA(plan, CustomScan))
		found |= look_at_all(((CustomScan *) plan)->custom_plans, last_node_id);
	else if (IsA(plan, BitmapAnd))
		found |= look_at_all(((BitmapAnd *) plan)->bitmapplans, last_node_id);
	else if (IsA(plan, BitmapOr))
		found |= look_at_all(((BitmapOr *) plan)->bitmapplans, last_node_id);
	found |= look_at(outerPlan(plan), last_node_id);
	return look_at(innerPlan(plan), last_node_id) || found;
}

bool
scan_is_worth_it(const PlannedStmt *stmt, int *last_node_id)
{
	bool found;

	*last_node_id = 0;
	found = look_at(stmt->planTree, last_node_id);
	return look_at_all(stmt->subplans, last_node_id) || found;
}

/* ---- aggregates ---------------------------------------------------------------------------- */

/* The calls in the arguments of aggregates, for the walker. */
static bool
aggregate_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		Aggref *aggregate = (Aggref *) node;

		/* With FILTER the arguments are evaluated for some rows only. */
		scan_add_calls(arg, (Node *) aggregate->aggfilter);
		if (aggregate->aggfilter == NULL)
			scan_add_calls(arg, (Node *) aggregate->args);
		return false;
	}
	return expression_tree_walker(node, aggregate_walker, arg);
}

/* Replace the calls in aggregates by columns of the node below. */
typedef struct Replace
{
	List *calls;
	int n_columns; /* before those of the calls */
	bool inside;   /* an aggregate */
} Replace;

static Node *
replace_calls(Node *node, void *arg)
{
	Replace *replace = arg;
	bool inside = replace->inside;
	Node *result;
	int call;

	if (node == NULL)
		return NULL;
	call = inside ? scan_find_call(replace->calls, node) : -1;
	if (call >= 0)
		return (Node *) makeVar(OUTER_VAR, replace->n_columns + call + 1, exprType(node),
								exprTypmod(node), exprCollation(node), 0);
	replace->inside |= IsA(node, Aggref);
	result = expression_tree_mutator(node, replace_calls, arg);
	replace->inside = inside;
	return result;
}

/* A Result that adds the calls to the columns of a node. */
static Plan *
add_targets(Plan *plan, List *calls)
{
	Result *result = makeNode(Result);
	Plan *node = &result->plan;
	ListCell *cell;

	scan_copy_estimates(node, plan);
	outerPlan(node) = plan;
	foreach(cell, plan->targetlist)
	{
		Node *column = (Node *) ((TargetEntry *) lfirst(cell))->expr;
		Var *var = makeVar(OUTER_VAR, foreach_current_index(cell) + 1, exprType(column),
						   exprTypmod(column), exprCollation(column), 0);

		node->targetlist =
			lappend(node->targetlist, makeTargetEntry((Expr *) var, var->varattno, NULL, false));
	}
	foreach(cell, calls)
		node->targetlist =
			lappend(node->targetlist,
					makeTargetEntry(lfirst(cell), list_length(node->targetlist) + 1, NULL, false));
	return node;
}

/* An expression over the columns of a node as one of the node's own, for the mutator. */
static Node *
substitute(Node *node, void *arg)
{
	const List *targets = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == OUTER_VAR)
		return copyObject(
			(Node *) ((TargetEntry *) list_nth(targets, ((Var *) node)->varattno - 1))->expr);
	return expression_tree_mutator(node, substitute, arg);
}

/*
 * Whether a node, or all that are appended, can evaluate more expressions for its rows.  Those get copies of its own, which
 * must give the same again.
 */
static bool
takes_targets(Plan *plan)
{
	ListCell *cell;

	if (!IsA(plan, Append))
		return scan_can_split(plan) && !contain_volatile_functions((Node *) plan->targetlist);
	foreach(cell, ((Append *) plan)->appendplans)
		if (!takes_targets(lfirst(cell)))
			return false;
	return true;
}

/* Let a node that takes them evaluate the calls; columns that are not needed any more are not made. */
static void
push_targets(Plan *plan, List *calls, const Bitmapset *unneeded)
{
	List *targets = plan->targetlist;
	List *new_targets = NIL;
	ListCell *cell;

	foreach(cell, targets)
	{
		TargetEntry *target = flatCopyTargetEntry(lfirst(cell));

		if (!IsA(plan, Append) && bms_is_member(target->resno, unneeded))
			target->expr = (Expr *) makeNullConst(exprType((Node *) target->expr), -1, InvalidOid);
		new_targets = lappend(new_targets, target);
	}
	foreach(cell, calls)
	{
		Node *call = lfirst(cell);
		int number = list_length(new_targets) + 1;
		Expr *expression = (Expr *) makeVar(OUTER_VAR, number, exprType(call), exprTypmod(call),
											exprCollation(call), 0);

		if (!IsA(plan, Append))
			expression = (Expr *) substitute(call, targets);
		new_targets = lappend(new_targets, makeTargetEntry(expression, number, NULL, false));
	}
	plan->targetlist = new_targets;
	if (IsA(plan, Append))
		foreach(cell, ((Append *) plan)->appendplans)
			push_targets(lfirst(cell), calls, unneeded);
}

/* The columns of the node below that expressions use, for the walker. */
static bool
used_walker(Node *node, void *arg)
{
	Bitmapset **used = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varno == OUTER_VAR)
		*used = bms_add_member(*used, ((Var *) node)->varattno);
	return expression_tree_walker(node, used_walker, arg);
}

/* The columns below that an aggregation uses. */
static Bitmapset *
used_columns(const Agg *aggregate)
{
	Bitmapset *used = NULL;

	used_walker((Node *) aggregate->plan.targetlist, &used);
	used_walker((Node *) aggregate->plan.qual, &used);
	for (int i = 0; i < aggregate->numCols; i++)
		used = bms_add_member(used, aggregate->grpColIdx[i]);
	return used;
}

/* The columns below that hold rows of which only the calls had made use. */
static Bitmapset *
unneeded_columns(const Agg *aggregate)
{
	Bitmapset *used = used_columns(aggregate);
	Bitmapset *unneeded = NULL;
	ListCell *cell;

	foreach(cell, outerPlan(aggregate)->targetlist)
	{
		const TargetEntry *target = lfirst(cell);

		if (type_is_rowtype(exprType((Node *) target->expr)) && aggregate->chain == NIL &&
			!bms_is_member(target->resno, used))
			unneeded = bms_add_member(unneeded, target->resno);
	}
	return unneeded;
}

/*
 * A scan gives all columns of its table where it need not copy any.  PgmlPredict does copy what it gives, so columns
 * that no aggregate uses are left away, as far as the numbers of the others allow.
 */
static void
trim_columns(const Agg *aggregate)
{
	Plan *below = outerPlan(aggregate);
	Bitmapset *used = used_columns(aggregate);
	List *kept = NIL;
	int last = 0;
	int column = -1;
	ListCell *cell;

	if (aggregate->chain != NIL || !scan_can_split(below) ||
		!scan_has_predict((Node *) below->qual))
		return;
	while ((column = bms_next_member(used, column)) >= 0)
		last = column;
	foreach(cell, list_copy_head(below->targetlist, last))
	{
		TargetEntry *target = lfirst(cell);
		Expr *expression = target->expr;

		if (!bms_is_member(target->resno, used) && IsA(expression, Var))
			expression = (Expr *) makeNullConst(exprType((Node *) expression), -1, InvalidOid);
		kept = lappend(kept, makeTargetEntry(expression, target->resno, NULL, false));
	}
	below->targetlist = kept;
}

/*
 * Have the calls in the arguments of aggregates made below them: by the node below where it can, which is then split as any
 * other, else by one of ours above that.
 */
static void
split_aggregate(Rewrite *rewrite, Plan *plan, ScanDemand demand)
{
	Plan *below = outerPlan(plan);
	ScanCalls calls = { .stmt = rewrite->stmt, .elements_may_fail = demand != DEMAND_SOME };
	Replace replace = { .n_columns = list_length(below->targetlist) };
	bool pushed = takes_targets(below);
	Plan *split = below;

	aggregate_walker((Node *) plan->targetlist, &calls);
	aggregate_walker((Node *) plan->qual, &calls);
	if (calls.calls == NIL || !is_worth_it(below))
		return;
	if (!pushed)
	{
		Plan *with_calls = add_targets(below, calls.calls);

		split = scan_split(rewrite->stmt, with_calls, demand, &rewrite->last_node_id);
		if (split == with_calls)
			return;
		rewrite->changed = true;
	}
	replace.calls = calls.calls;
	plan->targetlist = (List *) replace_calls((Node *) plan->targetlist, &replace);
	plan->qual = (List *) replace_calls((Node *) plan->qual, &replace);
	if (pushed)
		push_targets(below, calls.calls, unneeded_columns((Agg *) plan));
	outerPlan(plan) = split;
}

/* ---- the tree ------------------------------------------------------------------------------ */

/* How much of a child will be read. */
static ScanDemand
demand_of_child(const Plan *plan, ScanDemand demand, bool outer)
{
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
		case T_ModifyTable:
			return DEMAND_ALL;
		case T_Agg:
			return ((Agg *) plan)->aggstrategy == AGG_SORTED ? demand : DEMAND_ALL;
		case T_WindowAgg: /* stops early by its run condition */
			return ((WindowAgg *) plan)->runCondition == NIL ? demand : DEMAND_SOME;
		case T_SetOp: /* 18: of two sorted sides, the outer one decides */
			if (((SetOp *) plan)->strategy == SETOP_HASHED)
				return DEMAND_ALL;
			return outer ? demand : DEMAND_SOME;
		case T_NestLoop:
			return outer ? demand : DEMAND_SOME;
		case T_HashJoin:
		case T_MergeJoin:
		case T_Limit:
		case T_RecursiveUnion:
			return DEMAND_SOME;
		default:
			return demand;
	}
}

/* Whether a child must be able to mark a row and return to it: steady is whether its parent must. */
static bool
child_is_steady(const Plan *plan, bool steady, bool outer)
{
	if (IsA(plan, Sort) || IsA(plan, IncrementalSort) || IsA(plan, Material) || IsA(plan, Hash) ||
		IsA(plan, Agg))
		return false;
	return steady || (IsA(plan, MergeJoin) && !outer);
}

static void
rewrite_list(Rewrite *rewrite, List *plans, ScanDemand demand, bool steady)
{
	ListCell *cell;

	foreach(cell, plans)
		lfirst(cell) = rewrite_plan(rewrite, lfirst(cell), demand, steady);
}

static void
rewrite_children(Rewrite *rewrite, Plan *plan, ScanDemand demand, bool steady)
{
	if (IsA(plan, Append))
		rewrite_list(rewrite, ((Append *) plan)->appendplans, demand, steady);
	else if (IsA(plan, MergeAppend))
		rewrite_list(rewrite, ((MergeAppend *) plan)->mergeplans, demand, steady);
	else if (IsA(plan, SubqueryScan))
		((SubqueryScan *) plan)->subplan =
			rewrite_plan(rewrite, ((SubqueryScan *) plan)->subplan, demand, steady);
	if (outerPlan(plan) != NULL)
		outerPlan(plan) =
			rewrite_plan(rewrite, outerPlan(plan), demand_of_child(plan, demand, true),
						 child_is_steady(plan, steady, true));
	if (innerPlan(plan) != NULL)
		innerPlan(plan) =
			rewrite_plan(rewrite, innerPlan(plan), demand_of_child(plan, demand, false),
						 child_is_steady(plan, steady, false));
}

/* Rewrite a node and what is below it; a steady one must be able to return to a marked row, which PgmlPredict is not. */
static Plan *
rewrite_plan(Rewrite *rewrite, Plan *plan, ScanDemand demand, bool steady)
{
	Plan *split = plan;

	check_stack_depth();
	if (!steady && is_worth_it(plan))
		split = scan_split(rewrite->stmt, plan, demand, &rewrite->last_node_id);
	if (split != plan)
	{
		rewrite->changed = true;
		if (outerPlan(split) == plan)
			rewrite_children(rewrite, plan, demand, false);
		else
			outerPlan(split) = rewrite_plan(rewrite, outerPlan(split), demand, false);
		return split;
	}
	if (IsA(plan, Agg) && !DO_AGGSPLIT_COMBINE(((Agg *) plan)->aggsplit))
	{
		trim_columns((Agg *) plan);
		split_aggregate(rewrite, plan, demand_of_child(plan, demand, true));
	}
	rewrite_children(rewrite, plan, demand, steady);
	return plan;
}

PlannedStmt *
scan_rewrite(const PlannedStmt *stmt, int last_node_id)
{
	Rewrite rewrite = { .stmt = copyObject(unconstify(PlannedStmt *, stmt)),
						.last_node_id = last_node_id };
	ListCell *cell;

	rewrite.stmt->planTree = rewrite_plan(&rewrite, rewrite.stmt->planTree, DEMAND_RUN, false);
	foreach(cell, rewrite.stmt->subplans)
		if (lfirst(cell) != NULL)
			lfirst(cell) = rewrite_plan(&rewrite, lfirst(cell), DEMAND_SOME, false);
	return rewrite.changed ? rewrite.stmt : NULL;
}
