/*
 * oblivious_prepared.h - the prepared form of a model: made in oblivious_prepare.c, followed in oblivious_block.c.
 */
#ifndef PGML_LEARNER_OBLIVIOUS_PREPARED_H
#define PGML_LEARNER_OBLIVIOUS_PREPARED_H

#include "learner/oblivious_block.h"

/* A level that is asked for. */
typedef struct PgmlOblLevelLine
{
	int32_t feature;
	uint32_t bin;
} PgmlOblLevelLine;

/*
 * The head of a prepared model, which is bytes without pointers.  The arrays of PgmlOblPrepared follow, at these distances from
 * the head; all are multiples of 64.
 */
typedef struct PgmlOblForm
{
	uint64_t size;   /* of all */
	uint32_t kernel; /* number in pgml_obl_kernels() */
	uint32_t n_numbers;
	uint32_t n_levels;
	uint32_t n_statistics;
	uint64_t number;
	uint64_t cuts;
	uint64_t level;
	uint64_t statistic;
	uint64_t first;
	uint64_t test;
} PgmlOblForm;

/* Pointers into a prepared model and what it was made of.  Lines: of numbers, then of levels, then of statistics. */
typedef struct PgmlOblPrepared
{
	const PgmlOblKernel *kernel;
	const PgmlShape *shape;
	PgmlOblView view;
	uint32_t n_numbers;
	uint32_t n_levels;
	uint32_t n_statistics;
	const int32_t *number;   /* features whose numbers are compared */
	const PgmlGbmCuts *cuts; /* of each */
	const PgmlOblLevelLine *level;
	const uint32_t *statistic; /* lines of the payload */
	const uint32_t *first;     /* n_trees + 1: first test of each tree */
	const PgmlGbmTest *test;
} PgmlOblPrepared;

#endif
