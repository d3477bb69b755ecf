/*
 * test_metric.c - metrics against scikit-learn's values, their undefined cases, and intervals.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "stats/metric.h"
#include "unit.h"

#define COUNT(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* scikit-learn 1.2.1 on the rows below, without and with the weights. */
typedef struct Answer
{
	const char *metric;
	double plain;
	double weighted;
} Answer;

static const double binary_y[] = { 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0,
								   0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1 };
static const double binary_p[] = { 0.9, 0.5, 0.7, 0.1, 0.7, 0.6, 0.6, 0.9, 0,   0.8,
								   0.3, 0.5, 0,   0.6, 0.3, 0.4, 0.4, 0.6, 0.8, 0.7,
								   0.6, 0.7, 0.2, 0.1, 0.2, 0.4, 0,   0.2, 0.8, 0.3 };
static const double weights[] = { 0.79, 1.58, 1.26, 1.69, 2.39, 1.77, 1.03, 2.25, 0.6,  2.99,
								  0.75, 0.64, 2.69, 2.96, 2.73, 1.16, 2.3,  2.38, 2.47, 2.16,
								  0.4,  0.28, 2.66, 1.53, 0.31, 1.82, 1.3,  1.62, 1.64, 2.05 };
static const double multi_y[] = { 2, 2, 0, 2, 0, 0, 0, 3, 1, 1, 0, 3, 3, 1, 0,
								  1, 0, 1, 3, 0, 2, 1, 0, 2, 0, 1, 0, 0, 1, 2 };
static const double multi_p[] = {
	0.11, 0.2,  0.26, 0.03, 0.4,  0,    0.08, 0.83, 0.08, 0.01, 0.17, 0.18, 0.49, 0.16, 0,
	0.53, 0.05, 0.22, 0.09, 0.11, 0.18, 0.16, 0.31, 0.33, 0.02, 0.19, 0.15, 0.28, 0.14, 0.24,
	0.57, 0.19, 0.05, 0.17, 0.02, 0.03, 0.25, 0.17, 0.47, 0.08, 0.39, 0.18, 0.1,  0.17, 0.16,
	0.05, 0.66, 0.22, 0.02, 0.05, 0.45, 0.11, 0.01, 0.04, 0.39, 0.12, 0.18, 0.16, 0.51, 0.03,
	0.12, 0.11, 0.47, 0.26, 0.04, 0.01, 0.31, 0.06, 0.58, 0.04, 0.02, 0.05, 0.23, 0.7,  0,
	0.16, 0.59, 0.09, 0.03, 0.13, 0.23, 0.17, 0.32, 0.11, 0.17, 0.29, 0.19, 0.31, 0.09, 0.12,
	0.24, 0.41, 0.1,  0.24, 0.01, 0.77, 0.04, 0.11, 0.07, 0.01, 0.07, 0.14, 0.65, 0.13, 0.01,
	0.06, 0.47, 0.1,  0.27, 0.1,  0.59, 0.17, 0.05, 0.07, 0.12, 0.03, 0.13, 0.54, 0.19, 0.11,
	0.17, 0.55, 0.08, 0.06, 0.14, 0.08, 0.58, 0.23, 0.02, 0.09, 0.06, 0.03, 0.74, 0.13, 0.04,
	0.61, 0.01, 0.05, 0.24, 0.09, 0.22, 0.05, 0.51, 0.14, 0.08, 0.11, 0.16, 0.34, 0.3,  0.09
};
static const double regression_y[] = { 0.92, 0.37, 1.01, 0,    0.7,  6.88, 0.88, 0.93, 3.23, 1.18,
									   0.59, 0.67, 6.68, 0.52, 0.59, 0.45, 0.9,  3.37, 1.19, 3.59,
									   0.89, 1,    0.73, 4.82, 3.94, 0.14, 0.32, 1.09, 4.11, 0.51 };
static const double regression_p[] = { 1.11, 0.36, 1.47, 1.01, 0.5,  9.1,  0.94, 1.04, 2.97, 1.51,
									   0.61, 0.54, 7.37, 0.63, 0.47, 0.38, 0.73, 2.67, 1.35, 2.89,
									   1.04, 0.93, 0.63, 9.17, 4.03, 0.13, 0.36, 1.42, 3.6,  0.31 };
