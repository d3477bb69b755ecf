/*
 * forest_trees.c - a forest as the trees that explanations are made from.
 */
#include "learner/forest_payload.h"

#include <math.h>
#include <string.h>

/* Nodes between two looks at the stop flag. */
#define POLL_NODES 200000

/* A second child that waits until all below the first is done. */
typedef struct Waiting
{
	uint32_t at;   /* in the forest's tree */
	int32_t *link; /* that is to lead to it */
} Waiting;

/* What turning the trees takes; the arrays behind the view serve all trees. */
typedef struct Turn
{
	const PgmlEnv *env;
	PgmlArena *arena;
	const PgmlShape *shape;
	PgmlForestView v;
	const uint8_t *cover; /* that are left */
	Waiting *waiting;
	int64_t work;
} Turn;

static PgmlStatus
corrupt(const Turn *t, const char *what)
{
	return pgml_fail(t->env->error, PGML_ERR_CORRUPT, "the stored forest is damaged: %s", what);
}

/* The next cover. */
static PgmlStatus
read_cover(Turn *t, double *cover)
{
	size_t left = (size_t) (t->v.cover + 8 * (uint64_t) t->v.header->cover_words - t->cover);
	float value;

	if (left < 1 || *t->cover == 0 || (*t->cover == PGML_FOREST_COVER && left < 1 + sizeof(value)))
		return corrupt(t, "covers of leaves are missing");
	*cover = *t->cover++;
	if (*cover < PGML_FOREST_COVER)
		return PGML_OK;
	memcpy(&value, t->cover, sizeof(value));
	t->cover += sizeof(value);
	*cover = value;
	return value > 0 && isfinite(value) ? PGML_OK : corrupt(t, "the cover of a leaf is no number");
}

/* The bins whose byte is less than the cut. */
static PgmlStatus
make_set(const Turn *t, const PgmlForestLine *line, uint8_t cut, const uint32_t **set)
{
	uint32_t *word = pgml_zalloc(t->arena, line->n / 32 + 1u, sizeof(uint32_t));

	if (word == NULL)
		return pgml_fail_nomem(t->env, "an explanation");
	for (uint32_t b = 0; b < line->n; b++)
		if (t->v.table[line->first + b] < cut)
			word[b / 32] |= UINT32_C(1) << b % 32;
	*set = word;
	return PGML_OK;
}

/* A split: rows whose byte is less than the cut go left. */
static PgmlStatus
make_split(const Turn *t, const PgmlForestNode *from, PgmlTreeNode *to)
{
	const PgmlForestLine *line = &t->v.line[from->line];
	int32_t last = from->cut - 1 - (line->missing == 0); /* the last cut that x must not exceed */

	*to = (PgmlTreeNode){ .feature = (int32_t) line->feature, .missing_left = line->missing == 0 };
	if (line->categorical)
		return make_set(t, line, from->cut, &to->set);
	/* No number is <= NaN. */
	to->threshold = last < 0        ? NAN :
					last >= line->n ? INFINITY :
									  t->v.cut[line->first + (uint32_t) last];
	return PGML_OK;
}

/* Values of a leaf of tree number i: with one tree, to the last bit what the learner predicts. */
static void
set_values(const Turn *t, uint32_t i, const PgmlForestNode *leaf, double *value)
{
	const PgmlForestHeader *h = t->v.header;
	uint32_t outputs = h->n_outputs;
	const uint32_t *word;
	float share;
	double sum = 0;

	memcpy(&share, &leaf->link, sizeof(share));
	if (t->shape->task == PGML_TASK_REGRESSION)
		value[0] = h->scale * fmax(fmin(h->center + share, 1), -1);
	else if (t->shape->task == PGML_TASK_BINARY)
		value[0] = fmin(share, 1);
	if (t->shape->task != PGML_TASK_MULTICLASS)
		return;
	for (uint32_t k = 0; k < outputs; k++)
		value[k] = 1e-300 * t->v.prior[k];
	if (leaf->flag & PGML_FOREST_PURE)
	{
		value[leaf->link] = 1;
		return;
	}
	word = t->v.word + t->v.start[2 * (uint64_t) i + 1] + leaf->link;
	memcpy(&share, &word[1], sizeof(share));
	for (uint32_t k = 0; k < outputs; k++)
		value[k] = (share + 1e-300) * t->v.prior[k];
	for (const uint32_t *pair = word + 2; pair < word + 2 + 2 * (size_t) word[0]; pair += 2)
	{
		memcpy(&share, &pair[1], sizeof(share));
		value[pair[0]] += share;
	}
	/* Shares are stored as floats, which do not add up exactly. */
	for (uint32_t k = 0; k < outputs; k++)
		sum += value[k];
	for (uint32_t k = 0; sum > 0 && k < outputs; k++)
		value[k] /= sum;
}

