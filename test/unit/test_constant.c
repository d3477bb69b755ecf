/* Tests of learner/constant: the baseline. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "learner/learner.h"

extern int test_constant(void);

static const PgmlLearner *const learner = &pgml_learner_constant;

/* A fit of the first n rows, which are all rows; the payload is the caller's to free. */
static PgmlStatus
fit_rows(PgmlEnv *env, PgmlTask task, int n_classes, const double *y, const double *w, int n,
		 PgmlFit *fit)
{
	int32_t rows[16];
	PgmlMatrix x = { .nrows = n };
	PgmlDataset data = { .x = &x, .y = y, .w = w, .task = task, .rows = rows, .n = n };
	PgmlParams params;

	for (int i = 0; i < n; i++)
		rows[i] = i;
	data.n_classes = n_classes;
	memset(fit, 0, sizeof(*fit));
	pgml_buf_init(&fit->payload, env->budget);
	pgml_params_default(learner, &params);
	return learner->fit(env, &data, &params, fit);
}

/* Fit, verify, predict two rows; out gets the second row's outputs. */
static void
fit_and_predict(PgmlTask task, int n_classes, const double *y, const double *w, int n, double *out)
{
	PgmlBudget budget;
	PgmlError err = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &err };
	PgmlShape shape = { .task = task, .n_classes = n_classes };
	int outputs = pgml_task_outputs(task, n_classes);
	double both[2 * 8];
	PgmlFit fit;

	pgml_budget_init(&budget, 0);
	assert_int_equal(fit_rows(&env, task, n_classes, y, w, n, &fit), PGML_OK);
	assert_int_equal(learner->verify(fit.payload.data, fit.payload.len, &shape, &err), PGML_OK);
	learner->predict(fit.payload.data, &shape, NULL, 2, both);
	assert_memory_equal(both, both + outputs, (size_t) outputs * sizeof(double));
	memcpy(out, both, (size_t) outputs * sizeof(double));
	pgml_buf_free(&fit.payload);
	assert_int_equal(budget.used, 0);
}

static void
predicts_the_weighted_mean(void **state)
{
	const double y[] = { 1, 2, 6 };
	const double w[] = { 1, 0, 3 };
	const double huge[] = { 1.7e308, 1.7e308, 1.7e308 };
	double out;

	(void) state;
	fit_and_predict(PGML_TASK_REGRESSION, 1, y, NULL, 3, &out);
	assert_true(fabs(out - 3) < 1e-15);
	fit_and_predict(PGML_TASK_REGRESSION, 1, y, w, 3, &out);
	assert_true(fabs(out - 4.75) < 1e-15);
	fit_and_predict(PGML_TASK_REGRESSION, 1, huge, NULL, 3, &out);
	assert_true(isfinite(out) && out > 1.69e308);
	fit_and_predict(PGML_TASK_REGRESSION, 1, y, NULL, 1, &out);
	assert_true(out == 1);
}

/* The least value up to which the quantile's share of the weight is. */
static void
predicts_a_quantile_when_asked(void **state)
{
	static const double y[] = { 5, -3, 0, 40, -0.5 };
	static const double w[] = { 1, 6, 1, 1, 1 };
	static const int32_t rows[] = { 0, 1, 2, 3, 4 };
	static const struct
	{
		double quantile, plain, weighted;
	} known[] = { { 0.001, -3, -3 }, { 0.2, -3, -3 }, { 0.21, -0.5, -3 }, { 0.5, 0, -3 },
				  { 0.61, 5, -0.5 }, { 0.9, 40, 5 },  { 0.999, 40, 40 } };

	(void) state;
	for (size_t k = 0; k < 2 * sizeof(known) / sizeof(known[0]); k++)
	{
		PgmlBudget budget;
		PgmlError err = { 0 };
		PgmlEnv env = { .budget = &budget, .error = &err };
		PgmlShape shape = { .task = PGML_TASK_REGRESSION, .n_classes = 1 };
		PgmlMatrix x = { .nrows = 5 };
		PgmlDataset data = { .x = &x,
							 .y = y,
							 .w = k % 2 ? w : NULL,
							 .task = PGML_TASK_REGRESSION,
							 .n_classes = 1,
							 .rows = rows,
							 .n = 5,
							 .quantile = known[k / 2].quantile };
		PgmlParams params;
		PgmlFit fit = { 0 };
		double out;

		pgml_budget_init(&budget, 0);
		pgml_buf_init(&fit.payload, &budget);
		pgml_params_default(learner, &params);
		assert_int_equal(learner->fit(&env, &data, &params, &fit), PGML_OK);
		learner->predict(fit.payload.data, &shape, NULL, 1, &out);
		assert_true(out == (k % 2 ? known[k / 2].weighted : known[k / 2].plain));
		pgml_buf_free(&fit.payload);
	}
}

