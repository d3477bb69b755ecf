/*
 * stack.c - the models of the ensemble stacked: weights of the logarithms of their probabilities, see stats/stack.h.
 *
 * They are learned from the out-of-fold predictions, for which no model has seen the row, and checked on folds that they were not learned from.
 * The log loss decides, whatever the metric is: better probabilities serve all of them.  All models that were kept are asked, not only those whose mean is best:
 * what is left when those are taken out that hardly matter are about as many.
 */
#include "search/training.h"

#include <math.h>
#include <string.h>

#include "model/image.h"

/* Rows that weights are learned from, at least; and what they must gain, as a share of the log loss. */
#define FEWEST_ROWS 1000
#define LEAST_GAIN  0.001

/* The share of the gain that may be given up for fewer models. */
#define SPENT 0.1

/* Multiplications of a pass over the rows, about: of more rows some are looked at. */
#define MOST_WORK 2e7

_Static_assert(PGML_MAX_CANDIDATES <= PGML_STACK_MODELS, "all models can be stacked");

/* What is fitted: the models, and the rows with their logarithms. */
typedef struct Stacking
{
	Training *t;
	const TrialModel *models;
	bool all; /* that were kept are asked, not only those of the ensemble that is not stacked */
	PgmlArena *arena;
	int model[PGML_MAX_CANDIDATES]; /* columns' models */
	double centre[PGML_MAX_CANDIDATES];
	PgmlStackRows rows;
	PgmlPredictions mean; /* of the ensemble that is not stacked */
} Stacking;

/* A model whose coefficients or rules are read says the same as its predictions. */
static bool
is_read(const TrialModel *models, const double *weight, int n_models)
{
	const PgmlLearner *learner = NULL;

	for (int m = 0; m < n_models; m++)
	{
		if (weight[m] <= 0)
			continue;
		if (learner != NULL && learner != models[m].trial->learner)
			return false;
		learner = models[m].trial->learner;
	}
	return learner == &pgml_learner_linear || learner == &pgml_learner_decision_tree;
}

/* Negative weights would turn a constraint round. */
static bool
may_stack(const Training *t, const TrialModel *models, const double *weight, int n_models)
{
	return t->target.task != PGML_TASK_REGRESSION && !training_constrains(t->options) &&
		   !is_read(models, weight, n_models) && training_seconds_left(t) + training_grace(t) >= 0;
}

/* Every how manyth of the validated rows is looked at. */
static int64_t
find_step(const Training *t, int n_models)
{
	double work = (double) t->n_train * t->outputs * n_models * n_models;

	return (int64_t) ceil(work / MOST_WORK);
}

