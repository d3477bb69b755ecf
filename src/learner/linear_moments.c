/*
 * linear_moments.c - sums of squares and cross products of design columns: the second derivatives of the loss.
 *
 * Dense columns go through the symmetric product of OpenBLAS, block by block, each row scaled by the root of its factor;
 * columns of levels are added up where a row has its 1.  As in linear_loss.c chunks are added up in order.
 */
#include "learner/linear_internal.h"

/* One parallel loop. */
typedef struct Loop
{
	PgmlLinearPass *pass;
	const PgmlLinearRows *rows;
	const PgmlLinearSubset *subset;
	const double *coef;
	bool target; /* the target is a column as well, after the dense ones */
	int first;   /* output */
	int n;       /* outputs */
	int64_t n_chunks;
	int64_t chunk_size; /* numbers in a chunk's sums */
	double *sums;
} Loop;

/* ---- subsets ---- */

void
pgml_linear_set_places(const PgmlLinearDesign *design, PgmlLinearSubset *subset)
{
	subset->n_dense = 0;
	memset(subset->place, 0xff, (size_t) design->n_rows * sizeof(int32_t));
	for (int i = 0; i < subset->n_columns; i++)
	{
		int32_t column = subset->column[i];

		subset->place[column] = i;
		subset->n_dense += column > 0 && column <= design->n_dense;
	}
}

