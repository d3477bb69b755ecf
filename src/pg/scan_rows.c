/*
 * scan_rows.c - the rows that PgmlPredict has read ahead.
 *
 * Of a row that was scored only the columns are kept that expressions with predictions need; of others all that the original
 * expressions do.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "pg/scan_state.h"

#define MAX_ROW_BYTES (8 * 1024 * 1024) /* of the columns of a block */

/* ---- showing rows -------------------------------------------------------------------------- */

/* Show the first columns of a row to expressions. */
static void
show_columns(PredictScan *self, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, self->last_column * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, self->last_column * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	self->css.ss.ps.ps_ExprContext->ecxt_scantuple = slot;
}

void
scan_show_row(PredictScan *self, int i)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;

	if (self->whole_values[i] != NULL)
		show_columns(self, self->whole_values[i], self->whole_nulls[i]);
	else
	{
		const Datum *values = self->values + (Size) i * self->n_kept;
		const bool *nulls = self->nulls + (Size) i * self->n_kept;

		ExecClearTuple(slot);
		for (int k = 0; k < self->n_kept; k++)
		{
			slot->tts_values[self->kept[k]] = values[k];
			slot->tts_isnull[self->kept[k]] = nulls[k];
		}
		ExecStoreVirtualTuple(slot);
		self->css.ss.ps.ps_ExprContext->ecxt_scantuple = slot;
	}
	if (self->tid_source != NULL)
		slot->tts_tid = self->tids[i];
}

void
scan_show_predictions(PredictScan *self, int i, int from, int to)
{
	TupleTableSlot *slot = self->css.ss.ss_ScanTupleSlot;
	MemoryContext old =
		MemoryContextSwitchTo(self->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);

	for (int k = from; k < to; k++)
	{
		const ScanCall *call = &self->calls[k];

		int row = call->job < self->n_condition_jobs ? self->scored[i] : self->target_scored[i];

		slot->tts_values[call->column] =
			scan_call_result(call, self->jobs[call->job], row, &slot->tts_isnull[call->column]);
	}
	MemoryContextSwitchTo(old);
}

/* ---- keeping rows -------------------------------------------------------------------------- */

/* Room for the columns of so many rows. */
static void
make_room(PredictScan *self, int rows)
{
	MemoryContext old = MemoryContextSwitchTo(self->css.ss.ps.state->es_query_cxt);
	Size n = (Size) rows * Max(self->last_column, 1);

	if (self->values != NULL)
	{
		pfree(self->values);
		pfree(self->nulls);
		pfree(self->scored);
		pfree(self->target_scored);
		pfree(self->passed);
		pfree(self->whole_values);
		pfree(self->whole_nulls);
		pfree(self->tids);
	}
	self->values = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	self->nulls = palloc_extended(n * sizeof(bool), MCXT_ALLOC_HUGE);
	self->scored = palloc(rows * sizeof(int));
	self->target_scored = palloc(rows * sizeof(int));
	self->passed = palloc(rows * sizeof(signed char));
	self->whole_values = palloc(rows * sizeof(Datum *));
	self->whole_nulls = palloc(rows * sizeof(bool *));
	self->tids = palloc(rows * sizeof(ItemPointerData));
	self->room = rows;
	MemoryContextSwitchTo(old);
}

/* Rows of the next block: twice as many as in the last, as many as the models and the memory allow. */
static int
next_size(PredictScan *self)
{
	int most = Max((int) (MAX_ROW_BYTES / (Max(self->last_column, 1) * sizeof(Datum))), 1);
	int rows;

	most = Min(most, MAX_BLOCK_ROWS);
	for (int i = 0; i < open_jobs(self, self->phase); i++)
		most = Min(most, scan_job_room(self->jobs[i]));
	rows = (int) Min(Min(self->size, most), self->left);
	self->size = Min(2 * self->size, MAX_BLOCK_ROWS);
	self->most = most;
	if (rows > self->room)
		make_room(self, rows);
	return rows;
}

/* Copy a value that is not NULL into the block's memory, unless it is one by itself. */
static inline Datum
copy_value(const PredictScan *self, int column, Datum value)
{
	Form_pg_attribute att =
		TupleDescAttr(self->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor, column);

	return att->attbyval ? value : datumCopy(value, false, att->attlen);
}

/* Keep all columns of a row for the original expressions. */
static void
keep_whole_row(PredictScan *self, int row, const TupleTableSlot *slot)
{
	Datum *values = palloc((self->last_column + 1) * sizeof(Datum));
	bool *nulls = palloc((self->last_column + 1) * sizeof(bool));

	for (int i = 0; i < self->last_column; i++)
	{
		nulls[i] = slot->tts_isnull[i];
		values[i] = nulls[i] ? (Datum) 0 : copy_value(self, i, slot->tts_values[i]);
	}
	self->whole_values[row] = values;
	self->whole_nulls[row] = nulls;
}

