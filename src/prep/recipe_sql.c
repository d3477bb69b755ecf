/*
 * recipe_sql.c - conditions on features in SQL.
 *
 * Numbers: a feature rises with its column, so a threshold on it is one on the column: the largest double whose feature does not exceed it.
 */
#include "prep/recipe_sql_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- writing ---------------------------------------------------------------------------------- */

/* A text between quotes, which are doubled. */
static void
put_quoted(PgmlBuf *out, char quote, const char *s, size_t len)
{
	pgml_buf_put_u8(out, (uint8_t) quote);
	for (size_t i = 0; i < len; i++)
	{
		if (s[i] == quote || (s[i] == '\\' && quote == '\''))
			pgml_buf_put_u8(out, (uint8_t) s[i]);
		pgml_buf_put_u8(out, (uint8_t) s[i]);
	}
	pgml_buf_put_u8(out, (uint8_t) quote);
}

void
pgml_sql_literal(PgmlBuf *out, const char *s, size_t len)
{
	/* Backslashes mean the same whatever standard_conforming_strings says. */
	if (memchr(s, '\\', len) != NULL)
		sql_put(out, " E");
	put_quoted(out, '\'', s, len);
}

void
pgml_sql_identifier(PgmlBuf *out, const char *s)
{
	put_quoted(out, '"', s, strlen(s));
}

void
pgml_sql_number(PgmlBuf *out, double v)
{
	char buf[64];

	for (int digits = 1; digits <= 17; digits++)
	{
		snprintf(buf, sizeof(buf), "'%.*g'::float8", digits, v);
		if (strtod(buf + 1, NULL) == v)
			break;
	}
	sql_put(out, buf);
}

