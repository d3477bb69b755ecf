/*
 * svm_algebra.c - the little dense algebra that support vector machines need beside OpenBLAS: it is interruptible.
 */
#include "learner/svm.h"

#define LANES 8

typedef double Lanes __attribute__((vector_size(64)));

PGML_CLONES double
pgml_svm_dot(int64_t n, const double *a, const double *b)
{
	Lanes s = { 0 };
	double sum = 0;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		Lanes x, y;

		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		s += x * y;
	}
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum + (((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7])));
}

PGML_CLONES void
pgml_svm_add_line(int64_t n, double factor, const double *line, double *sum)
{
	for (int64_t i = 0; i < n; i++)
		sum[i] += factor * line[i];
}

PgmlStatus
pgml_svm_factorise(const PgmlEnv *env, int64_t n, double least, double *matrix)
{
	for (int64_t i = 0; i < n; i++)
	{
		double *line = matrix + i * n;
		double floor = least * line[i];

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (int64_t j = 0; j < i; j++)
			line[j] = (line[j] - pgml_svm_dot(j, line, matrix + j * n)) / matrix[j * n + j];
		line[i] = sqrt(fmax(line[i] - pgml_svm_dot(i, line, line), floor));
	}
	return PGML_OK;
}

void
pgml_svm_solve(int64_t n, const double *factor, double *x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = (x[i] - pgml_svm_dot(i, factor + i * n, x)) / factor[i * n + i];
	for (int64_t i = n - 1; i >= 0; i--)
	{
		x[i] /= factor[i * n + i];
		pgml_svm_add_line(i, -x[i], factor + i * n, x);
	}
}
