/*
 * recipe_apply.c - follow a verified recipe: one value, or a whole table.
 *
 * A value is first read as what the column needs (a number, seconds, a level), then stored as features. A table goes the
 * same way: once for each string of a text column, and through the same storing functions for numbers.
 */
#include "core/par.h"
#include "prep/recipe_internal.h"

/* Bytes of a value shown in an error message. */
#define SHOWN 40

/* Rows of a column done at a time; divides RECIPE_POLL. */
#define COLUMN_STEP 1024

/* ---- storing --------------------------------------------------------------------------------- */

/* What pgml_number_feature() needs of an input. */
static inline PgmlNumberStep
number_step(const RecipeInput *in)
{
	return (PgmlNumberStep){ (int32_t) in->first_feature, in->center, in->low, in->high };
}

static inline float
number_feature(const RecipeInput *in, double v)
{
	PgmlNumberStep step = number_step(in);

	return pgml_number_feature(&step, v);
}

/* n numbers to features. */
static void
store_numbers(const RecipeInput *in, const double *restrict num, int64_t n, float *restrict out)
{
	for (int64_t k = 0; k < n; k++)
		out[k] = number_feature(in, num[k]);
}

/* The parts of a date; all missing for what is outside the calendar. */
static void
store_date(const RecipeInput *in, double seconds, float *out)
{
	PgmlCivil c;
	bool missing = !(fabs(seconds) <= PGML_MAX_SECONDS);

	if (missing)
	{
		for (uint32_t k = 0; k < in->n_features; k++)
			out[k] = NAN;
		return;
	}
	pgml_civil(seconds, &c);
	const float part[RECIPE_PARTS] = { number_feature(in, seconds / 86400.0),
									   (float) c.year,
									   (float) c.month,
									   (float) c.day,
									   (float) c.weekday,
									   (float) c.yday,
									   (float) (c.hour + c.minute / 60.0) };
	for (int p = 0; p < RECIPE_PARTS; p++)
	{
		if (in->parts & 1u << p)
			*out++ = part[p];
	}
}

/* True when a value read for this base counts as missing. */
static inline bool
is_missing(const RecipeInput *in, double v)
{
	if (in->base == RECIPE_DATE || in->base == RECIPE_DATE_TEXT)
		return !(fabs(v) <= PGML_MAX_SECONDS);
	return isnan(v);
}

/* Features of a value that was read. */
static inline void
store(const RecipeInput *in, double v, float *out)
{
	switch (in->step)
	{
		case RECIPE_DROP:
			break;
		case RECIPE_DATE:
		case RECIPE_DATE_TEXT:
			store_date(in, v, out);
			break;
		case RECIPE_MISSING:
			*out = is_missing(in, v);
			break;
		case RECIPE_CATEGORY:
		case RECIPE_BOOLEAN:
			*out = (float) v;
			break;
		default:
			*out = number_feature(in, v);
			break;
	}
}

/* ---- reading --------------------------------------------------------------------------------- */

/* "column "age" needs a number, not "abc"". */
static PgmlStatus
wrong_value(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value,
			const char *needs, PgmlError *err)
{
	const char *name = recipe_string(recipe, in->name, NULL);

	if (value->kind != PGML_KIND_TEXT)
		return pgml_fail(err, PGML_ERR_DATA, "column \"%s\" needs %s, not %s %s", name, needs,
						 value->kind == PGML_KIND_INTERVAL ? "an" : "a",
						 pgml_kind_name(value->kind));
	uint32_t len = pgml_clip(value->str, value->len, SHOWN);
	return pgml_fail(err, PGML_ERR_DATA, "column \"%s\" needs %s, not \"%.*s%s\"", name, needs,
					 (int) len, value->str, len < value->len ? "..." : "");
}

/* "Infinity" and the like, as PostgreSQL writes and reads them, for a column whose type has them. */
static bool
text_infinity(const char *s, uint32_t len, double *out)
{
	pgml_trim(&s, &len);
	bool negative = len > 0 && *s == '-';
	if (len > 0 && (*s == '-' || *s == '+'))
	{
		s++;
		len--;
	}
	if (!recipe_text_equal(s, len, "infinity", 8) && !recipe_text_equal(s, len, "inf", 3))
		return false;
	*out = negative ? -INFINITY : INFINITY;
	return true;
}

