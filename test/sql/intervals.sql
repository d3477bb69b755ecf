-- predict_interval() and predict_set(): every form of input, levels, rights, what cannot be, and models without a calibration.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS intervals_test CASCADE;
CREATE SCHEMA intervals_test;
SET search_path = intervals_test, public;
SET extra_float_digits = 0;

-- Errors of y grow with x; kind is told by x for most rows.
CREATE TABLE points AS
SELECT i AS id, i * 7919 % 997 / 10.0 AS x, (ARRAY['a', 'b', 'c'])[1 + i % 3] AS k,
       (i * 104729 % 1009 / 1009.0 - 0.5) * 2 AS noise
FROM generate_series(1, 4000) i;
ALTER TABLE points ADD y float8, ADD kind text, ADD big boolean;
UPDATE points SET y = 2 * x + CASE k WHEN 'a' THEN 10 ELSE 0 END + noise * (1 + x / 10),
                  kind = CASE WHEN x + 20 * noise > 66 THEN 'large' WHEN x + 20 * noise > 33 THEN 'middle' ELSE 'small' END,
                  big = x + 10 * noise > 50;
ALTER TABLE points ADD PRIMARY KEY (id);
CREATE VIEW old_points AS SELECT * FROM points WHERE id <= 3000;
CREATE VIEW new_points AS SELECT * FROM points WHERE id > 3000;
CREATE FUNCTION train(model text, data text, target text, test_size float8 DEFAULT 0.3) RETURNS int
LANGUAGE sql AS $$
    SELECT version FROM automl_train(model, data, target, algorithms => '{gradient_boosting}', max_trials => 1,
        hyperparams => '{"n_estimators": 30, "learning_rate": 0.3}', test_size => test_size)
$$;
SELECT train('y', 'SELECT id, x, k, y FROM old_points', 'y'), train('kind', 'SELECT id, x, k, kind FROM old_points', 'kind'),
       train('big', 'SELECT id, x, k, big FROM old_points', 'big'), train('untested', 'SELECT id, x, k, y FROM old_points', 'y', 0);

-- Columns of a call in FROM; a row in the target list.
SELECT i.* FROM new_points p, predict_interval('y', p) i LIMIT 0;
SELECT pg_typeof(predict_interval('y', p)), pg_typeof(predict_set('kind', p)) FROM new_points p LIMIT 1;
SELECT count(*), bool_and(i.prediction = predict_value('y', p)) AS predicted, bool_and(i.lower < i.prediction AND i.prediction < i.upper) AS inside
FROM new_points p, predict_interval('y', p) i;

-- The level is held for rows that nothing has seen, whichever it is, and where errors are small as where they are large: within four
-- standard deviations of 900 scores and 1000 new rows.
SELECT level, abs(avg((y BETWEEN lower AND upper)::int) - level) < 4 * sqrt(level * (1 - level) * (1 / 900.0 + 1 / 1000.0)) AS held,
       avg((y BETWEEN lower AND upper)::int) FILTER (WHERE x < 20) > level - 0.15 AS left_end,
       avg((y BETWEEN lower AND upper)::int) FILTER (WHERE x > 80) > level - 0.15 AS right_end,
       avg(upper - lower) FILTER (WHERE x < 20) < 0.6 * avg(upper - lower) FILTER (WHERE x > 80) AS adapted
FROM unnest('{0.5, 0.8, 0.9, 0.95}'::float8[]) level, new_points p, predict_interval('y', p, level) GROUP BY level ORDER BY level;
SELECT level, avg((kind = ANY (classes))::int) > level - 4 * sqrt(level * (1 - level) * (1 / 900.0 + 1 / 1000.0)) AS held, min(cardinality(classes)) AS least
FROM unnest('{0.5, 0.8, 0.9, 0.95}'::float8[]) level, new_points p, predict_set('kind', p, level) classes GROUP BY level ORDER BY level;
-- Without test rows the scores are those of single folds, which their average betters.
SELECT avg((y BETWEEN lower AND upper)::int) BETWEEN 0.86 AND 0.98 AS held FROM new_points p, predict_interval('untested', p);

