#include "core/sort.h"

#include <math.h>
#include <string.h>

/* Items between two looks at the stop flag: well below 50 ms of work. */
#define POLL_MASK 0xffff

#define DIGIT_BITS 10
#define DIGITS     (1 << DIGIT_BITS)

/* Bits that tell nearly all of some million hashes apart. */
#define UPPER_BITS (3 * DIGIT_BITS)

/* The same for items of which the upper 32 bits are the key. */
#define UPPER_DIGIT_BITS 11
#define UPPER_DIGITS     (1 << UPPER_DIGIT_BITS)
#define UPPER_PASSES     3

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
	for (int64_t i = 0; from != items && i < n; i += POLL_MASK + 1)
	{
		int64_t rows = n - i < POLL_MASK + 1 ? n - i : POLL_MASK + 1;

		if (pgml_stopped(env))
			return pgml_fail_cancelled(env);
		memcpy(items + i, from + i, (size_t) rows * sizeof(*items));
	}
	return PGML_OK;
}

/*
 * Put right items sorted by their upper bits only, each of which has few others to pass; *done is false when it would take long,
 * in which case items of equal keys are still in their order.
 */
static PgmlStatus
insert_few(const PgmlEnv *env, PgmlKeyed *items, int64_t n, bool *done)
{
	int64_t moves = 0;

	*done = false;
	for (int64_t i = 1; i < n; i++)
	{
		PgmlKeyed item = items[i];
		int64_t at = i;

		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (; at > 0 && items[at - 1].key > item.key; at--)
			items[at] = items[at - 1];
		items[at] = item;
		moves += i - at;
		if (moves > MOST_MOVES + n / 16)
			return PGML_OK;
	}
	*done = true;
	return PGML_OK;
}

/* Hashes are nearly in order after the passes over their upper bits; other keys take all passes. */
PgmlStatus
pgml_sort_keyed(const PgmlEnv *env, PgmlKeyed *items, PgmlKeyed *tmp, int64_t n)
{
	uint64_t varying;
	bool done;
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
		PGML_TRY(insert_few(env, items, n, &done));
		if (done)
			return PGML_OK;
	}
	return sort_bits(env, items, tmp, n, varying, 0);
}

/* Counts of each digit of the upper 32 bits. */
typedef struct UpperDigits
{
	uint32_t count[UPPER_PASSES][UPPER_DIGITS];
} UpperDigits;

static inline uint32_t
upper_digit(uint64_t item, int pass)
{
	return (uint32_t) (item >> 32) >> (pass * UPPER_DIGIT_BITS) & (UPPER_DIGITS - 1);
}

/* All of them in one go through the items. */
static PgmlStatus
count_upper(const PgmlEnv *env, const uint64_t *items, int64_t n, UpperDigits *digits)
{
	memset(digits, 0, sizeof(*digits));
	for (int64_t i = 0; i < n; i++)
	{
		if ((i & POLL_MASK) == 0 && pgml_stopped(env))
			return pgml_fail_cancelled(env);
		for (int pass = 0; pass < UPPER_PASSES; pass++)
			digits->count[pass][upper_digit(items[i], pass)]++;
	}
	return PGML_OK;
}

PgmlStatus
pgml_sort_upper(const PgmlEnv *env, uint64_t **items, uint64_t **tmp, int64_t n)
{
	UpperDigits digits;

	PGML_TRY(count_upper(env, *items, n, &digits));
	for (int pass = 0; pass < UPPER_PASSES; pass++)
	{
		uint32_t *start = digits.count[pass];
		const uint64_t *from = *items;
		uint64_t *to = *tmp;
		uint32_t sum = 0;

		for (int v = 0; v < UPPER_DIGITS; v++)
		{
			uint32_t here = start[v];

			start[v] = sum;
			sum += here;
		}
		for (int64_t i = 0; i < n; i++)
		{
			if ((i & POLL_MASK) == 0 && pgml_stopped(env))
				return pgml_fail_cancelled(env);
			to[start[upper_digit(from[i], pass)]++] = from[i];
		}
		*tmp = *items;
		*items = to;
	}
	return PGML_OK;
}
