/*
 * ingest_sample.c - the rows that fit.
 *
 * Each row has a key, uniform in 64 bits, made of its identity and the model's salt.  The sample is the rows with keys
 * up to a threshold from a fixed ladder, each step 4/5 of the one before: the highest step whose rows fit.  So it depends
 * on the rows and the bound, not on the order in which rows come.
 *
 * Rare classes would shrink or vanish by chance.  Each class therefore also holds its `reserve` smallest keys, and gets
 * out of them, at the end, what is missing to its share of the sample.  (A class in the reserve only, not below the
 * threshold, turns away keys above the largest of its reserve.)
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "pg/ingest_stage.h"

#define FIRST_RESERVE 100

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
		if (stage_class(stage, row) == class)
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
		StageClass *class = &stage->class[stage_class(stage, row)];

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

		keep[row] = key <= stage->class[stage_class(stage, row)].threshold;
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
