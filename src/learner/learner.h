/*
 * learner.h - the one interface behind which every learning algorithm stands.
 *
 * A learner is a constant struct in the registry array of registry.c.  It turns a dataset into a payload (bytes
 * without pointers, stored in the model image) and predicts from the payload in place.  Payloads are
 * verified before use: every offset, count and index that predict() follows is bounded by verify().
 */
#ifndef PGML_LEARNER_LEARNER_H
#define PGML_LEARNER_LEARNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blas.h"
#include "core/buf.h"
#include "core/env.h"
#include "data/bins.h"
#include "data/matrix.h"
#include "learner/constraints.h"
#include "learner/task.h"
#include "learner/trees.h"

typedef enum PgmlParamType
{
	PGML_PARAM_INT,
	PGML_PARAM_REAL,
	PGML_PARAM_BOOL,
	PGML_PARAM_CHOICE /* one of the words in choices: its place there, from 0 */
} PgmlParamType;

/* One setting: drives validation, documentation and (later) search spaces. */
typedef struct PgmlParam
{
	const char *name;    /* LightGBM's or scikit-learn's */
	const char *aliases; /* other accepted names, separated by blanks, or NULL */
	PgmlParamType type;
	double min, max;
	double def;
	bool log_scale;
	const char *summary;

	/*
     * Words separated by blanks, or NULL.  Of a PGML_PARAM_CHOICE: its values.  Of a number: words that say what no
     * number in [min, max] does; the k-th word, from 0, has the value PGML_WORD(k).
     */
	const char *choices;
} PgmlParam;

#define PGML_WORD(k) (-1.0 - (k))

#define PGML_MAX_PARAMS 32

/* Values in the order of the learner's params[]. */
typedef struct PgmlParams
{
	double v[PGML_MAX_PARAMS];
	bool given[PGML_MAX_PARAMS]; /* fixed by the user: no part of the program may replace it */
} PgmlParams;

/* Rows of a matrix with their targets. */
typedef struct PgmlDataset
{
	const PgmlMatrix *x;
	const double *y; /* per matrix row: value, or class 0 .. n_classes-1 */
	const double *w; /* per matrix row, >= 0; NULL: all 1 */
	PgmlTask task;
	int n_classes;       /* 1 for regression, 2 for binary */
	const int32_t *rows; /* rows to learn from */
	int64_t n;
	const int32_t *valid_rows; /* rows for early stopping; NULL: none */
	int64_t n_valid;
	double *
		valid_out; /* room for n_valid x outputs predictions of valid_rows, see PgmlFit; NULL: not wanted */
	int64_t max_payload; /* bytes; a learner that grows its payload stops there; 0: no bound */
	const PgmlBins
		*bins;       /* of all rows of x with the wanted max_bin; NULL: the learner makes its own */
	double *oob_out; /* room for n x outputs predictions of rows, see PgmlFit; NULL: not wanted */
	const PgmlBlas
		*blas; /* loaded once a training; NULL: not available, learners with needs_blas fail */
	const PgmlConstraints *constraints; /* NULL: none; only for learners that honour them */
	double quantile; /* regression: of the target, that the constant predicts; 0: the mean */
} PgmlDataset;

/* Bins that a fit can use as they are: those given, when they have the wanted max_bin; else NULL. */
static inline const PgmlBins *
pgml_given_bins(const PgmlDataset *data, int max_bin)
{
	return data->bins && data->bins->max_bin == max_bin ? data->bins : NULL;
}

/* Those, or bins made from the rows to learn from, in arena. */
extern PgmlStatus pgml_dataset_bins(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
									int max_bin, const PgmlBins **out);

typedef struct PgmlFit
{
	PgmlBuf payload;
	int best_iteration; /* rounds or path position kept; 0 when it has no meaning */
	double
		learning_rate;  /* the rate chosen where the setting learning_rate leaves it open; else 0 */
	bool out_of_time;   /* the deadline cut the fit short */
	bool out_of_memory; /* the budget or max_payload did */
	bool predicted;     /* data->valid_out holds exactly what predict() says of valid_rows */

	/*
     * data->oob_out holds out-of-bag predictions: for each row of data->rows, what the trees that did not learn from it
     * say together, NaN where there is no such tree.  Levels of categories were ordered with the row's target, so for columns of
     * many levels they are a little too good.
     */
	bool oob_predicted;
} PgmlFit;

