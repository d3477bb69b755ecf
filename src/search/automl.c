/*
 * automl.c - the training as a whole: prepare, try, choose, evaluate.
 */
#include "search/training.h"
#include "search/tuning.h"
#include "search/warm_plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Share of the time budget kept back for refitting and scoring. */
#define RESERVED_SHARE 0.07

/*
 * Another trial begins when there is this share of the time that the last one of its learner took, as what the deadline ends is a model, too; and
 * this share of the time budget.
 */
#define WORTH_BEGINNING 0.7
#define LEAST_SHARE     0.01

/* So many of the best models are expected to be fitted again, within this share of the time budget. */
#define MOST_REFITS      5
#define MOST_REFIT_SHARE 0.3

/* Share of the memory that is left which the models kept for the ensemble may take. */
#define KEPT_SHARE 0.5

/* What the end of a training may take beyond the deadline: of the time budget, and in any case. */
#define GRACE_SHARE   0.05
#define GRACE_SECONDS 0.5

void
training_notice(Training *t, bool warning, const char *fmt, ...)
{
	PgmlTrainResult *r = t->result;
	char text[1200];
	va_list args;

	if (r->n_notices >= PGML_MAX_NOTICES)
		return;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) >= (int) sizeof(text))
		text[pgml_clip_end(text, sizeof(text) - 1)] = '\0';
	va_end(args);
	r->notices[r->n_notices] = pgml_strdup(t->arena, text);
	if (!r->notices[r->n_notices])
		return;
	r->notice_is_warning[r->n_notices++] = warning;
}

double
training_grace(const Training *t)
{
	return GRACE_SHARE * t->options->time_budget + GRACE_SECONDS;
}

double
training_seconds_left(const Training *t)
{
	return t->env->deadline > 0 ? t->env->deadline - pgml_now() : 1e9;
}

/* The metric of the task, or the one that what models are asked to predict is best in. */
static const PgmlMetric *
default_metric(Training *t)
{
	if (t->quantile == 0)
		return pgml_metric_default(t->target.task);
	training_notice(t, false,
					t->quantile == 0.5 ? "the metric is mae, as the median is to be predicted" :
										 "the metric is pinball, as quantile %g is to be predicted",
					t->quantile);
	return pgml_metric_find(t->quantile == 0.5 ? "mae" : "pinball");
}

static PgmlStatus
choose_metric(Training *t)
{
	PgmlTrainResult *r = t->result;
	const char *name = t->options->metric;
	char list[400] = "";
	size_t used = 0;
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);
	PgmlStatus status;

	if (t->target.task == PGML_TASK_REGRESSION)
		t->quantile = training_quantile(t->options);
	t->pinball = pgml_metric_at(pgml_metric_find("pinball"), t->quantile);
	r->metric = name ? pgml_metric_find(name) : default_metric(t);
	if (r->metric && (r->metric->tasks & t->target.task))
	{
		r->metric = training_metric_for(t, r->metric);
		return PGML_OK;
	}
	for (int i = 0; i < n; i++)
		if (metrics[i].tasks & t->target.task)
			used += snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "",
							 metrics[i].name);
	status = pgml_fail(
		t->env->error, PGML_ERR_BADARG,
		r->metric ? "metric \"%.60s\" is not for this task" : "unknown metric \"%.60s\"", name);
	pgml_fail_hint(t->env->error, "The metrics of this task are %s.", list);
	return status;
}

/* The trials of a training; the models of the best ones are kept, best first. */
typedef struct Search
{
	Training *t;
	TrialModel baseline;
	TrialModel best[PGML_MAX_CANDIDATES + 1]; /* and one that has just come */
	int n_best;
	int tried; /* trials after the baseline */
} Search;

/* How many trials' models are kept. */
static int
wanted_models(const Training *t)
{
	int wanted = t->options->ensemble > 0 ? t->options->ensemble : PGML_MAX_CANDIDATES;

	return wanted < PGML_MAX_CANDIDATES ? wanted : PGML_MAX_CANDIDATES;
}

/*
 * Which of the best is given up: the last, but not the only one of its learner, which differs most from the others.  (Not
 * so for regression: far from the training rows the predictions of a worse, linear model know no bounds.)
 */
