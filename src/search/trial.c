/*
 * trial.c - one setting of one learner: fitted on every fold, scored on the rows that were left out.
 */
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

#define LARGE_FIT  5000000.0 /* rows x features above which a fit gets all threads for itself */
#define TIMED_ROWS 64        /* rows that are predicted to see how long that takes */

/* Seconds of predictions that tell how long the others will take. */
#define LONG_ENOUGH 0.1

#define SEED_OF_TRIALS 0x7472

/* Everything a fold needs; blocks of a parallel loop write only their own entries. */
typedef struct FoldTask
{
	Training *t;
	const PgmlLearner *learner;
	const PgmlParams *params;
	TrialModel *model;
	PgmlArena *arena; /* of what only the trial needs */
	const TrialMemory *memory;
	int side_by_side; /* folds that run at the same time */
	bool alone;       /* one at a time, with all threads */
	int first;        /* fold of block 0 */
	double start;
	double seconds; /* for all folds; 0 = no limit */
	PgmlDataset data[PGML_MAX_FOLDS];
	PgmlError error[PGML_MAX_FOLDS];
	float *block[PGML_MAX_FOLDS]; /* scratch rows */
	double *out[PGML_MAX_FOLDS];
	double cpu[PGML_MAX_FOLDS];
	double per_row[PGML_MAX_FOLDS]; /* seconds that a prediction takes */
	double *y[PGML_MAX_FOLDS];      /* targets and weights of the rows that validate */
	double *w[PGML_MAX_FOLDS];
} FoldTask;

PgmlStatus
training_dataset(Training *t, const PgmlLearner *learner, const PgmlParams *params,
				 const int32_t *rows, int64_t n, const int32_t *valid_rows, int64_t n_valid,
				 PgmlDataset *data)
{
	int bins = pgml_param_index(learner, "max_bin");

	*data = (PgmlDataset){ .x = &t->x,
						   .y = t->target.y,
						   .w = t->weight,
						   .task = t->target.task,
						   .n_classes = t->target.n_classes,
						   .rows = rows,
						   .n = n,
						   .valid_rows = valid_rows,
						   .n_valid = n_valid,
						   .blas = t->have_blas ? &t->blas : NULL,
						   .constraints = t->constraints,
						   .quantile = t->quantile };
	/* Rare: another number than that of the bins at hand. The learner makes its own. */
	if (bins < 0 || (t->bins && t->bins_max_bin != (int) params->v[bins]))
		return PGML_OK;
	if (!t->bins)
		PGML_TRY(pgml_bins_create(t->env, t->arena, &t->x, t->train, t->n_train,
								  (int) params->v[bins], &t->bins));
	t->bins_max_bin = (int) params->v[bins];
	data->bins = t->bins;
	return PGML_OK;
}

PgmlStatus
training_check_payload(const Training *t, const PgmlLearner *learner, const PgmlBuf *payload,
					   PgmlError *error)
{
	PgmlError found = { 0 };

	if (learner->verify(payload->data, payload->len, &t->shape, &found) == PGML_OK)
		return PGML_OK;
	return pgml_fail(error, PGML_ERR_NUMERIC,
					 "learner \"%s\" made a model that could not be read again: %s", learner->name,
					 found.message);
}

/* Will n rows not be predicted by then, as far as those done since `start` tell? */
static bool
is_late(double start, double until, int64_t done, int64_t n)
{
	double spent = pgml_now() - start;

	return until > 0 &&
		   (start + spent > until ||
			(spent > LONG_ENOUGH && start + spent / (double) done * (double) n > until));
}

PgmlStatus
training_predict(const Training *t, const PgmlLearner *learner, const PgmlBuf *payload,
				 const int32_t *rows, int64_t n, double until, float *block, double *out)
{
	int32_t d = t->x.nfeatures;
	int64_t most = pgml_learner_rows_at_once(learner, payload->data, payload->len, NULL);
	double begun = pgml_now();

	most = most < PREDICT_BLOCK ? most : PREDICT_BLOCK;
	for (int64_t start = 0; start < n; start += most)
	{
		int64_t size = n - start < most ? n - start : most;

		if (pgml_stopped(t->env))
			return PGML_ERR_CANCELLED;
		if (start > 0 && is_late(begun, until, start, n))
			return PGML_ERR_LIMIT;
		for (int32_t f = 0; f < d; f++)
			for (int64_t i = 0; i < size; i++)
				block[i * d + f] = t->x.col[f][rows[start + i]];
		learner->predict(payload->data, &t->shape, block, size, out + start * t->outputs);
	}
	return PGML_OK;
}

