/* Tests of learner/registry: learners and settings by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "learner/learner.h"

extern int test_params(void);

/* A learner that only has settings. */
static const PgmlParam toy_params[] = {
	{ "num_leaves", "max_leaves leaves", PGML_PARAM_INT, 2, 1000, 31, true, "Leaves.", NULL },
	{ "learning_rate", "eta shrinkage", PGML_PARAM_REAL, 0.001, 1, 0.1, true, "Rate.", NULL },
	{ "extra_trees", NULL, PGML_PARAM_BOOL, 0, 1, 0, false, "Extra.", NULL },
	{ "criterion", "measure", PGML_PARAM_CHOICE, 0, 2, 1, false, "Measure.", "gini entropy mse" },
	{ "max_features", NULL, PGML_PARAM_REAL, 0.01, 1, PGML_WORD(0), false, "Share.", "sqrt log2" },
};
static const PgmlLearner toy = { .name = "toy", .params = toy_params, .n_params = 5 };
static const PgmlLearner plain = { .name = "plain" };

static void
learners_are_found_by_name(void **state)
{
	int n;
	const PgmlLearner *const *all = pgml_learners(&n);

	(void) state;
	assert_true(n >= 3);
	assert_string_equal(all[0]->name, "constant");
	for (int i = 0; i < n; i++)
		assert_ptr_equal(pgml_learner_find(all[i]->name), all[i]);
	assert_null(pgml_learner_find("no such learner"));
	assert_null(pgml_learner_find(""));
	assert_null(pgml_learner_find(NULL));
}

/* Words that a setting may be set to. */
static int
n_words(const PgmlParam *param)
{
	size_t len;
	int n = 0;

	while (pgml_param_word(param, param->type == PGML_PARAM_CHOICE ? n : PGML_WORD(n), &len))
		n++;
	return n;
}

/* Set a setting to its default as a user would: by its number or its word. */
static PgmlStatus
set_to_default(const PgmlLearner *learner, PgmlParams *params, const PgmlParam *param)
{
	char text[60];
	size_t len;
	const char *word = pgml_param_word(param, param->def, &len);

	if (word == NULL)
		return pgml_params_set(learner, params, param->name, param->def, NULL);
	snprintf(text, sizeof(text), "%.*s", (int) len, word);
	return pgml_params_set_text(learner, params, param->name, text, NULL);
}

/* What the documentation and the search rely on, for every learner. */
static void
registered_settings_are_consistent(void **state)
{
	int n;
	const PgmlLearner *const *all = pgml_learners(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		PgmlParams params;

		assert_non_null(all[i]->summary);
		assert_true(all[i]->n_params <= PGML_MAX_PARAMS);
		pgml_params_default(all[i], &params);
		for (int j = 0; j < all[i]->n_params; j++)
		{
			const PgmlParam *p = &all[i]->params[j];

			assert_non_null(p->summary);
			assert_true(params.v[j] == p->def && !params.given[j]);
			assert_int_equal(set_to_default(all[i], &params, p), PGML_OK);
			assert_true(params.v[j] == p->def && params.given[j]);
			assert_true(p->type == PGML_PARAM_REAL || p->def == floor(p->def));
			assert_true(p->type != PGML_PARAM_CHOICE || p->max == n_words(p) - 1);
			assert_true(p->min > PGML_WORD(0) || p->choices == NULL);
			for (int q = 0; q < j; q++)
				assert_string_not_equal(all[i]->params[q].name, p->name);
		}
	}
}

static void
settings_are_set_by_name_or_alias(void **state)
{
	PgmlParams params;

	(void) state;
	pgml_params_default(&toy, &params);
	assert_true(pgml_param(&toy, &params, "num_leaves") == 31);
	assert_int_equal(pgml_params_set(&toy, &params, "leaves", 7, NULL), PGML_OK);
	assert_int_equal(pgml_params_set(&toy, &params, "eta", 0.5, NULL), PGML_OK);
	assert_int_equal(pgml_params_set(&toy, &params, "extra_trees", 1, NULL), PGML_OK);
	assert_true(pgml_param(&toy, &params, "num_leaves") == 7);
	assert_true(pgml_param(&toy, &params, "max_leaves") == 7);
	assert_true(pgml_param(&toy, &params, "learning_rate") == 0.5);
	assert_true(params.given[0] && params.given[1] && params.given[2]);
	assert_true(isnan(pgml_param(&toy, &params, "nothing")));
}

