#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <stdio.h>

#include "core/buf.h"
#include "core/par.h"
#include "core/rng.h"
#include "make_table.h"
#include "prep/recipe.h"

/* A fitted recipe with its bytes. */
typedef struct Fitted
{
	PgmlBuf bytes;
	PgmlRecipe recipe;
} Fitted;

static PgmlStatus
fit_spec(Fixture *f, const PgmlRecipeSpec *spec, Fitted *out)
{
	pgml_buf_init(&out->bytes, &f->budget);
	return pgml_recipe_fit(&f->env, &f->table, spec, &out->bytes);
}

/* Fit on all rows and open; must succeed. */
static void
fit(Fixture *f, Fitted *out)
{
	PgmlRecipeSpec spec = { .rows = f->rows, .n = f->table.nrows };

	if (fit_spec(f, &spec, out) != PGML_OK)
		fail_msg("%s (%s)", f->error.message, f->error.detail);
	assert_int_equal(pgml_recipe_open(out->bytes.data, out->bytes.len, &out->recipe, &f->error),
					 PGML_OK);
}

/* Check treatment and words of an input. */
static void
expect(const Fitted *r, int i, const char *step, const char *words)
{
	char got[600];

	assert_string_equal(pgml_recipe_describe(&r->recipe, i, got, sizeof(got)), step);
	assert_string_equal(got, words);
	assert_int_equal(pgml_recipe_input(&r->recipe, i).used, strcmp(step, "drop") != 0);
}

/* First feature of input i for a value. */
static float
apply(const Fitted *r, int i, PgmlValue v)
{
	float out[64];
	PgmlError err = { 0 };

	if (pgml_recipe_apply_value(&r->recipe, i, &v, out, &err) != PGML_OK)
		fail_msg("%s", err.message);
	return out[pgml_recipe_input(&r->recipe, i).first_feature];
}

static PgmlValue
text(const char *s)
{
	return (PgmlValue){ .kind = PGML_KIND_TEXT, .str = s, .len = (uint32_t) strlen(s) };
}

static PgmlValue
num(PgmlKind kind, double v)
{
	return (PgmlValue){ .kind = kind, .num = v };
}

static const PgmlValue null_value = { .kind = PGML_KIND_TEXT, .is_null = true };

static void
done(Fixture *f, Fitted *r)
{
	pgml_buf_free(&r->bytes);
	fixture_done(f);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static void
treats_text_by_what_it_reads_as(void **state)
{
	static const char *const money[] = { "$1,200", "$950.50", "N/A", "unknown",
										 "1000",   "n/a",     "12%", "5" };
	static const char *const us[] = { "6/30/2014", "7/1/2014", "NA", "12/31/2013" };
	static const char *const german[] = { "03/09/2024", "30/06/2014", "01/02/2015" };
	static const char *const zip[] = { "00123", "12345", "02139", "94043" };
	static const char *const color[] = {
		"Red", " red", "BLUE", "blue ", "green", "?", "none", "red"
	};
	static const char *const mixed[] = { "1", "2", "three", "four", "five" };
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 240);
	add_cycle(&f, "money", money, 8);
	add_cycle(&f, "us", us, 4);
	add_cycle(&f, "german", german, 3);
	add_cycle(&f, "zip", zip, 4);
	add_cycle(&f, "color", color, 8);
	add_cycle(&f, "mixed", mixed, 5);
	fit(&f, &r);
	expect(&r, 0, "number text", "text read as numbers from 5 to 1200; 37.5 % missing");
	expect(
		&r, 1, "date text",
		"text read as dates from 2013-12-31 to 2014-07-01; used as days, year, month, day, weekday, "
		"day of year; 25 % missing");
	expect(
		&r, 2, "date text",
		"text read as dates, day before month, from 2014-06-30 to 2024-09-03; used as days, year, "
		"month, day, weekday, day of year");
	expect(&r, 3, "category", "category with 4 levels");
	expect(
		&r, 4, "category",
		"category with 4 levels; 3 spellings that differ only in case or blanks merged; 12.5 % missing");
	expect(&r, 5, "category", "category with 5 levels");
	assert_true(apply(&r, 0, text("($2,000)")) == -2000);
	assert_true(isnan(apply(&r, 0, text("about five"))));
	/* red 90 rows, blue 60, green and none 30 each, in order of bytes. */
	assert_true(apply(&r, 4, text(" RED ")) == 0);
	assert_true(apply(&r, 4, text("Blue")) == 1);
	assert_true(apply(&r, 4, text("green")) == 2);
	assert_true(apply(&r, 4, text("None")) == 3);
	assert_true(isnan(apply(&r, 4, text("?"))));
	assert_true(isnan(apply(&r, 4, text("yellow"))));
	assert_true(isnan(apply(&r, 4, null_value)));
	done(&f, &r);
}

/* 95 % of the rows and half of the spellings. */
static void
needs_nearly_all_to_be_numbers(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 1000);
	PgmlColumn *good = add_text(&f, "good");
	PgmlColumn *bad = add_text(&f, "bad");
	PgmlColumn *zeros = add_text(&f, "zeros");
	for (int i = 0; i < 1000; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "%d", i % 50);
		set_text(good, i, i % 20 == 7 ? "oops" : buf);
		set_text(bad, i, i % 17 == 7 ? "oops" : buf);
		snprintf(buf, sizeof(buf), "error %d", i / 25 % 10);
		set_text(zeros, i, i % 25 == 3 ? buf : "0");
	}
	fit(&f, &r);
	expect(&r, 0, "number text",
		   "text read as numbers from 0 to 49; 5 % missing, of which 100 % could not be read");
	expect(&r, 1, "category", "category with 51 levels");
	expect(&r, 2, "category", "category with 11 levels");
	done(&f, &r);
}

