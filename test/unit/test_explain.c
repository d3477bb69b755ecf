/*
 * test_explain.c - explanations of whole images: that they add up, and that linear models' are what the definition says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "image_model.h"
#include "model/explain.h"
#include "unit.h"

#define ROWS 50

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* An image of some members, explained for its first rows. */
typedef struct Explained
{
	ImageModel m;
	PgmlImage image;
	const PgmlExplainer *explainer;
	PgmlStatus status; /* of making it */
	double base[ROWS];
	double contribution[IMAGE_ROWS * 40];
	float rows[ROWS * 64]; /* row after row */
	double p[ROWS * 4];
} Explained;

/* Fit gradient_boosting again, so that it multiplies. */
static void
fit_logarithm(ImageModel *m)
{
	PgmlDataset data = {
		.x = &m->x, .y = m->y, .task = m->task, .n_classes = 1, .rows = m->f.rows, .n = IMAGE_ROWS
	};
	const PgmlLearner *learner = &pgml_learner_gradient_boosting;
	PgmlParams params;

	pgml_params_default(learner, &params);
	assert_int_equal(pgml_params_set_text(learner, &params, "objective", "poisson", &m->f.error),
					 PGML_OK);
	assert_int_equal(pgml_params_set(learner, &params, "n_estimators", 20, &m->f.error), PGML_OK);
	pgml_buf_free(&m->fit[2].payload);
	assert_int_equal(learner->fit(&m->f.env, &data, &params, &m->fit[2]), PGML_OK);
	m->members[2].payload = m->fit[2].payload.data;
	m->members[2].payload_len = m->fit[2].payload.len;
}

/* The members `first` .. `first` + n - 1 of constant, linear, gradient_boosting, with these weights; the last with a log link? */
static Explained *
explained_of(PgmlTask task, int first, int n, const double *weight, bool logarithm)
{
	Explained *e = calloc(1, sizeof(*e));
	ImageModel *m = &e->m;

	assert_int_equal(image_model_init(m, task), PGML_OK);
	if (logarithm)
		fit_logarithm(m);
	pgml_buf_free(&m->image);
	pgml_buf_init(&m->image, m->f.env.budget);
	for (int i = 0; i < n; i++)
		m->members[first + i].weight = weight[i];
	m->spec.members = m->members + first;
	m->spec.n_members = n;
	assert_int_equal(pgml_image_encode(&m->f.env, &m->spec, &m->image), PGML_OK);
	assert_int_equal(
		pgml_image_open(m->image.data, m->image.len, m->f.arena, &e->image, &m->f.error), PGML_OK);
	e->status = pgml_explainer_create(&m->f.env, m->f.arena, &e->image, &e->explainer);
	return e;
}

static Explained *
explained_new(PgmlTask task, int first, int n, const double *weight)
{
	return explained_of(task, first, n, weight, false);
}

static void
explained_free(Explained *e)
{
	image_model_done(&e->m);
	free(e);
}

/* Explain a class. */
static void
explain(Explained *e, int class)
{
	ImageModel *m = &e->m;
	int32_t d = m->x.nfeatures;
	double scratch[ROWS * 4];
	float *x = pgml_array(m->f.arena, (size_t) d * ROWS, sizeof(float));
	PgmlBlock block = { x, ROWS, ROWS };

	assert_int_equal(e->status, PGML_OK);
	assert_true(d <= 64 && e->image.recipe.n_inputs <= 40);
	for (int32_t f = 0; f < d; f++)
		for (int i = 0; i < ROWS; i++)
			x[f * ROWS + i] = e->rows[i * d + f] = m->x.col[f][i];
	pgml_image_predict(&e->image, e->rows, ROWS, e->p, scratch);
	assert_int_equal(pgml_explain(&m->f.env, e->explainer, &block, class, e->base, e->contribution,
								  IMAGE_ROWS,
								  pgml_alloc(m->f.arena, pgml_explainer_scratch(e->explainer))),
					 PGML_OK);
}

