-- Predictions.  Each verb takes a row (columns are found by name), a jsonb or json object, or the text of one; the text form also
-- settles what an untyped literal means.  NULL for the model or the input gives NULL.

-- Called by the planner; it loads the library early enough for plans to be scored in blocks.
CREATE FUNCTION pgml_auto.predict_support(internal) RETURNS internal
    LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'pgml_auto_support';
REVOKE ALL ON FUNCTION pgml_auto.predict_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION pgml_auto.predict_support(internal) IS
'planner support of the functions that predict for a row';

CREATE FUNCTION @extschema@.predict(model text, input record, type anyelement DEFAULT NULL::text) RETURNS anyelement
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100 SUPPORT pgml_auto.predict_support
    AS 'MODULE_PATHNAME', 'pgml_auto_predict';
COMMENT ON FUNCTION @extschema@.predict(text, record, anyelement) IS
'predicted class or number for a row, as text or in the type of the third argument: predict(''churn'', t), predict(''churn'', t, NULL::boolean)';

CREATE FUNCTION @extschema@.predict(model text, features jsonb) RETURNS text
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict';
COMMENT ON FUNCTION @extschema@.predict(text, jsonb) IS
'predicted class or number for a jsonb object whose keys are column names';

CREATE FUNCTION @extschema@.predict(model text, features json) RETURNS text
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict';
COMMENT ON FUNCTION @extschema@.predict(text, json) IS
'predicted class or number for a json object whose keys are column names';

CREATE FUNCTION @extschema@.predict(model text, features text) RETURNS text
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict';
COMMENT ON FUNCTION @extschema@.predict(text, text) IS
'predicted class or number for a JSON object in text whose keys are column names';

CREATE FUNCTION @extschema@.predict_value(model text, input record) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100 SUPPORT pgml_auto.predict_support
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_value';
COMMENT ON FUNCTION @extschema@.predict_value(text, record) IS
'predicted number for a row; for regression models';

CREATE FUNCTION @extschema@.predict_value(model text, features jsonb) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_value';
COMMENT ON FUNCTION @extschema@.predict_value(text, jsonb) IS
'predicted number for a jsonb object whose keys are column names; for regression models';

CREATE FUNCTION @extschema@.predict_value(model text, features json) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_value';
COMMENT ON FUNCTION @extschema@.predict_value(text, json) IS
'predicted number for a json object whose keys are column names; for regression models';

CREATE FUNCTION @extschema@.predict_value(model text, features text) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_value';
COMMENT ON FUNCTION @extschema@.predict_value(text, text) IS
'predicted number for a JSON object in text whose keys are column names; for regression models';

CREATE FUNCTION @extschema@.predict_proba(model text, input record, class text DEFAULT NULL) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100 SUPPORT pgml_auto.predict_support
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_proba';
COMMENT ON FUNCTION @extschema@.predict_proba(text, record, text) IS
'probability of a class for a row; with two classes the default is the positive one';

CREATE FUNCTION @extschema@.predict_proba(model text, features jsonb, class text DEFAULT NULL) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_proba';
COMMENT ON FUNCTION @extschema@.predict_proba(text, jsonb, text) IS
'probability of a class for a jsonb object whose keys are column names; with two classes the default is the positive one';

CREATE FUNCTION @extschema@.predict_proba(model text, features json, class text DEFAULT NULL) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_proba';
COMMENT ON FUNCTION @extschema@.predict_proba(text, json, text) IS
'probability of a class for a json object whose keys are column names; with two classes the default is the positive one';

CREATE FUNCTION @extschema@.predict_proba(model text, features text, class text DEFAULT NULL) RETURNS double precision
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_proba';
COMMENT ON FUNCTION @extschema@.predict_proba(text, text, text) IS
'probability of a class for a JSON object in text whose keys are column names; with two classes the default is the positive one';

CREATE FUNCTION @extschema@.predict_probs(model text, input record) RETURNS jsonb
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100 SUPPORT pgml_auto.predict_support
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_probs';
COMMENT ON FUNCTION @extschema@.predict_probs(text, record) IS
'probabilities of all classes for a row, as an object with the classes as keys';

CREATE FUNCTION @extschema@.predict_probs(model text, features jsonb) RETURNS jsonb
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_probs';
COMMENT ON FUNCTION @extschema@.predict_probs(text, jsonb) IS
'probabilities of all classes for a jsonb object whose keys are column names, as an object with the classes as keys';

CREATE FUNCTION @extschema@.predict_probs(model text, features json) RETURNS jsonb
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_probs';
COMMENT ON FUNCTION @extschema@.predict_probs(text, json) IS
'probabilities of all classes for a json object whose keys are column names, as an object with the classes as keys';

CREATE FUNCTION @extschema@.predict_probs(model text, features text) RETURNS jsonb
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_probs';
COMMENT ON FUNCTION @extschema@.predict_probs(text, text) IS
'probabilities of all classes for a JSON object in text whose keys are column names, as an object with the classes as keys';

-- Reads data as the caller, which may be a temporary table or call functions that parallel workers must not.
CREATE FUNCTION @extschema@.predict_table(model text, data text, id text DEFAULT NULL)
RETURNS TABLE (id text, prediction text, value double precision, probability double precision,
               probabilities jsonb)
    LANGUAGE C STABLE PARALLEL RESTRICTED CALLED ON NULL INPUT COST 100000 ROWS 1000
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_table';
COMMENT ON FUNCTION @extschema@.predict_table(text, text, text) IS
'predictions for all rows of a table or query, in the order read; id: the column that identifies a row (default: the primary key when it is one column, else the number of the row); probability: of the positive class of two, else of the predicted class';

CREATE FUNCTION @extschema@.automl_predict_view(model text, data text, view text) RETURNS regclass
    LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_view';
COMMENT ON FUNCTION @extschema@.automl_predict_view(text, text, text) IS
'create a view with all columns of a table or query and the deployed model''s predictions for each row';
