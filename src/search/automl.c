/*
 * automl.c - the training as a whole: prepare, try, choose, evaluate.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Share of the time budget kept back for refitting and scoring. */
#define RESERVED_SHARE 0.1

/* Share of the time that a learner other than boosting may take. */
#define OTHERS_SHARE 0.15

/* Rounds that boosting typically takes, to estimate its memory. */
#define TYPICAL_ROUNDS 300

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
training_seconds_left(const Training *t)
{
	return t->env->deadline > 0 ? t->env->deadline - pgml_now() : 1e9;
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

	r->metric = name ? pgml_metric_find(name) : pgml_metric_default(t->target.task);
	if (r->metric && (r->metric->tasks & t->target.task))
		return PGML_OK;
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
	TrialModel best[PGML_MAX_CANDIDATES];
	int n_best;
	int tried;      /* trials after the baseline */
	double longest; /* wall seconds of the longest boosting trial */
} Search;

/* How many trials' models are kept. With one validation part only the best is: it is refitted. */
static int
wanted_models(const Training *t)
{
	int wanted = t->options->ensemble > 0 ? t->options->ensemble : PGML_MAX_CANDIDATES;

	if (t->folds == 1)
		return 1;
	return wanted < PGML_MAX_CANDIDATES ? wanted : PGML_MAX_CANDIDATES;
}

/* Put a model in its place among the best; the one that falls off the end is freed. */
static void
keep_best(Search *s, TrialModel *model)
{
	const PgmlMetric *metric = s->t->result->metric;
	int wanted = wanted_models(s->t);
	int place = s->n_best;

	if (model->trial->status != PGML_TRIAL_OK && model->trial->status != PGML_TRIAL_TIMEOUT)
		place = wanted;
	while (place > 0 && place <= s->n_best &&
		   pgml_metric_better(metric, model->trial->validation_score,
							  s->best[place - 1].trial->validation_score))
		place--;
	if (place >= wanted)
	{
		training_free_model(model);
		return;
	}
	if (s->n_best == wanted)
		training_free_model(&s->best[--s->n_best]);
	memmove(&s->best[place + 1], &s->best[place], (s->n_best - place) * sizeof(TrialModel));
	s->best[place] = *model;
	s->n_best++;
}

/* A trial that cannot be tried, recorded with the reason. */
static void
record_skipped(Training *t, const PgmlLearner *learner, const PgmlParams *params, const char *why)
{
	PgmlTrial *trial = &t->result->trials[t->result->n_trials];

	*trial = (PgmlTrial){ .number = ++t->result->n_trials,
						  .learner = learner,
						  .params = *params,
						  .status = PGML_TRIAL_SKIPPED,
						  .validation_score = NAN };
	snprintf(trial->error, sizeof(trial->error), "%s", why);
}

/*
 * Fitting would take more memory than is left: better not begin.  Rounds count as many as are typical, not as are
 * allowed: early stopping ends most fits, and the budget itself stops the rest.
 */
static bool
fits_in_memory(Training *t, const PgmlLearner *learner, const PgmlParams *params)
{
	PgmlDataset data;
	PgmlParams typical = *params;
	int side_by_side = t->folds > 1 ? pgml_pool_threads(t->env->pool) : 1;

	for (int i = 0; i < learner->n_params; i++)
		if (strcmp(learner->params[i].name, "n_estimators") == 0 && typical.v[i] > TYPICAL_ROUNDS)
			typical.v[i] = TYPICAL_ROUNDS;
	if (!learner->memory ||
		training_dataset(t, learner, params, t->train, t->n_train, NULL, 0, &data) != PGML_OK)
		return true;
	return learner->memory(&data, &typical) * side_by_side <= pgml_budget_left(t->env->budget);
}

static PgmlStatus
try_setting(Search *s, const PgmlLearner *learner, const PgmlParams *params)
{
	Training *t = s->t;
	TrialModel model;
	double left = training_seconds_left(t) - RESERVED_SHARE * t->options->time_budget;
	char step[100];
	PgmlStatus status;

	if (learner->needs_blas && !t->have_blas)
	{
		record_skipped(t, learner, params, "OpenBLAS is not installed");
		return PGML_OK;
	}
	if (!fits_in_memory(t, learner, params))
	{
		record_skipped(t, learner, params,
					   "it would need more memory than pgml_auto.max_memory allows");
		return PGML_OK;
	}
	snprintf(step, sizeof(step), "trial %d: %s", t->result->n_trials + 1, learner->name);
	pgml_progress(t->env, 0.1 + 0.7 * s->tried / (s->tried + 3.0), step);
	s->tried++;
	/* One part is followed by a refit, which takes about as long as the trial. */
	if (t->folds == 1)
		left *= 0.55;
	/* Boosting nearly always wins: the others may not take its time. */
	if (strcmp(learner->name, "gradient_boosting") != 0)
		left *= OTHERS_SHARE;
	status = training_run_trial(t, learner, params, t->options->time_budget > 0 ? left : 0, &model);
	if (status != PGML_OK)
	{
		training_free_model(&model);
		return status;
	}
	if (strcmp(learner->name, "gradient_boosting") == 0 && model.trial->fit_wall > s->longest)
		s->longest = model.trial->fit_wall;
	keep_best(s, &model);
	return PGML_OK;
}

