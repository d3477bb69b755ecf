/*
 * mlp_predict.c - what a stored network says of rows, without OpenBLAS.
 *
 * Rows go through the network sixteen at a time, so that inputs are made in lanes and a weight is read once for all of them; the
 * rest one by one.  Each sum is made in the order of the inputs, whichever way and processor, and no multiplication is fused with
 * an addition: the same bits everywhere.  A sum that begins with +0 or another number is never -0, so that inputs of 0 may be
 * left out.
 */
#include <math.h>

#include "learner/mlp_math.h"
#include "learner/mlp_payload.h"

#define ROWS PGML_MLP_LANES

/* Inputs that are gathered before they are multiplied. */
#define GATHERED 64

/* Some rows on their way: interleaved values, and the sums of a layer, row after row. */
typedef struct Tile
{
	int32_t rows; /* ROWS or 1 */
	int32_t ld;   /* floats of a row of sums */
	int32_t n;    /* values */
	int32_t column[GATHERED];
	float value[PGML_MLP_MAX_WIDTH * ROWS] __attribute__((aligned(64)));
	float sum[PGML_MLP_MAX_WIDTH * ROWS] __attribute__((aligned(64)));
} Tile;

/* ---- sums ---- */

/*
 * sum[r][j] += value[i][r] * weight[column[i]][j] for i in order, for some rows and 16 * n_vectors columns j; column NULL: i itself.
 */
PGML_MLP_INLINE void
add_strip(const float *value, const int32_t *column, int32_t n, const float *weight, int64_t ld,
		  float *sum, int64_t sum_ld, int rows, int n_vectors)
{
	PgmlMlpLanes acc[ROWS];

	for (int k = 0; k < rows * n_vectors; k++)
		memcpy(&acc[k], sum + k / n_vectors * sum_ld + k % n_vectors * PGML_MLP_LANES,
			   sizeof(PgmlMlpLanes));
	for (int32_t i = 0; i < n; i++)
	{
		const float *w = weight + (column ? column[i] : i) * ld;
		const float *x = value + (int64_t) i * rows;

		for (int v = 0; v < n_vectors; v++)
		{
			PgmlMlpLanes lanes;

			memcpy(&lanes, w + v * PGML_MLP_LANES, sizeof(lanes));
			for (int r = 0; r < rows; r++)
				acc[r * n_vectors + v] += x[r] * lanes;
		}
	}
	for (int k = 0; k < rows * n_vectors; k++)
		memcpy(sum + k / n_vectors * sum_ld + k % n_vectors * PGML_MLP_LANES, &acc[k],
			   sizeof(PgmlMlpLanes));
}

/* The first n_columns columns of the sums of 1 or ROWS rows. */
PGML_CLONES static void
add_products(const float *value, const int32_t *column, int32_t n, const float *weight, int64_t ld,
			 int64_t n_columns, float *sum, int32_t rows)
{
	int64_t j = 0;

	if (rows == ROWS)
		for (; j < n_columns; j += PGML_MLP_LANES)
			add_strip(value, column, n, weight + j, ld, sum + j, n_columns, ROWS, 1);
	for (; j + 4 * PGML_MLP_LANES <= n_columns; j += 4 * PGML_MLP_LANES)
		add_strip(value, column, n, weight + j, ld, sum + j, n_columns, 1, 4);
	for (; j < n_columns; j += PGML_MLP_LANES)
		add_strip(value, column, n, weight + j, ld, sum + j, n_columns, 1, 1);
}

/* ---- activations ---- */

PGML_MLP_INLINE void
activate_as(PgmlMlpActivation activation, const float *share, int32_t n, float *p)
{
	for (int32_t from = 0; from < n; from += PGML_MLP_LANES)
	{
		float value[PGML_MLP_LANES];

		memcpy(value, p + from, sizeof(value));
		for (int j = 0; j < PGML_MLP_LANES; j++)
		{
			float x = pgml_mlp_finite(value[j]);
			float f, derivative;

			pgml_mlp_activation(activation, x, &f, &derivative);
			value[j] = x + share[from + j] * (f - x);
		}
		memcpy(p + from, value, sizeof(value));
	}
}

PGML_CLONES static void
activate(PgmlMlpActivation activation, const float *share, int32_t n, float *p)
{
	switch (activation)
	{
		case PGML_MLP_RELU:
			activate_as(PGML_MLP_RELU, share, n, p);
			break;
		case PGML_MLP_TANH:
			activate_as(PGML_MLP_TANH, share, n, p);
			break;
		case PGML_MLP_LOGISTIC:
			activate_as(PGML_MLP_LOGISTIC, share, n, p);
			break;
		case PGML_MLP_SELU:
			activate_as(PGML_MLP_SELU, share, n, p);
			break;
		default:
			activate_as(PGML_MLP_MISH, share, n, p);
			break;
	}
}

