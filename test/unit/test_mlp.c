/*
 * Tests of learner `mlp`: gradients against finite differences, forward passes by hand, whole fits, hostile payloads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DATA_LEARNER pgml_learner_mlp
#include "gbm_data.h"
#include "learner/mlp_math.h"
#include "learner/mlp_net.h"
#include "unit.h"

static PgmlBlas blas;

static int
load_blas(void **state)
{
	PgmlError error;

	(void) state;
	setenv(PGML_BLAS_THREADS_VARIABLE, "1", 1);
	return pgml_blas_load(&blas, NULL, &error) != PGML_OK;
}

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.12g is not %.12g", a, b);
}

/* A data set for small networks that take little time. */
static Data *
small(Data *d)
{
	d->set.blas = &blas;
	set(d, "hidden_layers", 2);
	set(d, "hidden_width", 20);
	set(d, "max_iter", 8);
	set(d, "batch_size", 32);
	return d;
}

/* The rows from `from` on are for validation. */
static void
set_valid(Data *d, int64_t from)
{
	d->set.valid_rows = d->rows + from;
	d->set.n_valid = d->set.n - from;
	d->set.n = from;
}

/* All predictions are numbers, and probabilities add up to 1. */
static void
assert_sane(const Data *d, const float *x, int64_t n)
{
	int k = pgml_task_outputs(d->set.task, d->set.n_classes);
	double *out = malloc((size_t) n * (size_t) k * sizeof(double));

	learner->predict(d->fit.payload.data, &d->shape, x, n, out);
	for (int64_t i = 0; i < n; i++)
	{
		double sum = 0;

		for (int j = 0; j < k; j++)
		{
			double p = out[i * k + j];

			assert_true(isfinite(p));
			assert_true(d->set.task == PGML_TASK_REGRESSION || (p >= 0 && p <= 1));
			sum += p;
		}
		if (d->set.task == PGML_TASK_MULTICLASS)
			assert_near(sum, 1, 1e-9);
	}
	free(out);
}

/* ---- functions ---- */

static void
functions_are_accurate(void **state)
{
	(void) state;
	for (double x = -86; x < 87; x += 0.137)
		assert_near(pgml_mlp_exp((float) x) / exp((float) x), 1, 3e-7);
	assert_true(pgml_mlp_exp(-1e30f) < 2e-38f);
	assert_true(isfinite(pgml_mlp_exp(1e30f)));
	for (float x = -30; x < 30; x += 0.0371f)
	{
		float t = pgml_mlp_turn(x);

		assert_near(pgml_mlp_cos_turn(t), cos(2 * M_PI * x), 5e-7);
		assert_near(pgml_mlp_sin_turn(t), sin(2 * M_PI * x), 5e-7);
	}
}

static double
activation_of(PgmlMlpActivation activation, double x)
{
	switch (activation)
	{
		case PGML_MLP_RELU:
			return x > 0 ? x : 0;
		case PGML_MLP_TANH:
			return tanh(x);
		case PGML_MLP_LOGISTIC:
			return 1 / (1 + exp(-x));
		case PGML_MLP_SELU:
			return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (exp(x) - 1));
		default:
			return x * tanh(log1p(exp(x)));
	}
}

static void
activations_and_their_derivatives(void **state)
{
	static const double at[] = { -60, -9, -3.1, -1, -0.51, -0.02, 0.03, 0.4, 1.3, 3, 11, 42, 300 };

	(void) state;
	for (PgmlMlpActivation a = PGML_MLP_RELU; a < PGML_MLP_N_ACTIVATIONS; a++)
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		{
			double h = 1e-5;
			float x = (float) at[i];
			float f, derivative;

			pgml_mlp_activation(a, x, &f, &derivative);
			assert_near(f, activation_of(a, x), 1e-6 * (1 + fabs(x)));
			assert_near(derivative, (activation_of(a, x + h) - activation_of(a, x - h)) / (2 * h),
						2e-5);
		}
	assert_true(pgml_mlp_finite(-3e38f) == -3e38f);
	assert_true(pgml_mlp_finite(INFINITY) == 0 && pgml_mlp_finite(-NAN) == 0);
}

static void
schedules(void **state)
{
	(void) state;
	assert_near(pgml_mlp_rate_at(PGML_MLP_COSLOG4, 0), 0, 1e-12);
	assert_near(pgml_mlp_rate_at(PGML_MLP_COSLOG4, 1), 0, 1e-12);
	/* Waves end at 1/15, 3/15 and 7/15. */
	assert_near(pgml_mlp_rate_at(PGML_MLP_COSLOG4, 3.0 / 15), 0, 1e-12);
	assert_near(pgml_mlp_rate_at(PGML_MLP_COSLOG4, (sqrt(2) - 1) / 15), 1, 1e-12);
	assert_near(pgml_mlp_rate_at(PGML_MLP_COSINE, 0.5), 0.5, 1e-12);
	assert_near(pgml_mlp_rate_at(PGML_MLP_CONSTANT, 0.7), 1, 0);
	assert_near(pgml_mlp_fade_at(true, 0.4), 1, 0);
	assert_near(pgml_mlp_fade_at(true, 0.75), 0.5, 1e-12);
	assert_near(pgml_mlp_fade_at(false, 0.9), 1, 0);
}

