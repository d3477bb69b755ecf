/*
 * test_par.c - parallel loops: every block once, failures, cancellation, nesting, signals.
 */
#define _GNU_SOURCE

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/par.h"
#include "unit.h"

#define MAX_BLOCKS 1000

/* A loop's record: who ran what, and how it is to fail. */
typedef struct Work
{
	const PgmlEnv *env;
	int threads;
	_Atomic int runs[MAX_BLOCKS];
	_Atomic int64_t sum;
	_Atomic int bad_thread;
	_Atomic int *stop; /* set by block stop_at */
	int64_t stop_at;
	int64_t fail_from; /* these blocks fail: every fail_step-th from fail_from on */
	int64_t fail_step;
} Work;

static PgmlStatus
count_block(void *arg, int64_t block, int thread)
{
	Work *work = arg;

	if (thread < 0 || thread >= work->threads)
		atomic_store(&work->bad_thread, 1);
	atomic_fetch_add(&work->runs[block], 1);
	atomic_fetch_add(&work->sum, block);
	if (work->stop != NULL && block == work->stop_at)
		atomic_store(work->stop, 1);
	if (work->fail_step > 0 && block >= work->fail_from &&
		(block - work->fail_from) % work->fail_step == 0)
		return block % 2 == 0 ? PGML_ERR_DATA : PGML_ERR_NUMERIC;
	return PGML_OK;
}

static const int pool_sizes[] = { 1, 2, 3, 8 };

#define POOL_SIZES ((int) (sizeof(pool_sizes) / sizeof(pool_sizes[0])))

static void
test_every_block_once(void **state)
{
	static const int64_t sizes[] = { 0, 1, 2, 3, 7, 100, MAX_BLOCKS };

	(void) state;
	for (int p = 0; p < POOL_SIZES; p++)
	{
		PgmlEnv env = { .pool = pgml_pool_create(pool_sizes[p]) };

		assert_int_equal(pgml_pool_threads(env.pool), pool_sizes[p]);
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		{
			Work work = { .threads = pool_sizes[p] };

			assert_int_equal(pgml_par_for(&env, sizes[s], count_block, &work), PGML_OK);
			for (int64_t i = 0; i < MAX_BLOCKS; i++)
				assert_int_equal(work.runs[i], i < sizes[s]);
			assert_int_equal(work.bad_thread, 0);
		}
		pgml_pool_destroy(env.pool);
	}
}

/* Nothing is lost when loops follow each other faster than the workers fall asleep. */
static void
test_many_short_loops(void **state)
{
	PgmlEnv env = { .pool = pgml_pool_create(4) };
	Work work = { .threads = 4 };

	(void) state;
	for (int64_t i = 0; i < 4500; i++)
		assert_int_equal(pgml_par_for(&env, 1 + i % 9, count_block, &work), PGML_OK);
	/* Of nine loops in a row, 9 - block have that block. */
	for (int64_t block = 0; block < 9; block++)
		assert_int_equal(work.runs[block], 500 * (9 - block));
	pgml_pool_destroy(env.pool);
}

static void
test_lowest_failure(void **state)
{
	(void) state;
	for (int p = 0; p < POOL_SIZES; p++)
	{
		PgmlEnv env = { .pool = pgml_pool_create(pool_sizes[p]) };

		for (int round = 0; round < 300; round++)
		{
			/* Odd and even blocks fail differently, and an odd one first. */
			Work work = { .threads = pool_sizes[p], .fail_from = 31 + round % 2, .fail_step = 1 };
			PgmlStatus expected = round % 2 == 0 ? PGML_ERR_NUMERIC : PGML_ERR_DATA;

			assert_int_equal(pgml_par_for(&env, MAX_BLOCKS, count_block, &work), expected);
			for (int64_t i = 0; i <= work.fail_from; i++)
				assert_int_equal(work.runs[i], 1);
			/* Blocks above may have been run before by threads whose shares they are. */
			for (int64_t i = work.fail_from + 1; i < MAX_BLOCKS; i++)
				assert_in_range(work.runs[i], 0, pool_sizes[p] > 1);
		}
		pgml_pool_destroy(env.pool);
	}
}

static void
test_stop(void **state)
{
	(void) state;
	for (int p = 0; p < POOL_SIZES; p++)
	{
		_Atomic int stop = 0;
		PgmlError error = { 0 };
		PgmlEnv env = { .pool = pgml_pool_create(pool_sizes[p]), .stop = &stop, .error = &error };
		Work work = { .threads = pool_sizes[p], .stop = &stop, .stop_at = 50 };
		Work none = { .threads = pool_sizes[p] };
		Work last = { .threads = pool_sizes[p], .stop = &stop, .stop_at = 0 };

		assert_int_equal(pgml_par_for(&env, MAX_BLOCKS, count_block, &work), PGML_ERR_CANCELLED);
		assert_int_equal(error.status, PGML_ERR_CANCELLED);
		assert_int_equal(work.runs[50], 1);
		assert_int_equal(work.runs[50 + pool_sizes[p]], 0);

		assert_int_equal(pgml_par_for(&env, MAX_BLOCKS, count_block, &none), PGML_ERR_CANCELLED);
		assert_int_equal(none.sum, 0);
		assert_int_equal(none.runs[0], 0);

		/* Stopped after the last block: everything is done. */
		atomic_store(&stop, 0);
		assert_int_equal(pgml_par_for(&env, 1, count_block, &last), PGML_OK);
		pgml_pool_destroy(env.pool);
	}
}

