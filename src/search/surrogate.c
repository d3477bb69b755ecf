/*
 * surrogate.c - Gaussian processes on the history of a search, see surrogate.h.
 */
#include "search/surrogate.h"

#include <math.h>
#include <string.h>

/* Losses are cut so far above the median, in distances of the best from it. */
#define CUT 3.0

/* Priors: of the logarithm of a length scale, to which half that of the number of dimensions is added, and of the noise's variance. */
#define LENGTH_MEAN M_SQRT2
#define LENGTH_SD   1.7320508
#define NOISE_MEAN  (-4.0)
#define NOISE_SD    1.0

/* The share of a trial, or rather its inverse, whose depth is 1. */
#define LEAST_SHARE 27.0

/* Steps by which these are looked for, one after the other; fewer where a step takes long. */
#define ROUNDS      6
#define FEW_ROUNDS  3
#define MANY_TRIALS 100

/* The mean of a learner's losses is guessed as if it had so many trials more, with the mean of all. */
#define MEAN_TRIALS 1.0

/* The process of one space. */
typedef struct Process
{
	const PgmlSpace *space;
	int n;
	double mean;
	const double **x; /* points */
	double *depth;    /* of each: 0 for a whole trial, 1 for one with the least share */
	double *y;        /* less the mean */
	double *chol;     /* of the covariance, n x n, the lower half */
	double *alpha;    /* covariance^-1 y */
	double *scratch;  /* n */
	bool whole;       /* all trials are */
	double length[PGML_MAX_PARAMS + 1]; /* the last one is that of the depth */
	double noise;                       /* variance, as a share of the signal's */
} Process;

struct PgmlSurrogate
{
	Process process[PGML_MAX_SPACES];
	double best;
};

/* Squared distance of two points with trials of these depths. */
static double
distance(const Process *p, const double *a, double depth_a, const double *b, double depth_b)
{
	double sum = (depth_a - depth_b) / p->length[p->space->n_dims];

	sum *= sum;
	for (int d = 0; d < p->space->n_dims; d++)
	{
		bool words = !p->space->dim[d].ordered;
		double apart;

		if (isnan(a[d]) || isnan(b[d]))
			apart = isnan(a[d]) && isnan(b[d]) ? 0 : words ? 1 : 0.5;
		else
			apart = words ? a[d] != b[d] : a[d] - b[d];
		apart /= p->length[d];
		sum += apart * apart;
	}
	return sum;
}

static double
covariance(const Process *p, const double *a, double depth_a, const double *b, double depth_b)
{
	double r = sqrt(5 * distance(p, a, depth_a, b, depth_b));

	return (1 + r + r * r / 3) * exp(-r);
}

/* Logarithm of a normal density but for its constant. */
static double
log_normal(double x, double mean, double sd)
{
	return -0.5 * (x - mean) * (x - mean) / (sd * sd);
}

/* Cholesky factor of the covariance; false when it is not positive definite in these numbers. */
static bool
factorize(Process *p)
{
	for (int i = 0; i < p->n; i++)
	{
		double *row = p->chol + (size_t) i * p->n;

		for (int j = 0; j <= i; j++)
		{
			const double *other = p->chol + (size_t) j * p->n;
			double sum =
				i == j ? 1 + p->noise : covariance(p, p->x[i], p->depth[i], p->x[j], p->depth[j]);

			for (int k = 0; k < j; k++)
				sum -= row[k] * other[k];
			if (i == j && !(sum > 1e-12))
				return false;
			row[j] = i == j ? sqrt(sum) : sum / other[j];
		}
	}
	return true;
}

/* Solve L v = b in place. */
static void
solve_lower(const Process *p, double *v)
{
	for (int i = 0; i < p->n; i++)
	{
		const double *row = p->chol + (size_t) i * p->n;

		for (int k = 0; k < i; k++)
			v[i] -= row[k] * v[k];
		v[i] /= row[i];
	}
}

/* Length scales that matter. */
static int
n_lengths(const Process *p)
{
	return p->space->n_dims + !p->whole;
}

/* Fit with the present length scales and noise; the logarithm of their posterior density, but for a constant. */
static double
fit(Process *p)
{
	double log_density = 0;
	double mean = LENGTH_MEAN + 0.5 * log(p->space->n_dims > 0 ? p->space->n_dims : 1);

	if (!factorize(p))
		return -INFINITY;
	memcpy(p->alpha, p->y, (size_t) p->n * sizeof(double));
	solve_lower(p, p->alpha);
	for (int i = 0; i < p->n; i++)
		log_density -=
			0.5 * p->alpha[i] * p->alpha[i] + log(p->chol[(size_t) i * p->n + (size_t) i]);
	for (int i = p->n - 1; i >= 0; i--)
	{
		for (int k = i + 1; k < p->n; k++)
			p->alpha[i] -= p->chol[(size_t) k * p->n + (size_t) i] * p->alpha[k];
		p->alpha[i] /= p->chol[(size_t) i * p->n + (size_t) i];
	}
	for (int d = 0; d < n_lengths(p); d++)
		log_density += log_normal(log(p->length[d]), mean, LENGTH_SD);
	return log_density + log_normal(log(p->noise), NOISE_MEAN, NOISE_SD);
}

/* Try a factor for one of the length scales or the noise; keep it when it is more probable. */
static bool
try_factor(Process *p, double *value, double factor, double *best)
{
	double before = *value, now;

	*value = before * factor;
	now = fit(p);
	if (now > *best)
	{
		*best = now;
		return true;
	}
	*value = before;
	return false;
}