/* ---- by hand ---- */

/* A payload of one hidden layer of two units for a number, a category of two levels and one of three. */
typedef struct HandMade
{
	PgmlMlpHeader header;
	PgmlMlpFeature feature[3];
	float table[8];       /* of the third feature: 4 x 2 */
	float weight[5 * 16]; /* number, missing, category, two of the embedding */
	float bias[16], share[16];
	float out_weight[2 * 16];
	float out_bias[16];
} HandMade;

static HandMade *
hand_made(void)
{
	HandMade *m = calloc(1, sizeof(*m));

	m->header = (PgmlMlpHeader){ .format = PGML_MLP_FORMAT,
								 .n_outputs = 1,
								 .nfeatures = 3,
								 .n_inputs = 5,
								 .hidden_layers = 1,
								 .hidden_width = 2,
								 .activation = PGML_MLP_RELU,
								 .frequencies = 16,
								 .category_width = 2,
								 .table_floats = 8,
								 .center = 100,
								 .factor = 10,
								 .low = 0,
								 .high = 1000 };
	m->feature[0] = (PgmlMlpFeature){ .kind = PGML_MLP_NUMBER, .input = 2, .missing = 3 };
	m->feature[0].center = 5;
	m->feature[0].factor = 0.5;
	m->feature[1] = (PgmlMlpFeature){ .kind = PGML_MLP_BINARY, .input = 4, .levels = 2 };
	m->feature[2] = (PgmlMlpFeature){ .kind = PGML_MLP_LEVELS, .embedded = 0, .levels = 3 };
	for (int i = 0; i < 8; i++)
		m->table[i] = (float) i;
	m->weight[2 * 16] = 3;     /* number to unit 0 */
	m->weight[3 * 16 + 1] = 7; /* missing to unit 1 */
	m->weight[4 * 16] = -1;    /* category to unit 0 */
	m->weight[1] = 0.5f;       /* embedding to unit 1 */
	m->weight[16 + 1] = -0.25f;
	m->bias[0] = 1;
	m->share[0] = 1;
	m->share[1] = 0.5f; /* half of relu, half of the sum itself */
	m->out_weight[0] = 2;
	m->out_weight[16] = 4;
	m->out_bias[0] = -1;
	return m;
}

static void
forward_by_hand(void **state)
{
	static const bool categorical[] = { false, true, true };
	static const int32_t n_levels[] = { 0, 2, 3 };
	PgmlShape shape = { PGML_TASK_REGRESSION, 1, 3, categorical, n_levels };
	HandMade *m = hand_made();
	float x[3] = { 9, 1, 2 };
	double z, out;

	(void) state;
	assert_int_equal(sizeof(*m), pgml_mlp_view((uint8_t *) m).len);
	assert_int_equal(pgml_mlp_verify((uint8_t *) m, sizeof(*m), &shape, NULL), PGML_OK);
	/* z = 2 bent; unit 0: 1 + 3 z - 1; unit 1: 4 * 0.5 - 5 * 0.25 = 0.75. */
	z = 2 / sqrt(1 + 4.0 / 9);
	pgml_mlp_predict((uint8_t *) m, &shape, x, 1, &out);
	assert_near(out, 100 + 10 * (-1 + 2 * 3 * z + 4 * 0.75), 1e-4);
	/* Missing: the middle, and unit 1 gets 7; an unknown level has the last embedding, 6 * 0.5 - 7 * 0.25. */
	x[0] = NAN;
	x[1] = 0;
	x[2] = 17;
	pgml_mlp_predict((uint8_t *) m, &shape, x, 1, &out);
	assert_near(out, 100 + 10 * (-1 + 2 * 2 + 4 * 8.25), 1e-3);
	m->header.high = 200;
	pgml_mlp_predict((uint8_t *) m, &shape, x, 1, &out);
	assert_near(out, 200, 0);
	/* A negative sum of unit 1 comes through by half: -0.25 * 1 + 0 = -0.25. */
	x[0] = 5;
	x[1] = NAN;
	x[2] = 0;
	m->table[1] = 1;
	pgml_mlp_predict((uint8_t *) m, &shape, x, 1, &out);
	assert_near(out, 100 + 10 * (-1 + 2 * 1 + 4 * -0.125), 1e-4);
	free(m);
}

