/*
 * Tests of model images: what is written is what predicts, and damaged or hostile bytes do no harm.
 */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "golden/expected_mlp_v1.h"
#include "golden/expected_neighbours_v1.h"
#include "golden/expected_oblivious_v1.h"
#include "golden/expected_stacked_v1.h"
#include "golden/expected_svm_v1.h"
#include "golden/expected_v1.h"
#include "golden/rows.h"
#include "model/explain.h"
#include "image_bytes.h"
#include "image_model.h"
#include "model/scorer.h"
#include "unit.h"

#define MUTATIONS 50000

/* The model of each task, trained once. */
typedef struct Models
{
	ImageModel regression;
	ImageModel binary;
	ImageModel multiclass;
} Models;

static int
set_up(void **state)
{
	Models *m = calloc(1, sizeof(*m));

	*state = m;
	return image_model_init(&m->regression, PGML_TASK_REGRESSION) != PGML_OK ||
		   image_model_init(&m->binary, PGML_TASK_BINARY) != PGML_OK ||
		   image_model_init(&m->multiclass, PGML_TASK_MULTICLASS) != PGML_OK;
}

static int
tear_down(void **state)
{
	Models *m = *state;
	int leaks;

	image_model_done(&m->regression);
	image_model_done(&m->binary);
	image_model_done(&m->multiclass);
	leaks = atomic_load(&m->regression.f.budget.used) != 0 ||
			atomic_load(&m->binary.f.budget.used) != 0 ||
			atomic_load(&m->multiclass.f.budget.used) != 0;
	free(m);
	return leaks;
}

/* Bytes in memory of exactly their size, so that the sanitiser sees a look beyond the end. */
static uint8_t *
copy_bytes(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return copy;
}

/* Open in an arena of its own and throw the view away. */
static PgmlStatus
try_open(const uint8_t *bytes, size_t len, PgmlError *error)
{
	PgmlBudget budget;
	PgmlImage image;

	pgml_budget_init(&budget, 0);
	PgmlArena *arena = pgml_arena_create(&budget);
	PgmlStatus status = pgml_image_open(bytes, len, arena, &image, error);
	pgml_arena_destroy(arena);
	assert_int_equal(atomic_load(&budget.used), 0);
	return status;
}

/* A refusal says what is damaged and what to do. */
static void
assert_corrupt(PgmlStatus status, const PgmlError *error)
{
	assert_int_equal(status, PGML_ERR_CORRUPT);
	assert_int_equal(error->status, PGML_ERR_CORRUPT);
	assert_true(strlen(error->message) > 10);
}

/* ---- writing and predicting ---- */

static void
image_tells_what_it_was_made_of(void **state)
{
	ImageModel *m = &((Models *) *state)->multiclass;
	PgmlImage image;

	assert_int_equal(pgml_image_open(m->image.data, m->image.len, m->f.arena, &image, &m->f.error),
					 PGML_OK);
	assert_int_equal(image.task, PGML_TASK_MULTICLASS);
	assert_int_equal(image.n_classes, 3);
	assert_int_equal(pgml_image_outputs(&image), 3);
	assert_string_equal(image.target, "colour");
	assert_string_equal(image.metric, "log_loss");
	for (int k = 0; k < 3; k++)
		assert_string_equal(image.classes[k], image_classes[k]);
	assert_int_equal(image.recipe.n_inputs, m->recipe.n_inputs);
	assert_int_equal(image.shape.nfeatures, m->x.nfeatures);
	assert_int_equal(image.n_members, IMAGE_MEMBERS);
	for (int i = 0; i < IMAGE_MEMBERS; i++)
	{
		assert_ptr_equal(image.members[i].learner, m->members[i].learner);
		assert_true(image.members[i].weight == m->members[i].weight);
		assert_int_equal(image.members[i].payload_len, m->members[i].payload_len);
		assert_memory_equal(image.members[i].payload, m->members[i].payload,
							m->members[i].payload_len);
		assert_int_equal((uintptr_t) image.members[i].payload % 8, 0);
	}
}

/* The features of all rows, row after row. */
static float *
row_major(const ImageModel *m)
{
	int32_t d = m->x.nfeatures;
	float *x = calloc((size_t) (IMAGE_ROWS * d), sizeof(float));

	assert_non_null(x);
	for (int i = 0; i < IMAGE_ROWS; i++)
		for (int32_t f = 0; f < d; f++)
			x[i * d + f] = m->x.col[f][i];
	return x;
}

/* A scorer gives the same for a block of any size, and touches nothing beyond it. */
static void
check_scorer(const ImageModel *m, const PgmlImage *image, const double *expected)
{
	int32_t d = m->x.nfeatures;
	int k = pgml_image_outputs(image);
	int64_t many = 5 * IMAGE_ROWS;
	float *x = pgml_array(m->f.arena, (size_t) (many * d), sizeof(float));
	double *out = pgml_array(m->f.arena, (size_t) (many * k) + 1, sizeof(double));
	const PgmlScorer *scorer;

	assert_int_equal(pgml_scorer_create(&m->f.env, m->f.arena, image, &scorer), PGML_OK);
	for (int32_t f = 0; f < d; f++)
		for (int64_t i = 0; i < many; i++)
			x[f * many + i] = m->x.col[f][i % IMAGE_ROWS];
	void *scratch = pgml_alloc(m->f.arena, pgml_scorer_scratch(scorer));
	for (int64_t n = 0; n <= many; n = n < 3 ? n + 1 : n + 149)
	{
		PgmlBlock block = { x, many, n };

		out[n * k] = 42;
		pgml_scorer_predict(scorer, &block, out, scratch);
		assert_true(out[n * k] == 42);
		for (int64_t i = 0; i < n; i++)
			assert_memory_equal(out + i * k, expected + i % IMAGE_ROWS * k,
								(size_t) k * sizeof(double));
	}
}

