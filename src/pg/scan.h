/*
 * scan.h - calls of the predict functions in plain SQL scored many rows at a time; what the scan_*.c files share.
 *
 * A finished plan is rewritten when its execution begins: a node whose expressions call predict() and its like for
 * every row gets a node of ours, PgmlPredict, above it, which reads rows ahead, scores them together, and evaluates the
 * expressions with the predictions in place of the calls.
 *
 * What makes the answer the same as without it:
 *   - Rows are read ahead only where nobody can tell: nothing below is volatile or writes, and nothing below can raise
 *     an error, unless all rows are going to be read anyway (scan_risk.c).
 *   - Only calls that would be made for every row are made ahead, or those equal to one (scan_calls.c).
 *   - A row whose reading could raise an error, and every row while it is not known that the call's model, class and
 *     type can be used, is evaluated with the original expressions when its turn comes (scan_exec.c).
 */
#ifndef PGML_PG_SCAN_H
#define PGML_PG_SCAN_H

#include "postgres.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/plannodes.h"

#define SCAN_NODE_NAME "PgmlPredict"

/* How much of what a node can give will be read. */
typedef enum ScanDemand
{
	DEMAND_ALL,  /* everything, before anything else happens that could be told apart */
	DEMAND_RUN,  /* as much as the caller of the executor asks for */
	DEMAND_SOME, /* something above may stop early */
} ScanDemand;

/* What an expression or a plan may do when it is evaluated for rows that nobody asks for. */
typedef enum ScanRisk
{
	RISK_NONE,
	RISK_ERROR, /* it may raise an error */
	RISK_SHOWS  /* its evaluation can be told */
} ScanRisk;

/* scan_risk.c */
extern ScanRisk scan_expression_risk(const PlannedStmt *stmt, Node *expression);

/* Of reading rows of the node; its target list and the conditions given in place of its own are up to the caller. */
extern ScanRisk scan_plan_risk(const PlannedStmt *stmt, Plan *plan, List *conditions);

/* scan_calls.c: a call that can be scored in blocks. */
typedef struct ScanCalls
{
	const PlannedStmt *stmt;
	List *calls;            /* FuncExpr, all different */
	bool elements_may_fail; /* those of ROW(...) may raise errors */
	ScanRisk risk;          /* of the inputs of the calls */
} ScanCalls;

/* Whether the function is one of ours that reads rows. */
extern bool scan_is_predict(Oid function);
extern bool scan_has_predict(Node *expression);

/* Add the calls that are made whenever the expression is evaluated. */
extern void scan_add_calls(ScanCalls *calls, Node *expression);

/* Number of the call that is equal to the expression, from 0; -1: none. */
extern int scan_find_call(const List *calls, Node *expression);

/* Whether two calls predict the same: the same model for the same row. */
extern bool scan_same_job(const FuncExpr *a, const FuncExpr *b);

/* scan_split.c: whether the node can give any columns, so that its target list can move. */
extern bool scan_can_split(const Plan *plan);

/* Take over what the planner expects of a node that another one stands for. */
extern void scan_copy_estimates(Plan *to, const Plan *from);

/* The rewritten node, or the node itself when there is nothing to gain. */
extern Plan *scan_split(PlannedStmt *stmt, Plan *plan, ScanDemand demand, int *last_node_id);

/*
 * scan_plan.c: whether a statement predicts for so many rows that it is worth rewriting; *last_node_id becomes the highest
 * number of a node of its plan.
 */
extern bool scan_is_worth_it(const PlannedStmt *stmt, int *last_node_id);

/* The statement with its calls in blocks; NULL when none can be. */
extern PlannedStmt *scan_rewrite(const PlannedStmt *stmt, int last_node_id);

/* The lists in CustomScan.custom_exprs. */
enum
{
	SCAN_PLAIN_TARGETS,    /* target list with the calls in it, over the columns */
	SCAN_PLAIN_CONDITIONS, /* the conditions likewise */
	SCAN_CALLS             /* the calls, those of the first condition first */
};

/* The integers in CustomScan.custom_private; the tuples of the node are columns, then predictions. */
enum
{
	SCAN_N_COLUMNS,
	SCAN_N_CONDITION_CALLS,
	SCAN_RUN_ONLY,    /* read ahead only while everything is being read */
	SCAN_FILTER_AHEAD /* the conditions may be evaluated ahead */
};

/* scan_exec.c */
extern const CustomScanMethods scan_methods;

/* Note which of our nodes of a plan are below a LIMIT. */
extern void scan_link_limits(PlanState *node);

/* scan_single.c: have the prediction of a plan that is about one row read where its scan has the row. */
extern void scan_single(PlanState *node);

/* scan_hooks.c: whether the execution that this state belongs to is reading everything. */
extern bool scan_reads_all(const EState *estate);

/* Set the hooks and register the node; called once, from _PG_init. */
extern void pgml_scan_init(void);

#endif
