-- automl_plan: what a training would do, without doing it.  Seconds and bytes are checked for sense, not for their digits.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;

CREATE SCHEMA plan_test;
SET search_path = plan_test, public;
CREATE TABLE houses AS
SELECT i AS id, 40 + (i * 7919) % 120 AS area, (ARRAY['north', 'south', 'west'])[i % 3 + 1] AS region, 'code ' || md5(i::text) AS code,
       2 * (40 + (i * 7919) % 120) + i % 3 * 20 + (i * 31) % 17 AS price
FROM generate_series(1, 500) i;
ALTER TABLE houses ADD PRIMARY KEY (id);

-- A number of trials: nothing depends on the clock.
SELECT step, what, detail, memory_bytes > 0 AS memory
FROM automl_plan(data => 'houses', target => 'price', algorithms => '{linear,gradient_boosting,knn}', max_trials => 4)
WHERE step NOT IN ('speed', 'total');
SELECT step, what, seconds > 0 AS seconds, detail ~ '^[0-9.]+ milliseconds a tree on all training rows with one thread, now$' AS detail
FROM automl_plan(data => 'houses', target => 'price', algorithms => '{gradient_boosting}', max_trials => 1)
WHERE step IN ('speed', 'preparation', 'trial');

-- What it says is what is done.
CREATE TEMP TABLE plan AS
SELECT row_number() OVER () AS n, * FROM automl_plan('price', 'houses', 'price', max_trials => 5, test_size => 0.3);
SELECT count(*) FROM automl_train('price', 'houses', 'price', max_trials => 5, test_size => 0.3);
SELECT t.algorithm, t.algorithm = p.what AS planned, pgml_auto.settings_text(t.algorithm, t.settings) = p.detail AS same_settings
FROM (SELECT what, detail, row_number() OVER (ORDER BY n) AS trial FROM plan WHERE step = 'trial') p
FULL JOIN (SELECT * FROM pgml_auto.trial WHERE model = 'price' AND trial > 1) t ON t.trial = p.trial + 1
WHERE t.algorithm IN ('linear', 'extra_trees') ORDER BY t.trial;
SELECT v.rows_test || ' of ' || v.rows_total || ', chosen by chance, once for all versions' = p.detail AS test_rows
FROM pgml_auto.version v, plan p WHERE p.step = 'test rows';

-- An existing model: its stored source and settings, and the deployed version is scored too.
SELECT step, what, detail FROM automl_plan('price') WHERE step IN ('data', 'validation', 'test rows', 'evaluation');

-- With a budget all times are known and add up to it, and the plan takes a small part of it.
SELECT bool_and(seconds >= 0) AS sense, sum(seconds) FILTER (WHERE step <> 'total') BETWEEN 110 AND 125 AS the_budget,
       max(seconds) FILTER (WHERE step = 'total') BETWEEN 110 AND 125 AS total,
       sum(seconds) FILTER (WHERE step IN ('data', 'preparation')) < 20 AS cheap,
       count(*) FILTER (WHERE step = 'trial') > 10 AS many, count(*) FILTER (WHERE step = 'search') AS search
FROM automl_plan(data => 'houses', target => 'price', time_budget => '2 minutes');

-- History has its place, unless it is off, or contradicts what is asked for now.
SELECT count(*) FROM automl_train('warm', 'houses', 'price', algorithms => '{extra_trees}', max_trials => 1,
                                  hyperparams => '{"n_estimators": 10, "min_samples_leaf": 9}');
CREATE FUNCTION planned(options jsonb, hyperparams jsonb DEFAULT '{"n_estimators": 10}', search_space jsonb DEFAULT NULL,
                        max_trials integer DEFAULT 3, time_budget interval DEFAULT NULL)
RETURNS TABLE (what text, detail text) LANGUAGE sql AS $$
    SELECT p.what, p.detail FROM automl_plan('warm', algorithms => '{extra_trees,linear}', hyperparams => $2, options => $1, search_space => $3,
                                             max_trials => $4, time_budget => $5) p WHERE p.step IN ('trial', 'search') $$;
SELECT * FROM planned('{"warm_start": "own"}');
SELECT * FROM planned('{"warm_start": "off"}');
SELECT * FROM planned('{}');
SELECT * FROM planned('{}', time_budget => '1 hour') LIMIT 1;
SELECT * FROM planned('{"warm_start": "own"}', hyperparams => '{"n_estimators": 10, "min_samples_leaf": 4}');
SELECT * FROM planned('{"warm_start": "own"}', search_space => '{"min_samples_leaf": {"range": [5, 20]}}');
SELECT * FROM planned('{"warm_start": "own"}', search_space => '{"min_samples_leaf": [2, 3]}');
SELECT automl_drop('warm');
DROP FUNCTION planned;

-- Other ends: a named search, one trial, mode fast, classes with costs, by time, no test rows.
SELECT step, what, detail
FROM automl_plan(data => 'SELECT area, region, price > 200 AS dear FROM houses', target => 'dear', metric => 'f1', search => 'random',
                 max_trials => 7, algorithms => '{svm}', options => '{"folds": 3, "ensemble": 1}')
WHERE step NOT IN ('speed', 'preparation', 'total');
SELECT step, what, detail
FROM automl_plan(data => 'SELECT area, region, date ''2026-01-01'' + id AS sold, price > 200 AS dear FROM houses', target => 'dear',
                 time_column => 'sold', max_trials => 1, algorithms => '{naive_bayes}',
                 mode => 'fast', options => '{"cost_matrix": {"true": {"false": 5}}}')
WHERE step IN ('data', 'target', 'test rows', 'validation', 'trial', 'refit', 'decision', 'calibration', 'evaluation');
SELECT step, what, detail FROM automl_plan(data => 'houses', target => 'price', max_trials => 1, algorithms => '{linear}', test_size => 0)
WHERE step IN ('test rows', 'calibration', 'evaluation');

-- Nothing is written: a read-only transaction is enough, and SELECT on the source.
BEGIN READ ONLY;
SELECT count(*) > 10 AS rows FROM automl_plan('new', 'houses', 'price', max_trials => 2);
COMMIT;
SELECT count(*) AS models FROM pgml_auto.model;
CREATE ROLE regress_pgml_planner;
GRANT USAGE ON SCHEMA plan_test TO regress_pgml_planner;
SET ROLE regress_pgml_planner;
\set VERBOSITY terse
SELECT count(*) FROM automl_plan('new', 'houses', 'price', max_trials => 2);
SELECT count(*) FROM automl_plan('price', 'houses', 'price', max_trials => 2);
RESET ROLE;
GRANT SELECT ON houses TO regress_pgml_planner;
SET ROLE regress_pgml_planner;
SELECT count(*) > 10 AS rows FROM automl_plan('new', 'houses', 'price', max_trials => 2);
RESET ROLE;

-- The errors are those of automl_train, which also says what does not go together with a model.
\set VERBOSITY default
SELECT count(*) FROM automl_plan();
SELECT count(*) FROM automl_plan('none');
SELECT count(*) FROM automl_plan(data => 'houses', target => 'cost');
SELECT count(*) FROM automl_plan(data => 'houses', target => 'price', metric => 'roc_auc');
SELECT count(*) FROM automl_plan(data => 'houses', target => 'price', algorithms => '{magic}');
SELECT count(*) FROM automl_plan('price', 'houses', 'area');
SELECT count(*) FROM automl_plan(data => 'SELECT 1 AS a, NULL::int AS b', target => 'b');

DROP SCHEMA plan_test CASCADE;
DROP OWNED BY regress_pgml_planner;
DROP ROLE regress_pgml_planner;