/* Base and contributions of a row. */
static double
total(const Explained *e, int row)
{
	double sum = e->base[row];

	for (int32_t i = 0; i < e->image.recipe.n_inputs; i++)
		sum += e->contribution[i * IMAGE_ROWS + row];
	return sum;
}

/* Probability of a class, as predicted. */
static double
predicted(const Explained *e, int class, int row)
{
	if (e->m.task == PGML_TASK_BINARY)
		return class == 1 ? e->p[row] : 1 - e->p[row];
	return e->p[row * e->m.n_classes + class];
}

/* Members on different scales: everything is explained in the probability that is predicted, exactly. */
static void
mixed_members_add_up_to_the_prediction(void **state)
{
	static const double weight[] = { 0.25, 0.25, 0.5 };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Explained *e = explained_new(tasks[t], 0, 3, weight);

		for (int class = 0; class < e->m.n_classes; class ++)
		{
			double moved = 0;

			explain(e, class);
			assert_int_equal(pgml_explainer_scale(e->explainer),
							 t == 0 ? PGML_SCALE_VALUE : PGML_SCALE_PROBABILITY);
			for (int row = 0; row < ROWS; row++)
			{
				assert_true(fabs(total(e, row) - predicted(e, class, row)) < 1e-9);
				moved = fmax(moved, fabs(total(e, row) - e->base[row]));
			}
			assert_true(moved > 0.05);
		}
		explained_free(e);
	}
}

/* Trees and linear models together: the average of the log-odds or scores. */
static void
scores_add_up_to_their_average(void **state)
{
	static const double weight[] = { 0.3, 0.7 }, one[] = { 1 };

	(void) state;
	for (int t = 1; t < 3; t++)
	{
		Explained *both = explained_new(tasks[t], 1, 2, weight);
		Explained *linear = explained_new(tasks[t], 1, 1, one);
		Explained *trees = explained_new(tasks[t], 2, 1, one);

		for (int class = 0; class < both->m.n_classes; class ++)
		{
			explain(both, class);
			explain(linear, class);
			explain(trees, class);
			assert_int_equal(pgml_explainer_scale(both->explainer), PGML_SCALE_SCORE);
			for (int row = 0; row < ROWS; row++)
			{
				double sum = 0.3 * total(linear, row) + 0.7 * total(trees, row);

				assert_true(fabs(total(both, row) - sum) < 1e-12);
				if (t == 1)
				{
					double p = predicted(trees, class, row), q = predicted(linear, class, row);

					assert_true(fabs(total(trees, row) - log(p / (1 - p))) < 1e-9);
					assert_true(fabs(total(linear, row) - log(q / (1 - q))) < 1e-9);
				}
			}
		}
		explained_free(both);
		explained_free(linear);
		explained_free(trees);
	}
}

/* Models that multiply are explained by logarithms; among others by values that add up to the prediction. */
static void
logarithms_add_up(void **state)
{
	static const double one[] = { 1 }, weight[] = { 0.25, 0.25, 0.5 };
	Explained *alone = explained_of(PGML_TASK_REGRESSION, 2, 1, one, true);
	Explained *mixed = explained_of(PGML_TASK_REGRESSION, 0, 3, weight, true);
	double moved = 0;

	(void) state;
	explain(alone, 0);
	explain(mixed, 0);
	assert_int_equal(pgml_explainer_scale(alone->explainer), PGML_SCALE_LOG);
	assert_int_equal(pgml_explainer_scale(mixed->explainer), PGML_SCALE_VALUE);
	for (int row = 0; row < ROWS; row++)
	{
		assert_true(fabs(total(alone, row) - log(alone->p[row])) < 1e-9);
		assert_true(fabs(total(mixed, row) - mixed->p[row]) < 1e-9);
		moved = fmax(moved, fabs(total(alone, row) - alone->base[row]));
	}
	assert_true(moved > 0.05);
	explained_free(alone);
	explained_free(mixed);
}

