/*
 * forest_data.c - the rows as forests see them: records of bytes in the order of the classes.
 *
 * A category's levels are ordered once, before any tree: by the mean of the target, of several classes by the first principal
 * component of their shares (Coppersmith, Hong and Hosking 1999; Wright and Koenig 2019 find this as good as ordering them in
 * each node).  After that a category is split as a number is.
 */
#include "learner/forest.h"

#include <math.h>
#include <string.h>

#include "core/par.h"

#define COPY_ROWS 4096

/* Rows of the mean kind that are added to each level before levels are ordered: rare ones tell little. */
#define RARE 5.0

#define POWER_STEPS 30

/* A dataset on its way to records. */
typedef struct Making
{
	const PgmlEnv *env;
	PgmlArena *arena;
	PgmlArena *temporary;
	const PgmlDataset *set;
	const PgmlForestConfig *config;
	const PgmlBins *bins;
	PgmlForestData *out;
} Making;

static double
weight_of(const PgmlDataset *set, int64_t i)
{
	return set->w != NULL ? set->w[set->rows[i]] : 1.0;
}

/* Count the rows with a weight, and find the mean of their weights; *equal: they are all the same. */
static PgmlStatus
look_at_weights(const Making *m, int64_t *n, double *mean, bool *equal)
{
	double sum = 0, first = 0;

	*n = 0;
	*equal = true;
	for (int64_t i = 0; i < m->set->n; i++)
	{
		double w = weight_of(m->set, i);

		if (i % COPY_ROWS == 0 && pgml_stopped(m->env))
			return pgml_fail_cancelled(m->env);
		if (!(w > 0))
			continue;
		first = *n == 0 ? w : first;
		*equal &= w == first;
		sum += w;
		++*n;
	}
	if (!(sum > 0) || !isfinite(sum))
		return pgml_fail(m->env->error, PGML_ERR_DATA,
						 "there are no rows with a weight to learn from");
	if (*n >= (int64_t) 1 << 27)
		return pgml_fail(m->env->error, PGML_ERR_LIMIT, "a forest learns from at most %d rows",
						 (1 << 27) - 1);
	*mean = sum / (double) *n;
	return PGML_OK;
}

/* Put the rows with a weight in the order of their classes. */
static void
order_rows(const Making *m)
{
	PgmlForestData *d = m->out;
	const PgmlDataset *set = m->set;
	bool classes = d->task != PGML_TASK_REGRESSION;

	memset(d->class_start, 0, ((size_t) d->n_classes + 1) * sizeof(uint32_t));
	for (int64_t i = 0; i < set->n; i++)
		if (weight_of(set, i) > 0)
			d->class_start[(classes ? (int) set->y[set->rows[i]] : 0) + 1]++;
	for (int c = 0; c < d->n_classes; c++)
		d->class_start[c + 1] += d->class_start[c];
	/* Each start moves to its class's end, and back afterwards. */
	for (int64_t i = 0; i < set->n; i++)
		if (weight_of(set, i) > 0)
			d->position[d->class_start[classes ? (int) set->y[set->rows[i]] : 0]++] = (int32_t) i;
	for (int c = d->n_classes; c > 0; c--)
		d->class_start[c] = d->class_start[c - 1];
	d->class_start[0] = 0;
}

/*
 * Weights of mean 1 and what is learned.  Numbers are divided by the largest before anything is added up, so that no sum
 * exceeds the largest double.
 */
