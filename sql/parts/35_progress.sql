CREATE FUNCTION @extschema@.pgml_auto_progress()
RETURNS TABLE (
    pid        integer,
    "database" text,
    username   text,
    model      text,
    started_at timestamptz,
    seconds    double precision,
    percent    double precision,
    step       text,
    best_score double precision,
    memory_bytes bigint,
    seen_at    timestamptz)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 10 ROWS 1
AS 'MODULE_PATHNAME', 'pgml_auto_progress';
COMMENT ON FUNCTION @extschema@.pgml_auto_progress() IS
'trainings that run now, as far as the caller may see them';

CREATE VIEW pgml_auto.progress AS
SELECT pid, "database", username, model, started_at, seconds, percent, step, best_score, memory_bytes, seen_at
FROM @extschema@.pgml_auto_progress();
COMMENT ON VIEW pgml_auto.progress IS
'trainings that run now: own ones, those of roles the reader is a member of, all with pg_read_all_stats';
GRANT SELECT ON pgml_auto.progress TO PUBLIC;