static void
drops_what_says_nothing(void **state)
{
	static const char *const one[] = { "same", "SAME", "same " };
	static const char *const marks[] = { "?", "", NULL, "NA" };
	static const char *const sparse[] = { "yes", NULL, NULL, NULL };
	static const char *const sex[] = { "m", "f", "m", "f", "f" };
	static const char *const sex2[] = { "male", "female", "male", "female", "female" };
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 200);
	add_cycle(&f, "one", one, 3);
	add_cycle(&f, "marks", marks, 4);
	add_cycle(&f, "sparse", sparse, 4);
	add_cycle(&f, "sex", sex, 5);
	add_cycle(&f, "sex2", sex2, 5);
	PgmlColumn *c = add_numbers(&f, "five", PGML_KIND_NUMBER);
	PgmlColumn *few = add_numbers(&f, "few", PGML_KIND_NUMBER);
	PgmlColumn *a = add_numbers(&f, "a", PGML_KIND_NUMBER);
	PgmlColumn *b = add_numbers(&f, "b", PGML_KIND_NUMBER);
	PgmlColumn *day = add_numbers(&f, "day", PGML_KIND_DATE);
	PgmlColumn *text_a = add_text(&f, "text a");
	for (int i = 0; i < 200; i++)
	{
		char buf[16];
		c->num[i] = 5;
		few->num[i] = i == 17 ? 1 : NAN;
		a->num[i] = i % 7 == 0 ? NAN : i % 10;
		b->num[i] = a->num[i];
		day->num[i] = 1e9;
		snprintf(buf, sizeof(buf), "%d.0", i % 10);
		set_text(text_a, i, i % 7 == 0 ? "?" : buf);
	}
	fit(&f, &r);
	expect(&r, 0, "drop", "constant");
	expect(&r, 1, "drop", "every value is missing");
	expect(&r, 2, "missing", "has one value only, so used as present or missing; 75 % missing");
	expect(&r, 4, "drop", "same content as \"sex\"");
	expect(&r, 5, "drop", "constant");
	expect(&r, 6, "drop", "constant, or nearly always missing");
	expect(&r, 8, "drop", "same content as \"a\"");
	expect(&r, 9, "drop", "constant");
	expect(&r, 10, "drop", "same content as \"a\"");
	assert_true(apply(&r, 2, text("?")) == 1);
	assert_true(apply(&r, 2, null_value) == 1);
	assert_true(apply(&r, 2, text("no")) == 0);
	assert_string_equal(
		pgml_recipe_feature(&r.recipe, pgml_recipe_input(&r.recipe, 2).first_feature).name,
		"sparse: missing");
	done(&f, &r);
}

static void
finds_identifiers_and_free_text(void **state)
{
	Fixture f;
	Fitted r;
	bool keep[16] = { false };

	(void) state;
	fixture_init(&f, 300);
	PgmlColumn *running = add_numbers(&f, "t", PGML_KIND_NUMBER);
	PgmlColumn *named = add_numbers(&f, "CustomerID", PGML_KIND_NUMBER);
	PgmlColumn *repeats = add_numbers(&f, "machine_id", PGML_KIND_NUMBER);
	PgmlColumn *spread = add_numbers(&f, "salary", PGML_KIND_NUMBER);
	PgmlColumn *key = add_numbers(&f, "k", PGML_KIND_NUMBER);
	PgmlColumn *stamp = add_numbers(&f, "at", PGML_KIND_TIMESTAMP);
	PgmlColumn *uuid = add_text(&f, "u");
	PgmlColumn *review = add_text(&f, "review");
	PgmlColumn *wild = add_text(&f, "wild");
	PgmlColumn *kept = add_numbers(&f, "kept_id", PGML_KIND_NUMBER);
	running->is_integer = named->is_integer = repeats->is_integer = spread->is_integer = true;
	key->is_key = stamp->is_key = true;
	keep[9] = true;
	for (int i = 0; i < 300; i++)
	{
		char buf[200];
		running->num[i] = 1000 + (i * 7) % 300;
		named->num[i] = i * 7919.0 * 7919.0;
		repeats->num[i] = i % 100;
		spread->num[i] = i * 31.0 + i * i * 17.0;
		key->num[i] = i * 0.37;
		stamp->num[i] = 1e9 + i * 3600.0;
		kept->num[i] = i * 7919.0;
		snprintf(buf, sizeof(buf), "%08x-%04x", i * 77777, i);
		set_text(uuid, i, buf);
		snprintf(buf, sizeof(buf),
				 "the customer number %d said that the delivery was late and the box was broken",
				 i % 250);
		set_text(review, i, buf);
		snprintf(buf, sizeof(buf), "v%d", i % 297 < 20 ? i % 10 : i / 2 * 2);
		set_text(wild, i, buf);
	}
	PgmlRecipeSpec spec = { .rows = f.rows, .n = 300, .keep = keep };
	assert_int_equal(fit_spec(&f, &spec, &r), PGML_OK);
	assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &r.recipe, &f.error), PGML_OK);
	expect(&r, 0, "drop", "identifier: every value is different");
	expect(&r, 1, "drop", "identifier: every value is different");
	expect(&r, 2, "number", "number from 0 to 99");
	expect(&r, 3, "number", "number from 0 to 1529086");
	expect(&r, 4, "drop", "identifier: a unique key");
	expect(&r, 6, "drop", "identifier: nearly every value is different");
	expect(&r, 7, "drop", "free text");
	assert_true(pgml_recipe_input(&r.recipe, 5).used);
	assert_true(pgml_recipe_input(&r.recipe, 8).used);
	assert_true(pgml_recipe_input(&r.recipe, 9).used);
	done(&f, &r);
}

/* A hundred thousand different values, and a few frequent ones among very many. */
static void
pools_very_many_levels(void **state)
{
	const int n = 100000;
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, n);
	PgmlColumn *all = add_text(&f, "city");
	PgmlColumn *half = add_text(&f, "browser");
	PgmlColumn *tail = add_text(&f, "product");
	PgmlColumn *x = add_numbers(&f, "x", PGML_KIND_NUMBER);
	for (int i = 0; i < n; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "city %d", i % 90000);
		set_text(all, i, buf);
		snprintf(buf, sizeof(buf), "b%d", i % 2 == 0 ? i % 10 : i);
		set_text(half, i, buf);
		snprintf(buf, sizeof(buf), "p%d", i % 1000);
		set_text(tail, i, buf);
		x->num[i] = i % 3;
	}
	fit(&f, &r);
	expect(&r, 0, "drop", "too many different values, hardly any of them repeated");
	expect(&r, 1, "category", "category with 6 levels; 50000 rare levels pooled as other");
	expect(&r, 2, "category", "category with 255 levels; 746 rare levels pooled as other");
	assert_true(apply(&r, 1, text("b0")) == 0);
	assert_true(apply(&r, 1, text("b77")) == 5);
	assert_true(apply(&r, 1, text("never seen")) == 5);
	PgmlFeature feature =
		pgml_recipe_feature(&r.recipe, pgml_recipe_input(&r.recipe, 2).first_feature);
	assert_true(feature.categorical);
	assert_int_equal(feature.n_levels, 255);
	done(&f, &r);
}

