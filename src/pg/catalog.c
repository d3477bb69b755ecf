/*
 * catalog.c - looking models up: who may, which version, and its image.
 *
 * Rights are decided here in C from the owner's and grantees' names, for the caller, while the statement runs as the
 * owner of the tables.  Lookups that serve predictions are read-only statements: they see what the calling query's
 * snapshot sees, so that one statement never mixes two versions.
 */
#include "pg/catalog.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"
#include "common/hashfn.h"

#include "pg/catalog_spi.h"

/* Roles with any privilege, and those that may manage: what may_use() wants. */
#define GRANTEES                                                                                   \
	"ARRAY(SELECT g.grantee FROM pgml_auto.grants g WHERE g.model_id = m.model_id), "              \
	"ARRAY(SELECT g.grantee FROM pgml_auto.grants g WHERE g.model_id = m.model_id "                \
	"AND g.privilege = 'manage')"

#define MODEL_COLUMNS                                                                              \
	"m.model_id, m.owner, " GRANTEES                                                               \
	", m.task, m.target, m.metric, m.positive_class, m.split FROM pgml_auto.models m "             \
	"WHERE m.name = $1"

/* Positions of the first columns, shared by all lookups of a model. */
enum
{
	COL_MODEL_ID = 1,
	COL_OWNER,
	COL_GRANTEES,
	COL_MANAGERS,
	COL_REST
};

static const char *const privilege_names[] = { "predict", "manage", "own" };

/* True when a text array value contains a role that user has. */
static bool
has_any_role(Oid user, Datum array)
{
	Datum *names;
	bool *isnull;
	int n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &names, &isnull,
					  &n);
	for (int i = 0; i < n; i++)
		if (!isnull[i] && catalog_has_role(user, TextDatumGetCString(names[i])))
			return true;
	return false;
}

/* Whether user has the privilege on the model in a row of SPI_tuptable that starts with MODEL_COLUMNS. */
static bool
may_use(Oid user, PgmlPrivilege privilege, uint64 row)
{
	bool isnull;

	Datum owner = catalog_value(row, COL_OWNER, &isnull);
	if (catalog_has_role(user, TextDatumGetCString(owner)))
		return true;
	if (privilege == PGML_PRIV_OWN)
		return false;
	int column = privilege == PGML_PRIV_PREDICT ? COL_GRANTEES : COL_MANAGERS;
	return has_any_role(user, catalog_value(row, column, &isnull));
}

/* 42501: says whom to ask for what. */
static void
refuse(const CatalogScope *scope, const char *name, PgmlPrivilege privilege)
{
	char *owner = catalog_text(scope, 0, COL_OWNER);
	char *user = GetUserNameFromId(scope->user, false);

	if (privilege == PGML_PRIV_OWN)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", name),
						errhint("Its owner is \"%s\".", owner)));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied for model \"%s\"", name),
					errhint("Ask its owner, \"%s\": SELECT automl_grant(%s, %s, '%s').", owner,
							quote_literal_cstr(name), quote_literal_cstr(user),
							privilege_names[privilege])));
}

#define MAX_SIMILAR 5

/* A visible model's name and how far it is from the one asked for. */
typedef struct Similar
{
	char *name;
	int distance;
} Similar;

/* Insert into the few best, nearest first; the names arrive in order, so ties stay sorted. */
static void
keep_similar(Similar *best, int *n, char *name, int distance)
{
	int i = *n < MAX_SIMILAR ? (*n)++ : MAX_SIMILAR - 1;
	if (*n == MAX_SIMILAR && i == MAX_SIMILAR - 1 && best[i].name != NULL &&
		best[i].distance <= distance)
		return;
	for (; i > 0 && best[i - 1].distance > distance; i--)
		best[i] = best[i - 1];
	best[i].name = name;
	best[i].distance = distance;
}

