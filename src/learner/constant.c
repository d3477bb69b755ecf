/*
 * constant.c - the baseline: predicts the weighted mean, or a quantile where that is what models predict, or the weighted shares of the
 * classes.
 *
 * Payload: u32 version, u32 number of outputs, then the outputs as f64.
 */
#include "learner/learner.h"

#include <math.h>
#include <string.h>

#include "core/sort.h"

#define PAYLOAD_VERSION 1u
#define HEADER_SIZE     8

/* Rows between two looks at the stop flag. */
#define POLL_ROWS 65536

/* A few numbers per class. */
static int64_t
constant_memory(const PgmlDataset *data, const PgmlParams *params, int64_t *payload)
{
	(void) params;
	*payload = 64 + (int64_t) data->n_classes * (int64_t) sizeof(double);
	return 4096 + (int64_t) data->n_classes * (int64_t) sizeof(double) * 3;
}

static double
row_weight(const PgmlDataset *data, int64_t i)
{
	return data->w != NULL ? data->w[data->rows[i]] : 1.0;
}

/* Sum of the weights; PGML_ERR_DATA when it is not a positive number. */
static PgmlStatus
total_weight(const PgmlEnv *env, const PgmlDataset *data, double *total)
{
	*total = 0;
	for (int64_t i = 0; i < data->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		*total += row_weight(data, i);
	}
	if (!(*total > 0) || !isfinite(*total))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	return PGML_OK;
}

/*
 * Weighted mean of the target, or weighted class shares, into out (n_classes numbers).  Weights are divided
 * by their sum first, so that no sum exceeds the largest target.
 */
static PgmlStatus
weighted_means(const PgmlEnv *env, const PgmlDataset *data, double *out)
{
	double total;

	PGML_TRY(total_weight(env, data, &total));
	memset(out, 0, (size_t) data->n_classes * sizeof(double));
	for (int64_t i = 0; i < data->n; i++)
	{
		double y = data->y[data->rows[i]];
		double share = row_weight(data, i) / total;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (data->task == PGML_TASK_REGRESSION)
			out[0] += share * y;
		else
			out[(int) y] += share;
	}
	return PGML_OK;
}

/* Sum of the weights of the rows whose targets have at most this key. */
static PgmlStatus
weight_up_to(const PgmlEnv *env, const PgmlDataset *data, uint64_t key, double *sum)
{
	*sum = 0;
	for (int64_t i = 0; i < data->n; i++)
	{
		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (pgml_key_of_double(data->y[data->rows[i]]) <= key)
			*sum += row_weight(data, i);
	}
	return PGML_OK;
}

/*
 * The least value of the target up to which at least the share data->quantile of the weight is: its key is found bit by bit, which
 * takes no memory.
 */
static PgmlStatus
weighted_quantile(const PgmlEnv *env, const PgmlDataset *data, double *out)
{
	uint64_t below = 0; /* the key is above it */
	double total, sum;

	PGML_TRY(total_weight(env, data, &total));
	for (uint64_t bit = UINT64_C(1) << 63; bit > 0; bit >>= 1)
	{
		PGML_TRY(weight_up_to(env, data, below + bit - 1, &sum));
		if (sum < data->quantile * total)
			below += bit;
	}
	for (int64_t i = 0; i < data->n; i++)
		if (pgml_key_of_double(data->y[data->rows[i]]) == below)
			*out = data->y[data->rows[i]];
	return PGML_OK;
}

static PgmlStatus
constant_fit(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params, PgmlFit *fit)
{
	int outputs = pgml_task_outputs(data->task, data->n_classes);
	PgmlArena *arena = pgml_arena_create(env->budget);
	double *means =
		arena != NULL ? pgml_array(arena, (size_t) data->n_classes, sizeof(double)) : NULL;
	PgmlStatus status;

	(void) params;
	if (means == NULL)
		status = pgml_fail_nomem(env, "learner \"constant\"");
	else
		status = data->quantile > 0 ? weighted_quantile(env, data, means) :
									  weighted_means(env, data, means);
	if (status == PGML_OK)
	{
		const double *stored = data->task == PGML_TASK_BINARY ? means + 1 : means;

		pgml_buf_put_u32(&fit->payload, PAYLOAD_VERSION);
		pgml_buf_put_u32(&fit->payload, (uint32_t) outputs);
		pgml_buf_put(&fit->payload, stored, (size_t) outputs * sizeof(double));
		fit->best_iteration = 0;
		fit->out_of_time = false;
		if (fit->payload.failed)
			status = pgml_fail_nomem(env, "the model");
	}
	pgml_arena_destroy(arena);
	return status;
}

/* Size, version and finite numbers; for classes numbers in [0, 1] that add up to 1. */
static PgmlStatus
constant_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	int outputs = pgml_task_outputs(shape->task, shape->n_classes);
	PgmlReader reader;
	double sum = 0;
	bool good = true;

	pgml_reader_init(&reader, payload, len);
	good &= pgml_read_u32(&reader) == PAYLOAD_VERSION;
	good &= pgml_read_u32(&reader) == (uint32_t) outputs;
	good &= outputs >= 1 && len == HEADER_SIZE + (size_t) outputs * sizeof(double);
	for (int i = 0; good && i < outputs; i++)
	{
		double v = pgml_read_f64(&reader);

		good &= isfinite(v) != 0;
		if (shape->task != PGML_TASK_REGRESSION)
			good &= v >= 0 && v <= 1 + 1e-9;
		sum += v;
	}
	if (good && shape->task == PGML_TASK_MULTICLASS)
		good = fabs(sum - 1) <= 1e-6;
	if (!good || reader.failed)
		return pgml_fail(err, PGML_ERR_CORRUPT, "the stored constant model is damaged");
	return PGML_OK;
}

static void
constant_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	size_t outputs = (size_t) pgml_task_outputs(shape->task, shape->n_classes);

	(void) x;
	for (int64_t i = 0; i < n; i++)
		memcpy(out + (size_t) i * outputs, payload + HEADER_SIZE, outputs * sizeof(double));
}

/* No feature says anything. */
static PgmlStatus
constant_contributions(const PgmlEnv *env, const uint8_t *payload, const PgmlShape *shape,
					   const PgmlBlock *block, int output, double factor, double *base, double *phi,
					   int64_t stride)
{
	(void) env;
	(void) shape;
	(void) block;
	(void) factor;
	(void) phi;
	(void) stride;
	memcpy(base, payload + HEADER_SIZE + (size_t) output * sizeof(double), sizeof(double));
	return PGML_OK;
}

const PgmlLearner pgml_learner_constant = {
	.name = "constant",
	.summary =
		"Predicts the mean, or the shares of the classes: the baseline every model must beat.",
	.tasks = PGML_TASK_ANY,
	.honours_constraints = true,
	.memory = constant_memory,
	.fit = constant_fit,
	.verify = constant_verify,
	.predict = constant_predict,
	.contributions = constant_contributions,
};
