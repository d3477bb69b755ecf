-- Trainings in the background: automl_train(..., background => true).

CREATE FUNCTION @extschema@.automl_cancel(job bigint) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_cancel_job';
COMMENT ON FUNCTION @extschema@.automl_cancel(bigint) IS
'cancel a job that waits or runs; whether there was something to cancel';

CREATE FUNCTION @extschema@.automl_wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_wait_job';
COMMENT ON FUNCTION @extschema@.automl_wait(bigint, interval) IS
'wait until a job has ended, or for so long; its state';

CREATE FUNCTION @extschema@.automl_run_due(now timestamptz DEFAULT NULL) RETURNS integer
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_run_due';
COMMENT ON FUNCTION @extschema@.automl_run_due(timestamptz) IS
'queue the runs of schedules that are due, and start workers for jobs that wait; how many. Superusers may say what time it is';

CREATE FUNCTION pgml_auto.job_is_alive(job bigint) RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'pgml_auto_job_is_alive';
COMMENT ON FUNCTION pgml_auto.job_is_alive(bigint) IS
'whether a worker holds a job; on a standby, true';

-- Schedules: a model is trained again, as its owner, on the stored source.
CREATE FUNCTION @extschema@.automl_schedule(
    model       text,
    schedule    text DEFAULT NULL,
    time_zone   text DEFAULT NULL,
    misfire     text DEFAULT NULL,
    overlap     text DEFAULT NULL,
    grace       interval DEFAULT NULL,
    max_retries integer DEFAULT NULL,
    retry_delay interval DEFAULT NULL,
    time_limit  interval DEFAULT NULL,
    start_at    timestamptz DEFAULT NULL,
    active      boolean DEFAULT true)
RETURNS timestamptz
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_schedule';
COMMENT ON FUNCTION @extschema@.automl_schedule IS
'train a model again and again, by a cron schedule or an interval; when next. What is not given stays as it is (at first: the session''s time zone, misfire run_once, overlap skip, grace 5 minutes, 2 retries after 1 minute and longer, no time_limit)';

CREATE FUNCTION @extschema@.automl_unschedule(model text) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_unschedule';
COMMENT ON FUNCTION @extschema@.automl_unschedule(text) IS
'take back the schedule of a model and what it has queued; whether there was one';

CREATE FUNCTION @extschema@.automl_next_runs(schedule text, time_zone text DEFAULT NULL, n integer DEFAULT 5,
    after timestamptz DEFAULT NULL, start_at timestamptz DEFAULT NULL) RETURNS SETOF timestamptz
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT ROWS 5
    AS 'MODULE_PATHNAME', 'pgml_auto_next_runs';
COMMENT ON FUNCTION @extschema@.automl_next_runs(text, text, integer, timestamptz, timestamptz) IS
'when a schedule is due, n times after an instant (now); intervals count from start_at';