static const Answer binary_answers[] = {
	{ "roc_auc", 0.81578947368421051, 0.80351586385286267 },
	{ "log_loss", 0.50933252346832214, 0.52804548097991766 },
	{ "accuracy", 0.69999999999999996, 0.69302788844621521 },
	{ "balanced_accuracy", 0.72488038277511957, 0.71299238889067684 },
	{ "precision", 0.5625, 0.57243423490181555 },
	{ "recall", 0.81818181818181823, 0.79968944099378891 },
	{ "f1", 0.66666666666666663, 0.66724249622111853 },
	{ "mcc", 0.4344408966548397, 0.41571651183924779 },
	{ "average_precision", 0.6968187514240145, 0.69161368176996152 },
	{ "brier", 0.17633333333333337, 0.18382868525896418 },
};
static const Answer multi_answers[] = {
	{ "roc_auc", 0.81594389406889412, 0.79414564781178276 },
	{ "log_loss", 1.2306561035328738, 1.2833634797991051 },
	{ "accuracy", 0.5, 0.45657370517928292 },
	{ "balanced_accuracy", 0.52083333333333337, 0.47694751697290949 },
	{ "precision", 0.42891774891774892, 0.4063750498831496 },
	{ "recall", 0.41666666666666669, 0.38155801357832753 },
	{ "f1", 0.40255540812816359, 0.35948119958609237 },
	{ "mcc", 0.35482136856848739, 0.31467190070347767 },
	{ "average_precision", 0.62020397222603096, 0.60521084038729478 },
	{ "brier", 0.61809333333333349, 0.63889151394422328 },
};
static const Answer regression_answers[] = {
	{ "rmse", 0.95510034376847885, 0.94300026616752963 },
	{ "mae", 0.45233333333333331, 0.47499800796812758 },
	{ "r2", 0.73866778966989821, 0.77211675404492364 },
	{ "mape", 151621187454806.88, 153131358644595.78 },
	{ "rmsle", 0.19317289119786479, 0.19493274252836484 },
	{ "pinball", 0.22616666666666668, 0.23749900398406379 },
};

/* What a computation is lent; error and stop are looked at by the tests. */
typedef struct Lent
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
} Lent;

static PgmlEnv *
lend(Lent *l)
{
	memset(l, 0, sizeof(*l));
	pgml_budget_init(&l->budget, 0);
	l->env.budget = &l->budget;
	l->env.error = &l->error;
	l->env.stop = &l->stop;
	return &l->env;
}

static PgmlPredictions
predictions(PgmlTask task, int n_classes, int64_t n, const double *y, const double *p,
			const double *w)
{
	PgmlPredictions preds = { task, n_classes, n, y, p, w, NULL };

	return preds;
}

static PgmlPredictions
binary(const double *w)
{
	return predictions(PGML_TASK_BINARY, 2, COUNT(binary_y), binary_y, binary_p, w);
}

static PgmlPredictions
multi(const double *w)
{
	return predictions(PGML_TASK_MULTICLASS, 5, COUNT(multi_y), multi_y, multi_p, w);
}

static PgmlPredictions
regression(const double *w)
{
	return predictions(PGML_TASK_REGRESSION, 1, COUNT(regression_y), regression_y, regression_p, w);
}

/* The value of a metric that is expected to be computed without an error. */
static double
value_of(const char *metric, PgmlPredictions preds)
{
	Lent l;
	double value;

	assert_non_null(pgml_metric_find(metric));
	assert_int_equal(pgml_metric_compute(lend(&l), pgml_metric_find(metric), &preds, &value),
					 PGML_OK);
	assert_int_equal(atomic_load(&l.budget.used), 0);
	return value;
}

static void
assert_close(double a, double b, double relative)
{
	if (!(fabs(a - b) <= relative * fmax(1.0, fabs(b))))
		fail_msg("%.17g is not %.17g", a, b);
}

static void
check_answers(const Answer *answers, int n, PgmlPredictions plain, PgmlPredictions weighted)
{
	for (int i = 0; i < n; i++)
	{
		assert_close(value_of(answers[i].metric, plain), answers[i].plain, 1e-12);
		assert_close(value_of(answers[i].metric, weighted), answers[i].weighted, 1e-12);
	}
}

