/*
 * gbm.h - what the files of the gradient booster share.
 *
 *   gbm.c          the boosting loop, the learner struct;  gbm_params.c: settings
 *   gbm_loss.c     scores, gradients, losses;  gbm_objective.c: losses for numbers besides squared error
 *   gbm_rows.c     bins of rows, parting rows;  gbm_sample.c: the rows of a round
 *   gbm_hist.c     histograms;  gbm_packed.c: of packed gradients;  gbm_pool.c: which of them are kept
 *   gbm_split.c    best split of one feature: numeric;  gbm_category.c: categorical
 *   gbm_expand.c   what splitting a leaf takes
 *   gbm_tree.c     leaf-wise growth of one tree;  gbm_apply.c: adding it to scores
 *   gbm_constraint.c  what constraints leave a leaf: features, values
 *   gbm_rounds.c   rounds, early stopping
 *   gbm_payload.c  the stored form: encode, verify;  gbm_score.c: predict
 *   gbm_prepare.c  the form for blocks of rows;  gbm_block.c: predict them, by kernels in gbm_block_*.c
 *
 * Gradients are integers.  Before a tree is grown, g and h of every row are rounded to multiples of units
 * (powers of two).  Integer sums do not depend on their order: histograms are the same for any number of threads and any
 * cut into blocks, parent minus child equals the sibling exactly, and a histogram that was thrown away for want of
 * memory is rebuilt to the same bits.  The row count shares a word with h.
 *
 * With few rows the units are so small that rounding is far below float32's, yet the sum over all rows cannot
 * overflow 64 bits.  With many rows, which need no such digits, a row's g and h are packed into 32 bits
 * (gbm_packed.h): histograms are built in half the memory and twice as fast.
 */
#ifndef PGML_LEARNER_GBM_H
#define PGML_LEARNER_GBM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clones.h"
#include "data/bins.h"
#include "learner/learner.h"

/* Nobody looks at floating-point exception flags; for their sake gcc would not vectorise comparisons. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

#define PGML_GBM_BINS      256
#define PGML_GBM_SET_WORDS (PGML_GBM_BINS / 32)

/* Losses, in the order of their words in the settings; auto: squared error, logistic or softmax, by the task. */
typedef enum PgmlGbmObjective
{
	PGML_GBM_AUTO,
	PGML_GBM_SQUARED,
	PGML_GBM_ABSOLUTE,
	PGML_GBM_QUANTILE,
	PGML_GBM_HUBER,
	PGML_GBM_POISSON, /* from here on the score is the logarithm of the prediction */
	PGML_GBM_GAMMA,
	PGML_GBM_TWEEDIE,
	PGML_GBM_LOGISTIC, /* of two classes, which auto is: from here on only the task is checked */
	PGML_GBM_SOFTMAX /* of classes; of two it is the logistic loss of the difference of their scores */
} PgmlGbmObjective;

/* Does a loss fit the task?  PGML_ERR_BADARG. */
extern PgmlStatus pgml_gbm_check_loss(PgmlGbmObjective objective, PgmlTask task, int n_classes,
									  PgmlError *err);

/* Settings of a fit, read from PgmlParams. */
typedef struct PgmlGbmConfig
{
	PgmlGbmObjective objective;
	double alpha;
	double huber_delta; /* 0: from alpha */
	double tweedie_power;
	double max_delta_step;
	bool balanced; /* classes weigh the same */
	double scale_pos_weight;
	bool depthwise;
	int n_estimators;
	double learning_rate;
	int num_leaves;
	int max_depth; /* 0: no bound */
	int64_t min_data;
	double min_hessian;
	double lambda_l1;
	double lambda_l2;
	double min_gain;
	double bagging_fraction;
	double mvs_fraction;
	double feature_fraction;
	double feature_fraction_bynode;
	bool extra_trees;
	int max_bin;
	int patience; /* 0: no early stopping */
	double cat_l2;
	double cat_smooth;
	int max_cat_threshold;
	int max_cat_to_onehot;
	int64_t min_data_per_group;
	const PgmlConstraints *constraints; /* those of the dataset; NULL: none */
} PgmlGbmConfig;

/* mvs_fraction for n rows when neither it nor bagging_fraction is given. */
extern double pgml_gbm_mvs_fraction(int64_t n);

/* The learner's settings, and a fit's as numbers of the right type. */
#define PGML_GBM_N_PARAMS 29
extern const PgmlParam pgml_gbm_params[PGML_GBM_N_PARAMS];
extern PgmlGbmConfig pgml_gbm_read_config(const PgmlDataset *data, const PgmlParams *params);

/* The learner's quantile(). */
extern double pgml_gbm_quantile(const PgmlParams *params);

/* Do classes have weights? */
static inline bool
pgml_gbm_weighs_classes(const PgmlGbmConfig *config)
{
	return config->balanced || config->scale_pos_weight != 1;
}

/* Sums over rows: g in units of g_unit; hc is h in units of h_unit, times 2^count_bits, plus the number of rows. */
typedef struct PgmlGbmSum
{
	int64_t g;
	uint64_t hc;
} PgmlGbmSum;

/* How to read a PgmlGbmSum. */
typedef struct PgmlGbmScale
{
	double g_unit;
	double h_unit;
	int count_bits;
} PgmlGbmScale;

/*
 * Gradients of all rows for one tree: in `sum`, or, when `packed` is not NULL, there.  With unit_hessian the packed
 * h of every row is 1.
 */
typedef struct PgmlGbmGradients
{
	PgmlGbmScale scale; /* of the sums in histograms, whichever it is */
	PgmlGbmSum *sum;
	int32_t *packed;
	bool unit_hessian;
	double noise; /* sum of g^2 over that of h; 0: not needed */
} PgmlGbmGradients;

/* Sum of g as a number. */
static inline double
pgml_gbm_g(const PgmlGbmScale *scale, PgmlGbmSum sum)
{
	return (double) sum.g * scale->g_unit;
}

/* Sum of h as a number. */
static inline double
pgml_gbm_h(const PgmlGbmScale *scale, PgmlGbmSum sum)
{
	return (double) (int64_t) (sum.hc >> scale->count_bits) * scale->h_unit;
}

/* Number of rows. */
static inline int64_t
pgml_gbm_count(const PgmlGbmScale *scale, PgmlGbmSum sum)
{
	return (int64_t) (sum.hc & ((UINT64_C(1) << scale->count_bits) - 1));
}

/* What remains of a when b is taken out: exact. */
static inline PgmlGbmSum
pgml_gbm_minus(PgmlGbmSum a, PgmlGbmSum b)
{
	return (PgmlGbmSum){ a.g - b.g, a.hc - b.hc };
}

/*
 * The fit behind the learner.  margins (NULL or n x outputs, row-major) receives the scores of the learned rows
 * after the last round, as training kept them; for tests.
 */
extern PgmlStatus pgml_gbm_fit(const PgmlEnv *env, const PgmlDataset *data,
							   const PgmlParams *params, PgmlFit *fit, double *margins);

#endif
