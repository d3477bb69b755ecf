/*
 * calibrate.c - the calibration of intervals and sets of classes, see stats/conformal.h.
 *
 * The scores are those of the test rows, predicted by the image itself: nothing was fitted or chosen on them, so that the level
 * is guaranteed.  Without test rows they are those of the out-of-fold predictions.  How large errors are where is
 * learned from out-of-fold predictions in any case, so that it owes nothing to the rows that are scored.
 *
 * What memory does not allow costs the intervals, not the training.
 */
#include "search/training.h"

#include <math.h>

#include "model/image.h"

/* Rows that are looked at, at most: more would change a level by less than 0.001. */
#define MOST_ROWS 200000

/* Every so many rows of n. */
static int64_t
step_for(int64_t n)
{
	return n <= MOST_ROWS ? 1 : (n + MOST_ROWS - 1) / MOST_ROWS;
}

PgmlStatus
training_learn_errors(Training *t, const TrialModel *models, const double *weight, int n_models)
{
	int64_t step = step_for(t->n_train);
	int64_t n = 0;
	PgmlArena *arena;
	double *p, *y;
	PgmlStatus status;

	pgml_error_size_constant(&t->error_size);
	if (t->target.task != PGML_TASK_REGRESSION)
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	p = arena ? pgml_array(arena, t->n_train / step + 1, sizeof(double)) : NULL;
	y = arena ? pgml_array(arena, t->n_train / step + 1, sizeof(double)) : NULL;
	for (int64_t i = 0; p && y && i < t->n_train; i += step)
	{
		training_out_of_fold(t, models, weight, n_models, i, &p[n]);
		y[n++] = t->target.y[t->train[i]];
	}
	status = p && y ? pgml_error_size_fit(t->env, p, y, n, &t->error_size) : PGML_ERR_NOMEM;
	pgml_arena_destroy(arena);
	/* Without memory, all errors count as alike. */
	return status == PGML_ERR_CANCELLED ? status : PGML_OK;
}

/* Scores of n rows, every step-th one of those predicted. */
static PgmlStatus
keep_scores(Training *t, int64_t step, int64_t n, PgmlArena *arena, double *kept)
{
	PgmlPredictions p = training_predictions(t);
	double *score = pgml_array(arena, n, sizeof(double));

	if (!score)
		return pgml_fail_nomem(t->env, "the calibration of intervals");
	for (int64_t i = 0; i < n; i++)
		score[i] = pgml_conformal_row(&p, &t->error_size, i * step);
	return pgml_scores_keep(t->env, score, n, kept);
}

static PgmlStatus
add_calibration(Training *t, PgmlArena *arena)
{
	int64_t step = step_for(t->scored.n);
	int64_t n = (t->scored.n + step - 1) / step;
	double *kept = pgml_array(arena, pgml_scores_kept(n), sizeof(double));
	PgmlCalibration calibration = {
		.n = n,
		.rows = t->n_test > 0 ? PGML_CALIBRATED_ON_TEST : PGML_CALIBRATED_ON_VALIDATION,
		.n_points = t->target.task == PGML_TASK_REGRESSION ? t->error_size.n : 0,
		.at = t->error_size.at,
		.size = t->error_size.size,
		.scores = kept
	};

	if (!kept)
		return pgml_fail_nomem(t->env, "the calibration of intervals");
	PGML_TRY(keep_scores(t, step, n, arena, kept));
	return pgml_image_calibrate(t->env, &calibration, &t->result->image);
}

PgmlStatus
training_calibrate(Training *t)
{
	PgmlArena *arena;
	PgmlStatus status;

	/* NaN: memory did not allow to predict these rows, which has been said. */
	if (t->scored.n == 0 || isnan(t->scored.p[0]))
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	status =
		arena ? add_calibration(t, arena) : pgml_fail_nomem(t->env, "the calibration of intervals");
	pgml_arena_destroy(arena);
	if (status != PGML_ERR_LIMIT && status != PGML_ERR_NOMEM)
		return status;
	training_notice(t, true, "the model has no prediction intervals or sets of classes: %s",
					t->env->error->message);
	return PGML_OK;
}
