/*
 * training.h - a training in steps: read the call, read the data, compute, store.
 *
 * training_read() and training_store() run in transactions, of the caller or of a background job; training_compute() needs none and
 * holds no snapshot.  Where the steps are in different transactions, the caller holds the model's name for the session.
 */
#ifndef PGML_PG_TRAINING_H
#define PGML_PG_TRAINING_H

#include "postgres.h"

#include "pg/catalog.h"
#include "pg/ingest.h"
#include "pg/options.h"
#include "search/plan.h"

typedef struct TrainJob
{
	TrainCall call;
	double started;
	CatalogModel *model; /* NULL: the model is new */
	bool scheduled; /* nobody is there to answer for what reading the source runs: restricted */
	bool for_other; /* and somebody who may not act as the owner has scheduled it */
	bool stored_source;
	char *source;
	char *search_path;
	Jsonb *settings;
	PgmlTrainOptions options;
	int64 seed;
	PgmlSplit split;
	const Jsonb *rules;      /* of the split, as the training finds them; NULL: it makes them */
	PgmlIdentity identity;   /* n = 0: not known before the data is read */
	CatalogVersion champion; /* version 0: nothing is deployed */
	bool champion_damaged;   /* its image cannot be read */
	PgmlBudget budget;
	int threads;       /* found out while there is a transaction: it depends on the role */
	int64 max_columns; /* bytes that reading may take */
	PgmlArena *arena;
	PgmlTable *table;
	Oid relid; /* of the source, 0: a query */
	PgmlTrainResult result;
	PgmlPlan plan;
	const PgmlExecution *repeats; /* what is to be executed again */
	const char *gate_reason;      /* why the version was deployed or not */
	MemoryContextCallback free_core;
} TrainJob;

/* A training in the current memory context, with which its memory is freed. */
extern TrainJob *training_create(const TrainCall *call);

/*
 * Find the model and check the settings; hold: hold the model's name until the transaction ends, as the other steps need it.
 * Errors: no privilege, what contradicts the model, impossible settings.
 */
extern void training_check(TrainJob *job, bool hold);

/* After that: read the data, as the caller or the source's owner, and what the model has deployed. */
extern void training_read(TrainJob *job);

/* Train, in the driver thread; NOTICEs and WARNINGs of the core are sent. */
extern void training_compute(TrainJob *job);

/*
 * After training_check(), instead of the other steps: read the data and let the core plan, which writes nothing: job->plan.  The model may be without
 * a name.
 */
extern void training_plan(TrainJob *job);

/*
 * Instead of all steps, with model, source, settings, rules and repeats of a stored version: read the data and execute again what was executed;
 * job->result is that of pgml_automl_repeat().  Writes nothing.
 */
extern void training_repeat(TrainJob *job);

/* Store the version, and deploy it if it may be: *deployed, and why (gate_reason). */
extern CatalogVersion training_store(TrainJob *job, bool *deployed);

#endif
