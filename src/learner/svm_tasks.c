/*
 * svm_tasks.c - the problems of a fit, each with memory of its own: a decision on all of its rows, or without a fold of them, for
 * which it says then what it thinks.  How often and in which order they run changes nothing.
 */
#include "core/clock.h"
#include "core/par.h"
#include "learner/svm_fit.h"

#define POLL_ROWS 256

/* A problem. */
typedef struct Task
{
	PgmlSvmFit *fit;
	PgmlSvmDecision *decision;
	int fold; /* left out; -1: none */
	PgmlEnv env;
	PgmlError error;
	PgmlArena *arena;
	int64_t n;
	int32_t *place; /* of the rows, in their order */
	double *y, *c;
	double *coef; /* exact: beta of each of these rows; else weights */
	double bias;
} Task;

/* The rows of the problem. */
static PgmlStatus
take_rows(Task *t)
{
	const PgmlSvmFit *fit = t->fit;
	const PgmlSvmDecision *d = t->decision;
	size_t n = (size_t) (d->len[0] + d->len[1]) + 1;

	t->place = pgml_array(t->arena, n, sizeof(int32_t));
	t->y = pgml_array(t->arena, n, sizeof(double));
	t->c = pgml_array(t->arena, n, sizeof(double));
	if (t->place == NULL || t->y == NULL || t->c == NULL)
		return pgml_fail_nomem(&t->env, "learner \"svm\"");
	for (int64_t k = 0; k < d->len[0] + d->len[1]; k++)
	{
		int32_t place = pgml_svm_row_of(fit, d, k);

		if (t->fold >= 0 && fit->fold[pgml_svm_at(d, k)] == t->fold)
			continue;
		t->place[t->n] = place;
		t->c[t->n] = fit->c[place];
		t->y[t->n] = d->positive < 0 ? fit->y[place] : (fit->y[place] == d->positive ? 1 : -1);
		t->n++;
	}
	return PGML_OK;
}

/* With rows of one class, or none, there is nothing to solve; says what the decision is then. */
static bool
is_constant(const Task *t, double *value)
{
	*value = 0;
	if (t->n == 0)
		return true;
	if (t->decision->positive < 0)
		return false;
	for (int64_t i = 1; i < t->n; i++)
		if (t->y[i] != t->y[0])
			return false;
	*value = t->y[0];
	return true;
}

/* ---- exact ---- */

static PgmlStatus
solve_exact(Task *t, bool *late)
{
	const PgmlSvmFit *fit = t->fit;
	bool number = t->decision->positive < 0;
	size_t n = (size_t) t->n;
	double *p = pgml_array(t->arena, n, sizeof(double));
	double *low = pgml_array(t->arena, n, sizeof(double));
	double *high = pgml_array(t->arena, n, sizeof(double));
	float *x =
		pgml_array(t->arena, (size_t) (fit->rows.numbers + fit->rows.codes) + 1, sizeof(float));
	PgmlSvmProblem problem = { .gamma = fit->gamma,
							   .p = p,
							   .low = low,
							   .high = high,
							   .epsilon = number ? fit->epsilon : 0,
							   .tol = fit->tol,
							   .max_iter = fit->max_iter,
							   .cache_bytes = fit->cache_bytes };
	PgmlSvmSolution solution = { .beta = t->coef };

	PGML_TRY(pgml_svm_points(&t->env, t->arena, t->n, fit->rows.numbers, fit->rows.codes,
							 &problem.points));
	if (p == NULL || low == NULL || high == NULL || x == NULL)
		return pgml_fail_nomem(&t->env, "learner \"svm\"");
	for (int64_t i = 0; i < t->n; i++)
	{
		pgml_svm_point_of(&fit->rows, fit->base, t->place[i], x);
		pgml_svm_set_point(&problem.points, i, x);
		p[i] = -t->y[i];
		low[i] = number || t->y[i] < 0 ? -t->c[i] : 0;
		high[i] = number || t->y[i] > 0 ? t->c[i] : 0;
	}
	PGML_TRY(pgml_svm_smo(&t->env, t->arena, &problem, &solution));
	t->bias = solution.bias;
	*late = solution.late;
	return PGML_OK;
}

