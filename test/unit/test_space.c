/* Tests of search/space, space_create and search_check: what a search may vary. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "make_table.h"
#include "search/ranges.h"
#include "search/space.h"
#include "unit.h"

static const PgmlParam toy_params[] = {
	{ "rate", "eta", PGML_PARAM_REAL, 0, 1, 0.1, true, "Rate.", NULL },
	{ "leaves", NULL, PGML_PARAM_INT, 1, 1000, 31, true, "Leaves.", NULL },
	{ "kernel", NULL, PGML_PARAM_CHOICE, 0, 2, 0, false, "Kernel.", "auto linear rbf" },
	{ "share", NULL, PGML_PARAM_REAL, 0, 1, PGML_WORD(0), false, "Share.", "auto" },
	{ "extra", NULL, PGML_PARAM_BOOL, 0, 1, 0, false, "Extra.", NULL },
};
static const PgmlLearner toy = { .name = "toy", .params = toy_params, .n_params = 5 };

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.17g is not %.17g", a, b);
}

/* Options with a search_space of up to eight settings. */
typedef struct Wish
{
	Fixture f;
	PgmlTrainOptions options;
	PgmlSearchSetting setting[8];
	PgmlHyperparam value[8][4];
	PgmlHyperparam fixed;
	PgmlParams base;
	PgmlSpace space;
} Wish;

static void
wish_init(Wish *w)
{
	memset(w, 0, sizeof(*w));
	fixture_init(&w->f, 1);
	w->options.search_space = w->setting;
	pgml_params_default(&toy, &w->base);
}

/* The user lists up to four numbers, NAN behind the last. */
static void
list(Wish *w, const char *learner, const char *name, double a, double b, double c, double d)
{
	int at = w->options.n_search_space++;
	const double v[4] = { a, b, c, d };
	PgmlSearchSetting *s = &w->setting[at];

	*s = (PgmlSearchSetting){ .learner = learner, .name = name, .values = w->value[at], .log = -1 };
	for (int i = 0; i < 4 && !isnan(v[i]); i++)
		w->value[at][s->n_values++] = (PgmlHyperparam){ .name = name, .value = v[i] };
}

/* Two words. */
static void
words(Wish *w, const char *name, const char *a, const char *b)
{
	list(w, NULL, name, 0, 0, NAN, NAN);
	w->value[w->options.n_search_space - 1][0].text = a;
	w->value[w->options.n_search_space - 1][1].text = b;
}

static void
range(Wish *w, const char *name, double low, double high, int log, int steps)
{
	w->setting[w->options.n_search_space++] =
		(PgmlSearchSetting){ .name = name, .low = low, .high = high, .log = log, .steps = steps };
}

static void
make(Wish *w, const PgmlLearner *learner, const PgmlSpaceData *data, bool only_listed)
{
	assert_int_equal(pgml_space_create(&w->f.env, w->f.arena, &w->options, learner, &w->base, data,
									   only_listed, &w->space),
					 PGML_OK);
}

/* Values of a setting at coordinates 0, 1/2 and 1 of dimension d. */
static void
assert_values(const Wish *w, int d, double at_0, double at_half, double at_1)
{
	const double expected[3] = { at_0, at_half, at_1 };

	for (int i = 0; i < 3; i++)
	{
		double u[PGML_MAX_PARAMS];
		PgmlParams params;

		for (int k = 0; k < PGML_MAX_PARAMS; k++)
			u[k] = 0.5;
		u[d] = i / 2.0;
		pgml_space_snap(&w->space, u);
		pgml_space_params(&w->space, u, &params);
		assert_near(params.v[w->space.dim[d].param], expected[i], 1e-12);
		assert_true(params.given[w->space.dim[d].param]);
	}
}

