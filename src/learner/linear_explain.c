/*
 * linear_explain.c - what each feature adds to a linear score: the Shapley values of a sum of functions of single features, with
 * the training rows as the background (Lundberg and Lee 2017, linear SHAP).
 *
 * A feature's part is the sum over its design columns of coefficient * (column - mean of the column over the training rows).
 */
#include "learner/linear_internal.h"

#include "core/par.h"

#define POLL_ROWS 65536

/* Add to sum[row] what a value of the feature puts into its design columns, times w. */
static void
add_columns(const PgmlLinearFeature *f, float x, double w, double *sum)
{
	if (f->kind == PGML_LINEAR_CATEGORY)
	{
		sum[pgml_linear_level_row(f, x)] += w;
		return;
	}
	if (isnan(x))
	{
		if (f->missing_row != 0)
			sum[f->missing_row] += w;
		return;
	}
	if (f->row != 0)
		sum[f->row] += w * pgml_linear_value(f, pgml_linear_clip(f, x));
	if (f->log_row != 0)
		sum[f->log_row] += w * pgml_linear_log_value(f, pgml_linear_clip(f, x));
}

typedef struct MeanJob
{
	const PgmlEnv *env;
	const PgmlLinearDesign *design;
	const PgmlLinearRows *rows;
	double *mean;
} MeanJob;

/* Means of the columns of one feature; no other feature has them. */
static PgmlStatus
find_means(void *arg, int64_t number, int thread)
{
	const MeanJob *job = arg;
	const PgmlDataset *data = job->design->data;
	const PgmlLinearFeature *f = &job->design->features[number];
	const float *col = data->x->col[number];

	(void) thread;
	for (int64_t i = 0; i < job->rows->n; i++)
	{
		int32_t row = job->rows->row[i];

		if (i % POLL_ROWS == 0 && pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		add_columns(f, col[row], pgml_linear_weight(data, row) / job->rows->weight, job->mean);
	}
	return PGML_OK;
}

PgmlStatus
pgml_linear_means(const PgmlEnv *env, const PgmlLinearDesign *design, const PgmlLinearRows *rows,
				  double *mean)
{
	MeanJob job = { env, design, rows, mean };

	memset(mean, 0, (size_t) design->n_rows * sizeof(double));
	mean[0] = 1;
	return pgml_par_for(env, design->data->x->nfeatures, find_means, &job) == PGML_OK ?
			   PGML_OK :
			   pgml_fail_cancelled(env);
}

/* What one design column adds when it has this value, less the mean. */
static double
part(const double *coef, const double *mean, int64_t k, uint32_t row, double value)
{
	return row == 0 ? 0 : coef[row * k] * (value - mean[row]);
}

/* What a feature adds beyond its mean. */
static double
contribution(const PgmlLinearFeature *f, const double *coef, const double *mean, int64_t k, float x)
{
	double sum = 0;

	if (f->kind == PGML_LINEAR_CATEGORY)
	{
		uint32_t row = pgml_linear_level_row(f, x);

		for (uint32_t r = f->row; r <= f->missing_row; r++)
			sum += part(coef, mean, k, r, r == row);
		return sum;
	}
	sum = part(coef, mean, k, f->missing_row, isnan(x));
	sum += part(coef, mean, k, f->row, isnan(x) ? 0 : pgml_linear_value(f, pgml_linear_clip(f, x)));
	sum += part(coef, mean, k, f->log_row,
				isnan(x) ? 0 : pgml_linear_log_value(f, pgml_linear_clip(f, x)));
	return sum;
}

PgmlStatus
pgml_linear_contributions(const PgmlEnv *env, const uint8_t *payload, const PgmlShape *shape,
						  const PgmlBlock *block, int output, double factor, double *base,
						  double *phi, int64_t stride)
{
	const PgmlLinearHeader *header = (const PgmlLinearHeader *) payload;
	const PgmlLinearFeature *features = (const PgmlLinearFeature *) (header + 1);
	const double *coef = (const double *) (features + header->nfeatures) + output;
	int64_t k = header->outputs;
	const double *mean = coef - output + header->rows * k;

	if (header->version == PGML_LINEAR_VERSION_NO_MEANS)
		return pgml_fail_unexplained(env->error, pgml_learner_linear.name);
	*base = 0;
	for (uint32_t r = 0; r < header->rows; r++)
		*base += coef[r * k] * mean[r];
	for (int32_t f = 0; f < shape->nfeatures; f++)
		for (int64_t i = 0; i < block->n; i++)
			phi[f * stride + i] +=
				factor * contribution(&features[f], coef, mean, k, block->x[f * block->stride + i]);
	return PGML_OK;
}
