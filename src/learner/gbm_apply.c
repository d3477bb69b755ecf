/*
 * gbm_apply.c - add a tree that was just grown to the scores of binned rows.
 *
 * Rows are passed through the tree 64 or 256 at a time by the kernels of gbm_block.h, which want a byte for each row
 * that grows along the feature.  Bins are such bytes already, less 128; where missing values (bin 0) go right,
 * counting from bin 1 puts them above all others.  Trees with more leaves than a byte tells apart are walked down.
 */
#include "learner/gbm_apply.h"

#include <string.h>

#include "core/par.h"

#define APPLY_ROWS 4096
#define NO_LINE    UINT32_MAX

/* A line of the rows: bytes of a numeric feature, or byte and bit of a categorical one's bins in a set. */
typedef struct Source
{
	int32_t feature;
	uint8_t first; /* bin that counts as 0 */
	bool categorical;
} Source;

/* A categorical node: its line of bytes, which the line of bits follows, and its test. */
typedef struct Set
{
	uint32_t line;
	int32_t node;
	int32_t test;
} Set;

struct PgmlGbmApplier
{
	const PgmlEnv *env;
	int32_t max_leaves; /* that kernels can take */
	const PgmlGbmKernel *kernel;
	/* Of the tree at hand. */
	const PgmlGbmTree *tree;
	int32_t n_sources;
	int32_t n_lines; /* those of sources; sets follow */
	int32_t n_sets;
	Source *source;
	uint32_t (*line)[2]; /* of each feature: bins from 0, from 1; categorical: [0] */
	PgmlGbmTest *test;
	Set *set;
	double *value; /* leaf values from left to right */
	int32_t *pending;
	int32_t *pending_test;
	/* The rows at hand. */
	const PgmlGbmRows *rows;
	double *score;
};

/* Lines of a block: a tree may need one for each node, and two more for each categorical one.  They lie on the stack. */
#define LINES_BYTES ((size_t) 3 * PGML_GBM_BLOCK_LEAVES * PGML_BLOCK_ROWS)

/* Leaves of trees that kernels take. */
static int32_t
kernel_leaves(int32_t max_leaves)
{
	return max_leaves < PGML_GBM_BLOCK_LEAVES ? max_leaves : PGML_GBM_BLOCK_LEAVES;
}

int64_t
pgml_gbm_applier_size(int32_t max_leaves, int32_t nfeatures)
{
	int64_t leaves = kernel_leaves(max_leaves);

	return (int64_t) sizeof(PgmlGbmApplier) +
		   leaves * (int64_t) (3 * sizeof(Source) + sizeof(PgmlGbmTest) + 32) + nfeatures * 8;
}

PgmlStatus
pgml_gbm_applier_create_for(const PgmlEnv *env, PgmlArena *arena, const PgmlGbmKernel *kernel,
							int32_t max_leaves, int32_t nfeatures, PgmlGbmApplier **out)
{
	PgmlGbmApplier *a = pgml_zalloc(arena, 1, sizeof(*a));
	size_t leaves = (size_t) kernel_leaves(max_leaves);

	if (a == NULL)
		return pgml_fail_nomem(env, "trees");
	a->env = env;
	a->kernel = kernel;
	a->max_leaves = (int32_t) leaves;
	a->source = pgml_array(arena, leaves, sizeof(Source));
	a->line = pgml_array(arena, (size_t) nfeatures, sizeof(*a->line));
	a->test = pgml_array(arena, leaves, sizeof(PgmlGbmTest));
	a->set = pgml_array(arena, leaves, sizeof(Set));
	a->value = pgml_array(arena, leaves, sizeof(double));
	a->pending = pgml_array(arena, leaves + 1, sizeof(int32_t));
	a->pending_test = pgml_array(arena, leaves + 1, sizeof(int32_t));
	if (!a->source || !a->line || !a->test || !a->set || !a->value || !a->pending ||
		!a->pending_test)
		return pgml_fail_nomem(env, "trees");
	memset(a->line, 0xff, (size_t) nfeatures * sizeof(*a->line));
	*out = a;
	return PGML_OK;
}

