/*
 * oblivious_sample.c - gradients of a round, and the rows that a tree's structure is found on.
 *
 * Minimal-variance sampling (Ibragimov and Gusev 2019): a row is drawn with probability min(1, s / mu), s the root of its
 * squared gradient plus a constant, and weighs the reciprocal; mu is such that the wanted share is drawn of each block.  Bayesian
 * bootstrap: every row weighs (-ln U)^temperature.
 */
#include "learner/oblivious_sample.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/par.h"
#include "learner/gbm_packed.h"

/* Partial results of a block. */
enum
{
	SUM_SQUARES,
	SUM_LENGTHS,
	SUM_WEIGHTS,
	MAX_G,
	N_DRAWN,
	MAX_WEIGHT,
	SUM_DRAWN,
	N_PARTIALS
};

/* Rows below which all are taken: a share of fewer says little. */
#define MIN_ROWS 100

/* Rounds in which mu is looked for: each settles more rows with probability 1. */
#define MU_ROUNDS 20

/* Is every row taken as it is? */
static bool
draws(const PgmlOblConfig *config, int64_t n)
{
	return n >= MIN_ROWS &&
		   (config->bootstrap == PGML_OBL_BOOTSTRAP_BAYESIAN ?
				config->temperature > 0 :
				config->bootstrap != PGML_OBL_BOOTSTRAP_NONE && config->subsample < 1);
}

/* Have rows weights of their own in trees? */
static bool
weighs(const PgmlOblConfig *config, int64_t n, bool weighted)
{
	return weighted || (draws(config, n) && config->bootstrap != PGML_OBL_BOOTSTRAP_BERNOULLI);
}

int64_t
pgml_obl_sample_size(const PgmlOblConfig *config, int64_t n, int n_outputs, bool weighted)
{
	int64_t per_row = n_outputs * (int64_t) (sizeof(double) + sizeof(PgmlGbmSum)) +
					  (int64_t) sizeof(int32_t) +
					  (weighs(config, n, weighted) ? (int64_t) sizeof(double) : 0);

	return n * per_row + pgml_obl_blocks(n) * N_PARTIALS * (int64_t) sizeof(double) +
		   n_outputs * (int64_t) sizeof(PgmlGbmGradients);
}

PgmlStatus
pgml_obl_sample_create(const PgmlEnv *env, PgmlArena *arena, const PgmlOblConfig *config,
					   const PgmlGbmTarget *target, PgmlOblSample *out)
{
	size_t n = (size_t) target->n;
	size_t outputs = (size_t) target->n_outputs;
	bool weighted = weighs(config, target->n, target->w != NULL);

	*out = (PgmlOblSample){ .n = target->n, .n_outputs = target->n_outputs };
	out->g = pgml_array(arena, n * outputs, sizeof(double));
	out->weight = weighted ? pgml_array(arena, n, sizeof(double)) : NULL;
	out->index = pgml_array(arena, n, sizeof(int32_t));
	out->gradients = pgml_zalloc(arena, outputs, sizeof(PgmlGbmGradients));
	out->partial =
		pgml_array(arena, (size_t) pgml_obl_blocks(target->n) * N_PARTIALS, sizeof(double));
	if (!out->g || (weighted && !out->weight) || !out->index || !out->gradients || !out->partial)
		return pgml_fail_nomem(env, "gradients");
	for (size_t k = 0; k < outputs; k++)
	{
		out->gradients[k].sum = pgml_array(arena, n, sizeof(PgmlGbmSum));
		if (out->gradients[k].sum == NULL)
			return pgml_fail_nomem(env, "gradients");
	}
	return PGML_OK;
}

typedef struct Job
{
	const PgmlOblConfig *config;
	const PgmlGbmTarget *target;
	PgmlOblSample *sample;
	uint64_t seed;
	double regular; /* the constant of minimal-variance sampling */
	int k;          /* rounding: the output, and its units */
	double g_per_unit;
	double h_per_unit;
} Job;

/* Rows of a block, from *from on. */
static int
block_rows(const Job *job, int64_t block, int64_t *from)
{
	*from = block * PGML_OBL_BLOCK;
	return (int) (job->sample->n - *from < PGML_OBL_BLOCK ? job->sample->n - *from :
															PGML_OBL_BLOCK);
}

