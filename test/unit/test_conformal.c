/*
 * Tests of conformal prediction: ranks worked by hand, what is kept of many scores, and that the level is held where it is
 * promised.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/rng.h"
#include "stats/conformal.h"
#include "unit.h"
#include "world.h"

/* ---- ranks ---- */

/* ceil((n + 1) level) by hand; n + 1 where there is no such row. */
static void
ranks_are_those_of_the_books(void **state)
{
	static const struct
	{
		int64_t n;
		double level;
		int64_t rank;
	} cases[] = {
		{ 9, 0.9, 9 },     /* 10 x 0.9 = 9: the largest of nine */
		{ 8, 0.9, 9 },     /* 8.1: too few rows */
		{ 10, 0.9, 10 },   /* 9.9 */
		{ 19, 0.9, 18 },   /* 18 */
		{ 20, 0.9, 19 },   /* 18.9 */
		{ 19, 0.95, 19 },  /* 19 */
		{ 18, 0.95, 19 },  /* 18.05 */
		{ 99, 0.99, 99 },  /* 99 */
		{ 98, 0.99, 99 },  /* 98.01 */
		{ 99, 0.9, 90 },   /* 90, and not 91 for want of a bit of 0.9 */
		{ 10, 0.5, 6 },    /* 5.5 */
		{ 1, 0.5, 1 },     /* 1 */
		{ 1, 0.51, 2 },    /* 1.02 */
		{ 1000, 1e-9, 1 }, /* there is no rank 0 */
		{ 999999, 0.7, 700000 }, { 999999, 0.1, 100000 }, { 1000, 1 - 1e-16, 1001 },
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(pgml_conformal_rank(cases[i].n, cases[i].level), cases[i].rank);
	for (int percent = 1; percent < 100; percent++)
		for (int64_t n = 100; n <= 10000000; n *= 10)
			assert_int_equal(pgml_conformal_rank(n - 1, percent / 100.0), n / 100 * percent);
}

/* The quantile of ten numbers, by hand. */
static void
scores_are_found_by_rank(void **state)
{
	static const double kept[] = { 1, 2, 2, 3, 5, 8, 13, 21, 34 };

	(void) state;
	assert_true(pgml_conformal_score(kept, 9, 0.05) == 1);
	assert_true(pgml_conformal_score(kept, 9, 0.1) == 1);
	assert_true(pgml_conformal_score(kept, 9, 0.11) == 2);
	assert_true(pgml_conformal_score(kept, 9, 0.5) == 5);
	assert_true(pgml_conformal_score(kept, 9, 0.8) == 21);
	assert_true(pgml_conformal_score(kept, 9, 0.9) == 34);
	assert_true(isinf(pgml_conformal_score(kept, 9, 0.901)));
	assert_true(isinf(pgml_conformal_score(kept, 0, 0.5)));
}

/* Of many scores those kept ascend in rank, have the last 1000 all, and no gap beyond a thousandth. */
static void
kept_scores_are_spread(void **state)
{
	static const int64_t sizes[] = { 1,    2,     1999,  2000,   2001,
									 2999, 10007, 99999, 200000, INT64_C(1) << 52 };

	(void) state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
	{
		int64_t n = sizes[s], last = 0;
		int32_t kept = pgml_scores_kept(n);

		assert_int_equal(kept, n < PGML_SCORES_KEPT ? n : PGML_SCORES_KEPT);
		for (int32_t i = 0; i < kept; i++)
		{
			int64_t rank = pgml_scores_rank(n, i);

			assert_true(rank > last || (rank == last && n < 2 * PGML_SCORES_KEPT));
			assert_true(rank - last <= n / PGML_SCORES_SPREAD + 1);
			if (n > PGML_SCORES_KEPT && i >= PGML_SCORES_SPREAD)
				assert_int_equal(rank, n - (kept - 1 - i));
			last = rank;
		}
		assert_int_equal(last, n);
	}
}

/* What is kept of the numbers 1 .. n gives the rank that is wanted, or a little more. */
static void
many_scores_are_rounded_up(void **state)
{
	static const int64_t sizes[] = { 1500, 2001, 2500, 10007, 50000 };
	Lent l;

	(void) state;
	lend(&l);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
	{
		int64_t n = sizes[s];
		double *score = pgml_array(l.arena, (size_t) n, sizeof(double));
		double kept[PGML_SCORES_KEPT];

		/* In no order: 7919 is a prime. */
		for (int64_t i = 0; i < n; i++)
			score[i] = (double) (i * 7919 % n + 1);
		assert_int_equal(pgml_scores_keep(&l.env, score, n, kept), PGML_OK);
		for (int i = 1; i < 2000; i++)
		{
			double level = i / 2000.0;
			int64_t rank = pgml_conformal_rank(n, level);
			double found = pgml_conformal_score(kept, n, level);

			if (rank > n)
				assert_true(isinf(found));
			else if (n <= PGML_SCORES_KEPT || rank > n - PGML_SCORES_LARGEST)
				assert_true(found == (double) rank);
			else
				assert_true(found >= (double) rank &&
							found <= (double) rank + (double) n / 1000 + 1);
		}
	}
	give_back(&l);
}

/* ---- the size of errors ---- */

/* Errors of 1 below 50 and of 5 above: that is what is found, levelled by a quarter of the mean. */
static void
sizes_follow_errors(void **state)
{
	enum
	{
		N = 4000
	};
	double *p = calloc(N, sizeof(double)), *y = calloc(N, sizeof(double));
	PgmlErrorSize size;
	Lent l;

	(void) state;
	lend(&l);
	for (int i = 0; i < N; i++)
	{
		p[i] = i * 17 % 100;
		y[i] = p[i] + (i % 2 ? 1 : -1) * (p[i] < 50 ? 1 : 5);
	}
	p[7] = NAN;
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size), PGML_OK);
	assert_true(size.n > 8 && size.n <= PGML_SIZE_POINTS);
	for (int i = 0; i < size.n; i++)
		assert_true(i == 0 || size.at[i] > size.at[i - 1]);
	assert_true(fabs(pgml_error_size(size.at, size.size, size.n, -1e9) - 1.75) < 0.1);
	assert_true(fabs(pgml_error_size(size.at, size.size, size.n, 20) - 1.75) < 0.1);
	assert_true(fabs(pgml_error_size(size.at, size.size, size.n, 80) - 5.75) < 0.1);
	assert_true(fabs(pgml_error_size(size.at, size.size, size.n, 1e9) - 5.75) < 0.1);
	for (double x = -10; x < 110; x += 0.5)
	{
		double s = pgml_error_size(size.at, size.size, size.n, x);

		assert_true(s >= size.size[0] - 1e-9 && s <= size.size[size.n - 1] + 1e-9);
	}
	free(p);
	free(y);
	give_back(&l);
}

