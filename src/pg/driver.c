/*
 * driver.c - run core code in a thread while the backend stays a good citizen.
 *
 * The thread and its helpers run with every signal blocked, so that each signal of the process reaches the main thread,
 * and call nothing of PostgreSQL.  The state they share with the main thread is malloc'ed: it must outlive the
 * thread whatever happens to memory contexts.
 *
 * The end of the thread is told through an eventfd, which the main thread waits for together with its latch: setting a
 * latch from another thread is not safe, since what SetLatch does to wake the own process belongs to the main thread.
 * Whatever ends the wait early - cancel, timeout, terminate, death of the postmaster - comes out of
 * CHECK_FOR_INTERRUPTS() or WaitLatchOrSocket() as ERROR or as exit of the process, and both run driver_stop().
 */
#include "postgres.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "core/par.h"
#include "pg/driver.h"
#include "pg/error.h"
#include "pg/progress.h"

#define PROGRESS_INTERVAL_MS 100
#define THREAD_STACK_BYTES   (8 * 1024 * 1024)

typedef struct Driver
{
	PgmlDriverFn fn;
	void *arg;
	int threads;
	PgmlEnv env;
	PgmlError error;
	PgmlStatus status;
	pthread_t thread;
	bool started;
	int event; /* eventfd, readable once the thread has ended */
	_Atomic int stop;
	_Atomic int done;
	pthread_mutex_t lock; /* guards what follows */
	double fraction;
	double best;        /* NaN: none yet */
	const char *metric; /* of it, a constant */
	char step[64];
} Driver;

static void (*on_wait)(void);

/* Progress callback of the core, in the driver thread: leave a note for the main thread. */
static void
note_progress(void *arg, double fraction, const char *step)
{
	Driver *driver = arg;

	pthread_mutex_lock(&driver->lock);
	driver->fraction = fraction;
	strlcpy(driver->step, step != NULL ? step : "", sizeof(driver->step));
	pthread_mutex_unlock(&driver->lock);
}

/* The same for the score of the best setting. */
static void
note_best(void *arg, const char *metric, double score)
{
	Driver *driver = arg;

	pthread_mutex_lock(&driver->lock);
	driver->best = score;
	driver->metric = metric;
	pthread_mutex_unlock(&driver->lock);
}

/* The driver thread.  The pool is made here so that its threads inherit the blocked signals. */
static void *
driver_main(void *arg)
{
	Driver *driver = arg;
	uint64_t one = 1;

	if (driver->threads > 1)
		driver->env.pool = pgml_pool_create(driver->threads);
	driver->status = driver->fn(&driver->env, driver->arg);
	if (driver->env.pool != NULL)
		pgml_pool_destroy(driver->env.pool);
	driver->env.pool = NULL;
	atomic_store(&driver->done, 1);
	/* Should this fail, the main thread finds `done` at its next look. */
	if (write(driver->event, &one, sizeof(one)) != sizeof(one))
		return NULL;
	return NULL;
}

/* Stop and join the thread, and free everything.  Also called on ERROR and on exit, hence the signature. */
static void
driver_stop(int code, Datum arg)
{
	Driver *driver = (Driver *) DatumGetPointer(arg);

	(void) code;
	atomic_store(&driver->stop, 1);
	if (driver->started)
		pthread_join(driver->thread, NULL);
	if (driver->event >= 0)
	{
		close(driver->event);
		ReleaseExternalFD();
	}
	pthread_mutex_destroy(&driver->lock);
	free(driver);
}

/* Start the thread with every signal blocked from its first instruction on. */
static void
driver_start(Driver *driver)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	if (!AcquireExternalFD())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("too many open files for a training thread"),
						errhint("Raise max_files_per_process.")));
	driver->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (driver->event < 0)
	{
		int saved_errno = errno;

		ReleaseExternalFD();
		errno = saved_errno;
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not create an eventfd: %m")));
	}

	/* OpenBLAS reads it when it is loaded; no thread of ours runs yet that could read the environment. */
	setenv("OPENBLAS_NUM_THREADS", "1", 1);

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&driver->thread, &attr, driver_main, driver);
	driver->started = rc == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
	{
		errno = rc;
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("could not start a training thread: %m"),
			 errhint(
				 "The limit on processes of the server's operating system user may be too low.")));
	}
}

/* Hand the thread's last note to the progress view. */
static void
publish_progress(Driver *driver)
{
	double fraction, best;
	const char *metric;
	char step[sizeof(driver->step)];

	pthread_mutex_lock(&driver->lock);
	fraction = driver->fraction;
	best = driver->best;
	metric = driver->metric;
	memcpy(step, driver->step, sizeof(step));
	pthread_mutex_unlock(&driver->lock);
	if (step[0] != '\0')
		pgml_progress_report(fraction, step);
	pgml_progress_measure(
		best, driver->env.budget != NULL ?
				  atomic_load_explicit(&driver->env.budget->used, memory_order_relaxed) :
				  0);
	if (step[0] != '\0')
		pgml_progress_say(step, metric, best);
}

/* Wait for the thread's end, serving whatever else is asked of this backend. */
static void
driver_wait(Driver *driver)
{
	while (!atomic_load(&driver->done))
	{
		int rc = WaitLatchOrSocket(
			MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			driver->event, PROGRESS_INTERVAL_MS, PG_WAIT_EXTENSION);

		if (rc & WL_LATCH_SET)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (on_wait != NULL)
			on_wait();
		publish_progress(driver);
	}
}

/* A driver that has not been started, with the environment its thread will see. */
static Driver *
driver_create(PgmlDriverFn fn, void *arg, PgmlBudget *budget, int threads, uint64_t seed,
			  double seconds)
{
	Driver *driver = calloc(1, sizeof(Driver));

	if (driver == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	driver->fn = fn;
	driver->arg = arg;
	driver->threads = threads;
	driver->event = -1;
	driver->best = NAN;
	pthread_mutex_init(&driver->lock, NULL);
	driver->env = (PgmlEnv){ .budget = budget,
							 .error = &driver->error,
							 .stop = &driver->stop,
							 .deadline = seconds > 0 ? pgml_now() + seconds : 0,
							 .seed = seed,
							 .progress = note_progress,
							 .best = note_best,
							 .progress_arg = driver };
	return driver;
}

void
pgml_driver_on_wait(void (*fn)(void))
{
	on_wait = fn;
}

void
pgml_driver_run(PgmlDriverFn fn, void *arg, PgmlBudget *budget, int threads, uint64_t seed,
				double seconds)
{
	Driver *driver = driver_create(fn, arg, budget, threads, seed, seconds);
	PgmlStatus status;
	PgmlError error;

	PG_ENSURE_ERROR_CLEANUP(driver_stop, PointerGetDatum(driver));
	{
		driver_start(driver);
		driver_wait(driver);
	}
	PG_END_ENSURE_ERROR_CLEANUP(driver_stop, PointerGetDatum(driver));

	status = driver->status;
	error = driver->error;
	driver_stop(0, PointerGetDatum(driver));
	if (status != PGML_OK)
	{
		error.status = status;
		pgml_raise(&error);
	}
}

void
pgml_driver_compute(PgmlDriverFn fn, void *arg, PgmlBudget *budget, bool takes_long)
{
	PgmlError error = { .status = PGML_OK };
	PgmlEnv env = { .budget = budget, .error = &error };

	if (takes_long)
		pgml_driver_run(fn, arg, budget, 1, 0, 0);
	else if (fn(&env, arg) != PGML_OK)
		pgml_raise(&error);
}
