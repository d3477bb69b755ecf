/*
 * ingest.c - read any relation or query of the caller into the core's typed columns.
 *
 * The statement runs once, as the current user, with a DestReceiver that turns each tuple slot into values and hands
 * them to the stage; no result set is ever built.  It runs in a subtransaction of its own with transaction_read_only set, so
 * that nothing it calls can write; the subtransaction ends before the table is made.  (Inside a parallel operation
 * nothing can write anyway, and no subtransaction can be started.)
 *
 * Memory: the stage and the core's arenas are malloc'ed, so ERROR has to pass through stage_free(); what is palloc'ed
 * here lives in one context, deleted with the caller's.
 */
#include "postgres.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"

#include "core/hash.h"
#include "pg/compat.h"
#include "pg/element_name.h"
#include "pg/ingest_internal.h"
#include "pg/progress.h"
#include "pg/source.h"

#define PROGRESS_ROWS 10000

/* ---- rows ---------------------------------------------------------------------------------- */

/* Room for one value per column of the stage. */
static void
reserve_values(Ingest *ingest)
{
	int n = ingest->stage->ncolumns;
	PgmlValue *values;

	if (n <= ingest->max_values)
		return;
	values = stage_array(2 * n, sizeof(PgmlValue));
	if (ingest->max_values > 0)
		memcpy(values, ingest->values, ingest->max_values * sizeof(PgmlValue));
	ingest->values = values;
	ingest->max_values = 2 * n;
}

/* What the stage keeps of a column's values. */
static StageCell
cell_of(const PgmlTypeReader *reader)
{
	if (reader->kind == PGML_KIND_TEXT)
		return STAGE_CODE;
	return (reader->array ? reader->element : reader->type) == FLOAT4OID ? STAGE_SINGLE :
																		   STAGE_DOUBLE;
}

/* The first array of a column says how many columns its elements take. */
static void
set_width(Ingest *ingest, Input *input, int width)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->context);

	input->first = ingest->stage->ncolumns;
	input->width = width;
	for (int i = 0; i < width; i++)
		stage_add_column(ingest->stage, cell_of(&input->reader));
	reserve_values(ingest);
	MemoryContextSwitchTo(old);
}

/* Read an array into the values of its columns; an empty one is as missing as NULL. */
static void
read_array(Ingest *ingest, Input *input, Datum datum, bool isnull)
{
	double *elements = NULL;
	int n = isnull ? 0 : pgml_datum_elements(&input->reader, datum, &elements);

	if (input->width == 0 && n > 0)
		set_width(ingest, input, n);
	if (n > 0 && n != input->width)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("arrays in column \"%s\" have different lengths: %d and %d",
							   input->name, input->width, n),
						errhint("Bring them to one length, or leave the column out.")));
	for (int i = 0; i < input->width; i++)
	{
		double num = n > 0 ? elements[i] : NAN;

		ingest->values[input->first + i] =
			(PgmlValue){ .kind = PGML_KIND_NUMBER, .num = num, .is_null = isnan(num) };
	}
}

/* Whether a json datum that was read as missing is not simply null. */
static bool
is_structure(Oid type, Datum datum)
{
	if (type == JSONBOID)
		return !JB_ROOT_IS_SCALAR(DatumGetJsonbP(datum));
	return type == JSONOID && strpbrk(TextDatumGetCString(datum), "{[\\") != NULL;
}

/* Read one input of a row. */
static void
read_input(Ingest *ingest, Input *input, Datum datum, bool isnull)
{
	PgmlValue *value;

	if (input->reader.array)
	{
		read_array(ingest, input, datum, isnull);
		return;
	}
	if (input->width == 0)
		return;
	value = &ingest->values[input->first];
	*value = isnull ? (PgmlValue){ .kind = input->reader.kind, .is_null = true } :
					  pgml_datum_value(&input->reader, datum);
	if (!isnull && value->is_null && is_structure(input->reader.type, datum))
		input->structures++;
}

/* Take a row value by value. */
static void
receive_values(Ingest *ingest, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->row_context);
	uint64 hash;
	uint64 class = 0;

	slot_getallattrs(slot);
	for (int i = 0; i < ingest->ninputs; i++)
		read_input(ingest, &ingest->inputs[i], slot->tts_values[i], slot->tts_isnull[i]);
	hash = ingest_hash_row(ingest, slot->tts_values);
	if (ingest->target >= 0)
		class = ingest_hash_input(ingest, &ingest->inputs[ingest->target],
								  slot->tts_values[ingest->target]);
	stage_add_row(ingest->stage, ingest->values, hash, class);
	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->row_context);
}

