/*
 * svm_predict.c - what a stored support vector machine says of rows.
 *
 * A few rows at a time meet the points, CHUNK by CHUNK, so that points come from memory once for all of them.  Numbers are
 * scaled CHUNK columns at a time into room on the stack; with no more columns than that, once a row.  A row's sums are in an
 * order of their own: the same bits alone and among others.
 */
#include "learner/svm.h"

#include <float.h>

#define CHUNK 512 /* columns of the design, and points */
#define LANES 8
#define TILES (CHUNK / PGML_SVM_TILE)
#define LEAST 1e-7 /* probabilities within pairs are kept this far from 0 and 1, as in libsvm */

typedef double Lanes __attribute__((vector_size(64)));
typedef float Narrow __attribute__((vector_size(32)));

_Static_assert(CHUNK % PGML_SVM_TILE == 0, "chunks are whole tiles");

/* Rows on their way through the points. */
typedef struct Batch
{
	const PgmlSvmView *view;
	const float *x; /* the rows, row-major */
	int n;
	int64_t from; /* the first of the columns that `scaled` has now; -1: none */
	float scaled[PGML_SVM_BATCH][CHUNK];
	float kernel[PGML_SVM_BATCH][CHUNK];
} Batch;

/* n is a multiple of PGML_SVM_TILE. */
PGML_CLONES static double
dot(int64_t n, const float *a, const float *b)
{
	Lanes s = { 0 }, t = { 0 };

	for (int64_t i = 0; i < n; i += 2 * LANES)
	{
		Narrow a0, a1, b0, b1;

		memcpy(&a0, a + i, sizeof(a0));
		memcpy(&a1, a + i + LANES, sizeof(a1));
		memcpy(&b0, b + i, sizeof(b0));
		memcpy(&b1, b + i + LANES, sizeof(b1));
		s += __builtin_convertvector(a0, Lanes) * __builtin_convertvector(b0, Lanes);
		t += __builtin_convertvector(a1, Lanes) * __builtin_convertvector(b1, Lanes);
	}
	s += t;
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* Is the column of that coefficient row (0: none) among CHUNK from `from` on? */
static bool
is_wanted(uint32_t row, int64_t from)
{
	return row != 0 && row - 1 >= from && row - 1 < from + CHUNK;
}

/* The columns of one row from `from` on: numbers, then codes. */
static void
scale_row(const PgmlSvmView *view, const float *x, int64_t from, float *out)
{
	const PgmlSvmHeader *header = view->header;
	uint32_t code = header->numbers + 1;

	memset(out, 0, CHUNK * sizeof(float));
	for (uint32_t i = 0; i < header->nfeatures; i++)
	{
		const PgmlLinearFeature *f = &view->features[i];

		if (f->kind == PGML_LINEAR_CATEGORY)
		{
			if (is_wanted(code, from))
				out[code - 1 - from] = (float) (pgml_linear_level_row(f, x[i]) - f->row);
			code++;
		}
		else if (isnan(x[i]))
		{
			if (is_wanted(f->missing_row, from))
				out[f->missing_row - 1 - from] = 1;
		}
		else
		{
			double v = pgml_linear_clip(f, x[i]);

			if (is_wanted(f->row, from))
				out[f->row - 1 - from] = (float) pgml_linear_value(f, v);
			if (is_wanted(f->log_row, from))
				out[f->log_row - 1 - from] = (float) pgml_linear_log_value(f, v);
		}
	}
}

/* Squared distances of the rows to the points of some tiles. */
static void
find_distances(Batch *b, const float *tile, int64_t n_tiles)
{
	const PgmlSvmHeader *header = b->view->header;
	int64_t numbers = header->numbers;
	int64_t width = numbers + header->codes;

	for (int r = 0; r < b->n; r++)
		memset(b->kernel[r], 0, (size_t) n_tiles * PGML_SVM_TILE * sizeof(float));
	for (int64_t from = 0; from < width; from += CHUNK)
	{
		int64_t upto = from + CHUNK < width ? from + CHUNK : width;
		int64_t middle = numbers < from ? from : (numbers > upto ? upto : numbers);

		for (int r = 0; r < b->n; r++)
		{
			if (b->from != from)
				scale_row(b->view, b->x + r * (int64_t) header->nfeatures, from, b->scaled[r]);
			pgml_svm_add_distances(tile + from * PGML_SVM_TILE, width * PGML_SVM_TILE, n_tiles,
								   b->scaled[r], (int) (middle - from), (int) (upto - middle),
								   b->kernel[r]);
		}
		b->from = from;
	}
}

/* Add what some points of a group say to its decisions; beta: of these points, `stride` floats from decision to decision. */
static void
add_points(const Batch *b, uint32_t group, const float *beta, int64_t stride, int64_t n,
		   double *decisions)
{
	const PgmlSvmView *view = b->view;
	bool pairs = view->header->scheme == PGML_SVM_PAIRS;
	int64_t k = view->header->groups;

	for (int64_t d = 0; d < view->group_decisions; d++)
	{
		int64_t at = d;

		if (pairs)
			at = d < group ? pgml_svm_pair(k, d, group) : pgml_svm_pair(k, group, d + 1);
		for (int r = 0; r < b->n; r++)
			decisions[r * (int64_t) view->header->decisions + at] +=
				dot(n, beta + d * stride, b->kernel[r]);
	}
}

static void
score_rbf(const PgmlSvmView *view, const float *x, int n, double *decisions)
{
	const PgmlSvmHeader *header = view->header;
	int64_t tile_floats = ((int64_t) header->numbers + header->codes) * PGML_SVM_TILE;
	const float *tile = view->points;
	const float *beta = view->beta;
	Batch b;

	b.view = view;
	b.x = x;
	b.n = n;
	b.from = -1;
	for (uint32_t g = 0; g < header->groups; g++)
	{
		int64_t points = (int64_t) view->tiles[g] * PGML_SVM_TILE;

		for (int64_t t = 0; t < view->tiles[g]; t += TILES)
		{
			int64_t n_tiles = view->tiles[g] - t < TILES ? view->tiles[g] - t : TILES;

			find_distances(&b, tile, n_tiles);
			for (int r = 0; r < n; r++)
				pgml_svm_rbf((float) header->gamma, n_tiles * PGML_SVM_TILE, b.kernel[r]);
			add_points(&b, g, beta + t * PGML_SVM_TILE, points, n_tiles * PGML_SVM_TILE, decisions);
			tile += n_tiles * tile_floats;
		}
		beta += points * view->group_decisions;
	}
}

/* out += factor * coefficient row. */
static void
add_row(const PgmlSvmView *view, uint32_t row, double factor, double *out)
{
	int64_t n = view->header->decisions;
	const double *coef = view->coef + row * n;

	for (int64_t d = 0; d < n; d++)
		out[d] += factor * coef[d];
}

static void
score_linear(const PgmlSvmView *view, const float *x, double *out)
{
	for (uint32_t i = 0; i < view->header->nfeatures; i++)
	{
		const PgmlLinearFeature *f = &view->features[i];

		if (f->kind == PGML_LINEAR_CATEGORY)
			add_row(view, pgml_linear_level_row(f, x[i]), 1, out);
		else if (isnan(x[i]))
		{
			if (f->missing_row != 0)
				add_row(view, f->missing_row, 1, out);
		}
		else
		{
			double v = pgml_linear_clip(f, x[i]);

			if (f->row != 0)
				add_row(view, f->row, pgml_linear_value(f, v), out);
			if (f->log_row != 0)
				add_row(view, f->log_row, pgml_linear_log_value(f, v), out);
		}
	}
}

void
pgml_svm_score_rows(const PgmlSvmView *view, const float *x, int n, double *decisions)
{
	size_t d = view->header->decisions;

	for (int r = 0; r < n; r++)
		memcpy(decisions + (size_t) r * d, view->bias, d * sizeof(double));
	if (view->header->kernel == PGML_SVM_RBF)
	{
		score_rbf(view, x, n, decisions);
		return;
	}
	for (int r = 0; r < n; r++)
		score_linear(view, x + r * (int64_t) view->header->nfeatures, decisions + (size_t) r * d);
}

/* ---- from decisions to predictions ---- */

/* Probabilities of classes of which each was told from the rest; in place. */
static void
share_out(const PgmlSvmView *view, double *p)
{
	int64_t k = view->header->decisions;
	double sum = 0;

	for (int64_t c = 0; c < k; c++)
	{
		p[c] = fmax(pgml_svm_probability(view->sigmoid[c], p[c]), LEAST);
		sum += p[c];
	}
	for (int64_t c = 0; c < k; c++)
		p[c] /= sum;
}

static void
couple_pairs(const PgmlSvmView *view, const double *decisions, double *p)
{
	double r[PGML_SVM_PAIRED * PGML_SVM_PAIRED];
	int k = (int) view->header->groups;
	int64_t at = 0;

	for (int i = 0; i < k; i++)
		for (int j = i + 1; j < k; j++, at++)
		{
			double first = pgml_svm_probability(view->sigmoid[at], decisions[at]);

			r[i * k + j] = fmin(fmax(first, LEAST), 1 - LEAST);
			r[j * k + i] = 1 - r[i * k + j];
		}
	pgml_svm_couple(k, r, p);
}

void
pgml_svm_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	double pairs[PGML_SVM_BATCH * PGML_SVM_PAIRED * (PGML_SVM_PAIRED - 1) / 2];
	int64_t k = pgml_task_outputs(shape->task, shape->n_classes);
	PgmlSvmView view;

	pgml_svm_view(payload, &view);
	for (int64_t i = 0; i < n; i += PGML_SVM_BATCH)
	{
		int batch = n - i < PGML_SVM_BATCH ? (int) (n - i) : PGML_SVM_BATCH;
		bool coupled = view.header->scheme == PGML_SVM_PAIRS;

		pgml_svm_score_rows(&view, x + i * shape->nfeatures, batch, coupled ? pairs : out + i * k);
		for (int64_t r = 0; r < batch; r++)
		{
			double *o = out + (i + r) * k;

			if (coupled)
				couple_pairs(&view, pairs + r * view.header->decisions, o);
			else if (shape->task == PGML_TASK_MULTICLASS)
				share_out(&view, o);
			else if (shape->task == PGML_TASK_BINARY)
				*o = pgml_svm_probability(view.sigmoid[0], *o);
			else
				*o = fmin(fmax(view.header->offset + view.header->scale * *o, -DBL_MAX), DBL_MAX);
		}
	}
}
