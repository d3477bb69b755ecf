/*
 * Tests of a whole training: what it gives, that it repeats, and that it is honest.
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

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* ---- what comes out ---- */

/* Scores of every metric of the task, each inside its interval. */
static void
check_scores(const Run *r)
{
	int n, defined = 0;
	const PgmlMetric *metrics = pgml_metrics(&n);

	for (int i = 0; i < n; i++)
		defined += (metrics[i].tasks & r->result.task) != 0 && metrics[i].quantile == 0;
	assert_int_equal(r->result.n_test_scores, defined);
	for (int i = 0; i < r->result.n_test_scores; i++)
	{
		const PgmlScore *s = &r->result.test_scores[i];

		assert_true(s->metric->tasks & r->result.task);
		if (isnan(s->value)) /* rmsle of negative numbers */
			continue;
		assert_true(s->low <= s->value && s->value <= s->high);
		if (s->metric == r->result.metric)
			assert_true(s->value == r->result.score.value);
	}
	assert_true(pgml_metric_better(r->result.metric, r->result.score.value, r->result.baseline));
}

/* The baseline and the trials, numbered, scored, at least one chosen. */
static void
check_trials(const Run *r)
{
	int chosen = 0;

	assert_int_equal(r->result.n_trials, 3);
	for (int i = 0; i < r->result.n_trials; i++)
	{
		const PgmlTrial *t = &r->result.trials[i];

		assert_int_equal(t->number, i + 1);
		assert_int_equal(t->status, PGML_TRIAL_OK);
		assert_string_equal(t->error, "");
		assert_true(isfinite(t->validation_score));
		assert_int_equal(t->folds, 2);
		assert_true(t->rows > 0 && t->rows < r->result.rows_train);
		assert_true(t->fit_cpu >= 0 && t->fit_wall >= 0);
		chosen += t->chosen;
	}
	assert_ptr_equal(r->result.trials[0].learner, &pgml_learner_constant);
	assert_ptr_equal(r->result.trials[1].learner, &pgml_learner_linear);
	assert_ptr_equal(r->result.trials[2].learner, &pgml_learner_gradient_boosting);
	assert_false(r->result.trials[0].chosen);
	assert_true(chosen >= 1);
}

/* The rate that a learner chooses for the trial is noted, and kept when it is fitted again. */
static void
chosen_rates_are_kept(void **state)
{
	static const char *const names[] = { "oblivious_boosting" };
	static const PgmlHyperparam rounds[] = { { "n_estimators", 40, NULL } };

	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
	{
		People *p = people_new(600, tasks[k]);
		const PgmlTrial *trial;
		Run r;

		run_init(&r);
		r.options.algorithms = names;
		r.options.n_algorithms = 1;
		r.options.folds = 1;
		r.options.hyperparams = rounds;
		r.options.n_hyperparams = 1;
		run_train(&r, p);
		assert_string_equal(r.result.algorithm, "oblivious_boosting");
		trial = &r.result.trials[r.result.n_trials - 1];
		assert_ptr_equal(trial->learner, &pgml_learner_oblivious_boosting);
		assert_true(pgml_param(trial->learner, &trial->params, "learning_rate") > 0.01);
		assert_true(pgml_metric_better(r.result.metric, r.result.score.value, r.result.baseline));
		run_image(&r);
		run_done(&r);
		people_free(p);
	}
}

/*
 * A quantile that models are asked for is what they are compared by, validated, scored and compared with the baseline by; the median by mae,
 * unless told otherwise.
 */
