/*
 * Tests of trainings that are disturbed: too little memory, no OpenBLAS, no time, cancelled.  A model comes out
 * whenever one can, and nothing is left behind when none does.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "people.h"
#include "search/training.h"
#include "unit.h"

/* ---- memory ---- */

/* Failures of memory keep their status and say so. */
static void
assert_out_of_memory(const Run *r)
{
	if (r->status != PGML_ERR_NOMEM && r->status != PGML_ERR_LIMIT)
		fail_msg("status %d: %s", r->status, r->error.message);
	assert_int_equal(r->error.status, r->status);
	assert_non_null(strstr(r->error.message, "memory"));
	if (r->status == PGML_ERR_LIMIT)
		assert_non_null(strstr(r->error.hint, "Raise pgml_auto.max_memory"));
}

/* Peak of a training without a limit. */
static int64_t
peak_of(const People *p, const char *const *algorithm)
{
	int64_t peak;
	Run r;

	run_init(&r);
	r.options.algorithms = algorithm;
	r.options.n_algorithms = algorithm != NULL;
	r.options.n_hyperparams = algorithm != NULL ? 0 : 2;
	run_train(&r, p);
	peak = atomic_load(&r.budget.peak);
	run_done(&r);
	return peak;
}

/* Trials that were not made for want of memory; the others are as ever. */
static int
count_failed(const Run *r)
{
	int failed = 0;

	for (int i = 0; i < r->result.n_trials; i++)
	{
		const PgmlTrial *t = &r->result.trials[i];

		if (t->status == PGML_TRIAL_OK)
			continue;
		assert_true(t->status == PGML_TRIAL_FAILED || t->status == PGML_TRIAL_SKIPPED);
		assert_non_null(strstr(t->error, "memory"));
		assert_true(isnan(t->validation_score));
		assert_false(t->chosen);
		failed++;
	}
	return failed;
}

/*
 * From less than the constant predictor takes to several times what all take (what a fit will take is estimated with room
 * to spare): trials fail one by one, models come out.
 */
static void
little_memory_gives_simpler_models(void **state)
{
	static const char *const constant[] = { "constant" };
	People *p = people_new(3000, PGML_TASK_MULTICLASS);
	int64_t least = peak_of(p, constant);
	int64_t most = 6 * peak_of(p, NULL);
	bool simpler = false, complete = false;

	(void) state;
	assert_true(most > least);
	for (int i = -4; i <= 12; i++)
	{
		Run r;

		run_init(&r);
		r.budget.limit = i < 0 ? least * (i + 4) / 4 + 1 : least + (most - least) * i / 12;
		run_try(&r, p);
		assert_true(atomic_load(&r.budget.peak) <= r.budget.limit);
		if (r.status == PGML_OK)
		{
			int failed = count_failed(&r);

			assert_true(run_image(&r).n_members >= 1);
			simpler |= failed > 0;
			complete |= failed == 0;
		}
		else
		{
			assert_out_of_memory(&r);
			assert_int_equal(r.status, PGML_ERR_LIMIT);
			assert_true(i <= 2);
		}
		run_done(&r);
	}
	assert_true(simpler && complete);
	people_free(p);
}

/* Trainings that take different ways through the core; an image to compare with is one of an earlier training. */
typedef struct Way
{
	PgmlTask task;
	const char *algorithm; /* NULL: all */
	int threads;
	const PgmlHyperparam *hyperparams;
	int n_hyperparams;
	bool with_champion;
} Way;

static const PgmlHyperparam stopping[] = { { "n_estimators", 200, NULL },
										   { "num_leaves", 6, NULL },
										   { "learning_rate", 0.5, NULL },
										   { "early_stopping_round", 2, NULL } };

static const Way ways[] = {
	{ .task = PGML_TASK_MULTICLASS, .threads = 1, .hyperparams = quick, .n_hyperparams = 2 },
	{ .task = PGML_TASK_MULTICLASS, .threads = 2, .hyperparams = quick, .n_hyperparams = 2 },
	{ .task = PGML_TASK_REGRESSION, .algorithm = "linear", .threads = 1 },
	{ .task = PGML_TASK_BINARY, .algorithm = "linear", .threads = 2 },
	{ .task = PGML_TASK_BINARY,
	  .algorithm = "gradient_boosting",
	  .threads = 2,
	  .hyperparams = stopping,
	  .n_hyperparams = 4 },
	{ .task = PGML_TASK_REGRESSION,
	  .threads = 1,
	  .hyperparams = quick,
	  .n_hyperparams = 2,
	  .with_champion = true },
};

