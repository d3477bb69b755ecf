/* options.c - the arguments of automl_train, see options.h. */
#include "pg/options.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "pg/catalog.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/json_text.h"
#include "pg/search_space.h"

typedef enum ArgumentKind
{
	ARG_TEXT,
	ARG_CHOICE, /* text whose 'auto' means not given */
	ARG_INTERVAL,
	ARG_INT,
	ARG_BIGINT,
	ARG_FLOAT,
	ARG_LIST,
	ARG_JSON
} ArgumentKind;

/* In the order of automl_train's parameters, after model and data. */
static const struct
{
	const char *name;
	ArgumentKind kind;
} arguments[] = {
	{ "target", ARG_TEXT },          { "task", ARG_CHOICE },        { "metric", ARG_CHOICE },
	{ "time_budget", ARG_INTERVAL }, { "max_trials", ARG_INT },     { "features", ARG_LIST },
	{ "exclude", ARG_LIST },         { "id_columns", ARG_LIST },    { "time_column", ARG_TEXT },
	{ "group_column", ARG_TEXT },    { "weight_column", ARG_TEXT }, { "positive_class", ARG_TEXT },
	{ "test_size", ARG_FLOAT },      { "algorithms", ARG_LIST },    { "hyperparams", ARG_JSON },
	{ "seed", ARG_BIGINT },          { "options", ARG_JSON },       { "search", ARG_CHOICE },
	{ "search_space", ARG_JSON },    { "mode", ARG_CHOICE },        { "max_predict_us", ARG_FLOAT },
};

#define FIRST_ARGUMENT 2

/* 22023 with a hint. */
static void
bad_argument(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message), errhint("%s", hint)));
}

/* Append a text array as a JSON array. */
static void
put_list(StringInfo out, const char *name, Datum value)
{
	Datum *elements;
	bool *isnull;
	int n;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &isnull, &n);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < n; i++)
	{
		if (isnull[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not contain NULL", name),
							errhint("Write it as ARRAY['a', 'b'].")));
		json_comma(out);
		json_string(out, TextDatumGetCString(elements[i]));
	}
	appendStringInfoChar(out, ']');
}

/* Seconds of an interval; months count 30 days. */
static double
interval_seconds(const Interval *interval)
{
	if (INTERVAL_IS_NOBEGIN(interval) || INTERVAL_IS_NOEND(interval))
		bad_argument("time_budget must be finite",
					 "Give an interval such as '5 minutes', or '0' with max_trials for no limit.");
	return interval->time / (double) USECS_PER_SEC + interval->day * (double) SECS_PER_DAY +
		   interval->month * 30.0 * SECS_PER_DAY;
}

/* Append the value of one argument. */
static void
put_argument(StringInfo out, const char *name, ArgumentKind kind, Datum value)
{
	switch (kind)
	{
		case ARG_TEXT:
		case ARG_CHOICE:
			json_string(out, TextDatumGetCString(value));
			break;
		case ARG_INTERVAL:
			json_number(out, interval_seconds(DatumGetIntervalP(value)));
			break;
		case ARG_INT:
			appendStringInfo(out, "%d", DatumGetInt32(value));
			break;
		case ARG_BIGINT:
			appendStringInfo(out, INT64_FORMAT, DatumGetInt64(value));
			break;
		case ARG_FLOAT:
			if (!isfinite(DatumGetFloat8(value)))
				bad_argument(psprintf("%s must be a finite number", name), "Give a number.");
			json_number(out, DatumGetFloat8(value));
			break;
		case ARG_LIST:
			put_list(out, name, value);
			break;
		case ARG_JSON:
		{
			Jsonb *json = DatumGetJsonbP(value);
			JsonbToCString(out, &json->root, VARSIZE(json));
			break;
		}
	}
}

