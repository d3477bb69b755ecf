/*
 * fuzz_recipe.c - hostile bytes as a recipe: opening gives an error, or a recipe that can be followed.
 *
 * The first bytes of the input tell how to make the values that are applied; the rest is the recipe.  To get past the
 * first checks quickly, the header's magic, version and length are set right in three of four inputs.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prep/recipe.h"

#define PREFIX 17

/* A value whose kind, number and text come from the input. */
static PgmlValue
make_value(const uint8_t *data, const uint8_t *rest, size_t rest_len, int k)
{
	PgmlValue v = { .kind = (PgmlKind) (1 + (data[1] + k) % 7), .is_null = data[2] == k };

	memcpy(&v.num, data + 3, sizeof(v.num));
	if (k % 3 == 1)
		v.num = floor(v.num);
	size_t from = rest_len == 0 ? 0 : data[11 + k % 4] % rest_len;
	v.str = (const char *) rest + from;
	v.len = (uint32_t) (rest_len - from < data[15] ? rest_len - from : data[15]);
	return v;
}

/* The promises of the header: finite or missing, levels in their range, strings terminated. */
static void
follow(const PgmlRecipe *recipe, const uint8_t *data, const uint8_t *rest, size_t rest_len)
{
	float *out = malloc(((size_t) recipe->n_features + 1) * sizeof(float));
	char words[64];
	PgmlError err;

	for (int32_t i = 0; out != NULL && i < recipe->n_inputs; i++)
	{
		PgmlInput in = pgml_recipe_input(recipe, i);
		size_t n = strlen(in.name) + strlen(in.type_name);
		n += strlen(pgml_recipe_describe(recipe, i, words, sizeof(words))) + strlen(words);
		if (n > recipe->len * 4 || in.first_feature + in.n_features > recipe->n_features)
			abort();
		for (int k = 0; k < 8; k++)
		{
			PgmlValue v = make_value(data, rest, rest_len, k);
			if (pgml_recipe_apply_value(recipe, i, &v, out, &err) != PGML_OK)
				continue;
			for (int32_t f = in.first_feature; f < in.first_feature + in.n_features; f++)
			{
				PgmlFeature feature = pgml_recipe_feature(recipe, f);
				if (isinf(out[f]) || strlen(feature.name) > recipe->len || feature.source != i)
					abort();
				if (feature.categorical && !isnan(out[f]) &&
					!(out[f] >= 0 && out[f] < (float) feature.n_levels))
					abort();
			}
		}
	}
	free(out);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgmlRecipe recipe;
	PgmlError err;

	if (size < PREFIX)
		return 0;
	const uint8_t *rest = data + PREFIX;
	size_t len = size - PREFIX;
	/* A copy of its own, so that any look beyond the end is seen. */
	uint8_t *bytes = malloc(len == 0 ? 1 : len);
	if (bytes == NULL)
		return 0;
	memcpy(bytes, rest, len);
	if (data[0] % 4 != 0 && len >= 16)
	{
		uint64_t total = len;
		memcpy(bytes, "PREC\1\0\0\0", 8);
		memcpy(bytes + 8, &total, sizeof(total));
	}
	if (pgml_recipe_open(bytes, len, &recipe, &err) == PGML_OK)
		follow(&recipe, data, rest, len);
	free(bytes);
	return 0;
}
