/*
 * test_rng.c - random numbers against an independent implementation, and their distribution.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"
#include "unit.h"

/* The authors' generator started from 1, 2, 3, 4. */
static void
test_generator(void **state)
{
	static const uint64_t known[] = { 11520,
									  0,
									  1509978240,
									  UINT64_C(1215971899390074240),
									  UINT64_C(1216172134540287360),
									  UINT64_C(607988272756665600),
									  UINT64_C(16172922978634559625),
									  UINT64_C(8476171486693032832),
									  UINT64_C(10595114339597558777),
									  UINT64_C(2904607092377533576) };
	PgmlRng rng = { { 1, 2, 3, 4 } };

	(void) state;
	for (int i = 0; i < 10; i++)
		assert_true(pgml_rng_next(&rng) == known[i]);
}

static void
test_streams(void **state)
{
	static const struct
	{
		uint64_t seed;
		uint64_t stream;
		uint64_t first[4];
	} known[] = {
		{ 0,
		  0,
		  { 0x30bb94d28b7ab90c, 0x16a17f40c767e533, 0xe3e4b8ec5f525c28, 0x9301031e68b6fa0c } },
		{ 42,
		  7,
		  { 0xf7c7131e581266d6, 0xbf8e0a870594e23b, 0xc5a2116166595c66, 0xc7955d95523ad6fc } },
		{ UINT64_MAX,
		  UINT64_MAX,
		  { 0x3bc675e4f8a5843b, 0xea6f50791f9d9949, 0xd9b47208b05be56a, 0xbbc831d03437993d } },
	};

	(void) state;
	for (int k = 0; k < 3; k++)
	{
		PgmlRng rng;

		pgml_rng_init(&rng, known[k].seed, known[k].stream);
		for (int i = 0; i < 4; i++)
			assert_true(pgml_rng_next(&rng) == known[k].first[i]);
	}
}

static void
test_below(void **state)
{
	static const uint64_t tens[] = { 0, 4, 5, 2, 9, 4, 8, 5, 0, 4, 2, 9, 0, 5, 3, 7 };
	/* A bound that rejects almost half of all numbers. */
	static const uint64_t large[] = { UINT64_C(4506917718124275516), UINT64_C(2210154735951320236),
									  UINT64_C(8614584003568308304),
									  UINT64_C(4380708292382112787) };
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 1, 2);
	for (int i = 0; i < 16; i++)
		assert_int_equal(pgml_rng_below(&rng, 10), tens[i]);
	pgml_rng_init(&rng, 1, 2);
	for (int i = 0; i < 4; i++)
		assert_true(pgml_rng_below(&rng, (UINT64_C(1) << 63) + 1) == large[i]);
	assert_int_equal(pgml_rng_below(&rng, 1), 0);
	assert_int_equal(pgml_rng_below(&rng, 0), 0);
}

/* Chi-square of 7 cells, 6 degrees of freedom: 22.5 is its 0.999 quantile. */
static void
test_below_is_even(void **state)
{
	int64_t count[7] = { 0 };
	double chi2 = 0.0;
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 3, 3);
	for (int i = 0; i < 70000; i++)
		count[pgml_rng_below(&rng, 7)]++;
	for (int i = 0; i < 7; i++)
		chi2 += ((double) count[i] - 10000.0) * ((double) count[i] - 10000.0) / 10000.0;
	assert_true(chi2 < 22.5);
}

static void
test_uniform(void **state)
{
	PgmlRng rng;
	double sum = 0.0;

	(void) state;
	pgml_rng_init(&rng, 3, 4);
	assert_true(pgml_rng_uniform(&rng) == 0.12469249749116584);
	assert_true(pgml_rng_uniform(&rng) == 0.0048567142656191775);
	assert_true(pgml_rng_uniform(&rng) == 0.6258483357262157);
	for (int i = 0; i < 100000; i++)
	{
		double u = pgml_rng_uniform(&rng);

		assert_true(u >= 0.0 && u < 1.0);
		sum += u;
	}
	assert_true(fabs(sum / 100000 - 0.5) < 0.004);

	/* The largest number there is stays below one. */
	rng = (PgmlRng){ { 0, UINT64_C(0xFFFFFFFFFFFFFFFF), 0, 0 } };
	assert_true(pgml_rng_uniform(&rng) < 1.0);
}

static void
test_normal(void **state)
{
	static const double known[] = { 1.2367466745206226, -2.032750843666763, 0.7443702536588472,
									-2.037883393550285 };
	PgmlRng rng;
	double sum = 0.0;
	double squares = 0.0;
	int beyond = 0;

	(void) state;
	pgml_rng_init(&rng, 5, 6);
	for (int i = 0; i < 4; i++)
		assert_true(fabs(pgml_rng_normal(&rng) - known[i]) < 1e-14);
	for (int i = 0; i < 100000; i++)
	{
		double z = pgml_rng_normal(&rng);

		assert_true(isfinite(z));
		sum += z;
		squares += z * z;
		beyond += fabs(z) > 1.959964;
	}
	assert_true(fabs(sum / 100000) < 0.015);
	assert_true(fabs(squares / 100000 - 1.0) < 0.02);
	assert_in_range(beyond, 4700, 5300);
}

/* Streams of one seed, and equal streams of neighbouring seeds, have nothing to do with each other. */
static void
test_streams_are_unrelated(void **state)
{
	double product[3] = { 0.0, 0.0, 0.0 };
	PgmlRng rng[4];

	(void) state;
	pgml_rng_init(&rng[0], 9, 0);
	pgml_rng_init(&rng[1], 9, 1);
	pgml_rng_init(&rng[2], 10, 0);
	pgml_rng_init(&rng[3], 8, 1);
	for (int i = 0; i < 10000; i++)
	{
		double first = pgml_rng_uniform(&rng[0]) - 0.5;

		for (int k = 0; k < 3; k++)
			product[k] += first * (pgml_rng_uniform(&rng[k + 1]) - 0.5);
	}
	/* Correlation 0.04 is four standard errors; the variance of a uniform number is 1/12. */
	for (int k = 0; k < 3; k++)
		assert_true(fabs(product[k] / 10000 * 12) < 0.04);
}

int
test_rng(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generator),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_uniform),
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_streams_are_unrelated),
	};

	return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
