/*
 * evaluate.c - the final model: refit, image, scores on rows that nothing was fitted or chosen on.
 *
 * Everything is scored through the image, so that what is measured is what predicts.
 */
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/image.h"

#define IMAGE_BLOCK       128 /* rows of a parallel block */
#define BOOTSTRAP_ROUNDS  200
#define INTERVAL_LEVEL    0.95
#define SEED_OF_INTERVALS 0x6269

/* Rows a score is computed on, with everything the metrics need. */
typedef struct Scored
{
	int64_t n;
	const int32_t *rows; /* table rows */
	double *y;
	double *w;
	double *p;
	int32_t *group; /* dense group numbers, or NULL */
	int32_t n_groups;
} Scored;

/* Fit the winner's settings on all training rows; keeps the fold models when that fails. */
static PgmlStatus
refit(Training *t, const TrialModel *winner, PgmlFit *fit)
{
	const PgmlLearner *learner = winner->trial->learner;
	PgmlParams params = winner->trial->params;
	PgmlEnv env = *t->env;
	PgmlDataset data;

	for (int i = 0; i < learner->n_params; i++)
	{
		if (strcmp(learner->params[i].name, "n_estimators") == 0 &&
			winner->trial->best_iteration > 0)
			params.v[i] = winner->trial->best_iteration;
		if (strcmp(learner->params[i].name, "early_stopping_round") == 0)
			params.v[i] = 0;
		if (strcmp(learner->params[i].name, "path_position") == 0 &&
			winner->trial->best_iteration > 0)
			params.v[i] = winner->trial->best_iteration;
	}
	PGML_TRY(training_dataset(t, learner, &params, t->train, t->n_train, NULL, 0, &data));
	pgml_progress(t->env, 0.9, "fitting the best setting on all training rows");
	return learner->fit(&env, &data, &params, fit);
}

/* Refitting pays when one part validated, and needs the time that the trial itself took. */
static bool
worth_refitting(const Training *t, const TrialModel *winner)
{
	if (winner->trial->learner == &pgml_learner_constant)
		return true;
	if (t->folds > 1)
		return false;
	return training_seconds_left(t) > 1.3 * winner->trial->fit_wall;
}

/* The members of the image: one refitted model, or the fold models of the chosen trials. */
static PgmlStatus
choose_members(Training *t, const TrialModel *models, const double *weight, int n_models,
			   PgmlFit *refitted, PgmlMember *members, int *n)
{
	if (worth_refitting(t, &models[0]))
	{
		const PgmlLearner *learner = models[0].trial->learner;
		PgmlStatus status = refit(t, &models[0], refitted);

		if (status == PGML_ERR_CANCELLED)
			return status;
		if (status == PGML_OK && !refitted->out_of_time)
		{
			members[0] = (PgmlMember){ learner, 1, refitted->payload.data, refitted->payload.len };
			*n = 1;
			return PGML_OK;
		}
	}
	*n = 0;
	for (int m = 0; m < n_models; m++)
		for (int f = 0; weight[m] > 0 && f < models[m].n_fits; f++)
			members[(*n)++] =
				(PgmlMember){ models[m].trial->learner, weight[m] / models[m].n_fits,
							  models[m].fit[f].payload.data, models[m].fit[f].payload.len };
	return PGML_OK;
}

static PgmlStatus
encode_members(Training *t, const PgmlMember *members, int n, PgmlBuf *out)
{
	PgmlImageSpec spec = { .task = t->target.task,
						   .n_classes = t->target.n_classes,
						   .classes = t->target.classes,
						   .target = t->options->target,
						   .metric = t->result->metric->name,
						   .recipe = t->recipe_bytes.data,
						   .recipe_len = t->recipe_bytes.len,
						   .members = members,
						   .n_members = n };

	if (t->target.task == PGML_TASK_REGRESSION)
		spec.classes = NULL;
	return pgml_image_encode(t->env, &spec, out);
}

