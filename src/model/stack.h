/* stack.h - the weights of an image's members when they are stacked, as a section of it; see stats/stack.h. */
#ifndef PGML_MODEL_STACK_H
#define PGML_MODEL_STACK_H

#include "core/buf.h"
#include "core/env.h"
#include "stats/stack.h"

#define PGML_STACK_VERSION 1

/* Bytes of the section for so many members. */
extern size_t pgml_stack_bytes(int n_members);

/* weight: per member. */
extern void pgml_stack_encode(const double *weight, int n_members, PgmlBuf *out);

/* Read the weights of n_members members; PGML_ERR_CORRUPT unless they are that, within their bounds, of a model of classes. */
extern PgmlStatus pgml_stack_open(const uint8_t *bytes, size_t len, PgmlTask task, int n_members,
								  double *weight, PgmlError *err);

#endif
