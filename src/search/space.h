/*
 * space.h - what a search may vary: for each learner the domains of its settings.
 *
 * A point of a space has a coordinate in [0, 1] for each dimension, so that strategies need not know what a setting means:
 * equal steps of the coordinate are equal steps of the setting, or of its logarithm, or values of a list.  A dimension may
 * count only when another one has a certain value; when it does not count its coordinate is NaN.
 */
#ifndef PGML_SEARCH_SPACE_H
#define PGML_SEARCH_SPACE_H

#include "search/automl.h"

/* One setting that is varied. */
typedef struct PgmlDomain
{
	int param;   /* place in the learner's params */
	bool listed; /* in the user's search_space */

	/* A range, both ends included, when n_values is 0. */
	double low, high;
	bool log_scale;
	bool whole;

	/* Else a list. */
	int n_values;
	const double *values; /* increasing when ordered */
	bool ordered;         /* numbers, else words */

	int parent; /* dimension that must have parent_value, and has no parent; -1: always counts */
	double parent_value; /* of the setting */
} PgmlDomain;

/* What a trial can have less of, to be cheaper. */
typedef enum PgmlResource
{
	PGML_RESOURCE_ROWS,  /* rows to learn from */
	PGML_RESOURCE_ROUNDS /* the setting resource_param: trees or epochs */
} PgmlResource;

typedef struct PgmlSpace
{
	const PgmlLearner *learner;
	PgmlParams base; /* the defaults and what the user fixed */
	int n_dims;
	PgmlDomain dim[PGML_MAX_PARAMS];
	PgmlResource resource;
	int resource_param;
	double least; /* share of the resource below which a trial says nothing */
} PgmlSpace;

/* What is known of the data when ranges are chosen. */
typedef struct PgmlSpaceData
{
	PgmlTask task;
	int64_t n_rows; /* to learn from in one fit */
	int32_t n_features;
	bool has_categories;
} PgmlSpaceData;

/*
 * space_create.c: the space of a learner.  It has the ranges of ranges.c, replaced by the user's where search_space has the setting;
 * with only_listed nothing but the latter.  What base fixes is no dimension.  Memory is taken from arena.  The options must have
 * passed pgml_search_check().
 */
extern PgmlStatus pgml_space_create(const PgmlEnv *env, PgmlArena *arena,
									const PgmlTrainOptions *options, const PgmlLearner *learner,
									const PgmlParams *base, const PgmlSpaceData *data,
									bool only_listed, PgmlSpace *space);

/* Refuse a search or a search_space that no training could use (PGML_ERR_BADARG); needs no data. */
extern PgmlStatus pgml_search_check(const PgmlTrainOptions *options, PgmlError *error);

/* Does a search of this name use the learner, which is selected? nas is for networks. */
extern bool pgml_search_uses(const char *search, const PgmlLearner *learner);

/* Does search_space vary a setting of the learner? */
extern bool pgml_search_lists(const PgmlTrainOptions *options, const PgmlLearner *learner);

/* Move every coordinate to that of the setting's nearest value; NaN where the dimension does not count. */
extern void pgml_space_snap(const PgmlSpace *space, double *u);

/* The settings at a point that was snapped.  All that count are given: nothing may replace them. */
extern void pgml_space_params(const PgmlSpace *space, const double *u, PgmlParams *params);

/*
 * The point nearest to settings.  NaN also where the dimension counts, but a word stands for the setting that the space does not
 * have ("auto").
 */
extern void pgml_space_point(const PgmlSpace *space, const PgmlParams *params, double *u);

/* The base, moved into the user's lists and ranges, but not into ours; u as pgml_space_point() says. */
extern void pgml_space_defaults(const PgmlSpace *space, double *u, PgmlParams *params);

/* Are two snapped points the same? */
extern bool pgml_space_same(const PgmlSpace *space, const double *a, const double *b);

/* Values of a dimension, 0 for a range of reals. */
extern int64_t pgml_domain_count(const PgmlDomain *dim);

/* Number of points; 0 when there are more than a million. */
extern int64_t pgml_space_count(const PgmlSpace *space);

/* Point number i, 0 <= i < pgml_space_count(); of dimensions that always count the last one changes fastest. */
extern void pgml_space_nth(const PgmlSpace *space, int64_t i, double *u);

/* Settings with a share of the resource, where that is a setting; at least 1 of it. */
extern void pgml_space_reduce(const PgmlSpace *space, double share, PgmlParams *params);

#endif
