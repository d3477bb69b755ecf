/*
 * svm_smo.c - the exact solver: sequential minimal optimisation with second-order choice of the working set (Fan, Chen and Lin
 * 2005), shrinking and a cache of kernel columns, as in libsvm (Chang and Lin 2011).
 *
 * Two coefficients move at a time, against each other, so that their sum stays.  With the gradient g of the smooth part of
 * the objective, row i may go up if beta_i < high_i, at the price g_i + up_i, and down if beta_i > low_i, at g_i + down_i,
 * where up_i and down_i are epsilon with the sign of the slope of epsilon |beta| on that side (infinite where the bound
 * forbids it).  The solution is reached when no row is more eager to go up than another is to go down.  A step ends at the
 * latest where one of the two changes its sign, since the slope changes there.
 *
 * Rows that sit at a bound and are far from leaving it are set aside: the rows at work are the first `active` ones.
 */
#include "core/clock.h"
#include "learner/svm.h"

#define TINY          1e-12 /* curvature of a pair of equal points */
#define POLL_WORK     4000000
#define SHRINK_PERIOD 1000
#define LANES         8

typedef double Lanes __attribute__((vector_size(64)));
typedef int64_t Ints __attribute__((vector_size(64)));
typedef float Narrow __attribute__((vector_size(32)));

typedef struct Smo
{
	const PgmlEnv *env;
	PgmlSvmProblem *problem;
	PgmlSvmPoints *points;
	PgmlSvmCache cache;
	int64_t n, active;
	double *beta, *gradient, *p, *low, *high;
	double *up, *down; /* see above */
	int32_t *row;      /* where each row was at first */
	int32_t (*pair)[2];
	float *x; /* a point */
	bool unshrunk;
	int64_t work; /* since the stop flag was looked at */
	bool late;
} Smo;

/* A choice: the row and how eager it is. */
typedef struct Choice
{
	int64_t at;
	double value;
} Choice;

/* ---- arrays ---- */

/* Prices of going up and down from where beta is. */
static void
set_prices(Smo *s, int64_t i)
{
	double epsilon = s->problem->epsilon;

	s->up[i] = s->beta[i] >= s->high[i] ? INFINITY : (s->beta[i] >= 0 ? epsilon : -epsilon);
	s->down[i] = s->beta[i] <= s->low[i] ? -INFINITY : (s->beta[i] > 0 ? epsilon : -epsilon);
}

static PgmlStatus
allocate(Smo *s, PgmlArena *arena)
{
	size_t n = (size_t) s->n;
	double **arrays[] = { &s->beta, &s->gradient, &s->p, &s->low, &s->high, &s->up, &s->down };
	bool failed = false;

	for (size_t a = 0; a < sizeof(arrays) / sizeof(arrays[0]); a++)
	{
		*arrays[a] = pgml_array(arena, n, sizeof(double));
		failed |= *arrays[a] == NULL;
	}
	s->row = pgml_array(arena, n, sizeof(int32_t));
	s->pair = pgml_array(arena, n, sizeof(int32_t[2]));
	s->x = pgml_array(arena, (size_t) (s->points->numbers + s->points->codes) + 1, sizeof(float));
	if (failed || s->row == NULL || s->pair == NULL || s->x == NULL)
		return pgml_fail_nomem(s->env, "learner \"svm\"");
	return pgml_svm_cache(s->env, arena, s->n, s->problem->cache_bytes, &s->cache);
}

int64_t
pgml_svm_smo_memory(int64_t n, int64_t cache_bytes)
{
	return n * (int64_t) (7 * sizeof(double) + 3 * sizeof(int32_t)) +
		   pgml_svm_cache_memory(n, cache_bytes);
}

static void
start(Smo *s)
{
	const PgmlSvmProblem *problem = s->problem;

	s->active = s->n;
	for (int64_t i = 0; i < s->n; i++)
	{
		s->row[i] = (int32_t) i;
		s->p[i] = s->gradient[i] = problem->p[i];
		s->low[i] = problem->low[i];
		s->high[i] = problem->high[i];
		s->beta[i] = 0;
		set_prices(s, i);
	}
}

/* Count work; sets late at the deadline. PGML_ERR_CANCELLED when stopped. */
static PgmlStatus
poll(Smo *s, int64_t work)
{
	s->work += work;
	if (s->work < POLL_WORK)
		return PGML_OK;
	s->work = 0;
	if (pgml_stopped(s->env))
		return pgml_fail_cancelled(s->env);
	s->late = pgml_out_of_time(s->env);
	return PGML_OK;
}

