/*
 * catalog_schedules.c - see catalog_schedules.h.
 */
#include "pg/catalog_schedules.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pg/catalog_spi.h"
#include "pg/json_text.h"

/* A schedule is stopped when so many runs in a row have failed, whatever retries they had. */
#define MAX_FAILURES 10

/* A retry waits no longer than a day; after a crash long enough for somebody to take the schedule back. */
#define MAX_RETRY_DELAY "1 day"
#define CRASH_DELAY     "5 minutes"

/* Times that a waiting run is asked for while somebody else holds it, and microseconds between them. */
#define END_TRIES 50
#define END_PAUSE 10000

#define SCHEDULE_COLUMNS                                                                           \
	"s.schedule_id, s.schedule, s.time_zone, s.start_at, s.misfire, s.overlap, s.grace,"           \
	" s.max_retries, s.retry_delay, s.time_limit, s.active, st.next_run,"                          \
	" extract(epoch FROM s.grace)::float8"

/* ---- rows ---- */

static Interval *
copy_interval(const CatalogScope *scope, uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);
	Interval *copy;

	if (isnull)
		return NULL;
	copy = MemoryContextAlloc(scope->caller, sizeof(Interval));
	*copy = *DatumGetIntervalP(value);
	return copy;
}

static TimestampTz
timestamp_of(uint64 row, int column)
{
	bool isnull;
	Datum value = catalog_value(row, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* A row of SCHEDULE_COLUMNS. */
static CatalogSchedule
read_schedule(const CatalogScope *scope, uint64 row)
{
	bool isnull;

	return (CatalogSchedule){
		.schedule_id = catalog_int8(row, 1),
		.schedule = catalog_text(scope, row, 2),
		.time_zone = catalog_text(scope, row, 3),
		.start_at = timestamp_of(row, 4),
		.misfire = catalog_text(scope, row, 5),
		.overlap = catalog_text(scope, row, 6),
		.grace = copy_interval(scope, row, 7),
		.max_retries = catalog_int4(row, 8),
		.retry_delay = copy_interval(scope, row, 9),
		.time_limit = copy_interval(scope, row, 10),
		.active = DatumGetBool(catalog_value(row, 11, &isnull)),
		.next_run = timestamp_of(row, 12),
		.grace_seconds = DatumGetFloat8(catalog_value(row, 13, &isnull)),
	};
}

bool
catalog_find_schedule(int64 model_id, CatalogSchedule *schedule)
{
	static CatalogStatement find = {
		.sql = "SELECT " SCHEDULE_COLUMNS " FROM pgml_auto.schedules s"
			   " LEFT JOIN pgml_auto.schedule_state st USING (schedule_id)"
			   " WHERE s.model_id = $1 FOR UPDATE OF s",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model_id) };
	CatalogScope scope;
	bool found;

	catalog_enter(&scope);
	found = catalog_run(&find, values, NULL, false) > 0;
	if (found)
		*schedule = read_schedule(&scope, 0);
	catalog_leave(&scope);
	return found;
}

/* What the audit row says. */
static Jsonb *
describe(const CatalogSchedule *schedule)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	json_key(&out, "schedule");
	json_string(&out, schedule->schedule);
	json_key(&out, "time_zone");
	json_string(&out, schedule->time_zone);
	json_key(&out, "active");
	appendStringInfoString(&out, schedule->active ? "true" : "false");
	appendStringInfoChar(&out, '}');
	return json_finish(&out);
}

