/*
 * catalog_jobs.h - the table of background jobs.
 *
 * A job is queued, then running, then succeeded, failed or cancelled.  Its worker holds a lock on it, for the session, before the row
 * says running and as long as the worker lives: a running job whose lock nobody holds was interrupted.
 */
#ifndef PGML_PG_CATALOG_JOBS_H
#define PGML_PG_CATALOG_JOBS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* What a worker is told. */
typedef struct CatalogJob
{
	int64 job_id;
	char *role;
	char *model;
	char *data;          /* NULL: the stored source */
	Jsonb *arguments;    /* TrainCall.given */
	Jsonb *session;      /* settings of the session that queued it */
	bool resume;         /* queue it again when it is interrupted */
	bool scheduled;      /* a run of a schedule */
	bool restricted;     /* read the source as for somebody who may not act as its owner */
	int64 time_limit_ms; /* 0: none */
} CatalogJob;

/* How a job ended. */
typedef struct CatalogJobEnd
{
	const char *state;
	int32 version; /* 0: none */
	bool deployed;
	const char *reason; /* why it was deployed or not */
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
} CatalogJobEnd;

/* Insert a job of the current user; its number.  53400 when max_queued jobs of this database, or max_of_role of the user, are not done yet. */
extern int64 catalog_insert_job(const CatalogJob *job, int max_queued, int max_of_role);

/* Make a queued job a running one, and hold its lock; false when it is not queued any more; 55P03 when somebody holds its row. */
extern bool catalog_claim_job(int64 job_id, CatalogJob *job);

/* Write down how the running job ended. */
extern void catalog_end_job(int64 job_id, const CatalogJobEnd *end);

/*
 * Interrupted jobs are marked, and queued again where they are to be resumed (twice, at most); those fail whose role is gone or may
 * not connect; those that ended so many days ago are forgotten.  Jobs of a database that this one is a copy of were interrupted, too.
 */
extern void catalog_tidy_jobs(int kept_days);

/*
 * Jobs that may start, at most as many as make max with those that run: their numbers and roles; how many.  Roles take turns, each
 * with its oldest first; those whose row somebody holds are left out.
 */
extern int catalog_waiting_jobs(TimestampTz now, int max, int64 *job_ids, Oid *roles);

/* State and worker (0: none) of a job that the current user may manage, as committed now; 42704, 42501. */
extern char *catalog_job_state(int64 job_id, int *pid);

/* The process that works on a job, as committed now; 0: none.  No privilege is checked. */
extern int catalog_job_worker(int64 job_id);

/* Cancel a job that is still queued; false when it is not. */
extern bool catalog_cancel_queued(int64 job_id);

/* Whether another session holds the job; on a standby, true. */
extern bool catalog_job_is_alive(int64 job_id);

/* Hold one of the slots of jobs that run at once, until the session ends or gives it back; false when another session has it. */
extern bool catalog_lock_slot(int slot);
extern void catalog_unlock_slot(int slot);

#endif
