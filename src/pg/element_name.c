/* element_name.c - the names of array elements. */
#include "postgres.h"

#include "pg/element_name.h"
#include "pg/ingest.h"

bool
pgml_split_element(const char *name, int *base_length, int32 *element)
{
	int length = (int) strlen(name);
	int at = length - 2;
	int64 number = 0;

	if (length < 4 || name[length - 1] != ']')
		return false;
	while (at > 0 && name[at] >= '0' && name[at] <= '9')
		at--;
	if (at <= 0 || name[at] != '[' || at == length - 2)
		return false;
	for (int i = at + 1; i < length - 1; i++)
	{
		number = number * 10 + (name[i] - '0');
		if (number > PG_INT32_MAX)
			return false;
	}
	*base_length = at;
	*element = (int32) number;
	return number > 0;
}

/* Whether the column is an array called by the first length bytes of the name. */
static bool
is_array_called(Form_pg_attribute att, const char *name, int length)
{
	PgmlTypeReader reader;

	if (att->attisdropped || strncmp(NameStr(att->attname), name, length) != 0 ||
		NameStr(att->attname)[length] != '\0')
		return false;
	pgml_type_reader(att->atttypid, att->atttypmod, &reader);
	return reader.array;
}

void
pgml_check_element_names(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);
		int length;
		int32 element;

		if (!pgml_split_element(name, &length, &element))
			continue;
		for (int j = 0; j < desc->natts; j++)
			if (is_array_called(TupleDescAttr(desc, j), name, length))
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" has the name of an element of array column \"%.*s\"",
								name, length, name),
						 errhint("Rename one of them in a query.")));
	}
}
