-- Bad input of every kind: the right SQLSTATE, a message that names what is wrong, and the registry as it was.  (All arguments one by
-- one: test/sql/train_errors.sql.  NOTICEs: test/sql/notices.sql.  No OpenBLAS: test/t/004_openblas.pl.)
BEGIN;
SET LOCAL client_min_messages = error;
SELECT no_plan();
CREATE SCHEMA bad_input;
SET LOCAL search_path = bad_input, public;

CREATE TABLE t AS
SELECT i AS id, (i * 7919) % 61 AS x, (i * 31) % 17 AS z, (i * 7919) % 61 * 2 + i % 5 AS y,
       CASE WHEN (i * 7919) % 61 > 30 THEN 'yes' ELSE 'no' END AS c
FROM generate_series(1, 200) i;
CREATE TABLE secret AS SELECT * FROM t;
CREATE TABLE half (LIKE t);
CREATE ROLE pgml_test_user;
GRANT USAGE ON SCHEMA bad_input TO pgml_test_user;
GRANT SELECT ON t TO pgml_test_user;
GRANT SELECT (id, x, y) ON secret TO pgml_test_user;

SELECT lives_ok($$SELECT * FROM automl_train('number', 't', 'y', max_trials => 1)$$, 'a model of a number');
SELECT lives_ok($$SELECT * FROM automl_train('class', 't', 'c', max_trials => 1, exclude => '{y}')$$, 'a model of a class');

-- All rows of the registry, as one checksum.
CREATE FUNCTION registry() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    rows text;
    result text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'pgml_auto'::regnamespace AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('SELECT md5(string_agg(r::text, '','' ORDER BY r::text)) FROM %s r', relation) INTO rows;
        result := result || relation || ' ' || coalesce(rows, 'empty') || ' ';
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION session_state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', current_user, current_setting('search_path'), current_setting('transaction_read_only'),
                     (SELECT count(*) FROM pgml_auto.progress), (SELECT count(*) FROM bad_input.t), (SELECT count(*) FROM bad_input.half))
$$;

-- Run a statement, as a role if one is given: it must fail with a SQLSTATE and a message (LIKE), and change nothing.
CREATE FUNCTION refused(statement text, code text, message text, whose name DEFAULT current_user) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    registry_before text := registry();
    session_before text := session_state();
    outcome text := 'it was accepted';
BEGIN
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', whose);
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        outcome := SQLSTATE || ' ' || SQLERRM;
    END;
    RESET ROLE;
    IF registry() <> registry_before THEN
        RETURN fail(statement || ' changed the registry');
    ELSIF session_state() <> session_before THEN
        RETURN fail(statement || ' changed the session: ' || session_state());
    END IF;
    -- A line break in the name of a test would make a line of its own of the rest.
    RETURN alike(left(outcome, 200), code || ' ' || message, left(translate(statement, E'\n\r', '  '), 120));
END $$;
-- The same for a training of a new model on some data.
CREATE FUNCTION not_trained(data text, arguments text, code text, message text, whose name DEFAULT current_user) RETURNS text LANGUAGE sql AS $$
    SELECT refused(format('SELECT * FROM automl_train(''new'', %L, %s)', data, arguments), code, message, whose)
$$;

-- ---- names --------------------------------------------------------------------------------

SELECT refused(format(call, 'nothing'), '42704', 'model "nothing" does not exist')
FROM unnest(ARRAY[
    'SELECT predict(%L, t) FROM t', 'SELECT predict_value(%L, ''{}''::jsonb)', 'SELECT predict_proba(%L, t) FROM t',
    'SELECT predict_probs(%L, t) FROM t', 'SELECT predict_interval(%L, t) FROM t', 'SELECT predict_set(%L, ''{}''::jsonb)',
    'SELECT e FROM t, automl_explain(%L, t) e', 'SELECT * FROM automl_importance(%L)', 'SELECT * FROM automl_coefficients(%L)', 'SELECT * FROM predict_table(%L, ''t'')', 'SELECT automl_predict_view(%L, ''t'', ''v'')',
    'SELECT automl_deploy(%L)', 'SELECT automl_rollback(%L)', 'SELECT automl_drop(%L)', 'SELECT automl_rename(%L, ''new'')',
    'SELECT automl_grant(%L, ''public'')', 'SELECT automl_revoke(%L, ''public'')', 'SELECT * FROM automl_describe(%L)',
    'SELECT * FROM automl_leaderboard(%L)', 'SELECT * FROM automl_train(%L)']) AS call;
