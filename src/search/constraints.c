/*
 * constraints.c - what the user says of input columns becomes what learners keep to in features.
 */
#include "search/training.h"

#include <stdio.h>
#include <string.h>

/* A column that the user gave another role, or left out, cannot be constrained as well. */
static PgmlStatus
fail_excluded(Training *t, const char *name, const char *setting, const char *reason)
{
	PgmlStatus status =
		pgml_fail(t->env->error, PGML_ERR_BADARG, "column \"%s\" of %s is no feature: it is %s",
				  name, setting, reason);

	pgml_fail_hint(t->env->error, "Leave it out of %s.", setting);
	return status;
}

/* ---- monotone constraints ---- */

/* Only a score has an order. */
static PgmlStatus
check_task(Training *t)
{
	PgmlStatus status;

	if (t->outputs == 1)
		return PGML_OK;
	status =
		pgml_fail(t->env->error, PGML_ERR_BADARG,
				  "monotone_constraints need a target that is a number or has two classes, and "
				  "\"%s\" has %d classes",
				  t->options->target, t->target.n_classes);
	pgml_fail_hint(t->env->error, "Train a model for one class against the others, or leave "
								  "monotone_constraints out.");
	return status;
}

/* Set the direction of one column's feature. */
static PgmlStatus
constrain_column(Training *t, int col, int direction, int8_t *monotone, bool *any)
{
	PgmlInput input = pgml_recipe_input(&t->recipe, col);
	char words[200];
	const char *step = pgml_recipe_describe(&t->recipe, col, words, sizeof(words));
	PgmlStatus status;

	if (!input.used || strcmp(step, "missing") == 0)
	{
		training_notice(t, true, "the monotone constraint of column \"%s\" has no effect: %s",
						input.name, words);
		return PGML_OK;
	}
	if (pgml_recipe_is_ordered(&t->recipe, col))
	{
		monotone[input.first_feature] = (int8_t) direction;
		*any |= direction != 0;
		return PGML_OK;
	}
	status = pgml_fail(t->env->error, PGML_ERR_BADARG,
					   "column \"%s\" of monotone_constraints must be a number, and it is used as "
					   "%s",
					   input.name, words);
	pgml_fail_hint(t->env->error,
				   "Leave it out, or make it a number in the data: by a cast, a rank, "
				   "or extract(epoch FROM ...) of a date.");
	return status;
}

static PgmlStatus
read_monotone(Training *t, const bool *excluded, const char *const *reasons, PgmlConstraints *c)
{
	const char *setting = "monotone_constraints";
	int8_t *monotone = pgml_zalloc(t->arena, (size_t) t->x.nfeatures + 1, sizeof(int8_t));
	bool any = false;

	if (!monotone)
		return pgml_fail_nomem(t->env, "constraints");
	PGML_TRY(check_task(t));
	for (int i = 0; i < t->options->n_monotone; i++)
	{
		const PgmlMonotone *m = &t->options->monotone[i];

		for (int col = -1; (col = pgml_table_next(t->table, m->column, col + 1)) >= 0;)
		{
			if (excluded[col])
				return fail_excluded(t, m->column, setting, reasons[col]);
			PGML_TRY(constrain_column(t, col, m->direction, monotone, &any));
		}
	}
	c->monotone = any ? monotone : NULL;
	return PGML_OK;
}

/* ---- interaction constraints ---- */

/* Put a group's columns into it; named[col] notes that they are in one. */
static PgmlStatus
read_group(Training *t, int g, const bool *excluded, const char *const *reasons, int32_t words,
		   uint64_t *of_column, bool *named)
{
	const char *setting = "interaction_constraints";
	const PgmlColumnGroup *group = &t->options->interactions[g];

	for (int i = 0; i < group->n; i++)
		for (int col = -1; (col = pgml_table_next(t->table, group->columns[i], col + 1)) >= 0;)
		{
			if (excluded[col])
				return fail_excluded(t, group->columns[i], setting, reasons[col]);
			of_column[(int64_t) col * words + g / 64] |= UINT64_C(1) << (g % 64);
			named[col] = true;
		}
	return PGML_OK;
}

/* Columns that no group names get groups of their own; the elements of an array are one column. */
static void
add_single_groups(const Training *t, int32_t words, uint64_t *of_column, const bool *named)
{
	int g = t->options->n_interactions;

	for (int col = 0; col < t->table->ncols; col++)
	{
		const char *name = t->table->cols[col].name;

		if (named[col] || pgml_table_next(t->table, name, 0) < col)
			continue;
		for (int c = col; c >= 0; c = pgml_table_next(t->table, name, c + 1))
			of_column[(int64_t) c * words + g / 64] |= UINT64_C(1) << (g % 64);
		g++;
	}
}

static PgmlStatus
read_interactions(Training *t, const bool *excluded, const char *const *reasons, PgmlConstraints *c)
{
	int ncols = t->table->ncols;
	int32_t words = (t->options->n_interactions + ncols + 63) / 64;
	size_t nf = (size_t) t->x.nfeatures;
	uint64_t *of_column = pgml_zalloc(t->arena, (size_t) (ncols + 1) * words, sizeof(uint64_t));
	uint64_t *groups = pgml_zalloc(t->arena, (nf + 1) * words, sizeof(uint64_t));
	bool *named = pgml_zalloc(t->arena, (size_t) ncols + 1, sizeof(bool));

	if (!of_column || !groups || !named)
		return pgml_fail_nomem(t->env, "constraints");
	for (int g = 0; g < t->options->n_interactions; g++)
		PGML_TRY(read_group(t, g, excluded, reasons, words, of_column, named));
	add_single_groups(t, words, of_column, named);
	for (int32_t f = 0; f < t->x.nfeatures; f++)
		memcpy(groups + (int64_t) f * words, of_column + (int64_t) t->x.features[f].source * words,
			   (size_t) words * sizeof(uint64_t));
	c->groups = groups;
	c->words = words;
	return PGML_OK;
}

/* ---- the whole ---- */

/* Say which learners would be tried without constraints. */
static void
report_left_out(Training *t)
{
	PgmlTrainOptions free = *t->options;
	char list[300] = "";
	size_t used = 0;
	int n;
	const PgmlLearner *const *learners = pgml_learners(&n);

	free.n_monotone = 0;
	free.limits_interactions = false;
	for (int i = 0; i < n && used < sizeof(list) - 60; i++)
		if (!training_selects(t->options, learners[i]) && training_selects(&free, learners[i]))
			used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%.50s",
									  used > 0 ? ", " : "", learners[i]->name);
	if (used > 0)
		training_notice(t, false, "not tried, as they cannot keep to the constraints: %s", list);
}

PgmlStatus
training_read_constraints(Training *t, const bool *excluded, const char *const *reasons)
{
	PgmlConstraints *c;

	if (!training_constrains(t->options))
		return PGML_OK;
	c = pgml_zalloc(t->arena, 1, sizeof(*c));
	if (!c)
		return pgml_fail_nomem(t->env, "constraints");
	if (t->options->n_monotone > 0)
		PGML_TRY(read_monotone(t, excluded, reasons, c));
	if (t->options->limits_interactions)
		PGML_TRY(read_interactions(t, excluded, reasons, c));
	report_left_out(t);
	if (c->monotone || c->groups)
		t->constraints = c;
	return PGML_OK;
}
