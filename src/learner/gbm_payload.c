/*
 * gbm_payload.c - the stored form of a boosted model: encode, verify.
 */
#include "learner/gbm_payload.h"

#include <math.h>
#include <string.h>

void
pgml_gbm_forest_init(PgmlGbmForest *forest, PgmlBudget *budget)
{
	forest->link = PGML_GBM_LINK_TASK;
	pgml_buf_init(&forest->init, budget);
	pgml_buf_init(&forest->node, budget);
	pgml_buf_init(&forest->value, budget);
	pgml_buf_init(&forest->word, budget);
	pgml_buf_init(&forest->cover, budget);
	pgml_buf_init(&forest->end, budget);
}

void
pgml_gbm_forest_free(PgmlGbmForest *forest)
{
	pgml_buf_free(&forest->init);
	pgml_buf_free(&forest->node);
	pgml_buf_free(&forest->value);
	pgml_buf_free(&forest->word);
	pgml_buf_free(&forest->cover);
	pgml_buf_free(&forest->end);
}

int64_t
pgml_gbm_forest_size(const PgmlGbmForest *forest)
{
	return (int64_t) (forest->end.len / (2 * sizeof(uint32_t)));
}

PgmlStatus
pgml_gbm_forest_add(const PgmlEnv *env, PgmlGbmForest *forest, const PgmlGbmTree *tree,
					const PgmlBins *bins)
{
	for (int32_t i = 0; i + 1 < tree->n_leaves; i++)
	{
		const PgmlGbmTreeNode *from = &tree->node[i];
		PgmlGbmNode16 node = { .feature = (uint32_t) from->feature,
							   .left = from->left,
							   .right = from->right };

		if (from->categorical)
		{
			uint32_t words =
				pgml_gbm_set_words(bins->n_bins[from->feature] - 1, (uint32_t) bins->max_bin);

			node.feature |= PGML_GBM_CATEGORICAL;
			node.u.word = (uint32_t) (forest->word.len / sizeof(uint32_t));
			pgml_buf_put(&forest->word, from->set, words * sizeof(uint32_t));
		}
		else
		{
			node.feature |= from->missing_left ? PGML_GBM_MISSING_LEFT : 0;
			node.u.threshold = from->threshold;
		}
		pgml_buf_put(&forest->node, &node, sizeof(node));
	}
	pgml_buf_put(&forest->value, tree->value, (size_t) tree->n_leaves * sizeof(double));
	pgml_buf_put(&forest->cover, tree->cover, (size_t) tree->n_leaves * sizeof(float));
	if (forest->value.len / sizeof(double) > INT32_MAX ||
		forest->word.len / sizeof(uint32_t) > INT32_MAX)
		return pgml_fail(env->error, PGML_ERR_LIMIT, "the trees have too many nodes");
	pgml_buf_put_u32(&forest->end, (uint32_t) (forest->node.len / sizeof(PgmlGbmNode16)));
	pgml_buf_put_u32(&forest->end, (uint32_t) (forest->word.len / sizeof(uint32_t)));
	if (forest->node.failed || forest->value.failed || forest->word.failed ||
		forest->cover.failed || forest->end.failed)
		return pgml_fail_nomem(env, "trees");
	return PGML_OK;
}

/* Bytes in front of the nodes. */
static size_t
front_size(int n_outputs, int64_t n_trees)
{
	size_t size = sizeof(PgmlGbmHeader) + (size_t) n_outputs * sizeof(double) +
				  ((size_t) n_trees + 1) * sizeof(uint32_t);

	return (size + 7) / 8 * 8;
}

int64_t
pgml_gbm_forest_bytes(const PgmlGbmForest *forest)
{
	return (int64_t) (front_size((int) (forest->init.len / sizeof(double)),
								 pgml_gbm_forest_size(forest)) +
					  forest->node.len + forest->value.len + forest->word.len + forest->cover.len);
}

/* Bytes of n numbers of 32 bits with what pads them. */
static uint64_t
padded(uint64_t n)
{
	return (n * sizeof(uint32_t) + 7) / 8 * 8;
}