/* Each member alone predicts what its learner does; together the weighted average; in blocks the same as one by one. */
static void
check_predictions(ImageModel *m)
{
	int k = pgml_task_outputs(m->task, m->n_classes);
	size_t size = (size_t) (IMAGE_ROWS * k);
	float *x = row_major(m);
	double *mean = calloc(size, sizeof(double));
	double *single = calloc(size, sizeof(double));
	double *out = calloc(size, sizeof(double));
	double *scratch = calloc(size, sizeof(double));
	PgmlImage image;

	for (int i = 0; i < IMAGE_MEMBERS; i++)
	{
		const PgmlMember *member = &m->members[i];
		PgmlMember alone = *member;
		PgmlImageSpec spec = m->spec;
		PgmlBuf bytes;

		alone.weight = 1;
		spec.members = &alone;
		spec.n_members = 1;
		pgml_buf_init(&bytes, m->f.env.budget);
		assert_int_equal(pgml_image_encode(&m->f.env, &spec, &bytes), PGML_OK);
		assert_int_equal(pgml_image_open(bytes.data, bytes.len, m->f.arena, &image, NULL), PGML_OK);
		member->learner->predict(member->payload, &m->shape, x, IMAGE_ROWS, single);
		pgml_image_predict(&image, x, IMAGE_ROWS, out, scratch);
		assert_memory_equal(out, single, size * sizeof(double));
		for (size_t j = 0; j < size; j++)
			mean[j] += member->weight * single[j];
		pgml_buf_free(&bytes);
	}
	assert_int_equal(pgml_image_open(m->image.data, m->image.len, m->f.arena, &image, NULL),
					 PGML_OK);
	pgml_image_predict(&image, x, IMAGE_ROWS, out, scratch);
	assert_memory_equal(out, mean, size * sizeof(double));
	for (int i = 0; i < IMAGE_ROWS; i++)
	{
		double one[3], one_scratch[3];

		pgml_image_predict(&image, x + i * m->x.nfeatures, 1, one, one_scratch);
		assert_memory_equal(one, out + i * k, (size_t) k * sizeof(double));
	}
	check_scorer(m, &image, out);
	free(x);
	free(mean);
	free(single);
	free(out);
	free(scratch);
}

static void
predictions_are_those_of_the_members(void **state)
{
	Models *m = *state;

	check_predictions(&m->regression);
	check_predictions(&m->binary);
	check_predictions(&m->multiclass);
}

/* 64 members at most, one at least. */
static void
number_of_members_is_bounded(void **state)
{
	ImageModel *m = &((Models *) *state)->binary;
	PgmlMember members[PGML_MAX_MEMBERS + 1];
	PgmlImageSpec spec = m->spec;
	PgmlImage image;
	PgmlBuf bytes;
	float *x = row_major(m);
	double one, all, scratch;

	for (int i = 0; i <= PGML_MAX_MEMBERS; i++)
		members[i] = (PgmlMember){ .learner = m->members[2].learner,
								   .weight = 1.0 / PGML_MAX_MEMBERS,
								   .payload = m->members[2].payload,
								   .payload_len = m->members[2].payload_len };
	spec.members = members;
	spec.n_members = PGML_MAX_MEMBERS;
	pgml_buf_init(&bytes, m->f.env.budget);
	assert_int_equal(pgml_image_encode(&m->f.env, &spec, &bytes), PGML_OK);
	assert_int_equal(pgml_image_open(bytes.data, bytes.len, m->f.arena, &image, NULL), PGML_OK);
	pgml_image_predict(&image, x, 1, &all, &scratch);
	m->members[2].learner->predict(m->members[2].payload, &m->shape, x, 1, &one);
	assert_true(fabs(all - one) < 1e-12);
	/* out must be empty. */
	assert_int_equal(pgml_image_encode(&m->f.env, &spec, &bytes), PGML_ERR_INTERNAL);
	pgml_buf_free(&bytes);
	for (int n = 0; n <= PGML_MAX_MEMBERS + 1; n += PGML_MAX_MEMBERS + 1)
	{
		pgml_buf_init(&bytes, m->f.env.budget);
		spec.n_members = n;
		assert_int_equal(pgml_image_encode(&m->f.env, &spec, &bytes), PGML_ERR_INTERNAL);
		assert_non_null(strstr(m->f.error.message, "needs 1 to 128 members"));
		pgml_buf_free(&bytes);
	}
	free(x);
}

/*
 * Attaching is opening without reading what is long: the same view and the same predictions, but neither the checksum nor
 * the members are looked at.
 */
static void
attached_image_is_as_opened(void **state)
{
	ImageModel *m = &((Models *) *state)->multiclass;
	float *x = row_major(m);
	size_t size = (size_t) (IMAGE_ROWS * 3);
	double *expected = calloc(size, sizeof(double));
	double *out = calloc(size, sizeof(double));
	double *scratch = calloc(size, sizeof(double));
	uint8_t *bytes = copy_bytes(m->image.data, m->image.len);
	PgmlImage opened, attached;

	assert_int_equal(pgml_image_open(bytes, m->image.len, m->f.arena, &opened, &m->f.error),
					 PGML_OK);
	assert_int_equal(pgml_image_attach(bytes, m->image.len, m->f.arena, &attached, &m->f.error),
					 PGML_OK);
	assert_string_equal(attached.target, opened.target);
	assert_string_equal(attached.classes[2], opened.classes[2]);
	assert_memory_equal(attached.members, opened.members, sizeof(opened.members));
	pgml_image_predict(&opened, x, IMAGE_ROWS, expected, scratch);
	pgml_image_predict(&attached, x, IMAGE_ROWS, out, scratch);
	assert_memory_equal(out, expected, size * sizeof(double));

	assert_int_equal(attached.calibration.n, opened.calibration.n);
	assert_ptr_equal(attached.calibration.scores, opened.calibration.scores);

	/* The last byte of a member. */
	bytes[opened.members[2].payload - bytes + (ptrdiff_t) opened.members[2].payload_len - 1] ^= 1;
	assert_corrupt(pgml_image_open(bytes, m->image.len, m->f.arena, &opened, &m->f.error),
				   &m->f.error);
	assert_int_equal(pgml_image_attach(bytes, m->image.len, m->f.arena, &attached, &m->f.error),
					 PGML_OK);
	bytes[0] ^= 1;
	assert_corrupt(pgml_image_attach(bytes, m->image.len, m->f.arena, &attached, &m->f.error),
				   &m->f.error);
	free(bytes);
	free(scratch);
	free(out);
	free(expected);
	free(x);
}

