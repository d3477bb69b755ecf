#include "stats/metric.h"

#include <math.h>
#include <string.h>

#include "stats/method.h"

#define REGRESSION PGML_TASK_REGRESSION
#define CLASSES    PGML_TASK_ANY_CLASSES

/* The registry: a new metric is a line here and a method in one of the family files. */
static const PgmlMetric metrics[] = {
	{ "roc_auc", CLASSES, true,
	  "Probability that a row of the class gets a higher score than one that is not, ties "
	  "counting half; with several classes the mean over the classes present, each against the "
	  "rest.",
	  &pgml_method_roc_auc, 0 },
	{ "log_loss", CLASSES, false,
	  "Mean negative logarithm of the probability given to the true class, probabilities cut to "
	  "[1e-15, 1 - 1e-15].",
	  &pgml_method_log_loss, 0 },
	{ "accuracy", CLASSES, true, "Share of rows whose class was predicted.", &pgml_method_accuracy,
	  0 },
	{ "balanced_accuracy", CLASSES, true, "Mean recall of the classes present.",
	  &pgml_method_balanced_accuracy, 0 },
	{ "precision", CLASSES, true,
	  "Share of right ones among the rows predicted positive, 0 when there are none; with "
	  "several classes the plain mean over the classes that occur.",
	  &pgml_method_precision, 0 },
	{ "recall", CLASSES, true,
	  "Share of the positive rows that were found, 0 when there are none; with several classes "
	  "the plain mean over the classes that occur.",
	  &pgml_method_recall, 0 },
	{ "f1", CLASSES, true,
	  "Harmonic mean of precision and recall, 0 when both are; with several classes the plain "
	  "mean over the classes that occur.",
	  &pgml_method_f1, 0 },
	{ "mcc", CLASSES, true,
	  "Matthews correlation of true and predicted classes (R_K with several classes), 0 when one "
	  "of them is constant.",
	  &pgml_method_mcc, 0 },
	{ "average_precision", CLASSES, true,
	  "Area under the precision-recall curve without interpolation; with several classes the "
	  "mean over the classes present, each against the rest.",
	  &pgml_method_average_precision, 0 },
	{ "brier", CLASSES, false,
	  "Mean squared difference between probability and outcome; with several classes summed over "
	  "the classes.",
	  &pgml_method_brier, 0 },
	{ "rmse", REGRESSION, false, "Square root of the mean squared error.", &pgml_method_rmse, 0 },
	{ "mae", REGRESSION, false, "Mean absolute error.", &pgml_method_mae, 0 },
	{ "r2", REGRESSION, true,
	  "Share of the variance that is explained; undefined when all true values are equal.",
	  &pgml_method_r2, 0 },
	{ "mape", REGRESSION, false,
	  "Mean absolute error relative to the true value, as a fraction; true values of 0 make it "
	  "huge.",
	  &pgml_method_mape, 0 },
	{ "rmsle", REGRESSION, false,
	  "Square root of the mean squared difference of log(1 + value); negative predictions count "
	  "as 0; undefined when a true value is -1 or less.",
	  &pgml_method_rmsle, 0 },
	{ "pinball", REGRESSION, false,
	  "Mean quantile loss of the quantile that the model predicts: that share of what a prediction "
	  "is too low, the rest of what one is too high.",
	  &pgml_method_pinball, 0.5 },
};

#define N_METRICS ((int) (sizeof(metrics) / sizeof(metrics[0])))

const PgmlMetric *
pgml_metrics(int *n)
{
	*n = N_METRICS;
	return metrics;
}

const PgmlMetric *
pgml_metric_find(const char *name)
{
	for (int i = 0; i < N_METRICS; i++)
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
	return NULL;
}

PgmlMetric
pgml_metric_at(const PgmlMetric *metric, double quantile)
{
	PgmlMetric out = *metric;

	out.quantile = quantile;
	return out;
}

const PgmlMetric *
pgml_metric_default(PgmlTask task)
{
	if (task == PGML_TASK_BINARY)
		return pgml_metric_find("roc_auc");
	return pgml_metric_find(task == PGML_TASK_MULTICLASS ? "log_loss" : "rmse");
}

