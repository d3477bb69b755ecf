-- A hostile schema in front of pg_catalog, with a trap for every function and operator that a careless query could call: none
-- is ever called, and results are the same.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

CREATE TABLE public.visits AS
SELECT i AS id, (i * 7919) % 61 AS age, 'k' || i % 4 AS kind, CASE WHEN (i * 7919) % 61 > 30 THEN 'yes' ELSE 'no' END AS bought
FROM generate_series(1, 200) i;
SELECT lives_ok($$SELECT * FROM automl_train('before', 'public.visits', 'bought', max_trials => 1)$$, 'trained before');

CREATE SCHEMA hostile;
CREATE FUNCTION pg_temp.of_common_types(types oid[]) RETURNS boolean LANGUAGE sql AS $$
    SELECT bool_and(t = ANY ('{text,int2,int4,int8,float4,float8,bool,numeric,jsonb,json,name,oid,regclass,timestamptz,timestamp,date,interval,bytea,text[]}'::regtype[]))
    FROM unnest(types) AS t
$$;
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT DISTINCT ON (proname, proargtypes) proname, proargtypes::oid[] AS types, prorettype
             FROM pg_proc
             WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset AND pronargs BETWEEN 0 AND 3
               AND coalesce(pg_temp.of_common_types(proargtypes::oid[]), true) AND pg_temp.of_common_types(ARRAY[prorettype])
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', f.proname,
            (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n) FROM unnest(f.types) WITH ORDINALITY AS u(t, n)),
            format_type(f.prorettype, NULL), format('BEGIN RAISE EXCEPTION %L; END', 'trapped by function ' || f.proname));
    END LOOP;
    FOR f IN SELECT oprname, oprleft, oprright, oprresult FROM pg_operator
             WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft <> 0
               AND pg_temp.of_common_types(ARRAY[oprleft, oprright, oprresult])
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
            'trap ' || f.oprname, format_type(f.oprleft, NULL), format_type(f.oprright, NULL), format_type(f.oprresult, NULL),
            format('BEGIN RAISE EXCEPTION %L; END', 'trapped by operator ' || replace(f.oprname, '%', '%%')));
        EXECUTE format('CREATE OPERATOR hostile.%s (leftarg = %s, rightarg = %s, function = hostile.%I)', f.oprname,
            format_type(f.oprleft, NULL), format_type(f.oprright, NULL), 'trap ' || f.oprname);
    END LOOP;
END $$;
SELECT cmp_ok(count(*), '>', 1000::bigint, 'many traps are set') FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace;
CREATE DOMAIN hostile.text AS pg_catalog.varchar(1);
CREATE DOMAIN hostile.jsonb AS pg_catalog.bool;
CREATE DOMAIN hostile.float8 AS pg_catalog.bool;
CREATE TABLE hostile.models (name pg_catalog.text);
CREATE TABLE hostile.deployed (name pg_catalog.text);
CREATE TABLE hostile.visits AS SELECT * FROM public.visits;
-- Casts that apply by themselves.
CREATE TYPE hostile.bait AS (b pg_catalog.int4);
CREATE FUNCTION hostile.sprung(hostile.bait) RETURNS pg_catalog.int4 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped by a cast'; END $$;
CREATE CAST (hostile.bait AS pg_catalog.int4) WITH FUNCTION hostile.sprung(hostile.bait) AS IMPLICIT;

-- Runs a statement with the traps in front: 'done' or the error.
CREATE FUNCTION pg_temp.among_traps(statement text) RETURNS text LANGUAGE plpgsql SET search_path = hostile, pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SELECT is(pg_temp.among_traps($$SELECT 1 = 1$$), 'trapped by operator =', 'an operator springs a trap');
SELECT is(pg_temp.among_traps($$SELECT now()$$), 'trapped by function now', 'a function springs a trap');

SELECT is(pg_temp.among_traps(statement), 'done', statement)
FROM unnest(ARRAY[
    $$SELECT * FROM automl_train('h', 'visits', 'bought', max_trials => 1)$$,
    $$SELECT * FROM automl_train('h')$$,
    $$SELECT * FROM automl_train('q', 'SELECT age, kind, bought FROM visits', 'bought', max_trials => 2, exclude => '{kind}')$$,
    $$SELECT predict('h', v), predict('h', v, NULL::pg_catalog.text), predict('h@1', v), predict_proba('h', v), predict_probs('h', v) FROM visits v$$,
    $$SELECT predict('h', '{"age": 3, "kind": "k1"}'), predict_proba('h', '{"age": "3", "kind": null}'::pg_catalog.jsonb)$$,
    $$SELECT predict_set('h', v), predict_set('h', '{"age": 3, "kind": "k1"}') FROM visits v$$,
    $$SELECT * FROM predict_table('h', 'visits')$$,
    $$SELECT * FROM predict_table('h', 'SELECT id, age, kind FROM visits', 'id')$$,
    $$SELECT automl_predict_view('h', 'visits', 'public.scored_visits')$$,
    $$SELECT * FROM scored_visits$$,
    $$SELECT * FROM automl_describe('h')$$,
    $$SELECT * FROM automl_leaderboard('h')$$,
    $$SELECT e.* FROM visits v, automl_explain('h', v) e$$,
    $$SELECT * FROM automl_importance('h')$$,
    $$SELECT * FROM automl_explain('h', '{"age": 3, "kind": "k1"}')$$,
    $$SELECT automl_deploy('h', 1)$$, $$SELECT automl_rollback('h')$$,
    $$SELECT automl_grant('h', 'public')$$, $$SELECT automl_revoke('h', 'public')$$,
    $$SELECT automl_rename('h', 'i')$$,
    $$SELECT * FROM pgml_auto.model, pgml_auto.version, pgml_auto.trial, pgml_auto.leaderboard$$,
    $$SELECT * FROM pgml_auto.metric, pgml_auto.deployment, pgml_auto.model_grant, pgml_auto.audit_log, pgml_auto.progress$$,
    $$SELECT automl_drop('q')$$,
    $$DROP VIEW public.scored_visits$$]) AS statement;

-- What was computed among traps is what is computed without.
SELECT results_eq(
    $$SELECT predict_proba('i@1', v) FROM public.visits v ORDER BY id$$,
    $$SELECT predict_proba('before', v) FROM public.visits v ORDER BY id$$,
    'the model trained among traps predicts the same');

SELECT is(pg_temp.among_traps($$SELECT automl_drop('i@1')$$), 'done', 'a version is dropped among traps');

-- The traps in the schema of the extension's functions, too, where CREATE EXTENSION runs.
SELECT lives_ok($$DROP EXTENSION pgml_auto; CREATE EXTENSION pgml_auto SCHEMA hostile$$, 'created where the traps are');
SELECT is(pg_temp.among_traps($$SELECT * FROM automl_train('h', 'visits', 'bought', max_trials => 1)$$), 'done', 'trains there');
SELECT is(pg_temp.among_traps($$SELECT predict('h', v) FROM visits v$$), 'done', 'predicts there');
SELECT is(pg_temp.among_traps($$SELECT * FROM pgml_auto.model, pgml_auto.leaderboard, pgml_auto.progress$$), 'done', 'shows its views there');

SELECT * FROM finish();
ROLLBACK;
