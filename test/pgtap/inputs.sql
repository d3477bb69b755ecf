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
SELECT is(predict_value('arrays', '{"v": "[1,2]", "grid": null}'), predict_value('arrays', '{"v": [1, 2], "grid": null}'), 'pgvector writes arrays as text');
SELECT throws_ok($$SELECT predict('arrays', '{"v": "[1,2", "grid": null}')$$, '22023', 'key "v" must hold an array of numbers');
SELECT throws_ok($$SELECT predict('arrays', '{"v": 1, "grid": null}')$$, '22023', 'key "v" must hold an array of numbers');
SELECT throws_ok($$SELECT predict('arrays', s) FROM (SELECT ARRAY[1, 2] AS v, 3 AS "v[1]", ARRAY[[1, 2], [0, 1]] AS grid) s$$, '42702',
                 'column "v[1]" has the name of an element of array column "v"');
SELECT throws_ok($$SELECT predict('arrays', '{"v": [1, 2], "v[1]": 3, "grid": null}')$$, '42702', 'key "v[1]" has the name of an element of array "v"');
SELECT is(string_agg(format('%s=%s', column_name, value), ' ' ORDER BY column_name), 'grid[1]=1 grid[2]=2 grid[3]=0 v[1]=1 v[2]=2', 'explanations show elements')
FROM automl_explain('arrays', '{"v": "[1,2]", "grid": [[1, 2], [0, null]]}') WHERE value IS NOT NULL;
SELECT is((SELECT string_agg(format('%s=%s', column_name, value), ' ' ORDER BY column_name) FROM automl_explain('arrays', t)),
          (SELECT string_agg(format('%s=%s', column_name, value), ' ' ORDER BY column_name) FROM automl_explain('arrays', to_jsonb(t))), 'of rows as of JSON')
FROM arrays t LIMIT 1;

-- ---- dates, times, time zones ----------------------------------------------------------------------------

CREATE TABLE moments AS
SELECT (timestamp '2024-01-01' + i * interval '37 minutes') AS ts, (timestamp '2024-01-01' + i * interval '37 minutes')::timestamptz AS tz,
       date '2024-01-01' + i % 300 AS d, extract(hour FROM timestamp '2024-01-01' + i * interval '37 minutes') AS y
FROM generate_series(1, 2000) i;
SELECT is(learn('ts', 'SELECT ts AS at, y FROM moments') + learn('tz', 'SELECT tz AS at, y FROM moments')
          + learn('d', 'SELECT d AS at, extract(day FROM d) AS y FROM moments'), 3, 'models of moments');
CREATE DOMAIN moment AS timestamptz;
SELECT is(learn('domain', 'SELECT tz::moment AS at, y FROM moments'), 1, 'and of a domain over them');

CREATE TABLE asked AS SELECT (timestamp '2024-01-20' + i * interval '61 minutes') AS ts FROM generate_series(1, 40) i;
CREATE FUNCTION differ(model text, type text, wanted text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT predict_value(%1$L, a) IS DISTINCT FROM predict_value(%1$L, b) AS differs
                                          FROM asked, LATERAL (SELECT ts::%2$s AS at) a, LATERAL (SELECT ts::%2$s::%3$s AS at) b) s WHERE differs',
                   model, type, wanted) INTO n;
    RETURN n;
END $$;
SELECT is(set_config('timezone', 'America/New_York', true), 'America/New_York');
SELECT is(differ(m, t, wanted), 0::bigint, format('%s is cast to the %s of training', t, wanted))
FROM (VALUES ('ts', 'timestamp'), ('tz', 'timestamptz'), ('d', 'date'), ('domain', 'timestamptz')) m (m, wanted),
     (VALUES ('date'), ('timestamp'), ('timestamptz'), ('text')) t (t);