/* The hint for a model that does not exist: the five most similar ones that the caller may use. */
static char *
similar_models(const CatalogScope *scope, const char *name)
{
	static CatalogStatement all_models = {
		.sql = "SELECT m.model_id, m.owner, " GRANTEES ", m.name FROM pgml_auto.models m "
			   "ORDER BY m.name COLLATE pg_catalog.\"C\" LIMIT 1000",
	};
	Similar best[MAX_SIMILAR] = { { NULL, 0 } };
	int n = 0;
	uint64 rows = catalog_run(&all_models, NULL, NULL, true);

	for (uint64 i = 0; i < rows; i++)
	{
		if (!may_use(scope->user, PGML_PRIV_PREDICT, i))
			continue;
		char *other = catalog_text(scope, i, COL_REST);
		int distance = strlen(name) > 63 ? 63 :
										   varstr_levenshtein(name, strlen(name), other,
															  strlen(other), 1, 1, 1, true);
		keep_similar(best, &n, other, distance);
	}
	if (n == 0)
		return "You have no models yet. Train one with SELECT * FROM automl_train(...).";

	StringInfoData hint;
	initStringInfo(&hint);
	appendStringInfoString(&hint, "Models you can use: ");
	for (int i = 0; i < n; i++)
		appendStringInfo(&hint, "%s\"%s\"", i == 0 ? "" : ", ", best[i].name);
	appendStringInfoChar(&hint, '.');
	return hint.data;
}

/* 42704 for a model that does not exist. */
static void
no_such_model(const CatalogScope *scope, const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
					errhint("%s", similar_models(scope, name))));
}

void
catalog_check_name(const char *name)
{
	size_t len = strlen(name);
	if (len >= 1 && len <= 63 && strchr(name, '@') == NULL)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("invalid model name \"%s\"", name),
					errhint("A name has 1 to 63 bytes and no \"@\", which stands before a version "
							"number.")));
}

/* Hold the name until the transaction ends: it makes trainings of one model, also of a new one, take turns. */
static void
lock_name(const char *name)
{
	uint32 hash = hash_bytes((const unsigned char *) name, strlen(name));
	LockDatabaseObject(catalog_extension()->deployed_table, hash, 0, ExclusiveLock);
}

CatalogModel *
catalog_find_model(const char *name, PgmlPrivilege privilege, bool missing_ok, bool for_update)
{
	static CatalogStatement find = { .sql = "SELECT " MODEL_COLUMNS,
									 .nargs = 1,
									 .types = { TEXTOID } };
	static CatalogStatement find_and_lock = {
		.sql = "SELECT " MODEL_COLUMNS " FOR NO KEY UPDATE OF m", .nargs = 1, .types = { TEXTOID }
	};
	CatalogModel *model = NULL;
	CatalogScope scope;

	if (for_update)
		lock_name(name);
	catalog_enter(&scope);
	Datum values[1] = { catalog_text_datum(name) };
	uint64 rows = catalog_run(for_update ? &find_and_lock : &find, values, NULL, !for_update);
	if (rows == 0 && !missing_ok)
		no_such_model(&scope, name);
	if (rows > 0)
	{
		if (!may_use(scope.user, privilege, 0))
			refuse(&scope, name, privilege);
		model = MemoryContextAllocZero(scope.caller, sizeof(CatalogModel));
		model->model_id = catalog_int8(0, COL_MODEL_ID);
		model->name = MemoryContextStrdup(scope.caller, name);
		model->owner = catalog_text(&scope, 0, COL_OWNER);
		model->task = catalog_text(&scope, 0, COL_REST);
		model->target = catalog_text(&scope, 0, COL_REST + 1);
		model->metric = catalog_text(&scope, 0, COL_REST + 2);
		model->positive_class = catalog_text(&scope, 0, COL_REST + 3);
		model->split = catalog_jsonb(&scope, 0, COL_REST + 4);
	}
	catalog_leave(&scope);
	return model;
}

