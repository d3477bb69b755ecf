/*
 * schedules.h - trainings by the clock: automl_schedule() and what is due.
 */
#ifndef PGML_PG_SCHEDULES_H
#define PGML_PG_SCHEDULES_H

#include "postgres.h"
#include "datatype/timestamp.h"

/*
 * Queue the runs that are due at an instant, as the schedules say: what was missed, and what meets an earlier run.  In a transaction, at
 * the end of which the workers of runs to be cancelled are to be told: their jobs (palloc'ed), how many.
 */
extern int schedules_queue_due(TimestampTz now, int64 **cancelled);

#endif
