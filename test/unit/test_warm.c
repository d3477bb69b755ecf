/*
 * Tests of trainings that begin with what others found: order, nothing twice, nothing that contradicts the user.
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

#define N(list) ((int) (sizeof(list) / sizeof((list)[0])))

/* Few rounds, but settings that differ. */
static const PgmlHyperparam few_rounds[] = { { "n_estimators", 8, NULL }, { "max_iter", 3, NULL } };

/* Settings of forests: the second of the portfolio, as another number of trees has made it; others; what the first is. */
static const PgmlHyperparam second[] = { { "criterion", 0, "entropy" },
										 { "max_features", 0.75, NULL },
										 { "n_estimators", 33, NULL } };
static const PgmlHyperparam other[] = { { "max_features", 0.6, NULL },
										{ "min_samples_leaf", 7, NULL } };
static const PgmlHyperparam nearly_other[] = { { "max_features", 0.4, NULL },
											   { "min_samples_leaf", 7, NULL } };
static const PgmlHyperparam unknown[] = { { "no_such_setting", 1, NULL } };
static const PgmlHyperparam impossible[] = { { "max_features", 17, NULL } };

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

static void
add_setting(PgmlWarmModel *model, const char *learner, const PgmlHyperparam *settings, int n)
{
	model->setting[model->n_settings++] = (PgmlWarmSetting){ learner, settings, n };
}

static void
init(Run *r, const PgmlWarmModel *models, int n)
{
	run_init(r);
	r->options.hyperparams = few_rounds;
	r->options.n_hyperparams = N(few_rounds);
	r->options.warm_model = models;
	r->options.n_warm_models = n;
}

static void
assert_trial(const Run *r, int i, const PgmlLearner *learner, PgmlTrialSource source)
{
	assert_true(i < r->result.n_trials);
	assert_string_equal(r->result.trials[i].learner->name, learner->name);
	assert_int_equal(r->result.trials[i].source, source);
}

static double
setting_of(const Run *r, int i, const char *name)
{
	return pgml_param(r->result.trials[i].learner, &r->result.trials[i].params, name);
}

static int
count_source(const Run *r, PgmlTrialSource source)
{
	int n = 0;

	for (int i = 0; i < r->result.n_trials; i++)
		n += r->result.trials[i].source == source;
	return n;
}

/* Its own history in its order, then the portfolio as always, but for what was tried. */
static void
own_history_comes_first(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel own = { .own_version = 3, .task = PGML_TASK_BINARY };
	Run r;

	(void) state;
	add_setting(&own, "extra_trees", other, N(other));
	add_setting(&own, "gradient_boosting", NULL, 0);
	add_setting(&own, "linear", NULL, 0);
	init(&r, &own, 1);
	r.options.max_trials = 6;
	run_train(&r, p);
	assert_trial(&r, 0, &pgml_learner_constant, PGML_SOURCE_PORTFOLIO);
	assert_trial(&r, 1, &pgml_learner_extra_trees, PGML_SOURCE_OWN);
	assert_trial(&r, 2, &pgml_learner_gradient_boosting, PGML_SOURCE_OWN);
	assert_trial(&r, 3, &pgml_learner_linear, PGML_SOURCE_OWN);
	assert_trial(&r, 4, &pgml_learner_gradient_boosting, PGML_SOURCE_PORTFOLIO);
	assert_trial(&r, 5, &pgml_learner_extra_trees, PGML_SOURCE_PORTFOLIO);
	assert_trial(&r, 6, &pgml_learner_oblivious_boosting, PGML_SOURCE_PORTFOLIO);
	assert_near(setting_of(&r, 1, "max_features"), 0.6, 0);
	assert_near(setting_of(&r, 1, "min_samples_leaf"), 7, 0);
	assert_true(has_notice(&r, "tried first: 3 settings of version 3", false));
	run_done(&r);
	people_free(p);
}

/* Settings of the portfolio are known as such, however many trees there were; others are tried beside it, but once. */
static void
nothing_is_tried_twice(void **state)
{
	static const char *const forests[] = { "extra_trees" };
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel own = { .own_version = 1, .task = PGML_TASK_BINARY };
	Run r;

	(void) state;
	add_setting(&own, "extra_trees", second, N(second));
	add_setting(&own, "extra_trees", second, N(second));
	add_setting(&own, "extra_trees", other, N(other));
	add_setting(&own, "extra_trees", other, N(other));
	add_setting(&own, "extra_trees", nearly_other, N(nearly_other));
	init(&r, &own, 1);
	r.options.algorithms = forests;
	r.options.n_algorithms = 1;
	r.options.n_hyperparams = 1;
	r.options.max_trials = 0;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 1 + 3 + 2);
	assert_int_equal(count_source(&r, PGML_SOURCE_OWN), 3);
	for (int i = 1; i < r.result.n_trials; i++)
		for (int j = 1; j < i; j++)
			assert_true(memcmp(r.result.trials[i].params.v, r.result.trials[j].params.v,
							   sizeof(r.result.trials[i].params.v)) != 0);
	run_done(&r);
	people_free(p);
}

