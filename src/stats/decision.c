/* decision.c - see decision.h. */
#include "stats/decision.h"

#include <stddef.h>

/* How good it is to predict class j: the larger the better. */
static double
worth(const PgmlDecision *d, const double *p, int j)
{
	double cost = 0;

	if (!d->costs)
		return d->number[j] * p[j];
	for (int i = 0; i < d->n_classes; i++)
		cost += p[i] * d->number[(int64_t) i * d->n_classes + j];
	return -cost;
}

int
pgml_decide(const PgmlDecision *decision, PgmlTask task, int n_classes, const double *p)
{
	bool plain = decision == NULL || decision->n_classes == 0;
	int best = 0;

	if (task == PGML_TASK_BINARY)
	{
		double both[2] = { 1 - p[0], p[0] };

		if (plain)
			return p[0] >= 0.5;
		return worth(decision, both, 1) >= worth(decision, both, 0);
	}
	for (int k = 1; k < n_classes; k++)
		if (plain ? p[k] > p[best] : worth(decision, p, k) > worth(decision, p, best))
			best = k;
	return best;
}
