/*
 * mlp_math.h - exponential function, activations and periodic functions in single precision.
 *
 * Plain arithmetic only, so that compilers make vector code of loops that call these, and every processor gives the same bits.
 * Errors are a few units in the last place, as far as networks need them.
 */
#ifndef PGML_LEARNER_MLP_MATH_H
#define PGML_LEARNER_MLP_MATH_H

#include <string.h>

#include "learner/gbm.h"
#include "learner/mlp_payload.h"

/* Kernels run as their callers' clones do. */
#define PGML_MLP_INLINE static inline __attribute__((always_inline))

/* A float of whole numbers has its integer in the last bits when this is added: |x| < 2^22. */
#define PGML_MLP_ROUND 12582912.0f

PGML_MLP_INLINE int32_t
pgml_mlp_bits(float x)
{
	int32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

PGML_MLP_INLINE float
pgml_mlp_float(int32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* One of two numbers by the sign of x, without a comparison: of those compilers make branches instead of vector code. */
PGML_MLP_INLINE float
pgml_mlp_select(float x, float if_positive, float if_negative)
{
	int32_t negative = pgml_mlp_bits(x) >> 31;

	return pgml_mlp_float((pgml_mlp_bits(if_positive) & ~negative) |
						  (pgml_mlp_bits(if_negative) & negative));
}

/* A number, or 0 for infinities and NaN. */
PGML_MLP_INLINE float
pgml_mlp_finite(float x)
{
	int32_t beyond = (0x7f7fffff - (pgml_mlp_bits(x) & 0x7fffffff)) >> 31;

	return pgml_mlp_float(pgml_mlp_bits(x) & ~beyond);
}

PGML_MLP_INLINE float
pgml_mlp_clamp(float x, float low, float high)
{
	x = pgml_mlp_select(x - low, x, low);
	return pgml_mlp_select(high - x, x, high);
}

/* One step of the search for the last knot at or before x. */
PGML_MLP_INLINE int32_t
pgml_mlp_later_knot(const float *knot, float x, int32_t at, int32_t step)
{
	return at + (step & ~(pgml_mlp_bits(x - knot[at + step]) >> 31));
}

/* Where x is on the line from a knot to the next. */
PGML_MLP_INLINE float
pgml_mlp_between_knots(const float *knot, float x, int32_t at)
{
	const float *score = knot + PGML_MLP_KNOTS;
	int32_t next = at + ((at - (PGML_MLP_KNOTS - 1)) >> 31 & 1);
	/* Halves: differences of the largest numbers must stay finite. */
	float share = (0.5f * x - 0.5f * knot[at]) / (0.5f * knot[next] - 0.5f * knot[at]);

	share = pgml_mlp_clamp(pgml_mlp_finite(share), 0, 1);
	return score[at] + share * (score[next] - score[at]);
}

/*
 * A ranked number as the network sees it: a line through knots, at which x is the first half of `knot`, in ascending order, and the
 * result the second; level beyond them.  The last knot may be there several times.  Of NaN: anything.
 */
PGML_MLP_INLINE float
pgml_mlp_rank(const float *knot, float x)
{
	int32_t at = 0;

	for (int32_t step = PGML_MLP_KNOTS / 2; step > 0; step /= 2)
		at = pgml_mlp_later_knot(knot, x, at, step);
	return pgml_mlp_between_knots(knot, x, at);
}

/* The same of PGML_MLP_LANES numbers. */
PGML_MLP_INLINE void
pgml_mlp_rank_lanes(const float *knot, const float *x, float *out)
{
	int32_t at[PGML_MLP_LANES] = { 0 };

	for (int32_t step = PGML_MLP_KNOTS / 2; step > 0; step /= 2)
		for (int32_t r = 0; r < PGML_MLP_LANES; r++)
			at[r] = pgml_mlp_later_knot(knot, x[r], at[r], step);
	for (int32_t r = 0; r < PGML_MLP_LANES; r++)
		out[r] = pgml_mlp_between_knots(knot, x[r], at[r]);
}

/* e^x, of numbers beyond [-87, 88] the nearest of these; of NaN anything (Moshier's Cephes library). */
PGML_MLP_INLINE float
pgml_mlp_exp(float x)
{
	x = pgml_mlp_clamp(x, -87.0f, 88.0f);

	float shifted = x * 1.44269504f + PGML_MLP_ROUND;
	float n = shifted - PGML_MLP_ROUND;
	float r = x - n * 0.693359375f + n * 2.12194440e-4f;
	float p = 1.9875691500e-4f;

	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	/* 2^n times that. */
	return pgml_mlp_float(
		(int32_t) ((uint32_t) pgml_mlp_bits(p) + ((uint32_t) pgml_mlp_bits(shifted) << 23)));
}

/* sin(2 pi t) for t in [-1/4, 1/4]. */
PGML_MLP_INLINE float
pgml_mlp_sine(float t)
{
	float x = t * 6.28318531f;
	float y = x * x;
	float p = -2.50521084e-8f;

	p = p * y + 2.75573192e-6f;
	p = p * y - 1.98412698e-4f;
	p = p * y + 8.33333333e-3f;
	p = p * y - 1.66666667e-1f;
	return x + x * (y * p);
}

/* Turns less whole turns, in [-1/2, 1/2]; very many count as 2,000,000. */
PGML_MLP_INLINE float
pgml_mlp_turn(float t)
{
	t = pgml_mlp_clamp(t, -2e6f, 2e6f);
	return t - ((t + PGML_MLP_ROUND) - PGML_MLP_ROUND);
}

/* cos(2 pi t) and sin(2 pi t) of what pgml_mlp_turn() returned. */
PGML_MLP_INLINE float
pgml_mlp_cos_turn(float t)
{
	return pgml_mlp_sine(0.25f - pgml_mlp_select(t, t, -t));
}

PGML_MLP_INLINE float
pgml_mlp_sin_turn(float t)
{
	float left = 0.25f - pgml_mlp_select(t, t, -t);

	return pgml_mlp_sine(pgml_mlp_select(left, t, pgml_mlp_select(t, 0.5f, -0.5f) - t));
}

/* An activation f(x) and its derivative. */
PGML_MLP_INLINE void
pgml_mlp_activation(PgmlMlpActivation activation, float x, float *f, float *derivative)
{
	float e, n, t, inverse;

	switch (activation)
	{
		case PGML_MLP_RELU:
			*f = pgml_mlp_select(x, x, 0);
			*derivative = pgml_mlp_select(x, 1, 0);
			break;
		case PGML_MLP_TANH:
			t = 1 - 2 / (pgml_mlp_exp(2 * x) + 1);
			*f = t;
			*derivative = 1 - t * t;
			break;
		case PGML_MLP_LOGISTIC:
			t = 1 / (1 + pgml_mlp_exp(-x));
			*f = t;
			*derivative = t * (1 - t);
			break;
		case PGML_MLP_SELU: /* Klambauer et al. 2017 */
			e = 1.7580993f * pgml_mlp_exp(x);
			*f = pgml_mlp_select(x, 1.0507010f * x, e - 1.7580993f);
			*derivative = pgml_mlp_select(x, 1.0507010f, e);
			break;
		default: /* Mish, x tanh(log(1 + e^x)) (Misra 2020) */
			e = pgml_mlp_exp(pgml_mlp_select(20.0f - x, x, 20.0f));
			/* t = n / (n + 2) and e / (1 + e) with one division. */
			n = e * (e + 2);
			inverse = 1 / ((n + 2) * (1 + e));
			t = n * (1 + e) * inverse;
			*f = x * t;
			*derivative = t + x * (1 - t * t) * (e * (n + 2) * inverse);
			break;
	}
}

/*
 * A number as others: out[i] = bias[i] + sum over k of weight[i][k] cos(2 pi (frequency[k] x + phase[k])), k in order.  table:
 * frequencies, phases, one row of weights for each of n_out, their biases.
 */
PGML_MLP_INLINE void
pgml_mlp_embed(const float *table, int32_t frequencies, int32_t n_out, float x, float *out)
{
	const float *weight = table + 2 * frequencies;
	const float *bias = weight + n_out * frequencies;
	float wave[PGML_MLP_MAX_FREQUENCY];

	for (int32_t k = 0; k < frequencies; k++)
		wave[k] = pgml_mlp_cos_turn(pgml_mlp_turn(table[k] * x + table[frequencies + k]));
	for (int32_t i = 0; i < n_out; i++)
	{
		float sum = bias[i];

		for (int32_t k = 0; k < frequencies; k++)
			sum += weight[i * frequencies + k] * wave[k];
		out[i] = sum;
	}
}

typedef float PgmlMlpLanes __attribute__((vector_size(PGML_MLP_LANES * sizeof(float))));

/* Some places of the embeddings of PGML_MLP_LANES numbers; with a constant number of places the sums stay in registers. */
PGML_MLP_INLINE void
pgml_mlp_embed_places(const float *frequency, const float *phase, int32_t frequencies,
					  const float *weight, const float *bias, int32_t places, const float *x,
					  float *out)
{
	PgmlMlpLanes sum[4], waves;
	float wave[PGML_MLP_LANES];

	for (int32_t i = 0; i < places; i++)
	{
		for (int32_t r = 0; r < PGML_MLP_LANES; r++)
			wave[r] = bias[i];
		memcpy(&sum[i], wave, sizeof(wave));
	}
	for (int32_t k = 0; k < frequencies; k++)
	{
		for (int32_t r = 0; r < PGML_MLP_LANES; r++)
			wave[r] = pgml_mlp_cos_turn(pgml_mlp_turn(frequency[k] * x[r] + phase[k]));
		memcpy(&waves, wave, sizeof(waves));
		for (int32_t i = 0; i < places; i++)
			sum[i] += weight[i * frequencies + k] * waves;
	}
	for (int32_t i = 0; i < places; i++)
		memcpy(out + i * PGML_MLP_LANES, &sum[i], sizeof(sum[i]));
}

/*
 * pgml_mlp_embed() of PGML_MLP_LANES numbers x, bit for bit: out[i][lane].  phase: in turns, apart from the table because training
 * keeps others there.
 */
PGML_MLP_INLINE void
pgml_mlp_embed_lanes(const float *table, const float *phase, int32_t frequencies, int32_t n_out,
					 const float *x, float *out)
{
	const float *weight = table + 2 * frequencies;
	const float *bias = weight + n_out * frequencies;

	for (; n_out >= 4; n_out -= 4, weight += 4 * frequencies, bias += 4, out += 4 * PGML_MLP_LANES)
		pgml_mlp_embed_places(table, phase, frequencies, weight, bias, 4, x, out);
	if (n_out == 3)
		pgml_mlp_embed_places(table, phase, frequencies, weight, bias, 3, x, out);
	else if (n_out == 2)
		pgml_mlp_embed_places(table, phase, frequencies, weight, bias, 2, x, out);
	else if (n_out == 1)
		pgml_mlp_embed_places(table, phase, frequencies, weight, bias, 1, x, out);
}

#endif
