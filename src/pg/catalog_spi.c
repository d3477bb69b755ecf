/*
 * catalog_spi.c - how registry statements are run: whose rights, which search_path, which plan.
 *
 * Plans are kept per backend.  The extension can be dropped and created again in one session: its OIDs are
 * cached until an invalidation of the deployed table's relcache entry, and a plan made for another extension OID
 * is made again.
 */
#include "pg/catalog_spi.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/json_text.h"

static PgmlExtension extension_cache;
static bool extension_valid = false;

/* Forget the cached OIDs when the deployed table is dropped, changed, or when everything may have. */
static void
forget_extension(Datum arg, Oid relid)
{
	(void) arg;
	if (!OidIsValid(relid) || relid == extension_cache.deployed_table)
		extension_valid = false;
}

/* Owner of a relation; InvalidOid when it is gone. */
static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	Oid owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

const PgmlExtension *
catalog_extension(void)
{
	static bool registered = false;

	if (extension_valid)
		return &extension_cache;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_extension, (Datum) 0);
		registered = true;
	}

	PgmlExtension found = { .extension = get_extension_oid("pgml_auto", true) };
	if (OidIsValid(found.extension))
		found.schema = get_namespace_oid("pgml_auto", true);
	if (OidIsValid(found.schema))
		found.deployed_table = get_relname_relid("deployed", found.schema);
	if (OidIsValid(found.deployed_table))
		found.owner = relation_owner(found.deployed_table);
	if (!OidIsValid(found.owner))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("extension \"pgml_auto\" is not installed in this database"),
						errhint("Run CREATE EXTENSION pgml_auto.")));
	extension_cache = found;
	extension_valid = true;
	return &extension_cache;
}

bool
catalog_hold_extension(void)
{
	Oid extension;

	while (OidIsValid(extension = get_extension_oid("pgml_auto", true)))
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		if (get_extension_oid("pgml_auto", true) == extension)
			return true;
	}
	return false;
}

void
catalog_enter(CatalogScope *scope)
{
	const PgmlExtension *extension = catalog_extension();

	scope->caller = CurrentMemoryContext;
	scope->pushed_snapshot = !ActiveSnapshotSet();
	if (scope->pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&scope->user, &scope->sec_context);
	SetUserIdAndSecContext(extension->owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
	scope->nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the query executor");
}

void
catalog_leave(CatalogScope *scope)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not disconnect from the query executor");
	AtEOXact_GUC(true, scope->nest_level);
	SetUserIdAndSecContext(scope->user, scope->sec_context);
	if (scope->pushed_snapshot)
		PopActiveSnapshot();
}

/* Make and keep the plan, in place of one for an extension that is gone. */
static void
prepare_statement(CatalogStatement *statement, Oid extension)
{
	if (statement->plan != NULL)
		SPI_freeplan(statement->plan);
	statement->plan = NULL;

	SPIPlanPtr plan = SPI_prepare(statement->sql, statement->nargs, statement->types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", statement->sql);
	statement->plan = plan;
	statement->extension = extension;
}

/* The plan of the statement is that of the extension as it is. */
static void
ensure_prepared(CatalogStatement *statement)
{
	Oid extension = catalog_extension()->extension;

	if (statement->plan == NULL || statement->extension != extension)
		prepare_statement(statement, extension);
}

uint64
catalog_run(CatalogStatement *statement, const Datum *values, const char *nulls, bool read_only)
{
	ensure_prepared(statement);
	int code = SPI_execute_plan(statement->plan, (Datum *) values, nulls, read_only, 0);
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(code));
	return SPI_processed;
}

uint64
catalog_run_latest(CatalogStatement *statement, const Datum *values)
{
	int code;

	ensure_prepared(statement);
	code = SPI_execute_snapshot(statement->plan, (Datum *) values, NULL, GetLatestSnapshot(),
								InvalidSnapshot, false, true, 0);
	if (code < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(code));
	return SPI_processed;
}

Datum
catalog_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
catalog_text(const CatalogScope *scope, uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);
	if (isnull)
		return NULL;
	return MemoryContextStrdup(scope->caller, TextDatumGetCString(value));
}

int64
catalog_int8(uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);
	return isnull ? 0 : DatumGetInt64(value);
}

int32
catalog_int4(uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);
	return isnull ? 0 : DatumGetInt32(value);
}

Jsonb *
catalog_jsonb(const CatalogScope *scope, uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);
	if (isnull)
		return NULL;
	MemoryContext old = MemoryContextSwitchTo(scope->caller);
	Jsonb *copy = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(old);
	return copy;
}

Datum
catalog_text_datum(const char *s)
{
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(text_clip(s));
}

char *
catalog_split_reference(const char *reference, int32 *version)
{
	const char *at = strrchr(reference, '@');

	*version = 0;
	if (at == NULL)
		return pstrdup(reference);
	char *end;
	long number = strtol(at + 1, &end, 10);
	if (at[1] < '0' || at[1] > '9' || *end != '\0' || number < 1 || number > PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid version number in model reference \"%s\"", reference),
						errhint("Write the name alone for the deployed version, or 'name@3'.")));
	*version = (int32) number;
	return pnstrdup(reference, at - reference);
}

void
catalog_audit(const CatalogScope *scope, const char *action, int64 model_id, const char *model,
			  int32 version, Jsonb *details)
{
	static CatalogStatement insert_audit = {
		.sql = "INSERT INTO pgml_auto.audit (actor, session, action, model, version, details,"
			   " model_id) VALUES ($1, $2, $3, $4, $5, COALESCE($6, '{}'::pg_catalog.jsonb), $7)",
		.nargs = 7,
		.types = { TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, INT8OID },
	};
	char nulls[7] = {
		' ', ' ', ' ', ' ', version == 0 ? 'n' : ' ', details == NULL ? 'n' : ' ', ' '
	};
	Datum values[7] = {
		catalog_text_datum(GetUserNameFromId(scope->user, false)),
		catalog_text_datum(GetUserNameFromId(GetSessionUserId(), false)),
		catalog_text_datum(action),
		catalog_text_datum(model),
		Int32GetDatum(version),
		PointerGetDatum(details),
		Int64GetDatum(model_id),
	};
	catalog_run(&insert_audit, values, nulls, false);
}

void
catalog_changed(void)
{
	CacheInvalidateRelcacheByRelid(catalog_extension()->deployed_table);
}

bool
catalog_has_role(Oid user, const char *role)
{
	if (superuser_arg(user) || strcmp(role, "public") == 0)
		return true;
	Oid oid = get_role_oid(role, true);
	return OidIsValid(oid) && has_privs_of_role(user, oid);
}
