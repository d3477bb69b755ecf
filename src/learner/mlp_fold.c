/*
 * mlp_fold.c - a network in training as a payload: what only training needs is multiplied into the weights.
 */
#include <string.h>

#include "learner/mlp_net.h"

/* Inputs whose weights are gone through between two looks at the stop flag. */
#define POLL_INPUTS 64

static bool
all_finite(const float *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

/* Normalisation as a factor of a unit's sum and an addition to its bias. */
static void
norm_unit(const PgmlMlpNet *net, const PgmlMlpLayer *layer, int32_t j, float *factor, float *shift)
{
	*factor = 1;
	*shift = 0;
	if (layer->gain < 0)
		return;
	*factor = net->parameter[layer->gain + j] / sqrtf(layer->variance[j] + PGML_MLP_NORM_EPSILON);
	*shift = -layer->mean[j] * *factor;
}

/* Weights, biases and shares of a layer; *begin: where they lie, then where the next one's do. */
static PgmlStatus
fold_layer(const PgmlMlpNet *net, int32_t l, float **begin)
{
	const PgmlMlpLayer *layer = &net->layer[l];
	const float *weight = net->parameter + layer->weight;
	const float *scale = l == 0 && net->factor >= 0 ? net->parameter + net->factor : NULL;
	float *out = *begin;
	float *bias = out + (int64_t) layer->in * layer->ld;
	float *share = bias + layer->ld;
	float shift;

	/* The biases' places hold the factors of units first. */
	for (int32_t j = 0; j < layer->out; j++)
	{
		norm_unit(net, layer, j, &bias[j], &shift);
		bias[j] *= layer->scale;
	}
	for (int64_t i = 0; i < layer->in; i++)
	{
		if (i % POLL_INPUTS == 0 && pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int32_t j = 0; j < layer->out; j++)
			out[i * layer->ld + j] =
				bias[j] * weight[i * layer->ld + j] * (scale != NULL ? scale[i] : 1);
		if (!all_finite(out + i * layer->ld, layer->ld))
			return PGML_ERR_NUMERIC;
	}
	for (int32_t j = 0; j < layer->out; j++)
	{
		float factor;

		norm_unit(net, layer, j, &factor, &shift);
		bias[j] = net->parameter[layer->bias + j] + shift;
		if (layer->share >= 0)
			share[j] = net->parameter[layer->share + j];
	}
	*begin = layer->share >= 0 ? share + layer->ld : share;
	return all_finite(bias, *begin - bias) ? PGML_OK : PGML_ERR_NUMERIC;
}

/* Embeddings, phases in turns, and knots. */
static void
fold_tables(const PgmlMlpNet *net, const PgmlMlpHeader *header, float *out)
{
	const PgmlMlpInput *input = net->input;
	int64_t learned = input->number_floats + input->level_floats;

	memcpy(out, net->parameter, (size_t) learned * sizeof(float));
	if (input->knot_floats > 0)
		memcpy(out + learned, input->knots, (size_t) input->knot_floats * sizeof(float));
	for (uint32_t i = 0; i < header->nfeatures; i++)
	{
		const PgmlMlpFeature *f = &net->input->feature[i];

		for (uint32_t k = 0; pgml_mlp_is_periodic(f->kind) && k < header->frequencies; k++)
			out[f->table + header->frequencies + k] *= PGML_MLP_TURN;
	}
}

/* The header; a regression's scores in the units of its target. */
static PgmlMlpHeader
make_header(const PgmlMlpNet *net)
{
	const PgmlMlpInput *input = net->input;
	const PgmlMlpConfig *c = net->config;
	bool regression = input->data->task == PGML_TASK_REGRESSION;

	return (PgmlMlpHeader){ .format = PGML_MLP_FORMAT,
							.n_outputs = (uint32_t) net->n_outputs,
							.nfeatures = (uint32_t) input->data->x->nfeatures,
							.n_inputs = (uint32_t) input->n_inputs,
							.hidden_layers = (uint32_t) c->hidden_layers,
							.hidden_width = (uint32_t) c->hidden_width,
							.activation = (uint32_t) c->activation,
							.frequencies = (uint32_t) input->frequencies,
							.n_embedded = (uint32_t) input->number_width,
							.category_width = (uint32_t) input->category_width,
							.table_floats = (uint64_t) (input->number_floats + input->level_floats +
														input->knot_floats),
							.center = regression ? input->mean * input->unit : 0,
							.factor = regression ? input->deviation * input->unit : 0,
							.low = regression ? input->low : 0,
							.high = regression ? input->high : 0 };
}

PgmlStatus
pgml_mlp_fold(const PgmlMlpNet *net, PgmlBuf *out)
{
	PgmlMlpHeader header = make_header(net);
	uint64_t n = pgml_mlp_floats(&header);
	size_t features = header.nfeatures * sizeof(PgmlMlpFeature);
	size_t at = out->len;
	float *floats, *next;

	pgml_buf_reserve(out, sizeof(header) + features + n * sizeof(float) + 8);
	pgml_buf_put(out, &header, sizeof(header));
	pgml_buf_put(out, net->input->feature, features);
	pgml_buf_put(out, NULL, n * sizeof(float));
	pgml_buf_align(out, 8);
	if (out->failed)
		return pgml_fail_nomem(net->env, "the model");
	floats = (float *) (out->data + at + sizeof(header) + features);
	fold_tables(net, &header, floats);
	if (!all_finite(floats, (int64_t) header.table_floats))
		return PGML_ERR_NUMERIC;
	next = floats + header.table_floats;
	for (int32_t l = 0; l < net->n_layers; l++)
		PGML_TRY(fold_layer(net, l, &next));
	return PGML_OK;
}