static void
class_is_the_most_probable(void **state)
{
	PgmlImage image = { .task = PGML_TASK_BINARY, .n_classes = 2 };

	(void) state;
	assert_int_equal(pgml_image_class(&image, (double[]){ 0.5 }), 1);
	assert_int_equal(pgml_image_class(&image, (double[]){ nextafter(0.5, 0) }), 0);
	assert_int_equal(pgml_image_class(&image, (double[]){ 0 }), 0);
	assert_int_equal(pgml_image_class(&image, (double[]){ 1 }), 1);
	image.task = PGML_TASK_MULTICLASS;
	image.n_classes = 4;
	assert_int_equal(pgml_image_class(&image, (double[]){ 0.1, 0.2, 0.6, 0.1 }), 2);
	/* The first of equals, as the metrics count. */
	assert_int_equal(pgml_image_class(&image, (double[]){ 0.1, 0.4, 0.4, 0.1 }), 1);
	assert_int_equal(pgml_image_class(&image, (double[]){ 0.25, 0.25, 0.25, 0.25 }), 0);
}

/* ---- golden images ---- */

static uint8_t *
read_golden(const char *name, size_t *len)
{
	char path[200];

	snprintf(path, sizeof(path), "test/unit/golden/%s", name);
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("cannot open %s: run the tests from the root of the repository", path);
	uint8_t *bytes = malloc(1 << 16);
	assert_non_null(bytes);
	*len = fread(bytes, 1, 1 << 16, file);
	fclose(file);
	return bytes;
}

/* What the first release stored reads and predicts the same for ever. */
static void
check_golden(const char *name, PgmlTask task, const double *expected)
{
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlImage image;
	const PgmlExplainer *explainer;
	size_t len;
	uint8_t *bytes = read_golden(name, &len);
	PgmlArena *arena;

	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	if (pgml_image_open(bytes, len, arena, &image, &error) != PGML_OK)
		fail_msg("%s: %s", name, error.message);
	assert_int_equal(image.task, task);
	assert_int_equal(image.recipe.n_inputs, GOLDEN_COLUMNS);
	assert_int_equal(image.n_members, IMAGE_MEMBERS);
	float *x = calloc((size_t) image.recipe.n_features, sizeof(float));
	int k = pgml_image_outputs(&image);

	for (int row = 0; row < GOLDEN_ROWS; row++)
	{
		PgmlValue v[GOLDEN_COLUMNS];
		double out[3], scratch[3];

		golden_row(row, v);
		for (int i = 0; i < GOLDEN_COLUMNS; i++)
			assert_int_equal(pgml_recipe_apply_value(&image.recipe, i, &v[i], x, &error), PGML_OK);
		pgml_image_predict(&image, x, 1, out, scratch);
		for (int j = 0; j < k; j++)
			if (!(fabs(out[j] - expected[row * k + j]) <= 1e-12))
				fail_msg("%s, row %d: %.17g instead of %.17g", name, row, out[j],
						 expected[row * k + j]);
	}
	/*
	 * It has not got what explanations need, unless it is stacked, as later ones are; naive Bayes always has, neighbours, networks and support
	 * vector machines never.
	 */
	const PgmlLearner *third = image.members[2].learner;
	bool explained = image.stacked || third == &pgml_learner_naive_bayes;

	assert_int_equal(pgml_explainer_create(&env, arena, &image, &explainer),
					 explained ? PGML_OK : PGML_ERR_BADARG);
	if (!explained && third != &pgml_learner_knn && third != &pgml_learner_mlp &&
		third != &pgml_learner_svm)
		assert_non_null(strstr(error.hint, "Train"));
	free(x);
	pgml_arena_destroy(arena);
	free(bytes);
}

/* Note the learners of an image that it can be explained by, which payloads of former formats cannot. */
static void
note_explained(const char *path, bool *explained)
{
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlImage *image = malloc(sizeof(*image));
	uint8_t *bytes = malloc(1 << 16);
	FILE *file = fopen(path, "rb");
	const PgmlExplainer *explainer;
	PgmlArena *arena;
	size_t len;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	assert_non_null(file);
	len = fread(bytes, 1, 1 << 16, file);
	fclose(file);
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	if (pgml_image_open(bytes, len, arena, image, &error) != PGML_OK)
		fail_msg("%s: %s", path, error.message);
	if (pgml_explainer_create(&env, arena, image, &explainer) == PGML_OK)
		for (int i = 0; i < image->n_members; i++)
			for (int l = 0; l < n; l++)
				explained[l] = explained[l] || learners[l] == image->members[i].learner;
	pgml_arena_destroy(arena);
	free(image);
	free(bytes);
}

/* What the fuzzer cannot find by itself: payloads of every learner as they are written now, in images that can be explained. */
static void
the_fuzzer_begins_with_todays_payloads(void **state)
{
	static const char folder[] = "test/fuzz/corpus/fuzz_image";
	bool explained[32] = { false };
	DIR *dir = opendir(folder);
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	(void) state;
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
	{
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			note_explained(path, explained);
	}
	closedir(dir);
	for (int l = 0; l < n; l++)
		if (!explained[l])
			fail_msg(
				"no seed has \"%s\" in an image that can be explained: run test/fuzz/make_seeds.c",
				learners[l]->name);
}

