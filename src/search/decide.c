/*
 * decide.c - which class the model predicts, given its probabilities.
 *
 * A metric of predicted classes that weighs rare ones more is best with another threshold than one half: the one at which the metric of the
 * out-of-fold predictions is best.  With several classes each has a weight, found by trying factors for one class after the other.  With costs
 * there is nothing to learn: the class of the least expected cost is predicted.
 */
#include "search/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/image.h"

/* Rows that a threshold is learned from, at least; for accuracy, which is best near one half, many more. */
#define FEWEST_ROWS     50
#define ACCURACY_ROWS   10000
#define MOST_CLASSES    50
#define PASSES          2
#define LEAST_GAIN      1e-3 /* of weights of several classes */
#define MOST_OPERATIONS 5e7

/* Parts that the rows make where only one part was held out. */
#define PARTS_OF_ONE 5

static const double factors[] = { 0.25, 0.5, 0.7, 0.85, 1.2, 1.4, 2, 4 };

#define N_FACTORS ((int) (sizeof(factors) / sizeof(factors[0])))

/* The class with a label; an error that lists the classes when there is none. */
static PgmlStatus
find_class(const Training *t, const char *label, int *k)
{
	char list[300] = "";
	size_t used = 0;
	PgmlStatus status;

	for (*k = 0; *k < t->target.n_classes; (*k)++)
		if (strcmp(t->target.classes[*k], label) == 0)
			return PGML_OK;
	status =
		pgml_fail(t->env->error, PGML_ERR_BADARG, "cost_matrix: \"%.*s\" is no class of \"%s\"",
				  pgml_shown(label, 60), label, t->options->target);
	for (int c = 0; c < t->target.n_classes && used < sizeof(list) - 70; c++)
		used += snprintf(list + used, sizeof(list) - used, "%s\"%.*s\"", c > 0 ? ", " : "",
						 pgml_shown(t->target.classes[c], 60), t->target.classes[c]);
	pgml_fail_hint(t->env->error, "The classes are %s%s.", list,
				   used >= sizeof(list) - 70 ? ", ..." : "");
	return status;
}

PgmlStatus
training_read_costs(Training *t)
{
	int n = t->target.n_classes;
	double *cost;

	if (t->options->n_costs == 0)
		return PGML_OK;
	if (t->target.task == PGML_TASK_REGRESSION)
		return pgml_fail(t->env->error, PGML_ERR_BADARG,
						 "cost_matrix is for classes, the target is a number");
	cost = pgml_array(t->arena, (size_t) n * n, sizeof(double));
	if (!cost)
		return pgml_fail_nomem(t->env, "the costs");
	for (int i = 0; i < n * n; i++)
		cost[i] = i / n == i % n ? 0 : 1;
	for (int c = 0; c < t->options->n_costs; c++)
	{
		const PgmlCost *given = &t->options->costs[c];
		int truth, predicted;

		PGML_TRY(find_class(t, given->truth, &truth));
		PGML_TRY(find_class(t, given->predicted, &predicted));
		cost[truth * n + predicted] = given->cost;
	}
	t->decision = (PgmlDecision){ .n_classes = n, .costs = true, .number = cost };
	return PGML_OK;
}

/* Is a threshold worth learning for the metric, from so many rows? */
static bool
learns(const Training *t, int64_t n)
{
	const char *name = t->result->metric->name;

	if (strcmp(name, "accuracy") == 0)
		return n >= ACCURACY_ROWS;
	return n >= FEWEST_ROWS && training_tunes_threshold(t);
}

bool
training_tunes_threshold(const Training *t)
{
	static const char *const names[] = { "f1", "balanced_accuracy", "mcc" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(t->result->metric->name, names[i]) == 0)
			return true;
	return false;
}

PgmlStatus
training_metric(const Training *t, const PgmlEnv *env, const PgmlPredictions *p, double *value)
{
	double threshold;

	if (t->target.task == PGML_TASK_BINARY && training_tunes_threshold(t) && p->n >= FEWEST_ROWS)
		return pgml_metric_best_threshold(env, t->result->metric, p, &threshold, value);
	return pgml_metric_compute(env, t->result->metric, p, value);
}

