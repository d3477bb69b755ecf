/*
 * knn_search.c - the neighbours of a block of rows.
 *
 * Without a tree, by |a|^2 + |b|^2 - 2 ab: a kernel multiplies a panel with PGML_KNN_GROUP rows at a time, and half of what is compared
 * is known before.  One row alone, and absolute differences, are compared directly.
 */
#include "learner/knn.h"

#include <string.h>

/* Columns of stored rows, for all rows predicted, that are gone through in about 20 ms: one by one, and by the kernels of blocks. */
#define NUMBERS_ONE_BY_ONE 2e7
#define NUMBERS_BY_KERNELS 2e8

/* A search that rounding cannot mislead: bounds of boxes are sums of numbers that were rounded a few times. */
#define BOUND_SLACK 1e-9

/* A block of rows and their nearest so far. */
typedef struct Search
{
	PgmlKnnView v;
	const PgmlKnnPrepared *p;
	const PgmlKnnKernel *kernel;
	bool manhattan;
	double slack;
	int32_t n; /* rows of the block */
	int32_t k;
	float *query;           /* n x width, row by row */
	float *grouped;         /* the same by groups, [group][column][place]; not for all ways */
	float *least;           /* per place of a group, what tile() wants */
	double *length;         /* per row, squared */
	PgmlKnnNeighbour *heap; /* n x k */
	int32_t *found;         /* per row, in its heap */
	double *off;            /* per column, how far the box of a node is from the row in it */
} Search;

#define GROUPS ((PGML_BLOCK_ROWS + PGML_KNN_GROUP - 1) / PGML_KNN_GROUP)

static uint64_t
align(uint64_t size)
{
	return (size + 63) / 64 * 64;
}

/* Bytes of each array, in the order of Search. */
static void
sizes(int64_t width, int64_t dense, int64_t k, uint64_t *size)
{
	size[0] = align(PGML_BLOCK_ROWS * (uint64_t) width * sizeof(float));
	size[1] = align(GROUPS * PGML_KNN_GROUP * (uint64_t) width * sizeof(float));
	size[2] = align(GROUPS * PGML_KNN_GROUP * sizeof(float));
	size[3] = align(PGML_BLOCK_ROWS * sizeof(double));
	size[4] = align(PGML_BLOCK_ROWS * (uint64_t) k * sizeof(PgmlKnnNeighbour));
	size[5] = align(PGML_BLOCK_ROWS * sizeof(int32_t));
	size[6] = align((uint64_t) dense * sizeof(double));
}

uint64_t
pgml_knn_search_scratch(int64_t width, int64_t dense, int64_t k)
{
	uint64_t size[7];
	uint64_t sum = 0;

	sizes(width, dense, k, size);
	for (int i = 0; i < 7; i++)
		sum += size[i];
	return sum;
}

/* ---- measuring ----------------------------------------------------------------------------------- */

/* What the k-th nearest of row q, if there are so many, lets tile() look for: half of the negative distance, less |b|^2 / 2. */
static float
least_of(const Search *s, int32_t q)
{
	double bound = pgml_knn_bound(s->heap + (size_t) q * (size_t) s->k, s->k, s->found[q]);

	return (float) (s->length[q] * (0.5 - s->slack) - bound * (0.5 + s->slack));
}

/* Measure the rows of a panel that may be near row q. */
static void
measure(Search *s, int32_t q, uint32_t panel, uint32_t mask)
{
	const int32_t *number =
		(const int32_t *) pgml_knn_at(s->p, s->p->number) + (size_t) panel * PGML_KNN_PANEL;
	PgmlKnnNeighbour *heap = s->heap + (size_t) q * (size_t) s->k;

	for (; mask != 0; mask &= mask - 1)
	{
		int32_t row = number[__builtin_ctz(mask)];

		if (row >= 0)
			pgml_knn_offer(heap, s->k, &s->found[q],
						   pgml_knn_distance(&s->v, s->query + (size_t) q * (size_t) s->v.width,
											 s->v.row + (size_t) row * (size_t) s->v.width),
						   row);
	}
}

