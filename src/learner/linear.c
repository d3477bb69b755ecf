/*
 * linear.c - learner `linear`: ridge regression, logistic and multinomial regression with an L2 penalty.
 *
 * The objective is  sum of w_i loss_i + alpha / 2 * sum of squared coefficients,  intercepts not penalised, on the
 * scaled features of linear_design.c: loss is half the squared error (of the target scaled to deviation 1)
 * or log loss.  So alpha is scikit-learn's Ridge(alpha), and 1/C of its LogisticRegression.
 *
 * With validation rows the penalties of a path are fitted from strong to weak, each starting where the
 * one before ended, and the one with the least validation loss is kept; the path ends early once
 * PATIENCE penalties in a row were no better.
 */
#include "learner/linear_internal.h"

#include <string.h>

#include "core/par.h"

#define PATIENCE 3

enum
{
	PARAM_ALPHA,
	PARAM_N_ALPHAS,
	PARAM_PATH_POSITION,
	PARAM_MAX_ITER,
	PARAM_TOL,
	N_PARAMS
};

static const PgmlParam linear_params[N_PARAMS] = {
	[PARAM_ALPHA] = { "alpha", "reg_lambda lambda_l2 l2", PGML_PARAM_REAL, 0, 1e12, 1, true,
					  "L2 penalty; when not given, chosen on validation rows from a path of penalties, else "
					  "1 for weights of mean 1.",
					  NULL },
	[PARAM_N_ALPHAS] = { "n_alphas", NULL, PGML_PARAM_INT, 1, 1000, 12, false,
						 "Penalties on the path.", NULL },
	[PARAM_PATH_POSITION] = { "path_position", NULL, PGML_PARAM_INT, 0, 1000, 0, false,
							  "Use the path's penalty with this number, from 1, without choosing; 0: choose.",
							  NULL },
	[PARAM_MAX_ITER] = { "max_iter", "max_iterations", PGML_PARAM_INT, 1, 100000, 200, true,
						 "Steps of the optimiser for each penalty.", NULL },
	[PARAM_TOL] = { "tol", NULL, PGML_PARAM_REAL, 0, 1, 1e-5, true,
					"Stop when a step gains less than this share of the objective.", NULL },
};

/* One fit. */
typedef struct LinearFit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	const PgmlParams *params;
	PgmlArena *arena;
	PgmlLinearDesign design;
	PgmlLinearRows train;
	PgmlLinearRows valid; /* n = 0: none */
	PgmlLinearPass pass;
	PgmlLinearSolver *solver;
	int64_t n_coefs;
	double *coef;
	double *best;
	double alpha; /* of the coefficients kept, relative to the sum of the weights */
	int position; /* on the path, 0: no path */
	bool out_of_time;
} LinearFit;

/* What the arrays of a fit take, the matrix excepted. */
static int64_t
linear_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	int outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t rows = pgml_linear_max_rows(data->x);
	int64_t coefs = rows * outputs * (int64_t) sizeof(double);
	int64_t bytes, slack;

	(void) params;
	*payload = (int64_t) sizeof(PgmlLinearHeader) +
			   data->x->nfeatures * (int64_t) sizeof(PgmlLinearFeature) + coefs +
			   rows * (int64_t) sizeof(double);
	bytes = pgml_linear_design_memory(data) + pgml_linear_rows_memory(data) +
			pgml_linear_solver_memory(rows, outputs, pgml_linear_max_chunks(data)) + 4 * coefs;
	/* Chunks of the arena, which grow with what is asked for. */
	slack = ((int64_t) 128 << 10) + bytes / 2;
	return bytes + (slack < (1 << 20) ? slack : 1 << 20);
}

/*
 * Where the optimiser starts: no feature counts, the intercepts alone give the shares of the classes (each class
 * counted half a row more, so that none is impossible).  Returns the mean curvature of the loss there.
 */