SELECT isnt(predict_value('tz', a), predict_value('tz', b), 'the time zone matters')
FROM (SELECT timestamp '2024-01-20 12:00' AS at) a, (SELECT timestamptz '2024-01-20 12:00+00' AS at) b;
SELECT is(predict_value('tz', '{"at": "2024-01-20T12:00:00"}'), predict_value('tz', s), 'text without a zone is of the session''s')
FROM (SELECT timestamptz '2024-01-20 12:00' AS at) s;

SELECT is(set_config('datestyle', 'ISO, DMY', true), 'ISO, DMY');
SELECT is(predict_value('d', '{"at": "04/03/2024"}'), predict_value('d', s), 'day first, by DateStyle') FROM (SELECT date '2024-03-04' AS at) s;
SELECT is(predict_value('d', a), predict_value('d', s), 'in rows too') FROM (SELECT date '2024-03-04' AS at) s, (SELECT '04/03/2024'::char(12) AS at) a;
SELECT is(set_config('datestyle', 'ISO, MDY', true), 'ISO, MDY');
SELECT is(predict_value('d', '{"at": "03/04/2024"}'), predict_value('d', s), 'month first, by DateStyle') FROM (SELECT date '2024-03-04' AS at) s;
SELECT is(predict_value('d', '{"at": " N/A "}'), predict_value('d', '{"at": null}'), 'markers of missing are missing');
SELECT throws_ok($$SELECT predict('d', '{"at": "23/04/2024"}')$$, '22008', 'column "at" needs a date, not "23/04/2024"');
SELECT throws_ok($$SELECT predict('d', '{"at": "soon"}')$$, '22007', 'column "at" needs a date, not "soon"');
SELECT throws_ok($$SELECT predict('d', '{"at": 5}')$$, '22000', 'column "at" needs a date, not a number');
SELECT throws_ok($$SELECT predict('tz', s) FROM (SELECT date '294277-01-01' AS at) s$$, '22008', NULL, 'a date beyond the timestamps');

-- ---- JSON of a row is the row ----------------------------------------------------------------------------

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE everything AS
SELECT i, i % 3 = 0 AS a_bool, (i % 7)::int2 AS a_int2, (i % 11) * 1000000000000 AS a_int8, (i % 13)::float4 / 10 AS a_float4,
    (ARRAY['NaN', 'Infinity', '-Infinity', '1.5', '2.5e10', '-3']::float8[])[1 + i % 6] AS a_float8,
    (ARRAY['NaN', 'Infinity', '-Infinity', '1.50', '1e30', '-3']::numeric[])[1 + i % 6] AS a_numeric,
    (ARRAY['red', 'Green ', '', 'n/a', 'é', '"'])[1 + i % 6] AS a_text, (ARRAY['one', 'two'])[1 + i % 2]::char(5) AS a_char, (ARRAY['a', 'b', ''])[1 + i % 3]::"char" AS a_byte,
    ('n' || i % 4)::name AS a_name, (ARRAY['sad', 'ok', 'happy']::mood[])[1 + i % 3] AS an_enum, md5((i % 3)::text)::uuid AS a_uuid,
    ('10.0.0.' || i % 3)::inet AS an_inet, (i % 4)::bit(2) AS a_bit, 12345.67::money * (i % 9 - 4) AS a_money,
    (ARRAY['2024-03-09', '0044-03-15 BC', 'infinity', '-infinity', '2023-12-01', '5000000-01-01']::date[])[1 + i % 6] AS a_date,
    (ARRAY['2024-03-09 10:11:12.345678', '0044-03-15 12:00 BC', 'infinity', '-infinity', '2023-12-01', '1850-07-04']::timestamp[])[1 + i % 6] AS a_timestamp,
    (ARRAY['2024-03-09 10:11:12.345678+05', '0044-03-15 12:00+00 BC', 'infinity', '-infinity', '2023-07-01 00:00+00', '1850-07-04 00:00+00']::timestamptz[])[1 + i % 6] AS a_timestamptz,
    (timestamptz '2020-01-01 00:00+00' + i * interval '100 hours')::moment AS a_moment,
    (ARRAY['00:00', '24:00', '10:11:12.5']::time[])[1 + i % 3] AS a_time, (ARRAY['00:00+00', '23:00-07', '10:11:12.5+05:30']::timetz[])[1 + i % 3] AS a_timetz,
    (ARRAY['0', '1 year 2 mons', '-1 year -2 mons +3 days -04:05:06.7', '3 days 100:00', '-00:00:00.5', '-2 days']::interval[])[1 + i % 6] AS an_interval,
    (ARRAY['1.50', '"a"', 'true', 'null', '{"k": 1}', '[1, 2]']::jsonb[])[1 + i % 6] AS a_jsonb,
    (ARRAY['1.50', '1.5e1', '"a\u0041\n\ud83d\ude00"', 'null', ' {"k": 1}', '-0']::json[])[1 + i % 6] AS a_json,
    (ARRAY['1.50', '2.5', '2.50', '7e2']::jsonb[])[1 + i % 4] AS a_jsonb_number,
    CASE i % 6 WHEN 1 THEN '{}' WHEN 2 THEN NULL ELSE ARRAY[i % 4, 'NaN', 'Infinity', NULL]::float8[] END AS a_float_array,
    ARRAY[12.5, i % 3]::money[] AS a_money_array, i % 17 AS y
