/*
 * strategy.h - how a search decides what to try next.
 *
 * A search asks its strategy for a proposal, tries it, and tells the loss; the strategy knows the history of all that was told.
 * The same seed, spaces and history give the same proposals.  A strategy is one constant struct in the array of strategy.c.
 */
#ifndef PGML_SEARCH_STRATEGY_H
#define PGML_SEARCH_STRATEGY_H

#include "core/rng.h"
#include "search/space.h"

/* Spaces that a search may have. */
#define PGML_MAX_SPACES 32

/* What to try, and when it was told, how that went. */
typedef struct PgmlProposal
{
	int number; /* from 0, in the order asked; what was known before has numbers, too */
	int space;  /* of the search's spaces */
	double u[PGML_MAX_PARAMS]; /* point of the space, snapped; NaN: does not count, or unknown */
	PgmlParams params;         /* for the whole resource */
	double share;              /* of the resource, in (0, 1] */
	double loss;               /* lower is better; NaN: failed */
	double seconds;
} PgmlProposal;

typedef struct PgmlSearch PgmlSearch;

typedef struct PgmlStrategy
{
	const char *name;
	const char *summary; /* one sentence */
	bool only_listed;    /* nothing but what the user lists is varied */
	bool networks;       /* only for learners that are networks */
	bool defaults_first; /* the defaults of each learner are tried before the strategy is asked */

	/* State of the strategy, in search->arena, or NULL: none. */
	PgmlStatus (*create)(PgmlSearch *search, void **state);

	/* Fill space, u (snapped) and share of the proposal; *done: there is nothing left. */
	PgmlStatus (*ask)(PgmlSearch *search, PgmlProposal *proposal, bool *done);

	/* The proposal was told and is the last of the history; NULL: not needed. */
	void (*tell)(PgmlSearch *search, const PgmlProposal *proposal);
} PgmlStrategy;

struct PgmlSearch
{
	const PgmlEnv *env;
	PgmlArena *arena;
	const PgmlStrategy *strategy;
	const PgmlSpace *space;
	int n_spaces;
	int max_trials; /* that are expected, whole ones; 0: not known */
	uint64_t seed;
	PgmlProposal *told; /* in order */
	int n_told;
	int n_asked;
	double spent;   /* sum of the shares asked for */
	bool pending;   /* one was asked for and not told */
	int n_defaults; /* spaces whose defaults were proposed */
	void *state;
};

/* All strategies, in the order of the documentation; by name, NULL: there is none. */
extern const PgmlStrategy *const *pgml_strategies(int *n);
extern const PgmlStrategy *pgml_strategy_find(const char *name);

/* A search over spaces, which stay the caller's; memory is taken from arena. */
extern PgmlStatus pgml_search_create(const PgmlEnv *env, PgmlArena *arena,
									 const PgmlStrategy *strategy, const PgmlSpace *space,
									 int n_spaces, int max_trials, uint64_t seed,
									 PgmlSearch **search);

/*
 * The next proposal; *done instead when there is nothing left to try.  Each has to be told before the next is asked for.  Fails
 * when memory does, or when stopped.
 */
extern PgmlStatus pgml_search_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done);

/* How the proposal went: loss NaN when it failed. */
extern PgmlStatus pgml_search_tell(PgmlSearch *search, const PgmlProposal *proposal, double loss,
								   double seconds);

/* What is known already: settings of space number `space` that were tried, whole. */
extern PgmlStatus pgml_search_know(PgmlSearch *search, int space, const PgmlParams *params,
								   double loss, double seconds);

/* For strategies: was the point tried with this share or more? */
extern bool pgml_search_seen(const PgmlSearch *search, int space, const double *u, double share);

/* For strategies: a point drawn at random that was not seen; *done when there seems to be none. */
extern PgmlStatus pgml_search_draw(const PgmlSearch *search, PgmlRng *rng, int *space, double *u,
								   bool *done);

/* A space drawn at random, those of more dimensions more often, and a point of it. */
extern int pgml_search_draw_any(const PgmlSearch *search, PgmlRng *rng, double *u);

/* For strategies, in strategy_bayes.c: the point not seen of which the largest improvement is expected, whole; memory is taken for a time. */
extern PgmlStatus pgml_search_expect(PgmlSearch *search, PgmlRng *rng, int *space, double *u,
									 bool *done);

/* The history's best whole trial, -1 when there is none. */
extern int pgml_search_best(const PgmlSearch *search);

extern const PgmlStrategy pgml_strategy_random;
extern const PgmlStrategy pgml_strategy_grid;
extern const PgmlStrategy pgml_strategy_bayes;
extern const PgmlStrategy pgml_strategy_halving;
extern const PgmlStrategy pgml_strategy_nas;

#endif