static void
unknown_settings_are_named_with_the_nearest(void **state)
{
	PgmlParams params;
	PgmlError err = { 0 };

	(void) state;
	pgml_params_default(&toy, &params);
	assert_int_equal(pgml_params_set(&toy, &params, "num_leafs", 7, &err), PGML_ERR_BADARG);
	assert_string_equal(err.message, "learner \"toy\" has no setting named \"num_leafs\"");
	assert_string_equal(err.hint, "Did you mean \"num_leaves\"? Its settings are: num_leaves, "
								  "learning_rate, extra_trees, criterion, max_features.");
	assert_int_equal(pgml_params_set(&toy, &params, "Shrinkag", 1, &err), PGML_ERR_BADARG);
	assert_non_null(strstr(err.hint, "Did you mean \"learning_rate\"?"));
	assert_int_equal(pgml_params_set(&toy, &params, "zzz", 7, &err), PGML_ERR_BADARG);
	assert_string_equal(err.hint, "Its settings are: num_leaves, learning_rate, extra_trees, "
								  "criterion, max_features.");
	assert_int_equal(pgml_params_set(&toy, &params, "", 7, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&toy, &params, "leave max", 7, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&toy, &params, "max_leaves leaves", 7, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&plain, &params, "x", 7, &err), PGML_ERR_BADARG);
	assert_string_equal(err.hint, "It has no settings.");
	assert_false(params.given[0]);
}

static void
a_very_long_name_is_no_trouble(void **state)
{
	PgmlParams params;
	PgmlError err = { 0 };
	char name[2000];

	(void) state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	pgml_params_default(&toy, &params);
	assert_int_equal(pgml_params_set(&toy, &params, name, 7, &err), PGML_ERR_BADARG);
	assert_true(strlen(err.message) < sizeof(err.message));
}

static void
values_are_checked(void **state)
{
	PgmlParams params;
	PgmlError err = { 0 };

	(void) state;
	pgml_params_default(&toy, &params);
	assert_int_equal(pgml_params_set(&toy, &params, "num_leaves", 1, &err), PGML_ERR_BADARG);
	assert_string_equal(
		err.message, "setting \"num_leaves\" of learner \"toy\" must be between 2 and 1000, not 1");
	assert_int_equal(pgml_params_set(&toy, &params, "num_leaves", 7.5, &err), PGML_ERR_BADARG);
	assert_string_equal(
		err.message, "setting \"num_leaves\" of learner \"toy\" must be a whole number, not 7.5");
	assert_int_equal(pgml_params_set(&toy, &params, "extra_trees", 0.5, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&toy, &params, "eta", NAN, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&toy, &params, "eta", INFINITY, &err), PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set(&toy, &params, "eta", 1, &err), PGML_OK);
	assert_true(pgml_param(&toy, &params, "num_leaves") == 31 && !params.given[0]);
}

