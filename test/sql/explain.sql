-- automl_explain: contributions that add up, in every form of the input.
\set VERBOSITY terse
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS explain_test CASCADE;
CREATE SCHEMA explain_test;
GRANT USAGE ON SCHEMA explain_test TO PUBLIC;
SET search_path = explain_test, public;

CREATE TABLE trips AS
SELECT i AS trip_id, (i * 37 % 100) AS km, (ARRAY['car', 'bus', 'tram', NULL])[1 + i % 4] AS by,
       CASE WHEN i % 9 > 0 THEN date '2024-01-01' + i * 11 % 300 END AS day, ARRAY[i % 5, i % 7]::real[] AS load,
       i % 3 = 0 AS night, (i * 37 % 100) / 10.0 + CASE i % 4 WHEN 0 THEN 3 WHEN 1 THEN 1 ELSE 2 END + i % 5 AS price, '' AS band
FROM generate_series(1, 600) i;
UPDATE trips SET band = CASE WHEN price > 10 THEN 'high' WHEN price > 6 THEN 'middle' ELSE 'low' END;
ALTER TABLE trips ADD PRIMARY KEY (trip_id);
CREATE FUNCTION train(model text, query text, target text, algorithms text[]) RETURNS text LANGUAGE sql
    RETURN (SELECT format('%s by %s', task, algorithm)
            FROM automl_train(model, query, target, algorithms => algorithms, max_trials => 2, seed => 1,
                              options => '{"folds": 1}', hyperparams => CASE WHEN 'gradient_boosting' = ANY (algorithms) THEN '{"n_estimators": 30}'::jsonb END));
SELECT train('price', 'SELECT km, by, day, load, night, price FROM trips', 'price', '{gradient_boosting}'),
       train('price_linear', 'SELECT km, by, day, load, night, price FROM trips', 'price', '{linear}'),
       train('high', $$SELECT km, by, day, load, night, band = 'high' AS high FROM trips$$, 'high', '{gradient_boosting}'),
       train('band', 'SELECT km, by, day, load, night, band FROM trips', 'band', '{gradient_boosting}');

-- What is shown: the base, then every column that the model uses, with the row's value.
SELECT column_name, value, contribution IS NOT NULL AS contribution, explained_class, scale
FROM automl_explain('price', (SELECT t FROM trips t WHERE trip_id = 9))
ORDER BY column_name NULLS FIRST;
SELECT column_name, value, explained_class, scale
FROM automl_explain('high', '{"km": 12.50, "by": "bus", "day": null, "load": [1, null], "night": true}')
ORDER BY column_name NULLS FIRST;
SELECT bool_and(abs(contribution) <= coalesce(abs(before), 'Infinity')) AS largest_first
FROM (SELECT contribution, lag(contribution) OVER (ORDER BY n) AS before
      FROM trips t, automl_explain('price', t) WITH ORDINALITY e(c, v, contribution, total, class, scale, n)
      WHERE trip_id = 5 AND n > 1) s;

-- Sums.
CREATE FUNCTION adds_up(model text, expected text) RETURNS TABLE (rows bigint, exact boolean, as_said boolean) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT count(*), bool_and(abs(sum - (%s)) < 1e-9), bool_and(abs(sum - total) < 1e-9) FROM trips t,
         LATERAL (SELECT sum(contribution), min(total) AS total FROM automl_explain(%L, t)) e', expected, model);
END $$;
SELECT * FROM adds_up('price', $$predict_value('price', t)$$);
SELECT * FROM adds_up('price_linear', $$predict_value('price_linear', t)$$);
SELECT * FROM adds_up('high', $$ln(predict_proba('high', t) / (1 - predict_proba('high', t)))$$);
SELECT bool_and(abs(exp(low - middle) - predict_proba('band', t, 'low') / predict_proba('band', t, 'middle')) < 1e-6) AS scores
FROM trips t, LATERAL (SELECT sum(contribution) AS low FROM automl_explain('band', t, 'low')) l,
     LATERAL (SELECT sum(contribution) AS middle FROM automl_explain('band', t, 'middle')) m