/* Time at which fold number f has to be ready, so that every fold gets the same share. */
static double
fold_deadline(const FoldTask *task, int f)
{
	int waves = (task->model->n_fits + task->side_by_side - 1) / task->side_by_side;
	double end;

	if (task->seconds <= 0)
		return task->t->env->deadline;
	end = task->start + task->seconds * (f / task->side_by_side + 1) / waves;
	return task->t->env->deadline > 0 && task->t->env->deadline < end ? task->t->env->deadline :
																		end;
}

/*
 * Predict the rows that fold f was validated on, unless the fit did; with a budget of time, see how long that takes.  Where it is
 * known that the training's deadline would be missed, the trial has failed.
 */
static PgmlStatus
predict_fold(FoldTask *task, int f, PgmlError *error)
{
	const Training *t = task->t;
	const PgmlDataset *data = &task->data[f];
	const PgmlFit *fit = &task->model->fit[f];
	double until = 0;
	int64_t n = data->n_valid;
	double cpu;
	PgmlStatus status;

	if (task->seconds > 0 && !fit->predicted)
		until = t->env->deadline + training_grace(t);
	if (fit->predicted)
		n = t->options->time_budget <= 0 ? 0 : n < TIMED_ROWS ? n : TIMED_ROWS;
	cpu = pgml_thread_cpu();
	status = training_predict(t, task->learner, &fit->payload, data->valid_rows, n, until,
							  task->block[f], task->out[f]);
	if (status == PGML_ERR_LIMIT)
		return pgml_fail(error, status,
						 "time_budget is too short for its predictions of the validation rows");
	task->per_row[f] = n > 0 ? (pgml_thread_cpu() - cpu) / (double) n : 0;
	return status;
}

/* The metric on the rows of fold f, which a trial does without when there is no memory for it. */
static PgmlStatus
score_fold(FoldTask *task, int f, const PgmlEnv *env)
{
	const Training *t = task->t;
	const PgmlDataset *data = &task->data[f];
	PgmlPredictions preds = { t->target.task, t->target.n_classes, data->n_valid, task->y[f],
							  task->out[f],   task->w[f],          NULL };
	PgmlEnv own = *env;
	PgmlError ignored;
	PgmlStatus status;

	own.error = &ignored;
	for (int64_t i = 0; i < data->n_valid; i++)
	{
		task->y[f][i] = t->target.y[data->valid_rows[i]];
		if (task->w[f])
			task->w[f][i] = t->weight[data->valid_rows[i]];
	}
	status = training_metric(t, &own, &preds, &task->model->trial->fold_score[f]);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : PGML_OK;
}

/* Fit fold f, predict the rows it was validated on, and score them. */
static PgmlStatus
run_fold(void *arg, int64_t block, int thread)
{
	FoldTask *task = arg;
	Training *t = task->t;
	int f = task->first + (int) block;
	PgmlEnv env = *t->env;
	double cpu = pgml_thread_cpu();

	(void) thread;
	env.error = &task->error[f];
	env.seed = pgml_hash_combine(env.seed, SEED_OF_TRIALS + (uint64_t) f);
	env.deadline = fold_deadline(task, f);
	env.progress = NULL;
	env.clock = &task->model->clock[f];
	/* Without a pool a fit makes room for one thread only. */
	if (!task->alone || task->memory->frugal)
		env.pool = NULL;
	PGML_TRY(task->learner->fit(&env, &task->data[f], task->params, &task->model->fit[f]));
	PGML_TRY(training_check_payload(t, task->learner, &task->model->fit[f].payload, env.error));
	task->cpu[f] = pgml_thread_cpu() - cpu;
	PGML_TRY(predict_fold(task, f, env.error));
	return score_fold(task, f, &env);
}

