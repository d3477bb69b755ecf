/*
 * Tests of monotone and interaction constraints: models keep to them whatever the loss, the growth and the rows; columns become
 * features; what cannot be kept to is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "learner/tree_shap.h"
#include "people.h"
#include "unit.h"

#define NF 8 /* features of the mixed data */

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.12g is not %.12g", a, b);
}

/* ---- by hand ---- */

/* Rows x = 1 2 .. with these targets, trees without bounds but the constraint. */
static Data *
data_line(const double *y, int n)
{
	Data *d = data_new(n, 1, PGML_TASK_REGRESSION, 1);

	for (int i = 0; i < n; i++)
	{
		d->col[0][i] = (float) (i + 1);
		d->y[i] = y[i];
	}
	set_stump(d);
	set(d, "num_leaves", n);
	return d;
}

/*
 * y = 0 10 2 8, mean 5.  Rising: {1} from the rest gains 25 + 25/3 (means -5 and 5/3); of the rest {2 3} from {4} (1 and 3), as
 * {2} from {3 4} would fall; {2} from {3} would fall, too.  That is the best rising function: 0 6 6 8.  Falling: no split.
 */
static void
one_feature_by_hand(void **state)
{
	static const double y[] = { 0, 10, 2, 8 };
	static const double rising[] = { 0, 6, 6, 8 };
	int8_t direction = 1;
	PgmlConstraints constraints = { .monotone = &direction };
	Data *d = data_line(y, 4);

	(void) state;
	fit(d, NULL);
	for (int i = 0; i < 4; i++)
		assert_near(predict_row(d, i), y[i], 1e-9);
	d->set.constraints = &constraints;
	fit(d, NULL);
	for (int i = 0; i < 4; i++)
		assert_near(predict_row(d, i), rising[i], 1e-9);
	direction = -1;
	fit(d, NULL);
	for (int i = 0; i < 4; i++)
		assert_near(predict_row(d, i), 5, 1e-9);
	direction = 0;
	fit(d, NULL);
	for (int i = 0; i < 4; i++)
		assert_near(predict_row(d, i), y[i], 1e-9);
	data_free(d);
}

/*
 * Rows (0, 0) (0, 1) (1, 0) (1, 1) with y = 1 13 14 12, mean 10: the first feature parts -3 from 3 and gains 36 (the second 25).
 * Rising, what is on its left stays at or below the middle 0: -9 and 3 become -9 and 0.
 */
static void
values_stay_on_their_side(void **state)
{
	static const double y[] = { 1, 13, 14, 12 };
	static const double rising[] = { 1, 10, 14, 12 };
	static const int8_t direction[] = { 1, 0 };
	PgmlConstraints constraints = { .monotone = direction };
	Data *d = data_new(4, 2, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = (float) (i / 2);
		d->col[1][i] = (float) (i % 2);
		d->y[i] = y[i];
	}
	set_stump(d);
	set(d, "num_leaves", 4);
	d->set.constraints = &constraints;
	fit(d, NULL);
	for (int i = 0; i < 4; i++)
		assert_near(predict_row(d, i), rising[i], 1e-9);
	data_free(d);
}

/* Missing is on neither side: known values rise, and missing ones have the value that they have. */
static void
missing_has_no_order(void **state)
{
	static const double y[] = { 1, 2, 3, 4, -50, 60 };
	int8_t direction = 1;
	PgmlConstraints constraints = { .monotone = &direction };

	(void) state;
	for (int high = 0; high < 2; high++)
	{
		Data *d = data_line(y, 5);

		d->col[0][4] = NAN;
		d->y[4] = y[4 + high];
		d->set.constraints = &constraints;
		fit(d, NULL);
		for (int i = 0; i < 5; i++)
			assert_near(predict_row(d, i), d->y[i], 1e-9);
		data_free(d);
	}
}

/* ---- monotone models ---- */

static const int8_t directions[NF] = { 1, 0, -1, 1, 0, 0, 0, -1 };

/* A setting: that of grow_policy is a word, 1 for depthwise. */
static void
set_any(Data *d, const char *name, double value)
{
	if (strcmp(name, "grow_policy") != 0)
		set(d, name, value);
	else
		assert_int_equal(pgml_params_set_text(learner, &d->params, name,
											  value > 0 ? "depthwise" : "lossguide", &d->error),
						 PGML_OK);
}

