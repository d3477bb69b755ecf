/*
 * training.h - the state of one training, shared by the files of search/.
 */
#ifndef PGML_SEARCH_TRAINING_H
#define PGML_SEARCH_TRAINING_H

#include "core/blas.h"
#include "core/par.h"
#include "model/scorer.h"
#include "prep/recipe.h"
#include "prep/target.h"
#include "search/automl.h"
#include "stats/conformal.h"
#include "stats/stack.h"

#define PGML_MAX_CANDIDATES PGML_MAX_ENSEMBLE /* trials kept for the ensemble */

/* Time that fitting again on all training rows takes, for a trial with one validation part of time 1. */
#define PGML_REFIT_COST 1.2

/* What a trial leaves behind: one payload per fold, and predictions for the rows it was validated on. */
typedef struct TrialModel
{
	PgmlTrial *trial;
	PgmlParams params; /* as the fits got them */
	PgmlFit fit[PGML_MAX_FOLDS];
	PgmlClock clock[PGML_MAX_FOLDS]; /* what the deadline decided in each fit */
	int n_fits;
	int64_t max_payload;
	bool refitted; /* the only fit is to all training rows; the folds' clocks remain */
	PgmlClock refit_clock;
	int64_t refit_max_payload;
	PgmlArena *arena;       /* of the predictions */
	double *oof;            /* n_train x outputs, NaN for rows that were not validated */
	double seconds_per_row; /* that all payloads together take to predict; 0 = not measured */
} TrialModel;

/* What memory allows a trial. */
typedef struct TrialMemory
{
	bool fits;           /* else it is not worth beginning */
	bool frugal;         /* a fit that runs alone may not use all threads either */
	int side_by_side;    /* folds */
	int64_t max_payload; /* of a fold; 0 = no bound */
	int64_t payload;     /* of a fold, as a rule */
	int64_t bytes;       /* that it takes while it runs, as a rule */
} TrialMemory;

/* Rows a score is computed on, with everything the metrics need. */
typedef struct Scored
{
	int64_t n;
	const int32_t *rows; /* table rows */
	double *y;
	double *w;
	double *p;
	int32_t *group; /* dense group numbers, or NULL */
	int32_t n_groups;
} Scored;

typedef struct Training
{
	const PgmlEnv *env;
	const PgmlTable *table;
	PgmlTrainOptions *options;
	PgmlArena *arena;
	PgmlTrainResult *result;
	double started;
	double
		seconds_per_round; /* of boosting on all training rows with one thread's work; 0 = unknown */
	double seconds_per_oblivious_round; /* the same of oblivious_boosting */

	int target_col;
	PgmlTarget target;
	int outputs;
	double *weight;  /* per table row or NULL */
	uint64_t *group; /* per table row or NULL */
	double *time;    /* per table row or NULL */

	int64_t n_weightless; /* rows with a target left out because their weight is 0 */
	int32_t *train;       /* table rows */
	int64_t n_train;
	int32_t *test;
	int64_t n_test;

	double quantile;    /* of the target, that models are asked to predict; 0: none */
	PgmlMetric pinball; /* for it */

	PgmlBuf recipe_bytes;
	PgmlRecipe recipe;
	PgmlMatrix x;
	PgmlShape shape;

	const PgmlConstraints *constraints; /* NULL: none */

	double rows_share;     /* of its rows to learn from that a fold's fit gets */
	int folds;             /* 1 = one holdout part (fold 0) */
	const char *folds_why; /* so many, in words */
	uint8_t *fold;         /* per training row; with one holdout part, 0 = validation, 1 = not */

	bool stacked;                       /* else the chosen models are averaged */
	double stack[PGML_MAX_CANDIDATES];  /* the models' weights then, 0: not chosen */
	double centre[PGML_MAX_CANDIDATES]; /* what these are believed to be near to */

	PgmlTrialSource source; /* of the settings that are tried now */
	int64_t source_model;

	PgmlDecision decision;     /* how classes are predicted; n_classes = 0: the most probable one */
	PgmlErrorSize error_size;  /* of the chosen models, where the target is a number */
	Scored scored;             /* the test rows, or without any those that validate */
	struct Champion *champion; /* NULL: none, or it cannot predict here */
	double other_seconds;      /* estimate for scores and champion */
	const PgmlTrial *best;     /* so far, NULL: none */
	double refit_seconds;      /* kept for fitting the best models of folds again on all rows */
	int short_trials;          /* that memory ended early */

	PgmlBlas blas;
	bool have_blas;
	PgmlBins *bins; /* of max_bin bins, made by the first trial that needs them */
	int bins_max_bin;

	const PgmlExecution *repeats; /* what is executed again; NULL: this training decides itself */
	const PgmlExecutedTrial *repeated; /* the trial of it that is at work */
} Training;

