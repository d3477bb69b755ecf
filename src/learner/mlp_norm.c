/*
 * mlp_norm.c - batch normalisation (Ioffe and Szegedy 2015): a unit's sums over the rows of a step get mean 0 and deviation 1, then
 * a learned gain; the bias is added afterwards.  Prediction uses running means.
 */
#include <math.h>

#include "learner/mlp_net.h"

PgmlStatus
pgml_mlp_norm(PgmlMlpNet *net, PgmlMlpLayer *layer, int64_t n)
{
	const float *gain = net->parameter + layer->gain;
	float momentum = (float) net->momentum;

	for (int32_t j = 0; j < layer->ld; j++)
	{
		double sum = 0;
		double squares = 0;
		float mean, variance;

		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int64_t r = 0; r < n; r++)
			sum += layer->value[r * layer->ld + j];
		mean = (float) (sum / (double) n);
		for (int64_t r = 0; r < n; r++)
		{
			double d = layer->value[r * layer->ld + j] - mean;

			squares += d * d;
		}
		variance = (float) (squares / (double) n);
		layer->root[j] = 1 / sqrtf(variance + PGML_MLP_NORM_EPSILON);
		layer->mean[j] += momentum * (mean - layer->mean[j]);
		layer->variance[j] += momentum * (variance - layer->variance[j]);
		for (int64_t r = 0; r < n; r++)
		{
			float hat = (layer->value[r * layer->ld + j] - mean) * layer->root[j];

			layer->hat[r * layer->ld + j] = hat;
			layer->value[r * layer->ld + j] = gain[j] * hat;
		}
	}
	return PGML_OK;
}

PgmlStatus
pgml_mlp_norm_back(PgmlMlpNet *net, PgmlMlpLayer *layer, int64_t n, float *delta)
{
	const float *gain = net->parameter + layer->gain;
	float *d_gain = net->gradient + layer->gain;

	for (int32_t j = 0; j < layer->ld; j++)
	{
		double sum = 0;
		double product = 0;
		float mean, mean_product;

		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int64_t r = 0; r < n; r++)
		{
			sum += delta[r * layer->ld + j];
			product += (double) delta[r * layer->ld + j] * layer->hat[r * layer->ld + j];
		}
		d_gain[j] = (float) product;
		mean = (float) (sum / (double) n);
		mean_product = (float) (product / (double) n);
		for (int64_t r = 0; r < n; r++)
		{
			float d = delta[r * layer->ld + j];

			delta[r * layer->ld + j] = gain[j] * layer->root[j] *
									   (d - mean - layer->hat[r * layer->ld + j] * mean_product);
		}
	}
	return PGML_OK;
}
