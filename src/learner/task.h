/* task.h - what is predicted; values are bits so that sets of tasks can be written down. */
#ifndef PGML_LEARNER_TASK_H
#define PGML_LEARNER_TASK_H

/* Stored in images: never renumber. */
typedef enum PgmlTask
{
	PGML_TASK_REGRESSION = 1,
	PGML_TASK_BINARY = 2,
	PGML_TASK_MULTICLASS = 4
} PgmlTask;

#define PGML_TASK_ANY_CLASSES (PGML_TASK_BINARY | PGML_TASK_MULTICLASS)
#define PGML_TASK_ANY         (PGML_TASK_REGRESSION | PGML_TASK_ANY_CLASSES)

/* Numbers a prediction consists of: 1 for regression and binary (probability of class 1), else n_classes. */
static inline int
pgml_task_outputs(PgmlTask task, int n_classes)
{
	return task == PGML_TASK_MULTICLASS ? n_classes : 1;
}

#endif
