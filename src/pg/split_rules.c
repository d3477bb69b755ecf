/* split_rules.c - rules of the split to and from jsonb, see split_rules.h. */
#include "pg/split_rules.h"

#include <math.h>

#include "core/hash.h"
#include "pg/json_text.h"

static const char *const method_names[] = {
	[PGML_SPLIT_RANDOM] = "random",
	[PGML_SPLIT_STRATIFIED] = "stratified",
	[PGML_SPLIT_GROUP] = "group",
	[PGML_SPLIT_TIME] = "time",
};

static void
put_hex(StringInfo out, uint64 value)
{
	appendStringInfo(out, "\"%016llx\"", (unsigned long long) value);
}

static void
put_thresholds(StringInfo out, const PgmlSplit *split)
{
	json_key(out, "thresholds");
	appendStringInfoChar(out, '[');
	for (int i = 0; split->threshold != NULL && i < split->n_classes; i++)
	{
		json_comma(out);
		put_hex(out, split->threshold[i]);
	}
	appendStringInfoChar(out, ']');
}

static void
put_labels(StringInfo out, const PgmlSplit *split)
{
	json_key(out, "labels");
	appendStringInfoChar(out, '[');
	for (int i = 0; split->labels != NULL && i < split->n_classes; i++)
	{
		json_comma(out);
		json_string(out, split->labels[i]);
	}
	appendStringInfoChar(out, ']');
}

static void
put_windows(StringInfo out, const PgmlSplit *split)
{
	json_key(out, "windows");
	appendStringInfoChar(out, '[');
	for (int i = 0; i < split->n_windows; i++)
	{
		json_comma(out);
		appendStringInfoChar(out, '[');
		json_number(out, split->windows[i].from);
		json_comma(out);
		json_number(out, split->windows[i].upto);
		appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, ']');
}

static void
put_identity_column(StringInfo out, const PgmlIdentityColumn *column)
{
	appendStringInfoChar(out, '{');
	json_key(out, "column");
	json_string(out, column->name);
	json_key(out, "type");
	json_string(out, column->hashed_as);
	appendStringInfoChar(out, '}');
}

static void
put_identity(StringInfo out, const PgmlIdentity *identity)
{
	json_key(out, "identity");
	appendStringInfoChar(out, '[');
	for (int i = 0; i < identity->n; i++)
	{
		json_comma(out);
		put_identity_column(out, &identity->columns[i]);
	}
	appendStringInfoChar(out, ']');
	if (identity->split.name == NULL)
		return;
	json_key(out, "by");
	put_identity_column(out, &identity->split);
}

Jsonb *
split_rules_write(const PgmlSplit *split, const PgmlIdentity *identity)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	json_key(&out, "method");
	json_string(&out, method_names[split->method]);
	json_key(&out, "salt");
	put_hex(&out, split->salt);
	json_key(&out, "variant");
	json_number(&out, split->variant);
	json_key(&out, "test_size");
	json_number(&out, split->test_size);
	json_key(&out, "day_first");
	appendStringInfoString(&out, split->day_first ? "true" : "false");
	put_thresholds(&out, split);
	put_labels(&out, split);
	put_windows(&out, split);
	put_identity(&out, identity);
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

/* The rules are ours alone to write: what cannot be read is damage. */
static void
damaged(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the split rules of the model are damaged: %s", what),
					errhint("Train a new model under another name.")));
}

static uint64
read_hex(const char *text, const char *what)
{
	char *end = NULL;
	uint64 value = text == NULL ? 0 : strtoull(text, &end, 16);
	if (end == NULL || end == text || *end != '\0')
		damaged(what);
	return value;
}

static PgmlSplitMethod
read_method(const char *name)
{
	for (int i = PGML_SPLIT_RANDOM; name != NULL && i <= PGML_SPLIT_TIME; i++)
		if (strcmp(name, method_names[i]) == 0)
			return (PgmlSplitMethod) i;
	damaged("method");
	return PGML_SPLIT_RANDOM;
}

