/* predict_probs.c - the probabilities of all classes as a jsonb object. */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "pg/predict.h"
#include "pg/predict_probs.h"

/* Digits that surely fit an int64. */
#define MAX_DIGITS 18

/* What numeric_in() makes of the digits. */
static Numeric
read_numeric(char *digits)
{
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * A probability as numeric: the same as numeric_in() makes of its shortest digits, without its detours where these are
 * of the form 0.123.
 */
static Numeric
probability_numeric(double probability)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	int length = double_to_shortest_decimal_buf(probability, digits);
	int64 value = 0;

	if (length < 3 || length > MAX_DIGITS + 2 || digits[0] != '0' || digits[1] != '.')
		return read_numeric(digits);
	for (int i = 2; i < length; i++)
	{
		if (digits[i] < '0' || digits[i] > '9')
			return read_numeric(digits);
		value = value * 10 + (digits[i] - '0');
	}
	return int64_div_fast_to_numeric(value, length - 2);
}

/* Filled with nothing, it is in the order that jsonb wants; the pairs remember the order of the classes. */
PgmlProbabilities
pgml_probabilities_create(const PgmlImage *image)
{
	JsonbParseState *state = NULL;
	PgmlProbabilities self = { .image = image };

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < image->n_classes; i++)
	{
		JsonbValue key = { .type = jbvString };
		JsonbValue value = { .type = jbvNull };

		key.val.string.val = unconstify(char *, image->classes[i]);
		key.val.string.len = (int) strlen(image->classes[i]);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	self.object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return self;
}

Jsonb *
pgml_probabilities_jsonb(PgmlProbabilities *self, const double *out)
{
	for (int i = 0; i < self->object->val.object.nPairs; i++)
	{
		JsonbPair *pair = &self->object->val.object.pairs[i];

		pair->value.type = jbvNumeric;
		pair->value.val.numeric =
			probability_numeric(pgml_class_probability(self->image, out, (int) pair->order));
	}
	return JsonbValueToJsonb(self->object);
}
