/*
 * source.h - what `data` means: a relation or a query, and which of its columns identify rows.
 */
#ifndef PGML_PG_SOURCE_H
#define PGML_PG_SOURCE_H

#include "postgres.h"
#include "executor/spi.h"
#include "nodes/bitmapset.h"

typedef struct PgmlSource
{
	Oid relid;   /* the relation that data names; InvalidOid for a query */
	char *query; /* the statement to run */
} PgmlSource;

/* A prepared statement, found to be one that only reads. */
typedef struct PgmlStatement
{
	SPIPlanPtr plan;
	TupleDesc desc; /* of its rows */
	Bitmapset
		*keys; /* columns (from 0) that are part of a primary key or alone in a unique index */
	int *
		primary_key; /* columns that hold the primary key of the one table it reads, in key order */
	int n_primary_key; /* 0: no such key, or not all of it is there */
	bool rls_active;   /* row security filters what the current user reads */
} PgmlStatement;

/*
 * Resolve data through the search path and lock the relation.  Errors: 22023 empty, 42P01 no such relation, 42809 a
 * relation without rows, 42601 neither a name nor a query, 25006 a statement that writes.
 */
extern PgmlSource pgml_source_resolve(const char *data);

/*
 * Prepare the statement in the current SPI connection, in whose memory the result is.  Errors besides the parser's:
 * 25006 it writes, 42804 no columns, 54011 more than 1,600, 42701 two of the same name.
 */
extern PgmlStatement pgml_source_prepare(const char *query);

/* Rows that the planner expects of the statement; planning may already run functions that are in it. */
extern double pgml_source_expected_rows(const PgmlStatement *statement);

/*
 * Whether reading the relation may run functions, of views, policies or other tables, in a session that has temporary objects
 * for them to find.
 */
extern bool pgml_source_may_meet_temporary(Oid relid);

/* A search_path in which the session's temporary schema comes last instead of first. */
extern char *pgml_source_temporary_last(const char *search_path);

/*
 * 42501 when the statement reads or calls what belongs to somebody who could not act as model_owner, as whom it is about to
 * run (source_owner.c).
 */
extern void pgml_source_check_owners(const PgmlStatement *statement, Oid model_owner);

#endif
