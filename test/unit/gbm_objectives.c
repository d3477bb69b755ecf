/*
 * Tests of the losses of gradient boosting besides squared error, of its growth by depth and of the weights of classes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gbm_data.h"
#include "learner/gbm_objective.h"
#include "learner/gbm_payload.h"

static const char *const objectives[] = { "squared", "absolute", "quantile", "huber",
										  "poisson", "gamma",    "tweedie" };

#define N_OBJECTIVES 7

static void
assert_near(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance))
		fail_msg("%.12g is not %.12g", a, b);
}

/* Targets that every objective can learn from. */
static Data *
data_positive(int64_t n)
{
	Data *d = data_mixed(n, 6, PGML_TASK_REGRESSION, 1);

	for (int64_t i = 0; i < n; i++)
		d->y[i] = exp(d->y[i] / 2);
	return d;
}

/* A target of the data with its objective, initial score and scores. */
static PgmlGbmTarget
open_target(Data *d, PgmlArena *arena, double *init)
{
	PgmlGbmConfig config = pgml_gbm_read_config(&d->set, &d->params);
	PgmlGbmPoint *points = pgml_array(arena, (size_t) d->set.n, sizeof(PgmlGbmPoint));
	PgmlGbmTarget t;

	assert_int_equal(pgml_gbm_target_create(&d->env, arena, &d->set, d->rows, d->set.n, &t),
					 PGML_OK);
	assert_int_equal(pgml_gbm_set_objective(&d->env, &config, &t), PGML_OK);
	if (t.objective == PGML_GBM_AUTO)
		pgml_gbm_initial_scores(&t, init);
	else
		assert_int_equal(pgml_gbm_objective_init(&d->env, &t, points, init), PGML_OK);
	pgml_gbm_set_scores(&t, init);
	assert_int_equal(pgml_gbm_set_delta(&d->env, &t, points), PGML_OK);
	return t;
}