/* The rows whose coefficient is not 0, as points, and their coefficients. */
static PgmlStatus
take_support(const Task *t, PgmlSvmPoints *points, double **beta)
{
	const PgmlSvmFit *fit = t->fit;
	float *x =
		pgml_array(t->arena, (size_t) (fit->rows.numbers + fit->rows.codes) + 1, sizeof(float));
	int64_t n = 0;

	for (int64_t i = 0; i < t->n; i++)
		n += t->coef[i] != 0;
	*beta = pgml_array(t->arena, (size_t) n + 1, sizeof(double));
	if (x == NULL || *beta == NULL)
		return pgml_fail_nomem(&t->env, "learner \"svm\"");
	PGML_TRY(pgml_svm_points(&t->env, t->arena, n, fit->rows.numbers, fit->rows.codes, points));
	n = 0;
	for (int64_t i = 0; i < t->n; i++)
	{
		if (t->coef[i] == 0)
			continue;
		pgml_svm_point_of(&fit->rows, fit->base, t->place[i], x);
		pgml_svm_set_point(points, n, x);
		(*beta)[n++] = t->coef[i];
	}
	return PGML_OK;
}

/* What the support says of the rows left out. */
static PgmlStatus
hold_exact(const Task *t)
{
	const PgmlSvmFit *fit = t->fit;
	const PgmlSvmDecision *d = t->decision;
	PgmlSvmPoints points;
	double *beta;
	float *x, *k;

	PGML_TRY(take_support(t, &points, &beta));
	x = pgml_array(t->arena, (size_t) (fit->rows.numbers + fit->rows.codes) + 1, sizeof(float));
	k = pgml_array(t->arena, (size_t) pgml_svm_tiles(points.n) * PGML_SVM_TILE + 1, sizeof(float));
	if (x == NULL || k == NULL)
		return pgml_fail_nomem(&t->env, "learner \"svm\"");
	for (int64_t i = 0; i < d->len[0] + d->len[1]; i++)
	{
		double sum = t->bias;

		if (i % POLL_ROWS == 0 && pgml_stopped(&t->env))
			return pgml_fail_cancelled(&t->env);
		if (fit->fold[pgml_svm_at(d, i)] != t->fold)
			continue;
		pgml_svm_point_of(&fit->rows, fit->base, pgml_svm_row_of(fit, d, i), x);
		pgml_svm_kernel_row(&points, fit->gamma, x, 0, pgml_svm_tiles(points.n), k);
		for (int64_t s = 0; s < points.n; s++)
			sum += beta[s] * (double) k[s];
		d->held[i] = (float) sum;
	}
	return PGML_OK;
}

/* ---- linear ---- */

/* The rows that the linear solver sees. */
static const PgmlSvmRows *
linear_rows(const PgmlSvmFit *fit)
{
	return fit->kernel == PGML_SVM_RBF ? &fit->mapped : &fit->rows;
}

static PgmlStatus
solve_linear(Task *t, bool *late)
{
	const PgmlSvmFit *fit = t->fit;
	PgmlSvmLinear problem = { .blas = fit->data->blas,
							  .rows = linear_rows(fit),
							  .row = t->place,
							  .n = t->n,
							  .y = t->y,
							  .c = t->c,
							  .loss = fit->loss,
							  .epsilon = fit->epsilon,
							  .tol = fit->tol,
							  .max_iter = fit->max_iter,
							  .seed = fit->env->seed };

	PGML_TRY(pgml_svm_linear(&t->env, t->arena, &problem, t->coef, NULL, late));
	t->bias = t->coef[0];
	return PGML_OK;
}

static PgmlStatus
hold_linear(const Task *t)
{
	const PgmlSvmFit *fit = t->fit;
	const PgmlSvmDecision *d = t->decision;

	for (int64_t i = 0; i < d->len[0] + d->len[1]; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(&t->env))
			return pgml_fail_cancelled(&t->env);
		if (fit->fold[pgml_svm_at(d, i)] == t->fold)
			d->held[i] =
				(float) pgml_svm_score(linear_rows(fit), t->coef, pgml_svm_row_of(fit, d, i));
	}
	return PGML_OK;
}

/* ---- tasks ---- */

/* Solve a problem; what it says is in t->coef and t->bias. */
static PgmlStatus
solve(Task *t, bool *late)
{
	double value;

	if (!is_constant(t, &value))
		return t->fit->exact ? solve_exact(t, late) : solve_linear(t, late);
	memset(t->coef, 0, (size_t) t->decision->n_coefs * sizeof(double));
	t->bias = value;
	if (!t->fit->exact)
		t->coef[0] = value;
	return PGML_OK;
}

