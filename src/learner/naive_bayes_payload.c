/*
 * naive_bayes_payload.c - the stored distributions: checked once, then followed without checks.
 *
 * Rows and blocks go the same way: features one after the other, each for all rows at hand, so that the bits are the same.
 */
#include "learner/naive_bayes.h"

#include <math.h>
#include <string.h>

_Static_assert(sizeof(PgmlBayesHeader) == 32, "the stored header has no holes");
_Static_assert(sizeof(PgmlBayesFeature) == 16, "the stored feature has no holes");

/* Of a stored model: a float less a mean, squared, times another number is within the range of doubles. */
#define LARGEST_MEAN   1e39
#define LARGEST_NUMBER 1e200

/* A payload whose layout is good. */
typedef struct View
{
	const PgmlBayesHeader *header;
	const PgmlBayesFeature *features;
	const double *numbers;
} View;

static View
view(const uint8_t *payload)
{
	View v = { .header = (const PgmlBayesHeader *) payload };

	v.features = (const PgmlBayesFeature *) (v.header + 1);
	v.numbers = (const double *) (v.features + v.header->nfeatures);
	return v;
}

/* ---- verifying ----------------------------------------------------------------------------------- */

static bool
feature_is_good(const PgmlBayesFeature *f, bool categorical, int32_t n_levels)
{
	if (categorical)
		return f->kind == PGML_BAYES_CATEGORY && n_levels >= 0 && f->levels == (uint32_t) n_levels;
	return f->kind <= PGML_BAYES_MULTINOMIAL && f->levels == 0;
}

/* Sizes and kinds; the place of every feature's numbers follows from those before. */
static bool
layout_is_good(const uint8_t *payload, size_t len, const PgmlShape *shape)
{
	PgmlBayesHeader header;
	uint64_t room;
	uint64_t next;

	if (len < sizeof(header) || shape->nfeatures < 0 || shape->task == PGML_TASK_REGRESSION ||
		shape->n_classes < 1 || (shape->task == PGML_TASK_BINARY && shape->n_classes != 2))
		return false;
	memcpy(&header, payload, sizeof(header));
	if (header.version != PGML_BAYES_VERSION || header.classes != (uint32_t) shape->n_classes ||
		header.nfeatures != (uint32_t) shape->nfeatures || header.reserved != 0 ||
		!isfinite(header.threshold))
		return false;
	room = len - sizeof(header);
	if (room / sizeof(PgmlBayesFeature) < header.nfeatures)
		return false;
	room -= header.nfeatures * sizeof(PgmlBayesFeature);
	if (header.numbers != room / sizeof(double) || room % sizeof(double) != 0)
		return false;
	next = header.classes;
	for (uint32_t i = 0; i < header.nfeatures && next <= header.numbers; i++)
	{
		PgmlBayesFeature f;

		memcpy(&f, payload + sizeof(header) + i * sizeof(f), sizeof(f));
		if (!feature_is_good(&f, shape->categorical[i], shape->n_levels[i]) || f.first != next)
			return false;
		next += pgml_bayes_numbers(shape->categorical[i], f.levels, header.classes);
	}
	return next == header.numbers;
}

/* Numbers with which no score overflows, whatever the row is. */
static bool
numbers_are_good(const uint8_t *payload)
{
	View v = view(payload);
	uint64_t k = v.header->classes;
	bool good = true;

	for (uint64_t c = 0; c < k; c++)
		good &= v.numbers[c] >= PGML_BAYES_NO_CLASS && v.numbers[c] <= 0;
	for (uint64_t i = k; i < v.header->numbers; i++)
		good &= fabs(v.numbers[i]) <= LARGEST_NUMBER;
	for (uint32_t f = 0; f < v.header->nfeatures; f++)
		for (uint64_t c = 0; v.features[f].kind == PGML_BAYES_GAUSSIAN && c < k; c++)
			good &= fabs(v.numbers[v.features[f].first + c]) <= LARGEST_MEAN;
	return good;
}

