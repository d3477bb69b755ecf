/*
 * automl.h - a table becomes a model: the whole training, without PostgreSQL.
 *
 * pgml_automl() infers the task, splits off the test rows, fits the recipe on the others, tries learners in
 * order inside the time budget, keeps the best by validation, scores it once on the test rows, and encodes
 * the image.  A step that fails is recorded as a failed trial; the training as a whole fails only when not
 * even the constant predictor could be made, when it is cancelled, or when what was asked for is impossible.
 */
#ifndef PGML_SEARCH_AUTOML_H
#define PGML_SEARCH_AUTOML_H

#include "core/buf.h"
#include "core/env.h"
#include "data/split.h"
#include "data/table.h"
#include "learner/learner.h"
#include "prep/leak.h"
#include "search/execution.h"
#include "search/warm.h"
#include "stats/metric.h"

/* One entry of `hyperparams`: applies to every selected learner that knows the name. */
struct PgmlHyperparam
{
	const char *name;
	double value;
	const char *text; /* the value as a word; NULL: value counts */
};

/* One entry of search_space: a list, or a range of numbers. */
typedef struct PgmlSearchSetting
{
	const char *learner; /* NULL: every selected one that knows the name */
	const char *name;
	const PgmlHyperparam *values; /* the list, each value with the setting's name; NULL: a range */
	int n_values;
	double low, high;
	int log; /* 1: equal steps of the logarithm, 0: of the number, -1: as the setting's scale is */
	int steps; /* only so many values of the range, at equal distances; 0: all */
} PgmlSearchSetting;

/* Predictions never fall (direction 1) or never rise (-1) when the number in the column grows and all others stay. */
typedef struct PgmlMonotone
{
	const char *column;
	int direction;
} PgmlMonotone;

/* Columns that may interact. */
typedef struct PgmlColumnGroup
{
	const char *const *columns;
	int n;
} PgmlColumnGroup;

/* Trials that may predict together, at most. */
#define PGML_MAX_ENSEMBLE 24

/* Parts that validate one after the other, at most. */
#define PGML_MAX_FOLDS 10

/* What it costs to predict a class where another is true. */
typedef struct PgmlCost
{
	const char *truth, *predicted; /* labels */
	double cost;
} PgmlCost;

typedef struct PgmlTrainOptions
{
	const char *target;          /* column name */
	int task;                    /* PgmlTask, 0 = infer */
	const char *metric;          /* NULL = default of the task */
	const char *positive_class;  /* NULL = last label */
	double time_budget;          /* seconds from now; 0 = none (max_trials decides alone) */
	int max_trials;              /* 0 = no bound */
	const char *const *features; /* only these columns; NULL = all */
	int n_features;
	const char *const *exclude; /* never these */
	int n_exclude;
	const char *const *keep; /* however much they look like identifiers or free text */
	int n_keep;
	const char *const *id_columns;
	int n_id_columns;
	const char *time_column;   /* NULL = none; also a feature (its date parts) unless excluded */
	const char *group_column;  /* NULL = none; never a feature */
	const char *weight_column; /* NULL = none; never a feature */
	double test_size;          /* 0 <= test_size < 1 */
	const char *const *
		algorithms; /* only these learners; "-name" excludes one; NULL = all but those only_when_named */
	int n_algorithms;
	const PgmlHyperparam *hyperparams;
	int n_hyperparams;
	const char *search; /* strategy by which settings are found, see strategy.h; NULL: auto */
	const PgmlSearchSetting *search_space;
	int n_search_space;
	PgmlWarmStart warm_start;        /* for the caller, who gives history accordingly */
	const PgmlWarmModel *warm_model; /* what other trainings found, see warm.h */
	int n_warm_models;
	const PgmlMonotone *monotone; /* a target that is a number or has two classes */
	int n_monotone;
	bool
		limits_interactions; /* columns interact only within these groups; one in none of them with no other */
	const PgmlColumnGroup *interactions;
	int n_interactions;
	int folds;             /* 0 = choose; 1 = one holdout part; k >= 2 = cross-validation */
	bool no_refit;         /* one holdout part: the model that was validated is the model */
	bool fast;             /* few models, refitted on all training rows, instead of all folds' */
	double max_predict_us; /* microseconds that a prediction may take; 0 = as the mode has it */
	int ensemble;          /* trials that may predict together; 0 = default, 1 = only the best */
	const PgmlCost *costs; /* of errors; those not listed cost 1, no error costs nothing */
	int n_costs;           /* 0: the most probable class is predicted, or what suits the metric */
	int max_levels;        /* 0 = default */
	const char *blas_library; /* NULL = libopenblas.so.0 */
	PgmlSplit *split;         /* in/out: rules fixed by earlier versions of the model */
	const uint8_t *
		champion; /* image of the deployed version, to be scored on the same test rows; NULL = none */
	size_t champion_len;
} PgmlTrainOptions;

