/*
 * linear_payload.c - the stored linear model: checked once, then followed without checks.
 *
 * Payload: PgmlLinearHeader, a PgmlLinearFeature per feature, the coefficients and the means of the design columns as f64.
 */
#include "learner/linear_internal.h"

#include <float.h>
#include <string.h>

_Static_assert(sizeof(PgmlLinearHeader) == 32, "the stored header has no holes");
_Static_assert(sizeof(PgmlLinearFeature) == 80, "the stored feature has no holes");

/* True when `count` coefficient rows from `row` on exist. */
static bool
rows_exist(const PgmlLinearHeader *header, uint32_t row, uint32_t count)
{
	return row >= 1 && row < header->rows && count <= header->rows - row;
}

/* A categorical feature has a row a level and one for missing, right after them. */
static bool
category_is_good(const PgmlLinearHeader *header, const PgmlLinearFeature *f, int32_t n_levels)
{
	return f->kind == PGML_LINEAR_CATEGORY && n_levels >= 0 && f->levels == (uint32_t) n_levels &&
		   f->levels < header->rows && rows_exist(header, f->row, f->levels + 1) &&
		   f->missing_row == f->row + f->levels;
}

/* True for 0 and for a row that exists. */
static bool
row_is_good(const PgmlLinearHeader *header, uint32_t row)
{
	return row == 0 || rows_exist(header, row, 1);
}

/* A numeric feature's rows exist or are 0, and its constants are numbers. */
static bool
number_is_good(const PgmlLinearHeader *header, const PgmlLinearFeature *f)
{
	return f->kind == PGML_LINEAR_NUMBER && f->levels == 0 && row_is_good(header, f->row) &&
		   row_is_good(header, f->log_row) && row_is_good(header, f->missing_row) &&
		   isfinite(f->low) && isfinite(f->high) && f->low <= f->high && isfinite(f->mean) &&
		   isfinite(f->factor) && isfinite(f->unit) && f->unit > 0 && isfinite(f->log_mean) &&
		   isfinite(f->log_factor);
}

/* Only regression of version 3 knows another link than the task's. */
static bool
link_is_good(const PgmlLinearHeader *header, PgmlTask task)
{
	return header->link == PGML_LINEAR_LINK_TASK ||
		   (header->link == PGML_LINEAR_LINK_LOG && header->version == PGML_LINEAR_VERSION &&
			task == PGML_TASK_REGRESSION);
}

/* The first part of the checks: everything that needs no other part. */
static bool
header_is_good(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlLinearHeader *header)
{
	size_t room;
	size_t columns; /* of the table of coefficients, that of the means included */

	if (len < sizeof(*header) || shape->nfeatures < 0)
		return false;
	memcpy(header, payload, sizeof(*header));
	if (header->version < PGML_LINEAR_VERSION_NO_MEANS || header->version > PGML_LINEAR_VERSION ||
		header->task != (uint32_t) shape->task ||
		header->outputs != (uint32_t) pgml_task_outputs(shape->task, shape->n_classes) ||
		header->nfeatures != (uint32_t) shape->nfeatures || header->outputs < 1 ||
		header->rows < 1 || !link_is_good(header, shape->task) || !isfinite(header->alpha))
		return false;
	room = len - sizeof(*header);
	if (room / sizeof(PgmlLinearFeature) < header->nfeatures)
		return false;
	room -= header->nfeatures * sizeof(PgmlLinearFeature);
	columns = header->outputs + (header->version != PGML_LINEAR_VERSION_NO_MEANS);
	return header->rows <= room / sizeof(double) / columns &&
		   room == (size_t) header->rows * columns * sizeof(double);
}

PgmlStatus
pgml_linear_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	PgmlLinearHeader header;
	bool good = header_is_good(payload, len, shape, &header);
	const uint8_t *at = payload + sizeof(header);

	for (int32_t i = 0; good && i < shape->nfeatures; i++, at += sizeof(PgmlLinearFeature))
	{
		PgmlLinearFeature f;

		memcpy(&f, at, sizeof(f));
		good = shape->categorical[i] ? category_is_good(&header, &f, shape->n_levels[i]) :
									   number_is_good(&header, &f);
	}
	for (; good && at < payload + len; at += sizeof(double))
	{
		double number;

		memcpy(&number, at, sizeof(number));
		good = isfinite(number) != 0;
	}
	if (!good)
		return pgml_fail(err, PGML_ERR_CORRUPT, "the stored linear model is damaged");
	return PGML_OK;
}

/* out += factor * coefficient row. */
static void
add_row(double *out, const double *coef, uint32_t row, int k, double factor)
{
	const double *c = coef + (size_t) row * (size_t) k;

	for (int o = 0; o < k; o++)
		out[o] += factor * c[o];
}

/* Scores of one row. */
static void
score_row(const PgmlLinearHeader *header, const PgmlLinearFeature *features, const double *coef,
		  const float *x, double *out)
{
	int k = (int) header->outputs;

	memcpy(out, coef, (size_t) k * sizeof(double));
	for (uint32_t i = 0; i < header->nfeatures; i++)
	{
		const PgmlLinearFeature *f = &features[i];

		if (f->kind == PGML_LINEAR_CATEGORY)
			add_row(out, coef, pgml_linear_level_row(f, x[i]), k, 1);
		else if (isnan(x[i]))
		{
			if (f->missing_row != 0)
				add_row(out, coef, f->missing_row, k, 1);
		}
		else
		{
			double v = pgml_linear_clip(f, x[i]);

			if (f->row != 0)
				add_row(out, coef, f->row, k, pgml_linear_value(f, v));
			if (f->log_row != 0)
				add_row(out, coef, f->log_row, k, pgml_linear_log_value(f, v));
		}
	}
}

/* Probability of a score, without overflow. */
static double
logistic(double z)
{
	double e = exp(-fabs(z));

	return (z >= 0 ? 1 : e) / (1 + e);
}

void
pgml_linear_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
					double *out)
{
	const PgmlLinearHeader *header = (const PgmlLinearHeader *) payload;
	const PgmlLinearFeature *features = (const PgmlLinearFeature *) (header + 1);
	const double *coef = (const double *) (features + header->nfeatures);
	int64_t k = header->outputs;

	for (int64_t i = 0; i < n; i++)
	{
		double *z = out + i * k;

		score_row(header, features, coef, x + i * shape->nfeatures, z);
		if (shape->task == PGML_TASK_BINARY)
			z[0] = logistic(z[0]);
		else if (shape->task == PGML_TASK_MULTICLASS)
			pgml_linear_softmax(z, (int) k);
		else if (header->link == PGML_LINEAR_LINK_LOG)
			z[0] = exp(fmin(fmax(z[0], -PGML_LINEAR_MOST_LOG), PGML_LINEAR_MOST_LOG));
		else
			z[0] = fmin(fmax(z[0], -DBL_MAX), DBL_MAX);
	}
}
