/*
 * forest_predict.c - follow the stored trees: many rows through one tree at a time, so that the tree stays in the cache.
 *
 * Rows become bytes first, one for each line.  Then a step down a tree is a comparison of two bytes, and some rows, or of one row
 * some trees, go down in step, so that the processor works on one while it waits for the memory of the others.
 */
#include "learner/forest_block.h"

#include <math.h>
#include <string.h>

#define ABREAST 16

/* Memory on the stack for the bytes of rows; one row has at most that many. */
#define STACK_BYTES PGML_FOREST_MAX_LINES

/* ---- bytes --------------------------------------------------------------------------------------- */

/* Rows whose ranks are searched together. */
#define RANK_ROWS 64

/*
 * Number of cuts less than each of n <= RANK_ROWS numbers: binary searches in step and without branches, so that the processor
 * works on one while it waits for another.
 */
static void
rank_rows(const float *cut, uint32_t n_cuts, const float *x, size_t step, int64_t n, uint32_t *rank)
{
	memset(rank, 0, (size_t) n * sizeof(*rank));
	for (uint32_t size = n_cuts; size > 0; size /= 2)
	{
		uint32_t half = (size + 1) / 2;

		for (int64_t i = 0; i < n; i++)
			rank[i] += half & -(uint32_t) (cut[rank[i] + half - 1] < x[i * step]);
	}
}

/* Bytes of a number in n rows: for each of its one or two lines, of the same cuts. */
static void
make_number_lines(const PgmlForestView *v, const PgmlForestLine *line, int n_lines, const float *x,
				  size_t step, int64_t n, uint8_t *to, size_t stride)
{
	uint32_t rank[RANK_ROWS];

	for (int64_t from = 0; from < n; from += RANK_ROWS)
	{
		int64_t size = n - from < RANK_ROWS ? n - from : RANK_ROWS;

		rank_rows(v->cut + line->first, line->n, x + from * step, step, size, rank);
		for (int l = 0; l < n_lines; l++)
		{
			uint32_t first = line[l].missing == 0;

			for (int64_t i = 0; i < size; i++)
			{
				float value = x[(from + i) * step];
				uint32_t missing = -(uint32_t) (value != value);

				to[(from + i) * stride + l] =
					(uint8_t) ((missing & line[l].missing) | (~missing & (rank[i] + first)));
			}
		}
	}
}

/*
 * Bytes of n rows in line l and, when it is made in the same way, the next one; how many lines that were.  x[i * step] is the feature
 * of row i, its byte goes to to[i * stride].
 */
static int
make_lines(const PgmlForestView *v, uint32_t l, const PgmlShape *shape, const float *x, size_t step,
		   int64_t n, uint8_t *to, size_t stride)
{
	const PgmlForestLine *line = &v->line[l];
	bool two = l + 1 < v->header->n_lines && line[1].feature == line->feature &&
			   line[1].first == line->first && line[1].n == line->n;

	if (line->categorical)
	{
		const uint8_t *table = v->table + line->first;
		int32_t n_levels = shape->n_levels[line->feature];

		for (int64_t i = 0; i < n; i++)
			to[i * stride] =
				table[pgml_forest_level_bin(x[i * step], n_levels, v->header->max_bin)];
		return 1;
	}
	make_number_lines(v, line, 1 + two, x, step, n, to, stride);
	return 1 + two;
}

void
pgml_forest_make_bytes(const PgmlForestView *v, const PgmlShape *shape, const float *x,
					   size_t feature_step, size_t row_step, int64_t n, uint8_t *bytes)
{
	size_t stride = pgml_forest_row_bytes(v);

	if (v->header->n_lines == 0)
		memset(bytes, 0, (size_t) n);
	for (uint32_t l = 0; l < v->header->n_lines;)
		l += (uint32_t) make_lines(v, l, shape, x + v->line[l].feature * feature_step, row_step, n,
								   bytes + l, stride);
}

/* ---- walks --------------------------------------------------------------------------------------- */

/*
 * Leaves that ABREAST walkers, each with a tree and a row of its own, fall into.  Who has arrived stays, and no comparison
 * branches.
 */
static inline __attribute__((always_inline)) void
find_leaves(const PgmlForestNode *const *tree, const uint8_t *const *row, uint32_t *at)
{
	uint32_t walking;

	memset(at, 0, ABREAST * sizeof(*at));
	do
	{
		walking = 0;
		for (int w = 0; w < ABREAST; w++)
		{
			uint64_t node;
			uint32_t cut, link, next, on;

			memcpy(&node, &tree[w][at[w]], sizeof(node));
			link = (uint32_t) node;
			cut = (uint8_t) (node >> 48);
			next = -((uint32_t) (row[w][(uint16_t) (node >> 32)] < cut) ^ (uint32_t) (node >> 56));
			on = -(uint32_t) (cut != 0);
			at[w] ^= (at[w] ^ link ^ ((link ^ (at[w] + 1)) & next)) & on;
			walking |= cut;
		}
	} while (walking != 0);
}

/* Add a leaf of tree t to the sums of a row; base: shares of the prior. */
static inline __attribute__((always_inline)) void
add_leaf(const PgmlForestView *v, uint32_t t, const PgmlForestNode *leaf, bool several, double *out,
		 double *base)
{
	float value;

	if (!several)
	{
		memcpy(&value, &leaf->link, sizeof(value));
		*out += value;
		return;
	}
	if (leaf->flag & PGML_FOREST_PURE)
	{
		out[leaf->link] += 1;
		return;
	}
	pgml_forest_add_distribution(v, t, leaf->link, out, base);
}

