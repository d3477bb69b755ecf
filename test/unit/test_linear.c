/*
 * Tests of learner `linear`.  Reference numbers come from scikit-learn 1.2 on the same scaled columns.
 */
#include "linear_data.h"

extern int test_linear(void);

/* ---- known answers ---- */

/*
 * Orthogonal columns of -1 and 1 over four rows: (X'X + 4 I) b = X'y with X'X = 4 I and X'y = (12, 4) gives
 * b = (1.5, 0.5); the intercept is the mean, 5.
 */
static void
ridge_by_hand(void **state)
{
	Data *d = data_new(4, 2, PGML_TASK_REGRESSION, 1);
	static const float a[] = { -1, -1, 1, 1 };
	static const float b[] = { -1, 1, -1, 1 };

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = a[i];
		d->col[1][i] = b[i];
		d->y[i] = 5 + 3 * a[i] + b[i];
	}

	double *p = fit_exactly(d, 4);

	for (int i = 0; i < 4; i++)
		assert_near(p[i], 5 + 1.5 * a[i] + 0.5 * b[i], 1e-12);
	free(p);
	data_free(d);
}

/* Two levels with a row each, y = 0 and 3, alpha 1: by symmetry levels get -c and c with 1.5 - c = c. */
static void
category_ridge_by_hand(void **state)
{
	Data *d = data_new(2, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	make_category(d, 0, 2);
	d->col[0][1] = 1;
	d->y[1] = 3;

	double *p = fit_exactly(d, 1);

	assert_near(p[0], 0.75, 1e-12);
	assert_near(p[1], 2.25, 1e-12);
	free(p);
	data_free(d);
}

/* Objective and first prediction of one reference problem. */
static void
compare_with_reference(PgmlTask task, bool weighted, double alpha, double value, double first)
{
	Data *d = reference_data(task, weighted);
	Run r;

	run_init(&r);
	set(&r, "alpha", alpha);
	set(&r, "tol", 1e-13);
	run_fit(&r, d);

	double *p = predict_all(&r, d);

	assert_near(objective(&r, d, alpha) / value, 1, 1e-6);
	assert_near(p[0], first, 1e-5);
	assert_int_equal(r.fit.best_iteration, 0);
	assert_false(r.fit.out_of_time);
	free(p);
	run_done(&r);
	data_free(d);
}

static void
objectives_equal_scikit_learns(void **state)
{
	(void) state;
	compare_with_reference(PGML_TASK_REGRESSION, false, 2.5, 59.418390821702189,
						   3.5329969541503221);
	compare_with_reference(PGML_TASK_REGRESSION, true, 2.5, 67.037270166841893, 3.2377668531450636);
	compare_with_reference(PGML_TASK_BINARY, false, 0.7, 5.1964281180057679, 0.078149423015961228);
	compare_with_reference(PGML_TASK_BINARY, true, 0.7, 7.3028054519769556, 0.04685759950110089);
	compare_with_reference(PGML_TASK_MULTICLASS, false, 0.7, 14.515444832535604,
						   0.72760225299510717);
	compare_with_reference(PGML_TASK_MULTICLASS, true, 0.7, 22.029750881482652,
						   0.74343099813574698);
}

/* ---- invariants ---- */

/* With next to no penalty a category and its explicit 0/1 columns span the same space. */
static void
one_hot_equals_dummy_columns(void **state)
{
	Data *d = reference_data(PGML_TASK_REGRESSION, false);
	Data *dummy = data_new(24, 5, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 24; i++)
	{
		dummy->col[0][i] = d->col[0][i];
		dummy->col[1][i] = d->col[1][i];
		for (int l = 0; l < 3; l++)
			dummy->col[2 + l][i] = d->col[2][i] == (float) l;
		dummy->y[i] = d->y[i];
	}

	double *p = fit_exactly(d, 1e-6);
	double *q = fit_exactly(dummy, 1e-6);

	for (int i = 0; i < 24; i++)
		assert_near(p[i], q[i], 1e-6);
	free(p);
	free(q);
	data_free(d);
	data_free(dummy);
}

/* A weight of 2 is a row twice, a weight of 0 is no row. */
static void
weights_are_repetitions(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *weighted = reference_data(tasks[t], false);
		Data *repeated = reference_data(tasks[t], false);
		int32_t rows[48];
		int n = 0;

		for (int i = 0; i < 24; i++)
		{
			weighted->w[i] = i % 3;
			for (int j = 0; j < i % 3; j++)
				rows[n++] = i;
		}
		repeated->set.rows = rows;
		repeated->set.n = n;

		double *p = fit_exactly(weighted, 0.7);
		double *q = fit_exactly(repeated, 0.7);
		int outputs = pgml_task_outputs(tasks[t], repeated->set.n_classes);

		for (int i = 0; i < 24 * outputs; i++)
			assert_near(p[i], q[i], 1e-6);
		free(p);
		free(q);
		data_free(weighted);
		data_free(repeated);
	}
}

