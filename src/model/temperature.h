/* temperature.h - the temperature of a model's probabilities, as a section of its image; see stats/temperature.h. */
#ifndef PGML_MODEL_TEMPERATURE_H
#define PGML_MODEL_TEMPERATURE_H

#include "core/buf.h"
#include "core/env.h"
#include "stats/temperature.h"

#define PGML_TEMPERATURE_VERSION 1

/* Bytes of the section. */
#define PGML_TEMPERATURE_BYTES 16

extern void pgml_temperature_encode(double temperature, PgmlBuf *out);

/* PGML_ERR_CORRUPT unless the section is a temperature, within its bounds, of a model of classes. */
extern PgmlStatus pgml_temperature_open(const uint8_t *bytes, size_t len, PgmlTask task,
										double *temperature, PgmlError *err);

#endif