/* 42704 for a version that does not exist, listing the newest ones that do. */
static void
no_such_version(const CatalogScope *scope, const char *name, int64 model_id, int32 version)
{
	static CatalogStatement list_versions = {
		.sql = "SELECT pg_catalog.string_agg(v.version::pg_catalog.text, ', ' ORDER BY v.version)"
			   " FROM (SELECT version FROM pgml_auto.versions WHERE model_id = $1"
			   " ORDER BY version DESC LIMIT 20) v",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };

	catalog_run(&list_versions, values, NULL, true);
	char *known = catalog_text(scope, 0, 1);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("model \"%s\" has no version %d", name, version),
					errhint("Its versions: %s.", known == NULL ? "none" : known)));
}

/* Fill version from columns first_column ... of row 0: version_id, version, image_bytes, image_crc. */
static void
read_version(int first_column, int64 model_id, CatalogVersion *version)
{
	version->model_id = model_id;
	version->version_id = catalog_int8(0, first_column);
	version->version = catalog_int4(0, first_column + 1);
	version->image_bytes = catalog_int8(0, first_column + 2);
	version->image_crc = (uint32) catalog_int8(0, first_column + 3);
}

void
catalog_resolve(const char *reference, CatalogVersion *version)
{
	static CatalogStatement deployed = {
		.sql = "SELECT m.model_id, m.owner, " GRANTEES
			   ", v.version_id, v.version, v.image_bytes, v.image_crc FROM pgml_auto.models m"
			   " LEFT JOIN pgml_auto.deployed d ON d.model_id = m.model_id"
			   " LEFT JOIN pgml_auto.versions v ON v.version_id = d.version_id WHERE m.name = $1",
		.nargs = 1,
		.types = { TEXTOID },
	};
	static CatalogStatement exact = {
		.sql = "SELECT m.model_id, m.owner, " GRANTEES
			   ", v.version_id, v.version, v.image_bytes, v.image_crc FROM pgml_auto.models m"
			   " LEFT JOIN pgml_auto.versions v ON v.model_id = m.model_id AND v.version = $2"
			   " WHERE m.name = $1",
		.nargs = 2,
		.types = { TEXTOID, INT4OID },
	};
	int32 wanted;
	char *name = catalog_split_reference(reference, &wanted);
	CatalogScope scope;

	catalog_enter(&scope);
	Datum values[2] = { catalog_text_datum(name), Int32GetDatum(wanted) };
	if (catalog_run(wanted == 0 ? &deployed : &exact, values, NULL, true) == 0)
		no_such_model(&scope, name);
	if (!may_use(scope.user, PGML_PRIV_PREDICT, 0))
		refuse(&scope, name, PGML_PRIV_PREDICT);
	read_version(COL_REST, catalog_int8(0, COL_MODEL_ID), version);
	if (version->version_id == 0 && wanted != 0)
		no_such_version(&scope, name, version->model_id, wanted);
	if (version->version_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no version of model \"%s\" is deployed", name),
				 errhint("Deploy one: SELECT automl_deploy(%s).", quote_literal_cstr(name))));
	catalog_leave(&scope);
	pfree(name);
}

