/*
 * Tests of learner `linear` with penalties on absolute values and with the Poisson loss.  Reference numbers come from
 * scikit-learn 1.2 on the same scaled columns: ElasticNet, LogisticRegression with solver saga, PoissonRegressor, tol 1e-12 or less.
 */
#include "linear_data.h"

#include "learner/linear.h"

extern int test_linear_penalties(void);

/* All losses, by number: task and classes. */
static const struct
{
	PgmlLinearLoss loss;
	PgmlTask task;
	int n_classes;
} losses[] = {
	{ PGML_LINEAR_SQUARED, PGML_TASK_REGRESSION, 1 },
	{ PGML_LINEAR_LOGISTIC, PGML_TASK_BINARY, 2 },
	{ PGML_LINEAR_SOFTMAX, PGML_TASK_MULTICLASS, 3 },
	{ PGML_LINEAR_POISSON, PGML_TASK_REGRESSION, 1 },
};

/* The noisy data for a loss. */
static Data *
data_for(int loss, int64_t n)
{
	Data *d = mixed_data(n, losses[loss].task, losses[loss].n_classes);

	for (int64_t i = 0; losses[loss].loss == PGML_LINEAR_POISSON && i < n; i++)
		d->y[i] = floor(exp(0.05 * (d->y[i] - 100)));
	return d;
}

/* ---- the rows as the learner sees them ---- */

typedef struct Rows
{
	PgmlArena *arena;
	PgmlLinearDesign design;
	PgmlLinearRows rows;
	PgmlLinearPass pass;
	int64_t n_coefs;
	double *coef;
	double *gradient;
} Rows;

static void
rows_init(Rows *s, Run *r, const Data *d, PgmlLinearLoss loss)
{
	memset(s, 0, sizeof(*s));
	s->arena = pgml_arena_create(&r->budget);
	assert_int_equal(pgml_linear_design(&r->env, s->arena, &d->set, loss, &s->design), PGML_OK);
	assert_int_equal(
		pgml_linear_rows(&r->env, s->arena, &s->design, d->set.rows, d->set.n, &s->rows), PGML_OK);
	assert_int_equal(pgml_linear_pass_init(&r->env, s->arena, &s->design, &s->rows, &s->pass),
					 PGML_OK);
	s->n_coefs = s->design.n_rows * s->design.outputs;
	s->coef = pgml_zalloc(s->arena, (size_t) s->n_coefs, sizeof(double));
	s->gradient = pgml_zalloc(s->arena, (size_t) s->n_coefs, sizeof(double));
}

/* The stored coefficients on the scale on which they were fitted. */
static void
take_coefficients(Rows *s, const Run *r)
{
	const PgmlLinearHeader *header = (const PgmlLinearHeader *) r->fit.payload.data;
	const double *stored =
		(const double *) ((const PgmlLinearFeature *) (header + 1) + header->nfeatures);
	const PgmlLinearDesign *design = &s->design;

	assert_int_equal(header->rows, design->n_rows);
	memcpy(s->coef, stored, (size_t) s->n_coefs * sizeof(double));
	if (design->loss == PGML_LINEAR_POISSON)
		s->coef[0] -= log(design->y_unit);
	if (design->loss != PGML_LINEAR_SQUARED)
		return;
	s->coef[0] -= design->y_mean * design->y_unit;
	for (int64_t i = 0; i < s->n_coefs; i++)
		s->coef[i] /= design->y_sd * design->y_unit;
}

/* Loss at the coefficients, and its gradient. */
static double
loss_of(Rows *s)
{
	double value;
	bool late;

	assert_int_equal(pgml_linear_loss(&s->pass, &s->rows, s->coef, &value, s->gradient, &late),
					 PGML_OK);
	assert_false(late);
	return value;
}

static double
penalty_of(const Rows *s, double l1, double l2)
{
	double sum = 0;

	for (int64_t i = s->design.outputs; i < s->n_coefs; i++)
		sum += l1 * fabs(s->coef[i]) + 0.5 * l2 * s->coef[i] * s->coef[i];
	return sum;
}

