/*
 * test_tree_shap.c - Shapley values of trees: what the definition says, subset by subset; and what cannot be explained.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "gbm_random.h"
#include "learner/tree_shap.h"
#include "unit.h"

/* A model's trees, prepared, with rows to explain. */
typedef struct Explained
{
	RandomModel *m;
	_Atomic int stop;
	PgmlArena *arena;
	PgmlTrees trees;
	const PgmlTreeShap *shap;
	float x[RANDOM_FEATURES * PGML_SHAP_ROWS]; /* feature by feature */
	double phi[RANDOM_FEATURES * PGML_SHAP_ROWS];
	void *scratch;
} Explained;

static Explained *
explained_new(const RandomSpec *spec, uint64_t seed)
{
	Explained *e = calloc(1, sizeof(*e));

	e->m = random_model(spec, seed);
	e->m->env.stop = &e->stop;
	e->arena = pgml_arena_create(&e->m->budget);
	assert_int_equal(
		pgml_gbm_trees(&e->m->env, e->arena, e->m->payload.data, &e->m->shape, &e->trees), PGML_OK);
	assert_int_equal(pgml_tree_shap_create(&e->m->env, e->arena, &e->trees, &e->m->shape, &e->shap),
					 PGML_OK);
	e->scratch = pgml_alloc(e->arena, pgml_tree_shap_scratch(e->shap));
	for (int f = 0; f < spec->nfeatures; f++)
		for (int i = 0; i < PGML_SHAP_ROWS; i++)
			e->x[f * PGML_SHAP_ROWS + i] = random_value(e->m, f);
	return e;
}

static void
explained_free(Explained *e)
{
	pgml_arena_destroy(e->arena);
	random_model_free(e->m);
	free(e);
}

/* Explain the first n rows into e->phi. */
static PgmlStatus
explain(Explained *e, int64_t n, int output)
{
	PgmlBlock block = { e->x, PGML_SHAP_ROWS, n };

	memset(e->phi, 0, sizeof(e->phi));
	return pgml_tree_shap_block(&e->m->env, e->shap, &block, output, 1, e->phi, PGML_SHAP_ROWS,
								e->scratch);
}

/* Does the row go left? */
static bool
goes_left(const Explained *e, const PgmlTreeNode *node, int row)
{
	float x = e->x[node->feature * PGML_SHAP_ROWS + row];
	uint32_t bin;

	if (node->set == NULL)
		return isnan(x) ? node->missing_left : x <= node->threshold;
	bin = pgml_gbm_level_bin(x, e->m->n_levels[node->feature], e->trees.max_bin);
	return node->set[bin / 32] >> bin % 32 & 1;
}

/* Cover of what hangs below. */
static double
cover(const PgmlTree *tree, int32_t at)
{
	return at < 0 ? tree->cover[~at] :
					cover(tree, tree->node[at].left) + cover(tree, tree->node[at].right);
}

/* Expectation of a tree when the features of a set are known. */
static double
expect(const Explained *e, const PgmlTree *tree, int32_t at, unsigned known, int row)
{
	const PgmlTreeNode *node = &tree->node[at];

	if (at < 0)
		return tree->value[~at];
	if (known >> node->feature & 1)
		return expect(e, tree, goes_left(e, node, row) ? node->left : node->right, known, row);
	return (cover(tree, node->left) * expect(e, tree, node->left, known, row) +
			cover(tree, node->right) * expect(e, tree, node->right, known, row)) /
		   cover(tree, at);
}

/* The same of an output. */
static double
expect_output(const Explained *e, int output, unsigned known, int row)
{
	double sum = e->trees.offset[output];

	for (int64_t t = 0; t < e->trees.n_trees; t++)
		if (e->trees.tree[t].first_output == output)
			sum += expect(e, &e->trees.tree[t], e->trees.tree[t].n_nodes > 0 ? 0 : ~0, known, row);
	return sum;
}