/* Numbers between, at and beyond knots; the second of three knots is hit by several ranks. */
static void
ranks_by_hand(void **state)
{
	float knot[2 * PGML_MLP_KNOTS];

	(void) state;
	for (int i = 0; i < PGML_MLP_KNOTS; i++)
	{
		knot[i] = i == 0 ? -10 : i == 1 ? 0 : 5;
		knot[PGML_MLP_KNOTS + i] = i == 0 ? -3 : i == 1 ? 1 : 2;
	}
	assert_near(pgml_mlp_rank(knot, -10), -3, 0);
	assert_near(pgml_mlp_rank(knot, -2.5f), 0, 1e-6);
	assert_near(pgml_mlp_rank(knot, 0), 1, 0);
	assert_near(pgml_mlp_rank(knot, 1), 1.2, 1e-6);
	assert_near(pgml_mlp_rank(knot, 5), 2, 0);
	assert_near(pgml_mlp_rank(knot, INFINITY), 2, 0);
	assert_near(pgml_mlp_rank(knot, -INFINITY), -3, 0);
	knot[40] = -3e38f;
	for (float x = -20; x < 20; x += 0.37f)
		assert_true(fabsf(pgml_mlp_rank(knot, x)) <= 3);
}

/* ---- gradients ---- */

/* A network on the rows of a data set, with parameters of no particular kind. */
typedef struct Probe
{
	PgmlMlpConfig config;
	PgmlArena *arena;
	PgmlMlpInput input;
	PgmlMlpNet net;
	int32_t *row;
	float *x;
} Probe;

static void
probe_open(Data *d, Probe *p)
{
	PgmlRng rng;

	p->config = pgml_mlp_config(&d->params, &d->set);
	p->arena = pgml_arena_create(&d->budget);
	assert_int_equal(pgml_mlp_input(&d->env, p->arena, &d->set, &p->config, &p->input), PGML_OK);
	p->input.low = -1e30;
	p->input.high = 1e30;
	assert_int_equal(pgml_mlp_net_create(&d->env, p->arena, &p->config, &p->input, &p->net),
					 PGML_OK);
	p->row = pgml_array(p->arena, (size_t) p->input.n, sizeof(int32_t));
	p->x = pgml_array(p->arena, (size_t) (p->input.n * d->x.nfeatures), sizeof(float));
	for (int64_t i = 0; i < p->input.n; i++)
	{
		p->row[i] = (int32_t) i;
		get_row(d, p->input.row[i], p->x + i * d->x.nfeatures);
	}
	assert_int_equal(pgml_mlp_net_init(&p->net, 3, p->row, p->input.n), PGML_OK);
	p->net.momentum = 1;
	pgml_rng_init(&rng, 4, 4);
	for (int64_t i = 0; i < p->net.n_parameters; i++)
		p->net.parameter[i] += (float) (0.3 * pgml_rng_normal(&rng));
}

/* The mean loss that a payload has, of all rows: what was trained must be what predicts. */
static double
probe_loss(Data *d, Probe *p)
{
	int k = p->net.n_outputs;
	double *out = malloc((size_t) p->input.n * (size_t) k * sizeof(double));
	double smooth = p->config.label_smoothing;
	double loss = 0;

	assert_int_equal(pgml_mlp_net_gradient(&p->net, p->row, p->input.n), PGML_OK);
	pgml_buf_free(&d->fit.payload);
	assert_int_equal(pgml_mlp_fold(&p->net, &d->fit.payload), PGML_OK);
	learner->predict(d->fit.payload.data, &d->shape, p->x, p->input.n, out);
	for (int64_t i = 0; i < p->input.n; i++)
	{
		int32_t row = p->input.row[i];
		double y = d->y[row];
		double w = (d->set.w ? d->w[row] : 1) / p->input.mean_weight / (double) p->input.n;
		double *o = out + i * k;

		if (d->set.task == PGML_TASK_REGRESSION)
			loss += w * pow((o[0] - y) / p->input.unit / p->input.deviation, 2) / 2;
		else if (d->set.task == PGML_TASK_BINARY)
		{
			double t = y * (1 - smooth) + smooth / 2;

			loss -= w * (t * log(o[0]) + (1 - t) * log(1 - o[0]));
		}
		else
			for (int c = 0; c < k; c++)
				loss -= w * ((c == (int) y) * (1 - smooth) + smooth / k) * log(o[c]);
	}
	free(out);
	return loss;
}

