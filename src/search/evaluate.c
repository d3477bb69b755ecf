/*
 * evaluate.c - scores of the final model, on rows that nothing was fitted or chosen on.
 *
 * Everything is scored through the image, so that what is measured is what predicts.  Memory for it is taken before the
 * first trial; what still is not to be had at the end costs a score or an interval, not the training.
 */
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/sort.h"

#define BLOCK_FEATURES    2000000 /* of a parallel block, at most, where that allows PGML_BLOCK_ROWS */
#define BOOTSTRAP_ROUNDS  200
#define FEWEST_ROUNDS     50
#define INTERVAL_LEVEL    0.95
#define SEED_OF_INTERVALS 0x6269

/* Rows x parts x rounds of one metric's interval: beyond this there are fewer rounds, as many rows make up for it. */
#define INTERVAL_WORK 5e6

/* Seconds for a row of a part of a metric in a round, and once to prepare it: for planning. */
#define SECONDS_PER_STEP   4e-9
#define SECONDS_TO_PREPARE 1e-7

int64_t
training_image_rows(const Training *t, const PgmlScorer *scorer, int64_t n)
{
	int64_t threads = pgml_pool_threads(t->env->pool);
	int64_t units = (n + threads * PGML_BLOCK_ROWS - 1) / (threads * PGML_BLOCK_ROWS);
	int64_t most = pgml_scorer_rows(scorer) / PGML_BLOCK_ROWS;
	int64_t memory = BLOCK_FEATURES / PGML_BLOCK_ROWS / (t->x.nfeatures + 1);
	int64_t few = pgml_scorer_rows_at_once(scorer);

	if (few < PGML_BLOCK_ROWS)
		return few;
	units = units < most ? units : most;
	units = units < memory ? units : memory;
	return (units > 1 ? units : 1) * PGML_BLOCK_ROWS;
}

/* ---- rows to score ---- */