/*
 * automl.c: a training in arena, not begun, and an empty result; env, a copy for the training, gets the deadline of the time budget unless it has
 * one.  Its recipe_bytes are the caller's to free.
 */
extern PgmlStatus training_init(PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options,
								PgmlArena *arena, PgmlTrainResult *result, Training **training);

/* automl.c: the data prepared and dealt to folds: what a training and a repetition begin with. */
extern PgmlStatus training_open(Training *t);

/* automl.c: all that comes before the first model, and the constant predictor, which is the caller's to free whatever the outcome. */
extern PgmlStatus training_start(Training *t, TrialModel *baseline);

/* automl.c: what is known of the data, for the result. */
extern void training_fill_result(const Training *t);

/*
 * automl.c: seconds that the end of the training is kept, that the search may still take, and that a trial of the learner may take (0: as many as it
 * likes; what it does not use is left to the next), when the best model takes seconds_per_row to predict.
 */
extern double training_reserved_seconds(const Training *t, double seconds_per_row);
extern double training_search_seconds(const Training *t, double seconds_per_row);
extern double training_trial_seconds(const Training *t, const PgmlLearner *learner,
									 double seconds_per_row);

/* automl.c: has another trial of the learner a chance to end in time? */
extern bool training_worth_beginning(const Training *t, const PgmlLearner *learner,
									 double seconds_per_row);

/* automl.c: may there be another trial when so many count for max_trials? */
extern bool training_may_go_on(const Training *t, int tried);

/* automl.c: how memory lets the setting be tried while `kept` bytes of models are kept; or why it cannot be tried, else NULL. */
extern PgmlStatus training_admit(Training *t, const PgmlLearner *learner, const PgmlParams *params,
								 int64_t kept, TrialMemory *memory, const char **why);

