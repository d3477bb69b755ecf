/*
 * Tests of repeating what a clock has decided: of the clock itself, of fits that a deadline ended anywhere, and of whole trainings.
 *
 * Deadlines pass where they pass; whatever they end has to come out again without them, with one thread and with several.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/clock.h"
#include "people.h"
#include "unit.h"

/* ---- the clock ---- */

static void
nothing_is_noted_while_there_is_time(void **state)
{
	Fixture f;
	PgmlClock clock;
	int64_t n;

	(void) state;
	fixture_init(&f, 1);
	pgml_clock_init(&clock, &f.budget);
	assert_int_equal(pgml_clock_decide(&f.env, 7), 7); /* without a clock */
	f.env.clock = &clock;
	for (int i = 0; i < 10; i++)
		assert_false(pgml_clock_ends(&f.env, false));
	(void) pgml_clock_notes(&clock, &n);
	assert_int_equal(n, 0);
	assert_int_equal(clock.asked, 10);
	pgml_clock_free(&clock);
	fixture_done(&f);
}

/* Four decisions, a list of them, and blocks with clocks of their own; the values decided go to out. */
static void
decide_some(Fixture *f, const int64_t *values, int64_t *out)
{
	bool ended[4];
	PgmlClock *parts;

	for (int i = 0; i < 4; i++)
		out[i] = pgml_clock_decide(&f->env, values[i]);
	pgml_clock_recall(&f->env, 4, ended);
	for (int i = 0; i < 4; i++)
		ended[i] |= values[4 + i] != 0;
	pgml_clock_note(&f->env, 4, ended);
	for (int i = 0; i < 4; i++)
		out[4 + i] = ended[i];
	assert_int_equal(pgml_clock_split(&f->env, f->arena, 2, &parts), PGML_OK);
	for (int p = 1; p >= 0; p--) /* in any order */
	{
		PgmlEnv env = f->env;

		env.clock = &parts[p];
		for (int i = 0; i < 2; i++)
			out[8 + 2 * p + i] = pgml_clock_decide(&env, values[8 + 2 * p + i]);
	}
	pgml_clock_join(&f->env, 2, parts);
	out[12] = pgml_clock_decide(&f->env, values[12]);
}

static void
decisions_are_repeated(void **state)
{
	static const int64_t values[13] = { 0, 5, 0, -1, 0, 1, 0, 1, 0, 1, 1, 0, 9 };
	static const int64_t none[13] = { 0 };
	int64_t first[13], again[13], n;
	PgmlClock clock, repeating;
	const PgmlNote *notes;
	Fixture f;

	(void) state;
	fixture_init(&f, 1);
	pgml_clock_init(&clock, &f.budget);
	pgml_clock_init(&repeating, &f.budget);
	f.env.clock = &clock;
	decide_some(&f, values, first);
	assert_memory_equal(first, values, sizeof(values));
	notes = pgml_clock_notes(&clock, &n);
	assert_int_equal(n, 7);
	for (int64_t i = 1; i < n; i++)
		assert_true(notes[i - 1].at < notes[i].at);
	pgml_clock_repeat(&repeating, notes, n);
	f.env.clock = &repeating;
	decide_some(&f, none, again);
	assert_memory_equal(again, values, sizeof(values));
	pgml_clock_free(&clock);
	pgml_clock_free(&repeating);
	fixture_done(&f);
}

/* ---- fits ---- */

/* A fit of the people's table, prepared as a training does it, and all that it is lent. */
typedef struct Fitted
{
	PgmlFit fit;
	PgmlStatus status;
	double *valid;
} Fitted;

typedef struct Trainer
{
	const PgmlLearner *learner;
	PgmlParams params;
	PgmlMatrix x;
	double *y;
	int32_t *rows;
	PgmlDataset data;
	PgmlBlas blas;
	PgmlBuf recipe_bytes;
	People *people;
} Trainer;

#define FIT_ROWS 700

