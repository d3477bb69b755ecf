/*
 * classes.c - metrics of predicted classes.
 *
 * All of them follow from how many rows of each class were right, true and predicted, so no
 * confusion matrix is kept and many classes cost little.  Definitions, also of the undefined
 * cases, are scikit-learn's with average='macro' and zero_division=0: a class counts when it is
 * true or predicted somewhere.
 */
#include <math.h>
#include <string.h>

#include "stats/method.h"

/* a / b, 0 when nothing is there to divide by. */
static double
ratio(double a, double b)
{
	return b > 0 ? a / b : 0.0;
}

static double
class_precision(const PgmlCounts *c, int k)
{
	return ratio(c->right[k], c->guess[k]);
}

static double
class_recall(const PgmlCounts *c, int k)
{
	return ratio(c->right[k], c->truth[k]);
}

static double
class_f1(const PgmlCounts *c, int k)
{
	return ratio(2.0 * c->right[k], c->guess[k] + c->truth[k]);
}

/* Binary: the value of class 1. Several classes: the plain mean over those that occur. */
static double
macro(const PgmlCounts *c, PgmlTask task, double (*of_class)(const PgmlCounts *, int))
{
	double sum = 0;
	int seen = 0;

	if (task == PGML_TASK_BINARY)
		return of_class(c, 1);
	for (int k = 0; k < c->n_classes; k++)
	{
		if (c->truth[k] <= 0 && c->guess[k] <= 0)
			continue;
		sum += of_class(c, k);
		seen++;
	}
	return seen > 0 ? sum / seen : NAN;
}

static double
precision(const PgmlCounts *c, PgmlTask task)
{
	return macro(c, task, class_precision);
}

static double
recall(const PgmlCounts *c, PgmlTask task)
{
	return macro(c, task, class_recall);
}

static double
f1(const PgmlCounts *c, PgmlTask task)
{
	return macro(c, task, class_f1);
}

static double
accuracy(const PgmlCounts *c, PgmlTask task)
{
	double right = 0;

	(void) task;
	for (int k = 0; k < c->n_classes; k++)
		right += c->right[k];
	return right / c->all;
}

/* Mean recall of the classes that are there. */
static double
balanced_accuracy(const PgmlCounts *c, PgmlTask task)
{
	double sum = 0;
	int seen = 0;

	(void) task;
	for (int k = 0; k < c->n_classes; k++)
	{
		if (c->truth[k] <= 0)
			continue;
		sum += class_recall(c, k);
		seen++;
	}
	return seen > 0 ? sum / seen : NAN;
}

/*
 * R_K of Gorodkin (2004), the correlation of true and predicted classes; 0 when one of them is
 * constant.
 */
static double
mcc(const PgmlCounts *c, PgmlTask task)
{
	double right = 0;
	double both = 0;
	double truth = 0;
	double guess = 0;
	double spread;

	(void) task;
	for (int k = 0; k < c->n_classes; k++)
	{
		double t = c->truth[k] / c->all;
		double g = c->guess[k] / c->all;

		right += c->right[k] / c->all;
		both += t * g;
		truth += t * t;
		guess += g * g;
	}
	/* Shares of one class alone differ from 1 by rounding only. */
	spread = fmax(1.0 - truth, 0.0) * fmax(1.0 - guess, 0.0);
	return spread > 1e-24 ? (right - both) / sqrt(spread) : 0.0;
}

/* The true and the predicted class of every row, once. */
static PgmlStatus
prepare(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part, PgmlPrepared *out)
{
	int outputs = pgml_task_outputs(p->task, p->n_classes);

	(void) part;
	out->truth = pgml_array(arena, (size_t) p->n, sizeof(int32_t));
	out->guess = pgml_array(arena, (size_t) p->n, sizeof(int32_t));
	if (!out->truth || !out->guess)
		return pgml_fail_nomem(env, "a metric");
	for (int64_t i = 0; i < p->n; i++)
	{
		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		out->truth[i] = (int32_t) p->y[i];
		out->guess[i] = pgml_decide(p->decision, p->task, p->n_classes, p->p + i * outputs);
	}
	return PGML_OK;
}

static PgmlStatus
evaluate(const PgmlEnv *env, const PgmlPrepared *part, const double *w, double *scratch,
		 double *value)
{
	double *right = scratch;
	double *truth = right + part->n_classes;
	double *guess = truth + part->n_classes;
	PgmlCounts counts = {
		.n_classes = part->n_classes, .right = right, .truth = truth, .guess = guess
	};

	memset(scratch, 0, 3 * (size_t) part->n_classes * sizeof(double));
	for (int64_t i = 0; i < part->n; i++)
	{
		double weight = pgml_weight(w, i);

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		truth[part->truth[i]] += weight;
		guess[part->guess[i]] += weight;
		right[part->truth[i]] += part->truth[i] == part->guess[i] ? weight : 0.0;
		counts.all += weight;
	}
	*value = counts.all > 0 ? part->method->of_counts(&counts, part->task) : NAN;
	return PGML_OK;
}

const PgmlMethod pgml_method_accuracy = { .prepare = prepare,
										  .evaluate = evaluate,
										  .of_counts = accuracy };
const PgmlMethod pgml_method_balanced_accuracy = { .prepare = prepare,
												   .evaluate = evaluate,
												   .of_counts = balanced_accuracy };
const PgmlMethod pgml_method_precision = { .prepare = prepare,
										   .evaluate = evaluate,
										   .of_counts = precision };
const PgmlMethod pgml_method_recall = { .prepare = prepare,
										.evaluate = evaluate,
										.of_counts = recall };
const PgmlMethod pgml_method_f1 = { .prepare = prepare, .evaluate = evaluate, .of_counts = f1 };
const PgmlMethod pgml_method_mcc = { .prepare = prepare, .evaluate = evaluate, .of_counts = mcc };
