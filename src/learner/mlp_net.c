/*
 * mlp_net.c - lay out and allocate a network in training.
 */
#include "learner/mlp_net.h"

#include <string.h>

/* Floats that are cleared between two looks at the stop flag. */
#define CLEAR_AT_ONCE (INT64_C(1) << 20)

void
pgml_mlp_clear(const PgmlEnv *env, float *x, int64_t n)
{
	for (int64_t at = 0; at < n && !pgml_stopped(env); at += CLEAR_AT_ONCE)
		memset(x + at, 0,
			   (size_t) (n - at < CLEAR_AT_ONCE ? n - at : CLEAR_AT_ONCE) * sizeof(float));
}

/* Zeros, unless the stop flag is set; NULL: no memory. */
static float *
zeros(const PgmlEnv *env, PgmlArena *arena, int64_t rows, int64_t width)
{
	float *x = pgml_array(arena, (size_t) rows * (size_t) width, sizeof(float));

	if (x != NULL)
		pgml_mlp_clear(env, x, rows * width);
	return x;
}

int64_t
pgml_mlp_steps(int64_t n, int batch_size)
{
	int64_t steps = (n + batch_size / 2) / batch_size;

	return steps > 0 ? steps : 1;
}

int64_t
pgml_mlp_most_rows(int64_t n, int batch_size)
{
	int64_t steps = pgml_mlp_steps(n, batch_size);

	return (n + steps - 1) / steps;
}

/*
 * Room for n parameters; returns their place.  As in the recipe, all but biases decay, by a factor that is the one of their rate: it
 * counts twice, as decay is multiplied by the rate as well.
 */
static int64_t
add_segment(PgmlMlpNet *net, int64_t n, double rate, double decay, bool penalised)
{
	int64_t at = net->n_parameters;

	n = (n + PGML_MLP_LANES - 1) / PGML_MLP_LANES * PGML_MLP_LANES;
	if (n > 0)
		net->segment[net->n_segments++] = (PgmlMlpSegment){ at, n, rate, decay, penalised };
	net->n_parameters += n;
	return at;
}

/* Places of a layer's parameters. */
static void
plan_layer(PgmlMlpNet *net, PgmlMlpLayer *layer, int32_t in, int32_t out, bool hidden)
{
	const PgmlMlpConfig *c = net->config;
	double slow = c->ntk ? 0.1 : 1;

	layer->in = in;
	layer->out = out;
	layer->ld = pgml_mlp_pad(out);
	layer->scale = c->ntk ? (float) (1 / sqrt(in)) : 1;
	layer->weight = add_segment(net, (int64_t) in * layer->ld, 1, 1, true);
	layer->bias = add_segment(net, layer->ld, slow, 0, false);
	layer->share = hidden ? add_segment(net, layer->ld, c->parametric ? slow : 0, slow, false) : -1;
	layer->gain = hidden && c->batch_norm ? add_segment(net, layer->ld, slow, 0, false) : -1;
}

/* Places of all parameters. */
static void
plan_net(PgmlMlpNet *net, int32_t n_inputs, int64_t number_floats, int64_t level_floats)
{
	const PgmlMlpConfig *c = net->config;

	add_segment(net, number_floats, c->embedding_rate, c->embedding_rate, false);
	add_segment(net, level_floats, 1, 1, false);
	net->factor =
		c->front_scale ? add_segment(net, n_inputs, c->scale_rate, c->scale_rate, false) : -1;
	net->n_layers = c->hidden_layers + 1;
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		bool hidden = l < c->hidden_layers;

		plan_layer(net, &net->layer[l], l == 0 ? n_inputs : c->hidden_width,
				   hidden ? c->hidden_width : net->n_outputs, hidden);
	}
}

