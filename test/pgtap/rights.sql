-- What others must not be able to do with a model, and what its history shows to whom.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

CREATE ROLE pgml_tap_owner;
CREATE ROLE pgml_tap_manager;
CREATE ROLE pgml_tap_stranger;
GRANT CREATE, USAGE ON SCHEMA public TO pgml_tap_owner;
GRANT USAGE ON SCHEMA public TO pgml_tap_manager, pgml_tap_stranger;

SET LOCAL ROLE pgml_tap_owner;
CREATE TABLE public.secrets AS SELECT 'top secret' AS secret;
CREATE TABLE public.visits AS
SELECT i AS id, (i * 7919) % 61 AS age, 'k' || i % 4 AS kind, CASE WHEN (i * 7919) % 61 > 30 THEN 'yes' ELSE 'no' END AS bought
FROM generate_series(1, 200) i;
SELECT lives_ok($$SELECT * FROM automl_train('visits', 'visits', 'bought', algorithms => '{linear}', max_trials => 1)$$, 'the owner trains');
SELECT lives_ok($$SELECT automl_grant('visits', 'pgml_tap_manager', 'manage')$$, 'and lets somebody manage the model');

-- ---- a stored source cannot be replaced ---------------------------------------------------

SET LOCAL ROLE pgml_tap_manager;
SELECT lives_ok($$SELECT * FROM automl_train('visits', max_trials => 1)$$, 'who manages a model trains it on its stored source');
SAVEPOINT shadows;
CREATE FUNCTION pg_temp.spy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ran as %', current_user;
END $$;
CREATE TEMPORARY VIEW visits AS SELECT i AS id, i % 7 AS age, 'k' AS kind, 'no' AS bought FROM generate_series(1, 200) i WHERE pg_temp.spy();
GRANT SELECT ON visits TO PUBLIC;
SELECT lives_ok($$SELECT * FROM automl_train('visits', max_trials => 1)$$, 'a temporary view in its place is not what is meant');
ROLLBACK TO shadows;
SET LOCAL ROLE pgml_tap_owner;
SELECT is(source, 'public.visits', 'for the table itself is remembered') FROM pgml_auto.version WHERE model = 'visits' AND version = 1;
SELECT lives_ok($$SELECT * FROM automl_train('queried', 'SELECT * FROM visits', 'bought', algorithms => '{linear}', max_trials => 1)$$, 'the owner trains on a query');
SELECT lives_ok($$SELECT automl_grant('queried', 'pgml_tap_manager', 'manage')$$, 'and lets somebody manage that model');
SET LOCAL ROLE pgml_tap_manager;
CREATE FUNCTION pg_temp.spy() RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT throws_ok($$SELECT * FROM automl_train('queried', max_trials => 1)$$, '42501',
    'the source of model "queried" is a query, which is not run for others than its owner', 'a query is not run for who manages');
SELECT lives_ok($$SELECT * FROM automl_train('visits', max_trials => 1)$$, 'without temporary objects it is read');
-- Code of the owner, behind a view or a policy, could be led to temporary objects: it is not run beside them.
SET LOCAL ROLE pgml_tap_owner;
CREATE FUNCTION public.rated(x int) RETURNS int LANGUAGE plpgsql SET search_path = public AS $$ BEGIN RETURN x; END $$;
CREATE VIEW public.rated_visits AS SELECT id, rated(age) AS age, kind, bought FROM public.visits;
CREATE TABLE public.guarded AS SELECT * FROM public.visits;
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
CREATE TABLE public.parted (LIKE public.visits) PARTITION BY RANGE (id);
CREATE TABLE public.part PARTITION OF public.parted DEFAULT;
INSERT INTO public.parted SELECT * FROM public.visits;
SELECT lives_ok(format($$SELECT * FROM automl_train(%L, %L, 'bought', algorithms => '{linear}', max_trials => 1)$$, t, t), t || ' is trained on')
FROM unnest('{rated_visits,guarded,parted}'::text[]) t;
SELECT lives_ok(format($$SELECT automl_grant(%L, 'pgml_tap_manager', 'manage')$$, t), t || ' is granted') FROM unnest('{rated_visits,guarded,parted}'::text[]) t;
SET LOCAL ROLE pgml_tap_manager;
SELECT throws_ok(format($$SELECT * FROM automl_train(%L)$$, t), '55000', NULL, t || ' is not read beside temporary objects, which pgTAP has') FROM unnest('{rated_visits,guarded,parted}'::text[]) t;