/* Column i of the kernel matrix for the active rows. */
static const float *
column(Smo *s, int64_t i)
{
	int64_t len;
	float *k = pgml_svm_cache_get(&s->cache, i, s->active, &len);

	if (len < s->active)
	{
		int64_t first = len / PGML_SVM_TILE;
		int64_t n_tiles = pgml_svm_tiles(s->active) - first;

		pgml_svm_get_point(s->points, i, s->x);
		pgml_svm_kernel_row(s->points, s->problem->gamma, s->x, first, n_tiles,
							k + first * PGML_SVM_TILE);
		s->work += n_tiles * (s->points->numbers + s->points->codes + 4) * 4;
	}
	return k;
}

/* ---- the choice of the pair ---- */

/* Lanes of *to become those of *from where the mask is set. (Vectors by address: how they are passed depends on the processor.) */
static inline void
replace(const Ints *mask, const Lanes *from, Lanes *to)
{
	*to = (Lanes) ((*mask & (Ints) *from) | (~*mask & (Ints) *to));
}

/* The best of all lanes; of equal ones the first row. */
static Choice
best_lane(const Lanes *value, const Ints *at)
{
	Choice best = { (*at)[0], (*value)[0] };

	for (int l = 1; l < LANES; l++)
		if ((*value)[l] > best.value || ((*value)[l] == best.value && (*at)[l] < best.at))
			best = (Choice){ (*at)[l], (*value)[l] };
	return best;
}

/* gradient[i] += step * (a[i] - b[i]) for n rows; the row that is most eager to go up then, at -1 when none may. */
PGML_CLONES static Choice
move_and_choose_up(int64_t n, double step, const float *a, const float *b, double *gradient,
				   const double *up)
{
	Lanes most = (Lanes){ 0 } - INFINITY;
	Ints at = (Ints){ 0 } - 1;
	Ints here = { 0, 1, 2, 3, 4, 5, 6, 7 };
	Choice best;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES, here += LANES)
	{
		Narrow ka, kb;
		Lanes g, u;

		memcpy(&ka, a + i, sizeof(ka));
		memcpy(&kb, b + i, sizeof(kb));
		memcpy(&g, gradient + i, sizeof(g));
		memcpy(&u, up + i, sizeof(u));
		g += step * (__builtin_convertvector(ka, Lanes) - __builtin_convertvector(kb, Lanes));
		memcpy(gradient + i, &g, sizeof(g));
		u = -(g + u);

		Ints better = u > most;

		replace(&better, &u, &most);
		at = (better & here) | (~better & at);
	}
	best = best_lane(&most, &at);
	for (; i < n; i++)
	{
		gradient[i] += step * ((double) a[i] - (double) b[i]);
		if (-(gradient[i] + up[i]) > best.value)
			best = (Choice){ i, -(gradient[i] + up[i]) };
	}
	return best;
}

/*
 * The row that gains most by going down while the one of column k, which is eager by `most`, goes up; at -1 when none
 * gains.  *least is set to the least eagerness of all rows that may go down.
 */
PGML_CLONES static Choice
choose_down(int64_t n, double most, const float *k, const double *gradient, const double *down,
			double *least)
{
	Lanes gain = { 0 };
	Lanes lowest = (Lanes){ 0 } + INFINITY;
	const Lanes tiny = (Lanes){ 0 } + TINY;
	Ints at = (Ints){ 0 } - 1;
	Ints here = { 0, 1, 2, 3, 4, 5, 6, 7 };
	Choice best;
	int64_t i = 0;

	for (; i + LANES <= n; i += LANES, here += LANES)
	{
		Narrow kn;
		Lanes g, d;

		memcpy(&kn, k + i, sizeof(kn));
		memcpy(&g, gradient + i, sizeof(g));
		memcpy(&d, down + i, sizeof(d));

		Lanes value = -(g + d);
		Lanes curve = 2.0 - 2.0 * __builtin_convertvector(kn, Lanes);
		Lanes b = most - value;

		Ints lower = value < lowest;
		Ints flat = curve < TINY;

		replace(&lower, &value, &lowest);
		replace(&flat, &tiny, &curve);

		Lanes gained = b * b / curve;
		Ints better = (b > 0.0) & (gained > gain);

		replace(&better, &gained, &gain);
		at = (better & here) | (~better & at);
	}
	best = best_lane(&gain, &at);
	if (best.value == 0)
		best.at = -1;
	*least = INFINITY;
	for (int l = 0; l < LANES; l++)
		*least = lowest[l] < *least ? lowest[l] : *least;
	for (; i < n; i++)
	{
		double value = -(gradient[i] + down[i]);
		double curve = 2.0 - 2.0 * (double) k[i];
		double b = most - value;
		double gained = b * b / (curve > TINY ? curve : TINY);

		*least = value < *least ? value : *least;
		if (b > 0 && gained > best.value)
			best = (Choice){ i, gained };
	}
	return best;
}

