/*
 * gbm_score.c - follow the stored trees: one row, or some in step.
 */
#include "learner/gbm_payload.h"

#include <string.h>

#include "learner/gbm_loss.h"

#define PREDICT_ROWS 128 /* rows that pass through the trees together */
#define ABREAST      8   /* rows, or trees, that are walked in step */

/* What a walk may meet: constants, so that each gets a loop of its own. */
typedef enum Meets
{
	MEETS_NUMBERS,
	MEETS_MISSING, /* and numbers */
	MEETS_ALL      /* categorical nodes as well */
} Meets;

/* Does x go left at a categorical node? */
static inline bool
level_goes_left(const PgmlGbmView *v, const PgmlGbmNode16 *node, const PgmlShape *shape, uint32_t f,
				float x)
{
	uint32_t bin = pgml_gbm_level_bin(x, shape->n_levels[f], v->header->max_bin);

	return v->word[node->u.word + bin / 32] >> (bin % 32) & 1;
}

/* Does the row x go left? */
static inline __attribute__((always_inline)) bool
goes_left(const PgmlGbmView *v, const PgmlGbmNode16 *node, const PgmlShape *shape, const float *x,
		  Meets meets)
{
	uint32_t f = node->feature & PGML_GBM_FEATURE;

	if (meets == MEETS_ALL && (node->feature & PGML_GBM_CATEGORICAL))
		return level_goes_left(v, node, shape, f, x[f]);
	if (meets == MEETS_NUMBERS)
		return x[f] <= node->u.threshold;
	return (x[f] <= node->u.threshold) |
		   ((x[f] != x[f]) & ((node->feature & PGML_GBM_MISSING_LEFT) != 0));
}

/*
 * Leaves that ABREAST walkers, each with a tree and a row of its own, fall into: they walk in step, so that the processor
 * works on one's node while it waits for the others'; no comparison branches.  Who has arrived goes on from the root in vain.
 */
static inline __attribute__((always_inline)) void
find_leaves(const PgmlGbmView *v, const PgmlGbmNode16 *const *tree, const PgmlShape *shape,
			const float *const *x, Meets meets, int32_t *at)
{
	int32_t walking;

	memset(at, 0, ABREAST * sizeof(*at));
	do
	{
		walking = -1;
		for (int w = 0; w < ABREAST; w++)
		{
			int32_t arrived = at[w] >> 31;
			const PgmlGbmNode16 *node = &tree[w][at[w] & ~arrived];
			int32_t right = -(int32_t) !goes_left(v, node, shape, x[w], meets);
			int32_t next = node->left ^ ((node->left ^ node->right) & right);

			at[w] = arrived ? at[w] : next;
			walking &= at[w];
		}
	} while (walking >= 0);
}

/* Add all trees to the scores of one row, ABREAST at a time; in order, so that the sum is the same to the last bit. */
static inline __attribute__((always_inline)) void
add_to_row(const PgmlGbmView *v, const PgmlShape *shape, const float *x, double *score, Meets meets)
{
	uint32_t outputs = v->header->n_outputs;
	uint32_t n = v->header->n_trees;
	const PgmlGbmNode16 *tree[ABREAST];
	const float *row[ABREAST];
	int32_t at[ABREAST];

	for (int w = 0; w < ABREAST; w++)
		row[w] = x;
	for (uint32_t t = 0; t < n; t += ABREAST)
	{
		uint32_t size = n - t < ABREAST ? n - t : ABREAST;
		const PgmlGbmNode16 *some = NULL; /* for walkers that have no tree */

		for (uint32_t w = 0; w < size; w++)
		{
			tree[w] = pgml_gbm_tree_nodes(v, t + w) == 0 ? NULL : v->node + v->first[t + w];
			some = tree[w] ? tree[w] : some;
		}
		for (uint32_t w = 0; w < ABREAST; w++)
			if (w >= size || !tree[w])
				tree[w] = some;
		if (some)
			find_leaves(v, tree, shape, row, meets, at);
		for (uint32_t w = 0; w < size; w++)
			score[(t + w) % outputs] +=
				pgml_gbm_leaf_values(v, t + w)[pgml_gbm_tree_nodes(v, t + w) == 0 ? 0 : ~at[w]];
	}
}

