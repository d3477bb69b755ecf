/*
 * Tests of stacks: what they do to probabilities, that the right weights are found and the right models taken out, how they are stored, and when a
 * training takes one.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "image_bytes.h"
#include "image_model.h"
#include "model/scorer.h"
#include "model/stack.h"
#include "people.h"
#include "search/training.h"
#include "unit.h"

/* ---- applying ---- */

/* Odds of 4 and 2 with weights 2 and -1 are 8; three classes are p1^2 / p2, over their sum; 0 and 1 are cut off at 1e-7. */
static void
logarithms_are_added_up(void **state)
{
	const double four[] = { 0.8, 0, 1 }, two[] = { 2.0 / 3, 0, 0 };
	const double first[] = { 0.5, 0.25, 0.25, 1, 0, 0 }, second[] = { 0.25, 0.5, 0.25, 1, 0, 0 };
	double odds[3] = { 0 }, three[6] = { 0 };

	(void) state;
	pgml_stack_add(PGML_TASK_BINARY, 2, 3, four, odds);
	pgml_stack_add(PGML_TASK_BINARY, -1, 3, two, odds);
	pgml_stack_finish(PGML_TASK_BINARY, 2, 3, odds);
	assert_true(fabs(odds[0] - 8.0 / 9) < 1e-15);
	assert_true(fabs(odds[1] - 1e-7) < 1e-14);
	assert_true(odds[2] > 1 - 1e-15 && odds[2] <= 1);
	pgml_stack_add(PGML_TASK_MULTICLASS, 2, 6, first, three);
	pgml_stack_add(PGML_TASK_MULTICLASS, -1, 6, second, three);
	pgml_stack_finish(PGML_TASK_MULTICLASS, 3, 2, three);
	assert_true(fabs(three[0] - 8.0 / 11) < 1e-15 && fabs(three[1] - 1.0 / 11) < 1e-15);
	assert_true(fabs(three[2] - 2.0 / 11) < 1e-15);
	assert_true(fabs(three[3] - 1 / (1 + 2e-7)) < 1e-14 && fabs(three[4] - 1e-7) < 1e-13);
}

/* ---- fitting ---- */

#define MODELS 3

/* Rows whose classes are drawn by probabilities that are a stack of three models' with these weights. */
typedef struct Drawn
{
	PgmlBudget budget;
	PgmlError error;
	atomic_int stop;
	PgmlEnv env;
	PgmlStackRows rows;
	double *y;
	double *w;
	uint8_t *part;
} Drawn;

static int
outputs_of(const Drawn *d)
{
	return pgml_task_outputs(d->rows.task, d->rows.n_classes);
}

/* The scores of row i at weights v, into z. */
static void
score(const Drawn *d, int64_t i, const double *v, double *z)
{
	for (int k = 0; k < outputs_of(d); k++)
	{
		z[k] = 0;
		for (int m = 0; m < MODELS; m++)
			z[k] += v[m] * d->rows.log[(i * outputs_of(d) + k) * MODELS + m];
	}
	pgml_stack_finish(d->rows.task, d->rows.n_classes, 1, z);
}

static double
probability(const Drawn *d, const double *p, int class)
{
	return d->rows.task == PGML_TASK_BINARY ? class == 1 ? p[0] : 1 - p[0] : p[class];
}

static Drawn *
draw(PgmlTask task, int64_t n, const double *weight)
{
	Drawn *d = calloc(1, sizeof(*d));
	PgmlRng rng;
	int outputs;

	pgml_budget_init(&d->budget, 0);
	d->env = (PgmlEnv){ .budget = &d->budget, .error = &d->error, .stop = &d->stop };
	d->y = calloc((size_t) n, sizeof(double));
	d->w = calloc((size_t) n, sizeof(double));
	d->part = calloc((size_t) n, 1);
	d->rows = (PgmlStackRows){ .task = task,
							   .n_classes = task == PGML_TASK_BINARY ? 2 : 4,
							   .n_models = MODELS,
							   .n = n,
							   .y = d->y,
							   .part = d->part };
	outputs = outputs_of(d);
	d->rows.log = calloc((size_t) (n * outputs * MODELS), sizeof(double));
	pgml_rng_init(&rng, 7, (uint64_t) n);
	for (int64_t i = 0; i < n; i++)
	{
		double z[4], u = pgml_rng_uniform(&rng);
		int class = 0;

		for (int j = 0; j < outputs * MODELS; j++)
			d->rows.log[i * outputs * MODELS + j] = 1.5 * pgml_rng_normal(&rng);
		score(d, i, weight, z);
		while (class < d->rows.n_classes - 1 && u > probability(d, z, class))
			u -= probability(d, z, class ++);
		d->y[i] = class;
		d->w[i] = 3;
		d->part[i] = (uint8_t) (i % 5);
	}
	return d;
}