static void
coordinates_are_settings(void **state)
{
	Wish w;
	double u[PGML_MAX_PARAMS], again[PGML_MAX_PARAMS];
	PgmlParams params;

	(void) state;
	wish_init(&w);
	range(&w, "eta", 0.01, 1, -1, 0); /* an alias; logarithmic as the setting's scale is */
	range(&w, "leaves", 1, 3, 0, 0);
	words(&w, "kernel", "linear", "rbf");
	list(&w, NULL, "share", 0.5, 0.25, 1, 0.5);
	list(&w, NULL, "extra", 1, 0, NAN, NAN);
	make(&w, &toy, NULL, true);
	assert_int_equal(w.space.n_dims, 5);
	assert_values(&w, 0, 0.01, 0.1, 1);
	assert_values(&w, 1, 1, 2, 3);
	assert_values(&w, 2, 1, 2, 2);
	assert_values(&w, 3, 0.25, 0.5, 1); /* in order, each once */
	assert_values(&w, 4, 1, 0, 0);
	/* A third of the coordinates for each of three numbers. */
	assert_int_equal(pgml_domain_count(&w.space.dim[1]), 3);
	for (int i = 0; i < 300; i++)
	{
		u[0] = u[2] = u[3] = u[4] = 0.2;
		u[1] = (i + 0.5) / 300;
		pgml_space_snap(&w.space, u);
		pgml_space_params(&w.space, u, &params);
		assert_near(params.v[1], 1 + i / 100, 0);
		pgml_space_point(&w.space, &params, again);
		assert_true(pgml_space_same(&w.space, u, again));
	}
	/* Settings outside are moved to the nearest; words that are not there are unknown. */
	make(&w, &toy, NULL, false);
	pgml_space_point(&w.space, &w.base, u);
	assert_near(u[0], 0.5, 1e-12);
	assert_near(w.space.dim[1].high, 3, 0);
	assert_true(isnan(u[2]) && isnan(u[3]));
	pgml_space_defaults(&w.space, u, &params);
	assert_near(params.v[0], 0.1, 1e-12);
	assert_near(params.v[1], 3, 0);
	assert_near(params.v[2], 2, 0);
	assert_near(params.v[3], 0.5, 0);
	fixture_done(&w.f);
}

/* Uniform whole numbers on the logarithmic scale: as many of each as there are per octave. */
static void
whole_numbers_on_a_logarithmic_scale(void **state)
{
	Wish w;
	double u[1];
	PgmlParams params;
	int n[9] = { 0 };

	(void) state;
	wish_init(&w);
	range(&w, "leaves", 1, 8, 1, 0);
	make(&w, &toy, NULL, false);
	for (int i = 0; i < 10000; i++)
	{
		u[0] = (i + 0.5) / 10000;
		pgml_space_snap(&w.space, u);
		pgml_space_params(&w.space, u, &params);
		n[(int) params.v[1]]++;
	}
	/* log(1.5 / 0.5) / log(8.5 / 0.5) and log(8.5 / 7.5) / the same */
	assert_near(n[1], 10000 * log(3) / log(17), 1);
	assert_near(n[8], 10000 * log(8.5 / 7.5) / log(17), 1);
	fixture_done(&w.f);
}

static void
steps_make_lists(void **state)
{
	Wish w;

	(void) state;
	wish_init(&w);
	range(&w, "rate", 0.01, 1, 1, 3);
	range(&w, "leaves", 1, 9, 0, 5);
	range(&w, "share", 0, 1, -1, 2);
	make(&w, &toy, NULL, false);
	assert_int_equal(w.space.dim[0].n_values, 3);
	assert_near(w.space.dim[0].values[1], 0.1, 1e-12);
	assert_near(w.space.dim[0].values[2], 1, 0);
	assert_int_equal(w.space.dim[1].n_values, 5);
	assert_near(w.space.dim[1].values[3], 7, 0);
	assert_int_equal(w.space.dim[2].n_values, 2);
	assert_int_equal(pgml_space_count(&w.space), 30);
	fixture_done(&w.f);
}

/* The learner's space: gamma only with the kernel rbf; what is fixed is no dimension. */
static void
settings_that_depend_on_others(void **state)
{
	const PgmlSpaceData data = { PGML_TASK_BINARY, 1000, 10, false };
	const PgmlLearner *svm = &pgml_learner_svm;
	Wish w;
	double u[PGML_MAX_PARAMS] = { 0 };
	PgmlParams params;

	(void) state;
	wish_init(&w);
	pgml_params_default(svm, &w.base);
	make(&w, svm, &data, false);
	assert_int_equal(w.space.n_dims, 3); /* epsilon is for numbers */
	assert_int_equal(w.space.dim[2].parent, 1);
	assert_near(w.space.dim[2].high, 1, 1e-12); /* 10 by 10 features */
	pgml_space_snap(&w.space, u);
	assert_false(isnan(u[2]));
	u[1] = 0.9;
	pgml_space_snap(&w.space, u);
	assert_true(isnan(u[2]));
	pgml_space_params(&w.space, u, &params);
	assert_false(params.given[pgml_param_index(svm, "gamma")]);
	/* Fixed to what gamma does not count with. */
	assert_int_equal(pgml_params_set_text(svm, &w.base, "kernel", "linear", NULL), PGML_OK);
	make(&w, svm, &data, false);
	assert_int_equal(w.space.n_dims, 1);
	assert_int_equal(pgml_params_set_text(svm, &w.base, "kernel", "rbf", NULL), PGML_OK);
	make(&w, svm, &data, false);
	assert_int_equal(w.space.n_dims, 2);
	/* The user's list leaves it out. */
	pgml_params_default(svm, &w.base);
	list(&w, NULL, "kernel", 0, NAN, 0, 0);
	w.value[0][0].text = "linear";
	make(&w, svm, &data, false);
	assert_int_equal(w.space.n_dims, 2);
	fixture_done(&w.f);
}

