/*
 * rows.c - which rows train and which test: target, weights, groups and time, then the split.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

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
	PGML_TRY(training_find_column(t, t->options->weight_column, "weight_column", &col));
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
	PGML_TRY(training_find_column(t, t->options->group_column, "group_column", &col));
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
	PGML_TRY(training_find_column(t, t->options->time_column, "time_column", &col));
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

/* See training.h. */
PgmlStatus
training_read_rows(Training *t)
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
