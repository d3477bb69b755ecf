-- The life of a model after training.  Names: 'churn' or, where one version is meant, 'churn@3'.

CREATE FUNCTION @extschema@.automl_deploy(model text, version integer DEFAULT NULL) RETURNS integer
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_deploy';
COMMENT ON FUNCTION @extschema@.automl_deploy(text, integer) IS
'let a version (default: the newest) answer predictions; returns its number';

CREATE FUNCTION @extschema@.automl_rollback(model text) RETURNS integer
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_rollback';
COMMENT ON FUNCTION @extschema@.automl_rollback(text) IS
'deploy the version that was deployed before the current one; returns its number';

CREATE FUNCTION @extschema@.automl_drop(model text) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_drop';
COMMENT ON FUNCTION @extschema@.automl_drop(text) IS
'drop a model with all its versions, or one version (''name@3'') that is not deployed';

CREATE FUNCTION @extschema@.automl_rename(model text, new_name text) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_rename';
COMMENT ON FUNCTION @extschema@.automl_rename(text, text) IS 'rename a model';

CREATE FUNCTION @extschema@.automl_grant(model text, role text, privilege text DEFAULT 'predict') RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_grant';
COMMENT ON FUNCTION @extschema@.automl_grant(text, text, text) IS
'let a role, or public, predict with a model or manage it';

CREATE FUNCTION @extschema@.automl_revoke(model text, role text, privilege text DEFAULT 'predict') RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_revoke';
COMMENT ON FUNCTION @extschema@.automl_revoke(text, text, text) IS
'take back what automl_grant gave';

CREATE FUNCTION @extschema@.automl_describe(model text)
RETURNS TABLE (part text, item text, description text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_describe';
COMMENT ON FUNCTION @extschema@.automl_describe(text) IS
'say in words what a model is, how good it is, and what was done to each column';

CREATE FUNCTION @extschema@.automl_leaderboard(model text)
RETURNS TABLE (rank integer, version integer, trial integer, algorithm text, metric text,
               validation_score double precision, weight double precision, seconds double precision, image_bytes bigint,
               predict_us double precision, "rows" bigint, status text, chosen boolean, fold_scores double precision[],
               settings text, error text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_leaderboard';
COMMENT ON FUNCTION @extschema@.automl_leaderboard(text) IS
'the trials of a version (default: the deployed one), best first';
