-- The fixed schema of tables and views.  The functions live in the extension's target schema, which must be
-- another one: dropping the extension drops this schema.  The check function lives only while this script runs.

CREATE FUNCTION @extschema@.pgml_auto_check_schema(target_schema text) RETURNS void
    LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'pgml_auto_check_schema';
SELECT @extschema@.pgml_auto_check_schema('@extschema@');
DROP FUNCTION @extschema@.pgml_auto_check_schema(text);

CREATE SCHEMA pgml_auto;
GRANT USAGE ON SCHEMA pgml_auto TO PUBLIC;
COMMENT ON SCHEMA pgml_auto IS 'models, versions and their history; read the views, change with the automl_ functions';
