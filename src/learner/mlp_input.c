/*
 * mlp_input.c - measure and encode features and target.
 *
 * Numbers are centred by the median and divided by the range of their middle half, or where that is 0 by half of their
 * whole range; or they are replaced by the quantile that the normal distribution has at their rank, by straight lines between
 * knots.  Quantiles come from at most SAMPLE_ROWS evenly spaced rows.
 */
#include "learner/mlp_input.h"
#include "learner/mlp_math.h"

#include <stdlib.h>

#include "core/clock.h"

#define SAMPLE_ROWS 10000
#define POLL_ROWS   16384

/* ---- features ---- */

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	return (x > y) - (x < y);
}

/* Quantile of sorted values, interpolated. */
static double
quantile(const float *sorted, int64_t n, double q)
{
	double at = q * (double) (n - 1);
	int64_t i = (int64_t) at;

	if (i + 1 >= n)
		return sorted[n - 1];
	return sorted[i] + (at - (double) i) * ((double) sorted[i + 1] - sorted[i]);
}

/* Quantile of the standard normal distribution, within 0.0005 (Hastings 1955). */
static double
normal_quantile(double p)
{
	double t = sqrt(-2 * log(p < 0.5 ? p : 1 - p));
	double z = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
					   (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));

	return p < 0.5 ? -z : z;
}

/* Ranks of the least and the greatest number are taken for this far from the ends. */
#define LAST_RANK 0.001

/*
 * Knots of a number from a sorted sample of it and its range: evenly spaced quantiles.  Numbers that are several quantiles have the mean
 * of their ranks.
 */
static void
find_knots(const float *sorted, int64_t n, float low, float high, float *knot)
{
	float at[PGML_MLP_KNOTS];
	int32_t last = PGML_MLP_KNOTS - 1, count = 0;

	for (int32_t i = 0; i <= last; i++)
		at[i] = n > 0 ? (float) quantile(sorted, n, (double) i / last) : low;
	at[0] = low;
	at[last] = high;
	for (int32_t i = 0, end; i <= last; i = end)
	{
		double rank;

		for (end = i + 1; end <= last && at[end] == at[i]; end++)
			;
		rank = 0.5 * (i + end - 1) / last;
		rank = fmin(fmax(rank, LAST_RANK), 1 - LAST_RANK);
		knot[count] = at[i];
		knot[PGML_MLP_KNOTS + count++] = (float) normal_quantile(rank);
	}
	for (; count <= last; count++)
	{
		knot[count] = knot[count - 1];
		knot[PGML_MLP_KNOTS + count] = knot[PGML_MLP_KNOTS + count - 1];
	}
}

