#include "core/sort.h"

#include <math.h>
#include <string.h>

/* Items between two looks at the stop flag: well below 50 ms of work. */
#define POLL_MASK 0xffff

#define DIGIT_BITS 10
#define DIGITS     (1 << DIGIT_BITS)

/* Bits that tell nearly all of some million hashes apart. */
#define UPPER_BITS (3 * DIGIT_BITS)

/* Moves of the last step that are always worth their time. */
#define MOST_MOVES 1000

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

/* The bits in which keys differ: one of the first key and any other. */
static PgmlStatus
find_varying(const PgmlEnv *env, const PgmlKeyed *items, int64_t n, uint64_t *varying)
{
	*varying = 0;
	for (int64_t i = 0; i < n; i++)
	{
		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		*varying |= items[i].key ^ items[0].key;
	}
	return PGML_OK;
}

/* One stable pass by one digit of the key, those that are not in use count as 0. */
static PgmlStatus
scatter(const PgmlEnv *env, const PgmlKeyed *from, PgmlKeyed *to, int64_t n, int shift)
{
	int64_t start[DIGITS] = { 0 };
	int64_t at = 0;

	for (int64_t i = 0; i < n; i++)
	{
		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		start[from[i].key >> shift & (DIGITS - 1)]++;
	}
	for (int v = 0; v < DIGITS; v++)
	{
		int64_t here = start[v];

		start[v] = at;
		at += here;
	}
	for (int64_t i = 0; i < n; i++)
	{
		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		to[start[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
	}
	return PGML_OK;
}

/* Sort by the bits from low on, least significant digit first, skipping digits that do not vary. */
static PgmlStatus
sort_bits(const PgmlEnv *env, PgmlKeyed *items, PgmlKeyed *tmp, int64_t n, uint64_t varying,
		  int low)
{
	PgmlKeyed *from = items;
	PgmlKeyed *to = tmp;

	for (int shift = low; shift < 64 && varying >> shift != 0; shift += DIGIT_BITS)
	{
		PgmlKeyed *swap = from;

		if ((varying >> shift & (DIGITS - 1)) == 0)
			continue;
		PGML_TRY(scatter(env, from, to, n, shift));
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, (size_t) n * sizeof(*items));
	return PGML_OK;
}

/*
 * Put right items sorted by their upper bits only, each of which has few others to pass; false when it would take long, in
 * which case items of equal keys are still in their order.
 */
static bool
insert_few(PgmlKeyed *items, int64_t n)
{
	int64_t moves = 0;

	for (int64_t i = 1; i < n; i++)
	{
		PgmlKeyed item = items[i];
		int64_t at = i;

		for (; at > 0 && items[at - 1].key > item.key; at--)
			items[at] = items[at - 1];
		items[at] = item;
		moves += i - at;
		if (moves > MOST_MOVES + n / 16)
			return false;
	}
	return true;
}

/* Hashes are nearly in order after the passes over their upper bits; other keys take all passes. */
PgmlStatus
pgml_sort_keyed(const PgmlEnv *env, PgmlKeyed *items, PgmlKeyed *tmp, int64_t n)
{
	uint64_t varying;
	int low;

	if (n < 2)
		return PGML_OK;
	PGML_TRY(find_varying(env, items, n, &varying));
	if (varying == 0)
		return PGML_OK;
	low = 64 - __builtin_clzll(varying) - UPPER_BITS;
	if (low > 0)
	{
		PGML_TRY(sort_bits(env, items, tmp, n, varying, low));
		if (insert_few(items, n))
			return PGML_OK;
	}
	return sort_bits(env, items, tmp, n, varying, 0);
}