/* What the user fixes is fixed, learners that are left out stay so, and what this version does not know is passed over. */
static void
the_user_decides(void **state)
{
	static const char *const forests[] = { "extra_trees" };
	static const PgmlHyperparam fixed[] = { { "n_estimators", 8, NULL },
											{ "max_features", 0.5, NULL } };
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel own = { .own_version = 1, .task = PGML_TASK_BINARY };
	Run r;

	(void) state;
	add_setting(&own, "svm", NULL, 0);
	add_setting(&own, "no_such_learner", NULL, 0);
	add_setting(&own, "extra_trees", unknown, 1);
	add_setting(&own, "extra_trees", impossible, 1);
	add_setting(&own, "extra_trees", other, N(other));
	add_setting(&own, "extra_trees", nearly_other, N(nearly_other));
	init(&r, &own, 1);
	r.options.algorithms = forests;
	r.options.n_algorithms = 1;
	r.options.hyperparams = fixed;
	r.options.n_hyperparams = N(fixed);
	r.options.max_trials = 0;
	run_train(&r, p);
	assert_int_equal(count_source(&r, PGML_SOURCE_OWN), 1);
	assert_trial(&r, 1, &pgml_learner_extra_trees, PGML_SOURCE_OWN);
	assert_near(setting_of(&r, 1, "min_samples_leaf"), 7, 0);
	for (int i = 1; i < r.result.n_trials; i++)
	{
		assert_near(setting_of(&r, i, "max_features"), 0.5, 0);
		assert_near(setting_of(&r, i, "n_estimators"), 8, 0);
	}
	run_done(&r);
	people_free(p);
}

/* max_trials counts them, too. */
static void
history_counts_as_trials(void **state)
{
	People *p = people_new(300, PGML_TASK_REGRESSION);
	PgmlWarmModel own = { .own_version = 1, .task = PGML_TASK_REGRESSION };
	Run r;

	(void) state;
	add_setting(&own, "extra_trees", other, N(other));
	add_setting(&own, "extra_trees", nearly_other, N(nearly_other));
	init(&r, &own, 1);
	r.options.max_trials = 1;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 2);
	assert_trial(&r, 1, &pgml_learner_extra_trees, PGML_SOURCE_OWN);
	run_done(&r);
	people_free(p);
}

/* Rounds and rate follow from the time there is now, unless a search chose the rate. */
static void
rounds_are_planned_anew(void **state)
{
	static const char *const boosting[] = { "gradient_boosting" };
	static const PgmlHyperparam hurried[] = {
		{ "learning_rate", 0.2, NULL },    { "n_estimators", 3000, NULL },
		{ "num_leaves", 12, NULL },        { "min_data_in_leaf", 5, NULL },
		{ "bagging_fraction", 0.9, NULL }, { "feature_fraction", 0.6, NULL },
		{ "lambda_l2", 1, NULL }
	};
	static const PgmlHyperparam searched[] = { { "learning_rate", 0.11, NULL },
											   { "n_estimators", 77, NULL },
											   { "num_leaves", 9, NULL },
											   { "min_data_in_leaf", 31, NULL },
											   { "lambda_l2", 3.7, NULL } };
	People *p = people_new(200, PGML_TASK_BINARY);
	PgmlWarmModel own = { .own_version = 1, .task = PGML_TASK_BINARY };
	Run r;

	(void) state;
	add_setting(&own, "gradient_boosting", hurried, N(hurried));
	add_setting(&own, "gradient_boosting", searched, N(searched));
	init(&r, &own, 1);
	r.options.algorithms = boosting;
	r.options.n_algorithms = 1;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_near(setting_of(&r, 1, "num_leaves"), 12, 0);
	assert_near(setting_of(&r, 1, "learning_rate"), 0.04, 0);
	assert_near(setting_of(&r, 1, "min_data_in_leaf"), 2, 0);
	assert_near(setting_of(&r, 2, "num_leaves"), 9, 0);
	assert_near(setting_of(&r, 2, "learning_rate"), 0.11, 0);
	assert_near(setting_of(&r, 2, "min_data_in_leaf"), 31, 0);
	assert_near(setting_of(&r, 2, "n_estimators"), 3000, 0);
	run_done(&r);
	people_free(p);
}

/* A search that the user asked for begins with what is in its space; a grid tries its points only. */
static void
a_search_has_its_space(void **state)
{
	static const char *const forests[] = { "extra_trees" };
	static const PgmlHyperparam values[] = { { "max_features", 0.5, NULL },
											 { "max_features", 0.6, NULL } };
	PgmlSearchSetting range = { .name = "max_features", .low = 0.5, .high = 0.7, .log = -1 };
	PgmlSearchSetting list = { .name = "max_features", .values = values, .n_values = 2 };
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel own = { .own_version = 1, .task = PGML_TASK_BINARY };

	(void) state;
	add_setting(&own, "extra_trees", nearly_other, N(nearly_other));
	add_setting(&own, "extra_trees", other, N(other));
	for (int k = 0; k < 3; k++)
	{
		Run r;

		init(&r, &own, 1);
		r.options.algorithms = forests;
		r.options.n_algorithms = 1;
		r.options.n_hyperparams = 1;
		r.options.search = k == 2 ? "grid" : "random";
		r.options.search_space = k == 0 ? &range : &list;
		r.options.n_search_space = 1;
		run_train(&r, p);
		assert_int_equal(count_source(&r, PGML_SOURCE_OWN), k < 2);
		if (k < 2)
			assert_near(setting_of(&r, 1, "max_features"), 0.6, 0);
		for (int i = 1; i < r.result.n_trials; i++)
			assert_true(r.result.trials[i].source != PGML_SOURCE_PORTFOLIO);
		run_done(&r);
	}
	people_free(p);
}