SELECT not_trained('nowhere', $$'y'$$, '42P01', 'relation "nowhere" does not exist');
SELECT not_trained('nowhere.t', $$'y'$$, '42P01', 'relation "nowhere.t" does not exist');
SELECT not_trained('SELECT * FROM nowhere', $$'y'$$, '42P01', 'relation "nowhere" does not exist');
SELECT not_trained('T', $$'Y'$$, '42703', 'column "Y"%does not exist%');
SELECT not_trained('SELECT q FROM t', $$'q'$$, '42703', 'column "q" does not exist');
SELECT refused($$SELECT * FROM predict_table('number', 'nowhere')$$, '42P01', 'relation "nowhere" does not exist');
SELECT refused($$SELECT predict('number', t) FROM (SELECT x FROM t) t$$, '42703', '%"z"%');
SELECT refused($$SELECT predict('class', '{"x": 1}'::jsonb)$$, '42703', '%"z"%');

-- ---- rows ---------------------------------------------------------------------------------

SELECT not_trained('SELECT * FROM t WHERE false', $$'y'$$, '22000', 'there are no rows to learn from');
SELECT not_trained('half', $$'y'$$, '22000', 'there are no rows to learn from');
SELECT not_trained('SELECT * FROM t LIMIT 1', $$'y'$$, '22000', '%"y"%');
SELECT not_trained('SELECT * FROM t LIMIT 1', $$'c'$$, '22000', '%"c"%');
SELECT not_trained($$SELECT x, 'a' AS c FROM t$$, $$'c'$$, '22000', 'target column "c" has only one class, "a"');
SELECT not_trained('SELECT x, 7 AS y FROM t', $$'y'$$, '22000', 'target column "y" has only one class, "7"');
SELECT not_trained('SELECT x, 7 AS y FROM t', $$'y', task => 'regression'$$, '22000', 'target column "y" has the same value in every row, 7');
SELECT not_trained('SELECT x, true AS y FROM t', $$'y'$$, '22000', '%"y"%only one class%');
SELECT not_trained('SELECT x, NULL::int AS y FROM t', $$'y'$$, '22000', 'target column "y" has no value in any row');
SELECT not_trained('SELECT x, NULL::text AS y FROM t', $$'y'$$, '22000', 'target column "y" has no value in any row');
SELECT not_trained($$SELECT x, 'nan'::float8 AS y FROM t$$, $$'y'$$, '22000', 'target column "y" has no value in any row');
SELECT not_trained($$SELECT x, CASE id WHEN 7 THEN 'infinity'::float8 ELSE y END AS y FROM t$$, $$'y'$$, '22000', 'target column "y" has 1 infinite value');
SELECT not_trained($$SELECT x, CASE id WHEN 7 THEN '-infinity'::float4 ELSE y END AS y FROM t$$, $$'y'$$, '22000', 'target column "y" has 1 infinite value');
SELECT not_trained('SELECT y FROM t', $$'y'$$, '22000', 'no column can be used as a feature');
SELECT not_trained('SELECT NULL::int AS x, NULL::text AS z, y FROM t', $$'y'$$, '22000', 'no column can be used as a feature');
SELECT not_trained('SELECT point(x, z) AS p, y FROM t', $$'y'$$, '22000', 'no column can be used as a feature');
SELECT not_trained('SELECT x, point(y, 1) AS y FROM t', $$'y'$$, '%', '%"y"%');
SELECT not_trained($$SELECT i % 7 AS x, 'k' || (i * 7919) % 100000 AS c FROM generate_series(1, 100000) i$$, $$'c'$$, '22000', '%"c" has more than 1000 different classes');

-- ---- arguments ----------------------------------------------------------------------------

