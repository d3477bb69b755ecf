/* predict.h - what predict() and predict_table() say about a prediction in the same way. */
#ifndef PGML_PG_PREDICT_H
#define PGML_PG_PREDICT_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "model/image.h"

/* Probability of a class in the numbers of a prediction. */
extern double pgml_class_probability(const PgmlImage *image, const double *out, int class);

/*
 * Object of all classes and their probabilities, in full precision; allocated in the current
 * context.
 */
extern Jsonb *pgml_class_probabilities(const PgmlImage *image, const double *out);

#endif