/* Centre and factor of a number, and its knots.  *varies: it is not constant; *missing: some values are missing. */
static PgmlStatus
measure_number(const PgmlEnv *env, const PgmlMlpInput *input, const float *col, float *sample,
			   PgmlMlpFeature *f, bool *varies, bool *missing)
{
	int64_t stride = (input->n + SAMPLE_ROWS - 1) / SAMPLE_ROWS;
	int64_t n = 0;
	float low = INFINITY;
	float high = -INFINITY;
	double range;

	*missing = false;
	for (int64_t i = 0; i < input->n; i++)
	{
		float x = col[input->row[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (isnan(x))
		{
			*missing = true;
			continue;
		}
		low = x < low ? x : low;
		high = x > high ? x : high;
		if (i % stride == 0)
			sample[n++] = x;
	}
	if (!(low <= high))
		*missing = false; /* all of them tell nothing */
	*varies = low < high;
	if (!*varies)
		return PGML_OK;
	f->center = 0.5 * low + 0.5 * high;
	range = 0;
	if (n > 0)
	{
		qsort(sample, (size_t) n, sizeof(float), compare_floats);
		f->center = quantile(sample, n, 0.5);
		range = quantile(sample, n, 0.75) - quantile(sample, n, 0.25);
	}
	f->factor = range > 0 ? 1 / range : 2 / ((double) high - low);
	if (input->knots != NULL)
		find_knots(sample, n, low, high, input->knots + input->knot_floats);
	return PGML_OK;
}

/* Give a feature places among the inputs that embeddings make, and among the parameters of those of its kind. */
static void
embed_feature(PgmlMlpInput *input, PgmlMlpFeature *f, int32_t width, int64_t floats)
{
	int64_t *table = pgml_mlp_is_periodic(f->kind) ? &input->number_floats : &input->level_floats;

	f->embedded = (uint32_t) input->n_embedded;
	f->table = (uint32_t) *table;
	input->n_embedded += width;
	*table += floats;
}

/* What a feature becomes; its inputs are numbered from n_inputs on, without the embedded ones. */
static PgmlStatus
plan_feature(const PgmlEnv *env, PgmlMlpInput *input, const PgmlMlpConfig *config, int32_t number,
			 float *sample)
{
	const PgmlFeature *feature = &input->data->x->features[number];
	PgmlMlpFeature *f = &input->feature[number];
	int32_t levels = feature->n_levels;
	bool varies = false;
	bool missing = false;

	*f = (PgmlMlpFeature){ .kind = PGML_MLP_UNUSED, .missing = PGML_MLP_NONE };
	f->input = (uint32_t) input->n_inputs;
	if (feature->categorical)
	{
		f->levels = (uint32_t) levels;
		f->kind = levels > config->one_hot_max_size ? PGML_MLP_LEVELS :
				  levels == 2                       ? PGML_MLP_BINARY :
													  PGML_MLP_ONE_HOT;
		if (f->kind == PGML_MLP_LEVELS)
			embed_feature(input, f, input->category_width,
						  ((int64_t) levels + 1) * input->category_width);
		else
			input->n_inputs += f->kind == PGML_MLP_BINARY ? 1 : levels;
	}
	else
	{
		PGML_TRY(
			measure_number(env, input, input->data->x->col[number], sample, f, &varies, &missing));
		if (varies || missing)
		{
			f->kind = varies && input->number_width > 0 ? PGML_MLP_PERIODIC : PGML_MLP_NUMBER;
			if (varies && input->knots != NULL)
			{
				f->kind = f->kind == PGML_MLP_PERIODIC ? PGML_MLP_RANKED_PERIODIC : PGML_MLP_RANKED;
				f->levels = (uint32_t) input->knot_floats;
				input->knot_floats += 2 * PGML_MLP_KNOTS;
			}
			input->n_inputs++;
		}
		if (pgml_mlp_is_periodic(f->kind))
			embed_feature(input, f, input->number_width,
						  pgml_mlp_table_floats((uint32_t) input->frequencies,
												(uint32_t) input->number_width));
		if (missing)
			f->missing = (uint32_t) input->n_inputs++;
	}
	if (f->kind != PGML_MLP_UNUSED)
		input->used[input->n_used++] = number;
	return PGML_OK;
}

/* All features, those after the deadline unused; embedded inputs come before the others. */
static PgmlStatus
plan_features(const PgmlEnv *env, PgmlMlpInput *input, const PgmlMlpConfig *config, float *sample)
{
	for (int32_t i = 0; i < input->data->x->nfeatures; i++)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (pgml_clock_ends(env, pgml_out_of_time(env)))
			input->feature[i] =
				(PgmlMlpFeature){ .kind = PGML_MLP_UNUSED, .missing = PGML_MLP_NONE };
		else
			PGML_TRY(plan_feature(env, input, config, i, sample));
	}
	if (input->n_used == 0)
		input->n_inputs = 1; /* of nothing: the biases alone */
	/* Parameters of different rates do not share lanes. */
	input->number_floats =
		(input->number_floats + PGML_MLP_LANES - 1) / PGML_MLP_LANES * PGML_MLP_LANES;
	for (int32_t i = 0; i < input->n_used; i++)
	{
		PgmlMlpFeature *f = &input->feature[input->used[i]];

		f->input += (uint32_t) input->n_embedded;
		if (f->missing != PGML_MLP_NONE)
			f->missing += (uint32_t) input->n_embedded;
		if (f->kind == PGML_MLP_LEVELS)
			f->table += (uint32_t) input->number_floats;
		if (pgml_mlp_is_ranked(f->kind))
			f->levels += (uint32_t) (input->number_floats + input->level_floats);
	}
	input->n_inputs += input->n_embedded;
	return PGML_OK;
}

/* ---- rows and target ---- */

/* Rows with a weight, and the mean of the weights. */
static PgmlStatus
take_rows(const PgmlEnv *env, PgmlMlpInput *input)
{
	const PgmlDataset *data = input->data;
	double total = 0;

	for (int64_t i = 0; i < data->n; i++)
	{
		int32_t row = data->rows[i];
		double w = data->w != NULL ? data->w[row] : 1;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		if (!(w > 0))
			continue;
		total += w;
		input->row[input->n++] = row;
	}
	if (!(total > 0) || !isfinite(total))
		return pgml_fail(env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	input->mean_weight = total / (double) input->n;
	return PGML_OK;
}

/* Scale of a regression's target; divided by the largest value first, so that no square overflows. */
static PgmlStatus
measure_target(const PgmlEnv *env, PgmlMlpInput *input)
{
	const PgmlDataset *data = input->data;
	double total = input->mean_weight * (double) input->n;
	double variance = 0;

	input->unit = 0;
	input->mean = 0;
	input->low = INFINITY;
	input->high = -INFINITY;
	for (int64_t i = 0; i < input->n; i++)
	{
		double y = data->y[input->row[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		input->unit = fmax(input->unit, fabs(y));
		input->low = fmin(input->low, y);
		input->high = fmax(input->high, y);
	}
	if (!(input->unit > 0))
		input->unit = 1;
	if (pgml_stopped(env))
		return pgml_fail_cancelled(env);
	for (int64_t i = 0; i < input->n; i++)
		input->mean += (data->w != NULL ? data->w[input->row[i]] : 1) / total *
					   (data->y[input->row[i]] / input->unit);
	for (int64_t i = 0; i < input->n; i++)
	{
		double d = data->y[input->row[i]] / input->unit - input->mean;

		if (i % POLL_ROWS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		variance += (data->w != NULL ? data->w[input->row[i]] : 1) / total * d * d;
	}
	input->deviation = variance > 1e-24 ? sqrt(variance) : 1;
	return PGML_OK;
}

/* Encode the rows. */
static PgmlStatus
encode(const PgmlEnv *env, PgmlMlpInput *input)
{
	for (int32_t k = 0; k < input->n_used; k++)
	{
		const float *col = input->data->x->col[input->used[k]];
		const PgmlMlpFeature *f = &input->feature[input->used[k]];
		const float *knot =
			pgml_mlp_is_ranked(f->kind) ?
				input->knots + f->levels - input->number_floats - input->level_floats :
				NULL;

		for (int64_t i = 0; i < input->n; i++)
		{
			float x = col[input->row[i]];

			if (i % POLL_ROWS == 0 && pgml_stopped(env))
				return pgml_fail_cancelled(env);
			input->encoded[i * input->n_used + k] =
				knot != NULL                ? (isnan(x) ? x : pgml_mlp_rank(knot, x)) :
				pgml_mlp_is_number(f->kind) ? pgml_mlp_scale(f, x) :
											  (float) pgml_mlp_level(f->levels, x);
		}
	}
	return PGML_OK;
}

PgmlStatus
pgml_mlp_input(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
			   const PgmlMlpConfig *config, PgmlMlpInput *input)
{
	size_t nfeatures = (size_t) data->x->nfeatures;
	float *sample;

	*input = (PgmlMlpInput){ .data = data,
							 .frequencies = config->frequencies,
							 .number_width = config->embedded - 1,
							 .category_width = config->category_width };
	input->feature = pgml_zalloc(arena, nfeatures + 1, sizeof(PgmlMlpFeature));
	input->used = pgml_array(arena, nfeatures + 1, sizeof(int32_t));
	input->row = pgml_array(arena, (size_t) data->n + 1, sizeof(int32_t));
	sample = pgml_array(arena, SAMPLE_ROWS, sizeof(float));
	if (config->ranks)
		input->knots = pgml_array(arena, nfeatures * 2 * PGML_MLP_KNOTS + 1, sizeof(float));
	if (!input->feature || !input->used || !input->row || !sample ||
		(config->ranks && !input->knots))
		return pgml_fail_nomem(env, "learner \"mlp\"");
	PGML_TRY(take_rows(env, input));
	if (data->task == PGML_TASK_REGRESSION)
		PGML_TRY(measure_target(env, input));
	PGML_TRY(plan_features(env, input, config, sample));
	input->encoded =
		pgml_array(arena, (size_t) input->n * (size_t) input->n_used + 1, sizeof(float));
	if (!input->encoded)
		return pgml_fail_nomem(env, "learner \"mlp\"");
	return encode(env, input);
}

int64_t
pgml_mlp_input_memory(const PgmlDataset *data, const PgmlMlpConfig *config)
{
	return data->x->nfeatures * (int64_t) (sizeof(PgmlMlpFeature) + sizeof(int32_t)) +
		   (config->ranks ? data->x->nfeatures * 2 * PGML_MLP_KNOTS * (int64_t) sizeof(float) : 0) +
		   data->n * (data->x->nfeatures + 1) * (int64_t) sizeof(float) +
		   SAMPLE_ROWS * (int64_t) sizeof(float);
}

void
pgml_mlp_most_inputs(const PgmlDataset *data, const PgmlMlpConfig *config, int64_t *n_inputs,
					 int64_t *number_floats, int64_t *level_floats)
{
	*n_inputs = 1;
	*number_floats = 0;
	*level_floats = 0;
	for (int32_t i = 0; i < data->x->nfeatures; i++)
	{
		const PgmlFeature *f = &data->x->features[i];

		if (!f->categorical)
		{
			*n_inputs += config->embedded + 1;
			*number_floats += config->embedded > 1 ?
								  pgml_mlp_table_floats((uint32_t) config->frequencies,
														(uint32_t) config->embedded - 1) :
								  0;
		}
		else if (f->n_levels > config->one_hot_max_size)
		{
			*n_inputs += config->category_width;
			*level_floats += ((int64_t) f->n_levels + 1) * config->category_width;
		}
		else
			*n_inputs += f->n_levels;
	}
}
