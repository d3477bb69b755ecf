-- Neural networks are tried when they are named; the same seed gives the same bytes; what is stored predicts alone and in blocks.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA mlp_test;
SET search_path = mlp_test, public;
CREATE TABLE plants AS
SELECT i AS id, (i * 7919) % 97 AS light, nullif((i * 31) % 13, 5) AS water, (ARRAY['clay', 'sand', 'loam', 'peat'])[(i * 17) % 4 + 1] AS soil,
       'plot ' || i % 12 AS plot,
       (ARRAY['fern', 'moss', 'reed'])[CASE WHEN (i * 7919) % 97 < 40 THEN 1 WHEN (i * 17) % 4 < 2 THEN 2 ELSE 3 END] AS kind,
       (i * 7919) % 97 / 10.0 + CASE WHEN (i * 31) % 13 = 5 THEN 4 ELSE 0 END AS height
FROM generate_series(1, 500) i;
ALTER TABLE plants ADD PRIMARY KEY (id);

SELECT t.algorithm, t.score > 0.9 AS good, t.features
FROM automl_train('kinds', 'SELECT id, light, water, soil, plot, kind FROM plants', 'kind', metric => 'accuracy', algorithms => '{mlp}',
                  max_trials => 1, id_columns => '{id}', hyperparams => '{"max_iter": 40, "hidden_width": 48}') t;
SELECT t.algorithm, t.score < t.baseline / 2 AS good
FROM automl_train('heights', 'SELECT id, light, water, soil, plot, height FROM plants', 'height', algorithms => '{mlp}', max_trials => 1,
                  id_columns => '{id}', hyperparams => '{"n_epochs": 40, "hidden_size": 48}') t;
SELECT predict('kinds', p) = kind AS right, count(*) > 400 AS most FROM plants p GROUP BY 1 ORDER BY 2 DESC LIMIT 1;
SELECT bool_and(predict_value('heights', p) BETWEEN 0 AND 14) FROM plants p;

-- A row alone and all rows together.
SELECT count(*) FROM plants p
WHERE predict_value('heights', p) <> predict_value('heights', (SELECT q FROM plants q WHERE q.id = p.id));

-- Words as settings, and what is wrong with them.
SELECT settings ->> 'activation' AS activation, settings ->> 'learning_rate' AS learning_rate, settings ->> 'hidden_width' AS hidden_width
FROM pgml_auto.trial WHERE model = 'kinds' AND algorithm = 'mlp';
\set VERBOSITY terse
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{mlp}', hyperparams => '{"activation": "sine"}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{mlp}', hyperparams => '{"hidden_layers": 0}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{mlp}', hyperparams => '{"hidden_layer": 2}');
\set VERBOSITY default

-- The same seed gives the same bytes.
SELECT count(*) FROM unnest('{a,b}'::text[]) m(model),
LATERAL automl_train(m.model, 'plants', 'kind', algorithms => '{mlp}', max_trials => 1, hyperparams => '{"max_iter": 5, "hidden_width": 20}');
SELECT count(DISTINCT image_crc) FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name IN ('a', 'b');

DROP SCHEMA mlp_test CASCADE;
