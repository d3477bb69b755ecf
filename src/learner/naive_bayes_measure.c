/*
 * naive_bayes_measure.c - sums over the training rows, class by class.
 *
 * Rows are sorted by class first, so that a class is a run of them, and loaded in chunks with weight 0 for missing values:
 * sums then have no branches.
 */
#include "learner/naive_bayes.h"

#include <math.h>
#include <string.h>

#define POLL_ROWS 65536
#define CHUNK     1024

/* ---- sums over the rows of a class --------------------------------------------------------------- */

/* Some values of a column, with weight 0 where they are missing. */
typedef struct Chunk
{
	int64_t n;
	double x[CHUNK];
	double w[CHUNK];
} Chunk;

/* Values of sorted rows from .. to - 1, at most CHUNK; weighted: with their weights, else with 1. */
static void
load(const PgmlBayesFit *b, const float *col, int64_t from, int64_t to, bool weighted, Chunk *c)
{
	c->n = to - from;
	for (int64_t i = 0; i < c->n; i++)
	{
		float x = col[b->order[from + i]];

		c->x[i] = isnan(x) ? 0 : x;
		c->w[i] = isnan(x) ? 0 : 1;
	}
	if (weighted && b->w != NULL)
		for (int64_t i = 0; i < c->n; i++)
			c->w[i] *= b->w[from + i];
}

