/*
 * prepare.c - from the raw table to features: which columns are what, which rows test, the recipe.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

/* Column called name, or an error that lists the columns. */
static PgmlStatus
find_column(Training *t, const char *name, const char *role, int *col)
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
		used += snprintf(list + used, sizeof(list) - used, "%s\"%.60s\"", i ? ", " : "",
						 t->table->cols[i].name);
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
	PGML_TRY(find_column(t, name, role, &col));
	for (int i = 0; i < t->options->n_features; i++)
		if (strcmp(t->options->features[i], name) == 0)
		{
			PgmlStatus status =
				pgml_fail(t->env->error, PGML_ERR_BADARG,
						  "column \"%s\" is %s, it cannot be among the features", name, reason);

			pgml_fail_hint(t->env->error, "Leave it out of features.");
			return status;
		}
	exclude[col] = true;
	reasons[col] = reason;
	return PGML_OK;
}

/* Decide for every column whether it may be a feature. */
static PgmlStatus
choose_columns(Training *t, bool *exclude, const char **reasons, bool *keep)
{
	PgmlTrainOptions *o = t->options;

	for (int i = 0; i < o->n_features; i++)
	{
		int col;

		PGML_TRY(find_column(t, o->features[i], "a feature", &col));
		keep[col] = true;
	}
	for (int col = 0; o->n_features > 0 && col < t->table->ncols; col++)
		if (!keep[col])
		{
			exclude[col] = true;
			reasons[col] = "not among the features asked for";
		}
	for (int i = 0; i < o->n_exclude; i++)
		PGML_TRY(exclude_column(t, o->exclude[i], "excluded", "excluded", exclude, reasons));
	for (int i = 0; i < o->n_id_columns; i++)
		PGML_TRY(
			exclude_column(t, o->id_columns[i], "an id column", "an id column", exclude, reasons));
	PGML_TRY(
		exclude_column(t, o->group_column, "group_column", "the group column", exclude, reasons));
	PGML_TRY(exclude_column(t, o->weight_column, "weight_column", "the weight column", exclude,
							reasons));
	return exclude_column(t, o->target, "the target", "the target", exclude, reasons);
}

/* The failure for weights that cannot be used. */
__attribute__((format(printf, 2, 3))) static PgmlStatus
weight_error(Training *t, const char *fmt, ...)
{
	char text[300];
	va_list args;
	PgmlStatus status;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	status = pgml_fail(t->env->error, PGML_ERR_DATA, "%s", text);
	pgml_fail_hint(t->env->error, "Weights are numbers of 0 or more; some must be above 0.");
	return status;
}

/* Row weights; a missing weight counts as 0. */
static PgmlStatus
read_weights(Training *t)
{
	int col;
	const PgmlColumn *c;

	if (!t->options->weight_column)
		return PGML_OK;
	PGML_TRY(find_column(t, t->options->weight_column, "weight_column", &col));
	c = &t->table->cols[col];
	if (c->kind != PGML_KIND_NUMBER)
		return weight_error(t, "weight_column \"%s\" is not a number", c->name);
	t->weight = pgml_array(t->arena, t->table->nrows, sizeof(double));
	if (!t->weight)
		return pgml_fail_nomem(t->env, "the weights");
	for (int64_t i = 0; i < t->table->nrows; i++)
	{
		double w = c->num[i];

		if (w < 0 || isinf(w))
			return weight_error(t, "weight_column \"%s\" holds the weight %g", c->name, w);
		t->weight[i] = isnan(w) ? 0 : w;
	}
	return PGML_OK;
}

/* Some training row must count. */
static PgmlStatus
check_weights(Training *t)
{
	bool counts = t->weight == NULL;

	for (int64_t i = 0; i < t->n_train && !counts; i++)
		counts = t->weight[t->train[i]] > 0;
	return counts ? PGML_OK :
					weight_error(t, "weight_column \"%s\" gives no training row a weight",
								 t->options->weight_column);
}

/* Hash of a cell's value; missing values give the row's own hash. */
static uint64_t
cell_hash(const PgmlTable *table, int col, int64_t row)
{
	PgmlValue v = pgml_table_value(table, col, row);

	if (v.is_null || (v.kind != PGML_KIND_TEXT && isnan(v.num)))
		return table->row_hash[row];
	if (v.kind == PGML_KIND_TEXT)
		return pgml_hash64(v.str, v.len, PGML_KIND_TEXT);
	if (v.num == 0)
		v.num = 0; /* -0 and 0 are one group */
	return pgml_hash64(&v.num, sizeof(v.num), v.kind);
}

