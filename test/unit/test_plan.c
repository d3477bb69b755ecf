/* Tests of search/plan: what a training would do, without doing it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "search/plan.h"
#include "unit.h"

static void
plan_people(Run *r, const People *p, PgmlPlan *plan)
{
	memset(plan, 0, sizeof(*plan));
	r->status = pgml_plan(&r->env, &p->f.table, &r->options, r->arena, &r->result, plan);
}

/* Step number n (from 0) of its kind; NULL: none. */
static const PgmlPlanStep *
find_step(const PgmlPlan *plan, const char *step, int n)
{
	for (int i = 0; i < plan->n_steps; i++)
		if (strcmp(plan->steps[i].step, step) == 0 && n-- == 0)
			return &plan->steps[i];
	return NULL;
}

/* Trials of one portfolio are those of the training that follows. */
static void
plans_are_kept_to(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (size_t k = 0; k < 3; k++)
	{
		People *p = people_new(300, tasks[k]);
		const PgmlPlanStep *total;
		PgmlPlan plan;
		Run planned, run;

		run_init(&planned);
		planned.options.max_trials = 5;
		plan_people(&planned, p, &plan);
		assert_int_equal(planned.status, PGML_OK);
		assert_null(planned.result.image.data);
		run_init(&run);
		run.options.max_trials = 5;
		run_train(&run, p);
		assert_int_equal(planned.result.rows_train, run.result.rows_train);
		assert_int_equal(planned.result.n_features, run.result.n_features);
		assert_int_equal(run.result.n_trials, 6);
		for (int i = 0; i < 5; i++)
		{
			const PgmlPlanStep *s = find_step(&plan, "trial", i);

			assert_non_null(s);
			assert_string_equal(s->what, run.result.trials[i + 1].learner->name);
			assert_true(s->bytes > 0);
		}
		assert_null(find_step(&plan, "trial", 5));
		assert_null(find_step(&plan, "search", 0));
		assert_string_equal(find_step(&plan, "left out", 0)->what, "id");
		total = find_step(&plan, "total", 0);
		assert_ptr_equal(total, &plan.steps[plan.n_steps - 1]);
		assert_true(total->bytes >= find_step(&plan, "trial", 0)->bytes);
		run_done(&planned);
		run_done(&run);
		people_free(p);
	}
}

/* History is tried where the plan says, before a portfolio and before a search. */
static void
history_is_planned(void **state)
{
	static const PgmlHyperparam leaves[] = { { "min_samples_leaf", 7, NULL } };
	static const char *const forests[] = { "extra_trees", "linear" };
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlWarmModel models[2] = { { .own_version = 4, .task = PGML_TASK_BINARY },
								{ .id = 12, .task = PGML_TASK_BINARY } };

	(void) state;
	for (int k = 0; k < 2; k++)
		models[k].setting[models[k].n_settings++] = (PgmlWarmSetting){ "extra_trees", leaves, 1 };
	for (int k = 0; k < 3; k++)
	{
		PgmlPlan plan;
		Run planned, run;
		int n = 0;

		run_init(&run);
		run.options.algorithms = forests;
		run.options.n_algorithms = 2;
		run.options.n_hyperparams = 1;
		run.options.max_trials = 4;
		run.options.search = k == 2 ? "random" : NULL;
		run.options.warm_model = &models[k == 1];
		run.options.n_warm_models = 1;
		run_init(&planned);
		planned.options = run.options;
		run_train(&run, p);
		models[1].meta = run.result.meta;
		plan_people(&planned, p, &plan);
		assert_int_equal(planned.status, PGML_OK);
		for (int i = 1; i < run.result.n_trials; i++)
		{
			const PgmlTrial *trial = &run.result.trials[i];
			const PgmlPlanStep *s = find_step(&plan, "trial", i - 1);

			if (trial->source == PGML_SOURCE_SEARCH)
			{
				assert_null(s);
				continue;
			}
			assert_non_null(s);
			assert_string_equal(s->what, trial->learner->name);
			n +=
				strncmp(s->detail,
						k == 1 ? "from a model of a similar table: " : "from version 4: ", 10) == 0;
			assert_true((strncmp(s->detail, "from ", 5) == 0) ==
						(trial->source != PGML_SOURCE_PORTFOLIO));
		}
		assert_int_equal(n, 1);
		assert_non_null(strstr(find_step(&plan, "trial", k == 1 ? 2 : 0)->detail,
							   k == 1 ? "similar table: n_estimators 15, min_samples_leaf 7" :
										"version 4: n_estimators 15, min_samples_leaf 7"));
		run_done(&planned);
		run_done(&run);
	}
	people_free(p);
}

