/*
 * training.c - a training, from a call to a stored version.
 *
 * Find the model and hold its name, read the data as the caller, let the core train in the driver thread, store the version, and
 * decide whether it may answer predictions.
 *
 * The core's memory is malloc'ed; a reset callback on the training's memory context frees it however the call ends (the
 * driver has joined its thread by then).
 */
#include "postgres.h"

#include <malloc.h>
#include <math.h>

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "model/image.h"
#include "pg/compat.h"
#include "pg/driver.h"
#include "pg/execution.h"
#include "pg/guc.h"
#include "pg/ingest.h"
#include "pg/json_text.h"
#include "pg/progress.h"
#include "pg/source.h"
#include "pg/split_rules.h"
#include "pg/training.h"

/* Share of the memory limit for the columns as read; the rest is for features and learners. */
#define COLUMNS_SHARE 0.25

/* Free what the core has malloc'ed, when the context of the call goes away. */
static void
free_core_memory(void *arg)
{
	TrainJob *job = arg;

	pgml_buf_free(&job->result.image);
	pgml_arena_destroy(job->arena);
	job->arena = NULL;
	/* A backend may live for weeks after its one training. */
	malloc_trim(0);
}

TrainJob *
training_create(const TrainCall *call)
{
	TrainJob *job = palloc0(sizeof(TrainJob));

	pgml_budget_init(&job->budget, pgml_max_memory());
	job->threads = pgml_max_threads();
	job->max_columns = (int64) (job->budget.limit * COLUMNS_SHARE);
	pgml_buf_init(&job->result.image, &job->budget);
	job->free_core.func = free_core_memory;
	job->free_core.arg = job;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &job->free_core);
	job->arena = pgml_arena_create(&job->budget);
	if (job->arena == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("No memory for a training.")));
	job->call = *call;
	return job;
}

/* 22023 for an argument that contradicts what the model was made with. */
static void
refuse_change(const TrainJob *job, const char *argument, const char *fixed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s cannot change between versions of model \"%s\"", argument,
						   job->model->name),
					errdetail("It is %s since the first version.", fixed),
					errhint("Leave it out, or train a model of another name.")));
}

/* Test rows are chosen by time, by one group column, or by rows, for ever. */
static void
keep_split_column(const TrainJob *job)
{
	const PgmlTrainOptions *options = &job->options;
	const char *kept = job->identity.split.name;
	const char *given = options->time_column != NULL ? options->time_column : options->group_column;
	bool by_time = job->split.method == PGML_SPLIT_TIME;

	if (kept == NULL ?
			given == NULL :
			given != NULL && strcmp(kept, given) == 0 && by_time == (options->time_column != NULL))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the way test rows are chosen cannot change between versions of a model"),
			 kept == NULL ? errdetail("They are chosen row by row since the first version.") :
							errdetail("They are chosen by %s \"%s\" since the first version.",
									  by_time ? "time_column" : "group_column", kept),
			 errhint("Keep time_column and group_column, or train a model of another name.")));
}

/* What every version of a model shares: target, task, meaning of the positive class. */
static void
keep_to_model(TrainJob *job)
{
	const CatalogModel *model = job->model;
	PgmlTrainOptions *options = &job->options;

	if (options->target == NULL)
		options->target = model->target;
	if (strcmp(options->target, model->target) != 0)
		refuse_change(job, "target", psprintf("\"%s\"", model->target));
	int task = train_task_of(model->task);
	if (options->task != 0 && (options->task & task) == 0)
		refuse_change(job, "task", model->task);
	options->task = task;
	if (model->positive_class != NULL && options->positive_class == NULL)
		options->positive_class = model->positive_class;
	if (model->positive_class != NULL &&
		strcmp(options->positive_class, model->positive_class) != 0)
		refuse_change(job, "positive_class", psprintf("'%s'", model->positive_class));
}

/* The rules by which test rows have been chosen since the first version. */
static void
keep_split(TrainJob *job)
{
	PgmlTrainOptions *options = &job->options;

	split_rules_read(job->rules, &job->split, &job->identity);
	keep_split_column(job);
	if (json_get(job->call.given, "test_size") != NULL &&
		options->test_size != job->split.test_size)
		refuse_change(job, "test_size", psprintf("%g", job->split.test_size));
	options->test_size = job->split.test_size;
}

