-- The formula of linear members.

CREATE FUNCTION @extschema@.automl_coefficients(model text)
RETURNS TABLE (member integer, weight double precision, link text, class text, column_name text, feature text, term text, level text,
               coefficient double precision, low double precision, high double precision, center double precision, unit double precision)
    LANGUAGE C STABLE PARALLEL SAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'pgml_auto_coefficients';
COMMENT ON FUNCTION @extschema@.automl_coefficients(text) IS
'the coefficients of the linear members of a model, on the scale of the columns: what each is multiplied with, and the classes they count for';