/* The conditions of Karush, Kuhn and Tucker for a minimum. Returns the number of coefficients that are 0. */
static int
assert_optimal(Rows *s, double l1, double l2, double tolerance)
{
	int zeros = 0;

	loss_of(s);
	for (int64_t i = 0; i < s->n_coefs; i++)
	{
		double b = s->coef[i];
		double slope = s->gradient[i] + (i < s->design.outputs ? 0 : l2 * b);

		zeros += b == 0;
		if (i >= s->design.outputs && b == 0)
			slope = fmax(fabs(slope) - l1, 0);
		else if (i >= s->design.outputs)
			slope += b > 0 ? l1 : -l1;
		if (!(fabs(slope) <= tolerance))
			fail_msg("coefficient %d is %g, and its slope %g", (int) i, b, slope);
	}
	return zeros;
}

/* ---- known answers ---- */

/*
 * Orthogonal columns of -1 and 1: X'X = 4 I.  The target 5 + 3 a + b has deviation s = sqrt(10); on that scale X'y / 4 is
 * (3, 1) / s, and the lasso draws both towards 0 by alpha / 4.
 */
static void
lasso_by_hand(void **state)
{
	static const float a[] = { -1, -1, 1, 1 };
	static const float b[] = { -1, 1, -1, 1 };
	const double s = sqrt(10);
	Data *d = data_new(4, 2, PGML_TASK_REGRESSION, 1);

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		d->col[0][i] = a[i];
		d->col[1][i] = b[i];
		d->y[i] = 5 + 3 * a[i] + b[i];
	}
	for (int strong = 0; strong < 2; strong++)
	{
		double alpha = strong ? 2 : 0.5;
		double pull = alpha / 4 * s;
		Run r;

		run_init(&r);
		set(&r, "alpha", alpha);
		set_word(&r, "penalty", "l1");
		set(&r, "tol", 1e-14);
		run_fit(&r, d);

		double *p = predict_all(&r, d);

		for (int i = 0; i < 4; i++)
			assert_near(p[i], 5 + fmax(3 - pull, 0) * a[i] + fmax(1 - pull, 0) * b[i], 1e-12);
		free(p);
		run_done(&r);
	}
	data_free(d);
}

/* Without a penalty each of two levels predicts the mean of its rows. */
static void
counts_by_hand(void **state)
{
	Data *d = data_new(6, 1, PGML_TASK_REGRESSION, 1);
	Run r;

	(void) state;
	make_category(d, 0, 2);
	for (int i = 0; i < 6; i++)
	{
		d->col[0][i] = (float) (i % 2);
		d->y[i] = i % 2 == 0 ? 1 + i / 2 : 8; /* means 2 and 8 */
	}
	run_init(&r);
	set_word(&r, "objective", "poisson");
	set_word(&r, "penalty", "none");
	set(&r, "tol", 1e-15);
	run_fit(&r, d);

	double *p = predict_all(&r, d);

	for (int i = 0; i < 6; i++)
		assert_near(p[i], i % 2 == 0 ? 2 : 8, 1e-6);
	free(p);
	run_done(&r);
	data_free(d);
}

/* Objective and first prediction of one reference problem. */
static void
compare(int loss, bool weighted, double alpha, double ratio, double value, double first)
{
	Data *d = reference_data(losses[loss].task, weighted);
	PgmlLinearLoss kind = losses[loss].loss;
	double scale;
	Rows s;
	Run r;

	for (int i = 0; kind == PGML_LINEAR_POISSON && i < 24; i++)
		d->y[i] = fmax(d->y[i], 0);
	run_init(&r);
	set(&r, "alpha", alpha);
	set(&r, "l1_ratio", ratio);
	set(&r, "tol", 1e-13);
	if (kind == PGML_LINEAR_POISSON)
		set_word(&r, "objective", "poisson");
	run_fit(&r, d);
	rows_init(&s, &r, d, kind);
	take_coefficients(&s, &r);

	double *p = predict_all(&r, d);
	double own = loss_of(&s);

	/* Sums over rows as scikit-learn has them; Poisson: y was divided by its mean m, and sum of y log m taken away. */
	scale = s.rows.weight;
	own *= scale;
	if (kind == PGML_LINEAR_POISSON)
		own = s.design.y_unit * (own - scale * log(s.design.y_unit));
	own += penalty_of(&s, alpha * ratio, alpha * (1 - ratio));
	assert_near(own / value, 1, 1e-7);
	assert_near(p[0], first, 1e-5);
	free(p);
	pgml_arena_destroy(s.arena);
	run_done(&r);
	data_free(d);
}