static void
golden_images_stay_readable(void **state)
{
	(void) state;
	check_golden("image_v1_binary.bin", PGML_TASK_BINARY, binary);
	check_golden("image_v1_multiclass.bin", PGML_TASK_MULTICLASS, multiclass);
	check_golden("image_v1_regression.bin", PGML_TASK_REGRESSION, regression);
	check_golden("image_v1_oblivious_boosting_binary.bin", PGML_TASK_BINARY,
				 oblivious_boosting_binary);
	check_golden("image_v1_oblivious_boosting_multiclass.bin", PGML_TASK_MULTICLASS,
				 oblivious_boosting_multiclass);
	check_golden("image_v1_oblivious_boosting_regression.bin", PGML_TASK_REGRESSION,
				 oblivious_boosting_regression);
	check_golden("image_v1_naive_bayes_binary.bin", PGML_TASK_BINARY, naive_bayes_binary);
	check_golden("image_v1_naive_bayes_multiclass.bin", PGML_TASK_MULTICLASS,
				 naive_bayes_multiclass);
	check_golden("image_v1_knn_binary.bin", PGML_TASK_BINARY, knn_binary);
	check_golden("image_v1_knn_multiclass.bin", PGML_TASK_MULTICLASS, knn_multiclass);
	check_golden("image_v1_knn_regression.bin", PGML_TASK_REGRESSION, knn_regression);
	check_golden("image_v1_calibrated_mlp_binary.bin", PGML_TASK_BINARY, mlp_binary);
	check_golden("image_v1_calibrated_mlp_multiclass.bin", PGML_TASK_MULTICLASS, mlp_multiclass);
	check_golden("image_v1_calibrated_mlp_regression.bin", PGML_TASK_REGRESSION, mlp_regression);
	check_golden("image_v1_forests_binary.bin", PGML_TASK_BINARY, forests_binary);
	check_golden("image_v1_forests_multiclass.bin", PGML_TASK_MULTICLASS, forests_multiclass);
	check_golden("image_v1_forests_regression.bin", PGML_TASK_REGRESSION, forests_regression);
	check_golden("image_v1_calibrated_binary.bin", PGML_TASK_BINARY, binary);
	check_golden("image_v1_calibrated_multiclass.bin", PGML_TASK_MULTICLASS, multiclass);
	check_golden("image_v1_calibrated_regression.bin", PGML_TASK_REGRESSION, regression);
	check_golden("image_v1_calibrated_svm_binary.bin", PGML_TASK_BINARY, svm_binary);
	check_golden("image_v1_calibrated_svm_multiclass.bin", PGML_TASK_MULTICLASS, svm_multiclass);
	check_golden("image_v1_calibrated_svm_regression.bin", PGML_TASK_REGRESSION, svm_regression);
	check_golden("image_v1_calibrated_stacked_binary.bin", PGML_TASK_BINARY, stacked_binary);
	check_golden("image_v1_calibrated_stacked_multiclass.bin", PGML_TASK_MULTICLASS,
				 stacked_multiclass);
	check_golden("image_v1_background_multiclass.bin", PGML_TASK_MULTICLASS, multiclass);
	check_golden("image_v1_background_regression.bin", PGML_TASK_REGRESSION, regression);
}

/* Background rows that were stored are read as they were. */
static void
golden_background_rows_stay_readable(void **state)
{
	PgmlBudget budget;
	PgmlImage image;
	size_t len;
	uint8_t *bytes = read_golden("image_v1_background_multiclass.bin", &len);
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_int_equal(pgml_image_open(bytes, len, arena, &image, NULL), PGML_OK);
	assert_true(image.calibration.n > 0);
	assert_int_equal(image.background.n, 4);
	assert_int_equal(image.background.nfeatures, image.shape.nfeatures);
	for (int i = 0; i < 4; i++)
		assert_true(fabs(image.background.share[i] - 0.1 * (i + 1)) < 1e-15);
	assert_true(isnan(image.background.x[1]));
	for (int j = 2; j < 4 * image.shape.nfeatures; j++)
		assert_true(image.background.x[j] == 0.5f * (float) j);
	pgml_arena_destroy(arena);
	free(bytes);
}

/* Open a stored image that has a calibration; the bytes are the caller's. */
static uint8_t *
open_calibrated(const char *name, PgmlArena *arena, PgmlImage *image)
{
	size_t len;
	uint8_t *bytes = read_golden(name, &len);

	assert_int_equal(pgml_image_open(bytes, len, arena, image, NULL), PGML_OK);
	assert_int_equal(image->calibration.n, IMAGE_ROWS);
	return bytes;
}

/* So do intervals and sets: these numbers were printed when the images were made. */
static void
golden_calibrations_mean_the_same(void **state)
{
	PgmlArena *arena = ((Models *) *state)->regression.f.arena;
	PgmlImage image;
	double lower, upper;
	uint8_t *bytes;

	bytes = open_calibrated("image_v1_calibrated_regression.bin", arena, &image);
	pgml_calibration_interval(&image.calibration, 3, 0.9, &lower, &upper);
	if (!(fabs(lower - 2.0830864939569516) < 1e-12 && fabs(upper - 3.9169135060430484) < 1e-12))
		fail_msg("%.17g to %.17g", lower, upper);
	free(bytes);
	bytes = open_calibrated("image_v1_calibrated_multiclass.bin", arena, &image);
	assert_true(fabs(pgml_calibration_score(&image.calibration, 0.9) - 0.6127774517462791) < 1e-12);
	free(bytes);
}

/* ---- damage ---- */

static void
every_changed_byte_is_noticed(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	const PgmlBuf *image = &((Models *) *state)->multiclass.image;
	uint8_t *bytes = copy_bytes(image->data, image->len);

	for (size_t i = 0; i < image->len; i++)
		for (size_t f = 0; f < sizeof(flips); f++)
		{
			PgmlError error = { 0 };

			bytes[i] ^= flips[f];
			assert_corrupt(try_open(bytes, image->len, &error), &error);
			bytes[i] ^= flips[f];
		}
	assert_int_equal(try_open(bytes, image->len, NULL), PGML_OK);
	free(bytes);
}

