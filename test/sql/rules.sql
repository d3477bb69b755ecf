-- automl_rules and automl_tree_sql: a decision tree for readers, and as an expression that says exactly what the model does.
\set VERBOSITY terse
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS rules_test CASCADE;
CREATE SCHEMA rules_test;
SET search_path = rules_test, public;

-- Numbers of several types with missing values, a name to quote, levels with quotes, in several spellings, rare ones, markers of missing.
CREATE TABLE t AS
SELECT i AS id, CASE WHEN i % 11 > 0 THEN i * 37 % 100 END AS age, (i * 53 % 997 / 7.0)::real AS "Real x",
       CASE i % 13 WHEN 0 THEN 'NaN' ELSE (i * 29 % 1009) / 3.0 END::float8 AS precise,
       CASE WHEN i % 17 > 0 THEN (i * 31 % 503) / 100.0 END::numeric AS amount, 1700000000000 + i * 7919 % 100000 AS big,
       CASE WHEN i % 19 > 0 THEN i % 3 = 0 END AS "flag",
       CASE i % 12 WHEN 0 THEN ' Oslo' WHEN 1 THEN 'oslo' WHEN 2 THEN 'Côte d''Or' WHEN 3 THEN 'a\b' WHEN 4 THEN 'n/a' WHEN 5 THEN NULL
                   WHEN 6 THEN 'OSLO ' WHEN 7 THEN 'rare' || i WHEN 8 THEN '' ELSE 'Rome' END AS city,
       CASE WHEN i % 5 > 0 THEN 7 END AS once
FROM generate_series(1, 1200) i;
CREATE VIEW learned AS
SELECT *, coalesce(age, 30) / 10.0 + "Real x" / 50 + CASE WHEN precise > 200 THEN 3 ELSE 0 END + coalesce(amount, 9)
          + CASE WHEN city ILIKE '%oslo%' THEN 4 WHEN city LIKE 'a%' THEN 2 ELSE 0 END + CASE WHEN "flag" THEN 2 WHEN "flag" IS NULL THEN 5 ELSE 0 END
          + CASE WHEN once IS NULL THEN 3 ELSE 0 END + (big - 1700000000000) / 20000.0 AS y
FROM t;
CREATE FUNCTION train(model text, query text, target text, depth int) RETURNS text LANGUAGE sql
    RETURN (SELECT format('%s by %s', task, algorithm)
            FROM automl_train(model, query, target, algorithms => '{decision_tree}', max_trials => 1, seed => 1, options => '{"folds": 1}',
                              hyperparams => jsonb_build_object('max_depth', depth, 'min_samples_leaf', 2)));
SELECT train('y', 'SELECT age, "Real x", precise, amount, big, "flag", city, once, y FROM learned', 'y', 12),
       train('high', 'SELECT age, "Real x", precise, amount, big, "flag", city, once, y > 12 AS high FROM learned', 'high', 9),
       train('band', $$SELECT age, "Real x", precise, amount, big, "flag", city, once,
                              CASE WHEN y < 9 THEN 'it''s low' WHEN y < 14 THEN 'middle' ELSE 'high' END AS band FROM learned$$, 'band', 9);

-- Rows to ask for: those of training, and what was never seen.
CREATE TABLE asked AS
TABLE t
UNION ALL
SELECT 2000 + row_number() OVER (), a, x, p, m, b, f, c, o
FROM (VALUES (NULL::int, '-Infinity'::real), (-5, 'Infinity'), (2000000000, 'NaN'), (50, 1e30)) n(a, x),
     (VALUES ('NaN'::float8, 'NaN'::numeric, NULL::bigint), ('Infinity', 1e30, -1), ('-Infinity', -1e30, 1700000050000), (150, 2.5, 1700000000001)) k(p, m, b),
     (VALUES (NULL::boolean, NULL::text, NULL::int), (true, 'Nowhere', 8), (false, E'\tOSLO\x0b', 7), (false, 'A\B', 7), (true, '#N/A', NULL), (true, '\N', 7),
             (NULL, 'CÔTE D''OR', 7), (NULL, 'Côte D''OR', 7)) l(f, c, o);

-- Everything that the model says of every row, the expression says.
CREATE FUNCTION compare(model text, class text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    same text;
BEGIN
    EXECUTE format('SELECT count(*) || '' rows, differing: '' || count(*) FILTER (WHERE (%s) IS DISTINCT FROM %s) FROM asked', automl_tree_sql(model, class),
                   CASE WHEN class IS NOT NULL THEN format('predict_proba(%L, asked, %L)', model, class)
                        WHEN model = 'y' THEN 'predict_value(''y'', asked)' ELSE format('predict(%L, asked)', model) END) INTO same;
    RETURN same;
END $$;
SELECT compare('y') AS y, compare('high') AS high, compare('high', 'true') AS of_true, compare('high', 'false') AS of_false, compare('band') AS band,
       compare('band', 'it''s low') AS low, compare('band', 'high') AS of_high;

-- Every row satisfies one rule, and the rules know how many rows they were learned from.
SELECT model, count(*) > 5 AS several, min(rows) >= 2 AS enough, round(sum(share)::numeric, 9) AS share, bool_and(rows = round(rows)) AS whole,
       bool_and(prediction IS NOT NULL) AS predicted, bool_and((probabilities IS NULL) = (model = 'y')) AS probabilities
FROM unnest(ARRAY['y', 'high', 'band']) model, automl_rules(model) GROUP BY model ORDER BY model;

-- A small one, to read.
CREATE TABLE loans AS
SELECT (ARRAY['rent', 'own', 'mortgage'])[1 + i % 3] AS home, i * 37 % 60 + 18 AS age, CASE WHEN i % 10 > 0 THEN i * 13 % 90 * 1000 END AS income,
       CASE WHEN i * 37 % 60 + 18 > 40 AND i % 3 < 2 THEN 'yes' WHEN i % 10 = 0 THEN 'yes' ELSE 'no' END AS paid
FROM generate_series(1, 900) i;
SELECT train('paid', 'TABLE loans', 'paid', 3);
SELECT * FROM automl_rules('paid');
SELECT automl_tree_sql('paid', 'yes');

-- What has no rules, and what cannot be said.
SELECT train('dates', $$SELECT date '2024-01-01' + id AS day, age, y FROM learned$$, 'y', 4);
SELECT count(*) > 3 AS rules FROM automl_rules('dates');
SELECT automl_tree_sql('dates');
SELECT algorithm FROM automl_train('boosted', 'SELECT age, y FROM learned', 'y', algorithms => '{gradient_boosting}', max_trials => 1, seed => 1, options => '{"folds": 1}');
SELECT * FROM automl_rules('boosted');
SELECT automl_tree_sql('boosted');
SELECT automl_tree_sql('y', 'high');
SELECT automl_tree_sql('band', 'none');
SELECT automl_tree_sql(NULL);
SELECT * FROM automl_rules(NULL);
DROP SCHEMA rules_test CASCADE;
