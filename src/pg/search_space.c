/* search_space.c - lists and ranges of settings from jsonb, see search_space.h. */
#include "pg/search_space.h"

#include <math.h>

#include "pg/json_text.h"
#include "pg/options.h"

/* The settings read so far. */
typedef struct SettingList
{
	PgmlSearchSetting *setting;
	int n;
	int capacity;
} SettingList;

static void
bad_space(const char *message, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("search_space: %s", message),
					errhint("%s", hint)));
}

/* A container of this kind. */
static bool
is_container(const JsonbValue *value, bool array)
{
	if (value->type != jbvBinary)
		return false;
	return array ? JsonContainerIsArray(value->val.binary.data) :
				   JsonContainerIsObject(value->val.binary.data);
}

static void
read_list(const JsonbValue *value, PgmlSearchSetting *s)
{
	JsonbContainer *array = value->val.binary.data;
	PgmlHyperparam *values = palloc(sizeof(PgmlHyperparam) * (JsonContainerSize(array) + 1));

	s->values = values;
	s->n_values = (int) JsonContainerSize(array);
	for (int i = 0; i < s->n_values; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, (uint32) i);

		if (element->type != jbvNumeric && element->type != jbvBool && element->type != jbvString)
			bad_space(psprintf("the list of \"%s\" must have numbers, booleans or words", s->name),
					  "For example '{\"num_leaves\": [15, 31, 63]}'.");
		values[i] = train_hyperparam_of(s->name, element);
	}
}

/* The two ends of a range. */
static void
read_ends(const JsonbValue *value, PgmlSearchSetting *s)
{
	bool good = is_container(value, true) && JsonContainerSize(value->val.binary.data) == 2;

	for (uint32 i = 0; good && i < 2; i++)
	{
		JsonbValue *end = getIthJsonbValueFromContainer(value->val.binary.data, i);

		good = end->type == jbvNumeric;
		if (good)
			*(i == 0 ? &s->low : &s->high) = train_hyperparam_of(s->name, end).value;
	}
	if (!good)
		bad_space(psprintf("the range of \"%s\" must be an array of two numbers", s->name),
				  psprintf("For example '{\"%s\": {\"range\": [0.01, 0.3]}}'.", s->name));
}

static void
read_range(const JsonbValue *value, PgmlSearchSetting *s)
{
	JsonbIterator *iterator = JsonbIteratorInit(value->val.binary.data);
	JsonbValue member;
	bool any = false;
	char *key;

	while (train_next_member(&iterator, &key, &member))
	{
		double number = member.type == jbvNumeric ? json_value_number(&member) : NAN;

		if (strcmp(key, "range") == 0)
		{
			read_ends(&member, s);
			any = true;
		}
		else if (strcmp(key, "log") == 0 && member.type == jbvBool)
			s->log = member.val.boolean;
		else if (strcmp(key, "n") == 0 && number >= 2 && number <= 1000 && number == floor(number))
			s->steps = (int) number;
		else if (strcmp(key, "log") == 0)
			bad_space(psprintf("\"log\" of \"%s\" must be true or false", s->name),
					  "true: equal steps of the logarithm.");
		else if (strcmp(key, "n") == 0)
			bad_space(
				psprintf("\"n\" of \"%s\" must be a whole number between 2 and 1000", s->name),
				"It says how many values of the range are tried.");
		else
			bad_space(
				psprintf("unrecognized key \"%s\" in \"%s\"", key, s->name),
				"A range has the keys range, log and n. Settings of one algorithm stand in an "
				"object under its name.");
	}
	if (!any)
		bad_space(psprintf("\"%s\" has no range", s->name),
				  psprintf("For example '{\"%s\": {\"range\": [0.01, 0.3]}}'.", s->name));
}

static void
add_setting(SettingList *list, const char *learner, const char *name, const JsonbValue *value)
{
	PgmlSearchSetting s = { .learner = learner, .name = name, .log = -1 };

	if (is_container(value, true))
		read_list(value, &s);
	else if (is_container(value, false))
		read_range(value, &s);
	else
		bad_space(psprintf("\"%s\" must be an array of values, or an object with a range", name),
				  "For example '{\"num_leaves\": [15, 31], \"learning_rate\": {\"range\": [0.01, "
				  "0.3]}}'; one fixed value stands in hyperparams.");
	if (list->n == list->capacity)
		list->setting =
			repalloc(list->setting, sizeof(PgmlSearchSetting) * (Size) (list->capacity *= 2));
	list->setting[list->n++] = s;
}

void
search_space_read(const Jsonb *settings, PgmlTrainOptions *options)
{
	JsonbValue *space = json_get(settings, "search_space");
	SettingList list = { .capacity = 16 };
	JsonbValue value, inner;
	JsonbIterator *iterator, *inside;
	char *key, *name;

	if (space == NULL)
		return;
	if (!is_container(space, false))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("search_space must be a JSON object"),
						errhint("For example '{\"num_leaves\": [15, 31, 63]}'.")));
	list.setting = palloc(sizeof(PgmlSearchSetting) * (Size) list.capacity);
	iterator = JsonbIteratorInit(space->val.binary.data);
	while (train_next_member(&iterator, &key, &value))
	{
		if (pgml_learner_find(key) == NULL || !is_container(&value, false))
		{
			add_setting(&list, NULL, key, &value);
			continue;
		}
		inside = JsonbIteratorInit(value.val.binary.data);
		while (train_next_member(&inside, &name, &inner))
			add_setting(&list, key, name, &inner);
	}
	options->search_space = list.setting;
	options->n_search_space = list.n;
}
