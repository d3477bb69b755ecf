/*
 * catalog_spi.h - statements on the registry tables; included by the catalog files only.
 *
 * A scope is opened with catalog_enter(): SPI is connected, the current user is the owner of the registry tables
 * (SECURITY_LOCAL_USERID_CHANGE) and search_path is pg_catalog, pg_temp, so that nothing of the caller's can hook
 * in.  catalog_leave() undoes all three; an error undoes them through the (sub)transaction's abort.
 * Privileges are checked for scope.user, the caller.
 */
#ifndef PGML_PG_CATALOG_SPI_H
#define PGML_PG_CATALOG_SPI_H

#include "postgres.h"
#include "executor/spi.h"

#include "pg/catalog.h"

#define CATALOG_MAX_ARGS 32
#define CATALOG_CHUNK    (1024 * 1024) /* bytes of an image in one row */

/* A statement and its plan, which is made at first use and kept for the session. */
typedef struct CatalogStatement
{
	const char *sql; /* every name qualified, operators by pinned search_path */
	int nargs;
	Oid types[CATALOG_MAX_ARGS];
	SPIPlanPtr plan;
	Oid extension; /* the plan was made for; DROP and CREATE EXTENSION changes it */
} CatalogStatement;

typedef struct CatalogScope
{
	Oid user; /* the caller */
	int sec_context;
	int nest_level;
	bool pushed_snapshot;
	MemoryContext caller; /* where results go */
} CatalogScope;

extern void catalog_enter(CatalogScope *scope);
extern void catalog_leave(CatalogScope *scope);

/*
 * Run a statement; returns the number of rows, which are in SPI_tuptable.  read_only statements see what the
 * calling query sees; the others see all that is committed and the own changes.  nulls may be NULL.
 */
extern uint64 catalog_run(CatalogStatement *statement, const Datum *values, const char *nulls,
						  bool read_only);

/* The same for a change of what is committed now, also in REPEATABLE READ: rows that are newer than its snapshot are found. */
extern uint64 catalog_run_latest(CatalogStatement *statement, const Datum *values);

/* Values of SPI_tuptable; text is a copy in scope->caller, NULL for NULL. */
extern char *catalog_text(const CatalogScope *scope, uint64 row, int column);
extern Datum catalog_value(uint64 row, int column, bool *isnull);
extern int64 catalog_int8(uint64 row, int column);
extern int32 catalog_int4(uint64 row, int column);
extern Jsonb *catalog_jsonb(const CatalogScope *scope, uint64 row, int column);

/* A datum of text for a statement's argument. */
extern Datum catalog_text_datum(const char *s);

/* Write an audit row; version 0 and details NULL are allowed. Inside a scope. */
extern void catalog_audit(const CatalogScope *scope, const char *action, int64 model_id,
						  const char *model, int32 version, Jsonb *details);

#endif
