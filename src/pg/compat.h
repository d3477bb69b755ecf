/*
 * compat.h - differences between PostgreSQL 15 and 18; the newest spelling is the one used in the code.
 */
#ifndef PGML_PG_COMPAT_H
#define PGML_PG_COMPAT_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 150000
#error "pgml_auto needs PostgreSQL 15 or newer"
#endif

/* 16: varlena macros moved out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: entries of the backend status table are fetched by index under a name that says so. */
#if PG_VERSION_NUM < 160000
#define pgstat_get_local_beentry_by_index(index) pgstat_fetch_stat_local_beentry(index)
#endif

/* 16: `extra` of GUC hooks is allocated by guc_malloc; before, by malloc. */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#endif

/* 17: the local transaction id, which no other transaction of a session has, moved. */
#if PG_VERSION_NUM >= 170000
#define pgml_my_lxid() (MyProc->vxid.lxid)
#else
#define pgml_my_lxid() (MyProc->lxid)
#endif

/* 18: what nodes use to explain themselves moved. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18: ExecutorRun() and its hook lost their last argument. */
#if PG_VERSION_NUM >= 180000
#define pgml_executor_run(run, query, direction, count, once)                                      \
	((void) (once), (run) (query, direction, count))
#else
#define pgml_executor_run(run, query, direction, count, once) (run)(query, direction, count, once)
#endif

/* 17: intervals may be infinite. */
#if PG_VERSION_NUM < 170000
#define INTERVAL_IS_NOBEGIN(i) false
#define INTERVAL_IS_NOEND(i)   false
#endif

#endif
