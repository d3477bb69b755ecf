/*
 * test_arena.c - arenas, the budget they charge, and the failures described through env and status.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/env.h"
#include "unit.h"

#define MB (INT64_C(1024) * 1024)

static void
test_alignment_and_independence(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	unsigned char *p[300];

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_non_null(arena);
	for (size_t i = 0; i < 300; i++)
	{
		p[i] = pgml_alloc(arena, i * 37);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t) p[i] % 64, 0);
		memset(p[i], (int) (i & 0xFF), i * 37);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i * 37; j++)
			assert_int_equal(p[i][j], i & 0xFF);
	pgml_arena_destroy(arena);
	assert_int_equal(budget.used, 0);
	assert_true(budget.peak > 300 * 299 / 2 * 37);
}

static void
test_empty_allocations_differ(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	void *a;
	void *b;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	a = pgml_alloc(arena, 0);
	b = pgml_zalloc(arena, 0, 8);
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	pgml_arena_destroy(arena);
	pgml_arena_destroy(NULL);
}

/* A large request must not end the chunk that small ones are cut from. */
static void
test_large_requests_keep_the_chunk(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	int64_t used;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_non_null(pgml_alloc(arena, 8));
	assert_non_null(pgml_alloc(arena, (size_t) (4 * MB)));
	used = budget.used;
	assert_in_range(used, 4 * MB, 4 * MB + 256 * 1024);
	assert_non_null(pgml_alloc(arena, 8));
	assert_int_equal(budget.used, used);
	pgml_arena_destroy(arena);
}

static void
test_reset_keeps_the_arena(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	for (int round = 0; round < 3; round++)
	{
		memset(pgml_alloc(arena, 100000), 7, 100000);
		memset(pgml_alloc(arena, 10), 7, 10);
		assert_true(budget.used >= 100000);
		pgml_arena_reset(arena);
		assert_int_equal(budget.used, 0);
	}
	pgml_arena_destroy(arena);
}

static void
test_limit(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	int64_t before;
	int n = 0;

	(void) state;
	pgml_budget_init(&budget, MB);
	assert_int_equal(pgml_budget_left(&budget), MB);
	arena = pgml_arena_create(&budget);
	assert_null(pgml_alloc(arena, (size_t) MB));
	assert_int_equal(budget.used, 0);
	assert_true(budget.refused >= MB);
	/* What is left after the growing chunks can be used to the end. */
	while (pgml_alloc(arena, 1000) != NULL)
		n++;
	assert_true(n > 900);
	assert_true(budget.used <= MB);
	assert_true(budget.peak <= MB);
	before = budget.used;
	assert_null(pgml_alloc(arena, 1000));
	assert_int_equal(budget.used, before);
	assert_int_equal(pgml_budget_left(&budget), MB - before);
	pgml_arena_destroy(arena);
	assert_int_equal(budget.used, 0);
}

static void
test_unlimited(void **state)
{
	PgmlBudget budget;

	(void) state;
	pgml_budget_init(&budget, 0);
	assert_int_equal(pgml_budget_left(&budget), INT64_MAX);
	assert_true(pgml_budget_take(&budget, (size_t) 1 << 62));
	assert_false(pgml_budget_take(&budget, (size_t) 1 << 62));
	assert_false(pgml_budget_take(&budget, SIZE_MAX));
	pgml_budget_give(&budget, (size_t) 1 << 62);
	assert_int_equal(budget.used, 0);
}

static void
test_overflowing_sizes(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_null(pgml_alloc(arena, SIZE_MAX));
	assert_null(pgml_alloc(arena, SIZE_MAX - 64));
	assert_null(pgml_alloc(arena, SIZE_MAX / 2));
	assert_null(pgml_array(arena, SIZE_MAX / 4, 8));
	assert_null(pgml_array(arena, (size_t) 1 << 32, (size_t) 1 << 32));
	assert_null(pgml_zalloc(arena, SIZE_MAX, 2));
	assert_null(pgml_strndup(arena, "", SIZE_MAX));
	assert_int_equal(budget.used, 0);
	pgml_arena_destroy(arena);
}

