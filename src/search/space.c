/*
 * space.c - coordinates of settings and back.
 */
#include "search/space.h"

#include <math.h>
#include <string.h>

/* Points above which they are not counted. */
#define MANY_POINTS 1000000

/*
 * Ends of a range on the scale of its coordinate.  Whole numbers have half a step more on either side, so that all of
 * them are as likely.
 */
static void
scaled_ends(const PgmlDomain *dim, double *low, double *high)
{
	double half = dim->whole ? 0.5 : 0;

	*low = dim->low - half;
	*high = dim->high + half;
	if (dim->log_scale)
	{
		*low = log(*low);
		*high = log(*high);
	}
}

static double
clamp(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

/* Place in the list at coordinate u. */
static int
place_at(const PgmlDomain *dim, double u)
{
	return (int) clamp(floor(u * dim->n_values), 0, dim->n_values - 1);
}

static double
value_at(const PgmlDomain *dim, double u)
{
	double low, high, x;

	if (dim->n_values > 0)
		return dim->values[place_at(dim, u)];
	scaled_ends(dim, &low, &high);
	x = low + clamp(u, 0, 1) * (high - low);
	if (dim->log_scale)
		x = exp(x);
	if (dim->whole)
		x = floor(x + 0.5);
	return clamp(x, dim->low, dim->high);
}

/* Coordinate of the nearest value in a list; NaN for a word that is not there. */
static double
coordinate_in_list(const PgmlDomain *dim, double value)
{
	int best = dim->ordered ? 0 : -1;

	for (int i = 0; i < dim->n_values; i++)
		if (dim->values[i] == value ||
			(dim->ordered && fabs(dim->values[i] - value) < fabs(dim->values[best] - value)))
			best = i;
	return best < 0 ? NAN : (best + 0.5) / dim->n_values;
}

/* Coordinate of the nearest value. */
static double
coordinate_of(const PgmlDomain *dim, double value)
{
	double low, high, x;

	if (dim->n_values > 0)
		return coordinate_in_list(dim, value);
	scaled_ends(dim, &low, &high);
	x = clamp(value, dim->low, dim->high);
	if (dim->log_scale)
		x = log(x);
	return high > low ? (x - low) / (high - low) : 0;
}

static bool
counts(const PgmlSpace *space, const double *u, int i)
{
	const PgmlDomain *dim = &space->dim[i];

	return dim->parent < 0 ||
		   (!isnan(u[dim->parent]) &&
			value_at(&space->dim[dim->parent], u[dim->parent]) == dim->parent_value);
}

void
pgml_space_snap(const PgmlSpace *space, double *u)
{
	for (int i = 0; i < space->n_dims; i++)
	{
		if (!counts(space, u, i))
			u[i] = NAN;
		else
			u[i] =
				coordinate_of(&space->dim[i], value_at(&space->dim[i], isnan(u[i]) ? 0.5 : u[i]));
	}
}

void
pgml_space_params(const PgmlSpace *space, const double *u, PgmlParams *params)
{
	*params = space->base;
	for (int i = 0; i < space->n_dims; i++)
	{
		if (isnan(u[i]))
			continue;
		params->v[space->dim[i].param] = value_at(&space->dim[i], u[i]);
		params->given[space->dim[i].param] = true;
	}
}

void
pgml_space_point(const PgmlSpace *space, const PgmlParams *params, double *u)
{
	for (int i = 0; i < space->n_dims; i++)
	{
		const PgmlParam *param = &space->learner->params[space->dim[i].param];
		double value = params->v[space->dim[i].param];
		size_t len;

		/* Of a number that a word leaves to the learner nothing is known. */
		if (param->type != PGML_PARAM_CHOICE && pgml_param_word(param, value, &len) != NULL)
			u[i] = space->dim[i].ordered ? NAN : coordinate_of(&space->dim[i], value);
		else
			u[i] = coordinate_of(&space->dim[i], value);
	}
	for (int i = 0; i < space->n_dims; i++)
		if (!counts(space, u, i))
			u[i] = NAN;
}

void
pgml_space_defaults(const PgmlSpace *space, double *u, PgmlParams *params)
{
	*params = space->base;
	pgml_space_point(space, params, u);
	for (int i = 0; i < space->n_dims; i++)
	{
		const PgmlDomain *dim = &space->dim[i];

		if (!dim->listed)
			continue;
		/* A word that the user's list does not have, or a number that a word stands for. */
		if (isnan(u[i]) && counts(space, u, i))
			u[i] = coordinate_of(dim, value_at(dim, 0.5));
		if (isnan(u[i]))
			continue;
		params->v[dim->param] = value_at(dim, u[i]);
		params->given[dim->param] = true;
	}
}

bool
pgml_space_same(const PgmlSpace *space, const double *a, const double *b)
{
	for (int i = 0; i < space->n_dims; i++)
		if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i])))
			return false;
	return true;
}