static void
drawn_free(Drawn *d)
{
	assert_int_equal(atomic_load(&d->budget.used), 0);
	free(d->y);
	free(d->w);
	free(d->rows.log);
	free(d->part);
	free(d);
}

/* What is minimised: the sum of log losses, and 30 times the squared distances from the centre. */
static double
loss_at(const Drawn *d, const double *centre, const double *v)
{
	double sum = 0, z[4];

	for (int64_t i = 0; i < d->rows.n; i++)
	{
		score(d, i, v, z);
		sum -= log(probability(d, z, (int) d->y[i]));
	}
	for (int m = 0; m < MODELS; m++)
		sum += 30 * (v[m] - centre[m]) * (v[m] - centre[m]);
	return sum;
}

/* Weights that classes were drawn by are found, negative ones, too; no weights nearby are better. */
static void
weights_are_found(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_BINARY, PGML_TASK_MULTICLASS };
	static const double weight[MODELS] = { 1.2, -0.4, 0.5 }, centre[MODELS] = { 0.5, 0, 0.5 };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		Drawn *d = draw(tasks[t], 6000, weight);
		double fitted[MODELS], weighted[MODELS], least;

		assert_int_equal(pgml_stack_fit(&d->env, &d->rows, centre, fitted), PGML_OK);
		for (int m = 0; m < MODELS; m++)
			assert_true(fabs(fitted[m] - weight[m]) < 0.1);
		least = loss_at(d, centre, fitted);
		for (int m = 0; m < MODELS; m++)
			for (int sign = -1; sign <= 1; sign += 2)
			{
				double other[MODELS];

				memcpy(other, fitted, sizeof(other));
				other[m] += sign * 0.01;
				assert_true(loss_at(d, centre, other) > least);
			}

		/* Weights of rows that are all the same are none. */
		d->rows.w = d->w;
		assert_int_equal(pgml_stack_fit(&d->env, &d->rows, centre, weighted), PGML_OK);
		for (int m = 0; m < MODELS; m++)
			assert_true(fabs(weighted[m] - fitted[m]) < 1e-9);
		drawn_free(d);
	}
}

/* A few rows, all of them right, do not make a model certain, and wrong ones do not turn it round. */
static void
few_rows_change_little(void **state)
{
	static const double weight[MODELS] = { 1, 0, 0 };
	Drawn *d = draw(PGML_TASK_BINARY, 20, weight);
	double fitted[MODELS];

	(void) state;
	for (int sign = -1; sign <= 1; sign += 2)
	{
		for (int i = 0; i < 20; i++)
			for (int m = 0; m < MODELS; m++)
				d->rows.log[i * MODELS + m] = m > 0 ? 0 : sign * (d->y[i] == 1 ? 2 : -2);
		assert_int_equal(pgml_stack_fit(&d->env, &d->rows, weight, fitted), PGML_OK);
		assert_true(fitted[0] > 0.5 && fitted[0] < 1.2 && fitted[1] == 0 && fitted[2] == 0);
	}
	drawn_free(d);
}

/* The predictions of a part do not depend on its classes. */
static void
parts_do_not_see_themselves(void **state)
{
	static const double weight[MODELS] = { 1.2, -0.4, 0.5 }, centre[MODELS] = { 1, 0, 0 };
	Drawn *d = draw(PGML_TASK_BINARY, 1000, weight);
	double before[1000], after[1000];
	bool others = false;

	(void) state;
	assert_int_equal(pgml_stack_validate(&d->env, &d->rows, centre, before), PGML_OK);
	for (int i = 0; i < 1000; i++)
		if (d->part[i] == 2)
			d->y[i] = 1 - d->y[i];
	assert_int_equal(pgml_stack_validate(&d->env, &d->rows, centre, after), PGML_OK);
	for (int i = 0; i < 1000; i++)
	{
		if (d->part[i] == 2)
			assert_true(before[i] == after[i]);
		others = others || before[i] != after[i];
	}
	assert_true(others);
	drawn_free(d);
}

