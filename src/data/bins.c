/*
 * bins.c - fit bin edges to a sample of rows and cut every value into its bin.
 *
 * Features are independent of each other, so each is one block of a parallel loop.  A value finds its bin by a table: the
 * range of the edges, as integers in whose order floats lie, is divided into cells, and each cell knows its first bin.  Most
 * have no edge in them or one, so that one comparison is left; how many it takes is the same for all values of a feature, and
 * nothing branches by value.
 */
#include "data/bins.h"

#include <math.h>
#include <string.h>

#include "core/par.h"
#include "data/bin_edges.h"

#define SAMPLE_ROWS 200000
#define CHUNK       2048
#define MAX_EDGES   254
#define CELL_BITS   16
#define CELLS       (1 << CELL_BITS)

/* The bins of each feature begin on a cache line. */
#define ALIGNMENT 64

/* How the values of a feature find their bins. */
typedef struct Lookup
{
	uint32_t low;  /* key of the first edge */
	uint32_t span; /* from there to the last */
	int shift;     /* from a distance in keys to a cell */
	int32_t most;  /* power of 2: fewer than twice as many edges lie in any cell */
	/* Bin of values below the first edge of a cell; the last cell is that of missing values. */
	uint8_t first[CELLS + 1];
	float edge[2 * (MAX_EDGES + 1)]; /* upper edge of each bin, then infinity */
} Lookup;

/* What a thread works in. */
typedef struct Scratch
{
	PgmlEdgeRoom room;
	Lookup lookup;
} Scratch;

typedef struct Job
{
	const PgmlEnv *env;
	const PgmlMatrix *x;
	const int32_t *rows;
	int64_t n;
	const int32_t *sample; /* of the rows */
	int64_t n_sample;
	PgmlBins *bins;
	Scratch *scratch; /* per thread */
} Job;

/* ---- finding bins ------------------------------------------------------------------------------ */

/* Cell of a key, those beyond the edges in the first and the last one. */
static inline uint32_t
cell_of(uint32_t key, uint32_t low, uint32_t span, int shift)
{
	uint32_t above = key > low ? key - low : 0;

	return (above < span ? above : span) >> shift;
}

/* Divide the range of the edges into cells. */
static void
make_lookup(Lookup *l, const float *edge, int n_edges)
{
	uint32_t filled = 0;
	int32_t held = 0; /* edges of the cell filled last */

	l->low = n_edges > 0 ? pgml_float_key(edge[0]) : 0;
	l->span = n_edges > 0 ? pgml_float_key(edge[n_edges - 1]) - l->low : 0;
	l->shift = 0;
	while (l->span >> l->shift >= CELLS)
		l->shift++;
	l->most = 1;
	l->first[0] = 1;
	for (int e = 0; e < 2 * (MAX_EDGES + 1); e++)
		l->edge[e] = INFINITY;
	for (int e = 0; e < n_edges; e++)
	{
		uint32_t cell = cell_of(pgml_float_key(edge[e]), l->low, l->span, l->shift);

		held = cell < filled ? held + 1 : 1;
		if (held == 2 * l->most)
			l->most = held;
		for (; filled <= cell; filled++)
			l->first[filled] = (uint8_t) (e + 1);
		l->edge[e + 1] = edge[e];
	}
	l->first[CELLS] = 0;
}

/* Cells of n values. */
static void
find_cells(const Lookup *l, const float *restrict x, int n, uint32_t *restrict cell)
{
	uint32_t low = l->low;
	uint32_t span = l->span;
	int shift = l->shift;

	for (int i = 0; i < n; i++)
	{
		uint32_t own = cell_of(pgml_float_key(x[i]), low, span, shift);

		cell[i] = isnan(x[i]) ? CELLS : own;
	}
}

