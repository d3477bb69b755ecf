/* stack.c - store and read the weights of stacked members: version (u32), their number (u32), a weight each (f64). */
#include "model/stack.h"

#include <math.h>

size_t
pgml_stack_bytes(int n_members)
{
	return 2 * sizeof(uint32_t) + (size_t) n_members * sizeof(double);
}

void
pgml_stack_encode(const double *weight, int n_members, PgmlBuf *out)
{
	pgml_buf_put_u32(out, PGML_STACK_VERSION);
	pgml_buf_put_u32(out, (uint32_t) n_members);
	for (int i = 0; i < n_members; i++)
		pgml_buf_put_f64(out, weight[i]);
}

PgmlStatus
pgml_stack_open(const uint8_t *bytes, size_t len, PgmlTask task, int n_members, double *weight,
				PgmlError *err)
{
	PgmlReader r;
	uint32_t version, n;

	pgml_reader_init(&r, bytes, len);
	version = pgml_read_u32(&r);
	n = pgml_read_u32(&r);
	if (!r.failed && version != PGML_STACK_VERSION)
	{
		PgmlStatus status =
			pgml_fail(err, PGML_ERR_CORRUPT,
					  "the stack of the model image has format version %u, this release reads "
					  "version %d",
					  version, PGML_STACK_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	if (r.failed || task == PGML_TASK_REGRESSION || n != (uint32_t) n_members ||
		len != pgml_stack_bytes(n_members))
		return pgml_fail(err, PGML_ERR_CORRUPT, "model image is damaged: its stack cannot be read");
	for (int i = 0; i < n_members; i++)
	{
		weight[i] = pgml_read_f64(&r);
		if (!(fabs(weight[i]) <= PGML_STACK_WEIGHT))
			return pgml_fail(err, PGML_ERR_CORRUPT,
							 "model image is damaged: its stack does not make sense");
	}
	return PGML_OK;
}
