-- Nearest neighbours and naive Bayes are tried when they are named, and what is stored predicts.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA neighbours_test;
SET search_path = neighbours_test, public;
CREATE TABLE plants AS
SELECT i AS id, (i * 7919) % 97 AS light, nullif((i * 31) % 13, 5) AS water, (ARRAY['clay', 'sand', 'loam', 'peat'])[(i * 17) % 4 + 1] AS soil,
       (i * 7919) % 97 > 60 AS sunny,
       (ARRAY['fern', 'moss', 'reed'])[CASE WHEN (i * 7919) % 97 < 40 THEN 1 WHEN (i * 17) % 4 < 2 THEN 2 ELSE 3 END] AS kind,
       (i * 7919) % 97 / 10.0 + CASE WHEN (i * 31) % 13 = 5 THEN 4 ELSE 0 END AS height
FROM generate_series(1, 500) i;
ALTER TABLE plants ADD PRIMARY KEY (id);

SELECT m.algorithm, t.algorithm AS chosen, t.score > 0.8 AS good
FROM unnest('{knn,naive_bayes}'::text[]) m(algorithm),
LATERAL automl_train(m.algorithm, 'SELECT id, light, water, soil, sunny, kind FROM plants', 'kind', metric => 'accuracy', algorithms => ARRAY[m.algorithm],
                     max_trials => 1, id_columns => '{id}') t;
SELECT t.algorithm AS chosen, t.score < t.baseline / 2 AS good
FROM automl_train('heights', 'SELECT id, light, water, soil, height FROM plants', 'height', algorithms => '{knn}', max_trials => 1,
                  hyperparams => '{"k": 3, "weights": "distance", "metric": "manhattan"}', id_columns => '{id}') t;
SELECT settings FROM automl_leaderboard('heights') WHERE algorithm = 'knn';

-- In blocks, one by one and as JSON the same.
SELECT count(*) AS differ FROM plants p JOIN predict_table('knn', 'plants', 'id') t ON t.id = p.id::text
WHERE t.prediction IS DISTINCT FROM predict('knn', to_jsonb(p) - 'kind');
SELECT count(*) AS differ FROM plants p JOIN predict_table('naive_bayes', 'plants', 'id') t ON t.id = p.id::text
WHERE t.prediction IS DISTINCT FROM predict('naive_bayes', to_jsonb(p) - 'kind');
-- Missing values and levels that are new.
SELECT predict('knn', '{"light": null, "water": null, "soil": null, "sunny": null}'::jsonb) IS NOT NULL AS predicts,
       predict('naive_bayes', '{"light": 20, "water": null, "soil": "mars", "sunny": false}'::jsonb) AS kind;

-- Naive Bayes can be explained; neighbours cannot.
SELECT count(*) FROM (SELECT (automl_explain('naive_bayes', p)).* FROM plants p WHERE id = 1) e;
\set VERBOSITY terse
SELECT count(*) FROM (SELECT (automl_explain('knn', p)).* FROM plants p WHERE id = 1) e;

-- Settings that cannot be.
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{knn}', hyperparams => '{"n_neighbors": 0}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{knn}', hyperparams => '{"metric": "cosine"}');
\set VERBOSITY default

-- The same seed gives the same bytes.
SELECT count(*) FROM unnest('{a,b}'::text[]) m(model),
LATERAL automl_train(m.model, 'plants', 'kind', algorithms => '{knn,naive_bayes}', max_trials => 2);
SELECT count(DISTINCT image_crc) FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name IN ('a', 'b');

DROP SCHEMA neighbours_test CASCADE;