/* A number; text that was read in training may be unreadable now as it was then. */
static PgmlStatus
read_number(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value, double *out,
			PgmlError *err)
{
	bool unread;

	switch (value->kind)
	{
		case PGML_KIND_NUMBER:
		case PGML_KIND_BOOL:
			*out = value->num;
			return PGML_OK;
		case PGML_KIND_TEXT:
			*out = recipe_text_number(value->str, value->len, (in->flags & RECIPE_COMMA) != 0,
									  &unread);
			if (!unread || in->base == RECIPE_NUMBER_TEXT ||
				text_infinity(value->str, value->len, out))
				return PGML_OK;
			break;
		default:
			break;
	}
	return wrong_value(recipe, in, value, "a number", err);
}

/* 't', 'yes', '1' ... as PostgreSQL reads booleans; -1 when text is none. */
static int
text_boolean(const char *s, uint32_t len)
{
	static const char *const words[] = { "true",  "t", "yes", "y", "on",  "1",
										 "false", "f", "no",  "n", "off", "0" };

	for (int i = 0; i < 12; i++)
	{
		if (recipe_text_equal(s, len, words[i], (uint32_t) strlen(words[i])))
			return i < 6;
	}
	return -1;
}

/* 0 or 1. */
static PgmlStatus
read_boolean(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value, double *out,
			 PgmlError *err)
{
	switch (value->kind)
	{
		case PGML_KIND_NUMBER:
		case PGML_KIND_BOOL:
			*out = isnan(value->num) ? NAN : value->num != 0;
			return PGML_OK;
		case PGML_KIND_TEXT:
		{
			int b = text_boolean(value->str, value->len);
			*out = b < 0 ? NAN : b;
			if (b >= 0 || pgml_is_missing_marker(value->str, value->len))
				return PGML_OK;
			break;
		}
		default:
			break;
	}
	return wrong_value(recipe, in, value, "a boolean", err);
}

/* Seconds of a date. */
static PgmlStatus
read_date(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value, double *out,
		  PgmlError *err)
{
	bool unread;

	switch (value->kind)
	{
		case PGML_KIND_DATE:
		case PGML_KIND_TIMESTAMP:
			*out = value->num;
			return PGML_OK;
		case PGML_KIND_TEXT:
			*out = recipe_text_date(value->str, value->len, (in->flags & RECIPE_DAY_FIRST) != 0,
									&unread);
			if (!unread || in->base == RECIPE_DATE_TEXT)
				return PGML_OK;
			break;
		default:
			break;
	}
	return wrong_value(recipe, in, value, "a date", err);
}

/* Seconds of a time of day or an interval; numbers are taken as seconds. */
static PgmlStatus
read_duration(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value, double *out,
			  PgmlError *err)
{
	bool time = in->base == RECIPE_TIME;

	switch (value->kind)
	{
		case PGML_KIND_TIME:
		case PGML_KIND_INTERVAL:
		case PGML_KIND_NUMBER:
			*out = value->num;
			return PGML_OK;
		case PGML_KIND_TEXT:
			if (time ? pgml_parse_time(value->str, value->len, out) :
					   pgml_parse_interval(value->str, value->len, out))
				return PGML_OK;
			*out = NAN;
			if (pgml_is_missing_marker(value->str, value->len))
				return PGML_OK;
			break;
		default:
			break;
	}
	return wrong_value(recipe, in, value, time ? "a time" : "an interval", err);
}

