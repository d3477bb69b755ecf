-- Support vector machines are tried when they are named; each kernel and solver; settings that contradict each other are told.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA svm_test;
SET search_path = svm_test, public;
CREATE TABLE plants AS
SELECT i AS id, (i * 7919) % 97 AS light, nullif((i * 31) % 13, 5) AS water, (ARRAY['clay', 'sand', 'loam', 'peat'])[(i * 17) % 4 + 1] AS soil,
       (ARRAY['fern', 'moss', 'reed'])[CASE WHEN (i * 7919) % 97 < 40 THEN 1 WHEN (i * 17) % 4 < 2 THEN 2 ELSE 3 END] AS kind,
       (i * 7919) % 97 < 60 AS shade, (i * 7919) % 97 / 10.0 + CASE WHEN (i * 31) % 13 = 5 THEN 4 ELSE 0 END AS height
FROM generate_series(1, 400) i;
ALTER TABLE plants ADD PRIMARY KEY (id);

SELECT m.model, t.algorithm, t.score > 0.9 AS good
FROM (VALUES ('rbf', '{}'), ('linear', '{"kernel": "linear"}'), ('approximate', '{"solver": "approximate", "n_components": 100}')) m(model, settings),
LATERAL automl_train(m.model, 'SELECT id, light, water, soil, kind FROM plants', 'kind', metric => 'accuracy', algorithms => '{svm}',
                     hyperparams => m.settings::jsonb, max_trials => 1, id_columns => '{id}') t;
SELECT t.algorithm, t.score > 0.95 AS good
FROM automl_train('shade', 'SELECT id, light, soil, shade FROM plants', 'shade', algorithms => '{svm}', max_trials => 1, id_columns => '{id}') t;
SELECT m.kernel, t.algorithm, t.score < t.baseline / 3 AS good
FROM unnest('{rbf,linear}'::text[]) m(kernel),
LATERAL automl_train('height ' || m.kernel, 'SELECT id, light, water, soil, height FROM plants', 'height', algorithms => '{svm}', max_trials => 1,
                     hyperparams => jsonb_build_object('kernel', m.kernel, 'C', 10), id_columns => '{id}') t;
SELECT predict('rbf', p) = kind AS right, count(*) > 350 AS most FROM plants p GROUP BY 1 ORDER BY 2 DESC LIMIT 1;
SELECT bool_and(abs(v.sum - 1) < 1e-9) AS adds_up
FROM plants p, LATERAL (SELECT sum(value::float8) FROM jsonb_each_text(predict_probs('rbf', p))) v;
-- In blocks and one by one.
SELECT count(*) AS different
FROM plants p JOIN predict_table('height rbf', 'SELECT id, light, water, soil FROM plants', 'id') t ON t.id = p.id::text
WHERE t.value <> predict_value('height rbf', p);
SELECT algorithm, settings FROM automl_leaderboard('approximate') WHERE algorithm <> 'constant';

-- The same seed gives the same bytes.
SELECT count(*) FROM unnest('{a,b}'::text[]) m(model),
LATERAL automl_train(m.model, 'plants', 'kind', algorithms => '{svm}', max_trials => 1);
SELECT count(DISTINCT image_crc) FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name IN ('a', 'b');

\set VERBOSITY terse
SELECT algorithm FROM automl_train('w', 'plants', 'kind', algorithms => '{svm}', hyperparams => '{"loss": "epsilon_insensitive"}', max_trials => 1);
SELECT algorithm, status, error FROM automl_leaderboard('w') WHERE algorithm = 'svm';
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{svm}', hyperparams => '{"kernel": "poly"}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{svm}', hyperparams => '{"gamma": "wide"}');
SELECT scale, bool_and(abs(e.total - predict_proba('rbf', p, e.explained_class)) < 1e-9) AS adds_up
FROM (SELECT * FROM plants ORDER BY id LIMIT 3) p, automl_explain('rbf', p) e GROUP BY scale;
\set VERBOSITY default

DROP SCHEMA svm_test CASCADE;
