/*
 * loss.c - metrics that are a weighted mean of a loss of each row, and r2, which compares two of
 * them.
 */
#include <float.h>
#include <math.h>

#include "stats/method.h"

/* Where log_loss cuts probabilities, as scikit-learn did for doubles until 1.2. */
#define LOG_LOSS_EPS 1e-15

/* The probability cut to [eps, 1 - eps]. */
static double
clip(double q)
{
	return fmin(fmax(q, LOG_LOSS_EPS), 1.0 - LOG_LOSS_EPS);
}

/*
 * -log of the probability given to the true class; several classes are made to sum to 1 after the
 * cut.
 */
static double
log_loss(const PgmlPredictions *p, int64_t row)
{
	const double *q;
	double sum = 0;

	if (p->task == PGML_TASK_BINARY)
		return -log(clip(p->y[row] == 1.0 ? p->p[row] : 1.0 - p->p[row]));
	q = p->p + row * p->n_classes;
	for (int c = 0; c < p->n_classes; c++)
		sum += clip(q[c]);
	return -log(clip(q[(int) p->y[row]]) / sum);
}

/* Squared difference of probability and outcome; several classes: summed over the classes. */
static double
brier(const PgmlPredictions *p, int64_t row)
{
	const double *q = p->p + row * p->n_classes;
	double sum = 0;

	if (p->task == PGML_TASK_BINARY)
		return (p->p[row] - p->y[row]) * (p->p[row] - p->y[row]);
	for (int c = 0; c < p->n_classes; c++)
	{
		double d = q[c] - (p->y[row] == c);

		sum += d * d;
	}
	return sum;
}

static double
squared(const PgmlPredictions *p, int64_t row)
{
	double d = p->p[row] - p->y[row];

	return d * d;
}

static double
absolute(const PgmlPredictions *p, int64_t row)
{
	return fabs(p->p[row] - p->y[row]);
}

static double
percentage(const PgmlPredictions *p, int64_t row)
{
	return fabs(p->p[row] - p->y[row]) / fmax(fabs(p->y[row]), DBL_EPSILON);
}

/* NaN, and so undefined as a whole, for true values at or below -1; predictions below 0 count as 0. */
static double
squared_log(const PgmlPredictions *p, int64_t row)
{
	double d;

	if (p->y[row] <= -1.0)
		return NAN;
	d = log1p(fmax(p->p[row], 0.0)) - log1p(p->y[row]);
	return d * d;
}

/* The loss of every row, once. */
static PgmlStatus
prepare(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part, PgmlPrepared *out)
{
	(void) part;
	out->loss = pgml_array(arena, (size_t) p->n, sizeof(double));
	if (!out->loss)
		return pgml_fail_nomem(env, "a metric");
	for (int64_t i = 0; i < p->n; i++)
	{
		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		out->loss[i] = out->method->row_loss(p, i);
	}
	return PGML_OK;
}

static PgmlStatus
evaluate(const PgmlEnv *env, const PgmlPrepared *part, const double *w, double *scratch,
		 double *value)
{
	double sum = 0;
	double all = 0;

	(void) scratch;
	for (int64_t i = 0; i < part->n; i++)
	{
		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		sum += pgml_weight(w, i) * part->loss[i];
		all += pgml_weight(w, i);
	}
	*value = all > 0 ? sum / all : NAN;
	if (part->method->root)
		*value = sqrt(*value);
	return PGML_OK;
}

/* What the prediction is too low, for now. */
static double
shortfall(const PgmlPredictions *p, int64_t row)
{
	return p->y[row] - p->p[row];
}

/* The quantile's share of what a prediction is too low, the rest of what one is too high (Koenker and Bassett 1978). */
static PgmlStatus
prepare_pinball(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part,
				PgmlPrepared *out)
{
	PGML_TRY(prepare(env, arena, p, part, out));
	for (int64_t i = 0; i < p->n; i++)
	{
		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		out->loss[i] *= out->loss[i] >= 0 ? out->quantile : out->quantile - 1;
	}
	return PGML_OK;
}

/* Squared errors, and y less its mean, which keeps the variance below exact enough. */
static PgmlStatus
prepare_r2(const PgmlEnv *env, PgmlArena *arena, const PgmlPredictions *p, int part,
		   PgmlPrepared *out)
{
	double mean = 0;

	PGML_TRY(prepare(env, arena, p, part, out));
	out->centred = pgml_array(arena, (size_t) p->n, sizeof(double));
	if (!out->centred)
		return pgml_fail_nomem(env, "a metric");
	for (int64_t i = 0; i < p->n; i++)
		mean += (p->y[i] - mean) / (double) (i + 1);
	for (int64_t i = 0; i < p->n; i++)
	{
		if (pgml_poll(env, i))
			return pgml_fail_cancelled(env);
		out->centred[i] = p->y[i] - mean;
	}
	return PGML_OK;
}

/* 1 - squared error / squared deviation from the weighted mean; NaN when all y are equal. */
static PgmlStatus
evaluate_r2(const PgmlEnv *env, const PgmlPrepared *part, const double *w, double *scratch,
			double *value)
{
	double error = 0;
	double all = 0;
	double first = 0;
	double second = 0;
	double spread;

	(void) scratch;
	for (int64_t i = 0; i < part->n; i++)
	{
		double weight = pgml_weight(w, i);

		if (pgml_poll(env, i))
			return PGML_ERR_CANCELLED;
		all += weight;
		error += weight * part->loss[i];
		first += weight * part->centred[i];
		second += weight * part->centred[i] * part->centred[i];
	}
	spread = all > 0 ? second - first * first / all : 0;
	/* What is left of equal values after rounding is no spread. */
	*value = spread > 1e-12 * second ? 1.0 - error / spread : NAN;
	return PGML_OK;
}

const PgmlMethod pgml_method_log_loss = { .prepare = prepare,
										  .evaluate = evaluate,
										  .row_loss = log_loss };
const PgmlMethod pgml_method_brier = { .prepare = prepare,
									   .evaluate = evaluate,
									   .row_loss = brier };
const PgmlMethod pgml_method_rmse = {
	.prepare = prepare, .evaluate = evaluate, .row_loss = squared, .root = true
};
const PgmlMethod pgml_method_mae = { .prepare = prepare,
									 .evaluate = evaluate,
									 .row_loss = absolute };
const PgmlMethod pgml_method_mape = { .prepare = prepare,
									  .evaluate = evaluate,
									  .row_loss = percentage };
const PgmlMethod pgml_method_rmsle = {
	.prepare = prepare, .evaluate = evaluate, .row_loss = squared_log, .root = true
};
const PgmlMethod pgml_method_pinball = { .prepare = prepare_pinball,
										 .evaluate = evaluate,
										 .row_loss = shortfall };
const PgmlMethod pgml_method_r2 = { .prepare = prepare_r2,
									.evaluate = evaluate_r2,
									.row_loss = squared };