/* Gradients of some parameters of each segment against central differences. */
static void
check_gradients(Data *d)
{
	Probe p;
	float *gradient;
	int checked = 0;

	d->set.blas = &blas;
	probe_open(d, &p);
	gradient = pgml_array(p.arena, (size_t) p.net.n_parameters, sizeof(float));
	probe_loss(d, &p);
	memcpy(gradient, p.net.gradient, (size_t) p.net.n_parameters * sizeof(float));
	for (int32_t s = 0; s < p.net.n_segments; s++)
	{
		const PgmlMlpSegment *seg = &p.net.segment[s];
		int64_t stride = seg->n / 24 | 1;

		for (int64_t i = seg->at; i < seg->at + seg->n && seg->rate > 0; i += stride)
		{
			float before = p.net.parameter[i];
			float h = 4e-3f;
			double up, down;

			p.net.parameter[i] = before + h;
			up = probe_loss(d, &p);
			p.net.parameter[i] = before - h;
			down = probe_loss(d, &p);
			p.net.parameter[i] = before;
			if (fabs((up - down) / (2 * h) - gradient[i]) > 3e-4 + 0.01 * fabs(gradient[i]))
				fail_msg("segment %d, parameter %d: %g, not %g", s, (int) (i - seg->at),
						 gradient[i], (up - down) / (2 * h));
			checked += gradient[i] != 0;
		}
	}
	assert_true(checked > 30);
	pgml_arena_destroy(p.arena);
}

/* Rows with all kinds of features; two levels, three, and twelve. */
static Data *
all_kinds(PgmlTask task, int n_classes)
{
	Data *d = data_mixed(40, 8, task, n_classes);

	make_categorical(d, 6, 2);
	for (int i = 0; i < 40; i++)
		d->col[6][i] = i % 9 == 4 ? NAN : (float) (i * 7 % 3 == 1);
	set(d, "hidden_layers", 2);
	set(d, "hidden_width", 5);
	set(d, "embedding_sigma", 0.3);
	return d;
}

static void
gradients_of_smooth_activations(void **state)
{
	static const char *const activations[] = { "tanh", "logistic", "mish" };

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		Data *d = all_kinds(PGML_TASK_REGRESSION, 1);

		set_word(d, "activation", activations[i]);
		check_gradients(d);
		data_free(d);
	}
}

static void
gradients_of_classes(void **state)
{
	Data *d = all_kinds(PGML_TASK_BINARY, 2);

	(void) state;
	set_word(d, "activation", "tanh");
	set(d, "label_smoothing", 0.1);
	d->set.w = d->w;
	for (int i = 0; i < 40; i++)
		d->w[i] = i % 5;
	check_gradients(d);
	data_free(d);
	d = all_kinds(PGML_TASK_MULTICLASS, 4);
	set_word(d, "activation", "mish");
	set_word(d, "parametrization", "standard");
	set(d, "front_scale", 0);
	set(d, "label_smoothing", 0.2);
	check_gradients(d);
	data_free(d);
}

static void
gradients_of_normalised_layers(void **state)
{
	Data *d = all_kinds(PGML_TASK_REGRESSION, 1);

	(void) state;
	set_word(d, "activation", "tanh");
	set(d, "batch_norm", 1);
	set(d, "hidden_width", 18);
	set(d, "embedding_width", 7);
	set(d, "embedding_frequencies", 20);
	check_gradients(d);
	data_free(d);
}

/* Adam's first step is the rate against the sign of each gradient; decay takes a share of all but biases. */
static void
first_step_of_adam(void **state)
{
	Data *d = all_kinds(PGML_TASK_REGRESSION, 1);
	Probe p;
	float *before;

	(void) state;
	d->set.blas = &blas;
	set(d, "weight_decay", 0.5);
	probe_open(d, &p);
	probe_loss(d, &p);
	before = pgml_array(p.arena, (size_t) p.net.n_parameters, sizeof(float));
	memcpy(before, p.net.parameter, (size_t) p.net.n_parameters * sizeof(float));
	pgml_mlp_net_step(&p.net, 0.01, 0.5);
	for (int32_t s = 0; s < p.net.n_segments; s++)
		for (int64_t i = p.net.segment[s].at; i < p.net.segment[s].at + p.net.segment[s].n; i++)
		{
			double g = p.net.gradient[i];
			double rate = p.net.segment[s].rate;
			double keep = 1 - 0.01 * rate * p.net.segment[s].decay * 0.5 * 0.5;
			double step = fabs(g) > 1e-5 ? 0.01 * rate * (g > 0 ? 1 : -1) : 0;

			if (fabs(g) > 1e-5 || g == 0)
				assert_near(p.net.parameter[i], keep * before[i] - step, 2e-4 * 0.01 + 1e-6);
		}
	pgml_arena_destroy(p.arena);
	data_free(d);
}

/* ---- fits ---- */

static void
learns_xor(void **state)
{
	(void) state;
	for (uint64_t seed = 1; seed <= 3; seed++)
	{
		Data *d = small(data_new(4, 2, PGML_TASK_BINARY, 2));

		for (int i = 0; i < 4; i++)
		{
			d->col[0][i] = (float) (i & 1);
			d->col[1][i] = (float) (i >> 1);
			d->y[i] = (i & 1) ^ (i >> 1);
		}
		set(d, "max_iter", 200);
		set(d, "dropout", 0);
		d->env.seed = seed;
		fit(d, NULL);
		for (int i = 0; i < 4; i++)
			assert_near(predict_row(d, i), d->y[i], 0.1);
		data_free(d);
	}
}

