/*
 * recipe.h - from raw columns to features: fitted on training rows, stored as bytes, applied identically
 * to a table in training and to one row in prediction.
 *
 * The bytes are the recipe: fit() writes them, open() verifies them (hostile bytes give an error) and
 * gives a view, apply() follows the view.  Each input column gets one treatment (one step type):
 *
 *   drop          not used; the reason is kept (constant, duplicate of another, identifier, free text, ...)
 *   number        the number, centred first where float32 would merge distinct values, infinities clipped
 *   number text   text that reads as a number for nearly all rows, parsed
 *   category      levels in order of falling count; rare levels and the tail beyond the cap pooled in "other";
 *                 text markers of missing (?, NA, null, empty ...) are missing; levels that differ only in case and
 *                 blanks are one; values unseen in training are "other", or missing where nothing was pooled
 *   boolean       0/1
 *   date          number of days, year, month, day, weekday, day of year, hour (9.5 is 9:30): those that vary
 *   date text     text that reads as a date for nearly all rows, parsed, then as date
 *   time, interval   seconds
 *   missing       1 when missing, else 0: for columns with a single value in some of the rows
 */
#ifndef PGML_PREP_RECIPE_H
#define PGML_PREP_RECIPE_H

#include <float.h>
#include <math.h>

#include "core/buf.h"
#include "core/env.h"
#include "data/matrix.h"
#include "data/table.h"

/* What to fit on and what not to use. */
typedef struct PgmlRecipeSpec
{
	const int32_t *rows; /* training rows */
	int64_t n;
	const bool *
		exclude; /* per column of the table: not a feature (target, ids, groups, weights, excluded) */
	const char *const *exclude_reason; /* per column, e.g. "the target"; NULL where not excluded */
	const bool
		*keep; /* per column: named in `features`, so not dropped as an identifier; may be NULL */
	int max_levels; /* cap of category levels, other included; 0: 255 */
} PgmlRecipeSpec;

/* Fit and append the recipe's bytes to out. PGML_ERR_DATA when no usable feature remains. */
extern PgmlStatus pgml_recipe_fit(const PgmlEnv *env, const PgmlTable *table,
								  const PgmlRecipeSpec *spec, PgmlBuf *out);

/* True when more of a text column's values make sense as dates with the day before the month: how a recipe reads them. */
extern PgmlStatus pgml_recipe_day_first(const PgmlEnv *env, const PgmlColumn *col, int64_t nrows,
										bool *day_first);

/* A verified view of a recipe's bytes; points into them. */
typedef struct PgmlRecipe
{
	const uint8_t *bytes;
	size_t len;
	int32_t n_inputs; /* input columns, dropped ones included */
	int32_t n_features;
} PgmlRecipe;

extern PgmlStatus pgml_recipe_open(const uint8_t *bytes, size_t len, PgmlRecipe *recipe,
								   PgmlError *err);

/* An input column: what prediction has to supply. A dropped column need not be supplied (used = false). */
typedef struct PgmlInput
{
	const char *name;
	const char *type_name;
	PgmlKind kind;
	PgmlOrigin origin;
	bool used;
	int32_t first_feature;
	int32_t n_features;
} PgmlInput;

extern PgmlInput pgml_recipe_input(const PgmlRecipe *recipe, int32_t i);

/* Feature f; the name points into the bytes. */
extern PgmlFeature pgml_recipe_feature(const PgmlRecipe *recipe, int32_t f);

/* Whether input i has a single feature, which grows with its value: numbers, text read as numbers, booleans, times, intervals. */
extern bool pgml_recipe_is_ordered(const PgmlRecipe *recipe, int32_t i);

/* What is subtracted from numbers before they become feature f; 0 where nothing is. */
extern double pgml_recipe_center(const PgmlRecipe *recipe, int32_t f);

/*
 * The spelling of a level of feature f, which is a category: it points into the bytes, and is NULL for the level that pools rare
 * and unseen values.
 */
extern const char *pgml_recipe_level(const PgmlRecipe *recipe, int32_t f, int32_t level);

/* How a number becomes the only feature of its input. */
typedef struct PgmlNumberStep
{
	int32_t feature;
	double center;
	double low; /* ends of the range seen in training, for infinities */
	double high;
} PgmlNumberStep;

/*
 * Whether values of a kind other than text become features of input i by pgml_number_feature() alone; then *step says how.
 * For callers who read many rows: the same as pgml_recipe_apply_value(), with NaN for missing.
 */
extern bool pgml_recipe_number_step(const PgmlRecipe *recipe, int32_t i, PgmlKind kind,
									PgmlNumberStep *step);

/* Number to feature: infinities to the ends of the range, centred, within single precision. */
static inline float
pgml_number_feature(const PgmlNumberStep *step, double v)
{
	v = v == INFINITY ? step->high : v;
	v = v == -INFINITY ? step->low : v;
	v -= step->center;
	v = v > FLT_MAX ? FLT_MAX : v;
	v = v < -FLT_MAX ? -FLT_MAX : v;
	return (float) v;
}

/*
 * Compute the features of input i from one value and store them at features[first_feature ...].  The value may
 * be of another kind than the column had in training: text is parsed, numbers are printed for categories,
 * booleans read from 't', 'yes', '1' ...; PGML_ERR_DATA with a message that names the column when that fails
 * ("column \"age\" needs a number, not \"abc\"").  No allocation.
 */
extern PgmlStatus pgml_recipe_apply_value(const PgmlRecipe *recipe, int32_t i,
										  const PgmlValue *value, float *features, PgmlError *err);

/*
 * The same into a row of a block (PgmlBlock): feature f is stored at x[f * stride], x being the place of the row's feature 0.
 */
extern PgmlStatus pgml_recipe_apply_at(const PgmlRecipe *recipe, int32_t i, const PgmlValue *value,
									   float *x, int64_t stride, PgmlError *err);

/*
 * The same for n values of one kind other than text at once, NaN where missing: feature f of value k is stored at
 * x[f * stride + k].  Cheap where input i was of that kind in training.  Fails for the first value that cannot be read.
 */
extern PgmlStatus pgml_recipe_apply_numbers(const PgmlRecipe *recipe, int32_t i, PgmlKind kind,
											const double *num, int64_t n, float *x, int64_t stride,
											PgmlError *err);

/*
 * Apply to every row of a table whose columns are the recipe's inputs in the same order, column by column on the threads of
 * env->pool. Allocates in arena; a column of single precision that is its feature as it is is not copied, so the table has to
 * live as long.
 */
extern PgmlStatus pgml_recipe_apply_table(const PgmlEnv *env, const PgmlRecipe *recipe,
										  const PgmlTable *table, PgmlArena *arena,
										  PgmlMatrix *out);

/*
 * What was done to input i, in words: "category with 9 levels; 2 rare levels pooled as other; 5.7 % missing"; for a
 * dropped column the reason alone.  Returns the short name of the treatment ("drop", "number", ...).  Writes at most
 * size bytes with the final zero.
 */
extern const char *pgml_recipe_describe(const PgmlRecipe *recipe, int32_t i, char *words,
										size_t size);

#endif
