/*
 * plan.c - what a training would do, without doing it.
 *
 * The training is begun as it always is; then its own loop over history and the portfolio runs with a host that notes a setting instead of fitting it, and
 * moves the deadline by the time the setting may take, so that whatever is decided by the time left is decided as it would be then.
 */
#include "search/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "search/tuning.h"
#include "search/warm_plan.h"

/* Columns that are left out and listed; names that are. */
#define MOST_LISTED 40
#define LIST_BYTES  600

/* Without a time budget boosting is probed as with this one. */
#define PROBED_BUDGET 60

typedef struct Planner
{
	Training *t;
	PgmlEnv *env; /* the training's, whose deadline moves */
	PgmlPlan *plan;
	double started;
	int tried;
	double seconds;   /* of all steps so far, as far as they are known */
	int64_t payloads; /* bytes of models that are kept */
	int64_t peak;
	bool failed;         /* memory */
	PgmlPlanStep beyond; /* what comes after the last one */
} Planner;

static PgmlPlanStep *add(Planner *p, const char *step, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Add a step, with seconds and bytes to be filled in; beyond the last one steps are not kept. */
static PgmlPlanStep *
add(Planner *p, const char *step, const char *what, const char *fmt, ...)
{
	char text[1200];
	PgmlPlanStep *s;
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) >= (int) sizeof(text))
		text[pgml_clip_end(text, sizeof(text) - 1)] = '\0';
	va_end(args);
	if (p->plan->n_steps == PGML_MAX_PLAN_STEPS)
		return &p->beyond;
	s = &p->plan->steps[p->plan->n_steps++];
	*s = (PgmlPlanStep){ .step = step,
						 .what = what != NULL ? pgml_strdup(p->t->arena, what) : NULL,
						 .detail = pgml_strdup(p->t->arena, text),
						 .seconds = NAN,
						 .bytes = -1 };
	p->failed |= s->detail == NULL || (what != NULL && s->what == NULL);
	return s;
}

static void
take_note(Planner *p, int64_t bytes)
{
	if (bytes > p->peak)
		p->peak = bytes;
}

/* Bytes in use now. */
static int64_t
bytes_used(const Planner *p)
{
	const PgmlBudget *budget = p->t->env->budget;

	return budget != NULL ? atomic_load(&budget->used) : 0;
}

/* ---- what is known of the data ---- */

static void
plan_data(Planner *p, int64_t bytes)
{
	const PgmlTable *table = p->t->table;
	PgmlPlanStep *s;

	if (table->nrows_total > table->nrows)
		s = add(
			p, "data", p->plan->source,
			"%lld of %lld rows, %d columns: a sample, as much as pgml_auto.max_memory has room for",
			(long long) table->nrows, (long long) table->nrows_total, table->ncols);
	else
		s = add(p, "data", p->plan->source, "%lld rows, %d columns", (long long) table->nrows,
				table->ncols);
	s->seconds = p->plan->read_seconds;
	s->bytes = bytes;
}

static void
plan_target(Planner *p)
{
	const Training *t = p->t;
	char classes[LIST_BYTES] = "";
	size_t used = 0;

	for (int k = 0; t->target.classes && k < t->target.n_classes && used < sizeof(classes) - 80;
		 k++)
		used += snprintf(classes + used, sizeof(classes) - used, "%s%.*s", k > 0 ? ", " : ": ",
						 pgml_shown(t->target.classes[k], 60), t->target.classes[k]);
	add(p, "target", t->options->target, "%s%s%s; %lld rows have it",
		t->target.task == PGML_TASK_REGRESSION ? "a number: regression" :
		t->target.task == PGML_TASK_BINARY     ? "two classes" :
												 "several classes",
		t->target.task == PGML_TASK_REGRESSION ? "" : classes,
		used >= sizeof(classes) - 80 ? ", ..." : "",
		(long long) (t->table->nrows - t->target.n_missing));
}

