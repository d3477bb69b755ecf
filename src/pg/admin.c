/*
 * admin.c - the SQL functions around a model's life: thin, the work is in the catalog files.
 */
#include "postgres.h"

#include <math.h>

#include "commands/trigger.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "learner/learner.h"
#include "pg/catalog.h"
#include "pg/json_text.h"
#include "pg/options.h"
#include "stats/metric.h"

PG_FUNCTION_INFO_V1(pgml_auto_check_schema);
PG_FUNCTION_INFO_V1(pgml_auto_deployed_changed);
PG_FUNCTION_INFO_V1(pgml_auto_deploy);
PG_FUNCTION_INFO_V1(pgml_auto_rollback);
PG_FUNCTION_INFO_V1(pgml_auto_drop);
PG_FUNCTION_INFO_V1(pgml_auto_rename);
PG_FUNCTION_INFO_V1(pgml_auto_grant);
PG_FUNCTION_INFO_V1(pgml_auto_revoke);
PG_FUNCTION_INFO_V1(pgml_auto_describe);
PG_FUNCTION_INFO_V1(pgml_auto_leaderboard);
PG_FUNCTION_INFO_V1(pgml_auto_has_role);
PG_FUNCTION_INFO_V1(pgml_auto_higher_is_better);
PG_FUNCTION_INFO_V1(pgml_auto_settings_text);

PGDLLEXPORT Datum pgml_auto_check_schema(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_deployed_changed(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_deploy(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_rollback(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_drop(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_rename(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_grant(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_revoke(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_describe(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_leaderboard(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_has_role(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_higher_is_better(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum pgml_auto_settings_text(PG_FUNCTION_ARGS);

/* Text argument i; 22004 naming it when it is NULL. */
static char *
required_text(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name),
				 errhint("Give a value for the argument %s.", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* 25006 in read-only transactions and on standbys. */
static void
require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
}

/* Called while the extension's script runs: the schema of the tables is made by the script, for them alone. */
Datum
pgml_auto_check_schema(PG_FUNCTION_ARGS)
{
	char *target = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(target, "pgml_auto") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("extension \"pgml_auto\" cannot be created in schema \"pgml_auto\""),
				 errdetail("The extension makes that schema itself, for its tables and views."),
				 errhint("Drop that schema and create the extension in another one, for example "
						 "CREATE EXTENSION pgml_auto SCHEMA public.")));
	if (OidIsValid(get_namespace_oid("pgml_auto", true)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_SCHEMA), errmsg("schema \"pgml_auto\" exists already"),
				 errdetail("The extension makes that schema itself, for its tables and "
						   "views."),
				 errhint("Drop or rename the schema first.")));
	PG_RETURN_VOID();
}

/* Statement trigger on pgml_auto.deployed. */
Datum
pgml_auto_deployed_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("deployed_changed() can only be called as a trigger")));
	catalog_changed();
	return PointerGetDatum(NULL);
}

Datum
pgml_auto_deploy(PG_FUNCTION_ARGS)
{
	int32 in_name;
	char *model = catalog_split_reference(required_text(fcinfo, 0, "model"), &in_name);
	int32 version = PG_ARGISNULL(1) ? in_name : PG_GETARG_INT32(1);

	require_writable("automl_deploy()");
	if (in_name != 0 && in_name != version)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("version is given twice, as %d and as %d", in_name, version),
						errhint("Write automl_deploy('name', version).")));
	if (!PG_ARGISNULL(1) && version < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("version must be at least 1, not %d", version),
						errhint("Leave it out for the newest version.")));
	PG_RETURN_INT32(catalog_deploy_version(model, version));
}

Datum
pgml_auto_rollback(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");

	require_writable("automl_rollback()");
	PG_RETURN_INT32(catalog_rollback(model));
}

Datum
pgml_auto_drop(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");

	require_writable("automl_drop()");
	catalog_drop(model);
	PG_RETURN_VOID();
}

Datum
pgml_auto_rename(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");
	char *new_name = required_text(fcinfo, 1, "new_name");

	require_writable("automl_rename()");
	catalog_rename(model, new_name);
	PG_RETURN_VOID();
}

Datum
pgml_auto_grant(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");
	char *role = required_text(fcinfo, 1, "role");
	char *privilege = required_text(fcinfo, 2, "privilege");

	require_writable("automl_grant()");
	catalog_grant(model, role, privilege);
	PG_RETURN_VOID();
}

Datum
pgml_auto_revoke(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");
	char *role = required_text(fcinfo, 1, "role");
	char *privilege = required_text(fcinfo, 2, "privilege");

	require_writable("automl_revoke()");
	catalog_revoke(model, role, privilege);
	PG_RETURN_VOID();
}

Datum
pgml_auto_describe(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");

	InitMaterializedSRF(fcinfo, 0);
	catalog_describe(model, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

Datum
pgml_auto_leaderboard(PG_FUNCTION_ARGS)
{
	char *model = required_text(fcinfo, 0, "model");

	InitMaterializedSRF(fcinfo, 0);
	catalog_leaderboard(model, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}

/* Filter of the views: the reader's rights, also where the view runs with its owner's. */
Datum
pgml_auto_has_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(catalog_has_role(GetUserId(), text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* NULL for a metric that this version does not know. */
Datum
pgml_auto_higher_is_better(PG_FUNCTION_ARGS)
{
	const PgmlMetric *metric = pgml_metric_find(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (metric == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(metric->higher_is_better);
}

/* The value of a setting in JSON; NaN when it is none that this version knows. */
static double
setting_value(const PgmlParam *param, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNumeric:
			return json_value_number(value);
		case jbvBool:
			return value->val.boolean;
		case jbvString:
			return pgml_param_value(param, json_value_text(value));
		default:
			return NAN;
	}
}

/* Append a value as people write it. */
static void
put_value(StringInfo out, const PgmlParam *param, double value)
{
	size_t len;
	const char *word = pgml_param_word(param, value, &len);

	if (word != NULL)
		appendBinaryStringInfo(out, word, (int) len);
	else if (param->type == PGML_PARAM_BOOL)
		appendStringInfoString(out, value != 0 ? "true" : "false");
	else
		appendStringInfo(out, "%.6g", value);
}

/* Append "name value" when the stored setting differs from the default. */
static void
put_setting(StringInfo out, const PgmlParam *param, const Jsonb *settings)
{
	JsonbValue *value = json_get(settings, param->name);
	double v = value != NULL ? setting_value(param, value) : NAN;

	if (isnan(v) || v == param->def)
		return;
	appendStringInfo(out, "%s%s ", out->len == 0 ? "" : ", ", param->name);
	put_value(out, param, v);
}

/* Settings that are not the learner's defaults, and constraints; all of them for a learner this version does not know. */
Datum
pgml_auto_settings_text(PG_FUNCTION_ARGS)
{
	const PgmlLearner *learner = pgml_learner_find(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Jsonb *settings = PG_GETARG_JSONB_P(1);
	StringInfoData out;

	initStringInfo(&out);
	if (learner == NULL)
		JsonbToCString(&out, &settings->root, VARSIZE(settings));
	for (int i = 0; learner != NULL && i < learner->n_params; i++)
		put_setting(&out, &learner->params[i], settings);
	if (learner != NULL)
		train_constraints_say(&out, settings);
	PG_RETURN_TEXT_P(cstring_to_text(out.len == 0 ? "defaults" : out.data));
}
