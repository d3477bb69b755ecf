-- automl_reproduce: what a training has executed, executed again.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;

CREATE SCHEMA reproduce_test;
SET search_path = reproduce_test, public;
CREATE TABLE houses AS
SELECT i AS id, 40 + (i * 7919) % 120 AS area, (ARRAY['north', 'south', 'west'])[i % 3 + 1] AS region, (i * 37) % 11 AS rooms, i % 7 AS noise,
       2 * (40 + (i * 7919) % 120) + i % 3 * 20 + (i * 31) % 17 AS price
FROM generate_series(1, 600) i;
ALTER TABLE houses ADD PRIMARY KEY (id);

-- A budget that is over soon, so that the clock decides; the rules of the split are made by the first version and kept by the second.
SELECT version FROM automl_train('price', 'houses', 'price', exclude => '{noise}', time_budget => '1 s');
SELECT version FROM automl_train('price', time_budget => '0.3 s', seed => 5);
SELECT version FROM automl_train('price', max_trials => 4, mode => 'fast', algorithms => '{linear,knn,extra_trees,mlp}', hyperparams => '{"epochs": 5}');
SELECT model, version, identical, reason, rows, bytes = image_bytes AS bytes, sha256 = sha256_now AS same_hash, seconds > 0 AS seconds
FROM generate_series(1, 3) n, automl_reproduce('price@' || n) JOIN pgml_auto.version v USING (model, version) ORDER BY version;
-- Without a version the deployed one.
SELECT r.version = m.deployed AS deployed, identical, sha256 = encode(sha256(data), 'hex') AS sha256
FROM automl_reproduce('price') r, pgml_auto.model m, pgml_auto.versions v JOIN pgml_auto.image_chunks USING (version_id)
WHERE m.name = 'price' AND v.version = m.deployed AND chunk = 0;

-- Classes, stacked, with other numbers of threads; by group and by time.
CREATE TABLE people AS
SELECT i AS id, (i * 7919) % 61 + 18 AS age, (i * 104729) % 50021 / 50021.0 AS income, (ARRAY['a', 'b', 'c', 'd'])[(i * 31) % 4 + 1] AS town,
       i / 4 AS family, date '2026-01-01' + i / 20 AS joined,
       (i * 7919) % 61 / 60.0 + (i * 104729) % 50021 / 50021.0 + (i::bigint * 15485863) % 997 / 997.0 > 1.5 AS buys
FROM generate_series(1, 2400) i;
SET pgml_auto.max_threads = 1;
SELECT version FROM automl_train('buys', 'people', 'buys', id_columns => '{id}', max_trials => 5, options => '{"folds": 3}',
                                 algorithms => '{linear,gradient_boosting,extra_trees,oblivious_boosting}', hyperparams => '{"n_estimators": 20}');
SELECT version FROM automl_train('family', 'people', 'buys', group_column => 'family', max_trials => 2, algorithms => '{gradient_boosting,naive_bayes}');
SELECT version FROM automl_train('joined', 'people', 'buys', time_column => 'joined', max_trials => 2, algorithms => '{gradient_boosting,naive_bayes}');
SET pgml_auto.max_threads = 2;
SELECT r.*, execution -> 'stacked' AS stacked
FROM unnest('{buys,family,joined}'::text[]) name, LATERAL (SELECT model, identical, reason FROM automl_reproduce(name)) r, pgml_auto.models m JOIN pgml_auto.versions USING (model_id)
WHERE m.name = r.model ORDER BY r.model;
RESET pgml_auto.max_threads;
-- Rows that came later, which make rules for later test rows: the first version has not seen them, the second has.
INSERT INTO people SELECT id + 2400, age, income, town, family + 600, joined + 200, buys FROM people WHERE id <= 400;
SELECT version FROM automl_train('joined');
SELECT version, identical, reason FROM generate_series(1, 2) n, automl_reproduce('joined@' || n);
DELETE FROM people WHERE id > 2400;
SELECT version, identical, reason FROM generate_series(1, 2) n, automl_reproduce('joined@' || n);

