/*
 * memory.c - what the memory that is left allows a trial.
 *
 * A trial takes its own arrays, what a fit takes while it runs, and the payloads; and at the end the image is a copy of the
 * payloads it is made of, while these still exist.  So of what a fit leaves, payloads get a part each: one per fold,
 * one per fold again for the image, and one for a payload that is still growing.
 */
#include "search/training.h"

/* The smallest payload worth having, times this, is a usual one. */
#define USUAL_PAYLOAD 10

/* Threads that a fit of its own is counted with. */
#define THREADS_OF_A_FIT 4

/* Arrays of trial.c, whatever the learner. */
static int64_t
trial_bytes(const Training *t, int folds)
{
	int64_t per_row = 3 * t->outputs * (int64_t) sizeof(double) + 4 * (int64_t) sizeof(double) +
					  (folds + 1) * (int64_t) sizeof(int32_t);
	int64_t block = PREDICT_BLOCK * (int64_t) t->x.nfeatures * (int64_t) sizeof(float);

	return t->n_train * per_row + folds * block;
}

int64_t
training_model_bytes(const TrialModel *model)
{
	int64_t bytes = 0;

	for (int f = 0; f < model->n_fits; f++)
		bytes += (int64_t) model->fit[f].payload.len;
	return bytes;
}

PgmlStatus
training_plan_memory(Training *t, const PgmlLearner *learner, const PgmlParams *params, int folds,
					 int64_t kept, TrialMemory *memory)
{
	int threads = pgml_pool_threads(t->env->pool);
	int64_t fit, payload, left, usual;
	PgmlDataset data;

	*memory = (TrialMemory){ .fits = true, .side_by_side = threads < folds ? threads : folds };
	PGML_TRY(training_dataset(t, learner, params, t->train, t->n_train, NULL, 0, &data));
	fit = learner->memory(&data, params, &payload);
	memory->payload = USUAL_PAYLOAD * payload;
	memory->bytes =
		trial_bytes(t, folds) + memory->side_by_side * fit + 2 * folds * memory->payload;
	left = pgml_budget_left(t->env->budget);
	if (left == INT64_MAX)
		return PGML_OK;
	left -= kept + trial_bytes(t, folds);
	memory->max_payload = (left - fit) / (2 * folds + 1);
	memory->fits = memory->max_payload >= payload;
	if (memory->max_payload < 1)
		memory->max_payload = 1; /* 0 would be no bound */
	usual = memory->max_payload < memory->payload ? memory->max_payload : memory->payload;
	memory->frugal = THREADS_OF_A_FIT * fit + (2 * folds + 1) * usual > left;
	while (memory->side_by_side > 1 &&
		   memory->side_by_side * (fit + usual) + 2 * folds * usual > left)
		memory->side_by_side--;
	memory->payload = usual;
	memory->bytes = trial_bytes(t, folds) + memory->side_by_side * fit + 2 * folds * usual;
	return PGML_OK;
}
