/*
 * tree_shap.c - exact Shapley values of a sum of trees: check the trees and list their edges; tree_shap.h says how it goes on.
 */
#include "learner/tree_shap_internal.h"

#include <math.h>
#include <string.h>

/* ---- preparation ---------------------------------------------------------------------------- */

/* Nodes and weights of a rule by Newton's method on Legendre's polynomial. */
static PgmlStatus
make_rule(const PgmlEnv *env, PgmlArena *arena, int32_t n, PgmlShapRule *rule)
{
	size_t room = 4 * (size_t) pgml_shap_fours(n);
	double *t = pgml_zalloc(arena, room, sizeof(double));
	double *weight = pgml_zalloc(arena, room, sizeof(double));

	if (!t || !weight)
		return pgml_fail_nomem(env, "an explanation");
	for (int32_t i = 0; i < n; i++)
	{
		double x = cos(M_PI * (i + 0.75) / (n + 0.5));
		double slope = 1;

		for (int round = 0; round < 20; round++)
		{
			double p = 1, last = 0, step;

			for (int32_t j = 1; j <= n; j++)
			{
				double next = ((2.0 * j - 1) * x * p - (j - 1.0) * last) / j;

				last = p;
				p = next;
			}
			slope = n * (x * p - last) / (x * x - 1);
			step = p / slope;
			x -= step;
			if (fabs(step) < 1e-15)
				break;
		}
		t[i] = (1 - x) / 2;
		weight[i] = 1 / ((1 - x * x) * slope * slope);
	}
	*rule = (PgmlShapRule){ t, weight };
	return PGML_OK;
}

/* What listing the edges of a tree takes; the arrays serve all trees. */
typedef struct Lister
{
	const PgmlEnv *env;
	const PgmlTrees *trees;
	int32_t nfeatures;
	double *cover;    /* per node */
	int32_t *parents; /* per node and leaf: times that it is a child */
	int32_t *open;    /* edges on the path, by depth */
	int32_t *last;    /* per player: depth of its last edge on the path, 0: none */
} Lister;

/* Refuse trees, saying why. */
static PgmlStatus
corrupt(const PgmlEnv *env, const char *what)
{
	return pgml_fail(env->error, PGML_ERR_CORRUPT, "the model's trees are damaged: %s", what);
}

static bool
child_exists(const PgmlTree *tree, int32_t child, int32_t parent)
{
	return child >= 0 ? child > parent && child < tree->n_nodes : ~child <= tree->n_nodes;
}

/* Cover of what hangs below. */
static double
cover_of(const Lister *l, const PgmlTree *tree, int32_t child)
{
	return child >= 0 ? l->cover[child] : tree->cover[~child];
}

/* Check that the nodes are a tree, and find their covers. */
static PgmlStatus
check_tree(Lister *l, const PgmlTree *tree)
{
	int32_t *leaf_parents = l->parents + tree->n_nodes;

	memset(l->parents, 0, (2 * (size_t) tree->n_nodes + 1) * sizeof(int32_t));
	for (int32_t i = 0; i <= tree->n_nodes; i++)
		if (!(tree->cover[i] > 0) || !isfinite(tree->cover[i]))
			return corrupt(l->env, "a leaf has no rows");
	for (int32_t i = tree->n_nodes - 1; i >= 0; i--)
	{
		const PgmlTreeNode *node = &tree->node[i];

		if (!child_exists(tree, node->left, i) || !child_exists(tree, node->right, i) ||
			node->feature < 0 || node->feature >= pgml_trees_tested(l->trees, l->nfeatures))
			return corrupt(l->env, "a node has a child or a feature out of bounds");
		for (int c = 0; c < 2; c++)
		{
			int32_t child = c == 0 ? node->left : node->right;

			if ((*(child >= 0 ? &l->parents[child] : &leaf_parents[~child]))++ > 0)
				return corrupt(l->env, "a node has two parents");
		}
		l->cover[i] = cover_of(l, tree, node->left) + cover_of(l, tree, node->right);
	}
	return PGML_OK;
}