/* Squared lengths of the weighted gradients of a block's rows. */
PGML_CLONES static void
square(const Job *job, int64_t from, int n, double *out)
{
	const PgmlOblSample *s = job->sample;
	const double *w = job->target->w;

	memset(out, 0, (size_t) n * sizeof(double));
	for (int k = 0; k < s->n_outputs; k++)
	{
		const double *g = s->g + k * s->n + from;

		for (int i = 0; i < n; i++)
			out[i] += g[i] * g[i];
	}
	for (int i = 0; w && i < n; i++)
		out[i] *= w[from + i] * w[from + i];
}

/* Lengths of n gradients, given their squares; one output's are the values themselves. */
PGML_CLONES static void
take_lengths(const Job *job, int64_t from, int n, const double *squares, double *length)
{
	const double *g = job->sample->g + from;
	const double *w = job->target->w;

	for (int i = 0; job->sample->n_outputs > 1 && i < n; i++)
		length[i] = sqrt(squares[i]);
	if (job->sample->n_outputs > 1)
		return;
	for (int i = 0; i < n; i++)
		length[i] = fabs(g[i]);
	for (int i = 0; w && i < n; i++)
		length[i] *= w[from + i];
}

/* Sums and the largest of n gradients' squares and lengths, in four lanes. */
PGML_CLONES static void
measure_squares(const double *squares, const double *length, const double *w, int n,
				double *partial)
{
	double sum_squares[4] = { 0 }, sum_lengths[4] = { 0 }, sum_weights[4] = { 0 }, most[4] = { 0 };

	for (int i = 0; i < n; i++)
	{
		sum_squares[i % 4] += w && w[i] > 0 ? squares[i] / w[i] : squares[i];
		sum_lengths[i % 4] += length[i];
		sum_weights[i % 4] += w ? w[i] : 1;
		most[i % 4] = length[i] > most[i % 4] ? length[i] : most[i % 4];
	}
	memset(partial, 0, N_PARTIALS * sizeof(double));
	for (int j = 0; j < 4; j++)
	{
		partial[SUM_SQUARES] += sum_squares[j];
		partial[SUM_LENGTHS] += sum_lengths[j];
		partial[SUM_WEIGHTS] += sum_weights[j];
		partial[MAX_G] = most[j] > partial[MAX_G] ? most[j] : partial[MAX_G];
	}
}

/* Derivatives of one block, and what is to be known of their sizes. */
static PgmlStatus
derive_block(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	PgmlOblSample *s = job->sample;
	const double *w = job->target->w;
	double h[PGML_OBL_BLOCK], squares[PGML_OBL_BLOCK];
	int64_t from;
	int n = block_rows(job, block, &from);

	(void) thread;
	for (int k = 0; k < s->n_outputs; k++)
		pgml_gbm_raw_gradients(job->target, k, from, n, s->g + k * s->n + from, h);
	square(job, from, n, squares);
	take_lengths(job, from, n, squares, h);
	measure_squares(squares, h, w ? w + from : NULL, n, s->partial + block * N_PARTIALS);
	return PGML_OK;
}

/* mu of n rows of which `wanted` shall be drawn; sizes[i] > 0. */
PGML_CLONES static double
find_mu(const double *sizes, int n, double wanted)
{
	double mu = INFINITY;

	for (int round = 0; round < MU_ROUNDS; round++)
	{
		double sum[4] = { 0, 0, 0, 0 };
		double certain[4] = { 0, 0, 0, 0 };
		double next;

		for (int i = 0; i < n; i++)
		{
			bool above = sizes[i] >= mu;

			certain[i % 4] += above ? 1 : 0;
			sum[i % 4] += above ? 0 : sizes[i];
		}
		next = wanted - ((certain[0] + certain[1]) + (certain[2] + certain[3]));
		if (!(next > 0))
			break;
		next = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / next;
		if (!(next < mu))
			break;
		mu = next;
	}
	return mu;
}

/* Uniform numbers in (0, 1) for n rows. */
PGML_CLONES static void
draw_uniform(uint64_t seed, int64_t from, int n, double *u)
{
	for (int i = 0; i < n; i++)
	{
		uint64_t bits = pgml_obl_mix(seed + (uint64_t) (from + i) * UINT64_C(0x9E3779B97F4A7C15));

		u[i] = ((double) (int64_t) (bits >> 12) + 0.5) * (1.0 / 4503599627370496.0);
	}
}

