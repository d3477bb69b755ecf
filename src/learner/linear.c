/*
 * linear.c - learner `linear`: ridge, lasso and elastic net; logistic, multinomial and Poisson regression with the same penalties.
 *
 * The objective is  sum of w_i loss_i + alpha * (l1_ratio * sum of |b| + (1 - l1_ratio) / 2 * sum of b^2)  over the coefficients b,
 * intercepts not penalised, on the scaled features of linear_design.c: loss is half the squared error (of the target scaled to
 * deviation 1), log loss, or that of Poisson regression.  So alpha is scikit-learn's Ridge(alpha), 1/C of its LogisticRegression, and
 * the number of rows times the alpha of its ElasticNet and PoissonRegressor.
 *
 * With validation rows the penalties of a path are fitted from strong to weak, each starting where the
 * one before ended, and the one with the least validation loss is kept; the path ends early once
 * PATIENCE penalties in a row were no better.
 */
#include "learner/linear.h"

#include <float.h>

#include "learner/linear_internal.h"

#define PATIENCE  3
#define POLL_ROWS 65536

/* One fit. */
typedef struct LinearFit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	const PgmlParams *params;
	PgmlLinearConfig config;
	PgmlArena *arena;
	PgmlLinearDesign design;
	PgmlLinearRows train;
	PgmlLinearRows valid; /* n = 0: none */
	PgmlLinearPass pass;
	PgmlLinearSolver *solver; /* the one or the other */
	PgmlLinearNewton *newton;
	double
		strongest; /* on absolute values: no less makes all coefficients 0; of weights that add up to 1 */
	int64_t n_coefs;
	double *coef;
	double *best;
	double alpha; /* of the coefficients kept, relative to the sum of the weights */
	int position; /* on the path, 0: no path */
	bool out_of_time;
} LinearFit;

/* Whether Newton's method is used, else limited-memory BFGS, which knows no penalty on absolute values. */
static bool
wants_newton(const PgmlLinearConfig *config, int64_t n_rows)
{
	return config->l1_ratio > 0 || pgml_linear_newton_is_direct(config->loss, n_rows);
}

/* What the arrays of a fit take, the matrix excepted. */
static int64_t
linear_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	int outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t rows = pgml_linear_max_rows(data->x);
	int64_t coefs = rows * outputs * (int64_t) sizeof(double);
	PgmlError error = { .status = PGML_OK };
	PgmlEnv env = { .error = &error };
	PgmlLinearConfig config;
	int64_t bytes, slack;

	*payload = (int64_t) sizeof(PgmlLinearHeader) +
			   data->x->nfeatures * (int64_t) sizeof(PgmlLinearFeature) + coefs +
			   rows * (int64_t) sizeof(double);
	if (pgml_linear_read_config(&env, data, params, &config) != PGML_OK)
		config.l1_ratio = 0; /* fit() will say what is wrong */
	bytes = pgml_linear_design_memory(data) + pgml_linear_rows_memory(data) + 4 * coefs;
	bytes += wants_newton(&config, rows) ?
				 pgml_linear_newton_memory(rows, outputs, pgml_linear_max_chunks(data)) :
				 pgml_linear_solver_memory(rows, outputs, pgml_linear_max_chunks(data));
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
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(l->env))
			return pgml_fail_cancelled(l->env);
		share[(int) data->y[data->rows[i]]] += pgml_linear_weight(data, data->rows[i]);
	}
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

/*
 * Penalty number i of the path, relative to the sum of the weights: from strong to weak in equal ratios.  With a penalty on
 * absolute values it begins where the first coefficient appears, and ends at a thousandth of that (a hundredth for more columns than rows),
 * as in Friedman, Hastie and Tibshirani 2010.
 */
static double
path_alpha(const LinearFit *l, int i)
{
	double n = (double) l->train.n_weighted;
	double strong = fmax(0.1, 10 / n);
	double weak = 0.01 / n;
	int last = l->config.n_alphas - 1;

	if (l->config.l1_ratio > 0)
	{
		strong = l->strongest / fmax(l->config.l1_ratio, 1e-3);
		weak = strong * ((double) l->design.n_rows > n ? 1e-2 : 1e-3);
	}
	return last > 0 ? strong * pow(weak / strong, (double) i / last) : strong;
}

/* The gradient's largest part where no column counts. */
static PgmlStatus
find_strongest(LinearFit *l)
{
	double *gradient = pgml_array(l->arena, (size_t) l->n_coefs, sizeof(double));
	double loss;
	bool late;

	if (gradient == NULL)
		return pgml_fail_nomem(l->env, "learner \"linear\"");
	PGML_TRY(pgml_linear_loss(&l->pass, &l->train, l->coef, &loss, gradient, &late));
	l->strongest = 1e-10;
	for (int64_t i = l->design.outputs; !late && i < l->n_coefs; i++)
		l->strongest = fmax(l->strongest, fabs(gradient[i]));
	return PGML_OK;
}

