/*
 * worker.h - what background workers share: their transactions, and the look for what is due.
 */
#ifndef PGML_WORKER_WORKER_H
#define PGML_WORKER_WORKER_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "pg/jobs.h"

/* Connect to a database as a role (InvalidOid: as the superuser the cluster was made with, for work on our tables alone). */
extern void worker_connect(Oid database, Oid role);

/* Begin a transaction, in which context stays the current one; false when the extension is not there (any more). */
extern bool worker_begin(MemoryContext context);

/* End it. */
extern void worker_commit(MemoryContext context);

/*
 * Look, in a transaction, for what is due at an instant, start what may start, and tell the launcher when to look again.
 */
extern LookResult worker_look(TimestampTz now, MemoryContext context);

#endif
