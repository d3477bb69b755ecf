/*
 * pgml_auto.c - what happens when PostgreSQL loads the library: settings and callbacks, nothing that starts threads.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "pg/guc.h"
#include "pg/model_cache.h"
#include "pg/scan.h"
#include "pg/shared_images.h"
#include "pg/wake.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Reserving the prefix comes last: it removes settings under our prefix that nobody has defined. */
void
_PG_init(void)
{
	pgml_guc_init();
	pgml_model_cache_init();
	pgml_shared_images_init();
	pgml_scan_init();
	wake_init();
	MarkGUCPrefixReserved("pgml_auto");
}
