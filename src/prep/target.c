/*
 * target.c - the target column: which task it is, and clean class labels.
 *
 * The task, when none is asked for:
 *   boolean             two classes
 *   text                classes; regression when at least 95 % of the values are numbers, without leading zeros, of
 *                       more than 20 different spellings (markers of missing and unreadable values are missing then)
 *   integer             two different values: two classes; at most 10, each in 5 rows on average: classes, as ratings
 *                       and codes are; else regression
 *   other numbers       two different whole values: two classes; else regression
 *   interval            regression, in seconds
 *   date, timestamp, time: an error
 * Classes are sorted by the bytes of their labels; numbers are labelled as PostgreSQL shows them.
 */
#include "prep/target.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLASSES        1000
#define MAX_CODES          20 /* text: numbers of no more different values are codes */
#define MAX_INTEGER_LABELS 10
#define ROWS_PER_LABEL     5
#define SHOWN              40 /* bytes of a label in a message */
#define MAX_NOTICE         900
#define POLL               16384

/* Classes before they are sorted. */
typedef struct Labels
{
	int32_t n;
	const char *text[MAX_CLASSES];
	int32_t class_of[MAX_CLASSES];
} Labels;

typedef struct Reading
{
	const PgmlEnv *env;
	const PgmlTable *table;
	const PgmlColumn *col;
	int task; /* asked for: 0 any, -1 any classes */
	const char *positive_class;
	PgmlArena *arena;
	PgmlTarget *out;
	Labels labels;
	int64_t *count; /* text: rows per dictionary code */
	int32_t *group; /* text: label by dictionary code, -1 for missing */
	char notice[MAX_NOTICE];
	size_t notice_len;
} Reading;

/* Bytes of a label to show, for "%.*s". */
static int
shown(const char *s)
{
	return (int) pgml_clip(s, (uint32_t) strlen(s), SHOWN);
}

