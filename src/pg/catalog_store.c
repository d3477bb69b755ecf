/*
 * catalog_store.c - what a training leaves behind: model, version, trials, metrics, image.
 *
 * Everything is inserted in the caller's transaction, one row at a time, the image in chunks of 1 MB, so that no
 * datum comes near 1 GB.
 */
#include "pg/catalog.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/hash.h"
#include "pg/catalog_spi.h"
#include "pg/json_text.h"
#include "pg/options.h"

/* Arguments of a statement under construction: values and nulls in order. */
typedef struct Row
{
	int n;
	Datum values[CATALOG_MAX_ARGS];
	char nulls[CATALOG_MAX_ARGS];
} Row;

static void
put(Row *row, Datum value, bool isnull)
{
	Assert(row->n < CATALOG_MAX_ARGS);
	row->values[row->n] = value;
	row->nulls[row->n++] = isnull ? 'n' : ' ';
}

static void
put_text(Row *row, const char *s)
{
	put(row, catalog_text_datum(s), s == NULL);
}

/* NaN, an undefined score, is stored as NULL. */
static void
put_float(Row *row, double v)
{
	put(row, Float8GetDatum(v), isnan(v));
}

static void
put_int8(Row *row, int64 v)
{
	put(row, Int64GetDatum(v), false);
}

static void
put_int4(Row *row, int32 v)
{
	put(row, Int32GetDatum(v), false);
}

static void
put_jsonb(Row *row, Jsonb *v)
{
	put(row, PointerGetDatum(v), v == NULL);
}

/* A text array; NULL list is NULL. */
static void
put_texts(Row *row, const char *const *list, int n)
{
	if (list == NULL)
	{
		put(row, (Datum) 0, true);
		return;
	}
	Datum *elements = palloc(sizeof(Datum) * (n + 1));
	for (int i = 0; i < n; i++)
		elements[i] = catalog_text_datum(list[i]);
	put(row, PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)),
		false);
}

/* A float8 array; NaN is NULL in it, no element is NULL. */
static void
put_floats(Row *row, const double *list, int n)
{
	Datum *elements = palloc(sizeof(Datum) * (n + 1));
	bool *nulls = palloc(n + 1);
	int lower = 1;

	for (int i = 0; i < n; i++)
	{
		nulls[i] = isnan(list[i]);
		elements[i] = Float8GetDatum(list[i]);
	}
	put(row,
		PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &lower, FLOAT8OID,
										   sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		n == 0);
}

static const char *
task_name(PgmlTask task)
{
	return task == PGML_TASK_REGRESSION ? "regression" :
		   task == PGML_TASK_BINARY     ? "binary" :
										  "multiclass";
}

/* The rows that were scored. */
static const char *
score_part(const PgmlTrainResult *result)
{
	return result->score_is_validation ? "validation" : "test";
}

/* A new model, owned by the caller.  What its probabilities mean is fixed here, also when nobody chose it. */
static int64
insert_model(const CatalogScope *scope, const CatalogTraining *t)
{
	static CatalogStatement insert = {
		.sql = "INSERT INTO pgml_auto.models"
			   " (name, owner, task, target, metric, positive_class, split)"
			   " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING"
			   " RETURNING model_id",
		.nargs = 7,
		.types = { TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID },
	};
	Row row = { 0 };

	put_text(&row, t->model);
	put_text(&row, GetUserNameFromId(scope->user, false));
	put_text(&row, task_name(t->result->task));
	put_text(&row, t->options->target);
	put_text(&row, t->result->metric->name);
	put_text(&row, t->result->task == PGML_TASK_BINARY ? t->result->classes[1] : NULL);
	put_jsonb(&row, t->split);
	if (catalog_run(&insert, row.values, row.nulls, false) == 0)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("model \"%s\" was created by another transaction", t->model),
						errhint("Train again: that adds a version to it.")));
	return catalog_int8(0, 1);
}

/* Take the next version number and keep the rules the training has completed. */
static int32
take_version_number(const CatalogTraining *t, int64 model_id)
{
	static CatalogStatement update = {
		.sql =
			"UPDATE pgml_auto.models SET next_version = next_version + 1, metric = $2, split = $3"
			" WHERE model_id = $1 RETURNING next_version - 1",
		.nargs = 3,
		.types = { INT8OID, TEXTOID, JSONBOID },
	};
	Row row = { 0 };

	put_int8(&row, model_id);
	put_text(&row, t->result->metric->name);
	put_jsonb(&row, t->split);
	if (catalog_run(&update, row.values, row.nulls, false) == 0)
		elog(ERROR, "model " INT64_FORMAT " vanished while it was locked", model_id);
	return catalog_int4(0, 1);
}

