/*
 * forest_split.c - the best split of a node: histograms of some features drawn at random, one cell for each byte.
 *
 * Cells are added to record by record, a group of features at a time.  Few items leave most cells empty: then a bit for each
 * byte tells which are not, and only these are looked at and cleared.  With several classes few items are sorted by their byte instead.
 */
#include "learner/forest_grow.h"

#include <math.h>
#include <string.h>

/* Items up to which bits tell the cells in use. */
#define SPARSE_ITEMS 100

/* Items between two looks at the flag. */
#define AT_ONCE 32768

/* Bytes that occur, in order, with the moments of their items. */
typedef struct Occupied
{
	int n;
	uint8_t byte[256];
	double w[256]; /* weight without that of the class: what min_samples_leaf counts */
	double p[256];
} Occupied;

/* A group of features while histograms are made. */
typedef struct Group
{
	int n;
	int32_t feature[PGML_FOREST_GROUP];
	uint64_t bits[PGML_FOREST_GROUP][4];
} Group;

/* ---- xlogx --------------------------------------------------------------------------------------- */

double
pgml_forest_xlogx(double x)
{
	uint64_t bits;
	double m, t, t2, log_m;
	int exponent;

	if (!(x > 0x1p-1000))
		return 0;
	memcpy(&bits, &x, sizeof(bits));
	exponent = (int) (bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffu) | (uint64_t) 1023 << 52;
	memcpy(&m, &bits, sizeof(m));
	if (m > 1.4142135623730951)
	{
		m *= 0.5;
		exponent++;
	}
	/* log m = 2 artanh t, |t| < 0.172 */
	t = (m - 1) / (m + 1);
	t2 = t * t;
	log_m =
		2 * t *
		(1 + t2 * (1.0 / 3 +
				   t2 * (1.0 / 5 + t2 * (1.0 / 7 + t2 * (1.0 / 9 + t2 * (1.0 / 11 + t2 / 13))))));
	return x * (log_m + exponent * 0.69314718055994531);
}

/* ---- histograms ---------------------------------------------------------------------------------- */

/* Add items to the group's cells: weight in the high half, weight of class 1 in the low one. */
static inline __attribute__((always_inline)) void
add_counts(const PgmlForestGrower *g, const uint32_t *item, uint32_t from, uint32_t upto,
		   uint64_t unit, Group *group, bool sparse, int size)
{
	uint64_t(*cell)[256] = g->cell;
	size_t stride = (size_t) g->data->stride;

	for (uint32_t i = from; i < upto; i++)
	{
		const uint8_t *record = g->at.record + pgml_forest_row(item[i]) * stride;
		uint64_t value = pgml_forest_count(item[i]) * unit;

		for (int j = 0; j < size; j++)
		{
			uint8_t byte = record[group->feature[j]];

			cell[j][byte] += value;
			if (sparse)
				group->bits[j][byte >> 6] |= (uint64_t) 1 << (byte & 63);
		}
	}
}

/* The same with moments. */
static inline __attribute__((always_inline)) void
add_moments(const PgmlForestGrower *g, const uint32_t *item, uint32_t from, uint32_t upto,
			Group *group, bool sparse, int size)
{
	PgmlForestMoments(*cell)[256] = g->cell;
	size_t stride = (size_t) g->data->stride;

	for (uint32_t i = from; i < upto; i++)
	{
		uint32_t row = pgml_forest_row(item[i]);
		const uint8_t *record = g->at.record + row * stride;
		double count = pgml_forest_count(item[i]);
		double n = count * g->at.value[row].n, p = count * g->at.value[row].p;

		for (int j = 0; j < size; j++)
		{
			uint8_t byte = record[group->feature[j]];

			cell[j][byte].n += n;
			cell[j][byte].p += p;
			if (sparse)
				group->bits[j][byte >> 6] |= (uint64_t) 1 << (byte & 63);
		}
	}
}