/* A block that runs a loop of its own, which must stay on its thread and keep its number. */
typedef struct Nest
{
	const PgmlEnv *env;
	int thread;
	pthread_t self;
	_Atomic int64_t runs;
	_Atomic int strayed;
} Nest;

static PgmlStatus
inner_block(void *arg, int64_t block, int thread)
{
	Nest *nest = arg;

	(void) block;
	if (thread != nest->thread || !pthread_equal(nest->self, pthread_self()))
		atomic_store(&nest->strayed, 1);
	atomic_fetch_add(&nest->runs, 1);
	return PGML_OK;
}

static PgmlStatus
outer_block(void *arg, int64_t block, int thread)
{
	Nest *total = arg;
	Nest nest = { .env = total->env, .thread = thread, .self = pthread_self() };

	PGML_TRY(pgml_par_for(total->env, block, inner_block, &nest));
	atomic_fetch_add(&total->runs, nest.runs);
	if (nest.strayed)
		atomic_store(&total->strayed, 1);
	return PGML_OK;
}

static void
test_nested(void **state)
{
	(void) state;
	for (int p = 0; p < POOL_SIZES; p++)
	{
		PgmlEnv env = { .pool = pgml_pool_create(pool_sizes[p]) };

		for (int64_t n = 0; n < 40; n++)
		{
			Nest total = { .env = &env };

			assert_int_equal(pgml_par_for(&env, n, outer_block, &total), PGML_OK);
			assert_int_equal(total.runs, n * (n - 1) / 2);
			assert_int_equal(total.strayed, 0);
		}
		pgml_pool_destroy(env.pool);
	}
}

static PgmlStatus
check_mask(void *arg, int64_t block, int thread)
{
	_Atomic int *unmasked = arg;
	sigset_t mask;

	(void) block;
	if (thread == 0)
		return PGML_OK;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < NSIG; s++)
	{
		/* Not maskable, or the C library's own. */
		if (s == SIGKILL || s == SIGSTOP || (s >= 32 && s < SIGRTMIN))
			continue;
		if (sigismember(&mask, s) == 0)
			atomic_store(unmasked, s);
	}
	return PGML_OK;
}

static void
test_signals_are_masked(void **state)
{
	sigset_t before;
	sigset_t after;
	_Atomic int unmasked = 0;
	PgmlEnv env = { 0 };

	(void) state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	env.pool = pgml_pool_create(4);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int s = 1; s < NSIG; s++)
		assert_int_equal(sigismember(&before, s), sigismember(&after, s));
	for (int i = 0; i < 100; i++)
		assert_int_equal(pgml_par_for(&env, 100, check_mask, &unmasked), PGML_OK);
	assert_int_equal(unmasked, 0);
	pgml_pool_destroy(env.pool);
}

/* Wait until all threads have come to a block: proof that they work at the same time. */
static PgmlStatus
meet(void *arg, int64_t block, int thread)
{
	pthread_barrier_t *barrier = arg;

	(void) block;
	(void) thread;
	pthread_barrier_wait(barrier);
	return PGML_OK;
}

static void
test_all_threads_take_part(void **state)
{
	PgmlEnv env = { .pool = pgml_pool_create(5) };
	pthread_barrier_t barrier;

	(void) state;
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 5), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pgml_par_for(&env, 5, meet, &barrier), PGML_OK);
	pthread_barrier_destroy(&barrier);
	pgml_pool_destroy(env.pool);
}

static void
test_no_pool(void **state)
{
	PgmlEnv env = { 0 };
	Work work = { .threads = 1 };

	(void) state;
	assert_null(pgml_pool_create(1));
	assert_null(pgml_pool_create(0));
	assert_null(pgml_pool_create(-3));
	assert_int_equal(pgml_pool_threads(NULL), 1);
	pgml_pool_destroy(NULL);
	assert_int_equal(pgml_par_for(&env, 100, count_block, &work), PGML_OK);
	assert_int_equal(work.sum, 4950);
	assert_int_equal(work.bad_thread, 0);
}

/* A pool that was never used, or not for a while, ends as well. */
static void
test_create_and_destroy(void **state)
{
	(void) state;
	for (int i = 0; i < 50; i++)
		pgml_pool_destroy(pgml_pool_create(1 + i % 6));
}

int
test_par(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_block_once),
		cmocka_unit_test(test_many_short_loops),
		cmocka_unit_test(test_lowest_failure),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_signals_are_masked),
		cmocka_unit_test(test_all_threads_take_part),
		cmocka_unit_test(test_no_pool),
		cmocka_unit_test(test_create_and_destroy),
	};

	return cmocka_run_group_tests_name("par", tests, NULL, NULL);
}
