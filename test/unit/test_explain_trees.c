/*
 * test_explain_trees.c - forests and oblivious boosting as trees: that the trees say what the learner predicts, with the rows in their
 * leaves, and that their Shapley values are those of the definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_oblivious_boosting
#include "gbm_data.h"
#include "learner/forest_payload.h"
#include "learner/oblivious_payload.h"
#include "learner/tree_shap.h"
#include "unit.h"

#define FEATURES 7
#define NUMBERS  400 /* features and statistics */
#define PLAYERS  16

static const PgmlLearner *const learners[] = {
	&pgml_learner_decision_tree, &pgml_learner_random_forest, &pgml_learner_extra_trees,
	&pgml_learner_oblivious_boosting, &pgml_learner_oblivious_boosting
};
static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* A fit, explained. */
typedef struct Explained
{
	Data *d;
	const PgmlLearner *learner;
	PgmlArena *arena;
	PgmlTrees trees;
	const PgmlTreeShap *shap;
	void *scratch;
	float number[NUMBERS]; /* of the row at hand */
} Explained;

/* Set what the learner has. */
static void
give(PgmlParams *params, const PgmlLearner *of, const char *name, double value)
{
	PgmlError error;

	(void) pgml_params_set(of, params, name, value, &error);
}

/* Learner number `which` on mixed data of which three columns are categories; a second kind of oblivious trees is depth-wise. */
static Explained *
explained_new(int which, PgmlTask task, bool weights)
{
	Explained *e = calloc(1, sizeof(*e));
	Data *d = e->d = data_mixed(600, FEATURES, task,
								task == PGML_TASK_REGRESSION ? 1 :
								task == PGML_TASK_BINARY     ? 2 :
															   3);

	e->learner = learners[which];
	make_categorical(d, 6, 5);
	for (int i = 0; i < 600; i++)
	{
		d->col[6][i] = (float) ((i * 7) % 5);
		d->w[i] = 0.5 + i % 3;
		/* Only the combination of two categories says something of these rows. */
		if (i % 4 != 0 && !isnan(d->col[4][i]))
			d->y[i] = (int) (d->col[4][i] + d->col[6][i]) % 2;
	}
	d->set.w = weights ? d->w : NULL;
	pgml_params_default(e->learner, &d->params);
	give(&d->params, e->learner, "n_estimators", 6);
	give(&d->params, e->learner, "max_depth", which < 3 ? 6 : 4);
	give(&d->params, e->learner, "early_stopping_round", 0);
	give(&d->params, e->learner, "max_ctr_complexity", 2);
	give(&d->params, e->learner, "learning_rate", 0.3);
	if (which == 4)
		give(&d->params, e->learner, "grow_policy", 1);
	assert_int_equal(e->learner->fit(&d->env, &d->set, &d->params, &d->fit), PGML_OK);
	assert_int_equal(
		e->learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error), PGML_OK);
	e->arena = pgml_arena_create(&d->budget);
	assert_int_equal(
		e->learner->trees(&d->env, e->arena, d->fit.payload.data, &d->shape, &e->trees), PGML_OK);
	assert_int_equal(pgml_tree_shap_create(&d->env, e->arena, &e->trees, &d->shape, &e->shap),
					 PGML_OK);
	e->scratch = pgml_alloc(e->arena, pgml_tree_shap_scratch(e->shap));
	assert_true(pgml_trees_tested(&e->trees, FEATURES) <= NUMBERS);
	return e;
}

static void
explained_free(Explained *e)
{
	pgml_arena_destroy(e->arena);
	data_free(e->d);
	free(e);
}

/* Make the numbers that nodes test, of row r; beyond the data are rows with odd values. */
static void
use_row(Explained *e, int r)
{
	for (int f = 0; f < FEATURES; f++)
		e->number[f] = r < 600 ? e->d->col[f][r] : r % 3 == 0 ? NAN : r % 3 == 1 ? 77 : -INFINITY;
	if (e->trees.statistics.n > 0)
		e->trees.statistics.compute(e->trees.statistics.arg, e->number, 1, e->number + FEATURES, 1);
}

static bool
goes_left(const Explained *e, const PgmlTreeNode *node)
{
	float x = e->number[node->feature];
	uint32_t bin;

	if (node->set == NULL)
		return isnan(x) ? node->missing_left : x <= node->threshold;
	bin = pgml_forest_level_bin(x, e->d->n_levels[node->feature], e->trees.max_bin);
	return node->set[bin / 32] >> bin % 32 & 1;
}

static int32_t
leaf_of(const Explained *e, const PgmlTree *tree)
{
	int32_t at = tree->n_nodes > 0 ? 0 : ~0;

	while (at >= 0)
		at = goes_left(e, &tree->node[at]) ? tree->node[at].left : tree->node[at].right;
	return ~at;
}