static void note(Reading *rd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append to the notice; a part that does not fit is left out as a whole. */
static void
note(Reading *rd, const char *fmt, ...)
{
	va_list args;
	size_t room = sizeof(rd->notice) - rd->notice_len;

	va_start(args, fmt);
	int n = vsnprintf(rd->notice + rd->notice_len, room, fmt, args);
	va_end(args);
	if (n > 0 && (size_t) n < room)
		rd->notice_len += (size_t) n;
	rd->notice[rd->notice_len] = '\0';
}

/* Begin a sentence of the notice. */
static void
note_separator(Reading *rd)
{
	if (rd->notice_len > 0)
		note(rd, "; ");
}

static bool
stopped(const Reading *rd, int64_t i)
{
	return (i & (POLL - 1)) == 0 && pgml_stopped(rd->env);
}

static PgmlStatus
data_error(Reading *rd, const char *problem, const char *hint)
{
	PgmlStatus status =
		pgml_fail(rd->env->error, PGML_ERR_DATA, "target column \"%s\" %s", rd->col->name, problem);
	if (hint != NULL)
		pgml_fail_hint(rd->env->error, "%s", hint);
	return status;
}

static PgmlStatus
too_many_classes(Reading *rd)
{
	return data_error(
		rd, "has more than 1000 different classes",
		"Predict numbers with task => 'regression'; an identifier or free text can not "
		"be a target.");
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Sort the labels by their bytes: class_of maps the order found to the order of classes. */
static PgmlStatus
sort_labels(Reading *rd)
{
	Labels *l = &rd->labels;
	const char **classes = pgml_array(rd->arena, (size_t) l->n + 1, sizeof(*classes));
	int32_t *order = pgml_array(rd->arena, (size_t) l->n + 1, sizeof(*order));

	if (classes == NULL || order == NULL)
		return pgml_fail_nomem(rd->env, "the classes");
	/* Binary insertion; there are at most a thousand. */
	for (int32_t i = 0; i < l->n; i++)
	{
		int32_t low = 0;
		int32_t high = i;
		while (low < high)
		{
			int32_t mid = (low + high) / 2;
			if (strcmp(l->text[order[mid]], l->text[i]) < 0)
				low = mid + 1;
			else
				high = mid;
		}
		memmove(order + low + 1, order + low, (size_t) (i - low) * sizeof(*order));
		order[low] = i;
	}
	for (int32_t k = 0; k < l->n; k++)
	{
		classes[k] = l->text[order[k]];
		l->class_of[order[k]] = k;
	}
	rd->out->classes = classes;
	rd->out->n_classes = l->n;
	return PGML_OK;
}

/* The part of a label that counts: without surrounding blanks and one full stop at the end. */
static void
label_core(const char **s, uint32_t *len)
{
	pgml_trim(s, len);
	if (*len > 1 && (*s)[*len - 1] == '.')
	{
		(*len)--;
		pgml_trim(s, len);
	}
}

/* Same label but for case, blanks and a full stop. */
static bool
same_label(const char *a, const char *b)
{
	uint32_t alen = (uint32_t) strlen(a);
	uint32_t blen = (uint32_t) strlen(b);

	label_core(&a, &alen);
	label_core(&b, &blen);
	if (alen != blen)
		return false;
	for (uint32_t i = 0; i < alen; i++)
	{
		if (pgml_fold(a[i]) != pgml_fold(b[i]))
			return false;
	}
	return true;
}

/* Make the class that was asked for number 1. */
static PgmlStatus
choose_positive(Reading *rd)
{
	PgmlTarget *out = rd->out;
	const char *want = rd->positive_class;

	if (want == NULL)
		return PGML_OK;
	if (out->task != PGML_TASK_BINARY)
		return pgml_fail(rd->env->error, PGML_ERR_BADARG,
						 "positive_class needs a target with two classes, not %d", out->n_classes);
	for (int k = 0; k < 2; k++)
	{
		if (!same_label(out->classes[k], want))
			continue;
		if (k == 0)
		{
			const char *swap = out->classes[0];
			out->classes[0] = out->classes[1];
			out->classes[1] = swap;
			for (int32_t i = 0; i < rd->labels.n; i++)
				rd->labels.class_of[i] = 1 - rd->labels.class_of[i];
		}
		return PGML_OK;
	}
	PgmlStatus status = pgml_fail(rd->env->error, PGML_ERR_BADARG,
								  "positive_class \"%.*s\" is not a label of \"%s\"", shown(want),
								  want, rd->col->name);
	pgml_fail_hint(rd->env->error, "The labels are \"%.*s\" and \"%.*s\".", shown(out->classes[0]),
				   out->classes[0], shown(out->classes[1]), out->classes[1]);
	return status;
}

/* Task, order and positive class for the labels that were found. */
static PgmlStatus
settle_classes(Reading *rd)
{
	int32_t n = rd->labels.n;
	char problem[160];

	if (n == 1)
	{
		snprintf(problem, sizeof(problem), "has only one class, \"%.*s\"",
				 shown(rd->labels.text[0]), rd->labels.text[0]);
		return data_error(rd, problem, "A model needs rows of at least two classes.");
	}
	if (rd->task == PGML_TASK_BINARY && n != 2)
	{
		snprintf(problem, sizeof(problem), "has %d classes, not two", (int) n);
		return data_error(rd, problem,
						  "Use task => 'multiclass', or leave the task to be inferred.");
	}
	if (rd->task == PGML_TASK_MULTICLASS && n == 2)
	{
		note_separator(rd);
		note(rd, "the target has two classes, so the task is binary");
	}
	rd->out->task = n == 2 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS;
	PGML_TRY(sort_labels(rd));
	return choose_positive(rd);
}

/* ---- regression ------------------------------------------------------------------------------ */

/* Check that the numbers in out->y can be learned. */
static PgmlStatus
settle_numbers(Reading *rd)
{
	int64_t infinite = 0;
	double first = NAN;
	bool varies = false;
	char problem[160];

	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = rd->out->y[i];

		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		infinite += isinf(v) != 0;
		if (isnan(first))
			first = v;
		varies |= v != first && !isnan(v);
	}
	if (infinite > 0)
	{
		snprintf(problem, sizeof(problem), "has %lld infinite value%s", (long long) infinite,
				 infinite == 1 ? "" : "s");
		return data_error(rd, problem, "Leave these rows out with a query that filters them.");
	}
	if (!varies)
	{
		snprintf(problem, sizeof(problem), "has the same value in every row, %.17g", first);
		return data_error(rd, problem, "There is nothing to learn from a constant target.");
	}
	if (rd->positive_class != NULL)
		return pgml_fail(rd->env->error, PGML_ERR_BADARG,
						 "positive_class needs a target with two classes, not numbers");
	rd->out->task = PGML_TASK_REGRESSION;
	rd->out->n_classes = 1;
	return PGML_OK;
}

/* ---- numbers and booleans -------------------------------------------------------------------- */

/* The different values in order, up to one more than can be classes. */
typedef struct Distinct
{
	double value[MAX_CLASSES + 1];
	int n;
	bool whole;
	int64_t rows;
	int64_t infinite;
} Distinct;

/* Place of v, or where it belongs. */
static int
distinct_place(const Distinct *d, double v)
{
	int low = 0;
	int high = d->n;

	while (low < high)
	{
		int mid = (low + high) / 2;
		if (d->value[mid] < v)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static PgmlStatus
find_distinct(Reading *rd, Distinct *d)
{
	*d = (Distinct){ .whole = true };
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = rd->col->num[i];

		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (isnan(v))
			continue;
		d->rows++;
		d->infinite += isinf(v) != 0;
		d->whole &= v == floor(v);
		int k = distinct_place(d, v);
		if (d->n > MAX_CLASSES || (k < d->n && d->value[k] == v))
			continue;
		memmove(d->value + k + 1, d->value + k, (size_t) (d->n - k) * sizeof(double));
		d->value[k] = v;
		d->n++;
	}
	return PGML_OK;
}

/* True when the numbers are to be classes: see the top of the file. */
static bool
numbers_are_classes(const Reading *rd, const Distinct *d)
{
	if (rd->task != 0)
		return rd->task != PGML_TASK_REGRESSION;
	if (rd->col->kind == PGML_KIND_BOOL)
		return true;
	if (rd->col->kind == PGML_KIND_INTERVAL || d->infinite > 0 || !d->whole)
		return false;
	return d->n == 2 || (rd->col->is_integer && d->n <= MAX_INTEGER_LABELS &&
						 d->rows >= (int64_t) ROWS_PER_LABEL * d->n);
}

/* Numbers as classes. */
static PgmlStatus
number_classes(Reading *rd, const Distinct *d)
{
	if (d->infinite > 0)
		return settle_numbers(rd);
	if (d->n > MAX_CLASSES)
		return too_many_classes(rd);
	rd->labels.n = d->n;
	for (int k = 0; k < d->n; k++)
	{
		char buf[64];
		PgmlValue v = { .kind = rd->col->kind, .num = d->value[k] };

		pgml_value_print(&v, buf, sizeof(buf));
		rd->labels.text[k] = pgml_strdup(rd->arena, buf);
		if (rd->labels.text[k] == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
	}
	PGML_TRY(settle_classes(rd));
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = rd->out->y[i];

		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (!isnan(v))
			rd->out->y[i] = rd->labels.class_of[distinct_place(d, v)];
	}
	return PGML_OK;
}

static PgmlStatus
read_numbers(Reading *rd)
{
	Distinct *d = pgml_array(rd->arena, 1, sizeof(*d));

	if (d == NULL)
		return pgml_fail_nomem(rd->env, "the target");
	PGML_TRY(find_distinct(rd, d));
	if (d->rows > 0)
		memcpy(rd->out->y, rd->col->num, (size_t) rd->table->nrows * sizeof(double));
	rd->out->n_missing = rd->table->nrows - d->rows;
	if (d->rows == 0)
		return data_error(rd, "has no value in any row", "Models without a target come later.");
	return numbers_are_classes(rd, d) ? number_classes(rd, d) : settle_numbers(rd);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Rows by what a text target reads as. */
typedef struct TextLook
{
	int64_t rows;         /* neither NULL nor a pure marker */
	int64_t usable;       /* nor a word that may mean missing */
	int64_t number;       /* a number */
	int64_t leading_zero; /* a number like 007 */
	int64_t n_numbers;    /* different spellings that are numbers */
	const char *bad;      /* a text that is no number */
} TextLook;

static PgmlStatus
count_codes(Reading *rd)
{
	size_t size = (size_t) pgml_dict_size(rd->col->dict) + 1;

	rd->count = pgml_zalloc(rd->arena, size, sizeof(*rd->count));
	rd->group = pgml_array(rd->arena, size, sizeof(*rd->group));
	if (rd->count == NULL || rd->group == NULL)
		return pgml_fail_nomem(rd->env, "the target");
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (rd->col->code[i] >= 0)
			rd->count[rd->col->code[i]]++;
	}
	return PGML_OK;
}

static PgmlStatus
look_at_text(Reading *rd, TextLook *look)
{
	*look = (TextLook){ 0 };
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(rd->col->dict, code, &len);
		double v;

		if (stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		if (rd->count[code] == 0 || pgml_is_pure_missing_marker(s, len))
			continue;
		look->rows += rd->count[code];
		if (pgml_is_missing_marker(s, len))
			continue;
		look->usable += rd->count[code];
		if (pgml_parse_number(s, len, &v))
		{
			look->number += rd->count[code];
			look->n_numbers++;
			pgml_trim(&s, &len);
			if (len > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9')
				look->leading_zero += rd->count[code];
		}
		else if (look->bad == NULL)
			look->bad = s;
	}
	return PGML_OK;
}

/* True when so few texts are no numbers that the column is one of numbers. */
static bool
reads_as_number(const TextLook *look)
{
	return look->number > 0 && look->number * 100 >= look->usable * 95;
}

/* Text as numbers: what can not be read is missing. */
static PgmlStatus
text_numbers(Reading *rd, const TextLook *look)
{
	int64_t unread = look->usable - look->number;
	double *entry =
		pgml_array(rd->arena, (size_t) pgml_dict_size(rd->col->dict) + 1, sizeof(*entry));

	if (entry == NULL)
		return pgml_fail_nomem(rd->env, "the target");
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(rd->col->dict, code, &len);

		if (stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		if (!pgml_parse_number(s, len, &entry[code]))
			entry[code] = NAN;
	}
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		int32_t code = rd->col->code[i];

		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		rd->out->y[i] = code < 0 ? NAN : entry[code];
	}
	rd->out->n_missing = rd->table->nrows - look->number;
	if (unread > 0)
	{
		note_separator(rd);
		note(rd, "%lld target value%s not numbers, such as \"%.*s\", count%s as missing",
			 (long long) unread, unread == 1 ? " is" : "s are", shown(look->bad), look->bad,
			 unread == 1 ? "s" : "");
	}
	return settle_numbers(rd);
}

/* Tell which spellings became the label of group g. */
static void
note_merged(Reading *rd, int32_t g, int spellings)
{
	int told = 0;

	note_separator(rd);
	note(rd, "labels ");
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict) && told < 4; code++)
	{
		const char *s = pgml_dict_get(rd->col->dict, code, NULL);

		if (rd->group[code] != g)
			continue;
		told++;
		note(rd, "%s\"%.*s\"", told == 1 ? "" : told == spellings ? " and " : ", ", shown(s), s);
	}
	if (spellings > told)
		note(rd, " and %d more", spellings - told);
	note(rd, " were merged as \"%.*s\"", shown(rd->labels.text[g]), rd->labels.text[g]);
}