/* Add items [from, upto) by the kind of their values; the size of the group is a constant in each case. */
static inline __attribute__((always_inline)) void
add_items(const PgmlForestGrower *g, const uint32_t *item, uint32_t from, uint32_t upto,
		  Group *group, bool sparse, int size)
{
	uint32_t middle;

	if (g->at.value != NULL)
	{
		add_moments(g, item, from, upto, group, sparse, size);
		return;
	}
	/* Of two classes the first one's items come first; a node has both. */
	middle = g->segment[0].upto;
	middle = middle < from ? from : middle > upto ? upto : middle;
	add_counts(g, item, from, middle, (uint64_t) 1 << 32, group, sparse, size);
	add_counts(g, item, middle, upto, ((uint64_t) 1 << 32) + 1, group, sparse, size);
}

static inline __attribute__((always_inline)) void
add_group(const PgmlForestGrower *g, const uint32_t *item, uint32_t from, uint32_t upto,
		  Group *group, bool sparse)
{
	switch (group->n)
	{
		case 1:
			add_items(g, item, from, upto, group, sparse, 1);
			break;
		case 2:
			add_items(g, item, from, upto, group, sparse, 2);
			break;
		case 3:
			add_items(g, item, from, upto, group, sparse, 3);
			break;
		case 4:
			add_items(g, item, from, upto, group, sparse, 4);
			break;
		case 5:
			add_items(g, item, from, upto, group, sparse, 5);
			break;
		case 6:
			add_items(g, item, from, upto, group, sparse, 6);
			break;
		case 7:
			add_items(g, item, from, upto, group, sparse, 7);
			break;
		default:
			add_items(g, item, from, upto, group, sparse, PGML_FOREST_GROUP);
	}
}

/* Histograms of a group of features; false when stopped. */
static bool
make_histograms(PgmlForestGrower *g, const uint32_t *item, uint32_t n, Group *group)
{
	memset(group->bits, 0, sizeof(group->bits));
	if (n <= SPARSE_ITEMS)
	{
		add_group(g, item, 0, n, group, true);
		return true;
	}
	for (uint32_t from = 0; from < n; from += AT_ONCE)
	{
		uint32_t upto = n - from < AT_ONCE ? n : from + AT_ONCE;

		add_group(g, item, from, upto, group, false);
		if (!pgml_forest_go_on(g, (int64_t) (upto - from) * group->n))
			return false;
	}
	return true;
}

/* Take the cells in use of a group's j-th feature, and clear them. */
static void
take_cells(const PgmlForestGrower *g, Group *group, int j, bool sparse, Occupied *o)
{
	uint64_t *count = (uint64_t *) g->cell + j * 256;
	PgmlForestMoments *moments = (PgmlForestMoments *) g->cell + j * 256;
	uint64_t *bits = group->bits[j];
	bool values = g->at.value != NULL;

	for (int b = 0; !sparse && b < 256; b++)
		bits[b >> 6] |= (uint64_t) (values ? moments[b].n != 0 : count[b] != 0) << (b & 63);
	o->n = 0;
	for (int word = 0; word < 4; word++)
		for (uint64_t left = bits[word]; left != 0; left &= left - 1)
		{
			int b = word * 64 + __builtin_ctzll(left);

			o->byte[o->n] = (uint8_t) b;
			o->w[o->n] = values ? moments[b].n : (double) (count[b] >> 32);
			o->p[o->n++] = values ? moments[b].p : (double) (uint32_t) count[b];
			if (values)
				moments[b] = (PgmlForestMoments){ 0, 0 };
			else
				count[b] = 0;
		}
}

/* ---- cuts ---------------------------------------------------------------------------------------- */

/* What is the same for all cuts of a feature. */
typedef struct Cuts
{
	PgmlForestGrower *g;
	PgmlForestSplit *split; /* the best so far */
	int32_t feature;
	double w, p; /* of all items */
	double class0, class1;
	bool entropy;
	bool numbers;
} Cuts;

