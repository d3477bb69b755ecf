/*
 * catalog.h - the registry tables; the only code that reads or writes them.
 *
 * Every function checks the privileges of the current user first, then switches to the owner of the registry tables
 * (SECURITY_LOCAL_USERID_CHANGE) around fully qualified statements with parameters.  No user SQL runs inside.
 * Results are palloc'ed in the caller's memory context.
 */
#ifndef PGML_PG_CATALOG_H
#define PGML_PG_CATALOG_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "search/automl.h"

typedef enum PgmlPrivilege
{
    PGML_PRIV_PREDICT, /* owner, members of the owner, superusers, grantees of predict or manage */
    PGML_PRIV_MANAGE   /* owner, members of the owner, superusers, grantees of manage */
} PgmlPrivilege;

/* OIDs that everything needs, looked up once per session and after invalidation; error 55000 when not installed. */
typedef struct PgmlExtension
{
    Oid extension;
    Oid schema;         /* pgml_auto */
    Oid owner;          /* of the registry tables */
    Oid deployed_table; /* pgml_auto.deployed */
} PgmlExtension;

extern const PgmlExtension *catalog_extension(void);

/* A model as registered. */
typedef struct CatalogModel
{
    int64 model_id;
    char *name;
    char *owner;
    char *task;
    char *target;
    char *metric;
    char *positive_class; /* NULL: none */
    Jsonb *split;
} CatalogModel;

/*
 * The model of that name, with the privilege checked; NULL when there is none and missing_ok.  Without the privilege:
 * 42501, whose message is the same whether or not the model exists only for those who may see neither.
 * for_update locks the row, so that two trainings of a model take their version numbers in turn.
 */
extern CatalogModel *catalog_find_model(const char *name, PgmlPrivilege privilege, bool missing_ok,
                                        bool for_update);

/* One version; 'name' or 'name@3'. */
typedef struct CatalogVersion
{
    int64 model_id;
    int64 version_id;
    int32 version;
    int64 image_bytes;
    uint32 image_crc;
} CatalogVersion;

/*
 * Resolve a reference: 'name' is the deployed version, 'name@3' version 3.  Errors: 42704 (undefined object) with a hint for
 * no such model or version; 55000 when nothing is deployed; 42501 without the predict privilege.
 * Reads with the active snapshot when that can differ from the newest committed state, see model_cache.c.
 */
extern void catalog_resolve(const char *reference, CatalogVersion *version);

/* All bytes of a version's image, palloc'ed (huge allowed) in context; XX001 when chunks are missing or short. */
extern uint8 *catalog_read_image(const CatalogVersion *version, MemoryContext context);

/* What automl_train stores; the caller holds the model's row lock (or the model is new). */
typedef struct CatalogTraining
{
    const char *model;
    const char *source;
    Jsonb *settings;
    const char *search_path;
    int64 seed;
    double train_seconds;
    const PgmlTrainOptions *options;
    const PgmlTrainResult *result;
    Jsonb *split;  /* rules to keep with the model */
    Jsonb *recipe; /* [{"column", "type", "step", "words"}, ...] */
} CatalogTraining;

/* Insert model (when new), version, trials, metrics, image; returns the version. Writes the audit row. */
extern CatalogVersion catalog_store_training(const CatalogTraining *training);

/* Point the model at a version, close the old deployment row, open the new one, audit, invalidate caches. */
extern void catalog_deploy(const char *model, int64 model_id, int64 version_id, int32 version,
                           const char *reason);

#endif
