/*
 * scan_split.c - one node of a plan becomes two: the node, which gives plain columns, and PgmlPredict above it, which takes over
 * its target list and its conditions from the first one that predicts.
 *
 * Conditions keep their order: those before the first that predicts stay with the node; none is ever moved before
 * another, which row security relies on.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "pg/scan.h"

/* A node being split. */
typedef struct Split
{
	const PlannedStmt *stmt;
	Plan *plan;
	List *columns; /* expressions that the node below will give */
	int n_given;   /* the first of them are attributes 1, 2, ... of given_varno; found by number */
	int given_varno;
	ScanCalls calls;
} Split;

/* How to carry an expression over. */
typedef struct Carry
{
	Split *split;
	int varno;      /* that refers to the columns */
	int n_replaced; /* the first of the calls, by their predictions */
	bool show;      /* for EXPLAIN: columns of tables stay as they are */
} Carry;

static Node *carry_over(Node *node, void *arg);

/* ---- columns ------------------------------------------------------------------------------- */

/* A reference to the column that holds an expression of the node's. */
static Var *
column_reference(Split *split, Expr *expression, int varno)
{
	AttrNumber column = 0;
	ListCell *cell;

	if (IsA(expression, Var) && ((Var *) expression)->varno == split->given_varno &&
		((Var *) expression)->varattno > 0 && ((Var *) expression)->varattno <= split->n_given)
		column = ((Var *) expression)->varattno;
	for_each_from(cell, split->columns, split->n_given)
	{
		if (column == 0 && equal(lfirst(cell), expression))
			column = foreach_current_index(cell) + 1;
	}
	if (column == 0)
	{
		split->columns = lappend(split->columns, expression);
		column = list_length(split->columns);
	}
	return makeVar(varno, column, exprType((Node *) expression), exprTypmod((Node *) expression),
				   exprCollation((Node *) expression), 0);
}

/* The target list of what a subquery, WITH query or VALUES list gives; NIL for everything else. */
static List *
source_expressions(const Split *split)
{
	List *expressions = NIL;
	List *targets = NIL;
	ListCell *cell;

	switch (nodeTag(split->plan))
	{
		case T_SubqueryScan:
			targets = ((SubqueryScan *) split->plan)->subplan->targetlist;
			break;
		case T_CteScan:
			targets =
				((Plan *) list_nth(split->stmt->subplans, ((CteScan *) split->plan)->ctePlanId - 1))
					->targetlist;
			break;
		case T_ValuesScan:
			return linitial(((ValuesScan *) split->plan)->values_lists);
		default:
			break;
	}
	foreach(cell, targets)
	{
		TargetEntry *target = lfirst(cell);

		if (!target->resjunk)
			expressions = lappend(expressions, target->expr);
	}
	return expressions;
}

/* ROW(...) of the columns that a whole row without a named type has; NULL when they are not known. */
static RowExpr *
expand_record(const Split *split, const Var *var)
{
	const RangeTblEntry *rte = rt_fetch(var->varno, split->stmt->rtable);
	List *expressions = source_expressions(split);
	RowExpr *row = makeNode(RowExpr);
	ListCell *cell;

	if (expressions == NIL || list_length(expressions) != list_length(rte->eref->colnames))
		return NULL;
	foreach(cell, expressions)
	{
		Node *column = lfirst(cell);

		row->args = lappend(row->args,
							makeVar(var->varno, foreach_current_index(cell) + 1, exprType(column),
									exprTypmod(column), exprCollation(column), 0));
	}
	row->colnames = copyObject(rte->eref->colnames);
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return row;
}

/* A NULL in the place of a dropped column, as the planner writes it. */
static Const *
dropped_column(void)
{
	return makeConst(INT4OID, -1, InvalidOid, sizeof(int32), (Datum) 0, true, true);
}

