/*
 * catalog_schedules.h - the tables of schedules, and the runs that they put into the queue of jobs.
 *
 * A schedule rests in a database other than that in which it was asked for: a copy, or one restored from a dump, must not begin to
 * train by itself.  Nobody waits for anybody here: what another transaction holds is left for the next look.
 */
#ifndef PGML_PG_CATALOG_SCHEDULES_H
#define PGML_PG_CATALOG_SCHEDULES_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "pg/catalog.h"

/* Runs of one look, at most. */
#define SCHEDULE_MAX_SLOTS 24

typedef struct CatalogSchedule
{
	int64 schedule_id; /* 0: none yet */
	char *schedule;
	char *time_zone;
	TimestampTz start_at;
	char *misfire;
	char *overlap;
	Interval *grace;
	int32 max_retries;
	Interval *retry_delay;
	Interval *time_limit; /* NULL: none */
	bool active;
	TimestampTz next_run; /* DT_NOEND: no more */
	double grace_seconds;
} CatalogSchedule;

/* The schedule of a model; false when it has none.  Its lock is held until the transaction ends. */
extern bool catalog_find_schedule(int64 model_id, CatalogSchedule *schedule);

/* Store the schedule of a model, as the current user, with the settings of the session; writes the audit row. */
extern void catalog_put_schedule(const CatalogModel *model, const CatalogSchedule *schedule,
								 Jsonb *session);

/* Take back the schedule of a model and what it has queued; false when it has none. Writes the audit row. */
extern bool catalog_delete_schedule(const CatalogModel *model);

/*
 * Schedules with a run due at an instant, the earliest first (*due, palloc'ed), which are held until the transaction ends; how many.
 */
extern int catalog_due_schedules(TimestampTz now, CatalogSchedule **due);

/* What a schedule still has in the queue. */
typedef struct CatalogBacklog
{
	int64 queued;
	int64 running;
} CatalogBacklog;

/* Retries that wait are cancelled: a later run takes their place.  Then, what is left. */
extern CatalogBacklog catalog_schedule_backlog(int64 schedule_id);

/* Cancel what waits, for a later run; workers of runs that go on (up to max pids). */
extern int catalog_cancel_runs(int64 schedule_id, int64 *job_ids, int max);

/* Queue the run of a slot, as the model's owner; when it is there already, nothing. */
extern void catalog_queue_run(int64 schedule_id, TimestampTz slot);

/* Write down that the run of a slot does not take place, and why. */
extern void catalog_skip_run(int64 schedule_id, TimestampTz slot, const char *reason);

/* When the schedule is due next (DT_NOEND: never); or that it is stopped, and why. */
extern void catalog_set_next_run(int64 schedule_id, TimestampTz next_run);
extern void catalog_stop_schedule(int64 schedule_id, const char *reason);

/*
 * Look at runs that have ended: retries are queued, failures in a row are counted, and a schedule with too many of them is stopped,
 * with a WARNING.
 */
extern void catalog_settle_runs(TimestampTz now);

/* When something is to be done next: a run that is due or a retry; DT_NOEND: nothing. waiting: jobs could start now. */
extern TimestampTz catalog_next_due(TimestampTz now, bool *waiting);

#endif
