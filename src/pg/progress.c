/*
 * progress.c - trainings that run, seen from any session.
 *
 * A backend's entry in the backend status table has a progress command and 20 numbers, free for one command at a time.
 * We use a command number outside of PostgreSQL's own, so that no pg_stat_progress view shows it, and keep names as
 * text in the numbers:
 *
 *   0       magic, telling our layout from anybody else's
 *   1       start, a TimestampTz
 *   2       fraction done, in millionths
 *   3       when it was seen last, a TimestampTz
 *   4-11    model, 64 bytes
 *   12-17   step, 48 bytes
 *   18      best score so far, the bits of a double
 *   19      bytes of memory
 *
 * PostgreSQL clears the command when a transaction or subtransaction aborts, so errors need no handling here.  Another
 * command's progress (COPY (SELECT ... FROM automl_train(...)) TO ...) is left alone.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "commands/dbcommands.h"
#include "pg/compat.h"
#include "pg/guc.h"
#include "pg/json_text.h"
#include "pg/progress.h"

#define PROGRESS_COMMAND_TRAINING ((ProgressCommandType) 0x504d)
#define PROGRESS_MAGIC            INT64CONST(0x31474f52504c4d50)

enum
{
	SLOT_MAGIC = 0,
	SLOT_START = 1,
	SLOT_FRACTION = 2,
	SLOT_SEEN = 3,
	SLOT_MODEL = 4,
	SLOT_STEP = 12,
	SLOT_BEST = 18,
	SLOT_MEMORY = 19,
	MODEL_SLOTS = SLOT_STEP - SLOT_MODEL,
	STEP_SLOTS = SLOT_BEST - SLOT_STEP,
	MODEL_BYTES = MODEL_SLOTS * 8
};

StaticAssertDecl(SLOT_MEMORY < PGSTAT_NUM_PROGRESS_PARAM, "progress slots");

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_progress);

/* The training shown last, for pgml_progress_resume(). */
static char current_model[MODEL_BYTES];
static TimestampTz current_start;
static double current_budget;

/* What pgml_progress_say() said last, and when. */
static char said_step[STEP_SLOTS * 8];
static double said_best;
static TimestampTz said_at;

/* Trainings that take less say nothing. */
#define QUIET_MS 2000

/* Put a text into n numbers, cut at a whole character. */
static void
pack_text(int64 *slots, int n, const char *text)
{
	memset(slots, 0, n * sizeof(int64));
	memcpy(slots, text, pg_mbcliplen(text, strlen(text), n * sizeof(int64) - 1));
}

/* Write value into consecutive slots in one change, so that readers never see half of it. */
static void
write_slots(int first, int n, const int64 *values)
{
	int index[PGSTAT_NUM_PROGRESS_PARAM];

	for (int i = 0; i < n; i++)
		index[i] = first + i;
	pgstat_progress_update_multi_param(n, index, values);
}

bool
pgml_progress_active(void)
{
	return MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_TRAINING &&
		   MyBEEntry->st_progress_param[SLOT_MAGIC] == PROGRESS_MAGIC;
}

/* Show the training in current_model unless another command's progress is shown. */
void
pgml_progress_resume(void)
{
	int64 slots[SLOT_STEP] = { [SLOT_MAGIC] = PROGRESS_MAGIC, [SLOT_START] = current_start };

	if (MyBEEntry == NULL || (MyBEEntry->st_progress_command != PROGRESS_COMMAND_INVALID &&
							  MyBEEntry->st_progress_command != PROGRESS_COMMAND_TRAINING))
		return;
	memcpy(slots + SLOT_MODEL, current_model, MODEL_BYTES);
	slots[SLOT_SEEN] = GetCurrentTimestamp();
	pgstat_progress_start_command(PROGRESS_COMMAND_TRAINING, InvalidOid);
	write_slots(0, SLOT_STEP, slots);
	pgml_progress_measure(NAN, 0);
}

void
pgml_progress_start(const char *model, double time_budget)
{
	int64 slots[MODEL_SLOTS];

	pack_text(slots, MODEL_SLOTS, model);
	memcpy(current_model, slots, MODEL_BYTES);
	current_start = GetCurrentTimestamp();
	current_budget = time_budget;
	said_step[0] = '\0';
	said_best = NAN;
	said_at = 0;
	pgml_progress_resume();
}