/* The table in numbers, by their names. */
static Jsonb *
meta_features(const PgmlMeta *meta)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < PGML_META_COUNT; i++)
	{
		json_key(&out, pgml_meta_name(i));
		json_number(&out, meta->v[i]);
	}
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

static int64
insert_version(const CatalogScope *scope, const CatalogTraining *t, const CatalogVersion *version)
{
	static CatalogStatement insert = {
		.sql =
			"INSERT INTO pgml_auto.versions (model_id, version, created_by, source, settings,"
			" search_path, algorithm, classes, metric, score, score_low, score_high, baseline,"
			" score_part, rows_total, rows_read, rows_train, rows_test, inputs, features,"
			" train_seconds, seed, recipe, notices, image_bytes, image_crc, built_by, predict_us,"
			" why_chosen, execution, meta_features)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
			" $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31)"
			" RETURNING version_id",
		.nargs = 31,
		.types = { INT8OID,      INT4OID,  TEXTOID,      TEXTOID,   JSONBOID,  TEXTOID,   TEXTOID,
				   TEXTARRAYOID, TEXTOID,  FLOAT8OID,    FLOAT8OID, FLOAT8OID, FLOAT8OID, TEXTOID,
				   INT8OID,      INT8OID,  INT8OID,      INT8OID,   INT4OID,   INT4OID,   FLOAT8OID,
				   INT8OID,      JSONBOID, TEXTARRAYOID, INT8OID,   INT8OID,   TEXTOID,   FLOAT8OID,
				   TEXTOID,      JSONBOID, JSONBOID },
	};
	const PgmlTrainResult *r = t->result;
	static const char *const none[1] = { NULL };
	Row row = { 0 };

	put_int8(&row, version->model_id);
	put_int4(&row, version->version);
	put_text(&row, GetUserNameFromId(scope->user, false));
	put_text(&row, t->source);
	put_jsonb(&row, t->settings);
	put_text(&row, t->search_path);
	put_text(&row, r->algorithm);
	put_texts(&row, r->task == PGML_TASK_REGRESSION ? NULL : r->classes, r->n_classes);
	put_text(&row, r->metric->name);
	put_float(&row, r->score.value);
	put_float(&row, r->score.low);
	put_float(&row, r->score.high);
	put_float(&row, r->baseline);
	put_text(&row, score_part(r));
	put_int8(&row, r->rows_total);
	put_int8(&row, r->rows_read);
	put_int8(&row, r->rows_train);
	put_int8(&row, r->rows_test);
	put_int4(&row, r->n_inputs);
	put_int4(&row, r->n_features);
	put_float(&row, t->train_seconds);
	put_int8(&row, t->seed);
	put_jsonb(&row, t->recipe);
	put_texts(&row, t->n_notices > 0 ? t->notices : none, t->n_notices);
	put_int8(&row, version->image_bytes);
	put_int8(&row, version->image_crc);
	put_text(&row, "pgml_auto " PGML_VERSION ", PostgreSQL " PG_VERSION);
	put_float(&row, r->predict_us);
	put_text(&row, r->why);
	put_jsonb(&row, t->execution);
	put_jsonb(&row, meta_features(&r->meta));
	catalog_run(&insert, row.values, row.nulls, false);
	return catalog_int8(0, 1);
}

/* All settings of a trial by name, and the constraints that it kept to. */
static Jsonb *
trial_settings(const PgmlTrial *trial, const Jsonb *given)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < trial->learner->n_params; i++)
	{
		const PgmlParam *param = &trial->learner->params[i];
		size_t len;
		const char *word = pgml_param_word(param, trial->params.v[i], &len);

		json_key(&out, param->name);
		if (word != NULL)
			json_string(&out, pnstrdup(word, len));
		else if (param->type == PGML_PARAM_BOOL)
			appendStringInfoString(&out, trial->params.v[i] != 0 ? "true" : "false");
		else
			json_number(&out, trial->params.v[i]);
	}
	if (trial->learner != &pgml_learner_constant)
		train_constraints_write(&out, given);
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

