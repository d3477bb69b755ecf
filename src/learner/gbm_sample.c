/* gbm_sample.c - the rows that a round of boosting learns from. */
#include "learner/gbm_sample.h"

#include <math.h>
#include <string.h>

#include "core/par.h"

#define DRAW_ROWS 8192
#define SIZE_ROWS 1024

/* Noise is from 0 to below this. */
#define NOISE_RANGE 2147483648.0

/* Below this many rows expected, a round has room for all: it may come to that. */
#define FEW_EXPECTED 64

/* Rows from which the threshold is estimated, one from each of as many equal parts; and halvings of the interval it is sought in. */
#define PROBE_ROWS 4096
#define HALVINGS   40

/* Least size of a gradient, so that rows can be drawn when all are fitted exactly. */
#define LEAST_SIZE 1e-20f

/* Times that a threshold found too low is raised. */
#define RAISES 4

/* Rows that a round has room for: more than are expected by far more than chance makes likely. */
static int64_t
capacity_for(int64_t n, double fraction)
{
	double expected = (double) n * fraction;
	double most = 1.1 * expected + 4 * sqrt((double) n) + 64;

	return expected < FEW_EXPECTED || most >= (double) n ? n : (int64_t) most;
}

static int64_t
count_blocks(int64_t n)
{
	return (n + DRAW_ROWS - 1) / DRAW_ROWS;
}

int64_t
pgml_gbm_sample_size(const PgmlDataset *data, double fraction, bool by_gradient)
{
	int64_t capacity = capacity_for(data->n, fraction);

	return capacity * (pgml_gbm_rows_stride(data->x->nfeatures) + (int64_t) sizeof(int32_t)) +
		   count_blocks(data->n) * (int64_t) sizeof(int64_t) +
		   (by_gradient ? (data->n + capacity) * (int64_t) sizeof(float) : 0) +
		   pgml_gbm_target_size(data, by_gradient || data->w != NULL, capacity);
}

PgmlStatus
pgml_gbm_sample_create(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *data,
					   double fraction, bool by_gradient, PgmlGbmSample *out)
{
	*out = (PgmlGbmSample){ .fraction = fraction, .capacity = capacity_for(data->n, fraction) };
	out->number = pgml_array(arena, (size_t) out->capacity, sizeof(int32_t));
	out->n_block = pgml_array(arena, (size_t) count_blocks(data->n), sizeof(int64_t));
	out->size = by_gradient ? pgml_array(arena, (size_t) data->n, sizeof(float)) : NULL;
	if (out->number == NULL || out->n_block == NULL || (by_gradient && out->size == NULL))
		return pgml_fail_nomem(env, "drawn rows");
	out->rows.stride = pgml_gbm_rows_stride(data->x->nfeatures);
	out->rows.number = out->number;
	PGML_TRY(pgml_gbm_rows_room(env, arena, out->capacity, out->rows.stride, &out->rows.bin));
	PGML_TRY(pgml_gbm_target_room(env, arena, data, by_gradient || data->w != NULL, out->capacity,
								  &out->target));
	if (!by_gradient)
		return PGML_OK;
	out->target.copies = pgml_array(arena, (size_t) out->capacity, sizeof(float));
	return out->target.copies != NULL ? PGML_OK : pgml_fail_nomem(env, "drawn rows");
}

/* One drawing. */
typedef struct DrawJob
{
	PgmlGbmSample *sample;
	const PgmlGbmRows *rows;
	const PgmlGbmTarget *target;
	uint32_t seed;
	double bound;             /* rows with less noise are drawn, times what makes their size 1 */
	double g_share;           /* of g^2 in the square of a size */
	double h_share;           /* of h^2 */
	float probed[PROBE_ROWS]; /* sizes of the rows looked at */
} DrawJob;

/* ---- how likely each row is ---- */

/* Add to squares what one output's g and h of n rows are worth. */
PGML_CLONES static void
add_squares(const double *g, const double *h, int n, const DrawJob *job, double *square)
{
	double g_share = job->g_share, h_share = job->h_share;

	for (int i = 0; i < n; i++)
		square[i] += g[i] * g[i] * g_share + h[i] * h[i] * h_share;
}

/* Sizes of n rows from their squares and weights, as shares of the largest weight. */
PGML_CLONES static void
take_roots(const double *square, const double *w, double w_share, int n, float *size)
{
	for (int i = 0; i < n; i++)
	{
		float s = sqrtf((float) square[i]) * (float) (w ? w[i] * w_share : 1);

		size[i] = s > LEAST_SIZE ? s : LEAST_SIZE;
	}
}

/* The row of n to look at in part i of PROBE_ROWS: never before those of former parts. */
static int64_t
probe(uint32_t i, int64_t n)
{
	uint64_t place = (uint64_t) i << 32 | pgml_gbm_row_noise(i, 0);

	/* n is below 2^31, place below 2^44: the product is taken in two halves. */
	return (
		int64_t) ((((place >> 32) * (uint64_t) n) + ((place & 0xffffffff) * (uint64_t) n >> 32)) /
				  PROBE_ROWS);
}

