/*
 * gbm_loss.c - scores of rows, gradients, losses.
 *
 * All passes over rows run in blocks of fixed size, and sums are added up in the order of the blocks.
 */
#include "learner/gbm_loss.h"

#include "core/par.h"
#include "learner/gbm_objective.h"
#include "learner/gbm_packed.h"

#define BLOCK 4096
/* Rows next to each other that are looked at together, and in how many places. */
#define PROBE_ROWS 64
#define PROBES     64

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
pgml_gbm_target_size(const PgmlDataset *data, bool weighted, int64_t n)
{
	int64_t outputs = pgml_task_outputs(data->task, data->n_classes);
	int64_t per_row = 1 + weighted + outputs + (outputs > 1 ? 2 : 0);

	return (n * per_row + 2 * count_blocks(n)) * (int64_t) sizeof(double);
}

/* Allocate the arrays; false when memory is out. */
static bool
allocate(PgmlArena *arena, bool weighted, PgmlGbmTarget *t)
{
	size_t n = (size_t) t->n;

	t->y = pgml_array(arena, n, sizeof(double));
	t->w = weighted ? pgml_array(arena, n, sizeof(double)) : NULL;
	t->score = pgml_array(arena, n * (size_t) t->n_outputs, sizeof(double));
	t->partial = pgml_array(arena, 2 * (size_t) count_blocks(t->n), sizeof(double));
	if (!t->y || (weighted && !t->w) || !t->score || !t->partial)
		return false;
	if (t->n_outputs == 1)
		return true;
	t->highest = pgml_array(arena, n, sizeof(double));
	t->inverse = pgml_array(arena, n, sizeof(double));
	return t->highest && t->inverse;
}

PgmlStatus
pgml_gbm_target_room(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data, bool weighted,
					 int64_t n, PgmlGbmTarget *out)
{
	*out = (PgmlGbmTarget){ .task = data->task,
							.n_outputs = pgml_task_outputs(data->task, data->n_classes),
							.n = n };
	return allocate(arena, weighted, out) ? PGML_OK : pgml_fail_nomem(env, "targets and scores");
}

PgmlStatus
pgml_gbm_target_create(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
					   const int32_t *rows, int64_t n, PgmlGbmTarget *out)
{
	PGML_TRY(pgml_gbm_target_room(env, arena, data, data->w != NULL, n, out));
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
	bool is_log = pgml_gbm_is_log(target->objective);

	target->offset = is_log ? init[0] : 0;
	for (int64_t i = 0; regression && !is_log && i < target->n; i++)
		target->y[i] -= init[0];
	for (int k = 0; k < target->n_outputs; k++)
		for (int64_t i = 0; i < target->n; i++)
			target->score[k * target->n + i] = regression ? 0 : init[k];
}

/* Largest score and sum of exponentials of n rows from row `from`. */
PGML_CLONES static void
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

void
pgml_gbm_prepare_rows(PgmlGbmTarget *t, int64_t from, int n)
{
	if (t->n_outputs == 1)
		return;
	softmax_rows(t, from, n, t->highest + from, t->inverse + from);
	for (int64_t i = from; i < from + n; i++)
		t->inverse[i] = 1.0 / t->inverse[i];
}

/* Denominators of one block. */
static PgmlStatus
prepare_block(void *arg, int64_t block, int thread)
{
	PgmlGbmTarget *t = arg;

	(void) thread;
	pgml_gbm_prepare_rows(t, block * BLOCK, block_rows(t->n, block));
	return PGML_OK;
}

PgmlStatus
pgml_gbm_prepare_round(const PgmlEnv *env, PgmlGbmTarget *target)
{
	if (target->n_outputs == 1)
		return PGML_OK;
	return pgml_par_for(env, count_blocks(target->n), prepare_block, target);
}

/* g and h of class 1's log-odds s. */
static inline void
logistic_gradient(double s, double y, double *g, double *h)
{
	double p = pgml_gbm_sigmoid(s);

	*g = p - y;
	*h = p * (1 - p);
}

/* h of a class in softmax over p (1 - p): its diagonal, scaled as if one class were the reference (Friedman 2001). */
static inline double
softmax_factor(const PgmlGbmTarget *t)
{
	return (double) t->n_outputs / (t->n_outputs - 1);
}

