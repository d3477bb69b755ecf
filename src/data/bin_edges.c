/*
 * bin_edges.c - where the bins of a numeric feature end.
 *
 * Values are sorted as integers whose order is that of the floats.  What bins hold follows from places in that order: only
 * those where a bin may end are looked at, not every value.  Edges lie half-way between neighbouring distinct values, rounded
 * so that the edge itself still belongs to the lower one.
 */
#include "data/bin_edges.h"

#include <math.h>
#include <stdbool.h>

#define RADIX_BITS   11
#define RADIX_SIZE   (1 << RADIX_BITS)
#define RADIX_PASSES 3
#define MAX_BINS     255

/* Equal values in the sorted sample: from `begin` up to `end`. */
typedef struct Run
{
	int64_t begin;
	int64_t end;
} Run;

/* ---- sorting --------------------------------------------------------------------------------- */

/* Counts of each digit of the keys. */
typedef struct Digits
{
	uint32_t count[RADIX_PASSES][RADIX_SIZE];
} Digits;

static inline uint32_t
digit_of(uint32_t key, int pass)
{
	return key >> (pass * RADIX_BITS) & (RADIX_SIZE - 1);
}

/* Keys of the sample's values, and their digits; returns how many are not missing. */
static int64_t
read_keys(uint32_t *key, const float *x, const int32_t *rows, int64_t n, Digits *digits)
{
	int64_t m = 0;

	memset(digits, 0, sizeof(*digits));
	for (int64_t i = 0; i < n; i++)
	{
		float v = x[rows[i]];

		if (isnan(v))
			continue;
		key[m] = pgml_float_key(v);
		for (int pass = 0; pass < RADIX_PASSES; pass++)
			digits->count[pass][digit_of(key[m], pass)]++;
		m++;
	}
	return m;
}

/* Sort room->key[n], lowest digit first; a digit that is the same in all is passed over. */
static void
sort_keys(PgmlEdgeRoom *room, int64_t n, Digits *digits)
{
	for (int pass = 0; pass < RADIX_PASSES && n > 0; pass++)
	{
		uint32_t *start = digits->count[pass];
		uint32_t *from = room->key;
		uint32_t *to = room->other;
		uint32_t sum = 0;

		if (start[digit_of(from[0], pass)] == n)
			continue;
		for (int d = 0; d < RADIX_SIZE; d++)
		{
			uint32_t here = start[d];

			start[d] = sum;
			sum += here;
		}
		for (int64_t i = 0; i < n; i++)
			to[start[digit_of(from[i], pass)]++] = from[i];
		room->key = to;
		room->other = from;
	}
}

int64_t
pgml_sort_floats(PgmlEdgeRoom *room, const float *x, const int32_t *rows, int64_t n)
{
	Digits digits;
	int64_t m = read_keys(room->key, x, rows, n, &digits);

	sort_keys(room, m, &digits);
	return m;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Where the values equal to the one at `at` end: in steps that double, then by halves. */
static int64_t
run_end(const uint32_t *key, int64_t n, int64_t at)
{
	int64_t step = 1;
	int64_t low = at; /* equal */
	int64_t high;     /* not equal, or the end */

	while (low + step < n && key[low + step] == key[at])
	{
		low += step;
		step *= 2;
	}
	high = low + step < n ? low + step : n;
	while (high - low > 1)
	{
		int64_t middle = low + (high - low) / 2;

		if (key[middle] == key[at])
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* Where they begin. */
static int64_t
run_begin(const uint32_t *key, int64_t at)
{
	int64_t step = 1;
	int64_t high = at; /* equal */
	int64_t low;       /* not equal, or before the first */

	while (high - step >= 0 && key[high - step] == key[at])
	{
		high -= step;
		step *= 2;
	}
	low = high - step >= 0 ? high - step : -1;
	while (high - low > 1)
	{
		int64_t middle = low + (high - low) / 2;

		if (key[middle] == key[at])
			high = middle;
		else
			low = middle;
	}
	return high;
}

/* Whether there are no more than `most` distinct values. */
static bool
has_few_values(const uint32_t *key, int64_t n, int most)
{
	int64_t at = 0;

	for (int runs = 0; at < n; runs++)
	{
		if (runs == most)
			return false;
		at = run_end(key, n, at);
	}
	return true;
}

/* The values that `size` or more rows have, fewer than n / size + 1; each of them lies at one of every `size` places. */
static int
find_big_runs(const uint32_t *key, int64_t n, int64_t size, Run *big)
{
	int n_big = 0;

	for (int64_t at = size - 1; at < n; at += size)
	{
		Run run = { run_begin(key, at), run_end(key, n, at) };

		if (run.end - run.begin < size)
			continue;
		big[n_big++] = run;
		while (at + size < run.end)
			at += size;
	}
	return n_big;
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* The largest float below b that is not below a and near their middle, for neighbours a < b. */
static float
edge_between(float a, float b)
{
	float middle = (float) (((double) a + (double) b) / 2);

	return middle < b ? middle : a;
}

/*
 * Where the bin that begins at `begin` ends: with the value by which it holds `target` rows, but not with a big value that
 * comes before, which gets a bin of its own, unless what lies in front of it is less than half of what is aimed at.
 */
static int64_t
bin_end(const uint32_t *key, int64_t n, int64_t begin, double target, const Run *big)
{
	double rows = ceil(target) > 1 ? ceil(target) : 1;
	int64_t end = rows <= (double) (n - begin) ? run_end(key, n, begin + (int64_t) rows - 1) : n;

	if (big == NULL || end <= big->begin)
		return end;
	return big->begin > begin && (double) (big->begin - begin) >= target / 2 ? big->begin :
																			   big->end;
}

/* Cut sorted keys; a value that alone fills a bin does not count towards the size of the others. */
static int
cut(const uint32_t *key, int64_t n, int max_bin, float *edge)
{
	Run big[MAX_BINS + 1];
	bool few = has_few_values(key, n, max_bin);
	int n_big = few ? 0 : find_big_runs(key, n, (int64_t) ceil((double) n / (double) max_bin), big);
	int64_t rows = n; /* in bins that are still to be made, but for big values */
	int free_bins = max_bin - n_big;
	int next_big = 0;
	int n_edges = 0;
	double target;

	for (int b = 0; b < n_big; b++)
		rows -= big[b].end - big[b].begin;
	target = few ? 0 : (double) rows / free_bins;
	for (int64_t begin = 0; n_edges < max_bin - 1;)
	{
		const Run *next = next_big < n_big ? &big[next_big] : NULL;
		int64_t end = bin_end(key, n, begin, target, next);

		if (end >= n)
			break;
		edge[n_edges++] =
			edge_between(pgml_float_of_key(key[end - 1]), pgml_float_of_key(key[end]));
		if (next != NULL && end == next->end)
			next_big++;
		else if (!few)
		{
			/* A bin that began before a big value may have been closed early: share out what is left. */
			rows -= end - begin;
			free_bins--;
			target = free_bins > 0 ? (double) rows / free_bins : (double) rows + 1;
		}
		begin = end;
	}
	return n_edges;
}

int
pgml_bin_edges(PgmlEdgeRoom *room, const float *x, const int32_t *rows, int64_t n, int max_bin,
			   float *edge)
{
	int64_t m = pgml_sort_floats(room, x, rows, n);

	return cut(room->key, m, max_bin, edge);
}
