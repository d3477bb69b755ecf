/*
 * knn_payload.c - the stored rows: checked once, measured one by one, and what their neighbours say.
 */
#include "learner/knn.h"

#include <string.h>

_Static_assert(sizeof(PgmlKnnHeader) == 48, "the stored header has no holes");
_Static_assert(sizeof(PgmlKnnFeature) == 40, "the stored feature has no holes");

/* ---- verifying ----------------------------------------------------------------------------------- */

static bool
header_is_good(const PgmlKnnHeader *h, const PgmlShape *shape)
{
	return h->version == PGML_KNN_VERSION && h->task == (uint32_t) shape->task &&
		   h->classes == (uint32_t) shape->n_classes &&
		   h->nfeatures == (uint32_t) shape->nfeatures && shape->nfeatures >= 0 &&
		   shape->n_classes >= 1 && (shape->task != PGML_TASK_BINARY || shape->n_classes == 2) &&
		   (h->metric == PGML_KNN_MANHATTAN || h->metric == PGML_KNN_EUCLIDEAN) &&
		   h->vote <= PGML_KNN_DISTANCE && h->algorithm <= PGML_KNN_TREE && h->rows >= 1 &&
		   h->rows <= INT32_MAX - PGML_KNN_PANEL && h->k >= 1 && h->k <= h->rows &&
		   h->k <= PGML_KNN_NEIGHBOURS && h->dense <= PGML_KNN_COLUMNS &&
		   h->categories <= PGML_KNN_COLUMNS - h->dense && h->weighted <= 1;
}

/* Bytes of the payload that a good header and good features stand for. */
static uint64_t
payload_size(const PgmlKnnHeader *h)
{
	uint64_t rows = h->rows;
	uint64_t floats = rows * (h->dense + h->categories);

	return sizeof(*h) + h->nfeatures * sizeof(PgmlKnnFeature) +
		   rows * (1 + h->weighted) * sizeof(double) + (floats + floats % 2) * sizeof(float);
}

/* A number has the next dense column, and perhaps one more for missing. */
static bool
number_is_good(const PgmlKnnFeature *f, uint32_t *dense)
{
	if (f->levels != 0 || !isfinite(f->mean) || !isfinite(f->factor) || !(f->factor > 0) ||
		!isfinite(f->fill) || f->reserved != 0 || fabsf(f->fill) > PGML_KNN_LARGEST)
		return false;
	if (f->kind == PGML_KNN_NONE)
		return f->column == 0 && f->missing == PGML_KNN_NO_COLUMN;
	if (f->kind != PGML_KNN_NUMBER || f->column != (*dense)++)
		return false;
	return f->missing == PGML_KNN_NO_COLUMN || f->missing == (*dense)++;
}

/* Every column of the design is filled by exactly one feature. */
static bool
features_are_good(const PgmlKnnView *v, const PgmlShape *shape)
{
	uint32_t dense = 0;
	uint32_t category = v->header->dense;

	for (int32_t i = 0; i < shape->nfeatures; i++)
	{
		const PgmlKnnFeature *f = &v->features[i];

		if (!shape->categorical[i])
		{
			if (!number_is_good(f, &dense))
				return false;
		}
		else if (f->kind != PGML_KNN_CATEGORY || f->column != category++ ||
				 f->levels != (uint32_t) shape->n_levels[i] || f->levels >= PGML_KNN_LEVELS ||
				 f->missing != PGML_KNN_NO_COLUMN)
			return false;
	}
	return dense == v->header->dense && category == v->header->dense + v->header->categories;
}

static bool
rows_are_good(const PgmlKnnView *v, const PgmlShape *shape)
{
	uint64_t rows = v->header->rows;
	bool good = true;

	for (uint64_t i = 0; i < rows; i++)
	{
		double y = v->y[i];

		if (shape->task == PGML_TASK_REGRESSION)
			good &= isfinite(y) != 0;
		else
			good &= y >= 0 && y < shape->n_classes && y == floor(y);
		if (v->w != NULL)
			good &= v->w[i] > 0 && isfinite(v->w[i]);
	}
	for (uint64_t i = 0; i < rows * (uint64_t) v->width; i++)
		good &= fabsf(v->row[i]) <= PGML_KNN_LARGEST;
	return good;
}

PgmlStatus
pgml_knn_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlKnnHeader *header = (const PgmlKnnHeader *) payload;
	PgmlKnnView v;
	bool good =
		len >= sizeof(*header) && header_is_good(header, shape) && payload_size(header) == len;

	if (good)
	{
		v = pgml_knn_view(payload);
		good = features_are_good(&v, shape) && rows_are_good(&v, shape);
	}
	if (!good)
		return pgml_fail(err, PGML_ERR_CORRUPT, "the stored knn model is damaged");
	return PGML_OK;
}

/* ---- distances ----------------------------------------------------------------------------------- */

/* Sums in four lanes: always the same additions, and none waits for the one before. */
static double
euclidean(const float *a, const float *b, int32_t n)
{
	double s[4] = { 0, 0, 0, 0 };
	int32_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (int j = 0; j < 4; j++)
		{
			double d = (double) a[i + j] - b[i + j];

			s[j] += d * d;
		}
	for (int j = 0; i < n; i++, j++)
	{
		double d = (double) a[i] - b[i];

		s[j] += d * d;
	}
	return (s[0] + s[1]) + (s[2] + s[3]);
}

static double
manhattan(const float *a, const float *b, int32_t n)
{
	double s[4] = { 0, 0, 0, 0 };
	int32_t i = 0;

	for (; i + 4 <= n; i += 4)
		for (int j = 0; j < 4; j++)
			s[j] += fabs((double) a[i + j] - b[i + j]);
	for (int j = 0; i < n; i++, j++)
		s[j] += fabs((double) a[i] - b[i]);
	return (s[0] + s[1]) + (s[2] + s[3]);
}

