-- Who may do what with a model.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;
CREATE EXTENSION pgml_auto;
CREATE ROLE pgml_test_owner;
CREATE ROLE pgml_test_member IN ROLE pgml_test_owner;
CREATE ROLE pgml_test_user;
CREATE ROLE pgml_test_manager;
CREATE SCHEMA privileges_test AUTHORIZATION pgml_test_owner;
GRANT USAGE ON SCHEMA privileges_test TO PUBLIC;

SET ROLE pgml_test_owner;
CREATE TABLE privileges_test.orders AS
SELECT i AS id, (i * 7919) % 61 AS amount, (i * 7919) % 61 * 2 + (i % 5) AS price FROM generate_series(1, 200) i;
SELECT version FROM automl_train('price', 'privileges_test.orders', 'price', algorithms => '{linear}', max_trials => 2);
RESET client_min_messages;

-- A stranger sees nothing and may do nothing; errors say whom to ask.
SET ROLE pgml_test_user;
SELECT count(*) FROM pgml_auto.model;
SELECT * FROM automl_describe('price');
SELECT * FROM automl_train('price');
SELECT automl_deploy('price', 1);
SELECT automl_drop('price');
SELECT automl_rename('price', 'prize');
SELECT automl_grant('price', 'pgml_test_user');
SELECT * FROM automl_describe('pric');
SELECT count(*) FROM pgml_auto.models;
SELECT count(*) FROM pgml_auto.image_chunks;
SELECT count(*) FROM pgml_auto.visible_models;
INSERT INTO pgml_auto.grants VALUES (1, 'pgml_test_user', 'manage', 'me');
SELECT count(*) FROM pgml_auto.audit_log;
-- nor may train on data that is not theirs
SELECT * FROM automl_train('mine', 'privileges_test.orders', 'price');

-- predict: sees the model and its scores, not its SQL text; everything else stays closed.
SET ROLE pgml_test_owner;
SELECT automl_grant('price', 'pgml_test_user');
SET ROLE pgml_test_user;
SELECT name, owner, deployed FROM pgml_auto.model;
SELECT model, version, source, search_path FROM pgml_auto.version;
SELECT count(*) > 0 AS described FROM automl_describe('price');
SELECT count(*) > 0 AS trials FROM automl_leaderboard('price');
SELECT * FROM automl_describe('pric');
SELECT * FROM automl_train('price');
SELECT automl_rollback('price');
SELECT grantee, privilege FROM pgml_auto.model_grant;

-- manage: trains again on the stored source, read as its owner; deploys; cannot bring other data or give rights.
SET ROLE pgml_test_owner;
SELECT automl_grant('price', 'pgml_test_manager', 'manage');
SET ROLE pgml_test_manager;
SET client_min_messages = warning;
SELECT version, deployed FROM automl_train('price');
RESET client_min_messages;
SELECT created_by FROM pgml_auto.version WHERE version = 2;
SELECT * FROM automl_train('price', 'SELECT 1 AS amount, 2 AS price');
SELECT automl_deploy('price', 1);
SELECT automl_grant('price', 'public');
SELECT automl_drop('price');

-- The owner's SQL never runs with the rights of who trains: this query fails for anybody else.
RESET ROLE;
SET client_min_messages = warning;
SET ROLE pgml_test_owner;
SELECT version FROM automl_train('spy',
    $$SELECT amount, price, 1 / (current_user = 'pgml_test_owner')::int AS ok FROM privileges_test.orders$$,
    'price', algorithms => '{linear}', max_trials => 1);
RESET ROLE;
SELECT current_user = 'pgml_test_owner' AS is_owner, version FROM automl_train('spy');
SELECT current_user = 'pgml_test_owner' AS is_owner;
SELECT automl_drop('spy');
RESET client_min_messages;

