/* Tests of search/tuning: a strategy decides what a training tries. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "search/training.h"
#include "search/tuning.h"
#include "unit.h"

static const char *const boosting[] = { "gradient_boosting" };
static const char *const svm[] = { "svm" };

/* A search for settings of one learner. */
static void
search_init(Run *r, const char *search, const char *const *algorithm, int max_trials)
{
	run_init(r);
	r->options.search = search;
	r->options.algorithms = algorithm;
	r->options.n_algorithms = 1;
	r->options.max_trials = max_trials;
	r->options.n_hyperparams = 1; /* the number of trees */
}

/* The same trials and bytes for any number of threads, with each strategy. */
static void
threads_do_not_matter(void **state)
{
	static const char *const searches[] = { "random", "bayes", "halving" };
	People *p = people_new(2000, PGML_TASK_BINARY);
	PgmlPool *pool = pgml_pool_create(3);

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		Run alone, many;

		search_init(&alone, searches[i], boosting, 8);
		search_init(&many, searches[i], boosting, 8);
		many.env.pool = pool;
		run_train(&alone, p);
		run_train(&many, p);
		assert_int_equal(alone.result.n_trials, many.result.n_trials);
		for (int k = 0; k < alone.result.n_trials; k++)
			assert_memory_equal(alone.result.trials[k].params.v, many.result.trials[k].params.v,
								sizeof(alone.result.trials[k].params.v));
		assert_same_image(&alone, &many);
		run_done(&alone);
		run_done(&many);
	}
	pgml_pool_destroy(pool);
	people_free(p);
}

/* Trials on a third of the rows count a third, and none of them is what the training ends with. */
static void
halving_begins_with_few_rows(void **state)
{
	People *p = people_new(2000, PGML_TASK_BINARY);
	Run r;
	int n_small = 0, n_all = 0;
	int64_t all = 0;

	(void) state;
	search_init(&r, "halving", boosting, 7);
	run_train(&r, p);
	for (int i = 0; i < r.result.n_trials; i++)
		all = r.result.trials[i].rows > all ? r.result.trials[i].rows : all;
	for (int i = 1; i < r.result.n_trials; i++)
	{
		const PgmlTrial *trial = &r.result.trials[i];

		assert_int_equal(trial->status, PGML_TRIAL_OK);
		if (trial->rows == all)
			n_all++;
		else
		{
			assert_true(labs((long) (trial->rows - all / 3)) <= 2);
			assert_false(trial->chosen);
			n_small++;
		}
	}
	assert_true(n_small >= 3);
	assert_true(n_all + n_small / 3.0 <= 7 + 1e-9);
	run_done(&r);
	people_free(p);
}

/* Settings that are fixed stay, those that are searched differ, and what counts with another value only is left alone. */
static void
fixed_settings_stay(void **state)
{
	static const PgmlHyperparam fixed = { "kernel", 0, "rbf" };
	static const PgmlHyperparam values[] = { { "C", 1, NULL }, { "C", 10, NULL } };
	static const PgmlSearchSetting space = { NULL, "C", values, 2, 0, 0, -1, 0 };
	People *p = people_new(300, PGML_TASK_REGRESSION);
	int gamma = pgml_param_index(&pgml_learner_svm, "gamma");
	Run r;

	(void) state;
	search_init(&r, "random", svm, 5);
	r.options.hyperparams = &fixed;
	r.options.search_space = &space;
	r.options.n_search_space = 1;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 6);
	for (int i = 1; i < 6; i++)
	{
		const PgmlTrial *trial = &r.result.trials[i];
		double c = pgml_param(&pgml_learner_svm, &trial->params, "C");

		assert_int_equal(pgml_param(&pgml_learner_svm, &trial->params, "kernel"), 2);
		assert_true(c == 1 || c == 10);
		if (i > 1)
			assert_true(trial->params.v[gamma] > 0);
	}
	run_done(&r);
	people_free(p);
}

