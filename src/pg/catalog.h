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
#include "nodes/execnodes.h"
#include "utils/jsonb.h"

#include "search/automl.h"

typedef enum PgmlPrivilege
{
	PGML_PRIV_PREDICT, /* owner, members of the owner, superusers, grantees of predict or manage */
	PGML_PRIV_MANAGE,  /* owner, members of the owner, superusers, grantees of manage */
	PGML_PRIV_OWN /* owner, members of the owner, superusers: drop, rename, grant, other data */
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

/*
 * Keep DROP EXTENSION waiting until the transaction ends, for workers, who would else lock its tables in another order than it does;
 * false when there is no extension.
 */
extern bool catalog_hold_extension(void);

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
 * The model of that name, with the privilege checked; NULL when there is none and missing_ok, else 42704 with a hint that
 * lists similar models the user may see.  Without the privilege: 42501 with a hint that names the owner.
 * for_update takes the name (also one that no model has yet) and the row until the transaction ends, so that trainings
 * of a model run one after the other; deploying is not blocked by it.
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

/* 42704 for a version that does not exist, listing the newest ones that do. */
extern void catalog_no_such_version(const char *name, int64 model_id, int32 version)
	__attribute__((noreturn));

/* All bytes of a version's image, palloc'ed (huge allowed) in context; XX001 when chunks are missing or short. */
extern uint8 *catalog_read_image(const CatalogVersion *version, MemoryContext context);

/* The same into memory of version->image_bytes that the caller has. */
extern void catalog_copy_image(const CatalogVersion *version, uint8 *image);

/* Whether others may come to see the stored image as it is now: no part of it was written by the current transaction. */
extern bool catalog_image_is_committed(const CatalogVersion *version);

/* The same as catalog_read_image() for a version found with catalog_deployed(), which the calling query's snapshot may not see; NULL: damaged. */
extern uint8 *catalog_read_champion(const CatalogVersion *version, MemoryContext context);

/* Whether user has the rights of the role of that name: superusers, "public", members; false for roles that are gone. */
extern bool catalog_has_role(Oid user, const char *role);

/* The deployed version of a model; false when there is none. lock: keep others from deploying until we end. */
extern bool catalog_deployed(int64 model_id, bool lock, CatalogVersion *version);

/* Source and settings of the deployed version, else of the newest, for training again without being told them. */
typedef struct CatalogSource
{
	int32 version;
	char *source;
	char *search_path;
	Jsonb *settings;
} CatalogSource;

extern bool catalog_stored_source(int64 model_id, CatalogSource *source);

/* What a version was trained with, and what its training has executed. */
typedef struct CatalogExecution
{
	char *source;
	char *search_path;
	Jsonb *settings;
	char *built_by;
	Jsonb *
		execution; /* NULL: not known; former releases stored none, nor do those without memory for it */
} CatalogExecution;

extern void catalog_execution(const CatalogVersion *version, CatalogExecution *execution);

/*
 * What ensembles of deployed versions are made of, as options->warm_model, by options->warm_start.  model_id: of the model that is
 * trained, 0 for a new one.  Models of others count when the caller may see them, and when `owner`, the owner of the model that is trained
 * (not as a superuser), has the rights of their owner: who sees this model must not learn of models that are not the owner's.
 */
extern void catalog_warm_start(int64 model_id, const char *owner, PgmlTrainOptions *options);

/* What automl_train stores; the caller found the model for_update (model_id) or found that there is none (0). */
typedef struct CatalogTraining
{
	int64 model_id;
	const char *model;
	const char *source;
	Jsonb *settings;
	const char *search_path;
	int64 seed;
	double train_seconds;
	const PgmlTrainOptions *options;
	const PgmlTrainResult *result;
	Jsonb *split;     /* rules to keep with the model */
	Jsonb *recipe;    /* [{"column", "type", "step", "words", "importance" and its ends}, ...] */
	Jsonb *execution; /* what was executed, see pg/execution.h */
	const char **notices; /* sentences that were shown */
	int n_notices;
} CatalogTraining;

/* Insert model (when new), version, trials, metrics, image; returns the version. Writes the audit row. */
extern CatalogVersion catalog_store_training(const CatalogTraining *training);

/*
 * Point the model at a version, close the old deployment row, open the new one, audit, invalidate caches.  The
 * caller has checked the manage privilege with catalog_find_model.
 */
extern void catalog_deploy(const char *model, int64 model_id, int64 version_id, int32 version,
						   const char *reason);

/* Hold a model and its versions against being dropped until the transaction ends; 42704 when it was dropped meanwhile. */
extern void catalog_keep_model(const CatalogModel *model);

/* The administration functions: each checks its privilege, acts, and writes its audit row. */
extern int32 catalog_deploy_version(const char *model, int32 version); /* 0: the newest */
extern int32 catalog_rollback(const char *model);
extern void catalog_drop(const char *reference);
extern void catalog_rename(const char *model, const char *new_name);
extern void catalog_grant(const char *model, const char *role, const char *privilege);
extern void catalog_revoke(const char *model, const char *role, const char *privilege);

/* Rows for the set-returning functions of admin.c, whose columns are those of the statements. */
extern void catalog_describe(const char *reference, ReturnSetInfo *rsinfo);
extern void catalog_leaderboard(const char *reference, ReturnSetInfo *rsinfo);

/*
 * Rows for automl_importance(): the columns that the version uses with what is stored, and gain[i] of the recipe's input i (NaN: none).
 * The caller holds the model, so may use it.
 */
extern void catalog_importance(const CatalogVersion *version, const double *gain, int n,
							   ReturnSetInfo *rsinfo);

/* Hold a name, also one no model has, until the transaction ends: trainings and renames that want it take turns. */
extern void catalog_lock_name(const char *name);

/* The same until the session ends: for a training in several transactions. */
extern void catalog_hold_name(const char *name);

/* 22023 unless name can be a model's name: 1 to 63 bytes without '@'. */
extern void catalog_check_name(const char *name);

/* Split 'name@3' into name (palloc'ed) and version; version is 0 without '@'. 22023 when it is no number. */
extern char *catalog_split_reference(const char *reference, int32 *version);

/* Tell the caches of all sessions, at commit, that something about models has changed. */
extern void catalog_changed(void);

#endif
