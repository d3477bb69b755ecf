/*
 * test_column_shap.c - Shapley values from predictions of mixed rows: by definition, for sums, and what an image keeps for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "image_model.h"
#include "model/column_shap.h"
#include "model/explain.h"
#include "search/training.h"
#include "unit.h"

#define BACKGROUND 20
#define EXPLAINED  5
#define COLUMNS    40

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* ---- a learner that is no sum -------------------------------------------------------------- */

/* What the made-up learner computes; set by the test. */
typedef double (*Formula)(const float *x);
static Formula formula;
static int32_t formula_features;

static void
formula_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				double *out)
{
	(void) payload;
	(void) shape;
	for (int64_t i = 0; i < n; i++)
		out[i] = formula(x + i * formula_features);
}

static const PgmlLearner formula_learner = { .name = "formula",
											 .tasks = PGML_TASK_ANY,
											 .predict = formula_predict };

static double
zero_if_missing(float v)
{
	return isnan(v) ? 0 : v;
}

/* 3 x0 - 2 x1 + x2 ... */
static double
additive(const float *x)
{
	double sum = 1;

	for (int32_t f = 0; f < formula_features; f++)
		sum += (f % 3 - 1.5) * zero_if_missing(x[f]);
	return sum;
}

/* Features 0 and 1 play the same part, and every feature meets the next. */
static double
interacting(const float *x)
{
	double y = zero_if_missing(x[0]) * zero_if_missing(x[1]);

	for (int32_t f = 2; f + 1 < formula_features; f++)
		y += sin(zero_if_missing(x[f]) * zero_if_missing(x[f + 1])) + y * 0.1;
	return y;
}

/* An image of the made-up learner: the recipe is that of a table of p numbers. */
typedef struct Made
{
	Fixture f;
	PgmlBuf recipe;
	PgmlBuf bytes; /* of the section with the background rows */
	PgmlImage image;
	PgmlMatrix x;
	float rows[COLUMNS * BACKGROUND]; /* background, feature by feature */
	double share[BACKGROUND];
	float explained[COLUMNS * EXPLAINED];
	double base[EXPLAINED];
	double contribution[COLUMNS * EXPLAINED];
} Made;

static Made *
made_new(int32_t p, Formula function)
{
	Made *m = calloc(1, sizeof(*m));
	PgmlRecipeSpec spec = { .n = 100 };
	PgmlRng rng;
	char name[COLUMNS][16];

	fixture_init(&m->f, 100);
	pgml_rng_init(&rng, 5, 5);
	for (int32_t c = 0; c < p; c++)
	{
		snprintf(name[c], sizeof(name[c]), "c%d", (int) c);
		PgmlColumn *column = add_numbers(&m->f, pgml_strdup(m->f.arena, name[c]), PGML_KIND_NUMBER);

		for (int i = 0; i < 100; i++)
			column->num[i] = pgml_rng_normal(&rng);
	}
	spec.rows = m->f.rows;
	pgml_buf_init(&m->recipe, m->f.env.budget);
	assert_int_equal(pgml_recipe_fit(&m->f.env, &m->f.table, &spec, &m->recipe), PGML_OK);
	assert_int_equal(pgml_recipe_open(m->recipe.data, m->recipe.len, &m->image.recipe, &m->f.error),
					 PGML_OK);
	assert_int_equal(m->image.recipe.n_features, p);
	formula = function;
	formula_features = p;
	m->image.task = PGML_TASK_REGRESSION;
	m->image.n_classes = 1;
	m->image.n_members = 1;
	m->image.members[0] = (PgmlMember){ .learner = &formula_learner, .weight = 1 };
	m->image.shape = (PgmlShape){ .task = PGML_TASK_REGRESSION, .n_classes = 1, .nfeatures = p };
	for (int i = 0; i < BACKGROUND; i++)
		m->share[i] = (i + 1) / (BACKGROUND * (BACKGROUND + 1) / 2.0);
	for (int32_t j = 0; j < p * BACKGROUND; j++)
		m->rows[j] = (float) pgml_rng_normal(&rng);
	for (int32_t j = 0; j < p * EXPLAINED; j++)
		m->explained[j] = (float) (1 + pgml_rng_normal(&rng));
	m->image.background = (PgmlBackground){ BACKGROUND, p, m->share, m->rows };
	return m;
}

static void
made_free(Made *m)
{
	pgml_buf_free(&m->recipe);
	fixture_done(&m->f);
	free(m);
}