/* Notice about all merged labels, the first three in detail. */
static void
note_all_merged(Reading *rd, const int *spellings)
{
	int merged = 0;

	for (int32_t g = 0; g < rd->labels.n; g++)
	{
		if (spellings[g] < 2)
			continue;
		if (++merged <= 3)
			note_merged(rd, g, spellings[g]);
	}
	if (merged > 3)
		note(rd, "; %d more labels were merged in the same way", merged - 3);
}

/* Labels of the spellings that occur: group by code, the most frequent spelling, and how many there are. */
static PgmlStatus
group_labels(Reading *rd, int *spellings)
{
	PgmlDict *folded = pgml_dict_create(rd->arena);
	int64_t best[MAX_CLASSES];

	if (folded == NULL)
		return pgml_fail_nomem(rd->env, "the classes");
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *label = pgml_dict_get(rd->col->dict, code, &len);
		const char *core = label;

		if (stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		rd->group[code] = -1;
		if (rd->count[code] == 0 || pgml_is_pure_missing_marker(label, len))
			continue;
		label_core(&core, &len);
		char *key = pgml_strndup(rd->arena, core, len);
		if (key == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
		for (uint32_t i = 0; i < len; i++)
			key[i] = pgml_fold(key[i]);
		int32_t g = pgml_dict_add(folded, key, len);
		if (g < 0)
			return pgml_fail_nomem(rd->env, "the classes");
		if (g >= MAX_CLASSES)
			return too_many_classes(rd);
		if (g == rd->labels.n)
		{
			rd->labels.n++;
			best[g] = 0;
			spellings[g] = 0;
		}
		rd->group[code] = g;
		spellings[g]++;
		if (rd->count[code] > best[g] ||
			(rd->count[code] == best[g] && strcmp(label, rd->labels.text[g]) < 0))
		{
			best[g] = rd->count[code];
			rd->labels.text[g] = label;
		}
	}
	return PGML_OK;
}

/* Text as classes. */
static PgmlStatus
text_classes(Reading *rd, const TextLook *look)
{
	int spellings[MAX_CLASSES];

	PGML_TRY(group_labels(rd, spellings));
	for (int32_t g = 0; g < rd->labels.n; g++)
	{
		rd->labels.text[g] = pgml_strdup(rd->arena, rd->labels.text[g]);
		if (rd->labels.text[g] == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
	}
	note_all_merged(rd, spellings);
	PGML_TRY(settle_classes(rd));
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		int32_t code = rd->col->code[i];
		int32_t g = code < 0 ? -1 : rd->group[code];

		if (stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		rd->out->y[i] = g < 0 ? NAN : rd->labels.class_of[g];
	}
	rd->out->n_missing = rd->table->nrows - look->rows;
	return PGML_OK;
}

static PgmlStatus
read_text(Reading *rd)
{
	TextLook look;

	PGML_TRY(count_codes(rd));
	PGML_TRY(look_at_text(rd, &look));
	if (look.rows == 0)
		return data_error(rd, "has no value in any row", "Models without a target come later.");
	if (rd->task == PGML_TASK_REGRESSION)
	{
		char problem[160];

		if (reads_as_number(&look))
			return text_numbers(rd, &look);
		const char *bad = look.bad != NULL ? look.bad : "";
		snprintf(problem, sizeof(problem), "can not be read as numbers: \"%.*s\" is none",
				 shown(bad), bad);
		return data_error(rd, problem, "Use task => 'classification' to predict its labels.");
	}
	if (rd->task == 0 && reads_as_number(&look) && look.n_numbers > MAX_CODES &&
		look.leading_zero * 200 <= look.number)
		return text_numbers(rd, &look);
	return text_classes(rd, &look);
}

/* See target.h. */
PgmlStatus
pgml_target_read(const PgmlEnv *env, const PgmlTable *table, int col, int task,
				 const char *positive_class, PgmlArena *arena, PgmlTarget *out)
{
	PgmlStatus status;
	Reading *rd = pgml_zalloc(arena, 1, sizeof(*rd));

	memset(out, 0, sizeof(*out));
	out->y = pgml_array(arena, (size_t) table->nrows + 1, sizeof(double));
	if (rd == NULL || out->y == NULL)
		return pgml_fail_nomem(env, "the target");
	rd->env = env;
	rd->table = table;
	rd->col = &table->cols[col];
	rd->task = task;
	rd->positive_class = positive_class;
	rd->arena = arena;
	rd->out = out;

	if (table->nrows == 0)
		return pgml_fail(env->error, PGML_ERR_DATA, "there are no rows to learn from");
	switch (rd->col->kind)
	{
		case PGML_KIND_BOOL:
		case PGML_KIND_NUMBER:
		case PGML_KIND_INTERVAL:
			status = read_numbers(rd);
			break;
		case PGML_KIND_TEXT:
			status = read_text(rd);
			break;
		default:
			status = pgml_fail(env->error, PGML_ERR_DATA, "target column \"%s\" is a %s",
							   rd->col->name, pgml_kind_name(rd->col->kind));
			pgml_fail_hint(env->error, "A target can be a boolean, text or a number; "
									   "extract(epoch FROM ...) makes a number of a time.");
			break;
	}
	if (status == PGML_OK && rd->notice_len > 0)
	{
		out->notice = pgml_strdup(arena, rd->notice);
		if (out->notice == NULL)
			return pgml_fail_nomem(env, "the target");
	}
	return status;
}
