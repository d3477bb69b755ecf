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

/*
 * Start workers for jobs that wait, as many as may run at once; how many.  A WARNING when the server has no worker to spare.  In a
 * transaction.
 */
extern int jobs_start_waiting(void);

/* Settings of the session that queued a job, made those of this session. */
extern void jobs_apply_session(const Jsonb *session);

#endif