/* Keep the sizes of those rows of a block that are looked at. */
static void
keep_probes(DrawJob *job, int64_t from, int64_t upto)
{
	int64_t n = job->target->n;

	for (int64_t i = from * PROBE_ROWS / n; i < PROBE_ROWS; i++)
	{
		int64_t row = probe((uint32_t) i, n);

		if (row >= upto)
			return;
		if (row >= from)
			job->probed[i] = job->sample->size[row];
	}
}

/* Sizes of the gradients of one block. */
static PgmlStatus
size_block(void *arg, int64_t block, int thread)
{
	DrawJob *job = arg;
	const PgmlGbmTarget *t = job->target;
	int64_t first = block * DRAW_ROWS;
	int64_t upto = first + DRAW_ROWS < t->n ? first + DRAW_ROWS : t->n;

	(void) thread;
	for (int64_t from = first; from < upto; from += SIZE_ROWS)
	{
		int n = (int) (upto - from < SIZE_ROWS ? upto - from : SIZE_ROWS);
		double g[SIZE_ROWS], h[SIZE_ROWS], square[SIZE_ROWS] = { 0 };

		for (int k = 0; k < t->n_outputs; k++)
		{
			pgml_gbm_raw_gradients(t, k, from, n, g, h);
			add_squares(g, h, n, job, square);
		}
		take_roots(square, t->w ? t->w + from : NULL, 1 / t->max_weight, n,
				   job->sample->size + from);
	}
	keep_probes(job, first, upto);
	return PGML_OK;
}

/*
 * What makes g comparable to h: for regression, where either is in units of the target, the mean squares of some rows;
 * else they are comparable as they are.
 */
static void
find_shares(const PgmlGbmTarget *t, double *g_share, double *h_share)
{
	double g_sum = 0, h_sum = 0;

	*g_share = *h_share = 1;
	if (t->task != PGML_TASK_REGRESSION)
		return;
	for (uint32_t i = 0; i < PROBE_ROWS; i++)
	{
		double g, h;

		pgml_gbm_raw_gradients(t, 0, probe(i, t->n), 1, &g, &h);
		g_sum += g * g;
		h_sum += h * h;
	}
	*g_share = g_sum > 0 ? PROBE_ROWS / g_sum : 0;
	*h_share = h_sum > 0 ? PROBE_ROWS / h_sum : 0;
}

/* Mean probability of rows of these sizes. */
PGML_CLONES static double
mean_probability(const float *size, double threshold)
{
	float per_threshold = (float) (1 / threshold);
	float sum[16] = { 0 };
	double total = 0;

	for (int i = 0; i < PROBE_ROWS; i += 16)
		for (int j = 0; j < 16; j++)
		{
			float p = size[i + j] * per_threshold;

			sum[j] += p < 1 ? p : 1;
		}
	for (int j = 0; j < 16; j++)
		total += sum[j];
	return total / PROBE_ROWS;
}

