/*
 * catalog_admin.c - what happens to a model after training: deploy, roll back, drop, rename, grant.
 *
 * Deploying never waits for a training, which holds the model's name and its row FOR NO KEY UPDATE for its whole duration:
 * rolling back must be possible at once.  Every function that changes something writes an audit row in the same
 * transaction.
 *
 * The tables have no foreign keys (20_tables.sql says why), so what belongs together is locked and deleted here.  Rows are
 * locked in one order, the model's and then the pointer's: whoever refers to a model or version takes the model's row FOR KEY
 * SHARE, whoever drops one takes it FOR UPDATE.
 */
#include "pg/catalog.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "pg/catalog_schedules.h"
#include "pg/catalog_spi.h"
#include "pg/json_text.h"

/* {"key": "value"} for audit details. */
static Jsonb *
detail(const char *key, const char *value)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	json_key(&out, key);
	json_string(&out, value);
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

void
catalog_keep_model(const CatalogModel *model)
{
	static CatalogStatement keep = {
		.sql = "SELECT FROM pgml_auto.models WHERE model_id = $1 FOR KEY SHARE",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model->model_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	if (catalog_run(&keep, values, NULL, false) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" was dropped meanwhile", model->name),
						errhint("See SELECT name FROM pgml_auto.model.")));
	catalog_leave(&scope);
}

/* Hold a version against being dropped; 42704 when it is gone, 40001 when an old snapshot still shows it. */
static void
keep_version(const char *model, int64 model_id, int64 version_id, int32 version)
{
	static CatalogStatement keep = {
		.sql = "SELECT FROM pgml_auto.versions WHERE version_id = $1 FOR KEY SHARE",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(version_id) };

	if (catalog_run(&keep, values, NULL, false) == 0)
		catalog_no_such_version(model, model_id, version);
}

/* Move the pointer; others who deploy the same model wait here until we end. */
static void
point_at(int64 model_id, int64 version_id)
{
	static CatalogStatement upsert = {
		.sql = "INSERT INTO pgml_auto.deployed (model_id, version_id) VALUES ($1, $2)"
			   " ON CONFLICT (model_id) DO UPDATE SET version_id = EXCLUDED.version_id",
		.nargs = 2,
		.types = { INT8OID, INT8OID },
	};
	Datum values[2] = { Int64GetDatum(model_id), Int64GetDatum(version_id) };
	catalog_run(&upsert, values, NULL, false);
}

/* Close the open row of the history and open the next, at one instant. */
static void
record_deployment(const CatalogScope *scope, int64 model_id, int64 version_id, int32 version,
				  const char *reason)
{
	static CatalogStatement close_row = {
		.sql = "UPDATE pgml_auto.deployments SET deployed_until = pg_catalog.clock_timestamp()"
			   " WHERE model_id = $1 AND deployed_until IS NULL",
		.nargs = 1,
		.types = { INT8OID },
	};
	static CatalogStatement open_row = {
		.sql = "INSERT INTO pgml_auto.deployments (model_id, version_id, version, deployed_by,"
			   " reason) VALUES ($1, $2, $3, $4, $5)",
		.nargs = 5,
		.types = { INT8OID, INT8OID, INT4OID, TEXTOID, TEXTOID },
	};
	Datum values[5] = { Int64GetDatum(model_id), Int64GetDatum(version_id), Int32GetDatum(version),
						catalog_text_datum(GetUserNameFromId(scope->user, false)),
						catalog_text_datum(reason) };

	catalog_run(&close_row, values, NULL, false);
	catalog_run(&open_row, values, NULL, false);
}

void
catalog_deploy(const char *model, int64 model_id, int64 version_id, int32 version,
			   const char *reason)
{
	CatalogScope scope;

	catalog_enter(&scope);
	keep_version(model, model_id, version_id, version);
	point_at(model_id, version_id);
	record_deployment(&scope, model_id, version_id, version, reason);
	catalog_audit(&scope, strcmp(reason, "rollback") == 0 ? "rollback" : "deploy", model_id, model,
				  version, detail("reason", reason));
	catalog_changed();
	catalog_leave(&scope);
}

