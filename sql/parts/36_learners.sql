CREATE FUNCTION pgml_auto.learner_settings()
RETURNS TABLE (
    algorithm     text,
    summary       text,
    by_default    boolean,
    setting       text,
    type          text,
    default_value text,
    min           double precision,
    max           double precision,
    choices       text[],
    meaning       text,
    other_names   text[])
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10 ROWS 60
AS 'MODULE_PATHNAME', 'pgml_auto_learner_settings';
COMMENT ON FUNCTION pgml_auto.learner_settings() IS 'learners and their settings, for the view';

CREATE VIEW pgml_auto.learners WITH (security_barrier) AS
SELECT algorithm, summary, by_default, setting, type, default_value, min, max, choices, meaning, other_names
FROM pgml_auto.learner_settings();
COMMENT ON VIEW pgml_auto.learners IS
'learners with what hyperparams may set: a row for each setting, one for a learner without settings';
GRANT SELECT ON pgml_auto.learners TO PUBLIC;
