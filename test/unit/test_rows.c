/*
 * Tests of which rows train, validate and test in a whole training, and of what is said about it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "data/date.h"
#include "people.h"
#include "unit.h"

/* A row becomes a copy of another, its target and identity too. */
static void
copy_row(People *p, int64_t to, int64_t from)
{
	for (int col = 0; col < p->f.table.ncols; col++)
	{
		PgmlColumn *c = &p->f.cols[col];

		if (c->kind == PGML_KIND_TEXT)
			c->code[to] = c->code[from];
		else
			c->num[to] = c->num[from];
	}
	p->f.table.row_hash[to] = p->f.table.row_hash[from];
}

static void
put_shop(People *p, int64_t row, int number)
{
	char shop[20];

	snprintf(shop, sizeof(shop), "shop %d", number);
	set_text(&p->f.cols[COL_SHOP], row, shop);
}

/* Rows that validated one part, by the last trial. */
static int64_t
validated(const Run *r)
{
	return r->result.rows_train - r->result.trials[r->result.n_trials - 1].rows;
}

/* ---- validation ---- */

/* Four copies of pure noise: where copies validate, a model that remembers rows looks splendid. */
static void
copies_validate_together(void **state)
{
	static const PgmlHyperparam deep[] = { { "n_estimators", 60, NULL },
										   { "num_leaves", 60, NULL },
										   { "min_data_in_leaf", 1, NULL },
										   { "learning_rate", 0.3, NULL } };
	static const char *const boosting[] = { "gradient_boosting" };

	(void) state;
	for (int folds = 1; folds <= 3; folds += 2)
	{
		People *p = people_new(480, PGML_TASK_REGRESSION);
		Run r;

		for (int64_t i = 0; i < 480; i++)
			p->f.cols[COL_Y].num[i] = p->f.cols[COL_NOISE].num[(i * 7) % 120];
		for (int64_t i = 120; i < 480; i++)
			copy_row(p, i, i % 120);
		run_init(&r);
		r.options.folds = folds;
		r.options.hyperparams = deep;
		r.options.n_hyperparams = 4;
		r.options.algorithms = boosting;
		r.options.n_algorithms = 1;
		run_train(&r, p);
		assert_true(r.result.trials[1].validation_score > 0.7);
		assert_true(validated(&r) % 4 == 0 || folds > 1);
		run_done(&r);
		people_free(p);
	}
}

/* The largest group does not validate alone when others make a part of the size wanted. */
static void
part_of_the_wanted_size(void **state)
{
	People *p = people_new(600, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 600; i++)
		put_shop(p, i, i % 10 < 5 ? 0 : (int) (1 + i % 40));
	run_init(&r);
	r.options.folds = 1;
	r.options.group_column = "shop";
	run_train(&r, p);
	assert_in_range(validated(&r), r.result.rows_train / 20, r.result.rows_train / 3);
	run_done(&r);
	people_free(p);
}

/* Cross-validation would learn from the future: one part validates, the newest, and rows of one time stay together. */
static void
time_validates_on_the_newest(void **state)
{
	People *p = people_new(500, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 500; i++)
		p->f.cols[COL_JOINED].num[i] = 86400.0 * (double) (i % 10);
	run_init(&r);
	r.options.folds = 3;
	r.options.time_column = "joined";
	run_train(&r, p);
	assert_int_equal(r.result.rows_test, 100);
	assert_int_equal(r.result.trials[1].folds, 1);
	assert_int_equal(validated(&r), 100); /* the two newest of eight days */
	assert_true(has_notice(&r, "one part validates, the newest training rows, not 3 folds", false));
	run_done(&r);
	/* A single moment in training: rows of it validate. */
	for (int64_t i = 0; i < 500; i++)
		p->f.cols[COL_JOINED].num[i] = 86400.0 * (double) (i % 5 == 0);
	run_init(&r);
	r.options.time_column = "joined";
	run_train(&r, p);
	assert_true(has_notice(&r, "all training rows are of one time", false));
	assert_int_equal(validated(&r), 80);
	run_done(&r);
	people_free(p);
}

/* ---- test rows ---- */

static void
time_and_group_together(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.time_column = "joined";
	r.options.group_column = "shop";
	run_train(&r, p);
	assert_int_equal(r.split.method, PGML_SPLIT_TIME);
	assert_true(has_notice(&r, "rows of one \"shop\" may both train and test", false));
	run_done(&r);
	people_free(p);
}

