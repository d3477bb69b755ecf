/*
 * tree_shap_block.c - Shapley values of several rows at once: products and sums of all rows lie next to each other.
 */
#include "learner/tree_shap_internal.h"

#include <string.h>

/* Rows are worked on in multiples of this. */
#define LANES 8

/* An edge that the walk is below of; numbers by quadrature node and row, rows next to each other. */
typedef struct Frame
{
	const PgmlShapEdge *edge;
	double *product;
	double *sum;
	double *inverse;  /* 1 / f where o = 1, by quadrature node */
	int64_t *fulfils; /* by row: -1 where o = 1, else 0 */
} Frame;

/* What one block of rows is worked on with. */
typedef struct Walk
{
	const PgmlTreeShap *shap;
	int64_t rows;  /* a multiple of LANES */
	double factor; /* of the leaf values */
	int output;
	float *x;      /* number by number that is tested */
	double *phi;   /* player by player */
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
pgml_shap_rows_scratch(const PgmlTreeShap *shap)
{
	size_t frames = (size_t) shap->max_depth + 1;

	return aligned(frames * sizeof(Frame)) + frames * frame_size(shap) * sizeof(double) +
		   (size_t) shap->n_tested * PGML_SHAP_ROWS * sizeof(float) +
		   (size_t) shap->n_players * PGML_SHAP_ROWS * sizeof(double) +
		   aligned(3 * ((size_t) shap->max_order + 1) * sizeof(double));
}

/* Lay the scratch memory out. */
static void
lay_out(Walk *w, void *scratch)
{
	const PgmlTreeShap *shap = w->shap;
	size_t order = (size_t) shap->max_order;
	size_t frames = (size_t) shap->max_depth + 1;
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
	w->x = (float *) (w->phi + (size_t) shap->n_players * PGML_SHAP_ROWS);
}

/* Which rows go along the edge? */
static void
test_rows(const Walk *w, const PgmlTree *tree, const PgmlShapEdge *e, int64_t *goes)
{
	const PgmlTreeNode *node = &tree->node[e->node];
	const float *x = w->x + node->feature * w->rows;
	int64_t left = e->left ? -1 : 0;

	if (node->set != NULL)
	{
		for (int64_t i = 0; i < w->rows; i++)
			goes[i] = pgml_shap_goes_left(w->shap, node, x[i]) ? left : ~left;
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
PGML_CLONES static void
multiply(const double *restrict from, const double *restrict yes, const double *restrict no,
		 const double *restrict never, const int64_t *restrict is, const int64_t *restrict was,
		 int32_t order, int64_t rows, double *restrict to)
{
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
PGML_CLONES static void
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
PGML_CLONES static void
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
enter(Walk *w, const PgmlShapTree *t, const PgmlShapEdge *e)
{
	const PgmlTree *tree = t->tree;
	const PgmlShapRule *rule = &w->shap->rule[t->order];
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
leave(Walk *w, const PgmlShapTree *t, int32_t depth)
{
	const PgmlShapRule *rule = &w->shap->rule[t->order];
	const Frame *f = &w->frame[depth];
	const PgmlShapEdge *e = f->edge;
	const Frame *before = e->before > 0 ? &w->frame[e->before] : NULL;
	double *yes = w->given, *no = yes + t->order;

	for (int32_t k = 0; k < t->order; k++)
	{
		double above = before ? (1 - before->edge->z) * before->inverse[k] : 0;

		yes[k] = (1 - e->z) * f->inverse[k] - above;
		no[k] = -1 / (1 - rule->t[k]) - above;
	}
	contribute(f->sum, yes, no, f->fulfils, before ? before->fulfils : NULL, t->order, w->rows,
			   w->phi + e->player * w->rows);
	pass_on(f->sum, e->left, t->order * w->rows, w->frame[depth - 1].sum);
}

/* Walk a tree that has the output. */
static PgmlStatus
walk(const PgmlEnv *env, Walk *w, const PgmlShapTree *t, int64_t *work)
{
	int32_t depth = 0;

	for (int64_t i = 0; i < t->order * w->rows; i++)
		w->frame[0].product[i] = 1;
	for (int64_t i = 0; i < 2 * (int64_t) t->tree->n_nodes; i++)
	{
		const PgmlShapEdge *e = &t->edge[i];

		for (; depth >= e->depth; depth--)
			leave(w, t, depth);
		enter(w, t, e);
		depth = e->depth;
		*work += t->order * w->rows;
		if (*work > PGML_SHAP_POLL)
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
pgml_shap_rows(const PgmlEnv *env, const PgmlTreeShap *shap, const PgmlBlock *block, int output,
			   double factor, double *phi, int64_t stride, void *scratch)
{
	const PgmlTrees *trees = shap->trees;
	int64_t nf = shap->shape->nfeatures;
	Walk w = { .shap = shap,
			   .rows = (block->n + LANES - 1) / LANES * LANES,
			   .factor = factor,
			   .output = output };
	int64_t work = 0;

	lay_out(&w, scratch);
	for (int64_t f = 0; f < nf; f++)
		for (int64_t i = 0; i < w.rows; i++)
			w.x[f * w.rows + i] = i < block->n ? block->x[f * block->stride + i] : 0;
	for (int64_t i = 0; trees->statistics.n > 0 && i < w.rows; i++)
		trees->statistics.compute(trees->statistics.arg, w.x + i, w.rows, w.x + nf * w.rows + i,
								  w.rows);
	memset(w.phi, 0, (size_t) shap->n_players * (size_t) w.rows * sizeof(double));
	for (int64_t t = 0; t < trees->n_trees; t++)
	{
		if (pgml_shap_has_output(&trees->tree[t], output))
			PGML_TRY(walk(env, &w, &shap->tree[t], &work));
	}
	for (int64_t i = 0; i < block->n; i++)
		pgml_trees_share(trees, shap->shape->nfeatures, w.phi + i, w.rows);
	for (int64_t f = 0; f < nf; f++)
		for (int64_t i = 0; i < block->n; i++)
			phi[f * stride + i] += w.phi[f * w.rows + i];
	return PGML_OK;
}
