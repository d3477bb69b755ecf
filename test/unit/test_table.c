#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "make_table.h"

static void
numbers_strings_in_order(void **state)
{
	Fixture f;
	uint32_t len;

	(void) state;
	fixture_init(&f, 0);
	PgmlDict *d = pgml_dict_create(f.arena);
	assert_int_equal(pgml_dict_size(d), 0);
	assert_int_equal(pgml_dict_find(d, "a", 1), -1);
	assert_int_equal(pgml_dict_add(d, "a", 1), 0);
	assert_int_equal(pgml_dict_add(d, "", 0), 1);
	assert_int_equal(pgml_dict_add(d, NULL, 0), 1);
	assert_int_equal(pgml_dict_add(d, "A", 1), 2);
	assert_int_equal(pgml_dict_add(d, "ab", 1), 0);
	assert_int_equal(pgml_dict_add(d, "a\0b", 3), 3);
	assert_int_equal(pgml_dict_size(d), 4);
	assert_int_equal(pgml_dict_find(d, "A", 1), 2);
	assert_string_equal(pgml_dict_get(d, 2, &len), "A");
	assert_int_equal(len, 1);
	assert_string_equal(pgml_dict_get(d, 1, NULL), "");
	assert_memory_equal(pgml_dict_get(d, 3, &len), "a\0b", 4);
	assert_int_equal(len, 3);
	fixture_done(&f);
}

static void
holds_many_and_long_strings(void **state)
{
	Fixture f;
	char buf[32];
	uint32_t len;

	(void) state;
	fixture_init(&f, 0);
	PgmlDict *d = pgml_dict_create(f.arena);
	for (int i = 0; i < 100000; i++)
	{
		int n = snprintf(buf, sizeof(buf), "key %d", i);
		assert_int_equal(pgml_dict_add(d, buf, (uint32_t) n), i);
	}
	char *big = malloc(1000000);
	memset(big, 'x', 1000000);
	assert_int_equal(pgml_dict_add(d, big, 1000000), 100000);
	for (int i = 0; i < 100000; i += 7)
	{
		int n = snprintf(buf, sizeof(buf), "key %d", i);
		assert_int_equal(pgml_dict_find(d, buf, (uint32_t) n), i);
		assert_string_equal(pgml_dict_get(d, i, NULL), buf);
	}
	assert_memory_equal(pgml_dict_get(d, 100000, &len), big, 1000000);
	assert_int_equal(len, 1000000);
	free(big);
	fixture_done(&f);
}

/* Wherever memory runs out, add says so and the dictionary stays whole. */
static void
survives_lack_of_memory(void **state)
{
	(void) state;
	for (int at = 1; at < 40; at++)
	{
		Fixture f;
		char buf[32];
		fixture_init(&f, 0);
		f.budget.fail_at = at;
		PgmlDict *d = pgml_dict_create(f.arena);
		for (int i = 0; d != NULL && i < 1000; i++)
		{
			int n = snprintf(buf, sizeof(buf), "some longer key %d", i);
			int32_t code = pgml_dict_add(d, buf, (uint32_t) n);
			if (code < 0)
				code = pgml_dict_add(d, buf, (uint32_t) n); /* the fault is over */
			assert_int_equal(code, i);
			assert_string_equal(pgml_dict_get(d, i, NULL), buf);
		}
		fixture_done(&f);
	}
}

static void
finds_columns_and_cells(void **state)
{
	Fixture f;

	(void) state;
	fixture_init(&f, 2);
	PgmlColumn *a = add_numbers(&f, "a", PGML_KIND_NUMBER);
	PgmlColumn *b = add_text(&f, "b c");
	a->num[0] = 5;
	a->num[1] = NAN;
	set_text(b, 1, "x");
	assert_int_equal(pgml_table_find(&f.table, "b c"), 1);
	assert_int_equal(pgml_table_find(&f.table, "B C"), -1);
	PgmlValue v = pgml_table_value(&f.table, 0, 0);
	assert_true(v.kind == PGML_KIND_NUMBER && !v.is_null && v.num == 5);
	assert_true(pgml_table_value(&f.table, 0, 1).is_null);
	assert_true(pgml_table_value(&f.table, 1, 0).is_null);
	v = pgml_table_value(&f.table, 1, 1);
	assert_int_equal(v.len, 1);
	assert_memory_equal(v.str, "x", 1);
	fixture_done(&f);
}

int
test_table(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(numbers_strings_in_order),
										cmocka_unit_test(holds_many_and_long_strings),
										cmocka_unit_test(survives_lack_of_memory),
										cmocka_unit_test(finds_columns_and_cells) };

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
