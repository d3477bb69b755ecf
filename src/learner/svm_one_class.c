/*
 * svm_one_class.c - one-class support vector machines: where most points are (Schölkopf, Platt, Shawe-Taylor, Smola and Williamson 2001).
 *
 * Minimise  1/2 a' K a  with 0 <= a_i <= w_i and sum a = nu * sum w, as libsvm scales it.  From libsvm's first a, in which the
 * first points have all that they may have, this is the problem of svm_smo.c in beta = a - a_first: its p is K a_first, so that its
 * gradient is K a, and its bias is -rho.
 */
#include "learner/svm.h"

/* What svm_smo.c is asked. */
typedef struct OneClass
{
	double *first; /* the first a */
	double *p, *low, *high;
} OneClass;

/* The first coefficients, and how far each may move from there. */
static void
set_bounds(const double *w, int64_t n, double nu, OneClass *o)
{
	double rest = 0;

	for (int64_t i = 0; i < n; i++)
		rest += nu * (w != NULL ? w[i] : 1);
	for (int64_t i = 0; i < n; i++)
	{
		double most = w != NULL ? w[i] : 1;

		o->first[i] = rest < most ? rest : most;
		rest -= o->first[i];
		o->low[i] = -o->first[i];
		o->high[i] = most - o->first[i];
	}
}

/* p = K first */
static PgmlStatus
set_gradient(const PgmlEnv *env, PgmlArena *arena, const PgmlSvmProblem *problem, OneClass *o)
{
	const PgmlSvmPoints *points = &problem->points;
	int64_t n = points->n;
	float *x = pgml_array(arena, (size_t) (points->numbers + points->codes) + 1, sizeof(float));
	float *k = pgml_array(arena, (size_t) (pgml_svm_tiles(n) * PGML_SVM_TILE) + 1, sizeof(float));

	if (x == NULL || k == NULL)
		return pgml_fail_nomem(env, "a one-class support vector machine");
	for (int64_t i = 0; i < n && o->first[i] > 0; i++)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		pgml_svm_get_point(points, i, x);
		pgml_svm_kernel_row(points, problem->gamma, x, 0, pgml_svm_tiles(n), k);
		for (int64_t j = 0; j < n; j++)
			o->p[j] += o->first[i] * (double) k[j];
	}
	return PGML_OK;
}

PgmlStatus
pgml_svm_one_class(const PgmlEnv *env, PgmlArena *arena, PgmlSvmProblem *problem, const double *w,
				   double nu, PgmlSvmSolution *solution)
{
	int64_t n = problem->points.n;
	size_t size = (size_t) n + 1;
	OneClass o = { .first = pgml_array(arena, size, sizeof(double)),
				   .p = pgml_zalloc(arena, size, sizeof(double)),
				   .low = pgml_array(arena, size, sizeof(double)),
				   .high = pgml_array(arena, size, sizeof(double)) };

	if (o.first == NULL || o.p == NULL || o.low == NULL || o.high == NULL)
		return pgml_fail_nomem(env, "a one-class support vector machine");
	set_bounds(w, n, nu, &o);
	PGML_TRY(set_gradient(env, arena, problem, &o));
	problem->p = o.p;
	problem->low = o.low;
	problem->high = o.high;
	problem->epsilon = 0;
	PGML_TRY(pgml_svm_smo(env, arena, problem, solution));
	for (int64_t i = 0; i < n; i++)
	{
		solution->objective += o.first[i] * o.p[i] / 2;
		/* Where beta is at its upper bound a is at its own, whatever rounding says. */
		if (solution->beta[i] == o.high[i])
			solution->beta[i] = w != NULL ? w[i] : 1;
		else
			solution->beta[i] += o.first[i];
	}
	return PGML_OK;
}

int64_t
pgml_svm_one_class_memory(int64_t n, int64_t width, int64_t cache_bytes)
{
	return (n + 1) * 4 * (int64_t) sizeof(double) +
		   (pgml_svm_tiles(n) * PGML_SVM_TILE + width + 2) * (int64_t) sizeof(float) +
		   pgml_svm_smo_memory(n, cache_bytes);
}
