/*
 * gbm_objective.h - losses of regression besides squared error, and weights of classes.
 *
 * y is the target, s the score, r = y - s; gradients and hessians are those of LightGBM (Ke et al. 2017).
 *
 *   absolute  |r|                                   h = 1; leaves: weighted median of r
 *   quantile  alpha r for r >= 0, else (alpha - 1) r   h = 1; leaves: weighted quantile of r (Koenker and Bassett 1978)
 *   huber     r^2 / 2 up to delta, linear above     h = 1; leaves: median and one step from it (Friedman 2001, 4.4)
 *   poisson   exp(s) - y s                          h = exp(s + max_delta_step)
 *   gamma     y exp(-s) + s
 *   tweedie   exp((2 - p) s) / (2 - p) - y exp((1 - p) s) / (1 - p), 1 < p < 2 (Yang, Qian and Zou 2018)
 *
 * The last three predict exp(s).  As with squared error the scores leave the initial score out: the first three have it
 * taken from y, to the last three it is added before exp().
 */
#ifndef PGML_LEARNER_GBM_OBJECTIVE_H
#define PGML_LEARNER_GBM_OBJECTIVE_H

#include "learner/gbm_loss.h"

/* Room for a row's residual and weight. */
typedef struct PgmlGbmPoint
{
	double value;
	double weight;
} PgmlGbmPoint;

/* Is the score the logarithm of the prediction? */
static inline bool
pgml_gbm_is_log(PgmlGbmObjective objective)
{
	return objective >= PGML_GBM_POISSON && objective <= PGML_GBM_TWEEDIE;
}

/* Are leaf values computed from residuals, not from sums of g and h? */
static inline bool
pgml_gbm_renews(PgmlGbmObjective objective)
{
	return objective >= PGML_GBM_ABSOLUTE && objective <= PGML_GBM_HUBER;
}

/* The learner's check(). */
extern PgmlStatus pgml_gbm_check(const PgmlLearner *self, const PgmlParams *params, PgmlTask task,
								 int n_classes, PgmlError *err);

/* Choose the loss of targets, and see that they are in its range; else PGML_ERR_DATA. */
extern PgmlStatus pgml_gbm_set_objective(const PgmlEnv *env, const PgmlGbmConfig *config,
										 PgmlGbmTarget *target);

/* Give rows drawn from others their loss. */
static inline void
pgml_gbm_copy_objective(const PgmlGbmTarget *from, PgmlGbmTarget *to)
{
	to->objective = from->objective;
	to->alpha = from->alpha;
	to->delta = from->delta;
	to->power = from->power;
	to->h_factor = from->h_factor;
	to->offset = from->offset;
	to->never_pack = to->never_pack || pgml_gbm_is_log(from->objective);
}

/*
 * Score before the first tree, for losses other than squared error: weighted quantile of y, or logarithm of its weighted mean.
 * points has room for all rows.
 */
extern PgmlStatus pgml_gbm_objective_init(const PgmlEnv *env, const PgmlGbmTarget *target,
										  PgmlGbmPoint *points, double *init);

/* Huber only: set delta to the quantile alpha of |r| (Friedman 2001), unless it is fixed. */
extern PgmlStatus pgml_gbm_set_delta(const PgmlEnv *env, PgmlGbmTarget *target,
									 PgmlGbmPoint *points);

/* g and h at weight 1 of n rows from row `from`. */
extern void pgml_gbm_objective_gradients(const PgmlGbmTarget *target, int64_t from, int n,
										 double *g, double *h);

/* Loss at weight 1 of a row. */
extern double pgml_gbm_objective_loss(const PgmlGbmTarget *target, int64_t row);

/* Value of a leaf with n listed rows, before shrinkage; where pgml_gbm_renews().  points: room for n. */
extern PgmlStatus pgml_gbm_renew_leaf(const PgmlEnv *env, const PgmlGbmTarget *target,
									  const int32_t *index, int64_t n, PgmlGbmPoint *points,
									  double *value);

/*
 * The dataset with its weights times those of the classes: with `balanced` n / (classes x rows of the class), each counted by
 * its weight, and scale_pos_weight for class 1.  *out is the dataset as it is when no class has a weight.
 */
extern PgmlStatus pgml_gbm_class_weights(const PgmlEnv *env, PgmlArena *arena,
										 const PgmlDataset *data, const PgmlGbmConfig *config,
										 PgmlDataset *out);

#endif
