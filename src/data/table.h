/*
 * table.h - the raw data of a training: typed columns as they were read.
 *
 * Numeric kinds are doubles with NaN for missing, or floats where the source has no more digits; text is a dictionary code
 * per row, -1 for missing.
 */
#ifndef PGML_DATA_TABLE_H
#define PGML_DATA_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/env.h"
#include "data/value.h"

/* Distinct strings numbered from 0 in order of first appearance. */
typedef struct PgmlDict PgmlDict;

extern PgmlDict *pgml_dict_create(PgmlArena *arena);

/* Code of the string, added when new; -1 when memory is out. The bytes are copied. */
extern int32_t pgml_dict_add(PgmlDict *dict, const char *s, uint32_t len);

/* Code of the string, or -1. */
extern int32_t pgml_dict_find(const PgmlDict *dict, const char *s, uint32_t len);

extern int32_t pgml_dict_size(const PgmlDict *dict);

/* String number code, zero-terminated; *len may be NULL. */
extern const char *pgml_dict_get(const PgmlDict *dict, int32_t code, uint32_t *len);

typedef struct PgmlColumn
{
	const char *name;      /* as in the catalog, unquoted; array elements are "name[1]" ... */
	const char *type_name; /* for people, e.g. "timestamp with time zone" */
	PgmlKind kind;
	PgmlOrigin origin;
	bool is_integer; /* NUMBER of an integer type */
	bool is_key;     /* part of the primary key or the only column of a unique index */
	double *num;     /* nrows values, every kind but TEXT; NULL when single has them */
	float *single;   /* nrows values of a NUMBER whose source is single precision, else NULL */
	int32_t *code;   /* nrows codes, TEXT */
	PgmlDict *dict;  /* TEXT */
} PgmlColumn;

typedef struct PgmlTable
{
	int64_t nrows;       /* rows held */
	int64_t nrows_total; /* rows of the source; more than nrows when sampled */
	int ncols;
	PgmlColumn *cols;
	uint64_t *row_hash; /* unsalted identity of each row (key, id columns, or all values) */
	bool together;      /* rows of one identity lie next to each other */
} PgmlTable;

/* Index of the column called name, -1 when there is none. */
extern int pgml_table_find(const PgmlTable *table, const char *name);

/* Whether a column is called so, or is an element of the array of that name. */
extern bool pgml_column_is(const char *column, const char *name);

/* The next column, from index `from` on, that is; -1: none. */
extern int pgml_table_next(const PgmlTable *table, const char *name, int from);

/* Number of a cell of a column that is not TEXT, NaN when missing. */
static inline double
pgml_column_number(const PgmlColumn *column, int64_t row)
{
	return column->single ? column->single[row] : column->num[row];
}

/* Value of a cell (text points into the dictionary). */
extern PgmlValue pgml_table_value(const PgmlTable *table, int col, int64_t row);

#endif