/* Number of the column of a row type with a name; 0: none. */
static AttrNumber
column_named(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

/*
 * ROW(...) of the columns of a whole row of a named type, as a row of that type or, for a partition, of its
 * parent's; NULL when there is no column for one of it.
 */
static RowExpr *
expand_named(const Var *var, Oid as_type)
{
	TupleDesc from = lookup_rowtype_tupdesc(var->vartype, -1);
	TupleDesc to = lookup_rowtype_tupdesc(as_type, -1);
	RowExpr *row = makeNode(RowExpr);

	row->row_typeid = as_type;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	for (int i = 0; i < to->natts && row != NULL; i++)
	{
		Form_pg_attribute att = TupleDescAttr(to, i);
		AttrNumber number = i + 1;

		if (var->vartype != as_type && !att->attisdropped)
			number = column_named(from, NameStr(att->attname));
		if (att->attisdropped)
			row->args = lappend(row->args, dropped_column());
		else if (number == 0)
			row = NULL;
		else
			row->args = lappend(row->args, makeVar(var->varno, number, att->atttypid,
												   att->atttypmod, att->attcollation, 0));
	}
	ReleaseTupleDesc(from);
	ReleaseTupleDesc(to);
	return row;
}

/* ROW(...) for a whole row of the scanned relation, also one converted to a parent's type; NULL: not such a thing. */
static RowExpr *
expand_row(const Split *split, Node *node)
{
	Oid as_type = exprType(node);
	const Var *var;

	while (IsA(node, ConvertRowtypeExpr))
		node = (Node *) ((ConvertRowtypeExpr *) node)->arg;
	var = (Var *) node;
	if (!IsA(node, Var) || var->varattno != 0 || IS_SPECIAL_VARNO(var->varno))
		return NULL;
	if (var->vartype == RECORDOID)
		return expand_record(split, var);
	if (get_typtype(var->vartype) != TYPTYPE_COMPOSITE || get_typtype(as_type) != TYPTYPE_COMPOSITE)
		return NULL;
	return expand_named(var, as_type);
}

/* ---- expressions --------------------------------------------------------------------------- */

/* Reference to the prediction of a call. */
static Var *
prediction_reference(const Carry *carry, int call)
{
	Node *expression = list_nth(carry->split->calls.calls, call);

	return makeVar(carry->varno, list_length(carry->split->columns) + call + 1,
				   exprType(expression), exprTypmod(expression), exprCollation(expression), 0);
}

/* An expression of the node's as one over its columns. */
static Node *
carry_over(Node *node, void *arg)
{
	Carry *carry = arg;
	RowExpr *row;
	int call;

	if (node == NULL)
		return NULL;
	call = carry->n_replaced > 0 ? scan_find_call(carry->split->calls.calls, node) : -1;
	if (call >= 0 && call < carry->n_replaced)
		return (Node *) prediction_reference(carry, call);
	if (IsA(node, Var) || IsA(node, ConvertRowtypeExpr))
	{
		if (carry->show && (!IsA(node, Var) || !IS_SPECIAL_VARNO(((Var *) node)->varno)))
			return copyObject(node);
		row = expand_row(carry->split, node);
		if (row != NULL)
			return expression_tree_mutator((Node *) row, carry_over, arg);
	}
	if (IsA(node, Var) || (IsA(carry->split->plan, WindowAgg) && IsA(node, WindowFunc)))
		return (Node *) column_reference(carry->split, (Expr *) node, carry->varno);
	return expression_tree_mutator(node, carry_over, arg);
}

/* ---- which nodes --------------------------------------------------------------------------- */

/* Whether the node's conditions are a mere filter of the rows it has found. */
static bool
is_filter(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_TableFuncScan:
		case T_ValuesScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
			return true;
		default:
			return false;
	}
}

/* Conditions of joins and the like stay where they are. */
bool
scan_can_split(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Result:
			return outerPlan(plan) != NULL && plan->qual == NIL &&
				   ((Result *) plan)->resconstantqual == NULL;
		case T_ForeignScan:
			return ((ForeignScan *) plan)->operation == CMD_SELECT &&
				   ((ForeignScan *) plan)->fdw_scan_tlist == NIL &&
				   ((ForeignScan *) plan)->scan.scanrelid > 0;
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Gather:
		case T_GatherMerge:
		case T_WindowAgg:
			return true;
		default:
			return is_filter(plan);
	}
}

/*
 * Begin with the columns that cost nothing: all of a table's, which its scan gives without copying, or those of the
 * node below a Result.
 */
static void
give_columns(Split *split)
{
	const Plan *plan = split->plan;
	Index relation = IsA(plan, SeqScan) || IsA(plan, SampleScan) || IsA(plan, IndexScan) ||
							 IsA(plan, BitmapHeapScan) || IsA(plan, TidScan) ||
							 IsA(plan, TidRangeScan) ?
						 ((Scan *) plan)->scanrelid :
						 0;
	ListCell *cell;

	if (IsA(plan, Result))
	{
		foreach(cell, outerPlan(plan)->targetlist)
		{
			Node *expression = (Node *) ((TargetEntry *) lfirst(cell))->expr;

			split->columns =
				lappend(split->columns,
						makeVar(OUTER_VAR, foreach_current_index(cell) + 1, exprType(expression),
								exprTypmod(expression), exprCollation(expression), 0));
		}
		split->given_varno = OUTER_VAR;
	}
	else if (relation > 0)
	{
		TupleDesc desc = lookup_rowtype_tupdesc(
			get_rel_type_id(rt_fetch(relation, split->stmt->rtable)->relid), -1);
		bool dropped = false;

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			dropped |= att->attisdropped;
			split->columns = lappend(split->columns, makeVar(relation, i + 1, att->atttypid,
															 att->atttypmod, att->attcollation, 0));
		}
		ReleaseTupleDesc(desc);
		if (dropped)
			split->columns = NIL;
		split->given_varno = relation;
	}
	split->n_given = list_length(split->columns);
}