/* "13/01/2023" is a date, once more than one order of day and month has been tried. */
static void
time_as_text(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlColumn *c = &p->f.cols[COL_SHOP];
	Run r;

	(void) state;
	for (int64_t i = 0; i < 300; i++)
	{
		char text[20];

		snprintf(text, sizeof(text), "%02d/%02d/2023", (int) (1 + i % 28), (int) (1 + i % 12));
		set_text(c, i, text);
	}
	run_init(&r);
	r.options.time_column = "shop";
	run_train(&r, p);
	/* December and November, whatever the day. */
	assert_true(r.split.windows[0].upto == 86400.0 * (double) pgml_days(2023, 12, 28));
	assert_in_range(r.result.rows_test, 60, 75);
	run_done(&r);
	people_free(p);
}

/* An older table than an earlier version's: nothing can be held out, and that is said. */
static void
nothing_newer(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run first, next;

	(void) state;
	for (int64_t i = 0; i < 400; i++)
		p->f.cols[COL_JOINED].num[i] = 86400.0 * (double) i;
	run_init(&first);
	first.options.time_column = "joined";
	run_train(&first, p);
	p->f.table.nrows = 300;
	run_init_next(&next, &first);
	next.options.time_column = "joined";
	run_train(&next, p);
	assert_int_equal(next.result.rows_test, 0);
	assert_true(next.result.score_is_validation);
	assert_int_equal(next.split.n_windows, 1);
	assert_true(has_notice(
		&next, "none is newer than what an earlier version may have learned from", false));
	run_done(&next);
	run_done(&first);
	people_free(p);
}

static void
unusual_shares_are_told(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	assert_false(has_notice(&r, "of the rows test", false));
	assert_false(has_notice(&r, "unreliable", false));
	run_done(&r);
	for (int64_t i = 0; i < 400; i++)
		put_shop(p, i, (int) (i % 2));
	run_init(&r);
	r.options.group_column = "shop";
	run_train(&r, p);
	assert_int_equal(r.result.rows_test, 200);
	assert_true(has_notice(
		&r, "50 % of the rows test, not the 20 % asked for: rows of one group stay", false));
	assert_true(has_notice(&r, "only 1 group tests", false));
	run_done(&r);
	people_free(p);
	p = people_new(50, PGML_TASK_BINARY);
	run_init(&r);
	run_train(&r, p);
	assert_true(has_notice(&r, "rows to train on: the score is unreliable", false));
	run_done(&r);
	people_free(p);
}

/* ---- the training rows' target ---- */

/* All older rows are alike: an error, not a model that was chosen by a metric without a value. */
static void
refuses_one_class_to_train_on(void **state)
{
	People *p = people_new(200, PGML_TASK_BINARY);
	People *q = people_new(200, PGML_TASK_REGRESSION);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 200; i++)
	{
		bool late = p->f.cols[COL_JOINED].num[i] > 86400.0 * 13700;

		set_text(&p->f.cols[COL_Y], i, late && i % 2 ? "yes" : "no");
		q->f.cols[COL_Y].num[i] = late ? (double) i : 7.5;
	}
	run_init(&r);
	r.options.time_column = "joined";
	r.options.test_size = r.split.test_size = 0.3;
	assert_int_equal(run_try(&r, p), PGML_ERR_DATA);
	assert_string_equal(r.error.message,
						"target column \"y\" has only one class in the training rows, \"no\"");
	assert_non_null(strstr(r.error.hint, "no time_column"));
	run_done(&r);
	run_init(&r);
	r.options.time_column = "joined";
	r.options.test_size = r.split.test_size = 0.3;
	assert_int_equal(run_try(&r, q), PGML_ERR_DATA);
	assert_string_equal(r.error.message, "target column \"y\" is 7.5 in all training rows");
	run_done(&r);
	people_free(p);
	people_free(q);
}

/* ---- columns ---- */

/* The trend of a series is no leak of its time, and a running number that is the time is no identifier. */
static void
time_is_a_feature(void **state)
{
	People *p = people_new(400, PGML_TASK_REGRESSION);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 400; i++)
	{
		p->f.cols[COL_NOISE].num[i] = (double) i;
		p->f.cols[COL_Y].num[i] = (double) i + 0.1 * (double) (i % 7);
	}
	run_init(&r);
	r.options.time_column = "noise";
	run_train(&r, p);
	assert_true(uses_column(&r, COL_NOISE));
	assert_int_equal(r.result.n_leaks, 0);
	assert_false(has_notice(&r, "leaks the target", false));
	run_done(&r);
	people_free(p);
}