/* See whether a cut that leaves w and p of the moments on the left is the best so far. */
static inline __attribute__((always_inline)) void
try_cut(const Cuts *c, double w, double p, int cut, bool missing_left)
{
	double right_w = c->w - w, right_p = c->p - p;
	double n, right_n, score;

	if (w < c->g->config->min_leaf || right_w < c->g->config->min_leaf)
		return;
	if (c->numbers)
	{
		n = w;
		right_n = right_w;
	}
	else
	{
		n = (w - p) * c->class0 + p * c->class1;
		right_n = (right_w - right_p) * c->class0 + right_p * c->class1;
		p *= c->class1;
		right_p *= c->class1;
	}
	score = c->entropy ? pgml_forest_entropy(n, p, right_n, right_p) :
						 pgml_forest_gini(n, p, right_n, right_p);
	if (c->split->feature < 0 || score > c->split->score)
		*c->split = (PgmlForestSplit){ score, c->feature, cut, missing_left };
}

/* Where nothing is missing, that goes with the larger side. */
static inline bool
missing_with_most(const Cuts *c, double w)
{
	return 2 * w >= c->w;
}

/* All cuts of a feature: between bytes that occur, in the middle. */
static inline __attribute__((always_inline)) void
try_all_cuts(const Cuts *c, const Occupied *o)
{
	bool missing = o->byte[0] == 0;
	double w = 0, p = 0;

	for (int i = 0; i + 1 < o->n; i++)
	{
		int cut = missing && i == 0 ? 0 : (o->byte[i] + o->byte[i + 1]) / 2;

		w += o->w[i];
		p += o->p[i];
		try_cut(c, w, p, cut, missing || missing_with_most(c, w));
	}
	w = p = 0;
	for (int i = 1; missing && i + 1 < o->n; i++)
	{
		w += o->w[i];
		p += o->p[i];
		try_cut(c, w, p, (o->byte[i] + o->byte[i + 1]) / 2, false);
	}
}

/* A cut of [low, high): each side gets some of the bytes that occur. */
static int
draw_cut(PgmlForestGrower *g, int low, int high)
{
	return low + (int) pgml_rng_below(&g->rng, (uint64_t) (high - low));
}

/* One cut drawn at random; missing values are tried on both sides. */
static void
try_random_cut(const Cuts *c, const Occupied *o)
{
	bool missing = o->byte[0] == 0;
	int i = missing;
	double w = 0, p = 0;
	int cut = 0;

	if (o->n - missing > 1)
		cut = draw_cut(c->g, o->byte[missing], o->byte[o->n - 1]);
	for (; cut > 0 && o->byte[i] <= cut; i++)
	{
		w += o->w[i];
		p += o->p[i];
	}
	if (!missing)
	{
		try_cut(c, w, p, cut, missing_with_most(c, w));
		return;
	}
	if (cut > 0)
		try_cut(c, w, p, cut, false);
	try_cut(c, w + o->w[0], p + o->p[0], cut, true);
}

/* Try the cuts of the features in a group. */
static void
try_group(PgmlForestGrower *g, Group *group, bool sparse, PgmlForestSplit *split)
{
	const PgmlForestConfig *config = g->config;
	Cuts c = { .g = g,
			   .split = split,
			   .w = g->total.n,
			   .p = g->total.p,
			   .class0 = 1,
			   .class1 = 1,
			   .entropy = config->criterion == PGML_FOREST_ENTROPY,
			   .numbers = g->data->task == PGML_TASK_REGRESSION };
	Occupied o;

	if (!c.numbers)
	{
		c.class0 = g->data->class_weight[0];
		c.class1 = g->data->class_weight[1];
	}
	for (int j = 0; j < group->n; j++)
	{
		take_cells(g, group, j, sparse, &o);
		c.feature = group->feature[j];
		if (o.n < 2)
			continue;
		if (config->random_cuts)
			try_random_cut(&c, &o);
		else if (c.entropy)
			try_all_cuts(&c, &o);
		else
		{
			/* A constant for the compiler. */
			Cuts plain = c;

			plain.entropy = false;
			try_all_cuts(&plain, &o);
		}
	}
}

/* ---- several classes ----------------------------------------------------------------------------- */

/* The two children while a cut moves: sums over their classes of the criterion's terms. */
typedef struct Children
{
	bool entropy;
	double left_n, right_n; /* weights without those of the classes */
	double left, right;     /* and with them */
	double left_terms, right_terms;
} Children;

