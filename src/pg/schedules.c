/*
 * schedules.c - trainings by the clock.
 *
 * core/cron.c knows when a schedule is due; here are its time zones, which are PostgreSQL's, and what is done about slots that
 * were missed or meet an earlier run.  A run is a job in the queue (jobs.c), of the model's owner.
 */
#include "pg/schedules.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "core/cron.h"
#include "pg/catalog.h"
#include "pg/catalog_schedules.h"
#include "pg/compat.h"
#include "pg/error.h"
#include "pg/jobs.h"
#include "pg/wake.h"

#define MAX_NEXT_RUNS  1000
#define MAX_CANCELLED  64
#define MAX_RETRIES    10
#define FIRST_LOOKBACK 3600 /* seconds */

PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_schedule);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_unschedule);
PGDLLEXPORT PG_FUNCTION_INFO_V1(pgml_auto_next_runs);

/* A schedule that has been read. */
typedef struct Timing
{
	PgmlCron cron;
	PgmlZone zone;
} Timing;

/* ---- time zones and instants ---- */

static int32_t
zone_offset(const void *arg, int64_t utc, int64_t *until)
{
	pg_time_t at = utc, boundary = utc;
	long before = 0, after = 0;
	int dst_before, dst_after, found;

	/* Changes of the zone's name alone are none. */
	do
	{
		at = boundary;
		found = pg_next_dst_boundary(&at, &before, &dst_before, &boundary, &after, &dst_after, arg);
	} while (found == 1 && before == after);
	*until = found == 1 ? boundary : PGML_CRON_NEVER;
	return (int32_t) before;
}

/* 22023 for a time zone that is not there. */
static pg_tz *
find_zone(const char *name)
{
	pg_tz *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unrecognized time zone \"%s\"", name),
						errhint("See SELECT name FROM pg_timezone_names.")));
	return zone;
}

/* Whole seconds since 1970, rounded down. */
static int64
seconds_of(TimestampTz at)
{
	int64 shifted = at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	return shifted / USECS_PER_SEC - (shifted % USECS_PER_SEC < 0);
}

static TimestampTz
timestamp_of(int64 seconds)
{
	TimestampTz at;

	if (seconds == PGML_CRON_NEVER)
		return DT_NOEND;
	at = seconds * USECS_PER_SEC - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	return IS_VALID_TIMESTAMP(at) ? at : DT_NOEND;
}

/* 22023 for an instant that slots cannot be counted from. */
static TimestampTz
check_instant(TimestampTz at, const char *argument)
{
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be finite", argument), errhint("Give a point in time.")));
	return at;
}

/* The first slot after an instant; DT_NOEND when there is none. */
static TimestampTz
next_slot(const Timing *timing, TimestampTz after)
{
	return timestamp_of(pgml_cron_next(&timing->cron, &timing->zone, seconds_of(after)));
}

/* The first slot from an instant on. */
static TimestampTz
slot_from(const Timing *timing, TimestampTz from)
{
	return next_slot(timing, from - 1);
}

/* Read a schedule; intervals count from start, rounded up to a whole second. */
static void
read_timing(const char *schedule, const char *time_zone, TimestampTz start, Timing *timing)
{
	PgmlError error = { 0 };
	PgmlStatus status;

	timing->zone = (PgmlZone){ zone_offset, find_zone(time_zone) };
	if (pgml_cron_is_fields(schedule))
		status = pgml_cron_parse(schedule, &timing->cron, &error);
	else
	{
		Interval *step =
			DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(schedule),
												  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		bool whole = !INTERVAL_IS_NOBEGIN(step) && !INTERVAL_IS_NOEND(step) &&
					 step->time % USECS_PER_SEC == 0;

		status = pgml_cron_interval(step->month, step->day, whole ? step->time / USECS_PER_SEC : -1,
									seconds_of(start + USECS_PER_SEC - 1), &timing->cron, &error);
	}
	if (status != PGML_OK)
	{
		error.status = status;
		pgml_raise(&error);
	}
}

/* ---- what is due ---- */

/* Slots that are due, the last ones, and how many there are before. */
typedef struct Due
{
	TimestampTz slots[SCHEDULE_MAX_SLOTS];
	int n;
	bool more; /* than these */
} Due;

/* Slots from one instant on to another: the last ones, and their number. */
static int64
walk(const Timing *timing, TimestampTz from, TimestampTz until, Due *due)
{
	int64 seen = 0;

	for (TimestampTz slot = slot_from(timing, from); slot <= until; slot = next_slot(timing, slot))
		due->slots[seen++ % SCHEDULE_MAX_SLOTS] = slot;
	return seen;
}

/*
 * The last slots up to now, of those from the first one on.  After a long time there may be very many: the search begins in the
 * last hour and goes back further and further, until there are enough.
 */