static void
objectives_equal_scikit_learns(void **state)
{
	(void) state;
	compare(0, false, 2.5, 1, 3.503804831490989, 3.62479503560916);
	compare(0, true, 2.5, 1, 3.850798970371909, 3.158362487617193);
	compare(0, false, 2.5, 0.4, 2.4003939797585883, 3.574700260990003);
	compare(0, true, 2.5, 0.4, 2.533244993861277, 3.2070309262066985);
	compare(1, false, 0.7, 1, 5.3016871659258875, 0.05920287886339752);
	compare(1, true, 0.7, 1, 6.50687929292249, 0.0261259504547373);
	compare(1, false, 0.7, 0.4, 5.435285405381995, 0.08188041745961835);
	compare(1, true, 0.7, 0.4, 7.327566454211752, 0.04566414255136178);
	compare(2, false, 0.7, 1, 15.213985247587846, 0.781587873803737);
	compare(2, true, 0.7, 1, 21.175500354241784, 0.8276577164175327);
	compare(2, false, 0.7, 0.4, 15.0305242796506, 0.74412906826435);
	compare(2, true, 0.7, 0.4, 22.215544084123017, 0.7681511977214631);
	compare(3, false, 2.5, 0, -399.69480641121754, 3.926569390527419);
	compare(3, true, 2.5, 0, -704.5209611204464, 3.5604964685107703);
}

/* ---- derivatives and conditions ---- */

/* Gradient and second derivatives are those of finite differences. */
static void
derivatives_are_those_of_differences(void **state)
{
	const double h = 1e-5;

	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 300);
		PgmlLinearSubset subset;
		PgmlRng rng;
		Run r;
		Rows s;
		bool late;

		run_init(&r);
		rows_init(&s, &r, d, losses[loss].loss);
		pgml_rng_init(&rng, 5, 1);
		for (int64_t i = 0; i < s.n_coefs; i++)
			s.coef[i] = 0.3 * pgml_rng_normal(&rng);
		assert_int_equal(pgml_linear_subset(&r.env, s.arena, &s.design, &subset), PGML_OK);
		subset.n_columns = 0;
		for (int64_t i = 0; i < s.design.n_rows; i++) /* not all of them */
			if (i % 3 != 1)
				subset.column[subset.n_columns++] = (int32_t) i;
		pgml_linear_set_places(&s.design, &subset);

		int k = s.design.outputs;
		int n = subset.n_columns * k;
		double *hessian = pgml_array(s.arena, (size_t) (n * n), sizeof(double));
		double *gradient = pgml_array(s.arena, (size_t) s.n_coefs, sizeof(double));
		double *below = pgml_array(s.arena, (size_t) s.n_coefs, sizeof(double));

		assert_int_equal(
			pgml_linear_hessian(&s.pass, &s.rows, &subset, s.coef, 0, k, hessian, &late), PGML_OK);
		loss_of(&s);
		memcpy(gradient, s.gradient, (size_t) s.n_coefs * sizeof(double));
		for (int64_t i = 0; i < s.n_coefs; i++)
		{
			double coef = s.coef[i];
			int place = subset.place[i / k];
			int unknown = (int) (i % k) * subset.n_columns + place;
			double low, high;

			s.coef[i] = coef - h;
			low = loss_of(&s);
			memcpy(below, s.gradient, (size_t) s.n_coefs * sizeof(double));
			s.coef[i] = coef + h;
			high = loss_of(&s);
			s.coef[i] = coef;
			assert_near((high - low) / (2 * h), gradient[i], 1e-8);
			for (int u = 0; place >= 0 && u < n; u++)
			{
				int64_t at =
					(int64_t) subset.column[u % subset.n_columns] * k + u / subset.n_columns;

				assert_near((s.gradient[at] - below[at]) / (2 * h), hessian[unknown * n + u], 1e-7);
			}
		}
		pgml_arena_destroy(s.arena);
		run_done(&r);
		data_free(d);
	}
}