/* First place in the level table with at least this hash. */
static uint32_t
first_level(const PgmlRecipe *recipe, const RecipeInput *in, uint64_t hash)
{
	uint32_t low = 0;
	uint32_t high = in->n_named;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;
		uint64_t h;
		memcpy(&h, recipe->bytes + in->levels + mid * sizeof(RecipeLevel), sizeof(h));
		if (h < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Level of a text, -1 when it has none of its own. */
static int32_t
find_level(const PgmlRecipe *recipe, const RecipeInput *in, const char *s, uint32_t len)
{
	uint64_t hash = recipe_text_hash(s, len);

	for (uint32_t i = first_level(recipe, in, hash); i < in->n_named; i++)
	{
		RecipeLevel level;
		uint32_t n;
		memcpy(&level, recipe->bytes + in->levels + i * sizeof(level), sizeof(level));
		if (level.hash != hash)
			break;
		const char *text = recipe_string(recipe, level.text, &n);
		if (recipe_text_equal(s, len, text, n))
			return (int32_t) level.level;
	}
	return -1;
}

/* Level of a category; other kinds by the text that PostgreSQL shows for them. Never fails. */
static double
read_level(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value)
{
	char buf[64];
	const char *s = value->str;
	uint32_t len = value->len;

	if (value->kind != PGML_KIND_TEXT)
	{
		len = pgml_value_print(value, buf, sizeof(buf));
		s = buf;
	}
	if (pgml_is_pure_missing_marker(s, len))
		return NAN;
	if (in->step != RECIPE_CATEGORY)
		return 0;
	int32_t level = find_level(recipe, in, s, len);
	if (level < 0 && value->kind == PGML_KIND_BOOL)
		level = find_level(recipe, in, value->num != 0 ? "t" : "f", 1);
	if (level >= 0)
		return level;
	return in->flags & RECIPE_OTHER ? (double) in->n_named : NAN;
}

/* Read a value as the column needs it; NaN when it is missing. */
static PgmlStatus
read_value(const PgmlRecipe *recipe, const RecipeInput *in, const PgmlValue *value, double *out,
		   PgmlError *err)
{
	*out = NAN;
	if (in->step == RECIPE_DROP || value->is_null ||
		(value->kind != PGML_KIND_TEXT && isnan(value->num)))
		return PGML_OK;
	switch (in->base)
	{
		case RECIPE_NUMBER:
		case RECIPE_NUMBER_TEXT:
			return read_number(recipe, in, value, out, err);
		case RECIPE_BOOLEAN:
			return read_boolean(recipe, in, value, out, err);
		case RECIPE_DATE:
		case RECIPE_DATE_TEXT:
			return read_date(recipe, in, value, out, err);
		case RECIPE_TIME:
		case RECIPE_INTERVAL:
			return read_duration(recipe, in, value, out, err);
		default:
			*out = read_level(recipe, in, value);
			return PGML_OK;
	}
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_apply_value(const PgmlRecipe *recipe, int32_t i, const PgmlValue *value,
						float *features, PgmlError *err)
{
	return pgml_recipe_apply_at(recipe, i, value, features, 1, err);
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_apply_at(const PgmlRecipe *recipe, int32_t i, const PgmlValue *value, float *x,
					 int64_t stride, PgmlError *err)
{
	RecipeInput in = recipe_input(recipe, i);
	float out[RECIPE_PARTS];
	double v;

	PGML_TRY(read_value(recipe, &in, value, &v, err));
	store(&in, v, out);
	x += in.first_feature * stride;
	for (uint32_t j = 0; j < in.n_features; j++)
		x[j * stride] = out[j];
	return PGML_OK;
}

/* ---- columns --------------------------------------------------------------------------------- */

/* True when numbers of that kind are what reading the values would give. */
static bool
reads_as_is(const RecipeInput *in, PgmlKind kind)
{
	switch (kind)
	{
		case PGML_KIND_BOOL:
			return in->base == RECIPE_NUMBER || in->base == RECIPE_NUMBER_TEXT;
		case PGML_KIND_NUMBER:
			return in->base == RECIPE_NUMBER || in->base == RECIPE_NUMBER_TEXT ||
				   in->base == RECIPE_TIME || in->base == RECIPE_INTERVAL;
		case PGML_KIND_DATE:
		case PGML_KIND_TIMESTAMP:
			return in->base == RECIPE_DATE || in->base == RECIPE_DATE_TEXT;
		case PGML_KIND_TIME:
		case PGML_KIND_INTERVAL:
			return in->base == RECIPE_TIME || in->base == RECIPE_INTERVAL;
		default:
			return false;
	}
}

/* True when the one feature of this input is its number. */
static bool
stores_number(const RecipeInput *in)
{
	return in->step == RECIPE_NUMBER || in->step == RECIPE_NUMBER_TEXT || in->step == RECIPE_TIME ||
		   in->step == RECIPE_INTERVAL;
}

/* See recipe.h. */
bool
pgml_recipe_number_step(const PgmlRecipe *recipe, int32_t i, PgmlKind kind, PgmlNumberStep *step)
{
	RecipeInput in = recipe_input(recipe, i);

	*step = number_step(&in);
	return reads_as_is(&in, kind) && stores_number(&in);
}

/* Features of n numbers of one kind into columns: what needs no reading is stored at once. */
static PgmlStatus
apply_numbers(const PgmlRecipe *recipe, const RecipeInput *in, PgmlKind kind, const double *num,
			  int64_t n, float *const *col, PgmlError *err)
{
	bool as_is = reads_as_is(in, kind);
	float out[RECIPE_PARTS];

	if (as_is && stores_number(in))
	{
		store_numbers(in, num, n, col[0]);
		return PGML_OK;
	}
	for (int64_t row = 0; row < n; row++)
	{
		double x = num[row];

		if (!as_is)
		{
			PgmlValue v = { .kind = kind, .num = x };
			PGML_TRY(read_value(recipe, in, &v, &x, err));
		}
		store(in, x, out);
		for (uint32_t j = 0; j < in->n_features; j++)
			col[j][row] = out[j];
	}
	return PGML_OK;
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_apply_numbers(const PgmlRecipe *recipe, int32_t i, PgmlKind kind, const double *num,
						  int64_t n, float *x, int64_t stride, PgmlError *err)
{
	RecipeInput in = recipe_input(recipe, i);
	float *col[RECIPE_PARTS];

	for (uint32_t j = 0; j < in.n_features; j++)
		col[j] = x + (in.first_feature + j) * stride;
	return apply_numbers(recipe, &in, kind, num, n, col, err);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Read each string of a text column once. */
static PgmlStatus
apply_text(const PgmlEnv *env, const PgmlRecipe *recipe, const RecipeInput *in, const PgmlColumn *c,
		   int64_t nrows, PgmlArena *arena, float **col)
{
	int32_t size = pgml_dict_size(c->dict);
	uint32_t k = in->n_features;
	float *entry = pgml_array(arena, ((size_t) size + 1) * k, sizeof(float));

	if (entry == NULL)
		return pgml_fail_nomem(env, "the features");
	for (int32_t code = -1; code < size; code++)
	{
		PgmlValue v = { .kind = PGML_KIND_TEXT, .is_null = code < 0 };
		double x;

		if (fit_stopped(env, code))
			return pgml_fail_cancelled(env);
		if (code >= 0)
			v.str = pgml_dict_get(c->dict, code, &v.len);
		PGML_TRY(read_value(recipe, in, &v, &x, env->error));
		store(in, x, entry + (size_t) (code + 1) * k);
	}
	for (int64_t row = 0; row < nrows; row++)
	{
		const float *from = entry + (size_t) (c->code[row] < 0 ? 0 : c->code[row] + 1) * k;

		if (fit_stopped(env, row))
			return pgml_fail_cancelled(env);
		for (uint32_t j = 0; j < k; j++)
			col[j][row] = from[j];
	}
	return PGML_OK;
}

/* A column of numbers, some at a time, of single precision too. */
static PgmlStatus
apply_number_column(const PgmlEnv *env, const PgmlRecipe *recipe, const RecipeInput *in,
					const PgmlColumn *c, int64_t nrows, float *const *col)
{
	double widened[COLUMN_STEP];
	float *at[RECIPE_PARTS];

	for (int64_t from = 0; from < nrows; from += COLUMN_STEP)
	{
		int64_t n = nrows - from < COLUMN_STEP ? nrows - from : COLUMN_STEP;

		if (fit_stopped(env, from))
			return pgml_fail_cancelled(env);
		for (int64_t i = 0; c->single != NULL && i < n; i++)
			widened[i] = c->single[from + i];
		for (uint32_t j = 0; j < in->n_features; j++)
			at[j] = col[j] + from;
		PGML_TRY(apply_numbers(recipe, in, c->kind, c->single != NULL ? widened : c->num + from, n,
							   at, env->error));
	}
	return PGML_OK;
}

/* Whether the column's numbers are its feature as they are: single precision, not centred, and no infinity to be clipped. */
static PgmlStatus
is_feature_itself(const PgmlEnv *env, const RecipeInput *in, const PgmlColumn *c, int64_t nrows,
				  bool *itself)
{
	*itself = c->single != NULL && in->step == RECIPE_NUMBER && in->center == 0;
	for (int64_t start = 0; *itself && start < nrows; start += RECIPE_POLL)
	{
		int64_t upto = start + RECIPE_POLL < nrows ? start + RECIPE_POLL : nrows;
		int infinite = 0;

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (int64_t row = start; row < upto; row++)
			infinite |= fabsf(c->single[row]) == INFINITY;
		*itself = !infinite;
	}
	return PGML_OK;
}

/* Room for the features of each column, or the column itself. */
static PgmlStatus
make_features(const PgmlEnv *env, const PgmlRecipe *recipe, const PgmlTable *table,
			  PgmlArena *arena, float **col)
{
	for (int32_t i = 0; i < recipe->n_inputs; i++)
	{
		RecipeInput in = recipe_input(recipe, i);
		bool itself;

		PGML_TRY(is_feature_itself(env, &in, &table->cols[i], table->nrows, &itself));
		if (itself)
			col[in.first_feature] = table->cols[i].single;
		for (uint32_t k = 0; !itself && k < in.n_features; k++)
		{
			float *feature = pgml_array(arena, (size_t) table->nrows + 1, sizeof(float));

			if (feature == NULL)
				return pgml_fail_nomem(env, "the features");
			col[in.first_feature + k] = feature;
		}
	}
	return PGML_OK;
}

/* What applying the columns of a table needs; each has an error of its own. */
typedef struct Application
{
	const PgmlEnv *env;
	const PgmlRecipe *recipe;
	const PgmlTable *table;
	float **col;
	PgmlError *errors;
} Application;

/* One column into its features. */
static PgmlStatus
apply_column(void *arg, int64_t i, int thread)
{
	const Application *a = arg;
	RecipeInput in = recipe_input(a->recipe, (int32_t) i);
	const PgmlColumn *c = &a->table->cols[i];
	float **col = a->col + in.first_feature;
	PgmlEnv env = *a->env;

	(void) thread;
	env.error = &a->errors[i];
	if (in.n_features == 0 || col[0] == c->single)
		return PGML_OK;
	if (c->kind != PGML_KIND_TEXT)
		return apply_number_column(&env, a->recipe, &in, c, a->table->nrows, col);
	PgmlArena *scratch = pgml_arena_create(env.budget);
	if (scratch == NULL)
		return pgml_fail_nomem(&env, "the features");
	PgmlStatus status = apply_text(&env, a->recipe, &in, c, a->table->nrows, scratch, col);
	pgml_arena_destroy(scratch);
	return status;
}

/* Apply column by column; what the first one that failed said is the failure. */
static PgmlStatus
apply_columns(Application *a)
{
	PgmlStatus status = pgml_par_for(a->env, a->recipe->n_inputs, apply_column, a);

	for (int32_t i = 0; status != PGML_OK && i < a->recipe->n_inputs; i++)
		if (a->errors[i].status == status)
		{
			*a->env->error = a->errors[i];
			return status;
		}
	return status == PGML_ERR_CANCELLED ? pgml_fail_cancelled(a->env) : status;
}

/* See recipe.h. */
PgmlStatus
pgml_recipe_apply_table(const PgmlEnv *env, const PgmlRecipe *recipe, const PgmlTable *table,
						PgmlArena *arena, PgmlMatrix *out)
{
	size_t d = (size_t) recipe->n_features;
	PgmlFeature *features = pgml_array(arena, d + 1, sizeof(*features));
	float **col = pgml_array(arena, d + 1, sizeof(*col));
	Application a = { .env = env, .recipe = recipe, .table = table, .col = col };

	if (table->ncols != recipe->n_inputs)
		return pgml_fail(env->error, PGML_ERR_INTERNAL, "the recipe has %d inputs, the table %d",
						 (int) recipe->n_inputs, table->ncols);
	if (features == NULL || col == NULL)
		return pgml_fail_nomem(env, "the features");
	for (size_t f = 0; f < d; f++)
		features[f] = pgml_recipe_feature(recipe, (int32_t) f);
	PGML_TRY(make_features(env, recipe, table, arena, col));
	PgmlArena *scratch = pgml_arena_create(env->budget);
	if (scratch != NULL)
		a.errors = pgml_zalloc(scratch, (size_t) table->ncols + 1, sizeof(PgmlError));
	PgmlStatus status = a.errors == NULL ? pgml_fail_nomem(env, "the features") : apply_columns(&a);
	pgml_arena_destroy(scratch);
	*out = (PgmlMatrix){ table->nrows, recipe->n_features, features, col };
	return status;
}