static void
trainer_init(Trainer *t, const PgmlLearner *learner, PgmlTask task)
{
	Fixture *f;
	PgmlRecipe recipe;
	bool exclude[16] = { [COL_ID] = true, [COL_Y] = true };
	const char *reasons[16] = { [COL_ID] = "an id", [COL_Y] = "the target" };
	PgmlRecipeSpec spec = { .n = FIT_ROWS, .exclude = exclude, .exclude_reason = reasons };

	memset(t, 0, sizeof(*t));
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	t->learner = learner;
	t->people = people_new(FIT_ROWS, task);
	f = &t->people->f;
	spec.rows = f->rows;
	pgml_buf_init(&t->recipe_bytes, &f->budget);
	assert_int_equal(pgml_recipe_fit(&f->env, &f->table, &spec, &t->recipe_bytes), PGML_OK);
	assert_int_equal(
		pgml_recipe_open(t->recipe_bytes.data, t->recipe_bytes.len, &recipe, &f->error), PGML_OK);
	assert_int_equal(pgml_recipe_apply_table(&f->env, &recipe, &f->table, f->arena, &t->x),
					 PGML_OK);
	t->y = pgml_array(f->arena, FIT_ROWS, sizeof(double));
	for (int64_t i = 0; i < FIT_ROWS; i++)
		t->y[i] =
			task == PGML_TASK_REGRESSION ? f->cols[COL_Y].num[i] : (double) f->cols[COL_Y].code[i];
	assert_int_equal(pgml_blas_load(&t->blas, NULL, &f->error), PGML_OK);
	pgml_params_default(learner, &t->params);
	t->data = (PgmlDataset){ .x = &t->x,
							 .y = t->y,
							 .task = task,
							 .n_classes = task == PGML_TASK_REGRESSION ? 1 :
										  task == PGML_TASK_BINARY     ? 2 :
																		 3,
							 .rows = f->rows,
							 .n = FIT_ROWS * 3 / 4,
							 .valid_rows = f->rows + FIT_ROWS * 3 / 4,
							 .n_valid = FIT_ROWS / 4,
							 .blas = &t->blas };
}

static void
trainer_done(Trainer *t)
{
	pgml_buf_free(&t->recipe_bytes);
	people_free(t->people);
}

/* A fit with so many seconds (0: as many as it likes), threads, and the clock. */
static Fitted
fit_once(Trainer *t, double seconds, int threads, PgmlClock *clock)
{
	Fixture *f = &t->people->f;
	PgmlEnv env = f->env;
	Fitted out = { .valid = pgml_zalloc(f->arena, (size_t) t->data.n_valid * 3, sizeof(double)) };

	t->data.valid_out = t->data.valid_rows != NULL ? out.valid : NULL;
	pgml_buf_init(&out.fit.payload, &f->budget);
	env.clock = clock;
	env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
	env.deadline = seconds != 0 ? pgml_now() + seconds : 0;
	out.status = t->learner->fit(&env, &t->data, &t->params, &out.fit);
	if (env.pool != NULL)
		pgml_pool_destroy(env.pool);
	return out;
}

/* Is a fit that had so many seconds the same again without a deadline?  *ended: the deadline decided something. */
static void
check_repeated(Trainer *t, double seconds, int threads, bool *ended)
{
	PgmlClock clock, again;
	const PgmlNote *notes;
	Fitted first, second;
	int64_t n;

	pgml_clock_init(&clock, &t->people->f.budget);
	first = fit_once(t, seconds, threads, &clock);
	notes = pgml_clock_notes(&clock, &n);
	*ended = n > 0;
	for (int k = 1; k <= 3; k += 2)
	{
		pgml_clock_init(&again, &t->people->f.budget);
		pgml_clock_repeat(&again, notes, n);
		second = fit_once(t, 0, k, &again);
		assert_int_equal(second.status, first.status);
		assert_int_equal(second.fit.best_iteration, first.fit.best_iteration);
		assert_int_equal(second.fit.out_of_time, first.fit.out_of_time);
		if (second.fit.payload.len != first.fit.payload.len ||
			memcmp(second.fit.payload.data, first.fit.payload.data, first.fit.payload.len) != 0)
			fail_msg("%s with %d classes and %g s by %d threads is not the same by %d",
					 t->learner->name, t->data.n_classes, seconds, threads, k);
		if (second.fit.predicted && first.fit.predicted && t->data.n_valid > 0)
			assert_memory_equal(second.valid, first.valid,
								(size_t) t->data.n_valid * sizeof(double));
		pgml_buf_free(&second.fit.payload);
		pgml_clock_free(&again);
	}
	pgml_buf_free(&first.fit.payload);
	pgml_clock_free(&clock);
}

/* Settings under which a fit takes so long that deadlines end it in the middle. */
static void
make_long(Trainer *t)
{
	static const struct
	{
		const char *name;
		double value;
	} settings[] = { { "n_estimators", 1000 },
					 { "epochs", 200 },
					 { "early_stopping_round", 0 },
					 { "learning_rate", 0.02 } };

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		int k = pgml_param_index(t->learner, settings[i].name);

		if (k >= 0)
			t->params.v[k] = settings[i].value;
	}
}

