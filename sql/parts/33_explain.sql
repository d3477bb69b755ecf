-- Explanations.  The forms of the input are those of predict().  NULL for the model or the input gives no rows.

CREATE FUNCTION @extschema@.automl_explain(model text, input record, class text DEFAULT NULL)
RETURNS TABLE (column_name text, value text, contribution double precision, total double precision,
               explained_class text, scale text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100000 ROWS 20
    AS 'MODULE_PATHNAME', 'pgml_auto_explain';
COMMENT ON FUNCTION @extschema@.automl_explain(text, record, text) IS
'what each column adds to the prediction for a row: exact Shapley values, after the base (column_name NULL), the largest first';

CREATE FUNCTION @extschema@.automl_explain(model text, features jsonb, class text DEFAULT NULL)
RETURNS TABLE (column_name text, value text, contribution double precision, total double precision,
               explained_class text, scale text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100000 ROWS 20
    AS 'MODULE_PATHNAME', 'pgml_auto_explain';
COMMENT ON FUNCTION @extschema@.automl_explain(text, jsonb, text) IS
'what each column adds to the prediction for a jsonb object whose keys are column names';

CREATE FUNCTION @extschema@.automl_explain(model text, features json, class text DEFAULT NULL)
RETURNS TABLE (column_name text, value text, contribution double precision, total double precision,
               explained_class text, scale text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100000 ROWS 20
    AS 'MODULE_PATHNAME', 'pgml_auto_explain';
COMMENT ON FUNCTION @extschema@.automl_explain(text, json, text) IS
'what each column adds to the prediction for a json object whose keys are column names';

CREATE FUNCTION @extschema@.automl_explain(model text, features text, class text DEFAULT NULL)
RETURNS TABLE (column_name text, value text, contribution double precision, total double precision,
               explained_class text, scale text)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100000 ROWS 20
    AS 'MODULE_PATHNAME', 'pgml_auto_explain';
COMMENT ON FUNCTION @extschema@.automl_explain(text, text, text) IS
'what each column adds to the prediction for a JSON object in text whose keys are column names';

CREATE FUNCTION @extschema@.automl_importance(model text)
RETURNS TABLE (column_name text, importance double precision, importance_low double precision, importance_high double precision,
               metric text, gain double precision)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_importance';
COMMENT ON FUNCTION @extschema@.automl_importance(text) IS
'how much worse the metric got on the test rows when the values of a column were shuffled, and the share of gain of its splits; the most important first';