/* Add all trees to the sums of one row, ABREAST at a time, in their order. */
static inline __attribute__((always_inline)) void
add_to_row(const PgmlForestView *v, const uint8_t *bytes, bool several, double *out, double *base)
{
	const PgmlForestNode *tree[ABREAST];
	const uint8_t *row[ABREAST];
	uint32_t at[ABREAST];
	uint32_t n_trees = v->header->n_trees;

	for (int w = 0; w < ABREAST; w++)
		row[w] = bytes;
	for (uint32_t t = 0; t < n_trees; t += ABREAST)
	{
		uint32_t size = n_trees - t < ABREAST ? n_trees - t : ABREAST;

		for (uint32_t w = 0; w < ABREAST; w++)
			tree[w] = v->node + v->start[2 * (uint64_t) (w < size ? t + w : t)];
		find_leaves(tree, row, at);
		for (uint32_t w = 0; w < size; w++)
			add_leaf(v, t + w, &tree[w][at[w]], several, out, base);
	}
}

/*
 * Leaves of n rows in one tree.  All rows take a step, then those that have not arrived take another: until a row's turn comes again its
 * next node has been fetched.
 */
static inline __attribute__((always_inline)) void
walk_together(const PgmlForestNode *tree, const uint8_t *bytes, size_t stride, uint32_t n,
			  uint32_t *at)
{
	uint64_t walking[PGML_BLOCK_ROWS]; /* row, and in the low half where it is */
	uint32_t n_walking = n;

	for (uint32_t i = 0; i < n; i++)
		walking[i] = (uint64_t) i << 32;
	while (n_walking > 0)
	{
		uint32_t still = 0;

		for (uint32_t j = 0; j < n_walking; j++)
		{
			uint64_t row = walking[j] >> 32, node;
			uint32_t from = (uint32_t) walking[j];
			uint32_t cut, link, next;

			memcpy(&node, &tree[from], sizeof(node));
			link = (uint32_t) node;
			cut = (uint8_t) (node >> 48);
			next = -((uint32_t) (bytes[row * stride + (uint16_t) (node >> 32)] < cut) ^
					 (uint32_t) (node >> 56));
			next = link ^ ((link ^ (from + 1)) & next);
			next &= -(uint32_t) (cut != 0);
			__builtin_prefetch(&tree[next]);
			walking[still] = row << 32 | next;
			at[row] = from;
			still += cut != 0;
		}
		n_walking = still;
	}
}

/* Add all trees to the sums of n rows, tree by tree; few rows take some trees at a time instead. */
static inline __attribute__((always_inline)) void
add_trees(const PgmlForestView *v, const uint8_t *bytes, int64_t n, bool several, double *out,
		  double *base)
{
	size_t stride = pgml_forest_row_bytes(v);
	size_t outputs = v->header->n_outputs;
	uint32_t at[PGML_BLOCK_ROWS];

	for (int64_t i = 0; i < n && n < ABREAST; i++)
		add_to_row(v, bytes + (size_t) i * stride, several, out + (size_t) i * outputs, &base[i]);
	for (uint32_t t = 0; n >= ABREAST && t < v->header->n_trees; t++)
	{
		const PgmlForestNode *tree = v->node + v->start[2 * (uint64_t) t];

		walk_together(tree, bytes, stride, (uint32_t) n, at);
		for (int64_t i = 0; i < n; i++)
			add_leaf(v, t, &tree[at[i]], several, out + (size_t) i * outputs, &base[i]);
	}
}

void
pgml_forest_finish(const PgmlForestView *v, PgmlTask task, int64_t n, const double *base,
				   double *out)
{
	const PgmlForestHeader *h = v->header;

	for (int64_t i = 0; i < n && task != PGML_TASK_MULTICLASS; i++)
	{
		out[i] /= h->n_trees;
		/* A mean is never beyond what it is a mean of. */
		if (task == PGML_TASK_REGRESSION)
			out[i] = h->scale * fmax(fmin(h->center + out[i], 1), -1);
		else
			out[i] = fmin(out[i], 1);
	}
	for (int64_t i = 0; i < n && task == PGML_TASK_MULTICLASS; i++)
	{
		double *row = out + i * h->n_outputs;
		double sum = 0;

		for (uint32_t k = 0; k < h->n_outputs; k++)
		{
			/* A sum that is nothing, as a damaged model may have, becomes the shares of the classes. */
			row[k] += (base[i] + 1e-300) * v->prior[k];
			sum += row[k];
		}
		for (uint32_t k = 0; k < h->n_outputs; k++)
			row[k] /= sum;
	}
}

void
pgml_forest_predict_bytes(const PgmlForestView *v, const PgmlShape *shape, const uint8_t *bytes,
						  int64_t n, double *out)
{
	double base[PGML_BLOCK_ROWS];

	memset(base, 0, (size_t) n * sizeof(double));
	memset(out, 0, (size_t) n * v->header->n_outputs * sizeof(double));
	if (shape->task == PGML_TASK_MULTICLASS)
		add_trees(v, bytes, n, true, out, base);
	else
		add_trees(v, bytes, n, false, out, base);
	pgml_forest_finish(v, shape->task, n, base, out);
}

void
pgml_forest_predict(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
					double *out)
{
	PgmlForestView v = pgml_forest_view(payload);
	size_t nf = (size_t) shape->nfeatures;
	int64_t most = STACK_BYTES / (int64_t) pgml_forest_row_bytes(&v);
	uint8_t bytes[STACK_BYTES];

	most = most < PGML_BLOCK_ROWS ? most : PGML_BLOCK_ROWS;
	for (int64_t from = 0; from < n; from += most)
	{
		int64_t size = n - from < most ? n - from : most;

		pgml_forest_make_bytes(&v, shape, x + (size_t) from * nf, 1, nf, size, bytes);
		pgml_forest_predict_bytes(&v, shape, bytes, size, out + from * v.header->n_outputs);
	}
}
