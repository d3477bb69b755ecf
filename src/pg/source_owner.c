/*
 * source_owner.c - whose code reading a source would run.
 *
 * Somebody who may manage a model, but not act as its owner, trains it on the owner's data, which is read as the owner.  Whoever
 * owns a relation, or a function behind it, decides what reading it runs: views, policies, the expressions of indexes.  So
 * everything that is read must belong to somebody who could act as the owner anyway.
 */
#include "pg/source.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* 42501 unless the owner of a thing could act as the model's. */
static void
check_owner(Oid owner, Oid model_owner, const char *kind, const char *name)
{
	if (has_privs_of_role(owner, model_owner))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		 errmsg("the source of the model uses %s \"%s\", which is not its owner's", kind, name),
		 errdetail("Whoever manages a model reads its source as \"%s\", so all that it runs must "
				   "belong to that role.",
				   GetUserNameFromId(model_owner, false)),
		 errhint("Its owner can train it again.")));
}

/* A relation, and the partitions and children that are read with it. */
static void
check_relation(Oid relid, Oid model_owner)
{
	List *relids = find_all_inheritors(relid, AccessShareLock, NULL);
	ListCell *cell;

	foreach(cell, relids)
	{
		HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_class relation;

		if (!HeapTupleIsValid(tuple))
			continue;
		relation = (Form_pg_class) GETSTRUCT(tuple);
		check_owner(relation->relowner, model_owner, "relation", NameStr(relation->relname));
		ReleaseSysCache(tuple);
	}
	list_free(relids);
}

/* A checker for check_functions_in_node(); the context is the model's owner. */
static bool
check_function(Oid function, void *context)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	check_owner(proc->proowner, *(Oid *) context, "function", NameStr(proc->proname));
	ReleaseSysCache(tuple);
	return false;
}

/* Domains have constraints. */
static void
check_type(Oid type, Oid model_owner)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_type) GETSTRUCT(tuple);
	check_owner(form->typowner, model_owner, "type", NameStr(form->typname));
	ReleaseSysCache(tuple);
}

static bool
check_node(Node *node, void *context)
{
	Oid model_owner = *(Oid *) context;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		if (OidIsValid(((RangeTblEntry *) node)->relid))
			check_relation(((RangeTblEntry *) node)->relid, model_owner);
		return false; /* the walker goes into it by itself */
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_node, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, CoerceToDomain))
		check_type(((CoerceToDomain *) node)->resulttype, model_owner);
	(void) check_functions_in_node(node, check_function, context);
	return expression_tree_walker(node, check_node, context);
}

void
pgml_source_check_owners(const PgmlStatement *statement, Oid model_owner)
{
	ListCell *cell;

	foreach(cell, SPI_plan_get_plan_sources(statement->plan))
		check_node((Node *) linitial(((CachedPlanSource *) lfirst(cell))->query_list),
				   &model_owner);
}

/* ---- temporary objects ---------------------------------------------------------------------- */

/* Whether the session's temporary schema has anything in it. */
static bool
has_temporary_objects(void)
{
	Oid schema, toast_schema;
	ScanKeyData key[2];

	GetTempNamespaceState(&schema, &toast_schema);
	if (!OidIsValid(schema))
		return false;
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	Relation depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	bool found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/* Whether reading the relation calls no functions of users while rows are read: no view, policy, partition or foreign table. */
static bool
is_plain_table(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class relation;
	bool plain;

	if (!HeapTupleIsValid(tuple))
		return false;
	relation = (Form_pg_class) GETSTRUCT(tuple);
	plain = (relation->relkind == RELKIND_RELATION || relation->relkind == RELKIND_MATVIEW) &&
			!relation->relrowsecurity && !relation->relhassubclass &&
			!isTempNamespace(relation->relnamespace);
	ReleaseSysCache(tuple);
	return plain;
}

bool
pgml_source_may_meet_temporary(Oid relid)
{
	return !is_plain_table(relid) && has_temporary_objects();
}

char *
pgml_source_temporary_last(const char *search_path)
{
	List *schemas;
	ListCell *cell;
	StringInfoData out;

	initStringInfo(&out);
	if (!SplitIdentifierString(pstrdup(search_path), ',', &schemas))
		schemas = NIL;
	foreach(cell, schemas)
		if (strcmp(lfirst(cell), "pg_temp") != 0)
			appendStringInfo(&out, "%s, ", quote_identifier(lfirst(cell)));
	appendStringInfoString(&out, "pg_temp");
	return out.data;
}