static PgmlStatus
start_coefficients(LinearFit *l, double *curvature)
{
	const PgmlDataset *data = l->data;
	int classes = data->n_classes;
	double extra = 0.5 * l->train.weight / (double) l->train.n_weighted;
	double total = l->train.weight + extra * classes;

	*curvature = 1;
	memset(l->coef, 0, (size_t) l->n_coefs * sizeof(double));
	if (data->task == PGML_TASK_REGRESSION)
		return PGML_OK;

	double *share = pgml_zalloc(l->arena, (size_t) classes, sizeof(double));

	if (share == NULL)
		return pgml_fail_nomem(l->env, "learner \"linear\"");
	for (int64_t i = 0; i < data->n; i++)
		share[(int) data->y[data->rows[i]]] += data->w != NULL ? data->w[data->rows[i]] : 1.0;
	*curvature = 0;
	for (int c = 0; c < classes; c++)
	{
		share[c] = (share[c] + extra) / total;
		*curvature += share[c] * (1 - share[c]) / classes;
		if (data->task == PGML_TASK_MULTICLASS)
			l->coef[c] = log(share[c]);
	}
	if (data->task == PGML_TASK_BINARY)
		l->coef[0] = log(share[1]) - log(share[0]);
	return PGML_OK;
}

/* Penalty number i of the path, relative to the sum of the weights: from strong to weak in equal ratios. */
static double
path_alpha(const LinearFit *l, int i)
{
	double n = (double) l->train.n_weighted;
	double strong = fmax(0.1, 10 / n);
	double weak = 0.01 / n;
	int last = (int) l->params->v[PARAM_N_ALPHAS] - 1;

	return last > 0 ? strong * pow(weak / strong, (double) i / last) : strong;
}

/* Minimise for one penalty from where the coefficients are. */
static PgmlStatus
solve(LinearFit *l, double alpha, bool *late)
{
	/* Without any penalty a minimum need not exist; this one is too weak to be seen. */
	alpha = fmax(alpha, 1e-10);
	PGML_TRY(pgml_linear_solve(l->solver, alpha, (int) l->params->v[PARAM_MAX_ITER],
							   l->params->v[PARAM_TOL], l->coef, late));
	l->out_of_time |= *late;
	return PGML_OK;
}

/* Keep the coefficients as they are now. */
static void
keep(LinearFit *l, double alpha, int position)
{
	memcpy(l->best, l->coef, (size_t) l->n_coefs * sizeof(double));
	l->alpha = alpha;
	l->position = position;
}

/* Fit for a given penalty; position is recorded. */
static PgmlStatus
fit_one(LinearFit *l, double alpha, int position)
{
	bool late = false;

	PGML_TRY(solve(l, alpha, &late));
	keep(l, alpha, position);
	return PGML_OK;
}

/* Fit the path and keep the penalty with the least validation loss. */
static PgmlStatus
fit_path(LinearFit *l)
{
	int n_alphas = (int) l->params->v[PARAM_N_ALPHAS];
	double least = INFINITY;
	int worse = 0;

	for (int i = 0; i < n_alphas && worse < PATIENCE; i++)
	{
		double alpha = path_alpha(l, i);
		bool late = false;
		double loss = INFINITY;

		PGML_TRY(solve(l, alpha, &late));
		if (!late)
			PGML_TRY(pgml_linear_loss(&l->pass, &l->valid, l->coef, &loss, NULL, &late));
		l->out_of_time |= late;
		if (i == 0 || (!late && loss < least))
		{
			keep(l, alpha, i + 1);
			least = loss;
			worse = 0;
		}
		else
			worse++;
		if (late)
			break;
	}
	return PGML_OK;
}

/* Which of the three ways the settings and rows ask for. */
static PgmlStatus
fit_coefficients(LinearFit *l)
{
	const PgmlParams *params = l->params;
	int position = (int) params->v[PARAM_PATH_POSITION];

	if (params->given[PARAM_ALPHA])
		return fit_one(l, params->v[PARAM_ALPHA] / l->train.weight, 0);
	if (position > 0)
	{
		int last = (int) params->v[PARAM_N_ALPHAS];

		position = position < last ? position : last;
		return fit_one(l, path_alpha(l, position - 1), position);
	}
	if (l->valid.n > 0)
		return fit_path(l);
	return fit_one(l, params->v[PARAM_ALPHA] / (double) l->train.n_weighted, 0);
}

/* A regression's coefficients in units of the target. */
static void
unscale(LinearFit *l)
{
	const PgmlLinearDesign *design = &l->design;

	for (int64_t i = 0; i < l->n_coefs; i++)
		l->best[i] *= design->y_sd * design->y_unit;
	l->best[0] += design->y_mean * design->y_unit;
}

