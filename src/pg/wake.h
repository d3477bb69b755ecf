/*
 * wake.h - how sessions tell the launcher which database has something to do, and when.
 *
 * The launcher (worker/launcher.c) runs where the library is preloaded.  Elsewhere nobody listens, and all of this does nothing.
 */
#ifndef PGML_PG_WAKE_H
#define PGML_PG_WAKE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* A database is to be looked at at an instant (DT_NOEND: not again); looked: it just was. */
typedef struct WakeMessage
{
	Oid database;
	TimestampTz due;
	bool looked;
} WakeMessage;

#define WAKE_MESSAGES 64

/* Called once, from _PG_init: where the library is preloaded, shared memory and the launcher are asked for. */
extern void wake_init(void);

/* Have a database looked at, at an instant; the earlier one counts when there are several. */
extern void wake_send(Oid database, TimestampTz due, bool looked);

/* The same for this database, at once, when the transaction commits. */
extern void wake_at_commit(void);

/* For the launcher: it listens from now on, with its latch; the messages that have come. */
extern void wake_listen(void);

/* Takes messages, at most WAKE_MESSAGES; lost: there were more, so that every database is to be looked at. */
extern int wake_receive(WakeMessage *messages, bool *lost);

/* Whether the library is preloaded, so that a launcher is there. */
extern bool wake_has_launcher(void);

#endif
