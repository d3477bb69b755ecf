/*
 * knn_tree.c - a k-d tree whose leaves are panels (Friedman, Bentley and Finkel 1977): a node's rows are parted in the column
 * in which they spread most, near the median.
 *
 * A split leaves a whole number of full panels on the left, so the tree is balanced and needs no pointers.  Which rows of equal value go
 * to which side does not matter: neighbours are found all the same.
 */
#include "learner/knn.h"

#include <string.h>

#include "core/rng.h"

/* Rows of a node that say how far it spreads. */
#define SPREAD_ROWS 128

/* Rows that are passed between two looks at the stop flag. */
#define POLL_ROWS 100000

typedef struct Growing
{
	const PgmlEnv *env;
	const PgmlKnnView *v;
	int32_t *number;
	uint64_t *keyed; /* the rows of a node with their values */
	PgmlRng rng;
	int64_t passed; /* rows since the last look at the stop flag */
} Growing;

/* A float as bits that sort as it does. */
static uint32_t
sortable(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float
value(const Growing *g, int64_t i, int32_t column)
{
	return g->v->row[(size_t) g->number[i] * (size_t) g->v->width + (size_t) column];
}

/* The dense column in which evenly spaced rows of from .. to - 1 spread most. */
static int32_t
widest(const Growing *g, int64_t from, int64_t to)
{
	int64_t stride = (to - from + SPREAD_ROWS - 1) / SPREAD_ROWS;
	int32_t best = 0;
	float most = -1;

	for (int32_t c = 0; c < g->v->dense; c++)
	{
		float low = value(g, from, c);
		float high = low;

		for (int64_t i = from + stride; i < to; i += stride)
		{
			float x = value(g, i, c);

			low = x < low ? x : low;
			high = x > high ? x : high;
		}
		if (high - low > most)
		{
			most = high - low;
			best = c;
		}
	}
	return best;
}

static void
swap(uint64_t *a, uint64_t *b)
{
	uint64_t t = *a;

	*a = *b;
	*b = t;
}

/* Order n keys, all different, so that the `left` smallest come first (Hoare's selection; pivots are drawn, so that no order is slow). */
static void
select_smallest(Growing *g, int64_t n, int64_t left)
{
	uint64_t *key = g->keyed;
	int64_t from = 0;
	int64_t to = n - 1;

	while (from < to)
	{
		int64_t i = from;
		int64_t j = to;
		uint64_t pivot = key[from + (int64_t) pgml_rng_below(&g->rng, (uint64_t) (to - from + 1))];

		while (i <= j)
		{
			while (key[i] < pivot)
				i++;
			while (pivot < key[j])
				j--;
			if (i <= j)
				swap(&key[i++], &key[j--]);
		}
		if (left <= j)
			to = j;
		else if (left >= i)
			from = i;
		else
			return;
	}
}

/* Part the rows from .. to - 1 of a node so that `left` of them are on the left. */
static void
part(Growing *g, int64_t from, int64_t to, int64_t left, PgmlKnnNode *node)
{
	int64_t n = to - from;
	int32_t column = widest(g, from, to);
	float high = -INFINITY;
	float low = INFINITY;

	for (int64_t i = 0; i < n; i++)
		g->keyed[i] =
			(uint64_t) sortable(value(g, from + i, column)) << 32 | (uint32_t) g->number[from + i];
	select_smallest(g, n, left);
	for (int64_t i = 0; i < n; i++)
	{
		float x;

		g->number[from + i] = (int32_t) (uint32_t) g->keyed[i];
		x = value(g, from + i, column);
		if (i < left)
			high = x > high ? x : high;
		else
			low = x < low ? x : low;
	}
	*node = (PgmlKnnNode){ column, high, low };
}

/* The tree over n panels that begin with row `from`; its root is node.  No deeper than the logarithm of n. */
static PgmlStatus
grow(Growing *g, int64_t from, int64_t panels, PgmlKnnNode *node)
{
	int64_t rows = g->v->header->rows;
	int64_t to = from + panels * PGML_KNN_PANEL < rows ? from + panels * PGML_KNN_PANEL : rows;
	int64_t left = (panels + 1) / 2;

	if (panels <= 1)
	{
		*node = (PgmlKnnNode){ -1, 0, 0 };
		return PGML_OK;
	}
	g->passed += to - from;
	if (g->passed >= POLL_ROWS)
	{
		g->passed = 0;
		if (pgml_stopped(g->env))
			return PGML_ERR_CANCELLED;
	}
	part(g, from, to, left * PGML_KNN_PANEL, node);
	PGML_TRY(grow(g, from, left, node + 1));
	return grow(g, from + left * PGML_KNN_PANEL, panels - left, node + 2 * left);
}

PgmlStatus
pgml_knn_tree(const PgmlEnv *env, const PgmlKnnView *v, int32_t *number, uint64_t *scratch,
			  PgmlKnnNode *node)
{
	Growing g = { .env = env, .v = v, .number = number, .keyed = scratch };
	int64_t panels = ((int64_t) v->header->rows + PGML_KNN_PANEL - 1) / PGML_KNN_PANEL;

	pgml_rng_init(&g.rng, 1, 0x6b6e6e); /* of the pivots: they do not matter */
	return grow(&g, 0, panels, node);
}
