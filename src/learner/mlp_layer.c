/*
 * mlp_layer.c - the layers of a network in training: forward and backward over the rows of a step.
 *
 * Dense products are OpenBLAS's, cut so that the stop flag is seen in time; the rest is done in one pass over a layer's values
 * forward and one backward.
 */
#include "learner/mlp_math.h"
#include "learner/mlp_net.h"

/* Multiplications and additions between two looks at the flag. */
#define PRODUCTS_AT_ONCE INT64_C(400000000)

/* Inputs whose weights are gone through between two looks. */
#define POLL_INPUTS 64

/* ---- products ---- */

/* A product of row-major matrices, c of m x n; transposed ones as OpenBLAS says. */
typedef struct Product
{
	int ta, tb;
	int64_t m, n, k;
	float scale;
	const float *a;
	int64_t lda;
	const float *b;
	int64_t ldb;
	float *c;
	int64_t ldc;
} Product;

static PgmlStatus
multiply(const PgmlMlpNet *net, const Product *p)
{
	int64_t most = PRODUCTS_AT_ONCE / (p->n * p->k) + 1;

	for (int64_t i = 0; i < p->m; i += most)
	{
		int64_t m = p->m - i < most ? p->m - i : most;

		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		net->blas->sgemm(PGML_ROW_MAJOR, p->ta, p->tb, (int) m, (int) p->n, (int) p->k, p->scale,
						 p->a + (p->ta == PGML_TRANS ? i : i * p->lda), (int) p->lda, p->b,
						 (int) p->ldb, 0, p->c + i * p->ldc, (int) p->ldc);
	}
	return PGML_OK;
}

/* What a layer's inputs are multiplied with. */
static const float *
weights_of(const PgmlMlpNet *net, const PgmlMlpLayer *layer)
{
	return layer->scaled != NULL ? layer->scaled : net->parameter + layer->weight;
}

/* Sums of layer l, without biases, of n rows. */
static PgmlStatus
sum_layer(PgmlMlpNet *net, int32_t l, int64_t n)
{
	PgmlMlpLayer *layer = &net->layer[l];

	return multiply(net, &(Product){ .ta = PGML_NO_TRANS,
									 .tb = PGML_NO_TRANS,
									 .m = n,
									 .n = layer->out,
									 .k = layer->in,
									 .scale = layer->scale,
									 .a = l > 0 ? net->layer[l - 1].value : net->x,
									 .lda = l > 0 ? net->layer[l - 1].ld : net->input_ld,
									 .b = weights_of(net, layer),
									 .ldb = layer->ld,
									 .c = layer->value,
									 .ldc = layer->ld });
}

/* ---- activations ---- */

typedef int32_t Ints __attribute__((vector_size(PGML_MLP_LANES * sizeof(int32_t))));
typedef uint32_t Words __attribute__((vector_size(PGML_MLP_LANES * sizeof(uint32_t))));

/*
 * Dropout's factors of the units of a row: 0, or what makes up for the zeros (xorshift generators, Marsaglia 2003).  A draw of 32
 * bits is for two units, each of which is left out when its half is below `limit`.
 */
PGML_CLONES static void
draw_kept(uint32_t *random, int32_t limit, float factor, int32_t n, float *keep)
{
	const size_t bytes = sizeof(Words);
	Words state;

	memcpy(&state, random, bytes);
	for (int32_t from = 0; from < n; from += 2 * PGML_MLP_LANES)
	{
		Ints low, high;

		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		low = pgml_mlp_bits(factor) & ~((Ints) (state & 0xffff) < limit);
		high = pgml_mlp_bits(factor) & ~((Ints) (state >> 16) < limit);
		memcpy(keep + from, &low, bytes);
		if (from + PGML_MLP_LANES < n)
			memcpy(keep + from + PGML_MLP_LANES, &high, bytes);
	}
	memcpy(random, &state, bytes);
}

/* Parameters of a layer's activations, and of a row what is read and written. */
typedef struct Units
{
	int32_t n;
	const float *bias, *share, *keep;
	float *value, *slope, *rest;
} Units;

