/* execution.c - what a training has executed to and from jsonb, see execution.h. */
#include "pg/execution.h"

#include <math.h>

#include "pg/json_text.h"
#include "search/automl.h"

/* Bins that fits share, at least and at most. */
#define FEWEST_BINS 2
#define MOST_BINS   255

static void
put_hash(StringInfo out, uint64 value)
{
	appendStringInfo(out, "\"%016llx\"", (unsigned long long) value);
}

/* [number, value, number, value, ...] */
static void
put_notes(StringInfo out, const PgmlFitNotes *notes)
{
	appendStringInfoChar(out, '[');
	for (int64_t i = 0; i < notes->n; i++)
		appendStringInfo(out, "%s%lld, %lld", i > 0 ? ", " : "", (long long) notes->note[i].at,
						 (long long) notes->note[i].value);
	appendStringInfoChar(out, ']');
}

static void
put_integer(StringInfo out, const char *key, int64 value)
{
	json_key(out, key);
	appendStringInfo(out, INT64_FORMAT, value);
}

static void
put_bool(StringInfo out, const char *key, bool value)
{
	json_key(out, key);
	appendStringInfoString(out, value ? "true" : "false");
}

/* All settings by name, as numbers, and the names of those that the user fixed. */
static void
put_params(StringInfo out, const PgmlExecutedTrial *trial)
{
	json_key(out, "params");
	appendStringInfoChar(out, '{');
	for (int i = 0; i < trial->learner->n_params; i++)
	{
		json_key(out, trial->learner->params[i].name);
		json_number(out, trial->params.v[i]);
	}
	appendStringInfoChar(out, '}');
	json_key(out, "given");
	appendStringInfoChar(out, '[');
	for (int i = 0; i < trial->learner->n_params; i++)
		if (trial->params.given[i])
		{
			json_comma(out);
			json_string(out, trial->learner->params[i].name);
		}
	appendStringInfoChar(out, ']');
}

static void
put_trial(StringInfo out, const PgmlExecutedTrial *trial)
{
	json_comma(out);
	appendStringInfoChar(out, '{');
	put_integer(out, "trial", trial->number);
	json_key(out, "algorithm");
	json_string(out, trial->learner->name);
	put_params(out, trial);
	json_key(out, "weight");
	json_number(out, trial->weight);
	json_key(out, "stack");
	json_number(out, trial->stack);
	put_integer(out, "members", trial->members);
	put_integer(out, "max_payload", trial->max_payload);
	put_bool(out, "memory_ended", trial->memory_ended);
	put_bool(out, "notes_lost", trial->notes_lost);
	json_key(out, "fits");
	appendStringInfoChar(out, '[');
	for (int f = 0; f < trial->n_fits; f++)
	{
		if (f > 0)
			appendStringInfoString(out, ", ");
		put_notes(out, &trial->fit[f]);
	}
	appendStringInfoChar(out, ']');
	put_bool(out, "refitted", trial->refitted);
	put_integer(out, "refit_max_payload", trial->refit_max_payload);
	json_key(out, "refit");
	put_notes(out, &trial->refit);
	appendStringInfoChar(out, '}');
}

Jsonb *
execution_write(const PgmlExecution *e, const ExecutionFrame *frame)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	put_integer(&out, "rows", e->rows);
	json_key(&out, "prepared");
	put_hash(&out, e->prepared);
	json_key(&out, "columns");
	appendStringInfoChar(&out, '[');
	for (int i = 0; i < e->n_columns; i++)
	{
		json_comma(&out);
		json_string(&out, e->columns[i].name);
		appendStringInfoString(&out, ", ");
		put_hash(&out, e->columns[i].hash);
	}
	appendStringInfoChar(&out, ']');
	json_key(&out, "cpu");
	json_string(&out, e->cpu);
	json_key(&out, "blas");
	json_string(&out, e->blas);
	put_integer(&out, "folds", e->folds);
	put_integer(&out, "max_bin", e->max_bin);
	put_bool(&out, "stacked", e->stacked);
	put_integer(&out, "max_columns", frame->max_columns);
	json_key(&out, "split");
	if (frame->rules == NULL)
		appendStringInfoString(&out, "null");
	else
		JsonbToCString(&out, &unconstify(Jsonb *, frame->rules)->root, VARSIZE(frame->rules));
	json_key(&out, "trials");
	appendStringInfoChar(&out, '[');
	for (int i = 0; i < e->n_trials; i++)
		put_trial(&out, &e->trials[i]);
	appendStringInfoString(&out, "]}");
	return json_finish(&out);
}

