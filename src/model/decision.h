/* decision.h - how a model's classes are chosen, as a section of its image; see stats/decision.h. */
#ifndef PGML_MODEL_DECISION_H
#define PGML_MODEL_DECISION_H

#include "core/buf.h"
#include "core/env.h"
#include "stats/decision.h"

#define PGML_DECISION_VERSION 1

/* Bytes of the section. */
extern size_t pgml_decision_bytes(const PgmlDecision *self);
extern void pgml_decision_encode(const PgmlDecision *self, PgmlBuf *out);

/*
 * A view of the section, which is 8-byte aligned: PGML_ERR_CORRUPT unless it has numbers for so many classes, finite ones, weights that are 0 or more and not
 * all 0.
 */
extern PgmlStatus pgml_decision_open(const uint8_t *bytes, size_t len, int n_classes,
									 PgmlDecision *self, PgmlError *err);

#endif
