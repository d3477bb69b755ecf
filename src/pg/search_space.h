/* search_space.h - the argument search_space of automl_train as the core wants it. */
#ifndef PGML_PG_SEARCH_SPACE_H
#define PGML_PG_SEARCH_SPACE_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "search/automl.h"

/*
 * Read member search_space of settings into options: lists and ranges by the names of settings, alone or in objects by the names of
 * learners.  22023 for anything else; what names and values mean is checked by pgml_automl_check().
 */
extern void search_space_read(const Jsonb *settings, PgmlTrainOptions *options);

#endif