static PgmlStatus
made_explain(Made *m)
{
	PgmlArena *arena = pgml_arena_create(m->f.env.budget);
	PgmlBlock block = { m->explained, EXPLAINED, EXPLAINED };
	const PgmlExplainer *explainer;
	PgmlStatus status =
		arena ? pgml_explainer_create(&m->f.env, arena, &m->image, &explainer) : PGML_ERR_NOMEM;

	if (status == PGML_OK)
	{
		void *scratch = pgml_alloc(arena, pgml_explainer_scratch(explainer));

		assert_int_equal(pgml_explainer_scale(explainer), PGML_SCALE_VALUE);
		assert_true(pgml_explainer_work(explainer) > 0);
		status = scratch ? pgml_explain(&m->f.env, explainer, &block, 0, m->base, m->contribution,
										EXPLAINED, scratch) :
						   PGML_ERR_NOMEM;
	}
	pgml_arena_destroy(arena);
	return status;
}

/* Mean prediction with the columns of the set from explained row i: the definition. */
static double
value_of(const Made *m, uint64_t set, int i)
{
	float x[COLUMNS];
	double mean = 0;

	for (int b = 0; b < BACKGROUND; b++)
	{
		for (int32_t f = 0; f < formula_features; f++)
			x[f] = set >> f & 1 ? m->explained[f * EXPLAINED + i] : m->rows[f * BACKGROUND + b];
		mean += m->share[b] * formula(x);
	}
	return mean;
}

static double
factorial(int n)
{
	return n < 2 ? 1 : n * factorial(n - 1);
}

static double
shapley(const Made *m, int32_t c, int i)
{
	int p = formula_features;
	double phi = 0;

	for (uint32_t set = 0; set < 1u << p; set++)
	{
		int size = __builtin_popcount(set);

		if (set >> c & 1)
			continue;
		phi += factorial(size) * factorial(p - size - 1) / factorial(p) *
			   (value_of(m, set | 1u << c, i) - value_of(m, set, i));
	}
	return phi;
}

/* Base and contributions are the prediction. */
static void
assert_adds_up(const Made *m)
{
	for (int i = 0; i < EXPLAINED; i++)
	{
		double sum = m->base[i];
		float x[COLUMNS];

		for (int32_t f = 0; f < formula_features; f++)
		{
			x[f] = m->explained[f * EXPLAINED + i];
			sum += m->contribution[f * EXPLAINED + i];
		}
		assert_true(fabs(m->base[i] - value_of(m, 0, i)) < 1e-12);
		assert_true(fabs(sum - formula(x)) < 1e-11 * (1 + fabs(sum)));
	}
}

/* ---- tests --------------------------------------------------------------------------------- */

static void
few_columns_are_explained_by_definition(void **state)
{
	(void) state;
	for (int32_t p = 1; p <= PGML_SHAP_EXACT; p++)
	{
		Made *m = made_new(p, p > 1 ? interacting : additive);

		assert_int_equal(made_explain(m), PGML_OK);
		assert_adds_up(m);
		for (int32_t c = 0; c < p; c++)
			for (int i = 0; i < EXPLAINED; i++)
				assert_true(fabs(m->contribution[c * EXPLAINED + i] - shapley(m, c, i)) < 1e-9);
		made_free(m);
	}
}

/* In a sum each column's part does not depend on the others, so that every order tells the same. */
static void
sums_are_explained_exactly(void **state)
{
	(void) state;
	for (int32_t p = 2; p <= COLUMNS; p += 19)
	{
		Made *m = made_new(p, additive);

		assert_int_equal(made_explain(m), PGML_OK);
		assert_adds_up(m);
		for (int32_t c = 0; c < p; c++)
			for (int i = 0; i < EXPLAINED; i++)
			{
				double own = value_of(m, (uint64_t) 1 << c, i) - value_of(m, 0, i);

				assert_true(fabs(m->contribution[c * EXPLAINED + i] - own) < 1e-9);
			}
		made_free(m);
	}
}

/* Orders that are drawn come near the definition, add up, and tell the same every time. */
static void
many_columns_are_sampled(void **state)
{
	Made *m = made_new(10, interacting);
	double before[COLUMNS * EXPLAINED], error = 0, size = 0;

	(void) state;
	assert_int_equal(made_explain(m), PGML_OK);
	assert_adds_up(m);
	memcpy(before, m->contribution, sizeof(before));
	for (int32_t c = 0; c < 10; c++)
		for (int i = 0; i < EXPLAINED; i++)
		{
			error += fabs(m->contribution[c * EXPLAINED + i] - shapley(m, c, i));
			size += fabs(m->contribution[c * EXPLAINED + i]);
		}
	assert_true(error < 0.05 * size);
	assert_int_equal(made_explain(m), PGML_OK);
	assert_memory_equal(m->contribution, before, sizeof(before));
	made_free(m);
}

