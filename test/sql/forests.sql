-- Forests are tried when they are named; settings may be words; what is stored predicts.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE SCHEMA forests_test;
SET search_path = forests_test, public;
CREATE TABLE plants AS
SELECT i AS id, (i * 7919) % 97 AS light, nullif((i * 31) % 13, 5) AS water, (ARRAY['clay', 'sand', 'loam', 'peat'])[(i * 17) % 4 + 1] AS soil,
       (ARRAY['fern', 'moss', 'reed'])[CASE WHEN (i * 7919) % 97 < 40 THEN 1 WHEN (i * 17) % 4 < 2 THEN 2 ELSE 3 END] AS kind,
       (i * 7919) % 97 / 10.0 + CASE WHEN (i * 31) % 13 = 5 THEN 4 ELSE 0 END AS height
FROM generate_series(1, 500) i;
ALTER TABLE plants ADD PRIMARY KEY (id);

SELECT m.algorithm, t.algorithm AS chosen, t.score > 0.9 AS good, t.features
FROM unnest('{random_forest,extra_trees,decision_tree}'::text[]) m(algorithm),
LATERAL automl_train(m.algorithm, 'SELECT id, light, water, soil, kind FROM plants', 'kind', metric => 'accuracy', algorithms => ARRAY[m.algorithm],
                     max_trials => 1, id_columns => '{id}') t;
SELECT m.algorithm, t.algorithm AS chosen, t.score < t.baseline / 2 AS good
FROM unnest('{random_forest,extra_trees,decision_tree}'::text[]) m(algorithm),
LATERAL automl_train(m.algorithm || ' of numbers', 'SELECT id, light, water, soil, height FROM plants', 'height',
                     algorithms => ARRAY[m.algorithm], max_trials => 1, id_columns => '{id}') t;
SELECT predict('random_forest', p) = kind AS right, count(*) > 400 AS most FROM plants p GROUP BY 1 ORDER BY 2 DESC LIMIT 1;
SELECT bool_and(predict_value('extra_trees of numbers', p) BETWEEN 0 AND 14) FROM plants p;

-- Words as settings: stored as words, shown as words; other names and numbers as ever.
SELECT algorithm FROM automl_train('words', 'plants', 'kind', algorithms => '{random_forest}', max_trials => 1,
    hyperparams => '{"criterion": "entropy", "max_features": "log2", "class_weight": "balanced", "num_trees": 12, "bootstrap": false}');
SELECT algorithm, settings FROM automl_leaderboard('words') WHERE algorithm <> 'constant';
SELECT settings ->> 'criterion' AS criterion, settings ->> 'max_features' AS max_features, settings ->> 'class_weight' AS class_weight,
       settings ->> 'max_depth' AS max_depth
FROM pgml_auto.trial WHERE model = 'words' AND algorithm = 'random_forest';
\set VERBOSITY terse
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{random_forest}', hyperparams => '{"criterion": "ginny"}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{random_forest}', hyperparams => '{"criterion": 1}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{random_forest}', hyperparams => '{"max_features": "most"}');
SELECT 1 FROM automl_train('w', 'plants', 'kind', algorithms => '{gradient_boosting}', hyperparams => '{"criterion": "gini"}');
\set VERBOSITY default

-- The criterion for another kind of target is an error that says so.
SELECT algorithm FROM automl_train('w', 'plants', 'kind', algorithms => '{decision_tree}', hyperparams => '{"criterion": "squared_error"}', max_trials => 1);

-- Blocks of forests are larger, and every prediction is the one that its row gets by itself.
CREATE TABLE garden AS SELECT row_number() OVER () AS row, p.* FROM plants p, generate_series(1, 20);
ANALYZE garden;
DO $$
DECLARE plan text;
BEGIN
    FOR plan IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT predict(''random_forest'', g) FROM garden g' LOOP
        IF plan ~ 'Block' THEN RAISE WARNING '%', btrim(plan); END IF;
    END LOOP;
END $$;
SET pgml_auto.block_scoring = off;
CREATE TABLE singly AS SELECT row, predict_proba('random_forest', g, 'fern') AS p FROM garden g;
SET pgml_auto.block_scoring = on;
CREATE TABLE in_blocks AS SELECT row, predict_proba('random_forest', g, 'fern') AS p FROM garden g;
SELECT count(*), bool_and(s.p = b.p) AS same FROM singly s JOIN in_blocks b USING (row);

-- Nobody named them: nobody tries them.
SELECT count(*) FROM automl_train('all', 'plants', 'kind', max_trials => 2, hyperparams => '{"n_estimators": 5}');
SELECT DISTINCT algorithm FROM automl_leaderboard('all') ORDER BY 1;
SELECT DISTINCT algorithm, by_default FROM pgml_auto.learners ORDER BY 1;

-- The same seed gives the same bytes.
SELECT count(*) FROM unnest('{a,b}'::text[]) m(model),
LATERAL automl_train(m.model, 'plants', 'kind', algorithms => '{extra_trees}', max_trials => 1);
SELECT count(DISTINCT image_crc) FROM pgml_auto.versions JOIN pgml_auto.models USING (model_id) WHERE name IN ('a', 'b');

DROP SCHEMA forests_test CASCADE;
