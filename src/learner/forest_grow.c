/*
 * forest_grow.c - grow one tree (Breiman et al. 1984; Breiman 2001; Geurts, Ernst and Wehenkel 2006).
 *
 * Nodes are made in the order of the payload, the larger child right after its parent; the others wait in a list.
 */
#include "learner/forest_grow.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"

/* Bytes of work between two looks at flag and clock: some milliseconds. */
#define POLL_WORK 2000000

/* Items whose records are copied side by side: they stay in the first two caches. */
#define FEW_BYTES 65536
#define FEW_ITEMS 4096

/* Links to shared leaves before their places are known. */
#define SHARED_LINK 0x80000000u

enum
{
	STREAM_TREES = 0x666f7265
};

/* ---- memory ------------------------------------------------------------------------------------ */

static int32_t
wanted_features(const PgmlForestConfig *config, int32_t n_features)
{
	double wanted = config->max_features > 0  ? config->max_features * n_features :
					config->max_features == 0 ? sqrt(n_features) :
												log2(n_features);

	/* As scikit-learn rounds: down, but never to none. */
	wanted = floor(wanted + 1e-9);
	return wanted < 1 ? 1 : wanted > n_features ? n_features : (int32_t) wanted;
}

/* Nodes of a tree over n rows, at most. */
static int64_t
most_nodes_of(const PgmlForestConfig *config, int64_t n)
{
	double leaves = (double) n;

	if (config->max_depth > 0 && config->max_depth < 40)
		leaves = fmin(leaves, ldexp(1, config->max_depth));
	if (config->max_leaves > 0)
		leaves = fmin(leaves, config->max_leaves);
	return 2 * (int64_t) leaves - 1;
}

/* Items whose records are copied. */
static int64_t
few_items(int32_t stride)
{
	int64_t items = FEW_BYTES / stride;

	return items < FEW_ITEMS ? items : FEW_ITEMS;
}

/* Entries that sorting a node by a feature takes, at most: larger nodes are counted instead, see forest_split.c. */
static int64_t
most_entries_of(int64_t n, int n_classes)
{
	int64_t most = 64 * (int64_t) n_classes;

	return most < n ? most : n;
}

int64_t
pgml_forest_grower_size(const PgmlForestConfig *config, const PgmlDataset *set, int64_t *most_nodes)
{
	int64_t n = set->n, k = set->n_classes;
	bool several = set->task == PGML_TASK_MULTICLASS;

	*most_nodes = most_nodes_of(config, n);
	return n * (2 * (int64_t) sizeof(uint32_t) + (config->bootstrap ? 2 : 0)) +
		   (config->max_leaves > 0 ?
				*most_nodes * (int64_t) (sizeof(PgmlForestPlanned) + sizeof(int32_t)) :
				0) +
		   *most_nodes * (int64_t) sizeof(PgmlForestNode) + pgml_forest_cover_bytes(*most_nodes) +
		   FEW_BYTES + FEW_ITEMS * (int64_t) sizeof(PgmlForestMoments) +
		   PGML_FOREST_GROUP * 256 * (int64_t) sizeof(PgmlForestMoments) +
		   (several ?
				256 * k * 8 + most_entries_of(n, (int) k) * (int64_t) sizeof(PgmlForestEntry) :
				0) +
		   k * (int64_t) (sizeof(PgmlForestSegment) + 20) + set->x->nfeatures * 4 +
		   PGML_FOREST_DEPTH * (int64_t) sizeof(PgmlForestPending);
}

