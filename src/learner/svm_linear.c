/*
 * svm_linear.c - linear machines: which solver, and what a solved one says of a row.
 */
#include "learner/svm.h"

/*
 * Newton's method takes a matrix of columns x columns, and its factor costs columns / (3 rows) as much as the matrix itself: with
 * few rows, for the square of the columns, passes are faster.
 */
#define NEWTON_COLUMNS     1600
#define NEWTON_SQUARE_ROWS 500

#define LANES 8

typedef double Lanes __attribute__((vector_size(64)));
typedef float Narrow __attribute__((vector_size(32)));

PGML_CLONES static double
dot(int n, const double *w, const float *x)
{
	Lanes a = { 0 }, b = { 0 };
	double sum = 0;
	int i = 0;

	for (; i + 2 * LANES <= n; i += 2 * LANES)
	{
		Narrow x0, x1;
		Lanes w0, w1;

		memcpy(&x0, x + i, sizeof(x0));
		memcpy(&x1, x + i + LANES, sizeof(x1));
		memcpy(&w0, w + i, sizeof(w0));
		memcpy(&w1, w + i + LANES, sizeof(w1));
		a += w0 * __builtin_convertvector(x0, Lanes);
		b += w1 * __builtin_convertvector(x1, Lanes);
	}
	a += b;
	for (; i < n; i++)
		sum += w[i] * (double) x[i];
	return sum + (((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7])));
}

double
pgml_svm_score(const PgmlSvmRows *rows, const double *w, int64_t row)
{
	const int32_t *level = rows->level + row * rows->codes;
	double sum = w[0] + dot(rows->numbers, w + 1, rows->number + row * rows->numbers);

	for (int c = 0; c < rows->codes; c++)
		sum += w[level[c]];
	return sum;
}

PgmlStatus
pgml_svm_linear(const PgmlEnv *env, PgmlArena *arena, const PgmlSvmLinear *problem, double *w,
				int64_t *passes, bool *late)
{
	int64_t columns = problem->rows->columns;
	bool newton = columns <= NEWTON_COLUMNS && columns * columns <= NEWTON_SQUARE_ROWS * problem->n;

	return (newton ? pgml_svm_newton : pgml_svm_descend)(env, arena, problem, w, passes, late);
}

int64_t
pgml_svm_linear_memory(int64_t n, int64_t columns)
{
	int64_t descend = pgml_svm_descend_memory(n);
	int64_t newton = columns <= NEWTON_COLUMNS ? pgml_svm_newton_memory(n, columns) : 0;

	return descend > newton ? descend : newton;
}