/* One row from the executor. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Ingest *ingest = (Ingest *) self;

	CHECK_FOR_INTERRUPTS();
	if (ingest->block != NULL)
		ingest_block_add(ingest, slot);
	else
		receive_values(ingest, slot);
	if (ingest->stage->nrows_total >= ingest->reported + PROGRESS_ROWS)
	{
		char step[64];

		ingest->reported = ingest->stage->nrows_total;
		snprintf(step, sizeof(step), "reading data, " INT64_FORMAT " rows", ingest->reported);
		pgml_progress_report(0, step);
		pgml_progress_say(step, NULL, NAN);
	}
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	(void) self;
	(void) operation;
	(void) desc;
}

static void
receive_nothing(DestReceiver *self)
{
	(void) self;
}

/* ---- setting up ---------------------------------------------------------------------------- */

/* Readers and columns of the stage for all columns of the statement. */
static void
set_up_inputs(Ingest *ingest, const PgmlStatement *statement)
{
	pgml_check_element_names(statement->desc);
	ingest->ninputs = statement->desc->natts;
	ingest->inputs = palloc0(ingest->ninputs * sizeof(Input));
	for (int i = 0; i < ingest->ninputs; i++)
	{
		Form_pg_attribute att = TupleDescAttr(statement->desc, i);
		Input *input = &ingest->inputs[i];

		input->name = pstrdup(NameStr(att->attname));
		input->type_name = format_type_be(att->atttypid);
		input->is_key = bms_is_member(i, statement->keys);
		pgml_type_reader(att->atttypid, att->atttypmod, &input->reader);
		if (input->reader.supported && !input->reader.array)
		{
			input->first = stage_add_column(ingest->stage, cell_of(&input->reader));
			input->width = 1;
		}
	}
	reserve_values(ingest);
}

/* Classes are kept in the sample for targets that can have few values. */
static bool
can_stratify(const PgmlTypeReader *reader)
{
	return reader->supported && !reader->array &&
		   (reader->kind == PGML_KIND_TEXT || reader->kind == PGML_KIND_BOOL || reader->is_integer);
}

/* Everything that follows from the statement's columns. */
static void
set_up(Ingest *ingest, const PgmlStatement *statement)
{
	MemoryContext old = MemoryContextSwitchTo(ingest->context);

	set_up_inputs(ingest, statement);
	ingest_choose_identity(ingest, statement);
	ingest->target = ingest_find_input(ingest, ingest->request->target);
	if (ingest->target >= 0 && !can_stratify(&ingest->inputs[ingest->target].reader))
		ingest->target = -1;
	ingest->stage->stratified = ingest->target >= 0;
	ingest->rls_active = statement->rls_active;
	ingest->block = ingest_block_create(ingest, statement->desc);
	stage_expect(ingest->stage, pgml_source_expected_rows(statement));
	MemoryContextSwitchTo(old);
}

/* ---- running ------------------------------------------------------------------------------- */

/* Prepare, set up and run the statement in an SPI connection of its own. */
static void
run_statement(Ingest *ingest, const char *query)
{
	PgmlStatement statement;
	SPIExecuteOptions options = { .must_return_tuples = true, .dest = &ingest->receiver };
	int rc;

	SPI_connect();
	statement = pgml_source_prepare(query);
	if (OidIsValid(ingest->request->source_owner))
		pgml_source_check_owners(&statement, ingest->request->source_owner);
	set_up(ingest, &statement);
	rc = SPI_execute_plan_extended(statement.plan, &options);
	if (rc < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not run the data query: %s", SPI_result_code_string(rc))));
	if (ingest->block != NULL)
		ingest_block_flush(ingest);
	SPI_finish();
}

/* Run the statement where nothing can write. An error rolls the subtransaction back and goes on. */
static void
run_read_only(Ingest *ingest, const char *query)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (IsInParallelMode())
	{
		run_statement(ingest, query);
		return;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		XactReadOnly = true;
		run_statement(ingest, query);
		/* Read-only transactions may write large objects (before 16) and temporary tables. */
		if (TransactionIdIsValid(GetCurrentTransactionIdIfAny()))
			ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
							errmsg("a data query must only read"),
							errhint("A function that it calls writes; store the rows first, then "
									"name their table.")));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* ---- the table ----------------------------------------------------------------------------- */

/* Describe the columns of one input. */
static void
describe_input(const Input *input, PgmlArena *arena, PgmlColumn *out)
{
	for (int i = 0; i < input->width; i++, out++)
	{
		char *name = input->reader.array ? psprintf("%s[%d]", input->name, i + 1) :
										   unconstify(char *, input->name);

		out->name = pgml_strdup(arena, name);
		out->type_name = pgml_strdup(arena, input->type_name);
		out->kind = input->reader.kind;
		out->origin = input->reader.origin;
		out->is_integer = input->reader.is_integer;
		out->is_key = input->is_key;
		if (out->name == NULL || out->type_name == NULL)
			stage_fail_limit();
	}
}

