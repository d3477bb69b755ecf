/*
 * gbm_block.c - score blocks of rows with a prepared boosted model; gbm_block.h says how.
 */
#include "learner/gbm_block.h"

/* Trees whose leaves are found before they are added to the scores, which saves reading the scores. */
#define TOGETHER 8

/* Blocks of fewer rows are scored row by row. */
#define FEW_ROWS 8

/* ---- many rows ------------------------------------------------------------------------------ */

/* Scratch memory of a block. */
typedef struct Scratch
{
	double score[PGML_BLOCK_ROWS];
	uint8_t leaf[TOGETHER][PGML_BLOCK_ROWS];
	int8_t lines[];
} Scratch;

/* Scratch memory of a row. */
typedef struct RowScratch
{
	uint8_t leaf[PGML_GBM_STEP_TREES];
	int8_t contained[(PGML_GBM_BLOCK_LEAVES - 1) * PGML_GBM_STEP_TREES];
	int8_t bytes[]; /* at least PGML_GBM_STEP_LINES */
} RowScratch;

size_t
pgml_gbm_scratch(const void *prepared)
{
	const PgmlGbmForm *form = prepared;
	size_t lines = form->n_numbers + 2 * (size_t) form->n_categories;
	size_t block = sizeof(Scratch) + (lines + form->most_sets) * PGML_BLOCK_ROWS;
	size_t row = sizeof(RowScratch) + PGML_GBM_STEP_LINES + lines;

	return block > row ? block : row;
}

/* Bins of a categorical feature, each as the byte and the bit of a set. */
static void
split_bins(const PgmlGbmPrepared *p, int32_t f, const float *x, int64_t n, int64_t rows,
		   uint8_t *byte, uint8_t *bit)
{
	for (int64_t i = 0; i < rows; i++)
	{
		uint32_t bin =
			i < n ? pgml_gbm_level_bin(x[i], p->shape->n_levels[f], p->view.header->max_bin) : 0;

		byte[i] = (uint8_t) (bin / 8);
		bit[i] = (uint8_t) (1u << bin % 8);
	}
}

/* The lines of all features that the model uses. */
static void
fill_lines(const PgmlGbmPrepared *p, const PgmlBlock *block, int64_t rows, int8_t *lines)
{
	for (uint32_t k = 0; k < p->n_numbers; k++, lines += PGML_BLOCK_ROWS)
	{
		const PgmlGbmNumberLine *number = &p->number[k];

		p->kernel->rank(&p->cuts[number->cuts], block->x + number->feature * block->stride,
						block->n, rows, number->missing, lines);
	}
	for (uint32_t k = 0; k < p->n_categories; k++, lines += 2 * PGML_BLOCK_ROWS)
		split_bins(p, p->category[k], block->x + p->category[k] * block->stride, block->n, rows,
				   (uint8_t *) lines, (uint8_t *) lines + PGML_BLOCK_ROWS);
}

/* Leaves of all rows in a tree. */
static void
find_leaves(const PgmlGbmPrepared *p, uint32_t t, int64_t rows, int8_t *lines, uint8_t *leaf)
{
	const PgmlGbmTreeStart *tree = &p->tree[t];
	int8_t *line = lines + (p->n_numbers + 2 * (size_t) p->n_categories) * PGML_BLOCK_ROWS;

	for (uint32_t s = tree[0].set; s < tree[1].set; s++, line += PGML_BLOCK_ROWS)
	{
		const uint8_t *byte = (uint8_t *) lines + (size_t) p->set[s].line * PGML_BLOCK_ROWS;

		p->kernel->contain(p->set[s].bits, byte, byte + PGML_BLOCK_ROWS, rows, line);
	}
	p->kernel->find(p->test + tree->test, (int32_t) (tree[1].test - tree->test), lines, rows, leaf);
}

/* Add leaf values of some trees, tree after tree, to the scores. */
static void
add_values(const double *const *value, uint8_t (*leaf)[PGML_BLOCK_ROWS], uint32_t n_trees,
		   int64_t n, double *score)
{
	for (int64_t i = 0; n_trees == TOGETHER && i < n; i++)
	{
		double sum = score[i];

		for (int t = 0; t < TOGETHER; t++)
			sum += value[t][leaf[t][i]];
		score[i] = sum;
	}
	for (uint32_t t = 0; n_trees < TOGETHER && t < n_trees; t++)
		for (int64_t i = 0; i < n; i++)
			score[i] += value[t][leaf[t][i]];
}

/* Add the trees from `from` to before `to` to the scores. */
static void
add_trees(const PgmlGbmPrepared *p, uint32_t from, uint32_t to, int64_t n, int64_t rows, Scratch *s)
{
	const double *value[TOGETHER];

	for (; from < to; from += TOGETHER)
	{
		uint32_t size = to - from < TOGETHER ? to - from : TOGETHER;

		for (uint32_t t = 0; t < size; t++)
		{
			find_leaves(p, from + t, rows, s->lines, s->leaf[t]);
			value[t] = p->value + p->tree[from + t].test + from + t;
		}
		add_values(value, s->leaf, size, n, s->score);
	}
}

/* ---- one row -------------------------------------------------------------------------------- */

/* The bytes of a row's lines. */
static void
fill_bytes(const PgmlGbmPrepared *p, const float *x, int64_t stride, int8_t *bytes)
{
	p->kernel->rank_row(p->cuts, p->number, p->n_numbers, x, stride, bytes);
	bytes += p->n_numbers;
	for (uint32_t k = 0; k < p->n_categories; k++, bytes += 2)
		split_bins(p, p->category[k], x + p->category[k] * stride, 1, 1, (uint8_t *) bytes,
				   (uint8_t *) bytes + 1);
}

