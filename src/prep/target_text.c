/*
 * target_text.c - targets that are text: labels and their spellings, or numbers written as text.
 */
#include "prep/target_internal.h"

#include <stdio.h>

/* Numbers of no more different spellings are codes. */
#define MAX_CODES 20

/* Rows by what a text target reads as. */
typedef struct TextLook
{
	int64_t rows;         /* neither NULL nor a pure marker */
	int64_t usable;       /* nor a word that may mean missing */
	int64_t number;       /* a number */
	int64_t leading_zero; /* a number like 007 */
	int64_t plain;        /* a number without decorations */
	int64_t n_numbers;    /* different spellings that are numbers */
	const char *bad;      /* a text that is no number */
} TextLook;

/* How the spellings write numbers. */
static PgmlStatus
look_at_numbers(TargetReading *rd)
{
	PgmlNumberLook look = { 0 };

	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(rd->col->dict, code, &len);

		if (target_stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		if (rd->count[code] > 0 && !pgml_is_missing_marker(s, len))
			pgml_number_look_add(&look, s, len, rd->count[code]);
	}
	rd->comma = pgml_number_look_comma(&look);
	return PGML_OK;
}

/* Rows per dictionary code. */
static PgmlStatus
count_codes(TargetReading *rd)
{
	size_t size = (size_t) pgml_dict_size(rd->col->dict) + 1;

	rd->count = pgml_zalloc(rd->arena, size, sizeof(*rd->count));
	rd->group = pgml_array(rd->arena, size, sizeof(*rd->group));
	if (rd->count == NULL || rd->group == NULL)
		return pgml_fail_nomem(rd->env, "the target");
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		if (rd->col->code[i] >= 0)
			rd->count[rd->col->code[i]]++;
	}
	return PGML_OK;
}

/* What the spellings read as. */
static PgmlStatus
look_at_text(TargetReading *rd, TextLook *look)
{
	*look = (TextLook){ 0 };
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *s = pgml_dict_get(rd->col->dict, code, &len);
		double v;

		if (target_stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		if (rd->count[code] == 0 || pgml_is_pure_missing_marker(s, len))
			continue;
		look->rows += rd->count[code];
		if (pgml_is_missing_marker(s, len))
			continue;
		look->usable += rd->count[code];
		look->plain += target_plain_number(s, len, &v) ? rd->count[code] : 0;
		if (pgml_number_look_read(rd->comma, s, len, &v))
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

/* Text as numbers: what cannot be read is missing. */
static PgmlStatus
text_numbers(TargetReading *rd, const TextLook *look)
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

		if (target_stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		if (!pgml_number_look_read(rd->comma, s, len, &entry[code]))
			entry[code] = NAN;
	}
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		int32_t code = rd->col->code[i];

		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		rd->out->y[i] = code < 0 ? NAN : entry[code];
	}
	rd->out->n_missing = rd->table->nrows - look->number;
	if (unread > 0)
	{
		target_note_separator(rd);
		target_note(rd, "%lld target value%s not numbers, such as \"%.*s\", count%s as missing",
					(long long) unread, unread == 1 ? " is" : "s are", target_shown(look->bad),
					look->bad, unread == 1 ? "s" : "");
	}
	return target_settle_numbers(rd);
}

/* Tell which spellings became the label of group g. */
static void
note_merged(TargetReading *rd, int32_t g, int spellings)
{
	int told = 0;

	target_note_separator(rd);
	target_note(rd, "labels ");
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict) && told < 4; code++)
	{
		const char *s = pgml_dict_get(rd->col->dict, code, NULL);

		if (rd->group[code] != g)
			continue;
		told++;
		target_note(rd, "%s\"%.*s\"",
					told == 1         ? "" :
					told == spellings ? " and " :
										", ",
					target_shown(s), s);
	}
	if (spellings > told)
		target_note(rd, " and %d more", spellings - told);
	target_note(rd, " were merged as \"%.*s\"", target_shown(rd->labels.text[g]),
				rd->labels.text[g]);
}