typedef enum PgmlTrialStatus
{
	PGML_TRIAL_OK,
	PGML_TRIAL_FAILED,
	PGML_TRIAL_TIMEOUT, /* ended by the deadline with a usable model */
	PGML_TRIAL_SKIPPED  /* not tried, error says why */
} PgmlTrialStatus;

typedef struct PgmlTrial
{
	int number; /* from 1, in the order tried */
	const PgmlLearner *learner;
	PgmlParams params;
	PgmlTrialSource source;
	int64_t source_model; /* id of the model of a similar table; else 0 */
	PgmlTrialStatus status;
	double validation_score; /* of the metric on validation rows / out of fold; NaN when failed */
	int64_t rows;            /* rows learned from (per fold) */
	int folds;               /* 1 = holdout */
	int best_iteration;      /* mean over folds */
	double fit_cpu;          /* seconds, all folds */
	double fit_wall;
	bool chosen;
	double weight; /* in the final model */
	double fold_score
		[PGML_MAX_FOLDS]; /* the metric on each fold's rows; NaN: undefined, or the fold was not reached */
	/* Of what the trial has in the final model, or would have; 0 when it failed. */
	double predict_us; /* estimated: of one row among many */
	int64_t bytes;
	PgmlStatus failure; /* PGML_OK unless it failed */
	char error[256];
} PgmlTrial;

/* A metric on a part of the data. */
typedef struct PgmlScore
{
	const PgmlMetric *metric;
	double value; /* NaN when undefined there */
	double low;
	double high;
} PgmlScore;

/* How much worse the metric gets on test rows when the values of a column are shuffled; NaN for columns that are not used. */
typedef struct PgmlImportance
{
	double value;
	double low; /* ends of the 95 % interval over shuffles */
	double high;
} PgmlImportance;

#define PGML_MAX_TRIALS  200
#define PGML_MAX_SCORES  16
#define PGML_MAX_LEAKS   16
#define PGML_MAX_NOTICES 64

typedef struct PgmlTrainResult
{
	PgmlTask task;
	int n_classes;
	const char **classes;
	const PgmlMetric *metric;
	const char *algorithm;         /* the learner, or "ensemble" of several */
	const char *why;               /* a sentence that says why it was chosen; NULL: no memory */
	int64_t rows_total, rows_read; /* of the source; held in memory */
	int64_t rows_train, rows_test, rows_reserved, rows_no_target;
	int32_t n_inputs, n_features;
	int n_trials;
	PgmlTrial *trials;
	int n_test_scores; /* all metrics of the task on the test rows; 0 without test rows */
	PgmlScore test_scores[PGML_MAX_SCORES];
	PgmlScore score; /* the metric on the test rows; without test rows, the validation score */
	bool score_is_validation;
	double baseline;   /* the metric of the constant predictor on the same rows */
	double predict_us; /* measured: CPU time of a test row among many; NaN without test rows */
	PgmlMeta meta;     /* the table in a few numbers, for later trainings */
	const PgmlImportance *importance; /* per input of the recipe; NULL: not measured */
	bool champion_scored;
	double champion_score;     /* of the deployed version on the same test rows */
	char champion_error[256];  /* why it could not be scored */
	const char *champion_uses; /* a column that it uses and that is excluded now; NULL: none */
	int n_leaks;
	PgmlLeak leaks[PGML_MAX_LEAKS];
	int n_notices; /* sentences for the user, in order */
	const char *notices[PGML_MAX_NOTICES];
	bool notice_is_warning[PGML_MAX_NOTICES];
	PgmlExecution execution; /* what was executed, to repeat it */
	const char
		*not_repeated; /* of pgml_automl_repeat(): why there is no image; NULL: there is one */
	PgmlBuf image;
} PgmlTrainResult;

/* Refuse algorithms and hyperparameters that no training could use; needs no data. pgml_automl() does it too. */
extern PgmlStatus pgml_automl_check(const PgmlTrainOptions *options, PgmlError *error);

/* Train. Result strings live in arena; result->image must be freed with pgml_buf_free. */
extern PgmlStatus pgml_automl(const PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options,
							  PgmlArena *arena, PgmlTrainResult *result);

/*
 * Execute again what a training has executed: with the same data, options, seed and split rules as it began with, by the same code on the
 * same kind of processor, result->image is the same to the last byte.  No clock matters: options->time_budget and max_trials are not
 * looked at.  Nothing is scored.  Columns that were not there then are left out.  Where the data is not the same, nothing is trained and result->not_repeated says what is different;
 * result->execution tells what was read.  Fails as pgml_automl() does before its first trial.
 */
extern PgmlStatus pgml_automl_repeat(const PgmlEnv *env, const PgmlTable *table,
									 PgmlTrainOptions *options, const PgmlExecution *execution,
									 PgmlArena *arena, PgmlTrainResult *result);

#endif