static void
honours_the_cap_of_levels(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 600);
	PgmlColumn *c = add_text(&f, "c");
	for (int i = 0; i < 600; i++)
	{
		char buf[8];
		snprintf(buf, sizeof(buf), "%c", 'a' + (int) (i < 300 ? i % 3 : i % 6));
		set_text(c, i, buf);
	}
	for (int cap = 1; cap <= 7; cap++)
	{
		PgmlRecipeSpec spec = { .rows = f.rows, .n = 600, .max_levels = cap };
		assert_int_equal(fit_spec(&f, &spec, &r), PGML_OK);
		assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &r.recipe, &f.error), PGML_OK);
		int levels = pgml_recipe_feature(&r.recipe, 0).n_levels;
		assert_int_equal(levels, cap < 2 ? 2 : cap > 6 ? 6 : cap);
		assert_true(apply(&r, 0, text("a")) == 0);
		assert_true(apply(&r, 0, text("f")) == (float) (levels - 1));
		pgml_buf_free(&r.bytes);
	}
	fixture_done(&f);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Keys beyond 2^24 and timestamps a minute apart stay distinct in float32. */
static void
keeps_large_numbers_apart(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 1000);
	PgmlColumn *big = add_numbers(&f, "big", PGML_KIND_NUMBER);
	PgmlColumn *at = add_numbers(&f, "at", PGML_KIND_TIMESTAMP);
	PgmlColumn *small = add_numbers(&f, "small", PGML_KIND_NUMBER);
	for (int i = 0; i < 1000; i++)
	{
		big->num[i] = 9007199254000000.0 + i % 500;
		at->num[i] = 1700000000 + i * 60.0;
		small->num[i] = i % 500 * 0.5;
	}
	fit(&f, &r);
	for (int i = 1; i < 500; i++)
	{
		assert_true(apply(&r, 0, num(PGML_KIND_NUMBER, big->num[i])) ==
					apply(&r, 0, num(PGML_KIND_NUMBER, big->num[i - 1])) + 1);
		assert_true(apply(&r, 1, num(PGML_KIND_TIMESTAMP, at->num[i])) >
					apply(&r, 1, num(PGML_KIND_TIMESTAMP, at->num[i - 1])));
	}
	assert_true(apply(&r, 2, num(PGML_KIND_NUMBER, 17.5)) == 17.5f);
	expect(&r, 2, "number", "number from 0 to 249.5");
	done(&f, &r);
}

static void
clips_infinities_and_huge_numbers(void **state)
{
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 100);
	PgmlColumn *a = add_numbers(&f, "a", PGML_KIND_NUMBER);
	PgmlColumn *huge = add_numbers(&f, "huge", PGML_KIND_NUMBER);
	PgmlColumn *only = add_numbers(&f, "only", PGML_KIND_NUMBER);
	PgmlColumn *far = add_numbers(&f, "far", PGML_KIND_DATE);
	for (int i = 0; i < 100; i++)
	{
		a->num[i] = i == 3 ? INFINITY : i == 4 ? -INFINITY : i % 9;
		huge->num[i] = i % 2 == 0 ? 1e308 : i % 3 == 0 ? -1e308 : 0;
		only->num[i] = i % 2 == 0 ? INFINITY : -INFINITY;
		far->num[i] = i == 0 ? INFINITY : i == 1 ? -INFINITY : i == 2 ? 1e17 : i % 5 * 86400.0;
	}
	fit(&f, &r);
	expect(&r, 0, "number", "number from 0 to 8; 2 infinite values set to the end of the range");
	assert_true(apply(&r, 0, num(PGML_KIND_NUMBER, INFINITY)) == 8);
	assert_true(apply(&r, 0, num(PGML_KIND_NUMBER, -INFINITY)) == 0);
	assert_true(apply(&r, 0, num(PGML_KIND_NUMBER, 1e300)) == FLT_MAX);
	assert_true(isnan(apply(&r, 0, num(PGML_KIND_NUMBER, NAN))));
	assert_true(isfinite(apply(&r, 1, num(PGML_KIND_NUMBER, 1e308))));
	assert_true(apply(&r, 2, num(PGML_KIND_NUMBER, INFINITY)) == 1);
	assert_true(apply(&r, 2, num(PGML_KIND_NUMBER, -INFINITY)) == -1);
	expect(
		&r, 3, "date",
		"date from 1970-01-01 to 1970-01-05; used as days, day, weekday, day of year; 3 % missing");
	assert_true(isnan(apply(&r, 3, num(PGML_KIND_DATE, INFINITY))));
	assert_true(isnan(apply(&r, 3, num(PGML_KIND_TIMESTAMP, 1e300))));
	done(&f, &r);
}

/* Of very many rows a sample is sorted: the range is still that of all, and identifiers are still seen. */
static void
samples_very_many_rows(void **state)
{
	const int n = 1200000;
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, n);
	PgmlColumn *id = add_numbers(&f, "t", PGML_KIND_NUMBER);
	PgmlColumn *x = add_numbers(&f, "x", PGML_KIND_NUMBER);
	PgmlColumn *rare = add_numbers(&f, "rare", PGML_KIND_DATE);
	for (int i = 0; i < n; i++)
	{
		id->num[i] = i;
		x->num[i] = i == 1 ? -7 : i == 3 ? 1e6 : i % 1000;
		rare->num[i] = i == 3 || i == 5 ? i * 86400.0 : NAN;
	}
	fit(&f, &r);
	expect(&r, 0, "drop", "identifier: every value is different");
	expect(&r, 1, "number", "number from -7 to 1000000");
	expect(&r, 2, "date",
		   "date from 1970-01-04 to 1970-01-06; used as days; more than 99.9 % missing");
	done(&f, &r);
}

