/*
 * Tests of the solvers of learner `svm`.  Numbers of libsvm and LIBLINEAR come from scikit-learn 1.2 on the same scaled columns.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "learner/svm_fit.h"
#include "unit.h"

static PgmlBlas loaded;

static int
load_blas(void **state)
{
	(void) state;
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	return pgml_blas_load(&loaded, NULL, NULL) != PGML_OK;
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* ---- the exact solver ---- */

#define MAX_POINTS 1600
#define MAX_WIDTH  8

/* A problem of the exact solver and its solution; free with exact_free(). */
typedef struct Exact
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env;
	PgmlArena *arena;
	PgmlSvmProblem problem;
	PgmlSvmSolution solution;
	float x[MAX_POINTS][MAX_WIDTH];
	double p[MAX_POINTS], low[MAX_POINTS], high[MAX_POINTS], beta[MAX_POINTS];
	int64_t n;
} Exact;

static Exact *
exact_new(int64_t n, int numbers, int codes, double gamma)
{
	Exact *e = calloc(1, sizeof(*e));

	pgml_budget_init(&e->budget, 0);
	e->env = (PgmlEnv){ .budget = &e->budget, .error = &e->error };
	e->arena = pgml_arena_create(&e->budget);
	e->n = n;
	e->problem = (PgmlSvmProblem){ .gamma = (float) gamma,
								   .p = e->p,
								   .low = e->low,
								   .high = e->high,
								   .tol = 1e-6,
								   .cache_bytes = 1 << 20 };
	e->solution.beta = e->beta;
	e->problem.points.numbers = numbers;
	e->problem.points.codes = codes;
	return e;
}

static void
exact_free(Exact *e)
{
	pgml_arena_destroy(e->arena);
	assert_int_equal(atomic_load(&e->budget.used), 0);
	free(e);
}

/* Row i: a label (1 or -1) with cost c. */
static void
exact_class(Exact *e, int64_t i, double y, double c)
{
	e->p[i] = -y;
	e->low[i] = y > 0 ? 0 : -c;
	e->high[i] = y > 0 ? c : 0;
}

/* Row i: a number with cost c. */
static void
exact_number(Exact *e, int64_t i, double y, double c)
{
	e->p[i] = -y;
	e->low[i] = -c;
	e->high[i] = c;
}

static void
exact_solve(Exact *e)
{
	PgmlSvmPoints *points = &e->problem.points;

	assert_int_equal(
		pgml_svm_points(&e->env, e->arena, e->n, points->numbers, points->codes, points), PGML_OK);
	for (int64_t i = 0; i < e->n; i++)
		pgml_svm_set_point(points, i, e->x[i]);
	assert_int_equal(pgml_svm_smo(&e->env, e->arena, &e->problem, &e->solution), PGML_OK);
}

static double
kernel(const Exact *e, int64_t i, int64_t j)
{
	int numbers = e->problem.points.numbers;
	double sum = 0;

	for (int f = 0; f < numbers + e->problem.points.codes; f++)
	{
		double d = (double) e->x[i][f] - (double) e->x[j][f];

		sum += f < numbers ? d * d : 2 * (d != 0);
	}
	return exp(-(double) e->problem.gamma * sum);
}

/* The decision for row i, without the solver. */
static double
decide(const Exact *e, int64_t i)
{
	double sum = e->solution.bias;

	for (int64_t j = 0; j < e->n; j++)
		sum += e->beta[j] * kernel(e, i, j);
	return sum;
}

/* The conditions of the solution, which are necessary and sufficient (Karush, Kuhn and Tucker). */
static void
assert_solved(const Exact *e, double tolerance)
{
	double sum = 0;

	for (int64_t i = 0; i < e->n; i++)
	{
		double slack = decide(e, i) + e->p[i]; /* f - y */
		double epsilon = e->problem.epsilon;

		assert_true(e->beta[i] >= e->low[i] && e->beta[i] <= e->high[i]);
		sum += e->beta[i];
		if (e->beta[i] < e->high[i]) /* going up does not help */
			assert_true(slack + (e->beta[i] >= 0 ? epsilon : -epsilon) >= -tolerance);
		if (e->beta[i] > e->low[i])
			assert_true(slack + (e->beta[i] > 0 ? epsilon : -epsilon) <= tolerance);
	}
	assert_near(sum, 0, 1e-9 * (double) e->n * (1 + e->high[0]));
}