/* ---- inputs ---- */

/* Multiply what was gathered with the first layer's weights. */
static void
flush(Tile *t, const float *weight)
{
	add_products(t->value, t->column, t->n, weight, t->ld, t->ld, t->sum, t->rows);
	t->n = 0;
}

/* Where the values of an input go; 0 until set. */
static float *
gather(Tile *t, const float *weight, uint32_t column)
{
	float *value;

	if (t->n == GATHERED)
		flush(t, weight);
	value = t->value + t->n * t->rows;
	t->column[t->n++] = (int32_t) column;
	for (int32_t r = 0; r < t->rows; r++)
		value[r] = 0;
	return value;
}

/* Numbers as the network sees them; x: stride floats apart. */
PGML_CLONES static void
see_numbers(const PgmlMlpView *v, const PgmlMlpFeature *f, const float *x, int64_t stride,
			int32_t rows, float *number)
{
	const float *knot = v->table + f->levels;
	float value[ROWS];

	for (int32_t r = 0; r < rows; r++)
		value[r] = x[r * stride];
	if (!pgml_mlp_is_ranked(f->kind))
		for (int32_t r = 0; r < rows; r++)
			number[r] = pgml_mlp_scale(f, value[r]);
	else if (rows == ROWS)
		pgml_mlp_rank_lanes(knot, value, number);
	else
		number[0] = pgml_mlp_rank(knot, value[0]);
	for (int32_t r = 0; r < rows; r++)
		number[r] = isnan(value[r]) ? 0 : number[r];
}

/* Embeddings of numbers: out[i][r] is place i of that of x[r]. */
PGML_CLONES static void
embed(const float *table, int32_t frequencies, int32_t n_out, const float *x, int32_t rows,
	  float *out)
{
	if (rows == ROWS)
		pgml_mlp_embed_lanes(table, table + frequencies, frequencies, n_out, x, out);
	else
		pgml_mlp_embed(table, frequencies, n_out, x[0], out);
}

/* Inputs of a number; x: its values, stride floats apart. */
static void
add_number(Tile *t, const PgmlMlpView *v, const PgmlMlpFeature *f, const float *x, int64_t stride,
		   const float *weight)
{
	const PgmlMlpHeader *h = v->header;
	float number[ROWS];
	bool missing = false;

	see_numbers(v, f, x, stride, t->rows, number);
	for (int32_t r = 0; r < t->rows; r++)
		missing |= isnan(x[r * stride]);
	memcpy(gather(t, weight, f->input), number, (size_t) t->rows * sizeof(float));
	if (pgml_mlp_is_periodic(f->kind))
	{
		float out[PGML_MLP_MAX_EMBEDDED * ROWS];

		embed(v->table + f->table, (int32_t) h->frequencies, (int32_t) h->n_embedded, number,
			  t->rows, out);
		for (uint32_t i = 0; i < h->n_embedded; i++)
			memcpy(gather(t, weight, f->embedded + i), out + i * t->rows,
				   (size_t) t->rows * sizeof(float));
	}
	if (missing && f->missing != PGML_MLP_NONE)
	{
		float *value = gather(t, weight, f->missing);

		for (int32_t r = 0; r < t->rows; r++)
			value[r] = isnan(x[r * stride]);
	}
}

/* Inputs of a category. */
static void
add_category(Tile *t, const PgmlMlpView *v, const PgmlMlpFeature *f, const float *x, int64_t stride,
			 const float *weight)
{
	uint32_t width = v->header->category_width;
	uint32_t level[ROWS];

	for (int32_t r = 0; r < t->rows; r++)
		level[r] = pgml_mlp_level(f->levels, x[r * stride]);
	if (f->kind == PGML_MLP_BINARY)
	{
		float *value = gather(t, weight, f->input);

		for (int32_t r = 0; r < t->rows; r++)
			value[r] = level[r] == 0 ? -1 : level[r] == 1 ? 1 : 0;
	}
	if (f->kind == PGML_MLP_ONE_HOT)
		for (int32_t r = 0; r < t->rows; r++)
			if (level[r] < f->levels)
				gather(t, weight, f->input + level[r])[r] = 1;
	if (f->kind == PGML_MLP_LEVELS)
		for (uint32_t i = 0; i < width; i++)
		{
			float *value = gather(t, weight, f->embedded + i);

			for (int32_t r = 0; r < t->rows; r++)
				value[r] = v->table[f->table + level[r] * (uint64_t) width + i];
		}
}

