/* Tests of search/strategy*, surrogate: what a search tries next, on functions that take no time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "make_table.h"
#include "search/strategy.h"
#include "search/surrogate.h"
#include "unit.h"

static const PgmlParam toy_params[] = {
	{ "a", NULL, PGML_PARAM_REAL, 0, 1, 0.9, false, "", NULL },
	{ "b", NULL, PGML_PARAM_REAL, 0, 1, 0.9, false, "", NULL },
	{ "c", NULL, PGML_PARAM_REAL, 0, 1, 0.9, false, "", NULL },
	{ "kind", NULL, PGML_PARAM_CHOICE, 0, 2, 0, false, "", "p q r" },
};
static const PgmlLearner toy = { .name = "toy", .params = toy_params, .n_params = 4 };
static const double kinds[] = { 0, 1, 2 };

typedef double (*Loss)(const PgmlProposal *proposal);

/* A search over one or two spaces. */
typedef struct Case
{
	Fixture f;
	PgmlSpace space[2];
	PgmlSearch *search;
} Case;

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

static PgmlSpace
space_of(int n_reals, bool with_kind)
{
	PgmlSpace space = { .learner = &toy, .least = 0.01 };

	pgml_params_default(&toy, &space.base);
	if (with_kind)
		space.dim[space.n_dims++] =
			(PgmlDomain){ .param = 3, .n_values = 3, .values = kinds, .parent = -1 };
	for (int i = 0; i < n_reals; i++)
		space.dim[space.n_dims++] =
			(PgmlDomain){ .param = i, .low = 0, .high = 1, .ordered = true, .parent = -1 };
	return space;
}

static void
begin(Case *c, const PgmlStrategy *strategy, int n_spaces, int max_trials, uint64_t seed)
{
	assert_int_equal(pgml_search_create(&c->f.env, c->f.arena, strategy, c->space, n_spaces,
										max_trials, seed, &c->search),
					 PGML_OK);
}

/* Ask, try, tell; false when nothing is left. */
static bool
go_on(Case *c, Loss loss, PgmlProposal *p)
{
	bool done;

	if (pgml_search_ask(c->search, p, &done) != PGML_OK)
		fail_msg("%s", c->f.error.message);
	if (done)
		return false;
	p->loss = loss(p);
	assert_int_equal(pgml_search_tell(c->search, p, p->loss, 0), PGML_OK);
	return true;
}

/* The best loss after so many trials. */
static double
best_of(const PgmlStrategy *strategy, const PgmlSpace *space, Loss loss, int n, uint64_t seed)
{
	Case c;
	PgmlProposal p;
	double best = INFINITY;

	fixture_init(&c.f, 1);
	c.space[0] = *space;
	begin(&c, strategy, 1, n, seed);
	for (int i = 0; i < n && go_on(&c, loss, &p); i++)
		best = fmin(best, p.loss);
	fixture_done(&c.f);
	return best;
}

/* Branin: three equal minima of 0.397887. */
static double
branin(const PgmlProposal *p)
{
	double x = 15 * p->params.v[0] - 5, y = 15 * p->params.v[1];
	double t = y - 5.1 / (4 * M_PI * M_PI) * x * x + 5 / M_PI * x - 6;

	return t * t + 10 * (1 - 1 / (8 * M_PI)) * cos(x) + 10;
}

/* Kind q is best, and only there b matters. */
static double
conditional(const PgmlProposal *p)
{
	double a = p->params.v[0] - 0.3, b = p->params.v[1] - 0.7;

	return p->params.v[3] == 1 ? a * a + b * b : 0.3 + a * a;
}

static double
number_of(const PgmlProposal *p)
{
	return p->number;
}

static double
fails(const PgmlProposal *p)
{
	(void) p;
	return NAN;
}

/* ---- random and grid ------------------------------------------------------------------------------ */