static void
insert_trial(int64 version_id, const PgmlMetric *metric, const PgmlTrial *trial, const Jsonb *given)
{
	static CatalogStatement insert = {
		.sql =
			"INSERT INTO pgml_auto.trials (version_id, trial, algorithm, settings, status, metric,"
			" validation_score, rows, folds, iterations, fit_cpu_seconds, fit_wall_seconds,"
			" chosen, error, weight, predict_us, image_bytes, fold_scores, source, source_model_id)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
			" $18, $19, $20)",
		.nargs = 20,
		.types = { INT8OID,   INT4OID,   TEXTOID, JSONBOID,       TEXTOID,   TEXTOID, FLOAT8OID,
				   INT8OID,   INT4OID,   INT4OID, FLOAT8OID,      FLOAT8OID, BOOLOID, TEXTOID,
				   FLOAT8OID, FLOAT8OID, INT8OID, FLOAT8ARRAYOID, TEXTOID,   INT8OID },
	};
	static const char *const status[] = { "ok", "failed", "timeout", "skipped" };
	static const char *const source[] = { "portfolio", "search", "own", "similar" };
	Row row = { 0 };

	put_int8(&row, version_id);
	put_int4(&row, trial->number);
	put_text(&row, trial->learner->name);
	put_jsonb(&row, trial_settings(trial, given));
	put_text(&row, status[trial->status]);
	put_text(&row, metric->name);
	put_float(&row, trial->validation_score);
	put_int8(&row, trial->rows);
	put_int4(&row, trial->folds);
	put_int4(&row, trial->best_iteration);
	put_float(&row, trial->fit_cpu);
	put_float(&row, trial->fit_wall);
	put(&row, BoolGetDatum(trial->chosen), false);
	put_text(&row, trial->error[0] == '\0' ? NULL : trial->error);
	put_float(&row, trial->weight);
	put_float(&row, trial->predict_us);
	put_int8(&row, trial->bytes);
	put_floats(&row, trial->fold_score, trial->folds);
	put_text(&row, source[trial->source]);
	put(&row, Int64GetDatum(trial->source_model), trial->source_model == 0);
	catalog_run(&insert, row.values, row.nulls, false);
}

static void
insert_metric(int64 version_id, const char *part, const PgmlScore *score)
{
	static CatalogStatement insert = {
		.sql = "INSERT INTO pgml_auto.metrics (version_id, part, metric, value, low, high)"
			   " VALUES ($1, $2, $3, $4, $5, $6)",
		.nargs = 6,
		.types = { INT8OID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, FLOAT8OID },
	};
	Row row = { 0 };

	put_int8(&row, version_id);
	put_text(&row, part);
	put_text(&row, score->metric->name);
	put_float(&row, score->value);
	put_float(&row, score->low);
	put_float(&row, score->high);
	catalog_run(&insert, row.values, row.nulls, false);
}

static void
insert_image(int64 version_id, const PgmlBuf *image)
{
	static CatalogStatement insert = {
		.sql = "INSERT INTO pgml_auto.image_chunks (version_id, chunk, data) VALUES ($1, $2, $3)",
		.nargs = 3,
		.types = { INT8OID, INT4OID, BYTEAOID },
	};
	bytea *chunk = palloc(VARHDRSZ + CATALOG_CHUNK);

	for (size_t offset = 0; offset < image->len; offset += CATALOG_CHUNK)
	{
		size_t len = Min(image->len - offset, CATALOG_CHUNK);
		Datum values[3] = { Int64GetDatum(version_id),
							Int32GetDatum((int32) (offset / CATALOG_CHUNK)),
							PointerGetDatum(chunk) };

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(chunk, VARHDRSZ + len);
		memcpy(VARDATA(chunk), image->data + offset, len);
		catalog_run(&insert, values, NULL, false);
	}
	pfree(chunk);
}

/* What the audit row of a training tells beside model and version. */
static Jsonb *
training_details(const CatalogTraining *t)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	json_key(&out, "algorithm");
	json_string(&out, t->result->algorithm);
	json_key(&out, t->result->metric->name);
	json_number(&out, t->result->score.value);
	json_key(&out, "rows_train");
	json_number(&out, (double) t->result->rows_train);
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

CatalogVersion
catalog_store_training(const CatalogTraining *t)
{
	const PgmlTrainResult *r = t->result;
	CatalogVersion version = {
		.model_id = t->model_id,
		.image_bytes = (int64) r->image.len,
		.image_crc = pgml_crc32c(0, r->image.data, r->image.len),
	};
	CatalogScope scope;

	catalog_enter(&scope);
	if (version.model_id == 0)
		version.model_id = insert_model(&scope, t);
	version.version = take_version_number(t, version.model_id);
	version.version_id = insert_version(&scope, t, &version);
	for (int i = 0; i < r->n_trials; i++)
		insert_trial(version.version_id, r->metric, &r->trials[i], t->settings);
	for (int i = 0; i < r->n_test_scores; i++)
		insert_metric(version.version_id, score_part(r), &r->test_scores[i]);
	insert_image(version.version_id, &r->image);
	catalog_audit(&scope, "train", version.model_id, t->model, version.version,
				  training_details(t));
	catalog_leave(&scope);
	return version;
}
