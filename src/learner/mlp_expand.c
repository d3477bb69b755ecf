/*
 * mlp_expand.c - encoded rows as inputs of the first layer, and the gradients of embeddings.
 *
 * Sixteen rows at a time: what is summed over waves is summed in lanes of rows.
 */
#include "learner/mlp_input.h"
#include "learner/mlp_math.h"

#define TWO_PI 6.28318531f

/* Rows between two looks at the stop flag where each costs little. */
#define POLL_ROWS 65536

/* Values of one feature in some rows. */
typedef struct Column
{
	int32_t n; /* at most PGML_MLP_LANES */
	float x[PGML_MLP_LANES];
} Column;

static void
take_column(const PgmlMlpInput *input, int32_t k, const int32_t *row, int64_t n, Column *c)
{
	c->n = n < PGML_MLP_LANES ? (int32_t) n : PGML_MLP_LANES;
	for (int32_t r = 0; r < c->n; r++)
		c->x[r] = input->encoded[(int64_t) row[r] * input->n_used + k];
	for (int32_t r = c->n; r < PGML_MLP_LANES; r++)
		c->x[r] = 0;
}

/* Missing numbers are in the middle of the others. */
static void
fill_missing(Column *c)
{
	for (int32_t r = 0; r < PGML_MLP_LANES; r++)
		c->x[r] = isnan(c->x[r]) ? 0 : c->x[r];
}

PgmlStatus
pgml_mlp_init_tables(const PgmlEnv *env, const PgmlMlpInput *input, double sigma, PgmlRng *rng,
					 float *table)
{
	int32_t m = input->frequencies;
	double bound = 1 / sqrt(m);

	for (int32_t k = 0; k < input->n_used; k++)
	{
		const PgmlMlpFeature *f = &input->feature[input->used[k]];
		float *t = table + f->table;

		if (pgml_mlp_is_periodic(f->kind))
		{
			for (int32_t i = 0; i < m; i++)
				t[i] = (float) (sigma * pgml_rng_normal(rng));
			for (int32_t i = m; i < 2 * m; i++)
				t[i] = (float) (2 * M_PI * (pgml_rng_uniform(rng) - 0.5));
			for (int32_t i = 0; i < input->number_width * (m + 1); i++)
				t[2 * m + i] = (float) (bound * (2 * pgml_rng_uniform(rng) - 1));
		}
		if (f->kind == PGML_MLP_LEVELS)
		{
			for (int64_t i = 0; i < ((int64_t) f->levels + 1) * input->category_width; i++)
				t[i] = 0;
			/* Levels without a row stay 0: noise would be all that is known of them. */
			for (int64_t i = 0; i < input->n; i++)
			{
				float *level =
					t + (int64_t) input->encoded[i * input->n_used + k] * input->category_width;

				if (i % POLL_ROWS == 0 && pgml_stopped(env))
					return PGML_ERR_CANCELLED;
				for (int32_t j = 0; level[0] == 0 && j < input->category_width; j++)
					level[input->category_width - 1 - j] = (float) pgml_rng_normal(rng);
			}
		}
	}
	return PGML_OK;
}

/* ---- forward ---- */

PGML_CLONES static void
expand_periodic(const float *table, int32_t frequencies, int32_t n_out, const Column *c, float *out)
{
	float phase[PGML_MLP_MAX_FREQUENCY];

	for (int32_t k = 0; k < frequencies; k++)
		phase[k] = PGML_MLP_TURN * table[frequencies + k];
	pgml_mlp_embed_lanes(table, phase, frequencies, n_out, c->x, out);
}

