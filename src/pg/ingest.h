/*
 * ingest.h - read any relation or query of the caller into the core's typed columns.
 */
#ifndef PGML_PG_INGEST_H
#define PGML_PG_INGEST_H

#include "postgres.h"
#include "fmgr.h"

#include "core/arena.h"
#include "data/table.h"

/* A column that tells rows apart, and as what its values are hashed, in words. */
typedef struct PgmlIdentityColumn
{
	const char *name;
	const char *hashed_as;
} PgmlIdentityColumn;

/* The columns that tell the rows of a model apart, in the order in which they are hashed; n = 0: not known yet. */
typedef struct PgmlIdentity
{
	int n;
	PgmlIdentityColumn *columns;
	PgmlIdentityColumn
		split; /* the group or time column by which test rows are chosen instead; name
							   * NULL: none */
} PgmlIdentity;

typedef struct PgmlIngest
{
	const char *data; /* a (qualified, quoted) relation name, else SELECT / WITH / VALUES / TABLE */
	const char *target; /* stratifies the sample when the data exceeds the bound; may be NULL */
	const char *const
		*id_columns; /* row identity; NULL: primary key when the rows have it, else all values */
	int n_id_columns;
	const PgmlIdentity *identity; /* NULL or what earlier versions told rows apart by, which goes
								   * before id_columns: 42703 when a column is missing, 42804 when
								   * it would be hashed as something else */
	const char
		*split_column; /* the group or time column by which test rows are chosen; NULL: none */
	Oid source_owner;  /* whose code alone the source may run; InvalidOid: anybody's */
	uint64_t salt;     /* orders rows: hash order, and the sample is the smallest hashes */
	int64_t max_bytes; /* bound of what reading takes, the table included; 0 = none */
} PgmlIngest;

/* What was read. */
typedef struct PgmlIngestInfo
{
	Oid relid;             /* the relation that data names; InvalidOid for a query */
	char *query;           /* the statement that was run */
	bool rls_active;       /* row security applies to the caller: said in a NOTICE */
	PgmlIdentity identity; /* what rows were told apart by */
} PgmlIngestInfo;

/*
 * Run the statement as the current user, read-only (transaction_read_only in a subtransaction: a query that writes, also
 * through a volatile function, fails with 25006), and stream it into arena.  Errors name the thing at fault:
 * 42P01 no such relation, 42809 one without rows, 42601 neither a name nor a query, 42501 no privilege, 54011 more than
 * 1,600 columns, 42804 no columns, 42701 two columns of one name (an array's elements
 * have names too), 42703 an unknown id column, 22000 arrays of
 * different lengths, 53400 too little memory.  NOTICEs: columns of types we cannot use (they are left out), JSON
 * objects read as missing, row security, and how many of how many rows fit.
 */
extern PgmlTable *pgml_ingest(const PgmlIngest *ingest, PgmlArena *arena, PgmlIngestInfo *info);

/*
 * How to read a column of a type: its kind and a function from Datum to PgmlValue; shared by ingest and predict so that
 * both see the same values.  Types are told apart by OID (domains by their base type, enums by category).
 */
typedef struct PgmlTypeReader
{
	Oid type; /* base type */
	PgmlKind kind;
	PgmlOrigin origin;
	bool is_integer;
	bool supported;  /* false: the column cannot be used */
	bool array;      /* arrays of numbers and pgvector: expanded to element columns */
	FmgrInfo output; /* text form of enum, uuid, ...; for pgvector the cast to real[] */
	Oid element;     /* type of the array's elements */
	int16 element_length;
	bool element_by_value;
	char element_align;
} PgmlTypeReader;

/* Set up a reader; what its functions cache lives in the current memory context. */
extern void pgml_type_reader(Oid type, int32 typmod, PgmlTypeReader *reader);

/*
 * Value of a datum that is not NULL; text may point into the datum or be palloc'ed in the current context.  Missing for
 * NaN and for JSON null, objects and arrays.
 */
extern PgmlValue pgml_datum_value(PgmlTypeReader *reader, Datum datum);

/*
 * Elements of an array datum that is not NULL, in storage order, NaN for NULL elements; palloc'ed in the current context.
 * Returns their number.
 */
extern int pgml_datum_elements(PgmlTypeReader *reader, Datum datum, double **elements);

#endif
