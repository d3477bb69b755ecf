-- Images that sessions share where the library is preloaded; the function filters by pg_read_all_stats.
CREATE FUNCTION pgml_auto.shared_image_slots()
RETURNS TABLE (database_id oid, registry oid, version_id bigint, image_bytes bigint, sessions integer, loading boolean, prepared_bytes bigint)
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 10 ROWS 10
    AS 'MODULE_PATHNAME', 'pgml_auto_shared_images';
COMMENT ON FUNCTION pgml_auto.shared_image_slots() IS
'model images in shared memory, of all databases; rows only for roles with the rights of pg_read_all_stats';

CREATE VIEW pgml_auto.shared_images WITH (security_barrier) AS
SELECT d.datname AS "database", v.name AS model, v.version, s.image_bytes, s.sessions, s.loading, s.prepared_bytes
FROM pgml_auto.shared_image_slots() s
LEFT JOIN pg_database d ON d.oid = s.database_id
LEFT JOIN (SELECT m.name, a.version, a.version_id
           FROM pgml_auto.visible_models m JOIN pgml_auto.versions a ON a.model_id = m.model_id) v
  ON v.version_id = s.version_id AND s.registry = 'pgml_auto.deployed'::regclass AND d.datname = current_database();
COMMENT ON VIEW pgml_auto.shared_images IS
'models that all sessions share in memory (with shared_preload_libraries), for roles with pg_read_all_stats; the model''s name is shown in its own database, to those who may see it';
GRANT SELECT ON pgml_auto.shared_images TO PUBLIC;