static void
two_points_have_a_closed_form(void **state)
{
	double k = exp(-4 * 0.3);

	(void) state;
	for (int bounded = 0; bounded < 2; bounded++)
	{
		Exact *e = exact_new(2, 1, 0, 0.3);
		double c = bounded ? 0.5 : 100;

		e->x[0][0] = 1;
		e->x[1][0] = -1;
		exact_class(e, 0, 1, c);
		exact_class(e, 1, -1, c);
		exact_solve(e);
		/* The dual is b^2 (1 - k) - 2 b, least at b = 1 / (1 - k). */
		assert_near(e->beta[0], bounded ? c : 1 / (1 - k), 1e-6);
		assert_near(e->beta[1], -e->beta[0], 0);
		assert_near(e->solution.bias, 0, 1e-7);
		assert_near(e->solution.objective, bounded ? c * c * (1 - k) - 2 * c : -1 / (1 - k), 1e-6);
		exact_free(e);
	}
}

/* Four corners, opposite ones of one class: all coefficients are alike. */
static void
symmetry_is_kept(void **state)
{
	Exact *e = exact_new(4, 2, 0, 0.2);
	double beta = 1 / (1 + exp(-8 * 0.2) - 2 * exp(-4 * 0.2));

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		e->x[i][0] = i % 2 == 0 ? 1 : -1;
		e->x[i][1] = i < 2 ? 1 : -1;
		exact_class(e, i, (double) (e->x[i][0] * e->x[i][1]), 1000);
	}
	exact_solve(e);
	for (int i = 0; i < 4; i++)
	{
		assert_near(fabs(e->beta[i]), beta, 1e-5);
		assert_near(decide(e, i), (double) (e->x[i][0] * e->x[i][1]), 1e-5);
	}
	assert_near(e->solution.bias, 0, 1e-6);
	exact_free(e);
}

/* The 40 rows the reference numbers were computed on: two columns, scaled. */
#define REFERENCE_ROWS 40

static void
reference_columns(float (*x)[MAX_WIDTH], double *a, double *b)
{
	double mean[2] = { 0, 0 }, square[2] = { 0, 0 };

	for (int i = 0; i < REFERENCE_ROWS; i++)
	{
		a[i] = i * 7 % 11;
		b[i] = i * 5 % 13 * 0.5 - 2;
		mean[0] += a[i] / REFERENCE_ROWS;
		mean[1] += b[i] / REFERENCE_ROWS;
	}
	for (int i = 0; i < REFERENCE_ROWS; i++)
	{
		square[0] += (a[i] - mean[0]) * (a[i] - mean[0]) / REFERENCE_ROWS;
		square[1] += (b[i] - mean[1]) * (b[i] - mean[1]) / REFERENCE_ROWS;
	}
	for (int i = 0; i < REFERENCE_ROWS; i++)
	{
		x[i][0] = (float) ((a[i] - mean[0]) / sqrt(square[0]));
		x[i][1] = (float) ((b[i] - mean[1]) / sqrt(square[1]));
	}
}

/* A number for each row, scaled to deviation 1. */
static void
reference_target(const double *a, const double *b, double *y)
{
	double mean = 0, square = 0;

	for (int i = 0; i < REFERENCE_ROWS; i++)
	{
		y[i] = 2 * a[i] - b[i] + i * 17 % 7 * 0.3 + (a[i] - 5) * (a[i] - 5) / 3;
		mean += y[i] / REFERENCE_ROWS;
	}
	for (int i = 0; i < REFERENCE_ROWS; i++)
		square += (y[i] - mean) * (y[i] - mean) / REFERENCE_ROWS;
	for (int i = 0; i < REFERENCE_ROWS; i++)
		y[i] = (y[i] - mean) / sqrt(square);
}

