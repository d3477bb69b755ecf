/*
 * linear_solve.c - limited-memory BFGS (Liu and Nocedal 1989) for penalties on squares.
 *
 * The metric it starts from is the curvature of the problem itself, taken as constant: the cross
 * products of the design times a typical second derivative of the loss, plus the penalty, factored by
 * Cholesky when there are few coefficient rows, else its diagonal.  With the squared error that is the
 * exact Hessian, so the first step solves a ridge regression; logistic and multinomial fits take a handful of
 * steps however collinear the columns are.
 */
#include "learner/linear_internal.h"

#include <string.h>

#define MEMORY 10

/* The full metric is used up to this many coefficient rows and this many multiplications a solution. */
#define GRAM_ROWS  1000
#define GRAM_WORK  ((int64_t) 100 * 1000 * 1000)
#define MAX_HALVES 30

struct PgmlLinearSolver
{
	PgmlLinearPass *pass;
	const PgmlLinearRows *rows;
	int64_t n_rows;
	int outputs;
	int64_t size; /* n_rows x outputs */
	double curvature;
	double alpha;

	bool gram;
	bool factored;
	double *moments;  /* n_rows x n_rows cross products, or n_rows squares */
	double *factor;   /* Cholesky factor of the metric; NULL without gram */
	double *columns;  /* a vector by outputs, as LAPACK wants it */
	double *diagonal; /* of the metric */

	double *steps;        /* MEMORY vectors: changes of the coefficients, */
	double *changes;      /* and of the gradient */
	double inner[MEMORY]; /* their products */
	double coefficient[MEMORY];
	int n_pairs;
	int newest;
	double scale; /* of the metric, from the newest pair */

	double *gradient;
	double *trial;
	double *trial_gradient;
	double *direction;
};

/* ---- vectors ---- */

