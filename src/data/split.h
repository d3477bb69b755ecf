/*
 * split.h - which rows train and which rows test, for ever.
 *
 * A row's place follows from its identity (row_hash), the model's salt and rules fixed by the first version:
 * a row that any version was tested on is never trained on by a later one.
 *
 * stratified: a row tests when its salted hash lies below the threshold of its class; the first version sets the
 *   thresholds so that each class gives the wanted share.  Later versions keep them, and train only on rows at
 *   or above the highest threshold, so that a row whose label was corrected cannot change sides.  No threshold is above
 *   the highest one among the classes of 30 rows or more (without any: above the wanted share), lest a class of three
 *   rows keep many others from training; so a smaller class may give less than its share, or no test row.
 * random: one threshold for all rows (regression).
 * group: the hash is that of the group's value; one threshold, before or after the group that crosses the wanted share,
 *   whichever is nearer to it.
 * time: the newest rows test; windows tested by earlier versions stay out of training (reserved).  No window begins
 *   before an earlier one does, so no version is tested on rows that an earlier one may have learned from; when the rows
 *   of today end before that, there are no test rows.
 */
#ifndef PGML_DATA_SPLIT_H
#define PGML_DATA_SPLIT_H

#include "core/env.h"

typedef enum PgmlSplitMethod
{
	PGML_SPLIT_RANDOM = 1,
	PGML_SPLIT_STRATIFIED = 2,
	PGML_SPLIT_GROUP = 3,
	PGML_SPLIT_TIME = 4
} PgmlSplitMethod;

typedef enum PgmlRole
{
	PGML_ROLE_TRAIN = 0,
	PGML_ROLE_TEST = 1,
	PGML_ROLE_RESERVED = 2 /* neither: an earlier version's test rows, or between thresholds */
} PgmlRole;

typedef struct PgmlWindow
{
	double from; /* seconds, inclusive */
	double upto; /* seconds, inclusive */
} PgmlWindow;

/* The rules; in: method, salt, test_size, and what earlier versions fixed; out: completed. */
typedef struct PgmlSplit
{
	PgmlSplitMethod method;
	uint64_t salt;
	uint32_t variant;    /* chosen with the thresholds: rows are ordered by salt and variant */
	double test_size;    /* wanted share of test rows, 0 <= test_size < 1; 0: nothing is held out */
	bool fixed;          /* thresholds come from an earlier version */
	int n_classes;       /* thresholds in use (1 unless stratified: then set by the caller) */
	uint64_t *threshold; /* per class: test when the salted hash is below; 0: none */
	const char **labels; /* stratified: the class each threshold belongs to (kept by the caller) */
	bool day_first;      /* time: texts such as 09/03 were read as 9 March (kept by the caller) */
	int n_windows;       /* time: windows of earlier versions; the new one is appended */
	PgmlWindow *windows;
} PgmlSplit;

/* What rows are split by; arrays of n, NULL where the method does not need them. */
typedef struct PgmlSplitInput
{
	int64_t n;
	const uint64_t *row_hash;
	const int32_t *label; /* stratified: class 0 .. n_classes-1 in the order of split->threshold */
	const uint64_t
		*group;         /* group: hash of the group's value (missing groups: the row's own hash) */
	const double *time; /* time: seconds; NaN rows count as oldest */
	bool together;      /* rows of equal row_hash lie next to each other */
} PgmlSplitInput;

/*
 * Fill role[n].  Allocates thresholds (unless fixed) and windows in arena.  Every class keeps at least one
 * training row, and one test row when it has 30 rows or more and test_size > 0; of two rows or more in a class some row
 * tests.  Rows of equal hash are never on both sides: they count as one here, and where their labels differ, those that
 * would train while another tests are reserved.  With fixed thresholds test_size is not looked at, and classes unknown
 * to the first version (label >= n_classes) use the highest threshold.  PGML_ERR_DATA when there is a single
 * group, a single time, or nothing left to train on.
 */
extern PgmlStatus pgml_split(const PgmlEnv *env, PgmlArena *arena, PgmlSplit *split,
							 const PgmlSplitInput *in, uint8_t *role);

/*
 * Deal rows (indexes into the arrays) to folds 0 .. k-1, fold[i] for rows[i]: stratified by label (NULL: not),
 * whole groups (NULL: rows), or consecutive blocks in time, oldest first, rows of one time together (NULL: not; time goes
 * before group).
 * Seeded; rows balance within one per class, groups as well as their sizes and classes allow.  k is 1 to
 * 255; folds stay empty when there are fewer rows.  While it runs it takes about 32 bytes a row.
 */
extern PgmlStatus pgml_folds(const PgmlEnv *env, int k, const int32_t *rows, int64_t n,
							 const int32_t *label, const uint64_t *group, const double *time,
							 uint64_t seed, uint8_t *fold);

#endif
