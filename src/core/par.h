/*
 * par.h - parallel loops over blocks.
 *
 * The number of blocks never depends on the number of threads, and callers reduce block results in
 * block order: the result is the same for any number of threads.  Threads are created with all
 * signals masked and never call PostgreSQL.
 */
#ifndef PGML_CORE_PAR_H
#define PGML_CORE_PAR_H

#include <stdint.h>

#include "core/env.h"

/* One block of work. thread is in [0, pgml_pool_threads()): use it to pick scratch memory. */
typedef PgmlStatus (*PgmlBlockFn)(void *arg, int64_t block, int thread);

/* A pool of nthreads including the caller (nthreads - 1 are started); NULL when none could start. */
extern PgmlPool *pgml_pool_create(int nthreads);
extern void pgml_pool_destroy(PgmlPool *pool);

/* Threads that take part in a loop, 1 for NULL. */
extern int pgml_pool_threads(const PgmlPool *pool);

/*
 * Run fn for every block in [0, nblocks), in any order, on the threads of env->pool.  Returns when
 * all have ended: PGML_OK, or the status of the failed block with the lowest number; blocks not yet
 * begun are skipped after a failure or when env->stop is set (then PGML_ERR_CANCELLED).
 * Calls made inside fn run serially (no nested parallelism).  fn must not touch env->error of a
 * shared env; give each block its own when it can fail with a message.
 */
extern PgmlStatus pgml_par_for(const PgmlEnv *env, int64_t nblocks, PgmlBlockFn fn, void *arg);

#endif
