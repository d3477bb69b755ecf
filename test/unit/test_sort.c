/*
 * test_sort.c - the radix sort and the keys of numbers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "core/sort.h"
#include "unit.h"

/* Keys are in the order of the numbers they are made from. */
static void
test_key_of_double(void **state)
{
	static const double rising[] = { NAN, -INFINITY, -1e300, -2, -1e-320, 0, 1e-320, 1, INFINITY };

	(void) state;
	for (size_t i = 1; i < sizeof(rising) / sizeof(rising[0]); i++)
		assert_true(pgml_key_of_double(rising[i - 1]) < pgml_key_of_double(rising[i]));
	assert_true(pgml_key_of_double(-0.0) == pgml_key_of_double(0.0));
	assert_true(pgml_key_of_double(-NAN) == 0);
}

/* Random keys of one to eight bytes come out sorted, equal ones in the order they went in. */
static void
test_sorted_and_stable(void **state)
{
	enum
	{
		N = 2000
	};
	static PgmlKeyed items[N], tmp[N];
	PgmlEnv env = { 0 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 1, 1);
	for (int bytes = 1; bytes <= 8; bytes++)
		for (int64_t n = 0; n <= N; n = n < 3 ? n + 1 : n * 5)
		{
			bool seen[N] = { false };

			for (int64_t i = 0; i < n; i++)
			{
				items[i].key = pgml_rng_next(&rng) >> (64 - 8 * bytes) << (bytes % 3 * 4);
				items[i].row = i;
			}
			assert_int_equal(pgml_sort_keyed(&env, items, tmp, n), PGML_OK);
			for (int64_t i = 0; i < n; i++)
			{
				assert_false(seen[items[i].row]);
				seen[items[i].row] = true;
				if (i > 0)
					assert_true(
						items[i - 1].key < items[i].key ||
						(items[i - 1].key == items[i].key && items[i - 1].row < items[i].row));
			}
		}
}

/* Keys that are hashes, that differ in low bits only, in both ends, or that crowd in few values. */
static void
test_kinds_of_keys(void **state)
{
	enum
	{
		N = 70000
	};
	PgmlKeyed *items = malloc(N * sizeof(PgmlKeyed));
	PgmlKeyed *tmp = malloc(N * sizeof(PgmlKeyed));
	PgmlEnv env = { 0 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 2, 1);
	for (int kind = 0; kind < 6; kind++)
	{
		for (int64_t i = 0; i < N; i++)
		{
			uint64_t r = pgml_rng_next(&rng);
			const uint64_t key[] = { r,
									 r & 0x3ff,
									 (r & 3) << 62 | r >> 40,
									 r << 60,
									 UINT64_C(1) << 63 | r % 17,
									 i % 2 == 0 ? r : r >> 33 };

			items[i] = (PgmlKeyed){ key[kind], i };
		}
		assert_int_equal(pgml_sort_keyed(&env, items, tmp, N), PGML_OK);
		for (int64_t i = 1; i < N; i++)
			assert_true(items[i - 1].key < items[i].key ||
						(items[i - 1].key == items[i].key && items[i - 1].row < items[i].row));
	}
	free(items);
	free(tmp);
}

/* Items sorted by their upper halves keep the order of their lower ones, which are not looked at. */
static void
test_sort_upper(void **state)
{
	enum
	{
		N = 70000
	};
	PgmlEnv env = { 0 };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 3, 1);
	for (int kind = 0; kind < 4; kind++)
		for (int64_t n = 0; n <= N; n = n < 3 ? n + 1 : n * 5 > N && n < N ? N : n * 5)
		{
			uint64_t *items = malloc((N + 1) * sizeof(uint64_t));
			uint64_t *tmp = malloc((N + 1) * sizeof(uint64_t));
			uint64_t lower = 0;

			for (int64_t i = 0; i < n; i++)
			{
				uint64_t r = pgml_rng_next(&rng) >> 32;
				const uint64_t upper[] = { r, r & 3, r & UINT64_C(0xf0000000), 7 };

				items[i] = upper[kind] << 32 | (uint64_t) i;
				lower += (uint64_t) i;
			}
			assert_int_equal(pgml_sort_upper(&env, &items, &tmp, n), PGML_OK);
			for (int64_t i = 0; i < n; i++)
			{
				lower -= items[i] & UINT32_MAX;
				if (i > 0)
					assert_true(items[i - 1] < items[i]);
			}
			assert_int_equal(lower, 0);
			free(items);
			free(tmp);
		}
}

static void
test_sort_stops(void **state)
{
	PgmlKeyed items[2] = { { 2, 0 }, { 1, 1 } };
	PgmlKeyed tmp[2];
	uint64_t numbers[2] = { 2, 1 };
	uint64_t numbers_tmp[2];
	uint64_t *upper = numbers;
	uint64_t *room = numbers_tmp;
	_Atomic int stop = 1;
	PgmlError error;
	PgmlEnv env = { .stop = &stop, .error = &error };

	(void) state;
	assert_int_equal(pgml_sort_keyed(&env, items, tmp, 2), PGML_ERR_CANCELLED);
	assert_int_equal(error.status, PGML_ERR_CANCELLED);
	error.status = PGML_OK;
	assert_int_equal(pgml_sort_upper(&env, &upper, &room, 2), PGML_ERR_CANCELLED);
	assert_int_equal(error.status, PGML_ERR_CANCELLED);
}

int
test_sort(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_of_double), cmocka_unit_test(test_sorted_and_stable),
		cmocka_unit_test(test_kinds_of_keys), cmocka_unit_test(test_sort_upper),
		cmocka_unit_test(test_sort_stops),
	};

	return cmocka_run_group_tests_name("sort", tests, NULL, NULL);
}
