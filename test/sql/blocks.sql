-- Plain SQL scored in blocks: whatever the shape of the query, its rows and its errors are those of calls made one by one.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS blocks_test CASCADE;
CREATE SCHEMA blocks_test;
SET search_path = blocks_test, public;
SET extra_float_digits = 0;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE customers (
    id int PRIMARY KEY, gone int, age int, plan text, charges numeric, active boolean, joined date, seen timestamptz,
    m mood, v float8[], score float4, churned text);
INSERT INTO customers
SELECT i, 0, 18 + (i * 7) % 60, (ARRAY['basic', 'gold', 'pro'])[1 + i % 3], 10 + (i * 13) % 90, i % 2 = 0,
       date '2020-01-01' + i % 900, timestamptz '2020-01-01 UTC' + i * interval '1 hour',
       (ARRAY['sad', 'ok', 'happy']::mood[])[1 + i % 7 % 3], ARRAY[i % 17, i % 5], i % 11,
       CASE WHEN i % 3 = 0 AND (i * 7) % 60 > 20 THEN 'yes' ELSE 'no' END
FROM generate_series(1, 3000) i;
UPDATE customers SET age = NULL, v = NULL WHERE id % 50 = 7;
UPDATE customers SET plan = NULL, m = NULL WHERE id % 70 = 9;
ALTER TABLE customers DROP COLUMN gone;
VACUUM ANALYZE customers;

CREATE FUNCTION train(model text, data text, target text) RETURNS int LANGUAGE sql AS $$
    SELECT version FROM automl_train(model, data, target, algorithms => '{gradient_boosting}', max_trials => 1,
        options => '{"folds": 1}', hyperparams => '{"n_estimators": 10}')
$$;
SELECT train('churn', 'customers', 'churned');
SELECT train('price', 'SELECT age, plan, coalesce(age, 30) * 2 + coalesce(length(plan), 3) AS y FROM customers', 'y');
SELECT train('kind', 'SELECT age, active, coalesce(plan, ''none'') AS kind, plan || '' x'' AS p FROM customers', 'kind');
SELECT train('flag', 'SELECT age, plan, churned = ''yes'' AS flag FROM customers', 'flag');
SELECT train('ratio', 'SELECT age, 100.0 / (1 + id % 10) AS ratio, churned FROM customers', 'churned');
CREATE TYPE ratios AS (age int, ratio numeric, churned text);
CREATE VIEW kinds AS SELECT id, age, active, plan || ' x' AS p FROM customers;
SELECT automl_predict_view('churn', 'customers', 'churn_view');
SELECT automl_predict_view('kind', 'kinds', 'kind_view');

-- Partitions whose columns stand in another order than their parent's.
CREATE TABLE parts (LIKE customers) PARTITION BY RANGE (id);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (1) TO (1000);
CREATE TABLE parts_b (churned text, gone int, score float4, v float8[], m mood, seen timestamptz, joined date, active boolean,
    charges numeric, plan text, age int, id int NOT NULL);
ALTER TABLE parts_b DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES FROM (1000) TO (10000);
INSERT INTO parts SELECT * FROM customers;
ANALYZE parts;
CREATE TABLE other AS SELECT id * 3 AS id, id % 5 AS g FROM customers WHERE id <= 900;
ANALYZE other;
CREATE SEQUENCE counter;

-- Run a statement both ways: do the plans differ, are the rows the same (also their order, where rows are numbered)?
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || line || E'\n'; END LOOP;
    RETURN plan;
END $$;
CREATE FUNCTION same(query text, OUT blocks bool, OUT same_rows bool, OUT n bigint) LANGUAGE plpgsql AS $$
DECLARE statement text := 'SELECT row_number() OVER () AS n, r::text AS r FROM (' || query || ' OFFSET 0) r';
BEGIN
    PERFORM set_config('pgml_auto.block_scoring', 'off', true);
    PERFORM setval('counter', 1);
    EXECUTE 'CREATE TEMP TABLE one_by_one AS ' || statement;
    PERFORM set_config('pgml_auto.block_scoring', 'on', true);
    PERFORM setval('counter', 1);
    EXECUTE 'CREATE TEMP TABLE in_blocks AS ' || statement;
    blocks := plan_of(query) LIKE '%PgmlPredict%';
    SELECT count(*) INTO n FROM one_by_one;
    same_rows := n = (SELECT count(*) FROM in_blocks) AND NOT EXISTS (
        (SELECT * FROM one_by_one EXCEPT SELECT * FROM in_blocks) UNION ALL (SELECT * FROM in_blocks EXCEPT SELECT * FROM one_by_one));
    DROP TABLE one_by_one, in_blocks;
END $$;
CREATE FUNCTION shapes(queries text[]) RETURNS TABLE (query text, blocks bool, same_rows bool, n bigint) LANGUAGE sql AS $$
    SELECT q, s.* FROM unnest(queries) WITH ORDINALITY u(q, o), same(q) s ORDER BY o
$$;

