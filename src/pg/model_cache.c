/*
 * model_cache.c - the models a session has loaded, and what their names mean at the moment.
 *
 * Two caches, both local to the backend.
 *
 * Images.  A version never changes, so a loaded image stays valid for ever; the cache is bounded by
 * pgml_auto.model_cache_size and drops the least recently used images that no call site holds.  The
 * key holds the registry's OID and the image's checksum besides the version number, because DROP
 * EXTENSION and CREATE EXTENSION start the numbers again.  Where the library is preloaded, the bytes
 * of large images lie in memory that all sessions share (shared_images.c), and what is cached here
 * is a mapping of them.  After a change of the registry a session lets go of the mappings it does
 * not use, since what was replaced or dropped would otherwise stay as long as the session.
 *
 * References.  What 'churn' means can change at any time, and so can the right to use it.  One rule
 * keeps the answer equal to what reading pgml_auto.deployed with the active snapshot would give:
 *
 *   - An answer holds for the snapshot it was read with, whatever happens meanwhile; so one
 *     statement sees one version.
 *   - For a later snapshot it holds as long as no invalidation has arrived.  Every change of the
 *     registry invalidates the relcache entry of pgml_auto.deployed (PostgreSQL sends that at
 *     COMMIT, replays it on standbys, and applies it locally at each command of the changing
 *     transaction and again when that rolls back); changes of roles arrive through the syscache.  A
 *     new answer is shared between statements only when it was read with a snapshot that was still
 *     the newest afterwards: an old snapshot's answer may be outdated already, and the message
 *     saying so processed before.
 *   - For an earlier snapshot (a cursor opened before the change) it does not hold.
 *   - In REPEATABLE READ and SERIALIZABLE answers are not shared: between a commit becoming visible
 *     and its message arriving there is an instant in which a shared answer could contradict the
 *     transaction's snapshot for good. In READ COMMITTED that instant concerns one statement,
 *     before the change has been reported as committed.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/hash.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/model_cache.h"
#include "pg/shared_images.h"

#define MAX_SHARED_REFERENCES 256
#define MAX_REFERENCE_LENGTH  (NAMEDATALEN + 16) /* a name, '@' and a version */

/* Key of a loaded image; cleared before it is filled, since it is hashed as bytes. */
typedef struct ModelKey
{
	int64 version_id;
	int64 image_bytes;
	uint32 image_crc;
	Oid registry;
} ModelKey;

typedef struct ModelEntry
{
	ModelKey key;
	PgmlModel *model;
} ModelEntry;

/* Key of a shared answer: the reference padded with zeros, and for whom privileges were checked. */
typedef struct ReferenceKey
{
	Oid user;
	char reference[MAX_REFERENCE_LENGTH];
} ReferenceKey;

typedef struct ReferenceEntry
{
	ReferenceKey key;
	PgmlResolved resolved;          /* what it was read from */
	LocalTransactionId transaction; /* that read it */
	PgmlResolved used;              /* what the statement that used it last sees, */
	LocalTransactionId used_in;     /* and its transaction */
	CatalogVersion version;
} ReferenceEntry;

static int model_cache_size = 64 * 1024; /* kB */

static MemoryContext cache_context; /* parent of everything below */
static HTAB *models;
static HTAB *references;
static ReferenceEntry *last_reference; /* the one asked for last, for sessions that use one model */
static dlist_head lru = DLIST_STATIC_INIT(lru);
static int64 total_bytes;
static uint64 last_serial;

static Oid registry_relid;    /* pgml_auto.deployed, as of the last resolution */
static uint64 generation = 1; /* counts invalidations that may change what a reference means */
static uint64 swept;          /* generation when shared images were last let go of */
static uint64 rollbacks; /* counts aborted subtransactions: command numbers may repeat after one */

/* Relcache callback: the registry has changed, or everything may have (InvalidOid). */
static void
registry_changed(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relid == registry_relid)
		generation++;
}

/* Syscache callback: a role or a membership has changed, and privileges with it. */
static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	generation++;
}

/*
 * Count rolled back subtransactions, so that a snapshot taken before one is never taken for one
 * taken after it.
 */