static void
quantiles_have_their_metric(void **state)
{
	static const char *const names[] = { "gradient_boosting" };
	static const PgmlHyperparam high[] = { { "objective", 0, "quantile" }, { "alpha", 0.8, NULL } };
	static const PgmlHyperparam middle[] = { { "objective", 0, "absolute" } };
	static const struct
	{
		const PgmlHyperparam *hyperparams;
		int n;
		const char *given, *metric;
		double quantile;
	} cases[] = { { high, 2, NULL, "pinball", 0.8 },
				  { high, 2, "pinball", "pinball", 0.8 },
				  { high, 2, "rmse", "rmse", 0.8 },
				  { middle, 1, NULL, "mae", 0.5 },
				  { middle, 1, "pinball", "pinball", 0.5 } };

	(void) state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
	{
		People *p = people_new(600, PGML_TASK_REGRESSION);
		const PgmlTrainResult *result;
		const PgmlScore *pinball;
		Run r;

		run_init(&r);
		r.options.algorithms = names;
		r.options.n_algorithms = r.options.max_trials = 1;
		r.options.hyperparams = cases[k].hyperparams;
		r.options.n_hyperparams = cases[k].n;
		r.options.metric = cases[k].given;
		run_train(&r, p);
		result = &r.result;
		assert_string_equal(result->metric->name, cases[k].metric);
		assert_int_equal(has_notice(&r,
									cases[k].quantile == 0.5 ? "the metric is mae, as the median" :
															   "pinball, as quantile 0.8",
									false),
						 cases[k].given == NULL);
		assert_true(pgml_metric_better(result->metric, result->trials[1].validation_score,
									   result->trials[0].validation_score));
		assert_true(pgml_metric_better(result->metric, result->score.value, result->baseline));
		pinball = &result->test_scores[result->n_test_scores - 1];
		assert_string_equal(pinball->metric->name, "pinball");
		assert_true(pinball->metric->quantile == cases[k].quantile);
		assert_true(pinball->low <= pinball->value && pinball->value <= pinball->high);
		/* Half of the absolute error, at the median. */
		if (cases[k].quantile == 0.5)
			for (int i = 0; i < result->n_test_scores; i++)
				if (strcmp(result->test_scores[i].metric->name, "mae") == 0)
					assert_true(fabs(result->test_scores[i].value / 2 - pinball->value) < 1e-12);
		run_done(&r);
		people_free(p);
	}
}

static void
better_than_the_baseline(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
	{
		People *p = people_new(500, tasks[k]);
		PgmlImage image;
		Run r;

		run_init(&r);
		run_train(&r, p);
		assert_int_equal(r.result.task, tasks[k]);
		assert_int_equal(r.result.n_classes, k + 1);
		assert_ptr_equal(r.result.metric, pgml_metric_default(tasks[k]));
		assert_int_equal(r.result.rows_total, 500);
		assert_int_equal(r.result.rows_read, 500);
		assert_int_equal(r.result.rows_train + r.result.rows_test, 500);
		assert_int_equal(r.result.rows_reserved, 0);
		assert_true(r.result.rows_test >= 98 && r.result.rows_test <= 102);
		assert_false(r.result.score_is_validation);
		assert_false(r.result.champion_scored);
		check_scores(&r);
		check_trials(&r);
		image = run_image(&r);
		assert_int_equal(image.task, tasks[k]);
		assert_string_equal(image.target, "y");
		assert_int_equal(image.recipe.n_inputs, p->f.table.ncols);
		assert_int_equal(image.recipe.n_features, r.result.n_features);
		assert_false(uses_column(&r, COL_ID));
		assert_false(uses_column(&r, COL_Y));
		assert_true(uses_column(&r, COL_CITY));
		assert_true(has_notice(&r, "not used as features: \"id\"", false));
		run_done(&r);
		people_free(p);
	}
}

/* The score is that of the image on the test rows: nothing else is measured. */
static void
metric_that_was_asked_for(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.metric = "log_loss";
	r.options.positive_class = "no";
	run_train(&r, p);
	assert_string_equal(r.result.metric->name, "log_loss");
	assert_string_equal(r.result.classes[1], "no");
	assert_string_equal(run_image(&r).metric, "log_loss");
	assert_true(has_notice(&r, "probabilities are of the class \"no\"", false));
	assert_true(r.result.score.value < r.result.baseline);
	run_done(&r);
	people_free(p);
}