/* A training of which the at-th allocation fails (0: none); returns how many it made when none has. */
static int64_t
try_failing(const Way *way, const People *p, const Run *champion, int64_t at, Run *r)
{
	const int64_t many = INT64_C(1) << 40;

	if (champion == NULL)
		run_init(r);
	else
	{
		run_init_next(r, champion);
		r->options.champion = champion->result.image.data;
		r->options.champion_len = champion->result.image.len;
	}
	r->options.algorithms = &way->algorithm;
	r->options.n_algorithms = way->algorithm != NULL;
	r->options.hyperparams = way->hyperparams;
	r->options.n_hyperparams = way->n_hyperparams;
	r->env.pool = way->threads > 1 ? pgml_pool_create(way->threads) : NULL;
	atomic_store(&r->budget.fail_at, at > 0 ? at : many);
	run_try(r, p);
	pgml_pool_destroy(r->env.pool);
	r->env.pool = NULL;
	return at > 0 ? 0 : many - atomic_load(&r->budget.fail_at);
}

/* One failed allocation, at every place in turn (at most 60 of them), costs a trial or the training, never more. */
static void
failing_on_the_way(const Way *way)
{
	People *p = people_new(90, way->task);
	int models = 0, failures = 0;
	Run champion, r;
	const Run *first = NULL;
	int64_t n;

	if (way->with_champion)
	{
		run_init(&champion);
		run_train(&champion, p);
		first = &champion;
	}
	n = try_failing(way, p, first, 0, &r);
	assert_int_equal(r.status, PGML_OK);
	run_done(&r);
	for (int64_t at = 1; at <= n; at += n / 60 + 1)
	{
		try_failing(way, p, first, at, &r);
		if (r.status == PGML_OK)
		{
			count_failed(&r);
			assert_true(run_image(&r).n_members >= 1);
			models++;
		}
		else
		{
			/* Once there is something to predict with, a model comes out. */
			assert_true(r.result.n_trials <= 1);
			assert_out_of_memory(&r);
			failures++;
		}
		run_done(&r);
	}
	assert_true(models > 5 && failures > 5);
	if (first != NULL)
		run_done(&champion);
	people_free(p);
}

static void
every_allocation_may_fail(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		failing_on_the_way(&ways[i]);
}

/* The image is a copy of what the trials left: with less room than that it is made of a part. */
static void
no_room_for_the_whole_image(void **state)
{
	static const char *const boosting[] = { "gradient_boosting" };
	static const PgmlHyperparam large[] = { { "n_estimators", 150, NULL },
											{ "num_leaves", 60, NULL } };
	People *p = people_new(3000, PGML_TASK_MULTICLASS);
	int64_t peak = 0;
	int ended = 0;

	(void) state;
	for (int i = 10; i >= 3; i--)
	{
		Run r;

		run_init(&r);
		r.options.algorithms = boosting;
		r.options.n_algorithms = 1;
		r.options.hyperparams = large;
		r.options.folds = 5;
		r.budget.limit = peak * i / 10;
		run_train(&r, p);
		if (peak == 0)
			peak = atomic_load(&r.budget.peak);
		else
		{
			assert_true(atomic_load(&r.budget.peak) <= r.budget.limit);
			ended += has_notice(&r, "pgml_auto.max_memory", true);
		}
		run_image(&r);
		run_done(&r);
	}
	assert_true(ended > 2);
	people_free(p);
}

/* ---- OpenBLAS ---- */

static void
without_openblas(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.blas_library = "libnothere.so";
	r.options.max_trials = 1; /* what is skipped does not count */
	run_train(&r, p);
	assert_true(has_notice(&r, "could not load OpenBLAS (\"libnothere.so\")", true));
	assert_true(has_notice(&r, "libopenblas0", true));
	assert_string_equal(r.result.algorithm, "gradient_boosting");
	for (int i = 0; i < r.result.n_trials; i++)
	{
		const PgmlTrial *t = &r.result.trials[i];

		assert_int_equal(t->status, t->learner->needs_blas ? PGML_TRIAL_SKIPPED : PGML_TRIAL_OK);
		if (t->learner->needs_blas)
			assert_string_equal(t->error, "OpenBLAS is not installed");
	}
	run_done(&r);
	people_free(p);
}

/* Asked for nothing else, there is nothing to fall back to. */
static void
only_with_openblas(void **state)
{
	static const char *const linear[] = { "linear" };
	static const char *const network[] = { "mlp" };
	const char *const *const wishes[] = { linear, network };
	People *p = people_new(300, PGML_TASK_BINARY);

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		Run r;

		run_init(&r);
		r.options.blas_library = "libnothere.so";
		r.options.algorithms = wishes[i];
		r.options.n_algorithms = 1;
		r.options.n_hyperparams = 0;
		assert_int_equal(run_try(&r, p), PGML_ERR_UNAVAILABLE);
		assert_int_equal(r.error.status, PGML_ERR_UNAVAILABLE);
		assert_string_equal(r.error.message, "could not load OpenBLAS (\"libnothere.so\")");
		assert_non_null(strstr(r.error.hint, "Install the system package libopenblas0"));
		run_done(&r);
	}
	people_free(p);
}

