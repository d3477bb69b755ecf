/*
 * Tests of scoring in blocks: with the kernels of every processor that this one can stand for, the same as row by row, to the
 * last bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_random.h"
#include "learner/gbm_block.h"
#include "model/scorer.h"
#include "unit.h"

#define ROWS 300

static const RandomSpec usual = { .task = PGML_TASK_BINARY,
								  .n_classes = 2,
								  .nfeatures = 7,
								  .n_cuts = 40,
								  .n_levels = 40,
								  .max_bin = 255,
								  .n_rounds = 20,
								  .leaves = 31 };

/* ROWS rows that suit the model: by features (stride ROWS), and row after row. */
static void
random_rows(RandomModel *m, float *block, float *rows)
{
	for (int f = 0; f < m->spec.nfeatures; f++)
		for (int i = 0; i < ROWS; i++)
			rows[i * m->spec.nfeatures + f] = block[f * ROWS + i] = random_value(m, f);
}

/* The model in the form that some kernels take; NULL when it has none. */
static const void *
prepare(RandomModel *m, PgmlArena *arena, const PgmlGbmKernel *kernel)
{
	const void *prepared = m;

	assert_int_equal(
		pgml_gbm_prepare_for(&m->env, arena, kernel, m->payload.data, &m->shape, &prepared),
		PGML_OK);
	return prepared;
}

/* Blocks of n rows from row `from` on; what lies behind them stays. */
static void
check_block(const RandomModel *m, const void *prepared, const float *block, int from, int n,
			const double *expected)
{
	int k = pgml_task_outputs(m->spec.task, m->spec.n_classes);
	double *out = malloc(((size_t) n * (size_t) k + 1) * sizeof(double));
	void *scratch = aligned_alloc(64, (pgml_gbm_scratch(prepared) + 63) / 64 * 64);
	size_t size = pgml_gbm_prepared_size(prepared);
	void *moved = aligned_alloc(64, (size + 63) / 64 * 64);

	memset(scratch, 0xa5, pgml_gbm_scratch(prepared));
	out[n * k] = 42;
	memcpy(moved, prepared, size);
	pgml_gbm_predict_block(moved, m->payload.data, &m->shape, &(PgmlBlock){ block + from, ROWS, n },
						   out, scratch);
	free(moved);
	assert_memory_equal(out, expected + from * k, (size_t) (n * k) * sizeof(double));
	assert_true(out[n * k] == 42);
	free(out);
	free(scratch);
}

/* All kernels on many rows of a random model. */
static void
check_model(const RandomSpec *spec, uint64_t seed)
{
	RandomModel *m = random_model(spec, seed);
	int k = pgml_task_outputs(spec->task, spec->n_classes);
	float *block = malloc(sizeof(float) * ROWS * (size_t) spec->nfeatures);
	float *rows = malloc(sizeof(float) * ROWS * (size_t) spec->nfeatures);
	double *expected = malloc(sizeof(double) * ROWS * (size_t) k);
	int n_kernels;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n_kernels);

	random_rows(m, block, rows);
	for (int i = 0; i < ROWS; i++)
		pgml_gbm_predict(m->payload.data, &m->shape, rows + i * spec->nfeatures, 1,
						 expected + i * k);
	for (int j = 0; j < n_kernels; j++)
	{
		PgmlArena *arena = pgml_arena_create(&m->budget);

		if (kernels[j]->runs_here())
		{
			const void *prepared = prepare(m, arena, kernels[j]);

			assert_non_null(prepared);
			check_block(m, prepared, block, 1, PGML_BLOCK_ROWS, expected);
			check_block(m, prepared, block, 3, 1 + pick(m, PGML_BLOCK_ROWS), expected);
			for (int i = 0; i < 40; i += 1 + i % 3)
				check_block(m, prepared, block, i, 1 + i % 3, expected);
		}
		pgml_arena_destroy(arena);
	}
	free(block);
	free(rows);
	free(expected);
	random_model_free(m);
}

/* ---- tests ---- */

static void
blocks_of_every_size_are_the_rows(void **state)
{
	RandomModel *m = random_model(&usual, 5);
	float *block = malloc(sizeof(float) * ROWS * (size_t) usual.nfeatures);
	float *rows = malloc(sizeof(float) * ROWS * (size_t) usual.nfeatures);
	double expected[ROWS];
	int n_kernels;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n_kernels);
	PgmlArena *arena = pgml_arena_create(&m->budget);

	(void) state;
	random_rows(m, block, rows);
	pgml_gbm_predict(m->payload.data, &m->shape, rows, ROWS, expected);
	for (int j = 0; j < n_kernels; j++)
		for (int n = 0; kernels[j]->runs_here() && n <= PGML_BLOCK_ROWS; n++)
			check_block(m, prepare(m, arena, kernels[j]), block, n % 40, n, expected);
	pgml_arena_destroy(arena);
	free(block);
	free(rows);
	random_model_free(m);
}

