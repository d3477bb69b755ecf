/*
 * arena.c - arenas and the budget they charge.
 *
 * Small requests are cut one after another from the current chunk; chunks grow from 64 KiB to
 * 1 MiB.  A request that would waste much of a chunk gets a chunk of its own.  The budget is charged
 * for whole chunks, before malloc is asked: it is what the operating system sees, and a refused
 * request touches no memory.
 *
 * Under AddressSanitizer every allocation is followed by a poisoned gap, so that overruns between
 * neighbours of one chunk are found too.
 */
#include "core/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif

#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define GAP               64
#define POISON(p, size)   __asan_poison_memory_region(p, size)
#define UNPOISON(p, size) __asan_unpoison_memory_region(p, size)
#else
#define GAP               0
#define POISON(p, size)   ((void) 0)
#define UNPOISON(p, size) ((void) 0)
#endif

#define ALIGNMENT   ((size_t) 64)
#define FIRST_CHUNK ((size_t) 64 * 1024)
#define LAST_CHUNK  ((size_t) 1024 * 1024)

/* Requests above this share of the next chunk get a chunk of their own. */
#define OWN_CHUNK_SHARE 4

/* Size and alignment of a large page. */
#define LARGE_PAGE ((size_t) 2 * 1024 * 1024)

/* The last large page is filled when that takes no more than this part of the memory. */
#define FILL_SHARE 16

/* The header takes one alignment unit in front of its memory. */
typedef struct Chunk
{
	struct Chunk *next;
	size_t size; /* bytes with the header */
	size_t used; /* bytes handed out, with the header */
} Chunk;

/* Memory that was allocated elsewhere; the record lies in a chunk. */
typedef struct Adopted
{
	struct Adopted *next;
	void *memory;
	size_t size;
} Adopted;

struct PgmlArena
{
	PgmlBudget *budget;
	Chunk *chunks;     /* all of them */
	Chunk *current;    /* the one small requests are cut from, or NULL */
	size_t next_chunk; /* size of the next one to cut from */
	Adopted *adopted;
};

_Static_assert(sizeof(Chunk) <= 64, "the chunk header must fit into one alignment unit");

void
pgml_budget_init(PgmlBudget *budget, int64_t limit)
{
	memset(budget, 0, sizeof(*budget));
	budget->limit = limit;
}

int64_t
pgml_budget_left(const PgmlBudget *budget)
{
	int64_t used;

	if (budget->limit <= 0)
		return INT64_MAX;
	used = atomic_load(&budget->used);
	return used < budget->limit ? budget->limit - used : 0;
}

/* Raise the peak to used. */
static void
note_peak(PgmlBudget *budget, int64_t used)
{
	int64_t peak = atomic_load(&budget->peak);

	while (used > peak && !atomic_compare_exchange_weak(&budget->peak, &peak, used))
		;
}

bool
pgml_budget_take(PgmlBudget *budget, size_t size)
{
	int64_t limit = budget->limit > 0 ? budget->limit : INT64_MAX;
	int64_t used = atomic_load(&budget->used);

	do
	{
		if (size > (uint64_t) limit || used > limit - (int64_t) size)
		{
			atomic_store(&budget->refused, size > INT64_MAX ? INT64_MAX : (int64_t) size);
			return false;
		}
	} while (!atomic_compare_exchange_weak(&budget->used, &used, used + (int64_t) size));
	note_peak(budget, used + (int64_t) size);
	return true;
}

void
pgml_budget_give(PgmlBudget *budget, size_t size)
{
	atomic_fetch_sub(&budget->used, (int64_t) size);
}

bool
pgml_budget_fault(PgmlBudget *budget)
{
	int64_t left = atomic_load(&budget->fail_at);

	while (left > 0)
	{
		if (!atomic_compare_exchange_weak(&budget->fail_at, &left, left - 1))
			continue;
		if (left > 1)
			return false;
		atomic_store(&budget->refused, 0);
		return true;
	}
	return false;
}

/* Ask for large pages inside the memory; that they cannot be had is no failure. */
static void
ask_for_large_pages(void *memory, size_t size)
{
	uintptr_t from = ((uintptr_t) memory + LARGE_PAGE - 1) & ~(uintptr_t) (LARGE_PAGE - 1);
	uintptr_t upto = ((uintptr_t) memory + size) & ~(uintptr_t) (LARGE_PAGE - 1);

	if (size >= LARGE_PAGE && from < upto)
		(void) madvise((void *) from, upto - from, MADV_HUGEPAGE);
}

size_t
pgml_big_size(size_t size)
{
	size_t rest = size % LARGE_PAGE;

	if (size < LARGE_PAGE || rest == 0 || LARGE_PAGE - rest > size / FILL_SHARE ||
		size > SIZE_MAX - LARGE_PAGE)
		return size;
	return size + LARGE_PAGE - rest;
}

void *
pgml_big_alloc(size_t align, size_t size)
{
	void *memory;

	if (posix_memalign(&memory, size >= LARGE_PAGE ? LARGE_PAGE : align, size) != 0)
		return NULL;
	ask_for_large_pages(memory, size);
	return memory;
}

