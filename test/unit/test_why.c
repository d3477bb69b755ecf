/* Tests of what is told of the trials: scores of folds, what a trial costs, and why the model was chosen. */
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

static const char *const linear[] = { "linear" };
static const char *const constant[] = { "constant" };

static void
assert_says(const Run *r, const char *words)
{
	assert_non_null(r->result.why);
	if (strstr(r->result.why, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, r->result.why);
}

static void
assert_silent(const Run *r, const char *words)
{
	assert_non_null(r->result.why);
	if (strstr(r->result.why, words) != NULL)
		fail_msg("\"%s\" is in \"%s\"", words, r->result.why);
}

/* A score of all rows that is a mean over rows lies between those of the folds, of which none is missing. */
static void
folds_are_scored(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.folds = 4;
	r.options.metric = "log_loss";
	run_train(&r, p);
	for (int i = 0; i < r.result.n_trials; i++)
	{
		const PgmlTrial *trial = &r.result.trials[i];
		double low = INFINITY, high = -INFINITY;

		assert_int_equal(trial->folds, 4);
		for (int f = 0; f < trial->folds; f++)
		{
			assert_true(isfinite(trial->fold_score[f]));
			low = fmin(low, trial->fold_score[f]);
			high = fmax(high, trial->fold_score[f]);
		}
		assert_true(low < trial->validation_score && trial->validation_score < high);
	}
	run_done(&r);
	people_free(p);
}

/* One part held out has one score, that of the trial, weights or not. */
static void
one_part_has_the_score_of_the_trial(void **state)
{
	People *p = people_new(300, PGML_TASK_REGRESSION);

	(void) state;
	for (int weighted = 0; weighted < 2; weighted++)
	{
		Run r;

		run_init(&r);
		r.options.folds = 1;
		r.options.weight_column = weighted ? "weight" : NULL;
		run_train(&r, p);
		for (int i = 0; i < r.result.n_trials; i++)
			assert_true(r.result.trials[i].fold_score[0] == r.result.trials[i].validation_score);
		assert_says(&r, "training rows held out");
		run_done(&r);
	}
	people_free(p);
}

/* A trial that fails has scores of no fold and costs nothing. */
static void
failed_trials_have_no_scores(void **state)
{
	static const char *const svm[] = { "svm" };
	static const PgmlHyperparam unfit[] = { { "loss", 0, "epsilon_insensitive" } };
	People *p = people_new(200, PGML_TASK_BINARY);
	const PgmlTrial *trial;
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = svm;
	r.options.n_algorithms = 1;
	r.options.hyperparams = unfit;
	r.options.n_hyperparams = 1;
	r.options.max_trials = 1;
	r.options.metric = "log_loss";
	run_train(&r, p);
	trial = &r.result.trials[1];
	assert_int_equal(trial->status, PGML_TRIAL_FAILED);
	for (int f = 0; f < trial->folds; f++)
		assert_true(isnan(trial->fold_score[f]));
	assert_int_equal(trial->bytes, 0);
	assert_says(&r, "A constant prediction: log_loss");
	assert_says(&r, "in 2-fold cross-validation; no trial of another algorithm succeeded");
	run_done(&r);
	people_free(p);
}

/* What the chosen trials add up to is the image but for its recipe. */
static void
bytes_add_up(void **state)
{
	static const bool fast[] = { false, true };
	People *p = people_new(400, PGML_TASK_MULTICLASS);

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		int64_t members = 0, chosen = 0;
		PgmlImage image;
		Run r;

		run_init(&r);
		r.options.fast = fast[i];
		run_train(&r, p);
		image = run_image(&r);
		for (int m = 0; m < image.n_members; m++)
			members += (int64_t) image.members[m].payload_len;
		for (int t = 0; t < r.result.n_trials; t++)
		{
			assert_true(r.result.trials[t].bytes > 0);
			assert_true(r.result.trials[t].predict_us > 0);
			if (r.result.trials[t].chosen)
				chosen += r.result.trials[t].bytes;
		}
		assert_int_equal(members, chosen);
		run_done(&r);
	}
	people_free(p);
}

