/*
 * target.h - the target column: which task it is, and clean class labels.
 */
#ifndef PGML_PREP_TARGET_H
#define PGML_PREP_TARGET_H

#include "core/env.h"
#include "data/table.h"
#include "learner/task.h"

typedef struct PgmlTarget
{
	PgmlTask task;
	int n_classes;        /* 1 for regression */
	const char **classes; /* labels in C collation; binary: [1] is the positive class */
	double *y;         /* per table row: value, or class number; NaN where the target is missing */
	int64_t n_missing; /* rows without a target: they are left out */
	const char *
		notice; /* labels that were merged and the like, in words; NULL when there is nothing to say */
} PgmlTarget;

/* True when training merges the two labels: they differ only in case, surrounding blanks, a full stop, or as 1 and 1.0. */
extern bool pgml_same_label(const char *a, const char *b);

/* Place of a label among n: where it is spelled so, else the first one that is the same label; -1 when there is none. */
extern int pgml_find_label(const char *const *labels, int n, const char *label);

/*
 * Read the target.  task: a PgmlTask, 0 = infer, -1 = any classes.  Inferred: boolean and text are classes (text that
 * reads as numbers of more than 20 different values is regression); two different whole numbers are classes, and integers
 * of at most 10 different values that repeat; other numbers and intervals (in seconds) are regression: target.c.
 * Labels that differ only in case, surrounding blanks or a trailing full stop are merged under their most frequent
 * spelling; so are equal numbers when all labels are plain numbers (1 and 1.0, but not 1 and 01).  positive_class (binary, may be NULL) becomes classes[1]; else the last label in C collation does.
 * PGML_ERR_DATA: no rows, no row with a target, one class, a constant number, more than 1000 classes, more labels than
 * half the rows (of more than 10), infinite values and those beyond 1e150, dates and times, a task that does not fit.  PGML_ERR_BADARG: positive_class is not among the labels (lists them).
 * A class with a single row is allowed.
 */
extern PgmlStatus pgml_target_read(const PgmlEnv *env, const PgmlTable *table, int col, int task,
								   const char *positive_class, PgmlArena *arena, PgmlTarget *out);

#endif