/* Boosting alone does not even look for it. */
static void
not_needed(void **state)
{
	static const char *const boosting[] = { "gradient_boosting" };
	People *p = people_new(200, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.blas_library = "libnothere.so";
	r.options.algorithms = boosting;
	r.options.n_algorithms = 1;
	run_train(&r, p);
	for (int i = 0; i < r.result.n_notices; i++)
		assert_false(r.result.notice_is_warning[i]);
	run_done(&r);
	people_free(p);
}

/* ---- cancel and deadline ---- */

/* Sets the stop flag at the given report of progress. */
typedef struct Canceller
{
	_Atomic int *stop;
	int reports;
	int at;
	double last;
} Canceller;

static void
count_report(void *arg, double fraction, const char *step)
{
	Canceller *c = arg;

	assert_true(fraction >= 0 && fraction <= 1);
	assert_true(strlen(step) > 0);
	c->last = fraction;
	if (++c->reports == c->at)
		atomic_store(c->stop, 1);
}

/* Cancelled at every report of progress in turn; the last run is let through. */
static void
cancelled_anywhere(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlStatus status = PGML_ERR_CANCELLED;
	int at = 0;

	(void) state;
	for (int threads = 1; threads <= 2; threads++)
		for (at = 0, status = PGML_ERR_CANCELLED; status == PGML_ERR_CANCELLED; at++)
		{
			Canceller c = { .at = at };
			Run r;

			run_init(&r);
			c.stop = &r.stop;
			r.stop = at == 0;
			r.env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
			r.env.progress = count_report;
			r.env.progress_arg = &c;
			status = run_try(&r, p);
			if (status == PGML_ERR_CANCELLED)
				assert_string_equal(r.error.message, "canceled");
			else
			{
				assert_int_equal(status, PGML_OK);
				assert_true(c.reports < at);
				assert_true(c.last >= 0.9);
			}
			pgml_pool_destroy(r.env.pool);
			run_done(&r);
			assert_true(at < 200);
		}
	assert_true(at > 5);
	people_free(p);
}

/* A budget of time that is far too short, or over already, still gives a model. */
static void
no_time(void **state)
{
	static const double budgets[] = { 1e-6, 0.2 };

	(void) state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
	{
		People *p = people_new(6000, i == 0 ? PGML_TASK_REGRESSION : PGML_TASK_BINARY);
		Run r;

		run_init(&r);
		r.options.time_budget = budgets[i];
		r.options.max_trials = 0;
		r.options.n_hyperparams = 0;
		r.options.folds = 0;
		r.env.deadline = pgml_now() + budgets[i];
		run_train(&r, p);
		assert_true(run_image(&r).n_members >= 1);
		assert_true(r.result.rows_test > 0);
		assert_true(isfinite(r.result.score.value));
		for (int t = 0; t < r.result.n_trials; t++)
			assert_true(r.result.trials[t].status == PGML_TRIAL_OK ||
						r.result.trials[t].status == PGML_TRIAL_TIMEOUT);
		run_done(&r);
		people_free(p);
	}
}

/* Time for a few trials: they are planned by the measured speed. */
static void
some_time(void **state)
{
	People *p = people_new(2500, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.time_budget = 1.5;
	r.options.max_trials = 0;
	r.options.folds = 0;
	run_train(&r, p);
	assert_true(r.result.n_trials >= 2);
	assert_true(pgml_metric_better(r.result.metric, r.result.score.value, r.result.baseline));
	run_done(&r);
	people_free(p);
}

/* ---- models that cannot be read ---- */

/* Payloads that are refused from now on; set before anything is fitted. */
static bool refused;

static PgmlStatus
refuse(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *error)
{
	if (!refused)
		return pgml_learner_naive_bayes.verify(payload, len, shape, error);
	return pgml_fail(error, PGML_ERR_CORRUPT, "its numbers are not finite");
}

/* A training of people that has begun, and a trial of a learner whose payloads are refused when `refused` says so. */
typedef struct Refused
{
	Run r;
	People *p;
	PgmlLearner learner;
	Training *t;
	TrialModel baseline;
	TrialModel model;
} Refused;

static void
begin_refused(Refused *f, bool from_the_start)
{
	PgmlParams params;
	TrialMemory memory;

	memset(f, 0, sizeof(*f));
	f->p = people_new(600, PGML_TASK_BINARY);
	run_init(&f->r);
	f->r.options.n_hyperparams = 0;
	f->r.options.fast = true;
	refused = from_the_start;
	f->learner = pgml_learner_naive_bayes;
	f->learner.verify = refuse;
	assert_int_equal(
		training_init(&f->r.env, &f->p->f.table, &f->r.options, f->r.arena, &f->r.result, &f->t),
		PGML_OK);
	assert_int_equal(training_start(f->t, &f->baseline), PGML_OK);
	pgml_params_default(&f->learner, &params);
	assert_int_equal(training_plan_memory(f->t, &f->learner, &params, f->t->folds, 0, &memory),
					 PGML_OK);
	assert_int_equal(training_run_trial(f->t, &f->learner, &params, &memory, 0, &f->model),
					 PGML_OK);
}

static void
end_refused(Refused *f)
{
	training_free_model(&f->model);
	training_free_model(&f->baseline);
	pgml_buf_free(&f->t->recipe_bytes);
	run_done(&f->r);
	people_free(f->p);
}

/* A model that an image could not be opened with is a failed trial, not a failed training. */
static void
unreadable_models_fail_alone(void **state)
{
	const PgmlTrial *trial;
	Refused f;

	(void) state;
	begin_refused(&f, true);
	trial = f.model.trial;
	assert_int_equal(trial->status, PGML_TRIAL_FAILED);
	assert_int_equal(trial->failure, PGML_ERR_NUMERIC);
	assert_true(isnan(trial->validation_score));
	assert_non_null(strstr(trial->error, "naive_bayes"));
	assert_non_null(strstr(trial->error, "could not be read again: its numbers are not finite"));
	end_refused(&f);
}

/* A model of all rows takes the place of those of the folds, and a part of their time to predict. */
static void
refits_predict_more_quickly(void **state)
{
	double weight[PGML_MAX_CANDIDATES] = { 1 };
	Refused f;

	(void) state;
	begin_refused(&f, false);
	f.model.seconds_per_row = 0.5;
	assert_int_equal(training_build_image(f.t, &f.model, weight, 1, &f.baseline), PGML_OK);
	assert_int_equal(f.model.n_fits, 1);
	assert_true(f.model.seconds_per_row == 0.25);
	end_refused(&f);
}

/* When that happens to the model of all rows, those of the folds predict. */
static void
unreadable_refits_are_left_out(void **state)
{
	double weight[PGML_MAX_CANDIDATES] = { 1 };
	Refused f;

	(void) state;
	begin_refused(&f, false);
	assert_int_equal(f.model.trial->status, PGML_TRIAL_OK);
	refused = true;
	assert_int_equal(training_build_image(f.t, &f.model, weight, 1, &f.baseline), PGML_OK);
	assert_true(weight[0] == 1 && f.model.n_fits == 2);
	assert_true(
		has_notice(&f.r, "trial 2 (naive_bayes) is not fitted again on all training rows", true));
	assert_int_equal(run_image(&f.r).n_members, 2);
	end_refused(&f);
}

/* One that fails when a training is executed again says why, and leaves nothing behind. */
static void
failing_repetitions_leave_nothing(void **state)
{
	PgmlExecutedTrial trial = {
		.number = 2, .weight = 1, .members = 1, .n_fits = 2, .refitted = true
	};
	PgmlExecution execution = { .folds = 2, .n_trials = 1, .trials = &trial };
	const char *why = NULL;
	Refused f;

	(void) state;
	begin_refused(&f, false);
	refused = true;
	trial.learner = &f.learner;
	f.t->repeats = &execution;
	assert_int_equal(training_repeat_image(f.t, &f.model, &why), PGML_OK);
	assert_non_null(why);
	assert_non_null(strstr(why, "its numbers are not finite"));
	assert_null(f.r.result.image.data);
	end_refused(&f);
}

int
test_automl_faults(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_memory_gives_simpler_models),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(no_room_for_the_whole_image),
		cmocka_unit_test(without_openblas),
		cmocka_unit_test(only_with_openblas),
		cmocka_unit_test(not_needed),
		cmocka_unit_test(cancelled_anywhere),
		cmocka_unit_test(no_time),
		cmocka_unit_test(some_time),
		cmocka_unit_test(unreadable_models_fail_alone),
		cmocka_unit_test(refits_predict_more_quickly),
		cmocka_unit_test(unreadable_refits_are_left_out),
		cmocka_unit_test(failing_repetitions_leave_nothing),
	};

	return cmocka_run_group_tests_name("automl_faults", tests, NULL, NULL);
}