PgmlForestGrower *
pgml_forest_grower_create(const PgmlEnv *env, PgmlArena *arena, const PgmlForestConfig *config,
						  const PgmlForestData *data)
{
	PgmlForestGrower *g = pgml_zalloc(arena, 1, sizeof(*g));
	size_t n = (size_t) data->n, k = (size_t) data->n_classes;
	size_t few = (size_t) few_items(data->stride) + 1;
	bool several = data->task == PGML_TASK_MULTICLASS;

	if (g == NULL)
		return NULL;
	g->config = config;
	g->data = data;
	g->most_nodes = most_nodes_of(config, data->n);
	g->features_wanted = wanted_features(config, data->n_features);
	g->most_entries = most_entries_of(data->n, data->n_classes);
	g->item = pgml_array(arena, n, sizeof(uint32_t));
	g->other = pgml_array(arena, n, sizeof(uint32_t));
	g->drawn = config->bootstrap ? pgml_array(arena, n, sizeof(uint16_t)) : NULL;
	g->few_record = pgml_array(arena, few, (size_t) data->stride);
	g->few_class_start = pgml_array(arena, k + 1, sizeof(uint32_t));
	g->few_value = data->value ? pgml_array(arena, few, sizeof(PgmlForestMoments)) : NULL;
	g->segment = pgml_array(arena, k, sizeof(PgmlForestSegment));
	g->permutation = pgml_array(arena, (size_t) data->n_features + 1, sizeof(int32_t));
	g->cell = pgml_zalloc(arena, PGML_FOREST_GROUP * 256, sizeof(PgmlForestMoments));
	g->class_cell = several ? pgml_array(arena, 256 * k, sizeof(double)) : NULL;
	g->class_left = pgml_array(arena, k, sizeof(double));
	g->class_right = pgml_array(arena, k, sizeof(double));
	g->entry =
		several ? pgml_array(arena, (size_t) g->most_entries, sizeof(PgmlForestEntry)) : NULL;
	g->node =
		pgml_array(arena, (size_t) g->most_nodes + PGML_FOREST_SHARED, sizeof(PgmlForestNode));
	g->pending = pgml_array(arena, PGML_FOREST_DEPTH + 1, sizeof(PgmlForestPending));
	if (config->max_leaves > 0)
	{
		g->plan.node = pgml_array(arena, (size_t) g->most_nodes, sizeof(PgmlForestPlanned));
		g->plan.open = pgml_array(arena, (size_t) g->most_nodes, sizeof(int32_t));
		if (!g->plan.node || !g->plan.open)
			return NULL;
	}
	g->whole = (PgmlForestRecords){ data->record, data->class_start, data->value };
	pgml_buf_init(&g->word, env->budget);
	pgml_buf_init(&g->cover, env->budget);
	if (!g->item || !g->other || (config->bootstrap && !g->drawn) || !g->few_record ||
		!g->few_class_start || (data->value && !g->few_value) || !g->segment || !g->permutation ||
		!g->cell || (several && (!g->class_cell || !g->entry)) || !g->class_left ||
		!g->class_right || !g->node || !g->pending)
		return NULL;
	return g;
}

void
pgml_forest_grower_destroy(PgmlForestGrower *grower)
{
	if (grower == NULL)
		return;
	pgml_buf_free(&grower->word);
	pgml_buf_free(&grower->cover);
}

bool
pgml_forest_go_on(PgmlForestGrower *g, int64_t work)
{
	g->work += work;
	if (g->work < POLL_WORK)
		return true;
	g->work = 0;
	if (!g->late)
		g->late = g->finish ? pgml_clock_ends(g->env, pgml_out_of_time(g->env)) :
							  pgml_out_of_time(g->env);
	return !pgml_stopped(g->env);
}

/* ---- drawing rows -------------------------------------------------------------------------------- */

bool
pgml_forest_draw(const PgmlEnv *env, const PgmlForestConfig *config, int64_t n, int64_t number,
				 PgmlRng *rng, uint16_t *drawn)
{
	int64_t draws = (int64_t) fmax(1, round(config->max_samples * (double) n));

	pgml_rng_init(rng, env->seed, (uint64_t) STREAM_TREES << 32 | (uint64_t) number);
	memset(drawn, 0, (size_t) n * sizeof(uint16_t));
	for (int64_t i = 0; i < draws; i++)
	{
		uint16_t *count = &drawn[pgml_rng_below(rng, (uint64_t) n)];

		*count += *count < UINT16_MAX;
		if (i % POLL_WORK == 0 && pgml_stopped(env))
			return false;
	}
	return true;
}

