/*
 * linear_terms.c - coefficients on the scale of the columns.
 *
 * What a fit subtracts from a column moves into the intercept.  A missing value has none of it, so its own coefficient takes it
 * back.
 */
#include "learner/linear.h"

#include "learner/linear_internal.h"

/* A payload's parts, and one of its outputs. */
typedef struct Stored
{
	const PgmlLinearFeature *features;
	const double *coef; /* of the output */
	int64_t outputs;
	int output;
	const double *center;
	PgmlTermFn fn;
	void *arg;
} Stored;

/* Coefficient of a row of the design; 0 where there is none. */
static double
coefficient(const Stored *s, uint32_t row)
{
	return row == 0 ? 0 : s->coef[row * s->outputs];
}

/* What a numeric feature's value and logarithm are multiplied with, unscaled; returns what moves into the intercept, negated. */
static double
unscale(const Stored *s, int32_t f, double *slope, double *log_slope)
{
	const PgmlLinearFeature *feature = &s->features[f];

	*slope = coefficient(s, feature->row) * feature->factor;
	*log_slope = coefficient(s, feature->log_row) * feature->log_factor;
	return *slope * (feature->mean + s->center[f]) + *log_slope * feature->log_mean;
}

/* The terms of a numeric feature. */
static void
tell_number(const Stored *s, int32_t f)
{
	const PgmlLinearFeature *feature = &s->features[f];
	PgmlLinearTerm term = { .output = s->output, .feature = f };
	double slope, log_slope;
	double moved = unscale(s, f, &slope, &log_slope);

	term.low = feature->low + s->center[f];
	term.high = feature->high + s->center[f];
	if (feature->row != 0)
	{
		term.kind = PGML_TERM_VALUE;
		term.coefficient = slope;
		s->fn(s->arg, &term);
	}
	if (feature->log_row != 0)
	{
		term.kind = PGML_TERM_LOG;
		term.coefficient = log_slope;
		term.center = s->center[f];
		term.unit = feature->unit;
		s->fn(s->arg, &term);
	}
	if (feature->row != 0 || feature->log_row != 0 || feature->missing_row != 0)
	{
		term = (PgmlLinearTerm){ .kind = PGML_TERM_MISSING, .output = s->output, .feature = f };
		term.coefficient = coefficient(s, feature->missing_row) + moved;
		s->fn(s->arg, &term);
	}
}

/* The terms of a category. */
static void
tell_category(const Stored *s, int32_t f)
{
	const PgmlLinearFeature *feature = &s->features[f];
	PgmlLinearTerm term = { .kind = PGML_TERM_LEVEL, .output = s->output, .feature = f };

	for (uint32_t level = 0; level < feature->levels; level++)
	{
		term.level = (int32_t) level;
		term.coefficient = coefficient(s, feature->row + level);
		s->fn(s->arg, &term);
	}
	term.kind = PGML_TERM_MISSING;
	term.level = 0;
	term.coefficient = coefficient(s, feature->missing_row);
	s->fn(s->arg, &term);
}

void
pgml_linear_terms(const uint8_t *payload, const double *center, PgmlTermFn fn, void *arg)
{
	const PgmlLinearHeader *header = (const PgmlLinearHeader *) payload;
	Stored s = { .outputs = header->outputs, .center = center, .fn = fn, .arg = arg };
	int32_t nfeatures = (int32_t) header->nfeatures;

	s.features = (const PgmlLinearFeature *) (header + 1);
	for (s.output = 0; s.output < (int) header->outputs; s.output++)
	{
		PgmlLinearTerm term = { .kind = PGML_TERM_INTERCEPT, .output = s.output, .feature = -1 };
		double slope, log_slope;

		s.coef = (const double *) (s.features + nfeatures) + s.output;
		term.coefficient = s.coef[0];
		for (int32_t f = 0; f < nfeatures; f++)
			if (s.features[f].kind == PGML_LINEAR_NUMBER)
				term.coefficient -= unscale(&s, f, &slope, &log_slope);
		fn(arg, &term);
		for (int32_t f = 0; f < nfeatures; f++)
		{
			if (s.features[f].kind == PGML_LINEAR_NUMBER)
				tell_number(&s, f);
			else
				tell_category(&s, f);
		}
	}
}

bool
pgml_linear_is_log(const uint8_t *payload)
{
	return ((const PgmlLinearHeader *) payload)->link == PGML_LINEAR_LINK_LOG;
}
