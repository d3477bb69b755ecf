-- Monotone and interaction constraints: predictions keep to them, trials show them, later trainings repeat them; errors name the column.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS constraints_test CASCADE;
CREATE SCHEMA constraints_test;
SET search_path = constraints_test, public;
SET client_min_messages = notice;
-- rent rises with the area and falls with the distance, under noise that a free model learns
CREATE TABLE flats AS
SELECT i AS id, 20 + i * 37 % 100 AS area, (i * 61 % 200) / 10.0 AS distance, (ARRAY['old', 'new', 'listed'])[1 + i * 7 % 3] AS built,
       date '2020-01-01' + i * 13 % 900 AS listed_on, i % 4 = 0 AS balcony,
       300 + 8 * (20 + i * 37 % 100) - 20 * (i * 61 % 200) / 10.0 + (i * i % 10007 % 600) AS rent
FROM generate_series(1, 1500) AS i;

-- how often a prediction goes the wrong way when a column grows by one
CREATE FUNCTION wrong(model text, OUT by_area bigint, OUT by_distance bigint) AS $$
    WITH at AS (
        SELECT f.id, g, predict_value(model, ROW(f.id, 20 + g, f.distance, f.built, f.listed_on, f.balcony, f.rent)::flats) AS by_area,
               predict_value(model, ROW(f.id, f.area, g / 5.0, f.built, f.listed_on, f.balcony, f.rent)::flats) AS by_distance
        FROM flats AS f, generate_series(-5, 105) AS g WHERE f.id <= 40),
    steps AS (SELECT by_area - lag(by_area) OVER w AS by_area, by_distance - lag(by_distance) OVER w AS by_distance
              FROM at WINDOW w AS (PARTITION BY id ORDER BY g))
    SELECT count(*) FILTER (WHERE by_area < 0), count(*) FILTER (WHERE by_distance > 0) FROM steps
$$ LANGUAGE sql;

SET client_min_messages = warning;
SELECT version FROM automl_train('free', 'flats', 'rent', exclude => '{id}', algorithms => '{gradient_boosting}', max_trials => 1);
SELECT by_area > 100 AS area_breaks, by_distance > 100 AS distance_breaks FROM wrong('free@1');
SET client_min_messages = notice;
SELECT version, algorithm FROM automl_train('rent', 'flats', 'rent', exclude => '{id}', max_trials => 1,
    hyperparams => '{"monotone_constraints": {"area": 1, "distance": "decreasing", "balcony": 0}}');
SELECT * FROM wrong('rent@1');

-- repeated by the next training; shown with the trial
SET client_min_messages = warning;
SELECT version FROM automl_train('rent');
SELECT * FROM wrong('rent@2');
SELECT trial, algorithm, substring(settings FROM 'monotone_constraints.*') AS constraints FROM automl_leaderboard('rent@2') ORDER BY trial;

-- with a loss whose leaf values are medians, by other names, and with groups
SELECT version FROM automl_train('rent', hyperparams => '{"objective": "absolute", "monotonic_cst": {"area": "increasing", "distance": -1},
    "interaction_cst": [["area", "built"], ["listed_on", "balcony"]]}');
SELECT * FROM wrong('rent@3');
SELECT substring(settings FROM 'monotone_constraints.*') AS constraints FROM automl_leaderboard('rent@3') WHERE trial = 2;
SELECT t.settings -> 'monotone_constraints' AS monotone, t.settings -> 'interaction_constraints' AS interactions
FROM pgml_auto.trials AS t WHERE t.trial = 2 AND t.settings ? 'interaction_constraints';
-- no interactions: what one column adds does not depend on another
SELECT version FROM automl_train('alone', 'flats', 'rent', exclude => '{id}', max_trials => 1, hyperparams => '{"interaction_constraints": "no_interactions"}');
SELECT count(DISTINCT round((predict_value('alone@1', ROW(0, 100, f.distance, f.built, f.listed_on, f.balcony, 0)::flats)
                             - predict_value('alone@1', ROW(0, 50, f.distance, f.built, f.listed_on, f.balcony, 0)::flats))::numeric, 6)) AS differences
FROM flats AS f;
-- of two classes, the probability of the positive one
SELECT version FROM automl_train('dear', 'SELECT area, distance, built, rent > 900 AS dear FROM flats', 'dear', max_trials => 1,
    hyperparams => '{"monotone_constraints": {"area": 1}}');
SELECT count(*) FROM (SELECT p < lag(p) OVER (PARTITION BY id ORDER BY g) AS falls
    FROM (SELECT id, g, predict_proba('dear@1', jsonb_build_object('area', g, 'distance', distance, 'built', built)) AS p
          FROM flats, generate_series(10, 130, 2) AS g WHERE id <= 40) AS at) AS steps WHERE falls;
-- nothing constrained
SELECT algorithm FROM automl_train('free', max_trials => 1, hyperparams => '{"monotone_constraints": {}}');
-- what is named is kept, however much it looks like an identifier
SELECT features FROM automl_train('kept', 'SELECT id, id % 7 AS day, id + id * 37 % 100 AS y FROM flats', 'y', max_trials => 1,
    hyperparams => '{"monotone_constraints": {"id": 1}}');
SET client_min_messages = notice;
-- what is not used cannot break anything
SELECT version FROM automl_train('unused', 'SELECT area, 1 AS floors, rent FROM flats', 'rent', max_trials => 1,
    hyperparams => '{"monotone_constraints": {"floors": 1}}');

-- errors
SET client_min_messages = error;
\set VERBOSITY sqlstate
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"surface": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"area": 2}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"built": 1}}');
SELECT automl_train('bad', 'flats', 'rent', algorithms => '{linear}', hyperparams => '{"monotone_constraints": {"area": 1}}');
\set VERBOSITY default
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"surface": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"interaction_constraints": [["area", "surface"]]}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"area": 2}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"area": "up"}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"area": null}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": [1, -1]}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"built": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"listed_on": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"rent": 1}}');
SELECT automl_train('bad', 'flats', 'rent', exclude => '{area}', hyperparams => '{"monotone_constraints": {"area": 1}}');
SELECT automl_train('bad', 'flats', 'built', hyperparams => '{"monotone_constraints": {"area": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"monotone_constraints": {"area": 1}, "monotonic_cst": {"area": -1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"interaction_constraints": ["area", "distance"]}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"interaction_constraints": [["area", 1]]}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"interaction_constraints": "pairwise"}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"interaction_constraints": []}');
SELECT automl_train('bad', 'flats', 'rent', group_column => 'built', hyperparams => '{"interaction_constraints": [["area", "built"]]}');
SELECT automl_train('bad', 'flats', 'rent', algorithms => '{linear, gradient_boosting}', hyperparams => '{"monotone_constraints": {"area": 1}}');
SELECT automl_train('bad', 'flats', 'rent', algorithms => '{-gradient_boosting}', hyperparams => '{"monotone_constraints": {"area": 1}}');
SELECT automl_train('bad', 'flats', 'rent', hyperparams => '{"num_leaves": {"area": 1}}');

SET client_min_messages = error;
DROP SCHEMA constraints_test CASCADE;
DROP EXTENSION pgml_auto CASCADE;
