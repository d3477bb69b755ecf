/*
 * replay.c - what a training has executed: noted, and executed again, see execution.h.
 *
 * The trials that are in the model are fitted again with the same code, settings, folds and seed.  Instead of a clock they have notes of what it
 * decided.  Nothing is searched and nothing is scored; weights, refits and members are those that were chosen.  What is learned from
 * out-of-fold and test predictions (thresholds, calibration) is learned again.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

/* Bytes that are hashed between two looks at the stop flag, and values that are gathered to be hashed together. */
#define HASH_BYTES  ((size_t) 1 << 22)
#define HASH_VALUES 4096

/* ---- fingerprints ---- */

/* What the loops over columns share. */
typedef struct Fingerprint
{
	const Training *t;
	PgmlReadColumn *columns;
	uint64_t *features; /* hash of each feature */
} Fingerprint;

/* Hash of n bytes, to which h leads. */
static PgmlStatus
hash_bytes(const PgmlEnv *env, const void *data, size_t n, uint64_t *h)
{
	for (size_t from = 0; from < n; from += HASH_BYTES)
	{
		if (pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		*h = pgml_hash64((const char *) data + from, n - from < HASH_BYTES ? n - from : HASH_BYTES,
						 *h);
	}
	return PGML_OK;
}

/* Values of a column as they were read; texts as codes, which count in the order of the rows, and the texts. */
static PgmlStatus
hash_column(void *arg, int64_t number, int thread)
{
	const Fingerprint *f = arg;
	const PgmlEnv *env = f->t->env;
	const PgmlColumn *col = &f->t->table->cols[number];
	size_t n = (size_t) f->t->table->nrows;
	uint64_t *h = &f->columns[number].hash;

	(void) thread;
	*h = pgml_hash_combine((uint64_t) col->kind, (uint64_t) col->origin);
	if (col->kind != PGML_KIND_TEXT)
		return col->single != NULL ? hash_bytes(env, col->single, n * sizeof(float), h) :
									 hash_bytes(env, col->num, n * sizeof(double), h);
	for (int32_t code = 0; code < pgml_dict_size(col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(col->dict, code, &len);

		if (code % HASH_VALUES == 0 && pgml_stopped(env))
			return PGML_ERR_CANCELLED;
		*h = pgml_hash64(s, len, *h);
	}
	return hash_bytes(env, col->code, n * sizeof(int32_t), h);
}

/* Values of a feature in the training rows and the test rows, in their order. */
static PgmlStatus
hash_feature(void *arg, int64_t number, int thread)
{
	const Fingerprint *f = arg;
	const Training *t = f->t;
	const int32_t *rows[2] = { t->train, t->test };
	int64_t n[2] = { t->n_train, t->n_test };
	float values[HASH_VALUES];
	uint64_t h = (uint64_t) number;

	(void) thread;
	for (int part = 0; part < 2; part++)
		for (int64_t from = 0; from < n[part]; from += HASH_VALUES)
		{
			int64_t size = n[part] - from < HASH_VALUES ? n[part] - from : HASH_VALUES;

			if (pgml_stopped(t->env))
				return PGML_ERR_CANCELLED;
			for (int64_t i = 0; i < size; i++)
				values[i] = t->x.col[number][rows[part][from + i]];
			h = pgml_hash64(values, (size_t) size * sizeof(float), h);
		}
	f->features[number] = h;
	return PGML_OK;
}

/* The target of the rows, and all that goes with it. */
static PgmlStatus
hash_rows(const Training *t, const int32_t *rows, int64_t n, uint64_t *h)
{
	*h = pgml_hash_combine(*h, (uint64_t) n);
	for (int64_t i = 0; i < n; i++)
	{
		int32_t row = rows[i];

		if (i % HASH_VALUES == 0 && pgml_stopped(t->env))
			return PGML_ERR_CANCELLED;
		*h = pgml_hash_double(t->target.y[row], *h);
		if (t->weight != NULL)
			*h = pgml_hash_double(t->weight[row], *h);
		if (t->group != NULL)
			*h = pgml_hash_combine(*h, t->group[row]);
		if (t->time != NULL)
			*h = pgml_hash_double(t->time[row], *h);
	}
	return PGML_OK;
}

/* All hashes into the execution. */
static PgmlStatus
take_fingerprint(Training *t, Fingerprint *f, PgmlExecution *e)
{
	PGML_TRY(pgml_par_for(t->env, t->table->ncols, hash_column, f));
	PGML_TRY(pgml_par_for(t->env, t->x.nfeatures, hash_feature, f));
	e->prepared = pgml_hash64(t->recipe_bytes.data, t->recipe_bytes.len, (uint64_t) t->target.task);
	for (int32_t i = 0; i < t->x.nfeatures; i++)
		e->prepared = pgml_hash_combine(e->prepared, f->features[i]);
	for (int k = 0; t->target.task != PGML_TASK_REGRESSION && k < t->target.n_classes; k++)
		e->prepared = pgml_hash64(t->target.classes[k], strlen(t->target.classes[k]), e->prepared);
	PGML_TRY(hash_rows(t, t->train, t->n_train, &e->prepared));
	return hash_rows(t, t->test, t->n_test, &e->prepared);
}

/* What code runs here: kernels that fuse multiply and add, or not, may round otherwise. */
static const char *
describe_cpu(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return "avx512";
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return "avx2";
#endif
	return "portable";
}

static PgmlStatus
note_data(Training *t)
{
	PgmlExecution *e = &t->result->execution;
	size_t n = (size_t) t->table->ncols;
	Fingerprint f = { .t = t,
					  .columns = pgml_zalloc(t->arena, n + 1, sizeof(PgmlReadColumn)),
					  .features =
						  pgml_zalloc(t->arena, (size_t) t->x.nfeatures + 1, sizeof(uint64_t)) };

	if (f.columns == NULL || f.features == NULL)
		return PGML_ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		f.columns[i].name = t->table->cols[i].name;
	e->rows = t->table->nrows;
	e->n_columns = (int) n;
	snprintf(e->cpu, sizeof(e->cpu), "%s", describe_cpu());
	if (t->have_blas)
		memcpy(e->blas, t->blas.name, sizeof(e->blas));
	PGML_TRY(take_fingerprint(t, &f, e));
	e->columns = f.columns;
	return PGML_OK;
}

PgmlStatus
training_note_data(Training *t)
{
	PgmlStatus status = note_data(t);

	if (status == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(t->env);
	return pgml_is_memory(status) ? PGML_OK : status;
}

/* ---- noting what is in the model ---- */

/* A copy of what a clock has noted. */
static bool
copy_notes(PgmlArena *arena, const PgmlClock *clock, PgmlFitNotes *out)
{
	const PgmlNote *notes = pgml_clock_notes(clock, &out->n);
	PgmlNote *copy = pgml_array(arena, (size_t) out->n + 1, sizeof(PgmlNote));

	if (copy == NULL)
		return false;
	if (out->n > 0)
		memcpy(copy, notes, (size_t) out->n * sizeof(PgmlNote));
	out->note = copy;
	return true;
}

/* Note one model. */
static bool
note_member(Training *t, const TrialModel *model, double weight, double stack, int members,
			PgmlExecutedTrial *e)
{
	*e = (PgmlExecutedTrial){ .number = model->trial->number,
							  .learner = model->trial->learner,
							  .params = model->params,
							  .weight = weight,
							  .stack = stack,
							  .members = members,
							  .max_payload = model->max_payload,
							  .n_fits = t->folds,
							  .refitted = model->refitted,
							  .refit_max_payload = model->refit_max_payload };
	e->fit = pgml_zalloc(t->arena, (size_t) e->n_fits, sizeof(PgmlFitNotes));
	if (e->fit == NULL || !copy_notes(t->arena, &model->refit_clock, &e->refit))
		return false;
	e->notes_lost = model->refit_clock.noted.failed;
	for (int f = 0; f < model->n_fits; f++)
		e->memory_ended |= model->fit[f].out_of_memory;
	for (int f = 0; f < e->n_fits; f++)
	{
		if (!copy_notes(t->arena, &model->clock[f], &e->fit[f]))
			return false;
		e->notes_lost |= model->clock[f].noted.failed;
	}
	return true;
}

void
training_note_members(Training *t, const TrialModel *models, const double *weight, const int *folds,
					  int n_models)
{
	PgmlExecution *e = &t->result->execution;

	e->n_trials = 0;
	e->max_bin = t->bins_max_bin;
	e->stacked = t->stacked;
	e->trials = pgml_zalloc(t->arena, (size_t) n_models, sizeof(PgmlExecutedTrial));
	if (e->columns == NULL || e->trials == NULL)
		return;
	for (int m = 0; m < n_models; m++)
		if (weight[m] > 0 && !note_member(t, &models[m], weight[m], t->stack[m], folds[m],
										  &e->trials[e->n_trials++]))
		{
			e->n_trials = 0;
			return;
		}
}

/* ---- executing it again ---- */

/* There will be no image. */
static void give_up(Training *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
give_up(Training *t, const char *fmt, ...)
{
	char words[600];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(words, sizeof(words), fmt, args) >= (int) sizeof(words))
		words[pgml_clip_end(words, sizeof(words) - 1)] = '\0';
	va_end(args);
	t->result->not_repeated = pgml_strdup(t->arena, words);
	if (t->result->not_repeated == NULL)
		t->result->not_repeated = "memory does not suffice to say why";
}

/* The column of that name; NULL: none. */
static const PgmlReadColumn *
find_column(const PgmlExecution *e, const char *name)
{
	for (int i = 0; i < e->n_columns; i++)
		if (strcmp(e->columns[i].name, name) == 0)
			return &e->columns[i];
	return NULL;
}

/* A column that was there and is not any more, or NULL. */
static const char *
lost_column(const PgmlExecution *then, const PgmlTable *now)
{
	for (int i = 0; i < then->n_columns; i++)
		if (pgml_table_next(now, then->columns[i].name, 0) < 0)
			return then->columns[i].name;
	return NULL;
}

/* The table without columns that were not there then. */
static PgmlStatus
leave_out_new(const PgmlEnv *env, PgmlArena *arena, const PgmlExecution *then, PgmlTable *table)
{
	PgmlColumn *cols = pgml_array(arena, (size_t) table->ncols + 1, sizeof(PgmlColumn));
	int n = 0;

	if (cols == NULL)
		return pgml_fail_nomem(env, "the columns");
	for (int i = 0; i < table->ncols; i++)
		if (find_column(then, table->cols[i].name) != NULL)
			cols[n++] = table->cols[i];
	table->cols = cols;
	table->ncols = n;
	return PGML_OK;
}

/* Say what is different in the data at first sight; false: nothing. */
static bool
say_plain_difference(Training *t)
{
	const PgmlExecution *then = t->repeats;
	const char *lost = lost_column(then, t->table);

	if (lost != NULL)
		give_up(t, "the data has changed: column \"%.60s\" is not there any more", lost);
	else if (then->rows != t->table->nrows)
		give_up(t, "the data has changed: %lld rows were read then, %lld now",
				(long long) then->rows, (long long) t->table->nrows);
	return t->result->not_repeated != NULL;
}

/* Say what is different in the data, in which something is. */
static void
say_difference(Training *t)
{
	const PgmlExecution *then = t->repeats, *now = &t->result->execution;
	const char *first = NULL;
	int changed = 0;

	if (say_plain_difference(t))
		return;
	for (int i = 0; i < now->n_columns; i++)
	{
		const PgmlReadColumn *column = find_column(then, now->columns[i].name);

		if (column == NULL || column->hash == now->columns[i].hash)
			continue;
		first = first == NULL ? column->name : first;
		changed++;
	}
	if (changed == now->n_columns && changed > 1)
		give_up(t, "the data has changed: as many rows are there, but they are others");
	else if (changed > 0)
		give_up(t, "the data has changed: values of \"%.60s\" are others%s", first,
				changed > 1 ? ", and of other columns" : "");
	else
		give_up(t, "the same values are prepared in another way now, as by another release, or "
				   "where a column has become of another type");
}

/* The data prepared as it was; what cannot be, as there are other rows or columns, is a difference rather than an error. */
static PgmlStatus
open_data(Training *t)
{
	PgmlStatus status = training_open(t);

	if ((status == PGML_ERR_DATA || status == PGML_ERR_BADARG) && say_plain_difference(t))
		return PGML_OK;
	return status;
}

/* Fit the folds of a trial again. */
static PgmlStatus
repeat_trial(Training *t, const PgmlExecutedTrial *e, int number, TrialModel *model)
{
	TrialMemory memory;
	char step[100];
	PgmlStatus status;

	if (e->learner->needs_blas && !t->have_blas)
	{
		give_up(t, "%s needs OpenBLAS, which is not installed now", e->learner->name);
		return PGML_OK;
	}
	snprintf(step, sizeof(step), "trial %d: %s", e->number, e->learner->name);
	pgml_progress(t->env, 0.1 + 0.7 * number / t->repeats->n_trials, step);
	status = training_plan_memory(t, e->learner, &e->params, t->folds, 0, &memory);
	if (status == PGML_OK)
	{
		memory.max_payload = e->max_payload;
		t->repeated = e;
		status = training_run_trial(t, e->learner, &e->params, &memory, 0, model);
		t->repeated = NULL;
	}
	if (status == PGML_ERR_CANCELLED)
		return status;
	if (status != PGML_OK || model->trial->status == PGML_TRIAL_FAILED)
		give_up(t, "trial %d (%s) fails now: %s", e->number, e->learner->name,
				status != PGML_OK ? t->env->error->message : model->trial->error);
	return PGML_OK;
}

/* May a trial be of this training?  *members: how many it adds to the image. */
static bool
is_possible_trial(const Training *t, const PgmlExecutedTrial *e, int *members)
{
	*members += e->members;
	return e->n_fits == t->folds && e->members >= 1 && e->members <= (e->refitted ? 1 : t->folds);
}

/* The folds, trials and weights that only now are known not to be what they were. */
static bool
is_possible(const Training *t)
{
	const PgmlExecution *e = t->repeats;
	double sum = 0;
	int members = 0;

	if (e->n_trials < 1 || e->n_trials > PGML_MAX_CANDIDATES)
		return false;
	for (int i = 0; i < e->n_trials; i++)
	{
		if (!is_possible_trial(t, &e->trials[i], &members))
			return false;
		sum += e->trials[i].weight;
	}
	return fabs(sum - 1) < 1e-6 && members <= PGML_MAX_MEMBERS &&
		   !(e->stacked && t->target.task == PGML_TASK_REGRESSION);
}

static PgmlStatus
repeat_all(Training *t, TrialModel *models, double *weight)
{
	const PgmlExecution *e = t->repeats;
	const char *why = NULL;

	if (e->max_bin > 0)
	{
		PGML_TRY(
			pgml_bins_create(t->env, t->arena, &t->x, t->train, t->n_train, e->max_bin, &t->bins));
		t->bins_max_bin = e->max_bin;
	}
	for (int i = 0; i < e->n_trials; i++)
	{
		weight[i] = e->trials[i].weight;
		PGML_TRY(repeat_trial(t, &e->trials[i], i, &models[i]));
		if (t->result->not_repeated != NULL)
			return PGML_OK;
	}
	PGML_TRY(training_repeat_image(t, models, &why));
	if (why == NULL)
		return training_complete_image(t, models, weight, e->n_trials, &models[0]);
	give_up(t, "a fit to all training rows fails now: %s", why);
	return PGML_OK;
}

static PgmlStatus
repeat(Training *t)
{
	TrialModel *models;
	double weight[PGML_MAX_CANDIDATES];
	PgmlStatus status;

	PGML_TRY(open_data(t));
	if (t->result->not_repeated != NULL)
		return PGML_OK;
	PGML_TRY(training_note_data(t));
	if (t->result->execution.columns == NULL)
		return pgml_fail_nomem(t->env, "the fingerprint of the data");
	if (t->repeats->prepared != t->result->execution.prepared)
	{
		say_difference(t);
		return PGML_OK;
	}
	if (!is_possible(t))
	{
		give_up(t, "what is stored of the training does not go with its data");
		return PGML_OK;
	}
	models = pgml_zalloc(t->arena, (size_t) t->repeats->n_trials, sizeof(TrialModel));
	if (models == NULL)
		return pgml_fail_nomem(t->env, "the trials");
	status = repeat_all(t, models, weight);
	for (int i = 0; i < t->repeats->n_trials; i++)
		training_free_model(&models[i]);
	return status;
}

PgmlStatus
pgml_automl_repeat(const PgmlEnv *env, const PgmlTable *table, PgmlTrainOptions *options,
				   const PgmlExecution *execution, PgmlArena *arena, PgmlTrainResult *result)
{
	PgmlEnv own = *env;
	PgmlTable *known = pgml_zalloc(arena, 1, sizeof(PgmlTable));
	Training *t;
	PgmlStatus status;

	options->time_budget = 0;
	options->max_trials = 0;
	own.deadline = 0;
	PGML_TRY(training_init(&own, known, options, arena, result, &t));
	if (known == NULL)
		return pgml_fail_nomem(env, "the columns");
	*known = *table;
	PGML_TRY(leave_out_new(env, arena, execution, known));
	t->repeats = execution;
	status = repeat(t);
	training_fill_result(t);
	pgml_buf_free(&t->recipe_bytes);
	if (status != PGML_OK)
		pgml_buf_free(&result->image);
	return status;
}