static PgmlStatus
fill_values(const Making *m, double mean)
{
	PgmlForestData *d = m->out;
	const double *y = m->set->y;
	double largest = 0, sum = 0;

	for (int64_t i = 0; d->task == PGML_TASK_REGRESSION && i < d->n; i++)
		largest = fmax(largest, fabs(y[m->set->rows[d->position[i]]]));
	d->scale = largest > 0 ? largest : 1;
	for (int c = 0; c < d->n_classes; c++)
		for (int64_t i = d->class_start[c]; i < d->class_start[c + 1]; i++)
		{
			double n = weight_of(m->set, d->position[i]) / mean;
			double p =
				d->task == PGML_TASK_REGRESSION ? y[m->set->rows[d->position[i]]] / d->scale : c;

			d->value[i] = (PgmlForestMoments){ n, d->task == PGML_TASK_MULTICLASS ? 0 : p };
			sum += n * p;
			if (i % COPY_ROWS == 0 && pgml_stopped(m->env))
				return pgml_fail_cancelled(m->env);
		}
	d->center = d->task == PGML_TASK_REGRESSION ? sum / (double) d->n : 0;
	for (int64_t i = 0; i < d->n; i++)
		d->value[i].p = d->value[i].n * (d->value[i].p - d->center);
	return PGML_OK;
}

/* Weights and shares of the classes. */
static void
fill_classes(const Making *m)
{
	PgmlForestData *d = m->out;
	double total = 0;
	int present = 0;

	for (int c = 0; c < d->n_classes; c++)
	{
		double n = 0;

		for (int64_t i = d->class_start[c]; d->value != NULL && i < d->class_start[c + 1]; i++)
			n += d->value[i].n;
		if (d->value == NULL)
			n = (double) (d->class_start[c + 1] - d->class_start[c]);
		d->prior[c] = n;
		present += n > 0;
	}
	for (int c = 0; c < d->n_classes; c++)
	{
		d->class_weight[c] =
			m->config->balanced && d->prior[c] > 0 ? (double) d->n / (present * d->prior[c]) : 1;
		d->prior[c] *= d->class_weight[c];
		total += d->prior[c];
	}
	for (int c = 0; c < d->n_classes; c++)
		d->prior[c] /= total;
}

/* ---- categories ------------------------------------------------------------------------------ */

/* Weight of each class in each bin of a feature: table[bin * n_classes + class]; false when stopped. */
static bool
count_classes(const Making *m, const uint8_t *bin, double *table)
{
	const PgmlForestData *d = m->out;

	for (int c = 0; c < d->n_classes; c++)
	{
		if (pgml_stopped(m->env))
			return false;
		for (int64_t i = d->class_start[c]; i < d->class_start[c + 1]; i++)
			table[bin[m->set->rows[d->position[i]]] * d->n_classes + c] +=
				d->class_weight[c] * (d->value != NULL ? d->value[i].n : 1);
	}
	return true;
}

/*
 * Direction in which the classes' shares differ most between levels: the first principal component, by power iteration.  share is
 * n_levels x k, less the shares of all; weight those of the levels.
 */
static void
principal_direction(const double *share, const double *weight, int n_levels, int k, double *v,
					double *next)
{
	for (int c = 0; c < k; c++)
		v[c] = 1.0 / (c + 1);
	for (int step = 0; step < POWER_STEPS; step++)
	{
		double norm = 0;

		memset(next, 0, (size_t) k * sizeof(double));
		for (int l = 0; l < n_levels; l++)
		{
			double dot = 0;

			for (int c = 0; c < k; c++)
				dot += share[l * k + c] * v[c];
			for (int c = 0; c < k; c++)
				next[c] += weight[l] * dot * share[l * k + c];
		}
		for (int c = 0; c < k; c++)
			norm += next[c] * next[c];
		if (!(norm > 0))
			return;
		for (int c = 0; c < k; c++)
			v[c] = next[c] / sqrt(norm);
	}
}

/* Scores that order the levels by the classes' shares; table has n_bins x k weights, the first bin is that of missing values. */
static void
score_levels(const PgmlForestData *d, double *table, int n_bins, double *weight, double *v,
			 double *next, double *score)
{
	int k = d->n_classes;

	for (int b = 1; b < n_bins; b++)
	{
		double *level = table + b * k;

		weight[b] = 0;
		for (int c = 0; c < k; c++)
			weight[b] += level[c];
		for (int c = 0; c < k; c++)
			level[c] = (level[c] + RARE * d->prior[c]) / (weight[b] + RARE) - d->prior[c];
	}
	principal_direction(table + k, weight + 1, n_bins - 1, k, v, next);
	for (int b = 1; b < n_bins; b++)
	{
		score[b] = 0;
		for (int c = 0; c < k; c++)
			score[b] += table[b * k + c] * (k == 2 ? c : v[c]);
	}
}