/* g and h of class k in softmax; s is its score less the row's highest, inverse and factor as prepared. */
static inline void
softmax_gradient(double s, double inverse, double factor, bool is_k, double *g, double *h)
{
	double p = pgml_gbm_exp(s) * inverse;

	*g = p - (is_k ? 1.0 : 0.0);
	*h = factor * p * (1 - p);
}

PGML_CLONES void
pgml_gbm_raw_gradients(const PgmlGbmTarget *t, int k, int64_t from, int n, double *g, double *h)
{
	const double *s = t->score + k * t->n + from;
	const double *y = t->y + from;

	if (t->objective != PGML_GBM_AUTO)
		pgml_gbm_objective_gradients(t, from, n, g, h);
	else if (t->task == PGML_TASK_REGRESSION)
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
			logistic_gradient(s[i], y[i], &g[i], &h[i]);
	}
	else
	{
		double factor = softmax_factor(t);

		for (int i = 0; i < n; i++)
			softmax_gradient(s[i] - t->highest[from + i], t->inverse[from + i], factor, y[i] == k,
							 &g[i], &h[i]);
	}
}

double
pgml_gbm_noise(const PgmlGbmTarget *t, int k)
{
	double g[PROBE_ROWS], h[PROBE_ROWS];
	double squares = 0, sum = 0;
	int64_t step = t->n / PROBES < PROBE_ROWS ? PROBE_ROWS : t->n / PROBES;

	for (int64_t from = 0; from < t->n; from += step)
	{
		int n = (int) (t->n - from < PROBE_ROWS ? t->n - from : PROBE_ROWS);

		pgml_gbm_raw_gradients(t, k, from, n, g, h);
		for (int i = 0; i < n; i++)
		{
			double w = t->w ? t->w[from + i] : 1;

			squares += w * (t->copies ? t->copies[from + i] : 1) * g[i] * g[i];
			sum += w * h[i];
		}
	}
	return sum > 0 && isfinite(squares) ? squares / sum : 0;
}

