/*
 * svm_fit.h - a fit of learner `svm` on its way: what svm_plan.c decides, svm.c prepares, svm_tasks.c solves and svm_write.c stores.
 *
 * Rows are known by their place in data->rows.  Those with a weight are listed class by class (a regression has one class), and
 * the rows of a decision are one or two stretches of that list, the positive class first where there are two.
 */
#ifndef PGML_LEARNER_SVM_FIT_H
#define PGML_LEARNER_SVM_FIT_H

#include "learner/svm.h"

/* ---- settings ---- */

enum
{
	PGML_SVM_PARAM_C,
	PGML_SVM_PARAM_KERNEL,
	PGML_SVM_PARAM_GAMMA,
	PGML_SVM_PARAM_LOSS,
	PGML_SVM_PARAM_EPSILON,
	PGML_SVM_PARAM_SOLVER,
	PGML_SVM_PARAM_N_COMPONENTS,
	PGML_SVM_PARAM_TOL,
	PGML_SVM_PARAM_MAX_ITER,
	PGML_SVM_PARAM_CLASS_WEIGHT,
	PGML_SVM_PARAM_CV,
	PGML_SVM_PARAM_CACHE_SIZE,
	PGML_SVM_PARAMS
};

enum
{
	PGML_SVM_KERNEL_AUTO,
	PGML_SVM_KERNEL_LINEAR,
	PGML_SVM_KERNEL_RBF
};

enum
{
	PGML_SVM_LOSS_AUTO,
	PGML_SVM_LOSS_HINGE,
	PGML_SVM_LOSS_SQUARED_HINGE,
	PGML_SVM_LOSS_INSENSITIVE,
	PGML_SVM_LOSS_SQUARED_INSENSITIVE
};

enum
{
	PGML_SVM_SOLVER_AUTO,
	PGML_SVM_SOLVER_EXACT,
	PGML_SVM_SOLVER_APPROXIMATE
};

enum
{
	PGML_SVM_WEIGHT_NONE,
	PGML_SVM_WEIGHT_BALANCED
};

/* ---- svm_plan.c ---- */

extern const PgmlParam pgml_svm_params[PGML_SVM_PARAMS];

/* What follows from the settings and the shape of the data. */
typedef struct PgmlSvmPlan
{
	uint32_t kernel;
	bool exact;
	int64_t largest;      /* rows of the largest decision */
	int64_t coefs;        /* exact: of all decisions' rows */
	int64_t n_components; /* approximate */
} PgmlSvmPlan;

/* columns: of the design, one-hot, those that are always 0 left out. */
extern void pgml_svm_plan(const PgmlDataset *data, const PgmlParams *params, int64_t columns,
						  PgmlSvmPlan *plan);

/* Rows with a weight of each class (a regression has one). */
extern void pgml_svm_count_classes(const PgmlDataset *data, int64_t *count);

/* Bytes for kernel values of one task with n rows, as they are asked for. */
extern int64_t pgml_svm_wanted_cache(const PgmlParams *params, int64_t n);

/* The learner's memory(). */
extern int64_t pgml_svm_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload);

/* ---- the fit ---- */

/* Weights of a row beyond these are taken for these: nothing overflows then. */
#define PGML_SVM_LEAST_C 1e-100
#define PGML_SVM_MOST_C  1e12

/* One decision function. */
typedef struct PgmlSvmDecision
{
	int32_t positive; /* class; -1: regression */
	int64_t start[2], len[2];
	/* Exact: beta of each row; else the weights, and coef[0] is the bias. */
	double *coef;
	int64_t n_coefs;
	double bias;
	float *held; /* per row: decision of a fit without it, NaN: not known; NULL: not wanted */
	PgmlSvmSigmoid sigmoid;
	bool late;
} PgmlSvmDecision;

typedef struct PgmlSvmFit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	PgmlArena *arena;
	PgmlLinearDesign design;

	/* What is solved. */
	uint32_t kernel; /* as stored */
	uint32_t scheme;
	bool exact;
	float gamma;
	PgmlSvmLoss loss;
	double epsilon, tol;
	int64_t max_iter;
	int64_t cache_bytes;
	int folds;          /* to find out decisions for the calibration; 0: none */
	int folds_left_out; /* of them, so many one after the other: enough for PGML_SVM_CALIBRATION_ROWS */

	/* Rows. */
	PgmlSvmRows rows;   /* number NULL: the deadline came before they were there */
	PgmlSvmRows mapped; /* approximate: features of all rows */
	PgmlSvmMap map;
	int32_t *base; /* first coefficient row of each code */
	double *y;     /* per place: class, or scaled target */
	double *c;
	int32_t *list;     /* places, class by class */
	int64_t *class_at; /* n_classes + 1 places in list */
	uint8_t *fold;     /* of each row of the list */
	int64_t n_used;

	int64_t n_decisions;
	PgmlSvmDecision *decisions;
	PgmlClock *clocks; /* of the tasks; NULL: none */
} PgmlSvmFit;

/* Place in the list of row k of a decision, and the row itself: its place in data->rows. */
static inline int64_t
pgml_svm_at(const PgmlSvmDecision *d, int64_t k)
{
	return k < d->len[0] ? d->start[0] + k : d->start[1] + k - d->len[0];
}

static inline int32_t
pgml_svm_row_of(const PgmlSvmFit *fit, const PgmlSvmDecision *d, int64_t k)
{
	return fit->list[pgml_svm_at(d, k)];
}

/* ---- svm_tasks.c ---- */

/* Solve all decisions, and again without each fold where fit->folds asks for it, on the threads of env->pool. */
extern PgmlStatus pgml_svm_solve_all(PgmlSvmFit *fit);

/* Bytes of one task with n rows of that width: exact, or linear with so many coefficients. */
extern int64_t pgml_svm_task_memory(bool exact, int64_t n, int64_t width, int64_t coefs,
									int64_t cache_bytes);

/* ---- svm_write.c ---- */

/* Rows that the calibration of a decision looks at, at most, and their decisions altogether. */
#define PGML_SVM_CALIBRATION_ROWS   20000
#define PGML_SVM_CALIBRATION_VALUES ((int64_t) 4 << 20)

/* Validation rows that are looked at for so many decisions. */
static inline int64_t
pgml_svm_calibration_rows(int64_t decisions)
{
	int64_t rows = PGML_SVM_CALIBRATION_VALUES / decisions;

	return rows < PGML_SVM_CALIBRATION_ROWS ? rows + 1 : PGML_SVM_CALIBRATION_ROWS;
}

/* Append the payload; probabilities are calibrated with the decisions held, or those of the validation rows without folds. */
extern PgmlStatus pgml_svm_write(PgmlSvmFit *fit, PgmlBuf *out);

#endif
