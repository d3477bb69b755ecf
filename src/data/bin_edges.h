/*
 * bin_edges.h - where the bins of a numeric feature end, found on a sample of its values.
 */
#ifndef PGML_DATA_BIN_EDGES_H
#define PGML_DATA_BIN_EDGES_H

#include <stdint.h>
#include <string.h>

/* What edges are found in: two arrays with room for the sample. */
typedef struct PgmlEdgeRoom
{
	uint32_t *key;
	uint32_t *other;
} PgmlEdgeRoom;

/* Integer of a float in whose order floats lie; both zeros give the same, NaN gives what is no number's. */
static inline uint32_t
pgml_float_key(float x)
{
	uint32_t bits;

	x += 0.0f;
	memcpy(&bits, &x, sizeof(bits));
	return bits ^ ((uint32_t) ((int32_t) bits >> 31) | UINT32_C(0x80000000));
}

/* The float of a key. */
static inline float
pgml_float_of_key(uint32_t key)
{
	uint32_t bits = key & UINT32_C(0x80000000) ? key & UINT32_C(0x7fffffff) : ~key;
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Sort x[rows[0]] .. x[rows[n - 1]] without NaN: their keys are in room->key. Returns how many there are. */
extern int64_t pgml_sort_floats(PgmlEdgeRoom *room, const float *x, const int32_t *rows, int64_t n);

/*
 * Cut x[rows[0]] .. x[rows[n - 1]] into at most max_bin bins (2 .. 255) of about equal counts; NaN does not count.  The edges, at
 * most max_bin - 1, are stored in rising order, their number is returned.
 */
extern int pgml_bin_edges(PgmlEdgeRoom *room, const float *x, const int32_t *rows, int64_t n,
						  int max_bin, float *edge);

#endif