static void
defaults_come_first_and_points_once(void **state)
{
	static const double values[] = { 0.1, 0.5 };
	Case c;
	PgmlProposal p;
	int n = 0;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(0, true);
	c.space[1] = space_of(0, true);
	c.space[1].dim[1] =
		(PgmlDomain){ .param = 0, .n_values = 2, .values = values, .ordered = true, .parent = 0 };
	c.space[1].dim[1].parent_value = 2;
	c.space[1].n_dims = 2;
	begin(&c, &pgml_strategy_random, 2, 0, 1);
	while (go_on(&c, number_of, &p))
	{
		if (n < 2)
			assert_int_equal(p.space, n);
		if (n < 2)
			assert_near(p.params.v[0], 0.9, 0);
		for (int i = 0; i < n; i++)
			assert_false(c.search->told[i].space == p.space &&
						 pgml_space_same(&c.space[p.space], c.search->told[i].u, p.u));
		n++;
	}
	/* p, q, r of the one; p, q, and r with two values of the other */
	assert_int_equal(n, 7);
	fixture_done(&c.f);
}

/* Every coordinate comes from its whole range, evenly: its mean is 1/2 with a standard error of 0.02. */
static void
random_points_are_spread(void **state)
{
	Case c;
	PgmlProposal p;
	double sum[3] = { 0 };
	int n_kind[3] = { 0 };

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, true);
	begin(&c, &pgml_strategy_random, 1, 0, 5);
	for (int i = 0; i < 200; i++)
	{
		assert_true(go_on(&c, number_of, &p));
		n_kind[(int) p.params.v[3]]++;
		for (int k = 0; k < 3; k++)
			sum[k] += p.params.v[k] / 200;
	}
	for (int k = 0; k < 3; k++)
	{
		assert_near(sum[k], 0.5, 0.08);
		assert_true(n_kind[k] > 45);
	}
	fixture_done(&c.f);
}

static void
a_grid_is_tried_completely(void **state)
{
	static const double a[] = { 0.1, 0.2 };
	Case c;
	PgmlProposal p;
	int seen[2][3] = { { 0 } };
	int n = 0;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(0, true);
	c.space[0].dim[1] =
		(PgmlDomain){ .param = 0, .n_values = 2, .values = a, .ordered = true, .parent = -1 };
	c.space[0].n_dims = 2;
	c.space[1] = space_of(0, false);
	begin(&c, &pgml_strategy_grid, 2, 0, 1);
	for (; go_on(&c, fails, &p); n++)
	{
		if (p.space == 0)
			seen[p.params.v[0] > 0.15][(int) p.params.v[3]]++;
		else
			assert_near(p.params.v[0], 0.9, 0); /* a space without dimensions is one point */
	}
	assert_int_equal(n, 7);
	for (int i = 0; i < 6; i++)
		assert_int_equal(seen[i / 3][i % 3], 1);
	fixture_done(&c.f);
}

/* ---- bayes ---------------------------------------------------------------------------------------- */

/* Seeds of 20 with which one strategy comes to a lower loss than random search in 25 trials. */
static int
count_wins(const PgmlStrategy *strategy, const PgmlSpace *space, Loss loss)
{
	int wins = 0;

	for (uint64_t seed = 0; seed < 20; seed++)
		wins += best_of(strategy, space, loss, 25, seed) <
				best_of(&pgml_strategy_random, space, loss, 25, seed);
	return wins;
}

static void
bayes_finds_minima_sooner(void **state)
{
	const PgmlSpace two = space_of(2, false), mixed = space_of(3, true);
	int wins = count_wins(&pgml_strategy_bayes, &two, branin);
	int mixed_wins = count_wins(&pgml_strategy_bayes, &mixed, conditional);

	(void) state;
	if (wins < 14 || mixed_wins < 14)
		fail_msg("only %d and %d of 20 searches were better", wins, mixed_wins);
}

