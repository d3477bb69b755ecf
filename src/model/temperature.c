/* temperature.c - store and read the temperature of a model's probabilities. */
#include "model/temperature.h"

void
pgml_temperature_encode(double temperature, PgmlBuf *out)
{
	pgml_buf_put_u32(out, PGML_TEMPERATURE_VERSION);
	pgml_buf_put_u32(out, 0);
	pgml_buf_put_f64(out, temperature);
}

PgmlStatus
pgml_temperature_open(const uint8_t *bytes, size_t len, PgmlTask task, double *temperature,
					  PgmlError *err)
{
	PgmlReader r;
	uint32_t version, reserved;

	pgml_reader_init(&r, bytes, len);
	version = pgml_read_u32(&r);
	reserved = pgml_read_u32(&r);
	*temperature = pgml_read_f64(&r);
	if (!r.failed && version != PGML_TEMPERATURE_VERSION)
	{
		PgmlStatus status = pgml_fail(
			err, PGML_ERR_CORRUPT,
			"the temperature of the model image has format version %u, this release reads version %d",
			version, PGML_TEMPERATURE_VERSION);

		pgml_fail_hint(err, "Install the release of pgml_auto that wrote it, or a newer one.");
		return status;
	}
	if (r.failed || reserved != 0 || task == PGML_TASK_REGRESSION || len != PGML_TEMPERATURE_BYTES)
		return pgml_fail(err, PGML_ERR_CORRUPT,
						 "model image is damaged: its temperature cannot be read");
	if (*temperature >= PGML_TEMPERATURE_MIN && *temperature <= PGML_TEMPERATURE_MAX)
		return PGML_OK;
	return pgml_fail(err, PGML_ERR_CORRUPT,
					 "model image is damaged: its temperature does not make sense");
}