PgmlStatus
training_average(const Training *t, const TrialModel *models, const double *weight, int n_models,
				 int64_t step, PgmlArena *arena, uint8_t *part, PgmlPredictions *out)
{
	int outputs = t->outputs;
	int64_t most = (t->n_train + step - 1) / step;
	double *y = pgml_array(arena, most, sizeof(double));
	double *w = t->weight ? pgml_array(arena, most, sizeof(double)) : NULL;
	double *p = pgml_array(arena, most * outputs, sizeof(double));
	int64_t n = 0, validated = 0;

	if (!y || !p || (t->weight && !w))
		return pgml_fail_nomem(t->env, "the validation predictions");
	for (int64_t i = 0; i < t->n_train; i++)
	{
		if ((t->folds == 1 && t->fold[i] != 0) || validated++ % step != 0)
			continue;
		if (pgml_stopped(t->env)) /* a row of many classes and models takes microseconds */
			return pgml_fail_cancelled(t->env);
		if (part)
			part[n] = t->folds == 1 ? n % PARTS_OF_ONE : t->fold[i];
		y[n] = t->target.y[t->train[i]];
		if (w)
			w[n] = t->weight[t->train[i]];
		training_out_of_fold(t, models, weight, n_models, i, p + n * outputs);
		n++;
	}
	*out = (PgmlPredictions){ t->target.task, t->target.n_classes, n, y, p, w, NULL };
	return PGML_OK;
}

/* Two classes: weights that amount to the best threshold. */
static PgmlStatus
learn_threshold(Training *t, const PgmlPredictions *p, double *number)
{
	double threshold, value;

	PGML_TRY(pgml_metric_best_threshold(t->env, t->result->metric, p, &threshold, &value));
	if (isnan(value))
		return PGML_OK;
	number[0] = threshold;
	number[1] = 1 - threshold;
	t->decision = (PgmlDecision){ .n_classes = 2, .number = number };
	return PGML_OK;
}

/* Several classes: factors for one weight after the other, as long as the metric gains. */
static PgmlStatus
learn_weights(Training *t, PgmlPredictions *p, double *number)
{
	const PgmlMetric *metric = t->result->metric;
	int n_classes = t->target.n_classes;
	PgmlDecision decision = { .n_classes = n_classes, .number = number };
	double best, first;

	for (int k = 0; k < n_classes; k++)
		number[k] = 1;
	p->decision = &decision;
	PGML_TRY(pgml_metric_compute(t->env, metric, p, &best));
	first = best;
	for (int pass = 0; pass < PASSES; pass++)
		for (int k = 0; k < n_classes; k++)
		{
			double weight = number[k], best_weight = weight;

			for (int f = 0; f < N_FACTORS; f++)
			{
				double value;

				number[k] = weight * factors[f];
				PGML_TRY(pgml_metric_compute(t->env, metric, p, &value));
				if (pgml_metric_better(metric, value, best))
				{
					best = value;
					best_weight = number[k];
				}
			}
			number[k] = best_weight;
		}
	if (fabs(best - first) > LEAST_GAIN)
		t->decision = decision;
	return PGML_OK;
}

static PgmlStatus
learn(Training *t, const TrialModel *models, const double *weight, int n_models, PgmlArena *arena)
{
	int n_classes = t->target.n_classes;
	double operations = (double) t->n_train * n_classes * n_classes * PASSES * N_FACTORS;
	int64_t step = n_classes > 2 && operations > MOST_OPERATIONS ?
					   (int64_t) ceil(operations / MOST_OPERATIONS) :
					   1;
	double *number = pgml_array(t->arena, n_classes, sizeof(double));
	PgmlPredictions p;

	if (!number)
		return pgml_fail_nomem(t->env, "the threshold");
	PGML_TRY(training_average(t, models, weight, n_models, step, arena, NULL, &p));
	if (!learns(t, p.n) || n_classes > MOST_CLASSES)
		return PGML_OK;
	return n_classes == 2 ? learn_threshold(t, &p, number) : learn_weights(t, &p, number);
}

PgmlStatus
training_choose_decision(Training *t, const TrialModel *models, const double *weight, int n_models)
{
	PgmlArena *arena;
	PgmlStatus status;

	if (t->target.task == PGML_TASK_REGRESSION || t->decision.n_classes > 0 ||
		!learns(t, INT64_MAX))
		return PGML_OK;
	arena = pgml_arena_create(t->env->budget);
	status = arena ? learn(t, models, weight, n_models, arena) :
					 pgml_fail_nomem(t->env, "the threshold");
	pgml_arena_destroy(arena);
	return pgml_is_memory(status) ? PGML_OK : status;
}

PgmlStatus
training_put_decision(Training *t)
{
	PgmlStatus status;

	if (t->decision.n_classes == 0)
		return PGML_OK;
	status = pgml_image_decide(t->env, &t->decision, &t->result->image);
	if (!pgml_is_memory(status))
		return status;
	/* Without memory the most probable class is predicted. */
	t->decision.n_classes = 0;
	return PGML_OK;
}