/* Fit a loss with penalties and look at the conditions of a minimum. Returns the zeros among the coefficients. */
static int
fit_optimally(const Data *d, int loss, double alpha, double ratio, double tol, double tolerance)
{
	double unit;
	int zeros;
	Rows s;
	Run r;

	run_init(&r);
	set(&r, "alpha", alpha);
	set(&r, "l1_ratio", ratio);
	set(&r, "tol", tol);
	if (losses[loss].loss == PGML_LINEAR_POISSON)
		set_word(&r, "objective", "poisson");
	run_fit(&r, d);
	rows_init(&s, &r, d, losses[loss].loss);
	take_coefficients(&s, &r);
	unit = s.rows.weight * (losses[loss].loss == PGML_LINEAR_POISSON ? s.design.y_unit : 1);
	zeros = assert_optimal(&s, alpha * ratio / unit, alpha * (1 - ratio) / unit, tolerance);
	pgml_arena_destroy(s.arena);
	run_done(&r);
	return zeros;
}

static void
minima_meet_their_conditions(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 400);
		int zeros[3];

		for (int i = 0; i < 400; i++)
			d->w[i] = i % 3;
		fit_optimally(d, loss, 3, 0, 1e-14, 1e-7);
		for (int i = 0; i < 3; i++)
		{
			zeros[i] = fit_optimally(d, loss, pow(10, i - 1) * 3, 0.5, 1e-14, 1e-7);
			fit_optimally(d, loss, pow(10, i - 1) * 3, 1, 1e-14, 1e-7);
		}
		assert_true(zeros[2] > zeros[0]);
		data_free(d);
	}
}

/* So strong a penalty that nothing is left but the mean, and the shares of the classes. */
static void
a_strong_penalty_leaves_the_intercept(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 200);
		Run r;

		run_init(&r);
		set(&r, "alpha", 1e6);
		set_word(&r, "penalty", "l1");
		set(&r, "tol", 1e-14);
		if (losses[loss].loss == PGML_LINEAR_POISSON)
			set_word(&r, "objective", "poisson");
		run_fit(&r, d);

		double *p = predict_all(&r, d);
		int k = pgml_task_outputs(d->set.task, d->set.n_classes);
		double mean = 0;

		for (int i = 0; i < 200; i++)
			mean += (k == 1 ? d->y[i] : d->y[i] == 0) / 200;
		for (int i = 0; i < 200; i++)
			assert_near(p[i * k], mean, 1e-6);
		free(p);
		run_done(&r);
		data_free(d);
	}
}

/* ---- many columns ---- */

/* More columns than are computed at once: the working set has to change. 1100 levels, of which 400 have three rows each. */
static void
working_sets_reach_the_minimum(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 1200);
		/* Classes that move one after the other creep at the end: each step gains next to nothing. */
		bool creeps = losses[loss].loss == PGML_LINEAR_SOFTMAX;

		make_category(d, 4, 1100);
		for (int i = 0; i < 1200; i++)
			d->col[4][i] = (float) (i * 7 % 400);
		fit_optimally(d, loss, 0.5, 1, creeps ? 1e-9 : 1e-14, creeps ? 1e-3 : 2e-6);
		data_free(d);
	}
}

/* ---- settings ---- */