static PgmlStatus
run_in_arena(Task *t)
{
	PgmlSvmDecision *d = t->decision;
	bool late = false;

	if (t->fold >= 0 && pgml_clock_ends(&t->env, pgml_out_of_time(&t->env)))
		return PGML_OK; /* what was not held stays NaN */
	PGML_TRY(take_rows(t));
	t->coef = d->coef;
	if (t->fold >= 0)
		t->coef = pgml_array(t->arena, (size_t) d->n_coefs, sizeof(double));
	if (t->coef == NULL)
		return pgml_fail_nomem(&t->env, "learner \"svm\"");
	PGML_TRY(solve(t, &late));
	if (t->fold >= 0)
		return late ? PGML_OK : (t->fit->exact ? hold_exact(t) : hold_linear(t));
	d->bias = t->bias;
	d->late = late;
	return PGML_OK;
}

/* Number: first the decisions, then their folds. */
static PgmlStatus
run_task(void *arg, int64_t number, int thread)
{
	PgmlSvmFit *fit = arg;
	int64_t part = number / fit->n_decisions;
	Task t = { .fit = fit, .decision = &fit->decisions[number % fit->n_decisions] };
	PgmlStatus status;

	(void) thread;
	t.fold = (int) part - 1;
	t.env = *fit->env;
	t.env.error = &t.error;
	t.env.pool = NULL;
	t.env.clock = fit->clocks != NULL ? &fit->clocks[number] : NULL;
	t.arena = pgml_arena_create(t.env.budget);
	if (t.arena == NULL)
		return PGML_ERR_NOMEM;
	status = run_in_arena(&t);
	pgml_arena_destroy(t.arena);
	return status;
}

/* Coefficients of a decision. */
static int64_t
n_coefs(const PgmlSvmFit *fit, const PgmlSvmDecision *d)
{
	return fit->exact ? d->len[0] + d->len[1] : linear_rows(fit)->columns;
}

/* Room for what the tasks find out. */
static PgmlStatus
make_room(PgmlSvmFit *fit)
{
	for (int64_t q = 0; q < fit->n_decisions; q++)
	{
		PgmlSvmDecision *d = &fit->decisions[q];
		int64_t n = d->len[0] + d->len[1];

		d->n_coefs = n_coefs(fit, d);
		d->coef = pgml_zalloc(fit->arena, (size_t) d->n_coefs + 1, sizeof(double));
		if (d->coef == NULL)
			return pgml_fail_nomem(fit->env, "learner \"svm\"");
		if (fit->folds == 0)
			continue;
		d->held = pgml_array(fit->arena, (size_t) n + 1, sizeof(float));
		if (d->held == NULL)
			return pgml_fail_nomem(fit->env, "learner \"svm\"");
		for (int64_t i = 0; i < n; i++)
			d->held[i] = NAN;
	}
	return PGML_OK;
}

PgmlStatus
pgml_svm_solve_all(PgmlSvmFit *fit)
{
	int64_t n_tasks = fit->n_decisions * (1 + fit->folds_left_out);
	PgmlStatus status;

	PGML_TRY(make_room(fit));
	PGML_TRY(pgml_clock_split(fit->env, fit->arena, n_tasks, &fit->clocks));
	status = pgml_par_for(fit->env, n_tasks, run_task, fit);
	pgml_clock_join(fit->env, n_tasks, fit->clocks);
	if (status == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(fit->env);
	return status == PGML_OK ? PGML_OK : pgml_fail_nomem(fit->env, "learner \"svm\"");
}

int64_t
pgml_svm_task_memory(bool exact, int64_t n, int64_t width, int64_t coefs, int64_t cache_bytes)
{
	int64_t rows = n * (int64_t) (sizeof(int32_t) + 2 * sizeof(double));

	if (!exact)
		return rows + coefs * (int64_t) sizeof(double) + pgml_svm_linear_memory(n, coefs);
	return rows + n * 4 * (int64_t) sizeof(double) +
		   2 * pgml_svm_tiles(n) * PGML_SVM_TILE * (width + 1) * (int64_t) sizeof(float) +
		   pgml_svm_smo_memory(n, cache_bytes);
}