/* The target of a row without a weight does not matter. */
static void
targets_without_a_weight_do_not_matter(void **state)
{
	static const double targets[] = { 1e300, -1e300, 1e-300 };
	Data *d = reference_data(PGML_TASK_REGRESSION, true);
	double *expected;

	(void) state;
	d->w[23] = 0;
	expected = fit_exactly(d, 0.7);
	for (int t = 0; t < 3; t++)
	{
		double *p;

		d->y[23] = targets[t];
		p = fit_exactly(d, 0.7);
		for (int i = 0; i < 24; i++)
			assert_near(p[i], expected[i], 0);
		free(p);
	}
	free(expected);
	data_free(d);
}

/* Missing numbers and categories have coefficients of their own; unknown levels are like missing ones. */
static void
missing_values_are_learned(void **state)
{
	Data *d = data_new(40, 2, PGML_TASK_REGRESSION, 1);

	(void) state;
	make_category(d, 1, 2);
	for (int i = 0; i < 40; i++)
	{
		d->col[0][i] = i % 4 == 0 ? NAN : (float) (i % 3);
		d->col[1][i] = i % 5 == 0 ? NAN : (float) (i % 2);
		d->y[i] = (i % 4 == 0 ? 10 : i % 3) + (i % 5 == 0 ? 100 : 7 * (i % 2));
	}

	double *p = fit_exactly(d, 1e-6);

	for (int i = 0; i < 40; i++)
		assert_near(p[i], d->y[i], 1e-4);
	free(p);

	Run r;
	float odd[6] = { 1, NAN, 1, 2, 1, -1 };
	double out[3];

	run_init(&r);
	run_fit(&r, d);
	learner->predict(r.fit.payload.data, &d->shape, odd, 3, out);
	assert_true(out[1] == out[0] && out[2] == out[0]);
	run_done(&r);
	data_free(d);
}

/* The path ends at the penalty with the least validation loss, and path_position repeats it. */
static void
the_path_is_chosen_by_validation(void **state)
{
	Data *d = mixed_data(400, PGML_TASK_BINARY, 2);
	double chosen = 0;
	int position;
	Run r;

	(void) state;
	hold_out(d, 200);
	for (int64_t i = 0; i < 200; i++)
		d->y[i] = i % 3 == 0 ? 1 - d->y[i] : d->y[i]; /* noise that a weak penalty would learn */
	run_init(&r);
	set(&r, "tol", 1e-12);
	run_fit(&r, d);
	position = r.fit.best_iteration;
	assert_in_range(position, 1, 12);

	double *p = predict_all(&r, d);

	for (int64_t i = 200; i < 400; i++)
		chosen += row_loss(d, p, i);
	free(p);
	run_done(&r);
	for (int k = 1; k <= position + 3 && k <= 12; k++)
	{
		double loss = 0;

		run_init(&r);
		set(&r, "tol", 1e-12);
		set(&r, "path_position", k);
		run_fit(&r, d);
		assert_int_equal(r.fit.best_iteration, k);
		p = predict_all(&r, d);
		for (int64_t i = 200; i < 400; i++)
			loss += row_loss(d, p, i);
		assert_true(loss >= chosen * (1 - 1e-6));
		if (k == position)
			assert_near(loss, chosen, 1e-6);
		free(p);
		run_done(&r);
	}
	data_free(d);
}

