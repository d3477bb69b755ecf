/*
 * strategy_bayes.c - Bayesian optimisation: the next settings are those of which the surrogate expects the largest improvement (Jones,
 * Schonlau and Welch 1998), looked for as SMAC does it (Hutter, Hoos and Leyton-Brown 2011).
 */
#include "search/surrogate.h"

#include <math.h>
#include <string.h>

#define SEED_OF_BAYES 0x62617965

/* Trials at random before the surrogate is asked: a share of those that there will be, between these. */
#define RANDOM_SHARE 0.25
#define LEAST_RANDOM 4
#define MOST_RANDOM  10

/* Points that are looked at: drawn at random, near the best trials, and steps uphill from the best of both. */
#define N_DRAWN      400
#define N_BEST       5
#define N_NEAR       40
#define N_CLIMBERS   8
#define N_STEPS      8
#define N_NEIGHBOURS 10

/* Size of a step: standard deviation of a coordinate, far and near. */
#define FAR  0.2
#define NEAR 0.05

/* A point with its expected improvement. */
typedef struct Candidate
{
	int space;
	double u[PGML_MAX_PARAMS];
	double gain;
} Candidate;

/* One proposal in the making. */
typedef struct Bayes
{
	PgmlSearch *search;
	PgmlSurrogate *surrogate;
	PgmlRng rng;
	Candidate top[N_CLIMBERS]; /* best first */
	int n_top;
} Bayes;

/* Expected improvement on the best mean. */
static double
expected_improvement(const PgmlSurrogate *surrogate, int space, const double *u)
{
	double mean, variance, sd, z;
	double best = pgml_surrogate_best(surrogate);

	pgml_surrogate_predict(surrogate, space, u, &mean, &variance);
	sd = sqrt(variance);
	if (sd < 1e-9)
		return fmax(best - mean, 0);
	z = (best - mean) / sd;
	return (best - mean) * 0.5 * erfc(-z / M_SQRT2) + sd * exp(-z * z / 2) / sqrt(2 * M_PI);
}

/* Keep the candidate if it is among the best, of which none was seen and no two are the same. */
static void
consider(Bayes *b, const Candidate *c)
{
	int place = b->n_top;

	if (b->n_top == N_CLIMBERS && c->gain <= b->top[N_CLIMBERS - 1].gain)
		return;
	if (pgml_search_seen(b->search, c->space, c->u, 0))
		return;
	for (int i = 0; i < b->n_top; i++)
		if (b->top[i].space == c->space &&
			pgml_space_same(&b->search->space[c->space], b->top[i].u, c->u))
			return;
	while (place > 0 && b->top[place - 1].gain < c->gain)
		place--;
	if (b->n_top < N_CLIMBERS)
		b->n_top++;
	memmove(&b->top[place + 1], &b->top[place],
			(size_t) (b->n_top - 1 - place) * sizeof(Candidate));
	b->top[place] = *c;
}

/* A point near another: each coordinate moves with probability 1 / 2 of their number, at least one does. */
static void
step(Bayes *b, const double *from, double size, Candidate *to)
{
	const PgmlSpace *space = &b->search->space[to->space];
	uint64_t n = (uint64_t) space->n_dims;
	uint64_t sure = pgml_rng_below(&b->rng, n);

	for (uint64_t d = 0; d < n; d++)
	{
		const PgmlDomain *dim = &space->dim[d];
		bool moves = d == sure || pgml_rng_below(&b->rng, n) == 0;

		to->u[d] = from[d];
		if (isnan(from[d]) || (moves && !dim->ordered))
			to->u[d] = pgml_rng_uniform(&b->rng);
		else if (moves)
			to->u[d] = fmin(fmax(from[d] + size * pgml_rng_normal(&b->rng), 0), 1);
	}
	pgml_space_snap(space, to->u);
	to->gain = expected_improvement(b->surrogate, to->space, to->u);
}

static void
look_at_random(Bayes *b)
{
	for (int i = 0; i < N_DRAWN; i++)
	{
		Candidate c;

		c.space = pgml_search_draw_any(b->search, &b->rng, c.u);
		c.gain = expected_improvement(b->surrogate, c.space, c.u);
		consider(b, &c);
	}
}

