/*
 * recipe_format.c - the recipe as bytes: writing, verifying, and looking things up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "prep/recipe_internal.h"

/* Texts are hashed in pieces of this size, so that folding them needs no memory. */
#define FOLD_PIECE 256

/* Levels of one hash; two are rare already. */
#define MAX_EQUAL_HASHES 16

/* Short name of a treatment. */
const char *
recipe_step_name(RecipeStep step)
{
	static const char *const names[] = { "",         "drop",     "number", "number text",
										 "category", "boolean",  "date",   "date text",
										 "time",     "interval", "missing" };

	return step >= RECIPE_DROP && step <= RECIPE_MISSING ? names[step] : names[0];
}

/* Name of a feature made from a date. */
const char *
recipe_part_name(RecipePart part)
{
	static const char *const names[] = { "days",    "year",        "month", "day",
										 "weekday", "day of year", "hour" };

	return names[part];
}

/* See recipe_internal.h. */
uint64_t
recipe_text_hash(const char *s, uint32_t len)
{
	char piece[FOLD_PIECE];
	uint64_t hash = 0;

	pgml_trim(&s, &len);
	do
	{
		uint32_t n = len < FOLD_PIECE ? len : FOLD_PIECE;
		for (uint32_t i = 0; i < n; i++)
			piece[i] = pgml_fold(s[i]);
		hash = pgml_hash64(piece, n, hash);
		s += n;
		len -= n;
	} while (len > 0);
	return hash;
}