/* A model that says nothing goes first, and the weights of the others are about those of a fit without it. */
static void
the_least_is_taken_out(void **state)
{
	static const double weight[MODELS] = { 1, 0.02, 0.6 }, centre[MODELS] = { 1, 0, 0 };
	Drawn *d = draw(PGML_TASK_BINARY, 4000, weight);
	double fitted[MODELS], without[MODELS], rise, before, after;
	PgmlStackPruner left;

	(void) state;
	assert_int_equal(pgml_stack_fit(&d->env, &d->rows, centre, fitted), PGML_OK);
	assert_int_equal(pgml_stack_prune(&d->env, &d->rows, fitted, &left), PGML_OK);
	assert_int_equal(left.n, MODELS);
	assert_int_equal(pgml_stack_least(&left, &rise), 1);
	pgml_stack_drop(&left, 1);
	assert_int_equal(left.n, 2);
	assert_true(left.model[0] == 0 && left.model[1] == 2);
	before = loss_at(d, centre, fitted);
	for (int i = 0; i < 4000; i++)
		d->rows.log[i * MODELS + 1] = 0;
	assert_int_equal(pgml_stack_fit(&d->env, &d->rows, centre, without), PGML_OK);
	after = loss_at(d, centre, without);
	assert_true(fabs(left.weight[0] - without[0]) < 1e-3);
	assert_true(fabs(left.weight[1] - without[2]) < 1e-3);
	assert_true(fabs(after - before - rise) < 0.05 * rise + 1e-6);

	/* Of two that are left, the one of less weight. */
	assert_int_equal(pgml_stack_least(&left, &rise), 1);
	pgml_stack_drop(&left, 1);
	assert_true(left.n == 1 && left.model[0] == 0);
	drawn_free(d);
}

/* Weights stay within their bounds, else an image with them could not be read. */
static void
weights_are_bounded(void **state)
{
	PgmlStackPruner left = {
		.n = 2, .model = { 3, 5 }, .weight = { 80, 80 }, .inverse = { 2, -1.9, -1.9, 2 }
	};

	(void) state;
	pgml_stack_drop(&left, 1);
	assert_true(left.n == 1 && left.model[0] == 3 && left.weight[0] == PGML_STACK_WEIGHT);
}

/* A stop ends it, and memory that is missing is said. */
static void
fits_end_early(void **state)
{
	static const double weight[MODELS] = { 1, 0, 0 };
	Drawn *d = draw(PGML_TASK_MULTICLASS, 500, weight);
	double fitted[MODELS], p[2000];
	PgmlStackPruner left;

	(void) state;
	atomic_store(&d->stop, 1);
	assert_int_equal(pgml_stack_fit(&d->env, &d->rows, weight, fitted), PGML_ERR_CANCELLED);
	assert_int_equal(pgml_stack_validate(&d->env, &d->rows, weight, p), PGML_ERR_CANCELLED);
	assert_int_equal(pgml_stack_prune(&d->env, &d->rows, weight, &left), PGML_ERR_CANCELLED);
	atomic_store(&d->stop, 0);
	pgml_budget_init(&d->budget, 16);
	assert_true(pgml_is_memory(pgml_stack_fit(&d->env, &d->rows, weight, fitted)));
	assert_true(pgml_is_memory(pgml_stack_validate(&d->env, &d->rows, weight, p)));
	drawn_free(d);
}

/* ---- storing ---- */

static void
sections_are_checked(void **state)
{
	static const double bad[] = { 100.1, -101, NAN, INFINITY };
	PgmlBudget budget;
	PgmlError error;
	PgmlBuf out;
	double read[2];

	(void) state;
	pgml_budget_init(&budget, 0);
	pgml_buf_init(&out, &budget);
	pgml_stack_encode((const double[]){ 0.75, -0.5 }, 2, &out);
	assert_int_equal(out.len, 24);
	assert_int_equal(pgml_stack_bytes(2), 24);
	assert_int_equal(pgml_stack_open(out.data, 24, PGML_TASK_BINARY, 2, read, &error), PGML_OK);
	assert_true(read[0] == 0.75 && read[1] == -0.5);
	assert_int_equal(pgml_stack_open(out.data, 24, PGML_TASK_REGRESSION, 2, read, &error),
					 PGML_ERR_CORRUPT);
	assert_int_equal(pgml_stack_open(out.data, 24, PGML_TASK_BINARY, 1, read, &error),
					 PGML_ERR_CORRUPT);
	assert_int_equal(pgml_stack_open(out.data, 23, PGML_TASK_BINARY, 2, read, &error),
					 PGML_ERR_CORRUPT);
	assert_int_equal(pgml_stack_open(out.data, 6, PGML_TASK_BINARY, 2, read, &error),
					 PGML_ERR_CORRUPT);
	pgml_buf_set_u32(&out, 0, 2);
	assert_int_equal(pgml_stack_open(out.data, 24, PGML_TASK_BINARY, 2, read, &error),
					 PGML_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "format version 2"));
	for (int i = 0; i < 4; i++)
	{
		pgml_buf_free(&out);
		pgml_stack_encode((const double[]){ 1, bad[i] }, 2, &out);
		assert_int_equal(pgml_stack_open(out.data, 24, PGML_TASK_BINARY, 2, read, &error),
						 PGML_ERR_CORRUPT);
	}
	pgml_buf_free(&out);
}

