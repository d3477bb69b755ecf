-- The linear learner's penalties and losses, and its coefficients, from which predictions can be made again.
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto SCHEMA public;
DROP SCHEMA IF EXISTS linear_test CASCADE;
CREATE SCHEMA linear_test;
SET search_path = linear_test, public;
SET client_min_messages = warning;
SET extra_float_digits = 1;

-- Numbers of few bits, so that single precision holds them; one is skewed, some are missing, one is large.
CREATE TABLE trips AS
SELECT i AS id, i * 37 % 50 * 0.5::float8 AS km, ((i * 53 % 40) ^ 3)::float8 AS load, CASE WHEN i % 11 > 0 THEN i * 29 % 17 END::float8 AS stops,
       (ARRAY['bus', 'car', 'train', NULL])[1 + i * i % 1009 % 4] AS by, i * 31 % 3 = 0 AS night, (100000000 + i * 17 % 97)::float8 AS code,
       date '2024-01-01' + i * 7 % 300 AS day
FROM generate_series(1, 600) AS i;
ALTER TABLE trips ADD price float8, ADD calls int, ADD late boolean, ADD class text;
UPDATE trips SET price = 10 + 3 * km + 2 * ln(1 + load) - COALESCE(stops, 20) + CASE by WHEN 'car' THEN 9 ELSE 0 END + id * id % 7,
    calls = floor(exp(km / 10 + (id % 5) / 10.0)), late = km + id * id % 13 > 20, class = (ARRAY['a', 'b', 'c'])[1 + (km::int + id * id % 11) / 13];

CREATE FUNCTION fit(model text, target text, settings text, folds int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT algorithm FROM automl_train(model, 'SELECT km, load, stops, by, night, code, day, ' || target || ' FROM trips', target, algorithms => '{linear}',
        hyperparams => settings::jsonb, max_trials => 1, time_budget => '0', options => jsonb_build_object('folds', folds))
$$;

-- A score is the sum of coefficients times terms.
CREATE FUNCTION parts(day date) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('days', day - date '1970-01-01', 'year', extract(year FROM day), 'month', extract(month FROM day), 'day', extract(day FROM day),
        'weekday', extract(isodow FROM day), 'day of year', extract(doy FROM day))
$$;
CREATE FUNCTION score(c record, number float8, word text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE cut float8 := least(greatest(number, c.low), c.high);
BEGIN
    RETURN c.coefficient * CASE c.term
        WHEN 'intercept' THEN 1
        WHEN 'value' THEN CASE WHEN word IS NULL THEN 0 ELSE cut END
        WHEN 'log' THEN CASE WHEN word IS NULL THEN 0 ELSE sign(cut - c.center) * ln(1 + abs(cut - c.center) / c.unit) END
        WHEN 'missing' THEN (word IS NULL)::int
        WHEN 'level' THEN (word IS NOT DISTINCT FROM c.level)::int
        WHEN 'other' THEN 0 END;
END $$;
CREATE FUNCTION scores(model text) RETURNS TABLE (id int, member int, weight float8, class text, score float8) LANGUAGE sql AS $$
    SELECT t.id, c.member, c.weight, c.class,
        sum(score(c, CASE WHEN c.column_name = 'by' THEN NULL WHEN c.column_name = 'night' THEN t.night::int
                          WHEN c.column_name = 'day' THEN (parts(t.day) ->> split_part(c.feature, ': ', 2))::float8
                          ELSE (to_jsonb(t) ->> c.column_name)::float8 END, to_jsonb(t) ->> c.column_name))
    FROM trips AS t, automl_coefficients(model) AS c GROUP BY t.id, c.member, c.weight, c.class
$$;

SELECT fit('ridge', 'price', '{"alpha": 0.5}'), fit('lasso', 'price', '{"penalty": "l1", "alpha": 30}'), fit('counts', 'calls', '{"objective": "poisson"}'),
       fit('late', 'late', '{"l1_ratio": 0.5, "alpha": 2}'), fit('class', 'class', '{"penalty": "l1", "alpha": 2}');

-- what there is to see
SELECT DISTINCT ON (column_name, feature, term, level) member, weight, link, class, column_name, feature, term, level, low IS NOT NULL AS cut, unit IS NOT NULL AS logged
FROM automl_coefficients('ridge') ORDER BY column_name, feature, term, level;
SELECT DISTINCT member, weight, link, class FROM automl_coefficients('counts@1') UNION ALL
SELECT DISTINCT member, weight, link, class FROM automl_coefficients('late') UNION ALL
SELECT DISTINCT member, weight, link, class FROM automl_coefficients('class') ORDER BY link, class, member;
SELECT count(*) FILTER (WHERE coefficient = 0) > 3 AS lasso_drops, (SELECT count(*) FROM automl_coefficients('ridge') WHERE coefficient = 0) AS ridge_drops
FROM automl_coefficients('lasso') WHERE term <> 'missing';

-- the formula is the prediction
SELECT m AS model, count(*) AS "rows", max(abs(s.score - predict_value(m, t)) / abs(predict_value(m, t))) < 1e-9 AS same
FROM unnest(ARRAY['ridge', 'lasso']) AS m, scores(m) AS s JOIN trips AS t USING (id) GROUP BY m ORDER BY m;
SELECT max(abs(exp(s.score) / predict_value('counts', t) - 1)) < 1e-9 AS same FROM scores('counts') AS s JOIN trips AS t USING (id);
SELECT max(abs(1 / (1 + exp(-s.score)) / predict_proba('late', t) - 1)) < 1e-9 AS same FROM scores('late') AS s JOIN trips AS t USING (id);
SELECT max(abs(p / predict_proba('class', t, s.class) - 1)) < 1e-9 AS same
FROM (SELECT id, class, exp(score) / sum(exp(score)) OVER (PARTITION BY id) AS p FROM scores('class')) AS s JOIN trips AS t USING (id);

-- several members: the weighted mean of their predictions
SELECT fit('five', 'calls', '{"objective": "poisson", "alpha": 0.5}', 5);
SELECT count(*) AS members, round(sum(weight)::numeric, 9) AS weights FROM (SELECT DISTINCT member, weight FROM automl_coefficients('five')) AS m;
SELECT max(abs(p / predict_value('five', t) - 1)) < 1e-9 AS same
FROM (SELECT id, sum(weight * exp(score)) AS p FROM scores('five') GROUP BY id) AS s JOIN trips AS t USING (id);

-- explanations of counts add up to the logarithm
SELECT DISTINCT e.scale, abs(e.total - ln(predict_value('counts', t))) < 1e-9 AS same FROM trips AS t, automl_explain('counts', t) AS e WHERE t.id <= 20;

-- a later training repeats the objective
SELECT version FROM automl_train('counts');
SELECT member, link FROM automl_coefficients('counts@2') WHERE term = 'intercept';

-- what has none, and what is not there
SELECT algorithm FROM automl_train('trees', 'SELECT km, price FROM trips', 'price', algorithms => '{gradient_boosting}', max_trials => 1, time_budget => '0');
SELECT * FROM automl_coefficients('trees');
SELECT * FROM automl_coefficients('ridge@7');
SELECT * FROM automl_coefficients(NULL);

-- settings that do not go together
SELECT fit('bad', 'price', '{"penalty": "l1", "l1_ratio": 0.5}');
SELECT fit('worse', 'late', '{"objective": "poisson"}');
SELECT fit('bad', 'price', '{"objective": "counts"}');

DROP SCHEMA linear_test CASCADE;
DROP EXTENSION pgml_auto CASCADE;