/* Add weight w to a class's weight *of; the change of its term. */
static inline double
add_weight(bool entropy, double *of, double w)
{
	double before = *of;

	*of += w;
	if (entropy)
		return pgml_forest_xlogx(*of) - pgml_forest_xlogx(before);
	return w * (2 * before + w);
}

/* Move weight n of a segment's class to the left. */
static inline void
move_left(PgmlForestGrower *g, Children *c, uint32_t segment, double n)
{
	double w = n * g->data->class_weight[g->segment[segment].class];

	c->left_n += n;
	c->right_n -= n;
	c->left += w;
	c->right -= w;
	c->left_terms += add_weight(c->entropy, &g->class_left[segment], w);
	c->right_terms += add_weight(c->entropy, &g->class_right[segment], -w);
}

static void
try_children(const PgmlForestGrower *g, const Children *c, int32_t feature, int cut,
			 bool missing_left, PgmlForestSplit *split)
{
	double score;

	if (c->left_n < g->config->min_leaf || c->right_n < g->config->min_leaf)
		return;
	if (c->entropy)
		score = c->left_terms - pgml_forest_xlogx(c->left) + c->right_terms -
				pgml_forest_xlogx(c->right);
	else
		score = c->left_terms / c->left + c->right_terms / c->right;
	if (split->feature < 0 || score > split->score)
		*split = (PgmlForestSplit){ score, feature, cut, missing_left };
}

/* Everything on the right. */
static void
start_children(PgmlForestGrower *g, Children *c)
{
	*c = (Children){ .entropy = g->config->criterion == PGML_FOREST_ENTROPY };
	for (int32_t s = 0; s < g->n_segments; s++)
	{
		double w = g->segment[s].weight;

		g->class_left[s] = 0;
		g->class_right[s] = w;
		c->right_n += g->segment[s].n;
		c->right += w;
		c->right_terms += c->entropy ? pgml_forest_xlogx(w) : w * w;
	}
}

/* Weight of an item's record. */
static inline double
item_weight(const PgmlForestGrower *g, uint32_t item)
{
	double n = pgml_forest_count(item);

	return g->at.value != NULL ? n * g->at.value[pgml_forest_row(item)].n : n;
}

/* A feature of a node with several classes: what each byte moves from one side to the other. */
typedef struct ClassBytes
{
	int32_t feature;
	int n; /* bytes that occur, in order */
	uint8_t byte[256];
	uint32_t end[256]; /* sorted: their last entry; 0 of all: class_cell holds the weights */
	bool sorted;
} ClassBytes;

/* Count a feature's weights by byte and segment; false when stopped. */
static bool
count_by_byte(PgmlForestGrower *g, const uint32_t *item, ClassBytes *b)
{
	const uint8_t *byte = g->at.record + b->feature;
	size_t stride = (size_t) g->data->stride, k = (size_t) g->n_segments;
	bool used[256] = { false };

	memset(g->class_cell, 0, 256 * k * sizeof(double));
	for (size_t s = 0; s < k; s++)
		for (uint32_t i = g->segment[s].from; i < g->segment[s].upto; i++)
		{
			uint8_t at = byte[pgml_forest_row(item[i]) * stride];

			used[at] = true;
			g->class_cell[at * k + s] += item_weight(g, item[i]);
			if (i % AT_ONCE == 0 && !pgml_forest_go_on(g, AT_ONCE))
				return false;
		}
	b->n = 0;
	for (int at = 0; at < 256; at++)
		if (used[at])
			b->byte[b->n++] = (uint8_t) at;
	return true;
}

