-- Intervals and sets that hold the truth with a given probability.  The forms of input are those of predict().

CREATE FUNCTION @extschema@.predict_interval(model text, input record, level double precision DEFAULT 0.9,
    OUT prediction double precision, OUT lower double precision, OUT upper double precision)
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_interval';
COMMENT ON FUNCTION @extschema@.predict_interval(text, record, double precision) IS
'predicted number for a row, and the ends of the interval that holds the true one with this probability; for regression models';

CREATE FUNCTION @extschema@.predict_interval(model text, features jsonb, level double precision DEFAULT 0.9,
    OUT prediction double precision, OUT lower double precision, OUT upper double precision)
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_interval';
COMMENT ON FUNCTION @extschema@.predict_interval(text, jsonb, double precision) IS
'predicted number for a jsonb object whose keys are column names, and the ends of the interval that holds the true one with this probability; for regression models';

CREATE FUNCTION @extschema@.predict_interval(model text, features json, level double precision DEFAULT 0.9,
    OUT prediction double precision, OUT lower double precision, OUT upper double precision)
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_interval';
COMMENT ON FUNCTION @extschema@.predict_interval(text, json, double precision) IS
'predicted number for a json object whose keys are column names, and the ends of the interval that holds the true one with this probability; for regression models';

CREATE FUNCTION @extschema@.predict_interval(model text, features text, level double precision DEFAULT 0.9,
    OUT prediction double precision, OUT lower double precision, OUT upper double precision)
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_interval';
COMMENT ON FUNCTION @extschema@.predict_interval(text, text, double precision) IS
'predicted number for a JSON object in text whose keys are column names, and the ends of the interval that holds the true one with this probability; for regression models';

CREATE FUNCTION @extschema@.predict_set(model text, input record, level double precision DEFAULT 0.9) RETURNS text[]
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_set';
COMMENT ON FUNCTION @extschema@.predict_set(text, record, double precision) IS
'classes for a row of which one is the true one with this probability, the most probable first';

CREATE FUNCTION @extschema@.predict_set(model text, features jsonb, level double precision DEFAULT 0.9) RETURNS text[]
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_set';
COMMENT ON FUNCTION @extschema@.predict_set(text, jsonb, double precision) IS
'classes for a jsonb object whose keys are column names of which one is the true one with this probability, the most probable first';

CREATE FUNCTION @extschema@.predict_set(model text, features json, level double precision DEFAULT 0.9) RETURNS text[]
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_set';
COMMENT ON FUNCTION @extschema@.predict_set(text, json, double precision) IS
'classes for a json object whose keys are column names of which one is the true one with this probability, the most probable first';

CREATE FUNCTION @extschema@.predict_set(model text, features text, level double precision DEFAULT 0.9) RETURNS text[]
    LANGUAGE C STABLE PARALLEL SAFE STRICT COST 100
    AS 'MODULE_PATHNAME', 'pgml_auto_predict_set';
COMMENT ON FUNCTION @extschema@.predict_set(text, text, double precision) IS
'classes for a JSON object in text whose keys are column names of which one is the true one with this probability, the most probable first';
