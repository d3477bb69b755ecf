/*
 * svm_plan.c - the settings of learner `svm`, which solver they and the data lead to, and the memory that it takes.
 */
#include "learner/svm_fit.h"

/* Exact kernels are for problems whose numbers of rows have squares that add up to this at most. */
#define EXACT_SQUARES 1.6e9

/* Kernel auto is linear with more columns than this, or more than rows. */
#define MANY_COLUMNS 1000

/* The features of an approximation take no more than this: with more rows there are fewer of them. */
#define MAP_BYTES      ((int64_t) 256 << 20)
#define MAP_COMPONENTS 32 /* but not fewer than this */

const PgmlParam pgml_svm_params[PGML_SVM_PARAMS] = {
	[PGML_SVM_PARAM_C] = { "C", "cost", PGML_PARAM_REAL, 1e-9, 1e9, 1, true,
						   "What an error costs; large values follow the training rows, small ones keep the "
						   "function smooth.",
						   NULL },
	[PGML_SVM_PARAM_KERNEL] = { "kernel", NULL, PGML_PARAM_CHOICE, 0, 2, PGML_SVM_KERNEL_AUTO,
								false,
								"auto: linear with more than 1,000 columns or more columns than rows, else rbf.",
								"auto linear rbf" },
	[PGML_SVM_PARAM_GAMMA] = { "gamma", NULL, PGML_PARAM_REAL, 1e-12, 1e9, PGML_WORD(0), true,
							   "Inverse width of the rbf kernel; scale: 1 / (columns * variance of all their "
							   "values), auto: 1 / columns.",
							   "scale auto" },
	[PGML_SVM_PARAM_LOSS] = { "loss", NULL, PGML_PARAM_CHOICE, 0, 4, PGML_SVM_LOSS_AUTO, false,
							  "auto: epsilon_insensitive for numbers; for classes hinge in the exact solver, else "
							  "squared_hinge. The exact solver knows no squares.",
							  "auto hinge squared_hinge epsilon_insensitive squared_epsilon_insensitive" },
	[PGML_SVM_PARAM_EPSILON] = { "epsilon", NULL, PGML_PARAM_REAL, 0, 1e6, 0.1, true,
								 "Errors up to this cost nothing, in standard deviations of the target; "
								 "regression only.",
								 NULL },
	[PGML_SVM_PARAM_SOLVER] = { "solver", NULL, PGML_PARAM_CHOICE, 0, 2, PGML_SVM_SOLVER_AUTO,
								false,
								"How the rbf kernel is solved. auto: exact up to 40,000 rows (two classes, "
								"or numbers) and 32 classes.",
								"auto exact approximate" },
	[PGML_SVM_PARAM_N_COMPONENTS] = { "n_components", NULL, PGML_PARAM_INT, 1, 1500, 500, true,
									  "Rows that the approximate solver makes its features from.",
									  NULL },
	[PGML_SVM_PARAM_TOL] = { "tol", NULL, PGML_PARAM_REAL, 1e-12, 1, 1e-3, true,
							 "Stop when no row violates its condition by more than this.", NULL },
	[PGML_SVM_PARAM_MAX_ITER] = { "max_iter", "max_iterations", PGML_PARAM_INT, 1, 1e9,
								  PGML_WORD(0), true,
								  "Passes or steps of the linear solver, steps of the exact one; auto: 1,000, exact: ten "
								  "million or more.",
								  "auto" },
	[PGML_SVM_PARAM_CLASS_WEIGHT] = { "class_weight", NULL, PGML_PARAM_CHOICE, 0, 1,
									  PGML_SVM_WEIGHT_NONE, false,
									  "balanced: errors in rare classes cost more, so that all classes weigh the "
									  "same. Probabilities stay those of the table.",
									  "none balanced" },
	[PGML_SVM_PARAM_CV] = { "cv", NULL, PGML_PARAM_INT, 2, 20, 5, false,
							"Folds of the cross-validation that probabilities are calibrated with where there are "
							"no validation rows.",
							NULL },
	[PGML_SVM_PARAM_CACHE_SIZE] = { "cache_size", NULL, PGML_PARAM_INT, 1, 100000, 64, true,
									"Megabytes for kernel values in the exact solver, for each thread.",
									NULL },
};

/* ---- what will be solved ---- */

/* Rows of each class (a regression has one). */
void
pgml_svm_count_classes(const PgmlDataset *data, int64_t *count)
{
	for (int c = 0; c < data->n_classes; c++)
		count[c] = 0;
	for (int64_t i = 0; i < data->n; i++)
		if (pgml_linear_weight(data, data->rows[i]) > 0)
			count[data->task == PGML_TASK_REGRESSION ? 0 : (int) data->y[data->rows[i]]]++;
}

/* How large the exact problems are: the largest, the sum of all, and of their squares. */
static void
measure_problems(const PgmlDataset *data, PgmlSvmPlan *plan, double *squares)
{
	int64_t count[PGML_SVM_PAIRED];

	plan->largest = plan->coefs = data->n;
	*squares = (double) data->n * (double) data->n;
	if (data->task != PGML_TASK_MULTICLASS || data->n_classes > PGML_SVM_PAIRED)
		return;
	pgml_svm_count_classes(data, count);
	plan->largest = plan->coefs = 0;
	*squares = 0;
	for (int i = 0; i < data->n_classes; i++)
		for (int j = i + 1; j < data->n_classes; j++)
		{
			int64_t n = count[i] + count[j];

			plan->largest = n > plan->largest ? n : plan->largest;
			plan->coefs += n;
			*squares += (double) n * (double) n;
		}
}