static void
the_surrogate_knows_what_it_saw(void **state)
{
	static const double corner[2][2] = { { 0.31, 0.69 }, { 0.95, 0.05 } };
	Case c;
	PgmlProposal p;
	PgmlSurrogate *s;
	double mean[2], variance[2], u[2];

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, true);
	c.space[1] = space_of(2, false);
	begin(&c, &pgml_strategy_random, 2, 0, 3);
	/* Of the other space alone; what failed, and parts of a trial, do no harm. */
	for (int i = 0; i < 60; i++)
	{
		bool done;

		assert_int_equal(pgml_search_ask(c.search, &p, &done), PGML_OK);
		p.share = i % 10 == 9 ? 0.5 : 1;
		assert_int_equal(pgml_search_tell(c.search, &p,
										  i % 10 == 8  ? NAN :
										  p.space == 1 ? conditional(&p) :
														 3,
										  0),
						 PGML_OK);
	}
	assert_int_equal(pgml_surrogate_create(c.search, c.f.arena, &s), PGML_OK);
	for (int i = 0; i < 2; i++)
	{
		memcpy(u, corner[i], sizeof(u));
		pgml_space_snap(&c.space[1], u);
		pgml_surrogate_predict(s, 1, u, &mean[i], &variance[i]);
		assert_true(isfinite(mean[i]) && variance[i] >= 0);
	}
	assert_true(mean[0] < mean[1]);
	assert_true(pgml_surrogate_best(s) <= mean[0]);
	fixture_done(&c.f);
}

/* A smooth function of one setting: what lies between the points that were tried is known, what lies beyond is less so. */
static void
the_surrogate_interpolates(void **state)
{
	static const double tried[] = { 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6 };
	Case c;
	PgmlSurrogate *s;
	PgmlParams params;
	double mean, variance, beyond, u[1];

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(1, false);
	c.space[1] = space_of(2, false);
	begin(&c, &pgml_strategy_bayes, 2, 0, 1);
	for (int i = 0; i < 7; i++)
	{
		pgml_params_default(&toy, &params);
		params.v[0] = tried[i];
		assert_int_equal(pgml_search_know(c.search, 0, &params, sin(6 * tried[i]), 0), PGML_OK);
	}
	assert_int_equal(pgml_surrogate_create(c.search, c.f.arena, &s), PGML_OK);
	for (int i = 0; i < 6; i++)
	{
		u[0] = tried[i] + 0.05;
		pgml_surrogate_predict(s, 0, u, &mean, &variance);
		/* The losses have mean 0.4064 and standard deviation 0.4858. */
		assert_near(mean * 0.4858 + 0.4064, sin(6 * u[0]), 0.05);
		assert_true(variance < 0.02);
	}
	u[0] = 1;
	pgml_surrogate_predict(s, 0, u, &mean, &beyond);
	assert_true(beyond > 2 * variance && beyond < 1);
	/* Of the other learner nothing is known. */
	pgml_surrogate_predict(s, 1, (double[]){ 0.5, 0.5 }, &mean, &variance);
	assert_near(mean, 0, 0);
	assert_near(variance, 1, 0);
	fixture_done(&c.f);
}

/* What is known before replaces the defaults, and guides. */
static void
what_is_known_is_used(void **state)
{
	Case c;
	PgmlProposal p, again;
	PgmlParams params;
	bool done;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(2, false);
	begin(&c, &pgml_strategy_bayes, 1, 25, 1);
	for (int i = 0; i < 25; i++)
	{
		pgml_params_default(&toy, &params);
		params.v[0] = i % 5 / 4.0;
		params.v[1] = i / 5 / 4.0;
		p.params = params;
		assert_int_equal(pgml_search_know(c.search, 0, &params, branin(&p), 1), PGML_OK);
	}
	assert_true(go_on(&c, branin, &p));
	assert_true(p.params.v[0] != 0.9 || p.params.v[1] != 0.9);
	assert_true(go_on(&c, branin, &p));
	assert_true(p.loss < 20);
	/* Asked twice without being told. */
	assert_int_equal(pgml_search_ask(c.search, &again, &done), PGML_OK);
	assert_int_equal(pgml_search_ask(c.search, &again, &done), PGML_ERR_INTERNAL);
	fixture_done(&c.f);
}