/* One end of a window, the given infinity when it is null. */
static double
window_end(JsonbContainer *pair, uint32 i, double open)
{
	JsonbValue *value = getIthJsonbValueFromContainer(pair, i);
	if (value == NULL || (value->type != jbvNumeric && value->type != jbvNull))
		damaged("windows");
	return value->type == jbvNull ? open : json_value_number(value);
}

static void
read_windows(const Jsonb *rules, PgmlSplit *split)
{
	JsonbValue *value = json_get(rules, "windows");
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		damaged("windows");
	JsonbContainer *array = value->val.binary.data;
	uint32 n = JsonContainerSize(array);

	split->windows = palloc(sizeof(PgmlWindow) * (n + 1));
	for (uint32 i = 0; i < n; i++)
	{
		JsonbValue *pair = getIthJsonbValueFromContainer(array, i);
		if (pair->type != jbvBinary || !JsonContainerIsArray(pair->val.binary.data))
			damaged("windows");
		split->windows[i].from = window_end(pair->val.binary.data, 0, -INFINITY);
		split->windows[i].upto = window_end(pair->val.binary.data, 1, INFINITY);
	}
	split->n_windows = (int) n;
}

/* One column of the identity. */
static PgmlIdentityColumn
read_identity_column(JsonbValue *value)
{
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		damaged("identity");
	Jsonb *object = JsonbValueToJsonb(value);
	PgmlIdentityColumn column = { .name = json_get_text(object, "column"),
								  .hashed_as = json_get_text(object, "type") };
	if (column.name == NULL || column.hashed_as == NULL)
		damaged("identity");
	return column;
}

static void
read_identity(const Jsonb *rules, PgmlIdentity *identity)
{
	JsonbValue *value = json_get(rules, "identity");
	if (value == NULL || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		damaged("identity");
	JsonbContainer *array = value->val.binary.data;

	identity->n = (int) JsonContainerSize(array);
	if (identity->n == 0)
		damaged("identity");
	value = json_get(rules, "by");
	identity->split =
		value == NULL ? (PgmlIdentityColumn){ NULL, NULL } : read_identity_column(value);
	identity->columns = palloc(sizeof(PgmlIdentityColumn) * (identity->n + 1));
	for (int i = 0; i < identity->n; i++)
		identity->columns[i] =
			read_identity_column(getIthJsonbValueFromContainer(array, (uint32) i));
}

void
split_rules_read(const Jsonb *rules, PgmlSplit *split, PgmlIdentity *identity)
{
	int n_labels;
	const char **thresholds = json_get_list(rules, "thresholds", &split->n_classes);

	split->method = read_method(json_get_text(rules, "method"));
	split->salt = read_hex(json_get_text(rules, "salt"), "salt");
	double variant = json_get_number(rules, "variant", -1);
	if (!(variant >= 0 && variant <= PG_INT16_MAX))
		damaged("variant");
	split->variant = (uint32) variant;
	split->day_first = json_get_bool(rules, "day_first");
	split->test_size = json_get_number(rules, "test_size", -1);
	if (!(split->test_size >= 0 && split->test_size < 1))
		damaged("test_size");
	split->threshold = palloc(sizeof(uint64_t) * (split->n_classes + 1));
	for (int i = 0; i < split->n_classes; i++)
		split->threshold[i] = read_hex(thresholds[i], "thresholds");
	split->labels = json_get_list(rules, "labels", &n_labels);
	if (split->method == PGML_SPLIT_STRATIFIED && n_labels != split->n_classes)
		damaged("labels");
	read_windows(rules, split);
	read_identity(rules, identity);
	split->fixed = true;
}

/* Derived from the seed alone, so that one seed decides everything, whatever the model is called. */
void
split_rules_new(int64 seed, double test_size, PgmlSplit *split)
{
	static const char purpose[] = "salt of the split";

	memset(split, 0, sizeof(*split));
	split->salt = pgml_hash64(purpose, sizeof(purpose) - 1, (uint64_t) seed);
	split->test_size = test_size;
}
