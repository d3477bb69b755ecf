-- Searches for settings: what is refused, and that what is asked for is what is tried.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA search_test;
SET search_path = search_test, public;
CREATE TABLE t AS SELECT i AS id, (i * 7919) % 61 AS x, (i * 104729) % 97 AS z, i % 4 AS g, (i * 7919) % 61 * 2 + (i * 104729) % 97 + i % 5 AS y
FROM generate_series(1, 400) i;

-- How a call ends: 'accepted', or the error with its hint.
CREATE FUNCTION refusal(arguments text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE code text; message text; hint text;
BEGIN
    EXECUTE 'SELECT * FROM automl_train(''m'', ''t'', ''y'', algorithms => ''{gradient_boosting}'', max_trials => 1, ' || arguments || ')';
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ' ' || message || E'\n    ' || hint;
END $f$;
\pset format unaligned
\pset tuples_only on

-- strategies
SELECT refusal($a$search => 'best'$a$);
SELECT refusal($a$search => 'grid'$a$);
SELECT refusal($a$search => 'nas'$a$);
-- what search_space is made of
SELECT refusal($a$search_space => '[1]'$a$);
SELECT refusal($a$search_space => '{"num_leaves": 31}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": []}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": [[1], 2]}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": [null]}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {}}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {"range": [2]}}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {"range": [2, "31"]}}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {"range": [2, 31], "step": 2}}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {"range": [2, 31], "n": 1}}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": {"range": [2, 31], "log": 1}}'$a$);
SELECT refusal($a$search_space => '{"boosting": {"num_leaves": [2, 31]}}'$a$);
-- what it may say
SELECT refusal($a$search_space => '{"num_leafs": [15, 31]}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": [15, 1]}'$a$);
SELECT refusal($a$search_space => '{"num_leaves": [15, 1e999]}'$a$);
SELECT refusal($a$search_space => '{"learning_rate": {"range": [0.1, 2]}}'$a$);
SELECT refusal($a$search_space => '{"learning_rate": {"range": [0.2, 0.1]}}'$a$);
SELECT refusal($a$search_space => '{"lambda_l2": {"range": [0, 1], "log": true}}'$a$);
SELECT refusal($a$search_space => '{"objective": ["squared", "cubed"]}'$a$);
SELECT refusal($a$search_space => '{"objective": {"range": [0, 1]}}'$a$);
SELECT refusal($a$search_space => '{"mlp": {"dropout": [0.1]}}'$a$);
SELECT refusal($a$search_space => '{"learning_rate": [0.1], "eta": [0.2]}'$a$);
SELECT refusal($a$search_space => '{"learning_rate": [0.1, 0.2]}', hyperparams => '{"eta": 0.1}'$a$);
SELECT refusal($a$search => 'grid', search_space => '{"learning_rate": {"range": [0.1, 0.2]}}'$a$);
SELECT refusal($a$search => 'grid', search_space => '{"learning_rate": {"range": [0.1, 0.2], "n": 20}, "num_leaves": {"range": [2, 31]}}'$a$);
SELECT count(*) FROM pgml_auto.model;

-- A grid is tried exactly, the constant besides.
CREATE FUNCTION try(arguments text) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM automl_drop(name) FROM pgml_auto.model;
    EXECUTE 'SELECT * FROM automl_train(''m'', ''t'', ''y'', exclude => ''{id}'', options => ''{"folds": 3}'', ' || arguments || ')';
END $f$;
SELECT try($a$algorithms => '{gradient_boosting}', search => 'grid', hyperparams => '{"n_estimators": 20}', time_budget => '0',
    search_space => '{"num_leaves": [31, 4], "learning_rate": {"range": [0.05, 0.2], "n": 3}, "extra_trees": [true, false]}'$a$);
SELECT settings->>'num_leaves', settings->>'learning_rate', settings->>'extra_trees', settings->>'n_estimators', status
FROM pgml_auto.trial WHERE algorithm = 'gradient_boosting' ORDER BY trial;
-- Settings that depend on others; lists for one algorithm; one that was named and has no list.
SELECT try($a$algorithms => '{svm, knn, linear}', search => 'grid', time_budget => '0',
    search_space => '{"kernel": ["linear", "rbf"], "svm": {"gamma": [0.1, 1], "C": [1]}, "n_neighbors": {"range": [3, 5]}}'$a$);
SELECT algorithm, settings->>'kernel', CASE WHEN settings->>'kernel' = 'rbf' THEN settings->>'gamma' END, settings->>'n_neighbors'
FROM pgml_auto.trial WHERE algorithm <> 'constant' ORDER BY trial;
-- One that is cut says so.
SET client_min_messages = warning;
SELECT try($a$algorithms => '{knn}', search => 'grid', max_trials => 2, search_space => '{"n_neighbors": [3, 5, 7]}'$a$);
SELECT settings->>'n_neighbors' FROM pgml_auto.trial WHERE algorithm = 'knn' ORDER BY trial;

-- Lists and ranges hold for every strategy; without a name search_space is searched at once, without the portfolio.
CREATE TABLE tried (search text, trial integer, rate float8, leaves integer, rounds integer);
DO $$
DECLARE s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['auto', 'random', 'bayes', 'halving'] LOOP
        PERFORM try(format($a$algorithms => '{gradient_boosting}', search => %L, hyperparams => '{"n_estimators": 20}', max_trials => 9,
            search_space => '{"learning_rate": {"range": [0.05, 0.2]}, "num_leaves": [4, 8]}'$a$, s));
        INSERT INTO tried SELECT s, trial, (settings->>'learning_rate')::float8, (settings->>'num_leaves')::integer, (settings->>'n_estimators')::integer
        FROM pgml_auto.trial WHERE algorithm = 'gradient_boosting' AND status = 'ok';
    END LOOP;
END $$;
SELECT search, count(*), count(DISTINCT (rate, leaves)), min(rate) >= 0.05 AND max(rate) <= 0.2, array_agg(DISTINCT leaves), min(rounds), max(rounds)
FROM tried GROUP BY search ORDER BY search;
-- auto is bayes here, and the same seed gives the same trials.
SELECT count(*) FROM tried a JOIN tried b USING (trial, rate, leaves) WHERE a.search = 'auto' AND b.search = 'bayes';

-- Architectures: few epochs for many, more for the best.
SELECT try($a$algorithms => '{mlp}', search => 'nas', hyperparams => '{"max_iter": 24}', max_trials => 4, search_space => '{"hidden_width": [8, 16]}'$a$);
SELECT (settings->>'max_iter')::integer AS epochs, count(*), count(DISTINCT settings - 'max_iter') FROM pgml_auto.trial WHERE algorithm = 'mlp'
GROUP BY epochs ORDER BY epochs;

-- The search is remembered for the next version, and taken back.
SELECT try($a$algorithms => '{knn}', search => 'random', max_trials => 3, search_space => '{"n_neighbors": [3, 5, 7]}'$a$);
SELECT version FROM automl_train('m');
SELECT version FROM automl_train('m', search => '', search_space => '{}');
SELECT version, settings->>'search', settings->'search_space' FROM pgml_auto.version ORDER BY version;
SELECT version, count(*), count(*) FILTER (WHERE (settings->>'n_neighbors')::integer IN (3, 5, 7)) FROM pgml_auto.trial WHERE algorithm = 'knn'
GROUP BY version ORDER BY version;

DROP EXTENSION pgml_auto CASCADE;
DROP SCHEMA search_test CASCADE;
