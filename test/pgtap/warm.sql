-- Trainings that begin with what others found: in which order, from whose models, and what it shows to whom.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

CREATE ROLE pgml_tap_ana;
CREATE ROLE pgml_tap_team;
CREATE ROLE pgml_tap_ben;
GRANT pgml_tap_team TO pgml_tap_ana;
GRANT CREATE, USAGE ON SCHEMA public TO pgml_tap_ana, pgml_tap_team, pgml_tap_ben;
CREATE TABLE public.visits AS
SELECT i AS id, (i * 7919) % 61 AS age, 'k' || i % 4 AS kind, CASE WHEN (i * 7919) % 61 > 30 THEN 'yes' ELSE 'no' END AS bought
FROM generate_series(1, 200) i;
ALTER TABLE public.visits OWNER TO pgml_tap_ana;
GRANT SELECT ON public.visits TO PUBLIC;

-- Trains as a role; what the newest version tried, by source.
CREATE FUNCTION pg_temp.train(role text, model text, arguments text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE format('SELECT FROM automl_train(%L, ''visits'', ''bought'', exclude => ''{id}'', %s)', model, arguments);
    RESET ROLE;
END $$;
CREATE FUNCTION pg_temp.tried(of_model text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(algorithm || ' ' || source, ', ' ORDER BY trial) FROM pgml_auto.trial t
    WHERE model = of_model AND algorithm <> 'constant' AND version = (SELECT max(version) FROM pgml_auto.trial WHERE model = of_model)
$$;

-- ---- own history -----------------------------------------------------------------------------------

SELECT pg_temp.train('pgml_tap_ana', 'own', $$algorithms => '{random_forest}', hyperparams => '{"n_estimators": 10, "min_samples_leaf": 9}', max_trials => 1$$);
SELECT is(pg_temp.tried('own'), 'random_forest portfolio', 'a first version has no history');
SELECT pg_temp.train('pgml_tap_ana', 'own', $$algorithms => '{}', hyperparams => '{"n_estimators": 10}', max_trials => 3, options => '{"warm_start": "own"}'$$);
SELECT is(pg_temp.tried('own'), 'random_forest own, linear portfolio, gradient_boosting portfolio', 'the second tries the settings of the first, then the list');
SELECT is(settings ->> 'min_samples_leaf', '9', 'as they were') FROM pgml_auto.trial WHERE model = 'own' AND version = 2 AND source = 'own';
SELECT is(identical, true, 'which can be executed again: ' || coalesce(reason, 'nothing is different')) FROM automl_reproduce('own@2');
SELECT is(settings ->> 'n_estimators', '10', 'with what is fixed now') FROM pgml_auto.trial WHERE model = 'own' AND version = 2 AND source = 'own';
SELECT pg_temp.train('pgml_tap_ana', 'own', $$max_trials => 1, options => '{}'$$);
SELECT is(pg_temp.tried('own'), 'linear portfolio', 'without a clock there is no history unless it is asked for');
SELECT pg_temp.train('pgml_tap_ana', 'own', $$time_budget => '1 s', options => '{}'$$);
SELECT matches(pg_temp.tried('own'), '^[a-z_]+ own, ', 'with a clock it comes first');
SELECT pg_temp.train('pgml_tap_ana', 'own', $$time_budget => '1 s', options => '{"warm_start": "off"}'$$);
SELECT unalike(pg_temp.tried('own'), '% own%', 'unless it is off');
SELECT pg_temp.train('pgml_tap_ana', 'own', $$algorithms => '{linear,knn}', hyperparams => '{}', max_trials => 2, options => '{"warm_start": "own"}'$$);
SELECT unalike(pg_temp.tried('own'), '%forest%', 'learners that are not selected are not tried');
-- What is asked for now wins over history.
SELECT automl_drop('own');
CREATE FUNCTION pg_temp.leaves(of_source text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(settings ->> 'min_samples_leaf', ', ' ORDER BY trial) FROM pgml_auto.trial t
    WHERE model = 'own' AND source = of_source AND algorithm <> 'constant' AND version = (SELECT max(version) FROM pgml_auto.trial WHERE model = 'own')
$$;
SELECT pg_temp.train('pgml_tap_ana', 'own', $$algorithms => '{random_forest}', hyperparams => '{"n_estimators": 10, "min_samples_leaf": 9}', max_trials => 1$$);
SELECT pg_temp.train('pgml_tap_ana', 'own', $$hyperparams => '{"n_estimators": 10, "min_samples_leaf": 4}', max_trials => 2, options => '{"warm_start": "own"}'$$);
SELECT is(pg_temp.leaves('own'), '4', 'hyperparams replace what history has');
SELECT lives_ok($$SELECT automl_deploy('own', 1)$$);
SELECT pg_temp.train('pgml_tap_ana', 'own', $$hyperparams => '{"n_estimators": 10}', search_space => '{"min_samples_leaf": {"range": [5, 20]}}', max_trials => 3, options => '{"warm_start": "own"}'$$);
SELECT is(pg_temp.leaves('own'), '9', 'a search begins with what is in its space');
SELECT lives_ok($$SELECT automl_deploy('own', 1)$$);
SELECT pg_temp.train('pgml_tap_ana', 'own', $$hyperparams => '{"n_estimators": 10}', search_space => '{"min_samples_leaf": {"range": [2, 4]}}', max_trials => 3, options => '{"warm_start": "own"}'$$);
SELECT is(pg_temp.leaves('own'), NULL, 'and not with what is outside of it');
SELECT matches(pg_temp.leaves('search'), '^[234](, [234])*$', 'all that it tries is of its space');
SELECT throws_ok($$SELECT * FROM automl_train('x', 'visits', 'bought', options => '{"warm_start": "always"}')$$, '22023',
    'options: "warm_start" must be "auto", "off", "own" or "similar"', 'other words are refused');

-- ---- models of similar tables ---------------------------------------------------------------------

SELECT automl_drop('own');
SELECT pg_temp.train(role, model, $$algorithms => '{naive_bayes}', max_trials => 1$$)
FROM (VALUES ('pgml_tap_ana', 'of_ana'), ('pgml_tap_team', 'of_team'), ('pgml_tap_ben', 'of_ben')) v(role, model);
-- Settings by which they are known.
UPDATE pgml_auto.trials t SET algorithm = 'extra_trees', settings = jsonb_build_object('min_samples_leaf', 3 + m.model_id % 1000)
FROM pgml_auto.versions v JOIN pgml_auto.models m USING (model_id) WHERE v.version_id = t.version_id AND t.chosen;
CREATE FUNCTION pg_temp.sources(of_model text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(source_model, '?'), ', ' ORDER BY source_model) FROM pgml_auto.trial WHERE model = of_model AND source = 'similar'
$$;
SELECT pg_temp.train('pgml_tap_ana', 'auto', $$algorithms => '{linear,extra_trees}', hyperparams => '{"n_estimators": 10}', time_budget => '2 s'$$);
SELECT is(pg_temp.sources('auto'), NULL, 'they are tried only when they are asked for');
SELECT automl_drop('auto');
SELECT pg_temp.train('pgml_tap_ana', 'new', $$algorithms => '{linear,extra_trees}', hyperparams => '{"n_estimators": 10}', max_trials => 5, options => '{"warm_start": "similar"}'$$);
SELECT is(pg_temp.sources('new'), 'of_ana, of_team', 'settings of the owner''s models, and of those of roles it belongs to');
SELECT is(pg_temp.tried('new'), 'linear portfolio, extra_trees portfolio, extra_trees similar, extra_trees similar, extra_trees portfolio', 'after learners that differ');
SELECT pg_temp.train('pgml_tap_ben', 'new_of_ben', $$algorithms => '{linear,extra_trees}', hyperparams => '{"n_estimators": 10}', max_trials => 5, options => '{"warm_start": "similar"}'$$);
SELECT is(pg_temp.sources('new_of_ben'), 'of_ben', 'and of nobody else');

-- What a superuser may see is not what a model of theirs may show.
SELECT pg_temp.train(current_user, 'of_super', $$algorithms => '{linear,extra_trees}', hyperparams => '{"n_estimators": 10}', max_trials => 5, options => '{"warm_start": "similar"}'$$);
SELECT is(pg_temp.sources('of_super'), NULL, 'a superuser''s model has nothing from models of others');

-- Somebody who was granted a model sees where its settings come from only where they may see that model.
SET LOCAL ROLE pgml_tap_ana;
SELECT automl_grant('new', 'pgml_tap_ben');
SET LOCAL ROLE pgml_tap_ben;
SELECT is(pg_temp.sources('new'), '?, ?', 'names of models are for those who may see them');
SELECT unalike((SELECT string_agg(v::text, ' ') FROM pgml_auto.version v WHERE model = 'new'), '%of_ana%', 'and are not in what is stored of the training');
SELECT unalike((SELECT string_agg(l::text, ' ') FROM automl_leaderboard('new') l), '%of_ana%', 'nor in the leaderboard');
SELECT unalike((SELECT string_agg(d::text, ' ') FROM automl_describe('new') d), '%of_ana%', 'nor in the description');
SELECT is((SELECT string_agg(l.source, ', ') FROM pgml_auto.leaderboard l WHERE model = 'new' AND l.source = 'similar'), 'similar, similar', 'where these settings are shown as such');
SET LOCAL ROLE pgml_tap_team;
SELECT automl_grant('of_team', 'pgml_tap_ben');
SET LOCAL ROLE pgml_tap_ben;
SELECT is(pg_temp.sources('new'), 'of_team, ?', 'who was granted the other model, too, sees its name');
SET LOCAL ROLE pgml_tap_team;
SELECT automl_revoke('of_team', 'pgml_tap_ben');
SET LOCAL ROLE pgml_tap_ben;
SELECT is(pg_temp.sources('new'), '?, ?', 'as long as it is granted');

-- Who only manages a model gets what its owner may show and they may see.
RESET ROLE;
SET LOCAL ROLE pgml_tap_ana;
SELECT automl_grant('new', 'pgml_tap_ben', 'manage');
RESET ROLE;
SELECT ok((SELECT meta_features ->> 'columns' FROM pgml_auto.version WHERE model = 'new') = '2', 'the table is described');
SET LOCAL ROLE pgml_tap_ben;
SELECT lives_ok($$SELECT * FROM automl_train('new', max_trials => 5)$$, 'a manager trains it again, with similar tables as its settings say');
SELECT is((SELECT count(*)::integer FROM pgml_auto.trial WHERE model = 'new' AND version = 2 AND source = 'similar'), 0, 'without models that the manager may not see');
RESET ROLE;

SELECT automl_drop('of_ana');
SELECT is(pg_temp.sources('new'), 'of_team, ?', 'a model that is gone has no name');
UPDATE pgml_auto.versions SET meta_features = jsonb_set(meta_features, '{rows}', '1000000000');
SELECT pg_temp.train('pgml_tap_ana', 'far', $$algorithms => '{linear,extra_trees}', hyperparams => '{"n_estimators": 10}', max_trials => 5, options => '{"warm_start": "similar"}'$$);
SELECT is(pg_temp.sources('far'), NULL, 'tables that are far away do not count');

SELECT * FROM finish();
ROLLBACK;
