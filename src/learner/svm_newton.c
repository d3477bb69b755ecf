/*
 * svm_newton.c - the linear solver for not too many columns: Newton's method in the primal (Keerthi and DeCoste 2005; Chapelle
 * 2007), for losses that are not squared within an augmented Lagrangian method (Hestenes 1969; Yan and Li 2020).
 *
 * The objective is  1/2 |w|^2 + sum of m_i(f_i), where m_i is a function of the row's score f_i in pieces that are quadratic or
 * straight.  While no row changes to another piece a step ends at the minimum; a few steps find the right pieces.  The matrix of
 * second derivatives changes only by rows that enter or leave a quadratic piece.
 *
 *   squared losses   m_i = c_i e_i^2, where e_i is how far the row is on the wrong side of its margin
 *   others           m_i(f) = min over z of loss_i(z) + s_i / 2 (z - f + beta_i / s_i)^2: the kink of the loss is a parabola of
 *                    width 1 / kappa then, s_i = kappa c_i.  At the minimum the slope of -m_i is a better beta_i; with it the next round begins,
 *                    with a narrower parabola
 */
#include "core/clock.h"
#include "learner/svm.h"

#define ABREAST    64 /* rows that are added to the matrix together */
#define POLL_WORK  4000000
#define POLL_ROWS  65536
#define MOST_STEPS 200
#define HALVINGS   30
#define LEAST      1e-13 /* pivot, of its diagonal */

/* More columns are not factored in one call, which would take too long to be stopped. */
#define FACTOR_COLUMNS 1000
#define NARROWER       4.0 /* kappa from round to round */
#define ROUNDS         20

/* Times tol, of the objective: steps end when it would fall by no more than the first, rounds when it has changed by no more than the second. */
#define STEP_GAIN  1e-4
#define ROUND_GAIN 1e-2

typedef struct Newton
{
	const PgmlEnv *env;
	const PgmlSvmLinear *problem;
	int64_t n, columns;
	double *w, *step;
	double *score;  /* of each row: w x */
	double *change; /* of the scores by the whole step */
	bool *curved;   /* rows that are in the matrix */
	double *matrix; /* columns x columns, lower triangle; without the identity */
	double *factor;
	double *some; /* ABREAST rows, ones and numbers, times the roots of their weights */
	int n_some;
	double *beta; /* NULL: the loss is squared */
	double kappa;
	double objective; /* the true one, after the round before */
	int64_t steps;
	int64_t work; /* since the stop flag was looked at */
	bool late;
} Newton;

/* ---- the functions of the rows ---- */

/* m_i at a score. */
typedef struct Piece
{
	double value;
	double force; /* the negative slope */
	bool curved;
} Piece;

/* How far a row with that score is on the wrong side, with its sign. */
static double
excess(const PgmlSvmLinear *problem, int64_t i, double score)
{
	double e = problem->y[i] - score;

	if (problem->loss == PGML_SVM_SQUARED_HINGE || problem->loss == PGML_SVM_HINGE)
		return problem->y[i] * score < 1 ? e : 0;
	if (e > problem->epsilon)
		return e - problem->epsilon;
	return e < -problem->epsilon ? e + problem->epsilon : 0;
}

/* A row of a loss that is not squared: the force is what the kink would need, within the slopes of the loss. */
static Piece
smooth_piece(const Newton *s, int64_t i, double score)
{
	const PgmlSvmLinear *problem = s->problem;
	bool class = problem->loss == PGML_SVM_HINGE;
	double c = problem->c[i];
	double sigma = s->kappa * c;
	double low = class && problem->y[i] > 0 ? 0 : -c;
	double high = class && problem->y[i] < 0 ? 0 : c;
	double epsilon = class ? 0 : sigma * problem->epsilon;
	double force = sigma * (problem->y[i] - score) + s->beta[i];
	Piece piece;

	force = force > epsilon ? force - epsilon : (force < -epsilon ? force + epsilon : 0);
	piece.curved = force > low && force < high && force != 0;
	piece.force = fmin(fmax(force, low), high);
	piece.value = c * fabs(excess(problem, i, score + (piece.force - s->beta[i]) / sigma)) +
				  piece.force * piece.force / (2 * sigma);
	return piece;
}