void *
pgml_big_realloc(void *memory, size_t size)
{
	void *moved;

	if (memory == NULL && size >= LARGE_PAGE)
		return pgml_big_alloc(ALIGNMENT, size);
	moved = realloc(memory, size);
	if (moved != NULL)
		ask_for_large_pages(moved, size);
	return moved;
}

/* A chunk of size bytes with its header, charged to the budget; NULL when refused. */
static Chunk *
chunk_create(PgmlArena *arena, size_t size)
{
	size_t filled = pgml_big_size(size);
	void *memory;
	Chunk *chunk;

	/* Where the limit leaves no room to fill the last large page, the size that is needed will do. */
	if (pgml_budget_take(arena->budget, filled))
		size = filled;
	else if (filled == size || !pgml_budget_take(arena->budget, size))
		return NULL;
	memory = pgml_big_alloc(ALIGNMENT, size);
	if (memory == NULL)
	{
		pgml_budget_give(arena->budget, size);
		atomic_store(&arena->budget->refused, 0);
		return NULL;
	}
	chunk = memory;
	chunk->size = size;
	chunk->used = ALIGNMENT;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	POISON((char *) memory + ALIGNMENT, size - ALIGNMENT);
	return chunk;
}

PgmlArena *
pgml_arena_create(PgmlBudget *budget)
{
	PgmlArena *arena;

	if (pgml_budget_fault(budget))
		return NULL;
	arena = malloc(sizeof(*arena));
	if (arena == NULL)
	{
		atomic_store(&budget->refused, 0);
		return NULL;
	}
	arena->budget = budget;
	arena->chunks = NULL;
	arena->current = NULL;
	arena->next_chunk = FIRST_CHUNK;
	arena->adopted = NULL;
	return arena;
}

void
pgml_arena_reset(PgmlArena *arena)
{
	Chunk *chunk = arena->chunks;

	for (const Adopted *adopted = arena->adopted; adopted != NULL; adopted = adopted->next)
	{
		pgml_budget_give(arena->budget, adopted->size);
		free(adopted->memory);
	}
	arena->adopted = NULL;
	while (chunk != NULL)
	{
		Chunk *next = chunk->next;

		UNPOISON(chunk, chunk->size);
		pgml_budget_give(arena->budget, chunk->size);
		free(chunk);
		chunk = next;
	}
	arena->chunks = NULL;
	arena->current = NULL;
	arena->next_chunk = FIRST_CHUNK;
}

void
pgml_arena_destroy(PgmlArena *arena)
{
	if (arena == NULL)
		return;
	pgml_arena_reset(arena);
	free(arena);
}

/* Cut need bytes (a multiple of the alignment) from the chunk, of which the caller may use size. */
static void *
chunk_cut(Chunk *chunk, size_t need, size_t size)
{
	char *p = (char *) chunk + chunk->used;

	(void) size;
	chunk->used += need;
	UNPOISON(p, size);
	return p;
}

/*
 * A chunk with room for need bytes: one to go on cutting from, or one of its own for a large
 * request, or when the budget has no room for a full one.
 */
static Chunk *
chunk_for(PgmlArena *arena, size_t need)
{
	Chunk *chunk = NULL;

	if (need <= arena->next_chunk / OWN_CHUNK_SHARE)
	{
		chunk = chunk_create(arena, arena->next_chunk);
		if (chunk != NULL)
		{
			arena->current = chunk;
			if (arena->next_chunk < LAST_CHUNK)
				arena->next_chunk *= 2;
		}
	}
	if (chunk == NULL)
		chunk = chunk_create(arena, need + ALIGNMENT);
	return chunk;
}

void *
pgml_alloc(PgmlArena *arena, size_t size)
{
	Chunk *chunk = arena->current;
	size_t need;

	if (pgml_budget_fault(arena->budget))
		return NULL;
	if (size > SIZE_MAX - GAP - 2 * ALIGNMENT)
	{
		atomic_store(&arena->budget->refused, INT64_MAX);
		return NULL;
	}
	/* Nothing is still something: a pointer of its own. */
	need = (size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1)) + GAP;
	if (chunk == NULL || chunk->size - chunk->used < need)
		chunk = chunk_for(arena, need);
	if (chunk == NULL)
		return NULL;
	return chunk_cut(chunk, need, size);
}

bool
pgml_arena_adopt(PgmlArena *arena, void *memory, size_t size)
{
	Adopted *adopted = pgml_alloc(arena, sizeof(*adopted));

	if (adopted == NULL || !pgml_budget_take(arena->budget, size))
		return false;
	*adopted = (Adopted){ arena->adopted, memory, size };
	arena->adopted = adopted;
	return true;
}

void *
pgml_array(PgmlArena *arena, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		total = SIZE_MAX;
	return pgml_alloc(arena, total);
}

void *
pgml_zalloc(PgmlArena *arena, size_t n, size_t size)
{
	void *p = pgml_array(arena, n, size);

	if (p != NULL)
		memset(p, 0, n * size);
	return p;
}

char *
pgml_strndup(PgmlArena *arena, const char *s, size_t len)
{
	char *copy = len == SIZE_MAX ? NULL : pgml_alloc(arena, len + 1);

	if (copy == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
pgml_strdup(PgmlArena *arena, const char *s)
{
	return pgml_strndup(arena, s, strlen(s));
}
