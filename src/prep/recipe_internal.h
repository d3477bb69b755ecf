/*
 * recipe_internal.h - what the files of the recipe share: the stored format, and the result of looking at a column.
 *
 * Format (little-endian, offsets from the first byte of the recipe):
 *   RecipeHeader
 *   RecipeInput   * n_inputs
 *   RecipeFeature * n_features, grouped by input in order
 *   strings       u32 length, bytes, a zero byte
 *   level tables  per category RecipeLevel * n_named, by rising hash, each pointing at the level's spelling
 * Nothing is aligned; records are copied out. pgml_recipe_open checks every offset, count and number once.
 */
#ifndef PGML_PREP_RECIPE_INTERNAL_H
#define PGML_PREP_RECIPE_INTERNAL_H

#include <math.h>
#include <string.h>

#include "core/sort.h"
#include "data/date.h"
#include "prep/number_look.h"
#include "prep/recipe.h"

#define RECIPE_MAGIC   0x43455250u /* "PREC" */
#define RECIPE_VERSION 1

/* Loops over rows and strings look at the stop flag once in this many (a power of two). */
#define RECIPE_POLL 16384

/* Rows whose values are sorted at most, which bounds the work memory. */
#define RECIPE_SORTED (1 << 20)

/* The same where a sample tells enough, and so for the columns that are looked at side by side. */
#define RECIPE_SAMPLED (1 << 17)

/* Cap of category levels when none is given: what a histogram of at most 255 bins can tell apart. */
#define RECIPE_LEVELS 255

/* Treatments; stored: append only. */
typedef enum RecipeStep
{
	RECIPE_DROP = 1,
	RECIPE_NUMBER = 2,
	RECIPE_NUMBER_TEXT = 3,
	RECIPE_CATEGORY = 4,
	RECIPE_BOOLEAN = 5,
	RECIPE_DATE = 6,
	RECIPE_DATE_TEXT = 7,
	RECIPE_TIME = 8,
	RECIPE_INTERVAL = 9,
	RECIPE_MISSING = 10 /* 1 when missing, else 0: columns with one value apart from missing */
} RecipeStep;

/* Features of a date, in this order; stored as bits. */
typedef enum RecipePart
{
	RECIPE_DAYS,
	RECIPE_YEAR,
	RECIPE_MONTH,
	RECIPE_DAY,
	RECIPE_WEEKDAY,
	RECIPE_YDAY,
	RECIPE_HOUR,
	RECIPE_PARTS
} RecipePart;

#define RECIPE_DAY_FIRST 1 /* 09/03 is 9 March */
#define RECIPE_OTHER     2 /* the last level pools rare and unseen values */
#define RECIPE_COMMA     4 /* number text: 1.234,5 is 1234.5 */

#define RECIPE_ORIGIN_SHIFT 4 /* the PgmlOrigin of the column, in the flags' upper half */

typedef struct RecipeHeader
{
	uint32_t magic;
	uint32_t version;
	uint64_t len;
	uint32_t n_inputs;
	uint32_t n_features;
} RecipeHeader;

typedef struct RecipeInput
{
	double center;                   /* subtracted before casting to float */
	double low, high;                /* range of the training values: what infinities become */
	uint32_t name, type_name, words; /* strings */
	uint32_t first_feature, n_features;
	uint32_t levels; /* category: its level table */
	uint32_t n_named, n_levels;
	uint32_t parts; /* date: bits of RecipePart */
	uint8_t kind;   /* of the column in training */
	uint8_t step;
	uint8_t base; /* how values are read: step itself, or what RECIPE_MISSING looks at */
	uint8_t flags;
} RecipeInput;

typedef struct RecipeFeature
{
	uint32_t name;
	uint32_t source;
	uint32_t categorical;
	uint32_t n_levels;
} RecipeFeature;

typedef struct RecipeLevel
{
	uint64_t hash; /* recipe_text_hash() of the spelling */
	uint32_t level;
	uint32_t text;
} RecipeLevel;

_Static_assert(sizeof(RecipeHeader) == 24 && sizeof(RecipeInput) == 64 &&
				   sizeof(RecipeFeature) == 16 && sizeof(RecipeLevel) == 16,
			   "stored records have no padding");

/* ---- fitting --------------------------------------------------------------------------------- */

/* A level of a category, in its most frequent spelling. */
typedef struct FitLevel
{
	const char *text;
	uint32_t len;
	int64_t count;
} FitLevel;

/* What was found out about a column on the training rows, and what will be done with it. */
typedef struct ColumnFit
{
	const PgmlColumn *col;
	RecipeStep step;
	RecipeStep base;
	const char *reason; /* of a drop */
	const char *words;
	int64_t n;         /* training rows */
	int64_t n_missing; /* missing after reading */
	int64_t n_unread;  /* of these: text that is neither a marker nor readable */
	int64_t n_infinite;
	int64_t
		n_distinct; /* values (after merging spellings) that are not missing, among those sorted */
	int64_t n_true; /* boolean */
	bool whole;     /* every number is an integer */
	bool unsorted;  /* its values have still to be sorted, with more room */
	double low, high; /* finite range; dates in seconds */
	double center;
	uint32_t parts;
	bool day_first;
	bool comma;          /* number text with decimal commas or points between thousands */
	bool comma_decimals; /* and some have decimals */
	const double
		*entry; /* TEXT: value by dictionary code; a category's is the number of its group */
	bool other;
	int32_t n_named;
	FitLevel *levels;
	int64_t n_pooled;    /* levels in other */
	int64_t n_spellings; /* spellings that were merged away */
	uint64_t hash;       /* of the values, to find duplicates */
} ColumnFit;