void
catalog_put_schedule(const CatalogModel *model, const CatalogSchedule *schedule, Jsonb *session)
{
	static CatalogStatement put = {
		.sql =
			"INSERT INTO pgml_auto.schedules (model_id, schedule, time_zone, start_at, misfire, overlap, grace,"
			" max_retries, retry_delay, time_limit, active, session, scheduled_by)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
			" ON CONFLICT (model_id) DO UPDATE SET (schedule, time_zone, start_at, misfire, overlap, grace,"
			" max_retries, retry_delay, time_limit, active, session, scheduled_by, scheduled_at)"
			" = ROW (EXCLUDED.schedule, EXCLUDED.time_zone, EXCLUDED.start_at, EXCLUDED.misfire, EXCLUDED.overlap, EXCLUDED.grace,"
			" EXCLUDED.max_retries, EXCLUDED.retry_delay, EXCLUDED.time_limit, EXCLUDED.active, EXCLUDED.session,"
			" EXCLUDED.scheduled_by, EXCLUDED.scheduled_at) RETURNING schedule_id",
		.nargs = 13,
		.types = { INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INTERVALOID,
				   INT4OID, INTERVALOID, INTERVALOID, BOOLOID, JSONBOID, TEXTOID },
	};
	static CatalogStatement put_state = {
		.sql =
			"INSERT INTO pgml_auto.schedule_state (schedule_id, database_oid, next_run) VALUES ($1, $2, $3)"
			" ON CONFLICT (schedule_id) DO UPDATE SET database_oid = EXCLUDED.database_oid,"
			" next_run = EXCLUDED.next_run, failures = 0, stopped = NULL",
		.nargs = 3,
		.types = { INT8OID, OIDOID, TIMESTAMPTZOID },
	};
	CatalogScope scope;

	catalog_enter(&scope);
	Datum values[13] = {
		Int64GetDatum(model->model_id),
		catalog_text_datum(schedule->schedule),
		catalog_text_datum(schedule->time_zone),
		TimestampTzGetDatum(schedule->start_at),
		catalog_text_datum(schedule->misfire),
		catalog_text_datum(schedule->overlap),
		IntervalPGetDatum(schedule->grace),
		Int32GetDatum(schedule->max_retries),
		IntervalPGetDatum(schedule->retry_delay),
		IntervalPGetDatum(schedule->time_limit),
		BoolGetDatum(schedule->active),
		JsonbPGetDatum(session),
		catalog_text_datum(GetUserNameFromId(scope.user, false)),
	};
	char nulls[13];

	memset(nulls, ' ', sizeof(nulls));
	nulls[9] = schedule->time_limit == NULL ? 'n' : ' ';
	catalog_run(&put, values, nulls, false);
	Datum state[3] = { Int64GetDatum(catalog_int8(0, 1)), ObjectIdGetDatum(MyDatabaseId),
					   TimestampTzGetDatum(schedule->next_run) };
	char state_nulls[3] = { ' ', ' ', schedule->next_run == DT_NOEND ? 'n' : ' ' };
	catalog_run(&put_state, state, state_nulls, false);
	catalog_audit(&scope, "schedule", model->model_id, model->name, 0, describe(schedule));
	catalog_leave(&scope);
}

bool
catalog_delete_schedule(const CatalogModel *model)
{
	static CatalogStatement delete_schedule = {
		.sql = "DELETE FROM pgml_auto.schedules WHERE model_id = $1 RETURNING schedule_id",
		.nargs = 1,
		.types = { INT8OID },
	};
	/* After the lock on the schedule is had: a look that was at work on it has queued runs that the first statement does not see. */
	static CatalogStatement delete_rest = {
		.sql =
			"WITH st AS (DELETE FROM pgml_auto.schedule_state WHERE schedule_id = $1)"
			" UPDATE pgml_auto.job_queue SET state = 'cancelled', settled = true, ended_at = clock_timestamp(),"
			" reason = 'the schedule was taken back' WHERE schedule_id = $1 AND state = 'queued'",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(model->model_id) };
	CatalogScope scope;
	bool found;

	catalog_enter(&scope);
	found = catalog_run(&delete_schedule, values, NULL, false) > 0;
	if (found)
	{
		Datum schedule[1] = { Int64GetDatum(catalog_int8(0, 1)) };

		catalog_run(&delete_rest, schedule, NULL, false);
		catalog_audit(&scope, "unschedule", model->model_id, model->name, 0, NULL);
	}
	catalog_leave(&scope);
	return found;
}

/* ---- what is due ---- */