PGML_MLP_INLINE void
activate_as(PgmlMlpActivation activation, const Units *u)
{
	for (int32_t from = 0; from < u->n; from += PGML_MLP_LANES)
	{
		const float *bias = u->bias + from, *share = u->share + from, *keep = u->keep + from;
		float value[PGML_MLP_LANES], slope[PGML_MLP_LANES], rest[PGML_MLP_LANES];

		memcpy(value, u->value + from, sizeof(value));
		for (int j = 0; j < PGML_MLP_LANES; j++)
		{
			float p = value[j] + bias[j];
			float f, derivative;

			pgml_mlp_activation(activation, p, &f, &derivative);
			rest[j] = (f - p) * keep[j];
			value[j] = (p + share[j] * (f - p)) * keep[j];
			slope[j] = (1 + share[j] * (derivative - 1)) * keep[j];
		}
		memcpy(u->value + from, value, sizeof(value));
		memcpy(u->slope + from, slope, sizeof(slope));
		memcpy(u->rest + from, rest, sizeof(rest));
	}
}

PGML_CLONES static void
activate(PgmlMlpActivation activation, const Units *u)
{
	switch (activation)
	{
		case PGML_MLP_RELU:
			activate_as(PGML_MLP_RELU, u);
			break;
		case PGML_MLP_TANH:
			activate_as(PGML_MLP_TANH, u);
			break;
		case PGML_MLP_LOGISTIC:
			activate_as(PGML_MLP_LOGISTIC, u);
			break;
		case PGML_MLP_SELU:
			activate_as(PGML_MLP_SELU, u);
			break;
		default:
			activate_as(PGML_MLP_MISH, u);
			break;
	}
}

/* Activations of a hidden layer's sums. */
static PgmlStatus
activate_layer(PgmlMlpNet *net, PgmlMlpLayer *layer, int64_t n)
{
	int32_t limit = (int32_t) (net->dropout * (1 << 16));
	float factor = (float) (1 / (1 - net->dropout));

	if (layer->gain >= 0)
		PGML_TRY(pgml_mlp_norm(net, layer, n));
	for (int32_t j = 0; j < layer->ld; j++)
		net->keep[j] = 1;
	for (int64_t r = 0; r < n; r++)
	{
		Units u = { .n = layer->ld,
					.bias = net->parameter + layer->bias,
					.share = net->parameter + layer->share,
					.keep = net->keep,
					.value = layer->value + r * layer->ld,
					.slope = layer->slope + r * layer->ld,
					.rest = layer->rest + (net->config->parametric ? r * layer->ld : 0) };

		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		if (limit > 0)
			draw_kept(net->random, limit, factor, layer->ld, net->keep);
		activate(net->config->activation, &u);
	}
	return PGML_OK;
}

/* ---- forward ---- */

/* A weight times the factor of its input, for all weights of an input. */
PGML_CLONES static void
scale_row(float factor, const float *restrict weight, int64_t n, float *restrict scaled)
{
	for (int64_t j = 0; j < n; j++)
		scaled[j] = factor * weight[j];
}

/* The first layer's weights times the factors of its inputs. */
static PgmlStatus
scale_weights(PgmlMlpNet *net)
{
	const PgmlMlpLayer *first = &net->layer[0];

	for (int64_t i = 0; i < first->in; i++)
	{
		if (i % POLL_INPUTS == 0 && pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		scale_row(net->parameter[net->factor + i], net->parameter + first->weight + i * first->ld,
				  first->ld, first->scaled + i * first->ld);
	}
	return PGML_OK;
}

/* All layers up to the sums of the output layer, without its biases. */
static PgmlStatus
run_forward(PgmlMlpNet *net, const int32_t *row, int64_t n)
{
	PgmlMlpLayer *first = &net->layer[0];

	if (first->scaled != NULL)
		PGML_TRY(scale_weights(net));
	PGML_TRY(pgml_mlp_expand(net->env, net->input, net->parameter, row, n, net->x, net->input_ld));
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		PGML_TRY(sum_layer(net, l, n));
		if (l + 1 < net->n_layers)
			PGML_TRY(activate_layer(net, &net->layer[l], n));
	}
	return PGML_OK;
}

/* ---- the loss ---- */

