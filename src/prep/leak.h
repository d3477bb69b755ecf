/*
 * leak.h - columns that look as if they know the target.
 */
#ifndef PGML_PREP_LEAK_H
#define PGML_PREP_LEAK_H

#include "core/env.h"
#include "data/matrix.h"
#include "data/table.h"
#include "learner/task.h"

typedef struct PgmlLeak
{
	int32_t source; /* input column */
	double
		strength; /* single-column score: AUC of its best one-column rule (classes) or R2 (regression) */
	char why[256]; /* "alone predicts the target with AUC 0.998" */
} PgmlLeak;

/*
 * Score every input column alone on the given rows (the first 20,000 with a target: they come in no order that means anything):
 * half of them, dealt by the seed, fits a one-column histogram rule, half measures it.  Reports columns above 0.98 AUC (0.97 R2), and columns whose being missing alone
 * tells the target (AUC > 0.95).  Only a warning: the columns stay.  At most max entries, strongest first.
 */
extern PgmlStatus pgml_leak_scan(const PgmlEnv *env, const PgmlMatrix *x, const double *y,
								 PgmlTask task, int n_classes, const int32_t *rows, int64_t n,
								 PgmlLeak *out, int max, int *n_found);

#endif
