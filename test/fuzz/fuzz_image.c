/*
 * fuzz_image.c - hostile bytes as a model image: open must refuse or accept them, and what it accepts must score any
 * input without touching memory it does not own.
 *
 * The checksum is put right first (it guards against accidents, not against authors), so that the fuzzer reaches
 * the parsers behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "image_bytes.h"
#include "model/image.h"

enum
{
	MAX_FEATURES = 4096,
	MAX_OUTPUTS = 4096
};

/* Values that stress every kind of input. */
static PgmlValue
value_number(int i)
{
	static const double numbers[] = { 0,         -1,       1e300, -1e-300, 12345678901234567.0,
									  0.0 / 0.0, 1.0 / 0.0 };
	static const char *texts[] = { "", "a", "Yes", "12,5", "2024-02-30", "?", "\xff\xfe" };
	PgmlValue v = { .kind = (PgmlKind) (1 + i % 7), .is_null = i % 11 == 0, .num = numbers[i % 7] };

	v.str = texts[i % 7];
	v.len = (uint32_t) strlen(v.str);
	return v;
}

static void
score(const PgmlImage *image)
{
	int outputs = pgml_image_outputs(image);
	float *x;
	double *out;

	if (image->recipe.n_features > MAX_FEATURES || outputs > MAX_OUTPUTS)
		return;
	x = calloc(image->recipe.n_features + 1, sizeof(float));
	out = calloc(2 * (size_t) outputs, sizeof(double));
	for (int round = 0; round < 8; round++)
	{
		for (int32_t i = 0; i < image->recipe.n_inputs; i++)
		{
			PgmlValue v = value_number(round * 31 + i);

			(void) pgml_recipe_apply_value(&image->recipe, i, &v, x, NULL);
		}
		pgml_image_predict(image, x, 1, out, out + outputs);
		(void) pgml_image_class(image, out);
	}
	free(x);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgmlBudget budget;
	PgmlArena *arena;
	PgmlImage *image;
	uint8_t *bytes;

	if (size < IMAGE_HEADER_SIZE)
		return 0;
	bytes = malloc(size); /* no more than that: a look beyond the end is seen */
	memcpy(bytes, data, size);
	seal_image(bytes, size);

	pgml_budget_init(&budget, 64 << 20);
	arena = pgml_arena_create(&budget);
	image = malloc(sizeof(*image));
	if (pgml_image_open(bytes, size, arena, image, NULL) == PGML_OK)
		score(image);
	pgml_arena_destroy(arena);
	free(image);
	free(bytes);
	return 0;
}