/* Go back until the path ends at this depth. */
static void
close_edges(Lister *l, const PgmlShapEdge *edge, int32_t *depth, int32_t to)
{
	for (; *depth > to; --*depth)
	{
		const PgmlShapEdge *e = &edge[l->open[*depth]];

		l->last[e->player] = e->before;
	}
}

/* List the edges of a checked tree: the left edge of a node comes right after the edge to the node, the right one when all
 * below the left one are listed. */
static void
list_edges(Lister *l, const PgmlTree *tree, PgmlShapEdge *edge, PgmlShapTree *out)
{
	int32_t depth = 0, features = 0, most = 0, n = 0;
	int32_t at = 0; /* the node whose left edge is next, else the path is gone back */

	out->depth = 0;
	while (n < 2 * tree->n_nodes)
	{
		bool left = at >= 0;
		const PgmlTreeNode *node;
		PgmlShapEdge *e = &edge[n];
		int32_t child;

		if (!left)
		{
			/* Back over right edges to the last left one; the right one of the same node is next. */
			while (!edge[l->open[depth]].left)
			{
				features -= edge[l->open[depth]].before == 0;
				close_edges(l, edge, &depth, depth - 1);
			}
			at = edge[l->open[depth]].node;
			features -= edge[l->open[depth]].before == 0;
			close_edges(l, edge, &depth, depth - 1);
		}
		node = &tree->node[at];
		child = left ? node->left : node->right;
		*e = (PgmlShapEdge){
			.node = at, .leaf = child >= 0 ? -1 : ~child, .depth = ++depth, .left = left
		};
		e->player = pgml_trees_player(l->trees, l->nfeatures, node->feature);
		e->before = l->last[e->player];
		e->z = (e->before > 0 ? edge[l->open[e->before]].z : 1) *
			   (cover_of(l, tree, child) / l->cover[at]);
		l->last[e->player] = depth;
		l->open[depth] = n++;
		features += e->before == 0;
		most = features > most ? features : most;
		out->depth = depth > out->depth ? depth : out->depth;
		at = child;
	}
	close_edges(l, edge, &depth, 0);
	out->order = (most + 1) / 2;
}

/* Expectations of the outputs. */
static void
add_base(const PgmlTrees *trees, const PgmlTree *tree, double *base)
{
	double total = 0;

	for (int32_t leaf = 0; leaf <= tree->n_nodes; leaf++)
		total += tree->cover[leaf];
	for (int32_t leaf = 0; leaf <= tree->n_nodes; leaf++)
		for (int32_t k = 0; k < tree->n_values; k++)
			base[tree->first_output + k] += trees->scale * (tree->cover[leaf] / total) *
											tree->value[(int64_t) leaf * tree->n_values + k];
}

/* Check and list all trees. */
static PgmlStatus
list_trees(Lister *l, PgmlArena *arena, const PgmlTrees *trees, PgmlTreeShap *shap,
		   PgmlShapTree *tree, double *base)
{
	int64_t listed = 0;

	for (int64_t i = 0; i < trees->n_trees; i++)
	{
		const PgmlTree *t = &trees->tree[i];
		PgmlShapEdge *edge = pgml_array(arena, 2 * (size_t) t->n_nodes + 1, sizeof(PgmlShapEdge));

		listed += t->n_nodes + 1;
		if (listed > PGML_SHAP_POLL / 64)
		{
			listed = 0;
			if (pgml_stopped(l->env))
				return pgml_fail_cancelled(l->env);
		}
		if (!edge)
			return pgml_fail_nomem(l->env, "an explanation");
		PGML_TRY(check_tree(l, t));
		tree[i] = (PgmlShapTree){ .tree = t, .edge = edge };
		list_edges(l, t, edge, &tree[i]);
		add_base(trees, t, base);
		shap->max_order = tree[i].order > shap->max_order ? tree[i].order : shap->max_order;
		shap->max_depth = tree[i].depth > shap->max_depth ? tree[i].depth : shap->max_depth;
	}
	return PGML_OK;
}