/* Make the nodes and leaves of tree number i, going to the next node first. */
static PgmlStatus
turn_tree(Turn *t, uint32_t i, const PgmlTree *tree, PgmlTreeNode *node, double *cover,
		  double *value)
{
	const PgmlForestNode *from = t->v.node + t->v.start[2 * (uint64_t) i];
	int32_t n_nodes = 0, n_leaves = 0, n_waiting = 0, root;
	Waiting next = { 0, &root };

	for (;;)
	{
		const PgmlForestNode *at = &from[next.at];
		PgmlTreeNode *made = &node[n_nodes];

		if (++t->work % POLL_NODES == 0 && pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		*next.link = at->cut == 0 ? ~n_leaves : n_nodes;
		if (at->cut == 0)
		{
			if (n_leaves > tree->n_nodes)
				return corrupt(t, "a node has two parents");
			PGML_TRY(read_cover(t, &cover[n_leaves]));
			set_values(t, i, at, value + (int64_t) n_leaves * tree->n_values);
			n_leaves++;
			if (n_waiting == 0)
				break;
			next = t->waiting[--n_waiting];
			continue;
		}
		if (n_nodes++ >= tree->n_nodes)
			return corrupt(t, "a node has two parents");
		PGML_TRY(make_split(t, at, made));
		t->waiting[n_waiting++] =
			(Waiting){ at->link, at->flag & PGML_FOREST_OTHERS_NEXT ? &made->left : &made->right };
		next.at++;
		next.link = at->flag & PGML_FOREST_OTHERS_NEXT ? &made->right : &made->left;
	}
	return n_nodes == tree->n_nodes ? PGML_OK : corrupt(t, "a node has no parent");
}

/* Splits of tree number i. */
static int32_t
count_splits(const Turn *t, uint32_t i)
{
	const uint64_t *start = t->v.start + 2 * (uint64_t) i;
	int32_t n = 0;

	for (uint64_t at = start[0]; at < start[2] && n < INT32_MAX / 2; at++)
		n += t->v.node[at].cut != 0;
	return n;
}

/* Turn all trees. */
static PgmlStatus
turn_trees(Turn *t, PgmlTree *tree)
{
	uint32_t n_trees = t->v.header->n_trees;
	int32_t n_values = (int32_t) t->v.header->n_outputs;
	int32_t most = 0;

	for (uint32_t i = 0; i < n_trees; i++)
	{
		if (pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		tree[i] = (PgmlTree){ .n_nodes = count_splits(t, i), .n_values = n_values };
		most = tree[i].n_nodes > most ? tree[i].n_nodes : most;
	}
	t->waiting = pgml_array(t->arena, (size_t) most + 1, sizeof(Waiting));
	if (t->waiting == NULL)
		return pgml_fail_nomem(t->env, "an explanation");
	for (uint32_t i = 0; i < n_trees; i++)
	{
		size_t n = (size_t) tree[i].n_nodes;
		PgmlTreeNode *node = pgml_array(t->arena, n + 1, sizeof(PgmlTreeNode));
		double *cover = pgml_array(t->arena, n + 1, sizeof(double));
		double *value = pgml_array(t->arena, (n + 1) * (size_t) n_values, sizeof(double));

		if (!node || !cover || !value)
			return pgml_fail_nomem(t->env, "an explanation");
		PGML_TRY(turn_tree(t, i, &tree[i], node, cover, value));
		tree[i].node = node;
		tree[i].cover = cover;
		tree[i].value = value;
	}
	return PGML_OK;
}

PgmlStatus
pgml_forest_trees(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
				  const PgmlShape *shape, PgmlTrees *out)
{
	Turn t = { .env = env, .arena = arena, .shape = shape, .v = pgml_forest_view(payload) };
	const PgmlForestHeader *h = t.v.header;
	PgmlTree *tree = pgml_array(arena, h->n_trees, sizeof(PgmlTree));
	double *offset = pgml_zalloc(arena, h->n_outputs, sizeof(double));

	if (t.v.cover == NULL)
		return pgml_fail_unexplained(env->error, "forest");
	if (!tree || !offset)
		return pgml_fail_nomem(env, "an explanation");
	t.cover = t.v.cover;
	PGML_TRY(turn_trees(&t, tree));
	*out = (PgmlTrees){ .n_trees = h->n_trees,
						.tree = tree,
						.n_outputs = (int) h->n_outputs,
						.offset = offset,
						.scale = 1.0 / h->n_trees,
						.max_bin = h->max_bin };
	return PGML_OK;
}