-- Where rows lie does not matter, nor what was not used; what else is different is said.
UPDATE houses SET noise = noise + 1 WHERE id % 2 = 0;
SELECT identical, reason FROM automl_reproduce('price@1');
UPDATE houses SET rooms = 12 WHERE id = 77;
SELECT identical, reason, sha256 IS NOT NULL AS sha256, sha256_now FROM automl_reproduce('price@1');
UPDATE houses SET rooms = (77 * 37) % 11 WHERE id = 77;
SELECT identical, reason FROM automl_reproduce('price@1');
DELETE FROM houses WHERE id = 77;
SELECT identical, reason, rows FROM automl_reproduce('price@1');
INSERT INTO houses SELECT 77, 40 + (77 * 7919) % 120, (ARRAY['north', 'south', 'west'])[77 % 3 + 1], (77 * 37) % 11, 0, 2 * (40 + (77 * 7919) % 120) + 77 % 3 * 20 + (77 * 31) % 17;
SELECT identical, reason FROM automl_reproduce('price@1');
ALTER TABLE houses RENAME region TO area_code;
SELECT identical, reason FROM automl_reproduce('price@1');
-- A column that was not there then is not looked at.
ALTER TABLE houses RENAME area_code TO region;
ALTER TABLE houses ADD cellar boolean;
SELECT identical, reason FROM automl_reproduce('price@1');

-- In a table without a key all columns tell rows apart, but none that was not there then.  Data of which nothing can be made is other data.
CREATE TABLE keyless AS SELECT area, region, price FROM houses;
SELECT version FROM automl_train('keyless', 'keyless', 'price', max_trials => 1, algorithms => '{linear}');
ALTER TABLE keyless ADD cellar boolean;
SELECT identical, reason FROM automl_reproduce('keyless');
ALTER TABLE keyless ALTER region TYPE varchar(20);
SELECT identical, reason FROM automl_reproduce('keyless');
TRUNCATE keyless;
SELECT identical, reason FROM automl_reproduce('keyless');

-- A version of a release that stored nothing, and one that was tampered with.
UPDATE pgml_auto.versions SET execution = NULL WHERE version = 2 AND model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'price');
SELECT identical, regexp_replace(reason, '\d+\.\d+\.\d+', '...') AS reason, rows FROM automl_reproduce('price@2');
UPDATE pgml_auto.versions SET execution = jsonb_set(execution, '{trials,0,weight}', '0.5') WHERE version = 3 AND model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'price');
SELECT identical, reason FROM automl_reproduce('price@3');
DO $$
DECLARE
    broken jsonb;