FROM generate_series(1, 600) i;
SELECT is(learn('everything', 'everything'), 1, 'a model of all types');

-- One model per column, so that no column hides behind another.
CREATE FUNCTION learn_each() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    name name;
    n int := 0;
BEGIN
    FOR name IN SELECT attname FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0 AND attname LIKE 'a%' LOOP
        PERFORM learn(name, format('SELECT %1$I, row_number() OVER (PARTITION BY i %% 5 ORDER BY i) %% 4 AS other, (dense_rank() OVER (ORDER BY %1$I::text)) * 7 %% 11 AS y FROM everything', name));
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;
SELECT cmp_ok(learn_each(), '>', 25, 'and one of each');
CREATE FUNCTION json_differs() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    model text;
    differs text;
    all_of_them text := '';
BEGIN
    FOR model IN SELECT 'everything' UNION ALL SELECT attname FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attnum > 0 AND attname LIKE 'a%' LOOP
        BEGIN
            EXECUTE format('SELECT string_agg(DISTINCT %2$s, '' '') FROM (SELECT e.*, i %% 4 AS other FROM everything e WHERE i <= 60) t
                            WHERE predict_value(%1$L, t) IS DISTINCT FROM predict_value(%1$L, to_jsonb(t)) OR predict_value(%1$L, t) IS DISTINCT FROM predict_value(%1$L, row_to_json(t)::text)',
                           model, CASE model WHEN 'everything' THEN quote_literal('all') ELSE format('coalesce(%I::text, ''NULL'')', model) END) INTO differs;
        EXCEPTION WHEN data_exception OR invalid_parameter_value THEN
            differs := SQLERRM;
        END;
        all_of_them := all_of_them || CASE WHEN differs IS NULL THEN '' ELSE format('%s: %s; ', model, differs) END;
    END LOOP;
    RETURN all_of_them;
