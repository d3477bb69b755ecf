/*
 * tree_shap_row.c - Shapley values of one row alone: the quadrature nodes of its products and sums lie next to each other.
 */
#include "learner/tree_shap_internal.h"

#include <string.h>

/* An edge that the walk is below of; products and sums are a four for each four of the rule. */
typedef struct Frame
{
	const PgmlShapEdge *edge;
	bool fulfils; /* o = 1 */
	PgmlShapFour *product;
	PgmlShapFour *sum;
	PgmlShapFour *inverse; /* 1 / f where o = 1 */
} Frame;

typedef struct Walk
{
	const PgmlTreeShap *shap;
	const PgmlTree *tree;
	const PgmlShapFour *t; /* the rule's */
	const PgmlShapFour *weight;
	int32_t fours;
	int output;
	double factor; /* of the leaf values */
	const float *x;
	int64_t x_stride;
	double *phi;
	int64_t phi_stride;
	Frame *frame; /* by depth; 0: the root */
	int32_t depth;
} Walk;

/* Bytes of the frames, a multiple of 64. */
static size_t
frames_size(const PgmlTreeShap *shap)
{
	return (((size_t) shap->max_depth + 1) * sizeof(Frame) + 63) / 64 * 64;
}

size_t
pgml_shap_row_scratch(const PgmlTreeShap *shap)
{
	size_t fours = (size_t) pgml_shap_fours(shap->max_order);

	return frames_size(shap) + 3 * ((size_t) shap->max_depth + 1) * fours * sizeof(PgmlShapFour) +
		   (size_t) shap->n_players * sizeof(double) + (size_t) shap->n_tested * sizeof(float);
}

/* Lay the scratch memory out; what is behind the frames is for statistics. */
static double *
lay_out(Walk *w, char *scratch)
{
	size_t fours = (size_t) pgml_shap_fours(w->shap->max_order);
	PgmlShapFour *at = (PgmlShapFour *) (scratch + frames_size(w->shap));

	w->frame = (Frame *) scratch;
	for (int32_t d = 0; d <= w->shap->max_depth; d++, at += 3 * fours)
		w->frame[d] = (Frame){ .product = at, .sum = at + fours, .inverse = at + 2 * fours };
	return (double *) at;
}

/* Go along an edge: products below it, and in a leaf its sum. */
static inline __attribute__((always_inline)) void
enter(Walk *w, const PgmlShapEdge *e)
{
	const PgmlTreeNode *node = &w->tree->node[e->node];
	const PgmlShapFour *from = w->frame[e->depth - 1].product;
	const Frame *before = e->before > 0 ? &w->frame[e->before] : NULL;
	Frame *f = &w->frame[e->depth];
	PgmlShapFour *to = e->leaf >= 0 ? f->sum : f->product;
	bool was = before == NULL || before->fulfils;

	f->edge = e;
	f->fulfils =
		was && pgml_shap_goes_left(w->shap, node, w->x[node->feature * w->x_stride]) == e->left;
	for (int32_t q = 0; f->fulfils && q < w->fours; q++)
	{
		PgmlShapFour now = w->t[q] + (1 - w->t[q]) * e->z;

		f->inverse[q] = 1 / now;
		to[q] = before ? from[q] * (now * before->inverse[q]) : from[q] * now;
	}
	for (int32_t q = 0; !f->fulfils && was && q < w->fours; q++)
	{
		PgmlShapFour now = (1 - w->t[q]) * e->z;

		to[q] = before ? from[q] * (now * before->inverse[q]) : from[q] * now;
	}
	if (!was)
	{
		double now = e->z / before->edge->z;

		for (int32_t q = 0; q < w->fours; q++)
			to[q] = from[q] * now;
	}
	if (e->leaf >= 0)
	{
		double value = w->factor * pgml_shap_leaf_value(w->tree, e->leaf, w->output);

		for (int32_t q = 0; q < w->fours; q++)
			to[q] *= value * w->weight[q];
	}
}