PgmlStatus
pgml_gbm_applier_create(const PgmlEnv *env, PgmlArena *arena, int32_t max_leaves, int32_t nfeatures,
						PgmlGbmApplier **out)
{
	return pgml_gbm_applier_create_for(env, arena, pgml_gbm_best_kernel(), max_leaves, nfeatures,
									   out);
}

/* ---- from a tree to tests ---- */

/* The line of a feature; it is added when it is new. */
static uint32_t
line_of(PgmlGbmApplier *a, int32_t feature, uint8_t first, bool categorical)
{
	uint32_t *line = &a->line[feature][first];

	if (*line == NO_LINE)
	{
		a->source[a->n_sources++] = (Source){ feature, first, categorical };
		*line = (uint32_t) a->n_lines;
		a->n_lines += categorical ? 2 : 1;
	}
	return *line;
}

/* Bins in a set. */
static int32_t
count_bins(const uint32_t *set)
{
	int32_t n = 0;

	for (int i = 0; i < PGML_GBM_SET_WORDS; i++)
		n += __builtin_popcount(set[i]);
	return n;
}

/* Make test number t from a node; where rows go that fail it and that pass it. */
static void
make_test(PgmlGbmApplier *a, int32_t t, int32_t number, int32_t *fail, int32_t *pass)
{
	const PgmlGbmTreeNode *node = &a->tree->node[number];
	PgmlGbmTest *test = &a->test[t];

	*fail = node->left;
	*pass = node->right;
	if (node->categorical)
	{
		/* 0, which stands for "in the set", is greater than -1. */
		*fail = node->right;
		*pass = node->left;
		test->rank = -1;
		a->set[a->n_sets++] = (Set){ line_of(a, node->feature, 0, true), number, t };
		return;
	}
	/* Bins 0 or 1 to the last one that goes left. */
	test->line = line_of(a, node->feature, node->missing_left ? 0 : 1, false);
	test->rank = (int8_t) (count_bins(node->set) - 1 - PGML_GBM_RANK_BIAS);
}

/* Number the leaves from left to right and list the tests in the order of their first leaf. */
static void
make_tests(PgmlGbmApplier *a, const PgmlGbmTree *tree)
{
	int32_t n_pending = 1, n_tests = 0, n_leaves = 0;

	for (int32_t i = 0; i < a->n_sources; i++)
		memset(a->line[a->source[i].feature], 0xff, sizeof(*a->line));
	a->tree = tree;
	a->n_sources = a->n_lines = a->n_sets = 0;
	a->pending[0] = tree->n_leaves > 1 ? 0 : ~0;
	a->pending_test[0] = -1;
	while (n_pending > 0)
	{
		int32_t child = a->pending[--n_pending];
		int32_t from = a->pending_test[n_pending];

		if (from >= 0)
			a->test[from].to = (uint8_t) n_leaves;
		if (child < 0)
		{
			a->value[n_leaves++] = tree->value[~child];
			continue;
		}
		make_test(a, n_tests, child, &a->pending[n_pending + 1], &a->pending[n_pending]);
		a->test[n_tests].from = (uint8_t) n_leaves;
		a->pending_test[n_pending++] = n_tests++;
		a->pending_test[n_pending++] = -1;
	}
	/* Only now is it known where the lines of sets begin. */
	for (int32_t i = 0; i < a->n_sets; i++)
		a->test[a->set[i].test].line = (uint32_t) (a->n_lines + i);
}

/* ---- rows ---- */

/*
 * Bytes of n rows of a numeric feature, counted from bin `first`, less the bias; those up to `rows` are of no row, but defined.
 */
PGML_CLONES static void
copy_bins(const uint8_t *bin, int64_t n, int64_t rows, uint8_t first, int8_t *line)
{
	uint8_t less = (uint8_t) (first + PGML_GBM_RANK_BIAS);

	memset(line + n, 0, (size_t) (rows - n));
	for (int64_t i = 0; i < n; i++)
		line[i] = (int8_t) (uint8_t) (bin[i] - less);
}