/* See recipe_internal.h. */
bool
recipe_text_equal(const char *a, uint32_t alen, const char *b, uint32_t blen)
{
	pgml_trim(&a, &alen);
	pgml_trim(&b, &blen);
	if (alen != blen)
		return false;
	for (uint32_t i = 0; i < alen; i++)
	{
		if (pgml_fold(a[i]) != pgml_fold(b[i]))
			return false;
	}
	return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Features that a column gives. */
static uint32_t
count_features(RecipeStep step, uint32_t parts)
{
	if (step == RECIPE_DROP)
		return 0;
	if (step == RECIPE_DATE || step == RECIPE_DATE_TEXT)
		return (uint32_t) __builtin_popcount(parts);
	return 1;
}

/* Append a string; its offset in the recipe. */
static uint32_t
put_string(PgmlBuf *out, size_t base, const char *s, size_t len)
{
	return (uint32_t) (pgml_buf_put_str(out, s, len) - base);
}

/* For qsort: by hash, then level. */
static int
compare_levels(const void *a, const void *b)
{
	const RecipeLevel *x = a;
	const RecipeLevel *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->level < y->level ? -1 : x->level > y->level;
}

/* Append the spellings and the level table of a category. */
static PgmlStatus
put_levels(const RecipeFit *fit, const ColumnFit *f, PgmlBuf *out, size_t base, RecipeInput *in)
{
	RecipeLevel *table = pgml_array(fit->arena, (size_t) f->n_named + 1, sizeof(*table));

	if (table == NULL)
		return pgml_fail_nomem(fit->env, "the recipe");
	for (int32_t i = 0; i < f->n_named; i++)
	{
		const FitLevel *level = &f->levels[i];
		table[i].hash = recipe_text_hash(level->text, level->len);
		table[i].level = (uint32_t) i;
		table[i].text = put_string(out, base, level->text, level->len);
	}
	qsort(table, (size_t) f->n_named, sizeof(*table), compare_levels);
	in->levels = (uint32_t) (out->len - base);
	in->n_named = (uint32_t) f->n_named;
	in->n_levels = (uint32_t) f->n_named + f->other;
	pgml_buf_put(out, table, (size_t) f->n_named * sizeof(*table));
	return PGML_OK;
}

/* Overwrite a record that was put as zeros. */
static void
set_record(PgmlBuf *out, size_t offset, const void *record, size_t size)
{
	if (!out->failed)
		memcpy(out->data + offset, record, size);
}

/* Append the name of a feature, and set its record at offset; part is "" for a column's only feature. */
static void
put_feature(PgmlBuf *out, size_t base, size_t offset, const ColumnFit *f, const RecipeInput *in,
			uint32_t source, const char *part)
{
	char name[256];
	const char *column = f->col->name;
	int column_len = pgml_shown(column, 200);
	RecipeFeature feature = { .source = source,
							  .categorical = f->step == RECIPE_CATEGORY,
							  .n_levels = in->n_levels };
	int n = snprintf(name, sizeof(name), "%.*s%s%s", column_len, column,
					 part[0] != '\0' ? ": " : "", part);

	feature.name = put_string(out, base, name, (size_t) n);
	set_record(out, offset, &feature, sizeof(feature));
}

/* Append all features of a column; records start at offset. */
static void
put_features(PgmlBuf *out, size_t base, size_t offset, const ColumnFit *f, const RecipeInput *in,
			 uint32_t source)
{
	if (f->step == RECIPE_DATE || f->step == RECIPE_DATE_TEXT)
	{
		for (int p = 0; p < RECIPE_PARTS; p++)
		{
			if ((f->parts & 1u << p) == 0)
				continue;
			put_feature(out, base, offset, f, in, source, recipe_part_name(p));
			offset += sizeof(RecipeFeature);
		}
	}
	else if (f->step != RECIPE_DROP)
		put_feature(out, base, offset, f, in, source, f->step == RECIPE_MISSING ? "missing" : "");
}

/* Append what belongs to one column, and fill its record. */
static PgmlStatus
put_column(const RecipeFit *fit, const ColumnFit *f, PgmlBuf *out, size_t base, RecipeInput *in)
{
	*in = (RecipeInput){ .center = f->center,
						 .low = f->low,
						 .high = f->high,
						 .first_feature = in->first_feature,
						 .parts = f->parts,
						 .kind = (uint8_t) f->col->kind,
						 .flags = (uint8_t) (f->col->origin << RECIPE_ORIGIN_SHIFT),
						 .step = (uint8_t) f->step,
						 .base = (uint8_t) (f->step == RECIPE_DROP ? RECIPE_DROP : f->base) };
	in->name = put_string(out, base, f->col->name, strlen(f->col->name));
	const char *type_name = f->col->type_name != NULL ? f->col->type_name : "";
	in->type_name = put_string(out, base, type_name, strlen(type_name));
	in->words = put_string(out, base, f->words, strlen(f->words));
	in->n_features = count_features(f->step, f->parts);
	if (f->day_first)
		in->flags |= RECIPE_DAY_FIRST;
	if (f->comma && in->base == RECIPE_NUMBER_TEXT)
		in->flags |= RECIPE_COMMA;
	if (f->step != RECIPE_CATEGORY)
		return PGML_OK;
	if (f->other)
		in->flags |= RECIPE_OTHER;
	return put_levels(fit, f, out, base, in);
}

/* See recipe_internal.h. */
PgmlStatus
fit_write(const RecipeFit *fit, PgmlBuf *out)
{
	size_t base = out->len;
	RecipeHeader header = { RECIPE_MAGIC, RECIPE_VERSION, 0, (uint32_t) fit->table->ncols, 0 };

	for (uint32_t i = 0; i < header.n_inputs; i++)
		header.n_features += count_features(fit->cols[i].step, fit->cols[i].parts);
	size_t inputs = base + sizeof(header);
	size_t features = inputs + header.n_inputs * sizeof(RecipeInput);
	pgml_buf_put(out, NULL,
				 sizeof(header) + header.n_inputs * sizeof(RecipeInput) +
					 header.n_features * sizeof(RecipeFeature));

	uint32_t first = 0;
	for (uint32_t i = 0; i < header.n_inputs; i++)
	{
		RecipeInput in = { .first_feature = first };

		if (pgml_stopped(fit->env))
			return pgml_fail_cancelled(fit->env);
		PGML_TRY(put_column(fit, &fit->cols[i], out, base, &in));
		set_record(out, inputs + i * sizeof(in), &in, sizeof(in));
		put_features(out, base, features + first * sizeof(RecipeFeature), &fit->cols[i], &in, i);
		first += in.n_features;
	}
	if (out->failed)
		return pgml_fail_nomem(fit->env, "the recipe");
	header.len = out->len - base;
	if (header.len > UINT32_MAX)
		return pgml_fail(fit->env->error, PGML_ERR_LIMIT,
						 "the names and levels of the columns take more than 4 GB");
	set_record(out, base, &header, sizeof(header));
	return PGML_OK;
}

/* ---- verifying ------------------------------------------------------------------------------- */

/* The one failure of opening. */
static PgmlStatus
corrupt(PgmlError *err, const char *what)
{
	return pgml_fail(err, PGML_ERR_CORRUPT, "the recipe is damaged: %s", what);
}

/* A string that lies inside and ends with a zero. */
static bool
string_ok(const PgmlRecipe *recipe, uint32_t offset)
{
	uint32_t len;

	if (offset > recipe->len || recipe->len - offset < sizeof(len) + 1)
		return false;
	memcpy(&len, recipe->bytes + offset, sizeof(len));
	return len <= recipe->len - offset - sizeof(len) - 1 &&
		   recipe->bytes[offset + sizeof(len) + len] == 0;
}

/*
 * The level table of a category: inside, in order, pointing at levels and strings that exist.  Equal hashes are looked
 * through one by one, so there may be few.
 */
static bool
levels_ok(const PgmlRecipe *recipe, const RecipeInput *in)
{
	uint64_t last = 0;
	int equal = 0;

	if (in->n_levels < 1 || in->n_levels > 1 << 24 ||
		in->n_named + ((in->flags & RECIPE_OTHER) != 0) != in->n_levels)
		return false;
	if (in->levels > recipe->len || (recipe->len - in->levels) / sizeof(RecipeLevel) < in->n_named)
		return false;
	for (uint32_t i = 0; i < in->n_named; i++)
	{
		RecipeLevel level;
		memcpy(&level, recipe->bytes + in->levels + i * sizeof(level), sizeof(level));
		if (level.hash < last || level.level >= in->n_named || !string_ok(recipe, level.text))
			return false;
		equal = i > 0 && level.hash == last ? equal + 1 : 0;
		if (equal >= MAX_EQUAL_HASHES)
			return false;
		last = level.hash;
	}
	return true;
}

/* How values of the column are read must fit what is done with them. */
static bool
base_ok(const RecipeInput *in)
{
	if (in->step == RECIPE_MISSING)
		return in->base > RECIPE_DROP && in->base < RECIPE_MISSING;
	return in->base == in->step;
}

/* Known flags and origins only. */
static bool
flags_ok(uint8_t flags)
{
	uint8_t low = flags & ((1u << RECIPE_ORIGIN_SHIFT) - 1);

	return (low & ~(RECIPE_DAY_FIRST | RECIPE_OTHER | RECIPE_COMMA)) == 0 &&
		   flags >> RECIPE_ORIGIN_SHIFT <= PGML_ORIGIN_JSON;
}

/* One input's record. */
static bool
input_ok(const PgmlRecipe *recipe, const RecipeInput *in)
{
	if (in->kind < PGML_KIND_BOOL || in->kind > PGML_KIND_INTERVAL || in->step < RECIPE_DROP ||
		in->step > RECIPE_MISSING || !flags_ok(in->flags) ||
		((in->flags & RECIPE_COMMA) != 0 && in->base != RECIPE_NUMBER_TEXT))
		return false;
	if (!base_ok(in) || in->parts >= 1u << RECIPE_PARTS ||
		in->n_features != count_features(in->step, in->parts))
		return false;
	if (!isfinite(in->center) || !isfinite(in->low) || !isfinite(in->high) || in->low > in->high)
		return false;
	if (!string_ok(recipe, in->name) || !string_ok(recipe, in->type_name) ||
		!string_ok(recipe, in->words))
		return false;
	return in->step != RECIPE_CATEGORY || levels_ok(recipe, in);
}

/* The records of one input's features. */
static bool
features_ok(const PgmlRecipe *recipe, const RecipeInput *in, uint32_t source)
{
	for (uint32_t k = 0; k < in->n_features; k++)
	{
		RecipeFeature f = recipe_feature(recipe, (int32_t) (in->first_feature + k));
		if (f.source != source || f.categorical != (in->step == RECIPE_CATEGORY) ||
			f.n_levels != (f.categorical ? in->n_levels : 0) || !string_ok(recipe, f.name))
			return false;
	}
	return true;
}

/* Verify everything that is followed later. */
PgmlStatus
pgml_recipe_open(const uint8_t *bytes, size_t len, PgmlRecipe *recipe, PgmlError *err)
{
	RecipeHeader header;
	uint32_t first = 0;
	uint64_t n_named = 0;

	memset(recipe, 0, sizeof(*recipe));
	if (len < sizeof(header))
		return corrupt(err, "it is too short");
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != RECIPE_MAGIC)
		return corrupt(err, "it does not begin like one");
	if (header.version != RECIPE_VERSION)
	{
		PgmlStatus status = pgml_fail(err, PGML_ERR_CORRUPT, "unknown version %u of the recipe",
									  (unsigned) header.version);
		pgml_fail_hint(err, "The model was made by a newer version of the extension.");
		return status;
	}
	if (header.len != len || len > UINT32_MAX)
		return corrupt(err, "its length is wrong");
	size_t room = len - sizeof(header);
	if (header.n_inputs > room / sizeof(RecipeInput))
		return corrupt(err, "its inputs do not fit");
	room -= header.n_inputs * sizeof(RecipeInput);
	if (header.n_features > room / sizeof(RecipeFeature))
		return corrupt(err, "its features do not fit");

	*recipe = (PgmlRecipe){ bytes, len, (int32_t) header.n_inputs, (int32_t) header.n_features };
	for (uint32_t i = 0; i < header.n_inputs; i++)
	{
		RecipeInput in = recipe_input(recipe, (int32_t) i);
		/* Every column has a table of its own: shared ones would make this work quadratic. */
		n_named += in.step == RECIPE_CATEGORY ? in.n_named : 0;
		if (n_named > len / sizeof(RecipeLevel))
			return corrupt(err, "its levels do not fit");
		if (!input_ok(recipe, &in) || in.first_feature != first ||
			in.n_features > header.n_features - first || !features_ok(recipe, &in, i))
			return corrupt(err, "a column's record is not valid");
		first += in.n_features;
	}
	if (first != header.n_features)
		return corrupt(err, "features are left over");
	return PGML_OK;
}

