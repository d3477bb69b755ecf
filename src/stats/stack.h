/*
 * stack.h - probabilities of several models made into one model's (stacked generalisation: Wolpert 1992; with logarithms, as pools of
 * opinions: Genest and Zidek 1986).
 *
 * The score of a class is the sum of the logarithms of the models' probabilities, each times the model's weight, and the probabilities are the softmax
 * of the scores; of two classes the log-odds are the sum of the models' log-odds.  Weights may be negative and need not add up to 1: means of
 * models are too cautious, single models too bold as a rule, and of one model the weight is the inverse of a temperature (Guo, Pleiss, Sun
 * and Weinberger 2017).
 */
#ifndef PGML_STATS_STACK_H
#define PGML_STATS_STACK_H

#include "core/arena.h"
#include "stats/metric.h"

/* Models that can be stacked, and the largest size of a weight. */
#define PGML_STACK_MODELS 24
#define PGML_STACK_WEIGHT 100.0

/*
 * Numbers are n x outputs: outputs is 1 for two classes, the probability of class 1 and its log-odds, else the number of classes.
 * Probabilities below 1e-7, and with two classes above 1 - 1e-7, count as that.
 */

/* The logarithm of a probability, or its log-odds, as they are summed up. */
extern double pgml_stack_log(PgmlTask task, double p);

/* Add weight times the logarithms of `size` probabilities to the scores. */
extern void pgml_stack_add(PgmlTask task, double weight, int64_t size, const double *p,
						   double *score);

/* Scores of n rows to probabilities, in place. */
extern void pgml_stack_finish(PgmlTask task, int n_classes, int64_t n, double *score);

/* Rows whose classes are known. */
typedef struct PgmlStackRows
{
	PgmlTask task;
	int n_classes;
	int n_models; /* at most PGML_STACK_MODELS */
	int64_t n;
	double *log;     /* n x outputs x models: pgml_stack_log() of their probabilities */
	const double *y; /* class numbers */
	const double *w; /* row weights, or NULL; they count by their share only */
	const uint8_t *part;
} PgmlStackRows;

/*
 * The weights (one per model) at which the log loss of the rows, and what is believed before, are least: weights are near the centre's, so that
 * few rows change little.  The result depends on nothing but the arguments.  PGML_ERR_NOMEM, PGML_ERR_LIMIT, PGML_ERR_CANCELLED.
 */
extern PgmlStatus pgml_stack_fit(const PgmlEnv *env, const PgmlStackRows *rows,
								 const double *centre, double *weight);

/*
 * The probabilities (n x outputs, into p) of each part's rows at the weights that were fitted to the other parts.  part: which of at most 256
 * parts each row belongs to.  Fails as pgml_stack_fit() does.
 */
extern PgmlStatus pgml_stack_validate(const PgmlEnv *env, const PgmlStackRows *rows,
									  const double *centre, double *p);

/* Models of a stack that are taken out one by one, those first without which the loss rises least (Hassibi and Stork 1993). */
typedef struct PgmlStackPruner
{
	int n;
	int model[PGML_STACK_MODELS];
	double weight[PGML_STACK_MODELS]; /* of these models, as if fitted without the others */
	double inverse[PGML_STACK_MODELS * PGML_STACK_MODELS]; /* of the second derivatives, n x n */
} PgmlStackPruner;

/* All models, with the weights that pgml_stack_fit() found; fails as that does. */
extern PgmlStatus pgml_stack_prune(const PgmlEnv *env, const PgmlStackRows *rows,
								   const double *weight, PgmlStackPruner *out);

/* The model that matters least, as its place among those that are left, and by how much the sum of the rows' losses rises without it. */
extern int pgml_stack_least(const PgmlStackPruner *pruner, double *rise);

/* Take the model at this place out. */
extern void pgml_stack_drop(PgmlStackPruner *pruner, int place);

#endif