/* Fits of a learner that deadlines end at any place. */
static void
check_learner(const PgmlLearner *learner, bool (*prepare)(Trainer *))
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };
	static const double seconds[] = { -1, 1e-4, 2e-3, 0.01, 0.03, 0.1 };

	for (size_t k = 0; k < 3; k++)
	{
		int n_ended = 0;
		Trainer t;

		if (!(learner->tasks & tasks[k]))
			continue;
		trainer_init(&t, learner, tasks[k]);
		make_long(&t);
		if (prepare == NULL || prepare(&t))
		{
			for (size_t s = 0; s < sizeof(seconds) / sizeof(seconds[0]); s++)
			{
				bool ended;

				check_repeated(&t, seconds[s], s % 2 == 0 ? 3 : 1, &ended);
				n_ended += ended;
			}
			/* A small tree is grown between two looks at the clock; knn and the constant look at none. */
			if (learner != &pgml_learner_knn && learner != &pgml_learner_constant &&
				learner != &pgml_learner_decision_tree)
				assert_true(n_ended > 0);
		}
		trainer_done(&t);
	}
}

static void
fits_of_all_learners_are_repeated(void **state)
{
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	(void) state;
	for (int i = 0; i < n; i++)
		check_learner(learners[i], NULL);
}

static void
set(Trainer *t, const char *name, double value)
{
	t->params.v[pgml_param_index(t->learner, name)] = value;
}

static void
set_word(Trainer *t, const char *name, const char *word)
{
	const PgmlParam *param = &t->learner->params[pgml_param_index(t->learner, name)];

	set(t, name, pgml_param_value(param, word));
}

/* Other ways through the learners that have several. */
static bool
with_linear_kernel(Trainer *t)
{
	set_word(t, "kernel", "linear");
	return true;
}

static bool
approximately(Trainer *t)
{
	set_word(t, "solver", "approximate");
	t->data.valid_rows = NULL; /* probabilities by folds */
	t->data.n_valid = 0;
	return true;
}

static bool
exactly_and_narrowly(Trainer *t)
{
	set_word(t, "solver", "exact");
	set(t, "C", 1000);
	t->data.valid_rows = NULL;
	t->data.n_valid = 0;
	return true;
}

static bool
with_sparse_weights(Trainer *t)
{
	set_word(t, "penalty", "l1");
	return true;
}

static bool
best_leaves_first(Trainer *t)
{
	set(t, "max_leaf_nodes", 40);
	return true;
}

static bool
without_validation(Trainer *t)
{
	t->data.valid_rows = NULL;
	t->data.n_valid = 0;
	return true;
}

static void
other_ways_are_repeated(void **state)
{
	(void) state;
	check_learner(&pgml_learner_svm, with_linear_kernel);
	check_learner(&pgml_learner_svm, approximately);
	check_learner(&pgml_learner_svm, exactly_and_narrowly);
	check_learner(&pgml_learner_linear, with_sparse_weights);
	check_learner(&pgml_learner_linear, without_validation);
	check_learner(&pgml_learner_random_forest, best_leaves_first);
	check_learner(&pgml_learner_mlp, without_validation);
}

/* ---- trainings ---- */

/* What a run has executed, executed again by so many threads with other memory. */
static void
repeat_run(Run *again, const Run *first, const People *p, int threads)
{
	PgmlTrainOptions options = first->options;

	run_init(again);
	options.split = &again->split;
	again->split.test_size = first->split.test_size;
	again->options = options;
	again->env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
	again->status = pgml_automl_repeat(&again->env, &p->f.table, &again->options,
									   &first->result.execution, again->arena, &again->result);
	if (again->env.pool != NULL)
		pgml_pool_destroy(again->env.pool);
	again->env.pool = NULL;
}

/* Train by so many threads, and execute it again by others. */
static void
check_training(Run *r, const People *p, int threads)
{
	r->env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
	run_train(r, p);
	if (r->env.pool != NULL)
		pgml_pool_destroy(r->env.pool);
	assert_true(r->result.execution.n_trials > 0);
	for (int k = 1; k <= 2; k++)
	{
		Run again;

		repeat_run(&again, r, p, k);
		if (again.status != PGML_OK)
			fail_msg("not repeated: %s", again.error.message);
		if (again.result.not_repeated != NULL)
			fail_msg("not repeated: %s", again.result.not_repeated);
		assert_same_image(r, &again);
		run_done(&again);
	}
}

