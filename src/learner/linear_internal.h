/*
 * linear_internal.h - what the files of learner `linear` share.
 *
 * The design matrix is never written down.  Its columns, which are also the rows of the coefficient table:
 *   0                   the intercept, never penalised
 *   1 .. n_dense        numeric features, each followed by its logarithm when it is heavily skewed and by a
 *                       missing indicator when missing values were seen
 *   the rest            categorical features, one column a level and one for missing: a row of data has a
 *                       single 1 among them, so it is kept as one index
 * Coefficients are row-major, `outputs` numbers a row (classes of a multiclass task, else 1).
 */
#ifndef PGML_LEARNER_LINEAR_INTERNAL_H
#define PGML_LEARNER_LINEAR_INTERNAL_H

#include <math.h>
#include <string.h>

#include "core/arena.h"
#include "core/par.h"
#include "learner/learner.h"

/* Stored in payloads: never renumber. */
enum
{
	PGML_LINEAR_NUMBER = 1,  /* (clip(x) - mean) * factor, and its logarithm when heavily skewed */
	PGML_LINEAR_CATEGORY = 2 /* the coefficient row of the level */
};

/* How one feature meets its coefficients; stored as it is.  A row of 0 means that there is none. */
typedef struct PgmlLinearFeature
{
	uint32_t kind;
	uint32_t row; /* number: of the value, none when constant in training; category: of level 0 */
	uint32_t log_row;     /* number: of sign(x) log(1 + |clip(x)| / unit), scaled as well */
	uint32_t missing_row; /* number: of the missing indicator; category: row + levels */
	uint32_t levels;      /* category: number of levels */
	uint32_t reserved;
	double low, high; /* number: values are clipped to this range */
	double mean, factor;
	double unit;
	double log_mean, log_factor;
} PgmlLinearFeature;

/*
 * Start of a payload; n_features PgmlLinearFeature, rows x outputs coefficients (f64) and, but for version 1, the mean of each
 * design column over the training rows (f64, 1 for the intercept) follow.
 */
typedef struct PgmlLinearHeader
{
	uint32_t version;
	uint32_t task;
	uint32_t outputs;
	uint32_t nfeatures;
	uint32_t rows;
	uint32_t link; /* PGML_LINEAR_LINK_*; 0 before version 3 */
	double alpha;  /* the penalty the coefficients were fitted with */
} PgmlLinearHeader;

#define PGML_LINEAR_VERSION          3u
#define PGML_LINEAR_VERSION_NO_LINK  2u /* still read: every score is of the task's own kind */
#define PGML_LINEAR_VERSION_NO_MEANS 1u /* still read; explanations need the means */

/* What a score is; stored: never renumber. */
enum
{
	PGML_LINEAR_LINK_TASK = 0, /* the value, the log-odds, or what softmax makes probabilities of */
	PGML_LINEAR_LINK_LOG = 1   /* regression: the logarithm of the value */
};

/* Scores are kept within this on both sides before exp(): the prediction is a number then. */
#define PGML_LINEAR_MOST_LOG 700.0

/* A number that is not missing, within the range of the training rows. */
static inline double
pgml_linear_clip(const PgmlLinearFeature *f, double x)
{
	return x < f->low ? f->low : (x > f->high ? f->high : x);
}

/* log(1 + |x| / unit) with the sign of x. */
static inline double
pgml_linear_log(double x, double unit)
{
	return x < 0 ? -log1p(-x / unit) : log1p(x / unit);
}

/* A clipped number as its coefficient meets it, and its logarithm. */
static inline double
pgml_linear_value(const PgmlLinearFeature *f, double x)
{
	return (x - f->mean) * f->factor;
}

static inline double
pgml_linear_log_value(const PgmlLinearFeature *f, double x)
{
	return (pgml_linear_log(x, f->unit) - f->log_mean) * f->log_factor;
}