bool
catalog_deployed(int64 model_id, bool lock, CatalogVersion *version)
{
	/* Alone: after a wait, a join would still hold the version that the pointer led to before. */
	static CatalogStatement hold = {
		.sql = "SELECT FROM pgml_auto.deployed WHERE model_id = $1 FOR UPDATE",
		.nargs = 1,
		.types = { INT8OID },
	};
	static CatalogStatement find = {
		.sql = "SELECT v.version_id, v.version, v.image_bytes, v.image_crc"
			   " FROM pgml_auto.deployed d JOIN pgml_auto.versions v ON v.version_id = d.version_id"
			   " WHERE d.model_id = $1",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	if (lock)
		catalog_run(&hold, values, NULL, false);
	bool found = catalog_run(&find, values, NULL, false) > 0;
	if (found)
		read_version(1, model_id, version);
	catalog_leave(&scope);
	return found;
}

bool
catalog_newest_source(int64 model_id, CatalogSource *source)
{
	static CatalogStatement newest = {
		.sql = "SELECT version, source, search_path, settings FROM pgml_auto.versions"
			   " WHERE model_id = $1 ORDER BY version DESC LIMIT 1",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	bool found = catalog_run(&newest, values, NULL, false) > 0;
	if (found)
	{
		source->version = catalog_int4(0, 1);
		source->source = catalog_text(&scope, 0, 2);
		source->search_path = catalog_text(&scope, 0, 3);
		source->settings = catalog_jsonb(&scope, 0, 4);
	}
	catalog_leave(&scope);
	return found;
}

/* Check, before memory is asked for, that the chunks are as many and as long as the version says; else what is wrong. */
static const char *
check_chunks(const CatalogVersion *version, bool read_only)
{
	static CatalogStatement sum_chunks = {
		.sql = "SELECT pg_catalog.count(*),"
			   " COALESCE(pg_catalog.sum(pg_catalog.octet_length(data)), 0)::pg_catalog.int8"
			   " FROM pgml_auto.image_chunks WHERE version_id = $1",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(version->version_id) };

	catalog_run(&sum_chunks, values, NULL, read_only);
	int64 chunks = catalog_int8(0, 1);
	int64 bytes = catalog_int8(0, 2);
	int64 expected = (version->image_bytes + CATALOG_CHUNK - 1) / CATALOG_CHUNK;
	if (version->image_bytes > 0 && bytes == version->image_bytes && chunks == expected)
		return NULL;
	return psprintf("It has " INT64_FORMAT " bytes in " INT64_FORMAT " chunks where " INT64_FORMAT
					" bytes are expected.",
					bytes, chunks, version->image_bytes);
}

/* Copy the chunk that begins at offset to its place; what is wrong with it, or NULL. */
static const char *
read_chunk(const CatalogVersion *version, uint8 *image, int64 offset, bool read_only)
{
	static CatalogStatement select_chunk = {
		.sql = "SELECT data FROM pgml_auto.image_chunks WHERE version_id = $1 AND chunk = $2",
		.nargs = 2,
		.types = { INT8OID, INT4OID },
	};
	Datum values[2] = { Int64GetDatum(version->version_id),
						Int32GetDatum((int32) (offset / CATALOG_CHUNK)) };
	int64 wanted = Min(version->image_bytes - offset, CATALOG_CHUNK);
	bool isnull;

	if (catalog_run(&select_chunk, values, NULL, read_only) == 0)
		return "A chunk is missing.";
	bytea *chunk = DatumGetByteaPP(catalog_value(0, 1, &isnull));
	if (VARSIZE_ANY_EXHDR(chunk) != (size_t) wanted)
		return "A chunk has another length than it must have.";
	memcpy(image + offset, VARDATA_ANY(chunk), wanted);
	SPI_freetuptable(SPI_tuptable);
	return NULL;
}

/* All bytes of the image, or NULL and what is wrong with it. */
static uint8 *
read_image(const CatalogVersion *version, MemoryContext context, bool read_only,
		   const char **damage)
{
	CatalogScope scope;
	uint8 *image = NULL;

	catalog_enter(&scope);
	*damage = check_chunks(version, read_only);
	if (*damage == NULL)
		image = MemoryContextAllocExtended(context, version->image_bytes, MCXT_ALLOC_HUGE);
	for (int64 offset = 0; *damage == NULL && offset < version->image_bytes;
		 offset += CATALOG_CHUNK)
	{
		CHECK_FOR_INTERRUPTS();
		*damage = read_chunk(version, image, offset, read_only);
	}
	if (*damage != NULL)
		*damage = MemoryContextStrdup(scope.caller, *damage);
	catalog_leave(&scope);
	return *damage == NULL ? image : NULL;
}

uint8 *
catalog_read_image(const CatalogVersion *version, MemoryContext context)
{
	const char *damage;
	uint8 *image = read_image(version, context, true, &damage);

	if (image == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("stored image of model version %d is damaged", version->version),
						errdetail("%s", damage),
						errhint("Deploy another version with automl_deploy, or train again.")));
	return image;
}

uint8 *
catalog_read_champion(const CatalogVersion *version, MemoryContext context)
{
	const char *damage;
	return read_image(version, context, false, &damage);
}
