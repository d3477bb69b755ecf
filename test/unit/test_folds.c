/*
 * test_folds.c - validation folds: even, whole groups together, or blocks of time.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/split.h"
#include "unit.h"
#include "world.h"

/* Numbers of the rows of a world; of every other row when `half`. */
static int64_t
some_rows(const World *w, int32_t *rows, bool half)
{
	int64_t n = 0;

	for (int32_t i = 0; i < w->n; i += half ? 2 : 1)
		rows[n++] = i;
	return n;
}

/* Even within one row in every class and in all, also when a class has fewer rows than folds. */
static void
test_folds_stratified(void **state)
{
	static int32_t rows[MAX_ROWS];
	static uint8_t fold[MAX_ROWS], other[MAX_ROWS];

	(void) state;
	for (int k = 1; k <= 12; k += k < 3 ? 1 : 3)
		for (int with_labels = 0; with_labels < 2; with_labels++)
		{
			World *w = new_world((uint64_t) k, 301, 7);
			const int32_t *label = with_labels ? w->label : NULL;
			int64_t n = some_rows(w, rows, k > 2);
			Lent l;

			lend(&l);
			assert_int_equal(pgml_folds(&l.env, k, rows, n, label, NULL, NULL, 1, fold), PGML_OK);
			assert_int_equal(pgml_folds(&l.env, k, rows, n, label, NULL, NULL, 2, other), PGML_OK);
			assert_int_equal(memcmp(fold, other, (size_t) n) == 0, k == 1);
			for (int c = -1; c < (with_labels ? 7 : 0); c++) /* -1: all rows */
			{
				int64_t count[12] = { 0 };
				int64_t rows_of = 0;

				for (int64_t i = 0; i < n; i++)
					if (c < 0 || w->label[rows[i]] == c)
					{
						assert_true(fold[i] < k);
						count[fold[i]]++;
						rows_of++;
					}
				for (int f = 0; f < k; f++)
					assert_in_range(count[f], rows_of / k, (rows_of + k - 1) / k);
			}
			give_back(&l);
			free(w);
		}
}

/* Whole groups; folds of about the same size, and about the same share of a rare class. */
static void
test_folds_groups(void **state)
{
	static int32_t rows[MAX_ROWS];
	static uint8_t fold[MAX_ROWS];

	(void) state;
	for (int with_labels = 0; with_labels < 2; with_labels++)
	{
		World *w = new_world(9, 4000, 2);
		int64_t n = some_rows(w, rows, false);
		int64_t count[5] = { 0 }, rare[5] = { 0 };
		Lent l;

		lend(&l);
		for (int64_t i = 0; i < n; i++)
			w->label[i] = w->group[i] % 16 == 3 && w->label[i];
		assert_int_equal(
			pgml_folds(&l.env, 5, rows, n, with_labels ? w->label : NULL, w->group, NULL, 1, fold),
			PGML_OK);
		for (int64_t i = 0; i < n; i++)
		{
			count[fold[i]]++;
			rare[fold[i]] += w->label[i];
			for (int64_t j = i % 5; j < i; j += 5)
				if (w->group[i] == w->group[j])
					assert_int_equal(fold[i], fold[j]);
		}
		for (int f = 0; f < 5; f++)
		{
			assert_in_range(count[f], n / 5 - 40, n / 5 + 40);
			if (with_labels)
				assert_true(rare[f] > 0);
		}
		give_back(&l);
		free(w);
	}
}

/* Blocks of time, oldest first, of even size. */
static void
test_folds_time(void **state)
{
	static const double time[] = { 9, 1, NAN, 5, 4, 8, 2, 7, 6, 3 };
	static const uint8_t expected[] = { 3, 0, 0, 2, 1, 3, 0, 2, 2, 1 };
	int32_t rows[10] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	int64_t count[4] = { 0 };
	uint8_t fold[10];
	Lent l;

	(void) state;
	lend(&l);
	assert_int_equal(pgml_folds(&l.env, 4, rows, 10, NULL, NULL, time, 1, fold), PGML_OK);
	for (int i = 0; i < 10; i++)
		count[fold[i]]++;
	assert_memory_equal(fold, expected, 10);
	for (int f = 0; f < 4; f++)
		assert_in_range(count[f], 2, 3);
	give_back(&l);
}

static void
test_folds_edges(void **state)
{
	int32_t rows[2] = { 1, 0 };
	int32_t label[2] = { 0, -1 };
	uint64_t group[2] = { 5, 5 };
	uint8_t fold[2];
	Lent l;

	(void) state;
	lend(&l);
	assert_int_equal(pgml_folds(&l.env, 0, rows, 2, NULL, NULL, NULL, 1, fold), PGML_ERR_BADARG);
	assert_int_equal(pgml_folds(&l.env, 256, rows, 2, NULL, NULL, NULL, 1, fold), PGML_ERR_BADARG);
	assert_string_equal(l.error.message, "number of folds must be between 1 and 255");
	assert_int_equal(pgml_folds(&l.env, 5, rows, 2, label, NULL, NULL, 1, fold), PGML_ERR_INTERNAL);
	for (int g = 0; g < 2; g++)
		assert_int_equal(pgml_folds(&l.env, 5, rows, 0, NULL, g ? group : NULL, NULL, 1, fold),
						 PGML_OK);
	assert_int_equal(pgml_folds(&l.env, 255, rows, 2, NULL, NULL, NULL, 1, fold), PGML_OK);
	assert_int_equal(fold[0] + fold[1], 1);
	assert_int_equal(pgml_folds(&l.env, 5, rows, 2, NULL, group, NULL, 1, fold), PGML_OK);
	assert_int_equal(fold[0], fold[1]);
	give_back(&l);
}

/* The calls below, with the allocation number `at` failing and perhaps the stop flag set. */
static PgmlStatus
deal(World *w, bool grouped, bool timed, int64_t at, int stop)
{
	static int32_t rows[MAX_ROWS];
	int64_t n = some_rows(w, rows, false);
	PgmlStatus status;
	Lent l;

	lend(&l);
	l.budget.fail_at = at;
	l.stop = stop;
	status = pgml_folds(&l.env, 3, rows, n, w->label, grouped ? w->group : NULL,
						timed ? w->time : NULL, 1, w->role);
	assert_int_equal(l.error.status, status);
	give_back(&l);
	return status;
}

static void
test_folds_failures(void **state)
{
	World *w = new_world(2, 500, 3);

	(void) state;
	for (int what = 0; what < 3; what++)
	{
		int64_t at = 1;

		while (deal(w, what == 1, what == 2, at, 0) == PGML_ERR_NOMEM)
			at++;
		assert_in_range(at, 2, 20);
		assert_int_equal(deal(w, what == 1, what == 2, at, 0), PGML_OK);
		assert_int_equal(deal(w, what == 1, what == 2, 0, 1), PGML_ERR_CANCELLED);
	}
	free(w);
}

int
test_folds(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folds_stratified), cmocka_unit_test(test_folds_groups),
		cmocka_unit_test(test_folds_time),       cmocka_unit_test(test_folds_edges),
		cmocka_unit_test(test_folds_failures),
	};

	return cmocka_run_group_tests_name("folds", tests, NULL, NULL);
}
