/*
 * recipe_sql.h - conditions on features as conditions in SQL on the columns that they were made from.
 */
#ifndef PGML_PREP_RECIPE_SQL_H
#define PGML_PREP_RECIPE_SQL_H

#include "prep/recipe.h"

/* A question to one feature: which values go left? */
typedef struct PgmlFeatureTest
{
	double threshold;       /* a number: up to this one; NaN: none */
	const bool *level_left; /* a category: by level; NULL: a number */
	bool missing_left;
} PgmlFeatureTest;

/*
 * Append the condition that is true of the rows that go left, or of those that do not; of no row it is NULL where that matters.
 *
 *   exact      for SQL: true exactly when the recipe's feature answers so.  PGML_ERR_BADARG, naming the column, where SQL cannot say
 *              what the recipe does to it.
 *   not exact  for readers: thresholds with few digits, levels as they are spelled; never refused.
 */
extern PgmlStatus pgml_recipe_condition(const PgmlRecipe *recipe, int32_t f,
										const PgmlFeatureTest *test, bool left, bool exact,
										PgmlBuf *out, PgmlError *err);

/* Append a text as a literal, a name as an identifier, and a number as a literal of type double precision. */
extern void pgml_sql_literal(PgmlBuf *out, const char *s, size_t len);
extern void pgml_sql_identifier(PgmlBuf *out, const char *s);
extern void pgml_sql_number(PgmlBuf *out, double v);

#endif