/* columns: of the design, one-hot. */
void
pgml_svm_plan(const PgmlDataset *data, const PgmlParams *params, int64_t columns, PgmlSvmPlan *plan)
{
	double squares;
	int kernel = (int) params->v[PGML_SVM_PARAM_KERNEL];
	int solver = (int) params->v[PGML_SVM_PARAM_SOLVER];
	int64_t most = MAP_BYTES / (int64_t) sizeof(float) / (data->n > 0 ? data->n : 1);

	if (kernel == PGML_SVM_KERNEL_AUTO)
		kernel = columns > MANY_COLUMNS || columns > data->n ? PGML_SVM_KERNEL_LINEAR :
															   PGML_SVM_KERNEL_RBF;
	plan->kernel = kernel == PGML_SVM_KERNEL_LINEAR ? PGML_SVM_LINEAR : PGML_SVM_RBF;
	measure_problems(data, plan, &squares);
	plan->exact = plan->kernel == PGML_SVM_RBF &&
				  (solver == PGML_SVM_SOLVER_EXACT ||
				   (solver == PGML_SVM_SOLVER_AUTO && squares <= EXACT_SQUARES)) &&
				  (data->task != PGML_TASK_MULTICLASS || data->n_classes <= PGML_SVM_PAIRED);
	if (!plan->exact)
		plan->largest = data->n;
	plan->n_components = (int64_t) params->v[PGML_SVM_PARAM_N_COMPONENTS];
	if (plan->n_components > most)
		plan->n_components = most > MAP_COMPONENTS ? most : MAP_COMPONENTS;
	if (plan->n_components > data->n)
		plan->n_components = data->n;
}

/* Bytes for kernel values of one task, as they are asked for. */
int64_t
pgml_svm_wanted_cache(const PgmlParams *params, int64_t n)
{
	int64_t bytes = (int64_t) params->v[PGML_SVM_PARAM_CACHE_SIZE] << 20;
	int64_t all = n * pgml_svm_tiles(n) * PGML_SVM_TILE * (int64_t) sizeof(float);

	return bytes < all ? bytes : all;
}

/* ---- memory ---- */

/* Columns that a row of the design has at most, each category as one. */
static int64_t
max_width(const PgmlMatrix *x)
{
	int64_t width = 0;

	for (int32_t f = 0; f < x->nfeatures; f++)
		width += x->features[f].categorical ? 1 : 3;
	return width;
}

/* What a kernel's solver and payload take beyond the design; *payload: bytes. */
static int64_t
plan_memory(const PgmlDataset *data, const PgmlParams *params, const PgmlSvmPlan *plan,
			int64_t width, int64_t columns, int64_t *payload)
{
	bool classes = data->task != PGML_TASK_REGRESSION;
	bool pairs = plan->exact && data->task == PGML_TASK_MULTICLASS;
	int64_t k = classes && !pairs ? pgml_task_outputs(data->task, data->n_classes) : 1;
	int64_t decisions = pairs ? (int64_t) data->n_classes * (data->n_classes - 1) / 2 : k;
	int64_t rows_of_all = plan->exact ? plan->coefs : k * data->n;
	int64_t groups = pairs ? data->n_classes : 1;
	int64_t coefs = plan->kernel == PGML_SVM_LINEAR ? columns : plan->n_components + 1;
	int64_t points =
		plan->exact ? data->n + groups * PGML_SVM_TILE : plan->n_components + PGML_SVM_TILE;
	int64_t beta = pairs ? data->n_classes - 1 : k;
	int64_t bytes = decisions * (int64_t) (sizeof(PgmlSvmDecision) + 64);

	*payload = (int64_t) sizeof(PgmlSvmHeader) +
			   data->x->nfeatures * (int64_t) sizeof(PgmlLinearFeature) + decisions * 24;
	if (plan->kernel == PGML_SVM_LINEAR)
		*payload += columns * decisions * (int64_t) sizeof(double);
	else
		*payload += points * (width + beta) * (int64_t) sizeof(float);
	bytes += plan->exact ? 8 * rows_of_all : 8 * coefs * decisions;
	if (classes)
		bytes += 4 * rows_of_all + data->n * 17 +
				 pgml_svm_calibration_rows(decisions) * (decisions * 8 + 17);
	if (plan->kernel == PGML_SVM_RBF)
		bytes += points * (width + beta + 2) * (int64_t) sizeof(float);
	if (plan->kernel == PGML_SVM_RBF && !plan->exact)
		bytes += pgml_svm_nystrom_memory(data->n, plan->n_components, width);
	return bytes + pgml_svm_task_memory(plan->exact, plan->largest, width, coefs,
										pgml_svm_wanted_cache(params, plan->largest));
}

int64_t
pgml_svm_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	int64_t width = max_width(data->x);
	int64_t columns = pgml_linear_max_rows(data->x);
	int64_t bytes, slack;
	PgmlSvmPlan plan;

	/* How many columns there will be is not known yet: both kernels may be meant. */
	pgml_svm_plan(data, params, 0, &plan);
	bytes = plan_memory(data, params, &plan, width, columns, payload);
	if ((int) params->v[PGML_SVM_PARAM_KERNEL] == PGML_SVM_KERNEL_AUTO)
	{
		int64_t other_payload, other;

		pgml_svm_plan(data, params, INT64_MAX, &plan);
		other = plan_memory(data, params, &plan, width, columns, &other_payload);
		bytes = other > bytes ? other : bytes;
		*payload = other_payload > *payload ? other_payload : *payload;
	}
	bytes += pgml_linear_design_memory(data) +
			 data->n * ((width + 1) * (int64_t) sizeof(float) + 21) +
			 (data->n_classes + 1) * (int64_t) sizeof(int64_t);
	/* Chunks of the arenas, which grow with what is asked for. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	return bytes + (slack < (2 << 20) ? slack : 2 << 20);
}
