/*
 * members.c - the members of the final model, and its image.
 *
 * Wanted are all folds' models of the trials with a weight; or one model of each, refitted on all training rows: with one
 * validation part or few folds, in mode fast, and of learners whose folds' models are alike and slow (knn).  What does not fit into the time or
 * the memory that is left is done without: the trial of least weight, then half of the last trial's folds; when memory has no
 * room for even one, the next trial is tried, and the constant predictor last.  So a training that has a model never fails for want of memory here.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#include "model/image.h"

/* Models of so few folds have seen too few rows: those of all training rows are better than their mean. */
#define FEW_FOLDS 3

/* Why a model is taken out again. */
#define NO_MEMORY "pgml_auto.max_memory left no room for it"
#define NO_TIME   "time_budget left no time for its predictions of the test rows"
#define TOO_SLOW  "predictions would take longer than max_predict_us"
#define TOO_MANY  "an image has no room for so many models"

/* What is to be in the image. */
typedef struct Choice
{
	TrialModel *models;
	int n_models;
	double weight[PGML_MAX_CANDIDATES];
	int folds[PGML_MAX_CANDIDATES];            /* the first ones of each model with a weight */
	const char *given_up[PGML_MAX_CANDIDATES]; /* why a model has no weight any more */
} Choice;

double
training_evaluation_seconds(const Training *t, double seconds_per_row)
{
	double threads = pgml_pool_threads(t->env->pool);

	return t->other_seconds + (double) t->n_test * seconds_per_row / threads;
}

/* Fit the winner's settings on all training rows; what is repeated has its bound of the payload already. */
static PgmlStatus
refit(Training *t, TrialModel *winner, PgmlFit *fit)
{
	const PgmlLearner *learner = winner->trial->learner;
	PgmlParams params = winner->trial->params;
	PgmlEnv env = *t->env;
	TrialMemory memory;
	PgmlDataset data;

	training_set(learner, &params, "early_stopping_round", 0);
	if (winner->trial->best_iteration > 0)
	{
		training_set(learner, &params, "n_estimators", winner->trial->best_iteration);
		training_set(learner, &params, "path_position", winner->trial->best_iteration);
	}
	if (env.deadline > 0)
		env.deadline -= training_evaluation_seconds(t, winner->seconds_per_row);
	env.clock = &winner->refit_clock;
	PGML_TRY(training_plan_memory(t, learner, &params, 1, 0, &memory));
	PGML_TRY(training_dataset(t, learner, &params, t->train, t->n_train, NULL, 0, &data));
	if (t->repeats == NULL)
		winner->refit_max_payload = memory.max_payload;
	data.max_payload = winner->refit_max_payload;
	if (memory.frugal)
		env.pool = NULL;
	pgml_progress(t->env, 0.9, "fitting the best setting on all training rows");
	PGML_TRY(learner->fit(&env, &data, &params, fit));
	return training_check_payload(t, learner, &fit->payload, t->env->error);
}

bool
training_refits(const Training *t, const PgmlLearner *learner)
{
	if (learner == &pgml_learner_constant || learner == &pgml_learner_knn || t->options->fast)
		return true;
	if (t->folds > 1 && learner == &pgml_learner_mlp)
		return false; /* the mean of networks that began differently is better than one of more rows */
	if (t->folds > 1 && t->options->folds > 0)
		return false;
	return t->folds <= FEW_FOLDS && !t->options->no_refit;
}

double
training_refit_seconds(const Training *t, const TrialModel *model)
{
	double threads = pgml_pool_threads(t->env->pool);
	double at_once = model->n_fits < threads ? model->n_fits : threads;

	return PGML_REFIT_COST * model->trial->fit_wall * at_once / model->n_fits;
}

/* Refitting needs the time that a part of the trial took. */
static bool
worth_refitting(const Training *t, const TrialModel *winner)
{
	if (winner->trial->learner == &pgml_learner_constant)
		return true;
	if (!training_refits(t, winner->trial->learner))
		return false;
	return training_seconds_left(t) > training_refit_seconds(t, winner) +
										  training_evaluation_seconds(t, winner->seconds_per_row);
}

