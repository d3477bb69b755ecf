/* background.c - store and read the rows that stand in for what is not known. */
#include "model/background.h"

#include <math.h>

#define HEADER_SIZE 16

size_t
pgml_background_bytes(const PgmlBackground *self)
{
	return HEADER_SIZE + (size_t) self->n * sizeof(double) +
		   (size_t) self->n * (size_t) self->nfeatures * sizeof(float);
}

void
pgml_background_encode(const PgmlBackground *self, PgmlBuf *out)
{
	pgml_buf_put_u32(out, PGML_BACKGROUND_VERSION);
	pgml_buf_put_u32(out, (uint32_t) self->n);
	pgml_buf_put_u32(out, (uint32_t) self->nfeatures);
	pgml_buf_put_u32(out, 0);
	pgml_buf_put(out, self->share, (size_t) self->n * sizeof(double));
	pgml_buf_put(out, self->x, (size_t) self->n * (size_t) self->nfeatures * sizeof(float));
}

/* Shares are above 0 and add up to 1; no feature is infinite, as the recipe makes none that is. */
static bool
rows_are_good(const PgmlBackground *self)
{
	double sum = 0;

	for (int32_t i = 0; i < self->n; i++)
	{
		if (!isfinite(self->share[i]) || self->share[i] <= 0)
			return false;
		sum += self->share[i];
	}
	for (int64_t j = 0; j < (int64_t) self->n * self->nfeatures; j++)
		if (isinf(self->x[j]))
			return false;
	return fabs(sum - 1) <= 1e-6;
}

PgmlStatus
pgml_background_open(const uint8_t *bytes, size_t len, int32_t nfeatures, PgmlBackground *self,
					 PgmlError *err)
{
	PgmlReader r;
	uint32_t version, n, d, reserved;

	pgml_reader_init(&r, bytes, len);
	version = pgml_read_u32(&r);
	n = pgml_read_u32(&r);
	d = pgml_read_u32(&r);
	reserved = pgml_read_u32(&r);
	if (!r.failed && version != PGML_BACKGROUND_VERSION)
	{
		PgmlStatus status =
			pgml_fail(err, PGML_ERR_CORRUPT,
					  "the background rows of the model image have format version %u, this release "
					  "reads version %d",
					  version, PGML_BACKGROUND_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	*self = (PgmlBackground){ .n = (int32_t) n, .nfeatures = nfeatures };
	if (r.failed || n < 1 || n > PGML_BACKGROUND_ROWS || d != (uint32_t) nfeatures ||
		reserved != 0 || len != pgml_background_bytes(self))
		return pgml_fail(err, PGML_ERR_CORRUPT,
						 "model image is damaged: its background rows cannot be read");
	self->share = (const double *) (bytes + HEADER_SIZE);
	self->x = (const float *) (self->share + n);
	if (rows_are_good(self))
		return PGML_OK;
	return pgml_fail(err, PGML_ERR_CORRUPT,
					 "model image is damaged: its background rows do not make sense");
}
