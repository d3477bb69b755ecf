/*
 * catalog_jobs.c - the table of background jobs, and the locks of those who work on them.
 */
#include "pg/catalog_jobs.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "pg/catalog.h"
#include "pg/catalog_lookup.h"
#include "pg/catalog_spi.h"

/* Of the locks on a table's objects, those of slots; the others of job_queue are of jobs. */
#define SLOT_SUBID 0xffff

/* How long a worker waits for the row of its job. */
#define CLAIM_TIMEOUT "2s"

/* A job to be resumed is not started more often: it may be what crashes the server. */
#define MAX_ATTEMPTS 3

/* ---- locks ---- */

/* The lock tag of something that the job table's OID and a number stand for. */
static LOCKTAG
lock_tag(uint32 number, uint16 subid)
{
	LOCKTAG tag;
	Oid table = get_relname_relid("job_queue", catalog_extension()->schema);

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table, number, subid);
	tag.locktag_lockmethodid =
		USER_LOCKMETHOD; /* locks that end with the session, however it ends */
	return tag;
}

static LOCKTAG
job_tag(int64 job_id)
{
	return lock_tag((uint32) job_id, (uint16) (job_id >> 32));
}

/* Hold a job until the session ends. */
static void
lock_job(int64 job_id)
{
	LOCKTAG tag = job_tag(job_id);

	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

bool
catalog_job_is_alive(int64 job_id)
{
	LOCKTAG tag = job_tag(job_id);

	if (RecoveryInProgress())
		return true;
	/* No number of a job: its lock would be that of a slot or another job. */
	if (job_id < 0 || job_id >> 32 >= SLOT_SUBID)
		return false;
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, false);
	return false;
}

bool
catalog_lock_slot(int slot)
{
	LOCKTAG tag = lock_tag((uint32) slot, SLOT_SUBID);

	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
catalog_unlock_slot(int slot)
{
	LOCKTAG tag = lock_tag((uint32) slot, SLOT_SUBID);

	LockRelease(&tag, ExclusiveLock, true);
}

/* ---- the table ---- */

/* 53400 when the database, or the role, has as many jobs that are not done yet as it may. */
static void
check_room(Oid role, int max_queued, int max_of_role)
{
	static CatalogStatement count = {
		.sql = "SELECT count(*), count(*) FILTER (WHERE role_oid = $1) FROM pgml_auto.job_queue"
			   " WHERE state IN ('queued', 'running')",
		.nargs = 1,
		.types = { OIDOID },
	};
	Datum values[1] = { ObjectIdGetDatum(role) };

	catalog_run(&count, values, NULL, false);
	if (catalog_int8(0, 1) >= max_queued)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("%d jobs of this database are not done yet", max_queued),
						errhint("Wait for some of them, cancel some (automl_cancel), or raise "
								"pgml_auto.max_queued_jobs.")));
	if (catalog_int8(0, 2) >= max_of_role)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("%d jobs of role \"%s\" are not done yet", max_of_role,
							   GetUserNameFromId(role, false)),
						errhint("Wait for some of them, cancel some (automl_cancel), or raise "
								"pgml_auto.max_queued_jobs_per_role.")));
}

int64
catalog_insert_job(const CatalogJob *job, int max_queued, int max_of_role)
{
	static CatalogStatement insert = {
		.sql = "INSERT INTO pgml_auto.job_queue (model, role, role_oid, data, arguments, session,"
			   " resume, database_oid) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING job_id",
		.nargs = 8,
		.types = { TEXTOID, TEXTOID, OIDOID, TEXTOID, JSONBOID, JSONBOID, BOOLOID, OIDOID },
	};
	char nulls[8] = { ' ', ' ', ' ', job->data == NULL ? 'n' : ' ', ' ', ' ', ' ', ' ' };
	CatalogScope scope;
	int64 job_id;

	catalog_enter(&scope);
	check_room(scope.user, max_queued, max_of_role);
	Datum values[8] = {
		catalog_text_datum(job->model), catalog_text_datum(GetUserNameFromId(scope.user, false)),
		ObjectIdGetDatum(scope.user),   catalog_text_datum(job->data),
		JsonbPGetDatum(job->arguments), JsonbPGetDatum(job->session),
		BoolGetDatum(job->resume),      ObjectIdGetDatum(MyDatabaseId),
	};
	catalog_run(&insert, values, nulls, false);
	job_id = catalog_int8(0, 1);
	catalog_leave(&scope);
	return job_id;
}

