/*
 * svm_descent.c - the linear solver: coordinate descent in the dual, for classes (Hsieh et al. 2008) and regression (Ho and
 * Lin 2012), as in LIBLINEAR (Fan et al. 2008): rows in a new random order in every pass, rows at a bound set aside.
 *
 * The dual has a variable alpha_i per row and w = sum y_i alpha_i x_i (regression: sum beta_i x_i).  Moving one takes a product of
 * w with the row and adds a multiple of the row to w.
 */
#include "core/clock.h"
#include "core/rng.h"
#include "learner/svm.h"

#define POLL_WORK 2000000
#define SMALL     1e-12

typedef struct Descent
{
	const PgmlEnv *env;
	const PgmlSvmLinear *problem;
	PgmlRng rng;
	double *alpha;
	double *square; /* of the rows' lengths */
	int32_t *order; /* the first `active` places are at work */
	int64_t active;
	double *w;
	bool late;
	int64_t work;
	double lowest, highest;       /* of the projected gradients in this pass */
	double limit_low, limit_high; /* those of the pass before: rows beyond are set aside */
	double sum;                   /* regression: of the violations in this pass */
} Descent;

/* ---- rows ---- */

PGML_CLONES static void
add_row(int n, double step, const float *x, double *w)
{
	for (int i = 0; i < n; i++)
		w[i] += step * (double) x[i];
}

/* w += step * row */
static void
move(Descent *d, int64_t row, double step)
{
	const PgmlSvmRows *rows = d->problem->rows;
	const int32_t *level = rows->level + row * rows->codes;

	d->w[0] += step;
	add_row(rows->numbers, step, rows->number + row * rows->numbers, d->w + 1);
	for (int c = 0; c < rows->codes; c++)
		d->w[level[c]] += step;
}

/* Square of the length of a row. */
static double
length_of(const PgmlSvmRows *rows, int64_t row)
{
	const float *x = rows->number + row * rows->numbers;
	double sum = 1 + rows->codes;

	for (int i = 0; i < rows->numbers; i++)
		sum += (double) x[i] * (double) x[i];
	return sum;
}

/* ---- passes ---- */

/* Set the row at this place of the order aside. */
static void
set_aside(Descent *d, int64_t place)
{
	int32_t i = d->order[place];

	d->active--;
	d->order[place] = d->order[d->active];
	d->order[d->active] = i;
}

/* Of a gradient, what a step that the bounds allow can follow; false when the row is set aside. */
static bool
project(Descent *d, double gradient, bool at_low, bool at_high, double *projected)
{
	*projected = gradient;
	if (at_low)
	{
		if (gradient > d->limit_high)
			return false;
		*projected = gradient < 0 ? gradient : 0;
	}
	else if (at_high)
	{
		if (gradient < d->limit_low)
			return false;
		*projected = gradient > 0 ? gradient : 0;
	}
	d->highest = fmax(d->highest, *projected);
	d->lowest = fmin(d->lowest, *projected);
	return true;
}

/* One row of classes; false when it is set aside. */
static bool
step_class(Descent *d, int32_t i)
{
	const PgmlSvmLinear *problem = d->problem;
	bool squared = problem->loss == PGML_SVM_SQUARED_HINGE;
	double diagonal = squared ? 0.5 / problem->c[i] : 0;
	double high = squared ? INFINITY : problem->c[i];
	double y = problem->y[i];
	double gradient, projected;

	gradient =
		y * pgml_svm_score(problem->rows, d->w, problem->row[i]) - 1 + diagonal * d->alpha[i];
	if (!project(d, gradient, d->alpha[i] == 0, d->alpha[i] == high, &projected))
		return false;
	if (fabs(projected) > SMALL)
	{
		double old = d->alpha[i];

		d->alpha[i] = fmin(fmax(old - gradient / (d->square[i] + diagonal), 0), high);
		move(d, problem->row[i], (d->alpha[i] - old) * y);
	}
	return true;
}

/* How far a row of a regression violates the conditions of the solution; negative when it is set aside. */
static double
violation(const Descent *d, double beta, double high, double up, double down)
{
	if (beta == 0)
	{
		if (up < 0)
			return -up;
		if (down > 0)
			return down;
		return up > d->limit_high && down < -d->limit_high ? -1 : 0;
	}
	if (beta >= high)
		return up > 0 ? up : (up < -d->limit_high ? -1 : 0);
	if (beta <= -high)
		return down < 0 ? -down : (down > d->limit_high ? -1 : 0);
	return fabs(beta > 0 ? up : down);
}

