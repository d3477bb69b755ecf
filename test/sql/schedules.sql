-- Schedules by a clock that the test sets: nothing here waits for a time of the day.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
\set VERBOSITY default
\pset null '-'

-- ---- when ---------------------------------------------------------------------------------

-- A time that does not exist, one that comes twice, and every hour.
SELECT r, r AT TIME ZONE 'America/New_York' AS local FROM automl_next_runs('30 2 * * *', 'America/New_York', 3, '2026-03-07 00:00+00') AS r;
SELECT r, r AT TIME ZONE 'America/New_York' AS local FROM automl_next_runs('30 1 * * *', 'America/New_York', 3, '2026-10-31 00:00+00') AS r;
SELECT r, r AT TIME ZONE 'America/New_York' AS local FROM automl_next_runs('30 * * * *', 'America/New_York', 3, '2026-11-01 05:00+00') AS r;
-- As PostgreSQL reads the same local time.
SELECT every(r = (d::date + time '02:30') AT TIME ZONE 'America/New_York'), count(*)
FROM (SELECT row_number() OVER (), r FROM automl_next_runs('30 2 * * *', 'America/New_York', 1000, '2024-01-01 08:00+00') r) a (n, r),
     (SELECT row_number() OVER (), d FROM generate_series('2024-01-02'::date, '2026-09-27'::date, interval '1 day') d) b (n, d) WHERE a.n = b.n;
SELECT r, r AT TIME ZONE 'Pacific/Apia' AS local FROM automl_next_runs('0 6 * * *', 'Pacific/Apia', 3, '2011-12-29 00:00+00') AS r;
SELECT * FROM automl_next_runs('0 12 $ feb,jun *', n => 3, after => '2028-01-01');
SELECT * FROM automl_next_runs('@weekly', 'Asia/Kathmandu', 2, '2026-11-27');
-- Intervals: elapsed hours, days and months of the calendar.
SELECT * FROM automl_next_runs('6 hours', 'America/New_York', 3, '2026-03-08 03:00+00', '2026-03-01 00:30+00');
SELECT * FROM automl_next_runs('1 day', 'America/New_York', 3, '2026-03-07 00:00+00', '2026-03-01 12:00+00');
SELECT * FROM automl_next_runs('1 month', 'UTC', 3, '2026-01-31 12:00+00', '2026-01-31 12:00+00');
SELECT * FROM automl_next_runs('30 seconds', 'UTC', 2, '2026-01-31 12:00+00', '2030-01-01');
SELECT count(*) FROM automl_next_runs(NULL);
-- What is no schedule.
SELECT * FROM automl_next_runs('61 * * * *');
SELECT * FROM automl_next_runs('* * * *');
SELECT * FROM automl_next_runs('0 0 30 2 *');
SELECT * FROM automl_next_runs('@noon');
SELECT * FROM automl_next_runs('soon');
SELECT * FROM automl_next_runs('-1 day');
SELECT * FROM automl_next_runs('0.5 seconds');
SELECT * FROM automl_next_runs('@daily', 'Mars/Olympus');
SELECT * FROM automl_next_runs('@daily', n => 1001);
SELECT * FROM automl_next_runs('@daily', after => 'infinity');

-- ---- a model and its schedule ---------------------------------------------------------------