#define DEPTHWISE 1

/* How a fit is done. */
typedef struct Way
{
	const char *task; /* a number with this objective; or "classes" */
	const char *name[4];
	double value[4];
	int64_t n;
} Way;

static const Way ways[] = {
	{ "squared", { "num_leaves" }, { 31 }, 1200 },
	{ "squared", { "extra_trees", "lambda_l1", "lambda_l2" }, { 1, 2, 3 }, 1200 },
	{ "squared", { "mvs_fraction", "feature_fraction_bynode" }, { 0.5, 0.5 }, 1200 },
	{ "squared", { "num_leaves" }, { 63 }, 20000 }, /* packed gradients */
	{ "squared", { "bagging_fraction", "feature_fraction" }, { 0.3, 0.6 }, 20000 },
	{ "absolute", { "num_leaves" }, { 31 }, 1200 },
	{ "quantile", { "alpha", "extra_trees" }, { 0.8, 1 }, 1200 },
	{ "quantile", { "bagging_fraction" }, { 0.5 }, 1200 },
	{ "huber", { "num_leaves", "learning_rate" }, { 15, 0.5 }, 1200 },
	{ "poisson", { "num_leaves" }, { 31 }, 1200 },
	{ "gamma", { "learning_rate" }, { 1 }, 1200 },
	{ "tweedie", { "mvs_fraction" }, { 0.6 }, 1200 },
	{ "squared", { "grow_policy", "max_depth" }, { DEPTHWISE, 5 }, 1200 },
	{ "absolute", { "grow_policy", "max_depth", "extra_trees" }, { DEPTHWISE, 6, 1 }, 1200 },
	{ "classes", { "grow_policy", "max_depth" }, { DEPTHWISE, 5 }, 20000 },
	{ "classes", { "num_leaves" }, { 31 }, 1200 },
	{ "classes", { "scale_pos_weight", "extra_trees" }, { 5, 1 }, 1200 },
	{ "classes", { "min_data_in_leaf", "max_cat_to_onehot" }, { 1, 1 }, 20000 },
};

#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

static Data *
data_of(const Way *way, uint64_t seed)
{
	bool classes = strcmp(way->task, "classes") == 0;
	Data *d =
		data_mixed(way->n, NF, classes ? PGML_TASK_BINARY : PGML_TASK_REGRESSION, classes ? 2 : 1);

	if (!classes)
		assert_int_equal(
			pgml_params_set_text(learner, &d->params, "objective", way->task, &d->error), PGML_OK);
	for (int64_t i = 0; !classes && i < way->n; i++)
		d->y[i] = exp(d->y[i] / 2);
	set(d, "n_estimators", way->n > 5000 ? 6 : 20);
	for (int i = 0; i < 4 && way->name[i]; i++)
		set_any(d, way->name[i], way->value[i]);
	d->env.seed = seed;
	return d;
}

/* The most by which predictions go the wrong way when feature f grows, over rows of the data and a grid. */
static double
worst_step(const Data *d, int f, int direction)
{
	double worst = 0;

	for (int64_t r = 0; r < 150; r++)
	{
		float x[MAX_FEATURES];
		double before = -INFINITY * direction;

		get_row(d, r * (d->set.n / 150), x);
		for (int k = 0; k <= 60; k++)
		{
			double out;

			x[f] = (float) k * 0.15f - 4.5f;
			learner->predict(d->fit.payload.data, &d->shape, x, 1, &out);
			/* exp() and its kin may err by a unit in the last place. */
			worst = fmax(worst, (before - out) * direction / fmax(fabs(out), 1e-300));
			before = out;
		}
	}
	return worst;
}

static void
predictions_are_monotone(void **state)
{
	static const PgmlConstraints constraints = { .monotone = directions };
	int broken_without = 0;

	(void) state;
	for (size_t w = 0; w < N_WAYS; w++)
		for (uint64_t seed = 1; seed <= 2; seed++)
		{
			Data *d = data_of(&ways[w], seed);

			for (int limit = 0; limit < 2; limit++)
			{
				bool exact = d->set.task == PGML_TASK_REGRESSION && w < 9;

				d->set.constraints = limit ? &constraints : NULL;
				fit(d, NULL);
				for (int f = 0; f < NF; f++)
				{
					double worst = directions[f] ? worst_step(d, f, directions[f]) : 0;

					if (limit && worst > (exact ? 0 : 1e-14))
						fail_msg("way %d, feature %d: wrong by %g", (int) w, f, worst);
					broken_without += worst > 1e-3;
				}
			}
			data_free(d);
		}
	/* The data asks for it: most of the models are not monotone by themselves. */
	assert_true(broken_without > 2 * (int) N_WAYS);
}