/* Draw max_samples of the rows with replacement; number of items, 0 when stopped. */
static uint32_t
draw_with_replacement(PgmlForestGrower *g, int64_t number)
{
	uint32_t n = (uint32_t) g->data->n;
	uint32_t n_items = 0;

	if (!pgml_forest_draw(g->env, g->config, g->data->n, number, &g->rng, g->drawn))
		return 0;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t left = g->drawn[i]; left > 0;)
		{
			uint32_t count = left < PGML_FOREST_MAX_COUNT ? left : PGML_FOREST_MAX_COUNT;

			g->item[n_items++] = i << PGML_FOREST_COUNT_BITS | (count - 1);
			left -= count;
		}
	return n_items;
}

/* Draw max_samples of the rows without replacement (selection sampling, Knuth 3.4.2 S). */
static uint32_t
draw_without_replacement(PgmlForestGrower *g, int64_t number)
{
	uint64_t n = (uint64_t) g->data->n;
	uint64_t left = (uint64_t) fmax(1, round(g->config->max_samples * (double) n));
	uint32_t n_items = 0;

	pgml_rng_init(&g->rng, g->env->seed, (uint64_t) STREAM_TREES << 32 | (uint64_t) number);
	for (uint64_t i = 0; i < n && left > 0; i++)
	{
		if (left < n - i && pgml_rng_below(&g->rng, n - i) >= left)
			continue;
		g->item[n_items++] = (uint32_t) i << PGML_FOREST_COUNT_BITS;
		left--;
	}
	return n_items;
}

/* ---- nodes --------------------------------------------------------------------------------------- */

/* First of n items from `from` on whose record is not below `row`. */
static uint32_t
lower_bound(const uint32_t *item, uint32_t from, uint32_t n, uint32_t row)
{
	while (from < n)
	{
		uint32_t middle = from + (n - from) / 2;

		if (pgml_forest_row(item[middle]) < row)
			from = middle + 1;
		else
			n = middle;
	}
	return from;
}

/* Class of a record, at least `from`. */
static int32_t
class_of(const uint32_t *class_start, int32_t from, int32_t n_classes, uint32_t row)
{
	int32_t high = n_classes - 1;

	while (from < high)
	{
		int32_t middle = (from + high + 1) / 2;

		if (class_start[middle] <= row)
			from = middle;
		else
			high = middle - 1;
	}
	return from;
}

/* Sum of the items' weights. */
static double
sum_weights(const PgmlForestGrower *g, const uint32_t *item, uint32_t from, uint32_t upto)
{
	const PgmlForestMoments *value = g->at.value;
	uint64_t count = 0;
	double sum = 0;

	if (value == NULL && g->drawn == NULL)
		return upto - from;
	if (value == NULL)
	{
		for (uint32_t i = from; i < upto; i++)
			count += pgml_forest_count(item[i]);
		return (double) count;
	}
	for (uint32_t i = from; i < upto; i++)
		sum += value[pgml_forest_row(item[i])].n * pgml_forest_count(item[i]);
	return sum;
}

/* The classes of a node's items, and its moments. *pure: one class, or the same value everywhere. */
static void
look_at_classes(PgmlForestGrower *g, const uint32_t *item, uint32_t n, bool *pure)
{
	const PgmlForestData *d = g->data;
	int32_t class = 0;
	uint32_t i = 0;

	g->n_segments = 0;
	g->total = (PgmlForestMoments){ 0, 0 };
	while (i < n)
	{
		PgmlForestSegment *s = &g->segment[g->n_segments++];

		class = class_of(g->at.class_start, class, d->n_classes, pgml_forest_row(item[i]));
		s->class = class;
		s->from = i;
		s->upto = lower_bound(item, i, n, g->at.class_start[class + 1]);
		s->n = sum_weights(g, item, s->from, s->upto);
		s->weight = s->n * d->class_weight[class];
		g->total.n += s->n;
		if (class == 1)
			g->total.p += s->n;
		i = s->upto;
	}
	*pure = g->n_segments < 2;
}

