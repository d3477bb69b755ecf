/*
 * oblivious_trees.c - the model as the trees that explanations are made from.
 *
 * A tree becomes a complete binary one, its first question at the root.  A statistic of one feature counts as that feature; those of a
 * combination are a player of their own, what it has is given to its features in equal parts, as CatBoost does.
 */
#include "learner/oblivious_payload.h"

#include <math.h>
#include <string.h>

#include "learner/gbm_payload.h"

/*
 * A leaf without training rows counts as this share of its tree's: rows may fall into it later, and where they do its value is what
 * they get.
 */
#define NO_ROWS 1e-9

/* What turning the trees takes. */
typedef struct Turn
{
	const PgmlEnv *env;
	PgmlArena *arena;
	const PgmlShape *shape;
	PgmlOblView v;
	/* the tree at hand */
	const PgmlOblStored *split;
	uint32_t n_splits;
	uint32_t depth;
	const float *from_cover;
	const double *from_value;
	double least; /* cover */
	int32_t n_nodes, n_leaves;
	PgmlTreeNode *node;
	double *cover;
	double *value;
} Turn;

/* What the statistics are computed from. */
typedef struct Source
{
	PgmlOblView v;
	const PgmlShape *shape;
} Source;

static void
compute(const void *arg, const float *x, int64_t stride, float *out, int64_t step)
{
	const Source *source = arg;
	uint8_t line[PGML_OBL_MAX_LINES];
	uint32_t n = source->v.header->n_tables * source->v.header->width;

	pgml_obl_look_up(&source->v, source->shape, x, stride, line);
	for (uint32_t i = 0; i < n; i++)
		out[i * step] = line[i];
}

/* All bins but one: who is of that level goes right. */
static PgmlStatus
make_set(const Turn *t, uint32_t feature, uint32_t bin, const uint32_t **set)
{
	uint32_t words = pgml_gbm_set_words(t->shape->n_levels[feature], t->v.header->max_bin);
	uint32_t *word = pgml_array(t->arena, words, sizeof(uint32_t));

	if (word == NULL)
		return pgml_fail_nomem(t->env, "an explanation");
	memset(word, 0xff, words * sizeof(uint32_t));
	if (bin / 32 < words)
		word[bin / 32] &= ~(UINT32_C(1) << bin % 32);
	*set = word;
	return PGML_OK;
}

/* A split: rows of which it is true go right. */
static PgmlStatus
make_split(const Turn *t, const PgmlOblStored *from, PgmlTreeNode *to)
{
	uint32_t input = from->input & PGML_OBL_INPUT;

	*to = (PgmlTreeNode){ .feature = (int32_t) input, .missing_left = true };
	switch (from->input & PGML_OBL_KIND)
	{
		case PGML_OBL_IS_NUMBER:
			to->threshold = from->u.threshold;
			return PGML_OK;
		case PGML_OBL_IS_LEVEL:
			return make_set(t, input, from->u.value, &to->set);
		default:
			to->feature += t->shape->nfeatures;
			to->threshold = (float) from->u.value;
			return PGML_OK;
	}
}

/* Make what hangs at a place of the tree: `path` is how it was come by, a bit a level; returns the link to it. */
static PgmlStatus
turn(Turn *t, uint32_t level, uint32_t path, int32_t *link)
{
	uint32_t n_outputs = t->v.header->n_outputs;
	const PgmlOblStored *split;
	int32_t made;

	if (level == t->depth)
	{
		*link = ~t->n_leaves;
		t->cover[t->n_leaves] = fmax(t->from_cover[path], t->least);
		memcpy(t->value + (size_t) t->n_leaves * n_outputs,
			   t->from_value + (size_t) path * n_outputs, n_outputs * sizeof(double));
		t->n_leaves++;
		return PGML_OK;
	}
	split = &t->split[t->v.header->depthwise ? (1u << level) - 1 + path : level];
	/* Bit d of an oblivious tree's leaf is the answer of level d; a depth-wise one has the first answer in the highest bit. */
	if ((split->input & PGML_OBL_KIND) == PGML_OBL_IS_FALSE)
		return turn(t, level + 1, t->v.header->depthwise ? 2 * path : path, link);
	made = t->n_nodes++;
	*link = made;
	PGML_TRY(make_split(t, split, &t->node[made]));
	PGML_TRY(turn(t, level + 1, t->v.header->depthwise ? 2 * path : path, &t->node[made].left));
	return turn(t, level + 1, t->v.header->depthwise ? 2 * path + 1 : path | 1u << level,
				&t->node[made].right);
}