static void
test_copies(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	int64_t *cleared;

	(void) state;
	pgml_budget_init(&budget, 0);
	arena = pgml_arena_create(&budget);
	assert_string_equal(pgml_strdup(arena, "hello"), "hello");
	assert_string_equal(pgml_strdup(arena, ""), "");
	assert_string_equal(pgml_strndup(arena, "hello", 2), "he");
	assert_string_equal(pgml_strndup(arena, NULL, 0), "");
	memset(pgml_alloc(arena, 5000), 0xFF, 5000);
	pgml_arena_reset(arena);
	cleared = pgml_zalloc(arena, 600, sizeof(*cleared));
	for (int i = 0; i < 600; i++)
		assert_int_equal(cleared[i], 0);
	pgml_arena_destroy(arena);
}

/* Fault k fails exactly the k-th allocation, the arena itself counting as one. */
static void
test_faults(void **state)
{
	PgmlBudget budget;

	(void) state;
	for (int k = 1; k <= 5; k++)
	{
		PgmlArena *arena;
		int done = 0;

		pgml_budget_init(&budget, 0);
		atomic_store(&budget.fail_at, k);
		arena = pgml_arena_create(&budget);
		if (k == 1)
		{
			assert_null(arena);
			continue;
		}
		assert_non_null(arena);
		while (done < 10 && pgml_alloc(arena, 16) != NULL)
			done++;
		assert_int_equal(done, k - 2);
		assert_int_equal(budget.refused, 0);
		assert_non_null(pgml_alloc(arena, 16));
		pgml_arena_destroy(arena);
		assert_int_equal(budget.used, 0);
	}
}

/* Several threads, an arena each, one budget. */
static void *
allocate_and_free(void *arg)
{
	PgmlBudget *budget = arg;

	for (int i = 0; i < 200; i++)
	{
		PgmlArena *arena = pgml_arena_create(budget);

		if (arena == NULL)
			return NULL;
		for (int j = 0; j < 20; j++)
		{
			char *p = pgml_alloc(arena, (size_t) j * 1000);

			if (p != NULL && j > 0)
				p[j * 1000 - 1] = 1;
		}
		pgml_arena_destroy(arena);
	}
	return budget;
}

static void
test_shared_budget(void **state)
{
	PgmlBudget budget;
	pthread_t threads[4];
	void *result;

	(void) state;
	pgml_budget_init(&budget, 600 * 1024);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, &budget), 0);
	for (int i = 0; i < 4; i++)
	{
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &budget);
	}
	assert_int_equal(budget.used, 0);
	assert_in_range(budget.peak, 1, 600 * 1024);
}

static void
test_nomem_says_why(void **state)
{
	PgmlBudget budget;
	PgmlError error;
	PgmlEnv env = { .budget = &budget, .error = &error };
	PgmlArena *arena;

	(void) state;
	pgml_budget_init(&budget, 2 * MB);
	arena = pgml_arena_create(&budget);
	assert_null(pgml_alloc(arena, (size_t) (3 * MB)));
	assert_int_equal(pgml_fail_nomem(&env, "the bins"), PGML_ERR_LIMIT);
	assert_int_equal(error.status, PGML_ERR_LIMIT);
	assert_string_equal(error.message, "not enough memory for the bins");
	assert_string_equal(error.detail,
						"The limit is 2 MB, 0 MB are in use, and 4 MB more are needed.");
	assert_non_null(strstr(error.hint, "pgml_auto.max_memory"));

	atomic_store(&budget.fail_at, 1);
	assert_null(pgml_alloc(arena, 8));
	assert_int_equal(pgml_fail_nomem(&env, "the bins"), PGML_ERR_NOMEM);
	assert_string_equal(error.message, "out of memory for the bins");
	assert_string_equal(error.detail, "");
	assert_string_equal(error.hint, "");
	pgml_arena_destroy(arena);

	env.budget = NULL;
	env.error = NULL;
	assert_int_equal(pgml_fail_nomem(&env, "x"), PGML_ERR_NOMEM);
}