static double
logistic(double z)
{
	return 1 / (1 + exp(-z));
}

/* The trees' outputs for a row, as the learner predicts them. */
static void
predict_by_trees(const Explained *e, double *out)
{
	int outputs = e->trees.n_outputs;
	double sum = 0;

	for (int k = 0; k < outputs; k++)
		out[k] = e->trees.offset[k];
	for (int64_t t = 0; t < e->trees.n_trees; t++)
	{
		const PgmlTree *tree = &e->trees.tree[t];
		int32_t leaf = leaf_of(e, tree);

		for (int k = 0; k < tree->n_values; k++)
			out[tree->first_output + k] += e->trees.scale * tree->value[leaf * tree->n_values + k];
	}
	if (!e->learner->explains_scores || e->d->set.task == PGML_TASK_REGRESSION)
		return;
	for (int k = 0; k < outputs; k++)
		sum += out[k] = outputs == 1 ? logistic(out[k]) : exp(out[k]);
	for (int k = 0; outputs > 1 && k < outputs; k++)
		out[k] /= sum;
}

/* Rows of the data, missing and infinite values, levels that are none. */
static void
trees_say_what_is_predicted(void **state)
{
	(void) state;
	for (int c = 0; c < 15; c++)
	{
		Explained *e = explained_new(c / 3, tasks[c % 3], c % 2 == 1);
		double expected[3], out[3];

		for (int r = 0; r < 606; r++)
		{
			use_row(e, r);
			e->learner->predict(e->d->fit.payload.data, &e->d->shape, e->number, 1, expected);
			predict_by_trees(e, out);
			for (int k = 0; k < e->trees.n_outputs; k++)
				assert_true(fabs(out[k] - expected[k]) < 1e-6 * fmax(1, fabs(expected[k])));
		}
		explained_free(e);
	}
}

/*
 * Without drawn rows a leaf's cover is the weight of the rows that fall into it; for forests in rows of mean weight.  Statistics of
 * categories are not those of training rows, so oblivious trees are only looked at where they have none.
 */
static void
covers_are_the_rows_of_leaves(void **state)
{
	(void) state;
	for (int c = 0; c < 20; c++)
	{
		bool weights = c % 2 == 1;
		Explained *e = explained_new(c / 4, tasks[c / 2 % 2], weights);

		for (int64_t t = 0; t < e->trees.n_trees && c / 4 != 1; t++)
		{
			const PgmlTree *tree = &e->trees.tree[t];
			double *rows = calloc((size_t) tree->n_nodes + 1, sizeof(double));
			double all = 0, covered = 0;
			bool plain = true;

			for (int i = 0; i < tree->n_nodes; i++)
				plain &= tree->node[i].feature < FEATURES;
			for (int r = 0; r < 600; r++)
			{
				use_row(e, r);
				rows[leaf_of(e, tree)] += weights ? e->d->w[r] : 1;
				all += weights ? e->d->w[r] : 1;
			}
			for (int leaf = 0; leaf <= tree->n_nodes; leaf++)
				covered += tree->cover[leaf];
			assert_true(fabs(covered - (c / 4 < 3 ? 600 : all)) < 1e-3);
			for (int leaf = 0; plain && leaf <= tree->n_nodes; leaf++)
				assert_true(fabs(tree->cover[leaf] / covered - rows[leaf] / all) < 1e-6);
			free(rows);
		}
		explained_free(e);
	}
}

static double
cover(const PgmlTree *tree, int32_t at)
{
	return at < 0 ? tree->cover[~at] :
					cover(tree, tree->node[at].left) + cover(tree, tree->node[at].right);
}

/* Expectation of a tree's value when the players of a set are known. */
static double
expect(const Explained *e, const PgmlTree *tree, int32_t at, unsigned known, int k)
{
	const PgmlTreeNode *node = &tree->node[at];
	double left;

	if (at < 0)
		return tree->value[~at * tree->n_values + k];
	if (known >> pgml_trees_player(&e->trees, FEATURES, node->feature) & 1)
		return expect(e, tree, goes_left(e, node) ? node->left : node->right, known, k);
	left = cover(tree, node->left) / cover(tree, at);
	return left * expect(e, tree, node->left, known, k) +
		   (1 - left) * expect(e, tree, node->right, known, k);
}

