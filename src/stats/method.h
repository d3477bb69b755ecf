/*
 * method.h - how metrics are computed; inside stats/ only.
 *
 * A metric is the mean of its parts that are defined.  Most have one part; one-vs-rest metrics
 * have one per class.  A part is prepared once (row losses, classes, or rows in order of score)
 * and then evaluated in O(n) for any number of row weights: the given ones, or those of a
 * bootstrap round.  Parts are worked on one after the other, so memory does not grow with the
 * number of classes.
 */
#ifndef PGML_STATS_METHOD_H
#define PGML_STATS_METHOD_H

#include <stdbool.h>

#include "stats/metric.h"

typedef struct PgmlMethod PgmlMethod;

/* Weighted rows of each class: right ones, true ones, predicted ones, and all. */
typedef struct PgmlCounts
{
	int n_classes;
	const double *right;
	const double *truth;
	const double *guess;
	double all;
} PgmlCounts;

typedef struct PgmlPrepared
{
	const PgmlMethod *method;
	PgmlTask task;
	int64_t n;
	int n_classes;
	double quantile; /* pinball: the one that predictions are to be */
	double *loss;    /* losses: of each row */
	double *centred; /* r2: y less about its mean */
	int32_t *truth;  /* classes: of each row */
	int32_t *guess;
	int32_t *order; /* curves: rows by falling score; NULL: weights are given in that order */
	uint8_t *mark;  /* curves: of each place in order, PGML_MARK_* */
} PgmlPrepared;

enum
{
	PGML_MARK_POSITIVE = 1,
	PGML_MARK_LAST = 2 /* the last row of those with this score */
};

struct PgmlMethod
{
	bool one_vs_rest; /* several classes: one part per class */
	PgmlStatus (*prepare)(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part,
						  PgmlPrepared *out);
	/*
	 * w: n weights, NULL for 1; scratch: pgml_metric_scratch() doubles.  Runs in threads, so it
	 * leaves env->error alone; it fails with CANCELLED only.
	 */
	PgmlStatus (*evaluate)(const PgmlEnv *env, const PgmlPrepared *part, const double *w,
						   double *scratch, double *value);
	/* What the shared prepare and evaluate functions of a family are given. */
	double (*row_loss)(const PgmlPredictions *p, int64_t row);
	bool root;
	double (*of_counts)(const PgmlCounts *c, PgmlTask task);
};

/* curve.c */
extern const PgmlMethod pgml_method_roc_auc;
extern const PgmlMethod pgml_method_average_precision;

/* classes.c */
extern const PgmlMethod pgml_method_accuracy;
extern const PgmlMethod pgml_method_balanced_accuracy;
extern const PgmlMethod pgml_method_precision;
extern const PgmlMethod pgml_method_recall;
extern const PgmlMethod pgml_method_f1;
extern const PgmlMethod pgml_method_mcc;

/* loss.c */
extern const PgmlMethod pgml_method_log_loss;
extern const PgmlMethod pgml_method_brier;
extern const PgmlMethod pgml_method_rmse;
extern const PgmlMethod pgml_method_mae;
extern const PgmlMethod pgml_method_r2;
extern const PgmlMethod pgml_method_mape;
extern const PgmlMethod pgml_method_rmsle;
extern const PgmlMethod pgml_method_pinball;

/*
 * metric.c: refuse what cannot be computed; *defined is false when the value is NaN without a
 * look.
 */
extern PgmlStatus pgml_metric_check(const PgmlEnv *env, const PgmlMetric *metric,
									const PgmlPredictions *p, bool *defined);

/* metric.c: number of parts; one part made ready. */
extern int pgml_metric_parts(const PgmlMetric *metric, const PgmlPredictions *p);
extern PgmlStatus pgml_metric_prepare(const PgmlEnv *env, PgmlArena *arena,
									  const PgmlMetric *metric, const PgmlPredictions *p, int part,
									  PgmlPrepared *out);

/* Doubles that evaluate() may need to work in. */
static inline size_t
pgml_metric_scratch(const PgmlPredictions *p)
{
	return 3 * (size_t) p->n_classes;
}

/* Weight of a row. */
static inline double
pgml_weight(const double *w, int64_t row)
{
	return w ? w[row] : 1.0;
}

/* True when the work must end; looks at the flag every 65,536 rows. */
static inline bool
pgml_poll(const PgmlEnv *env, int64_t i)
{
	return (i & 0xffff) == 0 && pgml_stopped(env);
}

#endif