/* What verify() checks a payload against. */
typedef struct PgmlShape
{
	PgmlTask task;
	int n_classes;
	int32_t nfeatures;
	const bool *categorical; /* per feature */
	const int32_t *n_levels; /* per feature */
} PgmlShape;

/* Rows that predict_block() takes unless it says otherwise: their bins in all features stay in the first cache. */
#define PGML_BLOCK_ROWS 256

typedef struct PgmlLearner PgmlLearner;

struct PgmlLearner
{
	const char *name;    /* stored in images and shown everywhere */
	const char *summary; /* one sentence */
	unsigned tasks;      /* PGML_TASK_* */
	bool needs_blas;
	const PgmlParam *params;
	int n_params;
	bool only_when_named; /* a training tries it only when `algorithms` has its name */
	bool
		honours_constraints; /* fit() keeps to data->constraints; else it must not be called with any */

	/*
	 * Do settings fit the task?  PGML_ERR_BADARG says what does not, and fit() would say it, too.  NULL: all settings fit all tasks.
	 */
	PgmlStatus (*check)(const PgmlLearner *self, const PgmlParams *params, PgmlTask task,
						int n_classes, PgmlError *err);

	/*
     * Bytes that fit() takes at most beyond dataset and payload, run by one thread (estimate, checked before fitting).
     * *payload: bytes of the payload, or of the smallest one worth having when max_payload can bound it.
     */
	int64_t (*memory)(const PgmlDataset *data, const PgmlParams *params, int64_t *payload);

	/*
     * Learn.  fit->payload is initialised by the caller and filled here.  Honours env->stop (fails with CANCELLED)
     * and env->deadline (returns what it has, at least a usable model).  The same dataset, params and
     * env->seed give the same bytes for any number of threads.  A learner that has the predictions of the validation
     * rows at hand fills data->valid_out and sets fit->predicted.
     */
	PgmlStatus (*fit)(const PgmlEnv *env, const PgmlDataset *data, const PgmlParams *params,
					  PgmlFit *fit);

	/* The quantile of the target that is predicted with these settings, 0: none.  NULL: never one. */
	double (*quantile)(const PgmlParams *params);

	/* Bound everything in the payload; hostile bytes give PGML_ERR_CORRUPT, never a crash. */
	PgmlStatus (*verify)(const uint8_t *payload, size_t len, const PgmlShape *shape,
						 PgmlError *err);

	/*
     * Predict n rows; x is row-major with nfeatures floats a row (NaN missing); out has n x outputs numbers:
     * values, probability of class 1, or k probabilities that add up to 1.  No allocation, no failure; a
     * categorical value outside [0, n_levels) counts as missing.  The payload is 8-byte aligned.
     */
	void (*predict)(const uint8_t *payload, const PgmlShape *shape, const float *x, int64_t n,
					double *out);

	/*
     * Many rows at once; all or none.  prepare() derives from a verified payload what predict_block() needs, in arena:
     * prepared_size() bytes without pointers, aligned to 64, for this kind of processor.  Made once per loaded model and only
     * read after that: threads may share it, and processes a copy in shared memory.  NULL in *prepared when this payload has
     * no such form; PGML_ERR_NOMEM, _LIMIT or _CANCELLED when it could not be made: predict() is then the way.
     */
	PgmlStatus (*prepare)(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
						  const PgmlShape *shape, const void **prepared);
	size_t (*prepared_size)(const void *prepared);

	/* Rows that predict_block() takes, a multiple of PGML_BLOCK_ROWS; NULL: PGML_BLOCK_ROWS. */
	int64_t (*block_rows)(const void *prepared);

	/*
	 * Rows, one at least, that predict_block(), or predict() where prepared is NULL, takes in about 20 ms: neither looks at a stop
	 * flag.  NULL: see pgml_learner_rows_at_once().
	 */
	int64_t (*rows_at_once)(const uint8_t *payload, const void *prepared);

	/* Bytes that predict_block() needs as scratch memory. */
	size_t (*scratch)(const void *prepared);

	/*
     * Predict at most block_rows() rows: to the last bit what predict() says of each.  prepared is of this payload and
     * shape; scratch is aligned to 64 bytes.  No allocation, no failure.
     */
	void (*predict_block)(const void *prepared, const uint8_t *payload, const PgmlShape *shape,
						  const PgmlBlock *block, double *out, void *scratch);

