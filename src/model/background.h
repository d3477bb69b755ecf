/*
 * background.h - the part of a model image that stands in for columns that are not known: some rows of the training data.
 *
 * Only images with a member that is no sum have it (learner.h: neither trees() nor contributions()).  Bytes (little-endian,
 * 8-byte aligned): u32 version, u32 rows n, u32 features, u32 zero; f64 n shares of the rows, which add up to 1; f32 features,
 * feature by feature, n numbers each, NaN where missing.
 */
#ifndef PGML_MODEL_BACKGROUND_H
#define PGML_MODEL_BACKGROUND_H

#include "core/buf.h"
#include "core/env.h"

#define PGML_BACKGROUND_VERSION 1
#define PGML_BACKGROUND_ROWS    64

/* A view of the bytes, or what they are made of. */
typedef struct PgmlBackground
{
	int32_t n; /* 1 to PGML_BACKGROUND_ROWS; 0: there is none */
	int32_t nfeatures;
	const double *share; /* n, above 0 */
	const float *x;      /* feature f of row i is x[f * n + i]; no infinities */
} PgmlBackground;

/* Append the bytes. */
extern void pgml_background_encode(const PgmlBackground *self, PgmlBuf *out);

/* Bytes that encode appends. */
extern size_t pgml_background_bytes(const PgmlBackground *self);

/* Verify bytes, 8-byte aligned, and make the view; PGML_ERR_CORRUPT for anything that cannot be used. */
extern PgmlStatus pgml_background_open(const uint8_t *bytes, size_t len, int32_t nfeatures,
									   PgmlBackground *self, PgmlError *err);

#endif