/* Find the model; hold: take its name, so that trainings of one model run one after the other. */
static void
find_model(TrainJob *job, bool hold)
{
	const TrainCall *call = &job->call;
	PgmlPrivilege needed = call->data == NULL ? PGML_PRIV_MANAGE : PGML_PRIV_OWN;

	if (call->model == NULL && call->data == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model or data must be given"),
				 errhint("Name a model, or a table and the column to predict: "
						 "automl_plan(data => 'table', target => 'column').")));
	if (call->model != NULL)
		job->model = catalog_find_model(call->model, needed, call->data != NULL, hold);
	job->source = call->data;
	job->search_path = GetConfigOptionByName("search_path", NULL, false);
	job->settings = train_settings_merge(NULL, call->given);
	if (job->model == NULL)
		return;
	job->rules = job->model->split;
	CatalogSource previous;
	if (!catalog_stored_source(job->model->model_id, &previous))
	{
		if (call->data == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("model \"%s\" has no version to take its data from", call->model),
					 errhint("Say what to train on: automl_train(%s, 'table').",
							 quote_literal_cstr(call->model))));
		return;
	}
	job->settings = train_settings_merge(previous.settings, call->given);
	job->stored_source = call->data == NULL;
	if (job->stored_source)
	{
		job->source = previous.source;
		job->search_path = previous.search_path;
	}
}

/* Settings to options, with what the model fixes; the split of a first version follows from the seed. */
static void
read_settings(TrainJob *job)
{
	train_settings_read(job->settings, &job->options, &job->seed);
	if (job->model != NULL)
		keep_to_model(job);
	if (job->rules != NULL)
		keep_split(job);
	else
		split_rules_new(job->seed, job->options.test_size, &job->split);
	if (job->options.target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("training without a target is not supported yet"),
				 errhint("Name the column to predict: target => 'column'. Clustering, anomaly "
						 "detection and forecasting come in later releases.")));
	job->options.split = &job->split;
}

/* The deployed version's image, for the core to score on the same test rows; damage must not prevent a new version. */
static void
load_champion(TrainJob *job)
{
	if (job->model == NULL || !catalog_deployed(job->model->model_id, false, &job->champion))
		return;
	job->options.champion = catalog_read_champion(&job->champion, CurrentMemoryContext);
	job->champion_damaged = job->options.champion == NULL;
	job->options.champion_len = job->champion_damaged ? 0 : (size_t) job->champion.image_bytes;
}

/* What this model's deployed version, or models of similar tables, are made of. */
static void
load_history(TrainJob *job)
{
	catalog_warm_start(job->model == NULL ? 0 : job->model->model_id,
					   job->model == NULL ? GetUserNameFromId(GetUserId(), false) :
											job->model->owner,
					   &job->options);
}

/*
 * Who may train the model but not act as its owner must not have code of their own run as its owner: through a query, whose
 * names, literals and functions could lead anywhere (42501), or through temporary objects of the session, which the
 * functions that a view or a policy calls may find (55000).
 */
static void
check_stored_source(const TrainJob *job)
{
	PgmlSource source = pgml_source_resolve(job->source);

	if (!OidIsValid(source.relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the source of model \"%s\" is a query, which is not run for others than "
					"its owner",
					job->model->name),
			 errhint("Its owner, \"%s\", can train it again, or train it on a view of the query.",
					 job->model->owner)));
	if (!pgml_source_may_meet_temporary(source.relid))
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("cannot read the stored source of model \"%s\" while the session has "
						   "temporary objects that it could lead to",
						   job->model->name),
					errdetail("It is read as \"%s\", the model's owner.", job->model->owner),
					errhint("Run DISCARD TEMP, or train in another session.")));
}

/*
 * A stored query is the owner's SQL: nobody else may come to run it with their own rights, so it is read as
 * the owner, restricted; so are the owner's own scheduled trainings.  Explicit data is read as the caller.
 */