static void
predicts_the_shares_of_the_classes(void **state)
{
	const double y[] = { 0, 1, 1, 1 };
	const double y3[] = { 0, 2, 2, 0, 2 };
	const double w[] = { 3, 1, 1, 1 };
	double out[3];

	(void) state;
	fit_and_predict(PGML_TASK_BINARY, 2, y, NULL, 4, out);
	assert_true(out[0] == 0.75);
	fit_and_predict(PGML_TASK_BINARY, 2, y, w, 4, out);
	assert_true(out[0] == 0.5);
	fit_and_predict(PGML_TASK_BINARY, 2, y + 1, NULL, 3, out);
	assert_true(out[0] <= 1 && out[0] > 0.999999);
	fit_and_predict(PGML_TASK_MULTICLASS, 3, y3, NULL, 5, out);
	assert_true(fabs(out[0] - 0.4) < 1e-15 && out[1] == 0 && fabs(out[2] - 0.6) < 1e-15);
}

static void
needs_a_row_with_a_weight(void **state)
{
	const double y[] = { 1, 2 };
	const double w[] = { 0, 0 };
	PgmlBudget budget;
	PgmlError err = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &err };
	PgmlFit fit;

	(void) state;
	pgml_budget_init(&budget, 0);
	assert_int_equal(fit_rows(&env, PGML_TASK_REGRESSION, 1, y, NULL, 0, &fit), PGML_ERR_DATA);
	assert_int_equal(fit_rows(&env, PGML_TASK_REGRESSION, 1, y, w, 2, &fit), PGML_ERR_DATA);
	assert_string_equal(err.message, "there are no rows with a weight to learn from");
}

static void
stops_when_asked(void **state)
{
	const double y[] = { 1, 2 };
	_Atomic int stop = 1;
	PgmlBudget budget;
	PgmlError err = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &err, .stop = &stop };
	PgmlFit fit;

	(void) state;
	pgml_budget_init(&budget, 0);
	assert_int_equal(fit_rows(&env, PGML_TASK_REGRESSION, 1, y, NULL, 2, &fit), PGML_ERR_CANCELLED);
}

static void
survives_every_failed_allocation(void **state)
{
	const double y[] = { 0, 1, 2 };
	PgmlBudget budget;
	PgmlError err = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &err };
	PgmlStatus status = PGML_ERR_NOMEM;
	PgmlFit fit;
	int at = 0;

	(void) state;
	while (status != PGML_OK)
	{
		pgml_budget_init(&budget, 0);
		budget.fail_at = ++at;
		status = fit_rows(&env, PGML_TASK_MULTICLASS, 3, y, NULL, 3, &fit);
		if (status != PGML_OK)
			assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
		pgml_buf_free(&fit.payload);
		assert_int_equal(budget.used, 0);
		assert_true(at < 100);
	}
	assert_true(at > 1);
}

static void
damaged_payloads_are_refused(void **state)
{
	const double y[] = { 0, 1, 2, 2 };
	PgmlBudget budget;
	PgmlError err = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &err };
	PgmlShape shape = { .task = PGML_TASK_MULTICLASS, .n_classes = 3 };
	PgmlShape other = { .task = PGML_TASK_MULTICLASS, .n_classes = 4 };
	PgmlFit fit;
	double nan = NAN;

	(void) state;
	pgml_budget_init(&budget, 0);
	assert_int_equal(fit_rows(&env, PGML_TASK_MULTICLASS, 3, y, NULL, 4, &fit), PGML_OK);

	uint8_t *p = fit.payload.data;

	for (size_t len = 0; len < fit.payload.len; len++)
		assert_int_equal(learner->verify(p, len, &shape, &err), PGML_ERR_CORRUPT);
	assert_int_equal(learner->verify(p, fit.payload.len, &other, &err), PGML_ERR_CORRUPT);
	p[0] ^= 2;
	assert_int_equal(learner->verify(p, fit.payload.len, &shape, &err), PGML_ERR_CORRUPT);
	p[0] ^= 2;
	p[8 + 7] ^= 0x80; /* a negative share */
	assert_int_equal(learner->verify(p, fit.payload.len, &shape, &err), PGML_ERR_CORRUPT);
	memcpy(p + 8, &nan, sizeof(nan));
	assert_int_equal(learner->verify(p, fit.payload.len, &shape, &err), PGML_ERR_CORRUPT);
	pgml_buf_free(&fit.payload);
}

int
test_constant(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(predicts_the_weighted_mean),
		cmocka_unit_test(predicts_a_quantile_when_asked),
		cmocka_unit_test(predicts_the_shares_of_the_classes),
		cmocka_unit_test(needs_a_row_with_a_weight),
		cmocka_unit_test(stops_when_asked),
		cmocka_unit_test(survives_every_failed_allocation),
		cmocka_unit_test(damaged_payloads_are_refused),
	};

	return cmocka_run_group_tests_name("constant", tests, NULL, NULL);
}