static void
assert_constant(const PgmlErrorSize *size)
{
	assert_int_equal(size->n, 1);
	assert_true(pgml_error_size(size->at, size->size, size->n, 17) == 1);
}

/* Where there is nothing to tell sizes apart by, they are the same. */
static void
sizes_may_be_constant(void **state)
{
	enum
	{
		N = 300
	};
	double p[N], y[N];
	PgmlErrorSize size;
	Lent l;

	(void) state;
	lend(&l);
	for (int i = 0; i < N; i++)
	{
		p[i] = i;
		y[i] = i % 7;
	}
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, 0, &size), PGML_OK);
	assert_constant(&size);
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, 99, &size), PGML_OK);
	assert_constant(&size);
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, 100, &size), PGML_OK);
	assert_int_equal(size.n, 2);
	assert_int_equal(pgml_error_size_fit(&l.env, p, p, N, &size), PGML_OK);
	assert_constant(&size);
	for (int i = 0; i < N; i++)
		p[i] = i % 10 == 0 ? NAN : 3.25;
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size), PGML_OK);
	assert_constant(&size);
	/* Sums of errors that cannot be held. */
	for (int i = 0; i < N; i++)
	{
		p[i] = i;
		y[i] = DBL_MAX;
	}
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size), PGML_OK);
	assert_constant(&size);
	give_back(&l);
}

/* Where most predictions are equal, the few rows behind them make no size of their own: a row's error is no mean. */
static void
sizes_are_means_of_many(void **state)
{
	enum
	{
		N = 200,
		EQUAL = 190
	};
	double p[N], y[N];
	PgmlErrorSize size;
	Lent l;

	(void) state;
	lend(&l);
	for (int i = 0; i < N; i++)
	{
		p[i] = i < EQUAL ? (i < 60 ? 1 : 2) : 3 + i;
		y[i] = p[i] + (i < EQUAL ? 1 : 1000);
	}
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size), PGML_OK);
	assert_int_equal(size.n, 2);
	/* 60 rows with errors of 1, and 130 of 1 with ten of 1000. */
	assert_true(fabs(size.at[0] - 1) < 1e-12);
	assert_true(fabs(size.size[1] - size.size[0] - (130 + 10 * 1000) / 140.0 + 1) < 1e-9);
	/* All that is left is too little: one part, which is constant. */
	for (int i = 0; i < EQUAL; i++)
		p[i] = 2;
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size), PGML_OK);
	assert_constant(&size);
	give_back(&l);
}

