/*
 * options.h - the arguments of automl_train: read, remembered as jsonb, checked, handed to the core.
 *
 * What was given is kept as a jsonb object by argument name.  A model's next training starts from the object of
 * its newest version and lets what is given now override it; the result is stored with the new version.
 */
#ifndef PGML_PG_OPTIONS_H
#define PGML_PG_OPTIONS_H

#include "postgres.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "search/automl.h"

typedef struct TrainCall
{
	char *model;  /* NULL: one without a name, of a plan */
	char *data;   /* NULL: the stored source */
	Jsonb *given; /* the other arguments that are neither NULL nor 'auto'; time_budget in seconds */
} TrainCall;

/*
 * Read the arguments that automl_train and automl_plan share; the function has so many more.  Errors: 55000 for a function that was made by
 * another version, impossible model name, NULL when a model is needed, NULL among array
 * elements.
 */
extern void train_call_read(FunctionCallInfo fcinfo, bool needs_model, int more, TrainCall *call);

/* Stored settings (may be NULL) overridden by those given; an empty text takes a setting back. */
extern Jsonb *train_settings_merge(Jsonb *stored, Jsonb *given);

/*
 * Check settings and turn them into the core's options and the seed (default 0).  target is not checked here.  Errors
 * 22023, each naming the argument and listing what is known; 0A000 for tasks of later releases.
 */
extern void train_settings_read(const Jsonb *settings, PgmlTrainOptions *options, int64 *seed);

/* Append the constraints among the hyperparams of settings as members of an object, by their own names and as they were given. */
extern void train_constraints_write(StringInfo out, const Jsonb *settings);

/* Append those that were written to a trial's settings, in words. */
extern void train_constraints_say(StringInfo out, const Jsonb *trial);

/* The next member of an object: its key (palloc'ed) and value; false at the end. */
extern bool train_next_member(JsonbIterator **iterator, char **key, JsonbValue *value);

/* A setting with its value: a number, a boolean or a text.  Too large a number is infinite, which no setting may be. */
extern PgmlHyperparam train_hyperparam_of(const char *name, const JsonbValue *value);

/* PgmlTask bits of a task name; 0 for 'auto'. */
extern int train_task_of(const char *name);

#endif