/* The columns that features are made of; those that are left out, with the reason; and those that may leak. */
static void
plan_columns(Planner *p)
{
	const Training *t = p->t;
	const PgmlTrainResult *r = t->result;
	char names[LIST_BYTES] = "";
	size_t used = 0;
	int n_used = 0, n_out = 0;

	for (int32_t i = 0; i < t->recipe.n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(&t->recipe, i);

		if (!input.used)
			continue;
		if (used < sizeof(names) - 80)
			used += snprintf(names + used, sizeof(names) - used, "%s%.*s", n_used > 0 ? ", " : "",
							 pgml_shown(input.name, 63), input.name);
		n_used++;
	}
	add(p, "features", NULL, "%d from %d columns: %s%s", t->recipe.n_features, n_used, names,
		used >= sizeof(names) - 80 ? ", ..." : "");
	for (int32_t i = 0; i < t->recipe.n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(&t->recipe, i);
		char words[160];

		if (input.used || i == t->target_col || n_out++ >= MOST_LISTED)
			continue;
		pgml_recipe_describe(&t->recipe, i, words, sizeof(words));
		add(p, "left out", input.name, "%s", words);
	}
	if (n_out > MOST_LISTED)
		add(p, "left out", NULL, "and %d more columns", n_out - MOST_LISTED);
	for (int i = 0; i < r->n_leaks; i++)
		add(p, "suspect", t->table->cols[r->leaks[i].source].name,
			"looks as if it leaks the target: %s", r->leaks[i].why);
}

static void
plan_rows(Planner *p)
{
	const Training *t = p->t;

	if (t->n_test == 0)
		add(p, "test rows", NULL, "none of %lld: the score will be that of validation",
			(long long) t->n_train);
	else
		add(p, "test rows", NULL, "%lld of %lld, %s", (long long) t->n_test,
			(long long) (t->n_test + t->n_train),
			t->time  ? "the newest ones" :
			t->group ? "whole groups" :
					   "chosen by chance, once for all versions");
}

static void
plan_validation(Planner *p, const PgmlTrial *baseline)
{
	const Training *t = p->t;
	const PgmlMetric *metric = t->result->metric;
	int64_t n = 0;

	add(p, "metric", metric->name, "%s; %s is better; a constant prediction has %.5g",
		t->options->metric ? "as asked for" : "as is usual for the task",
		metric->higher_is_better ? "more" : "less", baseline->validation_score);
	for (int64_t i = 0; i < t->n_train; i++)
		n += t->folds == 1 && t->fold[i] == 0;
	if (t->folds > 1)
		add(p, "validation", "folds", "%d, each of which validates once: %s", t->folds,
			t->folds_why);
	else
		add(p, "validation", "one part", "%lld of %lld training rows: %s", (long long) n,
			(long long) t->n_train, t->folds_why);
}

/* What the probe has found. */
static void
plan_speed(Planner *p)
{
	const Training *t = p->t;
	const struct
	{
		const PgmlLearner *learner;
		double seconds;
	} speeds[] = {
		{ &pgml_learner_gradient_boosting, t->seconds_per_round },
		{ &pgml_learner_oblivious_boosting, t->seconds_per_oblivious_round },
	};
	PgmlPlanStep *s;

	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
		if (speeds[i].seconds > 0)
			add(p, "speed", speeds[i].learner->name,
				"%.3g milliseconds a tree on all training rows with one thread, now",
				1000 * speeds[i].seconds);
	s = add(p, "preparation", NULL, "features, speed and the constant prediction, as it took now");
	s->seconds = pgml_now() - p->started;
	s->bytes = bytes_used(p);
	p->seconds = s->seconds + p->plan->read_seconds;
}

/* ---- what would be tried ---- */

/* Settings that are not the learner's defaults. */
static void
write_settings(const PgmlLearner *learner, const PgmlParams *params, char *out, size_t size)
{
	PgmlParams defaults;
	size_t used = 0;

	pgml_params_default(learner, &defaults);
	out[0] = '\0';
	for (int i = 0; i < learner->n_params && used < size - 60; i++)
	{
		const PgmlParam *param = &learner->params[i];
		size_t len;
		const char *word = pgml_param_word(param, params->v[i], &len);

		if (params->v[i] == defaults.v[i])
			continue;
		used += snprintf(out + used, size - used, "%s%s ", used > 0 ? ", " : "", param->name);
		if (word != NULL)
			used += snprintf(out + used, size - used, "%.*s", (int) len, word);
		else if (param->type == PGML_PARAM_BOOL)
			used += snprintf(out + used, size - used, params->v[i] != 0 ? "true" : "false");
		else
			used += snprintf(out + used, size - used, "%.4g", params->v[i]);
	}
	if (used == 0)
		snprintf(out, size, "defaults");
}

/* Let time pass for whoever asks how much is left; what is not known counts as nothing. */
static void
spend(Planner *p, double seconds)
{
	if (isnan(seconds))
		return;
	if (p->env->deadline > 0)
		p->env->deadline -= seconds;
	p->seconds += seconds;
}

