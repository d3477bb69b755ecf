/*
 * knn_prepare.c - from the stored rows to panels, in the order of a tree or as they are.
 *
 * Also the kernel that runs anywhere, and which one is the best here.
 */
#include "learner/knn.h"

#include <string.h>

#define POLL_PANELS 4096

/*
 * With d dense columns a tree is faster than comparing with all rows from about TREE_ROWS * TREE_GROWTH^d rows on (measured with normal numbers;
 * columns that depend on each other need fewer rows).
 */
#define TREE_ROWS    256
#define TREE_GROWTH  1.5
#define TREE_COLUMNS 20

/* ---- kernels ------------------------------------------------------------------------------------- */

static bool
runs_anywhere(void)
{
	return true;
}

static void
tile_plain(const float *panel, const float *query, int32_t dense, int32_t width, const float *start,
		   const float *least, uint32_t *mask)
{
	for (int32_t q = 0; q < PGML_KNN_GROUP; q++)
	{
		float sum[PGML_KNN_PANEL];

		mask[q] = 0;
		if (least[q] == INFINITY)
			continue;
		memcpy(sum, start, sizeof(sum));
		for (int32_t c = 0; c < dense; c++)
			for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
				sum[r] += panel[c * PGML_KNN_PANEL + r] * query[c * PGML_KNN_GROUP + q];
		for (int32_t c = dense; c < width; c++)
			for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
				sum[r] -= panel[c * PGML_KNN_PANEL + r] != query[c * PGML_KNN_GROUP + q];
		for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
			mask[q] |= (uint32_t) (sum[r] >= least[q]) << r;
	}
}

static uint32_t
near_plain(const float *panel, const float *query, int32_t dense, int32_t width, bool manhattan,
		   float most)
{
	float sum[PGML_KNN_PANEL] = { 0 };
	uint32_t mask = 0;

	for (int32_t c = 0; c < dense; c++)
		for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
		{
			float d = panel[c * PGML_KNN_PANEL + r] - query[c];

			sum[r] += manhattan ? fabsf(d) : d * d;
		}
	for (int32_t c = dense; c < width; c++)
		for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
			sum[r] += panel[c * PGML_KNN_PANEL + r] != query[c] ? 2.0f : 0.0f;
	for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
		mask |= (uint32_t) (sum[r] <= most) << r;
	return mask;
}

const PgmlKnnKernel pgml_knn_kernel_plain = { "plain", runs_anywhere, tile_plain, near_plain };

static const PgmlKnnKernel *const kernels[] = {
#if defined(__x86_64__) && defined(__GNUC__)
	&pgml_knn_kernel_avx512,
	&pgml_knn_kernel_avx2,
#endif
	&pgml_knn_kernel_plain,
};

const PgmlKnnKernel *const *
pgml_knn_kernels(int *n)
{
	*n = (int) (sizeof(kernels) / sizeof(kernels[0]));
	return kernels;
}

/* ---- preparing ----------------------------------------------------------------------------------- */

static uint64_t
align(uint64_t size)
{
	return (size + 63) / 64 * 64;
}

/* Is the tree the faster way? */
static bool
wants_tree(const PgmlKnnView *v)
{
	const PgmlKnnHeader *h = v->header;

	if (v->dense == 0 || h->algorithm == PGML_KNN_BRUTE)
		return false;
	return h->algorithm == PGML_KNN_TREE || (v->dense <= TREE_COLUMNS && h->categories == 0 &&
											 h->rows >= TREE_ROWS * pow(TREE_GROWTH, v->dense));
}

/* Where everything lies. */
static PgmlKnnPrepared
lay_out(const PgmlKnnView *v, int kernel, bool tree)
{
	uint64_t n_panels = ((uint64_t) v->header->rows + PGML_KNN_PANEL - 1) / PGML_KNN_PANEL;
	PgmlKnnPrepared p = { .n_panels = (uint32_t) n_panels, .kernel = (uint32_t) kernel };
	uint64_t row = PGML_KNN_PANEL * sizeof(float);

	p.panels = align(sizeof(p));
	p.start = p.panels + n_panels * (uint64_t) v->width * row;
	p.number = p.start + (tree ? 0 : n_panels * row);
	p.size = p.number + n_panels * row;
	if (tree)
	{
		p.node = p.size;
		p.size = align(p.size + (2 * n_panels - 1) * sizeof(PgmlKnnNode));
	}
	p.scratch = pgml_knn_search_scratch(v->width, v->dense, v->header->k);
	return p;
}