/* Rows and scratch memory of fold f. */
static PgmlStatus
prepare_fold(FoldTask *task, int f)
{
	Training *t = task->t;
	PgmlArena *arena = task->arena;
	int64_t n = 0, n_valid = 0;
	int32_t *rows, *valid;

	for (int64_t i = 0; i < t->n_train; i++)
		n_valid += t->fold[i] == f;
	valid = pgml_array(arena, n_valid + 1, sizeof(int32_t));
	rows = pgml_array(arena, t->n_train - n_valid + 1, sizeof(int32_t));
	task->block[f] = pgml_array(arena, (size_t) PREDICT_BLOCK * t->x.nfeatures, sizeof(float));
	task->out[f] = pgml_array(arena, n_valid * t->outputs + 1, sizeof(double));
	task->y[f] = pgml_array(arena, n_valid + 1, sizeof(double));
	task->w[f] = t->weight ? pgml_array(arena, n_valid + 1, sizeof(double)) : NULL;
	if (!rows || !valid || !task->block[f] || !task->out[f] || !task->y[f] ||
		(t->weight && !task->w[f]))
		return pgml_fail_nomem(t->env, "a trial");
	n_valid = 0;
	for (int64_t i = 0; i < t->n_train; i++)
	{
		if (t->fold[i] == f)
			valid[n_valid++] = t->train[i];
		else
			rows[n++] = t->train[i];
	}
	/* Rows are in an order that chance has made. */
	n = (int64_t) ceil((double) n * t->rows_share);
	PGML_TRY(
		training_dataset(t, task->learner, task->params, rows, n, valid, n_valid, &task->data[f]));
	task->data[f].valid_out = task->out[f];
	task->data[f].max_payload = task->memory->max_payload;
	return PGML_OK;
}

/* Put the folds' predictions in the order of the training rows. */
static void
collect_predictions(FoldTask *task)
{
	Training *t = task->t;
	int64_t next[PGML_MAX_FOLDS] = { 0 };

	for (int64_t i = 0; i < t->n_train; i++)
	{
		int f = t->fold[i];

		for (int k = 0; k < t->outputs; k++)
			task->model->oof[i * t->outputs + k] =
				f < task->model->n_fits ? task->out[f][next[f] * t->outputs + k] : NAN;
		if (f < task->model->n_fits)
			next[f]++;
	}
}

/* The training's metric on the validated rows. */
static PgmlStatus
score_trial(Training *t, PgmlArena *arena, TrialModel *model)
{
	int64_t n = 0;
	double *y = pgml_array(arena, t->n_train, sizeof(double));
	double *w = t->weight ? pgml_array(arena, t->n_train, sizeof(double)) : NULL;
	double *p = pgml_array(arena, t->n_train * t->outputs, sizeof(double));
	PgmlPredictions preds = { t->target.task, t->target.n_classes, 0, y, p, w, NULL };

	if (!y || !p || (t->weight && !w))
		return pgml_fail_nomem(t->env, "a trial");
	for (int64_t i = 0; i < t->n_train; i++)
	{
		if (t->folds == 1 && t->fold[i] != 0)
			continue;
		y[n] = t->target.y[t->train[i]];
		if (w)
			w[n] = t->weight[t->train[i]];
		memcpy(p + n * t->outputs, model->oof + i * t->outputs, t->outputs * sizeof(double));
		n++;
	}
	preds.n = n;
	return training_metric(t, t->env, &preds, &model->trial->validation_score);
}

/* Run the folds: side by side when fits are small, one after the other with all threads when they are large. */
static PgmlStatus
run_folds(FoldTask *task)
{
	Training *t = task->t;
	int n_fits = task->model->n_fits;

	task->alone = n_fits == 1 || (double) t->n_train * t->x.nfeatures > LARGE_FIT;
	task->side_by_side = task->alone ? 1 : task->memory->side_by_side;
	for (task->first = 0; task->first < n_fits; task->first += task->side_by_side)
	{
		int left = n_fits - task->first;

		if (task->alone)
			PGML_TRY(run_fold(task, 0, 0));
		else
			PGML_TRY(pgml_par_for(t->env, left < task->side_by_side ? left : task->side_by_side,
								  run_fold, task));
	}
	return PGML_OK;
}

/* What the first failed fold said, or the training itself. */
static const char *
first_error(const FoldTask *task, PgmlStatus status)
{
	for (int f = 0; f < task->model->n_fits; f++)
		if (task->error[f].status == status)
			return task->error[f].message;
	return task->t->env->error->message;
}

