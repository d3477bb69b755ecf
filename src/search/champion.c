/*
 * champion.c - the deployed version, scored on the same rows as the new model.
 *
 * It reads the table with its own recipe.  What prevents that is a reason to be shown, not a failure.
 */
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows that are predicted to see how long that takes. */
#define TIMED_ROWS 64

/* Share of the time budget that scoring may take; beyond it nothing would be left for the new model. */
#define MOST_OF_BUDGET 0.5

struct Champion
{
	PgmlImage image;
	const PgmlScorer *scorer;
	int *col; /* of each input in this table; -1: not used */
	int *map; /* our number of each of its classes, -1: not ours */
};

static bool
is_excluded(const PgmlTrainOptions *options, const char *name)
{
	for (int i = 0; i < options->n_exclude; i++)
		if (pgml_column_is(name, options->exclude[i]))
			return true;
	return false;
}

/* Find the columns; false with a reason when one is missing. */
static bool
bind_champion(Training *t, const PgmlImage *champion, int *col)
{
	for (int32_t i = 0; i < champion->recipe.n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(&champion->recipe, i);

		col[i] = input.used ? pgml_table_find(t->table, input.name) : -1;
		if (input.used && col[i] < 0)
		{
			snprintf(t->result->champion_error, sizeof(t->result->champion_error),
					 "it needs the column \"%s\", which this data does not have", input.name);
			return false;
		}
		if (input.used && !t->result->champion_uses && is_excluded(t->options, input.name))
			t->result->champion_uses = pgml_strdup(t->arena, input.name);
	}
	return true;
}

/* Our class number of each of the champion's classes, -1 for classes we do not have. */
static void
map_classes(const Training *t, const PgmlImage *champion, int *map)
{
	for (int k = 0; k < champion->n_classes; k++)
		map[k] = pgml_find_label(t->target.classes, t->target.n_classes, champion->classes[k]);
}

/* One prediction of the champion in this training's order of classes. */
static void
translate(const Training *t, const PgmlImage *champion, const int *map, const double *from,
		  double *to)
{
	if (t->target.task == PGML_TASK_REGRESSION)
		to[0] = from[0];
	else if (t->target.task == PGML_TASK_BINARY)
		to[0] = map[1] == 1 ? from[0] : 1 - from[0];
	else
	{
		for (int k = 0; k < t->target.n_classes; k++)
			to[k] = 0;
		for (int k = 0; k < champion->n_classes; k++)
			if (map[k] >= 0)
				to[map[k]] = from[k];
	}
}

/* Rows predicted side by side; every thread has its own scratch memory and error. */
typedef struct ChampionTask
{
	Training *t;
	const struct Champion *champion;
	const int32_t *rows;
	int64_t n;
	int64_t block; /* rows */
	float *x;
	double *out;
	char *scratch;
	PgmlError *error;
	double *p; /* predictions in our order of classes */
} ChampionTask;

/* Features of the rows by the champion's own recipe, and its predictions. */
static PgmlStatus
predict_block(void *arg, int64_t block, int thread)
{
	ChampionTask *task = arg;
	Training *t = task->t;
	const PgmlImage *image = &task->champion->image;
	int32_t d = image->recipe.n_features;
	int k = pgml_image_outputs(image);
	float *x = task->x + (size_t) thread * task->block * d;
	double *out = task->out + (size_t) thread * task->block * k;
	char *scratch = task->scratch + (size_t) thread * pgml_scorer_scratch(task->champion->scorer);
	int64_t start = block * task->block;
	PgmlBlock rows = { x, task->block,
					   task->n - start < task->block ? task->n - start : task->block };

	for (int64_t i = 0; i < rows.n; i++)
		for (int32_t c = 0; c < image->recipe.n_inputs; c++)
		{
			PgmlValue v;

			if (task->champion->col[c] < 0)
				continue;
			v = pgml_table_value(t->table, task->champion->col[c], task->rows[start + i]);
			PGML_TRY(pgml_recipe_apply_at(&image->recipe, c, &v, x + i, task->block,
										  &task->error[thread]));
		}
	pgml_scorer_predict(task->champion->scorer, &rows, out, scratch);
	for (int64_t i = 0; i < rows.n; i++)
		translate(t, image, task->champion->map, out + i * k, task->p + (start + i) * t->outputs);
	return PGML_OK;
}

/* Predict n rows into p. */
static PgmlStatus
predict_rows(Training *t, const int32_t *rows, int64_t n, double *p)
{
	const PgmlImage *image = &t->champion->image;
	size_t threads = (size_t) pgml_pool_threads(t->env->pool);
	size_t k = (size_t) pgml_image_outputs(image);
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	ChampionTask task = { .t = t, .champion = t->champion, .rows = rows, .n = n, .p = p };
	PgmlStatus status;

	if (!arena)
		return pgml_fail_nomem(t->env, "the deployed version's scores");
	task.block = training_image_rows(t, t->champion->scorer, n);
	task.x =
		pgml_zalloc(arena, threads * task.block * (image->recipe.n_features + 1), sizeof(float));
	task.out = pgml_array(arena, threads * task.block * k, sizeof(double));
	task.scratch = pgml_array(arena, threads, pgml_scorer_scratch(t->champion->scorer));
	task.error = pgml_zalloc(arena, threads, sizeof(PgmlError));
	if (task.x && task.out && task.scratch && task.error)
		status = pgml_par_for(t->env, (n + task.block - 1) / task.block, predict_block, &task);
	else
		status = pgml_fail_nomem(t->env, "the deployed version's scores");
	for (size_t i = 0; task.error && i < threads; i++)
		if (status != PGML_OK && task.error[i].status == status)
		{
			*t->env->error = task.error[i];
			break;
		}
	pgml_arena_destroy(arena);
	return status;
}