/* More trials than the portfolio has are searched for, with what the portfolio has found; none is tried twice. */
static void
the_portfolio_comes_first(void **state)
{
	static const char *const bayes[] = { "naive_bayes" };
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	search_init(&r, NULL, bayes, 6);
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 7);
	for (int i = 1; i < 7; i++)
		for (int k = 1; k < i; k++)
			assert_memory_not_equal(r.result.trials[i].params.v, r.result.trials[k].params.v,
									sizeof(r.result.trials[k].params.v));
	run_done(&r);
	/* Without a limit the portfolio is all. */
	search_init(&r, NULL, bayes, 0);
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_int_equal(r.result.n_trials, 2);
	run_done(&r);
	people_free(p);
}

/* A space of three points ends the search, however many trials are allowed. */
static void
an_exhausted_space_ends_the_search(void **state)
{
	static const PgmlHyperparam values[] = { { "n_neighbors", 3, NULL },
											 { "n_neighbors", 5, NULL },
											 { "n_neighbors", 9, NULL } };
	static const PgmlHyperparam fixed[] = { { "weights", 0, "uniform" },
											{ "metric", 0, "euclidean" } };
	static const PgmlSearchSetting space = { "knn", "n_neighbors", values, 3, 0, 0, -1, 0 };
	static const char *const searches[] = { "random", "bayes", "halving", "grid" };
	static const char *const knn[] = { "knn" };
	People *p = people_new(300, PGML_TASK_BINARY);

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		Run r;

		search_init(&r, searches[i], knn, 50);
		r.options.hyperparams = fixed;
		r.options.n_hyperparams = 2;
		r.options.search_space = &space;
		r.options.n_search_space = 1;
		run_train(&r, p);
		assert_int_equal(r.result.n_trials, 4);
		run_done(&r);
	}
	people_free(p);
}

/* ---- time for some learners only ---- */

/* A host whose trials have made-up scores; there is no time for one learner. */
typedef struct Host
{
	Training *t;
	const PgmlLearner *slow;
	int tried, refused;
} Host;

static PgmlStatus
note_trial(void *arg, const PgmlLearner *learner, const PgmlParams *params, double rows_share)
{
	Host *host = arg;
	PgmlTrainResult *r = host->t->result;

	(void) rows_share;
	r->trials[r->n_trials] = (PgmlTrial){ .number = r->n_trials + 1,
										  .learner = learner,
										  .params = *params,
										  .fit_wall = 1,
										  .validation_score = 60 - host->tried++ };
	r->n_trials++;
	return PGML_OK;
}

static bool
has_time_but_for_one(void *arg, const PgmlLearner *learner, double share)
{
	Host *host = arg;

	(void) share;
	host->refused += learner == host->slow;
	return learner != host->slow;
}

/* A learner that there is no time for is proposed once; the search goes on with the others. */
static void
the_search_goes_on_without_slow_learners(void **state)
{
	People *p = people_new(300, PGML_TASK_REGRESSION);
	TrialModel baseline = { 0 };
	PgmlParams params;
	Host host = { .slow = &pgml_learner_mlp };
	const TuningHost calls = { .arg = &host,
							   .try_setting = note_trial,
							   .has_time = has_time_but_for_one };
	Run r;

	(void) state;
	run_init(&r);
	r.options.n_hyperparams = 0;
	r.options.max_trials = 30;
	assert_int_equal(training_init(&r.env, &p->f.table, &r.options, r.arena, &r.result, &host.t),
					 PGML_OK);
	assert_int_equal(training_start(host.t, &baseline), PGML_OK);
	pgml_params_default(&pgml_learner_svm, &params);
	note_trial(&host, &pgml_learner_svm, &params, 1);
	pgml_params_default(host.slow, &params);
	note_trial(&host, host.slow, &params, 1);
	assert_int_equal(training_tune(host.t, &calls, host.tried), PGML_OK);
	assert_int_equal(host.tried, 30);
	assert_int_equal(host.refused, 1);
	training_free_model(&baseline);
	pgml_buf_free(&host.t->recipe_bytes);
	run_done(&r);
	people_free(p);
}

int
test_tuning(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(halving_begins_with_few_rows),
		cmocka_unit_test(fixed_settings_stay),
		cmocka_unit_test(the_portfolio_comes_first),
		cmocka_unit_test(an_exhausted_space_ends_the_search),
		cmocka_unit_test(the_search_goes_on_without_slow_learners),
	};

	return cmocka_run_group_tests_name("tuning", tests, NULL, NULL);
}