/* What the leaves below an edge say of its feature. */
static inline __attribute__((always_inline)) double
contribution(const Walk *w, const Frame *f, const Frame *before)
{
	PgmlShapFour sum = { 0 };

	for (int32_t q = 0; q < w->fours; q++)
	{
		PgmlShapFour by = f->fulfils ? (1 - f->edge->z) * f->inverse[q] : -1 / (1 - w->t[q]);

		if (before)
			by -= (1 - before->edge->z) * before->inverse[q];
		sum += f->sum[q] * by;
	}
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Go back over an edge: its feature gets what the leaves below say, and the edge above their sum. */
static inline __attribute__((always_inline)) void
leave(Walk *w)
{
	const Frame *f = &w->frame[w->depth];
	const Frame *before = f->edge->before > 0 ? &w->frame[f->edge->before] : NULL;
	PgmlShapFour *to = w->frame[w->depth - 1].sum;

	if (before == NULL || before->fulfils)
		w->phi[f->edge->player * w->phi_stride] += contribution(w, f, before);
	for (int32_t q = 0; q < w->fours; q++)
		to[q] = f->edge->left ? f->sum[q] : to[q] + f->sum[q];
	w->depth--;
}

/* Walk some edges; w->depth is where the walk is. */
PGML_CLONES static void
walk_edges(Walk *w, const PgmlShapEdge *from, const PgmlShapEdge *end)
{
	for (const PgmlShapEdge *e = from; e < end; e++)
	{
		while (w->depth >= e->depth)
			leave(w);
		enter(w, e);
		w->depth = e->depth;
	}
}

/* Go back to the root. */
PGML_CLONES static void
walk_back(Walk *w)
{
	while (w->depth > 0)
		leave(w);
}

/* Walk a tree that has the output; *work counts steps since the stop flag was looked at. */
static PgmlStatus
walk(const PgmlEnv *env, Walk *w, const PgmlShapTree *t, int64_t *work)
{
	const PgmlShapRule *rule = &w->shap->rule[t->order];
	const PgmlShapEdge *end = t->edge + 2 * (int64_t) t->tree->n_nodes;
	int64_t at_once;

	w->tree = t->tree;
	w->fours = pgml_shap_fours(t->order);
	w->t = (const PgmlShapFour *) rule->t;
	w->weight = (const PgmlShapFour *) rule->weight;
	for (int32_t q = 0; q < w->fours; q++)
		w->frame[0].product[q] = (PgmlShapFour){ 1, 1, 1, 1 };
	at_once = PGML_SHAP_POLL / (4 * w->fours) + 1;
	for (const PgmlShapEdge *e = t->edge; e < end;)
	{
		const PgmlShapEdge *upto = end - e < at_once ? end : e + at_once;

		walk_edges(w, e, upto);
		*work += (upto - e) * w->fours * 4;
		e = upto;
		if (*work > PGML_SHAP_POLL)
		{
			*work = 0;
			if (pgml_stopped(env))
				return pgml_fail_cancelled(env);
		}
	}
	walk_back(w);
	return PGML_OK;
}

/* Walk all trees that have the output. */
static PgmlStatus
walk_trees(const PgmlEnv *env, Walk *w)
{
	const PgmlTreeShap *shap = w->shap;
	int64_t work = 0;

	for (int64_t t = 0; t < shap->trees->n_trees; t++)
		if (shap->tree[t].order > 0 && pgml_shap_has_output(&shap->trees->tree[t], w->output))
			PGML_TRY(walk(env, w, &shap->tree[t], &work));
	return PGML_OK;
}

PgmlStatus
pgml_shap_row(const PgmlEnv *env, const PgmlTreeShap *shap, const PgmlBlock *block, int output,
			  double factor, double *phi, int64_t stride, void *scratch)
{
	const PgmlTreeStatistics *statistics = &shap->trees->statistics;
	int32_t nf = shap->shape->nfeatures;
	Walk w = { .shap = shap,
			   .output = output,
			   .factor = factor,
			   .x = block->x,
			   .x_stride = block->stride,
			   .phi = phi,
			   .phi_stride = stride };
	double *own = lay_out(&w, scratch);
	float *x = (float *) (own + shap->n_players);

	if (statistics->n == 0)
		return walk_trees(env, &w);
	for (int32_t f = 0; f < nf; f++)
		x[f] = block->x[f * block->stride];
	statistics->compute(statistics->arg, x, 1, x + nf, 1);
	memset(own, 0, (size_t) shap->n_players * sizeof(double));
	w.x = x;
	w.x_stride = 1;
	w.phi = own;
	w.phi_stride = 1;
	PGML_TRY(walk_trees(env, &w));
	pgml_trees_share(shap->trees, nf, own, 1);
	for (int32_t f = 0; f < nf; f++)
		phi[f * stride] += own[f];
	return PGML_OK;
}