static void
models_of_every_kind_are_the_same_in_blocks(void **state)
{
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 7, 1);
	for (uint64_t seed = 0; seed < 150; seed++)
	{
		RandomSpec spec = { .n_cuts = 1 + (int) pgml_rng_below(&rng, 255),
							.nfeatures = 1 + (int) pgml_rng_below(&rng, 12),
							.n_levels = seed % 3 == 0 ? 0 : 1 + (int) pgml_rng_below(&rng, 300),
							.max_bin = 2 + (int) pgml_rng_below(&rng, 254),
							.n_rounds = (int) pgml_rng_below(&rng, 22),
							.leaves = seed % 4 == 0 ? 256 : 1 + (int) pgml_rng_below(&rng, 64) };

		spec.task = seed % 5 == 0 ? PGML_TASK_REGRESSION :
					seed % 5 == 1 ? PGML_TASK_MULTICLASS :
									PGML_TASK_BINARY;
		spec.n_classes = spec.task == PGML_TASK_REGRESSION ? 1 :
						 spec.task == PGML_TASK_MULTICLASS ? 3 + (int) seed % 4 :
															 2;
		check_model(&spec, seed);
	}
}

/* One row's bytes are looked up among 64, among 128, or not at all. */
static void
models_may_have_many_features(void **state)
{
	RandomSpec spec = usual;

	(void) state;
	spec.n_cuts = 3;
	spec.n_rounds = 150;
	for (spec.nfeatures = 20; spec.nfeatures <= RANDOM_FEATURES; spec.nfeatures += 10)
		check_model(&spec, 17);
	spec.n_levels = 0;
	for (spec.nfeatures = 32; spec.nfeatures <= 65; spec.nfeatures += 11)
		check_model(&spec, 18);
}

static void
trees_may_be_leaves(void **state)
{
	RandomSpec spec = usual;

	(void) state;
	spec.leaves = 1;
	check_model(&spec, 1);
	spec.n_rounds = 0;
	check_model(&spec, 1);
	spec.nfeatures = 1;
	spec.leaves = 2;
	spec.n_rounds = 1;
	check_model(&spec, 2);
}

/* 255 thresholds of a feature and 256 leaves of a tree, and no more. */
static void
what_a_byte_cannot_tell_has_no_block_form(void **state)
{
	RandomSpec spec = usual;
	int n_kernels;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n_kernels);
	int most = 0;

	(void) state;
	spec.nfeatures = 1;
	spec.n_rounds = 200;
	spec.n_cuts = 255;
	check_model(&spec, 3);
	for (int cuts = 256; cuts <= 300; cuts += 44)
	{
		spec.n_cuts = cuts;
		RandomModel *m = random_model(&spec, 3);
		PgmlArena *arena = pgml_arena_create(&m->budget);

		assert_null(prepare(m, arena, kernels[0]));
		pgml_arena_destroy(arena);
		random_model_free(m);
	}
	spec = usual;
	spec.n_rounds = 1;
	spec.leaves = RANDOM_LEAVES;
	for (uint64_t seed = 0; seed < 200; seed++)
	{
		RandomModel *m = random_model(&spec, seed);
		PgmlArena *arena = pgml_arena_create(&m->budget);
		PgmlGbmView v = pgml_gbm_view(m->payload.data);
		int leaves = (int) v.header->n_nodes + 1;

		assert_int_equal(prepare(m, arena, kernels[0]) != NULL, leaves <= 256);
		most = leaves <= 256 && leaves > most ? leaves : most;
		pgml_arena_destroy(arena);
		random_model_free(m);
	}
	assert_true(most > 250);
}

/* Verified bytes may have nodes with two parents: predict() does not mind, but a tree it is not. */
static void
shared_nodes_have_no_block_form(void **state)
{
	RandomSpec spec = usual;
	int n_kernels;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n_kernels);
	int shared = 0;

	(void) state;
	spec.n_rounds = 1;
	for (uint64_t seed = 0; seed < 100; seed++)
	{
		RandomModel *m = random_model(&spec, seed);
		PgmlArena *arena = pgml_arena_create(&m->budget);
		PgmlGbmView v = pgml_gbm_view(m->payload.data);
		int32_t n = (int32_t) v.header->n_nodes;

		/* All nodes but the last hang from the one before with both sides, or with one. */
		for (int32_t i = 0; i + 1 < n; i++)
		{
			PgmlGbmNode16 *node = (PgmlGbmNode16 *) (uintptr_t) &v.node[i];

			node->left = i + 1;
			node->right = seed % 2 == 0 ? i + 1 : ~i;
		}
		assert_int_equal(pgml_gbm_verify(m->payload.data, m->payload.len, &m->shape, &m->error),
						 PGML_OK);
		if (n >= 2 && seed % 2 == 0)
		{
			assert_null(prepare(m, arena, kernels[0]));
			shared++;
		}
		else
			assert_non_null(prepare(m, arena, kernels[0]));
		pgml_arena_destroy(arena);
		random_model_free(m);
	}
	assert_true(shared > 20);
}

