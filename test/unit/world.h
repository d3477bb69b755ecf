/*
 * world.h - a table that grows and changes, for the tests of splits and folds.
 */
#ifndef PGML_UNIT_WORLD_H
#define PGML_UNIT_WORLD_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/env.h"
#include "core/hash.h"
#include "core/rng.h"

#define MAX_ROWS 6000

/* What a computation is lent. */
typedef struct Lent
{
	PgmlBudget budget;
	PgmlError error;
	_Atomic int stop;
	PgmlEnv env;
	PgmlArena *arena;
} Lent;

static inline void
lend(Lent *l)
{
	memset(l, 0, sizeof(*l));
	pgml_budget_init(&l->budget, 0);
	l->env.budget = &l->budget;
	l->env.error = &l->error;
	l->env.stop = &l->stop;
	l->arena = pgml_arena_create(&l->budget);
}

static inline void
give_back(Lent *l)
{
	pgml_arena_destroy(l->arena);
	assert_int_equal(atomic_load(&l->budget.used), 0);
}

/* A table that grows and changes. */
typedef struct World
{
	PgmlRng rng;
	int64_t n;
	int n_classes;
	int64_t number[MAX_ROWS]; /* in order of birth */
	uint64_t id[MAX_ROWS];    /* its hash */
	int32_t label[MAX_ROWS];
	uint64_t group[MAX_ROWS];
	double time[MAX_ROWS];
	uint8_t role[MAX_ROWS];
} World;

/* Add rows; the classes get rarer with their number, times grow, some arrive late or have none. */
static inline void
grow(World *w, int64_t rows)
{
	for (int64_t i = w->n; i < w->n + rows; i++)
	{
		uint64_t number = (uint64_t) i;
		double u = pgml_rng_uniform(&w->rng);

		w->number[i] = i;
		w->id[i] = pgml_hash64(&number, sizeof(number), 0);
		w->label[i] = (int32_t) (w->n_classes * u * u * u);
		w->group[i] = pgml_rng_below(&w->rng, 40 + number / 10) * UINT64_C(0x9e3779b97f4a7c15);
		w->time[i] = (double) (i / 3) - (pgml_rng_below(&w->rng, 20) == 0 ? 200 : 0);
		if (pgml_rng_below(&w->rng, 50) == 0)
			w->time[i] = NAN;
	}
	w->n += rows;
}

static inline World *
new_world(uint64_t seed, int64_t rows, int n_classes)
{
	World *w = calloc(1, sizeof(World));

	assert_non_null(w);
	pgml_rng_init(&w->rng, seed, 0);
	w->n_classes = n_classes;
	grow(w, rows);
	return w;
}

#endif