static void
settings_that_do_not_go_together_are_refused(void **state)
{
	static const struct
	{
		PgmlTask task;
		const char *name;
		const char *word;
		const char *number; /* another setting, or NULL */
		double value;
		PgmlStatus status;
		const char *message;
	} cases[] = {
		{ PGML_TASK_BINARY, "objective", "poisson", NULL, 0, PGML_ERR_BADARG,
		  "objective \"poisson\" predicts numbers, the target has classes" },
		{ PGML_TASK_MULTICLASS, "objective", "squared", NULL, 0, PGML_ERR_BADARG,
		  "objective \"squared\" predicts numbers, the target has classes" },
		{ PGML_TASK_REGRESSION, "penalty", "l1", "l1_ratio", 0.5, PGML_ERR_BADARG,
		  "l1_ratio is a share of penalty \"elasticnet\", not of the penalty given" },
		{ PGML_TASK_REGRESSION, "penalty", "none", "alpha", 1, PGML_ERR_BADARG,
		  "alpha is the strength of a penalty, and penalty \"none\" has none" },
		{ PGML_TASK_REGRESSION, "objective", "poisson", NULL, 0, PGML_ERR_DATA,
		  "objective \"poisson\" needs a target without negative values" },
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Data *d = reference_data(cases[i].task, false);
		Run r;

		run_init(&r);
		d->y[3] = cases[i].status == PGML_ERR_DATA ? -1 : d->y[3];
		set_word(&r, cases[i].name, cases[i].word);
		if (cases[i].number != NULL)
			set(&r, cases[i].number, cases[i].value);
		assert_int_equal(learner->fit(&r.env, &d->set, &r.params, &r.fit), cases[i].status);
		assert_string_equal(r.err.message, cases[i].message);
		run_done(&r);
		data_free(d);
	}

	Data *zeros = data_new(5, 1, PGML_TASK_REGRESSION, 1);
	Run r;

	run_init(&r);
	set_word(&r, "objective", "poisson");
	assert_int_equal(learner->fit(&r.env, &zeros->set, &r.params, &r.fit), PGML_ERR_DATA);
	assert_string_equal(r.err.message,
						"objective \"poisson\" needs a target that is not 0 everywhere");
	run_done(&r);
	data_free(zeros);
}

/* The path of an L1 penalty begins without coefficients, and the penalty chosen is the best on the validation rows. */
static void
paths_are_chosen_by_validation(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 500);
		Run r;
		Rows s;

		hold_out(d, 350);
		run_init(&r);
		set_word(&r, "penalty", "l1");
		set(&r, "path_position", 1);
		if (losses[loss].loss == PGML_LINEAR_POISSON)
			set_word(&r, "objective", "poisson");
		run_fit(&r, d);
		rows_init(&s, &r, d, losses[loss].loss);
		take_coefficients(&s, &r);
		for (int64_t i = s.design.outputs; i < s.n_coefs; i++)
			assert_true(fabs(s.coef[i]) < 0.02); /* the intercept moves a little first */
		pgml_arena_destroy(s.arena);
		run_done(&r);

		run_init(&r);
		set_word(&r, "penalty", "l1");
		if (losses[loss].loss == PGML_LINEAR_POISSON)
			set_word(&r, "objective", "poisson");
		run_fit(&r, d);
		assert_in_range(r.fit.best_iteration, 2, 12);
		run_done(&r);
		data_free(d);
	}
}

/* ---- what every learner owes ---- */

/* Fit with an L1 penalty and check predictions. */
static void
fit_hard(Data *d, int loss)
{
	static const double ratios[] = { 1, 0.5, 0 };

	for (int i = 0; i < 3; i++)
		for (int free_of = 0; free_of < 2; free_of++)
		{
			Run r;

			run_init(&r);
			set(&r, "l1_ratio", ratios[i]);
			if (free_of)
				set(&r, "alpha", 1e-9);
			if (losses[loss].loss == PGML_LINEAR_POISSON)
				set_word(&r, "objective", "poisson");
			run_fit(&r, d);

			double *p = predict_all(&r, d);

			assert_sound(p, d);
			free(p);
			run_done(&r);
		}
}

static void
hard_inputs_stay_finite(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		PgmlTask task = losses[loss].task;
		int k = losses[loss].n_classes;
		Data *d = data_new(40, 8, task, k);
		Data *wide = data_new(6, 20, task, k);
		Data *one = data_new(k, 2, task, k);

		make_category(d, 7, 3);
		for (int i = 0; i < 40; i++)
		{
			d->col[0][i] = i % 2 == 0 ? FLT_MAX : -FLT_MAX;
			d->col[1][i] = i == 3 ? FLT_MAX : 0;
			d->col[2][i] = (float) i * FLT_TRUE_MIN;
			d->col[3][i] = 1e30f + (float) i * 1e25f;
			d->col[4][i] = 7;
			d->col[5][i] = (float) (i % 13); /* twice the same; it also separates the classes */
			d->col[6][i] = (float) (i % 13);
			d->col[7][i] = (float) (i % 2);
			d->w[i] = i % 5;
			d->y[i] = k == 1 ? (i % 13) * 1e290 : i % 13 * k / 13;
		}
		fit_hard(d, loss);
		for (int i = 0; i < 40 && k == 1; i++)
			d->y[i] = i % 13 * DBL_TRUE_MIN;
		fit_hard(d, loss);
		for (int i = 0; i < 6; i++)
		{
			for (int f = 0; f < 20; f++)
				wide->col[f][i] = (float) ((i + 2) * (f + 3) * 7 % 23);
			wide->y[i] = i % (k > 1 ? k : 5);
		}
		fit_hard(wide, loss);
		for (int i = 0; i < k; i++) /* a row a class */
		{
			one->col[0][i] = (float) i;
			one->y[i] = k == 1 ? 3 : i;
		}
		fit_hard(one, loss);
		data_free(d);
		data_free(wide);
		data_free(one);
	}
}