PgmlStatus
pgml_bayes_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	if (!layout_is_good(payload, len, shape) || !numbers_are_good(payload))
		return pgml_fail(err, PGML_ERR_CORRUPT, "the stored naive_bayes model is damaged");
	return PGML_OK;
}

/* ---- what one feature adds ----------------------------------------------------------------------- */

/* Logarithm of the probability, or density, of a value in class c of k; 0 for a missing one. */
static inline double
gaussian(const double *t, int64_t k, int64_t c, float x)
{
	double d = (double) x - t[c];

	return x == x ? t[2 * k + c] - d * d * t[k + c] : 0;
}

static inline double
bernoulli(const double *t, int64_t k, int64_t c, float x, double threshold)
{
	return x == x ? (x > threshold ? t[c] : t[k + c]) : 0;
}

/* Counts below 0 are none. */
static inline double
multinomial(const double *t, int64_t c, float x)
{
	return x > 0 ? (double) x * t[c] : 0;
}

static inline double
category(const double *t, int64_t k, int64_t c, uint32_t levels, float x)
{
	return x >= 0 && x < (float) levels ? t[(int64_t) x * k + c] : 0;
}

/* Add what a feature says of n rows to their scores: z[c * stride + i]. */
static void
add_feature(const View *v, int32_t f, const float *x, int64_t n, double *z, int64_t stride)
{
	const PgmlBayesFeature *feature = &v->features[f];
	const double *t = v->numbers + feature->first;
	int64_t k = v->header->classes;
	double threshold = v->header->threshold;

	for (int64_t c = 0; c < k; c++, z += stride)
		switch (feature->kind)
		{
			case PGML_BAYES_GAUSSIAN:
				for (int64_t i = 0; i < n; i++)
					z[i] += gaussian(t, k, c, x[i]);
				break;
			case PGML_BAYES_BERNOULLI:
				for (int64_t i = 0; i < n; i++)
					z[i] += bernoulli(t, k, c, x[i], threshold);
				break;
			case PGML_BAYES_MULTINOMIAL:
				for (int64_t i = 0; i < n; i++)
					z[i] += multinomial(t, c, x[i]);
				break;
			case PGML_BAYES_CATEGORY:
				for (int64_t i = 0; i < n; i++)
					z[i] += category(t, k, c, feature->levels, x[i]);
				break;
			default:
				return;
		}
}

/* ---- predicting ---------------------------------------------------------------------------------- */

/* Probabilities of k > 0 classes from their scores; those of a row lie `stride` apart. out may be z when stride is 1. */
static void
softmax(const double *z, int64_t k, int64_t stride, double *out)
{
	double top = z[0];
	double sum = 0;

	for (int64_t c = 1; c < k; c++)
		top = fmax(top, z[c * stride]);
	for (int64_t c = 0; c < k; c++)
	{
		out[c] = exp(z[c * stride] - top);
		sum += out[c];
	}
	for (int64_t c = 0; c < k; c++)
		out[c] /= sum;
}

/* Predictions of one row from its scores. */
static void
finish_row(const PgmlShape *shape, const double *z, int64_t k, int64_t stride, double *out)
{
	if (shape->task == PGML_TASK_BINARY)
	{
		double e = exp(-fabs(z[stride] - z[0]));

		out[0] = (z[stride] >= z[0] ? 1 : e) / (1 + e);
	}
	else
		softmax(z, k, stride, out);
}

void
pgml_bayes_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				   double *out)
{
	View v = view(payload);
	int64_t k = v.header->classes;
	double two[2];

	for (int64_t i = 0; i < n; i++)
	{
		double *z = shape->task == PGML_TASK_BINARY ? two : out + i * k;

		memcpy(z, v.numbers, (size_t) k * sizeof(double));
		for (int32_t f = 0; f < shape->nfeatures; f++)
			add_feature(&v, f, &x[i * shape->nfeatures + f], 1, z, 1);
		finish_row(shape, z, k, 1, shape->task == PGML_TASK_BINARY ? out + i : z);
	}
}

/* All that a block needs beside the payload. */
typedef struct Prepared
{
	uint64_t scratch;
	uint64_t reserved[7];
} Prepared;