double
pgml_knn_distance(const PgmlKnnView *v, const float *a, const float *b)
{
	double distance = v->header->metric == PGML_KNN_EUCLIDEAN ? euclidean(a, b, v->dense) :
																manhattan(a, b, v->dense);
	int32_t differ = 0;

	for (int32_t i = v->dense; i < v->width; i++)
		differ += a[i] != b[i];
	return distance + 2.0 * differ;
}

/* ---- the nearest --------------------------------------------------------------------------------- */

static inline bool
is_farther(const PgmlKnnNeighbour *a, const PgmlKnnNeighbour *b)
{
	return a->distance > b->distance || (a->distance == b->distance && a->row > b->row);
}

/* Put `what` at place i of n or below it, so that nothing is farther than what is above it. */
static void
sift_down(PgmlKnnNeighbour *heap, int32_t n, int32_t i, PgmlKnnNeighbour what)
{
	for (int32_t child = 2 * i + 1; child < n; child = 2 * i + 1)
	{
		if (child + 1 < n && is_farther(&heap[child + 1], &heap[child]))
			child++;
		if (!is_farther(&heap[child], &what))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = what;
}

void
pgml_knn_offer(PgmlKnnNeighbour *heap, int32_t k, int32_t *n, double distance, int64_t row)
{
	PgmlKnnNeighbour what = { distance, row };

	if (*n < k)
	{
		int32_t i = (*n)++;

		while (i > 0 && is_farther(&what, &heap[(i - 1) / 2]))
		{
			heap[i] = heap[(i - 1) / 2];
			i = (i - 1) / 2;
		}
		heap[i] = what;
	}
	else if (is_farther(&heap[0], &what))
		sift_down(heap, k, 0, what);
}

/* From a heap to the order of distance. */
static void
sort(PgmlKnnNeighbour *heap, int32_t n)
{
	for (int32_t last = n - 1; last > 0; last--)
	{
		PgmlKnnNeighbour what = heap[last];

		heap[last] = heap[0];
		sift_down(heap, last, 0, what);
	}
}

/* ---- what they say ------------------------------------------------------------------------------- */

/*
 * Put the weights of n sorted neighbours in the place of their distances, none above 1: by distance in proportion to its inverse, and
 * where some are at distance 0 they alone count.  Returns their sum.
 */
static double
weigh(const PgmlKnnView *v, PgmlKnnNeighbour *near, int32_t n)
{
	bool by_distance = v->header->vote == PGML_KNN_DISTANCE;
	double least = near[0].distance;
	double largest = 0; /* of those that count */
	double sum = 0;

	for (int32_t i = 0; v->w != NULL && i < n; i++)
		if (!by_distance || least > 0 || near[i].distance == 0)
			largest = fmax(largest, v->w[near[i].row]);
	for (int32_t i = 0; i < n; i++)
	{
		double weight = 1;

		if (by_distance && least > 0)
			weight = v->header->metric == PGML_KNN_EUCLIDEAN ? sqrt(least / near[i].distance) :
															   least / near[i].distance;
		else if (by_distance)
			weight = near[i].distance == 0;
		if (v->w != NULL && weight > 0)
			weight *= v->w[near[i].row] / largest;
		near[i].distance = weight;
		sum += weight;
	}
	return sum;
}

/* Weighted mean of targets; their sum may be too large for a double, their mean is not. */
static double
mean_target(const PgmlKnnView *v, const PgmlKnnNeighbour *near, int32_t n, double total)
{
	double sum = 0;

	for (int32_t i = 0; i < n; i++)
		sum += near[i].distance * v->y[near[i].row];
	if (isfinite(sum))
		return sum / total;
	sum = 0;
	for (int32_t i = 0; i < n; i++)
		sum += near[i].distance / total * v->y[near[i].row];
	return sum;
}

void
pgml_knn_decide(const PgmlKnnView *v, PgmlKnnNeighbour *heap, int32_t n, double *out)
{
	PgmlTask task = (PgmlTask) v->header->task;
	double total;

	sort(heap, n);
	total = weigh(v, heap, n);
	if (task != PGML_TASK_MULTICLASS)
	{
		out[0] = mean_target(v, heap, n, total);
		return;
	}
	memset(out, 0, v->header->classes * sizeof(double));
	for (int32_t i = 0; i < n; i++)
		out[(uint32_t) v->y[heap[i].row]] += heap[i].distance;
	for (uint32_t c = 0; c < v->header->classes; c++)
		out[c] /= total;
}

void
pgml_knn_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	PgmlKnnView v = pgml_knn_view(payload);
	int64_t outputs = pgml_task_outputs(shape->task, shape->n_classes);
	int32_t k = (int32_t) v.header->k;
	PgmlKnnNeighbour heap[PGML_KNN_NEIGHBOURS];
	float query[PGML_KNN_COLUMNS];

	for (int64_t i = 0; i < n; i++, x += shape->nfeatures)
	{
		int32_t found = 0;

		for (int32_t f = 0; f < shape->nfeatures; f++)
			pgml_knn_place(&v.features[f], x[f], query);
		for (uint32_t r = 0; r < v.header->rows; r++)
		{
			double distance = pgml_knn_distance(&v, query, v.row + (size_t) r * (size_t) v.width);

			if (distance < pgml_knn_bound(heap, k, found)) /* later rows lose ties */
				pgml_knn_offer(heap, k, &found, distance, r);
		}
		pgml_knn_decide(&v, heap, found, out + i * outputs);
	}
}
