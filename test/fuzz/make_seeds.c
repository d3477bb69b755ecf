/*
 * make_seeds.c - writes images of today's payloads for the fuzzer to begin with, beside the golden ones, which are as they were first stored.
 *
 * make_seeds [DIRECTORY]: never over an existing file.  To run it, see test/unit/golden/README.md.
 */
#include <stdio.h>

#include "image_model.h"

#define BACKGROUND 4

/* One image: three learners from number `first` of the registry on, the last of which another may replace. */
typedef struct Seed
{
	const char *name;
	PgmlTask task;
	int first;
	const PgmlLearner *third;
	const char *setting, *word;
} Seed;

/* Number of random_forest in the registry; the other two follow.  From 0 on there are constant, linear and gradient_boosting. */
#define FORESTS 3

static const Seed seeds[] = {
	{ "forests_regression", PGML_TASK_REGRESSION, FORESTS, NULL, NULL, NULL },
	{ "forests_binary", PGML_TASK_BINARY, FORESTS, NULL, NULL, NULL },
	{ "forests_multiclass", PGML_TASK_MULTICLASS, FORESTS, NULL, NULL, NULL },
	{ "oblivious_regression", PGML_TASK_REGRESSION, 0, &pgml_learner_oblivious_boosting, NULL,
	  NULL },
	{ "oblivious_multiclass", PGML_TASK_MULTICLASS, 0, &pgml_learner_oblivious_boosting, NULL,
	  NULL },
	{ "depthwise_binary", PGML_TASK_BINARY, 0, &pgml_learner_oblivious_boosting, "grow_policy",
	  "depthwise" },
	{ "counts", PGML_TASK_REGRESSION, 0, NULL, "objective", "poisson" },
	{ "lasso_multiclass", PGML_TASK_MULTICLASS, 0, NULL, "penalty", "l1" },
	{ "mlp_regression", PGML_TASK_REGRESSION, 0, &pgml_learner_mlp, NULL, NULL },
	{ "mlp_multiclass", PGML_TASK_MULTICLASS, 0, &pgml_learner_mlp, NULL, NULL },
	{ "svm_binary", PGML_TASK_BINARY, 0, &pgml_learner_svm, NULL, NULL },
	{ "svm_linear", PGML_TASK_MULTICLASS, 0, &pgml_learner_svm, "kernel", "linear" },
	{ "knn_multiclass", PGML_TASK_MULTICLASS, 0, &pgml_learner_knn, NULL, NULL },
	{ "naive_bayes", PGML_TASK_BINARY, 0, &pgml_learner_naive_bayes, NULL, NULL },
};

/* Some of the rows that were learned from: learners that are no sums are explained by them. */
static PgmlStatus
add_background(ImageModel *m)
{
	float *x = pgml_array(m->f.arena, (size_t) m->x.nfeatures * BACKGROUND, sizeof(float));
	double share[BACKGROUND];
	PgmlBackground background = { BACKGROUND, m->x.nfeatures, share, x };

	for (int i = 0; i < BACKGROUND; i++)
	{
		share[i] = 1.0 / BACKGROUND;
		for (int32_t f = 0; f < m->x.nfeatures; f++)
			x[f * BACKGROUND + i] = m->x.col[f][i * 11];
	}
	return pgml_image_add_background(&m->f.env, &background, &m->image);
}

static int
store(const PgmlBuf *image, const char *dir, const char *name)
{
	char path[500];
	FILE *file;
	int bad;

	snprintf(path, sizeof(path), "%s/image_today_%s.bin", dir, name);
	if ((file = fopen(path, "wbx")) == NULL)
	{
		perror(path);
		return 1;
	}
	bad = fwrite(image->data, 1, image->len, file) != image->len;
	return bad | (fclose(file) != 0);
}

static int
make(const char *dir, const Seed *seed)
{
	ImageModel *m = malloc(sizeof(*m));
	int bad = 1;

	if (m == NULL)
		return 1;
	if (image_model_init_set(m, seed->task, seed->first, seed->third, seed->setting, seed->word) !=
			PGML_OK ||
		add_background(m) != PGML_OK)
		fprintf(stderr, "%s: %s\n", seed->name, m->f.error.message);
	else
		bad = store(&m->image, dir, seed->name);
	image_model_done(m);
	free(m);
	return bad;
}

int
main(int argc, char **argv)
{
	int bad = 0;

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		bad |= make(argc > 1 ? argv[1] : "test/fuzz/corpus/fuzz_image", &seeds[i]);
	return bad;
}