static PgmlStatus
read_groups(Training *t)
{
	int col;

	if (!t->options->group_column)
		return PGML_OK;
	PGML_TRY(find_column(t, t->options->group_column, "group_column", &col));
	t->group = pgml_array(t->arena, t->table->nrows, sizeof(uint64_t));
	if (!t->group)
		return pgml_fail_nomem(t->env, "the groups");
	for (int64_t i = 0; i < t->table->nrows; i++)
		t->group[i] = cell_hash(t->table, col, i);
	return PGML_OK;
}

static PgmlStatus
read_time(Training *t)
{
	int col;
	const PgmlColumn *c;

	if (!t->options->time_column)
		return PGML_OK;
	PGML_TRY(find_column(t, t->options->time_column, "time_column", &col));
	c = &t->table->cols[col];
	if (c->kind != PGML_KIND_TEXT && c->kind != PGML_KIND_BOOL)
	{
		t->time = c->num;
		return PGML_OK;
	}
	t->time = pgml_array(t->arena, t->table->nrows, sizeof(double));
	if (!t->time)
		return pgml_fail_nomem(t->env, "the time column");
	for (int64_t i = 0; i < t->table->nrows; i++)
	{
		PgmlValue v = pgml_table_value(t->table, col, i);

		t->time[i] = NAN;
		if (c->kind == PGML_KIND_TEXT && !v.is_null && !pgml_is_missing_marker(v.str, v.len) &&
			!pgml_parse_date(v.str, v.len, false, &t->time[i]))
		{
			PgmlStatus status = pgml_fail(t->env->error, PGML_ERR_DATA,
										  "time_column \"%s\" holds \"%.40s\", which is not a date",
										  c->name, v.str);

			pgml_fail_hint(t->env->error,
						   "Name a date, timestamp or number column as time_column.");
			return status;
		}
	}
	return PGML_OK;
}

/* Class numbers in the order in which the split's thresholds were fixed; new classes get n_classes. */
static PgmlStatus
split_labels(Training *t, const int32_t *rows, int64_t n, int32_t *label)
{
	PgmlSplit *split = t->options->split;
	int32_t *map = pgml_array(t->arena, t->target.n_classes, sizeof(int32_t));

	if (!map)
		return pgml_fail_nomem(t->env, "the split");
	for (int k = 0; k < t->target.n_classes; k++)
	{
		map[k] = k;
		if (!split->fixed)
			continue;
		map[k] = split->n_classes;
		for (int j = 0; j < split->n_classes; j++)
			if (strcmp(split->labels[j], t->target.classes[k]) == 0)
				map[k] = j;
	}
	if (!split->fixed)
	{
		split->n_classes = t->target.n_classes;
		split->labels = t->target.classes;
	}
	for (int64_t i = 0; i < n; i++)
		label[i] = map[(int) t->target.y[rows[i]]];
	return PGML_OK;
}

static PgmlSplitMethod
wanted_method(const Training *t)
{
	if (t->time)
		return PGML_SPLIT_TIME;
	if (t->group)
		return PGML_SPLIT_GROUP;
	return t->target.task == PGML_TASK_REGRESSION ? PGML_SPLIT_RANDOM : PGML_SPLIT_STRATIFIED;
}

