/*
 * catalog_lookup.h - rows of the registry tables straight from their indexes; included by the catalog files only.
 *
 * What serves predictions is looked up without SPI: no parsing, planning or switching of users in the first prediction of
 * a session.  Table privileges do not apply; callers check the model's.
 */
#ifndef PGML_PG_CATALOG_LOOKUP_H
#define PGML_PG_CATALOG_LOOKUP_H

#include "postgres.h"
#include "access/genam.h"
#include "utils/snapshot.h"

/* Columns of the tables by position, in the order of sql/parts/20_tables.sql. */
enum
{
	MODELS_MODEL_ID = 1,
	MODELS_NAME,
	MODELS_OWNER
};
enum
{
	VERSIONS_VERSION_ID = 1,
	VERSIONS_MODEL_ID,
	VERSIONS_VERSION,
	VERSIONS_IMAGE_BYTES = 27,
	VERSIONS_IMAGE_CRC
};
enum
{
	DEPLOYED_MODEL_ID = 1,
	DEPLOYED_VERSION_ID
};
enum
{
	GRANTS_MODEL_ID = 1,
	GRANTS_GRANTEE,
	GRANTS_PRIVILEGE
};
enum
{
	IMAGE_CHUNKS_VERSION_ID = 1,
	IMAGE_CHUNKS_CHUNK,
	IMAGE_CHUNKS_DATA
};
enum
{
	JOB_QUEUE_JOB_ID = 1,
	JOB_QUEUE_STATE,
	JOB_QUEUE_ROLE_OID,
	JOB_QUEUE_PID
};

#define CATALOG_MAX_KEYS 2

/* A scan of one table for rows that equal the keys, in the order of the index. */
typedef struct CatalogLookup
{
	const char *table;
	const char *index;
	int n_keys;
	ScanKeyData keys[CATALOG_MAX_KEYS];
	Relation relation;
	SysScanDesc scan;
} CatalogLookup;

/* Add a key: the column at this position equals the value. */
extern void lookup_key_int8(CatalogLookup *lookup, AttrNumber column, int64 value);
extern void lookup_key_int4(CatalogLookup *lookup, AttrNumber column, int32 value);
extern void lookup_key_text(CatalogLookup *lookup, AttrNumber column, const char *value);

/* Scan with a snapshot (NULL: the newest); a row is valid until the next one. */
extern void lookup_begin(CatalogLookup *lookup, Snapshot snapshot);
extern HeapTuple lookup_next(CatalogLookup *lookup);
extern void lookup_end(CatalogLookup *lookup);

/* A value of a row; the columns above are never NULL. */
extern Datum lookup_value(const CatalogLookup *lookup, HeapTuple row, AttrNumber column);

#endif
