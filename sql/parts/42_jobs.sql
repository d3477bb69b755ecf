CREATE VIEW pgml_auto.jobs WITH (security_barrier) AS
SELECT q.job_id AS job, q.model, COALESCE((SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.oid = q.role_oid), q.role) AS role,
       CASE WHEN q.state = 'running' AND NOT pgml_auto.job_is_alive(q.job_id) THEN 'interrupted' ELSE q.state END AS state,
       p.percent, p.step,
       CASE WHEN p.percent > 0 THEN make_interval(secs => round((p.seconds * (100 - p.percent) / p.percent)::numeric)::double precision) END
           AS time_left,
       q.queued_at, q.started_at, q.ended_at, NULLIF(q.pid, 0) AS pid, q.attempts, q.resume, q.version, q.sqlstate, q.error, q.detail,
       q.hint
FROM pgml_auto.job_queue q
LEFT JOIN pgml_auto.progress p ON p.pid = q.pid AND q.state = 'running'
WHERE pg_catalog.pg_has_role(q.role_oid, 'USAGE');
COMMENT ON VIEW pgml_auto.jobs IS
'trainings in the background of roles that the reader is a member of: what they do, or how they ended';
GRANT SELECT ON pgml_auto.jobs TO PUBLIC;