PgmlStatus
pgml_bayes_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
				   const PgmlShape *shape, const void **prepared)
{
	Prepared *p = pgml_zalloc(arena, 1, sizeof(Prepared));

	(void) shape;
	if (p == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	p->scratch = view(payload).header->classes * PGML_BLOCK_ROWS * sizeof(double);
	*prepared = p;
	return PGML_OK;
}

size_t
pgml_bayes_prepared_size(const void *prepared)
{
	(void) prepared;
	return sizeof(Prepared);
}

size_t
pgml_bayes_scratch(const void *prepared)
{
	return ((const Prepared *) prepared)->scratch;
}

void
pgml_bayes_predict_block(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
						 const PgmlBlock *block, double *out, void *scratch)
{
	View v = view(payload);
	int64_t k = v.header->classes;
	int64_t outputs = pgml_task_outputs(shape->task, shape->n_classes);
	double *z = scratch;

	(void) prepared;
	for (int64_t c = 0; c < k; c++)
		for (int64_t i = 0; i < block->n; i++)
			z[c * PGML_BLOCK_ROWS + i] = v.numbers[c];
	for (int32_t f = 0; f < shape->nfeatures; f++)
		add_feature(&v, f, block->x + f * block->stride, block->n, z, PGML_BLOCK_ROWS);
	for (int64_t i = 0; i < block->n; i++)
		finish_row(shape, z + i, k, PGML_BLOCK_ROWS, out + i * outputs);
}

/* ---- explaining ---------------------------------------------------------------------------------- */

/* What feature f adds to the score of class c, less its average. */
static double
part(const View *v, int32_t f, int64_t c, float x)
{
	const PgmlBayesFeature *feature = &v->features[f];
	const double *t = v->numbers + feature->first;
	int64_t k = v->header->classes;

	switch (feature->kind)
	{
		case PGML_BAYES_GAUSSIAN:
			return gaussian(t, k, c, x) - t[3 * k + c];
		case PGML_BAYES_BERNOULLI:
			return bernoulli(t, k, c, x, v->header->threshold) - t[2 * k + c];
		case PGML_BAYES_MULTINOMIAL:
			return multinomial(t, c, x) - t[k + c];
		case PGML_BAYES_CATEGORY:
			return category(t, k, c, feature->levels, x) - t[feature->levels * k + c];
		default:
			return 0;
	}
}

/* Average of the score of class c. */
static double
average_score(const View *v, int32_t nfeatures, int64_t c)
{
	double sum = v->numbers[c];
	int64_t k = v->header->classes;

	for (int32_t f = 0; f < nfeatures; f++)
	{
		const PgmlBayesFeature *feature = &v->features[f];
		const double *t = v->numbers + feature->first;

		switch (feature->kind)
		{
			case PGML_BAYES_GAUSSIAN:
				sum += t[3 * k + c];
				break;
			case PGML_BAYES_BERNOULLI:
				sum += t[2 * k + c];
				break;
			case PGML_BAYES_MULTINOMIAL:
				sum += t[k + c];
				break;
			case PGML_BAYES_CATEGORY:
				sum += t[feature->levels * k + c];
				break;
			default:
				break;
		}
	}
	return sum;
}

PgmlStatus
pgml_bayes_contributions(const PgmlEnv *env, const uint8_t *payload, const PgmlShape *shape,
						 const PgmlBlock *block, int output, double factor, double *base,
						 double *phi, int64_t stride)
{
	View v = view(payload);
	bool binary = shape->task == PGML_TASK_BINARY; /* the score of class 1 less that of class 0 */
	int64_t c = binary ? 1 : output;

	(void) env;
	*base = average_score(&v, shape->nfeatures, c);
	if (binary)
		*base -= average_score(&v, shape->nfeatures, 0);
	for (int32_t f = 0; f < shape->nfeatures; f++)
		for (int64_t i = 0; i < block->n; i++)
		{
			float x = block->x[f * block->stride + i];
			double add = part(&v, f, c, x);

			if (binary)
				add -= part(&v, f, 0, x);
			phi[f * stride + i] += factor * add;
		}
	return PGML_OK;
}