/* Inputs of a number in some rows. */
static void
expand_number(const PgmlMlpInput *input, const float *table, const PgmlMlpFeature *f, Column *c,
			  float *x, int64_t ld)
{
	float out[PGML_MLP_MAX_EMBEDDED * PGML_MLP_LANES];

	if (f->missing != PGML_MLP_NONE)
		for (int32_t r = 0; r < c->n; r++)
			x[r * ld + f->missing] = isnan(c->x[r]) ? 1 : 0;
	fill_missing(c);
	for (int32_t r = 0; r < c->n; r++)
		x[r * ld + f->input] = c->x[r];
	if (!pgml_mlp_is_periodic(f->kind))
		return;
	expand_periodic(table + f->table, input->frequencies, input->number_width, c, out);
	for (int32_t r = 0; r < c->n; r++)
		for (int32_t i = 0; i < input->number_width; i++)
			x[r * ld + f->embedded + i] = out[i * PGML_MLP_LANES + r];
}

/* Inputs of a category in some rows. */
static void
expand_category(const PgmlMlpInput *input, const float *table, const PgmlMlpFeature *f,
				const Column *c, float *x, int64_t ld)
{
	size_t width = (size_t) input->category_width;

	for (int32_t r = 0; r < c->n; r++, x += ld)
	{
		uint32_t level = (uint32_t) c->x[r];

		if (f->kind == PGML_MLP_LEVELS)
			memcpy(x + f->embedded, table + f->table + level * width, width * sizeof(float));
		else if (f->kind == PGML_MLP_BINARY)
			x[f->input] = level == 0 ? -1 : level == 1 ? 1 : 0;
		else
			for (uint32_t i = 0; i < f->levels; i++)
				x[f->input + i] = i == level;
	}
}

PgmlStatus
pgml_mlp_expand(const PgmlEnv *env, const PgmlMlpInput *input, const float *table,
				const int32_t *row, int64_t n, float *x, int64_t ld)
{
	if (input->n_used == 0)
		for (int64_t i = 0; i < n; i++)
			x[i * ld] = 0;
	for (int32_t k = 0; k < input->n_used; k++)
	{
		const PgmlMlpFeature *f = &input->feature[input->used[k]];

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		for (int64_t from = 0; from < n; from += PGML_MLP_LANES)
		{
			Column c;

			take_column(input, k, row + from, n - from, &c);
			if (pgml_mlp_is_number(f->kind))
				expand_number(input, table, f, &c, x + from * ld, ld);
			else
				expand_category(input, table, f, &c, x + from * ld, ld);
		}
	}
	return PGML_OK;
}

/* ---- backward ---- */

/* Sum of lanes, in a fixed order. */
PGML_MLP_INLINE float
sum_lanes(const float *v)
{
	float sum = 0;

	for (int32_t r = 0; r < PGML_MLP_LANES; r++)
		sum += v[r];
	return sum;
}

/*
 * Gradients of an embedding of numbers over n rows, as in pgml_mlp_embed().  x and dx are in lanes: of group g of PGML_MLP_LANES
 * rows x[g][lane], dx[g][i][lane].
 */