/* Keep what expressions with predictions need of a row. */
static void
keep_columns(PredictScan *self, int row, const TupleTableSlot *slot)
{
	Datum *values = self->values + (Size) row * self->n_kept;
	bool *nulls = self->nulls + (Size) row * self->n_kept;

	self->whole_values[row] = NULL;
	for (int i = 0; i < self->n_kept; i++)
	{
		int column = self->kept[i];

		nulls[i] = slot->tts_isnull[column];
		values[i] = nulls[i] ? (Datum) 0 : copy_value(self, column, slot->tts_values[column]);
	}
}

/* ---- filling the block -------------------------------------------------------------------- */

/* Read a row into jobs from .. to - 1; false, and it is in none, when one of them cannot take it. */
static bool
add_to_jobs(PredictScan *self, int from, int to, const Datum *values, const bool *nulls)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;
	bool shown = false;

	for (int i = from; i < to; i++)
	{
		if (self->jobs[i]->n_elements > 0 && !shown)
		{
			ResetExprContext(econtext);
			show_columns(self, values, nulls);
			shown = true;
		}
		if (scan_job_add(self->jobs[i], econtext, values, nulls))
			continue;
		while (i-- > from)
			scan_job_drop(self->jobs[i]);
		return false;
	}
	return true;
}

/* The next row from below, its columns read; NULL: there is none. */
static TupleTableSlot *
next_row(PredictScan *self)
{
	TupleTableSlot *slot = ExecProcNode(outerPlanState(self));

	if (TupIsNull(slot))
	{
		self->done = true;
		return NULL;
	}
	if (self->left > 0)
		self->left--;
	slot_getsomeattrs(slot, self->last_column);
	return slot;
}

void
scan_fill_single(PredictScan *self)
{
	TupleTableSlot *slot = next_row(self);

	self->single = true;
	if (self->room == 0)
		make_room(self, 1);
	if (slot == NULL)
		return;
	self->whole_values[0] = slot->tts_values;
	self->whole_nulls[0] = slot->tts_isnull;
	self->scored[0] = self->target_scored[0] = self->passed[0] = -1;
	if (self->tid_source != NULL)
		self->tids[0] = self->tid_source->tts_tid;
	self->rows = 1;
}

/* Read rows until the block has its size, and score them with the first n_jobs; returns how many are scored. */
static int
read_rows(PredictScan *self, int size, int n_jobs, bool keep_whole)
{
	int n_scored = 0;

	/* Rows may be of any width, so the memory that they take is looked at as well. */
	while (self->rows < size && MemoryContextMemAllocated(self->block, false) < MAX_ROW_BYTES)
	{
		TupleTableSlot *slot = next_row(self);
		int row = self->rows;
		MemoryContext old;
		bool added;

		if (slot == NULL)
			break;
		added = add_to_jobs(self, 0, n_jobs, slot->tts_values, slot->tts_isnull);
		self->scored[row] = added ? n_scored++ : -1;
		self->target_scored[row] = self->passed[row] = -1;
		old = MemoryContextSwitchTo(self->block);
		if (added && !keep_whole)
			keep_columns(self, row, slot);
		else
			keep_whole_row(self, row, slot);
		MemoryContextSwitchTo(old);
		if (self->tid_source != NULL)
			self->tids[row] = self->tid_source->tts_tid;
		self->rows++;
	}
	if (n_scored > 0)
		for (int i = 0; i < n_jobs; i++)
			scan_job_score(self->jobs[i]);
	return n_scored;
}

/* Evaluate the conditions for the block, and score what passes with the models that only the target list has. */
static void
filter_rows(PredictScan *self)
{
	ExprContext *econtext = self->css.ss.ps.ps_ExprContext;
	int n = 0;

	for (int i = 0; i < self->rows; i++)
	{
		if (self->scored[i] < 0)
			continue;
		ResetExprContext(econtext);
		scan_show_row(self, i);
		scan_show_predictions(self, i, 0, self->n_condition_calls);
		self->passed[i] = ExecQual(self->css.ss.ps.qual, econtext);
		if (self->passed[i] && add_to_jobs(self, self->n_condition_jobs, self->n_jobs,
										   self->whole_values[i], self->whole_nulls[i]))
			self->target_scored[i] = n++;
	}
	if (n > 0)
		for (int i = self->n_condition_jobs; i < self->n_jobs; i++)
			scan_job_score(self->jobs[i]);
}

void
scan_fill_block(PredictScan *self)
{
	bool filter =
		self->phase == PHASE_OPEN && self->filter_ahead && self->n_condition_jobs < self->n_jobs;
	int n_jobs = open_jobs(self, filter ? PHASE_CONDITIONS : self->phase);
	int size = next_size(self);
	int n_scored;

	self->single = false;
	for (int i = 0; i < open_jobs(self, self->phase); i++)
		scan_job_clear(self->jobs[i], size);
	n_scored = read_rows(self, size, n_jobs, filter || self->phase != PHASE_OPEN);
	if (filter)
		filter_rows(self);
	else if (self->phase == PHASE_OPEN)
		memcpy(self->target_scored, self->scored, self->rows * sizeof(int));
	self->total_blocks += n_scored > 0;
	self->total_rows += n_scored;
}
