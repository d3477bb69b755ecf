/*
 * Tests of scoring the deployed version (the champion) in the training of the next one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "unit.h"

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* Let the run score the other run's image. */
static void
challenge(Run *r, const Run *champion)
{
	r->options.champion = champion->result.image.data;
	r->options.champion_len = champion->result.image.len;
}

/* On the same rows the champion gets exactly the score that it got when it was trained. */
static void
same_image_same_score(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
		for (int grouped = 0; grouped < 2; grouped++)
		{
			People *p = people_new(400, tasks[k]);
			Run first, next;

			run_init(&first);
			first.options.group_column = grouped ? "shop" : NULL;
			run_train(&first, p);
			run_init_next(&next, &first);
			next.options.group_column = first.options.group_column;
			next.env.seed = 7;
			challenge(&next, &first);
			run_train(&next, p);
			assert_int_equal(next.result.rows_test, first.result.rows_test);
			assert_true(next.result.champion_scored);
			assert_string_equal(next.result.champion_error, "");
			assert_true(next.result.champion_score == first.result.score.value);
			assert_true(next.result.score.value != first.result.score.value);
			run_done(&first);
			run_done(&next);
			people_free(p);
		}
}

/* More rows have come: the champion is measured on the test rows of the new version. */
static void
scored_on_the_rows_of_today(void **state)
{
	People *before = people_new(300, PGML_TASK_BINARY);
	People *now = people_new(600, PGML_TASK_BINARY);
	Run first, next;

	(void) state;
	run_init(&first);
	run_train(&first, before);
	run_init_next(&next, &first);
	challenge(&next, &first);
	run_train(&next, now);
	assert_true(next.result.rows_test > first.result.rows_test);
	assert_true(next.result.champion_scored);
	assert_true(next.result.champion_score > next.result.baseline);
	assert_true(next.result.champion_score != first.result.score.value);
	run_done(&first);
	run_done(&next);
	people_free(before);
	people_free(now);
}

/* Columns are found by name: order does not matter, and one that was never used may be gone. */
static void
columns_are_found_by_name(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlColumn *c = p->f.cols;
	PgmlColumn swap;
	Run first, next;

	(void) state;
	run_init(&first);
	run_train(&first, p);
	swap = c[COL_AGE];
	c[COL_AGE] = c[COL_NOISE];
	c[COL_NOISE] = swap;
	c[COL_ID].name = "number";
	run_init_next(&next, &first);
	challenge(&next, &first);
	run_train(&next, p);
	assert_string_equal(next.result.champion_error, "");
	assert_true(next.result.champion_score == first.result.score.value);
	run_done(&first);
	run_done(&next);
	people_free(p);
}

/* Probabilities are of the class with the name, whichever is called positive. */
static void
classes_are_found_by_name(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run first, next;

	(void) state;
	run_init(&first);
	first.options.metric = "log_loss";
	first.options.positive_class = "no";
	run_train(&first, p);
	run_init_next(&next, &first);
	next.options.metric = "log_loss";
	next.options.positive_class = "yes";
	challenge(&next, &first);
	run_train(&next, p);
	assert_true(next.result.champion_scored);
	assert_true(fabs(next.result.champion_score - first.result.score.value) < 1e-9);
	run_done(&first);
	run_done(&next);
	people_free(p);
}

/* A table that spells its labels otherwise today has the same classes, and the same test rows. */
static void
classes_are_found_in_other_spellings(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	People *now = people_new(300, PGML_TASK_BINARY);
	Run first, next;

	(void) state;
	for (int64_t i = 0; i < 300; i++)
		set_text(&now->f.cols[COL_Y], i,
				 strcmp(pgml_table_value(&p->f.table, COL_Y, i).str, "yes") == 0 ? " YES" : "No.");
	run_init(&first);
	run_train(&first, p);
	run_init_next(&next, &first);
	challenge(&next, &first);
	run_train(&next, now);
	assert_string_equal(next.result.champion_error, "");
	assert_true(next.result.champion_scored);
	assert_int_equal(next.result.rows_test, first.result.rows_test);
	run_done(&first);
	run_done(&next);
	people_free(p);
	people_free(now);
}