/* Scores to numbers up to 1 that probabilities are in proportion to, whatever the scores are; *top the largest score.  Returns their sum. */
static inline double
pgml_linear_exp_scores(double *z, int k, double *top)
{
	double sum = 0;

	*top = z[0];
	for (int o = 1; o < k; o++)
		*top = fmax(*top, z[o]);
	for (int o = 0; o < k; o++)
	{
		z[o] = exp(z[o] - *top);
		sum += z[o];
	}
	return sum;
}

/* Scores to probabilities that add up to 1. */
static inline void
pgml_linear_softmax(double *z, int k)
{
	double top;
	double sum = pgml_linear_exp_scores(z, k, &top);

	for (int o = 0; o < k; o++)
		z[o] /= sum;
}

/* Coefficient row of a categorical value; anything that is no level counts as missing. */
static inline uint32_t
pgml_linear_level_row(const PgmlLinearFeature *f, float x)
{
	return x >= 0 && x < (float) f->levels ? f->row + (uint32_t) x : f->missing_row;
}

/* Runs of blocks a pass is cut into at most. */
#define PGML_LINEAR_MAX_CHUNKS 16

/* Numbers the sums of cross products may take over all chunks: they are large, so they get fewer chunks. */
#define PGML_LINEAR_MOMENT_NUMBERS ((int64_t) 4 << 20)

/* A copy of the design is made when it takes no more than this. */
#define PGML_LINEAR_COPY_BYTES ((int64_t) 256 << 20)

/* ---- linear_params.c: what is asked for ---- */

typedef enum PgmlLinearLoss
{
	PGML_LINEAR_SQUARED,  /* (y - z)^2 / 2 */
	PGML_LINEAR_LOGISTIC, /* log(1 + exp(z)) - y z */
	PGML_LINEAR_SOFTMAX,  /* log of the sum of exp(z) - z of the row's class */
	PGML_LINEAR_POISSON   /* exp(z) - y z */
} PgmlLinearLoss;

typedef struct PgmlLinearConfig
{
	PgmlLinearLoss loss;
	double alpha;
	bool alpha_given;
	double l1_ratio; /* share of the penalty on absolute values */
	int n_alphas;
	int position;
	int max_iter;
	double tol;
} PgmlLinearConfig;

#define PGML_LINEAR_N_PARAMS 8

extern const PgmlParam pgml_linear_params[PGML_LINEAR_N_PARAMS];

/* The learner's check(). */
extern PgmlStatus pgml_linear_check_params(const PgmlLearner *self, const PgmlParams *params,
										   PgmlTask task, int n_classes, PgmlError *err);

/* Settings as they are meant; PGML_ERR_BADARG says which of them do not go together, or with the task. */
extern PgmlStatus pgml_linear_read_config(const PgmlEnv *env, const PgmlDataset *data,
										  const PgmlParams *params, PgmlLinearConfig *config);

/* ---- linear_design.c: how features meet their coefficients ---- */

typedef struct PgmlLinearDesign
{
	const PgmlDataset *data;
	PgmlLinearFeature *features; /* per feature of the matrix */
	int64_t n_rows;              /* coefficient rows, the intercept included */
	int n_dense;
	int n_categories;
	int outputs;
	int64_t cache_bytes; /* a copy of the design larger than this is not made */
	PgmlLinearLoss loss;

	/*
	 * A regression learns ((y / y_unit) - y_mean) / y_sd; with the Poisson loss y_unit is the mean of y, and the others are 0
	 * and 1.
	 */
	double y_unit, y_mean, y_sd;
	bool out_of_time; /* some features were left unused because the deadline came */
} PgmlLinearDesign;

/* Rows of the dataset, their weights scaled to add up to 1, and how passes over them are cut. */
typedef struct PgmlLinearRows
{
	const int32_t *row;
	int64_t n;
	int64_t n_weighted; /* rows with a weight above 0 */
	double weight;      /* sum of the weights before scaling */
	int64_t block_rows;
	int64_t n_blocks;
	int64_t n_chunks; /* runs of blocks that are summed up separately; independent of the threads */
	float *dense;     /* n x n_dense, NULL: computed in every pass */
	int32_t *level;   /* n x n_categories coefficient rows, NULL as well */
	double *y, *w;    /* scaled targets and weights of the rows, NULL: computed in every pass */
} PgmlLinearRows;

