/*
 * shared_images.c - one copy of a large model image for all sessions of the server.
 *
 * A table of fixed size in shared memory says which images there are; each lies in a dynamic shared memory segment of its own
 * that is pinned, so that it outlives the session that made it.  A slot of the table is
 *
 *   free
 *   loading   by the one session whose segment it names; others sleep on its condition variable
 *   ready     its bytes are verified and never change again
 *
 * Two things keep the table true whatever happens to a session.  A segment's detach callback, which PostgreSQL runs when a
 * transaction fails, a backend ends or a model leaves the session's cache, takes the session off the slot, or frees the
 * slot when the session was still loading.  And a crash that runs no callbacks makes the postmaster throw away all
 * segments and start with an empty table.
 *
 * Only committed versions come here (model_cache.c asks), and only bytes whose checksum is that of the version's row, so
 * that the key stands for the bytes.  After a crash sequences may give a number of a version that was never committed a
 * second time; the table is empty then.
 *
 * A ready slot may have a second segment, with the prepared form of the image.  A session that has the image mapped makes one when it needs
 * it and nobody has; several may do so at a time, the first to offer it wins, and nobody waits.  It stays as long as the image.
 *
 * Beyond pgml_auto.shared_cache_size images that no session has mapped go, least recently used first.  Images in use stay:
 * were they counted out, the next version would be loaded once in each session instead of once.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "pg/compat.h"
#include "pg/shared_images.h"

#define TRANCHE          "pgml_auto_images"
#define SLOTS            128
#define MIN_SHARED_BYTES (32 * 1024) /* below, a copy costs less than a segment */
#define DEFAULT_SIZE_KB  (1024 * 1024)
#define MAX_WAIT_MS      30000 /* for a loader, which may wait for a lock that we hold */

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_LOADING,
	SLOT_READY
} SlotState;

typedef struct ImageSlot
{
	SlotState state;
	PgmlSharedKey key;
	dsm_handle handle; /* of a ready image */
	dsm_handle form;   /* of its prepared form; DSM_HANDLE_INVALID: none */
	int64 form_bytes;
	int sessions;    /* that have it mapped */
	uint64 last_use; /* by the table's clock */
	ConditionVariable loaded;
} ImageSlot;

/* In shared memory, protected by lock. */
typedef struct ImageTable
{
	LWLock *lock;
	uint64 clock;
	int64 bytes; /* of all slots that are not free */
	ImageSlot slots[SLOTS];
} ImageTable;

static ImageTable *table; /* NULL without preloading */
static int shared_cache_size = DEFAULT_SIZE_KB;
static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_shared_images);