int
catalog_due_schedules(TimestampTz now, CatalogSchedule **due)
{
	static CatalogStatement find = {
		.sql =
			"SELECT " SCHEDULE_COLUMNS " FROM pgml_auto.schedules s"
			" JOIN pgml_auto.schedule_state st USING (schedule_id)"
			" WHERE s.active AND st.database_oid = $2 AND st.stopped IS NULL AND st.next_run <= $1"
			" ORDER BY st.next_run, s.schedule_id FOR UPDATE OF s, st SKIP LOCKED",
		.nargs = 2,
		.types = { TIMESTAMPTZOID, OIDOID },
	};
	Datum values[2] = { TimestampTzGetDatum(now), ObjectIdGetDatum(MyDatabaseId) };
	CatalogScope scope;
	int n;

	catalog_enter(&scope);
	n = (int) catalog_run(&find, values, NULL, false);
	*due = MemoryContextAlloc(scope.caller, Max(n, 1) * sizeof(CatalogSchedule));
	for (int i = 0; i < n; i++)
		(*due)[i] = read_schedule(&scope, i);
	catalog_leave(&scope);
	return n;
}

/*
 * End the runs of a schedule that wait: retries only, or all.  Another look holds rows for a moment, which is waited for; what somebody
 * else holds for longer is left.
 */
static void
end_waiting_runs(int64 schedule_id, bool retries_only)
{
	static CatalogStatement end = {
		.sql =
			"UPDATE pgml_auto.job_queue SET state = 'cancelled', ended_at = clock_timestamp(),"
			" reason = 'the next run took its place' WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue"
			" WHERE schedule_id = $1 AND state = 'queued' AND (retry > 0 OR NOT $2) FOR UPDATE SKIP LOCKED)",
		.nargs = 2,
		.types = { INT8OID, BOOLOID },
	};
	static CatalogStatement left = {
		.sql = "SELECT FROM pgml_auto.job_queue"
			   " WHERE schedule_id = $1 AND state = 'queued' AND (retry > 0 OR NOT $2)",
		.nargs = 2,
		.types = { INT8OID, BOOLOID },
	};
	Datum values[2] = { Int64GetDatum(schedule_id), BoolGetDatum(retries_only) };

	catalog_run(&end, values, NULL, false);
	for (int i = 0; i < END_TRIES && catalog_run(&left, values, NULL, false) > 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(END_PAUSE);
		catalog_run(&end, values, NULL, false);
	}
}

CatalogBacklog
catalog_schedule_backlog(int64 schedule_id)
{
	static CatalogStatement count = {
		.sql =
			"SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running')"
			" FROM pgml_auto.job_queue WHERE schedule_id = $1 AND state IN ('queued', 'running')",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(schedule_id) };
	CatalogScope scope;
	CatalogBacklog backlog;

	catalog_enter(&scope);
	end_waiting_runs(schedule_id, true);
	catalog_run(&count, values, NULL, false);
	backlog = (CatalogBacklog){ catalog_int8(0, 1), catalog_int8(0, 2) };
	catalog_leave(&scope);
	return backlog;
}

int
catalog_cancel_runs(int64 schedule_id, int64 *job_ids, int max)
{
	static CatalogStatement running = {
		.sql =
			"SELECT job_id FROM pgml_auto.job_queue WHERE schedule_id = $1 AND state = 'running'",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(schedule_id) };
	CatalogScope scope;
	int n;

	catalog_enter(&scope);
	end_waiting_runs(schedule_id, false);
	n = (int) Min(catalog_run(&running, values, NULL, false), (uint64) max);
	for (int i = 0; i < n; i++)
		job_ids[i] = catalog_int8(i, 1);
	catalog_leave(&scope);
	return n;
}

/* Columns of a run's row, as s (schedules) and m (models) say; somebody who may not act as the owner has it read restricted. */
#define RUN_COLUMNS                                                                                \
	"model, role, role_oid, arguments, session, resume, database_oid, schedule_id, time_limit,"    \
	" restricted, slot_at, retry, not_before, state, settled, sqlstate, error, reason, ended_at"
#define RUN_OF_SCHEDULE                                                                             \
	"m.name, m.owner, coalesce(o.oid, 0), '{}', s.session, false, $2, s.schedule_id, s.time_limit," \
	" NOT coalesce(b.rolsuper OR pg_has_role(b.oid, o.oid, 'USAGE'), false)"
#define RUN_SOURCES                                                                                   \
	" JOIN pgml_auto.models m ON m.model_id = s.model_id LEFT JOIN pg_roles o ON o.rolname = m.owner" \
	" LEFT JOIN pg_roles b ON b.rolname = s.scheduled_by"

