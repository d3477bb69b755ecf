/*
 * why.c - one sentence that says why a model is what it is.
 *
 * Only what the search knows is said: the scores of the trials on the rows that validated, the same score of the mean that predicts, on how
 * many folds that is better, and the limits that kept a trial out.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Learners of an ensemble that are named, those of most weight. */
#define NAMED 6

/* A trial that is left out for the time of its predictions is told of when it gains this share of the score. */
#define WORTH_TELLING 0.0001

typedef struct Why
{
	Training *t;
	const TrialModel *models;
	const double *weight;
	int n_models;
	const char *const *given_up;
	PgmlArena *arena;
	PgmlPredictions mean;              /* of the models with a weight, all validated rows */
	double score;                      /* of the mean; NaN: no memory for it */
	double fold_score[PGML_MAX_FOLDS]; /* the same on the rows of each fold */
	int n_chosen;
	const PgmlTrial *first; /* of most weight */
	int slow;               /* the model left out for the time of its predictions, -1: none */
	double slow_score;      /* with it */
	char text[1200];
	size_t used;
} Why;

static void say(Why *y, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
say(Why *y, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(y->text + y->used, sizeof(y->text) - y->used, fmt, args);
	va_end(args);
	y->used += n > 0 ? (size_t) n : 0;
	if (y->used >= sizeof(y->text))
		y->used = sizeof(y->text) - 1;
}

/* ---- the trials ---- */

static bool
is_usable(const PgmlTrial *trial)
{
	return (trial->status == PGML_TRIAL_OK || trial->status == PGML_TRIAL_TIMEOUT) &&
		   !isnan(trial->validation_score);
}

/* The best trial that learned from all its rows, of the learner (NULL: any but the constant predictor) or of any but `other`; NULL: none. */
static const PgmlTrial *
best_trial(const Why *y, const PgmlLearner *learner, const PgmlLearner *other)
{
	const PgmlTrainResult *r = y->t->result;
	const PgmlTrial *best = NULL;

	for (int i = 0; i < r->n_trials; i++)
	{
		const PgmlTrial *trial = &r->trials[i];

		if (!is_usable(trial) || trial->rows < r->trials[0].rows || trial->learner == other ||
			(learner != NULL && trial->learner != learner) ||
			(learner == NULL && trial->learner == &pgml_learner_constant))
			continue;
		if (best == NULL ||
			pgml_metric_better(r->metric, trial->validation_score, best->validation_score))
			best = trial;
	}
	return best;
}

/* Usable trials of a learner. */
static int
count_trials(const Why *y, const PgmlLearner *learner)
{
	int n = 0;

	for (int i = 0; i < y->t->result->n_trials; i++)
		n += y->t->result->trials[i].learner == learner && is_usable(&y->t->result->trials[i]);
	return n;
}

/* ---- numbers ---- */

static double
chosen_score(const Why *y)
{
	return y->n_chosen == 1 ? y->first->validation_score : y->score;
}

/* On how many folds the choice is better than the trial. */
static int
folds_won(const Why *y, const PgmlTrial *trial)
{
	const double *mine = y->n_chosen == 1 ? y->first->fold_score : y->fold_score;
	int won = 0;

	for (int f = 0; f < y->t->folds; f++)
		won += !isnan(mine[f]) && !isnan(trial->fold_score[f]) &&
			   pgml_metric_better(y->t->result->metric, mine[f], trial->fold_score[f]);
	return won;
}

/*
 * "1.8 % better than": errors are compared by their ratio, scores that grow by their difference, since these may be near 0 or
 * below.
 */
static void
say_better(Why *y, double mine, double theirs)
{
	const PgmlMetric *metric = y->t->result->metric;
	const char *word = pgml_metric_better(metric, mine, theirs) ? "better" : "worse";
	double share = 100 * fabs(mine - theirs) / fabs(theirs);

	if (mine == theirs)
		say(y, "no better than");
	else if (metric->higher_is_better || theirs <= 0)
		say(y, "%.3g %s than", fabs(mine - theirs), word);
	else
		say(y,
			share >= 10  ? "%.0f %% %s than" :
			share >= 0.1 ? "%.1f %% %s than" :
						   "%.1g %% %s than",
			share, word);
}

/* "linear, trial 2: 0.3067" */
static void
say_trial(Why *y, const PgmlTrial *trial)
{
	say(y, "%s, trial %d: %.5g", trial->learner->name, trial->number, trial->validation_score);
}

/* ---- scores of the mean ---- */

/* The metric of the mean on the rows of one fold; rows and y->mean are in the order of the training rows. */
static PgmlStatus
score_fold(Why *y, int f, double *target, double *p, double *w)
{
	const Training *t = y->t;
	PgmlPredictions preds = y->mean;
	int outputs = t->outputs;
	int64_t n = 0;

	for (int64_t i = 0; i < t->n_train; i++)
	{
		if (t->fold[i] != f)
			continue;
		target[n] = y->mean.y[i];
		if (w)
			w[n] = y->mean.w[i];
		memcpy(p + n * outputs, y->mean.p + i * outputs, outputs * sizeof(double));
		n++;
	}
	preds.n = n;
	preds.y = target;
	preds.p = p;
	preds.w = w;
	return training_metric(t, t->env, &preds, &y->fold_score[f]);
}

/* Score the mean of several models, as each trial was scored. */
static PgmlStatus
score_mean(Why *y)
{
	Training *t = y->t;
	double *target, *p, *w;

	PGML_TRY(training_average(t, y->models, y->weight, y->n_models, 1, y->arena, NULL, &y->mean));
	PGML_TRY(training_metric(t, t->env, &y->mean, &y->score));
	if (t->folds == 1)
		return PGML_OK;
	target = pgml_array(y->arena, t->n_train, sizeof(double));
	p = pgml_array(y->arena, t->n_train * t->outputs, sizeof(double));
	w = t->weight ? pgml_array(y->arena, t->n_train, sizeof(double)) : NULL;
	if (!target || !p || (t->weight && !w))
		return pgml_fail_nomem(t->env, "the scores of the ensemble");
	for (int f = 0; f < t->folds; f++)
		PGML_TRY(score_fold(y, f, target, p, w));
	return PGML_OK;
}

/* ---- the parts of the sentence ---- */

/* A learner's part in the mean. */
typedef struct Share
{
	const PgmlLearner *learner;
	double weight;
} Share;

/* Learners with their weights, those of most weight first; returns their number. */
static int
rank_learners(const Why *y, Share *share)
{
	int n = 0;

	for (int m = 0; m < y->n_models; m++)
	{
		int i = 0;

		while (i < n && share[i].learner != y->models[m].trial->learner)
			i++;
		if (y->weight[m] <= 0)
			continue;
		if (i == n)
			share[n++] = (Share){ y->models[m].trial->learner, 0 };
		share[i].weight += y->weight[m];
	}
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && share[k].weight > share[k - 1].weight; k--)
		{
			Share other = share[k];

			share[k] = share[k - 1];
			share[k - 1] = other;
		}
	return n;
}