/* What is not known agrees as badly as can be, so that levels are held without it. */
static void
unknown_predictions_score_worst(void **state)
{
	double number = NAN, binary[] = { NAN, 0.25 }, several[] = { 0.5, 0.25, NAN };
	double zero = 0, classes[] = { 0, 1 }, third = 2;
	PgmlErrorSize size;
	PgmlPredictions p = { .task = PGML_TASK_REGRESSION, .p = &number, .y = &zero };

	(void) state;
	pgml_error_size_constant(&size);
	assert_true(pgml_conformal_row(&p, &size, 0) == DBL_MAX);
	p = (PgmlPredictions){ .task = PGML_TASK_BINARY, .n_classes = 2, .p = binary, .y = classes };
	assert_true(pgml_conformal_row(&p, &size, 0) == 1);
	assert_true(pgml_conformal_row(&p, &size, 1) == 0.75);
	p = (PgmlPredictions){
		.task = PGML_TASK_MULTICLASS, .n_classes = 3, .p = several, .y = &third
	};
	assert_true(pgml_conformal_row(&p, &size, 0) == 1);
}

static void
memory_may_be_short(void **state)
{
	double p[200], y[200], kept[200];
	PgmlErrorSize size;
	Lent l;

	(void) state;
	lend(&l);
	for (int i = 0; i < 200; i++)
		p[i] = y[i] = i;
	l.budget.limit = atomic_load(&l.budget.used) + 1000;
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, 200, &size), PGML_ERR_LIMIT);
	assert_constant(&size);
	assert_int_equal(pgml_scores_keep(&l.env, p, 200, kept), PGML_ERR_LIMIT);
	l.budget.limit = 0;
	atomic_store(&l.stop, 1);
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, 200, &size), PGML_ERR_CANCELLED);
	assert_constant(&size);
	assert_int_equal(pgml_scores_keep(&l.env, p, 200, kept), PGML_ERR_CANCELLED);
	give_back(&l);
}

/* ---- the promise ---- */

/* Share of new rows whose score is within what n others give, over many worlds; ties when grain > 0. */
static double
simulate(Lent *l, int64_t n, double level, double grain, int rounds)
{
	PgmlRng rng;
	int held = 0;

	pgml_rng_init(&rng, 20, (uint64_t) n);
	for (int round = 0; round < rounds; round++)
	{
		double score[100], kept[100], new;

		for (int64_t i = 0; i <= n; i++)
		{
			score[i] = fabs(pgml_rng_normal(&rng));
			if (grain > 0)
				score[i] = floor(score[i] / grain) * grain;
		}
		new = score[n];
		assert_int_equal(pgml_scores_keep(&l->env, score, n, kept), PGML_OK);
		held += new <= pgml_conformal_score(kept, n, level);
	}
	return (double) held / rounds;
}

/*
 * With exchangeable scores that do not tie, the new one is within with probability rank / (n + 1) exactly; with ties, with
 * no less.  Four standard deviations of 20,000 rounds are 0.0085 at 0.9.
 */
static void
the_level_is_held(void **state)
{
	enum
	{
		ROUNDS = 20000
	};
	static const double levels[] = { 0.5, 0.8, 0.9, 0.95 };
	static const int64_t sizes[] = { 9, 19, 50, 99 };
	Lent l;

	(void) state;
	lend(&l);
	for (int s = 0; s < 4; s++)
		for (int i = 0; i < 4; i++)
		{
			int64_t rank = pgml_conformal_rank(sizes[s], levels[i]);
			double expected = (double) rank / (double) (sizes[s] + 1);
			double sd = sqrt(expected * (1 - expected) / ROUNDS);
			double held = simulate(&l, sizes[s], levels[i], 0, ROUNDS);

			assert_true(expected >= levels[i] - 1e-12);
			if (!(fabs(held - expected) <= 4 * sd))
				fail_msg("n %d, level %g: held %g, expected %g", (int) sizes[s], levels[i], held,
						 expected);
			assert_true(simulate(&l, sizes[s], levels[i], 0.5, ROUNDS) >= expected - 4 * sd);
		}
	give_back(&l);
}

/*
 * Regression whose errors grow with the prediction: sizes learned from other rows keep the level, and hold it for small
 * and for large predictions alike, which intervals of one width do not.
 */