static int
choose_victim(const Search *s)
{
	if (s->t->target.task == PGML_TASK_REGRESSION)
		return s->n_best - 1;
	for (int m = s->n_best - 1; m > 0; m--)
		for (int other = 0; other < s->n_best; other++)
			if (other != m && s->best[other].trial->learner == s->best[m].trial->learner)
				return m;
	return s->n_best - 1;
}

/* Bytes of the payloads kept. */
static int64_t
kept_bytes(const Search *s)
{
	int64_t bytes = 0;

	for (int m = 0; m < s->n_best; m++)
		bytes += training_model_bytes(&s->best[m]);
	return bytes;
}

/* Are more models kept than may be, or more than leaves memory for other trials? */
static bool
keeps_too_much(const Search *s)
{
	int64_t left = pgml_budget_left(s->t->env->budget);
	double kept = (double) kept_bytes(s);

	if (s->n_best > wanted_models(s->t))
		return true;
	return s->n_best > 1 && left != INT64_MAX && kept > KEPT_SHARE * ((double) left + kept);
}

/* Seconds that it takes to fit the best models of a cross-validation again on all rows, if that is what they are for. */
static double
refit_seconds(const Search *s)
{
	double seconds = 0;

	for (int m = 0; s->t->folds > 1 && m < s->n_best && m < MOST_REFITS; m++)
		if (training_refits(s->t, s->best[m].trial->learner))
			seconds += training_refit_seconds(s->t, &s->best[m]);
	return fmin(seconds, MOST_REFIT_SHARE * s->t->options->time_budget);
}

/* Put a model in its place among the best; those too many are freed. */
static void
keep_best(Search *s, TrialModel *model)
{
	const PgmlMetric *metric = s->t->result->metric;
	int place = s->n_best;

	if ((model->trial->status != PGML_TRIAL_OK && model->trial->status != PGML_TRIAL_TIMEOUT) ||
		isnan(model->trial->validation_score))
	{
		training_free_model(model);
		return;
	}
	training_note_cost(s->t, model);
	while (place > 0 && pgml_metric_better(metric, model->trial->validation_score,
										   s->best[place - 1].trial->validation_score))
		place--;
	memmove(&s->best[place + 1], &s->best[place], (s->n_best - place) * sizeof(TrialModel));
	s->best[place] = *model;
	s->n_best++;
	while (keeps_too_much(s))
	{
		int victim = choose_victim(s);

		training_free_model(&s->best[victim]);
		s->n_best--;
		memmove(&s->best[victim], &s->best[victim + 1], (s->n_best - victim) * sizeof(TrialModel));
	}
	s->t->best = s->best[0].trial;
	s->t->refit_seconds = refit_seconds(s);
}

/* A trial that cannot be tried, recorded with the reason. */
static void
record_skipped(Training *t, const PgmlLearner *learner, const PgmlParams *params, const char *why)
{
	PgmlTrial *trial = &t->result->trials[t->result->n_trials];

	*trial = (PgmlTrial){ .number = ++t->result->n_trials,
						  .learner = learner,
						  .params = *params,
						  .source = t->source,
						  .source_model = t->source_model,
						  .status = PGML_TRIAL_SKIPPED,
						  .validation_score = NAN };
	snprintf(trial->error, sizeof(trial->error), "%s", why);
}

double
training_reserved_seconds(const Training *t, double seconds_per_row)
{
	return fmax(RESERVED_SHARE * t->options->time_budget,
				training_evaluation_seconds(t, seconds_per_row)) +
		   t->refit_seconds;
}

double
training_search_seconds(const Training *t, double seconds_per_row)
{
	return training_seconds_left(t) - training_reserved_seconds(t, seconds_per_row);
}

/* Seconds that a prediction of the best model takes, as far as it is known. */
static double
seconds_per_row(const Search *s)
{
	return s->n_best > 0 ? s->best[0].seconds_per_row : 0;
}

/*
 * What a setting takes in the end, as a share of its trial: a refit on all rows is waited for when the newest ones validated or one model is
 * wanted.  Where one part validates because time is short, models are refitted when there is time left after all.
 */