/* The nearest tables only, after one setting of each learner that differs, the best of each first. */
static void
similar_tables_come_after_learners_that_differ(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel models[4] = { { .id = 11, .task = PGML_TASK_BINARY },
								{ .id = 12, .task = PGML_TASK_BINARY },
								{ .id = 13, .task = PGML_TASK_MULTICLASS },
								{ .id = 14, .task = PGML_TASK_BINARY } };
	Run r;

	(void) state;
	init(&r, NULL, 0);
	run_train(&r, p);
	for (int i = 0; i < 4; i++)
		models[i].meta = r.result.meta;
	run_done(&r);
	models[0].meta.v[PGML_META_ROWS] *= 100;
	models[1].meta.v[PGML_META_ROWS] *= 1.5;
	models[3].meta.v[PGML_META_MISSING] = NAN;
	add_setting(&models[0], "random_forest", NULL, 0);
	add_setting(&models[1], "extra_trees", NULL, 0); /* the portfolio has had it by then */
	add_setting(&models[1], "extra_trees", other, N(other));
	add_setting(&models[2], "random_forest", NULL, 0);
	add_setting(&models[3], "random_forest", NULL, 0);
	init(&r, models, 4);
	r.options.max_trials = 7;
	run_train(&r, p);
	assert_trial(&r, 5, &pgml_learner_mlp, PGML_SOURCE_PORTFOLIO);
	assert_trial(&r, 6, &pgml_learner_extra_trees, PGML_SOURCE_SIMILAR);
	assert_int_equal(r.result.trials[6].source_model, 12);
	assert_near(setting_of(&r, 6, "max_features"), 0.6, 0);
	assert_trial(&r, 7, &pgml_learner_gradient_boosting, PGML_SOURCE_PORTFOLIO);
	assert_int_equal(r.result.trials[7].source_model, 0);
	assert_true(has_notice(&r, "tried early: 1 setting of models of similar tables", false));
	run_done(&r);
	people_free(p);
}

/* The same table is at distance 0, more of its rows are near, others further away. */
static void
tables_are_compared_by_what_they_are(void **state)
{
	static const struct
	{
		int64_t n;
		PgmlTask task;
	} cases[] = { { 300, PGML_TASK_BINARY },
				  { 900, PGML_TASK_BINARY },
				  { 300, PGML_TASK_REGRESSION } };
	PgmlMeta meta[3], lost;

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		People *p = people_new(cases[i].n, cases[i].task);
		Run r;

		init(&r, NULL, 0);
		r.options.max_trials = 1;
		run_train(&r, p);
		meta[i] = r.result.meta;
		run_done(&r);
		people_free(p);
	}
	assert_near(meta[0].v[PGML_META_ROWS], 300, 0);
	assert_near(meta[0].v[PGML_META_COLUMNS], 6, 0);
	assert_near(meta[0].v[PGML_META_NUMBERS], 0.5, 1e-12);
	assert_near(meta[0].v[PGML_META_CATEGORIES], 1.0 / 3, 1e-12);
	assert_near(meta[0].v[PGML_META_DATES], 1.0 / 6, 1e-12);
	assert_near(meta[0].v[PGML_META_CLASSES], 2, 0);
	assert_near(meta[2].v[PGML_META_BALANCE], 1, 0);
	assert_true(meta[0].v[PGML_META_BALANCE] > 0.5 && meta[0].v[PGML_META_BALANCE] <= 1);
	assert_true(fabs(meta[2].v[PGML_META_SKEW]) < 0.3);
	assert_near(pgml_meta_distance(&meta[0], &meta[0]), 0, 0);
	assert_near(pgml_meta_distance(&meta[0], &meta[1]), log10(3), 0.1);
	assert_near(pgml_meta_distance(&meta[0], &meta[2]), pgml_meta_distance(&meta[2], &meta[0]),
				1e-12);
	lost = meta[0];
	lost.v[PGML_META_LEVELS] = NAN;
	assert_true(isinf(pgml_meta_distance(&meta[0], &lost)));
}

int
test_warm(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_history_comes_first),
		cmocka_unit_test(nothing_is_tried_twice),
		cmocka_unit_test(the_user_decides),
		cmocka_unit_test(history_counts_as_trials),
		cmocka_unit_test(rounds_are_planned_anew),
		cmocka_unit_test(a_search_has_its_space),
		cmocka_unit_test(similar_tables_come_after_learners_that_differ),
		cmocka_unit_test(tables_are_compared_by_what_they_are),
	};

	return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
