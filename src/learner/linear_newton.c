/*
 * linear_newton.c - penalties on absolute values: Newton's method on the columns that matter.
 *
 * The loss is replaced by its quadratic approximation at the current coefficients, the penalised approximation is minimised
 * (linear_quadratic.c), and the step is shortened until the objective has fallen enough: the proximal Newton method, which is
 * iteratively reweighted least squares with an L1 penalty (Friedman, Hastie and Tibshirani 2010; Lee, Sun and Saunders 2014; Tseng
 * and Yun 2009).  Only a working set of columns takes part: those with a coefficient, and those of the others whose gradient
 * is furthest beyond the penalty, at most as many as twice the former, as more are not likely to stay (Massias, Gramfort
 * and Salmon 2018).  With the squared error the approximation is exact; with few columns all cross products are computed once, and no
 * penalty needs another look at the rows.
 *
 * All outputs of a multinomial fit move together while their unknowns are few enough, else one after the other.
 */
#include "learner/linear_internal.h"

#include "core/sort.h"

/* Unknowns of a step at most, and columns of which all cross products are computed. */
#define MAX_UNKNOWNS 2000
#define MAX_DIRECT   1000

/* Columns beyond those with a coefficient that a working set has at least, where there are any. */
#define MIN_GROWTH 100
#define MAX_HALVES 40

struct PgmlLinearNewton
{
	PgmlLinearPass *pass;
	const PgmlLinearRows *rows;
	int64_t n_rows;
	int outputs;
	int64_t size; /* n_rows x outputs */
	int64_t capacity;
	double l1, l2;
	bool direct;

	PgmlLinearSubset subset;
	bool kept; /* the Hessian is that of the subset already */
	double *hessian;
	PgmlLinearQuadratic quadratic;
	PgmlKeyed *candidate; /* 2 x n_rows */

	double *gradient; /* of the loss; direct: at coefficients of 0 */
	double zero_loss; /* direct: the loss there */
	bool late;        /* direct: not known, the deadline came first */
	double *trial;
	double *trial_gradient;
};

bool
pgml_linear_newton_is_direct(PgmlLinearLoss loss, int64_t n_rows)
{
	return loss == PGML_LINEAR_SQUARED && n_rows <= MAX_DIRECT;
}

/* ---- the objective ---- */

static double
penalty(const PgmlLinearNewton *s, const double *coef)
{
	double sum = 0;

	for (int64_t i = s->outputs; i < s->size; i++)
		sum += s->l1 * fabs(coef[i]) + 0.5 * s->l2 * coef[i] * coef[i];
	return sum;
}

/* Loss plus penalties; the gradient is that of the loss alone. */
static PgmlStatus
objective(PgmlLinearNewton *s, const double *coef, double *value, double *gradient, bool *late)
{
	PGML_TRY(pgml_linear_loss(s->pass, s->rows, coef, value, gradient, late));
	*value += penalty(s, coef);
	return PGML_OK;
}

/* ---- the working set ---- */

/* How far the conditions of a minimum are from holding for a column, over all outputs; *used: it has a coefficient. */
static double
violation(const PgmlLinearNewton *s, const double *coef, int64_t column, bool *used)
{
	double most = 0;

	*used = false;
	for (int64_t i = column * s->outputs; i < (column + 1) * s->outputs; i++)
	{
		double slope = s->gradient[i] + s->l2 * coef[i];

		if (coef[i] != 0)
		{
			*used = true;
			slope += coef[i] > 0 ? s->l1 : -s->l1;
			most = fmax(most, fabs(slope));
		}
		else
			most = fmax(most, fabs(slope) - s->l1);
	}
	return most;
}

/* Are all candidates in the subset whose Hessian there is? */
static bool
covers(const PgmlLinearNewton *s, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (s->subset.place[s->candidate[i].row] < 0)
			return false;
	return true;
}