/* How far the pair may go: to a bound of either, or to where either changes its sign. */
static double
longest_step(const Smo *s, int64_t i, int64_t j)
{
	bool kinks = s->problem->epsilon > 0;
	double up = (kinks && s->beta[i] < 0 ? 0 : s->high[i]) - s->beta[i];
	double down = s->beta[j] - (kinks && s->beta[j] > 0 ? 0 : s->low[j]);

	return up < down ? up : down;
}

/* beta[i] += step and beta[j] -= step; what reaches a bound or zero is exactly there. */
static void
move_pair(Smo *s, int64_t i, int64_t j, double step, double longest)
{
	bool kinks = s->problem->epsilon > 0;
	double up = kinks && s->beta[i] < 0 ? 0 : s->high[i];
	double down = kinks && s->beta[j] > 0 ? 0 : s->low[j];
	bool i_ends = step >= longest && up - s->beta[i] <= longest;
	bool j_ends = step >= longest && s->beta[j] - down <= longest;

	s->beta[i] = i_ends ? up : s->beta[i] + step;
	s->beta[j] = j_ends ? down : s->beta[j] - step;
	set_prices(s, i);
	set_prices(s, j);
}

/* ---- shrinking ---- */

/* Swap the rows of the pairs in all arrays. */
static void
swap_rows(Smo *s, int64_t n_pairs)
{
	double *arrays[] = { s->beta, s->gradient, s->p, s->low, s->high, s->up, s->down };

	for (int64_t k = 0; k < n_pairs; k++)
	{
		int32_t i = s->pair[k][0];
		int32_t j = s->pair[k][1];
		int32_t row = s->row[i];

		for (size_t a = 0; a < sizeof(arrays) / sizeof(arrays[0]); a++)
		{
			double v = arrays[a][i];

			arrays[a][i] = arrays[a][j];
			arrays[a][j] = v;
		}
		s->row[i] = s->row[j];
		s->row[j] = row;
		pgml_svm_swap_points(s->points, i, j);
	}
	pgml_svm_cache_swap(s->env, &s->cache, (const int32_t(*)[2]) s->pair, n_pairs);
}

/* A row that no pair would be made with, now that the most eager rows are known. */
static bool
is_idle(const Smo *s, int64_t i, double most, double least)
{
	return -(s->gradient[i] + s->up[i]) < least && -(s->gradient[i] + s->down[i]) > most;
}

/* Set idle rows aside, behind the active ones. */
static void
shrink(Smo *s, double most, double least)
{
	int64_t n_pairs = 0;

	for (int64_t i = 0; i < s->active; i++)
	{
		if (!is_idle(s, i, most, least))
			continue;
		s->active--;
		while (s->active > i && is_idle(s, s->active, most, least))
			s->active--;
		if (s->active > i)
		{
			s->pair[n_pairs][0] = (int32_t) i;
			s->pair[n_pairs++][1] = (int32_t) s->active;
		}
	}
	swap_rows(s, n_pairs);
	pgml_svm_cache_narrow(&s->cache, s->active);
}

/* gradient[i] += beta * k[i] */
PGML_CLONES static void
add_column(int64_t n, double beta, const float *k, double *gradient)
{
	for (int64_t i = 0; i < n; i++)
		gradient[i] += beta * (double) k[i];
}

/* All rows are active again; gradients of those set aside are computed anew. */
static PgmlStatus
unshrink(Smo *s)
{
	int64_t first = s->active / PGML_SVM_TILE;
	int64_t n_tiles = pgml_svm_tiles(s->n) - first;
	int64_t from = s->active;

	s->active = s->n;
	pgml_svm_cache_reset(&s->cache);
	if (from == s->n)
		return PGML_OK;

	float *k = s->cache.pool; /* nobody's column yet */

	memcpy(s->gradient + from, s->p + from, (size_t) (s->n - from) * sizeof(double));
	for (int64_t i = 0; i < s->n; i++)
	{
		if (s->beta[i] == 0)
			continue;
		pgml_svm_get_point(s->points, i, s->x);
		pgml_svm_kernel_row(s->points, s->problem->gamma, s->x, first, n_tiles, k);
		add_column(s->n - from, s->beta[i], k + from - first * PGML_SVM_TILE, s->gradient + from);
		PGML_TRY(poll(s, n_tiles * (s->points->numbers + s->points->codes + 4) * 4));
	}
	return PGML_OK;
}

/* ---- the loop ---- */