/* A class that has come up since costs the champion its rows; it can be scored all the same. */
static void
new_class_can_be_scored(void **state)
{
	People *before = people_new(300, PGML_TASK_MULTICLASS);
	People *now = people_new(300, PGML_TASK_MULTICLASS);
	Run first, next;

	(void) state;
	for (int64_t i = 0; i < 300; i += 10)
		set_text(&now->f.cols[COL_Y], i, "zero");
	run_init(&first);
	first.options.metric = "accuracy";
	run_train(&first, before);
	run_init_next(&next, &first);
	next.options.metric = "accuracy";
	challenge(&next, &first);
	run_train(&next, now);
	assert_int_equal(next.result.n_classes, 4);
	assert_true(next.result.champion_scored);
	assert_true(next.result.champion_score < first.result.score.value);
	run_done(&first);
	run_done(&next);
	people_free(before);
	people_free(now);
}

/* Train `now` against a champion that cannot be scored: the reason is told, and a model comes out. */
static void
assert_reason(Run *next, const Run *first, const People *now, const char *reason)
{
	challenge(next, first);
	run_train(next, now);
	assert_false(next->result.champion_scored);
	assert_true(isnan(next->result.champion_score));
	if (strstr(next->result.champion_error, reason) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", next->result.champion_error, reason);
	run_done(next);
}

static void
reasons_why_not(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	People *numbers = people_new(300, PGML_TASK_REGRESSION);
	People *missing = people_new(300, PGML_TASK_BINARY);
	People *renamed = people_new(300, PGML_TASK_BINARY);
	Run first, next;

	(void) state;
	run_init(&first);
	run_train(&first, p);
	missing->f.cols[COL_CITY].name = "town";
	run_init_next(&next, &first);
	assert_reason(&next, &first, missing,
				  "it needs the column \"city\", which this data does not have");
	run_init(&next);
	assert_reason(&next, &first, numbers, "it solves another kind of task");
	for (int64_t i = 0; i < 300; i++)
		set_text(&renamed->f.cols[COL_Y], i, renamed->f.cols[COL_Y].code[i] == 0 ? "ja" : "nej");
	run_init(&next);
	assert_reason(&next, &first, renamed, "it predicts other classes");
	run_init(&next);
	next.split.test_size = 0;
	assert_reason(&next, &first, p, "there are no test rows");
	first.result.image.data[first.result.image.len / 2] ^= 1;
	run_init_next(&next, &first);
	assert_reason(&next, &first, p, "model image is damaged: its checksum is wrong");
	run_done(&first);
	people_free(p);
	people_free(numbers);
	people_free(missing);
	people_free(renamed);
}

/* A column that has become text without numbers cannot be bound. */
static void
value_that_cannot_be_read(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	People *words = people_new(300, PGML_TASK_BINARY);
	PgmlColumn *age = &words->f.cols[COL_AGE];
	Run first, next;

	(void) state;
	age->kind = PGML_KIND_TEXT;
	age->dict = pgml_dict_create(words->f.arena);
	age->code = pgml_array(words->f.arena, 300, sizeof(int32_t));
	for (int64_t i = 0; i < 300; i++)
		set_text(age, i, i % 2 ? "old" : "young");
	run_init(&first);
	run_train(&first, p);
	run_init_next(&next, &first);
	assert_reason(&next, &first, words, "column \"age\" needs a number");
	run_done(&first);
	people_free(p);
	people_free(words);
}

int
test_champion(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_image_same_score),
		cmocka_unit_test(scored_on_the_rows_of_today),
		cmocka_unit_test(columns_are_found_by_name),
		cmocka_unit_test(classes_are_found_by_name),
		cmocka_unit_test(classes_are_found_in_other_spellings),
		cmocka_unit_test(new_class_can_be_scored),
		cmocka_unit_test(reasons_why_not),
		cmocka_unit_test(value_that_cannot_be_read),
	};

	return cmocka_run_group_tests_name("champion", tests, NULL, NULL);
}