/* Predictions row after row and in blocks are the same bits: the members' logarithms, added up. */
static void
images_predict_stacked(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 2; t++)
	{
		static const double weight[] = { 0.9, -0.3, 0.6, 0.2 };
		double sum[IMAGE_ROWS * 4] = { 0 }, out[IMAGE_ROWS * 4], rows[IMAGE_ROWS * 4];
		double scratch[IMAGE_ROWS * 4];
		const PgmlScorer *scorer;
		ImageModel m;
		PgmlImage image;
		float *x, *block;
		int outputs;

		assert_int_equal(image_model_init(&m, tasks[t]), PGML_OK);
		x = pgml_array(m.f.arena, (size_t) m.x.nfeatures * IMAGE_ROWS, sizeof(float));
		block = pgml_array(m.f.arena, (size_t) m.x.nfeatures * IMAGE_ROWS, sizeof(float));
		for (int32_t f = 0; f < m.x.nfeatures; f++)
			for (int i = 0; i < IMAGE_ROWS; i++)
				x[i * m.x.nfeatures + f] = block[f * IMAGE_ROWS + i] = m.x.col[f][i];
		pgml_buf_free(&m.image);
		assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
		assert_int_equal(pgml_image_stack(&m.f.env, weight, m.spec.n_members, &m.image), PGML_OK);
		assert_int_equal(image_model_calibrate(&m), PGML_OK);
		assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
						 PGML_OK);
		assert_true(image.stacked && image.calibration.n > 0 && image.n_members <= 4);
		outputs = pgml_image_outputs(&image);
		assert_true(outputs <= 4);
		pgml_image_predict(&image, x, IMAGE_ROWS, rows, scratch);
		assert_int_equal(pgml_scorer_create(&m.f.env, m.f.arena, &image, &scorer), PGML_OK);
		pgml_scorer_predict(scorer, &(PgmlBlock){ block, IMAGE_ROWS, IMAGE_ROWS }, out,
							pgml_alloc(m.f.arena, pgml_scorer_scratch(scorer)));
		assert_memory_equal(out, rows, (size_t) (IMAGE_ROWS * outputs) * sizeof(double));
		for (int i = 0; i < image.n_members; i++)
		{
			image.members[i].learner->predict(image.members[i].payload, &image.shape, x, IMAGE_ROWS,
											  scratch);
			pgml_stack_add(tasks[t], weight[i], (int64_t) IMAGE_ROWS * outputs, scratch, sum);
		}
		pgml_stack_finish(tasks[t], image.n_classes, IMAGE_ROWS, sum);
		for (int j = 0; j < IMAGE_ROWS * outputs; j++)
			assert_true(fabs(out[j] - sum[j]) < 1e-15);

		/* It comes before the calibration. */
		assert_int_equal(pgml_image_stack(&m.f.env, weight, m.spec.n_members, &m.image), PGML_OK);
		assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
						 PGML_ERR_CORRUPT);
		assert_non_null(strstr(m.f.error.message, "directory"));
		image_model_done(&m);
	}
}

/* ---- training ---- */

/* What weighs the only member of a training of one learner; 0: it is not stacked. */
static double
trained(const People *p, const char *learner)
{
	Run r;
	PgmlImage image;

	run_init(&r);
	r.options.algorithms = &learner;
	r.options.n_algorithms = 1;
	r.options.hyperparams = NULL;
	r.options.n_hyperparams = 0;
	run_train(&r, p);
	image = run_image(&r);
	run_done(&r);
	return image.stacked ? image.members[0].stack : 0;
}

