/*
 * linear_loss.c - passes over all rows: loss and gradient.
 *
 * A pass is a parallel loop over chunks; a chunk adds up its blocks one after the other into sums of its
 * own, and the chunks' sums are added in order: the same bytes for any number of threads.  Every block
 * looks at the stop flag and the deadline.
 */
#include "learner/linear_internal.h"

#include <string.h>

#include "core/clock.h"
#include "core/par.h"

/* One parallel loop. */
typedef struct Loop
{
	PgmlLinearPass *pass;
	const PgmlLinearRows *rows;
	const double *coef;
	bool want_gradient;
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

/* The scores' parts that are not of dense columns: intercepts and levels. */
static void
start_scores(const PgmlLinearDesign *design, const double *coef, PgmlLinearBlock *b)
{
	int k = design->outputs;
	int c = design->n_categories;

	for (int64_t i = 0; i < b->n; i++)
		for (int o = 0; o < k; o++)
			b->z[i * k + o] = coef[o];
	for (int64_t i = 0; c > 0 && i < b->n; i++)
		for (int j = 0; j < c; j++)
		{
			const double *row = coef + (int64_t) b->level[i * c + j] * k;

			for (int o = 0; o < k; o++)
				b->z[i * k + o] += row[o];
		}
}

void
pgml_linear_scores(const PgmlLinearPass *pass, const double *coef, PgmlLinearBlock *b)
{
	const PgmlLinearDesign *design = pass->design;
	const PgmlBlas *blas = pass->blas;
	int n = (int) b->n;
	int d = design->n_dense;
	int k = design->outputs;

	start_scores(design, coef, b);
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
	double own = z[label];
	double top;
	double sum = pgml_linear_exp_scores(z, k, &top);

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

		switch (design->loss)
		{
			case PGML_LINEAR_SQUARED:
				b->z[i] = w * (z - y);
				loss += 0.5 * w * (z - y) * (z - y);
				break;
			case PGML_LINEAR_LOGISTIC:
			{
				double e = exp(-fabs(z));

				b->z[i] = w * ((z >= 0 ? 1 : e) / (1 + e) - y);
				loss += w * (log1p(e) + fmax(z, 0) - y * z);
				break;
			}
			case PGML_LINEAR_POISSON:
			{
				double mean = exp(z);

				b->z[i] = w > 0 ? w * (mean - y) : 0;
				loss += w > 0 ? w * (mean - y * z) : 0;
				break;
			}
			case PGML_LINEAR_SOFTMAX:
				loss += softmax_loss(b->z + i * k, k, (int) y, w);
				break;
		}
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

	for (int o = 0; o < k; o++)
	{
		double sum = 0;

		for (int i = 0; i < n; i++)
			sum += b->z[(int64_t) i * k + o];
		gradient[o] += sum;
	}
	for (int i = 0; c > 0 && i < n; i++)
	{
		const double *r = b->z + (int64_t) i * k;

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

/* ---- loops over chunks ---- */

bool
pgml_linear_chunk_ends(PgmlLinearPass *pass, int64_t chunk)
{
	if (!pgml_out_of_time(pass->env))
		return false;
	pass->chunk_late[chunk] = true;
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
	for (int64_t b = pgml_linear_chunk_begin(loop->rows, chunk, loop->rows->n_chunks);
		 b < pgml_linear_chunk_begin(loop->rows, chunk + 1, loop->rows->n_chunks); b++)
	{
		if (pgml_linear_chunk_ends(pass, chunk))
			break;
		pgml_linear_load(pass->design, loop->rows, b, block);
		pgml_linear_widen(pass->design, block);
		pgml_linear_scores(pass, loop->coef, block);
		loss += block_loss(pass->design, block);
		if (loop->want_gradient)
			block_gradient(loop, block, gradient);
	}
	pass->chunk_loss[chunk] = loss;
	return PGML_OK;
}

PgmlStatus
pgml_linear_run(PgmlLinearPass *pass, int64_t n_chunks, PgmlBlockFn fn, void *arg, bool *late)
{
	memset(pass->chunk_late, 0, (size_t) n_chunks * sizeof(bool));
	if (pgml_par_for(pass->env, n_chunks, fn, arg) != PGML_OK || pgml_stopped(pass->env))
		return pgml_fail_cancelled(pass->env);
	*late = false;
	for (int64_t c = 0; c < n_chunks; c++)
		*late |= pass->chunk_late[c];
	*late = pgml_clock_ends(pass->env, *late);
	return PGML_OK;
}

void
pgml_linear_add_chunks(const double *sums, int64_t n_chunks, int64_t size, double *out)
{
	memset(out, 0, (size_t) size * sizeof(double));
	for (int64_t c = 0; c < n_chunks; c++)
		for (int64_t i = 0; i < size; i++)
			out[i] += sums[c * size + i];
}

PgmlStatus
pgml_linear_loss(PgmlLinearPass *pass, const PgmlLinearRows *rows, const double *coef, double *loss,
				 double *gradient, bool *late)
{
	Loop loop = { .pass = pass, .rows = rows, .coef = coef, .want_gradient = gradient != NULL };

	loop.chunk_size = pass->design->n_rows * pass->design->outputs;
	PGML_TRY(pgml_linear_run(pass, rows->n_chunks, loss_chunk, &loop, late));
	*loss = 0;
	for (int64_t c = 0; c < rows->n_chunks; c++)
		*loss += pass->chunk_loss[c];
	if (gradient != NULL)
		pgml_linear_add_chunks(pass->chunk_sums, rows->n_chunks, loop.chunk_size, gradient);
	return PGML_OK;
}
