/*
 * linear_loss.c - passes over all rows: loss, gradient, and the cross products of the design.
 *
 * A pass is a parallel loop over chunks; a chunk adds up its blocks one after the other into sums of its
 * own, and the chunks' sums are added in order: the same bytes for any number of threads.  Every block
 * looks at the stop flag and the deadline.
 */
#include "learner/linear_internal.h"

#include <string.h>

#include "core/par.h"

/* One parallel loop. */
typedef struct Loop
{
	PgmlLinearPass *pass;
	const PgmlLinearRows *rows;
	const double *coef;
	bool want_gradient;
	bool gram;
	int64_t n_chunks;
	int64_t chunk_size; /* numbers in a chunk's sums */
} Loop;

PgmlStatus
pgml_linear_pass_init(const PgmlEnv *env, PgmlArena *arena, const PgmlLinearDesign *design,
					  const PgmlLinearRows *rows, PgmlLinearPass *pass)
{
	int64_t coefs = design->n_rows * design->outputs;
	int64_t gradients = rows->n_chunks * coefs;

	pass->env = env;
	pass->blas = design->data->blas;
	pass->design = design;
	pass->blocks = pgml_linear_blocks(env, arena, design, rows);
	pass->chunk_sums = pgml_array(arena, (size_t) gradients, sizeof(double));
	pass->chunk_loss = pgml_array(arena, PGML_LINEAR_MAX_CHUNKS, sizeof(double));
	pass->chunk_late = pgml_array(arena, PGML_LINEAR_MAX_CHUNKS, sizeof(bool));
	if (pass->blocks == NULL || pass->chunk_sums == NULL || pass->chunk_loss == NULL ||
		pass->chunk_late == NULL)
		return pgml_fail_nomem(env, "learner \"linear\"");
	return PGML_OK;
}

/* ---- one block ---- */

/* z = design x coef. */
static void
block_scores(const Loop *loop, PgmlLinearBlock *b)
{
	const PgmlLinearDesign *design = loop->pass->design;
	const PgmlBlas *blas = loop->pass->blas;
	const double *coef = loop->coef;
	int n = (int) b->n;
	int d = design->n_dense;
	int k = design->outputs;
	int c = design->n_categories;

	for (int i = 0; i < n; i++)
	{
		double *z = b->z + (int64_t) i * k;

		memcpy(z, coef, (size_t) k * sizeof(double));
		for (int j = 0; j < c; j++)
		{
			const double *row = coef + (int64_t) b->level[(int64_t) i * c + j] * k;

			for (int o = 0; o < k; o++)
				z[o] += row[o];
		}
	}
	if (d == 0)
		return;
	if (k == 1)
		blas->dgemv(PGML_ROW_MAJOR, PGML_NO_TRANS, n, d, 1, b->dense, d, coef + 1, 1, 1, b->z, 1);
	else
		blas->dgemm(PGML_ROW_MAJOR, PGML_NO_TRANS, PGML_NO_TRANS, n, k, d, 1, b->dense, d, coef + k,
					k, 1, b->z, k);
}

/* Multinomial log loss of a row; the scores become weighted residuals p - y. */
static double
softmax_loss(double *z, int k, int label, double w)
{
	double top = z[0];
	double own = z[label];
	double sum = 0;

	for (int o = 1; o < k; o++)
		top = fmax(top, z[o]);
	for (int o = 0; o < k; o++)
	{
		z[o] = exp(z[o] - top);
		sum += z[o];
	}
	for (int o = 0; o < k; o++)
		z[o] *= w / sum;
	z[label] -= w;
	return w * (log(sum) + top - own);
}

/* Loss of the block; its scores become weighted residuals: the loss's derivative by the score. */
static double
block_loss(const PgmlLinearDesign *design, PgmlLinearBlock *b)
{
	int k = design->outputs;
	double loss = 0;

	for (int64_t i = 0; i < b->n; i++)
	{
		double w = b->w[i];
		double y = b->y[i];
		double z = b->z[i * k];

		if (design->data->task == PGML_TASK_REGRESSION)
		{
			b->z[i] = w * (z - y);
			loss += 0.5 * w * (z - y) * (z - y);
		}
		else if (design->data->task == PGML_TASK_BINARY)
		{
			double e = exp(-fabs(z));

			b->z[i] = w * ((z >= 0 ? 1 : e) / (1 + e) - y);
			loss += w * (log1p(e) + fmax(z, 0) - y * z);
		}
		else
			loss += softmax_loss(b->z + i * k, k, (int) y, w);
	}
	return loss;
}