/* Share of the target's variance on new rows that predictions leave. */
static double
left_over(const Data *d, int64_t from, int64_t to)
{
	double mean = 0, total = 0, left = 0;

	for (int64_t i = from; i < to; i++)
		mean += d->y[i] / (double) (to - from);
	for (int64_t i = from; i < to; i++)
	{
		total += (d->y[i] - mean) * (d->y[i] - mean);
		left += (d->y[i] - predict_row(d, i)) * (d->y[i] - predict_row(d, i));
	}
	return left / total;
}

/* Products, waves, missing values and levels, all at once. */
static void
learns_all_kinds_of_features(void **state)
{
	Data *d = small(data_mixed(3000, 7, PGML_TASK_REGRESSION, 1));

	(void) state;
	set(d, "hidden_width", 64);
	set(d, "max_iter", 30);
	d->set.n = 2000;
	fit(d, NULL);
	if (!(left_over(d, 2000, 3000) < 0.25))
		fail_msg("%g of the variance is left", left_over(d, 2000, 3000));
	data_free(d);
}

static void
keeps_the_best_epoch(void **state)
{
	Data *d = small(data_mixed(300, 7, PGML_TASK_MULTICLASS, 3));
	double out[300];
	int best;

	(void) state;
	set_valid(d, 200);
	set(d, "max_iter", 60);
	d->set.valid_out = out;
	fit(d, NULL);
	best = d->fit.best_iteration;
	assert_true(best >= 1 && best <= 60);
	assert_true(d->fit.predicted);
	assert_true(d->fit.learning_rate == 0.04);
	for (int i = 0; i < 100; i++)
		assert_true(predict_row(d, 200 + i) == out[3 * i]);
	/* Stopping there again, without looking at other rows, gives the same network. */
	PgmlBuf payload = d->fit.payload;

	pgml_buf_init(&d->fit.payload, &d->budget);
	d->set.valid_rows = NULL;
	d->set.valid_out = NULL;
	set(d, "path_position", best);
	fit(d, NULL);
	assert_int_equal(d->fit.best_iteration, best);
	assert_int_equal(payload.len, d->fit.payload.len);
	assert_memory_equal(payload.data, d->fit.payload.data, payload.len);
	pgml_buf_free(&payload);
	data_free(d);
}

static void
stops_early(void **state)
{
	Data *d = small(data_mixed(300, 7, PGML_TASK_REGRESSION, 1));

	(void) state;
	PgmlRng rng;

	pgml_rng_init(&rng, 1, 1);
	for (int i = 0; i < 300; i++)
		d->y[i] = pgml_rng_normal(&rng);
	set_valid(d, 200);
	set(d, "max_iter", 100000);
	set(d, "early_stopping_round", 5);
	set_word(d, "learning_rate_schedule", "constant");
	fit(d, NULL);
	assert_true(d->fit.best_iteration < 1000);
	data_free(d);
}

/* Ranks do not change with what numbers are measured in; ties have one rank. */
static void
ranks_do_not_see_scales(void **state)
{
	Data *d = small(data_new(PGML_MLP_KNOTS, 2, PGML_TASK_REGRESSION, 1));
	double before[PGML_MLP_KNOTS];

	(void) state;
	for (int i = 0; i < PGML_MLP_KNOTS; i++)
	{
		d->col[0][i] = (float) (i * 13 % PGML_MLP_KNOTS);
		d->col[1][i] = (float) (i * 7 % 5);
		d->y[i] = d->col[0][i] / 20 + d->col[1][i];
	}
	fit(d, NULL);
	for (int i = 0; i < PGML_MLP_KNOTS; i++)
		before[i] = predict_row(d, i);
	for (int i = 0; i < PGML_MLP_KNOTS; i++)
	{
		d->col[0][i] = expf(d->col[0][i]);
		d->col[1][i] = powf(d->col[1][i] + 1, 5);
	}
	fit(d, NULL);
	for (int i = 0; i < PGML_MLP_KNOTS; i++)
		assert_near(predict_row(d, i), before[i], 1e-6);
	data_free(d);
}

/* Fit again, and compare with bytes that were kept. */
static void
assert_same_fit(Data *d, const PgmlBuf *before, bool same)
{
	fit(d, NULL);
	assert_true((d->fit.payload.len == before->len &&
				 memcmp(d->fit.payload.data, before->data, before->len) == 0) == same);
}

static void
same_bytes_for_any_threads(void **state)
{
	Data *d = small(data_mixed(400, 8, PGML_TASK_BINARY, 2));
	PgmlBuf before;

	(void) state;
	fit(d, NULL);
	before = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	d->env.pool = pgml_pool_create(3);
	assert_same_fit(d, &before, true);
	pgml_pool_destroy(d->env.pool);
	d->env.pool = NULL;
	d->env.seed = 2;
	assert_same_fit(d, &before, false);
	pgml_buf_free(&before);
	data_free(d);
}