static void
kernels_are_solved_as_by_libsvm(void **state)
{
	static const double class_f[] = { 1.743998, -1.362368, 0.727311, 1.938762, -1.93102, 1.961641 };
	static const double number_f[] = {
		-0.345364, 0.406273, -1.130057, 2.16489, -0.266939, -1.221271
	};
	double a[REFERENCE_ROWS], b[REFERENCE_ROWS], y[REFERENCE_ROWS];

	(void) state;
	for (int number = 0; number < 2; number++)
	{
		Exact *e = exact_new(REFERENCE_ROWS, 2, 0, 0.5);

		reference_columns(e->x, a, b);
		reference_target(a, b, y);
		e->problem.epsilon = number ? 0.1 : 0;
		for (int i = 0; i < REFERENCE_ROWS; i++)
			if (number)
				exact_number(e, i, y[i], 2);
			else
				exact_class(e, i,
							(a[i] - 5) * (a[i] - 5) + (b[i] - 1) * (b[i] - 1) * 3 + i * 17 % 7 * 2 >
									22 ?
								1 :
								-1,
							2);
		exact_solve(e);
		assert_near(e->solution.objective, number ? -6.172401251 : -29.337959087, 1e-5);
		for (int i = 0; i < 6; i++)
			assert_near(decide(e, i), number ? number_f[i] : class_f[i], 1e-4);
		assert_solved(e, 1e-4);
		exact_free(e);
	}
}

/* A random problem with everything in it; equal points and labels that contradict each other as well. */
static Exact *
random_problem(int64_t n, bool number, double c, uint64_t seed)
{
	Exact *e = exact_new(n, 3, seed % 3 == 0 ? 2 : 0, seed % 2 == 0 ? 0.3 : 3);
	PgmlRng rng;

	pgml_rng_init(&rng, seed, 1);
	e->problem.epsilon = number ? 0.2 : 0;
	e->problem.tol = 1e-4;
	for (int64_t i = 0; i < n; i++)
	{
		double z = 0;

		for (int f = 0; f < 3; f++)
		{
			e->x[i][f] = (float) pgml_rng_normal(&rng);
			z += sin(2.0 * (double) e->x[i][f]);
		}
		for (int f = 3; f < 5; f++)
			e->x[i][f] = (float) pgml_rng_below(&rng, 3);
		if (i > 0 && pgml_rng_below(&rng, 10) == 0)
			memcpy(e->x[i], e->x[i - 1], sizeof(e->x[i]));
		z += pgml_rng_normal(&rng) * 0.7;
		if (number)
			exact_number(e, i, z, c * (double) (1 + pgml_rng_below(&rng, 2)));
		else
			exact_class(e, i, z > 0.5 ? 1 : -1, c * (double) (1 + pgml_rng_below(&rng, 2)));
	}
	return e;
}

static void
random_problems_end_where_no_pair_gains(void **state)
{
	static const double costs[] = { 0.01, 1, 100 };

	(void) state;
	for (uint64_t seed = 0; seed < 24; seed++)
	{
		Exact *e =
			random_problem(20 + 11 * (int64_t) seed, seed % 2 == 1, costs[seed / 2 % 3], seed);

		exact_solve(e);
		assert_true(e->solution.violation <= e->problem.tol * 1.01);
		assert_solved(e, 3e-4 + 1e-6 * costs[seed / 2 % 3] * (double) e->n);
		exact_free(e);
	}
}

/* Rows that are set aside, columns that are forgotten and computed again: the same to the last bit. */
static void
the_cache_changes_nothing(void **state)
{
	(void) state;
	for (int number = 0; number < 2; number++)
	{
		Exact *small = random_problem(MAX_POINTS, number, 2, 4);
		Exact *large = random_problem(MAX_POINTS, number, 2, 4);

		small->problem.cache_bytes = 1;
		large->problem.cache_bytes = 64 << 20;
		exact_solve(small);
		exact_solve(large);
		assert_memory_equal(small->beta, large->beta, sizeof(small->beta));
		assert_solved(large, 1e-3);
		assert_true(large->solution.iterations > 1000); /* so that rows were set aside */
		exact_free(small);
		exact_free(large);
	}
}