static Due
find_due(const Timing *timing, TimestampTz first, TimestampTz now)
{
	Due ring = { .n = 0 }, due = { .n = 0 };
	TimestampTz from;
	int64 seen, back = FIRST_LOOKBACK * USECS_PER_SEC;

	for (;; back *= 2)
	{
		from = now - back < first ? first : now - back;
		seen = walk(timing, from, now, &ring);
		if (seen >= SCHEDULE_MAX_SLOTS || from == first)
			break;
	}
	due.n = (int) Min(seen, SCHEDULE_MAX_SLOTS);
	due.more = seen > due.n || (from > first && slot_from(timing, first) < from);
	for (int i = 0; i < due.n; i++)
		due.slots[i] = ring.slots[(seen - due.n + i) % SCHEDULE_MAX_SLOTS];
	return due;
}

/* Write down that slots were missed, in one row, that of the last of them. */
static void
skip_missed(const CatalogSchedule *s, const Due *due, int n)
{
	if (n == 0)
		return;
	catalog_skip_run(s->schedule_id, due->slots[n - 1],
					 due->more ? psprintf("missed, with more than %d before it", n - 1) :
					 n > 1     ? psprintf("missed, with %d before it", n - 1) :
								 "missed");
}

/* Whether the run of a slot may be queued beside those that are not done; if not, that is written down. */
static bool
may_queue(const CatalogSchedule *s, TimestampTz slot, int64 *cancelled, int *n_cancelled)
{
	CatalogBacklog backlog;
	bool skip;

	if (strcmp(s->overlap, "cancel") == 0)
	{
		*n_cancelled += catalog_cancel_runs(s->schedule_id, cancelled + *n_cancelled,
											MAX_CANCELLED - *n_cancelled);
		return true;
	}
	backlog = catalog_schedule_backlog(s->schedule_id);
	skip = strcmp(s->overlap, "queue_one") == 0 ? backlog.queued > 0 :
												  backlog.queued + backlog.running > 0;
	if (skip)
		catalog_skip_run(s->schedule_id, slot,
						 backlog.running > 0 && backlog.queued == 0 ?
							 "an earlier run is still running" :
							 "an earlier run is still waiting");
	return !skip;
}

/* Queue what is due of one schedule. */
static void
queue_due(const CatalogSchedule *s, TimestampTz now, int64 *cancelled, int *n_cancelled)
{
	Timing timing;
	Due due;
	int first; /* of the slots that are run */

	read_timing(s->schedule, s->time_zone, s->start_at, &timing);
	due = find_due(&timing, s->next_run, now);
	catalog_set_next_run(s->schedule_id, next_slot(&timing, now));
	/* Nothing, when the rules of the time zone are others than when next_run was computed. */
	if (due.n == 0)
		return;
	first = due.n - 1;
	if (strcmp(s->misfire, "catch_up") == 0)
		first = 0;
	else if (strcmp(s->misfire, "skip") == 0 &&
			 (double) (now - due.slots[due.n - 1]) > s->grace_seconds * USECS_PER_SEC)
		first = due.n;
	skip_missed(s, &due, first);
	if (first < due.n && may_queue(s, due.slots[due.n - 1], cancelled, n_cancelled))
		for (int i = first; i < due.n; i++)
			catalog_queue_run(s->schedule_id, due.slots[i]);
}

/* A schedule that cannot be followed any more, perhaps since its time zone is gone, must not keep others from being followed. */
static void
queue_or_stop(const CatalogSchedule *s, TimestampTz now, int64 *cancelled, int *n_cancelled)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		queue_due(s, now, cancelled, n_cancelled);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		/* Not what is no fault of the schedule: it is tried again. */
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		catalog_stop_schedule(s->schedule_id, error->message);
	}
	PG_END_TRY();
}

int
schedules_queue_due(TimestampTz now, int64 **cancelled)
{
	CatalogSchedule *due;
	int n_cancelled = 0;
	int n = catalog_due_schedules(now, &due);

	*cancelled = palloc(MAX_CANCELLED * sizeof(int64));
	for (int i = 0; i < n; i++)
		queue_or_stop(&due[i], now, *cancelled, &n_cancelled);
	return n_cancelled;
}

/* ---- SQL functions ---- */

static char *
text_argument(FunctionCallInfo fcinfo, int i, char *otherwise)
{
	return PG_ARGISNULL(i) ? otherwise : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static Interval *
interval_argument(FunctionCallInfo fcinfo, int i, const char *name, Interval *otherwise)
{
	Interval *interval;

	if (PG_ARGISNULL(i))
		return otherwise;
	interval = PG_GETARG_INTERVAL_P(i);
	if (INTERVAL_IS_NOBEGIN(interval) || INTERVAL_IS_NOEND(interval) || interval->month < 0 ||
		interval->month > 1200 || interval->day < 0 || interval->day > 36500 ||
		interval->time < 0 || interval->time > 36500 * USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be negative, nor longer than 100 years", name),
						errhint("Give an interval such as '5 minutes'.")));
	return interval;
}

/* 22023 for a policy that is not there. */
static char *
policy_argument(FunctionCallInfo fcinfo, int i, const char *name, char *otherwise,
				const char *const *known)
{
	char *value = text_argument(fcinfo, i, otherwise);

	for (int k = 0; k < 3; k++)
		if (strcmp(value, known[k]) == 0)
			return value;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized %s '%s'", name, value),
			 errhint("Choose one of: %s, %s, %s.", known[0], known[1], known[2])));
}

