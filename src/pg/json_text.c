/* json_text.c - writing JSON as text, reading members of jsonb objects. */
#include "pg/json_text.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

char *
text_clip(const char *s)
{
	int length = (int) strlen(s);
	int valid = pg_encoding_verifymbstr(GetDatabaseEncoding(), s, length);

	return valid == length ? unconstify(char *, s) : pnstrdup(s, valid);
}

void
json_comma(StringInfo out)
{
	char last = out->len > 0 ? out->data[out->len - 1] : '[';
	if (last != '{' && last != '[')
		appendStringInfoString(out, ", ");
}

void
json_key(StringInfo out, const char *key)
{
	json_comma(out);
	escape_json(out, text_clip(key));
	appendStringInfoString(out, ": ");
}

void
json_string(StringInfo out, const char *s)
{
	if (s == NULL)
		appendStringInfoString(out, "null");
	else
		escape_json(out, text_clip(s));
}

void
json_number(StringInfo out, double value)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (!isfinite(value))
	{
		appendStringInfoString(out, "null");
		return;
	}
	double_to_shortest_decimal_buf(value, digits); /* float8out would follow extra_float_digits */
	appendStringInfoString(out, digits);
}

Jsonb *
json_finish(StringInfo out)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(out->data)));
}

JsonbValue *
json_get(const Jsonb *object, const char *key)
{
	if (!JB_ROOT_IS_OBJECT(object))
		return NULL;
	JsonbValue *value =
		getKeyJsonValueFromContainer((JsonbContainer *) &object->root, key, strlen(key), NULL);
	return value != NULL && value->type == jbvNull ? NULL : value;
}

char *
json_value_text(const JsonbValue *value)
{
	Assert(value->type == jbvString);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

double
json_value_number(const JsonbValue *value)
{
	Assert(value->type == jbvNumeric);
	return DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

char *
json_get_text(const Jsonb *object, const char *key)
{
	JsonbValue *value = json_get(object, key);
	return value == NULL || value->type != jbvString ? NULL : json_value_text(value);
}

bool
json_get_bool(const Jsonb *object, const char *key)
{
	JsonbValue *value = json_get(object, key);
	return value != NULL && value->type == jbvBool && value->val.boolean;
}

double
json_get_number(const Jsonb *object, const char *key, double missing)
{
	JsonbValue *value = json_get(object, key);
	return value == NULL || value->type != jbvNumeric ? missing : json_value_number(value);
}

const char **
json_value_list(const JsonbValue *value, int *n)
{
	*n = 0;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NULL;
	JsonbContainer *array = value->val.binary.data;
	uint32 size = JsonContainerSize(array);
	const char **list = palloc0(sizeof(char *) * (size + 1));
	for (uint32 i = 0; i < size; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		if (element->type == jbvString)
			list[(*n)++] = json_value_text(element);
	}
	return list;
}

const char **
json_get_list(const Jsonb *object, const char *key, int *n)
{
	JsonbValue *value = json_get(object, key);

	*n = 0;
	return value == NULL ? NULL : json_value_list(value, n);
}