static void
steps_may_be_bounded(void **state)
{
	Exact *e = random_problem(200, false, 10, 5);

	(void) state;
	e->problem.max_iter = 7;
	exact_solve(e);
	assert_int_equal(e->solution.iterations, 7);
	assert_true(e->solution.violation > e->problem.tol);
	exact_free(e);
}

static void
distances_do_not_depend_on_how_they_are_cut(void **state)
{
	enum
	{
		N = 100,
		NUMBERS = 11,
		CODES = 3
	};
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlSvmPoints points;
	PgmlArena *arena;
	PgmlRng rng;
	float x[NUMBERS + CODES], row[NUMBERS + CODES], whole[128], cut[128] = { 0 };
	int64_t stride = (NUMBERS + CODES) * PGML_SVM_TILE;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_int_equal(pgml_svm_points(&env, arena, N, NUMBERS, CODES, &points), PGML_OK);
	pgml_rng_init(&rng, 3, 1);
	for (int i = 0; i <= N; i++)
	{
		for (int f = 0; f < NUMBERS + CODES; f++)
			row[f] = f < NUMBERS ? (float) pgml_rng_normal(&rng) : (float) pgml_rng_below(&rng, 3);
		if (i < N)
			pgml_svm_set_point(&points, i, row);
	}
	memcpy(x, row, sizeof(x));
	pgml_svm_kernel_row(&points, 0.125f, x, 0, 4, whole);
	for (int t = 0; t < 4; t++)
	{
		float *sum = cut + t * PGML_SVM_TILE;
		const float *tile = points.at + t * stride;

		pgml_svm_add_distances(tile, stride, 1, x, 4, 0, sum);
		pgml_svm_add_distances(tile + 4 * PGML_SVM_TILE, stride, 1, x + 4, NUMBERS - 4, 1, sum);
		pgml_svm_add_distances(tile + (NUMBERS + 1) * PGML_SVM_TILE, stride, 1, x + NUMBERS + 1, 0,
							   CODES - 1, sum);
	}
	pgml_svm_rbf(0.125f, 128, cut);
	assert_memory_equal(whole, cut, sizeof(whole));
	for (int i = 0; i < N; i++)
	{
		double sum = 0;

		pgml_svm_get_point(&points, i, row);
		for (int f = 0; f < NUMBERS + CODES; f++)
			sum += f < NUMBERS ? pow((double) x[f] - (double) row[f], 2) : 2 * (x[f] != row[f]);
		assert_near((double) whole[i] / exp(-0.125 * sum), 1, 2e-6);
	}
	pgml_arena_destroy(arena);
}

/* The exponential is right to the last bits from 1 down to where float32 ends, and 1 at 0. */
static void
the_exponential_is_exact_enough(void **state)
{
	float v[PGML_SVM_TILE];

	(void) state;
	for (int k = 0; k < 2000; k++)
	{
		for (int l = 0; l < PGML_SVM_TILE; l++)
			v[l] = (float) (k * PGML_SVM_TILE + l) * 0.00135f;
		pgml_svm_rbf(1, PGML_SVM_TILE, v);
		for (int l = 0; l < PGML_SVM_TILE; l++)
		{
			double x = (double) ((float) (k * PGML_SVM_TILE + l) * 0.00135f);

			if (x < 87)
				assert_near((double) v[l] / exp(-x), 1, 3e-7);
			else
				assert_true(v[l] >= 0 && v[l] < 2e-38f);
		}
	}
	v[0] = 0;
	v[1] = INFINITY;
	v[2] = NAN;
	pgml_svm_rbf(3, PGML_SVM_TILE, v);
	assert_true(v[0] == 1 && v[1] < 2e-38f && v[2] < 2e-38f);
}

/* ---- one class ---- */

/* Solve for the rows in e->x. */
static void
one_class_solve(Exact *e, const double *w, double nu)
{
	PgmlSvmPoints *points = &e->problem.points;

	assert_int_equal(
		pgml_svm_points(&e->env, e->arena, e->n, points->numbers, points->codes, points), PGML_OK);
	for (int64_t i = 0; i < e->n; i++)
		pgml_svm_set_point(points, i, e->x[i]);
	assert_int_equal(pgml_svm_one_class(&e->env, e->arena, &e->problem, w, nu, &e->solution),
					 PGML_OK);
}

