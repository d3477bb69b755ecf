-- What other in-database machine learning got wrong, by letter; each must hold here.
-- (b) across sessions is in test/isolation, (c) in test/t/006_databases.pl, (d) after a restart in test/t/005_crash.pl; (m) concerns
-- background jobs.
BEGIN;
SET LOCAL client_min_messages = error;
SELECT no_plan();
CREATE SCHEMA defects;
SET LOCAL search_path = defects, public;

CREATE TABLE steps AS SELECT (i * 7919) % 61 AS x, 10 + i % 2 * 1e-6 AS y FROM generate_series(1, 100) i;
CREATE TABLE points AS
SELECT i AS id, (i * 7919) % 61 AS x, (i * 31) % 17 AS z, 'k' || i % 4 AS kind, (i * 7919) % 61 * 2 + i % 4 * 10 + i % 3 AS y
FROM generate_series(1, 200) i;
-- Version 1 predicts 10, version 2 predicts 20.
SELECT lives_ok($$SELECT * FROM automl_train('steps', 'steps', 'y', algorithms => '{constant}', max_trials => 1)$$, 'steps');
SELECT lives_ok($$SELECT * FROM automl_train('steps', 'SELECT x, y + 10 AS y FROM steps', algorithms => '{constant}')$$, 'steps again');
SELECT automl_deploy('steps', 1);

-- (a) predict was IMMUTABLE: plans kept the answer of an old model.
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE ask AS SELECT round(predict_value('steps', '{"x": 1}'::jsonb));
SELECT results_eq('EXECUTE ask', ARRAY[10::float8], '(a) a prepared plan answers');
SELECT automl_deploy('steps', 2);
SELECT results_eq('EXECUTE ask', ARRAY[20::float8], '(a) and follows a deployment');
SELECT throws_ok('CREATE INDEX ON steps (predict_value(''steps'', steps))', '42P17', NULL, '(a) no index keeps an old answer');
SELECT throws_ok('ALTER TABLE steps ADD COLUMN p float8 GENERATED ALWAYS AS (predict_value(''steps'', ''{}''::jsonb)) STORED', '42P17', NULL,
    '(a) nor does a generated column');
SET LOCAL plan_cache_mode = auto;

-- (b) a deployment survived ROLLBACK.
SAVEPOINT before_deployment;
SELECT automl_deploy('steps', 1);
SELECT results_eq('EXECUTE ask', ARRAY[10::float8], '(b) the own transaction sees its deployment');
ROLLBACK TO before_deployment;
SELECT results_eq('EXECUTE ask', ARRAY[20::float8], '(b) which is gone after ROLLBACK');

-- (d) the first prediction of a project that had not been looked up before panicked.
SELECT throws_ok($$SELECT predict('never seen', '{}'::jsonb)$$, '42704', 'model "never seen" does not exist', '(d) an unknown model is an error');
SELECT throws_ok($$SELECT predict('steps@9', '{}'::jsonb)$$, '42704', NULL, '(d) so is an unknown version');
SELECT lives_ok($$SELECT * FROM automl_train('looked up', 'steps', 'y', max_trials => 1)$$, '(d) a model');
SELECT isnt(predict('looked up', '{"x": 1}'::jsonb), NULL, '(d) answers from the first call on');

-- (e) "stratified" was not: 4 % of the rows are of the rare class, so exactly 8 of 200 test rows, and the constant's accuracy is 0.96.
CREATE TABLE rare (id int PRIMARY KEY, x int, kind text);
INSERT INTO rare SELECT i, (i * 7919) % 61, CASE WHEN i % 25 = 0 THEN 'rare' ELSE 'common' END FROM generate_series(1, 1000) i;
SELECT results_eq(
    format($$SELECT score FROM automl_train('rare %s', 'rare', 'kind', metric => 'accuracy', algorithms => '{constant}',
                                            max_trials => 1, seed => %s)$$, seed, seed),
    ARRAY[0.96::float8], '(e) each class has its share of the test rows, seed ' || seed)
FROM generate_series(1, 4) AS seed;

-- (f) the search took the best single fold and never trained on all rows.
SELECT lives_ok($$SELECT * FROM automl_train('points', 'points', 'y', max_trials => 3)$$, '(f) a search');
SELECT is_empty(
    $$SELECT trial, folds, rows FROM pgml_auto.trial WHERE model = 'points' AND status = 'ok' AND (folds < 2 OR rows * folds / (folds - 1) < 160)$$,
    '(f) small data is validated on several folds that cover all training rows');