static Piece
piece_at(const Newton *s, int64_t i, double score)
{
	double c = s->problem->c[i], e;

	if (s->beta != NULL)
		return smooth_piece(s, i, score);
	e = excess(s->problem, i, score);
	return (Piece){ c * e * e, 2 * c * e, e != 0 };
}

/* Count work; sets late at the deadline. PGML_ERR_CANCELLED when stopped. */
static PgmlStatus
poll(Newton *s, int64_t work)
{
	s->work += work;
	if (s->work < POLL_WORK)
		return PGML_OK;
	s->work = 0;
	if (pgml_stopped(s->env))
		return pgml_fail_cancelled(s->env);
	s->late |= pgml_out_of_time(s->env);
	return PGML_OK;
}

/* ---- the matrix ---- */

/* Add the rows that wait, or take them off, as far as ones and numbers go. */
static void
flush_rows(Newton *s, double sign)
{
	int width = s->problem->rows->numbers + 1;

	if (s->n_some > 0)
		s->problem->blas->dsyrk(PGML_ROW_MAJOR, PGML_LOWER, PGML_TRANS, width, s->n_some, sign,
								s->some, width, 1, s->matrix, (int) s->columns);
	s->n_some = 0;
}

/* matrix += sign * weight * row row' */
static void
add_product(Newton *s, int64_t i, double weight, double sign)
{
	const PgmlSvmRows *rows = s->problem->rows;
	int64_t row = s->problem->row[i];
	int64_t width = rows->numbers + 1;
	const int32_t *level = rows->level + row * rows->codes;
	double *x = s->some + s->n_some * width;
	double root = sqrt(weight);

	x[0] = root;
	for (int f = 0; f < rows->numbers; f++)
		x[f + 1] = root * (double) rows->number[row * rows->numbers + f];
	for (int a = 0; a < rows->codes; a++)
	{
		double *line = s->matrix + level[a] * s->columns;

		pgml_svm_add_line(width, sign * root, x, line);
		for (int b = 0; b <= a; b++)
			line[level[b]] += sign * weight; /* columns of later codes are greater */
	}
	if (++s->n_some == ABREAST)
		flush_rows(s, sign);
}

/* Add the rows that are curved and not in the matrix, or take off those that are in it and not curved. */
static PgmlStatus
change_rows(Newton *s, bool enter)
{
	double sign = enter ? 1 : -1;
	double factor = s->beta != NULL ? s->kappa : 2;

	for (int64_t i = 0; i < s->n && !s->late; i++)
	{
		if (i % POLL_ROWS == 0)
			PGML_TRY(poll(s, 10 * POLL_ROWS));
		if (s->curved[i] == enter || piece_at(s, i, s->score[i]).curved != enter)
			continue;
		PGML_TRY(poll(s, s->columns * s->columns / 16 + s->columns));
		add_product(s, i, factor * s->problem->c[i], sign);
		s->curved[i] = enter;
	}
	flush_rows(s, sign);
	return PGML_OK;
}

/* Make the matrix that of the rows that are curved now. */
static PgmlStatus
update_matrix(Newton *s)
{
	int64_t n_changes = 0, n_curved = 0;

	for (int64_t i = 0; i < s->n; i++)
	{
		bool curved = piece_at(s, i, s->score[i]).curved;

		if (i % POLL_ROWS == 0)
			PGML_TRY(poll(s, 10 * POLL_ROWS));
		n_changes += curved != s->curved[i];
		n_curved += curved;
	}
	if (n_changes > n_curved) /* anew */
	{
		memset(s->matrix, 0, (size_t) (s->columns * s->columns) * sizeof(double));
		memset(s->curved, 0, (size_t) s->n * sizeof(bool));
	}
	PGML_TRY(change_rows(s, true));
	return change_rows(s, false);
}

/* ---- steps ---- */