/* Means of the target, drawn towards 0, the mean of all. */
static void
mean_of_levels(const PgmlForestData *d, const Making *m, const uint8_t *bin, int n_bins,
			   double *weight, double *score)
{
	memset(weight, 0, (size_t) n_bins * sizeof(double));
	memset(score, 0, (size_t) n_bins * sizeof(double));
	for (int64_t i = 0; i < d->n; i++)
	{
		int b = bin[m->set->rows[d->position[i]]];

		weight[b] += d->value[i].n;
		score[b] += d->value[i].p;
	}
	for (int b = 0; b < n_bins; b++)
		score[b] /= weight[b] + RARE;
}

/* Ranks of the levels by their scores, from 1; equal ones in their order. */
static void
rank_levels(const double *score, int n_bins, uint8_t *rank)
{
	rank[0] = 0;
	for (int b = 1; b < n_bins; b++)
	{
		int before = 0;

		for (int other = 1; other < n_bins; other++)
			before += score[other] < score[b] || (score[other] == score[b] && other < b);
		rank[b] = (uint8_t) (before + 1);
	}
}

/* Order the levels of all categorical features. */
static PgmlStatus
order_levels(const Making *m)
{
	PgmlForestData *d = m->out;
	size_t k = (size_t) d->n_classes;
	double *table = pgml_array(m->temporary, 256 * k, sizeof(double));
	double *weight = pgml_array(m->temporary, 512 + 2 * k, sizeof(double));

	if (table == NULL || weight == NULL)
		return pgml_fail_nomem(m->env, "categories");
	for (int32_t j = 0; j < d->n_features; j++)
	{
		int32_t f = d->feature[j];
		int n_bins = m->bins->n_bins[f];

		d->rank[j] = NULL;
		if (!m->set->x->features[f].categorical)
			continue;
		d->rank[j] = pgml_array(m->arena, 256, 1);
		if (d->rank[j] == NULL)
			return pgml_fail_nomem(m->env, "categories");
		memset(table, 0, 256 * k * sizeof(double));
		if (d->task == PGML_TASK_REGRESSION)
			mean_of_levels(d, m, m->bins->bin[f], n_bins, weight, weight + 256);
		else if (!count_classes(m, m->bins->bin[f], table))
			return pgml_fail_cancelled(m->env);
		else
			score_levels(d, table, n_bins, weight, weight + 512, weight + 512 + k, weight + 256);
		rank_levels(weight + 256, n_bins, d->rank[j]);
	}
	return PGML_OK;
}

/* ---- records ----------------------------------------------------------------------------------- */

/* Fill one block of records, feature by feature. */
static PgmlStatus
copy_records(void *arg, int64_t block, int thread)
{
	const Making *m = arg;
	const PgmlForestData *d = m->out;
	int64_t from = block * COPY_ROWS;
	int64_t upto = from + COPY_ROWS < d->n ? from + COPY_ROWS : d->n;

	(void) thread;
	memset(d->record + from * d->stride, 0, (size_t) ((upto - from) * d->stride));
	for (int32_t j = 0; j < d->n_features; j++)
	{
		const uint8_t *bin = m->bins->bin[d->feature[j]];
		const uint8_t *rank = d->rank[j];

		for (int64_t i = from; i < upto; i++)
		{
			uint8_t b = bin[m->set->rows[d->position[i]]];

			d->record[i * d->stride + j] = rank != NULL ? rank[b] : b;
		}
	}
	return PGML_OK;
}

