/* stack.c - see stack.h. */
#include "stats/stack.h"

#include <math.h>
#include <string.h>

#include "core/clones.h"
#include "core/par.h"

#define MODELS PGML_STACK_MODELS

/* Probabilities below this count as this: no single model can rule a class out. */
#define LEAST_PROBABILITY 1e-7

/*
 * What is believed before rows are seen: each weight is normal around the centre's with a variance of 1 / (2 * PENALTY), a
 * standard deviation of 0.13.
 */
#define PENALTY 30.0

#define MOST_STEPS   50
#define MOST_HALVING 30
#define PRECISION    1e-9 /* of the loss of a row */
#define ALL_PARTS    -1
#define MOST_PARTS   256

/* Rows between two looks at whether to stop. */
#define ROWS_AT_ONCE 1024

/* ---- applying ---- */

double
pgml_stack_log(PgmlTask task, double p)
{
	if (task != PGML_TASK_BINARY)
		return log(fmax(p, LEAST_PROBABILITY));
	p = fmin(fmax(p, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY);
	return log(p / (1 - p));
}

void
pgml_stack_add(PgmlTask task, double weight, int64_t size, const double *p, double *score)
{
	for (int64_t j = 0; j < size; j++)
		score[j] += weight * pgml_stack_log(task, p[j]);
}

static double
logistic(double z)
{
	double e = exp(-fabs(z));

	return (z >= 0 ? 1 : e) / (1 + e);
}

/* Scores of a row to probabilities; returns the logarithm of the sum of the scores' exponentials. */
static double
softmax(int n_classes, double *z)
{
	double top = z[0], sum = 0;

	for (int k = 1; k < n_classes; k++)
		top = z[k] > top ? z[k] : top;
	for (int k = 0; k < n_classes; k++)
		sum += z[k] = exp(z[k] - top);
	for (int k = 0; k < n_classes; k++)
		z[k] /= sum;
	return top + log(sum);
}

void
pgml_stack_finish(PgmlTask task, int n_classes, int64_t n, double *score)
{
	for (int64_t i = 0; i < n; i++)
	{
		if (task == PGML_TASK_BINARY)
			score[i] = logistic(score[i]);
		else
			softmax(n_classes, score + i * n_classes);
	}
}

/* ---- fitting ---- */

/* What is minimised and its derivatives in the weights. */
typedef struct Loss
{
	double value;
	double slope[MODELS];
	double curvature[MODELS * MODELS]; /* lower triangle, rows of n_models */
} Loss;

/* Fits that take place side by side. */
typedef struct Job
{
	const PgmlEnv *env;
	const PgmlStackRows *rows;
	const double *centre;
	double share; /* that all rows' weights are multiplied by: their mean becomes 1 */
	double *p;    /* predictions of validate() */
} Job;

static int
outputs_of(const PgmlStackRows *rows)
{
	return pgml_task_outputs(rows->task, rows->n_classes);
}

static double
row_weight(const Job *job, int64_t i)
{
	return (job->rows->w ? job->rows->w[i] : 1) * job->share;
}

/* Scores of a row, whose logarithms are x, at weights v. */
PGML_CLONES static void
find_scores(const double *x, int outputs, int n_models, const double *v, double *z)
{
	for (int k = 0; k < outputs; k++)
	{
		double sum = 0;

		for (int m = 0; m < n_models; m++)
			sum += v[m] * x[k * n_models + m];
		z[k] = sum;
	}
}

/* Add factor * x x' to the lower triangle of a. */
PGML_CLONES static void
add_square(const double *x, int n, double factor, double *a)
{
	for (int m = 0; m < n; m++)
	{
		double fx = factor * x[m];

		for (int j = 0; j <= m; j++)
			a[m * n + j] += fx * x[j];
	}
}

/* Add a row of two classes; x: log-odds by model. */
static void
add_binary(const double *x, int n_models, double y, double w, const double *v, Loss *loss)
{
	double z, p;

	find_scores(x, 1, n_models, v, &z);
	p = logistic(z);
	loss->value += w * (fmax(z, 0) + log1p(exp(-fabs(z))) - y * z);
	for (int m = 0; m < n_models; m++)
		loss->slope[m] += w * (p - y) * x[m];
	add_square(x, n_models, w * p * (1 - p), loss->curvature);
}

/* Add a row of several classes; z has room for a number per class. */
static void
add_multiclass(const double *x, int n_classes, int n_models, int y, double w, const double *v,
			   double *z, Loss *loss)
{
	double mean[MODELS] = { 0 };
	double own, whole;

	find_scores(x, n_classes, n_models, v, z);
	own = z[y];
	whole = softmax(n_classes, z);
	loss->value += w * (whole - own);
	for (int k = 0; k < n_classes; k++)
	{
		for (int m = 0; m < n_models; m++)
			mean[m] += z[k] * x[k * n_models + m];
		add_square(x + k * n_models, n_models, w * z[k], loss->curvature);
	}
	add_square(mean, n_models, -w, loss->curvature);
	for (int m = 0; m < n_models; m++)
		loss->slope[m] += w * (mean[m] - x[y * n_models + m]);
}

/* The loss, with what is believed before, of all rows but those of a part at weights v. */
static PgmlStatus
find_loss(const Job *job, int part, const double *v, double *z, Loss *loss)
{
	const PgmlStackRows *rows = job->rows;
	int outputs = outputs_of(rows), n_models = rows->n_models;

	memset(loss, 0, sizeof(*loss));
	for (int64_t i = 0; i < rows->n; i++)
	{
		const double *x = rows->log + i * outputs * n_models;

		if (i % ROWS_AT_ONCE == 0 && pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		if (part != ALL_PARTS && rows->part[i] == part)
			continue;
		if (rows->task == PGML_TASK_BINARY)
			add_binary(x, n_models, rows->y[i], row_weight(job, i), v, loss);
		else
			add_multiclass(x, outputs, n_models, (int) rows->y[i], row_weight(job, i), v, z, loss);
	}
	for (int m = 0; m < n_models; m++)
	{
		double off = v[m] - job->centre[m];

		loss->value += PENALTY * off * off;
		loss->slope[m] += 2 * PENALTY * off;
		loss->curvature[m * n_models + m] += 2 * PENALTY;
	}
	return PGML_OK;
}

/* The lower triangle of a positive definite matrix becomes its Cholesky factor. */
static void
factorise(double *a, int n)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
		{
			double sum = a[i * n + j];

			for (int k = 0; k < j; k++)
				sum -= a[i * n + k] * a[j * n + k];
			a[i * n + j] = i == j ? sqrt(fmax(sum, PENALTY)) : sum / a[j * n + j];
		}
}

/* Solve with the factor, in place. */
static void
solve(const double *a, int n, double *b)
{
	for (int i = 0; i < n; i++)
	{
		for (int k = 0; k < i; k++)
			b[i] -= a[i * n + k] * b[k];
		b[i] /= a[i * n + i];
	}
	for (int i = n - 1; i >= 0; i--)
	{
		for (int k = i + 1; k < n; k++)
			b[i] -= a[k * n + i] * b[k];
		b[i] /= a[i * n + i];
	}
}

static double
within_bounds(double weight)
{
	return fmin(fmax(weight, -PGML_STACK_WEIGHT), PGML_STACK_WEIGHT);
}

/* Newton's steps, halved until the loss falls, from the centre. */
static PgmlStatus
minimise(const Job *job, int part, double *z, double *v)
{
	int n = job->rows->n_models;
	Loss loss, next;

	memcpy(v, job->centre, n * sizeof(double));
	PGML_TRY(find_loss(job, part, v, z, &loss));
	for (int i = 0; i < MOST_STEPS; i++)
	{
		double step[MODELS], to[MODELS], scale = 1, promised = 0;

		memcpy(step, loss.slope, n * sizeof(double));
		factorise(loss.curvature, n);
		solve(loss.curvature, n, step);
		for (int m = 0; m < n; m++)
			promised += step[m] * loss.slope[m];
		if (!(promised > PRECISION * (double) job->rows->n))
			return PGML_OK;
		for (int halving = 0;; halving++, scale /= 2)
		{
			if (halving == MOST_HALVING)
				return PGML_OK;
			for (int m = 0; m < n; m++)
				to[m] = within_bounds(v[m] - scale * step[m]);
			PGML_TRY(find_loss(job, part, to, z, &next));
			if (next.value < loss.value)
				break;
		}
		memcpy(v, to, n * sizeof(double));
		loss = next;
	}
	return PGML_OK;
}

static double
mean_share(const PgmlStackRows *rows)
{
	double sum = 0;

	for (int64_t i = 0; i < rows->n; i++)
		sum += rows->w ? rows->w[i] : 1;
	return sum > 0 ? (double) rows->n / sum : 1;
}

/* Room for the scores of a row, in an arena of its own. */
static PgmlStatus
open_row(const PgmlEnv *env, const PgmlStackRows *rows, PgmlArena **arena, double **z)
{
	*arena = pgml_arena_create(env->budget);
	*z = *arena ? pgml_array(*arena, outputs_of(rows), sizeof(double)) : NULL;
	return *z ? PGML_OK : PGML_ERR_NOMEM;
}

/* A status of work that may not touch env->error, with its message. */
static PgmlStatus
finished(const PgmlEnv *env, PgmlStatus status)
{
	if (status == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(env);
	return status == PGML_OK ? PGML_OK : pgml_fail_nomem(env, "the weights of stacked models");
}

PgmlStatus
pgml_stack_fit(const PgmlEnv *env, const PgmlStackRows *rows, const double *centre, double *weight)
{
	Job job = { .env = env, .rows = rows, .centre = centre, .share = mean_share(rows) };
	PgmlArena *arena;
	double *z;
	PgmlStatus status = open_row(env, rows, &arena, &z);

	if (status == PGML_OK)
		status = minimise(&job, ALL_PARTS, z, weight);
	pgml_arena_destroy(arena);
	return finished(env, status);
}

/* Fit without a part, and predict it. */
static PgmlStatus
validate_part(void *arg, int64_t part, int thread)
{
	const Job *job = arg;
	const PgmlStackRows *rows = job->rows;
	int outputs = outputs_of(rows);
	double weight[MODELS];
	PgmlArena *arena;
	PgmlStatus status;
	int64_t n = 0;
	double *z;

	(void) thread;
	for (int64_t i = 0; i < rows->n; i++)
		n += rows->part[i] == part;
	if (n == 0)
		return PGML_OK;
	status = open_row(job->env, rows, &arena, &z);
	if (status == PGML_OK)
		status = minimise(job, (int) part, z, weight);
	for (int64_t i = 0; status == PGML_OK && i < rows->n; i++)
	{
		double *p = job->p + i * outputs;

		if (rows->part[i] != part)
			continue;
		find_scores(rows->log + i * outputs * rows->n_models, outputs, rows->n_models, weight, p);
		pgml_stack_finish(rows->task, rows->n_classes, 1, p);
	}
	pgml_arena_destroy(arena);
	return status;
}

PgmlStatus
pgml_stack_validate(const PgmlEnv *env, const PgmlStackRows *rows, const double *centre, double *p)
{
	Job job = { .env = env, .rows = rows, .centre = centre, .share = mean_share(rows), .p = p };

	return finished(env, pgml_par_for(env, MOST_PARTS, validate_part, &job));
}

/* ---- taking models out ---- */

PgmlStatus
pgml_stack_prune(const PgmlEnv *env, const PgmlStackRows *rows, const double *weight,
				 PgmlStackPruner *out)
{
	/* At the centre of what is believed before: only second derivatives are asked for. */
	Job job = { .env = env, .rows = rows, .centre = weight, .share = mean_share(rows) };
	int n = rows->n_models;
	PgmlArena *arena;
	double *z;
	Loss loss;
	PgmlStatus status = open_row(env, rows, &arena, &z);

	if (status == PGML_OK)
		status = find_loss(&job, ALL_PARTS, weight, z, &loss);
	pgml_arena_destroy(arena);
	PGML_TRY(finished(env, status));
	factorise(loss.curvature, n);
	out->n = n;
	for (int m = 0; m < n; m++)
	{
		double unit[MODELS] = { 0 };

		out->model[m] = m;
		out->weight[m] = weight[m];
		unit[m] = 1;
		solve(loss.curvature, n, unit);
		memcpy(out->inverse + m * n, unit, n * sizeof(double));
	}
	return PGML_OK;
}

int
pgml_stack_least(const PgmlStackPruner *pruner, double *rise)
{
	int least = 0;

	for (int m = 0; m < pruner->n; m++)
	{
		double more =
			pruner->weight[m] * pruner->weight[m] / (2 * pruner->inverse[m * pruner->n + m]);

		if (m > 0 && more >= *rise)
			continue;
		least = m;
		*rise = more;
	}
	return least;
}

void
pgml_stack_drop(PgmlStackPruner *pruner, int place)
{
	int n = pruner->n, to = 0;
	double own = pruner->inverse[place * n + place], gone = pruner->weight[place];
	double column[MODELS];

	for (int m = 0; m < n; m++)
		column[m] = pruner->inverse[m * n + place];
	for (int m = 0; m < n; m++)
		pruner->weight[m] =
			within_bounds(pruner->weight[m] - gone / own * (m == place ? 0 : column[m]));
	for (int m = 0; m < n; m++)
	{
		if (m == place)
			continue;
		for (int j = 0, at = 0; j < n; j++)
			if (j != place)
				pruner->inverse[to * (n - 1) + at++] =
					pruner->inverse[m * n + j] - column[m] * column[j] / own;
		pruner->model[to] = pruner->model[m];
		pruner->weight[to++] = pruner->weight[m];
	}
	pruner->n--;
}
