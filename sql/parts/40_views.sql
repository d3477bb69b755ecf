-- What everybody may read: rows of models that they own (or are a member of the owner) or were granted.  The views
-- run with the rights of the extension's owner and filter by the reader; images are in none of them.
-- Everything below is resolved in pg_catalog, whatever lies in the target schema.
SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE FUNCTION pgml_auto.has_role(role text) RETURNS boolean
    LANGUAGE C STABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME', 'pgml_auto_has_role';
COMMENT ON FUNCTION pgml_auto.has_role(text) IS
'whether the current user has the rights of a role given by name; true for public, and for superusers';

CREATE FUNCTION pgml_auto.higher_is_better(metric text) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgml_auto_higher_is_better';
COMMENT ON FUNCTION pgml_auto.higher_is_better(text) IS 'whether larger values of a metric are better';

CREATE FUNCTION pgml_auto.settings_text(algorithm text, settings jsonb) RETURNS text
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgml_auto_settings_text';
COMMENT ON FUNCTION pgml_auto.settings_text(text, jsonb) IS
'the settings of a trial that differ from the defaults of its algorithm, in short';

-- Who may see what, once; not granted to anybody.
CREATE VIEW pgml_auto.visible_models WITH (security_barrier) AS
SELECT m.*, pgml_auto.has_role(m.owner) AS is_owner
FROM pgml_auto.models m
WHERE pgml_auto.has_role(m.owner)
   OR EXISTS (SELECT FROM pgml_auto.grants g
              WHERE g.model_id = m.model_id AND pgml_auto.has_role(g.grantee));
COMMENT ON VIEW pgml_auto.visible_models IS 'models that the reader may see; for the other views';

CREATE VIEW pgml_auto.model WITH (security_barrier) AS
SELECT m.name, m.owner, m.task, m.target, COALESCE(v.metric, m.metric) AS metric, v.version AS deployed, v.score, v.score_low,
       v.score_high, v.algorithm, n.versions, n.last_trained
FROM pgml_auto.visible_models m
LEFT JOIN pgml_auto.deployed d ON d.model_id = m.model_id
LEFT JOIN pgml_auto.versions v ON v.version_id = d.version_id
CROSS JOIN LATERAL (SELECT count(*) AS versions, max(a.created_at) AS last_trained
                    FROM pgml_auto.versions a WHERE a.model_id = m.model_id) n;
COMMENT ON VIEW pgml_auto.model IS 'models with the score of the deployed version';

CREATE VIEW pgml_auto.version WITH (security_barrier) AS
SELECT m.name AS model, v.version, d.version_id IS NOT NULL AS deployed, v.created_at, v.created_by,
       v.algorithm, v.metric, v.score, v.score_low, v.score_high, v.baseline, v.score_part,
       v.rows_total, v.rows_read, v.rows_train, v.rows_test, v.inputs, v.features, v.train_seconds,
       v.seed, v.classes,
       CASE WHEN m.is_owner THEN v.source END AS source,
       CASE WHEN m.is_owner THEN v.search_path END AS search_path,
       v.settings, v.notices, v.image_bytes, v.built_by, v.predict_us, v.why_chosen, v.meta_features
FROM pgml_auto.visible_models m
JOIN pgml_auto.versions v ON v.model_id = m.model_id
LEFT JOIN pgml_auto.deployed d ON d.version_id = v.version_id;
COMMENT ON VIEW pgml_auto.version IS 'versions of models; source and search_path are for the owner only';

CREATE VIEW pgml_auto.trial WITH (security_barrier) AS
SELECT m.name AS model, v.version, t.trial, t.algorithm, t.settings, t.status, t.metric,
       t.validation_score, t.rows, t.folds, t.iterations, t.fit_cpu_seconds, t.fit_wall_seconds,
       t.chosen, t.error, t.weight, t.predict_us, t.image_bytes, t.fold_scores, t.source,
       s.name AS source_model
FROM pgml_auto.visible_models m
JOIN pgml_auto.versions v ON v.model_id = m.model_id
JOIN pgml_auto.trials t ON t.version_id = v.version_id
LEFT JOIN pgml_auto.visible_models s ON s.model_id = t.source_model_id;
COMMENT ON VIEW pgml_auto.trial IS 'what each training tried, failures included, and why: source_model is for those who may see that model';

CREATE VIEW pgml_auto.leaderboard WITH (security_barrier) AS
SELECT t.model, t.version,
       rank() OVER (PARTITION BY t.model, t.version
                    ORDER BY CASE WHEN pgml_auto.higher_is_better(t.metric) THEN - t.validation_score
                                  ELSE t.validation_score END NULLS LAST)::integer AS rank,
       t.trial, t.algorithm, t.metric, t.validation_score, t.weight, t.fit_wall_seconds AS seconds, t.image_bytes, t.predict_us,
       t.rows, t.status, t.chosen, t.fold_scores, t.source, pgml_auto.settings_text(t.algorithm, t.settings) AS settings, t.error
FROM pgml_auto.trial t;
COMMENT ON VIEW pgml_auto.leaderboard IS 'trials of each version, ranked by their validation score';

CREATE VIEW pgml_auto.metric WITH (security_barrier) AS
SELECT m.name AS model, v.version, d.version_id IS NOT NULL AS deployed, s.part, s.metric, s.value,
       s.low, s.high
FROM pgml_auto.visible_models m
JOIN pgml_auto.versions v ON v.model_id = m.model_id
JOIN pgml_auto.metrics s ON s.version_id = v.version_id
LEFT JOIN pgml_auto.deployed d ON d.version_id = v.version_id;
COMMENT ON VIEW pgml_auto.metric IS 'every metric of each version with its 95 % interval';

CREATE VIEW pgml_auto.deployment WITH (security_barrier) AS
SELECT m.name AS model, p.version, p.deployed_at, p.deployed_until, p.deployed_by, p.reason
FROM pgml_auto.visible_models m
JOIN pgml_auto.deployments p ON p.model_id = m.model_id;
COMMENT ON VIEW pgml_auto.deployment IS 'which version was deployed when, by whom and why';

CREATE VIEW pgml_auto.model_grant WITH (security_barrier) AS
SELECT m.name AS model, g.grantee, g.privilege, g.granted_by, g.granted_at
FROM pgml_auto.visible_models m
JOIN pgml_auto.grants g ON g.model_id = m.model_id
WHERE m.is_owner OR pgml_auto.has_role(g.grantee);
COMMENT ON VIEW pgml_auto.model_grant IS 'who may use or manage a model besides its owner';

-- Audit rows outlive their models: whoever acted sees their own, the owner of a model all of it, whatever it was called.
CREATE VIEW pgml_auto.audit_log WITH (security_barrier) AS
SELECT a.at, a.actor, a.session, a.action, a.model, a.version, a.details
FROM pgml_auto.audit a
WHERE pgml_auto.has_role(a.actor)
   OR EXISTS (SELECT FROM pgml_auto.models m
              WHERE m.model_id = a.model_id AND pgml_auto.has_role(m.owner));
COMMENT ON VIEW pgml_auto.audit_log IS 'who changed what in the registry';

GRANT SELECT ON pgml_auto.model, pgml_auto.version, pgml_auto.trial, pgml_auto.leaderboard,
    pgml_auto.metric, pgml_auto.deployment, pgml_auto.model_grant, pgml_auto.audit_log TO PUBLIC;
