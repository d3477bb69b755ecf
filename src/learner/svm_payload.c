/*
 * svm_payload.c - the stored support vector machine: checked once, then followed without checks.
 */
#include "learner/svm.h"

#include <float.h>

_Static_assert(sizeof(PgmlSvmHeader) == 64, "the stored header has no holes");
_Static_assert(sizeof(PgmlLinearFeature) == 80, "the stored feature has no holes");
_Static_assert(sizeof(PgmlSvmSigmoid) == 16, "the stored sigmoid has no holes");

/* Bytes before the coefficients or the numbers of tiles. */
static size_t
fixed_size(const PgmlSvmHeader *header)
{
	return sizeof(*header) + header->nfeatures * sizeof(PgmlLinearFeature) +
		   header->decisions * (sizeof(PgmlSvmSigmoid) + sizeof(double));
}

/* Bytes of the numbers of tiles, padded. */
static size_t
counts_size(const PgmlSvmHeader *header)
{
	return (header->groups + 1) / 2 * sizeof(uint64_t);
}

/* Decisions that each group takes part in. */
static int64_t
group_decisions(const PgmlSvmHeader *header)
{
	return header->scheme == PGML_SVM_PAIRS ? (int64_t) header->groups - 1 : header->decisions;
}

/* Floats of a tile and its coefficients. */
static int64_t
tile_floats(const PgmlSvmHeader *header)
{
	return ((int64_t) header->numbers + header->codes + group_decisions(header)) * PGML_SVM_TILE;
}

int64_t
pgml_svm_payload_size(const PgmlSvmHeader *header, int64_t tiles)
{
	if (header->kernel == PGML_SVM_LINEAR)
		return (int64_t) fixed_size(header) +
			   (int64_t) header->rows * header->decisions * (int64_t) sizeof(double);
	return (int64_t) (fixed_size(header) + counts_size(header)) +
		   tiles * tile_floats(header) * (int64_t) sizeof(float);
}

void
pgml_svm_view(const uint8_t *payload, PgmlSvmView *view)
{
	const PgmlSvmHeader *header = (const PgmlSvmHeader *) payload;
	int64_t tiles = 0;

	view->header = header;
	view->features = (const PgmlLinearFeature *) (header + 1);
	view->sigmoid = (const PgmlSvmSigmoid *) (view->features + header->nfeatures);
	view->bias = (const double *) (view->sigmoid + header->decisions);
	view->coef = view->bias + header->decisions;
	view->tiles = (const uint32_t *) view->coef;
	view->points = (const float *) ((const uint8_t *) view->coef + counts_size(header));
	view->group_decisions = group_decisions(header);
	if (header->kernel == PGML_SVM_LINEAR)
		return;
	for (uint32_t g = 0; g < header->groups; g++)
		tiles += view->tiles[g];
	view->beta = view->points + tiles * ((int64_t) header->numbers + header->codes) * PGML_SVM_TILE;
}

/* ---- checks ---- */

/* The scheme that goes with the task and the kernel, and its numbers of decisions and groups. */
static bool
scheme_is_good(const PgmlSvmHeader *header, const PgmlShape *shape)
{
	bool many = shape->task == PGML_TASK_MULTICLASS;

	if (header->kernel != PGML_SVM_LINEAR && header->kernel != PGML_SVM_RBF)
		return false;
	if (many ? header->scheme != PGML_SVM_REST &&
				   (header->scheme != PGML_SVM_PAIRS || header->kernel != PGML_SVM_RBF ||
					shape->n_classes > PGML_SVM_PAIRED) :
			   header->scheme != PGML_SVM_SINGLE)
		return false;
	if (shape->n_classes < 1 ||
		header->decisions != pgml_svm_decisions(header->scheme, shape->n_classes))
		return false;
	return header->groups == (header->scheme == PGML_SVM_PAIRS ? (uint32_t) shape->n_classes : 1u);
}

