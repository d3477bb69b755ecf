/*
 * env.h - what the caller lends to a computation.
 *
 * should-stop rules: `stop` is set when the result is no longer wanted (cancel, terminate, error) and
 * must be noticed within 50 ms of work; `deadline` is a time budget, and a learner that reaches it
 * returns the best model it has instead of failing.
 */
#ifndef PGML_CORE_ENV_H
#define PGML_CORE_ENV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

typedef struct PgmlPool PgmlPool;
typedef struct PgmlClock PgmlClock;

typedef struct PgmlEnv
{
	PgmlBudget *budget;      /* memory charged by every arena of the computation */
	PgmlError *error;        /* where the first failure is described */
	const _Atomic int *stop; /* non-zero: give up; may be NULL */
	double deadline;         /* pgml_now() at which to return what there is; 0 = none */
	uint64_t seed;           /* every random decision derives from it */
	PgmlPool *pool;          /* threads for pgml_par_for(); NULL = the calling thread only */
	PgmlClock *clock; /* notes or repeats what the deadline decides (clock.h); NULL: nobody does */
	/* Called by the driver thread only. fraction in [0, 1]; step is short, e.g. "gradient_boosting 2". */
	void (*progress)(void *arg, double fraction, const char *step);
	/* Called by the driver thread only: the validation score of the best setting so far, and its metric, a constant. */
	void (*best)(void *arg, const char *metric, double score);
	void *progress_arg; /* of both */
} PgmlEnv;

/* Seconds of a monotonic clock; CPU seconds of this thread; CPU seconds of the whole process. */
extern double pgml_now(void);
extern double pgml_thread_cpu(void);
extern double pgml_process_cpu(void);

/* True when the stop flag is set. */
extern bool pgml_stopped(const PgmlEnv *env);

/* True when the stop flag is set or the deadline has passed. */
extern bool pgml_out_of_time(const PgmlEnv *env);

/* Report progress if anybody listens. */
extern void pgml_progress(const PgmlEnv *env, double fraction, const char *step);
extern void pgml_progress_best(const PgmlEnv *env, const char *metric, double score);

/* Failures every module needs: memory (tells limit from malloc) and cancellation. */
extern PgmlStatus pgml_fail_nomem(const PgmlEnv *env, const char *what);
extern PgmlStatus pgml_fail_cancelled(const PgmlEnv *env);

#endif