/* Make the table of the staged rows, freeing the stage's columns on the way. */
static PgmlTable *
make_table(Ingest *ingest, PgmlArena *arena)
{
	PgmlTable *table = pgml_zalloc(arena, 1, sizeof(PgmlTable));
	int *columns;
	int n = 0;

	if (table == NULL)
		stage_fail_limit();
	table->nrows_total = ingest->stage->nrows_total;
	table->ncols = ingest->stage->ncolumns;
	table->cols = pgml_zalloc(arena, Max(table->ncols, 1), sizeof(PgmlColumn));
	if (table->cols == NULL)
		stage_fail_limit();
	columns = palloc((table->ncols + 1) * sizeof(int));
	for (int i = 0; i < ingest->ninputs; i++)
	{
		const Input *input = &ingest->inputs[i];

		describe_input(input, arena, &table->cols[n]);
		for (int k = 0; k < input->width; k++)
			columns[n++] = input->first + k;
	}
	stage_emit(ingest->stage, columns, arena, table);
	return table;
}

/* ---- notices ------------------------------------------------------------------------------- */

/* A count with commas: 1,234,567. */
static char *
grouped_digits(int64 n)
{
	StringInfoData out;
	char *digits = psprintf(INT64_FORMAT, n);
	int len = strlen(digits);

	initStringInfo(&out);
	for (int i = 0; i < len; i++)
	{
		if (i > 0 && (len - i) % 3 == 0)
			appendStringInfoChar(&out, ',');
		appendStringInfoChar(&out, digits[i]);
	}
	return out.data;
}

/* Name the columns that were left out, and those with JSON that is not scalar. */
static void
notice_columns(const Ingest *ingest)
{
	StringInfoData unusable;

	initStringInfo(&unusable);
	for (int i = 0; i < ingest->ninputs; i++)
	{
		const Input *input = &ingest->inputs[i];

		if (!input->reader.supported)
			appendStringInfo(&unusable, "%s\"%s\" (%s)", unusable.len > 0 ? ", " : "", input->name,
							 input->type_name);
		if (input->structures > 0)
			ereport(
				NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg(
					 "objects and arrays in JSON column \"%s\" are read as missing: %s of %s rows",
					 input->name, grouped_digits(input->structures),
					 grouped_digits(ingest->stage->nrows_total))));
	}
	if (unusable.len > 0)
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("columns of types that cannot be used are left out: %s", unusable.data)));
}

/* Say what of the data was not read. */
static void
notice_rows(const Ingest *ingest, const PgmlTable *table)
{
	if (ingest->rls_active)
		ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
						 errmsg("row security applies: only rows that \"%s\" may see are read",
								GetUserNameFromId(GetUserId(), false))));
	if (table->nrows < table->nrows_total)
		ereport(NOTICE, (errcode(ERRCODE_SUCCESSFUL_COMPLETION),
						 errmsg("using %s of %s rows, a random sample of what fits into memory",
								grouped_digits(table->nrows), grouped_digits(table->nrows_total)),
						 errhint("A superuser can raise pgml_auto.max_memory.")));
}

/* ---- entry --------------------------------------------------------------------------------- */

/* An ingest ready to run, in a context of its own below the current one. */
static Ingest *
create_ingest(const PgmlIngest *request)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "pgml_auto ingest", ALLOCSET_DEFAULT_SIZES);
	Ingest *ingest = MemoryContextAllocZero(context, sizeof(Ingest));

	ingest->receiver.receiveSlot = receive_row;
	ingest->receiver.rStartup = receive_startup;
	ingest->receiver.rShutdown = receive_nothing;
	ingest->receiver.rDestroy = receive_nothing;
	ingest->receiver.mydest = DestNone;
	ingest->request = request;
	ingest->context = context;
	ingest->row_context =
		AllocSetContextCreate(context, "pgml_auto ingest row", ALLOCSET_DEFAULT_SIZES);
	ingest->target = -1;
	return ingest;
}

/* Read what the statement returns. */
static PgmlTable *
read_table(Ingest *ingest, const char *query, PgmlArena *arena)
{
	const PgmlIngest *request = ingest->request;
	PgmlTable *volatile table = NULL;
	bool shown = pgml_progress_active();

	ingest->stage = stage_create(request->max_bytes, request->salt);
	PG_TRY();
	{
		pgml_progress_report(0, "reading data");
		run_read_only(ingest, query);
		if (shown && !pgml_progress_active())
			pgml_progress_resume();
		table = make_table(ingest, arena);
	}
	PG_FINALLY();
	{
		stage_free(ingest->stage);
	}
	PG_END_TRY();
	return table;
}

PgmlTable *
pgml_ingest(const PgmlIngest *request, PgmlArena *arena, PgmlIngestInfo *info)
{
	PgmlSource source = pgml_source_resolve(request->data);
	Ingest *ingest = create_ingest(request);
	MemoryContext old = MemoryContextSwitchTo(ingest->context);
	PgmlTable *table = read_table(ingest, source.query, arena);

	notice_columns(ingest);
	notice_rows(ingest, table);
	*info = (PgmlIngestInfo){ .relid = source.relid,
							  .query = source.query,
							  .rls_active = ingest->rls_active };
	MemoryContextSwitchTo(old);
	info->identity = ingest_describe_identity(ingest);
	MemoryContextDelete(ingest->context);
	return table;
}
