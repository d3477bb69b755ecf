/*
 * ingest.h - read any relation or query of the caller into the core's typed columns.
 */
#ifndef PGML_PG_INGEST_H
#define PGML_PG_INGEST_H

#include "core/arena.h"
#include "data/table.h"

typedef struct PgmlIngest
{
    const char *data;             /* a (qualified, quoted) relation name, else SELECT / WITH / VALUES / TABLE */
    const char *target;           /* stratifies the sample when the data exceeds the bound; may be NULL */
    const char *const *id_columns; /* row identity; NULL: primary key, else all values */
    int n_id_columns;
    uint64_t salt;                /* orders rows: hash order, and the sample is the smallest hashes */
    int64_t max_bytes;            /* bound of the columns in memory; 0 = none */
    bool keep_order;              /* prediction: rows stay in the order read, nothing is sampled */
} PgmlIngest;

/* What the relation is called for people, and whether the source is one relation (then its OID). */
typedef struct PgmlIngestInfo
{
    Oid relid;             /* InvalidOid for a query */
    char *query;           /* the statement that was run */
    bool rls_active;       /* row security hides rows from the caller: said in a NOTICE */
} PgmlIngestInfo;

/*
 * Run the statement as the current user, read-only (transaction_read_only in a subtransaction: a query that writes, also
 * through a volatile function, fails with 25006), and stream it into arena.  Errors name the thing at fault:
 * 42P01 no such relation, 42501 no privilege, 54011 more than 1,600 columns, 42804 when the query has no columns.
 * Columns of types we cannot use are left out with a NOTICE that names them.
 */
extern PgmlTable *pgml_ingest(const PgmlIngest *ingest, PgmlArena *arena, PgmlIngestInfo *info);

/*
 * How to read a column of a type: its kind and a function from Datum to PgmlValue; shared by ingest and predict so that
 * both see the same values.  Types are told apart by OID (domains by their base type, enums by category).
 */
typedef struct PgmlTypeReader
{
    Oid type;      /* base type */
    PgmlKind kind;
    bool is_integer;
    bool supported; /* false: the column cannot be used */
    bool array;     /* float arrays and pgvector: expanded to element columns */
    FmgrInfo output; /* for text forms of enum, uuid, ... */
} PgmlTypeReader;

extern void pgml_type_reader(Oid type, int32 typmod, PgmlTypeReader *reader);

/* Value of a datum that is not NULL; text may point into the datum or be palloc'ed in the current context. */
extern PgmlValue pgml_datum_value(PgmlTypeReader *reader, Datum datum);

#endif