static void
threads_change_no_byte(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 5000);
		Run one;
		Run many;

		hold_out(d, 4000);
		for (int threads = 1; threads <= 3; threads += 2)
		{
			Run *r = threads == 1 ? &one : &many;

			run_init(r);
			set(r, "l1_ratio", 0.7);
			if (losses[loss].loss == PGML_LINEAR_POISSON)
				set_word(r, "objective", "poisson");
			r->env.pool = threads > 1 ? pgml_pool_create(threads) : NULL;
			run_fit(r, d);
			pgml_pool_destroy(r->env.pool);
		}
		assert_int_equal(one.fit.payload.len, many.fit.payload.len);
		assert_memory_equal(one.fit.payload.data, many.fit.payload.data, one.fit.payload.len);
		run_done(&one);
		run_done(&many);
		data_free(d);
	}
}

static void
memory_is_not_underestimated(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
		for (int large = 0; large < 2; large++)
		{
			Data *d = data_for(loss, large ? 5000 : 100);
			int64_t bytes, payload;
			Run r;

			if (large)
				make_category(d, 4, 1500);
			hold_out(d, d->set.n * 4 / 5);
			run_init(&r);
			set_word(&r, "penalty", "l1");
			if (losses[loss].loss == PGML_LINEAR_POISSON)
				set_word(&r, "objective", "poisson");
			run_fit(&r, d);
			bytes = learner->memory(&d->set, &r.params, &payload);
			assert_true(r.budget.peak <= bytes + payload);
			run_done(&r);
			data_free(d);
		}
}

/* A product that raises a flag, or lets the deadline pass, at its n-th call. */
static struct
{
	int calls;
	int at;
	_Atomic int stop;
	Run *late;
} interruption;

static void
interrupt(void)
{
	if (++interruption.calls != interruption.at)
		return;
	if (interruption.late != NULL)
		interruption.late->env.deadline = 1e-9;
	else
		interruption.stop = 1;
}

static void
interrupting_dgemv(int order, int trans, int m, int n, double alpha, const double *a, int lda,
				   const double *x, int incx, double beta, double *y, int incy)
{
	interrupt();
	loaded.dgemv(order, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}

static void
interrupting_dsyrk(int order, int uplo, int trans, int n, int k, double alpha, const double *a,
				   int lda, double beta, double *c, int ldc)
{
	interrupt();
	loaded.dsyrk(order, uplo, trans, n, k, alpha, a, lda, beta, c, ldc);
}

static void
interrupting_dpotrf(const char *uplo, const int *n, double *a, const int *lda, int *info)
{
	interrupt();
	loaded.dpotrf(uplo, n, a, lda, info);
}

/* A stop at any moment ends the fit as cancelled; a deadline gives a usable model. */
static void
ends_when_asked_to(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss += loss == 1 ? 2 : 1) /* softmax has other products */
		for (int late = 0; late < 2; late++)
		{
			Data *d = data_for(loss, 3000);
			PgmlBlas blas = loaded;
			bool reached = true;

			hold_out(d, 2500);
			blas.dgemv = interrupting_dgemv;
			blas.dsyrk = interrupting_dsyrk;
			blas.dpotrf = interrupting_dpotrf;
			d->set.blas = &blas;
			for (int at = 1; reached; at = at < 4 ? at + 1 : at * 3 / 2)
			{
				PgmlStatus status;
				Run r;

				run_init(&r);
				set_word(&r, "penalty", "l1");
				if (losses[loss].loss == PGML_LINEAR_POISSON)
					set_word(&r, "objective", "poisson");
				interruption.calls = 0;
				interruption.at = at;
				interruption.stop = 0;
				interruption.late = late ? &r : NULL;
				r.env.stop = &interruption.stop;
				status = learner->fit(&r.env, &d->set, &r.params, &r.fit);
				reached = interruption.calls >= at;
				assert_int_equal(status, reached && !late ? PGML_ERR_CANCELLED : PGML_OK);
				if (status == PGML_OK)
				{
					double *p = predict_all(&r, d);

					assert_true(!r.fit.out_of_time || (late && reached));
					assert_sound(p, d);
					free(p);
				}
				run_done(&r);
			}
			data_free(d);
		}
}

