/*
 * constraints.h - what predictions have to keep to, per feature of the matrix.
 *
 * They are no settings of a learner: a learner keeps all of them in every model it makes (honours_constraints), or is not
 * used where there are any.
 */
#ifndef PGML_LEARNER_CONSTRAINTS_H
#define PGML_LEARNER_CONSTRAINTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PgmlConstraints
{
	/*
	 * Per feature: 1 where the score never falls when the feature grows and all others stay, -1 where it never rises, 0 where
	 * it is free.  Between missing and known there is no order.  Numeric features and one output only.  NULL: all are free.
	 */
	const int8_t *monotone;

	/*
	 * Groups of features that may interact: bit b of the `words` words of a feature is set when it is in group b, and every
	 * feature is in one at least.  Features are used together (on one path of a tree) only when a group holds them all.
	 * NULL: all may interact.
	 */
	const uint64_t *groups;
	int32_t words;
} PgmlConstraints;

#endif