static void
become_source_owner(const TrainJob *job)
{
	Oid user;
	int sec_context;

	if (!job->stored_source)
		return;
	Oid owner = get_role_oid(job->model->owner, true);
	GetUserIdAndSecContext(&user, &sec_context);
	if (user == owner && !job->scheduled)
		return;
	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("role \"%s\", owner of model \"%s\", no longer exists",
							   job->model->owner, job->model->name),
						errhint("Say what to train on: automl_train(%s, 'table').",
								quote_literal_cstr(job->model->name))));
	if (user != owner)
		ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
						 errmsg("reading the stored source as \"%s\", the model's owner",
								job->model->owner)));
	SetUserIdAndSecContext(owner, sec_context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
}

/*
 * Read the source into columns, with the search_path it was first given under.  Read as its owner, functions in it must
 * not find the caller's temporary objects first.
 */
static void
read_data(TrainJob *job)
{
	PgmlIngestInfo info = { 0 };
	PgmlIngest ingest = {
		.data = job->source,
		.target = job->options.target,
		.id_columns = job->options.id_columns,
		.n_id_columns = job->options.n_id_columns,
		.identity = job->identity.n > 0 ? &job->identity : NULL,
		.split_column =
			job->options.time_column != NULL ? job->options.time_column : job->options.group_column,
		.salt = job->split.salt,
		.max_bytes = job->max_columns,
	};
	Oid user;
	int sec_context;
	int nest_level = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &sec_context);
	become_source_owner(job);
	bool as_owner = GetUserId() != user || (job->scheduled && job->stored_source);
	bool for_other = job->for_other || (as_owner && !has_privs_of_role(user, GetUserId()));
	if (job->stored_source)
		(void) set_config_option("search_path",
								 as_owner ? pgml_source_temporary_last(job->search_path) :
											job->search_path,
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (for_other)
	{
		check_stored_source(job);
		ingest.source_owner = GetUserId();
	}
	job->table = pgml_ingest(&ingest, job->arena, &info);
	if (job->identity.n == 0)
		job->identity = info.identity;
	/* The table itself is remembered: a name alone may come to mean another one. */
	job->relid = info.relid;
	if (OidIsValid(info.relid) && !isTempNamespace(get_rel_namespace(info.relid)))
		job->source = quote_qualified_identifier(get_namespace_name(get_rel_namespace(info.relid)),
												 get_rel_name(info.relid));
	/* Also what the source itself has set: its owner must not change the session of who trains. */
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, sec_context);
}

/* 42703 for a column that an argument names and the data does not have. */
static void
require_column(const PgmlTable *table, const char *argument, const char *name)
{
	if (name == NULL || pgml_table_next(table, name, 0) >= 0)
		return;
	StringInfoData known;
	initStringInfo(&known);
	for (int i = 0; i < table->ncols && known.len < 400; i++)
		appendStringInfo(&known, "%s\"%s\"", i == 0 ? "" : ", ", table->cols[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\", given as %s, does not exist in the data", name, argument),
			 errhint("Its columns: %s%s.", known.data, known.len >= 400 ? ", ..." : "")));
}

static void
require_columns(const PgmlTable *table, const char *argument, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		require_column(table, argument, names[i]);
}

/* Every column named in the arguments must be there, before anything is computed. */
static void
check_columns(const TrainJob *job)
{
	const PgmlTrainOptions *options = &job->options;

	require_column(job->table, "target", options->target);
	require_column(job->table, "time_column", options->time_column);
	require_column(job->table, "group_column", options->group_column);
	require_column(job->table, "weight_column", options->weight_column);
	require_columns(job->table, "features", options->features, options->n_features);
	require_columns(job->table, "one to keep", options->keep, options->n_keep);
	require_columns(job->table, "exclude", options->exclude, options->n_exclude);
	require_columns(job->table, "id_columns", options->id_columns, options->n_id_columns);
	for (int i = 0; i < options->n_monotone; i++)
		require_column(job->table, "one of monotone_constraints", options->monotone[i].column);
	for (int i = 0; i < options->n_interactions; i++)
		require_columns(job->table, "one of interaction_constraints",
						options->interactions[i].columns, options->interactions[i].n);
}

/* What is deployed, what history has, and the data, whose columns must be those that are named. */
static void
read_for(TrainJob *job)
{
	load_champion(job);
	load_history(job);
	read_data(job);
	check_columns(job);
}

/* Runs in the driver thread. */
static PgmlStatus
run_core(const PgmlEnv *env, void *arg)
{
	TrainJob *job = arg;
	return pgml_automl(env, job->table, &job->options, job->arena, &job->result);
}