/* ---- calls --------------------------------------------------------------------------------- */

/* The conditions from the first one on that makes a call which can be scored in blocks; its calls are added. */
static List *
find_conditions(Split *split, List *conditions)
{
	ListCell *cell;

	foreach(cell, conditions)
	{
		scan_add_calls(&split->calls, lfirst(cell));
		if (split->calls.calls != NIL)
			return list_copy_tail(conditions, foreach_current_index(cell));
	}
	return NIL;
}

/*
 * The calls of the node; false when there are none or rows must not be read ahead for them.  Behind conditions the input
 * of a call must not be read when it could raise an error: the row may be filtered out.
 */
static bool
find_calls(Split *split, ScanDemand demand, List **conditions, int *n_condition_calls,
		   bool *run_only)
{
	ScanRisk risk;

	split->calls = (ScanCalls){ .stmt = split->stmt, .elements_may_fail = demand != DEMAND_SOME };
	*conditions = is_filter(split->plan) ? find_conditions(split, split->plan->qual) : NIL;
	*n_condition_calls = list_length(split->calls.calls);
	split->calls.elements_may_fail &= *conditions == NIL;
	scan_add_calls(&split->calls, (Node *) split->plan->targetlist);
	if (split->calls.calls == NIL)
		return false;
	risk = IsA(split->plan, Result) ?
			   scan_plan_risk(split->stmt, outerPlan(split->plan), outerPlan(split->plan)->qual) :
			   scan_plan_risk(split->stmt, split->plan,
							  list_copy_head(split->plan->qual, list_length(split->plan->qual) -
																	list_length(*conditions)));
	if (IsA(split->plan, Result))
		risk = Max(risk,
				   scan_expression_risk(split->stmt, (Node *) outerPlan(split->plan)->targetlist));
	risk = Max(risk, split->calls.risk);
	*run_only = risk == RISK_ERROR && demand == DEMAND_RUN;
	return risk == RISK_NONE || (risk == RISK_ERROR && demand != DEMAND_SOME);
}

/* ---- the new node -------------------------------------------------------------------------- */

/* Target list of the columns themselves. */
static List *
column_targets(List *columns)
{
	List *targets = NIL;
	ListCell *cell;

	foreach(cell, columns)
		targets = lappend(targets, makeTargetEntry(copyObject(lfirst(cell)),
												   list_length(targets) + 1, NULL, false));
	return targets;
}

/* What the node's tuples are: columns of the node below, then predictions. */
static List *
tuple_targets(Split *split)
{
	Carry show = { .split = split, .varno = OUTER_VAR, .show = true };
	List *targets = NIL;
	ListCell *cell;

	foreach(cell, split->columns)
	{
		Node *column = lfirst(cell);
		Var *var = makeVar(OUTER_VAR, list_length(targets) + 1, exprType(column),
						   exprTypmod(column), exprCollation(column), 0);

		targets =
			lappend(targets, makeTargetEntry((Expr *) var, list_length(targets) + 1, NULL, false));
	}
	foreach(cell, split->calls.calls)
		targets = lappend(targets, makeTargetEntry((Expr *) carry_over(lfirst(cell), &show),
												   list_length(targets) + 1, NULL, false));
	return targets;
}

#if PG_VERSION_NUM >= 180000
/*
 * EXPLAIN calls a node disabled whose count of disabled nodes is higher than that of the nodes below, and below a custom
 * node it looks only at this list.
 */
static List *
disabled_below(const Plan *plan)
{
	Result *below = makeNode(Result);

	below->plan.disabled_nodes = plan->disabled_nodes;
	return list_make1(below);
}
#endif

void
scan_copy_estimates(Plan *to, const Plan *from)
{
	to->startup_cost = from->startup_cost;
	to->total_cost = from->total_cost;
#if PG_VERSION_NUM >= 180000
	to->disabled_nodes = from->disabled_nodes;
#endif
	to->plan_rows = from->plan_rows;
	to->plan_width = from->plan_width;
	to->parallel_safe = from->parallel_safe;
	to->extParam = bms_copy(from->extParam);
	to->allParam = bms_copy(from->allParam);
}