/* Columns that play the same part, with the same values, get the same. */
static void
equal_columns_get_the_same(void **state)
{
	Made *m = made_new(6, interacting);

	(void) state;
	memcpy(m->rows + BACKGROUND, m->rows, BACKGROUND * sizeof(float));
	memcpy(m->explained + EXPLAINED, m->explained, EXPLAINED * sizeof(float));
	assert_int_equal(made_explain(m), PGML_OK);
	for (int i = 0; i < EXPLAINED; i++)
		assert_true(fabs(m->contribution[i] - m->contribution[EXPLAINED + i]) < 1e-12);
	made_free(m);
}

static void
stops_and_finds_no_memory(void **state)
{
	(void) state;
	for (int32_t p = 6; p <= 12; p += 6)
	{
		Made *m = made_new(p, interacting);
		_Atomic int stop = 1;
		PgmlStatus status = PGML_ERR_NOMEM;
		int faults = 0;

		m->f.env.stop = &stop;
		assert_int_equal(made_explain(m), PGML_ERR_CANCELLED);
		m->f.env.stop = NULL;
		for (; status != PGML_OK; faults++)
		{
			assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			atomic_store(&m->f.budget.fail_at, faults + 1);
			status = made_explain(m);
		}
		atomic_store(&m->f.budget.fail_at, 0);
		assert_true(faults > 3);
		made_free(m);
	}
}

/* ---- images -------------------------------------------------------------------------------- */

/* Add some of the rows a model was fitted on. */
static PgmlStatus
add_background(ImageModel *m)
{
	float x[BACKGROUND * 64];
	double share[BACKGROUND];
	PgmlBackground background = { BACKGROUND, m->x.nfeatures, share, x };

	assert_true(m->x.nfeatures <= 64);
	for (int i = 0; i < BACKGROUND; i++)
	{
		share[i] = 1.0 / BACKGROUND;
		for (int32_t f = 0; f < m->x.nfeatures; f++)
			x[f * BACKGROUND + i] = m->x.col[f][i];
	}
	return pgml_image_add_background(&m->f.env, &background, &m->image);
}

/* Learners as if they were no sums: everything is explained in what is predicted, exactly. */
static void
members_add_up_to_the_prediction(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		ImageModel m;
		PgmlImage image;
		PgmlLearner plain[IMAGE_MEMBERS];
		const PgmlExplainer *explainer;
		float x[64], row[64];
		PgmlBlock block = { x, 1, 1 };
		double out[3], room[3], contribution[COLUMNS];

		assert_int_equal(image_model_init(&m, tasks[t]), PGML_OK);
		assert_int_equal(add_background(&m), PGML_OK);
		assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
						 PGML_OK);
		for (int i = 1; i < IMAGE_MEMBERS; i++)
		{
			plain[i] = *image.members[i].learner;
			plain[i].trees = NULL;
			plain[i].contributions = NULL;
			image.members[i].learner = &plain[i];
			/* The second round has one that is explained by its scores. */
			if (i == 1)
				continue;
			assert_int_equal(pgml_explainer_create(&m.f.env, m.f.arena, &image, &explainer),
							 PGML_OK);
			assert_int_equal(pgml_explainer_scale(explainer),
							 t == 0 ? PGML_SCALE_VALUE : PGML_SCALE_PROBABILITY);
			for (int32_t f = 0; f < m.x.nfeatures; f++)
				x[f] = row[f] = m.x.col[f][30];
			pgml_image_predict(&image, row, 1, out, room);
			for (int class = 0; class < m.n_classes; class ++)
			{
				double p = t == 1 ? (class == 1 ? out[0] : 1 - out[0]) : out[class];
				double sum;

				assert_int_equal(
					pgml_explain(&m.f.env, explainer, &block, class, &sum, contribution, 1,
								 pgml_alloc(m.f.arena, pgml_explainer_scratch(explainer))),
					PGML_OK);
				for (int32_t c = 0; c < image.recipe.n_inputs; c++)
					sum += contribution[c];
				assert_true(fabs(sum - p) < 1e-9);
			}
			image.background.n = 0;
			assert_int_equal(pgml_explainer_create(&m.f.env, m.f.arena, &image, &explainer),
							 PGML_ERR_BADARG);
			assert_non_null(strstr(m.f.error.hint, "Train"));
		}
		image_model_done(&m);
	}
}