void
catalog_queue_run(int64 schedule_id, TimestampTz slot)
{
	static CatalogStatement insert = {
		.sql =
			"INSERT INTO pgml_auto.job_queue (" RUN_COLUMNS ") SELECT " RUN_OF_SCHEDULE
			", $3, 0, NULL,"
			" 'queued', false, NULL, NULL, NULL, NULL"
			" FROM pgml_auto.schedules s" RUN_SOURCES " WHERE s.schedule_id = $1"
			" ON CONFLICT (schedule_id, slot_at, retry) WHERE schedule_id IS NOT NULL DO NOTHING",
		.nargs = 3,
		.types = { INT8OID, OIDOID, TIMESTAMPTZOID },
	};
	Datum values[3] = { Int64GetDatum(schedule_id), ObjectIdGetDatum(MyDatabaseId),
						TimestampTzGetDatum(slot) };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&insert, values, NULL, false);
	catalog_leave(&scope);
}

void
catalog_skip_run(int64 schedule_id, TimestampTz slot, const char *reason)
{
	static CatalogStatement insert = {
		.sql =
			"INSERT INTO pgml_auto.job_queue (" RUN_COLUMNS ") SELECT " RUN_OF_SCHEDULE
			", $3, 0, NULL,"
			" 'skipped', true, NULL, NULL, $4, clock_timestamp()"
			" FROM pgml_auto.schedules s" RUN_SOURCES " WHERE s.schedule_id = $1"
			" ON CONFLICT (schedule_id, slot_at, retry) WHERE schedule_id IS NOT NULL DO NOTHING",
		.nargs = 4,
		.types = { INT8OID, OIDOID, TIMESTAMPTZOID, TEXTOID },
	};
	Datum values[4] = { Int64GetDatum(schedule_id), ObjectIdGetDatum(MyDatabaseId),
						TimestampTzGetDatum(slot), catalog_text_datum(reason) };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&insert, values, NULL, false);
	catalog_leave(&scope);
}

void
catalog_set_next_run(int64 schedule_id, TimestampTz next_run)
{
	static CatalogStatement update = {
		.sql = "UPDATE pgml_auto.schedule_state SET next_run = $2 WHERE schedule_id = $1",
		.nargs = 2,
		.types = { INT8OID, TIMESTAMPTZOID },
	};
	Datum values[2] = { Int64GetDatum(schedule_id), TimestampTzGetDatum(next_run) };
	char nulls[2] = { ' ', next_run == DT_NOEND ? 'n' : ' ' };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&update, values, nulls, false);
	catalog_leave(&scope);
}

void
catalog_stop_schedule(int64 schedule_id, const char *reason)
{
	static CatalogStatement stop = {
		.sql =
			"UPDATE pgml_auto.schedule_state SET next_run = NULL, stopped = $2 WHERE schedule_id = $1",
		.nargs = 2,
		.types = { INT8OID, TEXTOID },
	};
	Datum values[2] = { Int64GetDatum(schedule_id), catalog_text_datum(reason) };
	CatalogScope scope;

	catalog_enter(&scope);
	catalog_run(&stop, values, NULL, false);
	catalog_leave(&scope);
}

/* ---- what has ended ---- */

/* Say which schedules are stopped from now on. */
static void
warn_stopped(int n, char **models)
{
	for (int i = 0; i < n; i++)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the schedule of model \"%s\" is stopped: %d runs in a row have failed",
						models[i], MAX_FAILURES),
				 errhint("See pgml_auto.schedule_run; SELECT automl_schedule(%s) starts it again.",
						 quote_literal_cstr(models[i]))));
}