/* True while another trial is allowed and has a chance to end in time. */
static bool
may_go_on(const Search *s)
{
	const PgmlTrainOptions *o = s->t->options;

	if (o->max_trials > 0 && s->tried >= o->max_trials)
		return false;
	if (s->t->result->n_trials >= PGML_MAX_TRIALS)
		return false;
	return o->time_budget <= 0 ||
		   training_seconds_left(s->t) >
			   RESERVED_SHARE * o->time_budget + 1.1 * s->longest * (s->t->folds == 1 ? 2 : 1);
}

/* The constant predictor, which gives the score that must be beaten. */
static PgmlStatus
run_baseline(Search *s)
{
	PgmlParams params;

	pgml_params_default(&pgml_learner_constant, &params);
	return training_run_trial(s->t, &pgml_learner_constant, &params, 0, &s->baseline);
}

static PgmlStatus
run_search(Search *s)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
	{
		PgmlParams params;

		if (learners[i] == &pgml_learner_constant ||
			!training_selects(s->t->options, learners[i]->name) ||
			!(learners[i]->tasks & s->t->target.task))
			continue;
		for (int j = 0; may_go_on(s) && training_portfolio(s->t, learners[i], j, &params); j++)
			PGML_TRY(try_setting(s, learners[i], &params));
	}
	return PGML_OK;
}

/* OpenBLAS is optional: what needs it is skipped with a warning, unless nothing else was asked for. */
static PgmlStatus
load_blas(Training *t)
{
	int n, wanting = 0, others = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		if (learners[i] != &pgml_learner_constant &&
			training_selects(t->options, learners[i]->name))
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

/* Mark the trials that predict; the model is called by their learner, or an ensemble when they differ. */
static void
name_algorithm(Training *t, const TrialModel *models, const double *weight, int n)
{
	t->result->algorithm = models[0].trial->learner->name;
	for (int m = 0; m < n; m++)
	{
		if (weight[m] <= 0)
			continue;
		models[m].trial->chosen = true;
		if (models[m].trial->learner != models[0].trial->learner)
			t->result->algorithm = "ensemble";
	}
}

/* A constant model is hardly what was asked for, unless it was: say why it is one. */
static void
report_constant(const Search *s)
{
	Training *t = s->t;
	int n, others = 0;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		others += learners[i] != &pgml_learner_constant &&
				  training_selects(t->options, learners[i]->name);
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

/* The best trials by validation, weighted; the baseline when nothing is better. */
static PgmlStatus
finish(Search *s)
{
	Training *t = s->t;
	TrialModel *models = s->best;
	int n = s->n_best;
	double weight[PGML_MAX_CANDIDATES] = { 1 };

	if (s->baseline.trial->status != PGML_TRIAL_OK)
		return fail_baseline(t, s->baseline.trial);
	if (n == 0 || (training_selects(t->options, "constant") &&
				   pgml_metric_better(t->result->metric, s->baseline.trial->validation_score,
									  models[0].trial->validation_score)))
	{
		models = &s->baseline;
		n = 1;
		report_constant(s);
	}
	if (n > 1)
		PGML_TRY(training_ensemble(t, models, n, weight));
	name_algorithm(t, models, weight, n);
	return training_evaluate(t, models, weight, n, &s->baseline);
}

static PgmlStatus
train(Training *t, Search *s)
{
	PGML_TRY(pgml_automl_check(t->options, t->env->error));
	PGML_TRY(training_prepare(t));
	PGML_TRY(choose_metric(t));
	PGML_TRY(load_blas(t));
	PGML_TRY(training_choose_folds(t));
	PGML_TRY(run_baseline(s));
	PGML_TRY(run_search(s));
	return finish(s);
}

/* What is known of the data, for the result. */
static void
fill_result(const Training *t)
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
pgml_automl(const PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options, PgmlArena *arena,
			PgmlTrainResult *result)
{
	Training *t = pgml_zalloc(arena, 1, sizeof(Training));
	Search s = { .t = t };
	PgmlEnv own = *env;
	PgmlStatus status;

	memset(result, 0, sizeof(*result));
	pgml_buf_init(&result->image, env->budget);
	result->baseline = result->champion_score = NAN;
	result->score = (PgmlScore){ .value = NAN, .low = NAN, .high = NAN };
	result->trials = pgml_zalloc(arena, PGML_MAX_TRIALS, sizeof(PgmlTrial));
	if (!t || !result->trials)
		return pgml_fail_nomem(env, "the training");
	*t = (Training){
		.env = &own, .table = table, .options = options, .arena = arena, .result = result
	};
	t->started = pgml_now();
	if (options->time_budget > 0 && own.deadline == 0)
		own.deadline = t->started + options->time_budget;
	pgml_buf_init(&t->recipe_bytes, env->budget);

	status = train(t, &s);
	fill_result(t);
	training_free_model(&s.baseline);
	for (int m = 0; m < s.n_best; m++)
		training_free_model(&s.best[m]);
	pgml_buf_free(&t->recipe_bytes);
	if (status != PGML_OK)
		pgml_buf_free(&result->image);
	return status;
}