void
train_call_read(FunctionCallInfo fcinfo, bool needs_model, int more, TrainCall *call)
{
	StringInfoData out;

	if (PG_NARGS() != FIRST_ARGUMENT + (int) lengthof(arguments) + more)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the functions of pgml_auto are of another version than its library"),
				 errhint("Run ALTER EXTENSION pgml_auto UPDATE.")));
	if (PG_ARGISNULL(0) && needs_model)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model must not be NULL"),
						errhint("Give the model a name: automl_train('churn', ...).")));
	call->model = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (call->model != NULL)
		catalog_check_name(call->model);
	call->data = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (size_t i = 0; i < lengthof(arguments); i++)
	{
		int number = FIRST_ARGUMENT + (int) i;
		if (PG_ARGISNULL(number))
			continue;
		Datum value = PG_GETARG_DATUM(number);
		if (arguments[i].kind == ARG_CHOICE && strcmp(TextDatumGetCString(value), "auto") == 0)
			continue;
		json_key(&out, arguments[i].name);
		put_argument(&out, arguments[i].name, arguments[i].kind, value);
	}
	appendStringInfoChar(&out, '}');
	call->given = json_finish(&out);
}

/* Without the settings that an empty text takes back. */
static Jsonb *
drop_empty(Jsonb *settings)
{
	for (size_t i = 0; i < lengthof(arguments); i++)
	{
		const char *text = arguments[i].kind == ARG_TEXT || arguments[i].kind == ARG_CHOICE ?
							   json_get_text(settings, arguments[i].name) :
							   NULL;

		if (text != NULL && text[0] == '\0')
			settings = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(settings),
														  CStringGetTextDatum(arguments[i].name)));
	}
	return settings;
}

/* A clock stored earlier does not limit a training that is asked for a number of trials, or the other way round. */
Jsonb *
train_settings_merge(Jsonb *stored, Jsonb *given)
{
	if (stored == NULL)
		return drop_empty(given);
	Datum base = JsonbPGetDatum(stored);
	if (json_get(given, "max_trials") != NULL)
		base = DirectFunctionCall2(jsonb_delete, base, CStringGetTextDatum("time_budget"));
	if (json_get(given, "time_budget") != NULL)
		base = DirectFunctionCall2(jsonb_delete, base, CStringGetTextDatum("max_trials"));
	return drop_empty(
		DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, base, JsonbPGetDatum(given))));
}

int
train_task_of(const char *name)
{
	static const struct
	{
		const char *name;
		int task;
	} tasks[] = {
		{ "auto", 0 },
		{ "classification", PGML_TASK_ANY_CLASSES },
		{ "binary", PGML_TASK_BINARY },
		{ "multiclass", PGML_TASK_MULTICLASS },
		{ "regression", PGML_TASK_REGRESSION },
	};
	static const char *const later[] = { "clustering", "anomaly_detection", "anomaly",
										 "forecasting", "forecast" };

	for (size_t i = 0; i < lengthof(tasks); i++)
		if (strcmp(name, tasks[i].name) == 0)
			return tasks[i].task;
	for (size_t i = 0; i < lengthof(later); i++)
		if (strcmp(name, later[i]) == 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("task '%s' is not supported yet", name),
							errhint("Clustering, anomaly detection and forecasting come in later "
									"releases.")));
	bad_argument(psprintf("unrecognized task '%s'", name),
				 "Use 'auto', 'classification', 'binary', 'multiclass' or 'regression'.");
	return 0;
}

/* Names of all metrics that fit a set of tasks, for hints. */
static char *
list_metrics(int tasks)
{
	StringInfoData out;
	int n;
	const PgmlMetric *metrics = pgml_metrics(&n);

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
		if (tasks == 0 || (metrics[i].tasks & tasks) != 0)
			appendStringInfo(&out, "%s%s", out.len == 0 ? "" : ", ", metrics[i].name);
	return out.data;
}

static void
check_metric(const char *name, int task)
{
	if (name == NULL)
		return;
	const PgmlMetric *metric = pgml_metric_find(name);
	if (metric == NULL)
		bad_argument(psprintf("unrecognized metric '%s'", name),
					 psprintf("Known metrics: %s.", list_metrics(task)));
	if (task != 0 && (metric->tasks & (unsigned) task) == 0)
		bad_argument(psprintf("metric '%s' does not fit the task", name),
					 psprintf("Metrics for this task: %s.", list_metrics(task)));
}

