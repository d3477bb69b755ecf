/*
 * scan_state.h - the node PgmlPredict while it runs; for scan_exec.c and scan_rows.c only.
 */
#ifndef PGML_PG_SCAN_STATE_H
#define PGML_PG_SCAN_STATE_H

#include "postgres.h"
#include "nodes/execnodes.h"

#include "pg/scan_job.h"

#define SCAN_FIRST_ROWS 8 /* of the first block */

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
	bool
		filter_ahead; /* conditions are evaluated for the block, and the target list's models score what passes */
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
	int *kept;               /* columns that expressions with predictions need */
	const LimitState *limit; /* that takes what this node gives; NULL: none */
	bool bound_set;
	int64 left; /* rows that may be read ahead */
	Oid user;   /* that the block was scored for */
	Phase phase;

	/* The block: filled by scan_rows.c, given away by scan_exec.c. */
	bool
		ended; /* the last call has found no row: the position is after the last or before the first */
	bool done;   /* the node below has no more rows */
	bool single; /* it is one row, where the node below has it */
	int size;    /* of the next one */
	int most; /* rows that the models and the memory allow, as of the last one; 0: there was none */
	int room;
	int rows;
	int next;      /* the row that follows the one given last */
	Datum *values; /* of the rows, n_kept each */
	bool *nulls;
	int *scored; /* number among the rows scored for the conditions; -1: original expressions */
	int *target_scored; /* the same for the target list */
	signed char
		*passed; /* whether the conditions have been evaluated: 0 false, 1 true, -1 not yet */
	Datum **whole_values; /* all columns of the row; NULL: those of values */
	bool **whole_nulls;
	ItemPointerData *tids;
	TupleTableSlot *tid_source; /* NULL: rows have no place */
	MemoryContext block;

	int64 total_blocks;
	int64 total_rows;
} PredictScan;

/* Calls and jobs that are made ahead in a phase. */
static inline int
open_calls(const PredictScan *self, Phase phase)
{
	return phase == PHASE_OPEN       ? self->n_calls :
		   phase == PHASE_CONDITIONS ? self->n_condition_calls :
									   0;
}

static inline int
open_jobs(const PredictScan *self, Phase phase)
{
	return phase == PHASE_OPEN       ? self->n_jobs :
		   phase == PHASE_CONDITIONS ? self->n_condition_jobs :
									   0;
}

/* Make one row the block, as it comes: the node below keeps it until it is asked for the next. */
extern void scan_fill_single(PredictScan *self);

/* Read rows ahead into the block and score them. */
extern void scan_fill_block(PredictScan *self);

/* Show the columns of row i of the block to expressions; then the predictions of calls from .. to - 1. */
extern void scan_show_row(PredictScan *self, int i);
extern void scan_show_predictions(PredictScan *self, int i, int from, int to);

#endif
