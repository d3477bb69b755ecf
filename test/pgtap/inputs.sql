-- What a prediction reads from a row, from its JSON and from columns of other types than in training.
BEGIN;
SET LOCAL client_min_messages = error;
SELECT no_plan();
CREATE SCHEMA inputs;
SET LOCAL search_path = inputs, public;

CREATE FUNCTION learn(model text, data text) RETURNS int LANGUAGE sql AS $$
    SELECT version FROM automl_train(model, data, 'y', algorithms => '{gradient_boosting}', max_trials => 1, seed => 1,
                                     task => 'regression', hyperparams => '{"n_estimators": 30}')
$$;

-- ---- arrays ------------------------------------------------------------------------------------

SELECT throws_like($$SELECT learn('twice', 'SELECT ARRAY[i, i % 7] AS a, i % 5 AS "a[1]", i % 7 AS y FROM generate_series(1, 60) i')$$,
                   'column "a[1]" has the name of an element of array column "a"', 'a scalar cannot share the name of an element');
SELECT throws_ok($$SELECT learn('twice', 'SELECT i % 5 AS "a[7]", ARRAY[i, i % 7] AS a, i % 7 AS y FROM generate_series(1, 60) i')$$,
                 '42701', NULL, 'nor of one that no row has');
SELECT lives_ok($$SELECT learn('scalar', 'SELECT i % 5 AS "a[1]", i % 7 AS a, i % 7 AS y FROM generate_series(1, 60) i')$$,
                'beside a scalar it is a name like others');
CREATE TABLE arrays AS
SELECT CASE WHEN i % 6 = 0 THEN '{}' ELSE ARRAY[i % 11, i % 13] END AS v, ARRAY[[i % 5, i % 3], [i % 2, NULL]]::numeric[] AS grid, i % 11 + i % 5 AS y
FROM generate_series(1, 400) i;
SELECT is(learn('arrays', 'arrays'), 1, 'arrays are learnt from');
SELECT is(predict_value('arrays', s), predict_value('arrays', t), 'an empty array is missing, as in training')
FROM (SELECT '{}'::int[] AS v, ARRAY[[1, 2], [0, 1]] AS grid) s, (SELECT NULL::int[] AS v, ARRAY[[1, 2], [0, 1]] AS grid) t;
SELECT is(predict_value('arrays', '{"v": [], "grid": [[1, 2], [0, 1]]}'), predict_value('arrays', '{"v": null, "grid": [1, 2, 0, 1]}'),
          'in JSON too, and nested arrays are read as in rows');
SELECT is(count(*) FILTER (WHERE predict_value('arrays', t) IS DISTINCT FROM predict_value('arrays', to_jsonb(t))), 0::bigint, 'arrays are the same in JSON')
FROM arrays t;
SELECT throws_ok($$SELECT predict('arrays', '{"v": [1, 2, 3], "grid": null}')$$, '22000', 'array "v" has length 3, but model "arrays" was trained on length 2');
SELECT throws_ok($$SELECT predict('arrays', '{"v": [1, {"a": 2}], "grid": null}')$$, '22023', 'key "v" must hold an array of numbers');
SELECT throws_ok($$SELECT predict('arrays', s) FROM (SELECT ARRAY[1, 2] AS v, 3 AS "v[1]", ARRAY[[1, 2], [0, 1]] AS grid) s$$, '42702',
                 'column "v[1]" has the name of an element of array column "v"');
SELECT throws_ok($$SELECT predict('arrays', '{"v": [1, 2], "v[1]": 3, "grid": null}')$$, '42702', 'key "v[1]" has the name of an element of array "v"');

-- ---- json, "char", money ----------------------------------------------------------------------------

SELECT lives_ok($$SELECT learn('bad_json', 'SELECT (ARRAY[''"\ud800"'', ''"\u0000"'', ''"\udc00x"'', ''"\ud800\u0041"'', ''"b"'', ''"\t\b\f\r\/\\"'', ''1e999999''])[1 + i % 7]::json AS j, i % 5 AS z, i % 3 AS y FROM generate_series(1, 100) i')$$,
                'json escapes that mean no text do not stop a training');
SELECT is(predict_value('bad_json', a), predict_value('bad_json', b), 'they are missing')
FROM (SELECT '"\ud800"'::json AS j, 1 AS z) a, (SELECT NULL::json AS j, 1 AS z) b;

SELECT is(learn_bytes.version, 1, 'a target of type "char"')
FROM automl_train('bytes', $$SELECT i % 9 AS x, (CASE WHEN i % 9 > 4 THEN -56 ELSE 97 END)::"char" AS y FROM generate_series(1, 90) i$$, 'y', max_trials => 1) learn_bytes;
SELECT is(array(SELECT jsonb_object_keys(predict_probs('bytes', '{"x": 3}')) ORDER BY 1), ARRAY['\310', 'a'], 'bytes beyond ASCII are written as PostgreSQL 16 writes them');

SELECT is(learn('money', 'SELECT i * 100000000.05::money AS m, i % 7 AS z, i % 7 AS y FROM generate_series(-50, 50) i'), 1, 'money is learnt from');
SELECT is(description, 'money: number from -5000000002.5 to 5000000002.5', 'as a number') FROM automl_describe('money') WHERE item = 'm';

SELECT * FROM finish();
ROLLBACK;