static void
a_search_in_which_everything_fails_goes_on(void **state)
{
	int n;
	const PgmlStrategy *const *all = pgml_strategies(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		Case c;
		PgmlProposal p;

		if (all[i]->only_listed)
			continue;
		fixture_init(&c.f, 1);
		c.space[0] = space_of(3, true);
		begin(&c, all[i], 1, 60, 1);
		for (int j = 0; j < 60; j++)
			assert_true(go_on(&c, fails, &p));
		fixture_done(&c.f);
	}
}

/* The same seed gives the same proposals, whatever threads there are; another seed others. */
static void
proposals_follow_from_the_seed(void **state)
{
	int n;
	const PgmlStrategy *const *all = pgml_strategies(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		Case c[3];
		PgmlProposal p[3];
		PgmlPool *pool = pgml_pool_create(3);
		int differ = 0;

		if (!all[i]->only_listed)
			for (int k = 0; k < 3; k++)
			{
				fixture_init(&c[k].f, 1);
				c[k].f.env.pool = k == 1 ? pool : NULL;
				c[k].space[0] = space_of(3, true);
				begin(&c[k], all[i], 1, 30, k == 2 ? 8 : 7);
			}
		for (int j = 0; j < 30 && !all[i]->only_listed; j++)
		{
			for (int k = 0; k < 3; k++)
				assert_true(go_on(&c[k], conditional, &p[k]));
			assert_memory_equal(p[0].params.v, p[1].params.v, sizeof(p[0].params.v));
			assert_near(p[0].share, p[1].share, 0);
			differ += memcmp(p[0].params.v, p[2].params.v, sizeof(p[0].params.v)) != 0;
		}
		for (int k = 0; k < 3 && !all[i]->only_listed; k++)
			fixture_done(&c[k].f);
		assert_true(all[i]->only_listed || differ > 20);
		pgml_pool_destroy(pool);
	}
}

static void
stopping_ends_a_search(void **state)
{
	_Atomic int stop = 1;
	Case c;
	PgmlProposal p;
	bool done;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, false);
	begin(&c, &pgml_strategy_random, 1, 0, 1);
	assert_true(go_on(&c, branin, &p));
	c.f.env.stop = &stop;
	assert_int_equal(pgml_search_ask(c.search, &p, &done), PGML_ERR_CANCELLED);
	fixture_done(&c.f);
}

/* A fault at any allocation is reported, and nothing leaks. */
static void
memory_may_fail(void **state)
{
	(void) state;
	for (int fail_at = 1; fail_at < 400; fail_at += 7)
	{
		Case c;
		PgmlProposal p;
		bool done = false;
		PgmlStatus status;

		fixture_init(&c.f, 1);
		c.space[0] = space_of(2, true);
		begin(&c, &pgml_strategy_bayes, 1, 25, 1);
		for (int i = 0; i < 10; i++)
			assert_true(go_on(&c, conditional, &p));
		c.f.budget.fail_at = fail_at;
		do
		{
			status = pgml_search_ask(c.search, &p, &done);
			if (status == PGML_OK)
				status = pgml_search_tell(c.search, &p, conditional(&p), 0);
		} while (status == PGML_OK && c.f.budget.fail_at > 0);
		assert_true(status == PGML_OK || pgml_is_memory(status));
		fixture_done(&c.f);
		assert_int_equal(c.f.budget.used, 0);
	}
}

/* ---- halving -------------------------------------------------------------------------------------- */

/* Small shares tell the truth about a. */
static double
first_setting(const PgmlProposal *p)
{
	return p->params.v[0];
}

