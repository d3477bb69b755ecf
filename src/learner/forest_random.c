/*
 * forest_random.c - one random cut for each feature that is looked at (Geurts, Ernst and Wehenkel 2006), for classes and records of
 * weight 1.
 *
 * Sixteen features lie side by side in a record, so one instruction serves all of them: first for their least and greatest bytes
 * in the node, then, when the cuts are drawn, for counting what lies below them, class by class.
 */
#include "learner/forest_grow.h"

#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Items whose counts fit into bytes. */
#define BYTE_ITEMS 255

/* Items between two looks at the flag. */
#define AT_ONCE (BYTE_ITEMS * 128)

typedef uint8_t Bytes __attribute__((vector_size(PGML_FOREST_CHUNK)));

/* Features that are drawn before records are looked at. */
#define BATCH 32

/* A feature that is looked at. */
typedef struct Candidate
{
	int32_t feature;
	int32_t cut;              /* bytes up to it go left; -1: all items have the same byte */
	bool missing;             /* it is missing in some items */
	double left_n[2];         /* with missing values on the right, and on the left */
	double left[2], right[2]; /* by the weights of the classes */
	double terms_left[2], terms_right[2]; /* of the criterion */
} Candidate;

static inline Bytes
load(const uint8_t *from)
{
	Bytes b;

	memcpy(&b, from, sizeof(b));
	return b;
}

/* The lesser, or the greater, of each pair of bytes. */
static inline Bytes
least(Bytes a, Bytes b)
{
#ifdef __SSE2__
	return (Bytes) _mm_min_epu8((__m128i) a, (__m128i) b);
#else
	Bytes a_is_less = (Bytes) (a < b);

	return (a & a_is_less) | (b & ~a_is_less);
#endif
}

static inline Bytes
greatest(Bytes a, Bytes b)
{
#ifdef __SSE2__
	return (Bytes) _mm_max_epu8((__m128i) a, (__m128i) b);
#else
	Bytes a_is_less = (Bytes) (a < b);

	return (b & a_is_less) | (a & ~a_is_less);
#endif
}

/*
 * Least and greatest bytes of the items; least1: least of those that are not missing, less 1 (255: all are).  False when stopped.
 */
static bool
find_ranges(PgmlForestGrower *g, const uint8_t *record, const uint32_t *item, uint32_t n,
			Bytes *low, Bytes *low1, Bytes *high)
{
	size_t stride = (size_t) g->data->stride;
	Bytes l, l1, h, one;

	memset(&one, 1, sizeof(one));
	memset(&l, 255, sizeof(l));
	memset(&l1, 255, sizeof(l1));
	memset(&h, 0, sizeof(h));
	for (uint32_t from = 0; from < n; from += AT_ONCE)
	{
		uint32_t upto = n - from < AT_ONCE ? n : from + AT_ONCE;

		for (uint32_t i = from; i < upto; i++)
		{
			Bytes b = load(record + pgml_forest_row(item[i]) * stride);

			l = least(l, b);
			l1 = least(l1, b - one);
			h = greatest(h, b);
		}
		if (!pgml_forest_go_on(g, 4 * (int64_t) (upto - from)))
			return false;
	}
	*low = l;
	*low1 = l1;
	*high = h;
	return true;
}

/* Items of a segment, at most BYTE_ITEMS, whose byte less 1 is at most `top`, and whose byte is 0. */
static inline void
count_bytes(const uint8_t *record, size_t stride, const uint32_t *item, uint32_t n, Bytes top,
			Bytes *below, Bytes *missing)
{
	Bytes count, zero, one, absent;

	memset(&count, 0, sizeof(count));
	memset(&zero, 0, sizeof(zero));
	memset(&absent, 0, sizeof(absent));
	memset(&one, 1, sizeof(one));
	for (uint32_t i = 0; i < n; i++)
	{
		Bytes b = load(record + pgml_forest_row(item[i]) * stride);

		count -= (Bytes) (least(b - one, top) == b - one);
		absent -= (Bytes) (b == zero);
	}
	*below = count;
	*missing = absent;
}

/* ---- candidates of a chunk ------------------------------------------------------------------------- */

static inline double
term_of(bool entropy, double w)
{
	return entropy ? pgml_forest_xlogx(w) : w * w;
}

/* Account for a class: so many of its items are below the cut, so many missing. */
static inline void
add_class(const PgmlForestGrower *g, const PgmlForestSegment *segment, double below, double missing,
		  Candidate *c)
{
	double weight = g->data->class_weight[segment->class];
	bool entropy = g->config->criterion == PGML_FOREST_ENTROPY;

	for (int side = 0; side <= c->missing; side++)
	{
		double n = below + side * missing;
		double left = n * weight, right = (segment->n - n) * weight;

		c->left_n[side] += n;
		c->left[side] += left;
		c->right[side] += right;
		c->terms_left[side] += term_of(entropy, left);
		c->terms_right[side] += term_of(entropy, right);
	}
}