/* Sums of four lanes, so that no addition waits for the one before. */
static double
sum_of_weights(const Chunk *c)
{
	double s[4] = { 0, 0, 0, 0 };
	int64_t i = 0;

	for (; i + 4 <= c->n; i += 4)
		for (int j = 0; j < 4; j++)
			s[j] += c->w[i + j];
	for (; i < c->n; i++)
		s[0] += c->w[i];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Sum of factor * w * x; the factor keeps large weights finite. */
static double
sum_of_values(const Chunk *c, double factor)
{
	double s[4] = { 0, 0, 0, 0 };
	int64_t i = 0;

	for (; i + 4 <= c->n; i += 4)
		for (int j = 0; j < 4; j++)
			s[j] += c->w[i + j] * factor * c->x[i + j];
	for (; i < c->n; i++)
		s[0] += c->w[i] * factor * c->x[i];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Sum of factor * w * (x - mean)^2. */
static double
sum_of_squares(const Chunk *c, double factor, double mean)
{
	double s[4] = { 0, 0, 0, 0 };
	int64_t i = 0;

	for (; i + 4 <= c->n; i += 4)
		for (int j = 0; j < 4; j++)
		{
			double d = c->x[i + j] - mean;

			s[j] += c->w[i + j] * factor * d * d;
		}
	for (; i < c->n; i++)
		s[0] += c->w[i] * factor * (c->x[i] - mean) * (c->x[i] - mean);
	return (s[0] + s[1]) + (s[2] + s[3]);
}

/* A moment of a column over sorted rows: weight, mean or variance. */
typedef struct Moments
{
	double weight; /* of the rows that are not missing */
	double mean;
	double variance;
} Moments;

/* Sum of the weights, and of factor * weight * value, of sorted rows. */
static PgmlStatus
sum_values(const PgmlBayesFit *b, const float *col, int64_t from, int64_t to, bool weighted,
		   double factor, double *weight, double *sum)
{
	Chunk chunk;

	*weight = *sum = 0;
	for (int64_t i = from; i < to; i += CHUNK)
	{
		if ((i - from) % POLL_ROWS == 0 && pgml_stopped(b->env))
			return PGML_ERR_CANCELLED;
		load(b, col, i, i + CHUNK < to ? i + CHUNK : to, weighted, &chunk);
		*weight += sum_of_weights(&chunk);
		*sum += sum_of_values(&chunk, factor);
	}
	return PGML_OK;
}

/* Moments of the values that are not missing; all 0 when all are missing.  scale: weight of the rows, so that no sum is too large. */
static PgmlStatus
find_moments(const PgmlBayesFit *b, const float *col, int64_t from, int64_t to, bool weighted,
			 double scale, Moments *m)
{
	Chunk chunk;

	*m = (Moments){ 0 };
	PGML_TRY(sum_values(b, col, from, to, weighted, 1 / scale, &m->weight, &m->mean));
	if (!(m->weight / scale > 0)) /* also where it is nothing beside that of rows without a value */
	{
		*m = (Moments){ 0 };
		return PGML_OK;
	}
	m->mean /= m->weight / scale;
	for (int64_t i = from; i < to; i += CHUNK)
	{
		if ((i - from) % POLL_ROWS == 0 && pgml_stopped(b->env))
			return PGML_ERR_CANCELLED;
		load(b, col, i, i + CHUNK < to ? i + CHUNK : to, weighted, &chunk);
		m->variance += sum_of_squares(&chunk, 1 / m->weight, m->mean);
	}
	return PGML_OK;
}

/* ---- one feature --------------------------------------------------------------------------------- */

/* What the values of a column are like. */
typedef struct Look
{
	float low, high;
	bool binary; /* none but 0 and 1 */
} Look;

static PgmlStatus
look(const PgmlBayesFit *b, const float *col, Look *l)
{
	int64_t n = b->start[b->k];

	*l = (Look){ INFINITY, -INFINITY, true };
	for (int64_t i = 0; i < n; i++)
	{
		float x = col[b->order[i]];

		if (i % POLL_ROWS == 0 && pgml_stopped(b->env))
			return PGML_ERR_CANCELLED;
		if (isnan(x))
			continue;
		l->low = x < l->low ? x : l->low;
		l->high = x > l->high ? x : l->high;
		l->binary &= x == 0 || x == 1;
	}
	return PGML_OK;
}

/* Which distribution a column of numbers has. */
static uint32_t
choose_kind(const PgmlBayesFit *b, const Look *l)
{
	bool constant = !(l->low < l->high);

	switch (b->distribution)
	{
		case PGML_BAYES_ALL_BERNOULLI:
			return PGML_BAYES_BERNOULLI;
		case PGML_BAYES_ALL_GAUSSIAN:
			return constant ? PGML_BAYES_NONE : PGML_BAYES_GAUSSIAN;
		default:
			return constant  ? PGML_BAYES_NONE :
				   l->binary ? PGML_BAYES_BERNOULLI :
							   PGML_BAYES_GAUSSIAN;
	}
}

/* Means, variances and weights of the classes into the first three lines of the feature's numbers. */
static PgmlStatus
measure_gaussian(PgmlBayesFit *b, int64_t f, const float *col, double *t)
{
	int k = b->k;
	double rows = 0;
	double mean = 0;
	Moments m;

	for (int c = 0; c < k; c++)
	{
		PGML_TRY(find_moments(b, col, b->start[c], b->start[c + 1], true, b->class_weight[c], &m));
		t[c] = m.mean;
		t[k + c] = m.variance;
		t[2 * k + c] = m.weight;
		rows += m.weight;
	}
	if (b->w != NULL)
	{
		PGML_TRY(find_moments(b, col, 0, b->start[k], false, (double) b->start[k], &m));
		b->variance[f] = m.variance;
		return PGML_OK;
	}
	for (int c = 0; c < k; c++)
		mean += t[2 * k + c] / rows * t[c];
	for (int c = 0; c < k; c++)
		b->variance[f] += t[2 * k + c] / rows * (t[k + c] + (t[c] - mean) * (t[c] - mean));
	return PGML_OK;
}

/* Weights of 1 and of all values by class, into the first two lines. */
static PgmlStatus
measure_bernoulli(const PgmlBayesFit *b, const float *col, double *t)
{
	for (int c = 0; c < b->k; c++)
		for (int64_t i = b->start[c]; i < b->start[c + 1]; i++)
		{
			float x = col[b->order[i]];
			double w = b->w != NULL ? b->w[i] : 1;

			if ((i - b->start[c]) % POLL_ROWS == 0 && pgml_stopped(b->env))
				return PGML_ERR_CANCELLED;
			t[c] += x > b->threshold ? w : 0; /* false for missing values */
			t[b->k + c] += isnan(x) ? 0 : w;
		}
	return PGML_OK;
}

static bool
any_below_zero(const Chunk *c)
{
	int below = 0;

	for (int64_t i = 0; i < c->n; i++)
		below |= c->x[i] < 0;
	return below != 0;
}

/* Sums of the counts by class, into the first line; failed: are there numbers below 0, which are no counts? */
static PgmlStatus
measure_multinomial(const PgmlBayesFit *b, const float *col, double *t, bool *failed)
{
	Chunk chunk;

	for (int c = 0; c < b->k; c++)
		for (int64_t i = b->start[c]; i < b->start[c + 1]; i += CHUNK)
		{
			int64_t end = i + CHUNK < b->start[c + 1] ? i + CHUNK : b->start[c + 1];

			if ((i - b->start[c]) % POLL_ROWS == 0 && pgml_stopped(b->env))
				return PGML_ERR_CANCELLED;
			load(b, col, i, end, true, &chunk);
			t[c] += sum_of_values(&chunk, 1);
			*failed |= any_below_zero(&chunk);
		}
	return PGML_OK;
}

/* Weights of the levels by class. */
static PgmlStatus
measure_category(const PgmlBayesFit *b, const float *col, uint32_t levels, double *t)
{
	for (int c = 0; c < b->k; c++)
		for (int64_t i = b->start[c]; i < b->start[c + 1]; i++)
		{
			float x = col[b->order[i]];

			if ((i - b->start[c]) % POLL_ROWS == 0 && pgml_stopped(b->env))
				return PGML_ERR_CANCELLED;
			if (x >= 0 && x < (float) levels)
				t[(int64_t) x * b->k + c] += b->w != NULL ? b->w[i] : 1;
		}
	return PGML_OK;
}

/* A feature, as a block of a parallel loop.  After the deadline features are left unused. */
PgmlStatus
pgml_bayes_measure(void *arg, int64_t f, int thread)
{
	PgmlBayesFit *b = arg;
	PgmlBayesFeature *feature = &b->features[f];
	const float *col = b->data->x->col[f];
	double *t = b->numbers + feature->first;
	Look l;

	(void) thread;
	if (b->late[f] || (pgml_out_of_time(b->env) && !pgml_stopped(b->env)))
	{
		b->late[f] = true;
		return PGML_OK;
	}
	if (feature->kind == PGML_BAYES_CATEGORY)
		return measure_category(b, col, feature->levels, t);
	if (b->distribution == PGML_BAYES_ALL_MULTINOMIAL)
	{
		feature->kind = PGML_BAYES_MULTINOMIAL;
		return measure_multinomial(b, col, t, &b->failed[f]);
	}
	PGML_TRY(look(b, col, &l));
	feature->kind = choose_kind(b, &l);
	switch (feature->kind)
	{
		case PGML_BAYES_GAUSSIAN:
			return measure_gaussian(b, f, col, t);
		case PGML_BAYES_BERNOULLI:
			return measure_bernoulli(b, col, t);
		default:
			return PGML_OK;
	}
}