-- The default is 0.9; higher levels hold lower ones.
SELECT bool_and(predict_interval('y', p) = predict_interval('y', p, 0.9)) AS interval, bool_and(predict_set('kind', p) = predict_set('kind', p, 0.9)) AS set,
       bool_and(a.lower >= b.lower AND a.upper <= b.upper) AS nested, bool_and(predict_set('kind', p, 0.7) <@ predict_set('kind', p, 0.97)) AS subset
FROM new_points p, predict_interval('y', p, 0.7) a, predict_interval('y', p, 0.97) b;

-- Sets begin with what is predicted, fall in probability, name no class twice; labels are text.
SELECT bool_and(s[1] = predict('kind', p)) AS first, bool_and(cardinality(s) = (SELECT count(DISTINCT c) FROM unnest(s) c)) AS once,
       bool_and((SELECT bool_and(q) FROM (SELECT predict_proba('kind', p, c) <= lag(predict_proba('kind', p, c)) OVER (ORDER BY n) AS q
                                          FROM unnest(s) WITH ORDINALITY AS u(c, n)) t) IS NOT FALSE) AS falling
FROM new_points p, predict_set('kind', p, 0.99) s;
SELECT predict_set('big', p, 0.5) AS half, predict_set('big', p, 0.99999) AS all FROM (SELECT 1.0 AS x, 'a' AS k) p;

-- Too few rows for a level: everything is possible.
SELECT lower, upper FROM new_points p, predict_interval('y', p, 0.9999) LIMIT 1;
SELECT array(SELECT unnest(predict_set('kind', p, 0.9999)) ORDER BY 1) FROM new_points p LIMIT 1;
SELECT train('few', 'SELECT id, x, k, y FROM old_points WHERE id <= 30', 'y', 0.2);
SELECT isfinite.level, lower > '-infinity' AND upper < 'infinity' AS finite
FROM (VALUES (0.5), (0.75), (0.9)) isfinite(level), predict_interval('few', '{"x": 3, "k": "a"}', isfinite.level) ORDER BY 1;

-- Rows, jsonb, json, text; in other types; versions; names of arguments.
SELECT predict_interval('y', p) = predict_interval('y', to_jsonb(p)) AS jsonb, predict_interval('y', p) = predict_interval('y', row_to_json(p)) AS json,
       predict_interval('y', p) = predict_interval('y', to_jsonb(p)::text) AS text, predict_interval('y', p) = predict_interval('y@1', p.*, 0.9) AS version,
       predict_interval('y', p) = predict_interval(model => 'y', input => p, level => 0.9) AS named
FROM (SELECT 17.5 AS x, 'b'::varchar AS k) p;
SELECT predict_set('kind', p) = predict_set('kind', to_jsonb(p)) AS jsonb, predict_set('kind', p) = predict_set('kind', row_to_json(p)) AS json,
       predict_set('kind', p) = predict_set('kind', to_jsonb(p)::text) AS text, predict_set('kind', p) = predict_set('kind@1', p.*, 0.9) AS version,
       predict_set('kind', p) = predict_set(model => 'kind', features => to_jsonb(p), level => 0.9) AS named
FROM (SELECT 17.5 AS x, 'b'::varchar AS k) p;

-- NULL for anything gives NULL, without a look at any model; missing values do not.
SELECT predict_interval(NULL, p) IS NULL AS a, predict_interval('no such model', NULL::points) IS NULL AS b, predict_interval('y', NULL) IS NULL AS c,
       predict_interval('y', p, NULL) IS NULL AS d, predict_set(NULL, '{}') IS NULL AS e, predict_set('kind', NULL::jsonb) IS NULL AS f,
       predict_set('kind', p, NULL) IS NULL AS g FROM points p WHERE id = 1;
SELECT * FROM predict_interval('y', NULL::points);
SELECT lower < upper AS fine FROM predict_interval('y', '{"x": null, "k": null}');
SELECT cardinality(predict_set('kind', p)) > 0 AS fine FROM (SELECT NULL::float8 AS x, 'never seen' AS k) p;