SELECT is(min(validation_score) FILTER (WHERE chosen), min(validation_score), '(f) the chosen trial is the one with the best mean')
FROM pgml_auto.trial WHERE model = 'points' AND status = 'ok';
SELECT lives_ok($$SELECT * FROM automl_train('mean', 'points', 'y', algorithms => '{constant}', max_trials => 1, test_size => 0)$$,
    '(f) a constant on all rows');
SELECT ok(abs(predict_value('mean', p) - (SELECT avg(y) FROM points)) < 1e-4, '(f) is their mean: what was validated is trained again on all')
FROM points p LIMIT 1;

-- (g) promotion compared scores of different random rows.
SELECT lives_ok($$SELECT * FROM automl_train('gated', 'points', 'y', algorithms => '{constant}', max_trials => 1, seed => 1)$$, '(g) a poor version');
SELECT lives_ok($$SELECT * FROM automl_train('gated', algorithms => '{linear}', max_trials => 2, seed => 2)$$, '(g) a good one, of another seed');
SELECT cmp_ok(abs(substring(d.reason FROM 'version 1 had (.*)')::float8 - o.score), '<', 1e-4::float8,
              '(g) the old version is scored on the same rows as before')
FROM pgml_auto.deployment d JOIN pgml_auto.version o USING (model)
WHERE d.model = 'gated' AND d.version = 2 AND o.version = 1;
SELECT results_eq($$SELECT version, deployed FROM automl_train('gated', algorithms => '{constant}', max_trials => 1, seed => 3)$$,
    $$VALUES (3, false)$$, '(g) a worse version is not deployed');
SELECT is(count(DISTINCT rows_test), 1::bigint, '(g) all have as many test rows') FROM pgml_auto.version WHERE model = 'gated';

-- (h) everything was float4: integers above 2^24 collided.
CREATE TABLE keys AS
SELECT i AS id, 16777216 + i % 8 AS small, 1099511627776 + i % 8 AS large, (ARRAY[5, 90, 20, 70, 1, 60, 33, 12])[i % 8 + 1] + i % 3 * 0.1 AS y
FROM generate_series(1, 400) i;
SELECT lives_ok(format($$SELECT * FROM automl_train('%1$s keys', 'keys', 'y', id_columns => '{id}', algorithms => '{gradient_boosting}',
    max_trials => 1, features => '{%1$s}')$$, size), format('(h) %s keys', size)) FROM unnest(ARRAY['small', 'large']) AS size;
SELECT cmp_ok(max(abs(predict_value('small keys', k) - y)), '<', 3::float8, '(h) integers above 2^24 are told apart') FROM keys k;
SELECT cmp_ok(max(abs(predict_value('large keys', k) - y)), '<', 3::float8, '(h) so are bigints above 2^40') FROM keys k;
SELECT cmp_ok(max(abs(predict_value('large keys', to_jsonb(k)) - predict_value('large keys', k))), '=', 0::float8, '(h) in JSON, too') FROM keys k;
CREATE TABLE huge (id bigint PRIMARY KEY, x int, y int);
INSERT INTO huge SELECT 9007199254740992 + i, (i * 7919) % 61, (i * 7919) % 61 FROM generate_series(1, 400) i;
SELECT lives_ok($$SELECT * FROM automl_train('huge', 'huge', 'y', algorithms => '{linear}', max_trials => 1)$$, '(h) keys above 2^53');
SELECT is(rows_test, 80::bigint, '(h) identify rows: the split has its exact share') FROM pgml_auto.version WHERE model = 'huge';

-- (i) an unseen category raised an error.
SELECT isnt(predict_value('points', jsonb_build_object('id', 1, 'x', 3, 'z', 2, 'kind', 'never seen')), NULL, '(i) an unseen category is predicted for');
SELECT isnt(predict('points', s), NULL, '(i) in a row, too') FROM (SELECT 1 AS id, 3 AS x, 2 AS z, 'never seen'::text AS kind) AS s;

-- (j) features were bound by their position.
SELECT is_empty(
    $$SELECT p.id FROM points p, LATERAL (SELECT p.kind, 'more' AS more, p.z, p.x, p.id) AS s WHERE predict('points', s) <> predict('points', p)$$,
    '(j) columns in another order, and more of them, make no difference');
SELECT throws_ok($$SELECT predict('points', s) FROM (SELECT 1 AS id, 3 AS x, 'k1' AS kinds) AS s$$, '42703', NULL, '(j) a missing column is an error');

