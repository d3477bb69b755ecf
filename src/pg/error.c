/* error.c - the core's failures as PostgreSQL errors. */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "pg/error.h"

/* SQLSTATE of a core status. */
static int
sqlstate_of(PgmlStatus status)
{
	switch (status)
	{
		case PGML_ERR_NOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		case PGML_ERR_LIMIT:
			return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
		case PGML_ERR_BADARG:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case PGML_ERR_DATA:
			return ERRCODE_DATA_EXCEPTION;
		case PGML_ERR_NUMERIC:
			return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
		case PGML_ERR_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case PGML_ERR_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case PGML_ERR_UNAVAILABLE:
			return ERRCODE_UNDEFINED_FILE;
		case PGML_OK:
		case PGML_ERR_INTERNAL:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* Copy of a text that may have been cut inside a multibyte character. */
static char *
whole_characters(const char *text)
{
	int len = strlen(text);

	return pnstrdup(text, pg_mbcliplen(text, len, len));
}

void
pgml_raise(const PgmlError *error)
{
	const char *message = error->message[0] != '\0' ? error->message : "training failed";

	ereport(ERROR, (errcode(sqlstate_of(error->status)), errmsg("%s", whole_characters(message)),
					error->detail[0] != '\0' ? errdetail("%s", whole_characters(error->detail)) : 0,
					error->hint[0] != '\0' ? errhint("%s", whole_characters(error->hint)) : 0));
	pg_unreachable();
}
