/*
 * par.c - a pool of threads for loops of 50 microseconds and more.
 *
 * One word, `state`, says everything about the current loop: its generation, whether it is open, and
 * how many workers are inside.
 *
 *     caller                                  worker
 *     writes the loop, then opens it          sees a new generation that is open
 *     takes blocks until none is left         enters: inside + 1, only while still open
 *     closes it                               takes blocks until none is left
 *     waits until nobody is inside            leaves: inside - 1
 *
 * A worker that wakes up late finds the loop closed and stays out, so nobody waits for a thread that
 * the operating system has not scheduled; and the loop's description is written only while it is
 * closed and empty, so nobody reads it half written.
 *
 * Both sides spin for a moment before they sleep: between the loops of one histogram a sleep would
 * cost more than the loop.  Before a sleep the sleeper announces itself (sleepers, caller_sleeps) and
 * then looks at `state` once more; the other side changes `state` and then looks for sleepers.  All of
 * these accesses are sequentially consistent, so one of the two sees the other.
 *
 * Each thread has a share of the blocks, in order, and helps with those of others when it is through with
 * its own: in one loop after the other the same rows are mostly worked on by the same thread, which has them
 * in its cache.  After a failure only blocks with lower numbers are run: every block below a failed one is,
 * and the lowest failure is always the same one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_sigmask and friends where the compiler flags do not ask for them */
#endif

#include "core/par.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#define STACK_SIZE   ((size_t) 1024 * 1024)
#define SPIN_SECONDS 100e-6

/* state: generation in the high half, OPEN, and the number of workers inside below it. */
#define GENERATION_SHIFT 32
#define OPEN             (UINT64_C(1) << 31)
#define INSIDE           (OPEN - 1)

typedef struct Worker
{
	PgmlPool *pool;
	pthread_t thread;
	int index; /* the caller is 0 */
} Worker;

/* A thread's share of a loop, on a cache line of its own. */
typedef struct Share
{
	_Alignas(64) _Atomic int64_t next;
	int64_t end;
} Share;

/* A loop: what to run, and the failed block with the lowest number. */
typedef struct Loop
{
	const PgmlEnv *env;
	PgmlBlockFn fn;
	void *arg;
	_Atomic int64_t
		failed_block; /* INT64_MAX: none; written, as the next, under the pool's mutex */
	PgmlStatus status;
} Loop;

struct PgmlPool
{
	int nworkers;
	double spin_seconds; /* 0 when there are more threads than processors */
	_Atomic int busy;    /* a loop is running: calls now are nested */
	_Atomic int quit;
	_Atomic uint64_t state;
	_Atomic int sleepers;
	_Atomic int caller_sleeps;
	pthread_mutex_t mutex;
	pthread_cond_t work; /* a loop was opened, or quit */
	pthread_cond_t idle; /* the last worker left a closed loop */
	Loop loop;
	Share *share; /* of each thread, the caller first */
	Worker workers[];
};

/* Tell the processor that this is a spinning loop. */
static inline void
relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Keep the failure of the block with the lowest number. */
static void
note_failure(PgmlPool *pool, int64_t block, PgmlStatus status)
{
	Loop *loop = &pool->loop;

	pthread_mutex_lock(&pool->mutex);
	if (block < atomic_load(&loop->failed_block))
	{
		loop->status = status;
		atomic_store(&loop->failed_block, block);
	}
	pthread_mutex_unlock(&pool->mutex);
}

/* Take blocks of one share until none is left, one with a lower number has failed, or the caller wants to stop. */
static void
run_share(PgmlPool *pool, Share *share, int thread)
{
	Loop *loop = &pool->loop;

	while (!pgml_stopped(loop->env))
	{
		int64_t block;
		PgmlStatus status;

		if (atomic_load_explicit(&share->next, memory_order_relaxed) >= share->end)
			return;
		block = atomic_fetch_add(&share->next, 1);
		if (block >= share->end ||
			block > atomic_load_explicit(&loop->failed_block, memory_order_relaxed))
			return;
		status = loop->fn(loop->arg, block, thread);
		if (status != PGML_OK)
			note_failure(pool, block, status);
	}
}