/* Take over what the planner has said about the node. */
static void
copy_node(CustomScan *to, const Plan *from, int id)
{
	scan_copy_estimates(&to->scan.plan, from);
#if PG_VERSION_NUM >= 180000
	if (from->disabled_nodes > 0)
		to->custom_plans = disabled_below(from);
#endif
	to->scan.plan.plan_node_id = id;
	to->scan.plan.initPlan = from->initPlan;
}

/* A run condition of a WindowAgg, whose columns are places in its target list, when the columns become that. */
static Node *
move_run_condition(Node *node, void *arg)
{
	Split *split = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		TargetEntry *target = list_nth(split->plan->targetlist, ((Var *) node)->varattno - 1);

		return (Node *) column_reference(split, target->expr, ((Var *) node)->varno);
	}
	return expression_tree_mutator(node, move_run_condition, arg);
}

/*
 * Put PgmlPredict above the node, with the expressions over its columns.  While conditions are evaluated only predictions
 * of the first one's calls are there, so that others which the target list also makes stay calls in them.
 */
static Plan *
build(Split *split, List *conditions, int n_condition_calls, bool run_only, int id)
{
	CustomScan *scan = makeNode(CustomScan);
	Plan *plan = split->plan;
	Carry plain = { .split = split, .varno = INDEX_VAR };
	Carry first = { .split = split, .varno = INDEX_VAR, .n_replaced = n_condition_calls };
	Carry all = { .split = split,
				  .varno = INDEX_VAR,
				  .n_replaced = list_length(split->calls.calls) };
	List *targets = plan->targetlist;
	List *plain_targets = (List *) carry_over((Node *) targets, &plain);
	List *plain_conditions = (List *) carry_over((Node *) conditions, &plain);
	List *calls = (List *) carry_over((Node *) split->calls.calls, &plain);
	bool filter_ahead;

	copy_node(scan, plan, id);
	scan->methods = &scan_methods;
	scan->custom_exprs = list_make3(plain_targets, plain_conditions, calls);
	scan->custom_scan_tlist = tuple_targets(split);
	scan->scan.plan.targetlist = (List *) carry_over((Node *) targets, &all);
	scan->scan.plan.qual = (List *) carry_over((Node *) conditions, &first);
	filter_ahead = scan_expression_risk(split->stmt, (Node *) scan->scan.plan.qual) == RISK_NONE;
	scan->custom_private =
		list_make4(makeInteger(list_length(split->columns)), makeInteger(n_condition_calls),
				   makeInteger(run_only), makeInteger(filter_ahead));
	if (IsA(plan, Result))
	{
		outerPlan(&scan->scan.plan) = outerPlan(plan);
		return (Plan *) scan;
	}
	if (IsA(plan, WindowAgg))
		((WindowAgg *) plan)->runCondition =
			(List *) move_run_condition((Node *) ((WindowAgg *) plan)->runCondition, split);
	plan->targetlist = column_targets(split->columns);
	plan->qual = list_truncate(plan->qual, list_length(plan->qual) - list_length(conditions));
	plan->initPlan = NIL;
	plan->async_capable = false;
	outerPlan(&scan->scan.plan) = plan;
	return (Plan *) scan;
}

/* Find all columns; without the cheap ones when others are needed as well, since then all would be copied. */
static void
find_columns(Split *split, List *conditions)
{
	Carry plain = { .split = split, .varno = INDEX_VAR };

	give_columns(split);
	carry_over((Node *) split->plan->targetlist, &plain);
	carry_over((Node *) conditions, &plain);
	if (list_length(split->columns) > split->n_given && !IsA(split->plan, Result))
	{
		split->columns = NIL;
		split->n_given = 0;
		carry_over((Node *) split->plan->targetlist, &plain);
		carry_over((Node *) conditions, &plain);
	}
}

Plan *
scan_split(PlannedStmt *stmt, Plan *plan, ScanDemand demand, int *last_node_id)
{
	Split split = { .stmt = stmt, .plan = plan };
	List *conditions;
	int n_condition_calls;
	bool run_only;

	if (!scan_can_split(plan) ||
		!find_calls(&split, demand, &conditions, &n_condition_calls, &run_only))
		return plan;
	find_columns(&split, conditions);
	return build(&split, conditions, n_condition_calls, run_only, ++*last_node_id);
}
