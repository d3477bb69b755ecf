/*
 * recipe_sql_text.c - conditions on numbers that are stored as text.
 *
 * SQL reads them as pgml_parse_number() does: the first thing that looks like a number is taken out, what is left around it has to be a sign, a currency,
 * a percent sign or parentheses where these may be, and the number becomes a numeric, which no text that has passed is too large for.
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "prep/recipe_sql_internal.h"

/* A number without sign, perhaps with commas between thousands. */
#define NUMBER                                                                                     \
	"'(?:(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]+)?'"

/* What may be around it, which is 0 here: after a sign or in parentheses there is no other sign. */
#define BLANK    "[ \\t\\n\\x0b\\f\\r]*"
#define CURRENCY "(?:[$]|€|£|¥|USD|EUR|GBP)"
#define AROUND                                                                                     \
	"E'^" BLANK "(?:[+-]?0|[+-]?" BLANK "0" BLANK "(?:%|" CURRENCY ")|(?:[+-]" CURRENCY BLANK      \
	"|" CURRENCY BLANK "[+-]?)0|[(]" BLANK "(?:0(?:" BLANK "(?:%|" CURRENCY "))?|" CURRENCY BLANK  \
	"0)" BLANK "[)])" BLANK "$'"

/* The longest text that is read, in bytes. */
#define MOST_BYTES "500"

/* What is rounded to infinity, which no number is: 2^1024 - 2^970 but for its last 279 digits. */
#define TOO_LARGE "1.797693134862315807937289714053e308"

/* A point between whole numbers and decimals, whatever the column has. */
static void
put_text(const SqlWriting *w)
{
	bool comma = (w->in.flags & RECIPE_COMMA) != 0;

	sql_put(w->out, comma ? "pg_catalog.translate(" : "");
	sql_put_name(w);
	sql_put(w->out, comma ? "::text COLLATE pg_catalog.\"C\", ',.', '.,')" :
							"::text COLLATE pg_catalog.\"C\"");
}

/* The number as a numeric; NULL when the text is none.  Exponents beyond 999 stand for too large numbers and 0, as 999 does. */
static void
put_value(const SqlWriting *w)
{
	sql_put(w->out, "CASE WHEN pg_catalog.octet_length(pg_catalog.btrim(");
	put_text(w);
	sql_put(w->out, ", " SQL_BLANKS ")) <= " MOST_BYTES " AND pg_catalog.regexp_replace(");
	put_text(w);
	sql_put(w->out, ", " NUMBER ", '0') ~ " AROUND " THEN (CASE WHEN ");
	put_text(w);
	sql_put(w->out, " ~ '^[^0-9.]*[-(]' THEN '-' ELSE '' END"
					" || pg_catalog.regexp_replace(pg_catalog.replace(pg_catalog.substring(");
	put_text(w);
	sql_put(w->out,
			", " NUMBER "), ',', ''), '([eE][+-]?)0*[1-9][0-9]{3,}$', E'\\\\1999'))::numeric END");
}

/*
 * The number half way between a double and the next one: what is less, or equal where the double is even, is rounded to the double or one
 * below it.  Its digits are exact.
 */
static void
put_middle(PgmlBuf *out, double v)
{
	_Static_assert(LDBL_MANT_DIG > DBL_MANT_DIG, "there is room for half a unit");
	long double middle = ((long double) v + (long double) sql_at_place(sql_place_of(v) + 1)) / 2;
	bool plain = middle == 0 || (fabsl(middle) >= 1e-9L && fabsl(middle) < 1e15L);
	char buf[1400];
	char *exponent, *end;

	snprintf(buf, sizeof(buf), plain ? "%.1100Lf" : "%.1100Le", middle);
	exponent = plain ? buf + strlen(buf) : strchr(buf, 'e');
	for (end = exponent; end[-1] == '0'; end--)
		;
	end -= end[-1] == '.';
	memmove(end, exponent, strlen(exponent) + 1);
	sql_put(out, buf);
}

/* Numbers on one side of a threshold. */
static void
put_side(const SqlWriting *w, double bound, bool left)
{
	bool even = sql_place_of(bound) % 2 == 0;

	put_value(w);
	if (left)
	{
		sql_put(w->out, even ? " <= " : " < ");
		put_middle(w->out, bound);
	}
	else
		sql_put(w->out, " < " TOO_LARGE);
	sql_put(w->out, " AND ");
	put_value(w);
	if (left)
		sql_put(w->out, " > -" TOO_LARGE);
	else
	{
		sql_put(w->out, even ? " > " : " >= ");
		put_middle(w->out, bound);
	}
}

void
sql_put_missing_number_text(const SqlWriting *w, bool missing)
{
	sql_put(w->out, "(");
	put_value(w);
	sql_put(w->out, " < " TOO_LARGE " AND ");
	put_value(w);
	sql_put(w->out, missing ? " > -" TOO_LARGE ") IS NOT TRUE" : " > -" TOO_LARGE ")");
}

void
sql_put_number_text(const SqlWriting *w)
{
	PgmlNumberStep step = sql_number_step(w);
	double bound =
		isnan(w->test->threshold) ? -INFINITY : sql_largest_left(&step, w->test->threshold);
	bool missing = sql_takes_missing(w);

	if (bound == -INFINITY || bound == DBL_MAX)
	{
		bool all = w->left == (bound == DBL_MAX);

		if (all == missing)
			sql_put(w->out, all ? "true" : "false");
		else
			sql_put_missing_number_text(w, missing);
		return;
	}
	put_side(w, bound, sql_open_side(w));
	sql_close_side(w);
}
