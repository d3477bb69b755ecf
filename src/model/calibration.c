/* calibration.c - store and read what intervals and sets of classes are made from. */
#include "model/calibration.h"

#include <float.h>
#include <math.h>

#define HEADER_SIZE 24

size_t
pgml_calibration_bytes(const PgmlCalibration *self)
{
	return HEADER_SIZE +
		   (2 * (size_t) self->n_points + (size_t) pgml_scores_kept(self->n)) * sizeof(double);
}

static void
put_numbers(PgmlBuf *out, const double *number, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		pgml_buf_put_f64(out, number[i]);
}

void
pgml_calibration_encode(const PgmlCalibration *self, PgmlBuf *out)
{
	pgml_buf_put_u32(out, PGML_CALIBRATION_VERSION);
	pgml_buf_put_u32(out, self->rows);
	pgml_buf_put_u64(out, (uint64_t) self->n);
	pgml_buf_put_u32(out, (uint32_t) self->n_points);
	pgml_buf_put_u32(out, 0);
	put_numbers(out, self->at, self->n_points);
	put_numbers(out, self->size, self->n_points);
	put_numbers(out, self->scores, pgml_scores_kept(self->n));
}

/* Predictions ascend, sizes are above 0. */
static bool
points_are_good(const PgmlCalibration *self)
{
	for (int32_t i = 0; i < self->n_points; i++)
		if (!isfinite(self->at[i]) || !isfinite(self->size[i]) || self->size[i] <= 0 ||
			(i > 0 && self->at[i] <= self->at[i - 1]))
			return false;
	return true;
}

/* Scores ascend from 0 on; those of classes are no larger than 1. */
static bool
scores_are_good(const PgmlCalibration *self, PgmlTask task)
{
	double last = 0;

	for (int32_t i = 0; i < pgml_scores_kept(self->n); i++)
	{
		if (!isfinite(self->scores[i]) || self->scores[i] < last)
			return false;
		last = self->scores[i];
	}
	return task == PGML_TASK_REGRESSION || last <= 1;
}

PgmlStatus
pgml_calibration_open(const uint8_t *bytes, size_t len, PgmlTask task, PgmlCalibration *self,
					  PgmlError *err)
{
	PgmlReader r;
	uint32_t version, rows, n_points, reserved;
	uint64_t n;

	pgml_reader_init(&r, bytes, len);
	version = pgml_read_u32(&r);
	rows = pgml_read_u32(&r);
	n = pgml_read_u64(&r);
	n_points = pgml_read_u32(&r);
	reserved = pgml_read_u32(&r);
	if (!r.failed && version != PGML_CALIBRATION_VERSION)
	{
		PgmlStatus status = pgml_fail(
			err, PGML_ERR_CORRUPT,
			"the intervals of the model image have format version %u, this release reads version %d",
			version, PGML_CALIBRATION_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	*self = (PgmlCalibration){ .n = (int64_t) n, .rows = rows, .n_points = (int32_t) n_points };
	if (r.failed || n < 1 || n > (uint64_t) 1 << 52 || reserved != 0 ||
		(rows != PGML_CALIBRATED_ON_TEST && rows != PGML_CALIBRATED_ON_VALIDATION) ||
		(task == PGML_TASK_REGRESSION ? n_points < 1 || n_points > PGML_SIZE_POINTS :
										n_points != 0) ||
		len != pgml_calibration_bytes(self))
		return pgml_fail(err, PGML_ERR_CORRUPT,
						 "model image is damaged: its calibration cannot be read");
	self->at = (const double *) (bytes + HEADER_SIZE);
	self->size = self->at + n_points;
	self->scores = self->size + n_points;
	if (points_are_good(self) && scores_are_good(self, task))
		return PGML_OK;
	return pgml_fail(err, PGML_ERR_CORRUPT,
					 "model image is damaged: its calibration does not make sense");
}

double
pgml_calibration_score(const PgmlCalibration *self, double level)
{
	return pgml_conformal_score(self->scores, self->n, level);
}

void
pgml_calibration_interval(const PgmlCalibration *self, double p, double level, double *lower,
						  double *upper)
{
	double half = pgml_calibration_score(self, level) *
				  pgml_error_size(self->at, self->size, self->n_points, p);

	/* Rounding must not exclude the very row that gave the score: whole numbers meet the ends of intervals often. */
	half += 4 * DBL_EPSILON * (half + fabs(p));
	*lower = p - half;
	*upper = p + half;
}