/* Candidates in the order of their keys. */
static PgmlStatus
sort_candidates(PgmlLinearNewton *s, int64_t n)
{
	return pgml_sort_keyed(s->pass->env, s->candidate, s->candidate + s->n_rows, n) == PGML_OK ?
			   PGML_OK :
			   pgml_fail_cancelled(s->pass->env);
}

/* The columns of the next step: the first n candidates. */
static void
set_columns(PgmlLinearNewton *s, int64_t n)
{
	memset(s->subset.place, 0xff, (size_t) s->n_rows * sizeof(int32_t));
	for (int64_t i = 0; i < n; i++)
		s->subset.place[s->candidate[i].row] = 0;
	s->subset.place[0] = 0;
	s->subset.n_columns = 0;
	for (int64_t column = 0; column < s->n_rows; column++)
		if (s->subset.place[column] == 0)
			s->subset.column[s->subset.n_columns++] = (int32_t) column;
	pgml_linear_set_places(s->pass->design, &s->subset);
}

/* Choose the columns of the next step. */
static PgmlStatus
choose_columns(PgmlLinearNewton *s, const double *coef, bool *together)
{
	int64_t joint =
		s->capacity / s->outputs - 1; /* columns with which all outputs can move together */
	int64_t n = 0;
	int64_t used = 0;
	int64_t growth, room;

	for (int64_t column = 1; column < s->n_rows; column++)
	{
		bool is_used;
		double v = violation(s, coef, column, &is_used);

		if (!is_used && !(v > 0))
			continue;
		/* Those with a coefficient first, then by falling violation. */
		s->candidate[n].key = ~pgml_key_of_double(is_used ? INFINITY : v);
		s->candidate[n++].row = column;
		used += is_used;
	}
	growth = 2 * used > MIN_GROWTH ? 2 * used : MIN_GROWTH;
	if (used + MIN_GROWTH / 10 <= joint && used + growth > joint)
		growth = joint - used;
	if (n > used + growth)
	{
		PGML_TRY(sort_candidates(s, n));
		n = used + growth;
	}
	*together = n <= joint;
	room = *together ? joint : s->capacity - 1;
	if (n > room)
	{
		for (int64_t i = 0; i < n; i++)
		{
			bool is_used;

			s->candidate[i].key =
				~pgml_key_of_double(violation(s, coef, s->candidate[i].row, &is_used));
		}
		PGML_TRY(sort_candidates(s, n));
		n = room;
	}
	if (s->kept && covers(s, n))
		return PGML_OK;
	s->kept = false;
	set_columns(s, n);
	return PGML_OK;
}

/* ---- a step ---- */

/* Place of a step's unknown among the coefficients. */
static int64_t
coef_place(const PgmlLinearNewton *s, int unknown, int first)
{
	int column = s->subset.column[unknown % s->subset.n_columns];

	return (int64_t) column * s->outputs + first + unknown / s->subset.n_columns;
}

/* The approximation at coef, for n outputs from `first` on. */
static void
set_quadratic(PgmlLinearNewton *s, const double *coef, int first, int n)
{
	PgmlLinearQuadratic *q = &s->quadratic;

	q->n = s->subset.n_columns * n;
	q->h = s->hessian;
	for (int u = 0; u < q->n; u++)
	{
		int64_t at = coef_place(s, u, first);
		bool penalised = at >= s->outputs;

		q->x[u] = coef[at];
		q->r[u] = s->gradient[at] + (penalised ? s->l2 * coef[at] : 0);
		q->l1[u] = penalised ? s->l1 : 0;
		/* Outputs of a multinomial fit can move together without any difference: a little keeps them where they are. */
		q->extra[u] =
			(penalised ? s->l2 : 0) + (s->outputs > 1 ? 1e-10 * q->h[(int64_t) u * q->n + u] : 0);
	}
}

/* Trial coefficients a part of the way to the approximation's minimum. */
static void
set_trial(PgmlLinearNewton *s, const double *coef, int first, double part)
{
	const PgmlLinearQuadratic *q = &s->quadratic;

	memcpy(s->trial, coef, (size_t) s->size * sizeof(double));
	for (int u = 0; u < q->n; u++)
	{
		int64_t at = coef_place(s, u, first);

		s->trial[at] = part == 1 ? q->x[u] : coef[at] + part * (q->x[u] - coef[at]);
	}
}