/* Columns of single precision are read as the same numbers in doubles are, and are their own features. */
static void
reads_single_precision(void **state)
{
	const int n = 3000;
	Fixture f;
	Fitted r;
	PgmlMatrix x;

	(void) state;
	fixture_init(&f, n);
	for (int k = 0; k < 4; k++)
	{
		PgmlColumn *single = add_numbers(&f, "a", PGML_KIND_NUMBER);
		PgmlColumn *wide = add_numbers(&f, "b", PGML_KIND_NUMBER);

		single->single = pgml_array(f.arena, n, sizeof(float));
		for (int i = 0; i < n; i++)
		{
			float v = (float) ((i * 7919) % 3001) * 0.37f;

			v = k == 1 && i % 5 == 0 ? NAN : k == 2 && i % 9 == 0 ? INFINITY : v;
			single->single[i] = k == 3 ? (float) (i % 40) : v;
			wide->num[i] = single->single[i] * (k == 3 ? -1 : 2);
		}
		single->num = NULL;
	}
	fit(&f, &r);
	expect(&r, 0, "number", "number from 0 to 1110");
	expect(&r, 2, "number", "number from 0.3700000047683716 to 1110; 20 % missing");
	expect(&r, 6, "number", "number from 0 to 39");
	assert_int_equal(pgml_recipe_apply_table(&f.env, &r.recipe, &f.table, f.arena, &x), PGML_OK);
	for (int k = 0; k < 4; k++)
	{
		const PgmlColumn *single = &f.cols[2 * k];

		assert_int_equal(x.col[2 * k] == single->single, k != 2);
		for (int i = 0; i < n; i++)
		{
			PgmlValue v = num(PGML_KIND_NUMBER, single->single[i]);
			float one = apply(&r, 2 * k, v);

			assert_true(x.col[2 * k][i] == one || (isnan(x.col[2 * k][i]) && isnan(one)));
		}
	}
	done(&f, &r);
}

/* Values of single precision: of either sign, missing, all missing for a while, infinite, tiny, and whole. */
static float
single_value(int shape, int i)
{
	float v = (float) (i * 7919 % 3001 - 1500) * 0.37f;

	switch (shape)
	{
		case 0:
			return i % 3 == 0 ? -fabsf(v) - 1 : i % 7 == 0 ? NAN : -2;
		case 1:
			return i < 1000 ? NAN : v;
		case 2:
			return i == 2999 ? -INFINITY : fabsf(v);
		case 3:
			return i % 2 == 0 ? 0.0f : -0.0f * (float) (i % 5) + (i % 11 == 0 ? 1e-42f : 0);
		case 4:
			return i % 4 == 0 ? NAN : (float) (i % 50) - 1;
		default:
			return i % 50 == 0 ? INFINITY : i % 50 == 1 ? NAN : (float) (i % 20);
	}
}

/* What is found out about columns of single precision is what is found out about the same numbers as doubles. */
static void
looks_alike_in_both_precisions(void **state)
{
	const int n = 3000;

	(void) state;
	for (int shape = 0; shape < 6; shape++)
	{
		char words[2][200];

		for (int wide = 0; wide < 2; wide++)
		{
			Fixture f;
			Fitted r;

			fixture_init(&f, n);
			PgmlColumn *c = add_numbers(&f, "a", PGML_KIND_NUMBER);
			c->single = wide ? NULL : pgml_array(f.arena, n, sizeof(float));
			for (int i = 0; i < n; i++)
				c->num[i] = single_value(shape, i);
			for (int i = 0; !wide && i < n; i++)
				c->single[i] = single_value(shape, i);
			c->num = wide ? c->num : NULL;
			fit(&f, &r);
			pgml_recipe_describe(&r.recipe, 0, words[wide], sizeof(words[wide]));
			done(&f, &r);
		}
		assert_string_equal(words[0], words[1]);
	}
}

/* The bytes do not depend on the number of threads; columns that differ only behind the first rows are no duplicates. */
static void
fits_columns_side_by_side(void **state)
{
	const int n = 150000;
	Fixture f;
	Fitted alone, threads;

	(void) state;
	fixture_init(&f, n);
	for (int k = 0; k < 8; k++)
	{
		PgmlColumn *c = add_numbers(&f, "c", k == 6 ? PGML_KIND_TIMESTAMP : PGML_KIND_NUMBER);

		for (int i = 0; i < n; i++)
		{
			double noise = ((int64_t) i * 7919 % 100003) / 99991.0;
			const double v[] = { noise,
								 i % 8 == 0 ? NAN : floor(noise * 1000),
								 1e9 + i % 5000,
								 i < 100000 ? 1 : noise,
								 i < 100000 ? 1 : -noise,
								 i < 100000 ? 1 : noise,
								 1.7e9 + i * 3601.0,
								 i * 1e6 };

			c->num[i] = v[k];
		}
	}
	fit(&f, &alone);
	expect(&alone, 4, "number", "number from -1.00010000900081 to 1");
	expect(&alone, 5, "drop", "same content as \"c\"");
	f.env.pool = pgml_pool_create(3);
	fit(&f, &threads);
	assert_int_equal(alone.bytes.len, threads.bytes.len);
	assert_memory_equal(alone.bytes.data, threads.bytes.data, alone.bytes.len);
	pgml_pool_destroy(f.env.pool);
	pgml_buf_free(&alone.bytes);
	done(&f, &threads);
}

/* Integers are distinct values whether they are counted by bits or in order. */
static void
counts_integers(void **state)
{
	const int n = 2000;
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, n);
	PgmlColumn *bits = add_numbers(&f, "bits id", PGML_KIND_NUMBER);
	PgmlColumn *order = add_numbers(&f, "order id", PGML_KIND_NUMBER);
	PgmlColumn *few = add_numbers(&f, "few id", PGML_KIND_NUMBER);
	PgmlColumn *spread = add_numbers(&f, "spread id", PGML_KIND_NUMBER);
	for (int i = 0; i < n; i++)
	{
		bits->num[i] = i * 7 - 5000;
		order->num[i] = i * 8192.0 - 5000; /* beyond what has a bit each */
		few->num[i] = i % 1700;
		spread->num[i] = i % 1700 * 8192.0;
	}
	fit(&f, &r);
	expect(&r, 0, "drop", "identifier: every value is different");
	expect(&r, 1, "drop", "identifier: every value is different");
	expect(&r, 2, "number", "number from 0 to 1699");
	expect(&r, 3, "number", "number from 0 to 13918208");
	done(&f, &r);
}

