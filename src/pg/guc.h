/* guc.h - settings of the extension; pgml_auto.model_cache_size belongs to model_cache.c. */
#ifndef PGML_PG_GUC_H
#define PGML_PG_GUC_H

#include "postgres.h"

/* Define the settings; called once, from _PG_init. */
extern void pgml_guc_init(void);

/* Bytes that one training may use. */
extern int64 pgml_max_memory(void);

/* Milliseconds between two lines of progress for the client, at least; 0: none is sent. */
extern int pgml_progress_interval_ms(void);

/* Threads that one training of the current user may use. */
extern int pgml_max_threads(void);

/* Background trainings of a database that run at once, and that may wait or run. */
extern int pgml_max_jobs(void);
extern int pgml_max_queued_jobs(void);
extern int pgml_max_queued_jobs_per_role(void);

/* Days after which jobs that have ended are forgotten. */
extern int pgml_job_retention_days(void);

/* Whether background workers may do anything. */
extern bool pgml_enabled(void);

#endif