	/*
	 * What explanations are made from: one of the next two; the predictions of a learner without are sampled.  They describe the
	 * scores that the logistic function or softmax turns into probabilities when explains_scores is set, else the predictions.
	 */
	bool explains_scores;

	/*
	 * A verified payload as trees, in arena; they refer to the payload.  PGML_ERR_BADARG for one of a former format that
	 * does not tell how many rows the leaves had.
	 */
	PgmlStatus (*trees)(const PgmlEnv *env, PgmlArena *arena, const uint8_t *payload,
						const PgmlShape *shape, PgmlTrees *out);

	/*
	 * For sums of functions of single features: phi[f * stride + i] += factor * (what feature f adds to the output for row i
	 * of the block, less its mean over the training rows), and *base is set to the mean of the output, without the factor.
	 * PGML_ERR_BADARG for a payload of a former format that does not hold the means.
	 */
	PgmlStatus (*contributions)(const PgmlEnv *env, const uint8_t *payload, const PgmlShape *shape,
								const PgmlBlock *block, int output, double factor, double *base,
								double *phi, int64_t stride);

	/* Whether contributions() describes the logarithm of the prediction of this payload; NULL: never. */
	bool (*log_link)(const uint8_t *payload);
};

/* Whether predictions are sums that explain themselves; others are explained by means of background rows. */
static inline bool
pgml_learner_is_sum(const PgmlLearner *learner)
{
	return learner->trees != NULL || learner->contributions != NULL;
}

/*
 * Rows that a caller who must be interruptible predicts between two looks at the stop flag.  Learners that do not say: any number by
 * predict_block(), which follows a few paths through the payload; by predict() as if a row went through all of the payload.
 */
extern int64_t pgml_learner_rows_at_once(const PgmlLearner *learner, const uint8_t *payload,
										 size_t payload_len, const void *prepared);

/* The failure of trees() and contributions() where a former format lacks what they need. */
static inline PgmlStatus
pgml_fail_unexplained(PgmlError *err, const char *learner)
{
	pgml_fail(err, PGML_ERR_BADARG,
			  "this model's \"%s\" was stored by a former version, without what explanations need",
			  learner);
	pgml_fail_hint(err, "Train the model again.");
	return PGML_ERR_BADARG;
}

/* Registry: all learners in the order in which they are tried. */
extern const PgmlLearner *const *pgml_learners(int *n);
extern const PgmlLearner *pgml_learner_find(const char *name);

/*
 * Defaults of a learner; set one by name or alias (PGML_ERR_BADARG lists the known names, or says the range).
 * pgml_params_set() takes numbers; pgml_params_set_text() takes one of the words in the setting's choices, and
 * PGML_ERR_BADARG lists them.
 */
extern void pgml_params_default(const PgmlLearner *learner, PgmlParams *params);
extern PgmlStatus pgml_params_set(const PgmlLearner *learner, PgmlParams *params, const char *name,
								  double value, PgmlError *err);
extern PgmlStatus pgml_params_set_text(const PgmlLearner *learner, PgmlParams *params,
									   const char *name, const char *text, PgmlError *err);

/* The word that a value stands for and its length (it is not terminated); NULL when the value is a number. */
extern const char *pgml_param_word(const PgmlParam *param, double value, size_t *len);

/* Value of the word that text is; NaN when it is none of the setting's. */
extern double pgml_param_value(const PgmlParam *param, const char *text);

/* Place of the setting that has the name, or the alias, in params; -1 when there is none. */
extern int pgml_param_index(const PgmlLearner *learner, const char *name);

/* Value of a parameter by its name (the name must exist). */
extern double pgml_param(const PgmlLearner *learner, const PgmlParams *params, const char *name);

/* The learners. */
extern const PgmlLearner pgml_learner_constant;
extern const PgmlLearner pgml_learner_linear;
extern const PgmlLearner pgml_learner_gradient_boosting;
extern const PgmlLearner pgml_learner_random_forest;
extern const PgmlLearner pgml_learner_extra_trees;
extern const PgmlLearner pgml_learner_decision_tree;
extern const PgmlLearner pgml_learner_oblivious_boosting;
extern const PgmlLearner pgml_learner_naive_bayes;
extern const PgmlLearner pgml_learner_knn;
extern const PgmlLearner pgml_learner_mlp;
extern const PgmlLearner pgml_learner_svm;

#endif
