/*
 * prepare.c - from the raw table to features: which columns are what, the recipe, and what is said about them.
 */
#include "search/training.h"

#include <stdio.h>
#include <string.h>

/* See training.h. */
PgmlStatus
training_find_column(Training *t, const char *name, const char *role, int *col)
{
	char list[400] = "";
	size_t used = 0;
	PgmlStatus status;

	*col = pgml_table_find(t->table, name);
	if (*col >= 0)
		return PGML_OK;
	status = pgml_fail(t->env->error, PGML_ERR_BADARG,
					   "column \"%s\", named as %s, does not exist in the data", name, role);
	for (int i = 0; i < t->table->ncols && used < sizeof(list) - 70; i++)
		used += snprintf(list + used, sizeof(list) - used, "%s\"%.*s\"", i ? ", " : "",
						 pgml_shown(t->table->cols[i].name, 60), t->table->cols[i].name);
	pgml_fail_hint(t->env->error, "The columns are %s%s.", list,
				   used >= sizeof(list) - 70 ? ", ..." : "");
	return status;
}

/* Mark a column as no feature, with the reason; naming it in features is a contradiction. */
static PgmlStatus
exclude_column(Training *t, const char *name, const char *role, const char *reason, bool *exclude,
			   const char **reasons)
{
	int col;

	if (!name)
		return PGML_OK;
	if (pgml_table_next(t->table, name, 0) < 0)
		return training_find_column(t, name, role, &col);
	for (int i = 0; i < t->options->n_features; i++)
		if (strcmp(t->options->features[i], name) == 0)
		{
			PgmlStatus status =
				pgml_fail(t->env->error, PGML_ERR_BADARG,
						  "column \"%s\" is %s, it cannot be among the features", name, reason);

			pgml_fail_hint(t->env->error, "Leave it out of features.");
			return status;
		}
	for (col = -1; (col = pgml_table_next(t->table, name, col + 1)) >= 0;)
	{
		exclude[col] = true;
		reasons[col] = reason;
	}
	return PGML_OK;
}

/* Mark the columns of the names: an array's name stands for all its elements. */
static PgmlStatus
mark_columns(Training *t, const char *const *names, int n, const char *role, bool *mark)
{
	for (int i = 0; i < n; i++)
	{
		int col;

		if (pgml_table_next(t->table, names[i], 0) < 0)
			return training_find_column(t, names[i], role, &col);
		for (col = -1; (col = pgml_table_next(t->table, names[i], col + 1)) >= 0;)
			mark[col] = true;
	}
	return PGML_OK;
}

/* Decide for every column whether it may be a feature. */
static PgmlStatus
choose_columns(Training *t, bool *exclude, const char **reasons, bool *keep)
{
	PgmlTrainOptions *o = t->options;

	PGML_TRY(mark_columns(t, o->features, o->n_features, "a feature", keep));
	for (int col = 0; o->n_features > 0 && col < t->table->ncols; col++)
		if (!keep[col])
		{
			exclude[col] = true;
			reasons[col] = "not among the features asked for";
		}
	PGML_TRY(mark_columns(t, o->keep, o->n_keep, "one to keep", keep));
	/* Who says something of a column wants it used. */
	for (int i = 0; i < o->n_monotone; i++)
		PGML_TRY(mark_columns(t, &o->monotone[i].column, 1, "one of monotone_constraints", keep));
	for (int i = 0; i < o->n_interactions; i++)
		PGML_TRY(mark_columns(t, o->interactions[i].columns, o->interactions[i].n,
							  "one of interaction_constraints", keep));
	for (int i = 0; i < o->n_exclude; i++)
		PGML_TRY(exclude_column(t, o->exclude[i], "excluded", "excluded", exclude, reasons));
	for (int i = 0; i < o->n_id_columns; i++)
		PGML_TRY(
			exclude_column(t, o->id_columns[i], "an id column", "an id column", exclude, reasons));
	PGML_TRY(
		exclude_column(t, o->group_column, "group_column", "the group column", exclude, reasons));
	/* The time is a feature however much it looks like a running number. */
	if (o->time_column)
	{
		int col;

		PGML_TRY(training_find_column(t, o->time_column, "time_column", &col));
		keep[col] = true;
	}
	PGML_TRY(exclude_column(t, o->weight_column, "weight_column", "the weight column", exclude,
							reasons));
	return exclude_column(t, o->target, "the target", "the target", exclude, reasons);
}

/* The facts about the features that learners predict with. */
static PgmlStatus
describe_shape(Training *t)
{
	int32_t d = t->x.nfeatures;
	bool *categorical = pgml_array(t->arena, d, sizeof(bool));
	int32_t *n_levels = pgml_array(t->arena, d, sizeof(int32_t));

	if (!categorical || !n_levels)
		return pgml_fail_nomem(t->env, "the features");
	for (int32_t f = 0; f < d; f++)
	{
		categorical[f] = t->x.features[f].categorical;
		n_levels[f] = t->x.features[f].n_levels;
	}
	t->shape = (PgmlShape){ t->target.task, t->target.n_classes, d, categorical, n_levels };
	return PGML_OK;
}

