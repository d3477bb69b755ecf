-- The predict family: every form of input, coercion, bad input, and caches that are right after every change.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS predict_test CASCADE;
CREATE SCHEMA predict_test;
SET search_path = predict_test, public;
SET extra_float_digits = 0;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN money_text AS text;
CREATE TABLE customers (
    id int PRIMARY KEY, gone int, age int, plan text, charges money_text, active boolean, joined date,
    m mood, v float8[], churned text);
INSERT INTO customers
SELECT i, 0, 18 + (i * 7) % 60, (ARRAY['basic', 'gold', 'pro'])[1 + i % 3], '$' || (10 + (i * 13) % 90),
       i % 2 = 0, date '2020-01-01' + i % 900, (ARRAY['sad', 'ok', 'happy']::mood[])[1 + i % 7 % 3],
       ARRAY[i % 17, i % 5], CASE WHEN i % 3 = 0 AND (i * 7) % 60 > 20 THEN 'yes' ELSE 'no' END
FROM generate_series(1, 600) i;
ALTER TABLE customers DROP COLUMN gone;

-- Quick models: churn (two classes), price (a number), "Odd Plan" (three classes with quotes), flag (booleans).
CREATE FUNCTION train(model text, data text, target text, algorithm text DEFAULT 'gradient_boosting') RETURNS int
LANGUAGE sql AS $$
    SELECT version FROM automl_train(model, data, target, algorithms => ARRAY[algorithm], max_trials => 1,
        hyperparams => CASE algorithm WHEN 'gradient_boosting' THEN '{"n_estimators": 20}'::jsonb END)
