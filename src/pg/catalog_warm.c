/*
 * catalog_warm.c - settings that have won before, for the start of a training: of the model's own deployed version, or of models of other
 * tables, which the core compares.
 */
#include "pg/catalog.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "pg/catalog_spi.h"
#include "pg/json_text.h"
#include "pg/options.h"

/* Models that are compared with, at most: those deployed last. */
#define MOST_MODELS 200

/* Settings by name.  Constraints, which are stored with them, are no numbers or words. */
static PgmlWarmSetting
read_setting(const char *learner, const Jsonb *settings)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) &settings->root);
	PgmlHyperparam *list = palloc(sizeof(PgmlHyperparam) * (JB_ROOT_COUNT(settings) + 1));
	PgmlWarmSetting setting = { .learner = learner, .settings = list };
	JsonbValue value;
	char *key;

	while (train_next_member(&iterator, &key, &value))
		if (value.type == jbvNumeric || value.type == jbvBool || value.type == jbvString)
			list[setting.n++] = train_hyperparam_of(key, &value);
	return setting;
}

/* The numbers by which tables are compared; unknown ones are NaN. */
static PgmlMeta
read_meta(const Jsonb *json)
{
	PgmlMeta meta;

	for (int i = 0; i < PGML_META_COUNT; i++)
		meta.v[i] = json_get_number(json, pgml_meta_name(i), NAN);
	return meta;
}

/* Settings of the deployed version, else of the newest. */
static void
read_own(int64 model_id, PgmlTrainOptions *options)
{
	static CatalogStatement own = {
		.sql = "SELECT v.version, t.algorithm, t.settings FROM pgml_auto.trials t"
			   " JOIN (SELECT w.version_id, w.version FROM pgml_auto.versions w"
			   "  LEFT JOIN pgml_auto.deployed d ON d.version_id = w.version_id"
			   "  WHERE w.model_id = $1 ORDER BY d.version_id IS NULL, w.version DESC LIMIT 1) v"
			   " ON v.version_id = t.version_id"
			   " WHERE t.chosen AND t.algorithm <> 'constant'"
			   " ORDER BY t.weight DESC, t.trial LIMIT $2",
		.nargs = 2,
		.types = { INT8OID, INT4OID },
	};
	Datum values[2] = { Int64GetDatum(model_id), Int32GetDatum(PGML_WARM_SETTINGS) };
	CatalogScope scope;

	catalog_enter(&scope);
	uint64 rows = catalog_run(&own, values, NULL, false);
	MemoryContext context = MemoryContextSwitchTo(scope.caller);
	PgmlWarmModel *model = palloc0(sizeof(PgmlWarmModel));
	for (uint64 i = 0; i < rows; i++)
	{
		model->own_version = catalog_int4(i, 1);
		model->setting[model->n_settings++] =
			read_setting(catalog_text(&scope, i, 2), catalog_jsonb(&scope, i, 3));
	}
	MemoryContextSwitchTo(context);
	catalog_leave(&scope);
	options->warm_model = model;
	options->n_warm_models = rows > 0;
}

/* Is what has been learned of a model the owner's to show, and the user's to see? */
static bool
may_show(Oid user, Oid owner, const char *other)
{
	Oid role = get_role_oid(other, true);

	return OidIsValid(role) && OidIsValid(owner) && catalog_has_role(user, other) &&
		   (role == owner || is_member_of_role_nosuper(owner, role));
}

/* Settings of the deployed versions of other models, with the numbers of their tables. */
static void
read_others(int64 model_id, const char *owner, PgmlTrainOptions *options)
{
	static CatalogStatement others = {
		.sql = "SELECT m.model_id, m.owner, m.task, v.meta_features, t.algorithm, t.settings"
			   " FROM pgml_auto.deployed d"
			   " JOIN pgml_auto.models m ON m.model_id = d.model_id"
			   " JOIN pgml_auto.versions v ON v.version_id = d.version_id"
			   " CROSS JOIN LATERAL (SELECT w.algorithm, w.settings, w.weight, w.trial"
			   "  FROM pgml_auto.trials w WHERE w.version_id = d.version_id AND w.chosen"
			   "  AND w.algorithm <> 'constant' ORDER BY w.weight DESC, w.trial LIMIT $2) t"
			   " WHERE m.model_id <> $1 AND v.meta_features IS NOT NULL"
			   " ORDER BY v.version_id DESC, t.weight DESC, t.trial",
		.nargs = 2,
		.types = { INT8OID, INT4OID },
	};
	Datum values[2] = { Int64GetDatum(model_id), Int32GetDatum(PGML_WARM_SETTINGS) };
	Oid owner_oid = get_role_oid(owner, true);
	CatalogScope scope;

	catalog_enter(&scope);
	uint64 rows = catalog_run(&others, values, NULL, false);
	MemoryContext context = MemoryContextSwitchTo(scope.caller);
	PgmlWarmModel *models = palloc0(sizeof(PgmlWarmModel) * MOST_MODELS);
	int n = 0;
	for (uint64 i = 0; i < rows; i++)
	{
		int64 id = catalog_int8(i, 1);

		CHECK_FOR_INTERRUPTS();
		if (n == 0 || models[n - 1].id != id)
		{
			if (n == MOST_MODELS || !may_show(scope.user, owner_oid, catalog_text(&scope, i, 2)))
				continue;
			models[n++] = (PgmlWarmModel){ .id = id,
										   .task = train_task_of(catalog_text(&scope, i, 3)),
										   .meta = read_meta(catalog_jsonb(&scope, i, 4)) };
		}
		PgmlWarmModel *model = &models[n - 1];
		model->setting[model->n_settings++] =
			read_setting(catalog_text(&scope, i, 5), catalog_jsonb(&scope, i, 6));
	}
	MemoryContextSwitchTo(context);
	catalog_leave(&scope);
	options->warm_model = models;
	options->n_warm_models = n;
}

void
catalog_warm_start(int64 model_id, const char *owner, PgmlTrainOptions *options)
{
	PgmlWarmStart start = options->warm_start;

	/* Without a clock the data, the settings and the seed decide alone. */
	if (start == PGML_WARM_OFF || (start == PGML_WARM_AUTO && options->time_budget <= 0))
		return;
	if (start == PGML_WARM_SIMILAR)
		read_others(model_id, owner, options);
	else if (model_id != 0)
		read_own(model_id, options);
}