/* version_id and version of a model's version, 0: the newest; false when there is none. */
static bool
find_version(int64 model_id, int32 wanted, CatalogVersion *found)
{
	static CatalogStatement find = {
		.sql = "SELECT version_id, version FROM pgml_auto.versions WHERE model_id = $1"
			   " AND (version = $2 OR $2 = 0) ORDER BY version DESC LIMIT 1",
		.nargs = 2,
		.types = { INT8OID, INT4OID },
	};
	CatalogScope scope;

	catalog_enter(&scope);
	Datum values[2] = { Int64GetDatum(model_id), Int32GetDatum(wanted) };
	bool exists = catalog_run(&find, values, NULL, false) > 0;
	if (exists)
	{
		found->version_id = catalog_int8(0, 1);
		found->version = catalog_int4(0, 2);
	}
	catalog_leave(&scope);
	return exists;
}

/* 42704 for a version that a model does not have. */
static void
require_version(const CatalogModel *model, int32 wanted, CatalogVersion *found)
{
	if (!find_version(model->model_id, wanted, found))
		catalog_no_such_version(model->name, model->model_id, wanted);
}

int32
catalog_deploy_version(const char *name, int32 wanted)
{
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_MANAGE, false, false);
	CatalogVersion version;
	CatalogVersion current;

	catalog_keep_model(model);
	require_version(model, wanted, &version);
	if (catalog_deployed(model->model_id, true, &current) && current.version == version.version)
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("version %d of model \"%s\" is deployed already", version.version, name)));
	else
		catalog_deploy(name, model->model_id, version.version_id, version.version, "manual");
	return version.version;
}

/*
 * The version to go back to.  The history is walked as a stack: a deployment puts its version on top, a rollback takes the
 * top off; so rolling back again and again goes back step by step, and ends at the first.
 */
static bool
find_previous(int64 model_id, CatalogVersion *previous)
{
	static CatalogStatement history = {
		.sql = "SELECT d.version_id, v.version, d.reason = 'rollback' FROM pgml_auto.deployments d"
			   " LEFT JOIN pgml_auto.versions v ON v.version_id = d.version_id"
			   " WHERE d.model_id = $1 ORDER BY d.deployment_id",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;
	int64 depth = 0;
	bool found = false;

	catalog_enter(&scope);
	uint64 rows = catalog_run(&history, values, NULL, false);
	uint64 *stack = palloc((rows + 1) * sizeof(uint64)); /* rows of the history */
	for (uint64 i = 0; i < rows; i++)
	{
		bool isnull;
		bool back = DatumGetBool(catalog_value(i, 3, &isnull));

		while (back && depth > 0 && catalog_int8(stack[depth - 1], 1) != catalog_int8(i, 1))
			depth--;
		if (depth == 0 || catalog_int8(stack[depth - 1], 1) != catalog_int8(i, 1))
			stack[depth++] = i;
	}
	/* Below the present one; versions that were dropped, which have no number, are passed over. */
	for (int64 i = depth - 2; i >= 0 && !found; i--)
	{
		previous->version_id = catalog_int8(stack[i], 1);
		previous->version = catalog_int4(stack[i], 2);
		found = previous->version > 0 && previous->version_id != catalog_int8(stack[depth - 1], 1);
	}
	catalog_leave(&scope);
	return found;
}

int32
catalog_rollback(const char *name)
{
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_MANAGE, false, false);
	CatalogVersion current;
	CatalogVersion previous;

	catalog_keep_model(model);
	if (!catalog_deployed(model->model_id, true, &current))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("no version of model \"%s\" is deployed", name),
						errhint("Deploy one with automl_deploy.")));
	if (!find_previous(model->model_id, &previous))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("no version of model \"%s\" was deployed before version %d", name,
							   current.version),
						errhint("Choose a version yourself with automl_deploy; the history is in "
								"pgml_auto.deployment.")));
	catalog_deploy(name, model->model_id, previous.version_id, previous.version, "rollback");
	return previous.version;
}