static void
takes_dates_apart(void **state)
{
	Fixture f;
	Fitted r;
	float out[16];
	PgmlError err;

	(void) state;
	fixture_init(&f, 1000);
	PgmlColumn *at = add_numbers(&f, "at", PGML_KIND_TIMESTAMP);
	PgmlColumn *t = add_numbers(&f, "t", PGML_KIND_TIME);
	PgmlColumn *iv = add_numbers(&f, "iv", PGML_KIND_INTERVAL);
	for (int i = 0; i < 1000; i++)
	{
		at->num[i] = 1.6e9 + i * 86400.0 * 3 + i * 1800.0;
		t->num[i] = i * 60 % 86400;
		iv->num[i] = i % 10 * 3600.0;
	}
	fit(&f, &r);
	assert_int_equal(pgml_recipe_input(&r.recipe, 0).n_features, 7);
	PgmlValue v = text("2024-03-09 10:30");
	assert_int_equal(pgml_recipe_apply_value(&r.recipe, 0, &v, out, &err), PGML_OK);
	static const char *const names[] = { "at: days",    "at: year",        "at: month", "at: day",
										 "at: weekday", "at: day of year", "at: hour" };
	static const float want[] = { 0, 2024, 3, 9, 6, 69, 10.5 };
	for (int k = 0; k < 7; k++)
	{
		assert_string_equal(pgml_recipe_feature(&r.recipe, k).name, names[k]);
		if (k > 0)
			assert_true(out[k] == want[k]);
	}
	expect(&r, 1, "time", "time of day from 00:00:00 to 16:39:00, in seconds");
	expect(&r, 2, "interval", "interval from 0 to 32400 seconds");
	assert_true(apply(&r, 1, text("8:00 pm")) == 72000);
	assert_true(apply(&r, 2, text("1 day 01:00:00")) == 90000);
	assert_true(apply(&r, 2, num(PGML_KIND_NUMBER, 60)) == 60);
	done(&f, &r);
}

/* ---- coercion -------------------------------------------------------------------------------- */

static void
refuse(const Fitted *r, int i, PgmlValue v, const char *message)
{
	float out[16];
	PgmlError err = { 0 };

	assert_int_equal(pgml_recipe_apply_value(&r->recipe, i, &v, out, &err), PGML_ERR_DATA);
	assert_string_equal(err.message, message);
}

static void
coerces_or_names_the_column(void **state)
{
	static const char *const flags[] = { "true", "false", "true" };
	static const char *const tf[] = { "t", "f", "f" };
	static const char *const codes[] = { "1", "2.5", "x", "2024-03-09" };
	Fixture f;
	Fitted r;

	(void) state;
	fixture_init(&f, 120);
	PgmlColumn *age = add_numbers(&f, "age", PGML_KIND_NUMBER);
	PgmlColumn *on = add_numbers(&f, "on", PGML_KIND_BOOL);
	PgmlColumn *day = add_numbers(&f, "day", PGML_KIND_DATE);
	PgmlColumn *t = add_numbers(&f, "t", PGML_KIND_TIME);
	add_cycle(&f, "flags", flags, 3);
	add_cycle(&f, "tf", tf, 3);
	add_cycle(&f, "codes", codes, 4);
	for (int i = 0; i < 120; i++)
	{
		age->num[i] = i % 60;
		on->num[i] = i % 4 == 0;
		day->num[i] = i % 50 * 86400.0;
		t->num[i] = i % 24 * 3600.0;
	}
	day->origin = PGML_ORIGIN_TIMESTAMPTZ;
	fit(&f, &r);
	expect(&r, 1, "boolean", "boolean, 25 % true");
	assert_int_equal(pgml_recipe_input(&r.recipe, 1).origin, PGML_ORIGIN_PLAIN);
	assert_int_equal(pgml_recipe_input(&r.recipe, 2).origin, PGML_ORIGIN_TIMESTAMPTZ);
	assert_true(apply(&r, 0, text(" 1,234 ")) == 1234);
	assert_true(apply(&r, 0, num(PGML_KIND_BOOL, 1)) == 1);
	assert_true(isnan(apply(&r, 0, text("unknown"))));
	assert_true(apply(&r, 0, text(" Infinity ")) == 59 && apply(&r, 0, text("+inf")) == 59);
	assert_true(apply(&r, 0, text("-Infinity")) == 0);
	refuse(&r, 0, text("infinite"), "column \"age\" needs a number, not \"infinite\"");
	refuse(&r, 0, text("abc"), "column \"age\" needs a number, not \"abc\"");
	refuse(&r, 0, num(PGML_KIND_DATE, 0), "column \"age\" needs a number, not a date");
	refuse(&r, 0, num(PGML_KIND_INTERVAL, 0), "column \"age\" needs a number, not an interval");
	refuse(&r, 0, text("a text so long that only the first forty bytes are shown"),
		   "column \"age\" needs a number, not \"a text so long that only the first forty...\"");
	assert_true(apply(&r, 1, text("YES")) == 1);
	assert_true(apply(&r, 1, text("f")) == 0);
	assert_true(apply(&r, 1, num(PGML_KIND_NUMBER, 7)) == 1);
	assert_true(isnan(apply(&r, 1, text(""))));
	refuse(&r, 1, text("maybe"), "column \"on\" needs a boolean, not \"maybe\"");
	assert_true(apply(&r, 2, text("1970-01-11")) == 10);
	assert_true(apply(&r, 2, num(PGML_KIND_TIMESTAMP, 864000)) == 10);
	refuse(&r, 2, text("soon"), "column \"day\" needs a date, not \"soon\"");
	refuse(&r, 2, num(PGML_KIND_NUMBER, 5), "column \"day\" needs a date, not a number");
	refuse(&r, 3, text("noon"), "column \"t\" needs a time, not \"noon\"");
	refuse(&r, 3, num(PGML_KIND_BOOL, 1), "column \"t\" needs a time, not a boolean");
	assert_true(apply(&r, 4, num(PGML_KIND_BOOL, 1)) == 0);
	assert_true(apply(&r, 4, num(PGML_KIND_BOOL, 0)) == 1);
	expect(&r, 5, "category", "category with 2 levels");
	assert_true(apply(&r, 5, num(PGML_KIND_BOOL, 1)) == 1);
	assert_true(apply(&r, 6, num(PGML_KIND_NUMBER, 1)) == apply(&r, 6, text("1")));
	assert_true(apply(&r, 6, num(PGML_KIND_NUMBER, 2.5)) == apply(&r, 6, text("2.5")));
	assert_true(apply(&r, 6, num(PGML_KIND_DATE, 1709942400)) == apply(&r, 6, text("2024-03-09")));
	for (int i = 0; i < 7; i++)
		assert_true(isnan(apply(&r, i, null_value)));
	done(&f, &r);
}