/* Write the payload; PGML_ERR_NUMERIC rather than a model that predicts no numbers. */
static PgmlStatus
write_payload(LinearFit *l, PgmlBuf *out)
{
	const PgmlLinearDesign *design = &l->design;
	PgmlLinearHeader header = { .version = PGML_LINEAR_VERSION, .task = (uint32_t) l->data->task };
	size_t means;

	header.outputs = (uint32_t) design->outputs;
	header.nfeatures = (uint32_t) l->data->x->nfeatures;
	header.rows = (uint32_t) design->n_rows;
	header.alpha = l->alpha * l->train.weight;
	if (l->data->task == PGML_TASK_REGRESSION)
		unscale(l);
	for (int64_t i = 0; i < l->n_coefs; i++)
		if (!isfinite(l->best[i]))
			return pgml_fail(l->env->error, PGML_ERR_NUMERIC,
							 "learner \"linear\" found no finite coefficients");
	pgml_buf_put(out, &header, sizeof(header));
	pgml_buf_put(out, design->features, header.nfeatures * sizeof(PgmlLinearFeature));
	pgml_buf_put(out, l->best, (size_t) l->n_coefs * sizeof(double));
	means = pgml_buf_put(out, NULL, (size_t) design->n_rows * sizeof(double));
	if (out->failed)
		return pgml_fail_nomem(l->env, "the model");
	return pgml_linear_means(l->env, design, &l->train, (double *) (out->data + means));
}

/* The design, the rows and the first coefficients. */
static PgmlStatus
prepare(LinearFit *l)
{
	const PgmlEnv *env = l->env;
	const PgmlDataset *data = l->data;
	double curvature;

	PGML_TRY(pgml_linear_design(env, l->arena, data, &l->design));
	l->out_of_time = l->design.out_of_time;
	PGML_TRY(pgml_linear_rows(env, l->arena, &l->design, data->rows, data->n, &l->train));
	if (data->valid_rows != NULL && data->n_valid > 0)
		PGML_TRY(pgml_linear_rows(env, l->arena, &l->design, data->valid_rows, data->n_valid,
								  &l->valid));
	if (!(l->valid.weight > 0))
		l->valid.n = 0;
	l->n_coefs = l->design.n_rows * l->design.outputs;
	l->coef = pgml_array(l->arena, (size_t) l->n_coefs, sizeof(double));
	l->best = pgml_array(l->arena, (size_t) l->n_coefs, sizeof(double));
	if (l->coef == NULL || l->best == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	PGML_TRY(start_coefficients(l, &curvature));
	PGML_TRY(pgml_linear_pass_init(env, l->arena, &l->design, &l->train, &l->pass));
	return pgml_linear_solver(&l->pass, l->arena, &l->train, curvature, &l->solver);
}

/* What no fit can do without. */
static PgmlStatus
check(const PgmlEnv *env, const PgmlDataset *data)
{
	double total = 0;

	if (data->blas == NULL)
		return pgml_fail(env->error, PGML_ERR_UNAVAILABLE, "learner \"linear\" needs OpenBLAS");
	for (int64_t i = 0; i < data->n; i++)
		total += data->w != NULL ? data->w[data->rows[i]] : 1.0;
	if (!(total > 0) || !isfinite(total))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	return PGML_OK;
}

static PgmlStatus
linear_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	LinearFit l = { .env = env, .data = data, .params = params };
	PgmlStatus status = check(env, data);

	if (status != PGML_OK)
		return status;
	l.arena = pgml_arena_create(env->budget);
	if (l.arena == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	status = prepare(&l);
	if (status == PGML_OK)
		status = fit_coefficients(&l);
	if (status == PGML_OK)
		status = write_payload(&l, &fit->payload);
	if (status == PGML_OK)
	{
		fit->best_iteration = l.position;
		fit->out_of_time = l.out_of_time;
	}
	pgml_arena_destroy(l.arena);
	return status;
}

const PgmlLearner pgml_learner_linear = {
	.name = "linear",
	.summary = "Ridge regression, or logistic and multinomial regression with an L2 penalty.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = true,
	.params = linear_params,
	.n_params = N_PARAMS,
	.memory = linear_memory,
	.fit = linear_fit,
	.verify = pgml_linear_verify,
	.predict = pgml_linear_predict,
	.explains_scores = true,
	.contributions = pgml_linear_contributions,
};