/* Short trainings, in which the clock decides nearly everything. */
static void
short_trainings_are_repeated(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	int n_stacked = 0;

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		People *p = people_new(i < 9 ? 400 : 1600, tasks[i < 9 ? i % 3 : 1]);
		Run r;

		run_init(&r);
		r.options.max_trials = i < 9 ? 0 : 6;
		r.options.n_hyperparams = i < 9 ? 0 : r.options.n_hyperparams;
		r.options.folds = i / 3;
		r.options.time_budget = i < 3 ? 2 : i < 9 ? 0.7 : 0;
		r.options.no_refit = i == 4;
		r.options.fast = i == 7;
		r.options.weight_column = i % 2 ? "weight" : NULL;
		r.options.metric = i % 3 == 1 ? "f1" : NULL;
		r.options.test_size = r.split.test_size = i == 8 ? 0 : 0.2;
		check_training(&r, p, 1 + i % 2);
		n_stacked += r.result.execution.stacked;
		run_done(&r);
		people_free(p);
	}
	assert_true(n_stacked > 0);
}

/* Splits by group and time, a model of the baseline alone, knn, which is refitted, and named searches. */
static void
other_trainings_are_repeated(void **state)
{
	static const char *const algorithms[] = { "constant", "knn", "naive_bayes", "decision_tree" };
	static const char *const searches[] = { "random", "halving", "grid", "bayes" };
	static const PgmlHyperparam rates[] = { { "max_depth", 2, NULL }, { "max_depth", 3, NULL } };
	static const PgmlSearchSetting space[] = {
		{ .learner = "decision_tree", .name = "max_depth", .values = rates, .n_values = 2 }
	};

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		People *p = people_new(300, PGML_TASK_BINARY);
		Run r;

		run_init(&r);
		if (i < 4)
		{
			r.options.algorithms = &algorithms[i];
			r.options.n_algorithms = 1;
			r.options.n_hyperparams = 0;
		}
		else if (i < 8)
		{
			r.options.search = searches[i - 4];
			r.options.algorithms = &algorithms[3];
			r.options.n_algorithms = 1;
			r.options.n_hyperparams = 0;
			r.options.search_space = space;
			r.options.n_search_space = 1;
		}
		else if (i == 8)
			r.options.group_column = "shop";
		else
			r.options.time_column = "joined";
		check_training(&r, p, 2);
		run_done(&r);
		people_free(p);
	}
}

/* What is different in the data is said, and nothing is trained. */
static void
changed_data_is_told(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	People *more = people_new(301, PGML_TASK_BINARY);
	static const char *const exclude[] = { "noise" };
	Run r, again;
	double age;

	(void) state;
	run_init(&r);
	r.options.exclude = exclude;
	r.options.n_exclude = 1;
	run_train(&r, p);

	repeat_run(&again, &r, more, 1);
	assert_int_equal(again.status, PGML_OK);
	assert_string_equal(again.result.not_repeated,
						"the data has changed: 300 rows were read then, 301 now");
	assert_int_equal(again.result.image.len, 0);
	run_done(&again);

	age = p->f.cols[COL_AGE].num[17];
	p->f.cols[COL_AGE].num[17] = 99;
	repeat_run(&again, &r, p, 1);
	assert_string_equal(again.result.not_repeated,
						"the data has changed: values of \"age\" are others");
	run_done(&again);
	p->f.cols[COL_AGE].num[17] = age;

	p->f.cols[COL_SHOP].name = "store";
	repeat_run(&again, &r, p, 1);
	assert_string_equal(again.result.not_repeated,
						"the data has changed: column \"shop\" is not there any more");
	run_done(&again);
	p->f.cols[COL_SHOP].name = "shop";

	/* A column that is no feature may change, as long as rows are told apart by something else. */
	p->f.cols[COL_NOISE].num[17] = 5;
	repeat_run(&again, &r, p, 1);
	assert_null(again.result.not_repeated);
	assert_same_image(&r, &again);
	run_done(&again);

	run_done(&r);
	people_free(p);
	people_free(more);
}

/* Is what a run has executed, as it was changed, refused? */
static void
check_refused(const Run *r, const People *p)
{
	Run again;

	repeat_run(&again, r, p, 1);
	assert_int_equal(again.status, PGML_OK);
	assert_string_equal(again.result.not_repeated,
						"what is stored of the training does not go with its data");
	assert_int_equal(again.result.image.len, 0);
	run_done(&again);
}