/* What the whole step promises to gain to first order, at least twice what it can gain: not positive. */
static double
promise(const PgmlLinearNewton *s, const double *coef, int first)
{
	const PgmlLinearQuadratic *q = &s->quadratic;
	double sum = 0;

	for (int u = 0; u < q->n; u++)
	{
		int64_t at = coef_place(s, u, first);
		double step = q->x[u] - coef[at];

		sum += s->gradient[at] * step;
		if (at >= s->outputs)
			sum += s->l2 * coef[at] * step + s->l1 * (fabs(q->x[u]) - fabs(coef[at]));
	}
	return sum;
}

/* Go as much of the step as lowers the objective enough; *found is false when nothing does. */
static PgmlStatus
line_search(PgmlLinearNewton *s, double *coef, int first, double slope, double *value, bool *found,
			bool *late)
{
	double part = 1;

	*found = false;
	for (int i = 0; i < MAX_HALVES; i++, part *= 0.5)
	{
		double trial_value;

		set_trial(s, coef, first, part);
		PGML_TRY(objective(s, s->trial, &trial_value, s->trial_gradient, late));
		if (*late)
			return PGML_OK;
		if (isfinite(trial_value) && trial_value <= *value + 1e-4 * part * slope)
		{
			*value = trial_value;
			*found = true;
			memcpy(coef, s->trial, (size_t) s->size * sizeof(double));
			memcpy(s->gradient, s->trial_gradient, (size_t) s->size * sizeof(double));
			return PGML_OK;
		}
	}
	return PGML_OK;
}

/* A step for n outputs; adds to *gain what it promised unless nothing came of it. */
static PgmlStatus
take_step(PgmlLinearNewton *s, double *coef, int first, int n, double least, double *value,
		  double *gain, bool *late)
{
	double slope;
	bool found;

	if (!s->kept)
	{
		PGML_TRY(
			pgml_linear_hessian(s->pass, s->rows, &s->subset, coef, first, n, s->hessian, late));
		if (*late)
			return PGML_OK;
		s->kept = pgml_linear_is_quadratic(s->pass->design);
	}
	set_quadratic(s, coef, first, n);
	PGML_TRY(pgml_linear_minimise(&s->quadratic, 0.01 * least, late));
	slope = promise(s, coef, first);
	if (*late || !(-slope > least) || !isfinite(slope))
		return PGML_OK;
	PGML_TRY(line_search(s, coef, first, slope, value, &found, late));
	*gain += found ? -slope : 0;
	return PGML_OK;
}

/* ---- the method ---- */

/* From the cross products alone. */
static PgmlStatus
solve_directly(PgmlLinearNewton *s, double tol, double *coef, bool *late)
{
	PgmlLinearQuadratic *q = &s->quadratic;
	double value = s->zero_loss + penalty(s, coef);

	*late = s->late;
	if (s->late)
		return PGML_OK;
	q->n = (int) s->n_rows;
	q->h = s->hessian;
	memcpy(q->r, s->gradient, (size_t) s->n_rows * sizeof(double));
	for (int64_t i = 0; i < s->n_rows; i++)
	{
		const double *row = s->hessian + i * s->n_rows;

		for (int64_t j = 0; coef[i] != 0 && j < s->n_rows; j++)
			q->r[j] += coef[i] * row[j];
	}
	for (int64_t i = 0; i < s->n_rows; i++)
	{
		value += 0.5 * coef[i] * (s->gradient[i] + q->r[i]);
		q->x[i] = coef[i];
		q->l1[i] = i > 0 ? s->l1 : 0;
		q->extra[i] = i > 0 ? s->l2 : 0;
		q->r[i] += q->extra[i] * coef[i];
	}
	/* No less than rounding leaves of the sums. */
	PGML_TRY(pgml_linear_minimise(q, fmax(0.01 * tol * fabs(value), 1e-18 * s->zero_loss), late));
	memcpy(coef, q->x, (size_t) s->n_rows * sizeof(double));
	return PGML_OK;
}