/* ---- table and value agree ------------------------------------------------------------------- */

static const char *const noise[] = { "a",          "A ",     "b",     "?",
									 "",           "12",     "1,200", "$5",
									 "2024-03-09", "3/4/20", "none",  "\xc3\xa9t\xc3\xa9",
									 "\"quote\"",  "7e2" };

/* A random table with columns of every kind; some columns lean towards numbers or dates. */
static void
random_table(Fixture *f, PgmlRng *rng, int ncols)
{
	static const char *const names[] = {
		"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"
	};

	for (int c = 0; c < ncols; c++)
	{
		PgmlKind kind = (PgmlKind) (1 + pgml_rng_below(rng, 7));
		int lean = (int) pgml_rng_below(rng, 4);
		int scale = (int) pgml_rng_below(rng, 12);
		PgmlColumn *col =
			kind == PGML_KIND_TEXT ? add_text(f, names[c]) : add_numbers(f, names[c], kind);

		for (int64_t i = 0; i < f->table.nrows; i++)
		{
			double u = pgml_rng_uniform(rng);
			double v = floor(u * 50) * pow(10, scale) + (lean == 1 ? u : 0);
			if (kind == PGML_KIND_TEXT)
			{
				char buf[40];
				snprintf(buf, sizeof(buf), lean == 2 ? "20%02d-01-02" : "%d", (int) (u * 99));
				set_text(col, i,
						 u < 0.1               ? NULL :
						 lean == 0 || u > 0.97 ? noise[pgml_rng_below(rng, 14)] :
												 buf);
			}
			else
				col->num[i] = u < 0.1                ? NAN :
							  u > 0.98               ? INFINITY :
							  kind == PGML_KIND_BOOL ? u > 0.5 :
													   v;
		}
	}
}

static bool
same_float(float a, float b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* Whatever the way into a block, its features are those of the table. */
static void
check_block(Fixture *f, const Fitted *r, const PgmlMatrix *m)
{
	int64_t n = f->table.nrows;
	int64_t stride = n + 3;
	float *x = pgml_array(f->arena, (size_t) (stride * m->nfeatures) + 1, sizeof(float));

	for (int i = 0; i < f->table.ncols; i++)
	{
		const PgmlColumn *c = &f->table.cols[i];
		PgmlInput in = pgml_recipe_input(&r->recipe, i);

		if (c->kind != PGML_KIND_TEXT)
			assert_int_equal(
				pgml_recipe_apply_numbers(&r->recipe, i, c->kind, c->num, n, x, stride, &f->error),
				PGML_OK);
		for (int64_t row = 0; c->kind == PGML_KIND_TEXT && row < n; row++)
		{
			PgmlValue v = pgml_table_value(&f->table, i, row);
			assert_int_equal(pgml_recipe_apply_at(&r->recipe, i, &v, x + row, stride, &f->error),
							 PGML_OK);
		}
		for (int k = in.first_feature; k < in.first_feature + in.n_features; k++)
			assert_memory_equal(x + k * stride, m->col[k], (size_t) n * sizeof(float));
	}
}

static void
applies_tables_as_values(void **state)
{
	PgmlRng rng;
	int fitted = 0;

	(void) state;
	pgml_rng_init(&rng, 11, 1);
	for (int round = 0; round < 150; round++)
	{
		Fixture f;
		Fitted r;
		PgmlMatrix m;
		fixture_init(&f, 1 + (int64_t) pgml_rng_below(&rng, 400));
		random_table(&f, &rng, 8);
		/* Fitted on the first half, applied to all rows: unseen strings occur. */
		PgmlRecipeSpec spec = { .rows = f.rows, .n = (f.table.nrows + 1) / 2 };
		if (fit_spec(&f, &spec, &r) == PGML_OK)
		{
			fitted++;
			assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &r.recipe, &f.error),
							 PGML_OK);
			assert_int_equal(pgml_recipe_apply_table(&f.env, &r.recipe, &f.table, f.arena, &m),
							 PGML_OK);
			assert_int_equal(m.nfeatures, r.recipe.n_features);
			for (int64_t row = 0; row < f.table.nrows; row++)
			{
				float out[64];
				for (int i = 0; i < f.table.ncols; i++)
				{
					PgmlValue v = pgml_table_value(&f.table, i, row);
					assert_int_equal(pgml_recipe_apply_value(&r.recipe, i, &v, out, &f.error),
									 PGML_OK);
				}
				for (int k = 0; k < m.nfeatures; k++)
				{
					assert_true(same_float(out[k], m.col[k][row]));
					assert_true(isnan(out[k]) || isfinite(out[k]));
					if (m.features[k].categorical && !isnan(out[k]))
						assert_true(out[k] >= 0 && out[k] < (float) m.features[k].n_levels);
				}
			}
			check_block(&f, &r, &m);
		}
		else
			assert_string_equal(f.error.message, "no column can be used as a feature");
		done(&f, &r);
	}
	assert_true(fitted > 100);
}

/* A table whose columns have other kinds than in training goes through the same coercion. */
static void
applies_tables_of_other_kinds(void **state)
{
	Fixture f, g;
	Fitted r;
	PgmlMatrix m;

	(void) state;
	fixture_init(&f, 100);
	PgmlColumn *n = add_numbers(&f, "n", PGML_KIND_NUMBER);
	PgmlColumn *c = add_text(&f, "c");
	for (int i = 0; i < 100; i++)
	{
		n->num[i] = i % 10;
		set_text(c, i, i % 2 == 0 ? "1" : "x");
	}
	fit(&f, &r);
	fixture_init(&g, 2);
	PgmlColumn *gn = add_text(&g, "n");
	PgmlColumn *gc = add_numbers(&g, "c", PGML_KIND_NUMBER);
	set_text(gn, 0, "7");
	gc->num[0] = 1;
	gc->num[1] = NAN;
	assert_int_equal(pgml_recipe_apply_table(&g.env, &r.recipe, &g.table, g.arena, &m), PGML_OK);
	assert_true(m.col[0][0] == 7 && isnan(m.col[0][1]));
	assert_true(m.col[1][0] == apply(&r, 1, text("1")) && isnan(m.col[1][1]));
	set_text(gn, 1, "seven");
	assert_int_equal(pgml_recipe_apply_table(&g.env, &r.recipe, &g.table, g.arena, &m),
					 PGML_ERR_DATA);
	assert_string_equal(g.error.message, "column \"n\" needs a number, not \"seven\"");
	g.table.ncols = 1;
	assert_int_equal(pgml_recipe_apply_table(&g.env, &r.recipe, &g.table, g.arena, &m),
					 PGML_ERR_INTERNAL);
	fixture_done(&g);
	done(&f, &r);
}

