/*
 * blas.h - OpenBLAS, loaded on the first training that needs it.
 *
 * Not linked: the library's constructor starts threads with signals unblocked, and raises SIGINT when it
 * cannot, in any process that loads it.  pgml_blas_load() therefore opens it with every signal masked, and
 * only when OPENBLAS_NUM_THREADS is 1 in the environment, so that it starts no thread and gives the same
 * bytes for any number of ours.  It does not set the variable: setenv() beside another thread's getenv() is
 * a race, so the main thread does, before it starts the driver:
 *
 *     setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
 *
 * The library stays loaded until the process ends; loading it again is cheap (dlopen counts).
 */
#ifndef PGML_CORE_BLAS_H
#define PGML_CORE_BLAS_H

#include "core/status.h"

#define PGML_BLAS_THREADS_VARIABLE "OPENBLAS_NUM_THREADS"

/* The routines we use (CBLAS conventions, column- or row-major by `order`; LAPACK by reference). */
typedef struct PgmlBlas
{
	void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
				  int lda, const float *b, int ldb, float beta, float *c, int ldc);
	void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
				  int lda, const double *b, int ldb, double beta, double *c, int ldc);
	void (*dsyrk)(int order, int uplo, int trans, int n, int k, double alpha, const double *a,
				  int lda, double beta, double *c, int ldc);
	void (*dgemv)(int order, int trans, int m, int n, double alpha, const double *a, int lda,
				  const double *x, int incx, double beta, double *y, int incy);
	void (*dpotrf)(const char *uplo, const int *n, double *a, const int *lda, int *info);
	void (*dpotrs)(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda,
				   double *b, const int *ldb, int *info);
	char name
		[128]; /* version and kernels, as the library describes itself; empty when it does not */
} PgmlBlas;

enum
{
	PGML_ROW_MAJOR = 101,
	PGML_COL_MAJOR = 102,
	PGML_NO_TRANS = 111,
	PGML_TRANS = 112,
	PGML_UPPER = 121,
	PGML_LOWER = 122
};

/*
 * Fill *blas with the library's entry points; library_name NULL means "libopenblas.so.0".
 * PGML_ERR_UNAVAILABLE with a hint that names the package when it cannot be loaded, PGML_ERR_INTERNAL when
 * the main thread forgot the variable.
 */
extern PgmlStatus pgml_blas_load(PgmlBlas *blas, const char *library_name, PgmlError *err);

#endif