PgmlStatus
pgml_linear_newton_solve(PgmlLinearNewton *s, double l1, double l2, int max_iter, double tol,
						 double *coef, bool *late)
{
	double value;

	s->l1 = l1;
	s->l2 = l2;
	if (s->direct)
		return solve_directly(s, tol, coef, late);
	PGML_TRY(objective(s, coef, &value, s->gradient, late));
	for (int iter = 0; iter < max_iter && !*late; iter++)
	{
		double least = pgml_linear_least_gain(s->pass->design, tol, value);
		double gain = 0;
		bool together;

		PGML_TRY(choose_columns(s, coef, &together));
		if (together)
			PGML_TRY(take_step(s, coef, 0, s->outputs, least, &value, &gain, late));
		for (int o = 0; !together && o < s->outputs && !*late; o++)
			PGML_TRY(take_step(s, coef, o, 1, least, &value, &gain, late));
		if (gain == 0)
			return PGML_OK;
	}
	return PGML_OK;
}

/* ---- setting up ---- */

PgmlStatus
pgml_linear_newton(PgmlLinearPass *pass, PgmlArena *arena, const PgmlLinearRows *rows,
				   PgmlLinearNewton **out)
{
	const PgmlLinearDesign *design = pass->design;
	PgmlLinearNewton *s = pgml_zalloc(arena, 1, sizeof(PgmlLinearNewton));
	size_t size, capacity;

	if (s == NULL)
		return pgml_fail_nomem(pass->env, "learner \"linear\"");
	s->pass = pass;
	s->rows = rows;
	s->n_rows = design->n_rows;
	s->outputs = design->outputs;
	s->size = s->n_rows * s->outputs;
	s->capacity = s->size < MAX_UNKNOWNS ? s->size : MAX_UNKNOWNS;
	s->direct = pgml_linear_newton_is_direct(design->loss, s->n_rows);
	size = (size_t) s->size;
	capacity = (size_t) s->capacity;
	s->hessian = pgml_array(arena, capacity * capacity, sizeof(double));
	s->candidate = pgml_array(arena, 2 * (size_t) s->n_rows, sizeof(PgmlKeyed));
	s->gradient = pgml_array(arena, size, sizeof(double));
	s->trial = pgml_array(arena, size, sizeof(double));
	s->trial_gradient = pgml_array(arena, size, sizeof(double));
	if (s->hessian == NULL || s->candidate == NULL || s->gradient == NULL || s->trial == NULL ||
		s->trial_gradient == NULL)
		return pgml_fail_nomem(pass->env, "learner \"linear\"");
	PGML_TRY(pgml_linear_subset(pass->env, arena, design, &s->subset));
	PGML_TRY(
		pgml_linear_quadratic(pass->env, arena, pass->blas, (int64_t) capacity, &s->quadratic));
	*out = s;
	if (!s->direct)
		return PGML_OK;
	return pgml_linear_normal(pass, rows, &s->subset, s->hessian, s->gradient, &s->zero_loss,
							  &s->late);
}

int64_t
pgml_linear_newton_memory(int64_t n_rows, int outputs, int64_t n_chunks)
{
	int64_t size = n_rows * outputs;
	int64_t capacity = size < MAX_UNKNOWNS ? size : MAX_UNKNOWNS;
	int64_t numbers = capacity * capacity + (3 + n_chunks) * size;

	return numbers * (int64_t) sizeof(double) + 2 * n_rows * (int64_t) sizeof(PgmlKeyed) +
		   2 * n_rows * (int64_t) sizeof(int32_t) + pgml_linear_quadratic_memory(capacity) +
		   pgml_linear_moments_memory((capacity + 1) * (capacity + 1), n_chunks);
}
