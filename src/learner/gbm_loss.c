/*
 * gbm_loss.c - scores of rows, gradients, losses.
 *
 * All passes over rows run in blocks of fixed size, and sums are added up in the order of the blocks.
 */
#include "learner/gbm_loss.h"

#include "core/par.h"

#define BLOCK     4096
#define POLL_ROWS ((int64_t) 1 << 20) /* a few milliseconds */

/* Blocks that n rows are cut into. */
static int64_t
count_blocks(int64_t n)
{
	return (n + BLOCK - 1) / BLOCK;
}

/* Rows of a block. */
static int
block_rows(int64_t n, int64_t block)
{
	return (int) (n - block * BLOCK < BLOCK ? n - block * BLOCK : BLOCK);
}

int64_t
pgml_gbm_target_size(const PgmlDataset *data, int64_t n)
{
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t per_row = 1 + (data->w != NULL) + outputs + (outputs > 1 ? 2 : 0);

	return (n * per_row + count_blocks(n)) * (int64_t) sizeof(double);
}

/* Allocate the arrays; false when memory is out. */
static bool
allocate(PgmlArena *arena, bool weighted, PgmlGbmTarget *t)
{
	size_t n = (size_t) t->n;

	t->y = pgml_array(arena, n, sizeof(double));
	t->w = weighted ? pgml_array(arena, n, sizeof(double)) : NULL;
	t->score = pgml_array(arena, n * (size_t) t->n_outputs, sizeof(double));
	t->partial = pgml_array(arena, (size_t) count_blocks(t->n), sizeof(double));
	if (!t->y || (weighted && !t->w) || !t->score || !t->partial)
		return false;
	if (t->n_outputs == 1)
		return true;
	t->highest = pgml_array(arena, n, sizeof(double));
	t->inverse = pgml_array(arena, n, sizeof(double));
	return t->highest && t->inverse;
}

PgmlStatus
pgml_gbm_target_create(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
					   const int32_t *rows, int64_t n, PgmlGbmTarget *out)
{
	*out = (PgmlGbmTarget){ .task = data->task,
							.n_outputs = pgml_task_outputs(data->task, data->n_classes),
							.n = n };
	if (!allocate(arena, data->w != NULL, out))
		return pgml_fail_nomem(env, "targets and scores");
	for (int64_t i = 0; i < n; i++)
	{
		double y = data->y[rows[i]];
		double w = data->w ? data->w[rows[i]] : 1;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (!isfinite(y) ||
			(data->task != PGML_TASK_REGRESSION && !(y >= 0 && y < data->n_classes)))
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "a target value is missing or out of range");
		if (!(w >= 0 && isfinite(w)))
			return pgml_fail(env->error, PGML_ERR_DATA,
							 "a weight is missing, negative or infinite");
		out->y[i] = y;
		if (out->w)
			out->w[i] = w;
		out->weight += w;
		out->max_weight = w > out->max_weight ? w : out->max_weight;
	}
	return PGML_OK;
}

void
pgml_gbm_initial_scores(const PgmlGbmTarget *target, double *init)
{
	int classes = target->task == PGML_TASK_REGRESSION ? 0 : target->n_outputs;

	for (int k = 0; k < target->n_outputs; k++)
		init[k] = 0;
	for (int64_t i = 0; i < target->n; i++)
	{
		double w = target->w ? target->w[i] : 1;

		if (classes > 1)
			init[(int) target->y[i]] += w;
		else
			init[0] += w * (target->y[i] / target->weight);
	}
	if (classes == 0)
	{
		/* Once more around the mean found: a large one was summed up with errors as large as small differences. */
		double rest = 0;

		for (int64_t i = 0; i < target->n; i++)
			rest += (target->w ? target->w[i] : 1) * ((target->y[i] - init[0]) / target->weight);
		init[0] += rest;
		return;
	}
	for (int k = 0; k < classes; k++)
	{
		double share = classes > 1 ? init[k] / target->weight : init[0];
		/* A class that does not occur counts as half a row. */
		double least = 0.5 / ((double) target->n + 1);

		share = fmin(fmax(share, least), 1 - least);
		init[k] = classes > 1 ? log(share) : log(share / (1 - share));
	}
}

void
pgml_gbm_set_scores(PgmlGbmTarget *target, const double *init)
{
	bool regression = target->task == PGML_TASK_REGRESSION;

	for (int64_t i = 0; regression && i < target->n; i++)
		target->y[i] -= init[0];
	for (int k = 0; k < target->n_outputs; k++)
		for (int64_t i = 0; i < target->n; i++)
			target->score[k * target->n + i] = regression ? 0 : init[k];
}