/* sum += factor * row */
static void
add_row(const PgmlSvmRows *rows, int64_t row, double factor, double *sum)
{
	const float *x = rows->number + row * rows->numbers;
	const int32_t *level = rows->level + row * rows->codes;

	sum[0] += factor;
	for (int f = 0; f < rows->numbers; f++)
		sum[f + 1] += factor * (double) x[f];
	for (int c = 0; c < rows->codes; c++)
		sum[level[c]] += factor;
}

/* The objective at w + t * step. */
static PgmlStatus
objective_at(Newton *s, double t, double *value)
{
	double sum = 0, square = 0;

	for (int64_t i = 0; i < s->n; i++)
	{
		if (i % POLL_ROWS == 0)
			PGML_TRY(poll(s, 10 * POLL_ROWS));
		sum += piece_at(s, i, s->score[i] + t * s->change[i]).value;
	}
	for (int64_t j = 0; j < s->columns; j++)
	{
		double v = s->w[j] + t * s->step[j];

		square += v * v;
	}
	*value = square / 2 + sum;
	return PGML_OK;
}

/* The matrix and the identity, where they will be factored. */
static void
set_system(Newton *s)
{
	memcpy(s->factor, s->matrix, (size_t) (s->columns * s->columns) * sizeof(double));
	for (int64_t j = 0; j < s->columns; j++)
		s->factor[j * s->columns + j] += 1;
}

/* Cholesky factor of the system: by OpenBLAS, unless that takes too long to be stopped, or rounding makes it fail. */
static PgmlStatus
factorise(Newton *s)
{
	int n = (int) s->columns;
	int info = 1;

	set_system(s);
	/* The lower triangle in row-major order is the upper one in LAPACK's. */
	if (n <= FACTOR_COLUMNS)
		s->problem->blas->dpotrf("U", &n, s->factor, &n, &info);
	if (info == 0)
		return PGML_OK;
	set_system(s);
	return pgml_svm_factorise(s->env, s->columns, LEAST, s->factor);
}

/* Newton's step into s->step, and the slope of the objective along it. */
static PgmlStatus
find_step(Newton *s, double *slope)
{
	double *down = s->step; /* the negative gradient at first */
	double *gradient = s->factor + s->columns * s->columns;

	for (int64_t j = 0; j < s->columns; j++)
		down[j] = -s->w[j];
	for (int64_t i = 0; i < s->n && !s->late; i++)
	{
		double force = piece_at(s, i, s->score[i]).force;

		PGML_TRY(poll(s, s->columns + 10));
		if (force != 0)
			add_row(s->problem->rows, s->problem->row[i], force, down);
	}
	memcpy(gradient, down, (size_t) s->columns * sizeof(double));
	PGML_TRY(factorise(s));
	pgml_svm_solve(s->columns, s->factor, s->step);
	*slope = -pgml_svm_dot(s->columns, gradient, s->step);
	return PGML_OK;
}

/* Go as far along the step as the objective falls; *went is false when it does not. */
static PgmlStatus
walk(Newton *s, double now, double slope, double *then, bool *went)
{
	double t = 1;
	int halving = 0;

	for (; halving < HALVINGS; halving++, t /= 2)
	{
		PGML_TRY(objective_at(s, t, then));
		if (*then <= now + 0.01 * t * slope)
			break;
	}
	*went = halving < HALVINGS;
	if (!*went)
		return PGML_OK;
	for (int64_t j = 0; j < s->columns; j++)
		s->w[j] += t * s->step[j];
	for (int64_t i = 0; i < s->n; i++)
		s->score[i] += t * s->change[i];
	return PGML_OK;
}