static const float *
panel_at(const Search *s, uint32_t panel)
{
	return (const float *) pgml_knn_at(s->p, s->p->panels) +
		   (size_t) panel * (size_t) s->v.width * PGML_KNN_PANEL;
}

/* Compare row q with a panel. */
static void
compare(Search *s, int32_t q, uint32_t panel)
{
	double bound = pgml_knn_bound(s->heap + (size_t) q * (size_t) s->k, s->k, s->found[q]);
	uint32_t mask =
		s->kernel->near(panel_at(s, panel), s->query + (size_t) q * (size_t) s->v.width, s->v.dense,
						s->v.width, s->manhattan, pgml_knn_most(bound, s->slack));

	if (mask != 0)
		measure(s, q, panel, mask);
}

/* ---- all with all -------------------------------------------------------------------------------- */

/* The rows by groups, their lengths, and bounds that nothing but the places behind the last row lets pass. */
static void
group_rows(Search *s)
{
	int32_t width = s->v.width;
	int32_t places = (s->n + PGML_KNN_GROUP - 1) / PGML_KNN_GROUP * PGML_KNN_GROUP;

	for (int32_t i = 0; i < places; i++)
	{
		const float *query = s->query + (size_t) i * (size_t) width;
		float *to = s->grouped + (size_t) (i / PGML_KNN_GROUP) * PGML_KNN_GROUP * (size_t) width +
					i % PGML_KNN_GROUP;

		for (int32_t c = 0; c < width; c++)
			to[c * PGML_KNN_GROUP] = i < s->n ? query[c] : 0;
		s->least[i] = i < s->n ? -INFINITY : INFINITY;
		if (i >= s->n)
			continue;
		s->length[i] = 0;
		for (int32_t c = 0; c < s->v.dense; c++)
			s->length[i] += (double) query[c] * query[c];
	}
}

static void
search_panels(Search *s)
{
	const float *start = pgml_knn_at(s->p, s->p->start);
	int32_t width = s->v.width;

	group_rows(s);
	for (uint32_t i = 0; i < s->p->n_panels; i++, start += PGML_KNN_PANEL)
		for (int32_t first = 0; first < s->n; first += PGML_KNN_GROUP)
		{
			uint32_t mask[PGML_KNN_GROUP];

			s->kernel->tile(panel_at(s, i), s->grouped + (size_t) first * (size_t) width,
							s->v.dense, width, start, s->least + first, mask);
			for (int32_t q = 0; q < PGML_KNN_GROUP; q++)
				if (mask[q] != 0 && first + q < s->n)
				{
					measure(s, first + q, i, mask[q]);
					s->least[first + q] = least_of(s, first + q);
				}
		}
}

/* ---- the tree ------------------------------------------------------------------------------------ */

/*
 * The tree over n panels from `panel` on, whose rows are at least `bound` away from row q.  Bounds are kept up column by column: how far
 * the box of a node is from the row in each (Arya and Mount 1993).  No deeper than the logarithm of n.
 */
static void
visit(Search *s, int32_t q, const PgmlKnnNode *node, uint32_t panel, uint32_t n, double bound)
{
	float x;
	double off, before, beyond;
	uint32_t left = (n + 1) / 2;
	bool go_left;

	if (n == 1)
	{
		compare(s, q, panel);
		return;
	}
	x = s->query[(size_t) q * (size_t) s->v.width + (size_t) node->column];
	go_left = (double) x - node->left_high < (double) node->right_low - x;
	if (go_left)
		visit(s, q, node + 1, panel, left, bound);
	else
		visit(s, q, node + 2 * left, panel + left, n - left, bound);
	off = go_left ? (double) node->right_low - x : (double) x - node->left_high;
	before = s->off[node->column];
	if (!(off > before))
		off = before;
	beyond = bound + (s->manhattan ? off - before : off * off - before * before);
	if (beyond * (1 - BOUND_SLACK) >
		pgml_knn_bound(s->heap + (size_t) q * (size_t) s->k, s->k, s->found[q]))
		return;
	s->off[node->column] = off;
	if (go_left)
		visit(s, q, node + 2 * left, panel + left, n - left, beyond);
	else
		visit(s, q, node + 1, panel, left, beyond);
	s->off[node->column] = before;
}