/* Shapley values of the players by their definition, those of sets given to their features. */
static void
shapley(const Explained *e, int output, double *phi)
{
	int m = pgml_trees_players(&e->trees, FEATURES);
	const PgmlTreeStatistics *s = &e->trees.statistics;
	double *value = calloc((size_t) 1 << m, sizeof(double));

	for (unsigned known = 0; known < 1u << m; known++)
		for (int64_t t = 0; t < e->trees.n_trees; t++)
			value[known] +=
				e->trees.scale * expect(e, &e->trees.tree[t], e->trees.tree[t].n_nodes > 0 ? 0 : ~0,
										known, output - e->trees.tree[t].first_output);
	for (int p = 0; p < m; p++)
		phi[p] = 0;
	for (int p = 0; p < m; p++)
		for (unsigned known = 0; known < 1u << m; known++)
		{
			int size = __builtin_popcount(known);

			if ((known >> p & 1) == 0)
				phi[p] += exp(lgamma(size + 1) + lgamma(m - size) - lgamma(m + 1)) *
						  (value[known | 1u << p] - value[known]);
		}
	for (int i = 0; i < s->n_sets; i++)
		for (int j = s->first[i]; j < s->first[i + 1]; j++)
			phi[s->member[j]] += phi[FEATURES + i] / (s->first[i + 1] - s->first[i]);
	free(value);
}

static void
values_are_those_of_the_definition(void **state)
{
	int sets = 0;

	(void) state;
	for (int c = 0; c < 15; c++)
	{
		Explained *e = explained_new(c / 3, tasks[c % 3], c % 2 == 1);
		int output = e->trees.n_outputs - 1;
		float x[FEATURES * 5];
		double single[FEATURES], block[FEATURES * 5], phi[PLAYERS];

		sets += e->trees.statistics.n_sets;
		assert_true(pgml_trees_players(&e->trees, FEATURES) <= PLAYERS);
		memset(block, 0, sizeof(block));
		for (int i = 0; i < 5; i++)
		{
			use_row(e, i < 3 ? 50 * i : 600 + i);
			for (int f = 0; f < FEATURES; f++)
				x[f * 5 + i] = e->number[f];
		}
		assert_int_equal(pgml_tree_shap_block(&e->d->env, e->shap, &(PgmlBlock){ x, 5, 5 }, output,
											  1, block, 5, e->scratch),
						 PGML_OK);
		for (int i = 0; i < 5; i++)
		{
			use_row(e, i < 3 ? 50 * i : 600 + i);
			shapley(e, output, phi);
			memset(single, 0, sizeof(single));
			assert_int_equal(pgml_tree_shap_block(&e->d->env, e->shap, &(PgmlBlock){ x + i, 5, 1 },
												  output, 1, single, 1, e->scratch),
							 PGML_OK);
			for (int f = 0; f < FEATURES; f++)
			{
				assert_true(fabs(block[f * 5 + i] - phi[f]) < 1e-9);
				assert_true(fabs(single[f] - phi[f]) < 1e-9);
			}
		}
		explained_free(e);
	}
	assert_true(sets > 3);
}

/* Former payloads are as those of today but for the format and the covers: they predict the same and are not explained. */
static void
models_without_covers_say_so(void **state)
{
	(void) state;
	for (int which = 0; which < 4; which += 3)
	{
		Explained *e = explained_new(which, PGML_TASK_BINARY, false);
		Data *d = e->d;
		uint8_t *bytes = d->fit.payload.data;
		double before[1], after[1];
		PgmlTrees trees;

		use_row(e, 9);
		e->learner->predict(bytes, &d->shape, e->number, 1, before);
		if (which == 0)
		{
			PgmlForestHeader *h = (PgmlForestHeader *) bytes;

			d->fit.payload.len -= (size_t) h->cover_words * 8;
			h->cover_words = 0;
			h->format = PGML_FOREST_FORMAT_NO_COVERS;
		}
		else
		{
			PgmlOblView v = pgml_obl_view(bytes);
			size_t size = (size_t) (v.slots - (const uint8_t *) v.cover);

			memmove((uint8_t *) v.cover, v.slots, v.header->table_bytes);
			d->fit.payload.len -= size;
			((PgmlOblHeader *) bytes)->format = PGML_OBL_FORMAT_NO_COVERS;
		}
		assert_int_equal(e->learner->verify(bytes, d->fit.payload.len, &d->shape, &d->error),
						 PGML_OK);
		e->learner->predict(bytes, &d->shape, e->number, 1, after);
		assert_true(before[0] == after[0]);
		assert_int_equal(e->learner->trees(&d->env, e->arena, bytes, &d->shape, &trees),
						 PGML_ERR_BADARG);
		assert_non_null(strstr(d->error.hint, "Train"));
		explained_free(e);
	}
}

