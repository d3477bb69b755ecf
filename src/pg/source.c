/*
 * source.c - what `data` means: a relation or a query, and which of its columns identify rows.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tupdesc.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "pg/compat.h"
#include "pg/source.h"

#define MAX_COLUMNS 1600 /* of a table in PostgreSQL */

/* ---- names --------------------------------------------------------------------------------- */

/* The relation that data names, InvalidOid when data is not a name. Locked against changes, 42P01 when missing. */
static Oid
find_relation(const char *data)
{
	List *names;
	List *strings = NIL;
	ListCell *cell;
	Oid relid;

	/* The splitter takes anything without blanks for a name: "VALUES(1)" is none. */
	if (strchr(data, '"') == NULL && strchr(data, '(') != NULL)
		return InvalidOid;
	if (!SplitIdentifierString(pstrdup(data), '.', &names) || names == NIL)
		return InvalidOid;
	foreach(cell, names)
		strings = lappend(strings, makeString(lfirst(cell)));
	relid = RangeVarGetRelidExtended(makeRangeVarFromNameList(strings), AccessShareLock,
									 RVR_MISSING_OK, NULL, NULL);
	if (!OidIsValid(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation \"%s\" does not exist", NameListToString(strings)),
			 errhint(
				 "Give the name of a table or view that the search_path leads to, with its "
				 "schema if needed, or a query that begins with SELECT, WITH, VALUES or TABLE.")));
	return relid;
}

/* Refuse relations that cannot be read like a table. */
static void
check_relkind(Oid relid)
{
	char relkind = get_rel_relkind(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_VIEW && relkind != RELKIND_MATVIEW && relkind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot read rows from relation \"%s\"", get_rel_name(relid)),
				 errhint("Tables, views, materialized views, partitioned and foreign tables can be "
						 "read.")));
}

/* ---- queries ------------------------------------------------------------------------------- */

/* Error context: positions of syntax errors are in the query, not in the statement that holds it. */
static void
query_error_context(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
}

/* Whether a parsed statement is one that writes, as far as its kind tells. */
static bool
writes(Node *statement)
{
	return IsA(statement, InsertStmt) || IsA(statement, UpdateStmt) || IsA(statement, DeleteStmt) ||
		   IsA(statement, MergeStmt) ||
		   (IsA(statement, SelectStmt) && ((SelectStmt *) statement)->intoClause != NULL);
}

/* The text of the one statement in data; refuses everything but a SELECT, WITH, VALUES or TABLE. */
static char *
read_query(const char *query)
{
	ErrorContextCallback context = { .callback = query_error_context,
									 .arg = unconstify(char *, query),
									 .previous = error_context_stack };
	List *statements;
	RawStmt *raw;
	Node *statement;

	error_context_stack = &context;
	statements = raw_parser(query, RAW_PARSE_DEFAULT);
	error_context_stack = context.previous;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR), errmsg("data must be one relation or one query"),
				 errhint("Give one statement that begins with SELECT, WITH, VALUES or TABLE.")));
	raw = linitial_node(RawStmt, statements);
	statement = raw->stmt;
	if (writes(statement))
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("a data query must only read"),
				 errhint("Store the rows first, then name their table.")));
	if (!IsA(statement, SelectStmt))
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("data must be the name of a relation or a query"),
						errhint("A query begins with SELECT, WITH, VALUES or TABLE.")));
	/* Without what follows a semicolon, so that it can stand in parentheses. */
	return raw->stmt_len > 0 ? pnstrdup(query + raw->stmt_location, raw->stmt_len) :
							   pstrdup(query + Max(raw->stmt_location, 0));
}

PgmlSource
pgml_source_resolve(const char *data)
{
	PgmlSource source = { InvalidOid, NULL };

	if (data == NULL || data[strspn(data, " \t\r\n")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("data must not be empty"),
						errhint("Give the name of a table or view, or a query.")));
	source.relid = find_relation(data);
	if (!OidIsValid(source.relid))
	{
		source.query = read_query(data);
		return source;
	}
	check_relkind(source.relid);
	source.query =
		psprintf("SELECT * FROM %s",
				 quote_qualified_identifier(get_namespace_name(get_rel_namespace(source.relid)),
											get_rel_name(source.relid)));
	return source;
}

/* ---- prepared statements ------------------------------------------------------------------- */

/* Refuse rows that no model can be made of or that inputs could not be bound to by name. */
static void
check_columns(TupleDesc desc)
{
	if (desc->natts == 0)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("the data has no columns")));
	if (desc->natts > MAX_COLUMNS)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
						errmsg("the data has %d columns, more than %d", desc->natts, MAX_COLUMNS),
						errhint("Put numbers that belong together into an array.")));
	for (int i = 1; i < desc->natts; i++)
	{
		for (int j = 0; j < i; j++)
		{
			const char *name = NameStr(TupleDescAttr(desc, i)->attname);

			if (strcmp(name, NameStr(TupleDescAttr(desc, j)->attname)) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("the query returns more than one column \"%s\"", name),
								errhint("Give each column of the query a name of its own.")));
		}
	}
}

