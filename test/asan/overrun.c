/* overrun.c - a library that reads beyond its memory as soon as it is loaded: AddressSanitizer has to say so. */
#include <stdlib.h>

#include "postgres.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	volatile char *bytes = malloc(8);

	if (bytes[8] != 0)
		abort();
}
