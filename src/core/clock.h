/*
 * clock.h - what the clock decides in a computation, noted so that the computation can be repeated without one.
 *
 * A decision is a place where what comes next depends on the time that is left.  Decisions are numbered in the order in which
 * they are made, which must depend on the computation alone: neither on threads nor on memory.  Zero is what is decided while there
 * is time; other values are noted with the number of the decision.  A clock that is given such notes decides what they say, and zero
 * everywhere else.
 *
 * One thread at a time may ask a clock.  Blocks of a parallel loop get clocks of their own (pgml_clock_split), or say afterwards,
 * in the calling thread, what the deadline made of them (pgml_clock_recall, pgml_clock_note).
 *
 * In an environment without a clock nothing is noted and what the caller found is what is decided.
 */
#ifndef PGML_CORE_CLOCK_H
#define PGML_CORE_CLOCK_H

#include "core/buf.h"
#include "core/env.h"

/* A decision that was not zero. */
typedef struct PgmlNote
{
	int64_t at; /* its number, from 0 */
	int64_t value;
} PgmlNote;

struct PgmlClock
{
	PgmlBuf noted; /* PgmlNote, by rising numbers; failed when memory has not sufficed for all */
	int64_t asked; /* number of the next decision */
	bool repeats;  /* decides what is given */
	const PgmlNote *given;
	int64_t n_given;
	int64_t next; /* of those given */
};

/* A clock that notes; or one that repeats n notes, by rising numbers, which must outlive it. */
extern void pgml_clock_init(PgmlClock *clock, PgmlBudget *budget);
extern void pgml_clock_repeat(PgmlClock *clock, const PgmlNote *given, int64_t n);
extern void pgml_clock_free(PgmlClock *clock); /* also of zeros */

/* The notes taken. */
extern const PgmlNote *pgml_clock_notes(const PgmlClock *clock, int64_t *n);

/* A decision: the value that the caller has found, or what was noted when it was made first. */
extern int64_t pgml_clock_decide(const PgmlEnv *env, int64_t value);

/* Does the computation end here?  `ended`: the deadline has passed, or has cut short what was done since the last decision. */
extern bool pgml_clock_ends(const PgmlEnv *env, bool ended);

/*
 * n decisions of the blocks of a parallel loop: before it, recall sets those that are repeated, and clears the others; after it, note
 * takes them down.
 */
extern void pgml_clock_recall(const PgmlEnv *env, int64_t n, bool *ended);
extern void pgml_clock_note(const PgmlEnv *env, int64_t n, const bool *ended);

/*
 * Clocks for n blocks of a parallel loop, in arena; *parts is NULL when env has no clock.  After the loop, however it went, join puts
 * their notes into env's clock.
 */
extern PgmlStatus pgml_clock_split(const PgmlEnv *env, PgmlArena *arena, int64_t n,
								   PgmlClock **parts);
extern void pgml_clock_join(const PgmlEnv *env, int64_t n, PgmlClock *parts);

#endif
