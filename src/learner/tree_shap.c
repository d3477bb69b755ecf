/*
 * tree_shap.c - exact Shapley values of a sum of trees; tree_shap.h says how.
 *
 * A tree is walked along its edges.  After an edge of feature i the product has the factor f = t o + (1 - t) z of i, with o and z
 * of all edges of i so far: where an edge above has the same feature, its factor is divided out.  On the way back the sum G
 * of the leaves below the edge, times their products, gives i (o - z) / f * G, less the same of that edge above, whose sum has
 * these leaves, too.  Where o = 0, (o - z) / f is -1 / (1 - t), whatever z is.
 */
#include "learner/tree_shap.h"

#include <math.h>
#include <string.h>

#include "learner/gbm_payload.h"

/* Rows are worked on in multiples of this. */
#define LANES 8

/* Products of nodes, quadrature nodes and rows between two looks at the stop flag: some milliseconds. */
#define POLL_WORK 4000000

/* One edge, in the order of a walk that goes left first. */
typedef struct Edge
{
	double
		z; /* product of the shares of cover along the path's edges of the feature, down to here */
	int32_t node;   /* that it leaves */
	int32_t leaf;   /* that it ends in; -1: a node */
	int32_t depth;  /* of its lower end, from 1 */
	int32_t before; /* depth of the next edge above of the same feature; 0: none */
	bool left;
} Edge;

/* Gauss and Legendre's rule for the integral from 0 to 1. */
typedef struct Rule
{
	const double *t;
	const double *weight;
} Rule;

typedef struct ShapTree
{
	const PgmlTree *tree;
	const Edge *edge; /* 2 n_nodes */
	int32_t order;    /* of the rule: as many nodes */
	int32_t depth;
} ShapTree;

struct PgmlTreeShap
{
	const PgmlTrees *trees;
	const PgmlShape *shape;
	const ShapTree *tree;
	const double *base; /* per output */
	const Rule *rule;   /* by order */
	int32_t max_order;
	int32_t max_depth;
};

/* ---- preparation ---------------------------------------------------------------------------- */

/* Nodes and weights of a rule by Newton's method on Legendre's polynomial. */
static PgmlStatus
make_rule(const PgmlEnv *env, PgmlArena *arena, int32_t n, Rule *rule)
{
	double *t = pgml_array(arena, (size_t) n, sizeof(double));
	double *weight = pgml_array(arena, (size_t) n, sizeof(double));

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
	*rule = (Rule){ t, weight };
	return PGML_OK;
}

/* What listing the edges of a tree takes; the arrays serve all trees. */
typedef struct Lister
{
	const PgmlEnv *env;
	int32_t nfeatures;
	double *cover;    /* per node */
	int32_t *parents; /* per node and leaf: times that it is a child */
	int32_t *open;    /* edges on the path, by depth */
	int32_t *last;    /* per feature: depth of its last edge on the path, 0: none */
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
			node->feature < 0 || node->feature >= l->nfeatures)
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
close_edges(Lister *l, const PgmlTree *tree, const Edge *edge, int32_t *depth, int32_t to)
{
	for (; *depth > to; --*depth)
	{
		const Edge *e = &edge[l->open[*depth]];

		l->last[tree->node[e->node].feature] = e->before;
	}
}

/* List the edges of a checked tree: the left edge of a node comes right after the edge to the node, the right one when all
 * below the left one are listed. */
