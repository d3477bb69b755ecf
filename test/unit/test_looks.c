/*
 * Tests of how columns are understood: numbers with decimal commas, quantities named like identifiers; and of hostile level
 * tables.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/buf.h"
#include "make_table.h"
#include "prep/recipe_internal.h"
#include "unit.h"

typedef struct Fitted
{
	PgmlBuf bytes;
	PgmlRecipe recipe;
} Fitted;

static void
fit(Fixture *f, Fitted *out, int max_levels)
{
	PgmlRecipeSpec spec = { .rows = f->rows, .n = f->table.nrows, .max_levels = max_levels };

	pgml_buf_init(&out->bytes, &f->budget);
	if (pgml_recipe_fit(&f->env, &f->table, &spec, &out->bytes) != PGML_OK)
		fail_msg("%s (%s)", f->error.message, f->error.detail);
	assert_int_equal(pgml_recipe_open(out->bytes.data, out->bytes.len, &out->recipe, &f->error),
					 PGML_OK);
}

static void
expect(const Fitted *r, int i, const char *step, const char *words)
{
	char got[600];

	assert_string_equal(pgml_recipe_describe(&r->recipe, i, got, sizeof(got)), step);
	assert_string_equal(got, words);
}

/* What a text becomes. */
static float
apply(const Fitted *r, int i, const char *s)
{
	PgmlValue v = { .kind = PGML_KIND_TEXT, .str = s, .len = (uint32_t) strlen(s) };
	float out[64];
	PgmlError err = { 0 };

	assert_int_equal(pgml_recipe_apply_value(&r->recipe, i, &v, out, &err), PGML_OK);
	return out[pgml_recipe_input(&r->recipe, i).first_feature];
}

static void
done(Fixture *f, Fitted *r)
{
	pgml_buf_free(&r->bytes);
	fixture_done(f);
}

/* ---- decimal commas -------------------------------------------------------------------------- */

static bool
comma_of(const char *const *texts, int n)
{
	PgmlNumberLook look = { 0 };

	for (int i = 0; i < n; i++)
		pgml_number_look_add(&look, texts[i], (uint32_t) strlen(texts[i]), 1);
	return pgml_number_look_comma(&look);
}

#define COMMA(...)                                                                                 \
	comma_of((const char *const[]){ __VA_ARGS__ },                                                 \
			 sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void
tells_commas_from_points(void **state)
{
	(void) state;
	assert_true(COMMA("1234,56", "7,5", "12,25"));
	assert_true(COMMA("1.234,56", "999,10", "-0,5"));
	assert_true(COMMA("1.234.567", "999.000", "12"));
	assert_true(COMMA("1.234", "999", "12.500"));
	assert_true(COMMA("1", "2", "3", "1,5"));
	assert_true(COMMA("12,5 %", "7,25 %", "80 %"));
	assert_true(COMMA("1.234,00 €", "17,99 €"));
	/* As people write in English, or nothing that tells. */
	assert_false(COMMA("1,234.56", "999.10", "5"));
	assert_false(COMMA("1,234", "56,789", "12"));
	assert_false(COMMA("1.234", "5.678", "12.345"));
	assert_false(COMMA("1.234", "1234", "12"));
	assert_false(COMMA("1.234", "0.5", "12"));
	assert_false(COMMA("1", "2", "3"));
	assert_false(COMMA("1,2", "3,4", "1,2,3"));
	assert_false(COMMA("(1,1)", "(2,2)", "(13,13)"));
	assert_false(COMMA("1,5", "1.5", "2,5"));
	assert_false(COMMA("10.0.0.1", "10.0.0.2", "1,5"));
	assert_false(COMMA("one", "two", "three"));
}

static void
reads_decimal_commas(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 300);
	PgmlColumn *price = add_text(&f, "price");
	PgmlColumn *people = add_text(&f, "people");
	PgmlColumn *sparse = add_text(&f, "sparse");
	for (int i = 0; i < 300; i++)
	{
		char buf[40];
		snprintf(buf, sizeof(buf), "%d,%02d", 1000 + i * 7, i % 100);
		set_text(price, i, buf);
		if (i % 3 == 0)
			snprintf(buf, sizeof(buf), "%d", 700 + i);
		else
			snprintf(buf, sizeof(buf), "%d.%03d", 1 + i, i * 3);
		set_text(people, i, buf);
		set_text(sparse, i, i % 3 == 0 ? "1,5" : NULL);
	}
	fit(&f, &r, 0);
	expect(&r, 0, "number text", "text read as numbers with a decimal comma from 1000 to 3093.99");
	expect(&r, 1, "number text",
		   "text read as numbers with points between thousands from 700 to 300897");
	expect(&r, 2, "missing", "has one value only, so used as present or missing; 66.7 % missing");
	assert_true(apply(&r, 0, "1234,5") == 1234.5f);
	assert_true(apply(&r, 0, "1.234,5") == 1234.5f);
	assert_true(isnan(apply(&r, 0, "12.5")));
	assert_true(apply(&r, 1, "1.234") == 1234);
	assert_true(apply(&r, 1, "999") == 999);
	/* A number is a number. */
	PgmlValue v = { .kind = PGML_KIND_NUMBER, .num = 2.5 };
	float out[8];
	assert_int_equal(pgml_recipe_apply_value(&r.recipe, 0, &v, out, &f.error), PGML_OK);
	assert_true(out[0] == 2.5);
	done(&f, &r);
}