/* One with kernel linear, three with rbf, each with two values of C. */
static void
points_are_counted_and_numbered(void **state)
{
	const PgmlLearner *svm = &pgml_learner_svm;
	Wish w;
	double u[16][PGML_MAX_PARAMS];
	int n_missing = 0;

	(void) state;
	wish_init(&w);
	pgml_params_default(svm, &w.base);
	words(&w, "kernel", "linear", "rbf");
	list(&w, "svm", "gamma", 0.1, 1, 10, NAN);
	list(&w, NULL, "gamma", 5, NAN, 0, 0); /* what is for the learner alone comes first */
	list(&w, NULL, "C", 1, 10, NAN, 0);
	make(&w, svm, NULL, true);
	assert_int_equal(w.space.n_dims, 3);
	assert_int_equal(pgml_space_count(&w.space), 8);
	for (int i = 0; i < 8; i++)
	{
		pgml_space_nth(&w.space, i, u[i]);
		n_missing += isnan(u[i][2]);
		for (int j = 0; j < i; j++)
			assert_false(pgml_space_same(&w.space, u[i], u[j]));
	}
	assert_int_equal(n_missing, 2);
	range(&w, "tol", 0.001, 0.1, -1, 0);
	make(&w, svm, NULL, true);
	assert_int_equal(pgml_space_count(&w.space), 0);
	fixture_done(&w.f);
}

/* All ranges are in the bounds of the settings, whose names and words exist, and no condition hangs on another. */
static void
ranges_are_possible(void **state)
{
	static const PgmlSpaceData data[] = {
		{ PGML_TASK_BINARY, 100, 1, true },
		{ PGML_TASK_REGRESSION, 10, 5000, false },
		{ PGML_TASK_MULTICLASS, 1000000, 50, true },
	};
	int n;
	const PgmlLearner *const *all = pgml_learners(&n);

	(void) state;
	for (int l = 0; l < n; l++)
	{
		const PgmlRanges *ranges = pgml_ranges_of(all[l]);
		Wish w;

		for (int i = 0; ranges != NULL && i < ranges->n; i++)
			assert_true(pgml_param_index(all[l], ranges->range[i].name) >= 0);
		wish_init(&w);
		pgml_params_default(all[l], &w.base);
		for (int t = 0; t < 3; t++)
		{
			make(&w, all[l], &data[t], false);
			assert_true(w.space.least > 0 && w.space.least <= 1);
			for (int d = 0; d < w.space.n_dims; d++)
			{
				const PgmlDomain *dim = &w.space.dim[d];
				const PgmlParam *param = &all[l]->params[dim->param];

				for (int k = 0; k < dim->n_values; k++)
					assert_true(dim->values[k] >= param->min && dim->values[k] <= param->max);
				if (dim->n_values == 0)
					assert_true(dim->low >= param->min && dim->high <= param->max &&
								dim->low < dim->high);
				if (dim->parent >= 0)
					assert_int_equal(w.space.dim[dim->parent].parent, -1);
			}
		}
		fixture_done(&w.f);
	}
}

static void
less_of_a_resource(void **state)
{
	const PgmlSpaceData data = { PGML_TASK_BINARY, 1000, 10, false };
	Wish w;
	PgmlParams params;

	(void) state;
	wish_init(&w);
	pgml_params_default(&pgml_learner_mlp, &w.base);
	make(&w, &pgml_learner_mlp, &data, false);
	params = w.base;
	pgml_space_reduce(&w.space, 0.125, &params);
	assert_near(pgml_param(&pgml_learner_mlp, &params, "max_iter"), 32, 0);
	assert_near(w.space.least, 8.0 / 256, 0);
	pgml_params_default(&pgml_learner_gradient_boosting, &w.base);
	make(&w, &pgml_learner_gradient_boosting, &data, false);
	params = w.base;
	pgml_space_reduce(&w.space, 0.125, &params);
	assert_memory_equal(params.v, w.base.v, sizeof(params.v));
	assert_near(w.space.least, 0.2, 0);
	fixture_done(&w.f);
}

/* ---- what is refused ----------------------------------------------------------------------------- */

/* The check of w fails with a message and a hint, which have these parts. */
static void
assert_refused(Wish *w, const char *message, const char *hint)
{
	PgmlError error = { 0 };

	assert_int_equal(pgml_search_check(&w->options, &error), PGML_ERR_BADARG);
	if (strstr(error.message, message) == NULL || strstr(error.hint, hint) == NULL)
		fail_msg("message \"%s\", hint \"%s\"", error.message, error.hint);
	fixture_done(&w->f);
	wish_init(w);
}

