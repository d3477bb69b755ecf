/*
 * rows.c - which rows train and which test: target, weights, groups and time, then the split.
 */
#include "search/training.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hash.h"

/* Rows and groups fewer than these give a score that hardly tells anything. */
#define FEW_TRAINING_ROWS 50
#define FEW_TEST_GROUPS   5

/* The share of test rows may differ from the one asked for by this factor before it is said. */
#define SHARE_TOLERANCE 1.5

/* Largest weight after scaling: that of test rows may be immense beside those of training rows. */
#define MAX_WEIGHT 1e100

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

/* The failure for weights that are all 0. */
static PgmlStatus
no_weight(Training *t)
{
	return weight_error(t, "weight_column \"%s\" gives no training row a weight",
						t->options->weight_column);
}

/* Row weights; a missing weight counts as 0. As shares of the largest one: their sums stay finite. */
static PgmlStatus
read_weights(Training *t)
{
	int col;
	const PgmlColumn *c;
	double largest = 0;

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
		double w = pgml_column_number(c, i);

		if (w < 0 || isinf(w))
			return weight_error(
				t, "weight_column \"%s\" holds a weight that is negative or infinite", c->name);
		t->weight[i] = isnan(w) ? 0 : w;
		largest = t->weight[i] > largest ? t->weight[i] : largest;
	}
	for (int64_t i = 0; largest > 0 && i < t->table->nrows; i++)
		t->weight[i] /= largest;
	return PGML_OK;
}

