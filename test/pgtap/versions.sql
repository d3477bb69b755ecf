-- Versions of one model: which rows they share, what a training repeats, how far back a rollback goes.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

-- ---- rows are told apart for ever as in the first version ---------------------------------

-- Nothing can be learned here, so a version that scores well knows rows it learned from.
SELECT setseed(0.3) \g /dev/null
CREATE TABLE coins AS SELECT (random() * 1e6)::int AS a, random() AS b, random() < 0.5 AS y FROM generate_series(1, 400);
CREATE FUNCTION pg_temp.train(arguments text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    score float8;
BEGIN
    EXECUTE format('SELECT score FROM automl_train(''coins'', %s, algorithms => ''{gradient_boosting}'', max_trials => 1)', arguments) INTO score;
    RETURN score;
END $$;
-- What the deployed version scores on the test rows of the newest one, as the gate has seen it.
CREATE FUNCTION pg_temp.champion() RETURNS float8 LANGUAGE sql AS $$
    SELECT substring(array_to_string(notices, ' ') FROM 'worse than the ([0-9.]+)')::float8
    FROM pgml_auto.version WHERE model = 'coins' ORDER BY version DESC LIMIT 1
$$;
SELECT cmp_ok(pg_temp.train($$'coins', 'y'$$), '<', 0.65::float8, 'coins cannot be predicted');
SELECT is(split -> 'identity' -> 0 ->> 'column', 'a', 'rows without a key are told apart by their values') FROM pgml_auto.models WHERE name = 'coins';

CREATE FUNCTION pg_temp.same_test_rows(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    first record;
    newest record;
BEGIN
    SELECT rows_test, score INTO first FROM pgml_auto.version WHERE model = 'coins' AND version = 1;
    SELECT rows_test, score INTO newest FROM pgml_auto.version WHERE model = 'coins' ORDER BY version DESC LIMIT 1;
    RETURN NEXT is(newest.rows_test, first.rows_test, what || ': the test rows are as many');
    RETURN NEXT cmp_ok(newest.score, '<', 0.65::float8, what || ': and none was learned from');
END $$;

ALTER TABLE coins ADD id serial PRIMARY KEY;
SELECT lives_ok($$SELECT pg_temp.train($q$'coins'$q$)$$, 'a key is added');
SELECT pg_temp.same_test_rows('with a key');
SELECT lives_ok($$SELECT pg_temp.train($q$'SELECT id, y, random() AS c, b, a FROM coins'$q$)$$, 'columns are added and change places');
SELECT pg_temp.same_test_rows('with other columns');
SELECT lives_ok($$SELECT pg_temp.train($q$'SELECT k.* FROM coins k JOIN (SELECT 1) o ON true', id_columns => '{id}'$q$)$$, 'id_columns come later');
SELECT pg_temp.same_test_rows('with id_columns');
SELECT throws_ok($$SELECT pg_temp.train($q$'SELECT a, y FROM coins'$q$)$$, '42703',
    'column "b", which tells the rows of the model apart, does not exist in the data', 'a column of the identity is missing');
SELECT throws_ok($$SELECT pg_temp.train($q$'SELECT a::text, b, y FROM coins'$q$)$$, '42804',
    'column "a", which tells the rows of the model apart, has type text now', 'or is another kind of value');
SELECT lives_ok($$SELECT pg_temp.train($q$'SELECT a::numeric, b, y FROM coins', exclude => '{a}', id_columns => '{}'$q$)$$, 'another type of number is the same, and exclude keeps it out of the features');
SELECT pg_temp.same_test_rows('with numeric');

-- Missing arrays hash alike, whether they come before or after the first array.
CREATE TABLE arrays AS SELECT i AS n, CASE WHEN i % 3 > 0 THEN ARRAY[i % 17, i % 5] END AS v, i % 2 AS y FROM generate_series(1, 300) i;
CREATE FUNCTION pg_temp.predictions(model text) RETURNS text LANGUAGE sql AS $$
    SELECT rows_train || '/' || rows_test FROM pgml_auto.version v WHERE v.model = $1 ORDER BY version DESC LIMIT 1
$$;
SELECT lives_ok($$SELECT * FROM automl_train('arrays', 'SELECT n % 50 AS n, v, y FROM arrays ORDER BY v IS NULL', 'y', max_trials => 1, algorithms => '{linear}')$$, 'arrays first');
SELECT lives_ok($$SELECT * FROM automl_train('arrays2', 'SELECT n % 50 AS n, v, y FROM arrays ORDER BY v IS NOT NULL', 'y', max_trials => 1, algorithms => '{linear}')$$, 'missing ones first');
SELECT is(pg_temp.predictions('arrays'), pg_temp.predictions('arrays2'), 'the same rows test');
SELECT is((SELECT image_crc FROM pgml_auto.versions w JOIN pgml_auto.models m USING (model_id) WHERE name = 'arrays'),
          (SELECT image_crc FROM pgml_auto.versions w JOIN pgml_auto.models m USING (model_id) WHERE name = 'arrays2'), 'and the same model comes out');
-- Types that look alike and hash differently.
CREATE TABLE moments AS SELECT timestamp '2024-01-01' + i * interval '7 hours' AS at, i % 3 AS y FROM generate_series(1, 200) i;
ALTER TABLE moments ADD PRIMARY KEY (at);
SELECT lives_ok($$SELECT * FROM automl_train('moments', 'moments', 'y', max_trials => 1, algorithms => '{linear}')$$, 'moments tell rows apart');
ALTER TABLE moments ALTER at TYPE timestamptz;
SELECT throws_ok($$SELECT * FROM automl_train('moments')$$, '42804', NULL, 'they are others in another type');
-- Dates in text keep the meaning that they had.
CREATE TABLE ambiguous AS SELECT to_char(date '2024-01-01' + i % 12 * 31, 'DD/MM/YYYY') AS d, i % 7 AS x, i % 7 + i % 12 AS y FROM generate_series(1, 240) i;
UPDATE ambiguous SET d = to_char(to_date(d, 'DD/MM/YYYY'), '"0"') || to_char(1 + x, 'FM9') || to_char(to_date(d, 'DD/MM/YYYY'), '/MM/YYYY');
SELECT lives_ok($$SELECT * FROM automl_train('ambiguous', 'ambiguous', 'y', time_column => 'd', max_trials => 1, algorithms => '{linear}')$$, 'months and days that could change places');
INSERT INTO ambiguous SELECT '25/12/2024', 1, 1 FROM generate_series(1, 20);
SELECT throws_like($$SELECT * FROM automl_train('ambiguous')$$, '%"25/12/2024", which is not a date', 'do not do so in a later version');
DROP TABLE moments, ambiguous;

-- Groups and times, too, are those of the first version.
CREATE TABLE grouped AS SELECT i AS id, i % 60 AS grp, i % 50 AS other, timestamp '2024-01-01' + i * interval '1 hour' AS at, (i % 60 * 7919) % 61 + i % 5 AS y
FROM generate_series(1, 600) i;
SELECT lives_ok($$SELECT * FROM automl_train('grouped', 'grouped', 'y', group_column => 'grp', max_trials => 1, algorithms => '{linear}')$$, 'groups');
SELECT throws_ok(format($$SELECT * FROM automl_train('grouped', %s)$$, arguments), '22023',
    'the way test rows are chosen cannot change between versions of a model', arguments)
FROM unnest(ARRAY[$a$group_column => 'other'$a$, $a$group_column => ''$a$, $a$time_column => 'at'$a$]) AS arguments;
SELECT lives_ok($$SELECT * FROM automl_train('timed', 'grouped', 'y', time_column => 'at', max_trials => 1, algorithms => '{linear}')$$, 'times');
SELECT throws_ok($$SELECT * FROM automl_train('timed', time_column => 'id')$$, '22023', NULL, 'another time column');
ALTER TABLE grouped ALTER grp TYPE text, ALTER at TYPE timestamptz;
SELECT throws_ok(format($$SELECT * FROM automl_train(%L)$$, m), '42804', NULL, m || ' in another type') FROM unnest('{grouped,timed}'::text[]) m;
DROP TABLE grouped;

-- Of a table that has not changed, no version trains on much fewer rows than the first one did.
CREATE TABLE three AS SELECT i AS id, i % 7 AS x, (ARRAY['a', 'b', 'b', 'c', 'c', 'c'])[1 + i % 6] AS y FROM generate_series(1, 900) i;
ALTER TABLE three ADD PRIMARY KEY (id);
SELECT lives_ok($$SELECT * FROM automl_train('three', 'three', 'y', algorithms => '{constant}', max_trials => 1)$$, 'three classes');
SELECT lives_ok($$SELECT * FROM automl_train('three')$$, 'and again');
SELECT cmp_ok((SELECT rows_train FROM pgml_auto.version WHERE model = 'three' AND version = 2), '>=',
    (SELECT rows_train * 99 / 100 FROM pgml_auto.version WHERE model = 'three' AND version = 1), 'hardly a row is left out');

-- ---- a training without arguments repeats the deployed version's ---------------------------

SELECT lives_ok($$SELECT automl_deploy('three', 2)$$, 'the second version is deployed');
SELECT lives_ok($$SELECT * FROM automl_train('three', metric => 'accuracy')$$, 'one more');
SELECT lives_ok($$SELECT automl_deploy('three', 2)$$, 'is not kept');
SELECT is(metric, 'log_loss', 'the metric shown beside the score is the deployed version''s') FROM pgml_auto.model WHERE name = 'three';
SELECT lives_ok($$SELECT * FROM automl_train('three')$$, 'trained again');
SELECT is(metric, 'log_loss', 'the settings are those of the deployed version') FROM pgml_auto.version WHERE model = 'three' AND version = 4;

-- ---- rolling back -------------------------------------------------------------------------

CREATE FUNCTION pg_temp.walk(deployments int[]) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    v int;
    walked int[] := '{}';
BEGIN
    FOREACH v IN ARRAY deployments LOOP
        PERFORM automl_deploy('three', v);
    END LOOP;
    LOOP
        BEGIN
            walked := walked || automl_rollback('three');
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            RETURN walked;
        END;
    END LOOP;
END $$;
DELETE FROM pgml_auto.deployments;
SELECT is(pg_temp.walk('{1,2,1,2,3}'), '{2,1,2,1}', 'rollbacks walk back through the history, step by step');
SELECT is(pg_temp.walk('{2,3}'), '{2,1}', 'what was rolled back is not come back to');
SELECT lives_ok($$SELECT automl_drop('three@2')$$, 'a version of the history is dropped');
SELECT is(pg_temp.walk('{3,4}'), '{3,1}', 'and passed over');

-- ---- what the result alone does not tell ---------------------------------------------------

CREATE FUNCTION pg_temp.notices(model text, version int) RETURNS text LANGUAGE sql AS $$
    SELECT array_to_string(v.notices, E'\n') FROM pgml_auto.version v WHERE v.model = $1 AND v.version = $2
$$;
SELECT matches(pg_temp.notices('coins', 1), 'is not clearly better than the baseline of always predicting the same', 'a score that says nothing is called so');
CREATE TABLE leaky AS SELECT i AS id, i % 50 AS x, i % 13 AS other, CASE WHEN (i * 7919) % 100 < i % 50 + 20 THEN 'gone' END AS reason,
    CASE WHEN (i * 7919) % 100 < i % 50 + 20 THEN 'yes' ELSE 'no' END AS y FROM generate_series(1, 500) i;
ALTER TABLE leaky ADD PRIMARY KEY (id);
SELECT lives_ok($$SELECT * FROM automl_train('leaky', 'leaky', 'y', max_trials => 1)$$, 'a column knows the answer');
SELECT matches(pg_temp.notices('leaky', 1), 'column "reason" looks as if it leaks the target', 'and is named');
SELECT unalike(pg_temp.notices('leaky', 1), '%not clearly better%', 'while the score is fine');
SELECT is(description, 'x, other, reason', 'the columns that a prediction needs') FROM automl_describe('leaky') WHERE item = 'needed';
SELECT lives_ok($$SELECT * FROM automl_train('leaky', exclude => '{reason}')$$, 'trained without it');
SELECT is((SELECT deployed FROM pgml_auto.model WHERE name = 'leaky'), 1, 'the version that knows the answer stays');

-- ---- names of others ----------------------------------------------------------------------

CREATE ROLE pgml_tap_nobody;
SET LOCAL ROLE pgml_tap_nobody;
CREATE FUNCTION pg_temp.hint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN hint;
END $$;
SELECT is(pg_temp.hint(format('SELECT * FROM %s', call)), 'You have no models yet. Train one with SELECT * FROM automl_train(...).', call)
FROM unnest(ARRAY['automl_drop(''nope'')', 'automl_grant(''nope'', ''public'')', 'automl_rename(''nope'', ''no'')', 'automl_deploy(''nope'')',
    'automl_rollback(''nope'')', 'automl_train(''nope'')', 'predict(''nope'', ''{}''::jsonb)', 'automl_describe(''nope'')']) AS call;

SELECT * FROM finish();
ROLLBACK;