static void
impossible_searches_are_refused(void **state)
{
	static const char *const only_boosting[] = { "gradient_boosting" };
	static const char *const only_mlp[] = { "mlp" }, *const no_mlp[] = { "-mlp" },
							 *const only_constant[] = { "constant" };
	PgmlError error = { 0 };
	Wish w;

	(void) state;
	wish_init(&w);
	assert_int_equal(pgml_search_check(&w.options, &error), PGML_OK);
	w.options.search = "best";
	assert_refused(&w, "unknown search \"best\"", "auto, random, grid, bayes, halving, nas");
	w.options.search = "nas";
	w.options.algorithms = no_mlp;
	w.options.n_algorithms = 1;
	assert_refused(&w, "none of the algorithms", "add \"mlp\"");
	w.options.search = "random";
	w.options.algorithms = only_constant;
	w.options.n_algorithms = 1;
	assert_refused(&w, "none of the algorithms", "has settings");
	w.options.search = "grid";
	assert_refused(&w, "needs a search_space", "Give lists");
	list(&w, "foo", "x", 1, NAN, 0, 0);
	assert_refused(&w, "\"foo\", which is no algorithm", "gradient_boosting");
	w.options.algorithms = no_mlp;
	w.options.n_algorithms = 1;
	list(&w, "mlp", "dropout", 0.1, NAN, 0, 0);
	assert_refused(&w, "\"mlp\", which is not among", "Add it");
	list(&w, NULL, "num_leafs", 3, NAN, 0, 0);
	assert_refused(&w, "no setting named \"num_leafs\"", "Did you mean \"num_leaves\"");
	list(&w, NULL, "num_leaves", NAN, 0, 0, 0);
	assert_refused(&w, "the list of \"num_leaves\" is empty", "For example");
	list(&w, NULL, "num_leaves", 15, 1, NAN, 0);
	assert_refused(&w, "must be between 2 and 32768, not 1", "under its name");
	list(&w, NULL, "num_leaves", 15.5, NAN, 0, 0);
	assert_refused(&w, "must be a whole number", "");
	range(&w, "learning_rate", 0.1, 2, -1, 0);
	assert_refused(&w, "must be between 1e-06 and 1, not 2", "under its name");
	range(&w, "learning_rate", 0.2, 0.1, -1, 0);
	assert_refused(&w, "from a smaller to a larger number, not from 0.2 to 0.1", "hyperparams");
	range(&w, "lambda_l2", 0, 1, 1, 0);
	assert_refused(&w, "must begin above 0", "small number");
	range(&w, "extra_trees", 0, 1, -1, 0);
	assert_refused(&w, "\"extra_trees\" is no number", "list");
	w.options.search = "grid";
	range(&w, "learning_rate", 0.1, 0.2, -1, 0);
	assert_refused(&w, "cannot have all numbers of the range of \"learning_rate\"", "\"n\": 5");
	w.options.search = "grid";
	w.options.algorithms = only_boosting;
	w.options.n_algorithms = 1;
	range(&w, "num_leaves", 2, 15, -1, 0);
	range(&w, "learning_rate", 0.1, 0.2, -1, 20);
	assert_refused(&w, "the grid has 280 points", "fewer values");
	w.options.search = "grid";
	range(&w, "num_leaves", 2, 32768, -1, 0);
	range(&w, "n_estimators", 2, 32768, -1, 0);
	assert_refused(&w, "more than a million points", "fewer values");
	w.fixed = (PgmlHyperparam){ .name = "eta", .value = 0.1 };
	w.options.hyperparams = &w.fixed;
	w.options.n_hyperparams = 1;
	list(&w, NULL, "learning_rate", 0.2, NAN, 0, 0);
	assert_refused(&w, "\"learning_rate\" is fixed in hyperparams", "Leave it out");
	list(&w, NULL, "learning_rate", 0.2, NAN, 0, 0);
	list(&w, NULL, "eta", 0.2, NAN, 0, 0);
	assert_refused(&w, "setting \"eta\" twice, also as \"learning_rate\"", "once");
	/* The same for all and for one is no contradiction. */
	list(&w, NULL, "learning_rate", 0.2, NAN, 0, 0);
	list(&w, "gradient_boosting", "eta", 0.3, NAN, 0, 0);
	assert_int_equal(pgml_search_check(&w.options, &error), PGML_OK);
	w.options.algorithms = only_mlp;
	w.options.n_algorithms = 1;
	assert_refused(&w, "\"gradient_boosting\", which is not among", "Add it");
	fixture_done(&w.f);
}

int
test_space(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coordinates_are_settings),
		cmocka_unit_test(whole_numbers_on_a_logarithmic_scale),
		cmocka_unit_test(steps_make_lists),
		cmocka_unit_test(settings_that_depend_on_others),
		cmocka_unit_test(points_are_counted_and_numbered),
		cmocka_unit_test(ranges_are_possible),
		cmocka_unit_test(less_of_a_resource),
		cmocka_unit_test(impossible_searches_are_refused),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
