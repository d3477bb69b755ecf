/*
 * catalog_lookup.c - rows of the registry tables straight from their indexes.
 */
#include "pg/catalog_lookup.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "pg/catalog.h"

static void
add_key(CatalogLookup *lookup, AttrNumber column, RegProcedure equal, Oid collation, Datum value)
{
	Assert(lookup->n_keys < CATALOG_MAX_KEYS);
	ScanKeyEntryInitialize(&lookup->keys[lookup->n_keys++], 0, column, BTEqualStrategyNumber,
						   InvalidOid, collation, equal, value);
}

void
lookup_key_int8(CatalogLookup *lookup, AttrNumber column, int64 value)
{
	add_key(lookup, column, F_INT8EQ, InvalidOid, Int64GetDatum(value));
}

void
lookup_key_int4(CatalogLookup *lookup, AttrNumber column, int32 value)
{
	add_key(lookup, column, F_INT4EQ, InvalidOid, Int32GetDatum(value));
}

/* The registry's text columns have the database's collation, and so do their indexes. */
void
lookup_key_text(CatalogLookup *lookup, AttrNumber column, const char *value)
{
	add_key(lookup, column, F_TEXTEQ, DEFAULT_COLLATION_OID, CStringGetTextDatum(value));
}

/* OID of a relation of the registry; 55000 when it is not there. */
static Oid
registry_relation(const char *name)
{
	Oid relid = get_relname_relid(name, catalog_extension()->schema);

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("relation \"pgml_auto.%s\" does not exist", name),
						errhint("DROP EXTENSION pgml_auto and CREATE EXTENSION pgml_auto, or "
								"restore the database from a backup.")));
	return relid;
}

void
lookup_begin(CatalogLookup *lookup, Snapshot snapshot)
{
	lookup->relation = table_open(registry_relation(lookup->table), AccessShareLock);
	lookup->scan = systable_beginscan(lookup->relation, registry_relation(lookup->index), true,
									  snapshot, lookup->n_keys, lookup->keys);
}

HeapTuple
lookup_next(CatalogLookup *lookup)
{
	return systable_getnext(lookup->scan);
}

void
lookup_end(CatalogLookup *lookup)
{
	systable_endscan(lookup->scan);
	table_close(lookup->relation, AccessShareLock);
}

Datum
lookup_value(const CatalogLookup *lookup, HeapTuple row, AttrNumber column)
{
	bool isnull;
	Datum value = heap_getattr(row, column, RelationGetDescr(lookup->relation), &isnull);

	if (isnull)
		elog(ERROR, "unexpected NULL in column %d of pgml_auto.%s", column, lookup->table);
	return value;
}