SELECT not_trained('t', 'NULL', '0A000', 'training without a target is not supported yet');
SELECT not_trained('t', $$target => 'y', task => 'forecasting'$$, '0A000', 'task ''forecasting'' is not supported yet');
SELECT not_trained('t', $$target => 'y', features => '{x,y}'$$, '22023', '%"y" is the target%');
SELECT not_trained('t', $$target => 'y', features => '{q}'$$, '42703', '%"q"%does not exist%');
SELECT not_trained('t', $$target => 'y', metric => 'goodness'$$, '22023', '%''goodness''%');
SELECT not_trained('t', $$target => 'y', metric => 'roc_auc'$$, '22023', '%roc_auc%');
SELECT not_trained('t', $$target => 'c', metric => 'rmse'$$, '22023', '%rmse%');
SELECT not_trained('t', $$target => 'c', task => 'regression'$$, '22000', '%"c"%');
SELECT not_trained('t', $$target => 'y', options => '{"fold": 3}'$$, '22023', '%"fold"%');
SELECT not_trained('t', $$target => 'y', algorithms => '{perceptron}'$$, '22023', '%perceptron%');
SELECT not_trained('t', $$target => 'y', hyperparams => '{"num_leafs": 3}'$$, '22023', '%num_leafs%');

-- ---- queries ------------------------------------------------------------------------------

CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO bad_input.half SELECT * FROM bad_input.t RETURNING id';
CREATE FUNCTION writes_hidden() RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('transaction_read_only', 'off', true);
    RETURN bad_input.writes();
END $$;
CREATE FUNCTION creates() RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN CREATE TABLE bad_input.made (i int); RETURN 1; END $$;
CREATE VIEW writing AS SELECT *, writes() AS w FROM t;
CREATE SEQUENCE numbers;
SELECT not_trained(query, $$'y'$$, code, message)
FROM (VALUES
    ('DELETE FROM t', '25006', 'a data query must only read'),
    ('INSERT INTO half SELECT * FROM t RETURNING *', '25006', 'a data query must only read'),
    ('UPDATE t SET x = 0 RETURNING *', '25006', 'a data query must only read'),
    ('SELECT * INTO made FROM t', '25006', 'a data query must only read'),
    ('WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d', '25006', 'a data query must only read'),
    ('SELECT * FROM t FOR UPDATE', '25006', 'a data query must only read'),
    ('SELECT *, writes() AS w FROM t', '25006', '%INSERT in a read-only transaction'),
    ('SELECT *, writes_hidden() AS w FROM t', '25001', '%read-write mode%'),
    ('SELECT *, creates() AS w FROM t', '25006', '%CREATE TABLE in a read-only transaction'),
    ('SELECT *, nextval(''numbers'') AS w FROM t', '25006', '%nextval() in a read-only transaction'),
    ('writing', '25006', '%INSERT in a read-only transaction'),
    ('SELECT *, automl_drop(''number'') AS w FROM t', '25006', '%read-only transaction'),
    ('SELECT *, (SELECT version FROM automl_train(''class'')) AS w FROM t', '25006', '%read-only transaction'),
    ('CREATE TABLE made AS SELECT * FROM t', '42601', 'data must be the name of a relation or a query'),
    ('DROP TABLE t', '42601', 'data must be the name of a relation or a query'),
    ('SELECT * FROM t; DROP TABLE t', '42601', 'data must be one relation or one query'),
    ('EXPLAIN SELECT * FROM t', '42601', 'data must be the name of a relation or a query'),
    ('CALL nothing()', '42601', 'data must be the name of a relation or a query'),
    ('SELECT x, y, 1 / (id - 150) AS w FROM t', '22012', 'division by zero'),
    ('SELECT x, y, c::int AS w FROM t', '22P02', 'invalid input syntax for type integer: "%"'),
    ('SELECT x, y, x FROM t', '42701', 'the query returns more than one column "x"'),
    ('SELECT FROM t', '42804', 'the data has no columns'),
    ('SELECT x, y FROM', '42601', 'syntax error at end of input'),
    ('SELECT $1 AS x, y FROM t', '42P02', 'there is no parameter $1'),
    ('', '22023', 'data must not be empty'),
    (E' \n', '22023', 'data must not be empty'),
    ('numbers', '42809', 'cannot read rows from relation "numbers"')) AS q (query, code, message);
