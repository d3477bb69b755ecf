/*
 * driver.h - run core code in a thread while the backend stays a good citizen.
 *
 * The backend's main thread never computes a training: it starts one driver thread with every signal masked, waits on its
 * latch with CHECK_FOR_INTERRUPTS, reports progress, and on ERROR or FATAL sets the stop flag and joins
 * before anything the thread uses goes away.
 */
#ifndef PGML_PG_DRIVER_H
#define PGML_PG_DRIVER_H

#include "core/env.h"

/* Runs in the driver thread: no PostgreSQL call of any kind is allowed in it. */
typedef PgmlStatus (*PgmlDriverFn)(const PgmlEnv *env, void *arg);

/*
 * Run fn to its end with a budget of memory_limit bytes (shared with arenas made on env->budget), threads threads, the seed
 * and a deadline in seconds from now (0 = none).  Raises the core's failure as an ereport(ERROR); returns normally
 * otherwise.  budget must have been set up by the caller and outlive the arenas.
 */
extern void pgml_driver_run(PgmlDriverFn fn, void *arg, PgmlBudget *budget, int threads,
							uint64_t seed, double seconds);

/*
 * What the main thread does, besides, about ten times a second while it waits (NULL: nothing); it may ereport.  For background
 * workers, which have no other moment to look at what is asked of them.
 */
extern void pgml_driver_on_wait(void (*fn)(void));

/* Bytes of an image from which on preparing it takes long; some 20 ms. */
#define PGML_BYTES_AT_ONCE ((int64) 1 << 20)

/* Run fn: in a thread as above when it takes long, so that a cancel is served meanwhile; else here. */
extern void pgml_driver_compute(PgmlDriverFn fn, void *arg, PgmlBudget *budget, bool takes_long);

#endif
