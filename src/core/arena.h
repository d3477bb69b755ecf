/*
 * arena.h - memory of the core: arenas that charge one budget.
 *
 * An arena hands out malloc'ed memory and frees all of it at once.  Several arenas may charge the
 * same budget from several threads; one arena belongs to one thread at a time.
 */
#ifndef PGML_CORE_ARENA_H
#define PGML_CORE_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A limit in bytes shared by arenas; 0 = no limit.  fail_at injects faults in tests. */
typedef struct PgmlBudget
{
	int64_t limit;
	_Atomic int64_t used;
	_Atomic int64_t peak;
	_Atomic int64_t fail_at; /* tests: when > 0, counts down; the allocation that reaches 0 fails */
	_Atomic int64_t
		refused; /* bytes the limit refused last; 0 when the last failure was malloc's */
} PgmlBudget;

typedef struct PgmlArena PgmlArena;

/* Set up a budget of limit bytes (0 = unlimited). */
extern void pgml_budget_init(PgmlBudget *budget, int64_t limit);

/* Bytes that may still be taken (INT64_MAX when unlimited). */
extern int64_t pgml_budget_left(const PgmlBudget *budget);

/* Charge memory that is not an arena's (false: the limit forbids it), and give it back. */
extern bool pgml_budget_take(PgmlBudget *budget, size_t size);
extern void pgml_budget_give(PgmlBudget *budget, size_t size);

/* Count one allocation for fail_at; true when it must fail. */
extern bool pgml_budget_fault(PgmlBudget *budget);

/*
 * Memory of this size or more is worth the operating system's large pages: the first touch of small ones costs more than
 * what is computed on them.  pgml_big_alloc() is malloc() that asks for large pages where they pay, pgml_big_realloc() is
 * realloc() of such memory; both are freed by free().  Only whole large pages inside the memory are asked for, so that what
 * is charged is what can be touched; pgml_big_size() is the size to ask for, a little larger where that fills the last page.
 */
extern size_t pgml_big_size(size_t size);
extern void *pgml_big_alloc(size_t align, size_t size);
extern void *pgml_big_realloc(void *memory, size_t size);

/* New empty arena, NULL when malloc fails. budget must outlive it. */
extern PgmlArena *pgml_arena_create(PgmlBudget *budget);

/* Free everything and the arena itself; NULL is allowed. */
extern void pgml_arena_destroy(PgmlArena *arena);

/* Free everything, keep the arena. */
extern void pgml_arena_reset(PgmlArena *arena);

/* size bytes, 64-byte aligned, contents undefined; NULL when malloc fails or the budget is spent. */
extern void *pgml_alloc(PgmlArena *arena, size_t size);

/*
 * Take over memory that came from malloc() or pgml_big_alloc(), size bytes of it: it is charged, and freed with the arena.
 * False when it is refused; then it is still the caller's.
 */
extern bool pgml_arena_adopt(PgmlArena *arena, void *memory, size_t size);

/* n elements of size bytes, overflow-checked; pgml_zalloc clears them. */
extern void *pgml_array(PgmlArena *arena, size_t n, size_t size);
extern void *pgml_zalloc(PgmlArena *arena, size_t n, size_t size);

/* Copy of len bytes plus a terminating zero; pgml_strdup of a C string. */
extern char *pgml_strndup(PgmlArena *arena, const char *s, size_t len);
extern char *pgml_strdup(PgmlArena *arena, const char *s);

#endif