SELECT refused(format('SELECT * FROM predict_table(''number'', %L)', query), code, message)
FROM (VALUES
    ('SELECT *, writes() AS w FROM t', '25006', '%INSERT in a read-only transaction'),
    ('SELECT *, writes_hidden() AS w FROM t', '25001', '%read-write mode%'),
    ('DELETE FROM t RETURNING *', '25006', 'a data query must only read'),
    ('writing', '25006', '%INSERT in a read-only transaction'),
    ('SELECT x, z, id, c, 1 / (id - 150) AS w FROM t', '22012', 'division by zero')) AS q (query, code, message);

-- ---- widths -------------------------------------------------------------------------------

DO $$ BEGIN
    EXECUTE 'CREATE TABLE wide AS SELECT ' || (SELECT string_agg(format('(i * %s) %% 61 AS c%s', k * 7 + 1, k), ', ') FROM generate_series(1, 1599) k)
        || ', (i * 7919) % 61 AS y FROM generate_series(1, 80) i';
END $$;
SELECT lives_ok($$SELECT * FROM automl_train('wide', 'wide', 'y', algorithms => '{linear}', max_trials => 1)$$, '1,600 columns are learned from');
SELECT is(count(predict_value('wide', w)), 80::bigint, 'and predicted for') FROM wide w;
SELECT is(count(*), 80::bigint, 'also as a table') FROM predict_table('wide', 'wide');
SELECT not_trained('SELECT *, 1 AS one FROM wide', $$'y'$$, '54011', 'the data has 1601 columns, more than 1600');
SELECT lives_ok($$SELECT * FROM automl_train('categories', 'SELECT ''k'' || (i * 7919) % 100000 AS k, i % 7 AS x, i % 7 * 3.5 AS y
    FROM generate_series(1, 100000) i', 'y', algorithms => '{linear}', max_trials => 1)$$, '100,000 categories are survived');
SELECT isnt(predict_value('categories', '{"k": "k5", "x": 3}'::jsonb), NULL, 'and predicted for');

-- ---- rights -------------------------------------------------------------------------------

SELECT not_trained('secret', $$'y'$$, '42501', 'permission denied for table secret', 'pgml_test_user');
SELECT not_trained('SELECT x, z, y FROM secret', $$'y'$$, '42501', 'permission denied for table secret', 'pgml_test_user');
SELECT refused(call, '42501', 'permission denied for model "number"', 'pgml_test_user')
FROM unnest(ARRAY[
    $$SELECT predict('number', t) FROM bad_input.t$$, $$SELECT predict('number@1', t) FROM bad_input.t$$,
    $$SELECT predict_value('number', '{"x": 1}')$$, $$SELECT * FROM predict_table('number', 'bad_input.t')$$,
    $$SELECT e FROM bad_input.t, automl_explain('number', t) e$$, $$SELECT * FROM automl_importance('number')$$, $$SELECT * FROM automl_coefficients('number')$$,
    $$SELECT * FROM automl_describe('number')$$, $$SELECT * FROM automl_leaderboard('number')$$,
    $$SELECT automl_rollback('number')$$, $$SELECT automl_deploy('number', 1)$$, $$SELECT * FROM automl_train('number')$$]) AS call;
SELECT refused(call, '42501', 'must be owner of model "number"', 'pgml_test_user')
FROM unnest(ARRAY[
    $$SELECT automl_drop('number')$$, $$SELECT automl_drop('number@1')$$, $$SELECT automl_rename('number', 'mine')$$,
    $$SELECT automl_grant('number', 'pgml_test_user', 'manage')$$, $$SELECT automl_revoke('number', 'public')$$,
    $$SELECT * FROM automl_train('number', 'bad_input.t')$$]) AS call;
SELECT automl_grant('number', 'pgml_test_user');
SELECT lives_ok($$SET LOCAL ROLE pgml_test_user; SELECT predict('number', t) FROM bad_input.t; RESET ROLE$$, 'granted: predict');
SELECT refused(call, '42501', 'permission denied for model "number"', 'pgml_test_user')
FROM unnest(ARRAY[$$SELECT automl_deploy('number', 1)$$, $$SELECT * FROM automl_train('number')$$]) AS call;
SELECT refused($$SELECT automl_drop('number')$$, '42501', 'must be owner of model "number"', 'pgml_test_user');
SELECT automl_grant('number', 'pgml_test_user', 'manage');
SELECT lives_ok($$SET LOCAL ROLE pgml_test_user; SELECT automl_deploy('number', 1); RESET ROLE$$, 'granted: manage');
SELECT refused($$SELECT automl_drop('number')$$, '42501', '%model "number"%', 'pgml_test_user');
SELECT automl_revoke('number', 'pgml_test_user', 'manage'), automl_revoke('number', 'pgml_test_user');
SELECT refused($$SELECT predict('number', t) FROM bad_input.t$$, '42501', 'permission denied for model "number"', 'pgml_test_user');
-- Prepared while it was allowed, cached in the session: refused all the same.
SELECT automl_grant('number', 'public');
PREPARE ask AS SELECT predict('number', t) FROM t LIMIT 1;
SELECT lives_ok('SET LOCAL ROLE pgml_test_user; EXECUTE ask; RESET ROLE', 'granted to everybody');
SELECT automl_revoke('number', 'public');
SELECT refused('EXECUTE ask', '42501', 'permission denied for model "number"', 'pgml_test_user');

-- ---- memory -------------------------------------------------------------------------------

SELECT refused($$SET LOCAL pgml_auto.max_memory = '1MB'$$, '22023', '%outside the valid range%');
SELECT refused($$SET LOCAL pgml_auto.max_memory = '8GB'$$, '42501', 'permission denied to set parameter "pgml_auto.max_memory"', 'pgml_test_user');
SET LOCAL pgml_auto.max_memory = '16MB';
SELECT lives_ok($$SELECT * FROM automl_train('sampled', 'SELECT i AS id, i % 61 AS x, i % 7 AS z, i % 7 * 3.5 AS y
    FROM generate_series(1, 300000) i', 'y', algorithms => '{linear}', max_trials => 1)$$, 'more rows than fit: a sample is learned from');
SELECT ok(rows_read < rows_total AND rows_total = 300000, 'the version says so') FROM pgml_auto.version WHERE model = 'sampled';
-- One row of 1,600 texts of 20 kB does not fit at all.
SELECT not_trained((SELECT 'SELECT ' || string_agg(format('repeat(md5((i * %s)::text), 640) AS c%s', k, k), ', ')
    || ', i % 7 AS y FROM generate_series(1, 30) i' FROM generate_series(1, 1000) k), $$'y'$$, '53400', 'the data does not fit into memory');
SET LOCAL pgml_auto.max_memory = '1GB';

-- ---- damage -------------------------------------------------------------------------------

-- Whatever byte of a stored image changes: an error, no crash, and no wrong answer.
CREATE FUNCTION answers_after_damage(at int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
BEGIN
    UPDATE pgml_auto.image_chunks SET data = set_byte(data, at % octet_length(data), get_byte(data, at % octet_length(data)) # 32)
    WHERE version_id = (SELECT max(version_id) FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name = 'class');
    PERFORM predict('class@1', t) FROM t;
    RAISE EXCEPTION USING errcode = 'P0001', message = 'damage was not noticed at ' || at;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SET LOCAL pgml_auto.model_cache_size = 0;
DECLARE release CURSOR FOR SELECT predict('wide', w) FROM wide w;
FETCH release;
CLOSE release;
SELECT results_eq('SELECT DISTINCT answers_after_damage(n * 13) FROM generate_series(0, 200) n', ARRAY['XX001'], 'a damaged image is noticed');
SELECT isnt(predict('class', t), NULL, 'the undamaged one answers again') FROM t LIMIT 1;

SELECT is_empty($$SELECT name FROM pgml_auto.model WHERE name = 'new'$$, 'nothing was registered by all that');
SELECT throws_ok('CREATE EXTENSION pgml_auto SCHEMA pgml_auto', NULL, NULL, 'the extension cannot be created twice');
SELECT lives_ok('DROP EXTENSION pgml_auto', 'dropping it');
SELECT throws_ok('CREATE EXTENSION pgml_auto SCHEMA pgml_auto', '3F000', NULL, 'its own schema is not there to create it in');
CREATE SCHEMA pgml_auto;
SELECT throws_ok('CREATE EXTENSION pgml_auto SCHEMA pgml_auto', '22023', 'extension "pgml_auto" cannot be created in schema "pgml_auto"', 'nor may it be made for that');

SELECT * FROM finish();
ROLLBACK;