static void
sizes_keep_the_level(void **state)
{
	enum
	{
		N = 6000
	};
	double *p = calloc(2 * N, sizeof(double)), *y = calloc(2 * N, sizeof(double));
	double *score = calloc(N, sizeof(double));
	double kept[PGML_SCORES_KEPT];
	PgmlErrorSize size[2];
	PgmlRng rng;
	Lent l;

	(void) state;
	lend(&l);
	pgml_rng_init(&rng, 4, 2);
	for (int i = 0; i < 2 * N; i++)
	{
		p[i] = 10 * pgml_rng_uniform(&rng);
		y[i] = p[i] + (0.2 + p[i]) * pgml_rng_normal(&rng);
	}
	pgml_error_size_constant(&size[0]);
	assert_int_equal(pgml_error_size_fit(&l.env, p, y, N, &size[1]), PGML_OK);
	for (int learned = 0; learned < 2; learned++)
	{
		int held = 0, held_small = 0, small = 0;
		PgmlPredictions rows = { PGML_TASK_REGRESSION, 1, 2 * N, y, p, NULL, NULL };
		double most;

		for (int i = 0; i < N / 2; i++)
			score[i] = pgml_conformal_row(&rows, &size[learned], N + i);
		assert_int_equal(pgml_scores_keep(&l.env, score, N / 2, kept), PGML_OK);
		most = pgml_conformal_score(kept, N / 2, 0.9);
		for (int i = N + N / 2; i < 2 * N; i++)
		{
			bool within = pgml_conformal_row(&rows, &size[learned], i) <= most;

			held += within;
			small += p[i] > 8;
			held_small += within && p[i] > 8;
		}
		assert_true(fabs((double) held / (N / 2) - 0.9) < 0.03);
		if (learned)
			assert_true((double) held_small / small > 0.85);
		else
			assert_true((double) held_small / small < 0.8);
	}
	free(p);
	free(y);
	free(score);
	give_back(&l);
}

/* Scores of classes: 1 less the probability of the true one. */
static void
scores_of_classes(void **state)
{
	static const double y[] = { 1, 0, 1 }, p[] = { 0.75, 0.75, 0 };
	static const double k[] = { 2, 0 }, q[] = { 0.5, 0.25, 0.25, 1, 0, 0 };
	PgmlPredictions binary = { PGML_TASK_BINARY, 2, 3, y, p, NULL, NULL };
	static const double above[] = { 1.0000000000000002, 0, 0 };
	PgmlPredictions several = { PGML_TASK_MULTICLASS, 3, 2, k, q, NULL, NULL };
	PgmlPredictions one = { PGML_TASK_BINARY, 2, 1, y, above, NULL, NULL };
	PgmlPredictions all = { PGML_TASK_MULTICLASS, 3, 1, y + 1, above, NULL, NULL };

	(void) state;
	assert_true(pgml_conformal_row(&binary, NULL, 0) == 0.25);
	assert_true(pgml_conformal_row(&binary, NULL, 1) == 0.75);
	assert_true(pgml_conformal_row(&binary, NULL, 2) == 1);
	assert_true(pgml_conformal_row(&several, NULL, 0) == 0.75);
	assert_true(pgml_conformal_row(&several, NULL, 1) == 0);

	/* An average may be rounded up. */
	assert_true(pgml_conformal_row(&one, NULL, 0) == 0);
	assert_true(pgml_conformal_row(&all, NULL, 0) == 0);
}

/* A score that would be infinite is not: it is what calibrations are made of. */
static void
scores_do_not_overflow(void **state)
{
	PgmlErrorSize size = { .n = 1, .size = { 1e-300 } };
	PgmlPredictions p = { PGML_TASK_REGRESSION, 1,    1,   &(double){ 1e150 },
						  &(double){ -1e150 },  NULL, NULL };

	(void) state;
	assert_true(pgml_conformal_row(&p, &size, 0) == DBL_MAX);
}

int
test_conformal(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranks_are_those_of_the_books),
		cmocka_unit_test(scores_are_found_by_rank),
		cmocka_unit_test(kept_scores_are_spread),
		cmocka_unit_test(many_scores_are_rounded_up),
		cmocka_unit_test(sizes_follow_errors),
		cmocka_unit_test(sizes_may_be_constant),
		cmocka_unit_test(sizes_are_means_of_many),
		cmocka_unit_test(unknown_predictions_score_worst),
		cmocka_unit_test(memory_may_be_short),
		cmocka_unit_test(the_level_is_held),
		cmocka_unit_test(sizes_keep_the_level),
		cmocka_unit_test(scores_of_classes),
		cmocka_unit_test(scores_do_not_overflow),
	};

	return cmocka_run_group_tests_name("conformal", tests, NULL, NULL);
}
