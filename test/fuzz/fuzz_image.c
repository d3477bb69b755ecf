/*
 * fuzz_image.c - hostile bytes as a model image: open must refuse or accept them, and what it accepts must score any
 * input without touching memory it does not own, and the same in a block as row by row; explaining it may fail, but no worse.
 *
 * The checksum is put right first (it guards against accidents, not against authors), so that the fuzzer reaches
 * the parsers behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "image_bytes.h"
#include "learner/gbm_block.h"
#include "learner/oblivious_block.h"
#include "model/explain.h"
#include "model/scorer.h"

enum
{
	MAX_FEATURES = 4096,
	MAX_OUTPUTS = 4096,
	ROWS = 8
};

/* Values that stress every kind of input. */
static PgmlValue
value_number(int i)
{
	static const double numbers[] = { 0,         -1,       1e300, -1e-300, 12345678901234567.0,
									  0.0 / 0.0, 1.0 / 0.0 };
	static const char *texts[] = { "", "a", "Yes", "12,5", "2024-02-30", "?", "\xff\xfe" };
	PgmlValue v = { .kind = (PgmlKind) (1 + i % 7), .is_null = i % 11 == 0, .num = numbers[i % 7] };

	v.str = texts[i % 7];
	v.len = (uint32_t) strlen(v.str);
	return v;
}

/* What the scorer says of all rows must be what was said of each. */
static void
score_block(const PgmlImage *image, PgmlArena *arena, const float *x, const double *expected)
{
	PgmlError error = { 0 };
	PgmlBudget budget;
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlBlock block = { x, ROWS, ROWS };
	size_t size = ROWS * (size_t) pgml_image_outputs(image) * sizeof(double);
	const PgmlScorer *scorer;
	void *scratch;
	double *out;

	pgml_budget_init(&budget, 64 << 20);
	if (pgml_scorer_create(&env, arena, image, &scorer) != PGML_OK)
		return;
	scratch = aligned_alloc(64, (pgml_scorer_scratch(scorer) + 63) / 64 * 64);
	out = malloc(size);
	pgml_scorer_predict(scorer, &block, out, scratch);
	if (memcmp(out, expected, size) != 0)
		abort();
	free(scratch);
	free(out);
}

/* What a kernel says of the rows, and of the first alone, must be what was said before; the first kernel only says it. */
static void
compare(const PgmlImage *image, const PgmlMember *member, const void *prepared, const float *x,
		bool is_first, double *first)
{
	const PgmlLearner *learner = member->learner;
	PgmlBlock block = { x, ROWS, ROWS };
	PgmlBlock row = { x, ROWS, 1 };
	size_t size = ROWS * (size_t) pgml_image_outputs(image) * sizeof(double);
	double *out = malloc(size);
	void *scratch = aligned_alloc(64, (learner->scratch(prepared) + 63) / 64 * 64);

	learner->predict_block(prepared, member->payload, &image->shape, &block, is_first ? first : out,
						   scratch);
	if (!is_first && memcmp(first, out, size) != 0)
		abort();
	/* A row alone goes another way. */
	learner->predict_block(prepared, member->payload, &image->shape, &row, out, scratch);
	if (memcmp(first, out, size / ROWS) != 0)
		abort();
	free(scratch);
	free(out);
}

/* The trees of a member must say the same with all kernels. */
static void
score_trees(const PgmlImage *image, const PgmlMember *member, PgmlArena *arena, const float *x)
{
	PgmlError error = { 0 };
	PgmlBudget budget;
	PgmlEnv env = { .budget = &budget, .error = &error };
	bool oblivious = member->learner == &pgml_learner_oblivious_boosting;
	double *first = malloc(ROWS * (size_t) pgml_image_outputs(image) * sizeof(double));
	bool is_first = true;
	int n, n_oblivious;
	const PgmlGbmKernel *const *kernels = pgml_gbm_kernels(&n);
	const PgmlOblKernel *oblivious_kernels = pgml_obl_kernels(&n_oblivious);

	pgml_budget_init(&budget, 64 << 20);
	for (int i = (oblivious ? n_oblivious : n) - 1; i >= 0; i--)
	{
		const void *prepared;
		PgmlStatus status;

		if (!(oblivious ? oblivious_kernels[i].gbm : kernels[i])->runs_here())
			continue;
		if (oblivious)
			status = pgml_obl_prepare_for(&env, arena, &oblivious_kernels[i], member->payload,
										  &image->shape, &prepared);
		else
			status = pgml_gbm_prepare_for(&env, arena, kernels[i], member->payload, &image->shape,
										  &prepared);
		if (status != PGML_OK || prepared == NULL)
			continue;
		compare(image, member, prepared, x, is_first, first);
		is_first = false;
	}
	free(first);
}