void
sql_put_name(const SqlWriting *w)
{
	bool plain = w->name[0] != '\0' && !(w->name[0] >= '0' && w->name[0] <= '9');

	for (const char *c = w->name; *c != '\0'; c++)
		plain &= (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_';
	if (!w->exact && plain)
		sql_put(w->out, w->name);
	else
		pgml_sql_identifier(w->out, w->name);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

double
sql_largest_left(const PgmlNumberStep *step, double threshold)
{
	int64_t low = sql_place_of(-DBL_MAX), high = sql_place_of(DBL_MAX);

	if (!(pgml_number_feature(step, -DBL_MAX) <= threshold))
		return -INFINITY;
	if (pgml_number_feature(step, DBL_MAX) <= threshold)
		return DBL_MAX;
	/* The feature of low is left, that of high is not. */
	while (high - 1 > low)
	{
		int64_t middle = (int64_t) (((__int128) low + high) >> 1);

		if (pgml_number_feature(step, sql_at_place(middle)) <= threshold)
			low = middle;
		else
			high = middle;
	}
	return sql_at_place(low);
}

/* The number with the fewest digits that has the same feature as the threshold, for readers. */
static void
put_short(PgmlBuf *out, const PgmlNumberStep *step, double threshold)
{
	char buf[64];
	double v = threshold + step->center;

	for (int digits = 1; digits <= 17; digits++)
	{
		snprintf(buf, sizeof(buf), "%.*g", digits, v);
		if (pgml_number_feature(step, strtod(buf, NULL)) == (float) threshold)
			break;
	}
	sql_put(out, buf);
}

static bool
is_integer(const char *type)
{
	return strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 ||
		   strcmp(type, "smallint") == 0;
}

/* What a number is compared as: itself, as double precision, or the seconds of an interval. */
static void
put_operand(const SqlWriting *w)
{
	bool interval = w->in.step == RECIPE_INTERVAL;

	sql_put(w->out, interval ? "pg_catalog.date_part('epoch', " : "");
	sql_put_name(w);
	sql_put(w->out, interval ? ")" : w->exact && !is_integer(w->type) ? "::float8" : "");
}

/* Is NaN missing, too? Intervals are never NaN. */
static bool
has_nan(const SqlWriting *w)
{
	return w->exact && w->in.kind == PGML_KIND_NUMBER && !is_integer(w->type);
}

/* "x IS NULL" or not. */
static void
put_missing(const SqlWriting *w, bool missing)
{
	bool nan = has_nan(w);

	sql_put(w->out, missing && nan ? "(" : "");
	sql_put_name(w);
	sql_put(w->out, missing ? " IS NULL" : " IS NOT NULL");
	if (!nan)
		return;
	sql_put(w->out, missing ? " OR " : " AND ");
	put_operand(w);
	sql_put(w->out, missing ? " = 'NaN')" : " <> 'NaN'");
}

/* A number's condition. */
static void
put_number(const SqlWriting *w)
{
	PgmlNumberStep step = sql_number_step(w);
	double bound =
		isnan(w->test->threshold) ? -INFINITY : sql_largest_left(&step, w->test->threshold);
	bool nan = has_nan(w);
	bool missing = sql_takes_missing(w);
	bool none = w->left ? bound == -INFINITY : bound == DBL_MAX; /* of the numbers */
	bool all = w->left ? bound == DBL_MAX : bound == -INFINITY;

	if (none || all)
	{
		if (none != missing)
			sql_put(w->out, missing ? "true" : "false");
		else
			put_missing(w, missing);
		return;
	}
	sql_put(w->out, missing || (nan && !w->left) ? "(" : "");
	put_operand(w);
	sql_put(w->out, w->left ? " <= " : " > ");
	if (is_integer(w->type) && fabs(bound) < 9007199254740992.0)
	{
		char buf[32];

		snprintf(buf, sizeof(buf), "%.0f", floor(bound));
		sql_put(w->out, buf);
	}
	else if (w->exact)
		pgml_sql_number(w->out, bound);
	else
		put_short(w->out, &step, w->test->threshold);
	if (!missing)
	{
		/* PostgreSQL has NaN greater than all numbers. */
		if (nan && !w->left)
		{
			sql_put(w->out, " AND ");
			put_operand(w);
			sql_put(w->out, " <> 'NaN')");
		}
		return;
	}
	sql_put(w->out, " OR ");
	sql_put_name(w);
	sql_put(w->out, " IS NULL");
	if (nan && w->left)
	{
		sql_put(w->out, " OR ");
		put_operand(w);
		sql_put(w->out, " = 'NaN'");
	}
	sql_put(w->out, ")");
}

/* A boolean: features 0 and 1. */
static void
put_boolean(const SqlWriting *w)
{
	bool zero = (0 <= w->test->threshold) == w->left; /* false satisfies the condition */
	bool one = (1 <= w->test->threshold) == w->left;
	bool missing = sql_takes_missing(w);

	if (zero == one)
	{
		if (zero != missing)
			put_missing(w, missing);
		else
			sql_put(w->out, zero ? "true" : "false");
		return;
	}
	sql_put_name(w);
	if (missing)
		sql_put(w->out, one ? " IS NOT FALSE" : " IS NOT TRUE");
	else
		sql_put(w->out, one ? " IS TRUE" : " IS FALSE");
}

/* ---- categories ------------------------------------------------------------------------------- */

/* The column as its levels are told apart: without blanks around it, in small ASCII letters. */
static void
put_folded_name(const SqlWriting *w)
{
	if (!w->exact)
	{
		sql_put_name(w);
		return;
	}
	sql_put(w->out, "pg_catalog.lower(pg_catalog.btrim(");
	sql_put_name(w);
	sql_put(w->out, "::text, " SQL_BLANKS ") COLLATE pg_catalog.\"C\")");
}

/* Append the levels on one side, separated by commas; returns how many there are. */
static int
put_levels(const SqlWriting *w, bool left, int n)
{
	for (uint32_t l = 0; l < w->in.n_named; l++)
		for (uint32_t i = 0; i < w->in.n_named && w->test->level_left[l] == left; i++)
		{
			RecipeLevel level;
			uint32_t len;
			const char *text;

			memcpy(&level, w->recipe->bytes + w->in.levels + i * sizeof(level), sizeof(level));
			if (level.level != l)
				continue;
			text = recipe_string(w->recipe, level.text, &len);
			sql_put(w->out, n++ > 0 ? ", " : "");
			if (!w->exact)
				put_quoted(w->out, '\'', text, len);
			else
			{
				PgmlBuf folded;

				pgml_buf_init(&folded, w->out->budget);
				for (uint32_t c = 0; c < len; c++)
					pgml_buf_put_u8(&folded, (uint8_t) pgml_fold(text[c]));
				w->out->failed |= folded.failed;
				if (!folded.failed)
					pgml_sql_literal(w->out, folded.len > 0 ? (const char *) folded.data : "",
									 folded.len);
				pgml_buf_free(&folded);
			}
		}
	return n;
}

/* Append the texts that stand for missing. */
static void
put_markers(const SqlWriting *w, int n)
{
	const char *marker;

	for (int i = 0; (marker = pgml_pure_missing_marker(i)) != NULL; i++)
	{
		sql_put(w->out, n++ > 0 ? ", " : "");
		pgml_sql_literal(w->out, marker, strlen(marker));
	}
}

/* Has a side levels with names? */
static bool
has_levels(const SqlWriting *w, bool left)
{
	for (uint32_t l = 0; l < w->in.n_named; l++)
		if (w->test->level_left[l] == left)
			return true;
	return false;
}

/* A category's condition: levels that are listed, or all that are not. */
static void
put_category(const SqlWriting *w)
{
	bool missing = sql_takes_missing(w);
	bool pooled = (w->in.flags & RECIPE_OTHER) != 0;
	/* Unseen values count as the last level, or as missing. */
	bool unseen = pooled ? w->test->level_left[w->in.n_named] == w->left : missing;
	bool side = unseen ? !w->left : w->left;
	/* Markers of missing are among what is not listed, or have to be. */
	bool markers = w->exact && unseen != missing;

	if (!markers && !has_levels(w, side))
	{
		if (missing == unseen)
			sql_put(w->out, missing ? "true" : "false");
		else
			put_missing(w, missing);
		return;
	}
	if (missing)
	{
		sql_put(w->out, "(");
		sql_put_name(w);
		sql_put(w->out, " IS NULL OR ");
	}
	put_folded_name(w);
	sql_put(w->out, unseen ? " NOT IN (" : " IN (");
	int n = put_levels(w, side, 0);
	if (markers)
		put_markers(w, n);
	sql_put(w->out, missing ? "))" : ")");
}

/* Whether a value is missing: feature 1 when it is, else 0. */
static void
put_indicator(const SqlWriting *w)
{
	bool present = (0 <= w->test->threshold) == w->left; /* what satisfies the condition */
	bool missing = (1 <= w->test->threshold) == w->left;

	if (present == missing)
		sql_put(w->out, missing ? "true" : "false");
	else if (!w->exact)
		put_missing(w, missing);
	else if (w->in.base == RECIPE_DATE)
		sql_put_missing_date(w, missing);
	else if (w->in.base == RECIPE_NUMBER_TEXT)
		sql_put_missing_number_text(w, missing);
	else if (w->in.base == RECIPE_CATEGORY)
	{
		sql_put(w->out, "(");
		put_folded_name(w);
		sql_put(w->out, " NOT IN (");
		put_markers(w, 0);
		sql_put(w->out, missing ? ")) IS NOT TRUE" : "))");
	}
	else
		put_missing(w, missing);
}

/* ---- the condition ---------------------------------------------------------------------------- */

/* Why a column's feature has no exact condition; NULL: it has one. */
static const char *
cannot_say(const RecipeInput *in, const char *name, const char *type)
{
	PgmlOrigin origin = (PgmlOrigin) (in->flags >> RECIPE_ORIGIN_SHIFT);
	size_t len = strlen(name);

	if (len > 2 && name[len - 1] == ']' && strchr(name, '[') != NULL)
		return "it is an element of an array";
	if (origin == PGML_ORIGIN_MONEY || origin == PGML_ORIGIN_JSON)
		return "its type is money or json";
	if (strcmp(type, "inet") == 0 || strcmp(type, "cidr") == 0)
		return "it is a network address";
	/* Values are asked for as they were trained on. */
	switch (in->base)
	{
		case RECIPE_NUMBER:
			return in->kind == PGML_KIND_NUMBER ? NULL : "it is not a number";
		case RECIPE_BOOLEAN:
			return in->kind == PGML_KIND_BOOL ? NULL : "it is not a boolean";
		case RECIPE_CATEGORY:
		case RECIPE_NUMBER_TEXT:
			return in->kind == PGML_KIND_TEXT ? NULL : "it is not text";
		case RECIPE_DATE:
			return in->kind == PGML_KIND_DATE || in->kind == PGML_KIND_TIMESTAMP ?
					   NULL :
					   "it is not a date";
		case RECIPE_TIME:
			return in->kind == PGML_KIND_TIME ? NULL : "it is not a time";
		case RECIPE_INTERVAL:
			return in->kind == PGML_KIND_INTERVAL ? NULL : "it is not an interval";
		default:
			return "it is text that is read as dates";
	}
}

/* For readers: a feature that is no column by its own name. */
static void
put_part(const SqlWriting *w, int32_t f)
{
	bool days = (w->in.step == RECIPE_DATE || w->in.step == RECIPE_DATE_TEXT) &&
				(w->in.parts & 1u << RECIPE_DAYS) && f == (int32_t) w->in.first_feature;
	char buf[64];

	sql_put(w->out, sql_takes_missing(w) ? "(" : "");
	if (days)
	{
		PgmlValue v = { .kind = PGML_KIND_DATE,
						.num = floor(w->test->threshold + w->in.center) * 86400.0 };

		sql_put_name(w);
		sql_put(w->out, w->left ? " <= " : " > ");
		if (isfinite(v.num))
			pgml_value_print(&v, buf, sizeof(buf));
		else
			snprintf(buf, sizeof(buf), "%g", v.num);
	}
	else
	{
		sql_put(w->out, pgml_recipe_feature(w->recipe, f).name);
		sql_put(w->out, w->left ? " <= " : " > ");
		snprintf(buf, sizeof(buf), "%.6g",
				 w->test->threshold + (w->in.n_features == 1 ? w->in.center : 0));
	}
	sql_put(w->out, buf);
	if (sql_takes_missing(w))
	{
		sql_put(w->out, " OR ");
		sql_put_name(w);
		sql_put(w->out, " IS NULL)");
	}
}

PgmlStatus
pgml_recipe_condition(const PgmlRecipe *recipe, int32_t f, const PgmlFeatureTest *test, bool left,
					  bool exact, PgmlBuf *out, PgmlError *err)
{
	int32_t source = (int32_t) recipe_feature(recipe, f).source;
	SqlWriting w = { .recipe = recipe,
					 .in = recipe_input(recipe, source),
					 .test = test,
					 .left = left,
					 .exact = exact,
					 .out = out };
	const char *reason;

	w.name = recipe_string(recipe, w.in.name, NULL);
	w.type = recipe_string(recipe, w.in.type_name, NULL);
	reason = cannot_say(&w.in, w.name, w.type);
	if (exact && reason != NULL)
	{
		pgml_fail(err, PGML_ERR_BADARG, "conditions on column \"%s\" cannot be written in SQL: %s",
				  w.name, reason);
		pgml_fail_hint(err,
					   "Train with exclude => '{%s}', or use automl_rules(), which is for readers.",
					   w.name);
		return PGML_ERR_BADARG;
	}
	if (test->level_left != NULL)
		put_category(&w);
	else if (w.in.step == RECIPE_BOOLEAN)
		put_boolean(&w);
	else if (w.in.step == RECIPE_MISSING)
		put_indicator(&w);
	else if (exact && w.in.step == RECIPE_NUMBER_TEXT)
		sql_put_number_text(&w);
	else if (exact && w.in.step == RECIPE_DATE)
		sql_put_date(&w, f);
	else if (exact && w.in.step == RECIPE_TIME)
		sql_put_time(&w);
	else if (w.in.step == RECIPE_NUMBER || w.in.step == RECIPE_NUMBER_TEXT || exact)
		put_number(&w);
	else
		put_part(&w, f);
	return PGML_OK;
}