/* Gradients of a row's loss by its scores, which have the biases; smooth: share of the label that all classes get. */
static void
softmax_back(const float *score, int32_t n, int32_t label, float smooth, float weight, float *delta)
{
	float most = score[0];
	float sum = 0;

	for (int32_t k = 1; k < n; k++)
		most = score[k] > most ? score[k] : most;
	for (int32_t k = 0; k < n; k++)
	{
		delta[k] = pgml_mlp_exp(score[k] - most);
		sum += delta[k];
	}
	for (int32_t k = 0; k < n; k++)
		delta[k] = weight * (delta[k] / sum - smooth / (float) n - (k == label ? 1 - smooth : 0));
}

/* Gradient of the mean loss by the scores, into delta[0]; PGML_ERR_NUMERIC when it is not finite. */
static PgmlStatus
loss_back(PgmlMlpNet *net, const int32_t *row, int64_t n)
{
	const PgmlMlpInput *input = net->input;
	const PgmlDataset *data = input->data;
	PgmlMlpLayer *layer = &net->layer[net->n_layers - 1];
	const float *bias = net->parameter + layer->bias;
	float smooth = (float) net->config->label_smoothing;
	double total = 0;

	for (int64_t i = 0; i < n; i++)
	{
		int32_t of_data = input->row[row[i]];
		double y = data->y[of_data];
		double w = (data->w != NULL ? data->w[of_data] : 1) / (input->mean_weight * (double) n);
		float *score = layer->value + i * layer->ld;
		float *delta = net->delta[0] + i * layer->ld;

		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int32_t k = 0; k < layer->out; k++)
			score[k] += bias[k];
		if (data->task == PGML_TASK_REGRESSION)
			delta[0] =
				(float) (w * (score[0] - (y / input->unit - input->mean) / input->deviation));
		else if (data->task == PGML_TASK_BINARY)
			delta[0] = (float) w * (1 / (1 + pgml_mlp_exp(-score[0])) -
									((float) y * (1 - smooth) + 0.5f * smooth));
		else
			softmax_back(score, layer->out, (int32_t) y, smooth, (float) w, delta);
		for (int32_t k = 0; k < layer->out; k++)
			total += fabs((double) score[k]) + fabs((double) delta[k]);
	}
	return isfinite(total) ? PGML_OK : PGML_ERR_NUMERIC;
}

/* ---- backward ---- */

/* Gradients by activations become gradients by sums; adds up those of biases and, unless NULL, of shares. */
PGML_CLONES static void
units_back(int32_t n, const float *restrict slope, const float *restrict rest,
		   float *restrict delta, float *restrict d_bias, float *restrict d_share)
{
	if (d_share != NULL)
		for (int32_t j = 0; j < n; j++)
			d_share[j] += delta[j] * rest[j];
	for (int32_t j = 0; j < n; j++)
	{
		float d = slope != NULL ? delta[j] * slope[j] : delta[j];

		delta[j] = d;
		d_bias[j] += d;
	}
}

/* From gradients by an input's weights times its factor to those by the weights; returns that by the factor. */
PGML_CLONES static float
factor_back(float factor, const float *weight, int64_t n, float *d_weight)
{
	float lanes[PGML_MLP_LANES] = { 0 };
	float sum = 0;

	for (int64_t from = 0; from < n; from += PGML_MLP_LANES)
		for (int64_t k = 0; k < PGML_MLP_LANES; k++)
		{
			lanes[k] += d_weight[from + k] * weight[from + k];
			d_weight[from + k] *= factor;
		}
	for (int k = 0; k < PGML_MLP_LANES; k++)
		sum += lanes[k];
	return sum;
}

