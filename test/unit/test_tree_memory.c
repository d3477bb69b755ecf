/*
 * Tests of what tree learners say that a fit takes: a fit does not take much more, nor a fraction of it only, however the table is shaped.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/par.h"
#include "core/rng.h"
#include "data/bins.h"
#include "learner/learner.h"
#include "unit.h"

/* A shape of a table, and settings that shape trees. */
typedef struct Shape
{
	const char *name;
	int64_t n, n_valid;
	int nfeatures, n_categories, n_levels;
	PgmlTask task;
	int n_classes;
	const char *settings; /* name=number, separated by blanks; those that a learner has */
} Shape;

static const Shape shapes[] = {
	{ "small", 300, 60, 8, 2, 10, PGML_TASK_BINARY, 2, "" },
	{ "wide", 300, 30, 5000, 0, 0, PGML_TASK_REGRESSION, 1, "" },
	{ "long", 200000, 20000, 4, 1, 20, PGML_TASK_BINARY, 2, "max_depth=6" },
	{ "classes", 1500, 300, 8, 2, 30, PGML_TASK_MULTICLASS, 60, "" },
	{ "categories", 2000, 300, 10, 10, 250, PGML_TASK_BINARY, 2, "" },
	{ "deep", 6000, 600, 6, 1, 50, PGML_TASK_REGRESSION, 1,
	  "num_leaves=4096 min_data_in_leaf=1 depth=9" },
	{ "wide and deep", 1200, 100, 300, 0, 0, PGML_TASK_REGRESSION, 1,
	  "num_leaves=900 min_data_in_leaf=1" },
};

/* A table of random numbers that tell something of the target. */
typedef struct Table
{
	PgmlFeature *features;
	float **col;
	double *y;
	int32_t *rows;
	PgmlMatrix x;
} Table;

static void
make_column(const Shape *s, Table *t, int f, PgmlRng *rng)
{
	bool categorical = f < s->n_categories;

	t->features[f] = (PgmlFeature){ .name = "x",
									.categorical = categorical,
									.n_levels = categorical ? s->n_levels : 0 };
	t->col[f] = malloc((size_t) s->n * sizeof(float));
	for (int64_t i = 0; i < s->n; i++)
	{
		double u = pgml_rng_uniform(rng);

		t->col[f][i] = (float) (categorical ? floor(u * u * s->n_levels) : u);
		if (f < 8)
			t->y[i] += (f % 2 ? 1 : -1) * (categorical ? u * u : u);
	}
}

static void
make_table(const Shape *s, Table *t)
{
	PgmlRng rng;

	pgml_rng_init(&rng, 8, 1);
	t->features = calloc((size_t) s->nfeatures, sizeof(PgmlFeature));
	t->col = calloc((size_t) s->nfeatures, sizeof(float *));
	t->y = calloc((size_t) s->n, sizeof(double));
	t->rows = calloc((size_t) s->n, sizeof(int32_t));
	for (int f = 0; f < s->nfeatures; f++)
		make_column(s, t, f, &rng);
	for (int64_t i = 0; i < s->n; i++)
	{
		double y = t->y[i] + 0.3 * pgml_rng_normal(&rng);

		t->rows[i] = (int32_t) i;
		t->y[i] = s->task == PGML_TASK_REGRESSION ? y :
				  s->task == PGML_TASK_BINARY     ? y > 0 :
													fmod(floor(fabs(y) * 40), s->n_classes);
	}
	t->x = (PgmlMatrix){
		.nrows = s->n, .nfeatures = s->nfeatures, .features = t->features, .col = t->col
	};
}

static void
free_table(const Shape *s, Table *t)
{
	for (int f = 0; f < s->nfeatures; f++)
		free(t->col[f]);
	free(t->features);
	free(t->col);
	free(t->y);
	free(t->rows);
}

/* Set those of "name=number ..." that the learner has. */
static void
set_settings(const PgmlLearner *learner, PgmlParams *params, const char *settings)
{
	char copy[200];

	snprintf(copy, sizeof(copy), "%s", settings);
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
	{
		char *value = strchr(word, '=');

		*value++ = '\0';
		if (pgml_param_index(learner, word) >= 0)
			assert_int_equal(pgml_params_set(learner, params, word, atof(value), NULL), PGML_OK);
	}
}

/* What was said is enough for a fit, and not several times what it takes. */
static void
check_fit(const PgmlLearner *learner, const Shape *s, const Table *t, int threads, bool binned)
{
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error, .seed = 1 };
	PgmlDataset data = { .x = &t->x,
						 .y = t->y,
						 .task = s->task,
						 .n_classes = s->n_classes,
						 .rows = t->rows,
						 .n = s->n - s->n_valid,
						 .valid_rows = t->rows + s->n - s->n_valid,
						 .n_valid = s->n_valid };
	PgmlFit fit = { 0 };
	PgmlParams params;
	PgmlArena *arena;
	PgmlBins *bins;
	int64_t before, said, payload, taken;

	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	pgml_params_default(learner, &params);
	set_settings(learner, &params, "n_estimators=1");
	set_settings(learner, &params, s->settings);
	if (binned)
	{
		assert_int_equal(pgml_bins_create(&env, arena, &t->x, t->rows, (int) s->n,
										  (int) pgml_param(learner, &params, "max_bin"), &bins),
						 PGML_OK);
		data.bins = bins;
	}
	env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
	pgml_buf_init(&fit.payload, &budget);
	said = learner->memory(&data, &params, &payload);
	before = atomic_load(&budget.used);
	atomic_store(&budget.peak, before);
	budget.limit = before + threads * said + 2 * payload;
	if (learner->fit(&env, &data, &params, &fit) != PGML_OK || fit.out_of_memory)
		fail_msg("%s, %s, %d threads, %s bins: %lld and %lld bytes are not enough (%s)",
				 learner->name, s->name, threads, binned ? "with" : "without", (long long) said,
				 (long long) payload, error.message);
	taken = atomic_load(&budget.peak) - before;
	if (taken < said / 3)
		fail_msg("%s, %s, %d threads, %s bins: %lld bytes instead of %lld", learner->name, s->name,
				 threads, binned ? "with" : "without", (long long) taken, (long long) said);
	pgml_buf_free(&fit.payload);
	pgml_pool_destroy(env.pool);
	pgml_arena_destroy(arena);
	assert_int_equal(atomic_load(&budget.used), 0);
}

static void
estimates_are_what_is_taken(void **state)
{
	static const PgmlLearner *const learners[] = {
		&pgml_learner_gradient_boosting, &pgml_learner_oblivious_boosting,
		&pgml_learner_random_forest, &pgml_learner_extra_trees, &pgml_learner_decision_tree
	};

	(void) state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		Table table;

		make_table(&shapes[i], &table);
		for (size_t l = 0; l < sizeof(learners) / sizeof(learners[0]); l++)
		{
			check_fit(learners[l], &shapes[i], &table, 1, true);
			check_fit(learners[l], &shapes[i], &table, 1, false);
			if (shapes[i].nfeatures < 1000) /* slow under sanitizers */
				check_fit(learners[l], &shapes[i], &table, 3, true);
		}
		free_table(&shapes[i], &table);
	}
}

int
test_tree_memory(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(estimates_are_what_is_taken),
	};

	return cmocka_run_group_tests_name("memory of trees", tests, NULL, NULL);
}