/* A rate that the learner chose by the rows and rounds it had: noted, so that a refit with other numbers keeps it. */
static void
note_learning_rate(PgmlTrial *trial, double rate)
{
	if (rate > 0)
		training_set(trial->learner, &trial->params, "learning_rate", rate);
}

/* Note the outcome in the trial's row. */
static void
record(FoldTask *task, PgmlStatus status)
{
	PgmlTrial *trial = task->model->trial;
	double iterations = 0, rate = 0;
	bool out_of_memory = false;

	trial->fit_wall = pgml_now() - task->start;
	trial->status = PGML_TRIAL_OK;
	for (int f = 0; f < task->model->n_fits; f++)
	{
		trial->fit_cpu += task->cpu[f];
		task->model->seconds_per_row += task->per_row[f];
		iterations += task->model->fit[f].best_iteration;
		rate += task->model->fit[f].learning_rate;
		trial->rows = task->data[f].n > trial->rows ? task->data[f].n : trial->rows;
		if (task->model->fit[f].out_of_time)
			trial->status = PGML_TRIAL_TIMEOUT;
		out_of_memory |= task->model->fit[f].out_of_memory;
	}
	trial->best_iteration = (int) (iterations / task->model->n_fits + 0.5);
	note_learning_rate(trial, rate / task->model->n_fits);
	task->t->short_trials += status == PGML_OK && out_of_memory;
	if (status == PGML_OK)
		return;
	trial->status = PGML_TRIAL_FAILED;
	trial->failure = status;
	trial->validation_score = NAN;
	snprintf(trial->error, sizeof(trial->error), "%.255s", first_error(task, status));
}

PgmlStatus
training_run_trial(Training *t, const PgmlLearner *learner, const PgmlParams *params,
				   const TrialMemory *memory, double seconds, TrialModel *model)
{
	FoldTask task = { .t = t,
					  .learner = learner,
					  .params = params,
					  .memory = memory,
					  .model = model,
					  .seconds = seconds };
	PgmlTrial *trial = &t->result->trials[t->result->n_trials];
	PgmlStatus status = PGML_OK;

	memset(model, 0, sizeof(*model));
	model->trial = trial;
	model->n_fits = t->folds;
	*trial = (PgmlTrial){ .number = ++t->result->n_trials,
						  .learner = learner,
						  .params = *params,
						  .source = t->source,
						  .source_model = t->source_model,
						  .folds = t->folds,
						  .validation_score = NAN };
	for (int f = 0; f < PGML_MAX_FOLDS; f++)
		trial->fold_score[f] = NAN;
	task.start = pgml_now();
	model->params = *params;
	model->max_payload = memory->max_payload;
	pgml_clock_init(&model->refit_clock, t->env->budget);
	for (int f = 0; f < model->n_fits; f++)
	{
		pgml_buf_init(&model->fit[f].payload, t->env->budget);
		pgml_clock_init(&model->clock[f], t->env->budget);
		if (t->repeated != NULL && f < t->repeated->n_fits)
			pgml_clock_repeat(&model->clock[f], t->repeated->fit[f].note, t->repeated->fit[f].n);
	}
	model->arena = pgml_arena_create(t->env->budget);
	task.arena = pgml_arena_create(t->env->budget);
	if (model->arena && task.arena)
		model->oof = pgml_array(model->arena, t->n_train * t->outputs, sizeof(double));
	if (!model->oof)
		status = pgml_fail_nomem(t->env, "a trial");
	for (int f = 0; status == PGML_OK && f < model->n_fits; f++)
		status = prepare_fold(&task, f);
	if (status == PGML_OK)
		status = run_folds(&task);
	if (status == PGML_OK)
	{
		collect_predictions(&task);
		status = score_trial(t, task.arena, model);
	}
	record(&task, status);
	pgml_arena_destroy(task.arena);
	return pgml_stopped(t->env) ? pgml_fail_cancelled(t->env) : PGML_OK;
}

void
training_free_model(TrialModel *model)
{
	for (int f = 0; f < model->n_fits; f++)
		pgml_buf_free(&model->fit[f].payload);
	for (int f = 0; f < PGML_MAX_FOLDS; f++)
		pgml_clock_free(&model->clock[f]);
	pgml_clock_free(&model->refit_clock);
	pgml_arena_destroy(model->arena);
	memset(model, 0, sizeof(*model));
}