static void
look_at_numbers(PgmlForestGrower *g, const uint32_t *item, uint32_t n, bool *pure)
{
	const PgmlForestMoments *value = g->at.value;
	const PgmlForestMoments *first = &value[pgml_forest_row(item[0])];

	g->total = (PgmlForestMoments){ 0, 0 };
	*pure = true;
	for (uint32_t i = 0; i < n; i++)
	{
		const PgmlForestMoments *v = &value[pgml_forest_row(item[i])];
		double count = pgml_forest_count(item[i]);

		g->total.n += count * v->n;
		g->total.p += count * v->p;
		*pure &= v->p * first->n == first->p * v->n;
	}
}

void
pgml_forest_look_at(PgmlForestGrower *g, const uint32_t *item, uint32_t n, bool *pure)
{
	if (g->data->task == PGML_TASK_REGRESSION)
		look_at_numbers(g, item, n, pure);
	else
		look_at_classes(g, item, n, pure);
}

/* Append the distribution of the node's classes, drawn towards that of all rows. */
static void
put_distribution(PgmlForestGrower *g, PgmlForestNode *node)
{
	double total = g->config->smoothing;
	PgmlForestKnown *known = NULL;
	float prior;

	for (int32_t i = 0; i < g->n_segments; i++)
		total += g->segment[i].weight;
	if (g->n_segments == 1 && g->config->smoothing == 0)
	{
		node->flag = PGML_FOREST_PURE;
		node->link = (uint32_t) g->segment[0].class;
		return;
	}
	if (g->n_segments == 1)
	{
		const PgmlForestSegment *only = &g->segment[0];

		known = &g->known[((uint32_t) only->class * 31 + (uint32_t) only->n) % PGML_FOREST_KNOWN];
		if (known->n == only->n && known->class == only->class)
		{
			node->link = known->link;
			return;
		}
	}
	prior = (float) (g->config->smoothing / total);
	node->link = (uint32_t) (g->word.len / sizeof(uint32_t));
	if (known != NULL)
		*known = (PgmlForestKnown){ g->segment[0].n, g->segment[0].class, node->link };
	pgml_buf_put_u32(&g->word, (uint32_t) g->n_segments);
	pgml_buf_put(&g->word, &prior, sizeof(prior));
	for (int32_t i = 0; i < g->n_segments; i++)
	{
		float share = (float) (g->segment[i].weight / total);

		pgml_buf_put_u32(&g->word, (uint32_t) g->segment[i].class);
		pgml_buf_put(&g->word, &share, sizeof(share));
	}
}

/* Make a node a leaf: what is in it. */
static void
fill_leaf(PgmlForestGrower *g, PgmlForestNode *node)
{
	const PgmlForestData *d = g->data;
	double smoothing = g->config->smoothing;
	float value;

	*node = (PgmlForestNode){ 0 };
	pgml_forest_put_cover(&g->cover, g->total.n);
	if (d->task == PGML_TASK_MULTICLASS)
	{
		put_distribution(g, node);
		return;
	}
	if (d->task == PGML_TASK_REGRESSION)
		value = (float) (g->total.p / (g->total.n + smoothing));
	else
	{
		double p = g->total.p * d->class_weight[1];
		double n = (g->total.n - g->total.p) * d->class_weight[0] + p;

		value = (float) fmin((p + smoothing * d->prior[1]) / (n + smoothing), 1);
	}
	memcpy(&node->link, &value, sizeof(value));
}