/* Add one tree to the scores of n rows, a multiple of ABREAST. */
static inline __attribute__((always_inline)) void
add_tree(const PgmlGbmView *v, uint32_t t, const PgmlShape *shape, const float *x, int64_t n,
		 double *score, Meets meets)
{
	uint32_t outputs = v->header->n_outputs;
	const double *value = pgml_gbm_leaf_values(v, t);
	const PgmlGbmNode16 *tree[ABREAST];
	const float *row[ABREAST];
	int32_t at[ABREAST];

	memset(at, -1, sizeof(at)); /* leaf 0 */
	for (int w = 0; w < ABREAST; w++)
		tree[w] = v->node + v->first[t];
	for (int64_t i = 0; i < n; i += ABREAST)
	{
		for (int w = 0; w < ABREAST; w++)
			row[w] = x + (i + w) * shape->nfeatures;
		if (pgml_gbm_tree_nodes(v, t) > 0)
			find_leaves(v, tree, shape, row, meets, at);
		for (int w = 0; w < ABREAST; w++)
			score[(i + w) * outputs] += value[~at[w]];
	}
}

/* Add all trees to the scores of n rows: tree by tree, so that each is fetched once, as far as rows fill the step. */
static inline __attribute__((always_inline)) void
add_trees(const PgmlGbmView *v, const PgmlShape *shape, const float *x, int64_t n, double *score,
		  Meets meets)
{
	uint32_t outputs = v->header->n_outputs;
	int64_t in_step = n - n % ABREAST;

	for (uint32_t t = 0; in_step > 0 && t < v->header->n_trees; t++)
		add_tree(v, t, shape, x, in_step, score + t % outputs, meets);
	for (int64_t i = in_step; i < n; i++)
		add_to_row(v, shape, x + i * shape->nfeatures, score + i * outputs, meets);
}

/* Turn the scores of one row into probabilities. */
static void
softmax(double *score, uint32_t k)
{
	double highest = score[0], sum = 0;

	for (uint32_t i = 1; i < k; i++)
		highest = score[i] > highest ? score[i] : highest;
	for (uint32_t i = 0; i < k; i++)
		sum += score[i] = pgml_gbm_exp(score[i] - highest);
	for (uint32_t i = 0; i < k; i++)
		score[i] /= sum;
}

void
pgml_gbm_link(PgmlTask task, int link, int n_outputs, const double *init, int64_t n, double *out)
{
	for (int64_t i = 0; i < n; i++)
	{
		if (link == PGML_GBM_LINK_LOG)
			out[i] = pgml_gbm_exp(out[i] + init[0]);
		else if (task == PGML_TASK_REGRESSION)
			out[i] += init[0];
		else if (task == PGML_TASK_BINARY)
			out[i] = pgml_gbm_sigmoid(out[i]);
		else
			softmax(out + i * n_outputs, (uint32_t) n_outputs);
	}
}

/* Is one of n numbers missing? */
static bool
any_missing(const float *x, int64_t n)
{
	int32_t missing = 0;

	for (int64_t i = 0; i < n; i++)
		missing |= x[i] != x[i];
	return missing != 0;
}

/* Predict a block of rows. */
static void
predict_block(const PgmlGbmView *v, const PgmlShape *shape, const float *x, int64_t n, double *out)
{
	uint32_t outputs = v->header->n_outputs;

	if (shape->task == PGML_TASK_REGRESSION)
		memset(out, 0, (size_t) n * sizeof(double));
	for (int64_t i = 0; shape->task != PGML_TASK_REGRESSION && i < n; i++)
		memcpy(out + i * outputs, v->init, outputs * sizeof(double));
	if (v->header->n_words > 0)
		add_trees(v, shape, x, n, out, MEETS_ALL);
	else if (any_missing(x, n * shape->nfeatures))
		add_trees(v, shape, x, n, out, MEETS_MISSING);
	else
		add_trees(v, shape, x, n, out, MEETS_NUMBERS);
	pgml_gbm_link(shape->task, v->header->link, (int) outputs, v->init, n, out);
}

void
pgml_gbm_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
				 double *out)
{
	PgmlGbmView v = pgml_gbm_view(payload);

	for (int64_t from = 0; from < n; from += PREDICT_ROWS)
		predict_block(&v, shape, x + from * shape->nfeatures,
					  n - from < PREDICT_ROWS ? n - from : PREDICT_ROWS,
					  out + from * v.header->n_outputs);
}
