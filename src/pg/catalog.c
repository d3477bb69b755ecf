/*
 * catalog.c - looking models up: who may, which version, and its image.
 *
 * Rights are decided here in C from the owner's and grantees' names, for the caller.  What serves predictions is looked
 * up with the calling query's snapshot, so that one statement never mixes two versions, and straight from the indexes
 * (catalog_lookup.h), so that the first prediction of a session is fast.
 */
#include "pg/catalog.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "pg/catalog_lookup.h"
#include "pg/catalog_spi.h"

#define MODEL_COLUMNS                                                                              \
	"m.model_id, m.owner, m.task, m.target, m.metric, m.positive_class, m.split"                   \
	" FROM pgml_auto.models m WHERE m.name = $1"

static const char *const privilege_names[] = { "predict", "manage", "own" };

/* Whether a role that user has was granted the privilege on the model; 'manage' includes 'predict'. */
static bool
is_granted(Oid user, PgmlPrivilege privilege, int64 model_id, Snapshot snapshot)
{
	CatalogLookup grants = { .table = "grants", .index = "grants_pkey" };
	HeapTuple row;
	bool granted = false;

	lookup_key_int8(&grants, GRANTS_MODEL_ID, model_id);
	lookup_begin(&grants, snapshot);
	while (!granted && (row = lookup_next(&grants)) != NULL)
	{
		char *grantee = TextDatumGetCString(lookup_value(&grants, row, GRANTS_GRANTEE));
		char *given = TextDatumGetCString(lookup_value(&grants, row, GRANTS_PRIVILEGE));

		granted = (privilege == PGML_PRIV_PREDICT || strcmp(given, "manage") == 0) &&
				  catalog_has_role(user, grantee);
	}
	lookup_end(&grants);
	return granted;
}

/* Whether user has the privilege on a model, by the grants that the snapshot (NULL: the newest) shows. */
static bool
may_use(Oid user, PgmlPrivilege privilege, int64 model_id, const char *owner, Snapshot snapshot)
{
	return catalog_has_role(user, owner) ||
		   (privilege != PGML_PRIV_OWN && is_granted(user, privilege, model_id, snapshot));
}

/* 42501: says whom to ask for what. */
static void
refuse(Oid user, const char *name, const char *owner, PgmlPrivilege privilege)
{
	if (privilege == PGML_PRIV_OWN)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", name),
						errhint("Its owner is \"%s\".", owner)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for model \"%s\"", name),
			 errhint("Ask its owner, \"%s\": SELECT automl_grant(%s, %s, '%s').", owner,
					 quote_literal_cstr(name), quote_literal_cstr(GetUserNameFromId(user, false)),
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
		.sql = "SELECT m.model_id, m.owner, m.name FROM pgml_auto.models m "
			   "ORDER BY m.name COLLATE pg_catalog.\"C\"",
	};
	Similar best[MAX_SIMILAR] = { { NULL, 0 } };
	int n = 0;
	int usable = 0;
	uint64 rows = catalog_run(&all_models, NULL, NULL, true);

	for (uint64 i = 0; i < rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!may_use(scope->user, PGML_PRIV_PREDICT, catalog_int8(i, 1), catalog_text(scope, i, 2),
					 NULL))
			continue;
		char *other = catalog_text(scope, i, 3);
		usable++;
		int distance = strlen(name) > 63 ? 63 :
										   varstr_levenshtein(name, strlen(name), other,
															  strlen(other), 1, 1, 1, true);
		keep_similar(best, &n, other, distance);
	}
	if (n == 0)
		return "You have no models yet. Train one with SELECT * FROM automl_train(...).";

	StringInfoData hint;
	initStringInfo(&hint);
	if (best[0].distance <= 2 && best[0].distance < (int) strlen(name))
		appendStringInfo(&hint, "Did you mean \"%s\"? ", best[0].name);
	appendStringInfoString(&hint, "Models you can use: ");
	for (int i = 0; i < n; i++)
		appendStringInfo(&hint, "%s\"%s\"", i == 0 ? "" : ", ", best[i].name);
	appendStringInfoString(&hint, usable > n ? ", ..." : ".");
	return hint.data;
}

/* 42704 for a model that does not exist. */
static void
no_such_model(const char *name)
{
	CatalogScope scope;

	catalog_enter(&scope);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
			 errhint("%s", strchr(name, '@') != NULL ?
							   "Give the name alone: this concerns all versions of a model." :
							   similar_models(&scope, name))));
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