CREATE TABLE points AS SELECT (i * 7919) % 61 AS x, (i * 7919) % 61 * 2 + i % 3 AS y FROM generate_series(1, 400) i;
SELECT version FROM automl_train('sched', 'points', 'y', max_trials => 1, algorithms => '{gradient_boosting}');
SELECT automl_schedule('none', '@daily');
SELECT automl_schedule(NULL, '@daily');
SELECT automl_schedule('sched');
SELECT automl_schedule('sched', 'daily');
SELECT automl_schedule('sched', '@daily', 'Mars/Olympus');
SELECT automl_schedule('sched', '@daily', misfire => 'perhaps');
SELECT automl_schedule('sched', '@daily', overlap => 'perhaps');
SELECT automl_schedule('sched', '@daily', grace => '-1 s');
SELECT automl_schedule('sched', '@daily', max_retries => 11);
SELECT automl_schedule('sched', '@daily', start_at => 'infinity');
SELECT automl_unschedule('sched');
SELECT automl_schedule('sched', '0 3 * * *', 'Europe/Berlin', start_at => '2030-01-01', max_retries => 1);
SELECT model, schedule, time_zone, state, next_run, failures, misfire, overlap, grace, max_retries, retry_delay, time_limit, scheduled_by = current_user AS mine
FROM pgml_auto.schedule;
SELECT * FROM pgml_auto.next_run;

-- What is due at an instant that a superuser names.
CREATE FUNCTION look(at timestamptz) RETURNS TABLE (slot_at timestamptz, retry integer, state text, version integer, deployed boolean, reason text, sqlstate text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM automl_run_due(at);
	PERFORM automl_wait(r.job, '60 s') FROM pgml_auto.schedule_run r WHERE r.state = 'running' OR r.state = 'queued' AND r.not_before IS NULL;
	-- What workers do after their jobs is done, too.
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'pgml\_auto%') LOOP
		PERFORM pg_stat_clear_snapshot(), pg_sleep(0.005);
	END LOOP;
	RETURN QUERY SELECT r.slot_at, r.retry, r.state, r.version, r.deployed, regexp_replace(r.reason, '\d+\.\d+', '#', 'g'), r.sqlstate FROM pgml_auto.schedule_run r ORDER BY r.job;
END $$;
SELECT * FROM look('2030-01-01 01:59:59');
SELECT * FROM look('2030-01-01 02:00:00');
SELECT next_run FROM pgml_auto.schedule;
-- Once.
SELECT count(*) FROM look('2030-01-01 02:00:01');
UPDATE pgml_auto.schedule_state SET next_run = '2030-01-01 02:00';
SELECT count(*) FROM look('2030-01-01 02:00:01');
SELECT next_run FROM pgml_auto.schedule;
SELECT name, deployed, versions FROM pgml_auto.model;
SELECT action, details FROM pgml_auto.audit_log WHERE action = 'schedule';

-- The gate keeps the champion, and says why.
DELETE FROM points p WHERE x % 6 <> 0 OR ctid <> (SELECT min(ctid) FROM points q WHERE q.x = p.x);
SELECT slot_at, state, version, deployed, reason LIKE 'its rmse of % is worse than the % of version 2' AS worse FROM look('2030-01-02 02:00') WHERE version > 2;

-- ---- slots that were missed ------------------------------------------------------------------

SELECT automl_schedule('sched', '@hourly', 'UTC', start_at => '2031-01-01', misfire => 'run_once');
SELECT slot_at, state, reason FROM look('2031-01-01 05:30') WHERE slot_at >= '2031-01-01' AND (state, reason) IS DISTINCT FROM ('succeeded', NULL);
SELECT automl_schedule('sched', misfire => 'skip', grace => '10 minutes', start_at => '2032-01-01');
SELECT slot_at, state, reason FROM look('2032-01-01 00:30') WHERE slot_at >= '2032-01-01';
SELECT slot_at, state, left(reason, 6) AS reason FROM look('2032-01-01 03:09') WHERE slot_at >= '2032-01-01';
SELECT automl_schedule('sched', misfire => 'catch_up', start_at => '2033-01-01');
SELECT slot_at, state FROM look('2033-01-01 03:30') WHERE slot_at >= '2033-01-01';
-- No more than 24, and not by counting all.
SELECT automl_schedule('sched', '1 second', misfire => 'catch_up', start_at => '2034-01-01');
SELECT automl_run_due('2050-01-01 00:00:30') BETWEEN 1 AND 2;
SELECT min(slot_at), max(slot_at), count(*), count(*) FILTER (WHERE state = 'skipped'), max(reason) FILTER (WHERE state = 'skipped')
FROM pgml_auto.schedule_run WHERE slot_at >= '2034-01-01';
SELECT next_run FROM pgml_auto.schedule;