static void
test_failures_are_described(void **state)
{
	PgmlError error;
	char text[600];

	(void) state;
	assert_int_equal(pgml_fail(&error, PGML_ERR_DATA, "column \"%s\" is %d", "a", 5),
					 PGML_ERR_DATA);
	assert_string_equal(error.message, "column \"a\" is 5");
	pgml_fail_detail(&error, "Detail %d.", 1);
	pgml_fail_hint(&error, "Hint %d.", 2);
	assert_string_equal(error.detail, "Detail 1.");
	assert_string_equal(error.hint, "Hint 2.");

	/* A failure may quote the one it replaces. */
	pgml_fail(&error, PGML_ERR_BADARG, "again: %s", error.message);
	assert_string_equal(error.message, "again: column \"a\" is 5");
	assert_string_equal(error.detail, "");
	assert_string_equal(error.hint, "");

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pgml_fail(&error, PGML_ERR_DATA, "%s", text);
	assert_int_equal(strlen(error.message), 511);

	assert_int_equal(pgml_fail(NULL, PGML_ERR_DATA, "lost"), PGML_ERR_DATA);
	pgml_fail_detail(NULL, "lost");
	pgml_fail_hint(NULL, "lost");
}

/* A message cut in the middle of a character ends before it. */
static void
test_cut_characters(void **state)
{
	static const char *const characters[] = { "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80" };
	PgmlError error;

	(void) state;
	for (size_t c = 0; c < 3; c++)
	{
		size_t size = strlen(characters[c]);

		for (size_t before = 511 - size - 1; before <= 512; before++)
		{
			char text[600];
			size_t whole = before + size <= 511 ? before + size : before;

			memset(text, 'x', before);
			strcpy(text + before, characters[c]);
			pgml_fail(&error, PGML_ERR_DATA, "%s", text);
			assert_int_equal(strlen(error.message), whole <= 511 ? whole : 511);
		}
	}
	/* Not UTF-8: only the broken end goes. */
	{
		char text[600];

		memset(text, '\x80', 599);
		text[599] = '\0';
		pgml_fail(&error, PGML_ERR_DATA, "%s", text);
		assert_in_range(strlen(error.message), 507, 511);
	}
}

/* What the last progress report said. */
typedef struct Seen
{
	int calls;
	double fraction;
	const char *step;
} Seen;

static void
note_progress(void *arg, double fraction, const char *step)
{
	Seen *seen = arg;

	seen->calls++;
	seen->fraction = fraction;
	seen->step = step;
}

static void
test_env(void **state)
{
	_Atomic int stop = 0;
	PgmlError error;
	Seen seen = { 0 };
	PgmlEnv env = { .error = &error };
	double now = pgml_now();

	(void) state;
	assert_false(pgml_stopped(&env));
	assert_false(pgml_out_of_time(&env));
	env.stop = &stop;
	assert_false(pgml_stopped(&env));
	env.deadline = now + 3600.0;
	assert_false(pgml_out_of_time(&env));
	env.deadline = now;
	assert_true(pgml_out_of_time(&env));
	assert_false(pgml_stopped(&env));
	env.deadline = 0.0;
	atomic_store(&stop, 1);
	assert_true(pgml_stopped(&env));
	assert_true(pgml_out_of_time(&env));
	assert_int_equal(pgml_fail_cancelled(&env), PGML_ERR_CANCELLED);
	assert_int_equal(error.status, PGML_ERR_CANCELLED);

	pgml_progress(&env, 0.5, "nobody listens");
	env.progress = note_progress;
	env.progress_arg = &seen;
	pgml_progress(&env, 0.5, "half");
	assert_int_equal(seen.calls, 1);
	assert_true(seen.fraction == 0.5);
	assert_string_equal(seen.step, "half");
	pgml_progress(&env, 7.0, "more");
	assert_true(seen.fraction == 1.0);
	pgml_progress(&env, __builtin_nan(""), "lost");
	assert_true(seen.fraction == 0.0);
}