/* Open it and find its columns; false with a reason when it cannot predict here. */
static bool
open_champion(Training *t, struct Champion *champion)
{
	PgmlTrainResult *r = t->result;
	PgmlImage *image = &champion->image;
	PgmlError error = { 0 };
	const char *reason = NULL;

	if (pgml_image_open(t->options->champion, t->options->champion_len, t->arena, image, &error) !=
		PGML_OK)
		reason = error.message;
	else if (image->task != t->target.task)
		reason = "it solves another kind of task";
	else
	{
		champion->col = pgml_array(t->arena, image->recipe.n_inputs + 1, sizeof(int));
		champion->map = pgml_array(t->arena, image->n_classes, sizeof(int));
		if (!champion->col || !champion->map ||
			pgml_scorer_create(t->env, t->arena, image, &champion->scorer) != PGML_OK)
			reason = "memory is short";
		else if (!bind_champion(t, image, champion->col))
			return false;
		else if (image->classes)
			map_classes(t, image, champion->map);
	}
	if (!reason && t->target.task == PGML_TASK_BINARY &&
		(champion->map[0] < 0 || champion->map[1] < 0 || champion->map[0] == champion->map[1]))
		reason = "it predicts other classes";
	if (reason)
		snprintf(r->champion_error, sizeof(r->champion_error), "%.255s", reason);
	return !reason;
}

PgmlStatus
training_open_champion(Training *t)
{
	int64_t n = t->n_test < TIMED_ROWS ? t->n_test : TIMED_ROWS;
	struct Champion *champion;
	double start, seconds;

	if (!t->options->champion)
		return PGML_OK;
	if (t->n_test == 0)
	{
		snprintf(t->result->champion_error, sizeof(t->result->champion_error),
				 "there are no test rows");
		return PGML_OK;
	}
	champion = pgml_array(t->arena, 1, sizeof(*champion));
	if (!champion)
		return pgml_fail_nomem(t->env, "the deployed version");
	if (!open_champion(t, champion))
		return PGML_OK;
	t->champion = champion;
	if (t->options->time_budget <= 0)
		return PGML_OK;
	start = pgml_now();
	if (predict_rows(t, t->test, n, t->scored.p) == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(t->env);
	seconds = (pgml_now() - start) / (double) n * (double) t->n_test;
	if (seconds > MOST_OF_BUDGET * t->options->time_budget)
	{
		t->champion = NULL;
		snprintf(t->result->champion_error, sizeof(t->result->champion_error),
				 "that would take %.1f seconds, too much of time_budget", seconds);
		return PGML_OK;
	}
	t->other_seconds += seconds;
	return PGML_OK;
}

/* The champion's decision in this training's order of classes; the most probable class when they are not the same classes. */
static PgmlStatus
translate_decision(const Training *t, PgmlDecision *out)
{
	const PgmlDecision *from = &t->champion->image.decision;
	const int *map = t->champion->map;
	int n = from->n_classes;
	double *number;

	*out = (PgmlDecision){ 0 };
	if (n != t->target.n_classes)
		return PGML_OK;
	for (int k = 0; k < n; k++)
		if (map[k] < 0)
			return PGML_OK;
	number = pgml_array(t->arena, (size_t) pgml_decision_numbers(from), sizeof(double));
	if (!number)
		return pgml_fail_nomem(t->env, "the deployed version's scores");
	for (int k = 0; k < n; k++)
		if (!from->costs)
			number[map[k]] = from->number[k];
		else
			for (int j = 0; j < n; j++)
				number[map[k] * n + map[j]] = from->number[k * n + j];
	*out = (PgmlDecision){ .n_classes = n, .costs = from->costs, .number = number };
	return PGML_OK;
}

PgmlStatus
training_score_champion(Training *t)
{
	PgmlTrainResult *r = t->result;
	PgmlPredictions p = training_predictions(t);
	PgmlDecision decision;
	PgmlStatus status;

	if (!t->champion)
		return PGML_OK;
	p.decision = &decision;
	status = predict_rows(t, t->scored.rows, t->scored.n, t->scored.p);
	if (status == PGML_ERR_CANCELLED || pgml_stopped(t->env))
		return pgml_fail_cancelled(t->env);
	if (status == PGML_OK)
		status = translate_decision(t, &decision);
	if (status == PGML_OK)
		status = pgml_metric_compute(t->env, r->metric, &p, &r->champion_score);
	if (status == PGML_ERR_CANCELLED)
		return status;
	r->champion_scored = status == PGML_OK && !isnan(r->champion_score);
	if (status != PGML_OK)
		snprintf(r->champion_error, sizeof(r->champion_error), "%.255s", t->env->error->message);
	else if (!r->champion_scored)
		snprintf(r->champion_error, sizeof(r->champion_error), "%s is not defined on the test rows",
				 r->metric->name);
	return PGML_OK;
}