/* One thread or three, bins given or not: the same bytes. */
static void
threads_change_nothing(void **state)
{
	static const PgmlConstraints constraints = { .monotone = directions };

	(void) state;
	for (size_t w = 3; w < N_WAYS; w += w < 5 ? 1 : 7)
	{
		Data *d = data_of(&ways[w], 3);
		uint8_t *bytes;
		size_t len;

		d->set.constraints = &constraints;
		fit(d, NULL);
		len = d->fit.payload.len;
		bytes = malloc(len);
		memcpy(bytes, d->fit.payload.data, len);
		d->env.pool = pgml_pool_create(3);
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, len);
		assert_memory_equal(d->fit.payload.data, bytes, len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		free(bytes);
		data_free(d);
	}
}

/* A rising target under much noise is met better by a rising model, whatever the loss. */
static void
knowledge_helps(void **state)
{
	static const char *const objectives[] = { "squared", "absolute", "huber" };
	static const int8_t direction[] = { 1, -1 };
	static const PgmlConstraints constraints = { .monotone = direction };

	(void) state;
	for (int o = 0; o < 3; o++)
	{
		double error[2] = { 0, 0 };

		for (uint64_t seed = 0; seed < 5; seed++)
		{
			Data *d = data_new(400, 2, PGML_TASK_REGRESSION, 1);
			double truth[400];
			PgmlRng rng;

			pgml_rng_init(&rng, seed, 8);
			for (int i = 0; i < 400; i++)
			{
				d->col[0][i] = (float) pgml_rng_normal(&rng);
				d->col[1][i] = (float) pgml_rng_normal(&rng);
				truth[i] = tanh(d->col[0][i]) - exp(d->col[1][i] / 2);
				d->y[i] = truth[i] + pgml_rng_normal(&rng);
			}
			assert_int_equal(
				pgml_params_set_text(learner, &d->params, "objective", objectives[o], &d->error),
				PGML_OK);
			for (int limit = 0; limit < 2; limit++)
			{
				d->set.constraints = limit ? &constraints : NULL;
				fit(d, NULL);
				for (int i = 0; i < 400; i++)
					error[limit] += pow(predict_row(d, i) - truth[i], 2);
			}
			data_free(d);
		}
		assert_true(error[1] < 0.8 * error[0]);
	}
}

/* Targets at the ends of what can be learned from, a constant feature, one row: as without constraints, and never NaN. */
static void
hard_data_is_as_without(void **state)
{
	static const double sizes[] = { 1e300, 1e160, 1e150, 1e-300, 0 };
	static const int8_t direction[] = { 1, -1 };
	static const PgmlConstraints constraints = { .monotone = direction };

	(void) state;
	for (int k = 0; k < 5; k++)
		for (int n = 1; n <= 200; n += 199)
		{
			Data *d = data_new(n, 2, PGML_TASK_REGRESSION, 1);
			PgmlStatus free_status;

			for (int i = 0; i < n; i++)
			{
				d->col[0][i] = (float) (i % 17);
				d->y[i] = sizes[k] * sin(i);
			}
			set(d, "n_estimators", 5);
			set(d, "min_data_in_leaf", 1);
			free_status = try_fit(d, NULL);
			d->set.constraints = &constraints;
			assert_int_equal(try_fit(d, NULL), free_status);
			for (int i = 0; i < n && free_status == PGML_OK; i++)
				assert_true(isfinite(predict_row(d, i)));
			for (int i = 1; i < 17 && i < n && free_status == PGML_OK; i++)
				assert_true(predict_row(d, i) >= predict_row(d, i - 1));
			data_free(d);
		}
}

static void
classes_have_no_order(void **state)
{
	static const PgmlConstraints constraints = { .monotone = directions };
	Data *d = data_mixed(200, NF, PGML_TASK_MULTICLASS, 3);

	(void) state;
	d->set.constraints = &constraints;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_BADARG);
	assert_string_equal(d->error.message, "predictions of several classes cannot be monotone");
	data_free(d);
}