-- Taken back, with what waits.
SELECT automl_unschedule('sched');
SELECT count(*) FROM pgml_auto.schedule;
SELECT count(*) FROM pgml_auto.jobs WHERE state = 'queued';
SELECT DISTINCT state, reason FROM pgml_auto.jobs WHERE state = 'cancelled';
DO $$ BEGIN PERFORM automl_wait(job, '60 s') FROM pgml_auto.jobs WHERE state = 'running'; END $$;

-- ---- failures --------------------------------------------------------------------------------

SELECT automl_schedule('sched', '@daily', 'UTC', start_at => '2040-01-01', max_retries => 2, retry_delay => '10 minutes');
ALTER TABLE points RENAME TO moved;
SELECT slot_at, retry, state, sqlstate FROM look('2040-01-01 00:00') WHERE sqlstate IS NOT NULL;
SELECT error FROM pgml_auto.schedule_run WHERE retry = 0;
-- Retries wait, twice as long each time; a later slot takes the place of what waits.
CREATE FUNCTION retries() RETURNS TABLE (slot_at timestamptz, retry integer, not_before timestamptz, state text, reason text) LANGUAGE sql AS
$$ SELECT slot_at, retry, not_before, state, reason FROM pgml_auto.schedule_run WHERE retry > 0 ORDER BY job $$;
SELECT automl_run_due('2040-01-01 00:00');
SELECT * FROM retries();
SELECT automl_run_due('2040-01-01 00:09');
SELECT automl_run_due('2040-01-01 00:10');
SELECT automl_wait(job) FROM pgml_auto.schedule_run WHERE retry = 1;
SELECT automl_run_due('2040-01-01 00:00');
SELECT * FROM retries();
SELECT slot_at, retry, state, reason FROM look('2040-01-02 00:00') WHERE slot_at < '2040-01-02' AND retry = 2;
SELECT state, failures, next_run FROM pgml_auto.schedule;
-- Success begins to count anew; ten failures in a row stop it.
ALTER TABLE moved RENAME TO points;
SELECT automl_schedule('sched', max_retries => 0, start_at => '2041-01-01');
UPDATE pgml_auto.schedule_state SET failures = 5;
SELECT state FROM look('2041-01-01') WHERE slot_at = '2041-01-01';
SELECT failures FROM pgml_auto.schedule;
ALTER TABLE points RENAME TO moved;
DO $$ BEGIN FOR day IN 2 .. 12 LOOP PERFORM look(timestamptz '2041-01-01' + day * interval '1 day'); END LOOP; END $$;
SELECT state, failures, next_run, reason FROM pgml_auto.schedule;
SELECT automl_schedule('sched', start_at => '2042-01-01');
SELECT state, failures, next_run, reason FROM pgml_auto.schedule;
ALTER TABLE moved RENAME TO points;

-- A time limit.
CREATE VIEW slow AS SELECT x, y, pg_sleep(0.2) IS NULL AS z FROM points;
SELECT version FROM automl_train('slow', 'SELECT x, y FROM points', 'y', max_trials => 1, algorithms => '{constant}');
SELECT automl_schedule('slow', '@daily', 'UTC', start_at => '2042-01-01', max_retries => 0, time_limit => '100 ms');
UPDATE pgml_auto.versions SET source = 'public.slow' WHERE source = 'SELECT x, y FROM points';
SELECT state, sqlstate FROM look('2042-01-01') WHERE slot_at = '2042-01-01' AND sqlstate IS NOT NULL;
SELECT error FROM pgml_auto.schedule_run WHERE model = 'slow';
SELECT automl_schedule('slow', time_limit => '0') IS NOT NULL;
SELECT time_limit FROM pgml_auto.schedule WHERE model = 'slow';
SELECT automl_drop('slow');