/* The refitted model takes the place of the fold's, when there is one. */
static PgmlStatus
try_refitting(Training *t, TrialModel *winner)
{
	PgmlFit refitted = { 0 };
	PgmlStatus status;

	if (!worth_refitting(t, winner))
		return PGML_OK;
	pgml_buf_init(&refitted.payload, t->env->budget);
	status = refit(t, winner, &refitted);
	if (status == PGML_OK && !refitted.out_of_time && !refitted.out_of_memory)
	{
		for (int f = 0; f < winner->n_fits; f++)
			pgml_buf_free(&winner->fit[f].payload);
		winner->seconds_per_row /= winner->n_fits;
		winner->fit[0] = refitted;
		winner->n_fits = 1;
		winner->refitted = true;
		return PGML_OK;
	}
	pgml_buf_free(&refitted.payload);
	if (status == PGML_ERR_CANCELLED)
		return status;
	if (status != PGML_OK && !pgml_is_memory(status))
		training_notice(t, true, "trial %d (%s) is not fitted again on all training rows: %s",
						winner->trial->number, winner->trial->learner->name,
						t->env->error->message);
	return PGML_OK;
}

/* Refit the models with a weight, those that count most first. */
static PgmlStatus
refit_members(Training *t, Choice *c)
{
	bool done[PGML_MAX_CANDIDATES] = { false };

	for (;;)
	{
		int next = -1;

		for (int m = 0; m < c->n_models; m++)
			if (!done[m] && c->weight[m] > 0 && (next < 0 || c->weight[m] > c->weight[next]))
				next = m;
		if (next < 0)
			return PGML_OK;
		done[next] = true;
		PGML_TRY(try_refitting(t, &c->models[next]));
	}
}

/* ---- doing with less ---- */

/* Models with a weight, and the last of those with the least. */
static int
count_models(const Choice *c, int *least)
{
	int n = 0;

	*least = -1;
	for (int m = 0; m < c->n_models; m++)
	{
		if (c->weight[m] <= 0)
			continue;
		n++;
		if (*least < 0 || c->weight[m] <= c->weight[*least])
			*least = m;
	}
	return n;
}

/* Take out the model of least weight, or half the folds of the only one; false when there is but one fold. */
static bool
reduce(Choice *c, const char *why)
{
	int least;
	double rest;

	if (count_models(c, &least) > 1)
	{
		rest = 1 - c->weight[least];
		c->weight[least] = 0;
		c->given_up[least] = why;
		for (int m = 0; m < c->n_models; m++)
			c->weight[m] /= rest;
		return true;
	}
	if (c->folds[least] <= 1)
		return false;
	c->folds[least] /= 2;
	return true;
}

/* After the last fold of a model: the first fold of the next one; false when there is none. */
static bool
next_model(Choice *c)
{
	int last;

	count_models(c, &last);
	c->weight[last] = 0;
	c->given_up[last] = NO_MEMORY;
	if (last + 1 >= c->n_models)
		return false;
	c->weight[last + 1] = 1;
	c->folds[last + 1] = 1;
	return true;
}

/* Free the payloads that no later choice can want: all but the chosen ones and the first folds of later models. */
static void
free_others(Choice *c)
{
	int last;

	count_models(c, &last);
	for (int m = 0; m < c->n_models; m++)
	{
		int wanted = c->weight[m] > 0 ? c->folds[m] : m > last ? 1 : 0;

		for (int f = wanted; f < c->models[m].n_fits; f++)
			pgml_buf_free(&c->models[m].fit[f].payload);
	}
}

/* Seconds per row of the choice. */
static double
choice_seconds(const Choice *c)
{
	double seconds = 0;

	for (int m = 0; m < c->n_models; m++)
		if (c->weight[m] > 0)
			seconds += c->models[m].seconds_per_row * c->folds[m] / c->models[m].n_fits;
	return seconds;
}

