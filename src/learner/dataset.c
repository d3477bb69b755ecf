/* dataset.c - what learners make of the rows that they are given. */
#include "learner/learner.h"

PgmlStatus
pgml_dataset_bins(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data, int max_bin,
				  const PgmlBins **out)
{
	PgmlBins *own;

	*out = pgml_given_bins(data, max_bin);
	if (*out != NULL)
		return PGML_OK;
	PGML_TRY(pgml_bins_create(env, arena, data->x, data->rows, data->n, max_bin, &own));
	*out = own;
	return PGML_OK;
}