/* Number the groups of the rows 0, 1, ... in the order of their hashes. */
static PgmlStatus
number_groups(Training *t, Scored *s)
{
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	PgmlKeyed *items = arena ? pgml_array(arena, s->n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlKeyed *tmp = arena ? pgml_array(arena, s->n + 1, sizeof(PgmlKeyed)) : NULL;
	PgmlStatus status =
		items && tmp ? PGML_OK : pgml_fail_nomem(t->env, "the groups of the test rows");

	for (int64_t i = 0; status == PGML_OK && i < s->n; i++)
		items[i] = (PgmlKeyed){ t->group[s->rows[i]], i };
	if (status == PGML_OK)
		status = pgml_sort_keyed(t->env, items, tmp, s->n);
	for (int64_t i = 0; status == PGML_OK && i < s->n; i++)
	{
		s->n_groups += i == 0 || items[i].key != items[i - 1].key;
		s->group[items[i].row] = s->n_groups - 1;
	}
	pgml_arena_destroy(arena);
	return status;
}

int64_t
training_validated(const Training *t, int32_t *rows)
{
	int64_t n = 0;

	for (int64_t i = 0; i < t->n_train; i++)
		if (t->folds > 1 || t->fold[i] == 0)
			rows[n++] = t->train[i];
	return n;
}

/* The rows that are scored: the test rows, or without any those that validate. */
static PgmlStatus
choose_rows(Training *t, Scored *s)
{
	int32_t *rows;

	*s = (Scored){ .n = t->n_test, .rows = t->test };
	if (t->n_test > 0)
		return PGML_OK;
	rows = pgml_array(t->arena, t->n_train, sizeof(int32_t));
	if (!rows)
		return pgml_fail_nomem(t->env, "the scores");
	s->n = training_validated(t, rows);
	s->rows = rows;
	return PGML_OK;
}

/* Rounds of a metric's interval. */
static int
rounds_for(const Training *t, const PgmlMetric *metric)
{
	PgmlPredictions p = training_predictions(t);
	double rounds = INTERVAL_WORK / ((double) t->scored.n * pgml_metric_steps(metric, &p) + 1);

	return rounds < FEWEST_ROUNDS    ? FEWEST_ROUNDS :
		   rounds > BOOTSTRAP_ROUNDS ? BOOTSTRAP_ROUNDS :
									   (int) rounds;
}

/* Seconds that all scores and intervals take. */
static double
score_seconds(const Training *t)
{
	PgmlPredictions p = training_predictions(t);
	double steps = 0, prepared = 0;
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	for (int i = 0; i < n; i++)
	{
		double parts;

		if (training_metric_for(t, &metrics[i]) == NULL)
			continue;
		parts = pgml_metric_steps(&metrics[i], &p);
		prepared += parts;
		steps += parts * rounds_for(t, &metrics[i]);
	}
	return (double) t->scored.n * (prepared * SECONDS_TO_PREPARE +
								   steps * SECONDS_PER_STEP / pgml_pool_threads(t->env->pool));
}

PgmlStatus
training_prepare_scores(Training *t)
{
	Scored *s = &t->scored;
	int64_t n;

	PGML_TRY(choose_rows(t, s));
	n = s->n;
	s->y = pgml_array(t->arena, n + 1, sizeof(double));
	s->p = pgml_array(t->arena, n * t->outputs + 1, sizeof(double));
	s->w = t->weight ? pgml_array(t->arena, n + 1, sizeof(double)) : NULL;
	s->group = t->group ? pgml_array(t->arena, n + 1, sizeof(int32_t)) : NULL;
	if (!s->y || !s->p || (t->weight && !s->w) || (t->group && !s->group))
		return pgml_fail_nomem(t->env, "the scores");
	for (int64_t i = 0; i < n; i++)
	{
		s->y[i] = t->target.y[s->rows[i]];
		if (s->w)
			s->w[i] = t->weight[s->rows[i]];
	}
	t->other_seconds = score_seconds(t);
	return s->group ? number_groups(t, s) : PGML_OK;
}

PgmlPredictions
training_predictions(const Training *t)
{
	const Scored *s = &t->scored;

	return (PgmlPredictions){ t->target.task, t->target.n_classes, s->n, s->y, s->p,
							  s->w,           &t->decision };
}

/* ---- predictions ---- */

/* Blocks of rows predicted side by side; features and scratch memory are each thread's own. */
typedef struct ImageTask
{
	const Training *t;
	const PgmlScorer *scorer;
	int64_t block; /* rows */
	float *x;
	char *scratch;
	double *cpu; /* per thread: seconds */
} ImageTask;

static PgmlStatus
predict_image_block(void *arg, int64_t block, int thread)
{
	ImageTask *task = arg;
	const Training *t = task->t;
	const Scored *s = &t->scored;
	int32_t d = t->x.nfeatures;
	float *x = task->x + (size_t) thread * task->block * d;
	char *scratch = task->scratch + (size_t) thread * pgml_scorer_scratch(task->scorer);
	int64_t start = block * task->block;
	PgmlBlock rows = { x, task->block, s->n - start < task->block ? s->n - start : task->block };

	double cpu = pgml_thread_cpu();

	for (int32_t f = 0; f < d; f++)
		for (int64_t i = 0; i < rows.n; i++)
			x[f * task->block + i] = t->x.col[f][s->rows[start + i]];
	pgml_scorer_predict(task->scorer, &rows, s->p + start * t->outputs, scratch);
	task->cpu[thread] += pgml_thread_cpu() - cpu;
	return PGML_OK;
}

/* Predict the rows through the image of this training; memory is the arena's. */
static PgmlStatus
predict_by_image(Training *t, PgmlArena *arena)
{
	const PgmlBuf *bytes = &t->result->image;
	PgmlImage *image = pgml_array(arena, 1, sizeof(PgmlImage));
	size_t threads = (size_t) pgml_pool_threads(t->env->pool);
	ImageTask task = { .t = t };
	double cpu = 0;
	int64_t block;

	if (!image)
		return pgml_fail_nomem(t->env, "the scores");
	PGML_TRY(pgml_image_open(bytes->data, bytes->len, arena, image, t->env->error));
	PGML_TRY(pgml_scorer_create(t->env, arena, image, &task.scorer));
	block = task.block = training_image_rows(t, task.scorer, t->scored.n);
	task.x = pgml_array(arena, threads * block * t->x.nfeatures, sizeof(float));
	task.scratch = pgml_array(arena, threads, pgml_scorer_scratch(task.scorer));
	task.cpu = pgml_zalloc(arena, threads, sizeof(double));
	if (!task.x || !task.scratch || !task.cpu)
		return pgml_fail_nomem(t->env, "the scores");
	if (pgml_par_for(t->env, (t->scored.n + block - 1) / block, predict_image_block, &task) !=
		PGML_OK)
		return pgml_fail_cancelled(t->env);
	for (size_t i = 0; i < threads; i++)
		cpu += task.cpu[i];
	t->result->predict_us = 1e6 * cpu / (double) (t->scored.n > 0 ? t->scored.n : 1);
	return PGML_OK;
}

/* The same with memory of its own. */
static PgmlStatus
predict_image(Training *t)
{
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	PgmlStatus status = arena ? predict_by_image(t, arena) : pgml_fail_nomem(t->env, "the scores");

	pgml_arena_destroy(arena);
	return status;
}

/* The validation predictions of the chosen trials; of the baseline when none was chosen. */
static PgmlStatus
average_validation(Training *t, const TrialModel *models, const double *weight, int n_models,
				   const TrialModel *baseline)
{
	static const double one = 1;
	double *p = t->scored.p;
	bool chosen = false;

	for (int m = 0; m < n_models; m++)
		chosen |= weight[m] > 0;
	if (!chosen)
	{
		models = baseline;
		weight = &one;
		n_models = 1;
	}
	for (int64_t i = 0; i < t->n_train; i++)
		if (t->folds > 1 || t->fold[i] == 0)
		{
			if (pgml_stopped(t->env))
				return pgml_fail_cancelled(t->env);
			training_out_of_fold(t, models, weight, n_models, i, p);
			p += t->outputs;
		}
	return PGML_OK;
}

/* ---- scores ---- */

const char *
training_undefined(const Training *t, const int32_t *rows, int64_t n)
{
	double low = INFINITY, high = -INFINITY;

	for (int64_t i = 0; i < n; i++)
	{
		low = fmin(low, t->target.y[rows[i]]);
		high = fmax(high, t->target.y[rows[i]]);
	}
	if (n == 0)
		return "there are none";
	if (low == high)
		return t->target.task == PGML_TASK_REGRESSION ? "the target is the same in all of them" :
														"all of them are of one class";
	if (strcmp(t->result->metric->name, "rmsle") == 0)
		return "a target is -1 or less";
	return "the numbers are too large";
}

/* Memory that is not to be had costs a number, which is NaN then; everything else is a failure. */
static PgmlStatus
forgive_memory(PgmlStatus status)
{
	return pgml_is_memory(status) ? PGML_OK : status;
}

static PgmlStatus
find_interval(Training *t, const PgmlResamples *resamples, PgmlScore *score)
{
	PgmlPredictions p = training_predictions(t);

	if (isnan(score->value) || !resamples)
		return PGML_OK;
	pgml_progress(t->env, 0.95, "scoring");
	return forgive_memory(pgml_resampled_interval(t->env, score->metric, &p, resamples,
												  rounds_for(t, score->metric), INTERVAL_LEVEL,
												  &score->low, &score->high));
}

/* Intervals of all scores, that of the training's metric first; the others only while there is time. */
static PgmlStatus
find_intervals(Training *t)
{
	PgmlTrainResult *r = t->result;
	const Scored *s = &t->scored;
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	PgmlResamples *resamples = NULL;
	PgmlStatus status = PGML_OK;

	if (arena)
		status = forgive_memory(
			pgml_resamples_create(t->env, arena, s->n, s->group, s->n_groups, BOOTSTRAP_ROUNDS,
								  t->env->seed + SEED_OF_INTERVALS, &resamples));
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; status == PGML_OK && i < r->n_test_scores; i++)
		{
			PgmlScore *score = &r->test_scores[i];

			if ((score->metric == r->metric) != (pass == 0) ||
				(pass == 1 && training_seconds_left(t) + training_grace(t) < 0))
				continue;
			status = find_interval(t, resamples, score);
			if (pass == 0)
				r->score = *score;
		}
	pgml_arena_destroy(arena);
	return status;
}

