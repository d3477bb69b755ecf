/*
 * strategy_halving.c - successive halving in the brackets of Hyperband (Li et al. 2018): many settings are tried with a small share of the
 * rows, trees or epochs; the best third goes on with three times as much, until one or a few have all.
 *
 * A bracket that begins with less takes more settings: which is right depends on how well a small share tells, so all are used
 * in turn.
 */
#include "search/strategy.h"

#include <math.h>
#include <string.h>

#define SEED_OF_HALVING 0x68616c76

/* What is left of a rung, and how much more each of these gets. */
#define ETA 3

/* Rungs of a bracket below the whole, at most: shares down to 1/27. */
#define MOST_RUNGS 3

/* Settings that a bracket begins with, at most. */
#define MOST_ENTRIES 27

/* Settings are drawn at random until so many were tried, and then one of these. */
#define LEAST_TOLD    8
#define RANDOM_ONE_OF 3

typedef struct Entry
{
	int space;
	double u[PGML_MAX_PARAMS];
	double share; /* that the loss is of */
	double loss;
} Entry;

typedef struct Halving
{
	int most;  /* rungs below the whole that the spaces allow */
	int next;  /* rungs of the bracket that comes next */
	int rungs; /* of the present one */
	int rung;  /* present, 0 = the smallest share */
	int n;     /* entries of the rung */
	int at;    /* entries that were tried */
	Entry entry[MOST_ENTRIES];
} Halving;

static PgmlStatus
halving_create(PgmlSearch *search, void **state)
{
	Halving *h = pgml_zalloc(search->arena, 1, sizeof(Halving));
	double least = 1;

	if (h == NULL)
		return pgml_fail_nomem(search->env, "a search");
	for (int i = 0; i < search->n_spaces; i++)
		least = fmin(least, search->space[i].least);
	while (h->most < MOST_RUNGS && pow(ETA, -(h->most + 1)) >= least)
		h->most++;
	h->next = h->most;
	*state = h;
	return PGML_OK;
}

/* Share of the resource in a rung of a bracket. */
static double
share_of(int rungs, int rung)
{
	return pow(ETA, rung - rungs);
}

/* Settings that a bracket begins with: about as much work for each bracket. */
static int
bracket_size(int most, int rungs)
{
	return (int) ceil((most + 1) / (rungs + 1.0) * pow(ETA, rungs) - 1e-9);
}

/* Work of a bracket, in whole trials. */
static double
bracket_cost(int most, int rungs)
{
	int n = bracket_size(most, rungs);
	double cost = 0;

	for (int rung = 0; rung <= rungs; rung++, n = n / ETA > 0 ? n / ETA : 1)
		cost += n * share_of(rungs, rung);
	return cost;
}

/* The next bracket that the work that is left allows. */
static void
begin_bracket(const PgmlSearch *search, Halving *h)
{
	double left = search->max_trials > 0 ? search->max_trials - search->spent : INFINITY;

	h->rungs = h->next;
	while (h->rungs > 0 && bracket_cost(h->most, h->rungs) > left + 1e-9)
		h->rungs--;
	h->next = h->rungs > 0 ? h->rungs - 1 : h->most;
	h->n = bracket_size(h->most, h->rungs);
	h->rung = h->at = 0;
}

/* Does entry a come before b? */
static bool
better(const Entry *a, const Entry *b)
{
	return !isnan(a->loss) && (isnan(b->loss) || a->loss < b->loss);
}

/* The best entries of the rung go on; false when the bracket is at its end. */
static bool
promote(Halving *h)
{
	int n = h->n / ETA > 0 ? h->n / ETA : 1;

	if (h->rung == h->rungs || h->n == 0)
		return false;
	/* Insertion keeps the order of equal ones. */
	for (int i = 1; i < h->n; i++)
	{
		Entry moving = h->entry[i];
		int place = i;

		for (; place > 0 && better(&moving, &h->entry[place - 1]); place--)
			h->entry[place] = h->entry[place - 1];
		h->entry[place] = moving;
	}
	while (n > 0 && isnan(h->entry[n - 1].loss))
		n--;
	h->n = n;
	h->rung++;
	h->at = 0;
	return n > 0;
}

/*
 * Settings of an entry of the first rung; *done: there are no more.  A third is drawn at random, the others are those that look best after
 * what was tried, as in BOHB (Falkner, Klein and Hutter 2018).
 */
static PgmlStatus
draw_entry(PgmlSearch *search, Halving *h, int number, bool *done)
{
	Entry *entry = &h->entry[h->at];
	PgmlRng rng;

	*entry = (Entry){ .loss = NAN };
	pgml_rng_init(&rng, search->seed, SEED_OF_HALVING + (uint64_t) number);
	if (search->n_told < LEAST_TOLD || pgml_search_best(search) < 0 ||
		pgml_rng_below(&rng, RANDOM_ONE_OF) == 0)
		PGML_TRY(pgml_search_draw(search, &rng, &entry->space, entry->u, done));
	else
		PGML_TRY(pgml_search_expect(search, &rng, &entry->space, entry->u, done));
	if (*done)
		h->n = h->at;
	return PGML_OK;
}

static PgmlStatus
halving_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done)
{
	Halving *h = search->state;

	for (;;)
	{
		bool drained = false;
		double share;

		if (h->at >= h->n && !promote(h))
			begin_bracket(search, h);
		if (h->rung == 0)
			PGML_TRY(draw_entry(search, h, proposal->number, &drained));
		if (drained && h->n == 0)
		{
			*done = true;
			return PGML_OK;
		}
		if (drained)
			continue;
		share = fmax(share_of(h->rungs, h->rung), search->space[h->entry[h->at].space].least);
		h->at++;
		/* A space that allows no smaller share: this was tried in the rung before. */
		if (h->entry[h->at - 1].share >= share)
			continue;
		h->entry[h->at - 1].share = share;
		proposal->space = h->entry[h->at - 1].space;
		memcpy(proposal->u, h->entry[h->at - 1].u, sizeof(proposal->u));
		proposal->share = share;
		return PGML_OK;
	}
}

static void
halving_tell(PgmlSearch *search, const PgmlProposal *proposal)
{
	Halving *h = search->state;

	/* Defaults are told as well, but are in no bracket. */
	if (h->at > 0 && h->entry[h->at - 1].space == proposal->space &&
		pgml_space_same(&search->space[proposal->space], h->entry[h->at - 1].u, proposal->u))
		h->entry[h->at - 1].loss = proposal->loss;
}

const PgmlStrategy pgml_strategy_halving = {
	.name = "halving",
	.summary =
		"Hyperband: many settings with few rows, trees or epochs, the best of them with more.",
	.defaults_first = true,
	.create = halving_create,
	.ask = halving_ask,
	.tell = halving_tell,
};

const PgmlStrategy pgml_strategy_nas = {
	.name = "nas",
	.summary = "Hyperband over the architectures of networks, by epochs.",
	.networks = true,
	.defaults_first = true,
	.create = halving_create,
	.ask = halving_ask,
	.tell = halving_tell,
};
