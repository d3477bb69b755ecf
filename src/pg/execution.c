/* execution.c - what a training has executed to and from jsonb, see execution.h. */
#include "pg/execution.h"

#include <math.h>

#include "pg/json_text.h"

/* Bounds of what may be read: more was never written. */
#define MOST_TRIALS 64
#define MOST_FITS   64

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

/* An array, its container and length. */
static JsonbContainer *
get_array(JsonbValue *value, const char *what, uint32 *n)
{
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		damaged(what);
	*n = JsonContainerSize(value->val.binary.data);
	return value->val.binary.data;
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

static PgmlFitNotes
read_notes(JsonbValue *value)
{
	uint32 n;
	JsonbContainer *array = get_array(value, "notes", &n);
	PgmlNote *notes = palloc(sizeof(PgmlNote) * (n / 2 + 1));

	for (uint32 i = 0; i + 1 < n; i += 2)
	{
		JsonbValue *at = getIthJsonbValueFromContainer(array, i);
		JsonbValue *what = getIthJsonbValueFromContainer(array, i + 1);
		double number, decided;

		if (at->type != jbvNumeric || what->type != jbvNumeric)
			damaged("notes");
		number = json_value_number(at);
		decided = json_value_number(what);
		if (!(number >= 0 && number <= 0x1p53 && fabs(decided) <= 0x1p53))
			damaged("notes");
		notes[i / 2] = (PgmlNote){ (int64_t) number, (int64_t) decided };
	}
	return (PgmlFitNotes){ notes, n / 2 };
}

static void
read_params(const Jsonb *stored, PgmlExecutedTrial *trial)
{
	JsonbValue *value = json_get(stored, "params");
	int n;
	const char **given = json_get_list(stored, "given", &n);
	Jsonb *params;

	if (value == NULL || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		damaged("params");
	params = JsonbValueToJsonb(value);
	pgml_params_default(trial->learner, &trial->params);
	for (int i = 0; i < trial->learner->n_params; i++)
	{
		const PgmlParam *param = &trial->learner->params[i];
		double v = json_get_number(params, param->name, trial->params.v[i]);
		size_t len;

		if (!(v >= param->min && v <= param->max) && pgml_param_word(param, v, &len) == NULL)
			damaged(param->name);
		trial->params.v[i] = v;
	}
	for (int i = 0; i < n; i++)
	{
		int which = pgml_param_index(trial->learner, given[i]);

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
	trial->number = (int) get_integer(stored, "trial", PG_INT32_MAX);
	trial->weight = json_get_number(stored, "weight", 0);
	trial->stack = json_get_number(stored, "stack", 0);
	trial->members = (int) get_integer(stored, "members", MOST_FITS);
	trial->max_payload = get_integer(stored, "max_payload", PG_INT64_MAX / 2);
	trial->memory_ended = json_get_bool(stored, "memory_ended");
	trial->notes_lost = json_get_bool(stored, "notes_lost");
	trial->refitted = json_get_bool(stored, "refitted");
	trial->refit_max_payload = get_integer(stored, "refit_max_payload", PG_INT64_MAX / 2);
	trial->refit = read_notes(json_get(stored, "refit"));
	fits = get_array(json_get(stored, "fits"), "fits", &n);
	if (n > MOST_FITS || !(trial->weight > 0 && trial->weight <= 1) || !isfinite(trial->stack))
		damaged("fits");
	trial->n_fits = (int) n;
	trial->fit = palloc(sizeof(PgmlFitNotes) * (n + 1));
	for (uint32 f = 0; f < n; f++)
		trial->fit[f] = read_notes(getIthJsonbValueFromContainer(fits, f));
}

void
execution_read(const Jsonb *stored, PgmlExecution *e, ExecutionFrame *frame)
{
	JsonbValue *split = json_get(stored, "split");
	int n_words;
	const char **words = json_get_list(stored, "columns", &n_words);
	const char *text;
	JsonbContainer *trials;
	PgmlReadColumn *columns = palloc(sizeof(PgmlReadColumn) * (n_words / 2 + 1));
	uint32 n;

	memset(e, 0, sizeof(*e));
	e->rows = get_integer(stored, "rows", PG_INT64_MAX / 2);
	e->prepared = read_hash(json_get_text(stored, "prepared"));
	e->n_columns = n_words / 2;
	for (int i = 0; i < e->n_columns; i++)
		columns[i] = (PgmlReadColumn){ words[2 * i], read_hash(words[2 * i + 1]) };
	e->columns = columns;
	text = json_get_text(stored, "cpu");
	strlcpy(e->cpu, text == NULL ? "" : text, sizeof(e->cpu));
	text = json_get_text(stored, "blas");
	strlcpy(e->blas, text == NULL ? "" : text, sizeof(e->blas));
	e->folds = (int) get_integer(stored, "folds", MOST_FITS);
	e->max_bin = (int) get_integer(stored, "max_bin", PG_INT16_MAX);
	e->stacked = json_get_bool(stored, "stacked");
	frame->max_columns = get_integer(stored, "max_columns", PG_INT64_MAX / 2);
	frame->rules = split == NULL || split->type != jbvBinary ? NULL : JsonbValueToJsonb(split);
	trials = get_array(json_get(stored, "trials"), "trials", &n);
	if (n == 0 || n > MOST_TRIALS)
		damaged("trials");
	e->n_trials = (int) n;
	e->trials = palloc(sizeof(PgmlExecutedTrial) * n);
	for (uint32 i = 0; i < n; i++)
		read_trial(getIthJsonbValueFromContainer(trials, i), &e->trials[i]);
}