static double
refit_cost(const Training *t)
{
	if (t->folds > 1)
		return t->options->fast ? PGML_REFIT_COST / t->folds : 0;
	return (t->time || t->options->folds == 1 || t->options->fast) && !t->options->no_refit ?
			   PGML_REFIT_COST :
			   0;
}

/* Seconds that the last trial of the learner took; 0 when there was none. */
static double
last_seconds(const Training *t, const PgmlLearner *learner)
{
	for (int i = t->result->n_trials - 1; i >= 0; i--)
		if (t->result->trials[i].learner == learner && t->result->trials[i].fit_wall > 0)
			return t->result->trials[i].fit_wall;
	return 0;
}

double
training_trial_seconds(const Training *t, const PgmlLearner *learner, double seconds_per_row)
{
	if (t->options->time_budget <= 0)
		return 0;
	return training_search_seconds(t, seconds_per_row) * training_time_share(t, learner) /
		   (1 + refit_cost(t));
}

bool
training_worth_beginning(const Training *t, const PgmlLearner *learner, double seconds_per_row)
{
	const PgmlTrainOptions *o = t->options;

	if (o->time_budget <= 0)
		return true;
	return training_trial_seconds(t, learner, seconds_per_row) >
		   fmax(WORTH_BEGINNING * last_seconds(t, learner), LEAST_SHARE * o->time_budget);
}

PgmlStatus
training_admit(Training *t, const PgmlLearner *learner, const PgmlParams *params, int64_t kept,
			   TrialMemory *memory, const char **why)
{
	PgmlStatus status;

	*why = NULL;
	if (learner->needs_blas && !t->have_blas)
	{
		*why = "OpenBLAS is not installed";
		return PGML_OK;
	}
	status = training_plan_memory(t, learner, params, t->folds, kept, memory);
	if (status == PGML_ERR_CANCELLED)
		return status;
	if (status != PGML_OK || !memory->fits)
		*why = "it would need more memory than pgml_auto.max_memory allows";
	return PGML_OK;
}

/* Try settings with a share of the rows; what learned from a part of them is not kept. */
static PgmlStatus
try_setting(Search *s, const PgmlLearner *learner, const PgmlParams *params, double rows_share)
{
	Training *t = s->t;
	double seconds = training_trial_seconds(t, learner, seconds_per_row(s));
	TrialModel model;
	TrialMemory memory;
	const char *why;
	char step[100];
	PgmlStatus status;

	PGML_TRY(training_admit(t, learner, params, kept_bytes(s), &memory, &why));
	if (why != NULL)
	{
		record_skipped(t, learner, params, why);
		return PGML_OK;
	}
	snprintf(step, sizeof(step), "trial %d: %s", t->result->n_trials + 1, learner->name);
	pgml_progress(t->env, 0.1 + 0.7 * s->tried / (s->tried + 3.0), step);
	s->tried++;
	t->rows_share = rows_share;
	status = training_run_trial(t, learner, params, &memory, seconds, &model);
	t->rows_share = 1;
	if (status != PGML_OK || rows_share < 1)
	{
		training_free_model(&model);
		return status;
	}
	keep_best(s, &model);
	if (t->best != NULL)
		pgml_progress_best(t->env, t->result->metric->name, t->best->validation_score);
	return PGML_OK;
}

bool
training_may_go_on(const Training *t, int tried)
{
	const PgmlTrainOptions *o = t->options;

	return (o->max_trials <= 0 || tried < o->max_trials) && t->result->n_trials < PGML_MAX_TRIALS;
}

/* A metric that is undefined for the constant predictor could not tell one trial from another. */
static PgmlStatus
fail_undefined(Training *t)
{
	const PgmlMetric *metric = t->result->metric;
	int32_t *rows = pgml_array(t->arena, t->n_train, sizeof(int32_t));
	const char *other = t->target.task == PGML_TASK_REGRESSION ? "rmse" : "log_loss";
	PgmlStatus status;

	if (!rows)
		return pgml_fail_nomem(t->env, "the validation rows");
	status = pgml_fail(t->env->error, PGML_ERR_DATA,
					   "metric \"%s\" is not defined on the validation rows: %s", metric->name,
					   training_undefined(t, rows, training_validated(t, rows)));
	if (strcmp(metric->name, other) != 0)
		pgml_fail_hint(t->env->error, "Choose another metric, for example %s.", other);
	return status;
}

