-- The life of a model: train, look, train again, deploy, roll back, drop, rename.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;

CREATE SCHEMA registry_test;
SET search_path = registry_test, public;
CREATE TABLE customers AS
SELECT i AS id, (i * 7919) % 61 + 18 AS age, (ARRAY['north', 'south', 'west'])[i % 3 + 1] AS region,
       (i * 7919) % 61 * 3 + i % 3 * 10 + (i * 31) % 17 AS spent
FROM generate_series(1, 400) i;
ALTER TABLE customers ADD PRIMARY KEY (id);

-- One row that says it all; the numbers are checked for sense, not for their digits (so no NOTICEs either).
SELECT model, version, deployed, task, metric, score < baseline / 3 AS good,
       score_low <= score AND score <= score_high AS inside, algorithm, trials, "rows",
       features, seconds >= 0 AS took_time
FROM automl_train('spend', 'customers', 'spent', algorithms => '{linear}', max_trials => 1);

SELECT part, item, description FROM automl_describe('spend') WHERE item IN ('name', 'predicts', 'id');
SELECT rank, version, trial, algorithm, status, chosen, error FROM automl_leaderboard('spend');

-- What each trial is worth and costs, and why the model is what it is; a fold that was not reached has no score.
SELECT trial, weight, image_bytes > 0 AS bytes, predict_us > 0 AS us, seconds >= 0 AS seconds, cardinality(fold_scores) AS folds,
       array_position(fold_scores, NULL) IS NULL AS all_scored
FROM automl_leaderboard('spend');
SELECT regexp_replace(why_chosen, '[0-9.]+(?= (in|%)|\)$)', 'N', 'g') AS why FROM pgml_auto.version;
SELECT algorithm FROM automl_train('unfit', 'customers', 'spent', algorithms => '{svm}', hyperparams => '{"loss": "hinge"}', max_trials => 1);
SELECT trial, status, weight, image_bytes > 0 AS bytes, predict_us > 0 AS us, CASE trial WHEN 2 THEN fold_scores END AS fold_scores
FROM automl_leaderboard('unfit');
SELECT regexp_replace(why_chosen, '[0-9.]+(?= in)', 'N') AS why FROM pgml_auto.version WHERE model = 'unfit';
SELECT automl_drop('unfit');
SELECT name, owner = current_user AS mine, task, target, metric, deployed, versions FROM pgml_auto.model;

-- The same seed gives the same bytes, another one does not.
SELECT version FROM automl_train('again', 'customers', 'spent', algorithms => '{linear}', max_trials => 1);
SELECT version FROM automl_train('other', 'customers', 'spent', algorithms => '{linear}', max_trials => 1, seed => 1);
SELECT count(*), count(DISTINCT image_crc) AS different FROM pgml_auto.versions;
SELECT automl_drop('again'), automl_drop('other');

-- Training again on the stored source, which is found whatever the search_path is now; equally good is good enough.
RESET search_path;
SELECT version, deployed, trials FROM automl_train('spend');
SELECT model, version, deployed, source, search_path, settings, seed FROM pgml_auto.version ORDER BY version;
SELECT part, count(*) >= 5 AS many FROM pgml_auto.metric WHERE model = 'spend' AND version = 1 GROUP BY part;
SET search_path = registry_test, public;

-- Settings stick until they are given again.
SELECT version, trials, metric FROM automl_train('spend', metric => 'mae');
SELECT settings FROM pgml_auto.version WHERE version = 3;

-- A worse version is stored but not deployed, and says how to deploy it all the same.
SELECT version, deployed FROM automl_train('spend', algorithms => '{constant}', metric => 'rmse');
SELECT name, deployed, versions FROM pgml_auto.model;
SET client_min_messages = notice;
SELECT automl_deploy('spend', 4), automl_deploy('spend', 4);
SET client_min_messages = warning;
SELECT automl_rollback('spend');
SELECT automl_deploy('spend@1'), automl_deploy('spend');
SELECT version, deployed_until IS NULL AS open, reason LIKE 'rmse%' AS by_score, deployed_by = current_user AS mine
FROM pgml_auto.deployment ORDER BY deployed_at;

-- Rolling back twice goes back two deployments, not forth again.
SELECT automl_rollback('spend');
SELECT automl_rollback('spend');

-- One version can go unless it is deployed.
SELECT automl_drop('spend@3');
SELECT version FROM pgml_auto.version ORDER BY version;
DO $$
BEGIN
    PERFORM automl_drop('spend@' || (SELECT deployed FROM pgml_auto.model WHERE name = 'spend'));
EXCEPTION WHEN object_in_use THEN
    RAISE WARNING 'in use: %', SQLERRM;
END $$;

-- Version numbers are never used twice.
SELECT automl_drop('spend@4');
SELECT version FROM automl_train('spend', algorithms => '{linear}');

-- Nothing is held out: nothing to compare with, so only a first version is deployed.
SELECT version, deployed FROM automl_train('all', 'customers', 'spent', algorithms => '{linear}', max_trials => 1, test_size => 0);
SELECT version, deployed FROM automl_train('all');

-- Everything is transactional.
BEGIN;
SELECT automl_rename('spend', 'leavers');
SELECT automl_deploy('leavers', 1);
SELECT name FROM pgml_auto.model ORDER BY name;
SAVEPOINT s;
SELECT automl_drop('leavers');
SELECT name FROM pgml_auto.model ORDER BY name;
ROLLBACK TO s;
SELECT name FROM pgml_auto.model ORDER BY name;
ROLLBACK;
SELECT name FROM pgml_auto.model ORDER BY name;

SELECT automl_rename('spend', 'leavers');
SELECT count(*) FROM automl_describe('spend');
SELECT count(*) > 5 AS described FROM automl_describe('leavers');
SELECT automl_rename('leavers', 'all');

-- Dropping leaves nothing but the audit.
SELECT automl_drop('leavers'), automl_drop('all');
SELECT (SELECT count(*) FROM pgml_auto.models) AS models, (SELECT count(*) FROM pgml_auto.versions) AS versions,
       (SELECT count(*) FROM pgml_auto.trials) AS trials, (SELECT count(*) FROM pgml_auto.metrics) AS metrics,
       (SELECT count(*) FROM pgml_auto.image_chunks) AS chunks, (SELECT count(*) FROM pgml_auto.deployed) AS deployed,
       (SELECT count(*) FROM pgml_auto.deployments) AS deployments;
SELECT action, model, version, details ->> 'algorithm' AS algorithm, details ->> 'rows_train' AS rows_train,
       regexp_replace(details ->> 'reason', '[0-9.]+', 'N', 'g') AS reason, details ->> 'old_name' AS old_name
FROM pgml_auto.audit_log ORDER BY at;

-- What may be set, from the table that checks it.
SELECT algorithm, by_default, setting, type, default_value, min, max, choices, other_names
FROM pgml_auto.learners WHERE algorithm IN ('constant', 'linear');
SELECT count(*) > 20 AS many, count(summary) = count(*) AS summaries, count(setting) = count(meaning) AS explained,
       bool_and(setting IS NOT NULL OR type IS NULL) AS one_row_without FROM pgml_auto.learners WHERE by_default;

DROP SCHEMA registry_test CASCADE;
