#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "make_table.h"
#include "prep/target.h"

static PgmlStatus
read_target(Fixture *f, int task, const char *positive, PgmlTarget *t)
{
	return pgml_target_read(&f->env, &f->table, 0, task, positive, f->arena, t);
}

/* Read column 0, which must be refused with the message. */
static void
refuse(Fixture *f, int task, const char *positive, PgmlStatus status, const char *message)
{
	PgmlTarget t;

	assert_int_equal(read_target(f, task, positive, &t), status);
	assert_string_equal(f->error.message, message);
}

static void
expect(Fixture *f, int task, PgmlTask want, int n_classes, PgmlTarget *t)
{
	if (read_target(f, task, NULL, t) != PGML_OK)
		fail_msg("%s", f->error.message);
	assert_int_equal(t->task, want);
	assert_int_equal(t->n_classes, n_classes);
}

/* Fill a number column with i % m, and check the inferred task. */
static void
infer(int64_t nrows, int m, bool integer, double step, PgmlTask want)
{
	Fixture f;
	PgmlTarget t;

	fixture_init(&f, nrows);
	PgmlColumn *c = add_numbers(&f, "y", PGML_KIND_NUMBER);
	c->is_integer = integer;
	for (int64_t i = 0; i < nrows; i++)
		c->num[i] = (double) (i % m) * step;
	expect(&f, 0, want, want == PGML_TASK_REGRESSION ? 1 : m, &t);
	fixture_done(&f);
}

static void
infers_from_numbers(void **state)
{
	(void) state;
	infer(100, 2, true, 1, PGML_TASK_BINARY);
	infer(100, 2, true, 17, PGML_TASK_BINARY);
	infer(100, 2, false, 1, PGML_TASK_BINARY);
	infer(100, 2, false, 0.5, PGML_TASK_REGRESSION);
	infer(100, 5, true, 1, PGML_TASK_MULTICLASS);
	infer(100, 10, true, 1, PGML_TASK_MULTICLASS);
	infer(100, 11, true, 1, PGML_TASK_REGRESSION);
	infer(40, 10, true, 1, PGML_TASK_REGRESSION);
	infer(100, 5, false, 1, PGML_TASK_REGRESSION);
	infer(5000, 5000, true, 1, PGML_TASK_REGRESSION);
}

static void
labels_numbers_like_postgres(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 60);
	PgmlColumn *c = add_numbers(&f, "y", PGML_KIND_NUMBER);
	for (int i = 0; i < 60; i++)
		c->num[i] = i == 7 ? NAN : i % 3 == 0 ? -1 : i % 3 == 1 ? 2.5 : 10;
	expect(&f, -1, PGML_TASK_MULTICLASS, 3, &t);
	assert_string_equal(t.classes[0], "-1");
	assert_string_equal(t.classes[1], "10");
	assert_string_equal(t.classes[2], "2.5");
	assert_int_equal(t.n_missing, 1);
	assert_true(isnan(t.y[7]));
	assert_true(t.y[0] == 0 && t.y[1] == 2 && t.y[2] == 1);
	assert_null(t.notice);
	expect(&f, PGML_TASK_REGRESSION, PGML_TASK_REGRESSION, 1, &t);
	assert_true(t.y[1] == 2.5);
	refuse(&f, PGML_TASK_BINARY, NULL, PGML_ERR_DATA, "target column \"y\" has 3 classes, not two");
	fixture_done(&f);
}

static void
reads_booleans(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 4);
	PgmlColumn *c = add_numbers(&f, "y", PGML_KIND_BOOL);
	c->num[1] = 1;
	c->num[2] = NAN;
	expect(&f, 0, PGML_TASK_BINARY, 2, &t);
	assert_string_equal(t.classes[0], "false");
	assert_string_equal(t.classes[1], "true");
	assert_true(t.y[0] == 0 && t.y[1] == 1 && isnan(t.y[2]));
	assert_int_equal(read_target(&f, 0, "FALSE", &t), PGML_OK);
	assert_string_equal(t.classes[1], "false");
	assert_true(t.y[0] == 1 && t.y[1] == 0);
	expect(&f, PGML_TASK_MULTICLASS, PGML_TASK_BINARY, 2, &t);
	assert_string_equal(t.notice, "the target has two classes, so the task is binary");
	fixture_done(&f);
}