/* Sort a node's items by a feature's byte. */
static void
sort_by_byte(PgmlForestGrower *g, const uint32_t *item, uint32_t n, ClassBytes *b)
{
	const uint8_t *byte = g->at.record + b->feature;
	size_t stride = (size_t) g->data->stride;
	uint32_t start[256] = { 0 };
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		start[byte[pgml_forest_row(item[i]) * stride]]++;
	b->n = 0;
	for (int at = 0; at < 256; at++)
	{
		uint32_t count = start[at];

		if (count == 0)
			continue;
		start[at] = sum;
		sum += count;
		b->byte[b->n] = (uint8_t) at;
		b->end[b->n++] = sum;
	}
	for (int32_t s = 0; s < g->n_segments; s++)
		for (uint32_t i = g->segment[s].from; i < g->segment[s].upto; i++)
		{
			uint8_t at = byte[pgml_forest_row(item[i]) * stride];

			g->entry[start[at]++] = (PgmlForestEntry){ item_weight(g, item[i]), (uint32_t) s, at };
		}
}

/* Move what has the i-th byte to the left. */
static void
move_byte(PgmlForestGrower *g, const ClassBytes *b, int i, Children *c)
{
	if (b->sorted)
	{
		for (uint32_t e = i > 0 ? b->end[i - 1] : 0; e < b->end[i]; e++)
			move_left(g, c, g->entry[e].segment, g->entry[e].n);
		return;
	}
	for (int32_t s = 0; s < g->n_segments; s++)
	{
		double n = g->class_cell[b->byte[i] * g->n_segments + s];

		if (n != 0)
			move_left(g, c, (uint32_t) s, n);
	}
}

/* All cuts of a feature, or one drawn at random, by moving byte after byte to the left. */
static void
try_class_cuts(PgmlForestGrower *g, const ClassBytes *b, PgmlForestSplit *split)
{
	bool missing = b->byte[0] == 0;
	bool random = g->config->random_cuts;
	double half = g->total.n / 2;
	int only = 0;
	Children c;

	if (random && b->n - missing > 1)
		only = draw_cut(g, b->byte[missing], b->byte[b->n - 1]);
	for (int first = 0; first <= missing; first++)
	{
		start_children(g, &c);
		for (int i = first; i + 1 < b->n; i++)
		{
			int cut = missing && i == 0 ? 0 : (b->byte[i] + b->byte[i + 1]) / 2;

			move_byte(g, b, i, &c);
			if (random && (b->byte[i] > only || b->byte[i + 1] <= only))
				continue;
			try_children(g, &c, b->feature, random ? only : cut,
						 missing ? first == 0 : c.left_n >= half, split);
		}
	}
}

/* Try a group's features on a node with several classes; false when stopped. */
static bool
try_classes(PgmlForestGrower *g, const uint32_t *item, uint32_t n, const Group *group,
			PgmlForestSplit *split)
{
	for (int j = 0; j < group->n; j++)
	{
		ClassBytes b = { .feature = group->feature[j] };

		b.sorted = n <= g->most_entries && n <= 64 * (uint32_t) g->n_segments;
		if (b.sorted)
			sort_by_byte(g, item, n, &b);
		else if (!count_by_byte(g, item, &b))
			return false;
		if (b.n > 1)
			try_class_cuts(g, &b, split);
		if (!pgml_forest_go_on(g, 4 * (int64_t) n))
			return false;
	}
	return true;
}

/* ---- a node -------------------------------------------------------------------------------------- */

bool
pgml_forest_find_split(PgmlForestGrower *g, const uint32_t *item, uint32_t n,
					   PgmlForestSplit *split)
{
	int32_t seen = 0;

	split->feature = -1;
	while (seen < g->data->n_features && (seen < g->features_wanted || split->feature < 0))
	{
		int32_t wanted = seen < g->features_wanted ? g->features_wanted : g->data->n_features;
		Group group = { .n =
							wanted - seen < PGML_FOREST_GROUP ? wanted - seen : PGML_FOREST_GROUP };

		for (int j = 0; j < group.n; j++)
			group.feature[j] = pgml_forest_draw_feature(g, seen++);
		if (g->data->task == PGML_TASK_MULTICLASS)
		{
			if (!try_classes(g, item, n, &group, split))
				return false;
			continue;
		}
		if (!make_histograms(g, item, n, &group))
			return false;
		try_group(g, &group, n <= SPARSE_ITEMS, split);
	}
	return true;
}