static void
survives_every_failed_allocation(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 100);
		PgmlStatus status = PGML_ERR_NOMEM;
		int at = 0;

		hold_out(d, 70);
		while (status != PGML_OK)
		{
			Run r;

			run_init(&r);
			set_word(&r, "penalty", "l1");
			if (losses[loss].loss == PGML_LINEAR_POISSON)
				set_word(&r, "objective", "poisson");
			r.budget.fail_at = ++at;
			status = learner->fit(&r.env, &d->set, &r.params, &r.fit);
			if (status != PGML_OK)
				assert_int_equal(r.err.status, status);
			run_done(&r);
			assert_true(at < 1000);
		}
		assert_true(at > 10);
		data_free(d);
	}
}

/* Only a regression's payload may say that scores are logarithms. */
static void
links_are_checked(void **state)
{
	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 100);
		bool regression = losses[loss].task == PGML_TASK_REGRESSION;
		PgmlLinearHeader *header;
		Run r;

		run_init(&r);
		run_fit(&r, d);
		header = (PgmlLinearHeader *) r.fit.payload.data;
		header->link = PGML_LINEAR_LINK_LOG;
		assert_int_equal(learner->verify(r.fit.payload.data, r.fit.payload.len, &d->shape, &r.err),
						 regression ? PGML_OK : PGML_ERR_CORRUPT);
		header->version = PGML_LINEAR_VERSION_NO_LINK;
		assert_int_equal(learner->verify(r.fit.payload.data, r.fit.payload.len, &d->shape, &r.err),
						 PGML_ERR_CORRUPT);
		header->link = 2;
		header->version = PGML_LINEAR_VERSION;
		assert_int_equal(learner->verify(r.fit.payload.data, r.fit.payload.len, &d->shape, &r.err),
						 PGML_ERR_CORRUPT);
		run_done(&r);
		data_free(d);
	}
}

/* Payloads of former versions, which have no link, and the first of them no means, predict the same. */
static void
former_forms_predict_the_same(void **state)
{
	Data *d = data_for(2, 100);
	PgmlLinearHeader *header;
	size_t means;
	double *now;
	Run r;

	(void) state;
	run_init(&r);
	run_fit(&r, d);
	now = predict_all(&r, d);
	header = (PgmlLinearHeader *) r.fit.payload.data;
	means = header->rows * sizeof(double);
	for (uint32_t version = 2; version >= 1; version--)
	{
		double *then;

		header->version = version;
		r.fit.payload.len -= version == 1 ? means : 0;
		assert_int_equal(learner->verify(r.fit.payload.data, r.fit.payload.len, &d->shape, &r.err),
						 PGML_OK);
		then = predict_all(&r, d);
		assert_memory_equal(now, then, 300 * sizeof(double));
		free(then);
	}
	free(now);
	run_done(&r);
	data_free(d);
}

/* A row's score, from terms. */
typedef struct Sum
{
	const Data *d;
	const double *center;
	int64_t row;
	double score[3];
} Sum;

static void
add_term(void *arg, const PgmlLinearTerm *term)
{
	Sum *s = arg;
	double v = 0;
	double times = 1;

	if (term->feature >= 0)
		v = s->d->col[term->feature][s->row] + s->center[term->feature];
	if (term->kind == PGML_TERM_MISSING)
		times = isnan(v);
	else if (term->kind == PGML_TERM_LEVEL)
		times = v == term->level;
	else if (isnan(v))
		times = 0;
	else if (term->kind != PGML_TERM_INTERCEPT)
	{
		v = fmin(fmax(v, term->low), term->high);
		times = v;
		if (term->kind == PGML_TERM_LOG)
			times = copysign(log1p(fabs(v - term->center) / term->unit), v - term->center);
	}
	s->score[term->output] += times * term->coefficient;
}

