/*
 * ranges.h - which settings of a learner are worth varying, and how far.
 *
 * A setting may have any value in its [min, max]; most of these are never good.  The ranges follow those that portfolios of
 * settings were drawn from: TabArena (Erickson et al. 2025) and AutoGluon, FLAML (Wang et al. 2021), auto-sklearn
 * (Feurer et al. 2015) and pytabkit (Holzmüller, Grinsztajn and Steinwart 2024).
 */
#ifndef PGML_SEARCH_RANGES_H
#define PGML_SEARCH_RANGES_H

#include "search/space.h"

/* When a range is used, and what its ends are. */
enum
{
	PGML_RANGE_LOG = 1,          /* on the logarithmic scale */
	PGML_RANGE_CLASSES = 2,      /* only where the target has classes */
	PGML_RANGE_NUMBERS = 4,      /* only where it is a number */
	PGML_RANGE_CATEGORIES = 8,   /* only where a feature is a category */
	PGML_RANGE_PER_FEATURE = 16, /* the ends are divided by the number of features */
	PGML_RANGE_FEW_ROWS = 32     /* the upper end is a tenth of the rows, at most */
};

typedef struct PgmlRange
{
	const char *name;
	const char *values; /* words or numbers, separated by blanks; NULL: from low to high */
	double low, high;
	unsigned flags;
	const char *when, *is; /* the setting that must have this value; NULL: always */
} PgmlRange;

typedef struct PgmlRanges
{
	const PgmlLearner *learner;
	const char *
		rounds; /* the setting that is the number of trees or epochs, where a trial can have fewer of them; NULL: rows */
	double least; /* of these; a trial with fewer says nothing */
	bool network; /* the settings are the architecture of a network */
	const PgmlRange *range;
	int n;
} PgmlRanges;

/* The ranges of a learner; NULL when it has none: then only what the user lists is varied. */
extern const PgmlRanges *pgml_ranges_of(const PgmlLearner *learner);

#endif