/* A block of rows ready for arithmetic; one per thread. */
typedef struct PgmlLinearBlock
{
	int64_t n;
	const float *source; /* n x n_dense: of the copy, or narrow */
	double *dense;       /* n x n_dense */
	const int32_t *level;
	const double *y;
	const double *w;
	double *z;      /* n x outputs */
	double *weight; /* n: factors of the cross products */
	double *
		chosen; /* n x (1 + n_dense): columns chosen for cross products, scaled by the roots of the factors */

	/* Room for what is not cached. */
	float *narrow;
	int32_t *codes;
	double *targets, *weights;
} PgmlLinearBlock;

/* Weight of a row of the matrix. */
static inline double
pgml_linear_weight(const PgmlDataset *data, int32_t row)
{
	return data->w != NULL ? data->w[row] : 1.0;
}

/* PGML_ERR_UNAVAILABLE without OpenBLAS, which the learner of that name needs, PGML_ERR_DATA when no row has a weight. */
extern PgmlStatus pgml_linear_check(const PgmlEnv *env, const PgmlDataset *data,
									const char *learner);

/*
 * Measure every feature on the training rows and lay out the coefficients; PGML_ERR_DATA for a target that the loss is not
 * made for.
 */
extern PgmlStatus pgml_linear_design(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
									 PgmlLinearLoss loss, PgmlLinearDesign *design);

/* Bytes that measuring a design and keeping it takes. */
extern int64_t pgml_linear_design_memory(const PgmlDataset *data);

/* Coefficient rows at most. */
extern int64_t pgml_linear_max_rows(const PgmlMatrix *x);

/* ---- linear_rows.c: blocks of the design ---- */

/* Prepare rows for passes; weight is 0 when none has a weight. */
extern PgmlStatus pgml_linear_rows(const PgmlEnv *env, PgmlArena *arena,
								   const PgmlLinearDesign *design, const int32_t *row, int64_t n,
								   PgmlLinearRows *rows);

/* Keep the targets and weights of rows that are cached, where that is not much. */
extern PgmlStatus pgml_linear_keep_targets(const PgmlEnv *env, PgmlArena *arena,
										   const PgmlLinearDesign *design, PgmlLinearRows *rows);

/* Block memory for each thread of env->pool; NULL when memory is short. */
extern PgmlLinearBlock *pgml_linear_blocks(const PgmlEnv *env, PgmlArena *arena,
										   const PgmlLinearDesign *design,
										   const PgmlLinearRows *rows);

/* The dense columns of a loaded block in double precision. */
extern void pgml_linear_widen(const PgmlLinearDesign *design, PgmlLinearBlock *block);

/* Load block number b of rows; dense is not filled, and z is not. */
extern void pgml_linear_load(const PgmlLinearDesign *design, const PgmlLinearRows *rows, int64_t b,
							 PgmlLinearBlock *block);

/* Bytes that the rows of a dataset, their copies and one thread's block take at most. */
extern int64_t pgml_linear_rows_memory(const PgmlDataset *data);

/* Chunks that passes over a dataset are cut into at most. */
extern int64_t pgml_linear_max_chunks(const PgmlDataset *data);

/* ---- linear_loss.c: loss, gradient and curvature over all rows ---- */

typedef struct PgmlLinearPass
{
	const PgmlEnv *env;
	const PgmlBlas *blas;
	const PgmlLinearDesign *design;
	PgmlLinearBlock *blocks;
	double *chunk_sums; /* room for the sums of every chunk */
	double *chunk_loss;
	bool *chunk_late;
} PgmlLinearPass;

extern PgmlStatus pgml_linear_pass_init(const PgmlEnv *env, PgmlArena *arena,
										const PgmlLinearDesign *design, const PgmlLinearRows *rows,
										PgmlLinearPass *pass);