/* Collect the rows; s->model says of which models, of which there are rows.n_models. */
static PgmlStatus
collect(Stacking *s, const double *weight, int n_models)
{
	Training *t = s->t;
	int columns = s->rows.n_models, outputs = t->outputs;
	int64_t step = find_step(t, columns), n = 0, validated = 0;
	uint8_t *part = pgml_array(s->arena, t->n_train, sizeof(uint8_t));

	if (!part)
		return pgml_fail_nomem(t->env, "the stack");
	PGML_TRY(training_average(t, s->models, weight, n_models, step, s->arena, part, &s->mean));
	s->rows = (PgmlStackRows){ .task = t->target.task,
							   .n_classes = t->target.n_classes,
							   .n_models = columns,
							   .n = s->mean.n,
							   .y = s->mean.y,
							   .w = s->mean.w,
							   .part = part };
	s->rows.log = pgml_array(s->arena, (s->mean.n + 1) * outputs * columns, sizeof(double));
	if (!s->rows.log)
		return pgml_fail_nomem(t->env, "the stack");
	for (int64_t i = 0; i < t->n_train; i++)
	{
		if ((t->folds == 1 && t->fold[i] != 0) || validated++ % step != 0)
			continue;
		if (pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		for (int k = 0; k < outputs; k++)
			for (int c = 0; c < columns; c++)
				s->rows.log[(n * outputs + k) * columns + c] =
					pgml_stack_log(t->target.task, s->models[s->model[c]].oof[i * outputs + k]);
		n++;
	}
	return PGML_OK;
}

/* The sum of the rows' losses that the stack saves on folds that it was not fitted to; 0 when that is too little. */
static PgmlStatus
find_gain(Stacking *s, double *gain)
{
	Training *t = s->t;
	PgmlPredictions stacked = s->mean;
	double *p = pgml_array(s->arena, s->mean.n * t->outputs, sizeof(double));
	double before, after;

	*gain = 0;
	if (!p)
		return pgml_fail_nomem(t->env, "the stack");
	stacked.p = p;
	PGML_TRY(pgml_stack_validate(t->env, &s->rows, s->centre, p));
	PGML_TRY(pgml_metric_compute(t->env, pgml_metric_find("log_loss"), &s->mean, &before));
	PGML_TRY(pgml_metric_compute(t->env, pgml_metric_find("log_loss"), &stacked, &after));
	if (after < (1 - LEAST_GAIN) * before)
		*gain = (before - after) * (double) s->rows.n;
	return PGML_OK;
}

/* May the models that are left predict together, by time and number? */
static bool
is_affordable(const Stacking *s, const PgmlStackPruner *left)
{
	double ns = 0;
	int members = 0;

	for (int i = 0; i < left->n; i++)
	{
		const TrialModel *model = &s->models[s->model[left->model[i]]];

		ns += training_member_ns(s->t, model);
		members += model->n_fits;
	}
	return left->n == 1 ||
		   (ns <= 1000 * training_max_predict_us(s->t) && members <= PGML_MAX_MEMBERS);
}

/*
 * Fit all, take out those that hardly matter; t->stack has the weights of the others.  *too_slow: nothing would be gained any more by those with
 * which predictions are as quick as they must be, and there is no stack.
 */
static PgmlStatus
choose_models(Stacking *s, double gain, bool *too_slow)
{
	Training *t = s->t;
	double weight[PGML_MAX_CANDIDATES], kept[PGML_MAX_CANDIDATES] = { 0 }, spent = 0;
	PgmlStackPruner left;

	PGML_TRY(pgml_stack_fit(t->env, &s->rows, s->centre, weight));
	PGML_TRY(pgml_stack_prune(t->env, &s->rows, weight, &left));
	while (left.n > 1)
	{
		double rise;
		int place = pgml_stack_least(&left, &rise);

		if (spent + rise > SPENT * gain && is_affordable(s, &left))
			break;
		spent += rise;
		pgml_stack_drop(&left, place);
	}
	for (int i = 0; i < left.n; i++)
		kept[s->model[left.model[i]]] = 1;
	*too_slow = spent > gain;
	if (*too_slow || is_read(s->models, kept, PGML_MAX_CANDIDATES))
		return PGML_OK;
	for (int i = 0; i < left.n; i++)
		t->stack[s->model[left.model[i]]] = left.weight[i];
	t->stacked = true;
	return PGML_OK;
}

/* How much each model counts: its part of the weights' sizes. */
static void
share_out(const Training *t, int n_models, double *weight)
{
	double sum = 0;

	for (int m = 0; m < n_models; m++)
		sum += fabs(t->stack[m]);
	for (int m = 0; m < n_models; m++)
		weight[m] = fabs(t->stack[m]) / sum;
}

/* Is the model one that may be stacked?  One of the ensemble, or one that predicts as quickly as it must at least alone. */
static bool
is_asked(const Stacking *s, int m, double weight)
{
	const TrialModel *model = &s->models[m];

	if (model->oof == NULL || weight > 0)
		return model->oof != NULL;
	return s->all && training_member_ns(s->t, model) <= 1000 * training_max_predict_us(s->t);
}

static PgmlStatus
choose(Stacking *s, const double *weight, int n_models, bool *too_slow)
{
	double gain;

	for (int m = 0; m < n_models; m++)
	{
		if (!is_asked(s, m, weight[m]))
			continue;
		s->centre[s->rows.n_models] = weight[m];
		s->model[s->rows.n_models++] = m;
	}
	PGML_TRY(collect(s, weight, n_models));
	if (s->rows.n < FEWEST_ROWS)
		return PGML_OK;
	PGML_TRY(find_gain(s, &gain));
	return gain > 0 ? choose_models(s, gain, too_slow) : PGML_OK;
}

/* Models are averaged when memory has no room for the rows. */
static PgmlStatus
forgive(PgmlStatus status)
{
	return pgml_is_memory(status) ? PGML_OK : status;
}

/* Stack all models, or those of the ensemble, with memory of its own. */
static PgmlStatus
attempt(Training *t, const TrialModel *models, const double *weight, int n_models, bool all,
		bool *too_slow)
{
	Stacking s = { .t = t, .models = models, .all = all };
	PgmlStatus status;

	*too_slow = false;
	s.arena = pgml_arena_create(t->env->budget);
	status =
		s.arena ? choose(&s, weight, n_models, too_slow) : pgml_fail_nomem(t->env, "the stack");
	pgml_arena_destroy(s.arena);
	return status;
}

PgmlStatus
training_choose_stack(Training *t, const TrialModel *models, double *weight, int n_models)
{
	bool all = !t->options->fast, too_slow;
	PgmlStatus status;

	if (!may_stack(t, models, weight, n_models))
		return PGML_OK;
	memcpy(t->centre, weight, n_models * sizeof(double));
	status = attempt(t, models, weight, n_models, all, &too_slow);
	/* Those of the ensemble are quick enough together. */
	if (too_slow && all)
		status = attempt(t, models, weight, n_models, false, &too_slow);
	if (t->stacked)
		share_out(t, n_models, weight);
	return forgive(status);
}

/*
 * What the weights of those that came into the image are believed to be near to: a mean again, of those of the mean that are among them, else of
 * all.  Nearer to 0, they would make the probabilities more cautious for models that are not there.
 */
static void
find_centre(Stacking *s)
{
	double sum = 0;
	int n = s->rows.n_models;

	for (int c = 0; c < n; c++)
		sum += s->t->centre[s->model[c]];
	for (int c = 0; c < n; c++)
		s->centre[c] = sum > 0 ? s->t->centre[s->model[c]] / sum : 1.0 / n;
}

/* Fit the weights of those that came into the image. */
static PgmlStatus
fit(Stacking *s, const double *weight, int n_models)
{
	double fitted[PGML_MAX_CANDIDATES];

	PGML_TRY(collect(s, weight, n_models));
	PGML_TRY(pgml_stack_fit(s->t->env, &s->rows, s->centre, fitted));
	for (int c = 0; c < s->rows.n_models; c++)
		s->t->stack[s->model[c]] = fitted[c];
	return PGML_OK;
}

PgmlStatus
training_put_stack(Training *t, const double *weight, const int *folds, int n_models)
{
	double member[PGML_MAX_MEMBERS];
	int n_members = 0;
	PgmlStatus status;

	for (int m = 0; m < n_models; m++)
		for (int f = 0; weight[m] > 0 && f < folds[m]; f++)
			member[n_members++] = t->stack[m] / folds[m];
	status = pgml_image_stack(t->env, member, n_members, &t->result->image);
	t->stacked = status == PGML_OK;
	return forgive(status);
}

PgmlStatus
training_finish_stack(Training *t, const TrialModel *models, double *weight, const int *folds,
					  int n_models)
{
	Stacking s = { .t = t, .models = models };
	PgmlStatus status;

	/* What is read may be all that time and memory have left. */
	t->stacked = !is_read(models, weight, n_models);
	if (!t->stacked)
		return PGML_OK;
	for (int m = 0; m < n_models; m++)
		if (weight[m] <= 0)
			t->stack[m] = 0;
		else
			s.model[s.rows.n_models++] = m;
	find_centre(&s);
	s.arena = pgml_arena_create(t->env->budget);
	status = s.arena ? fit(&s, weight, n_models) : pgml_fail_nomem(t->env, "the stack");
	pgml_arena_destroy(s.arena);
	/* Weights that were found with other models say nothing of these alone: without memory for new ones they are averaged. */
	t->stacked = status == PGML_OK;
	return t->stacked ? training_put_stack(t, weight, folds, n_models) : forgive(status);
}