/* Header, initial scores and directory of trees. */
static void
write_front(const PgmlGbmForest *forest, const PgmlGbmHeader *header, uint8_t *to)
{
	const uint32_t *end = (const uint32_t *) forest->end.data;
	uint32_t *first;

	memcpy(to, header, sizeof(*header));
	memcpy(to + sizeof(*header), forest->init.data, forest->init.len);
	first = (uint32_t *) (to + sizeof(*header) + forest->init.len);
	memset(first, 0,
		   front_size((int) header->n_outputs, header->n_trees) - sizeof(*header) -
			   forest->init.len);
	for (uint32_t t = 0; t < header->n_trees; t++)
		first[t + 1] = end[2 * t];
}

PgmlStatus
pgml_gbm_encode(const PgmlEnv *env, PgmlGbmForest *forest, int64_t n_trees, int max_bin,
				PgmlBuf *out)
{
	const uint32_t *end = (const uint32_t *) forest->end.data;
	int n_outputs = (int) (forest->init.len / sizeof(double));
	PgmlGbmHeader header = { .format = PGML_GBM_FORMAT,
							 .n_outputs = (uint32_t) n_outputs,
							 .n_trees = (uint32_t) n_trees,
							 .n_nodes = n_trees > 0 ? end[2 * n_trees - 2] : 0,
							 .n_words = n_trees > 0 ? end[2 * n_trees - 1] : 0,
							 .max_bin = (uint16_t) max_bin,
							 .link = forest->link };
	size_t front = front_size(n_outputs, n_trees);
	size_t nodes = header.n_nodes * sizeof(PgmlGbmNode16);
	size_t leaves = (size_t) header.n_nodes + (size_t) n_trees;
	size_t values = leaves * sizeof(double);
	size_t words = padded(header.n_words);
	PgmlBuf *buf = &forest->node;

	/* The nodes are by far the most: they stay where they are, and the rest is put around them. */
	buf->len = nodes;
	pgml_buf_trim(buf);
	pgml_buf_put(buf, NULL, front + values + words + padded(leaves));
	if (buf->failed)
		return pgml_fail_nomem(env, "the model");
	memmove(buf->data + front, buf->data, nodes);
	write_front(forest, &header, buf->data);
	if (values > 0)
		memcpy(buf->data + front + nodes, forest->value.data, values);
	memset(buf->data + front + nodes + values, 0, words + padded(leaves));
	if (header.n_words > 0)
		memcpy(buf->data + front + nodes + values, forest->word.data,
			   header.n_words * sizeof(uint32_t));
	if (leaves > 0)
		memcpy(buf->data + front + nodes + values + words, forest->cover.data,
			   leaves * sizeof(float));
	pgml_buf_trim(buf);
	*out = *buf;
	pgml_buf_init(buf, out->budget);
	return PGML_OK;
}

/* Follow the header's counts; with 32-bit counts no sum overflows 64 bits. */
PgmlGbmView
pgml_gbm_view(const uint8_t *payload)
{
	PgmlGbmView v = { .header = (const PgmlGbmHeader *) payload };
	uint64_t at = sizeof(PgmlGbmHeader);

	v.init = (const double *) (payload + at);
	at += v.header->n_outputs * sizeof(double);
	v.first = (const uint32_t *) (payload + at);
	at += ((uint64_t) v.header->n_trees + 1) * sizeof(uint32_t);
	at = (at + 7) / 8 * 8;
	v.node = (const PgmlGbmNode16 *) (payload + at);
	at += v.header->n_nodes * sizeof(PgmlGbmNode16);
	v.value = (const double *) (payload + at);
	at += ((uint64_t) v.header->n_nodes + v.header->n_trees) * sizeof(double);
	v.word = (const uint32_t *) (payload + at);
	at += padded(v.header->n_words);
	if (v.header->format != PGML_GBM_FORMAT_NO_COVERS)
	{
		v.cover = (const float *) (payload + at);
		at += padded((uint64_t) v.header->n_nodes + v.header->n_trees);
	}
	v.len = at;
	return v;
}

/* ---- verify ---- */

/* Refuse a payload, saying why. */
static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	return pgml_fail(err, PGML_ERR_CORRUPT, "gradient_boosting: %s", what);
}