/* The best whole trials, best first. */
static int
find_best(const PgmlSearch *search, int *best)
{
	int n = 0;

	for (int i = 0; i < search->n_told; i++)
	{
		int place = n;

		if (search->told[i].share < 1 || isnan(search->told[i].loss) ||
			search->space[search->told[i].space].n_dims == 0)
			continue;
		while (place > 0 && search->told[best[place - 1]].loss > search->told[i].loss)
			place--;
		if (place == N_BEST)
			continue;
		n += n < N_BEST;
		memmove(&best[place + 1], &best[place], (size_t) (n - 1 - place) * sizeof(int));
		best[place] = i;
	}
	return n;
}

static void
look_near_best(Bayes *b)
{
	int best[N_BEST];
	int n = find_best(b->search, best);

	for (int i = 0; i < n; i++)
		for (int j = 0; j < N_NEAR; j++)
		{
			const PgmlProposal *p = &b->search->told[best[i]];
			Candidate c = { .space = p->space };

			step(b, p->u, j % 2 == 0 ? FAR : NEAR, &c);
			consider(b, &c);
		}
}

/* From each of the best points uphill. */
static void
climb(Bayes *b)
{
	Candidate from[N_CLIMBERS];
	int n = b->n_top;

	memcpy(from, b->top, (size_t) n * sizeof(Candidate));
	for (int i = 0; i < n; i++)
		for (int s = 0; s < N_STEPS && b->search->space[from[i].space].n_dims > 0; s++)
		{
			Candidate best = from[i];

			for (int j = 0; j < N_NEIGHBOURS; j++)
			{
				Candidate c = { .space = from[i].space };

				step(b, from[i].u, s < N_STEPS / 2 ? FAR : NEAR, &c);
				if (c.gain > best.gain)
					best = c;
			}
			from[i] = best;
			consider(b, &best);
		}
}

/* Ask the surrogate, whose memory is arena's. */
static PgmlStatus
ask_surrogate(Bayes *b, PgmlArena *arena)
{
	PGML_TRY(pgml_surrogate_create(b->search, arena, &b->surrogate));
	look_near_best(b);
	look_at_random(b);
	climb(b);
	return pgml_stopped(b->search->env) ? pgml_fail_cancelled(b->search->env) : PGML_OK;
}

PgmlStatus
pgml_search_expect(PgmlSearch *search, PgmlRng *rng, int *space, double *u, bool *done)
{
	Bayes b = { .search = search, .rng = *rng };
	PgmlArena *arena = pgml_arena_create(search->env->budget);
	PgmlStatus status;

	if (arena == NULL)
		return pgml_fail_nomem(search->env, "a search");
	status = ask_surrogate(&b, arena);
	pgml_arena_destroy(arena);
	*rng = b.rng;
	if (status != PGML_OK || b.n_top == 0)
		return status != PGML_OK ? status : pgml_search_draw(search, rng, space, u, done);
	*space = b.top[0].space;
	memcpy(u, b.top[0].u, sizeof(b.top[0].u));
	return PGML_OK;
}

/* Is the next one drawn at random? */
static bool
is_random(const PgmlSearch *search)
{
	double first = search->max_trials > 0 ? RANDOM_SHARE * search->max_trials : MOST_RANDOM;

	first = fmin(fmax(first, LEAST_RANDOM), MOST_RANDOM);
	return search->n_told < (int) first || pgml_search_best(search) < 0;
}

static PgmlStatus
bayes_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done)
{
	PgmlRng rng;

	pgml_rng_init(&rng, search->seed, SEED_OF_BAYES + (uint64_t) proposal->number);
	return is_random(search) ?
			   pgml_search_draw(search, &rng, &proposal->space, proposal->u, done) :
			   pgml_search_expect(search, &rng, &proposal->space, proposal->u, done);
}

const PgmlStrategy pgml_strategy_bayes = {
	.name = "bayes",
	.summary = "Bayesian optimisation: a model of what was tried says what to try next.",
	.defaults_first = true,
	.ask = bayes_ask,
};
