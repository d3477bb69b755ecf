/*
 * matrix.h - features as learners see them: float32, column-major.
 *
 * A numeric feature holds the number, a categorical one the level 0 .. n_levels-1; NaN is missing in
 * both.  Infinities never occur (the recipe clips them).
 */
#ifndef PGML_DATA_MATRIX_H
#define PGML_DATA_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PgmlFeature
{
	const char *name; /* "age", "signup_date: month" */
	int32_t source;   /* index of the input column it was made from */
	bool categorical;
	int32_t n_levels; /* categorical: number of levels, >= 1 */
} PgmlFeature;

typedef struct PgmlMatrix
{
	int64_t nrows;
	int32_t nfeatures;
	const PgmlFeature *features;
	float *const *col; /* nfeatures arrays of nrows */
} PgmlMatrix;

/* Rows to predict, by features as well: feature f of row i is x[f * stride + i]; stride >= n. */
typedef struct PgmlBlock
{
	const float *x;
	int64_t stride;
	int64_t n;
} PgmlBlock;

#endif
