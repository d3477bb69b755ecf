-- What automl_train reads: names, kinds of relations, types, queries that must not write, row security, the sample.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA ingest_test;
CREATE SCHEMA "Ingest Test";
SET search_path = ingest_test, public;
\set VERBOSITY terse

-- Trains something small and says what was read.
CREATE FUNCTION reads(data text, target text DEFAULT 'y') RETURNS TABLE (rows_read bigint, inputs integer)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM automl_train('reads', $1, $2, algorithms => '{constant}', max_trials => 1, seed => 1, test_size => 0);
    RETURN QUERY SELECT v.rows_read, v.inputs FROM pgml_auto.version v WHERE v.model = 'reads';
    PERFORM automl_drop('reads');
END $$;

CREATE TABLE t AS SELECT i AS id, i % 13 AS x, i % 13 * 2 + i % 5 AS y FROM generate_series(1, 60) i;
CREATE TABLE "Ingest Test"."My ""Table""" AS SELECT id AS "Id", x AS "X.1", y FROM t;
CREATE VIEW v AS SELECT * FROM t WHERE id <= 50;
CREATE MATERIALIZED VIEW m AS SELECT * FROM t WHERE id <= 40;
CREATE TEMP TABLE tmp AS SELECT * FROM t WHERE id <= 30;
CREATE TABLE p (id int, x int, y int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (20);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (20) TO (100);
INSERT INTO p SELECT * FROM t;
ALTER TABLE t ADD COLUMN gone int, ADD COLUMN twice int GENERATED ALWAYS AS (x * 2) STORED;
ALTER TABLE t DROP COLUMN gone;
CREATE SEQUENCE s;
CREATE INDEX t_index ON t (x);
CREATE TYPE composite AS (y int);

-- relations
SELECT * FROM reads('t');
SELECT * FROM reads('T');
SELECT * FROM reads(' ingest_test . t ');
SELECT * FROM reads('"Ingest Test"."My ""Table"""');
SELECT * FROM reads('v');
SELECT * FROM reads('m');
SELECT * FROM reads('tmp');
SELECT * FROM reads('pg_temp.tmp');
SELECT * FROM reads('p');
SET search_path = "Ingest Test", ingest_test, public;
CREATE TABLE t AS SELECT * FROM ingest_test.t WHERE id <= 20;
SELECT * FROM reads('t');
SELECT * FROM reads('ingest_test.t');
SET search_path = ingest_test, public;
\set VERBOSITY sqlstate
SELECT * FROM reads('"T"');
SELECT * FROM reads('nowhere.t');
SELECT * FROM reads('elsewhere.ingest_test.t');
SELECT * FROM reads('s');
SELECT * FROM reads('t_index');
SELECT * FROM reads('composite');
SELECT * FROM reads('my-table');
SELECT * FROM reads('');
SELECT * FROM reads(NULL);
\set VERBOSITY terse

-- queries
SELECT * FROM reads('SELECT * FROM t WHERE id > 10');
SELECT * FROM reads('WITH big AS (SELECT * FROM t WHERE id > 20) SELECT x, y FROM big');
SELECT * FROM reads('TABLE t');
SELECT * FROM reads('VALUES (1, 2), (3, 4), (5, 7)', 'column2');
SELECT * FROM reads('(SELECT x, y FROM t) UNION ALL (SELECT x, y FROM t)');
SELECT * FROM reads('SELECT t.x, t.y, v.x AS x2 FROM t JOIN v USING (id);');
SELECT * FROM reads('EXPLAIN SELECT * FROM t');
SELECT * FROM reads('SELECT 1 AS y; SELECT 2 AS y');
SELECT * FROM reads('SELECT x, y, y FROM t');
SELECT * FROM reads('SELECT FROM t');
SELECT * FROM reads('SELECT * FROM t WHERE');
SELECT * FROM reads((SELECT 'SELECT 1 AS y, ' || string_agg(format('%s AS c%s', i, i), ', ') FROM generate_series(1, 1600) i));

-- nothing may write
CREATE TABLE written (i int);
CREATE FUNCTION writes(i int) RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO ingest_test.written VALUES (i) RETURNING i';
CREATE FUNCTION writes_hard(i int) RETURNS int LANGUAGE plpgsql VOLATILE AS
'BEGIN SET transaction_read_only = off; INSERT INTO ingest_test.written VALUES (i); RETURN i; END';
CREATE FUNCTION catches(i int) RETURNS int LANGUAGE plpgsql VOLATILE AS
'BEGIN PERFORM 1 / (i - i); RETURN 0; EXCEPTION WHEN division_by_zero THEN RETURN i; END';
SELECT * FROM reads('DELETE FROM t RETURNING *');
SELECT * FROM reads('WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d');
SELECT * FROM reads('SELECT * INTO copied FROM t');
SELECT * FROM reads('SELECT * FROM t FOR UPDATE');
SELECT * FROM reads('SELECT writes(x) AS x, y FROM t');
SELECT * FROM reads('SELECT writes_hard(x) AS x, y FROM t');
SELECT * FROM reads('SELECT nextval(''s'') AS x, y FROM t');
SELECT * FROM reads('SELECT catches(x) AS x, y FROM t');
-- the transaction around it can write again, also after a caught failure
BEGIN;
SELECT * FROM reads('t');
INSERT INTO written VALUES (1);
DO $$
BEGIN
    PERFORM ingest_test.reads('SELECT 1 / (x - x) AS x, y FROM ingest_test.t');
EXCEPTION WHEN division_by_zero THEN
    INSERT INTO ingest_test.written VALUES (2);
END $$;
SELECT * FROM reads('t');
COMMIT;
SELECT * FROM written;

-- types
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE types AS
SELECT i % 3 = 0 AS a_bool, (i % 7)::int2 AS a_int2, (i % 11)::int8 AS a_int8, (i % 13)::float4 / 2 AS a_float4,
    CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE '1.5' END::float8 AS a_float8,
    CASE i % 5 WHEN 0 THEN 'NaN' ELSE i::text END::numeric AS a_numeric, 'text ' || i % 4 AS a_text,
    ('v' || i % 4)::varchar(5) AS a_varchar, ('c' || i % 4)::char(5) AS a_char, ('n' || i % 4)::name AS a_name,
    CASE i % 3 WHEN 0 THEN 'sad' WHEN 1 THEN 'ok' ELSE 'happy' END::mood AS an_enum, (i % 5 + 1)::positive AS a_domain,
    md5((i % 3)::text)::uuid AS a_uuid, date '2024-01-01' + i AS a_date, timestamp '2024-01-01' + i * interval '1 hour' AS a_timestamp,
    timestamptz '2024-01-01 00:00+00' + i * interval '1 hour' AS a_timestamptz, time '00:00' + i * interval '1 minute' AS a_time,
    i * interval '1 day' AS an_interval, to_jsonb(i % 3) AS a_jsonb, ('"s' || i % 3 || '"')::json AS a_json,
    CASE WHEN i % 6 > 0 THEN ARRAY[i % 3, i % 4, NULL]::float8[] END AS an_array, (i % 3)::money AS a_money,
    jsonb_build_object('k', i) AS an_object, '\x00'::bytea AS a_bytea, point(i, i) AS a_point, int4range(i, i + 1) AS a_range,
    ROW(i, i)::text::varchar AS a_row_text, i % 5 AS y
FROM generate_series(1, 60) i;
SET client_min_messages = notice;
SELECT 1 AS trained FROM automl_train('types', 'types', 'y', algorithms => '{constant}', max_trials => 1, seed => 1, task => 'regression');
SET client_min_messages = warning;
SELECT item, split_part(description, ':', 1) AS type FROM automl_describe('types') WHERE part = 'column';
SELECT * FROM reads('SELECT ARRAY[1, 2] AS v, 1 AS y UNION ALL SELECT ARRAY[1, 2, 3], 2');
SELECT * FROM reads('SELECT NULL::float8[] AS v, 1 AS y UNION ALL SELECT ''{}'', 2 UNION ALL SELECT ''{1,2}'', 3');

-- privileges and row security
CREATE ROLE pgml_test_reader;
GRANT USAGE ON SCHEMA ingest_test TO pgml_test_reader;
GRANT SELECT (x, y) ON t TO pgml_test_reader;
GRANT SELECT ON v TO pgml_test_reader;
CREATE TABLE secret AS SELECT id, x, y, CASE WHEN id % 2 = 0 THEN 'pgml_test_reader' ELSE 'other' END AS who FROM t;
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret USING (who = current_user);
GRANT SELECT ON secret TO pgml_test_reader;
SET client_min_messages = notice;
SELECT * FROM reads('SELECT x, y FROM secret');
SET ROLE pgml_test_reader;
SELECT * FROM reads('SELECT x, y FROM secret');
SELECT * FROM reads('t');
SELECT * FROM reads('SELECT x, y FROM t');
SELECT * FROM reads('v');
SET pgml_auto.max_memory = '2GB';
RESET ROLE;
SET client_min_messages = warning;

-- beyond the memory bound: a sample, the same one wherever the rows lie, classes in proportion
CREATE TABLE large AS
SELECT i AS id, md5(i::text) AS note, i % 97 AS x, CASE WHEN i % 20000 = 7 THEN 'rare' WHEN i % 10 = 0 THEN 'some' ELSE 'most' END AS y
FROM generate_series(1, 200000) i;
CREATE TABLE turned AS SELECT * FROM large ORDER BY id DESC;
ALTER TABLE large ADD PRIMARY KEY (id);
ALTER TABLE turned ADD PRIMARY KEY (id);
SET pgml_auto.max_memory = '16MB';
SET client_min_messages = notice;
SELECT 1 AS trained FROM automl_train('large', 'large', 'y', algorithms => '{constant}', max_trials => 1, seed => 1, exclude => '{note}');
SET client_min_messages = warning;
SELECT 1 AS trained FROM automl_train('turned', 'turned', 'y', algorithms => '{constant}', max_trials => 1, seed => 1, exclude => '{note}');
SELECT rows_total, rows_read BETWEEN 10000 AND 100000 AS sampled FROM pgml_auto.version WHERE model = 'large';
SELECT a.rows_read = b.rows_read AS same_rows, a.score = b.score AS same_score
FROM pgml_auto.version a, pgml_auto.version b WHERE a.model = 'large' AND b.model = 'turned';
RESET pgml_auto.max_memory;

-- settings
\set VERBOSITY sqlstate
SET pgml_auto.max_memory = '1MB';
\set VERBOSITY terse
SET pgml_auto.max_threads = 0;
SET pgml_auto.unknown = 1;
SELECT name, context, unit FROM pg_settings WHERE name LIKE 'pgml_auto.%' ORDER BY name;

-- progress: nothing runs, and a failed training leaves nothing behind
SELECT * FROM reads('SELECT 1 / (x - x) AS x, y FROM t');
SELECT count(*) FROM pgml_auto.progress;

DROP SCHEMA ingest_test, "Ingest Test" CASCADE;
DROP OWNED BY pgml_test_reader;
DROP ROLE pgml_test_reader;
DROP EXTENSION pgml_auto CASCADE;
