/*
 * strategy_random.c - points drawn at random, each once (Bergstra and Bengio 2012).
 */
#include "search/strategy.h"

/* Streams of random numbers, one for each proposal. */
#define SEED_OF_RANDOM 0x72616e64

static PgmlStatus
random_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done)
{
	PgmlRng rng;

	pgml_rng_init(&rng, search->seed, SEED_OF_RANDOM + (uint64_t) proposal->number);
	return pgml_search_draw(search, &rng, &proposal->space, proposal->u, done);
}

const PgmlStrategy pgml_strategy_random = {
	.name = "random",
	.summary = "Settings drawn at random from their ranges.",
	.defaults_first = true,
	.ask = random_ask,
};
