/*
 * ingest_sample.c - the rows that fit, and their order.
 *
 * Each row has a key, uniform in 64 bits, made of its identity and the model's salt.  The sample is the rows with keys
 * up to a threshold from a fixed ladder, each step 4/5 of the one before: the highest step whose rows fit.  So it depends
 * on the rows and the bound, not on the order in which rows come.
 *
 * Rare classes would shrink or vanish by chance.  Each class therefore also holds its `reserve` smallest keys, and gets
 * out of them, at the end, what is missing to its share of the sample.  (A class in the reserve only, not below the
 * threshold, turns away keys above the largest of its reserve.)  Rows in hash order make a training independent of
 * where rows lie in the table.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "pg/ingest_stage.h"

#define FIRST_RESERVE 100

typedef struct Ranked
{
	uint64 key;
	int64 row;
} Ranked;

static uint16
class_of(const Stage *stage, int64 row)
{
	return ((const uint16 *) stage->classes.data)[row];
}

/* All rows become one class: the target has too many values, or there is no room for a reserve. */
static void
give_up_classes(Stage *stage)
{
	int64 seen = 0;

	for (int i = 0; i < stage->nclasses; i++)
		seen += stage->class[i].seen;
	memset(stage->classes.data, 0, stage->nrows * sizeof(uint16));
	stage->stratified = false;
	stage->nclasses = 1;
	stage->class[0] = (StageClass){ .seen = seen, .threshold = stage->threshold };
}

/* Number of the class; classes are found one after another, the usual two or three are found at once. */
int
stage_class_of(Stage *stage, uint64 class_hash)
{
	if (!stage->stratified)
		class_hash = 0;
	for (int i = 0; i < stage->nclasses; i++)
	{
		if (stage->class[i].hash == class_hash || !stage->stratified)
			return i;
	}
	if (stage->nclasses == STAGE_MAX_CLASSES)
	{
		give_up_classes(stage);
		return 0;
	}
	stage->class[stage->nclasses] = (StageClass){ .hash = class_hash, .threshold = UINT64_MAX };
	return stage->nclasses++;
}

/* ---- shrinking ----------------------------------------------------------------------------- */

static int
compare_keys(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* The key that the reserve of a class ends at, when the class holds more rows than its reserve. */
static uint64
end_of_reserve(const Stage *stage, int class)
{
	int64 held = stage->class[class].held;
	uint64 *keys;
	uint64 end;
	int64 n = 0;

	if (held <= stage->reserve)
		return stage->class[class].threshold;
	keys = stage_array(held, sizeof(uint64));
	for (int64 row = 0; row < stage->nrows; row++)
	{
		if (class_of(stage, row) == class)
			keys[n++] = stage_key(stage, row);
	}
	qsort(keys, n, sizeof(uint64), compare_keys);
	end = keys[stage->reserve - 1];
	pfree(keys);
	return Max(end, stage->threshold);
}

/* Lower the thresholds of all classes to the common one or to the end of their reserves. */
static void
lower_thresholds(Stage *stage)
{
	for (int i = 0; i < stage->nclasses; i++)
		stage->class[i].held = stage->class[i].below = 0;
	for (int64 row = 0; row < stage->nrows; row++)
	{
		StageClass *class = &stage->class[class_of(stage, row)];

		class->held++;
		class->below += stage_key(stage, row) <= stage->threshold;
	}
	for (int i = 0; i < stage->nclasses; i++)
	{
		StageClass *class = &stage->class[i];

		CHECK_FOR_INTERRUPTS();
		class->threshold = class->below >= stage->reserve ?
							   Min(class->threshold, stage->threshold) :
							   end_of_reserve(stage, i);
	}
}

/* Drop the rows above their class's threshold; returns how many of the others are above the common one. */
static int64
drop_rows(Stage *stage)
{
	bool *keep = stage_array(stage->nrows, sizeof(bool));
	int64 reserved = 0;

	for (int64 row = 0; row < stage->nrows; row++)
	{
		uint64 key = stage_key(stage, row);

		keep[row] = key <= stage->class[class_of(stage, row)].threshold;
		reserved += keep[row] && key > stage->threshold;
	}
	stage_keep_rows(stage, keep);
	pfree(keep);
	return reserved;
}

void
stage_shrink(Stage *stage)
{
	if (stage->reserve < 0)
		stage->reserve = stage->stratified ? FIRST_RESERVE : 0;
	while (stage_too_big(stage))
	{
		if (stage->threshold < 5 || stage->nrows <= 1)
			stage_fail_limit();
		stage->threshold = stage->threshold / 5 * 4;
		lower_thresholds(stage);
		if (drop_rows(stage) > stage->nrows / 2)
			stage->reserve /= 2;
	}
}

/* ---- order --------------------------------------------------------------------------------- */

/* Compare the values of a column in two rows; missing comes last. */
static int
compare_cells(const StageColumn *column, int64 a, int64 b)
{
	if (column->is_text)
	{
		const int32 *code = (const int32 *) column->cells.data;

		if (code[a] == code[b])
			return 0;
		if (code[a] < 0 || code[b] < 0)
			return code[a] < 0 ? 1 : -1;
		return strcmp(pgml_dict_get(column->dict, code[a], NULL),
					  pgml_dict_get(column->dict, code[b], NULL));
	}
	else
	{
		const double *num = (const double *) column->cells.data;

		if (isnan(num[a]) || isnan(num[b]))
			return (int) isnan(num[a]) - (int) isnan(num[b]);
		return num[a] < num[b] ? -1 : num[a] > num[b];
	}
}

/* Order by key, rows of one identity by their values. */
static int
compare_ranked(const void *a, const void *b, void *arg)
{
	const Ranked *x = a;
	const Ranked *y = b;
	const Stage *stage = arg;

	CHECK_FOR_INTERRUPTS();
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	for (int i = 0; stage->break_ties && i < stage->ncolumns; i++)
	{
		int result = compare_cells(&stage->columns[i], x->row, y->row);

		if (result != 0)
			return result;
	}
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Rows of a class that its share of the sample comes to, as far as its reserve has them. */
static int64
share_of_class(const Stage *stage, int class)
{
	double fraction = (double) stage->threshold / (double) UINT64_MAX;

	return Min(stage->reserve, (int64) ceil(fraction * (double) stage->class[class].seen));
}

/* Take from the sorted rows those of the sample; returns their number. */
static int64
take_sample(Stage *stage, const Ranked *ranked, int64 *order)
{
	int64 taken[STAGE_MAX_CLASSES] = { 0 };
	int64 n = 0;

	for (int64 i = 0; i < stage->nrows; i++)
	{
		int class = class_of(stage, ranked[i].row);

		if (ranked[i].key > stage->threshold && taken[class] >= share_of_class(stage, class))
			continue;
		taken[class]++;
		order[n++] = ranked[i].row;
	}
	return n;
}

int64 *
stage_order(Stage *stage, int64 *nrows)
{
	int64 *order = stage_array(stage->nrows, sizeof(int64));
	Ranked *ranked;

	*nrows = stage->nrows;
	if (stage->keep_order)
	{
		for (int64 i = 0; i < stage->nrows; i++)
			order[i] = i;
		return order;
	}
	ranked = stage_array(stage->nrows, sizeof(Ranked));
	for (int64 i = 0; i < stage->nrows; i++)
		ranked[i] = (Ranked){ .key = stage_key(stage, i), .row = i };
	qsort_arg(ranked, stage->nrows, sizeof(Ranked), compare_ranked, stage);
	*nrows = take_sample(stage, ranked, order);
	pfree(ranked);
	return order;
}