static void
test_known_answers(void **state)
{
	(void) state;
	check_answers(binary_answers, COUNT(binary_answers), binary(NULL), binary(weights));
	check_answers(multi_answers, COUNT(multi_answers), multi(NULL), multi(weights));
	check_answers(regression_answers, COUNT(regression_answers), regression(NULL),
				  regression(weights));
}

/* Too high by 1, right, too low by 2, too high by 4: of the quantile 0.9, these are 0.1, 0, 1.8 and 0.4; scikit-learn says the same. */
static void
test_pinball(void **state)
{
	static const double y[] = { 1, 2, 3, 4 };
	static const double p[] = { 2, 2, 1, 8 };
	static const double w[] = { 1, 1, 3, 1 };
	PgmlMetric high = pgml_metric_at(pgml_metric_find("pinball"), 0.9);
	PgmlPredictions preds = predictions(PGML_TASK_REGRESSION, 1, 4, y, p, NULL);
	Lent l;
	double value, upper;

	(void) state;
	assert_int_equal(pgml_metric_compute(lend(&l), &high, &preds, &value), PGML_OK);
	assert_close(value, 2.3 / 4, 1e-15);
	assert_int_equal(
		pgml_metric_interval(&l.env, &high, &preds, NULL, 0, 0.95, 200, 1, &value, &upper),
		PGML_OK);
	assert_true(value >= 0 && value < 0.575 && upper > 0.575 && upper <= 1.8);
	preds.w = w;
	assert_int_equal(pgml_metric_compute(&l.env, &high, &preds, &value), PGML_OK);
	assert_close(value, 5.9 / 6, 1e-15);
	assert_int_equal(atomic_load(&l.budget.used), 0);
}

/* Every metric has an answer above, a sentence, a task, and can be found. */
static void
test_registry(void **state)
{
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	(void) state;
	assert_int_equal(n, COUNT(binary_answers) + COUNT(regression_answers));
	for (int i = 0; i < n; i++)
	{
		assert_ptr_equal(pgml_metric_find(metrics[i].name), &metrics[i]);
		assert_true(strlen(metrics[i].summary) > 10);
		assert_int_not_equal(metrics[i].tasks, 0);
	}
	assert_null(pgml_metric_find("auc"));
	assert_null(pgml_metric_find(""));
	assert_string_equal(pgml_metric_default(PGML_TASK_BINARY)->name, "roc_auc");
	assert_string_equal(pgml_metric_default(PGML_TASK_MULTICLASS)->name, "log_loss");
	assert_string_equal(pgml_metric_default(PGML_TASK_REGRESSION)->name, "rmse");
}

static void
test_better(void **state)
{
	const PgmlMetric *auc = pgml_metric_find("roc_auc");
	const PgmlMetric *rmse = pgml_metric_find("rmse");

	(void) state;
	assert_true(pgml_metric_better(auc, 0.8, 0.7));
	assert_false(pgml_metric_better(auc, 0.7, 0.8));
	assert_false(pgml_metric_better(auc, 0.7, 0.7));
	assert_true(pgml_metric_better(rmse, 1, 2));
	assert_false(pgml_metric_better(rmse, 2, 1));
	assert_true(pgml_metric_better(rmse, 2, NAN));
	assert_false(pgml_metric_better(rmse, NAN, 2));
	assert_false(pgml_metric_better(auc, NAN, NAN));
}

/* A row of weight 2 is two rows, one of weight 0 is none. */
static void
test_weights_are_copies(void **state)
{
	static const double w[] = { 2, 0, 1, 1, 2, 0, 3, 1 };
	static const double y[] = { 1, 1, 0, 1, 0, 0, 1, 2 };
	static const double p[] = { 0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.3, 0.3, 0.4, 0.2, 0.5, 0.3,
								0.4, 0.5, 0.1, 0.9, 0.1, 0.0, 0.3, 0.6, 0.1, 0.2, 0.2, 0.6 };
	int n_metrics;
	const PgmlMetric *metrics = pgml_metrics(&n_metrics);

	(void) state;
	for (int m = 0; m < n_metrics; m++)
	{
		bool classes = metrics[m].tasks & PGML_TASK_MULTICLASS;
		PgmlTask task = classes ? PGML_TASK_MULTICLASS : PGML_TASK_REGRESSION;
		int k = classes ? 3 : 1;
		double y_copies[10], p_copies[30];
		int64_t n = 0;

		for (int i = 0; i < 8; i++)
			for (int copy = 0; copy < (int) w[i]; copy++, n++)
			{
				y_copies[n] = y[i];
				memcpy(p_copies + k * n, p + k * i, k * sizeof(double));
			}
		assert_int_equal(n, 10);
		assert_close(value_of(metrics[m].name, predictions(task, k, 8, y, p, w)),
					 value_of(metrics[m].name, predictions(task, k, n, y_copies, p_copies, NULL)),
					 1e-12);
	}
}