/* With a time budget the steps add up to it. */
static void
times_add_up(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	double sum = 0;
	PgmlPlan plan;
	Run r;

	(void) state;
	run_init(&r);
	r.options.max_trials = 0;
	r.options.folds = 0;
	r.options.n_hyperparams = 0;
	r.options.time_budget = 600;
	plan_people(&r, p, &plan);
	assert_int_equal(r.status, PGML_OK);
	for (int i = 0; i < plan.n_steps - 1; i++)
		if (!isnan(plan.steps[i].seconds))
			sum += plan.steps[i].seconds;
	assert_true(fabs(sum - find_step(&plan, "total", 0)->seconds) < 1e-6);
	assert_true(sum > 590 && sum < 610);
	assert_non_null(find_step(&plan, "speed", 1));
	assert_string_equal(find_step(&plan, "search", 0)->what, "bayes");
	run_done(&r);
	people_free(p);
}

/* What memory does not allow is said. */
static void
memory_is_told(void **state)
{
	People *p = people_new(2000, PGML_TASK_BINARY);
	static const char *const forest[] = { "random_forest", "linear" };
	PgmlPlan plan;
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = forest;
	r.options.n_algorithms = 2;
	r.options.n_hyperparams = 1;
	r.budget.limit = 2200 * 1024;
	plan_people(&r, p, &plan);
	assert_int_equal(r.status, PGML_OK);
	assert_non_null(strstr(find_step(&plan, "total", 0)->detail, " MB of memory"));
	assert_string_equal(find_step(&plan, "not tried", 0)->detail,
						"it would need more memory than pgml_auto.max_memory allows");
	run_done(&r);
	people_free(p);
}

/* What stops a training stops its plan, with the same words. */
static void
errors_are_those_of_trainings(void **state)
{
	People *p = people_new(100, PGML_TASK_BINARY);
	PgmlPlan plan;
	Run planned, run;

	(void) state;
	run_init(&planned);
	planned.options.metric = "rmse";
	plan_people(&planned, p, &plan);
	run_init(&run);
	run.options.metric = "rmse";
	assert_int_equal(run_try(&run, p), planned.status);
	assert_int_equal(planned.status, PGML_ERR_BADARG);
	assert_string_equal(planned.error.message, run.error.message);
	run_done(&planned);
	run_done(&run);

	run_init(&planned);
	atomic_store(&planned.stop, 1);
	plan_people(&planned, p, &plan);
	assert_int_equal(planned.status, PGML_ERR_CANCELLED);
	run_done(&planned);
	people_free(p);
}

/* Mode fast lets few trials predict together, and the user fewer. */
static void
few_predict_in_mode_fast(void **state)
{
	static const struct
	{
		bool fast;
		int ensemble;
		const char *said;
	} cases[] = { { false, 0, "up to 24 trials" },
				  { true, 0, "up to 3 trials" },
				  { true, 2, "up to 2 trials" },
				  { true, 10, "up to 3 trials" },
				  { true, 1, "the best trial alone" } };
	People *p = people_new(300, PGML_TASK_BINARY);

	(void) state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		const PgmlPlanStep *s;
		PgmlPlan plan;
		Run r;

		run_init(&r);
		r.options.fast = cases[c].fast;
		r.options.ensemble = cases[c].ensemble;
		plan_people(&r, p, &plan);
		s = find_step(&plan, "ensemble", 0);
		assert_non_null(s);
		assert_non_null(strstr(s->detail, cases[c].said));
		run_done(&r);
	}
	people_free(p);
}

int
test_plan(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_are_kept_to),  cmocka_unit_test(few_predict_in_mode_fast),
		cmocka_unit_test(history_is_planned), cmocka_unit_test(times_add_up),
		cmocka_unit_test(memory_is_told),     cmocka_unit_test(errors_are_those_of_trainings),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
