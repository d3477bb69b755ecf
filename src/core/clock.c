/* clock.c - decisions of the clock, see clock.h. */
#include "core/clock.h"

#include <string.h>

/* Numbers that the decisions of one block of a parallel loop may have. */
#define PART ((int64_t) 1 << 32)

void
pgml_clock_init(PgmlClock *clock, PgmlBudget *budget)
{
	memset(clock, 0, sizeof(*clock));
	pgml_buf_init(&clock->noted, budget);
}

void
pgml_clock_repeat(PgmlClock *clock, const PgmlNote *given, int64_t n)
{
	clock->repeats = true;
	clock->given = given;
	clock->n_given = n;
}

void
pgml_clock_free(PgmlClock *clock)
{
	if (clock->noted.budget != NULL)
		pgml_buf_free(&clock->noted);
}

const PgmlNote *
pgml_clock_notes(const PgmlClock *clock, int64_t *n)
{
	*n = (int64_t) (clock->noted.len / sizeof(PgmlNote));
	return (const PgmlNote *) clock->noted.data;
}

/* What was noted of decision number `at`; those asked for before are smaller. */
static int64_t
given_value(PgmlClock *clock, int64_t at)
{
	while (clock->next < clock->n_given && clock->given[clock->next].at < at)
		clock->next++;
	return clock->next < clock->n_given && clock->given[clock->next].at == at ?
			   clock->given[clock->next].value :
			   0;
}

int64_t
pgml_clock_decide(const PgmlEnv *env, int64_t value)
{
	PgmlClock *clock = env->clock;
	PgmlNote note = { .value = value };

	if (clock == NULL)
		return value;
	note.at = clock->asked++;
	if (clock->repeats)
		return given_value(clock, note.at);
	if (value != 0)
		pgml_buf_put(&clock->noted, &note, sizeof(note));
	return value;
}

bool
pgml_clock_ends(const PgmlEnv *env, bool ended)
{
	/* The stop flag ends what is repeated, too. */
	return pgml_clock_decide(env, ended) != 0 || (ended && pgml_stopped(env));
}

void
pgml_clock_recall(const PgmlEnv *env, int64_t n, bool *ended)
{
	PgmlClock *clock = env->clock;

	for (int64_t i = 0; i < n; i++)
		ended[i] = clock != NULL && clock->repeats && given_value(clock, clock->asked + i) != 0;
}

void
pgml_clock_note(const PgmlEnv *env, int64_t n, const bool *ended)
{
	for (int64_t i = 0; i < n; i++)
		(void) pgml_clock_decide(env, ended[i]);
}

PgmlStatus
pgml_clock_split(const PgmlEnv *env, PgmlArena *arena, int64_t n, PgmlClock **parts)
{
	const PgmlClock *clock = env->clock;

	*parts = NULL;
	if (clock == NULL)
		return PGML_OK;
	*parts = pgml_array(arena, (size_t) n + 1, sizeof(PgmlClock));
	if (*parts == NULL)
		return pgml_fail_nomem(env, "notes of the time");
	for (int64_t i = 0; i < n; i++)
	{
		PgmlClock *part = *parts + i;

		pgml_clock_init(part, env->budget);
		part->asked = (clock->asked / PART + 1 + i) * PART;
		if (clock->repeats)
			pgml_clock_repeat(part, clock->given, clock->n_given);
	}
	return PGML_OK;
}

void
pgml_clock_join(const PgmlEnv *env, int64_t n, PgmlClock *parts)
{
	PgmlClock *clock = env->clock;

	if (clock == NULL || parts == NULL)
		return;
	for (int64_t i = 0; i < n; i++)
	{
		clock->noted.failed |= parts[i].noted.failed;
		pgml_buf_put(&clock->noted, parts[i].noted.data, parts[i].noted.len);
		pgml_clock_free(&parts[i]);
	}
	clock->asked = (clock->asked / PART + 1 + n) * PART;
}