/* An ensemble is compared with the best trial alone and the constant predictor, by the same rows. */
static void
ensembles_are_explained(void **state)
{
	People *p = people_new(500, PGML_TASK_REGRESSION);
	double score, best = INFINITY;
	int chosen = 0;
	char words[100];
	const char *text;
	Run r;

	(void) state;
	run_init(&r);
	r.options.max_trials = 4;
	r.options.max_predict_us = 1e6;
	run_train(&r, p);
	for (int i = 0; i < r.result.n_trials; i++)
	{
		chosen += r.result.trials[i].chosen;
		best = fmin(best, r.result.trials[i].validation_score);
	}
	assert_true(chosen > 1);
	snprintf(words, sizeof(words), "An ensemble of %d trials (", chosen);
	assert_says(&r, words);
	text = strstr(r.result.why, "): rmse ");
	assert_non_null(text);
	score = strtod(text + 8, NULL);
	assert_true(score > 0.8 * best && score < best);
	snprintf(words, sizeof(words), "%% better than the best single trial (");
	assert_says(&r, words);
	snprintf(words, sizeof(words), ": %.5g; better on ", best);
	assert_says(&r, words);
	snprintf(words, sizeof(words), " %% better than a constant prediction (%.5g)",
			 r.result.trials[0].validation_score);
	assert_says(&r, words);
	assert_silent(&r, "microseconds");
	run_done(&r);
	people_free(p);
}

/* A model alone: the others that were tried, and that it was asked for. */
static void
single_models_are_explained(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = linear;
	r.options.n_algorithms = 1;
	r.options.n_hyperparams = 0;
	r.options.max_trials = 1;
	r.options.metric = "roc_auc";
	run_train(&r, p);
	assert_says(&r, "linear (trial 2): roc_auc 0.");
	assert_says(&r, " in 2-fold cross-validation, 0.");
	assert_says(&r, " better than a constant prediction (0.4");
	assert_silent(&r, "other algorithms");
	run_done(&r);

	run_init(&r);
	r.options.ensemble = 1;
	run_train(&r, p);
	assert_says(&r, " better than the best of other algorithms (");
	assert_says(&r, " of 2 folds), and ");
	assert_says(&r, "; options asked for one trial");
	run_done(&r);

	run_init(&r);
	r.options.algorithms = constant;
	r.options.n_algorithms = 1;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_says(&r, "A constant prediction: roc_auc 0.");
	assert_says(&r, "no other algorithm was tried");
	run_done(&r);
	people_free(p);
}

/* What is left out for the time that predictions take is told, when the score would gain. */
static void
slow_trials_are_told(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	double enough;
	Run r;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	assert_true(r.result.trials[1].chosen && r.result.trials[2].chosen);
	enough = r.result.trials[1].predict_us + r.result.trials[2].predict_us;
	run_done(&r);

	run_init(&r);
	r.options.max_predict_us = 0.99 * enough;
	run_train(&r, p);
	assert_says(&r, "; with trial ");
	assert_silent(&r, "no mean");
	assert_says(&r, ", but predictions would take ");
	assert_says(&r, " that they may");
	run_done(&r);

	run_init(&r);
	r.options.max_predict_us = 1e-6;
	run_train(&r, p);
	assert_says(&r, "microseconds a row, more than the 1e-06 that predictions may take");
	run_done(&r);
	people_free(p);
}

int
test_why(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folds_are_scored),
		cmocka_unit_test(one_part_has_the_score_of_the_trial),
		cmocka_unit_test(failed_trials_have_no_scores),
		cmocka_unit_test(bytes_add_up),
		cmocka_unit_test(ensembles_are_explained),
		cmocka_unit_test(single_models_are_explained),
		cmocka_unit_test(slow_trials_are_told),
	};

	return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