/* Conditions of the solution: rows without a coefficient are inside, those with all they may have outside. */
static void
assert_one_class(const Exact *e, const double *w, double nu, double tolerance)
{
	double sum = 0, wanted = 0, square = 0;

	for (int64_t i = 0; i < e->n; i++)
	{
		double most = w != NULL ? w[i] : 1;
		double f = decide(e, i);

		assert_true(e->beta[i] >= 0 && e->beta[i] <= most);
		if (e->beta[i] < most)
			assert_true(f >= -tolerance);
		if (e->beta[i] > 0)
			assert_true(f <= tolerance);
		sum += e->beta[i];
		wanted += nu * most;
		square += e->beta[i] * (f - e->solution.bias) / 2;
	}
	assert_near(sum, wanted, 1e-9 * wanted);
	assert_near(e->solution.objective, square, 1e-5 * square);
}

/* The numbers are scikit-learn's, which are libsvm's. */
static void
one_class_is_that_of_libsvm(void **state)
{
	static const struct
	{
		double nu, gamma;
		bool weighted;
		double beta[4]; /* of rows 0, 3, 12 and 13 */
		double bias;
	} cases[] = {
		{ 0.3, 0.5, false, { 0.846519539, 0.837071701, 1, 0.134889666 }, -1.1159297874918095 },
		{ 0.5, 2, false, { 0.507854542, 1, 1, 0.873059491 }, -1.173184154178853 },
		{ 0.3, 0.5, true, { 1, 1, 1, 0.433213095 }, -1.8677769050203201 },
	};
	static const int rows[] = { 0, 3, 12, 13 };

	(void) state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		Exact *e = exact_new(14, 2, 0, cases[c].gamma);
		double w[14];

		for (int i = 0; i < 14; i++)
		{
			e->x[i][0] = (float) (i * 7 % 11 / 4.0 - 1.5);
			e->x[i][1] = (float) (i * 5 % 13 / 5.0 - 1);
			w[i] = 1 + i % 3 * 0.5;
		}
		e->x[12][0] = 4;
		e->x[12][1] = -3;
		one_class_solve(e, cases[c].weighted ? w : NULL, cases[c].nu);
		assert_one_class(e, cases[c].weighted ? w : NULL, cases[c].nu, 1e-5);
		for (int r = 0; r < 4; r++)
			assert_near(e->beta[rows[r]], cases[c].beta[r], 1e-4);
		assert_near(e->solution.bias, cases[c].bias, 1e-5);
		exact_free(e);
	}
}

/* Shares of outliers up to nu, equal rows, all rows outside, a single row, no time. */
static void
one_class_of_many_rows(void **state)
{
	static const double shares[] = { 0.01, 0.1, 0.5, 1 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 5, 1);
	for (int s = 0; s < 4; s++)
	{
		Exact *e = exact_new(600, 3, 1, 0.3);
		int outside = 0;

		for (int i = 0; i < 600; i++)
		{
			for (int f = 0; f < 3; f++)
				e->x[i][f] = i % 5 == 0 && i > 0 ? e->x[i - 1][f] : (float) pgml_rng_normal(&rng);
			e->x[i][3] = (float) (i / 5 % 3);
		}
		one_class_solve(e, NULL, shares[s]);
		assert_one_class(e, NULL, shares[s], 1e-4);
		for (int i = 0; i < 600; i++)
			outside += decide(e, i) < -1e-4;
		assert_true(outside <= shares[s] * 600);
		exact_free(e);
	}
	for (int stopped = 0; stopped < 2; stopped++)
	{
		Exact *e = exact_new(1, 1, 0, 1);

		e->x[0][0] = FLT_MAX;
		if (stopped)
			e->env.deadline = 1;
		one_class_solve(e, NULL, 0.2);
		assert_near(e->beta[0], 0.2, 1e-15);
		assert_near(decide(e, 0), 0, 1e-6);
		exact_free(e);
	}
}

