/*
 * linear_quadratic.c - a quadratic function with a penalty on absolute values: coordinate descent, and Cholesky's method on the
 * face that it finds.
 *
 * Coordinate descent with covariance updates (Friedman, Hastie and Tibshirani 2010) soon settles which unknowns are 0 and the
 * signs of the others, but crawls where columns are correlated.  With those settled the function is quadratic, and
 * its minimum the solution of linear equations; unknowns that would change their sign on the way become 0.  Both steps only go
 * down, so they take turns until the conditions of Karush, Kuhn and Tucker hold.
 */
#include "learner/linear_internal.h"

#include "core/clock.h"

/* Turns at most; each costs a factorisation. */
#define MAX_TURNS 60

/* Unknowns on a face at most: factoring their matrix takes some 40 ms. Larger ones are left to coordinate descent. */
#define MAX_FACE 1400

/* Rounds of coordinate descent a turn: over all unknowns once, then over those that are not 0. */
#define ROUNDS_ALL  1
#define ROUNDS_FACE 3

PgmlStatus
pgml_linear_quadratic(const PgmlEnv *env, PgmlArena *arena, const PgmlBlas *blas, int64_t n,
					  PgmlLinearQuadratic *q)
{
	size_t size = (size_t) n;

	memset(q, 0, sizeof(*q));
	q->env = env;
	q->blas = blas;
	q->extra = pgml_array(arena, size, sizeof(double));
	q->l1 = pgml_array(arena, size, sizeof(double));
	q->x = pgml_array(arena, size, sizeof(double));
	q->r = pgml_array(arena, size, sizeof(double));
	q->square = pgml_array(arena, size * size, sizeof(double));
	q->vector = pgml_array(arena, 2 * size, sizeof(double));
	q->face = pgml_array(arena, size, sizeof(int32_t));
	if (q->extra == NULL || q->l1 == NULL || q->x == NULL || q->r == NULL || q->square == NULL ||
		q->vector == NULL || q->face == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	return PGML_OK;
}

int64_t
pgml_linear_quadratic_memory(int64_t n)
{
	return (n * n + 6 * n) * (int64_t) sizeof(double) + n * (int64_t) sizeof(int32_t);
}

static double
curvature(const PgmlLinearQuadratic *q, int j)
{
	return q->h[(int64_t) j * q->n + j] + q->extra[j];
}

/* Change unknown j by delta. */
static void
change(PgmlLinearQuadratic *q, int j, double delta)
{
	const double *row = q->h + (int64_t) j * q->n;

	for (int i = 0; i < q->n; i++)
		q->r[i] += delta * row[i];
	q->r[j] += delta * q->extra[j];
	q->x[j] += delta;
}

/* Minimise over unknown j alone. */
static void
descend(PgmlLinearQuadratic *q, int j)
{
	double a = curvature(q, j);
	double best = 0;

	if (a > 0)
	{
		double z = a * q->x[j] - q->r[j];

		if (z > q->l1[j])
			best = (z - q->l1[j]) / a;
		else if (z < -q->l1[j])
			best = (z + q->l1[j]) / a;
	}
	else if (q->l1[j] == 0)
		best = q->x[j]; /* it makes no difference */
	if (best != q->x[j])
	{
		change(q, j, best - q->x[j]);
		q->x[j] = best; /* 0 is to be 0 */
	}
}

/* About what all unknowns, each alone, could still gain. */
static double
gain_left(const PgmlLinearQuadratic *q)
{
	double sum = 0;

	for (int j = 0; j < q->n; j++)
	{
		double a = curvature(q, j);
		double slope = q->r[j];

		if (q->x[j] != 0)
			slope += q->x[j] > 0 ? q->l1[j] : -q->l1[j];
		else
			slope = fmax(fabs(slope) - q->l1[j], 0);
		if (a > 0)
			sum += slope * slope / (2 * a);
	}
	return sum;
}

/* The unknowns that are not 0 or not penalised by their absolute value. */
static int
find_face(PgmlLinearQuadratic *q)
{
	int n = 0;

	for (int j = 0; j < q->n; j++)
		if ((q->x[j] != 0 || q->l1[j] == 0) && curvature(q, j) > 0)
			q->face[n++] = j;
	return n;
}

/* Solve for the step to the minimum on the face; false when rounding makes that impossible. */
static bool
solve_face(PgmlLinearQuadratic *q, int n, double *step)
{
	double ridge = 0;
	int info = 1;
	int one = 1;

	for (int attempt = 0; attempt < 4 && info != 0; attempt++)
	{
		for (int i = 0; i < n; i++)
		{
			const double *row = q->h + (int64_t) q->face[i] * q->n;

			for (int j = 0; j < n; j++)
				q->square[(int64_t) i * n + j] = row[q->face[j]];
			q->square[(int64_t) i * n + i] = curvature(q, q->face[i]) * (1 + ridge);
		}
		q->blas->dpotrf("U", &n, q->square, &n, &info);
		ridge = ridge == 0 ? 1e-13 : ridge * 1000;
	}
	if (info != 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		int j = q->face[i];
		double sign = (q->x[j] > 0) - (q->x[j] < 0);

		step[i] = -(q->r[j] + sign * q->l1[j]);
	}
	q->blas->dpotrs("U", &n, &one, q->square, &n, step, &n, &info);
	for (int i = 0; i < n; i++)
		if (!isfinite(step[i]))
			return false;
	return info == 0;
}

/* Does unknown j get past 0 with this step? */
static bool
crosses(const PgmlLinearQuadratic *q, int j, double step)
{
	return q->l1[j] > 0 && (q->x[j] > 0) != (q->x[j] + step > 0);
}

/* What a step on the face does to the function's value; image = (H + extra) step. */
static double
value_change(const PgmlLinearQuadratic *q, int n, const double *step, double *image)
{
	double sum = 0;

	memset(image, 0, (size_t) q->n * sizeof(double));
	for (int i = 0; i < n; i++)
	{
		const double *row = q->h + (int64_t) q->face[i] * q->n;

		for (int j = 0; step[i] != 0 && j < q->n; j++)
			image[j] += step[i] * row[j];
	}
	for (int i = 0; i < n; i++)
	{
		int j = q->face[i];

		image[j] += step[i] * q->extra[j];
		sum += step[i] * (q->r[j] + 0.5 * image[j]) +
			   q->l1[j] * (fabs(q->x[j] + step[i]) - fabs(q->x[j]));
	}
	return sum;
}

/* Go to the minimum on the face, or as far towards it as no sign changes. */
static void
face_step(PgmlLinearQuadratic *q)
{
	double *step = q->vector;
	double *image = q->vector + q->n;
	int n = find_face(q);
	double part = 1;
	bool crossed = false;

	if (n == 0 || n > MAX_FACE || !solve_face(q, n, step))
		return;
	for (int i = 0; i < n; i++)
		if (crosses(q, q->face[i], step[i]))
		{
			part = fmin(part, -q->x[q->face[i]] / step[i]);
			crossed = true;
		}
	/* Those that would cross end at 0; when that is not lower, all stop where the first one gets there. */
	for (int i = 0; i < n; i++)
		step[i] = crosses(q, q->face[i], step[i]) ? -q->x[q->face[i]] : step[i];
	if (crossed && value_change(q, n, step, image) > 0)
	{
		if (!solve_face(q, n, step))
			return;
		for (int i = 0; i < n; i++)
			step[i] = crosses(q, q->face[i], part * step[i] * (1 + 1e-12)) ? -q->x[q->face[i]] :
																			 part * step[i];
		value_change(q, n, step, image);
	}
	else if (!crossed)
		value_change(q, n, step, image);
	for (int i = 0; i < n; i++)
		q->x[q->face[i]] += step[i];
	for (int j = 0; j < q->n; j++)
		q->r[j] += image[j];
}

/* One turn of coordinate descent. PGML_ERR_CANCELLED when stopped. */
static PgmlStatus
descend_all(PgmlLinearQuadratic *q)
{
	for (int round = 0; round < ROUNDS_ALL + ROUNDS_FACE; round++)
	{
		if (pgml_stopped(q->env))
			return pgml_fail_cancelled(q->env);
		for (int j = 0; j < q->n; j++)
			if (round < ROUNDS_ALL || q->x[j] != 0 || q->l1[j] == 0)
				descend(q, j);
	}
	return PGML_OK;
}

PgmlStatus
pgml_linear_minimise(PgmlLinearQuadratic *q, double gain, bool *late)
{
	bool corners = false;

	*late = false;
	for (int j = 0; j < q->n; j++)
		corners |= q->l1[j] > 0;
	for (int turn = 0; turn < MAX_TURNS && gain_left(q) > gain; turn++)
	{
		if (pgml_stopped(q->env))
			return pgml_fail_cancelled(q->env);
		if (pgml_clock_ends(q->env, pgml_out_of_time(q->env)))
		{
			*late = true;
			return PGML_OK;
		}
		if (corners)
		{
			PGML_TRY(descend_all(q));
			if (gain_left(q) <= gain)
				return PGML_OK;
		}
		face_step(q);
	}
	return PGML_OK;
}