static void
words_are_set_by_name(void **state)
{
	PgmlParams params;
	PgmlError err = { 0 };
	size_t len;

	(void) state;
	pgml_params_default(&toy, &params);
	assert_memory_equal(pgml_param_word(&toy_params[3], params.v[3], &len), "entropy", 7);
	assert_int_equal(len, 7);
	assert_int_equal(pgml_params_set_text(&toy, &params, "measure", "mse", &err), PGML_OK);
	assert_true(pgml_param(&toy, &params, "criterion") == 2 && params.given[3]);
	assert_int_equal(pgml_params_set_text(&toy, &params, "max_features", "log2", &err), PGML_OK);
	assert_true(pgml_param(&toy, &params, "max_features") == PGML_WORD(1));
	assert_int_equal(pgml_params_set(&toy, &params, "max_features", 0.5, &err), PGML_OK);
	assert_true(pgml_param(&toy, &params, "max_features") == 0.5);
	assert_null(pgml_param_word(&toy_params[4], 0.5, &len));
	assert_null(pgml_param_word(&toy_params[3], 3, &len));
	assert_null(pgml_param_word(&toy_params[0], 31, &len));
	assert_true(pgml_param_value(&toy_params[3], "gini") == 0);
	assert_true(isnan(pgml_param_value(&toy_params[3], "gin")));
	assert_true(isnan(pgml_param_value(&toy_params[0], "31")));
	assert_true(pgml_param_value(&toy_params[2], "true") == 1);
	assert_true(pgml_param_value(&toy_params[2], "false") == 0);
	assert_true(isnan(pgml_param_value(&toy_params[0], "true")));
}

static void
wrong_words_are_told_with_the_right_ones(void **state)
{
	PgmlParams params;
	PgmlError err = { 0 };

	(void) state;
	pgml_params_default(&toy, &params);
	assert_int_equal(pgml_params_set_text(&toy, &params, "measure", "gin", &err), PGML_ERR_BADARG);
	assert_string_equal(err.message, "setting \"measure\" of learner \"toy\" cannot be \"gin\"");
	assert_string_equal(err.hint, "It is one of: gini, entropy, mse.");
	assert_int_equal(pgml_params_set(&toy, &params, "criterion", 1, &err), PGML_ERR_BADARG);
	assert_string_equal(err.message, "setting \"criterion\" of learner \"toy\" cannot be 1");
	assert_int_equal(pgml_params_set_text(&toy, &params, "max_features", "all", &err),
					 PGML_ERR_BADARG);
	assert_string_equal(err.hint, "It is a number between 0.01 and 1, or one of: sqrt, log2.");
	/* Words are not numbers in disguise. */
	assert_int_equal(pgml_params_set(&toy, &params, "max_features", PGML_WORD(0), &err),
					 PGML_ERR_BADARG);
	assert_int_equal(pgml_params_set_text(&toy, &params, "extra_trees", "yes", &err),
					 PGML_ERR_BADARG);
	assert_string_equal(err.hint, "It is true or false.");
	assert_int_equal(pgml_params_set_text(&toy, &params, "eta", "", &err), PGML_ERR_BADARG);
	assert_string_equal(err.message, "setting \"eta\" of learner \"toy\" cannot be \"\"");
	assert_string_equal(err.hint, "It is a number between 0.001 and 1.");
	assert_int_equal(pgml_params_set_text(&toy, &params, "criterium", "gini", &err),
					 PGML_ERR_BADARG);
	assert_non_null(strstr(err.hint, "Did you mean \"criterion\"?"));
	assert_false(params.given[3] || params.given[4]);
}

/* However many settings a learner has, the hint has room for all. */
static void
hints_name_all_settings(void **state)
{
	int n;
	const PgmlLearner *const *all = pgml_learners(&n);

	(void) state;
	for (int i = 0; i < n; i++)
	{
		PgmlParams params;
		PgmlError err;
		char last[100];

		if (all[i]->n_params == 0)
			continue;
		pgml_params_default(all[i], &params);
		assert_int_equal(pgml_params_set(all[i], &params, "perplexity", 1, &err), PGML_ERR_BADARG);
		snprintf(last, sizeof(last), ", %s.", all[i]->params[all[i]->n_params - 1].name);
		assert_non_null(strstr(err.hint, last));
	}
}

int
test_params(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hints_name_all_settings),
		cmocka_unit_test(learners_are_found_by_name),
		cmocka_unit_test(registered_settings_are_consistent),
		cmocka_unit_test(settings_are_set_by_name_or_alias),
		cmocka_unit_test(unknown_settings_are_named_with_the_nearest),
		cmocka_unit_test(a_very_long_name_is_no_trouble),
		cmocka_unit_test(values_are_checked),
		cmocka_unit_test(words_are_set_by_name),
		cmocka_unit_test(wrong_words_are_told_with_the_right_ones),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