/* Minimise for one penalty from where the coefficients are. */
static PgmlStatus
solve(LinearFit *l, double alpha, bool *late)
{
	const PgmlLinearConfig *c = &l->config;
	double l1 = c->l1_ratio * alpha;
	double l2 = (1 - c->l1_ratio) * alpha;
	/* Without any penalty a minimum need not exist; this one is too weak to be seen. */
	if (!(l1 > 0))
		l2 = fmax(l2, 1e-10);
	if (l->newton != NULL)
		PGML_TRY(pgml_linear_newton_solve(l->newton, l1, l2, c->max_iter, c->tol, l->coef, late));
	else
		PGML_TRY(pgml_linear_solve(l->solver, l2, c->max_iter, c->tol, l->coef, late));
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
	double least = INFINITY;
	int worse = 0;

	for (int i = 0; i < l->config.n_alphas && worse < PATIENCE; i++)
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

/* A penalty in units of the target, relative to this weight; not so large that a product with it could overflow. */
static double
relative_alpha(const LinearFit *l, double weight)
{
	double unit = l->config.loss == PGML_LINEAR_POISSON ? l->design.y_unit : 1;

	return fmin(l->config.alpha / unit / weight, 1e100);
}

/* Which of the three ways the settings and rows ask for. */
static PgmlStatus
fit_coefficients(LinearFit *l)
{
	const PgmlLinearConfig *c = &l->config;
	bool path = !c->alpha_given && (c->position > 0 || l->valid.n > 0);

	if (path && c->l1_ratio > 0)
		PGML_TRY(find_strongest(l));
	if (c->alpha_given)
		return fit_one(l, relative_alpha(l, l->train.weight), 0);
	if (c->position > 0)
	{
		int position = c->position < c->n_alphas ? c->position : c->n_alphas;

		return fit_one(l, path_alpha(l, position - 1), position);
	}
	if (path)
		return fit_path(l);
	return fit_one(l, relative_alpha(l, (double) l->train.n_weighted), 0);
}

/* A regression's coefficients in units of the target. */
static void
unscale(LinearFit *l)
{
	const PgmlLinearDesign *design = &l->design;

	if (design->loss == PGML_LINEAR_POISSON)
	{
		l->best[0] += log(design->y_unit);
		return;
	}
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
	if (design->loss == PGML_LINEAR_POISSON)
	{
		header.alpha *= design->y_unit;
		header.link = PGML_LINEAR_LINK_LOG;
	}
	header.alpha = fmin(header.alpha, DBL_MAX);
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

	PGML_TRY(pgml_linear_read_config(env, data, l->params, &l->config));
	PGML_TRY(pgml_linear_design(env, l->arena, data, l->config.loss, &l->design));
	l->out_of_time = l->design.out_of_time;
	PGML_TRY(pgml_linear_rows(env, l->arena, &l->design, data->rows, data->n, &l->train));
	if (data->valid_rows != NULL && data->n_valid > 0)
		PGML_TRY(pgml_linear_rows(env, l->arena, &l->design, data->valid_rows, data->n_valid,
								  &l->valid));
	if (!(l->valid.weight > 0))
		l->valid.n = 0;
	PGML_TRY(pgml_linear_keep_targets(env, l->arena, &l->design, &l->train));
	if (l->valid.n > 0)
		PGML_TRY(pgml_linear_keep_targets(env, l->arena, &l->design, &l->valid));
	l->n_coefs = l->design.n_rows * l->design.outputs;
	l->coef = pgml_array(l->arena, (size_t) l->n_coefs, sizeof(double));
	l->best = pgml_array(l->arena, (size_t) l->n_coefs, sizeof(double));
	if (l->coef == NULL || l->best == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	PGML_TRY(start_coefficients(l, &curvature));
	PGML_TRY(pgml_linear_pass_init(env, l->arena, &l->design, &l->train, &l->pass));
	if (wants_newton(&l->config, l->design.n_rows))
		return pgml_linear_newton(&l->pass, l->arena, &l->train, &l->newton);
	return pgml_linear_solver(&l->pass, l->arena, &l->train, curvature, &l->solver);
}

static PgmlStatus
linear_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	LinearFit l = { .env = env, .data = data, .params = params };
	PgmlStatus status = pgml_linear_check(env, data, "linear");

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
	.summary =
		"Linear, logistic, multinomial or Poisson regression with penalties on squared or absolute "
		"weights.",
	.tasks = PGML_TASK_ANY,
	.needs_blas = true,
	.params = pgml_linear_params,
	.n_params = PGML_LINEAR_N_PARAMS,
	.check = pgml_linear_check_params,
	.memory = linear_memory,
	.fit = linear_fit,
	.verify = pgml_linear_verify,
	.predict = pgml_linear_predict,
	.explains_scores = true,
	.contributions = pgml_linear_contributions,
	.log_link = pgml_linear_is_log,
};
