/*
 * forest_block.h - score blocks of rows with a forest: the prepared form, and how it is followed.
 *
 * Deep trees do not fit into the caches, and each row goes another way.  So the rows of a block are sorted first, tree by tree: the
 * upper tests of the tree, of which the larger subtrees hang, are put to 64 rows at a time as in gbm_block.h.  Then the rows
 * are in the order of the subtrees that they fall into, which are small, lie one behind the other and are fetched ahead of their turn.
 *
 * Below the upper tests a node is four bytes: line, cut, and how far its first child is; the children lie side by side, the one for
 * bytes less than the cut first.  The cut of a leaf is 0, and the other three bytes number its value.
 */
#ifndef PGML_LEARNER_FOREST_BLOCK_H
#define PGML_LEARNER_FOREST_BLOCK_H

#include <string.h>

#include "learner/forest_payload.h"
#include "learner/gbm_block.h"

/* Lines that a node can name here; payloads with more have no prepared form. */
#define PGML_FOREST_BLOCK_LINES 256

/* Upper tests of a tree, at most. */
#define PGML_FOREST_TESTS (PGML_GBM_BLOCK_LEAVES - 1)

/* Rows of a block, at most: while a tree is in the cache all of them pass. */
#define PGML_FOREST_BLOCK_ROWS 4096

#define PGML_FOREST_MAX_AWAY   0xffff   /* from a node to its children */
#define PGML_FOREST_MAX_LEAVES 0xffffff /* values of a tree */

/* Of a leaf with a class, where there are several: the rest of the value is the class, else a place among the tree's words. */
#define PGML_FOREST_VALUE_PURE 0x80000000u

/*
 * A tree of the form: its words are the nodes, subtree after subtree, and from `value` on the values of its leaves.  Tests and exits: up to
 * where those of the next tree begin; there is one exit more than there are tests.
 */
typedef struct PgmlForestFormTree
{
	uint64_t word;
	uint32_t value; /* first value, from the tree's first word */
	uint32_t test;
} PgmlForestFormTree;

/*
 * The head of a prepared form, which is bytes without pointers.  The arrays follow, at these distances from the head, all multiples
 * of 64.  Exits of tree t begin at test + t: where each subtree begins among the tree's words.
 */
typedef struct PgmlForestForm
{
	uint64_t size;
	uint64_t tree; /* n_trees + 1 */
	uint64_t test;
	uint64_t exit;
	uint64_t word;
	int32_t block_rows; /* that predict_block() takes */
	uint32_t stride;    /* bytes of a row */
	uint64_t reserved[2];
} PgmlForestForm;

/* Bytes from row to row; at least 1. */
static inline size_t
pgml_forest_row_bytes(const PgmlForestView *v)
{
	return v->header->n_lines > 0 ? v->header->n_lines : 1;
}

/* Bytes of n rows, row after row; x[feature * feature_step + row * row_step] are their features. */
extern void pgml_forest_make_bytes(const PgmlForestView *v, const PgmlShape *shape, const float *x,
								   size_t feature_step, size_t row_step, int64_t n, uint8_t *bytes);

/* Predict n <= PGML_BLOCK_ROWS rows from their bytes, by the payload. */
extern void pgml_forest_predict_bytes(const PgmlForestView *v, const PgmlShape *shape,
									  const uint8_t *bytes, int64_t n, double *out);

/* Turn the sums of n rows over the trees into predictions; base: shares of the prior in them. */
extern void pgml_forest_finish(const PgmlForestView *v, PgmlTask task, int64_t n,
							   const double *base, double *out);

/* Add a distribution in a leaf of tree t to the sums of a row and to its share of the prior. */
static inline void
pgml_forest_add_distribution(const PgmlForestView *v, uint32_t t, uint32_t link, double *out,
							 double *base)
{
	const uint32_t *word = v->word + v->start[2 * (uint64_t) t + 1] + link;
	float value;

	memcpy(&value, &word[1], sizeof(value));
	*base += value;
	for (const uint32_t *pair = word + 2; pair < word + 2 + 2 * (size_t) word[0]; pair += 2)
	{
		memcpy(&value, &pair[1], sizeof(value));
		out[pair[0]] += value;
	}
}

#endif
