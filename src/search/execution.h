/*
 * execution.h - what a training has executed: all that it owes to the clock and the machine rather than to its data and settings, so that it can
 * be executed again.
 *
 * The settings that are in the model, the folds, what ended each fit and when (core/clock.h), what was fitted again on all rows, and the
 * weights; and what the model was made from, as fingerprints.  Data, settings, seed and this give the same image again.
 */
#ifndef PGML_SEARCH_EXECUTION_H
#define PGML_SEARCH_EXECUTION_H

#include "core/clock.h"
#include "data/split.h"
#include "learner/learner.h"

/* What the clock decided in one fit. */
typedef struct PgmlFitNotes
{
	const PgmlNote *note; /* by rising numbers */
	int64_t n;
} PgmlFitNotes;

/* A trial that is in the model. */
typedef struct PgmlExecutedTrial
{
	int number; /* as in PgmlTrial */
	const PgmlLearner *learner;
	PgmlParams params; /* as the fits got them */
	double weight;
	double stack;        /* weight of the logarithms, where the models are stacked */
	int members;         /* of its fits in the image: the first ones */
	int64_t max_payload; /* bytes of a fit's payload; 0: no bound */
	bool memory_ended;   /* memory, not the clock, ended a fit */
	bool notes_lost;     /* there was no memory for all notes */
	int n_fits;
	PgmlFitNotes *fit; /* of each fold */
	bool refitted;     /* the only member is a fit to all training rows */
	int64_t refit_max_payload;
	PgmlFitNotes refit;
} PgmlExecutedTrial;

/* A column that was read, and the hash of its values. */
typedef struct PgmlReadColumn
{
	const char *name;
	uint64_t hash;
} PgmlReadColumn;

typedef struct PgmlExecution
{
	int64_t rows; /* read */
	uint64_t
		prepared; /* hash of what was learned from and tested on: features, targets, weights, groups, times, recipe */
	int n_columns;
	const PgmlReadColumn *columns; /* in their order */
	char cpu[16];                  /* what the fastest code here needs */
	char blas[128];                /* OpenBLAS as it describes itself; empty: not loaded */
	int folds;                     /* that were asked for; 1: one part validates */
	int max_bin;                   /* of the bins that fits share; 0: none were made */
	bool stacked;                  /* else the models are averaged */
	int n_trials;                  /* 0: there was no memory to note them */
	PgmlExecutedTrial *trials;     /* in the order of their members */
} PgmlExecution;

#endif