static void
merges_labels(void **state)
{
	static const char *const income[] = { " <=50K", " <=50K.", " >50K", " <=50K",
										  " >50K.", " <=50K",  "?",     " >50K" };
	static const char *const churn[] = { "Yes", "yes", "YES ", "Yes.", "no", "yEs", "No", "no" };
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 80);
	add_cycle(&f, "income", income, 8);
	expect(&f, 0, PGML_TASK_BINARY, 2, &t);
	assert_string_equal(t.classes[0], " <=50K");
	assert_string_equal(t.classes[1], " >50K");
	assert_int_equal(t.n_missing, 10);
	assert_true(t.y[0] == 0 && t.y[1] == 0 && t.y[4] == 1 && isnan(t.y[6]));
	assert_string_equal(t.notice,
						"labels \" <=50K\" and \" <=50K.\" were merged as \" <=50K\"; labels "
						"\" >50K\" and \" >50K.\" were merged as \" >50K\"");
	/* The positive class is found in any spelling. */
	assert_int_equal(read_target(&f, 0, "<=50k", &t), PGML_OK);
	assert_string_equal(t.classes[1], " <=50K");
	assert_true(t.y[0] == 1);
	fixture_done(&f);

	fixture_init(&f, 80);
	add_cycle(&f, "churn", churn, 8);
	expect(&f, 0, PGML_TASK_BINARY, 2, &t);
	assert_string_equal(t.classes[0], "YES ");
	assert_string_equal(t.classes[1], "no");
	assert_string_equal(t.notice,
						"labels \"Yes\", \"yes\", \"YES \", \"Yes.\" and 1 more were merged as "
						"\"YES \"; labels \"no\" and \"No\" were merged as \"no\"");
	refuse(&f, 0, "maybe", PGML_ERR_BADARG, "positive_class \"maybe\" is not a label of \"churn\"");
	assert_string_equal(f.error.hint, "The labels are \"YES \" and \"no\".");
	fixture_done(&f);
}

static void
reads_numbers_from_text(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 500);
	PgmlColumn *c = add_text(&f, "customers");
	for (int i = 0; i < 500; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "%d,%03d", i % 100 + 1, i);
		set_text(c, i, i % 5 == 0 ? "Unknown" : i == 1 || i == 2 ? "about 500" : buf);
	}
	expect(&f, 0, PGML_TASK_REGRESSION, 1, &t);
	assert_int_equal(t.n_missing, 102);
	assert_true(t.y[3] == 4003 && isnan(t.y[0]) && isnan(t.y[1]));
	assert_string_equal(t.notice,
						"2 target values are not numbers, such as \"about 500\", count as missing");
	fixture_done(&f);

	/* Few different numbers are codes; leading zeros too; words are no numbers. */
	static const char *const codes[] = { "1", "2", "3", "unknown" };
	fixture_init(&f, 100);
	add_cycle(&f, "code", codes, 4);
	expect(&f, 0, PGML_TASK_MULTICLASS, 4, &t);
	expect(&f, PGML_TASK_REGRESSION, PGML_TASK_REGRESSION, 1, &t);
	assert_int_equal(t.n_missing, 25);
	fixture_done(&f);

	fixture_init(&f, 100);
	c = add_text(&f, "zip");
	for (int i = 0; i < 100; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "%05d", i % 50);
		set_text(c, i, buf);
	}
	expect(&f, 0, PGML_TASK_MULTICLASS, 50, &t);
	fixture_done(&f);
}