/*
 * Mean loss of the coefficients on rows (half the squared error, or log loss) and, unless gradient is NULL, its
 * gradient.  *late is set, and the numbers are meaningless, when the deadline came first.
 */
extern PgmlStatus pgml_linear_loss(PgmlLinearPass *pass, const PgmlLinearRows *rows,
								   const double *coef, double *loss, double *gradient, bool *late);

/* Run fn for every chunk; says whether the deadline cut it short. chunk_late[] has room for n_chunks. */
extern PgmlStatus pgml_linear_run(PgmlLinearPass *pass, int64_t n_chunks, PgmlBlockFn fn, void *arg,
								  bool *late);

/* True when a chunk must end before its next block: stopped, or the deadline has come. */
extern bool pgml_linear_chunk_ends(PgmlLinearPass *pass, int64_t chunk);

/* out = the sums of the chunks, size numbers each, added in order. */
extern void pgml_linear_add_chunks(const double *sums, int64_t n_chunks, int64_t size, double *out);

/* First block of a chunk. */
static inline int64_t
pgml_linear_chunk_begin(const PgmlLinearRows *rows, int64_t chunk, int64_t n_chunks)
{
	return chunk * rows->n_blocks / n_chunks;
}

/* Scores of a loaded block: z = design x coef. */
extern void pgml_linear_scores(const PgmlLinearPass *pass, const double *coef, PgmlLinearBlock *b);

/* The loss is quadratic in the scores: its curvature is the same everywhere. */
static inline bool
pgml_linear_is_quadratic(const PgmlLinearDesign *design)
{
	return design->loss == PGML_LINEAR_SQUARED;
}

/* Gain that is not worth a step.  A Poisson loss may be 0 or less; that of the mean alone is 1. */
static inline double
pgml_linear_least_gain(const PgmlLinearDesign *design, double tol, double objective)
{
	return tol * (design->loss == PGML_LINEAR_POISSON ? 1 : fabs(objective));
}

/* ---- linear_moments.c: cross products of design columns ---- */

/* Columns that take part: the intercept, dense ones, columns of levels, in the order of the design. */
typedef struct PgmlLinearSubset
{
	int32_t *column; /* n_columns, rising; column[0] is 0 */
	int32_t *place;  /* n_rows: place in column, -1: none */
	int n_columns;
	int n_dense; /* of them, the intercept left out */
} PgmlLinearSubset;

/* Room for a subset of all columns, and the subset of all. */
extern PgmlStatus pgml_linear_subset(const PgmlEnv *env, PgmlArena *arena,
									 const PgmlLinearDesign *design, PgmlLinearSubset *subset);

/* Fill place and n_dense from column and n_columns. */
extern void pgml_linear_set_places(const PgmlLinearDesign *design, PgmlLinearSubset *subset);

/* Weighted sums of squares of all design columns. *late as above. */
extern PgmlStatus pgml_linear_squares(PgmlLinearPass *pass, const PgmlLinearRows *rows, double *out,
									  bool *late);

/*
 * Second derivatives of the mean loss by the coefficients of a subset of columns for outputs first .. first + n - 1, at coef
 * (NULL: of half the squared error): a symmetric matrix of n x n_columns rows, ordered by output, then column.
 */
extern PgmlStatus pgml_linear_hessian(PgmlLinearPass *pass, const PgmlLinearRows *rows,
									  const PgmlLinearSubset *subset, const double *coef, int first,
									  int n, double *out, bool *late);

/*
 * Normal equations of all design columns for squared errors: gram = their weighted cross products, as above; gradient = that of the
 * mean loss where all coefficients are 0; *loss = the loss there.
 */
extern PgmlStatus pgml_linear_normal(PgmlLinearPass *pass, const PgmlLinearRows *rows,
									 const PgmlLinearSubset *all, double *gram, double *gradient,
									 double *loss, bool *late);

/* Bytes that the sums take at most while they are computed. */
extern int64_t pgml_linear_moments_memory(int64_t size, int64_t n_chunks);