BEGIN
    FOREACH broken IN ARRAY ARRAY['{}', '[]', '{"rows": -1}', '{"rows": 600, "prepared": "xyz"}']::jsonb[]
    LOOP
        UPDATE pgml_auto.versions SET execution = broken WHERE version = 1 AND model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'price');
        BEGIN
            PERFORM automl_reproduce('price@1');
            RAISE WARNING 'no error for %', broken;
        EXCEPTION WHEN data_corrupted THEN
            RAISE WARNING '%: %', SQLSTATE, SQLERRM;
        END;
    END LOOP;
    UPDATE pgml_auto.versions SET execution = jsonb_set(execution, '{trials,0,params}', (execution #> '{trials,0,params}') || '{"alpha": -7, "learning_rate": 1e300}')
    WHERE model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'family');
    PERFORM automl_reproduce('family');
EXCEPTION WHEN data_corrupted THEN
    RAISE WARNING '%: settings that no learner takes', SQLSTATE;
END
$$;

-- Whatever is damaged, it is said, and nothing is repeated.
DO $$
DECLARE
    whole jsonb;
    path  text;
    value text;
BEGIN
    SELECT execution INTO whole FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name = 'joined' AND version = 1;
    FOR path, value IN
        SELECT p, v FROM unnest('{rows,prepared,columns,"columns,0","columns,1",cpu,blas,folds,max_bin,stacked,max_columns,trials,"trials,0","trials,0,trial",
                                 "trials,0,algorithm","trials,0,params","trials,0,given","trials,0,weight","trials,0,stack","trials,0,members",
                                 "trials,0,max_payload","trials,0,memory_ended","trials,0,notes_lost","trials,0,fits","trials,0,fits,0",
                                 "trials,0,refitted","trials,0,refit_max_payload","trials,0,refit"}'::text[]) p, unnest('{"null",-1,"\"x\""}'::text[]) v
        WHERE (p NOT IN ('cpu', 'blas', 'columns,0') OR v <> '"x"') AND (p <> 'trials,0,stack' OR v <> '-1')
        UNION ALL
        VALUES ('split', '"x"'), ('split', '[]'), ('split', '{}'), ('split', '-1'), ('trials', '[]'), ('columns', '["id"]'), ('columns', '[]'), ('folds', '0'), ('folds', '11'), ('max_bin', '1'),
               ('max_bin', '1e9'), ('rows', '1e300'), ('trials,0,weight', '0'), ('trials,0,fits', '[]'), ('trials,0,fits,0', '[1]'), ('trials,0,fits,0', '[1, 2, 3]'),
               ('trials,0,fits,0', '[2, 1, 1, 1]'), ('trials,0,fits,0', '[1, 0.5]'), ('trials,0,fits,0', '[1e300, 1]'), ('trials,0,fits,0', '[1, -1e300]'),
               ('trials,0,fits,0', '[1, "x"]'), ('trials,0,given', '[1]')
    LOOP
        UPDATE pgml_auto.versions SET execution = jsonb_set(whole, ('{' || path || '}')::text[], value::jsonb)
        WHERE version = 1 AND model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'joined');
        BEGIN
            PERFORM automl_reproduce('joined@1');
            RAISE WARNING 'no error for % at %', value, path;
        EXCEPTION
            WHEN data_corrupted THEN NULL;
            WHEN OTHERS THEN RAISE WARNING '% at %: % %', value, path, SQLSTATE, SQLERRM;
        END;
    END LOOP;
    UPDATE pgml_auto.versions SET execution = whole WHERE version = 1 AND model_id = (SELECT model_id FROM pgml_auto.models WHERE name = 'joined');
END
$$;
SELECT identical FROM automl_reproduce('joined@1');

-- The stored model may be what is damaged.
BEGIN;
UPDATE pgml_auto.image_chunks c SET data = set_byte(data, 500, 255 - get_byte(data, 500))
FROM pgml_auto.versions v JOIN pgml_auto.models USING (model_id) WHERE v.version_id = c.version_id AND name = 'joined' AND version = 1;
SELECT identical, reason FROM automl_reproduce('joined@1');
ROLLBACK;

-- Read-only transactions can do it; who may not train the model may not.
BEGIN READ ONLY;
SELECT identical FROM automl_reproduce('buys');
COMMIT;
CREATE ROLE regress_pgml_repeater;
GRANT USAGE ON SCHEMA reproduce_test TO regress_pgml_repeater;
SELECT automl_grant('buys', 'regress_pgml_repeater', 'predict');
SET ROLE regress_pgml_repeater;
\set VERBOSITY terse
SELECT identical FROM automl_reproduce('buys');
RESET ROLE;
SELECT automl_grant('buys', 'regress_pgml_repeater', 'manage');
SET ROLE regress_pgml_repeater;
SET client_min_messages = notice;
SELECT identical FROM automl_reproduce('buys');
SET client_min_messages = warning;
RESET ROLE;
\set VERBOSITY default

SELECT * FROM automl_reproduce(NULL);
\set VERBOSITY terse
SELECT * FROM automl_reproduce('none');
\set VERBOSITY default
SELECT * FROM automl_reproduce('buys@7');
SELECT * FROM automl_reproduce('buys@x');
DROP TABLE people;
SELECT * FROM automl_reproduce('buys');

DROP SCHEMA reproduce_test CASCADE;
DROP OWNED BY regress_pgml_repeater;
DROP ROLE regress_pgml_repeater;