/* The rules of the orders that trees have. */
static PgmlStatus
make_rules(const PgmlEnv *env, PgmlArena *arena, const PgmlTrees *trees, const PgmlShapTree *tree,
		   PgmlTreeShap *shap)
{
	PgmlShapRule *rule = pgml_zalloc(arena, (size_t) shap->max_order + 1, sizeof(PgmlShapRule));

	if (!rule)
		return pgml_fail_nomem(env, "an explanation");
	for (int64_t i = 0; i < trees->n_trees; i++)
		if (tree[i].order > 0 && !rule[tree[i].order].t)
		{
			if (pgml_stopped(env))
				return pgml_fail_cancelled(env);
			PGML_TRY(make_rule(env, arena, tree[i].order, &rule[tree[i].order]));
		}
	shap->rule = rule;
	return PGML_OK;
}

PgmlStatus
pgml_tree_shap_create(const PgmlEnv *env, PgmlArena *arena, const PgmlTrees *trees,
					  const PgmlShape *shape, const PgmlTreeShap **out)
{
	PgmlTreeShap *shap = pgml_zalloc(arena, 1, sizeof(*shap));
	PgmlShapTree *tree = pgml_array(arena, (size_t) trees->n_trees + 1, sizeof(PgmlShapTree));
	double *base = pgml_zalloc(arena, (size_t) trees->n_outputs + 1, sizeof(double));
	Lister l = { .env = env, .trees = trees, .nfeatures = shape->nfeatures };
	int32_t players = pgml_trees_players(trees, shape->nfeatures);
	size_t most = 0;

	for (int64_t i = 0; i < trees->n_trees; i++)
		if ((size_t) trees->tree[i].n_nodes > most)
			most = (size_t) trees->tree[i].n_nodes;
	l.cover = pgml_array(arena, most + 1, sizeof(double));
	l.parents = pgml_array(arena, 2 * most + 1, sizeof(int32_t));
	l.open = pgml_array(arena, most + 2, sizeof(int32_t));
	l.last = pgml_zalloc(arena, (size_t) players + 1, sizeof(int32_t));
	if (!shap || !tree || !base || !l.cover || !l.parents || !l.open || !l.last)
		return pgml_fail_nomem(env, "an explanation");
	*shap = (PgmlTreeShap){ .trees = trees,
							.shape = shape,
							.n_tested = pgml_trees_tested(trees, shape->nfeatures),
							.n_players = players,
							.tree = tree,
							.base = base };
	memcpy(base, trees->offset, (size_t) trees->n_outputs * sizeof(double));
	PGML_TRY(list_trees(&l, arena, trees, shap, tree, base));
	PGML_TRY(make_rules(env, arena, trees, tree, shap));
	*out = shap;
	return PGML_OK;
}

double
pgml_tree_shap_work(const PgmlTreeShap *shap)
{
	double work = 0;

	for (int64_t i = 0; i < shap->trees->n_trees; i++)
		work += 2.0 * shap->tree[i].tree->n_nodes * (shap->tree[i].order + 8);
	return work;
}

double
pgml_tree_shap_base(const PgmlTreeShap *shap, int output)
{
	return shap->base[output];
}

/* ---- rows ----------------------------------------------------------------------------------- */

size_t
pgml_tree_shap_scratch(const PgmlTreeShap *shap)
{
	size_t row = pgml_shap_row_scratch(shap), rows = pgml_shap_rows_scratch(shap);

	return row > rows ? row : rows;
}

PgmlStatus
pgml_tree_shap_block(const PgmlEnv *env, const PgmlTreeShap *shap, const PgmlBlock *block,
					 int output, double factor, double *phi, int64_t stride, void *scratch)
{
	if (pgml_stopped(env))
		return pgml_fail_cancelled(env);
	factor *= shap->trees->scale;
	if (block->n == 1)
		return pgml_shap_row(env, shap, block, output, factor, phi, stride, scratch);
	return pgml_shap_rows(env, shap, block, output, factor, phi, stride, scratch);
}
