#include "core/sort.h"

#include <math.h>
#include <string.h>

/* Items between two looks at the stop flag: well below 50 ms of work. */
#define POLL_MASK 0xffff

/* Flip the bits so that unsigned order is numeric order; 0 is left for NaN. */
uint64_t
pgml_key_of_double(double value)
{
	const uint64_t sign = UINT64_C(1) << 63;
	uint64_t bits;

	if (isnan(value))
		return 0;
	value += 0.0; /* -0 becomes 0 */
	memcpy(&bits, &value, sizeof(bits));
	return bits & sign ? ~bits : bits | sign;
}

/* How often each value of each of the eight key bytes occurs. */
static PgmlStatus
count_bytes(const PgmlEnv *env, const PgmlKeyed *items, int64_t n, int64_t count[8][256])
{
	memset(count, 0, 8 * 256 * sizeof(int64_t));
	for (int64_t i = 0; i < n; i++)
	{
		uint64_t key = items[i].key;

		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (int b = 0; b < 8; b++, key >>= 8)
			count[b][key & 255]++;
	}
	return PGML_OK;
}

/* One stable pass by one byte of the key; count becomes the places where each byte value goes. */
static PgmlStatus
scatter(const PgmlEnv *env, const PgmlKeyed *from, PgmlKeyed *to, int64_t n, int shift,
		int64_t *count)
{
	int64_t at = 0;

	for (int v = 0; v < 256; v++)
	{
		int64_t here = count[v];

		count[v] = at;
		at += here;
	}
	for (int64_t i = 0; i < n; i++)
	{
		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		to[count[from[i].key >> shift & 255]++] = from[i];
	}
	return PGML_OK;
}

/* Least significant byte first; bytes that are the same in all keys cost nothing. */
PgmlStatus
pgml_sort_keyed(const PgmlEnv *env, PgmlKeyed *items, PgmlKeyed *tmp, int64_t n)
{
	int64_t count[8][256];
	PgmlKeyed *from = items;
	PgmlKeyed *to = tmp;

	if (n < 2)
		return PGML_OK;
	PGML_TRY(count_bytes(env, items, n, count));
	for (int b = 0; b < 8; b++)
	{
		PgmlKeyed *swap = from;

		if (count[b][from[0].key >> (8 * b) & 255] == n)
			continue;
		PGML_TRY(scatter(env, from, to, n, 8 * b, count[b]));
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, (size_t) n * sizeof(*items));
	return PGML_OK;
}