/* Rows read from the copy and rows computed in every pass are the same numbers. */
static void
the_copy_changes_nothing(void **state)
{
	Data *d = mixed_data(3000, PGML_TASK_REGRESSION, 1);
	Run r;
	PgmlLinearDesign design;
	PgmlLinearRows copied;
	PgmlLinearRows computed;

	(void) state;
	run_init(&r);

	PgmlArena *arena = pgml_arena_create(&r.budget);

	assert_int_equal(pgml_linear_design(&r.env, arena, &d->set, PGML_LINEAR_SQUARED, &design),
					 PGML_OK);
	assert_int_equal(pgml_linear_rows(&r.env, arena, &design, d->rows, 3000, &copied), PGML_OK);
	design.cache_bytes = 0;
	assert_int_equal(pgml_linear_rows(&r.env, arena, &design, d->rows, 3000, &computed), PGML_OK);
	assert_non_null(copied.dense);
	assert_null(computed.dense);
	assert_true(copied.n_blocks > 1);

	PgmlLinearBlock *a = pgml_linear_blocks(&r.env, arena, &design, &copied);
	PgmlLinearBlock *b = pgml_linear_blocks(&r.env, arena, &design, &computed);

	for (int64_t block = 0; block < copied.n_blocks; block++)
	{
		pgml_linear_load(&design, &copied, block, a);
		pgml_linear_load(&design, &computed, block, b);
		pgml_linear_widen(&design, a);
		pgml_linear_widen(&design, b);
		assert_int_equal(a->n, b->n);
		assert_memory_equal(a->dense, b->dense, (size_t) a->n * (size_t) design.n_dense * 8);
		assert_memory_equal(a->level, b->level, (size_t) a->n * (size_t) design.n_categories * 4);
	}
	pgml_arena_destroy(arena);
	run_done(&r);
	data_free(d);
}

static void
threads_change_no_byte(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = mixed_data(9000, tasks[t], t + 1);
		Run one;

		hold_out(d, 7000);
		run_init(&one);
		run_fit(&one, d);
		for (int threads = 2; threads <= 3; threads++)
		{
			Run many;

			run_init(&many);
			many.env.pool = pgml_pool_create(threads);
			run_fit(&many, d);
			assert_int_equal(one.fit.payload.len, many.fit.payload.len);
			assert_memory_equal(one.fit.payload.data, many.fit.payload.data, one.fit.payload.len);
			pgml_pool_destroy(many.env.pool);
			run_done(&many);
		}
		run_done(&one);
		data_free(d);
	}
}

/* The estimate is never below what was taken. */
static void
memory_is_not_underestimated(void **state)
{
	static const int64_t sizes[] = { 100, 5000 };

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		Data *d = mixed_data(sizes[i], PGML_TASK_MULTICLASS, 3);
		int64_t bytes, payload;
		Run r;

		hold_out(d, sizes[i] * 4 / 5);
		run_init(&r);
		run_fit(&r, d);
		bytes = learner->memory(&d->set, &r.params, &payload);
		assert_true(r.budget.peak <= bytes + payload);
		assert_true(bytes + payload < 4 * r.budget.peak);
		assert_true(payload >= (int64_t) r.fit.payload.len);
		run_done(&r);
		data_free(d);
	}
}

/* ---- hard inputs ---- */

/* Fit with defaults and check that predictions are sound. */
static void
fit_hard(Data *d)
{
	Run r;

	run_init(&r);
	run_fit(&r, d);

	double *p = predict_all(&r, d);

	assert_sound(p, d);
	free(p);
	run_done(&r);
}

static void
separable_classes_stay_finite(void **state)
{
	(void) state;
	for (int k = 2; k <= 3; k++)
	{
		Data *d = data_new(30, 1, k == 2 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS, k);
		Run r;

		for (int i = 0; i < 30; i++)
		{
			d->col[0][i] = (float) i;
			d->y[i] = i * k / 30;
		}
		fit_hard(d);
		run_init(&r);
		set(&r, "alpha", 0);
		run_fit(&r, d);

		double *p = predict_all(&r, d);

		assert_sound(p, d);
		for (int i = 0; i < 30; i++)
			assert_true(row_loss(d, p, i) < log(2));
		free(p);
		run_done(&r);
		data_free(d);
	}
}

static void
useless_and_repeated_columns_do_no_harm(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_new(50, 7, tasks[t], t + 1);

		make_category(d, 6, 1);
		for (int i = 0; i < 50; i++)
		{
			d->col[0][i] = 7;                /* constant */
			d->col[1][i] = (float) (i % 13); /* twice the same */
			d->col[2][i] = (float) (i % 13);
			d->col[3][i] = (float) (-3 * (i % 13)); /* and collinear */
			d->col[4][i] = NAN;                     /* nothing there */
			d->col[5][i] = i == 9 ? NAN : 1;        /* constant with a hole */
			d->y[i] = t == 0 ? i % 13 : i % 13 * (t + 1) / 13;
		}
		fit_hard(d);

		double *p = fit_exactly(d, 1e-9);

		assert_sound(p, d);
		for (int i = 0; t == 0 && i < 50; i++)
			assert_near(p[i], d->y[i], 1e-4);
		free(p);
		data_free(d);
	}
}

