/*
 * make_golden.c - writes the golden images and prints their predictions; see README.md.
 *
 * make_golden [DIRECTORY [LEARNER]]: with a learner, images that have it in the place of the third one.
 */
#include <stdio.h>

#include "image_model.h"
#include "golden/rows.h"

/* Number of random_forest in the registry; the other two follow. */
#define FIRST_FOREST 3

/* Predictions for the fixed inputs, as the lines of a C array. */
static int
print_predictions(const PgmlBuf *bytes, PgmlArena *arena, const char *name)
{
	PgmlImage image;
	PgmlError error;
	double out[8], scratch[8];
	float x[64];

	if (pgml_image_open(bytes->data, bytes->len, arena, &image, &error) != PGML_OK ||
		image.recipe.n_features > 64 || image.recipe.n_inputs != GOLDEN_COLUMNS)
		return 1;
	printf("static const double %s[] = {\n", name);
	for (int row = 0; row < GOLDEN_ROWS; row++)
	{
		PgmlValue v[GOLDEN_COLUMNS];

		golden_row(row, v);
		for (int i = 0; i < GOLDEN_COLUMNS; i++)
			if (pgml_recipe_apply_value(&image.recipe, i, &v[i], x, &error) != PGML_OK)
			{
				fprintf(stderr, "row %d: %s\n", row, error.message);
				return 1;
			}
		pgml_image_predict(&image, x, 1, out, scratch);
		printf("\t");
		for (int k = 0; k < pgml_image_outputs(&image); k++)
			printf("%.17g,%s", out[k], k + 1 < pgml_image_outputs(&image) ? " " : "\n");
	}
	printf("};\n");
	return 0;
}

/* Write an image, never over an existing one, and print its predictions. */
static int
store(const ImageModel *m, const char *dir, const char *name)
{
	char path[500];
	FILE *file;
	int bad;

	snprintf(path, sizeof(path), "%s/image_v%d_calibrated_%s.bin", dir, PGML_IMAGE_VERSION, name);
	if ((file = fopen(path, "wbx")) == NULL)
	{
		perror(path);
		return 1;
	}
	bad = fwrite(m->image.data, 1, m->image.len, file) != m->image.len;
	bad |= fclose(file) != 0;
	return bad | print_predictions(&m->image, m->f.arena, name);
}

static int
make(const char *dir, PgmlTask task, const char *name, int first, const PgmlLearner *third)
{
	ImageModel *m = malloc(sizeof(*m));
	int bad = 1;

	if (m == NULL)
		return 1;
	if (image_model_init_with(m, task, first, third) != PGML_OK)
		fprintf(stderr, "%s\n", m->f.error.message);
	else
		bad = store(m, dir, name);
	image_model_done(m);
	free(m);
	return bad;
}

/* The same with the first three learners stacked. */
static int
make_stacked(const char *dir, PgmlTask task, const char *name)
{
	static const double weight[IMAGE_MEMBERS] = { 0.2, -0.4, 1.1 };
	ImageModel *m = malloc(sizeof(*m));
	int bad = 1;

	if (m == NULL)
		return 1;
	if (image_model_init(m, task) != PGML_OK)
		fprintf(stderr, "%s\n", m->f.error.message);
	else
	{
		pgml_buf_free(&m->image);
		if (pgml_image_encode(&m->f.env, &m->spec, &m->image) == PGML_OK &&
			pgml_image_stack(&m->f.env, weight, IMAGE_MEMBERS, &m->image) == PGML_OK &&
			image_model_calibrate(m) == PGML_OK)
			bad = store(m, dir, name);
	}
	image_model_done(m);
	free(m);
	return bad;
}

int
main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : "test/unit/golden";
	const PgmlLearner *oblivious = &pgml_learner_oblivious_boosting;
	const PgmlLearner *bayes = &pgml_learner_naive_bayes;
	const PgmlLearner *knn = &pgml_learner_knn;
	const PgmlLearner *mlp = &pgml_learner_mlp;

	return make(dir, PGML_TASK_BINARY, "binary", 0, NULL) |
		   make(dir, PGML_TASK_MULTICLASS, "multiclass", 0, NULL) |
		   make(dir, PGML_TASK_REGRESSION, "regression", 0, NULL) |
		   make(dir, PGML_TASK_BINARY, "forests_binary", FIRST_FOREST, NULL) |
		   make(dir, PGML_TASK_MULTICLASS, "forests_multiclass", FIRST_FOREST, NULL) |
		   make(dir, PGML_TASK_REGRESSION, "forests_regression", FIRST_FOREST, NULL) |
		   make(dir, PGML_TASK_BINARY, "oblivious_boosting_binary", 0, oblivious) |
		   make(dir, PGML_TASK_MULTICLASS, "oblivious_boosting_multiclass", 0, oblivious) |
		   make(dir, PGML_TASK_REGRESSION, "oblivious_boosting_regression", 0, oblivious) |
		   make(dir, PGML_TASK_BINARY, "naive_bayes_binary", 0, bayes) |
		   make(dir, PGML_TASK_MULTICLASS, "naive_bayes_multiclass", 0, bayes) |
		   make(dir, PGML_TASK_BINARY, "knn_binary", 0, knn) |
		   make(dir, PGML_TASK_MULTICLASS, "knn_multiclass", 0, knn) |
		   make(dir, PGML_TASK_REGRESSION, "knn_regression", 0, knn) |
		   make(dir, PGML_TASK_BINARY, "mlp_binary", 0, mlp) |
		   make(dir, PGML_TASK_MULTICLASS, "mlp_multiclass", 0, mlp) |
		   make(dir, PGML_TASK_REGRESSION, "mlp_regression", 0, mlp) |
		   make(dir, PGML_TASK_BINARY, "svm_binary", 0, &pgml_learner_svm) |
		   make(dir, PGML_TASK_MULTICLASS, "svm_multiclass", 0, &pgml_learner_svm) |
		   make(dir, PGML_TASK_REGRESSION, "svm_regression", 0, &pgml_learner_svm) |
		   make_stacked(dir, PGML_TASK_BINARY, "stacked_binary") |
		   make_stacked(dir, PGML_TASK_MULTICLASS, "stacked_multiclass");
}
