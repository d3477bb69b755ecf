/*
 * strategy.c - the history of a search, and what strategies share.
 */
#include "search/strategy.h"

#include <math.h>
#include <string.h>

/* Points drawn before it is believed that all were seen. */
#define MOST_DRAWS 200

/* Finite spaces of up to this many points together are looked through instead. */
#define FEW_POINTS 2000

static const PgmlStrategy *const strategies[] = {
	&pgml_strategy_random,  &pgml_strategy_grid, &pgml_strategy_bayes,
	&pgml_strategy_halving, &pgml_strategy_nas,
};

#define N_STRATEGIES ((int) (sizeof(strategies) / sizeof(strategies[0])))

const PgmlStrategy *const *
pgml_strategies(int *n)
{
	*n = N_STRATEGIES;
	return strategies;
}

const PgmlStrategy *
pgml_strategy_find(const char *name)
{
	for (int i = 0; i < N_STRATEGIES; i++)
		if (strcmp(strategies[i]->name, name) == 0)
			return strategies[i];
	return NULL;
}

PgmlStatus
pgml_search_create(const PgmlEnv *env, PgmlArena *arena, const PgmlStrategy *strategy,
				   const PgmlSpace *space, int n_spaces, int max_trials, uint64_t seed,
				   PgmlSearch **search)
{
	PgmlSearch *s = pgml_zalloc(arena, 1, sizeof(PgmlSearch));

	if (s == NULL)
		return pgml_fail_nomem(env, "a search");
	*s = (PgmlSearch){ .env = env,
					   .arena = arena,
					   .strategy = strategy,
					   .space = space,
					   .n_spaces = n_spaces,
					   .max_trials = max_trials,
					   .seed = seed };
	*search = s;
	/* Whatever is tried or known is one of the trials of a training, or a few known from before. */
	s->told = pgml_array(arena, 2 * PGML_MAX_TRIALS, sizeof(PgmlProposal));
	if (s->told == NULL)
		return pgml_fail_nomem(env, "a search");
	return strategy->create != NULL ? strategy->create(s, &s->state) : PGML_OK;
}

/* Add to the history. */
static PgmlStatus
remember(PgmlSearch *search, const PgmlProposal *proposal)
{
	if (search->n_told >= 2 * PGML_MAX_TRIALS)
		return pgml_fail(search->env->error, PGML_ERR_LIMIT, "a search has more than %d trials",
						 2 * PGML_MAX_TRIALS);
	search->told[search->n_told++] = *proposal;
	return PGML_OK;
}

/* The defaults of the next learner of which nothing is known yet. */
static bool
propose_defaults(PgmlSearch *search, PgmlProposal *proposal)
{
	while (search->n_defaults < search->n_spaces)
	{
		int space = search->n_defaults++;
		bool known = false;

		for (int i = 0; i < search->n_told; i++)
			known |= search->told[i].space == space;
		if (known)
			continue;
		proposal->space = space;
		proposal->share = 1;
		pgml_space_defaults(&search->space[space], proposal->u, &proposal->params);
		return true;
	}
	return false;
}

PgmlStatus
pgml_search_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done)
{
	*done = false;
	if (search->pending)
		return pgml_fail(search->env->error, PGML_ERR_INTERNAL,
						 "a search was asked again before it was told");
	*proposal = (PgmlProposal){ .number = search->n_asked, .share = 1, .loss = NAN };
	if (!search->strategy->defaults_first || !propose_defaults(search, proposal))
	{
		PGML_TRY(search->strategy->ask(search, proposal, done));
		if (*done)
			return PGML_OK;
		pgml_space_params(&search->space[proposal->space], proposal->u, &proposal->params);
	}
	search->n_asked++;
	search->spent += proposal->share;
	search->pending = true;
	return PGML_OK;
}