/* Rows without a target are left out and counted. */
static void
rows_without_a_target(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int64_t i = 0; i < 300; i += 3)
		set_text(&p->f.cols[COL_Y], i, i % 2 ? NULL : "  ");
	run_init(&r);
	run_train(&r, p);
	assert_int_equal(r.result.rows_no_target, 100);
	assert_int_equal(r.result.rows_train + r.result.rows_test, 200);
	assert_true(has_notice(&r, "100 rows without a value of \"y\" were left out", false));
	run_done(&r);
	people_free(p);
}

/* When the constant predictor is all that was asked for, it is what comes out. */
static void
only_the_constant(void **state)
{
	const char *const algorithms[] = { "constant" };
	People *p = people_new(100, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = algorithms;
	r.options.n_algorithms = 1;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	assert_string_equal(r.result.algorithm, "constant");
	assert_int_equal(r.result.n_trials, 1);
	assert_true(r.result.trials[0].chosen);
	assert_true(r.result.score.value == r.result.baseline);
	run_done(&r);
	people_free(p);
}

/* ---- the same again ---- */

static void
threads_do_not_matter(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
	{
		People *p = people_new(400, tasks[k]);
		Run runs[3];

		for (int i = 0; i < 3; i++)
		{
			run_init(&runs[i]);
			runs[i].options.max_trials = 3;
			runs[i].options.folds = k == 1 ? 1 : 3;
			runs[i].env.pool = i > 0 ? pgml_pool_create(i + 1) : NULL;
			run_train(&runs[i], p);
			assert_same_image(&runs[0], &runs[i]);
			assert_true(runs[i].result.score.value == runs[0].result.score.value);
			assert_true(runs[i].result.score.low == runs[0].result.score.low);
			for (int t = 0; t < runs[i].result.n_trials; t++)
				assert_true(runs[i].result.trials[t].validation_score ==
							runs[0].result.trials[t].validation_score);
		}
		for (int i = 0; i < 3; i++)
		{
			pgml_pool_destroy(runs[i].env.pool);
			run_done(&runs[i]);
		}
		people_free(p);
	}
}

static void
seed_and_salt_matter(void **state)
{
	People *p = people_new(300, PGML_TASK_BINARY);
	Run first, again, seeded, salted;

	(void) state;
	run_init(&first);
	run_train(&first, p);
	run_init(&again);
	run_train(&again, p);
	assert_same_image(&first, &again);
	run_init(&seeded);
	seeded.env.seed = 43;
	run_train(&seeded, p);
	assert_false(same_image(&first, &seeded));
	/* The split belongs to the model, not to the seed. */
	assert_int_equal(seeded.split.threshold[0], first.split.threshold[0]);
	run_init(&salted);
	salted.split.salt++;
	run_train(&salted, p);
	assert_false(same_image(&first, &salted));
	run_done(&first);
	run_done(&again);
	run_done(&seeded);
	run_done(&salted);
	people_free(p);
}

/* ---- honesty ---- */

/* Make nonsense of a row: new categories, extremes, missing values, another label; its identity stays. */
static void
scramble(People *p, int64_t row)
{
	PgmlColumn *c = p->f.cols;
	char text[40];

	snprintf(text, sizeof(text), "never seen %d", (int) row);
	c[COL_AGE].num[row] = row % 3 == 0 ? NAN : row % 3 == 1 ? 1e30 : -7;
	set_text(&c[COL_CITY], row, row % 2 ? text : "2024-01-01");
	c[COL_NOISE].num[row] = row % 2 ? INFINITY : 0.125;
	c[COL_WEIGHT].num[row] = (double) (row % 5);
	if (p->task == PGML_TASK_REGRESSION)
		c[COL_Y].num[row] = -1000;
	else if (p->task == PGML_TASK_BINARY)
		set_text(&c[COL_Y], row, c[COL_Y].code[row] == 0 ? "yes" : "no");
	else
		set_text(&c[COL_Y], row, row % 2 ? "low" : "high");
}

/* Columns by which rows are split; NULL for the default ways. */
static void
split_by(Run *r, const char *time_column, const char *group_column)
{
	r->options.time_column = time_column;
	r->options.group_column = group_column;
}

/*
 * Train a first version on 400 rows; then a second one on 600 rows, and again after the rows that the first was tested on
 * have been scrambled: the second version must not notice.
 */
static void
check_honesty(PgmlTask task, const char *time_column, const char *group_column)
{
	People *before = people_new(400, task);
	People *grown = people_new(600, task);
	Run first, clean, dirty;
	int64_t scrambled = 0;

	run_init(&first);
	split_by(&first, time_column, group_column);
	run_train(&first, before);
	run_init_next(&clean, &first);
	split_by(&clean, time_column, group_column);
	run_train(&clean, grown);
	bool *tested = calloc(600, sizeof(bool));
	for (int64_t i = 0; i < 600; i++)
		tested[i] = was_tested(&first, grown, i);
	for (int64_t i = 0; i < 600; i++)
		if (tested[i])
		{
			scramble(grown, i);
			scrambled += i < 400;
		}
	assert_int_equal(scrambled, first.result.rows_test);
	run_init_next(&dirty, &first);
	split_by(&dirty, time_column, group_column);
	run_train(&dirty, grown);
	assert_same_model(&clean, &dirty);
	assert_false(same_image(&first, &clean));
	assert_int_equal(clean.result.rows_train, dirty.result.rows_train);
	for (int t = 0; t < clean.result.n_trials; t++)
		assert_true(clean.result.trials[t].validation_score ==
					dirty.result.trials[t].validation_score);
	free(tested);
	run_done(&first);
	run_done(&clean);
	run_done(&dirty);
	people_free(before);
	people_free(grown);
}

static void
tested_rows_never_train(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
		check_honesty(tasks[k], NULL, NULL);
}

static void
tested_moments_never_train(void **state)
{
	(void) state;
	check_honesty(PGML_TASK_REGRESSION, "joined", NULL);
	check_honesty(PGML_TASK_BINARY, "joined", NULL);
}

static void
tested_groups_never_train(void **state)
{
	(void) state;
	check_honesty(PGML_TASK_MULTICLASS, NULL, "shop");
}

/* The first version does not look at its test rows either, but for the scores of intervals. */
static void
own_test_rows_do_not_train(void **state)
{
	People *p = people_new(400, PGML_TASK_REGRESSION);
	Run clean, dirty;

	(void) state;
	run_init(&clean);
	run_train(&clean, p);
	for (int64_t i = 0; i < 400; i++)
		if (was_tested(&clean, p, i))
			scramble(p, i);
	run_init(&dirty);
	run_train(&dirty, p);
	assert_same_model(&clean, &dirty);
	assert_true(dirty.result.score.value > 100 && clean.result.score.value < 1);
	run_done(&clean);
	run_done(&dirty);
	people_free(p);
}

static void
newest_rows_test(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	const double *joined = p->f.cols[COL_JOINED].num;
	int64_t newer = 0;
	Run r;

	(void) state;
	run_init(&r);
	split_by(&r, "joined", NULL);
	r.options.folds = 0;
	run_train(&r, p);
	assert_int_equal(r.split.method, PGML_SPLIT_TIME);
	assert_int_equal(r.split.n_windows, 1);
	for (int64_t i = 0; i < 400; i++)
	{
		newer += joined[i] >= r.split.windows[0].from;
		assert_true(joined[i] <= r.split.windows[0].upto);
	}
	assert_int_equal(newer, r.result.rows_test);
	assert_true(newer >= 80 && newer <= 85);
	/* Validation is by time too: one part, the newest of the rest. */
	assert_int_equal(r.result.trials[1].folds, 1);
	assert_true(uses_column(&r, COL_JOINED));
	run_done(&r);
	people_free(p);
}

static void
whole_groups_test(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	int64_t tested = 0;
	Run r;

	(void) state;
	run_init(&r);
	split_by(&r, NULL, "shop");
	run_train(&r, p);
	assert_int_equal(r.split.method, PGML_SPLIT_GROUP);
	for (int64_t i = 0; i < 400; i++)
		tested += was_tested(&r, p, i);
	assert_int_equal(tested, r.result.rows_test);
	assert_true(tested > 40 && tested < 130);
	assert_false(uses_column(&r, COL_SHOP));
	run_done(&r);
	people_free(p);
}

/* Fewer groups, or moments, than folds: validation does with what there is. */
static void
few_groups_and_moments(void **state)
{
	People *p = people_new(200, PGML_TASK_BINARY);
	Run r;

	(void) state;
	for (int groups = 2; groups <= 4; groups++)
		for (int folds = 0; folds <= 3; folds += 3)
		{
			char shop[20];

			for (int64_t i = 0; i < 200; i++)
			{
				snprintf(shop, sizeof(shop), "shop %d", (int) (i % groups));
				set_text(&p->f.cols[COL_SHOP], i, shop);
				p->f.cols[COL_JOINED].num[i] = (double) (i % groups) * 86400;
			}
			run_init(&r);
			r.options.folds = folds;
			split_by(&r, NULL, "shop");
			run_train(&r, p);
			run_done(&r);
			run_init(&r);
			r.options.folds = folds;
			split_by(&r, "joined", NULL);
			run_train(&r, p);
			run_done(&r);
		}
	people_free(p);
}

/* ---- weights and columns ---- */

/* Weights of 1 are no weights; others make another model. The column is no feature. */
static void
weights_count(void **state)
{
	const char *const exclude[] = { "weight" };
	People *p = people_new(400, PGML_TASK_BINARY);
	Run none, one, other;

	(void) state;
	run_init(&other);
	other.options.weight_column = "weight";
	run_train(&other, p);
	assert_false(uses_column(&other, COL_WEIGHT));
	for (int64_t i = 0; i < 400; i++)
		p->f.cols[COL_WEIGHT].num[i] = 1;
	run_init(&none);
	none.options.exclude = exclude;
	none.options.n_exclude = 1;
	run_train(&none, p);
	run_init(&one);
	one.options.weight_column = "weight";
	run_train(&one, p);
	assert_false(uses_column(&one, COL_WEIGHT));
	for (int t = 0; t < 3; t++)
	{
		double unweighted = none.result.trials[t].validation_score;

		assert_true(fabs(one.result.trials[t].validation_score - unweighted) < 1e-9);
		if (t > 0)
			assert_true(fabs(other.result.trials[t].validation_score - unweighted) > 1e-9);
	}
	assert_true(fabs(one.result.score.value - none.result.score.value) < 1e-9);
	run_done(&none);
	run_done(&one);
	run_done(&other);
	people_free(p);
}

static void
columns_that_were_chosen(void **state)
{
	const char *const features[] = { "age", "city", "id" };
	const char *const exclude[] = { "city" };
	const char *const ids[] = { "noise" };
	People *p = people_new(200, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	r.options.features = features;
	r.options.n_features = 3;
	run_train(&r, p);
	for (int col = 0; col < COL_Y; col++)
		assert_int_equal(uses_column(&r, col), col == COL_AGE || col == COL_CITY || col == COL_ID);
	run_done(&r);

	run_init(&r);
	r.options.exclude = exclude;
	r.options.n_exclude = 1;
	r.options.id_columns = ids;
	r.options.n_id_columns = 1;
	run_train(&r, p);
	assert_false(uses_column(&r, COL_CITY));
	assert_false(uses_column(&r, COL_NOISE));
	assert_true(uses_column(&r, COL_AGE));
	assert_true(has_notice(&r, "\"city\" (excluded)", false));
	assert_true(has_notice(&r, "\"noise\" (an id column)", false));
	run_done(&r);
	people_free(p);
}

static void
leaking_column_is_told(void **state)
{
	People *p = people_new(400, PGML_TASK_BINARY);
	Run r;

	(void) state;
	run_init(&r);
	run_train(&r, p);
	assert_int_equal(r.result.n_leaks, 0);
	run_done(&r);
	for (int64_t i = 0; i < 400; i++)
		p->f.cols[COL_NOISE].num[i] +=
			strcmp(pgml_table_value(&p->f.table, COL_Y, i).str, "yes") == 0 ? 9 : 0;
	run_init(&r);
	run_train(&r, p);
	assert_int_equal(r.result.n_leaks, 1);
	assert_int_equal(r.result.leaks[0].source, COL_NOISE);
	assert_true(has_notice(&r, "column \"noise\" looks as if it leaks the target", false));
	assert_true(has_notice(&r, "exclude => '{noise}'", false));
	assert_true(uses_column(&r, COL_NOISE));
	run_done(&r);
	people_free(p);
}

/* Without test rows the score is that of validation, and says so. */
static void
no_test_rows(void **state)
{
	(void) state;
	for (size_t k = 0; k < sizeof(tasks) / sizeof(tasks[0]); k++)
		for (int folds = 1; folds <= 3; folds += 2)
		{
			People *p = people_new(200, tasks[k]);
			Run r;

			run_init(&r);
			r.split.test_size = r.options.test_size = 0;
			r.options.folds = folds;
			r.options.ensemble = 1;
			run_train(&r, p);
			assert_int_equal(r.result.rows_test, 0);
			assert_int_equal(r.result.rows_train, 200);
			assert_true(r.result.score_is_validation);
			for (int t = 0; t < r.result.n_trials; t++)
				if (r.result.trials[t].chosen)
					assert_true(fabs(r.result.trials[t].validation_score - r.result.score.value) <
								1e-12);
			check_scores(&r);
			assert_true(has_notice(&r, "no rows were held out for testing", false));
			run_done(&r);
			people_free(p);
		}
}

/* With one part, the model is fitted again on all training rows, unless that is not wanted; folds are never fitted again. */
static void
refit_can_be_left_out(void **state)
{
	(void) state;
	for (int folds = 1; folds <= 3; folds += 2)
	{
		People *p = people_new(300, PGML_TASK_REGRESSION);
		Run again, once;

		run_init(&again);
		run_init(&once);
		again.options.folds = once.options.folds = folds;
		again.options.ensemble = once.options.ensemble = 1;
		again.options.max_trials = once.options.max_trials = 1;
		once.options.no_refit = true;
		run_train(&again, p);
		run_train(&once, p);
		assert_true(again.result.trials[1].validation_score ==
					once.result.trials[1].validation_score);
		assert_int_equal(
			again.result.image.len == once.result.image.len &&
				memcmp(again.result.image.data, once.result.image.data, once.result.image.len) == 0,
			folds > 1);
		run_done(&again);
		run_done(&once);
		people_free(p);
	}
}

int
test_automl(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles_have_their_metric),
		cmocka_unit_test(better_than_the_baseline),
		cmocka_unit_test(chosen_rates_are_kept),
		cmocka_unit_test(metric_that_was_asked_for),
		cmocka_unit_test(rows_without_a_target),
		cmocka_unit_test(only_the_constant),
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(seed_and_salt_matter),
		cmocka_unit_test(tested_rows_never_train),
		cmocka_unit_test(tested_moments_never_train),
		cmocka_unit_test(tested_groups_never_train),
		cmocka_unit_test(own_test_rows_do_not_train),
		cmocka_unit_test(newest_rows_test),
		cmocka_unit_test(whole_groups_test),
		cmocka_unit_test(few_groups_and_moments),
		cmocka_unit_test(weights_count),
		cmocka_unit_test(columns_that_were_chosen),
		cmocka_unit_test(leaking_column_is_told),
		cmocka_unit_test(no_test_rows),
		cmocka_unit_test(refit_can_be_left_out),
	};

	return cmocka_run_group_tests_name("automl", tests, NULL, NULL);
}