/* The fit as a whole. */
typedef struct RecipeFit
{
	const PgmlEnv *env;
	const PgmlTable *table;
	const PgmlRecipeSpec *spec;
	PgmlArena *arena;
	PgmlKeyed *sorted; /* scratch for `room` items, twice */
	PgmlKeyed *tmp;
	int64_t room;
	ColumnFit *cols;
} RecipeFit;

/* Value of a row as it was read: the number, seconds, or group of a category; NaN when missing. */
static inline double
fit_value(const ColumnFit *f, int64_t row)
{
	double v;

	if (f->col->kind == PGML_KIND_TEXT)
		v = f->col->code[row] < 0 ? NAN : f->entry[f->col->code[row]];
	else
		v = pgml_column_number(f->col, row);
	if ((f->base == RECIPE_DATE || f->base == RECIPE_DATE_TEXT) && !(fabs(v) <= PGML_MAX_SECONDS))
		return NAN;
	return v;
}

/* True when it is time to look at the stop flag and it is set. */
static inline bool
fit_stopped(const PgmlEnv *env, int64_t i)
{
	return (i & (RECIPE_POLL - 1)) == 0 && pgml_stopped(env);
}

/* Set the column aside. */
extern void fit_drop(ColumnFit *f, const char *reason);

/* Decide how to treat a column, by its values on the training rows (recipe_profile.c). */
extern PgmlStatus fit_column(RecipeFit *fit, int i);

/*
 * Range, distinct values, centre and date parts of a column read as numbers (recipe_number.c).  When that takes sorting more
 * values than there is room for, only `unsorted` is set.
 */
extern PgmlStatus fit_numbers(RecipeFit *fit, ColumnFit *f);

/* Whether the column's name is one that people give to identifiers; weak words may also stand for quantities. */
typedef enum IdName
{
	ID_NAME_NO,
	ID_NAME_WEAK, /* sales_number, price_index */
	ID_NAME_STRONG
} IdName;

extern IdName fit_id_name(const char *name);

/* Groups of spellings, levels and pooling of a text column (recipe_category.c). */
extern PgmlStatus fit_category(RecipeFit *fit, ColumnFit *f, const int64_t *count, bool keep);

/* Say in words what is done to the column; NULL when memory is out (recipe_describe.c). */
extern const char *fit_words(const RecipeFit *fit, const ColumnFit *f);

/* Append the recipe's bytes (recipe_format.c). */
extern PgmlStatus fit_write(const RecipeFit *fit, PgmlBuf *out);

/* ---- following the bytes --------------------------------------------------------------------- */

/* "number text" and the like. */
extern const char *recipe_step_name(RecipeStep step);

/* Name of a part of a date: "days", "year" ... */
extern const char *recipe_part_name(RecipePart part);

/* Hash of a text without surrounding blanks and without regard to ASCII case; and equality in that sense. */
extern uint64_t recipe_text_hash(const char *s, uint32_t len);
extern bool recipe_text_equal(const char *a, uint32_t alen, const char *b, uint32_t blen);

static inline RecipeInput
recipe_input(const PgmlRecipe *recipe, int32_t i)
{
	RecipeInput in;

	memcpy(&in, recipe->bytes + sizeof(RecipeHeader) + (size_t) i * sizeof(in), sizeof(in));
	return in;
}

static inline RecipeFeature
recipe_feature(const PgmlRecipe *recipe, int32_t f)
{
	RecipeFeature feature;
	size_t at = sizeof(RecipeHeader) + (size_t) recipe->n_inputs * sizeof(RecipeInput);

	memcpy(&feature, recipe->bytes + at + (size_t) f * sizeof(feature), sizeof(feature));
	return feature;
}

/* String at an offset; zero-terminated. */
static inline const char *
recipe_string(const PgmlRecipe *recipe, uint32_t offset, uint32_t *len)
{
	if (len != NULL)
		memcpy(len, recipe->bytes + offset, sizeof(*len));
	return (const char *) recipe->bytes + offset + sizeof(uint32_t);
}

/* Number that a text stands for, NaN for markers of missing; *unread: neither of them. */
static inline double
recipe_text_number(const char *s, uint32_t len, bool comma, bool *unread)
{
	double v;

	*unread = false;
	if (pgml_number_look_read(comma, s, len, &v))
		return v;
	*unread = !pgml_is_missing_marker(s, len);
	return NAN;
}

/* Seconds that a text stands for. */
static inline double
recipe_text_date(const char *s, uint32_t len, bool day_first, bool *unread)
{
	double v;

	*unread = false;
	if (pgml_parse_date(s, len, day_first, &v))
		return v;
	*unread = !pgml_is_missing_marker(s, len);
	return NAN;
}

#endif
