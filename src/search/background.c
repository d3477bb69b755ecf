/*
 * background.c - the rows of the training data that an image keeps where explanations need them, see model/column_shap.h.
 */
#include "search/training.h"

#include <math.h>

#include "core/rng.h"
#include "model/image.h"

/* The training's stream of random numbers that rows are drawn from. */
#define BACKGROUND_STREAM 0x6261636b

/* Rows of a smaller part of the largest weight would say nothing. */
#define LEAST_PART 1e-12

int32_t
training_draw_background(const Training *t, int32_t *row, double *share)
{
	int64_t parts = t->n_train < PGML_BACKGROUND_ROWS ? t->n_train : PGML_BACKGROUND_ROWS;
	double most = 0, sum = 0;
	int32_t n = 0, kept = 0;
	PgmlRng rng;

	pgml_rng_init(&rng, t->env->seed, BACKGROUND_STREAM);
	for (int64_t k = 0; k < parts; k++)
	{
		int64_t from = k * t->n_train / parts, end = (k + 1) * t->n_train / parts;
		int32_t i = t->train[from + (int64_t) pgml_rng_below(&rng, (uint64_t) (end - from))];
		double w = t->weight ? t->weight[i] : 1;

		if (!(w > 0))
			continue;
		row[n] = i;
		share[n++] = w;
		most = fmax(most, w);
	}
	for (int32_t k = 0; k < n; k++)
	{
		double part = share[k] / most;

		if (part < LEAST_PART)
			continue;
		row[kept] = row[k];
		share[kept++] = part;
		sum += part;
	}
	for (int32_t k = 0; k < kept; k++)
		share[k] /= sum;
	return kept;
}

/* Whether predictions of the chosen models are explained by background rows. */
static bool
wants_background(const TrialModel *models, const double *weight, int n_models)
{
	for (int m = 0; m < n_models; m++)
		if (weight[m] > 0 && !pgml_learner_is_sum(models[m].trial->learner))
			return true;
	return false;
}

static PgmlStatus
add_background(Training *t, PgmlArena *arena)
{
	int32_t row[PGML_BACKGROUND_ROWS];
	double share[PGML_BACKGROUND_ROWS];
	int32_t d = t->x.nfeatures;
	int32_t n = training_draw_background(t, row, share);
	float *x = pgml_array(arena, (size_t) n * (size_t) d + 1, sizeof(float));
	PgmlBackground background = { .n = n, .nfeatures = d, .share = share, .x = x };

	if (x == NULL)
		return pgml_fail_nomem(t->env, "the background rows of explanations");
	if (n == 0)
		return PGML_OK;
	for (int32_t f = 0; f < d; f++)
		for (int32_t i = 0; i < n; i++)
			x[(int64_t) f * n + i] = t->x.col[f][row[i]];
	return pgml_image_add_background(t->env, &background, &t->result->image);
}

PgmlStatus
training_add_background(Training *t, const TrialModel *models, const double *weight, int n_models)
{
	PgmlArena *arena;
	PgmlStatus status;

	if (!wants_background(models, weight, n_models))
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	status = arena ? add_background(t, arena) :
					 pgml_fail_nomem(t->env, "the background rows of explanations");
	pgml_arena_destroy(arena);
	if (status != PGML_ERR_LIMIT && status != PGML_ERR_NOMEM)
		return status;
	training_notice(t, true, "the model's predictions cannot be explained: %s",
					t->env->error->message);
	return PGML_OK;
}
