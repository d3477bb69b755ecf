-- Creating, dropping and creating again; where things live; what a hostile schema can do.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pgml_auto CASCADE;

CREATE EXTENSION pgml_auto SCHEMA pgml_auto;
CREATE SCHEMA pgml_auto;
CREATE EXTENSION pgml_auto SCHEMA pgml_auto;
CREATE EXTENSION pgml_auto;
DROP SCHEMA pgml_auto;

-- another schema with a name that needs quotes
CREATE SCHEMA "Odd Name";
CREATE EXTENSION pgml_auto SCHEMA "Odd Name";
SELECT count(*) FROM "Odd Name".automl_train('m', 'SELECT i % 30 AS x, i % 30 * 2 + i % 3 AS y FROM generate_series(1, 60) i', 'y', max_trials => 1);
SELECT name FROM pgml_auto.model;

-- Drop and create in the same session: no plan and no OID of the old one is used.
DROP EXTENSION pgml_auto;
DROP SCHEMA "Odd Name";
CREATE EXTENSION pgml_auto;
SELECT name FROM pgml_auto.model;
SELECT count(*) FROM automl_train('m', 'SELECT i % 30 AS x, i % 30 * 2 + i % 3 AS y FROM generate_series(1, 60) i', 'y', max_trials => 1);
SELECT name, deployed FROM pgml_auto.model;
BEGIN;
DROP EXTENSION pgml_auto;
CREATE EXTENSION pgml_auto;
SELECT count(*) FROM automl_train('n', 'SELECT i % 30 AS x, i % 30 * 2 + i % 3 AS y FROM generate_series(1, 60) i', 'y', max_trials => 1);
SELECT name FROM pgml_auto.model;
ROLLBACK;
SELECT name FROM pgml_auto.model;
SELECT automl_drop('m');

-- All tables and identity sequences are dumped, but for those of jobs.
SELECT c.relname
FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pgml_auto' AND c.relkind IN ('r', 'S') AND NOT c.oid = ANY (e.extconfig)
  AND c.relname NOT LIKE 'job\_queue%' AND c.relname <> 'schedule_state';
SELECT count(*) FROM pg_extension e, unnest(e.extconfig) WHERE e.extname = 'pgml_auto';

-- Every object of the extension has a comment; nobody but the owner may touch tables.
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pgml_auto' AND d.deptype = 'e' AND obj_description(d.objid, d.classid::regclass::name) IS NULL
  AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT oid FROM pg_class WHERE relkind <> 'r' AND relkind <> 'v'))
ORDER BY 1;
SELECT relname FROM pg_class WHERE relnamespace = 'pgml_auto'::regnamespace AND relkind IN ('r', 'S')
   AND has_table_privilege('public', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE');
SELECT relname FROM pg_class c WHERE relnamespace = 'pgml_auto'::regnamespace AND relkind = 'v' AND relname <> 'progress'
   AND NOT coalesce('security_barrier=true' = ANY (reloptions), false);
SELECT attrelid::regclass FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'pgml_auto'::regnamespace AND relkind = 'v' AND atttypid = 'bytea'::regtype;
SELECT proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pgml_auto' AND p.prosecdef;

-- A hostile schema in front of everything: none of its functions and operators is ever called.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'trapped by = for text'; END $$;
CREATE FUNCTION hostile.trap8(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'trapped by = for bigint'; END $$;
CREATE OPERATOR hostile.= (leftarg = text, rightarg = text, function = hostile.trap);
CREATE OPERATOR hostile.= (leftarg = bigint, rightarg = bigint, function = hostile.trap8);
CREATE OPERATOR hostile.<> (leftarg = bigint, rightarg = bigint, function = hostile.trap8);
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped by now'; END $$;
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'trapped by clock_timestamp'; END $$;
CREATE FUNCTION hostile.round(numeric, int) RETURNS numeric LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'trapped by round'; END $$;
CREATE TABLE hostile.models (name text);
CREATE TABLE hostile.d AS SELECT i::bigint % 30 AS x, i % 30 * 2 + i % 3 AS y FROM generate_series(1, 60) i;
SET search_path = hostile, pg_catalog, public;
SELECT model, version FROM automl_train('h', 'd', 'y', max_trials => 1);
SELECT model, version FROM automl_train('h');
SELECT automl_deploy('h', 1), automl_rollback('h'), automl_grant('h', 'public'), automl_rename('h', 'i');
SELECT count(*) > 5 AS described FROM automl_describe('i');
SELECT count(*) AS trials FROM automl_leaderboard('i');
SELECT count(*) AS predicted FROM (SELECT predict('i', d) FROM d) p;
SELECT count(*) FROM pgml_auto.model;
SELECT automl_drop('i');
RESET search_path;
DROP SCHEMA hostile CASCADE;
