/*
 * make_table.h - small tables for tests.
 */
#ifndef PGML_TEST_MAKE_TABLE_H
#define PGML_TEST_MAKE_TABLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/env.h"
#include "data/table.h"

/* An environment with its own budget and error, and a table that grows column by column. */
typedef struct Fixture
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env;
	PgmlArena *arena;
	PgmlTable table;
	PgmlColumn cols[64];
	int32_t *rows; /* 0 .. nrows-1 */
} Fixture;

static inline void
fixture_init(Fixture *f, int64_t nrows)
{
	memset(f, 0, sizeof(*f));
	pgml_budget_init(&f->budget, 0);
	f->env = (PgmlEnv){ .budget = &f->budget, .error = &f->error, .seed = 1 };
	f->arena = pgml_arena_create(&f->budget);
	f->table = (PgmlTable){ .nrows = nrows, .nrows_total = nrows, .cols = f->cols };
	f->rows = pgml_array(f->arena, (size_t) nrows + 1, sizeof(int32_t));
	for (int64_t i = 0; i < nrows; i++)
		f->rows[i] = (int32_t) i;
}

static inline void
fixture_done(Fixture *f)
{
	pgml_arena_destroy(f->arena);
}

static inline PgmlColumn *
add_column(Fixture *f, const char *name, PgmlKind kind)
{
	PgmlColumn *c = &f->cols[f->table.ncols++];

	*c = (PgmlColumn){ .name = name, .type_name = pgml_kind_name(kind), .kind = kind };
	return c;
}

/* A column of numbers, dates ...; the caller fills the cells. */
static inline PgmlColumn *
add_numbers(Fixture *f, const char *name, PgmlKind kind)
{
	PgmlColumn *c = add_column(f, name, kind);

	c->num = pgml_zalloc(f->arena, (size_t) f->table.nrows + 1, sizeof(double));
	return c;
}

/* A text column without values; set them with set_text. */
static inline PgmlColumn *
add_text(Fixture *f, const char *name)
{
	PgmlColumn *c = add_column(f, name, PGML_KIND_TEXT);

	c->dict = pgml_dict_create(f->arena);
	c->code = pgml_array(f->arena, (size_t) f->table.nrows + 1, sizeof(int32_t));
	for (int64_t i = 0; i < f->table.nrows; i++)
		c->code[i] = -1;
	return c;
}

static inline void
set_text(PgmlColumn *c, int64_t row, const char *s)
{
	c->code[row] = s == NULL ? -1 : pgml_dict_add(c->dict, s, (uint32_t) strlen(s));
}

/* A text column that repeats n strings (NULL: missing). */
static inline PgmlColumn *
add_cycle(Fixture *f, const char *name, const char *const *strings, int n)
{
	PgmlColumn *c = add_text(f, name);

	for (int64_t i = 0; i < f->table.nrows; i++)
		set_text(c, i, strings[i % n]);
	return c;
}

#endif