/* Weights by minimal-variance sampling: the reciprocal of the probability of rows that are drawn; mu may be infinite. */
PGML_CLONES static void
weigh_drawn(const double *sizes, int n, double mu, double *weight)
{
	for (int i = 0; i < n; i++)
	{
		double reciprocal = mu / sizes[i];
		double drawn = weight[i] * mu < sizes[i] ? reciprocal : 0;

		weight[i] = sizes[i] >= mu ? 1 : drawn;
	}
}

/* Weights of a block's rows in the tree, relative to their own. */
static void
draw_weights(const Job *job, int64_t from, int n, double *weight)
{
	const PgmlOblConfig *config = job->config;
	double sizes[PGML_OBL_BLOCK];

	draw_uniform(job->seed, from, n, weight);
	if (config->bootstrap == PGML_OBL_BOOTSTRAP_MVS)
	{
		square(job, from, n, sizes);
		for (int i = 0; i < n; i++)
			sizes[i] = sqrt(sizes[i] + job->regular);
		weigh_drawn(sizes, n, find_mu(sizes, n, config->subsample * n), weight);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		if (config->bootstrap == PGML_OBL_BOOTSTRAP_BAYESIAN)
			weight[i] = config->temperature == 1 ? -log(weight[i]) :
												   pow(-log(weight[i]), config->temperature);
		else
			weight[i] = weight[i] < config->subsample;
	}
}

/* Sum and largest of n weights, in four lanes. */
PGML_CLONES static void
measure_weights(const double *weight, int n, double *partial)
{
	double sum[4] = { 0 }, most[4] = { 0 };

	for (int i = 0; i < n; i++)
	{
		sum[i % 4] += weight[i];
		most[i % 4] = weight[i] > most[i % 4] ? weight[i] : most[i % 4];
	}
	partial[SUM_DRAWN] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
	partial[MAX_WEIGHT] = fmax(fmax(most[0], most[1]), fmax(most[2], most[3]));
}

/* Draw rows of one block into its place in the index; without drawing, all. */
static PgmlStatus
draw_block(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	PgmlOblSample *s = job->sample;
	const double *w = job->target->w;
	double *partial = s->partial + block * N_PARTIALS;
	double weight[PGML_OBL_BLOCK];
	bool all = !draws(job->config, s->n);
	int64_t from;
	int n = block_rows(job, block, &from);
	int32_t *index = s->index + from;
	int drawn = 0;

	(void) thread;
	if (!all)
		draw_weights(job, from, n, weight);
	for (int i = 0; i < n; i++)
	{
		weight[i] = (all ? 1 : weight[i]) * (w ? w[from + i] : 1);
		index[drawn] = (int32_t) (from + i);
		drawn += weight[i] > 0;
	}
	if (s->weight)
		memcpy(s->weight + from, weight, (size_t) n * sizeof(double));
	measure_weights(weight, n, partial);
	partial[N_DRAWN] = drawn;
	return PGML_OK;
}

/* Largest |g| times weight of output k in a block, and their sum. */
static PgmlStatus
measure_block(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	const PgmlOblSample *s = job->sample;
	double *partial = s->partial + block * N_PARTIALS;
	int64_t from;
	int n = block_rows(job, block, &from);
	const double *g = s->g + job->k * s->n + from;
	double most[4] = { 0 }, sum[4] = { 0 };

	(void) thread;
	for (int i = 0; i < n; i++)
	{
		double a = fabs(g[i]) * (s->weight ? s->weight[from + i] : 1);

		most[i % 4] = a > most[i % 4] ? a : most[i % 4];
		sum[i % 4] += a;
	}
	partial[MAX_G] = fmax(fmax(most[0], most[1]), fmax(most[2], most[3]));
	partial[SUM_LENGTHS] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
	return PGML_OK;
}

/* The sum, or the largest, of the blocks' partial results. */
static double
reduce(const PgmlOblSample *s, int which)
{
	bool largest = which == MAX_G || which == MAX_WEIGHT;
	double out = 0;

	for (int64_t b = 0; b < pgml_obl_blocks(s->n); b++)
	{
		double v = s->partial[b * N_PARTIALS + which];

		out = !largest ? out + v : v > out ? v : out;
	}
	return out;
}

