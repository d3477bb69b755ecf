CREATE VIEW pgml_auto.jobs WITH (security_barrier) AS
SELECT q.job_id AS job, q.model, COALESCE((SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.oid = q.role_oid), q.role) AS role,
       CASE WHEN q.state = 'running' AND NOT pgml_auto.job_is_alive(q.job_id) THEN 'interrupted' ELSE q.state END AS state,
       p.percent, p.step,
       CASE WHEN p.percent > 0 THEN make_interval(secs => round((p.seconds * (100 - p.percent) / p.percent)::numeric)::double precision) END
           AS time_left,
       p.best_score, p.memory_bytes, p.seen_at,
       q.queued_at, q.started_at, q.ended_at, NULLIF(q.pid, 0) AS pid, q.attempts, q.resume, q.version, q.deployed, q.reason, q.sqlstate,
       q.error, q.detail, q.hint, q.slot_at
FROM pgml_auto.job_queue q
LEFT JOIN pgml_auto.progress p ON p.pid = q.pid AND q.state = 'running'
WHERE pg_catalog.pg_has_role(q.role_oid, 'USAGE');
COMMENT ON VIEW pgml_auto.jobs IS
'trainings in the background of roles that the reader is a member of: what they do, or how they ended';
GRANT SELECT ON pgml_auto.jobs TO PUBLIC;

-- Schedules and their runs are for those who may manage the model.
CREATE VIEW pgml_auto.managed_models WITH (security_barrier) AS
SELECT m.model_id, m.name, m.owner
FROM pgml_auto.models m
WHERE pgml_auto.has_role(m.owner)
   OR EXISTS (SELECT FROM pgml_auto.grants g
              WHERE g.model_id = m.model_id AND g.privilege = 'manage' AND pgml_auto.has_role(g.grantee));
COMMENT ON VIEW pgml_auto.managed_models IS 'models that the reader may manage; for the other views';

CREATE VIEW pgml_auto.schedule WITH (security_barrier) AS
SELECT m.name AS model, s.schedule, s.time_zone,
       CASE WHEN NOT s.active THEN 'paused'
            WHEN st.database_oid IS NULL OR st.database_oid <> d.oid THEN 'restored'
            WHEN st.stopped IS NOT NULL THEN 'stopped'
            WHEN st.next_run IS NULL THEN 'over'
            ELSE 'active' END AS state,
       CASE WHEN s.active AND st.database_oid = d.oid THEN st.next_run END AS next_run,
       CASE WHEN st.database_oid = d.oid THEN st.failures ELSE 0 END AS failures, st.stopped AS reason,
       s.misfire, s.overlap, s.grace, s.max_retries, s.retry_delay, s.time_limit, s.start_at, s.scheduled_by, s.scheduled_at
FROM pgml_auto.managed_models m
JOIN pgml_auto.schedules s ON s.model_id = m.model_id
JOIN pg_database d ON d.datname = current_database()
LEFT JOIN pgml_auto.schedule_state st ON st.schedule_id = s.schedule_id;
COMMENT ON VIEW pgml_auto.schedule IS 'when models are trained again, for those who may manage them';

CREATE VIEW pgml_auto.schedule_run WITH (security_barrier) AS
SELECT m.name AS model, q.slot_at, q.retry,
       CASE WHEN q.state = 'running' AND NOT pgml_auto.job_is_alive(q.job_id) THEN 'interrupted' ELSE q.state END AS state,
       q.job_id AS job, q.queued_at, q.not_before, q.started_at, q.ended_at, q.version, q.deployed, q.reason, q.sqlstate, q.error, q.detail,
       q.hint
FROM pgml_auto.managed_models m
JOIN pgml_auto.schedules s ON s.model_id = m.model_id
JOIN pgml_auto.job_queue q ON q.schedule_id = s.schedule_id;
COMMENT ON VIEW pgml_auto.schedule_run IS 'runs of schedules: what came of them, and why some did not take place';

CREATE VIEW pgml_auto.next_run WITH (security_barrier) AS
SELECT s.model, n.run::integer AS run, n.run_at, n.run_at AT TIME ZONE s.time_zone AS local_time, s.time_zone
FROM pgml_auto.schedule s,
     LATERAL @extschema@.automl_next_runs(s.schedule, s.time_zone, 5, s.next_run - interval '1 microsecond', s.start_at)
         WITH ORDINALITY AS n(run_at, run)
WHERE s.state = 'active';
COMMENT ON VIEW pgml_auto.next_run IS 'the next five runs of each schedule';
GRANT SELECT ON pgml_auto.schedule, pgml_auto.schedule_run, pgml_auto.next_run TO PUBLIC;