/* A stop is obeyed, and any allocation may fail. */
static void
one_class_may_be_interrupted(void **state)
{
	_Atomic int stop = 1;

	(void) state;
	for (int fault = 0; fault < 60; fault++)
	{
		Exact *e = exact_new(40, 1, 0, 1);
		PgmlStatus status;

		for (int i = 0; i < 40; i++)
			e->x[i][0] = (float) i;
		assert_int_equal(pgml_svm_points(&e->env, e->arena, e->n, 1, 0, &e->problem.points),
						 PGML_OK);
		for (int i = 0; i < 40; i++)
			pgml_svm_set_point(&e->problem.points, i, e->x[i]);
		if (fault == 0)
			e->env.stop = &stop;
		else
			atomic_store(&e->budget.fail_at, fault);
		status = pgml_svm_one_class(&e->env, e->arena, &e->problem, NULL, 0.5, &e->solution);
		assert_true(fault == 0 ? status == PGML_ERR_CANCELLED :
								 status == PGML_OK || status == PGML_ERR_NOMEM);
		exact_free(e);
		if (fault > 0 && status == PGML_OK)
			return;
	}
	fail();
}

/* ---- the linear solver ---- */

typedef PgmlStatus (*LinearSolver)(const PgmlEnv *, PgmlArena *, const PgmlSvmLinear *, double *,
								   int64_t *, bool *);

static const LinearSolver linear_solvers[] = { pgml_svm_descend, pgml_svm_newton };

static void
solve_linear(LinearSolver solver, const PgmlSvmRows *rows, int64_t n, const double *y, double cost,
			 PgmlSvmLoss loss, double *w)
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlArena *arena;
	PgmlSvmLinear problem = {
		.blas = &loaded, .rows = rows, .n = n, .y = y, .loss = loss, .epsilon = 0.1
	};
	double *c = malloc((size_t) n * sizeof(double));
	int32_t *row = malloc((size_t) n * sizeof(int32_t));
	bool late;

	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	for (int64_t i = 0; i < n; i++)
	{
		c[i] = cost * (double) (1 + i % 3) / 2;
		row[i] = (int32_t) i;
	}
	problem.c = c;
	problem.row = row;
	problem.tol = 1e-8;
	problem.max_iter = 100000;
	assert_int_equal(solver(&env, arena, &problem, w, NULL, &late), PGML_OK);
	assert_false(late);
	pgml_arena_destroy(arena);
	free(c);
	free(row);
}

/* The objective that solve_linear() minimises. */
static double
linear_objective(const PgmlSvmRows *rows, int64_t n, const double *y, double cost, PgmlSvmLoss loss,
				 const double *w)
{
	bool class = loss == PGML_SVM_HINGE || loss == PGML_SVM_SQUARED_HINGE;
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
	{
		double f = pgml_svm_score(rows, w, i);
		double e = fmax(0, class ? 1 - y[i] * f : fabs(y[i] - f) - 0.1);

		if (loss == PGML_SVM_SQUARED_HINGE || loss == PGML_SVM_SQUARED_INSENSITIVE)
			e *= e;
		sum += cost * (double) (1 + i % 3) / 2 * e;
	}
	for (int64_t j = 0; j < rows->columns; j++)
		sum += w[j] * w[j] / 2;
	return sum;
}

/* Weights are 1/2, 1 and 3/2 in turn, as scikit-learn was told. */
static void
linear_problems_are_solved_as_by_liblinear(void **state)
{
	static const double expected[][3] = { { 0.07683162, 1.331733, -0.8334426 },
										  { 0.07004473, 0.9331273, -0.6328824 },
										  { -0.1108402, 0.8658088, -0.245632 },
										  { -0.006333222, 0.8657398, -0.2588777 } };
	float x[REFERENCE_ROWS][MAX_WIDTH], dense[REFERENCE_ROWS][2];
	double a[REFERENCE_ROWS], b[REFERENCE_ROWS], y[REFERENCE_ROWS], w[3];
	PgmlSvmRows rows = { .numbers = 2, .columns = 3, .number = dense[0] };

	(void) state;
	reference_columns(x, a, b);
	for (int i = 0; i < REFERENCE_ROWS; i++)
		memcpy(dense[i], x[i], sizeof(dense[i]));
	for (int loss = PGML_SVM_HINGE; loss <= PGML_SVM_SQUARED_INSENSITIVE; loss++)
		for (int solver = 0; solver < 2; solver++)
		{
			reference_target(a, b, y);
			for (int i = 0; i < REFERENCE_ROWS && loss <= PGML_SVM_SQUARED_HINGE; i++)
				y[i] = a[i] - b[i] + i * 17 % 7 > 8 ? 1 : -1;
			solve_linear(linear_solvers[solver], &rows, REFERENCE_ROWS, y, 0.5, (PgmlSvmLoss) loss,
						 w);
			for (int i = 0; i < 3; i++)
				assert_near(w[i], expected[loss][i], 1e-4);
		}
}