/* Rows of no weight are as if they were not there. */
static void
rows_without_weight_do_not_count(void **state)
{
	Data *d = small(data_mixed(300, 8, PGML_TASK_REGRESSION, 1));
	PgmlBuf before;

	(void) state;
	d->set.n = 200;
	fit(d, NULL);
	before = d->fit.payload;
	pgml_buf_init(&d->fit.payload, &d->budget);
	for (int i = 200; i < 300; i++)
	{
		d->w[i] = 0;
		d->y[i] = 1e9;
		d->col[0][i] = 1e9f;
	}
	d->set.n = 300;
	d->set.w = d->w;
	assert_same_fit(d, &before, true);
	for (int i = 0; i < 200; i++)
		d->w[i] = 1e-3; /* only their ratios count */
	assert_same_fit(d, &before, false);
	assert_true(left_over(d, 0, 200) < 0.9);
	pgml_buf_free(&before);
	for (int i = 0; i < 300; i++)
		d->w[i] = 0;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_DATA);
	data_free(d);
}

/* Heavy rows are fitted, light ones are not. */
static void
weights_count(void **state)
{
	Data *d = small(data_new(400, 1, PGML_TASK_BINARY, 2));

	(void) state;
	for (int i = 0; i < 400; i++)
	{
		d->col[0][i] = (float) (i % 7);
		d->y[i] = i % 2;
		d->w[i] = i % 2 ? 3 : 1;
	}
	d->set.w = d->w;
	set(d, "max_iter", 40);
	fit(d, NULL);
	assert_near(predict_row(d, 5), 0.75, 0.08);
	data_free(d);
}

/* ---- prediction ---- */

static void
rows_together_are_the_rows(void **state)
{
	static const char *const activations[] = { "relu", "tanh", "logistic", "selu", "mish" };

	(void) state;
	for (int a = 0; a < 5; a++)
	{
		int k = a % 2 ? 4 : 1;
		Data *d = small(all_kinds(k > 1 ? PGML_TASK_MULTICLASS : PGML_TASK_REGRESSION, k));
		float x[40 * 8];
		double together[160], alone[4];

		set_word(d, "activation", activations[a]);
		set(d, "hidden_width", 3 + 23 * a);
		set(d, "one_hot_max_size", a % 3 * 6);
		set(d, "batch_norm", a % 2);
		fit(d, NULL);
		for (int i = 0; i < 40; i++)
			get_row(d, i, x + i * 8);
		for (int n = 1; n < 40; n += 3)
		{
			learner->predict(d->fit.payload.data, &d->shape, x, n, together);
			for (int i = 0; i < n; i++)
			{
				learner->predict(d->fit.payload.data, &d->shape, x + i * 8, 1, alone);
				assert_memory_equal(alone, together + i * k, (size_t) k * sizeof(double));
			}
		}
		data_free(d);
	}
}

/* ---- hard inputs ---- */

/* Fit, and predict values that are harder still. */
static void
fit_hard(Data *d)
{
	static const float values[] = { 0, NAN, 3e38f, -3e38f, 1e-45f, 1, 2, -1, 1e9f };
	float x[9 * MAX_FEATURES];
	int nf = d->x.nfeatures;

	small(d);
	fit(d, NULL);
	for (int i = 0; i < 9; i++)
		for (int f = 0; f < nf; f++)
			x[i * nf + f] = values[(i + f) % 9];
	assert_sane(d, x, 9);
	data_free(d);
}

static void
hard_numbers(void **state)
{
	Data *d = data_new(50, 6, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 50; i++)
	{
		d->col[0][i] = i % 2 ? 3e38f : -3e38f;
		d->col[1][i] = i % 3 ? 1e-45f : 0;
		d->col[2][i] = i == 7 ? 1e38f : 1e-30f * (float) i;
		d->col[3][i] = NAN;
		d->col[4][i] = 5;
		d->col[5][i] = i % 2 ? NAN : 5;
		d->y[i] = i == 3 ? 1e300 : i == 4 ? -1e300 : i;
	}
	fit_hard(d);
}