/* Cut anywhere, with the old header or with one that fits the rest. */
static void
every_truncation_is_noticed(void **state)
{
	const PgmlBuf *image = &((Models *) *state)->binary.image;

	for (size_t len = 0; len < image->len; len++)
	{
		uint8_t *bytes = copy_bytes(image->data, len);
		PgmlError error = { 0 };

		assert_corrupt(try_open(bytes, len, &error), &error);
		if (len >= IMAGE_HEADER_SIZE)
		{
			seal_image(bytes, len);
			PgmlStatus status = try_open(bytes, len, &error);
			/* Nothing but padding may be missing. */
			if (len + 8 <= image->len)
				assert_corrupt(status, &error);
		}
		free(bytes);
	}
}

static void
longer_bytes_are_noticed(void **state)
{
	const PgmlBuf *image = &((Models *) *state)->binary.image;
	uint8_t *bytes = calloc(1, image->len + 8);
	PgmlError error = { 0 };

	memcpy(bytes, image->data, image->len);
	assert_corrupt(try_open(bytes, image->len + 8, &error), &error);
	assert_string_equal(error.message, "model image is damaged: its length is wrong");
	assert_string_equal(error.hint, "Restore the model from a backup, or train it again.");
	free(bytes);
}

static void
newer_version_is_named(void **state)
{
	const PgmlBuf *image = &((Models *) *state)->binary.image;
	uint8_t *bytes = copy_bytes(image->data, image->len);
	PgmlError error = { 0 };

	bytes[IMAGE_OFFSET_VERSION] = 2;
	/* Whatever its checksum is: that of another version may be computed otherwise. */
	for (int sealed = 0; sealed < 2; sealed++)
	{
		assert_corrupt(try_open(bytes, image->len, &error), &error);
		assert_string_equal(error.message,
							"model image has format version 2, this release reads version 1");
		assert_string_equal(error.hint,
							"Install the release of pgml_auto that wrote it, or a newer one.");
		seal_image(bytes, image->len);
	}
	free(bytes);
}

/* Position of some bytes in an image. */
static size_t
find_bytes(const uint8_t *bytes, size_t len, const char *what)
{
	for (size_t i = 0; i + strlen(what) <= len; i++)
		if (memcmp(bytes + i, what, strlen(what)) == 0)
			return i;
	fail_msg("no \"%s\" in the image", what);
	return 0;
}

static void
unknown_learner_is_named(void **state)
{
	const PgmlBuf *image = &((Models *) *state)->binary.image;
	uint8_t *bytes = copy_bytes(image->data, image->len);
	PgmlError error = { 0 };

	memcpy(bytes + find_bytes(bytes, image->len, "linear"), "lineax", 6);
	seal_image(bytes, image->len);
	assert_corrupt(try_open(bytes, image->len, &error), &error);
	assert_string_equal(error.message,
						"model image needs the learner \"lineax\", unknown to this release");
	assert_string_equal(error.hint,
						"Install the release of pgml_auto that wrote it, or a newer one.");
	free(bytes);
}

/* Open an image whose header is right with a number overwritten. */
static void
assert_refused(const PgmlBuf *image, size_t at, const void *value, size_t size, const char *why)
{
	uint8_t *bytes = copy_bytes(image->data, image->len);
	PgmlError error = { 0 };

	memcpy(bytes + at, value, size);
	seal_image(bytes, image->len);
	assert_corrupt(try_open(bytes, image->len, &error), &error);
	assert_non_null(strstr(error.message, why));
	free(bytes);
}

/* Offset stored in entry i of the directory. */
static uint64_t
section_offset(const PgmlBuf *image, int i)
{
	uint64_t offset;

	memcpy(&offset, image->data + IMAGE_HEADER_SIZE + 24 * i + 8, sizeof(offset));
	return offset;
}

static void
contradictions_are_refused(void **state)
{
	const PgmlBuf *image = &((Models *) *state)->multiclass.image;
	size_t meta = section_offset(image, 0);
	size_t member = section_offset(image, 2);
	size_t entry = IMAGE_HEADER_SIZE;

	assert_refused(image, IMAGE_OFFSET_SECTIONS, &(uint32_t){ 2 }, 4, "number of sections");
	assert_refused(image, IMAGE_OFFSET_SECTIONS, &(uint32_t){ 7 + PGML_MAX_MEMBERS }, 4,
				   "number of sections");
	assert_refused(image, IMAGE_OFFSET_SECTIONS, &(uint32_t){ UINT32_MAX }, 4,
				   "number of sections");
	assert_refused(image, IMAGE_OFFSET_SECTIONS, &(uint32_t){ 4 }, 4, "weights");
	assert_refused(image, entry, &(uint32_t){ 2 }, 4, "directory");
	assert_refused(image, entry + 8, &(uint64_t){ 4 }, 8, "directory");
	assert_refused(image, entry + 8, &(uint64_t){ UINT64_MAX - 7 }, 8, "directory");
	assert_refused(image, entry + 16, &(uint64_t){ UINT64_MAX }, 8, "directory");
	assert_refused(image, entry + 16, &(uint64_t){ 0 }, 8, "description");
	assert_refused(image, meta, &(uint32_t){ 3 }, 4, "description");
	assert_refused(image, meta, &(uint32_t){ PGML_TASK_BINARY }, 4, "description");
	assert_refused(image, meta + 4, &(uint32_t){ 0 }, 4, "description");
	assert_refused(image, meta + 4, &(uint32_t){ 100001 }, 4, "description");
	assert_refused(image, meta + 4, &(uint32_t){ 100000 }, 4, "class labels");
	assert_refused(image, meta + 4, &(uint32_t){ 2 }, 4, "damaged");
	assert_refused(image, member, &(double){ NAN }, 8, "learner's section");
	assert_refused(image, member, &(double){ -0.25 }, 8, "learner's section");
	assert_refused(image, member, &(double){ INFINITY }, 8, "learner's section");
	assert_refused(image, member, &(double){ 0.5 }, 8, "weights");
}

