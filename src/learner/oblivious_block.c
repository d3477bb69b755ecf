/*
 * oblivious_block.c - score blocks of rows with a prepared model; oblivious_block.h says how.
 */
#include "learner/oblivious_prepared.h"

#include <string.h>

/* Trees whose leaves are found before they are added to the scores, which saves reading the scores. */
#define TOGETHER 8

/* Blocks of fewer rows are scored row by row. */
#define FEW_ROWS 8

/* Scratch memory of a block; of a row only the lines, a byte each. */
typedef struct Scratch
{
	double score[PGML_BLOCK_ROWS];
	uint8_t leaf[TOGETHER][PGML_BLOCK_ROWS];
	uint8_t high[TOGETHER][PGML_BLOCK_ROWS]; /* bits of leaves from the ninth on */
	uint8_t lines_of_row[PGML_OBL_MAX_LINES];
	int8_t lines[];
} Scratch;

size_t
pgml_obl_scratch(const void *prepared)
{
	const PgmlOblForm *form = prepared;
	size_t lines = (size_t) form->n_numbers + form->n_levels + form->n_statistics;

	/* One line more, which tests that nothing satisfies look at. */
	return sizeof(Scratch) + (lines + 1) * PGML_BLOCK_ROWS;
}

/* 0 for rows of the level, else -1. */
static void
fill_level(const PgmlOblPrepared *p, const PgmlOblLevelLine *level, const float *x, int64_t n,
		   int8_t *line)
{
	for (int64_t i = 0; i < n; i++)
		line[i] = pgml_gbm_level_bin(x[i], p->shape->n_levels[level->feature],
									 p->view.header->max_bin) == level->bin ?
					  0 :
					  -1;
}

/* The lines of a block: line k of row i is at lines[k * step + i]. */
static void
fill_lines(const PgmlOblPrepared *p, const PgmlBlock *block, int64_t rows, int64_t step, Scratch *s)
{
	int8_t *line = s->lines;

	for (uint32_t k = 0; k < p->n_numbers; k++, line += step)
	{
		const PgmlGbmCuts *cuts = &p->cuts[k];
		const float *x = block->x + p->number[k] * block->stride;

		if (rows > 1)
			p->kernel->gbm->rank(cuts, x, block->n, rows, -PGML_GBM_RANK_BIAS, line);
		else
			*line = (int8_t) ((*x == *x ? pgml_gbm_rank(cuts, *x) : 0) - PGML_GBM_RANK_BIAS);
	}
	for (uint32_t k = 0; k < p->n_levels; k++, line += step)
		fill_level(p, &p->level[k], block->x + p->level[k].feature * block->stride, block->n, line);
	for (int64_t i = 0; p->n_statistics > 0 && i < block->n; i++)
	{
		pgml_obl_look_up(&p->view, p->shape, block->x + i, block->stride, s->lines_of_row);
		for (uint32_t k = 0; k < p->n_statistics; k++)
			line[k * step + i] = (int8_t) (s->lines_of_row[p->statistic[k]] - 128);
	}
}

/* Leaves of all rows in tree t. */
static void
find_leaves(const PgmlOblPrepared *p, uint32_t t, int64_t rows, const int8_t *lines, uint8_t *leaf,
			uint8_t *high)
{
	const PgmlGbmTest *test = p->test + p->first[t];
	uint32_t n = p->first[t + 1] - p->first[t];

	if (p->view.header->depthwise)
	{
		p->kernel->gbm->find(test, (int32_t) n, lines, rows, leaf);
		n = 0;
	}
	else
		p->kernel->bits(test, n < 8 ? n : 8, lines, rows, leaf);
	if (n > 8)
		p->kernel->bits(test + 8, n - 8, lines, rows, high);
	else
		memset(high, 0, (size_t) rows);
}

static const double *
values_of(const PgmlOblPrepared *p, uint32_t t)
{
	return p->view.value + p->view.first[2 * (size_t) t + 1];
}

/* Add some trees to the scores of one output. */
static void
add_one_output(const PgmlOblPrepared *p, uint32_t from, uint32_t size, bool deep, int64_t n,
			   Scratch *s)
{
	const double *value[TOGETHER];

	for (uint32_t t = 0; t < size; t++)
		value[t] = values_of(p, from + t);
	for (int64_t i = 0; size == TOGETHER && !deep && i < n; i++)
	{
		double sum = s->score[i];

		for (int t = 0; t < TOGETHER; t++)
			sum += value[t][s->leaf[t][i]];
		s->score[i] = sum;
	}
	for (uint32_t t = 0; (size < TOGETHER || deep) && t < size; t++)
		for (int64_t i = 0; i < n; i++)
			s->score[i] += value[t][s->leaf[t][i] | s->high[t][i] << 8];
}

