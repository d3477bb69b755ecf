/*
 * warm.h - what other trainings found, as the start of this one.
 *
 * The caller gives models with the settings that their ensembles are made of.  Those of an earlier version of the same model are tried first;
 * those of other models are tried when the table is like theirs, after one setting of each learner that differs.  Each counts as a
 * trial like others; the portfolio goes on, without what was tried already.
 */
#ifndef PGML_SEARCH_WARM_H
#define PGML_SEARCH_WARM_H

#include <stdbool.h>
#include <stdint.h>

#include "learner/task.h"
#include "search/meta.h"

/* Settings of one model that are used, at most. */
#define PGML_WARM_SETTINGS 8

/* Where history comes from. */
typedef enum PgmlWarmStart
{
	PGML_WARM_AUTO,    /* own, unless no clock is read: max_trials alone decides then */
	PGML_WARM_OFF,     /* nowhere */
	PGML_WARM_OWN,     /* earlier versions of the model */
	PGML_WARM_SIMILAR, /* models of similar tables */
} PgmlWarmStart;

/* Why a trial was tried. */
typedef enum PgmlTrialSource
{
	PGML_SOURCE_PORTFOLIO,
	PGML_SOURCE_SEARCH,
	PGML_SOURCE_OWN,
	PGML_SOURCE_SIMILAR,
} PgmlTrialSource;

typedef struct PgmlHyperparam PgmlHyperparam;

/* A learner with its settings by name; unknown ones, and values that it cannot have, make it useless, not an error. */
typedef struct PgmlWarmSetting
{
	const char *learner;
	const PgmlHyperparam *settings;
	int n;
} PgmlWarmSetting;

typedef struct PgmlWarmModel
{
	int64_t id;          /* for the caller: PgmlTrial.source_model */
	int32_t own_version; /* of the same model; 0: another model */
	PgmlTask task;
	PgmlMeta meta;
	PgmlWarmSetting setting[PGML_WARM_SETTINGS]; /* of the most weight first */
	int n_settings;
} PgmlWarmModel;

#endif
