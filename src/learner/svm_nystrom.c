/*
 * svm_nystrom.c - the Nyström method (Williams and Seeger 2001): with landmarks z and the Cholesky factor L of their kernel
 * matrix, the features of a row are L^-1 k, where k are its kernel values with the landmarks; the product of two rows' features
 * approximates their kernel value.  A weighted sum of the features is a weighted sum of kernels with the landmarks again.
 */
#include "core/par.h"
#include "core/rng.h"
#include "learner/svm.h"

#define RIDGE      1e-6 /* landmarks that are nearly equal make the matrix singular */
#define MOST_RIDGE 1.0
#define BLOCK_ROWS 256

void
pgml_svm_point_of(const PgmlSvmRows *rows, const int32_t *base, int64_t row, float *x)
{
	const int32_t *level = rows->level + row * rows->codes;

	memcpy(x, rows->number + row * rows->numbers, (size_t) rows->numbers * sizeof(float));
	for (int c = 0; c < rows->codes; c++)
		x[rows->numbers + c] = (float) (level[c] - base[c]);
}

/* A random choice of n of the rows, by partial shuffling of a list of all. */
static PgmlStatus
draw_landmarks(const PgmlEnv *env, PgmlArena *arena, const PgmlSvmRows *rows, const int32_t *base,
			   const int32_t *row, int64_t n_rows, PgmlSvmPoints *points)
{
	int32_t *order = pgml_array(arena, (size_t) n_rows + 1, sizeof(int32_t));
	float *x = pgml_array(arena, (size_t) (rows->numbers + rows->codes) + 1, sizeof(float));
	PgmlRng rng;

	if (order == NULL || x == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	memcpy(order, row, (size_t) n_rows * sizeof(int32_t));
	pgml_rng_init(&rng, env->seed, UINT64_C(0x4e757374));
	for (int64_t i = 0; i < points->n; i++)
	{
		int64_t j = i + (int64_t) pgml_rng_below(&rng, (uint64_t) (n_rows - i));
		int32_t drawn = order[j];

		order[j] = order[i];
		order[i] = drawn;
		pgml_svm_point_of(rows, base, drawn, x);
		pgml_svm_set_point(points, i, x);
	}
	return PGML_OK;
}

/* A lower triangular matrix becomes its inverse. scratch: n numbers. */
static PgmlStatus
invert(const PgmlEnv *env, int64_t n, double *matrix, double *scratch)
{
	for (int64_t i = 0; i < n; i++)
	{
		double *line = matrix + i * n;

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		/* Line i of the inverse is (e_i - sum over j < i of L_ij * line j of the inverse) / L_ii. */
		memset(scratch, 0, (size_t) i * sizeof(double));
		for (int64_t j = 0; j < i; j++)
			pgml_svm_add_line(j + 1, -line[j], matrix + j * n, scratch);
		line[i] = 1 / line[i];
		for (int64_t j = 0; j < i; j++)
			line[j] = scratch[j] * line[i];
	}
	return PGML_OK;
}

/* Fill in the lower triangle of the landmarks' kernel matrix, with a ridge. x, k: scratch for a row and its kernel values. */
static PgmlStatus
fill_matrix(const PgmlEnv *env, const PgmlSvmMap *map, float gamma, double ridge, float *x,
			float *k)
{
	int64_t n = map->points.n;

	for (int64_t i = 0; i < n; i++)
	{
		double *line = map->inverse + i * n;

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		pgml_svm_get_point(&map->points, i, x);
		pgml_svm_kernel_row(&map->points, gamma, x, 0, pgml_svm_tiles(n), k);
		for (int64_t j = 0; j < i; j++)
			line[j] = k[j];
		line[i] = 1 + ridge;
	}
	return PGML_OK;
}

/*
 * Is the inverse of the factor one of a matrix with no eigenvalue below half the ridge?  Kernel values are rounded to floats, and the errors
 * of many landmarks add up to more than a small ridge: what is factorised then has negative eigenvalues, and the inverse grows without limit.
 */
static bool
is_stable(const double *inverse, int64_t n, double ridge)
{
	double most = sqrt(2 / ridge);

	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j <= i; j++)
			if (!(fabs(inverse[i * n + j]) <= most))
				return false;
	return true;
}