/* ---- hard inputs ----------------------------------------------------------------------------- */

/* What other rows hold leaves no trace in the bytes. */
static void
fits_training_rows_only(void **state)
{
	Fixture f;
	Fitted a, b;

	(void) state;
	fixture_init(&f, 200);
	PgmlColumn *n = add_numbers(&f, "n", PGML_KIND_NUMBER);
	PgmlColumn *c = add_text(&f, "c");
	for (int i = 0; i < 200; i++)
	{
		n->num[i] = i % 13;
		set_text(c, i, i % 3 == 0 ? "x" : "y");
	}
	PgmlRecipeSpec spec = { .rows = f.rows, .n = 100 };
	assert_int_equal(fit_spec(&f, &spec, &a), PGML_OK);
	for (int i = 100; i < 200; i++)
	{
		n->num[i] = i == 150 ? INFINITY : -1e300;
		set_text(c, i, "2024-01-01");
	}
	assert_int_equal(fit_spec(&f, &spec, &b), PGML_OK);
	assert_int_equal(a.bytes.len, b.bytes.len);
	assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
	pgml_buf_free(&a.bytes);
	done(&f, &b);
}

static void
explains_why_nothing_is_usable(void **state)
{
	Fixture f;
	Fitted r;
	bool exclude[] = { true, false };
	const char *const why[] = { "the target", NULL };

	(void) state;
	fixture_init(&f, 1);
	add_numbers(&f, "y", PGML_KIND_NUMBER);
	add_numbers(&f, "x", PGML_KIND_NUMBER);
	PgmlRecipeSpec spec = { .rows = f.rows, .n = 1, .exclude = exclude, .exclude_reason = why };
	assert_int_equal(fit_spec(&f, &spec, &r), PGML_ERR_DATA);
	assert_string_equal(f.error.message, "no column can be used as a feature");
	assert_string_equal(f.error.detail, "\"y\": the target; \"x\": constant.");
	assert_true(strlen(f.error.hint) > 0);
	spec.n = 0;
	assert_int_equal(fit_spec(&f, &spec, &r), PGML_ERR_DATA);
	assert_string_equal(f.error.message, "there are no rows to learn from");
	f.table.ncols = 0;
	spec.n = 1;
	assert_int_equal(fit_spec(&f, &spec, &r), PGML_ERR_DATA);
	done(&f, &r);
}

/* Quotes, other scripts, and strings longer than the pieces in which they are hashed. */
static void
handles_strange_strings(void **state)
{
	Fixture f;
	Fitted r;
	char *big = malloc(70001);
	char *big2 = malloc(70001);

	(void) state;
	memset(big, 'Q', 70000);
	memset(big2, 'q', 70000);
	big[70000] = big2[70000] = '\0';
	big2[69999] = 'z';
	fixture_init(&f, 60);
	PgmlColumn *c = add_text(&f, "it's \"odd\" \xe6\x97\xa5");
	for (int i = 0; i < 60; i++)
	{
		static const char *const odd[] = { "O'Neil", "\"x\"", "\xe6\x97\xa5\xe6\x9c\xac",
										   "\xff\xfe" };
		set_text(c, i, i % 6 == 4 ? big : i % 6 == 5 ? big2 : odd[i % 6]);
	}
	fit(&f, &r);
	expect(&r, 0, "category", "category with 6 levels");
	bool seen[6] = { false };
	static const char *const same[] = { "o'NEIL ", "\"X\"", "\xe6\x97\xa5\xe6\x9c\xac",
										"\xff\xfe" };
	for (int i = 0; i < 6; i++)
	{
		float v = apply(&r, 0, text(i == 4 ? big : i == 5 ? big2 : same[i]));
		assert_true(v >= 0 && v < 6 && !seen[(int) v]);
		seen[(int) v] = true;
	}
	big2[69999] = 'y';
	assert_true(isnan(apply(&r, 0, text(big2))));
	free(big);
	free(big2);
	char tiny[5];
	assert_string_equal(pgml_recipe_describe(&r.recipe, 0, tiny, sizeof(tiny)), "category");
	assert_string_equal(tiny, "cate");
	pgml_recipe_describe(&r.recipe, 0, tiny, 0);
	done(&f, &r);
}

static void
mixed_table(Fixture *f)
{
	static const char *const words[] = { "a", "b", "?", "c", "a" };
	static const char *const days[] = { "2024-01-01", "2024-05-02", "2023-03-03" };
	static const char *const nums[] = { "$1", "2%", "3", "4" };

	fixture_init(f, 60);
	add_cycle(f, "words", words, 5);
	add_cycle(f, "days", days, 3);
	add_cycle(f, "nums", nums, 4);
	PgmlColumn *n = add_numbers(f, "n", PGML_KIND_NUMBER);
	PgmlColumn *m = add_numbers(f, "m", PGML_KIND_NUMBER);
	for (int i = 0; i < 60; i++)
		n->num[i] = m->num[i] = i % 9;
}