/* The same for all inputs. */
static PgmlStatus
factors_back(PgmlMlpNet *net)
{
	const PgmlMlpLayer *first = &net->layer[0];

	for (int64_t i = 0; i < first->in; i++)
	{
		int64_t at = first->weight + i * first->ld;

		if (i % POLL_INPUTS == 0 && pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		net->gradient[net->factor + i] = factor_back(
			net->parameter[net->factor + i], net->parameter + at, first->ld, net->gradient + at);
	}
	return PGML_OK;
}

/* Gradients of layer l, given those by its values in delta[0]; then delta[0] has those by the values before it. */
static PgmlStatus
layer_back(PgmlMlpNet *net, int32_t l, int64_t n)
{
	PgmlMlpLayer *layer = &net->layer[l];
	bool hidden = l + 1 < net->n_layers;
	float *delta = net->delta[0];
	float *d_bias = net->gradient + layer->bias;
	float *d_share = hidden && net->config->parametric ? net->gradient + layer->share : NULL;
	int64_t before_ld = l > 0 ? net->layer[l - 1].ld : net->input_ld;
	Product weights = { .ta = PGML_TRANS,
						.tb = PGML_NO_TRANS,
						.m = layer->in,
						.n = layer->out,
						.k = n,
						.scale = layer->scale,
						.a = l > 0 ? net->layer[l - 1].value : net->x,
						.lda = before_ld,
						.b = delta,
						.ldb = layer->ld,
						.c = net->gradient + layer->weight,
						.ldc = layer->ld };
	Product values = { .ta = PGML_NO_TRANS,
					   .tb = PGML_TRANS,
					   .m = n,
					   .n = l > 0 ? layer->in : net->input->n_embedded,
					   .k = layer->out,
					   .scale = layer->scale,
					   .a = delta,
					   .lda = layer->ld,
					   .b = weights_of(net, layer),
					   .ldb = layer->ld,
					   .c = net->delta[1],
					   .ldc = before_ld };

	memset(d_bias, 0, (size_t) layer->ld * sizeof(float));
	if (d_share != NULL)
		memset(d_share, 0, (size_t) layer->ld * sizeof(float));
	for (int64_t r = 0; r < n; r++)
		for (int32_t j = layer->out; j < layer->ld; j++)
			delta[r * layer->ld + j] = 0;
	for (int64_t r = 0; r < n; r++)
	{
		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		units_back(layer->ld, hidden ? layer->slope + r * layer->ld : NULL,
				   d_share != NULL ? layer->rest + r * layer->ld : NULL, delta + r * layer->ld,
				   d_bias, d_share);
	}
	if (layer->gain >= 0)
		PGML_TRY(pgml_mlp_norm_back(net, layer, n, delta));
	PGML_TRY(multiply(net, &weights));
	if (values.n == 0)
		return PGML_OK;
	PGML_TRY(multiply(net, &values));
	net->delta[1] = net->delta[0];
	net->delta[0] = values.c;
	return PGML_OK;
}

PgmlStatus
pgml_mlp_net_gradient(PgmlMlpNet *net, const int32_t *row, int64_t n)
{
	PgmlMlpLayer *first = &net->layer[0];

	PGML_TRY(run_forward(net, row, n));
	PGML_TRY(loss_back(net, row, n));
	for (int32_t l = net->n_layers - 1; l >= 0; l--)
		PGML_TRY(layer_back(net, l, n));
	if (first->scaled != NULL)
		PGML_TRY(factors_back(net));
	if (net->input->n_embedded > 0)
	{
		pgml_mlp_clear(net->env, net->gradient,
					   net->input->number_floats + net->input->level_floats);
		return pgml_mlp_expand_back(net->env, net->input, net->parameter, row, n, net->delta[0],
									net->input_ld, net->gradient);
	}
	return PGML_OK;
}

/* ---- first parameters ---- */

/* Glorot's bounds (Glorot and Bengio 2010), as scikit-learn uses them. */
static PgmlStatus
init_standard(PgmlMlpNet *net, PgmlMlpLayer *layer, PgmlRng *rng)
{
	double factor = net->config->activation == PGML_MLP_LOGISTIC ? 2 : 6;
	double bound = sqrt(factor / (layer->in + layer->out));

	for (int32_t i = 0; i <= layer->in; i++)
	{
		int64_t at = i < layer->in ? layer->weight + (int64_t) i * layer->ld : layer->bias;

		if (i % POLL_INPUTS == 0 && pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int32_t j = 0; j < layer->out; j++)
			net->parameter[at + j] = (float) (bound * (2 * pgml_rng_uniform(rng) - 1));
	}
	return PGML_OK;
}

/* Divide the weights of a unit, and its sums, by their deviation over n rows. */
static void
scale_unit(PgmlMlpNet *net, PgmlMlpLayer *layer, int32_t j, int64_t n)
{
	double sum = 0;
	double squares = 0;
	float factor;

	for (int64_t r = 0; r < n; r++)
		sum += layer->value[r * layer->ld + j];
	for (int64_t r = 0; r < n; r++)
	{
		double d = layer->value[r * layer->ld + j] - sum / (double) n;

		squares += d * d;
	}
	if (!(squares > 1e-12 * (double) n))
		return;
	factor = (float) (1 / sqrt(squares / (double) n));
	for (int32_t i = 0; i < layer->in; i++)
		net->parameter[layer->weight + (int64_t) i * layer->ld + j] *= factor;
	for (int64_t r = 0; r < n; r++)
		layer->value[r * layer->ld + j] *= factor;
}

/* Rows of whose sums a first bias is a random mean. */
#define BIAS_ROWS 5

/* A bias that puts the bend of the activation among the rows. */
static void
init_bias(PgmlMlpNet *net, PgmlMlpLayer *layer, int32_t j, int64_t n, PgmlRng *rng)
{
	double total = 0;
	double sum = 0;

	for (int k = 0; k < BIAS_ROWS; k++)
	{
		int64_t r = (int64_t) pgml_rng_below(rng, (uint64_t) n);
		double share = -log(1 - pgml_rng_uniform(rng));

		total += share;
		sum += share * layer->value[r * layer->ld + j];
	}
	net->parameter[layer->bias + j] = total > 0 ? (float) (-sum / total) : 0;
}

/* Weights of layer l that give sums of deviation 1; output weights are 0. */
static PgmlStatus
init_ntk(PgmlMlpNet *net, int32_t l, int64_t n, PgmlRng *rng)
{
	PgmlMlpLayer *layer = &net->layer[l];

	if (l + 1 == net->n_layers)
		return PGML_OK;
	for (int32_t i = 0; i < layer->in; i++)
	{
		if (i % POLL_INPUTS == 0 && pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		for (int32_t j = 0; j < layer->out; j++)
			net->parameter[layer->weight + (int64_t) i * layer->ld + j] =
				(float) pgml_rng_normal(rng);
	}
	if (layer->scaled != NULL)
		memcpy(layer->scaled, net->parameter + layer->weight,
			   (size_t) layer->in * (size_t) layer->ld * sizeof(float));
	PGML_TRY(sum_layer(net, l, n));
	for (int32_t j = 0; j < layer->out; j++)
	{
		if (pgml_stopped(net->env))
			return PGML_ERR_CANCELLED;
		scale_unit(net, layer, j, n);
		if (layer->gain < 0)
			init_bias(net, layer, j, n, rng);
	}
	return activate_layer(net, layer, n);
}

PgmlStatus
pgml_mlp_net_init(PgmlMlpNet *net, uint64_t seed, const int32_t *row, int64_t n)
{
	PgmlRng rng;

	pgml_rng_init(&rng, seed, PGML_MLP_STREAM_INIT);
	pgml_mlp_clear(net->env, net->parameter, net->n_parameters);
	pgml_mlp_clear(net->env, net->mean, net->n_parameters);
	pgml_mlp_clear(net->env, net->square, net->n_parameters);
	net->steps = 0;
	net->dropout = 0;
	PGML_TRY(pgml_mlp_init_tables(net->env, net->input, net->config->sigma, &rng, net->parameter));
	for (int32_t i = 0; net->factor >= 0 && i < net->input->n_inputs; i++)
		net->parameter[net->factor + i] = 1;
	PGML_TRY(pgml_mlp_expand(net->env, net->input, net->parameter, row, n, net->x, net->input_ld));
	for (int32_t l = 0; l < net->n_layers; l++)
	{
		PgmlMlpLayer *layer = &net->layer[l];

		for (int32_t j = 0; layer->share >= 0 && j < layer->ld; j++)
			net->parameter[layer->share + j] = 1;
		for (int32_t j = 0; layer->gain >= 0 && j < layer->ld; j++)
		{
			net->parameter[layer->gain + j] = 1;
			layer->mean[j] = 0;
			layer->variance[j] = 1;
		}
		if (net->config->ntk)
			PGML_TRY(init_ntk(net, l, n, &rng));
		else
			PGML_TRY(init_standard(net, layer, &rng));
	}
	pgml_rng_init(&rng, seed, PGML_MLP_STREAM_DROPOUT);
	for (int i = 0; i < PGML_MLP_LANES; i++)
		net->random[i] = (uint32_t) pgml_rng_next(&rng) | 1;
	return PGML_OK;
}
