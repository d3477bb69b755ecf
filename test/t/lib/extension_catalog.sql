-- Everything that the catalogs know of the extension's objects, a line each, without OIDs: what a fresh installation and
-- an updated one must have in common.
SET search_path TO pg_catalog;
CREATE TEMPORARY TABLE member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pgml_auto' AND d.deptype = 'e';

-- What is new in an object's catalog row since another major version matters too, hence whole rows, less what differs anyway.
CREATE FUNCTION pg_temp.row_of(r anyelement, VARIADIC left_out text[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT (to_jsonb(r) - left_out - ARRAY['oid'])::text
$$;

SELECT line FROM (
	SELECT 'extension: ' || pg_temp.row_of(e, 'extconfig', 'extnamespace') || ' ' || extnamespace::regnamespace AS line
	FROM pg_extension e WHERE extname = 'pgml_auto'
	UNION ALL
	SELECT format('dumped: %s %L', c::regclass, condition)
	FROM pg_extension e, unnest(extconfig, extcondition) AS u (c, condition) WHERE extname = 'pgml_auto'
	UNION ALL
	SELECT 'member: ' || name FROM member
	UNION ALL
	SELECT format('comment: %s %s: %s', m.name, objsubid, description)
	FROM member m JOIN pg_description ON (classoid, objoid) = (m.classid, m.objid)
	UNION ALL
	SELECT format('initial privileges: %s %s: %s', m.name, objsubid, initprivs)
	FROM member m JOIN pg_init_privs ON (classoid, objoid) = (m.classid, m.objid)
	UNION ALL
	SELECT format('schema: %s', pg_temp.row_of(n))
	FROM member m JOIN pg_namespace n ON n.oid = m.objid WHERE m.classid = 'pg_namespace'::regclass
	UNION ALL
	SELECT format('function: %s: %s %s', m.name, pg_get_functiondef(p.oid),
		pg_temp.row_of(p, 'pronamespace', 'prosqlbody', 'proargdefaults', 'prosupport') || prosupport)
	FROM member m JOIN pg_proc p ON p.oid = m.objid WHERE m.classid = 'pg_proc'::regclass
	UNION ALL
	SELECT format('relation: %s: %s', m.name,
		pg_temp.row_of(c, 'relnamespace', 'reltype', 'relfilenode', 'reltoastrelid', 'relpages', 'reltuples', 'relallvisible',
			'relallfrozen', 'relfrozenxid', 'relminmxid', 'relnatts'))
	FROM member m JOIN pg_class c ON c.oid = m.objid WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('column: %s, %s: %s %s %s %s %s', m.name, row_number() OVER (PARTITION BY m.objid ORDER BY attnum), format_type(atttypid, atttypmod),
		pg_get_expr(adbin, adrelid),
		CASE WHEN attcollation <> 0 THEN attcollation::regcollation END,
		(SELECT array_agg(o) FROM unnest(attoptions) o WHERE o !~ '^pg_attver='), -- some servers stamp every column
		pg_temp.row_of(a, 'attoptions', 'attrelid', 'attnum', 'atttypid', 'attcollation', 'attcacheoff', 'atthasmissing', 'attmissingval'))
	FROM member m JOIN pg_attribute a ON a.attrelid = m.objid AND attnum > 0 AND NOT attisdropped
	LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
	WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('constraint: %s: %s %s', m.name, conname, pg_get_constraintdef(c.oid))
	FROM member m JOIN pg_constraint c ON conrelid = m.objid WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('index: %s: %s', m.name, pg_get_indexdef(indexrelid))
	FROM member m JOIN pg_index ON indrelid = m.objid WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('trigger: %s: %s %s', m.name, pg_get_triggerdef(t.oid), tgenabled)
	FROM member m JOIN pg_trigger t ON tgrelid = m.objid WHERE m.classid = 'pg_class'::regclass AND NOT tgisinternal
	UNION ALL
	SELECT format('rule: %s: %s %s', m.name, pg_get_ruledef(r.oid), ev_enabled)
	FROM member m JOIN pg_rewrite r ON ev_class = m.objid WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('policy: %s: %s %s %s', m.name, polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
	FROM member m JOIN pg_policy ON polrelid = m.objid WHERE m.classid = 'pg_class'::regclass
	UNION ALL
	SELECT format('sequence: %s: %s', m.name, pg_temp.row_of(s, 'seqrelid', 'seqtypid') || format_type(seqtypid, NULL))
	FROM member m JOIN pg_sequence s ON seqrelid = m.objid WHERE m.classid = 'pg_class'::regclass) AS lines
ORDER BY line COLLATE "C";