/* Only the ratio of weights may count, not their unit: on the training rows their mean becomes 1. */
static void
scale_weights(Training *t)
{
	double sum = 0;

	for (int64_t i = 0; t->weight && i < t->n_train; i++)
		sum += t->weight[t->train[i]];
	for (int64_t i = 0; sum > 0 && i < t->table->nrows; i++)
		t->weight[i] = fmin(t->weight[i] / (sum / (double) t->n_train), MAX_WEIGHT);
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

/* The failure for a text that is no date. */
static PgmlStatus
no_date(Training *t, const char *name, const PgmlValue *v)
{
	PgmlStatus status = pgml_fail(t->env->error, PGML_ERR_DATA,
								  "time_column \"%s\" holds \"%.*s\", which is not a date", name,
								  (int) pgml_clip(v->str, v->len, 40), v->str);

	pgml_fail_hint(t->env->error, "Name a date, timestamp or number column as time_column.");
	return status;
}

static PgmlStatus
read_time(Training *t)
{
	int col;
	const PgmlColumn *c;
	PgmlSplit *split = t->options->split;

	if (!t->options->time_column)
		return PGML_OK;
	PGML_TRY(training_find_column(t, t->options->time_column, "time_column", &col));
	c = &t->table->cols[col];
	if (c->num && c->kind != PGML_KIND_BOOL)
	{
		t->time = c->num;
		return PGML_OK;
	}
	t->time = pgml_array(t->arena, t->table->nrows, sizeof(double));
	if (!t->time)
		return pgml_fail_nomem(t->env, "the time column");
	/* Once for ever, as the windows of time are: dates must not change their meaning between versions. */
	if (c->kind == PGML_KIND_TEXT && !split->fixed)
		PGML_TRY(pgml_recipe_day_first(t->env, c, t->table->nrows, &split->day_first));
	for (int64_t i = 0; i < t->table->nrows; i++)
	{
		PgmlValue v = pgml_table_value(t->table, col, i);

		t->time[i] = c->single ? c->single[i] : NAN;
		if (c->kind == PGML_KIND_TEXT && !v.is_null && !pgml_is_missing_marker(v.str, v.len) &&
			!pgml_parse_date(v.str, v.len, split->day_first, &t->time[i]))
			return no_date(t, c->name, &v);
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
		map[k] = pgml_find_label(split->labels, split->n_classes, t->target.classes[k]);
		if (map[k] < 0)
			map[k] = split->n_classes;
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
	bool all = n == t->table->nrows;
	uint64_t *hash = all ? t->table->row_hash : pgml_array(t->arena, n, sizeof(uint64_t));
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
		if (!all)
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
	in.together = t->table->together;
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

/* A constant cannot be learned from, nor can most metrics be computed on it: better no model than a silent guess. */
static PgmlStatus
check_target_varies(Training *t)
{
	double first = t->target.y[t->train[0]];
	PgmlStatus status;

	for (int64_t i = 1; i < t->n_train; i++)
		if (t->target.y[t->train[i]] != first)
			return PGML_OK;
	if (t->target.task == PGML_TASK_REGRESSION)
		status = pgml_fail(t->env->error, PGML_ERR_DATA,
						   "target column \"%s\" is %.17g in all training rows", t->options->target,
						   first);
	else
	{
		const char *label = t->target.classes[(int) first];

		status = pgml_fail(t->env->error, PGML_ERR_DATA,
						   "target column \"%s\" has only one class in the training rows, \"%.*s\"",
						   t->options->target, pgml_shown(label, 40), label);
	}
	pgml_fail_detail(t->env->error, "%lld rows train, %lld rows test.", (long long) t->n_train,
					 (long long) t->n_test);
	pgml_fail_hint(
		t->env->error,
		t->time  ? "The newest rows test, and the others are all alike: use more rows, or no "
				   "time_column." :
		t->group ? "Whole groups test, and the others are all alike: use more rows, or no "
				   "group_column." :
				   "Use more rows.");
	return status;
}

static PgmlStatus
check_training_rows(Training *t, int64_t n)
{
	PgmlStatus status;

	if (t->n_train >= 2)
		return check_target_varies(t);
	status = pgml_fail(t->env->error, PGML_ERR_DATA, "only %lld row%s left to train on",
					   (long long) t->n_train, t->n_train == 1 ? " is" : "s are");
	pgml_fail_detail(
		t->env->error,
		"%lld rows have a target, %lld of them are test rows, and %lld more have no weight.",
		(long long) n, (long long) t->n_test, (long long) t->n_weightless);
	pgml_fail_hint(t->env->error,
				   "A model needs at least 2 training rows; 50 or more give a useful one.");
	return status;
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
	{
		if (isnan(t->target.y[i]))
			continue;
		/* Rows without a weight are left out for good: they would count as rows of a leaf or of validation. */
		if (t->weight && t->weight[i] == 0)
			t->n_weightless++;
		else
			rows[n++] = i;
	}
	if (n == 0)
		return no_weight(t);
	PGML_TRY(split_rows(t, rows, n));
	scale_weights(t);
	return check_training_rows(t, n);
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* Groups among the test rows, counted up to FEW_TEST_GROUPS. */
static int
count_test_groups(const Training *t)
{
	uint64_t seen[FEW_TEST_GROUPS];
	int n = 0;

	for (int64_t i = 0; i < t->n_test && n < FEW_TEST_GROUPS; i++)
	{
		uint64_t group = t->group[t->test[i]];
		int k = 0;

		while (k < n && seen[k] != group)
			k++;
		if (k == n)
			seen[n++] = group;
	}
	return n;
}

/* Whole groups and whole moments cannot always give the share that was asked for. */
static void
report_share(Training *t)
{
	const PgmlSplit *split = t->options->split;
	int64_t n = t->n_train + t->n_test + t->result->rows_reserved;
	double share = (double) t->n_test / (double) n;

	if (share <= split->test_size * SHARE_TOLERANCE && share * SHARE_TOLERANCE >= split->test_size)
		return;
	training_notice(t, false, "%.2g %% of the rows test, not the %.2g %% asked for: %s",
					100 * share, 100 * split->test_size,
					split->method == PGML_SPLIT_GROUP ? "rows of one group stay together" :
					split->n_windows > 1 ? "rows of one time stay together, and none tests that "
										   "an earlier version may have learned from" :
										   "rows of one time stay together");
}

static void
report_test_rows(Training *t)
{
	const PgmlSplit *split = t->options->split;
	bool whole = split->method == PGML_SPLIT_GROUP || split->method == PGML_SPLIT_TIME;

	if (t->n_test == 0)
		training_notice(
			t, false,
			"no rows were held out for testing%s; the score comes from validation rows, "
			"on which settings were chosen",
			split->test_size > 0 && split->method == PGML_SPLIT_TIME ?
				", as none is newer than what an earlier version may have learned from" :
			split->test_size > 0 ? ", as there are too few different ones" :
								   "");
	else if (whole)
		report_share(t);
	if (t->n_test > 0 && split->method == PGML_SPLIT_GROUP)
	{
		int groups = count_test_groups(t);

		if (groups < FEW_TEST_GROUPS)
			training_notice(t, false,
							"only %d group%s: the score depends on which, and its "
							"interval says little",
							groups, groups == 1 ? " tests" : "s test");
	}
}

/* See training.h. */
void
training_report_rows(Training *t)
{
	const PgmlTrainOptions *o = t->options;

	if (t->target.n_missing > 0)
		training_notice(t, false, "%lld rows without a value of \"%s\" were left out",
						(long long) t->target.n_missing, o->target);
	if (t->n_weightless > 0)
		training_notice(t, false, "%lld rows with a weight of 0 were left out",
						(long long) t->n_weightless);
	if (t->time && t->group)
		training_notice(t, false,
						"the newest rows test, so rows of one \"%s\" may both train and test; "
						"group_column serves only the intervals",
						o->group_column);
	if (t->n_train < FEW_TRAINING_ROWS)
		training_notice(t, false, "there are only %lld rows to train on: the score is unreliable",
						(long long) t->n_train);
	report_test_rows(t);
}