static void
refuses_what_can_not_be_learned(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 0);
	add_numbers(&f, "y", PGML_KIND_NUMBER);
	refuse(&f, 0, NULL, PGML_ERR_DATA, "there are no rows to learn from");
	fixture_done(&f);

	fixture_init(&f, 3000);
	PgmlColumn *c = add_numbers(&f, "y", PGML_KIND_NUMBER);
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"y\" has the same value in every row, 0");
	refuse(&f, -1, NULL, PGML_ERR_DATA, "target column \"y\" has only one class, \"0\"");
	for (int i = 0; i < 3000; i++)
		c->num[i] = i == 0 ? INFINITY : i == 1 ? -INFINITY : i;
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"y\" has 2 infinite values");
	refuse(&f, -1, NULL, PGML_ERR_DATA, "target column \"y\" has 2 infinite values");
	assert_true(strlen(f.error.hint) > 0);
	c->num[0] = c->num[1] = NAN;
	refuse(&f, -1, NULL, PGML_ERR_DATA, "target column \"y\" has more than 1000 different classes");
	refuse(&f, 0, "1", PGML_ERR_BADARG,
		   "positive_class needs a target with two classes, not numbers");
	c->kind = PGML_KIND_DATE;
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"y\" is a date");
	assert_non_null(strstr(f.error.hint, "boolean, text or a number"));
	c->kind = PGML_KIND_INTERVAL;
	expect(&f, 0, PGML_TASK_REGRESSION, 1, &t);
	assert_int_equal(t.n_missing, 2);
	c->kind = PGML_KIND_NUMBER;
	for (int i = 0; i < 3000; i++)
		c->num[i] = NAN;
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"y\" has no value in any row");
	fixture_done(&f);

	fixture_init(&f, 3000);
	c = add_text(&f, "name");
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"name\" has no value in any row");
	for (int i = 0; i < 3000; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "person %d", i);
		set_text(c, i, buf);
	}
	refuse(&f, 0, NULL, PGML_ERR_DATA,
		   "target column \"name\" has more than 1000 different classes");
	refuse(&f, PGML_TASK_REGRESSION, NULL, PGML_ERR_DATA,
		   "target column \"name\" cannot be read as numbers: \"person 0\" is none");
	for (int i = 0; i < 3000; i++)
		set_text(c, i, i % 2 == 0 ? "yes" : "Yes.");
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"name\" has only one class, \"Yes.\"");
	static const char *const three[] = { "a", "b", "c" };
	for (int i = 0; i < 3000; i++)
		set_text(c, i, three[i % 3]);
	refuse(&f, 0, "a", PGML_ERR_BADARG, "positive_class needs a target with two classes, not 3");
	fixture_done(&f);
}

/* Labels that hardly repeat are identifiers or free text; a few rows cannot tell. */
static void
refuses_labels_that_hardly_repeat(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 300);
	PgmlColumn *c = add_text(&f, "y");
	PgmlColumn *x = add_numbers(&f, "x", PGML_KIND_NUMBER);
	for (int i = 0; i < 300; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "person %d", i / 2 * 2 + (i >= 200 ? i % 2 : 0));
		set_text(c, i, buf);
		x->num[i] = i * 0.25;
	}
	refuse(&f, 0, NULL, PGML_ERR_DATA, "target column \"y\" has 200 different labels in 300 rows");
	assert_non_null(strstr(f.error.hint, "identifier or free text"));
	assert_int_equal(pgml_target_read(&f.env, &f.table, 1, -1, NULL, f.arena, &t), PGML_ERR_DATA);
	assert_string_equal(f.error.message,
						"target column \"x\" has 300 different labels in 300 rows");
	f.table.nrows = 200;
	expect(&f, 0, PGML_TASK_MULTICLASS, 100, &t);
	fixture_done(&f);
	fixture_init(&f, 10);
	c = add_text(&f, "y");
	for (int i = 0; i < 10; i++)
		set_text(c, i, (const char *[]){ "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" }[i]);
	expect(&f, 0, PGML_TASK_MULTICLASS, 10, &t);
	fixture_done(&f);
}

/* Labels that are all numbers are the same when their values are; codes and mixed labels are not. */
static void
merges_numbers_by_value(void **state)
{
	static const char *const numbers[] = { "1", "1.0", "2", " 2.", "1", "-0", "0" };
	static const char *const codes[] = { "1", "01", "2", "02", "1", "2" };
	static const char *const mixed[] = { "1", "1.0", "a", "1", "a", "a" };
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 70);
	add_cycle(&f, "y", numbers, 7);
	expect(&f, 0, PGML_TASK_MULTICLASS, 3, &t);
	assert_string_equal(t.classes[2], "1");
	assert_non_null(strstr(t.notice, "labels \"1\" and \"1.0\" were merged as \"1\""));
	fixture_done(&f);
	fixture_init(&f, 60);
	add_cycle(&f, "y", codes, 6);
	expect(&f, 0, PGML_TASK_MULTICLASS, 4, &t);
	fixture_done(&f);
	fixture_init(&f, 60);
	add_cycle(&f, "y", mixed, 6);
	expect(&f, 0, PGML_TASK_MULTICLASS, 3, &t);
	fixture_done(&f);
}

static void
finds_labels_as_training_merges_them(void **state)
{
	static const char *const labels[] = { "Yes", "no", "1", "01" };

	(void) state;
	assert_int_equal(pgml_find_label(labels, 4, " YES."), 0);
	assert_int_equal(pgml_find_label(labels, 4, "no"), 1);
	assert_int_equal(pgml_find_label(labels, 4, "1.0"), 2);
	assert_int_equal(pgml_find_label(labels, 4, "01"), 3);
	assert_int_equal(pgml_find_label(labels, 4, "001"), -1);
	assert_int_equal(pgml_find_label(labels, 4, "maybe"), -1);
	assert_true(pgml_same_label("a.", "A "));
	assert_false(pgml_same_label("a", "b"));
}