/* gradient += design' x residuals. */
static void
block_gradient(const Loop *loop, const PgmlLinearBlock *b, double *gradient)
{
	const PgmlLinearDesign *design = loop->pass->design;
	const PgmlBlas *blas = loop->pass->blas;
	int n = (int) b->n;
	int d = design->n_dense;
	int k = design->outputs;
	int c = design->n_categories;

	for (int i = 0; i < n; i++)
	{
		const double *r = b->z + (int64_t) i * k;

		for (int o = 0; o < k; o++)
			gradient[o] += r[o];
		for (int j = 0; j < c; j++)
		{
			double *row = gradient + (int64_t) b->level[(int64_t) i * c + j] * k;

			for (int o = 0; o < k; o++)
				row[o] += r[o];
		}
	}
	if (d == 0)
		return;
	if (k == 1)
		blas->dgemv(PGML_ROW_MAJOR, PGML_TRANS, n, d, 1, b->dense, d, b->z, 1, 1, gradient + 1, 1);
	else
		blas->dgemm(PGML_ROW_MAJOR, PGML_TRANS, PGML_NO_TRANS, d, k, n, 1, b->dense, d, b->z, k, 1,
					gradient + k, k);
}

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

/* Lower triangle of the cross products; the rows of the block are scaled by the root of their weight. */
static void
block_gram(const PgmlBlas *blas, const PgmlLinearDesign *design, PgmlLinearBlock *b, double *gram)
{
	int64_t p = design->n_rows;
	int d = design->n_dense;
	int c = design->n_categories;

	for (int64_t i = 0; i < b->n; i++)
	{
		double *x = b->dense + i * d;
		const int32_t *level = b->level + i * c;
		double w = b->w[i];
		double root = sqrt(w);

		gram[0] += w;
		for (int j = 0; j < c; j++)
		{
			double *row = gram + level[j] * p;

			row[0] += w;
			for (int q = 0; q < d; q++)
				row[1 + q] += w * x[q];
			for (int q = 0; q <= j; q++)
				row[level[q]] += w;
		}
		for (int q = 0; q < d; q++)
		{
			gram[(1 + q) * p] += w * x[q];
			x[q] *= root;
		}
	}
	if (d > 0)
		blas->dsyrk(PGML_ROW_MAJOR, PGML_LOWER, PGML_TRANS, d, (int) b->n, 1, b->dense, d, 1,
					gram + p + 1, (int) p);
}

/* ---- loops over chunks ---- */

/* First block of a chunk. */
static int64_t
chunk_begin(const Loop *loop, int64_t chunk)
{
	return chunk * loop->rows->n_blocks / loop->n_chunks;
}

/* True when the chunk must end here: stopped, or the deadline has come (then chunk_late is set). */
static bool
chunk_ends(const Loop *loop, int64_t chunk)
{
	if (!pgml_out_of_time(loop->pass->env))
		return false;
	loop->pass->chunk_late[chunk] = true;
	return true;
}

/* Loss and gradient of one chunk. */
static PgmlStatus
loss_chunk(void *arg, int64_t chunk, int thread)
{
	Loop *loop = arg;
	PgmlLinearPass *pass = loop->pass;
	PgmlLinearBlock *block = &pass->blocks[thread];
	double *gradient = pass->chunk_sums + chunk * loop->chunk_size;
	double loss = 0;

	if (loop->want_gradient)
		memset(gradient, 0, (size_t) loop->chunk_size * sizeof(double));
	for (int64_t b = chunk_begin(loop, chunk); b < chunk_begin(loop, chunk + 1); b++)
	{
		if (chunk_ends(loop, chunk))
			break;
		pgml_linear_load(pass->design, loop->rows, b, block);
		block_scores(loop, block);
		loss += block_loss(pass->design, block);
		if (loop->want_gradient)
			block_gradient(loop, block, gradient);
	}
	pass->chunk_loss[chunk] = loss;
	return PGML_OK;
}