/* The lock tag of a model's name. */
static LOCKTAG
name_tag(const char *name)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) name, strlen(name), 0);
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, catalog_extension()->deployed_table, (Oid) hash,
					   (uint16) (hash >> 32));
	tag.locktag_lockmethodid = USER_LOCKMETHOD; /* a session's lock ends with it, however it ends */
	return tag;
}

void
catalog_lock_name(const char *name)
{
	LOCKTAG tag = name_tag(name);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	AcceptInvalidationMessages();
}

void
catalog_hold_name(const char *name)
{
	LOCKTAG tag = name_tag(name);

	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

/* Id and owner of the model of that name; false when there is none. */
static bool
find_model_row(const char *name, Snapshot snapshot, int64 *model_id, char **owner)
{
	CatalogLookup models = { .table = "models", .index = "models_name_key" };

	lookup_key_text(&models, MODELS_NAME, name);
	lookup_begin(&models, snapshot);
	HeapTuple row = lookup_next(&models);
	bool found = row != NULL;
	if (found)
	{
		*model_id = DatumGetInt64(lookup_value(&models, row, MODELS_MODEL_ID));
		*owner = TextDatumGetCString(lookup_value(&models, row, MODELS_OWNER));
	}
	lookup_end(&models);
	return found;
}

/* Without the privilege nobody may wait for, or hold up, those who have it. */
static void
check_before_locking(const char *name, PgmlPrivilege privilege)
{
	int64 model_id;
	char *owner;

	if (find_model_row(name, NULL, &model_id, &owner) &&
		!may_use(GetUserId(), privilege, model_id, owner, NULL))
		refuse(GetUserId(), name, owner, privilege);
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
	{
		check_before_locking(name, privilege);
		catalog_lock_name(name);
	}
	catalog_enter(&scope);
	Datum values[1] = { catalog_text_datum(name) };
	uint64 rows = catalog_run(for_update ? &find_and_lock : &find, values, NULL, !for_update);
	if (rows == 0 && !missing_ok)
	{
		catalog_leave(&scope);
		no_such_model(name);
	}
	if (rows > 0)
	{
		model = MemoryContextAllocZero(scope.caller, sizeof(CatalogModel));
		model->model_id = catalog_int8(0, 1);
		model->name = MemoryContextStrdup(scope.caller, name);
		model->owner = catalog_text(&scope, 0, 2);
		model->task = catalog_text(&scope, 0, 3);
		model->target = catalog_text(&scope, 0, 4);
		model->metric = catalog_text(&scope, 0, 5);
		model->positive_class = catalog_text(&scope, 0, 6);
		model->split = catalog_jsonb(&scope, 0, 7);
		if (!may_use(scope.user, privilege, model->model_id, model->owner, NULL))
			refuse(scope.user, name, model->owner, privilege);
	}
	catalog_leave(&scope);
	return model;
}

void
catalog_no_such_version(const char *name, int64 model_id, int32 version)
{
	static CatalogStatement list_versions = {
		.sql = "SELECT pg_catalog.string_agg(v.version::pg_catalog.text, ', ' ORDER BY v.version)"
			   " FROM (SELECT version FROM pgml_auto.versions WHERE model_id = $1"
			   " ORDER BY version DESC LIMIT 20) v",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&list_versions, values, NULL, true);
	char *known = catalog_text(&scope, 0, 1);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("model \"%s\" has no version %d", name, version),
					errhint("Its versions: %s.", known == NULL ? "none" : known)));
}

/* The version that a pointer row names; 0 when nothing is deployed. */
static int64
find_pointer(int64 model_id, Snapshot snapshot)
{
	CatalogLookup deployed = { .table = "deployed", .index = "deployed_pkey" };

	lookup_key_int8(&deployed, DEPLOYED_MODEL_ID, model_id);
	lookup_begin(&deployed, snapshot);
	HeapTuple row = lookup_next(&deployed);
	int64 version_id =
		row == NULL ? 0 : DatumGetInt64(lookup_value(&deployed, row, DEPLOYED_VERSION_ID));
	lookup_end(&deployed);
	return version_id;
}

