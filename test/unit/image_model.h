/*
 * image_model.h - small models with every treatment of the recipe and three learners, for the tests of images.
 */
#ifndef PGML_UNIT_IMAGE_MODEL_H
#define PGML_UNIT_IMAGE_MODEL_H

#include <stdio.h>

#include "core/rng.h"
#include "make_table.h"
#include "model/image.h"

#define IMAGE_ROWS    160
#define IMAGE_MEMBERS 3

/* A table, features of it, fits of three learners, and the image of all three. */
typedef struct ImageModel
{
	Fixture f;
	PgmlTask task;
	int n_classes;
	int first; /* learner of the first member, in the order of the registry */
	double *y;
	PgmlBuf recipe_bytes;
	PgmlRecipe recipe;
	PgmlMatrix x;
	PgmlShape shape;
	PgmlBlas blas;
	const PgmlLearner *third;
	const char *setting, *word; /* of the learners that know it; NULL: none */
	PgmlFit fit[IMAGE_MEMBERS];
	PgmlMember members[IMAGE_MEMBERS];
	PgmlImageSpec spec;
	PgmlBuf image;
} ImageModel;

static const char *const image_classes[] = { "green", "red", "blue" };

/* Columns that need each kind of treatment; y follows from some of them. */
static inline void
image_model_table(ImageModel *m)
{
	static const char *const cities[] = { "Oslo", "oslo ", "Rome", "Bonn", "Rome", NULL, "Lima" };
	Fixture *f = &m->f;
	PgmlColumn *age = add_numbers(f, "age", PGML_KIND_NUMBER);
	PgmlColumn *income = add_text(f, "income");
	PgmlColumn *city = add_cycle(f, "city", cities, 7);
	PgmlColumn *member = add_numbers(f, "member", PGML_KIND_BOOL);
	PgmlColumn *joined = add_numbers(f, "joined", PGML_KIND_DATE);
	PgmlColumn *seen = add_text(f, "seen");
	PgmlColumn *wake = add_numbers(f, "wake", PGML_KIND_TIME);
	PgmlColumn *span = add_numbers(f, "span", PGML_KIND_INTERVAL);
	PgmlColumn *big = add_numbers(f, "big", PGML_KIND_NUMBER);
	PgmlColumn *flag = add_text(f, "flag");
	PgmlRng rng;
	char text[40];

	add_numbers(f, "always", PGML_KIND_NUMBER);
	m->y = pgml_array(f->arena, IMAGE_ROWS, sizeof(double));
	pgml_rng_init(&rng, 2026, 1);
	for (int i = 0; i < IMAGE_ROWS; i++)
	{
		double z;

		age->num[i] = i % 13 == 5 ? NAN : (double) (18 + pgml_rng_below(&rng, 60));
		snprintf(text, sizeof(text), "$1,%03d.50", (int) pgml_rng_below(&rng, 1000));
		set_text(income, i, text);
		if (i == 3 || i == 17)
			set_text(city, i, i == 3 ? "Kyiv" : "Nice");
		member->num[i] = (double) pgml_rng_below(&rng, 2);
		joined->num[i] = 86400.0 * (double) (15000 + pgml_rng_below(&rng, 3000));
		snprintf(text, sizeof(text), "2023-%02d-%02d", 1 + i % 12, 1 + i * 7 % 28);
		set_text(seen, i, text);
		wake->num[i] = 60.0 * (double) pgml_rng_below(&rng, 1440);
		span->num[i] = 3600.0 * (double) pgml_rng_below(&rng, 100);
		big->num[i] = 1.7e9 + (double) pgml_rng_below(&rng, 1000);
		if (pgml_rng_below(&rng, 3) == 0)
			set_text(flag, i, "yes");
		z = (isnan(age->num[i]) ? 30 : age->num[i]) / 20 + (i % 7 == 2 || i % 7 == 4) +
			member->num[i] + 0.3 * pgml_rng_normal(&rng);
		m->y[i] = m->task == PGML_TASK_REGRESSION ? z :
				  m->task == PGML_TASK_BINARY     ? z > 3 :
													(z > 2.2) + (z > 3.4);
	}
}