/* Draw the cut of a candidate between its least and greatest bytes. */
static void
draw_cut(PgmlForestGrower *g, Candidate *c, int low, int low1, int high)
{
	*c = (Candidate){ .feature = c->feature, .cut = -1, .missing = low == 0 };
	if (low1 + 1 < high)
		c->cut = low1 + 1 + (int) pgml_rng_below(&g->rng, (uint64_t) (high - low1 - 1));
	else if (c->missing && high > 0)
		c->cut = 0;
}

/* Count the classes on both sides of the cuts of a chunk's candidates; false when stopped. */
static bool
count_classes(PgmlForestGrower *g, const uint8_t *record, const uint32_t *item, Bytes top,
			  Candidate *const *candidate, int n)
{
	size_t stride = (size_t) g->data->stride;

	for (int32_t s = 0; s < g->n_segments; s++)
	{
		const PgmlForestSegment *segment = &g->segment[s];
		uint32_t below[BATCH] = { 0 }, missing[BATCH] = { 0 };

		for (uint32_t from = segment->from; from < segment->upto; from += BYTE_ITEMS)
		{
			uint32_t size = segment->upto - from < BYTE_ITEMS ? segment->upto - from : BYTE_ITEMS;
			Bytes count, absent;

			count_bytes(record, stride, item + from, size, top, &count, &absent);
			for (int j = 0; j < n; j++)
			{
				int lane = candidate[j]->feature % PGML_FOREST_CHUNK;

				below[j] += count[lane];
				missing[j] += absent[lane];
			}
			if (!pgml_forest_go_on(g, 4 * (int64_t) size))
				return false;
		}
		for (int j = 0; j < n; j++)
			add_class(g, segment, candidate[j]->cut > 0 ? below[j] : 0, missing[j], candidate[j]);
	}
	return true;
}

/* Keep the best of a candidate's one or two ways to split. */
static void
try_candidate(const PgmlForestGrower *g, const Candidate *c, PgmlForestSplit *split)
{
	double min_leaf = g->config->min_leaf;

	for (int side = 0; side <= c->missing; side++)
	{
		double right_n = g->total.n - c->left_n[side];
		double score;

		if (c->left_n[side] < min_leaf || right_n < min_leaf)
			continue;
		if (g->config->criterion == PGML_FOREST_ENTROPY)
			score = c->terms_left[side] - pgml_forest_xlogx(c->left[side]) + c->terms_right[side] -
					pgml_forest_xlogx(c->right[side]);
		else
			score = c->terms_left[side] / c->left[side] + c->terms_right[side] / c->right[side];
		if (split->feature < 0 || score > split->score)
			*split = (PgmlForestSplit){ score, c->feature, c->cut,
										c->missing ? side == 1 : 2 * c->left_n[0] >= g->total.n };
	}
}

/* Try the candidates that lie in one chunk of the records; false when stopped. */
static bool
try_chunk(PgmlForestGrower *g, const uint32_t *item, uint32_t n, Candidate *const *candidate,
		  int n_candidates, PgmlForestSplit *split)
{
	const uint8_t *record =
		g->at.record + candidate[0]->feature / PGML_FOREST_CHUNK * PGML_FOREST_CHUNK;
	Bytes low, low1, high, top;

	if (!find_ranges(g, record, item, n, &low, &low1, &high))
		return false;
	memset(&top, 0, sizeof(top));
	for (int j = 0; j < n_candidates; j++)
	{
		int lane = candidate[j]->feature % PGML_FOREST_CHUNK;

		draw_cut(g, candidate[j], low[lane], low1[lane], high[lane]);
		if (candidate[j]->cut > 0)
			top[lane] = (uint8_t) (candidate[j]->cut - 1);
	}
	if (!count_classes(g, record, item, top, candidate, n_candidates))
		return false;
	for (int j = 0; j < n_candidates; j++)
		if (candidate[j]->cut >= 0)
			try_candidate(g, candidate[j], split);
	return true;
}

bool
pgml_forest_find_random(PgmlForestGrower *g, const uint32_t *item, uint32_t n,
						PgmlForestSplit *split)
{
	int32_t seen = 0;

	split->feature = -1;
	while (seen < g->data->n_features && (seen < g->features_wanted || split->feature < 0))
	{
		int32_t wanted = seen < g->features_wanted ? g->features_wanted : g->data->n_features;
		Candidate batch[BATCH];
		Candidate *together[BATCH];
		int n_batch = wanted - seen < BATCH ? wanted - seen : BATCH;

		for (int j = 0; j < n_batch; j++)
			batch[j].feature = pgml_forest_draw_feature(g, seen++);
		for (int first = 0; first < n_batch; first++)
		{
			int32_t chunk = batch[first].feature / PGML_FOREST_CHUNK;
			int n_together = 0, before = 0;

			for (int j = 0; j < n_batch; j++)
				if (batch[j].feature / PGML_FOREST_CHUNK == chunk)
				{
					before += j < first;
					together[n_together++] = &batch[j];
				}
			if (before == 0 && !try_chunk(g, item, n, together, n_together, split))
				return false;
		}
	}
	return true;
}