/* The threshold at which the wanted fraction of some of the rows is expected. */
static double
find_threshold(const float *size, double fraction)
{
	double low = 1e-30, high = 1e30;

	for (int i = 0; i < HALVINGS && low < high * 0.999; i++)
	{
		double middle = sqrt(low * high);

		if (mean_probability(size, middle) > fraction)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* ---- drawing ---- */

/* Which of n rows from row `from` are drawn, 1 or 0 each; returns their number. */
PGML_CLONES static int64_t
draw_rows(const DrawJob *job, uint32_t from, int32_t n, uint8_t *in)
{
	const float *size = job->sample->size ? job->sample->size + from : NULL;
	double bound = job->bound;
	uint32_t seed = job->seed;
	int32_t drawn = 0;

	for (int32_t i = 0; i < n; i++)
	{
		double noise = (double) (int32_t) (pgml_gbm_row_noise(from + (uint32_t) i, seed) >> 1);
		int32_t yes = noise < (size ? (double) size[i] * bound : bound);

		in[i] = (uint8_t) yes;
		drawn += yes;
	}
	return drawn;
}

static PgmlStatus
count_block(void *arg, int64_t block, int thread)
{
	const DrawJob *job = arg;
	int64_t from = block * DRAW_ROWS;
	int64_t n = job->rows->n - from < DRAW_ROWS ? job->rows->n - from : DRAW_ROWS;
	uint8_t in[DRAW_ROWS];

	(void) thread;
	job->sample->n_block[block] = draw_rows(job, (uint32_t) from, (int32_t) n, in);
	return PGML_OK;
}

/* Copy the bins of n drawn rows to place `to`. */
static void
copy_bins(const DrawJob *job, int64_t to, int64_t n)
{
	const PgmlGbmRows *from = job->rows;
	const int32_t *number = job->sample->number + to;
	uint8_t *bin = job->sample->rows.bin + to * from->stride;

	if (from->stride == 32)
		for (int64_t i = 0; i < n; i++)
			memcpy(bin + i * 32, from->bin + (int64_t) number[i] * 32, 32);
	else
		for (int64_t i = 0; i < n; i++)
			memcpy(bin + i * from->stride, from->bin + (int64_t) number[i] * from->stride,
				   (size_t) from->stride);
}

/* Copy targets, weights and scores of n drawn rows to place `to`. */
static void
copy_targets(const DrawJob *job, int64_t to, int64_t n)
{
	const PgmlGbmTarget *from = job->target;
	PgmlGbmSample *sample = job->sample;
	PgmlGbmTarget *t = &sample->target;
	const int32_t *number = job->sample->number + to;

	for (int64_t i = 0; i < n; i++)
		t->y[to + i] = from->y[number[i]];
	for (int64_t i = 0; t->w && i < n; i++)
		t->w[to + i] = from->w ? from->w[number[i]] : 1;
	for (int64_t i = 0; sample->size && i < n; i++)
	{
		double size = sample->size[number[i]];
		double copies = size < sample->threshold ? sample->threshold / size : 1;

		t->w[to + i] *= copies;
		t->copies[to + i] = (float) copies;
	}
	for (int k = 0; k < t->n_outputs; k++)
	{
		const double *score = from->score + k * from->n;
		double *out = t->score + k * t->n + to;

		for (int64_t i = 0; i < n; i++)
			out[i] = score[number[i]];
	}
}

/* List the drawn rows of a block and copy what is known of them; n_block is the place of the first now. */
static PgmlStatus
copy_block(void *arg, int64_t block, int thread)
{
	const DrawJob *job = arg;
	PgmlGbmSample *sample = job->sample;
	int64_t from = block * DRAW_ROWS;
	int64_t upto = from + DRAW_ROWS < job->rows->n ? from + DRAW_ROWS : job->rows->n;
	int64_t first = sample->n_block[block];
	int64_t n = 0;
	int32_t listed[DRAW_ROWS];
	uint8_t in[DRAW_ROWS];

	(void) thread;
	(void) draw_rows(job, (uint32_t) from, (int32_t) (upto - from), in);
	for (int64_t i = from; i < upto; i++)
	{
		listed[n] = (int32_t) i;
		n += in[i - from];
	}
	n = n < sample->capacity - first ? n : sample->capacity - first;
	if (n <= 0)
		return PGML_OK;
	memcpy(sample->number + first, listed, (size_t) n * sizeof(int32_t));
	copy_bins(job, first, n);
	copy_targets(job, first, n);
	return PGML_OK;
}

/* Count the rows of each block that are drawn with the present bound; the sum. */
static PgmlStatus
count_rows(const PgmlEnv *env, DrawJob *job, int64_t *n)
{
	int64_t blocks = count_blocks(job->rows->n);

	PGML_TRY(pgml_par_for(env, blocks, count_block, job));
	*n = 0;
	for (int64_t b = 0; b < blocks; b++)
		*n += job->sample->n_block[b];
	return PGML_OK;
}

/* Choose the bound, and count the rows that it draws. */
static PgmlStatus
choose_bound(const PgmlEnv *env, DrawJob *job, int64_t *n)
{
	PgmlGbmSample *sample = job->sample;

	job->bound = sample->fraction * NOISE_RANGE;
	if (sample->size)
	{
		find_shares(job->target, &job->g_share, &job->h_share);
		PGML_TRY(pgml_par_for(env, count_blocks(job->rows->n), size_block, job));
		sample->threshold = find_threshold(job->probed, sample->fraction);
		job->bound = NOISE_RANGE / sample->threshold;
	}
	PGML_TRY(count_rows(env, job, n));
	for (int i = 0; i < RAISES && sample->size && *n > sample->capacity; i++)
	{
		/* A few rows with large weights, say, that were not looked at. */
		sample->threshold *= 1.1 * (double) *n / (double) sample->capacity;
		job->bound = NOISE_RANGE / sample->threshold;
		PGML_TRY(count_rows(env, job, n));
	}
	if (*n > 0)
		return PGML_OK;
	job->bound = INFINITY;
	sample->threshold = 0;
	return count_rows(env, job, n);
}

PgmlStatus
pgml_gbm_sample_draw(const PgmlEnv *env, PgmlGbmSample *sample, uint64_t seed,
					 const PgmlGbmRows *rows, const PgmlGbmTarget *target)
{
	DrawJob job = {
		.sample = sample, .rows = rows, .target = target, .seed = (uint32_t) (seed ^ seed >> 32)
	};
	PgmlGbmTarget *t = &sample->target;
	int64_t n;

	PGML_TRY(choose_bound(env, &job, &n));
	t->n = sample->rows.n = n < sample->capacity ? n : sample->capacity;
	t->weight = target->weight * ((double) t->n / (double) rows->n);
	/* A row's g and h, times what it weighs, are at most the threshold, and h is taken to be a quarter at weight 1. */
	t->max_weight =
		target->max_weight *
		(sample->size ?
			 fmax(1, (t->task == PGML_TASK_REGRESSION ? 1.001 : 4.001) * sample->threshold) :
			 1);
	n = 0;
	for (int64_t b = 0; b < count_blocks(rows->n); b++)
	{
		int64_t more = sample->n_block[b];

		sample->n_block[b] = n;
		n += more;
	}
	sample->rows.column = rows->column;
	return pgml_par_for(env, count_blocks(rows->n), copy_block, &job);
}