/* Number the groups of the rows 0, 1, ... by sorting positions by hash (shell sort: no recursion, no allocation). */
static void
number_groups(const uint64_t *hash, const int32_t *rows, int32_t *order, int64_t n, int32_t *group,
			  int32_t *n_groups)
{
	for (int64_t i = 0; i < n; i++)
		order[i] = (int32_t) i;
	for (int64_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
		for (int64_t i = gap; i < n; i++)
		{
			int32_t v = order[i];
			int64_t j = i;

			for (; j >= gap && hash[rows[order[j - gap]]] > hash[rows[v]]; j -= gap)
				order[j] = order[j - gap];
			order[j] = v;
		}
	*n_groups = 0;
	for (int64_t i = 0; i < n; i++)
	{
		if (i > 0 && hash[rows[order[i]]] != hash[rows[order[i - 1]]])
			(*n_groups)++;
		group[order[i]] = *n_groups;
	}
	if (n > 0)
		(*n_groups)++;
}

/* Targets, weights and groups of the rows. */
static PgmlStatus
init_scored(Training *t, const int32_t *rows, int64_t n, Scored *s)
{
	int32_t *order = pgml_array(t->arena, n + 1, sizeof(int32_t));

	*s = (Scored){ .n = n, .rows = rows };
	s->y = pgml_array(t->arena, n + 1, sizeof(double));
	s->p = pgml_array(t->arena, n * t->outputs + 1, sizeof(double));
	s->w = t->weight ? pgml_array(t->arena, n + 1, sizeof(double)) : NULL;
	s->group = t->group ? pgml_array(t->arena, n + 1, sizeof(int32_t)) : NULL;
	if (!s->y || !s->p || (t->weight && !s->w) || (t->group && !s->group) || !order)
		return pgml_fail_nomem(t->env, "the scores");
	for (int64_t i = 0; i < n; i++)
	{
		s->y[i] = t->target.y[rows[i]];
		if (s->w)
			s->w[i] = t->weight[rows[i]];
	}
	if (s->group)
		number_groups(t->group, rows, order, n, s->group, &s->n_groups);
	return PGML_OK;
}

static PgmlPredictions
predictions_of(const Training *t, const Scored *s)
{
	return (PgmlPredictions){ t->target.task, t->target.n_classes, s->n, s->y, s->p, s->w };
}

/* Blocks of rows predicted side by side; scratch memory is each thread's own. */
typedef struct ImageTask
{
	const Training *t;
	const PgmlImage *image;
	Scored *s;
	float *x;
	double *scratch;
} ImageTask;

static PgmlStatus
predict_image_block(void *arg, int64_t block, int thread)
{
	ImageTask *task = arg;
	const Training *t = task->t;
	const Scored *s = task->s;
	int32_t d = t->x.nfeatures;
	float *x = task->x + (size_t) thread * IMAGE_BLOCK * d;
	double *scratch = task->scratch + (size_t) thread * IMAGE_BLOCK * t->outputs;
	int64_t start = block * IMAGE_BLOCK;
	int64_t size = s->n - start < IMAGE_BLOCK ? s->n - start : IMAGE_BLOCK;

	for (int32_t f = 0; f < d; f++)
		for (int64_t i = 0; i < size; i++)
			x[i * d + f] = t->x.col[f][s->rows[start + i]];
	pgml_image_predict(task->image, x, size, s->p + start * t->outputs, scratch);
	return PGML_OK;
}

/* Predict the rows through an image of this training. */
static PgmlStatus
predict_image(Training *t, const PgmlBuf *bytes, Scored *s)
{
	PgmlImage *image = pgml_array(t->arena, 1, sizeof(PgmlImage));
	size_t rows = (size_t) IMAGE_BLOCK * pgml_pool_threads(t->env->pool);
	ImageTask task = { .t = t, .image = image, .s = s };

	task.x = pgml_array(t->arena, rows * t->x.nfeatures, sizeof(float));
	task.scratch = pgml_array(t->arena, rows * t->outputs, sizeof(double));
	if (!image || !task.x || !task.scratch)
		return pgml_fail_nomem(t->env, "the scores");
	PGML_TRY(pgml_image_open(bytes->data, bytes->len, t->arena, image, t->env->error));
	return pgml_par_for(t->env, (s->n + IMAGE_BLOCK - 1) / IMAGE_BLOCK, predict_image_block, &task);
}

/* All metrics of the task with their intervals (fewer resamples when time is out); the chosen one also as the score. */
static PgmlStatus
score_all(Training *t, const Scored *s)
{
	PgmlTrainResult *r = t->result;
	PgmlPredictions p = predictions_of(t, s);
	const PgmlEnv *env = t->env;
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	for (int i = 0; i < n && r->n_test_scores < PGML_MAX_SCORES; i++)
	{
		PgmlScore *score = &r->test_scores[r->n_test_scores];

		if (!(metrics[i].tasks & t->target.task))
			continue;
		pgml_progress(t->env, 0.95, "scoring");
		*score = (PgmlScore){ .metric = &metrics[i], .low = NAN, .high = NAN };
		PGML_TRY(pgml_metric_compute(env, &metrics[i], &p, &score->value));
		if (!isnan(score->value))
			PGML_TRY(pgml_metric_interval(
				env, &metrics[i], &p, s->group, s->n_groups, INTERVAL_LEVEL, BOOTSTRAP_ROUNDS,
				env->seed + SEED_OF_INTERVALS, &score->low, &score->high));
		if (&metrics[i] == r->metric)
			r->score = *score;
		r->n_test_scores++;
	}
	return PGML_OK;
}

/* Input columns of the champion in this table; false with a reason when one is missing. */
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

/* Features of the rows by the champion's own recipe, scored one by one. */
static PgmlStatus
predict_champion(Training *t, const PgmlImage *champion, const int *col, const int *map, Scored *s)
{
	float *x = pgml_array(t->arena, champion->recipe.n_features + 1, sizeof(float));
	double *out = pgml_array(t->arena, 2 * pgml_image_outputs(champion), sizeof(double));

	if (!x || !out)
		return pgml_fail_nomem(t->env, "the deployed version's scores");
	for (int64_t row = 0; row < s->n; row++)
	{
		if (row % 256 == 0 && pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		for (int32_t i = 0; i < champion->recipe.n_inputs; i++)
		{
			PgmlValue v;

			if (col[i] < 0)
				continue;
			v = pgml_table_value(t->table, col[i], s->rows[row]);
			PGML_TRY(pgml_recipe_apply_value(&champion->recipe, i, &v, x, t->env->error));
		}
		pgml_image_predict(champion, x, 1, out, out + pgml_image_outputs(champion));
		translate(t, champion, map, out, s->p + row * t->outputs);
	}
	return PGML_OK;
}

/* Score the deployed version on the same rows. What prevents it is a reason, not a failure. */
static PgmlStatus
score_champion(Training *t, Scored *s)
{
	PgmlTrainResult *r = t->result;
	PgmlError error = { 0 };
	PgmlImage *champion = pgml_array(t->arena, 1, sizeof(PgmlImage));
	PgmlPredictions p = predictions_of(t, s);
	int *col, *map;
	PgmlStatus status;

	if (!champion)
		return pgml_fail_nomem(t->env, "the deployed version");
	if (pgml_image_open(t->options->champion, t->options->champion_len, t->arena, champion,
						&error) != PGML_OK)
	{
		snprintf(r->champion_error, sizeof(r->champion_error), "%.255s", error.message);
		return PGML_OK;
	}
	if (champion->task != t->target.task)
	{
		snprintf(r->champion_error, sizeof(r->champion_error), "it solves another kind of task");
		return PGML_OK;
	}
	col = pgml_array(t->arena, champion->recipe.n_inputs + 1, sizeof(int));
	map = pgml_array(t->arena, champion->n_classes, sizeof(int));
	if (!col || !map)
		return pgml_fail_nomem(t->env, "the deployed version");
	if (!bind_champion(t, champion, col))
		return PGML_OK;
	if (champion->classes)
		map_classes(t, champion, map);
	if (t->target.task == PGML_TASK_BINARY && (map[0] < 0 || map[1] < 0 || map[0] == map[1]))
	{
		snprintf(r->champion_error, sizeof(r->champion_error), "it predicts other classes");
		return PGML_OK;
	}
	status = predict_champion(t, champion, col, map, s);
	if (status == PGML_ERR_CANCELLED || status == PGML_ERR_NOMEM)
		return status;
	if (status != PGML_OK)
	{
		snprintf(r->champion_error, sizeof(r->champion_error), "%.255s", t->env->error->message);
		return PGML_OK;
	}
	PGML_TRY(pgml_metric_compute(t->env, r->metric, &p, &r->champion_score));
	r->champion_scored = !isnan(r->champion_score);
	if (!r->champion_scored)
		snprintf(r->champion_error, sizeof(r->champion_error), "%s is not defined on the test rows",
				 r->metric->name);
	return PGML_OK;
}

/* Metric of the constant predictor on the same rows. */
static PgmlStatus
score_baseline(Training *t, const TrialModel *baseline, Scored *s)
{
	PgmlPredictions p = predictions_of(t, s);
	float *block = pgml_array(t->arena, (size_t) PREDICT_BLOCK * t->x.nfeatures, sizeof(float));

	if (!block)
		return pgml_fail_nomem(t->env, "the scores");
	training_predict(t, &pgml_learner_constant, baseline->fit[0].payload.data, s->rows, s->n, block,
					 s->p);
	return pgml_metric_compute(t->env, t->result->metric, &p, &t->result->baseline);
}

static PgmlStatus
evaluate_on_test(Training *t, const TrialModel *baseline)
{
	Scored s;

	PGML_TRY(init_scored(t, t->test, t->n_test, &s));
	PGML_TRY(predict_image(t, &t->result->image, &s));
	PGML_TRY(score_all(t, &s));
	PGML_TRY(score_baseline(t, baseline, &s));
	return t->options->champion ? score_champion(t, &s) : PGML_OK;
}

/* Without test rows: the validation predictions of the chosen trials. */
static PgmlStatus
evaluate_on_validation(Training *t, const TrialModel *models, const double *weight, int n_models,
					   const TrialModel *baseline)
{
	Scored s;
	int32_t *rows = pgml_array(t->arena, t->n_train, sizeof(int32_t));
	int64_t n = 0;

	if (!rows)
		return pgml_fail_nomem(t->env, "the scores");
	for (int64_t i = 0; i < t->n_train; i++)
		if (t->folds > 1 || t->fold[i] == 0)
			rows[n++] = t->train[i];
	PGML_TRY(init_scored(t, rows, n, &s));
	memset(s.p, 0, n * t->outputs * sizeof(double));
	for (int m = 0; m < n_models; m++)
	{
		double *p = s.p;

		for (int64_t i = 0; weight[m] > 0 && i < t->n_train; i++)
			if (t->folds > 1 || t->fold[i] == 0)
				for (int k = 0; k < t->outputs; k++)
					*p++ += weight[m] * models[m].oof[i * t->outputs + k];
	}
	t->result->score_is_validation = true;
	PGML_TRY(score_all(t, &s));
	t->result->baseline = baseline->trial->validation_score;
	if (t->options->champion)
		snprintf(t->result->champion_error, sizeof(t->result->champion_error),
				 "there are no test rows");
	return PGML_OK;
}

PgmlStatus
training_evaluate(Training *t, const TrialModel *models, const double *weight, int n_models,
				  const TrialModel *baseline)
{
	PgmlMember members[PGML_MAX_FOLDS * PGML_MAX_CANDIDATES];
	PgmlFit refitted = { 0 };
	int n = 0;
	PgmlStatus status;

	pgml_buf_init(&refitted.payload, t->env->budget);
	status = choose_members(t, models, weight, n_models, &refitted, members, &n);
	if (status == PGML_OK)
		status = encode_members(t, members, n, &t->result->image);
	pgml_buf_free(&refitted.payload);
	PGML_TRY(status);
	return t->n_test > 0 ? evaluate_on_test(t, baseline) :
						   evaluate_on_validation(t, models, weight, n_models, baseline);
}