/* Largest score and sum of exponentials of n rows from row `from`. */
PGML_GBM_CLONES static void
softmax_rows(const PgmlGbmTarget *t, int64_t from, int n, double *highest, double *sum)
{
	memcpy(highest, t->score + from, (size_t) n * sizeof(double));
	for (int k = 1; k < t->n_outputs; k++)
	{
		const double *s = t->score + k * t->n + from;

		for (int i = 0; i < n; i++)
			highest[i] = s[i] > highest[i] ? s[i] : highest[i];
	}
	memset(sum, 0, (size_t) n * sizeof(double));
	for (int k = 0; k < t->n_outputs; k++)
	{
		const double *s = t->score + k * t->n + from;

		for (int i = 0; i < n; i++)
			sum[i] += pgml_gbm_exp(s[i] - highest[i]);
	}
}

/* Denominators of one block. */
static PgmlStatus
prepare_block(void *arg, int64_t block, int thread)
{
	PgmlGbmTarget *t = arg;
	int64_t from = block * BLOCK;
	int n = block_rows(t->n, block);

	(void) thread;
	softmax_rows(t, from, n, t->highest + from, t->inverse + from);
	for (int64_t i = from; i < from + n; i++)
		t->inverse[i] = 1.0 / t->inverse[i];
	return PGML_OK;
}

PgmlStatus
pgml_gbm_prepare_round(const PgmlEnv *env, PgmlGbmTarget *target)
{
	if (target->n_outputs == 1)
		return PGML_OK;
	return pgml_par_for(env, count_blocks(target->n), prepare_block, target);
}

typedef struct GradientJob
{
	PgmlGbmTarget *target;
	int k;
	int count_bits;
	double g_per_unit; /* 1 / g_unit, a power of two */
	double h_per_unit;
	PgmlGbmSum *sum;
} GradientJob;

/* g and h of n rows at weight 1. */
PGML_GBM_CLONES static void
raw_gradients(const PgmlGbmTarget *t, int k, int64_t from, int n, double *g, double *h)
{
	const double *s = t->score + k * t->n + from;
	const double *y = t->y + from;

	if (t->task == PGML_TASK_REGRESSION)
	{
		for (int i = 0; i < n; i++)
		{
			g[i] = s[i] - y[i];
			h[i] = 1;
		}
	}
	else if (t->task == PGML_TASK_BINARY)
	{
		for (int i = 0; i < n; i++)
		{
			double p = pgml_gbm_sigmoid(s[i]);

			g[i] = p - y[i];
			h[i] = p * (1 - p);
		}
	}
	else
	{
		/* The diagonal of softmax's hessian, scaled as if one class were the reference (Friedman 2001). */
		double factor = (double) t->n_outputs / (t->n_outputs - 1);

		for (int i = 0; i < n; i++)
		{
			double p = pgml_gbm_exp(s[i] - t->highest[from + i]) * t->inverse[from + i];

			g[i] = p - (y[i] == k ? 1.0 : 0.0);
			h[i] = factor * p * (1 - p);
		}
	}
}

/* Round to integers by adding 1.5 * 2^52; |g| and h are below 2^51 units. */
PGML_GBM_CLONES static void
pack(const GradientJob *job, const double *g, const double *h, int n, PgmlGbmSum *sum)
{
	const double round = 6755399441055744.0;
	int64_t base;
	int bits = job->count_bits;

	memcpy(&base, &round, sizeof(base));
	for (int i = 0; i < n; i++)
	{
		double gr = g[i] * job->g_per_unit + round;
		double hr = h[i] * job->h_per_unit + round;
		int64_t gi, hi;

		memcpy(&gi, &gr, sizeof(gi));
		memcpy(&hi, &hr, sizeof(hi));
		sum[i].g = gi - base;
		sum[i].hc = ((uint64_t) (hi - base) << bits) + 1;
	}
}

/* Gradients of one block. */
static PgmlStatus
gradient_block(void *arg, int64_t block, int thread)
{
	const GradientJob *job = arg;
	const PgmlGbmTarget *t = job->target;
	int64_t from = block * BLOCK;
	int n = block_rows(t->n, block);
	double g[BLOCK], h[BLOCK];

	(void) thread;
	raw_gradients(t, job->k, from, n, g, h);
	if (t->w)
	{
		for (int i = 0; i < n; i++)
		{
			g[i] *= t->w[from + i];
			h[i] *= t->w[from + i];
		}
	}
	pack(job, g, h, n, job->sum + from);
	return PGML_OK;
}