/* "An ensemble of 5 trials, stacked (mlp 0.6, linear 0.4)" */
static void
say_ensemble(Why *y)
{
	Share share[PGML_MAX_CANDIDATES];
	int n = rank_learners(y, share);
	const char *stacked = y->t->stacked ? ", stacked" : "";

	if (n == 1)
	{
		say(y, "An ensemble of %d trials of %s%s", y->n_chosen, share[0].learner->name, stacked);
		return;
	}
	say(y, "An ensemble of %d trials%s (", y->n_chosen, stacked);
	for (int i = 0; i < n && i < NAMED; i++)
		say(y, "%s%s %.2g", i > 0 ? ", " : "", share[i].learner->name, share[i].weight);
	say(y, n > NAMED ? ", ...)" : ")");
}

/* How validation was done. */
static void
say_validation(Why *y)
{
	const Training *t = y->t;
	int64_t n = 0;

	if (t->folds > 1)
	{
		say(y, " in %d-fold cross-validation", t->folds);
		return;
	}
	for (int64_t i = 0; i < t->n_train; i++)
		n += t->fold[i] == 0;
	say(y, t->time ? " on the newest %lld training rows" : " on %lld training rows held out",
		(long long) n);
}

/* Compare with the best trial alone, or with the best of another learner, and with the constant predictor. */
static void
say_comparisons(Why *y)
{
	const PgmlTrial *baseline = &y->t->result->trials[0];
	const PgmlTrial *alone = best_trial(y, NULL, y->n_chosen == 1 ? y->first->learner : NULL);
	double score = chosen_score(y);

	if (isnan(score))
		return;
	if (alone != NULL)
	{
		say(y, ", ");
		say_better(y, score, alone->validation_score);
		say(y, y->n_chosen > 1 ? " the best single trial (" : " the best of other algorithms (");
		say_trial(y, alone);
		if (y->t->folds > 1)
			say(y, "; better on %d of %d folds", folds_won(y, alone), y->t->folds);
		say(y, ")");
	}
	say(y, alone != NULL ? ", and " : ", ");
	say_better(y, score, baseline->validation_score);
	say(y, " a constant prediction (%.5g)", baseline->validation_score);
}