/* Fill version from the row that the lookup's keys name; false when there is none. */
static bool
find_version(CatalogLookup *versions, Snapshot snapshot, CatalogVersion *version)
{
	lookup_begin(versions, snapshot);
	HeapTuple row = lookup_next(versions);
	bool found = row != NULL;
	if (found)
	{
		version->version_id = DatumGetInt64(lookup_value(versions, row, VERSIONS_VERSION_ID));
		version->model_id = DatumGetInt64(lookup_value(versions, row, VERSIONS_MODEL_ID));
		version->version = DatumGetInt32(lookup_value(versions, row, VERSIONS_VERSION));
		version->image_bytes = DatumGetInt64(lookup_value(versions, row, VERSIONS_IMAGE_BYTES));
		version->image_crc =
			(uint32) DatumGetInt64(lookup_value(versions, row, VERSIONS_IMAGE_CRC));
	}
	lookup_end(versions);
	return found;
}

/* The version that the model's pointer leads to; false when nothing is deployed. */
static bool
find_deployed(int64 model_id, Snapshot snapshot, CatalogVersion *version)
{
	CatalogLookup versions = { .table = "versions", .index = "versions_pkey" };
	int64 version_id = find_pointer(model_id, snapshot);

	if (version_id == 0)
		return false;
	lookup_key_int8(&versions, VERSIONS_VERSION_ID, version_id);
	return find_version(&versions, snapshot, version);
}

void
catalog_resolve(const char *reference, CatalogVersion *version)
{
	int32 wanted;
	char *name = catalog_split_reference(reference, &wanted);
	Snapshot snapshot = GetActiveSnapshot();
	int64 model_id;
	char *owner;

	if (!find_model_row(name, snapshot, &model_id, &owner))
		no_such_model(name);
	if (!may_use(GetUserId(), PGML_PRIV_PREDICT, model_id, owner, snapshot))
		refuse(GetUserId(), name, owner, PGML_PRIV_PREDICT);
	if (wanted != 0)
	{
		CatalogLookup versions = { .table = "versions", .index = "versions_model_id_version_key" };

		lookup_key_int8(&versions, VERSIONS_MODEL_ID, model_id);
		lookup_key_int4(&versions, VERSIONS_VERSION, wanted);
		if (!find_version(&versions, snapshot, version))
			catalog_no_such_version(name, model_id, wanted);
	}
	else if (!find_deployed(model_id, snapshot, version))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no version of model \"%s\" is deployed", name),
				 errhint("Deploy one: SELECT automl_deploy(%s).", quote_literal_cstr(name))));
	pfree(name);
	pfree(owner);
}

