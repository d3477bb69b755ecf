/*
 * element_name.h - the names of array elements: those of column "v" are called "v[1]", "v[2]", ...
 */
#ifndef PGML_PG_ELEMENT_NAME_H
#define PGML_PG_ELEMENT_NAME_H

#include "postgres.h"
#include "access/tupdesc.h"

/* Split "v[3]" into the length of "v" and 3; false for other names. */
extern bool pgml_split_element(const char *name, int *base_length, int32 *element);

/* 42701 when a column has the name of an element of an array column: the model could not tell them apart. */
extern void pgml_check_element_names(TupleDesc desc);

#endif