/* roc_auc is what counting all pairs gives. */
static void
test_auc_counts_pairs(void **state)
{
	enum
	{
		N = 400
	};
	double y[N], p[N], w[N];
	double right = 0, pairs = 0;
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 7, 0);
	for (int i = 0; i < N; i++)
	{
		y[i] = (double) pgml_rng_below(&rng, 2);
		p[i] = (double) pgml_rng_below(&rng, 50) / 50;
		w[i] = pgml_rng_uniform(&rng);
	}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++)
			if (y[i] == 1 && y[j] == 0)
			{
				pairs += w[i] * w[j];
				right += w[i] * w[j] * (p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0);
			}
	assert_close(value_of("roc_auc", predictions(PGML_TASK_BINARY, 2, N, y, p, w)), right / pairs,
				 1e-12);
}

/* Scores on both sides of zero, and both zeros, are ordered as numbers. */
static void
test_auc_order(void **state)
{
	static const double y[] = { 0, 1, 0, 1, 1 };
	static const double p[] = { -2, -1, 0.0, -0.0, 3 };

	(void) state;
	/* pairs of 6 that are right: -1 > -2, -0 > -2, -0 = 0 (half), 3 > both */
	assert_close(value_of("roc_auc", predictions(PGML_TASK_BINARY, 2, 5, y, p, NULL)), 4.5 / 6,
				 1e-15);
}

static void
test_undefined(void **state)
{
	static const double ones[] = { 1, 1, 1 };
	static const double zeros[] = { 0, 0, 0 };
	static const double mixed[] = { 0, 1, 1 };
	static const double p[] = { 0.2, 0.7, 0.9 };
	static const double holes[] = { 0.2, NAN, 0.9 };
	static const double endless[] = { 0.2, INFINITY, 0.9 };
	static const double low[] = { -1, 0.5, 0.5 };
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		PgmlTask task =
			metrics[i].tasks & PGML_TASK_REGRESSION ? PGML_TASK_REGRESSION : PGML_TASK_BINARY;

		assert_true(isnan(value_of(metrics[i].name, predictions(task, 2, 0, NULL, NULL, NULL))));
		assert_true(isnan(value_of(metrics[i].name, predictions(task, 2, 3, mixed, holes, NULL))));
		assert_true(
			isnan(value_of(metrics[i].name, predictions(task, 2, 3, mixed, endless, NULL))));
		assert_true(isnan(value_of(metrics[i].name, predictions(task, 2, 3, mixed, p, zeros))));
		assert_true(isnan(value_of(metrics[i].name, predictions(task, 2, 3, mixed, p, holes))));
		assert_false(isnan(value_of(metrics[i].name, predictions(task, 2, 3, mixed, p, NULL))));
	}
	assert_true(isnan(value_of("roc_auc", predictions(PGML_TASK_BINARY, 2, 3, ones, p, NULL))));
	assert_true(isnan(value_of("roc_auc", predictions(PGML_TASK_BINARY, 2, 3, zeros, p, NULL))));
	assert_true(
		isnan(value_of("average_precision", predictions(PGML_TASK_BINARY, 2, 3, zeros, p, NULL))));
	assert_true(isnan(value_of("r2", predictions(PGML_TASK_REGRESSION, 1, 3, ones, p, NULL))));
	assert_true(isnan(value_of("r2", predictions(PGML_TASK_REGRESSION, 1, 1, ones, p, NULL))));
	assert_true(isnan(value_of("rmsle", predictions(PGML_TASK_REGRESSION, 1, 3, low, p, NULL))));
	assert_false(isnan(value_of("rmsle", predictions(PGML_TASK_REGRESSION, 1, 3, p, low, NULL))));
}