/* Fit one learner; the settings keep it small. */
static inline PgmlStatus
image_model_fit(ImageModel *m, int i, const PgmlLearner *learner)
{
	PgmlDataset data = { .x = &m->x,
						 .y = m->y,
						 .task = m->task,
						 .n_classes = m->n_classes,
						 .rows = m->f.rows,
						 .n = IMAGE_ROWS,
						 .blas = &m->blas };
	PgmlParams params;

	pgml_params_default(learner, &params);
	if (learner == &pgml_learner_gradient_boosting)
	{
		PGML_TRY(pgml_params_set(learner, &params, "n_estimators", 3, &m->f.error));
		PGML_TRY(pgml_params_set(learner, &params, "num_leaves", 5, &m->f.error));
	}
	else if (learner == &pgml_learner_oblivious_boosting)
	{
		PGML_TRY(pgml_params_set(learner, &params, "n_estimators", 8, &m->f.error));
		PGML_TRY(pgml_params_set(learner, &params, "depth", 4, &m->f.error));
	}
	else if (learner == &pgml_learner_mlp)
	{
		PGML_TRY(pgml_params_set(learner, &params, "hidden_width", 6, &m->f.error));
		PGML_TRY(pgml_params_set(learner, &params, "max_iter", 4, &m->f.error));
		PGML_TRY(pgml_params_set(learner, &params, "one_hot_max_size", 3, &m->f.error));
	}
	else if (learner == &pgml_learner_linear)
		PGML_TRY(pgml_params_set(learner, &params, "alpha", 1, &m->f.error));
	else if (!isnan(pgml_param(learner, &params, "max_depth")))
		PGML_TRY(pgml_params_set(learner, &params, "max_depth", 4, &m->f.error));
	if (learner == &pgml_learner_random_forest || learner == &pgml_learner_extra_trees)
		PGML_TRY(pgml_params_set(learner, &params, "n_estimators", 3, &m->f.error));
	if (m->setting && pgml_param_index(learner, m->setting) >= 0)
		PGML_TRY(pgml_params_set_text(learner, &params, m->setting, m->word, &m->f.error));
	pgml_buf_init(&m->fit[i].payload, m->f.env.budget);
	PGML_TRY(learner->fit(&m->f.env, &data, &params, &m->fit[i]));
	m->members[i].learner = learner;
	m->members[i].payload = m->fit[i].payload.data;
	m->members[i].payload_len = m->fit[i].payload.len;
	return PGML_OK;
}

/* What learners know about the features. */
static inline void
image_model_shape(ImageModel *m)
{
	int32_t d = m->x.nfeatures;
	bool *categorical = pgml_array(m->f.arena, (size_t) d, sizeof(bool));
	int32_t *n_levels = pgml_array(m->f.arena, (size_t) d, sizeof(int32_t));

	for (int32_t i = 0; i < d; i++)
	{
		categorical[i] = m->x.features[i].categorical;
		n_levels[i] = m->x.features[i].n_levels;
	}
	m->shape = (PgmlShape){ m->task, m->n_classes, d, categorical, n_levels };
}

/* Scores of the rows it was fitted on, which is good enough for tests of what is done with them. */
static inline PgmlStatus
image_model_calibrate(ImageModel *m)
{
	int32_t d = m->x.nfeatures;
	int k = pgml_task_outputs(m->task, m->n_classes);
	float *x = pgml_array(m->f.arena, (size_t) d, sizeof(float));
	double *p = pgml_array(m->f.arena, (size_t) (IMAGE_ROWS * k), sizeof(double));
	PgmlPredictions predictions = { m->task, m->n_classes, IMAGE_ROWS, m->y, p, NULL, NULL };
	double score[IMAGE_ROWS], kept[IMAGE_ROWS], scratch[3];
	PgmlErrorSize size;
	PgmlCalibration calibration = { .n = IMAGE_ROWS,
									.rows = PGML_CALIBRATED_ON_TEST,
									.at = size.at,
									.size = size.size,
									.scores = kept };
	PgmlImage image;

	PGML_TRY(pgml_image_open(m->image.data, m->image.len, m->f.arena, &image, &m->f.error));
	for (int i = 0; i < IMAGE_ROWS; i++)
	{
		for (int32_t f = 0; f < d; f++)
			x[f] = m->x.col[f][i];
		pgml_image_predict(&image, x, 1, p + i * k, scratch);
	}
	pgml_error_size_constant(&size);
	if (m->task == PGML_TASK_REGRESSION)
	{
		PGML_TRY(pgml_error_size_fit(&m->f.env, p, m->y, IMAGE_ROWS, &size));
		calibration.n_points = size.n;
	}
	for (int i = 0; i < IMAGE_ROWS; i++)
		score[i] = pgml_conformal_row(&predictions, &size, i);
	PGML_TRY(pgml_scores_keep(&m->f.env, score, IMAGE_ROWS, kept));
	return pgml_image_calibrate(&m->f.env, &calibration, &m->image);
}

