/*
 * jobs.h - trainings in the background.
 *
 * A job is queued in a transaction; when that commits, a background worker is started for it, in the same database, as the same role.
 * At most pgml_auto.max_jobs run at once in a database: a worker that finds no slot leaves its job to those that run, which start
 * the next when they are done.
 */
#ifndef PGML_PG_JOBS_H
#define PGML_PG_JOBS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"

#include "pg/training.h"

/* What a worker finds in bgw_extra. */
typedef struct JobWorker
{
	Oid database;
	Oid role;
	int64 job_id;
} JobWorker;

/*
 * Queue a checked training; the job's number.  Errors: 0A000 for temporary tables and in security-restricted operations, 53400 when
 * the queue is full.
 */
extern int64 jobs_queue(const TrainJob *training, bool resume);

/* What a look has found, in the current memory context. */
typedef struct DueJobs
{
	Oid database;
	int64 *job_ids; /* that may start, */
	Oid *roles;     /* as these roles */
	int n;
	int64 *cancelled; /* that are to make room for later runs */
	int n_cancelled;
	TimestampTz next; /* something is due next; DT_NOEND: nothing */
	bool waiting;     /* more could start than may run at once, or these do not */
} DueJobs;

/*
 * Tidy the queue, queue the runs of schedules that are due at an instant, and find the jobs that may start; how many.  In a
 * transaction of a worker, after the commit of which jobs_start() starts them.
 */
extern int jobs_find_due(TimestampTz now, DueJobs *due);

/* How many were started; fewer than were found, with a WARNING, when the server has no worker to spare. */
extern int jobs_start(const DueJobs *due);

/* What a worker that looks finds in bgw_extra, and what it leaves in a segment of dynamic shared memory, if any. */
typedef struct LookWorker
{
	Oid database;
	dsm_handle result;
	TimestampTz now; /* DT_NOBEGIN: the clock says it */
} LookWorker;

typedef struct LookResult
{
	bool done;
	bool no_worker; /* fewer were started than found */
	int started;
} LookResult;

/* Start a worker that looks at a database; NULL when the server has none to spare. */
extern BackgroundWorkerHandle *jobs_start_look(Oid database);

/* Settings of the session, for a worker, which makes them its own; not the search_path for a run of a schedule. */
extern Jsonb *jobs_describe_session(void);
extern void jobs_apply_session(const Jsonb *session, bool scheduled);

/* 42501 in a security-restricted operation. */
extern void jobs_refuse_restricted(void);

/* 42704, 0A000 or 42501 for a role that a worker cannot be of. */
extern void jobs_check_worker_role(const char *name);

#endif
