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

-- Dates and their parts, moments, times, intervals, and numbers in text, in every way to write one; what is missing may tell, too.
CREATE TABLE visits AS
SELECT CASE WHEN i % 14 > 0 THEN date '2019-11-03' + i * 37 % 1500 END AS day, timestamp '2021-03-01 00:00' + i * 7919 % 86400 * interval '611.25 s' AS seen,
       CASE WHEN i % 9 > 0 THEN timestamptz '2023-01-01 00:00+00' + i * 104729 % 90000 * interval '317 s' END AS moment,
       time '00:00' + i * 3571 % 86400 * interval '1 s' AS clock, CASE WHEN i % 8 > 0 THEN i * 13 % 50 * interval '1 day 02:30' + i % 3 * interval '1 month' END AS took,
       CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN 'n/a' WHEN 2 THEN format('$%s,%s', 1 + i % 7, 100 + i % 900) WHEN 3 THEN format('(%s)', i % 300)
                   WHEN 4 THEN format(' %s %%', i % 90) ELSE (i * 17 % 4001 / 8.0)::text END AS price,
       format('%s,%s', i * 31 % 700, i % 10) AS comma, CASE i % 6 WHEN 0 THEN 'NA' WHEN 1 THEN NULL WHEN 2 THEN ' ' ELSE 'x' END AS mark,
       CASE WHEN i % 4 = 1 THEN '7' WHEN i % 4 = 2 THEN 'unknown' END AS seven, CASE WHEN i % 7 > 2 THEN date '2024-02-29' END AS once
FROM generate_series(1, 3000) i;
CREATE VIEW visits_learned AS
SELECT *, CASE WHEN day > '2022-01-15' THEN 3 WHEN day IS NULL THEN 8 ELSE 0 END + extract(month FROM day) / 4 + CASE WHEN extract(isodow FROM seen) > 5 THEN 4 ELSE 0 END
          + CASE WHEN extract(hour FROM moment AT TIME ZONE 'UTC') BETWEEN 8 AND 15 THEN 5 ELSE 0 END + CASE WHEN seen > '2021-06-05 10:11:12.13' THEN 2 ELSE 0 END
          + CASE WHEN clock > '13:45' THEN 3 ELSE 0 END + CASE WHEN took > '20 days' THEN 3 WHEN took IS NULL THEN 6 ELSE 0 END
          + CASE WHEN price IS NULL THEN 4 WHEN price LIKE '$%' THEN 9 WHEN price LIKE '(%' THEN -4 ELSE 0 END
          + replace(comma, ',', '.')::float8 / 60 + CASE WHEN mark = 'x' THEN 0 ELSE 7 END + CASE WHEN seven = '7' THEN 4 ELSE 0 END
          + CASE WHEN once IS NULL THEN 5 ELSE 0 END AS y
FROM visits;
SELECT algorithm FROM automl_train('visit', 'TABLE visits_learned', 'y', algorithms => '{decision_tree}', max_trials => 1, seed => 1, options => '{"folds": 1}',
                                   hyperparams => '{"max_depth": 8, "min_samples_leaf": 25}');
SELECT part FROM unnest(ARRAY['"day" ', '(EXTRACT(ISODOW FROM "seen")', '(EXTRACT(HOUR FROM "moment" AT TIME ZONE ''UTC'')', '"clock" ', 'epoch'', "took"',
                              '"price"::text', '"comma"::text', '"mark"::text', '"seven"::text', 'isfinite("once")']) part WHERE position(part IN automl_tree_sql('visit')) = 0;
SELECT algorithm FROM automl_train('month', 'SELECT day, extract(month FROM day)::float8 AS y FROM visits WHERE day IS NOT NULL', 'y', algorithms => '{decision_tree}',
                                   max_trials => 1, seed => 1, options => '{"folds": 1}', hyperparams => '{"max_leaves": 12}');