/* y = 1 2 4 9: medians, quantiles and means as initial scores; gradients there. */
static void
gradients_by_hand(void **state)
{
	static const double y[] = { 1, 2, 4, 9 };
	/* Of 1.5 with p = 1.5: a = y / sqrt(4), b = sqrt(4); g = b - a, h = (a + b) / 2. */
	static const double inits[] = {
		4, 3, 9, 3, 1.3862943611198906, 1.3862943611198906, 1.3862943611198906
	};
	static const double g[][4] = { { 3, 2, 0, -5 },    { 1, 1, -1, -1 }, { 0.25, 0.25, 0.25, 0.25 },
								   { 2, 1, -1, -4 },   { 3, 2, 0, -5 },  { 0.75, 0.5, 0, -1.25 },
								   { 1.5, 1, 0, -2.5 } };
	static const double h[][4] = { { 1, 1, 1, 1 },
								   { 1, 1, 1, 1 },
								   { 1, 1, 1, 1 },
								   { 1, 1, 1, 1 },
								   { 8.0550108298819, 8.0550108298819, 8.0550108298819,
									 8.0550108298819 },
								   { 0.25, 0.5, 1, 2.25 },
								   { 1.25, 1.5, 2, 3.25 } };

	(void) state;
	for (int o = 0; o < N_OBJECTIVES; o++)
	{
		Data *d = data_new(4, 1, PGML_TASK_REGRESSION, 1);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		PgmlGbmTarget t;
		double init, got_g[4], got_h[4];

		memcpy(d->y, y, sizeof(y));
		set_word(d, "objective", objectives[o]);
		/* Three of four do not weigh 0.76: the fourth it is.  Of |r| = 1 1 2 6, huber takes the second, 1, or what is fixed. */
		set(d, "alpha", o == 2 ? 0.76 : 0.6);
		set(d, "huber_delta", 4);
		t = open_target(d, arena, &init);
		assert_near(init, inits[o], 1e-12);
		pgml_gbm_raw_gradients(&t, 0, 0, 4, got_g, got_h);
		for (int i = 0; i < 4; i++)
		{
			assert_near(got_g[i], o == 2 ? 0.24 : g[o][i], 1e-12);
			assert_near(got_h[i], h[o][i], 1e-12);
		}
		if (o == 3)
		{
			set(d, "huber_delta", 0);
			t = open_target(d, arena, &init);
			/* |r| = 2 1 1 6: three of four are the first that weigh 0.6 of all. */
			assert_near(t.delta, 2, 0);
		}
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

/* g is the slope of the loss and h that of g (poisson: times exp(poisson_max_delta_step)), by central differences. */
static void
gradients_are_slopes(void **state)
{
	static const int smooth[] = { 0, 3, 4, 5, 6 };
	const double step = 1e-5;

	(void) state;
	for (int k = 0; k < 5; k++)
	{
		int o = smooth[k];
		Data *d = data_positive(200);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		PgmlGbmTarget t;
		double init;

		set_word(d, "objective", objectives[o]);
		set(d, "huber_delta", 0.7);
		set(d, "tweedie_variance_power", 1.3);
		t = open_target(d, arena, &init);
		for (int i = 0; i < 200; i++)
		{
			double s = sin(i) * 2, loss[2], g[3], h[3];
			double factor = o == 4 ? exp(0.7) : 1;

			/* Away from where huber's slope has a corner. */
			if (o == 3 && fabs(fabs(t.y[i] - s) - 0.7) < 1e-3)
				continue;
			for (int side = 0; side < 3; side++)
			{
				t.score[i] = s + (side - 1) * step;
				pgml_gbm_raw_gradients(&t, 0, i, 1, &g[side], &h[side]);
				if (side != 1)
					loss[side / 2] = o == 0 ? (t.y[i] - t.score[i]) * (t.y[i] - t.score[i]) / 2 :
											  pgml_gbm_objective_loss(&t, i);
			}
			assert_near((loss[1] - loss[0]) / (2 * step), g[1], 1e-6 * (1 + fabs(g[1])));
			if (o != 3)
				assert_near((g[2] - g[0]) / (2 * step), h[1] / factor, 1e-6 * (1 + h[1]));
		}
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

/* x = 1 .. 8; the best cut parts the first four from the last four. */
static void
leaves_are_quantiles(void **state)
{
	static const double y[] = { 0, 1, 2, 7, 20, 21, 22, 40 };
	Data *d = data_new(8, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		d->col[0][i] = (float) (i + 1);
		d->y[i] = y[i];
	}
	set_stump(d);
	set(d, "min_data_in_leaf", 4);
	set_word(d, "objective", "absolute");
	fit(d, NULL);
	assert_near(predict_x(d, 1), 1.5, 1e-12);
	assert_near(predict_x(d, 8), 21.5, 1e-12);
	/* By weight: 0 weighs more than all others of the first leaf, 40 less than nothing else. */
	d->set.w = d->w;
	d->w[0] = 4;
	d->w[7] = 0.5;
	fit(d, NULL);
	assert_near(predict_x(d, 1), 0, 1e-12);
	assert_near(predict_x(d, 8), 21, 1e-12);
	d->set.w = NULL;
	set_word(d, "objective", "quantile");
	set(d, "alpha", 0.8);
	fit(d, NULL);
	assert_near(predict_x(d, 1), 7, 1e-12);
	assert_near(predict_x(d, 8), 40, 1e-12);
	/* Median and the mean of what differs from it, at most 3: (-1.5 - .5 + .5 + 3) / 4 and (-1.5 - .5 + .5 + 3) / 4. */
	set_word(d, "objective", "huber");
	set(d, "huber_delta", 3);
	fit(d, NULL);
	assert_near(predict_x(d, 1), 1.875, 1e-12);
	assert_near(predict_x(d, 8), 21.875, 1e-12);
	data_free(d);
}

/* Share of the rows whose target is not above the prediction. */
static double
coverage(const Data *d)
{
	int64_t covered = 0;

	for (int64_t i = 0; i < d->set.n; i++)
		covered += d->y[i] <= predict_row(d, i);
	return (double) covered / (double) d->set.n;
}

/* With all rows, with rows drawn by their gradients, and with packed gradients and weights. */
static void
quantiles_cover_their_share(void **state)
{
	static const double alphas[] = { 0.05, 0.5, 0.9 };

	(void) state;
	for (int a = 0; a < 3; a++)
		for (int way = 0; way < 3; way++)
		{
			Data *d = data_mixed(way == 2 ? 17000 : 6000, 6, PGML_TASK_REGRESSION, 1);

			set_word(d, "objective", "quantile");
			set(d, "alpha", alphas[a]);
			set(d, "n_estimators", 100);
			if (way == 1)
				set(d, "mvs_fraction", 0.4);
			if (way == 2)
				d->set.w = d->w;
			fit(d, NULL);
			assert_near(coverage(d), alphas[a], 0.015);
			data_free(d);
		}
}

/* What learning on some rows says of others, by predict(), by blocks, and in the fit: to the last bit. */
static void
all_ways_predict_the_same(void **state)
{
	(void) state;
	for (int o = 0; o < N_OBJECTIVES; o++)
	{
		Data *d = data_positive(3000);
		PgmlArena *arena = pgml_arena_create(&d->budget);
		double *valid = pgml_array(arena, 1000, sizeof(double));
		float *x = pgml_array(arena, 256 * 6, sizeof(float));
		double out[256];
		const void *prepared;
		void *scratch;

		set_word(d, "objective", objectives[o]);
		set(d, "n_estimators", 20);
		d->set.n = 2000;
		d->set.valid_rows = d->rows + 2000;
		d->set.n_valid = 1000;
		d->set.valid_out = valid;
		fit(d, NULL);
		assert_true(d->fit.predicted);
		for (int i = 0; i < 1000; i++)
		{
			double p = predict_row(d, 2000 + i);

			assert_true(isfinite(p) && p == valid[i]);
			assert_true(o < 4 || p > 0);
		}
		assert_int_equal(
			learner->prepare(&d->env, arena, d->fit.payload.data, &d->shape, &prepared), PGML_OK);
		assert_non_null(prepared);
		scratch = pgml_array(arena, learner->scratch(prepared) + 64, 1);
		scratch = (char *) scratch + (64 - (uintptr_t) scratch % 64);
		for (int n = 3; n <= 256; n += 253)
		{
			PgmlBlock block = { .n = n, .x = x, .stride = 256 };

			for (int f = 0; f < 6; f++)
				for (int i = 0; i < n; i++)
					x[f * 256 + i] = d->col[f][2000 + i];
			learner->predict_block(prepared, d->fit.payload.data, &d->shape, &block, out, scratch);
			for (int i = 0; i < n; i++)
				assert_true(out[i] == valid[i]);
		}
		pgml_arena_destroy(arena);
		data_free(d);
	}
}

/* Loss of predictions of all rows, by definition. */
static double
loss_of(const Data *d, int o)
{
	double sum = 0;

	for (int64_t i = 0; i < d->set.n; i++)
	{
		double p = predict_row(d, i), y = d->y[i], r = y - p;

		sum += o == 0 || o == 3 ? r * r :
			   o == 1           ? fabs(r) :
			   o == 2           ? (r >= 0 ? 0.9 * r : -0.1 * r) :
			   o == 4           ? p - y * log(p) :
			   o == 5           ? y / p + log(p) :
								  2 * sqrt(p) + 2 * y / sqrt(p);
	}
	return sum / (double) d->set.n;
}

/* Each objective has less of its own loss than squared error and than no trees; drawing rows changes little. */
static void
objectives_lessen_their_loss(void **state)
{
	(void) state;
	for (int o = 1; o < N_OBJECTIVES; o++)
	{
		Data *d = data_positive(4000);
		double none, own, drawn;

		set_word(d, "objective", objectives[o]);
		set(d, "n_estimators", 1);
		set(d, "learning_rate", 1e-6);
		fit(d, NULL);
		none = loss_of(d, o);
		set(d, "learning_rate", 0.1);
		set(d, "n_estimators", 60);
		fit(d, NULL);
		own = loss_of(d, o);
		set(d, "mvs_fraction", 0.5);
		fit(d, NULL);
		drawn = loss_of(d, o);
		assert_true(own < none);
		assert_true(drawn - own < 0.15 * (none - own));
		data_free(d);
	}
}

static void
threads_change_nothing(void **state)
{
	(void) state;
	for (int o = 1; o < N_OBJECTIVES; o++)
	{
		Data *d = data_positive(20000);
		PgmlBuf one;

		set_word(d, "objective", objectives[o]);
		set(d, "n_estimators", 4);
		set(d, "mvs_fraction", o % 2 ? 0.4 : 1);
		if (o % 3 == 0)
			d->set.w = d->w;
		fit(d, NULL);
		one = d->fit.payload;
		pgml_buf_init(&d->fit.payload, &d->budget);
		d->env.pool = pgml_pool_create(3);
		fit(d, NULL);
		assert_int_equal(d->fit.payload.len, one.len);
		assert_memory_equal(d->fit.payload.data, one.data, one.len);
		pgml_pool_destroy(d->env.pool);
		d->env.pool = NULL;
		pgml_buf_free(&one);
		data_free(d);
	}
}

/* Fail to fit, with this in the message. */
static void
assert_refused(Data *d, PgmlStatus status, const char *part)
{
	assert_int_equal(try_fit(d, NULL), status);
	assert_non_null(strstr(d->error.message, part));
}

static void
targets_out_of_range(void **state)
{
	Data *d = data_new(40, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int o = 4; o < N_OBJECTIVES; o++)
	{
		set_word(d, "objective", objectives[o]);
		for (int i = 0; i < 40; i++)
			d->y[i] = 1;
		d->y[7] = -1e-9;
		assert_refused(d, PGML_ERR_DATA, "without negative values");
		/* Also among the rows that validate. */
		d->set.n = 7;
		d->set.valid_rows = d->rows + 7;
		d->set.n_valid = 33;
		assert_refused(d, PGML_ERR_DATA, "without negative values");
		d->set.n = 40;
		d->set.n_valid = 0;
		for (int i = 0; i < 40; i++)
			d->y[i] = 0;
		assert_refused(d, PGML_ERR_DATA,
					   o == 5 ? "\"gamma\" needs a target without zeros" : "not always zero");
	}
	data_free(d);
}

/* Targets over hundreds of orders of magnitude, rare large ones, few distinct ones: all predictions are numbers. */
static void
extreme_targets(void **state)
{
	(void) state;
	for (int o = 1; o < N_OBJECTIVES; o++)
		for (int way = 0; way < 4; way++)
		{
			Data *d = data_mixed(2000, 6, PGML_TASK_REGRESSION, 1);

			for (int i = 0; i < 2000; i++)
				d->y[i] = way == 0 ? exp(d->y[i] * 15) :
						  way == 1 ? (i % 500 ? 1e-12 : 1e6) :
						  way == 2 ? 1e-30 * (1 + i % 3) :
									 1 + (i % 100 == 0);
			set_word(d, "objective", objectives[o]);
			set(d, "n_estimators", 150);
			fit(d, NULL);
			for (int i = 0; i < 2000; i += 7)
				assert_true(isfinite(predict_row(d, i)));
			data_free(d);
		}
}

/* Words for what auto is by the task: the same model, and a refusal where the task is another. */
static void
words_for_what_auto_is(void **state)
{
	static const struct
	{
		const char *word;
		PgmlTask task;
		int n_classes;
		const char *refusal; /* NULL: none */
	} cases[] = {
		{ "squared", PGML_TASK_REGRESSION, 1, NULL },
		{ "squared", PGML_TASK_BINARY, 2, "\"squared\" predicts numbers, the target has classes" },
		{ "logistic", PGML_TASK_BINARY, 2, NULL },
		{ "logistic", PGML_TASK_REGRESSION, 1,
		  "\"logistic\" predicts classes, the target is a number" },
		{ "logistic", PGML_TASK_MULTICLASS, 3,
		  "\"logistic\" is for two classes, the target has 3" },
		{ "softmax", PGML_TASK_BINARY, 2, NULL },
		{ "softmax", PGML_TASK_MULTICLASS, 3, NULL },
		{ "softmax", PGML_TASK_REGRESSION, 1,
		  "\"softmax\" predicts classes, the target is a number" },
	};

	(void) state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		Data *d = data_mixed(300, 6, cases[c].task, cases[c].n_classes);

		set(d, "n_estimators", 5);
		if (cases[c].refusal)
		{
			fit(d, NULL);
			set_word(d, "objective", cases[c].word);
			assert_refused(d, PGML_ERR_BADARG, cases[c].refusal);
		}
		else
			assert_word_changes_nothing(d, "objective", cases[c].word);
		data_free(d);
	}
}

static void
objectives_and_classes_exclude_each_other(void **state)
{
	Data *d = data_mixed(300, 6, PGML_TASK_BINARY, 2);

	(void) state;
	set_word(d, "objective", "poisson");
	assert_refused(d, PGML_ERR_BADARG, "\"poisson\" predicts numbers");
	set_word(d, "objective", "auto");
	set_word(d, "class_weight", "balanced");
	set(d, "scale_pos_weight", 2);
	assert_refused(d, PGML_ERR_BADARG, "exclude each other");
	set(d, "scale_pos_weight", 1);
	d->set.task = d->shape.task = PGML_TASK_REGRESSION;
	assert_refused(d, PGML_ERR_BADARG, "class_weight is for classes");
	set_word(d, "class_weight", "none");
	set(d, "scale_pos_weight", 2);
	assert_refused(d, PGML_ERR_BADARG, "two classes");
	d->set.task = d->shape.task = PGML_TASK_MULTICLASS;
	assert_refused(d, PGML_ERR_BADARG, "two classes");
	data_free(d);
}

/* Weights of classes are those of their rows. */
static void
class_weights_are_weights(void **state)
{
	(void) state;
	for (int classes = 2; classes <= 3; classes++)
		for (int way = 0; way < 4 - classes; way++)
		{
			Data *d = data_mixed(3000, 6, classes == 2 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS,
								 classes);
			double total = 0, of[3] = { 0 };
			PgmlBuf by_class;

			/* Weights of rows count as well. */
			for (int i = 0; i < 3000; i++)
			{
				d->w[i] = 1 + i % 2;
				of[(int) d->y[i]] += d->w[i];
				total += d->w[i];
			}
			d->set.w = d->w;
			if (way == 0)
				set_word(d, "class_weight", "balanced");
			else
				set(d, "scale_pos_weight", 3);
			set(d, "n_estimators", 5);
			fit(d, NULL);
			by_class = d->fit.payload;
			pgml_buf_init(&d->fit.payload, &d->budget);
			set_word(d, "class_weight", "none");
			set(d, "scale_pos_weight", 1);
			for (int i = 0; i < 3000; i++)
				d->w[i] *= way == 0 ? total / (classes * of[(int) d->y[i]]) : d->y[i] == 1 ? 3 : 1;
			fit(d, NULL);
			assert_int_equal(d->fit.payload.len, by_class.len);
			assert_memory_equal(d->fit.payload.data, by_class.data, by_class.len);
			pgml_buf_free(&by_class);
			data_free(d);
		}
}

/* Depth of each leaf of the first tree; returns their number. */
static int
leaf_depths(const Data *d, int *least, int *most)
{
	PgmlGbmView v = pgml_gbm_view(d->fit.payload.data);
	int n = (int) pgml_gbm_tree_nodes(&v, 0);
	int depth[1000] = { 0 };

	*least = 1000;
	*most = 0;
	for (int i = 0; i < n; i++)
		for (int side = 0; side < 2; side++)
		{
			int32_t child = side ? v.node[i].right : v.node[i].left;

			if (child >= 0)
				depth[child] = depth[i] + 1;
			else
			{
				*least = depth[i] + 1 < *least ? depth[i] + 1 : *least;
				*most = depth[i] + 1 > *most ? depth[i] + 1 : *most;
			}
		}
	return n + 1;
}

/* By gain some leaves lie deeper than by depth; with max_depth a tree by depth is full. */
static void
growth_by_depth(void **state)
{
	Data *d = data_mixed(4000, 6, PGML_TASK_REGRESSION, 1);
	int least, most, deepest;

	(void) state;
	set(d, "n_estimators", 1);
	set(d, "num_leaves", 16);
	fit(d, NULL);
	assert_int_equal(leaf_depths(d, &least, &deepest), 16);
	assert_true(deepest > 4);
	set_word(d, "grow_policy", "leafwise");
	fit(d, NULL);
	assert_int_equal(leaf_depths(d, &least, &most), 16);
	assert_int_equal(most, deepest);
	set_word(d, "grow_policy", "depthwise");
	fit(d, NULL);
	assert_int_equal(leaf_depths(d, &least, &most), 16);
	assert_int_equal(least, 4);
	assert_int_equal(most, 4);
	pgml_params_default(learner, &d->params);
	for (int i = 0; i < 4000; i++)
		d->y[i] = d->col[0][i] = (float) i;
	set(d, "n_estimators", 1);
	set(d, "max_depth", 6);
	set_word(d, "grow_policy", "depthwise");
	fit(d, NULL);
	assert_int_equal(leaf_depths(d, &least, &most), 64);
	assert_int_equal(least, 6);
	assert_int_equal(most, 6);
	/* Leaves that are asked for are a bound all the same. */
	set(d, "num_leaves", 40);
	fit(d, NULL);
	assert_int_equal(leaf_depths(d, &least, &most), 40);
	assert_int_equal(least, 5);
	data_free(d);
}

/* How scores become predictions is bounded as the rest of the header is. */
static void
unknown_links_are_refused(void **state)
{
	Data *d = data_positive(300);
	PgmlGbmHeader *header;

	(void) state;
	fit(d, NULL);
	header = (PgmlGbmHeader *) d->fit.payload.data;
	assert_int_equal(header->link, PGML_GBM_LINK_TASK);
	set_word(d, "objective", "gamma");
	fit(d, NULL);
	header = (PgmlGbmHeader *) d->fit.payload.data;
	assert_int_equal(header->link, PGML_GBM_LINK_LOG);
	d->shape.task = PGML_TASK_BINARY;
	d->shape.n_classes = 2;
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error),
					 PGML_ERR_CORRUPT);
	d->shape.task = PGML_TASK_REGRESSION;
	header->link = 2;
	assert_int_equal(learner->verify(d->fit.payload.data, d->fit.payload.len, &d->shape, &d->error),
					 PGML_ERR_CORRUPT);
	data_free(d);
}

/* Sums are logarithms of predictions for some objectives: the trees say so. */
static void
logarithms_are_told(void **state)
{
	Data *d = data_positive(300);
	PgmlArena *arena = pgml_arena_create(&d->budget);
	PgmlTrees trees;

	(void) state;
	set_word(d, "objective", "absolute");
	fit(d, NULL);
	assert_int_equal(learner->trees(&d->env, arena, d->fit.payload.data, &d->shape, &trees),
					 PGML_OK);
	assert_false(trees.log_link);
	set_word(d, "objective", "tweedie");
	fit(d, NULL);
	assert_int_equal(learner->trees(&d->env, arena, d->fit.payload.data, &d->shape, &trees),
					 PGML_OK);
	assert_true(trees.log_link);
	pgml_arena_destroy(arena);
	data_free(d);
}

int
gbm_objectives(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gradients_by_hand),
		cmocka_unit_test(gradients_are_slopes),
		cmocka_unit_test(leaves_are_quantiles),
		cmocka_unit_test(quantiles_cover_their_share),
		cmocka_unit_test(all_ways_predict_the_same),
		cmocka_unit_test(objectives_lessen_their_loss),
		cmocka_unit_test(threads_change_nothing),
		cmocka_unit_test(targets_out_of_range),
		cmocka_unit_test(extreme_targets),
		cmocka_unit_test(words_for_what_auto_is),
		cmocka_unit_test(objectives_and_classes_exclude_each_other),
		cmocka_unit_test(class_weights_are_weights),
		cmocka_unit_test(growth_by_depth),
		cmocka_unit_test(unknown_links_are_refused),
		cmocka_unit_test(logarithms_are_told),
	};

	return cmocka_run_group_tests_name("gradient_boosting: objectives", tests, NULL, NULL);
}
