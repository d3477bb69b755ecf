/*
 * reproduce.c - automl_reproduce(): what a training has executed, executed again on the rows that are there now.
 *
 * Nothing is stored, so that it works in read-only transactions and on standbys.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "model/image.h"
#include "pg/compat.h"
#include "pg/execution.h"
#include "pg/json_text.h"
#include "pg/training.h"

PG_FUNCTION_INFO_V1(pgml_auto_reproduce);
PGDLLEXPORT Datum pgml_auto_reproduce(PG_FUNCTION_ARGS);

/* What comes back. */
typedef struct Outcome
{
	bool repeated;
	bool identical;
	const char *reason; /* NULL: identical */
} Outcome;

/* SHA-256 in hexadecimal. */
static text *
fingerprint(const uint8 *data, size_t len)
{
	uint8 digest[PG_SHA256_DIGEST_LENGTH];
	char hex[2 * PG_SHA256_DIGEST_LENGTH + 1];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, data, len) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the SHA-256 of a model");
	pg_cryptohash_free(context);
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return cstring_to_text(hex);
}

/* "; " and one more thing that is another one now. */
static void
add_difference(StringInfo words, const char *what, const char *then, const char *now)
{
	if (strcmp(then, now) == 0)
		return;
	appendStringInfo(words, "%s%s was %s then and is %s now", words->len > 0 ? "; " : "", what,
					 then[0] == '\0' ? "missing" : then, now[0] == '\0' ? "missing" : now);
}

/* The release that a version was built by: the first two words. */
static char *
release_of(const char *built_by)
{
	const char *end = strchr(built_by, ',');

	return end == NULL ? pstrdup(built_by) : pnstrdup(built_by, end - built_by);
}

/* Why the same data gave another image, as far as is known. */
static const char *
explain_difference(const TrainJob *job, const char *built_by)
{
	const PgmlExecution *then = job->repeats, *now = &job->result.execution;
	bool memory = false, lost = false;
	StringInfoData words;

	initStringInfo(&words);
	add_difference(&words, "the release", release_of(built_by), "pgml_auto " PGML_VERSION);
	add_difference(&words, "the processor", then->cpu, now->cpu);
	add_difference(&words, "OpenBLAS", then->blas, now->blas);
	for (int i = 0; i < then->n_trials; i++)
	{
		memory |= then->trials[i].memory_ended;
		lost |= then->trials[i].notes_lost;
	}
	if (memory)
		appendStringInfo(&words, "%spgml_auto.max_memory ended fits then",
						 words.len > 0 ? "; " : "");
	if (lost)
		appendStringInfo(&words, "%smemory did not suffice to note all that the clock decided then",
						 words.len > 0 ? "; " : "");
	if (words.len == 0)
		return "the model is another one, although nothing else that is known of is";
	return psprintf("the model is another one: %s", words.data);
}

/* Why the image is not the stored one, which may be damaged itself. */
static const char *
explain(TrainJob *job, const CatalogVersion *version, const uint8 *image, const char *built_by)
{
	PgmlImage *opened = palloc(sizeof(PgmlImage));
	PgmlError error = { 0 };

	if (pgml_image_open(image, (size_t) version->image_bytes, job->arena, opened, &error) !=
		PGML_OK)
		return psprintf("the stored %s", error.message);
	return explain_difference(job, built_by);
}

/* Execute a version again, as job; the stored image is read to compare. */
static Outcome
reproduce(TrainJob *job, const CatalogVersion *version, const uint8 *image)
{
	CatalogExecution stored;
	PgmlExecution *execution = palloc(sizeof(PgmlExecution));
	ExecutionFrame frame;

	catalog_execution(version, &stored);
	if (stored.execution == NULL)
		return (Outcome){ .reason = psprintf("%s has not stored what it executed",
											 release_of(stored.built_by)) };
	execution_read(stored.execution, execution, &frame);
	job->stored_source = true;
	job->source = stored.source;
	job->search_path = stored.search_path;
	job->settings = stored.settings;
	job->rules = frame.rules;
	job->max_columns = frame.max_columns;
	job->repeats = execution;
	training_repeat(job);
	if (job->result.not_repeated != NULL)
		return (Outcome){ .reason = job->result.not_repeated };
	if (job->result.image.len == (size_t) version->image_bytes &&
		memcmp(job->result.image.data, image, job->result.image.len) == 0)
		return (Outcome){ .repeated = true, .identical = true };
	return (Outcome){ .repeated = true, .reason = explain(job, version, image, stored.built_by) };
}

/* A training that is told nothing. */
static Jsonb *
no_arguments(void)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{}");
	return json_finish(&out);
}

static void
return_row(ReturnSetInfo *rsinfo, const TrainJob *job, const CatalogVersion *version,
		   const uint8 *image, const Outcome *outcome)
{
	const PgmlTrainResult *r = &job->result;
	Datum values[9];
	bool nulls[9] = { false };

	values[0] = CStringGetTextDatum(job->model->name);
	values[1] = Int32GetDatum(version->version);
	nulls[2] = !outcome->repeated;
	values[2] = BoolGetDatum(outcome->identical);
	nulls[3] = outcome->reason == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(outcome->reason);
	nulls[4] = job->table == NULL;
	values[4] = Int64GetDatum(r->rows_read);
	values[5] = Float8GetDatum(rint((pgml_now() - job->started) * 1000) / 1000);
	values[6] = Int64GetDatum(version->image_bytes);
	values[7] = PointerGetDatum(fingerprint(image, (size_t) version->image_bytes));
	nulls[8] = !outcome->repeated;
	values[8] = nulls[8] ? (Datum) 0 : PointerGetDatum(fingerprint(r->image.data, r->image.len));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* See sql/parts/30_train.sql. */
Datum
pgml_auto_reproduce(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto reproduce", ALLOCSET_DEFAULT_SIZES);
	CatalogVersion version;
	TrainCall call = { 0 };
	int32 ignored;

	/* Reading needs a subtransaction. */
	if (IsInParallelMode())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
						errmsg("automl_reproduce() cannot run during a parallel operation"),
						errhint("Call it as SELECT * FROM automl_reproduce(...).")));
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model must not be NULL")));
	InitMaterializedSRF(fcinfo, 0);
	MemoryContext caller = MemoryContextSwitchTo(context);
	char *reference = text_to_cstring(PG_GETARG_TEXT_PP(0));
	call.model = catalog_split_reference(reference, &ignored);
	call.given = no_arguments();
	TrainJob *job = training_create(&call);
	job->started = pgml_now();
	job->model = catalog_find_model(call.model, PGML_PRIV_MANAGE, false, false);
	catalog_resolve(reference, &version);
	uint8 *image = catalog_read_image(&version, context);
	Outcome outcome = reproduce(job, &version, image);
	return_row(rsinfo, job, &version, image, &outcome);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return (Datum) 0;
}