/* Delete one version of a model (0: all) with its trials, metrics and image; when it was deployed is still history. */
static void
delete_versions(int64 model_id, int64 version_id)
{
	static CatalogStatement delete_all = {
		.sql = "WITH v AS (DELETE FROM pgml_auto.versions WHERE model_id = $1"
			   " AND (version_id = $2 OR $2 = 0) RETURNING version_id),"
			   " t AS (DELETE FROM pgml_auto.trials t USING v WHERE t.version_id = v.version_id),"
			   " s AS (DELETE FROM pgml_auto.metrics s USING v WHERE s.version_id = v.version_id)"
			   " DELETE FROM pgml_auto.image_chunks i USING v WHERE i.version_id = v.version_id",
		.nargs = 2,
		.types = { INT8OID, INT8OID },
	};
	Datum values[2] = { Int64GetDatum(model_id), Int64GetDatum(version_id) };
	catalog_run(&delete_all, values, NULL, false);
}

static void
drop_version(const CatalogModel *model, int32 wanted)
{
	CatalogVersion version;
	CatalogVersion current;
	CatalogScope scope;

	require_version(model, wanted, &version);
	if (catalog_deployed(model->model_id, true, &current) &&
		current.version_id == version.version_id)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("version %d of model \"%s\" is deployed", wanted, model->name),
						errhint("Deploy another version first, or drop the whole model with "
								"automl_drop(%s).",
								quote_literal_cstr(model->name))));
	catalog_enter(&scope);
	delete_versions(model->model_id, version.version_id);
	catalog_audit(&scope, "drop", model->model_id, model->name, wanted, NULL);
	catalog_changed();
	catalog_leave(&scope);
}

/* Wait until nobody refers to the model any more, nor can until we end. */
static void
hold_model(int64 model_id)
{
	static CatalogStatement hold = {
		.sql = "SELECT FROM pgml_auto.models WHERE model_id = $1 FOR UPDATE",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&hold, values, NULL, false);
	catalog_leave(&scope);
}

/* Delete a model with all that refers to it. */
static void
drop_model(const CatalogModel *model)
{
	static CatalogStatement delete_rest = {
		.sql = "WITH d AS (DELETE FROM pgml_auto.deployed WHERE model_id = $1),"
			   " h AS (DELETE FROM pgml_auto.deployments WHERE model_id = $1),"
			   " g AS (DELETE FROM pgml_auto.grants WHERE model_id = $1)"
			   " DELETE FROM pgml_auto.models WHERE model_id = $1",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model->model_id) };
	CatalogScope scope;

	(void) catalog_delete_schedule(model);
	catalog_enter(&scope);
	delete_versions(model->model_id, 0);
	catalog_run(&delete_rest, values, NULL, false);
	catalog_audit(&scope, "drop", model->model_id, model->name, 0, NULL);
	catalog_changed();
	catalog_leave(&scope);
}

void
catalog_drop(const char *reference)
{
	int32 version;
	char *name = catalog_split_reference(reference, &version);
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_OWN, false, true);

	hold_model(model->model_id);
	if (version != 0)
		drop_version(model, version);
	else
		drop_model(model);
}

/* Whether a model has the name. */
static bool
name_taken(const char *name)
{
	static CatalogStatement find = {
		.sql = "SELECT 1 FROM pgml_auto.models WHERE name = $1",
		.nargs = 1,
		.types = { TEXTOID },
	};
	Datum values[1] = { catalog_text_datum(name) };
	return catalog_run(&find, values, NULL, false) > 0;
}

/* Take both names in an order that is the same for everybody. */
static void
lock_names(const char *a, const char *b)
{
	bool in_order = strcmp(a, b) < 0;

	catalog_lock_name(in_order ? a : b);
	catalog_lock_name(in_order ? b : a);
}