/* Runs in the driver thread. */
static PgmlStatus
run_again(const PgmlEnv *env, void *arg)
{
	TrainJob *job = arg;
	return pgml_automl_repeat(env, job->table, &job->options, job->repeats, job->arena,
							  &job->result);
}

/* Runs in the driver thread. */
static PgmlStatus
run_plan(const PgmlEnv *env, void *arg)
{
	TrainJob *job = arg;
	return pgml_plan(env, job->table, &job->options, job->arena, &job->result, &job->plan);
}

/* Let the core work in the driver thread.  Reading the data has used part of the time. */
static void
run_driver(TrainJob *job, PgmlDriverFn fn)
{
	if (job->options.time_budget > 0)
	{
		double left = job->options.time_budget - (pgml_now() - job->started);
		job->options.time_budget = Max(left, 0.01);
	}
	pgml_driver_run(fn, job, &job->budget, job->threads, (uint64_t) job->seed,
					job->options.time_budget);
}

/* What the core has to say. */
static void
tell_notices(const TrainJob *job)
{
	for (int i = 0; i < job->result.n_notices; i++)
	{
		bool warning = job->result.notice_is_warning[i];
		ereport(warning ? WARNING : NOTICE,
				(errcode(warning ? ERRCODE_WARNING : ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("%s", job->result.notices[i])));
	}
}

void
training_compute(TrainJob *job)
{
	run_driver(job, run_core);
	tell_notices(job);
}

void
training_plan(TrainJob *job)
{
	double started = pgml_now();

	read_for(job);
	job->plan.read_seconds = pgml_now() - started;
	job->plan.source = OidIsValid(job->relid) ? job->source : NULL;
	run_driver(job, run_plan);
	tell_notices(job);
}

/*
 * What tells rows apart.  The first version has found it, which the model keeps; columns that have come since, in a table without a key,
 * would belong to it if it were looked for again.
 */
static void
keep_identity(TrainJob *job)
{
	PgmlSplit rules;

	if (job->rules == NULL && job->model->split != NULL)
		split_rules_read(job->model->split, &rules, &job->identity);
}

void
training_repeat(TrainJob *job)
{
	read_settings(job);
	keep_identity(job);
	job->options.time_budget = 0;
	pgml_progress_start(job->call.model, 0);
	read_data(job);
	check_columns(job);
	run_driver(job, run_again);
	pgml_progress_end();
}

/* The importance of a column, for automl_importance. */
static void
importance_words(StringInfo out, const PgmlImportance *importance)
{
	if (isnan(importance->value))
		return;
	json_key(out, "importance");
	json_number(out, importance->value);
	json_key(out, "importance_low");
	json_number(out, importance->low);
	json_key(out, "importance_high");
	json_number(out, importance->high);
}

/* What the recipe does to each input column, for automl_describe, and how important it is. */
static Jsonb *
recipe_words(TrainJob *job)
{
	PgmlError error = { 0 };
	PgmlImage *image = palloc(sizeof(PgmlImage));
	StringInfoData out;

	if (pgml_image_open(job->result.image.data, job->result.image.len, job->arena, image, &error) !=
		PGML_OK)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("the trained model cannot be read back: %s", error.message)));
	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int32_t i = 0; i < image->recipe.n_inputs; i++)
	{
		char words[1024];
		PgmlInput input = pgml_recipe_input(&image->recipe, i);
		const char *step = pgml_recipe_describe(&image->recipe, i, words, sizeof(words));

		json_comma(&out);
		appendStringInfoChar(&out, '{');
		json_key(&out, "column");
		json_string(&out, input.name);
		json_key(&out, "type");
		json_string(&out, input.type_name);
		json_key(&out, "step");
		json_string(&out, step);
		json_key(&out, "words");
		json_string(&out, words);
		if (job->result.importance != NULL)
			importance_words(&out, &job->result.importance[i]);
		appendStringInfoChar(&out, '}');
	}
	appendStringInfoChar(&out, ']');
	return json_finish(&out);
}