bool
catalog_claim_job(int64 job_id, CatalogJob *job)
{
	static CatalogStatement claim = {
		.sql =
			"UPDATE pgml_auto.job_queue q SET state = 'running', attempts = attempts + 1,"
			" pid = pg_backend_pid(), started_at = clock_timestamp()"
			" WHERE job_id = $1 AND state = 'queued'"
			" AND NOT EXISTS (SELECT FROM pgml_auto.job_queue r WHERE r.state = 'running' AND r.model = q.model)"
			" RETURNING role, model, data, arguments, session, schedule_id IS NOT NULL, restricted,"
			" coalesce(extract(epoch FROM time_limit) * 1000, 0)::bigint",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(job_id) };
	CatalogScope scope;
	bool found, isnull;

	catalog_enter(&scope);
	/* Looks hold the row for a moment; somebody who cancels it may do so for long, and must not hold the worker. */
	(void) set_config_option("lock_timeout", CLAIM_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	found = catalog_run(&claim, values, NULL, false) > 0;
	if (found)
		*job = (CatalogJob){ .job_id = job_id,
							 .role = catalog_text(&scope, 0, 1),
							 .model = catalog_text(&scope, 0, 2),
							 .data = catalog_text(&scope, 0, 3),
							 .arguments = catalog_jsonb(&scope, 0, 4),
							 .session = catalog_jsonb(&scope, 0, 5),
							 .scheduled = DatumGetBool(catalog_value(0, 6, &isnull)),
							 .restricted = DatumGetBool(catalog_value(0, 7, &isnull)),
							 .time_limit_ms = catalog_int8(0, 8) };
	catalog_leave(&scope);
	/* Only looks at it, which are short, can be in the way: the row is ours. */
	if (found)
		lock_job(job_id);
	return found;
}

void
catalog_end_job(int64 job_id, const CatalogJobEnd *end)
{
	static CatalogStatement update = {
		.sql =
			"UPDATE pgml_auto.job_queue SET state = $2, ended_at = clock_timestamp(), pid = 0,"
			" version = $3, deployed = $4, reason = $5, sqlstate = $6, error = $7, detail = $8, hint = $9"
			" WHERE job_id = $1 AND pid = pg_backend_pid()",
		.nargs = 9,
		.types = { INT8OID, TEXTOID, INT4OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				   TEXTOID },
	};
	Datum values[9] = {
		Int64GetDatum(job_id),
		catalog_text_datum(end->state),
		Int32GetDatum(end->version),
		BoolGetDatum(end->deployed),
		catalog_text_datum(end->reason),
		catalog_text_datum(end->sqlstate),
		catalog_text_datum(end->message),
		catalog_text_datum(end->detail),
		catalog_text_datum(end->hint),
	};
	char none = end->version == 0 ? 'n' : ' ';
	char nulls[9] = { ' ', ' ', none, none };
	CatalogScope scope;

	for (int i = 4; i < 9; i++)
		nulls[i] = values[i] == (Datum) 0 ? 'n' : ' ';
	catalog_enter(&scope);
	if (catalog_run(&update, values, nulls, false) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " is not this worker's any more", job_id),
						errdetail("The job was taken for interrupted, perhaps since advisory locks "
								  "of the session were given back.")));
	catalog_leave(&scope);
}

/*
 * Mark what was interrupted, fail what cannot start, forget what ended long ago.  Rows that somebody holds, perhaps in a
 * transaction that is kept open, are left for the next look: nobody waits for anybody here.
 */