static double
dot(const double *a, const double *b, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* y += a x. */
static void
add_scaled(double *y, double a, const double *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

/* ---- the metric ---- */

static bool
gram_fits(int64_t n_rows, int outputs)
{
	return n_rows <= GRAM_ROWS && n_rows * n_rows * outputs <= GRAM_WORK;
}

/* Factor the metric; a little more is added to the diagonal while rounding makes it indefinite. */
static void
factor_metric(PgmlLinearSolver *s)
{
	const PgmlBlas *blas = s->pass->blas;
	int64_t p = s->n_rows;
	int n = (int) p;
	double ridge = 1e-13;

	s->factored = false;
	for (int attempt = 0; s->gram && attempt < 4 && !s->factored; attempt++, ridge *= 1000)
	{
		int info = 0;

		for (int64_t i = 0; i < p * p; i++)
			s->factor[i] = s->curvature * s->moments[i];
		for (int64_t i = 0; i < p; i++)
			s->factor[i * p + i] = s->diagonal[i] * (1 + ridge);
		/* The lower triangle in row-major order is the upper one in LAPACK's. */
		blas->dpotrf("U", &n, s->factor, &n, &info);
		s->factored = info == 0;
	}
}

/* Set the metric up for a penalty. */
static void
set_metric(PgmlLinearSolver *s, double alpha)
{
	for (int64_t i = 0; i < s->n_rows; i++)
	{
		double square = s->moments[s->gram ? i * s->n_rows + i : i];

		s->diagonal[i] = fmax(s->curvature * square + (i > 0 ? alpha : 0), 1e-12);
	}
	s->alpha = alpha;
	s->n_pairs = 0;
	s->scale = 1;
	factor_metric(s);
}

/* v = metric^-1 v. */
static void
solve_metric(PgmlLinearSolver *s, double *v)
{
	int n = (int) s->n_rows;
	int k = s->outputs;
	int info = 0;

	if (!s->factored)
	{
		for (int64_t i = 0; i < s->n_rows; i++)
			for (int o = 0; o < k; o++)
				v[i * k + o] /= s->diagonal[i];
		return;
	}
	for (int64_t i = 0; i < s->n_rows; i++)
		for (int o = 0; o < k; o++)
			s->columns[o * s->n_rows + i] = v[i * k + o];
	s->pass->blas->dpotrs("U", &n, &k, s->factor, &n, s->columns, &n, &info);
	for (int64_t i = 0; i < s->n_rows; i++)
		for (int o = 0; o < k; o++)
			v[i * k + o] = s->columns[o * s->n_rows + i];
}

/* ---- the objective ---- */

/* Loss plus penalty, and its gradient. */
static PgmlStatus
objective(PgmlLinearSolver *s, const double *coef, double *value, double *gradient, bool *late)
{
	int k = s->outputs;

	PGML_TRY(pgml_linear_loss(s->pass, s->rows, coef, value, gradient, late));
	*value += 0.5 * s->alpha * dot(coef + k, coef + k, s->size - k);
	add_scaled(gradient + k, s->alpha, coef + k, s->size - k);
	return PGML_OK;
}

/* ---- the method ---- */

/* Slot of the pair that is `age` steps old. */
static int
pair_slot(const PgmlLinearSolver *s, int age)
{
	return (s->newest - age + MEMORY) % MEMORY;
}

/* direction = - (approximate inverse Hessian) gradient, by the two-loop recursion. */
static PgmlStatus
find_direction(PgmlLinearSolver *s)
{
	double *d = s->direction;

	for (int64_t i = 0; i < s->size; i++)
		d[i] = -s->gradient[i];
	for (int age = 0; age < s->n_pairs; age++)
	{
		int slot = pair_slot(s, age);

		if (pgml_stopped(s->pass->env))
			return pgml_fail_cancelled(s->pass->env);
		s->coefficient[slot] = dot(s->steps + slot * s->size, d, s->size) / s->inner[slot];
		add_scaled(d, -s->coefficient[slot], s->changes + slot * s->size, s->size);
	}
	solve_metric(s, d);
	for (int64_t i = 0; i < s->size; i++)
		d[i] *= s->scale;
	for (int age = s->n_pairs - 1; age >= 0; age--)
	{
		int slot = pair_slot(s, age);
		double beta = dot(s->changes + slot * s->size, d, s->size) / s->inner[slot];

		if (pgml_stopped(s->pass->env))
			return pgml_fail_cancelled(s->pass->env);
		add_scaled(d, s->coefficient[slot] - beta, s->steps + slot * s->size, s->size);
	}
	return PGML_OK;
}

/* Remember the step from coef to trial when it saw positive curvature. */
static void
remember_step(PgmlLinearSolver *s, const double *coef)
{
	int slot = (s->newest + 1) % MEMORY;
	double *step = s->steps + slot * s->size;
	double *change = s->changes + slot * s->size;

	for (int64_t i = 0; i < s->size; i++)
	{
		step[i] = s->trial[i] - coef[i];
		change[i] = s->trial_gradient[i] - s->gradient[i];
	}

	double inner = dot(step, change, s->size);

	if (!(inner > 1e-12 * sqrt(dot(step, step, s->size)) * sqrt(dot(change, change, s->size))))
		return;
	s->newest = slot;
	s->inner[slot] = inner;
	if (s->n_pairs < MEMORY)
		s->n_pairs++;

	/* direction is free now: it serves as scratch for the newest change in the metric. */
	memcpy(s->direction, change, (size_t) s->size * sizeof(double));
	solve_metric(s, s->direction);
	double in_metric = dot(change, s->direction, s->size);
	s->scale = in_metric > 0 ? inner / in_metric : 1;
}

/*
 * Walk along the direction until the objective has fallen enough (Armijo), shortening the step by quadratic
 * interpolation.  *found is false when no step helps: the minimum is reached as far as numbers go.
 */
static PgmlStatus
line_search(PgmlLinearSolver *s, const double *coef, double slope, double *value, bool *found,
			bool *late)
{
	double step = 1;

	*found = false;
	for (int i = 0; i < MAX_HALVES; i++)
	{
		double trial_value;

		for (int64_t j = 0; j < s->size; j++)
			s->trial[j] = coef[j] + step * s->direction[j];
		PGML_TRY(objective(s, s->trial, &trial_value, s->trial_gradient, late));
		if (*late)
			return PGML_OK;
		if (isfinite(trial_value) && trial_value <= *value + 1e-4 * step * slope)
		{
			*value = trial_value;
			*found = true;
			return PGML_OK;
		}

		double shorter = -slope * step * step / (2 * (trial_value - *value - slope * step));

		if (!(shorter >= 0.1 * step)) /* also when it is not a number */
			shorter = 0.1 * step;
		step = fmin(shorter, 0.5 * step);
	}
	return PGML_OK;
}

PgmlStatus
pgml_linear_solve(PgmlLinearSolver *s, double alpha, int max_iter, double tol, double *coef,
				  bool *late)
{
	double value;

	set_metric(s, alpha);
	PGML_TRY(objective(s, coef, &value, s->gradient, late));
	for (int iter = 0; iter < max_iter && !*late; iter++)
	{
		bool found;

		PGML_TRY(find_direction(s));

		/* The slope is about minus twice what the step can gain. */
		double slope = dot(s->direction, s->gradient, s->size);

		if (-slope <= tol * fabs(value) || !isfinite(slope))
			return PGML_OK;
		PGML_TRY(line_search(s, coef, slope, &value, &found, late));
		if (*late || (!found && s->n_pairs == 0))
			return PGML_OK;
		if (!found)
		{
			s->n_pairs = 0; /* rounding spoilt the memory: once more along the plain metric */
			s->scale = 1;
			continue;
		}
		remember_step(s, coef);
		memcpy(coef, s->trial, (size_t) s->size * sizeof(double));
		memcpy(s->gradient, s->trial_gradient, (size_t) s->size * sizeof(double));
	}
	return PGML_OK;
}

/* ---- setting up ---- */

/* All vectors; false when memory is short. */
static bool
allocate(PgmlLinearSolver *s, PgmlArena *arena)
{
	size_t size = (size_t) s->size;
	size_t p = (size_t) s->n_rows;

	s->moments = pgml_array(arena, s->gram ? p * p : p, sizeof(double));
	s->factor = s->gram ? pgml_array(arena, p * p, sizeof(double)) : NULL;
	s->diagonal = pgml_array(arena, p, sizeof(double));
	s->columns = pgml_array(arena, size, sizeof(double));
	s->steps = pgml_array(arena, MEMORY * size, sizeof(double));
	s->changes = pgml_array(arena, MEMORY * size, sizeof(double));
	s->gradient = pgml_array(arena, size, sizeof(double));
	s->trial = pgml_array(arena, size, sizeof(double));
	s->trial_gradient = pgml_array(arena, size, sizeof(double));
	s->direction = pgml_array(arena, size, sizeof(double));
	return s->moments != NULL && (s->factor != NULL || !s->gram) && s->diagonal != NULL &&
		   s->columns != NULL && s->steps != NULL && s->changes != NULL && s->gradient != NULL &&
		   s->trial != NULL && s->trial_gradient != NULL && s->direction != NULL;
}

PgmlStatus
pgml_linear_solver(PgmlLinearPass *pass, PgmlArena *arena, const PgmlLinearRows *rows,
				   double curvature, PgmlLinearSolver **out)
{
	PgmlLinearSolver *s = pgml_zalloc(arena, 1, sizeof(PgmlLinearSolver));
	PgmlLinearSubset all;
	bool late;

	if (s == NULL)
		return pgml_fail_nomem(pass->env, "learner \"linear\"");
	s->pass = pass;
	s->rows = rows;
	s->n_rows = pass->design->n_rows;
	s->outputs = pass->design->outputs;
	s->size = s->n_rows * s->outputs;
	s->curvature = curvature;
	s->gram = gram_fits(s->n_rows, s->outputs);
	if (!allocate(s, arena))
		return pgml_fail_nomem(pass->env, "learner \"linear\"");
	*out = s;
	if (!s->gram)
		return pgml_linear_squares(pass, rows, s->moments, &late);
	PGML_TRY(pgml_linear_subset(pass->env, arena, pass->design, &all));
	return pgml_linear_hessian(pass, rows, &all, NULL, 0, 1, s->moments, &late);
}

int64_t
pgml_linear_solver_memory(int64_t n_rows, int outputs, int64_t n_chunks)
{
	int64_t vectors = n_rows * outputs * (2 * MEMORY + 5 + n_chunks);
	int64_t squares = n_rows * n_rows;

	if (!gram_fits(n_rows, outputs))
		return vectors * (int64_t) sizeof(double) + pgml_linear_moments_memory(n_rows, n_chunks);
	return (vectors + 2 * squares) * (int64_t) sizeof(double) +
		   2 * n_rows * (int64_t) sizeof(int32_t) + pgml_linear_moments_memory(squares, n_chunks);
}