/* Where the most eager rows are, over all active ones. */
static Choice
choose_up(const Smo *s)
{
	Choice best = { -1, -INFINITY };

	for (int64_t i = 0; i < s->active; i++)
		if (-(s->gradient[i] + s->up[i]) > best.value)
			best = (Choice){ i, -(s->gradient[i] + s->up[i]) };
	return best;
}

static double
find_least(const Smo *s)
{
	double least = INFINITY;

	for (int64_t i = 0; i < s->active; i++)
		least = fmin(least, -(s->gradient[i] + s->down[i]));
	return least;
}

/* Move the pair (i, j) as far as it gains, and choose the next row to go up. */
static Choice
step_pair(Smo *s, int64_t i, int64_t j, const float *ki)
{
	double eager = (s->gradient[j] + s->down[j]) - (s->gradient[i] + s->up[i]);
	double curve = 2.0 - 2.0 * (double) ki[j];
	double longest = longest_step(s, i, j);
	double step = eager / (curve > TINY ? curve : TINY);
	const float *kj = column(s, j);

	step = step < longest ? step : longest;
	move_pair(s, i, j, step, longest);
	return move_and_choose_up(s->active, step, ki, kj, s->gradient, s->up);
}

/* Shrink now and then, unshrink once when the end is near. */
static PgmlStatus
maybe_shrink(Smo *s, Choice *up)
{
	double least = find_least(s);

	if (!s->unshrunk && up->value - least <= 10 * s->problem->tol)
	{
		s->unshrunk = true;
		PGML_TRY(unshrink(s));
		*up = choose_up(s);
		least = find_least(s);
	}
	shrink(s, up->value, least);
	*up = choose_up(s);
	return PGML_OK;
}

static PgmlStatus
iterate(Smo *s, PgmlSvmSolution *solution)
{
	int64_t period = s->n < SHRINK_PERIOD ? s->n : SHRINK_PERIOD;
	int64_t countdown = period;
	Choice up = choose_up(s);
	int64_t iteration = 0;

	for (;; iteration++)
	{
		Choice down = { -1, 0 };
		const float *k = NULL;
		double least = INFINITY;

		PGML_TRY(poll(s, s->active));
		s->late = pgml_clock_ends(s->env, s->late);
		if (s->late || (s->problem->max_iter > 0 && iteration >= s->problem->max_iter))
			break;
		if (up.at >= 0)
		{
			k = column(s, up.at);
			down = choose_down(s->active, up.value, k, s->gradient, s->down, &least);
		}
		if (down.at < 0 || up.value - least < s->problem->tol)
		{
			if (s->active == s->n)
				break;
			PGML_TRY(unshrink(s)); /* the others may have become eager */
			up = choose_up(s);
			countdown = 1;
			continue;
		}
		up = step_pair(s, up.at, down.at, k);
		if (--countdown <= 0)
		{
			countdown = period;
			PGML_TRY(maybe_shrink(s, &up));
		}
	}
	solution->iterations = iteration;
	if (s->active < s->n)
		PGML_TRY(unshrink(s));
	return PGML_OK;
}

/* The bias: what the gradients of the free rows say on average, else the middle of what the others allow. */
static double
find_bias(const Smo *s, double most, double least)
{
	double sum = 0;
	int64_t n_free = 0;

	for (int64_t i = 0; i < s->n; i++)
		if (s->up[i] == s->down[i])
		{
			sum -= s->gradient[i] + s->up[i];
			n_free++;
		}
	if (n_free > 0)
		return sum / (double) n_free;
	if (!isfinite(most) || !isfinite(least))
		return isfinite(most) ? most : (isfinite(least) ? least : 0);
	return (most + least) / 2;
}

/* Coefficients in the rows' first order, and what is known about them. */
static void
finish(const Smo *s, PgmlSvmSolution *solution)
{
	double most = choose_up(s).value;
	double least = find_least(s);
	double objective = 0;

	for (int64_t i = 0; i < s->n; i++)
	{
		objective +=
			s->beta[i] * (s->gradient[i] + s->p[i]) / 2 + s->problem->epsilon * fabs(s->beta[i]);
		solution->beta[s->row[i]] = s->beta[i];
	}
	solution->objective = objective;
	solution->bias = find_bias(s, most, least);
	solution->violation = most > least ? most - least : 0;
	solution->late = s->late;
}

PgmlStatus
pgml_svm_smo(const PgmlEnv *env, PgmlArena *arena, PgmlSvmProblem *problem,
			 PgmlSvmSolution *solution)
{
	Smo s = { .env = env, .problem = problem, .points = &problem->points, .n = problem->points.n };

	PGML_TRY(allocate(&s, arena));
	start(&s);
	PGML_TRY(iterate(&s, solution));
	finish(&s, solution);
	return PGML_OK;
}