void
pgml_progress_report(double fraction, const char *step)
{
	int64 slots[STEP_SLOTS];
	int64 millionths = (int64) (Min(Max(fraction, 0.0), 1.0) * 1e6);

	if (!pgml_progress_active())
		return;
	pack_text(slots, STEP_SLOTS, step);
	write_slots(SLOT_FRACTION, 1, &millionths);
	write_slots(SLOT_STEP, STEP_SLOTS, slots);
}

void
pgml_progress_measure(double best_score, int64 memory_bytes)
{
	int64 measures[2] = { 0, memory_bytes };
	int64 seen = GetCurrentTimestamp();

	if (!pgml_progress_active())
		return;
	memcpy(&measures[0], &best_score, sizeof(best_score));
	write_slots(SLOT_SEEN, 1, &seen);
	write_slots(SLOT_BEST, 2, measures);
}

void
pgml_progress_say(const char *step, const char *metric, double best)
{
	TimestampTz now = GetCurrentTimestamp();
	long seconds = (long) ((now - current_start) / USECS_PER_SEC);
	bool same_best = best == said_best || isnan(best);

	/* A client is there to read it, and it is not what was said before. */
	if (pgml_progress_interval_ms() == 0 || whereToSendOutput != DestRemote ||
		!pgml_progress_active() || (same_best && strcmp(step, said_step) == 0) ||
		!TimestampDifferenceExceeds(current_start, now, QUIET_MS) ||
		!TimestampDifferenceExceeds(said_at, now, pgml_progress_interval_ms()))
		return;
	said_at = now;
	said_best = best;
	strlcpy(said_step, step, sizeof(said_step));
	ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
					 errmsg("%ld s%s: %s%s", seconds,
							current_budget > 0 ? psprintf(" of %.0f s", current_budget) : "", step,
							isnan(best) ? "" : psprintf(", best %s %.5g", metric, best))));
}

void
pgml_progress_end(void)
{
	if (pgml_progress_active())
		pgstat_progress_end_command();
}

/* The text in n numbers, at most MODEL_SLOTS, as a datum. */
static Datum
unpack_text(const int64 *slots, int n)
{
	char bytes[MODEL_BYTES];

	memcpy(bytes, slots, n * sizeof(int64));
	bytes[n * sizeof(int64) - 1] = '\0';
	return CStringGetTextDatum(text_clip(bytes)); /* other databases have other encodings */
}

/* Add the row of a training to the result. */
static void
put_training(ReturnSetInfo *rsinfo, const PgBackendStatus *entry)
{
	const int64 *slots = entry->st_progress_param;
	char *database = get_database_name(entry->st_databaseid);
	char *user = GetUserNameFromId(entry->st_userid, true);
	double best;
	Datum values[11];
	bool nulls[11] = { false };

	values[0] = Int32GetDatum(entry->st_procpid);
	nulls[1] = database == NULL;
	values[1] = database != NULL ? CStringGetTextDatum(database) : (Datum) 0;
	nulls[2] = user == NULL;
	values[2] = user != NULL ? CStringGetTextDatum(user) : (Datum) 0;
	values[3] = unpack_text(slots + SLOT_MODEL, MODEL_SLOTS);
	values[4] = TimestampTzGetDatum(slots[SLOT_START]);
	values[5] =
		Float8GetDatum((double) (GetCurrentTimestamp() - slots[SLOT_START]) / USECS_PER_SEC);
	values[6] = Float8GetDatum((double) slots[SLOT_FRACTION] / 1e4);
	values[7] = unpack_text(slots + SLOT_STEP, STEP_SLOTS);
	memcpy(&best, &slots[SLOT_BEST], sizeof(best));
	nulls[8] = isnan(best);
	values[8] = Float8GetDatum(best);
	values[9] = Int64GetDatum(slots[SLOT_MEMORY]);
	values[10] = TimestampTzGetDatum(slots[SLOT_SEEN]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * pgml_auto_progress() - trainings that run now, in any database, which the current user may see: their own, those of
 * roles they are a member of, all with pg_read_all_stats.  Like pg_stat_activity, frozen within a transaction.
 */
Datum
pgml_auto_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool sees_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	int n;

	InitMaterializedSRF(fcinfo, 0);
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(i);
		const PgBackendStatus *entry = local != NULL ? &local->backendStatus : NULL;

		if (entry == NULL || entry->st_procpid <= 0 ||
			entry->st_progress_command != PROGRESS_COMMAND_TRAINING ||
			entry->st_progress_param[SLOT_MAGIC] != PROGRESS_MAGIC)
			continue;
		if (sees_all || has_privs_of_role(GetUserId(), entry->st_userid))
			put_training(rsinfo, entry);
	}
	return (Datum) 0;
}
