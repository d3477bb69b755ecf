/*
 * execution.h - what a training has executed (search/execution.h), to and from the jsonb that is kept with its version.
 */
#ifndef PGML_PG_EXECUTION_H
#define PGML_PG_EXECUTION_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "search/execution.h"

/* What the server adds to it. */
typedef struct ExecutionFrame
{
	const Jsonb
		*rules; /* of the model's split, as the training found them; NULL: it has made them */
	int64 max_columns; /* bytes that reading might take */
} ExecutionFrame;

extern Jsonb *execution_write(const PgmlExecution *execution, const ExecutionFrame *frame);

/* XX001 when it cannot be read: it is ours alone to write.  Results are palloc'ed. */
extern void execution_read(const Jsonb *stored, PgmlExecution *execution, ExecutionFrame *frame);

#endif
