/*
 * meta.h - a table in a few numbers, by which it is compared with others.
 */
#ifndef PGML_SEARCH_META_H
#define PGML_SEARCH_META_H

/* Places of the numbers; each has a name that is stored with it. */
typedef enum PgmlMetaFeature
{
	PGML_META_ROWS,       /* with a target, test rows included */
	PGML_META_COLUMNS,    /* inputs that are used */
	PGML_META_NUMBERS,    /* share of them that are numbers */
	PGML_META_CATEGORIES, /* share that are categories, or yes and no */
	PGML_META_DATES,      /* share that are dates or times */
	PGML_META_MISSING,    /* share of their values that are missing */
	PGML_META_LEVELS,     /* mean number of levels of the categories; 1 without any */
	PGML_META_CLASSES,    /* of the target; 1 for a number */
	PGML_META_BALANCE,    /* entropy of the classes, of equally many rows 1; for a number 1 */
	PGML_META_SKEW,       /* (mean - median) / standard deviation of the target; of classes 0 */
	PGML_META_COUNT
} PgmlMetaFeature;

typedef struct PgmlMeta
{
	double v[PGML_META_COUNT]; /* NaN: not known */
} PgmlMeta;

/* The name of a number. */
extern const char *pgml_meta_name(PgmlMetaFeature feature);

/*
 * How different two tables are, 0 for the same numbers: the root of the sum of squared differences, of which a factor of 10 in counts and
 * the whole of a share are 1 each.  Infinite where a number is not known.
 */
extern double pgml_meta_distance(const PgmlMeta *a, const PgmlMeta *b);

#endif
