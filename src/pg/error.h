/* error.h - the core's failures as PostgreSQL errors, one SQLSTATE per PgmlStatus. */
#ifndef PGML_PG_ERROR_H
#define PGML_PG_ERROR_H

#include "core/status.h"

/*
 * ereport(ERROR) of a core failure: NOMEM 53200, LIMIT 53400, BADARG 22023, DATA 22000, NUMERIC 22003, CANCELLED
 * 57014, CORRUPT XX001, UNAVAILABLE 58P01, INTERNAL XX000.  Does not return.
 */
extern void pgml_raise(const PgmlError *error) __attribute__((noreturn));

#endif