/* Everything in the header but what depends on the length. */
static bool
header_is_good(const PgmlSvmHeader *header, const PgmlShape *shape)
{
	return header->version == PGML_SVM_VERSION && header->task == (uint32_t) shape->task &&
		   shape->nfeatures >= 0 && header->nfeatures == (uint32_t) shape->nfeatures &&
		   scheme_is_good(header, shape) && header->rows >= 1 && header->rows <= INT32_MAX &&
		   header->numbers < header->rows && header->codes <= header->nfeatures &&
		   isfinite(header->gamma) && header->gamma >= 0 && header->gamma <= FLT_MAX &&
		   isfinite(header->offset) && isfinite(header->scale);
}

/* A row of numbers: one of them, or 0. */
static bool
number_row(const PgmlSvmHeader *header, uint32_t row)
{
	return row <= header->numbers;
}

static bool
feature_is_good(const PgmlSvmHeader *header, const PgmlLinearFeature *f, bool categorical,
				int32_t n_levels)
{
	if (categorical)
		return f->kind == PGML_LINEAR_CATEGORY && n_levels >= 0 &&
			   f->levels == (uint32_t) n_levels && f->row > header->numbers &&
			   f->row < header->rows && f->levels < header->rows - f->row &&
			   f->missing_row == f->row + f->levels;
	return f->kind == PGML_LINEAR_NUMBER && number_row(header, f->row) &&
		   number_row(header, f->log_row) && number_row(header, f->missing_row) &&
		   isfinite(f->low) && isfinite(f->high) && f->low <= f->high && isfinite(f->mean) &&
		   isfinite(f->factor) && isfinite(f->unit) && f->unit > 0 && isfinite(f->log_mean) &&
		   isfinite(f->log_factor);
}

static bool
features_are_good(const PgmlSvmView *view, const PgmlShape *shape)
{
	uint32_t codes = 0;

	for (int32_t i = 0; i < shape->nfeatures; i++)
	{
		if (!feature_is_good(view->header, &view->features[i], shape->categorical[i],
							 shape->n_levels[i]))
			return false;
		codes += shape->categorical[i];
	}
	return codes == view->header->codes;
}

/* The length is what the numbers of tiles say; they are looked at only as far as there are bytes. */
static bool
length_is_good(const PgmlSvmHeader *header, const uint8_t *payload, size_t len)
{
	int64_t most = (int64_t) (len / sizeof(float));
	int64_t tiles = 0;

	if (header->kernel == PGML_SVM_LINEAR)
		return header->rows <= len / sizeof(double) / header->decisions + 1 &&
			   (size_t) pgml_svm_payload_size(header, 0) == len;
	if (len < fixed_size(header) + counts_size(header))
		return false;
	for (uint32_t g = 0; g < header->groups; g++)
	{
		uint32_t n;

		memcpy(&n, payload + fixed_size(header) + g * sizeof(n), sizeof(n));
		if (n > most)
			return false;
		tiles += n;
	}
	if (tile_floats(header) > 0 && tiles > (int64_t) len / tile_floats(header))
		return false;
	return (size_t) pgml_svm_payload_size(header, tiles) == len;
}

bool
pgml_svm_is_finite(const PgmlSvmView *view, const uint8_t *end)
{
	const PgmlSvmHeader *header = view->header;
	const double *stop = header->kernel == PGML_SVM_LINEAR ? (const double *) end : view->coef;

	for (const double *v = (const double *) view->sigmoid; v < stop; v++)
		if (!isfinite(*v))
			return false;
	if (header->kernel == PGML_SVM_LINEAR)
		return true;
	for (const float *v = view->points; v < (const float *) end; v++)
		if (!isfinite(*v))
			return false;
	return true;
}

PgmlStatus
pgml_svm_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlSvmHeader *header = (const PgmlSvmHeader *) payload;
	PgmlSvmView view;

	if (len >= sizeof(*header) && len % sizeof(float) == 0 && header_is_good(header, shape) &&
		len >= fixed_size(header) && length_is_good(header, payload, len))
	{
		pgml_svm_view(payload, &view);
		if (features_are_good(&view, shape) && pgml_svm_is_finite(&view, payload + len))
			return PGML_OK;
	}
	return pgml_fail(err, PGML_ERR_CORRUPT, "the stored support vector machine is damaged");
}