-- Errors: levels that are none, tasks, models, columns, values.
SELECT predict_interval('y', p, 0) FROM points p;
SELECT predict_interval('y', p, 1) FROM points p;
SELECT predict_set('kind', p, -0.1) FROM points p;
SELECT predict_set('kind', p, 'NaN') FROM points p;
SELECT predict_set('kind', p, 90) FROM points p;
SELECT predict_interval('y', p, 'infinity') FROM points p;
SELECT predict_interval('kind', p) FROM points p;
SELECT predict_set('y', p) FROM points p;
SELECT predict_interval('nothing', p) FROM points p;
SELECT predict_set('kind@7', p) FROM points p;
SELECT predict_interval('y', p) FROM (SELECT 1 AS x) p;
SELECT predict_interval('y', '{"x": 1}');
SELECT predict_set('kind', '[1]');
SELECT predict_interval('y', '{"x": "many", "k": "a"}');

-- In plans: parallel workers, prepared statements, cursors, two models of one call site, a read-only transaction, beside predict().
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT id FROM points p WHERE predict_set('kind', p) = '{small}';
CREATE TEMP TABLE by_workers AS SELECT id, (predict_interval('y', p)).upper, predict_set('kind', p) AS classes FROM points p;
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
SELECT count(*), count(*) FILTER (WHERE w.upper <> (predict_interval('y', p)).upper OR w.classes <> predict_set('kind', p)) AS differ
FROM by_workers w JOIN points p USING (id);
PREPARE one(float8, float8) AS SELECT prediction BETWEEN lower AND upper AS fine FROM predict_interval('y', jsonb_build_object('x', $1, 'k', 'a'), $2);
EXECUTE one(1, 0.5);
EXECUTE one(2, 0.99);
BEGIN READ ONLY;
SELECT m, cardinality(predict_set(m, p, 0.9999)) FROM (VALUES ('kind'), ('big'), ('kind')) v(m), (SELECT 30 AS x, 'a' AS k) p;
COMMIT;
SELECT count(*) FROM new_points p WHERE predict('kind', p) <> (predict_set('kind', p))[1];

-- A deployment changes what a prepared statement says.
PREPARE width AS SELECT upper - lower < 15 AS narrow FROM predict_interval('y', '{"x": 10, "k": "a"}');
EXECUTE width;
SELECT deployed FROM automl_train('y', 'SELECT id, x, k, y FROM old_points', 'y', algorithms => '{constant}', hyperparams => '{}');
SELECT automl_deploy('y', 2);
EXECUTE width;
SELECT automl_rollback('y');
EXECUTE width;

-- Rights are those of predict().
CREATE ROLE pgml_interval_reader;
GRANT USAGE ON SCHEMA intervals_test, public TO pgml_interval_reader;
SET ROLE pgml_interval_reader;
SELECT predict_interval('y', '{"x": 10, "k": "a"}');
SELECT predict_set('kind', '{"x": 10, "k": "a"}');
RESET ROLE;
SELECT automl_grant('y', 'pgml_interval_reader'), automl_grant('kind', 'pgml_interval_reader');
SET ROLE pgml_interval_reader;
SELECT lower < upper AS fine FROM predict_interval('y', '{"x": 10, "k": "a"}');
SELECT predict_set('kind', '{"x": 1, "k": "a"}', 0.5);
RESET ROLE;
SELECT automl_revoke('y', 'pgml_interval_reader'), automl_revoke('kind', 'pgml_interval_reader');
DROP OWNED BY pgml_interval_reader;
DROP ROLE pgml_interval_reader;

-- A model of before there were calibrations predicts as ever, and says what to do.
\getenv srcdir PG_ABS_SRCDIR
\set image :srcdir '/unit/golden/image_v1_regression.bin'
SELECT train('old', 'SELECT id, x, k, y FROM old_points', 'y');
UPDATE pgml_auto.image_chunks c SET data = pg_read_binary_file(:'image')
FROM pgml_auto.versions v JOIN pgml_auto.models m USING (model_id) WHERE c.version_id = v.version_id AND m.name = 'old';
UPDATE pgml_auto.versions v SET image_bytes = 4736, image_crc = 1291636962 FROM pgml_auto.models m WHERE v.model_id = m.model_id AND m.name = 'old';
\set row '{"age": 1, "income": 2, "city": "Oslo", "member": true, "joined": null, "seen": null, "wake": null, "span": null, "big": 4, "flag": null}'
SELECT predict_value('old', :'row') > 0 AS predicts;
SELECT predict_interval('old', :'row');
DROP SCHEMA intervals_test CASCADE;
DROP EXTENSION pgml_auto;