/* Shapley value of a feature by its definition: over all sets of the others. */
static double
shapley(const Explained *e, int output, int feature, int row)
{
	int m = e->m->spec.nfeatures;
	double sum = 0;

	for (unsigned known = 0; known < 1u << m; known++)
	{
		int size = __builtin_popcount(known);
		double weight = exp(lgamma(size + 1) + lgamma(m - size) - lgamma(m + 1));

		if (known >> feature & 1)
			continue;
		sum += weight * (expect_output(e, output, known | 1u << feature, row) -
						 expect_output(e, output, known, row));
	}
	return sum;
}

/* Numbers and sets, missing values, repeated features, stumps, several outputs. */
static void
values_are_those_of_the_definition(void **state)
{
	(void) state;
	for (uint64_t seed = 0; seed < 60; seed++)
	{
		PgmlTask task = seed % 3 == 0 ? PGML_TASK_REGRESSION :
						seed % 3 == 1 ? PGML_TASK_BINARY :
										PGML_TASK_MULTICLASS;
		RandomSpec spec = { .task = task,
							.n_classes = seed % 3 == 0 ? 1 :
										 seed % 3 == 1 ? 2 :
														 3,
							.nfeatures = 2 + (int) seed % 6,
							.n_cuts = 4,
							.n_levels = seed % 2 ? 9 : 0,
							.max_bin = seed % 4 == 1 ? 6 : 255,
							.n_rounds = 3,
							.leaves = 1 + (int) seed % 20 };
		Explained *e = explained_new(&spec, seed);
		int output = (int) seed % pgml_task_outputs(task, spec.n_classes);

		assert_int_equal(explain(e, 7, output), PGML_OK);
		assert_true(fabs(pgml_tree_shap_base(e->shap, output) - expect_output(e, output, 0, 0)) <
					1e-12);
		for (int row = 0; row < 7; row++)
			for (int f = 0; f < spec.nfeatures; f++)
				assert_true(fabs(e->phi[f * PGML_SHAP_ROWS + row] - shapley(e, output, f, row)) <
							1e-11);
		assert_int_equal(explain(e, 1, output), PGML_OK);
		for (int f = 0; f < spec.nfeatures; f++)
			assert_true(fabs(e->phi[f * PGML_SHAP_ROWS] - shapley(e, output, f, 0)) < 1e-11);
		explained_free(e);
	}
}

/* Base and contributions are the score, also for deep trees over many features, whatever block the rows are in. */
static void
sums_are_exact(void **state)
{
	static const int sizes[] = { PGML_SHAP_ROWS, 1, 9, 63 };

	(void) state;
	for (uint64_t seed = 0; seed < 8; seed++)
	{
		RandomSpec spec = {
			PGML_TASK_REGRESSION, 1, 40 + (int) seed, 50, 20, 255, 20, RANDOM_LEAVES
		};
		Explained *e = explained_new(&spec, seed);
		double first[RANDOM_FEATURES];

		for (int s = 0; s < 4; s++)
		{
			assert_int_equal(explain(e, sizes[s], 0), PGML_OK);
			for (int row = 0; row < sizes[s]; row++)
			{
				double sum = pgml_tree_shap_base(e->shap, 0);
				double score = e->trees.offset[0];

				for (int64_t t = 0; t < e->trees.n_trees; t++)
				{
					const PgmlTree *tree = &e->trees.tree[t];
					int32_t at = tree->n_nodes > 0 ? 0 : ~0;

					while (at >= 0)
						at = goes_left(e, &tree->node[at], row) ? tree->node[at].left :
																  tree->node[at].right;
					score += tree->value[~at];
				}
				for (int f = 0; f < spec.nfeatures; f++)
					sum += e->phi[f * PGML_SHAP_ROWS + row];
				assert_true(fabs(sum - score) <= 1e-9 * fmax(1, fabs(score)));
			}
			for (int f = 0; f < spec.nfeatures; f++)
			{
				if (s == 0)
					first[f] = e->phi[f * PGML_SHAP_ROWS];
				/* A row alone adds up in another order. */
				assert_true(fabs(first[f] - e->phi[f * PGML_SHAP_ROWS]) <=
							(sizes[s] > 1 ? 0 : 1e-12));
			}
		}
		explained_free(e);
	}
}

