-- pg_dump carries the rows of all registry tables, and the positions of their identity sequences: without those
-- the first training after a restore would hit an existing key.

SELECT pg_catalog.pg_extension_config_dump('pgml_auto.models', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.models_model_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.versions', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.versions_version_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.trials', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.metrics', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.image_chunks', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.deployed', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.deployments', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.deployments_deployment_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.grants', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.audit', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.audit_audit_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.schedules', '');
SELECT pg_catalog.pg_extension_config_dump('pgml_auto.schedules_schedule_id_seq', '');

-- Whoever writes the pointer (our functions, a restore, logical replication's apply worker), the model caches of
-- all sessions learn of it.
CREATE FUNCTION pgml_auto.deployed_changed() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'pgml_auto_deployed_changed';
CREATE TRIGGER deployed_changed AFTER INSERT OR UPDATE OR DELETE ON pgml_auto.deployed
    FOR EACH STATEMENT EXECUTE FUNCTION pgml_auto.deployed_changed();
ALTER TABLE pgml_auto.deployed ENABLE ALWAYS TRIGGER deployed_changed;
COMMENT ON FUNCTION pgml_auto.deployed_changed() IS 'invalidates cached models when the deployed version changes';

COMMENT ON TABLE pgml_auto.models IS 'registered models';
COMMENT ON TABLE pgml_auto.versions IS 'versions of models, one per training';
COMMENT ON TABLE pgml_auto.trials IS 'settings tried in each training';
COMMENT ON TABLE pgml_auto.metrics IS 'scores of each version';
COMMENT ON TABLE pgml_auto.image_chunks IS 'trained pipelines, in chunks of 1 MB';
COMMENT ON TABLE pgml_auto.deployed IS 'which version answers predictions';
COMMENT ON TABLE pgml_auto.deployments IS 'history of what was deployed when';
COMMENT ON TABLE pgml_auto.grants IS 'who may use or manage a model besides its owner';
COMMENT ON TABLE pgml_auto.audit IS 'every change of the registry';
COMMENT ON TABLE pgml_auto.job_queue IS 'trainings in the background';
COMMENT ON TABLE pgml_auto.schedules IS 'when models are trained again';
COMMENT ON TABLE pgml_auto.schedule_state IS 'when schedules are due next, and how their runs went';

COMMENT ON SEQUENCE pgml_auto.models_model_id_seq IS 'numbers of models';
COMMENT ON SEQUENCE pgml_auto.versions_version_id_seq IS 'numbers of versions';
COMMENT ON SEQUENCE pgml_auto.deployments_deployment_id_seq IS 'numbers of deployments';
COMMENT ON SEQUENCE pgml_auto.audit_audit_id_seq IS 'numbers of audit rows';
COMMENT ON SEQUENCE pgml_auto.job_queue_job_id_seq IS 'numbers of jobs';
COMMENT ON SEQUENCE pgml_auto.schedules_schedule_id_seq IS 'numbers of schedules';