/* A stack of one model gives its probabilities a temperature. */
static void
say_temperature(Why *y)
{
	for (int m = 0; m < y->n_models; m++)
		if (y->weight[m] > 0 && y->t->stack[m] > 0)
			say(y, "; its probabilities are given a temperature of %.2f", 1 / y->t->stack[m]);
}

/* One model of several that were tried: what else there was of its learner, and why others do not predict with it. */
static void
say_single(Why *y)
{
	int same = count_trials(y, y->first->learner);
	const PgmlTrial *best = best_trial(y, y->first->learner, NULL);

	if (y->t->stacked)
		say_temperature(y);
	if (same > 1 && best == y->first)
		say(y, "; it is the best of %d trials of its algorithm", same);
	if (y->t->options->ensemble == 1)
		say(y, "; options asked for one trial");
	else if (y->n_models > 1 && y->slow < 0)
		say(y, "; no mean with other trials was found that is worth more");
}

/* Models that were taken out again when the image was made. */
static void
say_given_up(Why *y)
{
	for (int m = 0; m < y->n_models; m++)
		if (y->given_up[m] != NULL)
		{
			say(y, "; trial %d (%s) was given up: %s", y->models[m].trial->number,
				y->models[m].trial->learner->name, y->given_up[m]);
			return;
		}
}

/* ---- what would be better and takes too long ---- */

/* Microseconds per row of what predicts. */
static double
chosen_us(const Why *y)
{
	double us = 0;

	for (int m = 0; m < y->n_models; m++)
		us += y->weight[m] > 0 ? y->models[m].trial->predict_us : 0;
	return us;
}

/* The best model that does not predict and with which predictions would take longer than they may; -1: none. */
static int
best_too_slow(const Why *y)
{
	double left = training_max_predict_us(y->t) - chosen_us(y);
	int best = -1;

	for (int m = 0; m < y->n_models; m++)
		if (y->weight[m] == 0 && y->given_up[m] == NULL && y->models[m].oof != NULL &&
			y->models[m].trial->predict_us > left &&
			(best < 0 ||
			 pgml_metric_better(y->t->result->metric, y->models[m].trial->validation_score,
								y->models[best].trial->validation_score)))
			best = m;
	return best;
}

/* The metric when model number m has the same say as each of those that predict. */
static PgmlStatus
score_with(Why *y, int m, double *score)
{
	double weight[PGML_MAX_CANDIDATES];
	PgmlPredictions preds;

	for (int i = 0; i < y->n_models; i++)
		weight[i] = y->weight[i] * y->n_chosen / (y->n_chosen + 1);
	weight[m] = 1.0 / (y->n_chosen + 1);
	PGML_TRY(training_average(y->t, y->models, weight, y->n_models, 1, y->arena, NULL, &preds));
	return training_metric(y->t, y->t->env, &preds, score);
}