static CatalogVersion
store(TrainJob *job)
{
	const ExecutionFrame frame = { .rules = job->rules, .max_columns = job->max_columns };
	CatalogTraining training = {
		.model_id = job->model == NULL ? 0 : job->model->model_id,
		.model = job->call.model,
		.source = job->source,
		.settings = job->settings,
		.search_path = job->search_path,
		.seed = job->seed,
		.train_seconds = pgml_now() - job->started,
		.options = &job->options,
		.result = &job->result,
		.split = split_rules_write(&job->split, &job->identity),
		.recipe = recipe_words(job),
		.execution = job->result.execution.n_trials == 0 ?
						 NULL :
						 execution_write(&job->result.execution, &frame),
		.notices = job->result.notices,
		.n_notices = job->result.n_notices,
	};
	return catalog_store_training(&training);
}

/* Why a version that could be deployed is not; NULL when the gate is open. */
static const char *
gate_closed(const TrainJob *job, const CatalogVersion *deployed)
{
	const PgmlTrainResult *r = &job->result;

	if (deployed->version_id != job->champion.version_id)
		return psprintf("version %d was deployed meanwhile", deployed->version);
	if (r->score_is_validation)
		return "without test rows it cannot be compared with the deployed version";
	if (!r->champion_scored)
		return psprintf("the deployed version %d cannot be scored on the same test rows: %s",
						deployed->version,
						job->champion_damaged ? "its stored image is damaged" : r->champion_error);
	if (isnan(r->score.value) || isnan(r->champion_score))
		return psprintf("%s is undefined on the test rows", r->metric->name);
	if (pgml_metric_better(r->metric, r->champion_score, r->score.value))
		return psprintf("its %s of %.6g on the test rows is worse than the %.6g of version %d",
						r->metric->name, r->score.value, r->champion_score, deployed->version);
	return NULL;
}

/* Deploy the new version if it may be; says so unless it is the first.  The reason is kept. */
static bool
gate(TrainJob *job, const CatalogVersion *version)
{
	const PgmlTrainResult *r = &job->result;
	CatalogVersion deployed;

	if (!catalog_deployed(version->model_id, true, &deployed))
	{
		job->gate_reason = job->model == NULL ? "first version" : "nothing was deployed";
		catalog_deploy(job->call.model, version->model_id, version->version_id, version->version,
					   job->gate_reason);
		return true;
	}
	const char *reason = gate_closed(job, &deployed);
	job->gate_reason = reason;
	if (reason != NULL)
	{
		char *deploy = psprintf("SELECT automl_deploy(%s, %d)", quote_literal_cstr(job->call.model),
								version->version);
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("version %d is not deployed: %s", version->version, reason),
				 r->champion_uses == NULL || !r->champion_scored ||
						 deployed.version_id != job->champion.version_id ?
					 errhint("To deploy it all the same: %s.", deploy) :
					 errhint("Version %d uses \"%s\", which this one leaves out. If that column "
							 "gives the target away, its score means nothing: %s.",
							 deployed.version, r->champion_uses, deploy)));
		return false;
	}
	reason = psprintf("%s %.6g on the test rows, version %d had %.6g", r->metric->name,
					  r->score.value, deployed.version, r->champion_score);
	job->gate_reason = reason;
	ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
					 errmsg("version %d is deployed: %s", version->version, reason)));
	catalog_deploy(job->call.model, version->model_id, version->version_id, version->version,
				   reason);
	return true;
}

void
training_check(TrainJob *job, bool hold)
{
	find_model(job, hold);
	job->started = pgml_now(); /* waiting for another training of the model is not our time */
	read_settings(job);
}

void
training_read(TrainJob *job)
{
	pgml_progress_start(job->call.model, job->options.time_budget);
	read_for(job);
}

/* 42704 when the model was dropped since it was read, by a session that did not wait for its name. */
static void
find_again(const TrainJob *job)
{
	const CatalogModel *model =
		catalog_find_model(job->call.model, PGML_PRIV_MANAGE, job->model == NULL, true);

	if (job->model == NULL ? model == NULL : model->model_id == job->model->model_id)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model \"%s\" is another one than when the training began", job->call.model),
			 errhint("Train it again.")));
}

CatalogVersion
training_store(TrainJob *job, bool *deployed)
{
	CatalogVersion version;

	find_again(job);
	pgml_progress_report(0.98, "storing");
	version = store(job);
	pgml_progress_report(0.99, "deploying");
	*deployed = gate(job, &version);
	pgml_progress_end();
	return version;
}