/* ---- reading ---- */

static void
damaged(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("what is stored of the training is damaged: %s", what),
					errhint("Train the model again.")));
}

static int64
get_integer(const Jsonb *object, const char *key, int64 most)
{
	double value = json_get_number(object, key, -1);

	if (!(value >= 0 && value <= (double) most))
		damaged(key);
	return (int64) value;
}

static bool
get_bool(const Jsonb *object, const char *key)
{
	JsonbValue *value = json_get(object, key);

	if (value == NULL || value->type != jbvBool)
		damaged(key);
	return value->val.boolean;
}

static double
get_finite(const Jsonb *object, const char *key)
{
	double value = json_get_number(object, key, NAN);

	if (!isfinite(value))
		damaged(key);
	return value;
}

/* An array, its container and length. */
static JsonbContainer *
get_array(const JsonbValue *value, const char *what, uint32 *n)
{
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		damaged(what);
	*n = JsonContainerSize(value->val.binary.data);
	return value->val.binary.data;
}

/* A text of a list. */
static const char *
read_word(JsonbContainer *array, uint32 i, const char *what)
{
	JsonbValue *value = getIthJsonbValueFromContainer(array, i);

	if (value->type != jbvString)
		damaged(what);
	return json_value_text(value);
}

static uint64
read_hash(const char *text)
{
	char *end = NULL;
	uint64 value = text == NULL ? 0 : strtoull(text, &end, 16);

	if (end == NULL || end == text || *end != '\0')
		damaged("fingerprint");
	return value;
}

/* A whole number of a list of notes. */
static int64
read_note(JsonbContainer *array, uint32 i, double least)
{
	JsonbValue *value = getIthJsonbValueFromContainer(array, i);
	double number = value->type == jbvNumeric ? json_value_number(value) : NAN;

	if (!(number >= least && number <= 0x1p53 && number == floor(number)))
		damaged("notes");
	return (int64) number;
}

/* Pairs, the first numbers of which rise. */
static PgmlFitNotes
read_notes(const JsonbValue *value)
{
	uint32 n;
	JsonbContainer *array = get_array(value, "notes", &n);
	PgmlNote *notes = palloc(sizeof(PgmlNote) * (n / 2 + 1));

	if (n % 2 != 0)
		damaged("notes");
	for (uint32 i = 0; i < n / 2; i++)
	{
		notes[i] = (PgmlNote){ read_note(array, 2 * i, 0), read_note(array, 2 * i + 1, -0x1p53) };
		if (i > 0 && notes[i].at <= notes[i - 1].at)
			damaged("notes");
	}
	return (PgmlFitNotes){ notes, n / 2 };
}

/* The value of a setting; one that an earlier release did not know has its default. */
static double
read_param(const Jsonb *params, const PgmlParam *param)
{
	double v = json_get(params, param->name) == NULL ? param->def : get_finite(params, param->name);
	bool in_range = param->type != PGML_PARAM_CHOICE && v >= param->min && v <= param->max;
	size_t len;

	if (!in_range && pgml_param_word(param, v, &len) == NULL)
		damaged(param->name);
	return v;
}

static void
read_params(const Jsonb *stored, PgmlExecutedTrial *trial)
{
	JsonbValue *value = json_get(stored, "params");
	JsonbContainer *given;
	Jsonb *params;
	uint32 n;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		damaged("params");
	params = JsonbValueToJsonb(value);
	pgml_params_default(trial->learner, &trial->params);
	for (int i = 0; i < trial->learner->n_params; i++)
		trial->params.v[i] = read_param(params, &trial->learner->params[i]);
	given = get_array(json_get(stored, "given"), "given", &n);
	for (uint32 i = 0; i < n; i++)
	{
		int which = pgml_param_index(trial->learner, read_word(given, i, "given"));

		if (which >= 0)
			trial->params.given[which] = true;
	}
}