/* All metrics of the task; the chosen one also as the score. */
static PgmlStatus
score_all(Training *t)
{
	PgmlTrainResult *r = t->result;
	PgmlPredictions p = training_predictions(t);
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	for (int i = 0; i < n && r->n_test_scores < PGML_MAX_SCORES; i++)
	{
		PgmlScore *score = &r->test_scores[r->n_test_scores];
		const PgmlMetric *metric = training_metric_for(t, &metrics[i]);

		if (metric == NULL)
			continue;
		*score = (PgmlScore){ .metric = metric, .value = NAN, .low = NAN, .high = NAN };
		PGML_TRY(forgive_memory(pgml_metric_compute(t->env, metric, &p, &score->value)));
		if (metric == r->metric)
			r->score = *score;
		r->n_test_scores++;
	}
	return find_intervals(t);
}

/* Metric of the constant predictor on the same rows. */
static PgmlStatus
score_baseline(Training *t, const TrialModel *baseline)
{
	const Scored *s = &t->scored;
	PgmlPredictions p = training_predictions(t);
	float *block = pgml_array(t->arena, (size_t) PREDICT_BLOCK * t->x.nfeatures, sizeof(float));

	if (!block)
		return PGML_OK;
	if (!t->decision.costs)
		p.decision = NULL; /* its threshold would be another one */
	if (training_predict(t, &pgml_learner_constant, &baseline->fit[0].payload, s->rows, s->n, 0,
						 block, s->p) != PGML_OK)
		return pgml_fail_cancelled(t->env);
	return forgive_memory(pgml_metric_compute(t->env, t->result->metric, &p, &t->result->baseline));
}