/* Leave out what cannot be evaluated in time. */
static void
fit_into_time(Training *t, Choice *c)
{
	double allowed = fmax(training_seconds_left(t), 0) + training_grace(t);

	if (t->options->time_budget <= 0)
		return;
	while (training_evaluation_seconds(t, choice_seconds(c)) > allowed && reduce(c, NO_TIME))
		;
}

/* Members of the choice. */
static int
count_members(const Choice *c)
{
	int n = 0;

	for (int m = 0; m < c->n_models; m++)
		n += c->weight[m] > 0 ? c->folds[m] : 0;
	return n;
}

/* Nanoseconds per row of the choice, estimated. */
static double
choice_ns(const Training *t, const Choice *c)
{
	double ns = 0;

	for (int m = 0; m < c->n_models; m++)
		if (c->weight[m] > 0)
			ns += training_predict_ns(t, &c->models[m]) * c->folds[m] / c->models[m].n_fits;
	return ns;
}

/* Leave out what an image has no room for, and with what predictions would take longer than they may. */
static void
fit_into_bounds(const Training *t, Choice *c)
{
	double most = 1000 * training_max_predict_us(t);

	while (choice_ns(t, c) > most && reduce(c, TOO_SLOW))
		;
	while (count_members(c) > PGML_MAX_MEMBERS && reduce(c, TOO_MANY))
		;
}

/* ---- the image ---- */

static PgmlStatus
encode(Training *t, const Choice *c, PgmlBuf *out)
{
	PgmlMember members[PGML_MAX_MEMBERS];
	PgmlImageSpec spec = { .task = t->target.task,
						   .n_classes = t->target.n_classes,
						   .classes = t->target.classes,
						   .target = t->options->target,
						   .metric = t->result->metric->name,
						   .recipe = t->recipe_bytes.data,
						   .recipe_len = t->recipe_bytes.len,
						   .members = members };

	if (t->target.task == PGML_TASK_REGRESSION)
		spec.classes = NULL;
	for (int m = 0; m < c->n_models; m++)
		for (int f = 0; c->weight[m] > 0 && f < c->folds[m]; f++)
			members[spec.n_members++] =
				(PgmlMember){ .learner = c->models[m].trial->learner,
							  .weight = c->weight[m] / c->folds[m],
							  .payload = c->models[m].fit[f].payload.data,
							  .payload_len = c->models[m].fit[f].payload.len };
	return pgml_image_encode(t->env, &spec, out);
}

/* Encode the choice, or what memory leaves of it. */
static PgmlStatus
encode_what_fits(Training *t, Choice *c, bool *reduced)
{
	PgmlStatus status = encode(t, c, &t->result->image);

	while (pgml_is_memory(status))
	{
		pgml_buf_free(&t->result->image);
		if (!reduce(c, NO_MEMORY) && !next_model(c))
			return status;
		*reduced = true;
		free_others(c);
		status = encode(t, c, &t->result->image);
	}
	return status;
}

/* Mark the trials that predict, with what they cost; the model is called by their learner, or an ensemble when they differ. */
static void
name_algorithm(Training *t, const Choice *c)
{
	const PgmlLearner *first = NULL;

	for (int m = 0; m < c->n_models; m++)
	{
		PgmlTrial *trial = c->models[m].trial;
		TrialModel used;

		trial->chosen = c->weight[m] > 0;
		trial->weight = c->weight[m];
		if (!trial->chosen)
			continue;
		used = c->models[m];
		used.n_fits = c->folds[m];
		trial->predict_us = training_predict_ns(t, &used) / 1000;
		trial->bytes = training_model_bytes(&used);
		if (first == NULL)
			t->result->algorithm = trial->learner->name;
		else if (trial->learner != first)
			t->result->algorithm = "ensemble";
		first = first ? first : trial->learner;
	}
}