PGML_CLONES static void
periodic_back(const float *table, int32_t frequencies, int32_t n_out, const float *x,
			  const float *dx, int64_t groups, float *gradient)
{
	const float *weight = table + 2 * frequencies;
	float *d_weight = gradient + 2 * frequencies;
	float *d_bias = d_weight + n_out * frequencies;

	for (int32_t k = 0; k < frequencies; k++)
	{
		float d_frequency[PGML_MLP_LANES] = { 0 };
		float d_phase[PGML_MLP_LANES] = { 0 };
		float d_out[PGML_MLP_MAX_EMBEDDED * PGML_MLP_LANES] = { 0 };
		float frequency = table[k], phase = PGML_MLP_TURN * table[frequencies + k];

		for (int64_t g = 0; g < groups; g++)
		{
			const float *xg = x + g * PGML_MLP_LANES;
			const float *dg = dx + g * n_out * PGML_MLP_LANES;
			float turn[PGML_MLP_LANES], wave[PGML_MLP_LANES], back[PGML_MLP_LANES] = { 0 };

			for (int32_t r = 0; r < PGML_MLP_LANES; r++)
			{
				turn[r] = pgml_mlp_turn(frequency * xg[r] + phase);
				wave[r] = pgml_mlp_cos_turn(turn[r]);
			}
			for (int32_t i = 0; i < n_out; i++)
				for (int32_t r = 0; r < PGML_MLP_LANES; r++)
				{
					d_out[i * PGML_MLP_LANES + r] += dg[i * PGML_MLP_LANES + r] * wave[r];
					back[r] += dg[i * PGML_MLP_LANES + r] * weight[i * frequencies + k];
				}
			for (int32_t r = 0; r < PGML_MLP_LANES; r++)
			{
				back[r] *= -pgml_mlp_sin_turn(turn[r]);
				d_phase[r] += back[r];
				d_frequency[r] += back[r] * xg[r];
			}
		}
		gradient[k] += TWO_PI * sum_lanes(d_frequency);
		gradient[frequencies + k] += sum_lanes(d_phase);
		for (int32_t i = 0; i < n_out; i++)
			d_weight[i * frequencies + k] += sum_lanes(d_out + i * PGML_MLP_LANES);
	}
	for (int64_t g = 0; g < groups; g++)
		for (int32_t i = 0; i < n_out; i++)
			d_bias[i] += sum_lanes(dx + (g * n_out + i) * PGML_MLP_LANES);
}

/* Groups of rows whose gradients are added together. */
#define GROUPS 32

/* Gradients of a number's embedding over some groups of rows. */
static void
number_back(const PgmlMlpInput *input, const float *table, int32_t k, const int32_t *row, int64_t n,
			const float *dx, int64_t ld, float *gradient)
{
	const PgmlMlpFeature *f = &input->feature[input->used[k]];
	float x[GROUPS * PGML_MLP_LANES];
	float lanes[GROUPS * PGML_MLP_LANES * PGML_MLP_MAX_EMBEDDED];
	int32_t width = input->number_width;
	int64_t groups = (n + PGML_MLP_LANES - 1) / PGML_MLP_LANES;

	for (int64_t g = 0; g < groups; g++)
	{
		int64_t from = g * PGML_MLP_LANES;
		Column c;

		take_column(input, k, row + from, n - from, &c);
		fill_missing(&c);
		memcpy(x + from, c.x, sizeof(c.x));
		for (int32_t i = 0; i < width; i++)
			for (int32_t r = 0; r < PGML_MLP_LANES; r++)
				lanes[(g * width + i) * PGML_MLP_LANES + r] =
					r < c.n ? dx[(from + r) * ld + f->embedded + i] : 0;
	}
	periodic_back(table + f->table, input->frequencies, width, x, lanes, groups,
				  gradient + f->table);
}

PgmlStatus
pgml_mlp_expand_back(const PgmlEnv *env, const PgmlMlpInput *input, const float *table,
					 const int32_t *row, int64_t n, const float *dx, int64_t ld, float *gradient)
{
	int64_t most = GROUPS * PGML_MLP_LANES;
	size_t width = (size_t) input->category_width;

	for (int32_t k = 0; k < input->n_used; k++)
	{
		const PgmlMlpFeature *f = &input->feature[input->used[k]];

		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		if (pgml_mlp_is_periodic(f->kind))
			for (int64_t from = 0; from < n; from += most)
				number_back(input, table, k, row + from, n - from < most ? n - from : most,
							dx + from * ld, ld, gradient);
		if (f->kind == PGML_MLP_LEVELS)
			for (int64_t r = 0; r < n; r++)
			{
				size_t level = (size_t) input->encoded[(int64_t) row[r] * input->n_used + k];
				float *to = gradient + f->table + level * width;

				for (size_t i = 0; i < width; i++)
					to[i] += dx[r * ld + f->embedded + (int64_t) i];
			}
	}
	return PGML_OK;
}
