/*
 * metric.h - how good predictions are, with an interval.
 *
 * Inputs are n rows.  Regression: y and p are values.  Binary: y is 0/1, p the probability of
 * class 1; a row counts as predicted 1 when p >= 0.5.  Multiclass: y is 0 .. k-1, p has k
 * probabilities a row, the predicted class is the first of the largest.  w: weights, NULL for 1.
 */
#ifndef PGML_STATS_METRIC_H
#define PGML_STATS_METRIC_H

#include "core/env.h"
#include "learner/task.h"
#include "stats/decision.h"

typedef struct PgmlPredictions
{
	PgmlTask task;
	int n_classes; /* 1 for regression, 2 for binary */
	int64_t n;
	const double *y;
	const double *p;              /* n x (k for multiclass, else 1) */
	const double *w;              /* n or NULL */
	const PgmlDecision *decision; /* how classes are predicted; NULL: the most probable one */
} PgmlPredictions;

typedef struct PgmlMetric
{
	const char *name; /* scikit-learn's name: roc_auc, log_loss, ... */
	unsigned tasks;   /* PGML_TASK_* it is defined for */
	bool higher_is_better;
	const char *summary;             /* one sentence for the documentation */
	const struct PgmlMethod *method; /* private to stats/ */
	double
		quantile; /* the one that predictions are to be; 0: the metric knows none, see pgml_metric_at() */
} PgmlMetric;

/* All metrics; *n their number. */
extern const PgmlMetric *pgml_metrics(int *n);

/* The metric of that name, NULL when there is none. */
extern const PgmlMetric *pgml_metric_find(const char *name);

/* A metric that knows quantiles, of which the registry has that for the median, for another one. */
extern PgmlMetric pgml_metric_at(const PgmlMetric *metric, double quantile);

/* roc_auc for binary, log_loss for multiclass, rmse for regression. */
extern const PgmlMetric *pgml_metric_default(PgmlTask task);

/* True when a is a better value than b of this metric; NaN is worse than anything. */
extern bool pgml_metric_better(const PgmlMetric *metric, double a, double b);

/*
 * *value: NaN when undefined on these rows (no rows, one class, no positives, zero weight, a
 * number that is not finite).  PGML_ERR_BADARG when the metric is of another task, PGML_ERR_DATA
 * for a label that is no class.
 */
extern PgmlStatus pgml_metric_compute(const PgmlEnv *env, const PgmlMetric *metric,
									  const PgmlPredictions *p, double *value);

/*
 * Two classes: the threshold from which on class 1 is predicted so that a metric of predicted classes is best on these rows, half way between two
 * probabilities, and the metric there; of equal ones that nearest to one half.  *value as of pgml_metric_compute().
 */
extern PgmlStatus pgml_metric_best_threshold(const PgmlEnv *env, const PgmlMetric *metric,
											 const PgmlPredictions *p, double *threshold,
											 double *value);

/*
 * Percentile bootstrap interval (Efron 1979) of level `level` over rows, or over whole groups when
 * group (group number 0 .. n_groups-1 of each row) is given; `rounds` resamples, seeded, cut short
 * when the deadline passes (never below 50).  Above 100,000 rows (groups), a Poisson bootstrap:
 * each is drawn a Poisson(1) number of times (Hanley and MacGibbon 2006).  Resamples without a
 * value are left out. low = high = the value when n < 2; NaN when no resample has a value.
 */
extern PgmlStatus pgml_metric_interval(const PgmlEnv *env, const PgmlMetric *metric,
									   const PgmlPredictions *p, const int32_t *group,
									   int32_t n_groups, double level, int rounds, uint64_t seed,
									   double *low, double *high);

/* Resamples that several metrics of the same rows share; arena holds them. The settings are those above. */
typedef struct PgmlResamples PgmlResamples;
extern PgmlStatus pgml_resamples_create(const PgmlEnv *env, PgmlArena *arena, int64_t n,
										const int32_t *group, int32_t n_groups, int rounds,
										uint64_t seed, PgmlResamples **out);

/* The interval from the first `rounds` of them. */
extern PgmlStatus pgml_resampled_interval(const PgmlEnv *env, const PgmlMetric *metric,
										  const PgmlPredictions *p, const PgmlResamples *resamples,
										  int rounds, double level, double *low, double *high);

/* Steps that a metric takes per row and round, 1 or the number of classes: for planning. */
extern int pgml_metric_steps(const PgmlMetric *metric, const PgmlPredictions *p);

#endif