bool
pgml_metric_better(const PgmlMetric *metric, double a, double b)
{
	if (isnan(a) || isnan(b))
		return !isnan(a);
	return metric->higher_is_better ? a > b : a < b;
}

/* Labels are array indexes later: anything but a class number is refused here. */
static bool
is_class(double y, int n_classes)
{
	return y >= 0 && y < n_classes && y == floor(y);
}

PgmlStatus
pgml_metric_check(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
				  bool *defined)
{
	int outputs = pgml_task_outputs(p->task, p->n_classes);

	*defined = p->n > 0;
	if (!(metric->tasks & (unsigned) p->task))
		return pgml_fail(env->error, PGML_ERR_BADARG, "metric \"%s\" is not defined for this task",
						 metric->name);
	if (p->n > INT32_MAX)
		return pgml_fail(env->error, PGML_ERR_LIMIT, "too many rows for a metric");
	for (int64_t i = 0; i < p->n; i++)
	{
		bool finite =
			isfinite(p->y[i]) && isfinite(pgml_weight(p->w, i)) && pgml_weight(p->w, i) >= 0;

		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		for (int c = 0; c < outputs; c++)
			finite = finite && isfinite(p->p[i * outputs + c]);
		if (!finite)
			*defined = false;
		else if (p->task != PGML_TASK_REGRESSION && !is_class(p->y[i], p->n_classes))
			return pgml_fail(env->error, PGML_ERR_DATA, "%g is not a class number below %d",
							 p->y[i], p->n_classes);
	}
	return PGML_OK;
}

int
pgml_metric_parts(const PgmlMetric *metric, const PgmlPredictions *p)
{
	return metric->method->one_vs_rest && p->task == PGML_TASK_MULTICLASS ? p->n_classes : 1;
}

PgmlStatus
pgml_metric_prepare(const PgmlEnv *env, PgmlArena *arena, const PgmlMetric *metric,
					const PgmlPredictions *p, int part, PgmlPrepared *out)
{
	memset(out, 0, sizeof(*out));
	out->method = metric->method;
	out->task = p->task;
	out->n = p->n;
	out->n_classes = p->n_classes;
	out->quantile = metric->quantile;
	return metric->method->prepare(env, arena, p, part, out);
}

/* Prepare and evaluate one part with the rows' own weights. */
static PgmlStatus
compute_part(const PgmlEnv *env, PgmlArena *arena, const PgmlMetric *metric,
			 const PgmlPredictions *p, int part, double *value)
{
	PgmlPrepared prepared;
	double *scratch;
	PgmlStatus status;

	PGML_TRY(pgml_metric_prepare(env, arena, metric, p, part, &prepared));
	scratch = pgml_array(arena, pgml_metric_scratch(p), sizeof(double));
	if (!scratch)
		return pgml_fail_nomem(env, "a metric");
	status = prepared.method->evaluate(env, &prepared, p->w, scratch, value);
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(env) : status;
}

PgmlStatus
pgml_metric_compute(const PgmlEnv *env, const PgmlMetric *metric, const PgmlPredictions *p,
					double *value)
{
	PgmlStatus status = PGML_OK;
	PgmlArena *arena;
	double sum = 0;
	int seen = 0;
	bool defined;

	*value = NAN;
	PGML_TRY(pgml_metric_check(env, metric, p, &defined));
	if (!defined)
		return PGML_OK;
	arena = pgml_arena_create(env->budget);
	if (!arena)
		return pgml_fail_nomem(env, "a metric");
	for (int part = 0; part < pgml_metric_parts(metric, p) && status == PGML_OK; part++)
	{
		double v;

		status = compute_part(env, arena, metric, p, part, &v);
		if (status == PGML_OK && isfinite(v))
		{
			sum += v;
			seen++;
		}
		pgml_arena_reset(arena);
	}
	pgml_arena_destroy(arena);
	if (status == PGML_OK && seen > 0)
		*value = sum / seen;
	return status;
}