/* ---- rounding ---- */

/* Round to integers by adding 1.5 * 2^52: values are below 2^51 units. */
PGML_CLONES static void
round_rows(const Job *job, int64_t from, int n)
{
	const PgmlOblSample *s = job->sample;
	const double round = 6755399441055744.0;
	const double *g = s->g + job->k * s->n + from;
	PgmlGbmSum *sum = s->gradients[job->k].sum + from;
	int bits = s->gradients[job->k].scale.count_bits;
	int64_t base;

	memcpy(&base, &round, sizeof(base));
	for (int i = 0; i < n; i++)
	{
		double w = s->weight ? s->weight[from + i] : 1;
		double gr = g[i] * w * job->g_per_unit + round;
		double hr = w * job->h_per_unit + round;
		int64_t gi, hi;

		memcpy(&gi, &gr, sizeof(gi));
		memcpy(&hi, &hr, sizeof(hi));
		sum[i].g = gi - base;
		sum[i].hc = ((uint64_t) (hi - base) << bits) + 1;
	}
}

/* 32 random bits of a row. */
static inline uint32_t
row_noise(uint32_t row, uint32_t seed)
{
	uint32_t x = row * UINT32_C(0x9E3779B1) + seed;

	x = (x ^ x >> 16) * UINT32_C(0x85EBCA6B);
	x = (x ^ x >> 13) * UINT32_C(0xC2B2AE35);
	return x ^ x >> 16;
}