/* Rows of numbers and codes; the same with the codes written down as columns. */
#define CODED_ROWS 200

typedef struct Coded
{
	float number[CODED_ROWS][2], dense[CODED_ROWS][7];
	int32_t level[CODED_ROWS][2];
	double y[CODED_ROWS];
	PgmlSvmRows sparse, wide;
} Coded;

static Coded *
coded_new(bool class, uint64_t seed)
{
	Coded *d = calloc(1, sizeof(*d));
	PgmlRng rng;

	pgml_rng_init(&rng, seed, 1);
	for (int i = 0; i < CODED_ROWS; i++)
	{
		for (int f = 0; f < 2; f++)
			d->number[i][f] = d->dense[i][f] = (float) pgml_rng_normal(&rng);
		d->level[i][0] = 3 + (int32_t) pgml_rng_below(&rng, 2);
		d->level[i][1] = 5 + (int32_t) pgml_rng_below(&rng, 3);
		d->dense[i][d->level[i][0] - 1] = d->dense[i][d->level[i][1] - 1] = 1;
		d->y[i] = (double) d->number[i][0] + d->level[i][0] - 3 + pgml_rng_normal(&rng);
		if (class)
			d->y[i] = d->y[i] > 0.5 ? 1 : -1;
	}
	d->sparse = (PgmlSvmRows){ 2, 2, 8, d->number[0], d->level[0] };
	d->wide = (PgmlSvmRows){ 7, 0, 8, d->dense[0], NULL };
	return d;
}

static void
codes_are_columns(void **state)
{
	(void) state;
	for (int loss = PGML_SVM_HINGE; loss <= PGML_SVM_SQUARED_INSENSITIVE; loss++)
		for (int solver = 0; solver < 2; solver++)
		{
			Coded *d = coded_new(loss <= PGML_SVM_SQUARED_HINGE, 9);
			double w[8], v[8];

			solve_linear(linear_solvers[solver], &d->sparse, CODED_ROWS, d->y, 1,
						 (PgmlSvmLoss) loss, w);
			solve_linear(linear_solvers[solver], &d->wide, CODED_ROWS, d->y, 1, (PgmlSvmLoss) loss,
						 v);
			for (int i = 0; i < 8; i++)
				assert_near(w[i], v[i], 2e-4);
			free(d);
		}
}

/* Descent in the dual and steps in the primal find the same minimum. */
static void
both_linear_solvers_agree(void **state)
{
	static const double costs[] = { 1e-4, 0.1, 1, 30 };

	(void) state;
	for (int loss = PGML_SVM_HINGE; loss <= PGML_SVM_SQUARED_INSENSITIVE; loss++)
		for (uint64_t seed = 0; seed < 8; seed++)
		{
			Coded *d = coded_new(loss <= PGML_SVM_SQUARED_HINGE, seed);
			double cost = costs[seed % 4], best[2];

			for (int solver = 0; solver < 2; solver++)
			{
				double w[8];

				solve_linear(linear_solvers[solver], &d->sparse, CODED_ROWS, d->y, cost,
							 (PgmlSvmLoss) loss, w);
				best[solver] =
					linear_objective(&d->sparse, CODED_ROWS, d->y, cost, (PgmlSvmLoss) loss, w);
			}
			assert_near(best[0] / best[1], 1, 1e-6);
			free(d);
		}
}

/* ---- probabilities ---- */