PgmlStatus
pgml_gbm_exact_sums(const PgmlEnv *env, const PgmlGbmTarget *t, int k, const int32_t *index,
					int64_t n, double *g, double *h)
{
	const double *score = t->score + k * t->n;
	double factor = t->n_outputs > 1 ? softmax_factor(t) : 1;

	*g = *h = 0;
	for (int64_t i = 0; i < n; i++)
	{
		int32_t row = index[i];
		double w = t->w ? t->w[row] : 1;
		double row_g = score[row] - t->y[row], row_h = 1;

		if (i % BLOCK == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (t->objective != PGML_GBM_AUTO)
			pgml_gbm_objective_gradients(t, row, 1, &row_g, &row_h);
		else if (t->task == PGML_TASK_BINARY)
			logistic_gradient(score[row], t->y[row], &row_g, &row_h);
		else if (t->task == PGML_TASK_MULTICLASS)
			softmax_gradient(score[row] - t->highest[row], t->inverse[row], factor, t->y[row] == k,
							 &row_g, &row_h);
		*g += w * row_g;
		*h += w * row_h;
	}
	return PGML_OK;
}

typedef struct GradientJob
{
	PgmlGbmTarget *target;
	int k;
	const PgmlGbmGradients *out;
	double g_per_unit; /* 1 / g_unit, a power of two */
	double h_per_unit;
	uint32_t seed;
} GradientJob;

/* Round to integers by adding 1.5 * 2^52; |g| and h are below 2^51 units. */
PGML_CLONES static void
round_to_sums(const GradientJob *job, const double *g, const double *h, int n, PgmlGbmSum *sum)
{
	const double round = 6755399441055744.0;
	int64_t base;
	int bits = job->out->scale.count_bits;

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

/* Pack rows from `from` on: a value between two units becomes either, so that its expectation is the value. */
PGML_CLONES static void
pack(const GradientJob *job, int64_t from, const double *g, const double *h, int n, int32_t *packed)
{
	const double share = 1.0 / 65536;
	double g_per_unit = job->g_per_unit, h_per_unit = job->h_per_unit;
	uint32_t row = (uint32_t) from, seed = job->seed;

	if (job->out->unit_hessian)
	{
		for (int i = 0; i < n; i++)
		{
			double noise =
				(double) (int32_t) (pgml_gbm_row_noise(row + (uint32_t) i, seed) >> 16) * share;

			packed[i] = (int32_t) (g[i] * g_per_unit + (PGML_GBM_PACKED_G_ONLY + noise)) -
						PGML_GBM_PACKED_G_ONLY;
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		uint32_t random = pgml_gbm_row_noise(row + (uint32_t) i, seed);
		double g_noise = (double) (int32_t) (random >> 16) * share;
		double h_noise = (double) (int32_t) (random & 0xffff) * share;
		int32_t gi =
			(int32_t) (g[i] * g_per_unit + (PGML_GBM_PACKED_G + g_noise)) - PGML_GBM_PACKED_G;
		int32_t hi = (int32_t) (h[i] * h_per_unit + h_noise);

		packed[i] = gi * 65536 + hi;
	}
}

/* Gradients of one block; packed: the sum of |g| is the block's partial result. */
static PgmlStatus
gradient_block(void *arg, int64_t block, int thread)
{
	const GradientJob *job = arg;
	const PgmlGbmTarget *t = job->target;
	int64_t from = block * BLOCK;
	int n = block_rows(t->n, block);
	double g[BLOCK], h[BLOCK];
	double part[4] = { 0, 0, 0, 0 };

	(void) thread;
	pgml_gbm_raw_gradients(t, job->k, from, n, g, h);
	if (t->w)
	{
		for (int i = 0; i < n; i++)
		{
			g[i] *= t->w[from + i];
			h[i] *= t->w[from + i];
		}
	}
	if (job->out->packed == NULL)
	{
		round_to_sums(job, g, h, n, job->out->sum + from);
		return PGML_OK;
	}
	pack(job, from, g, h, n, job->out->packed + from);
	for (int i = 0; i < n; i++)
		part[i % 4] += fabs(g[i]);
	t->partial[block] = (part[0] + part[1]) + (part[2] + part[3]);
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

/* Largest |g| and h of a block, other objectives. */
static PgmlStatus
largest_gradients(void *arg, int64_t block, int thread)
{
	PgmlGbmTarget *t = arg;
	int64_t from = block * BLOCK;
	int n = block_rows(t->n, block);
	double g[BLOCK], h[BLOCK];
	double most_g = 0, most_h = 0;

	(void) thread;
	pgml_gbm_objective_gradients(t, from, n, g, h);
	for (int i = 0; i < n; i++)
	{
		double w = t->w ? t->w[from + i] : 1;

		most_g = fmax(most_g, fabs(g[i]) * w);
		most_h = fmax(most_h, h[i] * w);
	}
	t->partial[block] = most_g;
	t->partial[count_blocks(t->n) + block] = most_h;
	return PGML_OK;
}

/* Bounds of |g| and h over all rows; that of h is given, and replaced where rows have to be looked at. */
static PgmlStatus
bound_gradients(const PgmlEnv *env, PgmlGbmTarget *t, double *bound, double *h_bound)
{
	int64_t blocks = count_blocks(t->n);
	bool is_log = pgml_gbm_is_log(t->objective);

	*bound = t->max_weight;
	if (t->task != PGML_TASK_REGRESSION || t->objective == PGML_GBM_ABSOLUTE ||
		t->objective == PGML_GBM_QUANTILE)
		return PGML_OK;
	PGML_TRY(pgml_par_for(env, blocks,
						  t->objective == PGML_GBM_AUTO ? largest_residual : largest_gradients, t));
	*bound = 0;
	for (int64_t b = 0; b < blocks; b++)
		*bound = fmax(*bound, t->partial[b]);
	if (is_log)
		*h_bound = 0;
	for (int64_t b = 0; is_log && b < blocks; b++)
		*h_bound = fmax(*h_bound, t->partial[blocks + b]);
	if (t->first_g == 0)
		t->first_g = *bound;
	/* Once the fit is all but exact, the rest is rounding error and must not be magnified. */
	*bound = fmax(*bound, t->first_g * 1e-9);
	return PGML_OK;
}

double
pgml_gbm_fine_unit(double bound, int64_t n, int sum_bits)
{
	int value_bits, row_bits;

	if (!(bound > 0))
		return 1;
	frexp(bound, &value_bits); /* bound < 2^value_bits */
	frexp((double) n, &row_bits);
	return ldexp(1, value_bits - (sum_bits - row_bits < 50 ? sum_bits - row_bits : 50));
}

double
pgml_gbm_packed_unit(double bound, int most)
{
	int exponent;

	if (!(bound > 0))
		return 1;
	return ldexp(1, frexp(bound / most, &exponent) == 0.5 ? exponent - 1 : exponent);
}

/* Compute packed gradients; *fine: rounding them does no harm. */
static PgmlStatus
pack_all(const PgmlEnv *env, GradientJob *job, double bound, PgmlGbmGradients *out, bool *fine)
{
	PgmlGbmTarget *t = job->target;
	PgmlGbmScale *scale = &out->scale;
	double h_bound = t->task == PGML_TASK_REGRESSION ? 1 : t->task == PGML_TASK_BINARY ? 0.25 : 0.5;
	double sum = 0;

	out->packed = (int32_t *) out->sum;
	out->unit_hessian = t->task == PGML_TASK_REGRESSION && t->w == NULL;
	scale->g_unit =
		pgml_gbm_packed_unit(bound, out->unit_hessian ? PGML_GBM_PACKED_G_ONLY : PGML_GBM_PACKED_G);
	scale->h_unit =
		out->unit_hessian ? 1 : pgml_gbm_packed_unit(h_bound * t->max_weight, PGML_GBM_PACKED_H);
	job->g_per_unit = 1 / scale->g_unit;
	job->h_per_unit = 1 / scale->h_unit;
	PGML_TRY(pgml_par_for(env, count_blocks(t->n), gradient_block, job));
	for (int64_t b = 0; b < count_blocks(t->n); b++)
		sum += t->partial[b];
	/* A rounded value's variance is at most a quarter of the unit's square.  Outliers say little about the mean of |g|. */
	*fine = scale->g_unit / 2 <= 0.01 * sum / (double) t->n;
	/* Where h is the weight, g need not tell that a few rows weigh more than all others: theirs is small once they fit. */
	if (t->task == PGML_TASK_REGRESSION && !out->unit_hessian)
		*fine = *fine && scale->h_unit / 2 <= 0.1 * t->weight / (double) t->n;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_gradients(const PgmlEnv *env, PgmlGbmTarget *target, int k, uint64_t seed,
				   PgmlGbmGradients *out)
{
	GradientJob job = { .target = target, .k = k, .out = out };
	PgmlGbmScale *scale = &out->scale;
	double bound;
	/* Largest h; at weight 1: p (1 - p), twice that with two classes in softmax. */
	double h_bound = target->max_weight * (target->task == PGML_TASK_REGRESSION ? 1 : 0.5);

	PGML_TRY(bound_gradients(env, target, &bound, &h_bound));
	/* Squares of sums must stay finite, and so must the reciprocals of the units. */
	if (!(bound < 1e120) || !(target->max_weight < 1e120) || (bound > 0 && bound < 1e-120) ||
		target->max_weight < 1e-120 || !(h_bound < 1e120) || (h_bound > 0 && h_bound < 1e-120))
		return pgml_fail(env->error, PGML_ERR_NUMERIC,
						 "the target's values or the weights are too large or too small");
	job.seed = (uint32_t) (seed ^ seed >> 32);
	frexp((double) target->n, &scale->count_bits); /* n < 2^count_bits */
	if (target->n >= PGML_GBM_PACKED_MIN_ROWS && target->n < PGML_GBM_PACKED_MAX_ROWS &&
		!target->never_pack)
	{
		bool fine;

		PGML_TRY(pack_all(env, &job, bound, out, &fine));
		if (fine)
			return PGML_OK;
		target->never_pack = true;
	}
	out->packed = NULL;
	out->unit_hessian = false;
	scale->g_unit = pgml_gbm_fine_unit(bound, target->n, 61);
	scale->h_unit = pgml_gbm_fine_unit(h_bound, target->n, 62 - scale->count_bits);
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
		else if (t->objective != PGML_GBM_AUTO)
			loss = pgml_gbm_objective_loss(t, row);
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