/* When not even the constant predictor can be had, its failure is the training's. */
static PgmlStatus
fail_baseline(const Training *t, const PgmlTrial *trial)
{
	PgmlStatus status =
		pgml_fail(t->env->error, trial->failure,
				  "not even the constant predictor could be fitted: %.200s", trial->error);

	if (status == PGML_ERR_LIMIT)
		pgml_fail_hint(t->env->error, "Raise pgml_auto.max_memory, or use fewer rows or columns.");
	return status;
}

/* The constant predictor, which gives the score that must be beaten. */
static PgmlStatus
run_baseline(Training *t, TrialModel *baseline)
{
	const TrialMemory memory = { .fits = true, .side_by_side = 1 };
	PgmlParams params;

	pgml_params_default(&pgml_learner_constant, &params);
	PGML_TRY(training_run_trial(t, &pgml_learner_constant, &params, &memory, 0, baseline));
	if (baseline->trial->status != PGML_TRIAL_OK)
		return fail_baseline(t, baseline->trial);
	training_note_cost(t, baseline);
	return isnan(baseline->trial->validation_score) ? fail_undefined(t) : PGML_OK;
}

/* TuningHost's functions. */
static PgmlStatus
try_tuned(void *arg, const PgmlLearner *learner, const PgmlParams *params, double rows_share)
{
	return try_setting(arg, learner, params, rows_share);
}

static bool
has_time(void *arg, const PgmlLearner *learner, double share)
{
	const Search *s = arg;
	double least = LEAST_SHARE * s->t->options->time_budget;

	if (share < 1)
		return training_trial_seconds(s->t, learner, seconds_per_row(s)) >= share * least;
	return training_worth_beginning(s->t, learner, seconds_per_row(s));
}

static bool
may_go_on(void *arg)
{
	const Search *s = arg;

	return training_may_go_on(s->t, s->tried);
}

/* History and the portfolio, then with what is left of time and trials the search of settings. */
static PgmlStatus
run_search(Search *s)
{
	const TuningHost host = {
		.arg = s, .try_setting = try_tuned, .has_time = has_time, .may_go_on = may_go_on
	};

	PGML_TRY(training_run_initial(s->t, &host));
	training_report_warm(s->t);
	s->t->source = PGML_SOURCE_SEARCH;
	return training_tune(s->t, &host, s->tried);
}

/* OpenBLAS is optional: what needs it is skipped with a warning, unless nothing else was asked for. */
static PgmlStatus
load_blas(Training *t)
{
	int n, wanting = 0, others = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		if (learners[i] != &pgml_learner_constant && training_selects(t->options, learners[i]))
			*(learners[i]->needs_blas ? &wanting : &others) += 1;
	if (wanting == 0)
		return PGML_OK;
	t->have_blas = pgml_blas_load(&t->blas, t->options->blas_library, t->env->error) == PGML_OK;
	if (t->have_blas)
		return PGML_OK;
	if (others == 0)
		return PGML_ERR_UNAVAILABLE;
	training_notice(t, true,
					"%s; learners that need it are skipped (install the package libopenblas0)",
					t->env->error->message);
	return PGML_OK;
}

/* A constant model is hardly what was asked for, unless it was: say why it is one. */
static void
report_constant(const Search *s)
{
	Training *t = s->t;
	int n, others = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		others +=
			learners[i] != &pgml_learner_constant && training_selects(t->options, learners[i]);
	if (others == 0)
		return;
	for (int i = 0; i < t->result->n_trials; i++)
	{
		const PgmlTrial *trial = &t->result->trials[i];

		if (trial->error[0] != '\0' && trial->learner != &pgml_learner_constant)
		{
			training_notice(t, true, "the model is a constant prediction; %s was not fitted: %s",
							trial->learner->name, trial->error);
			return;
		}
	}
	if (t->result->n_trials > 1)
		training_notice(t, true,
						"the model is a constant prediction: no algorithm predicts better");
	else
		training_notice(t, true,
						"the model is a constant prediction: time_budget left no time for "
						"another algorithm");
}