static void
list_edges(Lister *l, const PgmlTree *tree, Edge *edge, ShapTree *out)
{
	int32_t depth = 0, features = 0, most = 0, n = 0;
	int32_t at = 0; /* the node whose left edge is next, else the path is gone back */

	out->depth = 0;
	while (n < 2 * tree->n_nodes)
	{
		bool left = at >= 0;
		const PgmlTreeNode *node;
		Edge *e = &edge[n];
		int32_t child;

		if (!left)
		{
			/* Back over right edges to the last left one; the right one of the same node is next. */
			while (!edge[l->open[depth]].left)
			{
				features -= edge[l->open[depth]].before == 0;
				close_edges(l, tree, edge, &depth, depth - 1);
			}
			at = edge[l->open[depth]].node;
			features -= edge[l->open[depth]].before == 0;
			close_edges(l, tree, edge, &depth, depth - 1);
		}
		node = &tree->node[at];
		child = left ? node->left : node->right;
		*e = (Edge){ .node = at, .leaf = child >= 0 ? -1 : ~child, .depth = ++depth, .left = left };
		e->before = l->last[node->feature];
		e->z = (e->before > 0 ? edge[l->open[e->before]].z : 1) *
			   (cover_of(l, tree, child) / l->cover[at]);
		l->last[node->feature] = depth;
		l->open[depth] = n++;
		features += e->before == 0;
		most = features > most ? features : most;
		out->depth = depth > out->depth ? depth : out->depth;
		at = child;
	}
	close_edges(l, tree, edge, &depth, 0);
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
list_trees(Lister *l, PgmlArena *arena, const PgmlTrees *trees, PgmlTreeShap *shap, ShapTree *tree,
		   double *base)
{
	int64_t listed = 0;

	for (int64_t i = 0; i < trees->n_trees; i++)
	{
		const PgmlTree *t = &trees->tree[i];
		Edge *edge = pgml_array(arena, 2 * (size_t) t->n_nodes + 1, sizeof(Edge));

		listed += t->n_nodes + 1;
		if (listed > POLL_WORK / 64)
		{
			listed = 0;
			if (pgml_stopped(l->env))
				return pgml_fail_cancelled(l->env);
		}
		if (!edge)
			return pgml_fail_nomem(l->env, "an explanation");
		PGML_TRY(check_tree(l, t));
		tree[i] = (ShapTree){ .tree = t, .edge = edge };
		list_edges(l, t, edge, &tree[i]);
		add_base(trees, t, base);
		shap->max_order = tree[i].order > shap->max_order ? tree[i].order : shap->max_order;
		shap->max_depth = tree[i].depth > shap->max_depth ? tree[i].depth : shap->max_depth;
	}
	return PGML_OK;
}

/* The rules of the orders that trees have. */
static PgmlStatus
make_rules(const PgmlEnv *env, PgmlArena *arena, const PgmlTrees *trees, const ShapTree *tree,
		   PgmlTreeShap *shap)
{
	Rule *rule = pgml_zalloc(arena, (size_t) shap->max_order + 1, sizeof(Rule));

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
	ShapTree *tree = pgml_array(arena, (size_t) trees->n_trees + 1, sizeof(ShapTree));
	double *base = pgml_zalloc(arena, (size_t) trees->n_outputs + 1, sizeof(double));
	Lister l = { .env = env, .nfeatures = shape->nfeatures };
	size_t most = 0;

	for (int64_t i = 0; i < trees->n_trees; i++)
		if ((size_t) trees->tree[i].n_nodes > most)
			most = (size_t) trees->tree[i].n_nodes;
	l.cover = pgml_array(arena, most + 1, sizeof(double));
	l.parents = pgml_array(arena, 2 * most + 1, sizeof(int32_t));
	l.open = pgml_array(arena, most + 2, sizeof(int32_t));
	l.last = pgml_zalloc(arena, (size_t) shape->nfeatures + 1, sizeof(int32_t));
	if (!shap || !tree || !base || !l.cover || !l.parents || !l.open || !l.last)
		return pgml_fail_nomem(env, "an explanation");
	*shap = (PgmlTreeShap){ .trees = trees, .shape = shape, .tree = tree, .base = base };
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

/* An edge that the walk is below of; numbers by quadrature node and row, rows next to each other. */
typedef struct Frame
{
	const Edge *edge;
	double *product;
	double *sum;
	double *inverse;  /* 1 / f where o = 1, by quadrature node */
	int64_t *fulfils; /* by row: -1 where o = 1, else 0 */
} Frame;

/* What one block of rows is worked on with. */
typedef struct Walk
{
	const PgmlTreeShap *shap;
	int64_t rows;  /* 1, or a multiple of LANES */
	double factor; /* of the leaf values */
	int output;
	float *x;      /* feature by feature */
	double *phi;   /* the same */
	Frame *frame;  /* by depth; 0: the root */
	double *given; /* room for the three factors of an edge, by quadrature node */
} Walk;

/* Room for one frame's arrays, in doubles. */
static size_t
frame_size(const PgmlTreeShap *shap)
{
	size_t order = (size_t) shap->max_order;

	return 2 * order * PGML_SHAP_ROWS + (order + LANES - 1) / LANES * LANES + PGML_SHAP_ROWS;
}

/* The same multiple of 64 bytes for each part. */
static size_t
aligned(size_t size)
{
	return (size + 63) / 64 * 64;
}

size_t
pgml_tree_shap_scratch(const PgmlTreeShap *shap)
{
	size_t frames = (size_t) shap->max_depth + 1;
	size_t features = (size_t) shap->shape->nfeatures;

	return aligned(frames * sizeof(Frame)) + frames * frame_size(shap) * sizeof(double) +
		   features * PGML_SHAP_ROWS * (sizeof(float) + sizeof(double)) +
		   aligned(3 * ((size_t) shap->max_order + 1) * sizeof(double));
}

/* Lay the scratch memory out. */
static void
lay_out(Walk *w, void *scratch)
{
	const PgmlTreeShap *shap = w->shap;
	size_t order = (size_t) shap->max_order;
	size_t frames = (size_t) shap->max_depth + 1;
	size_t features = (size_t) shap->shape->nfeatures;
	double *at;

	w->frame = scratch;
	at = (double *) ((char *) scratch + aligned(frames * sizeof(Frame)));
	for (size_t d = 0; d < frames; d++, at += frame_size(shap))
	{
		Frame *f = &w->frame[d];

		f->product = at;
		f->sum = f->product + order * PGML_SHAP_ROWS;
		f->fulfils = (int64_t *) (f->sum + order * PGML_SHAP_ROWS);
		f->inverse = (double *) f->fulfils + PGML_SHAP_ROWS;
	}
	w->given = at;
	w->phi = at + aligned(3 * (order + 1) * sizeof(double)) / sizeof(double);
	w->x = (float *) (w->phi + features * PGML_SHAP_ROWS);
}

/* Which rows go along the edge? */
static void
test_rows(const Walk *w, const PgmlTree *tree, const Edge *e, int64_t *goes)
{
	const PgmlTreeNode *node = &tree->node[e->node];
	const float *x = w->x + node->feature * w->rows;
	int64_t left = e->left ? -1 : 0;

	if (node->set != NULL)
	{
		for (int64_t i = 0; i < w->rows; i++)
		{
			uint32_t bin = pgml_gbm_level_bin(x[i], w->shap->shape->n_levels[node->feature],
											  w->shap->trees->max_bin);

			goes[i] = (node->set[bin / 32] >> (bin % 32) & 1) != 0 ? left : ~left;
		}
		return;
	}
	for (int64_t i = 0; i < w->rows; i++)
		goes[i] =
			((x[i] <= node->threshold) | ((x[i] != x[i]) & node->missing_left)) ? left : ~left;
}

/*
 * to = from * what the row's state asks for, by quadrature node: `yes` where o = 1, `no` where o = 0 only since this edge,
 * `never` where it was 0 before.  was is NULL when there is no edge of the feature above.
 */
PGML_GBM_CLONES static void
multiply(const double *restrict from, const double *restrict yes, const double *restrict no,
		 const double *restrict never, const int64_t *restrict is, const int64_t *restrict was,
		 int32_t order, int64_t rows, double *restrict to)
{
	/* A row alone: the quadrature nodes are next to each other. */
	if (rows == 1)
	{
		const double *by = is[0] ? yes : was == NULL || was[0] ? no : never;

		for (int32_t k = 0; k < order; k++)
			to[k] = from[k] * by[k];
		return;
	}
	for (int32_t k = 0; k < order; k++)
	{
		double a = yes[k], b = no[k], c = never[k];

		if (was == NULL)
			for (int64_t i = 0; i < rows; i++)
				to[k * rows + i] = from[k * rows + i] * (is[i] ? a : b);
		else
			for (int64_t i = 0; i < rows; i++)
				to[k * rows + i] = from[k * rows + i] * (is[i] ? a : was[i] ? b : c);
	}
}

/* phi += sum over quadrature nodes of the leaves' sum times `yes` where o = 1, times `no` where it is 0 since this edge. */
PGML_GBM_CLONES static void
contribute(const double *restrict sum, const double *restrict yes, const double *restrict no,
		   const int64_t *restrict is, const int64_t *restrict was, int32_t order, int64_t rows,
		   double *restrict phi)
{
	double part[PGML_SHAP_ROWS] = { 0 };

	for (int32_t k = 0; k < order; k++)
	{
		double a = yes[k], b = no[k];

		for (int64_t i = 0; i < rows; i++)
			part[i] += sum[k * rows + i] * (is[i] ? a : b);
	}
	for (int64_t i = 0; i < rows; i++)
		phi[i] += was == NULL || was[i] ? part[i] : 0;
}

/* to += from, or = from. */
PGML_GBM_CLONES static void
pass_on(const double *restrict from, bool first, int64_t n, double *restrict to)
{
	if (first)
		memcpy(to, from, (size_t) n * sizeof(double));
	else
		for (int64_t i = 0; i < n; i++)
			to[i] += from[i];
}

/* Go along an edge: products below it, and in a leaf its sum. */
static void
enter(Walk *w, const ShapTree *t, const Edge *e)
{
	const PgmlTree *tree = t->tree;
	const Rule *rule = &w->shap->rule[t->order];
	Frame *f = &w->frame[e->depth];
	const Frame *before = e->before > 0 ? &w->frame[e->before] : NULL;
	double *yes = w->given, *no = yes + t->order, *never = no + t->order;
	double value = 1;

	f->edge = e;
	test_rows(w, tree, e, f->fulfils);
	for (int64_t i = 0; before && i < w->rows; i++)
		f->fulfils[i] &= before->fulfils[i];
	if (e->leaf >= 0)
		value = w->factor *
				tree->value[(int64_t) e->leaf * tree->n_values + w->output - tree->first_output];
	for (int32_t k = 0; k < t->order; k++)
	{
		double now = rule->t[k] + (1 - rule->t[k]) * e->z;
		double scale = e->leaf >= 0 ? value * rule->weight[k] : 1;
		double divide = before ? before->inverse[k] * scale : scale;

		f->inverse[k] = 1 / now;
		yes[k] = now * divide;
		no[k] = (1 - rule->t[k]) * e->z * divide;
		never[k] = before ? e->z / before->edge->z * scale : 0;
	}
	multiply(w->frame[e->depth - 1].product, yes, no, never, f->fulfils,
			 before ? before->fulfils : NULL, t->order, w->rows,
			 e->leaf >= 0 ? f->sum : f->product);
}

/* Go back over an edge: its feature gets what the leaves below say, and the edge above their sum. */
static void
leave(Walk *w, const ShapTree *t, int32_t depth)
{
	const Rule *rule = &w->shap->rule[t->order];
	const Frame *f = &w->frame[depth];
	const Edge *e = f->edge;
	const Frame *before = e->before > 0 ? &w->frame[e->before] : NULL;
	double *yes = w->given, *no = yes + t->order;
	int32_t feature = t->tree->node[e->node].feature;

	for (int32_t k = 0; k < t->order; k++)
	{
		double above = before ? (1 - before->edge->z) * before->inverse[k] : 0;

		yes[k] = (1 - e->z) * f->inverse[k] - above;
		no[k] = -1 / (1 - rule->t[k]) - above;
	}
	contribute(f->sum, yes, no, f->fulfils, before ? before->fulfils : NULL, t->order, w->rows,
			   w->phi + feature * w->rows);
	pass_on(f->sum, e->left, t->order * w->rows, w->frame[depth - 1].sum);
}

/* Walk a tree that has the output. */
static PgmlStatus
walk(const PgmlEnv *env, Walk *w, const ShapTree *t, int64_t *work)
{
	int32_t depth = 0;

	for (int64_t i = 0; i < t->order * w->rows; i++)
		w->frame[0].product[i] = 1;
	for (int64_t i = 0; i < 2 * (int64_t) t->tree->n_nodes; i++)
	{
		const Edge *e = &t->edge[i];

		for (; depth >= e->depth; depth--)
			leave(w, t, depth);
		enter(w, t, e);
		depth = e->depth;
		*work += t->order * w->rows;
		if (*work > POLL_WORK)
		{
			*work = 0;
			if (pgml_stopped(env))
				return pgml_fail_cancelled(env);
		}
	}
	for (; depth > 0; depth--)
		leave(w, t, depth);
	return PGML_OK;
}

PgmlStatus
pgml_tree_shap_block(const PgmlEnv *env, const PgmlTreeShap *shap, const PgmlBlock *block,
					 int output, double factor, double *phi, int64_t stride, void *scratch)
{
	const PgmlTrees *trees = shap->trees;
	int64_t nf = shap->shape->nfeatures;
	Walk w = { .shap = shap,
			   .rows = block->n == 1 ? 1 : (block->n + LANES - 1) / LANES * LANES,
			   .factor = factor * trees->scale,
			   .output = output };
	int64_t work = 0;

	lay_out(&w, scratch);
	for (int64_t f = 0; f < nf; f++)
		for (int64_t i = 0; i < w.rows; i++)
		{
			w.x[f * w.rows + i] = i < block->n ? block->x[f * block->stride + i] : 0;
			w.phi[f * w.rows + i] = 0;
		}
	for (int64_t t = 0; t < trees->n_trees; t++)
	{
		const PgmlTree *tree = &trees->tree[t];

		if (output >= tree->first_output && output < tree->first_output + tree->n_values)
			PGML_TRY(walk(env, &w, &shap->tree[t], &work));
	}
	for (int64_t f = 0; f < nf; f++)
		for (int64_t i = 0; i < block->n; i++)
			phi[f * stride + i] += w.phi[f * w.rows + i];
	return PGML_OK;
}
