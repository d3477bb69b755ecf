/* temperature.c - see temperature.h. */
#include "stats/temperature.h"

#include <math.h>

#include "core/arena.h"

/*
 * What is believed before rows are seen: the logarithm of the temperature is normal around 0 with a variance of 1 / (2 * PRIOR), a
 * standard deviation of 0.22.
 */
#define PRIOR 10.0

#define LEAST_PROBABILITY 1e-15 /* as in the log loss */
#define MOST_STEPS        60
#define PRECISION         1e-7 /* of the logarithm of the temperature */
#define ALL_PARTS         -1

/* ---- applying ---- */

static double
temper_binary(double p, double temperature)
{
	double z, e;

	/* Rounding makes sums of weights, and so a mean of ones, a little more than 1. */
	if (p <= 0 || p >= 1)
		return p <= 0 ? 0 : 1;
	/* One half stays one half: the quotient is exactly 1. */
	z = log(p / (1 - p)) / temperature;
	e = exp(-fabs(z));
	return (z >= 0 ? 1 : e) / (1 + e);
}

static void
temper_row(int n_classes, double temperature, double *p)
{
	double top = p[0], sum = 0;

	for (int k = 1; k < n_classes; k++)
		top = p[k] > top ? p[k] : top;
	for (int k = 0; k < n_classes; k++)
		sum += p[k] = exp(log(p[k] / top) / temperature);
	for (int k = 0; k < n_classes; k++)
		p[k] /= sum;
}

void
pgml_temper(PgmlTask task, int n_classes, double temperature, int64_t n, double *p)
{
	for (int64_t i = 0; i < n; i++)
	{
		if (task == PGML_TASK_BINARY)
			p[i] = temper_binary(p[i], temperature);
		else
			temper_row(n_classes, temperature, p + i * n_classes);
	}
}

/* ---- fitting ---- */

/* Rows as the loss needs them. */
typedef struct Rows
{
	const PgmlEnv *env;
	const PgmlPredictions *preds;
	const uint8_t *part;
	double *log;   /* n x classes: logarithms of the probabilities */
	double weight; /* that all rows' weights are multiplied by: their mean becomes 1 */
} Rows;

/* Log loss at a sharpness (1 / temperature) and its derivatives in that, added up over rows. */
typedef struct Loss
{
	double weight;
	double value;
	double slope;
	double curvature;
} Loss;

/* Add a row with logarithms l of class y. */
static void
add_row(const double *l, int n_classes, int y, double sharpness, double w, Loss *loss)
{
	double top = l[0], sum = 0, first = 0, second = 0;

	for (int k = 1; k < n_classes; k++)
		top = l[k] > top ? l[k] : top;
	for (int k = 0; k < n_classes; k++)
	{
		double e = exp(sharpness * (l[k] - top));

		sum += e;
		first += e * l[k];
		second += e * l[k] * l[k];
	}
	first /= sum;
	loss->weight += w;
	loss->value += w * (log(sum) + sharpness * (top - l[y]));
	loss->slope += w * (first - l[y]);
	loss->curvature += w * fmax(second / sum - first * first, 0);
}

/* The loss of a part, or of all rows but those of a part. */
static PgmlStatus
find_loss(const Rows *rows, int part, bool inside, double sharpness, Loss *loss)
{
	const PgmlPredictions *p = rows->preds;

	*loss = (Loss){ 0 };
	if (pgml_stopped(rows->env))
		return pgml_fail_cancelled(rows->env);
	for (int64_t i = 0; i < p->n; i++)
		if ((rows->part[i] == part) == inside)
			add_row(rows->log + i * p->n_classes, p->n_classes, (int) p->y[i], sharpness,
					(p->w ? p->w[i] : 1) * rows->weight, loss);
	return PGML_OK;
}

/*
 * The logarithm of the sharpness at which the loss of all rows but those of a part, and what is believed before, are least: Newton's steps from
 * *theta, halving the interval where they leave it.
 */
static PgmlStatus
minimise(const Rows *rows, int part, double *theta)
{
	double low = -log(PGML_TEMPERATURE_MAX), high = -log(PGML_TEMPERATURE_MIN);

	for (int step = 0; step < MOST_STEPS; step++)
	{
		double sharpness = exp(*theta), slope, curvature, next;
		Loss loss;

		PGML_TRY(find_loss(rows, part, false, sharpness, &loss));
		slope = sharpness * loss.slope + 2 * PRIOR * *theta;
		curvature = sharpness * sharpness * loss.curvature + sharpness * loss.slope + 2 * PRIOR;
		if (slope > 0)
			high = *theta;
		else
			low = *theta;
		next = *theta - slope / curvature;
		if (!(curvature > 0 && next >= low && next <= high))
			next = (low + high) / 2;
		if (fabs(next - *theta) < PRECISION)
			return PGML_OK;
		*theta = next;
	}
	return PGML_OK;
}

/* Each part's loss at what was fitted to the others. */
static PgmlStatus
validate(const Rows *rows, double theta, PgmlTemperature *out)
{
	bool seen[256] = { false };
	double weight = 0, before = 0, after = 0;

	for (int64_t i = 0; i < rows->preds->n; i++)
		seen[rows->part[i]] = true;
	for (int part = 0; part < 256; part++)
	{
		double other = theta;
		Loss loss;

		if (!seen[part])
			continue;
		PGML_TRY(minimise(rows, part, &other));
		PGML_TRY(find_loss(rows, part, true, 1, &loss));
		before += loss.value;
		PGML_TRY(find_loss(rows, part, true, exp(other), &loss));
		after += loss.value;
		weight += loss.weight;
	}
	out->before = before / weight;
	out->after = after / weight;
	return PGML_OK;
}

static double
log_probability(double p)
{
	return log(fmin(fmax(p, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY));
}

static PgmlStatus
fit(Rows *rows, PgmlArena *arena, PgmlTemperature *out)
{
	const PgmlPredictions *p = rows->preds;
	double weight = 0, theta = 0;

	rows->log = pgml_array(arena, (size_t) p->n * p->n_classes, sizeof(double));
	if (!rows->log)
		return pgml_fail_nomem(rows->env, "the temperature");
	for (int64_t i = 0; i < p->n; i++)
		weight += p->w ? p->w[i] : 1;
	rows->weight = (double) p->n / weight;
	for (int64_t i = 0; p->task == PGML_TASK_BINARY && i < p->n; i++)
	{
		rows->log[2 * i] = log_probability(1 - p->p[i]);
		rows->log[2 * i + 1] = log_probability(p->p[i]);
	}
	for (int64_t j = 0; p->task != PGML_TASK_BINARY && j < p->n * p->n_classes; j++)
		rows->log[j] = log_probability(p->p[j]);
	PGML_TRY(minimise(rows, ALL_PARTS, &theta));
	out->temperature = fmin(fmax(exp(-theta), PGML_TEMPERATURE_MIN), PGML_TEMPERATURE_MAX);
	return validate(rows, theta, out);
}

PgmlStatus
pgml_temperature_fit(const PgmlEnv *env, const PgmlPredictions *p, const uint8_t *part,
					 PgmlTemperature *out)
{
	Rows rows = { .env = env, .preds = p, .part = part };
	PgmlArena *arena;
	PgmlStatus status;

	*out = (PgmlTemperature){ .temperature = 1 };
	if (p->n == 0)
		return PGML_OK;
	arena = pgml_arena_create(env->budget);
	status = arena ? fit(&rows, arena, out) : pgml_fail_nomem(env, "the temperature");
	pgml_arena_destroy(arena);
	return status;
}
