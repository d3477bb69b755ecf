/*
 * test_hash.c - the stored hash and checksum against published and independent values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/hash.h"
#include "core/rng.h"
#include "unit.h"

/* Published for the reference implementation. */
static void
test_hash64_published(void **state)
{
	(void) state;
	assert_true(pgml_hash64("", 0, 0) == UINT64_C(0xEF46DB3751D8E999));
	assert_true(pgml_hash64(NULL, 0, 0) == UINT64_C(0xEF46DB3751D8E999));
	assert_true(pgml_hash64("abc", 3, 0) == UINT64_C(0x44BC2CF5AD770999));
}

/* The reference library's values for byte i = (7 i + 3) mod 256, every path of the code once. */
static void
test_hash64_lengths(void **state)
{
	static const struct
	{
		size_t len;
		uint64_t plain;
		uint64_t seeded;
	} known[] = {
		{ 1, 0x1f25c8d0bc1f4bb6, 0x79826bcd749d267a },
		{ 4, 0x9bb64b7d66ee9fda, 0x6f0a6c97d68bf353 },
		{ 8, 0xdab99d95c6f90092, 0xa2f1e28437a78a1b },
		{ 14, 0xc7f1d4d0acfa5a14, 0x11c9ca8b8889a9f1 },
		{ 31, 0xa2aa5f33cc4a6119, 0x755437271d1d0a84 },
		{ 32, 0x23c3c17ef790fd97, 0xbf624b932c090428 },
		{ 33, 0x50a7cfc7ba588784, 0x7aceaf1e9d34ea35 },
		{ 63, 0x5e3e54b431c7493c, 0x2c8ddce5c85d0d9d },
		{ 64, 0x0eb64b3ef6eeb01f, 0x4af341f14e3a6fc9 },
		{ 101, 0xbad4d3bf033bda4c, 0x9a5f95077eaecb78 },
	};
	uint8_t data[102];

	(void) state;
	/* From an odd address too. */
	for (size_t shift = 0; shift < 2; shift++)
	{
		for (size_t i = 0; i < 101; i++)
			data[shift + i] = (uint8_t) (7 * i + 3);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		{
			assert_true(pgml_hash64(data + shift, known[i].len, 0) == known[i].plain);
			assert_true(pgml_hash64(data + shift, known[i].len, UINT64_C(0x9E3779B97F4A7C15)) ==
						known[i].seeded);
		}
	}
}

static void
test_combine(void **state)
{
	(void) state;
	assert_true(pgml_hash_combine(1, 2) == UINT64_C(0x1f1f9d21f32b8d03));
	assert_true(pgml_hash_combine(2, 1) == UINT64_C(0x7de5c8b80b0aa47d));
	assert_true(pgml_hash_combine(0, 0) == UINT64_C(0x8a3cf4470d20f1a9));
}

/* RFC 3720, appendix B.4, and the usual check value. */
static void
test_crc32c_published(void **state)
{
	uint32_t (*const checksums[])(uint32_t, const void *, size_t) = { pgml_crc32c,
																	  pgml_crc32c_portable };
	uint8_t data[32];

	(void) state;
	for (size_t i = 0; i < 2; i++)
	{
		assert_int_equal(checksums[i](0, "123456789", 9), 0xE3069283);
		assert_int_equal(checksums[i](0, "", 0), 0);
		assert_int_equal(checksums[i](0, NULL, 0), 0);
		memset(data, 0, 32);
		assert_int_equal(checksums[i](0, data, 32), 0x8A9136AA);
		memset(data, 0xFF, 32);
		assert_int_equal(checksums[i](0, data, 32), 0x62A8AB43);
		for (int j = 0; j < 32; j++)
			data[j] = (uint8_t) j;
		assert_int_equal(checksums[i](0, data, 32), 0x46DD794E);
	}
}

/* The two paths agree for every length and address, also when the data come in two pieces. */
static void
test_crc32c_paths_agree(void **state)
{
	uint8_t data[300];
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 1, 1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t) pgml_rng_next(&rng);
	for (size_t from = 0; from < 9; from++)
	{
		for (size_t len = 0; len <= 260; len++)
		{
			uint32_t whole = pgml_crc32c(0, data + from, len);
			size_t cut = (size_t) pgml_rng_below(&rng, len + 1);

			assert_int_equal(whole, pgml_crc32c_portable(0, data + from, len));
			assert_int_equal(
				whole, pgml_crc32c(pgml_crc32c(0, data + from, cut), data + from + cut, len - cut));
		}
	}
}

int
test_hash(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash64_published),
		cmocka_unit_test(test_hash64_lengths),
		cmocka_unit_test(test_combine),
		cmocka_unit_test(test_crc32c_published),
		cmocka_unit_test(test_crc32c_paths_agree),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
