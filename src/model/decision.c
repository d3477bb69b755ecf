/* decision.c - store and read how classes are chosen. */
#include "model/decision.h"

#include <math.h>

#define HEADER_SIZE 16

enum
{
	KIND_WEIGHTS = 1,
	KIND_COSTS = 2
};

size_t
pgml_decision_bytes(const PgmlDecision *self)
{
	return HEADER_SIZE + (size_t) pgml_decision_numbers(self) * sizeof(double);
}

void
pgml_decision_encode(const PgmlDecision *self, PgmlBuf *out)
{
	pgml_buf_put_u32(out, PGML_DECISION_VERSION);
	pgml_buf_put_u32(out, self->costs ? KIND_COSTS : KIND_WEIGHTS);
	pgml_buf_put_u32(out, (uint32_t) self->n_classes);
	pgml_buf_put_u32(out, 0);
	for (int64_t i = 0; i < pgml_decision_numbers(self); i++)
		pgml_buf_put_f64(out, self->number[i]);
}

static bool
numbers_are_good(const PgmlDecision *self)
{
	double sum = 0;

	for (int64_t i = 0; i < pgml_decision_numbers(self); i++)
	{
		if (!isfinite(self->number[i]) || (!self->costs && self->number[i] < 0))
			return false;
		sum += self->number[i];
	}
	return self->costs || sum > 0;
}

PgmlStatus
pgml_decision_open(const uint8_t *bytes, size_t len, int n_classes, PgmlDecision *self,
				   PgmlError *err)
{
	PgmlReader r;
	uint32_t version, kind, n, reserved;

	pgml_reader_init(&r, bytes, len);
	version = pgml_read_u32(&r);
	kind = pgml_read_u32(&r);
	n = pgml_read_u32(&r);
	reserved = pgml_read_u32(&r);
	if (!r.failed && version != PGML_DECISION_VERSION)
	{
		PgmlStatus status = pgml_fail(
			err, PGML_ERR_CORRUPT,
			"the decision of the model image has format version %u, this release reads version %d",
			version, PGML_DECISION_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	*self = (PgmlDecision){ .n_classes = n_classes,
							.costs = kind == KIND_COSTS,
							.number = (const double *) (bytes + HEADER_SIZE) };
	if (r.failed || reserved != 0 || n_classes < 2 || n != (uint32_t) n_classes ||
		(kind != KIND_COSTS && kind != KIND_WEIGHTS) || len != pgml_decision_bytes(self))
		return pgml_fail(err, PGML_ERR_CORRUPT,
						 "model image is damaged: its decision cannot be read");
	if (numbers_are_good(self))
		return PGML_OK;
	return pgml_fail(err, PGML_ERR_CORRUPT,
					 "model image is damaged: its decision does not make sense");
}
