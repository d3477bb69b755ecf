/*
 * sort.h - rows in the order of a 64-bit key: radix sort, linear, stable, without recursion.
 */
#ifndef PGML_CORE_SORT_H
#define PGML_CORE_SORT_H

#include <stdint.h>

#include "core/env.h"

typedef struct PgmlKeyed
{
	uint64_t key;
	int64_t row;
} PgmlKeyed;

/* A key that sorts as the number does: NaN first, then -infinity .. infinity; -0 equals 0. */
extern uint64_t pgml_key_of_double(double value);

/* Sort n items by key, equal keys in their given order. tmp: room for n more. Polls env->stop. */
extern PgmlStatus pgml_sort_keyed(const PgmlEnv *env, PgmlKeyed *items, PgmlKeyed *tmp, int64_t n);

#endif