/* The brackets of Hyperband with three rungs below the whole: 27, 12, 6 and 4 settings (Li et al. 2018, table 1). */
static void
brackets_are_those_of_hyperband(void **state)
{
	static const int sizes[4][4] = { { 27, 9, 3, 1 }, { 12, 4, 1 }, { 6, 2 }, { 4 } };
	Case c;
	PgmlProposal p;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, false);
	begin(&c, &pgml_strategy_halving, 1, 0, 1);
	assert_true(go_on(&c, first_setting, &p)); /* the defaults */
	assert_near(p.share, 1, 0);
	for (int bracket = 0; bracket < 4; bracket++)
	{
		double worst = INFINITY; /* of those that went on */

		for (int rung = 0; rung <= 3 - bracket; rung++)
		{
			double sorted[27];
			int n = sizes[bracket][rung];

			for (int i = 0; i < n; i++)
			{
				assert_true(go_on(&c, first_setting, &p));
				assert_near(p.share, pow(3, rung - 3 + bracket), 1e-12);
				assert_true(p.loss <= worst);
				int place = i;
				for (; place > 0 && sorted[place - 1] > p.loss; place--)
					sorted[place] = sorted[place - 1];
				sorted[place] = p.loss;
			}
			worst = sorted[n / 3 > 0 ? n / 3 - 1 : 0];
		}
	}
	fixture_done(&c.f);
}

/* Work is counted in whole trials: a bracket begins only when what is left suffices for it. */
static void
brackets_fit_into_the_trials(void **state)
{
	Case c;
	PgmlProposal p;
	int n_whole = 0;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, false);
	begin(&c, &pgml_strategy_halving, 1, 7, 1);
	/* 1 for the defaults, 4 for 27 settings; 2 more are single ones. */
	while (c.search->spent < 7 - 1e-9)
	{
		assert_true(go_on(&c, first_setting, &p));
		n_whole += p.share == 1;
	}
	assert_near(c.search->spent, 7, 1e-9);
	assert_int_equal(n_whole, 4);
	fixture_done(&c.f);
}

/* A learner that cannot be tried with less is tried once, whole, and goes on without being tried again. */
static void
a_space_without_smaller_shares(void **state)
{
	Case c;
	PgmlProposal p;
	int n_small = 0;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(3, false);
	c.space[1] = space_of(3, false);
	c.space[1].least = 1;
	begin(&c, &pgml_strategy_halving, 2, 0, 1);
	for (int i = 0; i < 100; i++)
	{
		assert_true(go_on(&c, first_setting, &p));
		assert_true(p.space == 0 || p.share == 1);
		n_small += p.share < 1;
		for (int j = 0; j < i; j++)
			assert_false(c.search->told[j].space == p.space && c.search->told[j].share >= p.share &&
						 pgml_space_same(&c.space[p.space], c.search->told[j].u, p.u));
	}
	assert_true(n_small > 20);
	fixture_done(&c.f);
}

static void
halving_ends_when_a_space_is_empty(void **state)
{
	Case c;
	PgmlProposal p;
	int n = 0;

	(void) state;
	fixture_init(&c.f, 1);
	c.space[0] = space_of(0, true);
	begin(&c, &pgml_strategy_halving, 1, 0, 1);
	while (go_on(&c, first_setting, &p))
		assert_true(++n < 20);
	assert_true(n >= 3);
	fixture_done(&c.f);
}

int
test_search(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_come_first_and_points_once),
		cmocka_unit_test(random_points_are_spread),
		cmocka_unit_test(a_grid_is_tried_completely),
		cmocka_unit_test(bayes_finds_minima_sooner),
		cmocka_unit_test(the_surrogate_knows_what_it_saw),
		cmocka_unit_test(the_surrogate_interpolates),
		cmocka_unit_test(what_is_known_is_used),
		cmocka_unit_test(a_search_in_which_everything_fails_goes_on),
		cmocka_unit_test(proposals_follow_from_the_seed),
		cmocka_unit_test(stopping_ends_a_search),
		cmocka_unit_test(memory_may_fail),
		cmocka_unit_test(brackets_are_those_of_hyperband),
		cmocka_unit_test(brackets_fit_into_the_trials),
		cmocka_unit_test(a_space_without_smaller_shares),
		cmocka_unit_test(halving_ends_when_a_space_is_empty),
	};

	return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
