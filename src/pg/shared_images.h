/*
 * shared_images.h - one copy of a large model image for all sessions of the server.
 *
 * Needs shared_preload_libraries = 'pgml_auto'; without it nothing is ever shared, and each session keeps its own copy as
 * model_cache.c does anyway.  Only bytes are shared: which version a name means and who may use it is decided before,
 * by each session for itself.
 */
#ifndef PGML_PG_SHARED_IMAGES_H
#define PGML_PG_SHARED_IMAGES_H

#include "postgres.h"
#include "storage/dsm.h"
#include "utils/resowner.h"

/*
 * What an image is known by.  Numbers of versions start again with CREATE EXTENSION and in a restored registry, which
 * the registry's OID, the length and the checksum tell apart.  Cleared before it is filled: compared as bytes.
 */
typedef struct PgmlSharedKey
{
	Oid database;
	Oid registry; /* OID of pgml_auto.deployed */
	int64 version_id;
	int64 image_bytes;
	uint32 image_crc; /* of all bytes, as in pgml_auto.versions */
} PgmlSharedKey;

/* An image in shared memory that this session has mapped. */
typedef struct PgmlSharedImage
{
	dsm_segment *segment; /* dsm_detach() gives it back */
	uint8 *bytes;         /* aligned to at least 8 */
	bool verified;        /* false: the caller fills and verifies the bytes, others wait for that */
	int slot;
	ResourceOwner owner; /* gives it back on error until pgml_shared_image_keep() */
} PgmlSharedImage;

/* Define pgml_auto.shared_cache_size and ask for shared memory when preloading; called once, from _PG_init. */
extern void pgml_shared_images_init(void);

/* Whether images of this length are shared at all: there is a table, and the length is worth a segment. */
extern bool pgml_shared_image_wanted(int64 image_bytes);

/*
 * Map the image, waiting while another session loads it; when nobody has it yet, make room for it and leave the
 * loading to the caller.  false when it cannot be shared now (beyond the bound, no memory, no slot): load a private copy.  On an
 * error before pgml_shared_image_keep() the mapping goes with the current resource owner, and whoever waits
 * loads it instead.
 */
extern bool pgml_shared_image_map(const PgmlSharedKey *key, PgmlSharedImage *image);

/* Keep the mapping beyond the transaction; bytes that the caller has just verified are published. Raises no error. */
extern void pgml_shared_image_keep(PgmlSharedImage *image);

/*
 * The prepared form that belongs to a slot whose image this session has mapped, mapped until dsm_detach(), which comes before that of
 * the image.  NULL: nobody has offered one, or it cannot be mapped.
 */
extern dsm_segment *pgml_shared_form_map(int slot);

/* A mapped segment for a prepared form of so many bytes, ours alone to fill; NULL: it cannot be shared. */
extern dsm_segment *pgml_shared_form_create(int slot, Size size);

/* Offer a filled form to all sessions; what comes back is the one that they use: this, or that of a session that was first. */
extern dsm_segment *pgml_shared_form_offer(int slot, dsm_segment *form);

#endif