END $$;
CREATE FUNCTION json_differs(interval_style text, date_style text, zone text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('intervalstyle', interval_style, true), set_config('datestyle', date_style, true), set_config('timezone', zone, true);
    RETURN json_differs();
END $$;
SELECT is(json_differs(i, d, z), '', format('rows and their JSON agree: %s, %s, %s', i, d, z))
FROM (VALUES ('postgres', 'ISO, MDY', 'UTC'), ('sql_standard', 'SQL, DMY', 'Asia/Kolkata'), ('iso_8601', 'German', 'America/St_Johns'),
             ('postgres_verbose', 'Postgres, YMD', 'Australia/Lord_Howe')) v (i, d, z);
SELECT throws_ok($$SELECT predict('a_text', '{"a_text": {"k": 1}, "other": 1}')$$, '22023', 'key "a_text" holds an object or array where the model needs a single value');
SELECT throws_ok($$SELECT predict('an_interval', '{"an_interval": "long", "other": 1}')$$, '22007', 'column "an_interval" needs an interval, not "long"');
SELECT throws_ok($$SELECT predict('a_time', '{"a_time": "26:00", "other": 1}')$$, '22008', 'column "a_time" needs a time, not "26:00"');
SELECT throws_ok($$SELECT predict('a_money', '{"a_money": "much", "other": 1}')$$, '22P02', 'column "a_money" needs a number, not "much"');
SELECT throws_ok($$SELECT predict('a_float4', '{"a_float4": "infinitely", "other": 1}')$$, '22000', 'column "a_float4" needs a number, not "infinitely"');

-- ---- json, "char", money ----------------------------------------------------------------------------

SELECT is(count(*) FILTER (WHERE predict('everything', row_to_json(t)) <> predict('everything', t) OR predict_value('everything', row_to_json(t)) <> predict_value('everything', t)),
          0::bigint, 'json is taken as jsonb is') FROM everything t WHERE i < 50;
SELECT is(learn_class.version, 1, 'a model of classes')
FROM automl_train('class', $$SELECT i % 9 AS x, CASE WHEN i % 9 > 4 THEN 'yes' ELSE 'no' END AS y FROM generate_series(1, 90) i$$, 'y', max_trials => 1) learn_class;
SELECT is(predict_proba('class', '{"x": 3}'::json), predict_proba('class', '{"x": 3}'), 'predict_proba of json');
SELECT is(predict_proba('class', '{"x": 3}'::json, 'no'), predict_proba('class', '{"x": 3}', 'no'), 'of a class');
SELECT is(predict_probs('class', '{"x": 3}'::json), predict_probs('class', '{"x": 3}'), 'predict_probs of json');
SELECT is(predict('class', '{"x": 3}'), predict('class', '{"x": 3}'::jsonb), 'a literal is still text');
SELECT is(predict('class', NULL), NULL, 'and NULL still NULL');
SELECT throws_ok($$SELECT predict('class', '[1]'::json)$$, '22023', 'the input of a prediction must be a JSON object, not an array');

SELECT lives_ok($$SELECT learn('bad_json', 'SELECT (ARRAY[''"\ud800"'', ''"\u0000"'', ''"\udc00x"'', ''"\ud800\u0041"'', ''"b"'', ''"\t\b\f\r\/\\"'', ''1e999999''])[1 + i % 7]::json AS j, i % 5 AS z, i % 3 AS y FROM generate_series(1, 100) i')$$,
                'json escapes that mean no text do not stop a training');
SELECT is(predict_value('bad_json', a), predict_value('bad_json', b), 'they are missing')
FROM (SELECT '"\ud800"'::json AS j, 1 AS z) a, (SELECT NULL::json AS j, 1 AS z) b;

SELECT is(learn_bytes.version, 1, 'a target of type "char"')
FROM automl_train('bytes', $$SELECT i % 9 AS x, (CASE WHEN i % 9 > 4 THEN -56 ELSE 97 END)::"char" AS y FROM generate_series(1, 90) i$$, 'y', max_trials => 1) learn_bytes;
SELECT is(array(SELECT jsonb_object_keys(predict_probs('bytes', '{"x": 3}')) ORDER BY 1), ARRAY['\310', 'a'], 'bytes beyond ASCII are written as PostgreSQL 16 writes them');

SELECT is(learn('money', 'SELECT i * 100000000.05::money AS m, i % 7 AS z, i % 7 AS y FROM generate_series(-50, 50) i'), 1, 'money is learnt from');
SELECT is(description, 'money: number from -5000000002.5 to 5000000002.5', 'as a number') FROM automl_describe('money') WHERE item = 'm';
SELECT is(predict_value('a_money', '{"a_money": 12345.67, "other": 1}'), predict_value('a_money', s), 'and a number can be given for it')
FROM (SELECT 12345.67::money AS a_money, 1 AS other) s;

SELECT * FROM finish();
ROLLBACK;