static void
test_clocks_advance(void **state)
{
	double now = pgml_now();
	double thread = pgml_thread_cpu();
	double process = pgml_process_cpu();

	(void) state;
	assert_true(now > 0.0);
	while (pgml_thread_cpu() - thread <= 0.002)
		;
	assert_true(pgml_now() > now);
	assert_true(pgml_process_cpu() - process > 0.001);
}

/* Adopted memory is charged and freed with the arena; refused memory stays the caller's. */
static void
test_adopted_memory(void **state)
{
	PgmlBudget budget;
	PgmlArena *arena;
	void *memory = pgml_big_alloc(64, 3 << 20);
	void *other = malloc(1 << 20);

	(void) state;
	pgml_budget_init(&budget, 4 << 20);
	arena = pgml_arena_create(&budget);
	assert_non_null(memory);
	assert_non_null(other);
	memset(memory, 1, 3 << 20);
	assert_true(pgml_arena_adopt(arena, memory, 3 << 20));
	assert_true(atomic_load(&budget.used) > 3 << 20);
	assert_false(pgml_arena_adopt(arena, other, 1 << 20));
	pgml_arena_reset(arena);
	assert_int_equal(atomic_load(&budget.used), 0);
	assert_true(pgml_arena_adopt(arena, other, 1 << 20));
	pgml_arena_destroy(arena);
	assert_int_equal(atomic_load(&budget.used), 0);
}

/* Large memory begins at a large page, keeps its content when it grows, and is rounded up by little. */
static void
test_big_memory(void **state)
{
	const size_t page = 2 << 20;
	uint8_t *memory = pgml_big_realloc(NULL, 2 * page);

	(void) state;
	assert_non_null(memory);
	assert_int_equal((uintptr_t) memory % page, 0);
	memset(memory, 7, 2 * page);
	memory = pgml_big_realloc(memory, 5 * page);
	assert_non_null(memory);
	for (size_t i = 0; i < 2 * page; i++)
		assert_int_equal(memory[i], 7);
	free(memory);
	for (size_t size = 1; size < 40 * page; size = size * 5 / 4 + 3)
	{
		assert_true(pgml_big_size(size) >= size && pgml_big_size(size) <= size + size / 16);
		assert_int_equal(pgml_big_size(pgml_big_size(size)), pgml_big_size(size));
	}
	assert_int_equal(pgml_big_size(page - 1), page - 1);
	assert_int_equal(pgml_big_size(2 * page - 5), 2 * page);
	assert_int_equal(pgml_big_size(SIZE_MAX), SIZE_MAX);
}

/* Filling the last large page is a gift: what fits into the budget without it is not refused. */
static void
test_big_memory_up_to_the_limit(void **state)
{
	const size_t size = (40 << 20) - (1 << 20);
	PgmlBudget budget;
	PgmlArena *arena;
	PgmlBuf buf;

	(void) state;
	assert_true(pgml_big_size(size) > size + 65536);
	pgml_budget_init(&budget, (int64_t) size + 65536);
	arena = pgml_arena_create(&budget);
	assert_non_null(pgml_alloc(arena, size));
	pgml_arena_destroy(arena);
	pgml_buf_init(&buf, &budget);
	pgml_buf_reserve(&buf, size);
	assert_false(buf.failed);
	pgml_buf_free(&buf);
	assert_int_equal(atomic_load(&budget.used), 0);
}

int
test_arena(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_independence),
		cmocka_unit_test(test_empty_allocations_differ),
		cmocka_unit_test(test_large_requests_keep_the_chunk),
		cmocka_unit_test(test_reset_keeps_the_arena),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_unlimited),
		cmocka_unit_test(test_overflowing_sizes),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_shared_budget),
		cmocka_unit_test(test_nomem_says_why),
		cmocka_unit_test(test_failures_are_described),
		cmocka_unit_test(test_cut_characters),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_clocks_advance),
		cmocka_unit_test(test_adopted_memory),
		cmocka_unit_test(test_big_memory),
		cmocka_unit_test(test_big_memory_up_to_the_limit),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