bool
catalog_deployed(int64 model_id, bool lock, CatalogVersion *version)
{
	static CatalogStatement hold = {
		.sql = "SELECT FROM pgml_auto.deployed WHERE model_id = $1 FOR UPDATE",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;

	if (lock)
	{
		catalog_enter(&scope);
		catalog_run(&hold, values, NULL, false);
		catalog_leave(&scope);
	}
	/* After a wait the pointer is read anew: it may lead elsewhere. */
	CommandCounterIncrement();
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	bool found = find_deployed(model_id, snapshot, version);
	UnregisterSnapshot(snapshot);
	return found;
}

bool
catalog_stored_source(int64 model_id, CatalogSource *source)
{
	static CatalogStatement newest = {
		.sql = "SELECT v.version, v.source, v.search_path, v.settings FROM pgml_auto.versions v"
			   " LEFT JOIN pgml_auto.deployed d ON d.version_id = v.version_id"
			   " WHERE v.model_id = $1 ORDER BY d.version_id IS NULL, v.version DESC LIMIT 1",
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

void
catalog_execution(const CatalogVersion *version, CatalogExecution *execution)
{
	static CatalogStatement stored = {
		.sql = "SELECT source, search_path, settings, built_by, execution FROM pgml_auto.versions"
			   " WHERE version_id = $1",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(version->version_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	if (catalog_run(&stored, values, NULL, true) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("version %d does not exist any more", version->version)));
	execution->source = catalog_text(&scope, 0, 1);
	execution->search_path = catalog_text(&scope, 0, 2);
	execution->settings = catalog_jsonb(&scope, 0, 3);
	execution->built_by = catalog_text(&scope, 0, 4);
	execution->execution = catalog_jsonb(&scope, 0, 5);
	catalog_leave(&scope);
}

/* Bytes of a chunk that are copied at a time: small enough that no memory is mapped for them. */
#define IMAGE_SLICE (64 * 1024)

/* A scan over the chunks of a version, in order. */
static void
begin_chunks(CatalogLookup *chunks, const CatalogVersion *version, Snapshot snapshot)
{
	*chunks = (CatalogLookup){ .table = "image_chunks", .index = "image_chunks_pkey" };
	lookup_key_int8(chunks, IMAGE_CHUNKS_VERSION_ID, version->version_id);
	lookup_begin(chunks, snapshot);
}

/* Length of the chunk in a row, without reading it. */
static int64
chunk_length(const CatalogLookup *chunks, HeapTuple row)
{
	return (int64) toast_raw_datum_size(lookup_value(chunks, row, IMAGE_CHUNKS_DATA)) - VARHDRSZ;
}

/* Check, before memory is asked for, that the chunks are as many and as long as the version says; else what is wrong. */
static const char *
check_chunks(const CatalogVersion *version, Snapshot snapshot)
{
	CatalogLookup chunks;
	HeapTuple row;
	int64 bytes = 0;
	int32 n = 0;
	bool in_order = version->image_bytes > 0;

	begin_chunks(&chunks, version, snapshot);
	while ((row = lookup_next(&chunks)) != NULL)
	{
		int64 left = version->image_bytes - bytes;

		in_order = in_order && DatumGetInt32(lookup_value(&chunks, row, IMAGE_CHUNKS_CHUNK)) == n &&
				   chunk_length(&chunks, row) == Min(left, CATALOG_CHUNK);
		bytes += chunk_length(&chunks, row);
		n++;
	}
	lookup_end(&chunks);
	if (in_order && bytes == version->image_bytes)
		return NULL;
	return psprintf("It has " INT64_FORMAT " bytes in %d chunks where " INT64_FORMAT
					" bytes are expected.",
					bytes, n, version->image_bytes);
}

/* Copy the chunks, which have been checked, to their places. */
static void
copy_chunks(const CatalogVersion *version, Snapshot snapshot, uint8 *image)
{
	CatalogLookup chunks;
	HeapTuple row;

	begin_chunks(&chunks, version, snapshot);
	while ((row = lookup_next(&chunks)) != NULL)
	{
		int64 length = chunk_length(&chunks, row);
		struct varlena *data =
			(struct varlena *) DatumGetPointer(lookup_value(&chunks, row, IMAGE_CHUNKS_DATA));

		for (int64 at = 0; at < length; at += IMAGE_SLICE)
		{
			int32 size = (int32) Min(length - at, IMAGE_SLICE);
			struct varlena *slice = detoast_attr_slice(data, (int32) at, size);

			CHECK_FOR_INTERRUPTS();
			memcpy(image, VARDATA_ANY(slice), size);
			image += size;
			pfree(slice);
		}
	}
	lookup_end(&chunks);
}

/* All bytes of the image, or NULL and what is wrong with it. */
static uint8 *
read_image(const CatalogVersion *version, MemoryContext context, Snapshot snapshot,
		   const char **damage)
{
	uint8 *image;

	*damage = check_chunks(version, snapshot);
	if (*damage != NULL)
		return NULL;
	image = MemoryContextAllocExtended(context, version->image_bytes, MCXT_ALLOC_HUGE);
	copy_chunks(version, snapshot, image);
	return image;
}

/* XX001 that says what is wrong with the chunks. */
static void
damaged_image(const CatalogVersion *version, const char *damage)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("stored image of model version %d is damaged", version->version),
					errdetail("%s", damage),
					errhint("Deploy another version with automl_deploy, or train again.")));
}

uint8 *
catalog_read_image(const CatalogVersion *version, MemoryContext context)
{
	const char *damage;
	uint8 *image = read_image(version, context, GetActiveSnapshot(), &damage);

	if (image == NULL)
		damaged_image(version, damage);
	return image;
}

void
catalog_copy_image(const CatalogVersion *version, uint8 *image)
{
	Snapshot snapshot = GetActiveSnapshot();
	const char *damage = check_chunks(version, snapshot);

	if (damage != NULL)
		damaged_image(version, damage);
	copy_chunks(version, snapshot, image);
}

bool
catalog_image_is_committed(const CatalogVersion *version)
{
	CatalogLookup chunks;
	HeapTuple row;
	bool own = false;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return true; /* has written nothing */
	begin_chunks(&chunks, version, GetActiveSnapshot());
	while (!own && (row = lookup_next(&chunks)) != NULL)
		own = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(row->t_data));
	lookup_end(&chunks);
	return !own;
}

uint8 *
catalog_read_champion(const CatalogVersion *version, MemoryContext context)
{
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	const char *damage;
	uint8 *image = read_image(version, context, snapshot, &damage);

	UnregisterSnapshot(snapshot);
	return image;
}