/* The best trials by validation, weighted; the baseline when nothing is better. */
static PgmlStatus
finish(Search *s)
{
	Training *t = s->t;
	TrialModel *models = s->best;
	int n = s->n_best;
	double weight[PGML_MAX_CANDIDATES] = { 1 };

	if (n == 0 || (training_selects(t->options, &pgml_learner_constant) &&
				   pgml_metric_better(t->result->metric, s->baseline.trial->validation_score,
									  models[0].trial->validation_score)))
	{
		models = &s->baseline;
		n = 1;
		report_constant(s);
	}
	if (n > 1)
		PGML_TRY(training_ensemble(t, models, n, s->baseline.trial->validation_score, weight));
	if (t->short_trials > 0)
		training_notice(
			t, true,
			"pgml_auto.max_memory ended %d trial%s early; with more of it the model may "
			"be better",
			t->short_trials, t->short_trials > 1 ? "s" : "");
	PGML_TRY(training_build_image(t, models, weight, n, &s->baseline));
	return training_evaluate(t, models, weight, n, &s->baseline);
}

PgmlStatus
training_open(Training *t)
{
	PGML_TRY(pgml_automl_check(t->options, t->env->error));
	PGML_TRY(training_prepare(t));
	PGML_TRY(training_check_task(t));
	PGML_TRY(training_check_settings(t));
	PGML_TRY(choose_metric(t));
	PGML_TRY(training_read_costs(t));
	PGML_TRY(load_blas(t));
	PGML_TRY(training_choose_folds(t));
	return training_prepare_scores(t);
}

PgmlStatus
training_start(Training *t, TrialModel *baseline)
{
	PGML_TRY(training_open(t));
	PGML_TRY(training_open_champion(t));
	PGML_TRY(training_describe_table(t));
	return run_baseline(t, baseline);
}

static PgmlStatus
train(Training *t, Search *s)
{
	PGML_TRY(training_start(t, &s->baseline));
	PGML_TRY(training_note_data(t));
	PGML_TRY(run_search(s));
	return finish(s);
}

void
training_fill_result(const Training *t)
{
	PgmlTrainResult *r = t->result;

	r->task = t->target.task;
	r->n_classes = t->target.n_classes;
	r->classes = t->target.classes;
	r->rows_total = t->table->nrows_total;
	r->rows_read = t->table->nrows;
	r->rows_no_target = t->target.n_missing;
	r->n_inputs = t->recipe.n_inputs;
	r->n_features = t->recipe.n_features;
}

PgmlStatus
training_init(PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options, PgmlArena *arena,
			  PgmlTrainResult *result, Training **training)
{
	Training *t = pgml_zalloc(arena, 1, sizeof(Training));

	memset(result, 0, sizeof(*result));
	pgml_buf_init(&result->image, env->budget);
	result->baseline = result->champion_score = result->predict_us = NAN;
	result->score = (PgmlScore){ .value = NAN, .low = NAN, .high = NAN };
	result->trials = pgml_zalloc(arena, PGML_MAX_TRIALS, sizeof(PgmlTrial));
	if (!t || !result->trials)
		return pgml_fail_nomem(env, "the training");
	*t = (Training){ .env = env,
					 .table = table,
					 .options = options,
					 .arena = arena,
					 .result = result,
					 .rows_share = 1 };
	t->started = pgml_now();
	if (options->time_budget > 0 && env->deadline == 0)
		env->deadline = t->started + options->time_budget;
	pgml_buf_init(&t->recipe_bytes, env->budget);
	*training = t;
	return PGML_OK;
}

PgmlStatus
pgml_automl(const PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options, PgmlArena *arena,
			PgmlTrainResult *result)
{
	PgmlEnv own = *env;
	Search s = { 0 };
	Training *t;
	PgmlStatus status;

	PGML_TRY(training_init(&own, table, options, arena, result, &t));
	s.t = t;
	status = train(t, &s);
	training_fill_result(t);
	training_free_model(&s.baseline);
	for (int m = 0; m < s.n_best; m++)
		training_free_model(&s.best[m]);
	pgml_buf_free(&t->recipe_bytes);
	if (status != PGML_OK)
		pgml_buf_free(&result->image);
	return status;
}