/* Run the blocks of the own share, then those of others. */
static void
run_blocks(PgmlPool *pool, int thread)
{
	int nthreads = pool->nworkers + 1;

	for (int i = 0; i < nthreads; i++)
		run_share(pool, &pool->share[(thread + i) % nthreads], thread);
}

/* Is there a loop to enter that is not the one of generation seen? */
static inline bool
has_news(PgmlPool *pool, uint32_t seen)
{
	uint64_t state = atomic_load(&pool->state);

	return ((state & OPEN) != 0 && (uint32_t) (state >> GENERATION_SHIFT) != seen) ||
		   atomic_load(&pool->quit);
}

/* Wait for a loop other than seen, or quit. */
static void
wait_for_news(PgmlPool *pool, uint32_t seen)
{
	double until = pgml_now() + pool->spin_seconds;

	do
	{
		for (int i = 0; i < 32; i++)
		{
			if (has_news(pool, seen))
				return;
			relax();
		}
	} while (pgml_now() < until);

	pthread_mutex_lock(&pool->mutex);
	atomic_fetch_add(&pool->sleepers, 1);
	while (!has_news(pool, seen))
		pthread_cond_wait(&pool->work, &pool->mutex);
	atomic_fetch_sub(&pool->sleepers, 1);
	pthread_mutex_unlock(&pool->mutex);
}

/* Enter the loop if it is open; its generation goes to *seen. */
static bool
enter(PgmlPool *pool, uint32_t *seen)
{
	uint64_t state = atomic_load(&pool->state);

	while ((state & OPEN) != 0)
	{
		if (atomic_compare_exchange_weak(&pool->state, &state, state + 1))
		{
			*seen = (uint32_t) (state >> GENERATION_SHIFT);
			return true;
		}
	}
	return false;
}

/* Leave the loop, and wake the caller if it waits for the last one. */
static void
leave(PgmlPool *pool)
{
	uint64_t state = atomic_fetch_sub(&pool->state, 1) - 1;

	if ((state & (OPEN | INSIDE)) == 0 && atomic_load(&pool->caller_sleeps))
	{
		pthread_mutex_lock(&pool->mutex);
		pthread_cond_signal(&pool->idle);
		pthread_mutex_unlock(&pool->mutex);
	}
}

/* A worker's life. */
static void *
worker_main(void *arg)
{
	Worker *worker = arg;
	PgmlPool *pool = worker->pool;
	uint32_t seen = 0;

	for (;;)
	{
		wait_for_news(pool, seen);
		if (atomic_load(&pool->quit))
			return NULL;
		if (enter(pool, &seen))
		{
			run_blocks(pool, worker->index);
			leave(pool);
		}
	}
}

/* Processors this process may run on, at least 1. */
static int
usable_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

/* Start up to n workers with all signals masked; stops at the first that cannot start. */
static void
start_workers(PgmlPool *pool, int n)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;

	if (pthread_attr_init(&attr) != 0)
		return;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool->nworkers < n)
	{
		Worker *worker = &pool->workers[pool->nworkers];

		worker->pool = pool;
		worker->index = pool->nworkers + 1;
		if (pthread_create(&worker->thread, &attr, worker_main, worker) != 0)
			break;
		pool->nworkers++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

PgmlPool *
pgml_pool_create(int nthreads)
{
	PgmlPool *pool;

	if (nthreads <= 1)
		return NULL;
	pool = calloc(1, sizeof(*pool) + (size_t) (nthreads - 1) * sizeof(Worker));
	if (pool == NULL)
		return NULL;
	pool->share = aligned_alloc(64, (size_t) nthreads * sizeof(Share));
	if (pool->share == NULL)
	{
		free(pool);
		return NULL;
	}
	pool->spin_seconds = nthreads <= usable_processors() ? SPIN_SECONDS : 0.0;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->idle, NULL);
	start_workers(pool, nthreads - 1);
	if (pool->nworkers == 0)
	{
		pgml_pool_destroy(pool);
		return NULL;
	}
	return pool;
}

void
pgml_pool_destroy(PgmlPool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	atomic_store(&pool->quit, 1);
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	for (int i = 0; i < pool->nworkers; i++)
		pthread_join(pool->workers[i].thread, NULL);
	pthread_cond_destroy(&pool->idle);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->mutex);
	free(pool->share);
	free(pool);
}