static PgmlStatus
build_matrix(Training *t, const bool *exclude, const char *const *reasons, const bool *keep)
{
	PgmlRecipeSpec spec = { .rows = t->train,
							.n = t->n_train,
							.exclude = exclude,
							.exclude_reason = reasons,
							.keep = keep,
							.max_levels = t->options->max_levels };

	pgml_progress(t->env, 0.02, "fitting the recipe");
	PGML_TRY(pgml_recipe_fit(t->env, t->table, &spec, &t->recipe_bytes));
	PGML_TRY(
		pgml_recipe_open(t->recipe_bytes.data, t->recipe_bytes.len, &t->recipe, t->env->error));
	pgml_progress(t->env, 0.04, "computing features");
	PGML_TRY(pgml_recipe_apply_table(t->env, &t->recipe, t->table, t->arena, &t->x));
	return describe_shape(t);
}

/* Say in one sentence which columns were set aside as identifiers or for other reasons. */
static void
report_dropped(Training *t)
{
	char list[900] = "";
	size_t used = 0;
	int n = 0;

	for (int32_t i = 0; i < t->recipe.n_inputs; i++)
	{
		char words[160];
		PgmlInput input = pgml_recipe_input(&t->recipe, i);

		if (input.used || t->options->n_features > 0 || i == t->target_col)
			continue;
		pgml_recipe_describe(&t->recipe, i, words, sizeof(words));
		n++;
		if (used < sizeof(list) - 250)
			used += snprintf(list + used, sizeof(list) - used, "%s\"%.*s\" (%s)", used ? ", " : "",
							 pgml_shown(input.name, 75), input.name, words);
	}
	if (n > 0)
		training_notice(t, false, "not used as features: %s%s", list,
						used >= sizeof(list) - 250 ? ", ..." : "");
}

/* A column's name as an array of one for SQL: '{name}', or ARRAY['it''s'] where that would mean something else. */
static void
name_as_array(const char *name, char *out, size_t size)
{
	bool plain = *name != '\0' && !(strlen(name) == 4 && pgml_same_label(name, "null"));
	size_t n = 0;

	for (const char *c = name; *c != '\0'; c++)
		plain = plain && ((pgml_fold(*c) >= 'a' && pgml_fold(*c) <= 'z') || *c == '_' ||
						  (c > name && *c >= '0' && *c <= '9'));
	if (plain)
	{
		snprintf(out, size, "'{%s}'", name);
		return;
	}
	n = (size_t) snprintf(out, size, "ARRAY['");
	for (const char *c = name; *c != '\0' && n < size - 5; c++)
	{
		out[n++] = *c;
		if (*c == '\'')
			out[n++] = *c;
	}
	n = pgml_clip_end(out, (uint32_t) n);
	snprintf(out + n, size - n, "']");
}

/* Say which columns may leak. The time is none, however well a series' trend is told by it: it is known at prediction. */
static PgmlStatus
report_leaks(Training *t)
{
	PgmlTrainResult *r = t->result;
	int kept = 0;

	PGML_TRY(pgml_leak_scan(t->env, &t->x, t->target.y, t->target.task, t->target.n_classes,
							t->train, t->n_train, r->leaks, PGML_MAX_LEAKS, &r->n_leaks));
	for (int i = 0; i < r->n_leaks; i++)
	{
		const char *name = t->table->cols[r->leaks[i].source].name;
		char array[300];

		if (t->options->time_column && strcmp(name, t->options->time_column) == 0)
			continue;
		name_as_array(name, array, sizeof(array));
		training_notice(t, false,
						"column \"%s\" looks as if it leaks the target: %s; if it is not known at "
						"prediction time, train again with exclude => %s",
						name, r->leaks[i].why, array);
		r->leaks[kept++] = r->leaks[i];
	}
	r->n_leaks = kept;
	return PGML_OK;
}

static void
report_target(Training *t)
{
	const PgmlTrainOptions *o = t->options;

	if (t->target.task == PGML_TASK_BINARY)
		training_notice(t, false, "\"%s\" has two classes; probabilities are of the class \"%s\"",
						o->target, t->target.classes[1]);
	else if (t->target.task == PGML_TASK_MULTICLASS)
		training_notice(t, false, "\"%s\" has %d classes", o->target, t->target.n_classes);
	else
		training_notice(t, false, "\"%s\" is a number: regression", o->target);
	if (t->target.notice)
		training_notice(t, false, "%s", t->target.notice);
	training_report_rows(t);
}

PgmlStatus
training_prepare(Training *t)
{
	int ncols = t->table->ncols;
	bool *exclude = pgml_zalloc(t->arena, ncols + 1, sizeof(bool));
	bool *keep = pgml_zalloc(t->arena, ncols + 1, sizeof(bool));
	const char **reasons = pgml_zalloc(t->arena, ncols + 1, sizeof(char *));

	if (!exclude || !keep || !reasons)
		return pgml_fail_nomem(t->env, "the columns");
	if (t->table->nrows > INT32_MAX)
		return pgml_fail(t->env->error, PGML_ERR_LIMIT, "more than %d rows in memory", INT32_MAX);
	PGML_TRY(training_find_column(t, t->options->target, "the target", &t->target_col));
	PGML_TRY(choose_columns(t, exclude, reasons, keep));
	PGML_TRY(training_read_rows(t));
	t->outputs = pgml_task_outputs(t->target.task, t->target.n_classes);
	report_target(t);
	PGML_TRY(build_matrix(t, exclude, reasons, keep));
	report_dropped(t);
	PGML_TRY(training_read_constraints(t, exclude, reasons));
	return report_leaks(t);
}
