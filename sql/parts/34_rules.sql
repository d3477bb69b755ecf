-- A decision tree for readers, and as SQL.

CREATE FUNCTION @extschema@.automl_rules(model text)
RETURNS TABLE (rule integer, condition text, prediction text, rows double precision, share double precision, probabilities jsonb)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_rules';
COMMENT ON FUNCTION @extschema@.automl_rules(text) IS
'a model of one decision_tree as rules, one for each leaf: the condition, what is predicted, and the training rows it was learned from';

CREATE FUNCTION @extschema@.automl_tree_sql(model text, class text DEFAULT NULL)
RETURNS text
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_tree_sql';
COMMENT ON FUNCTION @extschema@.automl_tree_sql(text, text) IS
'a model of one decision_tree as a CASE expression over its columns that gives the prediction, or the probability of a class';