static void
more_columns_than_rows(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_new(6, 20, tasks[t], t + 1);

		make_category(d, 19, 900);
		for (int i = 0; i < 6; i++)
		{
			for (int f = 0; f < 20; f++)
				d->col[f][i] = (float) ((i + 2) * (f + 3) * 7 % 23);
			d->y[i] = i % (t + 1 > 1 ? t + 1 : 5);
		}
		fit_hard(d);
		data_free(d);
	}
}

/* More coefficient rows than the full metric is made for: the diagonal one must reach the same minimum. */
static void
many_levels_use_the_diagonal_metric(void **state)
{
	Data *small = reference_data(PGML_TASK_BINARY, false);
	Data *large = reference_data(PGML_TASK_BINARY, false);

	(void) state;
	make_category(large, 2, 5000); /* the levels beyond the third never occur */

	double *p = fit_exactly(small, 0.7);
	double *q = fit_exactly(large, 0.7);

	for (int i = 0; i < 24; i++)
		assert_near(p[i], q[i], 1e-6);
	free(p);
	free(q);
	data_free(small);
	data_free(large);
}

static void
huge_and_tiny_numbers_stay_finite(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_new(40, 5, tasks[t], t + 1);

		for (int i = 0; i < 40; i++)
		{
			d->col[0][i] = i % 2 == 0 ? FLT_MAX : -FLT_MAX;
			d->col[1][i] = i == 3 ? FLT_MAX : 0;
			d->col[2][i] = (float) i * FLT_TRUE_MIN;
			d->col[3][i] = 1e30f + (float) i * 1e25f;
			d->col[4][i] = i == 0 ? FLT_MAX : (float) i * FLT_MIN;
			d->y[i] = t == 0 ? (i % 2 == 0 ? 1e300 : -1e300) * (1 + i) : i % (t + 1);
		}
		fit_hard(d);
		data_free(d);
	}
}

/* Weights as far apart as can be, and a feature that only rows of next to no weight have. */
static void
weights_may_be_of_any_size(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *d = data_new(40, 3, tasks[t], t + 1);
		Run r;

		for (int i = 0; i < 40; i++)
		{
			d->w[i] = i % 2 == 0 ? 1e300 : 1e-300;
			d->col[0][i] = (float) (i * 7 % 40) * 1e30f;
			d->col[1][i] = i % 2 == 0 ? NAN : (float) i;
			d->col[2][i] = i == 1 ? FLT_MAX : (float) (i % 3); /* of a row of no weight */
			d->y[i] = t == 0 ? i : i / 2 % (t + 1);
		}
		fit_hard(d);
		run_init(&r);
		set(&r, "alpha", 1e12);
		run_fit(&r, d);
		run_done(&r);
		data_free(d);
	}
}

/* Predictions stay numbers where a line leaves the range of numbers. */
static void
predictions_end_where_numbers_do(void **state)
{
	Data *d = data_new(41, 1, PGML_TASK_REGRESSION, 1);
	const float x[2] = { 99, -99 };
	double out[2];
	Run r;

	(void) state;
	for (int i = 0; i < 41; i++)
	{
		d->col[0][i] = (float) i;
		d->y[i] = (i - 20) / 20.0 * 1.7e308;
	}
	run_init(&r);
	run_fit(&r, d);
	learner->predict(r.fit.payload.data, &d->shape, x, 2, out);
	assert_true(out[0] == DBL_MAX && out[1] == -DBL_MAX);
	run_done(&r);
	data_free(d);
}

static void
a_value_never_seen_moves_little(void **state)
{
	Data *d = data_new(100, 1, PGML_TASK_REGRESSION, 1);
	const float x[3] = { 99, 3e38f, -3e38f };
	double out[3];
	Run r;

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		d->col[0][i] = (float) i;
		d->y[i] = i;
	}
	run_init(&r);
	run_fit(&r, d);
	learner->predict(r.fit.payload.data, &d->shape, x, 3, out);
	assert_true(out[1] > 99 && out[1] < 130);
	assert_true(out[2] < 0 && out[2] > -30);
	run_done(&r);
	data_free(d);
}

static void
one_row_and_no_features(void **state)
{
	static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY,
									  PGML_TASK_MULTICLASS };

	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Data *one = data_new(1, 2, tasks[t], t + 1);
		Data *none = data_new(9, 0, tasks[t], t + 1);

		one->col[0][0] = 3;
		one->y[0] = t;
		fit_hard(one);
		for (int i = 0; i < 9; i++)
			none->y[i] = i % (t + 1);
		fit_hard(none);
		data_free(one);
		data_free(none);
	}
}