static int32_t
stride_of(int32_t n_features)
{
	int32_t stride = (n_features + PGML_FOREST_CHUNK - 1) / PGML_FOREST_CHUNK * PGML_FOREST_CHUNK;

	return stride > 0 ? stride : PGML_FOREST_CHUNK;
}

int64_t
pgml_forest_data_size(const PgmlDataset *set)
{
	int64_t per_row = stride_of(set->x->nfeatures) + (int64_t) sizeof(int32_t) +
					  (int64_t) sizeof(PgmlForestMoments);
	int64_t k = set->n_classes;

	return set->n * per_row + set->x->nfeatures * 300 + k * (256 + 8) * (int64_t) sizeof(double);
}

/* Allocate what depends on the number of rows n. */
static PgmlStatus
allocate(Making *m, int64_t n, bool values)
{
	PgmlForestData *d = m->out;
	size_t nf = (size_t) m->set->x->nfeatures, k = (size_t) d->n_classes;

	d->n = n;
	d->feature = pgml_array(m->arena, nf + 1, sizeof(int32_t));
	d->rank = pgml_array(m->arena, nf + 1, sizeof(uint8_t *));
	d->position = pgml_array(m->arena, (size_t) n, sizeof(int32_t));
	d->class_start = pgml_array(m->arena, k + 1, sizeof(uint32_t));
	d->class_weight = pgml_array(m->arena, k, sizeof(double));
	d->prior = pgml_array(m->arena, k, sizeof(double));
	d->value = values ? pgml_array(m->arena, (size_t) n, sizeof(PgmlForestMoments)) : NULL;
	if (!d->feature || !d->rank || !d->position || !d->class_start || !d->class_weight ||
		!d->prior || (values && !d->value))
		return pgml_fail_nomem(m->env, "training rows");
	for (int32_t f = 0; f < m->set->x->nfeatures; f++)
		if (m->bins->n_bins[f] > 2 || m->bins->has_missing[f])
		{
			d->any_missing |= m->bins->has_missing[f];
			d->feature[d->n_features++] = f;
		}
	if (2 * (int64_t) d->n_features > PGML_FOREST_MAX_LINES)
		return pgml_fail(m->env->error, PGML_ERR_LIMIT, "a forest takes at most %d features",
						 PGML_FOREST_MAX_LINES / 2);
	d->stride = stride_of(d->n_features);
	d->record = pgml_array(m->arena, (size_t) n, (size_t) d->stride);
	if (d->record == NULL)
		return pgml_fail_nomem(m->env, "training rows");
	return PGML_OK;
}

static PgmlStatus
make(Making *m)
{
	PgmlForestData *d = m->out;
	double mean = 1;
	bool equal;
	int64_t n;

	d->task = m->set->task;
	d->n_classes = m->set->n_classes;
	d->scale = 1;
	PGML_TRY(look_at_weights(m, &n, &mean, &equal));
	PGML_TRY(allocate(m, n, d->task == PGML_TASK_REGRESSION || !equal));
	order_rows(m);
	if (d->value != NULL)
		PGML_TRY(fill_values(m, mean));
	fill_classes(m);
	PGML_TRY(order_levels(m));
	return pgml_par_for(m->env, (n + COPY_ROWS - 1) / COPY_ROWS, copy_records, m);
}

PgmlStatus
pgml_forest_data_create(const PgmlEnv *env, PgmlArena *arena, const PgmlDataset *dataset,
						const PgmlForestConfig *config, const PgmlBins *bins, PgmlForestData **out)
{
	Making m = { .env = env, .arena = arena, .set = dataset, .config = config, .bins = bins };
	PgmlStatus status;

	m.out = pgml_zalloc(arena, 1, sizeof(PgmlForestData));
	m.temporary = pgml_arena_create(env->budget);
	status =
		m.out != NULL && m.temporary != NULL ? make(&m) : pgml_fail_nomem(env, "training rows");
	pgml_arena_destroy(m.temporary);
	*out = m.out;
	return status;
}