/* The fields of an object setting, as an iterator over its members; an error unless it is an object. */
static JsonbIterator *
iterate_object(const Jsonb *settings, const char *name, const char *example)
{
	JsonbValue *value = json_get(settings, name);
	if (value == NULL)
		return NULL;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		bad_argument(psprintf("%s must be a JSON object", name), example);
	return JsonbIteratorInit(value->val.binary.data);
}

bool
train_next_member(JsonbIterator **iterator, char **key, JsonbValue *value)
{
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(iterator, value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			*key = pnstrdup(value->val.string.val, value->val.string.len);
			(void) JsonbIteratorNext(iterator, value, true);
			return true;
		}
	return false;
}

PgmlHyperparam
train_hyperparam_of(const char *name, const JsonbValue *value)
{
	PgmlHyperparam hp = { .name = name };

	if (value->type == jbvString)
		hp.text = json_value_text(value);
	else if (value->type == jbvBool)
		hp.text = value->val.boolean ? "true" : "false";
	else /* Too large a number is infinite, which no setting may be: its error names the setting. */
		hp.value = json_value_number(value);
	return hp;
}

/* The canonical names of the constraints, and other names that are understood. */
static const char *const constraint_names[][2] = {
	{ "monotone_constraints", "monotonic_cst" },
	{ "interaction_constraints", "interaction_cst" },
};

/* Which of them a member of hyperparams is, -1 for none. */
static int
constraint_of(const char *key)
{
	for (int k = 0; k < (int) lengthof(constraint_names); k++)
		for (int i = 0; i < 2; i++)
			if (strcmp(constraint_names[k][i], key) == 0)
				return k;
	return -1;
}

/* A direction as a number or a word. */
static int
direction_of(const char *column, const JsonbValue *value)
{
	double number = value->type == jbvNumeric ? json_value_number(value) : NAN;
	const char *word = value->type == jbvString ? json_value_text(value) : "";

	if (strcmp(word, "increasing") == 0)
		return 1;
	if (strcmp(word, "decreasing") == 0)
		return -1;
	if (number != 1 && number != -1 && number != 0)
		bad_argument(
			psprintf("monotone_constraints: \"%s\" must be 1, -1, 0, \"increasing\" or "
					 "\"decreasing\"",
					 column),
			"1: predictions never fall when the column grows; -1: they never rise; 0: no constraint.");
	return (int) number;
}

static void
read_monotone(const JsonbValue *constraints, PgmlTrainOptions *options)
{
	JsonbIterator *iterator;
	JsonbValue value;
	char *column;

	if (options->monotone != NULL)
		bad_argument("hyperparams has monotone_constraints twice", "Give them once.");
	if (constraints->type != jbvBinary || !JsonContainerIsObject(constraints->val.binary.data))
		bad_argument("monotone_constraints must be a JSON object of input columns",
					 "For example '{\"monotone_constraints\": {\"age\": 1, \"price\": -1}}'.");
	PgmlMonotone *list =
		palloc(sizeof(PgmlMonotone) * (JsonContainerSize(constraints->val.binary.data) + 1));
	int n = 0;
	iterator = JsonbIteratorInit(constraints->val.binary.data);
	while (train_next_member(&iterator, &column, &value))
	{
		PgmlMonotone monotone = { column, direction_of(column, &value) };
		if (monotone.direction != 0)
			list[n++] = monotone;
	}
	options->monotone = list;
	options->n_monotone = n;
}