static void
a_constant_target_is_predicted(void **state)
{
	Data *d = data_new(20, 1, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 20; i++)
	{
		d->col[0][i] = (float) i;
		d->y[i] = -4e10;
	}

	double *p = fit_exactly(d, 1);

	for (int i = 0; i < 20; i++)
		assert_near(p[i], -4e10, 1e-12);
	free(p);
	data_free(d);
}

/* What cannot be fitted is said. */
static void
refusals_are_named(void **state)
{
	Data *d = reference_data(PGML_TASK_BINARY, false);
	Run r;

	(void) state;
	run_init(&r);
	d->set.blas = NULL;
	assert_int_equal(learner->fit(&r.env, &d->set, &r.params, &r.fit), PGML_ERR_UNAVAILABLE);
	d->set.blas = &loaded;
	d->set.n = 0;
	assert_int_equal(learner->fit(&r.env, &d->set, &r.params, &r.fit), PGML_ERR_DATA);
	d->set.n = 24;
	memset(d->w, 0, 24 * sizeof(double));
	assert_int_equal(learner->fit(&r.env, &d->set, &r.params, &r.fit), PGML_ERR_DATA);
	assert_string_equal(r.err.message, "there are no rows with a weight to learn from");
	d->w[0] = INFINITY;
	assert_int_equal(learner->fit(&r.env, &d->set, &r.params, &r.fit), PGML_ERR_DATA);
	run_done(&r);
	data_free(d);
}

/* ---- being stopped ---- */

/* A matrix-vector product that raises a flag, or lets the deadline pass, at its n-th call. */
static struct
{
	int calls;
	int at;
	_Atomic int stop;
	Run *late;
} interruption;

