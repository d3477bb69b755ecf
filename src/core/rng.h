/*
 * rng.h - random numbers: xoshiro256** seeded by SplitMix64 (Blackman and Vigna 2018).
 *
 * Every consumer derives its own stream from the training's seed and a constant of its own, so that
 * adding a consumer never changes the numbers another one sees.
 */
#ifndef PGML_CORE_RNG_H
#define PGML_CORE_RNG_H

#include <stdint.h>

typedef struct PgmlRng
{
	uint64_t s[4];
} PgmlRng;

/* Stream number `stream` of seed `seed`. */
extern void pgml_rng_init(PgmlRng *rng, uint64_t seed, uint64_t stream);

/* 64 random bits; uniform in [0, 1); uniform integer in [0, n) without bias (n > 0); N(0, 1). */
extern uint64_t pgml_rng_next(PgmlRng *rng);
extern double pgml_rng_uniform(PgmlRng *rng);
extern uint64_t pgml_rng_below(PgmlRng *rng, uint64_t n);
extern double pgml_rng_normal(PgmlRng *rng);

#endif