-- Nor does code of who manages run as the owner: a view of the owner's may be read, but not what others have put behind it.
RESET ROLE;
GRANT CREATE ON SCHEMA privileges_test TO pgml_test_manager;
SET client_min_messages = warning;
SET ROLE pgml_test_manager;
CREATE FUNCTION privileges_test.lent(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN x; END $$;
CREATE TABLE privileges_test.bait AS SELECT i AS id, i % 61 AS amount, i % 61 * 2 AS price FROM generate_series(1, 200) i;
GRANT SELECT ON privileges_test.bait TO pgml_test_owner;
SET ROLE pgml_test_owner;
CREATE VIEW privileges_test.behind_function AS SELECT id, privileges_test.lent(amount) AS amount, price FROM privileges_test.orders;
CREATE VIEW privileges_test.behind_view AS SELECT * FROM privileges_test.bait;
CREATE VIEW privileges_test.own_view AS SELECT id, amount + 1 AS amount, price FROM privileges_test.orders;
SELECT version FROM automl_train('f', 'privileges_test.behind_function', 'price', algorithms => '{linear}', max_trials => 1);
SELECT version FROM automl_train('v', 'privileges_test.behind_view', 'price', algorithms => '{linear}', max_trials => 1);
SELECT version FROM automl_train('o', 'privileges_test.own_view', 'price', algorithms => '{linear}', max_trials => 1);
SELECT count(automl_grant(m, 'pgml_test_manager', 'manage')) AS granted FROM unnest('{f,v,o}'::text[]) m;
SET ROLE pgml_test_manager;
SELECT version FROM automl_train('f');
SELECT version FROM automl_train('v');
SELECT version FROM automl_train('o');
CREATE TEMPORARY TABLE orders (id int);
SELECT version FROM automl_train('o');
DISCARD TEMP;
SET ROLE pgml_test_owner;
SELECT count(automl_drop(m)) AS dropped FROM unnest('{f,v,o}'::text[]) m;
DROP VIEW privileges_test.behind_function, privileges_test.behind_view, privileges_test.own_view;
SET ROLE pgml_test_manager;
DROP TABLE privileges_test.bait;
DROP FUNCTION privileges_test.lent;
RESET client_min_messages;

-- members of the owner are owners
SET ROLE pgml_test_member;
SET client_min_messages = warning;
SELECT version, deployed FROM automl_train('price', 'privileges_test.orders');
RESET client_min_messages;
SELECT automl_drop('price@2');
SELECT model, version, source FROM pgml_auto.version ORDER BY version;
SELECT automl_grant('price', 'public', 'predict');
SELECT automl_grant('price', 'nobody_at_all');
SELECT automl_grant('price', 'pgml_test_user', 'own');
SELECT automl_grant('price', NULL);

-- public is everybody
RESET ROLE;
SELECT automl_revoke('price', 'pgml_test_user', 'predict');
SET ROLE pgml_test_user;
SELECT name FROM pgml_auto.model;
RESET ROLE;
SELECT automl_revoke('price', 'public');
SELECT automl_revoke('price', 'public');
SELECT automl_revoke('price', 'nobody_at_all');
SET ROLE pgml_test_user;
SELECT count(*) FROM pgml_auto.model;

-- A view does not lend its owner's rights to functions in it, and a cheap function in the query sees no hidden row.
CREATE FUNCTION pg_temp.peep(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT count(*) FROM pgml_auto.model WHERE pg_temp.peep(name);
DROP FUNCTION pg_temp.peep;

-- Row security holds for training as for queries.
RESET ROLE;
ALTER TABLE privileges_test.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON privileges_test.orders TO pgml_test_user;
CREATE POLICY first_hundred ON privileges_test.orders TO pgml_test_user USING (id <= 100);
SET ROLE pgml_test_user;
SET client_min_messages = warning;
SELECT "rows" FROM automl_train('mine', 'privileges_test.orders', 'price', max_trials => 1);
RESET client_min_messages;
SELECT name, owner FROM pgml_auto.model;
SELECT automl_drop('mine');

-- The owner's name stays when the role goes: superusers still manage the model.
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA privileges_test CASCADE;
DROP OWNED BY pgml_test_owner;
DROP ROLE pgml_test_member, pgml_test_owner;
RESET client_min_messages;
SELECT name, owner FROM pgml_auto.model;
SELECT * FROM automl_train('price');
SELECT automl_drop('price');
DROP ROLE pgml_test_user, pgml_test_manager;