/* The one query a plan consists of, refused when it writes. */
static Query *
only_query(CachedPlanSource *source)
{
	Query *query =
		list_length(source->query_list) == 1 ? linitial_node(Query, source->query_list) : NULL;

	if (query == NULL || query->commandType != CMD_SELECT || query->hasModifyingCTE ||
		query->rowMarks != NIL || source->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION), errmsg("a data query must only read"),
				 errhint("Store the rows first, then name their table.")));
	return query;
}

/* Whether any relation that the plan depends on hides rows from the current user. */
static bool
rls_applies(CachedPlanSource *source)
{
	ListCell *cell;

	if (!source->dependsOnRLS)
		return false;
	foreach(cell, source->relationOids)
	{
		if (check_enable_rls(lfirst_oid(cell), InvalidOid, true) == RLS_ENABLED)
			return true;
	}
	return false;
}

/* The table of which each row of the query is one row: no join, no grouping, no set operation. */
static Oid
single_table(Query *query)
{
	RangeTblEntry *entry;

	if (list_length(query->rtable) != 1 || query->setOperations != NULL || query->hasAggs ||
		query->hasTargetSRFs || query->groupClause != NIL || query->groupingSets != NIL ||
		query->distinctClause != NIL)
		return InvalidOid;
	entry = linitial_node(RangeTblEntry, query->rtable);
	return entry->rtekind == RTE_RELATION ? entry->relid : InvalidOid;
}

/* Output column (from 0) that is the column of the table unchanged; -1 when there is none. */
static int
find_output(Query *query, Oid table, AttrNumber column)
{
	ListCell *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && entry->resorigtbl == table && entry->resorigcol == column)
			return entry->resno - 1;
	}
	return -1;
}

/* Remember where the columns of the primary key come out, when all of them do. */
static void
set_primary_key(PgmlStatement *statement, Query *query, Oid table, Form_pg_index index)
{
	int n = index->indnkeyatts;
	int *columns = palloc(n * sizeof(int));

	for (int i = 0; i < n; i++)
	{
		columns[i] = find_output(query, table, index->indkey.values[i]);
		if (columns[i] < 0)
			return;
	}
	statement->primary_key = columns;
	statement->n_primary_key = n;
}

/* Note the columns of one index, when it identifies rows. */
static void
add_index(PgmlStatement *statement, Query *query, Oid table, bool identifies, Oid indexid)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	Form_pg_index index;

	if (!HeapTupleIsValid(tuple))
		return;
	index = (Form_pg_index) GETSTRUCT(tuple);
	if (index->indisunique && index->indisvalid &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		(index->indisprimary || index->indnkeyatts == 1))
	{
		for (int i = 0; i < index->indnkeyatts; i++)
		{
			int column = find_output(query, table, index->indkey.values[i]);

			if (column >= 0)
				statement->keys = bms_add_member(statement->keys, column);
		}
		if (index->indisprimary && identifies)
			set_primary_key(statement, query, table, index);
	}
	ReleaseSysCache(tuple);
}

/* Note the columns of all indexes of a table that identify rows. */
static void
add_table(PgmlStatement *statement, Query *query, Oid table, bool identifies)
{
	Relation relation = relation_open(table, AccessShareLock);
	List *indexes = RelationGetIndexList(relation);
	ListCell *cell;

	foreach(cell, indexes)
		add_index(statement, query, table, identifies, lfirst_oid(cell));
	list_free(indexes);
	relation_close(relation, NoLock);
}

/* Note the key columns of every table that columns of the query come from. */
static void
find_keys(PgmlStatement *statement, Query *query)
{
	Oid row_table = single_table(query);
	List *tables = NIL;
	ListCell *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && OidIsValid(entry->resorigtbl))
			tables = list_append_unique_oid(tables, entry->resorigtbl);
	}
	foreach(cell, tables)
		add_table(statement, query, lfirst_oid(cell), lfirst_oid(cell) == row_table);
}

PgmlStatement
pgml_source_prepare(const char *query)
{
	PgmlStatement statement = { 0 };
	CachedPlanSource *source;
	Query *parsed;

	statement.plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_PARALLEL_OK);
	if (statement.plan == NULL || list_length(SPI_plan_get_plan_sources(statement.plan)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not prepare the data query: %s",
														 SPI_result_code_string(SPI_result))));
	source = linitial(SPI_plan_get_plan_sources(statement.plan));
	parsed = only_query(source);
	statement.desc = source->resultDesc;
	check_columns(statement.desc);
	statement.rls_active = rls_applies(source);
	find_keys(&statement, parsed);
	return statement;
}

double
pgml_source_expected_rows(const PgmlStatement *statement)
{
	CachedPlan *plan = SPI_plan_get_cached_plan(statement->plan);
	double rows = 0;

	if (plan == NULL)
		return 0;
	if (list_length(plan->stmt_list) == 1)
		rows = linitial_node(PlannedStmt, plan->stmt_list)->planTree->plan_rows;
	ReleaseCachedPlan(plan, NULL);
	return rows;
}