/* Steps to the minimum, or to where they must end. */
static PgmlStatus
minimise(Newton *s)
{
	const PgmlSvmLinear *problem = s->problem;
	double now;

	PGML_TRY(objective_at(s, 0, &now));
	for (int step = 0; step < MOST_STEPS && s->steps < problem->max_iter; step++, s->steps++)
	{
		double slope = 0;
		bool went;

		PGML_TRY(update_matrix(s));
		if (!s->late)
			PGML_TRY(find_step(s, &slope));
		s->late = pgml_clock_ends(s->env, s->late);
		if (s->late || !(-slope / 2 > STEP_GAIN * problem->tol * now))
			break;
		for (int64_t i = 0; i < s->n; i++)
		{
			PGML_TRY(poll(s, s->columns + 10));
			s->change[i] = pgml_svm_score(problem->rows, s->step, problem->row[i]);
		}
		PGML_TRY(walk(s, now, slope, &now, &went));
		if (!went)
			break;
	}
	return PGML_OK;
}

/* ---- losses that are not squared ---- */

/* beta becomes the forces; whether the objective, of the true loss, is what it was after the round before. */
static bool
take_forces(Newton *s)
{
	const PgmlSvmLinear *problem = s->problem;
	double objective = pgml_svm_dot(s->columns, s->w, s->w) / 2;
	double change;

	for (int64_t i = 0; i < s->n; i++)
	{
		s->beta[i] = piece_at(s, i, s->score[i]).force;
		objective += problem->c[i] * fabs(excess(problem, i, s->score[i]));
	}
	change = fabs(s->objective - objective);
	s->objective = objective;
	return change <= ROUND_GAIN * problem->tol * objective;
}

static PgmlStatus
descend(Newton *s)
{
	if (s->beta == NULL)
	{
		PGML_TRY(minimise(s));
		/* The last walk may have met the deadline, which decides whether a fold is used for probabilities. */
		s->late = pgml_clock_ends(s->env, s->late);
		return PGML_OK;
	}
	s->objective = INFINITY;
	for (int round = 0; round < ROUNDS && s->steps < s->problem->max_iter; round++)
	{
		s->kappa = round == 0 ? 1 : s->kappa * NARROWER;
		memset(s->curved, 0, (size_t) s->n * sizeof(bool)); /* all weights have changed */
		memset(s->matrix, 0, (size_t) (s->columns * s->columns) * sizeof(double));
		PGML_TRY(minimise(s));
		s->late = pgml_clock_ends(s->env, s->late);
		if (s->late || take_forces(s))
			break;
	}
	return PGML_OK;
}

PgmlStatus
pgml_svm_newton(const PgmlEnv *env, PgmlArena *arena, const PgmlSvmLinear *problem, double *w,
				int64_t *steps, bool *late)
{
	Newton s = { .env = env, .problem = problem, .n = problem->n, .w = w };
	size_t n = (size_t) problem->n + 1;
	size_t columns = (size_t) problem->rows->columns;
	bool squared =
		problem->loss == PGML_SVM_SQUARED_HINGE || problem->loss == PGML_SVM_SQUARED_INSENSITIVE;

	s.columns = (int64_t) columns;
	s.step = pgml_zalloc(arena, columns, sizeof(double));
	s.score = pgml_zalloc(arena, n, sizeof(double));
	s.change = pgml_zalloc(arena, n, sizeof(double));
	s.curved = pgml_zalloc(arena, n, sizeof(bool));
	s.beta = squared ? NULL : pgml_zalloc(arena, n, sizeof(double));
	s.matrix = pgml_zalloc(arena, columns * columns, sizeof(double));
	s.factor = pgml_array(arena, (columns + 1) * columns, sizeof(double));
	s.some = pgml_array(arena, ABREAST * ((size_t) problem->rows->numbers + 1), sizeof(double));
	if (s.step == NULL || s.score == NULL || s.change == NULL || s.curved == NULL ||
		(!squared && s.beta == NULL) || s.matrix == NULL || s.factor == NULL || s.some == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	memset(w, 0, columns * sizeof(double));
	PGML_TRY(descend(&s));
	*late = s.late;
	if (steps != NULL)
		*steps = s.steps;
	return PGML_OK;
}

int64_t
pgml_svm_newton_memory(int64_t n, int64_t columns)
{
	return n * (int64_t) (3 * sizeof(double) + sizeof(bool)) +
		   (2 * columns + ABREAST + 3) * columns * (int64_t) sizeof(double) + 64;
}