int
pgml_pool_threads(const PgmlPool *pool)
{
	return pool != NULL ? pool->nworkers + 1 : 1;
}

/* The loop on the calling thread alone, as number `thread`. */
static PgmlStatus
run_serially(const PgmlEnv *env, int64_t nblocks, PgmlBlockFn fn, void *arg, int thread)
{
	for (int64_t block = 0; block < nblocks; block++)
	{
		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		PGML_TRY(fn(arg, block, thread));
	}
	return PGML_OK;
}

/* The number of the calling thread in the pool, so that nested loops use its scratch memory. */
static int
own_index(const PgmlPool *pool)
{
	for (int i = 0; i < pool->nworkers; i++)
		if (pthread_equal(pool->workers[i].thread, pthread_self()))
			return pool->workers[i].index;
	return 0;
}

/* Let the workers into the loop just written, and wake those that sleep. */
static void
open_loop(PgmlPool *pool)
{
	uint64_t generation = (atomic_load(&pool->state) >> GENERATION_SHIFT) + 1;

	atomic_store(&pool->state, (generation << GENERATION_SHIFT) | OPEN);
	if (atomic_load(&pool->sleepers) > 0)
	{
		pthread_mutex_lock(&pool->mutex);
		pthread_cond_broadcast(&pool->work);
		pthread_mutex_unlock(&pool->mutex);
	}
}

/* Let nobody in any more, and wait until everybody is out. */
static void
close_loop(PgmlPool *pool)
{
	double until;

	if ((atomic_fetch_and(&pool->state, ~OPEN) & INSIDE) == 0)
		return;
	until = pgml_now() + pool->spin_seconds;
	do
	{
		for (int i = 0; i < 32; i++)
		{
			if ((atomic_load(&pool->state) & INSIDE) == 0)
				return;
			relax();
		}
	} while (pgml_now() < until);

	pthread_mutex_lock(&pool->mutex);
	atomic_store(&pool->caller_sleeps, 1);
	while ((atomic_load(&pool->state) & INSIDE) != 0)
		pthread_cond_wait(&pool->idle, &pool->mutex);
	atomic_store(&pool->caller_sleeps, 0);
	pthread_mutex_unlock(&pool->mutex);
}

/* The loop on all threads of the pool, which the caller has made busy. */
static PgmlStatus
run_in_parallel(const PgmlEnv *env, int64_t nblocks, PgmlBlockFn fn, void *arg)
{
	PgmlPool *pool = env->pool;
	Loop *loop = &pool->loop;
	int nthreads = pool->nworkers + 1;

	loop->env = env;
	loop->fn = fn;
	loop->arg = arg;
	atomic_store(&loop->failed_block, INT64_MAX);
	loop->status = PGML_OK;
	for (int t = 0; t < nthreads; t++)
	{
		atomic_store_explicit(&pool->share[t].next, nblocks * t / nthreads, memory_order_relaxed);
		pool->share[t].end = nblocks * (t + 1) / nthreads;
	}

	open_loop(pool);
	run_blocks(pool, 0);
	close_loop(pool);

	if (loop->status != PGML_OK)
		return loop->status;
	/* Every block was taken unless the stop flag kept everybody from it. */
	for (int t = 0; t < nthreads; t++)
		if (atomic_load(&pool->share[t].next) < pool->share[t].end)
			return pgml_fail_cancelled(env);
	return PGML_OK;
}

PgmlStatus
pgml_par_for(const PgmlEnv *env, int64_t nblocks, PgmlBlockFn fn, void *arg)
{
	PgmlPool *pool = env->pool;
	PgmlStatus status;

	if (pool == NULL)
		return run_serially(env, nblocks, fn, arg, 0);
	if (atomic_exchange(&pool->busy, 1))
		return run_serially(env, nblocks, fn, arg, own_index(pool));
	status = nblocks > 1 ? run_in_parallel(env, nblocks, fn, arg) :
						   run_serially(env, nblocks, fn, arg, 0);
	atomic_store(&pool->busy, 0);
	return status;
}