void
catalog_rename(const char *name, const char *new_name)
{
	static CatalogStatement rename_model = {
		.sql = "UPDATE pgml_auto.models SET name = $2 WHERE model_id = $1",
		.nargs = 2,
		.types = { INT8OID, TEXTOID },
	};
	CatalogScope scope;

	catalog_check_name(new_name);
	(void) catalog_find_model(name, PGML_PRIV_OWN, false, false);
	lock_names(name, new_name);
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_OWN, false, true);
	catalog_enter(&scope);
	if (name_taken(new_name))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", new_name),
				 errhint("Choose another name.")));
	Datum values[2] = { Int64GetDatum(model->model_id), catalog_text_datum(new_name) };
	catalog_run(&rename_model, values, NULL, false);
	catalog_audit(&scope, "rename", model->model_id, new_name, 0, detail("old_name", name));
	catalog_changed();
	catalog_leave(&scope);
}

/* 22023 unless the privilege is one that can be granted, 42704 unless the role exists ("public" is everybody). */
static void
check_grant(const char *role, const char *privilege)
{
	if (strcmp(privilege, "predict") != 0 && strcmp(privilege, "manage") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unrecognized model privilege \"%s\"", privilege),
						errhint("Use 'predict' or 'manage'.")));
	if (strcmp(role, "public") != 0 && !OidIsValid(get_role_oid(role, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role \"%s\" does not exist", role),
				 errhint("Write the role's name as it is in pg_roles, or 'public' for "
						 "everybody.")));
}

/* The audit row of a grant or revoke. */
static void
audit_grant(const CatalogScope *scope, const char *action, const CatalogModel *model,
			const char *role, const char *privilege)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	json_key(&out, "role");
	json_string(&out, role);
	json_key(&out, "privilege");
	json_string(&out, privilege);
	appendStringInfoChar(&out, '}');
	catalog_audit(scope, action, model->model_id, model->name, 0, json_finish(&out));
}

void
catalog_grant(const char *name, const char *role, const char *privilege)
{
	static CatalogStatement insert = {
		.sql = "INSERT INTO pgml_auto.grants (model_id, grantee, privilege, granted_by)"
			   " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		.nargs = 4,
		.types = { INT8OID, TEXTOID, TEXTOID, TEXTOID },
	};
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_OWN, false, false);
	CatalogScope scope;

	check_grant(role, privilege);
	catalog_keep_model(model);
	catalog_enter(&scope);
	Datum values[4] = { Int64GetDatum(model->model_id), catalog_text_datum(role),
						catalog_text_datum(privilege),
						catalog_text_datum(GetUserNameFromId(scope.user, false)) };
	catalog_run(&insert, values, NULL, false);
	audit_grant(&scope, "grant", model, role, privilege);
	catalog_changed();
	catalog_leave(&scope);
}

/* The role may be gone already: its rows can still be taken back. */
void
catalog_revoke(const char *name, const char *role, const char *privilege)
{
	static CatalogStatement delete_grant = {
		.sql = "DELETE FROM pgml_auto.grants WHERE model_id = $1 AND grantee = $2"
			   " AND privilege = $3",
		.nargs = 3,
		.types = { INT8OID, TEXTOID, TEXTOID },
	};
	CatalogModel *model = catalog_find_model(name, PGML_PRIV_OWN, false, false);
	CatalogScope scope;

	catalog_enter(&scope);
	Datum values[3] = { Int64GetDatum(model->model_id), catalog_text_datum(role),
						catalog_text_datum(privilege) };
	if (catalog_run(&delete_grant, values, NULL, false) == 0)
	{
		check_grant(role, privilege);
		ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
						 errmsg("\"%s\" did not have the privilege '%s' on model \"%s\"", role,
								privilege, name)));
	}
	else
		audit_grant(&scope, "revoke", model, role, privilege);
	catalog_changed();
	catalog_leave(&scope);
}
