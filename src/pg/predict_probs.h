/*
 * predict_probs.h - the probabilities of all classes as a jsonb object, for predict_probs() and predict_table().
 */
#ifndef PGML_PG_PREDICT_PROBS_H
#define PGML_PG_PREDICT_PROBS_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "model/image.h"

/* An object with the classes of a model as its keys, made once and filled for every row. */
typedef struct PgmlProbabilities
{
	const PgmlImage *image;
	JsonbValue *object;
} PgmlProbabilities;

/* Make the object; in the current context, and the image must outlive it. */
extern PgmlProbabilities pgml_probabilities_create(const PgmlImage *image);

/* The probabilities in a prediction, in the shortest digits that read back the same; in the current context. */
extern Jsonb *pgml_probabilities_jsonb(PgmlProbabilities *self, const double *out);

#endif