/* A tree with values for two outputs, scaled, as forests have. */
static void
leaves_may_hold_several_values(void **state)
{
	static const PgmlTreeNode node[] = {
		{ .threshold = 0, .feature = 0, .left = 1, .right = ~2 },
		{ .threshold = 0, .feature = 1, .left = ~0, .right = ~1 }
	};
	static const double rows[] = { 1, 2, 5 };
	static const double value[] = { 1, 10, 2, 20, 3, 30 };
	static const double offset[] = { 0, 0, 7 };
	static const PgmlTree tree = { 2, 1, 2, node, rows, value };
	PgmlTrees trees = {
		.n_trees = 1, .tree = &tree, .n_outputs = 3, .offset = offset, .scale = 0.5, .max_bin = 255
	};
	bool categorical[2] = { false };
	int32_t n_levels[2] = { 0 };
	PgmlShape shape = { PGML_TASK_MULTICLASS, 3, 2, categorical, n_levels };
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env = { .budget = &budget, .error = &error };
	float x[2] = { -1, -1 };
	PgmlBlock block = { x, 1, 1 };
	const PgmlTreeShap *shap;
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_int_equal(pgml_tree_shap_create(&env, arena, &trees, &shape, &shap), PGML_OK);
	assert_true(pgml_tree_shap_base(shap, 0) == 0);
	assert_true(fabs(pgml_tree_shap_base(shap, 1) - 0.5 * 20 / 8) < 1e-12);
	assert_true(fabs(pgml_tree_shap_base(shap, 2) - (7 + 0.5 * 200 / 8)) < 1e-12);
	for (int output = 0; output < 3; output++)
	{
		double phi[2] = { 0 };
		void *scratch = pgml_alloc(arena, pgml_tree_shap_scratch(shap));
		double scale = output == 0 ? 0 : output == 1 ? 0.5 : 5;

		assert_int_equal(pgml_tree_shap_block(&env, shap, &block, output, 2, phi, 1, scratch),
						 PGML_OK);
		/* v() = 20/8, v(0) = 5/3, v(1) = (3 * 1 + 5 * 3) / 8, v(0,1) = 1 */
		assert_true(fabs(phi[0] - 2 * scale * (5. / 3 - 20. / 8 + 1 - 18. / 8) / 2) < 1e-12);
		assert_true(fabs(phi[1] - 2 * scale * (18. / 8 - 20. / 8 + 1 - 5. / 3) / 2) < 1e-12);
	}
	pgml_arena_destroy(arena);
}

/* Payloads that verify() lets pass: nodes with two parents, which would be walked for ever, and leaves that are none. */
static void
nodes_that_form_no_tree_are_refused(void **state)
{
	RandomSpec spec = { PGML_TASK_REGRESSION, 1, 3, 4, 0, 255, 1, 40 };
	int refused = 0;

	(void) state;
	for (uint64_t seed = 0; seed < 20; seed++)
	{
		Explained *e = explained_new(&spec, seed);
		PgmlTreeNode *node = (PgmlTreeNode *) e->trees.tree[0].node;
		int32_t n = e->trees.tree[0].n_nodes;
		const PgmlTreeShap *shap;

		if (n > 2)
		{
			node[n / 2].left = node[n / 2].right;
			assert_int_equal(
				pgml_tree_shap_create(&e->m->env, e->arena, &e->trees, &e->m->shape, &shap),
				PGML_ERR_CORRUPT);
			refused++;
		}
		explained_free(e);
	}
	assert_true(refused > 10);
}

/* Rows by weight that reach each leaf of the first tree of a fit. */
static void
count_rows(const Data *d, const PgmlTrees *trees, double *rows)
{
	const PgmlTree *tree = &trees->tree[0];

	memset(rows, 0, ((size_t) tree->n_nodes + 1) * sizeof(double));
	for (int64_t i = 0; i < d->set.n; i++)
	{
		int32_t at = 0;

		while (at >= 0)
		{
			const PgmlTreeNode *node = &tree->node[at];
			float x = d->col[node->feature][i];
			uint32_t bin = pgml_gbm_level_bin(x, d->n_levels[node->feature], trees->max_bin);
			bool left = node->set ? node->set[bin / 32] >> bin % 32 & 1 :
						isnan(x)  ? node->missing_left :
									x <= node->threshold;

			at = left ? node->left : node->right;
		}
		rows[~at] += d->set.w ? d->w[i] : 1;
	}
}