/* ---- linear_solve.c: minimise loss + penalty on squares ---- */

typedef struct PgmlLinearSolver PgmlLinearSolver;

/* curvature: typical second derivative of a row's loss by its score; it need not be right, only near. */
extern PgmlStatus pgml_linear_solver(PgmlLinearPass *pass, PgmlArena *arena,
									 const PgmlLinearRows *rows, double curvature,
									 PgmlLinearSolver **out);

/*
 * Move coef to the minimum of loss + alpha / 2 * sum of squared coefficients (intercepts left out); alpha is
 * relative to the sum of the weights.  Leaves the best coefficients so far and sets *late when the deadline comes.
 */
extern PgmlStatus pgml_linear_solve(PgmlLinearSolver *solver, double alpha, int max_iter,
									double tol, double *coef, bool *late);

/* Bytes of a solver and its passes at most. */
extern int64_t pgml_linear_solver_memory(int64_t n_rows, int outputs, int64_t n_chunks);

/* ---- linear_quadratic.c: a quadratic function with a penalty on absolute values ---- */

/*
 * min over x of  r0'(x - x0) + (x - x0)'(H + diag(extra))(x - x0) / 2 + sum of l1[j] |x[j]|:  x0 is what x is at the start, and r
 * holds r0.
 */
typedef struct PgmlLinearQuadratic
{
	const PgmlEnv *env;
	const PgmlBlas *blas;
	int n;
	const double *h; /* n x n, symmetric, no negative eigenvalue */
	double *extra;
	double *l1;
	double *x;
	double *r;      /* gradient of the smooth part at x; kept up to date */
	double *square; /* scratch: n x n */
	double *vector;
	int32_t *face;
} PgmlLinearQuadratic;

/* Room for n unknowns. */
extern PgmlStatus pgml_linear_quadratic(const PgmlEnv *env, PgmlArena *arena, const PgmlBlas *blas,
										int64_t n, PgmlLinearQuadratic *q);

/* Move x to the minimum, to about `gain` of the function's value; sets *late when the deadline ends it early. */
extern PgmlStatus pgml_linear_minimise(PgmlLinearQuadratic *q, double gain, bool *late);

extern int64_t pgml_linear_quadratic_memory(int64_t n);

/* ---- linear_newton.c: minimise loss + penalties on squares and absolute values ---- */

typedef struct PgmlLinearNewton PgmlLinearNewton;

extern PgmlStatus pgml_linear_newton(PgmlLinearPass *pass, PgmlArena *arena,
									 const PgmlLinearRows *rows, PgmlLinearNewton **out);

/*
 * Move coef to the minimum of loss + l1 * sum of absolute + l2 / 2 * sum of squared coefficients (intercepts left out); l1 and
 * l2 are relative to the sum of the weights.  As pgml_linear_solve() otherwise.
 */
extern PgmlStatus pgml_linear_newton_solve(PgmlLinearNewton *newton, double l1, double l2,
										   int max_iter, double tol, double *coef, bool *late);

/* Can the problem be solved from cross products alone, computed once? Then the method is the best for any penalty. */
extern bool pgml_linear_newton_is_direct(PgmlLinearLoss loss, int64_t n_rows);

extern int64_t pgml_linear_newton_memory(int64_t n_rows, int outputs, int64_t n_chunks);

/* ---- linear_payload.c: the stored form ---- */

extern PgmlStatus pgml_linear_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
									 PgmlError *err);
extern void pgml_linear_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
								int64_t n, double *out);

/* ---- linear_explain.c ---- */

/* Weighted mean over rows of every design column (n_rows numbers). */
extern PgmlStatus pgml_linear_means(const PgmlEnv *env, const PgmlLinearDesign *design,
									const PgmlLinearRows *rows, double *mean);

/* The learner's contributions(). */
extern PgmlStatus pgml_linear_contributions(const PgmlEnv *env, const uint8_t *payload,
											const PgmlShape *shape, const PgmlBlock *block,
											int output, double factor, double *base, double *phi,
											int64_t stride);

#endif
