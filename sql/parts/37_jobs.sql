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

CREATE FUNCTION @extschema@.automl_run_due() RETURNS integer
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'pgml_auto_run_due';
COMMENT ON FUNCTION @extschema@.automl_run_due() IS
'start workers for jobs that wait; how many';

CREATE FUNCTION pgml_auto.job_is_alive(job bigint) RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'pgml_auto_job_is_alive';
COMMENT ON FUNCTION pgml_auto.job_is_alive(bigint) IS
'whether a worker holds a job; on a standby, true';