$$;
SELECT train('churn', 'customers', 'churned');
SELECT train('price', 'SELECT age, plan, age * 2 + length(plan) AS y FROM customers', 'y');
SELECT train('Odd Plan', $$SELECT age, active, plan || '''s "' || plan || '"' AS kind, plan || ' x' AS p FROM customers$$, 'kind');
SELECT train('flag', 'SELECT age, plan, churned = ''yes'' AS flag FROM customers', 'flag');
SELECT train('digit', 'SELECT age, plan, CASE churned WHEN ''yes'' THEN 1 ELSE 0 END AS digit FROM customers', 'digit');

-- Rows: a table's alias, t.*, a subquery, ROW cast to a type, a domain over one, a view; all the same.
CREATE DOMAIN customer AS customers CHECK ((value).id > 0);
CREATE VIEW some_customers AS SELECT * FROM customers WHERE id BETWEEN 25 AND 30;
SELECT id, churned, predict('churn', t) AS predicted FROM customers t WHERE id BETWEEN 25 AND 30 ORDER BY id;
SELECT count(*) FROM customers t WHERE predict('churn', t) <> churned;
SELECT predict('churn', t.*) FROM some_customers t WHERE id = 30;
SELECT predict('churn', s) FROM (SELECT v, m, joined, 'extra' AS extra, plan, charges, age, active FROM customers WHERE id = 30) s;
SELECT predict('churn', (1, 60, 'basic', '$20', true, '2021-01-01', 'ok', '{1,2}', NULL)::customers);
SELECT predict('churn', (30, 60, 'pro', '$20', true, '2021-01-01', 'ok', '{1,2}', NULL)::customers::customer);
SELECT predict(model => 'churn', input => t), predict('churn@1', t) FROM some_customers t WHERE id = 30;

-- jsonb, and text that is a JSON object; an untyped literal is text.
SELECT predict('churn', to_jsonb(t)), predict('churn', to_jsonb(t)::text), predict('churn', features => to_jsonb(t)) FROM customers t WHERE id = 30;
SELECT predict('price', '{"age": 30, "plan": "gold"}') = predict('price', s) AS same FROM (SELECT 30 AS age, 'gold' AS plan) s;
SELECT predict('price', '{"age": "30", "plan": "gold", "more": [1, {"a": 2}]}') = predict('price', '{"plan": "gold", "age": 30}'::jsonb) AS same;
PREPARE literal AS SELECT predict($1, $2) = predict('price', '{"age": 30, "plan": "gold"}') AS same;
EXECUTE literal('price', '{"age": 30, "plan": "gold"}');

-- NULL for the model or the input gives NULL; a row of NULLs and JSON null are missing values.
SELECT predict('churn', NULL) IS NULL AS a, predict(NULL, t) IS NULL AS b, predict('churn', NULL::customers) IS NULL AS c,
       predict('churn', NULL::jsonb) IS NULL AS d, predict('churn', NULL, NULL::boolean) IS NULL AS e,
       predict_value('price', NULL) IS NULL AS f, predict_proba('churn', NULL) IS NULL AS g, predict_probs('churn', NULL) IS NULL AS h
FROM customers t WHERE id = 1;
SELECT predict('churn', t) IS NULL AS missing_row FROM (SELECT 1) one(x) LEFT JOIN customers t ON t.id = -1;
SELECT predict('churn', (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::customers) IS NOT NULL AS all_missing;
SELECT predict('price', '{"age": null, "plan": null}') = predict('price', s) AS same FROM (SELECT NULL::int AS age, NULL::text AS plan) s;
SELECT predict('price', s) IS NOT NULL AS unseen FROM (SELECT 30 AS age, 'never seen' AS plan) s;

-- Types of columns may differ from those of training.
SELECT predict('price', a) = predict('price', b) AS same
FROM (SELECT 30 AS age, 'gold' AS plan) a, (SELECT '30'::text AS age, 'gold'::char(8) AS plan) b;
SELECT predict('price', s) FROM (SELECT 'thirty' AS age, 'gold' AS plan) s;
SELECT predict('price', s) FROM (SELECT point(1, 2) AS age, 'gold' AS plan) s;
SELECT predict('price', s) FROM (SELECT ARRAY[1, 2] AS age, 'gold' AS plan) s;
SELECT predict('churn', s) FROM (SELECT v[1:1], m, joined, plan, charges, age, active FROM customers WHERE id = 30) s;
SELECT predict('churn', s) FROM (SELECT 1.5 AS v, m, joined, plan, charges, age, active FROM customers WHERE id = 30) s;
SELECT predict('churn', to_jsonb(t) || '{"v": [1, 2, 3]}') FROM customers t WHERE id = 30;
SELECT predict('churn', to_jsonb(t) || '{"v": 1}') FROM customers t WHERE id = 30;
SELECT predict('churn', to_jsonb(t) || '{"plan": {"a": 1}}') FROM customers t WHERE id = 30;
SELECT predict('churn', to_jsonb(t) || '{"v": null, "m": "mixed"}') IS NOT NULL AS fine FROM customers t WHERE id = 30;

-- Missing columns are all named.
SELECT predict('churn', s) FROM (SELECT age, m FROM customers WHERE id = 30) s;
SELECT predict('price', s) FROM (SELECT 3 AS "Age", 'gold' AS plan) s;
SELECT predict('price', ROW(30, 'gold'));
SELECT predict('price', '{"age": 30}');
SELECT predict('churn', '{}'::jsonb);
SELECT * FROM predict_table('price', 'SELECT plan FROM customers');

-- Text that is not a JSON object.
SELECT predict('price', 'gold');
SELECT predict('price', '[1, 2]');
SELECT predict('price', '"x"'::jsonb);
SELECT predict('price', '{"age": "\u0000"}');
-- A column with the name of the table's alias hides the row.
SELECT predict('price', plan) FROM (SELECT 30 AS age, 'gold' AS plan) plan;
SELECT predict('price', plan.*) IS NOT NULL AS fine FROM (SELECT 30 AS age, 'gold' AS plan) plan;

-- The result in the type asked for.
SELECT pg_typeof(predict('churn', t)), predict('churn', t), predict('churn', t, NULL::boolean), predict('churn', t, NULL::varchar(1)), predict('churn', t, NULL::name) FROM customers t WHERE id = 30;
SELECT predict('flag', t, NULL::boolean), predict('digit', t, NULL::boolean), predict('digit', t, NULL::int), predict('digit', t, NULL::numeric) FROM customers t WHERE id = 30;
CREATE TYPE answer AS ENUM ('no', 'yes');
CREATE DOMAIN only_no AS text CHECK (value = 'no');
SELECT predict('churn', t, NULL::answer) FROM customers t WHERE id IN (26, 30) ORDER BY id;
SELECT predict('churn', t, NULL::only_no) FROM customers t WHERE id = 26;
SELECT predict('churn', t, NULL::only_no) FROM customers t WHERE id = 30;
SELECT predict('churn', t, NULL::int) FROM customers t WHERE id = 30;
SELECT predict('churn', t, NULL::mood) FROM customers t WHERE id = 30;
\set VERBOSITY sqlstate
SELECT predict('price', t, NULL::int) FROM customers t WHERE id = 30;
\set VERBOSITY default
SELECT predict('price', t, NULL::float8) = predict_value('price', t) AS same_number,
       predict('price', t)::float8 = predict_value('price', t) AS round_trip,
       abs(predict('price', t, NULL::numeric) - (t.age * 2 + length(t.plan))) < 20 AS near
FROM customers t WHERE id = 30;

-- Probabilities: of the positive class of two, of a named class, of all.
SELECT predict_proba('churn', t) = predict_proba('churn', t, 'yes') AS positive,
       abs(predict_proba('churn', t, 'no') + predict_proba('churn', t) - 1) < 1e-12 AS sum,
       predict_proba('churn', to_jsonb(t)) = predict_proba('churn', t) AS json,
       predict_proba('churn', to_jsonb(t)::text, 'no') = predict_proba('churn', t, 'no') AS text,
       (predict_probs('churn', t) ->> 'yes')::float8 = predict_proba('churn', t) AS probs,
       predict_probs('churn', to_jsonb(t)) = predict_probs('churn', t) AS json_probs,
       predict_proba('churn', t) > 0.5 AS likely
FROM customers t WHERE id = 30;
CREATE VIEW odd AS SELECT id, age, active, plan || ' x' AS p FROM customers;
SELECT predict('Odd Plan', o), (SELECT array_agg(key ORDER BY key COLLATE "C") FROM jsonb_object_keys(predict_probs('Odd Plan', o)) key) AS classes
FROM odd o WHERE id = 30;
SELECT predict_proba('Odd Plan', o) FROM odd o WHERE id = 30;
SELECT predict_proba('Odd Plan', o, 'pro') FROM odd o WHERE id = 30;
SELECT predict_proba('Odd Plan', o, 'pro''s "pro"') < 0.5 AS unlikely FROM odd o WHERE id = 30;
SELECT abs(sum(value::float8) - 1) < 1e-9 AS adds_up FROM odd o, jsonb_each_text(predict_probs('Odd Plan', o)) WHERE id = 30;
SELECT predict_value('churn', t) FROM customers t WHERE id = 30;
SELECT predict_proba('price', t) FROM customers t WHERE id = 30;
SELECT predict_probs('price', t) FROM customers t WHERE id = 30;

-- No such model or version.
SELECT predict('chrn', t) FROM customers t WHERE id = 30;
SELECT predict('churn@7', t) FROM customers t WHERE id = 30;
SELECT predict('', t) FROM customers t WHERE id = 30;
SELECT predict(repeat('x', 1000), NULL::customers) IS NULL AS not_looked_up;

-- Tables: all rows in the order read, ids, more rows than a block; the same as one by one.
SELECT id, prediction, value IS NULL AS no_value, probability > 0.5 AS likely, jsonb_typeof(probabilities) AS probabilities
FROM predict_table('churn', 'SELECT * FROM customers WHERE id BETWEEN 25 AND 30 ORDER BY id DESC');
SELECT count(*), bool_and(p.prediction = predict('churn', t) AND p.probability = predict_proba('churn', t) AND p.probabilities = predict_probs('churn', t)) AS same
FROM predict_table('churn', 'customers') p JOIN customers t ON t.id = p.id::int;
SELECT count(*), count(DISTINCT id), min(id::int), max(id::int), bool_and(prediction::float8 = value AND probability IS NULL AND probabilities IS NULL) AS numbers
FROM predict_table('price', 'SELECT i % 60 AS age, ''gold'' AS plan FROM generate_series(1, 2500) i');
SELECT id, prediction FROM predict_table('churn', 'SELECT NULLIF(id, 26) AS "The Id", c.* FROM customers c WHERE id < 28 ORDER BY id LIMIT 2 OFFSET 24', 'The Id');
SELECT * FROM predict_table('churn', 'SELECT * FROM customers WHERE false');
SELECT * FROM predict_table('churn', 'customers', 'nix');
SELECT * FROM predict_table('churn', 'nix');
SELECT * FROM predict_table(NULL, 'customers');
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM customers; RETURN 30; END $$;
SELECT * FROM predict_table('price', 'SELECT writes() AS age, ''gold'' AS plan');
SHOW transaction_read_only;
SELECT * FROM predict_table('price', 'DELETE FROM customers RETURNING *');
SELECT * FROM predict_table('price', 'WITH d AS (DELETE FROM customers RETURNING *) SELECT * FROM d');
SELECT count(*) FROM customers;

-- Views for tools that only read tables.
SELECT automl_predict_view('churn', 'customers', 'scored');
SELECT automl_predict_view('price', 'customers', 'predict_test."Priced Customers"');
SELECT automl_predict_view('Odd Plan', 'SELECT age, active, plan || '' x'' AS p FROM customers; ', 'odd_scored');
\d scored
\d "Priced Customers"
SELECT regexp_replace(pg_get_viewdef('odd_scored'::regclass), '\mt\.(?!\*)', '', 'g') AS definition;
SELECT count(*), bool_and(s.prediction = predict('churn', t) AND s.probability = predict_proba('churn', t)) AS same FROM scored s JOIN customers t USING (id);
SELECT bool_and(prediction = predict_value('price', t)) AS same FROM "Priced Customers" p JOIN customers t USING (id);
SELECT count(*), bool_and(probability BETWEEN 1.0 / 3 AND 1) AS sane FROM odd_scored;
SELECT automl_predict_view('churn', 'customers', 'scored');
SELECT automl_predict_view('churn', 'scored', 'scored_again');
SELECT automl_predict_view('churn', 'odd', 'scored_again');
SELECT automl_predict_view('churn', 'customers', NULL);
DROP VIEW scored, "Priced Customers", odd_scored;

-- Versions that tell themselves apart: version n predicts about 10 n.
CREATE TABLE steps AS SELECT i AS id, i % 7 AS x, 10 + (i % 9 - 4) * 0.5 AS y FROM generate_series(1, 100) i;
SELECT train('steps', 'steps', 'y', 'constant');
SELECT train('steps', 'SELECT id, x, y + 10 AS y FROM steps', 'y', 'constant');
SELECT train('steps', 'SELECT id, x, y + 20 AS y FROM steps', 'y', 'constant');
CREATE FUNCTION seen(s steps) RETURNS int LANGUAGE sql STABLE AS $$ SELECT round(predict_value('steps', s) / 10)::int $$;
CREATE VIEW answer_now AS SELECT round(predict_value('steps', s) / 10)::int AS version FROM steps s WHERE id = 1;
PREPARE answer AS SELECT round(predict_value('steps', s) / 10)::int AS version FROM steps s WHERE id = $1;
TABLE answer_now;
SELECT round(predict_value('steps@1', s) / 10) AS v1, round(predict_value('steps@2', s) / 10) AS v2, round(predict_value('steps', s) / 10) AS deployed FROM steps s WHERE id = 1;
SELECT r, round(predict_value(r, s) / 10) AS version FROM steps s, unnest(ARRAY['steps@2', 'steps@1', 'steps', NULL, 'steps@1']) r WHERE id = 1;

-- A deployment is seen by the next statement, prepared or not, and is gone after ROLLBACK.
EXECUTE answer(1);
SELECT automl_deploy('steps', 1);
EXECUTE answer(1);
TABLE answer_now;
SELECT automl_rollback('steps');
EXECUTE answer(1);
BEGIN;
SELECT automl_deploy('steps', 2);
EXECUTE answer(1);
TABLE answer_now;
SAVEPOINT s;
SELECT automl_deploy('steps', 1);
EXECUTE answer(1);
ROLLBACK TO s;
EXECUTE answer(1);
SELECT automl_rename('steps', 'stairs');
TABLE answer_now;
ROLLBACK;
EXECUTE answer(1);
TABLE answer_now;

-- A cursor sees what was deployed when it was opened, whether or not it has been read.
BEGIN;
DECLARE fetched CURSOR FOR SELECT seen(s) FROM steps s ORDER BY id;
DECLARE unread CURSOR FOR SELECT round(predict_value('steps', s) / 10) AS version FROM steps s ORDER BY id;
FETCH fetched;
SELECT automl_deploy('steps', 1);
TABLE answer_now;
FETCH fetched;
FETCH unread;
TABLE answer_now;
COMMIT;
TABLE answer_now;

-- In one function: before and after its own deployment, and after one that an exception undid.
CREATE FUNCTION deploys() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s steps;
    answers text := '';
BEGIN
    SELECT * INTO s FROM steps WHERE id = 1;
    FOREACH answers IN ARRAY ARRAY[''] LOOP
        FOR n IN 1..3 LOOP
            PERFORM automl_deploy('steps', n);
            answers := answers || n || ':' || round(predict_value('steps', s) / 10) || ' ';
        END LOOP;
        BEGIN
            PERFORM automl_deploy('steps', 1);
            answers := answers || '1:' || round(predict_value('steps', s) / 10) || ' ';
            RAISE EXCEPTION 'undo';
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
        answers := answers || '3:' || round(predict_value('steps', s) / 10);
    END LOOP;
    RETURN answers;
END $$;
SELECT deploys();

-- In triggers, loops over records of changing shape, and after a caught error.
CREATE TABLE incoming (LIKE customers, risk float8);
CREATE FUNCTION set_risk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.risk := predict_proba('churn', NEW); RETURN NEW; END $$;
CREATE TRIGGER set_risk BEFORE INSERT ON incoming FOR EACH ROW EXECUTE FUNCTION set_risk();
INSERT INTO incoming SELECT * FROM customers;
SELECT count(*), bool_and(i.risk = predict_proba('churn', t)) AS same FROM incoming i JOIN customers t USING (id);
CREATE FUNCTION shapes() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    answers text := '';
BEGIN
    FOR n IN 1..3 LOOP
        FOR r IN EXECUTE format('SELECT %s, plan FROM customers WHERE id = 30', (ARRAY['1 AS x, age', 'age::text', 'id'])[n]) LOOP
            BEGIN
                answers := answers || (predict('price', r) = predict('price', (SELECT s FROM (SELECT plan, age FROM customers WHERE id = 30) s))) || ' ';
            EXCEPTION WHEN undefined_column THEN
                answers := answers || 'caught ';
            END;
            answers := answers || (predict('price', to_jsonb(r) || '{"age": 1}') IS NOT NULL) || ' ';
        END LOOP;
    END LOOP;
    RETURN answers;
END $$;
SELECT shapes();

-- Dropped in a transaction, and really.
BEGIN;
SELECT automl_drop('steps');
TABLE answer_now;
ROLLBACK;
TABLE answer_now;

-- REPEATABLE READ and SERIALIZABLE see their own changes too; read-only transactions predict.
BEGIN ISOLATION LEVEL REPEATABLE READ;
TABLE answer_now;
SELECT automl_deploy('steps', 1);
TABLE answer_now;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
TABLE answer_now;
EXECUTE answer(2);
SELECT count(*) FROM predict_table('steps', 'steps');
COMMIT;

-- Parallel workers answer the same, also for a version deployed in this transaction.
CREATE TABLE many AS SELECT i AS id, i % 7 AS x FROM generate_series(1, 20000) i;
ALTER TABLE many SET (parallel_workers = 2);
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT count(*), min(round(predict_value('steps', m) / 10)), max(round(predict_value('steps', m) / 10)) FROM many m;
SELECT count(*), min(round(predict_value('steps', m) / 10)), max(round(predict_value('steps', m) / 10)) FROM many m;
BEGIN;
SELECT automl_deploy('steps', 1);
SELECT count(*), min(round(predict_value('steps', m) / 10)), max(round(predict_value('steps', m) / 10)) FROM many m;
ROLLBACK;
SELECT count(*), min(round(predict_value('steps', m) / 10)), max(round(predict_value('steps', m) / 10)) FROM many m;
SELECT count(*) FROM many m WHERE predict('steps', (SELECT s FROM (SELECT 1 AS x) s)) IS NOT NULL;
SELECT set_config(name, 'on', false) = 'on' AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT predict('churn', t), predict('churn', t, NULL::boolean), predict('churn', to_jsonb(t)) FROM customers t WHERE id = 30;
SELECT predict('chrn', t) FROM customers t WHERE id = 30;
SELECT set_config(name, 'off', false) = 'off' AS normal FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;

-- The planner may evaluate it for an estimate.
EXPLAIN (COSTS OFF) SELECT id FROM customers WHERE age > predict_value('price', '{"age": 30, "plan": "gold"}');
SELECT provolatile, proparallel, proisstrict, count(*) FROM pg_proc WHERE proname IN ('predict', 'predict_value', 'predict_proba', 'predict_probs') AND pronamespace = 'public'::regnamespace GROUP BY 1, 2, 3;

-- Who may predict is checked for the current user of each call, and again after a change.
CREATE ROLE regress_pgml_reader;
GRANT USAGE ON SCHEMA predict_test TO regress_pgml_reader;
GRANT SELECT ON steps, answer_now TO regress_pgml_reader;
SET ROLE regress_pgml_reader;
EXECUTE answer(1);
RESET ROLE;
EXECUTE answer(1);
SELECT automl_grant('steps', 'regress_pgml_reader');
SET ROLE regress_pgml_reader;
EXECUTE answer(1);
RESET ROLE;
SELECT automl_revoke('steps', 'regress_pgml_reader');
SET ROLE regress_pgml_reader;
EXECUTE answer(1);
RESET ROLE;
CREATE ROLE regress_pgml_group;
SELECT automl_grant('steps', 'regress_pgml_group');
GRANT regress_pgml_group TO regress_pgml_reader;
SET ROLE regress_pgml_reader;
EXECUTE answer(1);
RESET ROLE;
REVOKE regress_pgml_group FROM regress_pgml_reader;
SET ROLE regress_pgml_reader;
EXECUTE answer(1);
RESET ROLE;
DROP OWNED BY regress_pgml_reader;
DROP ROLE regress_pgml_reader;

-- Columns may come and go: rows are bound by name again.
SELECT predict('price', t) = predict('price', '{"age": 30, "plan": "gold"}') AS same FROM (SELECT 30 AS age, 'gold' AS plan) t;
CREATE TABLE shape (extra int, plan text, age int);
INSERT INTO shape VALUES (1, 'gold', 30);
PREPARE shaped AS SELECT predict('price', s) = predict('price', '{"age": 30, "plan": "gold"}') AS same FROM shape s;
EXECUTE shaped;
ALTER TABLE shape DROP COLUMN extra;
EXECUTE shaped;
ALTER TABLE shape ADD COLUMN age2 numeric DEFAULT 30;
ALTER TABLE shape DROP COLUMN age;
EXECUTE shaped;
ALTER TABLE shape RENAME COLUMN age2 TO age;
EXECUTE shaped;

-- Loaded models stay within the bound; what is in use is not dropped.
CREATE VIEW loaded AS SELECT count(*) AS models FROM pg_backend_memory_contexts WHERE name = 'pgml_auto model';
SELECT models > 3 AS several FROM loaded;
SET pgml_auto.model_cache_size = '1kB';
SELECT predict('churn', t) AS churn, predict('flag', t) AS flag, (SELECT models FROM loaded) >= 2 AS in_use FROM customers t WHERE id = 30;
SELECT models FROM loaded;
SELECT r, count(*) FROM customers t, unnest(ARRAY['churn', 'flag']) r WHERE predict(r, t) IS NOT NULL AND id < 20 GROUP BY 1 ORDER BY 1;
SELECT models FROM loaded;
RESET pgml_auto.model_cache_size;

-- 100,000 predictions in one call site of each form leave memory as it was.
CREATE FUNCTION memory() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts); END $$;
CREATE FUNCTION grown() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c customers;
    j jsonb;
    before bigint;
    answer text;
    flag boolean;
BEGIN
    SELECT * INTO c FROM customers WHERE id = 30;
    j := to_jsonb(c);
    FOR i IN 1..105000 LOOP
        IF i = 5000 THEN -- the models are prepared for single rows by now
            before := memory();
        END IF;
        answer := predict('churn', c);
        IF i % 10 = 0 THEN
            answer := predict('churn', j);
            answer := predict('churn', j::text);
            answer := predict_probs('churn', c);
            flag := predict('flag', c, NULL::boolean);
            flag := predict_proba(CASE i % 20 WHEN 0 THEN 'flag' ELSE 'churn' END, c) > 0.5;
        END IF;
    END LOOP;
    RETURN memory() - before > 16384;
END $$;
SELECT memory() > 0 AS measured;
SELECT grown();
SELECT count(predict('price', s)) FROM (SELECT i % 60 AS age, 'gold' AS plan FROM generate_series(1, 100000) i) s;
SELECT sum(total_bytes) < 65536 AS small FROM pg_backend_memory_contexts WHERE name IN ('pgml_auto predict', 'pgml_auto row', 'pgml_auto result', 'pgml_auto binding');

-- A statement for one row reads it where the scan has it; the same as from a row that was made, whatever becomes of the table.
CREATE FUNCTION different() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    scanned text;
    made text;
    n bigint := 0;
BEGIN
    FOR i IN 1 .. 60 LOOP
        SELECT predict_probs('churn', c) INTO scanned FROM customers c WHERE id = i;
        SELECT predict_probs('churn', s) INTO made FROM (SELECT * FROM customers WHERE id = i OFFSET 0) s;
        n := n + (scanned IS DISTINCT FROM made)::int;
        SELECT predict('flag', c, NULL::boolean) INTO scanned FROM customers c WHERE id = i LIMIT 1;
        SELECT predict('flag', s, NULL::boolean) INTO made FROM (SELECT * FROM customers WHERE id = i OFFSET 0) s;
        n := n + (scanned IS DISTINCT FROM made)::int;
    END LOOP;
    RETURN n;
END $$;
PREPARE scanned AS SELECT predict_proba('churn', c) = predict_proba('churn', to_jsonb(c)) AS same FROM customers c WHERE id = $1;
PREPARE one_row AS SELECT predict('churn', c) FROM customers c WHERE id = $1;
SELECT different();
EXECUTE one_row(30);
BEGIN;
ALTER TABLE customers DROP COLUMN plan CASCADE;
ALTER TABLE customers ADD COLUMN added int NOT NULL DEFAULT 7, ADD COLUMN plan text DEFAULT 'gold';
SELECT different();
UPDATE customers SET plan = NULL, age = NULL, v = NULL WHERE id % 3 = 0;
UPDATE customers SET plan = repeat(md5(id::text), 200) WHERE id % 3 = 1;
SELECT different();
EXECUTE scanned(30);
ALTER TABLE customers DROP COLUMN plan;
SAVEPOINT s;
EXECUTE one_row(30);
ROLLBACK TO s;
SELECT predict_proba('churn', c) FROM customers c WHERE id = 30;
ROLLBACK;
SELECT different();
EXECUTE one_row(30);
SET track_functions = 'all';
SELECT different();
RESET track_functions;
SELECT predict('churn', c) FROM customers c WHERE id = -1;
SELECT predict(NULL, c) IS NULL AS no_model FROM customers c WHERE id = 30;

-- What an execution leaves for the next one is no answer: not of another user, nor of a type's input under other settings.
CREATE TABLE days AS SELECT i AS id, i % 2 AS x, CASE i % 2 WHEN 0 THEN '01/02/2020' ELSE '03/04/2020' END AS day FROM generate_series(1, 200) i;
ALTER TABLE days ADD PRIMARY KEY (id);
SELECT train('day', 'SELECT x, day FROM days', 'day');
PREPARE typed AS SELECT predict('day', d, NULL::date) FROM days d WHERE id = 2;
SET datestyle = 'ISO, MDY';
EXECUTE typed;
SET datestyle = 'ISO, DMY';
EXECUTE typed;
RESET datestyle;
GRANT USAGE ON SCHEMA predict_test TO regress_pgml_group;
GRANT SELECT ON customers TO regress_pgml_group;
SET ROLE regress_pgml_group;
EXECUTE one_row(30);
RESET ROLE;
EXECUTE one_row(30);

-- A new registry starts its numbers again; nothing of the old one answers.
SELECT predict('churn', t) FROM customers t WHERE id = 30;
DROP EXTENSION pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
SELECT train('churn', 'SELECT id, x, y FROM steps', 'y', 'constant');
SELECT round(predict_value('churn', s) / 10) AS answer FROM steps s WHERE id = 1;
BEGIN;
DROP EXTENSION pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
SELECT train('churn', 'SELECT id, x, y + 50 AS y FROM steps', 'y', 'constant');
SELECT round(predict_value('churn', s) / 10) AS answer FROM steps s WHERE id = 1;
ROLLBACK;
SELECT round(predict_value('churn', s) / 10) AS answer FROM steps s WHERE id = 1;

-- Damaged bytes are an error, not a crash.
SELECT train('broken', 'SELECT id, x, y FROM steps', 'y', 'constant');
UPDATE pgml_auto.image_chunks c SET data = set_byte(data, 100, 255 - get_byte(data, 100))
FROM pgml_auto.versions v JOIN pgml_auto.models m USING (model_id) WHERE c.version_id = v.version_id AND m.name = 'broken';
SELECT predict('broken', s) FROM steps s WHERE id = 1;
DELETE FROM pgml_auto.image_chunks c USING pgml_auto.versions v JOIN pgml_auto.models m USING (model_id) WHERE c.version_id = v.version_id AND m.name = 'broken';
SELECT predict('broken', s) FROM steps s WHERE id = 1;

DROP SCHEMA predict_test CASCADE;
DROP ROLE regress_pgml_group;
DROP EXTENSION pgml_auto;