/* An ensemble of two random models of the same features, of which the second has no block form. */
static void
members_without_block_form_take_part(void **state)
{
	RandomSpec spec = usual;
	RandomModel *m[2];
	PgmlImage image = { .task = usual.task, .n_classes = usual.n_classes, .n_members = 2 };
	float *block = malloc(sizeof(float) * ROWS * (size_t) usual.nfeatures);
	float *rows = malloc(sizeof(float) * ROWS * (size_t) usual.nfeatures);
	double expected[ROWS], out[ROWS], single[ROWS];
	const PgmlScorer *scorer;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		m[i] = random_model(&spec, 12);
		image.members[i] = (PgmlMember){ .learner = &pgml_learner_gradient_boosting,
										 .weight = i == 0 ? 0.3 : 0.7,
										 .payload = m[i]->payload.data,
										 .payload_len = m[i]->payload.len };
		spec.leaves = RANDOM_LEAVES;
	}
	image.shape = m[0]->shape;
	PgmlArena *arena = pgml_arena_create(&m[0]->budget);
	assert_null(prepare(m[1], arena, &pgml_gbm_kernel_plain));
	random_rows(m[0], block, rows);
	pgml_image_predict(&image, rows, ROWS, expected, single);
	assert_int_equal(pgml_scorer_create(&m[0]->env, arena, &image, &scorer), PGML_OK);
	void *scratch = pgml_alloc(arena, pgml_scorer_scratch(scorer));
	pgml_scorer_predict(scorer, &(PgmlBlock){ block, ROWS, ROWS }, out, scratch);
	assert_memory_equal(out, expected, sizeof(out));

	/* What the first member has derived is of use to others, wherever it lies. */
	size_t size = pgml_scorer_form_size(scorer);
	assert_true(size > 0);
	uint8_t *form = aligned_alloc(64, (size + 63) / 64 * 64);
	pgml_scorer_form_write(scorer, form);
	pgml_arena_reset(arena);
	scorer = pgml_scorer_attach(arena, &image, form);
	assert_non_null(scorer);
	scratch = pgml_alloc(arena, pgml_scorer_scratch(scorer));
	memset(out, 0, sizeof(out));
	pgml_scorer_predict(scorer, &(PgmlBlock){ block, ROWS, ROWS }, out, scratch);
	assert_memory_equal(out, expected, sizeof(out));
	free(form);

	/* The second one alone has derived nothing. */
	image.n_members = 1;
	image.members[0] = image.members[1];
	assert_int_equal(pgml_scorer_create(&m[0]->env, arena, &image, &scorer), PGML_OK);
	assert_int_equal(pgml_scorer_form_size(scorer), 0);
	pgml_arena_destroy(arena);
	free(block);
	free(rows);
	for (int i = 0; i < 2; i++)
		random_model_free(m[i]);
}

/* Wherever memory fails, the failure is told; the stop flag is heeded. */
static void
failing_to_prepare_does_no_harm(void **state)
{
	RandomModel *m = random_model(&usual, 9);
	_Atomic int stop = 1;
	const void *prepared;
	PgmlStatus status = PGML_ERR_NOMEM;
	int faults = 0;

	(void) state;
	for (int at = 1; status != PGML_OK; at++)
	{
		PgmlArena *arena = pgml_arena_create(&m->budget);

		atomic_store(&m->budget.fail_at, at);
		status = pgml_gbm_prepare(&m->env, arena, m->payload.data, &m->shape, &prepared);
		atomic_store(&m->budget.fail_at, 0);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
		faults += status != PGML_OK;
		pgml_arena_destroy(arena);
	}
	assert_true(faults >= 1);
	PgmlArena *arena = pgml_arena_create(&m->budget);
	m->env.stop = &stop;
	assert_int_equal(pgml_gbm_prepare(&m->env, arena, m->payload.data, &m->shape, &prepared),
					 PGML_ERR_CANCELLED);
	pgml_arena_destroy(arena);
	random_model_free(m);
}

int
test_scoring(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_every_size_are_the_rows),
		cmocka_unit_test(models_of_every_kind_are_the_same_in_blocks),
		cmocka_unit_test(models_may_have_many_features),
		cmocka_unit_test(trees_may_be_leaves),
		cmocka_unit_test(what_a_byte_cannot_tell_has_no_block_form),
		cmocka_unit_test(shared_nodes_have_no_block_form),
		cmocka_unit_test(members_without_block_form_take_part),
		cmocka_unit_test(failing_to_prepare_does_no_harm),
	};

	return cmocka_run_group_tests_name("scoring", tests, NULL, NULL);
}
