/*
 * guc.c - settings of the extension.
 *
 * pgml_auto.max_memory is for superusers (and roles granted SET on it).  pgml_auto.max_threads may be set by anybody,
 * but what the server's configuration says (its default, postgresql.conf, ALTER SYSTEM, the command line) remains the
 * upper limit of everybody but superusers: assign_max_threads() remembers it, pgml_max_threads() applies it.
 */
#include "postgres.h"

#include <limits.h>
#include <sched.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "pg/compat.h"
#include "pg/guc.h"

#define MAX_THREADS         256
#define DEFAULT_MAX_THREADS 4
#define MIN_MEMORY_KB       (16 * 1024)
#define DEFAULT_MEMORY_KB   (1024 * 1024)
#define MAX_JOBS            64
#define DEFAULT_MAX_JOBS    2
#define DEFAULT_MAX_QUEUED  100
#define DEFAULT_MAX_OF_ROLE 25
#define DEFAULT_RETENTION   30
#define MAX_RETENTION       3650
#define DEFAULT_INTERVAL    1000
#define MAX_INTERVAL        (60 * 60 * 1000)

static int max_memory_kb = DEFAULT_MEMORY_KB;
static int max_threads;
static int max_jobs = DEFAULT_MAX_JOBS;
static int max_queued_jobs = DEFAULT_MAX_QUEUED;
static int max_queued_jobs_per_role = DEFAULT_MAX_OF_ROLE;
static int job_retention_days = DEFAULT_RETENTION;
static bool enabled = true;
static int progress_interval = DEFAULT_INTERVAL;
static int server_max_threads; /* the last value that came from the server's configuration */

/* Cores this process may run on: containers and cpusets have fewer than the machine. */
static int
available_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return Max(CPU_COUNT(&set), 1);
}

/* Tell the assign hook whether the value comes from the server's configuration. */
static bool
check_max_threads(int *newval, void **extra, GucSource source)
{
	bool *from_server = guc_malloc(LOG, sizeof(bool));

	(void) newval;
	if (from_server == NULL)
		return false;
	*from_server = source < PGC_S_DATABASE;
	*extra = from_server;
	return true;
}

static void
assign_max_threads(int newval, void *extra)
{
	if (*(bool *) extra)
		server_max_threads = newval;
}

void
pgml_guc_init(void)
{
	DefineCustomBoolVariable(
		"pgml_auto.enabled", "Lets background workers train.",
		"Off, no schedule is followed and no job is started; jobs that run are cancelled.",
		&enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pgml_auto.job_retention",
							"Days after which background trainings that have ended are forgotten.",
							NULL, &job_retention_days, DEFAULT_RETENTION, 1, MAX_RETENTION,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pgml_auto.max_memory", "Memory that one training may use.",
							"Data that does not fit is sampled. May be raised by superusers.",
							&max_memory_kb, DEFAULT_MEMORY_KB, MIN_MEMORY_KB, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgml_auto.max_threads", "Threads that one training may use.",
		"Users may lower it; the value in the server's configuration is the limit of everybody "
		"but superusers. The default is the number of cores, at most 4.",
		&max_threads, Min(available_cores(), DEFAULT_MAX_THREADS), 1, MAX_THREADS, PGC_USERSET, 0,
		check_max_threads, assign_max_threads, NULL);
	DefineCustomIntVariable("pgml_auto.progress_interval",
							"Time between two NOTICEs that say where a training is, at least.",
							"The first one comes after two seconds. 0 turns them off.",
							&progress_interval, DEFAULT_INTERVAL, 0, MAX_INTERVAL, PGC_USERSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pgml_auto.max_jobs",
							"Background trainings that run at once in a database.", NULL, &max_jobs,
							DEFAULT_MAX_JOBS, 1, MAX_JOBS, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgml_auto.max_queued_jobs", "Background trainings of a database that may wait or run.",
		NULL, &max_queued_jobs, DEFAULT_MAX_QUEUED, 1, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pgml_auto.max_queued_jobs_per_role",
							"Background trainings of one role in a database that may wait or run.",
							NULL, &max_queued_jobs_per_role, DEFAULT_MAX_OF_ROLE, 1, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

int
pgml_max_jobs(void)
{
	return max_jobs;
}

int
pgml_max_queued_jobs(void)
{
	return max_queued_jobs;
}

int
pgml_max_queued_jobs_per_role(void)
{
	return max_queued_jobs_per_role;
}

int
pgml_job_retention_days(void)
{
	return job_retention_days;
}

bool
pgml_enabled(void)
{
	return enabled;
}

int64
pgml_max_memory(void)
{
	return (int64) max_memory_kb * 1024;
}

int
pgml_progress_interval_ms(void)
{
	return progress_interval;
}

int
pgml_max_threads(void)
{
	return superuser() ? max_threads : Min(max_threads, server_max_threads);
}
