/*
 * number_look.h - how the numbers of a text column are written: 1,234.5 or 1.234,5.
 *
 * A point is the decimal point unless the column speaks against it as a whole: many of its texts are numbers only with a
 * decimal comma ("1,5", "1.234,50", "1.234.567"), or points stand nowhere but before three digits while other
 * numbers are whole and below 1000 ("1.234" beside "999"); and no text contradicts ("0.5", "1,2,3", "(1,5)").  Where every number has
 * three decimals ("1.234", "5.678") nothing tells, and the point stays.
 */
#ifndef PGML_PREP_NUMBER_LOOK_H
#define PGML_PREP_NUMBER_LOOK_H

#include <stdbool.h>
#include <stdint.h>

/* Rows, and different spellings (suffix _d), by what they read as; starts as zeros. */
typedef struct PgmlNumberLook
{
	int64_t usable, usable_d; /* all */
	int64_t point, point_d;   /* numbers with a decimal point */
	int64_t comma, comma_d;   /* numbers with a decimal comma */
	int64_t comma_only_d;     /* of these, no numbers with a decimal point */
	int64_t thousands_d;      /* 1.234: numbers either way, but not the same */
	int64_t short_d;          /* whole numbers below 1000 */
	int64_t long_d;           /* whole numbers of four digits or more without separators */
	bool decimals;            /* some number has decimals behind a comma */
	bool contradicted;        /* some text makes no sense with a decimal comma */
} PgmlNumberLook;

/* Count a spelling that is no marker of missing. */
extern void pgml_number_look_add(PgmlNumberLook *look, const char *s, uint32_t len, int64_t rows);

/* True when the numbers have a decimal comma, points between thousands, or both. */
extern bool pgml_number_look_comma(const PgmlNumberLook *look);

/* The number that a text stands for in that reading; false when it is none. */
extern bool pgml_number_look_read(bool comma, const char *s, uint32_t len, double *value);

#endif