/* Covers of a fit are shares of rows, or of their weights; drawn rows stand for all. */
static void
covers_are_the_rows_of_leaves(void **state)
{
	(void) state;
	for (int kind = 0; kind < 4; kind++)
	{
		Data *d = data_mixed(6000, 6, PGML_TASK_BINARY, 2);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		double rows[8], all = 0, covered = 0;
		PgmlTrees trees;

		set(d, "n_estimators", 3);
		set(d, "num_leaves", 8);
		set(d, kind == 2 ? "bagging_fraction" : "mvs_fraction", kind < 2 ? 1 : 0.5);
		for (int64_t i = 0; i < d->set.n; i++)
			d->w[i] = (double) (1 + i % 5) * 1e30;
		d->set.w = kind % 2 ? d->w : NULL;
		fit(d, NULL);
		assert_int_equal(pgml_gbm_trees(&d->env, arena, d->fit.payload.data, &d->shape, &trees),
						 PGML_OK);
		assert_int_equal(trees.tree[0].n_nodes, 7);
		count_rows(d, &trees, rows);
		for (int leaf = 0; leaf < 8; leaf++)
		{
			all += rows[leaf];
			covered += trees.tree[0].cover[leaf];
		}
		for (int leaf = 0; leaf < 8; leaf++)
			assert_true(fabs(trees.tree[0].cover[leaf] / covered - rows[leaf] / all) <
						(kind < 2 ? 1e-6 : 0.03));
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

static void
models_without_covers_say_so(void **state)
{
	RandomSpec spec = { PGML_TASK_REGRESSION, 1, 3, 4, 0, 255, 2, 40 };
	RandomModel *m = random_model(&spec, 1);
	PgmlGbmHeader *header = (PgmlGbmHeader *) m->payload.data;
	size_t leaves = header->n_nodes + header->n_trees;
	PgmlArena *arena = pgml_arena_create(&m->budget);
	PgmlTrees trees;

	(void) state;
	m->payload.len -= (leaves * sizeof(float) + 7) / 8 * 8;
	header->format = PGML_GBM_FORMAT_NO_COVERS;
	assert_int_equal(pgml_gbm_verify(m->payload.data, m->payload.len, &m->shape, &m->error),
					 PGML_OK);
	assert_int_equal(pgml_gbm_trees(&m->env, arena, m->payload.data, &m->shape, &trees),
					 PGML_ERR_BADARG);
	assert_non_null(strstr(m->error.hint, "Train"));
	pgml_arena_destroy(arena);
	random_model_free(m);
}

static void
stop_and_memory_end_it(void **state)
{
	RandomSpec spec = { PGML_TASK_REGRESSION, 1, 40, 50, 20, 255, 60, RANDOM_LEAVES };
	Explained *e = explained_new(&spec, 3);
	const PgmlTreeShap *shap;
	PgmlStatus status;

	(void) state;
	atomic_store(&e->stop, 1);
	assert_int_equal(explain(e, PGML_SHAP_ROWS, 0), PGML_ERR_CANCELLED);
	assert_int_equal(explain(e, 1, 0), PGML_ERR_CANCELLED);
	atomic_store(&e->stop, 0);
	for (int fault = 1; fault < 8; fault++)
	{
		PgmlArena *arena = pgml_arena_create(&e->m->budget);

		atomic_store(&e->m->budget.fail_at, fault);
		status = pgml_tree_shap_create(&e->m->env, arena, &e->trees, &e->m->shape, &shap);
		assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
		atomic_store(&e->m->budget.fail_at, 0);
		pgml_arena_destroy(arena);
	}
	explained_free(e);
}

int
test_tree_shap(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_those_of_the_definition),
		cmocka_unit_test(sums_are_exact),
		cmocka_unit_test(leaves_may_hold_several_values),
		cmocka_unit_test(nodes_that_form_no_tree_are_refused),
		cmocka_unit_test(covers_are_the_rows_of_leaves),
		cmocka_unit_test(models_without_covers_say_so),
		cmocka_unit_test(stop_and_memory_end_it),
	};

	return cmocka_run_group_tests_name("tree_shap", tests, NULL, NULL);
}
