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
#include "prep/target_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_INTEGER_LABELS 10
#define ROWS_PER_LABEL     5

/* Rows too few to tell that labels do not repeat. */
#define FEW_ROWS 10

/* Larger numbers have no squares, and so no losses. */
#define MAX_NUMBER 1e150

/* Append to the notice; a part that does not fit is left out as a whole. */
void
target_note(TargetReading *rd, const char *fmt, ...)
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
void
target_note_separator(TargetReading *rd)
{
	if (rd->notice_len > 0)
		target_note(rd, "; ");
}

/* See target_internal.h. */
PgmlStatus
target_error(TargetReading *rd, const char *problem, const char *hint)
{
	PgmlStatus status =
		pgml_fail(rd->env->error, PGML_ERR_DATA, "target column \"%s\" %s", rd->col->name, problem);
	if (hint != NULL)
		pgml_fail_hint(rd->env->error, "%s", hint);
	return status;
}

/* See target_internal.h. */
PgmlStatus
target_too_many_classes(TargetReading *rd)
{
	return target_error(
		rd, "has more than 1000 different classes",
		"Predict numbers with task => 'regression'; an identifier or free text cannot "
		"be a target.");
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Sort the labels by their bytes: class_of maps the order found to the order of classes. */
static PgmlStatus
sort_labels(TargetReading *rd)
{
	TargetLabels *l = &rd->labels;
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
void
target_label_core(const char **s, uint32_t *len)
{
	pgml_trim(s, len);
	if (*len > 1 && (*s)[*len - 1] == '.')
	{
		(*len)--;
		pgml_trim(s, len);
	}
}

/* See target_internal.h. */
bool
target_plain_number(const char *s, uint32_t len, double *value)
{
	pgml_trim(&s, &len);
	for (uint32_t i = 0; i < len; i++)
		if (s[i] == '\0' || strchr("0123456789.,+-eE", s[i]) == NULL)
			return false;
	if (len > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9')
		return false;
	return pgml_parse_number(s, len, value);
}

/* See target.h. */
bool
pgml_same_label(const char *a, const char *b)
{
	uint32_t alen = (uint32_t) strlen(a);
	uint32_t blen = (uint32_t) strlen(b);
	double x, y;

	target_label_core(&a, &alen);
	target_label_core(&b, &blen);
	if (target_plain_number(a, alen, &x) && target_plain_number(b, blen, &y))
		return x == y;
	if (alen != blen)
		return false;
	for (uint32_t i = 0; i < alen; i++)
	{
		if (pgml_fold(a[i]) != pgml_fold(b[i]))
			return false;
	}
	return true;
}

/* See target.h. */
int
pgml_find_label(const char *const *labels, int n, const char *label)
{
	for (int k = 0; k < n; k++)
		if (strcmp(labels[k], label) == 0)
			return k;
	for (int k = 0; k < n; k++)
		if (pgml_same_label(labels[k], label))
			return k;
	return -1;
}

/* Make the class that was asked for number 1. */
static PgmlStatus
choose_positive(TargetReading *rd)
{
	PgmlTarget *out = rd->out;
	const char *want = rd->positive_class;

	if (want == NULL)
		return PGML_OK;
	if (out->task != PGML_TASK_BINARY)
		return pgml_fail(rd->env->error, PGML_ERR_BADARG,
						 "positive_class needs a target with two classes, not %d", out->n_classes);
	int k = pgml_find_label(out->classes, 2, want);
	if (k == 0)
	{
		const char *swap = out->classes[0];
		out->classes[0] = out->classes[1];
		out->classes[1] = swap;
		for (int32_t i = 0; i < rd->labels.n; i++)
			rd->labels.class_of[i] = 1 - rd->labels.class_of[i];
	}
	if (k >= 0)
		return PGML_OK;
	PgmlStatus status = pgml_fail(rd->env->error, PGML_ERR_BADARG,
								  "positive_class \"%.*s\" is not a label of \"%s\"",
								  target_shown(want), want, rd->col->name);
	pgml_fail_hint(rd->env->error, "The labels are \"%.*s\" and \"%.*s\".",
				   target_shown(out->classes[0]), out->classes[0], target_shown(out->classes[1]),
				   out->classes[1]);
	return status;
}

/* Task, order and positive class for the labels that were found. */
PgmlStatus
target_settle_classes(TargetReading *rd)
{
	int32_t n = rd->labels.n;
	char problem[160];

	if (n == 1)
	{
		snprintf(problem, sizeof(problem), "has only one class, \"%.*s\"",
				 target_shown(rd->labels.text[0]), rd->labels.text[0]);
		return target_error(rd, problem, "A model needs rows of at least two classes.");
	}
	if (rd->rows > FEW_ROWS && n > rd->rows / 2)
	{
		snprintf(problem, sizeof(problem), "has %d different labels in %lld rows", (int) n,
				 (long long) rd->rows);
		return target_error(rd, problem,
							"Is it an identifier or free text? A class needs several rows to be "
							"learned from; numbers can be predicted with task => 'regression'.");
	}
	if (rd->task == PGML_TASK_BINARY && n != 2)
	{
		snprintf(problem, sizeof(problem), "has %d classes, not two", (int) n);
		return target_error(rd, problem,
							"Use task => 'multiclass', or leave the task to be inferred.");
	}
	if (rd->task == PGML_TASK_MULTICLASS && n == 2)
	{
		target_note_separator(rd);
		target_note(rd, "the target has two classes, so the task is binary");
	}
	rd->out->task = n == 2 ? PGML_TASK_BINARY : PGML_TASK_MULTICLASS;
	PGML_TRY(sort_labels(rd));
	return choose_positive(rd);
}

/* ---- regression ------------------------------------------------------------------------------ */

/* Check that the numbers in out->y can be learned. */
PgmlStatus
target_settle_numbers(TargetReading *rd)
{
	int64_t infinite = 0;
	int64_t large = 0;
	double first = NAN;
	bool varies = false;
	char problem[160];

	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = rd->out->y[i];

		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		infinite += isinf(v) != 0;
		large += isfinite(v) && fabs(v) > MAX_NUMBER;
		if (isnan(first))
			first = v;
		varies |= v != first && !isnan(v);
	}
	if (infinite > 0)
	{
		snprintf(problem, sizeof(problem), "has %lld infinite value%s", (long long) infinite,
				 infinite == 1 ? "" : "s");
		return target_error(rd, problem, "Leave these rows out with a query that filters them.");
	}
	if (large > 0)
	{
		snprintf(problem, sizeof(problem), "has %lld value%s beyond 1e150, too large to learn from",
				 (long long) large, large == 1 ? "" : "s");
		return target_error(
			rd, problem,
			"Leave these rows out with a query that filters them, or predict the logarithm.");
	}
	if (!varies)
	{
		snprintf(problem, sizeof(problem), "has the same value in every row, %.17g", first);
		return target_error(rd, problem, "There is nothing to learn from a constant target.");
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
	double value[TARGET_MAX_CLASSES + 1];
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
	int n = d->n;

	/* Without a branch that depends on the value, as labels come in no order. */
	while (n > 1)
	{
		int half = n / 2;

		low += d->value[low + half - 1] < v ? half : 0;
		n -= half;
	}
	return low + (n == 1 && d->value[low] < v);
}

/* Collect the different numbers; more than can be classes are only counted as one more. */
static PgmlStatus
find_distinct(TargetReading *rd, Distinct *d)
{
	*d = (Distinct){ .whole = true };
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = pgml_column_number(rd->col, i);

		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (isnan(v))
			continue;
		d->rows++;
		if (d->n == 2 && d->infinite == 0 && ((v == d->value[0]) | (v == d->value[1])))
			continue; /* one of two classes, as most often */
		d->infinite += isinf(v) != 0;
		d->whole = d->whole && pgml_is_whole(v);
		if (d->n > TARGET_MAX_CLASSES)
			continue;
		int k = distinct_place(d, v);
		if (k < d->n && d->value[k] == v)
			continue;
		memmove(d->value + k + 1, d->value + k, (size_t) (d->n - k) * sizeof(double));
		d->value[k] = v;
		d->n++;
	}
	return PGML_OK;
}

/* True when the numbers are to be classes: see the top of the file. */
static bool
numbers_are_classes(const TargetReading *rd, const Distinct *d)
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
number_classes(TargetReading *rd, const Distinct *d)
{
	if (d->infinite > 0)
		return target_settle_numbers(rd);
	if (d->n > TARGET_MAX_CLASSES)
		return target_too_many_classes(rd);
	rd->labels.n = d->n;
	rd->rows = d->rows;
	for (int k = 0; k < d->n; k++)
	{
		char buf[64];
		PgmlValue v = { .kind = rd->col->kind, .num = d->value[k] };

		pgml_value_print(&v, buf, sizeof(buf));
		rd->labels.text[k] = pgml_strdup(rd->arena, buf);
		if (rd->labels.text[k] == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
	}
	PGML_TRY(target_settle_classes(rd));
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		double v = rd->out->y[i];

		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (!isnan(v))
			rd->out->y[i] = rd->labels.class_of[distinct_place(d, v)];
	}
	return PGML_OK;
}

/* A column of numbers, booleans or intervals. */
static PgmlStatus
read_numbers(TargetReading *rd)
{
	Distinct *d = pgml_array(rd->arena, 1, sizeof(*d));

	if (d == NULL)
		return pgml_fail_nomem(rd->env, "the target");
	PGML_TRY(find_distinct(rd, d));
	for (int64_t i = 0; d->rows > 0 && i < rd->table->nrows; i++)
		rd->out->y[i] = pgml_column_number(rd->col, i);
	rd->out->n_missing = rd->table->nrows - d->rows;
	if (d->rows == 0)
		return target_error(rd, "has no value in any row", "Models without a target come later.");
	return numbers_are_classes(rd, d) ? number_classes(rd, d) : target_settle_numbers(rd);
}

/* See target.h. */
PgmlStatus
pgml_target_read(const PgmlEnv *env, const PgmlTable *table, int col, int task,
				 const char *positive_class, PgmlArena *arena, PgmlTarget *out)
{
	PgmlStatus status;
	TargetReading *rd = pgml_zalloc(arena, 1, sizeof(*rd));

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
			status = target_read_text(rd);
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