static void
hard_shapes(void **state)
{
	Data *d = data_new(1, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	d->y[0] = 42;
	small(d);
	fit(d, NULL);
	assert_near(predict_x(d, 17), 42, 1e-9);
	fit_hard(d);
	d = data_new(3, 20, PGML_TASK_MULTICLASS,
				 5); /* more classes than rows, more columns than both */
	for (int i = 0; i < 3; i++)
	{
		for (int f = 0; f < 20; f++)
			d->col[f][i] = (float) (i * f % 7);
		d->y[i] = i;
	}
	fit_hard(d);
	d = data_new(30, 2, PGML_TASK_BINARY, 2); /* nothing but constants, one class */
	make_categorical(d, 1, 1);
	fit_hard(d);
	d = data_new(30, 1, PGML_TASK_REGRESSION, 1); /* the same target everywhere */
	for (int i = 0; i < 30; i++)
	{
		d->col[0][i] = (float) i;
		d->y[i] = -1e-300;
	}
	fit_hard(d);
	d = data_new(30, 3, PGML_TASK_BINARY, 2); /* columns that say the same */
	for (int i = 0; i < 30; i++)
	{
		d->col[0][i] = d->col[1][i] = d->col[2][i] = (float) (i % 5);
		d->y[i] = i % 5 > 2;
	}
	fit_hard(d);
}

/* A rate that is far too high is lowered; the result is numbers, or an error that says that there are none. */
static void
rates_that_are_too_high(void **state)
{
	Data *d = small(data_mixed(200, 7, PGML_TASK_REGRESSION, 1));
	PgmlStatus status;

	(void) state;
	set(d, "learning_rate", 10);
	set_word(d, "activation", "relu");
	set_word(d, "learning_rate_schedule", "constant");
	set(d, "max_iter", 60);
	set(d, "hidden_layers", 16);
	status = try_fit(d, NULL);
	assert_true(status == PGML_OK || status == PGML_ERR_NUMERIC);
	if (status == PGML_OK)
		fit_hard(d);
	else
		data_free(d);
}

/* All words, and the ends of all ranges that do not take long. */
static void
settings(void **state)
{
	static const struct
	{
		const char *name;
		double value;
	} cases[] = { { "hidden_layers", 1 },
				  { "hidden_layers", 16 },
				  { "hidden_width", 1 },
				  { "parametric_activation", 0 },
				  { "front_scale", 0 },
				  { "batch_norm", 1 },
				  { "embedding_width", 2 },
				  { "embedding_width", 16 },
				  { "embedding_frequencies", 64 },
				  { "embedding_sigma", 1000 },
				  { "one_hot_max_size", 0 },
				  { "one_hot_max_size", 255 },
				  { "category_width", 64 },
				  { "embedding_rate", 0 },
				  { "scale_rate", 0 },
				  { "beta_1", 0 },
				  { "beta_2", 0 },
				  { "epsilon", 1 },
				  { "weight_decay", 10 },
				  { "alpha", 1e9 },
				  { "dropout", 0.9 },
				  { "dropout", 0 },
				  { "label_smoothing", 0.9 },
				  { "batch_size", 1 },
				  { "batch_size", 8192 },
				  { "max_iter", 1 },
				  { "path_position", 3 },
				  { "learning_rate", 1e-7 } };
	static const char *const words[][2] = { { "parametrization", "standard" },
											{ "num_embedding", "none" },
											{ "num_scaling", "robust" },
											{ "learning_rate_schedule", "cosine" },
											{ "regularization_schedule", "constant" } };

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) + 5; i++)
	{
		Data *d = small(all_kinds(i % 2 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS, i % 2 ? 2 : 3));
		float x[MAX_FEATURES];

		set(d, "max_iter", 3);
		if (i < 5)
			set_word(d, words[i][0], words[i][1]);
		else
			set(d, cases[i - 5].name, cases[i - 5].value);
		fit(d, NULL);
		get_row(d, 4, x);
		assert_sane(d, x, 1);
		data_free(d);
	}
}

/* ---- bounds ---- */

static void
needs_openblas(void **state)
{
	Data *d = data_mixed(50, 7, PGML_TASK_BINARY, 2);

	(void) state;
	assert_int_equal(try_fit(d, NULL), PGML_ERR_UNAVAILABLE);
	data_free(d);
}

static void
stop_and_deadline(void **state)
{
	Data *d = small(data_mixed(3000, 7, PGML_TASK_BINARY, 2));
	double p[2];

	(void) state;
	set_valid(d, 2000);
	set(d, "max_iter", 100000);
	atomic_store(&d->stop, 1);
	assert_int_equal(try_fit(d, NULL), PGML_ERR_CANCELLED);
	atomic_store(&d->stop, 0);
	d->env.deadline = pgml_now() - 1; /* over before it began: one usable epoch of few steps */
	fit(d, NULL);
	assert_true(d->fit.out_of_time);
	assert_sane(d, (float[7]){ 0 }, 1);
	/* Measuring features takes time, too: none is used. */
	learner->predict(d->fit.payload.data, &d->shape, (float[14]){ 1, 1, 1, 1, 1, 1, 1, 0 }, 2, p);
	assert_true(p[0] == p[1]);
	d->env.deadline = pgml_now() + 0.2;
	fit(d, NULL);
	assert_true(d->fit.out_of_time);
	/* The schedule ran through in the time there was. */
	assert_true(d->fit.best_iteration > 10000);
	data_free(d);
}