/* Gather the split's inputs for the usable rows, split, and list training and test rows. */
static PgmlStatus
split_rows(Training *t, const int32_t *rows, int64_t n)
{
	PgmlSplit *split = t->options->split;
	PgmlSplitInput in = { .n = n };
	uint64_t *hash = pgml_array(t->arena, n, sizeof(uint64_t));
	uint64_t *group = t->group ? pgml_array(t->arena, n, sizeof(uint64_t)) : NULL;
	double *time = t->time ? pgml_array(t->arena, n, sizeof(double)) : NULL;
	int32_t *label = pgml_array(t->arena, n, sizeof(int32_t));
	uint8_t *role = pgml_array(t->arena, n, 1);

	t->train = pgml_array(t->arena, n, sizeof(int32_t));
	t->test = pgml_array(t->arena, n, sizeof(int32_t));
	if (!hash || (t->group && !group) || (t->time && !time) || !label || !role || !t->train ||
		!t->test)
		return pgml_fail_nomem(t->env, "the split");
	if (split->fixed && split->method != wanted_method(t))
	{
		PgmlStatus status =
			pgml_fail(t->env->error, PGML_ERR_BADARG,
					  "the way test rows are chosen cannot change between versions of a model");

		pgml_fail_hint(
			t->env->error,
			"Keep time_column, group_column and the kind of task, or train a new model.");
		return status;
	}
	split->method = wanted_method(t);
	for (int64_t i = 0; i < n; i++)
	{
		hash[i] = t->table->row_hash[rows[i]];
		if (group)
			group[i] = t->group[rows[i]];
		if (time)
			time[i] = t->time[rows[i]];
	}
	if (split->method == PGML_SPLIT_STRATIFIED)
		PGML_TRY(split_labels(t, rows, n, label));
	else if (!split->fixed)
		split->n_classes = 1;
	in.row_hash = hash;
	in.group = group;
	in.time = time;
	in.label = split->method == PGML_SPLIT_STRATIFIED ? label : NULL;
	PGML_TRY(pgml_split(t->env, t->arena, split, &in, role));

	for (int64_t i = 0; i < n; i++)
	{
		if (role[i] == PGML_ROLE_TRAIN)
			t->train[t->n_train++] = rows[i];
		else if (role[i] == PGML_ROLE_TEST)
			t->test[t->n_test++] = rows[i];
	}
	t->result->rows_train = t->n_train;
	t->result->rows_test = t->n_test;
	t->result->rows_reserved = n - t->n_train - t->n_test;
	return PGML_OK;
}

/* Read target, weights, groups and time, then split the rows that have a target. */
static PgmlStatus
read_rows(Training *t)
{
	const PgmlTable *table = t->table;
	int32_t *rows = pgml_array(t->arena, table->nrows, sizeof(int32_t));
	int64_t n = 0;

	if (!rows)
		return pgml_fail_nomem(t->env, "the rows");
	PGML_TRY(pgml_target_read(t->env, table, t->target_col, t->options->task,
							  t->options->positive_class, t->arena, &t->target));
	PGML_TRY(read_weights(t));
	PGML_TRY(read_groups(t));
	PGML_TRY(read_time(t));
	for (int64_t i = 0; i < table->nrows; i++)
		if (!isnan(t->target.y[i]))
			rows[n++] = i;
	PGML_TRY(split_rows(t, rows, n));
	PGML_TRY(check_weights(t));
	if (t->n_train < 2)
	{
		PgmlStatus status =
			pgml_fail(t->env->error, PGML_ERR_DATA, "only %lld rows are left to train on",
					  (long long) t->n_train);

		pgml_fail_detail(t->env->error, "%lld rows have a target, %lld of them are test rows.",
						 (long long) n, (long long) t->n_test);
		pgml_fail_hint(t->env->error,
					   "A model needs at least 2 training rows; 50 or more give a useful one.");
		return status;
	}
	return PGML_OK;
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
			used += snprintf(list + used, sizeof(list) - used, "%s\"%.63s\" (%s)", used ? ", " : "",
							 input.name, words);
	}
	if (n > 0)
		training_notice(t, false, "not used as features: %s%s", list,
						used >= sizeof(list) - 250 ? ", ..." : "");
}

static PgmlStatus
report_leaks(Training *t)
{
	PgmlTrainResult *r = t->result;

	PGML_TRY(pgml_leak_scan(t->env, &t->x, t->target.y, t->target.task, t->target.n_classes,
							t->train, t->n_train, r->leaks, PGML_MAX_LEAKS, &r->n_leaks));
	for (int i = 0; i < r->n_leaks; i++)
		training_notice(
			t, false,
			"column \"%s\" looks as if it leaks the target: %s; if it is not known at prediction time, "
			"train again with exclude => '{%s}'",
			t->table->cols[r->leaks[i].source].name, r->leaks[i].why,
			t->table->cols[r->leaks[i].source].name);
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
	if (t->target.n_missing > 0)
		training_notice(t, false, "%lld rows without a value of \"%s\" were left out",
						(long long) t->target.n_missing, o->target);
	if (t->n_test == 0)
		training_notice(t, false,
						"no rows were held out for testing; the score comes from validation rows, "
						"on which settings were chosen");
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
	PGML_TRY(find_column(t, t->options->target, "the target", &t->target_col));
	PGML_TRY(choose_columns(t, exclude, reasons, keep));
	PGML_TRY(read_rows(t));
	t->outputs = pgml_task_outputs(t->target.task, t->target.n_classes);
	report_target(t);
	PGML_TRY(build_matrix(t, exclude, reasons, keep));
	report_dropped(t);
	return report_leaks(t);
}