static void
read_trial(JsonbValue *value, PgmlExecutedTrial *trial)
{
	JsonbContainer *fits;
	Jsonb *stored;
	const char *name;
	uint32 n;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		damaged("trials");
	stored = JsonbValueToJsonb(value);
	memset(trial, 0, sizeof(*trial));
	name = json_get_text(stored, "algorithm");
	trial->learner = name == NULL ? NULL : pgml_learner_find(name);
	if (trial->learner == NULL)
		damaged("algorithm");
	read_params(stored, trial);
	trial->number = (int) get_integer(stored, "trial", PGML_MAX_TRIALS);
	trial->weight = get_finite(stored, "weight");
	trial->stack = get_finite(stored, "stack");
	trial->members = (int) get_integer(stored, "members", PGML_MAX_FOLDS);
	trial->max_payload = get_integer(stored, "max_payload", PG_INT64_MAX / 2);
	trial->memory_ended = get_bool(stored, "memory_ended");
	trial->notes_lost = get_bool(stored, "notes_lost");
	trial->refitted = get_bool(stored, "refitted");
	trial->refit_max_payload = get_integer(stored, "refit_max_payload", PG_INT64_MAX / 2);
	trial->refit = read_notes(json_get(stored, "refit"));
	if (!(trial->weight > 0 && trial->weight <= 1))
		damaged("weight");
	fits = get_array(json_get(stored, "fits"), "fits", &n);
	if (n < 1 || n > PGML_MAX_FOLDS)
		damaged("fits");
	trial->n_fits = (int) n;
	trial->fit = palloc(sizeof(PgmlFitNotes) * n);
	for (uint32 f = 0; f < n; f++)
		trial->fit[f] = read_notes(getIthJsonbValueFromContainer(fits, f));
}

/* Names and hashes in turn. */
static void
read_columns(const Jsonb *stored, PgmlExecution *e)
{
	uint32 n;
	JsonbContainer *array = get_array(json_get(stored, "columns"), "columns", &n);
	PgmlReadColumn *columns = palloc(sizeof(PgmlReadColumn) * (n / 2 + 1));

	if (n == 0 || n % 2 != 0)
		damaged("columns");
	for (uint32 i = 0; i < n / 2; i++)
		columns[i] = (PgmlReadColumn){ read_word(array, 2 * i, "columns"),
									   read_hash(read_word(array, 2 * i + 1, "columns")) };
	e->n_columns = (int) (n / 2);
	e->columns = columns;
}

/* What the trials share, and the machine. */
static void
read_shared(const Jsonb *stored, PgmlExecution *e)
{
	const char *cpu = json_get_text(stored, "cpu");
	const char *blas = json_get_text(stored, "blas");

	if (cpu == NULL || blas == NULL)
		damaged(cpu == NULL ? "cpu" : "blas");
	strlcpy(e->cpu, cpu, sizeof(e->cpu));
	strlcpy(e->blas, blas, sizeof(e->blas));
	e->folds = (int) get_integer(stored, "folds", PGML_MAX_FOLDS);
	e->max_bin = (int) get_integer(stored, "max_bin", MOST_BINS);
	if (e->folds < 1 || (e->max_bin > 0 && e->max_bin < FEWEST_BINS))
		damaged(e->folds < 1 ? "folds" : "max_bin");
	e->stacked = get_bool(stored, "stacked");
}

/* The rules of the split; NULL: the training made its own. */
static const Jsonb *
read_rules(const Jsonb *stored)
{
	JsonbValue *value = getKeyJsonValueFromContainer((JsonbContainer *) &stored->root, "split",
													 strlen("split"), NULL);

	if (value == NULL ||
		(value->type != jbvNull &&
		 (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))))
		damaged("split");
	return value->type == jbvNull ? NULL : JsonbValueToJsonb(value);
}

void
execution_read(const Jsonb *stored, PgmlExecution *e, ExecutionFrame *frame)
{
	JsonbContainer *trials;
	uint32 n;

	memset(e, 0, sizeof(*e));
	e->rows = get_integer(stored, "rows", PG_INT64_MAX / 2);
	e->prepared = read_hash(json_get_text(stored, "prepared"));
	read_columns(stored, e);
	read_shared(stored, e);
	frame->max_columns = get_integer(stored, "max_columns", PG_INT64_MAX / 2);
	frame->rules = read_rules(stored);
	trials = get_array(json_get(stored, "trials"), "trials", &n);
	if (n == 0 || n > PGML_MAX_ENSEMBLE)
		damaged("trials");
	e->n_trials = (int) n;
	e->trials = palloc(sizeof(PgmlExecutedTrial) * n);
	for (uint32 i = 0; i < n; i++)
		read_trial(getIthJsonbValueFromContainer(trials, i), &e->trials[i]);
}