static void
memory_is_estimated(void **state)
{
	uint64_t groups[NF * 40] = { 0 };
	PgmlConstraints constraints = { .monotone = directions, .groups = groups, .words = 40 };
	Data *d = data_mixed(5000, NF, PGML_TASK_REGRESSION, 1);
	int64_t bytes, free_bytes, payload;

	(void) state;
	assert_int_equal(pgml_params_set_text(learner, &d->params, "objective", "absolute", &d->error),
					 PGML_OK);
	set(d, "n_estimators", 20);
	set(d, "num_leaves", 200);
	for (int f = 0; f < NF; f++)
		groups[40 * f + 3] = 1;
	free_bytes = learner->memory(&d->set, &d->params, &payload);
	d->set.constraints = &constraints;
	bytes = learner->memory(&d->set, &d->params, &payload);
	assert_true(bytes >= free_bytes + 200 * (2 * 16 + 40 * 8));
	fit(d, NULL);
	assert_true(bytes + 2 * payload >= atomic_load(&d->budget.peak));
	data_free(d);
}

/* ---- interactions ---- */

/* Features 0 1 4 may interact, 1 2 as well, 3 5 as well, 6 and 7 with nothing. */
static const uint64_t groups[NF] = { 1, 3, 2, 4, 1, 4, 8, 16 };

/* Follow the node's paths: `held` are the groups that hold all features above it.  Returns the pairs of different features met. */
static int
check_paths(const PgmlTree *tree, int32_t at, uint64_t held, int32_t parent)
{
	const PgmlTreeNode *node = &tree->node[at];
	int pairs = parent >= 0 && node->feature != parent;

	if (at < 0)
		return 0;
	held &= groups[node->feature];
	if (held == 0)
		fail_msg("feature %d is not in a group with those above it", (int) node->feature);
	pairs += node->left >= 0 ? check_paths(tree, node->left, held, node->feature) : 0;
	pairs += node->right >= 0 ? check_paths(tree, node->right, held, node->feature) : 0;
	return pairs;
}

static void
paths_stay_in_groups(void **state)
{
	static const PgmlConstraints constraints = { .groups = groups, .words = 1 };
	static const char *const names[] = { "num_leaves",   "feature_fraction_bynode",
										 "extra_trees",  "feature_fraction",
										 "mvs_fraction", "grow_policy" };
	static const double values[] = { 40, 0.4, 1, 0.5, 0.4, DEPTHWISE };

	(void) state;
	for (int w = 0; w < 6; w++)
		for (int classes = 1; classes <= 3; classes++)
		{
			PgmlTask task = classes == 1 ? PGML_TASK_REGRESSION :
							classes == 2 ? PGML_TASK_BINARY :
										   PGML_TASK_MULTICLASS;
			Data *d = data_mixed(1500, NF, task, classes);
			PgmlArena *arena = pgml_arena_create(&d->budget);
			PgmlTrees trees;
			int pairs = 0;

			set(d, "n_estimators", 10);
			set_any(d, names[w], values[w]);
			d->set.constraints = &constraints;
			fit(d, NULL);
			assert_int_equal(learner->trees(&d->env, arena, d->fit.payload.data, &d->shape, &trees),
							 PGML_OK);
			for (int64_t t = 0; t < trees.n_trees; t++)
				pairs += trees.tree[t].n_nodes > 0 ?
							 check_paths(&trees.tree[t], 0, ~(uint64_t) 0, -1) :
							 0;
			assert_true(pairs > 0);
			pgml_arena_destroy(arena);
			data_free(d);
		}
}

/*
 * Whichever allocation fails while trees are bound by both kinds: an error that says so, or fewer rounds that keep to them, and nothing is
 * lost.
 */