/* Fit the recipe and three learners, of which another may take the last's place; weights 0.25, 0.25, 0.5. */
static inline PgmlStatus
image_model_train(ImageModel *m)
{
	PgmlRecipeSpec spec = { .rows = m->f.rows, .n = IMAGE_ROWS };
	PgmlError *error = &m->f.error;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	PGML_TRY(pgml_blas_load(&m->blas, NULL, error));
	PGML_TRY(pgml_recipe_fit(&m->f.env, &m->f.table, &spec, &m->recipe_bytes));
	PGML_TRY(pgml_recipe_open(m->recipe_bytes.data, m->recipe_bytes.len, &m->recipe, error));
	PGML_TRY(pgml_recipe_apply_table(&m->f.env, &m->recipe, &m->f.table, m->f.arena, &m->x));
	image_model_shape(m);
	for (int i = 0; i < IMAGE_MEMBERS; i++)
	{
		PGML_TRY(image_model_fit(m, i, i == 2 && m->third ? m->third : learners[m->first + i]));
		m->members[i].weight = i == 2 ? 0.5 : 0.25;
	}
	m->spec = (PgmlImageSpec){ .task = m->task,
							   .n_classes = m->n_classes,
							   .classes = m->task == PGML_TASK_REGRESSION ? NULL : image_classes,
							   .target = "colour",
							   .metric = m->task == PGML_TASK_REGRESSION ? "rmse" : "log_loss",
							   .recipe = m->recipe_bytes.data,
							   .recipe_len = m->recipe_bytes.len,
							   .members = m->members,
							   .n_members = IMAGE_MEMBERS };
	PGML_TRY(pgml_image_encode(&m->f.env, &m->spec, &m->image));
	return image_model_calibrate(m);
}

/* A model of three learners: those from number `first` of the registry on, the third replaced unless `third` is NULL; with a setting. */
static inline PgmlStatus
image_model_init_set(ImageModel *m, PgmlTask task, int first, const PgmlLearner *third,
					 const char *setting, const char *word)
{
	memset(m, 0, sizeof(*m));
	m->setting = setting;
	m->word = word;
	m->first = first;
	m->task = task;
	m->third = third;
	m->n_classes = task == PGML_TASK_REGRESSION ? 1 : task == PGML_TASK_BINARY ? 2 : 3;
	fixture_init(&m->f, IMAGE_ROWS);
	pgml_buf_init(&m->recipe_bytes, m->f.env.budget);
	pgml_buf_init(&m->image, m->f.env.budget);
	image_model_table(m);
	return image_model_train(m);
}

/* The same without one. */
static inline PgmlStatus
image_model_init_with(ImageModel *m, PgmlTask task, int first, const PgmlLearner *third)
{
	return image_model_init_set(m, task, first, third, NULL, NULL);
}

static inline PgmlStatus
image_model_init(ImageModel *m, PgmlTask task)
{
	return image_model_init_with(m, task, 0, NULL);
}

static inline void
image_model_done(ImageModel *m)
{
	for (int i = 0; i < IMAGE_MEMBERS; i++)
		pgml_buf_free(&m->fit[i].payload);
	pgml_buf_free(&m->image);
	pgml_buf_free(&m->recipe_bytes);
	fixture_done(&m->f);
}

#endif