/* Add tree number `place` of those found to the scores of several outputs, row by row. */
static void
add_outputs(const PgmlOblPrepared *p, uint32_t t, uint32_t place, int64_t n, const Scratch *s,
			double *out)
{
	uint32_t outputs = p->view.header->n_outputs;
	const double *values = values_of(p, t);

	for (int64_t i = 0; i < n; i++, out += outputs)
	{
		const double *value =
			values + (size_t) (s->leaf[place][i] | s->high[place][i] << 8) * outputs;

		for (uint32_t k = 0; k < outputs; k++)
			out[k] += value[k];
	}
}

/* Scores of many rows. */
static void
score_block(const PgmlOblPrepared *p, int64_t n, int64_t rows, Scratch *s, double *out)
{
	uint32_t outputs = p->view.header->n_outputs;
	uint32_t n_trees = p->view.header->n_trees;

	memcpy(s->score, out, outputs == 1 ? (size_t) n * sizeof(double) : 0);
	for (uint32_t from = 0; from < n_trees; from += TOGETHER)
	{
		uint32_t size = n_trees - from < TOGETHER ? n_trees - from : TOGETHER;
		bool deep = false;

		for (uint32_t t = 0; t < size; t++)
		{
			find_leaves(p, from + t, rows, s->lines, s->leaf[t], s->high[t]);
			deep |= p->first[from + t + 1] - p->first[from + t] > 8 && !p->view.header->depthwise;
		}
		if (outputs == 1)
			add_one_output(p, from, size, deep, n, s);
		for (uint32_t t = 0; outputs > 1 && t < size; t++)
			add_outputs(p, from + t, t, n, s, out);
	}
	memcpy(out, s->score, outputs == 1 ? (size_t) n * sizeof(double) : 0);
}

/* Scores of one row, a byte a line. */
static void
score_row(const PgmlOblPrepared *p, const int8_t *lines, double *out)
{
	uint32_t outputs = p->view.header->n_outputs;

	for (uint32_t t = 0; t < p->view.header->n_trees; t++)
	{
		const PgmlGbmTest *test = p->test + p->first[t];
		uint32_t n = p->first[t + 1] - p->first[t];
		const double *value = values_of(p, t);
		size_t leaf = 0;

		for (uint32_t d = 0; !p->view.header->depthwise && d < n; d++)
			leaf |= (size_t) (lines[test[d].line] > test[d].rank) << d;
		for (uint32_t k = 0; p->view.header->depthwise && k < n; k++)
			leaf = leaf == test[k].from && lines[test[k].line] > test[k].rank ? test[k].to : leaf;
		for (uint32_t k = 0; k < outputs; k++)
			out[k] += value[leaf * outputs + k];
	}
}

/* Where everything is. */
static PgmlOblPrepared
open_form(const void *prepared, const uint8_t *payload, const PgmlShape *shape)
{
	const PgmlOblForm *form = prepared;
	const char *base = prepared;
	int n_kernels;

	return (PgmlOblPrepared){
		.kernel = &pgml_obl_kernels(&n_kernels)[form->kernel],
		.shape = shape,
		.view = pgml_obl_view(payload),
		.n_numbers = form->n_numbers,
		.n_levels = form->n_levels,
		.n_statistics = form->n_statistics,
		.number = (const int32_t *) (base + form->number),
		.cuts = (const PgmlGbmCuts *) (base + form->cuts),
		.level = (const PgmlOblLevelLine *) (base + form->level),
		.statistic = (const uint32_t *) (base + form->statistic),
		.first = (const uint32_t *) (base + form->first),
		.test = (const PgmlGbmTest *) (base + form->test),
	};
}

void
pgml_obl_predict_block(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
					   const PgmlBlock *block, double *out, void *scratch)
{
	PgmlOblPrepared opened = open_form(prepared, payload, shape);
	const PgmlOblPrepared *p = &opened;
	Scratch *s = scratch;
	uint32_t outputs = p->view.header->n_outputs;
	int64_t rows = (block->n + PGML_GBM_LANES - 1) / PGML_GBM_LANES * PGML_GBM_LANES;
	bool regression = p->shape->task == PGML_TASK_REGRESSION;

	for (int64_t i = 0; i < block->n; i++)
		for (uint32_t k = 0; k < outputs; k++)
			out[i * outputs + k] = regression ? 0 : p->view.init[k];
	if (block->n < FEW_ROWS)
	{
		for (int64_t i = 0; i < block->n; i++)
		{
			PgmlBlock row = { block->x + i, block->stride, 1 };

			fill_lines(p, &row, 1, 1, s);
			score_row(p, s->lines, out + i * outputs);
		}
	}
	else
	{
		fill_lines(p, block, rows, PGML_BLOCK_ROWS, s);
		score_block(p, block->n, rows, s, out);
	}
	pgml_gbm_link(p->shape->task, PGML_GBM_LINK_TASK, (int) outputs, p->view.init, block->n, out);
}
