/*
 * rng.c - xoshiro256** (Blackman and Vigna 2018), its seeding and what is drawn from it.
 */
#include "core/rng.h"

#include <math.h>

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* The output function of SplitMix64, a bijection of 64-bit numbers. */
static inline uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/*
 * The state is four successive outputs of SplitMix64, never all zero.  Its start is a bijection of
 * the stream for each seed, so streams of one seed never coincide.
 */
void
pgml_rng_init(PgmlRng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t z = mix(mix(seed + GOLDEN) + stream);

	for (int i = 0; i < 4; i++)
	{
		z += GOLDEN;
		rng->s[i] = mix(z);
	}
}

uint64_t
pgml_rng_next(PgmlRng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

double
pgml_rng_uniform(PgmlRng *rng)
{
	return (double) (pgml_rng_next(rng) >> 11) * 0x1p-53;
}

/*
 * The high half of a 128-bit product, after rejecting the few low halves that would favour some
 * results (Lemire 2019). Zero for n = 0, which callers must not ask for.
 */
uint64_t
pgml_rng_below(PgmlRng *rng, uint64_t n)
{
	unsigned __int128 product = (unsigned __int128) pgml_rng_next(rng) * n;

	if ((uint64_t) product < n)
	{
		uint64_t threshold = (0 - n) % n;

		while ((uint64_t) product < threshold)
			product = (unsigned __int128) pgml_rng_next(rng) * n;
	}
	return (uint64_t) (product >> 64);
}

/* Marsaglia's polar method; the second number is dropped so that the state is all there is. */
double
pgml_rng_normal(PgmlRng *rng)
{
	double u;
	double v;
	double s;

	do
	{
		u = 2.0 * pgml_rng_uniform(rng) - 1.0;
		v = 2.0 * pgml_rng_uniform(rng) - 1.0;
		s = u * u + v * v;
	} while (s >= 1.0 || s == 0.0);
	return u * sqrt(-2.0 * log(s) / s);
}