/* Rows in the order of their panels; places without a row have -1. */
static PgmlStatus
order_rows(const PgmlEnv *env, const PgmlKnnView *v, PgmlKnnPrepared *p)
{
	int32_t *number = (int32_t *) ((char *) p + p->number);
	int64_t places = (int64_t) p->n_panels * PGML_KNN_PANEL;
	int64_t rows = v->header->rows;
	PgmlArena *arena;
	uint64_t *scratch;
	PgmlStatus status;

	for (int64_t i = 0; i < places; i++)
		number[i] = i < rows ? (int32_t) i : -1;
	if (p->node == 0)
		return PGML_OK;
	arena = pgml_arena_create(env->budget);
	scratch = arena != NULL ? pgml_array(arena, (size_t) rows, sizeof(uint64_t)) : NULL;
	if (scratch == NULL)
		status = pgml_fail_nomem(env, "a prepared model");
	else
		status = pgml_knn_tree(env, v, number, scratch, (PgmlKnnNode *) ((char *) p + p->node));
	if (status == PGML_ERR_CANCELLED)
		status = pgml_fail_cancelled(env);
	pgml_arena_destroy(arena);
	return status;
}

/* Half the square of a row's length, less than it is by room for rounding, and negative. */
static float
start_of(const PgmlKnnView *v, const float *row)
{
	double sum = 0;

	for (int32_t c = 0; c < v->dense; c++)
		sum += (double) row[c] * row[c];
	return (float) (-sum * (0.5 - pgml_knn_slack(v->width)));
}

/* Copy the rows into their panels; a place without a row is never near. */
static PgmlStatus
fill_panels(const PgmlEnv *env, const PgmlKnnView *v, PgmlKnnPrepared *p)
{
	float *panel = (float *) ((char *) p + p->panels);
	float *start = (float *) ((char *) p + p->start);
	const int32_t *number = pgml_knn_at(p, p->number);

	for (uint32_t i = 0; i < p->n_panels; i++, number += PGML_KNN_PANEL)
	{
		if (i % POLL_PANELS == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (int32_t r = 0; r < PGML_KNN_PANEL; r++)
		{
			const float *row =
				number[r] < 0 ? NULL : v->row + (size_t) number[r] * (size_t) v->width;

			for (int32_t c = 0; c < v->width; c++)
				panel[c * PGML_KNN_PANEL + r] = row != NULL ? row[c] : 0;
			if (p->node == 0)
				start[r] = row != NULL ? start_of(v, row) : -INFINITY;
		}
		panel += (size_t) v->width * PGML_KNN_PANEL;
		start += PGML_KNN_PANEL;
	}
	return PGML_OK;
}

PgmlStatus
pgml_knn_prepare_for(const PgmlEnv *env, PgmlArena *arena, int kernel, const uint8_t *payload,
					 const void **prepared)
{
	PgmlKnnView v = pgml_knn_view(payload);
	PgmlKnnPrepared layout = lay_out(&v, kernel, wants_tree(&v));
	PgmlKnnPrepared *p = pgml_alloc(arena, layout.size);

	if (p == NULL)
		return pgml_fail_nomem(env, "a prepared model");
	*p = layout;
	PGML_TRY(order_rows(env, &v, p));
	PGML_TRY(fill_panels(env, &v, p));
	*prepared = p;
	return PGML_OK;
}

PgmlStatus
pgml_knn_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
				 const PgmlShape *shape, const void **prepared)
{
	int kernel = 0;

	(void) shape;
	while (!kernels[kernel]->runs_here())
		kernel++;
	return pgml_knn_prepare_for(env, arena, kernel, payload, prepared);
}

size_t
pgml_knn_prepared_size(const void *prepared)
{
	return ((const PgmlKnnPrepared *) prepared)->size;
}

size_t
pgml_knn_scratch(const void *prepared)
{
	return ((const PgmlKnnPrepared *) prepared)->scratch;
}

int64_t
pgml_knn_prepare_memory(int64_t rows, int64_t width, int64_t k)
{
	int64_t panels = rows / PGML_KNN_PANEL + 1;
	int64_t panel = PGML_KNN_PANEL * (width + 2) * (int64_t) sizeof(float);
	int64_t node = 2 * (int64_t) sizeof(PgmlKnnNode) + PGML_KNN_PANEL * (int64_t) sizeof(uint64_t);

	return panels * (panel + node) + (int64_t) pgml_knn_search_scratch(width, width, k);
}