/* Bins of n rows as the byte and the bit of a set, where kernels also look up those up to `rows`. */
PGML_CLONES static void
split_bins(const uint8_t *bin, int64_t n, int64_t rows, uint8_t *byte, uint8_t *bit)
{
	memset(byte + n, 0, (size_t) (rows - n));
	memset(bit + n, 0, (size_t) (rows - n));
	for (int64_t i = 0; i < n; i++)
	{
		byte[i] = bin[i] / 8;
		bit[i] = (uint8_t) (1u << bin[i] % 8);
	}
}

/* Pass n rows from row `from` through the tree. */
static void
apply_tests(const PgmlGbmApplier *a, int64_t from, int64_t n, int8_t *lines)
{
	int64_t rows = (n + PGML_GBM_LANES - 1) / PGML_GBM_LANES * PGML_GBM_LANES;
	_Alignas(64) uint8_t leaf[PGML_BLOCK_ROWS];
	int8_t *line = lines;

	for (int32_t i = 0; i < a->n_sources; i++)
	{
		const Source *s = &a->source[i];
		const uint8_t *bin = a->rows->column[s->feature] + from;

		if (s->categorical)
			split_bins(bin, n, rows, (uint8_t *) line, (uint8_t *) line + PGML_BLOCK_ROWS);
		else
			copy_bins(bin, n, rows, s->first, line);
		line += (s->categorical ? 2 : 1) * PGML_BLOCK_ROWS;
	}
	for (int32_t i = 0; i < a->n_sets; i++, line += PGML_BLOCK_ROWS)
	{
		const uint8_t *byte = (uint8_t *) lines + (size_t) a->set[i].line * PGML_BLOCK_ROWS;

		a->kernel->contain((const uint8_t *) a->tree->node[a->set[i].node].set, byte,
						   byte + PGML_BLOCK_ROWS, rows, line);
	}
	a->kernel->find(a->test, a->tree->n_leaves - 1, lines, rows, leaf);
	for (int64_t i = 0; i < n; i++)
		a->score[from + i] += a->value[leaf[i]];
}

/* Walk rows down the tree. */
static void
walk(const PgmlGbmApplier *a, int64_t from, int64_t upto)
{
	for (int64_t i = from; i < upto; i++)
	{
		int32_t at = 0;

		while (at >= 0)
		{
			const PgmlGbmTreeNode *node = &a->tree->node[at];

			at = pgml_gbm_in_set(node->set, a->rows->column[node->feature][i]) ? node->left :
																				 node->right;
		}
		a->score[i] += a->tree->value[~at];
	}
}

/* One block of rows. */
static PgmlStatus
apply_block(void *arg, int64_t block, int thread)
{
	const PgmlGbmApplier *a = arg;
	int64_t from = block * APPLY_ROWS;
	int64_t upto = from + APPLY_ROWS < a->rows->n ? from + APPLY_ROWS : a->rows->n;
	_Alignas(64) int8_t lines[LINES_BYTES];

	(void) thread;
	if (a->tree->n_leaves > a->max_leaves)
	{
		walk(a, from, upto);
		return PGML_OK;
	}
	for (; from < upto; from += PGML_BLOCK_ROWS)
		apply_tests(a, from, upto - from < PGML_BLOCK_ROWS ? upto - from : PGML_BLOCK_ROWS, lines);
	return PGML_OK;
}

PgmlStatus
pgml_gbm_add_tree(PgmlGbmApplier *applier, const PgmlGbmTree *tree, const PgmlGbmRows *rows,
				  double *score)
{
	applier->tree = tree;
	applier->rows = rows;
	applier->score = score;
	if (tree->n_leaves < 2)
		return PGML_OK; /* it changes nothing */
	if (tree->n_leaves <= applier->max_leaves)
		make_tests(applier, tree);
	return pgml_par_for(applier->env, (rows->n + APPLY_ROWS - 1) / APPLY_ROWS, apply_block,
						applier);
}