/* ---- identifiers ----------------------------------------------------------------------------- */

static void
keeps_quantities_that_are_named_like_identifiers(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 240);
	PgmlColumn *year = add_numbers(&f, "year", PGML_KIND_NUMBER);
	PgmlColumn *index = add_numbers(&f, "price_index", PGML_KIND_NUMBER);
	PgmlColumn *sales = add_numbers(&f, "sales_number", PGML_KIND_NUMBER);
	PgmlColumn *row = add_numbers(&f, "row_number", PGML_KIND_NUMBER);
	PgmlColumn *serial = add_numbers(&f, "serial", PGML_KIND_NUMBER);
	PgmlColumn *user = add_numbers(&f, "user_id", PGML_KIND_NUMBER);
	for (int i = 0; i < 240; i++)
	{
		year->num[i] = 1810 + i;
		index->num[i] = 90000 + (i * 7919) % 50021;
		sales->num[i] = i % 20 == 0 ? 17 : (i * 104729) % 90001;
		row->num[i] = i + 1;
		serial->num[i] = i % 12 == 0 ? 5000 : 5000 + i;
		user->num[i] = (i * 7919) % 50021;
	}
	fit(&f, &r, 0);
	expect(&r, 0, "number", "number from 1810 to 2049");
	assert_true(pgml_recipe_input(&r.recipe, 1).used);
	assert_true(pgml_recipe_input(&r.recipe, 2).used);
	expect(&r, 3, "drop", "identifier: every value is different");
	expect(&r, 4, "drop", "identifier: nearly every value is different");
	expect(&r, 5, "drop", "identifier: every value is different");
	done(&f, &r);
}

/* ---- dates ----------------------------------------------------------------------------------- */