/* Find the model that is left out only for the time of its predictions. */
static PgmlStatus
find_too_slow(Why *y)
{
	int m = y->t->stacked ? -1 : best_too_slow(y);
	double score = chosen_score(y), with;

	if (m < 0 || isnan(score))
		return PGML_OK;
	PGML_TRY(score_with(y, m, &with));
	if (!pgml_metric_better(y->t->result->metric, with, score) ||
		fabs(with - score) < WORTH_TELLING * fabs(score))
		return PGML_OK;
	y->slow = m;
	y->slow_score = with;
	return PGML_OK;
}

static void
say_too_slow(Why *y)
{
	double most = training_max_predict_us(y->t);

	if (chosen_us(y) > most)
		say(y, "; it takes %.3g microseconds a row, more than the %.3g that predictions may take",
			chosen_us(y), most);
	if (y->slow >= 0)
		say(y,
			"; with trial %d (%s) it would be %.5g, but predictions would take %.3g microseconds a "
			"row, more than the %.3g that they may",
			y->models[y->slow].trial->number, y->models[y->slow].trial->learner->name,
			y->slow_score, chosen_us(y) + y->models[y->slow].trial->predict_us, most);
}

/* ---- the sentence ---- */

static void
say_constant(Why *y)
{
	const PgmlTrial *best = best_trial(y, NULL, NULL);
	const PgmlTrainResult *r = y->t->result;

	say(y, "A constant prediction: %s %.5g", r->metric->name, y->first->validation_score);
	say_validation(y);
	if (best == NULL)
	{
		say(y, r->n_trials > 1 ? "; no trial of another algorithm succeeded" :
								 "; no other algorithm was tried");
		return;
	}
	say(y, "; the best other trial is ");
	say_better(y, best->validation_score, y->first->validation_score);
	say(y, " that (");
	say_trial(y, best);
	say(y, ")");
	if (pgml_metric_better(r->metric, best->validation_score, y->first->validation_score))
		say(y, ", but pgml_auto.max_memory left no room for it");
}

static PgmlStatus
explain(Why *y)
{
	if (y->first->learner == &pgml_learner_constant)
	{
		say_constant(y);
		return PGML_OK;
	}
	if (y->n_chosen > 1)
		PGML_TRY(score_mean(y));
	PGML_TRY(find_too_slow(y));
	if (y->n_chosen > 1)
		say_ensemble(y);
	else
		say(y, "%s (trial %d)", y->first->learner->name, y->first->number);
	say(y, ": %s %.5g", y->t->result->metric->name, chosen_score(y));
	say_validation(y);
	say_comparisons(y);
	if (y->n_chosen == 1)
		say_single(y);
	say_given_up(y);
	say_too_slow(y);
	return PGML_OK;
}

PgmlStatus
training_explain_choice(Training *t, const TrialModel *models, const double *weight, int n_models,
						const char *const *given_up)
{
	Why y = { .t = t,
			  .models = models,
			  .weight = weight,
			  .n_models = n_models,
			  .given_up = given_up,
			  .score = NAN,
			  .slow = -1 };
	PgmlStatus status;
	double most = 0;

	for (int m = 0; m < n_models; m++)
	{
		y.n_chosen += weight[m] > 0;
		if (weight[m] > most)
		{
			most = weight[m];
			y.first = models[m].trial;
		}
	}
	y.arena = pgml_arena_create(t->env->budget);
	status = y.arena ? explain(&y) : PGML_ERR_NOMEM;
	pgml_arena_destroy(y.arena);
	if (status == PGML_OK)
		t->result->why = pgml_strdup(t->arena, y.text);
	return pgml_is_memory(status) ? PGML_OK : status;
}