WHERE trip_id <= 50;

-- Forests, oblivious trees with statistics of combinations, and models that multiply.
CREATE FUNCTION small(model text, target text, algorithm text, hyperparams jsonb) RETURNS text LANGUAGE sql
    RETURN (SELECT a.algorithm
            FROM automl_train(model, 'SELECT km, by, day, load, band AS size, ' || target || ' FROM trips', split_part(target, ' AS ', 2),
                              algorithms => ARRAY[algorithm], max_trials => 1, seed => 1, options => '{"folds": 1}', hyperparams => hyperparams) a);
SELECT small('forest', 'price AS y', 'random_forest', '{"n_estimators": 10}'), small('extra', 'night AS y', 'extra_trees', '{"n_estimators": 10}'),
       small('tree', 'price AS y', 'decision_tree', '{}'), small('oblivious', 'price + (length(by) + length(band)) % 2 AS y', 'oblivious_boosting', '{"n_estimators": 30}'),
       small('counts', 'floor(price) AS y', 'gradient_boosting', '{"n_estimators": 20, "objective": "poisson"}');
CREATE VIEW sized AS SELECT *, band AS size FROM trips;
CREATE FUNCTION sized_adds_up(model text, expected text) RETURNS TABLE (rows bigint, exact boolean, scale text, gain numeric) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT count(*), bool_and(abs(sum - (%s)) < 1e-9), min(scale), (SELECT round(sum(gain)::numeric, 9) FROM automl_importance(%L)) FROM sized t,
         LATERAL (SELECT sum(contribution), min(scale) AS scale FROM automl_explain(%L, t)) e', expected, model, model);
END $$;
SELECT * FROM sized_adds_up('forest', $$predict_value('forest', t)$$);
SELECT * FROM sized_adds_up('extra', $$predict_proba('extra', t)$$);
SELECT * FROM sized_adds_up('tree', $$predict_value('tree', t)$$);
SELECT * FROM sized_adds_up('oblivious', $$predict_value('oblivious', t)$$);
SELECT * FROM sized_adds_up('counts', $$ln(predict_value('counts', t))$$);

-- Classes: the positive one of two, the predicted one of several, or the one asked for.
SELECT bool_and(explained_class = predict('band', t)) AS predicted FROM trips t, automl_explain('band', t) WHERE trip_id <= 20;
SELECT DISTINCT explained_class FROM trips t, automl_explain('high', t) WHERE trip_id <= 20;
SELECT bool_and(a.contribution = - b.contribution) AS turned_round
FROM trips t, automl_explain('high', t) a, automl_explain('high', t, 'false') b
WHERE trip_id <= 20 AND a.column_name IS NOT DISTINCT FROM b.column_name;

-- A column that the target follows from, and one that tells nothing.
SELECT (array_agg(column_name ORDER BY strength DESC))[1] AS first
FROM (SELECT column_name, avg(abs(contribution)) AS strength FROM trips t, automl_explain('price', t)
      WHERE column_name IS NOT NULL GROUP BY 1) s;

-- All forms of the input say the same.
CREATE TEMP TABLE forms AS
SELECT 'row' AS form, e.* FROM trips t, automl_explain('price', t) e WHERE trip_id = 7
UNION ALL SELECT 'jsonb', e.* FROM trips t, automl_explain('price', to_jsonb(t)) e WHERE trip_id = 7
UNION ALL SELECT 'json', e.* FROM trips t, automl_explain('price', to_json(t)) e WHERE trip_id = 7
UNION ALL SELECT 'text', e.* FROM trips t, automl_explain('price', to_json(t)::text) e WHERE trip_id = 7;
SELECT count(DISTINCT (contribution, total)) AS contributions, count(DISTINCT value) AS values, count(*) AS forms
FROM forms GROUP BY column_name ORDER BY column_name NULLS FIRST;

