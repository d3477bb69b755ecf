/*
 * bins.c - fit bin edges to a sample of rows and cut every value into its bin.
 *
 * Features are independent of each other, so each is one block of a parallel loop.  Values are sorted as
 * integers whose order is that of the floats; edges lie half-way between neighbouring distinct values, rounded so
 * that the edge itself still belongs to the lower one.
 */
#include "data/bins.h"

#include <math.h>
#include <string.h>

#include "core/par.h"

#define SAMPLE_ROWS  200000
#define CHUNK        2048
#define EDGE_SLOTS   256 /* edges per numeric feature, padded with infinity for the search */
#define RADIX_BITS   11
#define RADIX_SIZE   (1 << RADIX_BITS)
#define RADIX_PASSES 3

/* What a thread works in; each array has room for the sample. */
typedef struct Scratch
{
	uint32_t *key;
	uint32_t *other;
	uint32_t *count;
} Scratch;

typedef struct Job
{
	const PgmlEnv *env;
	const PgmlMatrix *x;
	const int32_t *rows;
	int64_t n;
	int64_t n_sample;
	PgmlBins *bins;
	Scratch *scratch; /* per thread */
} Job;

/* Order-preserving integer of a float that is not NaN; both zeros give the same. */
static inline uint32_t
key_of(float x)
{
	uint32_t bits;

	x += 0.0f;
	memcpy(&bits, &x, sizeof(bits));
	return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The float of a key. */
static inline float
value_of(uint32_t key)
{
	uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* Sort s->key[n] by counting digits, lowest first; s->other is the second buffer. */
static void
radix_sort(Scratch *s, int64_t n)
{
	for (int pass = 0; pass < RADIX_PASSES; pass++)
	{
		uint32_t start[RADIX_SIZE] = { 0 };
		int shift = pass * RADIX_BITS;
		uint32_t sum = 0;
		uint32_t *swap;

		for (int64_t i = 0; i < n; i++)
			start[(s->key[i] >> shift) & (RADIX_SIZE - 1)]++;
		for (int d = 0; d < RADIX_SIZE; d++)
		{
			uint32_t c = start[d];

			start[d] = sum;
			sum += c;
		}
		for (int64_t i = 0; i < n; i++)
			s->other[start[(s->key[i] >> shift) & (RADIX_SIZE - 1)]++] = s->key[i];
		swap = s->key;
		s->key = s->other;
		s->other = swap;
	}
}

/* Collapse the sorted s->key[n] to distinct keys with counts; returns their number. */
static int64_t
distinct(Scratch *s, int64_t n)
{
	int64_t nd = 0;

	for (int64_t i = 0; i < n; i++)
	{
		if (nd > 0 && s->key[nd - 1] == s->key[i])
			s->count[nd - 1]++;
		else
		{
			s->key[nd] = s->key[i];
			s->count[nd++] = 1;
		}
	}
	return nd;
}

/* The largest float below b that is not below a and near their middle, for neighbours a < b. */
static float
edge_between(float a, float b)
{
	float middle = (float) (((double) a + (double) b) / 2);

	return middle < b ? middle : a;
}

/*
 * Cut nd distinct values into at most max_bin bins of about equal counts and store the edges; returns their
 * number.  A value that alone fills a bin gets one of its own and does not count towards the size of the others.
 */
static int
cut(const Scratch *s, int64_t nd, int max_bin, float *edge)
{
	int64_t rows = 0, held = 0;
	int free_bins = max_bin;
	int n_edges = 0;
	double mean, target;

	for (int64_t i = 0; i < nd; i++)
		rows += s->count[i];
	mean = (double) rows / max_bin;
	for (int64_t i = 0; i < nd; i++)
	{
		if (s->count[i] >= mean)
		{
			rows -= s->count[i];
			free_bins--;
		}
	}
	target = nd <= max_bin || free_bins < 1 ? 0 : (double) rows / free_bins;
	for (int64_t i = 0; i + 1 < nd && n_edges < max_bin - 1; i++)
	{
		bool big = s->count[i] >= mean;
		bool next_big = s->count[i + 1] >= mean;

		held += s->count[i];
		if (!big && (double) held < target && !(next_big && (double) held >= target / 2))
			continue;
		edge[n_edges++] = edge_between(value_of(s->key[i]), value_of(s->key[i + 1]));
		if (!big && target > 0)
		{
			/* A bin that began before a big value may have been closed early: share out what is left. */
			rows -= held;
			free_bins--;
			target = free_bins > 0 ? (double) rows / free_bins : (double) rows + 1;
		}
		held = 0;
	}
	return n_edges;
}

/* Find the edges of numeric feature f from the sample. */
static void
fit_numeric(const Job *job, int f, Scratch *s)
{
	PgmlBins *bins = job->bins;
	const float *x = job->x->col[f];
	int64_t step = job->n_sample > 0 ? job->n / job->n_sample : 0;
	int64_t more = job->n - step * job->n_sample;
	int64_t at = 0, rest = 0;
	int64_t n = 0;
	int n_edges;

	/* Evenly spaced over the rows, whatever order they have: number i * n / n_sample, without dividing each time. */
	for (int64_t i = 0; i < job->n_sample; i++, at += step, rest += more)
	{
		if (rest >= job->n_sample)
		{
			rest -= job->n_sample;
			at++;
		}
		float v = x[job->rows[at]];

		if (!isnan(v))
			s->key[n++] = key_of(v);
	}
	radix_sort(s, n);
	n_edges = cut(s, distinct(s, n), bins->max_bin, bins->edges[f]);
	for (int e = n_edges; e < EDGE_SLOTS; e++)
		bins->edges[f][e] = INFINITY;
	bins->n_bins[f] = n_edges + 2;
}

/* Bin n values (at most CHUNK) by a binary search of equal length for all, so that it vectorises. */
static void
bin_numeric(const float *edge, int n_edges, const float *x, int n, uint8_t *out)
{
	int32_t at[CHUNK];
	int step = 1;

	memset(at, 0, (size_t) n * sizeof(at[0]));
	while (step * 2 <= n_edges)
		step *= 2;
	if (n_edges == 0)
		step = 0;
	for (; step > 0; step /= 2)
		for (int i = 0; i < n; i++)
			at[i] += edge[at[i] + step - 1] < x[i] ? step : 0;
	for (int i = 0; i < n; i++)
		out[i] = (uint8_t) (isnan(x[i]) ? 0 : at[i] + 1);
}

/* Bin of a level; outside the known ones (or NaN) it is missing. */
static inline uint8_t
bin_of_level(float x, int n_levels, int max_bin)
{
	int level;

	if (!(x >= 0 && x < (float) n_levels))
		return 0;
	level = (int) x;
	return (uint8_t) ((level < max_bin - 1 ? level : max_bin - 1) + 1);
}

/* Fit and fill feature number `block`. */
static PgmlStatus
bin_feature(void *arg, int64_t block, int thread)
{
	const Job *job = arg;
	PgmlBins *bins = job->bins;
	int f = (int) block;
	const PgmlFeature *feature = &job->x->features[f];
	uint8_t *out = bins->bin[f];

	if (feature->categorical)
		bins->n_bins[f] =
			(feature->n_levels < bins->max_bin ? feature->n_levels : bins->max_bin) + 1;
	else
		fit_numeric(job, f, &job->scratch[thread]);
	for (int64_t from = 0; from < bins->nrows; from += CHUNK)
	{
		int n = (int) (bins->nrows - from < CHUNK ? bins->nrows - from : CHUNK);
		const float *x = job->x->col[f] + from;

		if (pgml_stopped(job->env))
			return PGML_ERR_CANCELLED;
		if (feature->categorical)
			for (int i = 0; i < n; i++)
				out[from + i] = bin_of_level(x[i], feature->n_levels, bins->max_bin);
		else
			bin_numeric(bins->edges[f], bins->n_bins[f] - 2, x, n, out + from);
	}
	bins->has_missing[f] = false;
	if (bins->nrows == 0 || memchr(out, 0, (size_t) bins->nrows) == NULL)
		return PGML_OK; /* in no row at all, as is usual */
	for (int64_t i = 0; i < job->n && !bins->has_missing[f]; i++)
		bins->has_missing[f] = out[job->rows[i]] == 0;
	return PGML_OK;
}

/* Allocate everything the loop over features writes to. */
static PgmlBins *
allocate(PgmlArena *arena, const PgmlMatrix *x, int max_bin)
{
	size_t nf = (size_t) x->nfeatures;
	PgmlBins *bins = pgml_zalloc(arena, 1, sizeof(*bins));

	if (bins == NULL)
		return NULL;
	bins->nrows = x->nrows;
	bins->nfeatures = x->nfeatures;
	bins->max_bin = max_bin;
	bins->n_bins = pgml_zalloc(arena, nf, sizeof(int32_t));
	bins->edges = pgml_zalloc(arena, nf, sizeof(float *));
	bins->bin = pgml_zalloc(arena, nf, sizeof(uint8_t *));
	bins->has_missing = pgml_zalloc(arena, nf, sizeof(bool));
	if (!bins->n_bins || !bins->edges || !bins->bin || !bins->has_missing)
		return NULL;
	for (size_t f = 0; f < nf; f++)
	{
		bins->bin[f] = pgml_alloc(arena, x->nrows > 0 ? (size_t) x->nrows : 1);
		if (!x->features[f].categorical)
			bins->edges[f] = pgml_array(arena, EDGE_SLOTS, sizeof(float));
		if (bins->bin[f] == NULL || (!x->features[f].categorical && bins->edges[f] == NULL))
			return NULL;
	}
	return bins;
}

/* Room for the sample, once per thread. */
static Scratch *
allocate_scratch(PgmlArena *arena, int threads, int64_t n_sample)
{
	size_t room = n_sample > 0 ? (size_t) n_sample : 1;
	Scratch *s = pgml_array(arena, (size_t) threads, sizeof(*s));

	for (int t = 0; s != NULL && t < threads; t++)
	{
		s[t].key = pgml_array(arena, room, sizeof(uint32_t));
		s[t].other = pgml_array(arena, room, sizeof(uint32_t));
		s[t].count = pgml_array(arena, room, sizeof(uint32_t));
		if (!s[t].key || !s[t].other || !s[t].count)
			return NULL;
	}
	return s;
}

PgmlStatus
pgml_bins_create(const PgmlEnv *env, PgmlArena *arena, const PgmlMatrix *x, const int32_t *rows,
				 int64_t n, int max_bin, PgmlBins **out)
{
	PgmlArena *temporary;
	PgmlStatus status;
	Job job = { .env = env, .x = x, .rows = rows, .n = n };

	if (max_bin < 2 || max_bin > 255)
		return pgml_fail(env->error, PGML_ERR_BADARG, "max_bin must be between 2 and 255");
	job.n_sample = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
	job.bins = allocate(arena, x, max_bin);
	temporary = pgml_arena_create(env->budget);
	if (job.bins != NULL && temporary != NULL)
		job.scratch = allocate_scratch(temporary, pgml_pool_threads(env->pool), job.n_sample);
	if (job.scratch == NULL)
	{
		pgml_arena_destroy(temporary);
		return pgml_fail_nomem(env, "bins");
	}
	status = pgml_par_for(env, x->nfeatures, bin_feature, &job);
	pgml_arena_destroy(temporary);
	if (status == PGML_ERR_CANCELLED)
		return pgml_fail_cancelled(env);
	*out = job.bins;
	return status;
}

uint8_t
pgml_bin_of(const PgmlBins *bins, const PgmlFeature *feature, int f, float value)
{
	uint8_t bin;

	if (feature->categorical)
		return bin_of_level(value, feature->n_levels, bins->max_bin);
	bin_numeric(bins->edges[f], bins->n_bins[f] - 2, &value, 1, &bin);
	return bin;
}
