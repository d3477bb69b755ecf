-- What automl_train and its relatives refuse: SQLSTATE, message, hint; and the registry stays as it was.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA train_errors_test;
SET search_path = train_errors_test, public;
CREATE TABLE t AS SELECT i AS id, (i * 7919) % 61 AS x, i % 4 AS g, (i * 7919) % 61 * 2 + i % 5 AS y,
    CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS c, now() + i * interval '1 day' AS at
FROM generate_series(1, 100) i;

-- How a call ends: 'accepted', or the error with its hint (texts of the core are tested there: here only their SQLSTATE).
-- Catching it also shows that training cleans up after itself.
CREATE FUNCTION refusal(call text, texts boolean DEFAULT true) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE code text; message text; hint text;
BEGIN
    EXECUTE 'SELECT * FROM ' || call;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    IF NOT texts THEN
        RETURN code;
    END IF;
    RETURN code || ' ' || message || E'\n    ' || hint;
END $f$;
\pset format unaligned
\pset tuples_only on

-- names
SELECT refusal($call$automl_train(NULL, 't', 'y')$call$);
SELECT refusal($call$automl_train('', 't', 'y')$call$);
SELECT refusal($call$automl_train('a@b', 't', 'y')$call$);
SELECT refusal($call$automl_train(repeat('x', 64), 't', 'y')$call$);
SELECT refusal($call$automl_train('nothing')$call$);

-- sources
SELECT refusal($call$automl_train('m', 'no_such_table', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT * FROM no_such_table', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT 1 / (id - 50) AS z, y FROM t', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'DELETE FROM t', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT * FROM t; SELECT 1', 'y')$call$, false);
SELECT refusal($call$automl_train('m', '', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d', 'y')$call$, false);
CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM t RETURNING 1';
SELECT refusal($call$automl_train('m', 'SELECT *, writes() FROM t', 'y')$call$, false);
SELECT count(*) FROM t;

-- columns
SELECT refusal($call$automl_train('m', 't')$call$);
SELECT refusal($call$automl_train('m', 't', NULL)$call$);
SELECT refusal($call$automl_train('m', 't', 'z')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', features => '{x,z}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', features => '{x,y}')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'y', features => ARRAY['x', NULL])$call$);
SELECT refusal($call$automl_train('m', 't', 'y', exclude => '{z}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', id_columns => '{z}')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'y', time_column => 'z')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', group_column => 'z')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', weight_column => 'z')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', weight_column => 'c')$call$, false);

-- settings
SELECT refusal($call$automl_train('m', 't', 'y', task => 'guess')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', task => 'clustering')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', metric => 'goodness')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', task => 'regression', metric => 'roc_auc')$call$);
SELECT refusal($call$automl_train('m', 't', 'c', metric => 'rmse')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'c', positive_class => 'q')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'c', task => 'regression')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'y', test_size => 1)$call$);
SELECT refusal($call$automl_train('m', 't', 'y', test_size => -0.1)$call$);
SELECT refusal($call$automl_train('m', 't', 'y', test_size => 'NaN')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', time_budget => '-1 s')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', max_trials => 0)$call$);
SELECT refusal($call$automl_train('m', 't', 'y', algorithms => '{perceptron}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', hyperparams => '{"num_leafs": 3}')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'y', hyperparams => '{"num_leaves": "many"}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', hyperparams => '{"num_leaves": [3]}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', hyperparams => '{"num_leaves": 1e9}')$call$, false);
SELECT refusal($call$automl_train('m', 't', 'y', hyperparams => '[1]')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"fold": 3}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"folds": 2.5}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"refit": 0}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', mode => 'slow')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', max_predict_us => 0)$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"cost_matrix": 3}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"cost_matrix": {"a": 3}}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '{"cost_matrix": {"a": {"b": 1e400}}}')$call$);
SELECT refusal($call$automl_train('m', 't', 'y', options => '3')$call$);

-- data
SELECT refusal($call$automl_train('m', 'SELECT * FROM t WHERE false', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT * FROM t LIMIT 1', 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT x, NULL::int AS y FROM t', 'y')$call$, false);
SELECT refusal($call$automl_train('m', $$SELECT x, 'a' AS y FROM t$$, 'y')$call$, false);
SELECT refusal($call$automl_train('m', $$SELECT x, CASE id WHEN 7 THEN 'infinity'::float8 ELSE y END AS y FROM t$$, 'y')$call$, false);
SELECT refusal($call$automl_train('m', 'SELECT y FROM t', 'y')$call$, false);

-- places where nothing can be stored
BEGIN READ ONLY;
SELECT refusal($call$automl_train('m', 't', 'y')$call$);
ROLLBACK;
BEGIN READ ONLY;
SELECT refusal($call$automl_drop('m')$call$);
ROLLBACK;

-- versions of a model share what their scores and predictions mean
SELECT model, version FROM automl_train('m', 't', 'c', max_trials => 1);
SELECT refusal($call$automl_train('m', 't', 'y')$call$);
SELECT refusal($call$automl_train('m', task => 'regression')$call$);
SELECT refusal($call$automl_train('m', positive_class => 'a')$call$);
SELECT refusal($call$automl_train('m', test_size => 0.5)$call$);
SELECT refusal($call$automl_train('m', time_column => 'at')$call$, false);
SELECT refusal($call$automl_train('m9', 'SELECT x FROM t', 'c')$call$);
SELECT refusal($call$automl_train('m', 'SELECT x, c FROM t')$call$);

-- administration
SELECT refusal($call$automl_deploy(NULL)$call$);
SELECT refusal($call$automl_deploy('m', 0)$call$);
SELECT refusal($call$automl_deploy('m', 7)$call$);
SELECT refusal($call$automl_deploy('m@1', 2)$call$);
SELECT refusal($call$automl_deploy('m@one')$call$);
SELECT refusal($call$automl_deploy('nothing')$call$);
SELECT refusal($call$automl_rollback('m')$call$);
SELECT refusal($call$automl_rename('m', 'a@b')$call$);
SELECT refusal($call$automl_rename('m', 'm')$call$);
SELECT refusal($call$automl_describe(NULL)$call$);
SELECT refusal($call$automl_leaderboard('m@2')$call$);

-- the one training that succeeded is all there is
SELECT model, version FROM pgml_auto.version ORDER BY version;
SELECT action, model, version FROM pgml_auto.audit_log ORDER BY at;

-- A damaged image answers no prediction, and does not prevent a new version.
CREATE TEMP TABLE kept AS SELECT * FROM pgml_auto.image_chunks;
UPDATE pgml_auto.image_chunks SET data = substr(data, 2);
SELECT refusal($call$predict('m', NULL::t)$call$, false), refusal($call$predict('m', (SELECT t FROM t LIMIT 1))$call$, false);
UPDATE pgml_auto.image_chunks SET data = 'x'::bytea || data;
SELECT refusal($call$predict('m', (SELECT t FROM t LIMIT 1))$call$, false);
DELETE FROM pgml_auto.image_chunks;
SELECT refusal($call$predict('m@1', (SELECT t FROM t LIMIT 1))$call$, false);
SELECT version, deployed FROM automl_train('m');
INSERT INTO pgml_auto.image_chunks SELECT * FROM kept;
SELECT refusal($call$predict('m', (SELECT t FROM t LIMIT 1))$call$, false);

DROP SCHEMA train_errors_test CASCADE;