static void
any_allocation_may_fail(void **state)
{
	static const PgmlConstraints constraints = { .monotone = directions,
												 .groups = groups,
												 .words = 1 };
	(void) state;
	for (int policy = 0; policy <= DEPTHWISE; policy++)
	{
		Data *d = data_mixed(300, NF, PGML_TASK_REGRESSION, 1);
		bool failed = true;
		int n;

		d->set.constraints = &constraints;
		set(d, "n_estimators", 3);
		set_any(d, "grow_policy", policy);
		for (n = 1; failed; n++)
		{
			PgmlStatus status;

			assert_true(n < 1000);
			atomic_store(&d->budget.fail_at, n);
			d->fit.out_of_memory = false;
			status = try_fit(d, NULL);
			failed = atomic_load(&d->budget.fail_at) == 0;
			atomic_store(&d->budget.fail_at, 0);
			assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
			if (status != PGML_OK)
				assert_int_equal(d->error.status, PGML_ERR_NOMEM);
			for (int f = 0; status == PGML_OK && f < NF; f++)
				assert_true(directions[f] == 0 || worst_step(d, f, directions[f]) <= 0);
		}
		assert_true(n > 20);
		data_free(d);
	}
}

/* Each feature alone: the score is a sum of functions of single features, and so are Shapley values. */
static void
features_alone_add_up(void **state)
{
	static const uint64_t alone[NF] = { 1, 2, 4, 8, 16, 32, 64, 128 };
	static const PgmlConstraints constraints = { .monotone = directions,
												 .groups = alone,
												 .words = 1 };
	Data *d = data_mixed(1500, NF, PGML_TASK_REGRESSION, 1);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	float x[NF * PGML_SHAP_ROWS];
	double phi[NF * PGML_SHAP_ROWS] = { 0 };
	PgmlBlock block = { x, PGML_SHAP_ROWS, PGML_SHAP_ROWS };
	const PgmlTreeShap *shap;
	PgmlTrees trees;

	(void) state;
	d->set.constraints = &constraints;
	fit(d, NULL);
	/* Every second row shares feature 0 with the one before it. */
	for (int i = 0; i < PGML_SHAP_ROWS; i++)
		for (int f = 0; f < NF; f++)
			x[f * PGML_SHAP_ROWS + i] = d->col[f][f == 0 ? i / 2 : i];
	assert_int_equal(learner->trees(&d->env, arena, d->fit.payload.data, &d->shape, &trees),
					 PGML_OK);
	assert_int_equal(pgml_tree_shap_create(&d->env, arena, &trees, &d->shape, &shap), PGML_OK);
	assert_int_equal(pgml_tree_shap_block(&d->env, shap, &block, 0, 1, phi, PGML_SHAP_ROWS,
										  pgml_alloc(arena, pgml_tree_shap_scratch(shap))),
					 PGML_OK);
	for (int i = 0; i < PGML_SHAP_ROWS; i++)
	{
		double sum = pgml_tree_shap_base(shap, 0), out;
		float row[NF];

		for (int f = 0; f < NF; f++)
		{
			row[f] = x[f * PGML_SHAP_ROWS + i];
			sum += phi[f * PGML_SHAP_ROWS + i];
		}
		learner->predict(d->fit.payload.data, &d->shape, row, 1, &out);
		assert_near(sum, out, 1e-9);
		if (i % 2 == 1)
			assert_near(phi[i], phi[i - 1], 1e-9);
	}
	pgml_arena_destroy(arena);
	data_free(d);
}

/* ---- whole trainings ---- */

static void
run_constrained(Run *r, const PgmlMonotone *monotone, int n_monotone, const PgmlColumnGroup *group,
				int n_groups)
{
	run_init(r);
	r->options.monotone = monotone;
	r->options.n_monotone = n_monotone;
	r->options.limits_interactions = group != NULL;
	r->options.interactions = group;
	r->options.n_interactions = n_groups;
}