/* Leaves of a row in the trees from t on that are passed through together. */
static const PgmlGbmStep *
find_row_leaves(const PgmlGbmPrepared *p, uint32_t t, const PgmlGbmStep *step, RowScratch *s)
{
	uint32_t n_trees = p->view.header->n_trees;
	uint32_t end = n_trees - t < PGML_GBM_STEP_TREES ? n_trees : t + PGML_GBM_STEP_TREES;
	uint32_t n = p->n_steps[t / PGML_GBM_STEP_TREES];

	for (uint32_t i = p->tree[t].set; i < p->tree[end].set; i++)
	{
		const PgmlGbmSet *set = &p->set[i];
		const uint8_t *byte = (const uint8_t *) s->bytes + set->line;

		s->contained[set->place] = (set->bits[byte[0]] & byte[1]) != 0 ? 0 : -1;
	}
	p->kernel->find_row(step, (int32_t) n, s->bytes, (int32_t) p->n_numbers, s->contained, s->leaf);
	return step + n;
}

/*
 * Add the values of a row's leaves in the trees from t to before `end`, of those passed through together.  A loop of few
 * instructions, so that the processor waits for the values of many trees at a time.
 */
static double
add_leaves(const PgmlGbmPrepared *p, uint32_t t, uint32_t end, const uint8_t *leaf, double sum)
{
	const PgmlGbmTreeStart *tree = p->tree;
	const double *value = p->value;

	leaf += t % PGML_GBM_STEP_TREES;
	for (; t < end; t++)
		sum += value[tree[t].test + t + *leaf++];
	return sum;
}

/* Scores of one row; x[f * stride]. */
static void
score_row(const PgmlGbmPrepared *p, const float *x, int64_t stride, RowScratch *s, double *out)
{
	uint32_t outputs = p->view.header->n_outputs;
	uint32_t n_trees = p->view.header->n_trees;
	uint32_t rounds = n_trees / outputs;
	const PgmlGbmStep *step = p->step;
	uint32_t t = 0;

	fill_bytes(p, x, stride, s->bytes);
	for (uint32_t o = 0; o < outputs; o++)
	{
		double sum = p->shape->task == PGML_TASK_REGRESSION ? 0 : p->view.init[o];

		for (uint32_t end = t + rounds; t < end;)
		{
			uint32_t next = (t / PGML_GBM_STEP_TREES + 1) * PGML_GBM_STEP_TREES;

			if (next > end)
				next = end;
			if (t % PGML_GBM_STEP_TREES == 0)
				step = find_row_leaves(p, t, step, s);
			sum = add_leaves(p, t, next, s->leaf, sum);
			t = next;
		}
		out[o] = sum;
	}
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Pointers into a prepared model. */
static PgmlGbmPrepared
open_form(const void *prepared, const uint8_t *payload, const PgmlShape *shape)
{
	const PgmlGbmForm *form = prepared;
	const char *base = prepared;
	int n_kernels;

	return (PgmlGbmPrepared){
		.kernel = pgml_gbm_kernels(&n_kernels)[form->kernel],
		.shape = shape,
		.view = pgml_gbm_view(payload),
		.n_numbers = form->n_numbers,
		.n_categories = form->n_categories,
		.most_sets = form->most_sets,
		.cuts = (const PgmlGbmCuts *) (base + form->cuts),
		.number = (const PgmlGbmNumberLine *) (base + form->number),
		.category = (const int32_t *) (base + form->category),
		.tree = (const PgmlGbmTreeStart *) (base + form->tree),
		.test = (const PgmlGbmTest *) (base + form->test),
		.set = (const PgmlGbmSet *) (base + form->set),
		.value = (const double *) (base + form->value),
		.step = form->step == 0 ? NULL : (const PgmlGbmStep *) (base + form->step),
		.n_steps = (const uint32_t *) (base + form->n_steps),
	};
}

void
pgml_gbm_predict_block(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
					   const PgmlBlock *block, double *out, void *scratch)
{
	PgmlGbmPrepared p = open_form(prepared, payload, shape);
	Scratch *s = scratch;
	uint32_t outputs = p.view.header->n_outputs;
	uint32_t rounds = p.view.header->n_trees / outputs;
	int64_t rows = (block->n + PGML_GBM_LANES - 1) / PGML_GBM_LANES * PGML_GBM_LANES;

	if (p.step != NULL && block->n < FEW_ROWS)
	{
		for (int64_t i = 0; i < block->n; i++)
			score_row(&p, block->x + i, block->stride, scratch, out + i * outputs);
		pgml_gbm_link(p.shape->task, p.view.header->link, (int) outputs, p.view.init, block->n,
					  out);
		return;
	}
	fill_lines(&p, block, rows, s->lines);
	for (uint32_t o = 0; o < outputs; o++)
	{
		double start = p.shape->task == PGML_TASK_REGRESSION ? 0 : p.view.init[o];

		for (int64_t i = 0; i < block->n; i++)
			s->score[i] = start;
		add_trees(&p, o * rounds, (o + 1) * rounds, block->n, rows, s);
		for (int64_t i = 0; i < block->n; i++)
			out[i * outputs + o] = s->score[i];
	}
	pgml_gbm_link(p.shape->task, p.view.header->link, (int) outputs, p.view.init, block->n, out);
}