/* The formula on the scale of the columns is the prediction. */
static void
terms_make_scores(void **state)
{
	static const double center[5] = { 7, -3, 1000, 0, 0 };

	(void) state;
	for (int loss = 0; loss < 4; loss++)
	{
		Data *d = data_for(loss, 200);
		double *p;
		Run r;

		run_init(&r);
		if (losses[loss].loss == PGML_LINEAR_POISSON)
			set_word(&r, "objective", "poisson");
		run_fit(&r, d);
		p = predict_all(&r, d);
		assert_true(pgml_linear_is_log(r.fit.payload.data) ==
					(losses[loss].loss == PGML_LINEAR_POISSON));
		for (int64_t i = 0; i < 200; i++)
		{
			Sum s = { .d = d, .center = center, .row = i };
			double value;

			pgml_linear_terms(r.fit.payload.data, center, add_term, &s);
			value = s.score[0];
			if (losses[loss].loss == PGML_LINEAR_POISSON)
				value = exp(value);
			else if (losses[loss].loss == PGML_LINEAR_LOGISTIC)
				value = 1 / (1 + exp(-value));
			else if (losses[loss].loss == PGML_LINEAR_SOFTMAX)
				value = exp(s.score[0]) / (exp(s.score[0]) + exp(s.score[1]) + exp(s.score[2]));
			assert_near(value / p[i * (losses[loss].loss == PGML_LINEAR_SOFTMAX ? 3 : 1)], 1, 1e-9);
		}
		free(p);
		run_done(&r);
		data_free(d);
	}
}

/* Contributions to counts are those to the logarithm: with the base they add up to it. */
static void
counts_are_explained_by_their_logarithm(void **state)
{
	Data *d = data_for(3, 50);
	float *x = malloc(5 * 50 * sizeof(float));
	double phi[5 * 50] = { 0 };
	double base;
	double *p;
	Run r;

	(void) state;
	run_init(&r);
	set_word(&r, "objective", "poisson");
	run_fit(&r, d);
	p = predict_all(&r, d);
	for (int f = 0; f < 5; f++)
		memcpy(x + f * 50, d->col[f], 50 * sizeof(float));
	assert_int_equal(learner->contributions(&r.env, r.fit.payload.data, &d->shape,
											&(PgmlBlock){ x, 50, 50 }, 0, 1, &base, phi, 50),
					 PGML_OK);
	for (int i = 0; i < 50; i++)
	{
		double sum = base;

		for (int f = 0; f < 5; f++)
			sum += phi[f * 50 + i];
		assert_near(sum, log(p[i]), 1e-12);
	}
	free(x);
	free(p);
	run_done(&r);
	data_free(d);
}

int
test_linear_penalties(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lasso_by_hand),
		cmocka_unit_test(counts_by_hand),
		cmocka_unit_test(objectives_equal_scikit_learns),
		cmocka_unit_test(derivatives_are_those_of_differences),
		cmocka_unit_test(minima_meet_their_conditions),
		cmocka_unit_test(a_strong_penalty_leaves_the_intercept),
		cmocka_unit_test(working_sets_reach_the_minimum),
		cmocka_unit_test(settings_that_do_not_go_together_are_refused),
		cmocka_unit_test(paths_are_chosen_by_validation),
		cmocka_unit_test(hard_inputs_stay_finite),
		cmocka_unit_test(threads_change_no_byte),
		cmocka_unit_test(memory_is_not_underestimated),
		cmocka_unit_test(ends_when_asked_to),
		cmocka_unit_test(survives_every_failed_allocation),
		cmocka_unit_test(links_are_checked),
		cmocka_unit_test(former_forms_predict_the_same),
		cmocka_unit_test(counts_are_explained_by_their_logarithm),
		cmocka_unit_test(terms_make_scores),
	};

	return cmocka_run_group_tests_name("linear_penalties", tests, load_blas, NULL);
}