/* Seconds of a trial, at most: those it may take, or fewer when its learner's speed is known; NaN: neither. */
static double
trial_seconds(const Planner *p, const PgmlLearner *learner, const PgmlParams *params)
{
	double most = training_trial_seconds(p->t, learner, 0);
	double expected = training_expected_seconds(p->t, learner, params);

	return p->t->options->time_budget <= 0 ? expected :
		   isnan(expected)                 ? most :
											 fmin(most, expected);
}

/* A setting is noted as the trial it would be, so that the loop over the portfolio sees it. */
static PgmlStatus
note_setting(void *arg, const PgmlLearner *learner, const PgmlParams *params, double rows_share)
{
	Planner *p = arg;
	Training *t = p->t;
	PgmlTrial *trial;
	TrialMemory memory;
	PgmlPlanStep *s;
	const char *why;
	char settings[700];

	(void) rows_share;
	PGML_TRY(training_admit(t, learner, params, p->payloads, &memory, &why));
	write_settings(learner, params, settings, sizeof(settings));
	trial = &t->result->trials[t->result->n_trials];
	*trial = (PgmlTrial){ .number = ++t->result->n_trials,
						  .learner = learner,
						  .params = *params,
						  .source = t->source,
						  .source_model = t->source_model,
						  .validation_score = NAN };
	if (why != NULL)
	{
		add(p, "not tried", learner->name, "%s", why);
		return PGML_OK;
	}
	if (t->source == PGML_SOURCE_OWN)
		s = add(p, "trial", learner->name, "from version %d: %s", training_own_version(t),
				settings);
	else
		s = add(p, "trial", learner->name, "%s%s",
				t->source == PGML_SOURCE_SIMILAR ? "from a model of a similar table: " : "",
				settings);
	s->seconds = trial_seconds(p, learner, params);
	s->bytes = memory.bytes;
	take_note(p, bytes_used(p) + p->payloads + memory.bytes);
	p->payloads += t->folds * memory.payload;
	trial->fit_wall = isnan(s->seconds) ? 0 : s->seconds;
	spend(p, s->seconds);
	p->tried++;
	return PGML_OK;
}

static bool
has_time(void *arg, const PgmlLearner *learner, double share)
{
	const Planner *p = arg;

	(void) share;
	return training_worth_beginning(p->t, learner, 0);
}

static bool
may_go_on(void *arg)
{
	const Planner *p = arg;

	return training_may_go_on(p->t, p->tried);
}

/* Learners that a portfolio would have and that do not suit the table. */
static void
plan_unsuited(Planner *p)
{
	const Training *t = p->t;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	for (int i = 0; i < n; i++)
		if (learners[i] != &pgml_learner_constant && training_selects(t->options, learners[i]) &&
			(learners[i]->tasks & t->target.task) && !training_wants(t, learners[i]))
			add(p, "not tried", learners[i]->name,
				"not for tables of this size, unless algorithms names it");
}

/* The search for settings, before or instead of a portfolio. */
static void
plan_search(Planner *p)
{
	const Training *t = p->t;
	const PgmlTrainOptions *o = t->options;
	const char *strategy = training_strategy_name(o);
	double seconds = o->time_budget > 0 ? fmax(training_search_seconds(t, 0), 0) : NAN;
	char names[LIST_BYTES] = "the best of the algorithms above";
	size_t used = 0;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);
	PgmlPlanStep *s;

	if (!training_tunes(o, p->tried))
		return;
	for (int i = 0; training_search_alone(o) && i < n && used < sizeof(names) - 60; i++)
		if (training_searches(t, learners[i]))
			used += snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "",
							 learners[i]->name);
	if (o->max_trials > 0)
		s = add(p, "search", strategy, "settings of %s, %d more trials", names,
				o->max_trials - p->tried);
	else
		s = add(p, "search", strategy, "settings of %s, %s", names,
				o->time_budget > 0 ? "in the time that is left" : "until its space is exhausted");
	s->seconds = seconds;
	spend(p, seconds);
}

/* ---- how it would end ---- */

