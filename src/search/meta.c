/*
 * meta.c - what is like another table: simple meta-features, compared by their distance.
 *
 * Rows, columns, classes and the share of numbers are what FLAML's nearest neighbour compares (Wang et al. 2021); missing values, balance and
 * levels are of the simple ones that auto-sklearn began with (Feurer et al. 2015).  All are known before anything is fitted.
 */
#include "search/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows looked at for shares, and values at most: chance has put rows in order. */
#define LOOKED_AT   10000
#define MOST_VALUES 1000000

static const struct
{
	const char *name;
	bool count; /* compared by the logarithm */
} features[PGML_META_COUNT] = {
	[PGML_META_ROWS] = { "rows", true },        [PGML_META_COLUMNS] = { "columns", true },
	[PGML_META_NUMBERS] = { "numbers", false }, [PGML_META_CATEGORIES] = { "categories", false },
	[PGML_META_DATES] = { "dates", false },     [PGML_META_MISSING] = { "missing", false },
	[PGML_META_LEVELS] = { "levels", true },    [PGML_META_CLASSES] = { "classes", true },
	[PGML_META_BALANCE] = { "balance", false }, [PGML_META_SKEW] = { "skew", false },
};

const char *
pgml_meta_name(PgmlMetaFeature feature)
{
	return features[feature].name;
}

double
pgml_meta_distance(const PgmlMeta *a, const PgmlMeta *b)
{
	double sum = 0;

	for (int i = 0; i < PGML_META_COUNT; i++)
	{
		double difference = features[i].count ? log10(a->v[i] / b->v[i]) : a->v[i] - b->v[i];

		if (!isfinite(difference))
			return INFINITY;
		sum += difference * difference;
	}
	return sqrt(sum);
}

/* Shares of kinds of columns, and the levels of categories. */
static void
describe_columns(const Training *t, PgmlMeta *meta)
{
	double used = 0, numbers = 0, dates = 0, categories = 0, with_levels = 0, levels = 0;

	for (int32_t i = 0; i < t->recipe.n_inputs; i++)
	{
		PgmlInput input = pgml_recipe_input(&t->recipe, i);
		char words[1];
		const char *step;

		if (!input.used)
			continue;
		step = pgml_recipe_describe(&t->recipe, i, words, sizeof(words));
		used++;
		dates += strncmp(step, "date", 4) == 0 || strcmp(step, "time") == 0;
		if (t->x.features[input.first_feature].categorical)
		{
			with_levels++;
			levels += t->x.features[input.first_feature].n_levels;
		}
		categories += t->x.features[input.first_feature].categorical ||
					  strcmp(step, "boolean") == 0 || strcmp(step, "missing") == 0;
	}
	numbers = used - dates - categories;
	meta->v[PGML_META_COLUMNS] = used;
	meta->v[PGML_META_NUMBERS] = numbers / used;
	meta->v[PGML_META_CATEGORIES] = categories / used;
	meta->v[PGML_META_DATES] = dates / used;
	meta->v[PGML_META_LEVELS] = with_levels > 0 ? levels / with_levels : 1;
}

/* Share of missing values in the features. */
static PgmlStatus
share_missing(const Training *t, int64_t n, double *share)
{
	int64_t most = MOST_VALUES / (t->x.nfeatures + 1) + 1;
	int64_t looked_at = n < most ? n : most;
	double missing = 0;

	for (int32_t f = 0; f < t->x.nfeatures; f++)
	{
		if (pgml_stopped(t->env))
			return pgml_fail_cancelled(t->env);
		for (int64_t i = 0; i < looked_at; i++)
			missing += isnan(t->x.col[f][t->train[i]]);
	}
	*share = missing / ((double) looked_at * t->x.nfeatures);
	return PGML_OK;
}

/* Entropy of the classes as a share of what it could be. */
static double
class_balance(const Training *t, const double *y, int64_t n, double *count)
{
	int k = t->target.n_classes;
	double entropy = 0;

	memset(count, 0, (size_t) k * sizeof(double));
	for (int64_t i = 0; i < n; i++)
		count[(int) y[i]]++;
	for (int c = 0; c < k; c++)
		if (count[c] > 0)
			entropy -= count[c] / (double) n * log(count[c] / (double) n);
	return entropy / log(k);
}

/* For qsort. */
static int
compare_numbers(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* How far the mean is from the median, in standard deviations: within [-1, 1].  y is put in order. */
static double
target_skew(double *y, int64_t n)
{
	double mean = 0, squares = 0, scale = 0;

	for (int64_t i = 0; i < n; i++)
		scale = fmax(scale, fabs(y[i]));
	if (scale == 0)
		return 0;
	for (int64_t i = 0; i < n; i++)
		mean += y[i] / scale / (double) n;
	for (int64_t i = 0; i < n; i++)
		squares += pow(y[i] / scale - mean, 2);
	qsort(y, (size_t) n, sizeof(double), compare_numbers);
	return squares > 0 ? (mean - y[n / 2] / scale) / sqrt(squares / (double) n) : 0;
}

PgmlStatus
training_describe_table(Training *t)
{
	int64_t n = t->n_train < LOOKED_AT ? t->n_train : LOOKED_AT;
	PgmlMeta *meta = &t->result->meta;
	PgmlArena *arena = pgml_arena_create(t->env->budget);
	double *y = arena ? pgml_array(arena, n, sizeof(double)) : NULL;
	double *count = arena ? pgml_array(arena, t->target.n_classes + 1, sizeof(double)) : NULL;
	bool classes = t->target.task != PGML_TASK_REGRESSION;
	PgmlStatus status = PGML_OK;

	for (int i = 0; i < PGML_META_COUNT; i++)
		meta->v[i] = NAN;
	if (y && count)
	{
		for (int64_t i = 0; i < n; i++)
			y[i] = t->target.y[t->train[i]];
		describe_columns(t, meta);
		meta->v[PGML_META_ROWS] = (double) (t->n_train + t->n_test);
		meta->v[PGML_META_CLASSES] = classes ? t->target.n_classes : 1;
		meta->v[PGML_META_BALANCE] = classes ? class_balance(t, y, n, count) : 1;
		meta->v[PGML_META_SKEW] = classes ? 0 : target_skew(y, n);
		status = share_missing(t, n, &meta->v[PGML_META_MISSING]);
	}
	pgml_arena_destroy(arena);
	return status;
}