/* More members than an image has room for, none of which is one too many for its trial. */
static void
too_many_members_are_refused(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlExecutedTrial trials[PGML_MAX_ENSEMBLE];
	Run r;

	(void) state;
	run_init(&r);
	r.options.folds = PGML_MAX_FOLDS;
	run_train(&r, p);
	for (int i = 0; i < PGML_MAX_ENSEMBLE; i++)
	{
		trials[i] = r.result.execution.trials[0];
		trials[i].weight = 1.0 / PGML_MAX_ENSEMBLE;
		trials[i].members = PGML_MAX_FOLDS;
	}
	r.result.execution.trials = trials;
	r.result.execution.n_trials = PGML_MAX_ENSEMBLE;
	check_refused(&r, p);
	run_done(&r);
	people_free(p);
}

/* Numbers are averaged, never stacked. */
static void
stacked_numbers_are_refused(void **state)
{
	People *p = people_new(300, PGML_TASK_REGRESSION);
	Run r;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	r.result.execution.stacked = true;
	check_refused(&r, p);
	run_done(&r);
	people_free(p);
}

/* Notes of more steps than there are would never end: the training goes on as it is configured. */
static void
notes_of_too_many_steps_change_nothing(void **state)
{
	static const PgmlNote notes[] = { { 20, INT64_C(1) << 53 }, { 21, INT64_C(1) << 40 } };
	PgmlClock without, with;
	Fitted as_configured, damaged;
	Trainer t;

	(void) state;
	trainer_init(&t, &pgml_learner_mlp, PGML_TASK_BINARY);
	t.params.v[pgml_param_index(t.learner, "epochs")] = 4;
	pgml_clock_init(&without, &t.people->f.budget);
	pgml_clock_init(&with, &t.people->f.budget);
	pgml_clock_repeat(&without, NULL, 0);
	pgml_clock_repeat(&with, notes, 2);
	as_configured = fit_once(&t, 0, 1, &without);
	damaged = fit_once(&t, 0, 1, &with);
	assert_int_equal(as_configured.status, PGML_OK);
	assert_int_equal(damaged.status, PGML_OK);
	assert_int_equal(damaged.fit.payload.len, as_configured.fit.payload.len);
	assert_memory_equal(damaged.fit.payload.data, as_configured.fit.payload.data,
						damaged.fit.payload.len);
	pgml_buf_free(&as_configured.fit.payload);
	pgml_buf_free(&damaged.fit.payload);
	pgml_clock_free(&without);
	pgml_clock_free(&with);
	trainer_done(&t);
}

/* What is stored may be damaged: no crash, and no image. */
static void
impossible_notes_are_refused(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlExecutedTrial *trial;
	Run r;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	trial = &r.result.execution.trials[0];
	for (int i = 0; i < 4; i++)
	{
		PgmlExecutedTrial was = *trial;

		if (i == 0)
			trial->n_fits = 1;
		else if (i == 3)
			trial->weight /= 2;
		else
			trial->members = i == 1 ? 0 : 3;
		check_refused(&r, p);
		*trial = was;
	}
	run_done(&r);
	people_free(p);
}

static void
a_repetition_can_be_cancelled(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	PgmlTrainOptions options;
	Run r, again;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	run_init(&again);
	options = r.options;
	options.split = &again.split;
	again.options = options;
	atomic_store(&again.stop, 1);
	again.status = pgml_automl_repeat(&again.env, &p->f.table, &again.options, &r.result.execution,
									  again.arena, &again.result);
	assert_int_equal(again.status, PGML_ERR_CANCELLED);
	run_done(&again);
	run_done(&r);
	people_free(p);
}

int
test_replay(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_noted_while_there_is_time),
		cmocka_unit_test(decisions_are_repeated),
		cmocka_unit_test(fits_of_all_learners_are_repeated),
		cmocka_unit_test(other_ways_are_repeated),
		cmocka_unit_test(short_trainings_are_repeated),
		cmocka_unit_test(other_trainings_are_repeated),
		cmocka_unit_test(changed_data_is_told),
		cmocka_unit_test(impossible_notes_are_refused),
		cmocka_unit_test(too_many_members_are_refused),
		cmocka_unit_test(stacked_numbers_are_refused),
		cmocka_unit_test(notes_of_too_many_steps_change_nothing),
		cmocka_unit_test(a_repetition_can_be_cancelled),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