int64_t
pgml_domain_count(const PgmlDomain *dim)
{
	if (dim->n_values > 0)
		return dim->n_values;
	return dim->whole ? (int64_t) fmin(dim->high - dim->low + 1, 2.0 * MANY_POINTS) : 0;
}

/* Value number k of a dimension that has a number of them. */
static double
value_number(const PgmlDomain *dim, int64_t k)
{
	return dim->n_values > 0 ? dim->values[k] : dim->low + (double) k;
}

/* Points of the dimensions that count only with this value of dimension i. */
static double
points_below(const PgmlSpace *space, int i, double value)
{
	double n = 1;

	for (int j = 0; j < space->n_dims; j++)
		if (space->dim[j].parent == i && space->dim[j].parent_value == value)
			n *= (double) pgml_domain_count(&space->dim[j]);
	return n;
}

/* Points of dimension i, which always counts, and those that depend on it; as many as there are values where there are too many. */
static double
points_of(const PgmlSpace *space, int i)
{
	int64_t count = pgml_domain_count(&space->dim[i]);
	double n = 0;

	if (count > MANY_POINTS)
		return (double) count;
	for (int64_t k = 0; k < count; k++)
		n += points_below(space, i, value_number(&space->dim[i], k));
	return n;
}

int64_t
pgml_space_count(const PgmlSpace *space)
{
	double n = 1;

	for (int i = 0; i < space->n_dims; i++)
		if (pgml_domain_count(&space->dim[i]) == 0)
			return 0;
	for (int i = 0; i < space->n_dims && n <= MANY_POINTS; i++)
		if (space->dim[i].parent < 0)
			n *= points_of(space, i);
	return n <= MANY_POINTS ? (int64_t) n : 0;
}

/* Point number i of dimension d and of those that depend on it. */
static void
nth_of(const PgmlSpace *space, int d, int64_t i, double *u)
{
	const PgmlDomain *dim = &space->dim[d];
	int64_t k = 0, below;
	double value = value_number(dim, 0);

	while (i >= (below = (int64_t) points_below(space, d, value)))
	{
		i -= below;
		value = value_number(dim, ++k);
	}
	u[d] = coordinate_of(dim, value);
	for (int j = space->n_dims - 1; j >= 0; j--)
	{
		if (space->dim[j].parent != d || space->dim[j].parent_value != value)
			continue;
		below = pgml_domain_count(&space->dim[j]);
		u[j] = coordinate_of(&space->dim[j], value_number(&space->dim[j], i % below));
		i /= below;
	}
}

void
pgml_space_nth(const PgmlSpace *space, int64_t i, double *u)
{
	for (int d = 0; d < space->n_dims; d++)
		u[d] = NAN;
	for (int d = space->n_dims - 1; d >= 0; d--)
	{
		int64_t points;

		if (space->dim[d].parent >= 0)
			continue;
		points = (int64_t) points_of(space, d);
		nth_of(space, d, i % points, u);
		i /= points;
	}
}

void
pgml_space_reduce(const PgmlSpace *space, double share, PgmlParams *params)
{
	double *value = &params->v[space->resource_param];

	if (space->resource == PGML_RESOURCE_ROUNDS)
		*value = fmax(1, floor(*value * share + 0.5));
}