/* Cross products or squares of one chunk. */
static PgmlStatus
moments_chunk(void *arg, int64_t chunk, int thread)
{
	Loop *loop = arg;
	PgmlLinearPass *pass = loop->pass;
	PgmlLinearBlock *block = &pass->blocks[thread];
	double *sums = pass->chunk_sums + chunk * loop->chunk_size;

	memset(sums, 0, (size_t) loop->chunk_size * sizeof(double));
	for (int64_t b = chunk_begin(loop, chunk); b < chunk_begin(loop, chunk + 1); b++)
	{
		if (chunk_ends(loop, chunk))
			break;
		pgml_linear_load(pass->design, loop->rows, b, block);
		if (loop->gram)
			block_gram(pass->blas, pass->design, block, sums);
		else
			block_squares(pass->design, block, sums);
	}
	return PGML_OK;
}

/* Run a loop and say whether the deadline cut it short. */
static PgmlStatus
run_loop(const Loop *loop, PgmlBlockFn fn, bool *late)
{
	PgmlLinearPass *pass = loop->pass;

	memset(pass->chunk_late, 0, (size_t) loop->n_chunks * sizeof(bool));
	if (pgml_par_for(pass->env, loop->n_chunks, fn, (void *) loop) != PGML_OK ||
		pgml_stopped(pass->env))
		return pgml_fail_cancelled(pass->env);
	*late = false;
	for (int64_t c = 0; c < loop->n_chunks; c++)
		*late |= pass->chunk_late[c];
	return PGML_OK;
}

/* out = sum of the chunks' sums, in order. */
static void
add_chunks(const Loop *loop, double *out)
{
	memset(out, 0, (size_t) loop->chunk_size * sizeof(double));
	for (int64_t c = 0; c < loop->n_chunks; c++)
	{
		const double *sums = loop->pass->chunk_sums + c * loop->chunk_size;

		for (int64_t i = 0; i < loop->chunk_size; i++)
			out[i] += sums[i];
	}
}

PgmlStatus
pgml_linear_loss(PgmlLinearPass *pass, const PgmlLinearRows *rows, const double *coef, double *loss,
				 double *gradient, bool *late)
{
	Loop loop = { .pass = pass, .rows = rows, .coef = coef, .want_gradient = gradient != NULL };

	loop.n_chunks = rows->n_chunks;
	loop.chunk_size = pass->design->n_rows * pass->design->outputs;
	PGML_TRY(run_loop(&loop, loss_chunk, late));
	*loss = 0;
	for (int64_t c = 0; c < loop.n_chunks; c++)
		*loss += pass->chunk_loss[c];
	if (gradient != NULL)
		add_chunks(&loop, gradient);
	return PGML_OK;
}

PgmlStatus
pgml_linear_moments(PgmlLinearPass *pass, const PgmlLinearRows *rows, bool gram, double *out,
					bool *late)
{
	int64_t p = pass->design->n_rows;
	Loop loop = { .pass = pass, .rows = rows, .gram = gram, .chunk_size = gram ? p * p : p };
	int64_t most = PGML_LINEAR_MOMENT_NUMBERS / loop.chunk_size;
	double *gradient_sums = pass->chunk_sums;
	PgmlArena *arena = pgml_arena_create(pass->env->budget);
	PgmlStatus status = PGML_OK;

	loop.n_chunks = rows->n_chunks < most ? rows->n_chunks : most;
	if (loop.n_chunks < 1)
		loop.n_chunks = 1;
	pass->chunk_sums = arena != NULL ? pgml_array(arena, (size_t) (loop.n_chunks * loop.chunk_size),
												  sizeof(double)) :
									   NULL;
	if (pass->chunk_sums == NULL)
		status = pgml_fail_nomem(pass->env, "learner \"linear\"");
	else
		status = run_loop(&loop, moments_chunk, late);
	if (status == PGML_OK)
		add_chunks(&loop, out);
	pass->chunk_sums = gradient_sums;
	pgml_arena_destroy(arena);
	return status;
}