/* What a layer keeps of the rows of a step. */
static bool
allocate_layer(PgmlMlpNet *net, PgmlArena *arena, PgmlMlpLayer *layer, bool hidden)
{
	size_t ld = (size_t) layer->ld;
	size_t rows = (size_t) net->most_rows;
	bool good;

	layer->value = zeros(net->env, arena, net->most_rows, layer->ld);
	good = layer->value != NULL;
	if (hidden)
	{
		layer->slope = pgml_array(arena, rows * ld, sizeof(float));
		layer->rest = pgml_array(arena, (net->config->parametric ? rows : 1) * ld, sizeof(float));
		good = good && layer->slope && layer->rest;
	}
	if (layer->gain >= 0)
	{
		layer->hat = pgml_array(arena, rows * ld, sizeof(float));
		layer->root = pgml_array(arena, ld, sizeof(float));
		layer->mean = pgml_zalloc(arena, ld, sizeof(float));
		layer->variance = pgml_zalloc(arena, ld, sizeof(float));
		good = good && layer->hat && layer->root && layer->mean && layer->variance;
	}
	return good;
}

PgmlStatus
pgml_mlp_net_create(const PgmlEnv *env, PgmlArena *arena, const PgmlMlpConfig *config,
					const PgmlMlpInput *input, PgmlMlpNet *net)
{
	int32_t widest;
	bool good = true;

	*net = (PgmlMlpNet){ .env = env,
						 .blas = input->data->blas,
						 .config = config,
						 .input = input,
						 .momentum = 0.1,
						 .most_rows = pgml_mlp_most_rows(input->n, config->batch_size) };
	net->n_outputs = pgml_task_outputs(input->data->task, input->data->n_classes);
	net->input_ld = pgml_mlp_pad(input->n_inputs);
	plan_net(net, input->n_inputs, input->number_floats, input->level_floats);
	widest = net->layer[0].ld > net->input_ld ? net->layer[0].ld : net->input_ld;
	if (net->layer[net->n_layers - 1].ld > widest)
		widest = net->layer[net->n_layers - 1].ld;
	net->parameter = pgml_array(arena, (size_t) net->n_parameters, sizeof(float));
	net->gradient = zeros(env, arena, net->n_parameters, 1);
	net->mean = pgml_array(arena, (size_t) net->n_parameters, sizeof(float));
	net->square = pgml_array(arena, (size_t) net->n_parameters, sizeof(float));
	net->x = zeros(env, arena, net->most_rows, net->input_ld);
	net->keep = pgml_array(arena, (size_t) net->layer[0].ld, sizeof(float));
	for (int i = 0; i < 2; i++)
		net->delta[i] = zeros(env, arena, net->most_rows, widest);
	if (config->front_scale)
	{
		net->layer[0].scaled = zeros(env, arena, input->n_inputs, net->layer[0].ld);
		good = net->layer[0].scaled != NULL;
	}
	for (int32_t l = 0; l < net->n_layers; l++)
		good = good && allocate_layer(net, arena, &net->layer[l], l < config->hidden_layers);
	if (!good || !net->parameter || !net->gradient || !net->mean || !net->square || !net->x ||
		!net->keep || !net->delta[0] || !net->delta[1])
		return pgml_fail_nomem(env, "learner \"mlp\"");
	return pgml_stopped(env) ? pgml_fail_cancelled(env) : PGML_OK;
}

int64_t
pgml_mlp_net_memory(const PgmlDataset *data, const PgmlMlpConfig *config, int64_t *n_floats)
{
	PgmlMlpNet net = { .config = config,
					   .n_outputs = pgml_task_outputs(data->task, data->n_classes) };
	int64_t rows = pgml_mlp_most_rows(data->n, config->batch_size);
	int64_t n_inputs, number_floats, level_floats, widest, per_row;

	pgml_mlp_most_inputs(data, config, &n_inputs, &number_floats, &level_floats);
	plan_net(&net, (int32_t) (n_inputs < INT32_MAX / 4 ? n_inputs : INT32_MAX / 4), number_floats,
			 level_floats);
	widest = n_inputs + PGML_MLP_LANES;
	for (int32_t l = 0; l < net.n_layers; l++)
		widest = net.layer[l].ld > widest ? net.layer[l].ld : widest;
	per_row = 3 * widest;
	for (int32_t l = 0; l < net.n_layers; l++)
		per_row += 4 * net.layer[l].ld;
	*n_floats = net.n_parameters;
	return (4 * net.n_parameters + n_inputs * net.layer[0].ld + rows * per_row) *
		   (int64_t) sizeof(float);
}