/* Intervals and sets of what was predicted: the set has the predicted class, and no more than there are. */
static void
score_region(const PgmlImage *image, const double *out)
{
	PgmlRankedClass *set;
	double lower, upper;

	if (image->calibration.n == 0)
		return;
	if (image->task == PGML_TASK_REGRESSION)
	{
		pgml_calibration_interval(&image->calibration, out[0], 0.9, &lower, &upper);
		if (lower > out[0] || upper < out[0])
			abort();
		return;
	}
	set = malloc((size_t) image->n_classes * sizeof(*set));
	if (pgml_image_class_set(image, out, 0.9, set) > image->n_classes ||
		set[0].class != pgml_image_class(image, out))
		abort();
	free(set);
}

/* Whatever the trees are, explaining ends. */
static void
explain(const PgmlEnv *env, const PgmlImage *image, PgmlArena *arena, const float *x)
{
	PgmlBlock block = { x, ROWS, ROWS };
	const PgmlExplainer *explainer;
	double *contribution;
	double base[ROWS];
	void *scratch;

	if (image->recipe.n_inputs > MAX_FEATURES ||
		pgml_explainer_create(env, arena, image, &explainer) != PGML_OK)
		return;
	scratch = pgml_alloc(arena, pgml_explainer_scratch(explainer));
	if (scratch == NULL)
		return;
	contribution = calloc(((size_t) image->recipe.n_inputs + 1) * ROWS, sizeof(double));
	(void) pgml_explain(env, explainer, &block, 0, base, contribution, ROWS, scratch);
	free(contribution);
}

/* The same as if the learner of a small first member were no sum, so that its predictions are explained by the background rows. */
static void
explain_predictions(const PgmlEnv *env, const PgmlImage *image, PgmlArena *arena, const float *x)
{
	PgmlImage *other = malloc(sizeof(*other));
	PgmlLearner learner = *image->members[0].learner;

	*other = *image;
	learner.trees = NULL;
	learner.contributions = NULL;
	other->members[0].learner = &learner;
	if (image->background.n > 0 && image->background.n <= ROWS && image->shape.nfeatures <= 64)
		explain(env, other, arena, x);
	free(other);
}

static void
score(const PgmlEnv *env, const PgmlImage *image, PgmlArena *arena)
{
	int outputs = pgml_image_outputs(image);
	int32_t d = image->recipe.n_features;
	float *x, *block;
	double *out, *scratch;

	if (d > MAX_FEATURES || outputs > MAX_OUTPUTS)
		return;
	x = calloc(d + 1, sizeof(float));
	block = calloc((d + 1) * (size_t) ROWS, sizeof(float));
	out = calloc(ROWS * (size_t) outputs, sizeof(double));
	scratch = calloc(outputs, sizeof(double));
	for (int round = 0; round < ROWS; round++)
	{
		for (int32_t i = 0; i < image->recipe.n_inputs; i++)
		{
			PgmlValue v = value_number(round * 31 + i);

			(void) pgml_recipe_apply_value(&image->recipe, i, &v, x, NULL);
		}
		for (int32_t f = 0; f < d; f++)
			block[f * ROWS + round] = x[f];
		pgml_image_predict(image, x, 1, out + round * outputs, scratch);
		(void) pgml_image_class(image, out + round * outputs);
		score_region(image, out + round * outputs);
	}
	score_block(image, arena, block, out);
	for (int i = 0; i < image->n_members; i++)
		if (image->members[i].learner == &pgml_learner_gradient_boosting ||
			image->members[i].learner == &pgml_learner_oblivious_boosting)
			score_trees(image, &image->members[i], arena, block);
	explain(env, image, arena, block);
	explain_predictions(env, image, arena, block);
	free(x);
	free(block);
	free(out);
	free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { 0 };
	PgmlArena *arena;
	PgmlImage *image;
	uint8_t *bytes;

	if (size < IMAGE_HEADER_SIZE)
		return 0;
	bytes = malloc(size); /* no more than that: a look beyond the end is seen */
	memcpy(bytes, data, size);
	seal_image(bytes, size);

	pgml_budget_init(&budget, 64 << 20);
	arena = pgml_arena_create(&budget);
	env.budget = &budget;
	env.error = &error;
	image = malloc(sizeof(*image));
	if (pgml_image_open(bytes, size, arena, image, NULL) == PGML_OK)
		score(&env, image, arena);
	pgml_arena_destroy(arena);
	free(image);
	free(bytes);
	return 0;
}