SELECT position('(EXTRACT(MONTH FROM "day")' IN automl_tree_sql('month')) > 0 AS asks_for_months;
CREATE TEMP TABLE numbers AS
SELECT n AS price, translate(n, ',.', '.,') AS comma
FROM unnest(ARRAY[NULL, '', ' ', '0', '-0', '12', '+12', ' -12.5 ', '- 5', '12.', '.5', '-.5', '.', '-', '+', '1,234', '1,234.5', '12,34', '0,123', '1234,567', '1,234,567.25', '1,2345',
                  '(5)', '( 5.5 )', '(-5)', '()', '(', '5)', '(1,200)', '($5)', '( $ 5 )', '($ 5', '(5 %)', '-$5', '$-5', '$ -5', '- $5', '-$ 5', '$+5', '$--5', '-$-5', '$5$', '5 $', '-  5 $',
                  '$5 USD', 'USD 5', 'USD5', '5EUR', '5 EUR', 'EUR', '5E', '5e', '5e2', '5E+2', '5e-2', '5e2.5', '1e2 EUR', '€3.50', '3.50€', '£ 2', '¥1,000', '45%', '45 %', '-45 %', '- 45 %', '%45',
                  '45%%', '45% $', '$45%', 'NaN', 'Infinity', '-Infinity', 'inf', '1e308', '-1e308', '1.7976931348623157e308', '1.7976931348623158e308', '1.7976931348623159e308', '1e309', '-1e309',
                  '1e999', '1e1000', '-1e12345', '0e99999', '1e-400', '-1e-400', '1e-99999', '5e0000000000000002', 'abc', '5 5', '1.5.6', '1e5e5', '0x10', '1_000', '٣', E'\t7\n', E'7\u00a0', 'null',
                  '?', '#N/A', 'none', 'unknown', '100000000000000000000000', '250.0625', '250.06249999999999999', '250.0625000000000000000000000000001', '7', '7.0', ' 7', '8']
            || ARRAY[repeat('9', 308), repeat('9', 309), repeat('0', 499) || '7', repeat('0', 500) || '7', '0.' || repeat('0', 400) || '1', repeat(' ', 600) || '7', '1' || repeat('0', 400) || 'e-399']) n;
CREATE TABLE visits_asked AS
(SELECT * FROM visits LIMIT 400)
UNION ALL
SELECT d, s, m, c, t, price, comma, mark, seven, o
FROM (VALUES (NULL::date, 'infinity'::timestamp, '-infinity'::timestamptz, NULL::time, NULL::interval), ('infinity', '-infinity', 'infinity', '24:00', '-1 month'),
             ('-infinity', NULL, NULL, '00:00', '100 years'), ('4713-01-01 BC', '4713-01-01 BC', '4713-01-02 BC+00', '23:59:59.999999', '20 days'),
             ('5874897-12-31', '294276-12-31 23:59:59', '294276-12-31 23:59:59+00', '13:45', '1 mon -3 days'),
             ('2022-01-15', '2021-06-05 10:11:12.13', '2023-06-01 07:59:59.999999+00', '13:45:00.000001', '19 days 24:00')) v(d, s, m, c, t),
     (VALUES ('NULL', '#N/A', NULL::date), ('x', '7', 'infinity'), (NULL, NULL, '2024-02-29'), ('unknown', ' 7 ', '-infinity'), ('none', 'abc', '1970-01-01')) k(mark, seven, o),
     numbers
UNION ALL
SELECT v.day, v.seen + shift, v.moment + shift, v.clock, v.took, n.price, n.comma, v.mark, n.price, v.once
FROM (SELECT * FROM visits LIMIT 2) v, numbers n, (VALUES (interval '1 microsecond'), ('-1 microsecond')) s(shift);
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
DO $$
BEGIN
    EXECUTE 'CREATE TEMP TABLE said AS SELECT v.*, (' || automl_tree_sql('visit') || ') AS sql, predict_value(''visit'', v) AS model FROM visits_asked v';
    EXECUTE 'CREATE TABLE kept (LIKE visits, y float8 GENERATED ALWAYS AS (' || automl_tree_sql('visit') || ') STORED)';
END $$;
SELECT count(*) > 3000 AS many, count(*) FILTER (WHERE sql IS DISTINCT FROM model) AS differing, count(DISTINCT model) > 40 AS leaves FROM said;
RESET timezone;
RESET datestyle;

-- What has no rules, and what cannot be said.
SELECT train('dates', $$SELECT to_char(date '2024-01-01' + id, 'FMDD Mon YYYY') AS day, age, y FROM learned$$, 'y', 4);
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