/* ---- the block ----------------------------------------------------------------------------------- */

/* Give the arrays their places. */
static void
place_arrays(Search *s, char *scratch)
{
	uint64_t size[7];
	void *at[7];

	sizes(s->v.width, s->v.dense, s->k, size);
	for (int i = 0; i < 7; scratch += size[i++])
		at[i] = scratch;
	s->query = at[0];
	s->grouped = at[1];
	s->least = at[2];
	s->length = at[3];
	s->heap = at[4];
	s->found = at[5];
	s->off = at[6];
}

static void
search(Search *s)
{
	const PgmlKnnNode *node = pgml_knn_at(s->p, s->p->node);

	memset(s->found, 0, (size_t) s->n * sizeof(int32_t));
	if (s->p->node != 0)
	{
		memset(s->off, 0, (size_t) s->v.dense * sizeof(double));
		for (int32_t q = 0; q < s->n; q++)
			visit(s, q, node, 0, s->p->n_panels, 0);
	}
	else if (s->manhattan || s->n < PGML_KNN_FEW)
		for (uint32_t i = 0; i < s->p->n_panels; i++)
			for (int32_t q = 0; q < s->n; q++)
				compare(s, q, i);
	else
		search_panels(s);
}

int64_t
pgml_knn_rows_at_once(const uint8_t *payload, const void *prepared)
{
	const PgmlKnnPrepared *p = prepared;
	const PgmlKnnHeader *h = (const PgmlKnnHeader *) payload;
	double numbers = (double) h->rows * (h->dense + h->categories + 1);
	int n_kernels;
	bool fast = p != NULL && pgml_knn_kernels(&n_kernels)[p->kernel] != &pgml_knn_kernel_plain;
	double most = (fast ? NUMBERS_BY_KERNELS : NUMBERS_ONE_BY_ONE) / numbers;

	if (most >= PGML_KNN_GROUP)
		return most < PGML_BLOCK_ROWS ? (int64_t) most : PGML_BLOCK_ROWS;
	/* A group passes the rows once, so that it is worth twice the time. */
	if (fast && p->node == 0 && 2 * most >= PGML_KNN_GROUP)
		return PGML_KNN_GROUP;
	return most < 1 ? 1 : most < PGML_KNN_FEW ? (int64_t) most : PGML_KNN_FEW - 1;
}

void
pgml_knn_predict_block(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
					   const PgmlBlock *block, double *out, void *scratch)
{
	Search s = { .v = pgml_knn_view(payload), .p = prepared, .n = (int32_t) block->n };
	int64_t outputs = pgml_task_outputs(shape->task, shape->n_classes);
	int n_kernels;

	s.kernel = pgml_knn_kernels(&n_kernels)[s.p->kernel];
	s.manhattan = s.v.header->metric == PGML_KNN_MANHATTAN;
	s.slack = pgml_knn_slack(s.v.width);
	s.k = (int32_t) s.v.header->k;
	place_arrays(&s, scratch);
	for (int32_t f = 0; f < shape->nfeatures; f++)
		for (int32_t i = 0; i < s.n; i++)
			pgml_knn_place(&s.v.features[f], block->x[f * block->stride + i],
						   s.query + (size_t) i * (size_t) s.v.width);
	search(&s);
	for (int32_t q = 0; q < s.n; q++)
		pgml_knn_decide(&s.v, s.heap + (size_t) q * (size_t) s.k, s.found[q], out + q * outputs);
}