static void
assert_background_refused(const PgmlBuf *section, size_t at, const void *value, size_t size,
						  int32_t d)
{
	uint8_t *bytes = malloc(section->len);
	PgmlBackground out;
	PgmlError error = { 0 };

	memcpy(bytes, section->data, section->len);
	memcpy(bytes + at, value, size);
	assert_int_equal(pgml_background_open(bytes, section->len, d, &out, &error), PGML_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "background rows"));
	free(bytes);
}

static void
hostile_background_rows_are_refused(void **state)
{
	double share[] = { 0.25, 0.75 };
	float x[] = { 1, 2, 3, NAN, 5, 6 };
	PgmlBackground rows = { 2, 3, share, x }, read;
	PgmlBudget budget;
	PgmlBuf b;

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&b, &budget);
	pgml_background_encode(&rows, &b);
	assert_int_equal(b.len, pgml_background_bytes(&rows));
	assert_int_equal(pgml_background_open(b.data, b.len, 3, &read, NULL), PGML_OK);
	assert_int_equal(read.n, 2);
	assert_memory_equal(read.x, x, sizeof(x));
	assert_memory_equal(read.share, share, sizeof(share));
	assert_background_refused(&b, 0, &(uint32_t){ 2 }, 4, 3);
	assert_background_refused(&b, 4, &(uint32_t){ 0 }, 4, 3);
	assert_background_refused(&b, 4, &(uint32_t){ 1 }, 4, 3);
	assert_background_refused(&b, 4, &(uint32_t){ 65 }, 4, 3);
	assert_background_refused(&b, 4, &(uint32_t){ UINT32_MAX }, 4, 3);
	assert_background_refused(&b, 8, &(uint32_t){ 2 }, 4, 3);
	assert_background_refused(&b, 8, &(uint32_t){ 3 }, 4, 2);
	assert_background_refused(&b, 12, &(uint32_t){ 1 }, 4, 3);
	assert_background_refused(&b, 16, &(double){ 0 }, 8, 3);
	assert_background_refused(&b, 16, &(double){ NAN }, 8, 3);
	assert_background_refused(&b, 16, &(double){ 0.5 }, 8, 3);
	assert_background_refused(&b, 32, &(float){ INFINITY }, 4, 3);
	pgml_buf_free(&b);
}

/* A row from every part of the training rows, by the seed; rows with hardly any weight say nothing. */
static void
background_rows_are_drawn_evenly(void **state)
{
	int32_t train[1000], row[PGML_BACKGROUND_ROWS], again[PGML_BACKGROUND_ROWS];
	double weight[1000], share[PGML_BACKGROUND_ROWS], sum = 0;
	PgmlEnv env = { .seed = 7 };
	Training *t = calloc(1, sizeof(*t));

	(void) state;
	for (int i = 0; i < 1000; i++)
	{
		train[i] = i;
		weight[i] = i < 500 ? 1e300 : 1e308 * (i % 2);
	}
	t->env = &env;
	t->train = train;
	t->n_train = 1000;
	assert_int_equal(training_draw_background(t, row, share), PGML_BACKGROUND_ROWS);
	for (int k = 0; k < PGML_BACKGROUND_ROWS; k++)
	{
		assert_true(row[k] >= k * 1000 / 64 && row[k] < (k + 1) * 1000 / 64);
		assert_true(fabs(share[k] - 1.0 / 64) < 1e-12);
	}
	assert_int_equal(training_draw_background(t, again, share), PGML_BACKGROUND_ROWS);
	assert_memory_equal(row, again, sizeof(row));
	t->weight = weight;
	int32_t n = training_draw_background(t, row, share);

	assert_true(n > 32 && n < PGML_BACKGROUND_ROWS);
	for (int32_t k = 0; k < n; k++)
	{
		assert_true(row[k] < 500 || row[k] % 2 == 1);
		sum += share[k];
	}
	assert_true(fabs(sum - 1) < 1e-12);
	t->n_train = 3;
	assert_int_equal(training_draw_background(t, row, share), 3);
	free(t);
}

int
test_column_shap(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_columns_are_explained_by_definition),
		cmocka_unit_test(sums_are_explained_exactly),
		cmocka_unit_test(many_columns_are_sampled),
		cmocka_unit_test(equal_columns_get_the_same),
		cmocka_unit_test(stops_and_finds_no_memory),
		cmocka_unit_test(members_add_up_to_the_prediction),
		cmocka_unit_test(hostile_background_rows_are_refused),
		cmocka_unit_test(background_rows_are_drawn_evenly),
	};

	return cmocka_run_group_tests_name("column_shap", tests, NULL, NULL);
}