/* See recipe.h. */
PgmlInput
pgml_recipe_input(const PgmlRecipe *recipe, int32_t i)
{
	RecipeInput in = recipe_input(recipe, i);

	return (PgmlInput){ .name = recipe_string(recipe, in.name, NULL),
						.type_name = recipe_string(recipe, in.type_name, NULL),
						.kind = (PgmlKind) in.kind,
						.origin = (PgmlOrigin) (in.flags >> RECIPE_ORIGIN_SHIFT),
						.used = in.step != RECIPE_DROP,
						.first_feature = (int32_t) in.first_feature,
						.n_features = (int32_t) in.n_features };
}

/* See recipe.h. */
PgmlFeature
pgml_recipe_feature(const PgmlRecipe *recipe, int32_t f)
{
	RecipeFeature feature = recipe_feature(recipe, f);

	return (PgmlFeature){ .name = recipe_string(recipe, feature.name, NULL),
						  .source = (int32_t) feature.source,
						  .categorical = feature.categorical != 0,
						  .n_levels = (int32_t) feature.n_levels };
}

/* See recipe.h. */
bool
pgml_recipe_is_ordered(const PgmlRecipe *recipe, int32_t i)
{
	RecipeInput in = recipe_input(recipe, i);

	return in.step == RECIPE_NUMBER || in.step == RECIPE_NUMBER_TEXT || in.step == RECIPE_BOOLEAN ||
		   in.step == RECIPE_TIME || in.step == RECIPE_INTERVAL;
}