static void
memory_is_estimated_and_kept(void **state)
{
	(void) state;
	for (int i = 0; i < 4; i++)
	{
		Data *d =
			small(data_mixed(i % 2 ? 3000 : 60, 12,
							 i < 2 ? PGML_TASK_REGRESSION : PGML_TASK_MULTICLASS, i < 2 ? 1 : 7));
		int64_t payload, estimate;

		set(d, "max_iter", 1);
		set(d, "batch_norm", i % 2);
		set(d, "hidden_width", i < 2 ? 30 : 130);
		set_valid(d, d->set.n / 2);
		estimate = learner->memory(&d->set, &d->params, &payload);
		atomic_store(&d->budget.peak, 0);
		fit(d, NULL);
		assert_true((int64_t) d->fit.payload.len <= payload);
		if (!(atomic_load(&d->budget.peak) <= estimate + payload))
			fail_msg("%ld bytes, not %ld", (long) atomic_load(&d->budget.peak),
					 (long) (estimate + payload));
		data_free(d);
	}
}

/* Whichever allocation fails: an error, and nothing is lost. */
static void
failing_memory(void **state)
{
	Data *d = small(data_mixed(60, 8, PGML_TASK_MULTICLASS, 3));
	PgmlStatus status = PGML_ERR_NOMEM;
	double out[180];

	(void) state;
	set_valid(d, 40);
	d->set.valid_out = out;
	set(d, "max_iter", 3);
	set(d, "batch_norm", 1);
	for (int64_t k = 1; status != PGML_OK; k++)
	{
		atomic_store(&d->budget.fail_at, k);
		status = try_fit(d, NULL);
		assert_true(status == PGML_OK || pgml_is_memory(status));
		assert_true(k < 200);
	}
	data_free(d);
}

/* ---- hostile payloads ---- */

/* Bytes changed at random are refused, or predict numbers that are the same alone and together. */
static void
damaged_payloads(void **state)
{
	Data *d = small(all_kinds(PGML_TASK_MULTICLASS, 3));
	size_t len;
	PgmlRng rng;
	float x[5 * 8];
	int accepted = 0;

	(void) state;
	set(d, "hidden_width", 4);
	fit(d, NULL);
	len = d->fit.payload.len;
	for (int i = 0; i < 5; i++)
		get_row(d, i, x + i * 8);
	pgml_rng_init(&rng, 5, 5);
	for (int round = 0; round < 3000; round++)
	{
		uint8_t *copy = aligned_alloc(64, (len + 63) / 64 * 64);
		double out[15], alone[3];

		memcpy(copy, d->fit.payload.data, len);
		for (int i = 0; i <= round % 3; i++)
			copy[pgml_rng_below(&rng, round % 2 ? 800 : len)] = (uint8_t) pgml_rng_next(&rng);
		if (learner->verify(copy, len, &d->shape, &d->error) == PGML_OK)
		{
			accepted++;
			learner->predict(copy, &d->shape, x, 5, out);
			for (int i = 0; i < 5; i++)
			{
				learner->predict(copy, &d->shape, x + i * 8, 1, alone);
				assert_memory_equal(alone, out + 3 * i, sizeof(alone));
				assert_near(alone[0] + alone[1] + alone[2], 1, 1e-6);
			}
		}
		free(copy);
	}
	assert_true(accepted > 100);
	for (size_t cut = 0; cut < len; cut += 1 + cut / 7)
		assert_int_equal(learner->verify(d->fit.payload.data, cut, &d->shape, &d->error),
						 PGML_ERR_CORRUPT);
	data_free(d);
}

int
test_mlp(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_accurate),
		cmocka_unit_test(activations_and_their_derivatives),
		cmocka_unit_test(schedules),
		cmocka_unit_test(forward_by_hand),
		cmocka_unit_test(ranks_by_hand),
		cmocka_unit_test(gradients_of_smooth_activations),
		cmocka_unit_test(gradients_of_classes),
		cmocka_unit_test(gradients_of_normalised_layers),
		cmocka_unit_test(first_step_of_adam),
		cmocka_unit_test(learns_xor),
		cmocka_unit_test(learns_all_kinds_of_features),
		cmocka_unit_test(keeps_the_best_epoch),
		cmocka_unit_test(stops_early),
		cmocka_unit_test(ranks_do_not_see_scales),
		cmocka_unit_test(same_bytes_for_any_threads),
		cmocka_unit_test(rows_without_weight_do_not_count),
		cmocka_unit_test(weights_count),
		cmocka_unit_test(rows_together_are_the_rows),
		cmocka_unit_test(hard_numbers),
		cmocka_unit_test(hard_shapes),
		cmocka_unit_test(rates_that_are_too_high),
		cmocka_unit_test(settings),
		cmocka_unit_test(needs_openblas),
		cmocka_unit_test(stop_and_deadline),
		cmocka_unit_test(memory_is_estimated_and_kept),
		cmocka_unit_test(failing_memory),
		cmocka_unit_test(damaged_payloads),
	};

	return cmocka_run_group_tests_name("mlp", tests, load_blas, NULL);
}