static void
finds_the_order_of_day_and_month(void **state)
{
	static const char *const german[] = { "03/09/2024", "30/06/2014", "?" };
	static const char *const us[] = { "03/09/2024", "06/30/2014", NULL };
	Fixture f;
	bool day_first;

	(void) state;
	fixture_init(&f, 30);
	PgmlColumn *a = add_cycle(&f, "a", german, 3);
	PgmlColumn *b = add_cycle(&f, "b", us, 3);
	assert_int_equal(pgml_recipe_day_first(&f.env, a, 30, &day_first), PGML_OK);
	assert_true(day_first);
	assert_int_equal(pgml_recipe_day_first(&f.env, b, 30, &day_first), PGML_OK);
	assert_false(day_first);
	fixture_done(&f);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The record of an input, to be changed. */
static void
put_input(Fitted *r, int i, const RecipeInput *in)
{
	memcpy(r->bytes.data + sizeof(RecipeHeader) + (size_t) i * sizeof(*in), in, sizeof(*in));
}

/* Many columns that point at one large table make opening quadratic; so do levels of one hash for prediction. */
static void
refuses_shared_and_equal_levels(void **state)
{
	static const char *const two[] = { "a", "b" };
	const int n = 4000;
	Fixture f;
	Fitted r;
	PgmlRecipe view;

	(void) state;
	fixture_init(&f, n);
	PgmlColumn *city = add_text(&f, "city");
	for (int i = 0; i < n; i++)
	{
		char buf[20];
		snprintf(buf, sizeof(buf), "city %d", i % 1000);
		set_text(city, i, buf);
	}
	PgmlColumn *other = add_cycle(&f, "other", two, 2);
	for (int k = 0; k < 8; k++) /* not a copy of each other */
	{
		PgmlColumn *c = add_text(&f, "c");
		for (int i = 0; i < n; i++)
			set_text(c, i, two[(i >> (k + 1)) % 2]);
	}
	(void) other;
	fit(&f, &r, 5000);
	RecipeInput large = recipe_input(&r.recipe, 0);
	assert_int_equal(large.n_named, 1000);
	for (int i = 1; i < 10; i++)
	{
		RecipeInput in = recipe_input(&r.recipe, i);
		size_t at = sizeof(RecipeHeader) + 10 * sizeof(in) + i * sizeof(RecipeFeature);
		RecipeFeature feature = recipe_feature(&r.recipe, i);

		in.levels = large.levels;
		in.n_named = large.n_named;
		in.n_levels = large.n_levels;
		in.flags = large.flags;
		feature.n_levels = large.n_levels;
		put_input(&r, i, &in);
		memcpy(r.bytes.data + at, &feature, sizeof(feature));
	}
	assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &view, &f.error),
					 PGML_ERR_CORRUPT);
	assert_string_equal(f.error.message, "the recipe is damaged: its levels do not fit");
	pgml_buf_free(&r.bytes);

	f.table.ncols = 1;
	fit(&f, &r, 5000);
	large = recipe_input(&r.recipe, 0);
	for (int equal = 2; equal <= 40; equal += 38)
	{
		uint64_t hash;

		memcpy(&hash, r.bytes.data + large.levels, sizeof(hash));
		for (int i = 1; i < equal; i++)
			memcpy(r.bytes.data + large.levels + (size_t) i * sizeof(RecipeLevel), &hash,
				   sizeof(hash));
		assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &view, &f.error),
						 equal == 2 ? PGML_OK : PGML_ERR_CORRUPT);
	}
	done(&f, &r);
}

/* The flag of decimal commas belongs to numbers written as text only. */
static void
refuses_a_comma_elsewhere(void **state)
{
	Fixture f;
	Fitted r;
	PgmlRecipe view;

	(void) state;
	fixture_init(&f, 30);
	PgmlColumn *c = add_numbers(&f, "x", PGML_KIND_NUMBER);
	for (int i = 0; i < 30; i++)
		c->num[i] = i * 0.5;
	fit(&f, &r, 0);
	RecipeInput in = recipe_input(&r.recipe, 0);
	in.flags |= RECIPE_COMMA;
	put_input(&r, 0, &in);
	assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &view, &f.error),
					 PGML_ERR_CORRUPT);
	done(&f, &r);
}

static void
cuts_between_characters(void **state)
{
	(void) state;
	assert_int_equal(pgml_clip_end("abc", 3), 3);
	assert_int_equal(pgml_clip_end("", 0), 0);
	assert_int_equal(pgml_clip_end("a\xC3\xA9", 3), 3);
	assert_int_equal(pgml_clip_end("a\xC3", 2), 1);
	assert_int_equal(pgml_clip_end("a\xE2\x82", 3), 1);
	assert_int_equal(pgml_clip_end("a\xE2\x82\xAC", 4), 4);
	assert_int_equal(pgml_clip_end("\xF0\x9F\x98", 3), 0);
	assert_int_equal(pgml_clip_end("\xF0\x9F\x98\x80", 4), 4);
}

int
test_looks(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_commas_from_points),
		cmocka_unit_test(reads_decimal_commas),
		cmocka_unit_test(keeps_quantities_that_are_named_like_identifiers),
		cmocka_unit_test(finds_the_order_of_day_and_month),
		cmocka_unit_test(refuses_shared_and_equal_levels),
		cmocka_unit_test(refuses_a_comma_elsewhere),
		cmocka_unit_test(cuts_between_characters),
	};

	return cmocka_run_group_tests_name("looks", tests, NULL, NULL);
}