/* Groups of columns.  An empty list means nothing in some libraries and no interactions in others: here it has to be said. */
static void
read_interactions(const JsonbValue *constraints, PgmlTrainOptions *options)
{
	static const char *const hint =
		"For example '{\"interaction_constraints\": [[\"age\", \"sex\"], [\"price\", \"brand\"]]}', or "
		"\"no_interactions\".";
	bool none = constraints->type == jbvString &&
				strcmp(json_value_text(constraints), "no_interactions") == 0;
	uint32 size;

	if (options->interactions != NULL)
		bad_argument("hyperparams has interaction_constraints twice", "Give them once.");
	if (!none &&
		(constraints->type != jbvBinary || !JsonContainerIsArray(constraints->val.binary.data)))
		bad_argument("interaction_constraints must be an array of arrays of input columns", hint);
	size = none ? 0 : JsonContainerSize(constraints->val.binary.data);
	if (!none && size == 0)
		bad_argument("interaction_constraints must not be empty",
					 "Leave them out, or say \"no_interactions\".");
	PgmlColumnGroup *groups = palloc(sizeof(PgmlColumnGroup) * (size + 1));
	for (uint32 i = 0; i < size; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(constraints->val.binary.data, i);
		groups[i].columns = json_value_list(element, &groups[i].n);
		if (groups[i].columns == NULL ||
			groups[i].n < (int) JsonContainerSize(element->val.binary.data))
			bad_argument("interaction_constraints must be an array of arrays of input columns",
						 hint);
	}
	options->interactions = groups;
	options->n_interactions = (int) size;
	options->limits_interactions = true;
}

void
train_constraints_write(StringInfo out, const Jsonb *settings)
{
	JsonbIterator *iterator = iterate_object(settings, "hyperparams", "");
	JsonbValue value;
	char *key;

	while (iterator != NULL && train_next_member(&iterator, &key, &value))
	{
		int which = constraint_of(key);
		if (which < 0)
			continue;
		Jsonb *json = JsonbValueToJsonb(&value);
		json_key(out, constraint_names[which][0]);
		JsonbToCString(out, &json->root, VARSIZE(json));
	}
}

void
train_constraints_say(StringInfo out, const Jsonb *trial)
{
	for (size_t k = 0; k < lengthof(constraint_names); k++)
	{
		JsonbValue *value = json_get(trial, constraint_names[k][0]);
		if (value == NULL)
			continue;
		Jsonb *json = JsonbValueToJsonb(value);
		appendStringInfo(out, "%s%s ", out->len == 0 ? "" : ", ", constraint_names[k][0]);
		JsonbToCString(out, &json->root, VARSIZE(json));
	}
}

static void
read_hyperparams(const Jsonb *settings, PgmlTrainOptions *options)
{
	JsonbIterator *iterator =
		iterate_object(settings, "hyperparams", "For example '{\"num_leaves\": 31}'.");
	JsonbValue value;
	char *key;
	int capacity = 16;

	if (iterator == NULL)
		return;
	PgmlHyperparam *list = palloc(sizeof(PgmlHyperparam) * capacity);
	int n = 0;
	while (train_next_member(&iterator, &key, &value))
	{
		int constraint = constraint_of(key);
		if (constraint >= 0)
		{
			(constraint == 0 ? read_monotone : read_interactions)(&value, options);
			continue;
		}
		if (value.type != jbvNumeric && value.type != jbvBool && value.type != jbvString)
			bad_argument(psprintf("hyperparams: \"%s\" must be a number, a boolean or a word", key),
						 "One fixed value per name, for example '{\"num_leaves\": 31}'; only "
						 "monotone_constraints and interaction_constraints have more.");
		if (n == capacity)
			list = repalloc(list, sizeof(PgmlHyperparam) * (capacity *= 2));
		list[n++] = train_hyperparam_of(key, &value);
	}
	options->hyperparams = list;
	options->n_hyperparams = n;
}

/* A whole number in [min, max] from `options`. */
static int
option_int(const char *key, const JsonbValue *value, int min, int max)
{
	double number = value->type == jbvNumeric ? json_value_number(value) : NAN;
	if (!(number >= min && number <= max) || number != floor(number))
		bad_argument(
			psprintf("options: \"%s\" must be a whole number between %d and %d", key, min, max),
			"For example options => '{\"folds\": 5}'.");
	return (int) number;
}