/* Numbers as text with a decimal comma; and numbers whose squares are none. */
static void
reads_commas_and_refuses_giants(void **state)
{
	Fixture f;
	PgmlTarget t;

	(void) state;
	fixture_init(&f, 100);
	PgmlColumn *c = add_text(&f, "y");
	for (int i = 0; i < 100; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "%d,%02d", 1000 + i, i);
		set_text(c, i, buf);
	}
	expect(&f, 0, PGML_TASK_REGRESSION, 1, &t);
	assert_true(t.y[7] == 1007.07);
	fixture_done(&f);
	fixture_init(&f, 100);
	c = add_numbers(&f, "y", PGML_KIND_NUMBER);
	for (int i = 0; i < 100; i++)
		c->num[i] = i == 7 ? -1e151 : i * 0.5;
	refuse(&f, 0, NULL, PGML_ERR_DATA,
		   "target column \"y\" has 1 value beyond 1e150, too large to learn from");
	assert_non_null(strstr(f.error.hint, "logarithm"));
	fixture_done(&f);
}

/* A thousand classes are allowed, also with two rows each, and long or odd labels. */
static void
allows_many_and_odd_labels(void **state)
{
	Fixture f;
	PgmlTarget t;
	char *big = malloc(5001);

	(void) state;
	fixture_init(&f, 2000);
	PgmlColumn *c = add_text(&f, "y");
	for (int i = 0; i < 2000; i++)
	{
		char buf[32];
		snprintf(buf, sizeof(buf), "class %03d", (i * 7) % 1000);
		set_text(c, i, buf);
	}
	expect(&f, 0, PGML_TASK_MULTICLASS, 1000, &t);
	for (int i = 0; i < 1000; i++)
	{
		assert_true(t.y[i] == (i * 7) % 1000);
		assert_true(i == 0 || strcmp(t.classes[i - 1], t.classes[i]) < 0);
	}
	fixture_done(&f);

	memset(big, 'x', 5000);
	big[5000] = '\0';
	fixture_init(&f, 40);
	c = add_text(&f, "y");
	for (int i = 0; i < 40; i++)
		set_text(c, i,
				 i % 4 == 0 ? big :
				 i % 4 == 1 ? "\xc3\xa9t\xc3\xa9." :
				 i % 4 == 2 ? "..." :
							  "none");
	expect(&f, 0, PGML_TASK_MULTICLASS, 4, &t);
	fixture_done(&f);
	free(big);
}

static void
fails_cleanly(void **state)
{
	static const char *const labels[] = { "a", "A", "b", "b." };

	(void) state;
	for (int kind = 0; kind < 2; kind++)
	{
		for (int at = 1;; at++)
		{
			Fixture f;
			PgmlTarget t;
			fixture_init(&f, 40);
			if (kind == 0)
				add_cycle(&f, "y", labels, 4);
			else
			{
				PgmlColumn *c = add_numbers(&f, "y", PGML_KIND_NUMBER);
				for (int i = 0; i < 40; i++)
					c->num[i] = i % 2;
			}
			f.budget.fail_at = at;
			PgmlStatus status = read_target(&f, 0, NULL, &t);
			bool through = status == PGML_OK;
			if (!through)
				assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			fixture_done(&f);
			if (through)
			{
				assert_true(at > 3);
				break;
			}
		}
	}
	Fixture f;
	PgmlTarget t;
	_Atomic int stop = 1;
	fixture_init(&f, 40);
	add_cycle(&f, "y", labels, 4);
	f.env.stop = &stop;
	assert_int_equal(read_target(&f, 0, NULL, &t), PGML_ERR_CANCELLED);
	fixture_done(&f);
}

int
test_target(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(infers_from_numbers),
										cmocka_unit_test(labels_numbers_like_postgres),
										cmocka_unit_test(reads_booleans),
										cmocka_unit_test(merges_labels),
										cmocka_unit_test(reads_numbers_from_text),
										cmocka_unit_test(refuses_what_can_not_be_learned),
										cmocka_unit_test(refuses_labels_that_hardly_repeat),
										cmocka_unit_test(merges_numbers_by_value),
										cmocka_unit_test(finds_labels_as_training_merges_them),
										cmocka_unit_test(reads_commas_and_refuses_giants),
										cmocka_unit_test(allows_many_and_odd_labels),
										cmocka_unit_test(fails_cleanly) };

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