/* See recipe.h. */
double
pgml_recipe_center(const PgmlRecipe *recipe, int32_t f)
{
	RecipeInput in = recipe_input(recipe, (int32_t) recipe_feature(recipe, f).source);

	switch (in.step)
	{
		case RECIPE_CATEGORY:
		case RECIPE_BOOLEAN:
		case RECIPE_MISSING:
			return 0;
		case RECIPE_DATE:
		case RECIPE_DATE_TEXT:
			return (uint32_t) f == in.first_feature && in.parts & 1u << RECIPE_DAYS ? in.center : 0;
		default:
			return in.center;
	}
}

/* See recipe.h. */
const char *
pgml_recipe_level(const PgmlRecipe *recipe, int32_t f, int32_t level)
{
	RecipeInput in = recipe_input(recipe, (int32_t) recipe_feature(recipe, f).source);

	for (uint32_t i = 0; i < in.n_named; i++)
	{
		RecipeLevel named;

		memcpy(&named, recipe->bytes + in.levels + i * sizeof(named), sizeof(named));
		if (named.level == (uint32_t) level)
			return recipe_string(recipe, named.text, NULL);
	}
	return NULL;
}

/* See recipe.h. */
const char *
pgml_recipe_describe(const PgmlRecipe *recipe, int32_t i, char *words, size_t size)
{
	RecipeInput in = recipe_input(recipe, i);

	if (size > 0)
	{
		uint32_t len;
		const char *s = recipe_string(recipe, in.words, &len);
		uint32_t room = size - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t) (size - 1);
		len = pgml_clip(s, len, room);
		memcpy(words, s, len);
		words[len] = '\0';
	}
	return recipe_step_name(in.step);
}