/* Look for the most probable length scales and noise, one after the other, with smaller and smaller steps. */
static PgmlStatus
learn(const PgmlEnv *env, Process *p)
{
	double mean = LENGTH_MEAN + 0.5 * log(p->space->n_dims > 0 ? p->space->n_dims : 1);
	int rounds = p->n > MANY_TRIALS ? FEW_ROUNDS : ROUNDS;
	double best, step = 1;

	for (int d = 0; d <= p->space->n_dims; d++)
		p->length[d] = exp(mean - 1);
	p->noise = exp(NOISE_MEAN);
	best = fit(p);
	for (int round = 0; round < rounds; round++)
	{
		for (int d = 0; d <= n_lengths(p); d++)
		{
			double *value = d < n_lengths(p) ? &p->length[d] : &p->noise;

			if (pgml_stopped(env))
				return pgml_fail_cancelled(env);
			if (!try_factor(p, value, exp(-step), &best))
				(void) try_factor(p, value, exp(step), &best);
		}
		if (round % 2 == 0)
			step *= 0.6;
	}
	(void) fit(p);
	return PGML_OK;
}

static void
sort(double *v, int n)
{
	for (int i = 1; i < n; i++)
	{
		double moving = v[i];
		int place = i;

		for (; place > 0 && v[place - 1] > moving; place--)
			v[place] = v[place - 1];
		v[place] = moving;
	}
}

/*
 * What losses are cut to and scaled by: *cut, and centre and scale of those that were cut.  sorted has room for all.  Nothing is set when all
 * trials failed.
 */
static void
find_scale(const PgmlSearch *search, double *sorted, double *cut, double *centre, double *scale)
{
	int n = 0, all = search->n_told;
	double median, sum = 0, squares = 0;

	for (int i = 0; i < all; i++)
		if (!isnan(search->told[i].loss))
			sorted[n++] = search->told[i].loss;
	if (n == 0)
		return;
	sort(sorted, n);
	median = sorted[n / 2];
	*cut = fmin(sorted[n - 1], median + CUT * (median - sorted[0]));
	for (int i = 0; i < all; i++)
		sum += i < n ? fmin(sorted[i], *cut) : *cut;
	*centre = sum / all;
	for (int i = 0; i < all; i++)
	{
		double apart = (i < n ? fmin(sorted[i], *cut) : *cut) - *centre;

		squares += apart * apart;
	}
	*scale = sqrt(squares / all);
	if (!(*scale > 0) || !isfinite(*scale))
		*scale = 1;
}

/* The trials of one space. */
static PgmlStatus
collect(const PgmlSearch *search, PgmlArena *arena, int space, double cut, double centre,
		double scale, Process *p)
{
	size_t n = 0;
	double sum = 0;

	for (int i = 0; i < search->n_told; i++)
		n += search->told[i].space == space;
	p->space = &search->space[space];
	p->x = pgml_array(arena, n + 1, sizeof(double *));
	p->depth = pgml_array(arena, n + 1, sizeof(double));
	p->y = pgml_array(arena, n + 1, sizeof(double));
	p->alpha = pgml_array(arena, n + 1, sizeof(double));
	p->scratch = pgml_array(arena, n + 1, sizeof(double));
	p->chol = pgml_array(arena, n * n + 1, sizeof(double));
	p->whole = true;
	if (!p->x || !p->depth || !p->y || !p->alpha || !p->scratch || !p->chol)
		return pgml_fail_nomem(search->env, "a search");
	for (int i = 0; i < search->n_told; i++)
	{
		const PgmlProposal *told = &search->told[i];
		double loss = isnan(told->loss) ? cut : fmin(told->loss, cut);

		if (told->space != space)
			continue;
		p->whole &= told->share == 1;
		p->depth[p->n] = -log(told->share) / log(LEAST_SHARE);
		p->x[p->n] = told->u;
		p->y[p->n] = (loss - centre) / scale;
		sum += p->y[p->n++];
	}
	/* A learner of which little is known is thought of as the others. */
	p->mean = sum / (p->n + MEAN_TRIALS);
	for (int i = 0; i < p->n; i++)
		p->y[i] -= p->mean;
	return PGML_OK;
}

PgmlStatus
pgml_surrogate_create(const PgmlSearch *search, PgmlArena *arena, PgmlSurrogate **surrogate)
{
	PgmlSurrogate *s = pgml_zalloc(arena, 1, sizeof(PgmlSurrogate));
	double *sorted = pgml_array(arena, (size_t) search->n_told + 1, sizeof(double));
	double cut = 0, centre = 0, scale = 1, mean, variance;

	if (!s || !sorted)
		return pgml_fail_nomem(search->env, "a search");
	*surrogate = s;
	s->best = INFINITY;
	find_scale(search, sorted, &cut, &centre, &scale);
	for (int i = 0; i < search->n_spaces; i++)
	{
		Process *p = &s->process[i];

		PGML_TRY(collect(search, arena, i, cut, centre, scale, p));
		PGML_TRY(learn(search->env, p));
		for (int k = 0; k < p->n; k++)
		{
			pgml_surrogate_predict(s, i, p->x[k], &mean, &variance);
			s->best = fmin(s->best, mean);
		}
	}
	return PGML_OK;
}

void
pgml_surrogate_predict(const PgmlSurrogate *surrogate, int space, const double *u, double *mean,
					   double *variance)
{
	const Process *p = &surrogate->process[space];
	double *v = p->scratch;

	*mean = p->mean;
	*variance = 1;
	for (int i = 0; i < p->n; i++)
	{
		v[i] = covariance(p, u, 0, p->x[i], p->depth[i]);
		*mean += v[i] * p->alpha[i];
	}
	solve_lower(p, v);
	for (int i = 0; i < p->n; i++)
		*variance -= v[i] * v[i];
	*variance = fmax(*variance, 0);
}

double
pgml_surrogate_best(const PgmlSurrogate *surrogate)
{
	return surrogate->best;
}