static Interval *
minutes(int n)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = n * USECS_PER_MINUTE;
	return interval;
}

/* The stored schedule with what is given put over it. */
static void
read_arguments(FunctionCallInfo fcinfo, CatalogSchedule *s)
{
	static const char *const misfire[] = { "skip", "run_once", "catch_up" };
	static const char *const overlap[] = { "skip", "queue_one", "cancel" };

	s->schedule = text_argument(fcinfo, 1, s->schedule);
	if (s->schedule == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("schedule must not be NULL for a model that has none yet"),
						errhint("Give one such as '30 3 * * *', '@daily' or '6 hours'.")));
	s->time_zone = text_argument(fcinfo, 2, s->time_zone);
	s->misfire = policy_argument(fcinfo, 3, "misfire", s->misfire, misfire);
	s->overlap = policy_argument(fcinfo, 4, "overlap", s->overlap, overlap);
	s->grace = interval_argument(fcinfo, 5, "grace", s->grace);
	if (!PG_ARGISNULL(6))
		s->max_retries = PG_GETARG_INT32(6);
	if (s->max_retries < 0 || s->max_retries > MAX_RETRIES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_retries must be from 0 to %d", MAX_RETRIES),
						errhint("0 waits for the next run.")));
	s->retry_delay = interval_argument(fcinfo, 7, "retry_delay", s->retry_delay);
	s->time_limit = interval_argument(fcinfo, 8, "time_limit", s->time_limit);
	if (s->time_limit != NULL && s->time_limit->time == 0 && s->time_limit->day == 0 &&
		s->time_limit->month == 0)
		s->time_limit = NULL;
	s->active = PG_ARGISNULL(10) ? true : PG_GETARG_BOOL(10);
}

/* 25006 where nothing can be stored. */
static void
require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
}

static char *
model_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("model must not be NULL"),
						errhint("See SELECT name FROM pgml_auto.model.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* automl_schedule(...): when the model is trained next; NULL when it is not. */
Datum
pgml_auto_schedule(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	CatalogSchedule s = { .time_zone = pstrdup(pg_get_timezone_name(session_timezone)),
						  .start_at = now,
						  .misfire = "run_once",
						  .overlap = "skip",
						  .grace = minutes(5),
						  .max_retries = 2,
						  .retry_delay = minutes(1) };
	char *name = model_argument(fcinfo);
	CatalogModel *model;
	char *before;
	Timing timing;

	require_writable("automl_schedule()");
	jobs_refuse_restricted();
	model = catalog_find_model(name, PGML_PRIV_MANAGE, false, false);
	jobs_check_worker_role(model->owner);
	catalog_keep_model(model);
	before = catalog_find_schedule(model->model_id, &s) ? s.schedule : NULL;
	read_arguments(fcinfo, &s);
	/* Another schedule counts from now, also when its text is that of before in another zone. */
	if (!PG_ARGISNULL(9))
		s.start_at = check_instant(PG_GETARG_TIMESTAMPTZ(9), "start_at");
	else if (before == NULL || strcmp(before, s.schedule) != 0)
		s.start_at = now;
	read_timing(s.schedule, s.time_zone, s.start_at, &timing);
	s.next_run = s.start_at > now ? slot_from(&timing, s.start_at) : next_slot(&timing, now);
	if (s.next_run == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the schedule is never due"),
				 errhint("See SELECT * FROM automl_next_runs(...).")));
	catalog_put_schedule(model, &s, jobs_describe_session());
	wake_at_commit();
	if (!s.active)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(s.next_run);
}

/* automl_unschedule(model): whether there was a schedule. */
Datum
pgml_auto_unschedule(PG_FUNCTION_ARGS)
{
	char *name = model_argument(fcinfo);
	CatalogModel *model;

	require_writable("automl_unschedule()");
	model = catalog_find_model(name, PGML_PRIV_MANAGE, false, false);
	PG_RETURN_BOOL(catalog_delete_schedule(model));
}

/* automl_next_runs(schedule, time_zone, n, after, start_at): n slots after an instant. */
Datum
pgml_auto_next_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz after, start;
	int n = PG_ARGISNULL(2) ? 5 : PG_GETARG_INT32(2);
	Timing timing;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	if (n < 0 || n > MAX_NEXT_RUNS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("n must be from 0 to %d", MAX_NEXT_RUNS),
						errhint("Ask again with after => the last one.")));
	after = PG_ARGISNULL(3) ? GetCurrentTransactionStartTimestamp() :
							  check_instant(PG_GETARG_TIMESTAMPTZ(3), "after");
	start = PG_ARGISNULL(4) ? after : check_instant(PG_GETARG_TIMESTAMPTZ(4), "start_at");
	read_timing(text_to_cstring(PG_GETARG_TEXT_PP(0)),
				text_argument(fcinfo, 1, pstrdup(pg_get_timezone_name(session_timezone))), start,
				&timing);
	if (start > after)
		after = start - 1;
	for (int i = 0; i < n; i++)
	{
		Datum value;
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		after = next_slot(&timing, after);
		if (after == DT_NOEND)
			break;
		value = TimestampTzGetDatum(after);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