/* Without memory to predict the rows there are no scores, but there is a model. */
static PgmlStatus
predict_or_forgo(Training *t)
{
	PgmlStatus status = predict_image(t);

	if (status != PGML_ERR_LIMIT && status != PGML_ERR_NOMEM)
		return status;
	training_notice(t, true, "the model is not scored: %s", t->env->error->message);
	for (int64_t i = 0; i < t->scored.n * t->outputs; i++)
		t->scored.p[i] = NAN;
	return PGML_OK;
}

/* A score within reach of the baseline says that hardly anything was learned, which nobody reads out of two numbers. */
static void
report_unlearned(Training *t)
{
	const PgmlTrainResult *r = t->result;
	double worst = r->metric->higher_is_better ? r->score.low : r->score.high;

	if (strcmp(r->algorithm, pgml_learner_constant.name) == 0 || isnan(worst) || isnan(r->baseline))
		return;
	if (!pgml_metric_better(r->metric, worst, r->baseline))
		training_notice(t, false,
						"%s %.6g (%.6g to %.6g) is not clearly better than the baseline of always "
						"predicting the same, %.6g",
						r->metric->name, r->score.value, r->score.low, r->score.high, r->baseline);
}

PgmlStatus
training_complete_image(Training *t, const TrialModel *models, const double *weight, int n_models,
						const TrialModel *baseline)
{
	if (t->n_test > 0)
		PGML_TRY(predict_or_forgo(t));
	else
		PGML_TRY(average_validation(t, models, weight, n_models, baseline));
	PGML_TRY(training_calibrate(t));
	PGML_TRY(training_add_background(t, models, weight, n_models));
	return training_put_decision(t);
}

PgmlStatus
training_evaluate(Training *t, const TrialModel *models, const double *weight, int n_models,
				  const TrialModel *baseline)
{
	PgmlTrainResult *r = t->result;

	PGML_TRY(training_complete_image(t, models, weight, n_models, baseline));
	r->score_is_validation = t->n_test == 0;
	PGML_TRY(score_all(t));
	if (isnan(r->score.value) && !(t->scored.n > 0 && isnan(t->scored.p[0])))
		training_notice(t, true, "metric \"%s\" is not defined on the %s rows: %s", r->metric->name,
						t->n_test > 0 ? "test" : "validation",
						training_undefined(t, t->scored.rows, t->scored.n));
	if (t->n_test > 0)
		PGML_TRY(score_baseline(t, baseline));
	else
		r->baseline = baseline->trial->validation_score;
	report_unlearned(t);
	PGML_TRY(training_score_champion(t));
	return t->n_test > 0 ? training_measure_importance(t) : PGML_OK;
}