PgmlStatus
pgml_linear_subset(const PgmlEnv *env, PgmlArena *arena, const PgmlLinearDesign *design,
				   PgmlLinearSubset *subset)
{
	subset->column = pgml_array(arena, (size_t) design->n_rows, sizeof(int32_t));
	subset->place = pgml_array(arena, (size_t) design->n_rows, sizeof(int32_t));
	if (subset->column == NULL || subset->place == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	subset->n_columns = (int) design->n_rows;
	for (int64_t i = 0; i < design->n_rows; i++)
		subset->column[i] = (int32_t) i;
	pgml_linear_set_places(design, subset);
	return PGML_OK;
}

/* ---- one block ---- */

/* squares[c] += w x_c^2 of every design column. */
static void
block_squares(const PgmlLinearDesign *design, const PgmlLinearBlock *b, double *squares)
{
	for (int64_t i = 0; i < b->n; i++)
	{
		const double *x = b->dense + i * design->n_dense;
		const int32_t *level = b->level + i * design->n_categories;
		double w = b->w[i];

		squares[0] += w;
		for (int j = 0; j < design->n_dense; j++)
			squares[1 + j] += w * x[j] * x[j];
		for (int j = 0; j < design->n_categories; j++)
			squares[level[j]] += w;
	}
}

/* The intercept and the chosen dense columns of a row, times the root of its factor. */
static void
choose_dense(const PgmlLinearDesign *design, const PgmlLinearSubset *subset, const float *x,
			 double root, double *chosen)
{
	int d = subset->n_dense;

	chosen[0] = root;
	if (d == design->n_dense)
		for (int q = 0; q < d; q++)
			chosen[1 + q] = root * x[q];
	else
		for (int q = 1; q <= d; q++)
			chosen[q] = root * x[subset->column[q] - 1];
}

/* Lower triangle of the cross products with the factors b->weight, added to out. */
static void
block_products(const Loop *loop, PgmlLinearBlock *b, double *out)
{
	const PgmlLinearDesign *design = loop->pass->design;
	const PgmlLinearSubset *subset = loop->subset;
	int64_t p = subset->n_columns + loop->target;
	int d = 1 + subset->n_dense + loop->target;
	int c = p > d ? design->n_categories : 0;

	for (int64_t i = 0; i < b->n; i++)
	{
		double *chosen = b->chosen + i * d;
		const int32_t *level = b->level + i * design->n_categories;
		double root = sqrt(b->weight[i]);

		choose_dense(design, subset, b->source + i * design->n_dense, root, chosen);
		if (loop->target)
			chosen[d - 1] = root * b->y[i];
		for (int j = 0; j < c; j++)
		{
			int32_t place = subset->place[level[j]];
			double *row = out + (place + loop->target) * p;

			if (place < 0)
				continue;
			for (int q = 0; q < d; q++)
				row[q] += root * chosen[q];
			for (int q = 0; q <= j; q++)
				if (subset->place[level[q]] >= 0)
					row[subset->place[level[q]] + loop->target] += b->weight[i];
		}
	}
	loop->pass->blas->dsyrk(PGML_ROW_MAJOR, PGML_LOWER, PGML_TRANS, d, (int) b->n, 1, b->chosen, d,
							1, out, (int) p);
}

/* What the loss's second derivative by the score is made of: probabilities or the mean, in z. */
static void
score_block(const Loop *loop, PgmlLinearBlock *b)
{
	const PgmlLinearDesign *design = loop->pass->design;
	int k = design->outputs;

	pgml_linear_widen(design, b);
	pgml_linear_scores(loop->pass, loop->coef, b);
	for (int64_t i = 0; i < b->n; i++)
	{
		double *z = b->z + i * k;

		if (design->loss == PGML_LINEAR_LOGISTIC)
		{
			double e = exp(-fabs(z[0]));

			z[0] = e / ((1 + e) * (1 + e));
		}
		else if (design->loss == PGML_LINEAR_POISSON)
			z[0] = exp(fmin(z[0], PGML_LINEAR_MOST_LOG));
		else
			pgml_linear_softmax(z, k);
	}
}

/*
 * Factors of the cross products of outputs a and b: the weights times the second derivative by their two scores, without the
 * sign, which is negative where they differ.
 */
static void
set_factors(const Loop *loop, PgmlLinearBlock *block, int a, int b)
{
	int k = loop->pass->design->outputs;

	for (int64_t i = 0; i < block->n; i++)
	{
		const double *z = block->z + i * k;
		double factor = 1;

		if (loop->coef != NULL && k == 1)
			factor = z[0];
		else if (loop->coef != NULL)
			factor = z[a] * (a == b ? 1 - z[b] : z[b]);
		block->weight[i] = block->w[i] * factor;
	}
}

/* ---- loops over chunks ---- */

/* Sums of squares of one chunk. */
static PgmlStatus
squares_chunk(void *arg, int64_t chunk, int thread)
{
	Loop *loop = arg;
	PgmlLinearPass *pass = loop->pass;
	PgmlLinearBlock *block = &pass->blocks[thread];
	double *sums = loop->sums + chunk * loop->chunk_size;

	memset(sums, 0, (size_t) loop->chunk_size * sizeof(double));
	for (int64_t b = pgml_linear_chunk_begin(loop->rows, chunk, loop->n_chunks);
		 b < pgml_linear_chunk_begin(loop->rows, chunk + 1, loop->n_chunks); b++)
	{
		if (pgml_linear_chunk_ends(pass, chunk))
			break;
		pgml_linear_load(pass->design, loop->rows, b, block);
		pgml_linear_widen(pass->design, block);
		block_squares(pass->design, block, sums);
	}
	return PGML_OK;
}

/* Cross products of one chunk: a lower triangle a pair of outputs. */
static PgmlStatus
hessian_chunk(void *arg, int64_t chunk, int thread)
{
	Loop *loop = arg;
	PgmlLinearPass *pass = loop->pass;
	PgmlLinearBlock *block = &pass->blocks[thread];
	int64_t side = loop->subset->n_columns + loop->target;
	int64_t square = side * side;
	double *sums = loop->sums + chunk * loop->chunk_size;

	memset(sums, 0, (size_t) loop->chunk_size * sizeof(double));
	for (int64_t b = pgml_linear_chunk_begin(loop->rows, chunk, loop->n_chunks);
		 b < pgml_linear_chunk_begin(loop->rows, chunk + 1, loop->n_chunks); b++)
	{
		double *out = sums;

		if (pgml_linear_chunk_ends(pass, chunk))
			break;
		pgml_linear_load(pass->design, loop->rows, b, block);
		if (loop->coef != NULL)
			score_block(loop, block);
		for (int i = 0; i < loop->n; i++)
			for (int j = 0; j <= i; j++, out += square)
			{
				if (pgml_stopped(pass->env))
					return PGML_OK;
				set_factors(loop, block, loop->first + i, loop->first + j);
				block_products(loop, block, out);
			}
	}
	return PGML_OK;
}

/* Cut a loop into chunks whose sums are bounded, and run it; out gets the sums. */
static PgmlStatus
sum_chunks(Loop *loop, PgmlBlockFn fn, double *out, bool *late)
{
	PgmlLinearPass *pass = loop->pass;
	int64_t most = PGML_LINEAR_MOMENT_NUMBERS / loop->chunk_size;
	PgmlArena *arena = pgml_arena_create(pass->env->budget);
	PgmlStatus status;

	loop->n_chunks = loop->rows->n_chunks < most ? loop->rows->n_chunks : most;
	if (loop->n_chunks < 1)
		loop->n_chunks = 1;
	loop->sums = arena != NULL ? pgml_array(arena, (size_t) (loop->n_chunks * loop->chunk_size),
											sizeof(double)) :
								 NULL;
	if (loop->sums == NULL)
		status = pgml_fail_nomem(pass->env, "learner \"linear\"");
	else
		status = pgml_linear_run(pass, loop->n_chunks, fn, loop, late);
	if (status == PGML_OK)
		pgml_linear_add_chunks(loop->sums, loop->n_chunks, loop->chunk_size, out);
	pgml_arena_destroy(arena);
	return status;
}

PgmlStatus
pgml_linear_squares(PgmlLinearPass *pass, const PgmlLinearRows *rows, double *out, bool *late)
{
	Loop loop = { .pass = pass, .rows = rows, .chunk_size = pass->design->n_rows };

	return sum_chunks(&loop, squares_chunk, out, late);
}

/* Triangles of pairs of outputs, packed one after the other, to their places in the whole matrix. */
static void
spread(const Loop *loop, const double *packed, double *out)
{
	int64_t p = loop->subset->n_columns;
	int64_t size = p * loop->n;

	for (int a = 0; a < loop->n; a++)
		for (int b = 0; b <= a; b++, packed += p * p)
			for (int64_t i = 0; i < p; i++)
				for (int64_t j = 0; j <= i; j++)
				{
					double v = a == b ? packed[i * p + j] : -packed[i * p + j];

					out[(a * p + i) * size + b * p + j] = v;
					out[(a * p + j) * size + b * p + i] = v;
					out[(b * p + j) * size + a * p + i] = v;
					out[(b * p + i) * size + a * p + j] = v;
				}
}

PgmlStatus
pgml_linear_hessian(PgmlLinearPass *pass, const PgmlLinearRows *rows,
					const PgmlLinearSubset *subset, const double *coef, int first, int n,
					double *out, bool *late)
{
	Loop loop = { .pass = pass, .rows = rows, .subset = subset, .coef = coef };
	PgmlArena *arena = pgml_arena_create(pass->env->budget);
	PgmlStatus status;
	double *packed;

	if (pgml_linear_is_quadratic(pass->design))
		loop.coef = NULL;
	loop.first = first;
	loop.n = n;
	loop.chunk_size = (int64_t) n * (n + 1) / 2 * subset->n_columns * subset->n_columns;
	packed = arena != NULL ? pgml_array(arena, (size_t) loop.chunk_size, sizeof(double)) : NULL;
	if (packed == NULL)
		status = pgml_fail_nomem(pass->env, "learner \"linear\"");
	else
		status = sum_chunks(&loop, hessian_chunk, packed, late);
	if (status == PGML_OK)
		spread(&loop, packed, out);
	pgml_arena_destroy(arena);
	return status;
}

PgmlStatus
pgml_linear_normal(PgmlLinearPass *pass, const PgmlLinearRows *rows, const PgmlLinearSubset *all,
				   double *gram, double *gradient, double *loss, bool *late)
{
	Loop loop = { .pass = pass, .rows = rows, .subset = all, .target = true, .n = 1 };
	PgmlArena *arena = pgml_arena_create(pass->env->budget);
	int64_t p = all->n_columns;
	int64_t side = p + 1;
	int64_t y = all->n_dense + 1; /* place of the target */
	PgmlStatus status;
	double *packed;

	loop.chunk_size = side * side;
	packed = arena != NULL ? pgml_array(arena, (size_t) loop.chunk_size, sizeof(double)) : NULL;
	if (packed == NULL)
		status = pgml_fail_nomem(pass->env, "learner \"linear\"");
	else
		status = sum_chunks(&loop, hessian_chunk, packed, late);
	for (int64_t i = 0; status == PGML_OK && i < p; i++)
	{
		int64_t row = i < y ? i : i + 1;

		gradient[i] = -(row < y ? packed[y * side + row] : packed[row * side + y]);
		for (int64_t j = 0; j <= i; j++)
			gram[i * p + j] = gram[j * p + i] = packed[row * side + (j < y ? j : j + 1)];
	}
	if (status == PGML_OK)
		*loss = 0.5 * packed[y * side + y];
	pgml_arena_destroy(arena);
	return status;
}

int64_t
pgml_linear_moments_memory(int64_t size, int64_t n_chunks)
{
	int64_t sums = size * n_chunks;

	if (sums > PGML_LINEAR_MOMENT_NUMBERS)
		sums = size > PGML_LINEAR_MOMENT_NUMBERS ? size : PGML_LINEAR_MOMENT_NUMBERS;
	return (size + sums) * (int64_t) sizeof(double);
}