/* All inputs of the rows times weight, added to the sums. */
static void
add_inputs(Tile *t, const PgmlMlpView *v, const float *x, const float *weight)
{
	int64_t stride = v->header->nfeatures;

	t->n = 0;
	for (uint32_t i = 0; i < v->header->nfeatures; i++)
	{
		const PgmlMlpFeature *f = &v->feature[i];

		if (pgml_mlp_is_number(f->kind))
			add_number(t, v, f, x + i, stride, weight);
		else if (f->kind != PGML_MLP_UNUSED)
			add_category(t, v, f, x + i, stride, weight);
	}
	flush(t, weight);
}

/* ---- layers ---- */

/* Begin sums with the biases; never -0. */
static void
begin_sums(const float *bias, int64_t n, int32_t rows, float *sum)
{
	for (int32_t r = 0; r < rows; r++)
		for (int64_t j = 0; j < n; j++)
			sum[r * n + j] = bias[j] + 0.0f;
}

/* Activations of the sums, interleaved, as the values of the next layer. */
static void
end_layer(Tile *t, const PgmlMlpHeader *h, const float *share)
{
	for (int32_t r = 0; r < t->rows; r++)
	{
		activate((PgmlMlpActivation) h->activation, share, t->ld, t->sum + r * t->ld);
		for (int32_t j = 0; j < (int32_t) h->hidden_width; j++)
			t->value[j * t->rows + r] = t->sum[r * t->ld + j];
	}
}

/* The scores of the rows. */
static void
run(Tile *t, const PgmlMlpView *v, const float *x, double *out)
{
	const PgmlMlpHeader *h = v->header;
	const float *weight = v->layers;
	int64_t in = h->n_inputs;
	int32_t n = (int32_t) h->n_outputs;
	int64_t ld = pgml_mlp_pad(n);

	t->ld = pgml_mlp_pad((int32_t) h->hidden_width);
	for (uint32_t layer = 0; layer < h->hidden_layers; layer++)
	{
		const float *bias = weight + in * t->ld;

		begin_sums(bias, t->ld, t->rows, t->sum);
		if (layer == 0)
			add_inputs(t, v, x, weight);
		else
			add_products(t->value, NULL, (int32_t) in, weight, t->ld, t->ld, t->sum, t->rows);
		end_layer(t, h, bias + t->ld);
		weight = bias + 2 * t->ld;
		in = h->hidden_width;
	}
	for (int32_t j = 0; j < n; j += PGML_MLP_LANES)
	{
		begin_sums(weight + in * ld + j, PGML_MLP_LANES, t->rows, t->sum);
		add_products(t->value, NULL, (int32_t) in, weight + j, ld, PGML_MLP_LANES, t->sum, t->rows);
		for (int32_t r = 0; r < t->rows; r++)
			for (int32_t k = 0; k < PGML_MLP_LANES && j + k < n; k++)
				out[r * n + j + k] = t->sum[r * PGML_MLP_LANES + k];
	}
}

/* ---- outputs ---- */

/* A number in the units of the target, within its range. */
static double
number_of(const PgmlMlpHeader *h, double score)
{
	double y = h->center + h->factor * score;

	if (!(y > h->low))
		return h->low;
	return y < h->high ? y : h->high;
}

/* Scores to probabilities; of no finite ones: all alike. */
static void
softmax(double *score, int32_t n)
{
	double most = score[0];
	double sum = 0;

	for (int32_t k = 1; k < n; k++)
		most = score[k] > most ? score[k] : most;
	for (int32_t k = 0; k < n; k++)
	{
		score[k] = isfinite(score[k]) && isfinite(most) ?
					   (double) pgml_mlp_exp((float) (score[k] - most)) :
					   0;
		sum += score[k];
	}
	for (int32_t k = 0; k < n; k++)
		score[k] = sum > 0 ? score[k] / sum : 1.0 / n;
}

static double
logistic(double score)
{
	return isnan(score) ? 0.5 : 1 / (1 + (double) pgml_mlp_exp((float) -score));
}

void
pgml_mlp_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	PgmlMlpView v = pgml_mlp_view(payload);
	int32_t outputs = (int32_t) v.header->n_outputs;
	Tile t;

	for (int64_t i = 0; i < n; i += t.rows)
	{
		t.rows = n - i >= ROWS ? ROWS : 1;
		run(&t, &v, x + i * shape->nfeatures, out + i * outputs);
	}
	for (int64_t i = 0; i < n; i++)
	{
		if (shape->task == PGML_TASK_REGRESSION)
			out[i] = number_of(v.header, out[i]);
		else if (shape->task == PGML_TASK_BINARY)
			out[i] = logistic(out[i]);
		else
			softmax(out + i * outputs, outputs);
	}
}
