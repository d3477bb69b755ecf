/*
 * svm.h - what the files of learner `svm` share.
 *
 * Features are scaled as by learner `linear` (linear_design.c): a row is numbers, then one code per categorical feature, which
 * stands for a column per level of which one is 1.  A row of such a design has width numbers + codes, and
 * columns = numbers + all levels.
 *
 * A decision function is  f(x) = sum_s beta_s K(x, x_s) + bias  (kernel rbf: exp(-gamma |x - x_s|^2)) or  w x + bias.
 */
#ifndef PGML_LEARNER_SVM_H
#define PGML_LEARNER_SVM_H

#include <math.h>
#include <string.h>

#include "core/arena.h"
#include "core/clones.h"
#include "learner/linear_internal.h"

/* ---- svm_kernel.c: points and the rbf kernel ---- */

/* Points of a tile: feature f of point l is at[f * PGML_SVM_TILE + l]. */
#define PGML_SVM_TILE 32

/* Tiles that n points take. */
static inline int64_t
pgml_svm_tiles(int64_t n)
{
	return (n + PGML_SVM_TILE - 1) / PGML_SVM_TILE;
}

/* Points as the kernel takes them; places beyond n are zero. */
typedef struct PgmlSvmPoints
{
	int64_t n;
	int numbers;
	int codes;
	float *at; /* tiles of (numbers + codes) * PGML_SVM_TILE */
} PgmlSvmPoints;

/* n zero points; PGML_ERR_NOMEM or _LIMIT. */
extern PgmlStatus pgml_svm_points(const PgmlEnv *env, PgmlArena *arena, int64_t n, int numbers,
								  int codes, PgmlSvmPoints *points);

/* Copy a point from or to a row of numbers and codes; exchange two. */
extern void pgml_svm_get_point(const PgmlSvmPoints *points, int64_t i, float *row);
extern void pgml_svm_set_point(PgmlSvmPoints *points, int64_t i, const float *row);
extern void pgml_svm_swap_points(PgmlSvmPoints *points, int64_t i, int64_t j);

/*
 * sum[i] += squared distance of x to point i in some of the features, for all points of n_tiles tiles that lie `stride` floats
 * apart: tile is the first of these features of the first point, x the row's numbers followed by its codes.  Codes that differ
 * are at distance 2: two columns of a design differ by 1.  The same bits for any way to cut tiles and features.
 */
extern void pgml_svm_add_distances(const float *tile, int64_t stride, int64_t n_tiles,
								   const float *x, int numbers, int codes, float *sum);

/* From squared distances to kernel values, n a multiple of PGML_SVM_TILE. */
extern void pgml_svm_rbf(float gamma, int64_t n, float *value);

/* Kernel values of x with the points of tiles first .. first + n_tiles - 1. */
extern void pgml_svm_kernel_row(const PgmlSvmPoints *points, float gamma, const float *x,
								int64_t first, int64_t n_tiles, float *out);

/* ---- svm_cache.c: columns of the kernel matrix ---- */

/* Columns of a matrix of n x n kernel values that were used last; beyond `len` they are not computed. */
typedef struct PgmlSvmCache
{
	float *pool;
	int64_t pool_floats;
	int64_t n;
	int64_t width; /* floats of a slot, a multiple of PGML_SVM_TILE */
	int32_t n_slots;
	int32_t *slot; /* per column, -1: none */
	int32_t *owner;
	int64_t *len; /* per slot */
	int32_t *newer, *older;
	int32_t newest, oldest;
} PgmlSvmCache;

/* Room for columns of n values in about so many bytes, two columns at least. */
extern PgmlStatus pgml_svm_cache(const PgmlEnv *env, PgmlArena *arena, int64_t n, int64_t bytes,
								 PgmlSvmCache *cache);

/* Bytes of a cache. */
extern int64_t pgml_svm_cache_memory(int64_t n, int64_t bytes);

/*
 * The slot of column i, and in *len how many of its values are known; the caller computes the rest up to `wanted` and the
 * cache takes it for done.  Valid until the call after the next one.
 */
extern float *pgml_svm_cache_get(PgmlSvmCache *cache, int64_t i, int64_t wanted, int64_t *len);