-- ---- paused, restored, dropped ------------------------------------------------------------------

SELECT automl_schedule('sched', start_at => '2043-01-01', active => false);
SELECT state, next_run FROM pgml_auto.schedule;
SELECT count(*) FROM look('2043-01-01') WHERE slot_at >= '2043-01-01';
SELECT automl_schedule('sched', start_at => '2044-01-01');
UPDATE pgml_auto.schedule_state SET database_oid = 1;
SELECT state, next_run FROM pgml_auto.schedule;
SELECT count(*) FROM look('2044-01-01') WHERE slot_at >= '2044-01-01';
DELETE FROM pgml_auto.schedule_state;
SELECT state, next_run FROM pgml_auto.schedule;
SELECT automl_schedule('sched') IS NOT NULL;
SELECT state, next_run IS NOT NULL FROM pgml_auto.schedule;
-- A schedule that cannot be followed any more does not hold up others.
UPDATE pgml_auto.schedules SET time_zone = 'Mars/Olympus';
UPDATE pgml_auto.schedule_state SET next_run = '2045-01-01';
SELECT count(*) FROM look('2045-01-01') WHERE slot_at >= '2045-01-01';
SELECT state, reason FROM pgml_auto.schedule;
-- Runs of a schedule that was taken back are forgotten like others, also what nobody has looked at since it ended.
SELECT automl_schedule('sched', time_zone => 'UTC', start_at => '2045-06-01') IS NOT NULL;
SELECT slot_at, state FROM look('2045-06-01') WHERE slot_at = '2045-06-01';
UPDATE pgml_auto.job_queue SET settled = false, ended_at = now() - interval '100 days' WHERE slot_at = '2045-06-01';
SELECT automl_unschedule('sched');
SELECT automl_run_due();
SELECT count(*) FROM pgml_auto.job_queue WHERE slot_at = '2045-06-01';
SELECT automl_schedule('sched', '@daily', 'UTC') IS NOT NULL;
-- Another name is still the same model; a dropped one has no schedule.
SELECT automl_schedule('sched', time_zone => 'UTC', start_at => '2046-01-01');
SELECT automl_rename('sched', 'renamed');
SELECT slot_at, state FROM look('2046-01-01') WHERE slot_at = '2046-01-01';
SELECT automl_drop('renamed');
SELECT count(*) FROM pgml_auto.schedules;
SELECT count(*) FROM pgml_auto.schedule_state;

-- A run begins with the settings that the deployed version is made of, where there is a clock; max_trials ends it long before that.
CREATE TABLE sched_warm AS SELECT (i * 7919) % 61 AS x, (i * 7919) % 61 * 2 + i % 3 AS y FROM generate_series(1, 200) i;
SELECT version FROM automl_train('warm', 'sched_warm', 'y', time_budget => '1 hour', max_trials => 2, algorithms => '{extra_trees}',
                                 search => 'random', search_space => '{"min_samples_leaf": [4, 6]}', hyperparams => '{"n_estimators": 10}');
SELECT trial, source, settings ->> 'min_samples_leaf' IN ('4', '6') AS found FROM pgml_auto.trial WHERE model = 'warm' AND chosen;
SELECT automl_schedule('warm', '@daily', 'UTC', start_at => '2047-01-01');
SELECT slot_at, state, version, sqlstate FROM look('2047-01-01') WHERE slot_at = '2047-01-01';
SELECT n.trial, n.algorithm, n.source, n.settings ->> 'min_samples_leaf' = o.settings ->> 'min_samples_leaf' AS the_same
FROM pgml_auto.trial n, pgml_auto.trial o
WHERE n.model = 'warm' AND n.version = 2 AND n.trial = 2 AND o.model = 'warm' AND o.version = 1
ORDER BY o.weight DESC, o.trial LIMIT 1;
SELECT automl_drop('warm');
DROP TABLE sched_warm;