/*
 * The leaf made last is the second child of a node: when there is such a leaf already, that takes its place, so that there are fewer
 * nodes.
 */
static void
share_leaf(PgmlForestGrower *g, uint32_t parent)
{
	const PgmlForestNode *leaf = &g->node[g->n_nodes - 1];
	uint32_t i = 0;

	while (i < g->n_shared && memcmp(&g->shared[i], leaf, sizeof(*leaf)) != 0)
		i++;
	if (i == PGML_FOREST_SHARED)
		return;
	if (i == g->n_shared)
		g->shared[g->n_shared++] = *leaf;
	g->n_nodes--;
	g->node[parent].link = SHARED_LINK + i;
}

void
pgml_forest_make_leaf(PgmlForestGrower *g, uint32_t parent)
{
	fill_leaf(g, &g->node[g->n_nodes++]);
	if (parent != PGML_FOREST_NO_PARENT)
		share_leaf(g, parent);
}

uint32_t
pgml_forest_put_split(PgmlForestGrower *g, const PgmlForestSplit *split, bool others_next)
{
	PgmlForestNode *node = &g->node[g->n_nodes];

	node->line = (uint16_t) (2 * split->feature + !split->missing_left);
	node->cut = (uint8_t) (split->cut + split->missing_left);
	node->flag = others_next ? PGML_FOREST_OTHERS_NEXT : 0;
	return (uint32_t) g->n_nodes++;
}

uint32_t
pgml_forest_part(PgmlForestGrower *g, uint32_t *item, uint32_t n, const PgmlForestSplit *split)
{
	const uint8_t *byte = g->at.record + split->feature;
	size_t stride = (size_t) g->data->stride;
	/* What is missing wraps round to the greatest byte when it goes right. */
	uint8_t shift = !split->missing_left;
	uint32_t cut = (uint32_t) split->cut + 1 - shift;
	uint32_t n_left = 0, n_right = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t one = item[i];
		bool left = (uint8_t) (byte[pgml_forest_row(one) * stride] - shift) < cut;

		item[n_left] = one;
		g->other[n_right] = one;
		n_left += left;
		n_right += !left;
	}
	memcpy(item + n_left, g->other, n_right * sizeof(uint32_t));
	return n_left;
}

bool
pgml_forest_split_node(PgmlForestGrower *g, const uint32_t *item, uint32_t n, int32_t depth,
					   PgmlForestSplit *split)
{
	const PgmlForestConfig *c = g->config;
	bool pure;

	split->feature = -1;
	if (!pgml_forest_go_on(g, n))
		return false;
	pgml_forest_look_at(g, item, n, &pure);
	if (pure || g->late || depth >= (c->max_depth > 0 ? c->max_depth : PGML_FOREST_DEPTH) ||
		n < 2 || g->total.n < c->min_split || g->total.n < 2 * c->min_leaf ||
		g->data->n_features == 0)
		return true;
	if (pgml_forest_is_simple(g))
		return pgml_forest_find_random(g, item, n, split);
	return pgml_forest_find_split(g, item, n, split);
}

/* Copy the records of few items side by side; the items then number the copies. */
static void
copy_few(PgmlForestGrower *g, uint32_t *item, uint32_t n)
{
	const PgmlForestData *d = g->data;
	size_t stride = (size_t) d->stride;
	uint32_t at = 0;

	for (int c = 0; c < d->n_classes; c++)
	{
		g->few_class_start[c] = at;
		at = c + 1 < d->n_classes ? lower_bound(item, at, n, d->class_start[c + 1]) : n;
	}
	g->few_class_start[d->n_classes] = n;
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t row = pgml_forest_row(item[i]);

		memcpy(g->few_record + i * stride, d->record + row * stride, stride);
		if (d->value != NULL)
			g->few_value[i] = d->value[row];
		item[i] = i << PGML_FOREST_COUNT_BITS | (pgml_forest_count(item[i]) - 1);
	}
	g->at = (PgmlForestRecords){ g->few_record, g->few_class_start, g->few_value };
}