/* Largest |g| of a block, squared error. */
static PgmlStatus
largest_residual(void *arg, int64_t block, int thread)
{
	PgmlGbmTarget *t = arg;
	int64_t from = block * BLOCK;
	int64_t upto = from + block_rows(t->n, block);
	double largest = 0;

	(void) thread;
	for (int64_t i = from; i < upto; i++)
	{
		double a = fabs(t->score[i] - t->y[i]) * (t->w ? t->w[i] : 1);

		largest = a > largest ? a : largest;
	}
	t->partial[block] = largest;
	return PGML_OK;
}

/* A bound of |g| over all rows. */
static PgmlStatus
bound_gradients(const PgmlEnv *env, PgmlGbmTarget *t, double *bound)
{
	*bound = t->max_weight;
	if (t->task != PGML_TASK_REGRESSION)
		return PGML_OK;
	PGML_TRY(pgml_par_for(env, count_blocks(t->n), largest_residual, t));
	*bound = 0;
	for (int64_t b = 0; b < count_blocks(t->n); b++)
		*bound = fmax(*bound, t->partial[b]);
	if (t->first_g == 0)
		t->first_g = *bound;
	/* Once the fit is all but exact, the rest is rounding error and must not be magnified. */
	*bound = fmax(*bound, t->first_g * 1e-9);
	return PGML_OK;
}

/*
 * The smallest power of two that is a unit fine enough for nothing to overflow: n values up to bound add up to less than
 * 2^sum_bits units, and each is below 2^50.
 */
static double
unit_for(double bound, int64_t n, int sum_bits)
{
	int value_bits, row_bits;

	if (!(bound > 0))
		return 1;
	frexp(bound, &value_bits); /* bound < 2^value_bits */
	frexp((double) n, &row_bits);
	return ldexp(1, value_bits - (sum_bits - row_bits < 50 ? sum_bits - row_bits : 50));
}

PgmlStatus
pgml_gbm_gradients(const PgmlEnv *env, PgmlGbmTarget *target, int k, PgmlGbmScale *scale,
				   PgmlGbmSum *sum)
{
	GradientJob job = { .target = target, .k = k, .sum = sum };
	double bound;
	/* Largest h at weight 1: p (1 - p), twice that with two classes in softmax. */
	double h_bound = target->task == PGML_TASK_REGRESSION ? 1 : 0.5;

	PGML_TRY(bound_gradients(env, target, &bound));
	/* Squares of sums must stay finite, and so must the reciprocals of the units. */
	if (!(bound < 1e120) || !(target->max_weight < 1e120) || (bound > 0 && bound < 1e-120) ||
		target->max_weight < 1e-120)
		return pgml_fail(env->error, PGML_ERR_NUMERIC,
						 "the target's values or the weights are too large or too small");
	frexp((double) target->n, &scale->count_bits); /* n < 2^count_bits */
	job.count_bits = scale->count_bits;
	scale->g_unit = unit_for(bound, target->n, 61);
	scale->h_unit = unit_for(target->max_weight * h_bound, target->n, 62 - scale->count_bits);
	job.g_per_unit = 1 / scale->g_unit;
	job.h_per_unit = 1 / scale->h_unit;
	return pgml_par_for(env, count_blocks(target->n), gradient_block, &job);
}

/* Sum of the losses of a block. */
static PgmlStatus
loss_block(void *arg, int64_t block, int thread)
{
	PgmlGbmTarget *t = arg;
	int64_t from = block * BLOCK;
	int n = block_rows(t->n, block);
	double highest[BLOCK], sum[BLOCK];
	double total = 0;

	(void) thread;
	if (t->n_outputs > 1)
		softmax_rows(t, from, n, highest, sum);
	for (int64_t i = 0; i < n; i++)
	{
		int64_t row = from + i;
		double s = t->score[row], y = t->y[row], loss;

		if (t->n_outputs > 1)
			loss = highest[i] + log(sum[i]) - t->score[(int64_t) y * t->n + row];
		else if (t->task == PGML_TASK_BINARY)
			loss = fmax(s, 0) - s * y + log1p(exp(-fabs(s)));
		else
			loss = (s - y) * (s - y) / 2;
		total += loss * (t->w ? t->w[row] : 1);
	}
	t->partial[block] = total;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_loss(const PgmlEnv *env, PgmlGbmTarget *target, double *loss)
{
	double total = 0;

	PGML_TRY(pgml_par_for(env, count_blocks(target->n), loss_block, target));
	for (int64_t b = 0; b < count_blocks(target->n); b++)
		total += target->partial[b];
	*loss = total / target->weight;
	return PGML_OK;
}
