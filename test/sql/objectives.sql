-- Losses besides squared error, weights of classes: what hyperparams choose is trained, told, and repeated.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS objectives_test CASCADE;
CREATE SCHEMA objectives_test;
SET search_path = objectives_test, public;
SET client_min_messages = warning;
CREATE TABLE deliveries AS
SELECT i AS id, i * 37 % 50 AS km, round(10 + i * 37 % 50 * 2 + (i * i % 10007 % 100) ^ 2 / 100) AS minutes,
       i * 37 % 50 + i * i % 10007 % 100 > 130 AS late
FROM generate_series(1, 2000) AS i;

-- a quantile is above its share of the targets; in one row and in blocks
SELECT version FROM automl_train('at_most', 'deliveries', 'minutes', metric => 'mae', exclude => '{late}',
    algorithms => '{gradient_boosting}', hyperparams => '{"objective": "quantile", "alpha": 0.8}', max_trials => 1, time_budget => '0');
SELECT round(avg((minutes <= predict_value('at_most@1', d))::int), 1) FROM deliveries AS d;
SELECT round(avg((d.minutes <= p.value)::int), 1) FROM predict_table('at_most@1', 'deliveries', 'id') AS p JOIN deliveries AS d ON d.id = p.id::int;

-- a later training repeats it, unless told otherwise
SELECT version FROM automl_train('at_most');
SELECT round(avg((minutes <= predict_value('at_most@2', d))::int), 1) FROM deliveries AS d;
SELECT version FROM automl_train('at_most', hyperparams => '{"objective": "absolute"}');
SELECT round(avg((minutes <= predict_value('at_most@3', d))::int), 1) FROM deliveries AS d;

-- the metric follows what is predicted, is the same for the baseline, and repeats; pinball without a quantile is an error
SELECT metric, score < baseline AS better FROM automl_train('at_most_minutes', 'SELECT km, minutes FROM deliveries', 'minutes', algorithms => '{gradient_boosting}',
    hyperparams => '{"objective": "quantile", "alpha": 0.8}', max_trials => 1, time_budget => '0');
SELECT metric FROM automl_train('at_most_minutes');
SELECT metric FROM automl_train('at_most_minutes', hyperparams => '{"objective": "absolute"}');
SELECT metric FROM automl_train('at_most_minutes', metric => 'pinball');
SELECT automl_train('bad', 'SELECT km, minutes FROM deliveries', 'minutes', metric => 'pinball');

-- logarithms are undone
SELECT version FROM automl_train('counts', 'deliveries', 'minutes', exclude => '{late}', algorithms => '{gradient_boosting}',
    hyperparams => '{"objective": "poisson", "grow_policy": "depthwise", "max_depth": 4}', max_trials => 1, time_budget => '0');
SELECT round((avg(predict_value('counts@1', d)) / avg(minutes))::numeric, 1) AS ratio, min(predict_value('counts@1', d)) > 0 AS positive FROM deliveries AS d;

-- what cannot be learned is told
SELECT version FROM automl_train('bad', 'SELECT km, minutes - 30 AS minutes FROM deliveries', 'minutes', algorithms => '{gradient_boosting}',
    hyperparams => '{"objective": "poisson"}', max_trials => 1, time_budget => '0');
SELECT automl_train('bad_late', 'SELECT km, minutes, late FROM deliveries', 'late', algorithms => '{gradient_boosting}',
    hyperparams => '{"objective": "huber"}', max_trials => 1, time_budget => '0');

-- losses of classes fit classes; softmax of two classes is the logistic loss
CREATE VIEW classes AS SELECT km, late, (ARRAY['near', 'middle', 'far'])[1 + km / 17] AS zone, minutes FROM deliveries;
CREATE FUNCTION by(model text, target text, objective text, algorithm text) RETURNS float8
LANGUAGE sql AS $$
    SELECT score FROM automl_train(model, 'SELECT km, minutes, ' || target || ' FROM classes', target, algorithms => ARRAY[algorithm],
        hyperparams => jsonb_build_object('objective', objective, 'n_estimators', 20), max_trials => 1, time_budget => '0')
$$;
SELECT a AS algorithm, by(a || 2, 'late', 'auto', a) = by(a || 3, 'late', 'logistic', a) AS logistic, by(a || 2, 'late', 'auto', a) = by(a || 4, 'late', 'softmax', a) AS softmax,
       by(a || 5, 'zone', 'auto', a) = by(a || 6, 'zone', 'softmax', a) AS three
FROM unnest('{gradient_boosting, oblivious_boosting}'::text[]) AS a;
SELECT by('bad_zone', 'zone', 'logistic', 'gradient_boosting');
SELECT by('bad_zone', 'zone', 'logistic', 'oblivious_boosting');
SELECT by('bad_zone', 'zone', 'squared', 'oblivious_boosting');
SELECT automl_train('bad', 'SELECT km, minutes FROM classes', 'minutes', hyperparams => '{"objective": "logistic"}');
SELECT automl_train('bad', 'SELECT km, minutes FROM classes', 'minutes', hyperparams => '{"loss": "softmax"}');
SELECT algorithm, choices FROM pgml_auto.learners WHERE setting = 'objective' ORDER BY algorithm;
SELECT automl_train('bad', 'deliveries', 'minutes', hyperparams => '{"objective": "poison"}');

-- weights of classes raise the probability of the rare one
SELECT version FROM automl_train('late', 'SELECT km, late FROM deliveries', 'late', algorithms => '{gradient_boosting}', max_trials => 1, time_budget => '0');
SELECT version FROM automl_train('late_balanced', 'SELECT km, late FROM deliveries', 'late', algorithms => '{gradient_boosting}',
    hyperparams => '{"class_weight": "balanced"}', max_trials => 1, time_budget => '0');
SELECT avg(predict_proba('late@1', d)) < 0.15 AS as_it_is, avg(predict_proba('late_balanced@1', d)) > 0.3 AS balanced FROM deliveries AS d;

DROP SCHEMA objectives_test CASCADE;
DROP EXTENSION pgml_auto CASCADE;