/* ---- start --------------------------------------------------------------------------------- */

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(ImageTable)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* Also after a crash, when the postmaster makes shared memory anew. */
static void
make_table(void)
{
	bool found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitStruct("pgml_auto shared images", sizeof(ImageTable), &found);
	if (!found)
	{
		memset(table, 0, sizeof(ImageTable));
		table->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		for (int i = 0; i < SLOTS; i++)
			ConditionVariableInit(&table->slots[i].loaded);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
pgml_shared_images_init(void)
{
	DefineCustomIntVariable(
		"pgml_auto.shared_cache_size", "Memory for models that all sessions share.",
		"Models in use stay even beyond it; the others go, least recently used first. Needs "
		"shared_preload_libraries = 'pgml_auto'; 0 shares nothing.",
		&shared_cache_size, DEFAULT_SIZE_KB, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL,
		NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = make_table;
}

/* ---- slots --------------------------------------------------------------------------------- */

static int64
limit_bytes(void)
{
	return (int64) shared_cache_size * 1024;
}

bool
pgml_shared_image_wanted(int64 image_bytes)
{
	return table != NULL && image_bytes >= MIN_SHARED_BYTES;
}

/* The least recently used image that no session has mapped; NULL: none.  Under the lock. */
static ImageSlot *
find_idle(void)
{
	ImageSlot *oldest = NULL;

	for (int i = 0; i < SLOTS; i++)
	{
		ImageSlot *slot = &table->slots[i];

		if (slot->state == SLOT_READY && slot->sessions == 0 &&
			(oldest == NULL || slot->last_use < oldest->last_use))
			oldest = slot;
	}
	return oldest;
}

/* The segments of a slot, to be unpinned when it is free. */
typedef struct SlotSegments
{
	dsm_handle image;
	dsm_handle form;
} SlotSegments;

static const SlotSegments no_segments = { DSM_HANDLE_INVALID, DSM_HANDLE_INVALID };

/* Under the lock, exclusively; returns what the caller unpins after that. */
static SlotSegments
free_slot(ImageSlot *slot)
{
	SlotSegments segments = { slot->handle, slot->form };

	slot->state = SLOT_FREE;
	table->bytes -= slot->key.image_bytes + slot->form_bytes;
	slot->form = DSM_HANDLE_INVALID;
	slot->form_bytes = 0;
	return segments;
}

/* Give segments back to the system, not under the lock. */
static void
unpin(SlotSegments segments)
{
	if (segments.form != DSM_HANDLE_INVALID)
		dsm_unpin_segment(segments.form);
	if (segments.image != DSM_HANDLE_INVALID)
		dsm_unpin_segment(segments.image);
}

/*
 * Drop images that nobody has mapped until the others are within the bound.  The lock is not held while the system frees
 * memory.
 */
static void
evict_idle(void)
{
	for (;;)
	{
		SlotSegments segments = no_segments;
		ImageSlot *slot;

		LWLockAcquire(table->lock, LW_EXCLUSIVE);
		slot = table->bytes > limit_bytes() ? find_idle() : NULL;
		if (slot != NULL)
			segments = free_slot(slot);
		LWLockRelease(table->lock);
		if (slot == NULL)
			return;
		unpin(segments);
	}
}

/* A free slot, or that of an idle image whose segments then are to be unpinned; NULL: all are in use.  Under the lock. */
static ImageSlot *
take_slot(SlotSegments *segments)
{
	ImageSlot *idle;

	for (int i = 0; i < SLOTS; i++)
		if (table->slots[i].state == SLOT_FREE)
			return &table->slots[i];
	idle = find_idle();
	if (idle != NULL)
		*segments = free_slot(idle);
	return idle;
}

static ImageSlot *
find_slot(const PgmlSharedKey *key)
{
	for (int i = 0; i < SLOTS; i++)
		if (table->slots[i].state != SLOT_FREE &&
			memcmp(&table->slots[i].key, key, sizeof(*key)) == 0)
			return &table->slots[i];
	return NULL;
}

/* What find_or_claim() has done. */
typedef enum Claim
{
	CLAIM_ATTACH, /* the image is there, and we are counted among its sessions */
	CLAIM_LOAD,   /* nobody had it: the slot is ours to load */
	CLAIM_WAIT,   /* another session loads it */
	CLAIM_NONE    /* no slot */
} Claim;

/* Find the image's slot, or claim one for it. */
static Claim
find_or_claim(const PgmlSharedKey *key, ImageSlot **found)
{
	SlotSegments segments = no_segments;
	ImageSlot *slot;
	Claim claim;

	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	slot = find_slot(key);
	if (slot == NULL)
	{
		slot = take_slot(&segments);
		claim = slot != NULL ? CLAIM_LOAD : CLAIM_NONE;
		if (slot != NULL)
		{
			slot->state = SLOT_LOADING;
			slot->key = *key;
			slot->handle = slot->form = DSM_HANDLE_INVALID;
			slot->form_bytes = 0;
			slot->sessions = 1;
			slot->last_use = ++table->clock;
			table->bytes += key->image_bytes;
		}
	}
	else if (slot->state == SLOT_LOADING)
		claim = CLAIM_WAIT;
	else
	{
		slot->sessions++;
		slot->last_use = ++table->clock;
		claim = CLAIM_ATTACH;
	}
	LWLockRelease(table->lock);
	unpin(segments);
	*found = slot;
	return claim;
}

/* Take this session off a slot; one that it was loading becomes free, and those who wait look again. */
static void
leave_slot(ImageSlot *slot)
{
	bool loading;

	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	loading = slot->state == SLOT_LOADING;
	if (loading)
		free_slot(slot);
	else
	{
		slot->sessions--;
		slot->last_use = ++table->clock;
	}
	LWLockRelease(table->lock);
	if (loading)
		ConditionVariableBroadcast(&slot->loaded);
	evict_idle();
}

/* Callback of a segment that this session gives back, for whatever reason. */
static void
segment_detached(dsm_segment *segment, Datum slot)
{
	(void) segment;
	leave_slot(&table->slots[DatumGetInt32(slot)]);
}

static bool
is_loading(const ImageSlot *slot, const PgmlSharedKey *key)
{
	bool loading;

	LWLockAcquire(table->lock, LW_SHARED);
	loading = slot->state == SLOT_LOADING && memcmp(&slot->key, key, sizeof(*key)) == 0;
	LWLockRelease(table->lock);
	return loading;
}

/* Sleep until the image is no longer being loaded; false when that takes too long. */
static bool
wait_for_loader(ImageSlot *slot, const PgmlSharedKey *key)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MAX_WAIT_MS);
	bool loading;

	ConditionVariablePrepareToSleep(&slot->loaded);
	while ((loading = is_loading(slot, key)))
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			break;
		ConditionVariableTimedSleep(&slot->loaded, left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return !loading;
}

/* ---- segments ------------------------------------------------------------------------------ */

/*
 * Create a segment of `create` bytes, or attach to that of a handle when it is 0; NULL, with the reason in the log for
 * developers, when the system refuses or this session has it already.  Errors of the few functions called here can be caught
 * without a subtransaction: what they leave behind belongs to a resource owner of our own.  With a slot, the segment's end
 * takes this session off it.
 */
static dsm_segment *
open_segment(Size create, dsm_handle handle, ResourceOwner owner, const ImageSlot *slot)
{
	ResourceOwner outer = CurrentResourceOwner;
	MemoryContext context = CurrentMemoryContext;
	dsm_segment *volatile segment = NULL;
	volatile bool opened = false;

	CurrentResourceOwner = owner;
	PG_TRY();
	{
		if (create > 0)
			segment = dsm_create(create, DSM_CREATE_NULL_IF_MAXSEGMENTS);
		else if (dsm_find_mapping(handle) == NULL)
			segment = dsm_attach(handle);
		if (segment != NULL && slot != NULL)
			on_dsm_detach(segment, segment_detached, Int32GetDatum(slot - table->slots));
		opened = segment != NULL;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(DEBUG1, (errmsg_internal("model image is not shared: %s", error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	CurrentResourceOwner = outer;
	return opened ? segment : NULL;
}

/* Give back what an owner of ours has, which then is gone. */
static void
drop_owner(ResourceOwner owner)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, false, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
	ResourceOwnerDelete(owner);
}

/* Map the image for an owner; between the claim of a slot and the mapping, which gives it back on error, nothing may fail. */
static bool
map_image(const PgmlSharedKey *key, ResourceOwner owner, PgmlSharedImage *image)
{
	ImageSlot *slot;
	Claim claim;
	dsm_segment *segment;

	while ((claim = find_or_claim(key, &slot)) == CLAIM_WAIT)
		if (!wait_for_loader(slot, key))
			return false;
	if (claim == CLAIM_NONE)
		return false;
	evict_idle();
	segment = open_segment(claim == CLAIM_LOAD ? key->image_bytes : 0, slot->handle, owner, slot);
	if (segment == NULL)
	{
		leave_slot(slot);
		return false;
	}
	*image = (PgmlSharedImage){ .segment = segment,
								.bytes = dsm_segment_address(segment),
								.verified = claim == CLAIM_ATTACH,
								.slot = (int) (slot - table->slots),
								.owner = owner };
	return true;
}

bool
pgml_shared_image_map(const PgmlSharedKey *key, PgmlSharedImage *image)
{
	ResourceOwner owner;

	if (key->image_bytes > limit_bytes())
	{
		evict_idle(); /* the bound may have been lowered */
		return false;
	}
	owner = ResourceOwnerCreate(CurrentResourceOwner, "pgml_auto shared image");
	if (map_image(key, owner, image))
		return true;
	drop_owner(owner);
	return false;
}

void
pgml_shared_image_keep(PgmlSharedImage *image)
{
	ImageSlot *slot = &table->slots[image->slot];

	dsm_pin_mapping(image->segment);
	ResourceOwnerDelete(image->owner);
	image->owner = NULL;
	if (image->verified)
		return;
	dsm_pin_segment(image->segment);
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	slot->handle = dsm_segment_handle(image->segment);
	slot->state = SLOT_READY;
	LWLockRelease(table->lock);
	ConditionVariableBroadcast(&slot->loaded);
	image->verified = true;
}

/* ---- prepared forms ------------------------------------------------------------------------ */

/* The slot's image is mapped by this session, so that the slot stays what it is. */
static dsm_handle
form_of(const ImageSlot *slot)
{
	dsm_handle form;

	LWLockAcquire(table->lock, LW_SHARED);
	form = slot->form;
	LWLockRelease(table->lock);
	return form;
}

/* open_segment() for a form, whose mapping is kept. */
static dsm_segment *
open_form(Size create, dsm_handle handle)
{
	ResourceOwner owner = ResourceOwnerCreate(CurrentResourceOwner, "pgml_auto prepared form");
	dsm_segment *form = open_segment(create, handle, owner, NULL);

	if (form != NULL)
		dsm_pin_mapping(form);
	drop_owner(owner);
	return form;
}

dsm_segment *
pgml_shared_form_map(int slot)
{
	dsm_handle form = form_of(&table->slots[slot]);

	return form == DSM_HANDLE_INVALID ? NULL : open_form(0, form);
}

dsm_segment *
pgml_shared_form_create(int slot, Size size)
{
	if (table->slots[slot].key.image_bytes + (int64) size > limit_bytes())
		return NULL;
	return open_form(size, DSM_HANDLE_INVALID);
}

dsm_segment *
pgml_shared_form_offer(int slot, dsm_segment *form)
{
	ImageSlot *own = &table->slots[slot];
	int64 size = (int64) dsm_segment_map_length(form);
	bool first;
	dsm_segment *theirs;

	dsm_pin_segment(form);
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	first = own->form == DSM_HANDLE_INVALID;
	if (first)
	{
		own->form = dsm_segment_handle(form);
		own->form_bytes = size;
		table->bytes += size;
	}
	LWLockRelease(table->lock);
	if (first)
	{
		evict_idle();
		return form;
	}
	dsm_unpin_segment(dsm_segment_handle(form));
	theirs = pgml_shared_form_map(slot);
	if (theirs == NULL)
		return form;
	dsm_detach(form);
	return theirs;
}

/* ---- the view ------------------------------------------------------------------------------ */

/* pgml_auto.shared_image_slots() - what is shared, in all databases; nothing without the rights of pg_read_all_stats. */
Datum
pgml_auto_shared_images(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ImageSlot *slots;

	InitMaterializedSRF(fcinfo, 0);
	if (table == NULL || !has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		return (Datum) 0;
	slots = palloc(sizeof(table->slots));
	LWLockAcquire(table->lock, LW_SHARED);
	memcpy(slots, table->slots, sizeof(table->slots));
	LWLockRelease(table->lock);
	for (int i = 0; i < SLOTS; i++)
	{
		const ImageSlot *slot = &slots[i];
		Datum values[7] = {
			ObjectIdGetDatum(slot->key.database), ObjectIdGetDatum(slot->key.registry),
			Int64GetDatum(slot->key.version_id),  Int64GetDatum(slot->key.image_bytes),
			Int32GetDatum(slot->sessions),        BoolGetDatum(slot->state == SLOT_LOADING),
			Int64GetDatum(slot->form_bytes)
		};
		bool nulls[7] = { false };

		if (slot->state != SLOT_FREE)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