PgmlStatus
pgml_search_tell(PgmlSearch *search, const PgmlProposal *proposal, double loss, double seconds)
{
	PgmlProposal told = *proposal;

	told.loss = isfinite(loss) ? loss : NAN;
	told.seconds = seconds;
	search->pending = false;
	PGML_TRY(remember(search, &told));
	if (search->strategy->tell != NULL)
		search->strategy->tell(search, &told);
	return PGML_OK;
}

PgmlStatus
pgml_search_know(PgmlSearch *search, int space, const PgmlParams *params, double loss,
				 double seconds)
{
	PgmlProposal known = { .number = search->n_asked++,
						   .space = space,
						   .params = *params,
						   .share = 1,
						   .loss = isfinite(loss) ? loss : NAN,
						   .seconds = seconds };

	pgml_space_point(&search->space[space], params, known.u);
	return remember(search, &known);
}

bool
pgml_search_seen(const PgmlSearch *search, int space, const double *u, double share)
{
	for (int i = 0; i < search->n_told; i++)
		if (search->told[i].space == space && search->told[i].share >= share &&
			pgml_space_same(&search->space[space], search->told[i].u, u))
			return true;
	return false;
}

int
pgml_search_draw_any(const PgmlSearch *search, PgmlRng *rng, double *u)
{
	uint64_t total = 0, at;
	int space = 0;

	/* A learner with more to find out gets more of the trials. */
	for (int i = 0; i < search->n_spaces; i++)
		total += (uint64_t) search->space[i].n_dims;
	at = total > 0 ? pgml_rng_below(rng, total) : 0;
	while (total > 0 && at >= (uint64_t) search->space[space].n_dims)
		at -= (uint64_t) search->space[space++].n_dims;
	for (int d = 0; d < search->space[space].n_dims; d++)
		u[d] = pgml_rng_uniform(rng);
	pgml_space_snap(&search->space[space], u);
	return space;
}

/* Number of points of all spaces, 0 when they are too many to look through. */
static int64_t
count_points(const PgmlSearch *search)
{
	int64_t n = 0;

	for (int i = 0; i < search->n_spaces; i++)
	{
		int64_t count = pgml_space_count(&search->space[i]);

		n += count;
		if (count == 0 || n > FEW_POINTS)
			return 0;
	}
	return n;
}

/* The skip-th point that was not seen; false when there are fewer, *n of them. */
static bool
find_unseen(const PgmlSearch *search, uint64_t skip, int *space, double *u, uint64_t *n)
{
	*n = 0;
	for (*space = 0; *space < search->n_spaces; ++*space)
	{
		int64_t count = pgml_space_count(&search->space[*space]);

		for (int64_t i = 0; i < count; i++)
		{
			pgml_space_nth(&search->space[*space], i, u);
			if (!pgml_search_seen(search, *space, u, 0) && (*n)++ == skip)
				return true;
		}
	}
	return false;
}

PgmlStatus
pgml_search_draw(const PgmlSearch *search, PgmlRng *rng, int *space, double *u, bool *done)
{
	uint64_t n;

	*done = false;
	if (pgml_stopped(search->env))
		return pgml_fail_cancelled(search->env);
	if (count_points(search) > 0)
	{
		(void) find_unseen(search, UINT64_MAX, space, u, &n);
		*done = n == 0 || !find_unseen(search, pgml_rng_below(rng, n), space, u, &n);
		return PGML_OK;
	}
	for (int i = 0; i < MOST_DRAWS; i++)
	{
		*space = pgml_search_draw_any(search, rng, u);
		if (!pgml_search_seen(search, *space, u, 0))
			return PGML_OK;
	}
	*done = true;
	return PGML_OK;
}

int
pgml_search_best(const PgmlSearch *search)
{
	int best = -1;

	for (int i = 0; i < search->n_told; i++)
		if (search->told[i].share == 1 && !isnan(search->told[i].loss) &&
			(best < 0 || search->told[i].loss < search->told[best].loss))
			best = i;
	return best;
}