/* Payloads that verify() lets pass: covers that end early, nodes with two parents. */
static void
damaged_forests_are_refused(void **state)
{
	Explained *e = explained_new(0, PGML_TASK_BINARY, true);
	uint8_t *bytes = e->d->fit.payload.data;
	PgmlForestView v = pgml_forest_view(bytes);
	size_t size = (size_t) v.header->cover_words * 8;
	uint8_t *cover = (uint8_t *) v.cover;
	PgmlForestNode *node = (PgmlForestNode *) v.node;
	PgmlTrees trees;

	(void) state;
	for (size_t at = 0; at < size - 8; at++)
	{
		uint8_t kept = cover[at];

		cover[at] = 0;
		(void) e->learner->trees(&e->d->env, e->arena, bytes, &e->d->shape, &trees);
		cover[at] = kept;
	}
	cover[0] = 0;
	assert_int_equal(e->learner->trees(&e->d->env, e->arena, bytes, &e->d->shape, &trees),
					 PGML_ERR_CORRUPT);
	cover[0] = 1;
	for (uint64_t i = 0; i < v.header->n_nodes; i++)
		if (node[i].cut != 0)
			node[i].link = (uint32_t) i + 1;
	assert_int_equal(e->learner->verify(bytes, e->d->fit.payload.len, &e->d->shape, &e->d->error),
					 PGML_OK);
	assert_int_equal(e->learner->trees(&e->d->env, e->arena, bytes, &e->d->shape, &trees),
					 PGML_ERR_CORRUPT);
	explained_free(e);
}

/* Whatever bytes verify() lets pass, explaining them ends, with an error or with numbers. */
static void
hostile_payloads_end(void **state)
{
	int passed = 0;

	(void) state;
	for (int which = 0; which < 5; which++)
	{
		Explained *e =
			explained_new(which, which % 2 ? PGML_TASK_MULTICLASS : PGML_TASK_BINARY, true);
		Data *d = e->d;
		uint8_t *bytes = d->fit.payload.data;
		PgmlRng rng;

		pgml_rng_init(&rng, 7, (uint64_t) which);
		for (int round = 0; round < 400; round++)
		{
			PgmlArena *arena = pgml_arena_create(&d->budget);
			size_t at = (size_t) pgml_rng_below(&rng, d->fit.payload.len);
			uint8_t kept = bytes[at];
			const PgmlTreeShap *shap;
			double phi[FEATURES] = { 0 };
			PgmlTrees trees;

			use_row(e, round);
			bytes[at] ^= (uint8_t) (1 + pgml_rng_below(&rng, 255));
			if (e->learner->verify(bytes, d->fit.payload.len, &d->shape, &d->error) == PGML_OK &&
				e->learner->trees(&d->env, arena, bytes, &d->shape, &trees) == PGML_OK &&
				pgml_tree_shap_create(&d->env, arena, &trees, &d->shape, &shap) == PGML_OK)
			{
				assert_int_equal(
					pgml_tree_shap_block(&d->env, shap, &(PgmlBlock){ e->number, 1, 1 }, 0, 1, phi,
										 1, pgml_alloc(arena, pgml_tree_shap_scratch(shap))),
					PGML_OK);
				passed++;
			}
			bytes[at] = kept;
			pgml_arena_destroy(arena);
		}
		explained_free(e);
	}
	assert_true(passed > 100);
}

static void
stop_and_memory_end_it(void **state)
{
	(void) state;
	for (int which = 0; which < 4; which += 3)
	{
		Explained *e = explained_new(which, PGML_TASK_BINARY, false);
		PgmlTrees trees;

		atomic_store(&e->d->stop, 1);
		assert_int_equal(
			e->learner->trees(&e->d->env, e->arena, e->d->fit.payload.data, &e->d->shape, &trees),
			PGML_ERR_CANCELLED);
		atomic_store(&e->d->stop, 0);
		for (int fault = 1; fault < 3; fault++)
		{
			PgmlArena *arena = pgml_arena_create(&e->d->budget);
			PgmlStatus status;

			atomic_store(&e->d->budget.fail_at, fault);
			status =
				e->learner->trees(&e->d->env, arena, e->d->fit.payload.data, &e->d->shape, &trees);
			atomic_store(&e->d->budget.fail_at, 0);
			assert_true(status == PGML_OK || status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			pgml_arena_destroy(arena);
		}
		explained_free(e);
	}
}

int
test_explain_trees(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_say_what_is_predicted),
		cmocka_unit_test(covers_are_the_rows_of_leaves),
		cmocka_unit_test(values_are_those_of_the_definition),
		cmocka_unit_test(models_without_covers_say_so),
		cmocka_unit_test(damaged_forests_are_refused),
		cmocka_unit_test(hostile_payloads_end),
		cmocka_unit_test(stop_and_memory_end_it),
	};

	return cmocka_run_group_tests_name("explain_trees", tests, NULL, NULL);
}