static void
interrupting_dgemv(int order, int trans, int m, int n, double alpha, const double *a, int lda,
				   const double *x, int incx, double beta, double *y, int incy)
{
	if (++interruption.calls == interruption.at)
	{
		if (interruption.late != NULL)
			interruption.late->env.deadline = 1e-9;
		else
			interruption.stop = 1;
	}
	loaded.dgemv(order, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}

/* A stop at any moment ends the fit as cancelled, and nothing leaks. */
static void
stops_wherever_it_is(void **state)
{
	Data *d = mixed_data(5000, PGML_TASK_BINARY, 2);
	PgmlBlas blas = loaded;
	PgmlStatus status = PGML_ERR_CANCELLED;
	Run r;

	(void) state;
	hold_out(d, 4500);
	blas.dgemv = interrupting_dgemv;
	d->set.blas = &blas;
	interruption.late = NULL;
	for (int at = 0; status != PGML_OK; at = at < 4 ? at + 1 : at * 3 / 2)
	{
		run_init(&r);
		interruption.calls = 0;
		interruption.at = at;
		interruption.stop = at == 0;
		r.env.stop = &interruption.stop;
		status = learner->fit(&r.env, &d->set, &r.params, &r.fit);
		if (interruption.calls >= at)
		{
			assert_int_equal(status, PGML_ERR_CANCELLED);
			assert_int_equal(r.err.status, PGML_ERR_CANCELLED);
		}
		run_done(&r);
		assert_true(at < 1000000);
	}
	data_free(d);
}

/* A deadline at any moment gives a usable model, and says that it came. */
static void
returns_a_model_at_the_deadline(void **state)
{
	Data *d = mixed_data(5000, PGML_TASK_BINARY, 2);
	PgmlBlas blas = loaded;
	bool late = true;
	Run r;

	(void) state;
	hold_out(d, 4500);
	blas.dgemv = interrupting_dgemv;
	d->set.blas = &blas;
	for (int at = 0; late; at = at < 4 ? at + 1 : at * 3 / 2)
	{
		run_init(&r);
		interruption.calls = 0;
		interruption.at = at;
		interruption.late = &r;
		r.env.deadline = at == 0 ? 1e-9 : 0;
		run_fit(&r, d);
		late = r.fit.out_of_time;
		assert_true(late == (interruption.calls >= at));

		double *p = predict_all(&r, d);

		assert_sound(p, d);
		free(p);
		run_done(&r);
	}
	data_free(d);
}

static void
survives_every_failed_allocation(void **state)
{
	Data *d = mixed_data(300, PGML_TASK_MULTICLASS, 3);
	PgmlStatus status = PGML_ERR_NOMEM;
	int at = 0;

	(void) state;
	hold_out(d, 200);
	while (status != PGML_OK)
	{
		Run r;

		run_init(&r);
		r.budget.fail_at = ++at;
		status = learner->fit(&r.env, &d->set, &r.params, &r.fit);
		if (status != PGML_OK)
		{
			assert_true(status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
			assert_int_equal(r.err.status, status);
		}
		run_done(&r);
		assert_true(at < 1000);
	}
	assert_true(at > 10);
	data_free(d);
}

/* ---- stored bytes ---- */

/* Whatever verify() lets through, predict() survives (the sanitisers watch). */
static void
damaged_payloads_do_no_harm(void **state)
{
	Data *d = mixed_data(300, PGML_TASK_MULTICLASS, 3);
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	int refused = 0;
	PgmlShape other;
	Run r;

	(void) state;
	run_init(&r);
	run_fit(&r, d);

	size_t len = r.fit.payload.len;
	uint8_t *bytes = malloc(len);

	for (size_t cut = 0; cut < len; cut++)
	{
		uint8_t *shorter = malloc(cut + 1); /* so that the sanitiser sees a read beyond the end */

		memcpy(shorter, r.fit.payload.data, cut);
		assert_int_equal(learner->verify(shorter, cut, &d->shape, &r.err), PGML_ERR_CORRUPT);
		free(shorter);
	}
	for (size_t at = 0; at < len; at++)
		for (int f = 0; f < 3; f++)
		{
			Run damaged = r;

			memcpy(bytes, r.fit.payload.data, len);
			bytes[at] ^= flips[f];
			if (learner->verify(bytes, len, &d->shape, &r.err) != PGML_OK)
			{
				refused++;
				continue;
			}
			damaged.fit.payload.data = bytes;
			free(predict_all(&damaged, d));
		}
	assert_true(refused > 100);

	other = d->shape;
	other.n_classes = 4;
	assert_int_equal(learner->verify(r.fit.payload.data, len, &other, &r.err), PGML_ERR_CORRUPT);
	other = d->shape;
	other.nfeatures = 4;
	assert_int_equal(learner->verify(r.fit.payload.data, len, &other, &r.err), PGML_ERR_CORRUPT);
	d->n_levels[3]++;
	assert_int_equal(learner->verify(r.fit.payload.data, len, &d->shape, &r.err), PGML_ERR_CORRUPT);
	d->n_levels[3]--;
	d->categorical[0] = true;
	assert_int_equal(learner->verify(r.fit.payload.data, len, &d->shape, &r.err), PGML_ERR_CORRUPT);
	free(bytes);
	run_done(&r);
	data_free(d);
}

int
test_linear(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ridge_by_hand),
		cmocka_unit_test(category_ridge_by_hand),
		cmocka_unit_test(objectives_equal_scikit_learns),
		cmocka_unit_test(one_hot_equals_dummy_columns),
		cmocka_unit_test(weights_are_repetitions),
		cmocka_unit_test(targets_without_a_weight_do_not_matter),
		cmocka_unit_test(missing_values_are_learned),
		cmocka_unit_test(the_path_is_chosen_by_validation),
		cmocka_unit_test(the_copy_changes_nothing),
		cmocka_unit_test(threads_change_no_byte),
		cmocka_unit_test(memory_is_not_underestimated),
		cmocka_unit_test(separable_classes_stay_finite),
		cmocka_unit_test(useless_and_repeated_columns_do_no_harm),
		cmocka_unit_test(more_columns_than_rows),
		cmocka_unit_test(many_levels_use_the_diagonal_metric),
		cmocka_unit_test(huge_and_tiny_numbers_stay_finite),
		cmocka_unit_test(weights_may_be_of_any_size),
		cmocka_unit_test(predictions_end_where_numbers_do),
		cmocka_unit_test(a_value_never_seen_moves_little),
		cmocka_unit_test(one_row_and_no_features),
		cmocka_unit_test(a_constant_target_is_predicted),
		cmocka_unit_test(refusals_are_named),
		cmocka_unit_test(stops_wherever_it_is),
		cmocka_unit_test(returns_a_model_at_the_deadline),
		cmocka_unit_test(survives_every_failed_allocation),
		cmocka_unit_test(damaged_payloads_do_no_harm),
	};

	return cmocka_run_group_tests_name("linear", tests, load_blas, NULL);
}
