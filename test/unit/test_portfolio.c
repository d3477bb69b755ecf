/*
 * Tests of the portfolio: which learners are tried in which order, what predicts together, and how long that may take.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "unit.h"

/* Settings that make all learners fast. */
static const PgmlHyperparam all_quick[] = { { "n_estimators", 15, NULL },
											{ "num_leaves", 6, NULL },
											{ "max_iter", 5, NULL } };

static void
run_init_quick(Run *r)
{
	run_init(r);
	r->options.hyperparams = all_quick;
	r->options.n_hyperparams = sizeof(all_quick) / sizeof(all_quick[0]);
}

static void
assert_learner(const Run *r, int trial, const PgmlLearner *learner)
{
	assert_true(trial < r->result.n_trials);
	assert_string_equal(r->result.trials[trial].learner->name, learner->name);
}

/* One setting of each kind of model, before any second one. */
static void
learners_that_differ_come_first(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init_quick(&r);
	r.options.max_trials = 5;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 6);
	assert_learner(&r, 0, &pgml_learner_constant);
	assert_learner(&r, 1, &pgml_learner_linear);
	assert_learner(&r, 2, &pgml_learner_gradient_boosting);
	assert_learner(&r, 3, &pgml_learner_extra_trees);
	assert_learner(&r, 4, &pgml_learner_oblivious_boosting);
	assert_learner(&r, 5, &pgml_learner_mlp);
	for (int i = 0; i < r.result.n_trials; i++)
		assert_int_equal(r.result.trials[i].status, PGML_TRIAL_OK);
	run_done(&r);
	people_free(p);
}

/* All settings of the learners that are named, and the defaults of one that has no portfolio; nothing else. */
static void
named_learners_only(void **state)
{
	static const char *const names[] = { "naive_bayes", "random_forest" };
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init_quick(&r);
	r.options.algorithms = names;
	r.options.n_algorithms = 2;
	r.options.n_hyperparams = 1; /* the number of trees */
	r.options.max_trials = 0;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 4);
	assert_learner(&r, 1, &pgml_learner_random_forest);
	assert_learner(&r, 2, &pgml_learner_random_forest);
	assert_learner(&r, 3, &pgml_learner_naive_bayes);
	assert_true(
		memcmp(&r.result.trials[1].params, &r.result.trials[2].params, sizeof(PgmlParams)) != 0);
	run_done(&r);
	people_free(p);
}

static int
count_chosen(const Run *r)
{
	int n = 0;

	for (int i = 0; i < r->result.n_trials; i++)
		n += r->result.trials[i].chosen;
	return n;
}

/* With one part held out models of several learners predict together, too, each fitted again on all rows. */
static void
one_part_makes_an_ensemble(void **state)
{
	People *p = people_new(500, PGML_TASK_REGRESSION);
	PgmlImage image;
	Run r;

	(void) state;
	run_init_quick(&r);
	r.options.max_trials = 4;
	r.options.folds = 1;
	run_train(&r, p);
	image = run_image(&r);
	assert_true(count_chosen(&r) > 1);
	assert_int_equal(image.n_members, count_chosen(&r));
	assert_string_equal(r.result.algorithm, "ensemble");
	run_done(&r);
	people_free(p);
}

/* Mode fast: at most three models, one of each trial, though folds validated. */
static void
fast_models_are_few(void **state)
{
	People *p = people_new(500, PGML_TASK_MULTICLASS);
	Run best, fast, threads;

	(void) state;
	run_init_quick(&best);
	best.options.max_trials = 5;
	run_train(&best, p);
	run_init_quick(&fast);
	fast.options.max_trials = 5;
	fast.options.fast = true;
	run_train(&fast, p);
	assert_int_equal(run_image(&fast).n_members, count_chosen(&fast));
	assert_true(count_chosen(&fast) <= 3);
	assert_true(run_image(&fast).n_members < run_image(&best).n_members);
	run_init_quick(&threads);
	threads.options.max_trials = 5;
	threads.options.fast = true;
	threads.env.pool = pgml_pool_create(2);
	run_train(&threads, p);
	assert_same_image(&fast, &threads);
	pgml_pool_destroy(threads.env.pool);
	run_done(&best);
	run_done(&fast);
	run_done(&threads);
	people_free(p);
}

/* Less time for predictions means fewer members, down to a part of the quickest model, but always one. */
static void
predictions_may_not_take_longer(void **state)
{
	static const double us[] = { 1e6, 1, 1e-6 };
	People *p = people_new(400, PGML_TASK_BINARY);
	int members[3];

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		Run r;

		run_init_quick(&r);
		r.options.max_trials = 5;
		r.options.folds = 4;
		r.options.max_predict_us = us[i];
		run_train(&r, p);
		members[i] = run_image(&r).n_members;
		run_done(&r);
	}
	assert_true(members[0] >= members[1]);
	assert_true(members[1] > members[2]);
	assert_int_equal(members[2], 1);
	people_free(p);
}

int
test_portfolio(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learners_that_differ_come_first), cmocka_unit_test(named_learners_only),
		cmocka_unit_test(one_part_makes_an_ensemble),      cmocka_unit_test(fast_models_are_few),
		cmocka_unit_test(predictions_may_not_take_longer),
	};

	return cmocka_run_group_tests_name("portfolio", tests, NULL, NULL);
}