/* ---- calibration ---- */

/* What is added is what is read, and nothing else has changed. */
static void
calibration_is_added(void **state)
{
	ImageModel *m = &((Models *) *state)->regression;
	double at[] = { -1, 2 }, size[] = { 0.5, 3 }, scores[] = { 0, 0.25, 0.25, 7 };
	PgmlCalibration added = { 4, PGML_CALIBRATED_ON_VALIDATION, 2, at, size, scores };
	PgmlImage plain, image;
	PgmlBuf bytes;

	pgml_buf_init(&bytes, m->f.env.budget);
	assert_int_equal(pgml_image_encode(&m->f.env, &m->spec, &bytes), PGML_OK);
	uint8_t *before = copy_bytes(bytes.data, bytes.len);
	size_t len = bytes.len;

	assert_int_equal(pgml_image_open(before, len, m->f.arena, &plain, &m->f.error), PGML_OK);
	assert_int_equal(plain.calibration.n, 0);
	assert_int_equal(pgml_image_calibrate(&m->f.env, &added, &bytes), PGML_OK);
	assert_int_equal(pgml_image_open(bytes.data, bytes.len, m->f.arena, &image, &m->f.error),
					 PGML_OK);
	assert_int_equal(image.calibration.n, 4);
	assert_int_equal(image.calibration.rows, PGML_CALIBRATED_ON_VALIDATION);
	assert_int_equal(image.calibration.n_points, 2);
	assert_memory_equal(image.calibration.at, at, sizeof(at));
	assert_memory_equal(image.calibration.size, size, sizeof(size));
	assert_memory_equal(image.calibration.scores, scores, sizeof(scores));
	assert_int_equal(image.n_members, plain.n_members);
	for (int i = 0; i < plain.n_members; i++)
	{
		assert_int_equal(image.members[i].payload_len, plain.members[i].payload_len);
		assert_memory_equal(image.members[i].payload, plain.members[i].payload,
							plain.members[i].payload_len);
	}
	free(before);
	pgml_buf_free(&bytes);
}

/* Without memory for it the image is as it was. */
static void
calibration_may_find_no_memory(void **state)
{
	ImageModel *m = &((Models *) *state)->binary;
	double scores[] = { 0.5 };
	PgmlCalibration added = { .n = 1, .rows = PGML_CALIBRATED_ON_TEST, .scores = scores };
	PgmlBuf bytes;
	PgmlStatus status;

	pgml_buf_init(&bytes, m->f.env.budget);
	assert_int_equal(pgml_image_encode(&m->f.env, &m->spec, &bytes), PGML_OK);
	pgml_buf_trim(&bytes);
	uint8_t *before = copy_bytes(bytes.data, bytes.len);
	size_t len = bytes.len;

	atomic_store(&m->f.budget.fail_at, 1);
	status = pgml_image_calibrate(&m->f.env, &added, &bytes);
	atomic_store(&m->f.budget.fail_at, 0);
	assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
	assert_int_equal(bytes.len, len);
	assert_memory_equal(bytes.data, before, len);
	assert_int_equal(pgml_image_calibrate(&m->f.env, &added, &bytes), PGML_OK);
	assert_int_equal(try_open(bytes.data, bytes.len, NULL), PGML_OK);
	free(before);
	pgml_buf_free(&bytes);
}

/* Points of the size of errors in the image of a regression. */
#define POINTS (IMAGE_ROWS / PGML_SIZE_ROWS_PER_POINT)

/* Where the calibration of an image begins. */
static size_t
calibration_offset(const ImageModel *m)
{
	return m->image.len - 24 -
		   sizeof(double) * (IMAGE_ROWS + (m->task == PGML_TASK_REGRESSION ? 2 * POINTS : 0));
}

static void
hostile_calibrations_are_refused(void **state)
{
	Models *m = *state;
	const PgmlBuf *image = &m->regression.image;
	size_t at = calibration_offset(&m->regression);
	size_t points = at + 24, sizes = points + POINTS * sizeof(double);
	size_t scores = sizes + POINTS * sizeof(double);
	size_t of_classes = calibration_offset(&m->binary);
	size_t last = m->binary.image.len - sizeof(double);
	size_t entry = IMAGE_HEADER_SIZE + 24 * (2 + IMAGE_MEMBERS);

	assert_refused(image, at, &(uint32_t){ 2 }, 4, "format version 2");
	assert_refused(image, at + 4, &(uint32_t){ 3 }, 4, "calibration cannot be read");
	assert_refused(image, at + 8, &(uint64_t){ 0 }, 8, "calibration cannot be read");
	assert_refused(image, at + 8, &(uint64_t){ IMAGE_ROWS - 1 }, 8, "calibration cannot be read");
	assert_refused(image, at + 8, &(uint64_t){ INT64_MAX }, 8, "calibration cannot be read");
	assert_refused(image, at + 8, &(uint64_t){ UINT64_MAX }, 8, "calibration cannot be read");
	assert_refused(image, at + 16, &(uint32_t){ 0 }, 4, "calibration cannot be read");
	assert_refused(image, at + 16, &(uint32_t){ UINT32_MAX }, 4, "calibration cannot be read");
	assert_refused(image, at + 20, &(uint32_t){ 1 }, 4, "calibration cannot be read");
	assert_refused(image, points, &(double){ NAN }, 8, "does not make sense");
	assert_refused(image, points, &(double){ 1e300 }, 8, "does not make sense");
	assert_refused(image, sizes, &(double){ 0 }, 8, "does not make sense");
	assert_refused(image, sizes + 8, &(double){ INFINITY }, 8, "does not make sense");
	assert_refused(image, scores, &(double){ -1 }, 8, "does not make sense");
	assert_refused(image, scores + 8, &(double){ NAN }, 8, "does not make sense");
	assert_refused(image, scores + 8, &(double){ 1e300 }, 8, "does not make sense");
	assert_refused(&m->binary.image, of_classes + 16, &(uint32_t){ 1 }, 4, "cannot be read");
	assert_refused(&m->binary.image, last, &(double){ 1.5 }, 8, "does not make sense");
	/* It is the last section, and there is one at most. */
	assert_refused(image, entry - 24, &(uint32_t){ 4 }, 4, "directory");
	assert_refused(image, entry, &(uint32_t){ 8 }, 4, "directory");
	assert_refused(image, entry, &(uint32_t){ 7 }, 4, "stack");
	assert_refused(image, entry, &(uint32_t){ 6 }, 4, "decision");
	assert_refused(image, entry, &(uint32_t){ 5 }, 4, "background rows");
	assert_refused(image, entry + 16, &(uint64_t){ 8 }, 8, "calibration cannot be read");
}

