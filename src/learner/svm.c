/*
 * svm.c - learner `svm`: support vector machines for classes and numbers, linear or with the rbf kernel.
 *
 * linear            Newton's method (svm_newton.c), with many columns coordinate descent in the dual (svm_descent.c); several classes:
 *                   each against the rest
 * rbf, exact        sequential minimal optimisation (svm_smo.c); several classes: each pair, coupled
 * rbf, approximate  the Nyström method (svm_nystrom.c) and the linear solver; several classes: each against the rest
 *
 * The objective is  1/2 |w|^2 + C sum of w_i loss_i  on the scaled features of linear_design.c, as in LIBLINEAR and libsvm; a
 * regression's target is scaled to deviation 1.
 */
#include "core/par.h"
#include "learner/svm_fit.h"

#define LINEAR_PASSES 1000

/* Steps of the exact solver, as in libsvm: many more than it takes, unless tol is below what rounding allows. */
#define EXACT_STEPS      10000000
#define EXACT_STEPS_ROWS 100 /* for each row */

/* Rows of each class that a calibration by validation rows needs. */
#define VALID_ROWS 30

/* ---- preparing a fit ---- */

/* Rows with a weight, class by class, with their targets and costs. */
static PgmlStatus
take_rows(PgmlSvmFit *fit, const PgmlParams *params)
{
	const PgmlDataset *data = fit->data;
	bool balanced = (int) params->v[PGML_SVM_PARAM_CLASS_WEIGHT] == PGML_SVM_WEIGHT_BALANCED;
	bool number = data->task == PGML_TASK_REGRESSION;
	int k = data->n_classes;
	double *weight = pgml_zalloc(fit->arena, (size_t) k, sizeof(double));
	int64_t *next = pgml_array(fit->arena, (size_t) k, sizeof(int64_t));
	double total = 0;

	fit->class_at = pgml_zalloc(fit->arena, (size_t) k + 1, sizeof(int64_t));
	fit->list = pgml_array(fit->arena, (size_t) data->n + 1, sizeof(int32_t));
	fit->y = pgml_array(fit->arena, (size_t) data->n + 1, sizeof(double));
	fit->c = pgml_array(fit->arena, (size_t) data->n + 1, sizeof(double));
	if (weight == NULL || next == NULL || fit->class_at == NULL || fit->list == NULL ||
		fit->y == NULL || fit->c == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	pgml_svm_count_classes(data, next);
	for (int c = 0; c < k; c++)
	{
		fit->class_at[c + 1] = fit->class_at[c] + next[c];
		next[c] = fit->class_at[c];
	}
	for (int64_t i = 0; i < data->n; i++)
	{
		int32_t row = data->rows[i];
		double w = pgml_linear_weight(data, row);
		int class = number ? 0 : (int) data->y[row];

		fit->y[i] =
			number ? (data->y[row] / fit->design.y_unit - fit->design.y_mean) / fit->design.y_sd :
					 data->y[row];
		fit->c[i] = w;
		weight[class] += w;
		total += w;
		if (w > 0)
			fit->list[next[class]++] = (int32_t) i;
	}
	for (int64_t i = 0; i < data->n; i++)
	{
		double c = params->v[PGML_SVM_PARAM_C] * fit->c[i];

		if (balanced && !number)
			c *= total / (k * weight[(int) fit->y[i]]);
		fit->c[i] = fmin(fmax(c, PGML_SVM_LEAST_C), PGML_SVM_MOST_C);
	}
	fit->n_used = fit->class_at[k];
	return PGML_OK;
}

/* The design of all rows, written down. */
static PgmlStatus
take_design(PgmlSvmFit *fit)
{
	const PgmlDataset *data = fit->data;
	PgmlLinearRows rows;
	int code = 0;

	PGML_TRY(pgml_linear_design(fit->env, fit->arena, data,
								data->task == PGML_TASK_REGRESSION ? PGML_LINEAR_SQUARED :
																	 PGML_LINEAR_LOGISTIC,
								&fit->design));
	fit->design.cache_bytes = INT64_MAX;
	PGML_TRY(pgml_linear_rows(fit->env, fit->arena, &fit->design, data->rows, data->n, &rows));
	fit->rows = (PgmlSvmRows){ .numbers = fit->design.n_dense,
							   .codes = fit->design.n_categories,
							   .columns = fit->design.n_rows,
							   .number = rows.dense,
							   .level = rows.level };
	fit->base = pgml_array(fit->arena, (size_t) fit->rows.codes + 1, sizeof(int32_t));
	if (fit->base == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int32_t f = 0; f < data->x->nfeatures; f++)
		if (fit->design.features[f].kind == PGML_LINEAR_CATEGORY)
			fit->base[code++] = (int32_t) fit->design.features[f].row;
	return PGML_OK;
}

/* Columns of the design that are not always 0, and the variance of all their values together. */
static PgmlStatus
measure_columns(const PgmlSvmFit *fit, int64_t *columns, double *variance)
{
	const PgmlSvmRows *rows = &fit->rows;
	bool *seen = pgml_zalloc(fit->arena, (size_t) rows->columns, sizeof(bool));
	double sum = 0, squares = 0, n;

	if (seen == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int64_t k = 0; k < fit->n_used; k++)
	{
		const float *x = rows->number + fit->list[k] * (int64_t) rows->numbers;

		if (k % 4096 == 0 && pgml_stopped(fit->env))
			return pgml_fail_cancelled(fit->env);
		for (int i = 0; i < rows->numbers; i++)
		{
			sum += (double) x[i];
			squares += (double) x[i] * (double) x[i];
		}
		for (int c = 0; c < rows->codes; c++)
			seen[rows->level[fit->list[k] * (int64_t) rows->codes + c]] = true;
	}
	*columns = rows->numbers;
	for (int64_t i = 0; i < rows->columns; i++)
		*columns += seen[i];
	n = (double) *columns * (double) fit->n_used;
	sum += (double) rows->codes * (double) fit->n_used;
	squares += (double) rows->codes * (double) fit->n_used;
	*variance = n > 0 ? squares / n - sum / n * (sum / n) : 0;
	return PGML_OK;
}

static void
choose_gamma(PgmlSvmFit *fit, const PgmlParams *params, int64_t columns, double variance)
{
	double gamma = params->v[PGML_SVM_PARAM_GAMMA];

	if (gamma < 0)
	{
		bool scale = gamma == PGML_WORD(0);

		gamma = columns > 0 ? 1 / (double) columns : 1;
		if (scale)
			gamma = variance > 0 ? gamma / variance : 1;
	}
	fit->gamma = (float) fmin(gamma, 1e30);
}

/* The loss; PGML_ERR_BADARG when it does not go with the task or the solver. */
static PgmlStatus
choose_loss(PgmlSvmFit *fit, const PgmlParams *params)
{
	int loss = (int) params->v[PGML_SVM_PARAM_LOSS];
	bool number = fit->data->task == PGML_TASK_REGRESSION;

	if (loss == PGML_SVM_LOSS_AUTO)
		loss = number ? PGML_SVM_LOSS_INSENSITIVE :
						(fit->exact ? PGML_SVM_LOSS_HINGE : PGML_SVM_LOSS_SQUARED_HINGE);
	if (number != (loss == PGML_SVM_LOSS_INSENSITIVE || loss == PGML_SVM_LOSS_SQUARED_INSENSITIVE))
	{
		pgml_fail(fit->env->error, PGML_ERR_BADARG,
				  "setting \"loss\" of learner \"svm\" does not go with this target");
		pgml_fail_hint(fit->env->error,
					   "hinge and squared_hinge are for classes, epsilon_insensitive and "
					   "squared_epsilon_insensitive for numbers.");
		return PGML_ERR_BADARG;
	}
	if (fit->exact &&
		(loss == PGML_SVM_LOSS_SQUARED_HINGE || loss == PGML_SVM_LOSS_SQUARED_INSENSITIVE))
	{
		pgml_fail(fit->env->error, PGML_ERR_BADARG,
				  "the exact solver of learner \"svm\" does not know squared losses");
		pgml_fail_hint(fit->env->error,
					   "Set \"solver\" to \"approximate\" or \"kernel\" to \"linear\".");
		return PGML_ERR_BADARG;
	}
	fit->loss = loss == PGML_SVM_LOSS_HINGE         ? PGML_SVM_HINGE :
				loss == PGML_SVM_LOSS_SQUARED_HINGE ? PGML_SVM_SQUARED_HINGE :
				loss == PGML_SVM_LOSS_INSENSITIVE   ? PGML_SVM_INSENSITIVE :
													  PGML_SVM_SQUARED_INSENSITIVE;
	return PGML_OK;
}

/* The decisions of the scheme and where their rows are. */
static PgmlStatus
make_decisions(PgmlSvmFit *fit)
{
	int k = fit->data->n_classes;

	fit->scheme = fit->data->task != PGML_TASK_MULTICLASS ? PGML_SVM_SINGLE :
				  fit->exact                              ? PGML_SVM_PAIRS :
															PGML_SVM_REST;
	fit->n_decisions = pgml_svm_decisions(fit->scheme, k);
	fit->decisions = pgml_zalloc(fit->arena, (size_t) fit->n_decisions, sizeof(PgmlSvmDecision));
	if (fit->decisions == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	for (int64_t q = 0; q < fit->n_decisions; q++)
	{
		fit->decisions[q].sigmoid = (PgmlSvmSigmoid){ 0, 0 };
		fit->decisions[q].len[0] = fit->n_used;
		fit->decisions[q].positive = fit->data->task == PGML_TASK_REGRESSION ? -1 :
									 fit->data->task == PGML_TASK_BINARY     ? 1 :
																			   (int32_t) q;
	}
	for (int i = 0; fit->scheme == PGML_SVM_PAIRS && i < k; i++)
		for (int j = i + 1; j < k; j++)
		{
			PgmlSvmDecision *d = &fit->decisions[pgml_svm_pair(k, i, j)];

			d->positive = i;
			d->start[0] = fit->class_at[i];
			d->len[0] = fit->class_at[i + 1] - fit->class_at[i];
			d->start[1] = fit->class_at[j];
			d->len[1] = fit->class_at[j + 1] - fit->class_at[j];
		}
	return PGML_OK;
}

/* Are there validation rows of all classes to calibrate probabilities with? */
static bool
has_valid_rows(const PgmlDataset *data, int64_t *count)
{
	for (int c = 0; c < data->n_classes; c++)
		count[c] = 0;
	for (int64_t i = 0; data->valid_rows != NULL && i < data->n_valid; i++)
		if (pgml_linear_weight(data, data->valid_rows[i]) > 0)
			count[(int) data->y[data->valid_rows[i]]]++;
	for (int c = 0; c < data->n_classes; c++)
		if (count[c] < VALID_ROWS)
			return false;
	return true;
}

/*
 * Cross-validation is for probabilities, and only where nothing else tells them.  The rows of a class are dealt to the folds in turn; as
 * many folds are left out as it takes to know enough rows of the smallest decision.
 */
static PgmlStatus
choose_folds(PgmlSvmFit *fit, const PgmlParams *params)
{
	int64_t *count, least = fit->n_used;

	if (fit->data->task == PGML_TASK_REGRESSION || fit->rows.number == NULL)
		return PGML_OK;
	count = pgml_array(fit->arena, (size_t) fit->data->n_classes, sizeof(int64_t));
	fit->fold = pgml_array(fit->arena, (size_t) fit->n_used + 1, sizeof(uint8_t));
	if (count == NULL || fit->fold == NULL)
		return pgml_fail_nomem(fit->env, "learner \"svm\"");
	if (has_valid_rows(fit->data, count))
		return PGML_OK;
	fit->folds = (int) params->v[PGML_SVM_PARAM_CV];
	for (int c = 0; c < fit->data->n_classes; c++)
		for (int64_t i = fit->class_at[c]; i < fit->class_at[c + 1]; i++)
			fit->fold[i] = (uint8_t) ((i - fit->class_at[c]) % fit->folds);
	for (int64_t q = 0; q < fit->n_decisions; q++)
	{
		int64_t n = fit->decisions[q].len[0] + fit->decisions[q].len[1];

		least = n < least ? n : least;
	}
	while (fit->folds_left_out < fit->folds &&
		   least * fit->folds_left_out < (int64_t) PGML_SVM_CALIBRATION_ROWS * fit->folds)
		fit->folds_left_out++;
	return PGML_OK;
}

/* Memory for kernel values in each thread: what is wanted, or a share of what is left. More of it only saves time. */
static int64_t
share_of_cache(const PgmlSvmFit *fit, const PgmlParams *params, int64_t n)
{
	int64_t left = pgml_budget_left(fit->env->budget);
	int64_t wanted = pgml_svm_wanted_cache(params, n);
	int64_t share = left / 2 / pgml_pool_threads(fit->env->pool);

	return wanted < share ? wanted : share;
}

/* Steps of the exact solver for so many rows, when none are given. */
static int64_t
most_steps(int64_t n)
{
	return n > EXACT_STEPS / EXACT_STEPS_ROWS ? EXACT_STEPS_ROWS * n : EXACT_STEPS;
}

/* Everything that the tasks need. */
static PgmlStatus
prepare(PgmlSvmFit *fit, const PgmlParams *params)
{
	double variance = 0;
	int64_t columns = 0;
	PgmlSvmPlan plan;

	PGML_TRY(take_design(fit));
	PGML_TRY(take_rows(fit, params));
	if (fit->rows.number != NULL)
		PGML_TRY(measure_columns(fit, &columns, &variance));
	pgml_svm_plan(fit->data, params, columns, &plan);
	fit->kernel = plan.kernel;
	fit->exact = plan.exact;
	if ((int) params->v[PGML_SVM_PARAM_SOLVER] == PGML_SVM_SOLVER_EXACT &&
		plan.kernel == PGML_SVM_RBF && !plan.exact)
		return pgml_fail(fit->env->error, PGML_ERR_BADARG,
						 "the exact solver of learner \"svm\" takes at most %d classes",
						 PGML_SVM_PAIRED);
	choose_gamma(fit, params, columns, variance);
	PGML_TRY(choose_loss(fit, params));
	PGML_TRY(make_decisions(fit));
	PGML_TRY(choose_folds(fit, params));
	fit->epsilon = params->v[PGML_SVM_PARAM_EPSILON];
	fit->tol = params->v[PGML_SVM_PARAM_TOL];
	fit->max_iter = (int64_t) params->v[PGML_SVM_PARAM_MAX_ITER];
	if (fit->max_iter < 0)
		fit->max_iter = plan.exact ? most_steps(plan.largest) : LINEAR_PASSES;
	fit->cache_bytes = share_of_cache(fit, params, plan.largest);
	if (fit->kernel != PGML_SVM_RBF || fit->exact || fit->rows.number == NULL)
		return PGML_OK;
	if (plan.n_components > fit->n_used)
		plan.n_components = fit->n_used;
	return pgml_svm_nystrom(fit->env, fit->data->blas, fit->arena, &fit->rows, fit->base,
							fit->data->n, fit->list, fit->n_used, plan.n_components, fit->gamma,
							&fit->map, &fit->mapped);
}

static PgmlStatus
fit_in_arena(PgmlSvmFit *fit, const PgmlParams *params, PgmlFit *out)
{
	PGML_TRY(prepare(fit, params));
	if (fit->rows.number != NULL)
		PGML_TRY(pgml_svm_solve_all(fit));
	out->out_of_time = fit->rows.number == NULL || fit->design.out_of_time;
	for (int64_t q = 0; q < fit->n_decisions; q++)
		out->out_of_time |= fit->decisions[q].late;
	return pgml_svm_write(fit, &out->payload);
}

static PgmlStatus
svm_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *out)
{
	PgmlSvmFit fit = { .env = env, .data = data };
	PgmlStatus status = pgml_linear_check(env, data, "svm");

	if (status != PGML_OK)
		return status;
	fit.arena = pgml_arena_create(env->budget);
	if (fit.arena == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	status = fit_in_arena(&fit, params, out);
	pgml_arena_destroy(fit.arena);
	return status;
}

const PgmlLearner pgml_learner_svm = {
	.name = "svm",
	.summary = "Support vector machines, linear or with the rbf kernel, exact or approximated.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = true,
	.params = pgml_svm_params,
	.n_params = PGML_SVM_PARAMS,
	.memory = pgml_svm_memory,
	.fit = svm_fit,
	.verify = pgml_svm_verify,
	.predict = pgml_svm_predict,
};