/* Add a sentence for the user. */
extern void training_notice(Training *t, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Seconds left before env->deadline; a large number without one. */
extern double training_seconds_left(const Training *t);

/*
 * selection.c: true when the user's list of algorithms (none: all but those only_when_named) selects the learner, and it honours
 * the constraints, if there are any.
 */
extern bool training_selects(const PgmlTrainOptions *options, const PgmlLearner *learner);

/* selection.c: warn of learners that were named and are not for the task; fails when there is no other one. */
extern PgmlStatus training_check_task(Training *t);

/* selection.c: fails when a hyperparameter fits the task for none of the selected learners that have it. */
extern PgmlStatus training_check_settings(Training *t);

/* selection.c: is the learner in the user's list, not only left over by it? */
extern bool training_names(const PgmlTrainOptions *options, const PgmlLearner *learner);

/* selection.c: the quantile that the user's hyperparams make a selected learner predict; 0: none. */
extern double training_quantile(const PgmlTrainOptions *options);

/* selection.c: a metric as the training computes it, at its quantile; NULL when it is of other tasks, or models predict no quantile. */
extern const PgmlMetric *training_metric_for(const Training *t, const PgmlMetric *metric);

/* selection.c: the names of the learners for one of the tasks, for hints. */
extern void training_list_algorithms(unsigned tasks, char *list, size_t size);

/* Fix a learner's setting as the user wants it; fails as pgml_params_set() and pgml_params_set_text() do. */
extern PgmlStatus training_set_hyperparam(const PgmlLearner *learner, PgmlParams *params,
										  const PgmlHyperparam *hp, PgmlError *error);

/*
 * Set what the options fix; what the learner does not know is for others.  A name that is the learner's own counts where it is given besides another
 * one of the setting, which is then meant for a learner whose own it is.
 */
extern void training_set_hyperparams(const PgmlLearner *learner, PgmlParams *params,
									 const PgmlTrainOptions *o);

/* Seconds beyond the deadline that the end of a training may take. */
extern double training_grace(const Training *t);

/* prepare.c: columns, target, split, recipe, matrix, leaks. */
extern PgmlStatus training_prepare(Training *t);

/* prepare.c: column called name, or an error that says what it was named as and lists the columns. */
extern PgmlStatus training_find_column(Training *t, const char *name, const char *role, int *col);

/* Does the user want constraints? */
static inline bool
training_constrains(const PgmlTrainOptions *options)
{
	return options->n_monotone > 0 || options->limits_interactions;
}

/*
 * constraints.c: the user's constraints, from columns, which are there, to features.  excluded and reasons: per column of the table, those that are
 * no features and why.  Fails for columns that cannot keep to what is asked, and says which columns and learners are left out.
 */
extern PgmlStatus training_read_constraints(Training *t, const bool *excluded,
											const char *const *reasons);

/* rows.c: read target, weights, groups and time, then split the rows that have a target and a weight. */
extern PgmlStatus training_read_rows(Training *t);

/* rows.c: say what is remarkable about the split. */
extern void training_report_rows(Training *t);

/* probe.c: how fast boosting is here and now, when there is a time budget. */
extern PgmlStatus training_probe_speed(Training *t);

/* folds.c: how validation is done. */
extern PgmlStatus training_choose_folds(Training *t);

/* schedule.c: learner and settings of trial number i of the portfolio, for training_portfolio(); false when there are no more. */
extern bool training_schedule(const Training *t, int i, const PgmlLearner **learner, int *variant);

/* portfolio.c: give a setting a value; nothing when the learner has no such setting. */
extern void training_set(const PgmlLearner *learner, PgmlParams *params, const char *name,
						 double value);

/* portfolio.c: a number of rounds that is given means that many: nothing ends them early, unless that is given, too. */
extern void training_keep_rounds(const PgmlLearner *learner, PgmlParams *params);

/* portfolio.c: settings number i of the learner, user-fixed ones applied; false when there are no more, or they do not suit the data. */
extern bool training_portfolio(const Training *t, const PgmlLearner *learner, int i,
							   PgmlParams *params);

/* portfolio.c: wall seconds that a trial of the setting takes when it stops as early as is usual; NaN: its learner's speed is not known. */
extern double training_expected_seconds(const Training *t, const PgmlLearner *learner,
										const PgmlParams *params);

/*
 * portfolio.c: which settings of the portfolio are these, apart from what follows from data and time, with the user's fixed ones in
 * both; -1 for others.
 */
extern int training_variant(const Training *t, const PgmlLearner *learner, const PgmlParams *found);

/*
 * portfolio.c: settings that another training found, with rounds and learning rate for the time that is left here and the
 * user's fixed ones; false when they do not suit the data.
 */
extern bool training_found_settings(const Training *t, const PgmlLearner *learner,
									const PgmlParams *found, PgmlParams *params);

/* meta.c: the table in a few numbers, into the result; without memory for it they stay unknown.  Fails only when stopped. */
extern PgmlStatus training_describe_table(Training *t);

/* schedule.c: is the learner selected and for the task, and was it asked for or suits the size of the table? */
extern bool training_wants(const Training *t, const PgmlLearner *learner);

/* schedule.c: the share of the search's time after which a trial of the learner is ended. */
extern double training_time_share(const Training *t, const PgmlLearner *learner);

/* schedule.c: may other settings of the learner come near the best model?  True when none was tried yet. */
extern bool training_is_promising(const Training *t, const PgmlLearner *learner);

/* trial.c: fit on every fold, score, record. A failed fit is recorded and is not an error. */
extern PgmlStatus training_run_trial(Training *t, const PgmlLearner *learner,
									 const PgmlParams *params, const TrialMemory *memory,
									 double seconds, TrialModel *model);
extern void training_free_model(TrialModel *model);

/*
 * memory.c: what the memory that is left allows, when `kept` bytes of payloads and as many folds will be in the image
 * with it.  Whether a trial fits and how large it may grow do not depend on the number of threads.
 */
extern PgmlStatus training_plan_memory(Training *t, const PgmlLearner *learner,
									   const PgmlParams *params, int folds, int64_t kept,
									   TrialMemory *memory);

/* Bytes of a model's payloads. */
extern int64_t training_model_bytes(const TrialModel *model);

/* cost.c: nanoseconds per row that predictions of all the model's payloads take in blocks on one core, estimated. */
extern double training_predict_ns(const Training *t, const TrialModel *model);

/* The same of what the model leaves in the image: one payload when it is refitted. */
extern double training_member_ns(const Training *t, const TrialModel *model);

/* Note in the trial's row what the model leaves in the image, at present: the time of predictions and bytes. */
extern void training_note_cost(const Training *t, const TrialModel *model);

/* Microseconds per row that predictions may take. */
extern double training_max_predict_us(const Training *t);

/* members.c: is a member of this learner fitted again on all training rows, if time allows? */
extern bool training_refits(const Training *t, const PgmlLearner *learner);

/* Seconds that it takes to fit the model's settings again on all training rows. */
extern double training_refit_seconds(const Training *t, const TrialModel *model);

/* The dataset of a fit: rows to learn from, rows to validate on (NULL: none). */
extern PgmlStatus training_dataset(Training *t, const PgmlLearner *learner,
								   const PgmlParams *params, const int32_t *rows, int64_t n,
								   const int32_t *valid_rows, int64_t n_valid, PgmlDataset *data);

/*
 * trial.c: can the payload that the learner made be read from an image?  PGML_ERR_NUMERIC if it cannot, as where numbers are too large for the
 * form that is stored: one such model must not cost the training.
 */
extern PgmlStatus training_check_payload(const Training *t, const PgmlLearner *learner,
										 const PgmlBuf *payload, PgmlError *error);

/*
 * ensemble.c: what the models with a weight predict together, stacked if they are, out of fold, for training row i; p has room for its
 * outputs.
 */
extern void training_out_of_fold(const Training *t, const TrialModel *models, const double *weight,
								 int n_models, int64_t i, double *p);

/*
 * ensemble.c: weights (they add up to 1) of the models, best first, by their out-of-fold predictions, so that predictions do not take longer
 * than they may; `baseline` is the metric of the constant predictor.
 */
extern PgmlStatus training_ensemble(Training *t, const TrialModel *models, int n_models,
									double baseline, double *weight);

/* ensemble.c: models that may predict together, at most. */
extern int training_most_models(const PgmlTrainOptions *options);

/* Rows of features that training_predict() gathers at a time at most: the size of its block in rows. */
#define PREDICT_BLOCK 1024

/*
 * trial.c: predictions for rows of the matrix.  PGML_ERR_CANCELLED when stopped, PGML_ERR_LIMIT when they would not all be there at
 * the time `until` (0: no matter when); neither with a message.
 */
extern PgmlStatus training_predict(const Training *t, const PgmlLearner *learner,
								   const PgmlBuf *payload, const int32_t *rows, int64_t n,
								   double until, float *block, double *out);

/*
 * members.c: the image of the chosen models.  Time and memory may leave room for a part of them only: weight becomes what is
 * used.  The models' payloads are freed.
 */
extern PgmlStatus training_build_image(Training *t, TrialModel *models, double *weight,
									   int n_models, TrialModel *baseline);

/* Seconds from the end of the search to that of the training, for a model that takes these seconds per row. */
extern double training_evaluation_seconds(const Training *t, double seconds_per_row);

/*
 * decide.c: the costs of errors that the user gave, as t->decision.  PGML_ERR_BADARG for labels that are no classes.
 */
extern PgmlStatus training_read_costs(Training *t);

/*
 * decide.c: what the models with a weight predict out of fold, for every step-th validated row in the order of the training rows, with
 * what metrics need; in arena.  part: the fold that each row was left out of, or with one part held out one of five in turn; room for
 * the training rows, or NULL.  PGML_ERR_CANCELLED, PGML_ERR_NOMEM, PGML_ERR_LIMIT.
 */
extern PgmlStatus training_average(const Training *t, const TrialModel *models,
								   const double *weight, int n_models, int64_t step,
								   PgmlArena *arena, uint8_t *part, PgmlPredictions *out);

/*
 * why.c: say in result->why why the models with a weight predict, from the trials' scores and the limits.  given_up: per model, why it was
 * taken out of the model at the end; NULL: it was not.  Their out-of-fold predictions must be there.  Without memory nothing is said.
 */
extern PgmlStatus training_explain_choice(Training *t, const TrialModel *models,
										  const double *weight, int n_models,
										  const char *const *given_up);

/* Is the metric one of predicted classes for which another threshold than one half is learned? */
extern bool training_tunes_threshold(const Training *t);

/* The training's metric; of two classes at its best threshold, where one is learned.  env is the caller's. */
extern PgmlStatus training_metric(const Training *t, const PgmlEnv *env, const PgmlPredictions *p,
								  double *value);

/*
 * stack.c: whether to stack the models instead of averaging them; t->stacked, t->stack, and in weight the share of each model then.
 * They are not where few rows validate, where it does not pay, under constraints, without memory, and as models that people read.
 */
extern PgmlStatus training_choose_stack(Training *t, const TrialModel *models, double *weight,
										int n_models);

/*
 * stack.c: fit the stack of the models with a weight, of which so many folds are in the image, and put it into the image, which has no section
 * behind the members yet.
 */
extern PgmlStatus training_finish_stack(Training *t, const TrialModel *models, double *weight,
										const int *folds, int n_models);

/* stack.c: put t->stack into the image as it is; t->stacked is false afterwards when memory has no room for it. */
extern PgmlStatus training_put_stack(Training *t, const double *weight, const int *folds,
									 int n_models);

/*
 * Learn from the out-of-fold predictions of the models with a weight how classes are predicted best: t->decision, unless there are costs.
 */
extern PgmlStatus training_choose_decision(Training *t, const TrialModel *models,
										   const double *weight, int n_models);

/* Put t->decision into the image, behind all else. */
extern PgmlStatus training_put_decision(Training *t);

/* evaluate.c: targets and weights of the rows that will be scored, and room for predictions. */
extern PgmlStatus training_prepare_scores(Training *t);
extern PgmlPredictions training_predictions(const Training *t);

/* Why the training's metric is not defined on these rows. */
extern const char *training_undefined(const Training *t, const int32_t *rows, int64_t n);

/* List the training rows that validate; rows has room for all training rows. */
extern int64_t training_validated(const Training *t, int32_t *rows);

/*
 * Rows of a block in which n rows are predicted by a scorer: as many as suit a scorer of large blocks, but so few that each
 * thread has some and that they do not take long.
 */
extern int64_t training_image_rows(const Training *t, const PgmlScorer *scorer, int64_t n);

/*
 * calibrate.c: learn from the out-of-fold predictions of the models with a weight how large errors are; then, when the rows
 * to score have been predicted, add the calibration of intervals and sets of classes to the image.
 */
extern PgmlStatus training_learn_errors(Training *t, const TrialModel *models, const double *weight,
										int n_models);
extern PgmlStatus training_calibrate(Training *t);

/*
 * background.c: add rows of the training data to the image when a model with a weight is explained by means of them; what memory does not
 * allow costs the explanations, not the training.
 */
extern PgmlStatus training_add_background(Training *t, const TrialModel *models,
										  const double *weight, int n_models);

/*
 * Draw background rows, at most PGML_BACKGROUND_ROWS: one drawn from each of as many equal parts, by env->seed.
 * Returns their number; row has the training rows, share the parts of their weight.  Rows with hardly any weight are left out.
 */
extern int32_t training_draw_background(const Training *t, int32_t *row, double *share);

/* evaluate.c: predict the rows to score, and put what else belongs to it into the image: calibration, background rows, decision. */
extern PgmlStatus training_complete_image(Training *t, const TrialModel *models,
										  const double *weight, int n_models,
										  const TrialModel *baseline);

/*
 * members.c: the image of the repeated trials, with the members, refits and weights of t->repeats.  *why: a refit that fails now; there is no
 * image then.
 */
extern PgmlStatus training_repeat_image(Training *t, TrialModel *models, const char **why);

/*
 * replay.c: note what the training is made from, once folds are chosen, and what it has made of it (folds: members of each model).  Without memory for
 * that, result->execution has no trials in the end.
 */
extern PgmlStatus training_note_data(Training *t);
extern void training_note_members(Training *t, const TrialModel *models, const double *weight,
								  const int *folds, int n_models);

/* Scores of the image and the champion; the image is completed. */
extern PgmlStatus training_evaluate(Training *t, const TrialModel *models, const double *weight,
									int n_models, const TrialModel *baseline);

/* importance.c: permutation importance of the columns, into the result, when time and memory allow. */
extern PgmlStatus training_measure_importance(Training *t);

/* champion.c: open the deployed version and see how long it takes; score it. */
extern PgmlStatus training_open_champion(Training *t);
extern PgmlStatus training_score_champion(Training *t);

#endif