void
catalog_settle_runs(TimestampTz now)
{
	static CatalogStatement settle = {
		.sql =
			"WITH ended AS (SELECT q.job_id FROM pgml_auto.job_queue q JOIN pgml_auto.schedule_state st USING (schedule_id)"
			" WHERE NOT q.settled AND q.state NOT IN ('queued', 'running') FOR UPDATE OF q, st SKIP LOCKED),"
			" done AS (UPDATE pgml_auto.job_queue q SET settled = true FROM ended WHERE q.job_id = ended.job_id"
			" RETURNING q.schedule_id, q.slot_at, q.retry, q.state),"
			" counted AS (UPDATE pgml_auto.schedule_state st SET failures = CASE WHEN d.good THEN 0 ELSE st.failures + d.bad END"
			" FROM (SELECT schedule_id, bool_or(state = 'succeeded') AS good,"
			" count(*) FILTER (WHERE state IN ('failed', 'interrupted') AND retry = 0) AS bad FROM done GROUP BY schedule_id) d"
			" WHERE st.schedule_id = d.schedule_id)"
			" INSERT INTO pgml_auto.job_queue (" RUN_COLUMNS ") SELECT " RUN_OF_SCHEDULE
			", d.slot_at, d.retry + 1,"
			" greatest($1, d.slot_at) + greatest(least(s.retry_delay * power(2, d.retry), interval '" MAX_RETRY_DELAY
			"'),"
			" CASE d.state WHEN 'interrupted' THEN interval '" CRASH_DELAY
			"' ELSE interval '0' END),"
			" 'queued', false, NULL, NULL, NULL, NULL"
			" FROM done d JOIN pgml_auto.schedules s USING (schedule_id) JOIN pgml_auto.schedule_state st USING (schedule_id)" RUN_SOURCES
			" WHERE d.state IN ('failed', 'interrupted') AND d.retry < s.max_retries AND s.active AND st.stopped IS NULL"
			" AND st.database_oid = $2 AND NOT EXISTS (SELECT FROM pgml_auto.job_queue n WHERE n.schedule_id = d.schedule_id"
			" AND n.slot_at > d.slot_at AND n.state <> 'skipped')"
			" ON CONFLICT (schedule_id, slot_at, retry) WHERE schedule_id IS NOT NULL DO NOTHING",
		.nargs = 2,
		.types = { TIMESTAMPTZOID, OIDOID },
	};
	static CatalogStatement stop = {
		.sql =
			"UPDATE pgml_auto.schedule_state st SET next_run = NULL, stopped = format('%s runs in a row have failed', st.failures)"
			" FROM pgml_auto.schedules s, pgml_auto.models m WHERE s.schedule_id = st.schedule_id AND m.model_id = s.model_id"
			" AND st.schedule_id IN (SELECT schedule_id FROM pgml_auto.schedule_state t WHERE t.failures >= $1 AND t.stopped IS NULL"
			" AND NOT EXISTS (SELECT FROM pgml_auto.job_queue q WHERE q.schedule_id = t.schedule_id"
			" AND q.state IN ('queued', 'running')) FOR UPDATE SKIP LOCKED)"
			" RETURNING m.name",
		.nargs = 1,
		.types = { INT4OID },
	};
	Datum values[2] = { TimestampTzGetDatum(now), ObjectIdGetDatum(MyDatabaseId) };
	Datum limit[1] = { Int32GetDatum(MAX_FAILURES) };
	CatalogScope scope;
	char **models;
	int n;

	catalog_enter(&scope);
	catalog_run(&settle, values, NULL, false);
	n = (int) catalog_run(&stop, limit, NULL, false);
	models = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		models[i] = catalog_text(&scope, i, 1);
	warn_stopped(n, models);
	catalog_leave(&scope);
}

TimestampTz
catalog_next_due(TimestampTz now, bool *waiting)
{
	static CatalogStatement next = {
		.sql =
			"SELECT (SELECT min(st.next_run) FROM pgml_auto.schedule_state st JOIN pgml_auto.schedules s USING (schedule_id)"
			" WHERE s.active AND st.stopped IS NULL AND st.database_oid = $2),"
			" (SELECT min(not_before) FROM pgml_auto.job_queue WHERE state = 'queued' AND not_before > $1),"
			" EXISTS (SELECT FROM pgml_auto.job_queue WHERE state = 'queued' AND coalesce(not_before <= $1, true))",
		.nargs = 2,
		.types = { TIMESTAMPTZOID, OIDOID },
	};
	Datum values[2] = { TimestampTzGetDatum(now), ObjectIdGetDatum(MyDatabaseId) };
	CatalogScope scope;
	TimestampTz due;
	bool isnull;

	catalog_enter(&scope);
	catalog_run(&next, values, NULL, false);
	due = Min(timestamp_of(0, 1), timestamp_of(0, 2));
	*waiting = DatumGetBool(catalog_value(0, 3, &isnull));
	catalog_leave(&scope);
	return due;
}