/* The hint can be run as it stands, whatever the column is called. */
static void
hints_can_be_copied(void **state)
{
	static const char *const names[][2] = { { "noise", "'{noise}'" },
											{ "it's", "ARRAY['it''s']" },
											{ "a b", "ARRAY['a b']" },
											{ "{x},\"y\"", "ARRAY['{x},\"y\"']" },
											{ "Null", "ARRAY['Null']" },
											{ "gr\xC3\xB6\xC3\x9F"
											  "e",
											  "ARRAY['gr\xC3\xB6\xC3\x9F"
											  "e']" } };

	(void) state;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
	{
		People *p = people_new(400, PGML_TASK_REGRESSION);
		char hint[100];
		Run r;

		p->f.cols[COL_NOISE].name = names[k][0];
		for (int64_t i = 0; i < 400; i++)
			p->f.cols[COL_NOISE].num[i] = p->f.cols[COL_Y].num[i] * 2;
		run_init(&r);
		run_train(&r, p);
		snprintf(hint, sizeof(hint), "exclude => %s", names[k][1]);
		assert_true(has_notice(&r, hint, false));
		run_done(&r);
		people_free(p);
	}
}

/* Lists of columns are cut between characters, never inside one. */
static void
messages_are_valid_utf8(void **state)
{
	People *p = people_new(100, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int col = 0; col < COL_Y; col++)
		p->f.cols[col].name =
			"x\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"
			"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"
			"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"
			"\xC3\xA9";
	run_init(&r);
	r.options.group_column = "nowhere";
	assert_int_equal(run_try(&r, p), PGML_ERR_BADARG);
	assert_non_null(strstr(r.error.hint, "\xC3\xA9\", \"x"));
	assert_null(strstr(r.error.hint, "\xC3\""));
	run_done(&r);
	people_free(p);
}

/* ---- weights ---- */

/* The unit of weights does not matter, from the tiniest to the largest. */
static void
only_the_ratio_of_weights_counts(void **state)
{
	static const double units[] = { 1, 1.0 / 2048, 1e-300, 1e305 };

	(void) state;
	for (int task = 0; task < 2; task++)
	{
		Run r[4];

		for (int u = 0; u < 4; u++)
		{
			People *p = people_new(400, task ? PGML_TASK_BINARY : PGML_TASK_REGRESSION);

			for (int64_t i = 0; i < 400; i++)
				p->f.cols[COL_WEIGHT].num[i] *= units[u];
			run_init(&r[u]);
			r[u].options.weight_column = "weight";
			run_train(&r[u], p);
			assert_true(fabs(r[u].result.score.value - r[0].result.score.value) < 1e-6);
			people_free(p);
		}
		/* Powers of two change no bit. */
		assert_same_image(&r[0], &r[1]);
		for (int u = 0; u < 4; u++)
			run_done(&r[u]);
	}
}

/* Rows of weight 0 are as if they were not there. */
static void
rows_without_a_weight(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run r, without;

	(void) state;
	for (int64_t i = 0; i < 400; i++)
		p->f.cols[COL_WEIGHT].num[i] = i < 300 ? 2 : i % 2 ? 0 : NAN;
	run_init(&r);
	r.options.weight_column = "weight";
	run_train(&r, p);
	assert_int_equal(r.result.rows_train + r.result.rows_test, 300);
	assert_true(has_notice(&r, "100 rows with a weight of 0 were left out", false));
	p->f.table.nrows = 300;
	run_init(&without);
	without.options.weight_column = "weight";
	run_train(&without, p);
	assert_int_equal(without.result.rows_train, r.result.rows_train);
	assert_true(without.result.score.value == r.result.score.value);
	run_done(&r);
	run_done(&without);
	people_free(p);
}

int
test_rows(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_validate_together),
		cmocka_unit_test(part_of_the_wanted_size),
		cmocka_unit_test(time_validates_on_the_newest),
		cmocka_unit_test(time_and_group_together),
		cmocka_unit_test(time_as_text),
		cmocka_unit_test(nothing_newer),
		cmocka_unit_test(unusual_shares_are_told),
		cmocka_unit_test(refuses_one_class_to_train_on),
		cmocka_unit_test(time_is_a_feature),
		cmocka_unit_test(hints_can_be_copied),
		cmocka_unit_test(messages_are_valid_utf8),
		cmocka_unit_test(only_the_ratio_of_weights_counts),
		cmocka_unit_test(rows_without_a_weight),
	};

	return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