/* A child is a later node of the tree's m nodes, or one of its m + 1 leaves. */
static bool
child_is_bounded(int32_t child, int64_t node, int64_t m)
{
	return child >= 0 ? child > node && child < m : ~child <= m;
}

/* Bound one node of a tree of m nodes. */
static PgmlStatus
verify_node(const PgmlGbmView *v, const PgmlGbmNode16 *node, int64_t number, int64_t m,
			const PgmlShape *shape, PgmlError *err)
{
	uint32_t f = node->feature & PGML_GBM_FEATURE;
	bool categorical = (node->feature & PGML_GBM_CATEGORICAL) != 0;

	if (f >= (uint32_t) shape->nfeatures)
		return corrupt(err, "a node uses a feature that does not exist");
	if (categorical != shape->categorical[f])
		return corrupt(err, "a node treats a feature as of another kind");
	if (!child_is_bounded(node->left, number, m) || !child_is_bounded(node->right, number, m))
		return corrupt(err, "a node has a child out of bounds");
	if (!categorical && isnan(node->u.threshold))
		return corrupt(err, "a threshold is not a number");
	if (categorical &&
		(uint64_t) node->u.word + pgml_gbm_set_words(shape->n_levels[f], v->header->max_bin) >
			v->header->n_words)
		return corrupt(err, "a set of levels lies out of bounds");
	return PGML_OK;
}

/* Bound the header, the directory of trees and all numbers. */
static PgmlStatus
verify_frame(const PgmlGbmView *v, size_t len, const PgmlShape *shape, PgmlError *err)
{
	const PgmlGbmHeader *h = v->header;

	if (h->format != PGML_GBM_FORMAT && h->format != PGML_GBM_FORMAT_NO_COVERS)
		return corrupt(err, "the format is of another version");
	if (h->n_outputs != (uint32_t) pgml_task_outputs(shape->task, shape->n_classes) ||
		h->n_trees % h->n_outputs != 0 || h->max_bin < 2 || h->max_bin > 255 ||
		h->link > (shape->task == PGML_TASK_REGRESSION ? PGML_GBM_LINK_LOG : PGML_GBM_LINK_TASK))
		return corrupt(err, "the header is damaged");
	if (v->len != len)
		return corrupt(err, "the length is wrong");
	for (uint32_t k = 0; k < h->n_outputs; k++)
		if (!isfinite(v->init[k]))
			return corrupt(err, "an initial score is not finite");
	if (v->first[0] != 0 || v->first[h->n_trees] != h->n_nodes)
		return corrupt(err, "the directory of trees is damaged");
	for (uint32_t t = 0; t < h->n_trees; t++)
		if (v->first[t] > v->first[t + 1])
			return corrupt(err, "the directory of trees is damaged");
	for (uint64_t i = 0; i < (uint64_t) h->n_nodes + h->n_trees; i++)
		if (!isfinite(v->value[i]))
			return corrupt(err, "a leaf value is not finite");
	for (uint64_t i = 0; v->cover && i < (uint64_t) h->n_nodes + h->n_trees; i++)
		if (!(v->cover[i] > 0) || !isfinite(v->cover[i]))
			return corrupt(err, "the cover of a leaf is no positive number");
	return PGML_OK;
}

PgmlStatus
pgml_gbm_verify(const uint8_t *payload, size_t len, const PgmlShape *shape, PgmlError *err)
{
	PgmlGbmView v;

	if (len < sizeof(PgmlGbmHeader) || (uintptr_t) payload % 8 != 0)
		return corrupt(err, "the payload is too short or not aligned");
	v = pgml_gbm_view(payload);
	PGML_TRY(verify_frame(&v, len, shape, err));
	for (uint32_t t = 0; t < v.header->n_trees; t++)
	{
		const PgmlGbmNode16 *node = v.node + v.first[t];
		int64_t m = (int64_t) v.first[t + 1] - v.first[t];

		for (int64_t i = 0; i < m; i++)
			PGML_TRY(verify_node(&v, &node[i], i, m, shape, err));
	}
	return PGML_OK;
}