static void
plan_model(Planner *p)
{
	const Training *t = p->t;
	const PgmlTrainOptions *o = t->options;
	int most = training_most_models(o);

	if (most == 1)
		add(p, "ensemble", NULL, "none: the best trial alone, as asked for");
	else
		add(p, "ensemble", NULL,
			"up to %d trials that validate best together, whose predictions take at most %g "
			"microseconds a row",
			most, training_max_predict_us(t));
	if (training_refits(t, &pgml_learner_gradient_boosting))
		add(p, "refit", NULL, "the chosen settings are fitted again on all %lld training rows",
			(long long) t->n_train);
	else if (t->folds > 1)
		add(p, "refit", NULL, "none: the models of all %d folds predict together", t->folds);
	else
		add(p, "refit", NULL, "none: the models that were validated predict, as asked for");
	if (t->decision.n_classes > 0)
		add(p, "decision", NULL, "the class of least expected cost, by cost_matrix");
	else if (training_tunes_threshold(t))
		add(p, "decision", t->result->metric->name,
			"a threshold is learned from the rows that validate");
	add(p, "calibration", t->target.task == PGML_TASK_REGRESSION ? "intervals" : "sets of classes",
		"%s",
		t->n_test > 0 ? "from the errors on the test rows" :
						"from the errors on the rows that validate");
}

static void
plan_evaluation(Planner *p)
{
	const Training *t = p->t;
	const PgmlTrainResult *r = t->result;
	PgmlPlanStep *s;

	s = add(p, "evaluation", t->n_test > 0 ? "test rows" : "validation",
			"all metrics with their intervals%s%s%s",
			t->n_test > 0 ? ", and the importance of columns" : "",
			t->champion != NULL          ? "; the deployed version on the same rows" :
			r->champion_error[0] != '\0' ? "; the deployed version cannot be scored: " :
										   "",
			t->champion != NULL ? "" : r->champion_error);
	if (t->options->time_budget > 0)
		s->seconds = training_reserved_seconds(t, 0);
	spend(p, s->seconds);
}

static void
plan_total(Planner *p)
{
	const Training *t = p->t;
	const double mb = 1024 * 1024;
	int64_t limit = t->env->budget != NULL ? t->env->budget->limit : 0;
	int threads = pgml_pool_threads(t->env->pool);
	char memory[60] = "";
	PgmlPlanStep *s;

	take_note(p, bytes_used(p));
	if (limit > 0)
		snprintf(memory, sizeof(memory), "; about %.0f of %.0f MB of memory",
				 ceil((double) p->peak / mb), (double) limit / mb);
	s = add(p, "total", NULL, "%s, with %d thread%s%s",
			t->options->time_budget > 0 ? "at most; what a step does not use is left to the next" :
										  "without a time budget, as far as speeds are known",
			threads, threads > 1 ? "s" : "", memory);
	s->seconds = p->seconds;
	s->bytes = p->peak;
}

/* Without a time budget nothing is decided by speed, so the training itself has not looked at it. */
static PgmlStatus
probe_anyway(Training *t)
{
	PgmlStatus status;

	if (t->options->time_budget > 0)
		return PGML_OK;
	t->options->time_budget = PROBED_BUDGET;
	status = training_probe_speed(t);
	t->options->time_budget = 0;
	return status;
}

static PgmlStatus
make(Planner *p, TrialModel *baseline)
{
	Training *t = p->t;
	const TuningHost host = {
		.arg = p, .try_setting = note_setting, .has_time = has_time, .may_go_on = may_go_on
	};
	int64_t table = bytes_used(p);

	PGML_TRY(training_start(t, baseline));
	PGML_TRY(probe_anyway(t));
	plan_data(p, table);
	plan_target(p);
	plan_columns(p);
	plan_rows(p);
	plan_validation(p, baseline->trial);
	plan_speed(p);
	plan_unsuited(p);
	PGML_TRY(training_run_initial(t, &host));
	plan_search(p);
	plan_model(p);
	plan_evaluation(p);
	plan_total(p);
	return p->failed ? pgml_fail_nomem(t->env, "the plan") : PGML_OK;
}

PgmlStatus
pgml_plan(const PgmlEnv *env, const PgmlTable *table, const PgmlTrainOptions *options,
		  PgmlArena *arena, PgmlTrainResult *result, PgmlPlan *plan)
{
	PgmlEnv own = *env;
	PgmlTrainOptions own_options = *options;
	TrialModel baseline = { 0 };
	Planner p = { .env = &own, .plan = plan, .started = pgml_now() };
	PgmlStatus status;

	plan->n_steps = 0;
	plan->steps = pgml_array(arena, PGML_MAX_PLAN_STEPS, sizeof(PgmlPlanStep));
	PGML_TRY(training_init(&own, table, &own_options, arena, result, &p.t));
	status = plan->steps != NULL ? make(&p, &baseline) : pgml_fail_nomem(env, "the plan");
	training_fill_result(p.t);
	training_free_model(&baseline);
	pgml_buf_free(&p.t->recipe_bytes);
	return status;
}