-- Where calls may stand, and what they may be given.
SELECT * FROM shapes(ARRAY[
$$SELECT id, predict('churn', t) FROM customers t$$,
$$SELECT id, predict('churn', t.*), predict_proba('churn', t), predict_probs('churn', t) FROM customers t$$,
$$SELECT predict_proba('churn', t, 'no') FROM customers t$$,
$$SELECT predict('flag', t, NULL::boolean) FROM customers t$$,
$$SELECT predict_value('price', t), predict('price', t), predict('price', t, NULL::float8), predict('price', t, NULL::numeric) FROM customers t$$,
$$SELECT predict_proba('kind', t, 'gold'), predict('kind', t), predict_probs('kind', t) FROM kinds t$$,
$$SELECT * FROM customers t WHERE predict_proba('churn', t) > 0.3$$,
$$SELECT id FROM customers t WHERE age > 30 AND predict('churn', t) = 'yes' AND predict_value('price', t) > 100$$,
$$SELECT predict_value('price', t) FROM customers t WHERE predict('churn', t) = 'yes'$$,
$$SELECT id, predict_value('price', t), predict('kind', k) FROM customers t, LATERAL (SELECT t.age, t.active, t.plan || ' x' AS p) k WHERE predict('churn', t) = 'yes'$$,
$$SELECT id, plan, predict_value('price', t), predict('churn', t), predict('ratio', ROW(t.age, 2.5, '')::ratios) FROM customers t WHERE predict('churn', t) = 'yes' AND predict('flag', t) = 'true'$$,
$$SELECT id, predict_value('price', t) FROM customers t WHERE predict('churn', t) = 'yes' AND 10 / (1 + id % 3) > 4$$,
$$SELECT predict('flag', t) FROM customers t WHERE predict('churn', t) = 'yes' AND predict('flag', t) = 'true'$$,
$$SELECT predict_value('price', t) FROM customers t WHERE predict('churn', t) = 'yes' AND (id % 7 = 0 OR predict_value('price', t) > 100)$$,
$$SELECT predict_value('price', t) FROM customers t WHERE predict('churn', t) = 'yes' AND 10 / (1 + id % 3) > 4 AND predict_value('price', t) > 100$$,
$$SELECT count(*) FROM customers t WHERE predict('churn', t) = churned$$,
$$SELECT avg(predict_proba('churn', t)), max(predict_value('price', t)), count(*) FILTER (WHERE predict('churn', t) = 'yes') FROM customers t$$,
$$SELECT plan, sum(predict_value('price', t)) FILTER (WHERE age > 30) FROM customers t GROUP BY plan ORDER BY plan$$,
$$SELECT predict('churn', t), count(*), array_agg(id ORDER BY predict_proba('churn', t), id) FROM customers t GROUP BY 1 ORDER BY 1$$,
$$SELECT id, predict('churn', t) FROM customers t ORDER BY predict_proba('churn', t) DESC, id LIMIT 10$$,
$$SELECT id, predict('churn', t) FROM customers t ORDER BY charges, id LIMIT 10$$,
$$SELECT id, rank() OVER (ORDER BY predict_value('price', t), id), predict('churn', t) FROM customers t$$,
$$SELECT DISTINCT predict('churn', t) FROM customers t ORDER BY 1$$,
$$SELECT predict('churn', s) FROM (SELECT *, 'x' AS extra FROM customers WHERE id > 100) s$$,
$$SELECT predict('churn', s) FROM (SELECT * FROM customers OFFSET 5) s$$,
$$SELECT predict('price', s) FROM (SELECT age, 'gold' AS plan FROM customers) s$$,
$$WITH c AS MATERIALIZED (SELECT age, plan FROM customers) SELECT predict('price', c) FROM c$$,
$$SELECT predict('price', s) FROM (VALUES (30, 'gold'), (NULL, 'pro'), (40, NULL), (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f')) s(age, plan)$$,
$$SELECT predict('price', s) FROM generate_series(1, 50) g, LATERAL (SELECT g AS age, 'pro'::text AS plan OFFSET 0) s$$,
$$SELECT id, predict('ratio', s) FROM (SELECT id, age, 100.0 / (1 + id % 10) AS ratio FROM customers) s$$,
$$SELECT predict('churn', ROW(id, age, plan, charges, active, joined, seen, m, v, score, churned)::customers) FROM customers$$,
$$SELECT predict('churn', to_jsonb(t)) FROM customers t WHERE id < 40$$,
$$SELECT id, prediction, probability FROM churn_view WHERE probability > 0.2$$,
$$SELECT id, prediction, probability FROM kind_view WHERE id < 500$$,
$$SELECT id, predict('churn', t), tableoid::regclass, ctid FROM customers t$$,
$$SELECT t, predict('churn', t) FROM customers t$$]);

-- Probabilities have the digits of double precision in every form.
SET extra_float_digits = 1;
SELECT count(*), bool_and(predict_probs('churn', t)->>'yes' = predict_proba('churn', t)::text) AS same,
       bool_and((predict_probs('kind', k)->>'gold')::float8 = predict_proba('kind', k, 'gold')) AS same_too
FROM customers t JOIN kinds k USING (id) WHERE predict_proba('churn', t) BETWEEN 0.001 AND 0.999;
SET extra_float_digits = 0;

-- Texts that come again: short and long, alike at their ends, in spellings that are one level, padded, compressed, out of line, never seen.
CREATE TABLE texts AS
SELECT i AS id, w AS word, w::varchar(40) AS short, w::char(40) AS padded, (20 + i % 90)::text AS number,
       coalesce(length(w), 5) + coalesce(ascii(w), 0) % 7 + i % 90 AS y
FROM generate_series(1, 4000) i, LATERAL (SELECT (ARRAY['', 'a', 'b', 'ab', 'ba', 'aab', 'abb', ' gold ', 'GOLD', 'gold', 'N/A', NULL,
    repeat('x', 26), repeat('x', 27), repeat('x', 28), repeat('x', 27) || 'y', repeat('z', 200)])[1 + i * 7 % 17] AS w) l;
INSERT INTO texts SELECT id + 4000, repeat(word, 900), reverse(short), upper(padded), number || ' ', y FROM texts WHERE id <= 200;
ALTER TABLE texts ALTER word SET STORAGE EXTERNAL;
INSERT INTO texts SELECT id + 8000, repeat(md5(id::text), 200), short, repeat('q', 39), '1e1', y FROM texts WHERE id <= 60;
SELECT train('words', 'SELECT word, short, padded, number, y FROM texts WHERE id <= 4000', 'y');
SELECT * FROM shapes(ARRAY[
$$SELECT id, predict_value('words', t) FROM texts t WHERE id <= 8000$$,
$$SELECT id, predict_value('words', t) FROM (SELECT id, word || '' AS word, short, padded, ' ' || number AS number FROM texts WHERE id <= 8000) t$$]);
SELECT count(DISTINCT predict_value('words', t)) > 20 AS several FROM texts t WHERE id <= 8000;
SELECT same('SELECT id, predict_value(''words'', t) FROM texts t');
SELECT automl_drop('words');

-- Joins, partitions, subqueries, set operations.
SELECT * FROM shapes(ARRAY[
$$SELECT o.g, predict('churn', t) FROM customers t JOIN other o USING (id)$$,
$$SELECT o.id, predict('churn', t) FROM other o LEFT JOIN (SELECT * FROM customers OFFSET 0) t ON t.id = o.id + 1000$$,
$$SELECT avg(predict_proba('churn', t)) FROM customers t JOIN other o USING (id) WHERE o.g = 1$$,
$$SELECT predict('price', s) FROM (SELECT t.age, o.g::text AS plan FROM customers t JOIN other o USING (id)) s$$,
$$SELECT sum(CASE WHEN predict('churn', t) = 'yes' THEN id END), max(t.age), count(t) FROM parts t$$,
$$SELECT predict('churn', t), sum(length(predict('churn', t))), count(DISTINCT predict_value('price', t)) FROM customers t GROUP BY GROUPING SETS ((1), ()) ORDER BY 1$$,
$$SELECT t.age, max(predict('churn', t)), max(t::text) FROM customers t GROUP BY t.age ORDER BY 1$$,
$$SELECT predict('churn', t), predict_value('price', u) FROM customers t JOIN customers u ON u.id = t.id + 1$$,
$$SELECT id, predict('churn', t) FROM parts t$$,
$$SELECT avg(predict_proba('churn', t)) FROM parts t WHERE predict_value('price', t) > 80$$,
$$SELECT o.g, (SELECT string_agg(predict('churn', t), ',' ORDER BY id) FROM customers t WHERE t.id % 100 = o.g) FROM other o WHERE o.id < 100$$,
$$SELECT id FROM other o WHERE EXISTS (SELECT 1 FROM customers t WHERE t.id > o.id AND predict_proba('churn', t) > 0.4)$$,
$$SELECT id FROM customers t WHERE predict('churn', t) IN (SELECT churned FROM customers WHERE id < 3)$$,
$$SELECT x.id, p FROM other x, LATERAL (SELECT predict('churn', t) AS p FROM customers t WHERE t.id >= x.id LIMIT 12) y WHERE x.id < 200$$,
$$SELECT predict('churn', t) FROM customers t UNION ALL SELECT predict('price', t) FROM customers t$$,
$$SELECT predict('churn', t) FROM customers t EXCEPT SELECT 'yes'$$,
$$WITH RECURSIVE r(id, p) AS (SELECT id, predict('churn', t) FROM customers t WHERE id < 20 UNION ALL SELECT id + 1000, p FROM r WHERE id < 2000) SELECT * FROM r$$]);

-- Volatile neighbours are evaluated once a row that is given, in order; branches only where they are taken.
SELECT * FROM shapes(ARRAY[
$$SELECT nextval('counter'), id, predict('churn', t) FROM customers t$$,
$$SELECT nextval('counter'), predict('churn', t) FROM customers t WHERE predict('churn', t) = 'yes' LIMIT 20$$,
$$SELECT predict('churn', t), n FROM (SELECT *, nextval('counter') AS n FROM customers) t LIMIT 20$$,
$$SELECT CASE WHEN predict_proba('churn', t) > 0.4 THEN 'high' WHEN predict_proba('churn', t) > 0.2 THEN predict('churn', t) ELSE 'low' END FROM customers t$$,
$$SELECT CASE WHEN age > 40 THEN predict('churn', t) END FROM customers t$$,
$$SELECT CASE WHEN age < 0 THEN predict('no such model', t) END, predict('churn', t) FROM customers t$$,
$$SELECT coalesce(predict('churn', t), predict('no such model', t)) FROM customers t$$,
$$SELECT id FROM customers t WHERE age > 1000 AND predict('no such model', t) = 'yes'$$,
$$SELECT predict('no such model', t) FROM customers t WHERE predict_value('price', t) < -1000$$,
$$SELECT predict(NULL, t), predict('churn', NULL::customers), predict('churn', t) FROM customers t$$]);
SELECT setval('counter', 1);
SELECT count(nextval('counter')) FROM (SELECT nextval('counter'), predict('churn', t) FROM customers t LIMIT 3) s;
SELECT last_value FROM counter;

-- Window functions with a condition that stops them early: the condition finds its function in another place.
SELECT * FROM shapes(ARRAY[
$$SELECT * FROM (SELECT predict('churn', t) AS p, predict_proba('churn', t) AS q, id, row_number() OVER (ORDER BY charges, id) AS n FROM customers t) s WHERE n <= 50$$,
$$SELECT * FROM (SELECT predict('churn', t) AS p, predict_proba('churn', t) AS q, rank() OVER (PARTITION BY plan ORDER BY charges, id) AS n FROM customers t) s WHERE n <= 50$$]);

CREATE TABLE few AS SELECT age, plan FROM customers WHERE id <= 14;
CREATE TABLE other_ids (id int PRIMARY KEY);
INSERT INTO other_ids SELECT id FROM other;
VACUUM ANALYZE few, other_ids;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE lines (age int, plan text) SERVER files OPTIONS (program 'printf "%s\tgold\n" $(seq 20) none');

-- What is executed anew for a row, or only when a row first needs it, is not executed for rows that nobody asks for.
CREATE FUNCTION bump(i int) RETURNS SETOF int LANGUAGE plpgsql ROWS 1 AS $$ BEGIN PERFORM nextval('counter'); RETURN NEXT i; END $$;
CREATE FUNCTION counted(query text, mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line record; n int := 0;
BEGIN
    PERFORM set_config('pgml_auto.block_scoring', mode, true), setval('counter', 1);
    FOR line IN EXECUTE query LOOP n := n + 1; END LOOP;
    RETURN n || ' rows, ' || (SELECT last_value FROM counter);
END $$;
-- A LIMIT that is not directly above, so that nobody can know how many rows it will take.
CREATE FUNCTION first_of(query text) RETURNS text LANGUAGE sql AS $$ SELECT 'SELECT * FROM (' || query || ' OFFSET 0) z(p) WHERE p <> '''' LIMIT 12' $$;
SELECT q AS query, counted(first_of(q), 'off') AS one_by_one, counted(first_of(q), 'on') AS in_blocks FROM unnest(ARRAY[
$$SELECT predict('churn', t), f FROM customers t, LATERAL bump(t.id) f$$,
$$SELECT predict('churn', t), f FROM customers t, LATERAL (SELECT count(*) AS f FROM other o WHERE nextval('counter') + t.id > 0) f$$,
$$SELECT predict('churn', t) FROM customers t WHERE id < 20 OR id > (SELECT 1 / (count(*) - 900) FROM other)$$,
$$SELECT predict('price', s) FROM (SELECT * FROM few UNION ALL SELECT age, plan FROM customers WHERE id > (SELECT 1 / (count(*) - 900) FROM other)) s$$,
$$SELECT predict('price', s) FROM (SELECT * FROM few UNION ALL SELECT age, plan FROM customers WHERE id > (SELECT 0 * nextval('counter') FROM other LIMIT 1)) s$$,
$$SELECT predict('price', s) FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f'), (7, 'g'), (8, 'h'), (9, 'i'), (10, 'j'), (11, 'k'), (12, 'l'),
    ((SELECT count(nextval('counter'))::int FROM few), 'm')) s(age, plan)$$]) q;

-- Nor is what could fail for a later row: a condition that an index looks up, a file with a line that is no row.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT q AS query, counted(first_of(q), 'off') AS one_by_one, counted(first_of(q), 'on') AS in_blocks FROM unnest(ARRAY[
$$SELECT predict('price', s) FROM (SELECT t.age, t.plan, o.id FROM (SELECT * FROM customers ORDER BY id OFFSET 0) t LEFT JOIN other_ids o ON o.id = 600 / (20 - t.id)) s$$,
$$SELECT predict('price', f) FROM lines f$$]) q;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- A prepared statement's ROW(...) has fewer elements than its type, which has got an attribute since.
CREATE TYPE features AS (age int, plan text);
SELECT train('grown', 'SELECT age, plan, id % 7 AS more, coalesce(age, 30) + id % 7 AS y FROM customers', 'y');
PREPARE grown AS SELECT count(predict_value('grown', ROW(age, plan)::features)), count(predict_value('grown', ROW(age + 0, plan)::features)) FROM customers t;
ALTER TYPE features ADD ATTRIBUTE more int;
EXECUTE grown;
SELECT count(automl_drop('grown')) AS dropped;

-- Rows that a model of the target list cannot read, behind a condition that predicts.
SELECT * FROM shapes(ARRAY[$$SELECT id, predict_value('price', s) FROM (SELECT t.*, CASE WHEN id % 10 = 0 THEN ' 33 ' ELSE age::text END AS years FROM customers t) t,
    LATERAL (SELECT years AS age, plan) s WHERE predict('churn', t) = 'yes'$$]);

-- Generated columns, which PostgreSQL computes from 18 on when they are read: in blocks, one by one, and from where the scan has the row.
SELECT format('CREATE TABLE made (id int PRIMARY KEY, age int, years int GENERATED ALWAYS AS (age %% 30) %s, plan text)',
              CASE WHEN current_setting('server_version_num')::int < 180000 THEN 'STORED' ELSE 'VIRTUAL' END) AS statement \gset
:statement;
INSERT INTO made (id, age, plan) SELECT id, age, plan FROM customers;
VACUUM ANALYZE made;
SELECT train('made', 'SELECT years, plan, coalesce(years, 3) * 2 AS y FROM made', 'y');
SELECT * FROM shapes(ARRAY[
$$SELECT id, predict_value('made', t) FROM made t$$,
$$SELECT id FROM made t WHERE predict_value('made', t) > 20 AND years > 3$$,
$$SELECT plan, avg(predict_value('made', t)) FROM made t GROUP BY plan ORDER BY plan$$]);
SELECT count(DISTINCT p) > 5 AS several, bool_and(p = j) AS same_as_json
FROM (SELECT predict_value('made', t) AS p, predict_value('made', to_jsonb(t)) AS j FROM made t) s;
SELECT count(*) FROM made m WHERE predict_value('made', m) <> (SELECT predict_value('made', t) FROM made t WHERE t.id = m.id);
SELECT count(*) FROM predict_table('made', 'made') r JOIN made t ON t.id = r.id::int AND predict('made', t) = r.prediction;
SELECT count(automl_drop('made')) AS dropped;

-- EXPLAIN shows the node, its models, and what was scored in blocks: all but the first row.
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, predict('churn', t) FROM customers t WHERE age > 20 AND predict_proba('churn', t) > 0.5;
-- EXPLAIN ANALYZE as all versions of PostgreSQL show it: from 18 on, rows have decimals.
CREATE FUNCTION analyzed(query text) RETURNS TABLE (plan text) LANGUAGE plpgsql AS $$
BEGIN
    FOR plan IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        plan := regexp_replace(plan, '(rows=\d+)\.00', '\1');
        RETURN NEXT;
    END LOOP;
END $$;
SELECT * FROM analyzed($$SELECT predict('churn', t), predict_value('price', t) FROM customers t$$);
EXPLAIN (COSTS OFF) SELECT avg(predict_proba('churn', t)) FROM parts t;
EXPLAIN (COSTS OFF) SELECT predict('churn', t) FROM customers t WHERE id = 5;
SELECT * FROM analyzed($$SELECT predict('churn', t) FROM customers t LIMIT 3$$);
-- Nodes that the planner was told not to use, which PostgreSQL tells from 18 on, are the same ones.
CREATE FUNCTION disabled(query text, mode text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE plan text;
BEGIN
    PERFORM set_config('pgml_auto.block_scoring', mode, true);
    SELECT plan_of(query) INTO plan;
    RETURN ARRAY(SELECT m[1] FROM regexp_matches(plan, '(\w+ [^\n]*)\n *Disabled', 'g') m);
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_indexscan = off;
SELECT q AS query, disabled(q, 'off') = disabled(q, 'on') AS same FROM unnest(ARRAY[
$$SELECT predict('churn', t) FROM customers t$$,
$$SELECT count(*) FROM customers t WHERE predict('churn', t) = 'yes'$$,
$$SELECT id FROM customers t ORDER BY predict_proba('churn', t)$$,
$$SELECT plan, avg(predict_proba('churn', t)) FROM customers t JOIN other o USING (id) GROUP BY plan$$]) q;
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_indexscan;
-- A sort below still knows of the LIMIT above, also when it is another one each time.
SELECT plan ~ 'top-N' AS bounded
FROM analyzed($$SELECT id, predict('churn', t) FROM customers t ORDER BY charges LIMIT 20$$) WHERE plan ~ 'Sort Method';
SELECT * FROM shapes(ARRAY[
$$SELECT o.id, y.* FROM other o, LATERAL (SELECT t.id, predict('churn', t) AS p FROM customers t ORDER BY charges, t.id LIMIT o.id OFFSET 2) y WHERE o.id < 60$$,
$$SELECT o.id, y.* FROM other o, LATERAL (SELECT t.id, predict('churn', t) AS p FROM customers t ORDER BY charges FETCH FIRST o.id ROWS WITH TIES) y WHERE o.id < 60$$]);
-- Blocks of wide rows have few of them.
SELECT substring(plan FROM 'Blocks: (.*)')::int > 20 AS small
FROM analyzed($$SELECT predict('price', s), length(wide) FROM (SELECT age, plan, repeat('x', 100000) || id AS wide FROM customers OFFSET 0) s$$)
WHERE plan ~ '^ *Blocks:';
SET pgml_auto.block_scoring = off;
EXPLAIN (COSTS OFF) SELECT predict('churn', t) FROM customers t;
RESET pgml_auto.block_scoring;

-- Errors: the same message, at the same row; none for rows that are never reached.
CREATE TABLE bad AS SELECT id, age::text AS age, plan FROM customers ORDER BY id;
UPDATE bad SET age = 'oops' WHERE id = 1500;
UPDATE bad SET age = 'worse' WHERE id = 1600;
CREATE TABLE sorted_bad AS SELECT * FROM bad ORDER BY id;
ANALYZE sorted_bad;
CREATE FUNCTION outcome(query text, mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line record; n int := 0; message text; detail text; hint text;
BEGIN
    PERFORM set_config('pgml_auto.block_scoring', mode, true);
    FOR line IN EXECUTE query LOOP n := n + 1; END LOOP;
    RETURN n || ' rows';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), hint);
END $$;
CREATE FUNCTION errors(queries text[]) RETURNS TABLE (query text, same bool, outcome text) LANGUAGE sql AS $$
    SELECT q, outcome(q, 'off') = outcome(q, 'on'), outcome(q, 'on') FROM unnest(queries) WITH ORDINALITY u(q, o) ORDER BY o
$$;
\x on
SELECT * FROM errors(ARRAY[
$$SELECT predict('price', t) FROM sorted_bad t$$,
$$SELECT predict('price', t) FROM sorted_bad t LIMIT 1499$$,
$$SELECT predict('price', t) FROM sorted_bad t LIMIT 1500$$,
$$SELECT CASE WHEN id < 1500 THEN predict('price', t) END FROM sorted_bad t$$,
$$SELECT CASE WHEN predict('price', t) = '' THEN 1 END FROM sorted_bad t WHERE id < 1500$$,
$$SELECT 1 / (id - 1400), predict('price', t) FROM sorted_bad t$$,
$$SELECT predict('price', t), 1 / (id - 1400) FROM sorted_bad t LIMIT 1399$$,
$$SELECT predict('price', t) FROM sorted_bad t WHERE 1 / (id - 1400) < 5$$,
$$SELECT predict('price', t) FROM sorted_bad t WHERE 1 / (id - 1400) < 5 LIMIT 1399$$,
$$SELECT predict('ratio', s) FROM (SELECT id AS age, 1 / (id - 1400) AS ratio FROM customers ORDER BY id) s LIMIT 1399$$,
first_of($$SELECT predict('price', t) FROM sorted_bad t WHERE 1 / (id - 20) < 5$$),
first_of($$SELECT predict('price', t), 1 / (id - 20) FROM sorted_bad t$$),
$$SELECT predict('no such model', t) FROM customers t$$,
$$SELECT predict('no such model', t) FROM customers t WHERE false$$,
$$SELECT predict('churn@9', t) FROM customers t$$,
$$SELECT predict('churn', t) FROM other t$$,
$$SELECT predict_value('churn', t) FROM customers t$$,
$$SELECT predict_proba('churn', t, 'maybe') FROM customers t$$,
$$SELECT predict_proba('kind', t) FROM kinds t$$,
$$SELECT predict('churn', t, NULL::int) FROM customers t$$,
$$SELECT avg(predict_value('price', t)) FROM sorted_bad t$$,
$$SELECT avg(predict_value('price', t)) FILTER (WHERE id < 1500) FROM sorted_bad t$$]);
\x off

-- Of sorted rows EXCEPT reads no more than it needs, from PostgreSQL 18 on.
CREATE INDEX ON sorted_bad (id);
CREATE TABLE first_ids AS SELECT id FROM sorted_bad WHERE id <= 20;
CREATE INDEX ON first_ids (id);
VACUUM ANALYZE sorted_bad, first_ids;
SET enable_hashagg = off;
SET enable_sort = off;
SELECT same FROM errors(ARRAY[
$$SELECT count(*) FROM (SELECT id FROM first_ids EXCEPT SELECT id FROM sorted_bad t WHERE 1 / (id - 22) < 5 AND predict('price', t) <> '') s$$]);
RESET enable_hashagg;
RESET enable_sort;

-- Cursors: forth, back, with hold; the row under one.
BEGIN;
DECLARE forth NO SCROLL CURSOR FOR SELECT id, predict('churn', t) AS p FROM customers t;
FETCH 2 FROM forth;
MOVE 1000 IN forth;
FETCH 1 FROM forth;
UPDATE customers SET score = score + 1 WHERE CURRENT OF forth RETURNING id;
FETCH 1 FROM forth;
DECLARE scrolls SCROLL CURSOR FOR SELECT id, predict('churn', t) AS p FROM customers t WHERE id < 100;
FETCH 1 FROM scrolls;
MOVE 50 IN scrolls;
FETCH BACKWARD 1 FROM scrolls;
FETCH FIRST FROM scrolls;
FETCH LAST FROM scrolls;
DECLARE filtered NO SCROLL CURSOR FOR SELECT id, predict_value('price', t) AS p FROM customers t WHERE predict('churn', t) = 'yes';
MOVE 300 IN filtered;
FETCH 2 FROM filtered;
DECLARE plain CURSOR FOR SELECT id, predict('churn', t) AS p FROM customers t WHERE id < 100;
FETCH 2 FROM plain;
FETCH BACKWARD 1 FROM plain;
DECLARE locks CURSOR FOR SELECT id, predict('churn', t) AS p FROM customers t FOR UPDATE;
MOVE 30 IN locks;
FETCH 1 FROM locks;
UPDATE customers SET score = score + 1 WHERE CURRENT OF locks RETURNING id;
DECLARE held CURSOR WITH HOLD FOR SELECT id, predict('churn', t) AS p FROM customers t WHERE predict_proba('churn', t) > 0.1;
COMMIT;
FETCH 1 FROM held;
CLOSE held;

-- Back and forth at random, past both ends: where a cursor goes does not depend on blocks.
CREATE FUNCTION wander(query text, mode text, steps int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c refcursor; r record; trace text := ''; step float8;
BEGIN
    PERFORM set_config('pgml_auto.block_scoring', mode, true), setseed(0.25);
    OPEN c SCROLL FOR EXECUTE query;
    FOR i IN 1..steps LOOP
        step := random();
        IF step < 0.4 THEN FETCH NEXT FROM c INTO r;
        ELSIF step < 0.6 THEN FETCH PRIOR FROM c INTO r;
        ELSIF step < 0.75 THEN MOVE FORWARD 40 FROM c; FETCH NEXT FROM c INTO r;
        ELSIF step < 0.9 THEN MOVE BACKWARD 40 FROM c; FETCH PRIOR FROM c INTO r;
        ELSIF step < 0.93 THEN FETCH LAST FROM c INTO r;
        ELSIF step < 0.96 THEN FETCH FIRST FROM c INTO r;
        ELSIF step < 0.98 THEN MOVE FORWARD ALL FROM c; FETCH PRIOR FROM c INTO r;
        ELSE MOVE BACKWARD ALL FROM c; FETCH NEXT FROM c INTO r;
        END IF;
        trace := trace || coalesce(r::text, '-') || E'\n';
    END LOOP;
    CLOSE c;
    RETURN trace;
END $$;
SELECT q, plan_of(q) LIKE '%PgmlPredict%' AS blocks, wander(q, 'off', 500) = wander(q, 'on', 500) AS same FROM unnest(ARRAY[
$$SELECT id, predict('churn', t) FROM customers t WHERE id < 300$$,
$$SELECT id, predict('churn', t) FROM customers t WHERE predict_proba('churn', t) > 0.3$$,
$$SELECT id, predict('churn', t) FROM parts t WHERE id % 7 = 0$$,
$$SELECT id, predict('churn', t) FROM customers t ORDER BY id LIMIT 100$$,
$$SELECT id, predict('churn', t) FROM customers t ORDER BY charges, id LIMIT 100 OFFSET 5$$,
$$SELECT id, predict('churn', t) FROM customers t LIMIT 100$$,
$$SELECT id, predict('churn', t) FROM customers t WHERE id < 0$$]) q;

-- Prepared statements, custom and generic; the model, the class and a bound as parameters.
PREPARE p(text, text, int) AS SELECT count(*), sum(predict_proba($1, t, $2)) FROM customers t WHERE id <= $3;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p('churn', 'yes', 2000);
EXECUTE p('churn', 'yes', 2000);
EXECUTE p('churn', 'no', 2000);
EXECUTE p('churn', NULL, 2000);
EXECUTE p(NULL, NULL, 2000);
EXECUTE p('price', NULL, 2000);
SET plan_cache_mode = force_custom_plan;
EXECUTE p('churn', 'yes', 2000);
RESET plan_cache_mode;
SELECT g, (SELECT count(*) FROM customers t WHERE predict(CASE g WHEN 1 THEN 'churn' ELSE 'flag' END, t) IN ('yes', 'true')) AS n
FROM generate_series(1, 2) g;
SELECT model, count(DISTINCT predict(model, t)) > 1 AS several FROM customers t, (VALUES ('churn'), ('price')) m(model) GROUP BY model ORDER BY model;

-- A model deployed before, between and within statements: each statement sees one version, the same as call by call.
CREATE TABLE before AS SELECT id, predict('churn', t) AS p FROM customers t;
CREATE TABLE flipped AS SELECT * FROM customers;
UPDATE flipped SET churned = CASE churned WHEN 'yes' THEN 'no' ELSE 'yes' END;
SELECT train('churn', 'flipped', 'churned');
SELECT automl_deploy('churn', 1);
CREATE FUNCTION switch(id int, at int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    IF id = at THEN PERFORM automl_deploy('churn', 2); END IF;
    RETURN (SELECT count(*) FROM customers t JOIN before USING (id) WHERE t.id < 100 AND predict('churn', t) <> p);
END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM customers t JOIN before USING (id) WHERE predict('churn', t) <> p;
SELECT automl_deploy('churn', 2);
SELECT count(*) > 1000 AS second FROM customers t JOIN before USING (id) WHERE predict('churn', t) <> p;
ROLLBACK;
BEGIN;
SELECT count(*) FILTER (WHERE s.p <> before.p) AS differ, max(n) > 50 AS seen_inside
FROM (SELECT id, switch(id, 40) AS n, predict('churn', t) AS p FROM customers t WHERE id < 200 OFFSET 0) s JOIN before USING (id);
SELECT count(*) > 1000 AS second FROM customers t JOIN before USING (id) WHERE predict('churn', t) <> p;
ROLLBACK;
SELECT count(*) FROM customers t JOIN before USING (id) WHERE predict('churn', t) <> p;

-- Writing: UPDATE, INSERT ... SELECT, triggers, RETURNING, MERGE.
ALTER TABLE customers ADD p text, ADD q float8;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.q := (SELECT count(*) FROM customers WHERE p IS NOT NULL); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note();
UPDATE customers t SET p = predict('churn', t);
SELECT count(*) FROM customers t JOIN before USING (id) WHERE t.p = before.p AND t.q BETWEEN 0 AND 2999;
SELECT count(DISTINCT q) FROM customers;
INSERT INTO parts SELECT id + 3000, age, plan, charges, active, joined, seen, m, v, score, predict('churn', t) FROM parts t;
SELECT count(*), count(*) FILTER (WHERE t.churned = before.p) FROM parts t JOIN before ON before.id = t.id - 3000;
DELETE FROM parts t WHERE id > 3000 AND predict('churn', t) = 'yes';
SELECT count(*) = (SELECT count(*) FROM before WHERE p <> 'yes') AS deleted FROM parts WHERE id > 3000;
MERGE INTO other o USING (SELECT id, predict('churn', t) AS p FROM customers t) s ON s.id = o.id
WHEN MATCHED AND s.p = 'yes' THEN UPDATE SET g = -1;
SELECT count(*) = (SELECT count(*) FROM before JOIN other USING (id) WHERE p = 'yes') AS merged FROM other WHERE g = -1;

-- Row security: conditions keep their order, and nobody sees more than before.
CREATE ROLE blocks_reader;
GRANT USAGE ON SCHEMA blocks_test TO blocks_reader;
GRANT SELECT ON customers TO blocks_reader;
SELECT automl_grant('churn', 'blocks_reader', 'predict');
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY likely ON customers TO blocks_reader USING (predict_proba('churn', customers) > 0.3);
CREATE FUNCTION leak(int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SET client_min_messages = notice;
SET ROLE blocks_reader;
SELECT count(*) = (SELECT count(*) FROM customers) AS all_seen FROM customers WHERE id < 20 AND leak(id);
SELECT predict('price', t) FROM customers t LIMIT 1;
RESET ROLE;
SET client_min_messages = error;

-- The right to use a model is asked for again when the user changes under a cursor.
GRANT ALL ON SCHEMA blocks_test TO blocks_reader;
ALTER TABLE customers DISABLE ROW LEVEL SECURITY;
CREATE ROLE blocks_stranger;
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, predict('churn', t) FROM customers t;
MOVE 20 IN c;
SET LOCAL ROLE blocks_stranger;
FETCH 1 FROM c;
ROLLBACK;

-- In parallel workers.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM customers t WHERE predict('churn', t) = 'yes';
SELECT count(*) = (SELECT count(*) FROM before WHERE p = 'yes') AS same FROM customers t WHERE predict('churn', t) = 'yes';
SELECT count(*) FROM (SELECT id, predict('churn', t) AS p FROM customers t) s JOIN before USING (id, p);
RESET max_parallel_workers_per_gather;

-- predict_table() agrees with the functions.
SELECT count(*) FROM predict_table('churn', 'customers') r JOIN before b ON b.id = r.id::int AND b.p = r.prediction;

DROP EXTENSION file_fdw CASCADE;
DROP SCHEMA blocks_test CASCADE;
DROP EXTENSION pgml_auto CASCADE;
DROP ROLE blocks_reader, blocks_stranger;