-- NULL gives nothing; in the target list and for a version it works as well.
SELECT count(*) FROM automl_explain(NULL, '{}');
SELECT count(*) FROM automl_explain('price', NULL::jsonb);
SELECT count(*) FROM (SELECT (automl_explain('price@1', t)).* FROM trips t WHERE trip_id < 4) s;

-- A call site follows the deployment.
PREPARE explain_by AS SELECT DISTINCT scale FROM trips t, automl_explain('turn', t) WHERE trip_id < 3;
SELECT train('turn', 'SELECT km, night, price FROM trips', 'price', '{linear}');
EXECUTE explain_by;
SELECT train('turn', 'SELECT km, night, price * 2 AS price FROM trips', 'price', '{linear}');
EXECUTE explain_by;
SELECT abs(sum(contribution) - predict_value('turn', '{"km": 3, "night": true}')) < 1e-9 AS current
FROM automl_explain('turn', '{"km": 3, "night": true}');
SELECT automl_drop('turn');

-- A constant has only a base.
SELECT train('flat', 'SELECT km, price FROM trips', 'price', '{constant}');
SELECT column_name, contribution IN (0, total) AS base FROM automl_explain('flat', '{"km": 1}');

-- Parallel workers explain as well.
BEGIN;
SET LOCAL parallel_setup_cost TO 0;
SET LOCAL parallel_tuple_cost TO 0;
SET LOCAL min_parallel_table_scan_size TO 0;
SET LOCAL max_parallel_workers_per_gather TO 2;
SELECT count(*) AS rows FROM trips t, LATERAL (SELECT sum(contribution) FROM automl_explain('price', t)) e WHERE sum > 0;
COMMIT;

-- Importance: by shuffling test rows, and by the gain of splits.
SELECT (array_agg(column_name ORDER BY importance DESC))[1] AS first, bool_and(importance_low <= importance AND importance <= importance_high) AS within,
       min(metric) AS metric, round(sum(gain)::numeric, 6) AS gain, count(*) AS columns
FROM automl_importance('price');
SELECT count(importance) AS measured, count(gain) AS gains FROM automl_importance('price_linear@1');
SELECT count(*), count(importance) AS measured, count(gain) AS gains FROM automl_importance('flat');
SELECT task FROM automl_train('untested', 'SELECT km, by, price FROM trips', 'price', test_size => 0, max_trials => 1, options => '{"folds": 1}');
SELECT count(*), count(importance) AS measured, count(metric) AS metrics FROM automl_importance('untested');
SELECT * FROM automl_importance(NULL);

-- What cannot be explained is said.
SELECT * FROM automl_explain('price', '{"km": 1, "by": "car"}');
SELECT * FROM automl_explain('price', '[1]');
SELECT * FROM automl_explain('price', 'no object');
SELECT * FROM automl_explain('price', (SELECT t FROM trips t LIMIT 1), 'low');
SELECT * FROM automl_explain('band', (SELECT t FROM trips t LIMIT 1), 'tiny');
SELECT * FROM automl_explain('nothing', '{}');
SELECT * FROM automl_explain('price@9', '{}');
CREATE ROLE regress_explainer;
GRANT SELECT ON trips TO regress_explainer;
SET ROLE regress_explainer;
SELECT count(*) FROM automl_explain('price', (SELECT t FROM trips t LIMIT 1));
SELECT count(*) FROM automl_importance('price');
RESET ROLE;
SELECT automl_grant('price', 'regress_explainer');
SET ROLE regress_explainer;
SELECT count(*) FROM automl_explain('price', (SELECT t FROM trips t LIMIT 1));
SELECT count(*) FROM automl_importance('price');
RESET ROLE;

DROP SCHEMA explain_test CASCADE;
DROP EXTENSION pgml_auto CASCADE;
DROP ROLE regress_explainer;
