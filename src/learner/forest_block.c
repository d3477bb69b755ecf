/*
 * forest_block.c - score blocks of rows with a prepared forest; forest_block.h says how.
 */
#include "learner/forest_block.h"

/* Rows that go down in step, so that the processor works on one while it waits for another. */
#define ABREAST 8

/* Rows whose subtrees are fetched while those of as many before them are followed. */
#define AHEAD 32

/* Fewer rows follow the payload: of a subtree too few of them need what is fetched. */
#define FEW_ROWS 1024

#define LINE_BYTES 64 /* of a cache */

/* A row on its way through a tree, in the order of the subtrees. */
typedef struct Walker
{
	uint32_t row;
	uint32_t at; /* word of the tree */
} Walker;

/* Scratch memory, in parts that begin at multiples of 64 bytes. */
typedef struct Scratch
{
	uint8_t *bytes; /* row after row */
	int8_t *lines;  /* for each PGML_BLOCK_ROWS rows, line after line, less 128 */
	uint8_t *exit;
	Walker *walker;
	double *base;
} Scratch;

/* One block and what predicts it. */
typedef struct Job
{
	PgmlForestView v;
	const PgmlForestForm *form;
	const PgmlForestFormTree *tree;
	const PgmlGbmKernel *kernel;
	Scratch scratch;
	int64_t n;
	bool several;
	double *out;
} Job;

