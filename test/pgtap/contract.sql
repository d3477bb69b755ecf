-- What users and tools rely on: names, arguments, results and promises of all functions; columns and privileges of the views.
BEGIN;
SELECT no_plan();

CREATE TEMP VIEW members AS
SELECT d.classid, d.objid
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pgml_auto' AND d.deptype = 'e';
CREATE TEMP VIEW functions AS
SELECT p.* FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid;
CREATE TEMP VIEW relations AS
SELECT c.* FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- ---- functions ----------------------------------------------------------------------------

\set explanation 'TABLE(column_name text, value text, contribution double precision, total double precision, explained_class text, scale text)'

SELECT set_eq(
    $$SELECT format('%s(%s) %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid))
      FROM functions WHERE pronamespace = 'public'::regnamespace$$,
    ARRAY[
    'automl_train(model text, data text DEFAULT NULL::text, target text DEFAULT NULL::text, task text DEFAULT ''auto''::text, '
    || 'metric text DEFAULT ''auto''::text, time_budget interval DEFAULT NULL::interval, max_trials integer DEFAULT NULL::integer, '
    || 'features text[] DEFAULT NULL::text[], exclude text[] DEFAULT NULL::text[], id_columns text[] DEFAULT NULL::text[], '
    || 'time_column text DEFAULT NULL::text, group_column text DEFAULT NULL::text, weight_column text DEFAULT NULL::text, '
    || 'positive_class text DEFAULT NULL::text, test_size double precision DEFAULT NULL::double precision, '
    || 'algorithms text[] DEFAULT NULL::text[], hyperparams jsonb DEFAULT NULL::jsonb, seed bigint DEFAULT NULL::bigint, '
    || 'options jsonb DEFAULT NULL::jsonb, search text DEFAULT ''auto''::text, search_space jsonb DEFAULT NULL::jsonb, mode text DEFAULT ''auto''::text, max_predict_us double precision DEFAULT NULL::double precision, background boolean DEFAULT false, resume boolean DEFAULT false) TABLE(model text, version integer, deployed boolean, task text, metric text, '
    || 'score double precision, score_low double precision, score_high double precision, baseline double precision, '
    || 'algorithm text, trials integer, rows bigint, features integer, seconds double precision, job bigint)',
    'automl_plan(model text DEFAULT NULL::text, data text DEFAULT NULL::text, target text DEFAULT NULL::text, task text DEFAULT ''auto''::text, '
    || 'metric text DEFAULT ''auto''::text, time_budget interval DEFAULT NULL::interval, max_trials integer DEFAULT NULL::integer, '
    || 'features text[] DEFAULT NULL::text[], exclude text[] DEFAULT NULL::text[], id_columns text[] DEFAULT NULL::text[], '
    || 'time_column text DEFAULT NULL::text, group_column text DEFAULT NULL::text, weight_column text DEFAULT NULL::text, '
    || 'positive_class text DEFAULT NULL::text, test_size double precision DEFAULT NULL::double precision, '
    || 'algorithms text[] DEFAULT NULL::text[], hyperparams jsonb DEFAULT NULL::jsonb, seed bigint DEFAULT NULL::bigint, '
    || 'options jsonb DEFAULT NULL::jsonb, search text DEFAULT ''auto''::text, search_space jsonb DEFAULT NULL::jsonb, mode text DEFAULT ''auto''::text, max_predict_us double precision DEFAULT NULL::double precision) TABLE(step text, what text, detail text, seconds double precision, memory_bytes bigint)',
    'automl_reproduce(model text) TABLE(model text, version integer, identical boolean, reason text, rows bigint, seconds double precision, bytes bigint, sha256 text, sha256_now text)',
    'automl_cancel(job bigint) boolean',
    'automl_wait(job bigint, timeout interval DEFAULT NULL::interval) text',
    'automl_run_due(now timestamp with time zone DEFAULT NULL::timestamp with time zone) integer',
    'automl_schedule(model text, schedule text DEFAULT NULL::text, time_zone text DEFAULT NULL::text, misfire text DEFAULT NULL::text, '
    || 'overlap text DEFAULT NULL::text, grace interval DEFAULT NULL::interval, max_retries integer DEFAULT NULL::integer, '
    || 'retry_delay interval DEFAULT NULL::interval, time_limit interval DEFAULT NULL::interval, '
    || 'start_at timestamp with time zone DEFAULT NULL::timestamp with time zone, active boolean DEFAULT true) timestamp with time zone',
    'automl_unschedule(model text) boolean',
    'automl_next_runs(schedule text, time_zone text DEFAULT NULL::text, n integer DEFAULT 5, after timestamp with time zone DEFAULT '
    || 'NULL::timestamp with time zone, start_at timestamp with time zone DEFAULT NULL::timestamp with time zone) SETOF timestamp with time zone',
    'automl_deploy(model text, version integer DEFAULT NULL::integer) integer',
    'automl_rollback(model text) integer',
    'automl_drop(model text) void',
    'automl_rename(model text, new_name text) void',
    'automl_grant(model text, role text, privilege text DEFAULT ''predict''::text) void',
    'automl_revoke(model text, role text, privilege text DEFAULT ''predict''::text) void',
    'automl_describe(model text) TABLE(part text, item text, description text)',
    'automl_leaderboard(model text) TABLE(rank integer, version integer, trial integer, algorithm text, metric text, '
    || 'validation_score double precision, weight double precision, seconds double precision, image_bytes bigint, predict_us double precision, '
    || 'rows bigint, status text, chosen boolean, fold_scores double precision[], settings text, error text)',
    'predict(model text, input record, type anyelement DEFAULT NULL::text) anyelement',
    'predict(model text, features jsonb) text',
    'predict(model text, features json) text',
    'predict(model text, features text) text',
    'predict_value(model text, input record) double precision',
    'predict_value(model text, features jsonb) double precision',
    'predict_value(model text, features json) double precision',
    'predict_value(model text, features text) double precision',
    'predict_proba(model text, input record, class text DEFAULT NULL::text) double precision',
    'predict_proba(model text, features jsonb, class text DEFAULT NULL::text) double precision',
    'predict_proba(model text, features json, class text DEFAULT NULL::text) double precision',
    'predict_proba(model text, features text, class text DEFAULT NULL::text) double precision',
    'predict_probs(model text, input record) jsonb',
    'predict_probs(model text, features jsonb) jsonb',
    'predict_probs(model text, features json) jsonb',
    'predict_probs(model text, features text) jsonb',
    'automl_explain(model text, input record, class text DEFAULT NULL::text) ' || :'explanation',
    'automl_explain(model text, features jsonb, class text DEFAULT NULL::text) ' || :'explanation',
    'automl_explain(model text, features json, class text DEFAULT NULL::text) ' || :'explanation',
    'automl_explain(model text, features text, class text DEFAULT NULL::text) ' || :'explanation',
    'automl_importance(model text) TABLE(column_name text, importance double precision, importance_low double precision, '
    || 'importance_high double precision, metric text, gain double precision)',
    'automl_rules(model text) TABLE(rule integer, condition text, prediction text, rows double precision, share double precision, probabilities jsonb)',
    'automl_tree_sql(model text, class text DEFAULT NULL::text) text',
    'automl_coefficients(model text) TABLE(member integer, weight double precision, link text, class text, column_name text, feature text, '
    || 'term text, level text, coefficient double precision, low double precision, high double precision, center double precision, unit double precision)',
    'predict_interval(model text, input record, level double precision DEFAULT 0.9, OUT prediction double precision, '
    || 'OUT lower double precision, OUT upper double precision) record',
    'predict_interval(model text, features jsonb, level double precision DEFAULT 0.9, OUT prediction double precision, '
    || 'OUT lower double precision, OUT upper double precision) record',
    'predict_interval(model text, features json, level double precision DEFAULT 0.9, OUT prediction double precision, '
    || 'OUT lower double precision, OUT upper double precision) record',
    'predict_interval(model text, features text, level double precision DEFAULT 0.9, OUT prediction double precision, '
    || 'OUT lower double precision, OUT upper double precision) record',
    'predict_set(model text, input record, level double precision DEFAULT 0.9) text[]',
    'predict_set(model text, features jsonb, level double precision DEFAULT 0.9) text[]',
    'predict_set(model text, features json, level double precision DEFAULT 0.9) text[]',
    'predict_set(model text, features text, level double precision DEFAULT 0.9) text[]',
    'predict_table(model text, data text, id text DEFAULT NULL::text) TABLE(id text, prediction text, value double precision, '
    || 'probability double precision, probabilities jsonb)',
    'automl_predict_view(model text, data text, view text) regclass',
    'pgml_auto_progress() TABLE(pid integer, database text, username text, model text, started_at timestamp with time zone, '
    || 'seconds double precision, percent double precision, step text, best_score double precision, memory_bytes bigint, '
    || 'seen_at timestamp with time zone)'],
    'the functions in the target schema, their arguments and results');

SELECT set_eq(
    $$SELECT format('%s(%s)', proname, pg_get_function_arguments(oid)) FROM functions WHERE pronamespace = 'pgml_auto'::regnamespace$$,
    ARRAY['has_role(role text)', 'higher_is_better(metric text)', 'settings_text(algorithm text, settings jsonb)', 'deployed_changed()',
          'shared_image_slots()', 'learner_settings()', 'job_is_alive(job bigint)', 'predict_support(internal)'],
    'what views, triggers and the planner need is in the fixed schema');

-- Predictions read tables: never immutable (a plan would keep an old answer), and fit for parallel queries.
SELECT set_eq(
    $$SELECT DISTINCT proname || CASE provolatile WHEN 's' THEN ' stable' WHEN 'i' THEN ' immutable' ELSE ' volatile' END
             || CASE proparallel WHEN 's' THEN ' safe' WHEN 'r' THEN ' restricted' ELSE ' unsafe' END
             || CASE WHEN proisstrict THEN ' strict' ELSE '' END
      FROM functions WHERE proname <> 'deployed_changed'$$,
    ARRAY['predict stable safe', 'predict_value stable safe', 'predict_proba stable safe', 'predict_probs stable safe',
          'automl_explain stable safe', 'automl_importance stable safe', 'automl_rules stable safe', 'automl_tree_sql stable safe', 'automl_coefficients stable safe', 'predict_interval stable safe strict', 'predict_set stable safe strict',
          'predict_table stable restricted', 'automl_describe stable safe', 'automl_leaderboard stable safe',
          'automl_train volatile unsafe', 'automl_plan volatile unsafe', 'automl_reproduce volatile unsafe', 'automl_deploy volatile unsafe', 'automl_rollback volatile unsafe',
          'automl_drop volatile unsafe', 'automl_rename volatile unsafe', 'automl_grant volatile unsafe',
          'automl_revoke volatile unsafe', 'automl_predict_view volatile unsafe', 'pgml_auto_progress volatile restricted strict', 'predict_support volatile unsafe strict',
          'has_role stable safe strict', 'higher_is_better immutable safe strict', 'settings_text immutable safe strict',
          'shared_image_slots volatile safe strict', 'learner_settings stable safe strict',
          'automl_cancel volatile unsafe', 'automl_wait volatile unsafe', 'automl_run_due volatile unsafe', 'automl_schedule volatile unsafe', 'automl_unschedule volatile unsafe', 'automl_next_runs stable safe',
          'job_is_alive volatile restricted strict'],
    'volatility, parallel safety and strictness');

SELECT is_empty($$SELECT oid::regprocedure FROM functions WHERE prosecdef$$, 'no function is SECURITY DEFINER');
SELECT is_empty($$SELECT f.oid::regprocedure FROM functions f JOIN pg_language l ON l.oid = prolang WHERE lanname <> 'c'$$,
                'all functions are in C: no search_path is their own');
SELECT is_empty(
    $$SELECT proname, argument FROM functions, unnest(proargnames) AS argument JOIN pg_get_keywords() ON word = argument
      WHERE catcode IN ('R', 'C', 'T')$$,
    'no argument needs quotes in a call');

-- NULL for model or input gives NULL, without a look at any model.
SELECT ok((predict(NULL, '{}'::jsonb), predict('no such model', NULL::jsonb), predict(NULL, NULL::text), predict(NULL, row(1)),
           predict_value(NULL, '{}'::jsonb), predict_proba('no such model', NULL::jsonb), predict_probs(NULL, '{}'),
           predict_interval(NULL, '{}'), predict_set('no such model', NULL::jsonb)) IS NULL,
          'predictions of and by NULL are NULL');

-- ---- tables and views ---------------------------------------------------------------------

SELECT set_eq(
    $$SELECT relname::text FROM relations WHERE relkind = 'r'$$,
    ARRAY['models', 'versions', 'trials', 'metrics', 'image_chunks', 'deployed', 'deployments', 'grants', 'audit', 'job_queue', 'schedules', 'schedule_state'],
    'the tables');
SELECT is_empty(
    $$SELECT relname, acl.privilege_type FROM relations, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS acl
      WHERE relkind IN ('r', 'S') AND acl.grantee <> relowner$$,
    'nobody but their owner may do anything with tables and sequences');
SELECT is_empty(
    $$SELECT relname, attname FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attacl IS NOT NULL$$,
    'nor with any column');
SELECT set_eq(
    $$SELECT relname::text FROM relations, aclexplode(relacl) AS acl
      WHERE relkind = 'v' AND acl.grantee = 0 AND acl.privilege_type = 'SELECT'$$,
    ARRAY['model', 'version', 'trial', 'leaderboard', 'metric', 'deployment', 'model_grant', 'audit_log', 'progress', 'shared_images', 'learners', 'jobs', 'schedule', 'schedule_run', 'next_run'],
    'everybody may read the views');
SELECT is_empty(
    $$SELECT relname, acl.privilege_type FROM relations, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS acl
      WHERE relkind = 'v' AND acl.grantee <> relowner AND acl.privilege_type <> 'SELECT'$$,
    'and do nothing else with them');
SELECT is_empty(
    $$SELECT relname FROM relations WHERE relkind = 'v' AND relname <> 'progress'
          AND NOT coalesce('security_barrier=true' = ANY (reloptions), false)$$,
    'views over the registry are security barriers');
SELECT is_empty(
    $$SELECT relname, attname FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
      WHERE relkind = 'v' AND (atttypid = 'bytea'::regtype OR attname LIKE 'image_crc')$$,
    'no view shows images');
SELECT is_empty(
    $$SELECT relname FROM relations, pg_extension e
      WHERE extname = 'pgml_auto' AND relkind IN ('r', 'S') AND NOT relations.oid = ANY (e.extconfig) AND relname NOT LIKE 'job\_queue%' AND relname <> 'schedule_state'$$,
    'all tables and sequences but those of what jobs and schedules do are dumped');

SELECT columns_are('pgml_auto', 'model', ARRAY['name', 'owner', 'task', 'target', 'metric', 'deployed', 'score', 'score_low',
    'score_high', 'algorithm', 'versions', 'last_trained']);
SELECT columns_are('pgml_auto', 'version', ARRAY['model', 'version', 'deployed', 'created_at', 'created_by', 'algorithm', 'metric',
    'score', 'score_low', 'score_high', 'baseline', 'score_part', 'rows_total', 'rows_read', 'rows_train', 'rows_test', 'inputs',
    'features', 'train_seconds', 'seed', 'classes', 'source', 'search_path', 'settings', 'notices', 'image_bytes', 'built_by', 'predict_us', 'why_chosen',
    'meta_features']);
SELECT columns_are('pgml_auto', 'trial', ARRAY['model', 'version', 'trial', 'algorithm', 'settings', 'status', 'metric',
    'validation_score', 'rows', 'folds', 'iterations', 'fit_cpu_seconds', 'fit_wall_seconds', 'chosen', 'error', 'weight',
    'predict_us', 'image_bytes', 'fold_scores', 'source', 'source_model']);
SELECT columns_are('pgml_auto', 'leaderboard', ARRAY['model', 'version', 'rank', 'trial', 'algorithm', 'metric', 'validation_score',
    'weight', 'seconds', 'image_bytes', 'predict_us', 'rows', 'status', 'chosen', 'fold_scores', 'source', 'settings', 'error']);
SELECT columns_are('pgml_auto', 'metric', ARRAY['model', 'version', 'deployed', 'part', 'metric', 'value', 'low', 'high']);
SELECT columns_are('pgml_auto', 'deployment', ARRAY['model', 'version', 'deployed_at', 'deployed_until', 'deployed_by', 'reason']);
SELECT columns_are('pgml_auto', 'model_grant', ARRAY['model', 'grantee', 'privilege', 'granted_by', 'granted_at']);
SELECT columns_are('pgml_auto', 'audit_log', ARRAY['at', 'actor', 'session', 'action', 'model', 'version', 'details']);
SELECT columns_are('pgml_auto', 'progress', ARRAY['pid', 'database', 'username', 'model', 'started_at', 'seconds', 'percent', 'step', 'best_score',
    'memory_bytes', 'seen_at']);
SELECT columns_are('pgml_auto', 'jobs', ARRAY['job', 'model', 'role', 'state', 'percent', 'step', 'time_left', 'best_score', 'memory_bytes',
    'seen_at', 'queued_at', 'started_at', 'ended_at', 'pid', 'attempts', 'resume', 'version', 'deployed', 'reason', 'sqlstate', 'error', 'detail', 'hint', 'slot_at']);
SELECT columns_are('pgml_auto', 'schedule', ARRAY['model', 'schedule', 'time_zone', 'state', 'next_run', 'failures', 'reason', 'misfire', 'overlap', 'grace',
    'max_retries', 'retry_delay', 'time_limit', 'start_at', 'scheduled_by', 'scheduled_at']);
SELECT columns_are('pgml_auto', 'schedule_run', ARRAY['model', 'slot_at', 'retry', 'state', 'job', 'queued_at', 'not_before', 'started_at', 'ended_at',
    'version', 'deployed', 'reason', 'sqlstate', 'error', 'detail', 'hint']);
SELECT columns_are('pgml_auto', 'next_run', ARRAY['model', 'run', 'run_at', 'local_time', 'time_zone']);
SELECT columns_are('pgml_auto', 'learners', ARRAY['algorithm', 'summary', 'by_default', 'setting', 'type', 'default_value', 'min', 'max', 'choices',
    'meaning', 'other_names']);
SELECT columns_are('pgml_auto', 'shared_images', ARRAY['database', 'model', 'version', 'image_bytes', 'sessions', 'loading', 'prepared_bytes']);

-- ---- comments and settings ----------------------------------------------------------------

SELECT is_empty($$SELECT oid::regprocedure FROM functions WHERE obj_description(oid, 'pg_proc') IS NULL$$,
                'every function has a comment');
SELECT is_empty($$SELECT relname FROM relations WHERE relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL$$,
                'every table and view has a comment');
SELECT isnt(obj_description('pgml_auto'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');
SELECT set_eq($$SELECT name FROM pg_settings WHERE name LIKE 'pgml\_auto.%'$$,
              ARRAY['pgml_auto.block_scoring', 'pgml_auto.enabled', 'pgml_auto.job_retention', 'pgml_auto.max_jobs', 'pgml_auto.max_memory', 'pgml_auto.max_queued_jobs',
                    'pgml_auto.max_queued_jobs_per_role', 'pgml_auto.max_threads', 'pgml_auto.model_cache_size', 'pgml_auto.progress_interval',
                    'pgml_auto.shared_cache_size'], 'the settings');
SELECT is_empty($$SELECT name FROM pg_settings WHERE name LIKE 'pgml\_auto.%' AND coalesce(short_desc, '') = ''$$,
                'every setting says what it is');
SELECT is(context, 'superuser', 'only a superuser raises the memory of a training') FROM pg_settings WHERE name = 'pgml_auto.max_memory';

SELECT * FROM finish();
ROLLBACK;