/* Cases where scikit-learn gives 0, a cut, or a value at the edge. */
static void
test_edges(void **state)
{
	static const double y[] = { 0, 1, 1 };
	static const double none[] = { 0.1, 0.2, 0.3 };
	static const double sure[] = { 0, 0, 1 };
	static const double half[] = { 0.5, 0.5, 0.5 };
	static const double zeros[] = { 0, 0, 0 };
	static const double negative[] = { 0, -3.5, 1 };
	static const double target[] = { 0, 0, 1 };
	PgmlPredictions nothing = predictions(PGML_TASK_BINARY, 2, 3, y, none, NULL);
	PgmlPredictions tied = predictions(PGML_TASK_BINARY, 2, 3, y, half, NULL);

	(void) state;
	assert_close(value_of("precision", nothing), 0, 0);
	assert_close(value_of("recall", nothing), 0, 0);
	assert_close(value_of("f1", nothing), 0, 0);
	assert_close(value_of("mcc", nothing), 0, 0);
	assert_close(value_of("recall", predictions(PGML_TASK_BINARY, 2, 3, zeros, sure, NULL)), 0, 0);
	assert_close(
		value_of("balanced_accuracy", predictions(PGML_TASK_BINARY, 2, 3, zeros, sure, NULL)),
		2.0 / 3, 1e-15);
	assert_close(value_of("roc_auc", tied), 0.5, 0);
	assert_close(value_of("average_precision", tied), 2.0 / 3, 1e-15);
	assert_close(value_of("recall", tied), 1, 0); /* 0.5 is predicted 1 */
	assert_close(value_of("log_loss", predictions(PGML_TASK_BINARY, 2, 3, y, sure, NULL)),
				 -log(1e-15) / 3, 1e-12);
	assert_close(value_of("rmsle", predictions(PGML_TASK_REGRESSION, 1, 3, target, negative, NULL)),
				 0, 0);
	assert_close(value_of("rmse", predictions(PGML_TASK_REGRESSION, 1, 1, y, half, NULL)), 0.5, 0);
}

static void
test_refused(void **state)
{
	static const double y[] = { 0, 2, 1 };
	static const double halves[] = { 0, 0.5, 1 };
	static const double p[] = { 0.1, 0.2, 0.3 };
	PgmlPredictions preds = predictions(PGML_TASK_BINARY, 2, 3, y, p, NULL);
	Lent l;
	double value, high;

	(void) state;
	assert_int_equal(pgml_metric_compute(lend(&l), pgml_metric_find("rmse"), &preds, &value),
					 PGML_ERR_BADARG);
	assert_string_equal(l.error.message, "metric \"rmse\" is not defined for this task");
	assert_int_equal(pgml_metric_compute(lend(&l), pgml_metric_find("f1"), &preds, &value),
					 PGML_ERR_DATA);
	assert_string_equal(l.error.message, "2 is not a class number below 2");
	preds.y = halves;
	assert_int_equal(pgml_metric_compute(lend(&l), pgml_metric_find("f1"), &preds, &value),
					 PGML_ERR_DATA);
	preds = binary(NULL);
	assert_int_equal(pgml_metric_interval(lend(&l), pgml_metric_find("f1"), &preds, NULL, 0, 1.0,
										  200, 1, &value, &high),
					 PGML_ERR_BADARG);
	assert_int_equal(pgml_metric_interval(lend(&l), pgml_metric_find("f1"), &preds, NULL, 0, 0.9, 0,
										  1, &value, &high),
					 PGML_ERR_BADARG);
}

/* n rows of a mediocre classifier. */
static PgmlPredictions
many(int64_t n, double *y, double *p)
{
	PgmlRng rng;

	pgml_rng_init(&rng, 11, 0);
	for (int64_t i = 0; i < n; i++)
	{
		y[i] = pgml_rng_uniform(&rng) < 0.3;
		p[i] = 1 / (1 + exp(-pgml_rng_normal(&rng) - y[i]));
	}
	return predictions(PGML_TASK_BINARY, 2, n, y, p, NULL);
}

static void
interval(PgmlEnv *env, const char *metric, PgmlPredictions preds, int rounds, double *low,
		 double *high)
{
	assert_int_equal(pgml_metric_interval(env, pgml_metric_find(metric), &preds, NULL, 0, 0.95,
										  rounds, 42, low, high),
					 PGML_OK);
	assert_int_equal(atomic_load(&env->budget->used), 0);
}