/* Rows pair[k][0] < pair[k][1] change places, pair after pair; the columns are worth nothing when it was stopped. */
extern void pgml_svm_cache_swap(const PgmlEnv *env, PgmlSvmCache *cache, const int32_t (*pair)[2],
								int64_t n_pairs);

/* From now on no more than the first n values of a column are asked for: make more and shorter slots of the pool. */
extern void pgml_svm_cache_narrow(PgmlSvmCache *cache, int64_t n);

/* Forget everything; columns have n values again. */
extern void pgml_svm_cache_reset(PgmlSvmCache *cache);

/* ---- svm_smo.c: the exact solver ---- */

/*
 * Minimise  1/2 beta' K beta + p' beta + epsilon sum |beta|  with low <= beta <= high, low <= 0 <= high, sum beta = 0:
 *   classes (labels y = 1 or -1)   p = -y, epsilon = 0, beta = y alpha between 0 and y C
 *   regression                     p = -y, beta between -C and C
 * This is libsvm's problem with each pair of its variables for regression in one.  points are reordered.
 */
typedef struct PgmlSvmProblem
{
	PgmlSvmPoints points;
	float gamma;
	const double *p, *low, *high;
	double epsilon;
	double tol;       /* largest violation of the optimality conditions */
	int64_t max_iter; /* 0: no bound */
	int64_t cache_bytes;
} PgmlSvmProblem;

typedef struct PgmlSvmSolution
{
	double *beta; /* room for n, filled */
	double bias;
	double objective;
	double violation;
	int64_t iterations;
	bool late; /* the deadline came first: beta is feasible and not yet best */
} PgmlSvmSolution;

extern PgmlStatus pgml_svm_smo(const PgmlEnv *env, PgmlArena *arena, PgmlSvmProblem *problem,
							   PgmlSvmSolution *solution);

/* Bytes that it takes, points excepted. */
extern int64_t pgml_svm_smo_memory(int64_t n, int64_t cache_bytes);

/* ---- svm_one_class.c: where most points are ---- */

/*
 * The coefficients of all points, solution->beta, of  f(x) = sum of beta_i K(x, x_i) + bias,  which is below 0 for outliers: of the
 * points, a share of nu at most.  w: weights of the points (NULL: 1), 0 < nu <= 1.  Of the problem only points (reordered), gamma,
 * tol, max_iter and cache_bytes count; the rest is set here.  The deadline is looked at once the problem is set up, which takes nu n^2
 * kernel values.
 */
extern PgmlStatus pgml_svm_one_class(const PgmlEnv *env, PgmlArena *arena, PgmlSvmProblem *problem,
									 const double *w, double nu, PgmlSvmSolution *solution);

/* Bytes that it takes, points excepted. */
extern int64_t pgml_svm_one_class_memory(int64_t n, int64_t width, int64_t cache_bytes);

/* ---- svm_linear.c: linear machines ---- */

typedef enum PgmlSvmLoss
{
	PGML_SVM_HINGE,              /* max(0, 1 - y f) */
	PGML_SVM_SQUARED_HINGE,      /* its square */
	PGML_SVM_INSENSITIVE,        /* max(0, |y - f| - epsilon) */
	PGML_SVM_SQUARED_INSENSITIVE /* its square */
} PgmlSvmLoss;

/* Rows of numbers and categorical columns. */
typedef struct PgmlSvmRows
{
	int numbers;
	int codes;
	int64_t columns;      /* of the coefficients: 1 (bias), numbers, levels */
	const float *number;  /* numbers a row */
	const int32_t *level; /* codes a row: columns that are 1, in ascending order */
} PgmlSvmRows;

/*
 * Minimise  1/2 |w|^2 + sum_i C_i loss(y_i, w x_i); w[0] belongs to a column of ones and is penalised as the others are, as in
 * LIBLINEAR.
 */
typedef struct PgmlSvmLinear
{
	const PgmlBlas *blas;
	const PgmlSvmRows *rows;
	const int32_t *row; /* n rows of them */
	int64_t n;
	const double *y; /* per place in row: 1 or -1, or a number */
	const double *c; /* per place in row, > 0 */
	PgmlSvmLoss loss;
	double epsilon;
	double tol;
	int64_t max_iter; /* passes, or Newton's steps */
	uint64_t seed;
} PgmlSvmLinear;

