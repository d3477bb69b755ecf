/*
 * target_internal.h - what the files of the target share.
 */
#ifndef PGML_PREP_TARGET_INTERNAL_H
#define PGML_PREP_TARGET_INTERNAL_H

#include <math.h>
#include <string.h>

#include "prep/number_look.h"
#include "prep/target.h"

#define TARGET_MAX_CLASSES 1000
#define TARGET_MAX_NOTICE  900
#define TARGET_POLL        16384 /* rows between two looks at the stop flag */
#define TARGET_SHOWN       40    /* bytes of a label in a message */

/* Classes before they are sorted. */
typedef struct TargetLabels
{
	int32_t n;
	const char *text[TARGET_MAX_CLASSES];
	int32_t class_of[TARGET_MAX_CLASSES];
} TargetLabels;

typedef struct TargetReading
{
	const PgmlEnv *env;
	const PgmlTable *table;
	const PgmlColumn *col;
	int task; /* asked for: 0 any, -1 any classes */
	const char *positive_class;
	PgmlArena *arena;
	PgmlTarget *out;
	TargetLabels labels;
	int64_t rows;   /* with a label, before it becomes a class */
	bool by_value;  /* text: all labels are plain numbers, the same ones when their values are */
	bool comma;     /* text: numbers have a decimal comma */
	int64_t *count; /* text: rows per dictionary code */
	int32_t *group; /* text: label by dictionary code, -1 for missing */
	char notice[TARGET_MAX_NOTICE];
	size_t notice_len;
} TargetReading;

/* Bytes of a label to show, for "%.*s". */
static inline int
target_shown(const char *s)
{
	return pgml_shown(s, TARGET_SHOWN);
}

/* True when it is time to look at the stop flag and it is set. */
static inline bool
target_stopped(const TargetReading *rd, int64_t i)
{
	return (i & (TARGET_POLL - 1)) == 0 && pgml_stopped(rd->env);
}

/* Append to the notice; a part that does not fit is left out as a whole. */
extern void target_note(TargetReading *rd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Begin another sentence of the notice. */
extern void target_note_separator(TargetReading *rd);

/* Fail with `target column "x" <problem>` and a hint (may be NULL). */
extern PgmlStatus target_error(TargetReading *rd, const char *problem, const char *hint);

/* The failure for more classes than can be told apart. */
extern PgmlStatus target_too_many_classes(TargetReading *rd);

/* A number without decorations and leading zeros: such labels are compared by value. */
extern bool target_plain_number(const char *s, uint32_t len, double *value);

/* The part of a label that counts: without surrounding blanks and one full stop at the end. */
extern void target_label_core(const char **s, uint32_t *len);

/* Task, order and positive class for the labels found in rd->labels. */
extern PgmlStatus target_settle_classes(TargetReading *rd);

/* Check that the numbers in rd->out->y can be learned, and make the task regression. */
extern PgmlStatus target_settle_numbers(TargetReading *rd);

/* Read a text column (target_text.c). */
extern PgmlStatus target_read_text(TargetReading *rd);

#endif