/* Shares of neighbours are too cautious and get sharper; few rows, and models that are read, stay as they are. */
static void
cautious_models_are_sharpened(void **state)
{
	People *many = people_new(3000, PGML_TASK_BINARY);
	People *few = people_new(400, PGML_TASK_BINARY);
	double weight = trained(many, "knn");

	(void) state;
	assert_true(weight > 1.02 && weight < 5);
	assert_true(trained(many, "linear") == 0);
	assert_true(trained(many, "decision_tree") == 0);
	assert_true(trained(few, "knn") == 0);
	people_free(many);
	people_free(few);
}

/* Labels that follow from nothing: what is learned from noise is not made sharper. */
static void
labels_of_noise_are_not_sharpened(void **state)
{
	static const char *const learners[] = { "knn", "extra_trees", "gradient_boosting" };
	People *p = people_new(2000, PGML_TASK_BINARY);
	PgmlRng rng;

	(void) state;
	pgml_rng_init(&rng, 11, 7);
	for (int64_t i = 0; i < 2000; i++)
		set_text(&p->f.table.cols[COL_Y], i, pgml_rng_below(&rng, 2) == 1 ? "yes" : "no");
	for (int l = 0; l < 3; l++)
		assert_true(trained(p, learners[l]) < 1);
	people_free(p);
}

/* Models with which predictions would take longer than they may are not stacked, however good they are: the mean has left them out. */
static void
slow_models_are_not_stacked(void **state)
{
	static const char *const names[] = { "naive_bayes", "random_forest" };
	People *p = people_new(3000, PGML_TASK_MULTICLASS);
	double us = 0, most = 0;
	Run r;

	(void) state;
	run_init(&r);
	r.options.algorithms = names;
	r.options.n_algorithms = 2;
	r.options.n_hyperparams = 0;
	r.options.max_trials = 5;
	r.options.max_predict_us = 0.5;
	run_train(&r, p);
	for (int i = 0; i < r.result.n_trials; i++)
	{
		const PgmlTrial *trial = &r.result.trials[i];

		us += trial->chosen ? trial->predict_us : 0;
		most = fmax(most, trial->predict_us);
	}
	assert_true(most > 1);
	assert_true(us > 0 && us <= 0.5);
	run_done(&r);
	people_free(p);
}

/* Models that did not come into the image leave a mean of the others for the weights to be near to, not one that is more cautious. */
static void
what_is_left_is_no_more_cautious(void **state)
{
	enum
	{
		ROWS = 40
	};
	/* Two models, the second of which is not there any more; a probability that says next to nothing. */
	static const double centres[2][2] = { { 0.25, 0.75 }, { 0, 1 } };
	const double weight[2] = { 1, 0 };
	const int folds[2] = { IMAGE_MEMBERS, 1 };
	PgmlTrainOptions options = { .target = "y" };
	PgmlTrainResult result = { 0 };
	double y[ROWS], oof[ROWS];
	int32_t train[ROWS];
	uint8_t fold[ROWS];
	PgmlTrial trial = { .learner = &pgml_learner_knn };
	TrialModel models[2] = { { .trial = &trial, .oof = oof }, { .trial = &trial, .oof = oof } };
	ImageModel m;
	PgmlImage image;
	Training t;

	(void) state;
	assert_int_equal(image_model_init(&m, PGML_TASK_BINARY), PGML_OK);
	for (int i = 0; i < ROWS; i++)
	{
		train[i] = i;
		y[i] = i % 2;
		oof[i] = 0.51;
		fold[i] = (uint8_t) (i % 4 / 2);
	}
	for (int c = 0; c < 2; c++)
	{
		double own[2] = { weight[0], weight[1] };

		pgml_buf_free(&m.image);
		assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
		result.image = m.image;
		t = (Training){ .env = &m.f.env,
						.options = &options,
						.arena = m.f.arena,
						.result = &result,
						.target = { .task = PGML_TASK_BINARY, .n_classes = 2, .y = y },
						.outputs = 1,
						.train = train,
						.n_train = ROWS,
						.folds = 2,
						.fold = fold,
						.stacked = true,
						.centre = { centres[c][0], centres[c][1] } };
		assert_int_equal(training_finish_stack(&t, models, own, folds, 2), PGML_OK);
		m.image = result.image;
		assert_true(t.stacked && fabs(t.stack[0] - 1) < 0.01 && t.stack[1] == 0);
	}

	/* Without memory for new weights there is no stack: the former ones were found with the other model, or this one had none. */
	pgml_buf_free(&m.image);
	assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
	result.image = m.image;
	t.stacked = true;
	t.stack[0] = 0;
	m.f.env.budget->limit = atomic_load(&m.f.env.budget->used) + 256;
	assert_int_equal(training_finish_stack(&t, models, (double[]){ 1, 0 }, folds, 2), PGML_OK);
	m.f.env.budget->limit = 0;
	m.image = result.image;
	assert_false(t.stacked);

	/* A model that is read is all that is left: its coefficients are what predicts. */
	trial.learner = &pgml_learner_linear;
	t.stacked = true;
	pgml_buf_free(&m.image);
	assert_int_equal(pgml_image_encode(&m.f.env, &m.spec, &m.image), PGML_OK);
	result.image = m.image;
	assert_int_equal(training_finish_stack(&t, models, (double[]){ 1, 0 }, folds, 2), PGML_OK);
	m.image = result.image;
	assert_false(t.stacked);
	assert_int_equal(pgml_image_open(m.image.data, m.image.len, m.f.arena, &image, &m.f.error),
					 PGML_OK);
	assert_false(image.stacked);
	image_model_done(&m);
}