/* Every model of the image is boosted, its first feature, age, falls, and dates go with the shop only. */
static void
trainings_keep_to_them(void **state)
{
	static const PgmlMonotone monotone[] = { { "age", -1 }, { "id", 1 } };
	static const char *const columns[] = { "joined", "shop" };
	static const PgmlColumnGroup group[] = { { columns, 2 } };

	(void) state;
	for (int folds = 1; folds <= 2; folds++)
	{
		People *p = people_new(400, PGML_TASK_BINARY);
		PgmlImage image;
		Run r;

		run_constrained(&r, monotone, 2, group, 1);
		r.options.folds = folds;
		run_train(&r, p);
		assert_true(
			has_notice(&r, "not tried, as they cannot keep to the constraints: linear", false));
		assert_true(uses_column(&r, COL_ID));
		for (int i = 1; i < r.result.n_trials; i++)
			assert_ptr_equal(r.result.trials[i].learner, &pgml_learner_gradient_boosting);
		image = run_image(&r);
		for (int32_t m = 0; m < image.n_members; m++)
		{
			const PgmlMember *member = &image.members[m];
			PgmlTrees trees;

			assert_int_equal(
				member->learner->trees(&r.env, r.arena, member->payload, &image.shape, &trees),
				PGML_OK);
			for (int64_t t = 0; t < trees.n_trees; t++)
				for (int32_t i = 1; i < trees.tree[t].n_nodes; i++)
				{
					PgmlFeature root =
						pgml_recipe_feature(&image.recipe, trees.tree[t].node[0].feature);
					PgmlFeature f =
						pgml_recipe_feature(&image.recipe, trees.tree[t].node[i].feature);

					assert_int_equal(root.source == COL_JOINED || root.source == COL_SHOP,
									 f.source == COL_JOINED || f.source == COL_SHOP);
					assert_true(f.source == root.source || f.source == COL_JOINED ||
								f.source == COL_SHOP);
				}
		}
		run_done(&r);
		people_free(p);
	}
}

/* A training that must fail, and how. */
static void
refuse(PgmlTask task, const PgmlMonotone *monotone, const PgmlColumnGroup *group,
	   const char *algorithm, const char *message)
{
	People *p = people_new(200, task);
	Run r;

	run_constrained(&r, monotone, monotone != NULL, group, group != NULL);
	r.options.weight_column = "weight";
	r.options.algorithms = &algorithm;
	r.options.n_algorithms = algorithm != NULL;
	assert_int_equal(run_try(&r, p), PGML_ERR_BADARG);
	if (strstr(r.error.message, message) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", message, r.error.message);
	assert_true(r.error.hint[0] != '\0');
	run_done(&r);
	people_free(p);
}

static void
what_makes_no_sense_is_refused(void **state)
{
	static const char *const pair[] = { "age", "weight" };
	static const char *const unknown[] = { "age", "sex" };
	PgmlMonotone monotone = { "city", 1 };
	PgmlColumnGroup group = { pair, 2 };

	(void) state;
	refuse(PGML_TASK_REGRESSION, &monotone, NULL, NULL,
		   "column \"city\" of monotone_constraints must be a number, and it is used as category");
	monotone.column = "joined";
	refuse(PGML_TASK_REGRESSION, &monotone, NULL, NULL,
		   "column \"joined\" of monotone_constraints must be a number, and it is used as date");
	monotone.column = "y";
	refuse(PGML_TASK_REGRESSION, &monotone, NULL, NULL,
		   "column \"y\" of monotone_constraints is no feature: it is the target");
	monotone.column = "income";
	refuse(PGML_TASK_REGRESSION, &monotone, NULL, NULL, "column \"income\", named as");
	monotone.column = "age";
	refuse(PGML_TASK_MULTICLASS, &monotone, NULL, NULL, "and \"y\" has 3 classes");
	refuse(PGML_TASK_BINARY, &monotone, NULL, "linear",
		   "algorithm \"linear\" cannot keep to monotone_constraints");
	refuse(PGML_TASK_BINARY, &monotone, NULL, "-gradient_boosting",
		   "the list of algorithms leaves none to train with");
	refuse(PGML_TASK_BINARY, NULL, &group, NULL,
		   "column \"weight\" of interaction_constraints is no feature: it is the weight column");
	group.columns = unknown;
	refuse(PGML_TASK_BINARY, NULL, &group, NULL, "column \"sex\", named as");
}

int
test_constraints(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_feature_by_hand),     cmocka_unit_test(values_stay_on_their_side),
		cmocka_unit_test(missing_has_no_order),    cmocka_unit_test(predictions_are_monotone),
		cmocka_unit_test(threads_change_nothing),  cmocka_unit_test(knowledge_helps),
		cmocka_unit_test(hard_data_is_as_without), cmocka_unit_test(classes_have_no_order),
		cmocka_unit_test(memory_is_estimated),     cmocka_unit_test(paths_stay_in_groups),
		cmocka_unit_test(any_allocation_may_fail), cmocka_unit_test(features_alone_add_up),
		cmocka_unit_test(trainings_keep_to_them),  cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests_name("constraints", tests, NULL, NULL);
}