static void
tidy_queue(int kept_days)
{
	/* CREATE DATABASE copies the queue of its template: the copy must not begin to train. */
	static CatalogStatement copied = {
		.sql =
			"UPDATE pgml_auto.job_queue SET state = 'interrupted', pid = 0, settled = true, ended_at = clock_timestamp()"
			" WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue"
			" WHERE state IN ('queued', 'running') AND database_oid <> $1 FOR UPDATE SKIP LOCKED)",
		.nargs = 1,
		.types = { OIDOID },
	};
	static CatalogStatement mark = {
		.sql =
			"UPDATE pgml_auto.job_queue SET state = CASE WHEN resume AND attempts < $1 THEN 'queued' ELSE 'interrupted' END,"
			" pid = 0, ended_at = CASE WHEN NOT (resume AND attempts < $1) THEN clock_timestamp() END"
			" WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue"
			" WHERE state = 'running' AND NOT pgml_auto.job_is_alive(job_id) FOR UPDATE SKIP LOCKED)",
		.nargs = 1,
		.types = { INT4OID },
	};
	static CatalogStatement orphaned = {
		.sql = "UPDATE pgml_auto.job_queue SET state = 'failed', ended_at = clock_timestamp(),"
			   " sqlstate = '42704', error = format('role \"%s\" no longer exists', role)"
			   " WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue WHERE state = 'queued'"
			   " AND role_oid NOT IN (SELECT oid FROM pg_roles) FOR UPDATE SKIP LOCKED)",
	};
	/* Their workers would end before they could say so, and stand before the jobs of others. */
	static CatalogStatement shut_out = {
		.sql =
			"UPDATE pgml_auto.job_queue SET state = 'failed', ended_at = clock_timestamp(), sqlstate = '42501',"
			" error = CASE WHEN has_database_privilege(role_oid, current_database(), 'CONNECT')"
			" THEN format('role \"%s\" cannot log in', pg_get_userbyid(role_oid))"
			" ELSE format('role \"%s\" may not connect to database \"%s\"', pg_get_userbyid(role_oid), current_database()) END"
			" WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue j"
			" WHERE state = 'queued' AND NOT (has_database_privilege(role_oid, current_database(), 'CONNECT')"
#if PG_VERSION_NUM < 170000
			" AND (SELECT rolcanlogin FROM pg_roles WHERE oid = role_oid)"
#endif
			") FOR UPDATE OF j SKIP LOCKED)",
	};
	static CatalogStatement forget = {
		.sql =
			"DELETE FROM pgml_auto.job_queue WHERE job_id IN (SELECT job_id FROM pgml_auto.job_queue q"
			" WHERE state NOT IN ('queued', 'running')"
			" AND (settled OR NOT EXISTS (SELECT FROM pgml_auto.schedule_state st WHERE st.schedule_id = q.schedule_id))"
			" AND ended_at < now() - make_interval(days => $1) FOR UPDATE OF q SKIP LOCKED)",
		.nargs = 1,
		.types = { INT4OID },
	};
	Datum database[1] = { ObjectIdGetDatum(MyDatabaseId) };
	Datum attempts[1] = { Int32GetDatum(MAX_ATTEMPTS) };
	Datum days[1] = { Int32GetDatum(kept_days) };

	catalog_run(&copied, database, NULL, false);
	catalog_run(&mark, attempts, NULL, false);
	catalog_run(&orphaned, NULL, NULL, false);
	catalog_run(&shut_out, NULL, NULL, false);
	catalog_run(&forget, days, NULL, false);
}

void
catalog_tidy_jobs(int kept_days)
{
	CatalogScope scope;

	catalog_enter(&scope);
	tidy_queue(kept_days);
	catalog_leave(&scope);
}

