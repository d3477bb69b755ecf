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

/*
 * Sort n items, fewer than 2^32, by their upper 32 bits, equal ones in their given order: keys of which these bits tell nearly all
 * apart, with a number in the lower ones, in half the memory.  *tmp has room for n more; the two are exchanged where *items
 * has become the scratch.  Polls env->stop.
 */
extern PgmlStatus pgml_sort_upper(const PgmlEnv *env, uint64_t **items, uint64_t **tmp, int64_t n);

#endif