-- (k) search_path, quotes and materialized views were ignored.
CREATE SCHEMA "Else Where";
CREATE MATERIALIZED VIEW "Else Where"."My Points" AS SELECT x, -y AS y FROM points;
SELECT lives_ok($$SELECT * FROM automl_train('quoted', '"Else Where"."My Points"', 'y', max_trials => 1)$$, '(k) a quoted materialized view');
SET LOCAL search_path = "Else Where", defects, public;
SELECT lives_ok($$SELECT * FROM automl_train('found', '"My Points"', 'y', max_trials => 1)$$, '(k) one found along search_path');
SET LOCAL search_path = defects, public;
SELECT is(count(*), 200::bigint, '(k) whose predictions are theirs') FROM points p WHERE abs(predict_value('quoted', p) + y) < 40;

-- (l) a cache only grew.
SET LOCAL pgml_auto.model_cache_size = '4kB';
SELECT lives_ok(format($$SELECT * FROM automl_train('many %s', 'steps', 'y', algorithms => '{constant}', max_trials => 1)$$, n), '(l) model ' || n)
FROM generate_series(1, 8) AS n;
SELECT is(count(predict('many ' || n, '{"x": 1}'::jsonb)), 8::bigint, '(l) predict with them all') FROM generate_series(1, 8) AS n;
SELECT cmp_ok(count(*), '<=', 3::bigint, '(l) few remain in memory') FROM pg_backend_memory_contexts WHERE name = 'pgml_auto model';
RESET pgml_auto.model_cache_size;

-- (n) who was to train needed INSERT on tables whose bytes the server later ran.
CREATE ROLE pgml_test_trainer;
GRANT USAGE ON SCHEMA defects TO pgml_test_trainer;
GRANT SELECT ON points TO pgml_test_trainer;
-- Runs a statement as the trainer: 'done' or the error.
CREATE FUNCTION as_trainer(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE pgml_test_trainer;
    EXECUTE statement;
    RESET ROLE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT is(as_trainer($$SELECT * FROM automl_train('own', 'points', 'y', max_trials => 1)$$), 'done', '(n) training needs SELECT on the data');
SELECT is(as_trainer($$SELECT predict('own', p) FROM points p$$), 'done', '(n) and gives a model');
SELECT is(as_trainer(statement), '42501 permission denied for table image_chunks', '(n) its bytes are out of reach: ' || statement)
FROM unnest(ARRAY['INSERT INTO pgml_auto.image_chunks VALUES (1, 9, ''x'')', 'UPDATE pgml_auto.image_chunks SET data = ''x''',
                  'DELETE FROM pgml_auto.image_chunks', 'SELECT * FROM pgml_auto.image_chunks', 'TRUNCATE pgml_auto.image_chunks']) AS statement;

-- (o) one-hot encoding dropped the category seen last, which depended on the order of rows.
CREATE TABLE kinds AS
SELECT 'k' || i % 5 AS kind, (ARRAY[0, 10, -20, 35, 70])[i % 5 + 1] + i % 3 * 0.01 AS y, i AS position FROM generate_series(1, 300) i;
SELECT lives_ok(format($$SELECT * FROM automl_train('kinds %1$s', 'SELECT kind, y, position FROM kinds ORDER BY position %1$s', 'y',
    id_columns => '{position}', algorithms => '{linear}', max_trials => 2)$$, direction), '(o) rows in order ' || direction) FROM unnest(ARRAY['ASC', 'DESC']) AS direction;
SELECT cmp_ok(max(abs(predict_value('kinds ASC', k) - y)), '<', 1::float8, '(o) every category has its effect') FROM kinds k;
SELECT is(count(DISTINCT image_crc), 1::bigint, '(o) and the order of rows has none')
FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name LIKE 'kinds %';

-- (p) a model was one value of at most 1 GB.
CREATE TABLE noise AS SELECT sin(i) AS a, cos(i * 3) AS b, sin(i * 5) AS c, sin(i * 7) * cos(i) AS y FROM generate_series(1, 8000) i;
SELECT lives_ok($$SELECT * FROM automl_train('big', 'noise', 'y', algorithms => '{gradient_boosting}', max_trials => 1,
    hyperparams => '{"n_estimators": 60, "num_leaves": 1000, "min_data_in_leaf": 1, "early_stopping_round": 0}')$$, '(p) a big model');
SELECT ok(count(*) > 1 AND max(octet_length(data)) <= 1024 * 1024 AND sum(octet_length(data)) = min(image_bytes),
          '(p) is stored in chunks of at most 1 MB')
FROM pgml_auto.image_chunks JOIN pgml_auto.versions USING (version_id) JOIN pgml_auto.models USING (model_id) WHERE name = 'big';
SELECT isnt(predict_value('big', n), NULL, '(p) and predicts') FROM noise n LIMIT 1;

SELECT * FROM finish();
ROLLBACK;