int
catalog_waiting_jobs(TimestampTz now, int max, int64 *job_ids, Oid *roles)
{
	/*
	 * Roles take turns, so that nobody waits for all that somebody else has queued: who has less at work is first, then who was
	 * served longer ago.  Trainings of one model run one after the other, or the second would wait for the first in a slot.  So would
	 * the worker of what somebody is about to cancel, which is left out.  A retry of a role that is gone is not told yet.
	 */
	static CatalogStatement waiting = {
		.sql =
			"WITH free AS MATERIALIZED (SELECT job_id, role_oid, model FROM pgml_auto.job_queue"
			" WHERE state = 'queued' AND coalesce(not_before <= $2, true) AND role_oid IN (SELECT oid FROM pg_roles)"
			" FOR SHARE SKIP LOCKED),"
			" firsts AS (SELECT DISTINCT ON (model) job_id, role_oid, model FROM free ORDER BY model, job_id),"
			" roles AS (SELECT role_oid, count(*) FILTER (WHERE state = 'running') AS running, max(started_at) AS served"
			" FROM pgml_auto.job_queue GROUP BY role_oid)"
			" SELECT q.job_id, q.role_oid FROM firsts q JOIN roles USING (role_oid)"
			" WHERE NOT EXISTS (SELECT FROM pgml_auto.job_queue r WHERE r.state = 'running' AND r.model = q.model)"
			" ORDER BY row_number() OVER (PARTITION BY q.role_oid ORDER BY q.job_id) + running, served NULLS FIRST, q.job_id"
			" LIMIT greatest($1 - (SELECT count(*) FROM pgml_auto.job_queue WHERE state = 'running'), 0)",
		.nargs = 2,
		.types = { INT8OID, TIMESTAMPTZOID },
	};
	Datum values[2] = { Int64GetDatum(max), TimestampTzGetDatum(now) };
	CatalogScope scope;
	bool isnull;
	int n;

	catalog_enter(&scope);
	n = (int) catalog_run(&waiting, values, NULL, false);
	for (int i = 0; i < n; i++)
	{
		job_ids[i] = catalog_int8(i, 1);
		roles[i] = DatumGetObjectId(catalog_value(i, 2, &isnull));
	}
	catalog_leave(&scope);
	return n;
}

/* State, role and process of a job as committed now; NULL when there is none of that number. */
static char *
look_up_job(int64 job_id, Oid *role, int *pid)
{
	CatalogLookup jobs = { .table = "job_queue", .index = "job_queue_pkey" };
	HeapTuple row;
	char *state = NULL;

	*pid = 0;
	*role = InvalidOid;
	lookup_key_int8(&jobs, JOB_QUEUE_JOB_ID, job_id);
	lookup_begin(&jobs, NULL);
	row = lookup_next(&jobs);
	if (row != NULL)
	{
		state = TextDatumGetCString(lookup_value(&jobs, row, JOB_QUEUE_STATE));
		*role = DatumGetObjectId(lookup_value(&jobs, row, JOB_QUEUE_ROLE_OID));
		*pid = DatumGetInt32(lookup_value(&jobs, row, JOB_QUEUE_PID));
	}
	lookup_end(&jobs);
	return state;
}

int
catalog_job_worker(int64 job_id)
{
	Oid role;
	int pid;
	char *state = look_up_job(job_id, &role, &pid);

	return state != NULL && strcmp(state, "running") == 0 && catalog_job_is_alive(job_id) ? pid : 0;
}

char *
catalog_job_state(int64 job_id, int *pid)
{
	Oid role;
	char *state = look_up_job(job_id, &role, pid);

	if (state == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no job " INT64_FORMAT, job_id),
				 errhint("See SELECT job, model, state FROM pgml_auto.jobs. Jobs are "
						 "there for others once the transaction that queued them is committed.")));
	if (!superuser() && !has_privs_of_role(GetUserId(), role))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for job " INT64_FORMAT, job_id),
						errhint("It is for the role that queued it, and members of it.")));
	return state;
}

bool
catalog_cancel_queued(int64 job_id)
{
	static CatalogStatement cancel = {
		.sql = "UPDATE pgml_auto.job_queue SET state = 'cancelled', ended_at = clock_timestamp()"
			   " WHERE job_id = $1 AND state = 'queued'",
		.nargs = 1,
		.types = { INT8OID },
	};
	Datum values[1] = { Int64GetDatum(job_id) };
	CatalogScope scope;
	bool cancelled;

	catalog_enter(&scope);
	cancelled = catalog_run_latest(&cancel, values) > 0;
	catalog_leave(&scope);
	return cancelled;
}
