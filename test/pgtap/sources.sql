-- The same rows give the same model, byte for byte, wherever they come from and in whatever order.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

CREATE SCHEMA sources;
CREATE SCHEMA "Other Schema";
SET LOCAL search_path = sources, public;

CREATE TABLE points (x int, kind text, y float8);
INSERT INTO points
SELECT (i * 7919) % 61, 'k' || i % 4, (i * 7919) % 61 * 2 + i % 4 * 10 + sin(i) FROM generate_series(1, 150) i;

-- Checksum of the image that training on data gives.
CREATE FUNCTION image_of(data text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    crc bigint;
BEGIN
    PERFORM automl_train('image', image_of.data, 'y', algorithms => '{gradient_boosting}', max_trials => 1,
                         hyperparams => '{"n_estimators": 5}');
    SELECT image_crc INTO STRICT crc FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name = 'image';
    PERFORM automl_drop('image');
    RETURN crc;
END $$;
CREATE TABLE expected AS SELECT image_of('points') AS crc;
CREATE FUNCTION same_model(data text, description text) RETURNS text LANGUAGE sql AS $$
    SELECT is(image_of(data), crc, description) FROM expected
$$;

SELECT same_model('points', 'the same table again');
SELECT same_model('sources.points', 'a qualified name');
SELECT same_model(' "sources" . points ', 'a name with quotes and blanks');
CREATE TABLE "Other Schema"."Mixed ""Case"".table" AS SELECT * FROM points ORDER BY random();
SELECT same_model('"Other Schema"."Mixed ""Case"".table"', 'a name that needs quotes; rows in another order');
CREATE TEMP TABLE in_memory AS SELECT * FROM points;
SELECT same_model('in_memory', 'a temporary table');
CREATE VIEW seen AS SELECT * FROM points;
SELECT same_model('seen', 'a view');
CREATE MATERIALIZED VIEW kept AS SELECT * FROM points;
SELECT same_model('kept', 'a materialized view');
CREATE TABLE parts (LIKE points) PARTITION BY LIST (kind);
CREATE TABLE parts_even PARTITION OF parts FOR VALUES IN ('k0', 'k2');
CREATE TABLE parts_odd (y float8, kind text, gone int, x int);
ALTER TABLE parts_odd DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_odd FOR VALUES IN ('k1', 'k3');
INSERT INTO parts SELECT * FROM points;
SELECT same_model('parts', 'a partitioned table whose partitions differ in layout');
CREATE TABLE parent (LIKE points);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent SELECT * FROM points LIMIT 50;
INSERT INTO child SELECT * FROM points OFFSET 50;
SELECT same_model('parent', 'a table with a child');
CREATE TABLE widened (x int, gone text, kind text, y float8);
INSERT INTO widened SELECT x, 'old', kind, y FROM points;
ALTER TABLE widened DROP COLUMN gone;
SELECT same_model('widened', 'a table with a dropped column');
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
DO $$ BEGIN
    EXECUTE format('CREATE FOREIGN TABLE remote (x int, kind text, y float8) SERVER files OPTIONS (program %L, format ''csv'')',
        'printf ''' || (SELECT string_agg(format('%s,%s,%s\n', x, kind, y), '' ORDER BY y) FROM points) || '''');
END $$;
SELECT is(count(*), 150::bigint, 'the foreign table has the rows') FROM remote;
SELECT same_model('remote', 'a foreign table');

SELECT same_model('SELECT * FROM points', 'a query');
SELECT same_model('SELECT * FROM points ORDER BY random()', 'in random order');
SELECT same_model('TABLE points;', 'TABLE');
SELECT same_model(E'-- first\n/* and */ (SELECT * FROM points WHERE x < 30) UNION ALL SELECT * FROM points WHERE x >= 30 -- last',
    'a set operation between comments');
SELECT same_model('WITH few AS (SELECT * FROM points) SELECT x, kind, y FROM few', 'a common table expression');
SELECT same_model((SELECT 'SELECT column1 AS x, column2 AS kind, column3 AS y FROM (VALUES '
    || string_agg(format('(%s, %L, %s::float8)', x, kind, y), ', ') || ') AS v' FROM points), 'VALUES');
SELECT same_model('SELECT (p).* FROM (SELECT p FROM points AS p) AS whole', 'expanded rows');
CREATE FUNCTION rows_of() RETURNS SETOF points LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT * FROM points; END $$;
SELECT same_model('SELECT * FROM rows_of()', 'a function');

-- Rows of fixed width are read as they lie in their pages, others value by value: the model is the same.
CREATE TABLE expected_points AS TABLE expected;
CREATE TABLE wide (id bigint PRIMARY KEY, a real, b smallint, c boolean, d float8, e date, f timestamptz, g money, h int, y int);
INSERT INTO wide SELECT (i * 7919) % 1009 * 9007199254740993, sin(i * i), i % 77, i % 3 = 0, cos(i) * 1e9, date '2020-01-01' + i % 300,
    timestamptz '2021-05-05 12:00+00' + i * interval '37 minutes', (i % 50)::money, 16000000 + i, (i % 7 + sin(i * i) * 4 > 3)::int
FROM generate_series(1, 1000) i;
UPDATE wide SET a = 'NaN' WHERE h % 50 = 1;
UPDATE wide SET a = 'infinity' WHERE h % 101 = 5;
CREATE TABLE holes AS TABLE wide;
ALTER TABLE holes ADD PRIMARY KEY (id);
UPDATE holes SET a = NULL, c = NULL WHERE h % 10 = 3;
UPDATE holes SET b = NULL WHERE h % 97 = 3;
UPDATE holes SET e = NULL, g = NULL WHERE h % 31 = 3;
CREATE TABLE domains (id bigint PRIMARY KEY, a real, b smallint, c boolean, d float8, e date, f timestamptz, g money, h int);
INSERT INTO domains SELECT id, a, b, c, d, e, f, g, h FROM wide;
ALTER TABLE domains ADD y int;
UPDATE domains SET y = wide.y FROM wide WHERE wide.id = domains.id AND wide.y = 1;
ALTER TABLE domains ADD zero int DEFAULT 0;

UPDATE expected SET crc = image_of('wide');
SELECT same_model('SELECT * FROM wide WHERE id IS NOT NULL', 'values in their pages: the same with a condition');
SELECT same_model('SELECT id, a, b, c, d, e, f, g, h, y FROM wide OFFSET 0', 'behind a subquery');
SELECT same_model('SELECT id, a, b, c, d, e, f, g, h, y + 0 AS y FROM wide', 'with an expression');
SELECT same_model('SELECT id, a, b, c, d, e, f, g, h, COALESCE(y, zero) AS y FROM domains', 'columns added later');
UPDATE expected SET crc = image_of('holes');
SELECT same_model('SELECT id, a, b, c, d, e, f, g, h, y + 0 AS y FROM holes', 'values that are missing');
CREATE TABLE scattered AS SELECT * FROM holes ORDER BY random();
ALTER TABLE scattered ADD PRIMARY KEY (id);
SELECT same_model('scattered', 'in another order');
-- The same columns beside one of text, which is read value by value, and left out.
CREATE FUNCTION predictions_of(data text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answers text;
BEGIN
    PERFORM automl_train('answers', predictions_of.data, 'y', algorithms => '{gradient_boosting}', max_trials => 1,
                         hyperparams => '{"n_estimators": 5}', exclude => '{h}', id_columns => '{id}');
    SELECT md5(string_agg(predict_proba('answers', holes)::text, ',' ORDER BY id)) INTO answers FROM holes;
    PERFORM automl_drop('answers');
    RETURN answers;
END $$;
SELECT is(predictions_of('SELECT id, a, b, c, d, e, f, g, h::text, y FROM holes'), predictions_of('holes'), 'beside a text');
UPDATE expected SET crc = (SELECT crc FROM expected_points);

-- In parallel workers, where the planner is told that they cost nothing.
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT is(set_config(name, 'on', true), 'on', 'parallel workers are asked for')
FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT same_model('points', 'read by parallel workers');

-- search_path decides what a bare name means, when the model is made and, from then on, always the same way.
CREATE TABLE "Other Schema".points AS SELECT x, kind, - y AS y FROM sources.points;
SELECT isnt(crc, (SELECT image_of('"Other Schema".points')), 'other rows give another model') FROM expected;
SET LOCAL search_path = "Other Schema", sources, public;
SELECT isnt(crc, (SELECT image_of('points')), 'the first schema of search_path is meant') FROM expected;
SELECT lives_ok($$SELECT * FROM automl_train('bare', 'points', 'y', max_trials => 1)$$, 'a bare name');
SET LOCAL search_path = sources, public;
SELECT lives_ok($$SELECT * FROM automl_train('bare', max_trials => 1)$$, 'trained again under another search_path');
SELECT is(count(DISTINCT image_crc), 1::bigint, 'means the same table')
FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name = 'bare';
SELECT is(current_setting('search_path'), 'sources, public', 'and search_path is as it was');

-- Decimal commas in columns that are left out: all alike, twice the same.
SELECT lives_ok($$SELECT * FROM automl_train('commas', 'SELECT i % 37 AS x, ''1,5''::text AS same, i % 90 || '',25'' AS a, i % 90 || '',25'' AS b, i % 37 + i % 3 AS y FROM generate_series(1, 300) i', 'y',
    max_trials => 1)$$, 'decimal commas are dropped like other columns');
SELECT is(predict_value('commas', '{"x": 3, "a": "89,25"}'::jsonb) IS NOT NULL, true, 'and read like other numbers');

-- Columns that look like identifiers are taken in by name.
SELECT lives_ok($$SELECT * FROM automl_train('kept', 'SELECT i AS day_no, i * 3 + i % 2 AS y FROM generate_series(1, 300) i', 'y',
    options => '{"keep": ["day_no"]}', max_trials => 1)$$, 'a running number is kept on demand');
SELECT is(description, 'day_no', 'and used') FROM automl_describe('kept') WHERE item = 'needed';
SELECT throws_ok($$SELECT * FROM automl_train('kept2', 'SELECT 1 AS x, 2 AS y', 'y', options => '{"keep": "x"}')$$, '22023',
    'options: "keep" must be an array of column names', 'keep is a list');
SELECT throws_ok($$SELECT * FROM automl_train('kept2', 'SELECT 1 AS x, 2 AS y', 'y', options => '{"keep": ["z"]}')$$, '42703', NULL, 'of columns');

-- An array goes by its own name.
SELECT lives_ok($$SELECT * FROM automl_train('arrayed', 'SELECT ARRAY[i % 7, i % 5] AS v, ARRAY[i % 3, 1] AS w, i % 11 AS x, i % 7 + i % 11 AS y FROM generate_series(1, 300) i', 'y',
    exclude => '{w}', max_trials => 1)$$, 'an array is excluded');
SELECT is(description, 'v, x', 'and the other one is needed') FROM automl_describe('arrayed') WHERE item = 'needed';
SELECT lives_ok($$SELECT * FROM automl_train('arrayed', exclude => '{}', features => '{w,x}')$$, 'or chosen');
SELECT is(description, 'w, x', 'as one') FROM automl_describe('arrayed@2') WHERE item = 'needed';

SELECT * FROM finish();
ROLLBACK;