/*
 * w: room for rows->columns numbers.  *late is set when the deadline came first; w is what there was then.  passes, or steps, may be
 * NULL.  pgml_svm_linear() takes one of the two: Newton's method unless there are many columns for the rows.
 */
extern PgmlStatus pgml_svm_linear(const PgmlEnv *env, PgmlArena *arena,
								  const PgmlSvmLinear *problem, double *w, int64_t *passes,
								  bool *late);
extern PgmlStatus pgml_svm_descend(const PgmlEnv *env, PgmlArena *arena,
								   const PgmlSvmLinear *problem, double *w, int64_t *passes,
								   bool *late);
extern PgmlStatus pgml_svm_newton(const PgmlEnv *env, PgmlArena *arena,
								  const PgmlSvmLinear *problem, double *w, int64_t *steps,
								  bool *late);

/* w x of a row. */
extern double pgml_svm_score(const PgmlSvmRows *rows, const double *w, int64_t row);

/* Bytes that pgml_svm_linear() takes at most. */
extern int64_t pgml_svm_linear_memory(int64_t n, int64_t columns);
extern int64_t pgml_svm_descend_memory(int64_t n);
extern int64_t pgml_svm_newton_memory(int64_t n, int64_t columns);

/* ---- svm_algebra.c ---- */

/* a . b; sum += factor * line. */
extern double pgml_svm_dot(int64_t n, const double *a, const double *b);
extern void pgml_svm_add_line(int64_t n, double factor, const double *line, double *sum);

/*
 * The lower triangle of a positive definite matrix (n x n, row-major) becomes its Cholesky factor; pivots are kept above `least` times
 * their diagonal, as rounding can leave less than nothing.  PGML_ERR_CANCELLED when stopped.
 */
extern PgmlStatus pgml_svm_factorise(const PgmlEnv *env, int64_t n, double least, double *matrix);

/* x becomes the solution of L L' z = x. */
extern void pgml_svm_solve(int64_t n, const double *factor, double *x);

/* ---- svm_nystrom.c: an approximation of the rbf kernel by a few columns of its matrix ---- */

/* Landmarks and what maps kernel values with them to features, of which the kernel is then the product. */
typedef struct PgmlSvmMap
{
	PgmlSvmPoints points; /* landmarks */
	double *
		inverse; /* n x n, row-major: of the Cholesky factor of their kernel matrix, lower triangle */
} PgmlSvmMap;

/*
 * Landmarks are n of the rows row[0 .. n_rows-1], drawn at random; mapped is set to the features (numbers = n) of all rows up
 * to total, by their number in rows.  base: first coefficient column of each code.
 */
extern PgmlStatus pgml_svm_nystrom(const PgmlEnv *env, const PgmlBlas *blas, PgmlArena *arena,
								   const PgmlSvmRows *rows, const int32_t *base, int64_t total,
								   const int32_t *row, int64_t n_rows, int64_t n, float gamma,
								   PgmlSvmMap *map, PgmlSvmRows *mapped);

/* Coefficients of the landmarks (n) that say what the weights w of the features say (w[0] is the bias). */
extern void pgml_svm_unmap(const PgmlSvmMap *map, const double *w, double *beta);

/* Bytes that it takes for n landmarks of that many numbers and codes. */
extern int64_t pgml_svm_nystrom_memory(int64_t total, int64_t n, int64_t width);

/* A row as the kernel takes it: its numbers, then its codes. */
extern void pgml_svm_point_of(const PgmlSvmRows *rows, const int32_t *base, int64_t row, float *x);

/* ---- svm_calibrate.c: from decision values to probabilities ---- */

/* P(positive | f) = 1 / (1 + exp(a f + b)) */
typedef struct PgmlSvmSigmoid
{
	double a, b;
} PgmlSvmSigmoid;

/*
 * Platt's sigmoid for decision values f of n rows, by the method of Lin, Lin and Weng (2007).  w: weights (NULL: 1); targets are
 * drawn towards each other as if each class had been seen once more.
 */
