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
    int n_classes;          /* 1 for regression */
    const char **classes;   /* labels in C collation; binary: [1] is the positive class */
    double *y;              /* per table row: value, or class number; NaN where the target is missing */
    int64_t n_missing;      /* rows without a target: they are left out */
    const char *notice;     /* labels that were merged, in words; NULL when none */
} PgmlTarget;

/*
 * Read the target.  task 0 = infer: boolean and text are classes (text that reads as numbers with more than 20 distinct
 * values is regression); integers with at most 20 distinct values covering nearly a range are classes only when
 * there are 2 of them or ... (see target.c); everything else is regression.  Labels that differ only in case,
 * surrounding blanks or a trailing full stop are merged under their most frequent spelling.  positive_class
 * (binary, may be NULL) becomes classes[1]; else the last label in C collation.
 * Errors (PGML_ERR_DATA): no rows with a target, one class, more than 1000 classes, infinite values,
 * a class with a single row is allowed; positive_class not among the labels (BADARG, lists them).
 */
extern PgmlStatus pgml_target_read(const PgmlEnv *env, const PgmlTable *table, int col, int task,
                                   const char *positive_class, PgmlArena *arena, PgmlTarget *out);

#endif
