/*
 * recipe_describe.c - what was done to a column, in words.
 *
 * The words are made when the recipe is fitted, while the counts are at hand, and stored with it.
 */
#include <stdarg.h>
#include <stdio.h>

#include "prep/recipe_internal.h"

#define MAX_WORDS 600

/* A sentence that grows; what does not fit is cut. */
typedef struct Words
{
	char text[MAX_WORDS];
	size_t len;
} Words;

static void say(Words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append to the sentence. */
static void
say(Words *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(w->text + w->len, sizeof(w->text) - w->len, fmt, args);
	va_end(args);
	if (n > 0)
		w->len += (size_t) n;
	if (w->len >= sizeof(w->text))
		w->len = pgml_clip_end(w->text, sizeof(w->text) - 1);
}

/* "5.7 %", "less than 0.1 %". */
static void
say_share(Words *w, int64_t part, int64_t whole)
{
	double percent = whole > 0 ? 100.0 * (double) part / (double) whole : 0;

	if (part > 0 && percent < 0.1)
		say(w, "less than 0.1 %%");
	else if (part < whole && percent > 99.9)
		say(w, "more than 99.9 %%");
	else if (percent == floor(percent))
		say(w, "%.0f %%", percent);
	else
		say(w, "%.1f %%", percent);
}

/* A value of the column's kind. */
static void
say_value(Words *w, PgmlKind kind, double num)
{
	char buf[64];
	PgmlValue v = { .kind = kind, .num = num };

	pgml_value_print(&v, buf, sizeof(buf));
	say(w, "%s", buf);
}

/* "from 17 to 90". */
static void
say_range(Words *w, const ColumnFit *f, PgmlKind kind)
{
	say(w, " from ");
	say_value(w, kind, f->low);
	say(w, " to ");
	say_value(w, kind, f->high);
}

/* Numbers, read from text or not. */
static void
say_number(Words *w, const ColumnFit *f)
{
	say(w, f->step == RECIPE_NUMBER_TEXT ? "text read as numbers" : "number");
	if (f->step == RECIPE_NUMBER_TEXT && f->comma)
		say(w, f->comma_decimals ? " with a decimal comma" : " with points between thousands");
	say_range(w, f, PGML_KIND_NUMBER);
	if (f->center != 0)
	{
		say(w, "; counted from ");
		say_value(w, PGML_KIND_NUMBER, f->center);
		say(w, " so that close values stay apart");
	}
}

/* Dates, and which features they give. */
static void
say_date(Words *w, const ColumnFit *f)
{
	bool first = true;
	PgmlKind kind =
		f->low == floor(f->low / 86400) * 86400 && f->high == floor(f->high / 86400) * 86400 ?
			PGML_KIND_DATE :
			PGML_KIND_TIMESTAMP;

	say(w, f->step == RECIPE_DATE_TEXT ? "text read as dates" : "date");
	if (f->day_first)
		say(w, ", day before month,");
	say_range(w, f, kind);
	say(w, "; used as");
	for (int p = 0; p < RECIPE_PARTS; p++)
	{
		if ((f->parts & 1u << p) == 0)
			continue;
		say(w, "%s %s", first ? "" : ",", recipe_part_name(p));
		first = false;
	}
}

/* Categories, and what was pooled and merged. */
static void
say_category(Words *w, const ColumnFit *f)
{
	int32_t levels = f->n_named + f->other;

	say(w, "category with %d level%s", (int) levels, levels == 1 ? "" : "s");
	if (f->n_pooled > 0)
		say(w, "; %lld rare level%s pooled as other", (long long) f->n_pooled,
			f->n_pooled == 1 ? "" : "s");
	if (f->n_spellings > 0)
		say(w, "; %lld spelling%s that differ%s only in case or blanks merged",
			(long long) f->n_spellings, f->n_spellings == 1 ? "" : "s",
			f->n_spellings == 1 ? "s" : "");
}

/* The treatment proper. */
static void
say_step(Words *w, const ColumnFit *f)
{
	switch (f->step)
	{
		case RECIPE_NUMBER:
		case RECIPE_NUMBER_TEXT:
			say_number(w, f);
			break;
		case RECIPE_CATEGORY:
			say_category(w, f);
			break;
		case RECIPE_BOOLEAN:
			say(w, "boolean, ");
			say_share(w, f->n_true, f->n - f->n_missing);
			say(w, " true");
			break;
		case RECIPE_DATE:
		case RECIPE_DATE_TEXT:
			say_date(w, f);
			break;
		case RECIPE_TIME:
			say(w, "time of day");
			say_range(w, f, PGML_KIND_TIME);
			say(w, ", in seconds");
			break;
		case RECIPE_INTERVAL:
			say(w, "interval");
			say_range(w, f, PGML_KIND_NUMBER);
			say(w, " seconds");
			break;
		default:
			say(w, "has one value only, so used as present or missing");
			break;
	}
}

/* See recipe_internal.h. */
const char *
fit_words(const RecipeFit *fit, const ColumnFit *f)
{
	Words w = { .len = 0 };

	w.text[0] = '\0';
	if (f->step == RECIPE_DROP)
	{
		say(&w, "%s", f->reason);
		return pgml_strndup(fit->arena, w.text, w.len);
	}
	say_step(&w, f);
	if (f->n_infinite > 0)
		say(&w, "; %lld infinite value%s set to the end of the range", (long long) f->n_infinite,
			f->n_infinite == 1 ? "" : "s");
	if (f->n_missing > 0)
	{
		say(&w, "; ");
		say_share(&w, f->n_missing, f->n);
		say(&w, " missing");
	}
	if (f->n_unread > 0)
	{
		say(&w, ", of which ");
		say_share(&w, f->n_unread, f->n_missing);
		say(&w, " could not be read");
	}
	return pgml_strndup(fit->arena, w.text, w.len);
}