/* A boolean from `options`. */
static bool
option_bool(const char *key, const JsonbValue *value)
{
	if (value->type != jbvBool)
		bad_argument(psprintf("options: \"%s\" must be true or false", key),
					 "For example options => '{\"refit\": false}'.");
	return value->val.boolean;
}

/* Where history comes from. */
static PgmlWarmStart
option_warm_start(const JsonbValue *value)
{
	static const char *const words[] = { [PGML_WARM_AUTO] = "auto",
										 [PGML_WARM_OFF] = "off",
										 [PGML_WARM_OWN] = "own",
										 [PGML_WARM_SIMILAR] = "similar" };
	const char *word = value->type == jbvString ? json_value_text(value) : "";

	for (size_t i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (PgmlWarmStart) i;
	bad_argument(
		"options: \"warm_start\" must be \"auto\", \"off\", \"own\" or \"similar\"",
		"own: settings of the model's deployed version are tried first; similar: those of models "
		"of similar tables; off: neither; auto: own, when the training has a time_budget.");
	return PGML_WARM_AUTO;
}

/* A list of column names. */
static const char **
option_list(const char *key, JsonbValue *value, int *n)
{
	const char **list = json_value_list(value, n);

	if (list == NULL || *n < (int) JsonContainerSize(value->val.binary.data))
		bad_argument(psprintf("options: \"%s\" must be an array of column names", key),
					 "For example options => '{\"keep\": [\"year\"]}'.");
	return list;
}

/* The costs of errors: an object of true classes, each an object of predicted classes with a number. */
static void
read_costs(const JsonbValue *matrix, PgmlTrainOptions *options)
{
	static const char *const hint =
		"For example options => '{\"cost_matrix\": {\"yes\": {\"no\": 5}, \"no\": {\"yes\": 1}}}': to predict no "
		"where yes is true costs 5. What is not listed costs 1, what is right nothing.";
	JsonbIterator *rows;
	JsonbValue row, value;
	char *truth, *predicted;
	PgmlCost *list;
	int n = 0, capacity = 16;

	if (matrix->type != jbvBinary || !JsonContainerIsObject(matrix->val.binary.data))
		bad_argument("options: \"cost_matrix\" must be a JSON object of true classes", hint);
	list = palloc(sizeof(PgmlCost) * capacity);
	rows = JsonbIteratorInit(matrix->val.binary.data);
	while (train_next_member(&rows, &truth, &row))
	{
		if (row.type != jbvBinary || !JsonContainerIsObject(row.val.binary.data))
			bad_argument(
				psprintf("options: cost_matrix: \"%s\" must be a JSON object of predicted classes",
						 truth),
				hint);
		JsonbIterator *columns = JsonbIteratorInit(row.val.binary.data);
		while (train_next_member(&columns, &predicted, &value))
		{
			double cost = value.type == jbvNumeric ? json_value_number(&value) : NAN;
			if (!isfinite(cost))
				bad_argument(psprintf("options: cost_matrix: the cost of \"%s\" must be a number",
									  predicted),
							 hint);
			if (n == capacity)
				list = repalloc(list, sizeof(PgmlCost) * (capacity *= 2));
			list[n++] = (PgmlCost){ truth, predicted, cost };
		}
	}
	options->costs = list;
	options->n_costs = n;
}

/* The rare settings; an unknown key is an error that lists the known ones. */
static void
read_options(const Jsonb *settings, PgmlTrainOptions *options)
{
	JsonbIterator *iterator = iterate_object(settings, "options", "For example '{\"folds\": 5}'.");
	JsonbValue value;
	char *key;

	while (iterator != NULL && train_next_member(&iterator, &key, &value))
	{
		if (strcmp(key, "folds") == 0)
			options->folds = option_int(key, &value, 1, 10);
		else if (strcmp(key, "ensemble") == 0)
			options->ensemble = option_int(key, &value, 1, PGML_MAX_ENSEMBLE);
		else if (strcmp(key, "max_levels") == 0)
			options->max_levels = option_int(key, &value, 2, 10000);
		else if (strcmp(key, "refit") == 0)
			options->no_refit = !option_bool(key, &value);
		else if (strcmp(key, "keep") == 0)
			options->keep = option_list(key, &value, &options->n_keep);
		else if (strcmp(key, "cost_matrix") == 0)
			read_costs(&value, options);
		else if (strcmp(key, "warm_start") == 0)
			options->warm_start = option_warm_start(&value);
		else
			bad_argument(
				psprintf("unrecognized key \"%s\" in options", key),
				"Known keys: cost_matrix, ensemble, folds, keep, max_levels, refit, warm_start.");
	}
}

static void
read_budget(const Jsonb *settings, PgmlTrainOptions *options)
{
	bool has_trials = json_get(settings, "max_trials") != NULL;

	options->max_trials = (int) json_get_number(settings, "max_trials", 0);
	if (has_trials && (options->max_trials < 1 || options->max_trials > PGML_MAX_TRIALS))
		bad_argument(psprintf("max_trials must be between 1 and %d", PGML_MAX_TRIALS),
					 "Leave it out to let time_budget decide.");
	options->time_budget = json_get_number(settings, "time_budget", has_trials ? 0 : 60);
	if (options->time_budget < 0)
		bad_argument("time_budget must not be negative", "Give an interval such as '5 minutes'.");
	options->test_size = json_get_number(settings, "test_size", 0.2);
	if (!(options->test_size >= 0 && options->test_size < 1))
		bad_argument("test_size must be at least 0 and less than 1",
					 "It is the share of rows held out for testing; the default is 0.2.");
}

static void
read_mode(const Jsonb *settings, PgmlTrainOptions *options)
{
	const char *mode = json_get_text(settings, "mode");
	bool limited = json_get(settings, "max_predict_us") != NULL;

	if (mode != NULL && strcmp(mode, "best") != 0 && strcmp(mode, "fast") != 0)
		bad_argument(psprintf("unrecognized mode \"%s\"", mode),
					 "best: as accurate as it gets; fast: few models, each fitted to all training "
					 "rows, for predictions that must be fast.");
	options->fast = mode != NULL && strcmp(mode, "fast") == 0;
	options->max_predict_us = json_get_number(settings, "max_predict_us", 0);
	if (limited && !(options->max_predict_us > 0))
		bad_argument(
			"max_predict_us must be above 0",
			"It is the time that the prediction of a row may take on one core, in microseconds.");
}

void
train_settings_read(const Jsonb *settings, PgmlTrainOptions *options, int64 *seed)
{
	JsonbValue *value = json_get(settings, "seed");
	const char *task = json_get_text(settings, "task");
	PgmlError error = { 0 };

	*seed =
		value == NULL ?
			0 :
			DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
	options->target = json_get_text(settings, "target");
	options->task = task == NULL ? 0 : train_task_of(task);
	options->metric = json_get_text(settings, "metric");
	options->positive_class = json_get_text(settings, "positive_class");
	options->time_column = json_get_text(settings, "time_column");
	options->group_column = json_get_text(settings, "group_column");
	options->weight_column = json_get_text(settings, "weight_column");
	options->features = json_get_list(settings, "features", &options->n_features);
	options->exclude = json_get_list(settings, "exclude", &options->n_exclude);
	options->id_columns = json_get_list(settings, "id_columns", &options->n_id_columns);
	options->algorithms = json_get_list(settings, "algorithms", &options->n_algorithms);
	read_budget(settings, options);
	read_mode(settings, options);
	read_hyperparams(settings, options);
	read_options(settings, options);
	options->search = json_get_text(settings, "search");
	search_space_read(settings, options);
	check_metric(options->metric, options->task);
	if (pgml_automl_check(options, &error) != PGML_OK)
		pgml_raise(&error);
}
