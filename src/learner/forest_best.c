/*
 * forest_best.c - grow a tree of a bounded number of leaves, best split first (as scikit-learn does with max_leaf_nodes).
 *
 * The node is split next whose split takes most impurity away, by its weight; equal ones in the order in which they were made.  Where the
 * splits are is planned first; then nodes are put down in the order of the payload.
 */
#include <math.h>

#include "learner/forest_grow.h"

/* ---- the nodes that can be split, as a heap ---- */

static bool
precedes(const PgmlForestPlan *p, int32_t a, int32_t b)
{
	if (p->node[a].gain != p->node[b].gain)
		return p->node[a].gain > p->node[b].gain;
	return a < b;
}

static void
push(PgmlForestPlan *p, int32_t node)
{
	int32_t i = p->n_open++;

	for (; i > 0 && precedes(p, node, p->open[(i - 1) / 2]); i = (i - 1) / 2)
		p->open[i] = p->open[(i - 1) / 2];
	p->open[i] = node;
}

static int32_t
pop(PgmlForestPlan *p)
{
	int32_t best = p->open[0], last = p->open[--p->n_open];
	int32_t i = 0;

	for (;;)
	{
		int32_t child = 2 * i + 1;

		if (child >= p->n_open)
			break;
		if (child + 1 < p->n_open && precedes(p, p->open[child + 1], p->open[child]))
			child++;
		if (precedes(p, last, p->open[child]))
			break;
		p->open[i] = p->open[child];
		i = child;
	}
	p->open[i] = last;
	return best;
}

/* ---- planning ---- */

/* What the node at hand would score as a child: the other half of what its split gains. */
static double
score_whole(const PgmlForestGrower *g)
{
	bool entropy = g->config->criterion == PGML_FOREST_ENTROPY;
	const PgmlForestData *d = g->data;
	double terms = 0, all = 0, n = g->total.n, p = g->total.p;

	if (d->task == PGML_TASK_MULTICLASS || pgml_forest_is_simple(g))
	{
		for (int32_t s = 0; s < g->n_segments; s++)
		{
			double w = g->segment[s].weight;

			all += w;
			terms += entropy ? pgml_forest_xlogx(w) : w * w;
		}
		return entropy ? terms - pgml_forest_xlogx(all) : terms / all;
	}
	if (d->task == PGML_TASK_BINARY)
	{
		p *= d->class_weight[1];
		n = (g->total.n - g->total.p) * d->class_weight[0] + p;
	}
	if (entropy)
		return pgml_forest_xlogx(p) + pgml_forest_xlogx(n - p) - pgml_forest_xlogx(n);
	return p * p / n;
}

/* Add a node to the plan, and to those that can be split if it can; false when stopped. */
static bool
open_node(PgmlForestGrower *g, uint32_t from, uint32_t upto, int32_t depth)
{
	PgmlForestPlan *p = &g->plan;
	int32_t number = p->n_nodes++;
	PgmlForestPlanned *node = &p->node[number];

	*node = (PgmlForestPlanned){
		.from = from, .upto = upto, .depth = depth, .child = PGML_FOREST_NONE
	};
	if (!pgml_forest_split_node(g, g->item + from, upto - from, depth, &node->split))
		return false;
	if (node->split.feature < 0)
		return true;
	node->gain = node->split.score - score_whole(g);
	push(p, number);
	return true;
}

/* Split the best node until there are as many leaves as there may be; false when stopped. */
static bool
plan_tree(PgmlForestGrower *g, uint32_t n)
{
	PgmlForestPlan *p = &g->plan;

	p->n_nodes = p->n_open = 0;
	if (!open_node(g, 0, n, 0))
		return false;
	/* A tree of as many nodes has (nodes + 1) / 2 leaves. */
	while (p->n_open > 0 && p->n_nodes / 2 + 1 < g->config->max_leaves && !g->late)
	{
		PgmlForestPlanned *node = &p->node[pop(p)];
		uint32_t middle = node->from + pgml_forest_part(g, g->item + node->from,
														node->upto - node->from, &node->split);

		node->child = p->n_nodes;
		if (!open_node(g, node->from, middle, node->depth + 1) ||
			!open_node(g, middle, node->upto, node->depth + 1))
			return false;
	}
	return true;
}

/* ---- putting it down ---- */

/* The leaf of a planned node; false when stopped. */
static bool
put_leaf(PgmlForestGrower *g, const PgmlForestPlanned *node)
{
	bool pure;

	if (!pgml_forest_go_on(g, node->upto - node->from))
		return false;
	pgml_forest_look_at(g, g->item + node->from, node->upto - node->from, &pure);
	pgml_forest_make_leaf(g, node->parent);
	return true;
}

bool
pgml_forest_grow_best(PgmlForestGrower *g, uint32_t n)
{
	PgmlForestPlan *p = &g->plan;
	int32_t at = 0;

	if (!plan_tree(g, n))
		return false;
	p->node[0].parent = PGML_FOREST_NO_PARENT;
	p->n_open = 0;
	for (;;)
	{
		PgmlForestPlanned *node = &p->node[at];

		if (node->child != PGML_FOREST_NONE)
		{
			PgmlForestPlanned *left = &p->node[node->child], *right = left + 1;
			bool others = right->upto - right->from > left->upto - left->from;

			/* The larger child comes next; the other one waits. */
			left->parent = right->parent = PGML_FOREST_NO_PARENT;
			(others ? left : right)->parent = pgml_forest_put_split(g, &node->split, others);
			p->open[p->n_open++] = node->child + !others;
			at = node->child + others;
			continue;
		}
		if (!put_leaf(g, node))
			return false;
		if (p->n_open == 0)
			return true;
		at = p->open[--p->n_open];
		g->node[p->node[at].parent].link = (uint32_t) g->n_nodes;
	}
}