/* Turn tree number i. */
static PgmlStatus
turn_tree(Turn *t, uint32_t i, PgmlTree *tree)
{
	const uint32_t *first = t->v.first + 2 * (size_t) i;
	uint32_t n_outputs = t->v.header->n_outputs;
	double total = 0;
	size_t leaves;
	int32_t root;

	t->n_splits = first[2] - first[0];
	t->depth = pgml_obl_depth(&t->v, t->n_splits);
	leaves = (size_t) 1 << t->depth;
	t->split = t->v.split + first[0];
	t->from_value = t->v.value + first[1];
	t->from_cover = t->v.cover + first[1] / n_outputs;
	for (size_t leaf = 0; leaf < leaves; leaf++)
		total += t->from_cover[leaf];
	t->least = total > 0 ? fmax(total * NO_ROWS, 1e-300) : 1;
	t->n_nodes = t->n_leaves = 0;
	t->node = pgml_array(t->arena, leaves, sizeof(PgmlTreeNode));
	t->cover = pgml_array(t->arena, leaves, sizeof(double));
	t->value = pgml_array(t->arena, leaves * n_outputs, sizeof(double));
	if (!t->node || !t->cover || !t->value)
		return pgml_fail_nomem(t->env, "an explanation");
	PGML_TRY(turn(t, 0, 0, &root));
	*tree = (PgmlTree){ .n_nodes = t->n_nodes,
						.n_values = (int32_t) n_outputs,
						.node = t->node,
						.cover = t->cover,
						.value = t->value };
	return PGML_OK;
}

/* The statistics, and whose they are. */
static PgmlStatus
make_statistics(const Turn *t, PgmlTreeStatistics *out)
{
	const PgmlOblHeader *h = t->v.header;
	int32_t width = (int32_t) h->width, n = (int32_t) h->n_tables * width;
	int32_t n_sets = 0, members = 0;
	int32_t *player = pgml_array(t->arena, (size_t) n + 1, sizeof(int32_t));
	int32_t *first = pgml_array(t->arena, (size_t) h->n_tables + 1, sizeof(int32_t));
	int32_t *member =
		pgml_array(t->arena, (size_t) h->n_tables * PGML_OBL_MAX_COMBINED + 1, sizeof(int32_t));
	Source *source = pgml_array(t->arena, 1, sizeof(Source));

	if (!player || !first || !member || !source)
		return pgml_fail_nomem(t->env, "an explanation");
	first[0] = 0;
	for (uint32_t i = 0; i < h->n_tables; i++)
	{
		const PgmlOblTableHead *table = &t->v.table[i];
		bool single = table->n_features == 1;

		for (int32_t k = 0; k < width; k++)
			player[(int32_t) i * width + k] =
				single ? (int32_t) table->feature[0] : t->shape->nfeatures + n_sets;
		for (uint32_t j = 0; !single && j < table->n_features; j++)
			member[members++] = (int32_t) table->feature[j];
		n_sets += !single;
		first[n_sets] = members;
	}
	*source = (Source){ t->v, t->shape };
	*out = (PgmlTreeStatistics){ .n = n,
								 .player = player,
								 .n_sets = n_sets,
								 .first = first,
								 .member = member,
								 .compute = compute,
								 .arg = source };
	return PGML_OK;
}

PgmlStatus
pgml_obl_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload, const PgmlShape *shape,
			   PgmlTrees *out)
{
	Turn t = { .env = env, .arena = arena, .shape = shape, .v = pgml_obl_view(payload) };
	const PgmlOblHeader *h = t.v.header;
	PgmlTree *tree = pgml_array(arena, (size_t) h->n_trees + 1, sizeof(PgmlTree));

	if (t.v.cover == NULL)
		return pgml_fail_unexplained(env->error, pgml_learner_oblivious_boosting.name);
	if (tree == NULL)
		return pgml_fail_nomem(env, "an explanation");
	*out = (PgmlTrees){ .n_trees = h->n_trees,
						.tree = tree,
						.n_outputs = (int) h->n_outputs,
						.offset = t.v.init,
						.scale = 1,
						.max_bin = h->max_bin };
	for (uint32_t i = 0; i < h->n_trees; i++)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		PGML_TRY(turn_tree(&t, i, &tree[i]));
	}
	return make_statistics(&t, &out->statistics);
}