/*
 * Grow the subtree of the items [from, upto) from the node that comes next; parent: when that is the second child of a node.  Subtrees
 * of few items are grown in one go on a copy of their records.  False when stopped.
 */
static bool
grow_subtree(PgmlForestGrower *g, uint32_t from, uint32_t upto, int32_t depth, uint32_t parent)
{
	int32_t bottom = g->n_pending;
	bool all = g->at.record == g->whole.record;
	uint32_t few = (uint32_t) few_items(g->data->stride);

	for (;;)
	{
		PgmlForestSplit split;

		if (all && upto - from <= few)
		{
			copy_few(g, g->item + from, upto - from);
			if (!grow_subtree(g, from, upto, depth, parent))
				return false;
			g->at = g->whole;
		}
		else
		{
			if (!pgml_forest_split_node(g, g->item + from, upto - from, depth, &split))
				return false;
			if (split.feature >= 0)
			{
				uint32_t middle = from + pgml_forest_part(g, g->item + from, upto - from, &split);
				bool others = upto - middle > middle - from;
				PgmlForestPending other = { middle, upto, ++depth, 0 };

				other.parent = pgml_forest_put_split(g, &split, others);
				if (others)
				{
					other.from = from;
					other.upto = middle;
					from = middle;
				}
				else
					upto = middle;
				g->pending[g->n_pending++] = other;
				parent = PGML_FOREST_NO_PARENT;
				continue;
			}
			pgml_forest_make_leaf(g, parent);
		}
		if (g->n_pending == bottom)
			return true;

		const PgmlForestPending *next = &g->pending[--g->n_pending];

		from = next->from;
		upto = next->upto;
		depth = next->depth;
		parent = next->parent;
		g->node[parent].link = (uint32_t) g->n_nodes;
	}
}

/* Put the shared leaves behind the other nodes, and point to them. */
static void
place_shared(PgmlForestGrower *g)
{
	for (int64_t i = 0; i < g->n_nodes; i++)
		if (g->node[i].cut != 0 && g->node[i].link >= SHARED_LINK)
			g->node[i].link = g->node[i].link - SHARED_LINK + (uint32_t) g->n_nodes;
	memcpy(g->node + g->n_nodes, g->shared, g->n_shared * sizeof(PgmlForestNode));
	g->n_nodes += g->n_shared;
}

PgmlStatus
pgml_forest_grow(PgmlForestGrower *g, const PgmlEnv *env, int64_t number, bool finish,
				 PgmlForestTree *tree, bool *complete)
{
	uint32_t n;

	g->env = env;
	g->finish = finish;
	g->late = false;
	g->work = 0;
	g->n_nodes = 0;
	g->n_pending = 0;
	g->n_shared = 0;
	memset(g->known, 0, sizeof(g->known));
	g->word.len = g->cover.len = 0;
	g->at = g->whole;
	for (int32_t f = 0; f < g->data->n_features; f++)
		g->permutation[f] = f;
	n = g->drawn != NULL ? draw_with_replacement(g, number) : draw_without_replacement(g, number);
	if (n == 0 || !(g->config->max_leaves > 0 ? pgml_forest_grow_best(g, n) :
												grow_subtree(g, 0, n, 0, PGML_FOREST_NO_PARENT)))
		return pgml_fail_cancelled(env);
	place_shared(g);
	if (g->word.failed || g->cover.failed)
		return pgml_fail_nomem(env, "trees");
	*complete = finish || !g->late;
	*tree = (PgmlForestTree){ g->node,
							  g->n_nodes,
							  (const uint32_t *) g->word.data,
							  (int64_t) (g->word.len / sizeof(uint32_t)),
							  g->cover.data,
							  (int64_t) g->cover.len };
	return PGML_OK;
}