static void
sigmoids_are_platts(void **state)
{
	static const double f[] = { -2, -1.5, -1, -0.3, 0.2, -0.1, 0.4, 1, 1.5, 2.5 };
	static const bool positive[] = { 0, 0, 0, 1, 0, 0, 1, 1, 0, 1 };
	static const bool all[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	double twice[20], w[10];
	bool positive_twice[20];
	PgmlSvmSigmoid s = pgml_svm_platt(f, positive, NULL, 10), t;

	(void) state;
	/* What scikit-learn's CalibratedClassifierCV finds. */
	assert_near(s.a, -0.635057, 1e-3);
	assert_near(s.b, 0.466991, 1e-3);
	assert_near(pgml_svm_probability(s, 0), 1 / (1 + exp(s.b)), 1e-12);
	assert_true(pgml_svm_probability(s, 1e308) > 0.99 && pgml_svm_probability(s, -1e308) < 0.01);
	/* All rows of one class: nearly sure of it, but not quite. */
	s = pgml_svm_platt(f, all, NULL, 10);
	assert_near(pgml_svm_probability(s, 0), 11.0 / 12, 0.01);
	/* Weights that are all alike change nothing; no rows, no opinion. */
	for (int i = 0; i < 10; i++)
		w[i] = 7;
	s = pgml_svm_platt(f, positive, NULL, 10);
	t = pgml_svm_platt(f, positive, w, 10);
	assert_near(s.a, t.a, 1e-9);
	assert_near(s.b, t.b, 1e-9);
	assert_near(pgml_svm_probability(pgml_svm_platt(f, positive, NULL, 0), 3), 0.5, 0);
	/* Perfectly told apart, and with values beyond all reason. */
	for (int i = 0; i < 20; i++)
	{
		twice[i] = (i < 10 ? -1 : 1) * 1e6;
		positive_twice[i] = i >= 10;
	}
	s = pgml_svm_platt(twice, positive_twice, NULL, 20);
	assert_true(isfinite(s.a) && isfinite(s.b));
	assert_near(pgml_svm_probability(s, 1e6), 11.0 / 12, 0.01);
}

static void
pairs_are_coupled(void **state)
{
	static const double r[] = { 0, 0.9, 0.6, 0.1, 0, 0.3, 0.4, 0.7, 0 };
	/* The solution of the linear equations that Wu, Lin and Weng give. */
	static const double expected[] = { 0.55618464, 0.09653937, 0.34727598 };
	double even[PGML_SVM_PAIRED * PGML_SVM_PAIRED], p[PGML_SVM_PAIRED];

	(void) state;
	pgml_svm_couple(3, r, p);
	for (int i = 0; i < 3; i++)
		assert_near(p[i], expected[i], 2e-3);
	for (int i = 0; i < PGML_SVM_PAIRED * PGML_SVM_PAIRED; i++)
		even[i] = 0.5;
	pgml_svm_couple(PGML_SVM_PAIRED, even, p);
	for (int i = 0; i < PGML_SVM_PAIRED; i++)
		assert_near(p[i], 1.0 / PGML_SVM_PAIRED, 1e-12);
}

int
test_svm_solvers(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_class_is_that_of_libsvm),
		cmocka_unit_test(one_class_of_many_rows),
		cmocka_unit_test(one_class_may_be_interrupted),
		cmocka_unit_test(two_points_have_a_closed_form),
		cmocka_unit_test(symmetry_is_kept),
		cmocka_unit_test(kernels_are_solved_as_by_libsvm),
		cmocka_unit_test(random_problems_end_where_no_pair_gains),
		cmocka_unit_test(the_cache_changes_nothing),
		cmocka_unit_test(steps_may_be_bounded),
		cmocka_unit_test(distances_do_not_depend_on_how_they_are_cut),
		cmocka_unit_test(the_exponential_is_exact_enough),
		cmocka_unit_test(linear_problems_are_solved_as_by_liblinear),
		cmocka_unit_test(codes_are_columns),
		cmocka_unit_test(both_linear_solvers_agree),
		cmocka_unit_test(sigmoids_are_platts),
		cmocka_unit_test(pairs_are_coupled),
	};

	return cmocka_run_group_tests_name("svm_solvers", tests, load_blas, NULL);
}