/* Pack rows: a value between two units becomes either, so that its expectation is the value. */
PGML_CLONES static void
pack_rows(const Job *job, int64_t from, int n)
{
	const PgmlOblSample *s = job->sample;
	const double share = 1.0 / 65536;
	const double *g = s->g + job->k * s->n + from;
	const double *w = s->weight ? s->weight + from : NULL;
	int32_t *packed = s->gradients[job->k].packed + from;
	double g_per_unit = job->g_per_unit, h_per_unit = job->h_per_unit;
	uint32_t row = (uint32_t) from;
	uint32_t seed = (uint32_t) (job->seed >> 32) + (uint32_t) job->k * UINT32_C(0x85EBCA77);

	if (w == NULL)
	{
		for (int i = 0; i < n; i++)
		{
			double noise = (double) (int32_t) (row_noise(row + (uint32_t) i, seed) >> 16) * share;

			packed[i] = (int32_t) (g[i] * g_per_unit + (PGML_GBM_PACKED_G_ONLY + noise)) -
						PGML_GBM_PACKED_G_ONLY;
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		uint32_t random = row_noise(row + (uint32_t) i, seed);
		double g_noise = (double) (int32_t) (random >> 16) * share;
		double h_noise = (double) (int32_t) (random & 0xffff) * share;
		int32_t gi = (int32_t) (g[i] * w[i] * g_per_unit + (PGML_GBM_PACKED_G + g_noise)) -
					 PGML_GBM_PACKED_G;
		int32_t hi = (int32_t) (w[i] * h_per_unit + h_noise);

		packed[i] = gi * 65536 + hi;
	}
}

static PgmlStatus
round_block(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	int64_t from;
	int n = block_rows(job, block, &from);

	(void) thread;
	if (job->sample->gradients[job->k].packed)
		pack_rows(job, from, n);
	else
		round_rows(job, from, n);
	return PGML_OK;
}

/* Choose the form and the units of output k, given the largest |g| and weight and the means of the rows drawn. */
static void
choose_units(PgmlOblSample *s, int k, double bound, double mean, double most_w, double mean_w)
{
	PgmlGbmGradients *out = &s->gradients[k];
	bool unit = s->weight == NULL;

	frexp((double) s->n, &out->scale.count_bits); /* n < 2^count_bits */
	if (s->n >= PGML_GBM_PACKED_MIN_ROWS && s->n < PGML_GBM_PACKED_MAX_ROWS && !s->never_pack)
	{
		out->packed = (int32_t *) out->sum;
		out->unit_hessian = unit;
		out->scale.g_unit =
			pgml_gbm_packed_unit(bound, unit ? PGML_GBM_PACKED_G_ONLY : PGML_GBM_PACKED_G);
		out->scale.h_unit = unit ? 1 : pgml_gbm_packed_unit(most_w, PGML_GBM_PACKED_H);
		/* As for gradient boosting: a rounded value's variance is at most a quarter of the unit's square. */
		if (out->scale.g_unit / 2 <= 0.01 * mean && (unit || out->scale.h_unit / 2 <= 0.1 * mean_w))
			return;
		s->never_pack = true;
	}
	out->packed = NULL;
	out->unit_hessian = false;
	out->scale.g_unit = pgml_gbm_fine_unit(bound, s->n, 61);
	out->scale.h_unit = pgml_gbm_fine_unit(most_w, s->n, 62 - out->scale.count_bits);
}

/* Close the gaps between the rows drawn of each block; all rows when none was drawn. */
static void
close_index(PgmlOblSample *s)
{
	s->n_drawn = 0;
	for (int64_t b = 0; b < pgml_obl_blocks(s->n); b++)
	{
		int64_t n = (int64_t) s->partial[b * N_PARTIALS + N_DRAWN];

		memmove(s->index + s->n_drawn, s->index + b * PGML_OBL_BLOCK, (size_t) n * sizeof(int32_t));
		s->n_drawn += n;
	}
}

/* Draw rows; when none was drawn, every row counts as it is. */
static PgmlStatus
draw(const PgmlEnv *env, Job *job, int64_t blocks)
{
	static const PgmlOblConfig all = { .bootstrap = PGML_OBL_BOOTSTRAP_NONE };

	PGML_TRY(pgml_par_for(env, blocks, draw_block, job));
	close_index(job->sample);
	if (job->sample->n_drawn > 0)
		return PGML_OK;
	job->config = &all;
	PGML_TRY(pgml_par_for(env, blocks, draw_block, job));
	close_index(job->sample);
	return PGML_OK;
}

PgmlStatus
pgml_obl_sample_round(const PgmlEnv *env, const PgmlOblConfig *config, const PgmlGbmTarget *target,
					  uint64_t seed, PgmlOblSample *sample)
{
	Job job = { .config = config, .target = target, .sample = sample, .seed = pgml_obl_mix(seed) };
	int64_t blocks = pgml_obl_blocks(sample->n);
	double largest, most_w, mean_w;

	PGML_TRY(pgml_par_for(env, blocks, derive_block, &job));
	largest = reduce(sample, MAX_G);
	/* Squares of sums must stay finite, and so must the reciprocals of the units. */
	if (!(largest < 1e120) || !(target->max_weight < 1e120) || (largest > 0 && largest < 1e-120) ||
		target->max_weight < 1e-120)
		return pgml_fail(env->error, PGML_ERR_NUMERIC,
						 "the target's values or the weights are too large or too small");
	if (sample->largest_first == 0)
		sample->largest_first = largest;
	/* Once the fit is all but exact, the rest is rounding error and must not be magnified. */
	sample->flat = largest <= sample->largest_first * 1e-9;
	sample->deviation = sqrt(reduce(sample, SUM_SQUARES) / reduce(sample, SUM_WEIGHTS));
	job.regular = reduce(sample, SUM_LENGTHS) / (double) sample->n;
	job.regular *= job.regular;
	if (sample->flat)
		return PGML_OK;
	PGML_TRY(draw(env, &job, blocks));
	most_w = reduce(sample, MAX_WEIGHT);
	mean_w = reduce(sample, SUM_DRAWN) / (double) sample->n_drawn;
	for (int k = 0; k < sample->n_outputs; k++)
	{
		job.k = k;
		PGML_TRY(pgml_par_for(env, blocks, measure_block, &job));
		choose_units(sample, k, fmax(reduce(sample, MAX_G), largest * 1e-9),
					 reduce(sample, SUM_LENGTHS) / (double) sample->n_drawn, most_w, mean_w);
		job.g_per_unit = 1 / sample->gradients[k].scale.g_unit;
		job.h_per_unit = 1 / sample->gradients[k].scale.h_unit;
		PGML_TRY(pgml_par_for(env, blocks, round_block, &job));
	}
	return PGML_OK;
}