/* Of every thousandth row there is a thousandth to remember. */
static void
some_rows_need_some_memory(void **state)
{
	enum
	{
		ROWS = 100000
	};
	static double y[ROWS], oof[ROWS];
	static int32_t train[ROWS];
	static uint8_t fold[ROWS];
	double weight[] = { 1 };
	PgmlBudget budget;
	PgmlError error = { 0 };
	_Atomic int stop = 0;
	PgmlEnv env = { .budget = &budget, .error = &error, .stop = &stop };
	TrialModel model = { .oof = oof };
	Training t = { .env = &env,
				   .target = { .task = PGML_TASK_BINARY, .n_classes = 2, .y = y },
				   .outputs = 1,
				   .train = train,
				   .n_train = ROWS,
				   .folds = 2,
				   .fold = fold };
	PgmlPredictions p;
	PgmlArena *arena;

	(void) state;
	for (int i = 0; i < ROWS; i++)
		oof[i] = i;
	pgml_budget_init(&budget, 200000);
	arena = pgml_arena_create(&budget);
	assert_int_equal(training_average(&t, &model, weight, 1, 999, arena, NULL, &p), PGML_OK);
	assert_int_equal(p.n, 101);
	for (int i = 0; i < 101; i++)
		assert_true(p.p[i] == 999 * i);
	pgml_arena_destroy(arena);
}

/* The logarithms of many rows, classes and models take their time: a stop ends them. */
static void
averages_are_stopped(void **state)
{
	double y[] = { 1, 0 }, oof[] = { 0.75, 0.5 }, weight[] = { 1 };
	int32_t train[] = { 0, 1 };
	uint8_t fold[] = { 0, 1 };
	_Atomic int stop = 0;
	PgmlBudget budget;
	PgmlError error = { 0 };
	PgmlEnv env = { .budget = &budget, .error = &error, .stop = &stop };
	TrialModel model = { .oof = oof };
	Training t = { .env = &env,
				   .target = { .task = PGML_TASK_BINARY, .n_classes = 2, .y = y },
				   .outputs = 1,
				   .train = train,
				   .n_train = 2,
				   .folds = 2,
				   .fold = fold,
				   .stacked = true,
				   .stack = { 2 } };
	PgmlPredictions p;
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_int_equal(training_average(&t, &model, weight, 1, 1, arena, NULL, &p), PGML_OK);
	assert_true(p.n == 2 && fabs(p.p[0] - 0.9) < 1e-15 && p.p[1] == 0.5);
	atomic_store(&stop, 1);
	assert_int_equal(training_average(&t, &model, weight, 1, 1, arena, NULL, &p),
					 PGML_ERR_CANCELLED);
	pgml_arena_destroy(arena);
}

int
test_stack(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logarithms_are_added_up),
		cmocka_unit_test(weights_are_found),
		cmocka_unit_test(few_rows_change_little),
		cmocka_unit_test(parts_do_not_see_themselves),
		cmocka_unit_test(the_least_is_taken_out),
		cmocka_unit_test(weights_are_bounded),
		cmocka_unit_test(fits_end_early),
		cmocka_unit_test(sections_are_checked),
		cmocka_unit_test(images_predict_stacked),
		cmocka_unit_test(cautious_models_are_sharpened),
		cmocka_unit_test(slow_models_are_not_stacked),
		cmocka_unit_test(labels_of_noise_are_not_sharpened),
		cmocka_unit_test(what_is_left_is_no_more_cautious),
		cmocka_unit_test(some_rows_need_some_memory),
		cmocka_unit_test(averages_are_stopped),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
