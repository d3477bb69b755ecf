/*
 * decision.h - which class is predicted, given the probabilities of all.
 *
 * The most probable class is right most often, but not what every purpose wants: where errors cost differently, or a metric weighs
 * rare classes more, another one is better (Elkan 2001).  Probabilities stay what they are.
 */
#ifndef PGML_STATS_DECISION_H
#define PGML_STATS_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "learner/task.h"

typedef struct PgmlDecision
{
	int n_classes; /* 0: the most probable class; of two, class 1 from one half on */
	bool costs;
	/*
	 * costs: n_classes x n_classes, row by row of true classes, what it costs to predict each class: that of the least expected cost is
	 * predicted.  Else n_classes weights, 0 or more: the class with the largest product of weight and probability is.  Of equal classes the
	 * first is taken, but of two class 1.
	 */
	const double *number;
} PgmlDecision;

/* Numbers of a decision. */
static inline int64_t
pgml_decision_numbers(const PgmlDecision *self)
{
	return self->costs ? (int64_t) self->n_classes * self->n_classes : self->n_classes;
}

/*
 * The class that is predicted for probabilities p: of class 1 alone for two classes, else n_classes of them.  decision: NULL is the most
 * probable one.
 */
extern int pgml_decide(const PgmlDecision *decision, PgmlTask task, int n_classes, const double *p);

#endif
