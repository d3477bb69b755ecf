/*
 * test_buf.c - byte buffers, their budget, and readers of hostile bytes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/rng.h"
#include "unit.h"

/* One of everything; the tests below read it back, cut it, and fail it. */
static void
put_everything(PgmlBuf *buf)
{
	pgml_buf_put_u8(buf, 0xAB);
	pgml_buf_put_str(buf, "h\xC3\xA9llo", 6);
	pgml_buf_align(buf, 8);
	pgml_buf_put_u32(buf, 0x01020304);
	pgml_buf_put_u64(buf, UINT64_C(0x1122334455667788));
	pgml_buf_put_f64(buf, -0.0);
	pgml_buf_put_str(buf, "", 0);
	pgml_buf_put(buf, NULL, 5);
	pgml_buf_put(buf, "xyz", 3);
	pgml_buf_align(buf, 64);
}

static void
test_round_trip(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;
	PgmlReader r;
	uint32_t len;
	double minus_zero;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	put_everything(&buf);
	assert_false(buf.failed);
	assert_int_equal(buf.len % 64, 0);
	assert_int_equal(budget.used, buf.cap);

	pgml_reader_init(&r, buf.data, buf.len);
	assert_int_equal(pgml_read_u8(&r), 0xAB);
	assert_string_equal(pgml_read_str(&r, &len), "h\xC3\xA9llo");
	assert_int_equal(len, 6);
	pgml_read_align(&r, 8);
	assert_int_equal(r.pos, 16);
	assert_int_equal(pgml_read_u32(&r), 0x01020304);
	assert_true(pgml_read_u64(&r) == UINT64_C(0x1122334455667788));
	minus_zero = pgml_read_f64(&r);
	assert_true(minus_zero == 0.0 && signbit(minus_zero));
	assert_string_equal(pgml_read_str(&r, NULL), "");
	assert_memory_equal(pgml_read(&r, 5), "\0\0\0\0\0", 5);
	assert_memory_equal(pgml_read(&r, 3), "xyz", 3);
	pgml_read_align(&r, 64);
	assert_false(r.failed);
	assert_int_equal(r.pos, r.len);
	assert_non_null(pgml_read(&r, 0));

	pgml_buf_free(&buf);
	assert_int_equal(budget.used, 0);
	assert_null(buf.data);
	pgml_buf_free(&buf);
}

/* Stored files are little-endian. */
static void
test_byte_order(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	assert_int_equal(pgml_buf_put_u32(&buf, 0x01020304), 0);
	assert_int_equal(pgml_buf_put_f64(&buf, 1.0), 4);
	assert_int_equal(pgml_buf_put_str(&buf, "a", 1), 12);
	assert_int_equal(buf.len, 18);
	assert_memory_equal(buf.data, "\x04\x03\x02\x01\0\0\0\0\0\0\xF0\x3F\x01\0\0\0a\0", 18);
	pgml_buf_free(&buf);
}

static void
test_overwriting(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;
	PgmlReader r;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	put_everything(&buf);
	pgml_buf_set_u32(&buf, 16, 77);
	pgml_buf_set_u64(&buf, 20, 88);
	pgml_reader_init(&r, buf.data, buf.len);
	pgml_read(&r, 16);
	assert_int_equal(pgml_read_u32(&r), 77);
	assert_int_equal(pgml_read_u64(&r), 88);
	assert_false(buf.failed);
	pgml_buf_set_u32(&buf, buf.len - 4, 1);
	assert_false(buf.failed);
	pgml_buf_set_u32(&buf, buf.len - 3, 1);
	assert_true(buf.failed);
	pgml_buf_free(&buf);

	pgml_buf_set_u64(&buf, SIZE_MAX, 1);
	assert_true(buf.failed);
	pgml_buf_free(&buf);
}

/* Every fault leaves a buffer that says so, appends nothing any more, and can be freed. */
static void
test_faults(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;
	bool failed = true;

	(void) state;
	for (int k = 1; failed; k++)
	{
		pgml_budget_init(&budget, 0);
		pgml_buf_init(&buf, &budget);
		atomic_store(&budget.fail_at, k);
		for (int i = 0; i < 40; i++)
			put_everything(&buf);
		failed = buf.failed;
		if (failed)
		{
			size_t len = buf.len;

			put_everything(&buf);
			pgml_buf_set_u32(&buf, 0, 0);
			assert_int_equal(buf.len, len);
			assert_true(buf.failed);
		}
		else
			assert_true(k > 3);
		pgml_buf_free(&buf);
		assert_false(buf.failed);
		assert_int_equal(budget.used, 0);
	}
}