extern PgmlSvmSigmoid pgml_svm_platt(const double *f, const bool *positive, const double *w,
									 int64_t n);

extern double pgml_svm_probability(PgmlSvmSigmoid sigmoid, double f);

/* Classes whose pairs are coupled, at most; with more, each is told from the rest. */
#define PGML_SVM_PAIRED 32

/*
 * Probabilities p of k classes from r[i * k + j], the probability of i when it is i or j: the second method of Wu, Lin and
 * Weng (2004).
 */
extern void pgml_svm_couple(int k, const double *r, double *p);

/* ---- svm_payload.c: the stored form ---- */

/* Stored in payloads: never renumber. */
enum
{
	PGML_SVM_LINEAR = 1, /* a coefficient for each column of the design */
	PGML_SVM_RBF = 2     /* a sum of kernels */
};

enum
{
	PGML_SVM_SINGLE = 1, /* one decision: a number, or class 1 against class 0 */
	PGML_SVM_REST = 2,   /* each class against all others */
	PGML_SVM_PAIRS = 3   /* class i against class j, for i < j */
};

/*
 * Start of a payload.  Features (PgmlLinearFeature) follow, a sigmoid and a bias (f64) for each decision, and
 *   linear   rows x decisions coefficients (f64); row 0 is not used
 *   rbf      tiles of each group (u32, then padding to 8); points of all groups, tile after tile (f32); for each group its
 *            coefficients (f32), decisions x points, where of pairs a group (a class) takes part in those with other classes,
 *            classes - 1 of them
 */
typedef struct PgmlSvmHeader
{
	uint32_t version;
	uint32_t task;
	uint32_t kernel;
	uint32_t scheme;
	uint32_t nfeatures;
	uint32_t rows; /* of the design's coefficients */
	uint32_t numbers;
	uint32_t codes;
	uint32_t decisions;
	uint32_t groups; /* rbf: classes with PGML_SVM_PAIRS, else 1 */
	double gamma;
	double offset, scale; /* regression predicts offset + scale * decision */
} PgmlSvmHeader;

#define PGML_SVM_VERSION 1u

/* Decisions of a scheme. */
static inline int64_t
pgml_svm_decisions(uint32_t scheme, int n_classes)
{
	int64_t k = n_classes;

	return scheme == PGML_SVM_PAIRS ? k * (k - 1) / 2 : (scheme == PGML_SVM_REST ? k : 1);
}

/* Number of the decision between classes i < j of k. */
static inline int64_t
pgml_svm_pair(int64_t k, int64_t i, int64_t j)
{
	return i * (2 * k - i - 1) / 2 + j - i - 1;
}

/* Where the parts of a payload are. */
typedef struct PgmlSvmView
{
	const PgmlSvmHeader *header;
	const PgmlLinearFeature *features;
	const PgmlSvmSigmoid *sigmoid;
	const double *bias;
	const double *coef;    /* linear */
	const uint32_t *tiles; /* rbf, and what follows */
	const float *points;
	const float *beta;
	int64_t group_decisions;
} PgmlSvmView;

/* Of a payload whose header and, for rbf, number of tiles are right. */
extern void pgml_svm_view(const uint8_t *payload, PgmlSvmView *view);

/* Are all numbers behind the features finite, up to the payload's end?  Coefficients of kernels are stored as floats. */
extern bool pgml_svm_is_finite(const PgmlSvmView *view, const uint8_t *end);

/* Bytes of a payload with so many tiles. */
extern int64_t pgml_svm_payload_size(const PgmlSvmHeader *header, int64_t tiles);

extern PgmlStatus pgml_svm_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
								  PgmlError *err);

/* ---- svm_predict.c ---- */

/* Rows that are scored together. */
#define PGML_SVM_BATCH 4

/* Decisions (a row's one after another) of at most PGML_SVM_BATCH rows; x as of predict(). */
extern void pgml_svm_score_rows(const PgmlSvmView *view, const float *x, int n, double *decisions);

extern void pgml_svm_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							 int64_t n, double *out);

#endif