PgmlStatus
training_build_image(Training *t, TrialModel *models, double *weight, int n_models,
					 TrialModel *baseline)
{
	Choice c = { .models = models, .n_models = n_models };
	bool reduced = false;
	PgmlStatus status;

	memcpy(c.weight, weight, n_models * sizeof(double));
	if (models != baseline)
		PGML_TRY(training_choose_stack(t, models, c.weight, n_models));
	PGML_TRY(refit_members(t, &c));
	for (int m = 0; m < n_models; m++)
		c.folds[m] = models[m].n_fits;
	fit_into_bounds(t, &c);
	fit_into_time(t, &c);
	status = encode_what_fits(t, &c, &reduced);
	if (pgml_is_memory(status) && models != baseline)
	{
		c = (Choice){ .models = baseline, .n_models = 1, .weight = { 1 }, .folds = { 1 } };
		t->stacked = false;
		status = encode_what_fits(t, &c, &reduced);
	}
	PGML_TRY(status);
	if (reduced)
		training_notice(t, true,
						"pgml_auto.max_memory left no room for all parts of the best model; it was "
						"made of fewer");
	name_algorithm(t, &c);
	if (t->stacked)
		PGML_TRY(training_finish_stack(t, c.models, c.weight, c.folds, c.n_models));
	PGML_TRY(training_explain_choice(t, c.models, c.weight, c.n_models, c.given_up));
	training_note_members(t, c.models, c.weight, c.folds, c.n_models);
	PGML_TRY(training_learn_errors(t, c.models, c.weight, c.n_models));
	PGML_TRY(training_choose_decision(t, c.models, c.weight, c.n_models));
	for (int m = 0; m < n_models; m++)
		weight[m] = c.models == models ? c.weight[m] : 0;
	for (int m = 0; m < n_models; m++)
	{
		if (models == baseline)
			continue;
		for (int f = 0; f < models[m].n_fits; f++)
			pgml_buf_free(&models[m].fit[f].payload);
		/* Without test rows the validation predictions are scored. */
		if (t->n_test == 0)
			continue;
		pgml_arena_destroy(models[m].arena);
		models[m].arena = NULL;
		models[m].oof = NULL;
	}
	return PGML_OK;
}

/* Fit again on all rows those that were; *why: one that cannot be. */
static PgmlStatus
repeat_refits(Training *t, TrialModel *models, const char **why)
{
	for (int m = 0; m < t->repeats->n_trials; m++)
	{
		const PgmlExecutedTrial *e = &t->repeats->trials[m];
		PgmlFit refitted = { 0 };
		PgmlStatus status;

		if (!e->refitted)
			continue;
		pgml_buf_init(&refitted.payload, t->env->budget);
		pgml_clock_repeat(&models[m].refit_clock, e->refit.note, e->refit.n);
		models[m].refit_max_payload = e->refit_max_payload;
		status = refit(t, &models[m], &refitted);
		if (status != PGML_OK)
		{
			pgml_buf_free(&refitted.payload);
			*why = t->env->error->message;
			return status == PGML_ERR_CANCELLED ? status : PGML_OK;
		}
		for (int f = 0; f < models[m].n_fits; f++)
			pgml_buf_free(&models[m].fit[f].payload);
		models[m].fit[0] = refitted;
		models[m].n_fits = 1;
	}
	return PGML_OK;
}

PgmlStatus
training_repeat_image(Training *t, TrialModel *models, const char **why)
{
	Choice c = { .models = models, .n_models = t->repeats->n_trials };

	PGML_TRY(repeat_refits(t, models, why));
	if (*why != NULL)
		return PGML_OK;
	for (int m = 0; m < c.n_models; m++)
	{
		c.weight[m] = t->repeats->trials[m].weight;
		c.folds[m] = t->repeats->trials[m].members;
		t->stack[m] = t->repeats->trials[m].stack;
	}
	t->stacked = t->repeats->stacked;
	PGML_TRY(encode(t, &c, &t->result->image));
	if (t->stacked)
		PGML_TRY(training_put_stack(t, c.weight, c.folds, c.n_models));
	PGML_TRY(training_learn_errors(t, models, c.weight, c.n_models));
	return training_choose_decision(t, models, c.weight, c.n_models);
}
