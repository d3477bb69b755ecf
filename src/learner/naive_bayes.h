/*
 * naive_bayes.h - what the files of learner `naive_bayes` share: the stored form.
 *
 * Payload: PgmlBayesHeader, a PgmlBayesFeature per feature, and a table of f64: the logarithms of the classes' shares, then of
 * each feature the numbers below, k = number of classes.
 *   gaussian     means k, 1 / (2 variance) k, -log(2 pi variance) / 2 k, averages k
 *   bernoulli    log p k, log (1 - p) k, averages k, unused k
 *   multinomial  log p k, averages k, unused 2 k
 *   category     log p of level 0 k, of level 1 k, ..., averages k
 *   none         unused 4 k
 * The averages are the means of what the feature adds to the scores of the classes, over the training rows.
 */
#ifndef PGML_LEARNER_NAIVE_BAYES_H
#define PGML_LEARNER_NAIVE_BAYES_H

#include "learner/learner.h"

/* Stored in payloads: never renumber. */
enum
{
	PGML_BAYES_NONE = 0, /* a number that tells nothing */
	PGML_BAYES_GAUSSIAN = 1,
	PGML_BAYES_BERNOULLI = 2,
	PGML_BAYES_MULTINOMIAL = 3,
	PGML_BAYES_CATEGORY = 4
};

#define PGML_BAYES_VERSION 1u

typedef struct PgmlBayesHeader
{
	uint32_t version;
	uint32_t classes;
	uint32_t nfeatures;
	uint32_t reserved;
	uint64_t numbers; /* in the table */
	double threshold; /* bernoulli: a number above it counts as 1 */
} PgmlBayesHeader;

typedef struct PgmlBayesFeature
{
	uint32_t kind;
	uint32_t levels; /* category: number of levels; else 0 */
	uint64_t first;  /* place of its numbers in the table */
} PgmlBayesFeature;

/* Logarithm of the share of a class without rows: nothing that features add outweighs it, and no sum of it overflows. */
#define PGML_BAYES_NO_CLASS (-1e300)

/* Numbers of a feature in the table. */
static inline uint64_t
pgml_bayes_numbers(bool categorical, uint64_t levels, uint64_t classes)
{
	return categorical ? (levels + 1) * classes : 4 * classes;
}

/* Values of the setting distribution. */
enum
{
	PGML_BAYES_AUTO,
	PGML_BAYES_ALL_GAUSSIAN,
	PGML_BAYES_ALL_MULTINOMIAL,
	PGML_BAYES_ALL_BERNOULLI
};

/* One fit; blocks of a parallel loop write only what is of their feature. */
typedef struct PgmlBayesFit
{
	const PgmlEnv *env;
	const PgmlDataset *data;
	int k;
	int distribution;
	double alpha;
	double threshold;
	int32_t *order; /* rows with a weight, by class and else as given */
	double *w;      /* their weights; NULL: all 1 */
	int64_t *start; /* per class, and the end */
	double *class_weight;
	double weight;    /* of all classes */
	double *log_sum;  /* per class: scratch */
	bool *failed;     /* per feature: it has numbers below 0, and is multinomial */
	bool *late;       /* per feature: the deadline came first */
	double *variance; /* per feature, of all rows, each counted once */
	PgmlBayesFeature *features;
	double *numbers; /* the table */
} PgmlBayesFit;

/* ---- naive_bayes_measure.c ---- */

/*
 * Sum up one feature into its places in the table, as a block of a parallel loop; arg is a PgmlBayesFit.  What is there then: gaussian: means,
 * variances and weights of the classes; bernoulli: their weights of ones and of all values; multinomial: their counts; category: their
 * weights by level.  Chooses the feature's kind.  After the deadline features are left unused.
 */
extern PgmlStatus pgml_bayes_measure(void *arg, int64_t f, int thread);

/* ---- naive_bayes_payload.c ---- */

extern PgmlStatus pgml_bayes_verify(const uint8_t *payload, size_t len, const PgmlShape *shape,
									PgmlError *err);
extern void pgml_bayes_predict(const uint8_t *payload, const PgmlShape *shape, const float *x,
							   int64_t n, double *out);
extern PgmlStatus pgml_bayes_prepare(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
									 const PgmlShape *shape, const void **prepared);
extern size_t pgml_bayes_prepared_size(const void *prepared);
extern size_t pgml_bayes_scratch(const void *prepared);
extern void pgml_bayes_predict_block(const void *prepared, const uint8_t *payload,
									 const PgmlShape *shape, const PgmlBlock *block, double *out,
									 void *scratch);
extern PgmlStatus pgml_bayes_contributions(const PgmlEnv *env, const uint8_t *payload,
										   const PgmlShape *shape, const PgmlBlock *block,
										   int output, double factor, double *base, double *phi,
										   int64_t stride);

#endif