/* Every metric's interval is finite, ordered, and around the value on these rows. */
static void
test_intervals(void **state)
{
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);
	double low, high;
	Lent l;

	(void) state;
	for (int i = 0; i < n; i++)
	{
		PgmlPredictions preds =
			metrics[i].tasks & PGML_TASK_REGRESSION ? regression(weights) : multi(weights);
		double value = value_of(metrics[i].name, preds);

		interval(lend(&l), metrics[i].name, preds, 200, &low, &high);
		assert_true(low < value && value < high);
		if (metrics[i].tasks & PGML_TASK_BINARY)
		{
			interval(lend(&l), metrics[i].name, binary(NULL), 200, &low, &high);
			value = value_of(metrics[i].name, binary(NULL));
			assert_true(low < value && value < high);
		}
	}
}

/* Same seed, same interval, on one thread and on three, drawn row by row and by Poisson numbers. */
static void
test_interval_threads(void **state)
{
	static const int64_t sizes[] = { 1000, 100001 };
	double *y = malloc(100001 * sizeof(double));
	double *p = malloc(100001 * sizeof(double));

	(void) state;
	for (int s = 0; s < COUNT(sizes); s++)
	{
		PgmlPredictions preds = many(sizes[s], y, p);
		double low, high, low3, high3;
		Lent l;

		interval(lend(&l), "roc_auc", preds, 60, &low, &high);
		lend(&l);
		l.env.pool = pgml_pool_create(3);
		interval(&l.env, "roc_auc", preds, 60, &low3, &high3);
		pgml_pool_destroy(l.env.pool);
		assert_memory_equal(&low, &low3, sizeof(double));
		assert_memory_equal(&high, &high3, sizeof(double));
		assert_int_equal(pgml_metric_interval(lend(&l), pgml_metric_find("roc_auc"), &preds, NULL,
											  0, 0.95, 60, 43, &low3, &high3),
						 PGML_OK);
		assert_true(low != low3);
	}
	free(y);
	free(p);
}

/* The interval of a mean is what its standard error says, for both ways of drawing. */
static void
test_interval_width(void **state)
{
	static const int64_t sizes[] = { 20000, 120000 };
	double *y = malloc(120000 * sizeof(double));
	double *p = malloc(120000 * sizeof(double));

	(void) state;
	for (int s = 0; s < COUNT(sizes); s++)
	{
		PgmlPredictions preds = many(sizes[s], y, p);
		double mean = value_of("accuracy", preds);
		double error = sqrt(mean * (1 - mean) / (double) sizes[s]);
		double low, high;
		Lent l;

		interval(lend(&l), "accuracy", preds, 400, &low, &high);
		assert_close((high - low) / (2 * 1.96 * error), 1, 0.15);
		assert_close((high + low - 2 * mean) / error, 0, 0.4);
	}
	free(y);
	free(p);
}

/* Rows of a group that are copies of each other tell no more than one row. */
static void
test_interval_groups(void **state)
{
	enum
	{
		GROUPS = 500,
		EACH = 8
	};
	static double y[GROUPS * EACH], p[GROUPS * EACH], y1[GROUPS], p1[GROUPS];
	static int32_t group[GROUPS * EACH];
	PgmlPredictions one = many(GROUPS, y1, p1);
	PgmlPredictions all = predictions(PGML_TASK_BINARY, 2, GROUPS * EACH, y, p, NULL);
	const PgmlMetric *accuracy = pgml_metric_find("accuracy");
	double low, high, low1, high1;
	Lent l;

	(void) state;
	for (int i = 0; i < GROUPS * EACH; i++)
	{
		group[i] = i % GROUPS;
		y[i] = y1[i % GROUPS];
		p[i] = p1[i % GROUPS];
	}
	interval(lend(&l), "accuracy", one, 200, &low1, &high1);
	assert_int_equal(
		pgml_metric_interval(lend(&l), accuracy, &all, group, GROUPS, 0.95, 200, 42, &low, &high),
		PGML_OK);
	assert_close(low, low1, 1e-12);
	assert_close(high, high1, 1e-12);
	assert_int_equal(pgml_metric_interval(lend(&l), accuracy, &all, group, GROUPS - 1, 0.95, 200,
										  42, &low, &high),
					 PGML_ERR_BADARG);
	memset(group, 0, sizeof(group));
	assert_int_equal(
		pgml_metric_interval(lend(&l), accuracy, &all, group, 1, 0.95, 200, 42, &low, &high),
		PGML_OK);
	assert_close(low, value_of("accuracy", all), 1e-12);
	assert_close(high, low, 0);
}