static size_t
align_up(size_t size)
{
	return (size + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

/* Where the parts of scratch memory begin, the rows' bytes first, and where it ends. */
typedef struct Parts
{
	size_t lines;
	size_t exit;
	size_t walker;
	size_t base;
	size_t end;
} Parts;

static Parts
divide(const PgmlForestForm *form)
{
	size_t rows = (size_t) form->block_rows;
	Parts p;

	p.lines = align_up(rows * form->stride);
	p.exit = p.lines + rows * form->stride;
	p.walker = p.exit + rows;
	p.base = p.walker + rows * sizeof(Walker);
	p.end = p.base + rows * sizeof(double);
	return p;
}

/* The parts of scratch memory for a form. */
static Scratch
open_scratch(const PgmlForestForm *form, uint8_t *memory)
{
	Parts p = divide(form);

	return (Scratch){ .bytes = memory,
					  .lines = (int8_t *) (memory + p.lines),
					  .exit = memory + p.exit,
					  .walker = (Walker *) (memory + p.walker),
					  .base = (double *) (memory + p.base) };
}

size_t
pgml_forest_prepared_size(const void *prepared)
{
	return ((const PgmlForestForm *) prepared)->size;
}

int64_t
pgml_forest_block_rows(const void *prepared)
{
	return ((const PgmlForestForm *) prepared)->block_rows;
}

size_t
pgml_forest_scratch(const void *prepared)
{
	return divide(prepared).end;
}

/* From rows of bytes to lines. */
static void
turn_lines(const Job *job)
{
	size_t stride = job->form->stride;

	for (int64_t from = 0; from < job->n; from += PGML_BLOCK_ROWS)
	{
		const uint8_t *bytes = job->scratch.bytes + (size_t) from * stride;
		int8_t *lines = job->scratch.lines + (size_t) from * stride;
		int64_t n = job->n - from < PGML_BLOCK_ROWS ? job->n - from : PGML_BLOCK_ROWS;

		memset(lines, 0, PGML_BLOCK_ROWS * stride);
		for (size_t l = 0; l < stride; l++)
			for (int64_t i = 0; i < n; i++)
				lines[l * PGML_BLOCK_ROWS + i] = (int8_t) (bytes[i * stride + l] ^ 0x80);
	}
}

/* Put the upper tests of tree t to all rows, and the rows in the order of their exits. */
static void
sort_rows(const Job *job, uint32_t t)
{
	const uint8_t *form = (const uint8_t *) job->form;
	const PgmlForestFormTree *tree = &job->tree[t];
	const PgmlGbmTest *test = (const PgmlGbmTest *) (form + job->form->test) + tree->test;
	const uint32_t *exit = (const uint32_t *) (form + job->form->exit) + tree->test + t;
	const Scratch *s = &job->scratch;
	uint32_t start[PGML_FOREST_TESTS + 1] = { 0 };
	uint32_t sum = 0;

	for (int64_t from = 0; from < job->n; from += PGML_BLOCK_ROWS)
	{
		int64_t n = job->n - from < PGML_BLOCK_ROWS ? job->n - from : PGML_BLOCK_ROWS;

		job->kernel->find(test, (int32_t) (tree[1].test - tree->test),
						  s->lines + (size_t) from * job->form->stride,
						  (n + PGML_GBM_LANES - 1) / PGML_GBM_LANES * PGML_GBM_LANES,
						  s->exit + from);
	}
	for (int64_t i = 0; i < job->n; i++)
		start[s->exit[i]]++;
	for (int e = 0; e <= PGML_FOREST_TESTS; e++)
	{
		uint32_t count = start[e];

		start[e] = sum;
		sum += count;
	}
	for (int64_t i = 0; i < job->n; i++)
		s->walker[start[s->exit[i]]++] = (Walker){ (uint32_t) i, exit[s->exit[i]] };
}

/*
 * Fetch what n walkers will read: the bytes of their rows and the words of their subtrees, of which those before `fetched` have been.  The
 * last subtree is fetched up to where the next one begins.
 */
static uint32_t
fetch(const Job *job, uint32_t t, const uint32_t *word, const Walker *walker, int64_t n,
	  uint32_t fetched)
{
	const PgmlForestFormTree *tree = &job->tree[t];
	const uint32_t *exit =
		(const uint32_t *) ((const uint8_t *) job->form + job->form->exit) + tree->test + t;
	size_t stride = job->form->stride;
	uint32_t last = job->scratch.exit[walker[n - 1].row];
	uint32_t end = last < tree[1].test - tree->test ? exit[last + 1] : tree->value;

	for (int64_t i = 0; i < n; i++)
	{
		const uint8_t *row = job->scratch.bytes + walker[i].row * stride;

		__builtin_prefetch(row);
		__builtin_prefetch(row + stride - 1);
	}
	for (; fetched < end; fetched += LINE_BYTES / sizeof(*word))
		__builtin_prefetch(word + fetched);
	return fetched;
}

/* Add the leaf that a row has fallen into. */
static inline __attribute__((always_inline)) void
add_value(const Job *job, uint32_t t, uint32_t bits, uint32_t row, bool several)
{
	double *out = job->out + (size_t) row * job->v.header->n_outputs;
	float value;

	if (!several)
	{
		memcpy(&value, &bits, sizeof(value));
		*out += value;
	}
	else if (bits & PGML_FOREST_VALUE_PURE)
		out[bits - PGML_FOREST_VALUE_PURE] += 1;
	else
		pgml_forest_add_distribution(&job->v, t, bits, out, &job->scratch.base[row]);
}

/* Let n walkers go down to their leaves, and add those. */
static inline __attribute__((always_inline)) void
walk(const Job *job, uint32_t t, const uint32_t *word, const Walker *walker, int64_t n,
	 bool several)
{
	const uint32_t *value = word + job->tree[t].value;
	size_t stride = job->form->stride;

	for (int64_t i = 0; i < n; i += ABREAST)
	{
		int64_t size = n - i < ABREAST ? n - i : ABREAST;
		const uint8_t *row[ABREAST];
		uint32_t at[ABREAST];
		uint32_t walking;

		for (int w = 0; w < ABREAST; w++)
		{
			const Walker *one = &walker[w < size ? i + w : i];

			row[w] = job->scratch.bytes + one->row * stride;
			at[w] = one->at;
		}
		do
		{
			walking = 0;
			for (int w = 0; w < ABREAST; w++)
			{
				uint32_t node = word[at[w]];
				uint32_t cut = (uint8_t) (node >> 8);
				uint32_t next = at[w] + (node >> 16) + (row[w][(uint8_t) node] >= cut);

				at[w] = cut != 0 ? next : at[w];
				walking |= cut;
			}
		} while (walking != 0);
		for (int64_t w = 0; w < size; w++)
		{
			uint32_t leaf = word[at[w]];

			add_value(job, t, value[(leaf >> 16 << 8) + (uint8_t) leaf], walker[i + w].row,
					  several);
		}
	}
}

/* Add all trees to the sums of the rows. */
static inline __attribute__((always_inline)) void
add_trees(const Job *job, bool several)
{
	const uint32_t *words = (const uint32_t *) ((const uint8_t *) job->form + job->form->word);

	for (uint32_t t = 0; t < job->v.header->n_trees; t++)
	{
		const uint32_t *word = words + job->tree[t].word;
		const Walker *walker = job->scratch.walker;
		uint32_t fetched = 0;

		sort_rows(job, t);
		for (int64_t from = 0, size = 0, next; from < job->n || size > 0; from += next)
		{
			next = job->n - from < AHEAD ? job->n - from : AHEAD;
			if (next > 0)
				fetched = fetch(job, t, word, walker + from, next, fetched);
			walk(job, t, word, walker + from - size, size, several);
			size = next;
		}
	}
}

void
pgml_forest_predict_block(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
						  const PgmlBlock *block, double *out, void *scratch)
{
	const PgmlForestForm *form = prepared;
	Job job = { .v = pgml_forest_view(payload),
				.form = form,
				.tree = (const PgmlForestFormTree *) ((const uint8_t *) form + form->tree),
				.kernel = pgml_gbm_best_kernel(),
				.n = block->n,
				.several = shape->task == PGML_TASK_MULTICLASS,
				.out = out };

	job.scratch = open_scratch(form, scratch);
	pgml_forest_make_bytes(&job.v, shape, block->x, (size_t) block->stride, 1, block->n,
						   job.scratch.bytes);
	for (int64_t from = 0, n; block->n < FEW_ROWS && from < block->n; from += n)
	{
		n = block->n - from < PGML_BLOCK_ROWS ? block->n - from : PGML_BLOCK_ROWS;
		pgml_forest_predict_bytes(&job.v, shape, job.scratch.bytes + (size_t) from * form->stride,
								  n, out + from * job.v.header->n_outputs);
	}
	if (block->n < FEW_ROWS)
		return;
	turn_lines(&job);
	memset(job.scratch.base, 0, (size_t) block->n * sizeof(double));
	memset(out, 0, (size_t) block->n * job.v.header->n_outputs * sizeof(double));
	if (job.several)
		add_trees(&job, true);
	else
		add_trees(&job, false);
	pgml_forest_finish(&job.v, shape->task, block->n, job.scratch.base, out);
}