/* Notice about all merged labels, the first three in detail. */
static void
note_all_merged(TargetReading *rd, const int *spellings)
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
		target_note(rd, "; %d more labels were merged in the same way", merged - 3);
}

/* What labels that are merged have in common; NULL when memory is out. */
static char *
label_key(TargetReading *rd, const char *core, uint32_t *len)
{
	double value;
	char number[40];

	if (rd->by_value && target_plain_number(core, *len, &value))
	{
		*len = (uint32_t) snprintf(number, sizeof(number), "%.17g", value + 0.0);
		return pgml_strndup(rd->arena, number, *len);
	}
	char *key = pgml_strndup(rd->arena, core, *len);
	for (uint32_t i = 0; key != NULL && i < *len; i++)
		key[i] = pgml_fold(key[i]);
	return key;
}

/* TargetLabels of the spellings that occur: group by code, the most frequent spelling, and how many there are. */
static PgmlStatus
group_labels(TargetReading *rd, int *spellings)
{
	PgmlDict *folded = pgml_dict_create(rd->arena);
	int64_t best[TARGET_MAX_CLASSES];

	if (folded == NULL)
		return pgml_fail_nomem(rd->env, "the classes");
	for (int32_t code = 0; code < pgml_dict_size(rd->col->dict); code++)
	{
		uint32_t len;
		const char *label = pgml_dict_get(rd->col->dict, code, &len);
		const char *core = label;

		if (target_stopped(rd, code))
			return pgml_fail_cancelled(rd->env);
		rd->group[code] = -1;
		if (rd->count[code] == 0 || pgml_is_pure_missing_marker(label, len))
			continue;
		target_label_core(&core, &len);
		char *key = label_key(rd, core, &len);
		if (key == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
		int32_t g = pgml_dict_add(folded, key, len);
		if (g < 0)
			return pgml_fail_nomem(rd->env, "the classes");
		if (g >= TARGET_MAX_CLASSES)
			return target_too_many_classes(rd);
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
text_classes(TargetReading *rd, const TextLook *look)
{
	int spellings[TARGET_MAX_CLASSES];

	rd->rows = look->rows;
	rd->by_value = look->plain == look->rows && !rd->comma;
	PGML_TRY(group_labels(rd, spellings));
	for (int32_t g = 0; g < rd->labels.n; g++)
	{
		rd->labels.text[g] = pgml_strdup(rd->arena, rd->labels.text[g]);
		if (rd->labels.text[g] == NULL)
			return pgml_fail_nomem(rd->env, "the classes");
	}
	note_all_merged(rd, spellings);
	PGML_TRY(target_settle_classes(rd));
	for (int64_t i = 0; i < rd->table->nrows; i++)
	{
		int32_t code = rd->col->code[i];
		int32_t g = code < 0 ? -1 : rd->group[code];

		if (target_stopped(rd, i))
			return pgml_fail_cancelled(rd->env);
		rd->out->y[i] = g < 0 ? NAN : rd->labels.class_of[g];
	}
	rd->out->n_missing = rd->table->nrows - look->rows;
	return PGML_OK;
}

/* See target_internal.h. */
PgmlStatus
target_read_text(TargetReading *rd)
{
	TextLook look;

	PGML_TRY(count_codes(rd));
	PGML_TRY(look_at_numbers(rd));
	PGML_TRY(look_at_text(rd, &look));
	if (look.rows == 0)
		return target_error(rd, "has no value in any row", "Models without a target come later.");
	if (rd->task == PGML_TASK_REGRESSION)
	{
		char problem[160];

		if (reads_as_number(&look))
			return text_numbers(rd, &look);
		const char *bad = look.bad != NULL ? look.bad : "";
		snprintf(problem, sizeof(problem), "cannot be read as numbers: \"%.*s\" is none",
				 target_shown(bad), bad);
		return target_error(rd, problem, "Use task => 'classification' to predict its labels.");
	}
	if (rd->task == 0 && reads_as_number(&look) && look.n_numbers > MAX_CODES &&
		look.leading_zero * 200 <= look.number)
		return text_numbers(rd, &look);
	return text_classes(rd, &look);
}