/* Memory that runs out anywhere gives a clean error, and so does the stop flag. */
static void
fails_cleanly(void **state)
{
	(void) state;
	for (int at = 1;; at++)
	{
		Fixture f;
		Fitted r = { .bytes = { 0 } };
		PgmlMatrix m;
		mixed_table(&f);
		PgmlRecipeSpec spec = { .rows = f.rows, .n = 60 };
		f.budget.fail_at = at;
		PgmlStatus status = fit_spec(&f, &spec, &r);
		if (status == PGML_OK)
		{
			assert_int_equal(pgml_recipe_open(r.bytes.data, r.bytes.len, &r.recipe, &f.error),
							 PGML_OK);
			status = pgml_recipe_apply_table(&f.env, &r.recipe, &f.table, f.arena, &m);
		}
		bool through = status == PGML_OK && f.budget.fail_at > 0;
		if (!through)
		{
			assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			assert_true(strlen(f.error.message) > 0);
		}
		done(&f, &r);
		if (through)
		{
			assert_true(at > 15);
			break;
		}
	}
	Fixture f;
	Fitted r;
	_Atomic int stop = 1;
	mixed_table(&f);
	f.env.stop = &stop;
	PgmlRecipeSpec spec = { .rows = f.rows, .n = 60 };
	assert_int_equal(fit_spec(&f, &spec, &r), PGML_ERR_CANCELLED);
	pgml_buf_free(&r.bytes);
	f.env.stop = NULL;
	fit(&f, &r);
	f.env.stop = &stop;
	PgmlMatrix m;
	assert_int_equal(pgml_recipe_apply_table(&f.env, &r.recipe, &f.table, f.arena, &m),
					 PGML_ERR_CANCELLED);
	done(&f, &r);
}

/* Follow a recipe with values of all kinds: nothing may crash, features stay in their range. */
static void
exercise(const PgmlRecipe *r)
{
	const PgmlValue values[] = { text("a"),
								 text("2024-05-02"),
								 text("3"),
								 null_value,
								 num(PGML_KIND_NUMBER, 5),
								 num(PGML_KIND_TIMESTAMP, 1e9),
								 num(PGML_KIND_BOOL, 1) };
	float *out = malloc(((size_t) r->n_features + 1) * sizeof(float));
	char words[100];
	PgmlError err;

	for (int32_t i = 0; i < r->n_inputs; i++)
	{
		PgmlInput in = pgml_recipe_input(r, i);
		pgml_recipe_describe(r, i, words, sizeof(words));
		assert_true(strlen(in.name) + strlen(in.type_name) < 1000000);
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++)
		{
			if (pgml_recipe_apply_value(r, i, &values[k], out, &err) != PGML_OK)
				continue;
			for (int32_t j = in.first_feature; j < in.first_feature + in.n_features; j++)
			{
				PgmlFeature feature = pgml_recipe_feature(r, j);
				assert_false(isinf(out[j]));
				if (feature.categorical && !isnan(out[j]))
					assert_true(out[j] >= 0 && out[j] < (float) feature.n_levels);
			}
		}
	}
	free(out);
}

static void
refuses_damaged_bytes(void **state)
{
	Fixture f;
	Fitted r;
	PgmlRecipe view;
	PgmlRng rng;
	int accepted = 0;

	(void) state;
	mixed_table(&f);
	fit(&f, &r);
	exercise(&r.recipe);
	for (size_t len = 0; len < r.bytes.len; len++)
	{
		/* Exact copies, so that the sanitizer sees any look beyond the end. */
		uint8_t *copy = malloc(len == 0 ? 1 : len);
		memcpy(copy, r.bytes.data, len);
		assert_int_equal(pgml_recipe_open(copy, len, &view, &f.error), PGML_ERR_CORRUPT);
		free(copy);
	}
	pgml_rng_init(&rng, 5, 1);
	uint8_t *copy = malloc(r.bytes.len);
	for (int i = 0; i < 20000; i++)
	{
		memcpy(copy, r.bytes.data, r.bytes.len);
		for (int k = 0; k <= i % 3; k++)
			copy[pgml_rng_below(&rng, r.bytes.len)] = (uint8_t) pgml_rng_next(&rng);
		if (pgml_recipe_open(copy, r.bytes.len, &view, &f.error) == PGML_OK)
		{
			accepted++;
			exercise(&view);
		}
		else
			assert_true(strlen(f.error.message) > 0);
	}
	assert_true(accepted > 0);
	memcpy(copy, r.bytes.data, r.bytes.len);
	copy[4] = 2;
	assert_int_equal(pgml_recipe_open(copy, r.bytes.len, &view, &f.error), PGML_ERR_CORRUPT);
	assert_string_equal(f.error.message, "unknown version 2 of the recipe");
	free(copy);
	done(&f, &r);
}

/* The recipe may be appended behind other bytes. */
static void
appends_to_a_buffer(void **state)
{
	Fixture f;
	PgmlBuf buf;
	PgmlRecipe view;

	(void) state;
	mixed_table(&f);
	pgml_buf_init(&buf, &f.budget);
	pgml_buf_put(&buf, "xyz", 3);
	PgmlRecipeSpec spec = { .rows = f.rows, .n = 60 };
	assert_int_equal(pgml_recipe_fit(&f.env, &f.table, &spec, &buf), PGML_OK);
	assert_int_equal(pgml_recipe_open(buf.data + 3, buf.len - 3, &view, &f.error), PGML_OK);
	assert_string_equal(pgml_recipe_input(&view, 1).name, "days");
	assert_string_equal(pgml_recipe_input(&view, 3).type_name, "number");
	pgml_buf_free(&buf);
	fixture_done(&f);
}

int
test_recipe(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(treats_text_by_what_it_reads_as),
										cmocka_unit_test(needs_nearly_all_to_be_numbers),
										cmocka_unit_test(drops_what_says_nothing),
										cmocka_unit_test(finds_identifiers_and_free_text),
										cmocka_unit_test(pools_very_many_levels),
										cmocka_unit_test(honours_the_cap_of_levels),
										cmocka_unit_test(keeps_large_numbers_apart),
										cmocka_unit_test(clips_infinities_and_huge_numbers),
										cmocka_unit_test(samples_very_many_rows),
										cmocka_unit_test(reads_single_precision),
										cmocka_unit_test(looks_alike_in_both_precisions),
										cmocka_unit_test(fits_columns_side_by_side),
										cmocka_unit_test(counts_integers),
										cmocka_unit_test(takes_dates_apart),
										cmocka_unit_test(coerces_or_names_the_column),
										cmocka_unit_test(applies_tables_as_values),
										cmocka_unit_test(applies_tables_of_other_kinds),
										cmocka_unit_test(fits_training_rows_only),
										cmocka_unit_test(explains_why_nothing_is_usable),
										cmocka_unit_test(handles_strange_strings),
										cmocka_unit_test(fails_cleanly),
										cmocka_unit_test(refuses_damaged_bytes),
										cmocka_unit_test(appends_to_a_buffer) };

	return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