static void
test_limit(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;

	(void) state;
	pgml_budget_init(&budget, 1000);
	pgml_buf_init(&buf, &budget);
	/* Doubling would pass the limit; what is asked for does not. */
	pgml_buf_put(&buf, NULL, 300);
	pgml_buf_put(&buf, NULL, 600);
	assert_false(buf.failed);
	assert_int_equal(buf.len, 900);
	pgml_buf_put(&buf, NULL, 101);
	assert_true(buf.failed);
	assert_int_equal(budget.refused, 101);
	assert_int_equal(buf.len, 900);
	pgml_buf_free(&buf);
	assert_int_equal(budget.used, 0);

	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	pgml_buf_put_u8(&buf, 1);
	pgml_buf_put(&buf, NULL, SIZE_MAX);
	assert_true(buf.failed);
	pgml_buf_free(&buf);
	pgml_buf_put(&buf, NULL, SIZE_MAX / 2 + 1);
	assert_true(buf.failed);
	pgml_buf_free(&buf);
	pgml_buf_put_str(&buf, "", (size_t) UINT32_MAX + 1);
	assert_true(buf.failed);
	assert_int_equal(buf.len, 0);
	pgml_buf_free(&buf);
	assert_int_equal(budget.used, 0);
}

/* Every prefix of a valid text is read without leaving it, and all but the whole one fail. */
static void
test_truncated(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	put_everything(&buf);
	for (size_t cut = 0; cut <= buf.len; cut++)
	{
		PgmlArena *arena = pgml_arena_create(&budget);
		uint8_t *copy = pgml_alloc(arena, cut);
		PgmlReader r;

		memcpy(copy, buf.data, cut);
		pgml_reader_init(&r, copy, cut);
		pgml_read_u8(&r);
		assert_non_null(pgml_read_str(&r, NULL));
		pgml_read_align(&r, 8);
		pgml_read_u32(&r);
		pgml_read_u64(&r);
		pgml_read_f64(&r);
		assert_non_null(pgml_read_str(&r, NULL));
		pgml_read(&r, 8);
		pgml_read_align(&r, 64);
		assert_true(r.failed == (cut < buf.len));
		if (r.failed)
		{
			assert_null(pgml_read(&r, 0));
			assert_int_equal(pgml_read_u8(&r), 0);
			assert_int_equal(pgml_read_u32(&r), 0);
			assert_int_equal(pgml_read_u64(&r), 0);
			assert_true(pgml_read_f64(&r) == 0.0);
		}
		pgml_arena_destroy(arena);
	}
	pgml_buf_free(&buf);
}

static void
test_hostile_strings(void **state)
{
	static const struct
	{
		const char *bytes;
		size_t len;
	} hostile[] = {
		{ "\xFF\xFF\xFF\xFF"
		  "abc",
		  7 },                   /* far too long */
		{ "\x03\0\0\0abc", 7 },  /* no room for the zero byte */
		{ "\x03\0\0\0abcd", 8 }, /* no zero byte */
		{ "\x03\0\0", 3 },       /* no length */
	};

	(void) state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
	{
		PgmlReader r;
		uint32_t len = 99;

		pgml_reader_init(&r, hostile[i].bytes, hostile[i].len);
		assert_string_equal(pgml_read_str(&r, &len), "");
		assert_int_equal(len, 0);
		assert_true(r.failed);
	}
}

static void
test_empty_reader(void **state)
{
	PgmlReader r;

	(void) state;
	pgml_reader_init(&r, NULL, 5);
	assert_non_null(pgml_read(&r, 0));
	pgml_read_align(&r, 64);
	assert_false(r.failed);
	assert_int_equal(pgml_read_u8(&r), 0);
	assert_true(r.failed);

	pgml_reader_init(&r, "abc", 3);
	assert_null(pgml_read(&r, SIZE_MAX));
	assert_true(r.failed);
}

/* Room made before, undefined bytes, and memory given away. */
static void
test_room_and_release(void **state)
{
	PgmlBudget budget;
	PgmlBuf buf;
	uint8_t *p;

	(void) state;
	pgml_budget_init(&budget, 10000);
	pgml_buf_init(&buf, &budget);
	pgml_buf_reserve(&buf, 5000);
	assert_int_equal(atomic_load(&budget.used), 5000);
	p = pgml_buf_extend(&buf, 4000);
	assert_ptr_equal(p, buf.data);
	memset(p, 3, 4000);
	assert_ptr_equal(pgml_buf_extend(&buf, 1000), buf.data + 4000);
	assert_int_equal(atomic_load(&budget.used), 5000);
	assert_null(pgml_buf_extend(&buf, 6000));
	assert_true(buf.failed);
	p = pgml_buf_release(&buf);
	assert_int_equal(p[3999], 3);
	assert_int_equal(atomic_load(&budget.used), 0);
	assert_null(buf.data);
	assert_null(pgml_buf_release(&buf));
	free(p);
	pgml_buf_reserve(&buf, 20000);
	assert_true(buf.failed);
	pgml_buf_free(&buf);
}

int
test_buf(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_byte_order),
		cmocka_unit_test(test_overwriting),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_hostile_strings),
		cmocka_unit_test(test_empty_reader),
		cmocka_unit_test(test_room_and_release),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