/* Prediction of a linear regression for a row in which the features of one input come from another row. */
static double
predict_mixed(const Explained *e, int row, const PgmlInput *input, int other)
{
	float x[64];
	double out, scratch;
	int32_t d = e->m.x.nfeatures;

	for (int32_t f = 0; f < d; f++)
	{
		bool replaced = f >= input->first_feature && f < input->first_feature + input->n_features;

		x[f] = e->m.x.col[f][replaced ? other : row];
	}
	pgml_image_predict(&e->image, x, 1, &out, &scratch);
	return out;
}

/* What a column adds to a linear model is the prediction less its mean over the values that the column has in training. */
static void
linear_contributions_are_deviations_from_the_mean(void **state)
{
	static const double one[] = { 1 };
	Explained *e = explained_new(PGML_TASK_REGRESSION, 1, 1, one);
	double mean = 0;

	(void) state;
	explain(e, 0);
	for (int32_t i = 0; i < e->image.recipe.n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(&e->image.recipe, i);

		for (int row = 0; row < ROWS; row++)
		{
			double expected = 0;

			for (int other = 0; input.used && other < IMAGE_ROWS; other++)
				expected += (e->p[row] - predict_mixed(e, row, &input, other)) / IMAGE_ROWS;
			assert_true(fabs(e->contribution[i * IMAGE_ROWS + row] - expected) < 1e-9);
		}
	}
	for (int row = 0; row < IMAGE_ROWS; row++)
	{
		PgmlInput none = { .n_features = 0 };

		mean += predict_mixed(e, row, &none, row) / IMAGE_ROWS;
	}
	assert_true(fabs(e->base[0] - mean) < 1e-9);
	explained_free(e);
}

/* A constant adds nothing; its base is what it predicts. */
static void
constants_have_only_a_base(void **state)
{
	static const double one[] = { 1 };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Explained *e = explained_new(tasks[t], 0, 1, one);

		explain(e, 0);
		for (int row = 0; row < ROWS; row++)
			assert_true(total(e, row) == e->base[row] &&
						fabs(e->base[row] - predicted(e, 0, row)) < 1e-12);
		explained_free(e);
	}
}

/*
 * Explanations of stacks: of two classes the log-odds of the prediction, of several scores whose softmax is the prediction, for members of all
 * kinds; what a member adds is in proportion to its weight.
 */
static void
stacks_add_up_to_the_score(void **state)
{
	static const double mixed[] = { 0.25, 0.25, 0.5 }, stack[] = { 0.8, -0.3, 0.9 };

	(void) state;
	for (int t = 1; t < 3; t++)
	{
		Explained *e = explained_new(tasks[t], 0, 3, mixed);
		double score[ROWS][8], sum[ROWS] = { 0 };

		e->image.stacked = true;
		for (int m = 0; m < 3; m++)
			e->image.members[m].stack = stack[m];
		assert_int_equal(pgml_explainer_create(&e->m.f.env, e->m.f.arena, &e->image, &e->explainer),
						 PGML_OK);
		assert_int_equal(pgml_explainer_scale(e->explainer), PGML_SCALE_SCORE);
		for (int class = 0; class < e->m.n_classes; class ++)
		{
			explain(e, class);
			for (int row = 0; row < ROWS; row++)
				sum[row] += exp(score[row][class] = total(e, row));
		}
		for (int class = 0; class < e->m.n_classes; class ++)
			for (int row = 0; row < ROWS; row++)
			{
				double p = predicted(e, class, row);

				if (t == 1)
					assert_true(fabs(score[row][class] - log(p / (1 - p))) < 1e-9);
				else
					assert_true(fabs(exp(score[row][class]) / sum[row] - p) < 1e-9);
			}
		explained_free(e);
	}
}

int
test_explain(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mixed_members_add_up_to_the_prediction),
		cmocka_unit_test(scores_add_up_to_their_average),
		cmocka_unit_test(logarithms_add_up),
		cmocka_unit_test(linear_contributions_are_deviations_from_the_mean),
		cmocka_unit_test(constants_have_only_a_base),
		cmocka_unit_test(stacks_add_up_to_the_score),
	};

	return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