/* Bin n values, at most CHUNK. */
static void
bin_numbers(const Lookup *l, const float *restrict x, int n, uint8_t *restrict out)
{
	const float *edge = l->edge;
	uint32_t cell[CHUNK];
	int32_t bin[CHUNK];

	find_cells(l, x, n, cell);
	if (l->most == 1)
	{
		for (int i = 0; i < n; i++)
		{
			int32_t first = l->first[cell[i]];

			out[i] = (uint8_t) (first + (edge[first] < x[i]));
		}
		return;
	}
	for (int i = 0; i < n; i++)
		bin[i] = l->first[cell[i]];
	for (int32_t step = l->most; step > 0; step /= 2)
		for (int i = 0; i < n; i++)
			bin[i] += edge[bin[i] + step - 1] < x[i] ? step : 0;
	for (int i = 0; i < n; i++)
		out[i] = (uint8_t) bin[i];
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

/* Find the edges of feature f, and how its values find their bins. */
static void
fit_numbers(const Job *job, int f, Scratch *s)
{
	PgmlBins *bins = job->bins;
	int n_edges = pgml_bin_edges(&s->room, job->x->col[f], job->sample, job->n_sample,
								 bins->max_bin, bins->edges[f]);

	bins->edges[f][n_edges] = INFINITY;
	bins->n_bins[f] = n_edges + 2;
	make_lookup(&s->lookup, bins->edges[f], n_edges);
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
		fit_numbers(job, f, &job->scratch[thread]);
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
			bin_numbers(&job->scratch[thread].lookup, x, n, out + from);
	}
	bins->has_missing[f] = false;
	if (bins->nrows == 0 || memchr(out, 0, (size_t) bins->nrows) == NULL)
		return PGML_OK; /* in no row at all, as is usual */
	for (int64_t i = 0; i < job->n && !bins->has_missing[f]; i++)
		bins->has_missing[f] = out[job->rows[i]] == 0;
	return PGML_OK;
}

/* Allocate everything the loop over features writes to; the bins in one piece, whose pages can be large. */
static PgmlBins *
allocate(PgmlArena *arena, const PgmlMatrix *x, int max_bin)
{
	size_t nf = (size_t) x->nfeatures;
	size_t stride = ((size_t) x->nrows + ALIGNMENT) & ~(size_t) (ALIGNMENT - 1);
	PgmlBins *bins = pgml_zalloc(arena, 1, sizeof(*bins));
	uint8_t *bin = pgml_array(arena, nf, stride);

	if (bins == NULL || bin == NULL)
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
		bins->bin[f] = bin + f * stride;
		if (x->features[f].categorical)
			continue;
		bins->edges[f] = pgml_array(arena, MAX_EDGES + 1, sizeof(float));
		if (bins->edges[f] == NULL)
			return NULL;
	}
	return bins;
}

/* The rows that edges are found on: evenly spaced over those to fit on, whatever order they have. */
static bool
take_sample(Job *job, PgmlArena *arena)
{
	int32_t *sample;

	job->n_sample = job->n < SAMPLE_ROWS ? job->n : SAMPLE_ROWS;
	job->sample = job->rows;
	if (job->n_sample == job->n)
		return true;
	sample = pgml_array(arena, (size_t) job->n_sample, sizeof(int32_t));
	if (sample == NULL)
		return false;
	for (int64_t i = 0; i < job->n_sample; i++)
		sample[i] = job->rows[i * job->n / job->n_sample];
	job->sample = sample;
	return true;
}

/* The sample, and what each thread works in. */
static bool
allocate_scratch(Job *job, PgmlArena *arena)
{
	int threads = pgml_pool_threads(job->env->pool);
	Scratch *s = pgml_array(arena, (size_t) threads, sizeof(*s));

	if (s == NULL || !take_sample(job, arena))
		return false;
	for (int t = 0; t < threads; t++)
	{
		s[t].room.key = pgml_array(arena, (size_t) job->n_sample + 1, sizeof(uint32_t));
		s[t].room.other = pgml_array(arena, (size_t) job->n_sample + 1, sizeof(uint32_t));
		if (!s[t].room.key || !s[t].room.other)
			return false;
	}
	job->scratch = s;
	return true;
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
	job.bins = allocate(arena, x, max_bin);
	temporary = pgml_arena_create(env->budget);
	if (job.bins == NULL || temporary == NULL || !allocate_scratch(&job, temporary))
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
	int below = 0; /* edges below the value */
	int upto = bins->n_bins[f] - 2;

	if (feature->categorical)
		return bin_of_level(value, feature->n_levels, bins->max_bin);
	if (isnan(value))
		return 0;
	while (below < upto)
	{
		int middle = (below + upto) / 2;

		if (bins->edges[f][middle] < value)
			below = middle + 1;
		else
			upto = middle;
	}
	return (uint8_t) (below + 1);
}