/* The inverse of the factor of the landmarks' kernel matrix, with the least ridge at which it is stable. */
static PgmlStatus
prepare_inverse(const PgmlEnv *env, PgmlArena *arena, float gamma, PgmlSvmMap *map)
{
	int64_t n = map->points.n;
	int64_t places = pgml_svm_tiles(n) * PGML_SVM_TILE;
	float *x =
		pgml_array(arena, (size_t) (map->points.numbers + map->points.codes) + 1, sizeof(float));
	float *k = pgml_array(arena, (size_t) places, sizeof(float));
	double *scratch = pgml_array(arena, (size_t) n, sizeof(double));
	double ridge = RIDGE;

	map->inverse = pgml_zalloc(arena, (size_t) (n * n), sizeof(double));
	if (x == NULL || k == NULL || scratch == NULL || map->inverse == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	for (;; ridge *= 10)
	{
		PGML_TRY(fill_matrix(env, map, gamma, ridge, x, k));
		PGML_TRY(pgml_svm_factorise(env, n, ridge / 2, map->inverse));
		PGML_TRY(invert(env, n, map->inverse, scratch));
		if (ridge >= MOST_RIDGE || is_stable(map->inverse, n, ridge))
			return PGML_OK;
	}
}

/* ---- mapping rows ---- */

typedef struct Mapping
{
	const PgmlSvmRows *rows;
	const int32_t *base;
	const PgmlSvmMap *map;
	const PgmlBlas *blas;
	float gamma;
	float *inverse; /* n x n */
	float *x;       /* per thread: a row, and BLOCK_ROWS rows of kernel values */
	int64_t x_floats, places;
	int64_t total;
	float *out;
} Mapping;

/* A block of rows. */
static PgmlStatus
map_block(void *arg, int64_t block, int thread)
{
	const Mapping *m = arg;
	int64_t first = block * BLOCK_ROWS;
	int64_t n = m->total - first < BLOCK_ROWS ? m->total - first : BLOCK_ROWS;
	int k = (int) m->map->points.n;
	float *x = m->x + thread * (m->x_floats + BLOCK_ROWS * m->places);
	float *kernel = x + m->x_floats;

	for (int64_t i = 0; i < n; i++)
	{
		pgml_svm_point_of(m->rows, m->base, first + i, x);
		pgml_svm_kernel_row(&m->map->points, m->gamma, x, 0, m->places / PGML_SVM_TILE,
							kernel + i * m->places);
	}
	m->blas->sgemm(PGML_ROW_MAJOR, PGML_NO_TRANS, PGML_TRANS, (int) n, k, k, 1, kernel,
				   (int) m->places, m->inverse, k, 0, m->out + first * k, k);
	return PGML_OK;
}

static PgmlStatus
map_rows(const PgmlEnv *env, PgmlArena *arena, Mapping *m)
{
	int64_t n = m->map->points.n;
	size_t threads = (size_t) pgml_pool_threads(env->pool);

	m->places = pgml_svm_tiles(n) * PGML_SVM_TILE;
	m->x_floats = (m->rows->numbers + m->rows->codes + 15) / 16 * 16;
	m->inverse = pgml_array(arena, (size_t) (n * n), sizeof(float));
	m->x =
		pgml_array(arena, threads * (size_t) (m->x_floats + BLOCK_ROWS * m->places), sizeof(float));
	m->out = pgml_array(arena, (size_t) (m->total * n) + 1, sizeof(float));
	if (m->inverse == NULL || m->x == NULL || m->out == NULL)
		return pgml_fail_nomem(env, "learner \"svm\"");
	for (int64_t i = 0; i < n * n; i++)
		m->inverse[i] = (float) m->map->inverse[i];
	return pgml_par_for(env, (m->total + BLOCK_ROWS - 1) / BLOCK_ROWS, map_block, m) == PGML_OK ?
			   PGML_OK :
			   pgml_fail_cancelled(env);
}

PgmlStatus
pgml_svm_nystrom(const PgmlEnv *env, const PgmlBlas *blas, PgmlArena *arena,
				 const PgmlSvmRows *rows, const int32_t *base, int64_t total, const int32_t *row,
				 int64_t n_rows, int64_t n, float gamma, PgmlSvmMap *map, PgmlSvmRows *mapped)
{
	Mapping m = { .rows = rows, .base = base, .map = map, .blas = blas, .gamma = gamma };

	PGML_TRY(pgml_svm_points(env, arena, n, rows->numbers, rows->codes, &map->points));
	PGML_TRY(draw_landmarks(env, arena, rows, base, row, n_rows, &map->points));
	PGML_TRY(prepare_inverse(env, arena, gamma, map));
	m.total = total;
	PGML_TRY(map_rows(env, arena, &m));
	*mapped = (PgmlSvmRows){ .numbers = (int) n, .columns = n + 1, .number = m.out };
	return PGML_OK;
}

void
pgml_svm_unmap(const PgmlSvmMap *map, const double *w, double *beta)
{
	int64_t n = map->points.n;

	memset(beta, 0, (size_t) n * sizeof(double));
	for (int64_t i = 0; i < n; i++)
		pgml_svm_add_line(i + 1, w[i + 1], map->inverse + i * n, beta);
}

int64_t
pgml_svm_nystrom_memory(int64_t total, int64_t n, int64_t width)
{
	int64_t places = pgml_svm_tiles(n) * PGML_SVM_TILE;

	return total * (n + 1) * (int64_t) sizeof(float) + n * n * 12 +
		   (BLOCK_ROWS + width) * places * (int64_t) sizeof(float) + 16 * n + 12 * width;
}
