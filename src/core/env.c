/*
 * env.c - clocks, the stop flag, and the two failures every module needs.
 */
#include "core/env.h"

#include <time.h>

/* Seconds shown by a clock of the operating system. */
static double
read_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		return 0.0;
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

double
pgml_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

double
pgml_thread_cpu(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

double
pgml_process_cpu(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

bool
pgml_stopped(const PgmlEnv *env)
{
	return env->stop != NULL && atomic_load_explicit(env->stop, memory_order_relaxed) != 0;
}

bool
pgml_out_of_time(const PgmlEnv *env)
{
	if (pgml_stopped(env))
		return true;
	return env->deadline > 0.0 && pgml_now() >= env->deadline;
}

void
pgml_progress(const PgmlEnv *env, double fraction, const char *step)
{
	if (env->progress == NULL)
		return;
	/* Not (fraction < 0): a NaN counts as nothing done. */
	if (!(fraction > 0.0))
		fraction = 0.0;
	else if (fraction > 1.0)
		fraction = 1.0;
	env->progress(env->progress_arg, fraction, step);
}

void
pgml_progress_best(const PgmlEnv *env, const char *metric, double score)
{
	if (env->best != NULL)
		env->best(env->progress_arg, metric, score);
}

/* Whole megabytes, rounded up, for messages. */
static long long
megabytes(int64_t bytes)
{
	const int64_t unit = 1024 * 1024;

	return (long long) (bytes / unit + (bytes % unit != 0));
}

PgmlStatus
pgml_fail_nomem(const PgmlEnv *env, const char *what)
{
	const PgmlBudget *budget = env->budget;
	int64_t refused = budget != NULL ? atomic_load(&budget->refused) : 0;

	if (refused == 0)
		return pgml_fail(env->error, PGML_ERR_NOMEM, "out of memory for %s", what);
	pgml_fail(env->error, PGML_ERR_LIMIT, "not enough memory for %s", what);
	if (budget->limit > 0)
		pgml_fail_detail(
			env->error, "The limit is %lld MB, %lld MB are in use, and %lld MB more are needed.",
			megabytes(budget->limit), megabytes(atomic_load(&budget->used)), megabytes(refused));
	pgml_fail_hint(env->error, "Raise pgml_auto.max_memory, or use fewer rows or columns.");
	return PGML_ERR_LIMIT;
}

PgmlStatus
pgml_fail_cancelled(const PgmlEnv *env)
{
	return pgml_fail(env->error, PGML_ERR_CANCELLED, "canceled");
}