/* A class is in the set when its score is small enough; the predicted one is always, and comes first. */
static void
sets_of_classes(void **state)
{
	double scores[] = { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9 };
	PgmlImage image = { .task = PGML_TASK_MULTICLASS,
						.n_classes = 4,
						.calibration = { .n = 9, .scores = scores } };
	PgmlRankedClass set[4];

	(void) state;
	/* Rank 7 of 9: probabilities from 0.3 on. */
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.05, 0.31, 0.6, 0.04 }, 0.7, set),
					 2);
	assert_int_equal(set[0].class, 2);
	assert_true(set[0].probability == 0.6);
	assert_int_equal(set[1].class, 1);
	/* Nothing is probable enough. */
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.26, 0.25, 0.25, 0.24 }, 0.5, set),
					 1);
	assert_int_equal(set[0].class, 0);
	/* Too few rows for the level: all, equals as they come. */
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.1, 0.3, 0.5, 0.1 }, 0.95, set), 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(set[i].class, ((int[]){ 2, 1, 0, 3 })[i]);

	image.task = PGML_TASK_BINARY;
	image.n_classes = 2;
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.1 }, 0.9, set), 2);
	assert_int_equal(set[0].class, 0);
	assert_true(set[1].class == 1 && set[1].probability == 0.1);
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.09 }, 0.9, set), 1);
	/* What predict() says of 0.5. */
	assert_int_equal(pgml_image_class_set(&image, (double[]){ 0.5 }, 0.5, set), 2);
	assert_int_equal(set[0].class, 1);
}

/* The interval is as wide as errors near the prediction are, and holds what is on its very end. */
static void
intervals(void **state)
{
	double at[] = { 0, 10 }, size[] = { 1, 3 };
	double scores[] = { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1 };
	PgmlCalibration c = { 9, PGML_CALIBRATED_ON_TEST, 2, at, size, scores };
	double lower, upper;

	(void) state;
	pgml_calibration_interval(&c, 5, 0.9, &lower, &upper);
	assert_true(lower <= 3 && lower > 3 - 1e-13 && upper >= 7 && upper < 7 + 1e-13);
	pgml_calibration_interval(&c, 20, 0.5, &lower, &upper);
	assert_true(fabs(lower - 18.5) < 1e-12 && fabs(upper - 21.5) < 1e-12);
	pgml_calibration_interval(&c, -20, 0.8, &lower, &upper);
	assert_true(fabs(lower + 20.8) < 1e-12 && fabs(upper + 19.2) < 1e-12);
	pgml_calibration_interval(&c, 5, 0.91, &lower, &upper);
	assert_true(isinf(lower) && lower < 0 && isinf(upper) && upper > 0);
	for (int y = 0; y < 1000; y++)
	{
		double p = 0.1 * y + 0.7 / 3;
		PgmlErrorSize e = { .n = 2, .at = { 0, 10 }, .size = { 1, 3 } };
		PgmlPredictions row = { PGML_TASK_REGRESSION, 1, 1, &(double){ y }, &p, NULL, NULL };
		double own[9];

		for (int i = 0; i < 9; i++)
			own[i] = pgml_conformal_row(&row, &e, 0);
		c.scores = own;
		pgml_calibration_interval(&c, p, 0.5, &lower, &upper);
		assert_true(lower <= y && y <= upper && upper - lower < 2.1 * fabs(y - p) + 1e-9);
	}
}

/* Score an opened image on values of all kinds. */
static void
score(const PgmlImage *image)
{
	int outputs = pgml_image_outputs(image);
	float *x = calloc((size_t) image->recipe.n_features + 1, sizeof(float));
	double *out = calloc(2 * (size_t) outputs, sizeof(double));

	assert_true(x != NULL && out != NULL);
	for (int row = 0; row < GOLDEN_ROWS; row++)
	{
		PgmlValue v[GOLDEN_COLUMNS];

		golden_row(row, v);
		for (int32_t i = 0; i < image->recipe.n_inputs; i++)
			(void) pgml_recipe_apply_value(&image->recipe, i, &v[(row + i) % GOLDEN_COLUMNS], x,
										   NULL);
		pgml_image_predict(image, x, 1, out, out + outputs);
		if (image->calibration.n > 0)
		{
			PgmlRankedClass set[100];
			double lower, upper;

			if (image->task == PGML_TASK_REGRESSION)
				pgml_calibration_interval(&image->calibration, out[0], 0.9, &lower, &upper);
			else if (image->n_classes <= 100)
				assert_true(pgml_image_class_set(image, out, 0.9, set) >= 1);
		}
		int class = pgml_image_class(image, out);
		assert_true(class >= 0 && class < (image->n_classes > 1 ? image->n_classes : 2));
	}
	free(x);
	free(out);
}