/* One row of a regression; false when it is set aside. */
static bool
step_number(Descent *d, int32_t i)
{
	const PgmlSvmLinear *problem = d->problem;
	bool squared = problem->loss == PGML_SVM_SQUARED_INSENSITIVE;
	double diagonal = squared ? 0.5 / problem->c[i] : 0;
	double high = squared ? INFINITY : problem->c[i];
	double curve = d->square[i] + diagonal;
	double beta = d->alpha[i];
	double gradient, up, down, far, step;

	gradient =
		pgml_svm_score(problem->rows, d->w, problem->row[i]) - problem->y[i] + diagonal * beta;
	up = gradient + problem->epsilon;
	down = gradient - problem->epsilon;
	far = violation(d, beta, high, up, down);
	if (far < 0)
		return false;
	d->highest = fmax(d->highest, far);
	d->sum += far;
	/* The minimum on the right side of zero, or on the left one, or zero itself. */
	if (up < curve * beta)
		step = -up / curve;
	else if (down > curve * beta)
		step = -down / curve;
	else
		step = -beta;
	if (fabs(step) >= SMALL)
	{
		d->alpha[i] = fmin(fmax(beta + step, -high), high);
		move(d, problem->row[i], d->alpha[i] - beta);
	}
	return true;
}

/* A pass over the rows at work. */
static PgmlStatus
pass(Descent *d, bool (*step)(Descent *, int32_t))
{
	const PgmlSvmRows *rows = d->problem->rows;

	d->lowest = INFINITY;
	d->highest = -INFINITY;
	d->sum = 0;
	for (int64_t k = 0; k < d->active; k++)
	{
		int64_t other = k + (int64_t) pgml_rng_below(&d->rng, (uint64_t) (d->active - k));
		int32_t i = d->order[other];

		d->order[other] = d->order[k];
		d->order[k] = i;
		if (!step(d, i))
			set_aside(d, k--);
		d->work += 2 * rows->numbers + rows->codes + 40;
		if (d->work < POLL_WORK)
			continue;
		d->work = 0;
		if (pgml_stopped(d->env))
			return pgml_fail_cancelled(d->env);
		if (pgml_clock_ends(d->env, pgml_out_of_time(d->env)))
		{
			d->late = true;
			return PGML_OK;
		}
	}
	return PGML_OK;
}

static PgmlStatus
descend(Descent *d, int64_t *passes)
{
	const PgmlSvmLinear *problem = d->problem;
	bool number =
		problem->loss == PGML_SVM_INSENSITIVE || problem->loss == PGML_SVM_SQUARED_INSENSITIVE;
	double first_sum = -1;

	d->active = problem->n;
	d->limit_low = -INFINITY;
	d->limit_high = INFINITY;
	for (*passes = 0; *passes < problem->max_iter; (*passes)++)
	{
		bool reached;

		PGML_TRY(pass(d, number ? step_number : step_class));
		if (d->late)
			break;
		if (first_sum < 0)
			first_sum = d->sum;
		reached =
			number ? d->sum <= problem->tol * first_sum : d->highest - d->lowest <= problem->tol;
		if (reached && d->active == problem->n)
			break;
		if (reached)
		{
			d->active = problem->n;
			d->limit_low = -INFINITY;
			d->limit_high = INFINITY;
			continue;
		}
		d->limit_high = d->highest > 0 ? d->highest : INFINITY;
		d->limit_low = d->lowest < 0 ? d->lowest : -INFINITY;
	}
	return PGML_OK;
}

PgmlStatus
pgml_svm_descend(const PgmlEnv *env, PgmlArena *arena, const PgmlSvmLinear *problem, double *w,
				 int64_t *passes, bool *late)
{
	Descent d = { .env = env, .problem = problem, .w = w };
	size_t n = (size_t) problem->n + 1;
	int64_t unused;
	PgmlStatus status;

	pgml_rng_init(&d.rng, problem->seed, UINT64_C(0x5d0a1c));
	memset(w, 0, (size_t) problem->rows->columns * sizeof(double));
	d.alpha = pgml_zalloc(arena, n, sizeof(double));
	d.square = pgml_array(arena, n, sizeof(double));
	d.order = pgml_array(arena, n, sizeof(int32_t));
	if (d.alpha == NULL || d.square == NULL || d.order == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	for (int64_t i = 0; i < problem->n; i++)
	{
		if (i % 1024 == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		d.order[i] = (int32_t) i;
		d.square[i] = length_of(problem->rows, problem->row[i]);
	}
	status = descend(&d, passes != NULL ? passes : &unused);
	*late = d.late;
	return status;
}

int64_t
pgml_svm_descend_memory(int64_t n)
{
	return n * (int64_t) (2 * sizeof(double) + sizeof(int32_t)) + 64;
}
