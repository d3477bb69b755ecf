/*
 * calibration.h - the part of a model image that intervals and sets of classes are made from.
 *
 * Bytes (little-endian, 8-byte aligned): u32 version, u32 rows that were scored (PgmlCalibrationRows), u64 their number n, u32
 * number of points of the size of errors (0 for classes), u32 zero; f64 predictions of these points, f64 sizes; f64
 * pgml_scores_kept(n) scores in ascending order.
 */
#ifndef PGML_MODEL_CALIBRATION_H
#define PGML_MODEL_CALIBRATION_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/env.h"
#include "learner/task.h"
#include "stats/conformal.h"

#define PGML_CALIBRATION_VERSION 1

/* Stored: never renumber. */
typedef enum PgmlCalibrationRows
{
	PGML_CALIBRATED_ON_TEST =
		1, /* rows that nothing was fitted or chosen on: the level is guaranteed */
	PGML_CALIBRATED_ON_VALIDATION =
		2 /* out-of-fold predictions that the model was chosen by: nearly so */
} PgmlCalibrationRows;

/* A view of the bytes, or what they are made of. */
typedef struct PgmlCalibration
{
	int64_t n; /* rows scored; 0: there is no calibration */
	PgmlCalibrationRows rows;
	int32_t n_points;
	const double *at;
	const double *size;
	const double *scores;
} PgmlCalibration;

/* Append the bytes; n >= 1. */
extern void pgml_calibration_encode(const PgmlCalibration *self, PgmlBuf *out);

/* Bytes that encode appends. */
extern size_t pgml_calibration_bytes(const PgmlCalibration *self);

/* Verify bytes, 8-byte aligned, and make the view; PGML_ERR_CORRUPT for anything that cannot be used. */
extern PgmlStatus pgml_calibration_open(const uint8_t *bytes, size_t len, PgmlTask task,
										PgmlCalibration *self, PgmlError *err);

/*
 * Regression: the ends of the interval around prediction p that holds the true value with probability `level`, 0 < level < 1;
 * infinite when there are too few rows for the level (n < level / (1 - level)).
 */
extern void pgml_calibration_interval(const PgmlCalibration *self, double p, double level,
									  double *lower, double *upper);

/*
 * Classes: those with 1 - probability at most this are the set that holds the true one with probability `level`; infinite
 * when there are too few rows.
 */
extern double pgml_calibration_score(const PgmlCalibration *self, double level);

#endif
