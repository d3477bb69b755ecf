/*
 * blas.h - OpenBLAS, loaded on the first training that needs it.
 *
 * Not linked: the library's constructor starts threads with signals unblocked, and raises SIGINT when it
 * cannot, in any process that loads it.  pgml_blas_load() therefore masks every signal, asks for one
 * thread, and only then opens the library.  Call it from the driver thread only.
 */
#ifndef PGML_CORE_BLAS_H
#define PGML_CORE_BLAS_H

#include "core/env.h"

/* The routines we use (CBLAS conventions, column- or row-major by `order`; LAPACK by reference). */
typedef struct PgmlBlas
{
    void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                  const float *b, int ldb, float beta, float *c, int ldc);
    void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                  int lda, const double *b, int ldb, double beta, double *c, int ldc);
    void (*dsyrk)(int order, int uplo, int trans, int n, int k, double alpha, const double *a, int lda,
                  double beta, double *c, int ldc);
    void (*dgemv)(int order, int trans, int m, int n, double alpha, const double *a, int lda,
                  const double *x, int incx, double beta, double *y, int incy);
    void (*dpotrf)(const char *uplo, const int *n, double *a, const int *lda, int *info);
    void (*dpotrs)(const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda,
                   double *b, const int *ldb, int *info);
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
 * PGML_ERR_UNAVAILABLE with a hint that names the package when it cannot be loaded.
 */
extern PgmlStatus pgml_blas_load(PgmlBlas *blas, const char *library_name, PgmlError *err);

#endif
