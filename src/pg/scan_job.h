/*
 * scan_job.h - one model scoring one row input in blocks, for scan_exec.c.  Calls that differ in their verb only share a job.
 */
#ifndef PGML_PG_SCAN_JOB_H
#define PGML_PG_SCAN_JOB_H

#include "postgres.h"
#include "nodes/execnodes.h"

#include "pg/model_cache.h"
#include "pg/predict.h"
#include "pg/predict_block.h"
#include "pg/predict_probs.h"

/* A version of a row type; identifier 0: none. */
typedef struct RowType
{
	Oid type;
	int32 typmod;
	uint64 identifier;
} RowType;

typedef struct ScanJob
{
	FuncExpr *call;   /* whose first arguments are the model and the input */
	ExprState *model; /* reference to it */
	PgmlModelRef *ref;
	PgmlInputs *inputs;
	uint64 serial; /* of the model that the rest belongs to; 0: none */
	bool no_model; /* the reference is NULL, so all predictions are */
	MemoryContext context;
	MemoryContext of_model; /* emptied when the model changes */
	MemoryContext of_type;  /* and when the row type does; holds the block */
	PredictBlock *block;
	int rows;
	bool *missing; /* rows whose input is NULL */

	/* Input of the form ROW(...). */
	TupleDesc desc; /* NULL: a column that holds rows */
	int n_elements; /* of ROW(...), when some are not plain columns */
	ExprState **elements;
	int *columns; /* place of each element in a tuple, or in values */
	Datum *values;
	bool *nulls;

	/* Input that is a column which holds rows. */
	int column;
	RowType type; /* of the block */
	RowType seen; /* of the last row that the original expressions predicted for */
} ScanJob;

typedef struct ScanCall
{
	PredictVerb verb;
	int job;
	int column; /* of the node's tuples, from 0, that holds the prediction */
	Oid type;
	ExprState *class;                 /* predict_proba(): the class asked for; NULL: none */
	int asked;                        /* its number */
	Datum *labels;                    /* predict(): classes in the wanted type */
	PgmlProbabilities *probabilities; /* predict_probs(): the object to fill */
} ScanCall;

/* A job for the call; the expressions are over the tuples of the node. */
extern ScanJob *scan_job_create(FuncExpr *call, PlanState *parent);

/*
 * Resolve the model, as the active snapshot and the user have it: done before every block.  Errors are those of the
 * call, which must have been made successfully before.
 */
extern void scan_job_resolve(ScanJob *job, ExprContext *econtext);

/* 42501 when the current user may not use the model that the block was scored with. */
extern void scan_job_check_user(ScanJob *job);

/* Whether the call, of this job, can be scored in blocks with the model as it is now. */
extern bool scan_call_prepare(ScanCall *call, ScanJob *job, ExprContext *econtext);

/* Rows that the job may take at a time. */
extern int scan_job_room(const ScanJob *job);

/* Empty the block, and make room for so many rows. */
extern void scan_job_clear(ScanJob *job, int rows);

/*
 * Read a row; false, and it is not in the block, when it must be evaluated with the original expressions.  econtext
 * is only used for elements of ROW(...) that are no plain columns.
 */
extern bool scan_job_add(ScanJob *job, ExprContext *econtext, const Datum *values,
						 const bool *nulls);

/* Forget the last row. */
extern void scan_job_drop(ScanJob *job);

/* Note what a row that the original expressions have predicted for looks like. */
extern void scan_job_learn(ScanJob *job, const Datum *values, const bool *nulls);

/* Score the block. */
extern void scan_job_score(ScanJob *job);

/* What the call gives for row i of the block; memory is the current context's or that of the job. */
extern Datum scan_call_result(const ScanCall *call, const ScanJob *job, int i, bool *isnull);

#endif
