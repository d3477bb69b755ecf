/*
 * status.h - how the core reports failure.
 *
 * Core functions return a PgmlStatus and describe the failure in a PgmlError that the caller
 * supplies.  Nothing in the core calls longjmp, exit or abort, and nothing is kept in globals, so a
 * failure in a helper thread can be turned into an ereport() by the thread that owns the backend.
 */
#ifndef PGML_CORE_STATUS_H
#define PGML_CORE_STATUS_H

#include <stdbool.h>

typedef enum PgmlStatus
{
	PGML_OK = 0,
	PGML_ERR_NOMEM,       /* malloc failed */
	PGML_ERR_LIMIT,       /* the memory budget, or another stated limit, is too small */
	PGML_ERR_BADARG,      /* a setting is unknown, out of range or contradicts another */
	PGML_ERR_DATA,        /* the data cannot be used for what was asked */
	PGML_ERR_NUMERIC,     /* the computation did not give finite numbers */
	PGML_ERR_CANCELLED,   /* the stop flag was set */
	PGML_ERR_CORRUPT,     /* stored bytes are damaged or of an unknown version */
	PGML_ERR_UNAVAILABLE, /* a library that this needs is not installed */
	PGML_ERR_INTERNAL     /* a bug in the core */
} PgmlStatus;

/* The first failure; message like PostgreSQL's (lower case, no full stop), hint and detail sentences. */
typedef struct PgmlError
{
	PgmlStatus status;
	char message[512];
	char detail[512];
	char hint[1024]; /* all settings of a learner fit in */
} PgmlError;

/*
 * Record a failure and return its status, so that callers can write `return pgml_fail(...)`.
 * Clears detail and hint.  err may be NULL (the message is then lost).
 */
extern PgmlStatus pgml_fail(PgmlError *err, PgmlStatus status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Add a detail or a hint sentence to the failure recorded last. err may be NULL. */
extern void pgml_fail_detail(PgmlError *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
extern void pgml_fail_hint(PgmlError *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Did memory, or the budget of it, fail? */
static inline bool
pgml_is_memory(PgmlStatus status)
{
	return status == PGML_ERR_LIMIT || status == PGML_ERR_NOMEM;
}

/* Return early with the status of a failed call. */
#define PGML_TRY(call)                                                                             \
	do                                                                                             \
	{                                                                                              \
		PgmlStatus pgml_status_ = (call);                                                          \
		if (pgml_status_ != PGML_OK)                                                               \
			return pgml_status_;                                                                   \
	} while (0)

#endif