/* When time is up 50 rounds are done: the same as asking for 50. */
static void
test_interval_deadline(void **state)
{
	double low, high, low50, high50;
	Lent l;

	(void) state;
	interval(lend(&l), "roc_auc", multi(NULL), 50, &low50, &high50);
	lend(&l);
	l.env.deadline = pgml_now() - 1;
	interval(&l.env, "roc_auc", multi(NULL), 200, &low, &high);
	assert_close(low, low50, 0);
	assert_close(high, high50, 0);
}

/* One row, no value at all, and values in some resamples only. */
static void
test_interval_undefined(void **state)
{
	static const double y[] = { 0, 1, 0, 0 };
	static const double p[] = { 0.2, 0.9, 0.4, 0.3 };
	double low, high;
	Lent l;

	(void) state;
	interval(lend(&l), "accuracy", predictions(PGML_TASK_BINARY, 2, 1, y, p, NULL), 200, &low,
			 &high);
	assert_close(low, 1, 0);
	assert_close(high, 1, 0);
	interval(lend(&l), "accuracy", predictions(PGML_TASK_BINARY, 2, 0, y, p, NULL), 200, &low,
			 &high);
	assert_true(isnan(low) && isnan(high));
	interval(lend(&l), "roc_auc", predictions(PGML_TASK_BINARY, 2, 4, y, p, NULL), 200, &low,
			 &high);
	assert_close(low, 1, 0);
	assert_close(high, 1, 0);
	interval(lend(&l), "roc_auc", predictions(PGML_TASK_BINARY, 2, 2, y + 2, p, NULL), 200, &low,
			 &high);
	assert_true(isnan(low) && isnan(high));
}

static void
test_cancelled(void **state)
{
	PgmlPredictions preds = binary(NULL);
	double value, high;
	Lent l;

	(void) state;
	lend(&l);
	l.stop = 1;
	assert_int_equal(pgml_metric_compute(&l.env, pgml_metric_find("roc_auc"), &preds, &value),
					 PGML_ERR_CANCELLED);
	assert_int_equal(pgml_metric_interval(&l.env, pgml_metric_find("roc_auc"), &preds, NULL, 0,
										  0.95, 200, 1, &value, &high),
					 PGML_ERR_CANCELLED);
	assert_int_equal(l.error.status, PGML_ERR_CANCELLED);
	assert_int_equal(atomic_load(&l.budget.used), 0);
}

/* Each allocation fails once: an error that says so, and nothing kept. */
static void
test_out_of_memory(void **state)
{
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		PgmlPredictions preds =
			metrics[i].tasks & PGML_TASK_REGRESSION ? regression(NULL) : multi(NULL);
		PgmlStatus status = PGML_ERR_NOMEM;

		for (int at = 1; status != PGML_OK; at++)
		{
			double low, high;
			Lent l;

			lend(&l);
			l.budget.fail_at = at;
			status = pgml_metric_interval(&l.env, &metrics[i], &preds, NULL, 0, 0.95, 50, 1, &low,
										  &high);
			assert_true(status == PGML_OK || status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			assert_int_equal(l.error.status, status);
			assert_int_equal(atomic_load(&l.budget.used), 0);
			assert_in_range(at, 1, 100);
		}
		status = PGML_ERR_NOMEM;
		for (int at = 1; status != PGML_OK; at++)
		{
			double value;
			Lent l;

			lend(&l);
			l.budget.fail_at = at;
			status = pgml_metric_compute(&l.env, &metrics[i], &preds, &value);
			assert_int_equal(l.error.status, status);
			assert_int_equal(atomic_load(&l.budget.used), 0);
			assert_in_range(at, 1, 100);
		}
	}
}

int
test_metric(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_pinball),
		cmocka_unit_test(test_registry),
		cmocka_unit_test(test_better),
		cmocka_unit_test(test_weights_are_copies),
		cmocka_unit_test(test_auc_counts_pairs),
		cmocka_unit_test(test_auc_order),
		cmocka_unit_test(test_undefined),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_interval_threads),
		cmocka_unit_test(test_interval_width),
		cmocka_unit_test(test_interval_groups),
		cmocka_unit_test(test_interval_deadline),
		cmocka_unit_test(test_interval_undefined),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