/* Change a few bytes, or copy a stretch over another. */
static void
mutate(PgmlRng *rng, uint8_t *bytes, size_t len)
{
	int changes = 1 + (int) pgml_rng_below(rng, 4);

	for (int i = 0; i < changes; i++)
	{
		size_t at = pgml_rng_below(rng, len);
		size_t from = pgml_rng_below(rng, len);
		size_t size = pgml_rng_below(rng, 16);

		switch (pgml_rng_below(rng, 4))
		{
			case 0:
				bytes[at] ^= (uint8_t) (1u << pgml_rng_below(rng, 8));
				break;
			case 1:
				bytes[at] = (uint8_t) pgml_rng_next(rng);
				break;
			case 2:
				bytes[at] = pgml_rng_below(rng, 2) ? 0xff : 0;
				break;
			default:
				size = size < len - at ? size : len - at;
				memmove(bytes + at, bytes + from, size < len - from ? size : len - from);
		}
	}
}

/* Whoever writes the bytes can write the checksum too: what is let through predicts without harm. */
static void
random_changes_do_no_harm(void **state)
{
	Models *m = *state;
	const PgmlBuf *images[] = { &m->binary.image, &m->multiclass.image, &m->regression.image };
	PgmlBudget budget;
	PgmlRng rng;
	int opened = 0;

	pgml_rng_init(&rng, 77, 0);
	pgml_budget_init(&budget, 64 << 20);
	PgmlArena *arena = pgml_arena_create(&budget);
	for (int round = 0; round < MUTATIONS; round++)
	{
		const PgmlBuf *image = images[round % 3];
		uint8_t *bytes = copy_bytes(image->data, image->len);
		PgmlError error = { 0 };
		PgmlImage view;

		mutate(&rng, bytes + IMAGE_HEADER_SIZE, image->len - IMAGE_HEADER_SIZE);
		seal_image(bytes, image->len);
		if (pgml_image_open(bytes, image->len, arena, &view, &error) == PGML_OK)
		{
			score(&view);
			opened++;
		}
		else
			assert_int_equal(error.status, PGML_ERR_CORRUPT);
		pgml_arena_reset(arena);
		free(bytes);
	}
	pgml_arena_destroy(arena);
	/* Some are let through, so that predict() is tried, and some are not. */
	assert_true(opened > MUTATIONS / 50 && opened < MUTATIONS / 50 * 49);
}

/* ---- memory ---- */

static void
memory_faults_are_clean(void **state)
{
	ImageModel *m = &((Models *) *state)->multiclass;
	int64_t used = atomic_load(&m->f.budget.used);
	PgmlStatus status = PGML_ERR_NOMEM;
	int at = 0;

	while (status != PGML_OK)
	{
		PgmlBuf bytes;

		pgml_buf_init(&bytes, m->f.env.budget);
		atomic_store(&m->f.budget.fail_at, ++at);
		status = pgml_image_encode(&m->f.env, &m->spec, &bytes);
		atomic_store(&m->f.budget.fail_at, 0);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
		pgml_buf_free(&bytes);
		assert_int_equal(atomic_load(&m->f.budget.used), used);
	}
	assert_true(at > 1);
	status = PGML_ERR_NOMEM;
	for (at = 0; status != PGML_OK;)
	{
		PgmlBudget budget;
		PgmlError error = { 0 };
		PgmlImage image;

		pgml_budget_init(&budget, 0);
		PgmlArena *arena = pgml_arena_create(&budget);
		atomic_store(&budget.fail_at, ++at);
		status = pgml_image_open(m->image.data, m->image.len, arena, &image, &error);
		assert_int_equal(error.status, status);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM);
		pgml_arena_destroy(arena);
	}
	assert_true(at > 1);
}

/* Averages of certain models are certain: weights of 3/4 and 1/4, shared by five folds each, add up to a little more than 1. */
static void
averages_are_probabilities(void **state)
{
	PgmlMember members[10];
	ImageModel m;
	PgmlImage image;
	PgmlFit fit = { 0 };
	double out, scratch;
	float *x;

	(void) state;
	assert_int_equal(image_model_init(&m, PGML_TASK_BINARY), PGML_OK);
	pgml_buf_init(&fit.payload, m.f.env.budget);
	pgml_buf_put_u32(&fit.payload, 1);
	pgml_buf_put_u32(&fit.payload, 1);
	pgml_buf_put_f64(&fit.payload, 1);
	for (int i = 0; i < 10; i++)
		members[i] = (PgmlMember){ .learner = &pgml_learner_constant,
								   .weight = (i < 5 ? 3.0 / 4 : 1.0 / 4) / 5,
								   .payload = fit.payload.data,
								   .payload_len = fit.payload.len };
	m.spec.members = members;
	m.spec.n_members = 10;
	pgml_buf_free(&m.image);
	assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
	assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
					 PGML_OK);
	x = pgml_zalloc(m.f.arena, (size_t) m.x.nfeatures, sizeof(float));
	pgml_image_predict(&image, x, 1, &out, &scratch);
	assert_true(out == 1);
	pgml_buf_free(&fit.payload);
	image_model_done(&m);
}

int
test_image(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image_tells_what_it_was_made_of),
		cmocka_unit_test(predictions_are_those_of_the_members),
		cmocka_unit_test(averages_are_probabilities),
		cmocka_unit_test(number_of_members_is_bounded),
		cmocka_unit_test(attached_image_is_as_opened),
		cmocka_unit_test(class_is_the_most_probable),
		cmocka_unit_test(golden_calibrations_mean_the_same),
		cmocka_unit_test(calibration_is_added),
		cmocka_unit_test(calibration_may_find_no_memory),
		cmocka_unit_test(hostile_calibrations_are_refused),
		cmocka_unit_test(sets_of_classes),
		cmocka_unit_test(intervals),
		cmocka_unit_test(golden_images_stay_readable),
		cmocka_unit_test(the_fuzzer_begins_with_todays_payloads),
		cmocka_unit_test(golden_background_rows_stay_readable),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(every_truncation_is_noticed),
		cmocka_unit_test(longer_bytes_are_noticed),
		cmocka_unit_test(newer_version_is_named),
		cmocka_unit_test(unknown_learner_is_named),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(random_changes_do_no_harm),
		cmocka_unit_test(memory_faults_are_clean),
	};

	return cmocka_run_group_tests_name("image", tests, set_up, tear_down);
}