static void
subtransaction_ended(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	(void) self;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		rollbacks++;
}

void
pgml_model_cache_init(void)
{
	DefineCustomIntVariable(
		"pgml_auto.model_cache_size", "Memory that loaded models may take in each session.",
		"Models in use stay loaded even beyond it; the others go, least recently used first.",
		&model_cache_size, 64 * 1024, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	CacheRegisterRelcacheCallback(registry_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	RegisterSubXactCallback(subtransaction_ended, NULL);
}

/* Make the hash tables on first use. */
static void
create_caches(void)
{
	HASHCTL model_ctl = { .keysize = sizeof(ModelKey), .entrysize = sizeof(ModelEntry) };
	HASHCTL reference_ctl = { .keysize = sizeof(ReferenceKey),
							  .entrysize = sizeof(ReferenceEntry) };

	if (cache_context == NULL)
		cache_context =
			AllocSetContextCreate(TopMemoryContext, "pgml_auto model cache", ALLOCSET_SMALL_SIZES);
	model_ctl.hcxt = reference_ctl.hcxt = cache_context;
	if (models == NULL)
		models =
			hash_create("pgml_auto models", 16, &model_ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (references == NULL)
		references = hash_create("pgml_auto model references", 16, &reference_ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* ---- images -------------------------------------------------------------------------------- */

static ModelKey
model_key(const CatalogVersion *version, Oid registry)
{
	ModelKey key;

	memset(&key, 0, sizeof(key));
	key.version_id = version->version_id;
	key.image_bytes = version->image_bytes;
	key.image_crc = version->image_crc;
	key.registry = registry;
	return key;
}

/*
 * Context callback of a model: deleting the context alone would leak its arenas, which are
 * malloc'ed, and keep the mapping.
 */
static void
destroy_model(void *arg)
{
	PgmlModel *model = arg;

	pgml_arena_destroy(model->scorer_arena);
	model->scorer_arena = NULL;
	pgml_arena_destroy(model->arena);
	model->arena = NULL;
	if (model->form != NULL)
		dsm_detach(model->form);
	model->form = NULL;
	if (model->segment != NULL)
		dsm_detach(model->segment);
	model->segment = NULL;
}

/* Drop an unused model. */
static void
drop_model(PgmlModel *model)
{
	ModelKey key = model_key(&model->version, model->registry);

	hash_search(models, &key, HASH_REMOVE, NULL);
	dlist_delete(&model->lru);
	total_bytes -= model->bytes;
	MemoryContextDelete(model->context);
}

/* Drop unused models, oldest first, until the cache is within its bound. */
static void
evict_models(void)
{
	int64 limit = (int64) model_cache_size * 1024;
	dlist_node *node = dlist_is_empty(&lru) ? NULL : dlist_tail_node(&lru);

	while (total_bytes > limit && node != NULL)
	{
		PgmlModel *model = dlist_container(PgmlModel, lru, node);

		node = dlist_has_prev(&lru, node) ? dlist_prev_node(&lru, node) : NULL;
		if (model->refs == 0)
			drop_model(model);
	}
}

/* After a change of the registry, drop what is unused and shared. */
static void
sweep_shared_models(void)
{
	dlist_mutable_iter iter;

	if (swept == generation)
		return;
	swept = generation;
	dlist_foreach_modify(iter, &lru)
	{
		PgmlModel *model = dlist_container(PgmlModel, lru, iter.cur);

		if (model->refs == 0 && model->segment != NULL)
			drop_model(model);
	}
}

static void
release_model(PgmlModel *model)
{
	model->refs--;
	if (total_bytes > (int64) model_cache_size * 1024)
		evict_models();
}

/* pgml_image_open() or pgml_image_attach(). */
typedef PgmlStatus (*ImageOpener)(const uint8_t *bytes, size_t len, PgmlArena *arena,
								  PgmlImage *image, PgmlError *err);

/* Describe the image in model; on failure everything is freed before the error is raised. */
static void
open_image(PgmlModel *model, const uint8 *bytes, ImageOpener opener, const char *reference)
{
	PgmlError error = { .status = PGML_OK };

	/*
	 * The arrays are small beside the image; the bound stops a damaged one from asking for the
	 * moon.
	 */
	pgml_budget_init(&model->budget, 4 * model->version.image_bytes + 16 * 1024 * 1024);
	model->arena = pgml_arena_create(&model->budget);
	if (model->arena == NULL)
		pgml_fail(&error, PGML_ERR_NOMEM, "out of memory");
	else
		opener(bytes, (size_t) model->version.image_bytes, model->arena, &model->image, &error);
	if (error.status != PGML_OK)
	{
		if (error.detail[0] == '\0')
			pgml_fail_detail(&error, "It is the image of model \"%s\".", reference);
		MemoryContextDelete(model->context);
		pgml_raise(&error);
	}
}

/* Fill a segment that is ours to load, and verify it: as an image, and as the one its key names. */
static void
load_shared_image(PgmlModel *model, uint8 *bytes, const char *reference)
{
	catalog_copy_image(&model->version, bytes);
	open_image(model, bytes, pgml_image_open, reference);
	if (pgml_crc32c(0, bytes, (size_t) model->version.image_bytes) != model->version.image_crc)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored image of model version %d is damaged", model->version.version),
				 errdetail("Its checksum is not that of the version."),
				 errhint("Deploy another version with automl_deploy, or train again.")));
}

/* Open the copy that all sessions share, loading it when we are the first; false: there is none. */
static bool
open_shared_image(PgmlModel *model, const char *reference)
{
	PgmlSharedImage shared;
	PgmlSharedKey key;

	if (!pgml_shared_image_wanted(model->version.image_bytes) ||
		!catalog_image_is_committed(&model->version))
		return false;
	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.registry = model->registry;
	key.version_id = model->version.version_id;
	key.image_bytes = model->version.image_bytes;
	key.image_crc = model->version.image_crc;
	if (!pgml_shared_image_map(&key, &shared))
		return false;
	if (shared.verified)
		open_image(model, shared.bytes, pgml_image_attach, reference);
	else
		load_shared_image(model, shared.bytes, reference);
	pgml_shared_image_keep(&shared);
	model->segment = shared.segment;
	model->slot = shared.slot;
	return true;
}

/*
 * Find or read a version's image, and verify it.  Built in a child of the current context, and moved to the
 * cache when nothing can fail any more, so that an error leaves nothing behind.
 */
static PgmlModel *
load_model(const CatalogVersion *version, Oid registry, const char *reference)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto model", ALLOCSET_SMALL_SIZES);
	PgmlModel *model = MemoryContextAllocZero(context, sizeof(PgmlModel));
	MemoryContextCallback *callback =
		MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
	char name[64];

	snprintf(name, sizeof(name), "version_id " INT64_FORMAT, version->version_id);
	MemoryContextCopyAndSetIdentifier(context, name);
	model->context = context;
	model->version = *version;
	model->registry = registry;
	model->serial = ++last_serial;
	dlist_init(&model->bindings);
	callback->func = destroy_model;
	callback->arg = model;
	MemoryContextRegisterResetCallback(context, callback);
	model->bytes = sizeof(PgmlModel);
	if (!open_shared_image(model, reference))
	{
		open_image(model, catalog_read_image(version, context), pgml_image_open, reference);
		model->bytes += version->image_bytes;
	}
	model->bytes += model->budget.used;
	return model;
}

/*
 * The model of a version, NULL when it is not loaded.  The one used last is looked at first: with many sessions
 * on a machine a hash table that was used a while ago is no longer in the processor's cache.
 */
static PgmlModel *
find_model(const ModelKey *key)
{
	ModelEntry *entry;

	if (!dlist_is_empty(&lru))
	{
		PgmlModel *model = dlist_head_element(PgmlModel, lru, &lru);
		ModelKey last = model_key(&model->version, model->registry);

		if (memcmp(&last, key, sizeof(last)) == 0)
			return model;
	}
	entry = hash_search(models, key, HASH_FIND, NULL);
	return entry != NULL ? entry->model : NULL;
}

/* The loaded model of a version, pinned; read from the registry when the cache does not have it. */
static PgmlModel *
acquire_model(const CatalogVersion *version, Oid registry, const char *reference)
{
	ModelKey key = model_key(version, registry);
	PgmlModel *model = find_model(&key);

	if (model == NULL)
	{
		ModelEntry *entry;

		model = load_model(version, registry, reference);
		entry = hash_search(models, &key, HASH_ENTER, NULL);
		entry->model = model;
		MemoryContextSetParent(model->context, cache_context);
		dlist_push_head(&lru, &model->lru);
		total_bytes += model->bytes;
		model->refs++;
		evict_models();
	}
	else
	{
		model->refs++;
		dlist_move_head(&lru, &model->lru);
	}
	sweep_shared_models();
	return model;
}

void
pgml_model_count_bytes(PgmlModel *model, int64 bytes)
{
	model->bytes += bytes;
	total_bytes += bytes;
}

/* ---- references ---------------------------------------------------------------------------- */

/* The state that a snapshot shows, at the current generation. */
static PgmlResolved
snapshot_state(Snapshot snapshot)
{
	return (PgmlResolved){ .generation = generation,
						   .rollbacks = rollbacks,
						   .xmax = snapshot->xmax,
						   .running = snapshot->takenDuringRecovery ? (uint32) snapshot->subxcnt :
																	  snapshot->xcnt,
						   .curcid = snapshot->curcid };
}

/* Whether two states show the same commits of other transactions. */
static inline bool
same_commits(const PgmlResolved *a, const PgmlResolved *b)
{
	return a->xmax == b->xmax && a->running == b->running;
}

/* Whether two states show the same rows. */
static inline bool
same_rows(const PgmlResolved *a, const PgmlResolved *b)
{
	return same_commits(a, b) && a->curcid == b->curcid && a->rollbacks == b->rollbacks;
}

/* Whether state a shows all commits that b shows. */
static inline bool
not_before(const PgmlResolved *a, const PgmlResolved *b)
{
	return TransactionIdFollows(a->xmax, b->xmax) ||
		   (a->xmax == b->xmax && a->running <= b->running);
}

/* The shared answer for a reference, NULL when there is none; the one asked for last is looked at first. */
static ReferenceEntry *
find_answer(const ReferenceKey *key)
{
	if (last_reference == NULL || memcmp(&last_reference->key, key, sizeof(*key)) != 0)
		last_reference = hash_search(references, key, HASH_FIND, NULL);
	return last_reference;
}

/* Whether a shared answer holds for the active snapshot; invalidations have been accepted. */
static bool
shared_answer_holds(const ReferenceEntry *entry, const PgmlResolved *now)
{
	LocalTransactionId transaction = pgml_my_lxid();

	if (entry->used_in == transaction && same_rows(&entry->used, now))
		return true; /* another call in the same statement */
	if (entry->resolved.generation != now->generation || !not_before(now, &entry->resolved))
		return false;
	return entry->transaction != transaction ||
		   (entry->resolved.curcid <= now->curcid && entry->resolved.rollbacks == now->rollbacks);
}

/*
 * Whether nothing has been committed, and no command finished in this transaction, since the
 * snapshot of the answer was taken.  Parallel workers may not take snapshots, and do not live long
 * enough to profit.
 */
static bool
is_newest_state(const PgmlResolved *state)
{
	PgmlResolved newest;

	if (IsInParallelMode() || state->curcid != GetCurrentCommandId(false))
		return false;
	newest = snapshot_state(GetLatestSnapshot());
	return same_commits(&newest, state);
}

/* Keep an answer for later statements. */
static void
share_answer(const ReferenceKey *key, const PgmlResolved *state, const CatalogVersion *version)
{
	ReferenceEntry *entry;

	if (hash_get_num_entries(references) >= MAX_SHARED_REFERENCES)
	{
		hash_destroy(references);
		references = NULL;
		last_reference = NULL;
		create_caches();
	}
	entry = hash_search(references, key, HASH_ENTER, NULL);
	entry->resolved = entry->used = *state;
	entry->transaction = entry->used_in = pgml_my_lxid();
	entry->version = *version;
}

/*
 * The version a reference means to the active snapshot and current user: the shared answer, or the
 * catalog's.  state->generation becomes 0, which no later state has, when the answer holds for this
 * snapshot only; an answer read before an invalidation that came meanwhile keeps the older number.
 */
static CatalogVersion
resolve_reference(const char *reference, Size length, PgmlResolved *state)
{
	bool shareable = length < MAX_REFERENCE_LENGTH && !IsolationUsesXactSnapshot();
	ReferenceKey key;
	CatalogVersion version;

	AcceptInvalidationMessages();
	*state = snapshot_state(GetActiveSnapshot());
	memset(&key, 0, sizeof(key));
	if (shareable)
	{
		ReferenceEntry *entry;

		key.user = GetUserId();
		memcpy(key.reference, reference, length);
		entry = find_answer(&key);
		if (entry != NULL && shared_answer_holds(entry, state))
		{
			entry->used = *state;
			entry->used_in = pgml_my_lxid();
			state->generation = entry->resolved.generation;
			return entry->version;
		}
	}
	registry_relid = catalog_extension()->deployed_table;
	catalog_resolve(reference, &version);
	if (!is_newest_state(state))
		state->generation = 0;
	else if (shareable)
		share_answer(&key, state, &version);
	return version;
}

/* ---- call sites ---------------------------------------------------------------------------- */

void
pgml_model_ref_release(PgmlModelRef *ref)
{
	PgmlModel *model = ref->model;

	ref->model = NULL;
	if (model != NULL)
		release_model(model);
}

/* Context callback of a hold. */
static void
unpin_model(void *arg)
{
	pgml_model_ref_release(arg);
}

PgmlModelRef *
pgml_model_ref_create(MemoryContext context)
{
	PgmlModelRef *ref = MemoryContextAllocZero(context, sizeof(PgmlModelRef));

	ref->context = context;
	ref->unpin.func = unpin_model;
	ref->unpin.arg = ref;
	MemoryContextRegisterResetCallback(context, &ref->unpin);
	create_caches();
	return ref;
}

/*
 * Whether what the call site holds is still the answer: the path taken for every row but the first.
 */
static bool
hold_is_current(PgmlModelRef *ref, const char *reference, Size length)
{
	PgmlResolved now;

	if (ref->model == NULL || ref->length != length || ref->user != GetUserId() ||
		memcmp(ref->reference, reference, length) != 0)
		return false;
	now = snapshot_state(GetActiveSnapshot());
	if (same_rows(&ref->resolved, &now))
		return true;
	AcceptInvalidationMessages();
	if (ref->resolved.generation != generation)
		return false;
	ref->resolved = now;
	return true;
}

/* The reference as the hold keeps it: what it has already, or a new one. */
static char *
reference_name(PgmlModelRef *ref, const char *reference, Size length)
{
	char *name;

	if (ref->reference != NULL && ref->length == length &&
		memcmp(ref->reference, reference, length) == 0)
		return ref->reference;
	name = MemoryContextAlloc(ref->context, length + 1);
	memcpy(name, reference, length);
	name[length] = '\0';
	return name;
}

/* Point the hold at what the reference means now. */
static void
refresh_hold(PgmlModelRef *ref, const char *reference, Size length)
{
	char *name = reference_name(ref, reference, length);
	PgmlResolved state;
	CatalogVersion version;
	PgmlModel *model;

	version = resolve_reference(name, length, &state);
	model = acquire_model(&version, registry_relid, name);
	if (ref->model != NULL)
		release_model(ref->model);
	if (ref->reference != NULL && ref->reference != name)
		pfree(ref->reference);
	ref->model = model;
	ref->reference = name;
	ref->length = length;
	ref->user = GetUserId();
	ref->resolved = state;
}

PgmlModel *
pgml_model_ref_get(PgmlModelRef *ref, const char *reference, Size length)
{
	bool pushed = false;

	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	if (!hold_is_current(ref, reference, length))
		refresh_hold(ref, reference, length);
	if (pushed)
		PopActiveSnapshot();
	return ref->model;
}