-- What is read as the owner must be the owner's: here the manager owns a table, a function behind a view, a table behind one.
RESET ROLE;
CREATE SCHEMA pgml_tap_lent AUTHORIZATION pgml_tap_manager;
SET LOCAL ROLE pgml_tap_manager;
CREATE TABLE pgml_tap_lent.bait AS SELECT i AS id, i % 61 AS age, i % 2 AS bought FROM generate_series(1, 200) i;
CREATE FUNCTION pgml_tap_lent.spy(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'ran as %', current_user; RETURN x; END $$;
GRANT USAGE ON SCHEMA pgml_tap_lent TO pgml_tap_owner;
GRANT SELECT ON pgml_tap_lent.bait TO pgml_tap_owner;
SET LOCAL ROLE pgml_tap_owner;
CREATE VIEW public.lent AS SELECT id, pgml_tap_lent.spy(age) AS age, bought FROM public.visits;
CREATE VIEW public.borrowed AS SELECT * FROM pgml_tap_lent.bait;
SELECT lives_ok(format($$SELECT * FROM automl_train(%L, %L, 'bought', algorithms => '{linear}', max_trials => 1)$$, t, t), t || ' is trained on')
FROM unnest('{pgml_tap_lent.bait,lent,borrowed}'::text[]) t;
SELECT lives_ok(format($$SELECT automl_grant(%L, 'pgml_tap_manager', 'manage')$$, t), t || ' is granted') FROM unnest('{pgml_tap_lent.bait,lent,borrowed}'::text[]) t;
SET LOCAL ROLE pgml_tap_manager;
SELECT throws_ok($$SELECT * FROM automl_train('pgml_tap_lent.bait')$$, '42501',
    'the source of the model uses relation "bait", which is not its owner''s', 'a table of the manager''s is not read as the owner');
-- pgTAP has temporary objects, so views are refused before it comes to whose they are.
SELECT throws_ok(format($$SELECT * FROM automl_train(%L)$$, t), '55000', NULL, t || ' neither') FROM unnest('{lent,borrowed}'::text[]) t;
SET LOCAL ROLE pgml_tap_owner;
SELECT lives_ok($$SELECT * FROM automl_train('pgml_tap_lent.bait')$$, 'the owner reads what the owner has chosen');
CREATE TEMPORARY TABLE mine (a int);
SELECT lives_ok($$SELECT * FROM automl_train('visits', max_trials => 1)$$, 'the owner''s own temporary objects are no danger');
DROP TABLE mine;

-- ---- rights come before locks and names ---------------------------------------------------

SET LOCAL ROLE pgml_tap_stranger;
SELECT throws_ok($$SELECT automl_drop('visits')$$, '42501', 'must be owner of model "visits"', 'a stranger cannot drop it');
SELECT throws_ok($$SELECT automl_rename('visits', 'hers')$$, '42501', 'must be owner of model "visits"', 'nor rename it');
SET LOCAL ROLE pgml_tap_owner;
SELECT throws_ok($$SELECT automl_grant('visits@1', 'public')$$, '42704', 'model "visits@1" does not exist', 'a version is not granted');
SELECT throws_ok($$SELECT automl_rename('visits', 'visits')$$, NULL, NULL, 'renaming to the same name is refused');

-- ---- settings can be taken back -----------------------------------------------------------

CREATE TABLE public.weighted AS SELECT *, 1 + id % 2 AS w FROM public.visits;
SELECT lives_ok($$SELECT * FROM automl_train('weighted', 'weighted', 'bought', weight_column => 'w', metric => 'log_loss', max_trials => 1)$$,
    'trained with a weight and a metric');
SELECT lives_ok($$SELECT * FROM automl_train('weighted', weight_column => '', metric => '')$$, 'and without them');
SELECT is(settings - 'max_trials' - 'target', '{}', 'an empty text takes a setting back') FROM pgml_auto.version
WHERE model = 'weighted' AND version = 2;
SELECT is(metric, 'roc_auc', 'the metric is the task''s own again') FROM pgml_auto.version WHERE model = 'weighted' AND version = 2;
SELECT throws_like($$SELECT * FROM automl_train('huge', 'visits', 'bought', hyperparams => '{"num_leaves": 1e400}')$$,
    '%num_leaves%', 'a number that is too large is named');

-- ---- sources only read --------------------------------------------------------------------

SELECT throws_ok($$SELECT * FROM automl_train('lo', 'SELECT id, age, bought, lo_create(0)::int AS lo FROM visits', 'bought')$$, '25006', NULL,
    'no large objects are made');
CREATE TEMPORARY TABLE notes (a int);
CREATE FUNCTION pg_temp.note(a int) RETURNS int LANGUAGE sql AS 'INSERT INTO notes VALUES (a) RETURNING a';
SELECT throws_ok($$SELECT * FROM automl_train('notes', 'SELECT pg_temp.note(id) AS id, age, bought FROM visits', 'bought')$$, '25006', NULL,
    'and nothing is written to temporary tables');
SELECT is_empty('TABLE notes', 'indeed');
DROP TABLE notes;

-- ---- validation scores are called so ------------------------------------------------------

SELECT lives_ok($$SELECT * FROM automl_train('untested', 'visits', 'bought', test_size => 0, max_trials => 1)$$, 'trained without test rows');
SELECT results_eq($$SELECT DISTINCT part FROM pgml_auto.metric WHERE model = 'untested'$$, ARRAY['validation'], 'its scores are of validation rows');

-- ---- history ------------------------------------------------------------------------------

SET LOCAL ROLE pgml_tap_manager;
CREATE TEMPORARY TABLE own AS SELECT i % 40 AS x, i * 2 AS y FROM generate_series(1, 80) i;
SELECT lives_ok($$SELECT * FROM automl_train('payroll', 'own', 'y', max_trials => 1)$$, 'somebody trains a model');
SELECT lives_ok($$SELECT automl_rename('payroll', 'renamed')$$, 'and renames it');
SET LOCAL ROLE pgml_tap_owner;
SELECT lives_ok($$SELECT automl_rename('untested', 'payroll')$$, 'somebody else takes the name');
SELECT is_empty($$SELECT * FROM pgml_auto.audit_log WHERE model = 'payroll' AND actor = 'pgml_tap_manager'$$, 'the history of the name''s former holder stays theirs');
SELECT bag_has($$SELECT action FROM pgml_auto.audit_log WHERE model = 'untested'$$, $$VALUES ('train')$$, 'a model keeps its history under its former name');

-- ---- views over odd queries ---------------------------------------------------------------

SELECT lives_ok($$SELECT automl_predict_view('visits', 'SELECT * FROM visits; -- all of them', 'visits_predicted')$$, 'a query may end in a comment');

SELECT * FROM finish();
ROLLBACK;