-- ---- whose ----------------------------------------------------------------------------------------

CREATE ROLE sched_owner LOGIN;
CREATE ROLE sched_manager LOGIN;
CREATE ROLE sched_other LOGIN;
CREATE SCHEMA sched_private AUTHORIZATION sched_owner;
SET SESSION AUTHORIZATION sched_owner;
CREATE TABLE sched_private.data AS SELECT i % 17 AS x, i % 17 * 2 AS y FROM generate_series(1, 100) i;
SELECT version FROM automl_train('table', 'sched_private.data', 'y', max_trials => 1, algorithms => '{constant}');
SELECT version FROM automl_train('query', 'SELECT * FROM sched_private.data', 'y', max_trials => 1, algorithms => '{constant}');
SELECT automl_grant('table', 'sched_manager', 'manage'), automl_grant('query', 'sched_manager', 'manage'), automl_grant('table', 'sched_other');
SET SESSION AUTHORIZATION sched_other;
SELECT automl_schedule('table', '@daily');
SELECT automl_unschedule('table');
SELECT automl_run_due(now());
SELECT count(*) FROM pgml_auto.schedule;
-- Who may manage a model has the owner's data read as the owner, but no query of the owner's run at a time of their own.
SET SESSION AUTHORIZATION sched_manager;
SET pgml_auto.max_threads = 256;
SELECT automl_schedule('table', '@daily', 'UTC', start_at => '2050-01-01', max_retries => 0);
RESET pgml_auto.max_threads;
SELECT automl_schedule('query', '@daily', 'UTC', start_at => '2050-01-01', max_retries => 0);
RESET SESSION AUTHORIZATION;
SELECT session->>'pgml_auto.max_threads' = current_setting('pgml_auto.max_threads') AS not_more_threads FROM pgml_auto.schedules WHERE start_at = '2050-01-01';
SELECT state, sqlstate FROM look('2050-01-01') WHERE slot_at = '2050-01-01';
SELECT model, role, created_by, j.error FROM pgml_auto.jobs j LEFT JOIN pgml_auto.version v USING (model, version) WHERE slot_at = '2050-01-01' AND role = 'sched_owner' ORDER BY 1;
SET SESSION AUTHORIZATION sched_owner;
SELECT automl_schedule('query', start_at => '2051-01-01');
RESET SESSION AUTHORIZATION;
SELECT state, version FROM look('2051-01-01') WHERE slot_at = '2051-01-01' AND version IS NOT NULL ORDER BY version;
-- Rights that the owner has lost, a role that cannot connect, a role that is gone: written down.
ALTER TABLE sched_private.data OWNER TO postgres;
REVOKE ALL ON sched_private.data FROM sched_owner;
SELECT automl_unschedule('query');
SELECT automl_schedule('table', start_at => '2052-01-01');
SELECT state, sqlstate FROM look('2052-01-01') WHERE slot_at = '2052-01-01';
REASSIGN OWNED BY sched_owner TO postgres;
DROP OWNED BY sched_owner;
DROP ROLE sched_owner;
SELECT automl_schedule('table', start_at => '2053-01-01');
UPDATE pgml_auto.schedules SET max_retries = 1, retry_delay = '0';
SELECT automl_run_due('2053-01-01');
SELECT automl_run_due('2053-01-02');
SELECT slot_at, retry, state, sqlstate, error FROM pgml_auto.schedule_run WHERE slot_at >= '2053-01-01' ORDER BY slot_at, retry;
SELECT automl_drop('table'), automl_drop('query');
DROP ROLE sched_manager, sched_other;
DROP SCHEMA sched_private CASCADE;
DROP VIEW slow;
DROP TABLE points;
DROP FUNCTION look, retries;
DELETE FROM pgml_auto.job_queue;
